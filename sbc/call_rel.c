/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Offers and answers of a caller that requires reliable provisionals (RFC 3262
 * 5, RFC 6337): our offer in the first of them where its INVITE had none, its
 * answer to that in PRACK, and its own offers in PRACK.
 *
 * Decides: what we offer before anybody has agreed to anything (the codec
 * lists), and what is answered to an offer in PRACK that the other side cannot
 * be asked about, or refuses: a PRACK cannot be refused (RFC 6337 3.2), so it
 * is answered out of what the caller was told before; an offer that does not
 * fit gets its stream refused (port 0), and at once, or after the answer, an
 * offer of ours that brings back what held. What the other side should know
 * and could not be told is made good by a re-INVITE once the call is up.
 *
 * An offer in PRACK that the other side can be asked about (UPDATE) is
 * call_change.c's, like any other change. Called by call.c's table, and by
 * call_early.c, call_media.c and call_change.c.
 */
#include "config.h"

#include "sbc/call_srtp.h"

#include <string.h>

/* --- our offer --- */

/* All that may be used between the two: nobody has chosen yet. */
static int write_offer(struct call *c, const struct party *called)
{
	struct party *p = &c->caller;
	const Gh__CodecList *list =
		p->codecs != NULL ? p->codecs : called->codecs;
	struct sdp sdp = {0};
	enum reason why;
	int err;

	if (list == NULL)
		return ERR_NOT_FOUND;
	sdp_payloads_from_list(list, &sdp);
	if (sdp_restrict(&sdp, p->codecs, called->codecs, NULL) != 0)
		return ERR_NOT_FOUND;
	sdp.direction = GH__DIRECTION__DIRECTION_SENDRECV;
	sdp.has_audio = true;
	err = call_srtp_offer(p, &sdp, &why);
	if (err == 0)
		err = call_media_dress(c, p, &sdp);
	if (err == 0)
		err = call_media_keep(c, &sdp, &p->ours);
	sdp_wipe(&sdp);
	return err;
}

const char *call_rel_offer(struct call *c, const struct party *called)
{
	struct party *p = &c->caller;
	const struct leg *leg = p->leg;

	if (!leg->rel_required || !leg->offerless || leg->rel_offered ||
		p->theirs != NULL)
		return NULL;
	if (p->ours == NULL) {
		c->offered = called->slot;
		if (write_offer(c, called) != 0)
			return NULL;
	}
	return p->ours;
}

/* --- its answer --- */

static bool has_payload(const struct sdp *sdp, const struct sdp_payload *p)
{
	for (size_t i = 0; i < sdp->n_payloads; i++) {
		if (su_casematch(sdp->payloads[i].name, p->name) &&
			sdp->payloads[i].clock == p->clock)
			return true;
	}
	return false;
}

bool call_rel_holds(const struct call *c, const struct sdp *far)
{
	const struct party *p = &c->caller;
	const struct media_slot *slot = c->called->slot;
	struct sdp ours, theirs, now;
	enum reason why;
	bool read;

	read = sdp_parse(p->ours, strlen(p->ours), &ours, &why) == 0 &&
	       sdp_parse(p->theirs, strlen(p->theirs), &theirs, &why) == 0;
	sdp_wipe(&ours);
	sdp_wipe(&theirs);
	if (!read || slot == NULL || sdp_make_answer(&theirs, far, &now) != 0 ||
		ours.rtp.port != slot->rtp[CALL_CALLER].port)
		return false;
	for (size_t i = 0; i < ours.n_payloads; i++) {
		const struct sdp_payload *payload = &ours.payloads[i];

		if (has_payload(&theirs, payload) && !has_payload(far, payload))
			return false;
	}
	/* Ours was an answer, or an offer. */
	return ours.direction == now.direction ||
	       ours.direction == far->direction;
}

static int take_answer(
	struct call *c, const struct leg_msg *msg, enum reason *why)
{
	struct party *p = &c->caller;
	struct sdp ours, theirs;
	bool fits;

	if (call_media_read(c, p, msg->sdp, msg->sdp_len, &theirs, why) != 0)
		return ERR_INVALID;
	fits = sdp_parse(p->ours, strlen(p->ours), &ours, why) == 0 &&
	       sdp_check_answer(&ours, &theirs, why) == 0;
	sdp_wipe(&ours);
	sdp_wipe(&theirs);
	if (!fits)
		return ERR_INVALID;
	*why = REASON_CALL_INTERNAL;
	p->theirs = call_media_copy(c, msg->sdp, msg->sdp_len, &theirs);
	return p->theirs != NULL ? 0 : ERR_NOMEM;
}

enum call_state call_rel_on_prack(struct call *c, const struct call_input *in)
{
	struct party *p = &c->caller;
	enum reason why = REASON_SDP_NO_ANSWER;
	struct sdp far;

	if (in->msg->sdp == NULL || p->theirs != NULL || p->ours == NULL)
		return c->state;
	/* RFC 6337 3.2: nothing else is left than to end it. */
	if (take_answer(c, in->msg, &why) != 0)
		return call_end(c, why, 0, CALL_SBC);
	c->untold = true;
	if (c->called == NULL)
		return call_early_on_fewer(c);
	if (c->called->theirs != NULL &&
		sdp_parse(c->called->theirs, strlen(c->called->theirs), &far,
			&why) == 0) {
		sdp_wipe(&far);
		if (!call_rel_holds(c, &far))
			c->change.again = p;
	}
	if (call_media_want(c) != 0)
		return call_end(c, REASON_SESSION_AWAY, 0, CALL_SBC);
	return c->state;
}

/* --- its offers --- */

/* The answer to the caller's offer out of what it was told last. */
static int answer_as_told(struct call *c, const struct sdp *offer,
	const struct sdp *told, enum reason *why)
{
	struct party *p = &c->caller;
	struct sdp answer;
	int err;

	*why = REASON_SDP_NO_CODEC;
	if (sdp_make_answer(offer, told, &answer) != 0)
		return ERR_NOT_FOUND;
	answer.direction = sdp_direction_and(answer.direction,
		sdp_reverse(offer->old_hold
				    ? sdp_direction_and(offer->direction,
					      GH__DIRECTION__DIRECTION_SENDONLY)
				    : offer->direction));
	err = call_srtp_answer(p, offer, &answer, why);
	if (err == 0) {
		answer.session_id = p->sdp_id;
		answer.session_version = ++p->sdp_version;
		answer.origin = told->origin;
		answer.rtp = told->rtp;
		answer.rtcp = answer.rtcp_mux ? (struct addr){0} : told->rtcp;
		answer.old_hold = false;
		*why = REASON_CALL_INTERNAL;
		err = call_media_keep(c, &answer, &p->ours);
	}
	sdp_wipe(&answer);
	return err;
}

static int answer_here(struct call *c, const char *text, size_t len,
	const struct sdp *told, enum reason *why)
{
	struct party *p = &c->caller;
	char *copy;
	struct sdp offer;
	int err = call_media_read(c, p, text, len, &offer, why);

	if (err != 0)
		return err;
	copy = call_media_copy(c, text, len, &offer);
	err = copy != NULL && sdp_restrict(&offer, p->codecs, NULL, NULL) == 0
		      ? answer_as_told(c, &offer, told, why)
		      : ERR_INVALID;
	sdp_wipe(&offer);
	if (err != 0) {
		call_media_drop_text(c, &copy);
		return err;
	}
	call_media_drop_text(c, &p->theirs);
	p->theirs = copy;
	p->learn_generation++;
	c->untold = true;
	leg_change_accept(p->leg, p->ours);
	if (c->called != NULL && call_media_want(c) != 0)
		log_warning("media_not_told", LOG_CALL(c->id));
	return 0;
}

/* Its stream is refused; what held is offered again. */
static int refuse_stream(
	struct call *c, const char *text, size_t len, const struct sdp *told)
{
	struct party *p = &c->caller;
	char *answer = NULL;
	enum reason why;
	struct sdp sdp;
	int err;

	if (sdp_parse(text, len, &sdp, &why) != 0)
		return ERR_INVALID;
	sdp_wipe(&sdp);
	if (!sdp.has_audio)
		return ERR_INVALID;
	sdp.session_id = p->sdp_id;
	sdp.session_version = ++p->sdp_version;
	sdp.origin = told->origin;
	sdp.rtp = told->rtp;
	sdp.rtp.port = 0;
	err = call_media_keep(c, &sdp, &answer);
	if (err != 0)
		return err;
	leg_change_accept(p->leg, answer);
	call_media_drop_text(c, &answer);
	c->untold = true;
	c->change.again = p;
	call_retry_in(c, 0);
	return 0;
}

void call_rel_tell(struct call *c)
{
	if (!c->untold || c->change.again != NULL)
		return;
	c->untold = false;
	if (!call_change_is_news(c, &c->caller))
		return;
	c->change.again = c->called;
	call_retry_in(c, 0);
}

void call_rel_refuse(struct call *c, struct party *p, unsigned status)
{
	struct sdp told;
	enum reason why;
	const char *text;
	size_t len = 0;

	if (!leg_change_is_prack(p->leg)) {
		leg_change_refuse(p->leg, status);
		return;
	}
	text = leg_change_offer(p->leg, &len);
	if (text != NULL && p->ours != NULL &&
		sdp_parse(p->ours, strlen(p->ours), &told, &why) == 0) {
		sdp_wipe(&told);
		if (answer_here(c, text, len, &told, &why) == 0) {
			call_decide(c, REASON_CALL_PRACK_ANSWERED, NULL);
			return;
		}
		if (refuse_stream(c, text, len, &told) == 0) {
			call_decide(c, why, "prack");
			return;
		}
	}
	leg_change_refuse(p->leg, status);
}
