/*-------------------------------------------------------------------------
 *
 * src/extension_info.c
 *		Is the extension power_action in this database, and whose is it?
 *
 * pg_extension has no cache before PostgreSQL 18: what is asked is read by its
 * index, which takes a few microseconds, each time.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_extension.h"
#include "commands/extension.h"
#include "extension_info.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"

#define EXTENSION_NAME	"power_action"

/* Copies the fixed part of the extension's row; false if there is none. */
static bool
read_extension(FormData_pg_extension *extension)
{
	Relation	relation;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	bool		found = false;

	relation = table_open(ExtensionRelationId, AccessShareLock);
	ScanKeyInit(&key, Anum_pg_extension_extname, BTEqualStrategyNumber,
				F_NAMEEQ, CStringGetDatum(EXTENSION_NAME));
	scan = systable_beginscan(relation, ExtensionNameIndexId, true,
							  NULL, 1, &key);

	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
	{
		memcpy(extension, GETSTRUCT(tuple), sizeof(FormData_pg_extension));
		found = true;
	}

	systable_endscan(scan);
	table_close(relation, AccessShareLock);

	return found;
}

static void
require_extension(FormData_pg_extension *extension)
{
	if (!read_extension(extension))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("extension \"%s\" does not exist in this database",
						EXTENSION_NAME)));
}

bool
pa_extension_exists(void)
{
	FormData_pg_extension extension;

	return read_extension(&extension);
}

Oid
pa_extension_owner(void)
{
	FormData_pg_extension extension;

	require_extension(&extension);
	return extension.extowner;
}

bool
pa_extension_is(Oid extension)
{
	char	   *name = get_extension_name(extension);

	return name != NULL && strcmp(name, EXTENSION_NAME) == 0;
}
