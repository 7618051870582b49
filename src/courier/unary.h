/*-------------------------------------------------------------------------
 *
 * src/courier/unary.h
 *		One unary call of gRPC core, and what the completion queue carries.
 *
 * A unary call is one batch of six operations, so that one event on the
 * completion queue tells its end.  Started by one thread, finished by the
 * completion thread.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PA_COURIER_UNARY_H
#define PA_COURIER_UNARY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <grpc/byte_buffer.h>
#include <grpc/grpc.h>

/*
 * First member of whatever is a tag.  Armed by the thread that starts the
 * operation, when all else is in place; run by the completion thread.  The
 * completion queue orders the two as well, but in a way that
 * ThreadSanitizer does not see.
 */
typedef struct PaTag PaTag;
typedef void (*PaTagDone) (PaTag *tag, bool success);
struct PaTag
{
	_Atomic(PaTagDone) done;
};

extern void pa_tag_arm(PaTag *tag, PaTagDone done);
extern void pa_tag_run(PaTag *tag, bool success);

/* all zero before the first use; may be used again and again */
typedef struct PaUnary
{
	grpc_call  *call;
	grpc_byte_buffer *request;
	grpc_byte_buffer *reply;	/* NULL: none came */
	grpc_metadata_array initial_metadata;
	grpc_metadata_array trailing_metadata;
	grpc_status_code status;
	grpc_slice	status_details;
	const char *error_string;	/* of a failure, for debugging */
} PaUnary;

/*
 * The call and one reference to the request belong to the PaUnary from here
 * on, until pa_unary_clear.
 */
extern void pa_unary_prepare(PaUnary *unary, grpc_call *call,
							 grpc_slice request);

/*
 * Arms the tag and starts the batch; the metadata is copied.  False if gRPC
 * refuses it: no event will come.  After true, only the completion thread
 * touches the PaUnary.
 */
extern bool pa_unary_start(PaUnary *unary, grpc_metadata *metadata,
						   size_t metadata_count, PaTag *tag,
						   PaTagDone done);

/* gives back what the call held; keeps the metadata arrays for the next */
extern void pa_unary_clear(PaUnary *unary);
extern void pa_unary_destroy(PaUnary *unary);

/*
 * The bytes of a message in one piece, as long as it is there; NULL if it
 * cannot be read.  *copy must be unreferenced afterwards, either way.
 */
extern const uint8_t *pa_unary_bytes(grpc_byte_buffer *message, size_t *size,
									 grpc_slice *copy);

#endif							/* PA_COURIER_UNARY_H */
