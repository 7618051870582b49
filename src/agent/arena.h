/*-------------------------------------------------------------------------
 *
 * src/agent/arena.h
 *		Memory that is given back all at once, at the end of a call.
 *
 * An arena belongs to one thread at a time.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PA_AGENT_ARENA_H
#define PA_AGENT_ARENA_H

#include <stddef.h>

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

/*
 * Aligned for any type, valid until the arena is emptied, never NULL: see
 * program/memory.h.
 */
extern void *pa_arena_allocate(PaArena *arena, size_t size);
extern char *pa_arena_format(PaArena *arena, const char *format,...)
			__attribute__((format(printf, 2, 3)));
extern void pa_arena_empty(PaArena *arena);

#endif							/* PA_AGENT_ARENA_H */
