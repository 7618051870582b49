/*-------------------------------------------------------------------------
 *
 * src/agent/provider_command.c
 *		Programs of the administrator's.  Contract in provider_command.h.
 *
 *-------------------------------------------------------------------------
 */
#include "provider_command.h"

#include <ctype.h>
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "command_answer.h"
#include "command_words.h"
#include "plain_text.h"
#include "process_loop.h"
#include "program/clock.h"
#include "program/memory.h"
#include "status_name.h"
#include "table.h"

#define DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#define SECOND		INT64_C(1000000)

#define LONGEST_TAIL	500		/* bytes of what a program complained */

#define OUR_VARIABLES	"POWER_ACTION_"
#define OUR_COUNT		4

static const char *const verbs[] = {
	[PA_PROVIDER_START] = "start",
	[PA_PROVIDER_STOP] = "stop",
	[PA_PROVIDER_DESCRIBE] = "describe"
};

static const PaSetting settings[] = {
	{"program", PA_SETTING_TEXT},
	{"start", PA_SETTING_TEXT},
	{"stop", PA_SETTING_TEXT},
	{"describe", PA_SETTING_TEXT},
	{"instances", PA_SETTING_CHOICE, .standard = "arguments",
	.choices = "arguments input"},
	/* often with passwords in it */
	{"environment", PA_SETTING_TEXT, .secret = true},
	{"timeout", PA_SETTING_DURATION, .standard = "60s", .low = SECOND / 10,
	.high = 3600 * SECOND},
	{"kill_after", PA_SETTING_DURATION, .standard = "5s", .low = 0,
	.high = 60 * SECOND},
	{"max_output", PA_SETTING_NUMBER, .standard = "1048576", .low = 1024,
	.high = 64 * 1024 * 1024},
	{NULL}
};

/* words, and how many */
typedef struct Words
{
	char	  **words;			/* NULL: none */
	size_t		count;
} Words;

typedef struct Command
{
	PaProvider	provider;
	PaProcessLoop *loop;
	Words		program;		/* gets the verb */
	Words		programs[3];	/* by verb */
	Words		environment;
	bool		by_input;		/* instances go to standard input */
	int64_t		timeout;		/* us */
	int64_t		kill_after;		/* us */
	size_t		max_output;
} Command;

/* a request under way, in its arena */
typedef struct Run
{
	PaProcess	process;
	Command    *command;
	PaProviderRequest *request;
} Run;

static Words
split(const PaAccount *account, const char *key)
{
	const char *text = pa_account_text(account, key);
	Words		result = {0};

	if (text != NULL)
		result.words = pa_command_words_split(text, &result.count);
	return result;
}

static void
check_program(const PaAccount *account, PaReport *report, const char *key)
{
	Words		words;

	if (!pa_account_given(account, key))
		return;
	words = split(account, key);
	if (words.words == NULL)
		pa_report_problem(report, pa_account_line(account, key),
						  "invalid value of key \"%s\": a double quote is not closed",
						  key);
	else if (words.words[0][0] != '/')
		pa_report_problem(report, pa_account_line(account, key),
						  "invalid value of key \"%s\": \"%.80s\" is not the path of a program from /",
						  key, words.words[0]);
	free(words.words);
}

static bool
is_variable(const char *word)
{
	size_t		length = strcspn(word, "=");

	if (word[length] != '=' || length == 0 || isdigit((unsigned char) *word))
		return false;
	for (size_t i = 0; i < length; i++)
	{
		if (!isalnum((unsigned char) word[i]) && word[i] != '_')
			return false;
	}
	return true;
}

static void
check_environment(const PaAccount *account, PaReport *report)
{
	Words		words = split(account, "environment");
	int			line = pa_account_line(account, "environment");

	if (words.words == NULL && pa_account_given(account, "environment"))
		pa_report_problem(report, line,
						  "invalid value of key \"environment\": a double quote is not closed");
	for (size_t i = 0; i < words.count && words.words != NULL; i++)
	{
		const char *word = words.words[i];

		/* what is wrong may be a password */
		if (!is_variable(word))
			pa_report_problem(report, line,
							  "invalid value of key \"environment\": word %zu is not NAME=value",
							  i + 1);
		else if (strncmp(word, OUR_VARIABLES, strlen(OUR_VARIABLES)) == 0)
			pa_report_problem(report, line,
							  "invalid value of key \"environment\": variable %.*s is the agent's own",
							  (int) strcspn(word, "="), word);
	}
	free(words.words);
}

static void
check(const PaAccount *account, PaReport *report)
{
	bool		one = pa_account_given(account, "program");

	for (int i = 0; i < 3; i++)
	{
		if (one && pa_account_given(account, verbs[i]))
			pa_report_problem(report, pa_account_line(account, verbs[i]),
							  "key \"%s\" does not go with key \"program\"",
							  verbs[i]);
		else if (!one && !pa_account_given(account, verbs[i]))
			pa_report_problem(report, account->line,
							  "section [%s] has no key \"%s\", and no \"program\" for everything",
							  account->name, verbs[i]);
		check_program(account, report, verbs[i]);
	}
	check_program(account, report, "program");
	check_environment(account, report);
}

/*
 * No instance may look like an option of the program, or like two instances
 * on its standard input.
 */
static bool
is_id(const char *id)
{
	if (*id == '\0' || *id == '-')
		return false;
	for (; *id != '\0'; id++)
	{
		if (iscntrl((unsigned char) *id))
			return false;
	}
	return true;
}

static void
mark_invalid(PaProviderRequest *request)
{
	for (size_t i = 0; i < request->instance_count; i++)
	{
		PaProviderInstance *instance = &request->instances[i];

		if (is_id(instance->instance_id))
			continue;
		instance->state = PA_INSTANCE_UNKNOWN;
		instance->message = "not a valid instance id";
	}
}

static size_t
count_valid(const PaProviderRequest *request)
{
	size_t		count = 0;

	for (size_t i = 0; i < request->instance_count; i++)
		count += is_id(request->instances[i].instance_id);
	return count;
}

static void
make_arguments(Run *run)
{
	const Command *command = run->command;
	PaProviderRequest *request = run->request;
	const Words *words = &command->program;
	char	  **to;

	if (words->words == NULL)
		words = &command->programs[request->verb];
	to = pa_arena_allocate(request->arena, (words->count + 2 +
											request->instance_count) * sizeof(*to));
	run->process.arguments = to;
	for (size_t i = 0; i < words->count; i++)
		*to++ = words->words[i];
	if (words == &command->program)
		*to++ = (char *) verbs[request->verb];
	for (size_t i = 0; i < request->instance_count && !command->by_input; i++)
	{
		if (is_id(request->instances[i].instance_id))
			*to++ = (char *) request->instances[i].instance_id;
	}
	*to = NULL;
}

static void
make_input(Run *run)
{
	PaProviderRequest *request = run->request;
	size_t		size = 1;
	char	   *to;

	for (size_t i = 0; i < request->instance_count; i++)
		size += strlen(request->instances[i].instance_id) + 1;
	to = pa_arena_allocate(request->arena, size);
	run->process.input = to;
	for (size_t i = 0; i < request->instance_count; i++)
	{
		if (is_id(request->instances[i].instance_id))
			to += sprintf(to, "%s\n", request->instances[i].instance_id);
	}
	run->process.input_length = (size_t) (to - run->process.input);
}

static bool
has_variable(const Words *environment, const char *name)
{
	size_t		length = strlen(name);

	for (size_t i = 0; i < environment->count; i++)
	{
		if (strncmp(environment->words[i], name, length) == 0 &&
			environment->words[i][length] == '=')
			return true;
	}
	return false;
}

static void
make_environment(Run *run)
{
	const Words *environment = &run->command->environment;
	PaProviderRequest *request = run->request;
	PaArena    *arena = request->arena;
	char	  **to = pa_arena_allocate(arena, (environment->count + OUR_COUNT + 3) *
									   sizeof(*to));

	run->process.environment = to;
	if (!has_variable(environment, "PATH"))
		*to++ = pa_arena_format(arena, "PATH=%s", DEFAULT_PATH);
	if (!has_variable(environment, "LANG"))
		*to++ = pa_arena_format(arena, "LANG=%s", "C.UTF-8");
	*to++ = pa_arena_format(arena, OUR_VARIABLES "VERB=%s", verbs[request->verb]);
	*to++ = pa_arena_format(arena, OUR_VARIABLES "ACCOUNT=%s", request->account);
	*to++ = pa_arena_format(arena, OUR_VARIABLES "REGION=%s", request->region);
	*to++ = pa_arena_format(arena, OUR_VARIABLES "CLUSTER=%s", request->cluster_id);
	for (size_t i = 0; i < environment->count; i++)
		*to++ = environment->words[i];
	*to = NULL;
}

/* "message" is about the program; what it wrote last comes behind it */
static void
fail(Run *run, int status, const char *message)
{
	PaArena    *arena = run->request->arena;
	char		tail[LONGEST_TAIL + 1];

	pa_plain_text(tail, sizeof(tail), run->process.errors,
				  run->process.errors_length);
	run->request->status = status;
	run->request->error = 0;
	run->request->message = pa_arena_format(arena, "program \"%.255s\" %s%s%s",
											run->process.arguments[0], message,
											*tail != '\0' ? ": " : "", tail);
}

static void
read_answer(Run *run)
{
	PaProviderRequest *request = run->request;
	const char *problem;

	if (pa_command_answer_read(request, run->process.output,
							   run->process.output_length, &problem))
		mark_invalid(request);
	else
		fail(run, PA_STATUS_UNKNOWN,
			 pa_arena_format(request->arena,
							 "did not print the states as it has to: %s",
							 problem));
}

/* what a program that was killed has done nobody knows */
static void
process_done(PaProcess *process)
{
	Run		   *run = PA_CONTAINER(process, Run, process);
	PaProviderRequest *request = run->request;
	PaArena    *arena = request->arena;

	switch (process->end)
	{
		case PA_PROCESS_EXITED:
			if (process->code == 0)
				read_answer(run);
			else
				fail(run, pa_command_answer_status(process->code),
					 pa_arena_format(arena, "exited with status %d",
									 process->code));
			break;
		case PA_PROCESS_SIGNALLED:
			fail(run, PA_STATUS_UNKNOWN,
				 pa_arena_format(arena, "was ended by signal %d (%s)",
								 process->code, strsignal(process->code)));
			break;
		case PA_PROCESS_TIMED_OUT:
			fail(run, PA_STATUS_UNAVAILABLE,
				 "took too long and was killed");
			break;
		case PA_PROCESS_TALKATIVE:
			fail(run, PA_STATUS_UNKNOWN,
				 pa_arena_format(arena,
								 "was killed because it printed more than %zu bytes",
								 process->output_limit));
			break;
		case PA_PROCESS_WITHDRAWN:
			request->status = PA_STATUS_CANCELLED;
			request->error = 0;
			request->message = PA_PROVIDER_WITHDRAWN;
			break;
		case PA_PROCESS_NOT_STARTED:
			fail(run, process->code == EAGAIN || process->code == ENOMEM ||
				 process->code == EMFILE || process->code == ENFILE ?
				 PA_STATUS_RESOURCE_EXHAUSTED : PA_STATUS_FAILED_PRECONDITION,
				 pa_arena_format(arena, "could not be started: %s",
								 strerror(process->code)));
			break;
	}
	request->done(request);
}

static bool
submit(PaProvider *provider, PaProviderRequest *request)
{
	Command    *command = PA_CONTAINER(provider, Command, provider);
	Run		   *run;

	if (count_valid(request) == 0)
	{
		request->status = PA_STATUS_OK;
		request->error = 0;
		request->message = NULL;
		mark_invalid(request);
		return true;
	}
	run = pa_arena_allocate(request->arena, sizeof(*run));
	memset(run, 0, sizeof(*run));
	run->command = command;
	run->request = request;
	request->provider_data = run;
	make_arguments(run);
	if (command->by_input)
		make_input(run);
	make_environment(run);
	run->process.output_limit = command->max_output;
	run->process.grace = command->kill_after;
	run->process.done = process_done;
	run->process.deadline = pa_clock_now() + command->timeout;
	/* an order that was begun is not cut short because nobody waits for it */
	run->process.interruptible = request->verb == PA_PROVIDER_DESCRIBE;
	if (run->process.interruptible &&
		request->deadline < run->process.deadline)
		run->process.deadline = request->deadline;
	pa_process_start(command->loop, &run->process);
	return false;
}

static void
withdraw(PaProvider *provider, PaProviderRequest *request)
{
	Run		   *run = request->provider_data;

	pa_process_withdraw(run->command->loop, &run->process);
}

static void
free_command(Command *command)
{
	free(command->program.words);
	for (int i = 0; i < 3; i++)
		free(command->programs[i].words);
	for (size_t i = 0; i < command->environment.count; i++)
		explicit_bzero(command->environment.words[i],
					   strlen(command->environment.words[i]));
	free(command->environment.words);
	free(command);
}

static void
close_command(PaProvider *provider)
{
	Command    *command = PA_CONTAINER(provider, Command, provider);

	pa_process_loop_free(command->loop);
	free_command(command);
}

static PaProvider *
create(const PaAccount *account, const PaProviderSetup *setup, void *shared,
	   char *problem, size_t size)
{
	Command    *command = pa_memory_allocate_zeroed(sizeof(*command));

	command->provider.name = "command";
	command->provider.submit = submit;
	command->provider.withdraw = withdraw;
	command->provider.close = close_command;
	command->program = split(account, "program");
	for (int i = 0; i < 3; i++)
		command->programs[i] = split(account, verbs[i]);
	command->environment = split(account, "environment");
	command->by_input = strcmp(pa_account_text(account, "instances"), "input") == 0;
	command->timeout = pa_account_number(account, "timeout");
	command->kill_after = pa_account_number(account, "kill_after");
	command->max_output = (size_t) pa_account_number(account, "max_output");
	command->loop = pa_process_loop_create(problem, size);
	if (command->loop != NULL)
		return &command->provider;
	free_command(command);
	return NULL;
}

static void *
open_shared(void)
{
	/* or the first two threads that read JSON would race for it */
	json_object_seed(0);
	return NULL;
}

const PaProviderType pa_provider_type_command = {
	.name = "command",
	.settings = settings,
	.max_parallel = 16,
	.check = check,
	.open_shared = open_shared,
	.create = create
};
