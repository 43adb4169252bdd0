/* SPDX-License-Identifier: Apache-2.0 */
/* Our own answers to challenges, and passwords that PostgreSQL sealed. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "authd/trunkcred.h"
#include "authd/unseal.h"
#include "common/log.h"

#define T(x) ((char *)(uintptr_t)(x))

static void quiet(const char *line, size_t len, void *arg)
{
	(void)line;
	(void)len;
	(void)arg;
}

static const struct {
	const char *text;
	bool good;
	const char *realm, *nonce, *qop;
} challenges[] = {
	{"Digest realm=\"r\", nonce=\"n\"", true, "r", "n", NULL},
	{"digest  nonce=n ,realm = \"a \\\"b\\\\\", stale=TRUE", true,
		"a \"b\\", "n", NULL},
	{"Digest realm=\"r\",nonce=\"n\",qop=\"auth-int,auth\","
	 "algorithm=SHA-256",
		true, "r", "n", "auth"},
	{"Digest realm=\"r\",nonce=\"n\",qop=\"auth-int\"", true, "r", "n",
		"auth-int"},
	{"Digest realm=\"r\",nonce=\"n\",opaque=\"\",domain=\"sip:x\"", true,
		"r", "n", NULL},
	{"Digest realm=\"r\",nonce=\"n\",qop=\"auth2\"", false, NULL, NULL,
		NULL},
	{"Digest realm=\"r\",nonce=\"n\",algorithm=MD5-sess", false, NULL, NULL,
		NULL},
	{"Digest realm=\"r\"", false, NULL, NULL, NULL},
	{"Digest nonce=\"n\"", false, NULL, NULL, NULL},
	{"Digest realm=\"r\", nonce=\"n", false, NULL, NULL, NULL},
	{"Digest realm=\"r\" nonce=\"n\"", false, NULL, NULL, NULL},
	{"Digest realm=\"r\", nonce=\"a\nb\"", false, NULL, NULL, NULL},
	{"Digest =, =", false, NULL, NULL, NULL},
	{"Digestrealm=\"r\", nonce=\"n\"", false, NULL, NULL, NULL},
	{"Basic realm=\"r\"", false, NULL, NULL, NULL},
	{"Digest", false, NULL, NULL, NULL},
	{"", false, NULL, NULL, NULL},
};

START_TEST(parse)
{
	struct challenge c;

	ck_assert_int_eq(trunkcred_parse(challenges[_i].text, &c) == 0,
		challenges[_i].good);
	if (!challenges[_i].good)
		return;
	ck_assert_str_eq(c.realm, challenges[_i].realm);
	ck_assert_str_eq(c.nonce, challenges[_i].nonce);
	if (challenges[_i].qop)
		ck_assert_str_eq(c.qop, challenges[_i].qop);
	else
		ck_assert_ptr_null(c.qop);
}
END_TEST

START_TEST(parse_long)
{
	static char text[5000];
	struct challenge c;

	for (size_t len = 100; len < 4900; len += 100) {
		int n = snprintf(
			text, sizeof(text), "Digest realm=\"r\", nonce=\"");

		memset(text + n, 'x', len);
		snprintf(text + (size_t)n + len, 2, "\"");
		ck_assert_int_eq(trunkcred_parse(text, &c) == 0, len <= 512);
	}
}
END_TEST

START_TEST(answer)
{
	struct digest *digest;
	struct digest_ha1 ha1;
	struct key key = {0};
	char header[TRUNKCRED_HEADER_SIZE];
	Gh__TrunkSource source = GH__TRUNK_SOURCE__INIT, *sources[] = {&source};
	Gh__TrunkTarget target = GH__TRUNK_TARGET__INIT, *targets[] = {&target};
	Gh__Trunk trunk = GH__TRUNK__INIT;
	Gh__TrunkSecret secret = GH__TRUNK_SECRET__INIT;
	Gh__TrunkAuthRequest r = GH__TRUNK_AUTH_REQUEST__INIT;
#define ANSWER()                                                               \
	trunkcred_answer(digest, &key, &trunk, &secret, &r, "0a4f113b", header)

	log_set_sink(quiet, NULL);
	ck_assert_int_eq(digest_new(&digest), 0);
	/* The example of RFC 2617 section 3.5, which RFC 3261 builds on. */
	ck_assert_int_eq(
		digest_make_ha1(digest, GH__ALGORITHM__ALGORITHM_MD5, "Mufasa",
			"testrealm@host.com", "Circle Of Life", &ha1),
		0);
	source.network = T("192.0.2.0/24");
	trunk.sources = sources;
	trunk.n_sources = 1;
	target.host = T("sip.example.net");
	secret.username = T("Mufasa");
	secret.digest_realm = T("testrealm@host.com");
	secret.ha1_md5.data = ha1.bytes;
	secret.ha1_md5.len = 16;
	r.peer = T("192.0.2.1:5060");
	r.challenge = T("Digest realm=\"testrealm@host.com\", "
			"qop=\"auth,auth-int\", "
			"nonce=\"dcd98b7102dd2f0e8b11d0f600bfb0c093\", "
			"opaque=\"5ccc069c403ebaf9f0171e9517f40e41\"");
	r.method = T("GET");
	r.uri = T("/dir/index.html");
	ck_assert_int_eq(ANSWER(), REASON_NONE);
	ck_assert_ptr_nonnull(strstr(
		header, "response=\"6629fae49393a05397450978507c4ef1\""));
	ck_assert_ptr_nonnull(
		strstr(header, "opaque=\"5ccc069c403ebaf9f0171e9517f40e41\""));
	ck_assert_ptr_null(strstr(header, "algorithm"));
	r.peer = T("198.51.100.1:5060");
	ck_assert_int_eq(ANSWER(), REASON_AUTH_TRUNK_REALM);
	/* sbc resolved its name: the realm protects the secret. */
	trunk.targets = targets;
	trunk.n_targets = 1;
	ck_assert_int_eq(ANSWER(), REASON_NONE);
	secret.digest_realm = T("");
	ck_assert_int_eq(ANSWER(), REASON_AUTH_TRUNK_REALM);
	r.peer = T("192.0.2.1:5060");
	ck_assert_int_eq(ANSWER(), REASON_NONE);
	secret.digest_realm = T("other");
	ck_assert_int_eq(ANSWER(), REASON_AUTH_TRUNK_REALM);
	secret.digest_realm = T("testrealm@host.com");
	r.challenge = T("Digest realm=\"testrealm@host.com\", nonce=\"n\", "
			"algorithm=SHA-256");
	ck_assert_int_eq(ANSWER(), REASON_AUTH_TRUNK_FAILED); /* no such HA1 */
	r.challenge = T("Basic realm=\"testrealm@host.com\"");
	ck_assert_int_eq(ANSWER(), REASON_AUTH_TRUNK_FAILED);
	digest_free(&digest);
}
END_TEST

/* Not what PostgreSQL makes: every cut and every flipped bit is refused. The
 * right form is tested against PostgreSQL itself by tests/sql. */
START_TEST(unseal_garbage)
{
	char dir[] = "/tmp/gh-key-XXXXXX", path[64], problem[KEY_PROBLEM_SIZE];
	uint8_t packets[UNSEAL_PUBLIC_SIZE], noise[600];
	char password[UNSEAL_PASSWORD_SIZE];
	struct key key;
	int len;

	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/key", dir);
	ck_assert_int_eq(key_load(path, &key, problem), 0);
	len = unseal_public_key(key.rsa, packets);
	ck_assert_int_gt(len, 700);
	ck_assert_int_eq(packets[0], 0xc6);
	ck_assert_int_lt(
		unseal_password(key.rsa, packets, (size_t)len, password), 0);
	srand(1);
	for (int i = 0; i < 20000; i++) {
		size_t n = (size_t)rand() % sizeof(noise);

		for (size_t k = 0; k < n; k++)
			noise[k] = (uint8_t)rand();
		if (n > 14) { /* begin like a session key */
			noise[0] = 0xc1;
			noise[1] = (uint8_t)(rand() % 192);
			noise[2] = 3;
			noise[11] = 1;
		}
		ck_assert_int_lt(
			unseal_password(key.rsa, noise, n, password), 0);
	}
	key_done(&key);
	unlink(path);
	rmdir(dir);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("trunkcred");
	TCase *t = tcase_create("trunkcred");
	SRunner *r;
	int failed;

	tcase_set_timeout(t, 60);
	tcase_add_loop_test(
		t, parse, 0, sizeof(challenges) / sizeof(challenges[0]));
	tcase_add_test(t, parse_long);
	tcase_add_test(t, answer);
	tcase_add_test(t, unseal_garbage);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
