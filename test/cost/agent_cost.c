/* objects: agent/request agent/arena agent/wire agent/ledger agent/store agent/store_file agent/metric agent/table */
/*-------------------------------------------------------------------------
 *
 * test/cost/agent_cost.c
 *		What power_agent does for every call apart from gRPC and the cloud:
 *		reading the request, the ledger, writing the reply.
 *
 *-------------------------------------------------------------------------
 */
#include "agent/ledger.h"
#include "agent/request.h"
#include "cost.h"

#define REMEMBERED	4096

static PaArena arena;
static PaLedger *ledger;
static uint8_t request[512];
static size_t request_length;

static void
make_request(void)
{
	Agent__ClusterStatusChangeRequest whole =
		AGENT__CLUSTER_STATUS_CHANGE_REQUEST__INIT;
	Agent__Order order = AGENT__ORDER__INIT;
	char	   *instances[] = {"i-0123456789abcdef0", "i-0123456789abcdef1"};

	whole.account_name = "production";
	whole.region = "eu-central-1";
	whole.cluster_id = "cluster-0001";
	whole.n_instances_id_list = 2;
	whole.instances_id_list = instances;
	whole.requester = "scheduler";
	whole.description = "opening hours";
	whole.request_id = "7300000000000000001/16384/1000/0";
	order.timeline = 1;
	order.epoch = 7;
	order.counter = 1000;
	whole.order = &order;
	whole.source = "7300000000000000001/16384";
	must(agent__cluster_status_change_request__get_packed_size(&whole) <=
		 sizeof(request));
	request_length =
		agent__cluster_status_change_request__pack(&whole, request);
}

static void
read_request(int n)
{
	const char *problem;

	pa_arena_empty(&arena);
	must(pa_request_read(&arena, request, request_length, &problem) != NULL);
}

static void
write_reply(int n)
{
	Agent__ClusterStatusChangeResponse whole =
		AGENT__CLUSTER_STATUS_CHANGE_RESPONSE__INIT;
	Agent__InstanceState states[2] = {
		AGENT__INSTANCE_STATE__INIT, AGENT__INSTANCE_STATE__INIT
	};
	Agent__InstanceState *pointers[] = {&states[0], &states[1]};
	size_t		length;

	states[0].instance_id = "i-0123456789abcdef0";
	states[1].instance_id = "i-0123456789abcdef1";
	states[0].state = AGENT__POWER_STATE__POWER_STATE_RUNNING;
	states[1].state = AGENT__POWER_STATE__POWER_STATE_RUNNING;
	whole.n_instance_states = 2;
	whole.instance_states = pointers;
	pa_arena_empty(&arena);
	must(pa_reply_write(&arena, &whole, &length) != NULL);
}

static PaLedgerVerdict
admit(int request_number, uint64_t counter, PaLedgerEntry **entry)
{
	static char request_id[64];
	static char cluster[64];
	PaOrder		order = {1, 7, counter};
	PaOrder		newest;
	PaLedgerRequest asked = {
		.request_id = request_id,
		.method = PA_METHOD_POWER_ON,
		.cluster_id = cluster,
		.source = "7300000000000000001/16384",
		.order = &order
	};

	snprintf(request_id, sizeof(request_id), "7300000000000000001/16384/%d/0",
			 100000 + request_number);
	snprintf(cluster, sizeof(cluster), "cluster-%06d",
			 request_number % REMEMBERED);
	return pa_ledger_admit(ledger, &asked, entry, &newest);
}

static uint64_t last_order;

/* a full ledger: the oldest is forgotten */
static void
remember(int n)
{
	static int	number;
	PaLedgerEntry *entry;

	must(admit(number++, ++last_order, &entry) == PA_LEDGER_NEW);
	pa_ledger_finish(ledger, entry, request, 60);
}

static void
look_up(int n)
{
	PaLedgerEntry *entry;
	size_t		length;

	must(admit(REMEMBERED + n, ++last_order, &entry) == PA_LEDGER_DONE);
	must(pa_ledger_reply(entry, &length) != NULL && length == 60);
}

int
main(void)
{
	make_request();
	cost_count("request read", read_request);
	cost_count("reply written", write_reply);

	ledger = pa_ledger_create(REMEMBERED, 64 * 1024 * 1024, REMEMBERED, NULL);
	must(ledger != NULL);
	for (int i = 0; i < 2 * REMEMBERED; i++)
		remember(i);
	cost_count("repetition found in the ledger", look_up);
	cost_count("request remembered", remember);
	return 0;
}
