/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From the facts to the answer: where the number leads, and one target after
 * the other until somebody answers.
 *
 *	facts -> (account?) -> route -> next target -> ports -> INVITEs
 *	                          ^                                |
 *	                          +---- all of a target refused ---+
 *
 * Decides: the parties of a target (all phones of an account at once, a
 * trunk's addresses one after the other), whether a failure goes on to the next
 * target, and what the caller is told. Does not decide who calls whom
 * (call_facts.c), where a number leads (route.c) or what a side's SDP says
 * (call_media.c). Called by call.c's table only.
 */
#include "config.h"

#include "sbc/call_inner.h"

#include <stdio.h>
#include <string.h>

#include "sbc/hdr_part.h"
#include "sbc/trunk.h"

/* --- targets --- */

/* @return whether this is what the caller will hear, as far as is known. */
static bool note_failure(struct call *c, enum reason why, unsigned status)
{
	/* 6xx speaks for all; else the lowest class says most to the caller,
	 * and a real answer says more than our own trouble. */
	if (c->failed_status >= 600)
		return false;
	if (c->failed_status != 0 && status < 600 && (c->failed_status < 500) &&
		status >= 500)
		return false;
	c->failed_status = status;
	c->failed_why = why;
	c->end_lines[CALL_CALLER] = NULL;
	return true;
}

enum tried { TRIED_NOTHING, TRIED_ASKED, TRIED_PARTIES };

/* The phones of the called account that come next. */
static enum tried try_account(struct call *c)
{
	bool first = c->q_below == 0;
	size_t n = c->called_account == NULL
			   ? 0
			   : call_target_phones(c, c->called_account);

	if (c->q_below == 0)
		c->target++;
	if (n == 0 && first && c->called_account != NULL) {
		call_note(c, REASON_ROUTE_NOT_REGISTERED, NULL);
		note_failure(c, REASON_ROUTE_NOT_REGISTERED, 480);
	}
	return n == 0 ? TRIED_NOTHING : TRIED_PARTIES;
}

/* The next place of a trunk. */
static enum tried try_trunk(struct call *c, const struct trunk *trunk)
{
	bool again = c->again_row != NULL;
	enum reason why = REASON_ROUTE_OK;
	struct target_place place;

	switch (call_target_next(c, trunk, &place, &why)) {
	case TARGET_ASKED:
		return TRIED_ASKED;
	case TARGET_END:
		call_target_forget_place(c);
		c->target++;
		return TRIED_NOTHING;
	case TARGET_USELESS:
		break;
	case TARGET_FOUND:
		why = call_target_trunk(c, trunk, &place, again);
		break;
	}
	if (why == REASON_ROUTE_OK)
		return TRIED_PARTIES;
	call_decide(c, why, place.row->host);
	note_failure(c, why, reason_sip(why));
	return TRIED_NOTHING;
}

/* Makes the parties of the next target that can be tried at all. */
static enum call_state next_target(struct call *c)
{
	const struct route_decision *d = c->decision;

	while (c->target < d->n_targets && c->n_invites < CALL_HOPS_MAX) {
		const struct route_target *target = &d->targets[c->target];
		bool again = c->again_row != NULL && !target->is_account;
		enum tried tried;

		c->round++;
		tried = target->is_account ? try_account(c)
					   : try_trunk(c, target->trunk);
		if (tried == TRIED_NOTHING)
			continue;
		if (tried == TRIED_ASKED)
			return CALL_LOCATING;
		c->record.attempts += !again;
		if (call_slot_open(c) != 0)
			return call_end(c, REASON_SESSION_AWAY, 0, CALL_SBC);
		return CALL_PORTS;
	}
	if (c->failed_status == 0)
		note_failure(c, REASON_ROUTE_NONE, 404);
	return call_end(c, c->failed_why, c->failed_status,
		c->record.far_status != 0 ? CALL_CALLED : CALL_SBC);
}

static enum call_state route(struct call *c)
{
	struct route_decision *d = su_zalloc(c->home, sizeof *d);

	if (d == NULL)
		return call_end(c, REASON_CALL_INTERNAL, 0, CALL_SBC);
	call_facts_route(c, d);
	c->decision = d;
	if (d->route != NULL)
		c->record.route = d->route->row->id;
	if (d->why != REASON_ROUTE_OK)
		return call_end(c, d->why, d->sip, CALL_SBC);
	call_note(c, REASON_ROUTE_OK,
		d->route != NULL ? d->route->row->name : "extension");
	return next_target(c);
}

enum call_state call_setup_on_account(
	struct call *c, const struct call_input *in)
{
	if (in->account != NULL) {
		c->called_account = in->account;
		return route(c);
	}
	if (in->why == REASON_AUTH_AWAY)
		return call_end(c, REASON_AUTH_AWAY, 0, CALL_SBC);
	/* No extension begins like an international number. */
	if (c->n_queries < 2 && c->called_number[0] != '+') {
		c->query_by_number = !c->query_by_number;
		return call_facts_ask(c);
	}
	return route(c);
}

enum call_state call_setup_on_located(
	struct call *c, const struct call_input *in)
{
	(void)in;
	return next_target(c);
}

/* --- INVITEs --- */

static struct hdr_side side_of(const struct party *p)
{
	struct hdr_side side = {
		.kind = p->kind,
		.trunk = p->trunk,
		.realm = p->address->realm,
		.host = p->listener->advertised_host,
	};

	if (p->trunk != NULL && *p->trunk->row->host != '\0')
		side.host = p->trunk->row->host;
	return side;
}

/* Who the caller is towards this party. */
static enum reason identity_for(const struct call *c, const struct party *p,
	char number[ROUTE_NUMBER_SIZE], struct hdr_identity *who)
{
	const char *from = c->caller_number;

	/* To the world a phone has its account's number, inside its extension.
	 */
	if (c->caller.kind == SIDE_PHONE && p->kind == SIDE_TRUNK)
		from = c->caller.account->row->caller_number;
	number[0] = '\0';
	if (p->trunk == NULL)
		snprintf(number, ROUTE_NUMBER_SIZE, "%s", from);
	else if (*from != '\0' &&
		 number_apply(p->trunk, GH__NUMBER_RULE_SCOPE__RULE_OUT_CALLER,
			 from, number) != 0)
		number[0] = '\0';
	who->number = number;
	who->display = c->caller_display != NULL ? c->caller_display : "";
	who->hide = c->caller_hidden;
	return REASON_ROUTE_OK;
}

/* A phone whose extension is registered at this PBX is that extension there. */
static uint64_t surrogate_of(const struct call *c, const struct party *p)
{
	const Gh__Account *row =
		c->caller.account != NULL ? c->caller.account->row : NULL;

	return row != NULL && p->trunk != NULL && row->surrogate &&
			       row->surrogate_trunk == p->trunk->row->id
		       ? row->id
		       : 0;
}

/* RFC 3261 18.1.1, for peers that may take a connection. Phones are where they
 * have registered. */
static bool is_too_large(
	const struct party *p, const char *sdp, const char *lines)
{
	return p->trunk != NULL && !p->as_datagram &&
	       !transport_is_stream(p->listener->transport) &&
	       leg_request_size(p->leg, p->request_uri, sdp, lines) >
		       FLOW_DATAGRAM_MAX;
}

static enum reason invite_party(struct call *c, struct party *p)
{
	su_home_t home[1] = {SU_HOME_INIT(home)};
	struct hdr_side from = side_of(&c->caller), to = side_of(p);
	struct hdr_identity who = {0};
	enum reason why = REASON_CALL_INTERNAL;
	char number[ROUTE_NUMBER_SIZE], called[ROUTE_NUMBER_SIZE];
	const struct hdr_hidden hidden = {.settings = c->settings,
		.nets = &c->sbc->local_nets,
		.user = c->caller.account != NULL ? c->caller.account->row->user
						  : ""};
	struct hdr_body body;
	const char *sdp, *lines;
	struct leg_config config = {
		.sbc = c->sbc,
		.home = c->home,
		.call = c->id,
		.kind = p->kind,
		.trunk = p->trunk,
		.account = p->account,
		.trunks = c->calls->trunks,
		.peer = {.addr = p->peer,
			.listener = p->listener,
			.flow = p->flow},
		.route = p->route,
		.surrogate = surrogate_of(c, p),
		.min_se_s = call_min_session(c),
		.session_expires_s = call_session_expires(c, p),
		.on_event = call_leg_event,
		.ctx = p,
	};

	sdp = call_media_make_offer(c, p, &why);
	if (sdp == NULL)
		return why;
	why = identity_for(c, p, number, &who);
	if (why != REASON_ROUTE_OK)
		return why;
	snprintf(called, sizeof called, "%s", c->called_number);
	if (p->trunk != NULL &&
		number_apply(p->trunk, GH__NUMBER_RULE_SCOPE__RULE_OUT_CALLED,
			c->called_number, called) != 0)
		return REASON_ROUTE_BAD_NUMBER;
	su_home_init(home);
	why = REASON_CALL_INTERNAL;
	lines = su_sprintf(home, "%s%s",
		call_forward_lines(c, p, hdr_domain(&to, home), home),
		hdr_lines(sip_object(c->invite), &from, &to, &who, home));
	if (c->emergency && hdr_location(sip_object(c->invite), &from, &to,
				    &who, &hidden, sdp, home, &body)) {
		if (body.type != NULL) {
			config.body_type = body.type;
			sdp = body.text;
		}
		lines = su_sprintf(home, "%s%s", lines, body.lines);
	}
	if (leg_new_client(&config, hdr_from(&to, &who, home),
		    hdr_to(&to, called, p->host, home), &p->leg) == 0) {
		p->too_large = is_too_large(p, sdp, lines);
		if (p->too_large)
			leg_free(&p->leg);
		else if (leg_invite(p->leg, p->request_uri, sdp, lines,
				 c->max_forwards) == 0)
			why = REASON_ROUTE_OK;
	}
	su_home_deinit(home);
	c->n_invites += !p->too_large;
	return why;
}

enum call_state call_setup_on_ports(struct call *c, const struct call_input *in)
{
	unsigned n = 0;
	struct party *p;
	enum reason why;

	(void)in;
	TAILQ_FOREACH (p, &c->parties, link) {
		char text[ADDR_TEXT_SIZE];
		unsigned status;

		if (p->round != c->round || c->n_invites >= CALL_HOPS_MAX)
			continue;
		why = p->slot->failed == REASON_NONE ? call_limit_take(c, p)
						     : p->slot->failed;
		if (why == REASON_ROUTE_OK)
			why = invite_party(c, p);
		if (why == REASON_ROUTE_OK) {
			n++;
			continue;
		}
		if (p->too_large) {
			p->status = 513;
			call_limit_release(c, p);
			return call_target_again(c, p) ? CALL_LOCATING
						       : next_target(c);
		}
		status = call_limit_status(c, p, why);
		call_decide(c, why, addr_format(&p->peer, text));
		note_failure(c, why, status);
		p->status = status != 0 ? status : 500;
		call_limit_release(c, p);
	}
	if (n != 0)
		return CALL_TRYING;
	/* No codec in common with this one; another may have one. */
	return next_target(c);
}

/* --- what the parties answer --- */

size_t call_setup_alive(const struct call *c)
{
	const struct party *p;
	size_t n = 0;

	TAILQ_FOREACH (p, &c->parties, link) {
		if (p->round == c->round && p->leg != NULL && p->status == 0)
			n++;
	}
	return n;
}

struct cause {
	unsigned status;
	enum reason why;
};

static const struct cause causes[] = {
	{401, REASON_CALL_FAR_UNAUTHORIZED},
	{403, REASON_CALL_FAR_REFUSED},
	{404, REASON_CALL_FAR_NOT_FOUND},
	{407, REASON_CALL_FAR_UNAUTHORIZED},
	{408, REASON_CALL_NO_ANSWER},
	{410, REASON_CALL_FAR_NOT_FOUND},
	{415, REASON_CALL_NOT_ACCEPTABLE},
	{480, REASON_CALL_NO_ANSWER},
	{484, REASON_ROUTE_BAD_NUMBER},
	{486, REASON_CALL_BUSY},
	{488, REASON_CALL_NOT_ACCEPTABLE},
	{503, REASON_CALL_FAR_OVERLOADED},
	{600, REASON_CALL_BUSY},
	{603, REASON_CALL_DECLINED},
	{604, REASON_CALL_FAR_NOT_FOUND},
	{606, REASON_CALL_NOT_ACCEPTABLE},
};

static enum reason cause_of(unsigned status)
{
	if (status >= 300 && status < 400)
		return REASON_CALL_REDIRECTED;
	for (size_t i = 0; i < sizeof causes / sizeof *causes; i++) {
		if (causes[i].status == status)
			return causes[i].why;
	}
	return REASON_CALL_FAR_REFUSED;
}

const char *call_setup_lines(const struct party *from, const struct party *to,
	const sip_t *sip, su_home_t *home)
{
	struct hdr_side f = side_of(from), t = side_of(to);

	return sip != NULL ? hdr_answer_lines(sip, &f, &t, home) : "";
}

void call_setup_end_others(
	struct call *c, const struct party *winner, const char *lines)
{
	struct party *p;

	TAILQ_FOREACH (p, &c->parties, link) {
		if (p == winner)
			continue;
		if (p->leg != NULL)
			leg_end(p->leg, 500, lines);
		call_limit_release(c, p);
	}
}

/* The present target is exhausted: on to the next, or to the caller. */
static enum call_state give_up_target(struct call *c, unsigned far_status)
{
	call_change_abort(c);
	call_setup_end_others(c, NULL, NULL);
	if (c->called != NULL) {
		/* Its early media does not speak for the next target. */
		if (c->change.again == c->called)
			c->change.again = NULL;
		c->called = NULL;
		c->pending_status = 0;
	}
	if (c->forward_to != NULL && c->q_below == 0 && far_status < 600)
		return call_forward(c);
	/* A person's next phone rings whatever this one said (RFC 3261 16.7),
	 * but 6xx speaks for the person. */
	if (far_status == 0 || (c->q_below != 0 && far_status < 600) ||
		route_fails_over(c->decision, far_status))
		return next_target(c);
	return call_end(c, c->failed_why, c->failed_status, CALL_CALLED);
}

/* RFC 3261 8.1.3.4, where the trunk's policy has it: the number in the first
 * Contact that is one is routed like a new call of the same caller. */
static bool redirected(struct call *c, const struct party *p, const sip_t *sip)
{
	const sip_contact_t *m = sip != NULL ? sip->sip_contact : NULL;
	char clean[ROUTE_NUMBER_SIZE], number[ROUTE_NUMBER_SIZE];

	if (p->trunk == NULL || !p->trunk->row->follow_redirects ||
		c->n_redirects >= CALL_REDIRECTS_MAX)
		return false;
	for (; m != NULL; m = m->m_next) {
		if (m->m_url->url_user == NULL ||
			number_clean(m->m_url->url_user, clean) != 0 ||
			number_apply(p->trunk,
				GH__NUMBER_RULE_SCOPE__RULE_IN_CALLED, clean,
				number) != 0)
			continue;
		c->n_redirects++;
		call_decide(c, REASON_CALL_REDIRECT_FOLLOWED, number);
		snprintf(c->called_number, sizeof c->called_number, "%s",
			number);
		return true;
	}
	return false;
}

enum call_state call_setup_reroute(struct call *c)
{
	call_change_abort(c);
	call_setup_end_others(c, NULL, NULL);
	c->round++;
	if (c->change.again == c->called)
		c->change.again = NULL;
	c->called = NULL;
	c->pending_status = 0;
	account_unref(&c->called_account);
	su_free(c->home, c->decision);
	c->decision = NULL;
	c->target = 0;
	c->q_below = 0;
	call_target_forget_place(c);
	c->failed_status = 0;
	c->n_queries = 0;
	c->query_by_number = c->called_number[0] == '+';
	return call_facts_ask(c);
}

enum call_state call_setup_on_failure(
	struct call *c, const struct call_input *in)
{
	unsigned status = in->msg->status;
	struct party *p = in->party;
	char text[8];

	if (p->round != c->round || p->status != 0)
		return c->state;
	p->status = status;
	p->silent = in->msg->internal;
	call_limit_release(c, p);
	snprintf(text, sizeof text, "%u", status);
	if (p->silent) {
		call_note(c, REASON_CALL_FAR_SILENT, text);
		note_failure(c, REASON_CALL_FAR_SILENT, 480);
		trunk_note_silence(c->calls->trunks, p->trunk);
	} else {
		c->record.far_status = status;
		call_note(c, cause_of(status), text);
		if (note_failure(c, cause_of(status), hdr_map_status(status)))
			c->end_lines[CALL_CALLER] = call_setup_lines(
				p, &c->caller, in->msg->sip, c->home);
	}
	if (status >= 300 && status < 400) {
		if (redirected(c, p, in->msg->sip))
			return call_setup_reroute(c);
		call_forward_note(c, p, in->msg->sip);
	}
	if (status < 600 && call_setup_alive(c) != 0)
		return call_early_on_fewer(c);
	return give_up_target(c, p->silent ? 408 : status);
}

enum call_state call_setup_on_timer(struct call *c, const struct call_input *in)
{
	const struct party *p;

	(void)in;
	if (c->state == CALL_TRYING) {
		/* 100 is a sign of life too: somebody works on it. */
		TAILQ_FOREACH (p, &c->parties, link) {
			if (p->round == c->round && p->leg != NULL &&
				p->leg->provisional && p->status == 0)
				return CALL_RINGING;
		}
		call_note(c, REASON_CALL_FAR_SILENT, NULL);
		note_failure(c, REASON_CALL_FAR_SILENT, 480);
		TAILQ_FOREACH (p, &c->parties, link) {
			if (p->round == c->round)
				trunk_note_silence(c->calls->trunks, p->trunk);
		}
		return give_up_target(c, 408);
	}
	if (c->q_below != 0) {
		/* Others of the account's phones have not rung yet. */
		call_note(c, REASON_CALL_NO_ANSWER, NULL);
		note_failure(c, REASON_CALL_NO_ANSWER, 480);
		return give_up_target(c, 408);
	}
	if (c->forward_to != NULL)
		return give_up_target(c, 408);
	return call_end(c, REASON_CALL_NO_ANSWER, 0, CALL_SBC);
}

void call_setup_forget(struct call *c)
{
	struct party *p;

	call_setup_release(c);
	su_free(c->home, c->decision);
	c->decision = NULL;
	TAILQ_FOREACH (p, &c->parties, link) {
		su_free(c->home, p->request_uri);
		p->request_uri = NULL;
	}
}

void call_setup_release(struct call *c)
{
	if (c->query != NULL)
		account_query_cancel(&c->query);
	c->query = NULL;
	call_target_forget_place(c);
	if (c->invite != NULL)
		msg_destroy(c->invite);
	c->invite = NULL;
}
