/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rtpload: a paced RTP generator and sink for comparing relays. Opens N calls
 * at one relay, sends 50 packets of 160 bytes per second in both directions of
 * each with random phases, and verifies every payload that comes back: call,
 * direction, number and content. Prints what the relay's processes spent per
 * forwarded packet (run time from schedstat, in nanoseconds), the loss, the
 * delay and the relay's memory before the first call and with all of them.
 *
 *	rtpload --relay mediad:SOCKET --pid PID --calls 1000 --seconds 10
 *
 * With --srtp side b of each call speaks AES_CM_128_HMAC_SHA1_80, by mediad's
 * own objects. With --stamps the delay ends when the kernel has the packet for
 * us, not when we come round to read it: that is the relay's share, but each
 * packet costs a reading of the clock more, so use it for delays only.
 *
 * One thread; pin it and the relay to different cores (taskset) before you
 * believe a figure. Bounded by --seconds; ends by itself.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "mediad/srtp.h"
#include "tests/bench/relay.h"
#include "tests/bench/usage.h"

#define PAYLOAD_LEN   160
#define HEADER_LEN    12
#define PACKET_US     20000
#define PIDS_MAX      8
#define DELAY_BUCKETS 100000 /* of 1 us */
#define EVENTS_MAX    256

/* What the payload begins with; the rest is derived from it. */
struct mark {
	uint32_t call;
	uint32_t side;
	uint32_t number;
	uint32_t check;
	uint64_t sent_ns;
};

struct stream {
	int fd;
	uint32_t call, side;
	uint32_t ssrc;
	uint16_t seq;
	uint32_t timestamp;
	uint32_t number;
	uint64_t next_ns;
	struct srtp_leg *tx, *rx; /* NULL = plain */
};

struct load {
	const struct relay *relay;
	const char *where;
	size_t n_calls;
	unsigned seconds, warm_up_s, tick_us;
	pid_t pids[PIDS_MAX];
	size_t n_pids;
	struct stream *streams; /* 2 * n_calls: side 0 then side 1 */
	size_t *order;          /* streams by phase */
	int epoll;
	bool srtp, stamps;
	bool counting;
	uint64_t since_ns; /* what was sent earlier does not count */
	uint64_t n_sent, n_received, n_bad, n_send_errors;
	uint32_t *delays;
	uint64_t pss_before;
};

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* What the delay is measured by: kernel stamps are wall time. */
static uint64_t stamp_ns(const struct load *l)
{
	struct timespec t;

	clock_gettime(l->stamps ? CLOCK_REALTIME : CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static uint32_t mix(uint32_t x)
{
	x ^= x >> 16;
	x *= 0x7feb352du;
	x ^= x >> 15;
	x *= 0x846ca68bu;
	return x ^ (x >> 16);
}

static void fill(
	uint8_t payload[PAYLOAD_LEN], const struct stream *s, uint64_t sent_ns)
{
	struct mark m = {s->call, s->side, s->number, 0, sent_ns};
	uint32_t seed = mix(s->call * 2 + s->side) ^ s->number;

	m.check = mix(seed);
	memcpy(payload, &m, sizeof(m));
	memset(payload + sizeof(m), (int)(m.check & 0xff),
		PAYLOAD_LEN - sizeof(m));
}

static bool verify(const uint8_t *payload, uint32_t call, uint32_t from_side,
	uint64_t *sent_ns_out)
{
	struct mark m;
	uint8_t want;

	memcpy(&m, payload, sizeof(m));
	if (m.call != call || m.side != from_side ||
		m.check != mix(mix(call * 2 + from_side) ^ m.number))
		return false;
	want = (uint8_t)(m.check & 0xff);
	for (size_t i = sizeof(m); i < PAYLOAD_LEN; i++)
		if (payload[i] != want)
			return false;
	*sent_ns_out = m.sent_ns;
	return true;
}

static void send_packet(struct load *l, struct stream *s)
{
	uint8_t packet[HEADER_LEN + PAYLOAD_LEN + SRTP_TRAILER_MAX] = {0x80, 8};
	size_t len = HEADER_LEN + PAYLOAD_LEN;

	packet[2] = (uint8_t)(s->seq >> 8);
	packet[3] = (uint8_t)s->seq;
	for (int i = 0; i < 4; i++) {
		packet[4 + i] = (uint8_t)(s->timestamp >> (24 - 8 * i));
		packet[8 + i] = (uint8_t)(s->ssrc >> (24 - 8 * i));
	}
	fill(packet + HEADER_LEN, s, stamp_ns(l));
	s->seq++;
	s->timestamp += PAYLOAD_LEN;
	s->number++;
	if ((s->tx && !srtp_leg_protect(s->tx, packet, &len)) ||
		send(s->fd, packet, len, MSG_DONTWAIT) < 0)
		l->n_send_errors++;
	else if (l->counting)
		l->n_sent++;
}

/* When the kernel got it, or 0. */
static uint64_t kernel_stamp(struct msghdr *msg)
{
	struct cmsghdr *c = CMSG_FIRSTHDR(msg);
	struct timespec t;

	if (!c || c->cmsg_level != SOL_SOCKET || c->cmsg_type != SO_TIMESTAMPNS)
		return 0;
	memcpy(&t, CMSG_DATA(c), sizeof(t));
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static ssize_t receive_bytes(
	struct load *l, int fd, uint8_t *bytes, size_t size, uint64_t *at_out)
{
	char control[CMSG_SPACE(sizeof(struct timespec))];
	struct iovec part = {bytes, size};
	struct msghdr msg = {.msg_iov = &part,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control)};
	ssize_t n;

	if (!l->stamps) {
		n = recv(fd, bytes, size, MSG_DONTWAIT);
		*at_out = stamp_ns(l);
		return n;
	}
	n = recvmsg(fd, &msg, MSG_DONTWAIT);
	*at_out = kernel_stamp(&msg);
	return n;
}

static void receive(struct load *l, struct stream *s)
{
	uint8_t packet[2048];
	uint64_t sent_ns, at_ns, delay_us;
	ssize_t n = receive_bytes(l, s->fd, packet, sizeof(packet), &at_ns);
	size_t len = (size_t)n;

	if (n < 0 || !l->counting)
		return;
	if ((s->rx && srtp_leg_open(s->rx, packet, &len) != REASON_RTP_OK) ||
		len != HEADER_LEN + PAYLOAD_LEN || packet[0] != 0x80 ||
		!verify(packet + HEADER_LEN, s->call, !s->side, &sent_ns)) {
		l->n_bad++;
		return;
	}
	if (sent_ns < l->since_ns)
		return;
	l->n_received++;
	delay_us = at_ns > sent_ns ? (at_ns - sent_ns) / 1000 : 0;
	l->delays[delay_us < DELAY_BUCKETS ? delay_us : DELAY_BUCKETS - 1]++;
}

static void receive_all(struct load *l, int timeout_ms)
{
	struct epoll_event events[EVENTS_MAX];
	int n = epoll_wait(l->epoll, events, EVENTS_MAX, timeout_ms);

	for (int i = 0; i < n; i++)
		receive(l, events[i].data.ptr);
}

static int open_socket(const struct load *l, struct sockaddr_in *local)
{
	int stamps = l->stamps;
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	socklen_t len = sizeof(*local);

	memset(local, 0, sizeof(*local));
	local->sin_family = AF_INET;
	local->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (fd < 0 || bind(fd, (struct sockaddr *)local, sizeof(*local)) < 0 ||
		getsockname(fd, (struct sockaddr *)local, &len) < 0 ||
		setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &stamps,
			sizeof(stamps)) < 0) {
		perror("rtpload: socket");
		return -1;
	}
	return fd;
}

/* Side b's contexts: it sends with b_send_key. */
static int open_srtp(struct stream *b, const struct relay_call *call)
{
	struct srtp_master tx = {
		SRTP_SUITE_AES_CM_128_HMAC_SHA1_80, RELAY_MASTER_LEN, {0}};
	struct srtp_master rx = tx;

	memcpy(tx.bytes, call->b_send_key, RELAY_MASTER_LEN);
	memcpy(rx.bytes, call->b_receive_key, RELAY_MASTER_LEN);
	return srtp_leg_new_sender(&tx, b->ssrc, &b->tx) ||
			       srtp_leg_new_receiver(&rx, &b->rx)
		       ? -1
		       : 0;
}

static int open_call(struct load *l, size_t index)
{
	struct stream *a = &l->streams[2 * index], *b = a + 1;
	struct relay_call call = {.srtp = l->srtp};
	struct sockaddr_in *to[2] = {&call.a_relay, &call.b_relay};

	a->fd = open_socket(l, &call.a_local);
	b->fd = open_socket(l, &call.b_local);
	if (getrandom(call.b_send_key, RELAY_MASTER_LEN, 0) != RELAY_MASTER_LEN)
		return -1;
	if (a->fd < 0 || b->fd < 0 || l->relay->call(index, &call)) {
		fprintf(stderr, "rtpload: call %zu failed\n", index);
		return -1;
	}
	for (uint32_t side = 0; side < 2; side++) {
		struct stream *s = side ? b : a;
		struct epoll_event event = {.events = EPOLLIN, .data.ptr = s};
		uint32_t random[3];

		if (getrandom(random, sizeof(random), 0) != sizeof(random))
			return -1;
		s->call = (uint32_t)index;
		s->side = side;
		s->ssrc = random[0];
		s->seq = (uint16_t)(random[1] & 0x7fff);
		s->timestamp = random[2];
		if (connect(s->fd, (struct sockaddr *)to[side],
			    sizeof(*to[side])) < 0 ||
			epoll_ctl(l->epoll, EPOLL_CTL_ADD, s->fd, &event) < 0) {
			perror("rtpload: connect");
			return -1;
		}
	}
	if (l->srtp && open_srtp(b, &call)) {
		fprintf(stderr, "rtpload: no SRTP for call %zu\n", index);
		return -1;
	}
	return 0;
}

static int by_phase(const void *a, const void *b, void *arg)
{
	const struct load *l = arg;
	uint64_t x = l->streams[*(const size_t *)a].next_ns;
	uint64_t y = l->streams[*(const size_t *)b].next_ns;

	return x < y ? -1 : x > y;
}

/* Sends on schedule and receives between, until end_ns. The streams' order of
 * phases never changes, so one index walks round. */
static void run_until(struct load *l, size_t *at, uint64_t end_ns)
{
	size_t n = 2 * l->n_calls;
	uint64_t keep_ns = 0;

	for (;;) {
		uint64_t now = now_ns();
		struct timespec tick = {.tv_nsec = (long)l->tick_us * 1000};

		if (now >= end_ns)
			return;
		if (now >= keep_ns) {
			l->relay->keep();
			keep_ns = now + 1000000000u;
		}
		while (l->streams[l->order[*at]].next_ns <= now) {
			struct stream *s = &l->streams[l->order[*at]];

			send_packet(l, s);
			s->next_ns += (uint64_t)PACKET_US * 1000;
			*at = (*at + 1) % n;
		}
		receive_all(l, 0);
		/* Late: no rest. */
		if (l->streams[l->order[*at]].next_ns > now_ns())
			clock_nanosleep(CLOCK_MONOTONIC, 0, &tick, NULL);
	}
}

static uint32_t percentile(const struct load *l, double share)
{
	uint64_t want = (uint64_t)((double)l->n_received * share), seen = 0;

	for (uint32_t us = 0; us < DELAY_BUCKETS; us++) {
		seen += l->delays[us];
		if (seen > want)
			return us;
	}
	return DELAY_BUCKETS;
}

static void print(
	const struct load *l, uint64_t spent, uint64_t own, uint64_t wall)
{
	/* Late streams: the generator is the one that could not keep up. */
	double planned =
		2.0 * (double)l->n_calls * (double)wall / (PACKET_US * 1000.0);

	printf("relay=%s calls=%zu seconds=%.2f planned=%.0f sent=%llu "
	       "received=%llu bad=%llu send_errors=%llu loss_percent=%.4f "
	       "ns_per_packet=%.1f core_percent=%.1f own_core_percent=%.1f "
	       "delay_p50_us=%u delay_p99_us=%u pss_before=%llu "
	       "pss_after=%llu\n",
		l->relay->name, l->n_calls, (double)wall / 1e9, planned,
		(unsigned long long)l->n_sent,
		(unsigned long long)l->n_received, (unsigned long long)l->n_bad,
		(unsigned long long)l->n_send_errors,
		l->n_sent ? 100.0 - 100.0 * (double)l->n_received /
					    (double)l->n_sent
			  : 100.0,
		l->n_received ? (double)spent / (double)l->n_received : 0.0,
		100.0 * (double)spent / (double)wall,
		100.0 * (double)own / (double)wall, percentile(l, 0.5),
		percentile(l, 0.99), (unsigned long long)l->pss_before,
		(unsigned long long)usage_pss(l->pids, l->n_pids));
}

static int measure(struct load *l)
{
	uint64_t start = now_ns() + 10000000u, spent, own, wall;
	pid_t self = getpid();
	size_t at = 0;

	for (size_t i = 0; i < 2 * l->n_calls; i++) {
		uint32_t random;

		if (getrandom(&random, sizeof(random), 0) != sizeof(random))
			return -1;
		l->order[i] = i;
		l->streams[i].next_ns =
			start + (uint64_t)(random % PACKET_US) * 1000;
	}
	qsort_r(l->order, 2 * l->n_calls, sizeof(l->order[0]), by_phase, l);
	run_until(l, &at, start + (uint64_t)l->warm_up_s * 1000000000u);
	l->counting = true;
	l->since_ns = stamp_ns(l);
	spent = usage_run_ns(l->pids, l->n_pids);
	own = usage_run_ns(&self, 1);
	wall = now_ns();
	run_until(l, &at, wall + (uint64_t)l->seconds * 1000000000u);
	wall = now_ns() - wall;
	spent = usage_run_ns(l->pids, l->n_pids) - spent;
	own = usage_run_ns(&self, 1) - own;
	for (int i = 0; i < 50; i++)
		receive_all(l, 2);
	print(l, spent, own, wall);
	return l->n_received > 0 && l->n_bad == 0 ? 0 : -1;
}

static int usage(void)
{
	fprintf(stderr,
		"usage: rtpload --relay mediad:SOCKET|rtpengine:IP:PORT "
		"[--pid PID ...] [--calls N] [--seconds S] [--warm-up S] "
		"[--tick US] [--coalesce US] [--srtp] [--stamps]\n");
	return 2;
}

static int options(struct load *l, int argc, char **argv)
{
	static const struct option rows[] = {
		{"relay", required_argument, NULL, 'r'},
		{"pid", required_argument, NULL, 'p'},
		{"calls", required_argument, NULL, 'n'},
		{"seconds", required_argument, NULL, 's'},
		{"warm-up", required_argument, NULL, 'w'},
		{"tick", required_argument, NULL, 't'},
		{"coalesce", required_argument, NULL, 'c'},
		{"srtp", no_argument, NULL, 'e'},
		{"stamps", no_argument, NULL, 'k'},
		{0},
	};
	int c;

	while ((c = getopt_long(argc, argv, "", rows, NULL)) != -1) {
		unsigned long n = optarg ? strtoul(optarg, NULL, 10) : 0;

		if (c == 'r' && strncmp(optarg, "mediad:", 7) == 0) {
			l->relay = &relay_mediad;
			l->where = optarg + 7;
		} else if (c == 'r' && strncmp(optarg, "rtpengine:", 10) == 0) {
			l->relay = &relay_rtpengine;
			l->where = optarg + 10;
		} else if (c == 'p' && l->n_pids < PIDS_MAX && n > 0) {
			l->pids[l->n_pids++] = (pid_t)n;
		} else if (c == 'n' && n > 0 && n <= 4500) {
			l->n_calls = n;
		} else if (c == 's' && n > 0 && n <= 120) {
			l->seconds = (unsigned)n;
		} else if (c == 'w' && n <= 30) {
			l->warm_up_s = (unsigned)n;
		} else if (c == 't' && n > 0 && n <= 10000) {
			l->tick_us = (unsigned)n;
		} else if (c == 'c' && n <= 1000) {
			relay_mediad_coalesce_us = (unsigned)n;
		} else if (c == 'e') {
			l->srtp = true;
		} else if (c == 'k') {
			l->stamps = true;
		} else {
			return usage();
		}
	}
	return l->relay && optind == argc ? 0 : usage();
}

int main(int argc, char **argv)
{
	struct load l = {
		.n_calls = 100, .seconds = 10, .warm_up_s = 3, .tick_us = 100};
	struct rlimit files;
	int err = options(&l, argc, argv);

	if (err)
		return err;
	getrlimit(RLIMIT_NOFILE, &files);
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
	l.streams = calloc(2 * l.n_calls, sizeof(*l.streams));
	l.order = calloc(2 * l.n_calls, sizeof(*l.order));
	l.delays = calloc(DELAY_BUCKETS, sizeof(*l.delays));
	l.epoll = epoll_create1(EPOLL_CLOEXEC);
	if (!l.streams || !l.order || !l.delays || l.epoll < 0) {
		perror("rtpload");
		return 1;
	}
	l.pss_before = usage_pss(l.pids, l.n_pids);
	err = srtp_begin() ? -1 : l.relay->open(l.where);
	for (size_t i = 0; !err && i < l.n_calls; i++)
		err = open_call(&l, i);
	if (!err)
		err = measure(&l);
	l.relay->close();
	srtp_finish();
	return err ? 1 : 0;
}
