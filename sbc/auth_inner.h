/* SPDX-License-Identifier: Apache-2.0 */
/* What auth.c and auth_challenge.c share. */
#ifndef SBC_AUTH_INNER_H
#define SBC_AUTH_INNER_H

#include <sys/queue.h>

#include "common/nonce.h"
#include "common/table.h"
#include "sbc/auth.h"
#include "sbc/auth_header.h"

struct auth_query;

struct auth {
	struct sbc *sbc;
	struct nonce_keys keys;
	bool has_keys;
	struct table queries;
	TAILQ_HEAD(, auth_query) order; /* oldest first */
	struct loop_timer *timer;
	/* What the answer that is being delivered says of the next challenge.
	 */
	Gh__DigestOffer **offers;
	size_t n_offers;
};

/** The Digest credentials for the request's realm. @return 0, ERR_NOT_FOUND
 * (none, with *why_out) or ERR_INVALID. */
GH_MUST_CHECK int auth_find_fields(const struct inbound *in,
	struct auth_fields *fields, enum reason *why_out);

#endif
