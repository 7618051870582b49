/* objects: courier/sharing */
/*-------------------------------------------------------------------------
 *
 * test/unit/courier_sharing_test.c
 *		When the calls of a channel share a stream; the streams are ours.
 *
 *-------------------------------------------------------------------------
 */
#include "courier/sharing.h"
#include "unit.h"

#define SECOND		INT64_C(1000000)

struct PaStream
{
	PaStreamState state;
	int64_t		pause;
	int64_t		kept_at;
	bool		closed;
	bool		released;
};

PaStreamState
pa_stream_state(PaStream *stream)
{
	return stream->state;
}

int64_t
pa_stream_pause_us(PaStream *stream)
{
	return stream->pause;
}

void
pa_stream_keep(PaStream *stream, int64_t now)
{
	stream->kept_at = now;
}

void
pa_stream_close(PaStream *stream)
{
	stream->closed = true;
}

void
pa_stream_release(PaStream *stream)
{
	stream->released = true;
}

static bool
wants(PaSharing *sharing, unsigned under_way, int64_t now)
{
	bool		wanted;
	const PaStream *stream = pa_sharing_stream(sharing, under_way, now, &wanted);

	if (stream != NULL)
		ok(false, "no stream at %lld", (long long) now);
	return wanted;
}

static void
test_use(void)
{
	PaSharing	sharing = {NULL};
	PaStream	stream = {PA_STREAM_OPENING};
	bool		wanted;

	ok(!wants(&sharing, PA_SHARING_CROWD - 1, 1), "few want none");
	ok(wants(&sharing, PA_SHARING_CROWD, 2), "many want one");
	pa_sharing_opened(&sharing, &stream, 2);
	ok(!wants(&sharing, PA_SHARING_CROWD, 3), "but not a second one");
	stream.state = PA_STREAM_OPEN;
	ok(pa_sharing_stream(&sharing, PA_SHARING_CROWD, 4, &wanted) == &stream,
	   "once it is open, it is used");
	is_number(stream.kept_at, 4, "... and kept");
	ok(pa_sharing_stream(&sharing, 1, 5, &wanted) == &stream,
	   "... by whoever comes");
	is_number(stream.kept_at, 4, "... but for one call it is not kept");
	pa_sharing_leave(&sharing);
	ok(stream.closed && stream.released, "it is left");
	ok(wants(&sharing, PA_SHARING_CROWD, 6), "then another one is wanted");
	pa_sharing_leave(&sharing);
}

/* one that lasted so long, and ended with that pause, at once at "now" */
static int64_t
pause_after(PaSharing *sharing, int64_t lasted, int64_t pause, int64_t *now)
{
	PaStream	stream = {PA_STREAM_OPEN};
	int64_t		end;

	pa_sharing_opened(sharing, &stream, *now);
	end = *now += lasted;
	stream.state = PA_STREAM_ENDED;
	stream.pause = pause;
	if (wants(sharing, PA_SHARING_CROWD, *now))
		return 0;
	ok(stream.released, "one that has ended is let go of");
	while (!wants(sharing, PA_SHARING_CROWD, *now))
		*now += SECOND;
	return (*now - end) / SECOND;
}

static void
test_pauses(void)
{
	PaSharing	sharing = {NULL};
	int64_t		now = 1;

	is_number(pause_after(&sharing, SECOND, 0, &now), 0,
			  "none after one that ended as it should");
	is_number(pause_after(&sharing, SECOND, SECOND, &now), 1,
			  "one after the first that did not");
	is_number(pause_after(&sharing, SECOND, SECOND, &now), 4, "longer");
	is_number(pause_after(&sharing, SECOND, SECOND, &now), 16, "and longer");
	is_number(pause_after(&sharing, 59 * SECOND, SECOND, &now), 64,
			  "also after one that lasted for a while");
	is_number(pause_after(&sharing, 60 * SECOND, SECOND, &now), 1,
			  "not after a minute");
	is_number(pause_after(&sharing, SECOND, SECOND, &now), 4, "then again");
	is_number(pause_after(&sharing, SECOND, 0, &now), 0, "a good end");
	is_number(pause_after(&sharing, SECOND, 10 * SECOND, &now), 10,
			  "begins anew");
	for (int i = 0; i < 40; i++)
		pause_after(&sharing, SECOND, SECOND, &now);
	is_number(pause_after(&sharing, SECOND, SECOND, &now), 600,
			  "never more than ten minutes");
}

int
main(void)
{
	test_use();
	test_pauses();
	return unit_done();
}
