/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The settings snapshot: for every kind of row that does not fit, the line that
 * names it; the expressions that are taken.
 */
#include <check.h>
#include <string.h>

#include "sbc/pattern.h"
#include "tests/unit/sbc_rows.h"
#include "tests/unit/suite.h"

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

int main(void)
{
	Suite *s = suite_create("settings_rows");

	suite_add_rows(
		s, "rows", names_the_row_that_does_not_fit, N_ROWS(broken));
	suite_add_rows(
		s, "patterns", compiles_only_what_is_bounded, N_ROWS(patterns));
	suite_add(s, "patterns", bounds_the_length_of_expressions);
	return suite_run(s);
}
