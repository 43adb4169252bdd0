/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Headers: THE table, rules, what crosses between which sides, and that a word
 * planted in any header of a message never comes out on the other side.
 */
#include <check.h>
#include <stdio.h>
#include <string.h>

#include <sofia-sip/sip_header.h>
#include <sofia-sip/sip_parser.h>
#include <sofia-sip/sip_tag.h>

#include "sbc/hdr.h"
#include "sbc/hdr_part.h"
#include "tests/unit/hdr_sides.h"
#include "tests/unit/suite.h"

// ------------------------------------------------------------- what crosses

enum { TRUNK, OTHER, PBX, PHONE };

static const struct hdr_side *side_of(const struct sides *w, int which)
{
	const struct hdr_side *sides[] = {
		&w->trunk, &w->other, &w->pbx, &w->phone};

	return sides[which];
}

static const struct {
	const char *in;
	int from, to;
	const char *out;
} crossings[] = {
	{"Priority: urgent\r\n", TRUNK, PHONE, "Priority: urgent\r\n"},
	{"Priority: EMERGENCY\r\n", PHONE, TRUNK, "Priority: emergency\r\n"},
	{"Priority: EVIL\r\n", PHONE, TRUNK, ""},
	{"Reason: Q.850;cause=16;text=\"EVIL\"\r\n", TRUNK, PBX,
		"Reason: Q.850;cause=16\r\n"},
	{"Reason: SIP;cause=200;text=\"EVIL\", q.850 ; cause=26\r\n", PBX,
		PHONE, "Reason: SIP;cause=200\r\nReason: Q.850;cause=26\r\n"},
	{"Reason: EVIL;cause=1\r\nReason: Q.850;cause=999\r\n", TRUNK, PBX, ""},
	{"Diversion: \"EVIL\" "
	 "<sip:+49-30-1@10.0.0.5;EVIL>;reason=user-busy;counter=1;EVIL="
	 "EVIL\r\n",
		PBX, TRUNK,
		"Diversion: <sip:+49301@198.51.100.1>;reason=user-busy\r\n"},
	{"Diversion: <sip:1@a>;reason=EVIL;privacy=full, <tel:+2>\r\n", TRUNK,
		PBX,
		"Diversion: <sip:1@10.0.0.1>;reason=unknown;privacy=full\r\n"
		"Diversion: <sip:+2@10.0.0.1>;reason=unknown\r\n"},
	{"Diversion: <sip:EVIL@a>\r\n", PBX, TRUNK, ""},
	{"Diversion: <sip:1@a>\r\n", PHONE, TRUNK, ""},
	{"Diversion: <sip:1@a>\r\n", PBX, PHONE, ""},
	{"Diversion: <sip:1@a\r\n", PBX, TRUNK, ""},
	{"Alert-Info: <http://10.0.0.5/EVIL>;info=alert-autoanswer;delay=2\r\n",
		PBX, PHONE,
		"Alert-Info: "
		"<http://[2001:db8::1]>;info=alert-autoanswer;delay=2\r\n"},
	{"Alert-Info: <http://127.0.0.1/Bellcore-dr3>\r\n", PBX, PHONE,
		"Alert-Info: <http://[2001:db8::1]/Bellcore-dr3>\r\n"},
	{"Alert-Info: Bellcore-dr2\r\n", PBX, PHONE,
		"Alert-Info: <http://[2001:db8::1]/Bellcore-dr2>\r\n"},
	{"Alert-Info: <urn:alert:source:internal>\r\n", PBX, PHONE,
		"Alert-Info: <urn:alert:source:internal>\r\n"},
	{"Alert-Info: <http://EVIL/x>;info=EVIL\r\n", PBX, PHONE, ""},
	{"Alert-Info: <http://127.0.0.1/Bellcore-dr9>\r\n", PBX, PHONE, ""},
	{"Alert-Info: <urn:alert:source:internal>\r\n", TRUNK, PHONE, ""},
	{"Alert-Info: <urn:alert:source:internal>\r\n", PBX, TRUNK, ""},
	{"Call-Info: <sip:EVIL@10.0.0.5>;answer-after=0;EVIL\r\n", PBX, PHONE,
		"Call-Info: <sip:[2001:db8::1]>;answer-after=0\r\n"},
	{"Call-Info: <http://EVIL/x.jpg>;purpose=icon\r\n", PBX, PHONE, ""},
	{"Call-Info: <sip:a>;answer-after=0\r\n", TRUNK, PHONE, ""},
	{"Answer-Mode: Auto;require\r\n", PBX, PHONE, "Answer-Mode: Auto\r\n"},
	{"Answer-Mode: EVIL\r\n", PBX, PHONE, ""},
	/* left to policy, which nobody gave */
	{"User-to-User: 00aaff;encoding=hex\r\n", TRUNK, PBX, ""},
	{"P-Early-Media: supported\r\n", TRUNK, PBX, ""},
	/* dropped, built by us, or unknown */
	{"User-Agent: EVIL\r\nServer: EVIL\r\nOrganization: EVIL\r\n"
	 "Subject: EVIL\r\nDate: Sat, 13 Nov 2010 23:29:00 GMT\r\n"
	 "History-Info: <sip:EVIL@10.0.0.5>;index=1\r\n"
	 "Remote-Party-ID: <sip:EVIL@a>;party=calling\r\n"
	 "P-Asserted-Identity: <sip:EVIL@a>\r\n"
	 "P-Preferred-Identity: <sip:EVIL@a>\r\n"
	 "P-Charging-Vector: icid-value=EVIL\r\nSession-ID: EVIL\r\n"
	 "Geolocation: <sip:EVIL@a>\r\nX-EVIL: EVIL\r\nP-EVIL: EVIL\r\n"
	 "Record-Route: <sip:EVIL@a;lr>\r\nAllow: EVIL\r\nSupported: EVIL\r\n"
	 "Replaces: EVIL;to-tag=1;from-tag=2\r\nReferred-By: <sip:EVIL@a>\r\n"
	 "Authorization: Digest username=\"EVIL\"\r\n",
		PBX, TRUNK, ""},
};

static const struct hdr_identity plain_caller = {"1", "", false};

START_TEST(crosses_by_the_table)
{
	static struct sides w;
	const char *out;
	msg_t *msg = sides_invite("<sip:1@a>", crossings[_i].in);

	rows_init(&w.r);
	sides_build(&w);
	out = hdr_lines(sip_object(msg), side_of(&w, crossings[_i].from),
		side_of(&w, crossings[_i].to), &plain_caller, w.home);
	ck_assert_msg(!strcmp(out, crossings[_i].out), "%s got %s",
		crossings[_i].in, out);
	sides_done(&w);
	msg_destroy(msg);
}
END_TEST

START_TEST(diverting_numbers_follow_the_rules)
{
	static struct sides w;
	msg_t *msg = sides_invite("<sip:1@a>", "Diversion: <sip:030100@a>\r\n");

	rows_init(&w.r);
	rows_rule(
		&w.r, GH__NUMBER_RULE_SCOPE__RULE_IN_CALLER, false, "0", "+49");
	sides_build(&w);
	ck_assert_str_eq(
		hdr_lines(sip_object(msg), &w.trunk, &w.pbx, &plain_caller, w.home),
		"Diversion: <sip:+4930100@10.0.0.1>;reason=unknown\r\n");
	sides_done(&w);
	msg_destroy(msg);
	/* who is not to be shown is not, where no identity is told (caller_to
	 * is From) */
	msg = sides_invite(
		"<sip:1@a>", "Diversion: <sip:030100@a>;privacy=full\r\n");
	rows_init(&w.r);
	sides_build(&w);
	ck_assert_str_eq(
		hdr_lines(sip_object(msg), &w.pbx, &w.trunk, &plain_caller, w.home),
		"Diversion: <sip:anonymous@anonymous.invalid>;reason=unknown;"
		"privacy=full\r\n");
	sides_done(&w);
	rows_init(&w.r);
	w.r.itsp.caller_to = GH__CALLER_FROM__CALLER_P_ASSERTED;
	sides_build(&w);
	ck_assert_ptr_nonnull(strstr(
		hdr_lines(sip_object(msg), &w.pbx, &w.trunk, &plain_caller, w.home),
		"Diversion: <sip:030100@198.51.100.1>;"));
	sides_done(&w);
	msg_destroy(msg);
}
END_TEST

#define TOKEN "eyJh.eyJi.c2ln_-"

static const struct {
	const char *name, *in, *out;
	bool inbound, outbound; /* rules that allow it */
} policies[] = {
	{"User-to-User",
		"00aaFF;purpose=isdn-uui;encoding=hex;content=isdn-uui;EVIL=1",
		"00aaFF;encoding=hex;purpose=isdn-uui;content=isdn-uui", true,
		true},
	{"User-to-User", "00aa", "00aa;encoding=hex", true, true},
	{"User-to-User", "00aa", NULL, true, false},
	{"User-to-User", "00aa", NULL, false, true},
	{"User-to-User", "0aa", NULL, true, true},
	{"User-to-User", "EVIL", NULL, true, true},
	{"User-to-User", "00aa;encoding=EVIL", NULL, true, true},
	{"P-Early-Media", "sendrecv, EVIL,gated", "sendrecv, gated", true,
		true},
	{"P-Early-Media", "EVIL", NULL, true, true},
	{"Identity",
		TOKEN ";info=<https://a.example/c.pem>;alg=ES256;ppt=shaken",
		TOKEN
		";info=<https://a.example/c.pem>;alg=ES256;ppt=\"shaken\"",
		true, true},
	{"History-Info",
		"<sip:+49-30-1@10.0.0.5?Reason=SIP%3Bcause%3D302&X=EVIL>;"
		"index=1.1;rc=1;EVIL=1",
		"<sip:+49301@10.0.0.1?Reason=SIP%3Bcause%3D302>;index=1.1;rc=1",
		true, true},
	{"History-Info", "\"EVIL\" <sip:+49301@a?Privacy=history>;index=1",
		"<sip:anonymous@anonymous.invalid>;index=1", true, true},
	{"History-Info", "<sip:EVIL@a?Reason=Q.850%3bcause%3d17>;index=1",
		"<sip:anonymous@anonymous.invalid?Reason=Q.850%3Bcause%3D17>;"
		"index=1",
		true, true},
	{"History-Info", "<sip:+1@a>;index=1..2", NULL, true, true},
	{"History-Info", "<sip:+1@a>;EVIL=1", NULL, true, true},
	{"History-Info", "<sip:+1@a>;index=1", NULL, true, false},
	{"Identity", TOKEN ";info=<http://a.example/c.pem>", NULL, true, true},
	{"Identity", "..c2ln;info=<https://a.example/c>", NULL, true, false},
	{"Identity", "a b.c.d;info=<https://a.example/c>", NULL, true, true},
	{"Identity", "a.b;info=<https://a.example/c>", NULL, true, true},
	{"Identity", TOKEN ";info=<https://a\"b>", NULL, true, true},
};

START_TEST(crosses_by_policy)
{
	static struct sides w;
	static Gh__HeaderRule out_rule;
	static Gh__HeaderRule *out_rules[] = {&out_rule};
	char in[512], want[512] = "";
	const char *out;
	msg_t *msg;

	snprintf(in, sizeof(in), "%s: %s\r\n", policies[_i].name,
		policies[_i].in);
	if (policies[_i].out)
		snprintf(want, sizeof(want), "%s: %s\r\n", policies[_i].name,
			policies[_i].out);
	msg = sides_invite("<sip:1@a>", in);
	rows_init(&w.r);
	if (policies[_i].inbound)
		rows_header_rule(
			&w.r, true, HDR_RULE_CARRY, policies[_i].name, "");
	gh__header_rule__init(&out_rule);
	out_rule.action = HDR_RULE_CARRY;
	out_rule.name = TEXT(policies[_i].name);
	if (policies[_i].outbound) {
		w.r.pbx.header_rules = out_rules;
		w.r.pbx.n_header_rules = 1;
	}
	sides_build(&w);
	out = hdr_lines(sip_object(msg), &w.trunk, &w.pbx, &plain_caller, w.home);
	ck_assert_msg(!strcmp(out, want), "%s got %s", in, out);
	/* never to a phone, and never from another trunk without its rule */
	ck_assert_str_eq(hdr_lines(sip_object(msg), &w.trunk, &w.phone,
				 &plain_caller, w.home),
		"");
	ck_assert_str_eq(
		hdr_lines(sip_object(msg), &w.other, &w.pbx, &plain_caller, w.home),
		"");
	sides_done(&w);
	msg_destroy(msg);
}
END_TEST

START_TEST(a_signature_does_not_survive_rewriting)
{
	static struct sides w;
	static Gh__HeaderRule out_rule;
	static Gh__HeaderRule *out_rules[] = {&out_rule};
	static const char identity[] =
		"Identity: " TOKEN ";info=<https://a.example/c.pem>\r\n";
	msg_t *rewritten = sides_invite("<sip:0301@a>", identity);
	msg_t *same = sides_invite("<sip:+49301@a>", identity);

	rows_init(&w.r);
	rows_header_rule(&w.r, true, HDR_RULE_CARRY, "Identity", "");
	gh__header_rule__init(&out_rule);
	out_rule.action = HDR_RULE_CARRY;
	out_rule.name = TEXT("Identity");
	w.r.pbx.header_rules = out_rules;
	w.r.pbx.n_header_rules = 1;
	rows_rule(
		&w.r, GH__NUMBER_RULE_SCOPE__RULE_IN_CALLER, false, "0", "+49");
	sides_build(&w);
	ck_assert_str_eq(hdr_lines(sip_object(rewritten), &w.trunk, &w.pbx,
				 &plain_caller, w.home),
		"");
	/* A rule that changes nothing does no harm. */
	ck_assert_ptr_nonnull(strstr(hdr_lines(sip_object(same), &w.trunk, &w.pbx,
					     &plain_caller, w.home),
		"Identity: " TOKEN));
	sides_done(&w);
	msg_destroy(rewritten);
	msg_destroy(same);
}
END_TEST

START_TEST(applies_header_rules)
{
	static struct sides w;
	const char *out;
	msg_t *msg = sides_invite(
		"<sip:1@a>", "Priority: urgent\r\nReason: Q.850;cause=16\r\n");
	struct hdr_identity caller = {"+4930", "", false};

	rows_init(&w.r);
	w.r.itsp.caller_to = GH__CALLER_FROM__CALLER_P_ASSERTED;
	rows_header_rule(
		&w.r, false, HDR_RULE_ADD, "X-Line", "{caller}@{host}");
	rows_header_rule(&w.r, false, HDR_RULE_ADD, "X-Line", "two");
	rows_header_rule(&w.r, false, HDR_RULE_SET, "priority", "normal");
	rows_header_rule(&w.r, false, HDR_RULE_REMOVE, "Reason", "");
	rows_header_rule(&w.r, true, HDR_RULE_REMOVE, "Priority", "");
	rows_header_rule(&w.r, true, HDR_RULE_SET, "X-In", "trunk 1");
	sides_build(&w);
	out = hdr_lines(sip_object(msg), &w.phone, &w.trunk, &caller, w.home);
	ck_assert_str_eq(out,
		"P-Asserted-Identity: <sip:+4930@198.51.100.1>\r\n"
		"X-Line: +4930@198.51.100.1\r\nX-Line: two\r\n"
		"priority: normal\r\n");
	/* the other direction has its own rules */
	out = hdr_lines(sip_object(msg), &w.trunk, &w.pbx, &caller, w.home);
	ck_assert_str_eq(out, "Reason: Q.850;cause=16\r\nX-In: trunk 1\r\n");
	/* {caller} of one who hides is nobody */
	caller.hide = true;
	out = hdr_lines(NULL, &w.phone, &w.trunk, &caller, w.home);
	ck_assert_ptr_nonnull(strstr(out, "X-Line: @198.51.100.1\r\n"));
	sides_done(&w);
	/* taking our own identity line out is allowed */
	rows_init(&w.r);
	w.r.itsp.caller_to = GH__CALLER_FROM__CALLER_P_ASSERTED;
	rows_header_rule(
		&w.r, false, HDR_RULE_REMOVE, "P-Asserted-Identity", "");
	sides_build(&w);
	caller.hide = false;
	ck_assert_str_eq(
		hdr_lines(NULL, &w.phone, &w.trunk, &caller, w.home), "");
	sides_done(&w);
	msg_destroy(msg);
}
END_TEST

/* SIPTAG_HEADER_STR has to understand what was written. */
START_TEST(lines_are_read_by_the_stack)
{
	static struct sides w;
	struct hdr_identity caller = {"+4930", "A \"B\" \xc3\xb6", true};
	msg_t *msg = sides_invite("<sip:1@a>", "Priority: urgent\r\n"), *made;
	const char *lines;

	rows_init(&w.r);
	w.r.itsp.caller_to = GH__CALLER_FROM__CALLER_P_ASSERTED;
	rows_header_rule(&w.r, false, HDR_RULE_ADD, "X-A", "b");
	sides_build(&w);
	lines = hdr_lines(sip_object(msg), &w.phone, &w.trunk, &caller, w.home);
	made = msg_create(sip_default_mclass(), 0);
	ck_assert_int_eq(sip_add_tl(made, sip_object(made),
				 SIPTAG_HEADER_STR(lines), TAG_END()),
		0);
	ck_assert_ptr_nonnull(sip_object(made)->sip_privacy);
	ck_assert_ptr_nonnull(sip_object(made)->sip_priority);
	ck_assert_ptr_null(sip_object(made)->sip_error);
	{
		const sip_unknown_t *at = NULL;

		ck_assert_str_eq(hdr_unknown(sip_object(made), "X-A", &at), "b");
		at = NULL;
		ck_assert_str_eq(
			hdr_unknown(sip_object(made), "P-Asserted-Identity", &at),
			"<sip:+4930@198.51.100.1>");
	}
	msg_destroy(made);
	msg_destroy(msg);
	sides_done(&w);
}
END_TEST

/* Every header of the table and some more, as a peer would send them: with the
 * planted word in the value, in each shape that a reader might take. No side
 * gets it from any other, but from policy, which nobody gave here. */
START_TEST(planted_words_never_cross)
{
	static const char *const shapes[] = {"EVIL", "<sip:EVIL@10.9.8.7>",
		"\"EVIL\" <sip:EVIL@EVIL.example;EVIL>;EVIL;reason=EVIL",
		"1 EVIL", "Q.850;cause=16;text=\"EVIL\"", "EVIL;cause=16",
		"<http://EVIL/Bellcore-dr1>;info=EVIL",
		"<urn:alert:EVIL>;info=alert-autoanswer;delay=EVIL",
		"<sip:EVIL@10.9.8.7>;answer-after=0;EVIL", "urgent;EVIL",
		"00aa;EVIL", "supported, EVIL", "<tel:+4930;EVIL>;EVIL",
		"<sip:+4930%45VIL@10.9.8.7>", "+4930EVIL, EVIL",
		"<sip:45564938@10.9.8.7>"};
	static struct sides w;
	size_t n_rows = 0, n_crossed = 0;
	const struct hdr_row *table = hdr_table(&n_rows);

	rows_init(&w.r);
	sides_build(&w);
	for (size_t i = 0; i < n_rows + 2; i++)
		for (size_t k = 0; k < N_ROWS(shapes); k++) {
			const char *name = i < n_rows    ? table[i].name
					   : i == n_rows ? "X-Custom"
							 : "P-Custom";
			char line[512];
			msg_t *msg;

			snprintf(line, sizeof(line), "%s: %s\r\n", name,
				shapes[k]);
			msg = sides_invite("<sip:1@a>", line);
			for (int pair = 0; pair < 16; pair++) {
				const char *out = hdr_lines(sip_object(msg),
					side_of(&w, pair / 4),
					side_of(&w, pair % 4), &plain_caller,
					w.home);

				ck_assert_msg(!strstr(out, "EVIL") &&
						      !strstr(out, "10.9.8"),
					"%s crossed as %s", line, out);
				n_crossed += *out != '\0';
				out = hdr_answer_lines(sip_object(msg),
					side_of(&w, pair / 4),
					side_of(&w, pair % 4), w.home);
				ck_assert_msg(!strstr(out, "EVIL"),
					"%s answered as %s", line, out);
			}
			msg_destroy(msg);
		}
	/* Something has to cross, or this proves nothing. */
	ck_assert_uint_gt(n_crossed, 20);
	sides_done(&w);
}
END_TEST

START_TEST(table_is_sound)
{
	size_t n = 0;
	const struct hdr_row *rows = hdr_table(&n);

	for (size_t i = 0; i < n; i++) {
		/* A location crosses with its body: hdr_location(). */
		bool crosses = (rows[i].action == HDR_CARRY ||
				       rows[i].action == HDR_POLICY) &&
			       strcmp(rows[i].name, "Geolocation") != 0;

		ck_assert_msg(
			crosses == (rows[i].carry != NULL), "%s", rows[i].name);
		ck_assert_msg(crosses == (rows[i].from && rows[i].to), "%s",
			rows[i].name);
		ck_assert_ptr_eq(hdr_find(rows[i].name), &rows[i]);
		if (rows[i].compact)
			ck_assert_ptr_eq(hdr_find(rows[i].compact), &rows[i]);
	}
	ck_assert_ptr_null(hdr_find("X-Nobody"));
	ck_assert_ptr_eq(hdr_find("VIA"), hdr_find("v"));
}
END_TEST

// ------------------------------------------------------------------ answers

static const struct {
	const char *status, *lines, *out;
} answered[] = {
	{"486 EVIL", "Retry-After: 30 (EVIL)\r\nServer: EVIL\r\n",
		"Retry-After: 30\r\n"},
	{"503 EVIL", "Retry-After: 30\r\n", ""},
	{"480 EVIL", "Retry-After: 99999999\r\n", ""},
	{"488 EVIL", "Warning: 305 10.0.0.5:5060 \"EVIL\"\r\n",
		"Warning: 305 198.51.100.1 \"Incompatible media format\"\r\n"},
	{"488 EVIL", "Warning: 399 EVIL.inside \"EVIL\"\r\n",
		"Warning: 399 198.51.100.1 \"Miscellaneous warning\"\r\n"},
	{"488 EVIL", "Warning: 398 a \"EVIL\"\r\n", ""},
	{"603 EVIL", "Reason: Q.850;cause=21;text=\"EVIL\"\r\n",
		"Reason: Q.850;cause=21\r\n"},
	{"302 EVIL", "Contact: <sip:EVIL@10.0.0.5>\r\n", ""},
	{"401 EVIL", "WWW-Authenticate: Digest realm=\"EVIL\",nonce=\"x\"\r\n",
		""},
	/* policy, which nobody gave */
	{"183 EVIL", "P-Early-Media: sendrecv\r\nReason: Q.850;cause=1\r\n",
		""},
	{"404 EVIL", "Error-Info: <sip:EVIL@10.0.0.5>\r\nX-EVIL: EVIL\r\n", ""},
};

START_TEST(answers_cross)
{
	static struct sides w;
	char text[1024];
	int len = snprintf(text, sizeof(text),
		"SIP/2.0 %s\r\nVia: SIP/2.0/UDP 10.0.0.1;branch=z9hG4bKa\r\n"
		"From: <sip:1@a>;tag=1\r\nTo: <sip:2@a>;tag=2\r\n"
		"Call-ID: a\r\nCSeq: 1 INVITE\r\n%sContent-Length: 0\r\n\r\n",
		answered[_i].status, answered[_i].lines);
	msg_t *msg = sides_parse(text, (size_t)len);

	rows_init(&w.r);
	sides_build(&w);
	ck_assert_str_eq(
		hdr_answer_lines(sip_object(msg), &w.pbx, &w.trunk, w.home),
		answered[_i].out);
	sides_done(&w);
	msg_destroy(msg);
}
END_TEST

START_TEST(maps_statuses)
{
	static const struct {
		unsigned far, ours;
	} rows[] = {{503, 500}, {401, 500}, {407, 500}, {486, 486}, {480, 480},
		{404, 404}, {484, 484}, {488, 488}, {600, 600}, {603, 603},
		{606, 606}, {302, 480}, {300, 480}, {408, 480}, {481, 500},
		{400, 500}, {420, 500}, {415, 488}, {416, 404}, {500, 500},
		{504, 504}, {487, 487}, {491, 491}, {499, 480}, {599, 500},
		{699, 603}, {0, 500}, {200, 500}, {700, 500}};

	for (size_t i = 0; i < N_ROWS(rows); i++)
		ck_assert_msg(hdr_map_status(rows[i].far) == rows[i].ours,
			"%u: %u", rows[i].far, hdr_map_status(rows[i].far));
	/* whatever comes: a failure, and never one of these */
	for (unsigned far = 0; far < 1000; far++) {
		unsigned ours = hdr_map_status(far);

		ck_assert(ours >= 400 && ours < 700);
		ck_assert(ours != 401 && ours != 407 && ours != 503 &&
			  ours != 400 && ours != 481 && ours != 420);
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("hdr_cross");

	suite_add_rows(s, "cross", crosses_by_the_table, N_ROWS(crossings));
	suite_add(s, "cross", diverting_numbers_follow_the_rules);
	suite_add_rows(s, "cross", crosses_by_policy, N_ROWS(policies));
	suite_add(s, "cross", a_signature_does_not_survive_rewriting);
	suite_add(s, "cross", applies_header_rules);
	suite_add(s, "cross", lines_are_read_by_the_stack);
	suite_add(s, "cross", planted_words_never_cross);
	suite_add(s, "cross", table_is_sound);
	suite_add_rows(s, "answer", answers_cross, N_ROWS(answered));
	suite_add(s, "answer", maps_statuses);
	return suite_run(s);
}
