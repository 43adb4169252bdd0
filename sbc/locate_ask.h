/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One DNS question after the other, answered from the cache or by the servers.
 * A question that several callers have at the same time is sent once.
 */
#ifndef SBC_LOCATE_ASK_H
#define SBC_LOCATE_ASK_H

#include "common/conf.h"
#include "common/loop.h"
#include "sbc/locate_dns.h"

struct resolver;
struct dns_wait;

/** @param servers "ip" or "ip:port" each; none = those of resolv.conf, as it is
 * now.
 * @return 0, ERR_INVALID for what is no address, ERR_NOMEM, ERR_SYSTEM. */
GH_MUST_CHECK int resolver_new(struct loop *loop,
	const struct conf_list *servers, struct resolver **resolver_out);
/** Safe on NULL. No wait may be left. */
void resolver_free(struct resolver **resolver);

/** answer is borrowed until return; NULL = nobody could say in time. */
typedef void (*resolver_fn)(void *ctx, const struct dns_answer *answer);

/** fn runs once, from the loop, also for what is in the cache.
 * @return 0, ERR_INVALID for what is no name, ERR_FULL, ERR_NOMEM. */
GH_MUST_CHECK int resolver_ask(struct resolver *resolver, const char *name,
	enum dns_type type, resolver_fn fn, void *ctx,
	struct dns_wait **wait_out);
/** fn will not run. Safe on NULL. */
void resolver_cancel(struct dns_wait **wait);

/** Questions that went out to the servers so far. */
uint64_t resolver_n_sent(const struct resolver *resolver);

#endif
