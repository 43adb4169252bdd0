/* SPDX-License-Identifier: Apache-2.0 */
/* What is believed of a sender (source.h) and what the other side hears of it
 * (stream.h). */
#include <check.h>
#include <stdlib.h>

#include "mediad/source.h"
#include "mediad/stream.h"

static const struct source_media pcma = {.clock = 8000};
static const struct source_media event = {.clock = 8000, .event = true};

/* One packet and what must come of it. The time is 20 ms per tick. */
struct step {
	uint32_t ssrc;
	uint16_t seq;
	uint32_t ts;
	unsigned tick;
	bool marker;
	bool event;
	enum reason why;
	bool joint;
};

static struct rtp_view view_of(const struct step *s)
{
	return (struct rtp_view){.ssrc = s->ssrc,
		.seq = s->seq,
		.ts = s->ts,
		.marker = s->marker,
		.payload_len = 160};
}

static void play(struct source *src, const struct step *steps, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct rtp_view v = view_of(&steps[i]);
		uint64_t now = 1000000 + steps[i].tick * 20000ull;
		bool joint = false;
		enum reason why = source_match(src, &v, false, now);

		if (why == REASON_RTP_OK)
			why = source_receive(src, &v,
				steps[i].event ? &event : &pcma, now, &joint);
		ck_assert_msg(why == steps[i].why && joint == steps[i].joint,
			"step %zu: %s joint %d", i, reason_text(why), joint);
	}
}
#define PLAY(s, ...)                                                           \
	do {                                                                   \
		const struct step steps_[] = {__VA_ARGS__};                    \
		play(s, steps_, sizeof(steps_) / sizeof(steps_[0]));           \
	} while (0)

#define OK REASON_RTP_OK

START_TEST(test_in_order)
{
	struct source s = {0};

	PLAY(&s, {1, 100, 0, 0, .why = OK, .joint = true},
		{1, 101, 160, 1, .why = OK}, {1, 102, 320, 2, .why = OK});
	ck_assert_uint_eq(source_expected(&s), 3);
	ck_assert_uint_eq(source_lost(&s), 0);
	ck_assert_uint_eq(source_jitter_us(&s), 0);
}
END_TEST

START_TEST(test_wrap)
{
	struct source s = {0};

	PLAY(&s, {1, 65534, 0, 0, .why = OK, .joint = true},
		{1, 65535, 160, 1, .why = OK}, {1, 0, 320, 2, .why = OK},
		{1, 1, 480, 3, .why = OK},
		/* late, from before the wrap */
		{1, 65533, 0, 3, .why = REASON_RTP_SEQUENCE},
		{1, 65535, 160, 3, .why = REASON_RTP_REPLAY});
	ck_assert_uint_eq(source_extended(&s), 0x10001);
	ck_assert_uint_eq(source_expected(&s), 4);
	ck_assert_uint_eq(source_lost(&s), 0);
}
END_TEST

START_TEST(test_loss_and_order)
{
	struct source s = {0};

	PLAY(&s, {1, 10, 0, 0, .why = OK, .joint = true},
		{1, 13, 480, 3, .why = OK}, {1, 12, 320, 3, .why = OK},
		{1, 12, 320, 3, .why = REASON_RTP_REPLAY},
		{1, 13, 480, 3, .why = REASON_RTP_REPLAY});
	ck_assert_uint_eq(source_expected(&s), 4);
	ck_assert_uint_eq(source_lost(&s), 1);
	/* A refused duplicate must not hide loss. */
	ck_assert_uint_eq(source_fraction_lost(&s), 64);
	ck_assert_uint_eq(source_fraction_lost(&s), 0);
}
END_TEST

/* RFC 3550 A.1: the largest gaps forward and back, and one more. */
START_TEST(test_limits)
{
	struct source s = {0};

	PLAY(&s, {1, 1000, 0, 0, .why = OK, .joint = true},
		{1, 3999, 2999 * 160, 2999, .why = OK},
		{1, 3900, 2900 * 160, 2999, .why = OK},
		{1, 3899, 2899 * 160, 2999, .why = REASON_RTP_SEQUENCE},
		{1, 6999, 5999 * 160, 5999, .why = REASON_RTP_SEQUENCE},
		{1, 4000, 3000 * 160, 3000, .why = OK});
}
END_TEST

START_TEST(test_restart)
{
	struct source s = {0};

	PLAY(&s, {1, 100, 0, 0, .why = OK, .joint = true},
		{1, 101, 160, 1, .why = OK},
		{1, 40000, 999999, 2, .why = REASON_RTP_SEQUENCE},
		{1, 102, 320, 2, .why = OK},
		/* not in a row with the first stray one: forgotten */
		{1, 40001, 999999, 3, .why = REASON_RTP_SEQUENCE},
		{1, 40003, 999999, 3, .why = REASON_RTP_SEQUENCE},
		{1, 40004, 999999, 4, .why = OK, .joint = true},
		{1, 40005, 1000159, 5, .why = OK});
	ck_assert_uint_eq(source_expected(&s), 5);
	ck_assert_uint_eq(source_lost(&s), 0);
}
END_TEST

START_TEST(test_other_ssrc)
{
	struct source s = {0};

	PLAY(&s, {1, 100, 0, 0, .why = OK, .joint = true},
		{1, 101, 160, 1, .why = OK},
		/* the old one is alive */
		{2, 7, 0, 2, .why = REASON_RTP_SSRC},
		{1, 102, 320, 2, .why = OK},
		/* silent for five packets: the new one's second passes */
		{2, 9, 0, 7, .why = REASON_RTP_PROBATION},
		{2, 11, 320, 8, .why = REASON_RTP_PROBATION},
		{3, 12, 480, 8, .why = REASON_RTP_PROBATION},
		{2, 12, 480, 9, .why = REASON_RTP_PROBATION},
		{2, 13, 640, 10, .why = OK, .joint = true},
		{1, 103, 480, 10, .why = REASON_RTP_SSRC});
	ck_assert_uint_eq(s.ssrc, 2);
	ck_assert_uint_eq(source_expected(&s), 4);
}
END_TEST

/* Signaling allows another source at once, after probation. */
START_TEST(test_free_ssrc)
{
	struct source s = {0};
	struct rtp_view v = {.ssrc = 2, .seq = 5};

	PLAY(&s, {1, 100, 0, 0, .why = OK, .joint = true});
	ck_assert_int_eq(source_match(&s, &v, false, 1000001), REASON_RTP_SSRC);
	ck_assert_int_eq(
		source_match(&s, &v, true, 1000001), REASON_RTP_PROBATION);
	v.seq++;
	ck_assert_int_eq(source_match(&s, &v, true, 1000001), OK);
}
END_TEST

START_TEST(test_timestamps)
{
	struct source s = {0};

	PLAY(&s, {1, 1, 1000, 0, .why = OK, .joint = true},
		{1, 2, 1160, 1, .why = OK},
		/* half a minute ahead of the clock, alone */
		{1, 3, 241320, 2, .why = REASON_RTP_TIMESTAMP},
		{1, 4, 1480, 3, .why = OK},
		/* the same, but the next one agrees */
		{1, 5, 301640, 4, .why = REASON_RTP_TIMESTAMP},
		{1, 6, 301800, 5, .why = OK, .joint = true},
		/* or the sender marks it */
		{1, 7, 5, 6, .marker = true, .why = OK, .joint = true},
		/* silence suppression: time goes on without packets */
		{1, 8, 5 + 8000 * 60, 6 + 50 * 60, .marker = true, .why = OK},
		/* or stands still */
		{1, 9, 5 + 8000 * 60 + 160, 6 + 50 * 120, .why = OK},
		/* an event keeps its start while time goes on */
		{1, 10, 5 + 8000 * 60 + 320, 8 + 50 * 120, .event = true,
			.marker = true, .why = OK},
		{1, 11, 5 + 8000 * 60 + 320, 50 + 50 * 120, .event = true,
			.why = OK},
		{1, 12, 5 + 8000 * 60 + 320 + 8000, 51 + 50 * 120, .why = OK},
		{1, 13, 5 + 8000 * 60 + 480, 52 + 50 * 120, .event = true,
			.why = OK});
}
END_TEST

/* RFC 3550 A.8 by hand: transit 0, 5 ms late, on time again. */
START_TEST(test_jitter)
{
	struct source s = {0};
	const uint64_t at[] = {0, 20000, 45000, 60000, 80000};
	bool joint;

	for (uint16_t i = 0; i < 5; i++) {
		struct rtp_view v = {.ssrc = 1, .seq = i, .ts = i * 160u};

		ck_assert_int_eq(
			source_receive(&s, &v, &pcma, 1000000 + at[i], &joint),
			OK);
	}
	/* J += (40 - J) / 16 twice, then with D = 0: 40/16 = 2.5, then
	 * 2.5 + 37.5/16 = 4.84, then 4.54 ticks of 125 us. */
	ck_assert_uint_ge(source_jitter_us(&s), 500);
	ck_assert_uint_le(source_jitter_us(&s), 600);
}
END_TEST

/* ---------------------------------------------------------------- streams */

struct heard {
	bool sent;
	uint16_t seq;
	uint32_t ts;
	bool marker;
};

static const struct stream_input as_pcma = {
	.clock = 8000, .ptime_us = 20000, .pt = 8};

static struct heard pass(
	struct stream *s, uint16_t seq, uint32_t ts, bool joint, unsigned tick)
{
	struct rtp_view v = {.ssrc = 5, .seq = seq, .ts = ts};
	struct stream_input in = as_pcma;
	struct rtp_fields f;

	in.joint = joint;
	if (stream_map(s, &v, &in, 1000000 + tick * 20000ull, &f) != OK)
		return (struct heard){0};
	ck_assert_uint_eq(f.ssrc, s->ssrc);
	ck_assert_uint_eq(f.pt, 8);
	return (struct heard){true, f.seq, f.ts, f.marker};
}

START_TEST(test_start)
{
	for (int i = 0; i < 200; i++) {
		struct stream s;
		struct heard h;

		stream_init(&s);
		h = pass(&s, 60000, 7, true, 0);
		ck_assert(h.sent);
		ck_assert(h.marker);
		ck_assert_uint_lt(h.seq, 0x8000);
	}
}
END_TEST

START_TEST(test_continuity)
{
	struct stream s;
	struct heard a, b;

	stream_init(&s);
	a = pass(&s, 65535, 1000, true, 0);
	b = pass(&s, 0, 1160, false, 1); /* wraps there, not here */
	ck_assert_uint_eq(b.seq, (uint16_t)(a.seq + 1));
	ck_assert_uint_eq(b.ts, a.ts + 160);
	ck_assert(!b.marker);
	a = pass(&s, 3, 1640, false, 4); /* two are missing: so they are here */
	ck_assert_uint_eq(a.seq, (uint16_t)(b.seq + 3));
	b = pass(&s, 2, 1480, false, 4); /* a late one has its own number */
	ck_assert_uint_eq(b.seq, (uint16_t)(a.seq - 1));
	ck_assert_uint_eq(b.ts, a.ts - 160);
	/* Another source: the next number, and the time that has passed. */
	b = pass(&s, 777, 42, true, 9);
	ck_assert_uint_eq(b.seq, (uint16_t)(a.seq + 1));
	ck_assert_uint_eq(b.ts, a.ts + 5 * 160);
	ck_assert(b.marker);
	/* A late packet of before the joint has no number any more. */
	ck_assert(!pass(&s, 776, 42, false, 9).sent);
	/* At once: at least one packet's time. */
	a = pass(&s, 5000, 99, true, 9);
	ck_assert_uint_eq(a.seq, (uint16_t)(b.seq + 1));
	ck_assert_uint_eq(a.ts, b.ts + 160);
}
END_TEST

START_TEST(test_hold)
{
	struct stream s;
	struct heard a, b;

	stream_init(&s);
	a = pass(&s, 10, 0, true, 0);
	stream_unjoin(&s);
	/* Ten seconds later its numbers and its time have stood still. */
	b = pass(&s, 11, 160, false, 500);
	ck_assert_uint_eq(b.seq, (uint16_t)(a.seq + 1));
	ck_assert_uint_eq(b.ts, a.ts + 500 * 160);
	ck_assert(b.marker);
}
END_TEST

START_TEST(test_codec_change)
{
	struct stream s;
	struct heard a = {0};
	struct rtp_view v = {.ssrc = 5, .seq = 12, .ts = 9000};
	struct stream_input in = {.clock = 48000, .ptime_us = 20000, .pt = 96};
	struct rtp_fields f;

	stream_init(&s);
	a = pass(&s, 11, 160, true, 0);
	ck_assert_int_eq(stream_map(&s, &v, &in, 1020000, &f), OK);
	ck_assert_uint_eq(f.seq, (uint16_t)(a.seq + 1));
	ck_assert_uint_eq(f.ts, a.ts + 960);
	ck_assert_uint_eq(f.pt, 96);
}
END_TEST

START_TEST(test_insert)
{
	struct stream s;
	struct heard a, b;
	struct rtp_fields f;

	stream_init(&s);
	b = pass(&s, 12, 320, true, 2);
	/* One of ours in between takes a number of its own. */
	stream_insert(&s, 126, 1060000, &f);
	ck_assert_uint_eq(f.seq, (uint16_t)(b.seq + 1));
	ck_assert_uint_eq(f.pt, 126);
	ck_assert(!pass(&s, 11, 160, false, 3).sent);
	a = pass(&s, 13, 480, false, 4);
	ck_assert_uint_eq(a.seq, (uint16_t)(b.seq + 2));
	ck_assert_uint_eq(a.ts, b.ts + 160);
}
END_TEST

/* The property that SRTP rests on: no number is ever sent twice, whatever
 * comes in which order. Two turns of the number circle, with loss, late
 * packets, duplicates, joints and keep-alives. */
START_TEST(test_never_twice)
{
	struct source src = {0};
	struct stream s;
	uint32_t x = 1;
	uint16_t seq = 65000;
	uint32_t ts = 5, ssrc = 1;
	uint64_t highest = 0, now = 1000000;
	uint16_t last = 0;
	uint8_t *sent = calloc(1u << 20, 1);

	ck_assert_ptr_nonnull(sent);
	stream_init(&s);
	for (int i = 0; i < 150000; i++) {
		struct rtp_view v = {.ssrc = ssrc, .seq = seq, .ts = ts};
		struct stream_input in = as_pcma;
		struct rtp_fields f;
		uint16_t ahead;
		bool joint = false, first = highest == 0;

		x = x * 1664525 + 1013904223;
		now += 20000;
		if ((x >> 16) % 16 == 0) { /* a late one, or a duplicate */
			uint16_t back = (uint16_t)((x >> 20) % 90);

			v.seq = (uint16_t)(seq - back);
			v.ts = ts - back * 160u;
		} else {
			uint16_t gap = (x >> 20) % 32 == 0 ? 4 : 1;

			seq = (uint16_t)(seq + gap);
			ts += gap * 160u;
			v.seq = seq;
			v.ts = ts;
		}
		if ((x >> 9) % 2048 == 0) { /* another source */
			v.ssrc = ++ssrc;
			v.seq = seq = (uint16_t)(x >> 3);
		}
		if (source_receive(&src, &v, &pcma, now, &joint) != OK)
			continue;
		if ((x >> 5) % 512 == 0) { /* hold */
			stream_unjoin(&s);
			continue;
		}
		if ((x >> 6) % 512 == 1 && !first) { /* keep-alive */
			stream_insert(&s, 126, now, &f);
			ck_assert(!sent[++highest]);
			sent[highest] = 1;
			last = f.seq;
		}
		in.joint = joint;
		if (stream_map(&s, &v, &in, now, &f) != OK)
			continue;
		ahead = (uint16_t)(f.seq - last);
		uint64_t number;

		if (first) {
			number = 1000;
		} else if (ahead < 0x8000) {
			number = highest + ahead;
		} else {
			number = highest - (uint16_t)(last - f.seq);
		}
		ck_assert_uint_lt(number, 1u << 20);
		ck_assert_msg(!sent[number], "twice: %d", i);
		sent[number] = 1;
		if (first || ahead < 0x8000) {
			highest = number;
			last = f.seq;
		}
	}
	ck_assert_uint_gt(highest, 130000);
	free(sent);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("rtp_stream");
	TCase *t = tcase_create("source");
	TCase *u = tcase_create("stream");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_set_timeout(t, 60);
	tcase_set_timeout(u, 60);
	tcase_add_test(t, test_in_order);
	tcase_add_test(t, test_wrap);
	tcase_add_test(t, test_loss_and_order);
	tcase_add_test(t, test_limits);
	tcase_add_test(t, test_restart);
	tcase_add_test(t, test_other_ssrc);
	tcase_add_test(t, test_free_ssrc);
	tcase_add_test(t, test_timestamps);
	tcase_add_test(t, test_jitter);
	suite_add_tcase(s, t);
	tcase_add_test(u, test_start);
	tcase_add_test(u, test_continuity);
	tcase_add_test(u, test_hold);
	tcase_add_test(u, test_codec_change);
	tcase_add_test(u, test_insert);
	tcase_add_test(u, test_never_twice);
	suite_add_tcase(s, u);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? 1 : 0;
}
