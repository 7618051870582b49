/*-------------------------------------------------------------------------
 *
 * src/agent/store_file.h
 *		The SQLite database of the store.
 *
 * The store's alone.  One thread at a time.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PA_AGENT_STORE_FILE_H
#define PA_AGENT_STORE_FILE_H

#include <stdbool.h>
#include <stddef.h>

#include "store_record.h"

typedef struct PaStoreFile PaStoreFile;

/* as pa_store_open */
extern PaStoreFile *pa_store_file_open(const char *path, char *problem,
									   size_t size);
extern void pa_store_file_close(PaStoreFile *file);

/* as pa_store_each_... */
extern bool pa_store_file_each_order(PaStoreFile *file, PaTakeOrder take,
									 void *data, char *problem, size_t size);
extern bool pa_store_file_each_answer(PaStoreFile *file, PaTakeAnswer take,
									  void *data, char *problem, size_t size);
extern bool pa_store_file_each_instance(PaStoreFile *file, PaTakeInstance take,
										void *data, char *problem, size_t size);

/*
 * Makes a list of changes and flushes them to disk; or makes none of them and
 * returns false, with the reason, which does not name the file.
 */
extern bool pa_store_file_write(PaStoreFile *file, const PaRecord *first,
								char *reason, size_t size);

#endif							/* PA_AGENT_STORE_FILE_H */
