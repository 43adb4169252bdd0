/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a host name leads: the addresses of RFC 3263 in the order in which
 * they are to be tried. NTA is never given a name; this is the only resolver.
 */
#ifndef SBC_LOCATE_H
#define SBC_LOCATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/addr.h"
#include "common/conf.h"
#include "common/ipc.pb-c.h"
#include "common/loop.h"
#include "common/reason.h"

#define LOCATE_MAX 16 /* addresses of one name */
/** What a caller has time for: a dead resolver fails the target after it. */
#define LOCATE_DEADLINE_US (2 * 1000000ULL)

struct locator;
struct locate_query;

struct locate_config {
	struct loop *loop;
	const struct conf_list *servers; /* NULL or none = resolv.conf */
	uint64_t deadline_us;            /* 0 = LOCATE_DEADLINE_US */
	/** Is it one of ours, or inside? Asked of each address that an outside
	 * trunk's name has. */
	bool (*inside)(void *ctx, const struct addr *addr);
	void *ctx;
};

/** @return 0, ERR_INVALID for a server that is no address, ERR_NOMEM,
 * ERR_SYSTEM. Reads resolv.conf: before the sandbox. */
GH_MUST_CHECK int locator_new(
	const struct locate_config *config, struct locator **locator_out);
/** Safe on NULL. Queries that are left are cancelled. */
void locator_free(struct locator **locator);

struct locate_wish {
	const char *host; /* a name or an address */
	uint16_t port;    /* 0 = by SRV records, or the transport's own */
	Gh__Transport transport;
	bool ipv4, ipv6; /* families that can be reached */
	bool outside;    /* what is inside is refused */
};

/** why: ROUTE_OK with n >= 1 addresses (borrowed until return), ROUTE_DNS or
 * ROUTE_DNS_INSIDE. */
typedef void (*locate_fn)(
	void *ctx, enum reason why, const struct addr *addrs, size_t n);

/** fn runs once, from the loop, within the deadline; also for addresses and
 * for what is in the cache. @return 0, or ERR_NOMEM. */
GH_MUST_CHECK int locate_start(struct locator *locator,
	const struct locate_wish *wish, locate_fn fn, void *ctx,
	struct locate_query **query_out);
/** fn will not run. Safe on NULL. */
void locate_cancel(struct locate_query **query);

/** DNS questions that went out so far. */
uint64_t locator_n_sent(const struct locator *locator);

#endif
