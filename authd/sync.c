/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fdatasync(2) that does not stop the loop; see sync.h. The system calls of
 * kernel AIO have no wrapper in libc, and libaio would be one more library for
 * four calls.
 */
#include "authd/sync.h"

#include <errno.h>
#include <linux/aio_abi.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/log.h"

struct sync_slot {
	struct iocb iocb;
	sync_fn fn; /* NULL = free */
	void *ctx;
	bool finished; /* by a blocking flush */
	int err;
};

struct sync {
	struct loop *loop;
	struct loop_fd *watch;
	aio_context_t aio; /* 0 = the kernel has none */
	int event_fd;
	struct sync_slot slots[SYNC_MAX];
};

static void run_slot(struct sync_slot *slot, int err)
{
	sync_fn fn = slot->fn;

	slot->fn = NULL;
	slot->finished = false;
	fn(slot->ctx, err);
}

static void on_event(void *arg, int fd, unsigned events)
{
	struct sync *s = arg;
	struct io_event done[SYNC_MAX];
	uint64_t n_events;
	long n = 0;

	(void)events;
	if (read(fd, &n_events, sizeof(n_events)) < 0 && errno != EAGAIN)
		log_err("sync_event", LOG_ERRNO(errno));
	if (s->aio) {
		struct timespec none = {0};

		n = syscall(SYS_io_getevents, s->aio, 0L, (long)SYNC_MAX, done,
			&none);
	}
	for (long i = 0; i < n; i++) {
		struct sync_slot *slot = &s->slots[done[i].data];

		if (done[i].res < 0)
			errno = (int)-done[i].res;
		run_slot(slot, done[i].res < 0 ? ERR_SYSTEM : 0);
	}
	for (size_t i = 0; i < SYNC_MAX; i++) {
		if (s->slots[i].fn && s->slots[i].finished)
			run_slot(&s->slots[i], s->slots[i].err);
	}
}

int sync_new(struct loop *loop, struct sync **sync_out)
{
	struct sync *s = calloc(1, sizeof(*s));
	int err = ERR_SYSTEM;

	if (!s)
		return ERR_NOMEM;
	s->loop = loop;
	s->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (s->event_fd < 0)
		goto fail;
	err = loop_fd_add(loop, s->event_fd, LOOP_READ, on_event, s, &s->watch);
	if (err < 0)
		goto fail;
	if (syscall(SYS_io_setup, SYNC_MAX, &s->aio) < 0) {
		log_notice("sync_blocks", LOG_ERRNO(errno));
		s->aio = 0;
	}
	*sync_out = s;
	return 0;
fail:
	sync_free(&s);
	return err;
}

void sync_free(struct sync **sync)
{
	struct sync *s = *sync;

	*sync = NULL;
	if (!s)
		return;
	if (s->aio) /* waits for what is under way */
		syscall(SYS_io_destroy, s->aio);
	loop_fd_free(s->loop, &s->watch);
	if (s->event_fd >= 0)
		close(s->event_fd);
	free(s);
}

static void flush_here(struct sync *s, struct sync_slot *slot, int fd)
{
	uint64_t one = 1;

	slot->err = fdatasync(fd) < 0 ? ERR_SYSTEM : 0;
	slot->finished = true;
	if (write(s->event_fd, &one, sizeof(one)) < 0)
		log_err("sync_event", LOG_ERRNO(errno));
}

int sync_file(struct sync *s, int fd, sync_fn fn, void *ctx)
{
	struct iocb *list;
	size_t i;

	for (i = 0; i < SYNC_MAX && s->slots[i].fn; i++)
		;
	if (i == SYNC_MAX)
		return ERR_FULL;
	struct sync_slot *slot = &s->slots[i];

	slot->fn = fn;
	slot->ctx = ctx;
	memset(&slot->iocb, 0, sizeof(slot->iocb));
	slot->iocb.aio_data = i;
	slot->iocb.aio_lio_opcode = IOCB_CMD_FDSYNC;
	slot->iocb.aio_fildes = (uint32_t)fd;
	slot->iocb.aio_flags = IOCB_FLAG_RESFD;
	slot->iocb.aio_resfd = (uint32_t)s->event_fd;
	list = &slot->iocb;
	if (!s->aio || syscall(SYS_io_submit, s->aio, 1L, &list) != 1)
		flush_here(s, slot, fd);
	return 0;
}
