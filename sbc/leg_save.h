/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A leg as a record and back. What is saved is what no peer would tell again:
 * tags, numbers, the route set, session timers, and the text of a request that
 * is still open on either side. What is under way otherwise (a BYE, an INFO, a
 * refresh) is begun again or left out.
 *
 * An INVITE of ours that is open goes out once more with its old branch: to the
 * peer that is a retransmission, and its answers come to us as if nothing had
 * happened. A caller's INVITE gets its transaction back, so that its answer is
 * repeated until it is acknowledged.
 */
#ifndef SBC_LEG_SAVE_H
#define SBC_LEG_SAVE_H

#include "common/ipc.pb-c.h"
#include "sbc/leg.h"
#include "sbc/scratch.h"

/** Fills a record whose texts live in the leg or in s, which is borrowed
 * until the record has been packed. */
void leg_save(const struct leg *leg, struct scratch *s, Gh__SavedLeg *out);

/**
 * Makes the leg again. Its state is what it was, but for these: ANSWERED
 * becomes EARLY (the 200 has to be sent again, leg_accept()), CANCELLING
 * becomes CALLING, ENDING becomes UP: the owner says again that it ends.
 * @return 0, ERR_NOMEM, or ERR_INVALID for a record that can be no leg.
 */
GH_MUST_CHECK int leg_restore(const struct leg_config *config,
	const Gh__SavedLeg *saved, struct leg **leg_out);

/** A 2xx to an INVITE that no transaction waits for: the dialog's leg
 * acknowledges it again. @return whether there is one. */
bool leg_take_orphan(nta_agent_t *agent, const sip_t *sip);

/* --- for leg*.c --- */

/** The dialog's part of a record: tag, numbers, target, routes. */
void leg_save_dialog(
	const struct leg *leg, struct scratch *s, Gh__SavedLeg *out);
/** Makes the library's dialog out of that part. */
GH_MUST_CHECK int leg_make_dialog_again(
	struct leg *leg, const Gh__SavedLeg *saved, uint32_t local_cseq);

/** The headers of a request that an answer needs, as text in the leg's home;
 * NULL where nothing is saved at all. */
char *leg_save_text(struct leg *leg, const sip_t *sip);
/** The first INVITE is answered: its text is not needed any more. */
void leg_save_answered(struct leg *leg);
/** An INVITE of the leg is handed to the library: what leaves until
 * leg_save_sent() is saved before. */
void leg_save_sending(struct leg *leg);
void leg_save_sent(struct leg *leg);
/** The stack's: a message leaves. */
void leg_on_sending(void *ctx, const struct iovec *parts, size_t n_parts);

#endif
