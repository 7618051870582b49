/*-------------------------------------------------------------------------
 *
 * src/agent/ec2_batch.c
 *		One call of the provider ec2: which instances it is for, and its
 *		signature.  Contract in ec2_state.h.
 *
 *-------------------------------------------------------------------------
 */
#include "ec2_state.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "program/memory.h"
#include "program/secret.h"
#include "sigv4.h"

#define ANSWER_LIMIT	(32 * 1024 * 1024)
#define CONTENT_TYPE	"application/x-www-form-urlencoded; charset=utf-8"

/* true: the batch names the id already */
static bool
knows(const PaEc2Batch *batch, const char *id, uint64_t hash)
{
	for (PaTableNode *node = pa_table_first(&batch->ids, hash); node != NULL;
		 node = pa_table_next(node))
	{
		const PaEc2Item *item = PA_CONTAINER(node, PaEc2Item, node);

		if (strcmp(item->instance->instance_id, id) == 0)
			return true;
	}
	return false;
}

static void
take(PaEc2Batch *batch, PaEc2Item *item)
{
	const char *id = item->instance->instance_id;
	uint64_t	hash = pa_table_hash_text(id, 0);

	pa_ec2_list_remove(item);
	pa_ec2_list_push(&batch->items, item, true);
	item->in_order_call = batch->verb != PA_PROVIDER_DESCRIBE;
	item->seen = false;
	item->reason = NULL;
	if (!knows(batch, id, hash))
		batch->names[batch->count++] = id;
	pa_table_insert(&batch->ids, &item->node, hash);
}

PaEc2Batch *
pa_ec2_batch_create(PaEc2Region *region)
{
	PaEc2Account *account = region->account;
	PaEc2Batch *batch = pa_memory_allocate_zeroed(sizeof(*batch));
	PaEc2Order *alone = NULL;
	PaEc2List  *queue;
	PaEc2Item  *item;
	size_t		limit;

	/* in turn, so that no kind of calls keeps another waiting */
	do
	{
		batch->verb = (PaProviderVerb) region->turn;
		region->turn = (region->turn + 1) % 3;
		queue = &region->queues[batch->verb];
	} while (queue->first == NULL);
	limit = batch->verb == PA_PROVIDER_DESCRIBE ? PA_EC2_MAX_FILTER :
		(size_t) account->max_instances;
	batch->region = region;
	batch->names = pa_arena_allocate(&batch->arena, limit * sizeof(*batch->names));
	while ((item = queue->first) != NULL && batch->count < limit)
	{
		if (batch->verb != PA_PROVIDER_DESCRIBE)
		{
			if (batch->items.first == NULL)
				alone = item->order->alone ? item->order : NULL;
			else if (alone != NULL ? item->order != alone : item->order->alone)
				break;
		}
		take(batch, item);
	}
	batch->next = account->batches;
	if (batch->next != NULL)
		batch->next->previous = batch;
	account->batches = batch;
	return batch;
}

/* the part of the URL between "//" and the path */
static const char *
host_of(PaArena *arena, const char *url, const char **path)
{
	const char *host = strstr(url, "//") + 2;
	size_t		length = strcspn(host, "/");

	*path = host[length] == '/' ? host + length : "/";
	return pa_arena_format(arena, "%.*s", (int) length, host);
}

static char *
join(const char *left, const char *right)
{
	size_t		size = strlen(left) + strlen(right) + 1;
	char	   *text = pa_memory_allocate(size);

	snprintf(text, size, "%s%s", left, right);
	return text;
}

bool
pa_ec2_batch_sign(PaEc2Batch *batch, const PaEc2Keys *keys)
{
	PaEc2Account *account = batch->region->account;
	PaArena    *arena = &batch->arena;
	PaHttpCall *call = &batch->call;
	time_t		now = time(NULL) + (time_t) account->clock_offset;
	struct tm	broken;
	char		date[32];
	char		authorization[1024];
	const char *path;
	const char *host = host_of(arena, batch->region->url, &path);
	const char *body = pa_ec2_query_body(arena, batch->verb, batch->names,
										 batch->count, batch->token);
	int			count = 0;
	PaSigv4Header headers[4] = {
		{"content-type", CONTENT_TYPE},
		{"host", host},
		{"x-amz-date", date},
		{"x-amz-security-token", keys->session_token}
	};
	PaSigv4Request request = {
		.method = "POST",
		.path = path,
		.query = "",
		.headers = headers,
		.header_count = keys->session_token ? 4 : 3,
		.body = body,
		.body_length = strlen(body),
		.date = date,
		.region = batch->region->name,
		.service = "ec2"
	};

	gmtime_r(&now, &broken);
	strftime(date, sizeof(date), "%Y%m%dT%H%M%SZ", &broken);
	if (!pa_sigv4_sign(&request, keys->access_key, keys->secret_key,
					   authorization, sizeof(authorization)))
		return false;
	memset(call, 0, sizeof(*call));
	call->method = "POST";
	call->url = batch->region->url;
	call->body = body;
	call->headers[count++] = "Content-Type: " CONTENT_TYPE;
	call->headers[count++] = pa_arena_format(arena, "Host: %s", host);
	call->headers[count++] = pa_arena_format(arena, "X-Amz-Date: %s", date);
	call->headers[count++] = pa_arena_format(arena, "Authorization: %s",
											 authorization);
	pa_secret_free(batch->session_header);
	batch->session_header = NULL;
	if (keys->session_token != NULL)
		call->headers[count++] = batch->session_header =
			join("X-Amz-Security-Token: ", keys->session_token);
	call->timeout = account->timeout;
	call->ca_file = pa_account_text(account->account, "ca_file");
	call->limit = ANSWER_LIMIT;
	free(batch->access_key);
	batch->access_key = pa_memory_copy_string(keys->access_key);
	return true;
}
