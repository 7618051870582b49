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

#include <fcntl.h>
#include <jansson.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
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
	ok(json_is_false(json_object_get(parsed, "stream")), "not by a stream");
	json_decref(parsed);

	line = plain_line(PA_LOG_START);
	line.provider_time = -1;
	line.stream = true;
	parsed = logged(&line);
	ok(parsed != NULL, "start: a line of JSON");
	ok(json_is_true(json_object_get(parsed, "stream")), "by a stream");
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

#define MANY	4000			/* lines, more than buffer and pipe can hold */

/* the log's reader; its log is the standard output, which is restored */
static PaLog *
log_to(int fd)
{
	int			saved = dup(STDOUT_FILENO);
	PaLog	   *log;

	fflush(stdout);
	if (dup2(fd, STDOUT_FILENO) < 0)
		abort();
	log = pa_log_open("-", true);
	if (dup2(saved, STDOUT_FILENO) < 0)
		abort();
	close(saved);
	close(fd);
	return log;
}

/* reads what there is, and tells what the lines are; *rest: of a line */
static void
read_lines(int fd, char *rest, int *lines, int *dropped, int *bad)
{
	static char buffer[100000];
	size_t		used = strlen(rest);
	ssize_t		count;

	memcpy(buffer, rest, used);
	while ((count = read(fd, buffer + used, sizeof(buffer) - used - 1)) > 0)
	{
		char	   *start = buffer;
		char	   *end;

		used += (size_t) count;
		buffer[used] = '\0';
		while ((end = strchr(start, '\n')) != NULL)
		{
			json_t	   *line;

			*end = '\0';
			line = json_loads(start, JSON_REJECT_DUPLICATES, NULL);
			if (line == NULL)
				(*bad)++;
			else if (json_object_get(line, "lines") != NULL)
				*dropped += (int) json_integer_value(json_object_get(line, "lines"));
			else
				(*lines)++;
			json_decref(line);
			start = end + 1;
		}
		used = strlen(start);
		memmove(buffer, start, used + 1);
	}
	memcpy(rest, buffer, used);
	rest[used] = '\0';
}

/* nobody reads: the writer goes on, and what was dropped is told afterwards */
static void
check_stalled(PaLog *log, int reader, const char *name)
{
	PaLogLine	line = plain_line(PA_LOG_START);
	static char rest[100000];
	int			refused = 0;
	int			lines = 0;
	int			dropped = 0;
	int			bad = 0;

	rest[0] = '\0';
	fcntl(reader, F_SETFL, O_NONBLOCK);
	/* a write that waits does so for ever */
	alarm(60);
	for (int i = 0; i < MANY; i++)
		refused += !pa_log_write(log, &line);
	alarm(0);
	ok(refused > 0 && refused < MANY, "%s: lines are dropped: %d", name, refused);
	for (int i = 0; i < 100 && pa_log_dirty(log); i++)
	{
		read_lines(reader, rest, &lines, &dropped, &bad);
		pa_log_flush(log);
	}
	ok(pa_log_write(log, &line), "%s: there is room again", name);
	pa_log_close(log);
	read_lines(reader, rest, &lines, &dropped, &bad);
	is_number(lines, MANY - refused + 1, "all others are read");
	is_number(dropped, refused, "and how many were dropped");
	is_number(bad + (int) strlen(rest), 0, "all in whole lines");
	close(reader);
}

static void
check_readers(void)
{
	char		fifo[64];
	int			ends[2];
	int			reader;

	if (pipe(ends) != 0)
		abort();
	check_stalled(log_to(ends[1]), ends[0], "a pipe");
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends) != 0)
		abort();
	check_stalled(log_to(ends[1]), ends[0], "a socket");
	snprintf(fifo, sizeof(fifo), "%s.fifo", path);
	if (mkfifo(fifo, 0600) != 0)
		abort();
	reader = open(fifo, O_RDONLY | O_NONBLOCK);
	check_stalled(pa_log_open(fifo, false), reader, "a named pipe");
	unlink(fifo);

	/* who else has the pipe still waits */
	if (pipe(ends) != 0)
		abort();
	reader = dup(ends[1]);
	pa_log_close(log_to(ends[1]));
	ok((fcntl(reader, F_GETFL) & O_NONBLOCK) == 0, "a pipe of others is left as it is");
	close(reader);
	close(ends[0]);
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
	check_readers();
	unlink(path);
	return unit_done();
}
