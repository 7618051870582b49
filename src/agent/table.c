/*-------------------------------------------------------------------------
 *
 * src/agent/table.c
 *		A hash table whose nodes are part of what they find.  Contract in
 *		table.h.
 *
 *-------------------------------------------------------------------------
 */
#include "table.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "program/memory.h"

static pthread_once_t secret_once = PTHREAD_ONCE_INIT;
static uint64_t secret;

static void
draw_secret(void)
{
	struct timespec now;

	if (getrandom(&secret, sizeof(secret), GRND_NONBLOCK) == sizeof(secret))
		return;
	clock_gettime(CLOCK_REALTIME, &now);
	secret = (uint64_t) now.tv_nsec * 0x9e3779b97f4a7c15u ^ (uint64_t) now.tv_sec;
}

/* 128-bit product folded: the mixing step of the wyhash family */
static uint64_t
mix(uint64_t left, uint64_t right)
{
	unsigned __int128 product = (unsigned __int128) left * right;

	return (uint64_t) product ^ (uint64_t) (product >> 64);
}

uint64_t
pa_table_hash(const void *key, size_t length, uint64_t seed)
{
	const unsigned char *at = key;
	uint64_t	hash;
	uint64_t	word;
	size_t		left = length;

	pthread_once(&secret_once, draw_secret);
	hash = mix(seed ^ secret ^ 0xa0761d6478bd642fu, 0xe7037ed1a0b428dbu);
	while (left >= sizeof(word))
	{
		memcpy(&word, at, sizeof(word));
		hash = mix(hash ^ word, 0x8ebc6af09c88c6e3u ^ secret);
		at += sizeof(word);
		left -= sizeof(word);
	}
	word = 0;
	memcpy(&word, at, left);
	return mix(hash ^ word, 0x589965cc75374cc3u ^ (uint64_t) length);
}

uint64_t
pa_table_hash_text(const char *text, uint64_t seed)
{
	return pa_table_hash(text, strlen(text), seed);
}

PaTableNode *
pa_table_first(const PaTable *table, uint64_t hash)
{
	PaTableNode *node;

	if (table->size == 0)
		return NULL;
	for (node = table->buckets[hash & (table->size - 1)];
		 node != NULL && node->hash != hash;
		 node = node->next)
		;
	return node;
}

PaTableNode *
pa_table_next(const PaTableNode *node)
{
	uint64_t	hash = node->hash;
	PaTableNode *next;

	for (next = node->next; next != NULL && next->hash != hash; next = next->next)
		;
	return next;
}

static void
grow(PaTable *table)
{
	size_t		size = table->size ? table->size * 2 : 64;
	PaTableNode **buckets = pa_memory_allocate_zeroed(size * sizeof(*buckets));

	for (size_t i = 0; i < table->size; i++)
	{
		while (table->buckets[i] != NULL)
		{
			PaTableNode *node = table->buckets[i];

			table->buckets[i] = node->next;
			node->next = buckets[node->hash & (size - 1)];
			buckets[node->hash & (size - 1)] = node;
		}
	}
	free(table->buckets);
	table->buckets = buckets;
	table->size = size;
}

void
pa_table_insert(PaTable *table, PaTableNode *node, uint64_t hash)
{
	PaTableNode **bucket;

	if (table->count >= table->size)
		grow(table);
	bucket = &table->buckets[hash & (table->size - 1)];
	node->hash = hash;
	node->next = *bucket;
	*bucket = node;
	table->count++;
	table->emptied = 0;
}

void
pa_table_remove(PaTable *table, PaTableNode *node)
{
	PaTableNode **link = &table->buckets[node->hash & (table->size - 1)];

	while (*link != node)
		link = &(*link)->next;
	*link = node->next;
	table->count--;
}

PaTableNode *
pa_table_take(PaTable *table)
{
	for (; table->count > 0; table->emptied++)
	{
		PaTableNode *node = table->buckets[table->emptied];

		if (node != NULL)
		{
			table->buckets[table->emptied] = node->next;
			table->count--;
			return node;
		}
	}
	return NULL;
}

void
pa_table_free(PaTable *table)
{
	free(table->buckets);
	memset(table, 0, sizeof(*table));
}
