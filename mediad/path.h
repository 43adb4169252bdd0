/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What happens to a media packet, in order. path.c alone knows the order; each
 * step is a module of its own.
 */
#ifndef MEDIAD_PATH_H
#define MEDIAD_PATH_H

#include <stdatomic.h>
#include <stdint.h>

#include "mediad/leg.h"

/** Room before a received packet, so that our header fits before any payload
 * and cache lines stay aligned. */
#define PATH_HEADROOM 64u
#define PATH_BUFFER   2048u
/** Room behind it for an authentication tag. */
#define PATH_TAILROOM 192u

/** Counters that another thread reads while one worker writes them. */
struct path_counts {
	_Atomic uint64_t drops[LEG_DROPS];
	_Atomic uint64_t rtp_rx;
	_Atomic uint64_t rtp_tx;
	_Atomic uint64_t icmp;
};

/** What a worker's packets share. */
struct path {
	uint64_t now_us; /* read once per round */
	struct path_counts n;
	_Alignas(
		64) uint8_t buffer[PATH_HEADROOM + PATH_BUFFER + PATH_TAILROOM];
};

/** One writer per counter: no locked instruction is needed. */
static inline void path_count(_Atomic uint64_t *counter)
{
	atomic_store_explicit(counter,
		atomic_load_explicit(counter, memory_order_relaxed) + 1,
		memory_order_relaxed);
}

/** The leg's RTP socket is readable: takes one packet, or a few while it must
 * be sorted out who sent them. */
void path_on_rtp(struct path *p, struct leg *l);
/** The leg's RTCP socket is readable. */
void path_on_rtcp(struct path *p, struct leg *l);

/** For tests and fuzzers: the pipeline behind the socket. bytes lie in
 * p->buffer + PATH_HEADROOM; from NULL: the kernel checked the source.
 * @return RTP_OK, RTCP_OK or why it was dropped (counted by the caller). */
enum reason path_packet(
	struct path *p, struct leg *in, size_t len, const struct addr *from);

#endif
