/*-------------------------------------------------------------------------
 *
 * src/extension_info.h
 *		Is the extension power_action in this database, and whose is it?
 *
 * Called in a transaction, in any process that is connected to a database.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PA_EXTENSION_INFO_H
#define PA_EXTENSION_INFO_H

extern bool pa_extension_exists(void);

/* Raises undefined_object if the extension is not there. */
extern Oid	pa_extension_owner(void);

/* true if the OID is that of the extension power_action */
extern bool pa_extension_is(Oid extension);

#endif							/* PA_EXTENSION_INFO_H */
