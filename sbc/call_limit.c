/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Places: how many calls a trunk or an account may have at once. A party takes
 * its place when it is tried and gives it back once, when its part is over.
 * And what an account may begin in an hour and talk in a day (meter.h).
 *
 * Decides: the limit that refuses a party, or an account whose phone forwards;
 * none refuses an emergency call. The trunk's numbers are kept in trunk.c, the
 * accounts' places here. Called by call.c and call_setup.c.
 */
#include "config.h"

#include "sbc/call_inner.h"

#include <stdlib.h>

#include "sbc/meter.h"
#include "sbc/trunk.h"

#define ACCOUNTS_MAX 200000u

struct usage {
	struct table_node node;
	uint64_t account;
	uint32_t n_calls;
};

int call_limit_init(struct calls *calls)
{
	return table_init(&calls->accounts, ACCOUNTS_MAX);
}

void call_limit_done(struct calls *calls)
{
	struct table_node *node, *next;
	size_t bucket = 0;

	node = table_next(&calls->accounts, &bucket, NULL);
	for (; node != NULL; node = next) {
		next = table_next(&calls->accounts, &bucket, node);
		table_remove(&calls->accounts, node);
		free(TABLE_ENTRY(node, struct usage, node));
	}
	table_done(&calls->accounts);
}

static struct usage *find(struct calls *calls, uint64_t account)
{
	struct table_node *node =
		table_find(&calls->accounts, &account, sizeof account);

	return node != NULL ? TABLE_ENTRY(node, struct usage, node) : NULL;
}

/* One more call of the account. */
static bool count_account(struct calls *calls, uint64_t account)
{
	struct usage *u = find(calls, account);

	if (u == NULL) {
		u = calloc(1, sizeof *u);
		if (u == NULL)
			return false;
		u->account = account;
		if (table_add(&calls->accounts, &u->node, &u->account,
			    sizeof u->account) != 0) {
			free(u);
			return false;
		}
	}
	u->n_calls++;
	return true;
}

static enum reason take_account(struct call *c, const struct party *p)
{
	const Gh__Account *row = p->account->row;
	const struct usage *u = find(c->calls, row->id);
	bool begins = p->side == CALL_CALLER && meter_is_wanted(row);
	enum reason why = REASON_ROUTE_OK;

	if (c->emergency)
		return count_account(c->calls, row->id) ? REASON_ROUTE_OK
							: REASON_LIMIT_CALLS;
	if (u != NULL && row->max_calls != 0 && u->n_calls >= row->max_calls)
		return REASON_LIMIT_ACCOUNT_CALLS;
	if (begins)
		why = meter_begin(c->sbc->meters, row);
	if (why != REASON_ROUTE_OK)
		return why;
	c->metered |= begins;
	return count_account(c->calls, row->id) ? REASON_ROUTE_OK
						: REASON_LIMIT_CALLS;
}

void call_limit_talk(struct call *c)
{
	if (c->metered && !c->talking) {
		c->talking = true;
		meter_talk(c->sbc->meters, c->caller.account->row,
			c->record.answer_us);
	}
	if (c->forward_metered && !c->forward_talking) {
		c->forward_talking = true;
		meter_talk(
			c->sbc->meters, c->forwarder->row, c->record.answer_us);
	}
}

uint64_t call_limit_left_us(struct call *c)
{
	uint64_t left = UINT64_MAX, other = UINT64_MAX;

	if (c->talking)
		left = meter_left_us(c->sbc->meters, c->caller.account->row);
	if (c->forward_talking)
		other = meter_left_us(c->sbc->meters, c->forwarder->row);
	return left < other ? left : other;
}

static void end_talk(struct call *c)
{
	if (!c->talking)
		return;
	c->talking = false;
	meter_end(c->sbc->meters, c->caller.account->row, c->record.answer_us,
		c->record.end_us);
}

static void release_account(struct calls *calls, uint64_t account)
{
	struct usage *u = find(calls, account);

	if (u == NULL)
		return;
	if (u->n_calls > 1) {
		u->n_calls--;
		return;
	}
	table_remove(&calls->accounts, &u->node);
	free(u);
}

enum reason call_limit_forward(struct call *c)
{
	const Gh__Account *row = c->forwarder->row;
	const struct usage *u = find(c->calls, row->id);
	enum reason why = REASON_ROUTE_OK;

	if (u != NULL && row->max_calls != 0 && u->n_calls >= row->max_calls)
		return REASON_LIMIT_ACCOUNT_CALLS;
	if (meter_is_wanted(row))
		why = meter_begin(c->sbc->meters, row);
	if (why != REASON_ROUTE_OK)
		return why;
	if (!count_account(c->calls, row->id))
		return REASON_LIMIT_CALLS;
	c->forward_metered = meter_is_wanted(row);
	c->forward_counted = true;
	return REASON_ROUTE_OK;
}

void call_limit_end_forward(struct call *c)
{
	const Gh__Account *row = c->forwarder->row;

	if (c->forward_talking)
		meter_end(c->sbc->meters, row, c->record.answer_us,
			c->record.end_us);
	if (c->forward_counted)
		release_account(c->calls, row->id);
	c->forward_talking = c->forward_metered = c->forward_counted = false;
}

/* All phones of a called account ring as one call of it. */
static bool is_counted_already(const struct call *c, const struct party *p)
{
	const struct party *q;

	if (p->side == CALL_CALLER || p->account == NULL)
		return false;
	TAILQ_FOREACH (q, &c->parties, link) {
		if (q != p && q->counted && q->account != NULL &&
			q->account->row->id == p->account->row->id)
			return true;
	}
	return false;
}

enum reason call_limit_take(struct call *c, struct party *p)
{
	enum reason why;

	if (p->counted)
		return REASON_ROUTE_OK;
	if (p->trunk != NULL) {
		why = trunk_take(c->calls->trunks, p->trunk,
			c->emergency || (c->decision != NULL &&
						c->decision->emergency));
	} else if (is_counted_already(c, p)) {
		p->shares = true;
		why = REASON_ROUTE_OK;
	} else {
		why = take_account(c, p);
		/* A called account at its limit is busy. */
		if (why == REASON_LIMIT_ACCOUNT_CALLS && p->side == CALL_CALLED)
			why = REASON_CALL_BUSY;
	}
	p->counted = why == REASON_ROUTE_OK;
	return why;
}

unsigned call_limit_status(
	const struct call *c, const struct party *p, enum reason why)
{
	switch (why) {
	case REASON_LIMIT_TRUNK_CALLS:
	case REASON_LIMIT_TRUNK_RATE:
		if (p->trunk != NULL && p->trunk->row->limit_code != 0)
			return p->trunk->row->limit_code;
		break;
	case REASON_LIMIT_ACCOUNT_CALLS:
	case REASON_LIMIT_ACCOUNT_HOUR:
	case REASON_LIMIT_ACCOUNT_DAY:
		return (unsigned)settings_number(c->settings,
			"account_limit_code", reason_sip(why), 402, 699);
	default:
		break;
	}
	return reason_sip(why);
}

void call_limit_restore(struct call *c, struct party *p, bool shares)
{
	if (p->trunk != NULL) {
		p->counted = trunk_take(c->calls->trunks, p->trunk, true) ==
			     REASON_ROUTE_OK;
	} else if (shares) {
		p->shares = p->counted = true;
	} else if (p->account != NULL) {
		p->counted = count_account(c->calls, p->account->row->id);
	}
}

void call_limit_restore_forward(struct call *c, bool metered)
{
	c->forward_counted = count_account(c->calls, c->forwarder->row->id);
	c->forward_metered = metered;
}

void call_limit_release(struct call *c, struct party *p)
{
	struct party *q;

	if (p == &c->caller)
		end_talk(c);
	if (!p->counted)
		return;
	p->counted = false;
	if (p->trunk != NULL) {
		trunk_release(c->calls->trunks, p->trunk);
		return;
	}
	if (p->shares) {
		p->shares = false;
		return;
	}
	/* The place goes to another phone of the account that still rings. */
	TAILQ_FOREACH (q, &c->parties, link) {
		if (p->side != CALL_CALLER && q->shares && q->counted &&
			q->account->row->id == p->account->row->id) {
			q->shares = false;
			return;
		}
	}
	release_account(c->calls, p->account->row->id);
}
