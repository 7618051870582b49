/*-------------------------------------------------------------------------
 *
 * src/courier/output.c
 *		The way to the worker.
 *
 * See output.h.  Two buffers: frames are added to "filling" under the mutex,
 * while one thread at a time, the one that set "sending", sends the other
 * without it.  No gRPC function is called here, so that gRPC may log from
 * wherever it likes.
 *
 *-------------------------------------------------------------------------
 */
#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "frame_format.h"
#include "output.h"

#define CROWDED			((size_t) 16 * 1024 * 1024)
#define FULL			((size_t) 32 * 1024 * 1024)
#define KEPT_CAPACITY	((size_t) 1024 * 1024)

typedef struct Buffer
{
	uint8_t    *data;
	size_t		capacity;
	size_t		start;
	size_t		end;
} Buffer;

static struct
{
	int			socket;
	int			wakeup;
	pthread_mutex_t mutex;
	pthread_cond_t room;
	Buffer		filling;
	Buffer		outgoing;		/* of the thread that set "sending" */
	bool		sending;
	bool		blocked;
	bool		broken;
	size_t		waiting;		/* bytes in both buffers */
} output = {
	.socket = -1,
	.wakeup = -1,
	.mutex = PTHREAD_MUTEX_INITIALIZER,
	.room = PTHREAD_COND_INITIALIZER
};

void
pa_output_begin(int socket, int wakeup)
{
	output.socket = socket;
	output.wakeup = wakeup;
}

void
pa_output_end(void)
{
	pthread_mutex_lock(&output.mutex);
	output.broken = true;
	free(output.filling.data);
	free(output.outgoing.data);
	memset(&output.filling, 0, sizeof(Buffer));
	memset(&output.outgoing, 0, sizeof(Buffer));
	pthread_mutex_unlock(&output.mutex);
}

static bool
reserve(Buffer *buffer, size_t size)
{
	size_t		capacity = buffer->capacity;
	uint8_t    *data;

	if (size <= capacity - buffer->end)
		return true;
	if (capacity == 0)
		capacity = KEPT_CAPACITY / 4;
	while (capacity - buffer->end < size)
		capacity *= 2;
	data = realloc(buffer->data, capacity);
	if (data == NULL)
		return false;
	buffer->data = data;
	buffer->capacity = capacity;
	return true;
}

/* an empty buffer does not keep the memory of a flood */
static void
clear(Buffer *buffer)
{
	buffer->start = buffer->end = 0;
	if (buffer->capacity > KEPT_CAPACITY)
	{
		free(buffer->data);
		buffer->data = NULL;
		buffer->capacity = 0;
	}
}

void
pa_output_wake(void)
{
	const uint64_t one = 1;
	ssize_t		written;

	/* can only fail when it is signalled already */
	written = write(output.wakeup, &one, sizeof(one));
	(void) written;
}

bool
pa_output_add(const Courier__Frame *frame)
{
	size_t		size = courier__frame__get_packed_size(frame);
	size_t		total = PA_FRAME_HEADER + size;
	bool		added = false;

	if (size == 0 || size > PA_FRAME_LIMIT)
		return false;

	pthread_mutex_lock(&output.mutex);
	if (output.broken)
		;
	else if (!reserve(&output.filling, total))
	{
		/* a frame must not get lost: rather end, and be started again */
		output.broken = true;
		pthread_cond_broadcast(&output.room);
		pa_output_wake();
	}
	else
	{
		uint8_t    *p = output.filling.data + output.filling.end;

		pa_frame_put_header(p, size);
		courier__frame__pack(frame, p + PA_FRAME_HEADER);
		output.filling.end += total;
		output.waiting += total;
		added = true;
	}
	pthread_mutex_unlock(&output.mutex);
	return added;
}

/* "retry": the caller knows that a full socket has become writable */
static void
send_waiting(bool retry)
{
	Buffer	   *outgoing = &output.outgoing;
	bool		wake = false;

	pthread_mutex_lock(&output.mutex);
	if (output.sending || output.broken || (output.blocked && !retry))
	{
		pthread_mutex_unlock(&output.mutex);
		return;
	}
	output.sending = true;
	output.blocked = false;
	while (output.waiting > 0 && !output.broken)
	{
		ssize_t		sent;

		if (outgoing->start == outgoing->end)
		{
			Buffer		empty = *outgoing;

			clear(&empty);
			*outgoing = output.filling;
			output.filling = empty;
		}

		pthread_mutex_unlock(&output.mutex);
		sent = send(output.socket, outgoing->data + outgoing->start,
					outgoing->end - outgoing->start,
					MSG_DONTWAIT | MSG_NOSIGNAL);
		pthread_mutex_lock(&output.mutex);

		if (sent >= 0)
		{
			outgoing->start += (size_t) sent;
			output.waiting -= (size_t) sent;
			if (outgoing->start == outgoing->end)
				clear(outgoing);
		}
		else if (errno == EAGAIN)
		{
			output.blocked = true;
			wake = !retry;
			break;
		}
		else if (errno != EINTR)
		{
			output.broken = true;
			wake = true;
		}
	}
	output.sending = false;
	if (output.waiting <= FULL || output.broken)
		pthread_cond_broadcast(&output.room);
	pthread_mutex_unlock(&output.mutex);

	if (wake)
		pa_output_wake();
}

void
pa_output_flush(void)
{
	send_waiting(false);
}

void
pa_output_resume(void)
{
	send_waiting(true);
}

bool
pa_output_blocked(void)
{
	bool		result;

	pthread_mutex_lock(&output.mutex);
	result = output.blocked;
	pthread_mutex_unlock(&output.mutex);
	return result;
}

bool
pa_output_crowded(void)
{
	bool		result;

	pthread_mutex_lock(&output.mutex);
	result = output.waiting > CROWDED;
	pthread_mutex_unlock(&output.mutex);
	return result;
}

bool
pa_output_broken(void)
{
	bool		result;

	pthread_mutex_lock(&output.mutex);
	result = output.broken;
	pthread_mutex_unlock(&output.mutex);
	return result;
}

void
pa_output_await_room(void)
{
	pthread_mutex_lock(&output.mutex);
	while (output.waiting > FULL && !output.broken)
		pthread_cond_wait(&output.room, &output.mutex);
	pthread_mutex_unlock(&output.mutex);
}

void
pa_output_close(void)
{
	pthread_mutex_lock(&output.mutex);
	output.broken = true;
	pthread_cond_broadcast(&output.room);
	pthread_mutex_unlock(&output.mutex);
}
