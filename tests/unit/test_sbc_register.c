/* SPDX-License-Identifier: Apache-2.0 */
/* The registrar from datagram to datagram: the real stack on loopback, a
 * stand-in for authd at the other end of a real link. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "tests/unit/sbc_world.h"

static struct world *w;
static struct peer phone;
static char text[WORLD_TEXT_SIZE];
static char value[1024];
static char auth_line[1024];
static char extra[4096];

static const struct world_config plain = {.with_trunk = true};

static void setup(void)
{
	w = world_new(&plain);
	peer_open(&phone, "127.0.0.1");
}

static void teardown(void)
{
	peer_close(&phone);
	world_free(&w);
}

static void send_request(struct request r)
{
	peer_send(&phone, &w->local, request_text(&phone, &r, text));
}

static void expect(const char *status)
{
	char line[32];

	peer_recv(w, &phone, text);
	snprintf(line, sizeof(line), "SIP/2.0 %s ", status);
	ck_assert_msg(strncmp(text, line, strlen(line)) == 0,
		"%s instead of %s", text, line);
}

/* Gets a challenge for the next request. */
static void challenge(void)
{
	static unsigned n;
	char call_id[32];

	snprintf(call_id, sizeof(call_id), "challenge-%u", ++n);
	send_request((struct request){.call_id = call_id});
	expect("401");
}

/* One authenticated REGISTER with these Contact lines. */
static void register_with(
	const char *contacts, const char *call_id, unsigned cseq)
{
	challenge();
	snprintf(extra, sizeof(extra), "%s%s",
		authorization(text, "u1", "good", auth_line), contacts);
	send_request((struct request){
		.extra = extra, .call_id = call_id, .cseq = cseq});
}

static const char *own_contact(const char *params)
{
	static char line[256];
	char own[ADDR_TEXT_SIZE];

	snprintf(line, sizeof(line), "Contact: <sip:100@%s>%s\r\n",
		addr_format(&phone.local, own), params);
	return line;
}

/* ---------------------------------------------------------------- the way */

START_TEST(challenge_then_ok)
{
	uint64_t stranger = bindings_account_at(w->sbc.bindings, &phone.local);

	ck_assert_uint_eq(stranger, 0);
	challenge();
	header(text, "WWW-Authenticate", value);
	ck_assert_ptr_nonnull(strstr(value, "Digest realm=\"example.com\""));
	ck_assert_ptr_nonnull(strstr(value, "algorithm=MD5"));
	ck_assert_ptr_nonnull(strstr(value, "qop=\"auth\""));
	ck_assert_ptr_null(strstr(value, "stale"));
	ck_assert_ptr_nonnull(strstr(header(text, "To", value), ";tag="));
	ck_assert_uint_eq(w->n_auth, 0);

	register_with(own_contact(";expires=300"), "reg", 1);
	expect("200");
	ck_assert_ptr_nonnull(
		strstr(header(text, "Contact", value), ";expires=300"));
	ck_assert_ptr_nonnull(strstr(value, "<sip:100@127.0.0.1:"));
	ck_assert_str_ne(header(text, "Date", value), "");
	ck_assert_uint_eq(w->n_auth, 1);
	ck_assert_str_eq(w->last_method, "REGISTER");
	ck_assert_str_eq(w->last_uri, "sip:example.com");
	ck_assert_uint_eq(bindings_count(w->sbc.bindings), 1);
	ck_assert_uint_eq(
		bindings_account_at(w->sbc.bindings, &phone.local), 1);
	ck_assert(!bindings_of(w->sbc.bindings, 1)->row->behind_nat);
}
END_TEST

START_TEST(to_tag_of_challenge_is_stable)
{
	char first[1024];
	struct request r = {.branch = "z9hG4bKsame"};

	send_request(r);
	expect("401");
	header(text, "To", first);
	send_request(r);
	expect("401");
	ck_assert_str_eq(header(text, "To", value), first);
	r.branch = "z9hG4bKother";
	send_request(r);
	expect("401");
	ck_assert_str_ne(header(text, "To", value), first);
}
END_TEST

START_TEST(wrong_password_is_challenged_again)
{
	challenge();
	send_request((struct request){
		.extra = authorization(text, "u1", "bad", auth_line)});
	expect("401");
	ck_assert_ptr_nonnull(
		strstr(header(text, "WWW-Authenticate", value), "nonce="));
	ck_assert_ptr_null(strstr(value, "stale"));
	ck_assert_uint_eq(bindings_count(w->sbc.bindings), 0);
	ck_assert_uint_eq(reason_counted(REASON_AUTH_WRONG), 1);
}
END_TEST

START_TEST(replay_is_not_a_success)
{
	challenge();
	send_request((struct request){
		.extra = authorization(text, "u1", "replay", auth_line)});
	expect("401");
	ck_assert_uint_eq(reason_counted(REASON_AUTH_REPLAY), 1);
}
END_TEST

START_TEST(refused_account_gets_403)
{
	challenge();
	send_request((struct request){
		.extra = authorization(text, "u1", "forbidden", auth_line)});
	expect("403");
}
END_TEST

/* A nonce that was made for another host is stale; one that nobody made is a
 * plain new challenge. Neither asks authd. */
START_TEST(foreign_nonces_never_reach_authd)
{
	struct peer other;
	char *nonce;

	peer_open(&other, "127.0.0.3");
	peer_send(&other, &w->local,
		request_text(&other, &(struct request){0}, text));
	peer_recv(w, &other, text);
	send_request((struct request){
		.extra = authorization(text, "u1", "good", auth_line)});
	expect("401");
	ck_assert_ptr_nonnull(
		strstr(header(text, "WWW-Authenticate", value), "stale=true"));

	authorization(text, "u1", "good", auth_line);
	nonce = strstr(auth_line, "nonce=\"") + 7;
	nonce[3] = nonce[3] == 'A' ? 'B' : 'A';
	send_request((struct request){.extra = auth_line});
	expect("401");
	ck_assert_ptr_null(
		strstr(header(text, "WWW-Authenticate", value), "stale"));
	ck_assert_uint_eq(w->n_auth, 0);
	peer_close(&other);
}
END_TEST

START_TEST(two_offers_make_two_challenges)
{
	struct world_config config = {.with_trunk = true, .n_digest = 2};
	const char *first, *second;

	peer_close(&phone);
	world_free(&w);
	w = world_new(&config);
	peer_open(&phone, "127.0.0.1");
	send_request((struct request){0});
	expect("401");
	first = strstr(text, "WWW-Authenticate: ");
	ck_assert_ptr_nonnull(first);
	second = strstr(first + 1, "WWW-Authenticate: ");
	ck_assert_ptr_nonnull(second);
	ck_assert_ptr_nonnull(strstr(first, "algorithm=MD5"));
	ck_assert_ptr_nonnull(strstr(second, "algorithm=SHA-256"));
}
END_TEST

/* ----------------------------------------------------- while authd thinks */

static bool asked(void *ctx)
{
	(void)ctx;
	return w->n_auth == 1;
}

START_TEST(retransmission_is_judged_once)
{
	struct request r = {.call_id = "reg", .branch = "z9hG4bKretry"};

	challenge();
	snprintf(extra, sizeof(extra), "%s%s",
		authorization(text, "u1", "good", auth_line), own_contact(""));
	r.extra = extra;
	w->authd_silent = true;
	send_request(r);
	send_request(r);
	world_until(w, asked, NULL, "authd was asked");
	send_request(r);
	peer_hears_nothing(w, &phone, &w->local);
	ck_assert_uint_eq(w->n_auth, 1);
	ck_assert_uint_eq(waits_count(w->sbc.waits), 1);
	world_answer(w, 0, GH__AUTH_VERDICT__AUTH_VERDICT_OK, REASON_AUTH_OK);
	expect("200");
	/* After the answer the transaction repeats it. */
	send_request(r);
	expect("200");
	ck_assert_uint_eq(w->n_auth, 1);
	ck_assert_uint_eq(waits_count(w->sbc.waits), 0);
}
END_TEST

static bool gave_up(void *ctx)
{
	(void)ctx;
	return waits_count(w->sbc.waits) == 0;
}

START_TEST(silence_while_authd_is_away)
{
	struct request r = {.call_id = "reg", .branch = "z9hG4bKaway"};

	challenge();
	r.extra = authorization(text, "u1", "good", auth_line);
	w->authd_silent = true;
	send_request(r);
	world_until(w, asked, NULL, "authd was asked");
	world_until(w, gave_up, NULL, "the deadline");
	peer_hears_nothing(w, &phone, &w->local);
	/* It comes back; the phone's next try is served. */
	w->authd_silent = false;
	send_request(r);
	expect("200");
}
END_TEST

static bool no_link(void *ctx)
{
	(void)ctx;
	return !authd_is_up(w->sbc.authd);
}

static bool has_link(void *ctx)
{
	(void)ctx;
	return authd_is_up(w->sbc.authd) && w->link;
}

START_TEST(challenges_go_on_without_authd)
{
	struct request r = {.call_id = "reg"};

	challenge();
	r.extra = authorization(text, "u1", "good", auth_line);
	world_authd_stop(w);
	world_until(w, no_link, NULL, "the link broke");
	send_request(r);
	peer_hears_nothing(w, &phone, &w->local);
	challenge();
	world_authd_start(w);
	world_until(w, has_link, NULL, "the link is back");
	send_request(r);
	expect("200");
}
END_TEST

/* ------------------------------------------------------------- whose address
 */

START_TEST(only_own_addresses)
{
	static const struct {
		const char *to;
		const char *status;
	} rows[] = {
		{"sip:100@example.com", "200"},
		{"sip:u1@example.com", "200"},
		{"sip:+4930123456@example.com", "200"},
		{"sip:%31%30%30@example.com", "200"},
		{"sip:200@example.com", "403"},
		{"sip:u2@example.com", "403"},
		{"sip:100@example.org", "403"},
		{"sip:example.com", "403"},
		{"tel:+4930123456", "403"},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		challenge();
		send_request((struct request){.to = rows[i].to,
			.call_id = "aor",
			.cseq = (unsigned)i + 1,
			.extra = authorization(text, "u1", "good", auth_line)});
		peer_recv(w, &phone, text);
		ck_assert_msg(strncmp(text + 8, rows[i].status, 3) == 0,
			"%s: %s", rows[i].to, text);
	}
	ck_assert_uint_ge(reason_counted(REASON_REGISTER_WRONG_AOR), 4);
}
END_TEST

/* ---------------------------------------------------------------- contacts */

START_TEST(refresh_fetch_and_remove)
{
	register_with(own_contact(";expires=300"), "reg", 1);
	expect("200");
	register_with(own_contact(";expires=400"), "reg", 2);
	expect("200");
	ck_assert_uint_eq(bindings_count(w->sbc.bindings), 1);
	register_with("", "reg", 3); /* a query */
	expect("200");
	ck_assert_ptr_nonnull(
		strstr(header(text, "Contact", value), ";expires=400"));
	register_with(own_contact(";expires=0"), "reg", 4);
	expect("200");
	ck_assert_str_eq(header(text, "Contact", value), "");
	ck_assert_uint_eq(bindings_count(w->sbc.bindings), 0);
	ck_assert_uint_eq(reason_counted(REASON_REGISTER_REMOVED), 1);
}
END_TEST

START_TEST(older_cseq_is_out_of_order)
{
	register_with(own_contact(""), "reg", 5);
	expect("200");
	register_with(own_contact(""), "reg", 5);
	expect("500");
	register_with(own_contact(""), "reg", 4);
	expect("500");
	register_with("Contact: *\r\nExpires: 0\r\n", "reg", 3);
	expect("500");
	ck_assert_uint_eq(bindings_count(w->sbc.bindings), 1);
	register_with(own_contact(""), "another-call", 1);
	expect("200");
}
END_TEST

START_TEST(wildcard_needs_expires_0_and_company_of_nobody)
{
	register_with(own_contact(""), "reg", 1);
	expect("200");
	register_with("Contact: *\r\n", "reg", 2);
	expect("400");
	register_with("Contact: *\r\nExpires: 60\r\n", "reg", 3);
	expect("400");
	snprintf(value, sizeof(value), "Contact: *\r\n%sExpires: 0\r\n",
		own_contact(""));
	register_with(value, "reg", 4);
	expect("400");
	ck_assert_uint_eq(bindings_count(w->sbc.bindings), 1);
	register_with("Contact: *\r\nExpires: 0\r\n", "reg", 5);
	expect("200");
	ck_assert_uint_eq(bindings_count(w->sbc.bindings), 0);
}
END_TEST

START_TEST(several_contacts_with_q)
{
	register_with("Contact: <sip:100@192.0.2.1>;q=0.5, "
		      "<sip:100@192.0.2.2:5070>;q=0.25;expires=120\r\n"
		      "m: <sip:100@[2001:db8::1]>\r\nExpires: 200\r\n",
		"reg", 1);
	expect("200");
	ck_assert_uint_eq(bindings_count(w->sbc.bindings), 3);
	ck_assert_ptr_nonnull(strstr(text, ";expires=200;q=0.500"));
	ck_assert_ptr_nonnull(strstr(text, ";expires=120;q=0.250"));
	ck_assert_ptr_nonnull(
		strstr(text, "<sip:100@[2001:db8::1]>;expires=200"));
	/* The fourth is one too many, and nothing of its REGISTER is done. */
	register_with("Contact: <sip:100@192.0.2.1>;expires=0\r\n"
		      "Contact: <sip:100@192.0.2.4>\r\n"
		      "Contact: <sip:100@192.0.2.5>\r\n",
		"reg", 2);
	expect("403");
	ck_assert_uint_eq(reason_counted(REASON_REGISTER_TOO_MANY), 1);
	ck_assert_uint_eq(bindings_count(w->sbc.bindings), 3);
	register_with("Contact: <sip:100@192.0.2.1>;expires=0\r\n"
		      "Contact: <sip:100@192.0.2.4>\r\n",
		"reg", 3);
	expect("200");
	ck_assert_uint_eq(bindings_count(w->sbc.bindings), 3);
}
END_TEST

START_TEST(expiry_bounds)
{
	register_with(own_contact(";expires=59"), "reg", 1);
	expect("423");
	ck_assert_str_eq(header(text, "Min-Expires", value), "60");
	register_with(own_contact(";expires=100000"), "reg", 2);
	expect("200");
	ck_assert_ptr_nonnull(strstr(text, ";expires=3600"));
	register_with(own_contact(";expires=99999999999999999999"), "reg", 3);
	expect("200");
	ck_assert_ptr_nonnull(strstr(text, ";expires=3600"));
	register_with(own_contact(""), "reg", 4);
	expect("200");
	ck_assert_ptr_nonnull(strstr(text, ";expires=600"));
}
END_TEST

START_TEST(unusable_contacts)
{
	static const char *const lines[] = {
		"Contact: <mailto:a@example.com>\r\n",
		"Contact: <tel:+49301>\r\n",
		"Contact: <sip:100@192.0.2.1;maddr=192.0.2.9>\r\n",
		"Contact: <sip:100@192.0.2.1?Route=x>\r\n",
		"Contact: <sip:>\r\n",
		"Contact: <sip:100@192.0.2.1>, <sip:100@192.0.2.1>\r\n",
		"Contact: \"\r\n",
	};

	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		register_with(lines[i], "reg", (unsigned)i + 1);
		peer_recv(w, &phone, text);
		ck_assert_msg(strncmp(text, "SIP/2.0 400", 11) == 0, "%s: %s",
			lines[i], text);
	}
	ck_assert_uint_eq(bindings_count(w->sbc.bindings), 0);
}
END_TEST

START_TEST(instance_replaces_the_old_contact)
{
	register_with("Contact: <sip:100@192.0.2.1:1000>;"
		      "+sip.instance=\"<urn:uuid:1>\";reg-id=1\r\n",
		"before", 7);
	expect("200");
	ck_assert_ptr_nonnull(
		strstr(text, "+sip.instance=\"<urn:uuid:1>\";reg-id=1"));
	register_with("Contact: <sip:100@192.0.2.1:2000>;"
		      "+sip.instance=\"<urn:uuid:1>\";reg-id=1\r\n",
		"after-the-reboot", 1);
	expect("200");
	ck_assert_uint_eq(bindings_count(w->sbc.bindings), 1);
	ck_assert_ptr_nonnull(strstr(header(text, "Contact", value), ":2000>"));
}
END_TEST

/* The Contact is not the source: behind NAT, so the source is believed. */
START_TEST(nat_is_found)
{
	const struct binding *m;

	register_with("Contact: <sip:100@10.0.0.7:5060>\r\n", "reg", 1);
	expect("200");
	m = bindings_of(w->sbc.bindings, 1);
	ck_assert(m->row->behind_nat);
	ck_assert(addr_equal(&m->source, &phone.local));
}
END_TEST

/* The same contact from another port: calls in progress have to follow. A
 * refresh, and a contact of another phone, move nothing. */
START_TEST(another_source_moves_calls)
{
	struct addr before = phone.local;

	register_with("Contact: <sip:100@10.0.0.7:5060>\r\n", "reg", 1);
	expect("200");
	register_with("Contact: <sip:100@10.0.0.7:5060>\r\n", "reg", 2);
	expect("200");
	ck_assert_uint_eq(w->n_moved, 0);
	peer_close(&phone);
	peer_open(&phone, "127.0.0.1");
	register_with("Contact: <sip:100@10.0.0.8:5060>\r\n", "other", 1);
	expect("200");
	ck_assert_uint_eq(w->n_moved, 0);
	register_with("Contact: <sip:100@10.0.0.7:5060>\r\n", "reg", 3);
	expect("200");
	ck_assert_uint_eq(w->n_moved, 1);
	ck_assert(addr_equal(&w->moved_from, &before));
	ck_assert_uint_eq(w->moved_from_flow, 0);
	ck_assert(addr_equal(&w->moved_to, &phone.local));
	/* A wrong password moves nobody. */
	peer_close(&phone);
	peer_open(&phone, "127.0.0.1");
	challenge();
	snprintf(extra, sizeof(extra), "%sContact: <sip:100@10.0.0.7:5060>\r\n",
		authorization(text, "u1", "bad", auth_line));
	send_request(
		(struct request){.extra = extra, .call_id = "reg", .cseq = 4});
	expect("401");
	ck_assert_uint_eq(w->n_moved, 1);
}
END_TEST

static uint64_t ahead_us;

static uint64_t shifted(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * CLOCK_US_PER_S +
	       (uint64_t)ts.tv_nsec / 1000 + ahead_us;
}

START_TEST(nat_is_kept_open)
{
	ahead_us = 0;
	clock_set_source(shifted, NULL);
	register_with("Contact: <sip:100@10.0.0.7:5060>\r\n", "reg", 1);
	expect("200");
	for (unsigned i = 0; i < 3; i++) {
		peer_hears_nothing(w, &phone, &w->local);
		ahead_us += 26 * CLOCK_US_PER_S;
		peer_recv(w, &phone, text);
		ck_assert_str_eq(text, "\r\n\r\n");
	}
	clock_set_source(NULL, NULL);
}
END_TEST

/* Without rport the answer still comes back through the NAT. */
START_TEST(symmetric_answer_without_rport)
{
	static const char message[] =
		"REGISTER sip:example.com SIP/2.0\r\n"
		"Via: SIP/2.0/UDP 10.0.0.7:5999;branch=z9hG4bKx\r\n"
		"From: <sip:100@example.com>;tag=1\r\n"
		"To: <sip:100@example.com>\r\n"
		"Call-ID: nat\r\nCSeq: 1 REGISTER\r\n"
		"Max-Forwards: 70\r\nContent-Length: 0\r\n\r\n";

	peer_send(&phone, &w->local, message);
	expect("401");
	ck_assert_ptr_nonnull(
		strstr(header(text, "Via", value), "received=127.0.0.1"));
}
END_TEST

static bool updated(void *ctx)
{
	unsigned *n = ctx;

	return w->n_updates >= *n;
}

START_TEST(authd_hears_of_changes)
{
	unsigned n = 1;

	register_with(own_contact(";expires=300"), "reg", 1);
	expect("200");
	world_until(w, updated, &n, "an update");
	ck_assert_uint_eq(w->last_update->account, 1);
	ck_assert_uint_eq(w->last_update->n_bindings, 1);
	ck_assert_str_eq(w->last_update->bindings[0]->call_id, "reg");
	register_with("Contact: *\r\nExpires: 0\r\n", "reg", 2);
	expect("200");
	n = 2;
	world_until(w, updated, &n, "an update");
	ck_assert_uint_eq(w->last_update->n_bindings, 0);
}
END_TEST

START_TEST(ipv6)
{
	struct peer six;

	if (!addr_is_set(&w->local6))
		return;
	peer_open(&six, "::1");
	peer_send(&six, &w->local6,
		request_text(&six, &(struct request){0}, text));
	peer_recv(w, &six, text);
	ck_assert_ptr_nonnull(strstr(text, "SIP/2.0 401"));
	snprintf(extra, sizeof(extra), "%sContact: <sip:100@[::1]:%u>\r\n",
		authorization(text, "u1", "good", auth_line), six.local.port);
	peer_send(&six, &w->local6,
		request_text(&six, &(struct request){.cseq = 2, .extra = extra},
			text));
	peer_recv(w, &six, text);
	ck_assert_ptr_nonnull(strstr(text, "SIP/2.0 200"));
	ck_assert(!bindings_of(w->sbc.bindings, 1)->row->behind_nat);
	ck_assert_uint_eq(bindings_account_at(w->sbc.bindings, &six.local), 1);
	peer_close(&six);
}
END_TEST

static void live_in_the_sandbox(const char *dir)
{
	struct world_config config = {
		.with_trunk = true, .sandbox = true, .dir = dir};

	w = world_new(&config);
	peer_open(&phone, "127.0.0.1");
	register_with(own_contact(";expires=300"), "reg", 1);
	expect("200");
	world_authd_stop(w);
	world_until(w, no_link, NULL, "the link broke");
	challenge();
	world_authd_start(w);
	world_until(w, has_link, NULL, "the link is back");
	register_with(own_contact(";expires=0"), "reg", 2);
	expect("200");
	peer_close(&phone);
	world_free(&w);
}

/* Everything after the start works in the sandbox: listeners, links, timers.
 * In a process of its own: Check makes timers, which the sandbox forbids. */
START_TEST(in_the_sandbox)
{
	char dir[] = "/tmp/sbc-test-XXXXXX";
	pid_t pid;
	int status = -1;

	ck_assert_ptr_nonnull(mkdtemp(dir));
	peer_close(&phone);
	world_free(&w);
	(void)fflush(NULL);
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		live_in_the_sandbox(dir);
		_exit(42);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(rmdir(dir), 0);
	ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 42,
		"ended by signal %d or with status %d",
		WIFSIGNALED(status) ? WTERMSIG(status) : 0,
		WEXITSTATUS(status));
	setup();
}
END_TEST

int main(void)
{
	Suite *s = suite_create("sbc register");
	TCase *t = tcase_create("live");
	SRunner *r;
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, challenge_then_ok);
	tcase_add_test(t, to_tag_of_challenge_is_stable);
	tcase_add_test(t, wrong_password_is_challenged_again);
	tcase_add_test(t, replay_is_not_a_success);
	tcase_add_test(t, refused_account_gets_403);
	tcase_add_test(t, foreign_nonces_never_reach_authd);
	tcase_add_test(t, two_offers_make_two_challenges);
	tcase_add_test(t, retransmission_is_judged_once);
	tcase_add_test(t, silence_while_authd_is_away);
	tcase_add_test(t, challenges_go_on_without_authd);
	tcase_add_test(t, only_own_addresses);
	tcase_add_test(t, refresh_fetch_and_remove);
	tcase_add_test(t, older_cseq_is_out_of_order);
	tcase_add_test(t, wildcard_needs_expires_0_and_company_of_nobody);
	tcase_add_test(t, several_contacts_with_q);
	tcase_add_test(t, expiry_bounds);
	tcase_add_test(t, unusable_contacts);
	tcase_add_test(t, instance_replaces_the_old_contact);
	tcase_add_test(t, another_source_moves_calls);
	tcase_add_test(t, nat_is_found);
	tcase_add_test(t, nat_is_kept_open);
	tcase_add_test(t, symmetric_answer_without_rport);
	tcase_add_test(t, authd_hears_of_changes);
	tcase_add_test(t, ipv6);
	tcase_add_test(t, in_the_sandbox);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? 1 : 0;
}
