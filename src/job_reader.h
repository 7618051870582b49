/*-------------------------------------------------------------------------
 *
 * src/job_reader.h
 *		Jobs, and how the queue is read without statements.
 *
 * For job_store, which says what is read and does it with a statement if a
 * table is not as it was made: then a function here returns false.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PA_JOB_READER_H
#define PA_JOB_READER_H

#include "datatype/timestamp.h"
#include "nodes/pg_list.h"
#include "storage/itemptr.h"

#include "shared_state.h"
#include "words.h"

typedef struct PaLaneKey
{
	char	   *server_name;
	char	   *account_name;
	int16		priority;
} PaLaneKey;

/* where a job is, without what is to be done */
typedef struct PaJobPlace
{
	int64		event_id;
	char	   *cluster_id;
	PaLaneKey	lane;
	TimestampTz due_at;
	TimestampTz not_before;		/* DT_NOBEGIN: none was given */
	TimestampTz expires_at;		/* DT_NOEND: never */
} PaJobPlace;

/* a job with what its event says */
typedef struct PaJobDetail
{
	PaJobPlace	place;
	TimestampTz retry_at;		/* DT_NOBEGIN: no attempt failed */
	PaAction	action;			/* PA_ACTION_INVALID: there is no event */
	PaAgentResult agent_result;
	int			attempts;
	TimestampTz started_at;		/* DT_NOBEGIN: not yet */
	char	   *triggered_by;
	char	   *description;	/* "" for none */
	TimestampTz requested_at;
	/* where the rows were; invalid if there is no event */
	ItemPointerData job_row;
	ItemPointerData event_row;
} PaJobDetail;

/* one lane of a claim: where to read on, and how many at most */
typedef struct PaLaneRequest
{
	PaLaneKey	key;
	TimestampTz due_at;			/* read after this position ... */
	int64		event_id;
	int			limit;
	/* set by the claim */
	int			count;
	TimestampTz next_due;		/* if count < limit: DT_NOEND, or later */
} PaLaneRequest;

/* As pa_job_store_set_origin, which calls it. */
extern void pa_job_reader_set_origin(uint64 system_identifier, Oid database);

/* What is known of a job without its event, or before that is read. */
extern void pa_job_reader_clear_event(PaJobDetail *job);

/*
 * How job_lane_idx has the names of a lane: a bigint.  Other names may have the
 * same, so whose a job is that was found by it, only its row tells.
 */
extern Datum pa_job_reader_hash_lane(const PaLaneKey *lane);

/* As pa_job_store_places, pa_job_store_claim and pa_job_store_of_clusters. */
extern bool pa_job_reader_places(PaEventRange range, int limit, List **list);
extern bool pa_job_reader_lanes(PaLaneRequest *lanes, int count,
								TimestampTz now, List **places);
extern bool pa_job_reader_of_clusters(char **cluster_ids, int count,
									  TimestampTz now, int limit,
									  List **list);

#endif							/* PA_JOB_READER_H */
