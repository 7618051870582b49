/*-------------------------------------------------------------------------
 *
 * src/agent/table.h
 *		A hash table whose nodes are part of what they find.
 *
 * The table never allocates, copies or frees what it holds, only its own
 * array of buckets.  Not locked: one thread at a time.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PA_AGENT_TABLE_H
#define PA_AGENT_TABLE_H

#include <stddef.h>
#include <stdint.h>

typedef struct PaTableNode
{
	struct PaTableNode *next;
	uint64_t	hash;
} PaTableNode;

typedef struct PaTable			/* zeroed: empty */
{
	PaTableNode **buckets;
	size_t		size;			/* a power of two, or 0 */
	size_t		count;
	size_t		emptied;		/* buckets that pa_table_take has found empty */
} PaTable;

/* the container of a node, as in PA_CONTAINER(node, PaLane, node) */
#define PA_CONTAINER(pointer, type, member) \
	((type *) ((char *) (pointer) - offsetof(type, member)))

/*
 * Keys come from the network: the hash is mixed with a number drawn at
 * random for this process, so that nobody can prepare collisions.  "seed"
 * chains the parts of a key; 0 for the first.
 */
extern uint64_t pa_table_hash(const void *key, size_t length, uint64_t seed);
extern uint64_t pa_table_hash_text(const char *text, uint64_t seed);

/*
 * The nodes with this very hash: start with first, go on with next, compare
 * the keys yourself.  NULL: no more.
 */
extern PaTableNode *pa_table_first(const PaTable *table, uint64_t hash);
extern PaTableNode *pa_table_next(const PaTableNode *node);

extern void pa_table_insert(PaTable *table, PaTableNode *node, uint64_t hash);
extern void pa_table_remove(PaTable *table, PaTableNode *node);

/* takes out any one node, NULL if empty: for taking a table down */
extern PaTableNode *pa_table_take(PaTable *table);

/* frees the buckets */
extern void pa_table_free(PaTable *table);

#endif							/* PA_AGENT_TABLE_H */
