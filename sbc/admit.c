/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who may speak to us. The raw stage classes a source (banned, registered
 * phone, trunk, unknown), takes from its rates, and drops requests that nobody
 * of that class is ever answered on that address, before a byte is parsed; the
 * request stage decides whether the request may be answered at all.
 *
 * Rates: each source has a bucket of its class; unknown sources share one more,
 * so that a flood can only starve other unknowns. While that one is empty, a
 * source that brings a nonce made for it (it was challenged before) draws from
 * a third: a registration that began can be completed.
 *
 * The table of sources is a fixed array, four places for each hash: a flood of
 * made-up addresses pushes out the longest silent ones and takes no memory.
 * A ban never touches a trunk, a source with a live registration, or one that
 * is in a call.
 *
 * One thread; called by stack.c.
 */
#include "sbc/admit.h"

#include <sofia-sip/sip_header.h>

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/secret.h"
#include "common/table.h"
#include "common/token.h"
#include "sbc/hdr.h"
#include "sbc/sbc.h"
#include "sbc/talker.h"
#include "sbc/trunk.h"

#define SETS       4096 /* a power of two */
#define WAYS       4
#define BANS_MAX   65536
/* A datagram takes one unit of a bucket for each begun 4 kB. */
#define UNIT_BYTES 4096

struct source_key {
	uint8_t ip[16];
	uint16_t port; /* registered phones only: several share a NAT's host */
	uint8_t family;
	uint8_t class;
};

struct source {
	struct source_key key;
	struct token bucket;
	uint64_t last_us; /* 0 = free */
};

struct ban {
	struct table_node node;
	struct addr host;
	uint64_t until_us;
};

struct rate {
	uint32_t per_s;
	uint32_t burst;
};

struct admit {
	struct sbc *sbc;
	uint8_t hash_key[16];
	struct source (*sets)[WAYS];
	struct table bans;
	struct rate rates[ADMIT_CLASS_COUNT]; /* of one source */
	struct token unknown;                 /* of all unknown ones */
	struct token probation;
	enum admit_class last;
};

static const char *const class_names[] = {
	[ADMIT_DENIED] = "denied",
	[ADMIT_UNKNOWN] = "unknown",
	[ADMIT_PHONE] = "phone",
	[ADMIT_TRUNK] = "trunk",
};
_Static_assert(
	sizeof(class_names) / sizeof(class_names[0]) == ADMIT_CLASS_COUNT,
	"every class has a name");

const char *admit_class_name(enum admit_class c)
{
	return (unsigned)c < ADMIT_CLASS_COUNT ? class_names[c] : "unknown";
}

/* ------------------------------------------------------------------- bans */

static struct ban *ban_find(const struct admit *admit, const struct addr *host)
{
	struct table_node *n;

	n = table_find(&admit->bans, host, sizeof(*host));
	return n ? TABLE_ENTRY(n, struct ban, node) : NULL;
}

static void ban_remove(struct admit *admit, struct ban *ban)
{
	table_remove(&admit->bans, &ban->node);
	free(ban);
}

static bool is_banned(struct admit *admit, const struct addr *source)
{
	struct addr host;
	struct ban *ban;

	if (admit->bans.n_entries == 0)
		return false;
	host = addr_host_key(source);
	ban = ban_find(admit, &host);
	if (!ban)
		return false;
	if (ban->until_us > clock_now_us())
		return true;
	reason_count(REASON_BAN_EXPIRED);
	ban_remove(admit, ban);
	return false;
}

/* Makes room by forgetting what has run out. */
static void sweep_bans(struct admit *admit)
{
	uint64_t now = clock_now_us();
	size_t bucket = 0;
	struct table_node *n = table_next(&admit->bans, &bucket, NULL);

	while (n) {
		struct ban *ban = TABLE_ENTRY(n, struct ban, node);

		n = table_next(&admit->bans, &bucket, n);
		if (ban->until_us <= now)
			ban_remove(admit, ban);
	}
}

void admit_on_ban(struct admit *admit, const Gh__Ban *msg)
{
	struct addr host;
	struct ban *ban;
	enum reason why = REASON_BAN_FAILURES;

	if (addr_parse(msg->host, &host) != 0) {
		log_warning("ban_unreadable", LOG_STR("host", msg->host));
		return;
	}
	host = addr_host_key(&host);
	ban = ban_find(admit, &host);
	if (msg->lifted || msg->until_us <= clock_now_us()) {
		if (ban)
			ban_remove(admit, ban);
		log_notice("ban_lifted", LOG_ADDR("host", &host));
		return;
	}
	if (reason_from_number(msg->reason, &why) != 0)
		why = REASON_BAN_FAILURES;
	if (!ban) {
		if (admit->bans.n_entries >= BANS_MAX)
			sweep_bans(admit);
		ban = calloc(1, sizeof(*ban));
		if (!ban)
			return;
		ban->host = host;
		if (table_add(&admit->bans, &ban->node, &ban->host,
			    sizeof(ban->host)) != 0) {
			log_warning("ban_table_full", LOG_ADDR("host", &host));
			free(ban);
			return;
		}
	}
	ban->until_us = msg->until_us;
	log_notice("banned", LOG_ADDR("host", &host),
		LOG_STR("reason", reason_text(why)));
}

/* -------------------------------------------------------------- raw stage */

enum admit_class admit_class(struct admit *admit, const struct addr *source,
	const struct addr *local)
{
	const struct settings *s = admit->sbc->settings;
	const struct realm_address *at;
	const struct trunk *trunk;

	if (bindings_account_at(admit->sbc->bindings, source) != 0 ||
		talker_is_known(admit->sbc->talkers, source))
		return ADMIT_PHONE;
	at = s ? settings_listener(s, local, GH__TRANSPORT__TRANSPORT_UDP)
	       : NULL;
	if (at && trunks_at(admit->sbc, s, source, at, &trunk, 1))
		return ADMIT_TRUNK;
	if (is_banned(admit, source))
		return ADMIT_DENIED;
	return ADMIT_UNKNOWN;
}

static struct source *source_of(struct admit *admit, const struct addr *addr,
	enum admit_class class, uint64_t now)
{
	struct addr host = addr_host_key(addr);
	struct source_key key = {0};
	struct source *set, *oldest;

	memcpy(key.ip, host.ip, sizeof(key.ip));
	key.port = class == ADMIT_PHONE ? addr->port : 0;
	key.family = (uint8_t)host.family;
	key.class = (uint8_t) class;
	set = admit->sets[table_siphash(admit->hash_key, &key, sizeof(key)) &
			  (SETS - 1)];
	oldest = &set[0];
	for (unsigned i = 0; i < WAYS; i++) {
		if (set[i].last_us != 0 &&
			memcmp(&set[i].key, &key, sizeof(key)) == 0)
			return &set[i];
		if (set[i].last_us < oldest->last_us)
			oldest = &set[i];
	}
	oldest->key = key;
	token_init(&oldest->bucket, admit->rates[class].per_s,
		admit->rates[class].burst, now);
	return oldest;
}

/* A source that is not of this realm: is it a trunk's that used the wrong
 * address of ours? */
static enum reason stranger(const struct settings *s, const struct addr *source)
{
	for (size_t i = 0; i < s->n_realms; i++)
		for (size_t k = 0; k < s->realms[i].n_addresses; k++)
			if (settings_trunk_by_source(
				    s, source, &s->realms[i].addresses[k]))
				return REASON_ADMIT_WRONG_REALM;
	return REASON_ADMIT_UNKNOWN_SOURCE;
}

static bool is_request(const uint8_t *bytes, size_t len)
{
	return len > 4 && bytes[0] >= 'A' && bytes[0] <= 'Z' &&
	       memcmp(bytes, "SIP/", 4) != 0;
}

/* What the request stage would leave without an answer whatever it says is not
 * even parsed: one that the realm's list does not admit, and a stranger's where
 * no phones may be. */
static enum reason admit_unread(const struct settings *s,
	enum admit_class class, const struct addr *source,
	const struct addr *local)
{
	const struct realm_address *at =
		s ? settings_listener(s, local, GH__TRANSPORT__TRANSPORT_UDP)
		  : NULL;

	if (!at)
		return REASON_ADMIT_OK;
	if (!realm_admits(at->realm, source))
		return REASON_ADMIT_ACL;
	if (class == ADMIT_UNKNOWN && !at->realm->row->phones)
		return stranger(s, source);
	return REASON_ADMIT_OK;
}

enum reason admit_datagram(struct admit *admit, const struct addr *source,
	const struct addr *local, const uint8_t *bytes, size_t len)
{
	enum reason why;
	enum admit_class class = admit_class(admit, source, local);
	uint32_t units = 1 + (uint32_t)(len / UNIT_BYTES);
	uint64_t now = clock_now_us();
	struct source *s;

	admit->last = class;
	if (class == ADMIT_DENIED) {
		reason_count(REASON_ADMIT_BANNED);
		return REASON_ADMIT_BANNED;
	}
	why = is_request(bytes, len)
		      ? admit_unread(admit->sbc->settings, class, source, local)
		      : REASON_ADMIT_OK;
	if (why != REASON_ADMIT_OK) {
		reason_count(why);
		log_peer_debug("dropped_unread",
			LOG_STR("reason", reason_text(why)),
			LOG_ADDR("source", source), LOG_ADDR("local", local));
		return why;
	}
	s = source_of(admit, source, class, now);
	s->last_us = now ? now : 1;
	if (!token_take(&s->bucket, units, now))
		goto over;
	if (class != ADMIT_UNKNOWN || token_take(&admit->unknown, units, now))
		return REASON_ADMIT_OK;
	if (auth_proves(admit->sbc->auth, source, local, bytes, len) &&
		token_take(&admit->probation, units, now))
		return REASON_ADMIT_OK;
over:
	reason_count(REASON_ADMIT_RATE);
	log_peer_info("rate", LOG_STR("reason", reason_text(REASON_ADMIT_RATE)),
		LOG_STR("class", admit_class_name(class)),
		LOG_ADDR("source", source));
	return REASON_ADMIT_RATE;
}

enum admit_class admit_last_class(const struct admit *admit)
{
	return admit->last;
}

bool admit_flow(struct admit *admit, const struct inbound *in)
{
	enum admit_class class = ADMIT_UNKNOWN;
	uint64_t now = clock_now_us();
	const struct trunk *trunk;
	struct source *s;

	if (in->account_at)
		class = ADMIT_PHONE;
	else if (trunks_at(admit->sbc, admit->sbc->settings, &in->source,
			 in->address, &trunk, 1))
		class = ADMIT_TRUNK;
	s = source_of(admit, &in->source, class, now);
	s->last_us = now ? now : 1;
	return token_take(&s->bucket, 1, now);
}

/* ---------------------------------------------------------- request stage */

/* Names that scanning tools give themselves. Whoever hides gains only that he
 * is judged like everybody else. */
bool admit_is_scanner(const char *text)
{
	static const char *const names[] = {"friendly-scanner", "sipvicious",
		"sipcli", "sip-scan", "sipscan", "sundayddr", "iwar", "sipsak",
		"svmap", "svwar", "svcrack", "vaxsipuseragent", "vaxasip",
		"siparmyknife", "sippts", "mr.sip", "pplsip", "smap ", "gulp",
		"scanner", "nmap", "masscan", "zgrab"};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strcasestr(text, names[i]))
			return true;
	return false;
}

static bool is_scanner(const sip_t *sip)
{
	const char *agent =
		sip->sip_user_agent ? sip->sip_user_agent->g_string : NULL;
	const char *server = sip->sip_server ? sip->sip_server->g_string : NULL;

	return (agent && admit_is_scanner(agent)) ||
	       (server && admit_is_scanner(server));
}

/* Does a phone, or somebody who wants to become one, get an answer? */
static enum reason admit_phone(
	const struct settings *s, const struct inbound *in, sip_method_t method)
{
	const url_t *uri = in->sip->sip_request->rq_url;

	if (!in->realm->row->phones)
		return stranger(s, &in->source);
	if (is_scanner(in->sip))
		return REASON_ADMIT_SCANNER;
	if (!in->account_at && method != sip_method_register &&
		!(method == sip_method_invite && !in->sip->sip_to->a_tag &&
			in->realm->row->strangers_invite))
		return stranger(s, &in->source);
	if (uri->url_type == url_tel && in->account_at)
		return REASON_ADMIT_OK;
	if (!uri->url_host || !realm_serves(in->realm, uri->url_host))
		return in->account_at && method != sip_method_register
			       ? REASON_ROUTE_NONE
			       : REASON_ADMIT_FOREIGN_DOMAIN;
	return REASON_ADMIT_OK;
}

/* Methods outside a dialog, for those who get an answer. */
static enum reason admit_method(const struct inbound *in, sip_method_t method)
{
	switch (method) {
	case sip_method_register:
		return in->trunk ? REASON_ADMIT_METHOD : REASON_ADMIT_OK;
	case sip_method_invite:
		return in->sip->sip_to->a_tag ? REASON_ADMIT_NO_DIALOG
					      : REASON_ADMIT_OK;
	case sip_method_options:
		return in->sip->sip_to->a_tag ? REASON_ADMIT_NO_DIALOG
					      : REASON_ADMIT_OK;
	case sip_method_bye:
	case sip_method_prack:
	case sip_method_update:
	case sip_method_info:
		return REASON_ADMIT_NO_DIALOG;
	case sip_method_refer:
		return REASON_CALL_TRANSFER_UNSUPPORTED;
	case sip_method_subscribe:
	case sip_method_notify:
	case sip_method_message:
		return in->sip->sip_to->a_tag ? REASON_ADMIT_NO_DIALOG
					      : REASON_ADMIT_OK;
	case sip_method_unknown:
		return in->sip->sip_to->a_tag ? REASON_ADMIT_NO_DIALOG
					      : REASON_ADMIT_METHOD_UNKNOWN;
	default:
		return in->sip->sip_to->a_tag ? REASON_ADMIT_NO_DIALOG
					      : REASON_ADMIT_METHOD;
	}
}

/* The trunks that the source may be, over a flow that proves them. */
static size_t proven_trunks(const struct admit *admit, const struct inbound *in,
	const struct trunk *trunks[TRUNK_MATCH_MAX])
{
	size_t n = 0,
	       n_found = trunks_at(admit->sbc, admit->sbc->settings,
		       &in->source, in->address, trunks, TRUNK_MATCH_MAX);

	for (size_t i = 0; i < n_found; i++)
		if (flow_proves(admit->sbc->flows, in->flow, trunks[i]))
			trunks[n++] = trunks[i];
	return n;
}

enum reason admit_request(struct admit *admit, struct inbound *in)
{
	const struct settings *s = admit->sbc->settings;
	sip_method_t method = in->sip->sip_request->rq_method;
	const struct trunk *trunks[TRUNK_MATCH_MAX];
	size_t n_trunks = 0;
	enum reason why;

	if (!realm_admits(in->realm, &in->source))
		return REASON_ADMIT_ACL;
	/* A phone may stand inside a trunk's network: whoever registers, or is
	 * registered from exactly there, is judged as a phone. */
	in->trunk = NULL;
	if (!in->account_at &&
		!(method == sip_method_register && in->realm->row->phones))
		n_trunks = proven_trunks(admit, in, trunks);
	if (!n_trunks) {
		why = admit_phone(s, in, method);
		if (why != REASON_ADMIT_OK)
			return why;
	}
	why = hdr_check_request(in->sip, msg_home(in->msg), &in->unsupported);
	in->trunk = n_trunks ? trunks[0] : NULL;
	if (why != REASON_ADMIT_OK)
		return why;
	in->trunk = trunk_choose(in->sip, trunks, n_trunks);
	return admit_method(in, method);
}

/* ------------------------------------------------------------- life, death */

static struct rate rate_of(
	const struct settings *s, const char *name, uint32_t def)
{
	struct rate r;

	r.per_s = (uint32_t)settings_number(s, name, def, 1, 1000000);
	r.burst = r.per_s < 500000 ? 2 * r.per_s : 1000000;
	return r;
}

void admit_apply(struct admit *admit, const struct settings *s)
{
	uint64_t now = clock_now_us();
	struct rate all;

	admit->rates[ADMIT_UNKNOWN] = rate_of(s, "source_rate", 50);
	admit->rates[ADMIT_PHONE] = rate_of(s, "trusted_rate", 100);
	admit->rates[ADMIT_TRUNK] = rate_of(s, "trunk_rate", 2000);
	all = rate_of(s, "unknown_rate", 200);
	token_init(&admit->unknown, all.per_s, all.burst, now);
	token_init(&admit->probation, all.per_s, all.burst, now);
	memset(admit->sets, 0, SETS * sizeof(*admit->sets));
}

int admit_new(struct sbc *sbc, struct admit **admit_out)
{
	struct admit *admit = calloc(1, sizeof(*admit));

	if (!admit)
		return ERR_NOMEM;
	admit->sbc = sbc;
	secret_random_bytes(admit->hash_key, sizeof(admit->hash_key));
	admit->sets = calloc(SETS, sizeof(*admit->sets));
	if (!admit->sets || table_init(&admit->bans, BANS_MAX) != 0) {
		free(admit->sets);
		free(admit);
		return ERR_NOMEM;
	}
	*admit_out = admit;
	return 0;
}

void admit_free(struct admit **admit_ref)
{
	struct admit *admit = *admit_ref;
	size_t bucket = 0;
	struct table_node *n;

	if (!admit)
		return;
	*admit_ref = NULL;
	n = table_next(&admit->bans, &bucket, NULL);
	while (n) {
		struct ban *ban = TABLE_ENTRY(n, struct ban, node);

		n = table_next(&admit->bans, &bucket, n);
		ban_remove(admit, ban);
	}
	table_done(&admit->bans);
	free(admit->sets);
	free(admit);
}
