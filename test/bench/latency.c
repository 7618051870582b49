/*-------------------------------------------------------------------------
 *
 * test/bench/latency.c
 *		How long one action takes that is alone in an idle system, until the
 *		client has the notification that the action's final row is committed.
 *
 * usage: latency ROUNDS CLUSTER_ID...
 *
 * Connects as libpq's environment variables say.  Powers the clusters off and
 * on in turn, one action at a time, the next when the last is final.  Prints
 * one line a round: the event; in microseconds the time from the moment at
 * which the server's acknowledgement of the COMMIT arrived, and the time from
 * the moment at which the COMMIT was sent; and these two moments, in
 * microseconds since 1970, to be compared with the agent's log.  Exits with 1
 * on the first thing that goes wrong; an action that fails is one.
 *
 *-------------------------------------------------------------------------
 */
#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <libpq-fe.h>

#define NOTIFICATION_TIMEOUT_MS	30000

static void
fail(const char *what, const char *detail)
{
	fprintf(stderr, "latency: %s: %s\n", what, detail);
	exit(1);
}

static long
now_us(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return now.tv_sec * 1000000L + now.tv_nsec / 1000;
}

/* Runs a statement, frees its result, and returns its first value or "". */
static void
run(PGconn *connection, const char *statement, const char *argument,
	char *value, size_t value_size)
{
	PGresult   *result;
	ExecStatusType status;

	result = PQexecParams(connection, statement, argument != NULL ? 1 : 0,
						  NULL, &argument, NULL, NULL, 0);
	status = PQresultStatus(result);
	if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK)
		fail(statement, PQresultErrorMessage(result));
	if (value != NULL)
		snprintf(value, value_size, "%s",
				 PQntuples(result) > 0 ? PQgetvalue(result, 0, 0) : "");
	PQclear(result);
}

/*
 * Takes the notifications that have arrived; true if one is of this event.
 * One that says anything but success ends the program.
 */
static bool
take_notifications(PGconn *connection, const char *event_id)
{
	PGnotify   *notification;
	bool		found = false;
	char		number[64];
	char	   *id;

	while ((notification = PQnotifies(connection)) != NULL)
	{
		/* {"event_id": 7, ...}; blanks or none after the colon */
		id = strstr(notification->extra, "\"event_id\"");
		if (id == NULL ||
			sscanf(id, "\"event_id\" : %63[0-9]", number) != 1)
			fail("notification not understood", notification->extra);
		if (strcmp(number, event_id) == 0)
		{
			if (strstr(notification->extra, "\"success\"") == NULL)
				fail("an action did not succeed", notification->extra);
			found = true;
		}
		PQfreemem(notification);
	}
	return found;
}

static void
wait_for_event(PGconn *connection, const char *event_id)
{
	struct pollfd socket = {.fd = PQsocket(connection), .events = POLLIN};

	while (!take_notifications(connection, event_id))
	{
		int			ready = poll(&socket, 1, NOTIFICATION_TIMEOUT_MS);

		if (ready == 0)
			fail("no notification of event", event_id);
		if (ready < 0 && errno != EINTR)
			fail("poll", strerror(errno));
		if (!PQconsumeInput(connection))
			fail("connection", PQerrorMessage(connection));
	}
}

int
main(int argc, char **argv)
{
	static const char *const request[] = {
		"SELECT power_action.power_off($1)",
		"SELECT power_action.power_on($1)"
	};
	PGconn	   *connection;
	char		event_id[64];
	int			rounds;
	int			clusters = argc - 2;

	if (argc < 3 || (rounds = atoi(argv[1])) <= 0)
	{
		fprintf(stderr, "usage: latency ROUNDS CLUSTER_ID...\n");
		return 2;
	}

	connection = PQconnectdb("");
	if (PQstatus(connection) != CONNECTION_OK)
		fail("connection", PQerrorMessage(connection));
	run(connection, "LISTEN power_action", NULL, NULL, 0);

	for (int round = 0; round < rounds; round++)
	{
		const char *cluster = argv[2 + round % clusters];
		long		sent;
		long		acknowledged;
		long		acknowledged_at;
		long		final;

		run(connection, "BEGIN", NULL, NULL, 0);
		run(connection, request[round / clusters % 2], cluster, event_id,
			sizeof(event_id));
		sent = now_us(CLOCK_MONOTONIC);
		run(connection, "COMMIT", NULL, NULL, 0);
		acknowledged = now_us(CLOCK_MONOTONIC);
		acknowledged_at = now_us(CLOCK_REALTIME);
		wait_for_event(connection, event_id);
		final = now_us(CLOCK_MONOTONIC);
		printf("%s %ld %ld %ld %ld\n", event_id, final - acknowledged,
			   final - sent, acknowledged_at,
			   acknowledged_at - (acknowledged - sent));
	}

	PQfinish(connection);
	return 0;
}
