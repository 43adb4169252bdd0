/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reliable provisional answers (RFC 3262), ours and the peer's.
 *
 * Decides: which of ours are reliable (where the caller requires it), what the
 * PRACK of one stands for (nothing but receipt, receipt of our answer, the
 * answer to our offer, or a new offer), and which of the peer's are new. What
 * is offered and answered is the owner's.
 *
 * A PRACK that fits a provisional comes past the library's dialogs and so past
 * leg.c: here it is sent the same way as any other request of the dialog (who
 * may speak, Require), since its description can move media.
 *
 * Called by leg*.c, and by the owner with provisionals. RFC 3262 3 to 5, RFC
 * 6337 2 and 3.
 */
#include "config.h"

#include "sbc/leg.h"
#include "sbc/leg_save.h"

#include <string.h>

#include <sofia-sip/sip_status.h>
#include <sofia-sip/su_tagarg.h>

#include "common/log.h"
#include "sbc/hdr.h"
#include "sbc/sbc.h"

/* --- server --- */

void leg_rel_from_invite(struct leg *leg, const sip_t *sip)
{
	const char *sdp = NULL;
	size_t len = 0;

	leg->rel_required = sip->sip_require != NULL &&
			    sip_has_feature(sip->sip_require, "100rel");
	leg->offerless =
		hdr_sdp_of(sip, &sdp, &len) == REASON_ADMIT_OK && sdp == NULL;
}

static int on_prack(struct leg *leg, nta_reliable_t *rel, nta_incoming_t *prack,
	const sip_t *sip, enum leg_rel what)
{
	if (prack == NULL || leg->state == LEG_GONE || leg->dialog == NULL) {
		nta_reliable_destroy(rel);
		return 200;
	}
	leg->rel_owed = what;
	/* Unless it is accepted at once the provisional stays known: another
	 * PRACK may come, of the caller itself or with credentials. */
	if (leg_check_source(leg, prack, sip) != LEG_SOURCE_OK)
		return 0;
	nta_reliable_destroy(rel);
	(void)leg_dispatch(leg, prack, sip);
	return 0;
}

static int on_prack_of_nothing(nta_reliable_magic_t *magic, nta_reliable_t *rel,
	nta_incoming_t *prack, const sip_t *sip)
{
	return on_prack((struct leg *)magic, rel, prack, sip, LEG_REL_PLAIN);
}

static int on_prack_of_answer(nta_reliable_magic_t *magic, nta_reliable_t *rel,
	nta_incoming_t *prack, const sip_t *sip)
{
	return on_prack((struct leg *)magic, rel, prack, sip, LEG_REL_ANSWER);
}

static int on_prack_of_offer(nta_reliable_magic_t *magic, nta_reliable_t *rel,
	nta_incoming_t *prack, const sip_t *sip)
{
	return on_prack((struct leg *)magic, rel, prack, sip, LEG_REL_OFFER);
}

static int refuse(struct leg *leg, nta_incoming_t *prack, enum reason why,
	unsigned status)
{
	reason_count(why);
	log_peer_info("change_refused", LOG_CALL(leg->c.call),
		LOG_STR("reason", reason_text(why)),
		LOG_UINT("status", status));
	(void)nta_incoming_treply(prack, (int)status, reason_sip_phrase(status),
		TAG_IF(status == 415, SIPTAG_ACCEPT_STR("application/sdp")),
		TAG_END());
	nta_incoming_destroy(prack);
	return 0;
}

/* RFC 3262 5: an offer, if what came before it is settled. */
static int take_offer(
	struct leg *leg, nta_incoming_t *prack, struct leg_msg *msg)
{
	if (!leg->rel_agreed)
		return refuse(leg, prack, REASON_CALL_PENDING, 488);
	if (leg->change.orq != NULL)
		return refuse(leg, prack, REASON_CALL_GLARE, 491);
	if (leg->change_irq != NULL)
		return refuse(leg, prack, REASON_CALL_PENDING, 500);
	leg->change_irq = prack;
	leg->change_answered = false;
	msg->event = LEG_CHANGE;
	leg_emit(leg, msg);
	return 0;
}

int leg_rel_on_prack(struct leg *leg, nta_incoming_t *prack, const sip_t *sip)
{
	struct leg_msg msg = {.event = LEG_PRACK, .sip = sip};
	enum leg_rel what = leg->rel_owed;

	leg->rel_owed = LEG_REL_NONE;
	if (what == LEG_REL_NONE)
		return refuse(leg, prack, REASON_ADMIT_NO_DIALOG, 481);
	msg.why = leg_body(sip, &msg);
	if (what == LEG_REL_ANSWER)
		leg->rel_agreed = true;
	if (msg.why != REASON_ADMIT_OK)
		return refuse(leg, prack, msg.why, 415);
	if (what == LEG_REL_OFFER) {
		/* Without an answer our 2xx offers once more. */
		leg->rel_agreed = msg.sdp != NULL;
		leg->rel_offered = msg.sdp != NULL;
	} else if (msg.sdp != NULL) {
		return take_offer(leg, prack, &msg);
	}
	leg_emit(leg, &msg);
	(void)nta_incoming_treply(prack, SIP_200_OK, TAG_END());
	nta_incoming_destroy(prack);
	return 0;
}

static void send_reliably(
	struct leg *leg, unsigned status, const char *sdp, const char *lines)
{
	nta_prack_f *fn = sdp == NULL      ? on_prack_of_nothing
			  : leg->offerless ? on_prack_of_offer
					   : on_prack_of_answer;

	if (nta_reliable_treply(leg->invite_irq, fn,
		    (nta_reliable_magic_t *)leg, (int)status,
		    reason_sip_phrase(status), SIPTAG_CONTACT_STR(leg->contact),
		    SIPTAG_ALLOW_STR(STACK_ALLOW),
		    TAG_IF(sdp != NULL,
			    SIPTAG_CONTENT_TYPE_STR("application/sdp")),
		    TAG_IF(sdp != NULL, SIPTAG_PAYLOAD_STR(sdp)),
		    TAG_IF(lines != NULL && *lines != '\0',
			    SIPTAG_HEADER_STR(lines)),
		    TAG_END()) != NULL &&
		sdp != NULL && leg->offerless)
		leg->rel_offered = true;
}

void leg_progress(
	struct leg *leg, unsigned status, const char *sdp, const char *lines)
{
	bool body = sdp != NULL;

	if (!leg->server || leg->invite_irq == NULL ||
		(leg->state != LEG_CALLING && leg->state != LEG_EARLY))
		return;
	leg_set_state(leg, LEG_EARLY);
	if (leg->rel_required) {
		send_reliably(leg, status, sdp, lines);
		return;
	}
	(void)nta_incoming_treply(leg->invite_irq, (int)status,
		reason_sip_phrase(status), SIPTAG_CONTACT_STR(leg->contact),
		SIPTAG_ALLOW_STR(STACK_ALLOW),
		TAG_IF(body, SIPTAG_CONTENT_TYPE_STR("application/sdp")),
		TAG_IF(body, SIPTAG_PAYLOAD_STR(sdp)),
		TAG_IF(lines != NULL && *lines != '\0',
			SIPTAG_HEADER_STR(lines)),
		TAG_END());
}

/* --- client --- */

/* 481 says only that the provisional is no longer waited for. */
static int on_prack_answer(
	nta_outgoing_magic_t *magic, nta_outgoing_t *orq, const sip_t *sip)
{
	struct leg *leg = (struct leg *)magic;
	nta_outgoing_t **slot;

	if (sip != NULL && sip->sip_status->st_status < 200)
		return 0;
	if (leg_auth_take(leg, orq, sip, on_prack_answer))
		return 0;
	slot = leg_auth_slot(leg, orq);
	if (slot != NULL)
		*slot = NULL;
	nta_outgoing_destroy(orq);
	return 0;
}

bool leg_rel_take(struct leg *leg, nta_outgoing_t *orq, const sip_t *sip)
{
	const char *tag = sip->sip_to->a_tag;
	const char *known = nta_leg_get_rtag(leg->dialog);
	nta_outgoing_t *prack, **slot;
	sip_rack_t rack[1];

	if (tag == NULL)
		return false;
	if (known == NULL || strcmp(known, tag) != 0) {
		/* A new early dialog, perhaps of another fork. */
		if (leg_make_dialog(leg, tag, leg->invite_cseq, 0) != 0)
			return false;
		nta_leg_client_route(
			leg->dialog, sip->sip_record_route, sip->sip_contact);
		leg->rel_rseq = 0;
		leg->rel_agreed = false;
	}
	if (leg->rel_rseq != 0 &&
		sip->sip_rseq->rs_response != leg->rel_rseq + 1)
		return false; /* seen before, or one before it is missing */
	sip_rack_init(rack);
	rack->ra_response = sip->sip_rseq->rs_response;
	rack->ra_cseq = nta_outgoing_cseq(orq);
	rack->ra_method = sip_method_invite;
	rack->ra_method_name = sip_method_name_invite;
	/* Without a free place nobody hears its answer: it goes out once. */
	slot = leg_minor_slot(leg);
	prack = leg_send(leg, slot != NULL ? on_prack_answer : NULL,
		SIP_METHOD_PRACK, NULL, SIPTAG_RACK(rack), TAG_END());
	if (prack == NULL)
		return false;
	if (slot != NULL)
		*slot = prack;
	leg->rel_rseq = sip->sip_rseq->rs_response;
	return true;
}
