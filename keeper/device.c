/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What rtnetlink says is not read, only that it says something: then every row
 * is looked at by name. So a lost message costs nothing as long as another
 * follows, and ENOBUFS counts as one. See device.h.
 */
#include "keeper/device.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/log.h"

#define READ_BATCH 64

/* @return how many were moved. */
static size_t move_all(
	struct devices *d, const struct device_row *row, unsigned to)
{
	struct fdstore_entry *e;
	struct listener *s;
	size_t n = 0, failed = 0;
	int why = 0;

	TAILQ_FOREACH (s, &d->listeners->held, next) {
		if (s->fd < 0 || strcmp(s->device, row->name) ||
			device_index(s->fd) == to)
			continue;
		if (device_bind_index(s->fd, to) == 0)
			n++;
		else if (++failed)
			why = errno;
	}
	for (int p = 0; row->index != 0 && p < PROCESS_COUNT; p++) {
		TAILQ_FOREACH (e, &d->store->owners[p].entries, next) {
			for (size_t i = 0; i < e->n_fds; i++) {
				if (device_index(e->fds[i]) != row->index)
					continue;
				if (device_bind_index(e->fds[i], to) == 0)
					n++;
				else if (++failed)
					why = errno;
			}
		}
	}
	if (failed)
		log_err("device_bind", LOG_STR("device", row->name),
			LOG_UINT("sockets", failed), LOG_ERRNO(why));
	return n;
}

static void look_at(struct devices *d, struct device_row *row)
{
	unsigned now = device_find(row->name);
	size_t n;

	if (now == 0) {
		if (!row->gone)
			log_warning(
				"device_gone", LOG_STR("device", row->name));
		row->gone = true;
		return;
	}
	if (now == row->index && !row->gone)
		return;
	n = now == row->index ? 0 : move_all(d, row, now);
	if (row->gone || n > 0)
		log_notice("device_back", LOG_STR("device", row->name),
			LOG_UINT("sockets", n));
	row->index = now;
	row->gone = false;
}

static void look(struct devices *d)
{
	for (size_t i = 0; i < d->n; i++)
		look_at(d, &d->rows[i]);
}

static void on_change(void *arg, int fd, unsigned events)
{
	struct devices *d = arg;
	char ignored[64]; /* the rest of a message is cut off */
	bool any = false;

	(void)events;
	for (int i = 0; i < READ_BATCH; i++) {
		if (recv(fd, ignored, sizeof(ignored), MSG_DONTWAIT) < 0 &&
			errno != ENOBUFS)
			break;
		any = true;
	}
	if (any)
		look(d);
}

static struct device_row *row_of(struct devices *d, const char *name)
{
	for (size_t i = 0; i < d->n; i++) {
		if (!strcmp(d->rows[i].name, name))
			return &d->rows[i];
	}
	if (d->n == DEVICES_MAX) {
		if (!d->told_full)
			log_warning("devices_full", LOG_STR("device", name));
		d->told_full = true;
		return NULL;
	}
	d->rows[d->n] = (struct device_row){0};
	(void)!device_name_copy(name, d->rows[d->n].name);
	return &d->rows[d->n++];
}

void devices_note(struct devices *d, int fd, const char *name)
{
	const unsigned index = device_index(fd);
	char found[DEVICE_NAME_SIZE];
	struct device_row *row;

	if (!name[0]) {
		for (size_t i = 0; index != 0 && i < d->n; i++) {
			if (d->rows[i].index == index)
				return;
		}
		if (!device_name(index, found))
			return;
		name = found;
	}
	row = row_of(d, name);
	if (!row)
		return;
	/* The first of this device says where the others are. */
	if (row->index == 0 && index == device_find(row->name))
		row->index = index;
	look_at(d, row);
}

int devices_open(struct devices *d, struct loop *loop,
	struct listeners *listeners, struct fdstore *store)
{
	struct sockaddr_nl sa = {
		.nl_family = AF_NETLINK, .nl_groups = RTMGRP_LINK};

	d->loop = loop;
	d->listeners = listeners;
	d->store = store;
	d->fd = socket(AF_NETLINK, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC,
		NETLINK_ROUTE);
	if (d->fd < 0 || bind(d->fd, (struct sockaddr *)&sa, sizeof(sa)) ||
		loop_fd_add(loop, d->fd, LOOP_READ, on_change, d, &d->watch))
		return ERR_SYSTEM;
	look(d);
	return 0;
}

void devices_close(struct devices *d)
{
	if (d->loop)
		loop_fd_free(d->loop, &d->watch);
	if (d->fd >= 0)
		close(d->fd);
	d->fd = -1;
}
