/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Is this datagram an RTP packet, and where is its payload? Only arithmetic on
 * bytes: nothing here keeps state or knows the call. path.c calls the three
 * steps, with cheap refusals between them. RFC 3550 section 5.1, 5.3.1; RFC
 * 7983 for the first byte.
 */
#ifndef MEDIAD_CHECK_H
#define MEDIAD_CHECK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/reason.h"

#define RTP_HEADER_LEN 12u
/** Longer datagrams are no voice packets. */
#define RTP_PACKET_MAX 1500u

/** Kinds of datagrams that may share a media port. */
enum demux_class {
	DEMUX_RTP,
	DEMUX_RTCP,
	DEMUX_STUN,
	DEMUX_DTLS,
	DEMUX_OTHER, /* ZRTP, TURN channels: known, not used here */
	DEMUX_NONE,  /* no protocol of RFC 7983 */
	DEMUX_CLASS_COUNT,
};

/** What a datagram claims to be, by RFC 7983 section 7 and RFC 5761 section 4.
 * An empty one is DEMUX_NONE. */
enum demux_class demux_classify(const uint8_t *bytes, size_t len);

/** What a header says; offsets are from the packet's start. */
struct rtp_view {
	uint32_t ts;
	uint32_t ssrc;
	uint16_t seq;
	uint8_t pt;
	bool marker;
	bool padding;
	uint16_t payload_at;
	uint16_t payload_len;
};

/**
 * Checks length and version and reads the fixed header.
 * @return RTP_OK, or RTP_SHORT, RTP_TOO_BIG, RTP_VERSION; view is written only
 *	with RTP_OK (payload_at and payload_len stay 0).
 */
enum reason check_fixed(
	const uint8_t *bytes, size_t len, struct rtp_view *view_out);

/**
 * Finds the payload behind CSRC list and header extension.
 * @return RTP_OK, RTP_CSRC or RTP_EXTENSION.
 */
enum reason check_bounds(
	const uint8_t *bytes, size_t len, struct rtp_view *view);

/**
 * Takes the padding off; for SRTP after decryption. len is the packet's whole
 * length now. @return RTP_OK or RTP_PADDING.
 */
enum reason check_padding(
	const uint8_t *bytes, size_t len, struct rtp_view *view);

#endif
