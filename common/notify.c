/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A daemon's end of the link to keeper (notify.h); the packets themselves are
 * notify_packet.c's.
 *
 *	AWAY --connect, NAME--> CONNECTED --FDSDONE--> on_up
 *	  ^--back-off 10 ms to 1 s-- any failure --'
 *
 * Packets that the socket does not take now wait in a queue and are tried
 * again after RETRY_US: the kernel's limit on descriptors in flight gives no
 * event when it falls. What waits when keeper dies is dropped; the owner
 * deposits again, and sockets that were asked for are asked for again.
 *
 * Run by hand (no path), the same functions serve themselves from a timer, so
 * that callbacks come later there, too.
 */
#include "common/notify.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/device.h"
#include "common/log.h"

#define BACKOFF_MIN_US 10000u
#define BACKOFF_MAX_US 1000000u
#define RETRY_US       2000u
#define QUEUE_MAX      4096u
#define PENDING_MAX    1024u
#define READ_BATCH     64

struct packet {
	STAILQ_ENTRY(packet) next;
	size_t n_fds;
	int fds[NOTIFY_FDS_MAX]; /* own copies */
	char text[];
};

/* A socket that was asked for and has not come. */
struct pending {
	TAILQ_ENTRY(pending) next;
	enum notify_kind kind;
	struct addr local;
	char device[DEVICE_NAME_SIZE];
	notify_listen_fn fn;
	void *ctx;
	bool sent;
};

struct notify {
	struct loop *loop;
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)]; /* "" by hand */
	enum process self;
	const struct notify_events *events;
	void *ctx;
	int fd; /* -1: away */
	struct loop_fd *watch;
	struct loop_timer *connect_timer; /* back-off, or work by hand */
	struct loop_timer *retry_timer;
	struct loop_timer *watchdog_timer;
	uint64_t backoff_us;
	uint64_t away_since_us;
	bool told_up; /* on_up was called for this connection */
	bool told_orphan;
	uint64_t orphan_us;
	bool ready;
	STAILQ_HEAD(, packet) queue;
	size_t n_queued;
	TAILQ_HEAD(, pending) pendings;
	size_t n_pendings;
	unsigned busy;
	bool gone;
};

/* ---------------------------------------------------------------- queue */

static void close_all(int *fds, size_t n_fds)
{
	size_t i;

	for (i = 0; i < n_fds; i++)
		(void)close(fds[i]);
}

static void packet_free(struct packet *p)
{
	close_all(p->fds, p->n_fds);
	free(p);
}

static void queue_clear(struct notify *n)
{
	struct packet *p;

	while ((p = STAILQ_FIRST(&n->queue))) {
		STAILQ_REMOVE_HEAD(&n->queue, next);
		packet_free(p);
	}
	n->n_queued = 0;
}

static int enqueue(
	struct notify *n, const char *text, const int *fds, size_t n_fds)
{
	size_t size = strlen(text) + 1;
	struct packet *p;

	if (n->n_queued >= QUEUE_MAX)
		return ERR_FULL;
	p = malloc(sizeof(*p) + size);
	if (!p)
		return ERR_FULL;
	memcpy(p->text, text, size);
	for (p->n_fds = 0; p->n_fds < n_fds; p->n_fds++) {
		/* The caller may close its own before this one goes out. */
		int fd = fcntl(fds[p->n_fds], F_DUPFD_CLOEXEC, 3);

		if (fd < 0) {
			packet_free(p);
			return ERR_FULL;
		}
		p->fds[p->n_fds] = fd;
	}
	STAILQ_INSERT_TAIL(&n->queue, p, next);
	if (!n->n_queued++)
		loop_timer_set(n->loop, n->retry_timer, RETRY_US);
	return 0;
}

/* Sends now or soon. */
static int send_text(
	struct notify *n, const char *text, const int *fds, size_t n_fds)
{
	int rc = ERR_AGAIN;

	if (n->fd < 0)
		return ERR_AWAY;
	if (!n->n_queued)
		rc = notify_send_fds(n->fd, text, fds, n_fds);
	if (rc == ERR_AGAIN)
		return enqueue(n, text, fds, n_fds);
	/* A link that has gone shows as readable and is handled there. */
	return rc ? ERR_AWAY : 0;
}

static void on_retry_timer(void *arg)
{
	struct notify *n = arg;
	struct packet *p;

	while (n->fd >= 0 && (p = STAILQ_FIRST(&n->queue))) {
		if (notify_send_fds(n->fd, p->text, p->fds, p->n_fds) ==
			ERR_AGAIN) {
			loop_timer_set(n->loop, n->retry_timer, RETRY_US);
			return;
		}
		STAILQ_REMOVE_HEAD(&n->queue, next);
		n->n_queued--;
		packet_free(p);
	}
}

/* ------------------------------------------------------------ connection */

static void link_close(struct notify *n)
{
	loop_fd_free(n->loop, &n->watch);
	if (n->fd >= 0)
		(void)close(n->fd);
	n->fd = -1;
	queue_clear(n);
	loop_timer_stop(n->loop, n->retry_timer);
}

static void destroy(struct notify *n)
{
	struct pending *p;

	while ((p = TAILQ_FIRST(&n->pendings))) {
		TAILQ_REMOVE(&n->pendings, p, next);
		free(p);
	}
	loop_timer_free(n->loop, &n->connect_timer);
	loop_timer_free(n->loop, &n->retry_timer);
	loop_timer_free(n->loop, &n->watchdog_timer);
	free(n);
}

void notify_free(struct notify **notify)
{
	struct notify *n = *notify;

	*notify = NULL;
	if (!n || n->gone)
		return;
	link_close(n);
	loop_timer_stop(n->loop, n->connect_timer);
	loop_timer_stop(n->loop, n->watchdog_timer);
	n->gone = true;
	if (!n->busy)
		destroy(n);
}

/* Ends a stretch in which the owner may have freed the link. */
static void release(struct notify *n)
{
	n->busy--;
	if (n->gone && !n->busy)
		destroy(n);
}

/* Waits for the next attempt; says so once when it has lasted too long. */
static void wait_for_keeper(struct notify *n)
{
	loop_timer_set(n->loop, n->connect_timer, n->backoff_us);
	/* Never later than a quarter of the time that keeper was away. */
	n->backoff_us += n->backoff_us / 4;
	if (n->backoff_us > BACKOFF_MAX_US)
		n->backoff_us = BACKOFF_MAX_US;
	if (n->told_orphan || clock_now_us() - n->away_since_us < n->orphan_us)
		return;
	n->told_orphan = true;
	if (n->events->on_orphan)
		n->events->on_orphan(n->ctx);
}

static void link_down(struct notify *n)
{
	bool tell = n->told_up;

	link_close(n);
	n->told_up = false;
	n->away_since_us = clock_now_us();
	n->busy++;
	if (tell && n->events->on_down)
		n->events->on_down(n->ctx);
	if (!n->gone)
		wait_for_keeper(n);
	release(n);
}

static void send_listen(struct notify *n, struct pending *p)
{
	char text[ADDR_TEXT_SIZE + DEVICE_NAME_SIZE + 32];
	char local[ADDR_TEXT_SIZE];

	(void)snprintf(text, sizeof(text), "LISTEN=%s %s%s%s\n",
		notify_kind_name(p->kind), addr_format(&p->local, local),
		p->device[0] ? " " : "", p->device);
	p->sent = send_text(n, text, NULL, 0) == 0;
}

static void send_name(struct notify *n)
{
	struct pending *p;
	char text[64];

	(void)snprintf(text, sizeof(text), "NAME=%s\n", process_name(n->self));
	(void)send_text(n, text, NULL, 0);
	TAILQ_FOREACH (p, &n->pendings, next)
		send_listen(n, p);
	if (n->ready)
		(void)send_text(n, "READY=1\n", NULL, 0);
}

/* keeper is root; in tests it is the user who runs them. */
static bool is_keeper(int fd)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) ||
		len != sizeof(cred))
		return false;
	return cred.uid == 0 || cred.uid == getuid();
}

/* --------------------------------------------------------------- receive */

static struct pending *find_pending(
	struct notify *n, enum notify_kind kind, const struct addr *local)
{
	struct pending *p;

	TAILQ_FOREACH (p, &n->pendings, next) {
		if (p->kind == kind && addr_equal(&p->local, local))
			return p;
	}
	return NULL;
}

/* Tells the asker and forgets the question; fd is the asker's. */
static void answer_pending(
	struct notify *n, struct pending *p, int fd, const char *problem)
{
	TAILQ_REMOVE(&n->pendings, p, next);
	n->n_pendings--;
	p->fn(p->ctx, p->kind, &p->local, fd, problem);
	free(p);
}

/* LISTEN=udp 192.0.2.1:5060 with a descriptor, or with ERROR=. */
static void take_listen(struct notify *n, const char *text, size_t len,
	char *what, int *fds, size_t n_fds)
{
	char problem[NOTIFY_LINE_MAX];
	char *space = strchr(what, ' ');
	struct pending *p = NULL;
	enum notify_kind kind;
	struct addr local;

	if (space) {
		*space = '\0';
		if (!notify_kind_parse(what, &kind) &&
			!addr_parse(space + 1, &local))
			p = find_pending(n, kind, &local);
	}
	if (!p) {
		close_all(fds, n_fds);
		return;
	}
	if (n_fds) {
		close_all(fds + 1, n_fds - 1);
		answer_pending(n, p, fds[0], NULL);
		return;
	}
	if (notify_word(text, len, "ERROR", problem, sizeof(problem)))
		(void)snprintf(problem, sizeof(problem), "no descriptor came");
	answer_pending(n, p, -1, problem);
}

static void take_packet(
	struct notify *n, const char *text, size_t len, int *fds, size_t n_fds)
{
	char value[NOTIFY_LINE_MAX];
	size_t i;

	if (!notify_word(text, len, "LISTEN", value, sizeof(value))) {
		take_listen(n, text, len, value, fds, n_fds);
		return;
	}
	if (!notify_word(text, len, "FDNAME", value, NOTIFY_FDNAME_MAX)) {
		for (i = 0; i < n_fds; i++) {
			if (!n->gone && n->events->on_fd)
				n->events->on_fd(n->ctx, value, fds[i]);
			else
				(void)close(fds[i]);
		}
		return;
	}
	close_all(fds, n_fds);
	if (!notify_word(text, len, "FDSDONE", value, sizeof(value))) {
		n->backoff_us = BACKOFF_MIN_US;
		n->told_orphan = false;
		n->told_up = true;
		n->events->on_up(n->ctx);
		return;
	}
	log_peer_warning("keeper_word_unknown", LOG_STR("text", text));
}

static void on_link_fd(void *arg, int fd, unsigned events)
{
	struct notify *n = arg;
	char text[NOTIFY_TEXT_MAX + 1];
	int fds[NOTIFY_FDS_MAX];
	size_t n_fds;
	unsigned i;
	int len;

	(void)events;
	n->busy++;
	for (i = 0; i < READ_BATCH && !n->gone && n->fd == fd; i++) {
		len = notify_recv_fds(fd, text, fds, &n_fds);
		if (len == ERR_AGAIN)
			break;
		if (len == ERR_TOO_BIG)
			continue;
		if (len < 0) {
			link_down(n);
			break;
		}
		take_packet(n, text, (size_t)len, fds, n_fds);
	}
	release(n);
}

static void connect_keeper(struct notify *n)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	int fd;

	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0) {
		wait_for_keeper(n);
		return;
	}
	memcpy(sa.sun_path, n->path, sizeof(sa.sun_path));
	if (connect(fd, (const struct sockaddr *)&sa, sizeof(sa)) ||
		!is_keeper(fd) ||
		loop_fd_add(n->loop, fd, LOOP_READ, on_link_fd, n, &n->watch)) {
		(void)close(fd);
		wait_for_keeper(n);
		return;
	}
	n->fd = fd;
	send_name(n);
}

/* ---------------------------------------------------------------- by hand */

static bool by_hand(const struct notify *n)
{
	return !n->path[0];
}

static void serve_by_hand(struct notify *n)
{
	struct pending *p;

	n->busy++;
	if (!n->told_up) {
		n->told_up = true;
		n->events->on_up(n->ctx);
	}
	while (!n->gone && (p = TAILQ_FIRST(&n->pendings))) {
		int fd = -1;

		if (notify_open_socket(
			    p->kind, &p->local, p->device, false, &fd))
			answer_pending(n, p, -1, strerror(errno));
		else
			answer_pending(n, p, fd, NULL);
	}
	release(n);
}

static void on_connect_timer(void *arg)
{
	struct notify *n = arg;

	if (by_hand(n))
		serve_by_hand(n);
	else if (n->fd < 0)
		connect_keeper(n);
}

static void on_watchdog_timer(void *arg)
{
	struct notify *n = arg;

	(void)send_text(n, "WATCHDOG=1\n", NULL, 0);
	loop_timer_set(n->loop, n->watchdog_timer, NOTIFY_WATCHDOG_US / 2);
}

/* ------------------------------------------------------------------- API */

int notify_new(struct loop *loop, const char *path, enum process self,
	const struct notify_events *events, void *ctx, struct notify **n_out)
{
	struct notify *n;

	if (path && strlen(path) >= sizeof(n->path))
		return ERR_TOO_BIG;
	n = calloc(1, sizeof(*n));
	if (!n)
		return ERR_NOMEM;
	if (path)
		memcpy(n->path, path, strlen(path));
	n->loop = loop;
	n->self = self;
	n->events = events;
	n->ctx = ctx;
	n->fd = -1;
	n->orphan_us = NOTIFY_ORPHAN_US;
	n->backoff_us = BACKOFF_MIN_US;
	n->away_since_us = clock_now_us();
	STAILQ_INIT(&n->queue);
	TAILQ_INIT(&n->pendings);
	if (loop_timer_new(loop, on_connect_timer, n, &n->connect_timer) ||
		loop_timer_new(loop, on_retry_timer, n, &n->retry_timer) ||
		loop_timer_new(
			loop, on_watchdog_timer, n, &n->watchdog_timer)) {
		destroy(n);
		return ERR_NOMEM;
	}
	loop_timer_set(loop, n->connect_timer, 0);
	*n_out = n;
	return 0;
}

void notify_ready(struct notify *n)
{
	if (n->ready)
		return;
	n->ready = true;
	if (by_hand(n))
		return;
	(void)send_text(n, "READY=1\n", NULL, 0);
	loop_timer_set(n->loop, n->watchdog_timer, NOTIFY_WATCHDOG_US / 2);
}

void notify_status(struct notify *n, const char *text)
{
	char line[NOTIFY_LINE_MAX + sizeof("STATUS=\n")];
	char *p;

	(void)snprintf(line, sizeof(line) - 1, "STATUS=%s", text);
	for (p = line; *p; p++) {
		if ((unsigned char)*p < ' ' || *p == 0x7f)
			*p = ' ';
	}
	p[0] = '\n';
	p[1] = '\0';
	(void)send_text(n, line, NULL, 0);
}

void notify_stopping(struct notify *n)
{
	(void)send_text(n, "STOPPING=1\n", NULL, 0);
}

static bool is_name(const char *name)
{
	size_t len = strnlen(name, NOTIFY_FDNAME_MAX);
	size_t i;

	for (i = 0; i < len; i++) {
		if ((unsigned char)name[i] <= ' ' ||
			(unsigned char)name[i] >= 0x7f)
			return false;
	}
	return len > 0 && len < NOTIFY_FDNAME_MAX;
}

int notify_store(
	struct notify *n, const char *name, const int *fds, size_t n_fds)
{
	char text[NOTIFY_FDNAME_MAX + 32];

	if (!is_name(name) || !n_fds || n_fds > NOTIFY_FDS_MAX)
		return ERR_INVALID;
	(void)snprintf(text, sizeof(text), "FDSTORE=1\nFDNAME=%s\n", name);
	return send_text(n, text, fds, n_fds);
}

int notify_unstore(struct notify *n, const char *name)
{
	char text[NOTIFY_FDNAME_MAX + 32];

	if (!is_name(name))
		return ERR_INVALID;
	(void)snprintf(
		text, sizeof(text), "FDSTOREREMOVE=1\nFDNAME=%s\n", name);
	return send_text(n, text, NULL, 0);
}

void notify_orphan_after(struct notify *n, uint64_t us)
{
	n->orphan_us = us;
}

void notify_unlisten(
	struct notify *n, enum notify_kind kind, const struct addr *local)
{
	char text[ADDR_TEXT_SIZE + 32], addr[ADDR_TEXT_SIZE];

	(void)snprintf(text, sizeof(text), "UNLISTEN=%s %s\n",
		notify_kind_name(kind), addr_format(local, addr));
	(void)send_text(n, text, NULL, 0);
}

int notify_retire(struct notify *n)
{
	/* Not into the queue: it ends with the link. */
	if (by_hand(n) || n->fd < 0 || n->n_queued ||
		notify_send_fds(n->fd, "RETIRE=1\n", NULL, 0))
		return ERR_AWAY;
	return 0;
}

int notify_listen(struct notify *n, enum notify_kind kind,
	const struct addr *local, const char *device, notify_listen_fn fn,
	void *ctx)
{
	struct pending *p;

	if (n->n_pendings >= PENDING_MAX)
		return ERR_NOMEM;
	p = calloc(1, sizeof(*p));
	if (!p)
		return ERR_NOMEM;
	if (device_name_copy(device, p->device)) {
		free(p);
		return ERR_INVALID;
	}
	p->kind = kind;
	p->local = *local;
	p->fn = fn;
	p->ctx = ctx;
	TAILQ_INSERT_TAIL(&n->pendings, p, next);
	n->n_pendings++;
	if (by_hand(n))
		loop_timer_set(n->loop, n->connect_timer, 0);
	else if (n->fd >= 0)
		send_listen(n, p);
	return 0;
}
