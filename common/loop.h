/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the shared modules need of an event loop, and no more, so that they run
 * on libevent (loop_event.c: authd, mediad, flowd, keeper, sbcctl) and on
 * sofia-sip's loop (sbc/loop_sofia.c) alike. One thread per loop. A callback
 * never runs before the function that armed it has returned.
 */
#ifndef COMMON_LOOP_H
#define COMMON_LOOP_H

#include <stdint.h>

#include "common/err.h"

enum loop_event {
	LOOP_READ = 1,
	LOOP_WRITE = 2,
};

struct loop;
struct loop_fd;
struct loop_timer;

typedef void (*loop_fd_fn)(void *arg, int fd, unsigned events);
typedef void (*loop_timer_fn)(void *arg);

/** A back end's functions; each handle struct belongs to the back end. */
struct loop_ops {
	int (*fd_add)(struct loop *loop, int fd, unsigned events, loop_fd_fn fn,
		void *arg, struct loop_fd **fd_out);
	int (*fd_set)(struct loop_fd *fd, unsigned events);
	void (*fd_free)(struct loop_fd *fd);
	int (*timer_new)(struct loop *loop, loop_timer_fn fn, void *arg,
		struct loop_timer **timer_out);
	void (*timer_set)(struct loop_timer *timer, uint64_t delay_us);
	void (*timer_stop)(struct loop_timer *timer);
	void (*timer_free)(struct loop_timer *timer);
	int (*run)(struct loop *loop);
	void (*stop)(struct loop *loop);
	void (*free)(struct loop *loop);
};

/** First member of every back end's own loop struct. */
struct loop {
	const struct loop_ops *ops;
};

/** Makes a loop on libevent. @return 0, or ERR_NOMEM. */
GH_MUST_CHECK int loop_event_new(struct loop **loop_out);

/** The same for who can live with timers that fire some milliseconds early or
 * late: it saves a system call per turn. */
GH_MUST_CHECK int loop_event_new_coarse(struct loop **loop_out);

/** Makes libevent's record of each descriptor below n_fds now, side by side.
 * It makes one when a number is first watched and keeps it for ever: made in a
 * flood, each would hold a page among what the flood leaves free. Does what
 * descriptors allow. For a loop of loop_event_new*(). */
void loop_event_warm(struct loop *loop, int n_fds);

/** Runs until loop_stop(). @return 0, or ERR_SYSTEM. */
GH_MUST_CHECK int loop_run(struct loop *loop);
/** May be called from a callback; loop_run() returns after it. */
void loop_stop(struct loop *loop);
void loop_free(struct loop **loop);

/** Watches fd, level-triggered. The fd stays the caller's; free the handle
 * before closing it. @param events LOOP_READ and LOOP_WRITE or'ed, or 0.
 * @return 0, or ERR_NOMEM. */
GH_MUST_CHECK int loop_fd_add(struct loop *loop, int fd, unsigned events,
	loop_fd_fn fn, void *arg, struct loop_fd **fd_out);
GH_MUST_CHECK int loop_fd_set(
	struct loop *loop, struct loop_fd *fd, unsigned events);
/** Safe on NULL, and inside the handle's own callback. */
void loop_fd_free(struct loop *loop, struct loop_fd **fd);

/** Makes a timer that is not running. @return 0, or ERR_NOMEM. */
GH_MUST_CHECK int loop_timer_new(struct loop *loop, loop_timer_fn fn, void *arg,
	struct loop_timer **timer_out);
/** Starts or restarts the timer; it fires once, after delay_us or later. */
void loop_timer_set(
	struct loop *loop, struct loop_timer *timer, uint64_t delay_us);
void loop_timer_stop(struct loop *loop, struct loop_timer *timer);
/** Safe on NULL, and inside the timer's own callback. */
void loop_timer_free(struct loop *loop, struct loop_timer **timer);

#endif
