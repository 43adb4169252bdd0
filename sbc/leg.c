/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The life of one dialog: making it, what arrives inside it, ending it. The
 * first INVITE is in leg_invite.c, later offers in leg_change.c, the question
 * who may speak in leg_source.c, session timers in leg_timer.c.
 *
 * Decides: which request inside a dialog is answered how. Does not decide what
 * a call makes of it: that is the owner's, told by events.
 *
 * Traps of the library that are met here:
 *  - An ACK whose INVITE transaction is gone aborts the process unless the
 *    branch is given: every ACK names it (NTATAG_ACK_BRANCH).
 *  - A transaction must not be destroyed while its answer matters: destroying
 *    an INVITE without a final answer forgets it without CANCEL, and nobody
 *    acknowledges what still comes. leg_abandon() lets it run out instead.
 *  - A dialog made without its own tag would also match requests without a To
 *    tag: both sides' tags are in the addresses from the beginning.
 *  - A 2xx of a further fork is acknowledged and ended by the library itself,
 *    at whatever host the answer's Contact names. nta_msg_ackbye() is
 *    therefore ours (the library calls it through its PLT).
 */
#include "config.h"

#include "sbc/leg.h"
#include "sbc/leg_save.h"
#include "sbc/leg_sleep.h"

#include <stdio.h>
#include <string.h>

#include <sofia-sip/sip_status.h>
#include <sofia-sip/su_tagarg.h>
#include <sofia-sip/tport.h>
#include <sofia-sip/tport_tag.h>

#include "common/ident.h"
#include "common/log.h"
#include "common/secret.h"
#include "sbc/hdr.h"
#include "sbc/message.h"
#include "sbc/sbc.h"
#include "sbc/sdp.h"

static const char *const state_names[] = {
	[LEG_NEW] = "new",
	[LEG_CALLING] = "calling",
	[LEG_EARLY] = "early",
	[LEG_ANSWERED] = "answered",
	[LEG_UP] = "up",
	[LEG_CANCELLING] = "cancelling",
	[LEG_ENDING] = "ending",
	[LEG_GONE] = "gone",
};
_Static_assert(sizeof state_names / sizeof *state_names == LEG_STATE_COUNT,
	"each state has a name");

static const char *const event_names[] = {
	[LEG_PROGRESS] = "progress",
	[LEG_ANSWER] = "answer",
	[LEG_FAILURE] = "failure",
	[LEG_CANCEL] = "cancel",
	[LEG_ACK] = "ack",
	[LEG_NO_ACK] = "no_ack",
	[LEG_PRACK] = "prack",
	[LEG_CHANGE] = "change",
	[LEG_CHANGE_ACK] = "change_ack",
	[LEG_CHANGE_DONE] = "change_done",
	[LEG_CHANGE_FAILED] = "change_failed",
	[LEG_INFO] = "info",
	[LEG_BYE] = "bye",
	[LEG_LOST] = "lost",
	[LEG_REFRESH] = "refresh",
	[LEG_EXPIRED] = "expired",
	[LEG_MOVED] = "moved",
	[LEG_ENDED] = "ended",
	[LEG_SAVE] = "save",
};
_Static_assert(sizeof event_names / sizeof *event_names == LEG_EVENT_COUNT,
	"each event has a name");

const char *leg_state_name(enum leg_state s)
{
	return (unsigned)s < LEG_STATE_COUNT ? state_names[s] : "?";
}

const char *leg_event_name(enum leg_event e)
{
	return (unsigned)e < LEG_EVENT_COUNT ? event_names[e] : "?";
}

void leg_set_state(struct leg *leg, enum leg_state state)
{
	if (leg->state == state)
		return;
	log_debug("leg_state", LOG_CALL(leg->c.call),
		LOG_STR("role", leg->server ? "server" : "client"),
		LOG_STR("old", leg_state_name(leg->state)),
		LOG_STR("new", leg_state_name(state)));
	leg->state = state;
}

void leg_emit(struct leg *leg, const struct leg_msg *msg)
{
	leg->c.on_event(leg->c.ctx, leg, msg);
}

void leg_note(struct leg *leg)
{
	static const struct leg_msg msg = {.event = LEG_SAVE};

	leg_emit(leg, &msg);
}

const char *leg_retry_after(const struct leg *leg, char *text, size_t size)
{
	const struct settings *s = leg->c.sbc->settings;

	snprintf(text, size, "%u",
		s != NULL ? (unsigned)settings_number(
				    s, "retry_after_s", 5, 1, 600)
			  : 5u);
	return text;
}

static int on_request(nta_leg_magic_t *magic, nta_leg_t *dialog,
	nta_incoming_t *irq, const sip_t *sip)
{
	(void)dialog;
	return leg_on_request((struct leg *)magic, irq, sip);
}

int leg_on_request(struct leg *leg, nta_incoming_t *irq, const sip_t *sip)
{
	enum leg_verdict verdict;

	/* An ACK that no transaction wanted: a repetition. */
	if (sip->sip_request->rq_method == sip_method_ack)
		return 200;
	if (leg->state == LEG_GONE || leg->dialog == NULL)
		return 481;
	verdict = leg_check_source(leg, irq, sip);
	if (verdict == LEG_SOURCE_OK)
		return leg_dispatch(leg, irq, sip);
	return 0;
}

struct leg *leg_of_dialog(nta_leg_t *dialog)
{
	return (struct leg *)nta_leg_magic(dialog, on_request);
}

int leg_make_dialog(struct leg *leg, const char *remote_tag,
	uint32_t local_cseq, uint32_t remote_cseq)
{
	su_home_t home[1] = {SU_HOME_INIT(home)};
	nta_leg_t *dialog = NULL;
	sip_from_t *local = NULL;
	sip_to_t *remote = NULL;
	sip_cseq_t cseq[1];

	su_home_init(home);
	local = sip_from_make(home, leg->local);
	remote = sip_to_make(home, leg->remote);
	if (local == NULL || remote == NULL ||
		sip_from_tag(home, local, leg->local_tag) < 0)
		goto out;
	if (remote_tag != NULL && sip_to_tag(home, remote, remote_tag) < 0)
		goto out;
	sip_cseq_init(cseq);
	cseq->cs_seq = local_cseq;
	cseq->cs_method = sip_method_invite;
	cseq->cs_method_name = sip_method_name_invite;
	dialog = nta_leg_tcreate(stack_agent(leg->c.sbc->stack), on_request,
		(nta_leg_magic_t *)leg, SIPTAG_CALL_ID_STR(leg->call_id),
		SIPTAG_FROM(local), SIPTAG_TO(remote),
		TAG_IF(local_cseq != 0, SIPTAG_CSEQ(cseq)),
		TAG_IF(remote_cseq != 0, NTATAG_REMOTE_CSEQ(remote_cseq)),
		TAG_END());
out:
	su_home_deinit(home);
	if (dialog == NULL)
		return ERR_NOMEM;
	if (leg->dialog != NULL)
		nta_leg_destroy(leg->dialog);
	leg->dialog = dialog;
	return 0;
}

static void wipe_body(msg_t *msg)
{
	const sip_t *sip = msg != NULL ? sip_object(msg) : NULL;

	if (sip != NULL && sip->sip_payload != NULL &&
		sip->sip_payload->pl_data != NULL)
		secret_wipe((void *)(uintptr_t)sip->sip_payload->pl_data,
			sip->sip_payload->pl_len);
	msg_destroy(msg);
}

void leg_wipe_bodies(nta_outgoing_t *orq)
{
	wipe_body(nta_outgoing_getrequest(orq));
	wipe_body(nta_outgoing_getresponse(orq));
}

/* Lets a transaction run out without us: its final answer destroys it. */
static void leg_abandon(struct leg *leg, nta_outgoing_t **orq)
{
	nta_outgoing_t *o = *orq;

	if (o == NULL)
		return;
	*orq = NULL;
	leg_large_forget(leg, o);
	nta_outgoing_bind(o, NULL, NULL);
	if (nta_outgoing_status(o) >= 200)
		nta_outgoing_destroy(o);
}

void leg_close(struct leg *leg)
{
	leg_timer_stop(leg);
	leg_judge_drop(leg);
	leg_change_drop(leg);
	message_leave(leg);
	leg_auth_drop(leg);
	if (leg->dialog != NULL)
		nta_leg_destroy(leg->dialog);
	leg->dialog = NULL;
	leg_sleep_drop(leg);
	leg_set_state(leg, LEG_GONE);
}

void leg_free(struct leg **legp)
{
	struct leg *leg = *legp;

	if (leg == NULL)
		return;
	*legp = NULL;
	leg_close(leg);
	if (leg->invite_irq != NULL) {
		nta_incoming_bind(leg->invite_irq, NULL, NULL);
		nta_incoming_destroy(leg->invite_irq);
	}
	leg_abandon(leg, &leg->invite_orq);
	leg_abandon(leg, &leg->bye_orq);
	for (size_t i = 0; i < LEG_MINORS_MAX; i++)
		leg_abandon(leg, &leg->minors[i]);
	leg_large_drop(leg);
	loop_timer_free(leg->c.sbc->daemon.loop, &leg->se_timer);
	account_unref(&leg->c.account);
	su_free(leg->c.home, leg->judged);
	su_free(leg->c.home, leg->user_agent);
	su_free(leg->c.home, leg->end_lines);
	leg_save_answered(leg);
	su_free(leg->c.home, leg->names);
	su_free(leg->c.home, leg);
}

/* What the peer says of itself, each time that it says it. */
void leg_learn_peer(struct leg *leg, const sip_t *sip)
{
	if (sip->sip_allow != NULL)
		leg->update_allowed =
			sip_is_allowed(sip->sip_allow, SIP_METHOD_UPDATE);
	if (sip->sip_supported != NULL)
		leg->rel_supported =
			sip_has_feature(sip->sip_supported, "100rel");
	if (leg->user_agent == NULL) {
		const char *text = NULL;

		if (sip->sip_user_agent != NULL)
			text = sip->sip_user_agent->g_string;
		else if (sip->sip_server != NULL)
			text = sip->sip_server->g_string;
		if (text != NULL)
			leg->user_agent = su_strndup(
				leg->c.home, text, strnlen(text, 100));
	}
}

void leg_send_ack(struct leg *leg, nta_outgoing_t *invite, uint32_t cseq)
{
	msg_t *request = nta_outgoing_getrequest(invite);
	const sip_t *sip = sip_object(request);
	nta_outgoing_t *ack;
	sip_cseq_t cs[1];

	sip_cseq_init(cs);
	cs->cs_seq = cseq;
	cs->cs_method = sip_method_ack;
	cs->cs_method_name = sip_method_name_ack;
	/* RFC 3261 13.2.2.4: the same credentials as the INVITE. */
	ack = leg_send(leg, NULL, SIP_METHOD_ACK, NULL, SIPTAG_CSEQ(cs),
		NTATAG_ACK_BRANCH(nta_outgoing_branch(invite)),
		SIPTAG_AUTHORIZATION(sip->sip_authorization),
		SIPTAG_PROXY_AUTHORIZATION(sip->sip_proxy_authorization),
		TAG_END());
	msg_destroy(request);
	if (ack == NULL) {
		log_warning("ack_not_sent", LOG_CALL(leg->c.call));
		return;
	}
	/* It answers repetitions of the 2xx by itself for 64*T1. */
	nta_outgoing_destroy(ack);
}

static int on_bye_answer(
	nta_outgoing_magic_t *magic, nta_outgoing_t *orq, const sip_t *sip)
{
	struct leg *leg = (struct leg *)magic;
	struct leg_msg msg = {.event = LEG_ENDED, .sip = sip};

	if (sip != NULL && sip->sip_status->st_status < 200)
		return 0;
	if (leg_auth_take(leg, orq, sip, on_bye_answer))
		return 0;
	leg->bye_orq = NULL;
	msg.status = sip != NULL ? (unsigned)sip->sip_status->st_status : 408;
	leg_close(leg);
	leg_emit(leg, &msg);
	/* Over a connection the answer goes with its transaction, at once. */
	nta_outgoing_destroy(orq);
	return 0;
}

void leg_send_bye(struct leg *leg)
{
	leg->owes_bye = false;
	leg_timer_stop(leg);
	leg_set_state(leg, LEG_ENDING);
	leg->bye_orq = leg_send(leg, on_bye_answer, SIP_METHOD_BYE, NULL,
		TAG_IF(leg->end_lines != NULL,
			SIPTAG_HEADER_STR(leg->end_lines)),
		TAG_END());
	if (leg->bye_orq != NULL)
		return;
	log_warning("bye_not_sent", LOG_CALL(leg->c.call));
	leg_close(leg);
}

void leg_end(struct leg *leg, unsigned status, const char *lines)
{
	if (leg->end_lines == NULL && lines != NULL && *lines != '\0')
		leg->end_lines = su_strdup(leg->c.home, lines);
	switch (leg->state) {
	case LEG_NEW:
		leg_close(leg);
		return;
	case LEG_CALLING:
	case LEG_EARLY:
		if (leg->server) {
			leg_refuse(leg, status, lines);
			return;
		}
		if (leg->auth.orq != NULL && leg->auth.orq == leg->invite_orq) {
			/* Refused with a challenge and not sent again yet. */
			leg_auth_drop(leg);
			leg_abandon(leg, &leg->invite_orq);
			leg_close(leg);
			return;
		}
		leg_set_state(leg, LEG_CANCELLING);
		/* The library waits with CANCEL until the peer has answered
		 * anything (RFC 3261 9.1); a final answer, or its absence,
		 * closes the leg. */
		(void)nta_outgoing_tcancel(leg->invite_orq, NULL, NULL,
			TAG_IF(leg->end_lines != NULL,
				SIPTAG_HEADER_STR(leg->end_lines)),
			TAG_END());
		return;
	case LEG_ANSWERED:
		/* RFC 3261 15: no BYE to the caller before its ACK. */
		leg->owes_bye = true;
		leg_set_state(leg, LEG_ENDING);
		return;
	case LEG_UP:
		leg_judge_drop(leg);
		leg_change_drop(leg);
		leg_send_bye(leg);
		return;
	case LEG_CANCELLING:
	case LEG_ENDING:
	case LEG_GONE:
	case LEG_STATE_COUNT:
		return;
	}
}

enum reason leg_body(const sip_t *sip, struct leg_msg *msg)
{
	return hdr_sdp_of(sip, &msg->sdp, &msg->sdp_len);
}

static int reply(nta_incoming_t *irq, unsigned status)
{
	(void)nta_incoming_treply(irq, (int)status, reason_sip_phrase(status),
		TAG_IF(status == 405, SIPTAG_ALLOW_STR(STACK_ALLOW)),
		TAG_END());
	nta_incoming_destroy(irq);
	return 0;
}

static int on_bye(struct leg *leg, nta_incoming_t *irq, const sip_t *sip)
{
	struct leg_msg msg = {.event = LEG_BYE, .sip = sip};
	bool ending = leg->state == LEG_ENDING;

	if (leg->server && leg->invite_irq != NULL &&
		nta_incoming_status(leg->invite_irq) < 200)
		leg_refuse(leg, 487, NULL); /* RFC 3261 15.1.2 */
	leg_close(leg);
	if (ending)
		msg.event = LEG_ENDED;
	leg_emit(leg, &msg);
	/* Last: who has this answer does not ask again, and a process that is
	 * killed before would not have heard of the end. */
	(void)nta_incoming_treply(irq, SIP_200_OK, TAG_END());
	nta_incoming_destroy(irq);
	return 0;
}

static int on_info(struct leg *leg, nta_incoming_t *irq, const sip_t *sip)
{
	struct leg_msg msg = {.event = LEG_INFO, .sip = sip};

	(void)nta_incoming_treply(irq, SIP_200_OK, TAG_END());
	leg_emit(leg, &msg);
	nta_incoming_destroy(irq);
	return 0;
}

static int on_options(struct leg *leg, nta_incoming_t *irq)
{
	leg_note(leg);
	(void)nta_incoming_treply(irq, SIP_200_OK,
		SIPTAG_ALLOW_STR(STACK_ALLOW),
		SIPTAG_ACCEPT_STR("application/sdp"),
		SIPTAG_SUPPORTED_STR("timer"), TAG_END());
	nta_incoming_destroy(irq);
	return 0;
}

int leg_dispatch(struct leg *leg, nta_incoming_t *irq, const sip_t *sip)
{
	su_home_t home[1] = {SU_HOME_INIT(home)};
	const char *unsupported = NULL;
	bool is_info = sip->sip_request->rq_method == sip_method_info;
	enum reason why;

	su_home_init(home);
	why = hdr_check_request(sip, home, &unsupported);
	/* A foreign body in an offer's place is leg_body()'s; elsewhere it
	 * harms nobody, but INFO is nothing without one (RFC 6086 4.2.2). */
	if (why == REASON_ADMIT_CONTENT_TYPE && !is_info)
		why = REASON_ADMIT_OK;
	if (why != REASON_ADMIT_OK) {
		unsigned status = reason_sip(why) != 0 ? reason_sip(why) : 400;

		reason_count(why);
		log_peer_info("request_refused", LOG_CALL(leg->c.call),
			LOG_STR("method", sip->sip_request->rq_method_name),
			LOG_STR("reason", reason_text(why)));
		(void)nta_incoming_treply(irq, (int)status,
			reason_sip_phrase(status),
			TAG_IF(why == REASON_ADMIT_REQUIRE,
				SIPTAG_UNSUPPORTED_STR(unsupported)),
			TAG_IF(why == REASON_ADMIT_CONTENT_TYPE,
				SIPTAG_ACCEPT_STR("application/dtmf-relay, "
						  "application/dtmf")),
			TAG_END());
		nta_incoming_destroy(irq);
		su_home_deinit(home);
		return 0;
	}
	su_home_deinit(home);
	leg_learn_peer(leg, sip);
	if (leg->c.on_request != NULL)
		return leg->c.on_request(leg, irq, sip);

	switch (sip->sip_request->rq_method) {
	case sip_method_bye:
		return on_bye(leg, irq, sip);
	case sip_method_invite:
		return leg_on_invite_inside(leg, irq, sip);
	case sip_method_update:
		return leg_on_update(leg, irq, sip);
	case sip_method_info:
		return on_info(leg, irq, sip);
	case sip_method_options:
		return on_options(leg, irq);
	case sip_method_prack:
		return leg_rel_on_prack(leg, irq, sip);
	case sip_method_cancel:
		return reply(irq, 481);
	case sip_method_message:
		return message_inside(leg, irq, sip);
	case sip_method_refer:
		reason_count(REASON_CALL_TRANSFER_UNSUPPORTED);
		return reply(irq, 405);
	default:
		reason_count(REASON_ADMIT_METHOD);
		return reply(irq, 405);
	}
}

static int on_minor_answer(
	nta_outgoing_magic_t *magic, nta_outgoing_t *orq, const sip_t *sip)
{
	struct leg *leg = (struct leg *)magic;
	unsigned status =
		sip != NULL ? (unsigned)sip->sip_status->st_status : 408;
	struct leg_msg msg = {.event = LEG_LOST, .sip = sip, .status = status};

	nta_outgoing_t **slot;

	if (status < 200)
		return 0;
	if (leg_auth_take(leg, orq, sip, on_minor_answer))
		return 0;
	slot = leg_auth_slot(leg, orq);
	if (slot != NULL)
		*slot = NULL;
	/* RFC 3261 12.2.1.2: 481 and 408 mean that the dialog is gone. */
	if (leg->state == LEG_UP && (status == 481 || status == 408))
		leg_emit(leg, &msg);
	nta_outgoing_destroy(orq);
	return 0;
}

nta_outgoing_t **leg_minor_slot(struct leg *leg)
{
	for (size_t i = 0; i < LEG_MINORS_MAX; i++) {
		if (leg->minors[i] == NULL)
			return &leg->minors[i];
	}
	return NULL;
}

void leg_info(struct leg *leg, const char *content_type, const char *body)
{
	nta_outgoing_t **slot = leg_minor_slot(leg);

	if (leg->state != LEG_UP)
		return;
	if (slot != NULL)
		*slot = leg_send(leg, on_minor_answer, SIP_METHOD_INFO, NULL,
			SIPTAG_CONTENT_TYPE_STR(content_type),
			SIPTAG_PAYLOAD_STR(body), TAG_END());
	else
		log_peer_debug("info_dropped", LOG_CALL(leg->c.call));
}

/*
 * The library's answer to a 2xx of a further fork, replaced (see above): the
 * fork gets its ACK and BYE where its 2xx came from, never at a host of its
 * own choice. The name and the signature are the library's.
 */
int nta_msg_ackbye(nta_agent_t *agent, msg_t *msg);

int nta_msg_ackbye(nta_agent_t *agent, msg_t *msg)
{
	const sip_t *sip = sip_object(msg);
	tport_t *tport = tport_delivered_by(nta_agent_tports(agent), msg);
	nta_outgoing_t *ack = NULL, *bye = NULL;
	char hop[ADDR_TEXT_SIZE + 8], text[ADDR_TEXT_SIZE];
	struct addr source;
	nta_leg_t *fork;
	sip_cseq_t cs[1];

	stack_source(msg, &source);
	if (sip->sip_to->a_tag == NULL || tport == NULL ||
		!addr_is_set(&source))
		goto out;
	log_peer_info("late_fork_ended", LOG_ADDR("source", &source),
		LOG_STR("call_id", sip->sip_call_id->i_id));
	fork = nta_leg_tcreate(agent, NULL, NULL,
		SIPTAG_CALL_ID(sip->sip_call_id), SIPTAG_FROM(sip->sip_from),
		SIPTAG_TO(sip->sip_to), SIPTAG_CSEQ(sip->sip_cseq), TAG_END());
	if (fork == NULL)
		goto out;
	nta_leg_client_route(fork, sip->sip_record_route, sip->sip_contact);
	snprintf(hop, sizeof hop, "sip:%s", addr_format(&source, text));
	sip_cseq_init(cs);
	cs->cs_seq = sip->sip_cseq->cs_seq;
	cs->cs_method = sip_method_ack;
	cs->cs_method_name = sip_method_name_ack;
	ack = nta_outgoing_tcreate(fork, NULL, NULL, URL_STRING_MAKE(hop),
		SIP_METHOD_ACK, NULL, SIPTAG_CSEQ(cs),
		NTATAG_ACK_BRANCH(sip->sip_via->v_branch), NTATAG_TPORT(tport),
		TAG_END());
	bye = nta_outgoing_tcreate(fork, NULL, NULL, URL_STRING_MAKE(hop),
		SIP_METHOD_BYE, NULL, NTATAG_TPORT(tport), TAG_END());
	if (ack != NULL)
		nta_outgoing_destroy(ack);
	if (bye != NULL)
		nta_outgoing_destroy(bye);
	nta_leg_destroy(fork);
out:
	msg_destroy(msg);
	return 0;
}
