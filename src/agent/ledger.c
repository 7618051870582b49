/*-------------------------------------------------------------------------
 *
 * src/agent/ledger.c
 *		What the agent remembers so that no order is carried out twice, and
 *		none that is out of date.  Contract in ledger.h.
 *
 *-------------------------------------------------------------------------
 */
#include "ledger.h"

#include <stdlib.h>
#include <string.h>

#include "program/memory.h"
#include "store.h"
#include "table.h"

/* a ring with a head: the least recently used is next to it */
typedef struct Link
{
	struct Link *previous;
	struct Link *next;
} Link;

struct PaLedgerEntry
{
	PaTableNode node;
	Link		link;			/* unused while under way */
	uint64_t	id;				/* in the store, once it is done */
	bool		done;
	PaMethod	method;
	void	   *owner;
	uint8_t    *reply;
	size_t		reply_length;
	const char *cluster_id;		/* within text */
	char		text[];			/* request id, NUL, cluster id, NUL */
};

/* the highest order seen of one source for one cluster */
typedef struct Seen
{
	PaTableNode node;
	Link		link;
	uint64_t	id;				/* in the store */
	PaOrder		order;
	uint64_t	request_hash;	/* of the request id that came with it */
	const char *cluster_id;
	char		text[];			/* source, NUL, cluster id, NUL */
} Seen;

struct PaLedger
{
	PaTable		requests;
	Link		answered;
	size_t		answered_count;
	size_t		bytes;			/* of all replies */
	size_t		max_requests;
	size_t		max_bytes;
	PaTable		seen;
	Link		quiet;
	size_t		max_orders;
	PaStore    *store;			/* NULL: none */
	uint64_t	last_answer_id;
	uint64_t	last_order_id;
	uint64_t	last_used;
};

static void
link_last(Link *head, Link *link)
{
	link->previous = head->previous;
	link->next = head;
	head->previous->next = link;
	head->previous = link;
}

static void
unlink_one(Link *link)
{
	link->previous->next = link->next;
	link->next->previous = link->previous;
}

PaLedger *
pa_ledger_create(size_t max_requests, size_t max_bytes, size_t max_orders,
				 PaStore *store)
{
	PaLedger   *ledger = pa_memory_allocate_zeroed(sizeof(*ledger));

	ledger->answered.previous = ledger->answered.next = &ledger->answered;
	ledger->quiet.previous = ledger->quiet.next = &ledger->quiet;
	ledger->max_requests = max_requests;
	ledger->max_bytes = max_bytes;
	ledger->max_orders = max_orders;
	ledger->store = store;
	return ledger;
}

static void
free_entry(PaLedger *ledger, PaLedgerEntry *entry)
{
	if (entry->done)
	{
		unlink_one(&entry->link);
		ledger->answered_count--;
		ledger->bytes -= entry->reply_length;
		if (ledger->store != NULL)
			pa_store_drop_answer(ledger->store, entry->id);
	}
	pa_table_remove(&ledger->requests, &entry->node);
	free(entry->reply);
	free(entry);
}

static void
free_seen(PaLedger *ledger, Seen *seen)
{
	unlink_one(&seen->link);
	pa_table_remove(&ledger->seen, &seen->node);
	if (ledger->store != NULL)
		pa_store_drop_order(ledger->store, seen->id);
	free(seen);
}

void
pa_ledger_free(PaLedger *ledger)
{
	PaTableNode *node;

	while ((node = pa_table_take(&ledger->requests)) != NULL)
	{
		PaLedgerEntry *entry = PA_CONTAINER(node, PaLedgerEntry, node);

		free(entry->reply);
		free(entry);
	}
	while ((node = pa_table_take(&ledger->seen)) != NULL)
		free(PA_CONTAINER(node, Seen, node));
	pa_table_free(&ledger->requests);
	pa_table_free(&ledger->seen);
	free(ledger);
}

static int
compare_numbers(uint64_t left, uint64_t right)
{
	return (left > right) - (left < right);
}

static int
compare_orders(const PaOrder *left, const PaOrder *right)
{
	int			result = compare_numbers(left->timeline, right->timeline);

	if (result == 0)
		result = compare_numbers(left->epoch, right->epoch);
	if (result == 0)
		result = compare_numbers(left->counter, right->counter);
	return result;
}

/* two strings in one piece of memory that follows a structure */
static const char *
store_pair(char *text, const char *first, const char *second)
{
	size_t		length = strlen(first) + 1;

	memcpy(text, first, length);
	return memcpy(text + length, second, strlen(second) + 1);
}

static uint64_t
hash_seen(const char *source, const char *cluster_id)
{
	return pa_table_hash_text(cluster_id, pa_table_hash_text(source, 0));
}

/* the oldest goes if there is no room for one more */
static Seen *
add_seen(PaLedger *ledger, const char *source, const char *cluster_id,
		 uint64_t hash, uint64_t id)
{
	Seen	   *seen = pa_memory_allocate(sizeof(*seen) + strlen(source) +
										  strlen(cluster_id) + 2);

	seen->id = id;
	seen->cluster_id = store_pair(seen->text, source, cluster_id);
	pa_table_insert(&ledger->seen, &seen->node, hash);
	link_last(&ledger->quiet, &seen->link);
	if (ledger->seen.count > ledger->max_orders)
		free_seen(ledger, PA_CONTAINER(ledger->quiet.next, Seen, link));
	return seen;
}

static void
store_order(PaLedger *ledger, const Seen *seen, const char *request_id)
{
	PaStoredOrder order = {
		.id = seen->id,
		.used = ++ledger->last_used,
		.source = seen->text,
		.cluster_id = seen->cluster_id,
		.order = seen->order,
		.request_id = request_id
	};

	if (ledger->store != NULL)
		pa_store_put_order(ledger->store, &order);
}

static Seen *
find_seen(const PaLedger *ledger, const char *source, const char *cluster_id,
		  uint64_t hash)
{
	for (PaTableNode *node = pa_table_first(&ledger->seen, hash);
		 node != NULL; node = pa_table_next(node))
	{
		Seen	   *seen = PA_CONTAINER(node, Seen, node);

		if (strcmp(seen->cluster_id, cluster_id) == 0 &&
			strcmp(seen->text, source) == 0)
			return seen;
	}
	return NULL;
}

/* false: the order is stale */
static bool
take_note(PaLedger *ledger, const PaLedgerRequest *request,
		  uint64_t request_hash, PaOrder *newest)
{
	uint64_t	hash = hash_seen(request->source, request->cluster_id);
	Seen	   *seen = find_seen(ledger, request->source, request->cluster_id,
								 hash);

	if (seen != NULL)
	{
		int			comparison = compare_orders(request->order, &seen->order);

		if (comparison < 0 ||
			(comparison == 0 && seen->request_hash != request_hash))
		{
			*newest = seen->order;
			return false;
		}
		unlink_one(&seen->link);
		link_last(&ledger->quiet, &seen->link);
	}
	else
		seen = add_seen(ledger, request->source, request->cluster_id, hash,
						++ledger->last_order_id);
	seen->order = *request->order;
	seen->request_hash = request_hash;
	store_order(ledger, seen, request->request_id);
	return true;
}

static PaLedgerEntry *
find_entry(const PaLedger *ledger, const char *request_id, uint64_t hash)
{
	for (PaTableNode *node = pa_table_first(&ledger->requests, hash);
		 node != NULL; node = pa_table_next(node))
	{
		PaLedgerEntry *entry = PA_CONTAINER(node, PaLedgerEntry, node);

		if (strcmp(entry->text, request_id) == 0)
			return entry;
	}
	return NULL;
}

static PaLedgerEntry *
add_entry(PaLedger *ledger, const char *request_id, PaMethod method,
		  const char *cluster_id, uint64_t hash)
{
	PaLedgerEntry *entry = pa_memory_allocate(sizeof(*entry) +
											  strlen(request_id) +
											  strlen(cluster_id) + 2);

	entry->id = 0;
	entry->done = false;
	entry->method = method;
	entry->owner = NULL;
	entry->reply = NULL;
	entry->reply_length = 0;
	entry->cluster_id = store_pair(entry->text, request_id, cluster_id);
	pa_table_insert(&ledger->requests, &entry->node, hash);
	return entry;
}

PaLedgerVerdict
pa_ledger_admit(PaLedger *ledger, const PaLedgerRequest *request,
				PaLedgerEntry **entry, PaOrder *newest)
{
	uint64_t	hash = pa_table_hash_text(request->request_id, 0);
	PaLedgerEntry *found;

	*entry = NULL;
	if (request->order != NULL && !take_note(ledger, request, hash, newest))
		return PA_LEDGER_STALE;
	if (request->request_id[0] == '\0')
		return PA_LEDGER_NEW;

	found = find_entry(ledger, request->request_id, hash);
	if (found != NULL)
	{
		if (found->method != request->method ||
			strcmp(found->cluster_id, request->cluster_id) != 0)
			return PA_LEDGER_CONFLICT;
		*entry = found;
		if (!found->done)
			return PA_LEDGER_RUNNING;
		unlink_one(&found->link);
		link_last(&ledger->answered, &found->link);
		return PA_LEDGER_DONE;
	}

	*entry = add_entry(ledger, request->request_id, request->method,
					   request->cluster_id, hash);
	return PA_LEDGER_NEW;
}

void
pa_ledger_set_owner(PaLedgerEntry *entry, void *owner)
{
	entry->owner = owner;
}

void *
pa_ledger_owner(const PaLedgerEntry *entry)
{
	return entry->owner;
}

/* the reply is now known, and stored; the oldest may have to go for it */
static void
keep_reply(PaLedger *ledger, PaLedgerEntry *entry, uint64_t id,
		   const uint8_t *reply, size_t length)
{
	entry->id = id;
	entry->done = true;
	entry->owner = NULL;
	entry->reply = pa_memory_allocate(length);
	if (length > 0)
		memcpy(entry->reply, reply, length);
	entry->reply_length = length;
	ledger->bytes += length;
	ledger->answered_count++;
	link_last(&ledger->answered, &entry->link);
	while (ledger->answered_count > ledger->max_requests ||
		   (ledger->bytes > ledger->max_bytes && ledger->answered_count > 1))
		free_entry(ledger, PA_CONTAINER(ledger->answered.next, PaLedgerEntry,
										link));
}

void
pa_ledger_finish(PaLedger *ledger, PaLedgerEntry *entry, const uint8_t *reply,
				 size_t length)
{
	PaStoredAnswer answer = {
		.id = ++ledger->last_answer_id,
		.request_id = entry->text,
		.method = entry->method,
		.cluster_id = entry->cluster_id,
		.reply = reply,
		.length = length
	};

	if (ledger->store != NULL)
		pa_store_put_answer(ledger->store, &answer);
	keep_reply(ledger, entry, answer.id, reply, length);
}

void
pa_ledger_forget(PaLedger *ledger, PaLedgerEntry *entry)
{
	free_entry(ledger, entry);
}

const uint8_t *
pa_ledger_reply(const PaLedgerEntry *entry, size_t *length)
{
	*length = entry->reply_length;
	return entry->reply;
}

static void
take_order(void *data, const PaStoredOrder *order)
{
	PaLedger   *ledger = data;
	uint64_t	hash = hash_seen(order->source, order->cluster_id);
	Seen	   *seen = add_seen(ledger, order->source, order->cluster_id, hash,
								order->id);

	seen->order = order->order;
	seen->request_hash = pa_table_hash_text(order->request_id, 0);
	ledger->last_used = order->used;
	if (order->id > ledger->last_order_id)
		ledger->last_order_id = order->id;
}

static void
take_answer(void *data, const PaStoredAnswer *answer)
{
	PaLedger   *ledger = data;
	uint64_t	hash = pa_table_hash_text(answer->request_id, 0);
	PaLedgerEntry *entry = add_entry(ledger, answer->request_id,
									 answer->method, answer->cluster_id, hash);

	ledger->last_answer_id = answer->id;
	keep_reply(ledger, entry, answer->id, answer->reply, answer->length);
}

bool
pa_ledger_load(PaLedger *ledger, char *problem, size_t size)
{
	return pa_store_each_order(ledger->store, take_order, ledger, problem,
							   size) &&
		pa_store_each_answer(ledger->store, take_answer, ledger, problem, size);
}
