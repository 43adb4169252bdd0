/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bodies of event packages: every file of tests/vectors/event passes or does
 * not, as its name says, and what is written of some is compared word by word.
 */
#include "config.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>

#include "sbc/event_body.h"
#include "tests/unit/sbc_rows.h"
#include "tests/unit/suite.h"

#ifndef VECTORS
#define VECTORS "tests/vectors/event"
#endif

static su_home_t home[1] = {SU_HOME_INIT(home)};
static bool known; /* find() knows the dialog */

static bool find(void *ctx, const char *call_id, const char *tag,
	const char *other_tag, struct event_dialog *out)
{
	(void)ctx;
	if (!known || strcmp(call_id, "8f1c0d8e@10.20.30.10") != 0)
		return false;
	ck_assert_str_eq(tag, "gK0a");
	ck_assert_str_eq(other_tag, "as77");
	*out = (struct event_dialog){"w0-ours", "theirs", "mine"};
	return true;
}

static struct event_ids ids = {.key = "a key of 16 byte", .find = find};

static enum reason rebuild_for(const struct trunk *trunk, const char *name,
	const char *body, size_t len, const char **out)
{
	const struct event_package *p = event_package_find(name);
	const struct event_body b = {
		.home = home,
		.entity = "sip:701@phones.example",
		.domain = "phones.example",
		.trunk = trunk,
		.ids = &ids,
	};

	ck_assert_ptr_nonnull(p);
	return event_body_rebuild(
		p, &b, p->type, (struct span){body, len}, out);
}

/* A file's package and body. */
static char *read_vector(const char *file, char name[32], size_t *len_out)
{
	static char bytes[65536];
	const char *dir = getenv("srcdir");
	char path[512];
	FILE *f;
	size_t len;
	char *line;

	snprintf(path, sizeof path, "%s/%s/%s", dir != NULL ? dir : "..",
		VECTORS, file);
	f = fopen(path, "rb");
	ck_assert_msg(f != NULL, "%s", path);
	len = fread(bytes, 1, sizeof bytes, f);
	fclose(f);
	line = memchr(bytes, '\n', len);
	ck_assert_ptr_nonnull(line);
	snprintf(name, 32, "%.*s", (int)(line - bytes), bytes);
	*len_out = len - (size_t)(line + 1 - bytes);
	return line + 1;
}

static const char *written(const char *file)
{
	char name[32];
	size_t len;
	const char *body = read_vector(file, name, &len), *out = NULL;
	enum reason why = rebuild_for(NULL, name, body, len, &out);

	ck_assert_msg(why == REASON_EVENT_OK, "%s: %s", file, reason_text(why));
	ck_assert_ptr_nonnull(out);
	return out;
}

START_TEST(every_vector)
{
	const char *dir = getenv("srcdir");
	unsigned n_ok = 0, n_bad = 0;
	char path[512], name[32];
	struct dirent *e;
	DIR *d;

	snprintf(path, sizeof path, "%s/%s", dir != NULL ? dir : "..", VECTORS);
	d = opendir(path);
	ck_assert_msg(d != NULL, "%s", path);
	while ((e = readdir(d)) != NULL) {
		bool ok = strncmp(e->d_name, "ok-", 3) == 0;
		const char *out = NULL;
		enum reason why;
		size_t len;
		char *body;

		if (e->d_name[0] == '.')
			continue;
		body = read_vector(e->d_name, name, &len);
		why = rebuild_for(NULL, name, body, len, &out);
		ck_assert_msg((why == REASON_EVENT_OK) == ok, "%s: %s",
			e->d_name, reason_text(why));
		n_ok += ok;
		n_bad += !ok;
		if (out == NULL)
			continue;
		ck_assert_msg(strstr(out, "planted") == NULL, "%s:\n%s",
			e->d_name, out);
		ck_assert_msg(strstr(out, "10.20.30") == NULL, "%s:\n%s",
			e->d_name, out);
		ck_assert_msg(strstr(out, "inside.example") == NULL, "%s:\n%s",
			e->d_name, out);
	}
	closedir(d);
	ck_assert_uint_ge(n_ok, 9);
	ck_assert_uint_ge(n_bad, 14);
}
END_TEST

START_TEST(summary)
{
	ck_assert_str_eq(written("ok-summary"),
		"Messages-Waiting: yes\r\n"
		"Message-Account: sip:*97@phones.example\r\n"
		"Voice-Message: 4/8 (1/2)\r\n"
		"Fax-Message: 0/1\r\n");
	ck_assert_str_eq(written("ok-summary-bare"),
		"Messages-Waiting: no\r\nVoice-Message: 0/0\r\n");
}
END_TEST

START_TEST(dialog_of_asterisk)
{
	const char *out = written("ok-dialog-asterisk");
	static const char *const has[] = {
		"version=\"3\" state=\"full\" "
		"entity=\"sip:701@phones.example\"",
		" direction=\"recipient\">",
		"<state>early</state>",
		"<identity display=\"Anna Caller\">"
		"sip:+4989123456@phones.example</identity>",
		"<target uri=\"sip:701@phones.example\"></target>",
	};

	for (size_t i = 0; i < sizeof has / sizeof *has; i++)
		ck_assert_msg(
			strstr(out, has[i]) != NULL, "%s in\n%s", has[i], out);
	ck_assert_ptr_null(strstr(out, "id=\"701\""));
	ck_assert_ptr_null(strstr(out, "call-id"));
}
END_TEST

START_TEST(dialog_of_freeswitch)
{
	const char *out = written("ok-dialog-freeswitch"), *again;
	static const char *const has[] = {
		"version=\"12\" state=\"partial\"",
		"<state event=\"remote-bye\" code=\"200\">confirmed</state>",
		"<duration>37</duration>",
		"<param pname=\"+sip.rendering\" pvalue=\"no\"/>",
		"<param pname=\"+sip.rendering\" pval=\"yes\"/>",
		/* A display name with quotes is left out. */
		"<identity>sip:200@phones.example</identity>",
		"<target uri=\"sip:+4930555@phones.example\">",
		"<state>terminated</state>",
	};

	for (size_t i = 0; i < sizeof has / sizeof *has; i++)
		ck_assert_msg(
			strstr(out, has[i]) != NULL, "%s in\n%s", has[i], out);
	ck_assert_ptr_null(strstr(out, "session-description"));
	ck_assert_ptr_null(strstr(out, "replaces"));
	ck_assert_ptr_null(strstr(out, "gK0a"));
	ck_assert_ptr_null(strstr(out, "as77"));
	/* The same names each time, other ones with another key. */
	again = written("ok-dialog-freeswitch");
	ck_assert_str_eq(out, again);
	ids.key[0] ^= 1;
	ck_assert_str_ne(out, written("ok-dialog-freeswitch"));
	ids.key[0] ^= 1;
	/* A call that runs through us is called as its phone knows it. */
	known = true;
	out = written("ok-dialog-freeswitch");
	known = false;
	ck_assert_ptr_nonnull(strstr(out, "call-id=\"w0-ours\" "
					  "local-tag=\"theirs\" "
					  "remote-tag=\"mine\""));
}
END_TEST

START_TEST(presence)
{
	const char *out = written("ok-presence-asterisk");

	ck_assert_ptr_nonnull(strstr(out, "<status><basic>open</basic>"));
	ck_assert_ptr_nonnull(strstr(out,
		"<contact priority=\"0.8\">sip:701@phones.example</contact>"));
	ck_assert_ptr_nonnull(strstr(out, "<note>On the phone</note>"));
	ck_assert_ptr_nonnull(strstr(out, "2026-01-02T03:04:05.678Z"));
	ck_assert_ptr_nonnull(strstr(out,
		"<rpid:activities><rpid:on-the-phone/></rpid:activities>"));
	out = written("ok-presence-closed");
	ck_assert_ptr_nonnull(strstr(out, "<basic>closed</basic>"));
	ck_assert_ptr_nonnull(strstr(out, "zur\303\274ck um halb"));
}
END_TEST

/* An empty note does not count; a time is one of RFC 3339 or none. */
START_TEST(presence_notes_and_time)
{
	const char *out = written("ok-presence-notes");

	ck_assert_ptr_nonnull(strstr(out, "<note>four</note>"));
	ck_assert_ptr_null(strstr(out, "<note>five</note>"));
	ck_assert_ptr_null(strstr(out, "<note>six</note>"));
	ck_assert_ptr_nonnull(strstr(
		out, "<timestamp>2026-01-02T03:04:05+01:00</timestamp>"));
	out = written("ok-presence-time");
	ck_assert_ptr_nonnull(strstr(out, "<basic>closed</basic>"));
	ck_assert_ptr_null(strstr(out, "timestamp"));
}
END_TEST

/* The PBX writes numbers in its way; phones read them in ours. */
START_TEST(numbers_in_our_form)
{
	static const char body[] = "Messages-Waiting: yes\r\n"
				   "Message-Account: sip:0049301@x\r\n";
	struct rows r;
	struct settings *s;
	const char *out;

	rows_init(&r);
	rows_rule(&r, GH__NUMBER_RULE_SCOPE__RULE_IN_CALLER, false, "00", "+");
	s = rows_build(&r);
	ck_assert_int_eq(rebuild_for(settings_trunk(s, 1), "message-summary",
				 body, sizeof body - 1, &out),
		REASON_EVENT_OK);
	ck_assert_str_eq(out, "Messages-Waiting: yes\r\n"
			      "Message-Account: sip:+49301@phones.example\r\n");
	settings_unref(&s);
}
END_TEST

START_TEST(wrong_type_size_or_none)
{
	static char big[EVENT_BODY_MAX + 2];
	const struct event_package *p = event_package_find("dialog");
	const struct event_body b = {
		.home = home, .entity = "sip:1@x", .domain = "x", .ids = &ids};
	const char *out = "x";

	memset(big, ' ', sizeof big);
	ck_assert_int_eq(event_body_rebuild(p, &b, p->type,
				 (struct span){big, sizeof big}, &out),
		REASON_EVENT_BODY_TOO_BIG);
	ck_assert_int_eq(event_body_rebuild(p, &b, "text/plain",
				 (struct span){"a", 1}, &out),
		REASON_ADMIT_CONTENT_TYPE);
	ck_assert_int_eq(
		event_body_rebuild(p, &b, NULL, (struct span){"a", 1}, &out),
		REASON_ADMIT_CONTENT_TYPE);
	ck_assert_int_eq(event_body_rebuild(p, &b, p->type,
				 (struct span){"<a>\0</a>", 8}, &out),
		REASON_EVENT_BODY);
	ck_assert_int_eq(
		event_body_rebuild(p, &b, NULL, (struct span){NULL, 0}, &out),
		REASON_EVENT_OK);
	ck_assert_ptr_null(out);
	/* What has no bodies is carried without one. */
	ck_assert_int_eq(event_body_rebuild(event_package_find("check-sync"),
				 &b, "text/plain", (struct span){"x", 1}, &out),
		REASON_EVENT_OK);
	ck_assert_ptr_null(out);
	ck_assert_ptr_null(event_package_find("Dialog"));
	ck_assert_ptr_null(event_package_find("reg"));
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("event_body");

	suite_add(s, "vectors", every_vector);
	suite_add(s, "summary", summary);
	suite_add(s, "dialog", dialog_of_asterisk);
	suite_add(s, "dialog", dialog_of_freeswitch);
	suite_add(s, "presence", presence);
	suite_add(s, "presence", presence_notes_and_time);
	suite_add(s, "all", numbers_in_our_form);
	suite_add(s, "all", wrong_type_size_or_none);
	return s;
}

int main(void)
{
	return suite_run(suite());
}
