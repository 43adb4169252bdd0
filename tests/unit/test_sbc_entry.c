/* SPDX-License-Identifier: Apache-2.0 */
/* Who is answered at all, what never reaches the parser, and how an INVITE
 * waits: the real stack on loopback. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/clock.h"
#include "sbc/sofia_cures.h"
#include "tests/unit/sbc_world.h"

static struct world *w;
static struct peer phone;
static struct peer trunk; /* 127.0.0.2 */
static char text[WORLD_TEXT_SIZE];
static char value[1024];
static char auth_line[1024];
static char extra[4096];

static void begin(struct world_config config)
{
	config.with_trunk = true;
	w = world_new(&config);
	peer_open(&phone, "127.0.0.1");
	peer_open(&trunk, "127.0.0.2");
}

static void setup(void)
{
	begin((struct world_config){0});
}

static void setup_open(void)
{
	begin((struct world_config){.strangers_invite = true});
}

static void teardown(void)
{
	peer_close(&phone);
	peer_close(&trunk);
	world_free(&w);
}

static void send_to(
	const struct peer *p, const struct addr *to, struct request r)
{
	peer_send(p, to, request_text(p, &r, text));
}

static void expect(const struct peer *p, const char *status)
{
	char line[32];

	peer_recv(w, p, text);
	snprintf(line, sizeof(line), "SIP/2.0 %s ", status);
	ck_assert_msg(strncmp(text, line, strlen(line)) == 0,
		"%.400s instead of %s", text, line);
}

static void register_phone(void)
{
	char own[ADDR_TEXT_SIZE];

	send_to(&phone, &w->local, (struct request){.call_id = "r"});
	expect(&phone, "401");
	snprintf(extra, sizeof(extra), "%sContact: <sip:100@%s>\r\n",
		authorization(text, "u1", "good", auth_line),
		addr_format(&phone.local, own));
	send_to(&phone, &w->local,
		(struct request){.call_id = "r", .cseq = 2, .extra = extra});
	expect(&phone, "200");
}

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
		send_to(&phone, &w->local, rows[i]);
	/* A realm without phones does not even know REGISTER. */
	send_to(&phone, &w->trunks, (struct request){0});
	send_to(&phone, &w->trunks, (struct request){.method = "INVITE"});
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
	expect(&trunk, "400");
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
		send_to(&phone, &w->local, (struct request){.extra = lines[i]});
		send_to(&trunk, &w->local,
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

	teardown();
	begin((struct world_config){.acl = acl, .n_acl = 1});
	send_to(&phone, &w->local, (struct request){0});
	peer_hears_nothing(w, &phone, &w->local);
	ck_assert_uint_eq(reason_counted(REASON_ADMIT_ACL), 1);
}
END_TEST

START_TEST(wrong_realm_is_told_from_unknown)
{
	struct world_config config = {.with_trunk = false};

	teardown();
	w = world_new(&config);
	peer_open(&phone, "127.0.0.1");
	peer_open(&trunk, "127.0.0.2");
	send_to(&trunk, &w->trunks, (struct request){.method = "INVITE"});
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
	teardown();
	begin((struct world_config){.acl = acl, .n_acl = 1});
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
	send_to(&trunk, &w->local,
		(struct request){.method = "OPTIONS", .via_host = host});
	snprintf(host, sizeof(host), "%s;received=127.0.0.9", at);
	send_to(&trunk, &w->local,
		(struct request){.method = "OPTIONS", .via_host = host});
	expect(&trunk, "200"); /* to where it came from */
	snprintf(text, sizeof(text),
		"OPTIONS sip:example.com SIP/7.0\r\n"
		"Via: SIP/2.0/UDP %s;branch=z9hG4bKv\r\n"
		"From: <sip:a@example.com>;tag=1\r\nTo: <sip:a@example.com>\r\n"
		"Call-ID: a\r\nCSeq: 1 OPTIONS\r\n\r\n",
		at);
	peer_send(&trunk, &w->local, text);
	send_to(&trunk, &w->local,
		(struct request){.method = "OPTIONS",
			.via_host = "h;maddr=no-such-host.invalid"});
	send_to(&trunk, &w->local,
		(struct request){.method = "OPTIONS",
			.via_host = "no-such-host.invalid"});
	expect(&trunk, "200");
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

	teardown();
	begin((struct world_config){
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
	teardown();
	begin((struct world_config){.source_rate = "5"});
	for (unsigned i = 0; i < 100; i++)
		send_to(&phone, &w->local,
			(struct request){.method = "OPTIONS"});
	peer_hears_nothing(w, &phone, &w->local);
	ck_assert_uint_ge(reason_counted(REASON_ADMIT_RATE), 80);
	/* A trunk is not touched. */
	send_to(&trunk, &w->local, (struct request){.method = "OPTIONS"});
	expect(&trunk, "200");
}
END_TEST

/* While strangers use up their share, who has been challenged gets through. */
START_TEST(a_begun_registration_completes_in_a_flood)
{
	struct peer flood;

	teardown();
	begin((struct world_config){.unknown_rate = "20"});
	peer_open(&flood, "127.0.0.66");
	send_to(&phone, &w->local, (struct request){.call_id = "r"});
	expect(&phone, "401");
	authorization(text, "u1", "good", auth_line);
	for (unsigned i = 0; i < 150; i++)
		send_to(&flood, &w->local,
			(struct request){.method = "OPTIONS"});
	send_to(&phone, &w->local,
		(struct request){
			.call_id = "r", .cseq = 2, .extra = auth_line});
	expect(&phone, "200");
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
	send_to(&phone, &w->local, (struct request){0});
	/* the probe is a trunk: a ban does not touch it */
	peer_hears_nothing(w, &phone, &w->local);
	ck_assert_uint_eq(reason_counted(REASON_ADMIT_BANNED), 1);
	say_ban("127.0.0.1", 0, true);
	world_until(w, is_unknown, NULL, "the end of the ban");
	send_to(&phone, &w->local, (struct request){0});
	expect(&phone, "401");
}
END_TEST

START_TEST(a_ban_does_not_cut_a_registered_phone)
{
	struct peer other;

	register_phone();
	say_ban("127.0.0.1", clock_now_us() + 600 * CLOCK_US_PER_S, false);
	peer_open(&other, "127.0.0.1");
	do {
		send_to(&phone, &w->local,
			(struct request){.method = "OPTIONS"});
		expect(&phone, "200");
	} while (admit_class(w->sbc.admit, &other.local, &w->local) !=
		 ADMIT_DENIED);
	send_to(&other, &w->local, (struct request){0});
	peer_hears_nothing(w, &other, &w->local);
	send_to(&phone, &w->local, (struct request){.method = "OPTIONS"});
	expect(&phone, "200");
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

	register_phone();
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct request r = {
			.method = rows[i].method, .cseq = (unsigned)i + 10};

		send_to(&phone, &w->local, r);
		peer_recv(w, &phone, text);
		ck_assert_msg(strncmp(text + 8, rows[i].status, 3) == 0,
			"%s: %.200s", rows[i].method, text);
		if (strcmp(rows[i].status, "405") == 0)
			ck_assert_str_ne(header(text, "Allow", value), "");
		send_to(&trunk, &w->local, r);
		peer_recv(w, &trunk, text);
		ck_assert_msg(strncmp(text + 8, rows[i].status, 3) == 0,
			"trunk %s: %.200s", rows[i].method, text);
	}
	ck_assert_ptr_null(strcasestr(text, "sofia"));
}
END_TEST

START_TEST(required_extensions_and_forwards)
{
	send_to(&trunk, &w->local,
		(struct request){.method = "OPTIONS",
			.extra = "Require: teleport, 100rel\r\n"});
	expect(&trunk, "420");
	ck_assert_str_eq(header(text, "Unsupported", value), "teleport");
	ck_assert_uint_eq(reason_counted(REASON_ADMIT_REQUIRE), 1);
}
END_TEST

/* ------------------------------------------------------------------ INVITE */

#define CONTACT "Contact: <sip:100@127.0.0.1>\r\n"

START_TEST(invite_of_a_trunk_is_a_call)
{
	send_to(&trunk, &w->local,
		(struct request){.method = "INVITE",
			.uri = "sip:100@example.com",
			.extra = CONTACT});
	expect(&trunk, "486");
	ck_assert_uint_eq(w->n_invites, 1);
	ck_assert(w->invite_had_trunk);
	ck_assert(!w->invite_had_account);
}
END_TEST

START_TEST(merged_invite)
{
	struct request r = {.method = "INVITE",
		.uri = "sip:100@example.com",
		.extra = CONTACT,
		.call_id = "merged"};

	send_to(&trunk, &w->local, r);
	expect(&trunk, "486");
	send_to(&trunk, &w->local, r); /* another branch */
	expect(&trunk, "482");
	ck_assert_uint_eq(w->n_invites, 1);
	ck_assert_uint_eq(reason_counted(REASON_ADMIT_MERGED), 1);
	r.cseq = 2;
	send_to(&trunk, &w->local, r);
	expect(&trunk, "486");
	/* A stranger who knows all of it hears nothing. */
	r.cseq = 1;
	send_to(&phone, &w->local, r);
	peer_hears_nothing(w, &phone, &w->local);
}
END_TEST

static void challenged_invite(struct request *r)
{
	r->method = "INVITE";
	r->uri = "sip:200@example.com";
	r->extra = CONTACT;
	r->call_id = "invite";
	r->cseq = 1;
	send_to(&phone, &w->local, *r);
	expect(&phone, "401");
	snprintf(extra, sizeof(extra), "%s%s", CONTACT,
		authorization(text, "u1", "good", auth_line));
	r->extra = extra;
	r->cseq = 2;
	r->branch = "z9hG4bKinvite";
}

START_TEST(invite_of_a_phone_waits_for_authd)
{
	struct request r = {0};

	register_phone();
	challenged_invite(&r);
	send_to(&phone, &w->local, r);
	expect(&phone, "100");
	expect(&phone, "486");
	ck_assert_uint_eq(w->n_invites, 1);
	ck_assert(w->invite_had_account);
	ck_assert(!w->invite_had_trunk);
	ck_assert_str_eq(w->last_method, "INVITE");
}
END_TEST

static bool asked_twice(void *ctx)
{
	(void)ctx;
	return w->n_auth == 2; /* once for REGISTER */
}

START_TEST(invite_sent_again_during_the_wait)
{
	struct request r = {0};

	register_phone();
	challenged_invite(&r);
	w->authd_silent = true;
	send_to(&phone, &w->local, r);
	expect(&phone, "100");
	world_until(w, asked_twice, NULL, "authd was asked");
	send_to(&phone, &w->local, r);
	expect(&phone, "100");
	peer_hears_nothing(w, &phone, &w->local);
	ck_assert_uint_eq(w->n_auth, 2);
	world_answer(w, 0, GH__AUTH_VERDICT__AUTH_VERDICT_OK, REASON_AUTH_OK);
	expect(&phone, "486");
	ck_assert_uint_eq(w->n_invites, 1);
}
END_TEST

START_TEST(cancel_during_the_wait)
{
	struct request r = {0};
	bool got_200 = false, got_487 = false;

	register_phone();
	challenged_invite(&r);
	w->authd_silent = true;
	send_to(&phone, &w->local, r);
	expect(&phone, "100");
	world_until(w, asked_twice, NULL, "authd was asked");
	r.method = "CANCEL";
	r.extra = NULL;
	send_to(&phone, &w->local, r);
	for (unsigned i = 0; i < 2; i++) {
		peer_recv(w, &phone, text);
		got_200 |= strncmp(text, "SIP/2.0 200", 11) == 0;
		got_487 |= strncmp(text, "SIP/2.0 487", 11) == 0;
	}
	ck_assert(got_200 && got_487);
	ck_assert_uint_eq(waits_count(w->sbc.waits), 0);
	/* The verdict that comes now has no receiver. */
	world_answer(w, 0, GH__AUTH_VERDICT__AUTH_VERDICT_OK, REASON_AUTH_OK);
	r.method = "ACK";
	send_to(&phone, &w->local, r);
	peer_hears_nothing(w, &phone, &w->local);
	ck_assert_uint_eq(w->n_invites, 0);
}
END_TEST

/* Somebody who guessed the branch cannot cancel from elsewhere. */
START_TEST(cancel_from_elsewhere_changes_nothing)
{
	struct request r = {0};
	char via[ADDR_TEXT_SIZE];

	register_phone();
	challenged_invite(&r);
	w->authd_silent = true;
	send_to(&phone, &w->local, r);
	expect(&phone, "100");
	world_until(w, asked_twice, NULL, "authd was asked");
	r.method = "CANCEL";
	r.extra = NULL;
	r.via_host = addr_format(&phone.local, via);
	send_to(&trunk, &w->local, r);
	peer_hears_nothing(w, &phone, &w->local);
	ck_assert_uint_eq(waits_count(w->sbc.waits), 1);
	world_answer(w, 0, GH__AUTH_VERDICT__AUTH_VERDICT_OK, REASON_AUTH_OK);
	expect(&phone, "486");
	ck_assert_uint_eq(w->n_invites, 1);
}
END_TEST

START_TEST(invite_gets_503_when_authd_is_silent)
{
	struct request r = {0};

	register_phone();
	challenged_invite(&r);
	w->authd_silent = true;
	send_to(&phone, &w->local, r);
	expect(&phone, "100");
	expect(&phone, "503");
	ck_assert_str_ne(header(text, "Retry-After", value), "");
	ck_assert_uint_eq(w->n_invites, 0);
}
END_TEST

START_TEST(strangers_may_invite_where_allowed)
{
	struct request r = {0};

	challenged_invite(&r);
	send_to(&phone, &w->local, r);
	expect(&phone, "100");
	expect(&phone, "486");
	ck_assert(w->invite_had_account);
}
END_TEST

/* ---------------------------------------------------------------- advertised
 */

static int on_response(
	nta_outgoing_magic_t *magic, nta_outgoing_t *orq, const sip_t *sip)
{
	(void)magic;
	(void)orq;
	(void)sip;
	return 0;
}

/* Sends an OPTIONS of our own from the phones' listener and reads its Via. */
static const char *via_of_ours(void)
{
	const struct realm_address *address = settings_listener(
		w->sbc.settings, &w->local, GH__TRANSPORT__TRANSPORT_UDP);
	struct target to = {.addr = phone.local,
		.listener = stack_listener(w->sbc.stack, address)};
	char hop[STACK_URL_SIZE];
	nta_outgoing_t *orq;

	ck_assert_ptr_nonnull(to.listener);
	orq = nta_outgoing_mcreate(stack_agent(w->sbc.stack), on_response, NULL,
		URL_STRING_MAKE(
			stack_next_hop(w->sbc.stack, &to, hop, sizeof(hop))),
		nta_msg_create(stack_agent(w->sbc.stack), 0),
		NTATAG_TPORT(to.listener->tport),
		SIPTAG_REQUEST_STR("OPTIONS sip:x@example.com SIP/2.0"),
		SIPTAG_FROM_STR("<sip:a@example.com>;tag=1"),
		SIPTAG_TO_STR("<sip:b@example.com>"), SIPTAG_CALL_ID_STR("o"),
		SIPTAG_CSEQ_STR("1 OPTIONS"), TAG_END());
	ck_assert_ptr_nonnull(orq);
	peer_recv(w, &phone, text);
	ck_assert_ptr_nonnull(strstr(text, "OPTIONS sip:x@example.com"));
	nta_outgoing_destroy(orq);
	return header(text, "Via", value);
}

static uint64_t wanted_version;

static bool has_wanted_version(void *ctx)
{
	(void)ctx;
	return w->sbc.settings->version == wanted_version;
}

START_TEST(advertised_host_in_via_and_contact)
{
	struct world_config config = {
		.with_trunk = true, .advertised = "sbc.example.com:5080"};
	const struct realm_address *address;
	char contact[STACK_URL_SIZE];

	teardown();
	begin(config);
	ck_assert_ptr_nonnull(
		strstr(via_of_ours(), "SIP/2.0/UDP sbc.example.com:5080;"));
	ck_assert_ptr_nonnull(strstr(value, ";rport"));
	ck_assert_ptr_null(strstr(text, "127.0.0.1"));
	address = settings_listener(
		w->sbc.settings, &w->local, GH__TRANSPORT__TRANSPORT_UDP);
	ck_assert_int_eq(stack_contact(stack_listener(w->sbc.stack, address),
				 "100", contact, sizeof(contact)),
		0);
	ck_assert_str_eq(contact, "sip:100@sbc.example.com:5080");
	/* A new snapshot changes it on the open socket. */
	config.advertised = "198.51.100.7";
	wanted_version = 5;
	world_settings(w, &config, 5);
	world_until(w, has_wanted_version, NULL, "version 5");
	/* without a port of its own it is the bound one's */
	ck_assert_msg(
		strstr(via_of_ours(), "SIP/2.0/UDP 198.51.100.7:") != NULL,
		"%s", text);
	config.advertised = "[2001:db8::7]:5070";
	wanted_version = 6;
	world_settings(w, &config, 6);
	world_until(w, has_wanted_version, NULL, "version 6");
	ck_assert_ptr_nonnull(
		strstr(via_of_ours(), "SIP/2.0/UDP [2001:db8::7]:5070;"));
}
END_TEST

/* -------------------------------------------------------------------- sbcctl
 */

static char answers[16][4096];
static unsigned n_answers;
static bool last_answer;
static uint32_t exit_code;
static struct ipc_link *ctl_link;

static void on_ctl_answer(void *ctx, struct ipc_link *link, const Gh__Msg *msg)
{
	const Gh__CtlAnswer *a = msg->ctl_answer;

	(void)ctx;
	(void)link;
	if (n_answers < 16)
		snprintf(answers[n_answers++], sizeof(answers[0]), "%s",
			a->json);
	last_answer = a->done;
	exit_code = a->exit_code;
}

static void on_ctl_up(void *ctx, struct ipc_link *link)
{
	(void)ctx;
	ctl_link = link;
}

static bool ctl_is_up(void *ctx)
{
	(void)ctx;
	return ctl_link != NULL;
}

static bool ctl_is_done(void *ctx)
{
	(void)ctx;
	return last_answer;
}

/* @return the answer's first object. */
static const char *ask(const char *command, const char *a, const char *b)
{
	static const struct ipc_permit permits[] = {{GH__MSG__BODY_CTL_ANSWER,
		PROCESS_BIT(PROCESS_SBC), on_ctl_answer}};
	struct ipc_config config = {.loop = w->sbc.daemon.loop,
		.self = PROCESS_CTL,
		.users = &w->sbc.daemon.users,
		.permits = permits,
		.n_permits = 1,
		.events = {.on_up = on_ctl_up}};
	Gh__CtlRequest request = GH__CTL_REQUEST__INIT;
	char *args[] = {(char *)(uintptr_t)a, (char *)(uintptr_t)b};
	struct ipc_link *link = NULL;
	char path[96];

	n_answers = 0;
	last_answer = false;
	ctl_link = NULL;
	snprintf(path, sizeof(path), "%s/sbc.sock", w->dir);
	ck_assert_int_eq(ipc_connect(&config, path, PROCESS_SBC, &link), 0);
	world_until(w, ctl_is_up, NULL, "sbc's control socket");
	request.id = 7;
	request.command = (char *)(uintptr_t)command;
	request.args = args;
	request.n_args = b ? 2 : a ? 1 : 0;
	IPC_MSG(msg, CTL_REQUEST, ctl_request, &request);
	ck_assert_int_eq(ipc_send(link, &msg), 0);
	world_until(w, ctl_is_done, NULL, "sbc's answer");
	ipc_link_free(&link);
	return answers[0];
}

START_TEST(control)
{
	const char *json;

	register_phone();
	json = ask("registrations", NULL, NULL);
	ck_assert_uint_eq(exit_code, 0);
	ck_assert_ptr_nonnull(strstr(json, "\"format\":1"));
	ck_assert_ptr_nonnull(strstr(json, "\"extension\":\"100\""));
	ck_assert_ptr_nonnull(strstr(json, "\"n\":1"));
	json = ask("calls", NULL, NULL);
	ck_assert_ptr_nonnull(strstr(json, "\"call\":\"0123456789ABCDEF\""));
	json = ask("subscriptions", NULL, NULL);
	ck_assert_ptr_nonnull(strstr(json, "\"package\":\"dialog\""));
	ck_assert_ptr_nonnull(strstr(json, "\"resource\":\"701\""));
	json = ask("trunks", NULL, NULL);
	ck_assert_ptr_nonnull(strstr(json, "\"name\":\"itsp\""));
	ck_assert_ptr_nonnull(strstr(json, "\"in_service\":false"));
	json = ask("status", NULL, NULL);
	ck_assert_msg(strstr(json, "\"process\":\"sbc\"") != NULL, "%s", json);
	json = ask("drain", NULL, NULL);
	ck_assert_uint_eq(exit_code, 0);
	ck_assert_ptr_nonnull(strstr(json, "\"draining\":true,\"calls\":0"));
	json = ask("drain", "wait", NULL); /* no call is left */
	ck_assert_uint_eq(exit_code, 0);
	ck_assert_ptr_nonnull(strstr(json, "\"draining\":true,\"calls\":0"));
	json = ask("drain", "off", NULL);
	ck_assert_uint_eq(exit_code, 0);
	ck_assert_ptr_nonnull(strstr(json, "\"draining\":false"));
	ask("drain", "maybe", NULL);
	ck_assert_uint_eq(exit_code, 2);
	ask("no-such-command", NULL, NULL);
	ck_assert_uint_ne(exit_code, 0);
}
END_TEST

START_TEST(control_route_test)
{
	const char *json = ask("route-test", "itsp", "+4930123456");

	ck_assert_uint_eq(exit_code, 0);
	ck_assert_msg(
		strstr(json, "\"reason\":\"route_ok\"") != NULL, "%s", json);
	ck_assert_ptr_nonnull(strstr(json, "\"kind\":\"phones\""));
	json = ask("route-test", "100", "999");
	ck_assert_ptr_nonnull(strstr(json, "\"sip_status\":404"));
	ask("route-test", "nobody", "100");
	ck_assert_uint_eq(exit_code, 1);
	ask("route-test", "100", "<>");
	ck_assert_uint_eq(exit_code, 2);
	w->authd_silent = true;
	ask("route-test", "100", "555");
	ck_assert_uint_eq(exit_code, 3);
}
END_TEST

/* A stranger behind the phone's NAT must not make the phone deaf. */
START_TEST(the_gate_shuts_for_one_datagram_only)
{
	struct request r = {0};
	struct peer other;

	register_phone();
	challenged_invite(&r);
	w->authd_silent = true;
	send_to(&phone, &w->local, r);
	expect(&phone, "100");
	peer_open(&other, "127.0.0.1");
	send_to(&other, &w->local, (struct request){.method = "OPTIONS"});
	peer_hears_nothing(w, &other, &w->local);
	send_to(&other, &w->local, (struct request){.method = "OPTIONS"});
	expect(&phone, "503");
	peer_close(&other);
}
END_TEST

/* -------------------------------------------------------------- snapshots */

START_TEST(a_new_snapshot_changes_who_is_known)
{
	struct world_config config = {.with_trunk = false};

	send_to(&trunk, &w->trunks, (struct request){.method = "OPTIONS"});
	expect(&trunk, "200");
	wanted_version = 2;
	world_settings(w, &config, 2);
	world_until(w, has_wanted_version, NULL, "version 2");
	send_to(&trunk, &w->trunks, (struct request){.method = "OPTIONS"});
	peer_hears_nothing(w, &trunk, &w->local);
}
END_TEST

static bool was_refused(void *ctx)
{
	(void)ctx;
	return !w->last_result->accepted;
}

START_TEST(a_broken_snapshot_is_refused_whole)
{
	Gh__SettingsDone done = GH__SETTINGS_DONE__INIT;

	done.version = 3;
	done.n_pieces = 5; /* none came */
	IPC_MSG(msg, SETTINGS_DONE, settings_done, &done);
	world_say(w, &msg);
	world_until(w, was_refused, NULL, "the refusal");
	ck_assert_uint_eq(w->sbc.settings->version, 1);
	ck_assert_str_ne(w->last_result->problem, "");
	send_to(&trunk, &w->local, (struct request){.method = "OPTIONS"});
	expect(&trunk, "200");
}
END_TEST

int main(void)
{
	Suite *s = suite_create("sbc entry");
	TCase *t = tcase_create("live");
	SRunner *r;
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
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
	tcase_add_test(t, invite_of_a_trunk_is_a_call);
	tcase_add_test(t, merged_invite);
	tcase_add_test(t, invite_of_a_phone_waits_for_authd);
	tcase_add_test(t, invite_sent_again_during_the_wait);
	tcase_add_test(t, cancel_during_the_wait);
	tcase_add_test(t, cancel_from_elsewhere_changes_nothing);
	tcase_add_test(t, invite_gets_503_when_authd_is_silent);
	tcase_add_test(t, advertised_host_in_via_and_contact);
	tcase_add_test(t, control);
	tcase_add_test(t, control_route_test);
	tcase_add_test(t, the_gate_shuts_for_one_datagram_only);
	tcase_add_test(t, a_new_snapshot_changes_who_is_known);
	tcase_add_test(t, a_broken_snapshot_is_refused_whole);
	suite_add_tcase(s, t);
	t = tcase_create("strangers may invite");
	tcase_add_checked_fixture(t, setup_open, teardown);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, strangers_may_invite_where_allowed);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? 1 : 0;
}
