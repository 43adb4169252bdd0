/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SRTP by SDES (RFC 4568) on each side of a call for itself. No key passes from
 * one side to the other: each side's lines are made here, with keys of our own.
 *
 *	none      offers and accepts RTP/AVP; a=crypto in it is not seen
 *	optional  offers RTP/AVP with a=crypto (RFC 8643); accepts AVP, SAVP
 *	required  offers and accepts RTP/SAVP only
 *
 * Decides: which profile and which lines go out, which of the peer's is taken,
 * and when a key of ours is new: only if there was none, if the peer's own key
 * is another one than before, or if its o= names another session. A refresh, a
 * hold and a change of codecs repeat the key, so that neither side begins its
 * packet index again (a key that is used twice from the beginning is broken).
 * Keys travel only where signaling is protected, unless the realm says
 * otherwise. Does not decide what a line may look like (sdp_crypto.c) or what
 * becomes of a packet (mediad). Called by call_media.c, call_change.c, call.c.
 */
#include "config.h"

#include "sbc/call_srtp.h"

#include <string.h>

#include "common/secret.h"
#include "sbc/flow.h"
#include "sbc/sdp_part.h"

/* Ours to choose from, strongest first; whoever can do less takes a later
 * one. */
static const Gh__Suite preferred[] = {
	GH__SUITE__SUITE_AEAD_AES_256_GCM,
	GH__SUITE__SUITE_AEAD_AES_128_GCM,
	GH__SUITE__SUITE_AES_256_CM_HMAC_SHA1_80,
	GH__SUITE__SUITE_AES_CM_128_HMAC_SHA1_80,
	GH__SUITE__SUITE_AES_CM_128_HMAC_SHA1_32,
};
#define N_SUITES (sizeof preferred / sizeof *preferred)
_Static_assert(N_SUITES <= SDP_CRYPTO_MAX, "an offer holds every suite");

/* What both descriptions of a side agree on. A secret. */
struct in_force {
	bool keyed;
	bool secure;      /* our profile says SAVP */
	uint64_t session; /* of their o= */
	struct sdp_crypto ours, theirs;
};

static void set_row(Gh__SrtpPolicy row, Gh__SrtpPolicy *policy)
{
	if (row > *policy)
		*policy = row;
}

Gh__SrtpPolicy call_srtp_policy(const struct party *p)
{
	Gh__SrtpPolicy policy = GH__SRTP_POLICY__SRTP_NONE;

	if (p->trunk != NULL)
		return p->trunk->row->srtp;
	if (p->account != NULL)
		set_row(p->account->row->srtp, &policy);
	set_row(p->address->realm->row->srtp, &policy);
	return policy;
}

static bool keys_may_travel(const struct party *p)
{
	return transport_is_secured(p->listener->transport) ||
	       p->address->realm->row->srtp_insecure_signaling;
}

enum sdp_prefer call_srtp_prefers(const struct party *p)
{
	return call_srtp_policy(p) == GH__SRTP_POLICY__SRTP_NONE ||
			       !keys_may_travel(p)
		       ? SDP_PLAIN
		       : SDP_KEYED;
}

/* The line that both have: an answer repeats tag and suite of its offer, and
 * which of the two was the offer does not matter. */
static bool common_line(const struct sdp *ours, const struct sdp *theirs,
	size_t *i_out, size_t *k_out)
{
	/* In sdp_check_answer()'s order: of an answer with two lines both take
	 * the same one. */
	for (size_t k = 0; k < theirs->n_crypto; k++) {
		for (size_t i = 0; i < ours->n_crypto; i++) {
			if (ours->crypto[i].tag != theirs->crypto[k].tag ||
				ours->crypto[i].suite !=
					theirs->crypto[k].suite)
				continue;
			*i_out = i;
			*k_out = k;
			return true;
		}
	}
	return false;
}

/* Whether a description can have keys at all; most have none, and need not be
 * parsed again to know that. */
static bool may_have_keys(const char *text)
{
	return text != NULL && strcasestr(text, "crypto") != NULL;
}

static void read_in_force(const struct party *p, struct in_force *f)
{
	struct sdp ours, theirs;
	enum reason why;
	size_t i, k;

	memset(f, 0, sizeof *f);
	if (!may_have_keys(p->ours) || !may_have_keys(p->theirs))
		return;
	if (sdp_parse(p->ours, strlen(p->ours), &ours, &why) != 0)
		return;
	if (sdp_parse(p->theirs, strlen(p->theirs), &theirs, &why) == 0) {
		f->secure = sdp_profile_is_secure(ours.profile);
		f->session = theirs.session_id;
		if (common_line(&ours, &theirs, &i, &k)) {
			f->keyed = true;
			f->ours = ours.crypto[i];
			f->theirs = theirs.crypto[k];
		}
		sdp_wipe(&theirs);
	}
	sdp_wipe(&ours);
}

static bool same_key(const struct sdp_crypto *a, const struct sdp_crypto *b)
{
	return a->suite == b->suite && a->master_len == b->master_len &&
	       secret_equal(a->master, b->master, a->master_len);
}

static void make_line(struct sdp_crypto *line, uint32_t tag, Gh__Suite suite)
{
	memset(line, 0, sizeof *line);
	line->tag = tag;
	line->suite = suite;
	line->master_len = (uint8_t)sdp_suite_len(suite);
	secret_random_bytes(line->master, line->master_len);
}

/* --- what the peer says --- */

int call_srtp_check(
	const struct party *p, struct sdp *sdp, enum reason *why_out)
{
	Gh__SrtpPolicy policy = call_srtp_policy(p);
	bool secure = sdp_profile_is_secure(sdp->profile);

	*why_out = REASON_SDP_SRTP_FORBIDDEN;
	if (sdp_profile_is_dtls(sdp->profile))
		goto refuse;
	if (secure && policy == GH__SRTP_POLICY__SRTP_NONE)
		goto refuse;
	*why_out = REASON_SDP_SRTP_REQUIRED;
	if (!secure && policy == GH__SRTP_POLICY__SRTP_REQUIRED)
		goto refuse;
	*why_out = REASON_SDP_INSECURE_SIGNALING;
	if (secure && !keys_may_travel(p))
		goto refuse;
	*why_out = REASON_SDP_NO_SUITE;
	if (secure && sdp->n_crypto == 0)
		goto refuse;
	/* In RTP/AVP a key that cannot be used is no reason to refuse. */
	if (policy == GH__SRTP_POLICY__SRTP_NONE || !keys_may_travel(p))
		sdp_wipe(sdp);
	*why_out = REASON_SDP_OK;
	return 0;
refuse:
	sdp_wipe(sdp);
	return ERR_INVALID;
}

/* --- what we say --- */

static void offer_all(const struct in_force *f, struct sdp *sdp)
{
	uint32_t tag = 0;

	if (f->keyed)
		sdp->crypto[sdp->n_crypto++] = f->ours;
	for (size_t i = 0; i < N_SUITES; i++) {
		if (f->keyed && preferred[i] == f->ours.suite)
			continue;
		tag++;
		if (f->keyed && tag == f->ours.tag)
			tag++;
		make_line(&sdp->crypto[sdp->n_crypto++], tag, preferred[i]);
	}
}

int call_srtp_offer(
	const struct party *p, struct sdp *sdp, enum reason *why_out)
{
	Gh__SrtpPolicy policy = call_srtp_policy(p);
	struct in_force f;

	sdp_wipe(sdp);
	sdp->profile = SDP_AVP;
	if (policy == GH__SRTP_POLICY__SRTP_NONE)
		return 0;
	if (!keys_may_travel(p)) {
		*why_out = REASON_SDP_INSECURE_SIGNALING;
		return policy == GH__SRTP_POLICY__SRTP_REQUIRED ? ERR_REFUSED
								: 0;
	}
	read_in_force(p, &f);
	if (policy == GH__SRTP_POLICY__SRTP_REQUIRED || (f.keyed && f.secure))
		sdp->profile = SDP_SAVP;
	offer_all(&f, sdp);
	secret_wipe(&f, sizeof f);
	return 0;
}

int call_srtp_offer_again(
	const struct party *p, struct sdp *sdp, enum reason *why_out)
{
	struct in_force f;
	int err = 0;

	sdp_wipe(sdp);
	sdp->profile = SDP_AVP;
	read_in_force(p, &f);
	if (f.keyed && !keys_may_travel(p)) {
		/* The phone has left its protected connection. */
		*why_out = REASON_SDP_INSECURE_SIGNALING;
		err = ERR_REFUSED;
	} else if (f.keyed) {
		sdp->profile = f.secure ? SDP_SAVP : SDP_AVP;
		sdp->crypto[sdp->n_crypto++] = f.ours;
	}
	secret_wipe(&f, sizeof f);
	return err;
}

/* The peer's line in force if it is offered again, else the best. */
static const struct sdp_crypto *choose(
	const struct sdp *offer, const struct in_force *f)
{
	for (size_t k = 0; k < offer->n_crypto && f->keyed; k++) {
		if (same_key(&offer->crypto[k], &f->theirs))
			return &offer->crypto[k];
	}
	for (size_t i = 0; i < N_SUITES; i++) {
		for (size_t k = 0; k < offer->n_crypto; k++) {
			if (offer->crypto[k].suite == preferred[i])
				return &offer->crypto[k];
		}
	}
	return NULL;
}

int call_srtp_answer(const struct party *p, const struct sdp *offer,
	struct sdp *answer, enum reason *why_out)
{
	const struct sdp_crypto *line;
	struct in_force f;

	sdp_wipe(answer);
	answer->profile = offer->profile;
	read_in_force(p, &f);
	line = choose(offer, &f);
	if (line != NULL) {
		struct sdp_crypto *mine = &answer->crypto[0];

		if (f.keyed && same_key(line, &f.theirs) &&
			offer->session_id == f.session) {
			*mine = f.ours;
			mine->tag = line->tag;
		} else {
			make_line(mine, line->tag, line->suite);
		}
		answer->n_crypto = 1;
	}
	secret_wipe(&f, sizeof f);
	if (line == NULL && sdp_profile_is_secure(offer->profile)) {
		*why_out = REASON_SDP_NO_SUITE;
		return ERR_INVALID;
	}
	return 0;
}

/* --- mediad, the CDR, the end --- */

static Gh__SrtpKey *fill_key(struct sdp_crypto *line, Gh__SrtpKey *key)
{
	gh__srtp_key__init(key);
	key->suite = line->suite;
	key->master.data = line->master;
	key->master.len = line->master_len;
	return key;
}

void call_srtp_fill(const struct party *p, struct sdp *ours, struct sdp *theirs,
	Gh__MediaSide *side, struct call_srtp_keys *keys)
{
	size_t i, k;

	side->srtp_required =
		call_srtp_policy(p) == GH__SRTP_POLICY__SRTP_REQUIRED ||
		sdp_profile_is_secure(ours->profile);
	if (!common_line(ours, theirs, &i, &k))
		return;
	side->receive = fill_key(&theirs->crypto[k], &keys->receive);
	side->send = fill_key(&ours->crypto[i], &keys->send);
	side->srtp_required = true;
}

const char *call_srtp_suite(const struct party *p)
{
	const char *name = "";
	struct in_force f;

	read_in_force(p, &f);
	if (f.keyed)
		name = sdp_suite_name(f.ours.suite);
	secret_wipe(&f, sizeof f);
	return name;
}

static void wipe_party(struct call *c, struct party *p)
{
	call_media_drop_text(c, &p->ours);
	call_media_drop_text(c, &p->theirs);
}

void call_srtp_wipe(struct call *c)
{
	struct party *p;

	call_change_drop(c);
	c->pending_sdp = NULL; /* was the caller's `ours` */
	wipe_party(c, &c->caller);
	TAILQ_FOREACH (p, &c->parties, link)
		wipe_party(c, p);
}
