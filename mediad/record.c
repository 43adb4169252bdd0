/* SPDX-License-Identifier: Apache-2.0 */
/*
 * struct <-> live.h. Enums of ours that may be renumbered are written by their
 * stable numbers (reasons) or names (codecs); suites and NAT modes have numbers
 * that do not change. Reading checks all against the bounds that want.c gives
 * to messages, because the same code runs on it.
 *
 * Another layout than LIVE_LAYOUT is ERR_VERSION: the next layout's program
 * gets a branch here that reads this one.
 *
 * Called by session.c and farewell.c, on the control thread.
 */
#include "mediad/record.h"

#include <stdlib.h>
#include <string.h>

#include "common/secret.h"

_Static_assert(SRTP_SUITE_COUNT == 6 && SRTP_SUITE_AEAD_AES_256_GCM == 5,
	"suites keep their numbers");
_Static_assert(LEARN_NAT_AUTO == 0 && LEARN_NAT_NEVER == 2,
	"NAT modes keep their numbers");
_Static_assert(sizeof(((struct live_key *)0)->bytes) >= SRTP_MASTER_MAX, "");
_Static_assert(LIVE_CALL_SIZE >= IDENT_CALL_SIZE, "");
_Static_assert(LIVE_CNAME_SIZE >= LEG_CNAME_SIZE, "");

#define CLOCK_MAX 192000u
#define PT_MAX    127u
#define DSCP_MAX  63u
#define PTIME_MIN 1000u

/* ------------------------------------------------------------------ parts */

static void put_head(struct live_head *h, size_t size, const char *call)
{
	*h = (struct live_head){.magic = LIVE_MAGIC,
		.layout = LIVE_LAYOUT,
		.size = (uint32_t)size};
	memcpy(h->call, call, IDENT_CALL_SIZE);
}

static int check_head(const uint8_t *bytes, size_t len, size_t size, char *call)
{
	struct live_head h;

	if (len < sizeof(h))
		return ERR_CORRUPT;
	memcpy(&h, bytes, sizeof(h));
	if (h.magic != LIVE_MAGIC)
		return ERR_CORRUPT;
	if (h.layout != LIVE_LAYOUT)
		return ERR_VERSION;
	if (h.size != size || len < size || h.call[IDENT_CALL_LEN] != '\0' ||
		!ident_is_call(h.call))
		return ERR_CORRUPT;
	memcpy(call, h.call, IDENT_CALL_SIZE);
	return 0;
}

static struct live_addr put_addr(const struct addr *a)
{
	struct live_addr out = {0};

	if (!addr_is_set(a))
		return out;
	memcpy(out.ip, a->ip, sizeof(out.ip));
	out.scope_id = a->scope_id;
	out.port = a->port;
	out.family = a->family == AF_INET6 ? 6 : 4;
	return out;
}

static bool get_addr(const struct live_addr *a, struct addr *out)
{
	*out = (struct addr){0};
	if (a->family == 0)
		return true;
	if (a->family != 4 && a->family != 6)
		return false;
	out->family = a->family == 6 ? AF_INET6 : AF_INET;
	out->port = a->port;
	out->scope_id = a->scope_id;
	memcpy(out->ip, a->ip, sizeof(out->ip));
	return true;
}

static bool get_text(char *to, const char *from, size_t size)
{
	if (memchr(from, '\0', size) == NULL)
		return false;
	memcpy(to, from, size);
	return true;
}

static void put_key(const struct srtp_master *m, struct live_key *k)
{
	*k = (struct live_key){.suite = (uint8_t)m->suite, .len = m->len};
	memcpy(k->bytes, m->bytes, m->len);
}

static bool get_key(const struct live_key *k, struct srtp_master *m)
{
	*m = (struct srtp_master){.suite = SRTP_SUITE_NONE};
	if (k->suite >= SRTP_SUITE_COUNT ||
		k->len != srtp_master_len((enum srtp_suite)k->suite))
		return false;
	m->suite = (enum srtp_suite)k->suite;
	m->len = k->len;
	memcpy(m->bytes, k->bytes, k->len);
	return true;
}

static void put_rule(const struct leg_rule *r, struct live_rule *out)
{
	*out = (struct live_rule){
		.clock = r->clock,
		.ptime_us = r->ptime_us,
		.min_octets = r->limits.min_octets,
		.max_octets = r->limits.max_octets,
		.step = r->limits.step,
		.rest = r->limits.rest,
		.nominal_octets = r->limits.nominal_octets,
		.pt = r->pt,
		.peer_pt = r->peer_pt,
		.event = r->event,
	};
	strncpy(out->codec, r->codec->name, sizeof(out->codec) - 1);
}

static bool get_rule(const struct live_rule *r, struct leg_rule *out)
{
	char name[LIVE_CODEC_SIZE];

	if (!get_text(name, r->codec, sizeof(name)) || r->pt > PT_MAX ||
		r->peer_pt > PT_MAX || r->clock == 0 || r->clock > CLOCK_MAX ||
		r->ptime_us < PTIME_MIN)
		return false;
	*out = (struct leg_rule){
		.codec = codec_find(name, r->clock),
		.clock = r->clock,
		.ptime_us = r->ptime_us,
		.limits = {.min_octets = r->min_octets,
			.max_octets = r->max_octets,
			.step = r->step,
			.rest = r->rest,
			.nominal_octets = r->nominal_octets},
		.pt = r->pt,
		.peer_pt = r->peer_pt,
		.event = r->event != 0,
	};
	return out->event == (out->codec->kind == CODEC_EVENT);
}

/* ------------------------------------------------------------------- plan */

static void put_side(const struct record_side *r, struct live_side *out)
{
	const struct session_side *s = &r->side;
	const struct leg_config *c = &r->config;

	*out = (struct live_side){
		.wanted = c->wanted,
		.may_send = c->may_send,
		.must_send = c->must_send,
		.may_receive = c->may_receive,
		.rtcp_mux = c->rtcp_mux,
		.srtp_required = c->srtp_required,
		.dscp = c->dscp,
		.nat = (uint8_t)c->learn.nat,
		.behind_nat = c->learn.behind_nat,
		.rtcp_open = s->rtcp_open,
		.n_rules = c->n_rules,
		.n_networks = c->learn.n_networks,
		.realm = s->realm,
		.learn_generation = c->learn_generation,
		.birth = s->birth,
		.rx_key_number = s->rx_key,
		.tx_key_number = s->tx_key,
		.packets_per_s = c->packets_per_s,
		.octets_per_s = c->octets_per_s,
		.timeout_us = c->timeout_us,
		.ssrc = s->first.ssrc,
		.first_ts = s->first.ts,
		.first_seq = s->first.seq,
		.rtcp_xr = c->rtcp_xr,
		.tx_ptime_us = c->tx_ptime_us,
		.rtp = put_addr(&s->lease.rtp),
		.signaled = put_addr(&c->learn.signaled),
		.signaling = put_addr(&c->learn.signaling),
		.remote_rtcp = put_addr(&c->remote_rtcp),
	};
	memcpy(out->cname, s->cname, sizeof(s->cname));
	put_key(&r->receive, &out->receive);
	put_key(&r->send, &out->send);
}

size_t record_plan_write(const struct record_plan *plan, uint8_t *bytes)
{
	struct live_plan p = {.version = plan->version,
		.opened_wall_us = plan->opened_wall_us};
	uint8_t *at = bytes + sizeof(p);

	put_head(&p.head, sizeof(p), plan->call);
	for (unsigned i = 0; i < SIDE_COUNT; i++)
		put_side(&plan->side[i], &p.side[i]);
	memcpy(bytes, &p, sizeof(p));
	secret_wipe(&p, sizeof(p));
	for (unsigned i = 0; i < SIDE_COUNT; i++) {
		const struct leg_config *c = &plan->side[i].config;
		struct live_rule rule;

		for (unsigned n = 0; n < c->n_rules; n++) {
			put_rule(&c->rules[n], &rule);
			memcpy(at, &rule, sizeof(rule));
			at += sizeof(rule);
		}
	}
	for (unsigned i = 0; i < SIDE_COUNT; i++) {
		const struct learn_rules *l = &plan->side[i].config.learn;

		for (unsigned n = 0; n < l->n_networks; n++) {
			struct live_net net = {
				.base = put_addr(&l->networks[n].base),
				.prefix_len = l->networks[n].prefix_len};

			memcpy(at, &net, sizeof(net));
			at += sizeof(net);
		}
	}
	return (size_t)(at - bytes);
}

static bool get_side(const struct live_side *s, struct record_side *out)
{
	struct session_side *side = &out->side;
	struct leg_config *c = &out->config;

	plan_side_init(side);
	side->birth = s->birth;
	side->rx_key = s->rx_key_number;
	side->tx_key = s->tx_key_number;
	if (s->wanted == 0)
		return s->n_rules == 0 && s->n_networks == 0;
	if (s->n_rules > LEG_RULES_MAX || s->n_networks > LEARN_NETWORKS_MAX ||
		s->dscp > DSCP_MAX || s->nat > LEARN_NAT_NEVER ||
		s->realm == 0 || s->birth == 0 ||
		!get_text(side->cname, s->cname, sizeof(side->cname)) ||
		!get_addr(&s->rtp, &side->lease.rtp) ||
		!addr_is_set(&side->lease.rtp) || side->lease.rtp.port == 0 ||
		side->lease.rtp.port % 2 != 0 ||
		!get_addr(&s->signaled, &c->learn.signaled) ||
		!get_addr(&s->signaling, &c->learn.signaling) ||
		!get_addr(&s->remote_rtcp, &c->remote_rtcp) ||
		!get_key(&s->receive, &out->receive) ||
		!get_key(&s->send, &out->send))
		return false;
	side->realm = s->realm;
	side->rtcp_open = s->rtcp_open != 0;
	side->rtcp_mux = s->rtcp_mux != 0;
	side->first.ssrc = side->ssrc = s->ssrc;
	side->first.ts = s->first_ts;
	side->first.seq = s->first_seq;
	c->wanted = true;
	c->may_send = s->may_send != 0;
	c->must_send = s->must_send != 0;
	c->may_receive = s->may_receive != 0;
	c->rtcp_mux = s->rtcp_mux != 0;
	c->srtp_required = s->srtp_required != 0;
	c->dscp = s->dscp;
	c->learn.nat = (enum learn_nat)s->nat;
	c->learn.behind_nat = s->behind_nat != 0;
	c->learn.bound = side->lease.rtp;
	c->learn_generation = s->learn_generation;
	c->packets_per_s = s->packets_per_s;
	c->octets_per_s = s->octets_per_s;
	c->timeout_us = s->timeout_us;
	c->rtcp_xr = s->rtcp_xr != 0;
	c->tx_ptime_us = s->tx_ptime_us;
	c->n_rules = s->n_rules;
	return true;
}

static int get_networks(struct learn_rules *l, unsigned n, const uint8_t *bytes)
{
	if (n == 0)
		return 0;
	l->networks = calloc(n, sizeof(l->networks[0]));
	if (l->networks == NULL)
		return ERR_NOMEM;
	l->n_networks = (uint8_t)n;
	for (unsigned i = 0; i < n; i++) {
		struct live_net net;

		memcpy(&net, bytes + i * sizeof(net), sizeof(net));
		if (!get_addr(&net.base, &l->networks[i].base) ||
			!addr_is_set(&l->networks[i].base) ||
			net.prefix_len > (net.base.family == 6 ? 128 : 32))
			return ERR_CORRUPT;
		l->networks[i].prefix_len = net.prefix_len;
	}
	return 0;
}

/* What stands behind the fixed part. */
static int get_lists(
	const struct live_plan *p, const uint8_t *at, struct record_plan *plan)
{
	for (unsigned i = 0; i < SIDE_COUNT; i++) {
		struct leg_config *c = &plan->side[i].config;

		c->rules = calloc(p->side[i].n_rules + 1u, sizeof(*c->rules));
		if (c->rules == NULL)
			return ERR_NOMEM;
		for (unsigned n = 0; n < p->side[i].n_rules; n++) {
			struct live_rule rule;

			memcpy(&rule, at, sizeof(rule));
			at += sizeof(rule);
			if (!get_rule(&rule, &c->rules[n]))
				return ERR_CORRUPT;
			if (c->rules[n].codec->kind == CODEC_NOISE)
				c->pauses = true;
		}
	}
	for (unsigned i = 0; i < SIDE_COUNT; i++) {
		unsigned n = p->side[i].n_networks;
		int err = get_networks(&plan->side[i].config.learn, n, at);

		if (err)
			return err;
		at += n * sizeof(struct live_net);
	}
	return 0;
}

int record_plan_read(
	const uint8_t *bytes, size_t len, struct record_plan *plan_out)
{
	struct record_plan *plan = calloc(1, sizeof(*plan));
	struct live_plan p = {0};
	size_t want = sizeof(p);
	int err = ERR_NOMEM;

	if (plan == NULL)
		return err;
	err = check_head(bytes, len, sizeof(p), plan->call);
	if (err)
		goto end;
	memcpy(&p, bytes, sizeof(p));
	plan->version = p.version;
	plan->opened_wall_us = p.opened_wall_us;
	err = ERR_CORRUPT;
	for (unsigned i = 0; i < SIDE_COUNT; i++) {
		if (!get_side(&p.side[i], &plan->side[i]))
			goto end;
		want += p.side[i].n_rules * sizeof(struct live_rule) +
			p.side[i].n_networks * sizeof(struct live_net);
	}
	if (len == want)
		err = get_lists(&p, bytes + sizeof(p), plan);
end:
	if (err)
		record_plan_done(plan);
	else
		*plan_out = *plan;
	secret_wipe(plan, sizeof(*plan));
	free(plan);
	secret_wipe(&p, sizeof(p));
	return err;
}

void record_plan_done(struct record_plan *plan)
{
	for (unsigned i = 0; i < SIDE_COUNT; i++)
		leg_config_done(&plan->side[i].config);
	secret_wipe(plan, sizeof(*plan));
}

/* ------------------------------------------------------------------ words */

void record_words_write(const char *call, struct live_words *words)
{
	*words = (struct live_words){0};
	put_head(&words->head, sizeof(*words), call);
}

int record_words_read(
	const uint8_t *bytes, size_t len, char call_out[IDENT_CALL_SIZE])
{
	return check_head(bytes, len, sizeof(struct live_words), call_out);
}

/* --------------------------------------------------------------- farewell */

static void put_figures(const struct leg_stats *s, struct live_figures *f)
{
	size_t n = 0;

	*f = (struct live_figures){
		.rx_packets = s->n.rx_packets,
		.rx_octets = s->n.rx_octets,
		.tx_packets = s->n.tx_packets,
		.tx_octets = s->n.tx_octets,
		.rtcp_rx = s->n.rtcp_rx,
		.rtcp_tx = s->n.rtcp_tx,
		.icmp = s->n.icmp,
		.wall_first_us = s->n.wall_first_us,
		.wall_last_us = s->wall_last_us,
		.gap_max_us = s->n.gap_max_us,
		.expected = s->expected,
		.lost = s->lost,
		.peer_lost = s->peer_lost,
		.jitter_us = s->jitter_us,
		.rtt_us = s->rtt_us,
		.peer_jitter_us = s->peer_jitter_us,
		.ptime_us = s->ptime_us,
		.codec_clock = s->codec ? s->codec->clock : 0,
		.learned = reason_number(s->learned),
		.peer = put_addr(&s->peer),
		.refused = put_addr(&s->refused),
	};
	if (s->codec != NULL)
		strncpy(f->codec, s->codec->name, sizeof(f->codec) - 1);
	for (size_t i = 0; i < LEG_DROPS && n < 48; i++)
		if (s->n.drops[i] != 0)
			f->drops[n++] = (struct live_drop){
				reason_number((enum reason)(REASON_RTP_OK + i)),
				s->n.drops[i]};
}

static bool get_figures(const struct live_figures *f, struct leg_stats *s)
{
	char codec[LIVE_CODEC_SIZE];
	enum reason why;

	if (!get_text(codec, f->codec, sizeof(codec)))
		return false;
	*s = (struct leg_stats){
		.n = {.rx_packets = f->rx_packets,
			.rx_octets = f->rx_octets,
			.tx_packets = f->tx_packets,
			.tx_octets = f->tx_octets,
			.rtcp_rx = f->rtcp_rx,
			.rtcp_tx = f->rtcp_tx,
			.icmp = f->icmp,
			.wall_first_us = f->wall_first_us,
			.gap_max_us = f->gap_max_us},
		.expected = f->expected,
		.lost = f->lost,
		.jitter_us = f->jitter_us,
		.rtt_us = f->rtt_us,
		.peer_jitter_us = f->peer_jitter_us,
		.peer_lost = f->peer_lost,
		.wall_last_us = f->wall_last_us,
		.ptime_us = f->ptime_us,
		.codec = codec[0] ? codec_find(codec, f->codec_clock) : NULL,
		.learned = REASON_NONE,
	};
	if (reason_from_number(f->learned, &why) == 0)
		s->learned = why;
	for (unsigned i = 0; i < 48; i++)
		if (f->drops[i].n != 0 &&
			reason_from_number(f->drops[i].reason, &why) == 0 &&
			why >= REASON_RTP_OK &&
			(size_t)(why - REASON_RTP_OK) < LEG_DROPS)
			s->n.drops[why - REASON_RTP_OK] = f->drops[i].n;
	return get_addr(&f->peer, &s->peer) &&
	       get_addr(&f->refused, &s->refused);
}

void record_farewell_write(
	const struct record_farewell *f, struct live_farewell *out)
{
	*out = (struct live_farewell){.request = f->request,
		.ended_wall_us = f->ended_wall_us,
		.reason = reason_number(f->why)};
	put_head(&out->head, sizeof(*out), f->call);
	for (unsigned i = 0; i < SIDE_COUNT; i++)
		put_figures(&f->stats[i], &out->side[i]);
}

int record_farewell_read(
	const uint8_t *bytes, size_t len, struct record_farewell *f_out)
{
	struct record_farewell f = {0};
	struct live_farewell in;
	int err = check_head(bytes, len, sizeof(in), f.call);

	if (err)
		return err;
	memcpy(&in, bytes, sizeof(in));
	f.request = in.request;
	f.ended_wall_us = in.ended_wall_us;
	if (reason_from_number(in.reason, &f.why) < 0)
		f.why = REASON_SESSION_CLOSED;
	for (unsigned i = 0; i < SIDE_COUNT; i++)
		if (!get_figures(&in.side[i], &f.stats[i]))
			return ERR_CORRUPT;
	*f_out = f;
	return 0;
}
