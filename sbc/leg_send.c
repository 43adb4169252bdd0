/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How requests inside a dialog are sent. In a dialog over datagrams each that
 * is too large for one (RFC 3261 18.1.1) goes by itself over a connection to
 * the same address of the trunk; the dialog, its Contact and what is small stay
 * where they are. Where the trunk takes no connection, the request goes as a
 * datagram all the same.
 *
 * Decides: which way a request of this size takes. Without a connection it is
 * made, so that the owner has its handle, but goes nowhere: the library ends it
 * in the next turn of the loop. When the connection stands, or is refused, the
 * request is made once more, with the next CSeq, in the place of the first.
 *
 * Not here: phones. One that has registered by datagrams is reached where it
 * registered and nowhere else (RFC 5626 5.3); behind a NAT nothing else
 * reaches it. ACK and PRACK do not wait. A call's first INVITE is its owner's
 * (call_target_again()): it may go to another target meanwhile.
 */
#include "config.h"

#include "sbc/leg.h"
#include "sbc/leg_save.h"

#include <stdlib.h>
#include <string.h>

#include <sofia-sip/msg_addr.h>
#include <sofia-sip/sip_tag.h>
#include <sofia-sip/su_tagarg.h>
#include <sofia-sip/tport_tag.h>
#include <sofia-sip/url.h>

#include "common/log.h"
#include "sbc/leg_sleep.h"
#include "sbc/sbc.h"

/* What a request has besides the texts that are counted: start line, Via,
 * tags, names of headers, Allow, Supported, timer. */
#define REQUEST_REST 400u
/* What a challenge adds. */
#define REQUEST_AUTH 350u

struct leg_large {
	LIST_ENTRY(leg_large) link;
	struct leg *leg;
	nta_outgoing_t *orq;  /* stands for the request; goes nowhere */
	bool ended;           /* orq has */
	struct flow_ask *ask; /* NULL: it is clear which way it goes */
	nta_response_f *fn;
	nta_outgoing_magic_t *magic;
};

/* -------------------------------------------------------------------- size */

static size_t text_len(const char *text)
{
	return text != NULL ? strlen(text) : 0;
}

/* Rather too much than too little: a connection is good for small requests,
 * too. */
size_t leg_request_size(const struct leg *leg, const char *request_uri,
	const char *body, const char *lines)
{
	const sip_route_t *route = NULL;
	const sip_contact_t *target = NULL;
	size_t len = REQUEST_REST + text_len(request_uri) + text_len(body) +
		     text_len(lines) + strlen(leg->call_id) +
		     strlen(leg->contact) + strlen(leg->local) +
		     strlen(leg->remote) +
		     strlen(leg->c.peer.listener->advertised_host);

	if (leg->c.trunk != NULL && leg->c.trunk->row->registers)
		len += REQUEST_AUTH;
	if (leg->dialog == NULL)
		return len;
	nta_leg_get_route(leg->dialog, &route, &target);
	if (target != NULL)
		len += (size_t)url_xtra(target->m_url);
	for (; route != NULL; route = route->r_next)
		len += sizeof "Route: <sip:>\r\n" +
		       (size_t)url_xtra(route->r_url);
	return len;
}

/* --------------------------------------------------------------------- way */

/* The trunk in the snapshot in force, if it may be asked for a connection from
 * the address that the dialog is at. */
static const struct trunk *trunk_of(
	const struct leg *leg, struct listener **listener_out)
{
	const struct sbc *sbc = leg->c.sbc;
	const struct target *peer = &leg->c.peer;
	const struct realm_address *ra;
	const struct trunk *t;

	if (leg->c.kind == SIDE_PHONE || leg->c.trunk == NULL ||
		sbc->settings == NULL || sbc->flows == NULL ||
		transport_is_stream(peer->listener->transport))
		return NULL;
	t = settings_trunk(sbc->settings, leg->c.trunk->row->id);
	ra = t != NULL ? realm_address_for(t->realm, peer->addr.family,
				 GH__TRANSPORT__TRANSPORT_TCP)
		       : NULL;
	if (ra == NULL || !addr_equal_ip(&ra->listen, &peer->listener->local))
		return NULL;
	*listener_out = stack_listener(sbc->stack, ra);
	return *listener_out != NULL ? t : NULL;
}

static void on_asked(void *ctx);

enum leg_way leg_way(
	struct leg *leg, struct target *to, struct leg_large **large_out)
{
	const struct target *peer = &leg->c.peer;
	struct flows *flows = leg->c.sbc->flows;
	struct listener *l = NULL;
	const struct trunk *t = trunk_of(leg, &l);
	const struct flow *f;
	struct leg_large *large;

	*to = *peer;
	if (t == NULL)
		return LEG_WAY_NOW;
	f = flow_to(flows, t, &l->local, l->transport, &peer->addr);
	if (f == NULL &&
		(large_out == NULL || flow_is_refused(flows, t, &l->local,
					      l->transport, &peer->addr)))
		return LEG_WAY_NOW;
	to->listener = l;
	to->flow = f != NULL ? f->id : 0;
	if (f != NULL)
		return LEG_WAY_NOW;
	large = calloc(1, sizeof *large);
	if (large == NULL || flow_ask(flows, t, l->transport, &peer->addr,
				     on_asked, large, &large->ask) != 0) {
		free(large);
		*to = *peer;
		return LEG_WAY_NOW;
	}
	large->leg = leg;
	LIST_INSERT_HEAD(&leg->larges, large, link);
	*large_out = large;
	return LEG_WAY_WAIT;
}

/* ----------------------------------------------------------------- waiting */

static void large_free(struct leg_large *large)
{
	flow_ask_cancel(&large->ask);
	LIST_REMOVE(large, link);
	free(large);
}

/* The owner hears the end of the request that could not be made. */
static void give_up(struct leg_large *large)
{
	msg_t *response = nta_outgoing_getresponse(large->orq);
	nta_outgoing_t *orq = large->orq;
	nta_response_f *fn = large->fn;
	nta_outgoing_magic_t *magic = large->magic;

	large_free(large);
	fn(magic, orq, response != NULL ? sip_object(response) : NULL);
	if (response != NULL)
		msg_destroy(response);
}

static void go_on(struct leg_large *large)
{
	struct leg *leg = large->leg;
	nta_outgoing_t **slot = leg_auth_slot(leg, large->orq);
	struct target to;
	nta_outgoing_t *orq;

	if (large->ask != NULL || !large->ended)
		return;
	(void)leg_way(leg, &to, NULL);
	orq = leg_send_again(
		leg, large->orq, &to, large->fn, large->magic, TAG_END());
	if (orq == NULL) {
		give_up(large);
		return;
	}
	log_debug("large_request", LOG_CALL(leg->c.call),
		LOG_STR("method", nta_outgoing_method_name(orq)),
		LOG_UINT("flow", to.flow));
	if (slot != NULL)
		*slot = orq;
	nta_outgoing_destroy(large->orq);
	large_free(large);
}

static void on_asked(void *ctx)
{
	struct leg_large *large = ctx;

	large->ask = NULL;
	go_on(large);
}

int leg_large_on_end(
	nta_outgoing_magic_t *magic, nta_outgoing_t *orq, const sip_t *sip)
{
	struct leg_large *large = (struct leg_large *)magic;

	(void)orq;
	if (sip != NULL && sip->sip_status->st_status < 200)
		return 0;
	large->ended = true;
	go_on(large);
	return 0;
}

void leg_large_begin(struct leg_large *large, nta_outgoing_t *orq,
	nta_response_f *fn, nta_outgoing_magic_t *magic)
{
	large->orq = orq;
	large->fn = fn;
	large->magic = magic;
	if (orq == NULL)
		large_free(large);
}

void leg_large_forget(struct leg *leg, nta_outgoing_t *orq)
{
	struct leg_large *large;

	LIST_FOREACH (large, &leg->larges, link) {
		if (large->orq == orq) {
			large_free(large);
			return;
		}
	}
}

void leg_large_drop(struct leg *leg)
{
	struct leg_large *large;

	/* What is left is somebody else's, who has to hear its end. */
	while ((large = LIST_FIRST(&leg->larges)) != NULL) {
		if (large->ended) {
			give_up(large);
			continue;
		}
		nta_outgoing_bind(large->orq, large->fn, large->magic);
		large_free(large);
	}
}

/* ----------------------------------------------------------------- sending */

/* No socket of ours has this name: what is sent from there ends at once. */
#define IDENT_OF_NOBODY "-"

/* A dialog's own are as large as a description at most, unless the peer's
 * route set makes them larger. */
static bool is_too_large(const struct leg *leg, sip_method_t method,
	const char *request_uri, const tagi_t *tags)
{
	const char *body = NULL, *lines = NULL;

	/* A call's first INVITE has been judged (call_setup.c). */
	if (leg->c.trunk == NULL ||
		transport_is_stream(leg->c.peer.listener->transport) ||
		(method == sip_method_invite && request_uri != NULL))
		return false;
	tl_gets(tags, SIPTAG_PAYLOAD_STR_REF(body),
		SIPTAG_HEADER_STR_REF(lines), TAG_END());
	return leg_request_size(leg, request_uri, body, lines) >
	       FLOW_DATAGRAM_MAX;
}

/* Somebody waits for its answer's effect: it goes at once. */
static bool can_wait(sip_method_t method)
{
	return method != sip_method_ack && method != sip_method_prack;
}

static nta_outgoing_t *send_tags(struct leg *leg, nta_response_f *fn,
	nta_outgoing_magic_t *magic, sip_method_t method, const char *name,
	const char *request_uri, const tagi_t *tags)
{
	struct leg_large *large = NULL;
	struct target to = leg->c.peer;
	char hop[STACK_URL_SIZE];
	const char *next;
	nta_outgoing_t *orq;

	if (is_too_large(leg, method, request_uri, tags))
		(void)leg_way(leg, &to, can_wait(method) ? &large : NULL);
	/* The macro below looks at its argument three times. */
	next = stack_next_hop(leg->c.sbc->stack, &to, hop, sizeof hop);
	orq = nta_outgoing_tcreate(leg->dialog,
		large != NULL ? leg_large_on_end : fn,
		large != NULL ? (nta_outgoing_magic_t *)large : magic,
		URL_STRING_MAKE(next), method, name,
		request_uri != NULL ? URL_STRING_MAKE(request_uri) : NULL,
		TPTAG_IDENT(
			large != NULL ? IDENT_OF_NOBODY : to.listener->ident),
		TAG_NEXT(tags));
	if (large != NULL)
		leg_large_begin(large, orq, fn, magic);
	return orq;
}

nta_outgoing_t *leg_send_as(struct leg *leg, nta_response_f *fn,
	nta_outgoing_magic_t *magic, sip_method_t method, const char *name,
	const char *request_uri, tag_type_t tag, tag_value_t value, ...)
{
	nta_outgoing_t *orq;
	ta_list ta;

	leg_wake(leg);
	if (leg->dialog == NULL)
		return NULL;
	leg_reach(leg);
	ta_start(ta, tag, value);
	orq = send_tags(leg, fn, magic, method, name, request_uri, ta_args(ta));
	ta_end(ta);
	return orq;
}

nta_outgoing_t *leg_send(struct leg *leg, nta_response_f *fn,
	sip_method_t method, const char *name, const char *request_uri,
	tag_type_t tag, tag_value_t value, ...)
{
	nta_outgoing_t *orq;
	ta_list ta;

	leg_wake(leg);
	if (leg->dialog == NULL)
		return NULL;
	leg_reach(leg);
	ta_start(ta, tag, value);
	orq = send_tags(leg, fn, (nta_outgoing_magic_t *)leg, method, name,
		request_uri, ta_args(ta));
	ta_end(ta);
	return orq;
}

/* The library numbers it anew. */
nta_outgoing_t *leg_send_again(struct leg *leg, nta_outgoing_t *old,
	const struct target *to, nta_response_f *fn,
	nta_outgoing_magic_t *magic, tag_type_t tag, tag_value_t value, ...)
{
	ta_list ta;
	msg_t *request = nta_outgoing_getrequest(old);
	msg_t *msg = request != NULL ? msg_dup(request) : NULL;
	sip_t *sip = msg != NULL ? sip_object(msg) : NULL;
	nta_outgoing_t *orq = NULL;
	char hop[STACK_URL_SIZE];
	int err;

	if (request != NULL)
		msg_destroy(request);
	leg_wake(leg);
	if (sip == NULL || leg->dialog == NULL)
		goto out;
	while (sip->sip_via != NULL)
		sip_header_remove(msg, sip, (sip_header_t *)sip->sip_via);
	ta_start(ta, tag, value);
	err = sip_add_tl(msg, sip, ta_tags(ta));
	ta_end(ta);
	if (err < 0 || nta_msg_request_complete(msg, leg->dialog,
			       sip->sip_request->rq_method,
			       sip->sip_request->rq_method_name, NULL) < 0)
		goto out;
	leg_save_sending(leg);
	orq = nta_outgoing_mcreate(stack_agent(leg->c.sbc->stack), fn, magic,
		URL_STRING_MAKE(
			stack_next_hop(leg->c.sbc->stack, to, hop, sizeof hop)),
		msg, TPTAG_IDENT(to->listener->ident), NTATAG_PASS_100(1),
		TAG_END());
	leg_save_sent(leg);
out:
	if (orq == NULL && msg != NULL)
		msg_destroy(msg);
	return orq;
}
