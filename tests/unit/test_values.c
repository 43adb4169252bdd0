/* SPDX-License-Identifier: Apache-2.0 */
/* The plain values: addresses, times, error words, tokens, names, secrets,
 * processes. */
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/addr.h"
#include "common/clock.h"
#include "common/err.h"
#include "common/ident.h"
#include "common/process.h"
#include "common/secret.h"
#include "common/token.h"
#include "tests/unit/suite.h"

START_TEST(test_addr_parse)
{
	static const struct {
		const char *text, *formatted; /* NULL: refused */
	} rows[] = {
		{"192.0.2.1", "192.0.2.1"},
		{"192.0.2.1:5060", "192.0.2.1:5060"},
		{"192.0.2.1:65535", "192.0.2.1:65535"},
		{"0.0.0.0:1", "0.0.0.0:1"},
		{"2001:db8::1", "2001:db8::1"},
		{"[2001:db8::1]", "2001:db8::1"},
		{"[2001:DB8:0::1]:5061", "[2001:db8::1]:5061"},
		{"::", "::"},
		{"::ffff:192.0.2.1", "192.0.2.1"},
		{"[::ffff:c000:201]:7", "192.0.2.1:7"},
		{"fe80::1%3", "fe80::1%3"},
		{"[fe80::1%4294967295]:9", "[fe80::1%4294967295]:9"},
		{"2001:db8:1111:2222:3333:4444:5555:6666",
			"2001:db8:1111:2222:3333:4444:5555:6666"},
		{"", NULL},
		{":", NULL},
		{"[]", NULL},
		{"[", NULL},
		{"[]:5060", NULL},
		{"[::1", NULL},
		{"[::1]x", NULL},
		{"[::1]:", NULL},
		{"[192.0.2.1]:5060", NULL},
		{"192.0.2.1:", NULL},
		{"192.0.2.1:0", NULL},
		{"192.0.2.1:65536", NULL},
		{"192.0.2.1:99999999999999999999", NULL},
		{"192.0.2.1:05060", NULL},
		{"192.0.2.1:+1", NULL},
		{"192.0.2.1:-1", NULL},
		{"192.0.2.1: 1", NULL},
		{" 192.0.2.1", NULL},
		{"192.0.2.1 ", NULL},
		{"192.0.2", NULL},
		{"192.0.2.256", NULL},
		{"192.0.2.01", NULL},
		{"192.0.2.1%1", NULL},
		{"0x7f000001", NULL},
		{"2130706433", NULL},
		{"localhost", NULL},
		{"localhost:5060", NULL},
		{"fe80::1%eth0", NULL},
		{"fe80::1%", NULL},
		{"fe80::1%0", NULL},
		{"fe80::1%4294967296", NULL},
		{"1:2:3:4:5:6:7:8:9", NULL},
		{":::", NULL},
		{"2001:db8::1::2", NULL},
		{"111111111111111111111111111111111111111111111111111111111111"
		 "11111111111111111111111111111111111111111111",
			NULL},
	};
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct addr a = {.port = 77}, again;
		char text[ADDR_TEXT_SIZE];
		int rc = addr_parse(rows[i].text, &a);

		if (!rows[i].formatted) {
			ck_assert_msg(rc == ERR_INVALID, "%s", rows[i].text);
			ck_assert_uint_eq(a.port, 77);
			continue;
		}
		ck_assert_msg(rc == 0, "%s", rows[i].text);
		ck_assert_str_eq(addr_format(&a, text), rows[i].formatted);
		ck_assert_int_eq(addr_parse(text, &again), 0);
		ck_assert(addr_equal(&a, &again));
		ck_assert(!memcmp(&a, &again, sizeof(a)));
	}
	ck_assert_int_eq(addr_parse(NULL, &(struct addr){0}), ERR_INVALID);
}
END_TEST

START_TEST(test_addr_net)
{
	static const struct {
		const char *net;
		bool good;
		const char *inside, *outside;
	} rows[] = {
		{"192.0.2.0/24", true, "192.0.2.255", "192.0.3.0"},
		{"192.0.2.128/25", true, "192.0.2.129", "192.0.2.127"},
		{"192.0.2.7", true, "192.0.2.7", "192.0.2.6"},
		{"192.0.2.6/31", true, "192.0.2.7", "192.0.2.8"},
		{"0.0.0.0/0", true, "255.1.2.3", "::1"},
		{"2001:db8::/32", true, "2001:db8:ffff::1", "2001:db9::"},
		{"2001:db8:0:8000::/49", true, "2001:db8:0:ffff::1",
			"2001:db8:0:7fff::1"},
		{"::/0", true, "2001:db8::1", "192.0.2.1"},
		{"::1/128", true, "::1", "::2"},
		{"::ffff:192.0.2.0/120", true, "192.0.2.9", "192.0.3.9"},
		{"192.0.2.1/24", false, NULL, NULL},
		{"192.0.2.0/33", false, NULL, NULL},
		{"192.0.2.0/-1", false, NULL, NULL},
		{"192.0.2.0/", false, NULL, NULL},
		{"192.0.2.0/24 ", false, NULL, NULL},
		{"192.0.2.0/024", false, NULL, NULL},
		{"192.0.2.0:5060/24", false, NULL, NULL},
		{"/24", false, NULL, NULL},
		{"", false, NULL, NULL},
		{"2001:db8::1/64", false, NULL, NULL},
		{"2001:db8::/129", false, NULL, NULL},
		{"::ffff:192.0.2.0/24", false, NULL, NULL},
		{"[2001:db8::]/32", false, NULL, NULL},
		{"fe80::%1/64", false, NULL, NULL},
		{"example.com/24", false, NULL, NULL},
	};
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct addr_net net;
		struct addr a;

		ck_assert_msg(addr_net_parse(rows[i].net, &net) ==
				      (rows[i].good ? 0 : ERR_INVALID),
			"%s", rows[i].net);
		if (!rows[i].good)
			continue;
		ck_assert_int_eq(addr_parse(rows[i].inside, &a), 0);
		ck_assert_msg(addr_in_net(&a, &net), "%s", rows[i].net);
		ck_assert_int_eq(addr_parse(rows[i].outside, &a), 0);
		ck_assert_msg(!addr_in_net(&a, &net), "%s", rows[i].net);
		ck_assert(!addr_in_net(&(struct addr){0}, &net));
	}
}
END_TEST

START_TEST(test_addr_class)
{
	static const struct {
		const char *text;
		bool private, loopback, any, multicast;
	} rows[] = {
		{"10.255.0.1", true, false, false, false},
		{"11.0.0.1", false, false, false, false},
		{"172.15.255.255", false, false, false, false},
		{"172.16.0.0", true, false, false, false},
		{"172.31.255.255", true, false, false, false},
		{"172.32.0.0", false, false, false, false},
		{"192.168.1.1", true, false, false, false},
		{"192.169.1.1", false, false, false, false},
		{"169.254.1.1", true, false, false, false},
		{"100.63.255.255", false, false, false, false},
		{"100.64.0.1", true, false, false, false},
		{"100.127.255.255", true, false, false, false},
		{"100.128.0.0", false, false, false, false},
		{"127.0.0.1", true, true, false, false},
		{"127.255.255.254", true, true, false, false},
		{"0.0.0.0", false, false, true, false},
		{"224.0.0.1", false, false, false, true},
		{"239.255.255.255", false, false, false, true},
		{"240.0.0.1", false, false, false, false},
		{"::", false, false, true, false},
		{"::1", true, true, false, false},
		{"::2", false, false, false, false},
		{"fe80::1", true, false, false, false},
		{"febf::1", true, false, false, false},
		{"fec0::1", false, false, false, false},
		{"fc00::1", true, false, false, false},
		{"fdff::1", true, false, false, false},
		{"fe00::1", false, false, false, false},
		{"ff02::1", false, false, false, true},
		{"2001:db8::1", false, false, false, false},
		{"::ffff:10.0.0.1", true, false, false, false},
	};
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct addr a;

		ck_assert_int_eq(addr_parse(rows[i].text, &a), 0);
		ck_assert_msg(addr_is_private(&a) == rows[i].private, "%s",
			rows[i].text);
		ck_assert_msg(addr_is_loopback(&a) == rows[i].loopback, "%s",
			rows[i].text);
		ck_assert_msg(
			addr_is_any(&a) == rows[i].any, "%s", rows[i].text);
		ck_assert_msg(addr_is_multicast(&a) == rows[i].multicast, "%s",
			rows[i].text);
	}
}
END_TEST

START_TEST(test_addr_sockaddr)
{
	static const char *const texts[] = {"192.0.2.1:5060",
		"[2001:db8::1]:5060", "[fe80::1%2]:1", "0.0.0.0", "::"};
	struct sockaddr_storage sa;
	struct sockaddr_in6 in6 = {
		.sin6_family = AF_INET6, .sin6_port = htons(9)};
	struct addr a, b;
	char text[ADDR_TEXT_SIZE];
	socklen_t len;
	size_t i;

	for (i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		ck_assert_int_eq(addr_parse(texts[i], &a), 0);
		len = addr_to_sockaddr(&a, &sa);
		ck_assert_uint_gt(len, 0);
		ck_assert_int_eq(
			addr_from_sockaddr((struct sockaddr *)&sa, len, &b), 0);
		/* The device of a link-local address is its realm's. */
		a.scope_id = 0;
		ck_assert(addr_equal(&a, &b));
		ck_assert_int_eq(
			addr_from_sockaddr((struct sockaddr *)&sa, len - 1, &b),
			ERR_INVALID);
	}
	/* A mapped address of a dual socket becomes IPv4. */
	ck_assert_int_eq(
		inet_pton(AF_INET6, "::ffff:192.0.2.9", &in6.sin6_addr), 1);
	ck_assert_int_eq(
		addr_from_sockaddr((struct sockaddr *)&in6, sizeof(in6), &a),
		0);
	ck_assert_str_eq(addr_format(&a, text), "192.0.2.9:9");
	memset(&sa, 0, sizeof(sa));
	sa.ss_family = AF_UNIX;
	ck_assert_int_eq(
		addr_from_sockaddr((struct sockaddr *)&sa, sizeof(sa), &a),
		ERR_INVALID);
	ck_assert_int_eq(
		addr_from_sockaddr((struct sockaddr *)&sa, 0, &a), ERR_INVALID);
	ck_assert_int_eq(addr_from_sockaddr(NULL, 16, &a), ERR_INVALID);
	ck_assert_uint_eq(addr_to_sockaddr(&(struct addr){0}, &sa), 0);
	ck_assert_str_eq(addr_format(&(struct addr){0}, text), "-");
}
END_TEST

START_TEST(test_addr_equal)
{
	struct addr a, b, key;
	char text[ADDR_TEXT_SIZE];

	ck_assert_int_eq(addr_parse("192.0.2.1:5060", &a), 0);
	ck_assert_int_eq(addr_parse("192.0.2.1:5061", &b), 0);
	ck_assert(addr_equal_ip(&a, &b));
	ck_assert(!addr_equal(&a, &b));
	key = addr_host_key(&a);
	ck_assert_str_eq(addr_format(&key, text), "192.0.2.1");
	ck_assert_int_eq(addr_parse("[2001:db8:1:2:3:4:5:6]:5060", &a), 0);
	key = addr_host_key(&a);
	ck_assert_str_eq(addr_format(&key, text), "2001:db8:1:2::");
	ck_assert_int_eq(addr_parse("fe80::1%1", &a), 0);
	ck_assert_int_eq(addr_parse("fe80::1%2", &b), 0);
	ck_assert(!addr_equal_ip(&a, &b));
	ck_assert_int_eq(addr_parse("0.0.0.0", &a), 0);
	ck_assert_int_eq(addr_parse("::", &b), 0);
	ck_assert(!addr_equal_ip(&a, &b));
	key = addr_host_key(&(struct addr){0});
	ck_assert(!addr_is_set(&key));
}
END_TEST

START_TEST(test_clock)
{
	static const struct {
		uint64_t us;
		const char *text;
	} rows[] = {
		{0, "1970-01-01T00:00:00.000000Z"},
		{1769903999000001, "2026-01-31T23:59:59.000001Z"},
		{951782400000000, "2000-02-29T00:00:00.000000Z"},
		{951868800000000, "2000-03-01T00:00:00.000000Z"},
		{4107542400000000, "2100-03-01T00:00:00.000000Z"},
		{4107542399999999, "2100-02-28T23:59:59.999999Z"},
		{1709164800000000, "2024-02-29T00:00:00.000000Z"},
		{1735689599500000, "2024-12-31T23:59:59.500000Z"},
		{253402300799999999, "9999-12-31T23:59:59.999999Z"},
		{UINT64_MAX, "9999-12-31T23:59:59.999999Z"},
	};
	char text[CLOCK_UTC_SIZE];
	uint64_t before;
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		ck_assert_str_eq(
			clock_format_utc(rows[i].us, text), rows[i].text);
		ck_assert_uint_eq(strlen(text) + 1, CLOCK_UTC_SIZE);
	}
	before = clock_now_us();
	ck_assert_uint_ge(clock_now_us(), before);
	/* Later than the first commit of this file. */
	ck_assert_uint_gt(clock_wall_us(), 1735689600000000);
}
END_TEST

static uint64_t fixed_now(void)
{
	return 5;
}

static uint64_t fixed_wall(void)
{
	return 7;
}

START_TEST(test_clock_source)
{
	clock_set_source(fixed_now, fixed_wall);
	ck_assert_uint_eq(clock_now_us(), 5);
	ck_assert_uint_eq(clock_wall_us(), 7);
	clock_set_source(NULL, NULL);
	ck_assert_uint_gt(clock_now_us(), 5);
}
END_TEST

START_TEST(test_err)
{
	int e, f;

	ck_assert_str_eq(err_text(0), "success");
	ck_assert_str_eq(err_text(1), "unknown error");
	ck_assert_str_eq(err_text(ERR_LAST - 1), "unknown error");
	for (e = 0; e >= ERR_LAST; e--) {
		ck_assert_ptr_nonnull(err_text(e));
		for (f = e - 1; f >= ERR_LAST; f--)
			ck_assert_str_ne(err_text(e), err_text(f));
	}
}
END_TEST

START_TEST(test_token)
{
	const uint64_t day_us = 86400ULL * 1000000;
	struct token t;
	unsigned i, n;

	token_init(&t, 10, 5, 1000);
	for (i = 0; i < 5; i++)
		ck_assert(token_take(&t, 1, 1000));
	ck_assert(!token_take(&t, 1, 1000));
	ck_assert(!token_take(&t, 1, 1000 + 99999));
	ck_assert(token_take(&t, 1, 1000 + 100000));
	ck_assert(!token_take(&t, 1, 1000 + 100000));
	/* A clock that goes back neither gives nor breaks anything. */
	ck_assert(!token_take(&t, 1, 0));
	ck_assert(token_take(&t, 1, 1000 + 200000));
	/* A long pause fills up to burst and not above. */
	ck_assert(!token_take(&t, 6, 1000 + day_us));
	ck_assert(token_take(&t, 5, 1000 + day_us));
	ck_assert(!token_take(&t, 1, 1000 + day_us));
	ck_assert(token_take(&t, 5, UINT64_MAX));
	/* The average holds over many uneven steps. */
	token_init(&t, 1000, 2, 0);
	for (i = 0, n = 0; i < 1000000; i += 37)
		n += token_take(&t, 1, i);
	ck_assert_uint_ge(n, 990);
	ck_assert_uint_le(n, 1002);
	/* Extremes. */
	token_init(&t, UINT32_MAX, UINT32_MAX, 0);
	ck_assert(token_take(&t, UINT32_MAX, 0));
	ck_assert(!token_take(&t, UINT32_MAX, 0));
	ck_assert(token_take(&t, UINT32_MAX, UINT64_MAX));
	token_init(&t, 0, 1, 0);
	ck_assert(token_take(&t, 1, 0));
	ck_assert(!token_take(&t, 1, UINT64_MAX));
	ck_assert(token_take(&t, 0, UINT64_MAX));
	token_init(&t, 10, 0, 0);
	ck_assert(!token_take(&t, 1, day_us));
}
END_TEST

START_TEST(test_ident)
{
	static const char *const bad[] = {"", "0", "0123456789ABCDE",
		"0123456789ABCDEFG", "0123456789abcdef", "0123456789ABCDEI",
		"0123456789ABCDEL", "0123456789ABCDEO", "0123456789ABCDEU",
		"0123456789ABCDE ", "0123456789ABCD\nF", "0123456789ABCD%F"};
	char a[IDENT_CALL_SIZE], b[IDENT_CALL_SIZE], c[201];
	unsigned seen[256] = {0};
	size_t i, kinds = 0;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ck_assert_msg(!ident_is_call(bad[i]), "%s", bad[i]);
	ck_assert(!ident_is_call(NULL));
	ident_make_call(a);
	ident_make_call(b);
	ck_assert(ident_is_call(a));
	ck_assert(ident_is_call(b));
	ck_assert_str_ne(a, b);
	memset(c, 'x', sizeof(c));
	ident_make_random(c, 200);
	ck_assert_uint_eq(strlen(c), 200);
	ck_assert_uint_eq(strspn(c, "0123456789abcdefghjkmnpqrstvwxyz"), 200);
	for (i = 0; i < 200; i++)
		kinds += !seen[(unsigned char)c[i]]++;
	/* 200 random letters of 32 show nearly all: less than 20 kinds has a
	 * chance below 1 in 10^20. */
	ck_assert_uint_ge(kinds, 20);
	ident_make_random(c, 0);
	ck_assert_str_eq(c, "");
}
END_TEST

START_TEST(test_secret)
{
	static const uint8_t zeros[32];
	struct secret s = {0};
	uint8_t x[32];

	ck_assert_int_eq(secret_set(&s, "abc", 3), 0);
	ck_assert_uint_eq(s.len, 3);
	ck_assert(secret_equal(s.bytes, "abc", 3));
	ck_assert(!secret_equal(s.bytes, "abd", 3));
	ck_assert(!secret_equal(s.bytes, "bbc", 3));
	ck_assert(secret_equal("x", "y", 0));
	ck_assert_int_eq(secret_random(&s, 32), 0);
	ck_assert_uint_eq(s.len, 32);
	ck_assert(!secret_equal(s.bytes, zeros, 32));
	ck_assert_int_eq(secret_set(&s, NULL, 0), 0);
	ck_assert_uint_eq(s.len, 0);
	ck_assert_int_eq(secret_set(&s, "abc", 3), 0);
	ck_assert_int_eq(secret_random(&s, 1U << 30), ERR_NOMEM);
	ck_assert_uint_eq(s.len, 3);
	secret_done(&s);
	ck_assert_ptr_null(s.bytes);
	secret_done(&s);
	secret_random_bytes(x, sizeof(x));
	ck_assert(!secret_equal(x, zeros, sizeof(x)));
	secret_wipe(x, sizeof(x));
	ck_assert(secret_equal(x, zeros, sizeof(x)));
}
END_TEST

START_TEST(test_process)
{
	struct process_users users;
	enum process p, q;

	for (p = 0; p < PROCESS_COUNT; p++) {
		ck_assert_int_eq(process_from_name(process_name(p), &q), 0);
		ck_assert_int_eq(p, q);
		ck_assert_ptr_nonnull(process_user(p));
	}
	ck_assert_str_eq(process_name(PROCESS_SBC), "sbc");
	ck_assert_str_eq(process_user(PROCESS_MEDIAD), "gatehouse-mediad");
	ck_assert_str_eq(process_user(PROCESS_CTL), "root");
	ck_assert_str_eq(process_name(PROCESS_COUNT), "unknown");
	ck_assert_int_eq(process_from_name("sb", &q), ERR_NOT_FOUND);
	ck_assert_int_eq(process_from_name("", &q), ERR_NOT_FOUND);
	process_users_all(&users, 1234);
	for (p = 0; p < PROCESS_COUNT; p++)
		ck_assert_uint_eq(users.uid[p], 1234);
}
END_TEST

/* Names of sockets of those that have made room. */
START_TEST(test_process_old)
{
	char text[32];

	ck_assert_ptr_null(process_old_suffix(0));
	ck_assert_ptr_null(process_old_suffix(PROCESS_OLD_MAX + 1));
	ck_assert_int_eq(
		process_old_path("/run/flowd.sock", 1, text, sizeof(text)), 0);
	ck_assert_str_eq(text, "/run/flowd-old.sock");
	ck_assert_int_eq(process_old_path("/run/flowd.sock", PROCESS_OLD_MAX,
				 text, sizeof(text)),
		0);
	ck_assert_str_eq(text, "/run/flowd-old4.sock");
	ck_assert_int_eq(
		process_old_path("/run/flowd.sock", 0, text, sizeof(text)),
		ERR_INVALID);
	ck_assert_int_eq(
		process_old_path(".sock", 1, text, sizeof(text)), ERR_INVALID);
	ck_assert_int_eq(process_old_path("/run/flowd", 1, text, sizeof(text)),
		ERR_INVALID);
	ck_assert_int_eq(
		process_old_path("/run/flowd.sock", 1, text, 19), ERR_TOO_BIG);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("values");

	suite_add(s, "addr_parse", test_addr_parse);
	suite_add(s, "addr_net", test_addr_net);
	suite_add(s, "addr_class", test_addr_class);
	suite_add(s, "addr_sockaddr", test_addr_sockaddr);
	suite_add(s, "addr_equal", test_addr_equal);
	suite_add(s, "clock", test_clock);
	suite_add(s, "clock_source", test_clock_source);
	suite_add(s, "err", test_err);
	suite_add(s, "token", test_token);
	suite_add(s, "ident", test_ident);
	suite_add(s, "secret", test_secret);
	suite_add(s, "process", test_process);
	suite_add(s, "process_old", test_process_old);
	return suite_run(s);
}
