/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests that go out a second time, with the next CSeq, in the place of the
 * first one.
 *
 * A trunk asks for credentials in the middle of a call: for our INVITE, PRACK,
 * re-INVITE, UPDATE, INFO, MESSAGE or BYE (RFC 3261 22.2 and 22.3). authd makes
 * the answer, or refuses where the challenge does not come from the trunk that
 * the credentials are for. A peer finds our session interval too small (422):
 * it gets what it wants at least.
 *
 * Decides: that one answer is tried per request, one request at a time, and
 * never to a phone or PBX without a trunk's credentials. Called by the answer
 * callbacks of leg*.c.
 */
#include "config.h"

#include "sbc/leg.h"
#include "sbc/leg_save.h"

#include <stdio.h>

#include <sofia-sip/msg_addr.h>
#include <sofia-sip/su_tagarg.h>
#include <sofia-sip/tport_tag.h>

#include "common/log.h"
#include "sbc/sbc.h"
#include "sbc/trunk.h"
#include "sbc/trunk_inner.h"

#define LINE_SIZE 1200

nta_outgoing_t **leg_auth_slot(struct leg *leg, nta_outgoing_t *orq)
{
	struct leg_text *text;

	if (leg->invite_orq == orq)
		return &leg->invite_orq;
	if (leg->change.orq == orq)
		return &leg->change.orq;
	if (leg->bye_orq == orq)
		return &leg->bye_orq;
	for (size_t i = 0; i < LEG_MINORS_MAX; i++) {
		if (leg->minors[i] == orq)
			return &leg->minors[i];
	}
	LIST_FOREACH (text, &leg->texts, link) {
		if (text->orq == orq)
			return &text->orq;
	}
	return NULL;
}

void leg_auth_drop(struct leg *leg)
{
	if (leg->auth.query != NULL)
		trunk_auth_cancel(&leg->auth.query);
	leg->auth.orq = leg->auth.next = NULL;
}

/* A request that was answered, and whose answer asks for another one. */
static nta_outgoing_t *send_again(struct leg *leg, nta_outgoing_t *old,
	nta_response_f *fn, nta_outgoing_magic_t *magic, tag_type_t tag,
	tag_value_t value, ...)
{
	struct target to = leg->c.peer;
	msg_t *request = nta_outgoing_getrequest(old);
	const sip_t *sip = request != NULL ? sip_object(request) : NULL;
	nta_outgoing_t *orq;
	ta_list ta;

	/* What went over a connection for its size does so again. */
	if (sip != NULL && sip->sip_via != NULL &&
		su_casematch(sip->sip_via->v_protocol, sip_transport_tcp))
		(void)leg_way(leg, &to, NULL);
	if (request != NULL)
		msg_destroy(request);
	ta_start(ta, tag, value);
	orq = leg_send_again(leg, old, &to, fn, magic, ta_tags(ta));
	ta_end(ta);
	return orq;
}

static void replace(struct leg *leg, nta_outgoing_t **slot, nta_outgoing_t *orq)
{
	nta_outgoing_t *old = *slot;

	*slot = orq;
	if (slot == &leg->invite_orq)
		leg->invite_cseq = nta_outgoing_cseq(orq);
	nta_outgoing_destroy(old);
}

/* The answer that a request got is judged once more. */
static void hear_again(
	nta_outgoing_t *orq, nta_response_f *fn, nta_outgoing_magic_t *magic)
{
	msg_t *response = nta_outgoing_getresponse(orq);

	fn(magic, orq, sip_object(response));
	msg_destroy(response);
}

/* Whose turn comes after this one. */
static void go_on(struct leg *leg)
{
	nta_outgoing_t *orq = leg->auth.next;

	leg->auth.next = NULL;
	if (orq != NULL && leg_auth_slot(leg, orq) != NULL)
		hear_again(orq, leg->auth.next_fn, leg->auth.next_magic);
}

static void on_answer_made(void *ctx, const char *header, enum reason why)
{
	struct leg *leg = ctx;
	nta_outgoing_t *old = leg->auth.orq, *orq = NULL;
	nta_outgoing_t **slot = leg_auth_slot(leg, old);
	nta_response_f *fn = leg->auth.fn;
	nta_outgoing_magic_t *magic = leg->auth.magic;
	bool proxy = leg->auth_proxy;
	char line[LINE_SIZE];

	leg->auth.query = NULL;
	leg->auth.orq = NULL;
	if (slot == NULL) {
		go_on(leg);
		return;
	}
	if (header != NULL &&
		snprintf(line, sizeof line, "%s: %s",
			proxy ? "Proxy-Authorization" : "Authorization",
			header) < (int)sizeof line)
		orq = send_again(leg, old, fn, magic,
			/* An answer to an older nonce goes. */
			TAG_IF(proxy, SIPTAG_PROXY_AUTHORIZATION(SIP_NONE)),
			TAG_IF(!proxy, SIPTAG_AUTHORIZATION(SIP_NONE)),
			SIPTAG_HEADER_STR(line), TAG_END());
	if (orq != NULL) {
		replace(leg, slot, orq);
		go_on(leg);
		return;
	}
	reason_count(why);
	log_peer_info("challenge_not_answered", LOG_CALL(leg->c.call),
		LOG_STR("reason", reason_text(why)));
	/* The refusal stands as it came; what waits is let go of with it if it
	 * ends the leg. */
	leg->auth.refused = old;
	hear_again(old, fn, magic);
	leg->auth.refused = NULL;
	go_on(leg);
}

/* Does the request have an answer to such a challenge already? */
static bool is_answered(const sip_t *request, bool proxy)
{
	return proxy ? request->sip_proxy_authorization != NULL
		     : request->sip_authorization != NULL;
}

static int ask(struct leg *leg, const sip_t *request, const char *challenge)
{
	char *uri = url_as_string(leg->c.home, request->sip_request->rq_url);
	int err = uri == NULL
			  ? ERR_NOMEM
			  : trunk_auth_ask(leg->c.trunks, leg->c.trunk->row->id,
				    &leg->c.peer.addr, challenge,
				    request->sip_request->rq_method_name, uri,
				    leg->c.surrogate, on_answer_made, leg,
				    &leg->auth.query);

	su_free(leg->c.home, uri);
	return err;
}

bool leg_auth_take(struct leg *leg, nta_outgoing_t *orq, const sip_t *sip,
	nta_response_f *fn)
{
	return leg_auth_take_as(leg, orq, sip, fn, (nta_outgoing_magic_t *)leg);
}

bool leg_auth_take_as(struct leg *leg, nta_outgoing_t *orq, const sip_t *sip,
	nta_response_f *fn, nta_outgoing_magic_t *magic)
{
	bool proxy = sip != NULL && sip->sip_status->st_status == 407;
	const msg_auth_t *au;
	char text[LINE_SIZE];
	bool answered;
	msg_t *msg;
	int err = ERR_REFUSED;

	if (leg->c.trunks == NULL || leg->c.trunk == NULL || sip == NULL ||
		orq == leg->auth.refused ||
		(sip->sip_status->st_status != 401 && !proxy))
		return false;
	au = proxy ? sip->sip_proxy_authenticate : sip->sip_www_authenticate;
	if (au == NULL || trunk_challenge_text(au, text, sizeof text) != 0)
		return false;
	if (leg->auth.orq != NULL) {
		if (leg->auth.next != NULL)
			return false;
		leg->auth.next = orq;
		leg->auth.next_fn = fn;
		leg->auth.next_magic = magic;
		return true;
	}
	msg = nta_outgoing_getrequest(orq);
	answered = is_answered(sip_object(msg), proxy);
	/* One answer, and one more where only the nonce was too old. */
	if (!answered || (!leg->auth_stale && trunk_challenge_is_stale(au))) {
		leg->auth_stale = answered;
		err = ask(leg, sip_object(msg), text);
	}
	msg_destroy(msg);
	if (err != 0) {
		if (err != ERR_REFUSED)
			log_peer_info("challenge_not_answered",
				LOG_CALL(leg->c.call), LOG_ERR(err));
		return false;
	}
	leg->auth_proxy = proxy;
	leg->auth.orq = orq;
	leg->auth.fn = fn;
	leg->auth.magic = magic;
	return true;
}

bool leg_interval_take(struct leg *leg, nta_outgoing_t *orq, const sip_t *sip,
	nta_response_f *fn)
{
	nta_outgoing_t **slot = leg_auth_slot(leg, orq), *again;
	char text[LEG_TIMER_TEXT], floor[12];

	if (sip == NULL || sip->sip_status->st_status != 422 ||
		sip->sip_min_se == NULL || leg->se_raised || slot == NULL ||
		sip->sip_min_se->min_delta > LEG_INTERVAL_MAX_S)
		return false;
	leg->se_raised = true;
	leg->se_interval_s = (uint32_t)sip->sip_min_se->min_delta;
	snprintf(floor, sizeof floor, "%u", (unsigned)leg->se_interval_s);
	again = send_again(leg, orq, fn, (nta_outgoing_magic_t *)leg,
		/* SIP_NONE takes the old values out first. */
		SIPTAG_SESSION_EXPIRES(SIP_NONE), SIPTAG_MIN_SE(SIP_NONE),
		SIPTAG_SESSION_EXPIRES_STR(
			leg_timer_request(leg, text, sizeof text)),
		SIPTAG_MIN_SE_STR(floor), TAG_END());
	if (again == NULL)
		return false;
	replace(leg, slot, again);
	return true;
}
