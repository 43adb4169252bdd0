/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reader and writer of RTCP side by side. The reader walks the packets of a
 * compound by their own lengths, which must add up to exactly what came, and
 * picks the sender information, the block about our SSRC, VoIP metrics about it
 * and a BYE; all else (SDES, APP, feedback) is stepped over. The writer makes
 * the only RTCP that leaves this host: nothing of a peer's RTCP is ever passed
 * on.
 *
 * Called by report.c.
 */
#include "mediad/rtcp.h"

#include <string.h>

enum rtcp_type {
	RTCP_SR = 200,
	RTCP_RR = 201,
	RTCP_SDES = 202,
	RTCP_BYE = 203,
	RTCP_XR = 207,
};

#define RTCP_HEADER_LEN 4u
#define SENDER_LEN      20u
#define BLOCK_LEN       24u
#define SDES_CNAME      1u
#define XR_VOIP         7u
#define XR_VOIP_LEN     36u
/* Not measured: we hear packets, not sound. */
#define XR_UNKNOWN      127u
#define NTP_UNIX_EPOCH  2208988800ull
/* A round trip that no call survives: the block is wrong. */
#define ROUND_TRIP_MAX  (30u << 16)

static uint32_t get32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 |
	       (uint32_t)p[2] << 8 | p[3];
}

static uint8_t *put32(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 24);
	p[1] = (uint8_t)(v >> 16);
	p[2] = (uint8_t)(v >> 8);
	p[3] = (uint8_t)v;
	return p + 4;
}

uint32_t rtcp_sender_ssrc(const uint8_t *bytes)
{
	return get32(bytes + RTCP_HEADER_LEN);
}

static void read_block(const uint8_t *p, struct rtcp_block *b)
{
	uint32_t lost = get32(p + 4) & 0xffffff;

	b->ssrc = get32(p);
	b->fraction = p[4];
	b->lost = lost & 0x800000 ? (int32_t)lost - 0x1000000 : (int32_t)lost;
	b->highest = get32(p + 8);
	b->jitter = get32(p + 12);
	b->lsr = get32(p + 16);
	b->dlsr = get32(p + 20);
}

/* SR and RR: body is what follows the header. */
static enum reason read_report(const uint8_t *body, size_t len, bool is_sr,
	unsigned n_blocks, uint32_t own_ssrc, struct rtcp_report *r)
{
	size_t at = 4;

	if (len < 4 + (is_sr ? SENDER_LEN : 0) + n_blocks * BLOCK_LEN)
		return REASON_RTCP_LENGTH;
	if (is_sr) {
		r->is_sender = true;
		r->sender = (struct rtcp_sender){
			.ntp = (uint64_t)get32(body + 4) << 32 |
			       get32(body + 8),
			.ts = get32(body + 12),
			.packets = get32(body + 16),
			.octets = get32(body + 20),
		};
		at += SENDER_LEN;
	}
	for (unsigned i = 0; i < n_blocks; i++, at += BLOCK_LEN) {
		if (get32(body + at) != own_ssrc)
			continue;
		r->about_us = true;
		read_block(body + at, &r->block);
	}
	return REASON_RTCP_OK;
}

static enum reason read_bye(const uint8_t *body, size_t len, unsigned n_sources,
	struct rtcp_report *r)
{
	if (len < n_sources * 4u)
		return REASON_RTCP_LENGTH;
	for (unsigned i = 0; i < n_sources; i++)
		if (get32(body + 4 * (size_t)i) == r->ssrc)
			r->bye = true;
	return REASON_RTCP_OK;
}

static uint16_t get16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static void read_voip(const uint8_t *p, struct rtcp_voip *v)
{
	*v = (struct rtcp_voip){
		.ssrc = get32(p + 4),
		.loss_rate = p[8],
		.discard_rate = p[9],
		.burst_density = p[10],
		.gap_density = p[11],
		.burst_ms = get16(p + 12),
		.gap_ms = get16(p + 14),
		.round_trip_ms = get16(p + 16),
		.end_system_ms = get16(p + 18),
		.r_factor = p[24],
		.mos_lq = p[26],
		.mos_cq = p[27],
		.jitter_buffer_ms = get16(p + 30),
	};
}

/* Report blocks with lengths of their own, which must fill the packet. */
static enum reason read_xr(const uint8_t *body, size_t len, uint32_t own_ssrc,
	struct rtcp_report *r)
{
	size_t at = 4;

	if (len < 4)
		return REASON_RTCP_LENGTH;
	while (at < len) {
		const uint8_t *p = body + at;
		size_t n;

		if (len - at < 4)
			return REASON_RTCP_LENGTH;
		n = 4u * ((size_t)get16(p + 2) + 1);
		if (n > len - at || (p[0] == XR_VOIP && n != XR_VOIP_LEN))
			return REASON_RTCP_LENGTH;
		if (p[0] == XR_VOIP && get32(p + 4) == own_ssrc) {
			r->has_voip = true;
			read_voip(p, &r->voip);
		}
		at += n;
	}
	return REASON_RTCP_OK;
}

/* One packet of the compound; len includes its header. */
static enum reason read_packet(const uint8_t *p, size_t len, bool is_last,
	uint32_t own_ssrc, struct rtcp_report *r)
{
	unsigned count = p[0] & 0x1f;
	const uint8_t *body = p + RTCP_HEADER_LEN;
	size_t n = len - RTCP_HEADER_LEN;

	if (p[0] & 0x20) {
		/* Only the last one may be padded, in whole words (6.4.1). */
		if (!is_last || n == 0 || p[len - 1] == 0 || p[len - 1] > n ||
			p[len - 1] % 4 != 0)
			return REASON_RTCP_LENGTH;
		n -= p[len - 1];
	}
	switch (p[1]) {
	case RTCP_SR:
	case RTCP_RR:
		return read_report(
			body, n, p[1] == RTCP_SR, count, own_ssrc, r);
	case RTCP_BYE:
		return read_bye(body, n, count, r);
	case RTCP_XR:
		return read_xr(body, n, own_ssrc, r);
	default:
		return REASON_RTCP_OK;
	}
}

enum reason rtcp_parse(const uint8_t *bytes, size_t len, uint32_t own_ssrc,
	struct rtcp_report *report_out)
{
	struct rtcp_report r = {0};
	size_t at = 0;

	if (len < RTCP_HEADER_LEN + 4)
		return REASON_RTCP_SHORT;
	r.ssrc = get32(bytes + RTCP_HEADER_LEN);
	while (at < len) {
		if (len - at < RTCP_HEADER_LEN)
			return REASON_RTCP_LENGTH;
		const uint8_t *p = bytes + at;
		size_t n = 4u * (((size_t)p[2] << 8 | p[3]) + 1);

		if (p[0] >> 6 != 2)
			return REASON_RTCP_VERSION;
		if (p[1] < RTCP_SR || p[1] > RTCP_XR)
			return REASON_RTCP_TYPE;
		if (n > len - at)
			return REASON_RTCP_LENGTH;
		/* A compound begins with SR or RR; reduced size (RFC 5506)
		 * with anything, but always with the sender's SSRC. */
		if (at == 0 && n < RTCP_HEADER_LEN + 4)
			return REASON_RTCP_LENGTH;
		enum reason why =
			read_packet(p, n, at + n == len, own_ssrc, &r);

		if (why != REASON_RTCP_OK)
			return why;
		at += n;
	}
	*report_out = r;
	return REASON_RTCP_OK;
}

static uint8_t *put_header(
	uint8_t *p, unsigned count, enum rtcp_type type, size_t len)
{
	size_t words = len / 4 - 1;

	p[0] = (uint8_t)(0x80 | count);
	p[1] = (uint8_t)type;
	p[2] = (uint8_t)(words >> 8);
	p[3] = (uint8_t)words;
	return p + RTCP_HEADER_LEN;
}

static uint8_t *put_report(uint8_t *p, const struct rtcp_own *own)
{
	const struct rtcp_sender *s = own->sender;
	const struct rtcp_block *b = own->block;
	size_t len = RTCP_HEADER_LEN + 4 + (s ? SENDER_LEN : 0) +
		     (b ? BLOCK_LEN : 0);

	p = put_header(p, b ? 1 : 0, s ? RTCP_SR : RTCP_RR, len);
	p = put32(p, own->ssrc);
	if (s != NULL) {
		p = put32(p, (uint32_t)(s->ntp >> 32));
		p = put32(p, (uint32_t)s->ntp);
		p = put32(p, s->ts);
		p = put32(p, s->packets);
		p = put32(p, s->octets);
	}
	if (b != NULL) {
		p = put32(p, b->ssrc);
		p = put32(p, (uint32_t)b->fraction << 24 |
				     ((uint32_t)b->lost & 0xffffff));
		p = put32(p, b->highest);
		p = put32(p, b->jitter);
		p = put32(p, b->lsr);
		p = put32(p, b->dlsr);
	}
	return p;
}

static uint8_t *put_sdes(uint8_t *p, const struct rtcp_own *own)
{
	/* SSRC, item header, text, and zeros to the next word (at least one
	 * zero ends the list, section 6.5). */
	size_t chunk = (4 + 2 + RTCP_CNAME_LEN + 1 + 3) & ~(size_t)3;
	uint8_t *end = p + RTCP_HEADER_LEN + chunk;

	p = put_header(p, 1, RTCP_SDES, RTCP_HEADER_LEN + chunk);
	p = put32(p, own->ssrc);
	*p++ = SDES_CNAME;
	*p++ = RTCP_CNAME_LEN;
	memcpy(p, own->cname, RTCP_CNAME_LEN);
	p += RTCP_CNAME_LEN;
	memset(p, 0, (size_t)(end - p));
	return end;
}

static uint8_t *put16(uint8_t *p, uint16_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
	return p + 2;
}

static uint8_t *put_voip(uint8_t *p, const struct rtcp_own *own)
{
	const struct rtcp_voip *v = own->voip;

	p = put_header(p, 0, RTCP_XR, RTCP_HEADER_LEN + 4 + XR_VOIP_LEN);
	p = put32(p, own->ssrc);
	p = put32(p, XR_VOIP << 24 | (XR_VOIP_LEN / 4 - 1));
	p = put32(p, v->ssrc);
	*p++ = v->loss_rate;
	*p++ = v->discard_rate;
	*p++ = v->burst_density;
	*p++ = v->gap_density;
	p = put16(p, v->burst_ms);
	p = put16(p, v->gap_ms);
	p = put16(p, v->round_trip_ms);
	p = put16(p, v->end_system_ms);
	*p++ = XR_UNKNOWN; /* signal, noise, echo return loss */
	*p++ = XR_UNKNOWN;
	*p++ = XR_UNKNOWN;
	*p++ = 16; /* Gmin */
	*p++ = v->r_factor;
	*p++ = XR_UNKNOWN; /* outside of VoIP */
	*p++ = v->mos_lq;
	*p++ = v->mos_cq;
	*p++ = 0; /* concealment and jitter buffer are not ours */
	*p++ = 0;
	p = put16(p, v->jitter_buffer_ms);
	p = put16(p, v->jitter_buffer_ms);
	return put16(p, v->jitter_buffer_ms);
}

size_t rtcp_build(const struct rtcp_own *own, uint8_t *bytes)
{
	uint8_t *p = put_sdes(put_report(bytes, own), own);

	if (own->voip != NULL)
		p = put_voip(p, own);
	if (own->bye) {
		p = put_header(p, 1, RTCP_BYE, RTCP_HEADER_LEN + 4);
		p = put32(p, own->ssrc);
	}
	return (size_t)(p - bytes);
}

uint64_t rtcp_ntp(uint64_t wall_us)
{
	uint64_t s = wall_us / 1000000 + NTP_UNIX_EPOCH;
	uint64_t us = wall_us % 1000000;

	return s << 32 | (us << 32) / 1000000;
}

uint32_t rtcp_round_trip_us(const struct rtcp_block *block, uint32_t now)
{
	if (block->lsr == 0)
		return 0;
	uint32_t trip = now - block->lsr - block->dlsr;

	if (trip > ROUND_TRIP_MAX)
		return 0;
	uint32_t us = (uint32_t)(((uint64_t)trip * 1000000) >> 16);

	return us == 0 ? 1 : us;
}
