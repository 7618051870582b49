/* objects: agent/behaviour agent/units agent/status_name agent/table */
/*-------------------------------------------------------------------------
 *
 * test/unit/agent_behaviour_test.c
 *		The language of the agent's behaviour rules, and which one a call
 *		meets.
 *
 *-------------------------------------------------------------------------
 */
#include "agent/behaviour.h"

#include <stdio.h>
#include <stdlib.h>

#include "agent/units.h"
#include "unit.h"

static char problem[512];

static PaRules *
parse(const char *text)
{
	problem[0] = '\0';
	return pa_behaviour_parse(text, "rules", problem, sizeof(problem));
}

static void
refused(const char *text, const char *expected)
{
	PaRules    *rules = parse(text);

	if (!ok(rules == NULL && strstr(problem, expected) != NULL,
			"refused, with \"%s\"", expected))
		printf("# got: %s\n", rules ? "rules" : problem);
	pa_behaviour_release(rules);
}

static void
test_words(void)
{
	PaRules    *rules;
	const PaRule *rule;

	rules = parse("# a comment\n"
				  "\n"
				  "  c1 off latency=50ms status=unavailable message=\"a \\\"b\\\" \\\\ #c\" times=2 # end\r\n"
				  "c2 hang when=after latency=1.5s\n"
				  "c3 error=-7 message=no partial=i-1,i-2\n"
				  "c4 on state accept-only act-after=2min foreign=3 size=5MB\n"
				  "c5 drop\n"
				  "c6 crash garbage invalid-utf8 partial=2 status=14\n");
	ok(rules == NULL, "two faults in one rule are refused");
	pa_behaviour_release(rules);

	rules = parse("# a comment\n"
				  "\n"
				  "  c1 off latency=50ms status=unavailable message=\"a \\\"b\\\" \\\\ #c\" times=2 # end\r\n"
				  "c2 hang when=after latency=1.5s\n"
				  "c3 error=-7 message=no partial=i-1,i-2\n"
				  "c4 on state accept-only act-after=2min foreign=3 size=5MB\n"
				  "c5 drop\n"
				  "c6 crash garbage invalid-utf8 partial=2");
	if (!ok(rules != NULL, "every word is understood"))
	{
		printf("# %s\n", problem);
		return;
	}
	rule = pa_behaviour_match(rules, "c1", PA_METHOD_POWER_OFF);
	ok(rule != NULL, "a rule for a method applies to it");
	is_number(rule->latency, 50000, "latency is in microseconds");
	is_number(rule->fault, PA_FAULT_STATUS, "status is a fault");
	is_number(rule->status, 14, "a status by its name in any case");
	is_string(rule->message, "a \"b\" \\ #c", "a quoted text");
	ok(!rule->after, "before is the default");
	ok(pa_behaviour_match(rules, "c1", PA_METHOD_POWER_ON) == NULL,
	   "and to no other method");
	rule = pa_behaviour_match(rules, "c2", PA_METHOD_GET_STATE);
	ok(rule != NULL && rule->after && rule->fault == PA_FAULT_HANG &&
	   rule->latency == 1500000, "hang, when, and a fraction");
	rule = pa_behaviour_match(rules, "c3", PA_METHOD_POWER_ON);
	is_number(rule->error, -7, "error");
	is_number(rule->partial.id_count, 2, "instances by name");
	ok(pa_behaviour_selects(&rule->partial, 0, 5, "i-2"), "a named one is selected");
	ok(!pa_behaviour_selects(&rule->partial, 4, 5, "i-3"), "another one is not");
	rule = pa_behaviour_match(rules, "c4", PA_METHOD_GET_STATE);
	ok(rule != NULL && pa_behaviour_match(rules, "c4", PA_METHOD_POWER_ON) == rule &&
	   pa_behaviour_match(rules, "c4", PA_METHOD_POWER_OFF) == NULL,
	   "two methods");
	ok(rule->accept_only && rule->act_after == 120000000 &&
	   rule->foreign.count == 3 && rule->size == 5 * 1024 * 1024,
	   "accept-only, act-after, foreign and size");
	rule = pa_behaviour_match(rules, "c5", PA_METHOD_POWER_ON);
	is_number(rule->fault, PA_FAULT_DROP, "drop");
	rule = pa_behaviour_match(rules, "c6", PA_METHOD_POWER_ON);
	ok(rule->fault == PA_FAULT_CRASH && rule->garbage && rule->invalid_utf8,
	   "crash, garbage, invalid-utf8");
	ok(pa_behaviour_selects(&rule->partial, 3, 5, "x") &&
	   pa_behaviour_selects(&rule->partial, 4, 5, "x") &&
	   !pa_behaviour_selects(&rule->partial, 2, 5, "x"),
	   "a number selects the last ones");
	ok(pa_behaviour_selects(&rule->partial, 0, 1, "x"),
	   "or all, if there are not as many");
	pa_behaviour_release(rules);
}

static void
test_matching(void)
{
	PaRules    *rules = parse("exact error=1\n"
							  "a*c error=2\n"
							  "*-x-* error=3\n"
							  "[b] error=4\n"
							  "* error=5\n");
	struct
	{
		const char *cluster;
		int			error;
	}			cases[] = {
		{"exact", 1}, {"exactly", 5}, {"ac", 2}, {"abcc", 2}, {"abcd", 5},
		{"p-x-q", 3}, {"-x-", 3}, {"p-x", 5}, {"[b]", 4}, {"b", 5}, {"", 5}
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		const PaRule *rule = pa_behaviour_match(rules, cases[i].cluster,
												PA_METHOD_POWER_ON);

		ok(rule != NULL && rule->error == cases[i].error,
		   "cluster \"%s\" meets rule %d", cases[i].cluster, cases[i].error);
	}
	pa_behaviour_release(rules);
	rules = parse("");
	ok(rules != NULL && pa_behaviour_match(rules, "c", PA_METHOD_POWER_ON) == NULL,
	   "no rules, no misbehaviour");
	pa_behaviour_release(rules);
}

static void
test_times(void)
{
	PaRules    *rules = parse("c* error=1 times=2\nc1 error=2 times=1\n");
	PaRules    *kept;
	const PaRule *rule;
	int			seen[5];

	for (int i = 0; i < 5; i++)
	{
		rule = pa_behaviour_match(rules, "c1", PA_METHOD_POWER_ON);
		seen[i] = rule ? rule->error : 0;
	}
	ok(seen[0] == 1 && seen[1] == 1 && seen[2] == 2 && seen[3] == 0 && seen[4] == 0,
	   "a rule that is used up gives way to the next");
	rule = pa_behaviour_match(rules, "c2", PA_METHOD_POWER_ON);
	ok(rule != NULL && rule->error == 1, "times counts for each cluster");
	kept = pa_behaviour_retain(rules);
	pa_behaviour_release(rules);
	is_number(rule->error, 1, "a rule lives as long as its rules");
	pa_behaviour_release(kept);
}

static void
test_defaults(void)
{
	PaRules    *rules = pa_behaviour_create_default();
	const PaRule *rule;
	bool		takes_value = false;

	ok(pa_behaviour_is_word("latency", &takes_value) && takes_value,
	   "latency is a word with a value");
	ok(pa_behaviour_is_word("hang", &takes_value) && !takes_value,
	   "hang is one without");
	ok(!pa_behaviour_is_word("hangs", &takes_value), "hangs is none");
	ok(pa_behaviour_set_default(rules, "method", "off", problem, sizeof(problem)) &&
	   pa_behaviour_set_default(rules, "latency", "7", problem, sizeof(problem)),
	   "words can be set one by one");
	rule = pa_behaviour_match(rules, "any", PA_METHOD_POWER_OFF);
	ok(rule != NULL && rule->latency == 7000, "and apply to every cluster");
	ok(pa_behaviour_match(rules, "any", PA_METHOD_POWER_ON) == NULL,
	   "with the method that was set");
	ok(!pa_behaviour_set_default(rules, "times", "0", problem, sizeof(problem)) &&
	   strstr(problem, "times") != NULL, "a bad value is refused");
	ok(pa_behaviour_set_default(rules, "act-after", "1s", problem, sizeof(problem)) &&
	   !pa_behaviour_check_default(rules, false, problem, sizeof(problem)) &&
	   pa_behaviour_check_default(rules, true, problem, sizeof(problem)),
	   "act-after needs an agent that accepts");
	pa_behaviour_release(rules);
}

static void
test_errors(void)
{
	refused("c1 hang\n\nc2 nonsense=1\n", "rules:3: unknown word \"nonsense\"");
	refused("c1 offf\n", "rules:1: unknown word \"offf\"");
	refused("c1 backwards\n", "rules:1: unknown word \"backwards\"");
	refused("latency=5 c1\n", "expected a cluster (or *) first, found \"latency=5\"");
	refused("c1 latency\n", "latency needs a value: latency=TIME");
	refused("c1 latency=\n", "latency needs a value");
	refused("c1 latency=5parsec\n", "invalid latency \"5parsec\": valid is a time");
	refused("c1 latency=-5\n", "invalid latency");
	refused("c1 latency=1e9\n", "invalid latency");
	refused("c1 hang=1\n", "hang takes no value");
	refused("c1 status=OK\n", "invalid status \"OK\"");
	refused("c1 status=17\n", "invalid status \"17\"");
	refused("c1 status=NOPE\n", "invalid status \"NOPE\"");
	refused("c1 error=0\n", "invalid error \"0\"");
	refused("c1 error=2147483648\n", "invalid error");
	refused("c1 partial=0\n", "invalid partial \"0\"");
	refused("c1 when=later\n", "valid are before and after");
	refused("c1 times=0\n", "invalid times");
	refused("c1 size=2GB\n", "invalid size");
	refused("c1 method=up\n", "invalid method \"up\"");
	refused("c1 message=\"no end\n", "a quoted value has no end");
	refused("c1 message=\"x\"hang\n", "a blank is missing");
	refused("c1 act-after=5\n", "act-after is only possible with accept-only");
	refused("c1 accept-only error=1\n", "exclude each other");
	refused("c1 hang drop\n", "only one of status, hang, drop and crash");
}

static void
test_units(void)
{
	int64_t		value = -1;

	ok(pa_units_duration("250us", &value) && value == 250, "us");
	ok(pa_units_duration("3", &value) && value == 3000, "a plain number is ms");
	ok(pa_units_duration("2 s", &value) && value == 2000000, "a blank before the unit");
	ok(pa_units_duration("1h", &value) && value == 3600000000LL, "h");
	ok(!pa_units_duration("", &value) && !pa_units_duration("s", &value) &&
	   !pa_units_duration("0x10", &value) && !pa_units_duration("1.2.3s", &value) &&
	   !pa_units_duration("nan", &value) && !pa_units_duration(" 1s", &value) &&
	   !pa_units_duration("1000000h", &value), "what is no time");
	is_number(value, 3600000000LL, "a refused text changes nothing");
	ok(pa_units_size("4kB", &value) && value == 4096, "kB");
	ok(!pa_units_size("4KB", &value) && !pa_units_size("2000MB", &value),
	   "what is no size");
	ok(pa_units_number("-5", -5, 5, &value) && value == -5, "a number");
	ok(!pa_units_number("6", -5, 5, &value) && !pa_units_number("5 ", -5, 5, &value) &&
	   !pa_units_number("", -5, 5, &value) && !pa_units_number("+5", -5, 5, &value) &&
	   !pa_units_number("99999999999999999999", -5, INT64_MAX, &value),
	   "what is none, or not in the range");
}

int
main(void)
{
	test_words();
	test_matching();
	test_times();
	test_defaults();
	test_errors();
	test_units();
	return unit_done();
}
