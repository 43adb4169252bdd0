/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Links between processes (ipc.h): life of a link, hello, permits, queues.
 * Listening is ipc_server.c's part, reading a message ipc_msg.c's.
 * The life of one link:
 *
 *	client	WAITING --back-off--> HELLO --hello ok--> UP
 *		   ^---- any failure ---'-------------------'
 *	server	HELLO --hello ok--> UP --any failure--> freed
 *
 * HELLO has a time-out on both ends. A failure that is found inside ipc_send()
 * or ipc_broadcast() is not told from there: the link becomes FAILING and its
 * timer tells it, so that no callback runs inside a call of the owner.
 *
 * A handler may free its link or the server. While one runs, `busy` keeps the
 * memory; every function that called out looks at `gone` before it goes on.
 *
 * Received bytes and serialised messages may hold keys, so both are always
 * overwritten after use.
 */
#include "config.h"

#include "common/ipc.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/ipc_link.h"
#include "common/log.h"
#include "common/pack.h"
#include "common/secret.h"
#include "common/stat.h"

#define BACKOFF_MIN_US (10u * 1000u)
#define BACKOFF_MAX_US (1000u * 1000u)
#define READ_BATCH     64 /* packets per wake-up: nobody owns the loop */
#define READ_AT_ONCE   IPC_RX_PACKETS
/* The kernel doubles the value and counts its own overhead against it. */
#define SOCKET_BUFFER  (2u * IPC_MESSAGE_MAX)

struct ipc_packet {
	STAILQ_ENTRY(ipc_packet) next;
	size_t len;
	uint8_t bytes[];
};

static void on_link_fd(void *arg, int fd, unsigned events);
static void on_link_timer(void *arg);
static void link_down(struct ipc_link *l, enum reason why);

/* Random number of this process's start. */
static uint64_t own_start_id(void)
{
	static uint64_t id;

	while (!id)
		secret_random_bytes(&id, sizeof(id));
	return id;
}

/* ---------------------------------------------------------------- queue */

static void packet_free(struct ipc_packet *p)
{
	secret_wipe(p->bytes, p->len);
	free(p);
}

static void queue_clear(struct ipc_link *l)
{
	struct ipc_packet *p;

	while ((p = STAILQ_FIRST(&l->queue))) {
		STAILQ_REMOVE_HEAD(&l->queue, next);
		packet_free(p);
	}
	l->n_queued = 0;
}

/* @return 0 sent, ERR_AGAIN, ERR_TOO_BIG or ERR_CLOSED. */
static int send_packet(struct ipc_link *l, const uint8_t *bytes, size_t len)
{
	ssize_t n;

	do
		n = send(l->fd, bytes, len, MSG_DONTWAIT | MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	if (n >= 0) {
		stat_add(STAT_IPC_TX, 1);
		return 0;
	}
	if (errno == EAGAIN || errno == EWOULDBLOCK || errno == ENOBUFS ||
		errno == ENOMEM)
		return ERR_AGAIN;
	return errno == EMSGSIZE ? ERR_TOO_BIG : ERR_CLOSED;
}

/* Keeps a message until the peer has room. */
static int enqueue(struct ipc_link *l, const uint8_t *bytes, size_t len)
{
	struct ipc_packet *p = malloc(sizeof(*p) + len);

	if (!p)
		return ERR_FULL;
	p->len = len;
	memcpy(p->bytes, bytes, len);
	if (!l->n_queued &&
		loop_fd_set(l->config.loop, l->watch, LOOP_READ | LOOP_WRITE)) {
		packet_free(p);
		return ERR_FULL;
	}
	STAILQ_INSERT_TAIL(&l->queue, p, next);
	l->n_queued++;
	return 0;
}

static int link_send(struct ipc_link *l, const Gh__Msg *msg)
{
	uint8_t *bytes;
	size_t len;
	int rc;

	if (l->n_queued >= IPC_QUEUE_MAX)
		return ERR_FULL;
	if (pack_message(&msg->base, l->tx, IPC_MESSAGE_MAX, &bytes, &len)) {
		secret_wipe(l->tx, IPC_MESSAGE_MAX);
		return ERR_TOO_BIG;
	}
	if (!len)
		return ERR_TOO_BIG;
	rc = l->n_queued ? ERR_AGAIN : send_packet(l, bytes, len);
	if (rc == ERR_AGAIN)
		rc = enqueue(l, bytes, len);
	secret_wipe(bytes, len);
	/* A connection that has gone shows as readable: on_link_fd() tells. */
	return rc == ERR_CLOSED ? ERR_AWAY : rc;
}

static void flush_queue(struct ipc_link *l)
{
	struct ipc_packet *p;
	int rc;

	while ((p = STAILQ_FIRST(&l->queue))) {
		rc = send_packet(l, p->bytes, p->len);
		if (rc == ERR_AGAIN)
			return;
		STAILQ_REMOVE_HEAD(&l->queue, next);
		l->n_queued--;
		packet_free(p);
		if (rc == ERR_TOO_BIG) {
			/* Cannot be while SOCKET_BUFFER holds; the peer would
			 * miss a message, so let both reconcile. */
			ipc_link_fail_later(l, REASON_IPC_MALFORMED);
			return;
		}
		if (rc)
			return; /* reading tells that the peer has gone */
	}
	if (loop_fd_set(l->config.loop, l->watch, LOOP_READ))
		ipc_link_fail_later(l, REASON_IPC_QUEUE_FULL);
}

int ipc_send(struct ipc_link *link, const Gh__Msg *msg)
{
	int rc;

	if (link->state != LINK_UP)
		return ERR_AWAY;
	rc = link_send(link, msg);
	if (rc == ERR_FULL)
		reason_count(REASON_IPC_QUEUE_FULL);
	return rc;
}

/* ----------------------------------------------------------- connection */

static int send_hello(struct ipc_link *l)
{
	Gh__Hello hello = GH__HELLO__INIT;
	static char build[] = PACKAGE_VERSION;

	hello.process = (uint32_t)l->config.self;
	hello.version = IPC_VERSION;
	hello.start_id = own_start_id();
	hello.build = build;
	IPC_MSG(msg, HELLO, hello, &hello);
	return link_send(l, &msg);
}

int ipc_peer_uid(int fd, uid_t *uid_out)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) ||
		len != sizeof(cred))
		return ERR_SYSTEM;
	*uid_out = cred.uid;
	return 0;
}

/* Takes fd over: watches it, says hello, starts the hello time-out. On failure
 * fd is closed. */
int ipc_link_open(struct ipc_link *l, int fd)
{
	int size = SOCKET_BUFFER;

	(void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	if (!l->rx)
		l->rx = malloc(IPC_RX_PACKETS * IPC_MESSAGE_MAX);
	if (!l->tx)
		l->tx = malloc(IPC_MESSAGE_MAX);
	if (!l->rx || !l->tx ||
		loop_fd_add(l->config.loop, fd, LOOP_READ, on_link_fd, l,
			&l->watch)) {
		(void)close(fd);
		return ERR_NOMEM;
	}
	l->fd = fd;
	l->state = LINK_HELLO;
	loop_timer_set(l->config.loop, l->timer, IPC_HELLO_TIMEOUT_US);
	if (send_hello(l)) {
		/* The peer has gone already; reading will say so. */
		log_debug("ipc_hello_unsent",
			LOG_STR("peer", process_name(l->peer)));
	}
	return 0;
}

/* Back to no connection; nothing is told. */
static void link_close(struct ipc_link *l)
{
	loop_fd_free(l->config.loop, &l->watch);
	if (l->fd >= 0)
		(void)close(l->fd);
	l->fd = -1;
	queue_clear(l);
	loop_timer_stop(l->config.loop, l->timer);
	l->was_up = l->was_up || l->state == LINK_UP;
	l->state = LINK_CLOSED;
}

void ipc_link_destroy(struct ipc_link *l)
{
	loop_timer_free(l->config.loop, &l->timer);
	free(l->rx);
	free(l->tx);
	free(l->path);
	free(l);
}

void ipc_link_free(struct ipc_link **link)
{
	struct ipc_link *l = *link;

	*link = NULL;
	if (!l || l->gone)
		return;
	link_close(l);
	if (l->server) {
		LIST_REMOVE(l, siblings);
		l->server->n_links--;
		l->server = NULL;
	}
	l->gone = true;
	if (!l->busy)
		ipc_link_destroy(l);
}

/* Ends a stretch in which handlers may have freed the link. */
static bool link_release(struct ipc_link *l)
{
	l->busy--;
	if (l->gone && !l->busy) {
		ipc_link_destroy(l);
		return false;
	}
	return !l->gone;
}

static void client_wait(struct ipc_link *l)
{
	l->state = LINK_WAITING;
	l->start_id = 0;
	loop_timer_set(l->config.loop, l->timer, l->backoff_us);
	/* Never later than a quarter of the time that the peer was away. */
	l->backoff_us += l->backoff_us / 4;
	if (l->backoff_us > BACKOFF_MAX_US)
		l->backoff_us = BACKOFF_MAX_US;
}

/* The connection is over, for whatever reason; may free the link. */
static void link_down(struct ipc_link *l, enum reason why)
{
	bool tell = l->was_up || l->state == LINK_UP;

	if (why != REASON_NONE)
		reason_count(why);
	if (tell)
		log_notice("ipc_down", LOG_STR("peer", process_name(l->peer)),
			LOG_STR("reason", reason_text(why)));
	link_close(l);
	l->was_up = false;
	l->busy++;
	if (tell && l->config.events.on_down)
		l->config.events.on_down(l->config.ctx, l, why);
	if (!link_release(l))
		return;
	if (l->path)
		client_wait(l);
	else if (l->server)
		ipc_link_free(&l);
}

/* Called where the owner is on the stack: the timer tells. */
void ipc_link_fail_later(struct ipc_link *l, enum reason why)
{
	l->was_up = l->was_up || l->state == LINK_UP;
	l->state = LINK_FAILING;
	l->why = why;
	loop_fd_free(l->config.loop, &l->watch);
	loop_timer_set(l->config.loop, l->timer, 0);
}

static void client_connect(struct ipc_link *l)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	int fd;

	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0) {
		client_wait(l);
		return;
	}
	memcpy(sa.sun_path, l->path, strlen(l->path));
	if (connect(fd, (const struct sockaddr *)&sa, sizeof(sa))) {
		(void)close(fd);
		client_wait(l);
		return;
	}
	/* The kernel remembers who called listen(). */
	if (ipc_peer_uid(fd, &l->peer_uid) ||
		l->peer_uid != l->config.users->uid[l->peer]) {
		log_peer_warning("ipc_wrong_user",
			LOG_STR("peer", process_name(l->peer)),
			LOG_UINT("uid", l->peer_uid));
		reason_count(REASON_IPC_PEER);
		(void)close(fd);
		client_wait(l);
		return;
	}
	if (ipc_link_open(l, fd))
		client_wait(l);
}

static void on_link_timer(void *arg)
{
	struct ipc_link *l = arg;

	switch (l->state) {
	case LINK_WAITING:
		client_connect(l);
		break;
	case LINK_HELLO:
		log_peer_warning("ipc_no_hello", LOG_UINT("uid", l->peer_uid),
			LOG_STR("peer", process_name(l->peer)));
		link_down(l, REASON_IPC_HELLO);
		break;
	case LINK_FAILING:
		link_down(l, l->why);
		break;
	case LINK_UP:
	case LINK_CLOSED:
		break;
	}
}

/* ------------------------------------------------------------ receiving */

/* The first message must be a hello that fits the peer's user. */
static enum reason judge_hello(const struct ipc_link *l, const Gh__Msg *msg)
{
	const Gh__Hello *h = msg->hello;

	if (msg->body_case != GH__MSG__BODY_HELLO)
		return REASON_IPC_NOT_PERMITTED;
	if (h->version != IPC_VERSION)
		return REASON_IPC_VERSION;
	if (h->process >= PROCESS_COUNT)
		return REASON_IPC_MALFORMED;
	if (l->peer != PROCESS_COUNT && h->process != (uint32_t)l->peer)
		return REASON_IPC_PEER;
	if (l->peer_uid == (uid_t)-1 ||
		l->config.users->uid[h->process] != l->peer_uid)
		return REASON_IPC_PEER;
	return REASON_NONE;
}

static void take_hello(struct ipc_link *l, const Gh__Msg *msg)
{
	enum reason why = judge_hello(l, msg);

	if (why != REASON_NONE) {
		log_peer_warning("ipc_hello_refused",
			LOG_STR("reason", reason_text(why)),
			LOG_STR("peer", process_name(l->peer)),
			LOG_UINT("uid", l->peer_uid));
		link_down(l, why);
		return;
	}
	loop_timer_stop(l->config.loop, l->timer);
	l->peer = (enum process)msg->hello->process;
	l->start_id = msg->hello->start_id;
	l->state = LINK_UP;
	l->was_up = true;
	if (l->path && l->n_ups++)
		stat_add(STAT_IPC_RECONNECTS, 1);
	l->backoff_us = BACKOFF_MIN_US;
	/* sbcctl comes and goes at every command. */
	if (l->peer == PROCESS_CTL)
		log_debug("ipc_up", LOG_STR("peer", process_name(l->peer)));
	else
		log_notice("ipc_up", LOG_STR("peer", process_name(l->peer)),
			LOG_STR("build", msg->hello->build));
	if (l->config.events.on_up)
		l->config.events.on_up(l->config.ctx, l);
}

static const struct ipc_permit *find_permit(
	const struct ipc_link *l, Gh__Msg__BodyCase body)
{
	size_t i;

	for (i = 0; i < l->config.n_permits; i++) {
		const struct ipc_permit *p = &l->config.permits[i];

		if (p->body == body && (p->from & PROCESS_BIT(l->peer)))
			return p;
	}
	return NULL;
}

static void take_message(struct ipc_link *l, const Gh__Msg *msg)
{
	const struct ipc_permit *permit;

	stat_add(STAT_IPC_RX, 1);
	if (l->state == LINK_HELLO) {
		take_hello(l, msg);
		return;
	}
	permit = find_permit(l, msg->body_case);
	if (!permit) {
		log_peer_warning("ipc_not_permitted",
			LOG_STR("peer", process_name(l->peer)),
			LOG_UINT("message", (uint64_t)msg->body_case));
		link_down(l, REASON_IPC_NOT_PERMITTED);
		return;
	}
	permit->handler(l->config.ctx, l, msg);
}

/* Whether the connection on fd still is the one that messages are taken from:
 * a handler may have freed or failed the link. */
static bool is_reading(const struct ipc_link *l, int fd)
{
	return !l->gone && l->fd == fd &&
	       (l->state == LINK_HELLO || l->state == LINK_UP);
}

/* Takes one packet. @param len 0: the peer has closed. */
static void take_packet(struct ipc_link *l, uint8_t *bytes, size_t len)
{
	Gh__Msg *msg;

	if (len == 0) {
		link_down(l, REASON_NONE);
		return;
	}
	msg = ipc_decode(bytes, len);
	secret_wipe(bytes, len < IPC_MESSAGE_MAX ? len : IPC_MESSAGE_MAX);
	if (!msg) {
		log_peer_warning("ipc_malformed",
			LOG_STR("peer", process_name(l->peer)),
			LOG_UINT("len", len));
		link_down(l, REASON_IPC_MALFORMED);
		return;
	}
	take_message(l, msg);
	ipc_msg_free(msg);
}

/* Reads what waits, READ_AT_ONCE packets with one system call: the second
 * recv() that says "no more" was a third of all reading. @return whether there
 * may be more. */
static bool read_some(struct ipc_link *l, int fd)
{
	struct mmsghdr packets[READ_AT_ONCE] = {0};
	struct iovec rooms[READ_AT_ONCE];
	uint8_t *rx = l->rx;
	int n;

	for (size_t i = 0; i < READ_AT_ONCE; i++) {
		rooms[i] = (struct iovec){
			rx + i * IPC_MESSAGE_MAX, IPC_MESSAGE_MAX};
		packets[i].msg_hdr.msg_iov = &rooms[i];
		packets[i].msg_hdr.msg_iovlen = 1;
	}
	do
		n = recvmmsg(fd, packets, READ_AT_ONCE,
			MSG_DONTWAIT | MSG_TRUNC, NULL);
	while (n < 0 && errno == EINTR);
	if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
		return false;
	if (n < 0) {
		link_down(l, REASON_NONE);
		return false;
	}
	for (int i = 0; i < n; i++) {
		size_t len = packets[i].msg_len;

		if (is_reading(l, fd))
			take_packet(l, rx + (size_t)i * IPC_MESSAGE_MAX, len);
		else /* a handler has ended the connection */
			secret_wipe(rx + (size_t)i * IPC_MESSAGE_MAX,
				len < IPC_MESSAGE_MAX ? len : IPC_MESSAGE_MAX);
	}
	return n == READ_AT_ONCE;
}

static void on_link_fd(void *arg, int fd, unsigned events)
{
	struct ipc_link *l = arg;
	unsigned i;

	l->busy++;
	if (events & LOOP_WRITE)
		flush_queue(l);
	for (i = 0; i < READ_BATCH; i += READ_AT_ONCE) {
		if (!(events & LOOP_READ) || !is_reading(l, fd) ||
			!read_some(l, fd))
			break;
	}
	(void)link_release(l);
}

/* ------------------------------------------------------------ both ends */

int ipc_link_new(const struct ipc_config *config, struct ipc_link **link_out)
{
	struct ipc_link *l = calloc(1, sizeof(*l));

	if (!l)
		return ERR_NOMEM;
	l->config = *config;
	l->fd = -1;
	l->peer = PROCESS_COUNT;
	l->peer_uid = (uid_t)-1;
	l->state = LINK_CLOSED;
	l->backoff_us = BACKOFF_MIN_US;
	STAILQ_INIT(&l->queue);
	if (loop_timer_new(config->loop, on_link_timer, l, &l->timer)) {
		free(l);
		return ERR_NOMEM;
	}
	*link_out = l;
	return 0;
}

int ipc_connect(const struct ipc_config *config, const char *path,
	enum process peer, struct ipc_link **link_out)
{
	struct sockaddr_un sa;
	struct ipc_link *l;

	if (strlen(path) >= sizeof(sa.sun_path))
		return ERR_TOO_BIG;
	if (ipc_link_new(config, &l))
		return ERR_NOMEM;
	l->path = strdup(path);
	if (!l->path) {
		ipc_link_destroy(l);
		return ERR_NOMEM;
	}
	l->peer = peer;
	l->state = LINK_WAITING;
	loop_timer_set(config->loop, l->timer, 0);
	*link_out = l;
	return 0;
}

int ipc_adopt(
	const struct ipc_config *config, int fd, struct ipc_link **link_out)
{
	struct ipc_link *l;

	if (ipc_link_new(config, &l)) {
		(void)close(fd);
		return ERR_NOMEM;
	}
	if (ipc_peer_uid(fd, &l->peer_uid))
		l->peer_uid = (uid_t)-1;
	if (ipc_link_open(l, fd)) {
		ipc_link_destroy(l);
		return ERR_NOMEM;
	}
	*link_out = l;
	return 0;
}

bool ipc_is_up(const struct ipc_link *link)
{
	return link->state == LINK_UP;
}

enum process ipc_peer(const struct ipc_link *link)
{
	return link->peer;
}

size_t ipc_queued(const struct ipc_link *link)
{
	return link->n_queued;
}

uint64_t ipc_peer_start_id(const struct ipc_link *link)
{
	return link->start_id;
}

void ipc_set_data(struct ipc_link *link, void *data)
{
	link->data = data;
}

void *ipc_data(const struct ipc_link *link)
{
	return link->data;
}
