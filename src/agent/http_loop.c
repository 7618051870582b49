/*-------------------------------------------------------------------------
 *
 * src/agent/http_loop.c
 *		A thread that makes HTTP calls.  Contract in http_loop.h.
 *
 *-------------------------------------------------------------------------
 */
#include "http_loop.h"

#include <curl/curl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "program/clock.h"
#include "program/memory.h"

#define LONGEST_SLEEP	60000	/* ms */
#define CONNECT_TIMEOUT	5000	/* ms */

typedef struct PaHttpTransfer
{
	PaHttpCall *call;
	CURL	   *easy;
	struct curl_slist *headers;
	char	   *answer;
	size_t		length;
	size_t		capacity;
	bool		too_large;
	char		error[CURL_ERROR_SIZE];
	struct PaHttpTransfer *previous;
	struct PaHttpTransfer *next;
} PaHttpTransfer;

struct PaHttpLoop
{
	CURLM	   *multi;
	PaTimers	timers;
	pthread_t	thread;
	PaHttpTransfer *transfers;

	pthread_mutex_t lock;		/* for the rest */
	PaHttpTask *first_task;
	PaHttpTask *last_task;
	bool		ending;
};

static void
forget(PaHttpLoop *loop, PaHttpTransfer *transfer)
{
	curl_multi_remove_handle(loop->multi, transfer->easy);
	curl_easy_cleanup(transfer->easy);
	/* session tokens go in headers, and come in answers */
	for (struct curl_slist *header = transfer->headers; header;
		 header = header->next)
		explicit_bzero(header->data, strlen(header->data));
	curl_slist_free_all(transfer->headers);
	if (transfer->answer != NULL)
		explicit_bzero(transfer->answer, transfer->length);
	free(transfer->answer);
	if (transfer->next != NULL)
		transfer->next->previous = transfer->previous;
	if (loop->transfers == transfer)
		loop->transfers = transfer->next;
	else
		transfer->previous->next = transfer->next;
	free(transfer);
}

static size_t
take_answer(char *bytes, size_t one, size_t length, void *data)
{
	PaHttpTransfer *transfer = data;
	size_t		limit = transfer->call->limit;

	if (length > limit || transfer->length > limit - length)
	{
		transfer->too_large = true;
		return 0;
	}
	if (transfer->length + length >= transfer->capacity)
	{
		size_t		capacity = (transfer->length + length + 1024) * 2;
		char	   *grown = pa_memory_allocate(capacity);

		/* not by realloc, which would leave a copy behind */
		if (transfer->answer != NULL)
		{
			memcpy(grown, transfer->answer, transfer->length);
			explicit_bzero(transfer->answer, transfer->length);
			free(transfer->answer);
		}
		transfer->answer = grown;
		transfer->capacity = capacity;
	}
	memcpy(transfer->answer + transfer->length, bytes, length);
	transfer->length += length;
	transfer->answer[transfer->length] = '\0';
	return length;
}

static size_t
take_header(char *bytes, size_t one, size_t length, void *data)
{
	PaHttpTransfer *transfer = data;
	char		text[64];

	if (length > 5 && length < sizeof(text) && strncasecmp(bytes, "date:", 5) == 0)
	{
		time_t		date;

		memcpy(text, bytes + 5, length - 5);
		text[length - 5] = '\0';
		date = curl_getdate(text, NULL);
		if (date > 0)
			transfer->call->date = date;
	}
	return length;
}

static void
set_options(PaHttpTransfer *transfer)
{
	PaHttpCall *call = transfer->call;
	CURL	   *easy = transfer->easy;

	curl_easy_setopt(easy, CURLOPT_PRIVATE, transfer);
	curl_easy_setopt(easy, CURLOPT_URL, call->url);
#if LIBCURL_VERSION_NUM >= 0x075500
	curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
#else
	curl_easy_setopt(easy, CURLOPT_PROTOCOLS, CURLPROTO_HTTP | CURLPROTO_HTTPS);
#endif
	curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, transfer->error);
	curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long) call->timeout);
	curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS,
					 (long) (call->timeout < CONNECT_TIMEOUT ? call->timeout :
							 CONNECT_TIMEOUT));
	curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long) CURL_SSLVERSION_TLSv1_2);
	curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 1L);
	curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 2L);
	curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
	curl_easy_setopt(easy, CURLOPT_USERAGENT, "power_agent/1.0");
	if (call->ca_file != NULL)
		curl_easy_setopt(easy, CURLOPT_CAINFO, call->ca_file);
	if (call->direct)
		curl_easy_setopt(easy, CURLOPT_NOPROXY, "*");
	if (strcmp(call->method, "GET") != 0)
	{
		curl_easy_setopt(easy, CURLOPT_POSTFIELDS, call->body ? call->body : "");
		curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE,
						 call->body ? (long) strlen(call->body) : 0L);
		curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, call->method);
	}
	curl_easy_setopt(easy, CURLOPT_HTTPHEADER, transfer->headers);
	curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, take_answer);
	curl_easy_setopt(easy, CURLOPT_WRITEDATA, transfer);
	curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, take_header);
	curl_easy_setopt(easy, CURLOPT_HEADERDATA, transfer);
}

void
pa_http_start(PaHttpLoop *loop, PaHttpCall *call)
{
	PaHttpTransfer *transfer = pa_memory_allocate_zeroed(sizeof(*transfer));

	transfer->call = call;
	transfer->easy = curl_easy_init();
	if (transfer->easy == NULL)
	{
		fputs("power_agent: out of memory\n", stderr);
		abort();
	}
	for (int i = 0; i < PA_HTTP_HEADERS && call->headers[i] != NULL; i++)
		transfer->headers = curl_slist_append(transfer->headers, call->headers[i]);
	/* a body goes at once, without asking first */
	transfer->headers = curl_slist_append(transfer->headers, "Expect:");
	call->status = 0;
	call->answer = NULL;
	call->length = 0;
	call->date = 0;
	call->problem[0] = '\0';
	call->transfer = transfer;
	set_options(transfer);
	transfer->next = loop->transfers;
	if (transfer->next != NULL)
		transfer->next->previous = transfer;
	loop->transfers = transfer;
	curl_multi_add_handle(loop->multi, transfer->easy);
}

void
pa_http_cancel(PaHttpLoop *loop, PaHttpCall *call)
{
	if (call->transfer != NULL)
		forget(loop, call->transfer);
	call->transfer = NULL;
}

static void
finish(PaHttpLoop *loop, PaHttpTransfer *transfer, CURLcode result)
{
	PaHttpCall *call = transfer->call;
	static char nothing[1] = "";
	long		status = 0;

	if (transfer->too_large)
		snprintf(call->problem, sizeof(call->problem),
				 "the answer has more than %zu bytes", call->limit);
	else if (result != CURLE_OK)
		snprintf(call->problem, sizeof(call->problem), "%s",
				 transfer->error[0] ? transfer->error : curl_easy_strerror(result));
	else
	{
		curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &status);
		call->status = (int) status;
	}
	call->answer = transfer->answer ? transfer->answer : nothing;
	call->length = transfer->length;
	/* "done" may free the call, or start it again */
	call->transfer = NULL;
	call->done(call);
	forget(loop, transfer);
}

/* what has ended since; curl may have more to do afterwards */
static bool
take_ended(PaHttpLoop *loop)
{
	CURLMsg    *message;
	int			left;
	bool		any = false;

	while ((message = curl_multi_info_read(loop->multi, &left)) != NULL)
	{
		PaHttpTransfer *transfer;

		if (message->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &transfer);
		finish(loop, transfer, message->data.result);
		any = true;
	}
	return any;
}

/* false: the loop is to end */
static bool
run_tasks(PaHttpLoop *loop)
{
	PaHttpTask *task;
	bool		ending;

	pthread_mutex_lock(&loop->lock);
	task = loop->first_task;
	loop->first_task = loop->last_task = NULL;
	ending = loop->ending;
	pthread_mutex_unlock(&loop->lock);
	while (task != NULL)
	{
		PaHttpTask *next = task->next;

		task->run(task);
		task = next;
	}
	return !ending;
}

static void *
run_loop(void *data)
{
	PaHttpLoop *loop = data;
	int			running;

	while (run_tasks(loop))
	{
		int64_t		now = pa_clock_now();
		int64_t		next;
		int			wait = LONGEST_SLEEP;

		pa_timer_run(&loop->timers, now);
		curl_multi_perform(loop->multi, &running);
		if (take_ended(loop))
			continue;
		next = pa_timer_next(&loop->timers);
		if (next <= now)
			wait = 0;
		else if (next != INT64_MAX && (next - now + 999) / 1000 < wait)
			wait = (int) ((next - now + 999) / 1000);
		curl_multi_poll(loop->multi, NULL, 0, wait, NULL);
	}
	while (loop->transfers != NULL)
		forget(loop, loop->transfers);
	return NULL;
}

PaHttpLoop *
pa_http_loop_create(void)
{
	PaHttpLoop *loop = pa_memory_allocate_zeroed(sizeof(*loop));

	pthread_mutex_init(&loop->lock, NULL);
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK ||
		(loop->multi = curl_multi_init()) == NULL ||
		pthread_create(&loop->thread, NULL, run_loop, loop) != 0)
	{
		fputs("power_agent: could not start the thread for HTTP\n", stderr);
		abort();
	}
	return loop;
}

void
pa_http_loop_free(PaHttpLoop *loop)
{
	pthread_mutex_lock(&loop->lock);
	loop->ending = true;
	pthread_mutex_unlock(&loop->lock);
	curl_multi_wakeup(loop->multi);
	pthread_join(loop->thread, NULL);
	curl_multi_cleanup(loop->multi);
	pa_timer_free(&loop->timers);
	pthread_mutex_destroy(&loop->lock);
	free(loop);
}

void
pa_http_loop_post(PaHttpLoop *loop, PaHttpTask *task)
{
	bool		first;

	task->next = NULL;
	pthread_mutex_lock(&loop->lock);
	first = loop->first_task == NULL;
	if (first)
		loop->first_task = task;
	else
		loop->last_task->next = task;
	loop->last_task = task;
	pthread_mutex_unlock(&loop->lock);
	if (first)
		curl_multi_wakeup(loop->multi);
}

typedef struct WaitedTask
{
	PaHttpTask	task;
	void		(*function) (void *);
	void	   *data;
	pthread_mutex_t lock;
	pthread_cond_t condition;
	bool		done;
} WaitedTask;

static void
run_waited(PaHttpTask *task)
{
	WaitedTask *waited = (WaitedTask *) task;

	waited->function(waited->data);
	pthread_mutex_lock(&waited->lock);
	waited->done = true;
	pthread_cond_signal(&waited->condition);
	pthread_mutex_unlock(&waited->lock);
}

void
pa_http_loop_run(PaHttpLoop *loop, void (*function) (void *), void *data)
{
	WaitedTask	waited = {
		.task = {.run = run_waited},
		.function = function,
		.data = data,
		.lock = PTHREAD_MUTEX_INITIALIZER,
		.condition = PTHREAD_COND_INITIALIZER
	};

	pa_http_loop_post(loop, &waited.task);
	pthread_mutex_lock(&waited.lock);
	while (!waited.done)
		pthread_cond_wait(&waited.condition, &waited.lock);
	pthread_mutex_unlock(&waited.lock);
}

PaTimers *
pa_http_loop_timers(PaHttpLoop *loop)
{
	return &loop->timers;
}
