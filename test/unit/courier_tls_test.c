/* objects: courier/frame */
/* needs: power_action_courier */
/*-------------------------------------------------------------------------
 *
 * test/unit/courier_tls_test.c
 *		TLS, client certificates and tokens between the courier and agents,
 *		and files that change meanwhile.
 *
 * argv[1] is the path of power_action_courier.
 *
 *-------------------------------------------------------------------------
 */
#include "certificate.h"
#include "courier_worker.h"

static Identity authority;
static Identity other_authority;
static Identity agent_itself;	/* 127.0.0.1 and agent.test */
static Identity client;
static Identity stranger;		/* of the other authority */

static char roots_path[128];
static char chain_path[128];
static char key_path[128];
static char token_path[128];
static uint64_t generation;

static void
write_good_files(void)
{
	write_text(roots_path, authority.certificate_pem, 0644);
	write_text(chain_path, client.certificate_pem, 0644);
	write_text(key_path, client.key_pem, 0600);
	write_text(token_path, "first-token\n", 0600);
}

static Agent *
start_tls_agent(const Identity *identity, bool wants_client)
{
	grpc_ssl_pem_key_cert_pair pair = {
		identity->key_pem, identity->certificate_pem
	};
	grpc_ssl_client_certificate_request_type request = wants_client ?
		GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY :
		GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE;

	return agent_start_secure("127.0.0.1:0",
							  grpc_ssl_server_credentials_create_ex(authority.certificate_pem,
																	&pair, 1,
																	request,
																	NULL));
}

/* the order for a server over TLS with our authority; to be changed and sent */
static Courier__Configure
tls_order(const Agent *agent, const char *scheme)
{
	static char target[64];
	Courier__Configure configure = COURIER__CONFIGURE__INIT;

	snprintf(target, sizeof(target), "%s%d", scheme, agent->port);
	configure.server_name = "a";
	configure.generation = ++generation;
	configure.target = target;
	configure.connect_timeout_ms = 5000;
	configure.tls = true;
	configure.root_cert_file = roots_path;
	return configure;
}

static void
send_configure(Client *worker, Courier__Configure *configure)
{
	Courier__Frame frame = COURIER__FRAME__INIT;

	frame.body_case = COURIER__FRAME__BODY_CONFIGURE;
	frame.configure = configure;
	client_send(worker, &frame);
}

static void
check_ready(Client *worker, Courier__Configure *configure, const char *name)
{
	send_configure(worker, configure);
	ok(reaches(worker, "a", generation, READY, NULL, 0), "%s: connected",
	   name);
	check_result(worker, call(worker, "a", "ok", 20000), 0, false, NULL, name);
}

static void
check_refused(Client *worker, Courier__Configure *configure,
			  const char *reason, const char *name)
{
	char		message[2048] = "";

	send_configure(worker, configure);
	ok(reaches(worker, "a", generation, FAILED, message, sizeof(message)),
	   "%s: no connection", name);
	if (!ok(strstr(message, reason) != NULL, "... says \"%s\"", reason))
		printf("# it says \"%s\"\n", message);
	check_result(worker, call(worker, "a", "ok", 20000), 14, true, NULL, name);
}

static void
test_names_and_authorities(Client *worker)
{
	Agent	   *agent = start_tls_agent(&agent_itself, false);
	Agent	   *unknown = start_tls_agent(&stranger, false);
	Identity	expired_one = make_identity("IP:127.0.0.1", &authority, -9, -2);
	Agent	   *expired = start_tls_agent(&expired_one, false);
	Agent	   *plain = agent_start("127.0.0.1:0");
	Courier__Configure order;

	order = tls_order(agent, "ipv4:127.0.0.1:");
	check_ready(worker, &order, "TLS, by its address");
	order = tls_order(agent, "dns:///127.0.0.1:");
	check_ready(worker, &order, "TLS, by its address as a name");
	order.generation = ++generation;
	order.tls_server_name = "agent.test";
	check_ready(worker, &order, "tls_server_name");
	pthread_mutex_lock(&agent->mutex);
	is_string(agent->seen.authority, "agent.test", "... is what calls say");
	ok(agent->seen.authorization == NULL, "... and there is no token");
	pthread_mutex_unlock(&agent->mutex);
	order.generation = ++generation;
	order.tls_server_name = "other.test";
	check_refused(worker, &order, "other.test is not in peer certificate",
				  "another tls_server_name");

	order = tls_order(unknown, "ipv4:127.0.0.1:");
	check_refused(worker, &order, "certificate verify failed",
				  "an agent of another authority");
	order = tls_order(agent, "ipv4:127.0.0.1:");
	order.root_cert_file = "";
	check_refused(worker, &order,
				  access("/etc/ssl/certs/ca-certificates.crt", R_OK) == 0 ?
				  "certificate verify failed" : "root_cert_file is not set",
				  "the roots of the system do not know it");
	order = tls_order(expired, "ipv4:127.0.0.1:");
	check_refused(worker, &order, "certificate verify failed",
				  "an agent whose certificate has expired");
	order = tls_order(plain, "ipv4:127.0.0.1:");
	check_refused(worker, &order, "", "an agent without TLS");
	order = tls_order(agent, "ipv4:127.0.0.1:");
	order.tls = false;
	check_refused(worker, &order, "", "TLS where none is expected");

	agent_stop(agent);
	agent_stop(unknown);
	agent_stop(expired);
	agent_stop(plain);
	forget_identity(&expired_one);
}

static void
test_client_certificates(Client *worker)
{
	Agent	   *agent = start_tls_agent(&agent_itself, true);
	Courier__Configure order = tls_order(agent, "ipv4:127.0.0.1:");

	check_refused(worker, &order, "", "no client certificate");
	order.generation = ++generation;
	order.cert_file = chain_path;
	order.key_file = key_path;
	check_ready(worker, &order, "a client certificate");
	write_text(chain_path, stranger.certificate_pem, 0644);
	write_text(key_path, stranger.key_pem, 0600);
	order.generation = ++generation;
	check_refused(worker, &order, "", "one of another authority");
	write_good_files();
	ok(reaches(worker, "a", generation, READY, NULL, 0),
	   "the right one is found without being told");
	agent_stop(agent);
}

/* what is missing, and appears */
static void
test_files_appear(Client *worker)
{
	Agent	   *agent = start_tls_agent(&agent_itself, false);
	Courier__Configure order = tls_order(agent, "ipv4:127.0.0.1:");

	order.auth_token_file = token_path;
	unlink(roots_path);
	unlink(token_path);
	check_refused(worker, &order, "No such file or directory",
				  "files that are missing");
	write_text(roots_path, "none", 0644);
	ok(reaches(worker, "a", generation, FAILED, NULL, 0),
	   "another problem is told, too");
	write_text(roots_path, authority.certificate_pem, 0644);
	write_text(token_path, "t", 0666);
	ok(reaches(worker, "a", generation, FAILED, NULL, 0), "so is a third");
	write_good_files();
	ok(reaches(worker, "a", generation, READY, NULL, 0),
	   "connected when they are there");
	check_result(worker, call(worker, "a", "ok", 20000), 0, false, NULL,
				 "a call");
	agent_stop(agent);
}

/* the value of a piece of what the agent saw of one more call; static */
static const char *
see(Client *worker, Agent *agent, char *const *place)
{
	static char seen[256];
	Courier__Frame *frame = client_await_result(worker,
												call(worker, "a", "ok",
													 20000));

	if (frame == NULL || frame->result->status_code != 0)
		return "no result";
	courier__frame__free_unpacked(frame, NULL);
	pthread_mutex_lock(&agent->mutex);
	snprintf(seen, sizeof(seen), "%s", *place != NULL ? *place : "none");
	pthread_mutex_unlock(&agent->mutex);
	return seen;
}

/* calls until the agent sees something else than "old" */
static const char *
see_other(Client *worker, Agent *agent, char *const *place, const char *old)
{
	long		limit = client_now_ms() + CLIENT_PATIENCE_MS;
	const char *seen;

	do
		seen = see(worker, agent, place);
	while (strcmp(seen, old) == 0 && client_now_ms() < limit);
	return seen;
}

/* frames about connectivity that came and that nobody waited for */
static int
count_states(Client *worker)
{
	int			count = 0;

	for (size_t i = 0; i < worker->count; i++)
		count += worker->frames[i]->body_case ==
			COURIER__FRAME__BODY_CONNECTIVITY &&
			worker->frames[i]->connectivity->generation == generation &&
			worker->frames[i]->connectivity->state != READY;
	return count;
}

static void
test_tokens(Client *worker)
{
	Agent	   *plain = agent_start(address("t"));
	Agent	   *agent = start_tls_agent(&agent_itself, false);
	Courier__Configure order = tls_order(agent, "ipv4:127.0.0.1:");
	char *const *authorization = &agent->seen.authorization;
	uint64_t	held;
	char		peer[256];
	int			states;

	order.auth_token_file = token_path;
	check_ready(worker, &order, "TLS and a token");
	is_string(see(worker, agent, authorization), "Bearer first-token",
			  "the token");
	snprintf(peer, sizeof(peer), "%s", see(worker, agent, &agent->seen.peer));
	states = count_states(worker);
	held = call(worker, "a", "hold", 60000);
	ok(agent_await(agent, &agent->held_count, 1), "a call is in flight");
	write_text(token_path, "second-token", 0600);
	is_string(see_other(worker, agent, authorization, "Bearer first-token"),
			  "Bearer second-token", "another token");
	is_string(see(worker, agent, &agent->seen.peer), peer,
			  "on the same connection");
	agent_release(agent);
	check_result(worker, held, 0, false, NULL, "the call in flight");

	write_text(token_path, "two\nlines", 0600);
	{
		char		message[2048] = "";

		ok(reaches(worker, "a", generation, READY, message, sizeof(message)) &&
		   strstr(message, "auth_token_file") != NULL &&
		   strstr(message, "more than one line") != NULL &&
		   strstr(message, "what was read before remains in use") != NULL,
		   "a bad token is reported (%s)", message);
	}
	is_string(see(worker, agent, authorization), "Bearer second-token",
			  "the one before remains in use");
	write_text(token_path, "third-token", 0600);
	{
		char		message[2048] = "x";

		ok(reaches(worker, "a", generation, READY, message, sizeof(message)) &&
		   message[0] == '\0', "that it is good again is reported, too");
	}
	is_string(see(worker, agent, authorization), "Bearer third-token",
			  "and it is used");
	is_number(count_states(worker), states, "READY all the time");

	order = tls_order(agent, "");
	order.target = (char *) address("t");
	order.tls = false;
	order.auth_token_file = token_path;
	check_ready(worker, &order, "a token without TLS, over a unix socket");
	is_string(see(worker, plain, &plain->seen.authorization),
			  "Bearer third-token", "the token");
	write_good_files();
	agent_stop(agent);
	agent_stop(plain);
}

static void
test_certificates_change(Client *worker)
{
	Agent	   *agent = start_tls_agent(&agent_itself, false);
	Courier__Configure order = tls_order(agent, "ipv4:127.0.0.1:");
	char *const *peer = &agent->seen.peer;
	char		both[20000];
	char		first[256];
	char		second[256];
	uint64_t	held;
	int			states;

	order.auth_token_file = token_path;
	check_ready(worker, &order, "before certificates change");
	snprintf(first, sizeof(first), "%s", see(worker, agent, peer));
	held = call(worker, "a", "hold", 60000);
	ok(agent_await(agent, &agent->held_count, 1), "a call is in flight");
	states = count_states(worker);

	snprintf(both, sizeof(both), "%s%s", other_authority.certificate_pem,
			 authority.certificate_pem);
	write_text(roots_path, both, 0644);
	snprintf(second, sizeof(second), "%s",
			 see_other(worker, agent, peer, first));
	ok(strcmp(second, first) != 0, "another connection takes over (%s, %s)",
	   first, second);
	is_string(see(worker, agent, &agent->seen.authorization),
			  "Bearer first-token", "with the token");
	is_number(count_states(worker), states, "READY all the time");
	is_number(agent_count(agent, &agent->cancelled), 0,
			  "the call in flight goes on");
	agent_release(agent);
	check_result(worker, held, 0, false, NULL, "and ends");

	/* broken: says so, and keeps what works */
	write_text(roots_path, "broken", 0644);
	{
		char		message[2048] = "";
		bool		told;

		/* READY is told again with the change above */
		do
			told = reaches(worker, "a", generation, READY, message,
						   sizeof(message));
		while (told && message[0] == '\0');
		ok(told && strstr(message, "root_cert_file") != NULL &&
		   strstr(message, "it is not PEM") != NULL,
		   "a broken file is reported (%s)", message);
	}
	is_string(see(worker, agent, peer), second, "the connection stays");

	/* good, but not for this agent: it is not trusted any more */
	write_text(roots_path, other_authority.certificate_pem, 0644);
	ok(reaches(worker, "a", generation, FAILED, NULL, 0),
	   "roots that do not know the agent end it");
	check_result(worker, call(worker, "a", "ok", 20000), 14, true,
				 "certificate verify failed", "no call any more");
	write_good_files();
	ok(reaches(worker, "a", generation, READY, NULL, 0), "until it is known");
	agent_stop(agent);
}

/* a server that is removed, or ordered anew, while a new channel connects */
static void
test_removed(Client *worker)
{
	Agent	   *agent = start_tls_agent(&agent_itself, false);
	Courier__Configure order = tls_order(agent, "ipv4:127.0.0.1:");

	check_ready(worker, &order, "before it is removed");
	write_text(roots_path, "", 0644);
	remove_server(worker, "a");
	check_result(worker, call(worker, "a", "ok", 20000), 14, true,
				 "is not configured", "removed");
	order.generation = ++generation;
	check_refused(worker, &order, "it is empty", "ordered again");
	write_good_files();
	ok(reaches(worker, "a", generation, READY, NULL, 0), "and found good");
	agent_stop(agent);
}

int
main(int argc, char **argv)
{
	Client		worker;

	grpc_init();
	begin_tests(argc, argv);
	snprintf(roots_path, sizeof(roots_path), "%s/roots", directory);
	snprintf(chain_path, sizeof(chain_path), "%s/chain", directory);
	snprintf(key_path, sizeof(key_path), "%s/key", directory);
	snprintf(token_path, sizeof(token_path), "%s/token", directory);
	authority = make_identity(NULL, NULL, -1, 30);
	other_authority = make_identity(NULL, NULL, -1, 30);
	agent_itself = make_identity("IP:127.0.0.1,DNS:agent.test", &authority,
								 -1, 30);
	client = make_identity("DNS:client", &authority, -1, 30);
	stranger = make_identity("IP:127.0.0.1", &other_authority, -1, 30);
	write_good_files();

	client_start(&worker, courier);
	test_hello(&worker);
	test_names_and_authorities(&worker);
	test_client_certificates(&worker);
	test_files_appear(&worker);
	test_tokens(&worker);
	test_certificates_change(&worker);
	test_removed(&worker);
	client_close(&worker);
	check_end(&worker, 0, "the end");

	unlink(roots_path);
	unlink(chain_path);
	unlink(key_path);
	unlink(token_path);
	forget_identity(&authority);
	forget_identity(&other_authority);
	forget_identity(&agent_itself);
	forget_identity(&client);
	forget_identity(&stranger);
	grpc_shutdown_blocking();
	return end_tests();
}
