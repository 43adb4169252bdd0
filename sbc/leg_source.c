/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rule 1: who may speak inside a dialog, and where we speak to.
 *
 * A trunk or PBX may use any of its allowed sources on the same local address;
 * a phone its present flow or a live registration of its account. A request
 * from anywhere else is challenged by digest as the dialog's account: success
 * moves the dialog there, failure changes nothing. What cannot be challenged
 * (ACK, CANCEL, a trunk's request) is refused as if the dialog did not exist.
 *
 * Where our requests go: to a phone always where it was heard; to a trunk where
 * its route set or Contact says, but only to an address that is one of its
 * allowed sources; a name is never resolved for this.
 *
 * Called by leg.c for each request inside a dialog; auth_fn comes later.
 */
#include "config.h"

#include "sbc/leg.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sofia-sip/sip_status.h>
#include <sofia-sip/su_tagarg.h>

#include "common/log.h"
#include "sbc/sbc.h"
#include "sbc/trunk.h"

static bool phone_is_bound(const struct leg *leg, const struct addr *source,
	const struct listener *listener, uint64_t flow)
{
	const struct binding *b;

	for (b = bindings_of(leg->c.sbc->bindings, leg->c.account->row->id);
		b != NULL; b = b->next) {
		if (b->row->flow == flow && addr_equal(&b->source, source) &&
			addr_equal(&b->local, &listener->local))
			return true;
	}
	return false;
}

/* The same local address: a trunk may say what is too large for a datagram over
 * a connection (RFC 3261 18.1.1), and the other way round. What is secured
 * stays so. */
static bool is_same_place(const struct listener *a, const struct listener *b)
{
	return a == b || (!transport_is_secured(a->transport) &&
				 !transport_is_secured(b->transport) &&
				 addr_equal_ip(&a->local, &b->local));
}

static bool accepts(const struct leg *leg, const struct inbound *in)
{
	const struct trunk *now;

	if (in->listener == leg->c.peer.listener &&
		in->flow == leg->c.peer.flow &&
		addr_equal(&in->source, &leg->c.peer.addr))
		return true;
	if (leg->c.kind == SIDE_PHONE)
		return leg->c.account != NULL &&
		       phone_is_bound(leg, &in->source, in->listener, in->flow);
	if (!is_same_place(in->listener, leg->c.peer.listener) ||
		in->address == NULL || leg->c.sbc->settings == NULL)
		return false;
	/* The present snapshot's sources: an address that was taken away must
	 * not speak any more, one that was added may. */
	now = settings_trunk(leg->c.sbc->settings, leg->c.trunk->row->id);
	return now != NULL &&
	       trunk_may_send(leg->c.sbc, now, &in->source, in->address) &&
	       flow_proves(leg->c.sbc->flows, in->flow, now);
}

/* Where that request came from: most legs never have one. */
struct leg_judged {
	struct addr source;
	struct listener *listener;
	uint64_t flow;
	enum reason why; /* of the challenge that waits for its list */
};

/* @return whether there is room for it. */
static bool may_judge(struct leg *leg)
{
	if (leg->judged == NULL)
		leg->judged = su_zalloc(leg->c.home, sizeof *leg->judged);
	return leg->judged != NULL && leg->judged_irq == NULL;
}

bool leg_accepts_message(struct leg *leg, nta_incoming_t *irq, const sip_t *sip)
{
	struct inbound in;

	return stack_inbound(leg->c.sbc->stack, irq, sip, &in) == 0 &&
	       accepts(leg, &in);
}

void leg_judge_drop(struct leg *leg)
{
	nta_incoming_t *irq = leg->judged_irq;

	if (leg->judging != NULL)
		auth_cancel(&leg->judging);
	leg->judging = NULL;
	leg->judged_irq = NULL;
	if (irq == NULL)
		return;
	if (nta_incoming_status(irq) < 200)
		(void)nta_incoming_treply(
			irq, SIP_481_NO_TRANSACTION, TAG_END());
	nta_incoming_destroy(irq);
}

static void turn_away(struct leg *leg, nta_incoming_t *irq, enum reason why,
	unsigned status, const struct addr *source)
{
	char seconds[12];

	leg_retry_after(leg, seconds, sizeof seconds);
	reason_count(why);
	log_peer_info("dialog_request_refused", LOG_CALL(leg->c.call),
		LOG_STR("method", nta_incoming_method_name(irq)),
		LOG_STR("reason", reason_text(why)),
		LOG_ADDR("source", source));
	(void)nta_incoming_treply(irq, (int)status, reason_sip_phrase(status),
		TAG_IF(status == 503, SIPTAG_RETRY_AFTER_STR(seconds)),
		TAG_END());
	nta_incoming_destroy(irq);
}

static void on_judged(void *ctx, Gh__AuthVerdict verdict, enum reason why,
	struct account *account)
{
	struct leg *leg = ctx;
	nta_incoming_t *irq = leg->judged_irq;
	struct leg_msg moved = {.event = LEG_MOVED};
	struct inbound in;
	msg_t *msg;
	bool same;

	leg->judging = NULL;
	leg->judged_irq = NULL;
	same = account != NULL && account->row->id == leg->c.account->row->id;
	account_unref(&account);
	msg = nta_incoming_getrequest(irq);
	if (verdict == GH__AUTH_VERDICT__AUTH_VERDICT_OK && same) {
		leg->c.peer.addr = leg->judged->source;
		leg->c.peer.listener = leg->judged->listener;
		leg->c.peer.flow = leg->judged->flow;
		log_info("dialog_moved", LOG_CALL(leg->c.call),
			LOG_ADDR("source", &leg->judged->source));
		moved.sip = sip_object(msg);
		leg_emit(leg, &moved);
		if (leg->dialog != NULL)
			leg_dispatch(leg, irq, sip_object(msg));
		else
			turn_away(leg, irq, REASON_ADMIT_NO_DIALOG, 481,
				&leg->judged->source);
	} else if ((verdict == GH__AUTH_VERDICT__AUTH_VERDICT_CHALLENGE ||
			   verdict == GH__AUTH_VERDICT__AUTH_VERDICT_STALE) &&
		   stack_inbound(
			   leg->c.sbc->stack, irq, sip_object(msg), &in) == 0) {
		auth_send_challenge(leg->c.sbc->auth, &in, irq, why);
		nta_incoming_destroy(irq);
	} else if (verdict == GH__AUTH_VERDICT__AUTH_VERDICT_UNAVAILABLE) {
		turn_away(
			leg, irq, REASON_AUTH_AWAY, 503, &leg->judged->source);
	} else {
		turn_away(leg, irq,
			verdict == GH__AUTH_VERDICT__AUTH_VERDICT_OK
				? REASON_AUTH_IDENTITY
				: why,
			403, &leg->judged->source);
	}
	msg_destroy(msg);
}

static void hold(struct leg *leg, nta_incoming_t *irq, const struct inbound *in)
{
	leg->judged_irq = irq;
	leg->judged->source = in->source;
	leg->judged->listener = in->listener;
	leg->judged->flow = in->flow;
}

static void on_offers(void *ctx)
{
	struct leg *leg = ctx;
	nta_incoming_t *irq = leg->judged_irq;
	msg_t *msg = nta_incoming_getrequest(irq);
	struct inbound in;

	leg->judging = NULL;
	leg->judged_irq = NULL;
	if (stack_inbound(leg->c.sbc->stack, irq, sip_object(msg), &in) == 0) {
		auth_send_challenge(
			leg->c.sbc->auth, &in, irq, leg->judged->why);
		nta_incoming_destroy(irq);
	} else {
		turn_away(leg, irq, REASON_ADMIT_WRONG_REALM, 481,
			&leg->judged->source);
	}
	msg_destroy(msg);
}

/* Only the dialog's account can answer: it gets its own list. */
static enum leg_verdict send_challenge(struct leg *leg, nta_incoming_t *irq,
	struct inbound *in, enum reason why)
{
	struct auth *auth = leg->c.sbc->auth;

	if (!auth_wants_offers(auth, in)) {
		auth_send_challenge(auth, in, irq, why);
		nta_incoming_destroy(irq);
		return LEG_SOURCE_REFUSED;
	}
	if (!may_judge(leg) || auth_offers_of(auth, in->realm->row->id,
				       leg->c.account->row->user, on_offers,
				       leg, &leg->judging) != 0) {
		turn_away(leg, irq, REASON_AUTH_AWAY, 503, &in->source);
		return LEG_SOURCE_REFUSED;
	}
	leg->judged->why = why;
	hold(leg, irq, in);
	return LEG_SOURCE_WAIT;
}

static enum leg_verdict challenge(struct leg *leg, nta_incoming_t *irq,
	const sip_t *sip, struct inbound *in)
{
	struct auth *auth = leg->c.sbc->auth;
	enum reason why = REASON_AUTH_MISSING;
	Gh__AuthVerdict verdict = auth_precheck(auth, in, &why);

	if (verdict == GH__AUTH_VERDICT__AUTH_VERDICT_CHALLENGE ||
		verdict == GH__AUTH_VERDICT__AUTH_VERDICT_STALE)
		return send_challenge(leg, irq, in, why);
	if (verdict == GH__AUTH_VERDICT__AUTH_VERDICT_REFUSED) {
		turn_away(leg, irq, why, 403, &in->source);
		return LEG_SOURCE_REFUSED;
	}
	/* One at a time: more would let a stranger pile up work. */
	if (verdict != GH__AUTH_VERDICT__AUTH_VERDICT_OK || !may_judge(leg) ||
		auth_judge(auth, in, GH__AUTH_PURPOSE__AUTH_DIALOG,
			leg->c.account->row->id, on_judged, leg,
			&leg->judging) != 0) {
		turn_away(leg, irq, REASON_AUTH_AWAY, 503, &in->source);
		return LEG_SOURCE_REFUSED;
	}
	(void)sip;
	hold(leg, irq, in);
	return LEG_SOURCE_WAIT;
}

enum leg_verdict leg_check_source(
	struct leg *leg, nta_incoming_t *irq, const sip_t *sip)
{
	struct inbound in;

	if (stack_inbound(leg->c.sbc->stack, irq, sip, &in) != 0) {
		struct addr unknown = {0};

		turn_away(leg, irq, REASON_ADMIT_WRONG_REALM, 481, &unknown);
		return LEG_SOURCE_REFUSED;
	}
	if (accepts(leg, &in)) {
		/* A phone may come back on another of its registrations. */
		if (leg->c.kind == SIDE_PHONE) {
			leg->c.peer.addr = in.source;
			leg->c.peer.listener = in.listener;
			leg->c.peer.flow = in.flow;
		}
		return LEG_SOURCE_OK;
	}
	if (leg->c.kind == SIDE_PHONE && leg->c.account != NULL)
		return challenge(leg, irq, sip, &in);
	turn_away(leg, irq, REASON_ADMIT_DIALOG_SOURCE, 481, &in.source);
	return LEG_SOURCE_REFUSED;
}

/* A trunk's dialog whose connection has gone: its present one; or datagrams,
 * where the connection was only made for a request that was too large. */
static void reach_trunk(struct leg *leg)
{
	struct target *peer = &leg->c.peer;
	struct sbc *sbc = leg->c.sbc;
	const struct trunk *now =
		sbc->settings != NULL
			? settings_trunk(sbc->settings, leg->c.trunk->row->id)
			: NULL;
	const struct realm_address *ra;
	const struct flow *f;
	struct listener *l;

	if (now == NULL || !transport_is_stream(peer->listener->transport) ||
		flow_find(sbc->flows, peer->flow) != NULL)
		return;
	f = flow_of_trunk(sbc->flows, now, &peer->listener->local,
		peer->listener->transport);
	if (f != NULL) {
		peer->flow = f->id;
		peer->addr = f->peer;
		log_info("dialog_flow", LOG_CALL(leg->c.call),
			LOG_UINT("flow", peer->flow),
			LOG_ADDR("source", &peer->addr));
		return;
	}
	for (size_t i = 0; i < now->row->n_targets; i++) {
		if (now->row->targets[i]->transport !=
			GH__TRANSPORT__TRANSPORT_UDP)
			continue;
		ra = realm_address_for(now->realm, peer->addr.family,
			GH__TRANSPORT__TRANSPORT_UDP);
		l = ra != NULL ? stack_listener(sbc->stack, ra) : NULL;
		if (l == NULL)
			return;
		peer->listener = l;
		peer->flow = 0;
		return;
	}
}

void leg_reach(struct leg *leg)
{
	struct target *peer = &leg->c.peer;
	struct sbc *sbc = leg->c.sbc;
	const struct binding *b;

	if (leg->c.kind != SIDE_PHONE && leg->c.trunk != NULL) {
		reach_trunk(leg);
		return;
	}
	if (leg->c.kind != SIDE_PHONE || leg->c.account == NULL ||
		!transport_is_stream(peer->listener->transport) ||
		flow_find(sbc->flows, peer->flow) != NULL ||
		sbc->settings == NULL)
		return;
	/* Newest first. */
	for (b = bindings_of(sbc->bindings, leg->c.account->row->id); b != NULL;
		b = b->next) {
		const struct realm_address *ra = settings_listener(
			sbc->settings, &b->local, b->row->transport);
		struct listener *l =
			ra != NULL ? stack_listener(sbc->stack, ra) : NULL;

		if (l == NULL || !transport_is_stream(l->transport) ||
			flow_find(sbc->flows, b->row->flow) == NULL)
			continue;
		peer->addr = b->source;
		peer->listener = l;
		peer->flow = b->row->flow;
		log_info("dialog_flow", LOG_CALL(leg->c.call),
			LOG_UINT("flow", peer->flow),
			LOG_ADDR("source", &peer->addr));
		return;
	}
}

/* The address in a SIP URI; unset for a name. */
static struct addr url_addr(const url_t *url)
{
	struct addr addr = {0}, unset = {0};
	unsigned long port = 5060;
	char text[ADDR_TEXT_SIZE];
	size_t len;
	char *end;

	if (url == NULL || url->url_host == NULL)
		return unset;
	len = strlen(url->url_host);
	if (len >= sizeof text)
		return unset;
	memcpy(text, url->url_host, len + 1);
	if (text[0] == '[' && text[len - 1] == ']') {
		memmove(text, text + 1, len - 2);
		text[len - 2] = '\0';
	}
	if (addr_parse(text, &addr) != 0)
		return unset;
	if (url->url_port != NULL && *url->url_port != '\0') {
		port = strtoul(url->url_port, &end, 10);
		if (*end != '\0' || port == 0 || port > 65535)
			return unset;
	}
	addr.port = (uint16_t)port;
	return addr;
}

void leg_aim(struct leg *leg)
{
	const sip_route_t *route = NULL;
	const sip_contact_t *target = NULL;
	struct inbound in = {.listener = leg->c.peer.listener};

	if (leg->c.kind == SIDE_PHONE || leg->dialog == NULL ||
		leg->c.sbc->settings == NULL)
		return;
	nta_leg_get_route(leg->dialog, &route, &target);
	in.source = url_addr(route != NULL    ? route->r_url
			     : target != NULL ? target->m_url
					      : NULL);
	in.address = settings_listener(leg->c.sbc->settings,
		&in.listener->local, in.listener->transport);
	in.flow = leg->c.peer.flow;
	if (addr_is_set(&in.source) && accepts(leg, &in))
		leg->c.peer.addr = in.source;
}
