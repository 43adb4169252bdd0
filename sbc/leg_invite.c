/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The INVITE that makes a leg: as the server (a caller's INVITE has come) and
 * as the client (we call somebody). RFC 3261 13 and 14.
 *
 * Decides: when a 2xx is acknowledged, when a leg is cancelled or ended. Passes
 * everything on as events; provisional answers are leg_rel.c's, leg.c has the
 * rest of the dialog.
 */
#include "config.h"

#include "sbc/leg.h"
#include "sbc/leg_save.h"

#include <stdio.h>
#include <string.h>

#include <sofia-sip/sip_status.h>
#include <sofia-sip/su_tagarg.h>

#include "common/ident.h"
#include "common/log.h"
#include "sbc/merge.h"
#include "sbc/sbc.h"
#include "sbc/trunk.h"

#define CALL_ID_RANDOM 26 /* characters: 130 bits */

struct leg *leg_alloc(const struct leg_config *config, bool server)
{
	struct leg *leg = su_zalloc(config->home, sizeof *leg);

	if (leg == NULL)
		return NULL;
	leg->c = *config;
	if (leg->c.account != NULL)
		leg->c.account = account_ref(leg->c.account);
	leg->server = server;
	ident_make_random(leg->local_tag, LEG_TAG_SIZE - 1);
	return leg;
}

/* In one piece: a held call has few blocks of memory. */
int leg_keep_texts(struct leg *leg, const char *call_id, const char *contact,
	const char *local, const char *remote)
{
	const char *texts[] = {call_id, contact, local, remote};
	const char **fields[] = {
		&leg->call_id, &leg->contact, &leg->local, &leg->remote};
	size_t len = 0;

	for (size_t i = 0; i < 4; i++) {
		if (texts[i] == NULL)
			return ERR_NOMEM;
		len += strlen(texts[i]) + 1;
	}
	leg->names = su_alloc(leg->c.home, (isize_t)len);
	if (leg->names == NULL)
		return ERR_NOMEM;
	len = 0;
	for (size_t i = 0; i < 4; i++) {
		size_t n = strlen(texts[i]) + 1;

		*fields[i] = memcpy(leg->names + len, texts[i], n);
		len += n;
	}
	return 0;
}

/* @return 0, ERR_NOMEM, or ERR_TOO_BIG for our own Contact. */
static int keep_names(struct leg *leg, const char *call_id, const char *local,
	const char *remote)
{
	char url[STACK_URL_SIZE], contact[STACK_URL_SIZE + 2];
	int err = leg->c.trunk != NULL
			  ? trunk_contact(leg->c.trunk, leg->c.peer.listener,
				    leg->c.user, url, sizeof url)
			  : stack_contact(leg->c.peer.listener, leg->c.user,
				    url, sizeof url);

	if (err != 0)
		return err;
	snprintf(contact, sizeof contact, "<%s>", url);
	return leg_keep_texts(leg, call_id, contact, local, remote);
}

static bool contact_is_usable(const sip_contact_t *m)
{
	if (m == NULL || m->m_next != NULL || m->m_url->url_host == NULL)
		return false;
	return m->m_url->url_type == url_sip || m->m_url->url_type == url_sips;
}

/* From or To of later requests: the URI is what counts in a dialog. */
static char *bare_address(su_home_t *home, const url_t *url)
{
	char *text = url_as_string(home, url);
	char *address = text != NULL ? su_sprintf(home, "<%s>", text) : NULL;

	su_free(home, text);
	return address;
}

/* What every server leg has, whatever the request was. */
static int make_server(const struct leg_config *config, nta_incoming_t *irq,
	const sip_t *sip, struct leg **leg_out)
{
	su_home_t home[1] = {SU_HOME_INIT(home)};
	struct leg *leg;
	int err;

	if (!contact_is_usable(sip->sip_contact) ||
		sip->sip_from->a_tag == NULL)
		return ERR_INVALID;
	leg = leg_alloc(config, true);
	if (leg == NULL)
		return ERR_NOMEM;
	leg->invite_cseq = sip->sip_cseq->cs_seq;
	su_home_init(home);
	err = keep_names(leg, sip->sip_call_id->i_id,
		bare_address(home, sip->sip_to->a_url),
		bare_address(home, sip->sip_from->a_url));
	su_home_deinit(home);
	if (err != 0 ||
		leg_make_dialog(leg, sip->sip_from->a_tag, 0,
			sip->sip_cseq->cs_seq) != 0 ||
		nta_incoming_tag(irq, leg->local_tag) == NULL) {
		leg_free(&leg);
		return ERR_NOMEM;
	}
	nta_leg_server_route(
		leg->dialog, sip->sip_record_route, sip->sip_contact);
	leg_learn_peer(leg, sip);
	leg_aim(leg);
	*leg_out = leg;
	return 0;
}

int leg_new_server(const struct leg_config *config, nta_incoming_t *irq,
	const sip_t *sip, struct leg **leg_out)
{
	struct leg *leg;
	int err = make_server(config, irq, sip, &leg);

	if (err != 0)
		return err;
	leg_rel_from_invite(leg, sip);
	leg_timer_from_request(leg, sip);
	leg->invite_irq = irq;
	leg->invite_text = leg_save_text(leg, sip);
	leg->state = LEG_CALLING;
	nta_incoming_bind(irq, leg_on_ack_cancel, (nta_incoming_magic_t *)leg);
	*leg_out = leg;
	return 0;
}

int leg_new_dialog(const struct leg_config *config, nta_incoming_t *irq,
	const sip_t *sip, struct leg **leg_out)
{
	int err = make_server(config, irq, sip, leg_out);

	if (err == 0)
		leg_set_state(*leg_out, LEG_UP);
	return err;
}

int leg_new_client(const struct leg_config *config, const char *from,
	const char *to, struct leg **leg_out)
{
	char random[CALL_ID_RANDOM + 1], call_id[CALL_ID_RANDOM + 4];
	struct leg *leg = leg_alloc(config, false);

	if (leg == NULL)
		return ERR_NOMEM;
	ident_make_random(random, CALL_ID_RANDOM);
	/* The worker's number leads, for steering by Call-ID later on. */
	snprintf(call_id, sizeof call_id, "w0-%s", random);
	if (keep_names(leg, call_id, from, to) != 0 ||
		leg_make_dialog(leg, NULL, 0, 0) != 0) {
		leg_free(&leg);
		return ERR_NOMEM;
	}
	*leg_out = leg;
	return 0;
}

/* --- server --- */

int leg_accept(struct leg *leg, const char *sdp, const char *lines)
{
	char timer[LEG_TIMER_TEXT];
	const char *expires;
	/* RFC 3261 13.2.1: what a reliable provisional has settled, or has
	 * offered, is not said again. */
	bool body = !leg->rel_agreed && !leg->rel_offered;

	if (!leg->server || leg->invite_irq == NULL ||
		(leg->state != LEG_CALLING && leg->state != LEG_EARLY))
		return ERR_STATE;
	expires = leg_timer_answer(leg, timer, sizeof timer);
	leg_set_state(leg, LEG_ANSWERED);
	(void)nta_incoming_treply(leg->invite_irq, SIP_200_OK,
		SIPTAG_CONTACT_STR(leg->contact), SIPTAG_ALLOW_STR(STACK_ALLOW),
		SIPTAG_SUPPORTED_STR("timer"),
		TAG_IF(expires != NULL, SIPTAG_SESSION_EXPIRES_STR(expires)),
		TAG_IF(leg_timer_is_uac(leg), SIPTAG_REQUIRE_STR("timer")),
		TAG_IF(body, SIPTAG_CONTENT_TYPE_STR("application/sdp")),
		TAG_IF(body, SIPTAG_PAYLOAD_STR(sdp)),
		TAG_IF(lines != NULL && *lines != '\0',
			SIPTAG_HEADER_STR(lines)),
		TAG_END());
	return 0;
}

void leg_refuse(struct leg *leg, unsigned status, const char *lines)
{
	nta_incoming_t *irq = leg->invite_irq;
	char seconds[12];

	if (irq == NULL ||
		(leg->state != LEG_CALLING && leg->state != LEG_EARLY))
		return;
	leg_retry_after(leg, seconds, sizeof seconds);
	leg->invite_irq = NULL;
	nta_incoming_bind(irq, NULL, NULL);
	(void)nta_incoming_treply(irq, (int)status, reason_sip_phrase(status),
		TAG_IF(status == 405, SIPTAG_ALLOW_STR(STACK_ALLOW)),
		/* A refusal that is ours and passes says when to come back. */
		TAG_IF(status == 503, SIPTAG_RETRY_AFTER_STR(seconds)),
		TAG_IF(lines != NULL && *lines != '\0',
			SIPTAG_HEADER_STR(lines)),
		TAG_END());
	/* The library repeats it and takes its ACK without us. */
	nta_incoming_destroy(irq);
	leg_close(leg);
}

static void server_acked(
	struct leg *leg, nta_incoming_t *irq, struct leg_msg *msg)
{
	if (irq == leg->change_irq) {
		leg->change_irq = NULL;
		leg->change_answered = false;
		nta_incoming_bind(irq, NULL, NULL);
		msg->event = LEG_CHANGE_ACK;
		leg_emit(leg, msg);
		nta_incoming_destroy(irq);
		return;
	}
	leg->invite_irq = NULL;
	leg_save_answered(leg);
	nta_incoming_bind(irq, NULL, NULL);
	if (leg->owes_bye) {
		leg_send_bye(leg);
	} else if (leg->state == LEG_ANSWERED) {
		leg_set_state(leg, LEG_UP);
		leg_timer_run(leg);
		msg->event = LEG_ACK;
		leg_emit(leg, msg);
	}
	nta_incoming_destroy(irq);
}

/* 64*T1 passed without an ACK, or a reliable provisional without PRACK, or an
 * answer could not be sent. */
static void server_timed_out(struct leg *leg, nta_incoming_t *irq)
{
	struct leg_msg msg = {.event = LEG_NO_ACK, .internal = true};
	bool answered = nta_incoming_status(irq) >= 200;

	if (irq == leg->change_irq) {
		leg->change_irq = NULL;
		leg->change_answered = false;
		nta_incoming_bind(irq, NULL, NULL);
		nta_incoming_destroy(irq);
		msg.event = LEG_LOST;
		leg_emit(leg, &msg);
		return;
	}
	if (irq != leg->invite_irq)
		return;
	if (!answered &&
		(leg->state == LEG_CALLING || leg->state == LEG_EARLY)) {
		leg_refuse(leg, 500, NULL);
		msg.event = LEG_CANCEL;
		leg_emit(leg, &msg);
		return;
	}
	leg->invite_irq = NULL;
	nta_incoming_bind(irq, NULL, NULL);
	nta_incoming_destroy(irq);
	if (!answered) {
		/* Our 200 waited for a PRACK that never came, or could not be
		 * sent: the library refuses the INVITE, there is no dialog. */
		leg_close(leg);
		leg_emit(leg, &msg);
		return;
	}
	/* RFC 3261 13.3.1.4: the dialog is confirmed, but ended with BYE. */
	leg_send_bye(leg);
	leg_emit(leg, &msg);
}

int leg_on_ack_cancel(
	nta_incoming_magic_t *magic, nta_incoming_t *irq, const sip_t *sip)
{
	struct leg *leg = (struct leg *)magic;
	struct leg_msg msg = {.sip = sip};

	if (sip == NULL) {
		server_timed_out(leg, irq);
		return 0;
	}
	/* Neither can be challenged: the source decides (rule 1). */
	if (!leg_accepts_message(leg, irq, sip)) {
		reason_count(REASON_ADMIT_DIALOG_SOURCE);
		log_peer_info("ack_or_cancel_refused", LOG_CALL(leg->c.call),
			LOG_STR("method", sip->sip_request->rq_method_name),
			LOG_STR("reason",
				reason_text(REASON_ADMIT_DIALOG_SOURCE)));
		return 0;
	}
	if (sip->sip_request->rq_method == sip_method_ack) {
		msg.why = leg_body(sip, &msg);
		server_acked(leg, irq, &msg);
		return 0;
	}
	if (sip->sip_request->rq_method != sip_method_cancel)
		return 0;
	if (irq == leg->change_irq && !leg->change_answered) {
		leg_change_refuse(leg, 487);
		return 0;
	}
	if (irq != leg->invite_irq)
		return 0;
	msg.event = LEG_CANCEL;
	leg_refuse(leg, 487, NULL);
	leg_emit(leg, &msg);
	return 0;
}

/* --- client --- */

static void client_answered(struct leg *leg, nta_outgoing_t *orq,
	const sip_t *sip, struct leg_msg *msg)
{
	const char *tag = sip->sip_to->a_tag;
	const char *known = nta_leg_get_rtag(leg->dialog);
	uint32_t cseq = nta_outgoing_cseq(orq);
	bool wanted = leg->state == LEG_CALLING || leg->state == LEG_EARLY;
	int err = 0;

	if (tag == NULL)
		tag = ""; /* RFC 2543 peers */
	if (known == NULL && *tag != '\0') {
		if (nta_leg_rtag(leg->dialog, tag) == NULL)
			err = ERR_NOMEM;
	} else if (known != NULL && strcmp(known, tag) != 0) {
		err = leg_make_dialog(
			leg, tag, nta_leg_get_seq(leg->dialog), 0);
	}
	if (err == 0)
		nta_leg_client_reroute(leg->dialog, sip->sip_record_route,
			sip->sip_contact, 1);
	leg_aim(leg);
	/* With our ACK the peer is in a dialog that only BYE can end: this has
	 * to be known before it leaves. */
	leg->invite_orq = NULL;
	leg_save_answered(leg);
	if (wanted && err == 0)
		leg_set_state(leg, LEG_UP);
	leg_note(leg);
	leg_send_ack(leg, orq, cseq);
	if (!wanted || err != 0) {
		/* It crossed our CANCEL. */
		leg_send_bye(leg);
		if (err == 0)
			return;
		msg->event = LEG_FAILURE;
		msg->status = 500;
		msg->internal = true;
		leg_emit(leg, msg);
		return;
	}
	leg_timer_from_answer(leg, sip);
	msg->event = LEG_ANSWER;
	leg_emit(leg, msg);
}

/* Not one of another fork. */
static bool is_known_dialog(const struct leg *leg, const sip_t *sip)
{
	const char *known = nta_leg_get_rtag(leg->dialog);

	return known != NULL && sip->sip_to->a_tag != NULL &&
	       strcmp(known, sip->sip_to->a_tag) == 0;
}

int leg_on_invite_answer(
	nta_outgoing_magic_t *magic, nta_outgoing_t *orq, const sip_t *sip)
{
	struct leg *leg = (struct leg *)magic;
	struct leg_msg msg = {.sip = sip};
	bool cancelled = leg->state == LEG_CANCELLING, reliable;

	msg.internal = sip == NULL || nta_sip_is_internal(sip);
	msg.status = sip != NULL ? (unsigned)sip->sip_status->st_status : 408;
	if (msg.internal)
		msg.sip = NULL;
	else
		leg_learn_peer(leg, sip);
	if (msg.status < 200) {
		leg->provisional = true;
		if (cancelled || msg.status == 100)
			return 0;
		reliable = sip->sip_rseq != NULL && sip->sip_require != NULL &&
			   sip_has_feature(sip->sip_require, "100rel");
		if (reliable && !leg_rel_take(leg, orq, sip))
			return 0;
		leg_set_state(leg, LEG_EARLY);
		msg.why = leg_body(sip, &msg);
		if (leg->rel_agreed && is_known_dialog(leg, sip))
			msg.sdp = NULL; /* said before: RFC 3261 13.2.1 */
		else if (reliable && msg.sdp != NULL)
			leg->rel_agreed = true;
		msg.event = LEG_PROGRESS;
		leg_emit(leg, &msg);
		return 0;
	}
	if (msg.status < 300) {
		msg.why = leg_body(sip, &msg);
		client_answered(leg, orq, sip, &msg);
		leg_wipe_bodies(orq);
		nta_outgoing_destroy(orq);
		return 0;
	}
	if (!cancelled &&
		(leg_auth_take(leg, orq, msg.sip, leg_on_invite_answer) ||
			leg_interval_take(
				leg, orq, msg.sip, leg_on_invite_answer)))
		return 0;
	leg->invite_orq = NULL;
	leg_close(leg);
	msg.event = cancelled ? LEG_ENDED : LEG_FAILURE;
	leg_emit(leg, &msg);
	leg_wipe_bodies(orq);
	nta_outgoing_destroy(orq);
	return 0;
}

/* So that it is known if it comes back. */
static void note_sent(struct leg *leg)
{
	msg_t *msg = nta_outgoing_getrequest(leg->invite_orq);
	const sip_t *sip = sip_object(msg);

	if (sip != NULL)
		merge_note_sent(stack_merges(leg->c.sbc->stack), leg->call_id,
			leg->local_tag, sip->sip_request->rq_url->url_user);
	msg_destroy(msg);
}

int leg_invite(struct leg *leg, const char *request_uri, const char *sdp,
	const char *lines, unsigned max_forwards)
{
	char timer[LEG_TIMER_TEXT], forwards[12];
	const char *expires = leg_timer_request(leg, timer, sizeof timer);

	snprintf(forwards, sizeof forwards, "%u", max_forwards);
	leg_set_state(leg, LEG_CALLING);
	leg_save_sending(leg);
	leg->invite_orq = leg_send(leg, leg_on_invite_answer, SIP_METHOD_INVITE,
		request_uri, SIPTAG_MAX_FORWARDS_STR(forwards),
		TAG_IF(leg->c.route != NULL && *leg->c.route != '\0',
			SIPTAG_ROUTE_STR(leg->c.route)),
		SIPTAG_CONTACT_STR(leg->contact), SIPTAG_ALLOW_STR(STACK_ALLOW),
		SIPTAG_SUPPORTED_STR("timer, 100rel"),
		TAG_IF(expires != NULL, SIPTAG_SESSION_EXPIRES_STR(expires)),
		SIPTAG_CONTENT_TYPE_STR(leg->c.body_type != NULL
						? leg->c.body_type
						: "application/sdp"),
		SIPTAG_PAYLOAD_STR(sdp),
		TAG_IF(lines != NULL && *lines != '\0',
			SIPTAG_HEADER_STR(lines)),
		NTATAG_PASS_100(1), TAG_END());
	leg_save_sent(leg);
	if (leg->invite_orq == NULL) {
		leg_set_state(leg, LEG_NEW);
		return ERR_NOMEM;
	}
	leg->invite_cseq = nta_outgoing_cseq(leg->invite_orq);
	note_sent(leg);
	return 0;
}
