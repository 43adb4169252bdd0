/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rows of a small installation, for the suites of settings, route and hdr: an
 * outside realm (IPv4 and IPv6) with two ITSPs, an inside one with a PBX.
 * Every row is a plain struct that a test may change before rows_build().
 */
#ifndef TESTS_UNIT_SBC_ROWS_H
#define TESTS_UNIT_SBC_ROWS_H

#include "sbc/settings.h"

#define ROWS_MAX 24

struct rows {
	Gh__RealmAddress addresses[4];
	Gh__RealmAddress *address_rows[4];
	Gh__Realm outside, inside;
	Gh__TrunkSource sources[4];
	Gh__TrunkSource *source_rows[4];
	Gh__TrunkTarget targets[3];
	Gh__TrunkTarget *target_rows[3];
	Gh__Trunk itsp, other, pbx; /* ids 1, 2, 3 */
	Gh__Codec codecs[3];
	Gh__Codec *codec_rows[3];
	Gh__CodecList codec_list;
	Gh__NumberRule rules[16];
	Gh__NumberRule *rule_rows[16];
	Gh__HeaderRule header_rules[8];
	Gh__HeaderRule *header_rule_rows[8];
	Gh__Route routes[6];
	Gh__RouteTarget route_targets[4];
	Gh__RouteTarget *route_target_rows[4];
	size_t n_routes;
	Gh__BlockedCaller blocked[3];
	size_t n_blocked;
	Gh__Setting setting;
	size_t n_settings;
	char *texts[4]; /* room for a repeated text field */

	Gh__SettingsPiece pieces[ROWS_MAX];
	size_t n_pieces;
};

/** A set that fits. Route 1 leads "0..." from phones to trunk 1. */
void rows_init(struct rows *r);
/** A rule of the itsp; priority is its place. */
void rows_rule(struct rows *r, Gh__NumberRuleScope scope, bool regex,
	const char *match, const char *replace);
void rows_header_rule(struct rows *r, bool inbound, unsigned action,
	const char *name, const char *value);
/** Builds the snapshot. @return settings_finish()'s result. */
int rows_finish(struct rows *r, struct settings **s_out, enum reason *why,
	char *problem);
/** Builds one that has to fit. */
struct settings *rows_build(struct rows *r);

/** A constant as protobuf-c wants it; nobody writes to it. */
#define TEXT(text) ((char *)(uintptr_t)(text))

#endif
