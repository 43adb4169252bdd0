/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What was told of each call, compared with what is; see call_report.h. Reads
 * calls through call_list.h and changes none. Messages are bounded in entries;
 * where authd's queue is full the round is left and the next one goes on.
 */
#include "sbc/call_report.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/heap.h"
#include "common/log.h"
#include "common/secret.h"
#include "common/table.h"
#include "sbc/call_list.h"
#include "sbc/sbc.h"

#define PERIOD_US        (2 * CLOCK_US_PER_S)
#define CALLS_MAX        1000000
#define PER_MESSAGE      64
#define ENDS_PER_MESSAGE 512
#define NUMBER_SIZE      80
#define ID_SIZE          20

/* A call that was told. */
struct told {
	struct table_node node;
	uint64_t seen;   /* round */
	uint64_t digest; /* of what was told */
	char id[ID_SIZE];
};

/* One entry of a message with its texts. */
struct entry {
	Gh__ActiveCall call;
	Gh__ActiveCallSide side[2];
	char id[ID_SIZE];
	char number[2][NUMBER_SIZE];
	char name[2][NUMBER_SIZE];
	char peer[2][ADDR_TEXT_SIZE];
};

struct call_report {
	struct sbc *sbc;
	struct loop_timer *timer;
	struct table told;
	uint8_t key[16];
	uint64_t round;
	bool reset; /* the next message replaces all that was told */
	bool failed;
	struct entry entries[PER_MESSAGE];
	Gh__ActiveCall *list[PER_MESSAGE];
	size_t n;
};

static char *borrow(const char *text)
{
	return (char *)(uintptr_t)(text ? text : "");
}

static int send_message(struct call_report *r, char **ended, size_t n_ended)
{
	Gh__ActiveCalls news = GH__ACTIVE_CALLS__INIT;
	int err;

	news.reset = r->reset;
	news.calls = r->list;
	news.n_calls = r->n;
	news.ended = ended;
	news.n_ended = n_ended;
	IPC_MSG(msg, ACTIVE_CALLS, active_calls, &news);
	err = authd_send(r->sbc->authd, &msg);
	r->n = 0;
	if (err == 0)
		r->reset = false;
	else
		r->failed = true;
	return err;
}

static void fill_side(struct entry *e, int i, const struct call_list_side *side)
{
	Gh__ActiveCallSide *s = &e->side[i];

	gh__active_call_side__init(s);
	if (!side->kind)
		return;
	s->kind = borrow(side->kind);
	snprintf(e->name[i], sizeof(e->name[i]), "%s",
		side->trunk       ? side->trunk
		: side->extension ? side->extension
				  : "");
	s->name = e->name[i];
	s->peer = borrow(addr_format(&side->peer, e->peer[i]));
}

static void fill(struct entry *e, const struct call_list_entry *c)
{
	gh__active_call__init(&e->call);
	snprintf(e->id, sizeof(e->id), "%s", c->id);
	snprintf(e->number[0], NUMBER_SIZE, "%s",
		c->caller_number ? c->caller_number : "");
	snprintf(e->number[1], NUMBER_SIZE, "%s",
		c->called_number ? c->called_number : "");
	e->call.call = e->id;
	e->call.state = borrow(c->state);
	e->call.wall_start_us = c->wall_start_us;
	e->call.wall_answer_us = c->wall_answer_us;
	e->call.caller = e->number[0];
	e->call.called = e->number[1];
	fill_side(e, 0, &c->caller);
	fill_side(e, 1, &c->called);
	e->call.caller_side = &e->side[0];
	e->call.called_side = &e->side[1];
}

static uint64_t digest_of(
	const struct call_report *r, const struct call_list_entry *c)
{
	char text[2 * NUMBER_SIZE];
	int n = snprintf(text, sizeof(text), "%s|%d|%s|%s", c->state,
		c->wall_answer_us != 0, c->called.trunk ? c->called.trunk : "",
		c->called.extension ? c->called.extension : "");

	return table_siphash(r->key, text,
		n < (int)sizeof(text) ? (size_t)n : sizeof(text) - 1);
}

static struct told *find_told(struct call_report *r, const char *id)
{
	struct table_node *node = table_find(&r->told, id, strlen(id));
	struct told *t;

	if (node)
		return TABLE_ENTRY(node, struct told, node);
	t = heap_lasting(sizeof(*t));
	if (!t)
		return NULL;
	snprintf(t->id, sizeof(t->id), "%s", id);
	if (table_add(&r->told, &t->node, t->id, (uint32_t)strlen(t->id)) !=
		0) {
		free(t);
		return NULL;
	}
	return t;
}

static void on_call(void *ctx, const struct call_list_entry *c)
{
	struct call_report *r = ctx;
	uint64_t digest = digest_of(r, c);
	struct told *t;

	if (r->failed || strlen(c->id) >= ID_SIZE)
		return;
	t = find_told(r, c->id);
	if (!t)
		return;
	t->seen = r->round;
	if (t->digest == digest)
		return;
	t->digest = digest;
	fill(&r->entries[r->n], c);
	r->list[r->n] = &r->entries[r->n].call;
	r->n++;
	if (r->n == PER_MESSAGE)
		(void)send_message(r, NULL, 0);
}

static void forget(struct call_report *r, struct told *t)
{
	table_remove(&r->told, &t->node);
	free(t);
}

/* Tells which calls were not met in this round, as many as one message takes.
 * @return whether there may be more. */
static bool tell_ended(struct call_report *r)
{
	char *ended[ENDS_PER_MESSAGE];
	struct told *gone[ENDS_PER_MESSAGE];
	struct table_node *node = NULL;
	size_t bucket = 0, n = 0;

	while (n < ENDS_PER_MESSAGE &&
		(node = table_next(&r->told, &bucket, node))) {
		struct told *t = TABLE_ENTRY(node, struct told, node);

		if (t->seen == r->round)
			continue;
		gone[n] = t;
		ended[n++] = t->id;
	}
	if ((n == 0 && r->n == 0 && !r->reset) ||
		send_message(r, ended, n) != 0)
		return false;
	for (size_t i = 0; i < n; i++)
		forget(r, gone[i]);
	return n == ENDS_PER_MESSAGE;
}

static void forget_all(struct call_report *r)
{
	struct table_node *node, *next;
	size_t bucket = 0;

	for (node = table_next(&r->told, &bucket, NULL); node; node = next) {
		next = table_next(&r->told, &bucket, node);
		forget(r, TABLE_ENTRY(node, struct told, node));
	}
}

static void on_timer(void *arg)
{
	struct call_report *r = arg;

	if (r->failed) {
		forget_all(r);
		r->reset = true;
		r->failed = false;
	}
	if (authd_is_up(r->sbc->authd) && r->sbc->calls) {
		r->round++;
		r->n = 0;
		calls_walk(r->sbc->calls, on_call, r);
		while (!r->failed && tell_ended(r))
			;
	}
	loop_timer_set(r->sbc->daemon.loop, r->timer, PERIOD_US);
}

void call_report_again(struct call_report *r)
{
	if (r)
		r->failed = true;
}

int call_report_new(struct sbc *sbc, struct call_report **report_out)
{
	struct call_report *r = calloc(1, sizeof(*r));
	int err;

	if (!r)
		return ERR_NOMEM;
	r->sbc = sbc;
	r->failed = true; /* begins with all calls */
	secret_random_bytes(r->key, sizeof(r->key));
	err = table_init(&r->told, CALLS_MAX);
	if (err == 0)
		err = loop_timer_new(sbc->daemon.loop, on_timer, r, &r->timer);
	if (err != 0) {
		if (r->told.buckets)
			table_done(&r->told);
		free(r);
		return err;
	}
	loop_timer_set(sbc->daemon.loop, r->timer, PERIOD_US);
	*report_out = r;
	return 0;
}

void call_report_free(struct call_report **report)
{
	struct call_report *r = *report;

	if (!r)
		return;
	*report = NULL;
	forget_all(r);
	table_done(&r->told);
	loop_timer_free(r->sbc->daemon.loop, &r->timer);
	free(r);
}
