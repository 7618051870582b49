/*-------------------------------------------------------------------------
 *
 * src/agent/account_file.c
 *		The accounts file.  Contract in account_file.h.
 *
 * What a key is depends on the section's provider, which may come last: the
 * keys of a section are kept as they are until it is over.
 *
 *-------------------------------------------------------------------------
 */
#include "account_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "ini_file.h"
#include "program/file.h"
#include "program/memory.h"
#include "program/secret.h"
#include "units.h"

#define LARGEST_FILE	(16 * 1024 * 1024)

static const PaSetting common_settings[] = {
	{"provider", PA_SETTING_TEXT, .required = true},
	{"max_parallel", PA_SETTING_NUMBER, .low = 1, .high = 1000000},
	{NULL}
};

/* a key as it was read */
typedef struct RawKey
{
	char	   *name;
	char	   *value;
	int			line;
	bool		taken;
	struct RawKey *next;
} RawKey;

typedef struct Parser
{
	PaIniReader reader;
	const PaProviderType *const *types;
	PaAccount  *accounts;		/* the newest first */
	PaAccount  *account;		/* the section being read */
	RawKey	   *keys;			/* of it, the newest first */
	bool		skipping;		/* the section was reported */
} Parser;

static RawKey *
find_raw_key(const Parser *parser, const char *name)
{
	for (RawKey *key = parser->keys; key != NULL; key = key->next)
	{
		if (strcmp(key->name, name) == 0)
			return key;
	}
	return NULL;
}

static void
forget_raw_keys(Parser *parser)
{
	while (parser->keys != NULL)
	{
		RawKey	   *key = parser->keys;

		parser->keys = key->next;
		free(key->name);
		pa_secret_free(key->value);
		free(key);
	}
}

static bool
read_flag(const char *value, int64_t *number)
{
	static const char *const words[] = {
		"off", "on", "no", "yes", "false", "true"
	};

	for (int i = 0; i < 6; i++)
	{
		if (strcasecmp(value, words[i]) == 0)
		{
			*number = i % 2;
			return true;
		}
	}
	return false;
}

static bool
is_choice(const char *choices, const char *value)
{
	size_t		length = strlen(value);

	for (const char *at = choices; *at != '\0'; at += strspn(at, " "))
	{
		size_t		word = strcspn(at, " ");

		if (word == length && memcmp(at, value, word) == 0)
			return true;
		at += word;
	}
	return false;
}

/* text: what the message may show of the value */
static bool
check_value(const PaSetting *setting, const char *value, int64_t *number,
			PaReport *report, int line)
{
	const char *shown = setting->secret ? "..." : value;

	if (value[0] == '\0')
	{
		pa_report_problem(report, line, "key \"%s\" has no value", setting->name);
		return false;
	}
	switch (setting->kind)
	{
		case PA_SETTING_TEXT:
			return true;
		case PA_SETTING_NUMBER:
			if (pa_units_number(value, setting->low, setting->high, number))
				return true;
			pa_report_problem(report, line,
							  "invalid value \"%.80s\" of key \"%s\": valid is a number from %lld to %lld",
							  shown, setting->name, (long long) setting->low,
							  (long long) setting->high);
			return false;
		case PA_SETTING_DURATION:
			if (!pa_units_duration(value, number))
			{
				pa_report_problem(report, line,
								  "invalid value \"%.80s\" of key \"%s\": valid is %s",
								  shown, setting->name, PA_UNITS_DURATION);
				return false;
			}
			if (*number >= setting->low && *number <= setting->high)
				return true;
			pa_report_problem(report, line,
							  "invalid value \"%.80s\" of key \"%s\": valid is a time from %lld to %lld ms",
							  shown, setting->name,
							  (long long) (setting->low / 1000),
							  (long long) (setting->high / 1000));
			return false;
		case PA_SETTING_FLAG:
			if (read_flag(value, number))
				return true;
			pa_report_problem(report, line,
							  "invalid value \"%.80s\" of key \"%s\": valid are on and off",
							  shown, setting->name);
			return false;
		case PA_SETTING_CHOICE:
			if (is_choice(setting->choices, value))
				return true;
			pa_report_problem(report, line,
							  "invalid value \"%.80s\" of key \"%s\": valid are %s",
							  shown, setting->name, setting->choices);
			return false;
	}
	return false;
}

static void
add_key(Parser *parser, const PaSetting *setting)
{
	PaAccount  *account = parser->account;
	PaReport   *report = parser->reader.report;
	RawKey	   *raw = find_raw_key(parser, setting->name);
	const char *value = setting->standard;
	int64_t		number = 0;
	PaAccountKey *key;

	if (raw != NULL)
	{
		raw->taken = true;
		value = raw->value;
	}
	if (value == NULL)
	{
		if (setting->required)
			pa_report_problem(report, account->line,
							  "section [%s] has no key \"%s\"", account->name,
							  setting->name);
		return;
	}
	if (!check_value(setting, value, &number, report, raw ? raw->line : 0))
		return;
	key = pa_memory_allocate_zeroed(sizeof(*key));
	key->setting = setting;
	key->value = pa_memory_copy_string(value);
	key->line = raw ? raw->line : 0;
	key->number = number;
	key->next = account->keys;
	account->keys = key;
}

static const PaProviderType *
find_type(const Parser *parser, const char *name)
{
	for (const PaProviderType *const *type = parser->types; *type != NULL; type++)
	{
		if (strcmp((*type)->name, name) == 0 ||
			((*type)->synonym != NULL && strcmp((*type)->synonym, name) == 0))
			return *type;
	}
	return NULL;
}

static void
report_unknown_type(Parser *parser, const RawKey *key)
{
	char		valid[256] = "";

	for (const PaProviderType *const *type = parser->types; *type != NULL; type++)
	{
		size_t		used = strlen(valid);

		if ((*type)->absent != NULL)
			continue;
		snprintf(valid + used, sizeof(valid) - used, "%s%s",
				 used > 0 ? ", " : "", (*type)->name);
	}
	pa_report_problem(parser->reader.report, key->line,
					  "unknown provider \"%.80s\": valid are %s", key->value,
					  valid);
}

/* all of the section has been read */
static void
finish_section(Parser *parser)
{
	PaAccount  *account = parser->account;
	PaReport   *report = parser->reader.report;
	int			problems = report->problems;
	const RawKey *provider;

	if (account == NULL)
		return;
	provider = find_raw_key(parser, "provider");
	if (provider != NULL && provider->value[0] != '\0')
	{
		account->type = find_type(parser, provider->value);
		if (account->type == NULL)
			report_unknown_type(parser, provider);
		else if (account->type->absent != NULL)
		{
			pa_report_problem(report, provider->line,
							  "this power_agent was built without the provider \"%s\": %s",
							  account->type->name, account->type->absent);
			account->type = NULL;
		}
	}
	/* without a type nobody knows which keys are good */
	if (account->type != NULL)
	{
		for (const PaSetting *setting = common_settings; setting->name; setting++)
			add_key(parser, setting);
		for (const PaSetting *setting = account->type->settings; setting->name;
			 setting++)
			add_key(parser, setting);
		for (const RawKey *key = parser->keys; key != NULL; key = key->next)
		{
			if (!key->taken)
				pa_report_problem(report, key->line,
								  "unknown key \"%.80s\" for provider \"%s\"",
								  key->name, account->type->name);
		}
		if (report->problems == problems && account->type->check != NULL)
			account->type->check(account, report);
	}
	else if (provider == NULL)
		pa_report_problem(report, account->line,
						  "section [%s] has no key \"provider\"", account->name);
	else if (provider->value[0] == '\0')
		pa_report_problem(report, provider->line,
						  "key \"provider\" has no value");
	forget_raw_keys(parser);
	parser->account = NULL;
}

static void
take_section(PaIniReader *reader, const char *name, int line)
{
	Parser	   *parser = (Parser *) reader;
	PaAccount  *account;

	finish_section(parser);
	parser->skipping = false;
	for (account = parser->accounts; account != NULL; account = account->next)
	{
		if (strcmp(account->name, name) != 0)
			continue;
		pa_report_problem(reader->report, line,
						  "section [%s] was there before, at line %d", name,
						  account->line);
		parser->skipping = true;
		return;
	}
	account = pa_memory_allocate_zeroed(sizeof(*account));
	account->name = pa_memory_copy_string(name);
	account->line = line;
	account->next = parser->accounts;
	parser->accounts = account;
	parser->account = account;
}

static void
take_key(PaIniReader *reader, const char *name, const char *value, int line)
{
	Parser	   *parser = (Parser *) reader;
	RawKey	   *key;

	if (parser->skipping)
		return;
	if (parser->account == NULL)
	{
		pa_report_problem(reader->report, line,
						  "key \"%.80s\" stands before the first [section]", name);
		return;
	}
	key = find_raw_key(parser, name);
	if (key != NULL)
	{
		pa_report_problem(reader->report, line,
						  "key \"%.80s\" was there before, at line %d", name,
						  key->line);
		return;
	}
	key = pa_memory_allocate_zeroed(sizeof(*key));
	key->name = pa_memory_copy_string(name);
	key->value = pa_memory_copy_string(value);
	key->line = line;
	key->next = parser->keys;
	parser->keys = key;
}

PaAccount *
pa_account_file_parse(const char *text, const PaProviderType *const *types,
					  PaReport *report)
{
	Parser		parser = {
		.reader = {.section = take_section, .key = take_key, .report = report},
		.types = types
	};
	PaAccount  *accounts = NULL;
	int			problems = report->problems;

	pa_ini_read(&parser.reader, text);
	finish_section(&parser);
	while (parser.accounts != NULL)
	{
		PaAccount  *account = parser.accounts;

		parser.accounts = account->next;
		account->next = accounts;
		accounts = account;
	}
	/* it does not see that the reader has the report */
	/* cppcheck-suppress knownConditionTrueFalse */
	if (report->problems == problems && accounts == NULL)
		pa_report_problem(report, 0, "there is no [section], so no account");
	while (report->problems > problems && accounts != NULL)
	{
		PaAccount  *account = accounts;

		accounts = account->next;
		pa_account_free(account);
	}
	return accounts;
}

PaAccount *
pa_account_file_read(const char *path, const PaProviderType *const *types,
					 PaReport *report)
{
	char		problem[512];
	PaAccount  *accounts = NULL;
	PaFile		file;

	pa_file_init(&file, NULL, path, PA_FILE_SECRET, LARGEST_FILE);
	if (pa_file_read(&file, problem, sizeof(problem)))
		accounts = pa_account_file_parse(file.text, types, report);
	else
		pa_report_problem(report, 0, "%s", problem);
	pa_file_release(&file);
	return accounts;
}
