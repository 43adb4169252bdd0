/* SPDX-License-Identifier: Apache-2.0 */
/* See fake_loop.h. Handles stand in lists; one that is freed while callbacks
 * run is marked and swept afterwards. */
#include "tests/unit/fake_loop.h"

#include <poll.h>
#include <stdlib.h>
#include <sys/queue.h>

#include "common/clock.h"

#define FDS_MAX 1024

struct loop_fd {
	LIST_ENTRY(loop_fd) next;
	int fd;
	unsigned events;
	loop_fd_fn fn;
	void *arg;
	bool gone;
};

struct loop_timer {
	LIST_ENTRY(loop_timer) next;
	struct fake_loop *loop;
	uint64_t at_us;
	uint64_t order; /* timers of one moment fire in the order of setting */
	bool set;
	bool gone;
	loop_timer_fn fn;
	void *arg;
};

struct fake_loop {
	struct loop loop;
	LIST_HEAD(, loop_fd) fds;
	LIST_HEAD(, loop_timer) timers;
	uint64_t order;
	bool stopped;
};

static uint64_t fake_now_us;

static uint64_t read_fake_clock(void)
{
	return fake_now_us;
}

static int fake_fd_add(struct loop *loop, int fd, unsigned events,
	loop_fd_fn fn, void *arg, struct loop_fd **fd_out)
{
	struct fake_loop *l = (struct fake_loop *)loop;
	struct loop_fd *h = calloc(1, sizeof(*h));

	if (!h)
		return ERR_NOMEM;
	h->fd = fd;
	h->events = events;
	h->fn = fn;
	h->arg = arg;
	LIST_INSERT_HEAD(&l->fds, h, next);
	*fd_out = h;
	return 0;
}

static int fake_fd_set(struct loop_fd *h, unsigned events)
{
	h->events = events;
	return 0;
}

static void fake_fd_free(struct loop_fd *h)
{
	h->gone = true;
}

static int fake_timer_new(struct loop *loop, loop_timer_fn fn, void *arg,
	struct loop_timer **timer_out)
{
	struct loop_timer *t = calloc(1, sizeof(*t));

	if (!t)
		return ERR_NOMEM;
	t->loop = (struct fake_loop *)loop;
	t->fn = fn;
	t->arg = arg;
	LIST_INSERT_HEAD(&t->loop->timers, t, next);
	*timer_out = t;
	return 0;
}

static void fake_timer_set(struct loop_timer *t, uint64_t delay_us)
{
	t->at_us = fake_now_us + delay_us;
	t->order = ++t->loop->order;
	t->set = true;
}

static void fake_timer_stop(struct loop_timer *t)
{
	t->set = false;
}

static void fake_timer_free(struct loop_timer *t)
{
	t->set = false;
	t->gone = true;
}

static void sweep(struct fake_loop *l)
{
	struct loop_fd *h, *next_h;
	struct loop_timer *t, *next_t;

	for (h = LIST_FIRST(&l->fds); h; h = next_h) {
		next_h = LIST_NEXT(h, next);
		if (h->gone) {
			LIST_REMOVE(h, next);
			free(h);
		}
	}
	for (t = LIST_FIRST(&l->timers); t; t = next_t) {
		next_t = LIST_NEXT(t, next);
		if (t->gone) {
			LIST_REMOVE(t, next);
			free(t);
		}
	}
}

/* Calls back for everything that is ready. @return whether anything was. */
static bool poll_fds(struct fake_loop *l)
{
	struct pollfd p[FDS_MAX];
	struct loop_fd *handles[FDS_MAX], *h;
	unsigned i, n = 0;
	bool any = false;

	LIST_FOREACH (h, &l->fds, next) {
		if (h->gone || !h->events || n == FDS_MAX)
			continue;
		p[n].fd = h->fd;
		p[n].events = (short)((h->events & LOOP_READ ? POLLIN : 0) |
				      (h->events & LOOP_WRITE ? POLLOUT : 0));
		handles[n++] = h;
	}
	if (poll(p, n, 0) <= 0)
		return false;
	for (i = 0; i < n && !l->stopped; i++) {
		unsigned events = 0;

		h = handles[i];
		if (p[i].revents & (POLLIN | POLLHUP | POLLERR))
			events |= LOOP_READ;
		if (p[i].revents & (POLLOUT | POLLHUP | POLLERR))
			events |= LOOP_WRITE;
		events &= h->events;
		if (h->gone || !events)
			continue;
		any = true;
		h->fn(h->arg, h->fd, events);
	}
	return any;
}

static struct loop_timer *next_timer(struct fake_loop *l)
{
	struct loop_timer *t, *best = NULL;

	LIST_FOREACH (t, &l->timers, next) {
		if (!t->set)
			continue;
		if (!best || t->at_us < best->at_us ||
			(t->at_us == best->at_us && t->order < best->order))
			best = t;
	}
	return best;
}

/* Lets the next thing happen, if it does before end_us. */
static bool step(struct fake_loop *l, uint64_t end_us)
{
	struct loop_timer *t;

	sweep(l);
	if (poll_fds(l))
		return true;
	if (l->stopped)
		return false;
	t = next_timer(l);
	if (!t || t->at_us > end_us)
		return false;
	if (t->at_us > fake_now_us)
		fake_now_us = t->at_us;
	t->set = false;
	t->fn(t->arg);
	return true;
}

static int fake_run(struct loop *loop)
{
	struct fake_loop *l = (struct fake_loop *)loop;

	while (!l->stopped && step(l, UINT64_MAX))
		;
	l->stopped = false;
	return 0;
}

static void fake_stop(struct loop *loop)
{
	((struct fake_loop *)loop)->stopped = true;
}

static void fake_free(struct loop *loop)
{
	struct fake_loop *l = (struct fake_loop *)loop;

	sweep(l);
	clock_set_source(NULL, NULL);
	/* Handles that are left are their owner's leak: the checker shows
	 * them. */
	free(l);
}

static const struct loop_ops fake_ops = {
	.fd_add = fake_fd_add,
	.fd_set = fake_fd_set,
	.fd_free = fake_fd_free,
	.timer_new = fake_timer_new,
	.timer_set = fake_timer_set,
	.timer_stop = fake_timer_stop,
	.timer_free = fake_timer_free,
	.run = fake_run,
	.stop = fake_stop,
	.free = fake_free,
};

int fake_loop_new(struct loop **loop_out)
{
	struct fake_loop *l = calloc(1, sizeof(*l));

	if (!l)
		return ERR_NOMEM;
	l->loop.ops = &fake_ops;
	fake_now_us = 1000 * CLOCK_US_PER_S;
	clock_set_source(read_fake_clock, NULL);
	*loop_out = &l->loop;
	return 0;
}

bool fake_loop_until(
	struct loop *loop, bool (*done)(void *arg), void *arg, uint64_t max_us)
{
	struct fake_loop *l = (struct fake_loop *)loop;
	uint64_t end_us = fake_now_us + max_us;

	while (!done(arg) && !l->stopped && step(l, end_us))
		;
	l->stopped = false;
	return done(arg);
}

void fake_loop_pass(struct loop *loop, uint64_t us)
{
	struct fake_loop *l = (struct fake_loop *)loop;
	uint64_t end_us = fake_now_us + us;

	while (!l->stopped && step(l, end_us))
		;
	l->stopped = false;
	if (fake_now_us < end_us)
		fake_now_us = end_us;
}
