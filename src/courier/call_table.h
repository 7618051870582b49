/*-------------------------------------------------------------------------
 *
 * src/courier/call_table.h
 *		The calls that the worker ordered and that have no Result yet.
 *
 * A call is put in before it starts, by the reader thread, and taken out when
 * it ends.  What it has become in between decides who ends it:
 * - One without a grpc_call and without a stream waits for its turn (pace.h)
 *   and is the reader's.
 * - One with a grpc_call is ended by the completion thread; the reader may
 *   cancel its grpc_call meanwhile.
 * - One that went out over a stream is ended by whoever takes it out: the
 *   completion thread with its answer or the end of its stream, or the reader
 *   when it is cancelled or its time is over.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PA_COURIER_CALL_TABLE_H
#define PA_COURIER_CALL_TABLE_H

#include <stdbool.h>
#include <stdint.h>

#include "channel.h"
#include "courier.pb-c.h"
#include "pace.h"
#include "stream.h"
#include "unary.h"

typedef struct PaCall
{
	PaTag		tag;
	struct PaCall *next;		/* in its bucket, or in the pool */
	uint64_t	call_id;
	int64_t		ordered_us;
	int64_t		started_us;
	int64_t		timeout_us;
	PaChannel  *channel;
	PaUnary		unary;			/* has no call before it is started */

	/* what it is started with */
	PaPaced		paced;
	Courier__Method method;
	uint32_t	attempt;
	grpc_slice	request_id;
	grpc_slice	request;

	/* of one that has gone out over a stream, else NULL */
	PaStream   *stream;
	uint64_t	place;			/* among the calls of the stream */
	int64_t		deadline_us;
} PaCall;

/* one that is in no table; NULL: the memory is exhausted */
extern PaCall *pa_call_table_create(void);

/* gives everything back that it holds; it is in no table any more */
extern void pa_call_table_drop(PaCall *call);

extern void pa_call_table_insert(PaCall *call);
extern void pa_call_table_delete(PaCall *call);

/*
 * Lets a call that is in the table out over a stream, with that deadline; it
 * may have ended on return.  false: the stream does not take it.
 */
extern bool pa_call_table_stream(PaCall *call, PaStream *stream,
								 const Agent__StreamCall *streamed,
								 int64_t deadline_us);

/* takes out a call if it has gone over this stream; NULL: there is none */
extern PaCall *pa_call_table_take(uint64_t call_id, const PaStream *stream);

/*
 * Takes all out that have gone over the stream (NULL: any) with a deadline that
 * has come, as a list; *next_deadline is then the first of the others, or
 * INT64_MAX.
 */
extern PaCall *pa_call_table_take_all(const PaStream *stream, int64_t now,
									  int64_t *next_deadline);

/*
 * What the reader needs to cancel a call, at most one of these: its grpc_call,
 * to be unreferenced; itself, taken out, if it went over a stream; itself, if
 * it has not started.
 */
typedef struct PaCallFound
{
	grpc_call  *grpc;
	PaCall	   *streamed;
	PaCall	   *unstarted;
} PaCallFound;

extern PaCallFound pa_call_table_find(uint64_t call_id);

/* cancels whatever has a grpc_call */
extern void pa_call_table_cancel(void);

/* after the completion thread has ended */
extern void pa_call_table_end(void);

#endif							/* PA_COURIER_CALL_TABLE_H */
