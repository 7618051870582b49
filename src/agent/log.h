/*-------------------------------------------------------------------------
 *
 * src/agent/log.h
 *		The log of actions: one JSON object a line.
 *
 * Not locked: written under the server's lock, so it must not wait.  A file
 * is as fast as its disk; a pipe or a socket has a reader, who may not read:
 * what does not go in waits in the buffer, and when that is full lines are
 * dropped, whole ones, until half of it is free again.
 *
 * Five kinds of lines, told apart by "event":
 *
 *	start	the agent gave an order to its provider.  There is exactly one for
 *			every order that was given, whatever became of its call; one that
 *			is given again after it was withdrawn has another.
 *	withdrawn
 *			an order was taken back after its start line, as nobody waited for
 *			it any more and the cloud had seen nothing of it
 *	end		a call was answered, or its client gave up.  There is exactly one
 *			for every call that reached a method of the service, and for every
 *			call that was refused for want of a token; of a call that dies
 *			with the agent there is none.
 *	done	the provider was done with an order that no call waited for any
 *			more: its client gave up, or was answered before.  No "end" tells
 *			what became of such an order.  Not after withdrawn.
 *	dropped	so many lines, "lines", are missing here.  It has no more keys than
 *			that, time and event.
 *
 * So for each start there is an end, with what became of the order, a
 * withdrawn, or a done.  But what is under way when the drain timeout passes
 * has no more than an end with CANCELLED: the agent has gone by the time that
 * the provider would be done.
 *
 * The others have all of these:
 *	time		UTC, RFC 3339 with microseconds
 *	event		start, withdrawn, end or done; or dropped, see above
 *	method		PowerOnCluster, PowerOffCluster or GetClusterPowerState;
 *				PowerStream if a stream was refused, unknown for others that
 *				were
 *	request_id, cluster_id, account, source, requester
 *				as in the request, cut to 255 bytes; empty if it was not read
 *	attempt		from the metadata x-attempt, or of the StreamCall; null without
 *	stream		whether the call came by a PowerStream
 *	order		[timeline, epoch, counter], null without
 *	instances	how many were named
 *	in_flight_same_cluster
 *				start, withdrawn, done: how many other orders for the
 *				cluster the provider had not done with; anything but 0
 *				is an overlap in the cloud.
 *				end: how many other orders for the cluster, not counting
 *				repetitions of this request, the agent had not done with when
 *				the call came; anything but 0 is an overlap of the sender's
 *	provider	type of the provider that it was given to, null if to none
 *	wait_us		from the receipt of the call (done: of the one that began the
 *				order) until the provider was given it; 0 if it had it before,
 *				null if it never was
 *	provider_us	from then until the provider's answer; null without one
 *
 * Only end has:
 *	executed	this call made the agent give an order, by the time it ended.
 *				An agent that only accepts gives it after the answer: then
 *				only start and done tell
 *	duplicate	a repetition of a request under way or done
 *
 * Only end and done have:
 *	status		name of the gRPC status; CANCELLED if the client gave up;
 *				done: as the provider has it
 *	error		of the reply; null without a reply
 *	message		of the status, or null
 *	duration_us	from the receipt of the call
 *
 * Lines are written when the buffer is full, within 50 ms, when asked to
 * flush, and at the end, where a reader gets 5 s between two reads; with
 * "sync" one by one.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PA_AGENT_LOG_H
#define PA_AGENT_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "method.h"
#include "order.h"

typedef struct PaLog PaLog;

typedef enum PaLogEvent
{
	PA_LOG_START,
	PA_LOG_WITHDRAWN,
	PA_LOG_END,
	PA_LOG_DONE
} PaLogEvent;

typedef struct PaLogLine
{
	PaLogEvent	event;
	PaMethod	method;
	const char *request_id;
	const char *cluster_id;
	const char *account;
	const char *source;
	const char *requester;
	int			attempt;		/* -1: none */
	bool		stream;
	const PaOrder *order;		/* NULL: none */
	size_t		instances;
	int			in_flight;
	const char *provider;		/* NULL: none */
	int64_t		wait;			/* us; -1: none */
	int64_t		provider_time;	/* us; -1: none */
	bool		executed;
	bool		duplicate;
	int			status;
	const int  *error;			/* NULL: none */
	const char *message;		/* NULL: none */
	int64_t		duration;		/* us */
} PaLogLine;

/* "-" is standard output.  NULL, with errno set, if it cannot be opened. */
extern PaLog *pa_log_open(const char *path, bool sync);

/* false: the line was dropped, as the buffer is full and nobody reads */
extern bool pa_log_write(PaLog *log, const PaLogLine *line);

/* true: there is something that a flush would write, if somebody reads */
extern bool pa_log_dirty(const PaLog *log);
extern void pa_log_flush(PaLog *log);
extern void pa_log_close(PaLog *log);

#endif							/* PA_AGENT_LOG_H */
