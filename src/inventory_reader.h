/*-------------------------------------------------------------------------
 *
 * src/inventory_reader.h
 *		Clusters with their account and instances, read without statements.
 *
 * As row_reader.h says.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PA_INVENTORY_READER_H
#define PA_INVENTORY_READER_H

#include "row_reader.h"

typedef struct PaInventoryReader
{
	PaRowReader clusters;
	PaRowReader accounts;
	PaRowReader instances;
	bool		account_read;	/* accounts has a row: many share one */
} PaInventoryReader;

/* False: nothing was begun, because a table is not as it was made. */
extern bool pa_inventory_reader_begin(PaInventoryReader *reader);
extern void pa_inventory_reader_end(PaInventoryReader *reader);

/*
 * Reads a cluster and its account; then its instances are the next rows of
 * "instances".  False if one of the two does not exist.
 */
extern bool pa_inventory_reader_find(PaInventoryReader *reader,
									 const text *cluster_id);

#endif							/* PA_INVENTORY_READER_H */
