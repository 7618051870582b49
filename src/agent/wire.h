/*-------------------------------------------------------------------------
 *
 * src/agent/wire.h
 *		Walks over the fields of a protobuf message, as bytes from the network.
 *
 * Pure; allocates nothing.  https://protobuf.dev/programming-guides/encoding/
 *
 *-------------------------------------------------------------------------
 */
#ifndef PA_AGENT_WIRE_H
#define PA_AGENT_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum PaWireType
{
	PA_WIRE_VARINT = 0,
	PA_WIRE_FIXED64 = 1,
	PA_WIRE_BYTES = 2,
	PA_WIRE_FIXED32 = 5
} PaWireType;

/* what is left of a message */
typedef struct PaWire
{
	const uint8_t *at;
	const uint8_t *end;
} PaWire;

typedef struct PaWireField
{
	uint32_t	number;
	PaWireType	type;
	uint64_t	value;			/* of a varint; of bytes, their length */
	const uint8_t *bytes;		/* of bytes, within the message */
} PaWireField;

/* false: there is no whole varint */
extern bool pa_wire_varint(PaWire *wire, uint64_t *value);

/*
 * The next field of a message that is not at its end.  False: the message is
 * malformed.  Groups, which nothing uses any more, count as that.
 */
extern bool pa_wire_field(PaWire *wire, PaWireField *field);

#endif							/* PA_AGENT_WIRE_H */
