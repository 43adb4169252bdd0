/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One synchronization source that sends to us: which of its packets are
 * plausible, and what is missing. RFC 3550 appendix A.1 (sequence numbers),
 * A.3 (loss), A.8 (jitter).
 */
#ifndef MEDIAD_SOURCE_H
#define MEDIAD_SOURCE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/reason.h"
#include "mediad/check.h"

/** Packets in a row that make a new source valid (RFC 3550 A.1). */
#define SOURCE_MIN_SEQUENTIAL 2u
#define SOURCE_MAX_DROPOUT    3000u
#define SOURCE_MAX_MISORDER   100u
/** An old source must have been silent this long before another one may take
 * its place without signaling: five packets of most codecs. */
#define SOURCE_SILENCE_US     100000u

/** State of the source that a leg listens to. Zeroed = none yet. */
struct source {
	bool heard;       /* ssrc is valid */
	uint8_t next_run; /* of the source that wants to take over */
	bool bad_ts_known;
	uint32_t ssrc;
	uint32_t cycles; /* wraps << 16 */
	uint32_t base;   /* extended number of the first packet */
	uint16_t max_seq;
	uint16_t next_seq;
	uint32_t bad_seq; /* 0x10000 = none */
	uint64_t seen[2]; /* bit n: max_seq - n was received */
	uint32_t ts;      /* of the newest packet */
	uint32_t bad_ts;
	uint64_t at_us; /* arrival of the newest packet */
	uint32_t received;
	uint32_t clock;
	uint32_t transit;
	uint32_t jitter_q4; /* in clock ticks, times 16 */
	uint32_t next_ssrc;
	uint32_t expected_prior;
	uint32_t received_prior;
	/* Sums over earlier sources of this leg. */
	uint64_t old_expected;
	uint64_t old_received;
	uint32_t jitter_us; /* last known, survives a restart */
};

/** What the payload type says about time. */
struct source_media {
	uint32_t clock;
	bool event; /* its timestamp is the event's start (RFC 4733) */
};

/** @return RTP_OK, or RTP_SSRC while another source is alive. Changes
 * nothing: the first half of source_match(), enough where the packet will be
 * authenticated. */
enum reason source_alone(const struct source *s, const struct rtp_view *v,
	bool free, uint64_t now_us);

/**
 * Judges whether the packet's SSRC may speak. Changes nothing but the
 * candidate for a take-over.
 * @param free	signaling allowed a new source: no silence is needed.
 * @return RTP_OK: source_receive() may follow; RTP_SSRC; RTP_PROBATION.
 */
enum reason source_match(
	struct source *s, const struct rtp_view *v, bool free, uint64_t now_us);

/**
 * Takes the packet into account, or refuses it and changes nothing else. A
 * packet of another SSRC than the present starts a new source.
 * @param joint_out	set when numbers start anew: what we send on must be
 *			joined to what was sent before.
 * @return RTP_OK, RTP_SEQUENCE, RTP_REPLAY or RTP_TIMESTAMP.
 */
enum reason source_receive(struct source *s, const struct rtp_view *v,
	const struct source_media *media, uint64_t now_us, bool *joint_out);

uint64_t source_expected(const struct source *s);
/** Never negative: late packets and duplicates do not hide loss elsewhere. */
uint64_t source_lost(const struct source *s);
uint32_t source_jitter_us(const struct source *s);

/** Highest sequence number with its wraps, for reports. */
static inline uint32_t source_extended(const struct source *s)
{
	return s->cycles + s->max_seq;
}

/** Loss since the last call as n / 256 (RFC 3550 A.3). */
uint8_t source_fraction_lost(struct source *s);

#endif
