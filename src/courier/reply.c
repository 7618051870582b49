/*-------------------------------------------------------------------------
 *
 * src/courier/reply.c
 *		Turns the reply of an agent into the Result that the worker gets.
 *
 * See reply.h.
 *
 *-------------------------------------------------------------------------
 */
#include <stdio.h>
#include <string.h>

#include "agent.pb-c.h"
#include "reply.h"
#include "text.h"

#define STATUS_INTERNAL		13

/*
 * Messages of instances, all together, in bytes.  With the ids of the most
 * instances allowed (27 MB) a Result stays well below the limit of a frame.
 */
#define INSTANCE_MESSAGES_LIMIT	((size_t) 24 * 1024 * 1024)

char *
pa_reply_text(PaArena *arena, const char *text, size_t length, size_t limit)
{
	size_t		room = length * 3 < limit ? length * 3 : limit;
	char	   *out = pa_arena_alloc(arena, room + 1);

	if (out == NULL)
		return (char *) protobuf_c_empty_string;
	pa_text_clean(out, room, text, length);
	return out;
}

/* the same for a string that is in the arena already, mostly clean */
static char *
clean_string(PaArena *arena, char *text, size_t limit)
{
	size_t		length;

	if (text == NULL)
		return (char *) protobuf_c_empty_string;
	length = strlen(text);
	if (pa_text_is_clean(text, length, limit))
		return text;
	return pa_reply_text(arena, text, length, limit);
}

static uint32_t
known_state(Agent__PowerState state)
{
	switch (state)
	{
		case AGENT__POWER_STATE__POWER_STATE_RUNNING:
		case AGENT__POWER_STATE__POWER_STATE_STOPPED:
		case AGENT__POWER_STATE__POWER_STATE_STARTING:
		case AGENT__POWER_STATE__POWER_STATE_STOPPING:
		case AGENT__POWER_STATE__POWER_STATE_TERMINATED:
			return (uint32_t) state;
		default:
			return 0;
	}
}

/* also what is said when there is no memory for another text */
static const char too_large[] = "the reply of the agent is too large";

static void
set_failure(PaArena *arena, Courier__Result *result, const char *message)
{
	result->reply_error = 0;
	result->reply_message = (char *) protobuf_c_empty_string;
	result->status_code = STATUS_INTERNAL;
	result->status_message = pa_reply_text(arena, message, strlen(message),
										   PA_TEXT_MESSAGE_LIMIT);
	if (result->status_message[0] == '\0')
		result->status_message = (char *) too_large;
}

size_t
pa_reply_decode(PaArena *arena, const uint8_t *data, size_t size,
				Courier__Result *result)
{
	Agent__ClusterStatusChangeResponse *reply;
	Courier__InstanceReport *reports;
	Courier__InstanceReport **pointers;
	size_t		count;
	size_t		messages = 0;
	char		text[128];

	reply = agent__cluster_status_change_response__unpack(&arena->allocator,
														  size, data);
	if (reply == NULL)
	{
		snprintf(text, sizeof(text),
				 "the reply of the agent cannot be decoded (%zu bytes)", size);
		set_failure(arena, result, text);
		return 0;
	}

	result->reply_error = reply->error;
	result->reply_message = clean_string(arena, reply->message,
										 PA_TEXT_MESSAGE_LIMIT);

	count = reply->n_instance_states;
	if (count == 0)
		return 0;
	if (count > PA_REPLY_MAX_INSTANCES)
		count = PA_REPLY_MAX_INSTANCES;

	reports = pa_arena_alloc(arena, count * sizeof(*reports));
	pointers = pa_arena_alloc(arena, count * sizeof(*pointers));
	if (reports == NULL || pointers == NULL)
	{
		set_failure(arena, result, too_large);
		return 0;
	}
	for (size_t i = 0; i < count; i++)
	{
		Agent__InstanceState *state = reply->instance_states[i];
		Courier__InstanceReport *report = &reports[i];

		courier__instance_report__init(report);
		report->instance_id = clean_string(arena, state->instance_id,
										   PA_TEXT_ID_LIMIT);
		report->state = known_state(state->state);
		if (messages < INSTANCE_MESSAGES_LIMIT)
		{
			report->message = clean_string(arena, state->message,
										   PA_TEXT_MESSAGE_LIMIT);
			messages += strlen(report->message);
		}
		pointers[i] = report;
	}
	result->n_instances = count;
	result->instances = pointers;
	return reply->n_instance_states - count;
}
