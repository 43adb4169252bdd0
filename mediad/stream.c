/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Continuity by two offsets: what was received plus offset is what is sent, so
 * loss and reordering before us look the same behind us and the far end's
 * statistics stay honest. At a joint the offsets are made anew: one number
 * after the highest that was sent, and a timestamp that has moved on by the
 * time that has passed. `floor` keeps the map one-to-one: a packet that is
 * older than the last joint could land on a number that is used.
 *
 * Called by path.c on the worker's thread. Decides nothing about whether a
 * packet may pass.
 */
#include "mediad/stream.h"

#include "common/secret.h"

/* Reordering reaches back SOURCE_MAX_MISORDER; the floor follows long before
 * the 16-bit comparison turns around. */
#define FLOOR_LAG  0x4000u
#define FLOOR_STEP 0x2000u

static int16_t after(uint16_t a, uint16_t b)
{
	return (int16_t)(uint16_t)(a - b);
}

void stream_init(struct stream *s)
{
	uint16_t seq;

	*s = (struct stream){0};
	secret_random_bytes(&s->ssrc, sizeof(s->ssrc));
	secret_random_bytes(&seq, sizeof(seq));
	secret_random_bytes(&s->ts, sizeof(s->ts));
	s->seq = seq & 0x7fff;
	if (s->seq > 0)
		s->seq--;
}

void stream_unjoin(struct stream *s)
{
	s->joined = false;
}

static uint32_t ticks(uint64_t us, uint32_t clock)
{
	return (uint32_t)(us * clock / 1000000);
}

uint32_t stream_ts_at(const struct stream *s, uint64_t now_us)
{
	return s->ts + ticks(now_us - s->ts_us, s->clock);
}

static void join(struct stream *s, const struct rtp_view *v,
	const struct stream_input *in, uint64_t now_us)
{
	uint32_t ts = s->ts;

	if (s->started) {
		uint32_t passed = ticks(now_us - s->ts_us, in->clock);
		uint32_t least = ticks(in->ptime_us, in->clock);

		ts += passed > least ? passed : least;
	}
	s->seq_add = (uint16_t)(s->seq + 1 - v->seq);
	s->ts_add = ts - v->ts;
	s->floor = v->seq;
	s->clock = in->clock;
	s->joined = true;
}

enum reason stream_map(struct stream *s, const struct rtp_view *v,
	const struct stream_input *in, uint64_t now_us,
	struct rtp_fields *fields_out)
{
	bool marker = v->marker;

	if (!s->joined || in->joint || in->clock != s->clock) {
		join(s, v, in, now_us);
		marker = true;
	} else if (after(v->seq, s->floor) < 0) {
		return REASON_RTP_SEQUENCE;
	}
	if ((uint16_t)(v->seq - s->floor) > FLOOR_LAG)
		s->floor = (uint16_t)(s->floor + FLOOR_STEP);

	uint16_t seq = (uint16_t)(v->seq + s->seq_add);
	uint32_t ts = v->ts + s->ts_add;

	if (after(seq, s->seq) > 0) {
		s->seq = seq;
		if (!s->started || (int32_t)(ts - s->ts) > 0) {
			s->ts = ts;
			s->ts_us = now_us;
		}
	}
	s->started = true;
	*fields_out = (struct rtp_fields){
		.ssrc = s->ssrc,
		.ts = ts,
		.seq = seq,
		.pt = in->pt,
		.marker = marker,
	};
	return REASON_RTP_OK;
}

void stream_insert(struct stream *s, uint8_t pt, uint64_t now_us,
	struct rtp_fields *fields_out)
{
	/* The received packet that would come next gets the number after
	 * ours; older ones have no free number any more. */
	s->floor = (uint16_t)(s->seq + 1 - s->seq_add);
	s->seq++;
	s->seq_add++;
	if (!s->started) {
		s->started = true;
		s->ts_us = now_us;
	}
	*fields_out = (struct rtp_fields){
		.ssrc = s->ssrc,
		.ts = stream_ts_at(s, now_us),
		.seq = s->seq,
		.pt = pt,
	};
}
