/* SPDX-License-Identifier: Apache-2.0 */
#include "flowd/bridge.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/secret.h"

#define READ_SIZE   16384
#define READ_ROUNDS 4

struct bridge_packet {
	STAILQ_ENTRY(bridge_packet) next;
	uint64_t since_us;
	char branch[BRIDGE_BRANCH_LEN]; /* as bridge_send() got it */
	bool has_branch;
	bool again; /* said once more already */
	size_t len;
	uint8_t bytes[];
};

static const struct frame_limits from_sbc = {BRIDGE_HEADER_MAX, BRIDGE_BODY_MAX,
	BRIDGE_LINES_MAX, BRIDGE_HEADER_MAX};

void bridge_init(struct bridge *b, struct loop *loop,
	const struct bridge_events *events, void *ctx)
{
	*b = (struct bridge){
		.loop = loop, .events = events, .ctx = ctx, .fd = -1};
	STAILQ_INIT(&b->queue);
	STAILQ_INIT(&b->kept);
}

static void down(struct bridge *b, bool broken)
{
	bridge_close(b);
	b->events->on_down(b->ctx, broken);
}

/* @return whether the connection lives. */
static bool watch(struct bridge *b)
{
	unsigned want = b->paused ? 0 : LOOP_READ;

	if (!STAILQ_EMPTY(&b->queue))
		want |= LOOP_WRITE;
	if (want == b->watching)
		return true;
	if (loop_fd_set(b->loop, b->watch, want)) {
		down(b, false);
		return false;
	}
	b->watching = want;
	return true;
}

/* ------------------------------------------------------------------ to sbc */

/* @return bytes taken, or -1 if the connection is no good. */
static ssize_t put(struct bridge *b, const uint8_t *bytes, size_t len)
{
	ssize_t n;

	do
		n = send(b->fd, bytes, len, MSG_DONTWAIT | MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	if (n < 0 && (errno == EAGAIN || errno == ENOTCONN))
		return 0;
	return n;
}

static struct bridge_packet *packet_new(
	const uint8_t *bytes, size_t len, const char *branch)
{
	struct bridge_packet *p = malloc(sizeof(*p) + len);

	if (!p)
		return NULL;
	*p = (struct bridge_packet){.len = len, .has_branch = branch != NULL};
	if (branch) {
		p->since_us = clock_now_us();
		memcpy(p->branch, branch, sizeof(p->branch));
	}
	memcpy(p->bytes, bytes, len);
	return p;
}

static void packet_free(struct bridge_packet *p)
{
	/* It may have had media keys in it. */
	secret_wipe(p->bytes, p->len);
	free(p);
}

static void unkeep_first(struct bridge *b)
{
	struct bridge_packet *p = STAILQ_FIRST(&b->kept);

	STAILQ_REMOVE_HEAD(&b->kept, next);
	b->n_kept--;
	b->n_kept_bytes -= p->len;
	packet_free(p);
}

/* Takes a packet that the kernel has. */
static void keep(struct bridge *b, struct bridge_packet *p)
{
	unsigned n_max = b->heard ? BRIDGE_KEPT_MAX : 1;
	size_t bytes_max =
		b->heard ? BRIDGE_KEPT_BYTES : BRIDGE_KEPT_BYTES_SILENT;

	if (!p->has_branch || p->again || p->len > bytes_max) {
		packet_free(p);
		return;
	}
	while (b->n_kept > 0 &&
		(b->n_kept >= n_max || b->n_kept_bytes + p->len > bytes_max))
		unkeep_first(b);
	STAILQ_INSERT_TAIL(&b->kept, p, next);
	b->n_kept++;
	b->n_kept_bytes += p->len;
}

/* What may have been lost with the last connection goes first. */
static void say_again(struct bridge *b)
{
	uint64_t now = clock_now_us();
	struct bridge_packet *p;

	while (b->n_kept > 0 &&
		now - STAILQ_FIRST(&b->kept)->since_us > BRIDGE_KEPT_US)
		unkeep_first(b);
	STAILQ_FOREACH (p, &b->kept, next)
		p->again = true;
	STAILQ_CONCAT(&b->kept, &b->queue);
	STAILQ_CONCAT(&b->queue, &b->kept);
	b->n_bytes += b->n_kept_bytes;
	b->n_kept = b->n_kept_bytes = 0;
}

void bridge_answered(struct bridge *b, const char *branch)
{
	struct bridge_packet *p, *next;

	b->heard = true;
	for (p = STAILQ_FIRST(&b->kept); p; p = next) {
		next = STAILQ_NEXT(p, next);
		if (memcmp(p->branch, branch, sizeof(p->branch)) != 0)
			continue;
		STAILQ_REMOVE(&b->kept, p, bridge_packet, next);
		b->n_kept--;
		b->n_kept_bytes -= p->len;
		packet_free(p);
	}
}

int bridge_send(
	struct bridge *b, const uint8_t *bytes, size_t len, const char *branch)
{
	struct bridge_packet *p;
	ssize_t n = 0;

	if (bridge_is_open(b) && STAILQ_EMPTY(&b->queue)) {
		n = put(b, bytes, len);
		if (n == (ssize_t)len && !branch)
			return 0;
		if (n < 0)
			n = 0; /* reading tells that it has gone */
	}
	p = packet_new(bytes, len, branch);
	if (!p)
		return ERR_NOMEM;
	if (n == (ssize_t)len) {
		keep(b, p);
		return 0;
	}
	STAILQ_INSERT_TAIL(&b->queue, p, next);
	b->n_bytes += len;
	if (n > 0)
		b->n_sent = (size_t)n;
	if (bridge_is_open(b))
		(void)watch(b);
	return 0;
}

static void flush(struct bridge *b)
{
	struct bridge_packet *p;
	bool drained = false;

	while ((p = STAILQ_FIRST(&b->queue))) {
		ssize_t n = put(b, p->bytes + b->n_sent, p->len - b->n_sent);

		if (n < 0) {
			down(b, false);
			return;
		}
		b->n_sent += (size_t)n;
		if (b->n_sent < p->len)
			break;
		b->n_sent = 0;
		b->n_bytes -= p->len;
		STAILQ_REMOVE_HEAD(&b->queue, next);
		keep(b, p);
		drained = true;
	}
	if (watch(b) && drained)
		b->events->on_drain(b->ctx);
}

/* ---------------------------------------------------------------- from sbc */

/* @return bytes consumed. */
static size_t take_messages(struct bridge *b, const uint8_t *bytes, size_t len)
{
	size_t at = 0;

	while (at < len && !b->paused && bridge_is_open(b)) {
		size_t n = 0;

		switch (frame_next(
			&b->frame, &from_sbc, bytes + at, len - at, &n)) {
		case FRAME_MORE:
			return at;
		case FRAME_PING:
		case FRAME_PONG:
			break; /* between us there is nothing to keep alive */
		case FRAME_MESSAGE:
			b->events->on_message(b->ctx, bytes + at, n,
				b->frame.header_len, at + n < len);
			break;
		case FRAME_TOO_BIG:
		case FRAME_LENGTH:
		case FRAME_BROKEN:
		case FRAME_EVENT_COUNT:
			down(b, true);
			return len;
		}
		at += n;
	}
	return at;
}

static size_t take(struct bridge *b, const uint8_t *bytes, size_t len)
{
	size_t n = take_messages(b, bytes, len);

	if (n > 0)
		b->events->on_message_end(b->ctx);
	return n;
}

static void take_buffered(struct bridge *b)
{
	size_t n = take(b, buf_bytes(&b->in), buf_len(&b->in));

	/* A handler may have closed the connection and cleared the buffer. */
	if (bridge_is_open(b) && n > 0)
		buf_consume(&b->in, n);
}

static void feed(struct bridge *b, const uint8_t *bytes, size_t len)
{
	size_t n = 0;

	if (buf_len(&b->in) == 0)
		n = take(b, bytes, len);
	if (!bridge_is_open(b))
		return;
	if (buf_add(&b->in, bytes + n, len - n)) {
		down(b, false);
		return;
	}
	if (n == 0)
		take_buffered(b);
}

static void on_bridge_fd(void *arg, int fd, unsigned events)
{
	static uint8_t bytes[READ_SIZE]; /* one thread, not used in nesting */
	struct bridge *b = arg;

	if (events & LOOP_WRITE)
		flush(b);
	for (unsigned i = 0; (events & LOOP_READ) && i < READ_ROUNDS; i++) {
		ssize_t n;

		if (b->fd != fd || b->paused)
			return;
		n = recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n <= 0) {
			down(b, false);
			return;
		}
		feed(b, bytes, (size_t)n);
		/* It may have had media keys in it. */
		secret_wipe(bytes, (size_t)n);
		if ((size_t)n < sizeof(bytes))
			return; /* that was all, or the loop tells */
	}
}

void bridge_pause(struct bridge *b, bool paused)
{
	if (b->paused == paused)
		return;
	b->paused = paused;
	if (!bridge_is_open(b))
		return;
	if (!paused && buf_len(&b->in) > 0)
		take_buffered(b);
	if (bridge_is_open(b))
		(void)watch(b);
}

/* --------------------------------------------------------------- connection */

/* @return a socket of 127.0.0.1 (or ::1) that connects to sbc, or -1. */
static int connect_local(const struct addr *sbc, uint16_t *port_out)
{
	struct sockaddr_storage sa;
	socklen_t len = addr_to_sockaddr(sbc, &sa);
	struct addr own;
	const int on = 1;
	int fd = socket(
		sbc->family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -1;
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (connect(fd, (const struct sockaddr *)&sa, len) &&
		errno != EINPROGRESS)
		goto fail;
	len = sizeof(sa);
	if (getsockname(fd, (struct sockaddr *)&sa, &len) ||
		addr_from_sockaddr((struct sockaddr *)&sa, len, &own))
		goto fail;
	*port_out = own.port;
	return fd;
fail:
	(void)close(fd);
	return -1;
}

int bridge_open(struct bridge *b, const struct addr *sbc)
{
	int fd;

	bridge_close(b);
	fd = connect_local(sbc, &b->local_port);
	if (fd < 0)
		return ERR_SYSTEM;
	b->watching = LOOP_READ | LOOP_WRITE;
	if (loop_fd_add(b->loop, fd, b->watching, on_bridge_fd, b, &b->watch)) {
		(void)close(fd);
		return ERR_NOMEM;
	}
	b->fd = fd;
	b->paused = false;
	say_again(b);
	return 0;
}

void bridge_close(struct bridge *b)
{
	if (b->fd < 0)
		return;
	loop_fd_free(b->loop, &b->watch);
	(void)close(b->fd);
	b->fd = -1;
	b->n_sent = 0;
	buf_clear(&b->in);
	b->frame = (struct frame){0};
}

void bridge_done(struct bridge *b)
{
	struct bridge_packet *p;

	bridge_close(b);
	while ((p = STAILQ_FIRST(&b->queue))) {
		STAILQ_REMOVE_HEAD(&b->queue, next);
		packet_free(p);
	}
	b->n_bytes = 0;
	while (b->n_kept > 0)
		unkeep_first(b);
}
