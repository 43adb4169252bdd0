/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Numbers that are nobody's. Most calls to a trunk go to a number that no
 * account has, and a busy PBX has thousands. So the database is asked once for
 * the two numbers between which one of them lies, in the order of bytes: all
 * that lie there are nobody's as well, until SQL changes some account (RFC
 * 8198 does the same with names).
 *
 * Decides: which gaps are known and for how long; at most one question at a
 * time, which nobody waits for. Called by account.c and account_ask.c.
 */
#include "authd/account_i.h"

#include <stdlib.h>
#include <string.h>

#include "common/clock.h"

enum {
	GAPS_MAX = 64,
	GAP_NUMBER_SIZE = 24,
};

struct gap {
	char below[GAP_NUMBER_SIZE]; /* "" = from the first number on */
	char above[GAP_NUMBER_SIZE]; /* "" = to the last */
	uint64_t until_us;
	bool asked_again;
};

struct gaps {
	struct gap list[GAPS_MAX]; /* found last first */
	size_t n;
	bool asking;
	bool changed_meanwhile;
	char about[GAP_NUMBER_SIZE]; /* the number that is asked about */
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
	g->n = 0;
	/* An answer on its way may have been read before the change. */
	g->changed_meanwhile = true;
}

static bool is_inside(const struct gap *gap, const char *number)
{
	return (!gap->below[0] || strcmp(number, gap->below) > 0) &&
	       (!gap->above[0] || strcmp(number, gap->above) < 0);
}

static void drop(struct gaps *g, size_t i)
{
	g->n--;
	memmove(&g->list[i], &g->list[i + 1], (g->n - i) * sizeof(g->list[0]));
}

/* A number of the right length, or nothing. */
static bool take_number(char to[GAP_NUMBER_SIZE], const char *text)
{
	if (text[0] &&
		!account_is_possible(GH__ACCOUNT_KEY__ACCOUNT_BY_NUMBER, text))
		return false;
	memset(to, 0, GAP_NUMBER_SIZE);
	memcpy(to, text, strlen(text));
	return true;
}

static void add(struct gaps *g, const struct gap *new)
{
	/* Gaps meet only at numbers that somebody has: one that shares an
	 * inside with the new one is an older word on the same. */
	for (size_t i = g->n; i-- > 0;) {
		const struct gap *old = &g->list[i];

		if ((!old->above[0] || strcmp(new->below, old->above) < 0) &&
			(!new->above[0] || strcmp(old->below, new->above) < 0))
			drop(g, i);
	}
	if (g->n == GAPS_MAX)
		g->n--;
	memmove(&g->list[1], &g->list[0], g->n * sizeof(g->list[0]));
	g->list[0] = *new;
	g->n++;
}

void gaps_take(struct gaps *g, const char *number, const PGresult *r)
{
	struct gap gap = {.until_us = clock_now_us() + ACCOUNT_NEGATIVE_TTL_US};

	/* No row: the number is somebody's by now. */
	if (PQntuples(r) == 1 &&
		take_number(gap.below, db_text(r, 0, "below")) &&
		take_number(gap.above, db_text(r, 0, "above")) &&
		is_inside(&gap, number))
		add(g, &gap);
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

	if (g->asking || !a->db || !take_number(g->about, number) ||
		db_submit(a->db, &job) < 0)
		return;
	g->asking = true;
	g->changed_meanwhile = false;
}

bool gaps_have(struct accounts *a, const char *number)
{
	struct gaps *g = a->gaps;
	uint64_t now = clock_now_us();

	for (size_t i = 0; i < g->n; i++) {
		struct gap *gap = &g->list[i];

		if (!is_inside(gap, number))
			continue;
		if (now > gap->until_us) {
			drop(g, i);
			return false;
		}
		/* While it is good, so that no caller waits. */
		if (!gap->asked_again &&
			gap->until_us <= now + ACCOUNT_NEGATIVE_TTL_US / 2) {
			gap->asked_again = true;
			gaps_ask(a, number);
		}
		return true;
	}
	return false;
}
