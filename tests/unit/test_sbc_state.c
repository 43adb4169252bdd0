/* SPDX-License-Identifier: Apache-2.0 */
/* What sbc remembers: contacts, account facts, sources and their rates; on a
 * clock that the tests move. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/clock.h"
#include "sbc/loop_sofia.h"
#include "tests/unit/sbc_world.h"

static struct world *w;
static uint64_t ahead_us; /* how far our clocks run before the kernel's */

static uint64_t monotonic(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * CLOCK_US_PER_S +
	       (uint64_t)ts.tv_nsec / 1000 + ahead_us;
}

static uint64_t wall(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (uint64_t)ts.tv_sec * CLOCK_US_PER_S +
	       (uint64_t)ts.tv_nsec / 1000 + ahead_us;
}

static void setup(void)
{
	struct world_config config = {.with_trunk = true};

	ahead_us = 0;
	clock_set_source(monotonic, wall);
	w = world_new(&config);
}

static void teardown(void)
{
	world_free(&w);
	clock_set_source(NULL, NULL);
}

static void step(void)
{
	ck_assert_int_eq(loop_sofia_step(w->sbc.daemon.loop, 0), 0);
	ck_assert_int_eq(loop_sofia_step(w->sbc.daemon.loop, 0), 0);
}

static struct addr at(const char *text)
{
	struct addr a;

	ck_assert_int_eq(addr_parse(text, &a), 0);
	return a;
}

/* ---------------------------------------------------------------- bindings */

static struct account *make_account(uint64_t id)
{
	Gh__Account row = GH__ACCOUNT__INIT;
	struct account *a;

	row.id = id;
	row.extension = (char[]){"100"};
	ck_assert_int_eq(account_new(&row, &a), 0);
	return a;
}

struct contact {
	const char *uri;
	const char *source;
	const char *call_id;
	uint32_t cseq;
	const char *instance;
	uint32_t expires_s;
};

static void to_row(const struct contact *c, uint64_t account, Gh__Binding *row)
{
	gh__binding__init(row);
	row->account = account;
	row->contact = (char *)(uintptr_t)c->uri;
	row->source =
		(char *)(uintptr_t)(c->source ? c->source : "192.0.2.1:5060");
	row->local = (char *)(uintptr_t) "192.0.2.200:5060";
	row->call_id = (char *)(uintptr_t)(c->call_id ? c->call_id : "i");
	row->cseq = c->cseq;
	row->instance = (char *)(uintptr_t)(c->instance ? c->instance : "");
	row->wall_expires_us =
		clock_wall_us() +
		(c->expires_s ? c->expires_s : 600) * CLOCK_US_PER_S;
}

static int put(uint64_t account, struct contact c)
{
	struct account *a = make_account(account);
	Gh__Binding row;
	int err;

	to_row(&c, account, &row);
	err = bindings_put(w->sbc.bindings, a, &row, 3);
	account_unref(&a);
	return err;
}

static unsigned contacts(uint64_t account)
{
	const struct binding *m = bindings_of(w->sbc.bindings, account);
	unsigned n = 0;

	for (; m; m = m->next)
		n++;
	return n;
}

START_TEST(contacts_and_their_order)
{
	struct addr first = at("192.0.2.1:5060");
	struct addr second = at("192.0.2.1:6000");

	ck_assert_int_eq(
		put(1, (struct contact){"sip:a@192.0.2.1", .cseq = 1}), 0);
	ck_assert_int_eq(put(1, (struct contact){"sip:b@192.0.2.1",
					.source = "192.0.2.1:6000", .cseq = 1}),
		0);
	ck_assert_uint_eq(contacts(1), 2);
	ck_assert_str_eq(bindings_of(w->sbc.bindings, 1)->row->contact,
		"sip:b@192.0.2.1");
	ck_assert_uint_eq(bindings_account_at(w->sbc.bindings, &first), 1);
	ck_assert_uint_eq(bindings_account_at(w->sbc.bindings, &second), 1);
	/* The refreshed one comes first. */
	ck_assert_int_eq(
		put(1, (struct contact){"sip:a@192.0.2.1", .cseq = 2}), 0);
	ck_assert_str_eq(bindings_of(w->sbc.bindings, 1)->row->contact,
		"sip:a@192.0.2.1");
	ck_assert_uint_eq(bindings_count(w->sbc.bindings), 2);
}
END_TEST

START_TEST(older_requests_and_limits)
{
	ck_assert_int_eq(put(1, (struct contact){"sip:a@h", .cseq = 5}), 0);
	ck_assert_int_eq(
		put(1, (struct contact){"sip:a@h", .cseq = 5}), ERR_STATE);
	ck_assert_int_eq(
		put(1, (struct contact){"sip:a@h", .cseq = 4}), ERR_STATE);
	ck_assert_int_eq(
		put(1, (struct contact){"sip:a@h", .call_id = "j"}), 0);
	ck_assert_int_eq(put(1, (struct contact){"sip:b@h"}), 0);
	ck_assert_int_eq(put(1, (struct contact){"sip:c@h"}), 0);
	ck_assert_int_eq(put(1, (struct contact){"sip:d@h"}), ERR_FULL);
	ck_assert_uint_eq(contacts(1), 3);
	ck_assert_int_eq(put(2, (struct contact){"sip:d@h"}), 0);
	ck_assert_int_eq(bindings_remove(w->sbc.bindings, 1, "sip:x@h", "i", 9),
		ERR_NOT_FOUND);
	ck_assert_int_eq(bindings_remove(w->sbc.bindings, 1, "sip:b@h", "i", 0),
		ERR_STATE);
	ck_assert_int_eq(
		bindings_remove(w->sbc.bindings, 1, "sip:b@h", "i", 1), 0);
	ck_assert_uint_eq(contacts(1), 2);
	ck_assert_int_eq(
		bindings_remove_all(w->sbc.bindings, 1, "i", 0), ERR_STATE);
	ck_assert_uint_eq(contacts(1), 2);
	ck_assert_int_eq(bindings_remove_all(w->sbc.bindings, 1, "i", 7), 0);
	ck_assert_uint_eq(contacts(1), 0);
	ck_assert_uint_eq(contacts(2), 1);
}
END_TEST

/* RFC 3261 19.1.4: which URIs are the same contact. */
START_TEST(equal_uris)
{
	static const struct {
		const char *other;
		bool same;
	} rows[] = {
		{"sip:alice@example.com", true},
		{"sip:alice@EXAMPLE.com", true},
		{"sip:%61lice@example.com", true},
		{"sip:Alice@example.com", false},
		{"sip:alice@example.com:5060", false},
		{"sip:alice@example.com;transport=tcp", false},
		{"sips:alice@example.com", false},
		{"sip:example.com", false},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint64_t id = 10 + i;

		ck_assert_int_eq(
			put(id, (struct contact){"sip:alice@example.com"}), 0);
		ck_assert_int_eq(
			put(id, (struct contact){rows[i].other, .cseq = 2}), 0);
		ck_assert_msg(contacts(id) == (rows[i].same ? 1 : 2), "%s",
			rows[i].other);
	}
}
END_TEST

START_TEST(instance_replaces)
{
	struct addr old = at("192.0.2.1:1000");
	struct addr fresh = at("192.0.2.1:2000");

	ck_assert_int_eq(put(1, (struct contact){"sip:a@192.0.2.1:1000",
					.source = "192.0.2.1:1000",
					.instance = "urn:1", .cseq = 9}),
		0);
	ck_assert_int_eq(put(1, (struct contact){"sip:a@192.0.2.1:2000",
					.source = "192.0.2.1:2000",
					.instance = "urn:1", .call_id = "new"}),
		0);
	ck_assert_uint_eq(contacts(1), 1);
	ck_assert_uint_eq(bindings_account_at(w->sbc.bindings, &old), 0);
	ck_assert_uint_eq(bindings_account_at(w->sbc.bindings, &fresh), 1);
	ck_assert_uint_eq(reason_counted(REASON_REGISTER_REPLACED), 1);
	/* Another instance is another phone. */
	ck_assert_int_eq(put(1, (struct contact){"sip:a@192.0.2.1:3000",
					.instance = "urn:2"}),
		0);
	ck_assert_uint_eq(contacts(1), 2);
}
END_TEST

static bool updated(void *ctx)
{
	unsigned *n = ctx;

	return w->n_updates >= *n;
}

START_TEST(expiry)
{
	struct addr source = at("192.0.2.1:5060");
	unsigned n = 1;

	ck_assert_int_eq(
		put(7, (struct contact){"sip:a@h", .expires_s = 60}), 0);
	ck_assert_int_eq(
		put(7, (struct contact){"sip:b@h", .expires_s = 120}), 0);
	ahead_us = 59 * CLOCK_US_PER_S;
	step();
	ck_assert_uint_eq(contacts(7), 2);
	ahead_us = 61 * CLOCK_US_PER_S;
	step();
	ck_assert_uint_eq(contacts(7), 1);
	world_until(w, updated, &n, "authd hears of it");
	ck_assert_uint_eq(w->last_update->account, 7);
	ck_assert_uint_eq(w->last_update->n_bindings, 1);
	ahead_us = 121 * CLOCK_US_PER_S;
	step();
	ck_assert_uint_eq(contacts(7), 0);
	ck_assert_uint_eq(bindings_account_at(w->sbc.bindings, &source), 0);
	ck_assert_uint_eq(reason_counted(REASON_REGISTER_EXPIRED), 2);
}
END_TEST

START_TEST(checks_change_nothing)
{
	Gh__Binding rows[3];
	struct binding_want wants[3];
	const struct contact c[] = {{"sip:a@h", .cseq = 1},
		{"sip:b@h", .cseq = 1}, {"sip:c@h", .cseq = 1}};

	for (unsigned i = 0; i < 3; i++) {
		to_row(&c[i], 1, &rows[i]);
		wants[i] = (struct binding_want){&rows[i], false};
	}
	ck_assert_int_eq(bindings_check(w->sbc.bindings, 1, wants, 3, 3), 0);
	ck_assert_int_eq(
		bindings_check(w->sbc.bindings, 1, wants, 3, 2), ERR_FULL);
	ck_assert_uint_eq(contacts(1), 0);
	ck_assert_int_eq(put(1, c[0]), 0);
	ck_assert_int_eq(
		bindings_check(w->sbc.bindings, 1, wants, 1, 3), ERR_STATE);
	rows[0].cseq = 2;
	ck_assert_int_eq(bindings_check(w->sbc.bindings, 1, wants, 1, 0), 0);
}
END_TEST

static bool restored(void *ctx)
{
	(void)ctx;
	return bindings_count(w->sbc.bindings) == 1;
}

START_TEST(restored_after_a_restart)
{
	Gh__BindingsSaved saved = GH__BINDINGS_SAVED__INIT;
	Gh__Account account = GH__ACCOUNT__INIT;
	Gh__Account *accounts[] = {&account};
	Gh__Binding row[3];
	Gh__Binding *rows[] = {&row[0], &row[1], &row[2]};
	struct addr source = at("192.0.2.1:5060");

	to_row(&(struct contact){"sip:a@h"}, 9, &row[0]);
	to_row(&(struct contact){"sip:old@h"}, 9, &row[1]);
	row[1].wall_expires_us = clock_wall_us() - 1;
	to_row(&(struct contact){"sip:x@h"}, 10, &row[2]); /* whose? */
	account.id = 9;
	account.extension = (char[]){"109"};
	saved.bindings = rows;
	saved.n_bindings = 3;
	saved.accounts = accounts;
	saved.n_accounts = 1;
	saved.done = true;
	IPC_MSG(msg, BINDINGS_SAVED, bindings_saved, &saved);
	world_say(w, &msg);
	world_until(w, restored, NULL, "the binding");
	ck_assert_uint_eq(bindings_account_at(w->sbc.bindings, &source), 9);
	/* What authd tells at its next start is older than what is here. */
	ck_assert_int_eq(bindings_remove_all(w->sbc.bindings, 9, "z", 1), 0);
	world_say(w, &msg);
	for (unsigned i = 0; i < 50; i++)
		step();
	ck_assert_uint_eq(bindings_count(w->sbc.bindings), 0);
}
END_TEST

START_TEST(everything_is_told_again_after_a_reconnect)
{
	unsigned n;

	for (uint64_t id = 1; id <= 600; id++)
		ck_assert_int_eq(put(id, (struct contact){"sip:a@h"}), 0);
	ck_assert_uint_eq(w->n_updates, 0);
	world_authd_stop(w);
	step();
	world_authd_start(w);
	n = 600;
	world_until(w, updated, &n, "600 updates");
	ck_assert_uint_eq(w->n_updates, 600);
}
END_TEST

/* ---------------------------------------------------------------- accounts */

struct found {
	unsigned n;
	enum reason why;
	char extension[16];
};

static void on_found(void *ctx, struct account *account, enum reason why)
{
	struct found *f = ctx;

	f->n++;
	f->why = why;
	snprintf(f->extension, sizeof(f->extension), "%s",
		account ? account->row->extension : "");
	account_unref(&account);
}

static bool has_found(void *ctx)
{
	return ((struct found *)ctx)->n > 0;
}

static struct found find_by(Gh__AccountKey by, const char *key)
{
	struct found f = {0};
	struct account_query *q = NULL;

	ck_assert_int_eq(
		accounts_find(w->sbc.accounts, by, key, on_found, &f, &q), 0);
	ck_assert_uint_eq(f.n, 0); /* never from inside */
	world_until(w, has_found, &f, "an account");
	ck_assert_uint_eq(f.n, 1);
	return f;
}

static struct found find(const char *extension)
{
	return find_by(GH__ACCOUNT_KEY__ACCOUNT_BY_EXTENSION, extension);
}

static enum reason find_number(const char *number)
{
	return find_by(GH__ACCOUNT_KEY__ACCOUNT_BY_NUMBER, number).why;
}

START_TEST(account_cache)
{
	struct found f = find("100");

	ck_assert_int_eq(f.why, REASON_ROUTE_OK);
	ck_assert_str_eq(f.extension, "100");
	ck_assert_uint_eq(w->n_account, 1);
	f = find("100");
	ck_assert_int_eq(f.why, REASON_ROUTE_OK);
	ck_assert_uint_eq(w->n_account, 1);
	ahead_us = 61 * CLOCK_US_PER_S;
	find("100");
	ck_assert_uint_eq(w->n_account, 2);

	f = find("999");
	ck_assert_int_eq(f.why, REASON_ROUTE_UNKNOWN_NUMBER);
	ck_assert_uint_eq(w->n_account, 3);
	find("999");
	ck_assert_uint_eq(w->n_account, 3);
	ahead_us += 6 * CLOCK_US_PER_S;
	find("999");
	ck_assert_uint_eq(w->n_account, 4);
}
END_TEST

/* One answer may speak of many numbers that no account has. */
START_TEST(nobodys_numbers)
{
	Gh__AccountsChanged changed = GH__ACCOUNTS_CHANGED__INIT;
	uint64_t other[] = {2};

	ck_assert_int_eq(
		find_number("+4971000000001"), REASON_ROUTE_UNKNOWN_NUMBER);
	ck_assert_uint_eq(w->n_account, 1);
	ck_assert_int_eq(
		find_number("+4971000000002"), REASON_ROUTE_UNKNOWN_NUMBER);
	ck_assert_int_eq(find_number("+4931"), REASON_ROUTE_UNKNOWN_NUMBER);
	ck_assert_uint_eq(w->n_account, 1);
	/* Its end is not part of it, and it is of numbers only. */
	ck_assert_int_eq(find_number("+4930123456"), REASON_ROUTE_OK);
	ck_assert_uint_eq(w->n_account, 2);
	find("998");
	ck_assert_uint_eq(w->n_account, 3);
	/* Any account that changes may have got one. */
	changed.accounts = other;
	changed.n_accounts = 1;
	accounts_forget(w->sbc.accounts, &changed);
	ck_assert_int_eq(
		find_number("+4971000000002"), REASON_ROUTE_UNKNOWN_NUMBER);
	ck_assert_uint_eq(w->n_account, 4);
	ahead_us = 6 * CLOCK_US_PER_S;
	find_number("+4971000000001");
	ck_assert_uint_eq(w->n_account, 5);
}
END_TEST

START_TEST(account_changes)
{
	Gh__AccountsChanged changed = GH__ACCOUNTS_CHANGED__INIT;
	uint64_t other[] = {2}, this[] = {1};

	find("100");
	changed.accounts = other;
	changed.n_accounts = 1;
	accounts_forget(w->sbc.accounts, &changed);
	find("100");
	ck_assert_uint_eq(w->n_account, 1);
	changed.accounts = this;
	accounts_forget(w->sbc.accounts, &changed);
	find("100");
	ck_assert_uint_eq(w->n_account, 2);
	changed.n_accounts = 0;
	accounts_forget(w->sbc.accounts, &changed);
	ck_assert_uint_eq(accounts_cached(w->sbc.accounts), 0);
}
END_TEST

START_TEST(account_questions_end)
{
	struct found f = {0}, g = {0};
	struct account_query *q = NULL, *r = NULL;

	w->authd_silent = true;
	ck_assert_int_eq(accounts_find(w->sbc.accounts,
				 GH__ACCOUNT_KEY__ACCOUNT_BY_NUMBER, "+49",
				 on_found, &f, &q),
		0);
	ck_assert_int_eq(accounts_find(w->sbc.accounts,
				 GH__ACCOUNT_KEY__ACCOUNT_BY_NUMBER, "+50",
				 on_found, &g, &r),
		0);
	account_query_cancel(&r);
	step();
	ck_assert_uint_eq(f.n, 0);
	ahead_us = 3 * CLOCK_US_PER_S;
	step();
	ck_assert_uint_eq(f.n, 1);
	ck_assert_int_eq(f.why, REASON_AUTH_AWAY);
	ck_assert_uint_eq(g.n, 0);
}
END_TEST

static bool no_link(void *ctx)
{
	(void)ctx;
	return !authd_is_up(w->sbc.authd);
}

START_TEST(old_facts_while_authd_is_away)
{
	struct account_query *q = NULL;
	struct found f;

	find("100");
	world_authd_stop(w);
	world_until(w, no_link, NULL, "the link broke");
	ahead_us = 600 * CLOCK_US_PER_S;
	f = find("100");
	ck_assert_int_eq(f.why, REASON_ROUTE_OK);
	/* Another question waits until its deadline... */
	f = (struct found){0};
	ck_assert_int_eq(accounts_find(w->sbc.accounts,
				 GH__ACCOUNT_KEY__ACCOUNT_BY_EXTENSION, "999",
				 on_found, &f, &q),
		0);
	step();
	ck_assert_uint_eq(f.n, 0);
	ahead_us += 3 * CLOCK_US_PER_S;
	step();
	ck_assert_uint_eq(f.n, 1);
	ck_assert_int_eq(f.why, REASON_AUTH_AWAY);
}
END_TEST

static bool was_found(void *ctx)
{
	return ((struct found *)ctx)->n > 0;
}

/* ... or for the next authd: one that it had, and one that came meanwhile. */
START_TEST(questions_wait_for_authd)
{
	struct account_query *q[2] = {NULL};
	struct found f[2] = {{0}};

	w->authd_silent = true;
	ck_assert_int_eq(accounts_find(w->sbc.accounts,
				 GH__ACCOUNT_KEY__ACCOUNT_BY_EXTENSION, "100",
				 on_found, &f[0], &q[0]),
		0);
	step();
	world_authd_stop(w);
	world_until(w, no_link, NULL, "the link broke");
	ck_assert_int_eq(accounts_find(w->sbc.accounts,
				 GH__ACCOUNT_KEY__ACCOUNT_BY_EXTENSION, "999",
				 on_found, &f[1], &q[1]),
		0);
	w->authd_silent = false;
	world_authd_start(w);
	world_until(w, was_found, &f[0], "the answer to the first");
	world_until(w, was_found, &f[1], "the answer to the second");
	ck_assert_int_eq(f[0].why, REASON_ROUTE_OK);
	ck_assert_int_eq(f[1].why, REASON_ROUTE_UNKNOWN_NUMBER);
}
END_TEST

START_TEST(cache_is_bounded)
{
	Gh__Account row = GH__ACCOUNT__INIT;
	char user[24], extension[24];

	row.user = user;
	row.extension = extension;
	for (unsigned i = 0; i < 12000; i++) {
		row.id = i;
		snprintf(user, sizeof(user), "u%u", i);
		snprintf(extension, sizeof(extension), "%u", i);
		accounts_learn(w->sbc.accounts, &row);
	}
	ck_assert_uint_eq(accounts_cached(w->sbc.accounts), 20000);
}
END_TEST

/* -------------------------------------------------------------------- rates */

static enum reason datagram(const char *source)
{
	struct addr a = at(source);

	return admit_datagram(
		w->sbc.admit, &a, &w->local, (const uint8_t *)"x", 1);
}

static unsigned passed(const char *source, unsigned n)
{
	unsigned ok = 0;

	while (n-- > 0)
		if (datagram(source) == REASON_ADMIT_OK)
			ok++;
	return ok;
}

static uint64_t frozen(void)
{
	static uint64_t start;

	if (!start)
		start = monotonic();
	return start + ahead_us;
}

START_TEST(rates)
{
	char source[ADDR_TEXT_SIZE];
	unsigned ok = 0;

	clock_set_source(frozen, wall);
	ahead_us = 600 * CLOCK_US_PER_S; /* all buckets are full */
	/* one unknown source: 50 per second, 100 at once; its port is no help
	 */
	ck_assert_uint_eq(passed("203.0.113.1:1", 60), 60);
	ck_assert_uint_eq(passed("203.0.113.1:2", 60), 40);
	ahead_us += CLOCK_US_PER_S;
	ck_assert_uint_eq(passed("203.0.113.1:3", 60), 50);
	/* a /64 is one source */
	ck_assert_uint_eq(passed("[2001:db8::1]:1", 80), 80);
	ck_assert_uint_eq(passed("[2001:db8::2]:1", 80), 20);
	/* all unknown ones together: 200 per second, 400 at once */
	ahead_us += 60 * CLOCK_US_PER_S;
	for (unsigned i = 0; i < 1000; i++) {
		snprintf(source, sizeof(source), "198.51.%u.%u:5060", i / 250,
			i % 250);
		if (datagram(source) == REASON_ADMIT_OK)
			ok++;
	}
	ck_assert_uint_eq(ok, 400);
	/* a trunk and a registered phone have their own */
	ck_assert_uint_eq(passed("127.0.0.2:5060", 100), 100);
	ck_assert_int_eq(put(1, (struct contact){"sip:a@h",
					.source = "203.0.113.9:5060"}),
		0);
	ck_assert_uint_eq(passed("203.0.113.9:5060", 300), 200);
	ck_assert_uint_eq(passed("203.0.113.9:5061", 1), 0);
}
END_TEST

START_TEST(bans_run_out)
{
	Gh__Ban ban = GH__BAN__INIT;
	char host[ADDR_TEXT_SIZE];

	ban.host = host;
	ban.until_us = clock_now_us() + 60 * CLOCK_US_PER_S;
	snprintf(host, sizeof(host), "203.0.113.1");
	admit_on_ban(w->sbc.admit, &ban);
	snprintf(host, sizeof(host), "2001:db8::1");
	admit_on_ban(w->sbc.admit, &ban);
	snprintf(host, sizeof(host), "no address");
	admit_on_ban(w->sbc.admit, &ban);
	ck_assert_int_eq(datagram("203.0.113.1:9"), REASON_ADMIT_BANNED);
	ck_assert_int_eq(datagram("203.0.113.2:9"), REASON_ADMIT_OK);
	ck_assert_int_eq(datagram("[2001:db8::ffff]:9"), REASON_ADMIT_BANNED);
	ck_assert_int_eq(datagram("[2001:db8:0:1::1]:9"), REASON_ADMIT_OK);
	ahead_us = 61 * CLOCK_US_PER_S;
	ck_assert_int_eq(datagram("203.0.113.1:9"), REASON_ADMIT_OK);
	ck_assert_uint_eq(reason_counted(REASON_BAN_EXPIRED), 1);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("sbc state");
	TCase *t = tcase_create("clock");
	SRunner *r;
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, contacts_and_their_order);
	tcase_add_test(t, older_requests_and_limits);
	tcase_add_test(t, equal_uris);
	tcase_add_test(t, instance_replaces);
	tcase_add_test(t, expiry);
	tcase_add_test(t, checks_change_nothing);
	tcase_add_test(t, restored_after_a_restart);
	tcase_add_test(t, everything_is_told_again_after_a_reconnect);
	tcase_add_test(t, account_cache);
	tcase_add_test(t, nobodys_numbers);
	tcase_add_test(t, account_changes);
	tcase_add_test(t, account_questions_end);
	tcase_add_test(t, old_facts_while_authd_is_away);
	tcase_add_test(t, questions_wait_for_authd);
	tcase_add_test(t, cache_is_bounded);
	tcase_add_test(t, rates);
	tcase_add_test(t, bans_run_out);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? 1 : 0;
}
