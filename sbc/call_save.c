/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A call's record, written before what may not be said twice (the 100 that ends
 * the caller's retransmissions, an INVITE, an ACK, a 200) and after every event
 * of the call: at once, or with other events up to SAVE_SOON_US later.
 * Writing is most of what a call costs us beside the SIP library, so texts are
 * pointed at, pieces come from a scratch block, and what only a call that goes
 * on needs is left out of one that ends.
 *
 * Decides: what of a call a new process needs. Facts that only the next step of
 * a set-up needs are left out, since a set-up does not go on. Called by call.c,
 * calls.c.
 */
#include "config.h"

#include "sbc/call_save.h"

#include <string.h>

#include "sbc/call_inner.h"
#include "sbc/leg_save.h"

/* protobuf-c takes char *, and never writes to what it packs. */
static char *text(const char *s)
{
	return (char *)(uintptr_t)(s != NULL ? s : "");
}

/* Room for n pointers. */
static void *many(struct scratch *s, size_t n)
{
	return scratch_alloc(s, (n + 1) * sizeof(void *));
}

static uint32_t slot_number(
	const struct call *c, const struct media_slot *slot);

/* What was agreed on. While mediad is asked about a change the new texts stand
 * in the party and the old ones in the change; nobody has the answer yet, so
 * that a new process refuses the change. */
static const char *agreed(
	const struct call *c, const struct party *p, bool theirs)
{
	const struct call_change *ch = &c->change;
	const char *old = NULL;

	if (ch->applied && p == ch->asker)
		old = theirs ? ch->asker_theirs : ch->asker_ours;
	else if (ch->applied && p == ch->asked)
		old = theirs ? ch->asked_theirs : ch->asked_ours;
	if (old != NULL)
		return old;
	return theirs ? p->theirs : p->ours;
}

/* A new process only ends what is being set up, or ends already. */
static bool may_go_on(const struct call *c)
{
	return c->state >= CALL_ANSWERING && c->state <= CALL_CHANGING;
}

static void save_party(const struct call *c, const struct party *p,
	struct scratch *s, Gh__SavedParty *out)
{
	gh__saved_party__init(out);
	out->kind = p->kind;
	out->trunk = p->trunk != NULL ? p->trunk->row->id : 0;
	if (p->account != NULL)
		out->account = (Gh__Account *)(uintptr_t)p->account->row;
	out->listen = text("");
	if (p->address != NULL) {
		out->listen = scratch_address(s, &p->address->listen);
		out->transport = (Gh__Transport)p->address->row->transport;
	}
	out->peer = scratch_address(s, &p->peer);
	out->flow = p->flow;
	out->request_uri = text(p->request_uri);
	out->host = text(p->host);
	if (!leg_is_gone(p->leg) && p->leg->state != LEG_NEW) {
		out->leg = scratch_alloc(s, sizeof *out->leg);
		if (out->leg != NULL)
			leg_save(p->leg, s, out->leg);
		/* It has agreed to something new already. */
		if (out->leg != NULL && c->change.applied &&
			p == c->change.asked)
			out->leg->changing = true;
	}
	out->round = p->round;
	out->status = p->status;
	out->silent = p->silent;
	out->behind_nat = p->behind_nat;
	if (may_go_on(c)) {
		out->theirs = text(agreed(c, p, true));
		out->ours = text(agreed(c, p, false));
	}
	out->sdp_id = p->sdp_id;
	out->sdp_version = p->sdp_version;
	out->learn_generation = p->learn_generation;
	out->counted = p->counted;
	out->shares = p->shares;
	out->answered = p == c->called;
	out->slot = slot_number(c, p->slot);
}

/* Who has been tried and is over is not needed, but for the last: the CDR
 * names it where nobody answers. */
static bool is_needed(const struct call *c, const struct party *p)
{
	return p == c->called || !leg_is_gone(p->leg) ||
	       TAILQ_NEXT(p, link) == NULL;
}

static void save_parties(
	const struct call *c, struct scratch *s, Gh__SavedCall *out)
{
	const struct party *p;
	size_t n = 0;

	out->caller = scratch_alloc(s, sizeof *out->caller);
	if (out->caller != NULL)
		save_party(c, &c->caller, s, out->caller);
	TAILQ_FOREACH (p, &c->parties, link)
		n++;
	out->parties = many(s, n);
	TAILQ_FOREACH (p, &c->parties, link) {
		Gh__SavedParty *one;

		if (out->parties == NULL || !is_needed(c, p))
			continue;
		one = scratch_alloc(s, sizeof *one);
		if (one == NULL)
			continue;
		save_party(c, p, s, one);
		out->parties[out->n_parties++] = one;
	}
}

static void save_record(
	const struct call *c, struct scratch *s, Gh__SavedCall *out)
{
	const struct call_record *r = &c->record;

	out->wall_start_us = r->wall_start_us;
	out->wall_ring_us = r->wall_ring_us;
	out->wall_answer_us = r->wall_answer_us;
	out->wall_end_us = r->wall_end_us;
	out->answer_us = r->answer_us;
	out->end_us = r->end_us;
	out->attempts = r->attempts;
	out->route = r->route;
	out->why = r->why != REASON_NONE ? reason_number(r->why) : 0;
	out->sip_status = r->sip_status;
	out->far_status = r->far_status;
	out->hangup = r->hangup;
	out->written = r->written;
	out->decisions = many(s, r->n_steps);
	for (size_t i = 0; out->decisions != NULL && i < r->n_steps; i++) {
		Gh__Decision *d = scratch_alloc(s, sizeof *d);

		if (d == NULL)
			continue;
		gh__decision__init(d);
		d->wall_us = r->steps[i].wall_us;
		d->reason = reason_number(r->steps[i].why);
		d->data = text(r->steps[i].data);
		out->decisions[out->n_decisions++] = d;
	}
}

static void save_slot(
	const struct media_slot *slot, struct scratch *s, Gh__SavedSlot *out)
{
	gh__saved_slot__init(out);
	out->listen = text("");
	if (slot->address != NULL) {
		out->listen = scratch_address(s, &slot->address->listen);
		out->transport = (Gh__Transport)slot->address->row->transport;
	}
	out->round = slot->round;
	out->rtp = many(s, 2);
	out->rtcp = many(s, 2);
	for (size_t i = 0; out->rtp != NULL && out->rtcp != NULL && i < 2;
		i++) {
		out->rtp[out->n_rtp++] = scratch_address(s, &slot->rtp[i]);
		out->rtcp[out->n_rtcp++] = scratch_address(s, &slot->rtcp[i]);
	}
	if (slot->session != NULL) {
		out->session = text(media_session_name(slot->session));
		media_session_wanted(slot->session, &out->want, &out->version);
	}
}

static void save_slots(
	const struct call *c, struct scratch *s, Gh__SavedCall *out)
{
	const struct media_slot *slot;
	size_t n = 0;

	for (slot = c->slots; slot != NULL; slot = slot->next)
		n++;
	out->slots = many(s, n);
	for (slot = c->slots; out->slots != NULL && slot != NULL;
		slot = slot->next) {
		out->slots[out->n_slots] =
			scratch_alloc(s, sizeof **out->slots);
		if (out->slots[out->n_slots] == NULL)
			return;
		save_slot(slot, s, out->slots[out->n_slots++]);
	}
}

/* Its place, from 1. */
static uint32_t slot_number(const struct call *c, const struct media_slot *slot)
{
	uint32_t n = 1;

	for (const struct media_slot *s = c->slots; s != NULL;
		s = s->next, n++) {
		if (s == slot)
			return n;
	}
	return 0;
}

void call_to_record(const struct call *c, struct scratch *s, Gh__SavedCall *out)
{
	gh__saved_call__init(out);
	out->call = text(c->id);
	out->state = c->state;
	out->caller_number = text(c->caller_number);
	out->called_number = text(c->called_number);
	out->caller_display = text(c->caller_display);
	out->caller_hidden = c->caller_hidden;
	out->round = c->round;
	out->pending_status = c->pending_status;
	out->caller_lines = text(c->end_lines[CALL_CALLER]);
	out->called_lines = text(c->end_lines[CALL_CALLED]);
	out->emergency = c->emergency;
	out->metered = c->metered;
	if (c->forwarder != NULL)
		out->forwarder = (Gh__Account *)(uintptr_t)c->forwarder->row;
	out->forwarder_metered = c->forward_metered;
	save_parties(c, s, out);
	save_record(c, s, out);
	save_slots(c, s, out);
}

void call_save_as(struct call *c, uint32_t state)
{
	struct scratch s;
	Gh__SavedCall record;

	call_save_never(c);
	/* Refused before it had a dialog: nothing to go on with, and its CDR
	 * is on its way. */
	if (c->sbc->saves == NULL || c->buried || c->caller.leg == NULL ||
		call_wake(c) != 0)
		return;
	scratch_init(&s);
	call_to_record(c, &s, &record);
	record.state = state;
	if (record.caller != NULL)
		save_put(c->sbc->saves, SAVE_CALL, &c->saved, &record.base);
	scratch_done(&s);
}

/* Nobody knows of the call but the caller: its INVITE is all that a new process
 * needs, and that is saved already. */
static bool is_only_asked(const struct call *c)
{
	const struct party *p;

	if (c->state > CALL_PORTS || !save_has(&c->saved))
		return false;
	TAILQ_FOREACH (p, &c->parties, link) {
		if (p->leg != NULL && p->leg->state != LEG_NEW)
			return false;
	}
	return true;
}

void call_save(struct call *c)
{
	if (!is_only_asked(c))
		call_save_as(c, c->state);
}

void call_save_soon(struct call *c)
{
	struct calls *calls = c->calls;

	if (c->sbc->saves == NULL || c->buried || c->unsaved)
		return;
	if (TAILQ_EMPTY(&calls->unsaved))
		loop_timer_set(c->sbc->daemon.loop, calls->saver, SAVE_SOON_US);
	TAILQ_INSERT_TAIL(&calls->unsaved, c, unsaved_link);
	c->unsaved = true;
}

void call_save_all(void *arg)
{
	struct calls *calls = arg;
	struct call *c;

	while ((c = TAILQ_FIRST(&calls->unsaved)) != NULL) {
		call_save_never(c);
		call_save(c);
	}
}

void call_save_never(struct call *c)
{
	if (c->unsaved)
		TAILQ_REMOVE(&c->calls->unsaved, c, unsaved_link);
	c->unsaved = false;
}

void call_forget(struct call *c)
{
	call_save_never(c);
	save_drop(c->sbc->saves, SAVE_CALL, &c->saved);
}
