/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who calls whom: from the INVITE to the numbers and accounts that the route is
 * decided by.
 *
 * Decides: the called and the calling number, whether the caller is shown,
 * whether it is an emergency, and whether the caller has room for the call.
 * Does not decide where that leads (route.c) or what is tried (call_setup.c).
 * Called by calls.c and call_setup.c. RFC 3323, 3325.
 */
#include "config.h"

#include "sbc/call_inner.h"

#include <stdio.h>
#include <string.h>

#include "common/secret.h"
#include "sbc/trunk.h"

static void on_account(void *ctx, struct account *account, enum reason why)
{
	struct call *c = ctx;
	struct call_input in = {
		.event = EV_ACCOUNT, .account = account, .why = why};

	c->query = NULL;
	call_event(c, &in);
}

/* The two ways in which a number can belong to an account: the likelier is
 * asked first. */
enum call_state call_facts_ask(struct call *c)
{
	Gh__AccountKey by = c->query_by_number
				    ? GH__ACCOUNT_KEY__ACCOUNT_BY_NUMBER
				    : GH__ACCOUNT_KEY__ACCOUNT_BY_EXTENSION;

	c->n_queries++;
	if (accounts_find(c->sbc->accounts, by, c->called_number, on_account, c,
		    &c->query) != 0)
		return call_end(c, REASON_AUTH_AWAY, 0, CALL_SBC);
	return CALL_FACTS;
}

static enum reason find_called(
	struct call *c, const sip_t *sip, su_home_t *home)
{
	const struct trunk *t = c->caller.trunk;
	char clean[ROUTE_NUMBER_SIZE];
	const char *user;

	user = t != NULL ? hdr_called_of(sip, t, home)
			 : sip->sip_request->rq_url->url_user;
	if (user == NULL || number_clean(user, clean) != 0)
		return REASON_ROUTE_BAD_NUMBER;
	if (t == NULL) {
		snprintf(
			c->called_number, sizeof c->called_number, "%s", clean);
		return REASON_ROUTE_OK;
	}
	if (number_apply(t, GH__NUMBER_RULE_SCOPE__RULE_IN_CALLED, clean,
		    c->called_number) != 0)
		return REASON_ROUTE_BAD_NUMBER;
	return REASON_ROUTE_OK;
}

/* RFC 3323 4.2: a phone that asks not to be shown. */
static bool wants_privacy(const sip_t *sip)
{
	const sip_privacy_t *privacy = sip->sip_privacy;

	for (size_t i = 0; privacy != NULL && privacy->priv_values != NULL &&
			   privacy->priv_values[i] != NULL;
		i++) {
		const char *word = privacy->priv_values[i];

		if (su_casematch(word, "id") || su_casematch(word, "user") ||
			su_casematch(word, "header"))
			return true;
	}
	return false;
}

/* A phone is who its account says; a trunk's callers are who the trunk says. */
static enum reason find_caller(
	struct call *c, const sip_t *sip, su_home_t *home)
{
	const struct trunk *t = c->caller.trunk;
	struct hdr_identity who = {0};
	char clean[ROUTE_NUMBER_SIZE];

	if (c->caller.kind == SIDE_PHONE) {
		const Gh__Account *row = c->caller.account->row;

		snprintf(c->caller_number, sizeof c->caller_number, "%s",
			row->extension);
		c->caller_display = row->display_name;
		c->caller_hidden = wants_privacy(sip);
		return REASON_ROUTE_OK;
	}
	if (hdr_caller_of(sip, t, home, &who) != 0)
		return REASON_ADMIT_SYNTAX;
	if (who.display != NULL && *who.display != '\0')
		c->caller_display = su_strdup(c->home, who.display);
	c->caller_hidden = who.hide;
	if (who.number == NULL || *who.number == '\0')
		return REASON_ROUTE_OK;
	/* A number that is none is no reason to refuse: it is not shown. */
	if (number_clean(who.number, clean) != 0 ||
		number_apply(t, GH__NUMBER_RULE_SCOPE__RULE_IN_CALLER, clean,
			c->caller_number) != 0)
		c->caller_number[0] = '\0';
	return REASON_ROUTE_OK;
}

static bool in_service(void *ctx, uint32_t trunk)
{
	struct call *c = ctx;

	return trunk_in_service(c->calls->trunks, trunk);
}

static struct route_facts facts_of(struct call *c)
{
	/* Who forwards a call makes it. */
	const struct account *account =
		c->forwarder != NULL ? c->forwarder : c->caller.account;

	return (struct route_facts){
		.from = c->forwarder != NULL ? SIDE_PHONE : c->caller.kind,
		.from_trunk = c->forwarder != NULL ? NULL : c->caller.trunk,
		.from_account = account != NULL ? account->row : NULL,
		.called = c->called_number,
		.caller = c->caller_hidden ? "" : c->caller_number,
		.called_account = c->called_account != NULL
					  ? c->called_account->row
					  : NULL,
		.trunk_in_service = in_service,
		.ctx = c,
	};
}

bool call_facts_lead_to_emergency(struct call *c)
{
	struct route_facts facts = facts_of(c);

	return route_is_emergency(c->settings, &facts);
}

/* Known before anything is refused for its number. */
static void find_emergency(struct call *c)
{
	c->emergency = call_facts_lead_to_emergency(c);
}

bool call_facts_is_emergency(struct call *c, const sip_t *sip)
{
	su_home_t home[1] = {SU_HOME_INIT(home)};

	su_home_init(home);
	/* Whatever becomes of it, its CDR says who called whom. */
	(void)find_caller(c, sip, home);
	if (find_called(c, sip, home) == REASON_ROUTE_OK)
		find_emergency(c);
	su_home_deinit(home);
	return c->emergency;
}

enum call_state call_facts_begin(
	struct call *c, const struct inbound *in, const sip_t *sip)
{
	su_home_t home[1] = {SU_HOME_INIT(home)};
	struct leg_msg offer = {.sip = sip};
	enum reason why;

	c->max_forwards = sip->sip_max_forwards != NULL
				  ? (unsigned)sip->sip_max_forwards->mf_count
				  : 70;
	if (c->max_forwards == 0)
		return call_end(c, REASON_ADMIT_MAX_FORWARDS, 0, CALL_SBC);
	c->max_forwards--;
	c->caller.behind_nat = stack_behind_nat(in);
	su_home_init(home);
	why = find_called(c, sip, home);
	if (why == REASON_ROUTE_OK)
		why = find_caller(c, sip, home);
	su_home_deinit(home);
	if (why != REASON_ROUTE_OK)
		return call_end(c, why, 0, CALL_SBC);
	log_info("call_begin", LOG_CALL(c->id),
		LOG_STR("from", side_kind_name(c->caller.kind)),
		LOG_STR("caller", c->caller_number),
		LOG_STR("called", c->called_number),
		LOG_ADDR("source", &c->caller.peer));

	why = leg_body(sip, &offer);
	if (why != REASON_ADMIT_OK)
		return call_end(c, why, 415, CALL_SBC);
	if (call_media_offer(c, &offer) == CALL_ENDING)
		return CALL_ENDING;
	find_emergency(c);
	why = call_limit_take(c, &c->caller);
	if (why != REASON_ROUTE_OK)
		return call_end(c, why, call_limit_status(c, &c->caller, why),
			CALL_SBC);
	c->query_by_number = c->called_number[0] == '+';
	return call_facts_ask(c);
}

void call_facts_route(struct call *c, struct route_decision *decision_out)
{
	struct route_facts facts = facts_of(c);

	secret_random_bytes(&facts.random, sizeof facts.random);
	route_decide(c->settings, &facts, decision_out);
}
