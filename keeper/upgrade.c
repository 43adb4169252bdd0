/* SPDX-License-Identifier: Apache-2.0 */
#include "keeper/upgrade.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"
#include "common/notify.h"

void upgrade_close(struct upgrade *u)
{
	if (u->fd < 0)
		return;
	if (u->child)
		child_renew_stop(u->child);
	u->child = NULL;
	loop_fd_free(u->loop, &u->watch);
	close(u->fd);
	u->fd = -1;
}

/* A few short lines: who does not read them loses the connection. */
static void answer(struct upgrade *u, const char *daemon, const char *state)
{
	char text[64];

	snprintf(text, sizeof(text), "DAEMON=%s\nSTATE=%s\n", daemon, state);
	if (notify_send_fds(u->fd, text, NULL, 0))
		upgrade_close(u);
}

static void on_word(struct upgrade *u, const char *name)
{
	enum process p;
	struct child *c = NULL;
	bool retires;

	if (process_from_name(name, &p)) {
		answer(u, "none", "refused");
		return;
	}
	if (p == PROCESS_KEEPER) {
		answer(u, name, u->supervised ? "ending" : "alone");
		if (u->supervised)
			u->on_leave(u->ctx);
		return;
	}
	c = children_by_process(u->children, p);
	retires = p == PROCESS_FLOWD;
	if (u->child || !c || child_renew(c, retires)) {
		log_warning("upgrade_refused", LOG_STR("daemon", name),
			LOG_ERRNO(errno));
		answer(u, name, "refused");
		return;
	}
	u->child = c;
	if (retires)
		answer(u, name, "waiting");
}

static void on_readable(void *arg, int fd, unsigned events)
{
	struct upgrade *u = arg;
	char text[NOTIFY_TEXT_MAX + 1], name[16];
	int fds[NOTIFY_FDS_MAX], rc;
	size_t n_fds = 0;

	(void)events;
	rc = notify_recv_fds(fd, text, fds, &n_fds);
	if (rc == ERR_AGAIN)
		return;
	for (size_t i = 0; i < n_fds; i++)
		close(fds[i]);
	if (rc < 0 ||
		notify_word(text, (size_t)rc, "UPGRADE", name, sizeof(name)))
		upgrade_close(u);
	else
		on_word(u, name);
}

void upgrade_accept(struct upgrade *u, int fd)
{
	if (u->fd >= 0 || loop_fd_add(u->loop, fd, LOOP_READ, on_readable, u,
				  &u->watch)) {
		close(fd);
		return;
	}
	u->fd = fd;
}

void upgrade_on_renewed(struct upgrade *u, struct child *c, bool runs)
{
	if (u->child != c)
		return;
	u->child = NULL;
	answer(u, process_name(c->plan.process),
		runs ? "renewed" : "rolled_back");
}
