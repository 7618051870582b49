/*-------------------------------------------------------------------------
 *
 * src/courier/arena.c
 *		Memory that is given back all at once.
 *
 * See arena.h.  Freeing single pieces does nothing.
 *
 *-------------------------------------------------------------------------
 */
#include <stdalign.h>
#include <stdint.h>
#include <stdlib.h>

#include "arena.h"

#define FIRST_CHUNK		(64 * 1024)
#define LARGEST_CHUNK	(4 * 1024 * 1024)

struct PaArenaChunk
{
	PaArenaChunk *next;
	size_t		size;
	size_t		used;
	alignas(max_align_t) uint8_t data[];
};

static PaArenaChunk *
new_chunk(size_t size)
{
	PaArenaChunk *chunk = malloc(sizeof(PaArenaChunk) + size);

	if (chunk == NULL)
		return NULL;
	chunk->next = NULL;
	chunk->size = size;
	chunk->used = 0;
	return chunk;
}

void *
pa_arena_alloc(PaArena *arena, size_t size)
{
	const size_t align = alignof(max_align_t);
	PaArenaChunk *chunk = arena->current;
	void	   *result;

	if (size > arena->limit - arena->used)
		return NULL;
	size = (size + align - 1) & ~(align - 1);
	if (size == 0)
		size = align;
	if (size > arena->limit - arena->used)
		return NULL;

	if (chunk == NULL || size > chunk->size - chunk->used)
	{
		size_t		chunk_size = FIRST_CHUNK;

		if (chunk != NULL)
			chunk_size = chunk->size * 2;
		if (chunk_size > LARGEST_CHUNK)
			chunk_size = LARGEST_CHUNK;
		if (chunk_size < size)
			chunk_size = size;
		chunk = new_chunk(chunk_size);
		if (chunk == NULL)
			return NULL;
		if (arena->current == NULL)
			arena->first = chunk;
		else
			arena->current->next = chunk;
		arena->current = chunk;
	}

	result = chunk->data + chunk->used;
	chunk->used += size;
	arena->used += size;
	return result;
}

static void *
allocator_alloc(void *data, size_t size)
{
	return pa_arena_alloc(data, size);
}

static void
allocator_free(void *data, void *pointer)
{
}

void
pa_arena_init(PaArena *arena, size_t limit)
{
	arena->allocator.alloc = allocator_alloc;
	arena->allocator.free = allocator_free;
	arena->allocator.allocator_data = arena;
	arena->first = NULL;
	arena->current = NULL;
	arena->used = 0;
	arena->limit = limit;
}

static void
free_chunks(PaArenaChunk *chunk)
{
	while (chunk != NULL)
	{
		PaArenaChunk *next = chunk->next;

		free(chunk);
		chunk = next;
	}
}

void
pa_arena_reset(PaArena *arena)
{
	PaArenaChunk *first = arena->first;

	arena->used = 0;
	if (first == NULL)
		return;

	/* the first chunk is kept unless one large piece blew it up */
	free_chunks(first->next);
	first->next = NULL;
	first->used = 0;
	arena->current = first;
	if (first->size > LARGEST_CHUNK)
		pa_arena_destroy(arena);
}

void
pa_arena_destroy(PaArena *arena)
{
	free_chunks(arena->first);
	arena->first = NULL;
	arena->current = NULL;
	arena->used = 0;
}
