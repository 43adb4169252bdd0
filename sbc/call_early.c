/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Between the first 18x and the answer: what the caller hears of several that
 * ring, early media, and changes of early dialogs.
 *
 * Decides: whose early media is passed on. As long as several phones of a
 * target may still answer it is nobody's: whoever rings loudest would speak
 * for the one that answers, and the caller has one dialog with us in which
 * only one answer may stand. What each said is kept, since its 2xx need not
 * say it again; the last one left is heard from then on. A new early dialog of
 * that one replaces the old one's media.
 *
 * An UPDATE with an offer (RFC 3311) is possible where the first offer was
 * answered reliably: it is answered here, or asked of the other side by UPDATE
 * if it has to know. If that one cannot be asked yet, the change is refused
 * and all stays as it is. Nothing of a change outlives the answer: what is
 * under way then is made good by a re-INVITE once the call is up.
 *
 * The work on descriptions is call_change.c's and call_media.c's. Called by
 * call.c's table, in RINGING (and TRYING for the first 18x). RFC 3261 13.2,
 * 13.3; RFC 3960; RFC 6337 3.1, 3.3.
 */
#include "config.h"

#include "sbc/call_inner.h"

static enum call_state tell_ringing(
	struct call *c, const struct party *p, unsigned status)
{
	if (status == c->progress || c->n_progress >= CALL_PROGRESS_MAX)
		return CALL_RINGING;
	c->progress = status;
	c->n_progress++;
	leg_progress(
		c->caller.leg, status, call_rel_offer(c, p), c->answer_lines);
	return CALL_RINGING;
}

/* The caller hears this party from now on. */
static enum call_state pass_media(
	struct call *c, struct party *p, unsigned status)
{
	static const struct leg_msg said_before = {.status = 183};
	enum reason why = REASON_SDP_OK;

	c->called = p;
	if (call_media_answer(c, p, &said_before, &why) != 0) {
		c->called = NULL;
		call_note(c, why, "early");
		return tell_ringing(c, p, status);
	}
	c->n_progress++;
	c->pending_status = status;
	c->pending_sdp = c->caller.ours;
	if (call_media_want(c) != 0)
		return call_end(c, REASON_SESSION_AWAY, 0, CALL_SBC);
	return CALL_RINGING;
}

static bool may_be_heard(const struct call *c)
{
	const struct leg *leg = c->caller.leg;

	/* A caller that offered nothing hears what it has agreed to, or our
	 * offer in a provisional that it has to acknowledge. */
	if (c->caller.theirs == NULL &&
		(!leg->rel_required || leg->rel_offered))
		return false;
	return !c->change.active && c->n_progress < CALL_PROGRESS_MAX &&
	       call_setup_alive(c) == 1;
}

enum call_state call_early_on_progress(
	struct call *c, const struct call_input *in)
{
	struct party *p = in->party;
	unsigned status = in->msg->status;
	enum reason why = REASON_SDP_OK;

	if (p->round != c->round)
		return c->state;
	if (c->record.wall_ring_us == 0)
		c->record.wall_ring_us = clock_wall_us();
	c->answer_lines =
		call_setup_lines(p, &c->caller, in->msg->sip, c->home);
	if (status != 180 && status != 181 && status != 182)
		status = 183;
	if (in->msg->sdp == NULL || (c->change.active && p == c->called))
		return tell_ringing(c, p, status);
	if (call_media_take(c, p, in->msg, &why) != 0) {
		call_note(c, why, "early");
		return tell_ringing(c, p, status);
	}
	return may_be_heard(c) ? pass_media(c, p, status)
			       : tell_ringing(c, p, status);
}

enum call_state call_early_on_fewer(struct call *c)
{
	struct party *p;

	if (c->state != CALL_RINGING || c->called != NULL || !may_be_heard(c))
		return c->state;
	TAILQ_FOREACH (p, &c->parties, link) {
		if (p->round == c->round && p->leg != NULL && p->status == 0)
			break;
	}
	if (p == NULL || p->theirs == NULL)
		return c->state;
	return pass_media(c, p, 183);
}

/* What the change's own steps take for UP or CHANGING is RINGING here. */
static enum call_state still_early(enum call_state s)
{
	return s == CALL_UP || s == CALL_CHANGING ? CALL_RINGING : s;
}

enum call_state call_early_on_media(struct call *c, const struct call_input *in)
{
	struct party *again = c->change.again;
	bool reliable = c->caller.leg->rel_agreed || c->caller.leg->rel_offered;

	if (c->pending_status >= 180 && c->pending_status < 200) {
		c->progress = c->pending_status;
		leg_progress(c->caller.leg, c->pending_status,
			reliable ? NULL : c->pending_sdp, c->answer_lines);
		c->pending_status = 0;
		/* It has acknowledged another answer than this one. */
		if (again != NULL && leg_can_change(again->leg))
			call_retry_in(c, 0);
		return CALL_RINGING;
	}
	if (c->change.applied) {
		bool asked = again == c->change.asked;

		(void)call_change_on_media(c, in);
		if (!asked)
			c->change.again = again;
	}
	return CALL_RINGING;
}

enum call_state call_early_on_no_media(
	struct call *c, const struct call_input *in)
{
	if (c->change.applied)
		return still_early(call_change_on_failed(c, in));
	return call_end(c, in->why, 0, CALL_SBC);
}

enum call_state call_early_on_change(
	struct call *c, const struct call_input *in)
{
	struct party *p = in->party;

	/* Of several that ring none has the caller's ear. */
	if (c->called == NULL || (p != &c->caller && p != c->called) ||
		c->pending_status != 0 || c->caller.ours == NULL ||
		c->caller.theirs == NULL) {
		reason_count(REASON_CALL_PENDING);
		call_rel_refuse(c, p, 491);
		return CALL_RINGING;
	}
	return still_early(call_change_on_offer(c, in));
}

enum call_state call_early_on_change_over(
	struct call *c, const struct call_input *in)
{
	return still_early(in->event == EV_CHANGE_DONE
				   ? call_change_on_done(c, in)
				   : call_change_on_failed(c, in));
}

enum call_state call_early_on_retry(struct call *c, const struct call_input *in)
{
	struct party *p = c->change.again;

	/* Else it stands until the call is up. */
	if (p == NULL || c->called == NULL || !leg_can_change(p->leg))
		return CALL_RINGING;
	return still_early(call_change_on_retry(c, in));
}
