// SPDX-License-Identifier: Apache-2.0
/*
 * Headers: requests of tests/vectors/sip (the name begins with the status that
 * they earn), identities in and out, quoting, THE table, rules, what crosses
 * between which sides, and that a word planted in any header of a message
 * never comes out on the other side.
 */
#include <check.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sofia-sip/msg_addr.h>
#include <sofia-sip/sip_header.h>
#include <sofia-sip/sip_parser.h>
#include <sofia-sip/sip_tag.h>
#include <sofia-sip/su_alloc.h>

#include "sbc/hdr.h"
#include "sbc/hdr_part.h"
#include "tests/unit/sbc_rows.h"

#define N_ROWS(table) (sizeof(table) / sizeof((table)[0]))

static const char *vectors_dir(const char *name)
{
	static char path[512];
	const char *top = getenv("srcdir");

	snprintf(path, sizeof(path), "%s/tests/vectors/%s", top ? top : ".",
		name);
	return path;
}

static msg_t *parse(const char *text, size_t len)
{
	msg_t *msg = msg_make(sip_default_mclass(), 0, text, (ssize_t)len);

	ck_assert_ptr_nonnull(msg);
	return msg;
}

static const sip_t *sip_of(msg_t *msg)
{
	return sip_object(msg);
}

// ----------------------------------------------------------------- requests

static enum reason check_file(const char *path, const char **unsupported)
{
	static char text[65536];
	FILE *file = fopen(path, "rb");
	enum reason why;
	size_t len;
	msg_t *msg;

	ck_assert_msg(file != NULL, "%s", path);
	len = fread(text, 1, sizeof(text) - 1, file);
	fclose(file);
	text[len] = '\0';
	msg = parse(text, len);
	why = hdr_check_request(sip_of(msg), msg_home(msg), unsupported);
	if (*unsupported)
		*unsupported = strdup(*unsupported);
	msg_destroy(msg);
	return why;
}

START_TEST(checks_requests)
{
	static const struct {
		const char *begin;
		enum reason why;
	} kinds[] = {
		{"ok-", REASON_ADMIT_OK},
		{"400-", REASON_ADMIT_SYNTAX},
		{"415-", REASON_ADMIT_CONTENT_TYPE},
		{"416-", REASON_ADMIT_URI_SCHEME},
		{"420-", REASON_ADMIT_REQUIRE},
		{"483-", REASON_ADMIT_MAX_FORWARDS},
	};
	unsigned n_of[N_ROWS(kinds)] = {0};
	DIR *dir = opendir(vectors_dir("sip"));
	struct dirent *entry;
	char bad[4096] = "";

	ck_assert_msg(dir != NULL, "%s", vectors_dir("sip"));
	while ((entry = readdir(dir)) != NULL) {
		const char *unsupported = NULL;
		enum reason why;
		char path[1024];

		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%s/%s", vectors_dir("sip"),
			entry->d_name);
		why = check_file(path, &unsupported);
		for (size_t i = 0; i < N_ROWS(kinds); i++) {
			if (strncmp(entry->d_name, kinds[i].begin,
				    strlen(kinds[i].begin)))
				continue;
			n_of[i]++;
			if (why == kinds[i].why ||
				(reason_sip(why) == 400 &&
					kinds[i].why == REASON_ADMIT_SYNTAX))
				continue;
			snprintf(bad + strlen(bad), sizeof(bad) - strlen(bad),
				"%s: %s\n", entry->d_name, reason_text(why));
		}
		ck_assert_int_eq(
			unsupported != NULL, why == REASON_ADMIT_REQUIRE);
		free((void *)(uintptr_t)unsupported);
	}
	closedir(dir);
	ck_assert_msg(!*bad, "\n%s", bad);
	for (size_t i = 0; i < N_ROWS(kinds); i++)
		ck_assert_msg(n_of[i] >= 2, "%s", kinds[i].begin);
}
END_TEST

/** An INVITE with these lines beside those of its dialog. */
static msg_t *invite(const char *from, const char *lines)
{
	char text[8192];
	int len = snprintf(text, sizeof(text),
		"INVITE sip:%%2B4930-123@198.51.100.1;user=phone SIP/2.0\r\n"
		"Via: SIP/2.0/UDP 192.0.2.10;branch=z9hG4bKa\r\n"
		"From: %s;tag=1\r\n"
		"To: <sip:0049301@198.51.100.1>\r\n"
		"Call-ID: a\r\nCSeq: 1 INVITE\r\n"
		"Contact: <sip:1@192.0.2.10>\r\n%s"
		"Content-Length: 0\r\n\r\n",
		from, lines);

	ck_assert_int_lt(len, (int)sizeof(text));
	return parse(text, (size_t)len);
}

START_TEST(names_what_is_unsupported)
{
	const char *unsupported = NULL;
	msg_t *msg =
		invite("<sip:1@a>", "Require: timer, foo\r\nRequire: bar\r\n"
				    "Proxy-Require: baz\r\n");

	ck_assert_int_eq(
		hdr_check_request(sip_of(msg), msg_home(msg), &unsupported),
		REASON_ADMIT_REQUIRE);
	ck_assert_ptr_nonnull(unsupported);
	ck_assert_ptr_nonnull(strstr(unsupported, "foo"));
	ck_assert_ptr_nonnull(strstr(unsupported, "baz"));
	ck_assert_ptr_null(strstr(unsupported, "timer"));
	ck_assert_ptr_null(strpbrk(unsupported, "\r\n"));
	msg_destroy(msg);
}
END_TEST

START_TEST(takes_the_description_out)
{
	static const char sdp[] = "v=0\r\no=- 1 1 IN IP4 192.0.2.10\r\n";
	char text[1024];
	const char *found;
	size_t len;
	int n = snprintf(text, sizeof(text),
		"INVITE sip:a SIP/2.0\r\n"
		"Content-Type: multipart/mixed; boundary=\"b c\"\r\n\r\n"
		"--b c\r\nContent-Type: application/sdp\r\n\r\n%s\r\n"
		"--b c\r\n\r\nx\r\n--b c--",
		sdp);
	msg_t *msg = parse(text, (size_t)n);

	ck_assert_int_eq(
		hdr_sdp_of(sip_of(msg), &found, &len), REASON_ADMIT_OK);
	ck_assert_uint_eq(len, sizeof(sdp) - 1);
	ck_assert_mem_eq(found, sdp, len);
	msg_destroy(msg);
	msg = invite("<sip:1@a>", "");
	ck_assert_int_eq(
		hdr_sdp_of(sip_of(msg), &found, &len), REASON_ADMIT_OK);
	ck_assert_ptr_null(found);
	msg_destroy(msg);
}
END_TEST

// --------------------------------------------------------------- identities

enum { FROM, ASSERTED, PREFERRED };

static const struct {
	int policy;
	const char *from, *lines;
	const char *number, *display; /* number NULL: refused */
	bool hide;
} callers[] = {
	{FROM, "\"Alice\" <sip:+4940-1234@192.0.2.10;user=phone>", "",
		"+49401234", "Alice", false},
	{FROM, "Alice <sip:100@a>", "", "100", "Alice", false},
	{FROM, "<sip:100@a>", "", "100", "", false},
	{FROM, "sip:100@a", "", "100", "", false},
	{FROM, "<tel:+49-40-1234>", "", "+49401234", "", false},
	{FROM, "\"A\" <sip:anonymous@anonymous.invalid>", "", "", "", true},
	{FROM, "\"A\" <sip:ANONYMOUS@example.com>", "", "", "", true},
	{FROM, "<sip:+4930@anonymous.invalid>", "", "", "", true},
	{FROM, "<sip:unavailable@a>", "", "", "", true},
	{FROM, "<sip:192.0.2.10>", "", "", "", false},
	{FROM, "<sip:+4930@a>", "Privacy: id\r\n", "+4930", "", true},
	{FROM, "<sip:+4930@a>", "Privacy: header;id\r\n", "+4930", "", true},
	{FROM, "<sip:+4930@a>", "Privacy: none\r\n", "+4930", "", false},
	{FROM, "<sip:+4930@a>", "P-Asserted-Identity: <sip:666@b>\r\n", "+4930",
		"", false},
	{FROM, "<sip:a%00b@a>", "", NULL, NULL, false},
	{FROM, "<sip:a%0d%0ab@a>", "", NULL, NULL, false},
	{ASSERTED, "\"Bob\" <sip:1@a>",
		"P-Asserted-Identity: \"Alice\" <sip:+4930@b>\r\n", "+4930",
		"Alice", false},
	{ASSERTED, "\"Bob\" <sip:1@a>",
		"P-Asserted-Identity: <sip:+4930@b>\r\n", "+4930", "Bob",
		false},
	{ASSERTED, "\"Bob\" <sip:1@a>", "P-Asserted-Identity: tel:+49-30-1\r\n",
		"+49301", "Bob", false},
	{ASSERTED, "<sip:1@a>",
		"P-Asserted-Identity: <mailto:x@y>, \"C, \\\"D\\\"\" "
		"<sip:2@b>, <tel:+3>\r\n",
		"2", "C, \"D\"", false},
	{ASSERTED, "<sip:1@a>",
		"p-asserted-identity: <urn:x>\r\nP-Asserted-Identity: "
		"<tel:+3>\r\n",
		"+3", "", false},
	{ASSERTED, "\"Anon\" <sip:anonymous@anonymous.invalid>",
		"P-Asserted-Identity: \"Alice\" <sip:+4930@b>\r\nPrivacy: "
		"id\r\n",
		"+4930", "Alice", true},
	{ASSERTED, "<sip:anonymous@anonymous.invalid>",
		"P-Asserted-Identity: <sip:+4930@b>\r\n", "+4930", "", true},
	{ASSERTED, "<sip:1@a>", "P-Asserted-Identity: <sip:anonymous@b>\r\n",
		"", "", true},
	{ASSERTED, "\"Bob\" <sip:1@a>", "", "1", "Bob", false},
	{ASSERTED, "\"Bob\" <sip:1@a>", "P-Asserted-Identity: <sip:+4930@b\r\n",
		"1", "Bob", false},
	{ASSERTED, "\"Bob\" <sip:1@a>",
		"P-Asserted-Identity: \"x <sip:2@b>\r\n", "1", "Bob", false},
	{ASSERTED, "<sip:1@a>", "P-Asserted-Identity: <sip:a b@b>\r\n", NULL,
		NULL, false},
	{ASSERTED, "<sip:1@a>", "P-Preferred-Identity: <sip:2@b>\r\n", "1", "",
		false},
	{PREFERRED, "<sip:1@a>", "P-Preferred-Identity: <sip:2@b>\r\n", "2", "",
		false},
};

START_TEST(reads_callers)
{
	static struct rows r;
	struct hdr_identity id = {"untouched", "untouched", false};
	struct settings *s;
	msg_t *msg = invite(callers[_i].from, callers[_i].lines);
	int err;

	rows_init(&r);
	r.itsp.caller_from = (Gh__CallerFrom)callers[_i].policy;
	s = rows_build(&r);
	err = hdr_caller_of(
		sip_of(msg), settings_trunk(s, 1), msg_home(msg), &id);
	if (!callers[_i].number) {
		ck_assert_int_eq(err, ERR_INVALID);
		ck_assert_str_eq(id.number, "untouched");
	} else {
		ck_assert_int_eq(err, 0);
		ck_assert_str_eq(id.number, callers[_i].number);
		ck_assert_str_eq(id.display, callers[_i].display);
		ck_assert_int_eq(id.hide, callers[_i].hide);
	}
	msg_destroy(msg);
	settings_unref(&s);
}
END_TEST

START_TEST(reads_called_numbers)
{
	static const struct {
		Gh__CalledFrom policy;
		const char *lines, *user;
	} rows[] = {
		{GH__CALLED_FROM__CALLED_REQUEST_URI, "", "+4930-123"},
		{GH__CALLED_FROM__CALLED_TO, "", "0049301"},
		{GH__CALLED_FROM__CALLED_P_CALLED_PARTY_ID,
			"P-Called-Party-ID: \"X\" "
			"<sip:+495@a;user=phone>;x=y\r\n",
			"+495"},
		{GH__CALLED_FROM__CALLED_P_CALLED_PARTY_ID, "", "+4930-123"},
		{GH__CALLED_FROM__CALLED_DIVERSION,
			"Diversion: <tel:+496>;reason=no-answer\r\n", "+496"},
		{GH__CALLED_FROM__CALLED_DIVERSION,
			"Diversion: <sip:a>\r\nDiversion: <sip:7@b>, "
			"<sip:8@c>\r\n",
			"7"},
	};
	static struct rows r;

	for (size_t i = 0; i < N_ROWS(rows); i++) {
		msg_t *msg = invite("<sip:1@a>", rows[i].lines);
		struct settings *s;

		rows_init(&r);
		r.itsp.called_from = rows[i].policy;
		s = rows_build(&r);
		ck_assert_str_eq(hdr_called_of(sip_of(msg),
					 settings_trunk(s, 1), msg_home(msg)),
			rows[i].user);
		/* for a phone it is the Request-URI always; sofia-sip
		 * has taken off the escapes that mean nothing */
		ck_assert_str_eq(
			hdr_called_of(sip_of(msg), NULL, msg_home(msg)),
			"+4930-123");
		msg_destroy(msg);
		settings_unref(&s);
	}
	{
		msg_t *msg = parse("OPTIONS sip:a SIP/2.0\r\n\r\n", 25);

		ck_assert_ptr_null(
			hdr_called_of(sip_of(msg), NULL, msg_home(msg)));
		msg_destroy(msg);
	}
}
END_TEST

#define DIGITS_60  "123456789012345678901234567890123456789012345678901234567890"
#define UMLAUTS_4  "\xc3\xb6\xc3\xb6\xc3\xb6\xc3\xb6"
#define UMLAUTS_16 UMLAUTS_4 UMLAUTS_4 UMLAUTS_4 UMLAUTS_4

static const struct {
	const char *text, *display;
} displays[] = {
	{"Alice", "Alice"},
	{"\"Alice\"", "Alice"},
	{"  \"Alice B.\" ", "Alice B."},
	{"\"a\\\"b\\\\c\"", "a\"b\\c"},
	{"\"J\xc3\xb6rg\"", "J\xc3\xb6rg"},
	{"", ""},
	{NULL, ""},
	{"\"\"", ""},
	{"\"a\r\nVia: x\"", ""},
	{"\"a\\\nb\"", ""},
	{"\"a\tb\"", ""},
	{"\"\xff\"", ""},
	{"\"\xc0\x80\"", ""},
	{"\"a\\", ""},
	{"\"\xe2\x80\xae"
	 "evil\"",
		""},
	{DIGITS_60 "123456789", DIGITS_60 "1234"},
	/* cut between characters, not inside one */
	{UMLAUTS_16 UMLAUTS_16 UMLAUTS_16 UMLAUTS_16 UMLAUTS_16,
		UMLAUTS_16 UMLAUTS_16 UMLAUTS_16 UMLAUTS_16},
};

START_TEST(cleans_display_names)
{
	su_home_t *home = su_home_new(sizeof(*home));

	ck_assert_str_eq(
		hdr_display(displays[_i].text, home), displays[_i].display);
	su_home_unref(home);
}
END_TEST

/** What sides of a call are made of. */
struct sides {
	struct rows r;
	struct settings *s;
	su_home_t *home;
	struct hdr_side trunk, other, pbx, phone;
};

static void sides_build(struct sides *w)
{
	w->s = rows_build(&w->r);
	w->home = su_home_new(sizeof(*w->home));
	w->trunk = (struct hdr_side){SIDE_TRUNK, settings_trunk(w->s, 1),
		settings_realm(w->s, 1), "198.51.100.1:5060"};
	w->other = (struct hdr_side){SIDE_TRUNK, settings_trunk(w->s, 2),
		settings_realm(w->s, 1), "198.51.100.1:5060"};
	w->pbx = (struct hdr_side){SIDE_PBX, settings_trunk(w->s, 3),
		settings_realm(w->s, 2), "10.0.0.1:5060"};
	w->phone = (struct hdr_side){SIDE_PHONE, NULL, settings_realm(w->s, 1),
		"[2001:db8::1]:5060"};
}

static void sides_done(struct sides *w)
{
	su_home_unref(w->home);
	settings_unref(&w->s);
}

START_TEST(writes_from_and_to)
{
	static const struct {
		const char *domain;
		struct hdr_identity id;
		const char *from;
	} rows[] = {
		{"", {"+4930", "Alice", false},
			"\"Alice\" <sip:+4930@198.51.100.1>"},
		{"itsp.example", {"+4930", "", false},
			"<sip:+4930@itsp.example>"},
		{"2001:db8::7", {"1", "", false}, "<sip:1@[2001:db8::7]>"},
		{"", {"*21#", "a\"b\\c", false},
			"\"a\\\"b\\\\c\" <sip:*21%23@198.51.100.1>"},
		{"", {"+4930", "Alice", true},
			"\"Anonymous\" <sip:anonymous@anonymous.invalid>"},
		{"itsp.example", {"", "Alice", false},
			"\"Anonymous\" <sip:anonymous@anonymous.invalid>"},
		{"", {"1", "x\r\nEVIL", false}, "<sip:1@198.51.100.1>"},
		{"", {"1>;tag=x", "", false},
			"<sip:1%3E%3Btag%3Dx@198.51.100.1>"},
	};
	static struct sides w;

	for (size_t i = 0; i < N_ROWS(rows); i++) {
		sip_from_t *from;

		rows_init(&w.r);
		w.r.itsp.domain = TEXT(rows[i].domain);
		sides_build(&w);
		ck_assert_str_eq(
			hdr_from(&w.trunk, &rows[i].id, w.home), rows[i].from);
		/* and sofia-sip reads the same out of it */
		from = sip_from_make(w.home, rows[i].from);
		ck_assert_ptr_nonnull(from);
		ck_assert_ptr_null(from->a_params);
		sides_done(&w);
	}
	rows_init(&w.r);
	sides_build(&w);
	ck_assert_str_eq(
		hdr_to(&w.trunk, "+4930", "sip.example.net:5070", w.home),
		"<sip:+4930@sip.example.net>");
	ck_assert_str_eq(hdr_to(&w.phone, "100", "[2001:db8::9]:5062", w.home),
		"<sip:100@[2001:db8::9]>");
	ck_assert_str_eq(hdr_to(&w.phone, "100", "192.0.2.1:5062", w.home),
		"<sip:100@192.0.2.1>");
	ck_assert_str_eq(
		hdr_from(&w.phone, &(struct hdr_identity){"100", "", false},
			w.home),
		"<sip:100@[2001:db8::1]>");
	sides_done(&w);
	rows_init(&w.r);
	w.r.itsp.domain = TEXT("itsp.example");
	sides_build(&w);
	ck_assert_str_eq(hdr_to(&w.trunk, "1", "192.0.2.10", w.home),
		"<sip:1@itsp.example>");
	sides_done(&w);
}
END_TEST

START_TEST(writes_identity_lines)
{
	static const struct {
		Gh__CallerFrom caller_to;
		struct hdr_identity id;
		const char *lines;
	} rows[] = {
		{0, {"+4930", "Alice", false}, ""},
		{0, {"+4930", "Alice", true}, "Privacy: id\r\n"},
		{1, {"+4930", "Alice", false},
			"P-Asserted-Identity: \"Alice\" "
			"<sip:+4930@198.51.100.1>\r\n"},
		{1, {"+4930", "Alice", true},
			"Privacy: id\r\n"
			"P-Asserted-Identity: <sip:+4930@198.51.100.1>\r\n"},
		{2, {"+4930", "", false},
			"P-Preferred-Identity: <sip:+4930@198.51.100.1>\r\n"},
		{1, {"", "", true}, "Privacy: id\r\n"},
		{1, {"", "", false}, ""},
	};
	static struct sides w;

	for (size_t i = 0; i < N_ROWS(rows); i++) {
		rows_init(&w.r);
		w.r.itsp.caller_to = rows[i].caller_to;
		sides_build(&w);
		ck_assert_str_eq(hdr_lines(NULL, &w.phone, &w.trunk,
					 &rows[i].id, w.home),
			rows[i].lines);
		/* a phone never gets the number of one who hides */
		ck_assert_str_eq(hdr_lines(NULL, &w.trunk, &w.phone,
					 &rows[i].id, w.home),
			rows[i].id.hide ? "Privacy: id\r\n" : "");
		sides_done(&w);
	}
}
END_TEST

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
	msg_t *msg = invite("<sip:1@a>", crossings[_i].in);

	rows_init(&w.r);
	sides_build(&w);
	out = hdr_lines(sip_of(msg), side_of(&w, crossings[_i].from),
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
	msg_t *msg = invite("<sip:1@a>", "Diversion: <sip:030100@a>\r\n");

	rows_init(&w.r);
	rows_rule(
		&w.r, GH__NUMBER_RULE_SCOPE__RULE_IN_CALLER, false, "0", "+49");
	sides_build(&w);
	ck_assert_str_eq(
		hdr_lines(sip_of(msg), &w.trunk, &w.pbx, &plain_caller, w.home),
		"Diversion: <sip:+4930100@10.0.0.1>;reason=unknown\r\n");
	sides_done(&w);
	msg_destroy(msg);
	/* who is not to be shown is not, where no identity is told (caller_to
	 * is From) */
	msg = invite("<sip:1@a>", "Diversion: <sip:030100@a>;privacy=full\r\n");
	rows_init(&w.r);
	sides_build(&w);
	ck_assert_str_eq(
		hdr_lines(sip_of(msg), &w.pbx, &w.trunk, &plain_caller, w.home),
		"Diversion: <sip:anonymous@anonymous.invalid>;reason=unknown;"
		"privacy=full\r\n");
	sides_done(&w);
	rows_init(&w.r);
	w.r.itsp.caller_to = GH__CALLER_FROM__CALLER_P_ASSERTED;
	sides_build(&w);
	ck_assert_ptr_nonnull(strstr(
		hdr_lines(sip_of(msg), &w.pbx, &w.trunk, &plain_caller, w.home),
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
	msg = invite("<sip:1@a>", in);
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
	out = hdr_lines(sip_of(msg), &w.trunk, &w.pbx, &plain_caller, w.home);
	ck_assert_msg(!strcmp(out, want), "%s got %s", in, out);
	/* never to a phone, and never from another trunk without its rule */
	ck_assert_str_eq(hdr_lines(sip_of(msg), &w.trunk, &w.phone,
				 &plain_caller, w.home),
		"");
	ck_assert_str_eq(
		hdr_lines(sip_of(msg), &w.other, &w.pbx, &plain_caller, w.home),
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
	msg_t *rewritten = invite("<sip:0301@a>", identity);
	msg_t *same = invite("<sip:+49301@a>", identity);

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
	ck_assert_str_eq(hdr_lines(sip_of(rewritten), &w.trunk, &w.pbx,
				 &plain_caller, w.home),
		"");
	/* A rule that changes nothing does no harm. */
	ck_assert_ptr_nonnull(strstr(hdr_lines(sip_of(same), &w.trunk, &w.pbx,
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
	msg_t *msg = invite(
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
	out = hdr_lines(sip_of(msg), &w.phone, &w.trunk, &caller, w.home);
	ck_assert_str_eq(out,
		"P-Asserted-Identity: <sip:+4930@198.51.100.1>\r\n"
		"X-Line: +4930@198.51.100.1\r\nX-Line: two\r\n"
		"priority: normal\r\n");
	/* the other direction has its own rules */
	out = hdr_lines(sip_of(msg), &w.trunk, &w.pbx, &caller, w.home);
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
	msg_t *msg = invite("<sip:1@a>", "Priority: urgent\r\n"), *made;
	const char *lines;

	rows_init(&w.r);
	w.r.itsp.caller_to = GH__CALLER_FROM__CALLER_P_ASSERTED;
	rows_header_rule(&w.r, false, HDR_RULE_ADD, "X-A", "b");
	sides_build(&w);
	lines = hdr_lines(sip_of(msg), &w.phone, &w.trunk, &caller, w.home);
	made = msg_create(sip_default_mclass(), 0);
	ck_assert_int_eq(sip_add_tl(made, sip_object(made),
				 SIPTAG_HEADER_STR(lines), TAG_END()),
		0);
	ck_assert_ptr_nonnull(sip_of(made)->sip_privacy);
	ck_assert_ptr_nonnull(sip_of(made)->sip_priority);
	ck_assert_ptr_null(sip_of(made)->sip_error);
	{
		const sip_unknown_t *at = NULL;

		ck_assert_str_eq(hdr_unknown(sip_of(made), "X-A", &at), "b");
		at = NULL;
		ck_assert_str_eq(
			hdr_unknown(sip_of(made), "P-Asserted-Identity", &at),
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
			msg = invite("<sip:1@a>", line);
			for (int pair = 0; pair < 16; pair++) {
				const char *out = hdr_lines(sip_of(msg),
					side_of(&w, pair / 4),
					side_of(&w, pair % 4), &plain_caller,
					w.home);

				ck_assert_msg(!strstr(out, "EVIL") &&
						      !strstr(out, "10.9.8"),
					"%s crossed as %s", line, out);
				n_crossed += *out != '\0';
				out = hdr_answer_lines(sip_of(msg),
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
	msg_t *msg = parse(text, (size_t)len);

	rows_init(&w.r);
	sides_build(&w);
	ck_assert_str_eq(
		hdr_answer_lines(sip_of(msg), &w.pbx, &w.trunk, w.home),
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

static Suite *suite(void)
{
	Suite *s = suite_create("hdr");
	TCase *request = tcase_create("request");
	TCase *identity = tcase_create("identity");
	TCase *cross = tcase_create("cross");
	TCase *answer = tcase_create("answer");

	tcase_add_test(request, checks_requests);
	tcase_add_test(request, names_what_is_unsupported);
	tcase_add_test(request, takes_the_description_out);
	tcase_add_loop_test(identity, reads_callers, 0, (int)N_ROWS(callers));
	tcase_add_test(identity, reads_called_numbers);
	tcase_add_loop_test(
		identity, cleans_display_names, 0, (int)N_ROWS(displays));
	tcase_add_test(identity, writes_from_and_to);
	tcase_add_test(identity, writes_identity_lines);
	tcase_add_loop_test(
		cross, crosses_by_the_table, 0, (int)N_ROWS(crossings));
	tcase_add_test(cross, diverting_numbers_follow_the_rules);
	tcase_add_loop_test(cross, crosses_by_policy, 0, (int)N_ROWS(policies));
	tcase_add_test(cross, a_signature_does_not_survive_rewriting);
	tcase_add_test(cross, applies_header_rules);
	tcase_add_test(cross, lines_are_read_by_the_stack);
	tcase_add_test(cross, planted_words_never_cross);
	tcase_add_test(cross, table_is_sound);
	tcase_set_timeout(cross, 60);
	tcase_add_loop_test(answer, answers_cross, 0, (int)N_ROWS(answered));
	tcase_add_test(answer, maps_statuses);
	suite_add_tcase(s, request);
	suite_add_tcase(s, identity);
	suite_add_tcase(s, cross);
	suite_add_tcase(s, answer);
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
