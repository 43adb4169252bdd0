/* SPDX-License-Identifier: Apache-2.0 */
/*
 * loop.h on libevent. A handle may be freed inside its own callback: libevent
 * does not touch an event after it has called back, and the functions here
 * copy what they need before they do.
 */
#include <event2/event.h>
#include <event2/event_struct.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/loop.h"

/* libevent's own limits are far above; a day is longer than any of ours. */
#define MAX_DELAY_US (366ULL * 86400 * CLOCK_US_PER_S)

struct event_loop {
	struct loop loop;
	struct event_base *base;
	int stop_wanted; /* also before run */
};

struct loop_fd {
	struct event *event; /* NULL while no event is wanted */
	struct event_base *base;
	int fd;
	loop_fd_fn fn;
	void *arg;
};

struct loop_timer {
	struct event *event;
	loop_timer_fn fn;
	void *arg;
};

static struct event_loop *self(struct loop *loop)
{
	return (struct event_loop *)loop;
}

static void on_fd(evutil_socket_t fd, short what, void *arg)
{
	struct loop_fd *h = arg;
	unsigned events = 0;

	if (what & EV_READ)
		events |= LOOP_READ;
	if (what & EV_WRITE)
		events |= LOOP_WRITE;
	h->fn(h->arg, fd, events);
}

static int ev_fd_set(struct loop_fd *h, unsigned events)
{
	short what = EV_PERSIST;

	(void)event_del(h->event);
	if (!events)
		return 0;
	if (events & LOOP_READ)
		what |= EV_READ;
	if (events & LOOP_WRITE)
		what |= EV_WRITE;
	if (event_assign(h->event, h->base, h->fd, what, on_fd, h) ||
		event_add(h->event, NULL))
		return ERR_NOMEM;
	return 0;
}

static void ev_fd_free(struct loop_fd *h)
{
	event_free(h->event);
	free(h);
}

static int ev_fd_add(struct loop *loop, int fd, unsigned events, loop_fd_fn fn,
	void *arg, struct loop_fd **fd_out)
{
	struct loop_fd *h = calloc(1, sizeof(*h));

	if (!h)
		return ERR_NOMEM;
	h->base = self(loop)->base;
	h->fd = fd;
	h->fn = fn;
	h->arg = arg;
	h->event = event_new(h->base, fd, EV_PERSIST | EV_READ, on_fd, h);
	if (!h->event) {
		free(h);
		return ERR_NOMEM;
	}
	if (ev_fd_set(h, events)) {
		ev_fd_free(h);
		return ERR_NOMEM;
	}
	*fd_out = h;
	return 0;
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct loop_timer *t = arg;

	(void)fd;
	(void)what;
	t->fn(t->arg);
}

static int ev_timer_new(struct loop *loop, loop_timer_fn fn, void *arg,
	struct loop_timer **timer_out)
{
	struct loop_timer *t = calloc(1, sizeof(*t));

	if (!t)
		return ERR_NOMEM;
	t->fn = fn;
	t->arg = arg;
	t->event = evtimer_new(self(loop)->base, on_timer, t);
	if (!t->event) {
		free(t);
		return ERR_NOMEM;
	}
	*timer_out = t;
	return 0;
}

static void ev_timer_set(struct loop_timer *t, uint64_t delay_us)
{
	struct timeval tv;

	if (delay_us > MAX_DELAY_US)
		delay_us = MAX_DELAY_US;
	tv.tv_sec = (time_t)(delay_us / CLOCK_US_PER_S);
	tv.tv_usec = (suseconds_t)(delay_us % CLOCK_US_PER_S);
	/* Can fail only where memory for the heap is short, and the heap grew
	 * when the timer was first set; a lost timer would hang its owner. */
	if (evtimer_add(t->event, &tv))
		abort();
}

static void ev_timer_stop(struct loop_timer *t)
{
	(void)evtimer_del(t->event);
}

static void ev_timer_free(struct loop_timer *t)
{
	event_free(t->event);
	free(t);
}

static int ev_run(struct loop *loop)
{
	struct event_loop *l = self(loop);
	int rc = 0;

	while (!l->stop_wanted) {
		if (event_base_loop(l->base, EVLOOP_NO_EXIT_ON_EMPTY) < 0) {
			rc = ERR_SYSTEM;
			break;
		}
	}
	l->stop_wanted = 0;
	return rc;
}

static void ev_stop(struct loop *loop)
{
	self(loop)->stop_wanted = 1;
	(void)event_base_loopbreak(self(loop)->base);
}

static void ev_free(struct loop *loop)
{
	event_base_free(self(loop)->base);
	free(self(loop));
}

static const struct loop_ops event_ops = {
	.fd_add = ev_fd_add,
	.fd_set = ev_fd_set,
	.fd_free = ev_fd_free,
	.timer_new = ev_timer_new,
	.timer_set = ev_timer_set,
	.timer_stop = ev_timer_stop,
	.timer_free = ev_timer_free,
	.run = ev_run,
	.stop = ev_stop,
	.free = ev_free,
};

static int make(int more_flags, struct loop **loop_out)
{
	struct event_loop *l = calloc(1, sizeof(*l));
	struct event_config *config = event_config_new();
	int flags = EVENT_BASE_FLAG_NOLOCK | EVENT_BASE_FLAG_IGNORE_ENV |
		    EVENT_BASE_FLAG_NO_CACHE_TIME | more_flags;

	if (l && config && !event_config_set_flag(config, flags))
		l->base = event_base_new_with_config(config);
	if (config)
		event_config_free(config);
	if (!l || !l->base) {
		free(l);
		return ERR_NOMEM;
	}
	l->loop.ops = &event_ops;
	*loop_out = &l->loop;
	return 0;
}

int loop_event_new(struct loop **loop_out)
{
	/* No cached and no coarse time: a timer never fires early by
	 * clock_now_us(). */
	return make(EVENT_BASE_FLAG_PRECISE_TIMER, loop_out);
}

int loop_event_new_coarse(struct loop **loop_out)
{
	return make(0, loop_out);
}

static void on_nothing(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
}

void loop_event_warm(struct loop *loop, int n_fds)
{
	struct event_loop *l = (struct event_loop *)loop;
	int *fds = calloc((size_t)n_fds, sizeof(*fds));
	int first = eventfd(0, EFD_CLOEXEC), n = 0, fd = first;
	struct event e;

	while (fds && fd >= 0 && fd < n_fds) {
		fds[n++] = fd;
		if (!event_assign(&e, l->base, fd, EV_READ, on_nothing, NULL) &&
			!event_add(&e, NULL))
			(void)event_del(&e);
		fd = fcntl(first, F_DUPFD_CLOEXEC, 0);
	}
	if (fd >= 0)
		(void)close(fd);
	while (n > 0)
		(void)close(fds[--n]);
	free(fds);
}
