/*-------------------------------------------------------------------------
 *
 * src/courier/unary.c
 *		One unary call of gRPC core.
 *
 * See unary.h.
 *
 *-------------------------------------------------------------------------
 */
#include <stdatomic.h>
#include <string.h>

#include <grpc/byte_buffer_reader.h>
#include <grpc/support/alloc.h>

#include "unary.h"

void
pa_tag_arm(PaTag *tag, PaTagDone done)
{
	atomic_store_explicit(&tag->done, done, memory_order_release);
}

void
pa_tag_run(PaTag *tag, bool success)
{
	PaTagDone	done = atomic_load_explicit(&tag->done, memory_order_acquire);

	done(tag, success);
}

void
pa_unary_prepare(PaUnary *unary, grpc_call *call, grpc_slice request)
{
	unary->call = call;
	unary->request = grpc_raw_byte_buffer_create(&request, 1);
	grpc_slice_unref(request);
	unary->reply = NULL;
	unary->status = GRPC_STATUS_UNKNOWN;
	unary->status_details = grpc_empty_slice();
	unary->error_string = NULL;
	unary->initial_metadata.count = 0;
	unary->trailing_metadata.count = 0;
}

bool
pa_unary_start(PaUnary *unary, grpc_metadata *metadata,
			   size_t metadata_count, PaTag *tag, PaTagDone done)
{
	grpc_call  *call = unary->call;
	grpc_op		ops[6];

	memset(ops, 0, sizeof(ops));
	ops[0].op = GRPC_OP_SEND_INITIAL_METADATA;
	ops[0].data.send_initial_metadata.count = metadata_count;
	ops[0].data.send_initial_metadata.metadata = metadata;
	ops[1].op = GRPC_OP_SEND_MESSAGE;
	ops[1].data.send_message.send_message = unary->request;
	ops[2].op = GRPC_OP_SEND_CLOSE_FROM_CLIENT;
	ops[3].op = GRPC_OP_RECV_INITIAL_METADATA;
	ops[3].data.recv_initial_metadata.recv_initial_metadata =
		&unary->initial_metadata;
	ops[4].op = GRPC_OP_RECV_MESSAGE;
	ops[4].data.recv_message.recv_message = &unary->reply;
	ops[5].op = GRPC_OP_RECV_STATUS_ON_CLIENT;
	ops[5].data.recv_status_on_client.trailing_metadata =
		&unary->trailing_metadata;
	ops[5].data.recv_status_on_client.status = &unary->status;
	ops[5].data.recv_status_on_client.status_details =
		&unary->status_details;
	ops[5].data.recv_status_on_client.error_string = &unary->error_string;

	/* arming hands the PaUnary over: it is not touched any more */
	pa_tag_arm(tag, done);
	return grpc_call_start_batch(call, ops, 6, tag, NULL) == GRPC_CALL_OK;
}

void
pa_unary_clear(PaUnary *unary)
{
	grpc_byte_buffer_destroy(unary->request);
	grpc_byte_buffer_destroy(unary->reply);
	grpc_slice_unref(unary->status_details);
	gpr_free((void *) unary->error_string);
	if (unary->call != NULL)
		grpc_call_unref(unary->call);
	unary->request = NULL;
	unary->reply = NULL;
	unary->status_details = grpc_empty_slice();
	unary->error_string = NULL;
	unary->call = NULL;
}

void
pa_unary_destroy(PaUnary *unary)
{
	grpc_metadata_array_destroy(&unary->initial_metadata);
	grpc_metadata_array_destroy(&unary->trailing_metadata);
	memset(unary, 0, sizeof(*unary));
}

const uint8_t *
pa_unary_bytes(grpc_byte_buffer *message, size_t *size, grpc_slice *copy)
{
	grpc_byte_buffer_reader reader;
	grpc_slice *first;
	grpc_slice *second;

	*copy = grpc_empty_slice();
	*size = 0;
	if (!grpc_byte_buffer_reader_init(&reader, message))
		return NULL;

	if (!grpc_byte_buffer_reader_peek(&reader, &first))
	{
		grpc_byte_buffer_reader_destroy(&reader);
		return (const uint8_t *) "";
	}
	if (!grpc_byte_buffer_reader_peek(&reader, &second))
	{
		/* the slice is the byte buffer's own, which outlives our use */
		grpc_byte_buffer_reader_destroy(&reader);
		*size = GRPC_SLICE_LENGTH(*first);
		return GRPC_SLICE_START_PTR(*first);
	}
	grpc_byte_buffer_reader_destroy(&reader);

	if (!grpc_byte_buffer_reader_init(&reader, message))
		return NULL;
	*copy = grpc_byte_buffer_reader_readall(&reader);
	grpc_byte_buffer_reader_destroy(&reader);
	*size = GRPC_SLICE_LENGTH(*copy);
	return GRPC_SLICE_START_PTR(*copy);
}
