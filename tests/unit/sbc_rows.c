// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/sbc_rows.h"

#include <check.h>
#include <string.h>

static void init_realms(struct rows *r)
{
	static const char *const listens[] = {"198.51.100.1:5060",
		"[2001:db8::1]:5060", "10.0.0.1:5060", "10.0.0.1:5070"};

	for (size_t i = 0; i < 4; i++) {
		gh__realm_address__init(&r->addresses[i]);
		r->addresses[i].listen = TEXT(listens[i]);
		r->address_rows[i] = &r->addresses[i];
	}
	gh__realm__init(&r->outside);
	r->outside.id = 1;
	r->outside.name = TEXT("outside");
	r->outside.phones = true;
	r->outside.digest_realm = TEXT("example.com");
	r->outside.n_addresses = 2;
	r->outside.addresses = r->address_rows;
	r->outside.codec_list = 1;
	r->outside.media_port_min = 16384;
	r->outside.media_port_max = 32767;
	r->inside = r->outside;
	r->inside.id = 2;
	r->inside.name = TEXT("inside");
	r->inside.zone = GH__ZONE__ZONE_INSIDE;
	r->inside.addresses = &r->address_rows[2];
}

static void init_trunk(struct rows *r, Gh__Trunk *trunk, unsigned id,
	const char *name, const char *network, const char *host)
{
	gh__trunk__init(trunk);
	trunk->id = id;
	trunk->name = TEXT(name);
	trunk->realm = 1;
	trunk->enabled = true;
	gh__trunk_source__init(&r->sources[id - 1]);
	r->sources[id - 1].network = TEXT(network);
	r->source_rows[id - 1] = &r->sources[id - 1];
	trunk->n_sources = 1;
	trunk->sources = &r->source_rows[id - 1];
	gh__trunk_target__init(&r->targets[id - 1]);
	r->targets[id - 1].host = TEXT(host);
	r->target_rows[id - 1] = &r->targets[id - 1];
	trunk->n_targets = 1;
	trunk->targets = &r->target_rows[id - 1];
}

static void init_codecs(struct rows *r)
{
	static const struct {
		const char *name;
		uint32_t clock;
	} codecs[] = {
		{"PCMA", 8000}, {"opus", 48000}, {"telephone-event", 8000}};

	for (size_t i = 0; i < 3; i++) {
		gh__codec__init(&r->codecs[i]);
		r->codecs[i].name = TEXT(codecs[i].name);
		r->codecs[i].clock = codecs[i].clock;
		r->codecs[i].channels = i == 1 ? 2 : 1;
		r->codec_rows[i] = &r->codecs[i];
	}
	gh__codec_list__init(&r->codec_list);
	r->codec_list.id = 1;
	r->codec_list.name = TEXT("default");
	r->codec_list.n_codecs = 3;
	r->codec_list.codecs = r->codec_rows;
}

static void init_routes(struct rows *r)
{
	for (size_t i = 0; i < 6; i++) {
		gh__route__init(&r->routes[i]);
		r->routes[i].id = (uint32_t)i + 1;
		r->routes[i].name = TEXT("route");
		r->routes[i].priority = 100;
	}
	for (size_t i = 0; i < 4; i++) {
		gh__route_target__init(&r->route_targets[i]);
		r->route_targets[i].trunk = i < 3 ? (uint32_t)i + 1 : 1;
		r->route_targets[i].priority = 100;
		r->route_target_rows[i] = &r->route_targets[i];
	}
	r->n_routes = 1;
	r->routes[0].from = GH__ROUTE_SOURCE__ROUTE_FROM_PHONES;
	r->routes[0].called_match = TEXT("0");
	r->routes[0].n_targets = 1;
	r->routes[0].targets = r->route_target_rows;
}

void rows_init(struct rows *r)
{
	memset(r, 0, sizeof(*r));
	init_realms(r);
	init_trunk(r, &r->itsp, 1, "itsp", "192.0.2.0/24", "192.0.2.10");
	init_trunk(
		r, &r->other, 2, "other", "203.0.113.0/24", "sip.example.net");
	init_trunk(r, &r->pbx, 3, "pbx", "10.0.0.5/32", "10.0.0.5");
	r->pbx.realm = 2;
	init_codecs(r);
	init_routes(r);
	for (size_t i = 0; i < 3; i++)
		gh__blocked_caller__init(&r->blocked[i]);
	gh__setting__init(&r->setting);
	r->itsp.rules = r->rule_rows;
	r->itsp.header_rules = r->header_rule_rows;
}

void rows_rule(struct rows *r, Gh__NumberRuleScope scope, bool regex,
	const char *match, const char *replace)
{
	size_t n = r->itsp.n_rules++;
	Gh__NumberRule *rule = &r->rules[n];

	gh__number_rule__init(rule);
	rule->scope = scope;
	rule->regex = regex;
	rule->match = TEXT(match);
	rule->replace = TEXT(replace);
	rule->priority = (uint32_t)n;
	r->rule_rows[n] = rule;
}

void rows_header_rule(struct rows *r, bool inbound, unsigned action,
	const char *name, const char *value)
{
	size_t n = r->itsp.n_header_rules++;
	Gh__HeaderRule *rule = &r->header_rules[n];

	gh__header_rule__init(rule);
	rule->inbound = inbound;
	rule->action = action;
	rule->name = TEXT(name);
	rule->value = TEXT(value);
	r->header_rule_rows[n] = rule;
}

static Gh__SettingsPiece *next_piece(struct rows *r)
{
	Gh__SettingsPiece *piece = &r->pieces[r->n_pieces++];

	ck_assert_uint_le(r->n_pieces, ROWS_MAX);
	gh__settings_piece__init(piece);
	piece->version = 7;
	return piece;
}

#define PIECE(kind, KIND, pointer)                                             \
	do {                                                                   \
		Gh__SettingsPiece *piece_ = next_piece(r);                     \
		piece_->piece_case = GH__SETTINGS_PIECE__PIECE_##KIND;         \
		piece_->kind = (pointer);                                      \
	} while (0)

int rows_finish(struct rows *r, struct settings **s_out, enum reason *why,
	char *problem)
{
	Gh__SettingsDone done = GH__SETTINGS_DONE__INIT;
	struct settings_collector *c;
	int err;

	r->n_pieces = 0;
	/* Rows that others refer to come last: the order must not matter. */
	for (size_t i = 0; i < r->n_routes; i++)
		PIECE(route, ROUTE, &r->routes[i]);
	for (size_t i = 0; i < r->n_blocked; i++)
		PIECE(blocked_caller, BLOCKED_CALLER, &r->blocked[i]);
	PIECE(trunk, TRUNK, &r->pbx);
	PIECE(trunk, TRUNK, &r->itsp);
	PIECE(trunk, TRUNK, &r->other);
	PIECE(realm, REALM, &r->inside);
	PIECE(realm, REALM, &r->outside);
	PIECE(codec_list, CODEC_LIST, &r->codec_list);
	if (r->n_settings)
		PIECE(setting, SETTING, &r->setting);
	ck_assert_int_eq(settings_collector_new(&c), 0);
	for (size_t i = 0; i < r->n_pieces; i++)
		ck_assert_int_eq(settings_collect(c, &r->pieces[i]), 0);
	done.version = 7;
	done.n_pieces = (uint32_t)r->n_pieces;
	err = settings_finish(c, &done, s_out, why, problem);
	settings_collector_free(&c);
	return err;
}

struct settings *rows_build(struct rows *r)
{
	char problem[SETTINGS_PROBLEM_SIZE];
	struct settings *s = NULL;
	enum reason why;

	ck_assert_msg(!rows_finish(r, &s, &why, problem), "%s", problem);
	ck_assert_int_eq(why, REASON_SETTINGS_OK);
	return s;
}
