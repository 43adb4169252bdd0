/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The media sessions of a call, and what mediad says of them. One is the rule;
 * phones of one account that ring at once at different addresses of ours (IPv4
 * and IPv6, say) need ports at each, so each such address has a slot with a
 * session of its own until one phone has answered. The first session has the
 * call's id, the others random ones.
 *
 * Decides: when the ports of a round are there, which session is the call's,
 * whether a mediad that came back still fits what the peers were told. Called
 * by call_setup.c and call.c, and by mediad's client from the loop.
 */
#include "config.h"

#include "sbc/call_inner.h"

#include <stdio.h>
#include <string.h>

static const struct media_events slot_events;

static struct media_slot *slot_new(struct call *c)
{
	struct media_slot *slot = su_zalloc(c->home, sizeof *slot), **at;
	char id[IDENT_CALL_SIZE];

	if (slot == NULL)
		return NULL;
	slot->call = c;
	memcpy(id, c->id, sizeof id);
	if (c->slots != NULL)
		ident_make_call(id);
	if (media_session_new(
		    c->sbc->media, id, &slot_events, slot, &slot->session) != 0)
		return NULL;
	if (c->slots != NULL)
		log_info("media_session_added", LOG_CALL(c->id),
			LOG_STR("session", id));
	for (at = &c->slots; *at != NULL; at = &(*at)->next)
		continue;
	*at = slot;
	return slot;
}

/* One for this address of ours; one that an earlier round used will do. */
static struct media_slot *slot_for(struct call *c, const struct party *p)
{
	struct media_slot *slot, *idle = NULL;

	for (slot = c->slots; slot != NULL; slot = slot->next) {
		if (slot->session == NULL)
			continue;
		if (slot->round == c->round && slot->address == p->address)
			return slot;
		if (slot->round != c->round && idle == NULL)
			idle = slot;
	}
	slot = idle != NULL ? idle : slot_new(c);
	if (slot == NULL)
		return NULL;
	slot->round = c->round;
	slot->address = p->address;
	slot->asked = false;
	slot->failed = REASON_NONE;
	memset(slot->rtp, 0, sizeof slot->rtp);
	memset(slot->rtcp, 0, sizeof slot->rtcp);
	return slot;
}

int call_slot_open(struct call *c)
{
	struct party *p;
	int err = ERR_NOT_FOUND;

	TAILQ_FOREACH (p, &c->parties, link) {
		if (p->round != c->round)
			continue;
		p->slot = slot_for(c, p);
		if (p->slot == NULL)
			return ERR_NOMEM;
		if (p->slot->asked)
			continue;
		p->slot->asked = p->slot->waits = true;
		err = call_media_tell(c, p->slot, p);
		if (err != 0)
			return err;
	}
	return err;
}

int call_media_want(struct call *c)
{
	if (c->called == NULL || c->called->slot == NULL ||
		c->called->slot->session == NULL)
		return ERR_STATE;
	return call_media_tell(c, c->called->slot, c->called);
}

void call_slot_choose(struct call *c, const struct media_slot *chosen)
{
	struct media_slot *slot;

	for (slot = c->slots; slot != NULL; slot = slot->next) {
		if (slot != chosen && slot->session != NULL)
			media_end(slot->session);
	}
}

void call_slot_end(struct call *c)
{
	call_slot_choose(c, NULL);
	c->figures_done = true;
	for (struct media_slot *s = c->slots; s != NULL; s = s->next) {
		if (s->session != NULL)
			c->figures_done = false;
	}
}

void call_slot_drop(struct call *c)
{
	for (struct media_slot *s = c->slots; s != NULL; s = s->next) {
		if (s->session != NULL)
			media_session_drop(&s->session);
	}
}

/* --- what mediad says --- */

/* Whose figures stand in the CDR, and whose silence ends the call. */
static const struct media_slot *main_slot(const struct call *c)
{
	return c->called != NULL && c->called->slot != NULL ? c->called->slot
							    : c->slots;
}

static void read_side(
	const Gh__MediaSideState *side, struct addr *rtp, struct addr *rtcp)
{
	struct addr unset = {0};

	/* A text that is no address leaves the port unset. */
	*rtp = *rtcp = unset;
	if (side == NULL || addr_parse(side->rtp, rtp) != 0)
		return;
	if (addr_parse(side->rtcp, rtcp) != 0)
		*rtcp = unset;
}

/* After a restart of mediad the ports must be the same, or what the peers were
 * told is wrong. */
static bool take_ports(struct media_slot *slot, const Gh__SessionState *state)
{
	struct addr rtp[2], rtcp[2];
	bool fixed = slot->call->state != CALL_PORTS;

	read_side(state->caller, &rtp[0], &rtcp[0]);
	read_side(state->called, &rtp[1], &rtcp[1]);
	for (size_t i = 0; i < 2; i++) {
		if (fixed && addr_is_set(&slot->rtp[i]) &&
			!addr_equal(&slot->rtp[i], &rtp[i]))
			return false;
	}
	memcpy(slot->rtp, rtp, sizeof rtp);
	memcpy(slot->rtcp, rtcp, sizeof rtcp);
	return true;
}

/* The ports of a round are there once every slot has its answer; those that
 * got none leave their phones out. */
static void on_round(struct call *c)
{
	struct call_input in = {.event = EV_MEDIA_FAILED};

	for (struct media_slot *s = c->slots; s != NULL; s = s->next) {
		if (s->session == NULL || s->round != c->round)
			continue;
		if (s->waits)
			return;
		if (s->failed == REASON_NONE)
			in.event = EV_MEDIA_OK;
		else
			in.why = s->failed;
	}
	call_event(c, &in);
}

static void on_state(void *ctx, enum reason why, const Gh__SessionState *state)
{
	struct media_slot *slot = ctx;
	struct call *c = slot->call;
	struct call_input in = {.event = EV_MEDIA_OK};

	slot->waits = false;
	if (why == REASON_SESSION_OPEN && state != NULL) {
		if (!take_ports(slot, state))
			why = REASON_SESSION_LEASE;
	} else if (why == REASON_SESSION_OPEN) {
		why = REASON_SESSION_REFUSED;
	}
	slot->failed = why == REASON_SESSION_OPEN ? REASON_NONE : why;
	if (c->state == CALL_PORTS) {
		if (slot->round == c->round)
			on_round(c);
		return;
	}
	if (slot->failed != REASON_NONE) {
		in.event = EV_MEDIA_FAILED;
		in.why = why;
	} else if (slot != main_slot(c)) {
		return;
	}
	call_event(c, &in);
}

static void on_ended(void *ctx, enum reason why, const Gh__SessionEnded *ended)
{
	struct media_slot *slot = ctx;
	struct call *c = slot->call;
	struct call_input in = {.event = EV_FIGURES, .why = why};

	slot->session = NULL;
	if (slot == main_slot(c) && ended != NULL)
		call_record_figures(c, ended);
	for (struct media_slot *s = c->slots; s != NULL; s = s->next) {
		if (s->session != NULL)
			return;
	}
	c->figures_done = true;
	call_event(c, &in);
}

static bool is_trouble(Gh__MediaEventKind kind)
{
	return kind == GH__MEDIA_EVENT_KIND__MEDIA_ONE_WAY ||
	       kind == GH__MEDIA_EVENT_KIND__MEDIA_NONE ||
	       kind == GH__MEDIA_EVENT_KIND__MEDIA_QUALITY;
}

/* What somebody in the call would complain about: into its CDR and among the
 * events in SQL, once of a kind and side, however often it comes and goes. */
static void on_trouble(struct call *c, enum reason why, const Gh__MediaEvent *e)
{
	Gh__Event event = GH__EVENT__INIT;
	unsigned bit = 1u << (2 * ((unsigned)e->kind & 7) + !!e->called_side);
	char data[160];

	if (c->record.troubles & bit)
		return;
	c->record.troubles |= bit;
	(void)snprintf(
		data, sizeof data, "%s", e->called_side ? "called" : "caller");
	if (e->kind == GH__MEDIA_EVENT_KIND__MEDIA_QUALITY && e->stats != NULL)
		(void)snprintf(data, sizeof data, "%s mos=%u.%02u",
			e->called_side ? "called" : "caller",
			e->stats->mos_centi / 100, e->stats->mos_centi % 100);
	else if (*e->source != '\0')
		(void)snprintf(data, sizeof data, "%s refused=%.64s",
			e->called_side ? "called" : "caller", e->source);
	call_decide(c, why, data);
	log_notice("media_trouble", LOG_CALL(c->id),
		LOG_STR("reason", reason_text(why)), LOG_STR("data", data));
	event.wall_us = clock_wall_us();
	event.reason = reason_number(why);
	event.call = c->id;
	event.data = data;
	cdr_event(c->sbc->cdrs, &event);
}

static void on_event(void *ctx, const Gh__MediaEvent *event)
{
	struct media_slot *slot = ctx;
	struct call *c = slot->call;
	struct call_input in = {.event = EV_SILENCE};
	enum reason why;

	if (slot != main_slot(c))
		return;
	if (event->kind == GH__MEDIA_EVENT_KIND__MEDIA_TIMED_OUT) {
		call_note(c, REASON_CALL_MEDIA_TIMEOUT,
			event->called_side ? "called" : "caller");
		call_event(c, &in);
		return;
	}
	if (is_trouble(event->kind)) {
		if (reason_from_number(event->reason, &why) == 0)
			on_trouble(c, why, event);
		return;
	}
	if (event->kind != GH__MEDIA_EVENT_KIND__MEDIA_LEARNED &&
		event->kind != GH__MEDIA_EVENT_KIND__MEDIA_VIOLATION)
		return;
	if (reason_from_number(event->reason, &why) == 0)
		call_note(c, why, event->source);
}

static const struct media_events slot_events = {
	.on_state = on_state,
	.on_ended = on_ended,
	.on_event = on_event,
};

/* --- over a restart --- */

struct media_slot *call_slot_nth(struct call *c, uint32_t n)
{
	struct media_slot *slot = c->slots;

	if (n == 0)
		return NULL;
	while (slot != NULL && --n != 0)
		slot = slot->next;
	return slot;
}

static void restore_ports(struct addr addrs[2], char **texts, size_t n)
{
	struct addr unset = {0};

	for (size_t i = 0; i < 2 && i < n; i++) {
		if (addr_parse(texts[i], &addrs[i]) != 0)
			addrs[i] = unset;
	}
}

int call_slot_restore(struct call *c, const Gh__SavedSlot *saved)
{
	struct media_slot *slot = su_zalloc(c->home, sizeof *slot), **at;
	struct addr listen;
	char id[IDENT_CALL_SIZE];

	if (slot == NULL)
		return ERR_NOMEM;
	slot->call = c;
	slot->round = saved->round;
	slot->asked = true;
	if (addr_parse(saved->listen, &listen) == 0)
		slot->address = settings_listener(
			c->settings, &listen, saved->transport);
	restore_ports(slot->rtp, saved->rtp, saved->n_rtp);
	restore_ports(slot->rtcp, saved->rtcp, saved->n_rtcp);
	for (at = &c->slots; *at != NULL; at = &(*at)->next)
		continue;
	*at = slot;
	if (*saved->session == '\0')
		return 0;
	if (!ident_is_call(saved->session))
		return ERR_CORRUPT;
	memcpy(id, saved->session, sizeof id);
	return media_session_restore(c->sbc->media, id, &slot_events, slot,
		&saved->want, saved->version, &slot->session);
}
