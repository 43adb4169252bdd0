/* SPDX-License-Identifier: Apache-2.0 */
/*
 * State of one side of a call: where its media comes from and goes to. leg.h
 * has the drawing. path.c asks for each packet, watch.c several times a
 * second, worker.c when the wanted state changes; all on the worker's thread.
 *
 * Connecting the socket to the learned source makes the kernel refuse
 * everybody else before we are woken. Packets that were queued before the
 * connect() are still handed out, so the source is compared by us until the
 * queue was seen empty once (`draining`).
 */
#include "mediad/leg.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"
#include "mediad/port.h"

/* A learned source that was silent this long has lost its first call on the
 * address while signaling allows to learn anew. */
#define INCUMBENT_SILENCE_US 200000u
/* So many packets of the old source end a chance to learn anew. */
#define RELEARN_PACKETS      50u
/* A candidate that paused this long begins again. */
#define CANDIDATE_PAUSE_US   200000u
/* A peer may come with a new SSRC this long after signaling. */
#define SSRC_FREE_US         (5u * 1000 * 1000)
/* Own clock of reports: at most so many from a peer. RFC 3550 wants one in
 * five seconds; a peer may send some at once when it starts. */
#define REPORTS_PER_S        5u
#define REPORTS_BURST        20u
/* Events 0 to 15 are keys, 16 is flash (RFC 4733 section 3.2). */
#define EVENT_KEY_MAX        15u

void leg_config_done(struct leg_config *config)
{
	free(config->learn.networks);
	config->learn.networks = NULL;
	config->learn.n_networks = 0;
	free(config->rules);
	config->rules = NULL;
	config->n_rules = 0;
}

void leg_config_move(struct leg_config *to, struct leg_config *from)
{
	*to = *from;
	from->learn.networks = NULL;
	from->learn.n_networks = 0;
	from->rules = NULL;
	from->n_rules = 0;
}

void leg_begin(struct leg *l, struct leg_birth *birth, uint64_t now_us)
{
	struct leg *other = l->other;
	struct media *media = l->media;
	enum side side = l->side;

	*l = (struct leg){
		.other = other,
		.media = media,
		.side = side,
		.rtp_fd = birth->rtp_fd,
		.rtcp_fd = birth->rtcp_fd,
		.config.dscp = birth->dscp,
		.bound = birth->bound,
		.tx = birth->tx,
		.words = birth->words,
		.learned = REASON_NONE,
		.must_send_since_us = now_us,
		.last_tx_us = now_us,
	};
	memcpy(l->cname, birth->cname, sizeof(l->cname));
	birth->rtp_fd = birth->rtcp_fd = -1;
	token_init(&l->reports, REPORTS_PER_S, REPORTS_BURST, now_us);
}

void leg_end(struct leg *l)
{
	if (l->rtp_fd >= 0)
		close(l->rtp_fd);
	if (l->rtcp_fd >= 0)
		close(l->rtcp_fd);
	srtp_leg_free(&l->srtp_rx);
	srtp_leg_free(&l->srtp_tx);
	leg_config_done(&l->config);
	l->last_rule = NULL;
	l->rtp_fd = l->rtcp_fd = -1;
	l->lock = LEG_OPEN;
	l->has_target = false;
	l->words = NULL;
}

/* ------------------------------------------------- where media goes */

static struct addr next_port(struct addr a)
{
	if (addr_is_set(&a) && a.port != 0 && a.port != UINT16_MAX)
		a.port++;
	return a;
}

/* A trunk's gateway that sends from elsewhere in its networks still wants
 * to hear at the address that it signaled; anybody behind NAT can be reached
 * only where he came from. */
static void aim(struct leg *l)
{
	const struct learn_rules *r = &l->config.learn;
	bool signaled = learn_may_send(r, &r->signaled);
	bool heard = l->lock != LEG_OPEN;

	if (heard && !(l->learned == REASON_LEARN_NETWORK && signaled))
		l->target = l->peer;
	else if (signaled)
		l->target = r->signaled;
	else
		l->target = (struct addr){0};
	l->has_target = addr_is_set(&l->target);
	l->target_is_peer = heard && addr_equal(&l->target, &l->peer);
}

static struct addr signaled_rtcp(const struct leg *l)
{
	const struct leg_config *c = &l->config;

	if (addr_is_set(&c->remote_rtcp))
		return c->remote_rtcp;
	return next_port(c->learn.signaled);
}

struct addr leg_rtcp_target(const struct leg *l)
{
	struct addr a;

	if (l->config.rtcp_mux)
		return l->target;
	if (addr_is_set(&l->rtcp_peer))
		return l->rtcp_peer;
	a = signaled_rtcp(l);
	if (learn_may_send(&l->config.learn, &a))
		return a;
	return (struct addr){0};
}

bool leg_rtcp_source(const struct leg *l, const struct addr *from)
{
	struct addr a = signaled_rtcp(l);

	if (addr_is_set(&l->rtcp_peer) && addr_equal(from, &l->rtcp_peer))
		return true;
	if (addr_is_set(&a) && addr_equal(from, &a))
		return true;
	return l->lock != LEG_OPEN && addr_equal_ip(from, &l->peer);
}

/* ------------------------------------------- where media comes from */

static int disconnect(int fd)
{
	struct sockaddr_storage sa = {.ss_family = AF_UNSPEC};

	return connect(fd, (struct sockaddr *)&sa, sizeof(sa));
}

static void lock(struct leg *l)
{
	struct sockaddr_storage sa;
	socklen_t len = addr_to_sockaddr(&l->peer, &sa);

	if (connect(l->rtp_fd, (struct sockaddr *)&sa, len) < 0) {
		/* No route, for instance: we compare the source ourselves. */
		l->lock = LEG_LOOSE;
		return;
	}
	l->lock = LEG_LOCKED;
	l->draining = true;
}

void leg_loosen(struct leg *l)
{
	if (l->lock != LEG_LOCKED)
		return;
	/* Stays locked if the kernel refuses: the safe side. */
	if (disconnect(l->rtp_fd) < 0)
		return;
	l->lock = LEG_LOOSE;
	l->draining = false;
}

/* To whom the kernel says that the socket is connected. */
static bool connected_to(const struct leg *l, struct addr *peer_out)
{
	struct sockaddr_storage sa;
	socklen_t len = sizeof(sa);

	return getpeername(l->rtp_fd, (struct sockaddr *)&sa, &len) == 0 &&
	       addr_from_sockaddr((struct sockaddr *)&sa, len, peer_out) == 0;
}

void leg_resume_peer(struct leg *l, const struct addr *saved, bool connect)
{
	struct addr peer = *saved;
	bool connected = connected_to(l, &peer);

	if (addr_is_set(&peer))
		l->learned = learn_decide(&l->config.learn, &peer);
	if (!addr_is_set(&peer) || learn_rank(l->learned) == 0) {
		l->learned = REASON_NONE;
		l->relearn = false;
		if (connected)
			(void)disconnect(l->rtp_fd);
		return;
	}
	l->peer = peer;
	l->lock = connected ? LEG_LOCKED : LEG_LOOSE;
	/* What had come before it was connected may still wait. */
	l->draining = connected;
	if (!connected && connect)
		lock(l);
	aim(l);
}

static void learn(struct leg *l, const struct addr *from, enum reason how)
{
	l->peer = *from;
	l->learned = how;
	l->relearn = false;
	memset(l->candidate, 0, sizeof(l->candidate));
	l->news |= LEG_NEWS_LEARNED;
	lock(l);
	aim(l);
}

enum leg_trust leg_judge(struct leg *l, const struct addr *from,
	enum reason *decision_out, uint64_t now_us)
{
	enum reason decision;
	unsigned rank, own;

	if (l->lock != LEG_OPEN && addr_equal(from, &l->peer))
		return LEG_TRUST_PEER;
	if (l->lock != LEG_OPEN && !l->relearn)
		goto refuse;
	decision = learn_decide(&l->config.learn, from);
	rank = learn_rank(decision);
	if (rank == 0)
		goto refuse;
	own = l->lock == LEG_OPEN ? 0 : learn_rank(l->learned);
	if (rank < own)
		goto refuse;
	if (rank == own && now_us - l->last_rx_us < INCUMBENT_SILENCE_US)
		goto refuse;
	*decision_out = decision;
	return LEG_TRUST_CANDIDATE;
refuse:
	l->refused = *from;
	return LEG_TRUST_NO;
}

enum reason leg_prove(struct leg *l, const struct addr *from,
	enum reason decision, const struct rtp_view *v, bool proven,
	uint64_t now_us)
{
	unsigned wanted = proven ? 1 : learn_probation(decision);
	struct leg_candidate *c =
		&l->candidate[decision == REASON_LEARN_OTHER_HOST ? 1 : 0];
	bool paused = now_us - c->at_us > CANDIDATE_PAUSE_US;

	if (wanted <= 1) {
		learn(l, from, decision);
		return REASON_RTP_OK;
	}
	/* Another one waits until the present candidate has paused: a flood
	 * of addresses cannot push an honest candidate out. */
	if (c->run > 0 && !paused && !addr_equal(&c->from, from))
		return REASON_RTP_PROBATION;
	if (paused || !addr_equal(&c->from, from) || c->ssrc != v->ssrc ||
		c->next_seq != v->seq)
		c->run = 0;
	c->from = *from;
	c->ssrc = v->ssrc;
	c->next_seq = (uint16_t)(v->seq + 1);
	c->at_us = now_us;
	c->run++;
	if (c->run < wanted)
		return REASON_RTP_PROBATION;
	learn(l, from, decision);
	return REASON_RTP_OK;
}

/* Without a sign that media was to move, the old source has proved by going
 * on that it is still the one. */
static bool relearn_is_over(struct leg *l)
{
	if (l->learned == REASON_LEARN_SIGNALED)
		return true;
	if (l->signaled_moved &&
		learn_may_send(&l->config.learn, &l->config.learn.signaled))
		return false;
	return ++l->relearn_packets >= RELEARN_PACKETS;
}

void leg_heard(struct leg *l, uint64_t now_us)
{
	l->last_rx_us = now_us;
	l->last_alive_us = now_us;
	if (l->lock != LEG_LOOSE)
		return;
	if (l->relearn) {
		if (!relearn_is_over(l))
			return;
		l->relearn = false;
	}
	lock(l);
	aim(l);
}

/* Signaling allows another source. */
static void allow_learning(struct leg *l, bool moved, uint64_t now_us)
{
	l->ssrc_free_until_us = now_us + SSRC_FREE_US;
	l->rtcp_peer = (struct addr){0};
	memset(l->candidate, 0, sizeof(l->candidate));
	if (l->lock == LEG_OPEN)
		return;
	leg_loosen(l);
	l->relearn = true;
	l->relearn_packets = 0;
	l->signaled_moved = moved;
	/* The old source has to fit what signaling says now. */
	l->learned = learn_decide(&l->config.learn, &l->peer);
	if (learn_rank(l->learned) > 0)
		return;
	if (l->lock == LEG_LOCKED && disconnect(l->rtp_fd) < 0)
		return;
	l->lock = LEG_OPEN;
	l->draining = false;
	l->relearn = false;
}

static void apply_rate(struct leg *l, uint64_t now_us)
{
	const struct leg_config *c = &l->config;
	uint32_t packets = c->packets_per_s + c->packets_per_s / 5;
	uint32_t octets = c->octets_per_s + c->octets_per_s / 5;
	/* Half a second may come at once after a stall of the network. */
	uint32_t burst = packets / 2 < 20 ? 20 : packets / 2;

	if (l->packets.rate == packets && l->octets.rate == octets)
		return;
	token_init(&l->packets, packets, burst, now_us);
	token_init(&l->octets, octets, octets / 2 < 4000 ? 4000 : octets / 2,
		now_us);
}

/* Whether signaling moved the peer: by number, or because an accepted offer or
 * answer names another address, or because somebody else signals now. */
static bool is_anew(const struct leg_config *old, const struct leg_config *now)
{
	const struct addr *a = &now->learn.signaled;
	const struct addr *b = &now->learn.signaling;

	if (!old->wanted)
		return false;
	return old->learn_generation != now->learn_generation ||
	       (addr_is_set(a) && !addr_equal(a, &old->learn.signaled)) ||
	       (addr_is_set(b) && !addr_equal_ip(b, &old->learn.signaling));
}

static void mark_packets(struct leg *l, uint8_t dscp)
{
	if (dscp == l->config.dscp)
		return;
	port_set_dscp(l->rtp_fd, l->bound.family, dscp);
	if (l->rtcp_fd >= 0)
		port_set_dscp(l->rtcp_fd, l->bound.family, dscp);
}

void leg_apply(struct leg *l, struct leg_config *config, uint64_t now_us)
{
	struct leg_config *c = &l->config;
	bool anew = is_anew(c, config);
	bool moved = !addr_equal(&c->learn.signaled, &config->learn.signaled);
	bool obliged = config->must_send && !c->must_send;
	bool turned = config->may_send != c->may_send;

	mark_packets(l, config->dscp);
	leg_config_done(c);
	leg_config_move(c, config);
	c->learn.bound = l->bound;
	l->last_rule = NULL;
	apply_rate(l, now_us);
	if (obliged) {
		l->must_send_since_us = now_us;
		l->timed_out = false;
		l->one_way = l->no_sound = false;
	}
	if (anew)
		allow_learning(l, moved, now_us);
	/* After a hold our stream to the other side is joined anew. */
	if (turned) {
		l->flowing = false;
		stream_unjoin(&l->other->tx);
	}
	aim(l);
}

const struct leg_rule *leg_rule(struct leg *l, uint8_t pt)
{
	if (l->last_rule != NULL && l->last_rule->pt == pt)
		return l->last_rule;
	for (unsigned i = 0; i < l->config.n_rules; i++)
		if (l->config.rules[i].pt == pt)
			return l->last_rule = &l->config.rules[i];
	return NULL;
}

/* ---------------------------------------------------------- sending */

static ssize_t send_to(
	int fd, const struct addr *to, const uint8_t *bytes, size_t len)
{
	struct sockaddr_storage sa;
	socklen_t sa_len = addr_to_sockaddr(to, &sa);

	return sendto(fd, bytes, len, MSG_DONTWAIT | MSG_NOSIGNAL,
		(struct sockaddr *)&sa, sa_len);
}

static ssize_t send_once(struct leg *l, const uint8_t *bytes, size_t len)
{
	if (l->lock == LEG_LOCKED && l->target_is_peer)
		return send(l->rtp_fd, bytes, len, MSG_DONTWAIT | MSG_NOSIGNAL);
	return send_to(l->rtp_fd, &l->target, bytes, len);
}

/* An ICMP error that came for an earlier packet is reported instead of
 * sending this one. */
static bool is_icmp(int err)
{
	return err == ECONNREFUSED || err == EHOSTUNREACH ||
	       err == ENETUNREACH || err == EPROTO || err == ENOPROTOOPT;
}

enum reason leg_protect(struct leg *l, uint8_t *bytes, size_t *len)
{
	if (l->srtp_tx == NULL)
		return l->config.srtp_required ? REASON_RTP_PLAIN
					       : REASON_RTP_OK;
	return srtp_leg_protect(l->srtp_tx, bytes, len) ? REASON_RTP_OK
							: REASON_RTP_SEND;
}

enum reason leg_send(struct leg *l, const uint8_t *bytes, size_t len)
{
	ssize_t n;

	if (!l->has_target)
		return REASON_RTP_NO_TARGET;
	n = send_once(l, bytes, len);
	if (n < 0 && is_icmp(errno)) {
		l->n.icmp++;
		n = send_once(l, bytes, len);
	}
	return n < 0 ? REASON_RTP_SEND : REASON_RTP_OK;
}

enum reason leg_send_rtcp(struct leg *l, const uint8_t *bytes, size_t len)
{
	struct addr to;

	if (l->config.rtcp_mux)
		return leg_send(l, bytes, len);
	to = leg_rtcp_target(l);
	if (l->rtcp_fd < 0 || !addr_is_set(&to))
		return REASON_RTP_NO_TARGET;
	if (send_to(l->rtcp_fd, &to, bytes, len) < 0)
		return REASON_RTP_SEND;
	return REASON_RTP_OK;
}

/* ---------------------------------------------------------- figures */

/* An event is repeated in many packets, all with the time of its start (RFC
 * 4733 section 2.5.1.2). */
void leg_note_event(
	struct leg *l, const uint8_t *payload, size_t len, uint32_t ts)
{
	struct leg_digit *d = &l->digit;

	if (len == 0 || payload[0] > EVENT_KEY_MAX)
		return;
	if (d->known && d->ts == ts && d->event == payload[0])
		return;
	*d = (struct leg_digit){.known = true, .event = payload[0], .ts = ts};
	l->n.rx_digits++;
}

void leg_stats(const struct leg *l, uint64_t now_us, struct leg_stats *out)
{
	*out = (struct leg_stats){
		.n = l->n,
		.expected = source_expected(&l->rx),
		.lost = source_lost(&l->rx),
		.jitter_us = source_jitter_us(&l->rx),
		.rtt_us = l->rtt_us,
		.peer_jitter_us = l->peer_jitter_us,
		.opinion = l->opinion,
		.peer_lost = l->peer_lost > 0 ? (uint64_t)l->peer_lost : 0,
		.learned = l->learned,
		.refused = l->refused,
		.peer = l->peer,
		.codec = l->codec,
		.ptime_us = l->ptime_us,
		.wanted_ptime_us = l->other->config.tx_ptime_us,
	};
	if (l->started)
		out->wall_last_us = clock_wall_us() - (now_us - l->last_rx_us);
}
