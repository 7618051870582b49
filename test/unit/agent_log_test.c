/* objects: agent/log agent/method agent/status_name */
/*-------------------------------------------------------------------------
 *
 * test/unit/agent_log_test.c
 *		Lines of the agent's log: what is in them, and that they are JSON
 *		whatever bytes they tell.
 *
 *-------------------------------------------------------------------------
 */
#include "agent/log.h"

#include <jansson.h>
#include <stdlib.h>
#include <unistd.h>

#include "agent/status_name.h"

#include "unit.h"

static char path[] = "/tmp/agent_log_test_XXXXXX";

/* the only line that it writes, read by a strict parser; NULL: it is not one */
static json_t *
logged(const PaLogLine *line)
{
	PaLog	   *log;
	FILE	   *file;
	char		text[32768];
	char	   *end;

	if (truncate(path, 0) != 0)
		abort();
	log = pa_log_open(path, false);
	pa_log_write(log, line);
	pa_log_close(log);
	file = fopen(path, "r");
	text[fread(text, 1, sizeof(text) - 1, file)] = '\0';
	fclose(file);
	end = strchr(text, '\n');
	if (end == NULL || end[1] != '\0')
		return NULL;
	return json_loads(text, JSON_REJECT_DUPLICATES, NULL);
}

static PaLogLine
plain_line(PaLogEvent event)
{
	return (PaLogLine) {
		.event = event, .method = PA_METHOD_POWER_OFF,
		.request_id = "r-1", .cluster_id = "c-1", .account = "prod",
		.source = "s", .requester = "bob", .attempt = 2, .instances = 3,
		.executed = true, .provider = "ec2", .wait = 10, .provider_time = 20,
		.duration = 40
	};
}

static void
check_number(json_t *line, const char *key, long long number)
{
	json_t	   *value = json_object_get(line, key);

	ok(json_is_integer(value) && json_integer_value(value) == number,
	   "%s is %lld", key, number);
}

static void
check_text(json_t *line, const char *key, const char *expected)
{
	const char *text = json_string_value(json_object_get(line, key));

	is_string(text ? text : "(no text)", expected, key);
}

static void
check_null(json_t *line, const char *key)
{
	ok(json_is_null(json_object_get(line, key)), "%s is null", key);
}

static void
check_keys(void)
{
	const int	error = -17;
	PaLogLine	line = plain_line(PA_LOG_END);
	json_t	   *parsed;

	line.error = &error;
	parsed = logged(&line);
	ok(parsed != NULL, "end: a line of JSON");
	check_text(parsed, "event", "end");
	check_text(parsed, "method", "PowerOffCluster");
	check_text(parsed, "request_id", "r-1");
	check_text(parsed, "provider", "ec2");
	check_text(parsed, "status", "OK");
	check_number(parsed, "attempt", 2);
	check_number(parsed, "error", -17);
	check_number(parsed, "wait_us", 10);
	check_number(parsed, "provider_us", 20);
	check_number(parsed, "duration_us", 40);
	check_null(parsed, "message");
	ok(json_is_true(json_object_get(parsed, "executed")), "executed");
	json_decref(parsed);

	line = plain_line(PA_LOG_START);
	line.provider_time = -1;
	parsed = logged(&line);
	ok(parsed != NULL, "start: a line of JSON");
	check_text(parsed, "event", "start");
	check_number(parsed, "wait_us", 10);
	check_null(parsed, "provider_us");
	ok(json_object_get(parsed, "status") == NULL, "no status");
	json_decref(parsed);

	line = plain_line(PA_LOG_DONE);
	line.provider = NULL;
	line.wait = -1;
	line.status = PA_STATUS_UNAVAILABLE;
	line.message = "no way";
	parsed = logged(&line);
	ok(parsed != NULL, "done: a line of JSON");
	check_text(parsed, "event", "done");
	check_text(parsed, "status", "UNAVAILABLE");
	check_text(parsed, "message", "no way");
	check_null(parsed, "provider");
	check_null(parsed, "wait_us");
	ok(json_object_get(parsed, "executed") == NULL, "executed is not told");
	json_decref(parsed);
}

/* each pair of bytes, in all texts at once, and at the place of the cut */
static void
check_bytes(void)
{
	int			bad = 0;

	for (int first = 1; first < 256; first++)
	{
		for (int second = 1; second < 256; second += first < 0x80 ? 37 : 1)
		{
			PaLogLine	line = plain_line(PA_LOG_END);
			char		text[300];
			json_t	   *parsed;

			memset(text, 'x', sizeof(text));
			text[0] = text[253] = (char) first;
			text[1] = text[254] = (char) second;
			text[299] = '\0';
			line.request_id = line.cluster_id = line.account = line.source =
				line.requester = line.message = text;
			parsed = logged(&line);
			bad += parsed == NULL;
			json_decref(parsed);
		}
	}
	is_number(bad, 0, "any bytes make a line of JSON");
}

/* the longest line that there can be fits into the buffer's reserve */
static void
check_longest(void)
{
	PaLogLine	line = plain_line(PA_LOG_END);
	char		text[1000];
	json_t	   *parsed;

	memset(text, 0x7f, sizeof(text));
	text[999] = '\0';
	line.request_id = line.cluster_id = line.account = line.source =
		line.requester = line.message = text;
	parsed = logged(&line);
	is_number((long long) strlen(json_string_value(json_object_get(parsed, "message"))),
			  255, "the longest text is cut");
	json_decref(parsed);
}

int
main(void)
{
	int			fd = mkstemp(path);

	if (fd < 0)
		abort();
	close(fd);
	check_keys();
	check_bytes();
	check_longest();
	unlink(path);
	return unit_done();
}
