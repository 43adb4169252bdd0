/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sipload: paced SIP load for comparing servers, with every message checked.
 *
 *	sipload calls --to IP:PORT --from IP:PORT --called IP:PORT
 *		--n 1000 --rate 500 [--hold MS]
 *	sipload phones --to IP:PORT --from 127.64.0.0:5061 --domain NAME
 *		--n 1000 --rate 500 [--passes N]
 *
 * calls: INVITE, 180, 200, ACK, --hold milliseconds, BYE, 200; this process is
 * caller and called (sipload_calls.c). phones: REGISTER, 401, REGISTER with
 * digest, 200; each phone has an address of its own (sipload_phones.c).
 *
 * Nothing is retransmitted: a lost datagram is a lost call. One thread; pin it.
 * Ends by itself: a call or registration that is not through --patience seconds
 * after the last was begun is counted as lost.
 */
#include "tests/bench/sipload.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define SOCKET_BYTES (64 * 1024 * 1024)

bool load_delays_open(struct load_delays *d)
{
	d->n = 0;
	d->buckets = calloc(LOAD_DELAYS, sizeof(*d->buckets));
	return d->buckets != NULL;
}

void load_delays_take(struct load_delays *d, uint64_t since_ns)
{
	uint64_t us = (load_now_ns() - since_ns) / 1000;

	d->buckets[us < LOAD_DELAYS ? us : LOAD_DELAYS - 1]++;
	d->n++;
}

uint32_t load_delays_us(const struct load_delays *d, double share)
{
	uint64_t want = (uint64_t)((double)d->n * share), seen = 0;

	for (uint32_t us = 0; us < LOAD_DELAYS; us++) {
		seen += d->buckets[us];
		if (seen > want)
			return us;
	}
	return LOAD_DELAYS;
}

int load_socket(const struct sockaddr_in *at)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int bytes = SOCKET_BYTES, one = 1;

	if (fd < 0 || bind(fd, (const struct sockaddr *)at, sizeof(*at)) < 0 ||
		setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &one, sizeof(one)) < 0) {
		perror("sipload: socket");
		return -1;
	}
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes)))
		(void)setsockopt(
			fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
	return fd;
}

static int usage(void)
{
	fprintf(stderr, "usage: sipload calls|phones --to IP:PORT "
			"--from IP:PORT [--called IP:PORT] [--domain NAME] "
			"--n N --rate R [--hold MS] [--passes N] [--first N] "
			"[--patience S]\n");
	return 2;
}

static bool take(struct load_options *o, int c)
{
	unsigned long n = strtoul(optarg, NULL, 10);

	switch (c) {
	case 't':
		return load_address(optarg, &o->to);
	case 'f':
		return load_address(optarg, &o->from);
	case 'c':
		return load_address(optarg, &o->called);
	case 'd':
		o->domain = optarg;
		return strlen(optarg) < 64;
	case 'n':
		o->n = n;
		return n > 0 && n <= 200000;
	case 'r':
		o->rate = strtod(optarg, NULL);
		return o->rate >= 1 && o->rate <= 100000;
	case 'h':
		o->hold_ms = (unsigned)n;
		return n <= 300000;
	case 'p':
		o->passes = (unsigned)n;
		return n > 0 && n <= 100;
	case 'i':
		o->first = n;
		return n <= 10000000;
	case 'w':
		o->patience_s = (unsigned)n;
		return n > 0 && n <= 120;
	default:
		return false;
	}
}

int main(int argc, char **argv)
{
	static const struct option rows[] = {
		{"to", required_argument, NULL, 't'},
		{"from", required_argument, NULL, 'f'},
		{"called", required_argument, NULL, 'c'},
		{"domain", required_argument, NULL, 'd'},
		{"n", required_argument, NULL, 'n'},
		{"rate", required_argument, NULL, 'r'},
		{"hold", required_argument, NULL, 'h'},
		{"passes", required_argument, NULL, 'p'},
		{"first", required_argument, NULL, 'i'},
		{"patience", required_argument, NULL, 'w'},
		{0},
	};
	struct load_options o = {.hold_ms = 500,
		.passes = 1,
		.patience_s = 5,
		.n = 1,
		.rate = 1};
	bool calls = argc > 1 && strcmp(argv[1], "calls") == 0;
	int c;

	if (!calls && (argc < 2 || strcmp(argv[1], "phones") != 0))
		return usage();
	optind = 2;
	while ((c = getopt_long(argc, argv, "", rows, NULL)) != -1)
		if (!take(&o, c))
			return usage();
	if (optind != argc || !o.to.sin_port || !o.from.sin_port ||
		(calls && !o.called.sin_port) || (!calls && !o.domain))
		return usage();
	return calls ? load_calls(&o) : load_phones(&o);
}
