/* SPDX-License-Identifier: Apache-2.0 */
/* See media_world.h. */
#include "media_world.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/log.h"
#include "common/notify.h"

/* ------------------------------------------------------- mediad, a process */

struct mediad {
	struct daemon daemon;
	struct ctl *ctl;
	bool keeper_heard;
};

static void on_keeper_fd(void *ctx, const char *name, int fd)
{
	struct mediad *m = ctx;

	ctl_on_keeper_fd(m->ctl, name, fd);
}

static void on_keeper_up(void *ctx)
{
	struct mediad *m = ctx;

	ctl_on_keeper_up(m->ctl, m->daemon.keeper);
	if (!m->keeper_heard)
		loop_stop(m->daemon.loop);
	m->keeper_heard = true;
}

static void on_stop(void *arg, int fd, unsigned events)
{
	struct mediad *m = arg;

	(void)fd;
	(void)events;
	loop_stop(m->daemon.loop);
}

/* The order of mediad/main.c. */
static _Noreturn void be_mediad(const struct media_world *w, int stop_fd)
{
	static const struct notify_events events = {
		.on_fd = on_keeper_fd, .on_up = on_keeper_up};
	static struct mediad m;
	struct ctl_config config = {.daemon = &m.daemon,
		.n_workers = 2,
		.capacity = MEDIA_WORLD_CALLS};
	struct loop_fd *watch = NULL;

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	/* Nothing of the test's, above all no copy of a media socket. */
	if (dup2(stop_fd, 3) < 0 || close_range(4, ~0u, 0) < 0)
		_exit(90);
	log_open("mediad", LOG_LEVEL_ERR);
	m.daemon.self = PROCESS_MEDIAD;
	process_users_all(&m.daemon.users, getuid());
	if (loop_event_new(&m.daemon.loop) ||
		loop_fd_add(m.daemon.loop, 3, LOOP_READ, on_stop, &m, &watch) ||
		ctl_new(&config, &m.ctl) ||
		notify_new(m.daemon.loop, w->keeper_path, PROCESS_MEDIAD,
			&events, &m, &m.daemon.keeper) ||
		loop_run(m.daemon.loop) || ctl_resume(m.ctl) ||
		ctl_listen(m.ctl, w->path) || ctl_start(m.ctl))
		_exit(91);
	notify_ready(m.daemon.keeper);
	if (loop_run(m.daemon.loop))
		_exit(92);
	ctl_free(&m.ctl);
	notify_free(&m.daemon.keeper);
	_exit(0);
}

void media_world_start(struct media_world *w)
{
	int fds[2];

	ck_assert_int_eq(w->pid, 0);
	w->ups_before = w->rig.n_ups;
	ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
	w->pid = fork();
	ck_assert_int_ge(w->pid, 0);
	if (w->pid == 0)
		be_mediad(w, fds[0]);
	close(fds[0]);
	w->stop_fd = fds[1];
}

void media_world_kill(struct media_world *w)
{
	int status;

	ck_assert_int_gt(w->pid, 0);
	ck_assert_int_eq(kill(w->pid, SIGKILL), 0);
	ck_assert_int_eq(waitpid(w->pid, &status, 0), w->pid);
	/* It had not died by itself. */
	ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	close(w->stop_fd);
	w->pid = 0;
}

struct ending {
	struct media_world *w;
	int status;
};

static bool is_gone(struct rig *r, void *arg)
{
	struct ending *e = arg;

	(void)r;
	return waitpid(e->w->pid, &e->status, WNOHANG) == e->w->pid;
}

void media_world_stop(struct media_world *w)
{
	struct ending e = {.w = w};

	close(w->stop_fd);
	rig_until(&w->rig, is_gone, &e);
	ck_assert(WIFEXITED(e.status));
	ck_assert_int_eq(WEXITSTATUS(e.status), 0);
	w->pid = 0;
}

/* ------------------------------------------------------------------ keeper */

static void link_close(struct media_world *w)
{
	loop_fd_free(w->rig.daemon.loop, &w->link_watch);
	if (w->link_fd >= 0)
		close(w->link_fd);
	w->link_fd = -1;
}

/* mediad reads by itself; @return whether it lives. */
static bool send_packet(
	struct media_world *w, const char *text, const int *fds, size_t n_fds)
{
	struct pollfd p = {.fd = w->link_fd, .events = POLLOUT};
	int rc;

	while ((rc = notify_send_fds(w->link_fd, text, fds, n_fds)) ==
		ERR_AGAIN)
		(void)poll(&p, 1, 10);
	return rc == 0;
}

static void give_back(struct media_world *w)
{
	const struct fdstore_entry *e;
	char text[NOTIFY_FDNAME_MAX + 16];

	fdstore_rewind(&w->store, PROCESS_MEDIAD);
	while ((e = fdstore_peek(&w->store, PROCESS_MEDIAD)) != NULL) {
		(void)snprintf(text, sizeof(text), "FDNAME=%s\n", e->name);
		if (!send_packet(w, text, e->fds, e->n_fds))
			return;
		fdstore_given(&w->store, PROCESS_MEDIAD);
	}
	(void)send_packet(w, "FDSDONE=1\n", NULL, 0);
}

static void take_packet(struct media_world *w, const char *text, size_t len,
	int *fds, size_t n_fds)
{
	char name[NOTIFY_FDNAME_MAX], value[NOTIFY_LINE_MAX];

	if (notify_word(text, len, "FDNAME", name, sizeof(name)))
		name[0] = '\0';
	if (notify_word(text, len, "FDSTORE", value, sizeof(value)) == 0) {
		if (w->full && strncmp(name, "call/", 5) == 0) {
			for (size_t i = 0; i < n_fds; i++)
				close(fds[i]);
			return;
		}
		ck_assert_uint_gt(n_fds, 0);
		ck_assert_int_eq(fdstore_put(&w->store, PROCESS_MEDIAD, name,
					 fds, n_fds),
			0);
		return;
	}
	ck_assert_uint_eq(n_fds, 0);
	if (notify_word(text, len, "FDSTOREREMOVE", value, sizeof(value)) == 0)
		ck_assert_msg(
			fdstore_remove(&w->store, PROCESS_MEDIAD, name) == 0 ||
				w->full,
			"%s", name);
	else if (notify_word(text, len, "NAME", value, sizeof(value)) == 0)
		give_back(w);
	else if (notify_word(text, len, "READY", value, sizeof(value)) == 0)
		w->n_ready++;
}

static void on_link(void *arg, int fd, unsigned events)
{
	struct media_world *w = arg;
	char text[NOTIFY_TEXT_MAX + 1];
	int fds[NOTIFY_FDS_MAX];
	size_t n_fds;
	int len;

	(void)events;
	while ((len = notify_recv_fds(fd, text, fds, &n_fds)) > 0)
		take_packet(w, text, (size_t)len, fds, n_fds);
	if (len != ERR_AGAIN)
		link_close(w);
}

static void on_connect(void *arg, int fd, unsigned events)
{
	struct media_world *w = arg;

	(void)events;
	/* What the dead one still said comes first. */
	if (w->link_fd >= 0)
		on_link(w, w->link_fd, LOOP_READ);
	link_close(w);
	w->link_fd = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	ck_assert_int_ge(w->link_fd, 0);
	ck_assert_int_eq(loop_fd_add(w->rig.daemon.loop, w->link_fd, LOOP_READ,
				 on_link, w, &w->link_watch),
		0);
}

static void open_keeper(struct media_world *w)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};

	(void)snprintf(sa.sun_path, sizeof(sa.sun_path), "%s", w->keeper_path);
	w->listen_fd = socket(
		AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	ck_assert_int_ge(w->listen_fd, 0);
	ck_assert_int_eq(
		bind(w->listen_fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	ck_assert_int_eq(listen(w->listen_fd, 4), 0);
	ck_assert_int_eq(loop_fd_add(w->rig.daemon.loop, w->listen_fd,
				 LOOP_READ, on_connect, w, &w->listen_watch),
		0);
	ck_assert_int_eq(fdstore_init(&w->store, 5000, 5000), 0);
}

static void close_keeper(struct media_world *w)
{
	link_close(w);
	loop_fd_free(w->rig.daemon.loop, &w->listen_watch);
	close(w->listen_fd);
	fdstore_done(&w->store);
	unlink(w->keeper_path);
}

void media_world_new_keeper(struct media_world *w)
{
	close_keeper(w);
	open_keeper(w);
}

size_t media_world_held(const struct media_world *w, const char *start)
{
	const struct fdstore_entry *e;
	size_t n = 0;

	TAILQ_FOREACH (e, &w->store.owners[PROCESS_MEDIAD].entries, next)
		if (strncmp(e->name, start, strlen(start)) == 0)
			n += e->n_fds;
	return n;
}

int media_world_memory(const struct media_world *w)
{
	const struct fdstore_entry *e;

	TAILQ_FOREACH (e, &w->store.owners[PROCESS_MEDIAD].entries, next)
		if (strncmp(e->name, "media@", 6) == 0)
			return e->fds[0];
	return -1;
}

/* -------------------------------------------------------------------- life */

static bool is_back(struct rig *r, void *arg)
{
	return r->n_ups > *(unsigned *)arg && r->news.list_done;
}

void media_world_wait(struct media_world *w)
{
	rig_until(&w->rig, is_back, &w->ups_before);
}

void media_world_begin(struct media_world *w)
{
	memset(w, 0, sizeof(*w));
	(void)snprintf(w->dir, sizeof(w->dir), "/tmp/media-world-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(w->dir));
	(void)snprintf(w->keeper_path, sizeof(w->keeper_path), "%s/keeper.sock",
		w->dir);
	(void)snprintf(w->path, sizeof(w->path), "%s/mediad.sock", w->dir);
	w->link_fd = -1;
	rig_attach(&w->rig, w->path);
	open_keeper(w);
	media_world_start(w);
	media_world_wait(w);
}

void media_world_end(struct media_world *w)
{
	if (w->pid > 0)
		media_world_kill(w);
	close_keeper(w);
	unlink(w->path);
	rmdir(w->dir);
	rig_end(&w->rig);
}
