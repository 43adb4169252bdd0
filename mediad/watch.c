/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The slow half of a leg. A learned source that is silent for a second loses
 * its connected socket, so that packets from elsewhere are counted by reason
 * and the last of them can be explained; it loses nothing else. The media
 * time-out runs only where the peer is obliged to send, and any valid RTP or
 * RTCP restarts it. Whether a call ends is sbc's decision, always.
 *
 * A silent direction is kept open through NATs by a packet with a payload type
 * that nobody negotiated, or by RTCP where it shares the port (RFC 6263
 * section 4.6 and 4.3).
 */
#include "mediad/watch.h"

#include <string.h>

#include "mediad/build.h"
#include "mediad/report.h"
#include "mediad/save.h"
#include "mediad/trouble.h"

#define SILENCE_US 1000000u

struct leg_event watch_event(
	const struct leg *l, enum leg_event_kind kind, enum reason why)
{
	struct leg_event e = {.side = l->side,
		.kind = kind,
		.reason = why,
		.source = l->peer};

	memcpy(e.call, l->media->call, sizeof(e.call));
	return e;
}

static void tell_news(struct leg *l, watch_tell_fn tell, void *arg)
{
	struct leg_event e;

	if (l->news & LEG_NEWS_LEARNED) {
		e = watch_event(l, LEG_EVENT_LEARNED, l->learned);
		if (tell(arg, &e))
			l->news &= (uint8_t)~LEG_NEWS_LEARNED;
	}
	if (l->news & LEG_NEWS_FIRST) {
		e = watch_event(l, LEG_EVENT_FIRST_PACKET, REASON_RTP_OK);
		if (tell(arg, &e))
			l->news &= (uint8_t)~LEG_NEWS_FIRST;
	}
}

static uint64_t later(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static void watch_timeout(
	struct leg *l, uint64_t now_us, watch_tell_fn tell, void *arg)
{
	uint64_t since = later(l->must_send_since_us, l->last_alive_us);
	struct leg_event e;

	if (!l->config.must_send || l->config.timeout_us == 0)
		return;
	/* With comfort noise silence is normal: only one whose reports have
	 * stopped as well is gone. */
	if (l->config.pauses && l->n.rtcp_rx == 0)
		return;
	if (now_us - since < l->config.timeout_us) {
		l->timed_out = false;
		return;
	}
	if (l->timed_out)
		return;
	e = watch_event(l, LEG_EVENT_TIMED_OUT, REASON_CALL_MEDIA_TIMEOUT);
	leg_stats(l, now_us, &e.stats);
	l->timed_out = tell(arg, &e);
}

/* A number that this leg's peer does not know; unnegotiated ones are ignored
 * (RFC 3550 section 5.1). */
static uint8_t unused_payload_type(struct leg *l)
{
	uint8_t pt = 126;

	while (pt > 96 && leg_rule(l, pt) != NULL)
		pt--;
	return pt;
}

static void keep_alive(
	struct leg *l, const struct watch_rules *rules, uint64_t now_us)
{
	_Alignas(4) uint8_t bytes[RTP_HEADER_LEN + SRTP_TRAILER_MAX];
	struct rtp_fields fields;
	size_t len = RTP_HEADER_LEN;

	if (l->lock == LEG_OPEN || !l->has_target ||
		now_us - l->last_tx_us < rules->keepalive_us)
		return;
	if (l->config.rtcp_mux) {
		report_send(l, false, now_us);
		return;
	}
	stream_insert(&l->tx, unused_payload_type(l), now_us, &fields);
	(void)build_header(bytes + RTP_HEADER_LEN, &fields);
	save_sent(l);
	if (leg_protect(l, bytes, &len) == REASON_RTP_OK)
		(void)leg_send(l, bytes, len);
	l->last_tx_us = now_us;
}

static void watch_reports(struct leg *l, uint64_t interval_us, uint64_t now_us)
{
	/* The first one comes early (RFC 3550 section 6.2). */
	if (l->srtp_tx != NULL && !srtp_leg_catch_up(l->srtp_tx))
		return;
	if (l->report_due_us == 0)
		l->report_due_us = now_us + report_delay_us(interval_us / 2);
	if (now_us < l->report_due_us)
		return;
	l->report_due_us = now_us + report_delay_us(interval_us);
	report_send(l, false, now_us);
}

void watch_leg(struct leg *l, const struct watch_rules *rules, uint64_t now_us,
	watch_tell_fn tell, void *arg)
{
	if (!leg_is_open(l))
		return;
	if (now_us - l->last_rx_us > SILENCE_US)
		leg_loosen(l);
	watch_reports(l, rules->report_interval_us, now_us);
	keep_alive(l, rules, now_us);
	if (l->news != 0)
		tell_news(l, tell, arg);
	watch_timeout(l, now_us, tell, arg);
	trouble_watch(l, rules, now_us, tell, arg);
	save_slow(l);
}
