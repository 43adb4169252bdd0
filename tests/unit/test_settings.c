// SPDX-License-Identifier: Apache-2.0
/*
 * The settings snapshot: what is collected and when it is refused whole; for
 * every kind of row that does not fit, the line that names it; look-ups, the
 * longest prefix among them compared with a plain search; expressions.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sbc/pattern.h"
#include "sbc/text.h"
#include "sbc/utf8.h"
#include "tests/unit/sbc_rows.h"

#define N_ROWS(table) (sizeof(table) / sizeof((table)[0]))
#define LONG_65                                                                \
	"1234567890123456789012345678901234567890123456789012345678901234567"

// --------------------------------------------------------- rows that are off

/* One function per way to break the good set. */
#define BREAK(name, statement)                                                 \
	static void name(struct rows *r)                                       \
	{                                                                      \
		statement;                                                     \
	}

BREAK(realm_id_0, r->outside.id = 0)
BREAK(realm_twice, r->inside.id = 1)
BREAK(realm_name, r->outside.name = TEXT(""))
BREAK(realm_name_control, r->outside.name = TEXT("a\nb"))
BREAK(realm_zone, r->outside.zone = 7)
BREAK(realm_srtp, r->outside.srtp = 9)
BREAK(realm_codecs, r->outside.codec_list = 4)
BREAK(realm_codecs_0, r->outside.codec_list = 0)
BREAK(realm_ports, r->outside.media_port_min = 80)
BREAK(realm_ports_order, r->outside.media_port_max = 16384)
BREAK(realm_ports_top, r->outside.media_port_max = 65536)
BREAK(realm_digest, r->outside.digest_realm = TEXT(""))
BREAK(realm_digest_quote, r->outside.digest_realm = TEXT("a\"b"))
BREAK(realm_expires, r->outside.expires_min_s = 60;
	r->outside.expires_default_s = 30)
BREAK(realm_expires_max, r->outside.expires_max_s = 700000)
BREAK(realm_domain, r->texts[0] = TEXT("bad domain"); r->outside.n_domains = 1;
	r->outside.domains = r->texts)
BREAK(realm_event, r->texts[0] = TEXT("a b"); r->outside.n_event_packages = 1;
	r->outside.event_packages = r->texts)
BREAK(realm_acl, r->texts[0] = TEXT("10.0.0.1/8"); r->outside.n_acl = 1;
	r->outside.acl = r->texts)
BREAK(listen_no_port, r->addresses[0].listen = TEXT("198.51.100.1"))
BREAK(listen_name, r->addresses[0].listen = TEXT("example.com:5060"))
BREAK(listen_any, r->addresses[0].listen = TEXT("0.0.0.0:5060"))
BREAK(listen_transport, r->addresses[0].transport = 8)
BREAK(listen_twice, r->addresses[2].listen = TEXT("198.51.100.1:5060"))
BREAK(advertised, r->addresses[0].advertised_sip = TEXT("a b"))
BREAK(advertised_port, r->addresses[0].advertised_sip = TEXT("a.example:0"))
BREAK(advertised_port_big,
	r->addresses[0].advertised_sip = TEXT("a.example:65536"))
BREAK(media, r->addresses[0].media = TEXT("198.51.100.1:7"))
BREAK(media_any, r->addresses[0].media = TEXT("0.0.0.0"))
BREAK(media_family, r->addresses[0].advertised_media = TEXT("2001:db8::5"))
BREAK(media_name, r->addresses[0].advertised_media = TEXT("host"))
BREAK(device, r->addresses[0].device = TEXT("eth/1"))
BREAK(device_long, r->addresses[0].device = TEXT("abcdefghijklmnop"))
BREAK(media_device, r->addresses[0].media_device = TEXT("-"))
BREAK(two_devices, r->addresses[2].media = TEXT("198.51.100.1");
	r->addresses[0].media_device = TEXT("eth1");
	r->addresses[1].media_device = TEXT("eth1"))
BREAK(codec_unknown, r->codecs[0].name = TEXT("MP3"))
BREAK(codec_clock, r->codecs[0].clock = 16000)
BREAK(codec_channels, r->codecs[1].channels = 1)
BREAK(codec_no_audio, r->codec_list.codecs = &r->codec_rows[2];
	r->codec_list.n_codecs = 1)
BREAK(codec_empty, r->codec_list.n_codecs = 0)
BREAK(trunk_realm, r->itsp.realm = 9)
BREAK(trunk_codecs, r->itsp.codec_list = 9)
BREAK(trunk_twice, r->other.id = 1)
BREAK(source_text, r->sources[0].network = TEXT("192.0.2.0/33"))
BREAK(source_bits, r->sources[0].network = TEXT("192.0.2.1/24"))
BREAK(source_all, r->sources[0].network = TEXT("0.0.0.0/0"))
BREAK(source_listen, r->sources[0].listen = TEXT("10.0.0.1:5060"))
BREAK(source_listen_text, r->sources[0].listen = TEXT("x"))
BREAK(source_transport, r->sources[0].transport = 5)
BREAK(target_host, r->targets[0].host = TEXT("-x.example"))
BREAK(target_empty, r->targets[0].host = TEXT(""))
BREAK(target_any, r->targets[0].host = TEXT("0.0.0.0"))
BREAK(target_port, r->targets[0].port = 70000)
BREAK(target_transport, r->targets[0].transport = GH__TRANSPORT__TRANSPORT_TLS)
BREAK(trunk_host, r->itsp.host = TEXT("a:b:c"))
BREAK(trunk_domain, r->itsp.domain = TEXT("a.example:5060"))
BREAK(trunk_media, r->texts[0] = TEXT("nowhere"); r->itsp.n_media_networks = 1;
	r->itsp.media_networks = r->texts)
BREAK(trunk_caller, r->itsp.caller_to = 3)
BREAK(trunk_contact_user, r->itsp.contact_user = TEXT("a@b"))
BREAK(trunk_from_user, r->itsp.from_user = TEXT("a b"))
BREAK(trunk_limit_code, r->itsp.limit_code = 200)
BREAK(trunk_register, r->itsp.registers = true)
BREAK(trunk_register_user, r->itsp.registers = true;
	r->itsp.register_user = TEXT("a@b"))
BREAK(trunk_register_expires, r->itsp.registers = true;
	r->itsp.register_user = TEXT("a"); r->itsp.register_expires_s = 5)
BREAK(trunk_session, r->itsp.session_expires_s = 60)
BREAK(trunk_ring, r->itsp.ring_timeout_s = 100000)
BREAK(trunk_options, r->itsp.options_interval_s = 100000)
BREAK(rule_scope, rows_rule(r, 4, false, "0", "+49"))
BREAK(rule_regex, rows_rule(r, 0, true, "(", ""))
BREAK(rule_backref, rows_rule(r, 0, true, "(a)\\1", ""))
BREAK(rule_group, rows_rule(r, 0, true, "0(.*)", "\\2"))
BREAK(rule_replace, rows_rule(r, 0, false, "0", "a b"))
BREAK(rule_long, rows_rule(r, 0, false, "0", LONG_65))
BREAK(rule_prefix_long, rows_rule(r, 0, false, LONG_65, ""))
BREAK(header_action, rows_header_rule(r, true, 4, "X-A", ""))
BREAK(header_name, rows_header_rule(r, true, 0, "X A", ""))
BREAK(header_ours, rows_header_rule(r, true, 1, "via", "x"))
BREAK(header_ours_short, rows_header_rule(r, true, 1, "v", "x"))
BREAK(header_privacy, rows_header_rule(r, false, 2, "Privacy", ""))
BREAK(header_value, rows_header_rule(r, false, 0, "X-A", "a\r\nVia: x"))
BREAK(header_brace, rows_header_rule(r, false, 0, "X-A", "{password}"))
BREAK(header_carry, rows_header_rule(r, false, 3, "X-A", ""))
BREAK(route_trunk, r->route_targets[0].trunk = 77)
BREAK(route_no_target, r->routes[0].n_targets = 0)
BREAK(route_from, r->routes[0].from = 3)
BREAK(route_from_trunk, r->routes[0].from = 2; r->routes[0].from_trunk = 9)
BREAK(route_action, r->routes[0].action = 3)
BREAK(route_prefix, r->routes[0].called_match = TEXT("0 0"))
BREAK(route_caller, r->routes[0].caller_match = TEXT("%"))
BREAK(route_regex, r->routes[0].called_regex = true;
	r->routes[0].called_match = TEXT("(a*)*"))
BREAK(route_reject, r->routes[0].reject_code = 200)
BREAK(route_timeout, r->routes[0].timeout_s = 4000)
BREAK(route_emergency, r->routes[0].emergency = true;
	r->routes[0].called_match = TEXT(""))
BREAK(route_emergency_reject, r->routes[0].emergency = true;
	r->routes[0].action = GH__ROUTE_ACTION__ROUTE_REJECT)
BREAK(blocked_trunk, r->n_blocked = 1; r->blocked[0].trunk = 9;
	r->blocked[0].match = TEXT("+49"))
BREAK(blocked_both, r->n_blocked = 1; r->blocked[0].anonymous = true;
	r->blocked[0].match = TEXT("+49"))
BREAK(blocked_none, r->n_blocked = 1)
BREAK(blocked_text, r->n_blocked = 1; r->blocked[0].match = TEXT("+4 9"))
BREAK(setting_range, r->n_settings = 1; r->setting.name = TEXT("sip_t1_ms");
	r->setting.value = TEXT("5"))
BREAK(setting_text, r->n_settings = 1; r->setting.name = TEXT("max_calls");
	r->setting.value = TEXT("many"))
BREAK(setting_name, r->n_settings = 1; r->setting.name = TEXT("a b"))
BREAK(setting_value, r->n_settings = 1; r->setting.name = TEXT("x");
	r->setting.value = TEXT("a\001"))

static void cause_too_big(struct rows *r)
{
	static uint32_t cause = 700;

	r->routes[0].n_failover_causes = 1;
	r->routes[0].failover_causes = &cause;
}

static void digest_unknown(struct rows *r)
{
	static Gh__DigestOffer offer;
	static Gh__DigestOffer *offers[] = {&offer};

	gh__digest_offer__init(&offer);
	offer.algorithm = 3;
	r->outside.n_digest = 1;
	r->outside.digest = offers;
}

static const struct {
	void (*spoil)(struct rows *r);
	const char *problem; /* its begin */
} broken[] = {
	{realm_id_0, "realm 0 \"outside\": the id is 0"},
	{realm_twice, "realm 1: the id is there twice"},
	{realm_name, "realm 1 \"\": the name is empty"},
	{realm_name_control, "realm 1 \"a?b\": the name"},
	{realm_zone, "realm 1 \"outside\": the zone"},
	{realm_srtp, "realm 1 \"outside\": the SRTP policy"},
	{realm_codecs, "realm 1 \"outside\": codec list 4 does not exist"},
	{realm_codecs_0, "realm 1 \"outside\": codec list 0 does not exist"},
	{realm_ports, "realm 1 \"outside\": media ports 80 to 32767"},
	{realm_ports_order, "realm 1 \"outside\": media ports 16384 to 16384"},
	{realm_ports_top, "realm 1 \"outside\": media ports 16384 to 65536"},
	{realm_digest, "realm 1 \"outside\": has phones and no digest_realm"},
	{realm_digest_quote, "realm 1 \"outside\": digest_realm is too long"},
	{digest_unknown, "realm 1 \"outside\": digest offer 1 is not known"},
	{realm_expires, "realm 1 \"outside\": expires: 60 <= 30"},
	{realm_expires_max, "realm 1 \"outside\": expires: 0 <= 0 <= 700000"},
	{realm_domain, "realm 1 \"outside\": domain \"bad domain\" is no host"},
	{realm_event,
		"realm 1 \"outside\": event package \"a b\" is not known"},
	{realm_acl, "realm 1 \"outside\": acl: \"10.0.0.1/8\" is no network"},
	{listen_no_port,
		"realm 1 \"outside\": listen: \"198.51.100.1\" is no ip:port"},
	{listen_name,
		"realm 1 \"outside\": listen: \"example.com:5060\" is no"},
	{listen_any, "realm 1 \"outside\": listen: \"0.0.0.0:5060\" names no"},
	{listen_transport,
		"realm 1 \"outside\": listen: \"198.51.100.1:5060\" has an"},
	{listen_twice,
		"realm 2 \"inside\": 198.51.100.1:5060 is listened on twice"},
	{advertised, "realm 1 \"outside\": advertised_sip: \"a b\" is no host"},
	{advertised_port,
		"realm 1 \"outside\": advertised_sip: \"a.example:0\""},
	{advertised_port_big,
		"realm 1 \"outside\": advertised_sip: \"a.example:65536\""},
	{media, "realm 1 \"outside\": media: \"198.51.100.1:7\""},
	{media_any, "realm 1 \"outside\": media: \"0.0.0.0\""},
	{media_family, "realm 1 \"outside\": advertised_media: \"2001:db8::5\" "
		       "is of another family"},
	{media_name, "realm 1 \"outside\": advertised_media: \"host\" is no"},
	{device, "realm 1 \"outside\": device: \"eth/1\" is no name of one"},
	{device_long,
		"realm 1 \"outside\": device: \"abcdefghijklmnop\" is no"},
	{media_device, "realm 1 \"outside\": media_device: \"-\" is no name"},
	{two_devices,
		"realm 2 \"inside\": media: 198.51.100.1 is on two devices"},
	{codec_unknown, "codec list 1 \"default\": codec \"MP3\" is not known"},
	{codec_clock,
		"codec list 1 \"default\": codec \"PCMA\" has no clock 16000"},
	{codec_channels, "codec list 1 \"default\": codec \"opus\" has no "
			 "clock 48000 with 1"},
	{codec_no_audio, "codec list 1 \"default\": no audio codec"},
	{codec_empty, "codec list 1 \"default\": no audio codec"},
	{trunk_realm, "trunk 1 \"itsp\": realm 9 does not exist"},
	{trunk_codecs, "trunk 1 \"itsp\": codec list 9 does not exist"},
	{trunk_twice, "trunk 1: the id is there twice"},
	{source_text,
		"trunk 1 \"itsp\": source \"192.0.2.0/33\" is no network"},
	{source_bits,
		"trunk 1 \"itsp\": source \"192.0.2.1/24\" is no network"},
	{source_all, "trunk 1 \"itsp\": source \"0.0.0.0/0\" is every address"},
	{source_listen, "trunk 1 \"itsp\": local address \"10.0.0.1:5060\" is "
			"none of its realm's"},
	{source_listen_text, "trunk 1 \"itsp\": local address \"x\" is none"},
	{source_transport,
		"trunk 1 \"itsp\": source \"192.0.2.0/24\" has an unknown"},
	{target_host, "trunk 1 \"itsp\": target \"-x.example\" is no host"},
	{target_empty, "trunk 1 \"itsp\": target \"\" is no host"},
	{target_any, "trunk 1 \"itsp\": target \"0.0.0.0\" names no host"},
	{target_port, "trunk 1 \"itsp\": target \"192.0.2.10\" has port 70000"},
	{target_transport,
		"trunk 1 \"itsp\": target \"192.0.2.10\": its realm has no"},
	{trunk_host, "trunk 1 \"itsp\": host: \"a:b:c\" is no host"},
	{trunk_domain, "trunk 1 \"itsp\": domain is no host"},
	{trunk_media,
		"trunk 1 \"itsp\": media network: \"nowhere\" is no network"},
	{trunk_contact_user, "trunk 1 \"itsp\": contact_user is no user"},
	{trunk_from_user, "trunk 1 \"itsp\": from_user is no user"},
	{trunk_limit_code, "trunk 1 \"itsp\": limit_code is not within"},
	{trunk_caller,
		"trunk 1 \"itsp\": called_from, caller_from or caller_to"},
	{trunk_register,
		"trunk 1 \"itsp\": registers and has no usable register_user"},
	{trunk_register_user, "trunk 1 \"itsp\": registers and has no usable"},
	{trunk_register_expires, "trunk 1 \"itsp\": register_expires_s"},
	{trunk_session, "trunk 1 \"itsp\": session_expires_s"},
	{trunk_ring, "trunk 1 \"itsp\": ring_timeout_s"},
	{trunk_options, "trunk 1 \"itsp\": options_interval_s"},
	{rule_scope,
		"trunk 1 \"itsp\": number rule \"0\" has an unknown scope"},
	{rule_regex, "trunk 1 \"itsp\": number rule \"(\": "},
	{rule_backref, "trunk 1 \"itsp\": number rule \"(a)\\1\": a backslash"},
	{rule_group, "trunk 1 \"itsp\": number rule \"0(.*)\" puts in"},
	{rule_replace, "trunk 1 \"itsp\": number rule \"0\" puts in"},
	{rule_long, "trunk 1 \"itsp\": number rule \"0\" puts in"},
	{rule_prefix_long, "trunk 1 \"itsp\": number rule "
			   "\"12345678901234567890123456789012345678"},
	{header_action, "trunk 1 \"itsp\": header rule \"X-A\": the action"},
	{header_name, "trunk 1 \"itsp\": header rule \"X A\": the name"},
	{header_ours,
		"trunk 1 \"itsp\": header rule \"via\": this header belongs"},
	{header_ours_short,
		"trunk 1 \"itsp\": header rule \"v\": the name is a short"},
	{header_privacy, "trunk 1 \"itsp\": header rule \"Privacy\": this "
			 "header belongs"},
	{header_value, "trunk 1 \"itsp\": header rule \"X-A\": the value is"},
	{header_brace,
		"trunk 1 \"itsp\": header rule \"X-A\": the value has a brace"},
	{header_carry, "trunk 1 \"itsp\": header rule \"X-A\": this header is "
		       "not left"},
	{route_trunk, "route 1 \"route\": trunk 77 does not exist"},
	{route_no_target, "route 1 \"route\": leads to a trunk and names none"},
	{route_from, "route 1 \"route\": the source"},
	{route_from_trunk, "route 1 \"route\": source trunk 9 does not exist"},
	{route_action, "route 1 \"route\": the action"},
	{route_prefix, "route 1 \"route\": called_match is no prefix"},
	{route_caller, "route 1 \"route\": caller_match is no prefix"},
	{route_regex, "route 1 \"route\": called_match: a repetition inside"},
	{route_reject, "route 1 \"route\": reject_code 200"},
	{route_timeout, "route 1 \"route\": timeout_s is over"},
	{route_emergency,
		"route 1 \"route\": is for emergencies and names no number"},
	{route_emergency_reject,
		"route 1 \"route\": is for emergencies and leads to no"},
	{cause_too_big, "route 1 \"route\": failover cause 700"},
	{blocked_trunk,
		"blocked caller of trunk 9 \"+49\": the trunk does not exist"},
	{blocked_both,
		"blocked caller of trunk 0 \"+49\": names a number or anon"},
	{blocked_none,
		"blocked caller of trunk 0 \"\": names a number or anon"},
	{blocked_text, "blocked caller of trunk 0 \"+4 9\": is no prefix"},
	{setting_range,
		"setting 0 \"sip_t1_ms\": \"5\" is no number from 50 to 5000"},
	{setting_text, "setting 0 \"max_calls\": \"many\" is no number from 0"},
	{setting_name, "setting 0 \"a b\": the name is no word"},
	{setting_value,
		"setting 0 \"x\": the value is too long or not printable"},
};

START_TEST(names_the_row_that_does_not_fit)
{
	static struct rows r;
	char problem[SETTINGS_PROBLEM_SIZE] = "";
	struct settings *s = NULL;
	enum reason why = REASON_NONE;
	size_t len = strlen(broken[_i].problem);

	rows_init(&r);
	broken[_i].spoil(&r);
	ck_assert_int_eq(rows_finish(&r, &s, &why, problem), ERR_INVALID);
	ck_assert_int_eq(why, REASON_SETTINGS_INVALID);
	ck_assert_ptr_null(s);
	ck_assert_msg(!strncmp(problem, broken[_i].problem, len),
		"\n got  %s\n want %s", problem, broken[_i].problem);
	for (const char *c = problem; *c; c++)
		ck_assert_msg(*c >= ' ' && *c < 0x7f, "%s", problem);
}
END_TEST

START_TEST(takes_the_good_set)
{
	static struct rows r;
	struct settings *s;

	rows_init(&r);
	r.n_settings = 1;
	r.setting.name = TEXT("a_newer_setting");
	r.setting.value = TEXT("anything");
	s = rows_build(&r);
	ck_assert_uint_eq(s->version, 7);
	ck_assert_uint_eq(s->n_realms, 2);
	ck_assert_uint_eq(s->n_trunks, 3);
	ck_assert_uint_eq(s->n_routes, 1);
	ck_assert_str_eq(settings_realm(s, 2)->row->name, "inside");
	ck_assert_str_eq(settings_trunk(s, 3)->row->name, "pbx");
	ck_assert_ptr_eq(settings_trunk(s, 3)->realm, settings_realm(s, 2));
	ck_assert_str_eq(settings_codec_list(s, 1)->name, "default");
	ck_assert_ptr_null(settings_realm(s, 3));
	ck_assert_ptr_null(settings_trunk(s, 0));
	ck_assert_ptr_null(settings_codec_list(s, 2));
	settings_unref(&s);
	ck_assert_ptr_null(s);
	settings_unref(&s);
}
END_TEST

START_TEST(counts_references)
{
	static struct rows r;
	struct settings *s, *held;

	rows_init(&r);
	s = rows_build(&r);
	held = settings_ref(s);
	settings_unref(&s);
	ck_assert_str_eq(settings_realm(held, 1)->row->name, "outside");
	settings_unref(&held);
}
END_TEST

START_TEST(copies_what_it_collects)
{
	static struct rows r;
	struct settings *s;

	rows_init(&r);
	s = rows_build(&r);
	memset(&r, 0xff, sizeof(r));
	ck_assert_str_eq(
		settings_trunk(s, 1)->row->targets[0]->host, "192.0.2.10");
	settings_unref(&s);
}
END_TEST

// ------------------------------------------------------------- collecting

static void collect_setting(
	struct settings_collector *c, uint64_t version, const char *name)
{
	Gh__SettingsPiece piece = GH__SETTINGS_PIECE__INIT;
	Gh__Setting setting = GH__SETTING__INIT;

	setting.name = TEXT(name);
	setting.value = TEXT("1");
	piece.version = version;
	piece.piece_case = GH__SETTINGS_PIECE__PIECE_SETTING;
	piece.setting = &setting;
	ck_assert_int_eq(settings_collect(c, &piece), 0);
}

static int finish(struct settings_collector *c, uint64_t version,
	uint32_t n_pieces, struct settings **s, enum reason *why)
{
	Gh__SettingsDone done = GH__SETTINGS_DONE__INIT;
	char problem[SETTINGS_PROBLEM_SIZE];

	done.version = version;
	done.n_pieces = n_pieces;
	return settings_finish(c, &done, s, why, problem);
}

START_TEST(refuses_incomplete_snapshots)
{
	struct settings_collector *c;
	struct settings *s = NULL;
	enum reason why;

	ck_assert_int_eq(settings_collector_new(&c), 0);
	/* a piece is missing */
	collect_setting(c, 1, "a");
	ck_assert_int_eq(finish(c, 1, 2, &s, &why), ERR_TRUNCATED);
	ck_assert_int_eq(why, REASON_SETTINGS_INCOMPLETE);
	/* the end of another version */
	collect_setting(c, 1, "a");
	ck_assert_int_eq(finish(c, 2, 1, &s, &why), ERR_TRUNCATED);
	/* it is empty after each end */
	ck_assert_int_eq(finish(c, 2, 1, &s, &why), ERR_TRUNCATED);
	/* a newer version drops what came of an older one */
	collect_setting(c, 3, "a");
	collect_setting(c, 3, "b");
	collect_setting(c, 4, "c");
	ck_assert_int_eq(finish(c, 4, 1, &s, &why), 0);
	ck_assert_uint_eq(s->n_settings, 1);
	ck_assert_uint_eq(s->version, 4);
	settings_unref(&s);
	/* no row at all is a set, too */
	ck_assert_int_eq(finish(c, 5, 0, &s, &why), 0);
	ck_assert_uint_eq(s->n_realms, 0);
	settings_unref(&s);
	collect_setting(c, 6, "left behind");
	settings_collector_free(&c);
	ck_assert_ptr_null(c);
	settings_collector_free(&c);
}
END_TEST

START_TEST(refuses_pieces_of_no_kind)
{
	Gh__SettingsPiece piece = GH__SETTINGS_PIECE__INIT;
	struct settings_collector *c;
	struct settings *s = NULL;
	enum reason why;

	ck_assert_int_eq(settings_collector_new(&c), 0);
	piece.version = 1;
	ck_assert_int_eq(settings_collect(c, &piece), 0);
	ck_assert_int_eq(finish(c, 1, 1, &s, &why), ERR_INVALID);
	ck_assert_int_eq(why, REASON_SETTINGS_INVALID);
	settings_collector_free(&c);
}
END_TEST

START_TEST(bounds_a_snapshot)
{
	Gh__SettingsPiece piece = GH__SETTINGS_PIECE__INIT;
	struct settings_collector *c;

	ck_assert_int_eq(settings_collector_new(&c), 0);
	for (unsigned i = 0; i < SETTINGS_PIECES_MAX; i++)
		ck_assert_int_eq(settings_collect(c, &piece), 0);
	ck_assert_int_eq(settings_collect(c, &piece), ERR_FULL);
	settings_collector_free(&c);
}
END_TEST

// ---------------------------------------------------------------- look-ups

static struct addr addr_of(const char *text)
{
	struct addr addr;

	ck_assert_msg(!addr_parse(text, &addr), "%s", text);
	return addr;
}

START_TEST(reads_addresses)
{
	static const struct {
		const char *listen, *advertised, *host;
		Gh__Transport transport;
	} rows[] = {
		{"198.51.100.1:5060", "", "198.51.100.1:5060", 0},
		{"[2001:db8::5]:5062", "", "[2001:db8::5]:5062", 0},
		{"198.51.100.1:5060", "sbc.example.com", "sbc.example.com", 0},
		{"198.51.100.1:5062", "sbc.example.com", "sbc.example.com:5062",
			0},
		{"198.51.100.1:5062", "sbc.example.com:5060",
			"sbc.example.com:5060", 0},
		{"198.51.100.1:5061", "sbc.example.com", "sbc.example.com",
			GH__TRANSPORT__TRANSPORT_TLS},
		{"198.51.100.1:5060", "203.0.113.5", "203.0.113.5", 0},
		{"[2001:db8::5]:5070", "2001:db8::99", "[2001:db8::99]:5070",
			0},
		{"[2001:db8::5]:5070", "[2001:db8::99]:6000",
			"[2001:db8::99]:6000", 0},
	};
	static struct rows r;

	for (size_t i = 0; i < N_ROWS(rows); i++) {
		struct settings *s;

		rows_init(&r);
		r.addresses[0].listen = TEXT(rows[i].listen);
		r.addresses[0].advertised_sip = TEXT(rows[i].advertised);
		r.addresses[0].transport = rows[i].transport;
		s = rows_build(&r);
		ck_assert_str_eq(
			settings_realm(s, 1)->addresses[0].advertised_host,
			rows[i].host);
		settings_unref(&s);
	}
	rows_init(&r);
	r.addresses[0].media = TEXT("198.51.100.2");
	r.addresses[2].advertised_media = TEXT("203.0.113.9");
	{
		struct settings *s = rows_build(&r);
		const struct realm *out = settings_realm(s, 1);
		const struct realm *in = settings_realm(s, 2);
		struct addr media = addr_of("198.51.100.2");
		struct addr own = addr_of("10.0.0.1");
		struct addr public = addr_of("203.0.113.9");

		ck_assert(addr_equal(&out->addresses[0].media, &media));
		ck_assert(addr_equal(
			&out->addresses[0].advertised_media, &media));
		ck_assert(addr_equal(&in->addresses[0].media, &own));
		ck_assert(addr_equal(
			&in->addresses[0].advertised_media, &public));
		settings_unref(&s);
	}
}
END_TEST

START_TEST(finds_listeners)
{
	static struct rows r;
	struct settings *s;
	struct addr a = addr_of("10.0.0.1:5070"), b = addr_of("10.0.0.1:5071");
	const struct realm *in;

	rows_init(&r);
	s = rows_build(&r);
	in = settings_realm(s, 2);
	ck_assert_ptr_eq(settings_listener(s, &a, GH__TRANSPORT__TRANSPORT_UDP),
		&in->addresses[1]);
	ck_assert_ptr_null(
		settings_listener(s, &a, GH__TRANSPORT__TRANSPORT_TCP));
	ck_assert_ptr_null(
		settings_listener(s, &b, GH__TRANSPORT__TRANSPORT_UDP));
	ck_assert_ptr_eq(realm_address_for(settings_realm(s, 1), AF_INET6,
				 GH__TRANSPORT__TRANSPORT_UDP),
		&settings_realm(s, 1)->addresses[1]);
	ck_assert_ptr_null(
		realm_address_for(in, AF_INET6, GH__TRANSPORT__TRANSPORT_UDP));
	settings_unref(&s);
}
END_TEST

START_TEST(knows_trunks_by_source)
{
	static struct rows r;
	struct settings *s;
	const struct realm_address *out4, *out6, *in, *in2;
	static const struct {
		const char *source;
		int listener; /* 0 out4, 1 out6, 2 in, 3 in2 */
		uint32_t trunk;
	} rows[] = {
		{"192.0.2.1", 0, 1},
		{"192.0.2.255:5060", 0, 1},
		{"192.0.2.77", 0, 2}, /* longer prefix of the other */
		{"192.0.3.1", 0, 0},
		{"203.0.113.5", 0, 2},
		{"10.0.0.5", 2, 3},
		{"10.0.0.5", 0, 0}, /* wrong realm */
		{"192.0.2.1", 2, 0},
		{"10.0.0.6", 2, 0},
		{"10.0.0.5", 3, 0}, /* only on the first inside address */
		{"2001:db8::1", 1, 0},
		{"255.255.255.255", 0, 0},
		{"0.0.0.0", 0, 0},
	};

	rows_init(&r);
	gh__trunk_source__init(&r.sources[3]);
	r.sources[3].network = TEXT("192.0.2.64/26");
	r.source_rows[3] = &r.sources[3];
	{
		static Gh__TrunkSource *of_other[2];

		of_other[0] = &r.sources[1];
		of_other[1] = &r.sources[3];
		r.other.sources = of_other;
		r.other.n_sources = 2;
	}
	r.sources[2].listen = TEXT("10.0.0.1:5060");
	s = rows_build(&r);
	out4 = &settings_realm(s, 1)->addresses[0];
	out6 = &settings_realm(s, 1)->addresses[1];
	in = &settings_realm(s, 2)->addresses[0];
	in2 = &settings_realm(s, 2)->addresses[1];
	for (size_t i = 0; i < N_ROWS(rows); i++) {
		const struct realm_address *listeners[] = {out4, out6, in, in2};
		const struct realm_address *l = listeners[rows[i].listener];
		struct addr source = addr_of(rows[i].source);
		const struct trunk *t = settings_trunk_by_source(s, &source, l);

		ck_assert_msg((t ? t->row->id : 0) == rows[i].trunk,
			"row %zu: %s", i, rows[i].source);
		if (t)
			ck_assert(trunk_accepts(t, &source, l));
	}
	/* The shorter network still is the first trunk's. */
	{
		struct addr source = addr_of("192.0.2.77");

		ck_assert(trunk_accepts(settings_trunk(s, 1), &source, out4));
	}
	settings_unref(&s);
}
END_TEST

/* All trunks behind a source, the longest network first, each once. */
START_TEST(finds_all_trunks_of_a_source)
{
	static struct rows r;
	const struct trunk *found[4];
	struct addr source = addr_of("192.0.2.77"),
		    none = addr_of("198.18.0.1");
	const struct realm_address *l;
	struct settings *s;

	rows_init(&r);
	r.sources[1].network = TEXT("192.0.2.64/26");
	s = rows_build(&r);
	l = &settings_realm(s, 1)->addresses[0];
	ck_assert_uint_eq(
		settings_trunks_by_source(s, &source, l, found, 4), 2);
	ck_assert_uint_eq(found[0]->row->id, 2);
	ck_assert_uint_eq(found[1]->row->id, 1);
	ck_assert_uint_eq(
		settings_trunks_by_source(s, &source, l, found, 1), 1);
	ck_assert_uint_eq(settings_trunks_by_source(s, &none, l, found, 4), 0);
	settings_unref(&s);
}
END_TEST

START_TEST(forgets_disabled_trunks)
{
	static struct rows r;
	struct addr source = addr_of("192.0.2.1");
	struct settings *s;
	const struct realm_address *l;

	rows_init(&r);
	r.itsp.enabled = false;
	s = rows_build(&r);
	l = &settings_realm(s, 1)->addresses[0];
	ck_assert_ptr_null(settings_trunk_by_source(s, &source, l));
	ck_assert(!trunk_accepts(settings_trunk(s, 1), &source, l));
	settings_unref(&s);
}
END_TEST

/* A source address without a port means any port of that address. */
START_TEST(source_on_any_port_of_an_address)
{
	static struct rows r;
	struct addr source = addr_of("10.0.0.5:5060");
	struct settings *s;

	rows_init(&r);
	r.sources[2].listen = TEXT("10.0.0.1");
	s = rows_build(&r);
	for (size_t i = 0; i < 2; i++)
		ck_assert_ptr_eq(settings_trunk_by_source(s, &source,
					 &settings_realm(s, 2)->addresses[i]),
			settings_trunk(s, 3));
	settings_unref(&s);
}
END_TEST

static uint32_t random_state = 99;

static uint32_t random_below(uint32_t n)
{
	random_state = random_state * 1664525u + 1013904223u;
	return (random_state >> 8) % n;
}

#define MANY 200

/* The index against a search through everything. */
START_TEST(longest_prefix_is_the_same_as_a_plain_search)
{
	static struct rows r;
	static Gh__TrunkSource sources[MANY];
	static Gh__TrunkSource *rows_of[3][MANY];
	static char texts[MANY][ADDR_TEXT_SIZE + 4];
	static unsigned owner[MANY];
	Gh__Trunk *trunks[3];
	struct settings *s;
	const struct realm_address *l;

	rows_init(&r);
	trunks[0] = &r.itsp;
	trunks[1] = &r.other;
	trunks[2] = &r.pbx;
	r.pbx.realm = 1;
	for (unsigned t = 0; t < 3; t++) {
		trunks[t]->n_sources = 0;
		trunks[t]->sources = rows_of[t];
	}
	for (size_t i = 0; i < MANY; i++) {
		unsigned bits = 20 + random_below(13);
		uint32_t ip = 0x0a000000u | random_below(1u << 12);
		unsigned t = random_below(3);

		ip = bits ? ip >> (32 - bits) << (32 - bits) : 0;
		snprintf(texts[i], sizeof(texts[i]), "%u.%u.%u.%u/%u", ip >> 24,
			ip >> 16 & 255, ip >> 8 & 255, ip & 255, bits);
		gh__trunk_source__init(&sources[i]);
		sources[i].network = texts[i];
		owner[i] = t;
		rows_of[t][trunks[t]->n_sources++] = &sources[i];
	}
	s = rows_build(&r);
	l = &settings_realm(s, 1)->addresses[0];
	for (unsigned round = 0; round < 5000; round++) {
		uint32_t ip = 0x0a000000u | random_below(1u << 13);
		struct addr source = {.family = AF_INET,
			.ip = {(uint8_t)(ip >> 24), (uint8_t)(ip >> 16),
				(uint8_t)(ip >> 8), (uint8_t)ip}};
		const struct trunk *found =
			settings_trunk_by_source(s, &source, l);
		int best_len = -1;
		uint32_t best = 0;

		for (size_t i = 0; i < MANY; i++) {
			struct addr_net net;
			uint32_t id = owner[i] + 1;

			ck_assert(!addr_net_parse(texts[i], &net));
			if (!addr_in_net(&source, &net))
				continue;
			if (net.prefix_len > best_len ||
				(net.prefix_len == best_len && id < best)) {
				best_len = net.prefix_len;
				best = id;
			}
		}
		ck_assert_uint_eq(found ? found->row->id : 0, best);
	}
	settings_unref(&s);
}
END_TEST

START_TEST(serves_and_admits)
{
	static const struct {
		const char *host;
		bool served;
	} rows[] = {
		{"example.com", true},
		{"EXAMPLE.com", true},
		{"example.com.", true},
		{"example.org", false},
		{"xexample.com", false},
		{"198.51.100.1", true},
		{"2001:db8::1", true},
		{"[2001:db8::1]", true},
		{"[2001:0DB8:0:0::1]", true},
		{"2001:db8::2", false},
		{"pub.example.net", true},
		{"10.0.0.1", false},
		{"", false},
		{".", false},
		{"[", false},
		{"192.0.2.55", true},
	};
	static struct rows r;
	struct addr friend = addr_of("192.0.2.1"), far = addr_of("192.0.3.1");
	struct settings *s;

	rows_init(&r);
	r.texts[0] = TEXT("example.com");
	r.texts[1] = TEXT("192.0.2.55");
	r.outside.domains = r.texts;
	r.outside.n_domains = 2;
	r.texts[2] = TEXT("192.0.2.0/24");
	r.inside.acl = &r.texts[2];
	r.inside.n_acl = 1;
	r.addresses[0].advertised_sip = TEXT("pub.example.net:5060");
	s = rows_build(&r);
	for (size_t i = 0; i < N_ROWS(rows); i++)
		ck_assert_msg(realm_serves(settings_realm(s, 1),
				      rows[i].host) == rows[i].served,
			"%s", rows[i].host);
	ck_assert(realm_admits(settings_realm(s, 1), &far));
	ck_assert(realm_admits(settings_realm(s, 2), &friend));
	ck_assert(!realm_admits(settings_realm(s, 2), &far));
	settings_unref(&s);
}
END_TEST

START_TEST(reads_numbers_of_settings)
{
	static struct rows r;
	struct settings *s;

	rows_init(&r);
	r.n_settings = 1;
	r.setting.name = TEXT("sip_t1_ms");
	r.setting.value = TEXT("250");
	s = rows_build(&r);
	ck_assert_uint_eq(settings_number(s, "sip_t1_ms", 500, 50, 5000), 250);
	ck_assert_uint_eq(settings_number(s, "sip_t1_ms", 500, 300, 5000), 500);
	ck_assert_uint_eq(settings_number(s, "sip_t1_ms", 500, 50, 200), 500);
	ck_assert_uint_eq(settings_number(s, "sip_t2_ms", 4000, 0, 9999), 4000);
	settings_unref(&s);
}
END_TEST

// ------------------------------------------------------------- expressions

static const struct {
	const char *pattern;
	int n_groups;              /* -1: refused */
	const char *match, *other; /* matches; does not */
} patterns[] = {
	{"0049([0-9]+)", 1, "004930", "0049"},
	{"(\\+49|0049)?([1-9][0-9]{2,})", 2, "30123", "03"},
	{"1[0-9][0-9]", 0, "112", "1123"},
	{"1|12", 0, "12", "2"},
	{"(0[0-9]+)?", 1, "030", "30"},
	{"[]x]+", 0, "]x", "y"},
	{"[^]x]+", 0, "ab", "]"},
	{"[[:digit:]]{3}", 0, "123", "12"},
	{"^30$", 0, "30", "300"},
	{"\\*[0-9]\\#", 0, "*1#", "1#"},
	{"[)(]+", 0, "()", "a"},
	{"", -1, NULL, NULL},
	{"(", -1, NULL, NULL},
	{")", -1, NULL, NULL},
	{"a)(b", -1, NULL, NULL},
	{"[", -1, NULL, NULL},
	{"[[:digit:]", -1, NULL, NULL},
	{"(a)\\1", -1, NULL, NULL},
	{"\\d+", -1, NULL, NULL},
	{"a\\", -1, NULL, NULL},
	{"*a", -1, NULL, NULL},
	{"a|*b", -1, NULL, NULL},
	{"(*a)", -1, NULL, NULL},
	{"(a*)*", -1, NULL, NULL},
	{"(a?)+", -1, NULL, NULL},
	{"((a+)b)*", -1, NULL, NULL},
	{"((a+)b){2}", -1, NULL, NULL},
	{"a**", -1, NULL, NULL},
	{"a{2}{3}", -1, NULL, NULL},
	{"a{65}", -1, NULL, NULL},
	{"a{", -1, NULL, NULL},
	{"a{,5}", -1, NULL, NULL},
	{"a{1,99999999999}", -1, NULL, NULL},
	{"(a{60})(b{60})(c{60})(d{60})(e{60})", -1, NULL, NULL},
	{"((((((((((((((((((a))))))))))))))))))", -1, NULL, NULL},
	{"caf\xc3\xa9", -1, NULL, NULL},
	{"a\nb", -1, NULL, NULL},
};

START_TEST(compiles_only_what_is_bounded)
{
	char why[PATTERN_WHY_SIZE] = "";
	unsigned n_groups = 99;
	regex_t regex;
	int err = pattern_compile(patterns[_i].pattern, &regex, &n_groups, why);

	if (patterns[_i].n_groups < 0) {
		ck_assert_msg(err == ERR_INVALID, "%s", patterns[_i].pattern);
		ck_assert_str_ne(why, "");
		return;
	}
	ck_assert_msg(!err, "%s: %s", patterns[_i].pattern, why);
	ck_assert_int_eq((int)n_groups, patterns[_i].n_groups);
	ck_assert(pattern_matches(&regex, patterns[_i].match, 0, NULL));
	ck_assert(!pattern_matches(&regex, patterns[_i].other, 0, NULL));
	regfree(&regex);
}
END_TEST

START_TEST(bounds_the_length_of_expressions)
{
	char text[PATTERN_LEN_MAX + 2], why[PATTERN_WHY_SIZE];
	unsigned n_groups;
	regex_t regex;

	memset(text, 'a', sizeof(text));
	text[PATTERN_LEN_MAX] = '\0';
	ck_assert_int_eq(pattern_compile(text, &regex, &n_groups, why), 0);
	regfree(&regex);
	text[PATTERN_LEN_MAX] = 'a';
	text[PATTERN_LEN_MAX + 1] = '\0';
	ck_assert_int_eq(
		pattern_compile(text, &regex, &n_groups, why), ERR_INVALID);
}
END_TEST

// ------------------------------------------------------------------- texts

START_TEST(knows_hosts)
{
	static const struct {
		const char *host;
		bool is;
	} rows[] = {
		{"example.com", true},
		{"example.com.", true},
		{"a", true},
		{"192.0.2.1", true},
		{"2001:db8::1", true},
		{"a-b.c", true},
		{"_sip._udp.example.com", true},
		{"", false},
		{".", false},
		{"a..b", false},
		{"a.", true},
		{"a..", false},
		{"-a.b", false},
		{"a-.b", false},
		{"a b", false},
		{"192.0.2.256", false},
		{"1.2.3", false},
		{"[2001:db8::1]", false},
		{"192.0.2.1:5060", false},
		{"a:5", false},
		{"aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffffg"
		 "ggg.x",
			false},
	};

	for (size_t i = 0; i < N_ROWS(rows); i++)
		ck_assert_msg(text_is_host(rows[i].host) == rows[i].is, "%s",
			rows[i].host);
}
END_TEST

START_TEST(knows_visible_utf8)
{
	static const struct {
		const char *text;
		bool plain;
	} rows[] = {
		{"", true},
		{"abc", true},
		{"Jos\xc3\xa9", true},
		{"\xe6\x97\xa5\xe6\x9c\xac", true},
		{"\xf0\x9f\x98\x80", true},
		{"a\tb", false},
		{"a\x7f", false},
		{"\xc2\x80", false},
		{"\xc0\x80", false},
		{"\xc1\xbf", false},
		{"\xe0\x80\x80", false},
		{"\xf0\x80\x80\x80", false},
		{"\xed\xa0\x80", false},
		{"\xf4\x90\x80\x80", false},
		{"\xff", false},
		{"\x80", false},
		{"\xc3", false},
		{"\xe6\x97", false},
		{"\xe2\x80\xae", false}, /* bidi */
		{"\xe2\x80\x8b", false},
		{"\xef\xbb\xbf", false},
		{"\xef\xbf\xbe", false},
		{"\xc2\xad", false},
	};

	for (size_t i = 0; i < N_ROWS(rows); i++)
		ck_assert_msg(utf8_is_plain(rows[i].text,
				      strlen(rows[i].text)) == rows[i].plain,
			"row %zu", i);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("settings");
	TCase *rows = tcase_create("rows");
	TCase *collect = tcase_create("collect");
	TCase *find = tcase_create("find");
	TCase *patterns_case = tcase_create("patterns");
	TCase *texts = tcase_create("texts");

	tcase_add_loop_test(
		rows, names_the_row_that_does_not_fit, 0, (int)N_ROWS(broken));
	tcase_add_test(rows, takes_the_good_set);
	tcase_add_test(rows, finds_all_trunks_of_a_source);
	tcase_add_test(rows, counts_references);
	tcase_add_test(rows, copies_what_it_collects);
	tcase_add_test(collect, refuses_incomplete_snapshots);
	tcase_add_test(collect, refuses_pieces_of_no_kind);
	tcase_add_test(collect, bounds_a_snapshot);
	tcase_set_timeout(collect, 60);
	tcase_add_test(find, reads_addresses);
	tcase_add_test(find, finds_listeners);
	tcase_add_test(find, knows_trunks_by_source);
	tcase_add_test(find, forgets_disabled_trunks);
	tcase_add_test(find, source_on_any_port_of_an_address);
	tcase_add_test(find, longest_prefix_is_the_same_as_a_plain_search);
	tcase_add_test(find, serves_and_admits);
	tcase_add_test(find, reads_numbers_of_settings);
	tcase_set_timeout(find, 60);
	tcase_add_loop_test(patterns_case, compiles_only_what_is_bounded, 0,
		(int)N_ROWS(patterns));
	tcase_add_test(patterns_case, bounds_the_length_of_expressions);
	tcase_add_test(texts, knows_hosts);
	tcase_add_test(texts, knows_visible_utf8);
	suite_add_tcase(s, rows);
	suite_add_tcase(s, collect);
	suite_add_tcase(s, find);
	suite_add_tcase(s, patterns_case);
	suite_add_tcase(s, texts);
	return s;
}

int main(void)
{
	SRunner *runner = srunner_create(suite());
	int n_failed;

	srunner_run_all(runner, CK_NORMAL);
	n_failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return n_failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
