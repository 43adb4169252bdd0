/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Message -> struct want. Addresses, numbers and lists are checked against
 * their bounds here, once, so that the worker gets a state that it can use
 * without asking. Called by ctl.c; decides nothing about ports or capacity.
 */
#include "mediad/want.h"

#include <stdlib.h>
#include <string.h>

#include "common/secret.h"

#define PT_MAX          127u
#define DSCP_MAX        63u
#define CLOCK_MIN       1000u
#define CLOCK_MAX       192000u
#define PTIME_DEFAULT   20000u
#define PTIME_MIN       2500u
#define TIMEOUT_MAX_MS  (24u * 3600 * 1000)
/* IP and UDP are not counted; header, CSRC and a small extension are. */
#define OVERHEAD_OCTETS 64u

static bool read_addr(const char *text, struct addr *out)
{
	if (text[0] == '\0') {
		*out = (struct addr){0};
		return true;
	}
	return addr_parse(text, out) == 0;
}

static const char *read_learn(const Gh__MediaSide *m, struct learn_rules *r)
{
	if (!read_addr(m->remote_rtp, &r->signaled))
		return "remote_rtp";
	if (!read_addr(m->signaling_source, &r->signaling))
		return "signaling_source";
	switch (m->nat) {
	case GH__NAT_MODE__NAT_AUTO:
		r->nat = LEARN_NAT_AUTO;
		break;
	case GH__NAT_MODE__NAT_ALWAYS:
		r->nat = LEARN_NAT_ALWAYS;
		break;
	case GH__NAT_MODE__NAT_NEVER:
		r->nat = LEARN_NAT_NEVER;
		break;
	default:
		return "nat";
	}
	r->behind_nat = m->behind_nat;
	if (m->n_networks > LEARN_NETWORKS_MAX)
		return "networks";
	if (m->n_networks == 0)
		return NULL;
	r->networks = calloc(m->n_networks, sizeof(r->networks[0]));
	if (r->networks == NULL)
		return "networks";
	for (size_t i = 0; i < m->n_networks; i++)
		if (addr_net_parse(m->networks[i], &r->networks[i]) < 0)
			return "networks";
	r->n_networks = (uint8_t)m->n_networks;
	return NULL;
}

static const char *read_payload(const Gh__Payload *p, struct leg_config *c)
{
	struct leg_rule *rule = &c->rules[c->n_rules];

	if (p->pt > PT_MAX || p->peer_pt > PT_MAX)
		return "payload type";
	if (p->clock < CLOCK_MIN || p->clock > CLOCK_MAX)
		return "payload clock";
	for (unsigned i = 0; i < c->n_rules; i++)
		if (c->rules[i].pt == p->pt)
			return "payload type twice";
	rule->codec = codec_find(p->event           ? "telephone-event"
				 : p->comfort_noise ? "CN"
						    : p->codec,
		p->clock);
	rule->pt = (uint8_t)p->pt;
	rule->peer_pt = (uint8_t)p->peer_pt;
	rule->clock = p->clock;
	rule->event = rule->codec->kind == CODEC_EVENT;
	rule->ptime_us = p->ptime_us ? p->ptime_us : PTIME_DEFAULT;
	if (rule->ptime_us < PTIME_MIN)
		rule->ptime_us = PTIME_MIN;
	codec_limits(rule->codec, rule->ptime_us, p->max_octets, &rule->limits);
	if (rule->codec->kind == CODEC_NOISE)
		c->pauses = true;
	c->n_rules++;
	return NULL;
}

/* What the busiest of the codecs needs. */
static void work_out_rate(struct leg_config *c)
{
	for (unsigned i = 0; i < c->n_rules; i++) {
		const struct leg_rule *r = &c->rules[i];
		uint32_t packets = (1000000 + r->ptime_us - 1) / r->ptime_us;
		uint32_t octets =
			packets * (r->limits.nominal_octets + OVERHEAD_OCTETS);

		if (packets > c->packets_per_s)
			c->packets_per_s = packets;
		if (octets > c->octets_per_s)
			c->octets_per_s = octets;
	}
}

static const char *read_key(const Gh__SrtpKey *m, struct srtp_master *key)
{
	static const enum srtp_suite suites[] = {
		[GH__SUITE__SUITE_NONE] = SRTP_SUITE_NONE,
		[GH__SUITE__SUITE_AES_CM_128_HMAC_SHA1_80] =
			SRTP_SUITE_AES_CM_128_HMAC_SHA1_80,
		[GH__SUITE__SUITE_AES_CM_128_HMAC_SHA1_32] =
			SRTP_SUITE_AES_CM_128_HMAC_SHA1_32,
		[GH__SUITE__SUITE_AES_256_CM_HMAC_SHA1_80] =
			SRTP_SUITE_AES_256_CM_HMAC_SHA1_80,
		[GH__SUITE__SUITE_AEAD_AES_128_GCM] =
			SRTP_SUITE_AEAD_AES_128_GCM,
		[GH__SUITE__SUITE_AEAD_AES_256_GCM] =
			SRTP_SUITE_AEAD_AES_256_GCM,
	};

	if (m == NULL || m->suite == GH__SUITE__SUITE_NONE)
		return NULL;
	if ((unsigned)m->suite >= sizeof(suites) / sizeof(suites[0]))
		return "suite";
	if (m->master.len != srtp_master_len(suites[m->suite]))
		return "master key";
	key->suite = suites[m->suite];
	key->len = (uint8_t)m->master.len;
	memcpy(key->bytes, m->master.data, m->master.len);
	return NULL;
}

static const char *read_side(const Gh__MediaSide *m, struct want_side *s)
{
	struct leg_config *c = &s->config;
	const char *problem;

	if (m == NULL || m->realm == 0)
		return NULL;
	s->realm = m->realm;
	if (addr_parse(m->media, &s->bind) < 0)
		return "media";
	s->bind.port = 0;
	problem = read_learn(m, &c->learn);
	if (problem != NULL)
		return problem;
	if (!read_addr(m->remote_rtcp, &c->remote_rtcp))
		return "remote_rtcp";
	if (m->n_payloads > LEG_RULES_MAX)
		return "payloads";
	if (m->n_payloads > 0) {
		c->rules = calloc(m->n_payloads, sizeof(*c->rules));
		if (c->rules == NULL)
			return "no memory";
	}
	for (size_t i = 0; i < m->n_payloads && problem == NULL; i++)
		problem = read_payload(m->payloads[i], c);
	if (problem != NULL)
		return problem;
	problem = read_key(m->receive, &s->receive);
	if (problem == NULL)
		problem = read_key(m->send, &s->send);
	if (problem != NULL)
		return problem;
	if (m->dscp > DSCP_MAX)
		return "dscp";
	if (m->timeout_ms > TIMEOUT_MAX_MS)
		return "timeout_ms";
	work_out_rate(c);
	c->wanted = true;
	c->may_send = m->may_send;
	c->must_send = m->must_send;
	c->may_receive = m->may_receive;
	c->rtcp_mux = m->rtcp_mux;
	c->srtp_required = m->srtp_required;
	c->rtcp_xr = m->rtcp_xr;
	c->tx_ptime_us = m->tx_ptime_us;
	c->dscp = (uint8_t)m->dscp;
	c->learn_generation = m->learn_generation;
	c->timeout_us = m->timeout_ms * 1000ull;
	s->wanted = true;
	return NULL;
}

void want_done(struct want *want)
{
	for (unsigned i = 0; i < SIDE_COUNT; i++)
		leg_config_done(&want->side[i].config);
	secret_wipe(want, sizeof(*want));
}

int want_read(const Gh__SessionWant *msg, struct want *want_out,
	const char **problem_out)
{
	struct want w = {.version = msg->version};
	const char *problem;

	if (!ident_is_call(msg->call)) {
		*problem_out = "call";
		return ERR_INVALID;
	}
	memcpy(w.call, msg->call, sizeof(w.call));
	problem = read_side(msg->caller, &w.side[SIDE_CALLER]);
	if (problem == NULL)
		problem = read_side(msg->called, &w.side[SIDE_CALLED]);
	if (problem != NULL) {
		want_done(&w);
		*problem_out = problem;
		return ERR_INVALID;
	}
	*want_out = w;
	secret_wipe(&w, sizeof(w));
	return 0;
}
