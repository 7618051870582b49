/*-------------------------------------------------------------------------
 *
 * src/agent/http_loop.h
 *		A thread that makes HTTP calls, any number at once, and runs timers
 *		and tasks between them.
 *
 * What uses it lives in that thread: tasks, timers and the ends of calls run
 * there one after the other, so that their data needs no locks.  They must
 * not block.
 *
 * Certificates are always checked, redirects never followed, and only http
 * and https spoken.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PA_AGENT_HTTP_LOOP_H
#define PA_AGENT_HTTP_LOOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "timer.h"

typedef struct PaHttpLoop PaHttpLoop;

typedef struct PaHttpTask
{
	void		(*run) (struct PaHttpTask *task);
	struct PaHttpTask *next;
} PaHttpTask;

#define PA_HTTP_HEADERS		8

typedef struct PaHttpCall
{
	/* from the caller, who owns it; unchanged until the call is done */
	const char *method;			/* GET, POST or PUT */
	const char *url;
	const char *headers[PA_HTTP_HEADERS];	/* "Name: value", up to a NULL */
	const char *body;			/* NULL: none */
	int			timeout;		/* ms, for all of it */
	const char *ca_file;		/* PEM; NULL: those of the system */
	bool		direct;			/* never by a proxy */
	size_t		limit;			/* bytes of an answer */
	void		(*done) (struct PaHttpCall *call);

	/* when it is done */
	int			status;			/* of HTTP; 0: there was no answer */
	char	   *answer;			/* ends with a NUL; the loop's: valid in done */
	size_t		length;
	time_t		date;			/* of the answer; 0: not told */
	char		problem[256];	/* why there was no answer */

	struct PaHttpTransfer *transfer;	/* the loop's own */
} PaHttpCall;

extern PaHttpLoop *pa_http_loop_create(void);

/* ends the thread; tasks, timers and calls that are left are forgotten */
extern void pa_http_loop_free(PaHttpLoop *loop);

/* from any thread: runs the task in the loop's */
extern void pa_http_loop_post(PaHttpLoop *loop, PaHttpTask *task);

/* the same, and returns when it has run; not from the loop's own thread */
extern void pa_http_loop_run(PaHttpLoop *loop, void (*function) (void *),
							 void *data);

/*
 * Only in the loop's thread.
 */
extern PaTimers *pa_http_loop_timers(PaHttpLoop *loop);

/* "done" is called later, in any case but that of pa_http_cancel */
extern void pa_http_start(PaHttpLoop *loop, PaHttpCall *call);
extern void pa_http_cancel(PaHttpLoop *loop, PaHttpCall *call);

#endif							/* PA_AGENT_HTTP_LOOP_H */
