/* objects: courier/frame */
/*-------------------------------------------------------------------------
 *
 * test/unit/courier_frame_test.c
 *		The frame parser: partial reads, many frames at once, limits.
 *
 *-------------------------------------------------------------------------
 */
#include <stdlib.h>

#include "courier/frame.h"
#include "unit.h"

/* feeds "size" bytes, as much at a time as the reader and "step" allow */
static void
feed(PaFrameReader *reader, const uint8_t *data, size_t size, size_t step)
{
	while (size > 0)
	{
		size_t		room;
		uint8_t    *space = pa_frame_space(reader, &room);
		size_t		part = size;

		if (part > room)
			part = room;
		if (part > step)
			part = step;
		memcpy(space, data, part);
		pa_frame_fill(reader, part);
		data += part;
		size -= part;
	}
}

static size_t
put_frame(uint8_t *out, size_t size, uint8_t fill)
{
	pa_frame_put_header(out, size);
	memset(out + PA_FRAME_HEADER, fill, size);
	return PA_FRAME_HEADER + size;
}

static bool
is_filled(const uint8_t *body, size_t size, uint8_t fill)
{
	for (size_t i = 0; i < size; i++)
	{
		if (body[i] != fill)
			return false;
	}
	return true;
}

static void
test_empty(void)
{
	PaFrameReader reader;
	const uint8_t *body;
	size_t		size;

	pa_frame_init(&reader);
	is_number(pa_frame_next(&reader, &body, &size), PA_FRAME_PARTIAL,
			  "nothing was read: partial");
	pa_frame_destroy(&reader);
}

static void
test_byte_by_byte(void)
{
	PaFrameReader reader;
	uint8_t		stream[64];
	size_t		length = put_frame(stream, 5, 'x');
	const uint8_t *body;
	size_t		size = 0;
	bool		early = false;

	pa_frame_init(&reader);
	for (size_t i = 0; i < length; i++)
	{
		if (pa_frame_next(&reader, &body, &size) != PA_FRAME_PARTIAL)
			early = true;
		feed(&reader, stream + i, 1, 1);
	}
	ok(!early, "a frame is not complete before its last byte");
	is_number(pa_frame_next(&reader, &body, &size), PA_FRAME_COMPLETE,
			  "complete with its last byte");
	ok(size == 5 && is_filled(body, 5, 'x'), "body and size are right");
	is_number(pa_frame_next(&reader, &body, &size), PA_FRAME_PARTIAL,
			  "then there is no other one");
	pa_frame_destroy(&reader);
}

static void
test_many(void)
{
	enum
	{
		FRAMES = 5000
	};
	PaFrameReader reader;
	uint8_t    *stream = malloc(FRAMES * 204);
	size_t		length = 0;
	int			wrong = 0;
	int			seen = 0;
	const uint8_t *body;
	size_t		size;

	for (int i = 0; i < FRAMES; i++)
		length += put_frame(stream + length, 1 + i % 200, (uint8_t) i);

	pa_frame_init(&reader);
	/* reads that end anywhere within frames */
	for (size_t offset = 0; offset < length; offset += 1013)
	{
		size_t		part = length - offset < 1013 ? length - offset : 1013;

		feed(&reader, stream + offset, part, part);
		while (pa_frame_next(&reader, &body, &size) == PA_FRAME_COMPLETE)
		{
			if (size != (size_t) (1 + seen % 200) ||
				!is_filled(body, size, (uint8_t) seen))
				wrong++;
			seen++;
		}
	}
	is_number(seen, FRAMES, "all frames of a long stream come out");
	is_number(wrong, 0, "in order and unchanged");
	pa_frame_destroy(&reader);
	free(stream);
}

static void
test_large(void)
{
	PaFrameReader reader;
	size_t		total = PA_FRAME_LIMIT + PA_FRAME_HEADER;
	uint8_t    *stream = malloc(total + 6);
	const uint8_t *body;
	size_t		size;
	size_t		room;

	put_frame(stream, PA_FRAME_LIMIT, 'L');
	put_frame(stream + total, 2, 's');
	pa_frame_init(&reader);
	feed(&reader, stream, total + 6, 300000);
	is_number(pa_frame_next(&reader, &body, &size), PA_FRAME_COMPLETE,
			  "the largest frame is taken");
	ok(size == PA_FRAME_LIMIT && is_filled(body, size, 'L'),
	   "and is unchanged");
	is_number(pa_frame_next(&reader, &body, &size), PA_FRAME_COMPLETE,
			  "so is a small one behind it");
	ok(size == 2 && is_filled(body, 2, 's'), "which is unchanged, too");
	pa_frame_space(&reader, &room);
	ok(room <= 1024 * 1024, "the memory of a huge frame is given back");
	pa_frame_destroy(&reader);
	free(stream);
}

static void
test_invalid(void)
{
	static const struct
	{
		uint8_t		header[4];
		PaFrameStatus expected;
		const char *name;
	}			cases[] = {
		{{0, 0, 0, 0}, PA_FRAME_INVALID, "length 0 is invalid"},
		{{4, 0, 0, 1}, PA_FRAME_INVALID, "64 MiB and a byte is invalid"},
		{{255, 255, 255, 255}, PA_FRAME_INVALID, "4 GiB is invalid"},
		{{'G', 'E', 'T', ' '}, PA_FRAME_INVALID, "HTTP is invalid"},
		{{4, 0, 0, 0}, PA_FRAME_PARTIAL, "64 MiB is valid"},
		{{0, 0, 0, 1}, PA_FRAME_PARTIAL, "1 is valid"}
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		PaFrameReader reader;
		const uint8_t *body;
		size_t		size;

		pa_frame_init(&reader);
		feed(&reader, cases[i].header, 4, 4);
		is_number(pa_frame_next(&reader, &body, &size), cases[i].expected,
				  cases[i].name);
		ok(reader.capacity <= 1024 * 1024,
		   "a length alone takes no memory");
		pa_frame_destroy(&reader);
	}
}

int
main(void)
{
	test_empty();
	test_byte_by_byte();
	test_many();
	test_large();
	test_invalid();
	return unit_done();
}
