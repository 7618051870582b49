/*-------------------------------------------------------------------------
 *
 * src/agent/provider_ec2.c
 *		Instances of Amazon EC2: the keys of an account, and the way of its
 *		requests into the thread of the HTTP loop and back.  The rest is in
 *		ec2_*.c; contract in provider_ec2.h and ec2_state.h.
 *
 *-------------------------------------------------------------------------
 */
#include "provider_ec2.h"

#include <ctype.h>
#include <libxml/parser.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "ec2_state.h"
#include "program/clock.h"
#include "program/memory.h"
#include "status_name.h"

#define SECOND	INT64_C(1000000)

#define LONGEST_THROTTLE_PAUSE	(20 * SECOND)

static const PaSetting settings[] = {
	{"credentials", PA_SETTING_CHOICE, .standard = "file",
	.choices = "file environment shared imds"},
	{"user", PA_SETTING_TEXT},
	{"key", PA_SETTING_TEXT, .secret = true},
	{"session_token", PA_SETTING_TEXT, .secret = true},
	{"credentials_file", PA_SETTING_TEXT},
	{"profile", PA_SETTING_TEXT},
	{"imds_endpoint", PA_SETTING_TEXT, .standard = "http://169.254.169.254"},
	{"region", PA_SETTING_TEXT},
	{"endpoint", PA_SETTING_TEXT,
	.standard = "https://ec2.{region}.amazonaws.com"},
	{"ca_file", PA_SETTING_TEXT},
	{"max_requests_per_second", PA_SETTING_NUMBER, .standard = "20", .low = 0,
	.high = 10000},
	{"max_connections", PA_SETTING_NUMBER, .standard = "8", .low = 1, .high = 256},
	{"max_instances_per_call", PA_SETTING_NUMBER, .standard = "100", .low = 1,
	.high = 1000},
	{"call_timeout", PA_SETTING_DURATION, .standard = "10s", .low = SECOND / 10,
	.high = 120 * SECOND},
	{"order_timeout", PA_SETTING_DURATION, .standard = "60s", .low = SECOND,
	.high = 3600 * SECOND},
	{"confirm_wait", PA_SETTING_DURATION, .standard = "5s", .low = 0,
	.high = 600 * SECOND},
	{"poll_interval", PA_SETTING_DURATION, .standard = "1s", .low = SECOND / 20,
	.high = 60 * SECOND},
	{NULL}
};

/* a key that only one value of "credentials" looks at */
static void
check_belongs(const PaAccount *account, PaReport *report, const char *key,
			  const char *source)
{
	if (pa_account_given(account, key) &&
		strcmp(pa_account_text(account, "credentials"), source) != 0)
		pa_report_problem(report, pa_account_line(account, key),
						  "key \"%s\" is only for credentials = %s", key, source);
}

/* only this machine may be spoken to in clear: session tokens can be read */
static bool
is_loopback(const char *host)
{
	static const char *const names[] = {"127.0.0.1", "localhost", "[::1]"};

	for (int i = 0; i < 3; i++)
	{
		size_t		length = strlen(names[i]);

		if (strncmp(host, names[i], length) == 0 &&
			(host[length] == '\0' || host[length] == ':' || host[length] == '/'))
			return true;
	}
	return false;
}

/* the host, in a copy without the place for the region; NULL: no URL */
static const char *
host_of(const char *url)
{
	if (strncmp(url, "https://", 8) == 0)
		url += 8;
	else if (strncmp(url, "http://", 7) == 0)
		url += 7;
	else
		return NULL;
	for (const char *at = url; *at != '\0'; at++)
	{
		if (!isgraph((unsigned char) *at) || strchr("@?#\\\"<>", *at))
			return NULL;
	}
	return *url == '\0' || *url == '/' || *url == ':' ? NULL : url;
}

static void
check_endpoint(const PaAccount *account, PaReport *report)
{
	const char *url = pa_account_text(account, "endpoint");
	const char *host = host_of(url);
	const char *brace = strpbrk(url, "{}");
	int			line = pa_account_line(account, "endpoint");

	if (host == NULL || strlen(url) > 500)
		pa_report_problem(report, line,
						  "invalid endpoint \"%.80s\": valid is a URL such as https://ec2.{region}.amazonaws.com",
						  url);
	else if (brace != NULL && (strncmp(brace, "{region}", 8) != 0 ||
							   strpbrk(brace + 8, "{}") != NULL))
		pa_report_problem(report, line,
						  "invalid endpoint \"%.80s\": only {region}, once, is replaced",
						  url);
	else if (strncmp(url, "http://", 7) == 0 && !is_loopback(host))
		pa_report_problem(report, line,
						  "endpoint \"%.80s\" must begin with https://: http is only for this machine itself",
						  url);
}

static void
check(const PaAccount *account, PaReport *report)
{
	const char *source = pa_account_text(account, "credentials");
	const char *region = pa_account_text(account, "region");
	const char *imds = pa_account_text(account, "imds_endpoint");

	if (strcmp(source, "file") == 0)
	{
		if (!pa_account_given(account, "user"))
			pa_report_problem(report, account->line,
							  "section [%s] has no key \"user\", and no \"credentials\" that says where else keys are",
							  account->name);
		if (!pa_account_given(account, "key"))
			pa_report_problem(report, account->line,
							  "section [%s] has no key \"key\", and no \"credentials\" that says where else keys are",
							  account->name);
	}
	check_belongs(account, report, "user", "file");
	check_belongs(account, report, "key", "file");
	check_belongs(account, report, "session_token", "file");
	check_belongs(account, report, "credentials_file", "shared");
	check_belongs(account, report, "profile", "shared");
	check_belongs(account, report, "imds_endpoint", "imds");
	if (region != NULL && !pa_ec2_query_is_region(region))
		pa_report_problem(report, pa_account_line(account, "region"),
						  "invalid region \"%.80s\": valid are a-z, 0-9 and -",
						  region);
	check_endpoint(account, report);
	if (host_of(imds) == NULL || strlen(imds) > 200)
		pa_report_problem(report, pa_account_line(account, "imds_endpoint"),
						  "invalid imds_endpoint \"%.80s\": valid is a URL such as http://169.254.169.254",
						  imds);
}

/* false, with the answer filled in: nothing to send */
static bool
check_region(const PaEc2Account *account, PaProviderRequest *request)
{
	const char *region = request->region;

	if (region[0] == '\0')
		region = pa_account_text(account->account, "region");
	request->error = 0;
	request->status = PA_STATUS_INVALID_ARGUMENT;
	if (region == NULL)
		request->message = "the request has no region, and the account none that stands for it";
	else if (!pa_ec2_query_is_region(region))
		request->message = pa_arena_format(request->arena,
										   "invalid region \"%.80s\": valid are a-z, 0-9 and -",
										   region);
	else
		return true;
	return false;
}

static bool
submit(PaProvider *provider, PaProviderRequest *request)
{
	PaEc2Account *account = PA_CONTAINER(provider, PaEc2Account, provider);
	PaEc2Order *order;
	size_t		size = request->instance_count * sizeof(PaEc2Item);

	if (!check_region(account, request))
		return true;
	order = pa_arena_allocate(request->arena, sizeof(*order));
	memset(order, 0, sizeof(*order));
	order->account = account;
	order->request = request;
	order->items = memset(pa_arena_allocate(request->arena, size), 0, size);
	order->task.run = pa_ec2_order_begin;
	pa_http_loop_post(account->loop, &order->task);
	return false;
}

static void
look_for_withdrawn(PaHttpTask *task)
{
	PaEc2Account *account = PA_CONTAINER(task, PaEc2Account, withdrawal);

	/* from now on it may be posted again */
	atomic_store(&account->withdrawal_posted, false);
	pa_ec2_account_pump(account);
	pa_ec2_account_settle(account);
}

/*
 * The order may be answered, and gone, before the loop comes to it: the loop
 * looks which of its orders are withdrawn.
 */
static void
withdraw(PaProvider *provider, PaProviderRequest *request)
{
	PaEc2Account *account = PA_CONTAINER(provider, PaEc2Account, provider);

	atomic_store(&account->withdrawn, true);
	if (!atomic_exchange(&account->withdrawal_posted, true))
		pa_http_loop_post(account->loop, &account->withdrawal);
}

static void
keys_ready(void *data)
{
	pa_ec2_account_pump(data);
	pa_ec2_account_settle(data);
}

/* in the loop's thread: nothing of the account is there afterwards */
static void
close_in_loop(void *data)
{
	PaEc2Account *account = data;
	PaTimers   *timers = pa_http_loop_timers(account->loop);

	while (account->batches != NULL)
		pa_ec2_batch_free(account->batches);
	for (PaEc2Order *order = account->orders; order; order = order->next)
		pa_timer_clear(timers, &order->timer);
	pa_timer_clear(timers, &account->timer);
	while (account->regions != NULL)
	{
		PaEc2Region *region = account->regions;

		account->regions = region->next;
		pa_ec2_region_free(region);
	}
	pa_ec2_credentials_free(account->credentials);
}

static void
close_ec2(PaProvider *provider)
{
	PaEc2Account *account = PA_CONTAINER(provider, PaEc2Account, provider);

	pa_http_loop_run(account->loop, close_in_loop, account);
	free(account);
}

static PaProvider *
create(const PaAccount *configured, const PaProviderSetup *setup, void *shared,
	   char *problem, size_t size)
{
	PaEc2Account *account = pa_memory_allocate_zeroed(sizeof(*account));

	account->provider.name = "ec2";
	account->provider.submit = submit;
	account->provider.withdraw = withdraw;
	account->withdrawal.run = look_for_withdrawn;
	account->provider.close = close_ec2;
	account->account = configured;
	account->loop = shared;
	account->max_connections = (int) pa_account_number(configured, "max_connections");
	account->max_instances = (int) pa_account_number(configured,
													 "max_instances_per_call");
	account->timeout = (int) (pa_account_number(configured, "call_timeout") / 1000);
	account->order_timeout = pa_account_number(configured, "order_timeout");
	account->wait = pa_account_number(configured, "confirm_wait");
	account->poll_interval = pa_account_number(configured, "poll_interval");
	pa_ec2_pace_init(&account->pace,
					 (double) pa_account_number(configured,
												"max_requests_per_second"),
					 LONGEST_THROTTLE_PAUSE, pa_clock_now());
	if (getrandom(&account->chance, sizeof(account->chance), GRND_NONBLOCK) < 0)
		account->chance = (uint64_t) pa_clock_now();
	account->credentials = pa_ec2_credentials_create(configured, account->loop,
													 keys_ready, account);
	return &account->provider;
}

static void *
open_shared(void)
{
	xmlInitParser();
	return pa_http_loop_create();
}

static void
close_shared(void *shared)
{
	pa_http_loop_free(shared);
}

const PaProviderType pa_provider_type_ec2 = {
	.name = "ec2",
	.synonym = "aws",
	.settings = settings,
	.max_parallel = 10000,
	.check = check,
	.open_shared = open_shared,
	.close_shared = close_shared,
	.create = create
};
