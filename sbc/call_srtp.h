/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SRTP by SDES on one side of a call: see call_srtp.c. The keys in force are
 * not kept apart from the descriptions: they are the one a=crypto line that a
 * party's two texts (party.ours, party.theirs) have in common by tag and suite.
 * What keeps, exchanges, saves or restores these texts does so with the keys.
 */
#ifndef SBC_CALL_SRTP_H
#define SBC_CALL_SRTP_H

#include "sbc/call_inner.h"

/** The stricter of account and realm; of a trunk, its own. */
Gh__SrtpPolicy call_srtp_policy(const struct party *p);

/** The line that policy and path want where a party offers both kinds. */
enum sdp_prefer call_srtp_prefers(const struct party *p);

/**
 * Applies the party's policy to a description that it has just sent, offer or
 * answer: refuses it, or leaves only keys that may be used.
 * @return 0, or ERR_INVALID with SDP_SRTP_FORBIDDEN, SDP_SRTP_REQUIRED,
 * SDP_INSECURE_SIGNALING or SDP_NO_SUITE.
 */
GH_MUST_CHECK int call_srtp_check(
	const struct party *p, struct sdp *sdp, enum reason *why_out);

/**
 * Profile and keys of an offer of ours that may begin something new: by policy,
 * the suite in force first, with its key. Whatever was there is overwritten.
 * @return 0, or ERR_REFUSED with SDP_INSECURE_SIGNALING.
 */
GH_MUST_CHECK int call_srtp_offer(
	const struct party *p, struct sdp *sdp, enum reason *why_out);

/** The same for an offer that changes something else (hold, codecs): profile
 * and key stay what was agreed. */
GH_MUST_CHECK int call_srtp_offer_again(
	const struct party *p, struct sdp *sdp, enum reason *why_out);

/**
 * Chooses one of the offer's lines and answers with its tag: our key in force
 * if the offer repeats the peer's, else a new one. The offer has passed
 * call_srtp_check() when it came. It is borrowed; the caller wipes it.
 * @return 0, or ERR_INVALID with SDP_NO_SUITE.
 */
GH_MUST_CHECK int call_srtp_answer(const struct party *p,
	const struct sdp *offer, struct sdp *answer, enum reason *why_out);

/** What mediad is told: the keys point into the two descriptions. */
struct call_srtp_keys {
	Gh__SrtpKey receive, send;
};
void call_srtp_fill(const struct party *p, struct sdp *ours, struct sdp *theirs,
	Gh__MediaSide *side, struct call_srtp_keys *keys);

/** The suite in force, for the CDR; "" = plain. */
const char *call_srtp_suite(const struct party *p);

/** Overwrites all descriptions of the call, which ends. */
void call_srtp_wipe(struct call *c);

#endif
