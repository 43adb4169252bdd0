/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The queue of answers that are held back; see throttle.h. The delay is the
 * same for all, so the queue is in order of time but for those that waited for
 * the database. Called by ask.
 */
#include "authd/throttle.h"

#include <stdlib.h>
#include <sys/queue.h>

#include "common/clock.h"

struct held_back {
	TAILQ_ENTRY(held_back) order;
	uint64_t due_us;
	void *item;
};

struct throttle {
	struct loop *loop;
	struct loop_timer *timer;
	throttle_fn fn;
	void *ctx;
	TAILQ_HEAD(held_back_list, held_back) queue;
	size_t n;
};

static void on_timer(void *arg)
{
	struct throttle *t = arg;
	struct held_back *h;
	uint64_t now;

	while ((h = TAILQ_FIRST(&t->queue))) {
		now = clock_now_us();
		if (h->due_us > now) {
			loop_timer_set(t->loop, t->timer, h->due_us - now);
			return;
		}
		TAILQ_REMOVE(&t->queue, h, order);
		t->n--;
		t->fn(t->ctx, h->item, false);
		free(h);
	}
}

int throttle_new(struct loop *loop, throttle_fn fn, void *ctx,
	struct throttle **throttle_out)
{
	struct throttle *t = calloc(1, sizeof(*t));
	int err;

	if (!t)
		return ERR_NOMEM;
	t->loop = loop;
	t->fn = fn;
	t->ctx = ctx;
	TAILQ_INIT(&t->queue);
	err = loop_timer_new(loop, on_timer, t, &t->timer);
	if (err < 0) {
		free(t);
		return err;
	}
	*throttle_out = t;
	return 0;
}

void throttle_free(struct throttle **throttle)
{
	struct throttle *t = *throttle;
	struct held_back *h;

	*throttle = NULL;
	if (!t)
		return;
	while ((h = TAILQ_FIRST(&t->queue))) {
		TAILQ_REMOVE(&t->queue, h, order);
		t->fn(t->ctx, h->item, true);
		free(h);
	}
	loop_timer_free(t->loop, &t->timer);
	free(t);
}

int throttle_hold(struct throttle *t, void *item, uint64_t arrived_us)
{
	uint64_t now = clock_now_us();
	struct held_back *h, *at;

	if (t->n >= THROTTLE_MAX)
		return ERR_FULL;
	h = calloc(1, sizeof(*h));
	if (!h)
		return ERR_NOMEM;
	h->item = item;
	h->due_us = arrived_us + THROTTLE_DELAY_US;
	TAILQ_FOREACH_REVERSE(at, &t->queue, held_back_list, order)
	if (at->due_us <= h->due_us)
		break;
	if (at)
		TAILQ_INSERT_AFTER(&t->queue, at, h, order);
	else
		TAILQ_INSERT_HEAD(&t->queue, h, order);
	t->n++;
	h = TAILQ_FIRST(&t->queue);
	loop_timer_set(
		t->loop, t->timer, h->due_us > now ? h->due_us - now : 0);
	return 0;
}

void throttle_drop(struct throttle *t,
	bool (*match)(const void *item, const void *what), const void *what)
{
	struct held_back *h, *next;

	for (h = TAILQ_FIRST(&t->queue); h; h = next) {
		next = TAILQ_NEXT(h, order);
		if (!match(h->item, what))
			continue;
		TAILQ_REMOVE(&t->queue, h, order);
		t->n--;
		t->fn(t->ctx, h->item, true);
		free(h);
	}
}
