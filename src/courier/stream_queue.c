/*-------------------------------------------------------------------------
 *
 * src/courier/stream_queue.c
 *		What waits to be sent over a stream.  See stream_queue.h.
 *
 * Messages in serialized form, one behind the other, are one message with the
 * fields of all.  A call that is taken back stays in it, as a field that no
 * agent knows and all skip.
 *
 *-------------------------------------------------------------------------
 */
#include <stdlib.h>

#include "program/memory.h"
#include "stream_queue.h"

#define FIRST_CAPACITY	1024

/* the first bytes of fields that have a length */
#define TAG_CALL		0x0A	/* StreamRequest.calls */
#define TAG_NONE		0x7A	/* field 15: there is none */

struct PaStreamMessage
{
	PaStreamMessage *next;
	uint8_t    *data;
	size_t		size;
	size_t		capacity;
	uint64_t	before;			/* place of the call before its first */
	uint64_t	last;			/* that of its last; 0: none */
};

static PaStreamMessage *
new_message(PaStreamQueue *queue)
{
	PaStreamMessage *message = pa_memory_allocate_zeroed(sizeof(*message));

	message->before = queue->added;
	if (queue->last == NULL)
		queue->first = message;
	else
		queue->last->next = message;
	queue->last = message;
	return message;
}

static PaStreamMessage *
append(PaStreamQueue *queue, const Agent__StreamRequest *request, size_t size)
{
	PaStreamMessage *message = queue->last;

	if (message == NULL || message->size + size > queue->limit)
		message = new_message(queue);
	if (message->capacity - message->size < size)
	{
		size_t		capacity = message->capacity * 2;

		if (capacity < FIRST_CAPACITY)
			capacity = FIRST_CAPACITY;
		if (capacity < message->size + size)
			capacity = message->size + size;
		message->data = pa_memory_resize(message->data, capacity);
		message->capacity = capacity;
	}
	agent__stream_request__pack(request, message->data + message->size);
	message->size += size;
	queue->waiting += size;
	return message;
}

uint64_t
pa_stream_queue_add(PaStreamQueue *queue, const Agent__StreamCall *call)
{
	Agent__StreamRequest request = AGENT__STREAM_REQUEST__INIT;
	Agent__StreamCall *calls = (Agent__StreamCall *) call;
	size_t		size;

	request.n_calls = 1;
	request.calls = &calls;
	size = agent__stream_request__get_packed_size(&request);
	if (size > queue->limit)
		return 0;
	append(queue, &request, size)->last = queue->added + 1;
	return ++queue->added;
}

/* the length at a place in a message of ours, and the place behind it */
static size_t
read_length(uint8_t **at)
{
	size_t		length = 0;
	int			shift = 0;
	uint8_t		byte;

	do
	{
		byte = *(*at)++;
		length |= (size_t) (byte & 0x7F) << shift;
		shift += 7;
	} while (byte & 0x80);
	return length;
}

static void
take_back(PaStreamQueue *queue, uint64_t place)
{
	PaStreamMessage *message = queue->first;
	uint8_t    *field;
	uint64_t	at;

	while (message->last < place)
		message = message->next;
	field = message->data;
	at = message->before;
	for (;;)
	{
		uint8_t    *body = field + 1;
		size_t		length = read_length(&body);

		if ((*field == TAG_CALL || *field == TAG_NONE) && ++at == place)
			break;
		field = body + length;
	}
	*field = TAG_NONE;
}

bool
pa_stream_queue_cancel(PaStreamQueue *queue, uint64_t call_id, uint64_t place)
{
	Agent__StreamRequest request = AGENT__STREAM_REQUEST__INIT;

	if (place > queue->taken)
	{
		take_back(queue, place);
		return true;
	}
	request.n_cancelled = 1;
	request.cancelled = &call_id;
	append(queue, &request, agent__stream_request__get_packed_size(&request));
	return false;
}

uint8_t *
pa_stream_queue_take(PaStreamQueue *queue, size_t *size)
{
	PaStreamMessage *message = queue->first;
	uint8_t    *data;

	if (message == NULL)
		return NULL;
	queue->first = message->next;
	if (queue->first == NULL)
		queue->last = NULL;
	queue->waiting -= message->size;
	if (message->last > queue->taken)
		queue->taken = message->last;
	*size = message->size;
	data = message->data;
	free(message);
	return data;
}

void
pa_stream_queue_clear(PaStreamQueue *queue)
{
	uint8_t    *data;
	size_t		size;

	while ((data = pa_stream_queue_take(queue, &size)) != NULL)
		free(data);
}
