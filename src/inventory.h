/*-------------------------------------------------------------------------
 *
 * src/inventory.h
 *		Triggers on the tables: they keep cluster.status and instance.status
 *		honest, and cancel events that come from a dump.
 *
 * Called in any backend that writes these tables, the worker included.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PA_INVENTORY_H
#define PA_INVENTORY_H

/*
 * Set by the worker around the statements that write what an agent said, and
 * cleared on error too.  While it is set the triggers leave every column as
 * the statement has it: status_source and status_changed_at are the worker's
 * to set.
 */
extern bool pa_inventory_writing_outcome;

/*
 * Set around the statement that inserts events together with their jobs, and
 * cleared on error too.  Every other event that is inserted and not final
 * becomes cancelled.
 */
extern bool pa_inventory_inserting_requests;

#endif							/* PA_INVENTORY_H */
