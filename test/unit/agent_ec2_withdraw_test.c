/* objects: agent/provider_ec2 agent/ec2_account agent/ec2_batch agent/ec2_credentials agent/ec2_order agent/ec2_pace agent/ec2_query agent/ec2_result agent/sigv4 agent/http_loop agent/flat_json agent/account agent/account_file agent/ini_file agent/report agent/units agent/plain_text agent/table agent/timer agent/arena agent/metric */
/*-------------------------------------------------------------------------
 *
 * test/unit/agent_ec2_withdraw_test.c
 *		Orders of the provider ec2 are withdrawn while a cloud takes, refuses
 *		and loses its calls: what ends as withdrawn, the cloud never had.
 *
 * The cloud knows what it has taken.  It is a thread a connection; it checks
 * nothing, test/t/080_ec2.pl does.
 *
 *-------------------------------------------------------------------------
 */
#define _GNU_SOURCE 1				/* accept4 */

#include "agent/provider_ec2.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/account_file.h"
#include "agent/status_name.h"
#include "program/clock.h"
#include "unit.h"

#define COUNT	120				/* orders of a round */
#define PER_ORDER	3			/* instances of each */

static const PaProviderType *const types[] = {&pa_provider_type_ec2, NULL};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t change = PTHREAD_COND_INITIALIZER;

/* all of these under the lock */
static int	taken[COUNT * PER_ORDER];	/* orders for each instance */
static int	calls_come;
static bool holding;			/* calls are not looked at */
static int	to_throttle;		/* that many of the next orders, */
static int	to_lose;			/* and of those then, after they were taken */

static int	listener;
static int	port;

typedef struct Order
{
	PaProviderRequest request;
	PaProviderInstance instances[PER_ORDER];
	char		names[PER_ORDER][16];
	PaArena		arena;
	bool		withdrawn;
	bool		done;			/* under the lock */
	int			times_done;
} Order;

/* the HTTP status, 0: the connection is to be lost */
static int
act(const char *body)
{
	const char *at = body;
	int			status = 200;

	pthread_mutex_lock(&lock);
	calls_come++;
	pthread_cond_broadcast(&change);
	while (holding)
		pthread_cond_wait(&change, &lock);
	if (strstr(body, "DescribeInstances") == NULL)
	{
		if (to_throttle > 0)
		{
			to_throttle--;
			status = 503;
		}
		else if (to_lose > 0)
		{
			to_lose--;
			status = 0;
		}
		while (status != 503 && (at = strstr(at, "=i-")) != NULL)
			taken[strtol(at += 3, NULL, 16)]++;
	}
	pthread_mutex_unlock(&lock);
	return status;
}

static void *
serve(void *data)
{
	int			fd = (int) (intptr_t) data;
	char	   *text = malloc(100000);
	size_t		used = 0;
	ssize_t		length;

	while ((length = read(fd, text + used, 99999 - used)) > 0)
	{
		const char *body;
		const char *answer;
		char		reply[600];
		int			status;

		used += (size_t) length;
		text[used] = '\0';
		body = strstr(text, "\r\n\r\n");
		if (body == NULL)
			continue;
		body += 4;
		if (strlen(body) < strtoul(strcasestr(text, "content-length:") + 15, NULL, 10))
			continue;
		status = act(body);
		if (status == 0)
			break;
		answer = status == 503 ?
			"<Response><Errors><Error><Code>RequestLimitExceeded</Code><Message>m</Message>"
			"</Error></Errors></Response>" :
			strstr(body, "Describe") ?
			"<DescribeInstancesResponse><reservationSet/></DescribeInstancesResponse>" :
			"<StopInstancesResponse><instancesSet/></StopInstancesResponse>";
		used = (size_t) snprintf(reply, sizeof(reply),
								 "HTTP/1.1 %d X\r\nContent-Length: %zu\r\n\r\n%s",
								 status, strlen(answer), answer);
		if (write(fd, reply, used) < 0)
			break;
		used = 0;
	}
	close(fd);
	free(text);
	return NULL;
}

static void *
accept_all(void *data)
{
	int			fd;

	while ((fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC)) >= 0)
	{
		pthread_t	thread;

		if (pthread_create(&thread, NULL, serve, (void *) (intptr_t) fd) != 0)
			abort();
		pthread_detach(thread);
	}
	return NULL;
}

static void
open_cloud(void)
{
	struct sockaddr_in address = {.sin_family = AF_INET};
	socklen_t	size = sizeof(address);
	pthread_t	thread;

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (listener < 0 || bind(listener, (struct sockaddr *) &address, size) != 0 ||
		listen(listener, 64) != 0 ||
		getsockname(listener, (struct sockaddr *) &address, &size) != 0 ||
		pthread_create(&thread, NULL, accept_all, NULL) != 0)
		abort();
	pthread_detach(thread);
	port = ntohs(address.sin_port);
}

/*
 * The account
 */
static PaAccount *account;
static PaProvider *provider;
static void *shared;

static void
tell(PaReport *report, const char *text)
{
	printf("# %s\n", text);
}

static void
open_account(const char *keys)
{
	PaReport	report = {.tell = tell, .file = "accounts"};
	PaProviderSetup setup = {0};
	char		text[400];
	char		problem[256];

	snprintf(text, sizeof(text),
			 "[a]\nprovider = ec2\nuser = U\nkey = K\nendpoint = http://127.0.0.1:%d\n"
			 "confirm_wait = 0\nmax_requests_per_second = 0\n%s\n", port, keys);
	account = pa_account_file_parse(text, types, &report);
	if (account == NULL)
		abort();
	shared = pa_provider_type_ec2.open_shared();
	provider = pa_provider_type_ec2.create(account, &setup, shared, problem,
										   sizeof(problem));
	if (provider == NULL)
		abort();
}

static void
close_account(void)
{
	provider->close(provider);
	pa_provider_type_ec2.close_shared(shared);
	pa_account_free(account);
}

static void
done(PaProviderRequest *request)
{
	Order	   *order = (Order *) request;

	pthread_mutex_lock(&lock);
	order->times_done++;
	order->done = true;
	pthread_cond_broadcast(&change);
	pthread_mutex_unlock(&lock);
}

static void
submit(Order *order, int number, PaProviderVerb verb)
{
	memset(order, 0, sizeof(*order));
	order->request.verb = verb;
	order->request.account = "a";
	order->request.region = "r";
	order->request.cluster_id = "c";
	order->request.instances = order->instances;
	order->request.instance_count = PER_ORDER;
	order->request.arena = &order->arena;
	order->request.deadline = INT64_MAX;
	order->request.done = done;
	for (int i = 0; i < PER_ORDER; i++)
	{
		snprintf(order->names[i], sizeof(order->names[i]), "i-%08x",
				 number * PER_ORDER + i);
		order->instances[i].instance_id = order->names[i];
	}
	if (provider->submit(provider, &order->request))
		abort();
}

static void
withdraw(Order *order)
{
	order->withdrawn = true;
	pa_provider_withdraw(provider, &order->request);
}

static void
set(int *what, int value)
{
	pthread_mutex_lock(&lock);
	*what = value;
	pthread_mutex_unlock(&lock);
}

static void
hold(bool value)
{
	pthread_mutex_lock(&lock);
	holding = value;
	pthread_cond_broadcast(&change);
	pthread_mutex_unlock(&lock);
}

static void
wait_for_calls(int count)
{
	pthread_mutex_lock(&lock);
	while (calls_come < count)
		pthread_cond_wait(&change, &lock);
	pthread_mutex_unlock(&lock);
}

static int
status_of(Order *order)
{
	pthread_mutex_lock(&lock);
	while (!order->done)
		pthread_cond_wait(&change, &lock);
	pthread_mutex_unlock(&lock);
	pa_arena_empty(&order->arena);
	return order->request.status;
}

/* how many orders the cloud took for the instances with this number */
static int
taken_of(int number)
{
	int			sum = 0;

	pthread_mutex_lock(&lock);
	for (int i = 0; i < PER_ORDER; i++)
		sum += taken[number * PER_ORDER + i];
	pthread_mutex_unlock(&lock);
	return sum;
}

static void
begin_round(void)
{
	pthread_mutex_lock(&lock);
	memset(taken, 0, sizeof(taken));
	calls_come = to_throttle = to_lose = 0;
	pthread_mutex_unlock(&lock);
}

/* the provider has looked which of its orders are withdrawn */
static void
withdraw_and_wait(Order *order)
{
	static Order question;

	withdraw(order);
	submit(&question, COUNT - 1, PA_PROVIDER_DESCRIBE);
	withdraw(&question);
	status_of(&question);
}

/*
 * Tests
 */
static void
test_one_by_one(void)
{
	static Order orders[6];

	begin_round();
	open_account("max_connections = 1\nmax_instances_per_call = 2");
	hold(true);
	submit(&orders[0], 0, PA_PROVIDER_STOP);
	wait_for_calls(1);
	submit(&orders[1], 1, PA_PROVIDER_STOP);
	submit(&orders[2], 2, PA_PROVIDER_STOP);
	submit(&orders[3], 3, PA_PROVIDER_DESCRIBE);
	withdraw(&orders[1]);
	is_number(status_of(&orders[1]), PA_STATUS_CANCELLED, "one that waits");
	is_string(orders[1].request.message, PA_PROVIDER_WITHDRAWN, "says so");
	withdraw(&orders[3]);
	is_number(status_of(&orders[3]), PA_STATUS_CANCELLED, "a question");
	/* two instances of it are in the call, one is not */
	withdraw_and_wait(&orders[0]);
	hold(false);
	is_number(status_of(&orders[0]), PA_STATUS_OK, "one in a call");
	is_number(taken_of(0), PER_ORDER, "goes on to its end, all of it");
	is_number(status_of(&orders[2]), PA_STATUS_OK, "another");
	is_number(taken_of(2), PER_ORDER, "is not touched");
	is_number(taken_of(1), 0, "what was withdrawn was not ordered");

	begin_round();
	hold(true);
	set(&to_throttle, 1);
	submit(&orders[4], 4, PA_PROVIDER_STOP);
	wait_for_calls(1);
	withdraw_and_wait(&orders[4]);
	hold(false);
	is_number(status_of(&orders[4]), PA_STATUS_CANCELLED, "a call that is throttled");
	is_number(taken_of(4), 0, "was no order");

	begin_round();
	hold(true);
	set(&to_lose, 1);
	submit(&orders[5], 5, PA_PROVIDER_STOP);
	wait_for_calls(1);
	withdraw_and_wait(&orders[5]);
	hold(false);
	is_number(status_of(&orders[5]), PA_STATUS_OK, "a call that is lost may have been one");
	ok(taken_of(5) > PER_ORDER, "and is made again");
	close_account();
}

static Order orders[COUNT];

/* each is withdrawn while it is on its way to the loop */
static void
test_quick_succession(void)
{
	int			good = 0;

	begin_round();
	open_account("max_connections = 1");
	hold(true);
	submit(&orders[0], 0, PA_PROVIDER_STOP);
	wait_for_calls(1);
	for (int i = 1; i < COUNT; i++)
	{
		submit(&orders[i], i, PA_PROVIDER_STOP);
		withdraw(&orders[i]);
	}
	for (int i = 1; i < COUNT; i++)
		good += status_of(&orders[i]) == PA_STATUS_CANCELLED;
	is_number(good, COUNT - 1, "none is overlooked");
	hold(false);
	is_number(status_of(&orders[0]), PA_STATUS_OK, "the one before them");
	close_account();
}

static void *
withdraw_some(void *data)
{
	int			first = (int) (intptr_t) data;

	for (int i = first; i < COUNT; i += 3)
	{
		/*
		 * One thread at once, one while calls are made: four fail, and
		 * those that stay make nine more.
		 */
		if (first > 0)
			wait_for_calls(4 + i / 20);
		withdraw(&orders[i]);
	}
	return NULL;
}

static void
test_races(void)
{
	pthread_t	threads[2];
	int			bad = 0;
	int			cancelled = 0;

	begin_round();
	open_account("max_connections = 4\nmax_instances_per_call = 7\nmax_parallel = 1000");
	set(&to_throttle, 2);
	set(&to_lose, 2);
	for (int i = 0; i < COUNT; i++)
		submit(&orders[i], i, i % 6 < 5 ? PA_PROVIDER_STOP : PA_PROVIDER_DESCRIBE);
	/* the third third stays */
	for (int i = 0; i < 2; i++)
	{
		if (pthread_create(&threads[i], NULL, withdraw_some, (void *) (intptr_t) i) != 0)
			abort();
	}
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	for (int i = 0; i < COUNT; i++)
	{
		int			status = status_of(&orders[i]);
		bool		question = orders[i].request.verb == PA_PROVIDER_DESCRIBE;

		cancelled += status == PA_STATUS_CANCELLED;
		if (orders[i].times_done != 1 ||
			(status == PA_STATUS_CANCELLED && (!orders[i].withdrawn || taken_of(i) > 0)) ||
			(status == PA_STATUS_OK && !question && taken_of(i) < PER_ORDER) ||
			(!orders[i].withdrawn && status != PA_STATUS_OK))
		{
			bad++;
			printf("# order %d: status %d, taken %d\n", i, status, taken_of(i));
		}
	}
	printf("# %d of %d were withdrawn in time\n", cancelled, COUNT);
	is_number(bad, 0, "each is ordered or cancelled, and done once");
	close_account();
}

/* the account is closed while some are on their way out */
static void
test_close(void)
{
	begin_round();
	open_account("max_connections = 2");
	hold(true);
	for (int i = 0; i < COUNT; i++)
		submit(&orders[i], i, PA_PROVIDER_STOP);
	for (int i = 0; i < COUNT; i += 2)
		withdraw(&orders[i]);
	close_account();
	hold(false);
	for (int i = 0; i < COUNT; i++)
		pa_arena_empty(&orders[i].arena);
	ok(true, "closed");
}

int
main(void)
{
	signal(SIGPIPE, SIG_IGN);
	open_cloud();
	test_one_by_one();
	for (int i = 0; i < 5; i++)
		test_quick_succession();
	for (int i = 0; i < 3; i++)
		test_races();
	test_close();
	return unit_done();
}
