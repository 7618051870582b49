/*-------------------------------------------------------------------------
 *
 * src/plain_table.h
 *		Tables that are still as the install script made them: whether they
 *		are, for what row_reader and row_writer do with them.
 *
 * A statement is planned, started and joined, and heeds everything that users
 * may have added to a table.  What is done most does without, and heeds
 * nothing but constraints and indexes.  So this is done only while a table has
 * the columns and defaults that the install script gives it, no rule, no
 * trigger that would have to fire, no children, no policies for its owner and
 * no foreign key on what is written.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PA_PLAIN_TABLE_H
#define PA_PLAIN_TABLE_H

#include "fmgr.h"
#include "nodes/nodes.h"
#include "utils/rel.h"

#include "table_layout.h"

#define PA_TABLE_INDEX_COLUMNS	4

#define PA_COLUMN(column)	(UINT64CONST(1) << (column))

typedef struct PaIndexColumn
{
	int			column;			/* if there is no expression */
	const char *expression;		/* as PostgreSQL shows it; or NULL */
} PaIndexColumn;

/*
 * What one place of the sources does with a table: a static variable.
 * Columns are counted from 0, as enum PaEventColumn and its like do.
 */
typedef struct PaTable
{
	const char *name;			/* in the schema power_action */
	const PaColumn *columns;	/* all of them, in their order */
	int			column_count;
	CmdType		command;

	/*
	 * Of CMD_SELECT: the index, or NULL for that of the primary key, and of
	 * what it is made.  The first column is a text or bigint.
	 */
	const char *index;
	PaIndexColumn index_columns[PA_TABLE_INDEX_COLUMNS];
	int			index_column_count;
	uint64		written;		/* of CMD_UPDATE: PA_COLUMN of each */
	int			identity;		/* of CMD_INSERT: column, or -1 */

	/* our own triggers, which would do nothing now; up to a NULL */
	PGFunction	idle_triggers[4];

	/*
	 * Our own CHECK of the whole row, and what does the same of its columns;
	 * NULL if there is none.
	 */
	PGFunction	check;
	bool		(*check_columns) (const Datum *values, const bool *nulls);

	/* what was found out about it, until it is altered */
	Oid			relation;		/* InvalidOid: nothing */
	bool		plain;			/* it is as it was made */
	bool		only_check;		/* there is no other CHECK than ours */
	Oid			sequence;		/* of the identity column */
	Oid			index_relation;
	struct PaTable *next_known;
} PaTable;

/*
 * Opens the table, locked until the end of the transaction as the command
 * needs it.  NULL if it is not as it was made, or the current user, who is the
 * owner of the extension, may not do that to it.
 */
extern Relation pa_table_open(PaTable *table);

/* As a statement does it: sees what this transaction has done before. */
extern void pa_table_push_snapshot(void);

/* Is a text, which is not null, this word? */
extern bool pa_table_is_word(Datum value, const char *word);

#endif							/* PA_PLAIN_TABLE_H */
