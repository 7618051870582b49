/*-------------------------------------------------------------------------
 *
 * src/agent/ec2_query.c
 *		The EC2 Query API, pure.  Contract in ec2_query.h.
 *
 *-------------------------------------------------------------------------
 */
#include "ec2_query.h"

#include <ctype.h>
#include <libxml/parser.h>
#include <libxml/tree.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define LONGEST_ID		64
#define LONGEST_TEXT	500		/* of what the cloud says */
#define LONGEST_TOKEN	4096
#define MAX_INSTANCES	100000

/* percent-encodes all but what RFC 3986 leaves unreserved */
static char *
encode(char *at, const char *text)
{
	static const char digits[] = "0123456789ABCDEF";

	for (; *text != '\0'; text++)
	{
		unsigned char c = (unsigned char) *text;

		if (isalnum(c) || c == '-' || c == '.' || c == '_' || c == '~')
			*at++ = (char) c;
		else
		{
			*at++ = '%';
			*at++ = digits[c >> 4];
			*at++ = digits[c & 15];
		}
	}
	*at = '\0';
	return at;
}

const char *
pa_ec2_query_body(PaArena *arena, PaProviderVerb verb, const char *const *ids,
				  size_t count, const char *token)
{
	static const char *const actions[] = {
		[PA_PROVIDER_START] = "StartInstances",
		[PA_PROVIDER_STOP] = "StopInstances",
		[PA_PROVIDER_DESCRIBE] = "DescribeInstances"
	};
	size_t		room = 256 + (token ? 3 * strlen(token) : 0);
	char	   *body;
	char	   *at;

	for (size_t i = 0; i < count; i++)
		room += 3 * strlen(ids[i]) + 48;
	at = body = pa_arena_allocate(arena, room);
	at += sprintf(at, "Action=%s&Version=2016-11-15", actions[verb]);
	if (verb == PA_PROVIDER_DESCRIBE)
		at += sprintf(at, "&Filter.1.Name=instance-id&MaxResults=%d", PA_EC2_PAGE);
	for (size_t i = 0; i < count; i++)
	{
		at += sprintf(at, verb == PA_PROVIDER_DESCRIBE ? "&Filter.1.Value.%zu=" :
					  "&InstanceId.%zu=", i + 1);
		at = encode(at, ids[i]);
	}
	if (token != NULL)
	{
		at += sprintf(at, "&NextToken=");
		encode(at, token);
	}
	return body;
}

bool
pa_ec2_query_is_id(const char *id)
{
	size_t		length = 0;

	for (; id[length] != '\0'; length++)
	{
		unsigned char c = (unsigned char) id[length];

		if (!isalnum(c) && c != '-' && c != '_' && c != '.')
			return false;
	}
	return length > 0 && length <= LONGEST_ID;
}

bool
pa_ec2_query_is_region(const char *region)
{
	size_t		length = strspn(region, "abcdefghijklmnopqrstuvwxyz0123456789-");

	return region[length] == '\0' && length > 0 && length <= 63 &&
		region[0] != '-' && region[length - 1] != '-';
}

static bool
is_named(const xmlNode *node, const char *name)
{
	return node->type == XML_ELEMENT_NODE &&
		strcmp((const char *) node->name, name) == 0;
}

static const xmlNode *
child(const xmlNode *parent, const char *name)
{
	if (parent == NULL)
		return NULL;
	for (const xmlNode *node = parent->children; node != NULL; node = node->next)
	{
		if (is_named(node, name))
			return node;
	}
	return NULL;
}

/*
 * The text of a child, cut at "longest" bytes without cutting a character,
 * control characters as blanks; NULL if there is none or it is empty.
 */
static const char *
text_of(PaArena *arena, const xmlNode *parent, const char *name, size_t longest)
{
	const xmlNode *node = child(parent, name);
	size_t		length = 0;
	char	   *text;

	if (node == NULL)
		return NULL;
	text = pa_arena_allocate(arena, longest + 1);
	for (node = node->children; node != NULL; node = node->next)
	{
		const char *part = (const char *) node->content;
		size_t		room = longest - length;
		size_t		taken;

		if ((node->type != XML_TEXT_NODE && node->type != XML_CDATA_SECTION_NODE) ||
			part == NULL)
			continue;
		taken = strlen(part);
		if (taken > room)
		{
			taken = room;
			while (taken > 0 && ((unsigned char) part[taken] & 0xc0) == 0x80)
				taken--;
		}
		memcpy(text + length, part, taken);
		length += taken;
	}
	while (length > 0 && isspace((unsigned char) text[length - 1]))
		length--;
	text[length] = '\0';
	for (size_t i = 0; i < length; i++)
	{
		if (iscntrl((unsigned char) text[i]))
			text[i] = ' ';
	}
	return length > 0 ? text : NULL;
}

static PaInstanceState
state_of(PaArena *arena, const xmlNode *state, bool *doomed)
{
	const char *name = text_of(arena, state, "name", 32);

	*doomed = false;
	if (name == NULL)
		return PA_INSTANCE_UNKNOWN;
	if (strcmp(name, "pending") == 0)
		return PA_INSTANCE_STARTING;
	if (strcmp(name, "running") == 0)
		return PA_INSTANCE_RUNNING;
	if (strcmp(name, "stopping") == 0)
		return PA_INSTANCE_STOPPING;
	if (strcmp(name, "stopped") == 0)
		return PA_INSTANCE_STOPPED;
	*doomed = true;
	if (strcmp(name, "shutting-down") == 0)
		return PA_INSTANCE_STOPPING;
	if (strcmp(name, "terminated") == 0)
		return PA_INSTANCE_TERMINATED;
	*doomed = false;
	return PA_INSTANCE_UNKNOWN;
}

/* users and instances themselves stop instances, too: no reason to tell */
static const char *
reason_of(PaArena *arena, const xmlNode *item)
{
	const xmlNode *reason = child(item, "stateReason");
	const char *code = text_of(arena, reason, "code", 100);
	const char *message = text_of(arena, reason, "message", LONGEST_TEXT);

	if (code == NULL || strcmp(code, "pending") == 0 ||
		strstr(code, "InitiatedShutdown") != NULL ||
		strstr(code, "InitiatedHibernate") != NULL)
		return NULL;
	return message ? message : code;
}

typedef struct Instances
{
	PaArena    *arena;
	PaEc2Answer *answer;
	size_t		capacity;
	bool		good;
} Instances;

static void
add_instance(Instances *instances, const xmlNode *item, const char *state)
{
	PaEc2Answer *answer = instances->answer;
	PaEc2Instance *instance;
	const char *id = text_of(instances->arena, item, "instanceId", LONGEST_ID + 1);

	if (id == NULL || !pa_ec2_query_is_id(id) || answer->count >= MAX_INSTANCES)
	{
		instances->good = false;
		return;
	}
	if (answer->count == instances->capacity)
	{
		size_t		capacity = instances->capacity ? instances->capacity * 2 : 16;
		PaEc2Instance *grown = pa_arena_allocate(instances->arena,
												 capacity * sizeof(*grown));

		if (answer->count > 0)
			memcpy(grown, answer->instances, answer->count * sizeof(*grown));
		answer->instances = grown;
		instances->capacity = capacity;
	}
	instance = &answer->instances[answer->count++];
	instance->id = id;
	instance->state = state_of(instances->arena, child(item, state),
							   &instance->doomed);
	instance->reason = reason_of(instances->arena, item);
}

static void
add_set(Instances *instances, const xmlNode *set, const char *state)
{
	if (set == NULL)
		return;
	for (const xmlNode *item = set->children; item != NULL; item = item->next)
	{
		if (is_named(item, "item"))
			add_instance(instances, item, state);
	}
}

/* false: not a document that is known */
static bool
read_document(Instances *instances, const xmlNode *root)
{
	PaArena    *arena = instances->arena;
	PaEc2Answer *answer = instances->answer;

	if (root->type != XML_ELEMENT_NODE)
		return false;
	if (is_named(root, "DescribeInstancesResponse"))
	{
		const xmlNode *set = child(root, "reservationSet");

		if (set == NULL)
			return false;
		for (const xmlNode *item = set->children; item; item = item->next)
		{
			if (is_named(item, "item"))
				add_set(instances, child(item, "instancesSet"), "instanceState");
		}
		answer->next_token = text_of(arena, root, "nextToken", LONGEST_TOKEN);
		return true;
	}
	if (is_named(root, "StartInstancesResponse") ||
		is_named(root, "StopInstancesResponse"))
	{
		add_set(instances, child(root, "instancesSet"), "currentState");
		return true;
	}
	if (is_named(root, "Response") || is_named(root, "ErrorResponse"))
	{
		const xmlNode *errors = child(root, "Errors");
		const xmlNode *error = child(errors ? errors : root, "Error");

		answer->error_code = text_of(arena, error, "Code", 100);
		answer->error_message = text_of(arena, error, "Message", LONGEST_TEXT * 8);
		return answer->error_code != NULL;
	}
	return false;
}

PaEc2Answer *
pa_ec2_query_read(PaArena *arena, const char *bytes, size_t length)
{
	PaEc2Answer *answer = pa_arena_allocate(arena, sizeof(*answer));
	Instances	instances = {.arena = arena, .answer = answer, .good = true};
	xmlParserCtxt *parser;
	xmlDoc	   *document;
	bool		good = false;

	memset(answer, 0, sizeof(*answer));
	parser = xmlNewParserCtxt();
	if (parser == NULL || length > INT32_MAX)
	{
		xmlFreeParserCtxt(parser);
		return NULL;
	}
	document = xmlCtxtReadMemory(parser, bytes, (int) length, NULL, NULL,
								 XML_PARSE_NONET | XML_PARSE_NOERROR |
								 XML_PARSE_NOWARNING | XML_PARSE_NOCDATA |
								 XML_PARSE_COMPACT);
	/* answers have no document type, so no entities of their own either */
	if (document != NULL && document->intSubset == NULL &&
		xmlDocGetRootElement(document) != NULL)
		good = read_document(&instances, xmlDocGetRootElement(document));
	xmlFreeDoc(document);
	xmlFreeParserCtxt(parser);
	return good && instances.good ? answer : NULL;
}

const char *
pa_ec2_query_text(PaArena *arena, const char *code, const char *message)
{
	int			length = 0;

	if (message == NULL)
		return pa_arena_format(arena, "%s", code);
	length = (int) strlen(message);
	if (length > LONGEST_TEXT)
	{
		length = LONGEST_TEXT;
		/* not within a character */
		while (length > 0 && ((unsigned char) message[length] & 0xc0) == 0x80)
			length--;
	}
	return pa_arena_format(arena, "%s: %.*s", code, length, message);
}

bool
pa_ec2_query_names(const char *text, const char *id)
{
	size_t		length = strlen(id);

	if (length == 0)
		return false;
	for (const char *at = strstr(text, id); at != NULL; at = strstr(at + 1, id))
	{
		unsigned char before = at > text ? (unsigned char) at[-1] : ' ';
		unsigned char after = (unsigned char) at[length];

		if (!isalnum(before) && before != '-' && before != '_' &&
			!isalnum(after) && after != '-' && after != '_')
			return true;
	}
	return false;
}

typedef struct Code
{
	const char *name;
	PaEc2Kind	kind;
} Code;

/* from "Error codes for the Amazon EC2 API" and "Common errors" */
static const Code codes[] = {
	{"RequestLimitExceeded", PA_EC2_THROTTLED},
	{"Client.RequestLimitExceeded", PA_EC2_THROTTLED},
	{"Throttling", PA_EC2_THROTTLED},
	{"ThrottlingException", PA_EC2_THROTTLED},
	{"ThrottledException", PA_EC2_THROTTLED},
	{"RequestThrottled", PA_EC2_THROTTLED},
	{"RequestThrottledException", PA_EC2_THROTTLED},
	{"EC2ThrottledException", PA_EC2_THROTTLED},
	{"TooManyRequestsException", PA_EC2_THROTTLED},
	{"SlowDown", PA_EC2_THROTTLED},
	{"InternalError", PA_EC2_BROKEN},
	{"InternalFailure", PA_EC2_BROKEN},
	{"ServiceUnavailable", PA_EC2_BROKEN},
	{"Unavailable", PA_EC2_BROKEN},
	{"Server.InternalError", PA_EC2_BROKEN},
	{"InvalidInstanceID.NotFound", PA_EC2_MISSING},
	{"InvalidInstanceID.Malformed", PA_EC2_MISSING},
	{"InvalidInstanceID", PA_EC2_MISSING},
	{"IncorrectInstanceState", PA_EC2_STATE},
	{"IncorrectState", PA_EC2_STATE},
	{"InvalidInstanceID.NotLinkable", PA_EC2_REFUSED},
	{"ExpiredToken", PA_EC2_EXPIRED},
	{"ExpiredTokenException", PA_EC2_EXPIRED},
	{"RequestExpired", PA_EC2_EXPIRED},
	{"RequestTimeTooSkewed", PA_EC2_EXPIRED},
	{"AuthFailure", PA_EC2_UNAUTHENTICATED},
	{"InvalidClientTokenId", PA_EC2_UNAUTHENTICATED},
	{"SignatureDoesNotMatch", PA_EC2_UNAUTHENTICATED},
	{"InvalidSignatureException", PA_EC2_UNAUTHENTICATED},
	{"IncompleteSignature", PA_EC2_UNAUTHENTICATED},
	{"MissingAuthenticationToken", PA_EC2_UNAUTHENTICATED},
	{"UnrecognizedClientException", PA_EC2_UNAUTHENTICATED},
	{"InvalidAccessKeyId", PA_EC2_UNAUTHENTICATED},
	{"InvalidSecurityToken", PA_EC2_UNAUTHENTICATED},
	{"UnauthorizedOperation", PA_EC2_DENIED},
	{"AccessDenied", PA_EC2_DENIED},
	{"AccessDeniedException", PA_EC2_DENIED},
	{"OptInRequired", PA_EC2_DENIED},
	{"PendingVerification", PA_EC2_DENIED},
	{"Blocked", PA_EC2_DENIED},
	{NULL}
};

PaEc2Kind
pa_ec2_query_kind(int http_status, const char *code)
{
	for (const Code *known = codes; code != NULL && known->name != NULL; known++)
	{
		if (strcmp(known->name, code) == 0)
			return known->kind;
	}
	if (http_status == 429)
		return PA_EC2_THROTTLED;
	/* lack of capacity comes with 500, and does not pass */
	if (code != NULL && strncmp(code, "Insufficient", 12) == 0)
		return PA_EC2_REFUSED;
	if (http_status >= 500)
		return PA_EC2_BROKEN;
	if (code == NULL && http_status == 401)
		return PA_EC2_UNAUTHENTICATED;
	if (code == NULL && http_status == 403)
		return PA_EC2_DENIED;
	return PA_EC2_REFUSED;
}
