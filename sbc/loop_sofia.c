/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sofia-sip's root waits in an epoll of its own and rounds its time-outs down,
 * so in the last millisecond before each of its timers it would spin. Here it
 * only ever does what is due (su_root_step(root, 0)); the waiting is ours, in
 * its epoll, to which our own descriptors are added (sofia_cures.h), with the
 * time-out rounded up. Our own timers are a heap beside it, in microseconds.
 *
 * A handle may be freed inside any callback: a freed descriptor handle stays
 * as a shell until the batch of events that may name it has been worked off.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/heap.h"
#include "sbc/loop_sofia.h"
#include "sbc/sofia_cures.h"

#define BATCH         64
#define FIRST_TIMERS  256
/* How late sofia's timers may be: retransmissions and ends of transactions. A
 * step that found something to do says 0 whatever is due next, and to look
 * again at once, each time, is a wake-up for nothing after every message. */
#define SOFIA_LATE_MS 10
/* Longest wait: a guard against arithmetic, not a rhythm. */
#define WAIT_MAX_US   (60 * CLOCK_US_PER_S)

struct loop_fd {
	struct sofia_loop *loop;
	int fd;
	unsigned wanted; /* LOOP_READ and LOOP_WRITE; 0 = not in the set */
	bool dead;
	loop_fd_fn fn;
	void *arg;
	struct loop_fd *next_dead;
};

struct loop_timer {
	struct sofia_loop *loop;
	uint64_t due_us;
	uint64_t order; /* of equal times: first set, first run */
	size_t place;   /* in the heap, from 1; 0 = not running */
	loop_timer_fn fn;
	void *arg;
};

struct sofia_loop {
	struct loop loop;
	su_root_t *root;
	int epoll_fd; /* the library's */
	bool in_batch;
	bool stop_wanted;
	struct loop_fd *dead;
	struct loop_timer **heap; /* from 1 */
	size_t n_running;
	size_t n_timers; /* made; the heap has room for all of them */
	size_t heap_size;
	uint64_t order;
};

static struct sofia_loop *self(struct loop *loop)
{
	return (struct sofia_loop *)loop;
}

su_root_t *loop_sofia_root(struct loop *loop)
{
	return self(loop)->root;
}

/* ------------------------------------------------------------ descriptors */

static uint32_t to_epoll(unsigned events)
{
	return (events & LOOP_READ ? EPOLLIN : 0u) |
	       (events & LOOP_WRITE ? EPOLLOUT : 0u);
}

/* A descriptor that nobody wants to hear of leaves the set: epoll would go on
 * reporting its hang-up. */
static int so_fd_set(struct loop_fd *h, unsigned events)
{
	struct epoll_event ev = {.events = to_epoll(events), .data.ptr = h};
	int op = h->wanted ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;

	if (events == h->wanted)
		return 0;
	if (!events)
		op = EPOLL_CTL_DEL;
	if (cures_epoll_ctl(h->loop->epoll_fd, op, h->fd, &ev) != 0)
		return ERR_NOMEM;
	h->wanted = events;
	return 0;
}

static int so_fd_add(struct loop *loop, int fd, unsigned events, loop_fd_fn fn,
	void *arg, struct loop_fd **fd_out)
{
	struct loop_fd *h = calloc(1, sizeof(*h));
	int err;

	if (!h)
		return ERR_NOMEM;
	h->loop = self(loop);
	h->fd = fd;
	h->fn = fn;
	h->arg = arg;
	err = so_fd_set(h, events);
	if (err != 0) {
		free(h);
		return err;
	}
	*fd_out = h;
	return 0;
}

static void so_fd_free(struct loop_fd *h)
{
	if (h->wanted)
		(void)cures_epoll_ctl(
			h->loop->epoll_fd, EPOLL_CTL_DEL, h->fd, NULL);
	if (!h->loop->in_batch) {
		free(h);
		return;
	}
	h->dead = true;
	h->next_dead = h->loop->dead;
	h->loop->dead = h;
}

static void bury(struct sofia_loop *l)
{
	while (l->dead) {
		struct loop_fd *h = l->dead;

		l->dead = h->next_dead;
		free(h);
	}
}

/* ----------------------------------------------------------------- timers */

static bool before(const struct loop_timer *a, const struct loop_timer *b)
{
	if (a->due_us != b->due_us)
		return a->due_us < b->due_us;
	return a->order < b->order;
}

static void put(struct sofia_loop *l, size_t place, struct loop_timer *t)
{
	l->heap[place] = t;
	t->place = place;
}

static void sift_up(struct sofia_loop *l, struct loop_timer *t)
{
	size_t i = t->place;

	while (i > 1 && before(t, l->heap[i / 2])) {
		put(l, i, l->heap[i / 2]);
		i /= 2;
	}
	put(l, i, t);
}

static void sift_down(struct sofia_loop *l, struct loop_timer *t)
{
	size_t i = t->place;

	for (;;) {
		size_t child = 2 * i;

		if (child > l->n_running)
			break;
		if (child < l->n_running &&
			before(l->heap[child + 1], l->heap[child]))
			child++;
		if (!before(l->heap[child], t))
			break;
		put(l, i, l->heap[child]);
		i = child;
	}
	put(l, i, t);
}

static void so_timer_stop(struct loop_timer *t)
{
	struct sofia_loop *l = t->loop;
	size_t place = t->place;
	struct loop_timer *last;

	if (place == 0)
		return;
	t->place = 0;
	last = l->heap[l->n_running--];
	if (last == t)
		return;
	put(l, place, last);
	sift_up(l, last);
	sift_down(l, last);
}

static void so_timer_set(struct loop_timer *t, uint64_t delay_us)
{
	struct sofia_loop *l = t->loop;
	uint64_t now = clock_now_us();

	so_timer_stop(t);
	t->due_us = delay_us > UINT64_MAX - now ? UINT64_MAX : now + delay_us;
	t->order = l->order++;
	put(l, ++l->n_running, t);
	sift_up(l, t);
}

static int so_timer_new(struct loop *loop, loop_timer_fn fn, void *arg,
	struct loop_timer **timer_out)
{
	struct sofia_loop *l = self(loop);
	struct loop_timer *t;

	if (l->n_timers + 2 > l->heap_size) {
		size_t size = l->heap_size * 2;
		struct loop_timer **heap =
			realloc(l->heap, size * sizeof(struct loop_timer *));

		if (!heap)
			return ERR_NOMEM;
		l->heap = heap;
		l->heap_size = size;
	}
	t = heap_lasting(sizeof(*t));
	if (!t)
		return ERR_NOMEM;
	t->loop = l;
	t->fn = fn;
	t->arg = arg;
	l->n_timers++;
	*timer_out = t;
	return 0;
}

static void so_timer_free(struct loop_timer *t)
{
	so_timer_stop(t);
	t->loop->n_timers--;
	free(t);
}

/* Runs what was due when it began; what a callback sets waits for the next
 * turn. */
static void run_timers(struct sofia_loop *l)
{
	uint64_t now = clock_now_us();
	uint64_t order = l->order;

	while (l->n_running > 0) {
		struct loop_timer *t = l->heap[1];

		if (t->due_us > now || t->order >= order)
			return;
		so_timer_stop(t);
		t->fn(t->arg);
	}
}

/* ------------------------------------------------------------------- turns */

/* Milliseconds to wait, rounded up. */
static int wait_ms(const struct sofia_loop *l, su_duration_t sofia_ms,
	uint64_t max_wait_us)
{
	uint64_t wait_us =
		max_wait_us < WAIT_MAX_US ? max_wait_us : WAIT_MAX_US;

	if (sofia_ms != SU_WAIT_FOREVER && sofia_ms >= 0 &&
		((uint64_t)sofia_ms + SOFIA_LATE_MS) * CLOCK_US_PER_MS <
			wait_us)
		wait_us =
			((uint64_t)sofia_ms + SOFIA_LATE_MS) * CLOCK_US_PER_MS;
	if (l->n_running > 0) {
		uint64_t due = l->heap[1]->due_us;
		uint64_t now = clock_now_us();

		if (due <= now)
			return 0;
		if (due - now < wait_us)
			wait_us = due - now;
	}
	return (int)((wait_us + CLOCK_US_PER_MS - 1) / CLOCK_US_PER_MS);
}

/* Lets the library do what is due: its timers, and each event that was kept
 * for it. @return milliseconds to its next timer, or 0. */
static su_duration_t ask_sofia(struct sofia_loop *l)
{
	su_duration_t ms;

	do {
		ms = su_root_step(l->root, 0);
		/* Whatever datagram it took has been dealt with. */
		cures_answer_is_ours();
	} while (cures_epoll_pending() && !l->stop_wanted);
	return ms;
}

int loop_sofia_step(struct loop *loop, uint64_t max_wait_us)
{
	struct sofia_loop *l = self(loop);
	struct epoll_event events[BATCH];
	su_duration_t sofia_ms = ask_sofia(l);
	int n;

	if (l->stop_wanted)
		max_wait_us = 0;
	n = cures_epoll_wait(
		l->epoll_fd, events, BATCH, wait_ms(l, sofia_ms, max_wait_us));
	if (n < 0)
		return errno == EINTR ? 0 : ERR_SYSTEM;
	l->in_batch = true;
	for (int i = 0; i < n; i++) {
		struct loop_fd *h = events[i].data.ptr;
		unsigned what = 0;

		if (h->dead)
			continue;
		if (events[i].events & EPOLLIN)
			what |= LOOP_READ;
		if (events[i].events & EPOLLOUT)
			what |= LOOP_WRITE;
		if (events[i].events & (EPOLLHUP | EPOLLERR))
			what |= LOOP_READ | LOOP_WRITE;
		what &= h->wanted;
		if (!what)
			continue;
		h->fn(h->arg, h->fd, what);
	}
	l->in_batch = false;
	bury(l);
	run_timers(l);
	return 0;
}

static int so_run(struct loop *loop)
{
	struct sofia_loop *l = self(loop);
	int err = 0;

	while (!l->stop_wanted && err == 0)
		err = loop_sofia_step(loop, WAIT_MAX_US);
	l->stop_wanted = false;
	return err;
}

static void so_stop(struct loop *loop)
{
	self(loop)->stop_wanted = true;
}

static void so_free(struct loop *loop)
{
	struct sofia_loop *l = self(loop);

	bury(l);
	if (l->root)
		su_root_destroy(l->root);
	cures_epoll_forget();
	free(l->heap);
	free(l);
}

static const struct loop_ops sofia_ops = {
	.fd_add = so_fd_add,
	.fd_set = so_fd_set,
	.fd_free = so_fd_free,
	.timer_new = so_timer_new,
	.timer_set = so_timer_set,
	.timer_stop = so_timer_stop,
	.timer_free = so_timer_free,
	.run = so_run,
	.stop = so_stop,
	.free = so_free,
};

int loop_sofia_new(struct loop **loop_out)
{
	struct sofia_loop *l = calloc(1, sizeof(*l));
	int err = ERR_NOMEM;

	if (!l)
		return ERR_NOMEM;
	l->loop.ops = &sofia_ops;
	l->epoll_fd = -1;
	l->heap_size = FIRST_TIMERS;
	l->heap = calloc(l->heap_size, sizeof(struct loop_timer *));
	if (!l->heap)
		goto failed;
	err = ERR_SYSTEM;
	cures_epoll_begin();
	l->root = su_root_create(NULL);
	l->epoll_fd = cures_epoll_end();
	if (!l->root || l->epoll_fd < 0)
		goto failed;
	*loop_out = &l->loop;
	return 0;
failed:
	so_free(&l->loop);
	return err;
}
