/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The arithmetic of an RTP header with bounds on every step. Called by path.c
 * for each packet, so no step does more than it needs to refuse. RFC 3550
 * section 5.1 (fixed header, CSRC, padding) and 5.3.1 (extension).
 */
#include "mediad/check.h"

static uint16_t get16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static uint32_t get32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 |
	       (uint32_t)p[2] << 8 | p[3];
}

enum reason check_fixed(
	const uint8_t *bytes, size_t len, struct rtp_view *view_out)
{
	if (len < RTP_HEADER_LEN)
		return REASON_RTP_SHORT;
	if (len > RTP_PACKET_MAX)
		return REASON_RTP_TOO_BIG;
	if (bytes[0] >> 6 != 2)
		return REASON_RTP_VERSION;
	*view_out = (struct rtp_view){
		.padding = bytes[0] & 0x20,
		.marker = bytes[1] & 0x80,
		.pt = bytes[1] & 0x7f,
		.seq = get16(bytes + 2),
		.ts = get32(bytes + 4),
		.ssrc = get32(bytes + 8),
	};
	return REASON_RTP_OK;
}

enum reason check_bounds(
	const uint8_t *bytes, size_t len, struct rtp_view *view)
{
	size_t at = RTP_HEADER_LEN + 4u * (bytes[0] & 0x0f);

	if (at > len)
		return REASON_RTP_CSRC;
	if (bytes[0] & 0x10) {
		if (len - at < 4)
			return REASON_RTP_EXTENSION;
		size_t words = get16(bytes + at + 2);

		at += 4;
		if (words * 4 > len - at)
			return REASON_RTP_EXTENSION;
		at += words * 4;
	}
	view->payload_at = (uint16_t)at;
	view->payload_len = (uint16_t)(len - at);
	return REASON_RTP_OK;
}

enum reason check_padding(
	const uint8_t *bytes, size_t len, struct rtp_view *view)
{
	if (len < view->payload_at)
		return REASON_RTP_PADDING;
	view->payload_len = (uint16_t)(len - view->payload_at);
	if (!view->padding)
		return REASON_RTP_OK;
	if (view->payload_len == 0)
		return REASON_RTP_PADDING;

	uint8_t n_padding = bytes[len - 1];

	if (n_padding == 0 || n_padding > view->payload_len)
		return REASON_RTP_PADDING;
	view->payload_len = (uint16_t)(view->payload_len - n_padding);
	return REASON_RTP_OK;
}
