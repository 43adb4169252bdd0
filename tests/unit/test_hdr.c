/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Headers: requests of tests/vectors/sip (the name begins with the status that
 * they earn), identities in and out, quoting.
 */
#include <check.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sofia-sip/sip_header.h>
#include <sofia-sip/su_alloc.h>

#include "sbc/hdr.h"
#include "sbc/hdr_part.h"
#include "tests/unit/hdr_sides.h"
#include "tests/unit/suite.h"

static const char *vectors_dir(const char *name)
{
	static char path[512];
	const char *top = getenv("srcdir");

	snprintf(path, sizeof(path), "%s/tests/vectors/%s", top ? top : ".",
		name);
	return path;
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
	msg = sides_parse(text, len);
	why = hdr_check_request(sip_object(msg), msg_home(msg), unsupported);
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

START_TEST(names_what_is_unsupported)
{
	const char *unsupported = NULL;
	msg_t *msg = sides_invite("<sip:1@a>",
		"Require: timer, foo\r\nRequire: bar\r\n"
		"Proxy-Require: baz\r\n");

	ck_assert_int_eq(
		hdr_check_request(sip_object(msg), msg_home(msg), &unsupported),
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
	msg_t *msg = sides_parse(text, (size_t)n);

	ck_assert_int_eq(
		hdr_sdp_of(sip_object(msg), &found, &len), REASON_ADMIT_OK);
	ck_assert_uint_eq(len, sizeof(sdp) - 1);
	ck_assert_mem_eq(found, sdp, len);
	msg_destroy(msg);
	msg = sides_invite("<sip:1@a>", "");
	ck_assert_int_eq(
		hdr_sdp_of(sip_object(msg), &found, &len), REASON_ADMIT_OK);
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
	msg_t *msg = sides_invite(callers[_i].from, callers[_i].lines);
	int err;

	rows_init(&r);
	r.itsp.caller_from = (Gh__CallerFrom)callers[_i].policy;
	s = rows_build(&r);
	err = hdr_caller_of(
		sip_object(msg), settings_trunk(s, 1), msg_home(msg), &id);
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
		msg_t *msg = sides_invite("<sip:1@a>", rows[i].lines);
		struct settings *s;

		rows_init(&r);
		r.itsp.called_from = rows[i].policy;
		s = rows_build(&r);
		ck_assert_str_eq(hdr_called_of(sip_object(msg),
					 settings_trunk(s, 1), msg_home(msg)),
			rows[i].user);
		/* for a phone it is the Request-URI always; sofia-sip
		 * has taken off the escapes that mean nothing */
		ck_assert_str_eq(
			hdr_called_of(sip_object(msg), NULL, msg_home(msg)),
			"+4930-123");
		msg_destroy(msg);
		settings_unref(&s);
	}
	{
		msg_t *msg = sides_parse("OPTIONS sip:a SIP/2.0\r\n\r\n", 25);

		ck_assert_ptr_null(
			hdr_called_of(sip_object(msg), NULL, msg_home(msg)));
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

int main(void)
{
	Suite *s = suite_create("hdr");

	suite_add(s, "request", checks_requests);
	suite_add(s, "request", names_what_is_unsupported);
	suite_add(s, "request", takes_the_description_out);
	suite_add_rows(s, "identity", reads_callers, N_ROWS(callers));
	suite_add(s, "identity", reads_called_numbers);
	suite_add_rows(s, "identity", cleans_display_names, N_ROWS(displays));
	suite_add(s, "identity", writes_from_and_to);
	suite_add(s, "identity", writes_identity_lines);
	return suite_run(s);
}
