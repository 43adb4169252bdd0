/* SPDX-License-Identifier: Apache-2.0 */
/* Digest: the examples of RFC 7616 and its errata, and everything that must be
 * refused. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "authd/digest.h"

static struct digest *digest;

static void setup(void)
{
	ck_assert_int_eq(digest_new(&digest), 0);
}

static void teardown(void)
{
	digest_free(&digest);
}

static const struct example {
	Gh__Algorithm algorithm;
	const char *user, *realm, *password, *nonce, *cnonce, *uri, *response;
} examples[] = {
	/* RFC 7616 section 3.9.1 */
	{GH__ALGORITHM__ALGORITHM_MD5, "Mufasa", "http-auth@example.org",
		"Circle of Life",
		"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v",
		"f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
		"/dir/index.html", "8ca523f5e9506fed4657c9700eebdbec"},
	{GH__ALGORITHM__ALGORITHM_SHA256, "Mufasa", "http-auth@example.org",
		"Circle of Life",
		"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v",
		"f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
		"/dir/index.html",
		"753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6"
		"c1"},
	/* Section 3.9.2 as erratum 4897 corrects it: SHA-512/256 of FIPS
	 * 180-4, not a SHA-512 cut short. */
	{GH__ALGORITHM__ALGORITHM_SHA512_256, "J\xc3\xa4s\xc3\xb8n Doe",
		"api@example.org", "Secret, or not?",
		"5TsQWLVdgBdmrQ0XsxbDODV+57QdFR34I9HAbC/RVvkK",
		"NTg6RKcb9boFIAS3KrFK9BGeh+iDa/sm6jUMp2wds69v", "/doe.json",
		"3798d4131c277846293534c3edc11bd8a5e4cdcbff78b05db9d95eeb1cec68"
		"a5"},
};

START_TEST(examples_of_the_rfc)
{
	const struct example *e = &examples[_i];
	char hex[DIGEST_HEX_SIZE];
	struct digest_ha1 ha1;

	ck_assert_int_eq(digest_make_ha1(digest, e->algorithm, e->user,
				 e->realm, e->password, &ha1),
		0);
	ck_assert_int_eq(digest_response(digest, e->algorithm, &ha1, e->nonce,
				 "00000001", e->cnonce, "auth", "GET", e->uri,
				 NULL, 0, hex),
		0);
	ck_assert_str_eq(hex, e->response);
}
END_TEST

#define T(x) ((char *)(uintptr_t)(x))

/* A response that is right in every way. */
static void fill(Gh__DigestFields *f)
{
	const struct example *e = &examples[0];

	gh__digest_fields__init(f);
	f->username = T(e->user);
	f->realm = T(e->realm);
	f->nonce = T(e->nonce);
	f->uri = T(e->uri);
	f->response = T(e->response);
	f->algorithm = T("MD5");
	f->cnonce = T(e->cnonce);
	f->nc = T("00000001");
	f->qop = T("auth");
}

START_TEST(right_response)
{
	const struct example *e = &examples[0];
	struct digest_claim claim;
	struct digest_ha1 ha1;
	Gh__DigestFields f;

	fill(&f);
	ck_assert_int_eq(
		digest_check(&f, e->realm, e->uri, &claim), REASON_AUTH_OK);
	ck_assert_int_eq(claim.nc, 1);
	ck_assert_int_eq(digest_make_ha1(digest, claim.algorithm, e->user,
				 e->realm, e->password, &ha1),
		0);
	ck_assert_int_eq(
		digest_verify(digest, &claim, &f, "GET", NULL, 0, &ha1),
		REASON_AUTH_OK);
	ck_assert_int_eq(
		digest_verify(digest, &claim, &f, "PUT", NULL, 0, &ha1),
		REASON_AUTH_WRONG);
	ha1.bytes[0] ^= 1;
	ck_assert_int_eq(
		digest_verify(digest, &claim, &f, "GET", NULL, 0, &ha1),
		REASON_AUTH_WRONG);
}
END_TEST

static char long_text[2000];

static const struct {
	size_t field;
	const char *value;
	enum reason why;
} lax[] = {
#define F(name) offsetof(Gh__DigestFields, name)
	{F(qop), "", REASON_AUTH_QOP},
	{F(qop), "auth,auth-int", REASON_AUTH_QOP},
	{F(qop), "Auth", REASON_AUTH_QOP},
	{F(algorithm), "MD5-sess", REASON_AUTH_ALGORITHM},
	{F(algorithm), "SHA-256-sess", REASON_AUTH_ALGORITHM},
	{F(algorithm), "MD55", REASON_AUTH_ALGORITHM},
	{F(algorithm), "SHA-512", REASON_AUTH_ALGORITHM},
	{F(algorithm), "MD5 ", REASON_AUTH_ALGORITHM},
	{F(algorithm), "SHA-256", REASON_AUTH_SYNTAX}, /* response too short */
	{F(realm), "other", REASON_AUTH_REALM},
	{F(realm), "", REASON_AUTH_REALM},
	{F(realm), "HTTP-AUTH@example.org", REASON_AUTH_REALM},
	{F(uri), "/dir/index.html2", REASON_AUTH_URI},
	{F(uri), "", REASON_AUTH_SYNTAX},
	{F(uri), long_text, REASON_AUTH_SYNTAX},
	{F(nc), "", REASON_AUTH_SYNTAX},
	{F(nc), "1", REASON_AUTH_SYNTAX},
	{F(nc), "00000000", REASON_AUTH_SYNTAX},
	{F(nc), "000000001", REASON_AUTH_SYNTAX},
	{F(nc), "0000000x", REASON_AUTH_SYNTAX},
	{F(nc), "-0000001", REASON_AUTH_SYNTAX},
	{F(nc), "ffffffffffffffffffffffff", REASON_AUTH_SYNTAX},
	{F(cnonce), "", REASON_AUTH_SYNTAX},
	{F(cnonce), long_text, REASON_AUTH_SYNTAX},
	{F(cnonce), "a\nb", REASON_AUTH_SYNTAX},
	{F(response), "", REASON_AUTH_SYNTAX},
	{F(response), "8ca523f5e9506fed4657c9700eebdbe", REASON_AUTH_SYNTAX},
	{F(response), "8ca523f5e9506fed4657c9700eebdbecc", REASON_AUTH_SYNTAX},
	{F(response), "8CA523F5E9506FED4657C9700EEBDBEC", REASON_AUTH_SYNTAX},
	{F(response), "zca523f5e9506fed4657c9700eebdbec", REASON_AUTH_SYNTAX},
	{F(username), "", REASON_AUTH_SYNTAX},
	{F(username), long_text, REASON_AUTH_SYNTAX},
	{F(username), "a\rb", REASON_AUTH_SYNTAX},
};

START_TEST(laxness)
{
	struct digest_claim claim;
	Gh__DigestFields f;

	memset(long_text, 'x', sizeof(long_text) - 1);
	fill(&f);
	*(const char **)(void *)((char *)&f + lax[_i].field) = lax[_i].value;
	ck_assert_int_eq(
		digest_check(&f, examples[0].realm, examples[0].uri, &claim),
		lax[_i].why);
}
END_TEST

START_TEST(absent_algorithm_is_md5)
{
	struct digest_claim claim;
	Gh__DigestFields f;

	fill(&f);
	f.algorithm = T("");
	ck_assert_int_eq(
		digest_check(&f, examples[0].realm, examples[0].uri, &claim),
		REASON_AUTH_OK);
	ck_assert_int_eq(claim.algorithm, GH__ALGORITHM__ALGORITHM_MD5);
}
END_TEST

START_TEST(offers)
{
	struct digest_offers o;
	struct digest_claim md5 = {.algorithm = GH__ALGORITHM__ALGORITHM_MD5};
	struct digest_claim sha = {.algorithm = GH__ALGORITHM__ALGORITHM_SHA256,
		.qop = GH__QOP__QOP_AUTH_INT};

	ck_assert_int_eq(digest_offers_parse("MD5", &o), 0);
	ck_assert_int_eq(o.n, 1);
	ck_assert_int_eq(digest_check_offer(&md5, &o), REASON_AUTH_OK);
	ck_assert_int_eq(digest_check_offer(&sha, &o), REASON_AUTH_ALGORITHM);
	ck_assert_int_eq(
		digest_offers_parse("SHA-512-256 SHA-256/auth-int SHA-256", &o),
		0);
	ck_assert_int_eq(o.n, 3);
	ck_assert_int_eq(o.offer[1].qop, GH__QOP__QOP_AUTH_INT);
	ck_assert_int_eq(digest_check_offer(&sha, &o), REASON_AUTH_OK);
	ck_assert_int_eq(digest_check_offer(&md5, &o), REASON_AUTH_ALGORITHM);
	md5.qop = GH__QOP__QOP_AUTH_INT;
	ck_assert_int_eq(digest_offers_parse("MD5 SHA-256", &o), 0);
	ck_assert_int_eq(digest_check_offer(&md5, &o), REASON_AUTH_QOP);
	ck_assert_int_eq(digest_offers_parse("", &o), ERR_INVALID);
	ck_assert_int_eq(digest_offers_parse("MD5/auth", &o), ERR_INVALID);
	ck_assert_int_eq(digest_offers_parse("SHA1", &o), ERR_INVALID);
	ck_assert_int_eq(digest_offers_parse("MD5 MD5 MD5 MD5 MD5 MD5 MD5", &o),
		ERR_INVALID);
}
END_TEST

START_TEST(auth_int_covers_the_body)
{
	struct digest_ha1 ha1;
	char one[DIGEST_HEX_SIZE], two[DIGEST_HEX_SIZE], none[DIGEST_HEX_SIZE];

	ck_assert_int_eq(digest_make_ha1(digest, GH__ALGORITHM__ALGORITHM_MD5,
				 "u", "r", "p", &ha1),
		0);
#define RESPONSE(body, len, out)                                               \
	ck_assert_int_eq(digest_response(digest, GH__ALGORITHM__ALGORITHM_MD5, \
				 &ha1, "n", "00000001", "c", "auth-int",       \
				 "INVITE", "sip:a", body, len, out),           \
		0)
	RESPONSE("v=0", 3, one);
	RESPONSE("v=1", 3, two);
	RESPONSE(NULL, 0, none);
	ck_assert_str_ne(one, two);
	ck_assert_str_ne(one, none);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("digest");
	TCase *t = tcase_create("digest");
	SRunner *r;
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_loop_test(t, examples_of_the_rfc, 0,
		sizeof(examples) / sizeof(examples[0]));
	tcase_add_test(t, right_response);
	tcase_add_loop_test(t, laxness, 0, sizeof(lax) / sizeof(lax[0]));
	tcase_add_test(t, absent_algorithm_is_md5);
	tcase_add_test(t, offers);
	tcase_add_test(t, auth_int_covers_the_body);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
