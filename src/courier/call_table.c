/*-------------------------------------------------------------------------
 *
 * src/courier/call_table.c
 *		The calls that have no Result yet.  See call_table.h.
 *
 * One mutex for the table, and for the structures of finished calls, which
 * are kept for the next ones.  The mutex of a stream comes after it.
 *
 *-------------------------------------------------------------------------
 */
#include <pthread.h>
#include <stdlib.h>

#include "call_table.h"

#define BUCKETS			4096	/* a power of two */
#define POOL_LIMIT		4096	/* idle structures that are kept */

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static PaCall *in_flight[BUCKETS];
static PaCall *pool;
static size_t pool_size;

static PaCall **
bucket_of(uint64_t call_id)
{
	return &in_flight[call_id & (BUCKETS - 1)];
}

/* the mutex is held; points to NULL if it is not there */
static PaCall **
link_of(uint64_t call_id)
{
	PaCall	  **link = bucket_of(call_id);

	while (*link != NULL && (*link)->call_id != call_id)
		link = &(*link)->next;
	return link;
}

PaCall *
pa_call_table_create(void)
{
	PaCall	   *call;

	pthread_mutex_lock(&mutex);
	call = pool;
	if (call != NULL)
	{
		pool = call->next;
		pool_size--;
	}
	pthread_mutex_unlock(&mutex);

	if (call == NULL)
		call = calloc(1, sizeof(*call));
	return call;
}

static void
give_structure(PaCall *call)
{
	pthread_mutex_lock(&mutex);
	if (pool_size < POOL_LIMIT)
	{
		call->next = pool;
		pool = call;
		pool_size++;
		call = NULL;
	}
	pthread_mutex_unlock(&mutex);

	if (call != NULL)
	{
		pa_unary_destroy(&call->unary);
		free(call);
	}
}

void
pa_call_table_drop(PaCall *call)
{
	pa_unary_clear(&call->unary);
	pa_channel_release(call->channel);
	give_structure(call);
}

void
pa_call_table_insert(PaCall *call)
{
	PaCall	  **bucket = bucket_of(call->call_id);

	pthread_mutex_lock(&mutex);
	call->next = *bucket;
	*bucket = call;
	pthread_mutex_unlock(&mutex);
}

void
pa_call_table_delete(PaCall *call)
{
	PaCall	  **link = bucket_of(call->call_id);

	pthread_mutex_lock(&mutex);
	while (*link != call)
		link = &(*link)->next;
	*link = call->next;
	pthread_mutex_unlock(&mutex);
}

bool
pa_call_table_stream(PaCall *call, PaStream *stream,
					 const Agent__StreamCall *streamed, int64_t deadline_us)
{
	uint64_t	place;

	/* under the mutex, so that its answer finds it gone out */
	pthread_mutex_lock(&mutex);
	place = pa_stream_add(stream, streamed);
	if (place > 0)
	{
		call->stream = pa_stream_share(stream);
		call->place = place;
		call->deadline_us = deadline_us;
	}
	pthread_mutex_unlock(&mutex);
	return place > 0;
}

PaCall *
pa_call_table_take(uint64_t call_id, const PaStream *stream)
{
	PaCall	  **link;
	PaCall	   *call;

	pthread_mutex_lock(&mutex);
	link = link_of(call_id);
	call = *link;
	if (call != NULL && call->stream == stream)
		*link = call->next;
	else
		call = NULL;
	pthread_mutex_unlock(&mutex);
	return call;
}

PaCall *
pa_call_table_take_all(const PaStream *stream, int64_t now, int64_t *next_deadline)
{
	PaCall	   *taken = NULL;

	*next_deadline = INT64_MAX;
	pthread_mutex_lock(&mutex);
	for (int i = 0; i < BUCKETS; i++)
	{
		PaCall	  **link = &in_flight[i];
		PaCall	   *call;

		while ((call = *link) != NULL)
		{
			if (call->stream == NULL ||
				(stream != NULL && call->stream != stream) ||
				call->deadline_us > now)
			{
				if (call->stream != NULL && call->deadline_us < *next_deadline)
					*next_deadline = call->deadline_us;
				link = &call->next;
				continue;
			}
			*link = call->next;
			call->next = taken;
			taken = call;
		}
	}
	pthread_mutex_unlock(&mutex);
	return taken;
}

PaCallFound
pa_call_table_find(uint64_t call_id)
{
	PaCallFound found = {NULL};
	PaCall	  **link;
	PaCall	   *call;

	pthread_mutex_lock(&mutex);
	link = link_of(call_id);
	call = *link;
	if (call == NULL)
		;
	else if (call->stream != NULL)
	{
		*link = call->next;
		found.streamed = call;
	}
	else if (call->unary.call != NULL)
	{
		found.grpc = call->unary.call;
		grpc_call_ref(found.grpc);
	}
	else
		found.unstarted = call;
	pthread_mutex_unlock(&mutex);
	return found;
}

void
pa_call_table_cancel(void)
{
	for (int i = 0; i < BUCKETS; i++)
	{
		size_t		count = 0;
		grpc_call **calls;
		PaCall	   *call;

		pthread_mutex_lock(&mutex);
		for (call = in_flight[i]; call != NULL; call = call->next)
			count++;
		calls = count > 0 ? malloc(count * sizeof(*calls)) : NULL;
		count = 0;
		for (call = in_flight[i]; call != NULL && calls != NULL;
			 call = call->next)
		{
			if (call->unary.call == NULL)
				continue;
			calls[count++] = call->unary.call;
			grpc_call_ref(call->unary.call);
		}
		pthread_mutex_unlock(&mutex);

		for (size_t j = 0; calls != NULL && j < count; j++)
		{
			grpc_call_cancel(calls[j], NULL);
			grpc_call_unref(calls[j]);
		}
		free(calls);
	}
}

void
pa_call_table_end(void)
{
	while (pool != NULL)
	{
		PaCall	   *call = pool;

		pool = call->next;
		pa_unary_destroy(&call->unary);
		free(call);
	}
	pool_size = 0;
}
