/*-------------------------------------------------------------------------
 *
 * src/courier/result.c
 *		The Results of calls.  See result.h.
 *
 *-------------------------------------------------------------------------
 */
#include "arena.h"
#include "log.h"
#include "output.h"
#include "reply.h"
#include "result.h"
#include "text.h"

#define STATUS_UNKNOWN	2
#define HIGHEST_STATUS	16

/*
 * A reply of a few megabytes can hold millions of empty instances; what would
 * unpack to more than this is refused.
 */
#define REPLY_ARENA_LIMIT	((size_t) 512 * 1024 * 1024)

static PaArena arena;

void
pa_result_begin(void)
{
	pa_arena_init(&arena, REPLY_ARENA_LIMIT);
}

void
pa_result_end(void)
{
	pa_arena_destroy(&arena);
}

void
pa_result_add(const Courier__Result *result)
{
	Courier__Frame frame = COURIER__FRAME__INIT;

	frame.body_case = COURIER__FRAME__BODY_RESULT;
	frame.result = (Courier__Result *) result;
	pa_output_add(&frame);
}

void
pa_result_reply(Courier__Result *result, const uint8_t *reply, size_t size)
{
	size_t		left_out = pa_reply_decode(&arena, reply, size, result);

	if (left_out > 0)
		pa_log_send(COURIER__LOG_LEVEL__LOG_LEVEL_WARNING,
					"a reply tells of more than %d instances, %zu were left out",
					PA_REPLY_MAX_INSTANCES, left_out);
}

void
pa_result_failure(Courier__Result *result, uint32_t status, const char *details,
				  size_t length)
{
	result->status_code = status > HIGHEST_STATUS ? STATUS_UNKNOWN : status;
	result->status_message = pa_reply_text(&arena, details, length,
										   PA_TEXT_MESSAGE_LIMIT);
}

void
pa_result_forget(void)
{
	pa_arena_reset(&arena);
}
