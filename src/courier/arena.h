/*-------------------------------------------------------------------------
 *
 * src/courier/arena.h
 *		Memory that is given back all at once: one message is unpacked into
 *		it, used, and forgotten.
 *
 * Each arena belongs to one thread.  It has a limit, because a message of a
 * few megabytes can unpack into gigabytes of empty structures.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PA_COURIER_ARENA_H
#define PA_COURIER_ARENA_H

#include <stddef.h>

#include <protobuf-c/protobuf-c.h>

typedef struct PaArenaChunk PaArenaChunk;

typedef struct PaArena
{
	/* for protobuf-c; valid while the arena stays where it was set up */
	ProtobufCAllocator allocator;
	PaArenaChunk *first;		/* kept by reset */
	PaArenaChunk *current;
	size_t		used;			/* bytes handed out since the last reset */
	size_t		limit;
} PaArena;

extern void pa_arena_init(PaArena *arena, size_t limit);

/* aligned for anything; NULL when the limit or the memory is exhausted */
extern void *pa_arena_alloc(PaArena *arena, size_t size);

/* everything handed out becomes invalid */
extern void pa_arena_reset(PaArena *arena);
extern void pa_arena_destroy(PaArena *arena);

#endif							/* PA_COURIER_ARENA_H */
