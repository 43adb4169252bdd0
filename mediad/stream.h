/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The stream that one leg's peer hears from us: one SSRC, sequence numbers and
 * timestamps without a break, whatever happens on the other side (new SSRC,
 * new codec, hold, restart, jump). RFC 3550 section 5.1, RFC 3711 section
 * 3.3.1 (a number is never used twice under one key).
 */
#ifndef MEDIAD_STREAM_H
#define MEDIAD_STREAM_H

#include <stdbool.h>
#include <stdint.h>

#include "common/reason.h"
#include "mediad/build.h"
#include "mediad/check.h"

struct stream {
	uint32_t ssrc;
	bool started;     /* something was sent */
	bool joined;      /* offsets are valid */
	uint16_t seq;     /* highest that was sent; before: the first - 1 */
	uint16_t seq_add; /* received + add = sent */
	uint16_t floor;   /* received numbers before it are of an older joint */
	uint32_t ts;      /* newest that was sent */
	uint32_t ts_add;
	uint32_t clock;
	uint64_t ts_us; /* when ts was sent */
};

/** How the other side's packet is to be taken over. */
struct stream_input {
	uint32_t clock;
	uint32_t ptime_us;
	uint8_t pt; /* payload type on this side */
	bool joint; /* its numbers began anew */
};

/**
 * Starts with a random SSRC, sequence number and timestamp. The first number
 * is below 32768, so that an SRTP receiver that misses the first packets does
 * not guess the rollover counter wrong (RFC 3711 section 3.3.1).
 */
void stream_init(struct stream *s);

/** The next packet is joined anew (hold, the source changed, a packet was not
 * sent on purpose): the peer shall see no gap. */
void stream_unjoin(struct stream *s);

/**
 * Gives the received packet its number, time and marker on this side.
 * @return RTP_OK, or RTP_SEQUENCE for a late packet from before a joint: its
 *	number may have been used already.
 */
enum reason stream_map(struct stream *s, const struct rtp_view *v,
	const struct stream_input *in, uint64_t now_us,
	struct rtp_fields *fields_out);

/** Numbers a packet of our own (keep-alive). */
void stream_insert(struct stream *s, uint8_t pt, uint64_t now_us,
	struct rtp_fields *fields_out);

/** The timestamp that belongs to this moment, for reports. */
uint32_t stream_ts_at(const struct stream *s, uint64_t now_us);

#endif
