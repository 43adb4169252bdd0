/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A session that is up changes: hold, resume, other codecs, another address,
 * from either side (RFC 3264 8, RFC 3261 14, RFC 3311).
 *
 *	offer from A --- B need not know ---> mediad -> answer to A
 *	     \-- re-INVITE to B -> B's answer -> mediad -> answer to A
 *	A offers nothing -> our offer in the 2xx -> answer in the ACK
 *	     -> mediad, and a re-INVITE to B if something changed for it
 *
 * Decides: whether the other side has to know, and what each side is answered.
 * A change that the other side or mediad refuses leaves everything as it was:
 * the new descriptions take the old ones' place only for the question to
 * mediad, and are put back if the answer is no. Called by call.c's table.
 */
#include "config.h"

#include "sbc/call_srtp.h"

#include <stdio.h>
#include <string.h>

#include "common/secret.h"

#define TRIES_MAX 4

static void swap_text(char **a, char **b)
{
	char *t = *a;

	if (t == NULL)
		return;
	*a = *b;
	*b = t;
}

/* New for old, or back again. */
static void swap_all(struct call *c)
{
	struct call_change *ch = &c->change;

	if (ch->asker != NULL) {
		swap_text(&ch->asker_theirs, &ch->asker->theirs);
		swap_text(&ch->asker_ours, &ch->asker->ours);
	}
	if (ch->asked != NULL) {
		swap_text(&ch->asked_theirs, &ch->asked->theirs);
		swap_text(&ch->asked_ours, &ch->asked->ours);
	}
}

void call_change_drop(struct call *c)
{
	struct call_change *ch = &c->change;
	struct call_change none = {.again = ch->again, .tries = ch->tries};

	call_media_drop_text(c, &ch->asker_theirs);
	call_media_drop_text(c, &ch->asker_ours);
	call_media_drop_text(c, &ch->asked_theirs);
	call_media_drop_text(c, &ch->asked_ours);
	*ch = none;
}

static bool address_differs(const char *a, const char *b)
{
	struct sdp one, two;
	enum reason why;
	bool differs = sdp_parse(a, strlen(a), &one, &why) != 0 ||
		       sdp_parse(b, strlen(b), &two, &why) != 0 ||
		       !addr_equal(&one.rtp, &two.rtp);

	sdp_wipe(&one);
	sdp_wipe(&two);
	return differs;
}

/* Hands the new state to mediad; EV_MEDIA_OK or EV_MEDIA_FAILED follows. */
static int apply(struct call *c)
{
	int err;

	swap_all(c);
	c->change.applied = true;
	/* Only what was offered or answered anew may be learned anew. */
	if (c->change.asker != NULL && c->change.asker_theirs != NULL)
		c->change.asker->learn_generation++;
	if (c->change.asked != NULL && c->change.asked_theirs != NULL &&
		address_differs(
			c->change.asked->theirs, c->change.asked_theirs))
		c->change.asked->learn_generation++;
	err = call_media_want(c);
	if (err != 0) {
		swap_all(c);
		c->change.applied = false;
	}
	return err;
}

void call_change_abort(struct call *c)
{
	struct call_change *ch = &c->change;

	if (!ch->active)
		return;
	if (ch->applied)
		swap_all(c);
	if (ch->asked != NULL)
		ch->again = ch->asked;
	if (ch->asker != NULL)
		call_rel_refuse(c, ch->asker, 491);
	call_change_drop(c);
}

static enum call_state refuse(
	struct call *c, struct party *p, enum reason why, unsigned status)
{
	if (status == 0)
		status = reason_sip(why) != 0 ? reason_sip(why) : 488;
	call_decide(c, why, "change");
	call_rel_refuse(c, p, status);
	return c->state;
}

static bool is_t38_only(const struct sdp *sdp)
{
	for (size_t i = 0; i < sdp->n_lines; i++) {
		if (strcmp(sdp->lines[i].kind, "image") == 0)
			return true;
	}
	return false;
}

/* Are all codecs that `old` has in `now` too? */
static bool keeps_codecs(const struct sdp *old, const struct sdp *now)
{
	for (size_t i = 0; i < old->n_payloads; i++) {
		bool found = false;

		for (size_t k = 0; k < now->n_payloads && !found; k++)
			found = strcmp(old->payloads[i].name,
					now->payloads[k].name) == 0 &&
				old->payloads[i].clock ==
					now->payloads[k].clock;
		if (!found)
			return false;
	}
	return true;
}

static Gh__Direction direction_of(const struct sdp *sdp)
{
	/* c=0.0.0.0: "do not send to me" (RFC 3264 8.4). */
	return sdp->old_hold ? sdp_direction_and(sdp->direction,
				       GH__DIRECTION__DIRECTION_SENDONLY)
			     : sdp->direction;
}

/* Have we asked a side for VoIP metrics? That stays as it is: not to have asked
 * a caller who does not know of them is no change. */
static bool wants_metrics(const struct party *p)
{
	struct sdp ours;
	enum reason why;
	bool wants;

	if (p->ours == NULL ||
		sdp_parse(p->ours, strlen(p->ours), &ours, &why) != 0)
		return true;
	wants = ours.voip_metrics;
	sdp_wipe(&ours);
	return wants;
}

/* What a side's description means for the other side: our next offer there,
 * without keys.
 * @return 0, or ERR_NOT_FOUND if no codec is left. */
static int far_offer(const struct party *from, const struct party *to,
	const struct sdp *theirs, struct sdp *offer)
{
	*offer = *theirs;
	sdp_wipe(offer);
	if (sdp_restrict(offer, from->codecs, to->codecs, to->codecs) != 0)
		return ERR_NOT_FOUND;
	offer->direction = direction_of(theirs);
	offer->n_lines = 0;
	offer->audio_line = 0;
	offer->has_audio = true;
	offer->rtcp_mux = false;
	offer->voip_metrics = wants_metrics(to);
	offer->old_hold = false;
	return 0;
}

/* Must the other side hear of it? */
static bool matters_to(const struct sdp *offer, const struct sdp *told,
	const struct sdp *agreed)
{
	return offer->direction != told->direction ||
	       (offer->ptime_us != 0 && offer->ptime_us != told->ptime_us) ||
	       !keeps_codecs(agreed, offer);
}

/* What a side was told, and of what it said only what was agreed; no keys. */
static int read_agreed(const struct party *p, struct sdp *told, struct sdp *far,
	enum reason *why)
{
	bool fits = sdp_parse(p->ours, strlen(p->ours), told, why) == 0 &&
		    sdp_parse(p->theirs, strlen(p->theirs), far, why) == 0 &&
		    sdp_check_answer(told, far, why) == 0;

	sdp_wipe(told);
	sdp_wipe(far);
	return fits ? 0 : ERR_INVALID;
}

bool call_change_is_news(struct call *c, const struct party *from)
{
	const struct party *to = call_other(c, from);
	struct sdp theirs, told, far, next;
	enum reason why;

	if (to == NULL || to->theirs == NULL || to->ours == NULL ||
		call_media_again(from, from->theirs, &theirs) != 0)
		return false;
	sdp_wipe(&theirs);
	if (read_agreed(to, &told, &far, &why) != 0 ||
		far_offer(from, to, &theirs, &next) != 0)
		return false;
	if (told.ptime_us == 0)
		next.ptime_us = 0; /* our own offer says nothing of it */
	return matters_to(&next, &told, &far);
}

static int write_ours(
	struct call *c, struct party *p, struct sdp *sdp, char **text)
{
	int err;

	p->sdp_version++;
	err = call_media_dress(c, p, sdp);
	return err != 0 ? err : call_media_keep(c, sdp, text);
}

/* Sends a re-INVITE with an offer. */
static int ask_far(struct call *c, struct party *asked, struct sdp *offer)
{
	enum reason why;
	int err = call_srtp_offer_again(asked, offer, &why);

	if (err != 0)
		call_decide(c, why, "change");
	else
		err = write_ours(c, asked, offer, &c->change.asked_ours);
	sdp_wipe(offer);
	if (err == 0)
		err = leg_change(asked->leg, c->change.asked_ours);
	if (err == 0)
		c->change.asked = asked;
	return err;
}

/* Writes our answer to the asker's offer, out of the other side's. */
static int answer_asker(struct call *c, struct party *asker,
	const struct sdp *offer, const struct sdp *far, enum reason *why)
{
	struct sdp answer;
	int err;

	*why = REASON_SDP_NO_CODEC;
	if (sdp_make_answer(offer, far, &answer) != 0)
		return ERR_NOT_FOUND;
	answer.direction = sdp_direction_and(
		answer.direction, sdp_reverse(direction_of(offer)));
	if (call_srtp_answer(asker, offer, &answer, why) != 0)
		return ERR_NOT_FOUND;
	*why = REASON_CALL_INTERNAL;
	err = write_ours(c, asker, &answer, &c->change.asker_ours);
	sdp_wipe(&answer);
	return err;
}

/* An offer that changes nothing for the other side is answered at once. */
static enum call_state answer_alone(struct call *c, struct party *p,
	const struct sdp *offer, const struct sdp *far)
{
	enum reason why = REASON_NONE;
	int err = answer_asker(c, p, offer, far, &why);

	if (err == 0 && apply(c) == 0)
		return CALL_CHANGING;
	call_change_drop(c);
	return err != 0 ? refuse(c, p, why, 0)
			: refuse(c, p, REASON_SESSION_AWAY, 503);
}

/* A re-INVITE without an offer: ours is what the other side says of itself. */
static enum call_state offer_in_answer(
	struct call *c, struct party *p, const struct sdp *far)
{
	struct sdp ours;
	enum reason why;
	int err;

	if (sdp_parse(p->ours, strlen(p->ours), &ours, &why) != 0)
		return refuse(c, p, REASON_CALL_INTERNAL, 500);
	ours.direction = direction_of(far);
	/* Who asks may be about to bring in somebody else: all is offered. */
	if (call_srtp_offer(p, &ours, &why) != 0)
		return refuse(c, p, why, 0);
	err = write_ours(c, p, &ours, &c->change.asker_ours);
	sdp_wipe(&ours);
	if (err != 0)
		return refuse(c, p, REASON_CALL_INTERNAL, 500);
	c->change.active = true;
	c->change.awaits_ack = true;
	c->change.asker = p;
	leg_change_accept(p->leg, c->change.asker_ours);
	return CALL_UP;
}

/* Before the answer, and a peer without UPDATE or reliable provisionals. */
static bool is_too_early(const struct party *p)
{
	return p->leg->state != LEG_UP && p->leg->change.orq == NULL &&
	       p->leg->change_irq == NULL;
}

static enum call_state on_new_offer(struct call *c, struct party *p,
	const struct leg_msg *msg, struct sdp *offer)
{
	struct party *other = call_other(c, p);
	struct sdp far, told, next;
	enum reason why = REASON_CALL_INTERNAL;

	if (read_agreed(other, &told, &far, &why) != 0)
		return refuse(c, p, why, 500);
	if (sdp_restrict(offer, p->codecs, NULL, NULL) != 0 ||
		far_offer(p, other, offer, &next) != 0)
		return refuse(c, p, REASON_SDP_NO_CODEC, 488);
	c->change.active = true;
	c->change.asker = p;
	c->change.asker_theirs =
		call_media_copy(c, msg->sdp, msg->sdp_len, offer);
	if (c->change.asker_theirs == NULL) {
		call_change_drop(c);
		return refuse(c, p, REASON_CALL_INTERNAL, 500);
	}
	if (!matters_to(&next, &told, &far))
		return answer_alone(c, p, offer, &far);
	switch (ask_far(c, other, &next)) {
	case 0:
		return CALL_CHANGING;
	case ERR_STATE:
		call_change_drop(c);
		return is_too_early(other)
			       ? refuse(c, p, REASON_CALL_CHANGE_TOO_EARLY, 0)
			       : refuse(c, p, REASON_CALL_GLARE, 491);
	default:
		call_change_drop(c);
		return refuse(c, p, REASON_CALL_INTERNAL, 500);
	}
}

enum call_state call_change_on_offer(
	struct call *c, const struct call_input *in)
{
	struct party *p = in->party;
	struct sdp offer, far;
	enum reason why = REASON_CALL_INTERNAL;
	enum call_state next;

	if (p != &c->caller && p != c->called) {
		leg_change_refuse(p->leg, 481);
		return c->state;
	}
	if (c->change.active)
		return refuse(c, p, REASON_CALL_PENDING, 491);
	if (in->msg->sdp == NULL) {
		const char *text = call_other(c, p)->theirs;

		if (sdp_parse(text, strlen(text), &far, &why) != 0)
			return refuse(c, p, why, 500);
		sdp_wipe(&far);
		return offer_in_answer(c, p, &far);
	}
	if (call_media_read(
		    c, p, in->msg->sdp, in->msg->sdp_len, &offer, &why) != 0) {
		if (why == REASON_SDP_NO_AUDIO && is_t38_only(&offer))
			why = REASON_SDP_T38;
		return refuse(c, p, why, 0);
	}
	next = on_new_offer(c, p, in->msg, &offer);
	sdp_wipe(&offer);
	return next;
}

/* The other side has changed and the first one has not: back again. */
static void restore(struct call *c, struct party *p)
{
	c->change.again = p;
	call_retry_in(c, 0);
}

static enum call_state fail(struct call *c, enum reason why, unsigned status)
{
	struct party *asker = c->change.asker;

	if (c->change.applied) {
		swap_all(c);
		if (call_media_want(c) != 0)
			log_warning("media_not_told", LOG_CALL(c->id));
	}
	call_decide(c, why, "change");
	if (asker != NULL)
		call_rel_refuse(c, asker, status);
	call_change_drop(c);
	return CALL_UP;
}

/* The answer to an offer of ours, without keys. */
static int read_answer(struct call *c, const struct party *p,
	const struct leg_msg *msg, const char *our_text, struct sdp *theirs,
	enum reason *why)
{
	struct sdp ours;
	bool fits;

	*why = REASON_SDP_NO_ANSWER;
	if (msg->sdp == NULL ||
		call_media_read(c, p, msg->sdp, msg->sdp_len, theirs, why) != 0)
		return ERR_INVALID;
	fits = sdp_parse(our_text, strlen(our_text), &ours, why) == 0 &&
	       sdp_check_answer(&ours, theirs, why) == 0;
	sdp_wipe(&ours);
	sdp_wipe(theirs);
	return fits ? 0 : ERR_INVALID;
}

enum call_state call_change_on_done(struct call *c, const struct call_input *in)
{
	struct call_change *ch = &c->change;
	struct party *asker = ch->asker, *asked = in->party;
	struct sdp far, offer;
	enum reason why = REASON_SDP_NO_ANSWER;

	if (!ch->active || asked != ch->asked)
		return c->state;
	if (read_answer(c, asked, in->msg,
		    ch->asked_ours != NULL ? ch->asked_ours : asked->ours, &far,
		    &why) != 0) {
		enum call_state s = fail(c, why, 500);

		restore(c, asked);
		return s;
	}
	ch->asked_theirs =
		call_media_copy(c, in->msg->sdp, in->msg->sdp_len, &far);
	if (ch->asked_theirs == NULL)
		return fail(c, REASON_CALL_INTERNAL, 500);
	if (asker != NULL) {
		const char *text = ch->asker_theirs;
		int err;

		if (asker->leg->change_irq == NULL) {
			/* It has taken its offer back (CANCEL). */
			enum call_state s = fail(c, REASON_CALL_CANCELLED, 487);

			restore(c, asked);
			return s;
		}
		err = call_media_read(
			c, asker, text, strlen(text), &offer, &why);
		if (err == 0)
			err = answer_asker(c, asker, &offer, &far, &why);
		sdp_wipe(&offer);
		if (err != 0)
			return fail(c, why,
				reason_sip(why) != 0 ? reason_sip(why) : 500);
	}
	if (apply(c) != 0)
		return fail(c, REASON_SESSION_AWAY, 503);
	return CALL_CHANGING;
}

enum call_state call_change_on_media(
	struct call *c, const struct call_input *in)
{
	struct call_change *ch = &c->change;

	(void)in;
	if (!ch->applied)
		return CALL_CHANGING;
	if (ch->asker != NULL && ch->asker_ours != NULL && !ch->awaits_ack)
		leg_change_accept(ch->asker->leg, ch->asker->ours);
	ch->again = NULL;
	ch->tries = 0;
	call_change_drop(c);
	if (c->state == CALL_CHANGING)
		call_rel_tell(c);
	return CALL_UP;
}

enum call_state call_change_on_failed(
	struct call *c, const struct call_input *in)
{
	struct call_change *ch = &c->change;
	unsigned status = in->msg != NULL ? in->msg->status : 0;
	struct party *asked = ch->asked;
	enum reason why;

	if (in->event == EV_CHANGE_FAILED && in->party != asked)
		return c->state;
	if (in->event != EV_CHANGE_FAILED)
		return fail(c,
			in->event == EV_TIMER ? REASON_CALL_FAR_SILENT
					      : in->why,
			in->event == EV_TIMER ? 500 : 503);
	if (status == 491 && ch->asker == NULL && ch->tries < TRIES_MAX) {
		/* RFC 3261 14.1: who made the Call-ID waits longer. */
		unsigned base = asked->leg->server ? 0 : 2100;
		unsigned span = asked->leg->server ? 2000 : 1900;
		uint16_t random;
		unsigned tries = ch->tries + 1;

		secret_random_bytes(&random, sizeof random);
		fail(c, REASON_CALL_GLARE, 491);
		ch->again = asked;
		ch->tries = tries;
		call_retry_in(c, (base + random % span) * CLOCK_US_PER_MS);
		return CALL_UP;
	}
	why = status == 491 ? REASON_CALL_GLARE
	      : status == 488 || status == 606 || status == 415
		      ? REASON_CALL_NOT_ACCEPTABLE
		      : REASON_CALL_FAR_REFUSED;
	return fail(c, why,
		status == 491 || status == 488 ? status
					       : hdr_map_status(status));
}

enum call_state call_change_on_ack(struct call *c, const struct call_input *in)
{
	struct call_change *ch = &c->change;
	struct party *p = in->party, *other;
	struct sdp theirs, told, far, next;
	enum reason why = REASON_SDP_NO_ANSWER;

	if (!ch->awaits_ack || p != ch->asker)
		return c->state;
	other = call_other(c, p);
	if (read_answer(c, p, in->msg, ch->asker_ours, &theirs, &why) != 0) {
		/* The offer was ours and is not answered: as before. */
		call_decide(c, why, "change");
		call_change_drop(c);
		return CALL_UP;
	}
	ch->asker_theirs =
		call_media_copy(c, in->msg->sdp, in->msg->sdp_len, &theirs);
	if (ch->asker_theirs == NULL) {
		call_change_drop(c);
		return CALL_UP;
	}
	if (read_agreed(other, &told, &far, &why) == 0 &&
		far_offer(p, other, &theirs, &next) == 0 &&
		matters_to(&next, &told, &far)) {
		/* This side is settled; now the other one hears of it. */
		swap_all(c);
		call_change_drop(c);
		if (call_media_want(c) != 0)
			log_warning("media_not_told", LOG_CALL(c->id));
		ch->active = true;
		if (ask_far(c, other, &next) == 0)
			return CALL_CHANGING;
		call_change_drop(c);
		restore(c, other);
		return CALL_UP;
	}
	if (apply(c) != 0) {
		call_change_drop(c);
		return CALL_UP;
	}
	return CALL_CHANGING;
}

/* Our own re-INVITE with what the other side has agreed to. */
static enum call_state ask_again(struct call *c, struct party *p)
{
	struct party *other = call_other(c, p);
	struct sdp theirs, offer;

	if (c->change.active || other == NULL || other->theirs == NULL)
		return c->state;
	if (call_media_again(other, other->theirs, &theirs) != 0)
		return c->state;
	sdp_wipe(&theirs);
	if (far_offer(other, p, &theirs, &offer) != 0)
		return c->state;
	c->change.active = true;
	if (ask_far(c, p, &offer) == 0)
		return CALL_CHANGING;
	call_change_drop(c);
	return c->state;
}

enum call_state call_change_on_refresh(
	struct call *c, const struct call_input *in)
{
	struct party *p = in->party;

	if ((p != &c->caller && p != c->called) || c->change.active)
		return c->state;
	/* The same description again: a refresh changes nothing. */
	if (leg_change(p->leg, p->ours) != 0)
		return c->state;
	c->change.active = true;
	c->change.asked = p;
	return CALL_CHANGING;
}

enum call_state call_change_on_retry(
	struct call *c, const struct call_input *in)
{
	struct party *p = c->change.again;

	(void)in;
	c->change.again = NULL;
	if (p == NULL)
		return c->state;
	if (leg_can_change(p->leg))
		return ask_again(c, p);
	if (c->state == CALL_UP && c->change.tries < TRIES_MAX) {
		/* An offer of before the answer is still under way. */
		c->change.tries++;
		c->change.again = p;
		call_retry_in(c, 500 * CLOCK_US_PER_MS);
	}
	return c->state;
}
