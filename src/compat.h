/*-------------------------------------------------------------------------
 *
 * src/compat.h
 *		Differences between the PostgreSQL versions that we support, 15 to 18.
 *
 * The only place that looks at PG_VERSION_NUM.  Everybody else writes for
 * the newest version and includes this.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PA_COMPAT_H
#define PA_COMPAT_H

#include "access/genam.h"
#include "access/tableam.h"
#include "catalog/dependency.h"
#include "catalog/pg_class.h"
#include "catalog/pg_database.h"
#include "executor/executor.h"
#include "utils/acl.h"
#include "utils/rel.h"
#include "utils/wait_event.h"

#if PG_VERSION_NUM < 150000
#error "power_action needs PostgreSQL 15 or later"
#endif

/* 16 replaced the ownership tests of each kind of object by one */
static inline bool
pa_compat_owns_database(Oid database, Oid role)
{
#if PG_VERSION_NUM >= 160000
	return object_ownercheck(DatabaseRelationId, database, role);
#else
	return pg_database_ownercheck(database, role);
#endif
}

static inline bool
pa_compat_owns_table(Oid table, Oid role)
{
#if PG_VERSION_NUM >= 160000
	return object_ownercheck(RelationRelationId, table, role);
#else
	return pg_class_ownercheck(table, role);
#endif
}

/*
 * datconnlimit of a database whose DROP was interrupted; older minor versions
 * do not know it, and none of their databases has it
 */
#ifndef DATCONNLIMIT_INVALID_DB
#define DATCONNLIMIT_INVALID_DB	(-2)
#endif

/* until 17, extensions share one wait event, without a name of their own */
static inline uint32
pa_compat_new_wait_event(const char *name)
{
#if PG_VERSION_NUM >= 170000
	return WaitEventExtensionNew(name);
#else
	(void) name;
	return PG_WAIT_EXTENSION;
#endif
}

/* 18 counts what a scan does for EXPLAIN */
static inline IndexScanDesc
pa_compat_index_beginscan(Relation table, Relation index, Snapshot snapshot,
						  int keys)
{
#if PG_VERSION_NUM >= 180000
	return index_beginscan(table, index, snapshot, NULL, keys, 0);
#else
	return index_beginscan(table, index, snapshot, keys, 0);
#endif
}

/* 17 knows identities of partitions */
static inline Oid
pa_compat_identity_sequence(Relation relation, AttrNumber column)
{
#if PG_VERSION_NUM >= 170000
	return getIdentitySequence(relation, column, true);
#else
	return getIdentitySequence(RelationGetRelid(relation), column, true);
#endif
}

/* from 16 on, an update may ask for entries in summarizing indexes alone */
#if PG_VERSION_NUM >= 160000
typedef TU_UpdateIndexes PaIndexUpdate;
#define PA_INDEX_UPDATE_NONE	TU_None
#define PA_INDEX_UPDATE_ALL		TU_All
#else
typedef bool PaIndexUpdate;
#define PA_INDEX_UPDATE_NONE	false
#define PA_INDEX_UPDATE_ALL		true
#endif

static inline List *
pa_compat_insert_index_entries(ResultRelInfo *table, TupleTableSlot *row,
							   EState *estate, bool update,
							   PaIndexUpdate which)
{
#if PG_VERSION_NUM >= 160000
	return ExecInsertIndexTuples(table, row, estate, update, false, NULL, NIL,
								 which == TU_Summarizing);
#else
	(void) which;
	return ExecInsertIndexTuples(table, row, estate, update, false, NULL, NIL);
#endif
}

#endif							/* PA_COMPAT_H */
