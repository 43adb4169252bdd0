/* SPDX-License-Identifier: Apache-2.0 */
/*
 * RTCP as bytes: reading what a peer reports and writing our own reports. No
 * state, no sockets. RFC 3550 section 6 and A.2; RFC 5506 (reduced size); RFC
 * 3611 section 4.7 (VoIP metrics).
 */
#ifndef MEDIAD_RTCP_H
#define MEDIAD_RTCP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/reason.h"

/** Largest packet that rtcp_build() writes. */
#define RTCP_BUILD_MAX 192u
#define RTCP_CNAME_LEN 16u

/** A report block. lost is a signed 24-bit number. */
struct rtcp_block {
	uint32_t ssrc;
	uint8_t fraction; /* lost of 256 */
	int32_t lost;
	uint32_t highest;
	uint32_t jitter; /* clock ticks */
	uint32_t lsr;    /* middle 32 bits of the last SR's NTP time */
	uint32_t dlsr;   /* 1/65536 s since then */
};

struct rtcp_sender {
	uint64_t ntp;
	uint32_t ts;
	uint32_t packets;
	uint32_t octets;
};

/** VoIP metrics (RFC 3611 section 4.7). Shares are of 256. */
struct rtcp_voip {
	uint32_t ssrc; /* of whom they speak */
	uint8_t loss_rate, discard_rate;
	uint8_t burst_density, gap_density;
	uint16_t burst_ms, gap_ms;
	uint16_t round_trip_ms, end_system_ms;
	uint8_t r_factor;          /* 127 = unknown, as the next two */
	uint8_t mos_lq, mos_cq;    /* tenths */
	uint16_t jitter_buffer_ms; /* nominal */
};

/** What of a compound packet concerns us. */
struct rtcp_report {
	uint32_t ssrc;  /* who sent it */
	bool is_sender; /* sender is valid */
	bool about_us;  /* block is valid */
	bool bye;       /* ssrc says goodbye */
	bool has_voip;  /* voip is valid, and about us */
	struct rtcp_sender sender;
	struct rtcp_block block;
	struct rtcp_voip voip;
};

/**
 * Reads a compound packet. Every length is checked before what it covers.
 * @param own_ssrc	whose report block is wanted.
 * @return RTCP_OK, RTCP_SHORT, RTCP_VERSION, RTCP_LENGTH, or RTCP_TYPE for a
 *	kind that is not RTCP of today; report_out is written only with
 *	RTCP_OK.
 */
enum reason rtcp_parse(const uint8_t *bytes, size_t len, uint32_t own_ssrc,
	struct rtcp_report *report_out);

/** What our next packet says. */
struct rtcp_own {
	uint32_t ssrc;
	const char *cname;                /* RTCP_CNAME_LEN characters */
	const struct rtcp_sender *sender; /* NULL: RR instead of SR */
	const struct rtcp_block *block;   /* NULL: nothing heard */
	const struct rtcp_voip *voip;     /* NULL: not wanted */
	bool bye;
};

/** Writes SR or RR, SDES, perhaps XR and BYE. @param bytes RTCP_BUILD_MAX
 * octets.
 * @return octets written. */
size_t rtcp_build(const struct rtcp_own *own, uint8_t *bytes);

/** Octets up to the end of the sender's SSRC. */
#define RTCP_SSRC_END 8u

/** Who sent a packet of at least RTCP_SSRC_END octets; in the clear with
 * SRTCP. */
uint32_t rtcp_sender_ssrc(const uint8_t *bytes);

/** NTP time (RFC 3550 section 4) of a wall clock. */
uint64_t rtcp_ntp(uint64_t wall_us);

static inline uint32_t rtcp_ntp_middle(uint64_t ntp)
{
	return (uint32_t)(ntp >> 16);
}

/**
 * Round trip from a block about us (RFC 3550 section 6.4.1).
 * @param now	middle 32 bits of the NTP time of arrival.
 * @return microseconds, at least 1; 0 if the block cannot tell.
 */
uint32_t rtcp_round_trip_us(const struct rtcp_block *block, uint32_t now);

#endif
