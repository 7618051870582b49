/*-------------------------------------------------------------------------
 *
 * src/courier/log.c
 *		Messages for the server log.
 *
 * See log.h.  Nothing here calls gRPC, so that a message never causes
 * another one.
 *
 *-------------------------------------------------------------------------
 */
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <grpc/support/log.h>

#include "log.h"
#include "output.h"
#include "program/clock.h"
#include "text.h"

#define BURST			20
#define MS_PER_MESSAGE	200		/* in the long run */

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static int64_t credit_ms = BURST * MS_PER_MESSAGE;
static int64_t last_ms;
static unsigned long left_out;

/* true if a message may go out; *missing is how many did not before it */
static bool
admit(unsigned long *missing)
{
	int64_t		now_ms = pa_clock_now() / 1000;
	bool		result = false;

	pthread_mutex_lock(&mutex);
	credit_ms += now_ms - last_ms;
	last_ms = now_ms;
	if (credit_ms > BURST * MS_PER_MESSAGE)
		credit_ms = BURST * MS_PER_MESSAGE;
	if (credit_ms >= MS_PER_MESSAGE)
	{
		credit_ms -= MS_PER_MESSAGE;
		*missing = left_out;
		left_out = 0;
		result = true;
	}
	else
		left_out++;
	pthread_mutex_unlock(&mutex);
	return result;
}

static void
send_text(Courier__LogLevel level, const char *text)
{
	Courier__Frame frame = COURIER__FRAME__INIT;
	Courier__Log log = COURIER__LOG__INIT;
	char		clean[PA_TEXT_MESSAGE_LIMIT + 1];
	unsigned long missing;
	size_t		length;

	if (pa_output_crowded() || !admit(&missing))
		return;

	/* 64 bytes are kept for the remark */
	length = pa_text_clean(clean, PA_TEXT_MESSAGE_LIMIT - 64,
						   text, strlen(text));
	if (missing > 0)
		snprintf(clean + length, sizeof(clean) - length,
				 " (%lu messages before it were left out)", missing);

	log.level = level;
	log.message = clean;
	frame.body_case = COURIER__FRAME__BODY_LOG;
	frame.log = &log;
	if (pa_output_add(&frame))
		pa_output_wake();
}

static void
take_grpc_message(gpr_log_func_args *args)
{
	Courier__LogLevel level = COURIER__LOG_LEVEL__LOG_LEVEL_DEBUG;

	/*
	 * Each attempt to connect that TLS fails ends up here, too, once a
	 * second; the worker hears the reason with the state of the server.
	 */
	if (args->severity == GPR_LOG_SEVERITY_ERROR &&
		strstr(args->file, "ssl_transport_security") == NULL)
		level = COURIER__LOG_LEVEL__LOG_LEVEL_WARNING;
	else if (args->severity == GPR_LOG_SEVERITY_INFO)
		level = COURIER__LOG_LEVEL__LOG_LEVEL_INFO;
	send_text(level, args->message);
}

void
pa_log_begin(void)
{
	gpr_set_log_function(take_grpc_message);
}

void
pa_log_send(Courier__LogLevel level, const char *format,...)
{
	char		text[1024];
	va_list		arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	send_text(level, text);
}
