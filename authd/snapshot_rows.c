/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From the rows of the settings' views to the pieces of a snapshot. Does not
 * decide when to read or what to send: snapshot.c does, which calls this. sbc
 * judges whether the pieces fit together.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "authd/crypto.h"
#include "authd/row.h"
#include "authd/snapshot.h"
#include "common/secret.h"

enum {
	Q_REALM,
	Q_REALM_ADDRESS,
	Q_TRUNK,
	Q_TRUNK_SOURCE,
	Q_TRUNK_TARGET,
	Q_NUMBER_RULE,
	Q_HEADER_RULE,
	Q_ROUTE,
	Q_ROUTE_TARGET,
	Q_CODEC,
	Q_BLOCKED_CALLER,
	Q_SETTING,
	Q_TRUNK_CREDENTIAL,
	Q_DIGEST_LIST,
	Q_REALM_EVENT,
	Q_TRUNK_MORE,
	Q_COUNT,
};

const char *const snapshot_queries[Q_COUNT] = {
	[Q_REALM] = "SELECT * FROM sbc.authd_realm",
	[Q_REALM_ADDRESS] = "SELECT * FROM sbc.authd_realm_address",
	[Q_TRUNK] = "SELECT * FROM sbc.authd_trunk",
	[Q_TRUNK_SOURCE] = "SELECT * FROM sbc.authd_trunk_source",
	[Q_TRUNK_TARGET] = "SELECT * FROM sbc.authd_trunk_target",
	[Q_NUMBER_RULE] = "SELECT * FROM sbc.authd_number_rule",
	[Q_HEADER_RULE] = "SELECT * FROM sbc.authd_header_rule",
	[Q_ROUTE] = "SELECT * FROM sbc.authd_route",
	[Q_ROUTE_TARGET] = "SELECT * FROM sbc.authd_route_target",
	[Q_CODEC] = "SELECT * FROM sbc.authd_codec",
	[Q_BLOCKED_CALLER] = "SELECT * FROM sbc.authd_blocked_caller",
	[Q_SETTING] = "SELECT * FROM sbc.authd_setting",
	[Q_TRUNK_CREDENTIAL] = "SELECT * FROM sbc.authd_trunk_credential",
	[Q_DIGEST_LIST] = "SELECT * FROM sbc.authd_digest_list",
	[Q_REALM_EVENT] = "SELECT * FROM sbc.authd_realm_event",
	[Q_TRUNK_MORE] = "SELECT * FROM sbc.authd_trunk_more",
};
const size_t snapshot_n_queries = Q_COUNT;

#define N(array) (sizeof(array) / sizeof((array)[0]))

static const char *const zones[] = {"outside", "inside"};
static const char *const rule_scopes[] = {
	"in_called", "in_caller", "out_called", "out_caller"};
static const char *const called_froms[] = {
	"request_uri", "to", "p_called_party_id", "diversion"};
static const char *const caller_froms[] = {
	"from", "p_asserted_identity", "p_preferred_identity"};
static const char *const header_actions[] = {"add", "set", "remove", "carry"};
static const char *const route_sources[] = {"any", "phones", "trunk"};
static const char *const route_actions[] = {"trunk", "extension", "reject"};

/* All results of one reading, and how far each child list was consumed: child
 * rows come in their parent's order. */
struct reader {
	PGresult *const *results;
	int at[Q_COUNT];
	struct row row;
};

/* Appends an allocated message to a repeated field. */
static int append(struct row *r, void ***list, size_t *n, void *message)
{
	void **more =
		message ? realloc(*list, (*n + 1) * sizeof(**list)) : NULL;

	if (!more) {
		row_fail(r, "", "out of memory");
		r->err = ERR_NOMEM;
		return ERR_NOMEM;
	}
	*list = more;
	more[(*n)++] = message;
	return 0;
}

#define NEW(type, init)                                                        \
	({                                                                     \
		type *new_ = malloc(sizeof(type));                             \
		if (new_)                                                      \
			init(new_);                                            \
		new_;                                                          \
	})

/* Is there one more child row of this parent? Begins it. */
static bool next_child(struct reader *in, int query, const char *parent_column,
	uint32_t parent, const char *what, const char *parent_name)
{
	const PGresult *result = in->results[query];

	if (in->row.err || in->at[query] >= PQntuples(result))
		return false;
	if (db_u32(result, in->at[query], parent_column) != parent)
		return false;
	row_begin(&in->row, result, in->at[query]++, what, NULL);
	in->row.name = parent_name;
	return true;
}

/* Every string that could not be copied becomes protobuf-c's own empty one, so
 * that freeing a half-made message is safe. */
static char *text(struct row *r, const char *column)
{
	char *copy = row_text(r, column);

	return copy ? copy : (char *)(uintptr_t)protobuf_c_empty_string;
}

/* An address or network that must read back; empty is allowed if optional. */
static void check_addr(struct row *r, const char *column, const char *value,
	bool optional, bool with_port)
{
	struct addr a;

	if (optional && *value == '\0')
		return;
	if (addr_parse(value, &a) < 0 || (with_port && a.port == 0))
		row_fail(r, column, "not an address");
}

static void check_nets(
	struct row *r, const char *column, char *const *nets, size_t n)
{
	struct addr_net net;

	for (size_t i = 0; i < n; i++) {
		if (addr_net_parse(nets[i], &net) < 0)
			row_fail(r, column, "not a network");
	}
}

static void read_offers(struct row *r, Gh__Realm *realm)
{
	struct digest_offers offers;
	char *list = row_text(r, "digest");

	if (!list)
		return;
	if (digest_offers_parse(list, &offers) < 0) {
		row_fail(r, "digest", "not a list of challenges");
		free(list);
		return;
	}
	free(list);
	for (size_t i = 0; i < offers.n; i++) {
		Gh__DigestOffer *o =
			NEW(Gh__DigestOffer, gh__digest_offer__init);

		if (append(r, (void ***)&realm->digest, &realm->n_digest, o) <
			0) {
			free(o);
			return;
		}
		o->algorithm = offers.offer[i].algorithm;
		o->qop = offers.offer[i].qop;
	}
}

static void read_realm_addresses(struct reader *in, Gh__Realm *realm)
{
	struct row *r = &in->row;

	while (next_child(in, Q_REALM_ADDRESS, "realm", realm->id,
		"address of realm", realm->name)) {
		Gh__RealmAddress *a =
			NEW(Gh__RealmAddress, gh__realm_address__init);

		if (append(r, (void ***)&realm->addresses, &realm->n_addresses,
			    a) < 0) {
			free(a);
			return;
		}
		a->listen = text(r, "listen");
		a->transport = row_transport(r, "transport");
		a->advertised_sip = text(r, "advertised_sip");
		a->media = text(r, "media");
		a->advertised_media = text(r, "advertised_media");
		a->certificates =
			row_words(r, "certificates", &a->n_certificates);
		a->client_ca = text(r, "client_ca");
		a->device = text(r, "device");
		a->media_device = text(r, "media_device");
		check_addr(r, "listen", a->listen, false, true);
		check_addr(r, "media", a->media, false, false);
		check_addr(r, "advertised_media", a->advertised_media, true,
			false);
	}
}

static void read_realm_events(struct reader *in, Gh__Realm *realm)
{
	struct row *r = &in->row;

	while (next_child(in, Q_REALM_EVENT, "realm", realm->id,
		"events of realm", realm->name)) {
		if (realm->message_types != NULL)
			continue;
		realm->event_trunk = row_u32(r, "event_trunk");
		realm->message_types = row_words(
			r, "message_types", &realm->n_message_types);
	}
}

static Gh__SettingsPiece *read_realm(struct reader *in, int i)
{
	Gh__SettingsPiece *p = NEW(Gh__SettingsPiece, gh__settings_piece__init);
	Gh__Realm *m = NEW(Gh__Realm, gh__realm__init);
	struct row *r = &in->row;

	row_begin(r, in->results[Q_REALM], i, "realm", "name");
	if (!p || !m) {
		free(p);
		free(m);
		return NULL;
	}
	p->piece_case = GH__SETTINGS_PIECE__PIECE_REALM;
	p->realm = m;
	m->id = row_u32(r, "id");
	m->name = text(r, "name");
	m->zone = (Gh__Zone)row_word(r, "zone", zones, N(zones));
	m->phones = row_bool(r, "phones");
	m->strangers_invite = row_bool(r, "strangers_invite");
	m->domains = row_words(r, "domains", &m->n_domains);
	m->digest_realm = text(r, "digest_realm");
	read_offers(r, m);
	m->acl = row_words(r, "acl", &m->n_acl);
	check_nets(r, "acl", m->acl, m->n_acl);
	m->codec_list = row_u32(r, "codec_list");
	m->media_port_min = row_u32(r, "media_port_min");
	m->media_port_max = row_u32(r, "media_port_max");
	m->event_packages =
		row_words(r, "event_packages", &m->n_event_packages);
	m->allow_message = row_bool(r, "allow_message");
	m->expires_min_s = row_u32(r, "expires_min_s");
	m->expires_max_s = row_u32(r, "expires_max_s");
	m->expires_default_s = row_u32(r, "expires_default_s");
	m->srtp = row_srtp(r, "srtp");
	m->srtp_insecure_signaling = row_bool(r, "srtp_insecure_signaling");
	m->max_contacts = row_u32(r, "max_contacts");
	if (!r->err)
		read_realm_addresses(in, m);
	if (!r->err)
		read_realm_events(in, m);
	return p;
}

static void read_trunk_sources(struct reader *in, Gh__Trunk *t)
{
	struct row *r = &in->row;

	while (next_child(in, Q_TRUNK_SOURCE, "trunk", t->id, "source of trunk",
		t->name)) {
		Gh__TrunkSource *s =
			NEW(Gh__TrunkSource, gh__trunk_source__init);

		if (append(r, (void ***)&t->sources, &t->n_sources, s) < 0) {
			free(s);
			return;
		}
		s->network = text(r, "network");
		s->listen = text(r, "listen");
		s->transport = row_transport(r, "transport");
		check_nets(r, "network", &s->network, 1);
		check_addr(r, "listen", s->listen, true, false);
	}
}

static void read_trunk_targets(struct reader *in, Gh__Trunk *t)
{
	struct row *r = &in->row;

	while (next_child(in, Q_TRUNK_TARGET, "trunk", t->id, "target of trunk",
		t->name)) {
		Gh__TrunkTarget *g =
			NEW(Gh__TrunkTarget, gh__trunk_target__init);

		if (append(r, (void ***)&t->targets, &t->n_targets, g) < 0) {
			free(g);
			return;
		}
		g->host = text(r, "host");
		g->port = row_u32(r, "port");
		g->transport = row_transport(r, "transport");
		g->priority = row_u32(r, "priority");
		g->weight = row_u32(r, "weight");
	}
}

static void read_rules(struct reader *in, Gh__Trunk *t)
{
	struct row *r = &in->row;

	while (next_child(in, Q_NUMBER_RULE, "trunk", t->id,
		"number rule of trunk", t->name)) {
		Gh__NumberRule *n = NEW(Gh__NumberRule, gh__number_rule__init);

		if (append(r, (void ***)&t->rules, &t->n_rules, n) < 0) {
			free(n);
			return;
		}
		n->scope = (Gh__NumberRuleScope)row_word(
			r, "scope", rule_scopes, N(rule_scopes));
		n->regex = row_bool(r, "regex");
		n->match = text(r, "match");
		n->replace = text(r, "replace");
		n->priority = row_u32(r, "priority");
	}
	while (next_child(in, Q_HEADER_RULE, "trunk", t->id,
		"header rule of trunk", t->name)) {
		Gh__HeaderRule *h = NEW(Gh__HeaderRule, gh__header_rule__init);
		char *direction;

		if (append(r, (void ***)&t->header_rules, &t->n_header_rules,
			    h) < 0) {
			free(h);
			return;
		}
		direction = row_text(r, "direction");
		h->inbound = direction && strcmp(direction, "in") == 0;
		free(direction);
		h->action = row_word(
			r, "action", header_actions, N(header_actions));
		h->name = text(r, "name");
		h->value = text(r, "value");
	}
}

/* One row per trunk, in the order of the trunks. */
static void read_trunk_more(struct reader *in, Gh__Trunk *t)
{
	struct row *r = &in->row;

	if (!next_child(in, Q_TRUNK_MORE, "trunk", t->id, "trunk", t->name)) {
		row_fail(r, "contact_user", "the row is missing");
		return;
	}
	t->contact_user = text(r, "contact_user");
	t->from_user = text(r, "from_user");
	t->user_phone = row_bool(r, "user_phone");
	t->called_prefixes =
		row_words(r, "called_prefixes", &t->n_called_prefixes);
	t->sources_by_name = row_bool(r, "sources_by_name");
	t->limit_code = row_u32(r, "limit_code");
}

static Gh__SettingsPiece *read_trunk(struct reader *in, int i)
{
	Gh__SettingsPiece *p = NEW(Gh__SettingsPiece, gh__settings_piece__init);
	Gh__Trunk *m = NEW(Gh__Trunk, gh__trunk__init);
	struct row *r = &in->row;

	row_begin(r, in->results[Q_TRUNK], i, "trunk", "name");
	if (!p || !m) {
		free(p);
		free(m);
		return NULL;
	}
	p->piece_case = GH__SETTINGS_PIECE__PIECE_TRUNK;
	p->trunk = m;
	m->id = row_u32(r, "id");
	m->name = text(r, "name");
	m->realm = row_u32(r, "realm");
	m->enabled = row_bool(r, "enabled");
	m->codec_list = row_u32(r, "codec_list");
	m->srtp = row_srtp(r, "srtp");
	m->max_calls = row_u32(r, "max_calls");
	m->max_calls_per_s = row_u32(r, "max_calls_per_s");
	m->host = text(r, "host");
	m->domain = text(r, "domain");
	m->tls_name = text(r, "tls_name");
	m->tls_ca = text(r, "tls_ca");
	m->tls_pin = text(r, "tls_pin");
	m->tls_certificate = text(r, "tls_certificate");
	m->tls_verify = row_bool(r, "tls_verify");
	m->called_from = (Gh__CalledFrom)row_word(
		r, "called_from", called_froms, N(called_froms));
	m->caller_from = (Gh__CallerFrom)row_word(
		r, "caller_from", caller_froms, N(caller_froms));
	m->caller_to = (Gh__CallerFrom)row_word(
		r, "caller_to", caller_froms, N(caller_froms));
	m->registers = row_bool(r, "registers");
	m->register_user = text(r, "register_user");
	m->register_expires_s = row_u32(r, "register_expires_s");
	m->options_interval_s = row_u32(r, "options_interval_s");
	m->max_duration_s = row_u32(r, "max_duration_s");
	m->session_expires_s = row_u32(r, "session_expires_s");
	m->ring_timeout_s = row_u32(r, "ring_timeout_s");
	m->follow_redirects = row_bool(r, "follow_redirects");
	m->groups = row_numbers(r, "groups", &m->n_groups);
	m->media_networks =
		row_words(r, "media_networks", &m->n_media_networks);
	check_nets(r, "media_networks", m->media_networks, m->n_media_networks);
	if (!r->err)
		read_trunk_more(in, m);
	if (!r->err)
		read_trunk_sources(in, m);
	if (!r->err)
		read_trunk_targets(in, m);
	if (!r->err)
		read_rules(in, m);
	return p;
}

static Gh__SettingsPiece *read_route(struct reader *in, int i)
{
	Gh__SettingsPiece *p = NEW(Gh__SettingsPiece, gh__settings_piece__init);
	Gh__Route *m = NEW(Gh__Route, gh__route__init);
	struct row *r = &in->row;
	const PGresult *targets = in->results[Q_ROUTE_TARGET];

	row_begin(r, in->results[Q_ROUTE], i, "route", "name");
	if (!p || !m) {
		free(p);
		free(m);
		return NULL;
	}
	p->piece_case = GH__SETTINGS_PIECE__PIECE_ROUTE;
	p->route = m;
	m->id = row_u32(r, "id");
	m->name = text(r, "name");
	m->priority = row_u32(r, "priority");
	m->from = (Gh__RouteSource)row_word(
		r, "source", route_sources, N(route_sources));
	m->from_trunk = row_u32(r, "source_trunk");
	m->called_regex = row_bool(r, "called_regex");
	m->called_match = text(r, "called_match");
	m->caller_match = text(r, "caller_match");
	m->action = (Gh__RouteAction)row_word(
		r, "action", route_actions, N(route_actions));
	m->failover_causes =
		row_numbers(r, "failover_causes", &m->n_failover_causes);
	m->timeout_s = row_u32(r, "timeout_s");
	m->reject_code = row_u32(r, "reject_code");
	m->emergency = row_bool(r, "emergency");
	m->destination_class = text(r, "destination_class");
	/* Routes come by priority, so their targets are searched for. */
	for (int row = 0; !r->err && row < PQntuples(targets); row++) {
		Gh__RouteTarget *t;

		if (db_u32(targets, row, "route") != m->id)
			continue;
		t = NEW(Gh__RouteTarget, gh__route_target__init);
		if (append(r, (void ***)&m->targets, &m->n_targets, t) < 0) {
			free(t);
			break;
		}
		t->trunk = db_u32(targets, row, "trunk");
		t->priority = db_u32(targets, row, "priority");
		t->weight = db_u32(targets, row, "weight");
	}
	return p;
}

/* Reads one list: all rows from in->at[Q_CODEC] on with its id. */
static Gh__SettingsPiece *read_codec_list(struct reader *in)
{
	Gh__SettingsPiece *p = NEW(Gh__SettingsPiece, gh__settings_piece__init);
	Gh__CodecList *m = NEW(Gh__CodecList, gh__codec_list__init);
	const PGresult *result = in->results[Q_CODEC];
	int *at = &in->at[Q_CODEC];
	struct row *r = &in->row;
	uint32_t id = db_u32(result, *at, "id");

	row_begin(r, result, *at, "codec list", "name");
	if (!p || !m) {
		free(p);
		free(m);
		return NULL;
	}
	p->piece_case = GH__SETTINGS_PIECE__PIECE_CODEC_LIST;
	p->codec_list = m;
	m->id = id;
	m->name = text(r, "name");
	while (!r->err && *at < PQntuples(result) &&
		db_u32(result, *at, "id") == id) {
		Gh__Codec *c;

		row_begin(r, result, (*at)++, "codec list", "name");
		if (db_text(result, r->number, "codec")[0] == '\0')
			continue;
		c = NEW(Gh__Codec, gh__codec__init);
		if (append(r, (void ***)&m->codecs, &m->n_codecs, c) < 0) {
			free(c);
			break;
		}
		c->name = text(r, "codec");
		c->clock = row_u32(r, "clock");
		c->channels = row_u32(r, "channels");
	}
	return p;
}

static Gh__SettingsPiece *read_blocked(struct reader *in, int i)
{
	Gh__SettingsPiece *p = NEW(Gh__SettingsPiece, gh__settings_piece__init);
	Gh__BlockedCaller *m = NEW(Gh__BlockedCaller, gh__blocked_caller__init);
	struct row *r = &in->row;

	row_begin(r, in->results[Q_BLOCKED_CALLER], i, "blocked caller", NULL);
	if (!p || !m) {
		free(p);
		free(m);
		return NULL;
	}
	p->piece_case = GH__SETTINGS_PIECE__PIECE_BLOCKED_CALLER;
	p->blocked_caller = m;
	m->match = text(r, "match");
	m->anonymous = row_bool(r, "anonymous");
	m->trunk = row_u32(r, "trunk");
	return p;
}

static Gh__SettingsPiece *read_setting(struct reader *in, int i)
{
	Gh__SettingsPiece *p = NEW(Gh__SettingsPiece, gh__settings_piece__init);
	Gh__Setting *m = NEW(Gh__Setting, gh__setting__init);
	struct row *r = &in->row;

	row_begin(r, in->results[Q_SETTING], i, "setting", "name");
	if (!p || !m) {
		free(p);
		free(m);
		return NULL;
	}
	p->piece_case = GH__SETTINGS_PIECE__PIECE_SETTING;
	p->setting = m;
	m->name = text(r, "name");
	m->value = text(r, "value");
	return p;
}

static void add_piece(
	struct reader *in, Gh__SettingsSaved *saved, Gh__SettingsPiece *p)
{
	if (append(&in->row, (void ***)&saved->pieces, &saved->n_pieces, p) <
			0 &&
		p)
		gh__settings_piece__free_unpacked(p, NULL);
}

static void read_secrets(struct reader *in, Gh__SettingsSaved *saved)
{
	const PGresult *result = in->results[Q_TRUNK_CREDENTIAL];
	struct row *r = &in->row;

	for (int i = 0; !r->err && i < PQntuples(result); i++) {
		Gh__TrunkSecret *s;

		row_begin(r, result, i, "credential of trunk", "trunk");
		s = row_trunk_secret(r);
		if (s && append(r, (void ***)&saved->trunk_secrets,
				 &saved->n_trunk_secrets, s) < 0)
			row_trunk_secret_free(s);
	}
}

static void read_shares(struct reader *in, Gh__SettingsSaved *saved)
{
	const PGresult *result = in->results[Q_DIGEST_LIST];
	struct row *r = &in->row;

	for (int i = 0; !r->err && i < PQntuples(result); i++) {
		Gh__DigestShare *s =
			NEW(Gh__DigestShare, gh__digest_share__init);
		struct digest_offers offers;

		row_begin(r, result, i, "digest list", "digest");
		if (append(r, (void ***)&saved->digest_shares,
			    &saved->n_digest_shares, s) < 0) {
			free(s);
			return;
		}
		s->realm = row_u32(r, "realm");
		s->digest = text(r, "digest");
		s->accounts = row_u64(r, "accounts");
		if (!r->err && digest_offers_parse(s->digest, &offers) < 0)
			row_fail(r, "digest", "not a list of challenges");
	}
}

/* sbc asks for a user's challenges only in realms where they may differ. */
static void mark_own_offers(Gh__SettingsSaved *saved)
{
	for (size_t i = 0; i < saved->n_pieces; i++) {
		const Gh__SettingsPiece *p = saved->pieces[i];

		if (p->piece_case != GH__SETTINGS_PIECE__PIECE_REALM)
			continue;
		for (size_t k = 0; k < saved->n_digest_shares; k++)
			if (saved->digest_shares[k]->realm == p->realm->id)
				p->realm->own_offers = true;
	}
}

static int hash_saved(const Gh__SettingsSaved *saved, uint8_t hash[32])
{
	size_t len = gh__settings_saved__get_packed_size(saved);
	uint8_t *bytes = malloc(len ? len : 1);
	int ok;

	if (!bytes)
		return ERR_NOMEM;
	gh__settings_saved__pack(saved, bytes);
	ok = EVP_Digest(bytes, len, hash, NULL, EVP_sha256(), NULL);
	secret_wipe(bytes, len);
	free(bytes);
	return ok == 1 ? 0 : ERR_SYSTEM;
}

int snapshot_build(PGresult *const *results, uint64_t version,
	struct snapshot *snapshot_out, char *problem, size_t problem_size)
{
	struct reader in = {.results = results};
	struct snapshot s = {0};
	struct row *r = &in.row;
	int err = ERR_NOMEM;

	s.saved = NEW(Gh__SettingsSaved, gh__settings_saved__init);
	if (!s.saved)
		goto fail;
	for (int i = 0; !r->err && i < PQntuples(results[Q_REALM]); i++)
		add_piece(&in, s.saved, read_realm(&in, i));
	while (!r->err && in.at[Q_CODEC] < PQntuples(results[Q_CODEC]))
		add_piece(&in, s.saved, read_codec_list(&in));
	for (int i = 0; !r->err && i < PQntuples(results[Q_TRUNK]); i++)
		add_piece(&in, s.saved, read_trunk(&in, i));
	for (int i = 0; !r->err && i < PQntuples(results[Q_ROUTE]); i++)
		add_piece(&in, s.saved, read_route(&in, i));
	for (int i = 0; !r->err && i < PQntuples(results[Q_BLOCKED_CALLER]);
		i++)
		add_piece(&in, s.saved, read_blocked(&in, i));
	for (int i = 0; !r->err && i < PQntuples(results[Q_SETTING]); i++)
		add_piece(&in, s.saved, read_setting(&in, i));
	read_secrets(&in, s.saved);
	read_shares(&in, s.saved);
	mark_own_offers(s.saved);
	err = row_end(r);
	if (err == 0)
		err = hash_saved(s.saved, s.hash);
	if (err < 0)
		goto fail;
	s.saved->version = version;
	for (size_t i = 0; i < s.saved->n_pieces; i++)
		s.saved->pieces[i]->version = version;
	*snapshot_out = s;
	return 0;
fail:
	snprintf(problem, problem_size, "%s",
		r->problem[0] ? r->problem : err_text(err));
	snapshot_done(&s);
	return err;
}

void snapshot_done(struct snapshot *s)
{
	if (!s->saved)
		return;
	for (size_t i = 0; i < s->saved->n_trunk_secrets; i++) {
		Gh__TrunkSecret *t = s->saved->trunk_secrets[i];

		secret_wipe(t->ha1_md5.data, t->ha1_md5.len);
		secret_wipe(t->ha1_sha256.data, t->ha1_sha256.len);
		secret_wipe(t->ha1_sha512_256.data, t->ha1_sha512_256.len);
	}
	gh__settings_saved__free_unpacked(s->saved, NULL);
	s->saved = NULL;
}
