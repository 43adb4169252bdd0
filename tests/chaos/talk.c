/* SPDX-License-Identifier: Apache-2.0 */
/*
 * talk --server IP:PORT,IP:PORT --own IP:PORT,IP:PORT [--ns NAME,NAME]
 *	--calls N --hold MIN,MAX (ms) [--ramp MS] [--secure EVERY] --seed N
 *
 * Keeps N calls up, the caller's addresses first and the called side's second:
 * a call that has ended is followed by a new one. A line on standard input, or
 * its end, makes all hang up and the process end. Lines on standard output, all
 * times in nanoseconds of CLOCK_MONOTONIC:
 *
 *	tick TIME TALKING SENT HEARD BAD	each second
 *	stall TIME NS	this process stood still until then
 *	gap TIME NS NUMBER	a silence of over 60 ms that ended then
 *	bad TIME NUMBER SIDE KIND	the first packets of another content
 *	call NUMBER ok|refused|lost STATUS SHORTEST_US LONGEST_US WHY
 *	done OK REFUSED LOST SENT HEARD BAD
 *
 * A call's talk began after the called side had sent its 200 and before the
 * caller heard one; it ended after the BYE went out and before it was answered
 * or passed on. A right record lies between SHORTEST_US, from the caller's 200
 * to the BYE, and LONGEST_US, from the first 200 to the first sign that the BYE
 * has come, whatever a message waited for meanwhile.
 *
 * lost: a call that was up and ended otherwise than by our BYE, whose BYE was
 * not answered or not passed on, that nobody could hear any more for seconds,
 * or that never got a final answer. refused: it got one, no 200.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "mediad/srtp.h"
#include "tests/chaos/talk.h"

#define TICK_NS      NS_PER_MS
#define PHASES       20u /* ms between two packets */
#define STALL_NS     (50 * NS_PER_MS)
#define SILENCE_NS   (8 * NS_PER_S)
#define GAP_TOLD_NS  (60 * NS_PER_MS)
#define AGAIN_NS     NS_PER_S /* after a refusal */
#define LAST_NS      (3 * NS_PER_S)
#define EVENTS_MAX   256
#define SOCKET_BYTES (16 * 1024 * 1024)

uint64_t talk_now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

uint64_t talk_random(struct talk *t, uint64_t below)
{
	t->random ^= t->random << 13;
	t->random ^= t->random >> 7;
	t->random ^= t->random << 17;
	return below ? t->random % below : 0;
}

static bool enter(const char *ns)
{
	char path[128];
	int fd, rc;

	if (!ns)
		return true;
	snprintf(path, sizeof(path), "/run/netns/%s", ns);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	rc = fd < 0 ? -1 : setns(fd, CLONE_NEWNET);
	if (fd >= 0)
		close(fd);
	if (rc)
		perror("talk: namespace");
	return rc == 0;
}

int talk_socket(struct talk *t, enum side side, struct sockaddr_in *at)
{
	int bytes = SOCKET_BYTES, fd;

	if (!enter(t->ns[side]))
		return -1;
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || bind(fd, (struct sockaddr *)at, sizeof(*at)) < 0) {
		perror("talk: socket");
		return -1;
	}
	if (at->sin_port == t->own[side].sin_port)
		(void)setsockopt(
			fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes));
	return fd;
}

static unsigned long long span_us(uint64_t from_ns, uint64_t to_ns)
{
	return from_ns && from_ns < to_ns ? (to_ns - from_ns) / NS_PER_US : 0;
}

void talk_over(struct talk *t, struct slot *s, const char *how, unsigned status,
	const char *why)
{
	uint64_t now = talk_now_ns();
	bool ok = !strcmp(how, "ok"), refused = !strcmp(how, "refused");

	t->n_ok += ok;
	t->n_refused += refused;
	t->n_lost += !ok && !refused;
	printf("call 7%u %s %u %llu %llu %s\n", s->number, how, status,
		span_us(s->answered_ns, s->bye_sent_ns ? s->bye_sent_ns : now),
		span_us(s->ok_sent_ns, s->bye_known_ns ? s->bye_known_ns : now),
		why);
	media_stop(s);
	s->request.len = s->answer.len = 0;
	s->state = IDLE;
	s->due_ns = now + (ok ? talk_random(t, AGAIN_NS / 2) : AGAIN_NS);
}

/* ----------------------------------------------------------------- time */

static void slot_turn(struct talk *t, struct slot *s, uint64_t now)
{
	switch (s->state) {
	case IDLE:
		if (!t->stopping && now >= s->due_ns)
			sip_call(t, s);
		return;
	case TALKING:
		if (media_silence_ns(s, now) > SILENCE_NS) {
			sip_leave(t, s);
			talk_over(t, s, "lost", 0, "silence");
			return;
		}
		if (now >= s->due_ns) {
			media_stop(s);
			sip_leave(t, s);
			return;
		}
		break;
	default:
		break;
	}
	sip_turn(t, s, now);
}

static size_t talking(const struct talk *t)
{
	size_t n = 0;

	for (size_t i = 0; i < t->n; i++)
		n += t->slots[i].state == TALKING;
	return n;
}

static void tell(struct talk *t, uint64_t now, uint64_t *second)
{
	if (now >= t->gap_tell_ns) {
		if (t->gap_ns > GAP_TOLD_NS)
			printf("gap %llu %llu 7%u\n", (unsigned long long)now,
				(unsigned long long)t->gap_ns, t->gap_call);
		t->gap_ns = 0;
		t->gap_tell_ns = now + NS_PER_S / 10;
	}
	if (now < *second)
		return;
	*second += NS_PER_S;
	printf("tick %llu %zu %llu %llu %llu\n", (unsigned long long)now,
		talking(t), (unsigned long long)t->n_sent,
		(unsigned long long)t->n_heard, (unsigned long long)t->n_bad);
	fflush(stdout);
}

static void stop(struct talk *t, uint64_t now)
{
	t->stopping = true;
	for (size_t i = 0; i < t->n; i++) {
		struct slot *s = &t->slots[i];
		uint64_t last = now + talk_random(t, LAST_NS);

		if (s->state == TALKING && s->due_ns > last)
			s->due_ns = last;
	}
}

static void receive(struct talk *t, int timeout_ms)
{
	struct epoll_event events[EVENTS_MAX];
	int n = epoll_wait(t->epoll, events, EVENTS_MAX, timeout_ms);

	for (int i = 0; i < n; i++) {
		uint64_t which = events[i].data.u64;

		if (which < SIDES)
			sip_receive(t, (enum side)which);
		else
			media_receive(t, &t->slots[(which - SIDES) / SIDES],
				(enum side)(which % SIDES));
	}
}

static bool asked_to_stop(void)
{
	struct pollfd in = {.fd = STDIN_FILENO, .events = POLLIN};

	return poll(&in, 1, 0) > 0;
}

static void forgive(struct talk *t, uint64_t stood_ns)
{
	for (size_t i = 0; i < t->n * SIDES; i++)
		t->slots[i / SIDES].stream[i % SIDES].heard_ns += stood_ns;
}

/* A turn each millisecond: a twentieth of the streams, and of the slots. */
static void run(struct talk *t)
{
	uint64_t turn = 0, next = talk_now_ns(), second = next + NS_PER_S;

	for (;;) {
		uint64_t now = talk_now_ns();

		if (now - next > STALL_NS && next < now) {
			/* We stood still: what was not said is not said, and
			 * what was not heard meanwhile is our own doing. */
			printf("stall %llu %llu\n", (unsigned long long)now,
				(unsigned long long)(now - next));
			forgive(t, now - next);
			next = now;
		}
		while (next <= now) {
			for (size_t i = turn % PHASES; i < t->n; i += PHASES) {
				media_send(t, &t->slots[i], CALLER);
				slot_turn(t, &t->slots[i], now);
			}
			for (size_t i = (turn + 10) % PHASES; i < t->n;
				i += PHASES)
				media_send(t, &t->slots[i], CALLED);
			turn++;
			next += TICK_NS;
		}
		tell(t, now, &second);
		if (turn % 100 == 0 && !t->stopping && asked_to_stop())
			stop(t, now);
		if (t->stopping) {
			size_t busy = 0;

			for (size_t i = 0; i < t->n; i++) {
				struct slot *s = &t->slots[i];

				if (s->state == TALKING &&
					s->due_ns > now + LAST_NS)
					s->due_ns = now;
				busy += s->state != IDLE;
			}
			if (busy == 0)
				return;
		}
		receive(t, next > talk_now_ns() ? 1 : 0);
	}
}

/* -------------------------------------------------------------- options */

static bool pair(const char *text, struct sockaddr_in out[SIDES])
{
	char host[2][64];
	unsigned port[2];

	if (sscanf(text, "%63[0-9.]:%u,%63[0-9.]:%u", host[0], &port[0],
		    host[1], &port[1]) != 4)
		return false;
	for (int i = 0; i < SIDES; i++) {
		out[i].sin_family = AF_INET;
		out[i].sin_port = htons((uint16_t)port[i]);
		if (inet_pton(AF_INET, host[i], &out[i].sin_addr) != 1)
			return false;
	}
	return true;
}

static bool take(struct talk *t, int c)
{
	unsigned long a, b;
	char *comma;

	switch (c) {
	case 's':
		return pair(optarg, t->server);
	case 'o':
		return pair(optarg, t->own);
	case 'n':
		comma = strchr(optarg, ',');
		if (!comma)
			return false;
		*comma = '\0';
		t->ns[CALLER] = optarg;
		t->ns[CALLED] = comma + 1;
		return true;
	case 'h':
		if (sscanf(optarg, "%lu,%lu", &a, &b) != 2 || b < a)
			return false;
		t->hold_min_ns = a * NS_PER_MS;
		t->hold_max_ns = b * NS_PER_MS;
		return true;
	case 'c':
		t->n = strtoul(optarg, NULL, 10);
		return true;
	case 'r':
		t->ramp_ns = strtoul(optarg, NULL, 10) * NS_PER_MS;
		return true;
	case 'k':
		t->secure_every = (unsigned)strtoul(optarg, NULL, 10);
		return true;
	case 'x':
		t->random = strtoull(optarg, NULL, 10) * 2654435761u + 1;
		return true;
	default:
		return false;
	}
}

static bool open_all(struct talk *t)
{
	uint64_t now = talk_now_ns();
	char ip[INET_ADDRSTRLEN];

	t->epoll = epoll_create1(EPOLL_CLOEXEC);
	t->slots = calloc(t->n, sizeof(*t->slots));
	if (t->epoll < 0 || !t->slots || srtp_begin())
		return false;
	for (int i = 0; i < SIDES; i++) {
		struct epoll_event event = {
			.events = EPOLLIN, .data.u64 = (uint64_t)i};

		inet_ntop(AF_INET, &t->own[i].sin_addr, ip, sizeof(ip));
		memcpy(t->ip[i], ip, sizeof(ip));
		snprintf(t->host[i], sizeof(t->host[i]), "%s:%u", ip,
			ntohs(t->own[i].sin_port));
		t->sip[i] = talk_socket(t, (enum side)i, &t->own[i]);
		if (t->sip[i] < 0 || epoll_ctl(t->epoll, EPOLL_CTL_ADD,
					     t->sip[i], &event) < 0)
			return false;
	}
	for (size_t i = 0; i < t->n; i++) {
		struct slot *s = &t->slots[i];

		s->secure = t->secure_every && i % t->secure_every == 0;
		s->due_ns = now + i * t->ramp_ns;
		if (!media_open(t, s))
			return false;
	}
	return true;
}

int main(int argc, char **argv)
{
	static const struct option rows[] = {
		{"server", required_argument, NULL, 's'},
		{"own", required_argument, NULL, 'o'},
		{"ns", required_argument, NULL, 'n'},
		{"calls", required_argument, NULL, 'c'},
		{"hold", required_argument, NULL, 'h'},
		{"ramp", required_argument, NULL, 'r'},
		{"secure", required_argument, NULL, 'k'},
		{"seed", required_argument, NULL, 'x'},
		{0},
	};
	struct talk t = {.n = 0, .random = 1, .ramp_ns = 20 * NS_PER_MS};
	struct rlimit files;
	int c;

	while ((c = getopt_long(argc, argv, "", rows, NULL)) != -1) {
		if (!take(&t, c)) {
			fprintf(stderr, "talk: see the head of talk.c\n");
			return 2;
		}
	}
	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &files);
	}
	if (t.n == 0 || !t.server[0].sin_port || !t.own[0].sin_port ||
		!open_all(&t))
		return 1;
	run(&t);
	printf("done %llu %llu %llu %llu %llu %llu\n",
		(unsigned long long)t.n_ok, (unsigned long long)t.n_refused,
		(unsigned long long)t.n_lost, (unsigned long long)t.n_sent,
		(unsigned long long)t.n_heard, (unsigned long long)t.n_bad);
	close(t.epoll);
	free(t.slots);
	srtp_finish();
	return t.n_lost > 0;
}
