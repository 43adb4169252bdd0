/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A table by call and a queue by age. The message has no acknowledgement of
 * its own: sbc's claims, which it sends from the same loop that reads ours,
 * are taken for one. Called by ctl.c.
 */
#include "mediad/farewell.h"

#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "common/clock.h"
#include "common/table.h"

#define CHECK_US (10ull * 1000 * 1000)

struct farewell {
	struct table_node node;
	TAILQ_ENTRY(farewell) age;
	struct record_farewell data;
	struct store_record *record;
	uint64_t since_us;
	uint64_t sent_us; /* 0 = not on this link */
};

struct farewells {
	struct loop *loop;
	struct loop_timer *timer;
	struct keep *keep;
	struct table table;
	TAILQ_HEAD(farewell_head, farewell) queue;
};

static struct farewell *find(const struct farewells *fs, const char *call)
{
	struct table_node *n = table_find(&fs->table, call, IDENT_CALL_LEN);

	return n ? TABLE_ENTRY(n, struct farewell, node) : NULL;
}

static void take_out(struct farewells *fs, struct farewell *f)
{
	table_remove(&fs->table, &f->node);
	TAILQ_REMOVE(&fs->queue, f, age);
}

static void drop(struct farewells *fs, struct farewell *f)
{
	take_out(fs, f);
	keep_forget(fs->keep, &f->record);
	free(f);
}

static void on_timer(void *arg)
{
	struct farewells *fs = arg;
	uint64_t now_us = clock_now_us();
	struct farewell *f;

	while ((f = TAILQ_FIRST(&fs->queue)) != NULL &&
		now_us - f->since_us >= FAREWELL_US)
		drop(fs, f);
	if (!TAILQ_EMPTY(&fs->queue))
		loop_timer_set(fs->loop, fs->timer, CHECK_US);
}

int farewells_new(
	struct loop *loop, struct keep *keep, struct farewells **farewells_out)
{
	struct farewells *fs = calloc(1, sizeof(*fs));

	if (fs == NULL)
		return ERR_NOMEM;
	fs->loop = loop;
	fs->keep = keep;
	TAILQ_INIT(&fs->queue);
	if (table_init(&fs->table, FAREWELLS_MAX) < 0)
		goto fail;
	if (loop_timer_new(loop, on_timer, fs, &fs->timer) < 0)
		goto fail_table;
	*farewells_out = fs;
	return 0;
fail_table:
	table_done(&fs->table);
fail:
	free(fs);
	return ERR_NOMEM;
}

void farewells_free(struct farewells **farewells)
{
	struct farewells *fs = *farewells;
	struct farewell *f;

	*farewells = NULL;
	if (fs == NULL)
		return;
	while ((f = TAILQ_FIRST(&fs->queue)) != NULL) {
		take_out(fs, f);
		free(f);
	}
	table_done(&fs->table);
	loop_timer_free(fs->loop, &fs->timer);
	free(fs);
}

void farewell_put(struct farewells *fs, const struct record_farewell *data,
	struct store_record *record)
{
	struct farewell *f = find(fs, data->call);

	if (f != NULL)
		drop(fs, f);
	if (fs->table.n_entries >= FAREWELLS_MAX)
		drop(fs, TAILQ_FIRST(&fs->queue));
	f = calloc(1, sizeof(*f));
	if (f == NULL)
		goto fail;
	f->data = *data;
	f->since_us = clock_now_us();
	f->record = record;
	if (table_add(&fs->table, &f->node, f->data.call, IDENT_CALL_LEN) < 0)
		goto fail;
	if (TAILQ_EMPTY(&fs->queue))
		loop_timer_set(fs->loop, fs->timer, CHECK_US);
	TAILQ_INSERT_TAIL(&fs->queue, f, age);
	if (record == NULL)
		keep_farewell(fs->keep, data, &f->record);
	return;
fail:
	keep_forget(fs->keep, &record);
	free(f);
}

const struct record_farewell *farewell_find(
	const struct farewells *fs, const char *call)
{
	struct farewell *f = find(fs, call);

	return f ? &f->data : NULL;
}

void farewell_sent(struct farewells *fs, const char *call)
{
	struct farewell *f = find(fs, call);

	if (f != NULL)
		f->sent_us = clock_now_us();
}

void farewells_on_claim(struct farewells *fs)
{
	uint64_t now_us = clock_now_us();
	struct farewell *f, *next;

	for (f = TAILQ_FIRST(&fs->queue); f != NULL; f = next) {
		next = TAILQ_NEXT(f, age);
		if (f->sent_us != 0 && now_us - f->sent_us >= FAREWELL_ACK_US)
			drop(fs, f);
	}
}

void farewells_on_down(struct farewells *fs)
{
	struct farewell *f;

	TAILQ_FOREACH (f, &fs->queue, age)
		f->sent_us = 0;
}

const struct record_farewell *farewells_next(
	const struct farewells *fs, const struct record_farewell *after)
{
	struct farewell *f;

	if (after == NULL)
		f = TAILQ_FIRST(&fs->queue);
	else
		f = TAILQ_NEXT(TABLE_ENTRY(after, struct farewell, data), age);
	return f ? &f->data : NULL;
}
