/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Changes of a session: re-INVITE (RFC 3261 14) once it is up, and UPDATE
 * (RFC 3311), also before the answer, from the peer and from us, one at a time.
 *
 * Decides: whether a change may begin (491 and 500 where it may not), and that
 * a refused change leaves the dialog as it was. What is offered and answered
 * is the owner's. A change without an offer of ours never happens; an UPDATE
 * without SDP only refreshes the session and is answered here.
 */
#include "config.h"

#include "sbc/leg.h"
#include "sbc/leg_save.h"

#include <stdio.h>

#include <sofia-sip/sip_status.h>
#include <sofia-sip/su_tagarg.h>

#include "common/ident.h"
#include "common/log.h"
#include "sbc/sbc.h"

void leg_change_drop(struct leg *leg)
{
	nta_incoming_t *irq = leg->change_irq;

	if (leg->change.orq != NULL) {
		nta_outgoing_t *orq = leg->change.orq;

		if (leg->auth.orq == orq)
			leg_auth_drop(leg);

		/* Its answer is acknowledged by the library (a failure) or
		 * goes under with the dialog. */
		leg->change.orq = NULL;
		leg_large_forget(leg, orq);
		nta_outgoing_bind(orq, NULL, NULL);
		if (nta_outgoing_status(orq) >= 200)
			nta_outgoing_destroy(orq);
	}
	if (irq == NULL)
		return;
	leg->change_irq = NULL;
	nta_incoming_bind(irq, NULL, NULL);
	/* RFC 3261 15.1.2: what is still open in the dialog gets 487. */
	if (nta_incoming_status(irq) < 200)
		(void)nta_incoming_treply(
			irq, SIP_487_REQUEST_CANCELLED, TAG_END());
	nta_incoming_destroy(irq);
}

static int refuse(
	struct leg *leg, nta_incoming_t *irq, enum reason why, unsigned status)
{
	char seconds[4], floor[12];
	bool later = status == 500;

	reason_count(why);
	log_peer_info("change_refused", LOG_CALL(leg->c.call),
		LOG_STR("reason", reason_text(why)),
		LOG_UINT("status", status));
	/* RFC 3261 14.2: a random time up to ten seconds. */
	snprintf(seconds, sizeof seconds, "%d", su_randint(0, 10));
	snprintf(floor, sizeof floor, "%u", (unsigned)leg->c.min_se_s);
	(void)nta_incoming_treply(irq, (int)status, reason_sip_phrase(status),
		TAG_IF(later, SIPTAG_RETRY_AFTER_STR(seconds)),
		TAG_IF(status == 422, SIPTAG_MIN_SE_STR(floor)),
		TAG_IF(status == 415, SIPTAG_ACCEPT_STR("application/sdp")),
		TAG_END());
	nta_incoming_destroy(irq);
	return 0;
}

int leg_on_invite_inside(struct leg *leg, nta_incoming_t *irq, const sip_t *sip)
{
	struct leg_msg msg = {.event = LEG_CHANGE, .sip = sip};

	if (leg->change.orq != NULL)
		return refuse(leg, irq, REASON_CALL_GLARE, 491);
	if (leg->change_irq != NULL && !leg->change_answered)
		return refuse(leg, irq, REASON_CALL_PENDING, 500);
	if (leg->state != LEG_UP || leg->change_irq != NULL)
		return refuse(leg, irq, REASON_CALL_PENDING, 491);
	msg.why = leg_body(sip, &msg);
	if (msg.why != REASON_ADMIT_OK)
		return refuse(leg, irq, msg.why, 415);
	if (leg_interval_too_small(leg, sip))
		return refuse(leg, irq, REASON_CALL_INTERVAL_TOO_SMALL, 422);
	(void)nta_incoming_treply(irq, SIP_100_TRYING, TAG_END());
	nta_leg_server_route(leg->dialog, NULL, sip->sip_contact);
	leg_aim(leg);
	leg_timer_from_request(leg, sip);
	leg->change_irq = irq;
	leg->change_answered = false;
	nta_incoming_bind(irq, leg_on_ack_cancel, (nta_incoming_magic_t *)leg);
	leg_emit(leg, &msg);
	return 0;
}

/* Not answered yet, but both know what was offered and answered. */
static bool is_early(const struct leg *leg)
{
	return leg->state == LEG_EARLY && leg->rel_agreed;
}

int leg_on_update(struct leg *leg, nta_incoming_t *irq, const sip_t *sip)
{
	struct leg_msg msg = {.event = LEG_CHANGE, .sip = sip};
	char timer[LEG_TIMER_TEXT];
	const char *expires;

	msg.why = leg_body(sip, &msg);
	if (msg.why != REASON_ADMIT_OK)
		return refuse(leg, irq, msg.why, 415);
	if (leg_interval_too_small(leg, sip))
		return refuse(leg, irq, REASON_CALL_INTERVAL_TOO_SMALL, 422);
	if (msg.sdp == NULL) {
		nta_leg_server_route(leg->dialog, NULL, sip->sip_contact);
		leg_aim(leg);
		leg_timer_from_request(leg, sip);
		leg_note(leg);
		expires = leg_timer_answer(leg, timer, sizeof timer);
		(void)nta_incoming_treply(irq, SIP_200_OK,
			SIPTAG_CONTACT_STR(leg->contact),
			SIPTAG_ALLOW_STR(STACK_ALLOW),
			TAG_IF(expires != NULL,
				SIPTAG_SESSION_EXPIRES_STR(expires)),
			TAG_END());
		nta_incoming_destroy(irq);
		return 0;
	}
	if (leg->change.orq != NULL)
		return refuse(leg, irq, REASON_CALL_GLARE, 491);
	/* RFC 3311 5.2: an offer while one of the peer is open gets 500, while
	 * one of ours is open 491. */
	if (leg->change_irq != NULL)
		return refuse(leg, irq, REASON_CALL_PENDING, 500);
	if (leg->state != LEG_UP && !is_early(leg))
		return refuse(leg, irq, REASON_CALL_PENDING,
			leg_awaits_answer(leg) ? 500 : 491);
	nta_leg_server_route(leg->dialog, NULL, sip->sip_contact);
	leg_aim(leg);
	leg_timer_from_request(leg, sip);
	leg->change_irq = irq;
	leg->change_answered = false;
	leg_emit(leg, &msg);
	return 0;
}

bool leg_change_is_prack(const struct leg *leg)
{
	return leg->change_irq != NULL &&
	       nta_incoming_method(leg->change_irq) == sip_method_prack;
}

const char *leg_change_offer(const struct leg *leg, size_t *len)
{
	struct leg_msg said = {0};
	msg_t *msg;

	if (leg->change_irq == NULL || leg->change_answered)
		return NULL;
	/* The transaction holds it until it is answered. */
	msg = nta_incoming_getrequest(leg->change_irq);
	(void)leg_body(sip_object(msg), &said);
	msg_destroy(msg);
	*len = said.sdp_len;
	return said.sdp;
}

/* RFC 3262 8: the 200 to PRACK has a description and nothing of a dialog. */
static void accept_prack(struct leg *leg, const char *sdp)
{
	nta_incoming_t *irq = leg->change_irq;

	leg->change_irq = NULL;
	(void)nta_incoming_treply(irq, SIP_200_OK,
		SIPTAG_CONTENT_TYPE_STR("application/sdp"),
		SIPTAG_PAYLOAD_STR(sdp), TAG_END());
	nta_incoming_destroy(irq);
}

void leg_change_accept(struct leg *leg, const char *sdp)
{
	nta_incoming_t *irq = leg->change_irq;
	char timer[LEG_TIMER_TEXT];
	const char *expires;

	if (irq == NULL || leg->change_answered)
		return;
	if (leg_change_is_prack(leg)) {
		accept_prack(leg, sdp);
		return;
	}
	expires = leg_timer_answer(leg, timer, sizeof timer);
	(void)nta_incoming_treply(irq, SIP_200_OK,
		SIPTAG_CONTACT_STR(leg->contact), SIPTAG_ALLOW_STR(STACK_ALLOW),
		SIPTAG_SUPPORTED_STR("timer"),
		TAG_IF(expires != NULL, SIPTAG_SESSION_EXPIRES_STR(expires)),
		TAG_IF(leg_timer_is_uac(leg), SIPTAG_REQUIRE_STR("timer")),
		SIPTAG_CONTENT_TYPE_STR("application/sdp"),
		SIPTAG_PAYLOAD_STR(sdp), TAG_END());
	if (nta_incoming_method(irq) == sip_method_invite) {
		leg->change_answered = true; /* until its ACK */
		return;
	}
	leg->change_irq = NULL;
	nta_incoming_destroy(irq);
}

void leg_change_refuse(struct leg *leg, unsigned status)
{
	nta_incoming_t *irq = leg->change_irq;
	char seconds[4];

	if (irq == NULL || leg->change_answered)
		return;
	leg->change_irq = NULL;
	nta_incoming_bind(irq, NULL, NULL);
	snprintf(seconds, sizeof seconds, "%d", su_randint(0, 10));
	(void)nta_incoming_treply(irq, (int)status, reason_sip_phrase(status),
		TAG_IF(status == 500 || status == 503,
			SIPTAG_RETRY_AFTER_STR(seconds)),
		TAG_END());
	nta_incoming_destroy(irq);
}

static int on_change_answer(
	nta_outgoing_magic_t *magic, nta_outgoing_t *orq, const sip_t *sip)
{
	struct leg *leg = (struct leg *)magic;
	struct leg_msg msg = {.sip = sip};
	uint32_t cseq = nta_outgoing_cseq(orq);

	msg.internal = sip == NULL || nta_sip_is_internal(sip);
	msg.status = sip != NULL ? (unsigned)sip->sip_status->st_status : 408;
	if (msg.status < 200)
		return 0;
	if (leg_auth_take(leg, orq, sip, on_change_answer) ||
		leg_interval_take(leg, orq, sip, on_change_answer))
		return 0;
	leg->change.orq = NULL;
	if (msg.internal)
		msg.sip = NULL;
	if (msg.status < 300) {
		leg_learn_peer(leg, sip);
		nta_leg_client_reroute(leg->dialog, NULL, sip->sip_contact, 0);
		leg_aim(leg);
		if (nta_outgoing_method(orq) == sip_method_invite) {
			leg_send_ack(leg, orq, cseq);
			leg_timer_from_answer(leg, sip);
		}
		msg.why = leg_body(sip, &msg);
		msg.event = LEG_CHANGE_DONE;
	} else if ((msg.status == 481 || msg.status == 408) &&
		   leg->state == LEG_UP) {
		msg.event = LEG_LOST; /* RFC 3261 12.2.1.2 */
	} else {
		msg.event = LEG_CHANGE_FAILED;
	}
	leg_emit(leg, &msg);
	leg_wipe_bodies(orq);
	nta_outgoing_destroy(orq);
	return 0;
}

bool leg_can_change(const struct leg *leg)
{
	return (leg->state == LEG_UP ||
		       (is_early(leg) && leg->update_allowed)) &&
	       leg->change.orq == NULL && leg->change_irq == NULL;
}

/* Before the answer only UPDATE can offer; it has no place in the restart
 * state, since a call that is not up does not outlive the process. */
static int send_update(struct leg *leg, const char *sdp)
{
	leg->change.method = sip_method_update;
	leg->change.orq = leg_send(leg, on_change_answer, SIP_METHOD_UPDATE,
		NULL, SIPTAG_CONTACT_STR(leg->contact),
		SIPTAG_ALLOW_STR(STACK_ALLOW), SIPTAG_SUPPORTED_STR("timer"),
		SIPTAG_CONTENT_TYPE_STR("application/sdp"),
		SIPTAG_PAYLOAD_STR(sdp), TAG_END());
	return leg->change.orq != NULL ? 0 : ERR_NOMEM;
}

int leg_change(struct leg *leg, const char *sdp)
{
	char timer[LEG_TIMER_TEXT];
	const char *expires;

	if (!leg_can_change(leg))
		return ERR_STATE;
	leg->se_raised = false;
	if (leg->state == LEG_EARLY)
		return send_update(leg, sdp);
	expires = leg_timer_request(leg, timer, sizeof timer);
	leg->change.method = sip_method_invite;
	leg->change.sending = true;
	leg_save_sending(leg);
	leg->change.orq = leg_send(leg, on_change_answer, SIP_METHOD_INVITE,
		NULL, SIPTAG_CONTACT_STR(leg->contact),
		SIPTAG_ALLOW_STR(STACK_ALLOW), SIPTAG_SUPPORTED_STR("timer"),
		TAG_IF(expires != NULL, SIPTAG_SESSION_EXPIRES_STR(expires)),
		SIPTAG_CONTENT_TYPE_STR("application/sdp"),
		SIPTAG_PAYLOAD_STR(sdp), TAG_END());
	leg_save_sent(leg);
	leg->change.sending = false;
	return leg->change.orq != NULL ? 0 : ERR_NOMEM;
}
