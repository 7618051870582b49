/* objects: agent/provider_router agent/account agent/account_file agent/ini_file agent/arena agent/report agent/table agent/timer agent/units */
/*-------------------------------------------------------------------------
 *
 * test/unit/agent_router_test.c
 *		Requests go to the provider of their account, wait there only for each
 *		other, and survive that the accounts file is read again.
 *
 *-------------------------------------------------------------------------
 */
#include "agent/provider_router.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/status_name.h"
#include "agent/table.h"
#include "agent/timer.h"
#include "program/clock.h"
#include "unit.h"

#define MOST	16

/* a provider that does what the test says */
typedef struct Fake
{
	PaProvider	provider;
	char		label[32];
	PaProviderRequest *taken[MOST];
	int			count;
	PaProviderRequest *withdrawn;	/* the last one */
	bool		at_once;
} Fake;

static const PaSetting settings[] = {
	{"label", PA_SETTING_TEXT, .required = true},
	{"at_once", PA_SETTING_FLAG},
	{NULL}
};

static Fake *fakes[MOST];		/* open ones */
static int	fake_count;
static int	shared_users;
static int	done_count;
static PaProviderRequest *done_last;
static char path[] = "/tmp/agent_router_test.XXXXXX";

static void *
open_shared(void)
{
	shared_users++;
	return &shared_users;
}

static void
close_shared(void *data)
{
	shared_users -= data == &shared_users;
}

static bool
submit(PaProvider *provider, PaProviderRequest *request)
{
	Fake	   *fake = PA_CONTAINER(provider, Fake, provider);

	if (fake->at_once)
	{
		request->status = PA_STATUS_OK;
		request->message = "at once";
		return true;
	}
	fake->taken[fake->count++] = request;
	return false;
}

static void
withdraw(PaProvider *provider, PaProviderRequest *request)
{
	PA_CONTAINER(provider, Fake, provider)->withdrawn =
		atomic_load(&request->withdrawn) ? request : NULL;
}

static void
close_fake(PaProvider *provider)
{
	for (int i = 0; i < fake_count; i++)
	{
		if (&fakes[i]->provider == provider)
		{
			free(fakes[i]);
			fakes[i] = fakes[--fake_count];
			return;
		}
	}
}

static PaProvider *
create(const PaAccount *account, const PaProviderSetup *setup, void *shared,
	   char *problem, size_t size)
{
	Fake	   *fake;

	if (strcmp(pa_account_text(account, "label"), "broken") == 0 ||
		shared != &shared_users)
	{
		snprintf(problem, size, "broken");
		return NULL;
	}
	fake = calloc(1, sizeof(*fake));
	fake->provider.submit = submit;
	fake->provider.withdraw = withdraw;
	fake->provider.close = close_fake;
	fake->at_once = pa_account_number(account, "at_once");
	snprintf(fake->label, sizeof(fake->label), "%s",
			 pa_account_text(account, "label"));
	fakes[fake_count++] = fake;
	return &fake->provider;
}

static const PaProviderType fake_type = {
	.name = "fake", .settings = settings, .max_parallel = 2,
	.open_shared = open_shared, .close_shared = close_shared, .create = create
};
static const PaProviderType second_type = {
	.name = "second", .settings = settings, .max_parallel = 2,
	.open_shared = open_shared, .close_shared = close_shared, .create = create
};
static const PaProviderType *const types[] = {&fake_type, &second_type, NULL};

static Fake *
fake(const char *label)
{
	for (int i = 0; i < fake_count; i++)
	{
		if (strcmp(fakes[i]->label, label) == 0)
			return fakes[i];
	}
	return NULL;
}

static void
write_file(const char *text)
{
	FILE	   *file = fopen(path, "w");

	if (file == NULL || fputs(text, file) < 0 || fclose(file) != 0)
		abort();
	chmod(path, 0600);
}

static PaProvider *
open_router(const char *text)
{
	char		problem[1024];

	write_file(text);
	return pa_provider_router_create(path, types, NULL, problem,
									 sizeof(problem));
}

static void
done(PaProviderRequest *request)
{
	done_count++;
	done_last = request;
}

/* a new request; freed with free_requests */
static PaProviderRequest *requests[MOST * 4];
static PaArena *arenas[MOST * 4];
static int	request_count;

static PaProviderRequest *
request_for(const char *account)
{
	PaProviderRequest *request = calloc(1, sizeof(*request));

	request->account = account;
	request->cluster_id = "c";
	request->region = "r";
	request->arena = calloc(1, sizeof(PaArena));
	request->deadline = INT64_MAX;
	request->done = done;
	requests[request_count] = request;
	arenas[request_count++] = request->arena;
	return request;
}

static void
free_requests(void)
{
	while (request_count > 0)
	{
		free(requests[--request_count]);
		pa_arena_empty(arenas[request_count]);
		free(arenas[request_count]);
	}
}

/* the provider is done with the first that it has */
static void
finish_first(Fake *fake, const char *message)
{
	PaProviderRequest *request = fake->taken[0];

	memmove(fake->taken, fake->taken + 1, sizeof(fake->taken) - sizeof(request));
	fake->count--;
	request->status = PA_STATUS_OK;
	request->error = 3;
	request->message = message;
	request->done(request);
}

static void
test_routes(void)
{
	PaProvider *router = open_router("[a]\nprovider=fake\nlabel=A\n"
									 "[now]\nprovider=fake\nlabel=N\nat_once=on\n"
									 "[b]\nprovider=fake\nlabel=B\n");
	PaProviderRequest *request = request_for("a");

	if (!ok(router != NULL, "a router"))
		return;
	is_number(shared_users, 1, "what is shared was opened once");
	ok(!router->submit(router, request), "a request that takes its time");
	is_number(fake("A")->count, 1, "is with its account");
	is_number(fake("B")->count, 0, "and no other");
	done_count = 0;
	finish_first(fake("A"), "text");
	ok(done_count == 1 && done_last == request, "done is told");
	is_string(request->message, "text", "with the message");
	is_number(request->error, 3, "and the error");
	router->resume(router);

	request = request_for("now");
	ok(router->submit(router, request), "done at once");
	is_string(request->message, "at once", "with the message");

	request = request_for("stranger");
	ok(router->submit(router, request), "a stranger is answered at once");
	is_number(request->status, PA_STATUS_NOT_FOUND, "with NOT_FOUND");
	is_string(request->message, "this agent has no account \"stranger\"",
			  "that says so");
	router->close(router);
	is_number(fake_count, 0, "all providers were closed");
	is_number(shared_users, 0, "and what they shared");
	free_requests();
}

static void
test_others(void)
{
	PaProvider *router = open_router("[*]\nprovider=fake\nlabel=O\n"
									 "[a]\nprovider=fake\nlabel=A\n");

	router->submit(router, request_for("stranger"));
	router->submit(router, request_for("a"));
	router->submit(router, request_for("*"));
	is_number(fake("O")->count, 2, "[*] has those that no section names");
	is_number(fake("A")->count, 1, "but not those that one does");
	router->close(router);
	free_requests();
}

static void
test_parallel(void)
{
	PaProvider *router = open_router("[a]\nprovider=fake\nlabel=A\n"
									 "[b]\nprovider=fake\nlabel=B\nmax_parallel=3\n");
	PaProviderRequest *late;

	for (int i = 0; i < 4; i++)
		router->submit(router, request_for("a"));
	late = request_for("a");
	late->deadline = pa_clock_now() + 1;
	while (pa_clock_now() <= late->deadline)
		;
	router->submit(router, late);
	is_number(fake("A")->count, 2, "not more than the type's number at a time");
	for (int i = 0; i < 4; i++)
		router->submit(router, request_for("b"));
	is_number(fake("B")->count, 3, "a full account is not in another's way");
	done_count = 0;
	finish_first(fake("A"), "");
	is_number(fake("A")->count, 1, "nothing is sent by the thread that is done");
	router->resume(router);
	is_number(fake("A")->count, 2, "the next one has its turn in resume");
	ok(fake("A")->taken[1]->account == requests[2]->account &&
	   fake("A")->taken[0] != fake("A")->taken[1], "in the order they came");
	is_number(done_count, 1, "one is done");
	finish_first(fake("A"), "");
	finish_first(fake("A"), "");
	router->resume(router);
	is_number(fake("A")->count, 1, "the last one that anybody waits for");
	is_number(done_count, 4, "one that nobody waits for is not sent");
	is_number(late->status, PA_STATUS_RESOURCE_EXHAUSTED, "and says why");
	router->close(router);
	free_requests();
}

static void
test_reload(void)
{
	PaProvider *router = open_router("[a]\nprovider=fake\nlabel=A\n"
									 "[b]\nprovider=fake\nlabel=B\n"
									 "[c]\nprovider=fake\nlabel=C\n");
	Fake	   *same = fake("A");
	PaProviderRequest *request;

	for (int i = 0; i < 3; i++)
	{
		router->submit(router, request_for("a"));
		router->submit(router, request_for("b"));
	}
	write_file("[a]\nprovider=fake\nlabel=A\n[b]\nprovider=fake\nlabel=B2\n"
			   "[d]\nprovider=fake\nlabel=broken\n");
	router->reload(router);
	ok(fake("B") != NULL && fake("B2") == NULL,
	   "a provider that cannot be made: nothing has changed");
	write_file("[a]\nprovider=fake\nlabel=A\n[b]\nprovider=fake\n");
	router->reload(router);
	ok(fake("B") != NULL && fake("C") != NULL, "a bad file: nothing has changed");

	write_file("[b]\nprovider=fake\nlabel=B2\n[d]\nprovider=fake\nlabel=D\n"
			   "[a]\nlabel=A\nprovider=fake\n");
	router->reload(router);
	ok(fake("A") == same, "an account that stays the same keeps its provider");
	is_number(fake_count, 4, "which was not made again");
	ok(fake("C") == NULL, "one that has gone is closed");
	is_number(fake("B")->count, 2, "one with requests in hand goes on");
	is_number(fake("B2")->count, 1, "what waited goes to the new one");
	done_count = 0;
	finish_first(fake("B"), "");
	router->resume(router);
	ok(fake("B") != NULL, "until");
	finish_first(fake("B"), "");
	router->resume(router);
	ok(fake("B") == NULL, "the last one is done");
	is_number(done_count, 2, "each was told");
	request = request_for("c");
	ok(router->submit(router, request) && request->status == PA_STATUS_NOT_FOUND,
	   "the account has gone");
	ok(!router->submit(router, request_for("d")) && fake("D")->count == 1,
	   "a new one is there");
	router->close(router);
	is_number(fake_count, 0, "all providers were closed");
	is_number(shared_users, 0, "and what they shared");
	free_requests();
}

/* who has a request is told, even if it is another than at first */
static void
test_names(void)
{
	PaProvider *router = open_router("[a]\nprovider=fake\nlabel=A\nmax_parallel=1\n");
	PaProviderRequest *given = request_for("a");
	PaProviderRequest *waits = request_for("a");

	router->submit(router, given);
	router->submit(router, waits);
	is_string(waits->provider, "fake", "the provider that it waits for");
	write_file("[a]\nprovider=second\nlabel=B\n");
	router->reload(router);
	is_number(fake("B")->count, 1, "another has it after a reload");
	is_string(waits->provider, "second", "which is told");
	is_string(given->provider, "fake", "what was given stays where it is");
	router->close(router);
	free_requests();
}

static void
test_withdrawals(void)
{
	PaProvider *router = open_router("[a]\nprovider=fake\nlabel=A\nmax_parallel=1\n");
	PaProviderRequest *sent[5];
	PaProviderRequest *last;

	for (int i = 0; i < 5; i++)
		router->submit(router, sent[i] = request_for("a"));
	done_count = 0;
	pa_provider_withdraw(router, sent[2]);
	ok(done_count == 1 && done_last == sent[2], "one that waits is done");
	is_number(sent[2]->status, PA_STATUS_CANCELLED, "cancelled");
	is_string(sent[2]->message, PA_PROVIDER_WITHDRAWN, "and says so");
	pa_provider_withdraw(router, sent[2]);
	is_number(done_count, 1, "once");
	ok(fake("A")->withdrawn == NULL, "its provider never hears of it");
	pa_provider_withdraw(router, sent[4]);
	pa_provider_withdraw(router, sent[1]);
	is_number(done_count, 3, "the first and the last of those that wait");
	router->submit(router, last = request_for("a"));

	pa_provider_withdraw(router, sent[0]);
	is_number(done_count, 3, "one that was given away goes on");
	ok(fake("A")->withdrawn == fake("A")->taken[0], "and its provider knows");
	finish_first(fake("A"), "");
	pa_provider_withdraw(router, sent[0]);
	is_number(done_count, 4, "one that is done is not done again");
	router->resume(router);
	is_number(fake("A")->count, 1, "the next one has its turn");

	/* what waits has a new route after that */
	write_file("[a]\nprovider=fake\nlabel=A2\nmax_parallel=1\n");
	router->reload(router);
	is_number(fake("A2")->count, 1, "the one behind it goes to the new provider");
	router->submit(router, request_for("a"));
	pa_provider_withdraw(router, last);
	ok(fake("A2")->withdrawn == fake("A2")->taken[0], "which hears that it is withdrawn");
	write_file("[a]\nprovider=fake\nlabel=A3\nmax_parallel=2\n[b]\nprovider=fake\nlabel=B\n");
	router->reload(router);
	is_number(fake("A3")->count, 1, "one more");
	finish_first(fake("A"), "");
	router->resume(router);
	ok(fake("A") == NULL, "the first provider is closed");
	done_count = 0;
	pa_provider_withdraw(router, last);
	is_number(done_count, 0, "nothing waits any more");

	/* handed over, and still waiting */
	write_file("[a]\nprovider=fake\nlabel=A4\nmax_parallel=1\n");
	for (int i = 0; i < 3; i++)
		router->submit(router, request_for("a"));
	router->reload(router);
	is_number(fake("A4")->count, 1, "one of them goes to yet another provider");
	router->submit(router, last = request_for("a"));
	router->submit(router, request_for("a"));
	write_file("[a]\nprovider=fake\nlabel=A5\nmax_parallel=1\n");
	router->reload(router);
	is_number(fake("A5")->count, 1, "and the next to one after that");
	pa_provider_withdraw(router, last);
	ok(done_count == 1 && last->status == PA_STATUS_CANCELLED,
	   "one that was handed over, and still waits");
	finish_first(fake("A4"), "");
	finish_first(fake("A5"), "");
	router->resume(router);
	ok(fake("A4") == NULL, "nothing is left at the old one");
	is_number(fake("A5")->count, 1, "the last one is not lost");
	router->close(router);
	free_requests();
}

static void
test_problems(void)
{
	char		problem[1024];

	ok(open_router("[a]\nprovider=fake\nlabel=A\n"
				   "[b]\nprovider=fake\nlabel=broken\n") == NULL,
	   "no router if one of its providers cannot be made");
	is_number(fake_count + shared_users, 0, "nothing is left");
	unlink(path);
	ok(pa_provider_router_create(path, types, NULL, problem,
								 sizeof(problem)) == NULL, "no file");
	ok(strstr(problem, path) != NULL, "is told with its name");
}

int
main(void)
{
	int			fd = mkstemp(path);

	if (fd < 0)
		abort();
	close(fd);
	/* the problems go there */
	if (freopen("/dev/null", "w", stderr) == NULL)
		abort();
	test_routes();
	test_others();
	test_parallel();
	test_reload();
	test_names();
	test_withdrawals();
	test_problems();
	unlink(path);
	return unit_done();
}
