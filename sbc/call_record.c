/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is remembered of a call: times, both legs, the chain of decisions with
 * their reasons, and mediad's figures; written as one CDR, once.
 *
 * Decides: what stands in a CDR. Does not decide why a call ended (call_end()
 * notes that) or how the CDR reaches SQL (cdr.c). Called by call*.c.
 */
#include "config.h"

#include "common/pack.h"
#include "sbc/call_srtp.h"

#include <stdlib.h>
#include <string.h>

#define STEPS_GROW 8

const char *call_side_name(enum call_side side)
{
	static const char *const names[] = {
		[CALL_CALLER] = "caller",
		[CALL_CALLED] = "called",
		[CALL_SBC] = "sbc",
	};
	_Static_assert(sizeof names / sizeof *names == CALL_SIDE_COUNT,
		"each side has a name");

	return (unsigned)side < CALL_SIDE_COUNT ? names[side] : "?";
}

void call_note(struct call *c, enum reason why, const char *data)
{
	struct call_record *r = &c->record;
	struct call_step *steps;
	char *copy = NULL;

	(void)call_wake(c);
	steps = r->steps;

	/* The last place is kept for how the call ended. */
	if (r->n_steps >= CALL_DECISIONS_MAX - 1 &&
		(r->why == REASON_NONE || r->n_steps == CALL_DECISIONS_MAX))
		return;
	if (r->n_steps % STEPS_GROW == 0)
		steps = su_realloc(c->home, r->steps,
			(isize_t)((r->n_steps + STEPS_GROW) * sizeof *steps));
	if (steps == NULL)
		return;
	r->steps = steps;
	if (data != NULL)
		copy = su_strndup(c->home, data, (isize_t)strnlen(data, 100));
	steps[r->n_steps++] = (struct call_step){
		.wall_us = clock_wall_us(),
		.data = copy != NULL ? copy : "",
		.why = why,
	};
}

void call_record_begin(struct call *c, const struct inbound *in)
{
	struct call_record *r = &c->record;
	char text[ADDR_TEXT_SIZE];

	r->wall_start_us = clock_wall_us();
	r->hangup = CALL_SBC;
	/* Counted where they were decided, by admit and auth. */
	call_note(c, REASON_ADMIT_OK, addr_format(&in->source, text));
	if (c->caller.account != NULL)
		call_note(c, REASON_AUTH_OK, c->caller.account->row->user);
}

void call_decide(struct call *c, enum reason why, const char *data)
{
	reason_count(why);
	call_note(c, why, data);
}

void call_record_figures(struct call *c, const Gh__SessionEnded *ended)
{
	uint8_t *bytes;
	size_t len;

	if (c->record.figures != NULL)
		return;
	bytes = pack_new(&ended->base, 0, &len);
	if (bytes == NULL)
		return;
	c->record.figures = gh__session_ended__unpack(NULL, len, bytes);
	free(bytes);
}

void call_record_steps(struct call *c, Gh__Decision *const *decisions, size_t n)
{
	struct call_record *r = &c->record;

	for (size_t i = 0; i < n; i++) {
		enum reason why;

		if (reason_from_number(decisions[i]->reason, &why) != 0)
			continue;
		call_note(c, why, decisions[i]->data);
		if (r->n_steps != 0)
			r->steps[r->n_steps - 1].wall_us =
				decisions[i]->wall_us;
	}
}

void call_record_free(struct call *c)
{
	if (c->record.figures != NULL)
		gh__session_ended__free_unpacked(c->record.figures, NULL);
	c->record.figures = NULL;
}

/* protobuf-c takes char *, and never writes to what it packs. */
static char *text(const char *s)
{
	return (char *)(uintptr_t)(s != NULL ? s : "");
}

static void fill_leg(const struct call *c, const struct party *p,
	Gh__CdrLeg *leg, char peer[ADDR_TEXT_SIZE], char local[ADDR_TEXT_SIZE])
{
	const Gh__SessionEnded *f = c->record.figures;

	leg->kind = text(side_kind_name(p->kind));
	leg->trunk = p->trunk != NULL ? p->trunk->row->id : 0;
	leg->account = p->account != NULL ? p->account->row->id : 0;
	leg->realm = p->address != NULL ? p->address->realm->row->id : 0;
	leg->peer = text(addr_format(&p->peer, peer));
	if (p->listener != NULL)
		leg->local = text(addr_format(&p->listener->local, local));
	if (p->leg != NULL) {
		leg->call_id = text(p->leg->call_id);
		leg->user_agent = text(p->leg->user_agent);
	}
	leg->srtp = text(call_srtp_suite(p));
	if (f == NULL)
		return;
	leg->media = p->side == CALL_CALLER ? f->caller : f->called;
	if (leg->media != NULL)
		leg->codec = leg->media->codec;
}

/* The called leg of the CDR: who answered, else who was tried last. */
static const struct party *called_party(const struct call *c)
{
	return c->called != NULL ? c->called
				 : TAILQ_LAST(&c->parties, party_head);
}

void call_record_write(struct call *c)
{
	struct call_record *r = &c->record;
	Gh__Cdr cdr = GH__CDR__INIT;
	Gh__CdrLeg caller = GH__CDR_LEG__INIT, called = GH__CDR_LEG__INIT;
	Gh__Decision decisions[CALL_DECISIONS_MAX];
	Gh__Decision *rows[CALL_DECISIONS_MAX];
	char peer[2][ADDR_TEXT_SIZE], local[2][ADDR_TEXT_SIZE];
	const struct party *p = called_party(c);

	if (r->written)
		return;
	r->written = true;
	if (r->wall_end_us == 0)
		r->wall_end_us = clock_wall_us();
	cdr.call = c->id;
	cdr.wall_start_us = r->wall_start_us;
	cdr.wall_ring_us = r->wall_ring_us;
	cdr.wall_answer_us = r->wall_answer_us;
	cdr.wall_end_us = r->wall_end_us;
	cdr.caller = text(c->caller_number);
	cdr.called = text(c->called_number);
	cdr.caller_name = text(c->caller_display);
	fill_leg(c, &c->caller, &caller, peer[0], local[0]);
	cdr.caller_leg = &caller;
	if (p != NULL) {
		fill_leg(c, p, &called, peer[1], local[1]);
		cdr.called_leg = &called;
	}
	cdr.sip_status = r->sip_status;
	cdr.reason = reason_number(r->why);
	cdr.hangup_side = text(call_side_name(r->hangup));
	cdr.route = r->route;
	for (size_t i = 0; i < r->n_steps; i++) {
		gh__decision__init(&decisions[i]);
		decisions[i].wall_us = r->steps[i].wall_us;
		decisions[i].reason = reason_number(r->steps[i].why);
		decisions[i].data = text(r->steps[i].data);
		rows[i] = &decisions[i];
	}
	cdr.decisions = rows;
	cdr.n_decisions = r->n_steps;
	cdr.attempts = r->attempts;
	cdr.far_status = r->far_status;
	if (r->answer_us != 0 && r->end_us > r->answer_us)
		cdr.duration_us = r->end_us - r->answer_us;
	if (cdr_write(c->sbc->cdrs, &cdr) != 0)
		log_err("cdr_not_written", LOG_CALL(c->id));
}
