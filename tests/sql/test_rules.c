/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the database lets in, sbc takes: both judge the same rules, and the dry
 * run finds each kind of problem. And calls in progress on their way to SQL.
 */
#include "tests/sql/cases.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sbc/hdr_part.h"
#include "sbc/pattern.h"

static const char *const actions[] = {"add", "set", "remove", "carry"};

/* 1: both take it, 0: both refuse it; -1: they differ. */
static int agree_on_header(unsigned action, const char *name, const char *value)
{
	Gh__HeaderRule row = GH__HEADER_RULE__INIT;
	const char *ours, *theirs;
	char quoted[256];

	row.action = action;
	row.name = LAB_TEXT(name);
	row.value = LAB_TEXT(value);
	ours = hdr_rule_check(&row);
	snprintf(quoted, sizeof(quoted), "%s", value);
	theirs = lab_sql_one("SELECT coalesce(sbc.header_rule_problem('%s', "
			     "$n$%s$n$, $v$%s$v$), '')",
		actions[action], name, quoted);
	if (!ours != !*theirs) {
		printf("   %s %s: sbc says %s, SQL says %s\n", actions[action],
			name, ours ? ours : "yes", *theirs ? theirs : "yes");
		return -1;
	}
	return !ours;
}

static void check_headers(void)
{
	static const char *const values[] = {"{caller}",
		"<sip:{caller}@{host}>", "{calle}", "a}", "{", "plain", ""};
	const struct hdr_row *rows;
	unsigned n_same = 0, n_all = 0;
	size_t n;

	rows = hdr_table(&n);
	for (size_t i = 0; i < n; i++) {
		for (unsigned a = 0; a < HDR_RULE_ACTION_COUNT; a++) {
			const char *value = a == HDR_RULE_CARRY ? "" : "x";

			n_same += agree_on_header(a, rows[i].name, value) >= 0;
			n_all++;
			if (!rows[i].compact)
				continue;
			n_same +=
				agree_on_header(a, rows[i].compact, value) >= 0;
			n_all++;
		}
	}
	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		n_same +=
			agree_on_header(HDR_RULE_SET, "X-Own", values[i]) >= 0;
		n_all++;
	}
	lab_check(n_same == n_all && n_all > 200,
		"sbc and SQL agree on %u of %u header rules", n_same, n_all);
	lab_check(agree_on_header(HDR_RULE_CARRY, "User-to-User", "") == 1 &&
			  agree_on_header(HDR_RULE_SET, "X-Own", "a") == 1 &&
			  agree_on_header(HDR_RULE_SET, "Via", "a") == 0,
		"and both take and refuse some");
}

static void check_patterns(void)
{
	static const struct {
		const char *text;
		bool good;
	} patterns[] = {
		{"^\\+49(30[0-9]+)$", true},
		{"0*([1-9][0-9]*)", true},
		{"(00|\\+)?49([0-9]{2,12})", true},
		{"[[:digit:]]+", true},
		{"[]a]+", true},
		{"(a+)?", true},
		{"", false},
		{"(a+)+", false},
		{"(a*)*", false},
		{"((a?)b)+", false},
		{"(a{2,3}){4}", false},
		{"a{65}", false},
		{"a{", false},
		{"a{x}", false},
		{"a{60}b{60}c{60}d{60}e{60}", false},
		{"a**", false},
		{"*", false},
		{"(?:a)", false},
		{"\\d+", false},
		{"(a)\\1", false},
		{"a\\", false},
		{"(a", false},
		{"a)", false},
		{"[a", false},
		{"[[:digit:", false},
		{"\\<a", false},
		{"\303\244", false},
	};
	unsigned n_same = 0;

	for (size_t i = 0; i < sizeof(patterns) / sizeof(patterns[0]); i++) {
		char why[PATTERN_WHY_SIZE] = "";
		unsigned n_groups = 0;
		const char *theirs;
		regex_t regex;
		bool ours;

		ours = pattern_compile(
			       patterns[i].text, &regex, &n_groups, why) == 0;
		if (ours)
			regfree(&regex);
		theirs = lab_sql_one("SELECT sbc.is_regex($p$%s$p$) || ' ' || "
				     "sbc.regex_groups($p$%s$p$)",
			patterns[i].text, patterns[i].text);
		if (ours == patterns[i].good &&
			ours == (strncmp(theirs, "true", 4) == 0) &&
			(!ours || strtoul(theirs + 5, NULL, 10) == n_groups))
			n_same++;
		else
			printf("   \"%s\": sbc %s (%u groups, %s), SQL %s\n",
				patterns[i].text, ours ? "yes" : "no", n_groups,
				why, theirs);
	}
	lab_check(n_same == sizeof(patterns) / sizeof(patterns[0]),
		"sbc and SQL agree on %u of %zu expressions", n_same,
		sizeof(patterns) / sizeof(patterns[0]));
}

/* Statements that fail, with words of the message and of the hint. */
static const struct {
	const char *sql, *message, *hint;
} refused[] = {
	{"SELECT sbc.add_number_rule('itsp', 'in_called', '(0+)+', '', "
	 "true)",
		"a repetition inside a repetition", "For example"},
	{"SELECT sbc.add_number_rule('itsp', 'in_called', '0(.*)', "
	 "'\\2', true)",
		"replace names a group that match does not have", NULL},
	{"SELECT sbc.add_route('r', '0{99}', regex => true)", "starts no bound",
		NULL},
	{"SELECT sbc.add_route('r', '\\d+', regex => true)",
		"write [0-9] for \\d", NULL},
	{"INSERT INTO sbc.route (name, action, emergency) VALUES "
	 "('e', 'trunk', true)",
		"an emergency route names a number", NULL},
	{"SELECT sbc.set_header('itsp', 'out', 'set', 'X-A', "
	 "'{number}')",
		"a brace that is not {caller} or {host}", NULL},
	{"SELECT sbc.set_header('itsp', 'out', 'carry', 'X-A')",
		"not a header that can be carried", "User-to-User"},
	{"SELECT sbc.set_header('itsp', 'out', 'set', 'Privacy', "
	 "'none')",
		"belongs to the SBC", NULL},
	{"SELECT sbc.set_header('itsp', 'out', 'remove', 'k')",
		"the short form of a header", NULL},
	{"SELECT sbc.set_header('itsp', 'out', 'set', 'X-A', "
	 "U&'\\00e4')",
		"one line of printable ASCII", NULL},
	{"SELECT sbc.set_header('itsp', 'in', 'drop', 'X-A')",
		"add, set, remove or carry", NULL},
	{"SELECT sbc.add_trunk_target('itsp', '224.0.0.1')", "no multicast",
		NULL},
	{"SELECT sbc.add_realm_address('outside', '239.1.1.1')",
		"is a multicast address", NULL},
	{"SELECT sbc.set_device('outside', 'eth/1')", "a device has a name of",
		NULL},
	{"SELECT sbc.set_device('outside', '20')", "a device has a name of",
		NULL},
	{"SELECT sbc.set_device('outside', 'abcdefghijklmnop')",
		"a device has a name of", NULL},
	{"SELECT sbc.set_device('outside', 'eth1', '192.0.2.77')",
		"realm outside has no address 192.0.2.77", "realm_address"},
	{"SELECT sbc.set_device('nowhere', 'eth1')", "there is no realm",
		"outside"},
	{"UPDATE sbc.realm_address SET media = '127.0.0.1', device = "
	 "'eth' || realm",
		"media address 127.0.0.1 would be on two devices",
		"set_device"},
	{"INSERT INTO sbc.header_rule (trunk, direction, action, name) "
	 "SELECT sbc.trunk_id('itsp'), 'out', 'remove', 'X-' || g "
	 "FROM generate_series(1, 40) g",
		"at most 32 rows", NULL},
};

void case_rules(void)
{
	lab_case("rules");
	check_headers();
	check_patterns();
	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
		lab_sql_fails(
			refused[i].sql, refused[i].message, refused[i].hint);
	lab_sql_fails("SELECT sbc.set_route_class('nothing', 'x')",
		"there is no route", "out");
	lab_sql_fails("SELECT sbc.set_route_class('out', 'a b')",
		"a destination class is one plain word", NULL);
	lab_check(lab_sql("BEGIN; SELECT sbc.set_route_class('out', "
			  "'national'), sbc.allow_classes('101', 'national'); "
			  "ROLLBACK"),
		"a route has a class, and a phone's classes are named");
	lab_sql_fails("SELECT sbc.set_phone_forwards('101', 'away')",
		"forwards is auto, pbx, follow or refuse", NULL);
	lab_check(lab_sql("BEGIN; SELECT sbc.set_phone_forwards('101', 'pbx'), "
			  "sbc.allow_phone_messages('101', false); ROLLBACK"),
		"a phone's forwarding and texts have a policy");
	lab_check(lab_sql("BEGIN; SELECT sbc.set_device('outside', 'eth1'); "
			  "SELECT sbc.set_device('outside', NULL); COMMIT"),
		"a realm is told its device, and to forget it");
	lab_check(lab_sql("SELECT sbc.set_header('itsp', 'in', 'carry', "
			  "'User-to-User')"),
		"a header that may be carried");
}

/* Event packages and texts: what a realm begins with, and may be told. */
void case_events(void)
{
	static const struct {
		const char *sql, *message, *hint;
	} wrong[] = {
		{"SELECT sbc.allow_events('outside', 'reg')",
			"packages: message-summary, dialog", NULL},
		{"SELECT sbc.allow_events('outside', 'dialog', 'dialog')",
			"packages: message-summary, dialog", NULL},
		{"SELECT sbc.allow_events('nowhere', 'dialog')",
			"there is no realm", "outside"},
		{"SELECT sbc.set_event_trunk('outside', 'itsp')", "is no PBX",
			"inside realm"},
		{"SELECT sbc.set_event_trunk('outside', 'nobody')",
			"there is no trunk", "pbx"},
		{"SELECT sbc.allow_messages('outside', true, '{image/png}')",
			"message types: text/plain", NULL},
		{"SELECT sbc.allow_messages('outside', true, '{}')",
			"message types: text/plain", NULL},
		{"UPDATE sbc.setting SET value = '0' WHERE name = "
		 "'event_expires_min_s'",
			"", NULL},
	};

	lab_case("events");
	lab_check(strcmp(lab_sql_one("SELECT string_agg(name || "
				     "event_packages::text || "
				     "coalesce(event_trunk, 0) || "
				     "allow_message || message_types::text, "
				     "' ' ORDER BY name) FROM sbc.realm"),
			  "inside{}0false{text/plain} "
			  "outside{message-summary,dialog,check-sync}0false"
			  "{text/plain}") == 0,
		"phones begin with the usual packages, and without texts");
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		lab_sql_fails(wrong[i].sql, wrong[i].message, wrong[i].hint);
	lab_check(lab_sql("SELECT sbc.allow_events('outside', 'presence'), "
			  "sbc.set_event_trunk('outside', 'pbx'), "
			  "sbc.allow_messages('outside', true, "
			  "'{text/plain,text/html}')"),
		"a realm is told all three");
	lab_check(strcmp(lab_sql_one("SELECT t.name || ' ' || e.message_types "
				     "FROM sbc.authd_realm_event e JOIN "
				     "sbc.trunk t ON t.id = e.event_trunk"),
			  "pbx text/plain text/html") == 0,
		"authd reads them");
	lab_check(lab_sql("SELECT sbc.allow_events('outside', VARIADIC '{}'), "
			  "sbc.set_event_trunk('outside'), "
			  "sbc.allow_messages('outside', false)"),
		"and that they are taken back");
	lab_sql("SELECT sbc.allow_events('outside', 'message-summary', "
		"'dialog', 'check-sync')");
}

/* Each row: a change that makes a problem, and the words that tell it. */
/* What an administrator may break, and what he is told before COMMIT. */
static const struct {
	const char *change, *words;
} problems[] = {
	{"DELETE FROM sbc.realm_address", "it has no address"},
	{"INSERT INTO sbc.codec_list (name) VALUES ('none')", "it is empty"},
	{"DELETE FROM sbc.codec_list_entry WHERE codec NOT IN "
	 "('telephone-event', 'CN')",
		"none of its codecs carries speech"},
	{"UPDATE sbc.realm SET media_port_min = 20000, media_port_max "
	 "= 30000; UPDATE sbc.realm_address SET media = '127.0.0.1'",
		"their media ports overlap"},
	{"UPDATE sbc.realm SET media_port_min = 5000",
		"lies in a media port range"},
	{"INSERT INTO sbc.trunk_source (trunk, network) SELECT "
	 "sbc.trunk_id('itsp2'), network FROM sbc.trunk_source WHERE "
	 "trunk = sbc.trunk_id('itsp')",
		"both may send from"},
	{"DELETE FROM sbc.trunk_source", "it has no source"},
	{"DELETE FROM sbc.trunk_target", "it has no target"},
	{"UPDATE sbc.trunk SET registers = true, register_user = 'u' "
	 "WHERE name = 'itsp'",
		"has no credentials"},
	{"UPDATE sbc.trunk_target SET transport = 'tls'", "speaks tls"},
	{"DELETE FROM sbc.route_target", "but names none"},
	{"UPDATE sbc.trunk SET enabled = false", "all its trunks are disabled"},
	{"DELETE FROM sbc.route", "there is no route"},
	{"SELECT sbc.add_route('all', priority => 0)", "it is never used"},
	{"DELETE FROM sbc.account_secret",
		"it has no password for its digest list"},
	{"DELETE FROM sbc.account_secret WHERE algorithm = 'MD5'",
		"need a password hash"},
	{"UPDATE sbc.realm SET digest = '{SHA-256}' WHERE phones",
		"phones that know MD5 only"},
	{"SELECT sbc.add_trunk_source('itsp', '192.0.2.0/24', "
	 "local_address => '127.0.0.77')",
		"no address of realm"},
	{"UPDATE sbc.account SET destination_classes = '{moon}'",
		"no route has the class moon"},
	{"UPDATE sbc.route SET emergency = false", "no emergency number"},
	{"SELECT sbc.add_realm_address('outside', 'fe80::1')",
		"fe80::1 is a link-local address and has no device"},
	{"UPDATE sbc.realm_address SET media = address; UPDATE "
	 "sbc.realm_address SET device = 'eth1', media_device = 'eth2'",
		"SIP is bound to device eth1 and media to eth2"},
	{"SELECT sbc.add_realm_address('outside', '127.0.0.78'), "
	 "sbc.set_device('outside', 'eth1', '127.0.0.78')",
		"it is bound to a device with 127.0.0.78 only"},
	{"SELECT sbc.set_device(name, 'eth1') FROM sbc.realm",
		"told apart by addresses only"},
	{"INSERT INTO sbc.config_status VALUES (9e18, now() + "
	 "interval '1 h', 'refused', 0, 'because')",
		"the last change was refused: because"},
};

void case_check_config(void)
{
	lab_case("dry run");
	lab_check(lab_sql("SELECT sbc.add_trunk('itsp2', '127.0.0.66', "
			  "'outside'); SELECT sbc.add_phone('1999')"),
		"something to break");
	for (size_t i = 0; i < sizeof(problems) / sizeof(problems[0]); i++) {
		const char *found;

		lab_sql("BEGIN; %s", problems[i].change);
		found = lab_sql_one("SELECT coalesce(string_agg(problem || "
				    "CASE WHEN hint <> '' THEN '' ELSE 'NO "
				    "HINT' END, '; '), '') FROM "
				    "sbc.check_config()");
		lab_check(strstr(found, problems[i].words) &&
				  !strstr(found, "NO HINT"),
			"it finds \"%s\" before COMMIT: %s", problems[i].words,
			found);
		lab_sql("ROLLBACK");
	}
	lab_check(lab_sql("SELECT sbc.delete_trunk('itsp2'); SELECT "
			  "sbc.delete_phone('1999')"),
		"all of it is gone again");
}

/* ------------------------------------------------------ calls in progress */

static void send_call(bool reset, const char *call, const char *state,
	uint64_t answer_us, const char *ended)
{
	Gh__ActiveCalls news = GH__ACTIVE_CALLS__INIT;
	Gh__ActiveCall row = GH__ACTIVE_CALL__INIT, *rows[] = {&row};
	Gh__ActiveCallSide caller = GH__ACTIVE_CALL_SIDE__INIT;
	Gh__ActiveCallSide called = GH__ACTIVE_CALL_SIDE__INIT;
	char *gone[] = {LAB_TEXT(ended)};
	IPC_MSG(msg, ACTIVE_CALLS, active_calls, &news);

	news.reset = reset;
	caller.kind = LAB_TEXT("trunk");
	caller.name = LAB_TEXT("itsp");
	caller.peer = LAB_TEXT("192.0.2.1:5060");
	row.call = LAB_TEXT(call);
	row.state = LAB_TEXT(state);
	row.wall_start_us = clock_wall_us() - 5000000;
	row.wall_answer_us = answer_us;
	row.caller = LAB_TEXT("+4940'; DROP TABLE sbc.cdr; --");
	row.called = LAB_TEXT("+49301234567");
	row.caller_side = &caller;
	row.called_side = &called;
	news.calls = rows;
	news.n_calls = call ? 1 : 0;
	news.ended = gone;
	news.n_ended = ended ? 1 : 0;
	if (!lab_send(&msg))
		lab_check(false, "calls could not be sent");
}

static bool live_is(const char *text)
{
	return LAB_UNTIL(strcmp(lab_sql_one("SELECT coalesce(string_agg(call "
					    "|| ' ' || state || ' ' || "
					    "came_from || ' ' || (answered_at "
					    "IS NOT NULL), ', ' ORDER BY call)"
					    ", '') FROM sbc.active_call"),
				 text) == 0);
}

void case_live_calls(void)
{
	unsigned asks;

	lab_case("calls in progress");
	lab_check(LAB_UNTIL(lab_sbc.n_calls_asks > 0),
		"authd asks for them when the database is there");
	send_call(true, "AAAAAAAAAAAAAAAA", "ringing", 0, NULL);
	send_call(false, "BBBBBBBBBBBBBBBB", "ringing", 0, NULL);
	lab_check(live_is("AAAAAAAAAAAAAAAA ringing trunk itsp false, "
			  "BBBBBBBBBBBBBBBB ringing trunk itsp false"),
		"two calls are seen");
	send_call(false, "AAAAAAAAAAAAAAAA", "talking", clock_wall_us(),
		"BBBBBBBBBBBBBBBB");
	lab_check(live_is("AAAAAAAAAAAAAAAA talking trunk itsp true"),
		"one is answered, the other over");
	lab_check(strcmp(lab_sql_one("SELECT count(*) FROM sbc.active_call "
				     "WHERE age_s BETWEEN 3 AND 60 AND talk_s "
				     ">= 0"),
			  "1") == 0,
		"with its age");
	asks = lab_sbc.n_calls_asks;
	lab_sql_close();
	lab_cluster_stop("immediate");
	lab_cluster_restart();
	lab_check(LAB_UNTIL(lab_sbc.n_calls_asks > asks),
		"after an outage they are asked for again");
	send_call(true, "CCCCCCCCCCCCCCCC", "talking", clock_wall_us(), NULL);
	lab_check(live_is("CCCCCCCCCCCCCCCC talking trunk itsp true"),
		"and what was before is gone");
	send_call(true, NULL, "", 0, NULL);
	lab_check(live_is(""), "none is left");
}
