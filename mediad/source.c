/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sequence number, timestamp and SSRC plausibility of one sender. The rules of
 * RFC 3550 A.1 stand, with two additions: a window of 128 numbers refuses
 * duplicates (A.1 lets them pass), and timestamps are held against the clock,
 * so that a stray packet with the right number cannot move the playout of the
 * far end. A refused packet changes no counter and no expectation except the
 * one that A.1 names: the next number of a possible restart.
 *
 * Called by path.c on the worker's thread, after source address and payload
 * type are known to be right.
 */
#include "mediad/source.h"

#include <string.h>

#define NO_BAD_SEQ     0x10000u
#define WINDOW         128u
/* How far a timestamp may run ahead of the clock (bursts, wrong ptime), and
 * fall behind its predecessor (reordering at the sender; an event keeps the
 * time of its start, and RFC 4733 lets one packet report eight seconds). */
#define AHEAD_S        5u
#define BEHIND_S       1u
#define BEHIND_EVENT_S 10u
/* Two packets whose transit differs by more are not of one flow of time. */
#define TRANSIT_MAX_S  1u

static bool window_test(const struct source *s, unsigned n)
{
	return n < WINDOW && (s->seen[n / 64] >> (n % 64) & 1);
}

static void window_set(struct source *s, unsigned n)
{
	if (n < WINDOW)
		s->seen[n / 64] |= 1ull << (n % 64);
}

static void window_shift(struct source *s, unsigned n)
{
	if (n >= WINDOW) {
		s->seen[0] = s->seen[1] = 0;
	} else if (n >= 64) {
		s->seen[1] = s->seen[0] << (n - 64);
		s->seen[0] = 0;
	} else if (n > 0) {
		s->seen[1] = s->seen[1] << n | s->seen[0] >> (64 - n);
		s->seen[0] <<= n;
	}
}

/* Everything is counted from this packet on. */
static void restart(struct source *s, const struct rtp_view *v,
	const struct source_media *media, uint64_t now_us)
{
	if (s->heard) {
		s->old_expected += source_extended(s) - s->base + 1;
		s->old_received += s->received;
		s->jitter_us = source_jitter_us(s);
	}
	s->heard = true;
	s->ssrc = v->ssrc;
	s->cycles = 0;
	s->base = s->max_seq = v->seq;
	s->bad_seq = NO_BAD_SEQ;
	s->bad_ts_known = false;
	s->seen[0] = 1;
	s->seen[1] = 0;
	s->ts = v->ts;
	s->at_us = now_us;
	s->received = 1;
	s->clock = media->clock;
	s->jitter_q4 = 0;
	s->transit = 0;
	s->expected_prior = s->received_prior = 0;
	s->next_run = 0;
}

enum reason source_alone(const struct source *s, const struct rtp_view *v,
	bool free, uint64_t now_us)
{
	if (!s->heard || v->ssrc == s->ssrc || free)
		return REASON_RTP_OK;
	return now_us - s->at_us < SOURCE_SILENCE_US ? REASON_RTP_SSRC
						     : REASON_RTP_OK;
}

enum reason source_match(
	struct source *s, const struct rtp_view *v, bool free, uint64_t now_us)
{
	enum reason why = source_alone(s, v, free, now_us);

	if (why != REASON_RTP_OK || !s->heard || v->ssrc == s->ssrc)
		return why;
	if (s->next_run == 0 || s->next_ssrc != v->ssrc ||
		v->seq != s->next_seq)
		s->next_run = 0;
	s->next_ssrc = v->ssrc;
	s->next_seq = (uint16_t)(v->seq + 1);
	s->next_run++;
	return s->next_run >= SOURCE_MIN_SEQUENTIAL ? REASON_RTP_OK
						    : REASON_RTP_PROBATION;
}

/* Whether a timestamp that differs by diff ticks can be of the same clock. */
static bool timestamp_fits(const struct source *s, int32_t diff,
	const struct source_media *media, uint64_t now_us)
{
	uint64_t clock = media->clock;
	uint64_t elapsed = (now_us - s->at_us) * clock / 1000000;
	int64_t behind =
		(media->event ? BEHIND_EVENT_S : BEHIND_S) * (int64_t)clock;

	if (elapsed > INT32_MAX)
		return true;
	return diff >= -behind && diff <= (int64_t)(elapsed + AHEAD_S * clock);
}

/* A jump is believed when the sender marks it, or when the next packet says
 * the same. */
static bool jump_is_real(struct source *s, const struct rtp_view *v,
	const struct source_media *media)
{
	if (v->marker)
		return true;
	if (s->bad_ts_known && v->ts - s->bad_ts <= media->clock)
		return true;
	s->bad_ts_known = true;
	s->bad_ts = v->ts;
	return false;
}

static void measure_jitter(struct source *s, const struct rtp_view *v,
	const struct source_media *media, uint64_t now_us, bool first)
{
	uint32_t arrival = (uint32_t)(now_us * media->clock / 1000000);
	uint32_t transit = arrival - v->ts;
	uint32_t d = transit - s->transit;

	s->transit = transit;
	if (d > INT32_MAX)
		d = 0 - d;
	if (first || d > TRANSIT_MAX_S * media->clock)
		return;
	s->jitter_q4 += d - ((s->jitter_q4 + 8) >> 4);
}

static enum reason receive_newer(struct source *s, const struct rtp_view *v,
	const struct source_media *media, uint64_t now_us, bool *joint_out)
{
	uint16_t delta = (uint16_t)(v->seq - s->max_seq);
	int32_t diff = (int32_t)(v->ts - s->ts);
	bool new_clock = media->clock != s->clock;
	bool joint = new_clock || !timestamp_fits(s, diff, media, now_us);

	if (joint && !new_clock && !jump_is_real(s, v, media))
		return REASON_RTP_TIMESTAMP;
	if (new_clock) {
		s->jitter_us = source_jitter_us(s);
		s->jitter_q4 = 0;
		s->clock = media->clock;
	}
	if (v->seq < s->max_seq)
		s->cycles += 0x10000;
	s->max_seq = v->seq;
	window_shift(s, delta);
	window_set(s, 0);
	s->bad_seq = NO_BAD_SEQ;
	s->bad_ts_known = false;
	if (!media->event && (diff != 0 || joint))
		measure_jitter(s, v, media, now_us, joint || s->received <= 1);
	s->received++;
	s->ts = v->ts;
	s->at_us = now_us;
	*joint_out = joint;
	return REASON_RTP_OK;
}

static enum reason receive_older(struct source *s, const struct rtp_view *v,
	const struct source_media *media)
{
	unsigned n = (uint16_t)(s->max_seq - v->seq);
	int64_t diff = (int32_t)(v->ts - s->ts);
	int64_t room = BEHIND_EVENT_S * (int64_t)media->clock;

	if (window_test(s, n))
		return REASON_RTP_REPLAY;
	/* Before the first one: A.3 would count it as a gain. */
	if (source_extended(s) - n < s->base || n > source_extended(s))
		return REASON_RTP_SEQUENCE;
	if (diff > room || diff < -room)
		return REASON_RTP_TIMESTAMP;
	window_set(s, n);
	s->received++;
	return REASON_RTP_OK;
}

enum reason source_receive(struct source *s, const struct rtp_view *v,
	const struct source_media *media, uint64_t now_us, bool *joint_out)
{
	*joint_out = false;
	if (!s->heard || v->ssrc != s->ssrc) {
		restart(s, v, media, now_us);
		s->transit =
			(uint32_t)(now_us * media->clock / 1000000) - v->ts;
		*joint_out = true;
		return REASON_RTP_OK;
	}
	uint16_t delta = (uint16_t)(v->seq - s->max_seq);

	if (delta != 0 && delta < SOURCE_MAX_DROPOUT)
		return receive_newer(s, v, media, now_us, joint_out);
	if (delta == 0 || delta > 0x10000u - SOURCE_MAX_MISORDER)
		return receive_older(s, v, media);
	if (v->seq != s->bad_seq) {
		s->bad_seq = (v->seq + 1u) & 0xffff;
		return REASON_RTP_SEQUENCE;
	}
	/* Two in a row: the sender has started anew without telling. */
	restart(s, v, media, now_us);
	s->transit = (uint32_t)(now_us * media->clock / 1000000) - v->ts;
	*joint_out = true;
	return REASON_RTP_OK;
}

uint64_t source_expected(const struct source *s)
{
	if (!s->heard)
		return s->old_expected;
	return s->old_expected + (source_extended(s) - s->base + 1);
}

uint64_t source_lost(const struct source *s)
{
	uint64_t expected = source_expected(s);
	uint64_t received = s->old_received + (s->heard ? s->received : 0);

	return expected > received ? expected - received : 0;
}

uint32_t source_jitter_us(const struct source *s)
{
	if (!s->heard || s->clock == 0 || s->received < 3)
		return s->jitter_us;
	return (uint32_t)((uint64_t)(s->jitter_q4 >> 4) * 1000000 / s->clock);
}

uint8_t source_fraction_lost(struct source *s)
{
	uint32_t expected = source_extended(s) - s->base + 1;
	uint32_t n_expected = expected - s->expected_prior;
	uint32_t n_received = s->received - s->received_prior;

	s->expected_prior = expected;
	s->received_prior = s->received;
	if (n_expected == 0 || n_received >= n_expected)
		return 0;
	return (uint8_t)(((uint64_t)(n_expected - n_received) << 8) /
			 n_expected);
}
