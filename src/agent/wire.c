/*-------------------------------------------------------------------------
 *
 * src/agent/wire.c
 *		Walks over the fields of a protobuf message.  Contract in wire.h.
 *
 *-------------------------------------------------------------------------
 */
#include "wire.h"

bool
pa_wire_varint(PaWire *wire, uint64_t *value)
{
	*value = 0;
	for (int shift = 0; shift < 70 && wire->at < wire->end; shift += 7)
	{
		uint8_t		byte = *wire->at++;

		*value |= (uint64_t) (byte & 0x7f) << (shift < 64 ? shift : 63);
		if ((byte & 0x80) == 0)
			return true;
	}
	return false;
}

static bool
skip(PaWire *wire, uint64_t length)
{
	if (length > (uint64_t) (wire->end - wire->at))
		return false;
	wire->at += length;
	return true;
}

bool
pa_wire_field(PaWire *wire, PaWireField *field)
{
	uint64_t	key;

	if (!pa_wire_varint(wire, &key) || key >> 3 == 0 || key >> 32 != 0)
		return false;
	field->number = (uint32_t) (key >> 3);
	field->type = (PaWireType) (key & 7);
	field->value = 0;
	field->bytes = NULL;
	switch (field->type)
	{
		case PA_WIRE_VARINT:
			return pa_wire_varint(wire, &field->value);
		case PA_WIRE_FIXED64:
			return skip(wire, 8);
		case PA_WIRE_BYTES:
			if (!pa_wire_varint(wire, &field->value))
				return false;
			field->bytes = wire->at;
			return skip(wire, field->value);
		case PA_WIRE_FIXED32:
			return skip(wire, 4);
	}
	return false;
}
