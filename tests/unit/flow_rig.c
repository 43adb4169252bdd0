/* SPDX-License-Identifier: Apache-2.0 */
#include "flow_rig.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "ctl/pki.h"

#define STEP_US 500

/* ------------------------------------------------------------------- fake sbc
 */

static void copy(char *to, size_t size, const char *from)
{
	(void)snprintf(to, size, "%s", from);
}

static void on_opened(void *ctx, struct ipc_link *link, const Gh__Msg *msg)
{
	const Gh__FlowOpened *m = msg->flow_opened;
	struct rig *r = ctx;
	struct rig_opened *o = &r->opened[r->n_opened];

	(void)link;
	ck_assert_uint_lt(r->n_opened, RIG_OPENED_MAX);
	memset(o, 0, sizeof(*o));
	o->flow = m->flow;
	o->request = m->request;
	o->local_port = (uint16_t)m->local_port;
	o->transport = m->transport;
	copy(o->peer, sizeof(o->peer), m->peer);
	copy(o->listen, sizeof(o->listen), m->listen);
	copy(o->key, sizeof(o->key), m->tls_key);
	for (size_t i = 0; i < m->n_tls_names && i < 4; i++)
		copy(o->names[o->n_names++], 256, m->tls_names[i]);
	r->n_opened++;
}

static void on_closed(void *ctx, struct ipc_link *link, const Gh__Msg *msg)
{
	const Gh__FlowClosed *m = msg->flow_closed;
	struct rig *r = ctx;
	struct rig_closed *c = &r->closed[r->n_closed];

	(void)link;
	ck_assert_uint_lt(r->n_closed, RIG_OPENED_MAX);
	memset(c, 0, sizeof(*c));
	c->flow = m->flow;
	c->request = m->request;
	ck_assert_int_eq(reason_from_number(m->reason, &c->why), 0);
	copy(c->detail, sizeof(c->detail), m->detail);
	copy(c->peer, sizeof(c->peer), m->peer);
	c->times = m->times;
	r->n_closed++;
}

static const struct ipc_permit permits[] = {
	{GH__MSG__BODY_FLOW_OPENED, PROCESS_BIT(PROCESS_FLOWD), on_opened},
	{GH__MSG__BODY_FLOW_CLOSED, PROCESS_BIT(PROCESS_FLOWD), on_closed},
};

static void accept_bridges(struct rig *r)
{
	struct sockaddr_storage sa;
	socklen_t len = sizeof(sa);
	struct addr from;
	int fd;

	while ((fd = accept4(r->bridge_listen, (struct sockaddr *)&sa, &len,
			SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
		struct rig_bridge *b = NULL;

		ck_assert_int_eq(
			addr_from_sockaddr((struct sockaddr *)&sa, len, &from),
			0);
		ck_assert(addr_is_loopback(&from));
		for (size_t i = 0; i < RIG_BRIDGES && !b; i++)
			if (r->bridges[i].fd < 0)
				b = &r->bridges[i];
		ck_assert_ptr_nonnull(b);
		b->fd = fd;
		b->port = from.port;
		b->len = 0;
		b->ended = false;
		len = sizeof(sa);
	}
}

static void read_bridges(struct rig *r)
{
	for (size_t i = 0; i < RIG_BRIDGES; i++) {
		struct rig_bridge *b = &r->bridges[i];
		ssize_t n;

		if (b->fd < 0 || b->ended)
			continue;
		n = recv(b->fd, b->bytes + b->len,
			sizeof(b->bytes) - 1 - b->len, MSG_DONTWAIT);
		if (n > 0)
			b->len += (size_t)n;
		else if (n == 0 || errno != EAGAIN)
			b->ended = true;
		b->bytes[b->len] = '\0';
	}
}

static void on_timer(void *arg)
{
	struct rig *r = arg;

	loop_stop(r->daemon.loop);
}

static void step(struct rig *r)
{
	loop_timer_set(r->daemon.loop, r->timer, STEP_US);
	ck_assert_int_eq(loop_run(r->daemon.loop), 0);
	if (r->sbc && r->sbc_reads) {
		accept_bridges(r);
		read_bridges(r);
	}
}

void rig_until(struct rig *r, bool (*done)(struct rig *, void *), void *arg)
{
	uint64_t end_us = clock_now_us() + RIG_PATIENCE_US;

	while (!done(r, arg)) {
		ck_assert_msg(clock_now_us() < end_us, "waited in vain");
		step(r);
	}
}

static bool is_later(struct rig *r, void *arg)
{
	(void)r;
	return clock_now_us() >= *(uint64_t *)arg;
}

void rig_for(struct rig *r, uint64_t us)
{
	uint64_t end_us = clock_now_us() + us;

	rig_until(r, is_later, &end_us);
}

static bool has_opened(struct rig *r, void *arg)
{
	return r->n_opened >= *(size_t *)arg;
}

struct rig_opened *rig_wait_opened(struct rig *r, size_t n)
{
	rig_until(r, has_opened, &n);
	ck_assert_uint_eq(r->n_opened, n);
	return &r->opened[n - 1];
}

static bool has_closed(struct rig *r, void *arg)
{
	return r->n_closed >= *(size_t *)arg;
}

struct rig_closed *rig_wait_closed(struct rig *r, size_t n)
{
	rig_until(r, has_closed, &n);
	ck_assert_uint_eq(r->n_closed, n);
	return &r->closed[n - 1];
}

static struct rig_bridge *find_bridge(struct rig *r, uint16_t port)
{
	for (size_t i = 0; i < RIG_BRIDGES; i++)
		if (r->bridges[i].fd >= 0 && r->bridges[i].port == port)
			return &r->bridges[i];
	return NULL;
}

static bool has_bridge(struct rig *r, void *arg)
{
	return find_bridge(r, *(uint16_t *)arg) != NULL;
}

struct rig_bridge *rig_bridge(struct rig *r, uint16_t port)
{
	rig_until(r, has_bridge, &port);
	return find_bridge(r, port);
}

struct waiting {
	void *from;
	const char *text;
};

static bool bridge_has(struct rig *r, void *arg)
{
	struct waiting *w = arg;
	struct rig_bridge *b = w->from;

	(void)r;
	return b->len && memmem(b->bytes, b->len, w->text, strlen(w->text));
}

void rig_bridge_expect(struct rig *r, struct rig_bridge *b, const char *text)
{
	struct waiting w = {b, text};

	rig_until(r, bridge_has, &w);
}

void rig_bridge_say(struct rig *r, struct rig_bridge *b, const char *text)
{
	size_t at = 0, len = strlen(text);

	while (at < len) {
		ssize_t n = send(b->fd, text + at, len - at,
			MSG_DONTWAIT | MSG_NOSIGNAL);

		ck_assert(n >= 0 || errno == EAGAIN);
		at += n > 0 ? (size_t)n : 0;
		step(r);
	}
}

static void close_bridges(struct rig *r)
{
	for (size_t i = 0; i < RIG_BRIDGES; i++) {
		if (r->bridges[i].fd >= 0)
			close(r->bridges[i].fd);
		r->bridges[i].fd = -1;
	}
}

void rig_send(struct rig *r, const Gh__Msg *msg)
{
	ck_assert_int_eq(ipc_send(r->sbc, msg), 0);
}

void rig_configure(struct rig *r)
{
	r->flow_config.listeners = r->listeners;
	r->flow_config.version++;
	IPC_MSG(msg, FLOW_CONFIG, flow_config, &r->flow_config);
	rig_send(r, &msg);
}

static bool link_is_up(struct rig *r, void *arg)
{
	(void)arg;
	return ipc_is_up(r->sbc);
}

/* Every listener takes connections: a try from outside would be counted. */
static bool listens(struct rig *r, void *arg)
{
	(void)arg;
	for (size_t i = 0; i < r->flow_config.n_listeners; i++) {
		struct sockaddr_storage sa;
		struct addr a;
		socklen_t len;
		const int on = 1;
		int fd, rc;

		ck_assert_int_eq(addr_parse(r->listen_text[i], &a), 0);
		len = addr_to_sockaddr(&a, &sa);
		fd = socket(a.family, SOCK_STREAM | SOCK_CLOEXEC, 0);
		/* Bound by somebody without SO_REUSEADDR-sharing listens. */
		(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
		rc = bind(fd, (struct sockaddr *)&sa, len);
		close(fd);
		if (rc == 0)
			return false;
	}
	return true;
}

void rig_sbc_up(struct rig *r)
{
	struct ipc_config config = {
		.loop = r->daemon.loop,
		.self = PROCESS_SBC,
		.users = &r->daemon.users,
		.permits = permits,
		.n_permits = sizeof(permits) / sizeof(permits[0]),
		.ctx = r,
	};
	int fds[2];

	ck_assert_int_eq(
		socketpair(AF_UNIX,
			SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds),
		0);
	ck_assert_int_eq(ctl_adopt(r->ctl, fds[0]), 0);
	ck_assert_int_eq(ipc_adopt(&config, fds[1], &r->sbc), 0);
	r->sbc_reads = true;
	rig_until(r, link_is_up, NULL);
	rig_configure(r);
	rig_until(r, listens, NULL);
}

void rig_sbc_down(struct rig *r)
{
	ipc_link_free(&r->sbc);
	close_bridges(r);
	rig_for(r, 20000);
}

static int free_port(const char *ip, struct addr *out, bool keep)
{
	struct sockaddr_storage sa;
	struct addr a;
	socklen_t len;
	int fd;

	ck_assert_int_eq(addr_parse(ip, &a), 0);
	len = addr_to_sockaddr(&a, &sa);
	fd = socket(a.family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&sa, len), 0);
	len = sizeof(sa);
	ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&sa, &len), 0);
	ck_assert_int_eq(
		addr_from_sockaddr((struct sockaddr *)&sa, len, out), 0);
	if (keep)
		return fd;
	close(fd);
	return -1;
}

unsigned rig_listener(struct rig *r, const char *ip, Gh__Transport transport)
{
	unsigned i = (unsigned)r->flow_config.n_listeners++;
	Gh__FlowListener *l = &r->listener[i];
	struct addr a;

	ck_assert_uint_lt(i, RIG_LISTENERS);
	(void)free_port(ip, &a, false);
	gh__flow_listener__init(l);
	addr_format(&a, r->listen_text[i]);
	l->realm = 1;
	l->listen = r->listen_text[i];
	l->transport = transport;
	l->advertised = strdup("sbc.example.com:5061");
	r->listeners[i] = l;
	return i;
}

static void on_keeper_up(void *ctx)
{
	(void)ctx;
}

void rig_begin(struct rig *r)
{
	static const struct notify_events nothing = {.on_up = on_keeper_up};

	memset(r, 0, sizeof(*r));
	signal(SIGPIPE, SIG_IGN);
	log_open("test", LOG_LEVEL_ERR);
	ck_assert_int_eq(tls_begin(), 0);
	copy(r->dir, sizeof(r->dir), "/tmp/flow_rig.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(r->dir));
	snprintf(r->tls_dir, sizeof(r->tls_dir), "%s/tls", r->dir);
	snprintf(r->ca_dir, sizeof(r->ca_dir), "%s/ca", r->dir);
	ck_assert_int_eq(mkdir(r->tls_dir, 0700), 0);
	ck_assert_int_eq(mkdir(r->ca_dir, 0700), 0);
	r->bridges = calloc(RIG_BRIDGES, sizeof(*r->bridges));
	for (size_t i = 0; i < RIG_BRIDGES; i++)
		r->bridges[i].fd = -1;
	r->daemon.self = PROCESS_FLOWD;
	process_users_all(&r->daemon.users, getuid());
	ck_assert_int_eq(loop_event_new(&r->daemon.loop), 0);
	ck_assert_int_eq(
		loop_timer_new(r->daemon.loop, on_timer, r, &r->timer), 0);
	ck_assert_int_eq(notify_new(r->daemon.loop, NULL, PROCESS_FLOWD,
				 &nothing, r, &r->daemon.keeper),
		0);
	r->bridge_listen = free_port("127.0.0.1", &r->bridge_addr, true);
	ck_assert_int_eq(listen(r->bridge_listen, 64), 0);
	addr_format(&r->bridge_addr, r->bridge_text);
	r->config = (struct ctl_config){
		.daemon = &r->daemon,
		.folders = {.tls_dir = r->tls_dir,
			.ca_dir = r->ca_dir,
			.system_ca = "/nonexistent"},
		.capacity = 100,
		.max_handshakes = 16,
		.accept_rate = 10000,
		.accept_rate_source = 10000,
		.check_us = 50000,
		.refused_us = 10000,
	};
	gh__flow_config__init(&r->flow_config);
	r->flow_config.bridge = r->bridge_text;
	ck_assert_int_eq(ctl_new(&r->config, &r->ctl), 0);
}

static int remove_one(
	const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

void rig_end(struct rig *r)
{
	for (size_t i = 0; i < r->flow_config.n_listeners; i++)
		free(r->listener[i].advertised);
	ipc_link_free(&r->sbc);
	ctl_free(&r->ctl);
	close_bridges(r);
	free(r->bridges);
	close(r->bridge_listen);
	notify_free(&r->daemon.keeper);
	loop_timer_free(r->daemon.loop, &r->timer);
	loop_free(&r->daemon.loop);
	(void)nftw(r->dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

/* ---------------------------------------------------------------------- peers
 */

void rig_connect(
	struct rig_peer *p, struct rig *r, unsigned listener, const char *ip)
{
	struct sockaddr_storage sa;
	struct addr to, from;
	const int on = 1;

	memset(p, 0, sizeof(*p));
	p->rig = r;
	ck_assert_int_eq(addr_parse(r->listen_text[listener], &to), 0);
	ck_assert_int_eq(addr_parse(ip, &from), 0);
	p->fd = socket(to.family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ck_assert_int_ge(p->fd, 0);
	(void)setsockopt(p->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	ck_assert_int_eq(bind(p->fd, (struct sockaddr *)&sa,
				 addr_to_sockaddr(&from, &sa)),
		0);
	ck_assert_int_eq(connect(p->fd, (struct sockaddr *)&sa,
				 addr_to_sockaddr(&to, &sa)),
		0);
	ck_assert_int_eq(fcntl(p->fd, F_SETFL, O_NONBLOCK), 0);
}

void rig_peer_end(struct rig_peer *p)
{
	SSL_free(p->ssl);
	SSL_CTX_free(p->ctx);
	p->ssl = NULL;
	p->ctx = NULL;
	if (p->fd >= 0)
		close(p->fd);
	p->fd = -1;
}

static void peer_failed(struct rig_peer *p, int rc)
{
	int e = SSL_get_error(p->ssl, rc);

	if (e == SSL_ERROR_ZERO_RETURN)
		p->ended = true;
	else if (e != SSL_ERROR_WANT_READ && e != SSL_ERROR_WANT_WRITE)
		p->broken = true;
	ERR_clear_error();
}

static bool shakes(struct rig *r, void *arg)
{
	struct rig_peer *p = arg;
	int rc;

	(void)r;
	ERR_clear_error();
	rc = SSL_do_handshake(p->ssl);
	if (rc == 1)
		p->handshake = true;
	else
		peer_failed(p, rc);
	return p->handshake || p->broken || p->ended;
}

bool rig_secure(struct rig_peer *p, const struct rig_tls *tls)
{
	char key[256];

	p->ctx = SSL_CTX_new(TLS_client_method());
	if (tls->version) {
		SSL_CTX_set_min_proto_version(p->ctx, tls->version);
		SSL_CTX_set_max_proto_version(p->ctx, tls->version);
	}
	/* A test may speak what we refuse. */
	SSL_CTX_set_security_level(p->ctx, 0);
	if (tls->ciphers)
		ck_assert_int_eq(
			SSL_CTX_set_cipher_list(p->ctx, tls->ciphers), 1);
	if (tls->ca) {
		ck_assert_int_eq(SSL_CTX_load_verify_file(p->ctx, tls->ca), 1);
		SSL_CTX_set_verify(p->ctx, SSL_VERIFY_PEER, NULL);
	}
	if (tls->crt) {
		copy(key, sizeof(key), tls->crt);
		memcpy(key + strlen(key) - 3, "key", 4);
		ck_assert_int_eq(
			SSL_CTX_use_certificate_chain_file(p->ctx, tls->crt),
			1);
		ck_assert_int_eq(SSL_CTX_use_PrivateKey_file(
					 p->ctx, key, SSL_FILETYPE_PEM),
			1);
	}
	p->ssl = SSL_new(p->ctx);
	SSL_set_fd(p->ssl, p->fd);
	SSL_set_connect_state(p->ssl);
	if (tls->sni)
		SSL_set_tlsext_host_name(p->ssl, tls->sni);
	if (tls->ask_status)
		SSL_set_tlsext_status_type(p->ssl, TLSEXT_STATUSTYPE_ocsp);
	rig_until(p->rig, shakes, p);
	return p->handshake;
}

static void peer_read(struct rig_peer *p)
{
	size_t room = sizeof(p->bytes) - 1 - p->len;
	ssize_t n;

	if (p->ended || p->broken || room == 0)
		return;
	if (p->ssl) {
		ERR_clear_error();
		n = SSL_read(p->ssl, p->bytes + p->len, (int)room);
		if (n <= 0)
			peer_failed(p, (int)n);
	} else {
		n = recv(p->fd, p->bytes + p->len, room, MSG_DONTWAIT);
		p->ended = n == 0;
		p->broken = n < 0 && errno != EAGAIN;
	}
	if (n > 0)
		p->len += (size_t)n;
	p->bytes[p->len] = '\0';
}

static bool peer_has(struct rig *r, void *arg)
{
	struct waiting *w = arg;
	struct rig_peer *p = w->from;

	(void)r;
	peer_read(p);
	return p->len && memmem(p->bytes, p->len, w->text, strlen(w->text));
}

void rig_expect(struct rig_peer *p, const char *text)
{
	struct waiting w = {p, text};

	rig_until(p->rig, peer_has, &w);
}

static bool peer_ended(struct rig *r, void *arg)
{
	struct rig_peer *p = arg;

	(void)r;
	peer_read(p);
	return p->ended || p->broken;
}

void rig_expect_end(struct rig_peer *p)
{
	rig_until(p->rig, peer_ended, p);
}

void rig_say_bytes(struct rig_peer *p, const void *bytes, size_t len)
{
	const uint8_t *from = bytes;
	size_t at = 0;

	while (at < len && !p->broken) {
		ssize_t n;

		if (p->ssl) {
			ERR_clear_error();
			n = SSL_write(p->ssl, from + at, (int)(len - at));
			if (n <= 0)
				peer_failed(p, (int)n);
		} else {
			n = send(p->fd, from + at, len - at,
				MSG_DONTWAIT | MSG_NOSIGNAL);
			p->broken = n < 0 && errno != EAGAIN;
		}
		at += n > 0 ? (size_t)n : 0;
		step(p->rig);
	}
}

void rig_say(struct rig_peer *p, const char *text)
{
	rig_say_bytes(p, text, strlen(text));
}

/* --------------------------------------------------------------- certificates
 */

const char *rig_path(struct rig *r, const char *name)
{
	static char paths[8][160];
	static unsigned next;
	char *path = paths[next++ % 8];

	snprintf(path, sizeof(paths[0]), "%s/%s", r->dir, name);
	return path;
}

void rig_make_ca(struct rig *r, const char *name)
{
	char crt[64], key[64], problem[PKI_PROBLEM_SIZE];
	struct pki_order o = {.kind = PKI_CA,
		.subject = name,
		.not_before_s = time(NULL) - 86400,
		.not_after_s = time(NULL) + 86400 * 365};

	snprintf(crt, sizeof(crt), "ca/%s.crt", name);
	snprintf(key, sizeof(key), "ca/%s.key", name);
	o.crt = rig_path(r, crt);
	o.key = rig_path(r, key);
	if (pki_make(&o, problem))
		ck_abort_msg("%s", problem);
}

void rig_make_cert(struct rig *r, const char *name, const char *ca,
	const char *host, bool rsa, int days)
{
	char crt[64], key[64], ca_crt[64], ca_key[64];
	char problem[PKI_PROBLEM_SIZE];
	struct pki_order o = {.kind = PKI_TRUNK,
		.subject = name,
		.names = &host,
		.n_names = 1,
		.rsa = rsa,
		.chain = true,
		.not_before_s = time(NULL) - 86400 * 30,
		.not_after_s = time(NULL) + (int64_t)days * 86400};

	snprintf(crt, sizeof(crt), "tls/%s.crt", name);
	snprintf(key, sizeof(key), "tls/%s.key", name);
	snprintf(ca_crt, sizeof(ca_crt), "ca/%s.crt", ca);
	snprintf(ca_key, sizeof(ca_key), "ca/%s.key", ca);
	o.crt = rig_path(r, crt);
	o.key = rig_path(r, key);
	o.ca_crt = rig_path(r, ca_crt);
	o.ca_key = rig_path(r, ca_key);
	(void)remove(o.crt);
	(void)remove(o.key);
	if (pki_make(&o, problem))
		ck_abort_msg("%s", problem);
}
