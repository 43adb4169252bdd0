/* SPDX-License-Identifier: Apache-2.0 */
/*
 * flowload: connections of many sources to a TLS port.
 *
 *	flowload phones --to IP:PORT --from 127.64.0.0 --trunk IP --domain NAME
 *		--n 9000 [--names] [--ca FILE]
 *	flowload handshakes|broken|slow --to IP:PORT --from 127.80.0.0
 *		--n 50000 --rate 800 [--at-once N]
 *
 * phones: connections that register and are called, driven by commands
 * (flowload_phones.c). handshakes: a full handshake, and the end. broken: what
 * is no handshake, or half of one, then reset or silence. slow: TLS, and then a
 * message of which a byte comes every second; one that is closed connects anew
 * until standard input ends.
 *
 * A loop of its own, one thread; pin it. Prints one line of sums at the end.
 */
#include "tests/bench/flowload.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define EVENTS   256
#define SLOW_NS  1000000000ull
#define HOSTS    20000u /* addresses that attackers come from */
#define LINGER_S 10     /* for the last ones */

/* ----------------------------------------------------------- connections */

bool pool_open(struct pool *p, const char *ca, const struct sockaddr_in *to)
{
	p->to = *to;
	p->epoll = epoll_create1(EPOLL_CLOEXEC);
	p->tls = SSL_CTX_new(TLS_client_method());
	if (p->epoll < 0 || !p->tls)
		return false;
	SSL_CTX_set_mode(p->tls, SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_session_cache_mode(p->tls, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_verify(
		p->tls, ca ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, NULL);
	return !ca || SSL_CTX_load_verify_locations(p->tls, ca, NULL) == 1;
}

/* The change is told where the state has become CONN_OPEN or CONN_ENDED. */
static void change(struct conn *c, enum conn_state state)
{
	struct pool *p = c->pool;

	if (c->state == CONN_OPEN)
		p->n_open--;
	c->state = state;
	p->n_open += state == CONN_OPEN;
	p->n_ended += state == CONN_ENDED;
	if (p->on_change)
		p->on_change(c);
}

static void let_go(struct conn *c)
{
	SSL_free(c->ssl);
	c->ssl = NULL;
	if (c->fd >= 0)
		close(c->fd);
	c->fd = -1;
	free(c->in);
	c->in = NULL;
	c->n_in = 0;
}

void conn_end(struct conn *c)
{
	if (c->state == CONN_NONE || c->state == CONN_ENDED)
		return;
	if (c->state == CONN_OPEN)
		(void)SSL_shutdown(c->ssl);
	ERR_clear_error();
	let_go(c);
	change(c, CONN_ENDED);
}

static void want(struct conn *c, unsigned events)
{
	struct epoll_event e = {.events = events, .data.ptr = c};

	(void)epoll_ctl(c->pool->epoll, EPOLL_CTL_MOD, c->fd, &e);
}

bool conn_begin(struct conn *c, struct in_addr host, uint16_t port)
{
	struct sockaddr_in own = {.sin_family = AF_INET,
		.sin_port = htons(port),
		.sin_addr = host};
	struct epoll_event e = {.events = EPOLLOUT, .data.ptr = c};
	int on = 1;

	c->host = host;
	c->state = CONN_TCP;
	c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (c->fd < 0) {
		perror("flowload: socket");
		return false;
	}
	(void)setsockopt(
		c->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
	(void)setsockopt(c->fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	(void)setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (bind(c->fd, (struct sockaddr *)&own, sizeof(own)) ||
		(connect(c->fd, (struct sockaddr *)&c->pool->to,
			 sizeof(c->pool->to)) &&
			errno != EINPROGRESS) ||
		epoll_ctl(c->pool->epoll, EPOLL_CTL_ADD, c->fd, &e)) {
		perror("flowload: connect");
		let_go(c);
		c->state = CONN_ENDED;
		return false;
	}
	return true;
}

void conn_send(struct conn *c, const struct sip_out *out)
{
	if (c->state != CONN_OPEN || out->overflow)
		return;
	ERR_clear_error();
	if (SSL_write(c->ssl, out->bytes, (int)out->len) <= 0)
		conn_end(c); /* a server that does not read is no good */
}

/* Whole messages; what is over moves to the front. */
static void take_messages(struct conn *c)
{
	size_t at = 0;

	while (c->state == CONN_OPEN && at < c->n_in) {
		const char *bytes = c->in + at, *length, *end;
		size_t left = c->n_in - at, len;
		struct sip_msg m;
		char kept;

		if (bytes[0] == '\r' || bytes[0] == '\n') {
			at++;
			continue;
		}
		end = memmem(bytes, left, "\r\n\r\n", 4);
		if (!end)
			break;
		len = (size_t)(end - bytes) + 4;
		length = memmem(bytes, len, "Content-Length:", 15);
		len += length ? strtoul(length + 15, NULL, 10) : 0;
		if (len > left)
			break;
		kept = c->in[at + len];
		c->in[at + len] = '\0';
		if (sip_read(bytes, len, &m))
			c->pool->on_message(c, &m, bytes);
		if (c->state != CONN_OPEN)
			return;
		c->in[at + len] = kept;
		at += len;
	}
	if (c->state != CONN_OPEN)
		return;
	memmove(c->in, c->in + at, c->n_in - at);
	c->n_in -= at;
	if (c->n_in == 0) {
		free(c->in);
		c->in = NULL;
	}
}

static void receive(struct conn *c)
{
	int n;

	while (c->state == CONN_OPEN) {
		if (!c->in)
			c->in = malloc(CONN_BYTES + 1);
		if (!c->in)
			abort();
		ERR_clear_error();
		n = SSL_read(
			c->ssl, c->in + c->n_in, (int)(CONN_BYTES - c->n_in));
		if (n <= 0) {
			if (SSL_get_error(c->ssl, n) != SSL_ERROR_WANT_READ)
				conn_end(c);
			else if (c->n_in == 0) {
				free(c->in);
				c->in = NULL;
			}
			return;
		}
		c->n_in += (size_t)n;
		c->in[c->n_in] = '\0';
		take_messages(c);
	}
}

static void handshake(struct conn *c)
{
	int n, error = 0;
	socklen_t len = sizeof(error);

	if (c->state == CONN_TCP) {
		if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &len) ||
			error) {
			conn_end(c);
			return;
		}
		c->ssl = SSL_new(c->pool->tls);
		if (!c->ssl || SSL_set_fd(c->ssl, c->fd) != 1)
			abort();
		SSL_set_connect_state(c->ssl);
		c->state = CONN_TLS;
	}
	ERR_clear_error();
	n = SSL_do_handshake(c->ssl);
	if (n == 1) {
		want(c, EPOLLIN);
		change(c, CONN_OPEN);
		receive(c);
		return;
	}
	switch (SSL_get_error(c->ssl, n)) {
	case SSL_ERROR_WANT_READ:
		want(c, EPOLLIN);
		return;
	case SSL_ERROR_WANT_WRITE:
		want(c, EPOLLOUT);
		return;
	default:
		conn_end(c);
	}
}

void pool_turn(struct pool *p)
{
	struct epoll_event events[EVENTS];
	int n = epoll_wait(p->epoll, events, EVENTS, 0);

	for (int i = 0; i < n; i++) {
		struct conn *c = events[i].data.ptr;

		if (c->state == CONN_OPEN)
			receive(c);
		else if (c->state == CONN_TCP || c->state == CONN_TLS)
			handshake(c);
	}
}

/* -------------------------------------------------------------- attackers */

enum attack { HANDSHAKES, BROKEN, SLOW };

struct attackers {
	enum attack what;
	struct pool pool;
	struct conn *conn;
	uint64_t *due_ns;
	size_t *at; /* slow: how much of its message is out */
	size_t n, n_begun, n_at_once, n_good, n_bad;
	struct in_addr from;
};

static struct in_addr host_of(const struct attackers *a, size_t i)
{
	return (struct in_addr){
		htonl(ntohl(a->from.s_addr) + (uint32_t)(i % HOSTS))};
}

static void on_attacker(struct conn *c)
{
	struct attackers *a = c->pool->ctx;

	if (c->state == CONN_OPEN && a->what == HANDSHAKES) {
		a->n_good++;
		conn_end(c);
	} else if (c->state == CONN_OPEN) {
		a->n_good++;
		a->due_ns[c->index] = load_now_ns();
		a->at[c->index] = 0;
	}
}

static void on_nothing(
	struct conn *c, const struct sip_msg *m, const char *bytes)
{
	(void)c;
	(void)m;
	(void)bytes;
}

/* Bytes that begin no handshake, half a hello, or a lie about lengths; half of
 * them end by reset. Its own plain sockets. */
static void break_one(struct attackers *a, size_t i)
{
	static const uint8_t half[] = {0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3};
	static const uint8_t lie[] = {0x16, 3, 1, 0, 5, 1, 0xff, 0xff, 0xff, 3};
	const struct linger reset = {.l_onoff = 1};
	struct sockaddr_in own = {
		.sin_family = AF_INET, .sin_addr = host_of(a, i)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
	uint8_t random[300];

	(void)setsockopt(
		fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
	if (fd < 0 || bind(fd, (struct sockaddr *)&own, sizeof(own)) ||
		connect(fd, (struct sockaddr *)&a->pool.to,
			sizeof(a->pool.to))) {
		a->n_bad++;
		close(fd);
		return;
	}
	if (i % 4 == 0 &&
		getrandom(random, sizeof(random), 0) == sizeof(random))
		(void)send(fd, random, sizeof(random), MSG_NOSIGNAL);
	else if (i % 4 == 1)
		(void)send(fd, half, sizeof(half), MSG_NOSIGNAL);
	else if (i % 4 == 2)
		(void)send(fd, lie, sizeof(lie), MSG_NOSIGNAL);
	else
		(void)send(fd, "GET / HTTP/1.0\r\n\r\n", 18, MSG_NOSIGNAL);
	if (i % 8 < 4)
		(void)setsockopt(
			fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	close(fd);
	a->n_good++;
}

/* The next byte of each; who was closed comes back. */
static void drip(struct attackers *a)
{
	static const char text[] = "REGISTER sip:slow.example.net SIP/2.0\r\n"
				   "Via: SIP/2.0/TLS 192.0.2.1;branch=z9hG4bK"
				   "slowslowslowslowslowslowslowslowslow\r\n";
	uint64_t now = load_now_ns();

	for (size_t i = 0; i < a->n_begun; i++) {
		struct conn *c = &a->conn[i];

		if (c->state == CONN_ENDED) {
			c->state = CONN_NONE;
			(void)conn_begin(c, host_of(a, i), 0);
		}
		if (c->state != CONN_OPEN || now < a->due_ns[i])
			continue;
		a->due_ns[i] += SLOW_NS;
		ERR_clear_error();
		if (SSL_write(c->ssl, text + a->at[i]++ % (sizeof(text) - 1),
			    1) <= 0)
			conn_end(c);
	}
}

static bool input_ended(void)
{
	struct pollfd p = {.fd = STDIN_FILENO, .events = POLLIN};
	char byte;

	return poll(&p, 1, 0) > 0 && read(STDIN_FILENO, &byte, 1) <= 0;
}

static bool is_over(const struct attackers *a, uint64_t last_ns)
{
	if (a->what == SLOW)
		return input_ended();
	if (a->n_begun < a->n)
		return false;
	return a->what == BROKEN || a->pool.n_ended >= a->n ||
	       load_now_ns() - last_ns > LINGER_S * 1000000000ull;
}

static void begin_one(struct attackers *a)
{
	size_t i = a->n_begun++;
	struct conn *c;

	if (a->what == BROKEN) {
		break_one(a, i);
		return;
	}
	c = &a->conn[i];
	*c = (struct conn){.pool = &a->pool, .index = i, .fd = -1};
	if (!conn_begin(c, host_of(a, i), 0))
		a->n_bad++;
}

static int attack(struct attackers *a, double rate)
{
	uint64_t start, last;
	double gap_ns = 1e9 / rate;

	a->conn = calloc(a->n, sizeof(*a->conn));
	a->due_ns = calloc(a->n, sizeof(*a->due_ns));
	a->at = calloc(a->n, sizeof(*a->at));
	if (!a->conn || !a->due_ns || !a->at)
		return 1;
	a->pool.ctx = a;
	a->pool.on_change = on_attacker;
	a->pool.on_message = on_nothing;
	last = start = load_now_ns();
	while (!is_over(a, last)) {
		for (unsigned k = 0; k < 16 && a->n_begun < a->n; k++) {
			last = load_now_ns();
			if (last < start + (uint64_t)((double)a->n_begun *
						      gap_ns) ||
				(a->what == HANDSHAKES &&
					a->n_begun - a->pool.n_ended >=
						a->n_at_once))
				break;
			begin_one(a);
		}
		pool_turn(&a->pool);
		if (a->what == SLOW)
			drip(a);
		load_rest();
	}
	printf("begun=%zu good=%zu bad=%zu ended=%zu seconds=%.3f\n",
		a->n_begun, a->n_good, a->n_bad, a->pool.n_ended,
		(double)(load_now_ns() - start) / 1e9);
	return 0;
}

/* ------------------------------------------------------------------- main */

static int usage(void)
{
	fprintf(stderr,
		"usage: flowload phones|handshakes|broken|slow --to IP:PORT "
		"--from IP --n N [--rate R] [--at-once N] [--trunk IP] "
		"[--domain NAME] [--ca FILE] [--names]\n");
	return 2;
}

struct choice {
	struct phones_options phones;
	double rate;
	size_t at_once;
};

static bool take(struct choice *o, int c)
{
	switch (c) {
	case 't':
		return load_address(optarg, &o->phones.to);
	case 'f':
		return inet_pton(AF_INET, optarg, &o->phones.from) == 1;
	case 'k':
		return inet_pton(AF_INET, optarg, &o->phones.trunk) == 1;
	case 'd':
		o->phones.domain = optarg;
		return strlen(optarg) < 64;
	case 'c':
		o->phones.ca = optarg;
		return true;
	case 'n':
		o->phones.n = strtoul(optarg, NULL, 10);
		return o->phones.n > 0 && o->phones.n <= 200000;
	case 'r':
		o->rate = strtod(optarg, NULL);
		return o->rate >= 1 && o->rate <= 100000;
	case 'a':
		o->at_once = strtoul(optarg, NULL, 10);
		return o->at_once > 0;
	case 'u':
		o->phones.by_name = true;
		return true;
	default:
		return false;
	}
}

static void raise_files(void)
{
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &files);
	}
}

int main(int argc, char **argv)
{
	static const struct option rows[] = {
		{"to", required_argument, NULL, 't'},
		{"from", required_argument, NULL, 'f'},
		{"trunk", required_argument, NULL, 'k'},
		{"domain", required_argument, NULL, 'd'},
		{"ca", required_argument, NULL, 'c'},
		{"n", required_argument, NULL, 'n'},
		{"rate", required_argument, NULL, 'r'},
		{"at-once", required_argument, NULL, 'a'},
		{"names", no_argument, NULL, 'u'},
		{0},
	};
	static const char *const attacks[] = {"handshakes", "broken", "slow"};
	struct choice o = {.phones = {.n = 1}, .rate = 100, .at_once = 100};
	struct attackers a = {.what = HANDSHAKES};
	int c;

	if (argc < 2)
		return usage();
	optind = 2;
	while ((c = getopt_long(argc, argv, "", rows, NULL)) != -1)
		if (!take(&o, c))
			return usage();
	if (optind != argc || !o.phones.to.sin_port || !o.phones.from.s_addr)
		return usage();
	raise_files();
	(void)signal(SIGPIPE, SIG_IGN);
	if (strcmp(argv[1], "phones") == 0)
		return o.phones.domain ? load_tls_phones(&o.phones) : usage();
	for (; a.what <= SLOW; a.what++)
		if (strcmp(argv[1], attacks[a.what]) == 0)
			break;
	if (a.what > SLOW || !pool_open(&a.pool, o.phones.ca, &o.phones.to))
		return usage();
	a.n = o.phones.n;
	a.n_at_once = o.at_once;
	a.from = o.phones.from;
	return attack(&a, o.rate);
}
