/* SPDX-License-Identifier: Apache-2.0 */
/* The Authorization reader as a table: what phones write, and what nobody who
 * means well would. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sbc/auth_header.h"

#define N 16

struct row {
	const char *params[N];
	int err;
};

#define FIVE                                                                   \
	"username=\"u\"", "realm=\"r\"", "nonce=\"n\"", "uri=\"sip:x\"",       \
		"response=\"d\""

static const struct row rows[] = {
	{{FIVE}, 0},
	{{FIVE, "algorithm=MD5", "qop=auth", "nc=00000001", "cnonce=\"c\""}, 0},
	{{FIVE, "algorithm=\"MD5\"", "qop=\"auth\"", "nc=\"1\""}, 0},
	{{FIVE, "opaque=\"\""}, 0},
	{{FIVE, "something=else", "other=\"quoted \\\" text\""}, 0},
	{{"USERNAME=\"u\"", "Realm = \"r\"", "nonce =\"n\"", "uri= \"sip:x\"",
		 "response=\"d\" "},
		0},
	/* missing */
	{{NULL}, ERR_INVALID},
	{{"realm=\"r\"", "nonce=\"n\"", "uri=\"sip:x\"", "response=\"d\""},
		ERR_INVALID},
	{{"username=\"u\"", "nonce=\"n\"", "uri=\"sip:x\"", "response=\"d\""},
		ERR_INVALID},
	{{"username=\"u\"", "realm=\"r\"", "uri=\"sip:x\"", "response=\"d\""},
		ERR_INVALID},
	{{"username=\"u\"", "realm=\"r\"", "nonce=\"n\"", "response=\"d\""},
		ERR_INVALID},
	{{"username=\"u\"", "realm=\"r\"", "nonce=\"n\"", "uri=\"sip:x\""},
		ERR_INVALID},
	/* twice, also in another case */
	{{FIVE, "username=\"v\""}, ERR_INVALID},
	{{FIVE, "Response=\"e\""}, ERR_INVALID},
	{{FIVE, "qop=auth", "qop=auth-int"}, ERR_INVALID},
	/* empty */
	{{"username=\"\"", "realm=\"r\"", "nonce=\"n\"", "uri=\"sip:x\"",
		 "response=\"d\""},
		ERR_INVALID},
	{{FIVE, "nc="}, ERR_INVALID},
	{{FIVE, "cnonce=\"\""}, ERR_INVALID},
	/* quotes */
	{{"username=u", "realm=\"r\"", "nonce=\"n\"", "uri=\"sip:x\"",
		 "response=\"d\""},
		ERR_INVALID},
	{{FIVE, "cnonce=\"open"}, ERR_INVALID},
	{{FIVE, "cnonce=\"open\\"}, ERR_INVALID},
	{{FIVE, "cnonce=\"a\"b"}, ERR_INVALID},
	{{FIVE, "cnonce=\"a\"\"b\""}, ERR_INVALID},
	{{FIVE, "algorithm=MD5 MD5"}, ERR_INVALID},
	{{FIVE, "algorithm=M(5"}, ERR_INVALID},
	/* no parameter at all */
	{{FIVE, "lonely"}, ERR_INVALID},
	{{FIVE, ""}, ERR_INVALID},
	{{FIVE, "=\"x\""}, ERR_INVALID},
	/* controls */
	{{FIVE, "cnonce=\"a\nb\""}, ERR_INVALID},
	{{FIVE, "cnonce=\"a\\\001b\""}, ERR_INVALID},
	{{FIVE, "cnonce=\"a\177\""}, ERR_INVALID},
};

START_TEST(reads)
{
	struct auth_fields f;
	int err = auth_fields_read(rows[_i].params, &f);

	ck_assert_msg(err == rows[_i].err, "row %d: %d", _i, err);
}
END_TEST

START_TEST(values)
{
	static const char *const params[] = {"username=\"J\\\"r\\\\g, 100\"",
		"realm=\"a realm\"", "nonce=\"n==\"", "uri=\"sip:x;y=z?h\"",
		"response=\"d\"", "opaque=\"o\"", "algorithm=SHA-256",
		"qop=auth", "nc=0000000a", "cnonce=\"c\xc3\xa4\"", NULL};
	struct auth_fields f;

	ck_assert_int_eq(auth_fields_read(params, &f), 0);
	ck_assert_str_eq(f.username, "J\"r\\g, 100");
	ck_assert_str_eq(f.realm, "a realm");
	ck_assert_str_eq(f.nonce, "n==");
	ck_assert_str_eq(f.uri, "sip:x;y=z?h");
	ck_assert_str_eq(f.algorithm, "SHA-256");
	ck_assert_str_eq(f.qop, "auth");
	ck_assert_str_eq(f.nc, "0000000a");
	ck_assert_str_eq(f.cnonce, "c\xc3\xa4");
	ck_assert_str_eq(f.opaque, "o");
}
END_TEST

START_TEST(bounds)
{
	const char *params[] = {"username=\"u\"", "realm=\"r\"", "nonce=\"n\"",
		"uri=\"sip:x\"", "response=\"d\"", NULL, NULL};
	char text[AUTH_URI_SIZE + 32];
	struct auth_fields f;

	snprintf(text, sizeof(text), "cnonce=\"%0*d\"", AUTH_TEXT_SIZE - 1, 0);
	params[5] = text;
	ck_assert_int_eq(auth_fields_read(params, &f), 0);
	snprintf(text, sizeof(text), "cnonce=\"%0*d\"", AUTH_TEXT_SIZE, 0);
	ck_assert_int_eq(auth_fields_read(params, &f), ERR_INVALID);
	snprintf(text, sizeof(text), "nc=%0*d", AUTH_WORD_SIZE, 0);
	ck_assert_int_eq(auth_fields_read(params, &f), ERR_INVALID);
	params[5] = NULL;
	snprintf(text, sizeof(text), "uri=\"%0*d\"", AUTH_URI_SIZE, 0);
	params[3] = text;
	ck_assert_int_eq(auth_fields_read(params, &f), ERR_INVALID);
}
END_TEST

START_TEST(too_many_parameters)
{
	const char *params[40] = {FIVE};
	struct auth_fields f;

	for (size_t i = 5; i < 39; i++)
		params[i] = "x=y";
	ck_assert_int_eq(auth_fields_read(params, &f), ERR_INVALID);
}
END_TEST

START_TEST(fields_are_untouched_on_failure)
{
	static const char *const params[] = {FIVE, "lonely", NULL};
	struct auth_fields f;

	memset(&f, 'x', sizeof(f));
	ck_assert_int_eq(auth_fields_read(params, &f), ERR_INVALID);
	ck_assert_int_eq(f.username[0], 'x');
}
END_TEST

START_TEST(realm_only)
{
	static const char *const with[] = {
		"nonce=\"n\"", "REALM=\"a b\"", NULL};
	static const char *const without[] = {"nonce=\"n\"", NULL};
	static const char *const broken[] = {"realm=bare", NULL};
	char realm[AUTH_TEXT_SIZE];

	ck_assert_int_eq(auth_fields_realm(with, realm), 0);
	ck_assert_str_eq(realm, "a b");
	ck_assert_int_eq(auth_fields_realm(without, realm), ERR_NOT_FOUND);
	ck_assert_int_eq(auth_fields_realm(NULL, realm), ERR_NOT_FOUND);
	ck_assert_int_eq(auth_fields_realm(broken, realm), ERR_INVALID);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("sbc authorization");
	TCase *t = tcase_create("reader");
	SRunner *r;
	int failed;

	tcase_add_loop_test(t, reads, 0, sizeof(rows) / sizeof(rows[0]));
	tcase_add_test(t, values);
	tcase_add_test(t, bounds);
	tcase_add_test(t, too_many_parameters);
	tcase_add_test(t, fields_are_untouched_on_failure);
	tcase_add_test(t, realm_only);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? 1 : 0;
}
