/*-------------------------------------------------------------------------
 *
 * src/event_rule.h
 *		The rules that every row of power_action.event keeps.
 *
 * Called as the CHECK of the table, in any process that writes events.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PA_EVENT_RULE_H
#define PA_EVENT_RULE_H

#include "fmgr.h"

/*
 * event_keeps_rules(event) returns boolean: true, or it raises
 * check_violation with the rule as constraint name and in words.
 */
extern Datum pa_event_rule_check(PG_FUNCTION_ARGS);

/*
 * The same of the columns of a row (enum PaEventColumn).  False if one is null
 * that must not be.
 */
extern bool pa_event_rule_require(const Datum *values, const bool *nulls);

#endif							/* PA_EVENT_RULE_H */
