/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Links between processes (ipc.h): life of a link, hello, permits, queues.
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
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/log.h"
#include "common/secret.h"
#include "common/stat.h"

#define BACKOFF_MIN_US   (10u * 1000u)
#define BACKOFF_MAX_US   (1000u * 1000u)
#define ACCEPT_PAUSE_US  (100u * 1000u)
#define LISTEN_BACKLOG   64
#define SERVER_LINKS_MAX 64 /* processes, sbcctl runs and leftovers */
#define READ_BATCH       64 /* packets per wake-up: nobody owns the loop */
/* The kernel doubles the value and counts its own overhead against it. */
#define SOCKET_BUFFER    (2u * IPC_MESSAGE_MAX)

enum link_state {
	LINK_WAITING, /* client: no connection, timer runs */
	LINK_HELLO,   /* connected; the peer has not introduced itself */
	LINK_UP,
	LINK_FAILING, /* timer will close it and tell `why` */
	LINK_CLOSED,  /* adopted link whose connection has gone */
};

struct packet {
	STAILQ_ENTRY(packet) next;
	size_t len;
	uint8_t bytes[];
};

struct ipc_link {
	struct ipc_config config;
	struct ipc_server *server; /* NULL: client or adopted */
	LIST_ENTRY(ipc_link) siblings;
	char *path; /* client only */
	enum link_state state;
	enum process peer; /* PROCESS_COUNT: not known yet */
	uid_t peer_uid;
	uint64_t start_id;
	enum reason why;
	int fd;
	struct loop_fd *watch;
	struct loop_timer *timer;
	uint64_t backoff_us;
	uint8_t *rx; /* IPC_MESSAGE_MAX bytes */
	STAILQ_HEAD(, packet) queue;
	size_t n_queued;
	bool was_up;
	uint64_t n_ups;
	unsigned busy;
	bool gone;
	void *data;
};

struct ipc_server {
	struct ipc_config config;
	int fd;
	struct loop_fd *watch;
	struct loop_timer *timer; /* pause after EMFILE */
	LIST_HEAD(, ipc_link) links;
	size_t n_links;
};

static void on_link_fd(void *arg, int fd, unsigned events);
static void on_link_timer(void *arg);
static void link_down(struct ipc_link *l, enum reason why);
static void link_fail_later(struct ipc_link *l, enum reason why);

/* ------------------------------------------------------------- messages */

static void wipe_bytes(ProtobufCBinaryData *b)
{
	if (b->data)
		secret_wipe(b->data, b->len);
}

static void wipe_side(Gh__MediaSide *side)
{
	if (side && side->receive)
		wipe_bytes(&side->receive->master);
	if (side && side->send)
		wipe_bytes(&side->send->master);
}

void ipc_msg_wipe(Gh__Msg *msg)
{
	if (msg->body_case == GH__MSG__BODY_NONCE_KEYS && msg->nonce_keys) {
		if (msg->nonce_keys->current)
			wipe_bytes(&msg->nonce_keys->current->key);
		if (msg->nonce_keys->previous)
			wipe_bytes(&msg->nonce_keys->previous->key);
	}
	if (msg->body_case == GH__MSG__BODY_SESSION_WANT && msg->session_want) {
		wipe_side(msg->session_want->caller);
		wipe_side(msg->session_want->called);
	}
}

void ipc_msg_free(Gh__Msg *msg)
{
	if (!msg)
		return;
	ipc_msg_wipe(msg);
	gh__msg__free_unpacked(msg, NULL);
}

Gh__Msg *ipc_decode(const uint8_t *bytes, size_t len)
{
	Gh__Msg *msg;

	if (!len || len > IPC_MESSAGE_MAX)
		return NULL;
	msg = gh__msg__unpack(NULL, len, bytes);
	if (msg && msg->body_case == GH__MSG__BODY__NOT_SET) {
		ipc_msg_free(msg);
		return NULL;
	}
	return msg;
}

/* Random number of this process's start. */
static uint64_t own_start_id(void)
{
	static uint64_t id;

	while (!id)
		secret_random_bytes(&id, sizeof(id));
	return id;
}

/* ---------------------------------------------------------------- queue */

static void packet_free(struct packet *p)
{
	secret_wipe(p->bytes, p->len);
	free(p);
}

static void queue_clear(struct ipc_link *l)
{
	struct packet *p;

	while ((p = STAILQ_FIRST(&l->queue))) {
		STAILQ_REMOVE_HEAD(&l->queue, next);
		packet_free(p);
	}
	l->n_queued = 0;
}

/* @return 0 sent, ERR_AGAIN, ERR_TOO_BIG or ERR_CLOSED. */
static int send_packet(struct ipc_link *l, const struct packet *p)
{
	ssize_t n;

	do
		n = send(l->fd, p->bytes, p->len, MSG_DONTWAIT | MSG_NOSIGNAL);
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

static int link_send(struct ipc_link *l, const Gh__Msg *msg)
{
	size_t len = gh__msg__get_packed_size(msg);
	struct packet *p;
	int rc;

	if (!len || len > IPC_MESSAGE_MAX)
		return ERR_TOO_BIG;
	if (l->n_queued >= IPC_QUEUE_MAX)
		return ERR_FULL;
	p = malloc(sizeof(*p) + len);
	if (!p)
		return ERR_FULL;
	p->len = len;
	(void)gh__msg__pack(msg, p->bytes);
	rc = l->n_queued ? ERR_AGAIN : send_packet(l, p);
	if (rc == ERR_AGAIN) {
		if (!l->n_queued && loop_fd_set(l->config.loop, l->watch,
					    LOOP_READ | LOOP_WRITE)) {
			packet_free(p);
			return ERR_FULL;
		}
		STAILQ_INSERT_TAIL(&l->queue, p, next);
		l->n_queued++;
		return 0;
	}
	packet_free(p);
	/* A connection that has gone shows as readable: on_link_fd() tells. */
	return rc == ERR_CLOSED ? ERR_AWAY : rc;
}

static void flush_queue(struct ipc_link *l)
{
	struct packet *p;
	int rc;

	while ((p = STAILQ_FIRST(&l->queue))) {
		rc = send_packet(l, p);
		if (rc == ERR_AGAIN)
			return;
		STAILQ_REMOVE_HEAD(&l->queue, next);
		l->n_queued--;
		packet_free(p);
		if (rc == ERR_TOO_BIG) {
			/* Cannot be while SOCKET_BUFFER holds; the peer would
			 * miss a message, so let both reconcile. */
			link_fail_later(l, REASON_IPC_MALFORMED);
			return;
		}
		if (rc)
			return; /* reading tells that the peer has gone */
	}
	if (loop_fd_set(l->config.loop, l->watch, LOOP_READ))
		link_fail_later(l, REASON_IPC_QUEUE_FULL);
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

static int peer_uid(int fd, uid_t *uid_out)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) ||
		len != sizeof(cred))
		return ERR_SYSTEM;
	*uid_out = cred.uid;
	return 0;
}

static bool uid_is_known(const struct process_users *users, uid_t uid)
{
	unsigned i;

	for (i = 0; i < PROCESS_COUNT; i++) {
		if (users->uid[i] == uid && uid != (uid_t)-1)
			return true;
	}
	return false;
}

/* Takes fd over: watches it, says hello, starts the hello time-out. On failure
 * fd is closed. */
static int link_open(struct ipc_link *l, int fd)
{
	int size = SOCKET_BUFFER;

	(void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	if (!l->rx)
		l->rx = malloc(IPC_MESSAGE_MAX);
	if (!l->rx || loop_fd_add(l->config.loop, fd, LOOP_READ, on_link_fd, l,
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

static void link_destroy(struct ipc_link *l)
{
	loop_timer_free(l->config.loop, &l->timer);
	free(l->rx);
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
		link_destroy(l);
}

/* Ends a stretch in which handlers may have freed the link. */
static bool link_release(struct ipc_link *l)
{
	l->busy--;
	if (l->gone && !l->busy) {
		link_destroy(l);
		return false;
	}
	return !l->gone;
}

static void client_wait(struct ipc_link *l)
{
	l->state = LINK_WAITING;
	l->start_id = 0;
	loop_timer_set(l->config.loop, l->timer, l->backoff_us);
	l->backoff_us *= 2;
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
static void link_fail_later(struct ipc_link *l, enum reason why)
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
	if (peer_uid(fd, &l->peer_uid) ||
		l->peer_uid != l->config.users->uid[l->peer]) {
		log_peer_warning("ipc_wrong_user",
			LOG_STR("peer", process_name(l->peer)),
			LOG_UINT("uid", l->peer_uid));
		reason_count(REASON_IPC_PEER);
		(void)close(fd);
		client_wait(l);
		return;
	}
	if (link_open(l, fd))
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

/* Reads one packet. @return whether to go on. */
static bool read_one(struct ipc_link *l)
{
	ssize_t n;
	Gh__Msg *msg;

	do
		n = recv(l->fd, l->rx, IPC_MESSAGE_MAX,
			MSG_DONTWAIT | MSG_TRUNC);
	while (n < 0 && errno == EINTR);
	if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
		return false;
	if (n <= 0) {
		link_down(l, REASON_NONE);
		return false;
	}
	msg = ipc_decode(l->rx, (size_t)n);
	secret_wipe(l->rx,
		(size_t)n < IPC_MESSAGE_MAX ? (size_t)n : IPC_MESSAGE_MAX);
	if (!msg) {
		log_peer_warning("ipc_malformed",
			LOG_STR("peer", process_name(l->peer)),
			LOG_INT("len", n));
		link_down(l, REASON_IPC_MALFORMED);
		return false;
	}
	take_message(l, msg);
	ipc_msg_free(msg);
	return true;
}

static void on_link_fd(void *arg, int fd, unsigned events)
{
	struct ipc_link *l = arg;
	unsigned i;

	l->busy++;
	if (events & LOOP_WRITE)
		flush_queue(l);
	/* A handler that freed or failed the link has left another fd. */
	for (i = 0; i < READ_BATCH; i++) {
		if (l->gone || l->fd != fd ||
			(l->state != LINK_HELLO && l->state != LINK_UP))
			break;
		if (!(events & LOOP_READ) || !read_one(l))
			break;
	}
	(void)link_release(l);
}

/* ------------------------------------------------------------ both ends */

static int link_new(const struct ipc_config *config, struct ipc_link **link_out)
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
	if (link_new(config, &l))
		return ERR_NOMEM;
	l->path = strdup(path);
	if (!l->path) {
		link_destroy(l);
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

	if (link_new(config, &l)) {
		(void)close(fd);
		return ERR_NOMEM;
	}
	if (peer_uid(fd, &l->peer_uid))
		l->peer_uid = (uid_t)-1;
	if (link_open(l, fd)) {
		link_destroy(l);
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

/* --------------------------------------------------------------- server */

static void accept_fd(struct ipc_server *s, int fd)
{
	struct ipc_link *l;
	uid_t uid;

	if (peer_uid(fd, &uid) || !uid_is_known(s->config.users, uid)) {
		log_peer_warning("ipc_wrong_user", LOG_UINT("uid", uid));
		reason_count(REASON_IPC_PEER);
		(void)close(fd);
		return;
	}
	if (s->n_links >= SERVER_LINKS_MAX || link_new(&s->config, &l)) {
		log_peer_warning("ipc_too_many_links", LOG_UINT("uid", uid));
		(void)close(fd);
		return;
	}
	l->peer_uid = uid;
	if (link_open(l, fd)) {
		link_destroy(l);
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
	for (i = 0; i < READ_BATCH; i++) {
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
			link_fail_later(l, REASON_IPC_QUEUE_FULL);
		}
	}
}
