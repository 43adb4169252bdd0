/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tells an INVITE that arrived over two paths (RFC 3261 8.2.2.2), and one of
 * our own that came back unchanged. The first has the same Call-ID,
 * From tag and CSeq as one that became a call, in another transaction. NTA
 * could do it too (NTATAG_MERGE_482), but before admission, with a transaction
 * and retransmissions for whoever sends it. The second has the Call-ID and tag
 * of one of our calls and asks for the same number: a loop (RFC 5393 4.2). With
 * another number it is a spiral, which is a call of its own; Max-Forwards,
 * which every leg takes from the other one less one, ends what goes on for
 * ever (RFC 7332).
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

/** Notes an INVITE of ours that goes out. */
void merge_note_sent(struct merges *merges, const char *call_id,
	const char *from_tag, const char *user);
/** @return whether it is one of those: to be refused with ADMIT_LOOP. */
bool merge_is_loop(struct merges *merges, const sip_t *sip);

#endif
