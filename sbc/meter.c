/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The numbers of meter.h. Decides: which hour and day it is, what of a call
 * that is up belongs to this day, and which accounts can be forgotten. Does not
 * decide which calls count or what happens at the limit (call_limit.c, call.c).
 *
 * Talk in progress is one sum: n calls that were answered at times whose sum is
 * S have talked n * now - S together. What was answered on an earlier day
 * counts from this day's beginning.
 */
#include "config.h"

#include "sbc/meter.h"

#include <stdlib.h>

#include "common/clock.h"
#include "common/table.h"
#include "sbc/sbc.h"

#define METERS_MAX 200000u
#define HOUR_US    (3600 * CLOCK_US_PER_S)
#define DAY_US     (24 * HOUR_US)
#define MINUTE_US  (60 * CLOCK_US_PER_S)

struct meter {
	struct table_node node;
	uint64_t account;
	uint64_t hour, day; /* numbers since 1970 */
	uint32_t calls;     /* begun in that hour */
	uint64_t talk_us;   /* of calls that ended, in that day */
	uint32_t n_up;
	uint64_t up_since_us; /* the sum of their beginnings within the day */
	uint64_t day_us;      /* when the day began, monotonic; 0 = long ago */
	struct save_slot saved;
};

struct meters {
	struct sbc *sbc;
	struct table table;
	uint64_t swept_day;
};

int meters_new(struct sbc *sbc, struct meters **out)
{
	struct meters *m = calloc(1, sizeof *m);
	int err;

	if (m == NULL)
		return ERR_NOMEM;
	m->sbc = sbc;
	err = table_init(&m->table, METERS_MAX);
	if (err != 0) {
		free(m);
		return err;
	}
	*out = m;
	return 0;
}

static void forget(struct meters *m, struct meter *one)
{
	table_remove(&m->table, &one->node);
	free(one);
}

void meters_free(struct meters **ref)
{
	struct meters *m = *ref;
	struct table_node *node, *next;
	size_t bucket = 0;

	if (m == NULL)
		return;
	*ref = NULL;
	node = table_next(&m->table, &bucket, NULL);
	for (; node != NULL; node = next) {
		next = table_next(&m->table, &bucket, node);
		forget(m, TABLE_ENTRY(node, struct meter, node));
	}
	table_done(&m->table);
	free(m);
}

bool meter_is_wanted(const Gh__Account *account)
{
	return account->max_calls_per_hour != 0 ||
	       account->max_minutes_per_day != 0;
}

size_t meters_count(const struct meters *m)
{
	return m->table.n_entries;
}

/* ------------------------------------------------------------- one account */

static struct meter *find(const struct meters *m, uint64_t account)
{
	struct table_node *node =
		table_find(&m->table, &account, sizeof account);

	return node != NULL ? TABLE_ENTRY(node, struct meter, node) : NULL;
}

/* Accounts that did nothing today, once a day. */
static void sweep(struct meters *m, uint64_t today)
{
	struct table_node *node, *next;
	size_t bucket = 0;

	if (m->swept_day == today)
		return;
	m->swept_day = today;
	node = table_next(&m->table, &bucket, NULL);
	for (; node != NULL; node = next) {
		struct meter *one = TABLE_ENTRY(node, struct meter, node);

		next = table_next(&m->table, &bucket, node);
		if (one->day == today || one->n_up != 0)
			continue;
		save_drop(m->sbc->saves, SAVE_METER, &one->saved);
		forget(m, one);
	}
}

/* Numbers of an hour or day that is over are none. A clock that was set back
 * begins anew as well. */
static void turn(struct meter *one)
{
	uint64_t wall = clock_wall_us(), now = clock_now_us();
	uint64_t passed = wall % DAY_US;

	if (one->hour != wall / HOUR_US) {
		one->hour = wall / HOUR_US;
		one->calls = 0;
	}
	if (one->day == wall / DAY_US)
		return;
	one->day = wall / DAY_US;
	one->talk_us = 0;
	one->day_us = now > passed ? now - passed : 0;
	one->up_since_us = one->n_up * one->day_us;
}

static struct meter *add(struct meters *m, uint64_t account)
{
	struct meter *one = calloc(1, sizeof *one);

	if (one == NULL)
		return NULL;
	one->account = account;
	if (table_add(&m->table, &one->node, &one->account,
		    sizeof one->account) != 0) {
		free(one);
		return NULL;
	}
	turn(one);
	return one;
}

/* What is known from before this state was begun. */
static void take_facts(struct meter *one, const Gh__Account *account)
{
	if (account->usage_at_us / HOUR_US == one->hour)
		one->calls = account->usage_hour_calls;
	if (account->usage_at_us / DAY_US == one->day)
		one->talk_us = account->usage_day_us;
}

static struct meter *get(struct meters *m, const Gh__Account *account)
{
	struct meter *one;

	sweep(m, clock_wall_us() / DAY_US);
	one = find(m, account->id);
	if (one != NULL) {
		turn(one);
		return one;
	}
	one = add(m, account->id);
	if (one != NULL)
		take_facts(one, account);
	return one;
}

static void save(struct meters *m, struct meter *one)
{
	Gh__SavedMeter saved = GH__SAVED_METER__INIT;

	saved.account = one->account;
	saved.hour = one->hour;
	saved.calls = one->calls;
	saved.day = one->day;
	saved.talk_us = one->talk_us;
	save_put(m->sbc->saves, SAVE_METER, &one->saved, &saved.base);
}

/* ------------------------------------------------------------------- calls */

static uint64_t talked_us(const struct meter *one)
{
	return one->talk_us + one->n_up * clock_now_us() - one->up_since_us;
}

static uint64_t limit_us(const Gh__Account *account)
{
	return account->max_minutes_per_day * MINUTE_US;
}

enum reason meter_begin(struct meters *m, const Gh__Account *account)
{
	struct meter *one = get(m, account);

	if (one == NULL)
		return REASON_LIMIT_CALLS;
	if (account->max_calls_per_hour != 0 &&
		one->calls >= account->max_calls_per_hour)
		return REASON_LIMIT_ACCOUNT_HOUR;
	if (limit_us(account) != 0 && talked_us(one) >= limit_us(account))
		return REASON_LIMIT_ACCOUNT_DAY;
	one->calls++;
	save(m, one);
	return REASON_ROUTE_OK;
}

/* A call's beginning as far as it belongs to this day. */
static uint64_t within_day(const struct meter *one, uint64_t answer_us)
{
	return answer_us > one->day_us ? answer_us : one->day_us;
}

void meter_talk(
	struct meters *m, const Gh__Account *account, uint64_t answer_us)
{
	struct meter *one = get(m, account);

	if (one == NULL)
		return;
	one->n_up++;
	one->up_since_us += within_day(one, answer_us);
}

void meter_end(struct meters *m, const Gh__Account *account, uint64_t answer_us,
	uint64_t end_us)
{
	struct meter *one = get(m, account);
	uint64_t begin_us;

	if (one == NULL || one->n_up == 0)
		return;
	begin_us = within_day(one, answer_us);
	one->n_up--;
	one->up_since_us -= begin_us;
	if (end_us > begin_us)
		one->talk_us += end_us - begin_us;
	save(m, one);
}

uint64_t meter_left_us(struct meters *m, const Gh__Account *account)
{
	struct meter *one;
	uint64_t talked;

	if (limit_us(account) == 0)
		return UINT64_MAX;
	one = get(m, account);
	if (one == NULL || one->n_up == 0)
		return UINT64_MAX;
	talked = talked_us(one);
	if (talked >= limit_us(account))
		return 0;
	return (limit_us(account) - talked) / one->n_up + 1;
}

/* ---------------------------------------------------------- over a restart */

int meters_on_found(struct meters *m, const Gh__SavedMeter *saved,
	const struct save_slot *slot)
{
	struct meter *one;

	if (saved->account == 0)
		return ERR_INVALID;
	if (find(m, saved->account) != NULL)
		return ERR_EXISTS;
	one = add(m, saved->account);
	if (one == NULL)
		return m->table.n_entries == METERS_MAX ? ERR_FULL : ERR_NOMEM;
	one->saved = *slot;
	if (saved->hour == one->hour)
		one->calls = saved->calls;
	if (saved->day == one->day)
		one->talk_us = saved->talk_us;
	return 0;
}
