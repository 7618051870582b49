/* objects: agent/provider_libvirt agent/libvirt_account agent/libvirt_domain agent/libvirt_order agent/plain_text agent/account agent/account_file agent/ini_file agent/report agent/units agent/table agent/timer agent/arena */
/*-------------------------------------------------------------------------
 *
 * test/unit/agent_libvirt_test.c
 *		The provider libvirt against libvirt's own test driver, whose domains
 *		obey at once and never hang.  Some of libvirt's functions are defined
 *		here, too: they do what the test wants before they call the library's.
 *
 *-------------------------------------------------------------------------
 */
#define _GNU_SOURCE 1				/* RTLD_NEXT */

#include "agent/provider_libvirt.h"

#include <dlfcn.h>
#include <libvirt/libvirt.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "agent/account_file.h"
#include "agent/status_name.h"
#include "agent/timer.h"
#include "program/clock.h"
#include "unit.h"

#define SECOND	INT64_C(1000000)
#define MOST	4				/* instances of a request */

#define UUID_OF_PAUSED	"b6e8c2ae-5d0f-4b53-9d6c-0d3f3b7f0a02"

static const PaProviderType *const types[] = {&pa_provider_type_libvirt, NULL};

static const char hypervisor[] =
"<node><cpu><mhz>6000</mhz><model>m</model><active>4</active><nodes>1</nodes>"
"<sockets>1</sockets><cores>4</cores><threads>1</threads></cpu>"
"<memory>8192000</memory>"
"<domain type='test'><name>running</name><memory>1024</memory><os><type>hvm</type></os></domain>"
"<domain type='test' xmlns:test='http://libvirt.org/schemas/domain/test/1.0'>"
"<name>paused</name><uuid>" UUID_OF_PAUSED "</uuid><memory>1024</memory><os><type>hvm</type></os>"
"<test:runstate>3</test:runstate></domain>"
"<domain type='test' xmlns:test='http://libvirt.org/schemas/domain/test/1.0'>"
"<name>off</name><memory>1024</memory><os><type>hvm</type></os>"
"<test:runstate>5</test:runstate></domain>"
"<domain type='test'><name>other</name><memory>1024</memory><os><type>hvm</type></os></domain>"
"</node>";

static char hypervisor_uri[64];

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t change = PTHREAD_COND_INITIALIZER;

/* all of these under the lock */
static int	opened;
static int	closed;
static int	shutdowns;
static int	creates;
static int	destroys;
static bool deaf;				/* shutdowns are taken and do nothing */
static bool hanging;			/* shutdowns do not return */
static int	held;				/* how many hang */
static bool dead;				/* connections are lost */
static bool no_force;			/* what is forced fails */
static bool flaky;				/* domains go off as soon as they are on */
static bool raced;				/* somebody else is faster */
static bool broken;				/* nothing can be started */

#define REAL(function) ((__typeof__(&function)) dlsym(RTLD_NEXT, #function))

static void
count(int *counter)
{
	pthread_mutex_lock(&lock);
	(*counter)++;
	pthread_cond_broadcast(&change);
	pthread_mutex_unlock(&lock);
}

static bool
is(const bool *flag)
{
	bool		result;

	pthread_mutex_lock(&lock);
	result = *flag;
	pthread_mutex_unlock(&lock);
	return result;
}

static void
set(bool *flag, bool value)
{
	pthread_mutex_lock(&lock);
	*flag = value;
	pthread_cond_broadcast(&change);
	pthread_mutex_unlock(&lock);
}

static int
number_of(const int *counter)
{
	int			result;

	pthread_mutex_lock(&lock);
	result = *counter;
	pthread_mutex_unlock(&lock);
	return result;
}

static void
wait_for_number(const int *counter, int value)
{
	pthread_mutex_lock(&lock);
	while (*counter != value)
		pthread_cond_wait(&change, &lock);
	pthread_mutex_unlock(&lock);
}

virConnectPtr
virConnectOpen(const char *name)
{
	set(&dead, false);
	count(&opened);
	return REAL(virConnectOpen) (name);
}

int
virConnectClose(virConnectPtr connection)
{
	int			left = REAL(virConnectClose) (connection);

	if (left == 0)
		count(&closed);
	return left;
}

int
virConnectIsAlive(virConnectPtr connection)
{
	return is(&dead) ? 0 : REAL(virConnectIsAlive) (connection);
}

int
virDomainShutdown(virDomainPtr domain)
{
	count(&shutdowns);
	pthread_mutex_lock(&lock);
	held++;
	pthread_cond_broadcast(&change);
	while (hanging)
		pthread_cond_wait(&change, &lock);
	held--;
	pthread_mutex_unlock(&lock);
	if (is(&dead))
		return virDomainCreate(domain);	/* fails: it is running */
	return is(&deaf) ? 0 : REAL(virDomainShutdown) (domain);
}

int
virDomainCreate(virDomainPtr domain)
{
	int			result;

	count(&creates);
	if (is(&broken))
		return REAL(virDomainShutdown) (domain);	/* fails: it is off */
	if (is(&raced))
		REAL(virDomainCreate) (domain);
	result = REAL(virDomainCreate) (domain);
	if (result == 0 && is(&flaky))
		REAL(virDomainDestroy) (domain);
	return result;
}

int
virDomainDestroy(virDomainPtr domain)
{
	count(&destroys);
	if (is(&no_force))
		return REAL(virDomainCreate) (domain);	/* fails: it is running */
	return REAL(virDomainDestroy) (domain);
}

/*
 * Accounts and requests
 */
typedef struct Site
{
	PaAccount  *account;
	PaProvider *provider;
	void	   *shared;
} Site;

typedef struct Call
{
	PaProviderRequest request;
	PaProviderInstance instances[MOST];
	PaArena		arena;
	bool		done;
} Call;

static void
tell(PaReport *report, const char *text)
{
	printf("# %s\n", text);
}

static PaAccount *
read_account(const char *keys)
{
	PaReport	report = {.tell = tell, .file = "accounts"};
	char		text[1000];

	snprintf(text, sizeof(text), "[a]\nprovider = libvirt\n%s\n", keys);
	return pa_account_file_parse(text, types, &report);
}

/* quick, but for the keys that come first */
static void
open_site(Site *site, const char *uri, const char *keys)
{
	PaProviderSetup setup = {0};
	char		text[900];
	char		problem[256];

	snprintf(text, sizeof(text), "uri = %s\npoll_interval = 10ms\n%s", uri, keys);
	site->account = read_account(text);
	site->shared = pa_provider_type_libvirt.open_shared();
	site->provider = site->account == NULL ? NULL :
		pa_provider_type_libvirt.create(site->account, &setup, site->shared,
										problem, sizeof(problem));
	if (site->provider == NULL)
		abort();
	opened = closed = shutdowns = creates = destroys = 0;
}

static void
close_site(Site *site)
{
	site->provider->close(site->provider);
	pa_provider_type_libvirt.close_shared(site->shared);
	pa_account_free(site->account);
}

static void
done(PaProviderRequest *request)
{
	set(&((Call *) request)->done, true);
}

/* names: with a blank between them */
static void
send_call(Site *site, Call *call, PaProviderVerb verb, const char *cluster,
		  const char *names, int64_t patience)
{
	memset(call, 0, sizeof(*call));
	call->request.verb = verb;
	call->request.account = "a";
	call->request.region = "";
	call->request.cluster_id = cluster;
	call->request.instances = call->instances;
	call->request.arena = &call->arena;
	call->request.deadline = patience ? pa_clock_now() + patience : INT64_MAX;
	call->request.done = done;
	for (char *name = strtok(pa_arena_format(&call->arena, "%s", names), " ");
		 name != NULL; name = strtok(NULL, " "))
		call->instances[call->request.instance_count++].instance_id = name;
	if (site->provider->submit(site->provider, &call->request))
		abort();
}

/* "STATUS problem" or "state (message) state" */
static const char *
answer_to(Call *call)
{
	static const char *const names[] = {
		"unknown", "running", "stopped", "starting", "stopping", "terminated"
	};
	static char text[1000];
	size_t		used = 0;

	pthread_mutex_lock(&lock);
	while (!call->done)
		pthread_cond_wait(&change, &lock);
	pthread_mutex_unlock(&lock);
	if (call->request.status != PA_STATUS_OK)
		snprintf(text, sizeof(text), "%d %s", call->request.status,
				 call->request.message);
	else
		for (size_t i = 0; i < call->request.instance_count; i++)
			used += (size_t) snprintf(text + used, sizeof(text) - used,
									  "%s%s%s%s%s", i > 0 ? " " : "",
									  names[call->instances[i].state],
									  call->instances[i].message ? " (" : "",
									  call->instances[i].message ?
									  call->instances[i].message : "",
									  call->instances[i].message ? ")" : "");
	pa_arena_empty(&call->arena);
	return text;
}

static const char *
ask(Site *site, PaProviderVerb verb, const char *names)
{
	Call		call;

	send_call(site, &call, verb, "c", names, 0);
	return answer_to(&call);
}

#define start(site, names) ask(site, PA_PROVIDER_START, names)
#define stop(site, names) ask(site, PA_PROVIDER_STOP, names)
#define describe(site, names) ask(site, PA_PROVIDER_DESCRIBE, names)

static void
wait_until(Site *site, const char *name, const char *state)
{
	int			looks = 3000;

	while (strcmp(describe(site, name), state) != 0 && looks-- > 0)
		usleep(10000);
	is_string(describe(site, name), state, name);
}

/*
 * Tests
 */
static void
test_states(void)
{
	Site		site;

	open_site(&site, hypervisor_uri, "");
	is_string(describe(&site, "running paused off none"),
			  "running running (the domain is paused) stopped unknown (no such domain)",
			  "states");
	is_string(describe(&site, UUID_OF_PAUSED " b6e8c2ae-5d0f-4b53-9d6c-0d3f3b7f0a99"),
			  "running (the domain is paused) unknown (no such domain)", "by UUID");
	is_string(stop(&site, "running off none"),
			  "stopped stopped unknown (no such domain)", "stopped");
	is_number(number_of(&shutdowns), 1, "by one shutdown");
	is_string(describe(&site, "running"), "stopped", "and stays so");
	is_string(start(&site, "running paused off"), "running running running",
			  "started, and resumed");
	is_string(start(&site, "running"), "running", "nothing to do");
	is_number(number_of(&creates), 2, "two were created");
	is_number(number_of(&opened), 1, "one connection for all");
	set(&flaky, true);
	stop(&site, "running");
	is_string(start(&site, "running"),
			  "stopped (it was started, and has ended since)", "one that ends at once");
	set(&flaky, false);
	set(&broken, true);
	creates = 0;
	is_string(start(&site, "running"),
			  "stopped (internal error: domain 'running' not running)",
			  "one that cannot be started");
	is_number(number_of(&creates), 1, "is not tried again");
	set(&broken, false);
	set(&raced, true);
	is_string(start(&site, "running"), "running", "somebody else is faster");
	set(&raced, false);
	close_site(&site);
	is_number(number_of(&closed), 1, "which is closed at the end");
}

static void
test_force(void)
{
	Site		site;
	Call		call;

	set(&deaf, true);
	open_site(&site, hypervisor_uri,
			  "confirm_wait = 0\nstop_timeout = 300ms\nforce_stop = yes");
	is_string(stop(&site, "running"), "stopping", "one that does not listen");
	is_string(describe(&site, "running"), "stopping", "is told as stopping");
	is_string(stop(&site, "running"), "stopping", "ordered again");
	is_number(number_of(&shutdowns), 1, "it is not asked again");
	wait_until(&site, "running", "stopped");
	is_number(number_of(&destroys), 1, "by force");

	start(&site, "running");
	stop(&site, "running");
	is_string(start(&site, "running"), "running",
			  "a start waits for the time of the shutdown");
	is_number(number_of(&destroys), 1, "and takes the force out of it");
	stop(&site, "running");
	send_call(&site, &call, PA_PROVIDER_START, "c", "running off", SECOND / 10);
	is_string(answer_to(&call), "14 domains are still shutting down",
			  "if there is no time for that, a part was ordered");
	send_call(&site, &call, PA_PROVIDER_START, "c", "running", SECOND / 20);
	is_string(answer_to(&call), "10 domains are still shutting down",
			  "or nothing");
	wait_until(&site, "running",
			   "running (it did not shut down within 300 ms)");

	stop(&site, "running");
	set(&no_force, true);
	wait_until(&site, "running",
			   "running (it could not be stopped by force: internal error: Domain 'running' is already running)");
	set(&no_force, false);
	close_site(&site);

	open_site(&site, hypervisor_uri, "confirm_wait = 60s\nstop_timeout = 50ms");
	is_string(stop(&site, "running"),
			  "running (it did not shut down within 50 ms, and force_stop is off)",
			  "without force");
	is_number(number_of(&destroys), 0, "there is none");
	set(&deaf, false);
	is_string(stop(&site, "running"), "stopped", "a second order asks once more");
	is_string(describe(&site, "running"), "stopped", "and all is forgotten");
	close_site(&site);

	open_site(&site, hypervisor_uri,
			  "confirm_wait = 60s\nstop_timeout = 50ms\nforce_stop = on");
	set(&deaf, true);
	is_string(stop(&site, "running other"), "stopped stopped", "force within the order");
	is_number(number_of(&destroys), 2, "for each");
	set(&deaf, false);
	close_site(&site);
}

/* what others do to a domain that was asked to shut down */
static void
test_others(void)
{
	Site		site;
	virConnectPtr connection;
	virDomainPtr domain;

	/* all connections to this one are to the same hypervisor */
	open_site(&site, "test:///default",
			  "confirm_wait = 0\nstop_timeout = 60s\nforce_stop = yes");
	connection = virConnectOpen("test:///default");
	domain = virDomainLookupByName(connection, "test");
	set(&deaf, true);
	is_string(stop(&site, "test"), "stopping", "asked to shut down");
	REAL(virDomainDestroy) (domain);
	REAL(virDomainCreate) (domain);
	is_string(describe(&site, "test"), "running", "started again by somebody");
	is_string(stop(&site, "test"), "stopping", "and stopped again");
	is_number(number_of(&shutdowns), 2, "is another shutdown");
	set(&deaf, false);
	virDomainFree(domain);
	virConnectClose(connection);
	close_site(&site);
}

static void
test_hanging(void)
{
	Site		site;
	Call		call;
	Call		next;

	open_site(&site, hypervisor_uri, "");
	is_string(describe(&site, "running other"), "running running", "before");
	set(&hanging, true);
	send_call(&site, &call, PA_PROVIDER_STOP, "c", "running other", SECOND / 5);
	is_string(answer_to(&call), "14 the hypervisor did not answer in time",
			  "a hypervisor that hangs");
	send_call(&site, &next, PA_PROVIDER_START, "c", "running", 0);
	send_call(&site, &call, PA_PROVIDER_DESCRIBE, "d", "off", 0);
	is_string(answer_to(&call), "stopped", "another cluster goes on");
	ok(!is(&next.done), "the same waits for the call that hangs");
	send_call(&site, &call, PA_PROVIDER_START, "c", "off", SECOND / 10);
	is_string(answer_to(&call), "14 the hypervisor did not answer in time",
			  "not for longer than it has");
	is_number(number_of(&creates), 0, "and does nothing");
	set(&hanging, false);
	is_string(answer_to(&next), "running", "it comes after that");
	is_number(number_of(&creates), 1, "and undoes it");
	is_number(number_of(&shutdowns), 1, "an order that was given up goes no further");
	is_string(describe(&site, "other"), "running", "so the others are as they were");

	/* all threads hang, and the agent ends */
	set(&hanging, true);
	send_call(&site, &call, PA_PROVIDER_STOP, "e", "running", 0);
	wait_for_number(&held, 1);
	close_site(&site);
	ok(!is(&call.done), "a call that hangs does not hold up the end");
	pa_arena_empty(&call.arena);
	set(&hanging, false);
	wait_for_number(&closed, 1);
	ok(true, "and leaves by itself");
}

static const char withdrawn[] = "1 " PA_PROVIDER_WITHDRAWN;

static void
test_withdrawals(void)
{
	Site		site;
	Call		call;
	Call		other;

	/* behind an order that hangs in its call */
	open_site(&site, hypervisor_uri, "max_calls = 1");
	describe(&site, "running");
	set(&hanging, true);
	send_call(&site, &other, PA_PROVIDER_STOP, "c", "running other", 0);
	wait_for_number(&held, 1);
	send_call(&site, &call, PA_PROVIDER_START, "d", "off", 0);
	pa_provider_withdraw(site.provider, &call.request);
	is_string(answer_to(&call), withdrawn, "an order that waits for a thread");
	send_call(&site, &call, PA_PROVIDER_DESCRIBE, "d", "off", 0);
	pa_provider_withdraw(site.provider, &call.request);
	is_string(answer_to(&call), withdrawn, "a question that does");
	pa_provider_withdraw(site.provider, &other.request);
	ok(!is(&other.done), "the order in its call is not let go");
	set(&hanging, false);
	is_string(answer_to(&other), "stopped stopped", "and goes on, all of it");
	is_number(number_of(&shutdowns), 2, "each domain was asked");
	is_number(number_of(&creates), 0, "nothing was done for the other order");
	start(&site, "running other");

	/* the call of a withdrawn order fails: that was no order */
	set(&hanging, true);
	send_call(&site, &other, PA_PROVIDER_STOP, "c", "running other", 0);
	wait_for_number(&held, 1);
	pa_provider_withdraw(site.provider, &other.request);
	set(&dead, true);
	set(&hanging, false);
	is_string(answer_to(&other), "stopped stopped",
			  "one that was lost in its call may have been taken, and goes on");
	start(&site, "running other");
	close_site(&site);

	/* while it rests */
	set(&deaf, true);
	open_site(&site, hypervisor_uri, "confirm_wait = 60s\nstop_timeout = 60s");
	send_call(&site, &other, PA_PROVIDER_STOP, "c", "running", 0);
	wait_until(&site, "running", "stopping");
	send_call(&site, &call, PA_PROVIDER_START, "c", "running other", SECOND * 60);
	is_string(describe(&site, "off"), "stopped", "it had time for a look");
	creates = 0;
	pa_provider_withdraw(site.provider, &call.request);
	is_string(answer_to(&call), withdrawn, "an order that waits for a shutdown");
	is_number(number_of(&creates), 0, "did nothing");
	pa_provider_withdraw(site.provider, &other.request);
	is_string(describe(&site, "running"), "stopping", "one that was taken");
	ok(!is(&other.done), "is waited for until the end");
	close_site(&site);
	pa_arena_empty(&other.arena);

	/* a start that has changed what becomes of the stop before it */
	open_site(&site, hypervisor_uri,
			  "confirm_wait = 0\nstop_timeout = 300ms\nforce_stop = yes\nmax_calls = 1");
	stop(&site, "running");
	send_call(&site, &call, PA_PROVIDER_START, "c", "running", 0);
	/* the only thread has looked for the start by then */
	describe(&site, "off");
	pa_provider_withdraw(site.provider, &call.request);
	is_string(answer_to(&call), "running",
			  "a start that has taken a stop its force goes on");
	is_number(number_of(&destroys), 0, "there is none");
	set(&deaf, false);
	close_site(&site);
}

typedef struct Racer
{
	Site	   *site;
	Call	   *calls;
	int			count;
} Racer;

static void *
withdraw_all(void *data)
{
	Racer	   *racer = data;

	for (int i = 0; i < racer->count; i++)
	{
		if (i % 3 != 2)
			pa_provider_withdraw(racer->site->provider, &racer->calls[i].request);
	}
	return NULL;
}

static void
test_withdrawal_races(void)
{
	enum
	{
		COUNT = 60
	};
	static Call calls[COUNT];
	Site		site;
	Racer		racer = {&site, calls, COUNT};
	pthread_t	thread;
	int			good = 0;

	open_site(&site, hypervisor_uri, "confirm_wait = 0");
	for (int i = 0; i < COUNT; i++)
		send_call(&site, &calls[i], (PaProviderVerb) (i % 3), "c", "running other", 0);
	if (pthread_create(&thread, NULL, withdraw_all, &racer) != 0)
		abort();
	for (int i = 0; i < COUNT; i++)
	{
		pthread_mutex_lock(&lock);
		while (!calls[i].done)
			pthread_cond_wait(&change, &lock);
		pthread_mutex_unlock(&lock);
		if (i == COUNT - 1)
			pthread_join(thread, NULL);
	}
	for (int i = 0; i < COUNT; i++)
	{
		const char *answer = answer_to(&calls[i]);

		good += i % 3 == 2 ? calls[i].request.status == PA_STATUS_OK :
			calls[i].request.status == PA_STATUS_OK || strcmp(answer, withdrawn) == 0 ||
			calls[i].request.status == PA_STATUS_ABORTED;
	}
	is_number(good, COUNT, "all are answered, those that were not withdrawn with states");
	close_site(&site);
}

static void
test_connections(void)
{
	Site		site;

	open_site(&site, hypervisor_uri, "");
	describe(&site, "running");
	set(&dead, true);
	is_string(describe(&site, "running"), "running", "a connection that is lost");
	is_number(number_of(&opened), 2, "is made again");
	set(&hanging, true);
	{
		Call		call;

		send_call(&site, &call, PA_PROVIDER_STOP, "c", "running", 0);
		wait_for_number(&held, 1);
		set(&dead, true);
		set(&hanging, false);
		is_string(answer_to(&call), "stopped", "so is one that is lost within an order");
	}
	is_number(number_of(&opened), 3, "again");
	close_site(&site);

	open_site(&site, "test+pigeon:///default", "");
	ok(strncmp(start(&site, "running"), "9 ", 2) == 0, "no such way");
	close_site(&site);
	open_site(&site, "test+unix:///default?socket=/nowhere/socket", "");
	ok(strncmp(start(&site, "running"), "14 ", 3) == 0, "nobody there");
	close_site(&site);
}

static void
test_keys(void)
{
	static const char *const bad[] = {
		"", "uri = ", "uri = system", "uri = :///x", "uri = a b:///x", "uri = /x",
		"force_stop = perhaps\nuri = test:///default",
		"stop_timeout = 1us\nuri = test:///default",
		"max_calls = 0\nuri = test:///default",
		"region = x\nuri = test:///default"
	};
	PaAccount  *account;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
	{
		account = read_account(bad[i]);
		ok(account == NULL, "bad: %.*s", (int) strcspn(bad[i], "\n"), bad[i]);
	}
	account = read_account("uri = qemu+ssh://root@host/system?no_tty=1");
	if (ok(account != NULL, "good"))
		pa_account_free(account);
}

int
main(void)
{
	char		path[] = "/tmp/agent_libvirt_test.XXXXXX";
	int			file = mkstemp(path);

	if (file < 0 || write(file, hypervisor, sizeof(hypervisor) - 1) < 0)
		abort();
	close(file);
	snprintf(hypervisor_uri, sizeof(hypervisor_uri), "test://%s", path);
	test_keys();
	test_states();
	test_force();
	test_others();
	test_hanging();
	test_withdrawals();
	test_withdrawal_races();
	test_connections();
	unlink(path);
	return unit_done();
}
