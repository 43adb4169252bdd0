/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A call's record, written after every event of the call and before what may
 * not be said twice: the 100 that ends the caller's retransmissions, and the
 * 200 to a BYE.
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

static void *many(su_home_t *home, size_t n, size_t size)
{
	return su_zalloc(home, (isize_t)((n + 1) * size));
}

static char *address_text(su_home_t *home, const struct addr *addr)
{
	char buffer[ADDR_TEXT_SIZE];

	if (!addr_is_set(addr))
		return text("");
	return text(su_strdup(home, addr_format(addr, buffer)));
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

static void save_party(const struct call *c, const struct party *p,
	su_home_t *home, Gh__SavedParty *out)
{
	gh__saved_party__init(out);
	out->kind = p->kind;
	out->trunk = p->trunk != NULL ? p->trunk->row->id : 0;
	if (p->account != NULL)
		out->account = (Gh__Account *)(uintptr_t)p->account->row;
	out->listen = text("");
	if (p->address != NULL) {
		out->listen = address_text(home, &p->address->listen);
		out->transport = (Gh__Transport)p->address->row->transport;
	}
	out->peer = address_text(home, &p->peer);
	out->flow = p->flow;
	out->request_uri = text(p->request_uri);
	out->host = text(p->host);
	if (!leg_is_gone(p->leg) && p->leg->state != LEG_NEW) {
		out->leg = su_zalloc(home, sizeof *out->leg);
		if (out->leg != NULL)
			leg_save(p->leg, home, out->leg);
		/* It has agreed to something new already. */
		if (out->leg != NULL && c->change.applied &&
			p == c->change.asked)
			out->leg->changing = true;
	}
	out->round = p->round;
	out->status = p->status;
	out->silent = p->silent;
	out->behind_nat = p->behind_nat;
	out->theirs = text(agreed(c, p, true));
	out->ours = text(agreed(c, p, false));
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
	const struct call *c, su_home_t *home, Gh__SavedCall *out)
{
	const struct party *p;
	size_t n = 0;

	out->caller = su_zalloc(home, sizeof *out->caller);
	if (out->caller != NULL)
		save_party(c, &c->caller, home, out->caller);
	TAILQ_FOREACH (p, &c->parties, link)
		n++;
	out->parties = many(home, n, sizeof *out->parties);
	TAILQ_FOREACH (p, &c->parties, link) {
		Gh__SavedParty *one;

		if (out->parties == NULL || !is_needed(c, p))
			continue;
		one = su_zalloc(home, sizeof *one);
		if (one == NULL)
			continue;
		save_party(c, p, home, one);
		out->parties[out->n_parties++] = one;
	}
}

static void save_record(
	const struct call *c, su_home_t *home, Gh__SavedCall *out)
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
	out->decisions = many(home, r->n_steps, sizeof *out->decisions);
	for (size_t i = 0; out->decisions != NULL && i < r->n_steps; i++) {
		Gh__Decision *d = su_zalloc(home, sizeof *d);

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
	const struct media_slot *slot, su_home_t *home, Gh__SavedSlot *out)
{
	gh__saved_slot__init(out);
	out->listen = text("");
	if (slot->address != NULL) {
		out->listen = address_text(home, &slot->address->listen);
		out->transport = (Gh__Transport)slot->address->row->transport;
	}
	out->round = slot->round;
	out->rtp = many(home, 2, sizeof *out->rtp);
	out->rtcp = many(home, 2, sizeof *out->rtcp);
	for (size_t i = 0; out->rtp != NULL && out->rtcp != NULL && i < 2;
		i++) {
		out->rtp[out->n_rtp++] = address_text(home, &slot->rtp[i]);
		out->rtcp[out->n_rtcp++] = address_text(home, &slot->rtcp[i]);
	}
	if (slot->session != NULL) {
		out->session = text(media_session_name(slot->session));
		media_session_wanted(slot->session, &out->want, &out->version);
	}
}

static void save_slots(
	const struct call *c, su_home_t *home, Gh__SavedCall *out)
{
	const struct media_slot *slot;
	size_t n = 0;

	for (slot = c->slots; slot != NULL; slot = slot->next)
		n++;
	out->slots = many(home, n, sizeof *out->slots);
	for (slot = c->slots; out->slots != NULL && slot != NULL;
		slot = slot->next) {
		out->slots[out->n_slots] = su_zalloc(home, sizeof **out->slots);
		if (out->slots[out->n_slots] == NULL)
			return;
		save_slot(slot, home, out->slots[out->n_slots++]);
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

void call_to_record(const struct call *c, su_home_t *home, Gh__SavedCall *out)
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
	save_parties(c, home, out);
	save_record(c, home, out);
	save_slots(c, home, out);
}

void call_save_as(struct call *c, uint32_t state)
{
	su_home_t home[1] = {SU_HOME_INIT(home)};
	Gh__SavedCall record;

	/* Refused before it had a dialog: nothing to go on with, and its CDR
	 * is on its way. */
	if (c->sbc->saves == NULL || c->buried || c->caller.leg == NULL)
		return;
	su_home_init(home);
	call_to_record(c, home, &record);
	record.state = state;
	if (record.caller != NULL)
		save_put(c->sbc->saves, SAVE_CALL, &c->saved, &record.base);
	su_home_deinit(home);
}

void call_save(struct call *c)
{
	call_save_as(c, c->state);
}

void call_forget(struct call *c)
{
	save_drop(c->sbc->saves, SAVE_CALL, &c->saved);
}
