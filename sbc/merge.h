/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tells an INVITE that arrived over two paths (RFC 3261 8.2.2.2): same Call-ID,
 * From tag and CSeq as one that became a call, in another transaction. NTA
 * could do it too (NTATAG_MERGE_482), but before admission, with a transaction
 * and retransmissions for whoever sends it.
 */
#ifndef SBC_MERGE_H
#define SBC_MERGE_H

#include <stdbool.h>

#include "common/err.h"
#include "sbc/stack.h"

struct sbc;
struct merges;

GH_MUST_CHECK int merges_new(struct sbc *sbc, struct merges **out);
void merges_free(struct merges **merges);

/** Notes an INVITE that is let in. @return whether it is the second of its
 * kind: then it has to be refused with ADMIT_MERGED. */
bool merge_is_second(struct merges *merges, const sip_t *sip);

#endif
