/*-------------------------------------------------------------------------
 *
 * src/agent/arena.c
 *		Memory that is given back all at once.  Contract in arena.h.
 *
 *-------------------------------------------------------------------------
 */
#include "arena.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "program/memory.h"

#define ARENA_ALIGN(size)	(((size) + 15) & ~(size_t) 15)
#define ARENA_CHUNK			(16 * 1024)

void *
pa_arena_allocate(PaArena *arena, size_t size)
{
	size_t		needed = ARENA_ALIGN(size);
	size_t		limit = arena->newest ? arena->newest->size : PA_ARENA_INLINE;
	unsigned char *base;

	if (limit - arena->used < needed)
	{
		size_t		header = ARENA_ALIGN(sizeof(PaArenaChunk));
		size_t		grown = arena->newest ? arena->newest->size * 2 : ARENA_CHUNK;
		PaArenaChunk *chunk;

		if (grown < header + needed)
			grown = header + needed;
		chunk = pa_memory_allocate(grown);
		chunk->next = arena->newest;
		chunk->size = grown;
		arena->newest = chunk;
		arena->used = header;
	}
	base = arena->newest ? (unsigned char *) arena->newest : arena->space;
	base += arena->used;
	arena->used += needed;
	return base;
}

char *
pa_arena_format(PaArena *arena, const char *format,...)
{
	char		text[1024];
	va_list		arguments;
	char	   *copy;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	copy = pa_arena_allocate(arena, strlen(text) + 1);
	return memcpy(copy, text, strlen(text) + 1);
}

void
pa_arena_empty(PaArena *arena)
{
	while (arena->newest != NULL)
	{
		PaArenaChunk *chunk = arena->newest;

		arena->newest = chunk->next;
		free(chunk);
	}
	arena->used = 0;
}
