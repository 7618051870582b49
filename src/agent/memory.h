/*-------------------------------------------------------------------------
 *
 * src/agent/memory.h
 *		Memory that is either there or ends the process, and arenas that are
 *		emptied in one go.
 *
 * Usable from any thread; an arena belongs to one thread at a time.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PA_AGENT_MEMORY_H
#define PA_AGENT_MEMORY_H

#include <stddef.h>

/* never return NULL: the process ends with a message when memory runs out */
extern void *pa_memory_allocate(size_t size);
extern void *pa_memory_allocate_zeroed(size_t size);
extern void *pa_memory_resize(void *memory, size_t size);
extern char *pa_memory_copy_string(const char *text);

typedef struct PaArenaChunk
{
	struct PaArenaChunk *next;
	size_t		size;
} PaArenaChunk;

#define PA_ARENA_INLINE	1536

/*
 * Small needs are met from the space within the structure, so that an
 * ordinary call allocates nothing.  A zeroed structure is an empty arena.
 */
typedef struct PaArena
{
	size_t		used;			/* of the newest chunk, or of the inline space */
	PaArenaChunk *newest;		/* NULL: nothing beyond the inline space */
	_Alignas(16) unsigned char space[PA_ARENA_INLINE];
} PaArena;

/* aligned for any type; valid until the arena is emptied */
extern void *pa_arena_allocate(PaArena *arena, size_t size);
extern char *pa_arena_format(PaArena *arena, const char *format,...)
			__attribute__((format(printf, 2, 3)));
extern void pa_arena_empty(PaArena *arena);

#endif							/* PA_AGENT_MEMORY_H */
