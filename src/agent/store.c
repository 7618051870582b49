/*-------------------------------------------------------------------------
 *
 * src/agent/store.c
 *		What of the agent's memory outlives it: the queue of what is to be
 *		written, and the thread that writes it.  Contract in store.h; the
 *		database is store_file.c's.
 *
 * The main thread has the file until the store is started, and again after
 * it was stopped; in between it is the writer's.
 *
 *-------------------------------------------------------------------------
 */
#include "store.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "metric.h"
#include "program/clock.h"
#include "program/memory.h"
#include "store_file.h"

#define RETRY_INTERVAL		250		/* ms from a failure to the next attempt */
#define QUEUE_LIMIT			200000	/* records that wait for a slow disk */

typedef struct Records
{
	PaRecord   *first;
	PaRecord   *last;
} Records;

struct PaStore
{
	char	   *path;
	PaStoreFile *file;
	pthread_t	thread;
	bool		started;
	void		(*wake) (void *);
	void	   *wake_data;

	pthread_mutex_t lock;		/* of what follows */
	pthread_cond_t changed;
	Records		queue;
	size_t		queued;			/* records, those being written included */
	uint64_t	last_ticket;
	PaStoreProgress progress;
	bool		failing;
	bool		ending;
	char		reason[256];	/* while failing */
};

PaStore *
pa_store_open(const char *path, char *problem, size_t size)
{
	PaStore    *store;
	pthread_condattr_t attributes;
	PaStoreFile *file = pa_store_file_open(path, problem, size);

	if (file == NULL)
		return NULL;
	store = pa_memory_allocate_zeroed(sizeof(*store));
	store->path = pa_memory_copy_string(path);
	store->file = file;
	pthread_mutex_init(&store->lock, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&store->changed, &attributes);
	pthread_condattr_destroy(&attributes);
	return store;
}

static void
free_records(Records *records)
{
	while (records->first != NULL)
	{
		PaRecord   *record = records->first;

		records->first = record->next;
		free(record);
	}
	records->last = NULL;
}

void
pa_store_close(PaStore *store)
{
	pa_store_stop(store);
	free_records(&store->queue);
	pa_store_file_close(store->file);
	pthread_cond_destroy(&store->changed);
	pthread_mutex_destroy(&store->lock);
	free(store->path);
	free(store);
}

bool
pa_store_each_order(PaStore *store, PaTakeOrder take,
					void *data, char *problem, size_t size)
{
	return pa_store_file_each_order(store->file, take, data, problem, size);
}

bool
pa_store_each_answer(PaStore *store, PaTakeAnswer take,
					 void *data, char *problem, size_t size)
{
	return pa_store_file_each_answer(store->file, take, data, problem, size);
}

bool
pa_store_each_instance(PaStore *store, PaTakeInstance take,
					   void *data, char *problem, size_t size)
{
	return pa_store_file_each_instance(store->file, take, data, problem, size);
}

static void
append(Records *records, PaRecord *first, PaRecord *last)
{
	if (records->last != NULL)
		records->last->next = first;
	else
		records->first = first;
	records->last = last;
}

/* a copy of the record, texts and reply with it, goes into the queue */
static void
put(PaStore *store, const PaRecord *record)
{
	size_t		lengths[PA_RECORD_TEXTS] = {0};
	size_t		room = record->length;
	PaRecord   *copy;
	char	   *at;

	for (int i = 0; i < PA_RECORD_TEXTS && record->texts[i] != NULL; i++)
	{
		lengths[i] = strlen(record->texts[i]) + 1;
		room += lengths[i];
	}
	copy = pa_memory_allocate(sizeof(*copy) + room);
	*copy = *record;
	at = copy->rest;
	for (int i = 0; i < PA_RECORD_TEXTS && record->texts[i] != NULL; i++)
	{
		copy->texts[i] = memcpy(at, record->texts[i], lengths[i]);
		at += lengths[i];
	}
	if (record->length > 0)
		copy->reply = memcpy(at, record->reply, record->length);

	pthread_mutex_lock(&store->lock);
	append(&store->queue, copy, copy);
	store->queued++;
	store->last_ticket++;
	pthread_cond_signal(&store->changed);
	pthread_mutex_unlock(&store->lock);
}

void
pa_store_put_order(PaStore *store, const PaStoredOrder *order)
{
	put(store, &(PaRecord) {
		.kind = PA_RECORD_PUT_ORDER, .id = order->id, .used = order->used,
		.order = order->order,
		.texts = {order->source, order->cluster_id, order->request_id}
	});
}

void
pa_store_drop_order(PaStore *store, uint64_t id)
{
	put(store, &(PaRecord) {.kind = PA_RECORD_DROP_ORDER, .id = id});
}

void
pa_store_put_answer(PaStore *store, const PaStoredAnswer *answer)
{
	put(store, &(PaRecord) {
		.kind = PA_RECORD_PUT_ANSWER, .id = answer->id, .word = answer->method,
		.texts = {answer->request_id, answer->cluster_id},
		.reply = answer->reply, .length = answer->length
	});
}

void
pa_store_drop_answer(PaStore *store, uint64_t id)
{
	put(store, &(PaRecord) {.kind = PA_RECORD_DROP_ANSWER, .id = id});
}

void
pa_store_put_instance(PaStore *store, const PaStoredInstance *instance)
{
	put(store, &(PaRecord) {
		.kind = PA_RECORD_PUT_INSTANCE, .word = instance->state,
		.texts = {instance->cluster_id, instance->instance_id}
	});
}

uint64_t
pa_store_last_ticket(PaStore *store)
{
	uint64_t	ticket;

	pthread_mutex_lock(&store->lock);
	ticket = store->last_ticket;
	pthread_mutex_unlock(&store->lock);
	return ticket;
}

PaStoreProgress
pa_store_progress(PaStore *store)
{
	PaStoreProgress progress;

	pthread_mutex_lock(&store->lock);
	progress = store->progress;
	pthread_mutex_unlock(&store->lock);
	return progress;
}

bool
pa_store_works(PaStore *store, char *problem, size_t size)
{
	bool		works;

	pthread_mutex_lock(&store->lock);
	works = !store->failing && store->queued < QUEUE_LIMIT;
	if (store->failing)
		snprintf(problem, size, "the state file cannot be written: %s",
				 store->reason);
	else if (!works)
		snprintf(problem, size,
				 "the disk of the state file is too slow: %zu records wait for it",
				 store->queued);
	pthread_mutex_unlock(&store->lock);
	return works;
}

/* takes what is in the queue, after a wait if need be; false: it is the end */
static bool
take_records(PaStore *store, Records *records)
{
	struct timespec until;

	if (store->failing)
	{
		clock_gettime(CLOCK_MONOTONIC, &until);
		until.tv_nsec += RETRY_INTERVAL * 1000000L;
		until.tv_sec += until.tv_nsec / 1000000000L;
		until.tv_nsec %= 1000000000L;
		while (!store->ending &&
			   pthread_cond_timedwait(&store->changed, &store->lock,
									  &until) != ETIMEDOUT)
			;
	}
	while (records->first == NULL && store->queue.first == NULL &&
		   !store->ending)
		pthread_cond_wait(&store->changed, &store->lock);
	if (store->queue.first != NULL)
		append(records, store->queue.first, store->queue.last);
	store->queue = (Records) {0};
	return records->first != NULL;
}

static void
tell_failure(PaStore *store, bool good, const char *reason)
{
	if (good && store->failing)
		fprintf(stderr,
				"power_agent: state file \"%s\" can be written again\n",
				store->path);
	if (!good && !store->failing)
		fprintf(stderr,
				"power_agent: state file \"%s\" cannot be written: %s; orders are refused until it can\n",
				store->path, reason);
}

static void *
keep_writing(void *data)
{
	PaStore    *store = data;
	Records		records = {0};

	pthread_mutex_lock(&store->lock);
	while (take_records(store, &records))
	{
		uint64_t	last = store->last_ticket;
		size_t		count = store->queued;
		bool		was_ending = store->ending;
		int64_t		begun = pa_clock_now();
		char		reason[256] = "";
		bool		good;

		pthread_mutex_unlock(&store->lock);
		good = pa_store_file_write(store->file, records.first, reason,
								   sizeof(reason));
		pa_metric_commit(good, pa_clock_now() - begun);
		tell_failure(store, good, reason);
		pthread_mutex_lock(&store->lock);
		store->failing = !good;
		store->progress.failed = last;
		if (good)
		{
			store->progress.durable = last;
			store->queued -= count;
		}
		else
			memcpy(store->reason, reason, sizeof(reason));
		pthread_mutex_unlock(&store->lock);
		if (good)
			free_records(&records);
		store->wake(store->wake_data);
		pthread_mutex_lock(&store->lock);
		if (!good && was_ending)
			break;
	}
	pthread_mutex_unlock(&store->lock);
	free_records(&records);
	return NULL;
}

void
pa_store_start(PaStore *store, void (*wake) (void *), void *data)
{
	store->wake = wake;
	store->wake_data = data;
	if (pthread_create(&store->thread, NULL, keep_writing, store) != 0)
	{
		fputs("power_agent: could not start a thread\n", stderr);
		abort();
	}
	store->started = true;
}

void
pa_store_stop(PaStore *store)
{
	if (!store->started)
		return;
	pthread_mutex_lock(&store->lock);
	store->ending = true;
	pthread_cond_signal(&store->changed);
	pthread_mutex_unlock(&store->lock);
	pthread_join(store->thread, NULL);
	store->started = false;
}
