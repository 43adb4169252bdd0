/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reports of one leg, in both directions. A peer's words change nothing but
 * figures: a BYE does not end the leg (signaling does), a report cannot move
 * media. Round trips are taken only from blocks that answer one of our last
 * two sender reports, because a peer could claim any other time.
 *
 * Called by path.c (in) and watch.c, worker.c (out), on the worker's thread.
 */
#include "mediad/report.h"

#include "common/clock.h"
#include "common/secret.h"
#include "mediad/quality.h"

static uint32_t ntp_now(void)
{
	return rtcp_ntp_middle(rtcp_ntp(clock_wall_us()));
}

static void take_block(struct leg *l, const struct rtcp_block *b)
{
	uint32_t trip;

	l->peer_lost = b->lost;
	if (l->tx.clock != 0)
		l->peer_jitter_us =
			(uint32_t)((uint64_t)b->jitter * 1000000 / l->tx.clock);
	if (b->lsr == 0 || (b->lsr != l->sent_sr[0] && b->lsr != l->sent_sr[1]))
		return;
	trip = rtcp_round_trip_us(b, ntp_now());
	if (trip != 0)
		l->rtt_us = trip;
}

static void take_voip(struct leg *l, const struct rtcp_voip *v)
{
	/* Anything else is 127, not known, or no mark at all. */
	bool marked = v->mos_cq >= 10 && v->mos_cq <= 50;

	l->opinion = (struct leg_opinion){
		.said = true,
		.mos = marked ? v->mos_cq : 0,
		.discarded = v->discard_rate,
		.buffer_ms = v->jitter_buffer_ms,
	};
}

static enum reason unprotect(struct leg *l, uint8_t *bytes, size_t *len)
{
	enum reason why;

	if (l->srtp_rx == NULL)
		return l->config.srtp_required ? REASON_RTP_PLAIN
					       : REASON_RTCP_OK;
	/* Some phones shorten SRTCP's tag with a suite of short tags, which
	 * RFC 4568 section 6.2.2 does not allow: told apart from RTP, where it
	 * would be an attack. */
	why = srtp_leg_open_rtcp(l->srtp_rx, bytes, len);
	return why == REASON_RTP_AUTH ? REASON_RTCP_AUTH : why;
}

static bool protect(struct leg *l, uint8_t *bytes, size_t *len)
{
	if (l->srtp_tx == NULL)
		return !l->config.srtp_required;
	return srtp_leg_protect_rtcp(l->srtp_tx, bytes, len);
}

enum reason report_receive(struct leg *l, uint8_t *bytes, size_t len,
	bool trusted, uint64_t now_us)
{
	struct rtcp_report r;
	enum reason why;

	if (!trusted)
		return REASON_RTCP_SOURCE;
	if (len > RTP_PACKET_MAX)
		return REASON_RTCP_LENGTH;
	if (!token_take(&l->reports, 1, now_us))
		return REASON_RTCP_RATE;
	/* The sender's SSRC is in the clear with SRTCP, too: others need not
	 * be decrypted. */
	if (len < RTCP_SSRC_END)
		return REASON_RTCP_SHORT;
	if (l->rx.heard && rtcp_sender_ssrc(bytes) != l->rx.ssrc)
		return REASON_RTCP_SSRC;
	why = unprotect(l, bytes, &len);
	if (why != REASON_RTCP_OK)
		return why;
	why = rtcp_parse(bytes, len, l->tx.ssrc, &r);
	if (why != REASON_RTCP_OK)
		return why;
	if (r.is_sender) {
		l->peer_sr = rtcp_ntp_middle(r.sender.ntp);
		l->peer_sr_us = now_us;
	}
	if (r.about_us)
		take_block(l, &r.block);
	if (r.has_voip)
		take_voip(l, &r.voip);
	l->n.rtcp_rx++;
	l->last_alive_us = now_us;
	return REASON_RTCP_OK;
}

static void make_block(struct leg *l, uint64_t now_us, struct rtcp_block *b)
{
	struct source *s = &l->rx;
	uint64_t lost = source_extended(s) - s->base + 1 - s->received;

	*b = (struct rtcp_block){
		.ssrc = s->ssrc,
		.fraction = source_fraction_lost(s),
		.lost = lost > 0x7fffff ? 0x7fffff : (int32_t)lost,
		.highest = source_extended(s),
		.jitter = s->jitter_q4 >> 4,
	};
	if (l->peer_sr_us != 0) {
		b->lsr = l->peer_sr;
		b->dlsr =
			(uint32_t)(((now_us - l->peer_sr_us) << 16) / 1000000);
	}
}

/* Tenths of a mean opinion score, RFC 3611 section 4.7.5. */
static uint8_t tenths(double r)
{
	return (uint8_t)((quality_mos_of(r) + 5) / 10);
}

/* What the peer's own packets were like when they came here. End system delay
 * and jitter buffer are those of nobody: packets go on as they come. */
static void make_voip(struct leg *l, struct rtcp_voip *v)
{
	struct burst_figures f;
	struct quality_input in = {
		.codec = l->codec,
		.expected = source_expected(&l->rx),
		.lost = source_lost(&l->rx),
		.jitter_us = source_jitter_us(&l->rx),
		.rtt_us = l->rtt_us,
		.ptime_us = l->ptime_us,
	};
	double listening = quality_r(&in, false);
	double talking = quality_r(&in, true);

	burst_figures(&l->burst, l->ptime_us, &f);
	*v = (struct rtcp_voip){
		.ssrc = l->rx.ssrc,
		.loss_rate = f.loss_rate,
		.burst_density = f.burst_density,
		.gap_density = f.gap_density,
		.burst_ms = f.burst_ms,
		.gap_ms = f.gap_ms,
		.round_trip_ms = l->rtt_us / 1000 > UINT16_MAX
					 ? UINT16_MAX
					 : (uint16_t)(l->rtt_us / 1000),
		.r_factor = 127,
		.mos_lq = 127,
		.mos_cq = 127,
	};
	if (talking < 0)
		return;
	v->r_factor = (uint8_t)(talking + 0.5);
	v->mos_lq = tenths(listening);
	v->mos_cq = tenths(talking);
}

void report_send(struct leg *l, bool bye, uint64_t now_us)
{
	_Alignas(4) uint8_t bytes[RTCP_BUILD_MAX + SRTP_TRAILER_MAX];
	struct rtcp_own own = {
		.ssrc = l->tx.ssrc, .cname = l->cname, .bye = bye};
	struct rtcp_block block;
	struct rtcp_sender sender;
	struct rtcp_voip voip;
	size_t len;

	/* Who never sent anything is no member yet (RFC 3550 6.3.7). */
	if (bye && l->n.tx_packets == 0 && l->n.rtcp_tx == 0)
		return;
	if (l->n.tx_packets > l->reported_tx) {
		sender = (struct rtcp_sender){
			.ntp = rtcp_ntp(clock_wall_us()),
			.ts = stream_ts_at(&l->tx, now_us),
			.packets = (uint32_t)l->n.tx_packets,
			.octets = (uint32_t)l->n.tx_octets,
		};
		own.sender = &sender;
		l->reported_tx = l->n.tx_packets;
	}
	if (l->rx.heard) {
		make_block(l, now_us, &block);
		own.block = &block;
		if (l->config.rtcp_xr) {
			make_voip(l, &voip);
			own.voip = &voip;
		}
	}
	len = rtcp_build(&own, bytes);
	if (!protect(l, bytes, &len) ||
		leg_send_rtcp(l, bytes, len) != REASON_RTP_OK)
		return;
	if (own.sender != NULL) {
		l->sent_sr[1] = l->sent_sr[0];
		l->sent_sr[0] = rtcp_ntp_middle(sender.ntp);
	}
	l->n.rtcp_tx++;
	if (l->config.rtcp_mux)
		l->last_tx_us = now_us;
}

uint64_t report_delay_us(uint64_t interval_us)
{
	uint32_t r;

	secret_random_bytes(&r, sizeof(r));
	return interval_us / 2 + ((interval_us * (r >> 16)) >> 16);
}
