/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The PBX's side of a subscription: the leg to it, and our SUBSCRIBE, in which
 * the phone is the extension that the PBX knows.
 *
 * Decides: where the SUBSCRIBE goes and what it says. Does not decide what its
 * answer means (event.c). RFC 6665 4.1.2.
 */
#include "config.h"

#include "sbc/event_inner.h"

#include <stdio.h>

#include <sofia-sip/sip_status.h>
#include <sofia-sip/su_tagarg.h>

#include "sbc/trunk.h"

struct leg_config sub_phone_config(struct sub *s, const struct target *peer)
{
	return (struct leg_config){
		.sbc = s->sbc,
		.home = s->home,
		.call = s->id,
		.kind = SIDE_PHONE,
		.account = s->account,
		.peer = *peer,
		.on_event = sub_on_leg,
		.on_request = sub_on_phone_request,
		.ctx = s,
	};
}

struct leg_config sub_pbx_config(struct sub *s, const struct target *peer)
{
	return (struct leg_config){
		.sbc = s->sbc,
		.home = s->home,
		.call = s->id,
		.kind = SIDE_PBX,
		.trunk = s->trunk,
		.trunks = s->sbc->trunks,
		.peer = *peer,
		.surrogate = account_surrogate_at(
			s->account->row, s->trunk->row->id),
		.on_event = sub_on_leg,
		.on_request = sub_on_pbx_request,
		.ctx = s,
	};
}

static int on_answer(
	nta_outgoing_magic_t *magic, nta_outgoing_t *orq, const sip_t *sip)
{
	struct leg *leg = (struct leg *)magic;
	struct sub *s = leg->c.ctx;
	struct sub_input in = {.sip = sip};
	bool silent = sip == NULL || nta_sip_is_internal(sip);

	in.status = sip != NULL ? (unsigned)sip->sip_status->st_status : 408;
	if (in.status < 200)
		return 0;
	if (leg_auth_take(leg, orq, silent ? NULL : sip, on_answer))
		return 0;
	leg->change.orq = NULL;
	if (leg != s->pbx) {
		/* Another place was asked since. */
		nta_outgoing_destroy(orq);
		return 0;
	}
	if (silent)
		in.sip = NULL;
	in.event =
		in.status < 300 && !silent ? SUB_EV_ACCEPTED : SUB_EV_REFUSED;
	sub_event(s, &in);
	nta_outgoing_destroy(orq);
	return 0;
}

bool sub_ask_pbx(struct sub *s, const char *uri, const char *lines)
{
	char expires[12], forwards[12];
	struct leg *leg = s->pbx;
	/* The first one only: then the dialog has a way of its own. */
	const char *route =
		uri != NULL ? trunk_route(s->sbc->trunks, s->trunk->row->id,
				      &leg->c.peer.addr)
			    : "";

	snprintf(expires, sizeof expires, "%u", (unsigned)s->asked_s);
	snprintf(forwards, sizeof forwards, "%u", s->max_forwards);
	leg->change.method = sip_method_subscribe;
	leg->change.orq = leg_send(leg, on_answer, SIP_METHOD_SUBSCRIBE, uri,
		TAG_IF(uri != NULL, SIPTAG_MAX_FORWARDS_STR(forwards)),
		TAG_IF(*route != '\0', SIPTAG_ROUTE_STR(route)),
		SIPTAG_CONTACT_STR(leg->contact),
		SIPTAG_EVENT_STR(s->package->name), SIPTAG_EXPIRES_STR(expires),
		TAG_IF(s->package->type != NULL,
			SIPTAG_ACCEPT_STR(s->package->type)),
		SIPTAG_ALLOW_STR("SUBSCRIBE, NOTIFY, OPTIONS"),
		TAG_IF(lines != NULL && *lines != '\0',
			SIPTAG_HEADER_STR(lines)),
		TAG_END());
	return leg->change.orq != NULL;
}

void sub_leave_pbx(struct sub *s)
{
	if (s->pbx == NULL || s->pbx->state != LEG_UP ||
		s->pbx->change.orq != NULL)
		return;
	s->asked_s = 0;
	(void)sub_ask_pbx(s, NULL, NULL);
}

static int pbx_number(const struct sub *s, const char *number,
	char out[ROUTE_NUMBER_SIZE], Gh__NumberRuleScope scope)
{
	return number_apply(s->trunk, scope, number, out);
}

static enum reason make_pbx_leg(struct sub *s, const struct target_place *place,
	su_home_t *home, const char **uri, const char **lines)
{
	const Gh__Account *row = s->account->row;
	char caller[ROUTE_NUMBER_SIZE], called[ROUTE_NUMBER_SIZE];
	struct hdr_identity who = {
		.number = caller, .display = row->display_name};
	struct hdr_side to = {
		.kind = SIDE_PBX,
		.trunk = s->trunk,
		.realm = place->address->realm,
		.host = *s->trunk->row->host != '\0'
				? s->trunk->row->host
				: place->target.listener->advertised_host,
	};
	struct leg_config config = sub_pbx_config(s, &place->target);
	const char *escaped;

	config.user = hdr_user(row->extension, s->home);
	if (pbx_number(s, row->extension, caller,
		    GH__NUMBER_RULE_SCOPE__RULE_OUT_CALLER) != 0)
		snprintf(caller, sizeof caller, "%s", row->extension);
	if (pbx_number(s, s->resource, called,
		    GH__NUMBER_RULE_SCOPE__RULE_OUT_CALLED) != 0)
		return REASON_ROUTE_BAD_NUMBER;
	escaped = hdr_user(called, home);
	if (escaped == NULL ||
		leg_new_client(&config, hdr_from(&to, &who, home),
			hdr_to(&to, called, place->host, home), &s->pbx) != 0)
		return REASON_CALL_INTERNAL;
	*uri = su_sprintf(home, "sip:%s@%s", escaped, place->host);
	*lines = hdr_lines(NULL, NULL, &to, &who, home);
	return REASON_EVENT_OK;
}

/* Asks the PBX at its next place. @return SUB_STATE_COUNT if there is none,
 * with *why; what was asked before stays. */
static enum sub_state ask_next(struct sub *s, enum reason *why)
{
	su_home_t home[1] = {SU_HOME_INIT(home)};
	const char *uri = NULL, *lines = NULL;
	struct target_place place;

	switch (target_walk_usable(&s->walk, &place, why)) {
	case TARGET_ASKED:
		return SUB_AIMING;
	case TARGET_USELESS:
	case TARGET_END:
		target_walk_end(&s->walk);
		return SUB_STATE_COUNT;
	case TARGET_FOUND:
		break;
	}
	/* It may be its own event that led here: it is freed later. */
	leg_free(&s->spent);
	s->spent = s->pbx;
	s->pbx = NULL;
	su_home_init(home);
	*why = make_pbx_leg(s, &place, home, &uri, &lines);
	if (*why == REASON_EVENT_OK &&
		(uri == NULL || !sub_ask_pbx(s, uri, lines)))
		*why = REASON_CALL_INTERNAL;
	su_home_deinit(home);
	return *why == REASON_EVENT_OK ? SUB_ASKING : SUB_STATE_COUNT;
}

enum sub_state sub_aimed(struct sub *s, const struct sub_input *in)
{
	enum reason why = REASON_NONE;
	enum sub_state next = ask_next(s, &why);
	unsigned status = reason_sip(why);

	(void)in;
	if (next != SUB_STATE_COUNT)
		return next;
	sub_answer(s, why, status >= 300 && status != 503 ? status : 480, NULL);
	return SUB_GONE;
}

enum sub_state sub_try_elsewhere(struct sub *s)
{
	enum reason why = REASON_NONE;
	enum sub_state next = SUB_STATE_COUNT;

	if (s->walk.trunk != NULL && clock_now_us() < s->deadline_us)
		next = ask_next(s, &why);
	if (next == SUB_ASKING)
		sub_arm(s);
	return next;
}

void sub_on_aimed(void *ctx)
{
	const struct sub_input in = {.event = SUB_EV_AIMED};

	sub_event(ctx, &in);
}
