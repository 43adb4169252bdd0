/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Numbers that are nobody's. When a number was asked for and no account has it,
 * the database is asked once for the two numbers between which it lies: all
 * that lie there are nobody's as well, until SQL changes some account. sbc is
 * told with its answers.
 *
 * Decides: for how long that is good, when to ask; at most one question at a
 * time, which nobody waits for. Called by account.c and account_ask.c.
 */
#include "authd/account_i.h"

#include <stdlib.h>
#include <string.h>

#include "common/clock.h"

struct gaps {
	struct ranges ranges;
	bool asking;
	bool changed_meanwhile;
	char about[RANGES_NUMBER_SIZE]; /* the number that is asked about */
};

int gaps_new(struct gaps **gaps_out)
{
	*gaps_out = calloc(1, sizeof(**gaps_out));
	return *gaps_out ? 0 : ERR_NOMEM;
}

void gaps_free(struct gaps **gaps)
{
	free(*gaps);
	*gaps = NULL;
}

void gaps_forget(struct gaps *g)
{
	ranges_forget(&g->ranges);
	/* An answer on its way may have been read before the change. */
	g->changed_meanwhile = true;
}

void gaps_take(struct gaps *g, const char *number, const PGresult *r)
{
	/* No row: the number is somebody's by now. */
	if (PQntuples(r) == 1)
		ranges_add(&g->ranges, number, db_text(r, 0, "below"),
			db_text(r, 0, "above"),
			clock_now_us() + ACCOUNT_NEGATIVE_TTL_US);
}

static void on_answer(void *ctx, const struct db_result *result)
{
	struct gaps *g = ctx;

	g->asking = false;
	/* Without an answer each number is asked for, as it comes. */
	if (result->err == 0 && !g->changed_meanwhile)
		gaps_take(g, g->about, result->results[0]);
}

static const char ask_sql[] =
	"SELECT (SELECT max(n.number COLLATE \"C\") "
	"FROM sbc.authd_number n WHERE n.number COLLATE \"C\" < $1) "
	"AS below, (SELECT min(n.number COLLATE \"C\") "
	"FROM sbc.authd_number n WHERE n.number COLLATE \"C\" > $1) "
	"AS above WHERE NOT EXISTS (SELECT FROM sbc.authd_number n "
	"WHERE n.number = $1)";

void gaps_warm(struct db *db)
{
	db_warm(db, &(const struct db_step){
			    .sql = ask_sql,
			    .often = true,
			    .n_params = 1,
			    .params = {"+"},
		    });
}

void gaps_ask(struct accounts *a, const char *number)
{
	const struct db_step step = {.sql = ask_sql,
		.often = true,
		.n_params = 1,
		.params = {number}};
	const struct db_job job = {
		.steps = &step,
		.n_steps = 1,
		.timeout_us = ASK_US,
		.fn = on_answer,
		.ctx = a->gaps,
	};
	struct gaps *g = a->gaps;
	size_t len = strlen(number);

	if (g->asking || !a->db || len >= sizeof(g->about) ||
		db_submit(a->db, &job) < 0)
		return;
	memcpy(g->about, number, len + 1);
	g->asking = true;
	g->changed_meanwhile = false;
}

const struct range *gaps_find(struct accounts *a, const char *number)
{
	uint64_t now = clock_now_us();
	struct range *range = ranges_find(&a->gaps->ranges, number, now);

	/* While it is good, so that no caller waits. */
	if (range && !range->noted &&
		range->until_us <= now + ACCOUNT_NEGATIVE_TTL_US / 2) {
		range->noted = true;
		gaps_ask(a, number);
	}
	return range;
}
