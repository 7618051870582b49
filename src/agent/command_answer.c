/*-------------------------------------------------------------------------
 *
 * src/agent/command_answer.c
 *		What a program of the provider command prints.  Contract in
 *		command_answer.h.
 *
 *-------------------------------------------------------------------------
 */
#include "command_answer.h"

#include <jansson.h>
#include <string.h>
#include <sysexits.h>

#include "plain_text.h"
#include "status_name.h"
#include "table.h"

#define LONGEST_TEXT	500		/* bytes of a message */

static const char *const states[] = {
	"unknown", "running", "stopped", "starting", "stopping", "terminated"
};

/* an instance of the request; the same id may be there twice */
typedef struct Asked
{
	PaTableNode node;
	PaProviderInstance *instance;
} Asked;

static const char *
copy_text(PaArena *arena, const char *text, size_t length)
{
	if (length > LONGEST_TEXT)
	{
		length = LONGEST_TEXT;
		/* not within a character */
		while (length > 0 && ((unsigned char) text[length] & 0xc0) == 0x80)
			length--;
	}
	return pa_arena_format(arena, "%.*s", (int) length, text);
}

/* a text of an object; NULL: it has none, *good: or nothing else either */
static const char *
get_text(PaArena *arena, const json_t *object, const char *key, bool *good)
{
	const json_t *value = json_object_get(object, key);

	*good = value == NULL || json_is_null(value) || json_is_string(value);
	if (!json_is_string(value) || json_string_length(value) == 0)
		return NULL;
	return copy_text(arena, json_string_value(value), json_string_length(value));
}

static bool
read_state(const json_t *item, PaInstanceState *state)
{
	const char *name = json_string_value(json_object_get(item, "state"));

	for (int i = 0; name != NULL && i < 6; i++)
	{
		if (strcmp(name, states[i]) == 0)
		{
			*state = (PaInstanceState) i;
			return true;
		}
	}
	return false;
}

/* what is wrong with an element of "instances", NULL if nothing */
static const char *
read_instance(PaArena *arena, const PaTable *asked, const json_t *item)
{
	const json_t *value = json_object_get(item, "id");
	const char *id = json_string_value(value);
	PaInstanceState state;
	const char *message;
	bool		good;
	uint64_t	hash;

	if (id == NULL || id[0] == '\0')
		return "an element of \"instances\" has no text \"id\"";
	if (!read_state(item, &state))
		return pa_arena_format(arena,
							   "instance \"%s\" has no \"state\" that is running, stopped, starting, stopping, terminated or unknown",
							   copy_text(arena, id, json_string_length(value)));
	message = get_text(arena, item, "message", &good);
	if (!good)
		return "the \"message\" of an instance is no text";
	hash = pa_table_hash_text(id, 0);
	for (PaTableNode *node = pa_table_first(asked, hash); node != NULL;
		 node = pa_table_next(node))
	{
		PaProviderInstance *instance = PA_CONTAINER(node, Asked, node)->instance;

		if (strcmp(instance->instance_id, id) == 0)
		{
			instance->state = state;
			instance->message = message;
		}
	}
	return NULL;
}

/* what is wrong with the object, NULL if nothing */
static const char *
read_object(PaProviderRequest *request, const PaTable *asked,
			const json_t *object)
{
	const json_t *instances = json_object_get(object, "instances");
	const json_t *error = json_object_get(object, "error");
	const char *problem = NULL;
	bool		good;

	if (!json_is_object(object))
		return "it is no object";
	if (instances != NULL && !json_is_array(instances))
		return "\"instances\" is no array";
	if (error != NULL && !json_is_null(error) &&
		(!json_is_integer(error) || json_integer_value(error) < INT32_MIN ||
		 json_integer_value(error) > INT32_MAX))
		return "\"error\" is no integer of 32 bits";
	request->error = (int) json_integer_value(error);
	if (instances == NULL && request->error == 0)
		return "it has neither \"instances\" nor an \"error\"";
	request->message = get_text(request->arena, object, "message", &good);
	if (!good)
		return "\"message\" is no text";
	for (size_t i = 0; i < json_array_size(instances) && problem == NULL; i++)
		problem = read_instance(request->arena, asked,
								json_array_get(instances, i));
	return problem;
}

bool
pa_command_answer_read(PaProviderRequest *request, const char *text,
					   size_t length, const char **problem)
{
	PaArena    *arena = request->arena;
	json_error_t error;
	json_t	   *object = json_loadb(text, length, JSON_REJECT_DUPLICATES, &error);
	PaTable		asked = {0};

	if (object == NULL)
	{
		char		text_of_error[JSON_ERROR_TEXT_LENGTH];

		pa_plain_text(text_of_error, sizeof(text_of_error), error.text,
					  strlen(error.text));
		*problem = length == 0 ? "it printed nothing" :
			pa_arena_format(arena, "line %d: %s", error.line, text_of_error);
		return false;
	}
	for (size_t i = 0; i < request->instance_count; i++)
	{
		Asked	   *one = pa_arena_allocate(arena, sizeof(*one));

		one->instance = &request->instances[i];
		one->instance->state = PA_INSTANCE_UNKNOWN;
		one->instance->message = "the program did not tell its state";
		pa_table_insert(&asked, &one->node,
						pa_table_hash_text(one->instance->instance_id, 0));
	}
	request->status = PA_STATUS_OK;
	*problem = read_object(request, &asked, object);
	pa_table_free(&asked);
	json_decref(object);
	return *problem == NULL;
}

int
pa_command_answer_status(int exit_status)
{
	switch (exit_status)
	{
		case EX_USAGE:
		case EX_DATAERR:
			return PA_STATUS_INVALID_ARGUMENT;
		case EX_NOINPUT:
		case EX_NOUSER:
		case EX_NOHOST:
			return PA_STATUS_NOT_FOUND;
		case EX_UNAVAILABLE:
		case EX_TEMPFAIL:
			return PA_STATUS_UNAVAILABLE;
		case EX_NOPERM:
			return PA_STATUS_PERMISSION_DENIED;
		case EX_CONFIG:
			return PA_STATUS_FAILED_PRECONDITION;
		default:
			return PA_STATUS_UNKNOWN;
	}
}
