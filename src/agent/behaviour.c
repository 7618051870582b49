/*-------------------------------------------------------------------------
 *
 * src/agent/behaviour.c
 *		Rules that make the agent misbehave.  Contract in behaviour.h.
 *
 *-------------------------------------------------------------------------
 */
#include "behaviour.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "program/memory.h"
#include "status_name.h"
#include "table.h"
#include "units.h"

/* how often a rule has applied to one cluster */
typedef struct Use
{
	PaTableNode node;
	int64_t		count;
	char		cluster_id[];
} Use;

typedef struct Entry
{
	PaRule		rule;			/* first: a PaRule pointer is an Entry's */
	char	   *pattern;
	bool		any_method;		/* no method was named */
	int64_t		times;			/* for each cluster; 0: always */
	PaTable		uses;
} Entry;

struct PaRules
{
	int			references;
	size_t		count;
	Entry	  **entries;
};

typedef struct Word
{
	const char *name;
	const char *value;			/* what it is called in the help; NULL: none */
	const char *help;
	bool		(*set) (Entry *entry, const char *value, char *problem,
						size_t size);
} Word;

static bool refuse(char *problem, size_t size, const char *format,...)
			__attribute__((format(printf, 3, 4)));

/* writes the reason and returns false */
static bool
refuse(char *problem, size_t size, const char *format,...)
{
	va_list		arguments;

	va_start(arguments, format);
	vsnprintf(problem, size, format, arguments);
	va_end(arguments);
	return false;
}

static bool
set_duration(int64_t *duration, const char *word, const char *value,
			 char *problem, size_t size)
{
	if (pa_units_duration(value, duration))
		return true;
	return refuse(problem, size, "invalid %s \"%.80s\": valid is %s", word, value,
				  PA_UNITS_DURATION);
}

static bool
set_latency(Entry *entry, const char *value, char *problem, size_t size)
{
	return set_duration(&entry->rule.latency, "latency", value, problem, size);
}

static bool
set_act_after(Entry *entry, const char *value, char *problem, size_t size)
{
	return set_duration(&entry->rule.act_after, "act-after", value, problem, size);
}

static bool
set_fault(Entry *entry, PaFault fault, char *problem, size_t size)
{
	if (entry->rule.fault != PA_FAULT_NONE)
		return refuse(problem, size,
					  "only one of status, hang, drop and crash is possible");
	entry->rule.fault = fault;
	return true;
}

static bool
set_status(Entry *entry, const char *value, char *problem, size_t size)
{
	int			status = pa_status_code(value);

	if (status <= 0)
		return refuse(problem, size,
					  "invalid status \"%.80s\": valid are the gRPC status codes but OK, by name such as UNAVAILABLE or by number",
					  value);
	entry->rule.status = status;
	return set_fault(entry, PA_FAULT_STATUS, problem, size);
}

static bool
set_hang(Entry *entry, const char *value, char *problem, size_t size)
{
	return set_fault(entry, PA_FAULT_HANG, problem, size);
}

static bool
set_drop(Entry *entry, const char *value, char *problem, size_t size)
{
	return set_fault(entry, PA_FAULT_DROP, problem, size);
}

static bool
set_crash(Entry *entry, const char *value, char *problem, size_t size)
{
	return set_fault(entry, PA_FAULT_CRASH, problem, size);
}

static bool
set_when(Entry *entry, const char *value, char *problem, size_t size)
{
	entry->rule.after = strcmp(value, "after") == 0;
	if (entry->rule.after || strcmp(value, "before") == 0)
		return true;
	return refuse(problem, size, "invalid when \"%.80s\": valid are before and after",
				  value);
}

static bool
set_error(Entry *entry, const char *value, char *problem, size_t size)
{
	int64_t		error;

	if (!pa_units_number(value, INT32_MIN, INT32_MAX, &error) || error == 0)
		return refuse(problem, size,
					  "invalid error \"%.80s\": valid are 32-bit integers but 0",
					  value);
	entry->rule.error = (int) error;
	return true;
}

static bool
set_message(Entry *entry, const char *value, char *problem, size_t size)
{
	free(entry->rule.message);
	entry->rule.message = pa_memory_copy_string(value);
	return true;
}

static void
free_selection(PaSelection *selection)
{
	for (size_t i = 0; i < selection->id_count; i++)
		free(selection->ids[i]);
	free(selection->ids);
	memset(selection, 0, sizeof(*selection));
}

static bool
set_selection(PaSelection *selection, const char *word, const char *value,
			  char *problem, size_t size)
{
	free_selection(selection);
	if (pa_units_number(value, 1, 100000, &selection->count))
		return true;
	if (value[strspn(value, "0123456789")] == '\0')
		return refuse(problem, size,
					  "invalid %s \"%.80s\": valid is a number from 1 to 100000, or instance ids with commas between them",
					  word, value);
	while (*value != '\0')
	{
		size_t		length = strcspn(value, ",");

		if (length > 0)
		{
			char	   *id = pa_memory_allocate(length + 1);

			memcpy(id, value, length);
			id[length] = '\0';
			selection->ids = pa_memory_resize(selection->ids,
											  (selection->id_count + 1) *
											  sizeof(*selection->ids));
			selection->ids[selection->id_count++] = id;
		}
		value += length + (value[length] == ',');
	}
	return true;
}

static bool
set_partial(Entry *entry, const char *value, char *problem, size_t size)
{
	return set_selection(&entry->rule.partial, "partial", value, problem, size);
}

static bool
set_foreign(Entry *entry, const char *value, char *problem, size_t size)
{
	return set_selection(&entry->rule.foreign, "foreign", value, problem, size);
}

static bool
set_accept_only(Entry *entry, const char *value, char *problem, size_t size)
{
	entry->rule.accept_only = true;
	return true;
}

static bool
set_size(Entry *entry, const char *value, char *problem, size_t size)
{
	if (pa_units_size(value, &entry->rule.size))
		return true;
	return refuse(problem, size, "invalid size \"%.80s\": valid is %s", value,
				  PA_UNITS_SIZE);
}

static bool
set_garbage(Entry *entry, const char *value, char *problem, size_t size)
{
	entry->rule.garbage = true;
	return true;
}

static bool
set_invalid_utf8(Entry *entry, const char *value, char *problem, size_t size)
{
	entry->rule.invalid_utf8 = true;
	return true;
}

static bool
set_times(Entry *entry, const char *value, char *problem, size_t size)
{
	if (pa_units_number(value, 1, INT64_MAX, &entry->times))
		return true;
	return refuse(problem, size, "invalid times \"%.80s\": valid is a number from 1",
				  value);
}

static bool
set_method(Entry *entry, const char *value, char *problem, size_t size)
{
	static const char *const names[] = {"on", "off", "state"};

	if (strcmp(value, "any") == 0)
		return true;
	for (int method = 0; method < PA_METHOD_UNKNOWN; method++)
	{
		if (strcmp(value, names[method]) == 0)
		{
			if (entry->any_method)
				memset(entry->rule.methods, 0, sizeof(entry->rule.methods));
			entry->any_method = false;
			entry->rule.methods[method] = true;
			return true;
		}
	}
	return refuse(problem, size,
				  "invalid method \"%.80s\": valid are on, off, state and any", value);
}

static const Word words[] = {
	{"latency", "TIME", "think that long first", set_latency},
	{"status", "CODE", "answer with this gRPC status instead", set_status},
	{"message", "TEXT", "the text for status, error, or the reply", set_message},
	{"error", "N", "refuse the order: a reply with error N", set_error},
	{"hang", NULL, "never answer", set_hang},
	{"drop", NULL, "close the connection (all of a unix socket's)", set_drop},
	{"crash", NULL, "kill the agent", set_crash},
	{"when", "before|after",
	"whether latency, status, hang, drop and crash strike\n"
	"before the order is given, so that nothing was done\n"
	"(default), or after it, so that the answer is lost", set_when},
	{"partial", "N|IDS", "the last N instances, or these, do not follow", set_partial},
	{"accept-only", NULL, "reply first, without states, and act then", set_accept_only},
	{"act-after", "TIME", "with accept-only: act that much later", set_act_after},
	{"size", "SIZE", "fill the reply up to that many bytes", set_size},
	{"garbage", NULL, "reply with bytes that are no message", set_garbage},
	{"invalid-utf8", NULL, "reply with a message that is no text", set_invalid_utf8},
	{"foreign", "N|IDS", "add states of N, or these, instances nobody asked for", set_foreign},
	{"times", "N", "apply only to the first N calls for each cluster", set_times},
	{"method", "NAME", "apply to on, off, state or any (default) only", set_method},
	{NULL, NULL, NULL, NULL}
};

static const Word *
find_word(const char *name, size_t length)
{
	for (const Word *word = words; word->name != NULL; word++)
	{
		if (strlen(word->name) == length && memcmp(word->name, name, length) == 0)
			return word;
	}
	return NULL;
}

bool
pa_behaviour_is_word(const char *name, bool *takes_value)
{
	const Word *word = find_word(name, strlen(name));

	if (word != NULL)
		*takes_value = word->value != NULL;
	return word != NULL;
}

static bool
set_word(Entry *entry, const Word *word, const char *value, char *problem,
		 size_t size)
{
	if (word->value != NULL && (value == NULL || *value == '\0'))
		return refuse(problem, size, "%s needs a value: %s=%s", word->name,
					  word->name, word->value);
	if (word->value == NULL && value != NULL)
		return refuse(problem, size, "%s takes no value", word->name);
	return word->set(entry, value, problem, size);
}

static bool
check_entry(const Entry *entry, bool accepts, char *problem, size_t size)
{
	if (entry->rule.act_after > 0 && !entry->rule.accept_only && !accepts)
		return refuse(problem, size, "act-after is only possible with accept-only");
	if (entry->rule.accept_only && entry->rule.error != 0)
		return refuse(problem, size, "accept-only and error exclude each other");
	return true;
}

static Entry *
add_entry(PaRules *rules, const char *pattern, size_t length)
{
	Entry	   *entry = pa_memory_allocate_zeroed(sizeof(*entry));

	entry->pattern = pa_memory_allocate(length + 1);
	memcpy(entry->pattern, pattern, length);
	entry->pattern[length] = '\0';
	entry->any_method = true;
	memset(entry->rule.methods, true, sizeof(entry->rule.methods));
	rules->entries = pa_memory_resize(rules->entries, (rules->count + 1) *
									  sizeof(*rules->entries));
	rules->entries[rules->count++] = entry;
	return entry;
}

static void
skip_blanks(const char **at)
{
	while (**at == ' ' || **at == '\t' || **at == '\r')
		(*at)++;
}

/*
 * Takes a value, quoted or not, from the line and writes it to "value",
 * which has room for the whole line.
 */
static bool
take_value(const char **at, char *value, char *problem, size_t size)
{
	if (**at != '"')
	{
		while (**at != '\0' && strchr(" \t\r", **at) == NULL)
			*value++ = *(*at)++;
		*value = '\0';
		return true;
	}
	(*at)++;
	while (**at != '"')
	{
		if (**at == '\\' && ((*at)[1] == '"' || (*at)[1] == '\\'))
			(*at)++;
		if (**at == '\0')
			return refuse(problem, size, "a quoted value has no end");
		*value++ = *(*at)++;
	}
	(*at)++;
	*value = '\0';
	if (**at != '\0' && strchr(" \t\r", **at) == NULL)
		return refuse(problem, size, "a blank is missing after a quoted value");
	return true;
}

/* reads one line; "scratch" has room for a copy of it */
static bool
parse_line(PaRules *rules, const char *line, char *scratch, char *problem,
		   size_t size)
{
	const char *at = line;
	size_t		length;
	Entry	   *entry;

	skip_blanks(&at);
	if (*at == '\0' || *at == '#')
		return true;
	length = strcspn(at, " \t\r");
	if (memchr(at, '=', length) != NULL)
		return refuse(problem, size,
					  "expected a cluster (or *) first, found \"%.*s\"",
					  (int) (length < 80 ? length : 80), at);
	entry = add_entry(rules, at, length);
	at += length;
	for (;;)
	{
		const Word *word;
		bool		method;

		skip_blanks(&at);
		if (*at == '\0' || *at == '#')
			break;
		length = strcspn(at, "= \t\r");
		word = find_word(at, length);
		method = word == NULL && at[length] != '=';
		if (word == NULL && !(method && length <= strlen("state")))
			return refuse(problem, size, "unknown word \"%.*s\"",
						  (int) (length < 80 ? length : 80), at);
		if (method)
		{
			memcpy(scratch, at, length);
			scratch[length] = '\0';
			at += length;
			if (!set_method(entry, scratch, problem, size))
				return refuse(problem, size, "unknown word \"%s\"", scratch);
			continue;
		}
		at += length;
		if (*at == '=')
		{
			at++;
			if (!take_value(&at, scratch, problem, size) ||
				!set_word(entry, word, scratch, problem, size))
				return false;
		}
		else if (!set_word(entry, word, NULL, problem, size))
			return false;
	}
	return check_entry(entry, false, problem, size);
}

PaRules *
pa_behaviour_parse(const char *text, const char *name, char *problem, size_t size)
{
	PaRules    *rules = pa_memory_allocate_zeroed(sizeof(*rules));
	char	   *copy = pa_memory_copy_string(text);
	char	   *scratch = pa_memory_allocate(strlen(text) + 1);
	char	   *line = copy;
	int			number = 1;
	bool		valid = true;

	rules->references = 1;
	while (valid && line != NULL)
	{
		char	   *end = strchr(line, '\n');
		char		wrong[256];

		if (end != NULL)
			*end++ = '\0';
		valid = parse_line(rules, line, scratch, wrong, sizeof(wrong));
		if (!valid)
			snprintf(problem, size, "%s:%d: %s", name, number, wrong);
		line = end;
		number++;
	}
	free(copy);
	free(scratch);
	if (valid)
		return rules;
	pa_behaviour_release(rules);
	return NULL;
}

PaRules *
pa_behaviour_create_default(void)
{
	PaRules    *rules = pa_memory_allocate_zeroed(sizeof(*rules));

	rules->references = 1;
	add_entry(rules, "*", 1);
	return rules;
}

bool
pa_behaviour_set_default(PaRules *rules, const char *word, const char *value,
						 char *problem, size_t size)
{
	return set_word(rules->entries[0], find_word(word, strlen(word)), value,
					problem, size);
}

bool
pa_behaviour_check_default(const PaRules *rules, bool accepts, char *problem,
						   size_t size)
{
	return check_entry(rules->entries[0], accepts, problem, size);
}

/* "*" stands for any text, everything else for itself */
static bool
matches(const char *pattern, const char *text)
{
	const char *star = NULL;
	const char *retry = NULL;

	while (*text != '\0')
	{
		if (*pattern == '*')
		{
			star = ++pattern;
			retry = text;
		}
		else if (*pattern == *text)
		{
			pattern++;
			text++;
		}
		else if (star != NULL)
		{
			pattern = star;
			text = ++retry;
		}
		else
			return false;
	}
	while (*pattern == '*')
		pattern++;
	return *pattern == '\0';
}

/* true, and counted, if the rule may apply once more to the cluster */
static bool
use(Entry *entry, const char *cluster_id)
{
	uint64_t	hash = pa_table_hash_text(cluster_id, 0);
	size_t		length = strlen(cluster_id) + 1;
	Use		   *found;

	for (PaTableNode *node = pa_table_first(&entry->uses, hash);
		 node != NULL; node = pa_table_next(node))
	{
		found = PA_CONTAINER(node, Use, node);
		if (strcmp(found->cluster_id, cluster_id) == 0)
			return found->count < entry->times && ++found->count > 0;
	}
	found = pa_memory_allocate(sizeof(*found) + length);
	found->count = 1;
	memcpy(found->cluster_id, cluster_id, length);
	pa_table_insert(&entry->uses, &found->node, hash);
	return true;
}

const PaRule *
pa_behaviour_match(PaRules *rules, const char *cluster_id, PaMethod method)
{
	for (size_t i = 0; i < rules->count; i++)
	{
		Entry	   *entry = rules->entries[i];

		if (entry->rule.methods[method] && matches(entry->pattern, cluster_id) &&
			(entry->times == 0 || use(entry, cluster_id)))
			return &entry->rule;
	}
	return NULL;
}

const PaRule *
pa_behaviour_none(void)
{
	static const PaRule none;

	return &none;
}

bool
pa_behaviour_selects(const PaSelection *selection, size_t index, size_t count,
					 const char *instance_id)
{
	if (index + (size_t) selection->count >= count)
		return selection->count > 0;
	for (size_t i = 0; i < selection->id_count; i++)
	{
		if (strcmp(selection->ids[i], instance_id) == 0)
			return true;
	}
	return false;
}

PaRules *
pa_behaviour_retain(PaRules *rules)
{
	if (rules != NULL)
		rules->references++;
	return rules;
}

void
pa_behaviour_release(PaRules *rules)
{
	if (rules == NULL || --rules->references > 0)
		return;
	for (size_t i = 0; i < rules->count; i++)
	{
		Entry	   *entry = rules->entries[i];
		PaTableNode *node;

		while ((node = pa_table_take(&entry->uses)) != NULL)
			free(PA_CONTAINER(node, Use, node));
		pa_table_free(&entry->uses);
		free_selection(&entry->rule.partial);
		free_selection(&entry->rule.foreign);
		free(entry->rule.message);
		free(entry->pattern);
		free(entry);
	}
	free(rules->entries);
	free(rules);
}

void
pa_behaviour_help(FILE *file)
{
	for (const Word *word = words; word->name != NULL; word++)
	{
		char		name[40];
		const char *line = word->help;

		snprintf(name, sizeof(name), "%s%s%s", word->name, word->value ? "=" : "",
				 word->value ? word->value : "");
		for (bool first = true; line != NULL; first = false)
		{
			int			length = (int) strcspn(line, "\n");

			fprintf(file, "  %-20s  %.*s\n", first ? name : "", length, line);
			line = line[length] == '\n' ? line + length + 1 : NULL;
		}
	}
}
