/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the two kinds of load of sipload share.
 */
#ifndef TESTS_BENCH_SIPLOAD_H
#define TESTS_BENCH_SIPLOAD_H

#include "tests/bench/load.h"
#include "tests/bench/sip.h"

#define LOAD_DELAYS 2000000 /* buckets of 1 us */

struct load_options {
	struct sockaddr_in to;     /* the SIP server */
	struct sockaddr_in from;   /* ours: the caller, or the phones' port */
	struct sockaddr_in called; /* calls: where they arrive */
	const char *domain;        /* phones: digest realm and host of URIs */
	size_t n;                  /* calls or phones */
	double rate;               /* per second */
	unsigned hold_ms;          /* calls: answer to BYE */
	unsigned passes;           /* phones: how often all register */
	unsigned patience_s;       /* after the last one was begun */
	size_t first;              /* index of the first call or phone */
};

/** Calls: one process is caller and called. @return 0, or 1 after a line. */
int load_calls(const struct load_options *options);
/** Phones that register with digest. */
int load_phones(const struct load_options *options);

/* ------------------------------------------------------------ for both */

/** How long each took; only successes. */
struct load_delays {
	uint32_t *buckets;
	uint64_t n;
};
bool load_delays_open(struct load_delays *d);
void load_delays_take(struct load_delays *d, uint64_t since_ns);
uint32_t load_delays_us(const struct load_delays *d, double share);

/** A UDP socket that is never short of room. @return -1 after a line. */
int load_socket(const struct sockaddr_in *at);

#endif
