/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A call out of its record (call_save.h has the table of what becomes of it).
 *
 * Decides: whether a record can be a call at all, and whether the call can go
 * on. Everything is checked before anything is made; what turns out to be
 * missing while it is made (a trunk, a socket, a dialog that does not fit) ends
 * the call in the usual way. It never touches another call.
 *
 * Called by save.c when settings and sockets are there and before a datagram is
 * read, so that nothing of a peer can come between.
 */
#include "config.h"

#include "sbc/call_save.h"

#include <stdio.h>
#include <string.h>

#include "sbc/call_inner.h"
#include "sbc/leg_save.h"

#define RETRY_US (300 * CLOCK_US_PER_MS) /* a change that was cut off */

/* ------------------------------------------------------------------- checks */

static bool party_is_possible(const Gh__SavedParty *p)
{
	struct addr addr;

	return p->kind < SIDE_KIND_COUNT && addr_parse(p->peer, &addr) == 0 &&
	       (p->kind == SIDE_PHONE) == (p->account != NULL) &&
	       (p->kind == SIDE_PHONE) == (p->trunk == 0) &&
	       strlen(p->theirs) < SDP_SIZE_MAX &&
	       strlen(p->ours) < SDP_SIZE_MAX;
}

static bool has_answered(const Gh__SavedCall *saved)
{
	size_t n = 0;

	for (size_t i = 0; i < saved->n_parties; i++)
		n += saved->parties[i]->answered;
	return n == 1;
}

static bool is_possible(const Gh__SavedCall *saved)
{
	enum reason why;

	if (!ident_is_call(saved->call) || saved->state >= CALL_STATE_COUNT ||
		saved->hangup >= CALL_SIDE_COUNT || saved->caller == NULL ||
		!party_is_possible(saved->caller) ||
		strlen(saved->caller_number) >= ROUTE_NUMBER_SIZE ||
		strlen(saved->called_number) >= ROUTE_NUMBER_SIZE ||
		saved->n_parties > CALL_HOPS_MAX ||
		saved->n_slots > CALL_HOPS_MAX ||
		saved->n_decisions > CALL_DECISIONS_MAX ||
		(saved->why != 0 && reason_from_number(saved->why, &why) != 0))
		return false;
	for (size_t i = 0; i < saved->n_parties; i++) {
		if (!party_is_possible(saved->parties[i]))
			return false;
	}
	switch ((enum call_state)saved->state) {
	case CALL_ANSWERING:
	case CALL_CONFIRMING:
		return has_answered(saved) && *saved->caller->ours != '\0';
	case CALL_UP:
	case CALL_CHANGING:
		return has_answered(saved) && saved->answer_us != 0 &&
		       saved->answer_us <= clock_now_us();
	case CALL_ENDING:
	case CALL_DONE:
		return saved->why != 0 && saved->end_us >= saved->answer_us &&
		       saved->end_us <= clock_now_us();
	default:
		return true;
	}
}

/* ------------------------------------------------------------------ parties */

/* Text, or NULL for none. */
static char *keep(struct call *c, const char *s)
{
	return *s != '\0' ? su_strdup(c->home, s) : NULL;
}

/* @return the party's place in the settings in force; false: it has none. */
static bool find_place(
	struct call *c, struct party *p, const Gh__SavedParty *saved)
{
	struct addr listen;

	if (saved->trunk != 0) {
		p->trunk = settings_trunk(c->settings, saved->trunk);
		if (p->trunk == NULL)
			return false;
	}
	if (addr_parse(saved->listen, &listen) != 0)
		return false;
	p->address = settings_listener(c->settings, &listen, saved->transport);
	if (p->address == NULL)
		return false;
	p->listener = stack_listener(c->sbc->stack, p->address);
	return p->listener != NULL;
}

static bool restore_leg(
	struct call *c, struct party *p, const Gh__SavedLeg *saved)
{
	const struct realm_address *address;
	struct leg_config config = {
		.sbc = c->sbc,
		.home = c->home,
		.call = c->id,
		.kind = p->kind,
		.trunk = p->trunk,
		.account = p->account,
		.trunks = c->calls->trunks,
		.min_se_s = saved->min_se_s,
		.session_expires_s = saved->session_expires_s,
		.on_event = call_leg_event,
		.ctx = p,
	};
	struct addr listen;
	int err;

	if (saved->server != (p->side == CALL_CALLER) ||
		addr_parse(saved->peer, &config.peer.addr) != 0 ||
		addr_parse(saved->listen, &listen) != 0)
		return false;
	address = settings_listener(c->settings, &listen, saved->transport);
	if (address == NULL)
		return false;
	config.peer.listener = stack_listener(c->sbc->stack, address);
	config.peer.flow = saved->flow;
	if (config.peer.listener == NULL)
		return false;
	err = leg_restore(&config, saved, &p->leg);
	if (err != 0)
		log_warning("leg_not_restored", LOG_CALL(c->id),
			LOG_STR("side", call_side_name(p->side)), LOG_ERR(err));
	return err == 0;
}

/* @return whether nothing of it is missing. */
static bool restore_party(
	struct call *c, struct party *p, const Gh__SavedParty *saved)
{
	p->call = c;
	p->kind = (enum side_kind)saved->kind;
	(void)!addr_parse(saved->peer, &p->peer);
	p->flow = saved->flow;
	call_talks_from(p);
	p->request_uri = keep(c, saved->request_uri);
	p->host = keep(c, saved->host);
	p->round = saved->round;
	p->status = saved->status;
	p->silent = saved->silent;
	p->behind_nat = saved->behind_nat;
	p->theirs = keep(c, saved->theirs);
	p->ours = keep(c, saved->ours);
	p->sdp_id = saved->sdp_id;
	p->sdp_version = saved->sdp_version;
	p->learn_generation = saved->learn_generation;
	if (saved->account != NULL &&
		account_new(saved->account, &p->account) != 0)
		return false;
	if (!find_place(c, p, saved))
		return false;
	p->codecs = call_target_codecs(c, p);
	p->slot = call_slot_nth(c, saved->slot);
	if (saved->counted)
		call_limit_restore(c, p, saved->shares);
	return saved->leg == NULL || restore_leg(c, p, saved->leg);
}

static bool restore_parties(struct call *c, const Gh__SavedCall *saved)
{
	bool whole;

	c->caller.side = CALL_CALLER;
	whole = restore_party(c, &c->caller, saved->caller);
	for (size_t i = 0; i < saved->n_parties; i++) {
		struct party *p = su_zalloc(c->home, sizeof *p);

		if (p == NULL)
			return false;
		p->side = CALL_CALLED;
		TAILQ_INSERT_TAIL(&c->parties, p, link);
		if (!restore_party(c, p, saved->parties[i]))
			whole = false;
		if (saved->parties[i]->answered)
			c->called = p;
	}
	return whole;
}

/* The account whose phone sent the call here goes on paying for it. */
static bool restore_forwarder(struct call *c, const Gh__SavedCall *saved)
{
	if (saved->forwarder == NULL)
		return true;
	if (account_new(saved->forwarder, &c->forwarder) != 0)
		return false;
	call_limit_restore_forward(c, saved->forwarder_metered);
	return true;
}

/* ------------------------------------------------------------------- record */

static void restore_record(struct call *c, const Gh__SavedCall *saved)
{
	struct call_record *r = &c->record;

	r->wall_start_us = saved->wall_start_us;
	r->wall_ring_us = saved->wall_ring_us;
	r->wall_answer_us = saved->wall_answer_us;
	r->answer_us = saved->answer_us;
	r->attempts = saved->attempts;
	r->route = saved->route;
	r->sip_status = saved->sip_status;
	r->far_status = saved->far_status;
	r->hangup = (enum call_side)saved->hangup;
	r->written = saved->written;
	if (saved->why != 0)
		(void)!reason_from_number(saved->why, &r->why);
	call_record_steps(c, saved->decisions, saved->n_decisions);
}

/* @return whether nothing of it is missing. */
static bool restore_slots(struct call *c, const Gh__SavedCall *saved)
{
	bool whole = true;

	for (size_t i = 0; i < saved->n_slots; i++) {
		int err = call_slot_restore(c, saved->slots[i]);

		if (err == 0)
			continue;
		log_warning(
			"session_not_restored", LOG_CALL(c->id), LOG_ERR(err));
		whole = false;
	}
	return whole;
}

/* -------------------------------------------------------------------- state */

/* Ends it, or goes on ending it. */
static void end(struct call *c, const Gh__SavedCall *saved)
{
	struct call_input in = {
		.event = EV_END, .why = REASON_CALL_LOST_IN_RESTART};

	/* If it had ended before, then: its record may be written at once. */
	c->record.end_us = saved->end_us;
	c->record.wall_end_us = saved->wall_end_us;
	call_event(c, &in);
}

/* What a kill cut off is asked for again, so that both sides are what they
 * were. */
static void repair_change(struct call *c, const Gh__SavedCall *saved)
{
	if (saved->caller->leg != NULL && saved->caller->leg->changing)
		c->change.again = &c->caller;
	for (size_t i = 0; i < saved->n_parties; i++) {
		const Gh__SavedParty *p = saved->parties[i];

		if (p->answered && p->leg != NULL && p->leg->changing)
			c->change.again = c->called;
	}
	if (c->change.again != NULL)
		call_retry_in(c, RETRY_US);
}

/* @return whether the call goes on. */
static bool go_on(struct call *c, const Gh__SavedCall *saved)
{
	if (leg_is_gone(c->caller.leg) || leg_is_gone(c->called->leg) ||
		c->called->leg->state != LEG_UP || c->called->slot == NULL ||
		c->called->slot->session == NULL)
		return false;
	switch ((enum call_state)saved->state) {
	case CALL_ANSWERING:
		c->pending_status = 200;
		break;
	case CALL_CONFIRMING:
		if (leg_accept(c->caller.leg, c->caller.ours, NULL) != 0)
			return false;
		break;
	default:
		if (c->caller.leg->state != LEG_UP)
			return false;
		break;
	}
	media_again(c->called->slot->session);
	call_resume(c, saved->state == CALL_CHANGING
			       ? CALL_UP
			       : (enum call_state)saved->state);
	if (c->state == CALL_UP)
		repair_change(c, saved);
	return true;
}

static bool line_is_there(struct sbc *sbc, const Gh__SavedParty *p)
{
	return p->leg == NULL || p->leg->flow == 0 ||
	       stack_flow_tport(sbc->stack, p->leg->flow) != NULL;
}

bool call_may_be_restored(struct sbc *sbc, const Gh__SavedCall *saved)
{
	if (saved->state == CALL_UP || saved->state == CALL_DONE ||
		saved->caller == NULL)
		return true;
	for (size_t i = 0; i < saved->n_parties; i++)
		if (!line_is_there(sbc, saved->parties[i]))
			return false;
	return line_is_there(sbc, saved->caller);
}

static void set_state(struct call *c, const Gh__SavedCall *saved, bool whole)
{
	switch ((enum call_state)saved->state) {
	case CALL_ANSWERING:
	case CALL_CONFIRMING:
	case CALL_UP:
	case CALL_CHANGING:
		c->state = CALL_UP;
		if (whole && go_on(c, saved))
			break;
		log_warning("call_not_restored", LOG_CALL(c->id),
			LOG_STR("state",
				call_state_name(
					(enum call_state)saved->state)));
		end(c, saved);
		return;
	case CALL_ENDING:
	case CALL_DONE:
		c->state = CALL_UP;
		end(c, saved);
		return;
	default:
		c->state = (enum call_state)saved->state;
		end(c, saved);
		return;
	}
	log_info("call_restored", LOG_CALL(c->id),
		LOG_STR("state", call_state_name(c->state)));
	call_save(c);
}

int call_restore(struct calls *calls, const Gh__SavedCall *saved,
	const struct save_slot *slot)
{
	struct call *c;
	bool whole;

	if (!is_possible(saved))
		return ERR_INVALID;
	/* Two records of one call: sessions have names that occur once. */
	for (size_t i = 0; i < saved->n_slots; i++) {
		if (media_session_exists(
			    calls->sbc->media, saved->slots[i]->session))
			return ERR_EXISTS;
	}
	c = call_make(calls);
	if (c == NULL)
		return ERR_NOMEM;
	memcpy(c->id, saved->call, sizeof c->id);
	c->saved = *slot;
	c->round = saved->round;
	snprintf(c->caller_number, sizeof c->caller_number, "%s",
		saved->caller_number);
	snprintf(c->called_number, sizeof c->called_number, "%s",
		saved->called_number);
	c->caller_display = keep(c, saved->caller_display);
	c->caller_hidden = saved->caller_hidden;
	c->end_lines[CALL_CALLER] = keep(c, saved->caller_lines);
	c->end_lines[CALL_CALLED] = keep(c, saved->called_lines);
	c->emergency = saved->emergency;
	c->metered = saved->metered;
	restore_record(c, saved);
	whole = restore_slots(c, saved);
	whole = restore_parties(c, saved) && whole;
	if (c->caller.account == NULL)
		c->metered = false;
	whole = restore_forwarder(c, saved) && whole;
	/* What had ended has been counted. */
	if (c->record.answer_us != 0 && saved->end_us == 0)
		call_limit_talk(c);
	set_state(c, saved, whole);
	return 0;
}
