/*-------------------------------------------------------------------------
 *
 * src/program/memory.h
 *		Memory that is either there or ends the process.
 *
 * Any thread.  To be given back by free.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PA_PROGRAM_MEMORY_H
#define PA_PROGRAM_MEMORY_H

#include <stddef.h>

/*
 * Never return NULL: the process ends with a message when memory runs out.
 * (Of a courier, the worker starts another one.)
 */
extern void *pa_memory_allocate(size_t size);
extern void *pa_memory_allocate_zeroed(size_t size);
extern void *pa_memory_resize(void *memory, size_t size);
extern char *pa_memory_copy_string(const char *text);

#endif							/* PA_PROGRAM_MEMORY_H */
