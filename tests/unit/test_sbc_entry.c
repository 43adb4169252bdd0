/* SPDX-License-Identifier: Apache-2.0 */
/* Who is answered at all, and what never reaches the parser: the real stack on
 * loopback. */
#include <check.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "common/clock.h"
#include "sbc/sofia_cures.h"
#include "tests/unit/entry_desk.h"

/* --------------------------------------------------------------- strangers */

START_TEST(strangers_hear_nothing)
{
	static const struct request rows[] = {
		{.method = "OPTIONS"},
		{.method = "OPTIONS", .uri = "sip:100@example.com"},
		{.method = "INVITE", .uri = "sip:100@example.com"},
		{.method = "BYE"},
		{.method = "CANCEL"},
		{.method = "ACK"},
		{.method = "SUBSCRIBE"},
		{.method = "MESSAGE"},
		{.method = "FOO"},
		{.method = "REGISTER", .uri = "sip:example.org"},
		{.method = "REGISTER", .uri = "sip:203.0.113.1"},
		{.method = "REGISTER",
			.extra = "User-Agent: friendly-scanner\r\n"},
		{.method = "REGISTER", .extra = "User-Agent: sipcli/v1.8\r\n"},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		entry_send(&phone, &w->local, rows[i]);
	/* A realm without phones does not even know REGISTER. */
	entry_send(&phone, &w->trunks, (struct request){0});
	entry_send(&phone, &w->trunks, (struct request){.method = "INVITE"});
	peer_hears_nothing(w, &phone, &w->trunks);
	peer_hears_nothing(w, &phone, &w->local);
	ck_assert_uint_eq(w->n_auth, 0);
	ck_assert_uint_eq(w->n_invites, 0);
	ck_assert_uint_ge(reason_counted(REASON_ADMIT_UNKNOWN_SOURCE), 8);
	ck_assert_uint_eq(reason_counted(REASON_ADMIT_FOREIGN_DOMAIN), 2);
	ck_assert_uint_eq(reason_counted(REASON_ADMIT_SCANNER), 2);
}
END_TEST

/* What the library would answer with 400, 413, 505 by itself. */
START_TEST(broken_requests_of_strangers_are_not_answered)
{
	static const char *const texts[] = {
		"REGISTER sip:example.com SIP/2.0\r\nVia: SIP/2.0/UDP "
		"127.0.0.1:9;branch=z9hG4bK1\r\n"
		"From: <<<\r\nTo: <sip:a@example.com>\r\nCall-ID: a\r\nCSeq: 1 "
		"REGISTER\r\n\r\n",
		"REGISTER sip:example.com SIP/2.0\r\nVia: SIP/2.0/UDP "
		"127.0.0.1:9;branch=z9hG4bK2\r\n"
		"From: <sip:a@example.com>;tag=1\r\nTo: "
		"<sip:a@example.com>\r\nCall-ID: a\r\nCSeq: x REGISTER\r\n\r\n",
		"REGISTER sip:example.com SIP/2.0\r\nVia: SIP/2.0/UDP "
		"127.0.0.1:9;branch=z9hG4bK3\r\n"
		"From: <sip:a@example.com>;tag=1\r\nTo: "
		"<sip:a@example.com>\r\nCall-ID: a\r\nCSeq: 1 INVITE\r\n\r\n",
		"REGISTER sip:example.com SIP/2.0\r\nVia: SIP/2.0/UDP "
		"127.0.0.1:9;branch=z9hG4bK4\r\n"
		"From: <sip:a@example.com>;tag=1\r\nTo: "
		"<sip:a@example.com>\r\nCall-ID: a\r\nCSeq: 1 REGISTER\r\n"
		"Content-Length: 99\r\n\r\nshort",
		"REGISTER sip: SIP/2.0\r\nVia: SIP/2.0/UDP "
		"127.0.0.1:9;branch=z9hG4bK5\r\n"
		"From: <sip:a@example.com>;tag=1\r\nTo: "
		"<sip:a@example.com>\r\nCall-ID: a\r\nCSeq: 1 REGISTER\r\n\r\n",
	};

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		peer_send(&phone, &w->local, texts[i]);
		peer_hears_nothing(w, &phone, &w->local);
	}
	/* A trunk gets its 400. */
	peer_send(&trunk, &w->local, texts[2]);
	/* its Via names port 9: without rport the answer goes there */
	peer_hears_nothing(w, &trunk, &w->local);
	snprintf(text, sizeof(text),
		"OPTIONS sip:example.com SIP/2.0\r\n"
		"Via: SIP/2.0/UDP 127.0.0.2:9;branch=z9hG4bK6;rport\r\n"
		"From: <sip:a@example.com>;tag=1\r\nTo: <sip:a@example.com>\r\n"
		"Call-ID: a\r\nCSeq: 1 INVITE\r\n\r\n");
	peer_send(&trunk, &w->local, text);
	entry_expect(&trunk, "400");
}
END_TEST

/* Headers that may stand only once, twice: the library keeps the second in its
 * list of errors under its own class. */
START_TEST(headers_twice)
{
	static const char *const lines[] = {"CSeq: 7 REGISTER\r\n",
		"Call-ID: other\r\n", "From: <sip:b@example.com>;tag=2\r\n",
		"To: <sip:b@example.com>\r\n", "Max-Forwards: 70\r\n",
		"Content-Length: 0\r\n", "Expires: 1\r\nExpires: 2\r\n",
		"User-Agent: a\r\nUser-Agent: b\r\n", "Date: x\r\nDate: y\r\n",
		("Date: Sat, 13 Nov 2010 23:29:00 GMT\r\n"
		 "Date: Sat, 13 Nov 2010 23:29:00 GMT\r\n"),
		"Timestamp: 1\r\nTimestamp: 2\r\n",
		"Min-Expires: 1\r\nMin-Expires: 2\r\n",
		"Content-Type: a/b\r\nContent-Type: c/d\r\n"};

	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		entry_send(
			&phone, &w->local, (struct request){.extra = lines[i]});
		entry_send(&trunk, &w->local,
			(struct request){
				.method = "OPTIONS", .extra = lines[i]});
		peer_recv(w, &trunk, text);
		ck_assert_msg(strncmp(text, "SIP/2.0 ", 8) == 0, "%s: %s",
			lines[i], text);
	}
}
END_TEST

START_TEST(acl_is_silent)
{
	static const char *const acl[] = {"127.0.0.2/32"};

	entry_teardown();
	entry_begin((struct world_config){.acl = acl, .n_acl = 1});
	entry_send(&phone, &w->local, (struct request){0});
	peer_hears_nothing(w, &phone, &w->local);
	ck_assert_uint_eq(reason_counted(REASON_ADMIT_ACL), 1);
}
END_TEST

START_TEST(wrong_realm_is_told_from_unknown)
{
	struct world_config config = {.with_trunk = false};

	entry_teardown();
	w = world_new(&config);
	peer_open(&phone, "127.0.0.1");
	peer_open(&trunk, "127.0.0.2");
	entry_send(&trunk, &w->trunks, (struct request){.method = "INVITE"});
	peer_hears_nothing(w, &trunk, &w->local);
	ck_assert_uint_eq(reason_counted(REASON_ADMIT_WRONG_REALM), 1);
}
END_TEST

/* ------------------------------------------------------ before the parser */

static enum reason raw(
	const char *source, const struct addr *local, const char *bytes)
{
	struct addr from;

	ck_assert_int_eq(addr_parse(source, &from), 0);
	return admit_datagram(w->sbc.admit, &from, local,
		(const uint8_t *)bytes, strlen(bytes));
}

/* What nobody would answer is not parsed: the verdict comes of the source, the
 * address and the first letters. */
START_TEST(dropped_unread)
{
	static const char *const acl[] = {"127.0.0.2/32"};
	static const char request[] = "INVITE sip:x SIP/2.0\r\n\r\n";
	static const char answer[] = "SIP/2.0 200 OK\r\n\r\n";

	/* A realm of trunks only. */
	ck_assert_int_eq(raw("127.0.0.9:5060", &w->trunks, request),
		REASON_ADMIT_UNKNOWN_SOURCE);
	ck_assert_int_eq(raw("127.0.0.9:5060", &w->trunks, "X"),
		REASON_ADMIT_OK); /* no request: judged by its first line */
	ck_assert_int_eq(
		raw("127.0.0.9:5060", &w->trunks, answer), REASON_ADMIT_OK);
	/* Phones may come from anywhere. */
	ck_assert_int_eq(
		raw("127.0.0.9:5060", &w->local, request), REASON_ADMIT_OK);
	/* But not past the realm's list, not even a trunk. */
	entry_teardown();
	entry_begin((struct world_config){.acl = acl, .n_acl = 1});
	ck_assert_int_eq(
		raw("127.0.0.9:5060", &w->local, request), REASON_ADMIT_ACL);
	ck_assert_int_eq(
		raw("127.0.0.2:5060", &w->local, request), REASON_ADMIT_OK);
	ck_assert_int_eq(
		raw("127.0.0.9:5060", &w->local, answer), REASON_ADMIT_OK);
}
END_TEST

START_TEST(hostile_datagrams)
{
	static const struct {
		const char *bytes;
		size_t len;
		enum reason why;
	} rows[] = {
		/* STUN binding request */
		{"\0\1\0\0\x21\x12\xa4\x42"
		 "123456789012",
			20, REASON_ADMIT_GARBAGE},
		{"\1\1\0\0", 4, REASON_ADMIT_GARBAGE},
		{"\xf8sigcomp", 8, REASON_ADMIT_GARBAGE},
		{"garbage\r\n\r\n", 11, REASON_ADMIT_GARBAGE},
	};
	uint64_t before;

	/* Also from a trunk: nothing is excused by its source. */
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		before = reason_counted(rows[i].why);
		peer_send_bytes(&trunk, &w->local, rows[i].bytes, rows[i].len);
		peer_hears_nothing(w, &trunk, &w->local);
		ck_assert_uint_eq(reason_counted(rows[i].why), before + 1);
	}
	peer_send(&trunk, &w->local, "\r\n\r\n");
	peer_send_bytes(&trunk, &w->local, "", 0);
	peer_hears_nothing(w, &trunk, &w->local);
}
END_TEST

/* Reflection: neither maddr nor a wrong version nor a foreign Via host makes
 * us send anything to the victim, and no name is looked up. */
START_TEST(nothing_is_sent_to_a_victim)
{
	struct peer victim;
	char host[ADDR_TEXT_SIZE + 64];
	char at[ADDR_TEXT_SIZE];
	uint64_t begun = clock_now_us();

	peer_open(&victim, "127.0.0.9");
	addr_format(&victim.local, at);
	snprintf(host, sizeof(host), "%s;maddr=127.0.0.9", at);
	entry_send(&trunk, &w->local,
		(struct request){.method = "OPTIONS", .via_host = host});
	snprintf(host, sizeof(host), "%s;received=127.0.0.9", at);
	entry_send(&trunk, &w->local,
		(struct request){.method = "OPTIONS", .via_host = host});
	entry_expect(&trunk, "200"); /* to where it came from */
	snprintf(text, sizeof(text),
		"OPTIONS sip:example.com SIP/7.0\r\n"
		"Via: SIP/2.0/UDP %s;branch=z9hG4bKv\r\n"
		"From: <sip:a@example.com>;tag=1\r\nTo: <sip:a@example.com>\r\n"
		"Call-ID: a\r\nCSeq: 1 OPTIONS\r\n\r\n",
		at);
	peer_send(&trunk, &w->local, text);
	entry_send(&trunk, &w->local,
		(struct request){.method = "OPTIONS",
			.via_host = "h;maddr=no-such-host.invalid"});
	entry_send(&trunk, &w->local,
		(struct request){.method = "OPTIONS",
			.via_host = "no-such-host.invalid"});
	entry_expect(&trunk, "200");
	peer_hears_nothing(w, &victim, &w->local);
	ck_assert_uint_eq(reason_counted(REASON_ADMIT_VIA_MADDR), 2);
	ck_assert_uint_eq(reason_counted(REASON_ADMIT_VERSION), 1);
	ck_assert_uint_lt(clock_now_us() - begun, 2 * CLOCK_US_PER_S);
	peer_close(&victim);
}
END_TEST

static uint64_t cpu_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

/* The dearest datagrams that a stranger can make: every header the check lets
 * pass, and many more than it does. Without the check 5,000 headers cost 38 ms
 * (in a build without sanitizers). */
START_TEST(header_flood_costs_little)
{
	static char big[CURES_DATAGRAM_MAX];
	uint64_t begun, spent;
	size_t at;

	entry_teardown();
	entry_begin((struct world_config){
		.unknown_rate = "10000", .source_rate = "10000"});
	snprintf(big, sizeof(big),
		"REGISTER sip:example.com SIP/2.0\r\n"
		"Via: SIP/2.0/UDP 127.0.0.1;branch=z9hG4bKf\r\n"
		"From: <sip:a@example.com>;tag=1\r\nTo: <sip:a@example.com>\r\n"
		"Call-ID: a\r\nCSeq: 1 REGISTER\r\n");
	at = strlen(big);
	while (at + 10 < sizeof(big) - 100)
		at += (size_t)snprintf(big + at, sizeof(big) - at, "a:b\r\n");
	snprintf(big + at, sizeof(big) - at, "\r\n");
	begun = cpu_us();
	for (unsigned i = 0; i < 50; i++) {
		peer_send(&phone, &w->local, big);
		peer_hears_nothing(w, &phone, &w->local);
	}
	spent = cpu_us() - begun;
	ck_assert_uint_eq(reason_counted(REASON_ADMIT_TOO_BIG), 50);
	ck_assert_msg(
		spent < 50 * 10000, "%lu us for 50", (unsigned long)spent);
}
END_TEST

START_TEST(rate_of_unknown_sources)
{
	entry_teardown();
	entry_begin((struct world_config){.source_rate = "5"});
	for (unsigned i = 0; i < 100; i++)
		entry_send(&phone, &w->local,
			(struct request){.method = "OPTIONS"});
	peer_hears_nothing(w, &phone, &w->local);
	ck_assert_uint_ge(reason_counted(REASON_ADMIT_RATE), 80);
	/* A trunk is not touched. */
	entry_send(&trunk, &w->local, (struct request){.method = "OPTIONS"});
	entry_expect(&trunk, "200");
}
END_TEST

/* While strangers use up their share, who has been challenged gets through. */
START_TEST(a_begun_registration_completes_in_a_flood)
{
	struct peer flood;

	entry_teardown();
	entry_begin((struct world_config){.unknown_rate = "20"});
	peer_open(&flood, "127.0.0.66");
	entry_send(&phone, &w->local, (struct request){.call_id = "r"});
	entry_expect(&phone, "401");
	authorization(text, "u1", "good", auth_line);
	for (unsigned i = 0; i < 150; i++)
		entry_send(&flood, &w->local,
			(struct request){.method = "OPTIONS"});
	entry_send(&phone, &w->local,
		(struct request){
			.call_id = "r", .cseq = 2, .extra = auth_line});
	entry_expect(&phone, "200");
	ck_assert_uint_gt(reason_counted(REASON_ADMIT_RATE), 0);
	peer_close(&flood);
}
END_TEST

/* --------------------------------------------------------------------- bans */

static void say_ban(const char *host, uint64_t until_us, bool lifted)
{
	Gh__Ban ban = GH__BAN__INIT;

	ban.host = (char *)(uintptr_t)host;
	ban.until_us = until_us;
	ban.reason = reason_number(REASON_BAN_FAILURES);
	ban.lifted = lifted;
	IPC_MSG(msg, BAN, ban, &ban);
	world_say(w, &msg);
}

static bool is_denied(void *ctx)
{
	(void)ctx;
	return admit_class(w->sbc.admit, &phone.local, &w->local) ==
	       ADMIT_DENIED;
}

static bool is_unknown(void *ctx)
{
	(void)ctx;
	return admit_class(w->sbc.admit, &phone.local, &w->local) ==
	       ADMIT_UNKNOWN;
}

START_TEST(bans)
{
	uint64_t later = clock_now_us() + 600 * CLOCK_US_PER_S;

	say_ban("127.0.0.1", later, false);
	say_ban("127.0.0.2", later, false);
	world_until(w, is_denied, NULL, "the ban");
	entry_send(&phone, &w->local, (struct request){0});
	/* the probe is a trunk: a ban does not touch it */
	peer_hears_nothing(w, &phone, &w->local);
	ck_assert_uint_eq(reason_counted(REASON_ADMIT_BANNED), 1);
	say_ban("127.0.0.1", 0, true);
	world_until(w, is_unknown, NULL, "the end of the ban");
	entry_send(&phone, &w->local, (struct request){0});
	entry_expect(&phone, "401");
}
END_TEST

START_TEST(a_ban_does_not_cut_a_registered_phone)
{
	struct peer other;

	entry_register();
	say_ban("127.0.0.1", clock_now_us() + 600 * CLOCK_US_PER_S, false);
	peer_open(&other, "127.0.0.1");
	do {
		entry_send(&phone, &w->local,
			(struct request){.method = "OPTIONS"});
		entry_expect(&phone, "200");
	} while (admit_class(w->sbc.admit, &other.local, &w->local) !=
		 ADMIT_DENIED);
	entry_send(&other, &w->local, (struct request){0});
	peer_hears_nothing(w, &other, &w->local);
	entry_send(&phone, &w->local, (struct request){.method = "OPTIONS"});
	entry_expect(&phone, "200");
	peer_close(&other);
}
END_TEST

/* ------------------------------------------------------------ known sources */

START_TEST(methods_of_known_sources)
{
	static const struct {
		const char *method;
		const char *to;
		const char *status;
	} rows[] = {
		{"OPTIONS", NULL, "200"},
		{"BYE", "sip:100@example.com>;tag=x;y=<", "481"},
		{"BYE", NULL, "481"},
		{"UPDATE", NULL, "481"},
		{"INFO", NULL, "481"},
		{"PRACK", NULL, "481"},
		{"REFER", NULL, "501"},
		{"SUBSCRIBE", NULL, "489"},
		{"MESSAGE", NULL, "405"},
		{"PUBLISH", NULL, "405"},
		{"NOTIFY", NULL, "489"},
		{"FOO", NULL, "501"},
	};

	entry_register();
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct request r = {
			.method = rows[i].method, .cseq = (unsigned)i + 10};

		entry_send(&phone, &w->local, r);
		peer_recv(w, &phone, text);
		ck_assert_msg(strncmp(text + 8, rows[i].status, 3) == 0,
			"%s: %.200s", rows[i].method, text);
		if (strcmp(rows[i].status, "405") == 0)
			ck_assert_str_ne(header(text, "Allow", value), "");
		entry_send(&trunk, &w->local, r);
		peer_recv(w, &trunk, text);
		ck_assert_msg(strncmp(text + 8, rows[i].status, 3) == 0,
			"trunk %s: %.200s", rows[i].method, text);
	}
	ck_assert_ptr_null(strcasestr(text, "sofia"));
}
END_TEST

START_TEST(required_extensions_and_forwards)
{
	entry_send(&trunk, &w->local,
		(struct request){.method = "OPTIONS",
			.extra = "Require: teleport, 100rel\r\n"});
	entry_expect(&trunk, "420");
	ck_assert_str_eq(header(text, "Unsupported", value), "teleport");
	ck_assert_uint_eq(reason_counted(REASON_ADMIT_REQUIRE), 1);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("sbc_entry");
	TCase *t = tcase_create("live");
	SRunner *r;
	int failed;

	tcase_add_checked_fixture(t, entry_setup, entry_teardown);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, strangers_hear_nothing);
	tcase_add_test(t, broken_requests_of_strangers_are_not_answered);
	tcase_add_test(t, headers_twice);
	tcase_add_test(t, acl_is_silent);
	tcase_add_test(t, dropped_unread);
	tcase_add_test(t, wrong_realm_is_told_from_unknown);
	tcase_add_test(t, hostile_datagrams);
	tcase_add_test(t, nothing_is_sent_to_a_victim);
	tcase_add_test(t, header_flood_costs_little);
	tcase_add_test(t, rate_of_unknown_sources);
	tcase_add_test(t, a_begun_registration_completes_in_a_flood);
	tcase_add_test(t, bans);
	tcase_add_test(t, a_ban_does_not_cut_a_registered_phone);
	tcase_add_test(t, methods_of_known_sources);
	tcase_add_test(t, required_extensions_and_forwards);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? 1 : 0;
}
