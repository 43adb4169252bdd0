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

int main(void)
{
	Suite *s = suite_create("account");
	TCase *t = tcase_create("negative");
	SRunner *runner;
	int n_failed;

	tcase_set_timeout(t, 60);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, asked_in_time);
	suite_add_tcase(s, t);
	runner = srunner_create(s);
	srunner_run_all(runner, CK_NORMAL);
	n_failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return n_failed ? 1 : 0;
}
