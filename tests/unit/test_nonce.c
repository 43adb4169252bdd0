/* SPDX-License-Identifier: Apache-2.0 */
/* Nonces: what is fresh, stale and forged; keys and their rotation. */
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "common/nonce.h"
#include "tests/unit/suite.h"

enum { REALM = 7, LIFETIME_S = 300 };

#define NOW_US (5000 * CLOCK_US_PER_S)

static struct nonce_keys keys;

static struct addr source(const char *text)
{
	struct addr a;

	ck_assert_int_eq(addr_parse(text, &a), 0);
	return a;
}

static Gh__NonceKey key_row(uint32_t id, uint8_t *bytes, uint8_t fill)
{
	Gh__NonceKey row = GH__NONCE_KEY__INIT;

	memset(bytes, fill, NONCE_KEY_SIZE);
	row.id = id;
	row.key.data = bytes;
	row.key.len = NONCE_KEY_SIZE;
	return row;
}

/* The first key under id 1; rotated: that as previous, a second under 2. */
static void read_keys(bool rotated)
{
	uint8_t bytes[2][NONCE_KEY_SIZE];
	Gh__NonceKey one = key_row(1, bytes[0], 0x11);
	Gh__NonceKey two = key_row(2, bytes[1], 0x22);
	Gh__NonceKeys msg = GH__NONCE_KEYS__INIT;

	msg.lifetime_s = LIFETIME_S;
	msg.current = rotated ? &two : &one;
	msg.previous = rotated ? &one : NULL;
	ck_assert_int_eq(nonce_keys_read(&msg, &keys), 0);
}

static enum reason check_at(
	const char *text, const char *from, uint32_t realm, uint64_t now_us)
{
	struct addr a = source(from);

	return nonce_check(&keys, realm, &a, now_us, text);
}

static void make(char text[NONCE_TEXT_SIZE], const char *from)
{
	struct addr a = source(from);

	ck_assert_int_eq(nonce_make(&keys, REALM, &a, NOW_US, text), 0);
	ck_assert_uint_eq(strlen(text), NONCE_TEXT_LEN);
}

START_TEST(test_fresh)
{
	char a[NONCE_TEXT_SIZE], b[NONCE_TEXT_SIZE];

	read_keys(false);
	make(a, "192.0.2.1:5060");
	make(b, "192.0.2.1:5060");
	ck_assert_str_ne(a, b);
	ck_assert_uint_eq(strspn(a, "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				    "abcdefghijklmnopqrstuvwxyz0123456789-_"),
		NONCE_TEXT_LEN);
	ck_assert_int_eq(
		check_at(a, "192.0.2.1:5060", REALM, NOW_US), REASON_AUTH_OK);
	/* NAT gives another port; it is the same host. */
	ck_assert_int_eq(
		check_at(a, "192.0.2.1:61000", REALM, NOW_US), REASON_AUTH_OK);
}
END_TEST

START_TEST(test_time)
{
	static const struct {
		int64_t after_s;
		enum reason want;
	} rows[] = {
		{0, REASON_AUTH_OK},
		{LIFETIME_S, REASON_AUTH_OK},
		{LIFETIME_S + 1, REASON_AUTH_STALE},
		{86400, REASON_AUTH_STALE},
		{-1, REASON_AUTH_OK}, /* clocks read a moment apart */
		{-2, REASON_AUTH_OK},
		{-3, REASON_AUTH_FORGED_NONCE},
		{-4000, REASON_AUTH_FORGED_NONCE},
	};
	char text[NONCE_TEXT_SIZE];

	read_keys(false);
	make(text, "192.0.2.1:5060");
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		ck_assert_msg(
			check_at(text, "192.0.2.1:5060", REALM,
				(uint64_t)((int64_t)NOW_US +
					   rows[i].after_s *
						   (int64_t)CLOCK_US_PER_S)) ==
				rows[i].want,
			"%lld s", (long long)rows[i].after_s);
}
END_TEST

/* A nonce that came to another address is told from one never made here. */
START_TEST(test_source)
{
	static const struct {
		const char *made, *came;
		enum reason want;
	} rows[] = {
		{"192.0.2.1:5060", "192.0.2.2:5060", REASON_AUTH_STALE},
		{"192.0.2.1:5060", "[2001:db8::1]:5060", REASON_AUTH_STALE},
		{"[2001:db8::1]:5060", "[2001:db8::1]:5060", REASON_AUTH_OK},
		/* a host changes its low 64 bits as it likes */
		{"[2001:db8::1]:5060", "[2001:db8::ffff]:5060", REASON_AUTH_OK},
		{"[2001:db8::1]:5060", "[2001:db8:0:1::1]:5060",
			REASON_AUTH_STALE},
		{"[2001:db8::1]:5060", "192.0.2.1:5060", REASON_AUTH_STALE},
	};
	char text[NONCE_TEXT_SIZE];

	read_keys(false);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		make(text, rows[i].made);
		ck_assert_msg(check_at(text, rows[i].came, REALM, NOW_US) ==
				      rows[i].want,
			"%s", rows[i].came);
	}
	make(text, "192.0.2.1:5060");
	/* The realm is part of both tags. */
	ck_assert_int_eq(check_at(text, "192.0.2.1:5060", REALM + 1, NOW_US),
		REASON_AUTH_FORGED_NONCE);
}
END_TEST

/* Change any character to any other: never fresh. Behind the "made here" tag
 * it is stale, before it forged (or a key that nobody has: stale). */
START_TEST(test_changed)
{
	static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				       "abcdefghijklmnopqrstuvwxyz"
				       "0123456789-_";
	char good[NONCE_TEXT_SIZE], text[NONCE_TEXT_SIZE];

	read_keys(false);
	make(good, "192.0.2.1:5060");
	for (size_t at = 0; at < NONCE_TEXT_LEN; at++) {
		for (size_t c = 0; c < 64; c++) {
			enum reason r;

			memcpy(text, good, sizeof(text));
			if (text[at] == alphabet[c])
				continue;
			text[at] = alphabet[c];
			r = check_at(text, "192.0.2.1:5060", REALM, NOW_US);
			ck_assert_int_ne(r, REASON_AUTH_OK);
			/* characters 7 to 26 hold random bytes and the tag */
			if (at >= 7 && at < 26)
				ck_assert_int_eq(r, REASON_AUTH_FORGED_NONCE);
			if (at >= 27)
				ck_assert_int_eq(r, REASON_AUTH_STALE);
		}
	}
}
END_TEST

START_TEST(test_no_nonce)
{
	static const char *const texts[] = {
		"",
		"A",
		"dcd98b7102dd2f0e8b11d0f600bfb0c093", /* RFC 2617 */
		"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",   /* 47 */
		"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", /* 49 */
		"AAAAAAAAAAAAAAAAAAAAAAAA+AAAAAAAAAAAAAAAAAAAAAAA",
		"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\xff",
		"                                                ",
	};

	read_keys(false);
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		ck_assert_msg(check_at(texts[i], "192.0.2.1:5060", REALM,
				      NOW_US) == REASON_AUTH_FORGED_NONCE,
			"%s", texts[i]);
}
END_TEST

START_TEST(test_rotation)
{
	char old[NONCE_TEXT_SIZE], text[NONCE_TEXT_SIZE];
	uint8_t bytes[NONCE_KEY_SIZE];
	Gh__NonceKey three = key_row(3, bytes, 0x33);
	Gh__NonceKeys msg = GH__NONCE_KEYS__INIT;

	read_keys(false);
	make(old, "192.0.2.1:5060");
	read_keys(true);
	make(text, "192.0.2.1:5060");
	ck_assert_int_eq(
		check_at(old, "192.0.2.1:5060", REALM, NOW_US), REASON_AUTH_OK);
	ck_assert_int_eq(check_at(text, "192.0.2.1:5060", REALM, NOW_US),
		REASON_AUTH_OK);
	/* After the next one nobody can tell any more. */
	msg.lifetime_s = LIFETIME_S;
	msg.current = &three;
	ck_assert_int_eq(nonce_keys_read(&msg, &keys), 0);
	ck_assert_int_eq(check_at(old, "192.0.2.1:5060", REALM, NOW_US),
		REASON_AUTH_STALE);
	/* The same number with other bytes is another authd's key. */
	three.id = 1;
	ck_assert_int_eq(nonce_keys_read(&msg, &keys), 0);
	ck_assert_int_eq(check_at(old, "192.0.2.1:5060", REALM, NOW_US),
		REASON_AUTH_FORGED_NONCE);
}
END_TEST

START_TEST(test_no_key)
{
	struct addr a = source("192.0.2.1:5060");
	char text[NONCE_TEXT_SIZE] = "untouched";

	memset(&keys, 0, sizeof(keys));
	ck_assert_int_eq(nonce_make(&keys, REALM, &a, NOW_US, text), ERR_STATE);
	ck_assert_str_eq(text, "untouched");
	/* Key number 0 in the text finds no key that is not there. */
	ck_assert_int_eq(
		check_at("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
			"192.0.2.1:5060", REALM, NOW_US),
		REASON_AUTH_STALE);
}
END_TEST

/* Keys from a message are checked whole; a bad one changes nothing. */
START_TEST(test_bad_keys)
{
	uint8_t bytes[2][NONCE_KEY_SIZE + 1];
	Gh__NonceKey good = key_row(1, bytes[0], 1);
	Gh__NonceKey bad = key_row(2, bytes[1], 2);
	Gh__NonceKeys msg = GH__NONCE_KEYS__INIT;
	struct nonce_keys before;

	read_keys(false);
	before = keys;
	msg.lifetime_s = LIFETIME_S;
	ck_assert_int_eq(nonce_keys_read(&msg, &keys), ERR_INVALID);
	for (int i = 0; i < 3; i++) {
		bad.id = i == 0 ? 0 : 2;
		bad.key.len = NONCE_KEY_SIZE + (i == 1) - (i == 2);
		msg.current = &bad;
		msg.previous = NULL;
		ck_assert_int_eq(nonce_keys_read(&msg, &keys), ERR_INVALID);
		msg.current = &good;
		msg.previous = &bad;
		ck_assert_int_eq(nonce_keys_read(&msg, &keys), ERR_INVALID);
	}
	msg.previous = NULL;
	msg.lifetime_s = 0;
	ck_assert_int_eq(nonce_keys_read(&msg, &keys), ERR_INVALID);
	msg.lifetime_s = 86401;
	ck_assert_int_eq(nonce_keys_read(&msg, &keys), ERR_INVALID);
	ck_assert_mem_eq(&before, &keys, sizeof(keys));
	msg.lifetime_s = 86400;
	ck_assert_int_eq(nonce_keys_read(&msg, &keys), 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("nonce");

	suite_add(s, "fresh", test_fresh);
	suite_add(s, "time", test_time);
	suite_add(s, "source", test_source);
	suite_add(s, "changed", test_changed);
	suite_add(s, "no_nonce", test_no_nonce);
	suite_add(s, "rotation", test_rotation);
	suite_add(s, "no_key", test_no_key);
	suite_add(s, "bad_keys", test_bad_keys);
	return suite_run(s);
}
