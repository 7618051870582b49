/*-------------------------------------------------------------------------
 *
 * src/courier/server.h
 *		The servers that the worker configured: how to reach them, with which
 *		credentials, and over which channel at this time.
 *
 * The table belongs to the reader thread, and so does every function here.
 *
 * A server whose files are no good has no channel until they are: they are
 * looked at again about once a second.  When files change, a new token is
 * that of the next call.  New certificates get a channel of their own beside
 * the one in use, and take over when it is connected, or cannot be; calls in
 * flight end where they began.  Changed files that are no good change
 * nothing: the server goes on with what it has, and says so.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PA_COURIER_SERVER_H
#define PA_COURIER_SERVER_H

#include "channel.h"
#include "courier.pb-c.h"

extern void pa_server_configure(const Courier__Configure *configure);
extern void pa_server_remove(const char *server_name);
extern void pa_server_remove_all(void);

/*
 * The channel for a new call to the server of that name, acquired.  NULL if
 * there is none; then "problem" says why, in at most "size" bytes.
 */
extern PaChannel *pa_server_channel(const char *server_name,
									char *problem, size_t size);

/*
 * Looks after files and new channels if it is time to, at least once in
 * pa_server_patience() milliseconds (-1: for ever) and after every wakeup of
 * the reader.
 */
extern void pa_server_attend(void);
extern int	pa_server_patience(void);

#endif							/* PA_COURIER_SERVER_H */
