/*-------------------------------------------------------------------------
 *
 * src/agent/reply_fault.c
 *		What a rule does to a reply on its way.  Contract in reply_fault.h.
 *
 *-------------------------------------------------------------------------
 */
#include "reply_fault.h"

#include <stdio.h>
#include <string.h>

#include "request.h"

/*
 * Appends a field to a packed message: a later "message" replaces an earlier
 * one, a further state adds itself to the list.
 */
static size_t
append_field(uint8_t *at, unsigned int number, const uint8_t *bytes,
			 size_t length)
{
	uint64_t	numbers[2] = {(uint64_t) number << 3 | 2, length};
	uint8_t    *start = at;

	for (int i = 0; i < 2; i++)
	{
		for (; numbers[i] >= 0x80; numbers[i] >>= 7)
			*at++ = (uint8_t) (numbers[i] | 0x80);
		*at++ = (uint8_t) numbers[i];
	}
	if (bytes != NULL)
		memcpy(at, bytes, length);
	else
		memset(at, 'x', length);
	return (size_t) (at - start) + length;
}

#define FIELD_HEADER	16		/* at least what append_field adds */

static const uint8_t *
add_foreign(const PaRule *rule, PaArena *arena, const uint8_t *reply,
			size_t *length)
{
	const PaSelection *foreign = &rule->foreign;
	size_t		count = foreign->id_count + (size_t) foreign->count;
	size_t		room = *length;
	uint8_t    *result;

	for (size_t i = 0; i < foreign->id_count; i++)
		room += strlen(foreign->ids[i]) + 2 * FIELD_HEADER;
	room += (size_t) foreign->count * (32 + 2 * FIELD_HEADER);
	result = pa_arena_allocate(arena, room);
	memcpy(result, reply, *length);
	for (size_t i = 0; i < count; i++)
	{
		Agent__InstanceState state = AGENT__INSTANCE_STATE__INIT;
		char		made_up[32];
		uint8_t		packed[PA_MAX_TEXT];

		snprintf(made_up, sizeof(made_up), "foreign-%zu", i + 1);
		state.instance_id = foreign->id_count > 0 ? foreign->ids[i] : made_up;
		state.state = AGENT__POWER_STATE__POWER_STATE_RUNNING;
		if (agent__instance_state__get_packed_size(&state) > sizeof(packed))
			continue;
		*length += append_field(result + *length, 101, packed,
								agent__instance_state__pack(&state, packed));
	}
	return result;
}

const uint8_t *
pa_reply_mangle(const PaRule *rule, PaArena *arena, const uint8_t *reply,
				size_t *length)
{
	static const uint8_t garbage[64] = {0xff, 0xff, 0xff, 0xff, 0x07};
	static const uint8_t no_text[] = "broken \xff\xfe text";
	const uint8_t *message = NULL;
	size_t		message_length = 0;
	uint8_t    *result;

	if (rule->garbage)
	{
		*length = sizeof(garbage);
		return garbage;
	}
	if (rule->foreign.count > 0 || rule->foreign.id_count > 0)
		reply = add_foreign(rule, arena, reply, length);
	if (rule->invalid_utf8)
	{
		message = no_text;
		message_length = sizeof(no_text) - 1;
	}
	else if (rule->message != NULL && rule->error == 0 &&
			 rule->partial.count == 0 && rule->partial.id_count == 0)
	{
		message = (const uint8_t *) rule->message;
		message_length = strlen(rule->message);
	}
	if (message == NULL && rule->size == 0)
		return reply;
	if (rule->size > (int64_t) (*length + message_length))
	{
		message_length = (size_t) rule->size - *length;
		message = NULL;
	}
	else if (message == NULL)
		return reply;
	result = pa_arena_allocate(arena, *length + message_length +
							   FIELD_HEADER);
	memcpy(result, reply, *length);
	*length += append_field(result + *length, 2, message, message_length);
	return result;
}

int
pa_reply_error(const uint8_t *reply, size_t length)
{
	uint64_t	error = 0;

	if (length > 0 && reply[0] == 0x08)
	{
		for (size_t i = 1; i < length && i <= 10; i++)
		{
			error |= (uint64_t) (reply[i] & 0x7f) << (7 * (i - 1));
			if ((reply[i] & 0x80) == 0)
				break;
		}
	}
	return (int) (int64_t) error;
}
