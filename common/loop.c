/* SPDX-License-Identifier: Apache-2.0 */
/* Hands each call to the loop's back end (loop.h); clears the caller's handle
 * where it is freed, so that a stale one shows as NULL. */
#include "common/loop.h"

#include <stddef.h>

int loop_run(struct loop *loop)
{
	return loop->ops->run(loop);
}

void loop_stop(struct loop *loop)
{
	loop->ops->stop(loop);
}

void loop_free(struct loop **loop)
{
	struct loop *gone = *loop;

	*loop = NULL;
	if (gone)
		gone->ops->free(gone);
}

int loop_fd_add(struct loop *loop, int fd, unsigned events, loop_fd_fn fn,
	void *arg, struct loop_fd **fd_out)
{
	return loop->ops->fd_add(loop, fd, events, fn, arg, fd_out);
}

int loop_fd_set(struct loop *loop, struct loop_fd *fd, unsigned events)
{
	return loop->ops->fd_set(fd, events);
}

void loop_fd_free(struct loop *loop, struct loop_fd **fd)
{
	struct loop_fd *gone = *fd;

	*fd = NULL;
	if (gone)
		loop->ops->fd_free(gone);
}

int loop_timer_new(struct loop *loop, loop_timer_fn fn, void *arg,
	struct loop_timer **timer_out)
{
	return loop->ops->timer_new(loop, fn, arg, timer_out);
}

void loop_timer_set(
	struct loop *loop, struct loop_timer *timer, uint64_t delay_us)
{
	loop->ops->timer_set(timer, delay_us);
}

void loop_timer_stop(struct loop *loop, struct loop_timer *timer)
{
	loop->ops->timer_stop(timer);
}

void loop_timer_free(struct loop *loop, struct loop_timer **timer)
{
	struct loop_timer *gone = *timer;

	*timer = NULL;
	if (gone)
		loop->ops->timer_free(gone);
}
