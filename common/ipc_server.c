/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The listening end of links (ipc.h): makes the socket, accepts peers whose
 * user is some process's, and sends to many. Which process a peer is, its
 * hello says (ipc.c).
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/ipc_link.h"
#include "common/log.h"

#define ACCEPT_PAUSE_US (100u * 1000u)
#define ACCEPT_BATCH    64
#define LISTEN_BACKLOG  64
#define LINKS_MAX       64 /* processes, sbcctl runs and leftovers */

static bool uid_is_known(const struct process_users *users, uid_t uid)
{
	unsigned i;

	for (i = 0; i < PROCESS_COUNT; i++) {
		if (users->uid[i] == uid && uid != (uid_t)-1)
			return true;
	}
	return false;
}

static void accept_fd(struct ipc_server *s, int fd)
{
	struct ipc_link *l;
	uid_t uid = (uid_t)-1;

	if (ipc_peer_uid(fd, &uid) || !uid_is_known(s->config.users, uid)) {
		log_peer_warning("ipc_wrong_user", LOG_UINT("uid", uid));
		reason_count(REASON_IPC_PEER);
		(void)close(fd);
		return;
	}
	if (s->n_links >= LINKS_MAX || ipc_link_new(&s->config, &l)) {
		log_peer_warning("ipc_too_many_links", LOG_UINT("uid", uid));
		(void)close(fd);
		return;
	}
	l->peer_uid = uid;
	if (ipc_link_open(l, fd)) {
		ipc_link_destroy(l);
		return;
	}
	l->server = s;
	LIST_INSERT_HEAD(&s->links, l, siblings);
	s->n_links++;
}

static void on_listen_fd(void *arg, int fd, unsigned events)
{
	struct ipc_server *s = arg;
	unsigned i;

	(void)events;
	for (i = 0; i < ACCEPT_BATCH; i++) {
		int peer =
			accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (peer >= 0) {
			accept_fd(s, peer);
			continue;
		}
		if (errno == EINTR || errno == ECONNABORTED)
			continue;
		if (errno == EAGAIN || errno == EWOULDBLOCK)
			return;
		/* No descriptor free: the socket stays readable, so look away
		 * for a while. */
		log_peer_warning("ipc_accept_failed", LOG_ERRNO(errno));
		loop_fd_free(s->config.loop, &s->watch);
		loop_timer_set(s->config.loop, s->timer, ACCEPT_PAUSE_US);
		return;
	}
}

static void on_accept_timer(void *arg)
{
	struct ipc_server *s = arg;

	if (loop_fd_add(s->config.loop, s->fd, LOOP_READ, on_listen_fd, s,
		    &s->watch))
		loop_timer_set(s->config.loop, s->timer, ACCEPT_PAUSE_US);
}

int ipc_listen_fd(
	const struct ipc_config *config, int fd, struct ipc_server **server_out)
{
	struct ipc_server *s = calloc(1, sizeof(*s));
	int rc = ERR_NOMEM;

	if (!s)
		goto fail;
	s->config = *config;
	s->fd = fd;
	LIST_INIT(&s->links);
	/* listen() also where keeper has done so: clients see the user of the
	 * process that called it last. */
	if (listen(fd, LISTEN_BACKLOG)) {
		rc = ERR_SYSTEM;
		goto fail;
	}
	if (loop_timer_new(config->loop, on_accept_timer, s, &s->timer))
		goto fail;
	if (loop_fd_add(
		    config->loop, fd, LOOP_READ, on_listen_fd, s, &s->watch))
		goto fail;
	*server_out = s;
	return 0;
fail:
	if (s)
		loop_timer_free(config->loop, &s->timer);
	free(s);
	(void)close(fd);
	return rc;
}

/* Removes a socket that nobody listens on. */
static int remove_dead(const struct sockaddr_un *sa)
{
	struct stat st;
	int fd, rc, error;

	if (lstat(sa->sun_path, &st))
		return errno == ENOENT ? 0 : ERR_SYSTEM;
	if (!S_ISSOCK(st.st_mode)) {
		errno = EEXIST;
		return ERR_SYSTEM;
	}
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return ERR_SYSTEM;
	rc = connect(fd, (const struct sockaddr *)sa, sizeof(*sa));
	error = errno;
	(void)close(fd);
	if (!rc || error == EAGAIN) {
		errno = EADDRINUSE;
		return ERR_SYSTEM;
	}
	return unlink(sa->sun_path) ? ERR_SYSTEM : 0;
}

int ipc_listen(const struct ipc_config *config, const char *path,
	struct ipc_server **server_out)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	mode_t mask;
	int fd, rc;

	if (strlen(path) >= sizeof(sa.sun_path))
		return ERR_TOO_BIG;
	memcpy(sa.sun_path, path, strlen(path));
	rc = remove_dead(&sa);
	if (rc)
		return rc;
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return ERR_SYSTEM;
	mask = umask(0117); /* the socket is never open to others, not even
			     * for a moment */
	rc = bind(fd, (const struct sockaddr *)&sa, sizeof(sa));
	(void)umask(mask);
	if (rc) {
		int error = errno;

		(void)close(fd);
		errno = error;
		return ERR_SYSTEM;
	}
	return ipc_listen_fd(config, fd, server_out);
}

void ipc_server_free(struct ipc_server **server)
{
	struct ipc_server *s = *server;
	struct ipc_link *l;

	*server = NULL;
	if (!s)
		return;
	while ((l = LIST_FIRST(&s->links)))
		ipc_link_free(&l);
	loop_fd_free(s->config.loop, &s->watch);
	loop_timer_free(s->config.loop, &s->timer);
	(void)close(s->fd);
	free(s);
}

void ipc_broadcast(struct ipc_server *server, unsigned to, const Gh__Msg *msg)
{
	struct ipc_link *l;

	LIST_FOREACH (l, &server->links, siblings) {
		if (l->state != LINK_UP || !(to & PROCESS_BIT(l->peer)))
			continue;
		if (ipc_send(l, msg) == ERR_FULL) {
			log_peer_warning("ipc_queue_full",
				LOG_STR("peer", process_name(l->peer)));
			ipc_link_fail_later(l, REASON_IPC_QUEUE_FULL);
		}
	}
}
