/*-------------------------------------------------------------------------
 *
 * src/plain_table.c
 *		Tables that are still as the install script made them.  See
 *		plain_table.h.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/sysattr.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_am.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "commands/defrem.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "nodes/nodes.h"
#include "nodes/primnodes.h"
#include "optimizer/optimizer.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/ruleutils.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "compat.h"
#include "plain_table.h"

/* tables about which something is known */
static PaTable *known_tables;
static uint64 changes_heard_of; /* of any table */

/* ----------------------------------------------------------------------
 * Is the table as it was made?
 * ----------------------------------------------------------------------
 */

/* Something about a table has changed, or about all. */
static void
forget_table(Datum arg, Oid relation)
{
	changes_heard_of++;
	for (PaTable *table = known_tables; table; table = table->next_known)
		if (relation == InvalidOid || relation == table->relation)
			table->relation = InvalidOid;
}

/* Some function has changed: it may be one of ours. */
static void
forget_functions(Datum arg, int cache, uint32 hash)
{
	forget_table(arg, InvalidOid);
}

static void
register_table(PaTable *table)
{
	static bool registered = false;

	for (PaTable *known = known_tables; known; known = known->next_known)
		if (known == table)
			return;
	if (!registered)
	{
		CacheRegisterRelcacheCallback(forget_table, (Datum) 0);
		CacheRegisterSyscacheCallback(PROCOID, forget_functions, (Datum) 0);
	}
	registered = true;
	table->next_known = known_tables;
	known_tables = table;
}

static bool
has_our_columns(const PaTable *table, TupleDesc descriptor)
{
	if (descriptor->natts != table->column_count)
		return false;
	for (int c = 0; c < table->column_count; c++)
	{
		Form_pg_attribute attribute = TupleDescAttr(descriptor, c);

		if (attribute->attisdropped || attribute->attgenerated != '\0' ||
			attribute->atttypid != table->columns[c].type ||
			attribute->atttypmod != -1 ||
			strcmp(NameStr(attribute->attname), table->columns[c].name) != 0)
			return false;
	}
	return true;
}

/* Our own triggers have nothing to do, and those of foreign keys are below. */
static bool
trigger_is_idle(const PaTable *table, const Trigger *trigger)
{
	FmgrInfo	function;

	if (trigger->tgenabled == TRIGGER_DISABLED)
		return true;
	if (trigger->tgisinternal)
		switch (RI_FKey_trigger_type(trigger->tgfoid))
		{
			case RI_TRIGGER_PK:
				return table->command != CMD_DELETE;
			case RI_TRIGGER_FK:
				return table->command != CMD_INSERT;
			default:
				return false;
		}

	fmgr_info(trigger->tgfoid, &function);
	for (int i = 0; table->idle_triggers[i]; i++)
		if (function.fn_addr == table->idle_triggers[i])
			return true;
	return false;
}

static bool
has_idle_triggers(const PaTable *table, Relation relation)
{
	/* a copy: looking functions up may make those of the relation anew */
	const TriggerDesc *triggers = CopyTriggerDesc(relation->trigdesc);

	for (int i = 0; triggers && i < triggers->numtriggers; i++)
		if (!trigger_is_idle(table, &triggers->triggers[i]))
			return false;
	return true;
}

/* Is what is updated part of a foreign key, or may one refer to it? */
static bool
updates_keys(const PaTable *table, Relation relation)
{
	Bitmapset  *keys;
	ListCell   *cell;
	bool		found = false;

	keys = RelationGetIndexAttrBitmap(relation, INDEX_ATTR_BITMAP_KEY);
	foreach(cell, RelationGetFKeyList(relation))
	{
		const ForeignKeyCacheInfo *key = lfirst(cell);

		for (int i = 0; i < key->nkeys; i++)
			keys = bms_add_member(keys, key->conkey[i] -
								  FirstLowInvalidHeapAttributeNumber);
	}
	for (int c = 0; c < table->column_count; c++)
		if ((table->written & PA_COLUMN(c)) != 0 &&
			bms_is_member(c + 1 - FirstLowInvalidHeapAttributeNumber, keys))
			found = true;
	bms_free(keys);
	return found;
}

/* Is the expression a constant that reads like this? */
static bool
is_constant(const char *expression, const char *text)
{
	Node	   *node = eval_const_expressions(NULL, stringToNode(expression));
	Const	   *constant;
	Oid			output;
	bool		is_varlena;

	if (!IsA(node, Const) || castNode(Const, node)->constisnull)
		return false;
	constant = castNode(Const, node);
	getTypeOutputInfo(constant->consttype, &output, &is_varlena);
	return strcmp(OidOutputFunctionCall(output, constant->constvalue),
				  text) == 0;
}

/* Who inserts without a statement writes what the defaults were. */
static bool
has_our_defaults(const PaTable *table, const TupleConstr *constraints)
{
	int			count = constraints ? constraints->num_defval : 0;

	for (int c = 0; c < table->column_count; c++)
		if (table->columns[c].default_value)
			count--;
	if (count != 0)
		return false;
	for (int i = 0; constraints && i < constraints->num_defval; i++)
	{
		const AttrDefault *is = &constraints->defval[i];
		const char *was = table->columns[is->adnum - 1].default_value;

		if (was == NULL || !is_constant(is->adbin, was))
			return false;
	}
	return true;
}

static bool
is_plain(const PaTable *table, Relation relation)
{
	const FormData_pg_class *class = relation->rd_rel;

	if (class->relkind != RELKIND_RELATION ||
		class->relam != HEAP_TABLE_AM_OID ||
		class->relispartition || class->relhassubclass ||
		class->relforcerowsecurity ||
		!has_our_columns(table, RelationGetDescr(relation)))
		return false;
	return table->command == CMD_SELECT ||
		(relation->rd_rules == NULL &&
		 has_idle_triggers(table, relation) &&
		 (table->command != CMD_UPDATE || !updates_keys(table, relation)) &&
		 (table->command != CMD_INSERT ||
		  has_our_defaults(table, RelationGetDescr(relation)->constr)));
}

static bool
has_our_index_columns(const PaTable *table, Relation relation, Relation index)
{
	List	   *expressions = RelationGetIndexExpressions(index);
	ListCell   *expression = list_head(expressions);
	List	   *context;

	context = deparse_context_for(RelationGetRelationName(relation),
								  RelationGetRelid(relation));
	for (int i = 0; i < table->index_column_count; i++)
	{
		const PaIndexColumn *ours = &table->index_columns[i];

		/* rows are read in its order */
		if (index->rd_indoption[i] != 0)
			return false;
		if (ours->expression == NULL)
		{
			if (index->rd_index->indkey.values[i] != ours->column + 1)
				return false;
			continue;
		}
		if (index->rd_index->indkey.values[i] != 0 ||
			strcmp(deparse_expression(lfirst(expression), context, false,
									  false), ours->expression) != 0)
			return false;
		expression = lnext(expressions, expression);
	}
	return true;
}

static bool
has_our_order(const PaTable *table, Relation index)
{
	for (int i = 0; i < table->index_column_count; i++)
	{
		Oid			type = TupleDescAttr(RelationGetDescr(index), i)->atttypid;
		Oid			usual = GetDefaultOpClass(type, BTREE_AM_OID);

		if (index->rd_opfamily[i] != get_opclass_family(usual) ||
			(type == TEXTOID && index->rd_indcollation[i] != C_COLLATION_OID))
			return false;
	}
	return true;
}

/* Is this our index, and can it be asked by row_reader? */
static bool
is_our_index(const PaTable *table, Relation relation, Relation index)
{
	const FormData_pg_index *form = index->rd_index;

	if (table->index ?
		strcmp(RelationGetRelationName(index), table->index) != 0 :
		!form->indisprimary)
		return false;
	return form->indisvalid && index->rd_rel->relam == BTREE_AM_OID &&
		RelationGetIndexPredicate(index) == NIL &&
		form->indnkeyatts == table->index_column_count &&
		has_our_order(table, index) &&
		has_our_index_columns(table, relation, index);
}

static Oid
find_index(const PaTable *table, Relation relation)
{
	Oid			found = InvalidOid;
	ListCell   *cell;

	foreach(cell, RelationGetIndexList(relation))
	{
		Relation	index = index_open(lfirst_oid(cell), AccessShareLock);

		if (is_our_index(table, relation, index))
			found = RelationGetRelid(index);
		index_close(index, NoLock);
	}
	return found;
}

/* Is our own CHECK the only one, and of the whole row? */
static bool
has_only_our_check(const PaTable *table, const TupleConstr *constraints)
{
	Node	   *check;
	FuncExpr   *call;
	FmgrInfo	function;

	if (table->check == NULL || constraints == NULL ||
		constraints->num_check != 1)
		return false;
	check = stringToNode(constraints->check[0].ccbin);
	if (!IsA(check, FuncExpr))
		return false;
	call = (FuncExpr *) check;
	if (list_length(call->args) != 1 || !IsA(linitial(call->args), Var) ||
		linitial_node(Var, call->args)->varattno != 0)
		return false;
	fmgr_info(call->funcid, &function);
	return function.fn_addr == table->check;
}

static void
examine(PaTable *table, Relation relation)
{
	uint64		before = changes_heard_of;

	register_table(table);
	table->plain = is_plain(table, relation);
	table->only_check =
		has_only_our_check(table, RelationGetDescr(relation)->constr);
	if (table->plain && table->command == CMD_INSERT && table->identity >= 0)
	{
		table->sequence =
			pa_compat_identity_sequence(relation, table->identity + 1);
		table->plain = OidIsValid(table->sequence);
	}
	if (table->plain && table->command == CMD_SELECT)
	{
		table->index_relation = find_index(table, relation);
		table->plain = OidIsValid(table->index_relation);
	}
	/* our lock does not keep out who adds a child, say: look again then */
	table->relation = changes_heard_of == before ?
		RelationGetRelid(relation) : InvalidOid;
}

/* What the statement would ask for. */
static bool
may_be_used(const PaTable *table, Oid relation)
{
	AclMode		wanted = ACL_SELECT;

	if (table->command == CMD_INSERT)
		wanted = ACL_INSERT;
	else if (table->command == CMD_UPDATE)
		wanted |= ACL_UPDATE;
	else if (table->command == CMD_DELETE)
		wanted |= ACL_DELETE;
	/* policies are not for owners */
	return pa_compat_owns_table(relation, GetUserId()) &&
		pg_class_aclmask(relation, GetUserId(), wanted, ACLMASK_ALL) == wanted;
}

Relation
pa_table_open(PaTable *table)
{
	static char schema[] = "power_action";
	RangeVar	name = {
		.type = T_RangeVar,
		.schemaname = schema,
		.relname = unconstify(char *, table->name),
		.relpersistence = RELPERSISTENCE_PERMANENT
	};
	Relation	relation;

	/* what was changed before it could be locked is learnt here */
	relation = table_openrv_extended(&name, table->command == CMD_SELECT ?
									 AccessShareLock : RowExclusiveLock, true);
	/* a statement says what is missing */
	if (relation == NULL)
		return NULL;
	if (table->relation != RelationGetRelid(relation))
		examine(table, relation);
	if (!table->plain || !may_be_used(table, RelationGetRelid(relation)))
	{
		table_close(relation, NoLock);
		return NULL;
	}
	/* what is published must be told apart */
	CheckCmdReplicaIdentity(relation, table->command);
	return relation;
}

void
pa_table_push_snapshot(void)
{
	CommandCounterIncrement();
	PushActiveSnapshot(GetTransactionSnapshot());
}

bool
pa_table_is_word(Datum value, const char *word)
{
	const text *is = DatumGetTextPP(value);
	size_t		length = strlen(word);

	return VARSIZE_ANY_EXHDR(is) == length &&
		memcmp(VARDATA_ANY(is), word, length) == 0;
}
