/* SPDX-License-Identifier: Apache-2.0 */
#include "keeper/link.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/log.h"
#include "common/reason.h"

#define READ_BATCH 64 /* packets of one daemon before the others' turn */

struct packet {
	const char *text;
	size_t len;
	const char *value; /* of the word in question */
	int fds[NOTIFY_FDS_MAX];
	size_t n_fds; /* a handler that takes them sets 0 */
};

static void on_link(void *arg, int fd, unsigned events);

static enum process who(const struct link *l)
{
	return l->child->plan.process;
}

static void link_close(struct link *l)
{
	l->all->link[who(l)] = NULL;
	loop_fd_free(l->all->loop, &l->watch);
	close(l->fd);
	free(l);
}

static int refuse(const struct link *l, enum reason why, const char *word)
{
	reason_count(why);
	log_peer_warning("link_refused", LOG_STR("reason", reason_text(why)),
		LOG_STR("daemon", process_name(who(l))), LOG_STR("word", word));
	return ERR_REFUSED;
}

/* Sends what waits: first the answer, then held descriptors, all of one name
 * in one packet, because calls wait for them.
 * @return 0, ERR_AGAIN, or why the link must be closed. */
static int link_pump(struct link *l)
{
	char text[NOTIFY_FDNAME_MAX + 16];
	const struct fdstore_entry *e;
	int rc;

	if (l->has_answer) {
		rc = notify_send_fds(l->fd, l->answer, &l->answer_fd,
			l->answer_fd >= 0 ? 1 : 0);
		if (rc)
			return rc;
		l->has_answer = false;
	}
	while (l->giving && (e = fdstore_peek(l->all->store, who(l)))) {
		snprintf(text, sizeof(text), "FDNAME=%s\n", e->name);
		rc = notify_send_fds(l->fd, text, e->fds, e->n_fds);
		if (rc)
			return rc;
		fdstore_given(l->all->store, who(l));
	}
	if (l->giving) {
		rc = notify_send_fds(l->fd, "FDSDONE=1\n", NULL, 0);
		if (rc)
			return rc;
		l->giving = false;
	}
	return 0;
}

static int on_name(struct link *l, struct packet *p)
{
	if (l->named || strcmp(p->value, process_name(who(l))))
		return refuse(l, REASON_IPC_PEER, "NAME");
	l->named = true;
	log_debug("link_up", LOG_STR("daemon", process_name(who(l))));
	child_on_link(l->child);
	fdstore_rewind(l->all->store, who(l));
	l->giving = true;
	return 0;
}

static int on_ready(struct link *l, struct packet *p)
{
	(void)p;
	child_on_ready(l->child);
	return 0;
}

static int on_status(struct link *l, struct packet *p)
{
	log_peer_info("daemon_status", LOG_STR("daemon", process_name(who(l))),
		LOG_STR("status", p->value));
	return 0;
}

static int on_stopping(struct link *l, struct packet *p)
{
	(void)p;
	log_debug("daemon_stopping", LOG_STR("daemon", process_name(who(l))));
	return 0;
}

static int on_watchdog(struct link *l, struct packet *p)
{
	(void)p;
	child_on_watchdog(l->child);
	return 0;
}

static bool may_listen(const struct link *l)
{
	return who(l) == PROCESS_SBC || who(l) == PROCESS_FLOWD;
}

static int on_shown_sockets(struct link *l, struct packet *p)
{
	const size_t n = p->n_fds;

	p->n_fds = 0;
	for (size_t i = 0; i < n; i++) {
		int rc = ERR_REFUSED;

		if (may_listen(l))
			rc = listeners_adopt(
				l->all->listeners, who(l), p->fds[i]);
		else
			close(p->fds[i]);
		if (rc && rc != ERR_EXISTS)
			log_peer_warning("listen_adopt", LOG_ERR(rc),
				LOG_STR("daemon", process_name(who(l))));
	}
	return 0;
}

static int on_fdstore(struct link *l, struct packet *p)
{
	char name[NOTIFY_FDNAME_MAX + 1];
	size_t n = p->n_fds;
	int rc = ERR_FULL; /* none came through: this process is at its limit */

	if (notify_word(p->text, p->len, "FDNAME", name, sizeof(name)))
		return refuse(l, REASON_IPC_MALFORMED, "FDNAME");
	if (!strcmp(name, LINK_LISTEN_NAME))
		return on_shown_sockets(l, p);
	p->n_fds = 0;
	if (n > 0)
		rc = fdstore_put(l->all->store, who(l), name, p->fds, n);
	if (rc == ERR_INVALID)
		return refuse(l, REASON_IPC_MALFORMED, "FDSTORE");
	if (rc) {
		reason_count(REASON_IPC_QUEUE_FULL);
		log_peer_warning("fdstore_full", LOG_ERR(rc),
			LOG_STR("daemon", process_name(who(l))),
			LOG_STR("name", name),
			LOG_UINT("held", l->all->store->n_fds));
	}
	return 0;
}

static int on_fdremove(struct link *l, struct packet *p)
{
	char name[NOTIFY_FDNAME_MAX + 1];

	if (notify_word(p->text, p->len, "FDNAME", name, sizeof(name)))
		return refuse(l, REASON_IPC_MALFORMED, "FDNAME");
	if (fdstore_remove(l->all->store, who(l), name))
		log_debug("fdstore_unknown", LOG_STR("name", name),
			LOG_STR("daemon", process_name(who(l))));
	return 0;
}

static int on_listen(struct link *l, struct packet *p)
{
	char problem[NOTIFY_LINE_MAX];
	char local[ADDR_TEXT_SIZE];
	struct listen_want want;
	int n;

	if (!may_listen(l))
		return refuse(l, REASON_IPC_NOT_PERMITTED, "LISTEN");
	if (listen_parse(p->value, &want))
		return refuse(l, REASON_IPC_MALFORMED, "LISTEN");
	l->answer_fd = -1;
	l->has_answer = true;
	n = snprintf(l->answer, sizeof(l->answer), "LISTEN=%s %s\n",
		notify_kind_name(want.kind), addr_format(&want.local, local));
	if (listeners_get(
		    l->all->listeners, who(l), &want, problem, &l->answer_fd))
		snprintf(l->answer + n, sizeof(l->answer) - (size_t)n,
			"ERROR=%s\n", problem);
	return 0;
}

static int on_unlisten(struct link *l, struct packet *p)
{
	struct listen_want want;

	if (!may_listen(l))
		return refuse(l, REASON_IPC_NOT_PERMITTED, "UNLISTEN");
	if (listen_parse(p->value, &want))
		return refuse(l, REASON_IPC_MALFORMED, "UNLISTEN");
	(void)listeners_close(
		l->all->listeners, who(l), want.kind, &want.local);
	return 0;
}

/* Only flowd's connections cannot be handed to another process. */
static int on_retire(struct link *l, struct packet *p)
{
	(void)p;
	if (who(l) != PROCESS_FLOWD)
		return refuse(l, REASON_IPC_NOT_PERMITTED, "RETIRE");
	if (!l->dying)
		child_retire(l->child);
	return ERR_CLOSED;
}

/* The whole of what a daemon may say. Who may say LISTEN: may_listen(). */
static const struct word {
	const char *word;
	bool first; /* before NAME */
	int (*handler)(struct link *l, struct packet *p);
} words[] = {
	{"NAME", true, on_name},
	{"READY", false, on_ready},
	{"STATUS", false, on_status},
	{"STOPPING", false, on_stopping},
	{"WATCHDOG", false, on_watchdog},
	{"FDSTORE", false, on_fdstore},
	{"FDSTOREREMOVE", false, on_fdremove},
	{"LISTEN", false, on_listen},
	{"UNLISTEN", false, on_unlisten},
	{"RETIRE", false, on_retire},
};

static int packet_handle(struct link *l, struct packet *p)
{
	char value[NOTIFY_LINE_MAX + 1];
	bool any = false;

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		const struct word *w = &words[i];
		int rc = notify_word(
			p->text, p->len, w->word, value, sizeof(value));

		if (rc == ERR_NOT_FOUND)
			continue;
		if (rc)
			return refuse(l, REASON_IPC_MALFORMED, w->word);
		if (!w->first && !l->named)
			return refuse(l, REASON_IPC_NOT_PERMITTED, w->word);
		p->value = value;
		rc = w->handler(l, p);
		if (rc)
			return rc;
		any = true;
	}
	return any ? 0 : refuse(l, REASON_IPC_MALFORMED, "unknown");
}

/* @return 0, ERR_AGAIN when there is none, or why to close. */
static int link_read(struct link *l)
{
	char text[NOTIFY_TEXT_MAX + 1];
	struct packet p = {.text = text};
	int rc = notify_recv_fds(l->fd, text, p.fds, &p.n_fds);

	if (rc < 0)
		return rc;
	p.len = (size_t)rc;
	rc = packet_handle(l, &p);
	for (size_t i = 0; i < p.n_fds; i++)
		close(p.fds[i]);
	return rc;
}

static void on_link(void *arg, int fd, unsigned events)
{
	struct link *l = arg;
	int rc = link_pump(l);

	(void)fd;
	for (int i = 0; rc == 0 && i < READ_BATCH && (events & LOOP_READ);
		i++) {
		rc = link_read(l);
		if (rc == 0)
			rc = link_pump(l);
		else if (rc == ERR_AGAIN)
			break;
	}
	if (rc && rc != ERR_AGAIN) {
		link_close(l); /* its process decides what follows */
		return;
	}
	if (loop_fd_set(l->all->loop, l->watch,
		    l->has_answer || l->giving ? LOOP_WRITE : LOOP_READ))
		link_close(l);
}

void links_on_death(struct links *all, const struct child *c)
{
	struct link *l = all->link[c->plan.process];
	int rc = 0;

	if (!l)
		return;
	l->dying = true;
	while (rc == 0)
		rc = link_read(l);
	link_close(l);
}

static void link_new(struct links *all, int fd, struct child *c)
{
	struct link *old = all->link[c->plan.process];
	struct link *l;

	if (old)
		link_close(old); /* it has given that one up itself */
	l = calloc(1, sizeof(*l));
	if (!l)
		goto fail;
	l->all = all;
	l->child = c;
	l->fd = fd;
	l->answer_fd = -1;
	if (loop_fd_add(all->loop, fd, LOOP_READ, on_link, l, &l->watch))
		goto fail;
	all->link[c->plan.process] = l;
	return;
fail:
	log_err("link_memory", LOG_ERR(ERR_NOMEM));
	free(l);
	close(fd);
}

static void on_connect(void *arg, int listen_fd, unsigned events)
{
	struct links *all = arg;
	struct ucred peer;
	socklen_t len = sizeof(peer);
	struct child *c;
	int fd = accept4(listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	(void)events;
	if (fd < 0)
		return;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len)) {
		close(fd);
		return;
	}
	c = children_find(all->children, peer.pid, peer.uid);
	if (!c && peer.uid == 0) {
		upgrade_accept(all->upgrade, fd);
		return;
	}
	if (!c) {
		reason_count(REASON_IPC_PEER);
		log_peer_warning("link_refused",
			LOG_STR("reason", reason_text(REASON_IPC_PEER)),
			LOG_INT("pid", peer.pid), LOG_UINT("uid", peer.uid));
		close(fd);
		return;
	}
	link_new(all, fd, c);
}

/* The new socket takes the old name in one step: daemons that look for a
 * keeper never find none, and nobody can come in between. */
static int socket_open(const char *path, const char *own_dir, gid_t gid)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	int fd, saved;

	if ((size_t)snprintf(sa.sun_path, sizeof(sa.sun_path), "%s/sock",
		    own_dir) >= sizeof(sa.sun_path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	if ((unlink(sa.sun_path) && errno != ENOENT) ||
		bind(fd, (struct sockaddr *)&sa, sizeof(sa)) ||
		chown(sa.sun_path, (uid_t)-1, gid) ||
		chmod(sa.sun_path, 0660) || listen(fd, 16) ||
		rename(sa.sun_path, path)) {
		saved = errno;
		close(fd);
		errno = saved;
		return -1;
	}
	return fd;
}

int links_open(
	struct links *all, const char *path, const char *own_dir, gid_t gid)
{
	all->fd = socket_open(path, own_dir, gid);
	if (all->fd < 0)
		return errno == ENAMETOOLONG ? ERR_TOO_BIG : ERR_SYSTEM;
	return loop_fd_add(
		all->loop, all->fd, LOOP_READ, on_connect, all, &all->watch);
}

void links_close(struct links *all)
{
	for (int i = 0; i < PROCESS_COUNT; i++) {
		if (all->link[i])
			link_close(all->link[i]);
	}
	loop_fd_free(all->loop, &all->watch);
	if (all->fd >= 0)
		close(all->fd);
	all->fd = -1;
}
