/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pipeline of a media packet on one screen (path_packet). Cheap refusals
 * come first; nothing that a refused packet says changes anything, except the
 * counter of its reason and the token bucket. A source is learned only after
 * its packet passed every other check (and, with SRTP, authentication).
 * Called by worker.c; RFC 3550, 3711, 7983.
 */
#include "mediad/path.h"

#include <errno.h>
#include <sys/socket.h>

#include "common/clock.h"
#include "mediad/build.h"
#include "mediad/report.h"
#include "mediad/save.h"

/* Packets that are taken at once while the queue of before a connect() is
 * sorted out. */
#define DRAIN_MAX 64

/* A packet on its way through the steps. */
struct arrival {
	uint8_t *bytes;
	size_t len;
	const struct addr *from; /* NULL: the kernel checked it */
	enum leg_trust trust;
	enum reason decision; /* a candidate's */
	struct rtp_view view;
	const struct leg_rule *rule;
	uint16_t before; /* newest number before this one */
	bool had_before;
	bool joint;
};

static enum reason match_source(
	struct path *p, struct leg *in, struct arrival *a)
{
	a->trust = LEG_TRUST_PEER;
	if (a->from == NULL)
		return REASON_RTP_OK;
	a->trust = leg_judge(in, a->from, &a->decision, p->now_us);
	return a->trust == LEG_TRUST_NO ? REASON_RTP_SOURCE : REASON_RTP_OK;
}

static enum reason match_rate(struct path *p, struct leg *in, size_t len)
{
	/* Nothing was agreed on yet: to be early is no offence. */
	if (in->config.n_rules == 0)
		return REASON_RTP_DIRECTION;
	if (token_take(&in->packets, 1, p->now_us) &&
		token_take(&in->octets, (uint32_t)len, p->now_us))
		return REASON_RTP_OK;
	return REASON_RTP_RATE;
}

static enum reason match_payload(struct leg *in, struct arrival *a)
{
	a->rule = leg_rule(in, a->view.pt);
	return a->rule ? REASON_RTP_OK : REASON_RTP_PAYLOAD_TYPE;
}

static enum reason match_ssrc(struct path *p, struct leg *in, struct arrival *a)
{
	bool free = p->now_us < in->ssrc_free_until_us;

	/* Authentication proves a source; too many would eat memory. */
	if (in->srtp_rx != NULL && in->rx.heard &&
		a->view.ssrc != in->rx.ssrc &&
		!srtp_leg_may_change(in->srtp_rx, a->view.ssrc))
		return REASON_RTP_SSRC;
	if (a->trust == LEG_TRUST_CANDIDATE)
		return REASON_RTP_OK; /* on its own probation */
	if (in->srtp_rx == NULL)
		return source_match(&in->rx, &a->view, free, p->now_us);
	return source_alone(&in->rx, &a->view, free, p->now_us);
}

/* SRTP: authenticated and decrypted before anything is believed. */
static enum reason unprotect(struct leg *in, struct arrival *a)
{
	if (in->srtp_rx == NULL)
		return in->config.srtp_required ? REASON_RTP_PLAIN
						: REASON_RTP_OK;
	return srtp_leg_open(in->srtp_rx, a->bytes, &a->len);
}

static enum reason match_size(struct arrival *a)
{
	if (a->view.payload_len == 0)
		return REASON_RTP_EMPTY;
	return codec_fits(&a->rule->limits, a->view.payload_len)
		       ? REASON_RTP_OK
		       : REASON_RTP_SIZE;
}

static enum reason match_stream(
	struct path *p, struct leg *in, struct arrival *a)
{
	const struct source_media media = {
		.clock = a->rule->clock, .event = a->rule->event};

	if (a->trust == LEG_TRUST_CANDIDATE) {
		enum reason why = leg_prove(in, a->from, a->decision, &a->view,
			in->srtp_rx != NULL, p->now_us);

		if (why != REASON_RTP_OK)
			return why;
	}
	a->had_before = in->rx.heard;
	a->before = in->rx.max_seq;
	return source_receive(&in->rx, &a->view, &media, p->now_us, &a->joint);
}

/* Only the newest packet tells what is missing; one that was overtaken has
 * been counted as missed. */
static void note_burst(struct leg *in, const struct arrival *a)
{
	uint16_t ahead = (uint16_t)(a->view.seq - a->before);

	if (a->joint || !a->had_before)
		burst_on_packet(&in->burst, 0);
	else if (ahead != 0 && ahead < SOURCE_MAX_DROPOUT)
		burst_on_packet(&in->burst, ahead - 1u);
}

/* The packet is good: figures, time-outs, and the lock on its source. */
static void note_received(struct path *p, struct leg *in, struct arrival *a)
{
	uint64_t gap = p->now_us - in->last_rx_us;

	if (!in->started) {
		in->started = true;
		in->n.wall_first_us = clock_wall_us();
		in->news |= LEG_NEWS_FIRST;
	} else if (in->flowing && !a->view.marker && gap > in->n.gap_max_us) {
		/* A marker says that the silence before it was meant. */
		in->n.gap_max_us = gap;
	}
	in->flowing = true;
	if (in->config.rtcp_xr)
		note_burst(in, a);
	in->n.rx_packets++;
	in->n.rx_octets += a->view.payload_len;
	if (a->rule->codec->kind < CODEC_EVENT) {
		in->codec = a->rule->codec;
		in->ptime_us = a->rule->ptime_us;
	} else if (a->rule->event) {
		leg_note_event(in, a->bytes + a->view.payload_at,
			a->view.payload_len, a->view.ts);
	}
	leg_heard(in, p->now_us);
	/* After a joint the slow words are of another source. */
	if (a->joint)
		save_slow(in);
	save_received(in);
	path_count(&p->n.rtp_rx);
}

static enum reason match_direction(struct leg *in, struct leg *out)
{
	if (!leg_is_open(out) || !out->has_target) {
		stream_unjoin(&out->tx);
		return REASON_RTP_NO_TARGET;
	}
	if (!in->config.may_send || !out->config.may_receive) {
		stream_unjoin(&out->tx);
		return REASON_RTP_DIRECTION;
	}
	return REASON_RTP_OK;
}

static enum reason send_on(struct path *p, struct leg *out, struct arrival *a)
{
	const struct stream_input input = {
		.clock = a->rule->clock,
		.ptime_us = a->rule->ptime_us,
		.pt = a->rule->peer_pt,
		.joint = a->joint,
	};
	struct rtp_fields fields;
	size_t len = RTP_HEADER_LEN + a->view.payload_len;
	uint8_t *packet;
	enum reason why =
		stream_map(&out->tx, &a->view, &input, p->now_us, &fields);

	if (why != REASON_RTP_OK)
		return why;
	packet = build_header(a->bytes + a->view.payload_at, &fields);
	save_sent(out);
	why = leg_protect(out, packet, &len);
	if (why != REASON_RTP_OK)
		return why;
	why = leg_send(out, packet, len);
	if (why != REASON_RTP_OK)
		return why;
	out->n.tx_packets++;
	out->n.tx_octets += a->view.payload_len;
	out->last_tx_us = p->now_us;
	save_sent_figures(out);
	path_count(&p->n.rtp_tx);
	return REASON_RTP_OK;
}

/* demux: RTP goes on, RTCP is consumed where it may share the port. */
static enum reason match_class(
	const struct leg *in, const struct arrival *a, bool *is_rtcp_out)
{
	enum demux_class class = demux_classify(a->bytes, a->len);

	*is_rtcp_out = false;
	if (class == DEMUX_RTP)
		return REASON_RTP_OK;
	if (class == DEMUX_NONE)
		return a->len < RTP_HEADER_LEN ? REASON_RTP_SHORT
					       : REASON_RTP_VERSION;
	if (class == DEMUX_STUN)
		return REASON_RTP_STUN;
	if (class != DEMUX_RTCP || !in->config.rtcp_mux)
		return REASON_RTP_CLASS;
	*is_rtcp_out = true;
	return REASON_RTP_OK;
}

#define STEP(call)                                                             \
	do {                                                                   \
		enum reason step_why_ = (call);                                \
		if (step_why_ != REASON_RTP_OK)                                \
			return step_why_;                                      \
	} while (0)

enum reason path_packet(
	struct path *p, struct leg *in, size_t len, const struct addr *from)
{
	struct arrival a = {
		.bytes = p->buffer + PATH_HEADROOM, .len = len, .from = from};
	bool is_rtcp;

	STEP(match_source(p, in, &a));
	STEP(match_class(in, &a, &is_rtcp));
	if (is_rtcp)
		return report_receive(in, a.bytes, a.len,
			a.trust == LEG_TRUST_PEER, p->now_us);
	STEP(check_fixed(a.bytes, a.len, &a.view));
	STEP(match_rate(p, in, a.len));
	STEP(check_bounds(a.bytes, a.len, &a.view));
	STEP(match_payload(in, &a));
	STEP(match_ssrc(p, in, &a));
	STEP(unprotect(in, &a));
	STEP(check_padding(a.bytes, a.len, &a.view));
	STEP(match_size(&a));
	STEP(match_stream(p, in, &a));
	note_received(p, in, &a);
	STEP(match_direction(in, in->other));
	return send_on(p, in->other, &a);
}

/* One datagram into the buffer. @return its length, or a negative errno. */
static ssize_t receive(int fd, struct path *p, struct addr *from)
{
	struct sockaddr_storage sa;
	socklen_t sa_len = sizeof(sa);
	ssize_t n;

	/* MSG_TRUNC: the true length of a datagram that is too big. */
	if (from == NULL) {
		n = recv(fd, p->buffer + PATH_HEADROOM, PATH_BUFFER,
			MSG_DONTWAIT | MSG_TRUNC);
		return n < 0 ? -errno : n;
	}
	n = recvfrom(fd, p->buffer + PATH_HEADROOM, PATH_BUFFER,
		MSG_DONTWAIT | MSG_TRUNC, (struct sockaddr *)&sa, &sa_len);
	if (n < 0)
		return -errno;
	if (addr_from_sockaddr((struct sockaddr *)&sa, sa_len, from) < 0)
		*from = (struct addr){0};
	return n;
}

static void count(struct path *p, struct leg *l, enum reason why)
{
	leg_drop(l, why);
	path_count(&p->n.drops[why - REASON_RTP_OK]);
}

/* @return whether there may be more. */
static bool take_one(struct path *p, struct leg *l)
{
	bool checked = l->lock == LEG_LOCKED && !l->draining;
	struct addr from;
	ssize_t n = receive(l->rtp_fd, p, checked ? NULL : &from);
	enum reason why;

	if (n == -EAGAIN) {
		l->draining = false;
		return false;
	}
	if (n < 0) {
		/* An ICMP error for something we sent: no reason to end. */
		l->n.icmp++;
		path_count(&p->n.icmp);
		return true;
	}
	why = path_packet(p, l, (size_t)n, checked ? NULL : &from);
	if (why != REASON_RTP_OK && why != REASON_RTCP_OK)
		count(p, l, why);
	return true;
}

void path_on_rtp(struct path *p, struct leg *l)
{
	int n = l->draining ? DRAIN_MAX : 1;

	while (n-- > 0 && take_one(p, l))
		;
}

/* Nothing but RTCP has a business here. */
static enum reason take_report(
	struct path *p, struct leg *l, size_t len, const struct addr *from)
{
	uint8_t *bytes = p->buffer + PATH_HEADROOM;
	enum demux_class class = demux_classify(bytes, len);

	if (!leg_rtcp_source(l, from))
		return REASON_RTCP_SOURCE;
	if (class == DEMUX_STUN)
		return REASON_RTP_STUN;
	if (class == DEMUX_DTLS || class == DEMUX_OTHER || class == DEMUX_RTP)
		return REASON_RTP_CLASS;
	return report_receive(l, bytes, len, true, p->now_us);
}

void path_on_rtcp(struct path *p, struct leg *l)
{
	struct addr from;
	ssize_t n = receive(l->rtcp_fd, p, &from);
	enum reason why;

	if (n < 0) {
		if (n != -EAGAIN) {
			l->n.icmp++;
			path_count(&p->n.icmp);
		}
		return;
	}
	why = take_report(p, l, (size_t)n, &from);
	if (why != REASON_RTCP_OK) {
		count(p, l, why);
		return;
	}
	if (!addr_is_set(&l->rtcp_peer))
		l->rtcp_peer = from;
}
