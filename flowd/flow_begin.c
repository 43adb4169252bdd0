/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a flow begins: accepted or connected, through TLS where it has some; and
 * which function each event of its socket belongs to.
 */
#include "flowd/flow_inner.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/device.h"
#include "common/log.h"
#include "common/stat.h"

static void flow_open(struct flow *f)
{
	flow_set_state(f, FLOW_EV_SECURED);
	f->last_rx_us = f->since_us;
	f->wall_opened_us = clock_wall_us();
	reason_count(REASON_FLOW_OPENED);
	stat_add(STAT_FLOWS_TOTAL, 1);
	log_peer_info("flow_open", LOG_UINT("flow", f->id),
		LOG_ADDR("peer", &f->peer),
		LOG_ADDR("listen", &f->face->listen),
		LOG_STR("transport", transport_name(f->face->transport)),
		LOG_STR("tls",
			f->wire.ssl ? SSL_get_version(f->wire.ssl) : ""));
	f->timer_at_us = 0;
	flow_arm(f);
	if (f->request)
		flow_bridge_soon(f);
	flow_read(f);
}

static void handshake_failed(struct flow *f, int err)
{
	const char *refusal = tls_refusal(f->wire.ssl);

	if (refusal)
		flow_gone(f, REASON_FLOW_TLS_UNTRUSTED, refusal);
	else if (err == ERR_CLOSED && !f->request)
		flow_gone(f, REASON_FLOW_TLS_HANDSHAKE, "closed by the peer");
	else
		flow_gone(f, REASON_FLOW_TLS_HANDSHAKE, wire_problem());
}

static void go_on_handshake(struct flow *f)
{
	int err = wire_handshake(&f->wire);

	if (err == ERR_AGAIN) {
		flow_watch(f);
		return;
	}
	if (err) {
		handshake_failed(f, err);
		return;
	}
	f->is_secured = true;
	if (f->tls_name && !tls_peer_has(f->wire.ssl, f->tls_name)) {
		flow_gone(f, REASON_FLOW_TLS_NAME, f->tls_name);
		return;
	}
	flow_open(f);
}

static void begin_tls(struct flow *f)
{
	flow_set_state(f, FLOW_EV_CONNECTED);
	f->timer_at_us = 0;
	flow_arm(f);
	go_on_handshake(f);
}

static void on_connected(struct flow *f)
{
	int error = 0;
	socklen_t len = sizeof(error);

	if (getsockopt(f->wire.fd, SOL_SOCKET, SO_ERROR, &error, &len))
		error = errno;
	if (error)
		flow_gone(f, REASON_FLOW_CONNECT_FAILED, strerror(error));
	else if (f->wire.ssl)
		begin_tls(f);
	else
		flow_open(f);
}

static void on_flow_fd(void *arg, int fd, unsigned events)
{
	struct flow *f = arg;

	(void)fd;
	switch (f->state) {
	case FLOW_CONNECTING:
		on_connected(f);
		break;
	case FLOW_HANDSHAKE:
		go_on_handshake(f);
		break;
	case FLOW_OPEN:
		/* TLS may want either event for either direction. */
		if (buf_len(&f->out) > 0 || (events & LOOP_WRITE))
			flow_flush(f);
		if (f->state == FLOW_OPEN)
			flow_read(f);
		break;
	case FLOW_ENDING:
		flow_flush(f);
		if (f->state == FLOW_ENDING && !f->read_paused)
			flow_discard(f);
		if (f->state == FLOW_ENDING)
			flow_watch(f);
		break;
	case FLOW_GONE:
	case FLOW_STATE_COUNT:
		break;
	}
}

/* A dead host is noticed: by probes while silent, by time while we speak. */
static void set_options(int fd)
{
	const int on = 1, idle_s = 90, interval_s = 15, count = 4;
	const unsigned user_timeout_ms = 30000;

	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	(void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	(void)setsockopt(
		fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof(idle_s));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval_s,
		sizeof(interval_s));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof(count));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &user_timeout_ms,
		sizeof(user_timeout_ms));
}

/* A flow in its first state, watched; takes fd and source. NULL: out of memory
 * or too many, and both are given back. */
static struct flow *flow_new(struct flows *flows, int fd,
	const struct addr *peer, struct face *face, SSL_CTX *tls,
	struct source *source, enum flow_state state)
{
	struct flow *f = calloc(1, sizeof(*f));

	if (!f)
		goto fail;
	f->flows = flows;
	f->id = flows->next_id++;
	f->wire.fd = fd;
	f->state = state;
	f->since_us = clock_now_us();
	f->peer = *peer;
	bridge_init(&f->bridge, flows->loop, &flow_bridge_events, f);
	if (tls && wire_secure(&f->wire, tls, state != FLOW_CONNECTING))
		goto fail;
	if (loop_timer_new(flows->loop, flow_on_timer, f, &f->timer))
		goto fail;
	if (table_add(&flows->table, &f->node, &f->id, sizeof(f->id)))
		goto fail;
	if (loop_fd_add(flows->loop, fd, 0, on_flow_fd, f, &f->watch)) {
		table_remove(&flows->table, &f->node);
		goto fail;
	}
	set_options(fd);
	f->face = face_ref(face);
	f->source = source;
	TAILQ_INSERT_TAIL(&flows->all, f, all);
	flows->n_flows++;
	stat_set(STAT_FLOWS, flows->n_flows);
	if (flow_is_young(state))
		flows->n_handshakes++;
	stat_set(STAT_FLOW_HANDSHAKES, flows->n_handshakes);
	return f;
fail:
	if (f) {
		SSL_free(f->wire.ssl);
		loop_timer_free(flows->loop, &f->timer);
		free(f);
	}
	(void)close(fd);
	sources_give(source, clock_now_us());
	return NULL;
}

void flows_accept(struct flows *flows, int fd, const struct addr *peer,
	struct face *face, SSL_CTX *tls, struct source *source)
{
	/* A plain flow passes its first state without stopping. */
	enum flow_state state = tls ? FLOW_HANDSHAKE : FLOW_CONNECTING;
	struct flow *f;

	f = flow_new(flows, fd, peer, face, tls, source, state);
	if (!f) {
		reason_count(REASON_FLOW_FULL);
		flows->events->on_refused(flows->ctx, peer, face,
			REASON_FLOW_FULL, "out of memory");
		return;
	}
	if (!tls) {
		flow_open(f);
		return;
	}
	flow_arm(f);
	go_on_handshake(f);
}

/* @return a socket that connects, or -1 with errno. */
static int connect_from(const struct flow_connect *c)
{
	const struct addr *remote = &c->remote;
	struct sockaddr_storage sa;
	struct addr own = c->local;
	const int on = 1;
	int fd = socket(
		remote->family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -1;
	own.port = 0;
	/* The port is chosen by connect(): it may then serve several peers. */
	(void)setsockopt(
		fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
	if (device_bind(fd, c->device) == 0 &&
		bind(fd, (struct sockaddr *)&sa, addr_to_sockaddr(&own, &sa)) ==
			0 &&
		(connect(fd, (struct sockaddr *)&sa,
			 addr_to_sockaddr(remote, &sa)) == 0 ||
			errno == EINPROGRESS))
		return fd;
	(void)close(fd);
	return -1;
}

enum reason flows_connect(
	struct flows *flows, const struct flow_connect *c, uint64_t *id_out)
{
	struct source *source;
	struct flow *f;
	int fd;

	if (flows->n_flows >= flows->sources->limits.max_flows)
		return REASON_FLOW_FULL;
	fd = connect_from(c);
	if (fd < 0)
		return errno == EMFILE || errno == ENFILE || errno == ENOMEM
			       ? REASON_FLOW_FULL
			       : REASON_FLOW_CONNECT_FAILED;
	source = sources_take_out(flows->sources, &c->remote, clock_now_us());
	f = flow_new(flows, fd, &c->remote, c->face, c->tls, source,
		FLOW_CONNECTING);
	if (!f)
		return REASON_FLOW_FULL;
	f->request = c->request;
	*id_out = f->id;
	if (c->tls && !c->want.pin[0]) {
		f->tls_name = strdup(c->want.name);
		if (!f->tls_name)
			goto fail;
	}
	if (c->tls && tls_client_prepare(f->wire.ssl, &c->want))
		goto fail;
	flow_arm(f);
	flow_watch(f);
	return REASON_FLOW_OPENED;
fail:
	f->request = 0; /* the caller tells sbc */
	flow_gone(f, REASON_FLOW_CONNECT_FAILED, "TLS name");
	return REASON_FLOW_CONNECT_FAILED;
}
