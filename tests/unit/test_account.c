/* SPDX-License-Identifier: Apache-2.0 */
/* What authd remembers of numbers that are nobody's, by the replaced clock. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "authd/account_i.h"
#include "authd/key.h"
#include "authd/vault.h"
#include "common/clock.h"
#include "common/log.h"

#define BY     GH__ACCOUNT_KEY__ACCOUNT_BY_NUMBER
#define NUMBER "+4971000000001"

static char dir[] = "/tmp/gh-account-XXXXXX";
static struct loop *loop;
static struct key key;
static struct vault *vault;
static struct accounts *accounts;
static uint64_t now_us;

static uint64_t the_time(void)
{
	return now_us;
}

static void quiet(const char *line, size_t len, void *arg)
{
	(void)line;
	(void)len;
	(void)arg;
}

static void setup(void)
{
	char path[64], problem[KEY_PROBLEM_SIZE];

	log_set_sink(quiet, NULL);
	memcpy(dir + strlen(dir) - 6, "XXXXXX", 6);
	ck_assert_ptr_nonnull(mkdtemp(dir));
	ck_assert_int_eq(loop_event_new(&loop), 0);
	snprintf(path, sizeof(path), "%s/key", dir);
	ck_assert_int_eq(key_load(path, &key, problem), 0);
	ck_assert_int_eq(vault_open(&key, dir, "accounts", 100, &vault), 0);
	now_us = 1000000000;
	clock_set_source(the_time, NULL);
	ck_assert_int_eq(accounts_new(loop, vault, 100, 1000000, &accounts), 0);
}

static void teardown(void)
{
	char command[128];

	clock_set_source(NULL, NULL);
	accounts_free(&accounts);
	vault_free(&vault);
	key_done(&key);
	loop_free(&loop);
	snprintf(command, sizeof(command), "rm -rf '%s'", dir);
	ck_assert_int_eq(system(command), 0);
}

static void on_stop(void *arg)
{
	(void)arg;
	loop_stop(loop);
}

/* The database is away: every question is answered from the disk, at once. */
static void answer_all(void)
{
	struct loop_timer *timer;

	ck_assert_int_eq(loop_timer_new(loop, on_stop, NULL, &timer), 0);
	while (accounts->n_waits) {
		loop_timer_set(loop, timer, 1000);
		ck_assert_int_eq(loop_run(loop), 0);
	}
	loop_timer_free(loop, &timer);
}

static int find(void)
{
	const Gh__AccountRecord *record;

	return account_find(accounts, BY, NUMBER, &record);
}

/* Nobody waits for the database where a number is called often. */
START_TEST(asked_in_time)
{
	char text[KEY_SIZE_MAX];

	ck_assert_int_eq(find(), ERR_AGAIN);
	account_make_key(BY, NUMBER, text);
	account_add_negative(accounts, text);
	ck_assert_int_eq(find(), ERR_NOT_FOUND);
	ck_assert_uint_eq(accounts->n_waits, 0);
	now_us += ACCOUNT_NEGATIVE_TTL_US / 2;
	ck_assert_int_eq(find(), ERR_NOT_FOUND);
	ck_assert_int_eq(find(), ERR_NOT_FOUND);
	ck_assert_uint_eq(accounts->n_waits, 1);
	ck_assert_uint_eq(accounts->asks.n_entries, 1);
	answer_all();
	/* That it could not be answered changes nothing. */
	ck_assert_int_eq(find(), ERR_NOT_FOUND);
	ck_assert_uint_eq(accounts->n_waits, 0);
	/* The database said so again: a new life. */
	account_add_negative(accounts, text);
	ck_assert_uint_eq(accounts->negatives.n_entries, 1);
	now_us += ACCOUNT_NEGATIVE_TTL_US / 2 - 1;
	ck_assert_int_eq(find(), ERR_NOT_FOUND);
	ck_assert_uint_eq(accounts->n_waits, 0);
	account_drop_negative(accounts, text);
	account_drop_negative(accounts, text);
	ck_assert_int_eq(find(), ERR_AGAIN);
}
END_TEST

static int find_number(const char *number)
{
	const Gh__AccountRecord *record;

	return account_find(accounts, BY, number, &record);
}

/* As if the database had said this of a number. */
static void say_gap(const char *number, const char *below, const char *above)
{
	PGresult *r = PQmakeEmptyPGresult(NULL, PGRES_TUPLES_OK);
	PGresAttDesc columns[2] = {{.name = (char *)(uintptr_t) "below"},
		{.name = (char *)(uintptr_t) "above"}};

	ck_assert_ptr_nonnull(r);
	ck_assert(PQsetResultAttrs(r, 2, columns));
	ck_assert(PQsetvalue(r, 0, 0, (char *)(uintptr_t)below,
		below ? (int)strlen(below) : -1));
	ck_assert(PQsetvalue(r, 0, 1, (char *)(uintptr_t)above,
		above ? (int)strlen(above) : -1));
	gaps_take(accounts->gaps, number, r);
	PQclear(r);
}

/* One answer speaks of all numbers between two neighbours, not of these. */
START_TEST(a_gap)
{
	ck_assert_int_eq(find_number("+4930"), ERR_AGAIN);
	say_gap("+4930", "+4920", "+4940");
	ck_assert_int_eq(find_number("+4930"), ERR_NOT_FOUND);
	ck_assert_int_eq(find_number("+49200"), ERR_NOT_FOUND);
	ck_assert_int_eq(find_number("+4939999"), ERR_NOT_FOUND);
	ck_assert_int_eq(find_number("+4920"), ERR_AGAIN);
	ck_assert_int_eq(find_number("+4940"), ERR_AGAIN);
	ck_assert_int_eq(find_number("+491"), ERR_AGAIN);
	ck_assert_int_eq(find_number("+50"), ERR_AGAIN);
	/* What is after the last number, and before the first. */
	say_gap("+60", "+4990", NULL);
	say_gap("+1", NULL, "+4910");
	ck_assert_int_eq(find_number("+999"), ERR_NOT_FOUND);
	ck_assert_int_eq(find_number("+4909"), ERR_NOT_FOUND);
	ck_assert_int_eq(find_number("+4911"), ERR_AGAIN);
	/* A newer word on the same stands for the older one. */
	say_gap("+4930", "+4929", "+4931");
	ck_assert_int_eq(find_number("+49300"), ERR_NOT_FOUND);
	ck_assert_int_eq(find_number("+4939999"), ERR_AGAIN);
	/* Any change of an account may be one of numbers. */
	accounts_changed(accounts, 7);
	ck_assert_int_eq(find_number("+49300"), ERR_AGAIN);
	ck_assert_int_eq(find_number("+999"), ERR_AGAIN);
}
END_TEST

START_TEST(no_gap)
{
	/* A row that does not go with its question, or is no number. */
	say_gap("+4930", "+4931", "+4940");
	say_gap("+4930", "+4920", "+4929");
	say_gap("+4930", "'; --", "+4940");
	say_gap("+4930", "+4920", "+49400000000000000000000000000000000");
	ck_assert_int_eq(find_number("+4930"), ERR_AGAIN);
	/* Out of date. */
	say_gap("+4930", NULL, NULL);
	now_us += ACCOUNT_NEGATIVE_TTL_US;
	ck_assert_int_eq(find_number("+4930"), ERR_NOT_FOUND);
	now_us++;
	ck_assert_int_eq(find_number("+4930"), ERR_AGAIN);
	/* No more than some; the oldest go. */
	for (int i = 0; i < 1000; i++) {
		char below[16], number[16], above[16];

		snprintf(below, sizeof(below), "+%d", 10000 + 2 * i);
		snprintf(number, sizeof(number), "+%d1", 10000 + 2 * i);
		snprintf(above, sizeof(above), "+%d", 10001 + 2 * i);
		say_gap(number, below, above);
		ck_assert_int_eq(find_number(number), ERR_NOT_FOUND);
	}
	ck_assert_int_eq(find_number("+100001"), ERR_AGAIN);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("account");
	TCase *t = tcase_create("negative");
	SRunner *runner;
	int n_failed;

	tcase_set_timeout(t, 60);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, asked_in_time);
	tcase_add_test(t, a_gap);
	tcase_add_test(t, no_gap);
	suite_add_tcase(s, t);
	runner = srunner_create(s);
	srunner_run_all(runner, CK_NORMAL);
	n_failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return n_failed ? 1 : 0;
}
