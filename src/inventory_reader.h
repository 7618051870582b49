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
 * Clusters, one at least, that will be read one after the other: all different,
 * in bytewise order.  With "secretly" the time it takes does not depend on
 * which others there are between them.
 */
extern void pa_inventory_reader_set_clusters(PaInventoryReader *reader,
											 const Datum *cluster_ids,
											 int count, bool secretly);

/*
 * Reads one of them and its account; then its instances are the next rows of
 * "instances".  False if one of the two does not exist.
 */
extern bool pa_inventory_reader_find(PaInventoryReader *reader, int position);

#endif							/* PA_INVENTORY_READER_H */
