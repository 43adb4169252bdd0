/* SPDX-License-Identifier: Apache-2.0 */
/* Nonce counts that were used, and who is banned. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <string.h>

#include "authd/ban.h"
#include "authd/live.h"
#include "authd/replay.h"
#include "common/clock.h"
#include "common/nonce.h"
#include "tests/unit/state_file.h"

#define S CLOCK_US_PER_S

static struct addr address(const char *text)
{
	struct addr a;

	ck_assert_int_eq(addr_parse(text, &a), 0);
	return a;
}

/* ---------------------------------------------------------------- replay */

static void make_text(unsigned n, char text[NONCE_TEXT_SIZE])
{
	snprintf(text, NONCE_TEXT_SIZE, "%048u", n);
}

START_TEST(replay_counts)
{
	struct replay *r;
	char text[NONCE_TEXT_SIZE];

	ck_assert_int_eq(replay_new(10, &r), 0);
	make_text(1, text);
#define TAKE(nc) replay_take(r, text, 100, nc)
	ck_assert_int_eq(TAKE(1), REASON_AUTH_OK);
	ck_assert_int_eq(TAKE(1), REASON_AUTH_REPLAY);
	ck_assert_int_eq(TAKE(3), REASON_AUTH_OK);
	ck_assert_int_eq(TAKE(2), REASON_AUTH_OK); /* came late */
	ck_assert_int_eq(TAKE(2), REASON_AUTH_REPLAY);
	ck_assert_int_eq(TAKE(3), REASON_AUTH_REPLAY);
	ck_assert_int_eq(TAKE(67), REASON_AUTH_OK);
	ck_assert_int_eq(TAKE(3), REASON_AUTH_REPLAY); /* 64 behind, used */
	ck_assert_int_eq(TAKE(2), REASON_AUTH_REPLAY); /* out of the window */
	ck_assert_int_eq(TAKE(4), REASON_AUTH_OK);
	ck_assert_int_eq(TAKE(4), REASON_AUTH_REPLAY);
	ck_assert_int_eq(TAKE(4000000000u), REASON_AUTH_OK);
	ck_assert_int_eq(TAKE(67), REASON_AUTH_REPLAY);
	ck_assert_int_eq(TAKE(0xffffffffu), REASON_AUTH_OK);
	ck_assert_int_eq(TAKE(0xffffffffu), REASON_AUTH_REPLAY);
	ck_assert_int_eq(replay_take(r, "short", 100, 1), REASON_AUTH_REPLAY);
	replay_free(&r);
}
END_TEST

static int restore_one(void *ctx, struct store_record *record, uint32_t type,
	uint32_t version, const void *bytes, size_t len)
{
	return replay_restore(ctx, record, type, version, bytes, len);
}

/* What was used before a restart is used after it, and what was pushed out
 * stays out. */
START_TEST(replay_outlives)
{
	const struct store_config config = {.name = "auth",
		.owner = PROCESS_AUTHD,
		.slot_size = 256,
		.n_slots = 20};
	struct store_found found = STORE_FOUND_NONE;
	char text[NONCE_TEXT_SIZE];
	struct replay *r;
	struct store *s;
	int fd;

	ck_assert_int_eq(replay_new(3, &r), 0);
	ck_assert_int_eq(store_open(&config, NULL, restore_one, r, &s), 0);
	replay_attach(r, s);
	for (unsigned n = 1; n <= 5; n++) {
		make_text(n, text);
		ck_assert_int_eq(
			replay_take(r, text, 100 + n, 1), REASON_AUTH_OK);
		ck_assert_int_eq(
			replay_take(r, text, 100 + n, 3), REASON_AUTH_OK);
	}
	ck_assert_uint_eq(
		store_count(s), 4); /* three, and what was pushed out */
	fd = dup(store_fd(s));
	ck_assert_int_ge(fd, 0);
	replay_free(&r); /* as a kill: nothing is taken back */
	store_close(&s);

	ck_assert_int_eq(replay_new(3, &r), 0);
	found.fd = fd;
	ck_assert_int_eq(store_open(&config, &found, restore_one, r, &s), 0);
	replay_attach(r, s);
	ck_assert_uint_eq(replay_count(r), 3);
	for (unsigned n = 1; n <= 5; n++) {
		make_text(n, text);
		ck_assert_int_eq(
			replay_take(r, text, 100 + n, 1), REASON_AUTH_REPLAY);
		ck_assert_int_eq(
			replay_take(r, text, 100 + n, 3), REASON_AUTH_REPLAY);
		ck_assert_int_eq(replay_take(r, text, 100 + n, 2),
			n <= 2 ? REASON_AUTH_REPLAY : REASON_AUTH_OK);
	}
	replay_expire(r, 1000);
	ck_assert_uint_eq(replay_count(r), 0);
	ck_assert_uint_eq(store_count(s), 1);
	replay_free(&r);
	store_end(&s, NULL);
}
END_TEST

#define RECORDED_NONCES 8
#define RECORDED_NAME   "auth@256x16"
#define RECORDED_SIZE   (4096 + 16 * 256)

/* authd's whole file of the first version. */
static void record_live(void)
{
	struct nonce_keys keys = {.current.id = 7, .previous.id = 6};
	struct nonce_keys none;
	struct live *l;
	struct replay *r;
	char text[NONCE_TEXT_SIZE];
	uint64_t from_us;
	bool found;

	memset(keys.current.key, 0xc7, NONCE_KEY_SIZE);
	memset(keys.previous.key, 0xa6, NONCE_KEY_SIZE);
	ck_assert_int_eq(replay_new(RECORDED_NONCES, &r), 0);
	ck_assert_int_eq(live_new(RECORDED_NONCES, 8, &l), 0);
	ck_assert_int_eq(live_open(l, r, &none, &from_us, &found), 0);
	ck_assert(!found);
	live_put_keys(l, &keys, 123456789);
	for (unsigned n = 1; n <= 3; n++) {
		make_text(n, text);
		ck_assert_int_eq(
			replay_take(r, text, 100 + n, 2 * n), REASON_AUTH_OK);
	}
	state_record("authd-1.bin", live_fd(l), RECORDED_SIZE);
	replay_free(&r);
	live_free(&l);
}

START_TEST(live_of_version_1)
{
	struct nonce_keys keys;
	struct live *l;
	struct replay *r;
	char text[NONCE_TEXT_SIZE];
	uint8_t key[NONCE_KEY_SIZE];
	uint64_t from_us = 0;
	bool found = false;

	record_live();
	ck_assert_int_eq(replay_new(RECORDED_NONCES, &r), 0);
	ck_assert_int_eq(live_new(RECORDED_NONCES, 8, &l), 0);
	live_on_fd(l, RECORDED_NAME, state_file("authd-1.bin", RECORDED_SIZE));
	ck_assert_int_eq(live_open(l, r, &keys, &from_us, &found), 0);
	ck_assert(found);
	ck_assert_uint_eq(from_us, 123456789);
	ck_assert_uint_eq(keys.current.id, 7);
	ck_assert_uint_eq(keys.previous.id, 6);
	memset(key, 0xc7, sizeof(key));
	ck_assert_mem_eq(keys.current.key, key, sizeof(key));
	memset(key, 0xa6, sizeof(key));
	ck_assert_mem_eq(keys.previous.key, key, sizeof(key));
	ck_assert_uint_eq(replay_count(r), 3);
	for (unsigned n = 1; n <= 3; n++) {
		make_text(n, text);
		ck_assert_int_eq(replay_take(r, text, 100 + n, 2 * n),
			REASON_AUTH_REPLAY);
		ck_assert_int_eq(replay_take(r, text, 100 + n, 2 * n + 1),
			REASON_AUTH_OK);
	}
	replay_free(&r);
	live_free(&l);
}
END_TEST

/* Against a plain list of all counts that were taken. */
START_TEST(replay_model)
{
	static bool used[2000];
	struct replay *r;
	char text[NONCE_TEXT_SIZE];
	uint32_t highest = 0, nc;

	memset(used, 0, sizeof(used));
	ck_assert_int_eq(replay_new(10, &r), 0);
	make_text(1, text);
	srand(_i + 1);
	for (int i = 0; i < 5000; i++) {
		bool fresh;

		nc = 1 + (uint32_t)rand() %
				 (highest + 70 < 1999 ? highest + 70 : 1999);
		if (rand() % 2 && highest > 70)
			nc = highest - (uint32_t)rand() % 70;
		fresh = !used[nc] && (nc > highest || highest - nc <= 64);
		ck_assert_int_eq(replay_take(r, text, 5, nc),
			fresh ? REASON_AUTH_OK : REASON_AUTH_REPLAY);
		used[nc] |= fresh;
		if (fresh && nc > highest)
			highest = nc;
	}
	replay_free(&r);
}
END_TEST

START_TEST(replay_is_bounded)
{
	struct replay *r;
	char text[NONCE_TEXT_SIZE];

	ck_assert_int_eq(replay_new(100, &r), 0);
	for (unsigned n = 0; n < 150; n++) {
		make_text(n, text);
		ck_assert_int_eq(
			replay_take(r, text, 1000 + n, 1), REASON_AUTH_OK);
		ck_assert_uint_le(replay_count(r), 100);
	}
	/* Forgotten, but still not good for a second time. */
	make_text(10, text);
	ck_assert_int_eq(replay_take(r, text, 1010, 1), REASON_AUTH_REPLAY);
	make_text(149, text);
	ck_assert_int_eq(replay_take(r, text, 1149, 1), REASON_AUTH_REPLAY);
	replay_expire(r, 1140);
	ck_assert_uint_eq(replay_count(r), 10);
	replay_free(&r);
}
END_TEST

/* ------------------------------------------------------------------ bans */

static struct ban_table *bans;
static uint64_t attempt;

static enum ban_step fail_from(
	const char *source, const char *user, bool shared, uint64_t now)
{
	struct addr a = address(source);

	return ban_failure(bans, &a, user, ++attempt, shared, now, NULL);
}

static uint64_t until(const char *source, uint64_t now)
{
	struct addr a = address(source);

	return ban_until(bans, &a, now);
}

static bool allowed(const char *source, const char *user, uint64_t now)
{
	struct addr a = address(source);

	return ban_user_allowed(bans, &a, user, now);
}

static void ban_setup(void)
{
	ck_assert_int_eq(ban_new(10, &bans), 0);
	attempt = 0;
}

static void ban_teardown(void)
{
	ban_free(&bans);
}

START_TEST(ban_after_three)
{
	uint64_t now = 50 * S;

	ck_assert_int_eq(
		fail_from("192.0.2.1:1", "a", false, now), BAN_NOTHING);
	ck_assert_int_eq(
		fail_from("192.0.2.1:2", "b", false, now), BAN_NOTHING);
	ck_assert_uint_eq(until("192.0.2.1:1", now), 0);
	ck_assert_int_eq(fail_from("192.0.2.1:3", "c", false, now), BAN_SOURCE);
	ck_assert_uint_eq(until("192.0.2.1:77", now), now + 600 * S);
	ck_assert_uint_eq(until("192.0.2.2:1", now), 0);
	ck_assert_uint_eq(until("192.0.2.1:1", now + 600 * S), 0);
}
END_TEST

START_TEST(ban_window)
{
	struct addr a = address("192.0.2.1:1");

	fail_from("192.0.2.1:1", "a", false, 10 * S);
	fail_from("192.0.2.1:1", "a", false, 20 * S);
	ck_assert_int_eq(
		fail_from("192.0.2.1:1", "a", false, 700 * S), BAN_NOTHING);
	/* The very same header again is no second attempt. */
	ck_assert_int_eq(
		ban_failure(bans, &a, "a", attempt, false, 701 * S, NULL),
		BAN_REPEATED);
	ck_assert_int_eq(
		fail_from("192.0.2.1:1", "a", false, 702 * S), BAN_NOTHING);
	ck_assert_int_eq(
		fail_from("192.0.2.1:1", "a", false, 703 * S), BAN_SOURCE);
}
END_TEST

START_TEST(ban_success_washes_its_own_only)
{
	struct addr a = address("192.0.2.1:1");

	fail_from("192.0.2.1:1", "mine", false, S);
	fail_from("192.0.2.1:1", "victim", false, S);
	ban_success(bans, &a, "mine");
	ck_assert_int_eq(
		fail_from("192.0.2.1:1", "victim", false, S), BAN_NOTHING);
	ban_success(bans, &a, "mine");
	ck_assert_int_eq(
		fail_from("192.0.2.1:1", "victim", false, S), BAN_SOURCE);
}
END_TEST

START_TEST(ban_shared_source)
{
	struct addr a = address("192.0.2.1:1");
	char user[16];
	unsigned n;

	for (n = 0; n < 2; n++)
		ck_assert_int_eq(
			fail_from("192.0.2.1:1", "x", true, S), BAN_NOTHING);
	ck_assert_int_eq(fail_from("192.0.2.1:1", "x", true, S), BAN_ACCOUNT);
	ck_assert(!ban_user_allowed(bans, &a, "x", 2 * S));
	ck_assert(ban_user_allowed(bans, &a, "y", 2 * S));
	ck_assert(ban_user_allowed(bans, &a, "x", 602 * S));
	ck_assert_uint_eq(until("192.0.2.1:1", S), 0);
	for (n = 3; n < 3 * BAN_SHARED_FACTOR - 1; n++) {
		snprintf(user, sizeof(user), "u%u", n);
		ck_assert_int_eq(
			fail_from("192.0.2.1:1", user, true, S), BAN_NOTHING);
	}
	ck_assert_int_eq(fail_from("192.0.2.1:1", "last", true, S), BAN_SOURCE);
}
END_TEST

START_TEST(ban_exempt_and_lifted)
{
	struct addr_net net;
	struct addr a = address("192.0.2.1:1");

	ck_assert_int_eq(addr_net_parse("198.51.100.0/24", &net), 0);
	ck_assert_int_eq(ban_set_exempt(bans, &net, 1), 0);
	for (int i = 0; i < 9; i++)
		ck_assert_int_eq(fail_from("198.51.100.9:1", "a", false, S),
			BAN_NOTHING);
	for (int i = 0; i < 3; i++)
		fail_from("192.0.2.1:1", "a", false, S);
	ck_assert(ban_lift(bans, &a, S));
	ck_assert(!ban_lift(bans, &a, S));
	ck_assert_uint_eq(until("192.0.2.1:1", S), 0);
}
END_TEST

START_TEST(ban_is_bounded)
{
	char source[32];

	for (int i = 0; i < 3; i++)
		fail_from("192.0.2.1:1", "a", false, S);
	for (int i = 0; i < 100; i++) {
		snprintf(source, sizeof(source), "198.51.100.%d:1", i);
		fail_from(source, "a", false, 2 * S);
	}
	/* The banned one is the last that is forgotten. */
	ck_assert_uint_ne(until("192.0.2.1:1", 3 * S), 0);
	ban_expire(bans, 5000 * S);
	ck_assert_uint_eq(until("192.0.2.1:1", 5000 * S), 0);
}
END_TEST

static int restore_ban(void *ctx, struct store_record *record, uint32_t type,
	uint32_t version, const void *bytes, size_t len)
{
	return ban_restore(ctx, record, type, version, bytes, len);
}

static const struct store_config ban_store = {.name = "bans",
	.owner = PROCESS_AUTHD,
	.slot_size = BAN_SLOT_SIZE,
	.n_slots = 40};

/* A kill: the table goes without taking anything back, a new one gets the
 * file. */
static struct store *kill_bans(struct store *store)
{
	struct store_found found = STORE_FOUND_NONE;

	found.fd = dup(store_fd(store));
	ck_assert_int_ge(found.fd, 0);
	ban_free(&bans);
	store_close(&store);
	ck_assert_int_eq(ban_new(10, &bans), 0);
	ck_assert_int_eq(
		store_open(&ban_store, &found, restore_ban, bans, &store), 0);
	ban_attach(bans, store);
	return store;
}

START_TEST(ban_outlives)
{
	struct store *store;
	struct addr source;

	ck_assert_int_eq(
		store_open(&ban_store, NULL, restore_ban, bans, &store), 0);
	ban_attach(bans, store);
	/* Two failures before, one after. */
	fail_from("192.0.2.1:1", "a", false, S);
	fail_from("192.0.2.1:1", "b", false, 2 * S);
	/* One account of a NAT is blocked. */
	for (int i = 0; i < 3; i++)
		fail_from("192.0.2.2:1", "mine", true, S);
	ck_assert(!allowed("192.0.2.2:1", "mine", 2 * S));
	/* A source is banned, over IPv6. */
	for (int i = 0; i < 3; i++)
		fail_from("[2001:db8::1]:1", "c", false, S);
	ck_assert_uint_ne(until("[2001:db8::2]:5", 2 * S), 0);
	/* And many names of one source. */
	for (unsigned i = 0; i < 30; i++) {
		char name[16];

		snprintf(name, sizeof(name), "user%u", i);
		fail_from("192.0.2.3:1", name, true, S);
	}
	store = kill_bans(store);
	ck_assert_uint_ne(until("[2001:db8::2]:5", 2 * S), 0);
	ck_assert(!allowed("192.0.2.2:1", "mine", 2 * S));
	ck_assert(allowed("192.0.2.2:1", "other", 2 * S));
	ck_assert_uint_ne(until("192.0.2.3:1", 2 * S), 0);
	ck_assert_uint_eq(until("192.0.2.1:1", 2 * S), 0);
	ck_assert_int_eq(
		fail_from("192.0.2.1:1", "a", false, 3 * S), BAN_SOURCE);
	source = address("192.0.2.1:1");
	ck_assert(ban_lift(bans, &source, 4 * S));
	/* What was lifted, or has run out, does not come back. */
	store = kill_bans(store);
	ck_assert_uint_eq(until("192.0.2.1:1", 4 * S), 0);
	ban_expire(bans, 5000 * S);
	store = kill_bans(store);
	ck_assert_uint_eq(until("[2001:db8::2]:5", 2 * S), 0);
	ck_assert_uint_eq(store_count(store), 1); /* the key */
	ban_free(&bans);
	ck_assert_int_eq(ban_new(10, &bans), 0);
	store_end(&store, NULL);
}
END_TEST

/* Whatever stands in the file: refused, or a source with sane numbers. */
START_TEST(ban_bad_records)
{
	uint8_t bytes[1024] = {0};
	uint32_t family = 99;

	ck_assert_int_lt(ban_restore(bans, NULL, 1, 2, bytes, 48), 0);
	ck_assert_int_lt(ban_restore(bans, NULL, 9, 1, bytes, 48), 0);
	ck_assert_int_lt(ban_restore(bans, NULL, 2, 1, bytes, 15), 0);
	ck_assert_int_lt(ban_restore(bans, NULL, 1, 1, bytes, 47), 0);
	ck_assert_int_lt(ban_restore(bans, NULL, 1, 1, bytes, 60), 0);
	ck_assert_int_lt(
		ban_restore(bans, NULL, 1, 1, bytes, sizeof(bytes)), 0);
	ck_assert_int_lt(ban_restore(bans, NULL, 1, 1, bytes, 48), 0);
	memcpy(bytes + 16, &family, sizeof(family));
	ck_assert_int_lt(ban_restore(bans, NULL, 1, 1, bytes, 48), 0);
	family = 2;
	memcpy(bytes + 16, &family, sizeof(family));
	ck_assert_int_eq(ban_restore(bans, NULL, 1, 1, bytes, 48), 0);
	ck_assert_int_lt(ban_restore(bans, NULL, 1, 1, bytes, 48), 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("ban");
	TCase *p = tcase_create("replay");
	TCase *b = tcase_create("ban");
	SRunner *r;
	int failed;

	tcase_add_test(p, replay_counts);
	tcase_add_test(p, replay_outlives);
	tcase_add_test(p, live_of_version_1);
	tcase_add_loop_test(p, replay_model, 0, 4);
	tcase_add_test(p, replay_is_bounded);
	suite_add_tcase(s, p);
	tcase_add_checked_fixture(b, ban_setup, ban_teardown);
	tcase_add_test(b, ban_after_three);
	tcase_add_test(b, ban_window);
	tcase_add_test(b, ban_success_washes_its_own_only);
	tcase_add_test(b, ban_shared_source);
	tcase_add_test(b, ban_exempt_and_lifted);
	tcase_add_test(b, ban_is_bounded);
	tcase_add_test(b, ban_outlives);
	tcase_add_test(b, ban_bad_records);
	suite_add_tcase(s, b);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
