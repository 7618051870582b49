/*-------------------------------------------------------------------------
 *
 * src/program/memory.c
 *		Memory that is either there or ends the process.  Contract in
 *		memory.h.
 *
 *-------------------------------------------------------------------------
 */
/* for program_invocation_short_name */
#define _GNU_SOURCE 1

#include "memory.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *
check(void *memory)
{
	if (memory == NULL)
	{
		fprintf(stderr, "%s: out of memory\n", program_invocation_short_name);
		abort();
	}
	return memory;
}

void *
pa_memory_allocate(size_t size)
{
	return check(malloc(size > 0 ? size : 1));
}

void *
pa_memory_allocate_zeroed(size_t size)
{
	return check(calloc(1, size > 0 ? size : 1));
}

void *
pa_memory_resize(void *memory, size_t size)
{
	return check(realloc(memory, size > 0 ? size : 1));
}

char *
pa_memory_copy_string(const char *text)
{
	size_t		length = strlen(text) + 1;

	return memcpy(pa_memory_allocate(length), text, length);
}
