/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All calls of this process: how one begins, and how all end. A call that is
 * over is freed by the reaper at a later turn of the loop, so that nothing
 * frees a call under the feet of the event that ended it.
 *
 * Decides: whether a new call is taken at all (drain, limit). Does not decide
 * where it goes (call_setup.c). Called by the stack and by main.
 */
#include "config.h"

#include "sbc/call_srtp.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sofia-sip/sip_status.h>
#include <sofia-sip/su_tagarg.h>

#include "common/stat.h"
#include "sbc/leg_save.h"
#include "sbc/leg_sleep.h"
#include "sbc/sofia_cures.h"
#include "sbc/sofia_home.h"
#include "sbc/surrogate.h"
#include "sbc/talker.h"
#include "sbc/trunk.h"

static void on_reap(void *arg);

int calls_new(struct sbc *sbc, struct calls **calls_out)
{
	struct calls *calls = calloc(1, sizeof *calls);
	int err;

	if (calls == NULL)
		return ERR_NOMEM;
	calls->sbc = sbc;
	TAILQ_INIT(&calls->all);
	TAILQ_INIT(&calls->dead);
	TAILQ_INIT(&calls->unsaved);
	err = call_limit_init(calls);
	if (err != 0)
		goto fail;
	err = trunks_new(sbc, &calls->trunks);
	if (err != 0)
		goto fail_trunks;
	err = loop_timer_new(sbc->daemon.loop, on_reap, calls, &calls->reaper);
	if (err != 0)
		goto fail_timer;
	err = loop_timer_new(
		sbc->daemon.loop, call_save_all, calls, &calls->saver);
	if (err != 0)
		goto fail_saver;
	err = loop_timer_new(
		sbc->daemon.loop, call_quiet_look, calls, &calls->quiet);
	if (err != 0)
		goto fail_quiet;
	err = sleepers_new(&sbc->sleepers);
	if (err != 0)
		goto fail_sleepers;
	call_quiet_look(calls);
	sbc->trunks = calls->trunks;
	bindings_on_change(sbc->bindings, surrogates_on_bindings,
		trunks_surrogates(calls->trunks));
	stack_on_orphan(sbc->stack, leg_take_orphan);
	stack_on_asleep(sbc->stack, leg_sleep_take);
	cures_on_sending(leg_on_sending, sbc);
	*calls_out = calls;
	return 0;
fail_sleepers:
	loop_timer_free(sbc->daemon.loop, &calls->quiet);
fail_quiet:
	loop_timer_free(sbc->daemon.loop, &calls->saver);
fail_saver:
	loop_timer_free(sbc->daemon.loop, &calls->reaper);
fail_timer:
	trunks_free(&calls->trunks);
fail_trunks:
	call_limit_done(calls);
fail:
	free(calls);
	return err;
}

static void forget_talker(struct party *p)
{
	static const struct addr unset;

	if (addr_is_set(&p->talks_from))
		talker_drop(p->call->sbc->talkers, &p->talks_from);
	p->talks_from = unset;
}

void call_talks_from(struct party *p)
{
	struct talkers *talkers = p->call->sbc->talkers;

	forget_talker(p);
	if (talkers == NULL || p->kind != SIDE_PHONE || p->flow != 0)
		return;
	talker_add(talkers, &p->peer);
	p->talks_from = p->peer;
}

static void call_free(struct call *c)
{
	struct loop *loop = c->sbc->daemon.loop;
	struct party *p;

	call_setup_release(c);
	leg_free(&c->caller.leg);
	account_unref(&c->caller.account);
	forget_talker(&c->caller);
	TAILQ_FOREACH (p, &c->parties, link) {
		leg_free(&p->leg);
		forget_talker(p);
		account_unref(&p->account);
	}
	account_unref(&c->called_account);
	account_unref(&c->forwarder);
	loop_timer_free(loop, &c->timer);
	loop_timer_free(loop, &c->life);
	loop_timer_free(loop, &c->retry);
	call_slot_drop(c);
	call_record_free(c);
	call_srtp_wipe(c);
	settings_unref(&c->settings);
	su_home_unref(c->home);
}

static void on_reap(void *arg)
{
	struct calls *calls = arg;
	struct call *c;

	while ((c = TAILQ_FIRST(&calls->dead)) != NULL) {
		TAILQ_REMOVE(&calls->dead, c, link);
		call_free(c);
	}
	if (calls->n_active == 0 && calls->on_empty != NULL) {
		void (*on_empty)(void *ctx) = calls->on_empty;

		calls->on_empty = NULL;
		on_empty(calls->on_empty_ctx);
	}
}

void calls_free(struct calls **callsp)
{
	struct calls *calls = *callsp;
	struct call_input in = {.event = EV_END, .why = REASON_CALL_SHUTDOWN};
	struct call *c, *next;

	if (calls == NULL)
		return;
	*callsp = NULL;
	calls->on_empty = NULL;
	for (c = TAILQ_FIRST(&calls->all); c != NULL; c = next) {
		next = TAILQ_NEXT(c, link);
		call_event(c, &in);
		/* mediad's figures are not waited for. */
		call_record_write(c);
	}
	while ((c = TAILQ_FIRST(&calls->all)) != NULL) {
		TAILQ_REMOVE(&calls->all, c, link);
		call_save_never(c);
		call_free(c);
	}
	on_reap(calls);
	loop_timer_free(calls->sbc->daemon.loop, &calls->reaper);
	loop_timer_free(calls->sbc->daemon.loop, &calls->saver);
	loop_timer_free(calls->sbc->daemon.loop, &calls->quiet);
	bindings_on_change(calls->sbc->bindings, NULL, NULL);
	calls->sbc->trunks = NULL;
	stack_on_orphan(calls->sbc->stack, NULL);
	stack_on_asleep(calls->sbc->stack, NULL);
	sleepers_free(&calls->sbc->sleepers);
	cures_on_sending(NULL, NULL);
	trunks_free(&calls->trunks);
	call_limit_done(calls);
	free(calls);
}

static void fire(struct call *c, enum call_event event)
{
	struct call_input in = {.event = event};

	call_event(c, &in);
}

static void on_timer(void *arg)
{
	fire(arg, EV_TIMER);
}

static void on_life(void *arg)
{
	fire(arg, EV_LIFE);
}

static void on_retry(void *arg)
{
	fire(arg, EV_RETRY);
}

void call_retry_in(struct call *c, uint64_t delay_us)
{
	struct loop *loop = c->sbc->daemon.loop;

	/* Few calls ever need it. */
	if (c->retry == NULL &&
		loop_timer_new(loop, on_retry, c, &c->retry) != 0) {
		log_warning("retry_not_set", LOG_CALL(c->id));
		return;
	}
	loop_timer_set(loop, c->retry, delay_us);
}

struct call *call_make(struct calls *calls)
{
	struct loop *loop = calls->sbc->daemon.loop;
	struct call *c = home_new_lasting(sizeof *c);

	if (c == NULL)
		return NULL;
	c->calls = calls;
	c->sbc = calls->sbc;
	TAILQ_INIT(&c->parties);
	if (loop_timer_new(loop, on_timer, c, &c->timer) != 0 ||
		loop_timer_new(loop, on_life, c, &c->life) != 0) {
		loop_timer_free(loop, &c->timer);
		loop_timer_free(loop, &c->life);
		su_home_unref(c->home);
		return NULL;
	}
	c->settings = settings_ref(calls->sbc->settings);
	c->caller.call = c;
	c->caller.side = CALL_CALLER;
	TAILQ_INSERT_TAIL(&calls->all, c, link);
	calls->n_all++;
	calls->n_active++;
	stat_set(STAT_CALLS, calls->n_active);
	return c;
}

static struct call *call_new(
	struct calls *calls, const struct inbound *in, struct account *account)
{
	struct call *c = call_make(calls);

	if (c == NULL)
		return NULL;
	ident_make_call(c->id);
	c->caller.kind = in->trunk == NULL ? SIDE_PHONE
			 : in->realm->row->zone == GH__ZONE__ZONE_INSIDE
				 ? SIDE_PBX
				 : SIDE_TRUNK;
	c->caller.trunk = in->trunk;
	c->caller.account = account;
	c->caller.address = in->address;
	c->caller.listener = in->listener;
	c->caller.peer = in->source;
	c->caller.learn_generation = 1;
	if (in->flow == 0)
		call_talks_from(&c->caller);
	stat_add(STAT_CALLS_TOTAL, 1);
	call_record_begin(c, in);
	return c;
}

static enum reason may_begin(const struct calls *calls)
{
	uint64_t limit = settings_number(
		calls->sbc->settings, "max_calls", 0, 0, 1000000);

	if (calls->draining)
		return REASON_ADMIT_DRAINING;
	if (limit != 0 && calls->n_active > limit)
		return REASON_LIMIT_CALLS;
	if (!media_is_up(calls->sbc->media))
		return REASON_SESSION_AWAY;
	return REASON_ROUTE_OK;
}

static void refuse_stateless(
	struct call *c, struct inbound *in, enum reason why)
{
	char seconds[12], clean[ROUTE_NUMBER_SIZE];
	const char *user = in->sip->sip_request->rq_url->url_user;

	/* Its record says at least whom it was for. */
	if (user != NULL && number_clean(user, clean) == 0)
		snprintf(
			c->called_number, sizeof c->called_number, "%s", clean);
	snprintf(seconds, sizeof seconds, "%u",
		(unsigned)settings_number(
			c->settings, "retry_after_s", 5, 1, 600));
	call_end(c, why, 0, CALL_SBC);
	stack_reply(c->sbc->stack, in, REASON_NONE, c->record.sip_status,
		SIPTAG_RETRY_AFTER_STR(seconds), TAG_END());
	call_enter(c, CALL_ENDING);
}

/* The user part of our Contact: what the peer asked for, if it is harmless. */
static const char *contact_user(const char *user)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyz"
				    "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+*._-";

	if (user == NULL || *user == '\0' || strlen(user) > 40 ||
		user[strspn(user, plain)] != '\0')
		return NULL;
	return user;
}

static int make_caller_leg(struct call *c, const struct inbound *in,
	nta_incoming_t *irq, const sip_t *sip)
{
	struct leg_config config = {
		.sbc = c->sbc,
		.home = c->home,
		.call = c->id,
		.kind = c->caller.kind,
		.trunk = c->caller.trunk,
		.account = c->caller.account,
		.trunks = c->calls->trunks,
		.peer = {.addr = in->source,
			.listener = in->listener,
			.flow = in->flow},
		.user = contact_user(sip->sip_request->rq_url->url_user),
		.min_se_s = call_min_session(c),
		.session_expires_s = call_session_expires(c, &c->caller),
		.on_event = call_leg_event,
		.ctx = &c->caller,
	};

	return leg_new_server(&config, irq, sip, &c->caller.leg);
}

uint32_t call_session_expires(const struct call *c, const struct party *p)
{
	if (p->trunk != NULL)
		return p->trunk->row->session_expires_s;
	return (uint32_t)settings_number(
		c->settings, "session_expires_s", 1800, 0, 86400);
}

uint32_t call_min_session(const struct call *c)
{
	return (uint32_t)settings_number(
		c->settings, "session_min_se_s", 90, 5, 3600);
}

/* Refuses a call that has a transaction and no leg. */
static void refuse_early(
	struct call *c, nta_incoming_t *irq, enum reason why, unsigned status)
{
	char seconds[12];

	snprintf(seconds, sizeof seconds, "%u",
		stack_retry_after_s(c->sbc->stack));
	call_end(c, why, status, CALL_SBC);
	status = c->record.sip_status;
	(void)nta_incoming_treply(irq, (int)status, reason_sip_phrase(status),
		TAG_IF(status == 503, SIPTAG_RETRY_AFTER_STR(seconds)),
		TAG_END());
	nta_incoming_destroy(irq);
	call_enter(c, CALL_ENDING);
}

void call_on_invite(
	struct calls *calls, struct inbound *in, struct account *account)
{
	struct stack *stack = calls->sbc->stack;
	struct inbound arrived = *in;
	nta_incoming_t *irq;
	enum reason why;
	struct call *c;
	const sip_t *sip;
	msg_t *msg;
	int err;

	if (calls->sbc->settings == NULL || in->realm == NULL ||
		(c = call_new(calls, in, account)) == NULL) {
		account_unref(&account);
		stack_refuse(stack, in, REASON_ADMIT_NOT_READY);
		return;
	}
	why = may_begin(calls);
	if (call_facts_is_emergency(c, in->sip) && why == REASON_LIMIT_CALLS)
		why = REASON_ROUTE_OK;
	if (why != REASON_ROUTE_OK) {
		refuse_stateless(c, in, why);
		return;
	}
	irq = stack_accept(stack, in);
	if (irq == NULL) {
		call_end(c, REASON_LIMIT_CALLS, 503, CALL_SBC);
		call_enter(c, CALL_ENDING);
		return;
	}
	msg = nta_incoming_getrequest(irq);
	sip = sip_object(msg);
	err = make_caller_leg(c, &arrived, irq, sip);
	if (err != 0) {
		if (err == ERR_INVALID)
			refuse_early(c, irq, REASON_ADMIT_SYNTAX, 400);
		else
			refuse_early(c, irq, REASON_CALL_INTERNAL, 0);
		goto out;
	}
	c->invite = msg_ref(msg);
	if (leg_interval_too_small(c->caller.leg, sip)) {
		c->end_lines[CALL_CALLER] = "Min-SE: 90";
		call_enter(c, call_end(c, REASON_CALL_INTERVAL_TOO_SMALL, 0,
				      CALL_SBC));
		goto out;
	}
	/* Who has the 100 does not repeat the INVITE: from here on we owe an
	 * answer, also after a kill. */
	call_save(c);
	if (nta_incoming_status(irq) < 100)
		(void)nta_incoming_treply(irq, SIP_100_TRYING, TAG_END());
	loop_timer_set(calls->sbc->daemon.loop, c->life,
		settings_number(c->settings, "setup_timeout_s", 180, 5, 3600) *
			CLOCK_US_PER_S);
	call_enter(c, call_facts_begin(c, &arrived, sip));
out:
	msg_destroy(msg);
}

size_t calls_count(const struct calls *calls)
{
	return calls->n_active;
}

void calls_drain(struct calls *calls, bool drain)
{
	calls->draining = drain;
}

static void move_party(struct party *p, uint64_t account,
	const struct addr *from, uint64_t from_flow, const struct inbound *now)
{
	struct call_input in = {.event = EV_MOVED, .party = p};

	if (p->kind != SIDE_PHONE || p->leg == NULL || p->account == NULL ||
		p->account->row->id != account ||
		p->leg->c.peer.flow != from_flow ||
		!addr_equal(&p->leg->c.peer.addr, from))
		return;
	p->leg->c.peer.addr = now->source;
	p->leg->c.peer.listener = now->listener;
	p->leg->c.peer.flow = now->flow;
	log_info("dialog_moved", LOG_CALL(p->call->id),
		LOG_ADDR("source", &now->source));
	call_event(p->call, &in);
}

void calls_moved(struct calls *calls, uint64_t account, const struct addr *from,
	uint64_t from_flow, const struct inbound *now)
{
	struct call *c, *next;

	for (c = TAILQ_FIRST(&calls->all); c != NULL; c = next) {
		struct party *p, *other;

		next = TAILQ_NEXT(c, link);
		move_party(&c->caller, account, from, from_flow, now);
		for (p = TAILQ_FIRST(&c->parties); p != NULL; p = other) {
			other = TAILQ_NEXT(p, link);
			move_party(p, account, from, from_flow, now);
		}
	}
}

int calls_end_one(struct calls *calls, const char *id, enum reason why)
{
	struct call_input in = {.event = EV_END, .why = why};
	struct call *c;

	TAILQ_FOREACH (c, &calls->all, link) {
		if (strcmp(c->id, id) != 0 || c->state == CALL_DONE)
			continue;
		call_event(c, &in);
		return 0;
	}
	return ERR_NOT_FOUND;
}

void calls_end_all(struct calls *calls, enum reason why,
	void (*on_empty)(void *ctx), void *ctx)
{
	struct call_input in = {.event = EV_END, .why = why};
	struct call *c, *next;

	calls->on_empty = on_empty;
	calls->on_empty_ctx = ctx;
	for (c = TAILQ_FIRST(&calls->all); c != NULL; c = next) {
		next = TAILQ_NEXT(c, link);
		call_event(c, &in);
	}
	loop_timer_set(calls->sbc->daemon.loop, calls->reaper, 0);
}
