/*-------------------------------------------------------------------------
 *
 * src/agent/log.c
 *		The log of actions: one JSON object a line.  Contract in log.h.
 *
 *-------------------------------------------------------------------------
 */
#include "log.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "program/memory.h"
#include "program/utf8.h"
#include "status_name.h"

#define BUFFER_SIZE		(256 * 1024)
#define LONGEST_TEXT	255		/* bytes of a text before escaping */
#define LONGEST_LINE	(16 * 1024)	/* seven such texts, all of it escaped */
#define LAST_PATIENCE	5000	/* ms that a reader gets at the end */

struct PaLog
{
	int			fd;
	bool		is_socket;
	bool		sync;
	bool		failed;			/* said so already */
	uint64_t	dropped;		/* lines that are not told of yet */
	time_t		second;			/* that second_text shows */
	char		second_text[24];
	size_t		used;
	char		buffer[BUFFER_SIZE];
};

static const char *const event_names[] = {
	[PA_LOG_START] = "start",
	[PA_LOG_WITHDRAWN] = "withdrawn",
	[PA_LOG_END] = "end",
	[PA_LOG_DONE] = "done"
};

/*
 * Standard output as our own.  A pipe is opened once more: what is set for it,
 * not to wait, would else be so for everybody who has it, and if it is standard
 * error, too, for what is written there.
 */
static int
open_stdout(void)
{
	struct stat status;
	int			fd = -1;

	if (fstat(STDOUT_FILENO, &status) == 0 && S_ISFIFO(status.st_mode))
		fd = open("/proc/self/fd/1", O_WRONLY | O_NONBLOCK | O_CLOEXEC);
	return fd >= 0 ? fd : fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 0);
}

PaLog *
pa_log_open(const char *path, bool sync)
{
	bool		is_stdout = strcmp(path, "-") == 0;
	struct stat status;
	int			fd;
	PaLog	   *log;

	fd = is_stdout ? open_stdout() :
		open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
	if (fd < 0)
		return NULL;
	log = pa_memory_allocate(sizeof(*log));
	log->is_socket = false;
	if (fstat(fd, &status) == 0)
	{
		log->is_socket = S_ISSOCK(status.st_mode);
		if (!is_stdout && S_ISFIFO(status.st_mode))
			fcntl(fd, F_SETFL, O_APPEND | O_NONBLOCK);
	}
	log->fd = fd;
	log->sync = sync;
	log->failed = false;
	log->dropped = 0;
	log->second = 0;
	log->second_text[0] = '\0';
	log->used = 0;
	return log;
}

static void
add_bytes(PaLog *log, const char *bytes, size_t length)
{
	memcpy(log->buffer + log->used, bytes, length);
	log->used += length;
}

static void
add_text(PaLog *log, const char *text)
{
	add_bytes(log, text, strlen(text));
}

static void
add_number(PaLog *log, uint64_t number)
{
	char		digits[24];
	char	   *at = digits + sizeof(digits);

	do
		*--at = (char) ('0' + number % 10);
	while ((number /= 10) > 0);
	add_bytes(log, at, (size_t) (digits + sizeof(digits) - at));
}

static void
add_signed(PaLog *log, int64_t number)
{
	if (number < 0)
		add_text(log, "-");
	add_number(log, number < 0 ? 0 - (uint64_t) number : (uint64_t) number);
}

/* a JSON string; what is not UTF-8 becomes U+FFFD, a long text is cut */
static void
add_string(PaLog *log, const char *text)
{
	static const char hex[] = "0123456789abcdef";
	size_t		length = strnlen(text, LONGEST_TEXT);
	size_t		i = 0;

	add_text(log, "\"");
	while (i < length)
	{
		size_t		valid = pa_utf8_valid_length(text + i, length - i);
		size_t		end = i + valid;

		for (; i < end; i++)
		{
			unsigned char byte = (unsigned char) text[i];

			if (byte == '"' || byte == '\\')
			{
				char		escape[2] = {'\\', (char) byte};

				add_bytes(log, escape, 2);
			}
			else if (byte < 0x20 || byte == 0x7f)
			{
				char		escape[6] = {'\\', 'u', '0', '0', hex[byte >> 4],
				hex[byte & 15]};

				add_bytes(log, escape, 6);
			}
			else
				log->buffer[log->used++] = (char) byte;
		}
		if (i < length)
		{
			/* the start of a character that the cut went through is no error */
			if (length == LONGEST_TEXT && length - i < 4 && text[length] != '\0')
				break;
			add_text(log, "\\ufffd");
			i++;
		}
	}
	add_text(log, "\"");
}

static void
add_field(PaLog *log, const char *name, const char *text)
{
	add_text(log, ",\"");
	add_text(log, name);
	add_text(log, "\":");
	add_string(log, text);
}

static void
add_time(PaLog *log)
{
	struct timespec now;
	char		fraction[32];

	clock_gettime(CLOCK_REALTIME, &now);
	if (now.tv_sec != log->second || log->second_text[0] == '\0')
	{
		struct tm	broken;

		gmtime_r(&now.tv_sec, &broken);
		strftime(log->second_text, sizeof(log->second_text), "%Y-%m-%dT%H:%M:%S",
				 &broken);
		log->second = now.tv_sec;
	}
	add_text(log, "{\"time\":\"");
	add_text(log, log->second_text);
	snprintf(fraction, sizeof(fraction), ".%06ldZ\"", now.tv_nsec / 1000);
	add_text(log, fraction);
}

/* microseconds, null if there are none */
static void
add_duration(PaLog *log, const char *name, int64_t duration)
{
	add_text(log, ",\"");
	add_text(log, name);
	add_text(log, "\":");
	if (duration >= 0)
		add_number(log, (uint64_t) duration);
	else
		add_text(log, "null");
}

static void
add_outcome(PaLog *log, const PaLogLine *line)
{
	add_field(log, "status", pa_status_name(line->status));
	add_text(log, ",\"error\":");
	if (line->error != NULL)
		add_signed(log, *line->error);
	else
		add_text(log, "null");
	add_text(log, ",\"message\":");
	if (line->message != NULL)
		add_string(log, line->message);
	else
		add_text(log, "null");
	add_duration(log, "duration_us", line->duration);
}

/* tells what is missing, as soon as there is room for more than a few lines */
static void
tell_dropped(PaLog *log)
{
	if (log->dropped == 0 || log->used > BUFFER_SIZE / 2)
		return;
	add_time(log);
	add_text(log, ",\"event\":\"dropped\",\"lines\":");
	add_number(log, log->dropped);
	add_text(log, "}\n");
	log->dropped = 0;
}

bool
pa_log_write(PaLog *log, const PaLogLine *line)
{
	if (BUFFER_SIZE - log->used < LONGEST_LINE)
		pa_log_flush(log);
	if (log->dropped > 0 || BUFFER_SIZE - log->used < LONGEST_LINE)
	{
		log->dropped++;
		return false;
	}
	add_time(log);
	add_field(log, "event", event_names[line->event]);
	add_field(log, "method", pa_method_name(line->method));
	add_field(log, "request_id", line->request_id);
	add_text(log, ",\"attempt\":");
	if (line->attempt >= 0)
		add_number(log, (uint64_t) line->attempt);
	else
		add_text(log, "null");
	add_text(log, line->stream ? ",\"stream\":true" : ",\"stream\":false");
	add_field(log, "cluster_id", line->cluster_id);
	add_field(log, "account", line->account);
	add_field(log, "source", line->source);
	add_field(log, "requester", line->requester);
	add_text(log, ",\"order\":");
	if (line->order != NULL)
	{
		add_text(log, "[");
		add_number(log, line->order->timeline);
		add_text(log, ",");
		add_number(log, line->order->epoch);
		add_text(log, ",");
		add_number(log, line->order->counter);
		add_text(log, "]");
	}
	else
		add_text(log, "null");
	add_text(log, ",\"instances\":");
	add_number(log, line->instances);
	add_text(log, ",\"in_flight_same_cluster\":");
	add_signed(log, line->in_flight);
	if (line->event == PA_LOG_END)
	{
		add_text(log, line->executed ? ",\"executed\":true" : ",\"executed\":false");
		add_text(log, line->duplicate ? ",\"duplicate\":true" : ",\"duplicate\":false");
	}
	if (line->event == PA_LOG_END || line->event == PA_LOG_DONE)
		add_outcome(log, line);
	if (line->provider != NULL)
		add_field(log, "provider", line->provider);
	else
		add_text(log, ",\"provider\":null");
	add_duration(log, "wait_us", line->wait);
	add_duration(log, "provider_us", line->provider_time);
	add_text(log, "}\n");
	if (log->sync)
		pa_log_flush(log);
	return true;
}

bool
pa_log_dirty(const PaLog *log)
{
	return log->used > 0;
}

/* as write, but waits for no reader */
static ssize_t
write_some(const PaLog *log, const char *bytes, size_t length)
{
	return log->is_socket ?
		send(log->fd, bytes, length, MSG_DONTWAIT | MSG_NOSIGNAL) :
		write(log->fd, bytes, length);
}

void
pa_log_flush(PaLog *log)
{
	size_t		written = 0;

	while (written < log->used)
	{
		ssize_t		result = write_some(log, log->buffer + written,
										log->used - written);

		if (result < 0 && errno == EINTR)
			continue;
		if (result < 0 && errno == EAGAIN)
			break;
		if (result < 0)
		{
			/* the agent goes on without a log, but not without a word */
			if (!log->failed)
				fprintf(stderr, "power_agent: could not write the log: %s\n",
						strerror(errno));
			log->failed = true;
			written = log->used;
			break;
		}
		written += (size_t) result;
	}
	/* a line of which a part is written begins the buffer: it is not dropped */
	log->used -= written;
	memmove(log->buffer, log->buffer + written, log->used);
	tell_dropped(log);
}

/* what a reader has not read in time is lost */
static void
flush_last(PaLog *log)
{
	struct pollfd fd = {.fd = log->fd, .events = POLLOUT};

	pa_log_flush(log);
	while (log->used > 0 && poll(&fd, 1, LAST_PATIENCE) > 0)
		pa_log_flush(log);
}

void
pa_log_close(PaLog *log)
{
	flush_last(log);
	close(log->fd);
	free(log);
}
