/*-------------------------------------------------------------------------
 *
 * src/agent/provider_simulated.c
 *		A cloud that exists only in the memory of the agent, and in its store.
 *
 * An instance moves stopped -> starting -> running -> stopping -> stopped;
 * an order given in mid-transition turns it round.  A terminated instance
 * stays so.  Transitions are not driven by timers: an instance knows when it
 * will have arrived, and is settled whenever somebody looks.  The store has
 * what an instance is or moves to; a move that a restart has interrupted
 * begins anew.
 *
 *-------------------------------------------------------------------------
 */
#include "provider_simulated.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "program/clock.h"
#include "program/memory.h"
#include "provider_type.h"
#include "request.h"
#include "status_name.h"
#include "store.h"
#include "table.h"

typedef struct Cluster
{
	PaTableNode node;
	char	   *cluster_id;
	char	   *account;		/* NULL: any; as region */
	char	   *region;
} Cluster;

typedef struct Instance
{
	PaTableNode node;
	const Cluster *cluster;
	PaInstanceState state;
	int64_t		arrives;		/* in the state that it moves to */
	char		instance_id[];
} Instance;

typedef struct Simulated
{
	PaProvider	provider;
	PaSimulatedOptions options;
	PaTimers   *timers;
	PaTable		clusters;
	PaTable		instances;
	struct Pending *pending;
} Simulated;

/* a request whose answer waits for its instances to arrive */
typedef struct Pending
{
	PaTimer		timer;
	Simulated  *simulated;
	PaProviderRequest *request;
	struct Pending *previous;
	struct Pending *next;
} Pending;

static const char *const state_names[] = {
	"unknown", "running", "stopped", "starting", "stopping", "terminated"
};

#define STATE_COUNT	((int) (sizeof(state_names) / sizeof(state_names[0])))

const char *
pa_instance_state_name(PaInstanceState state)
{
	return state_names[state];
}

int
pa_instance_state_code(const char *name)
{
	for (int state = 0; state < STATE_COUNT; state++)
	{
		if (strcasecmp(name, state_names[state]) == 0)
			return state;
	}
	return -1;
}

static Cluster *
find_cluster(const Simulated *simulated, const char *cluster_id, uint64_t hash)
{
	for (PaTableNode *node = pa_table_first(&simulated->clusters, hash);
		 node != NULL; node = pa_table_next(node))
	{
		Cluster    *cluster = PA_CONTAINER(node, Cluster, node);

		if (strcmp(cluster->cluster_id, cluster_id) == 0)
			return cluster;
	}
	return NULL;
}

static Cluster *
add_cluster(Simulated *simulated, const char *cluster_id, uint64_t hash)
{
	Cluster    *cluster = pa_memory_allocate_zeroed(sizeof(*cluster));

	cluster->cluster_id = pa_memory_copy_string(cluster_id);
	pa_table_insert(&simulated->clusters, &cluster->node, hash);
	return cluster;
}

static Instance *
find_instance(const Simulated *simulated, const Cluster *cluster,
			  const char *instance_id, uint64_t hash)
{
	for (PaTableNode *node = pa_table_first(&simulated->instances, hash);
		 node != NULL; node = pa_table_next(node))
	{
		Instance   *instance = PA_CONTAINER(node, Instance, node);

		if (instance->cluster == cluster &&
			strcmp(instance->instance_id, instance_id) == 0)
			return instance;
	}
	return NULL;
}

static Instance *
add_instance(Simulated *simulated, const Cluster *cluster,
			 const char *instance_id, uint64_t hash, PaInstanceState state)
{
	size_t		length = strlen(instance_id) + 1;
	Instance   *instance = pa_memory_allocate(sizeof(*instance) + length);

	instance->cluster = cluster;
	instance->state = state;
	instance->arrives = 0;
	memcpy(instance->instance_id, instance_id, length);
	pa_table_insert(&simulated->instances, &instance->node, hash);
	return instance;
}

static void
settle(Instance *instance, int64_t now)
{
	if (instance->arrives > now)
		return;
	if (instance->state == PA_INSTANCE_STARTING)
		instance->state = PA_INSTANCE_RUNNING;
	else if (instance->state == PA_INSTANCE_STOPPING)
		instance->state = PA_INSTANCE_STOPPED;
}

/* gives one instance its order; returns when it will have arrived */
static int64_t
order(const Simulated *simulated, Instance *instance, PaProviderVerb verb,
	  int64_t now)
{
	bool		start = verb == PA_PROVIDER_START;
	PaInstanceState goal = start ? PA_INSTANCE_RUNNING : PA_INSTANCE_STOPPED;
	PaInstanceState way = start ? PA_INSTANCE_STARTING : PA_INSTANCE_STOPPING;

	settle(instance, now);
	if (instance->state == PA_INSTANCE_TERMINATED || instance->state == goal)
		return now;
	if (instance->state != way)
	{
		instance->state = way;
		instance->arrives = now + simulated->options.transition_time;
		settle(instance, now);
		if (simulated->options.store != NULL)
			pa_store_put_instance(simulated->options.store,
								  &(PaStoredInstance) {
				instance->cluster->cluster_id, instance->instance_id,
				instance->state
			});
	}
	return instance->arrives;
}

static void
fill_answer(const Simulated *simulated, PaProviderRequest *request,
			const Cluster *cluster, uint64_t cluster_hash)
{
	int64_t		now = pa_clock_now();

	for (size_t i = 0; i < request->instance_count; i++)
	{
		PaProviderInstance *answer = &request->instances[i];
		uint64_t	hash = pa_table_hash_text(answer->instance_id, cluster_hash);
		Instance   *instance = find_instance(simulated, cluster,
											 answer->instance_id, hash);

		answer->message = NULL;
		if (instance == NULL)
		{
			answer->state = PA_INSTANCE_UNKNOWN;
			answer->message = "no such instance in this cluster";
			continue;
		}
		settle(instance, now);
		answer->state = instance->state;
		if (instance->state == PA_INSTANCE_TERMINATED &&
			request->verb != PA_PROVIDER_DESCRIBE)
			answer->message = "the instance is terminated";
	}
}

static void
arrived(PaTimer *timer)
{
	Pending    *pending = PA_CONTAINER(timer, Pending, timer);
	Simulated  *simulated = pending->simulated;
	PaProviderRequest *request = pending->request;
	uint64_t	hash = pa_table_hash_text(request->cluster_id, 0);

	if (pending->next)
		pending->next->previous = pending->previous;
	if (pending->previous)
		pending->previous->next = pending->next;
	else
		simulated->pending = pending->next;
	free(pending);
	fill_answer(simulated, request,
				find_cluster(simulated, request->cluster_id, hash), hash);
	request->done(request);
}

static void
wait_for_arrival(Simulated *simulated, PaProviderRequest *request, int64_t when)
{
	Pending    *pending = pa_memory_allocate_zeroed(sizeof(*pending));

	pending->simulated = simulated;
	pending->request = request;
	pending->next = simulated->pending;
	if (pending->next)
		pending->next->previous = pending;
	simulated->pending = pending;
	pa_timer_set(simulated->timers, &pending->timer, when, arrived);
}

/* the cluster that is meant, or NULL with the answer filled in */
static Cluster *
resolve_cluster(Simulated *simulated, PaProviderRequest *request, uint64_t hash)
{
	Cluster    *cluster = find_cluster(simulated, request->cluster_id, hash);

	if (simulated->options.inventory_file == NULL)
		return cluster ? cluster : add_cluster(simulated, request->cluster_id,
											   hash);
	if (cluster == NULL)
		request->message = pa_arena_format(request->arena, "no cluster \"%s\"",
										   request->cluster_id);
	else if (cluster->account && strcmp(cluster->account, request->account) != 0)
		request->message = pa_arena_format(request->arena,
										   "no cluster \"%s\" in account \"%s\"",
										   request->cluster_id, request->account);
	else if (cluster->region && strcmp(cluster->region, request->region) != 0)
		request->message = pa_arena_format(request->arena,
										   "no cluster \"%s\" in region \"%s\"",
										   request->cluster_id, request->region);
	else
		return cluster;
	request->status = PA_STATUS_NOT_FOUND;
	return NULL;
}

/* false: the inventory cannot take in all that the request names */
static bool
has_room(const Simulated *simulated, const PaProviderRequest *request,
		 uint64_t cluster_hash)
{
	size_t		most = (size_t) simulated->options.max_instances;
	size_t		count = simulated->instances.count;
	size_t		room = count < most ? most - count : 0;
	const Cluster *cluster;
	size_t		unknown = 0;

	if (request->instance_count <= room)
		return true;
	cluster = find_cluster(simulated, request->cluster_id, cluster_hash);
	for (size_t i = 0; i < request->instance_count; i++)
	{
		const char *id = request->instances[i].instance_id;

		if (cluster == NULL ||
			find_instance(simulated, cluster, id,
						  pa_table_hash_text(id, cluster_hash)) == NULL)
			unknown++;
	}
	return unknown <= room;
}

static bool
submit(PaProvider *provider, PaProviderRequest *request)
{
	Simulated  *simulated = PA_CONTAINER(provider, Simulated, provider);
	uint64_t	cluster_hash = pa_table_hash_text(request->cluster_id, 0);
	int64_t		now = pa_clock_now();
	int64_t		last_arrival = now;
	Cluster    *cluster;

	request->status = PA_STATUS_OK;
	request->error = 0;
	request->message = NULL;

	/* all or nothing: an order is not begun that the inventory cannot hold */
	if (simulated->options.inventory_file == NULL &&
		!has_room(simulated, request, cluster_hash))
	{
		request->status = PA_STATUS_RESOURCE_EXHAUSTED;
		request->message = "the simulated inventory is full, see --max-instances";
		return true;
	}
	cluster = resolve_cluster(simulated, request, cluster_hash);
	if (cluster == NULL)
		return true;

	for (size_t i = 0; i < request->instance_count; i++)
	{
		const char *instance_id = request->instances[i].instance_id;
		uint64_t	hash = pa_table_hash_text(instance_id, cluster_hash);
		Instance   *instance = find_instance(simulated, cluster, instance_id,
											 hash);

		if (instance == NULL && simulated->options.inventory_file == NULL)
			instance = add_instance(simulated, cluster, instance_id, hash,
									simulated->options.initial_state);
		if (instance != NULL && request->verb != PA_PROVIDER_DESCRIBE)
		{
			int64_t		arrival = order(simulated, instance, request->verb, now);

			if (arrival > last_arrival)
				last_arrival = arrival;
		}
	}
	if (simulated->options.answer_when_done && last_arrival > now)
	{
		wait_for_arrival(simulated, request, last_arrival);
		return false;
	}
	fill_answer(simulated, request, cluster, cluster_hash);
	return true;
}

static void
close_simulated(PaProvider *provider)
{
	Simulated  *simulated = PA_CONTAINER(provider, Simulated, provider);
	PaTableNode *node;

	while (simulated->pending != NULL)
	{
		Pending    *pending = simulated->pending;

		simulated->pending = pending->next;
		pa_timer_clear(simulated->timers, &pending->timer);
		free(pending);
	}
	while ((node = pa_table_take(&simulated->instances)) != NULL)
		free(PA_CONTAINER(node, Instance, node));
	while ((node = pa_table_take(&simulated->clusters)) != NULL)
	{
		Cluster    *cluster = PA_CONTAINER(node, Cluster, node);

		free(cluster->cluster_id);
		free(cluster->account);
		free(cluster->region);
		free(cluster);
	}
	pa_table_free(&simulated->instances);
	pa_table_free(&simulated->clusters);
	free(simulated);
}

/*
 * One line of the inventory: ACCOUNT REGION CLUSTER INSTANCE[=STATE]...
 * Returns what is wrong with it, NULL if nothing.
 */
static const char *
read_inventory_line(Simulated *simulated, char *line)
{
	static char problem[128 + PA_MAX_ID];
	char	   *rest = NULL;
	char	   *words[3];
	char	   *word;
	uint64_t	cluster_hash;
	Cluster    *cluster;

	for (int i = 0; i < 3; i++)
	{
		words[i] = strtok_r(i == 0 ? line : NULL, " \t\r\n", &rest);
		if (words[i] == NULL)
			return i == 0 ? NULL : "expected ACCOUNT REGION CLUSTER INSTANCE[=STATE]...";
		if (words[i][0] == '#' && i == 0)
			return NULL;
		if (strlen(words[i]) > PA_MAX_ID)
			return "a name is longer than 255 bytes";
	}
	cluster_hash = pa_table_hash_text(words[2], 0);
	cluster = find_cluster(simulated, words[2], cluster_hash);
	if (cluster == NULL)
	{
		cluster = add_cluster(simulated, words[2], cluster_hash);
		if (strcmp(words[0], "*") != 0)
			cluster->account = pa_memory_copy_string(words[0]);
		if (strcmp(words[1], "*") != 0)
			cluster->region = pa_memory_copy_string(words[1]);
	}
	else if (strcmp(cluster->account ? cluster->account : "*", words[0]) != 0 ||
			 strcmp(cluster->region ? cluster->region : "*", words[1]) != 0)
		return "the cluster was named before with another account or region";

	while ((word = strtok_r(NULL, " \t\r\n", &rest)) != NULL)
	{
		char	   *equals = strrchr(word, '=');
		int			state = simulated->options.initial_state;
		uint64_t	hash;

		if (equals != NULL)
		{
			*equals = '\0';
			state = pa_instance_state_code(equals + 1);
			if (state <= 0)
			{
				snprintf(problem, sizeof(problem),
						 "unknown state \"%.40s\": valid are running, stopped, starting, stopping and terminated",
						 equals + 1);
				return problem;
			}
		}
		if (*word == '\0' || strlen(word) > PA_MAX_ID)
			return "an instance id is empty or longer than 255 bytes";
		hash = pa_table_hash_text(word, cluster_hash);
		if (find_instance(simulated, cluster, word, hash) != NULL)
		{
			snprintf(problem, sizeof(problem),
					 "instance \"%.255s\" was named before", word);
			return problem;
		}
		add_instance(simulated, cluster, word, hash, state);
	}
	return NULL;
}

static bool
read_inventory(Simulated *simulated, char *problem, size_t size)
{
	const char *path = simulated->options.inventory_file;
	FILE	   *file = fopen(path, "re");
	char	   *line = NULL;
	size_t		capacity = 0;
	ssize_t		length;
	int			number = 0;
	const char *wrong = NULL;

	if (file == NULL)
	{
		snprintf(problem, size, "could not open inventory file \"%s\": %s", path,
				 strerror(errno));
		return false;
	}
	while (wrong == NULL && (length = getline(&line, &capacity, file)) >= 0)
	{
		number++;
		wrong = strlen(line) != (size_t) length ? "the line contains a NUL byte" :
			read_inventory_line(simulated, line);
	}
	if (wrong != NULL)
		snprintf(problem, size, "%s:%d: %s", path, number, wrong);
	else if (ferror(file))
		snprintf(problem, size, "could not read inventory file \"%s\"", path);
	else
		number = -1;
	free(line);
	fclose(file);
	return number == -1;
}

/* what an order once made of an instance, unless the inventory lacks it now */
static void
take_instance(void *data, const PaStoredInstance *stored)
{
	Simulated  *simulated = data;
	bool		made_up = simulated->options.inventory_file == NULL;
	uint64_t	cluster_hash = pa_table_hash_text(stored->cluster_id, 0);
	uint64_t	hash = pa_table_hash_text(stored->instance_id, cluster_hash);
	Cluster    *cluster = find_cluster(simulated, stored->cluster_id,
									   cluster_hash);
	Instance   *instance = NULL;

	if (cluster == NULL && made_up)
		cluster = add_cluster(simulated, stored->cluster_id, cluster_hash);
	if (cluster != NULL)
		instance = find_instance(simulated, cluster, stored->instance_id, hash);
	if (instance == NULL && made_up)
		instance = add_instance(simulated, cluster, stored->instance_id, hash,
								stored->state);
	if (instance == NULL)
		return;
	instance->state = stored->state;
	instance->arrives = pa_clock_now() + simulated->options.transition_time;
}

PaProvider *
pa_provider_simulated_create(const PaSimulatedOptions *options,
							 PaTimers *timers, char *problem, size_t size)
{
	Simulated  *simulated = pa_memory_allocate_zeroed(sizeof(*simulated));

	simulated->provider.name = "simulated";
	simulated->provider.submit = submit;
	simulated->provider.close = close_simulated;
	simulated->options = *options;
	simulated->timers = timers;
	if ((options->inventory_file != NULL &&
		 !read_inventory(simulated, problem, size)) ||
		(options->store != NULL &&
		 !pa_store_each_instance(options->store, take_instance, simulated,
								 problem, size)))
	{
		close_simulated(&simulated->provider);
		return NULL;
	}
	return &simulated->provider;
}

static const PaSetting no_settings[] = {
	{NULL}
};

static PaProvider *
create_for_account(const PaAccount *account, const PaProviderSetup *setup,
				   void *shared, char *problem, size_t size)
{
	return pa_provider_simulated_create(setup->simulated, setup->timers,
										problem, size);
}

const PaProviderType pa_provider_type_simulated = {
	.name = "simulated",
	.settings = no_settings,
	.max_parallel = 1000000,
	.create = create_for_account
};
