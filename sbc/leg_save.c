/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Leg and record (leg_save.h). Everything in a record was ours and has a
 * checksum; it is checked all the same, because a record that is taken for
 * true and is not would speak in another dialog's name.
 *
 * Traps of the library that are met here:
 *  - A route set that is given to nta_leg_tcreate() is used as strict: it has
 *    to be set as a Record-Route afterwards.
 *  - A transaction made from a text has no source address; it is put into the
 *    message before.
 *  - nta_outgoing_mcreate() adds a Via of its own: ours is taken out before,
 * and the branch is handed over. The order of headers stays, so that a peer
 * that compares bytes sees the same INVITE.
 *
 * Called by call_save.c and call_restore.c; leg_take_orphan() and
 * leg_on_sending() by the stack.
 */
#include "config.h"

#include "sbc/leg_save.h"

#include <stdlib.h>
#include <string.h>

#include <sofia-sip/tport.h>
#include <sofia-sip/msg_addr.h>
#include <sofia-sip/msg_parser.h>
#include <sofia-sip/sip_parser.h>
#include <sofia-sip/sip_status.h>
#include <sofia-sip/sip_util.h>
#include <sofia-sip/su_tagarg.h>
#include <sofia-sip/tport_tag.h>

#include "common/ident.h"
#include "common/log.h"
#include "common/secret.h"
#include "sbc/leg_sleep.h"
#include "sbc/sbc.h"

/* A kill between sending a request and saving its number must not lead to the
 * same number again: a few are left out. */
#define CSEQ_MARGIN  8u
#define ROUTES_MAX   32u
/* A longer target is legal, and takes the slower way. */
#define TARGET_USUAL 256u

/* ------------------------------------------------------------------- texts */

static char *text_of(su_home_t *home, const sip_t *sip)
{
	msg_t *msg = msg_create(sip_default_mclass(), 0);
	char *text = NULL;
	size_t len = 0;

	if (msg == NULL)
		return NULL;
	if (sip_add_tl(msg, sip_object(msg), SIPTAG_REQUEST(sip->sip_request),
		    SIPTAG_VIA(sip->sip_via),
		    SIPTAG_RECORD_ROUTE(sip->sip_record_route),
		    SIPTAG_MAX_FORWARDS(sip->sip_max_forwards),
		    SIPTAG_FROM(sip->sip_from), SIPTAG_TO(sip->sip_to),
		    SIPTAG_CALL_ID(sip->sip_call_id),
		    SIPTAG_CSEQ(sip->sip_cseq),
		    SIPTAG_CONTACT(sip->sip_contact), TAG_END()) >= 0 &&
		sip_complete_message(msg) >= 0 &&
		msg_serialize(msg, (msg_pub_t *)sip_object(msg)) >= 0)
		text = msg_as_string(home, msg, NULL, 0, &len);
	msg_destroy(msg);
	return text;
}

char *leg_save_text(struct leg *leg, const sip_t *sip)
{
	return leg->c.sbc->saves != NULL ? text_of(leg->c.home, sip) : NULL;
}

void leg_save_answered(struct leg *leg)
{
	/* Its description may have keys (RFC 4568). */
	if (leg->invite_text != NULL)
		secret_wipe(leg->invite_text, strlen(leg->invite_text));
	su_free(leg->c.home, leg->invite_text);
	leg->invite_text = NULL;
}

void leg_save_sending(struct leg *leg)
{
	if (leg->c.sbc->saves != NULL)
		leg->c.sbc->sending = leg;
}

void leg_save_sent(struct leg *leg)
{
	leg->c.sbc->sending = NULL;
}

static char *join(su_home_t *home, const struct iovec *parts, size_t n)
{
	size_t len = 0;
	char *text, *at;

	for (size_t i = 0; i < n; i++)
		len += parts[i].iov_len;
	text = at = su_alloc(home, (isize_t)(len + 1));
	for (size_t i = 0; text != NULL && i < n; i++) {
		memcpy(at, parts[i].iov_base, parts[i].iov_len);
		at += parts[i].iov_len;
	}
	if (text != NULL)
		*at = '\0';
	return text;
}

/* The peer acts on an INVITE at once; a kill in the next moment must find it
 * saved. */
void leg_on_sending(void *ctx, const struct iovec *parts, size_t n_parts)
{
	static const char word[] = "INVITE ";
	struct sbc *sbc = ctx;
	struct leg *leg = sbc->sending;

	if (leg == NULL || n_parts == 0 || parts[0].iov_len < sizeof word - 1 ||
		memcmp(parts[0].iov_base, word, sizeof word - 1) != 0)
		return;
	sbc->sending = NULL;
	if (leg->state == LEG_CALLING || leg->state == LEG_EARLY) {
		leg_save_answered(leg);
		leg->invite_text = join(leg->c.home, parts, n_parts);
	}
	leg_note(leg);
}

/* A message out of a saved text, with what every request has. */
static msg_t *read_text(const ProtobufCBinaryData *bytes)
{
	msg_t *msg = msg_make(
		sip_default_mclass(), 0, bytes->data, (ssize_t)bytes->len);
	const sip_t *sip = msg != NULL ? sip_object(msg) : NULL;

	if (sip != NULL && sip->sip_request != NULL && sip->sip_via != NULL &&
		sip->sip_via->v_branch != NULL && sip->sip_from != NULL &&
		sip->sip_to != NULL && sip->sip_call_id != NULL &&
		sip->sip_cseq != NULL && sip->sip_error == NULL &&
		sip->sip_cseq->cs_method == sip->sip_request->rq_method)
		return msg;
	if (msg != NULL)
		msg_destroy(msg);
	return NULL;
}

/* ------------------------------------------------------------------ saving */

/* protobuf-c takes char *, and never writes to what it packs. */
static char *text(const char *s)
{
	return (char *)(uintptr_t)(s != NULL ? s : "");
}

static ProtobufCBinaryData bytes_of(const char *s)
{
	return (ProtobufCBinaryData){
		.data = (uint8_t *)(uintptr_t)s,
		.len = s != NULL ? strlen(s) : 0,
	};
}

static char *url_text(struct scratch *s, const url_t *url)
{
	char *at = scratch_alloc(s, TARGET_USUAL);
	issize_t n;

	n = at != NULL ? url_e(at, TARGET_USUAL, url) : -1;
	if (n >= 0 && n < (issize_t)TARGET_USUAL)
		return at;
	return text(url_as_string(scratch_home(s), url));
}

void leg_save_dialog(
	const struct leg *leg, struct scratch *s, Gh__SavedLeg *out)
{
	const sip_route_t *route = NULL;
	const sip_contact_t *target = NULL;
	size_t n = 0;

	if (leg->asleep != NULL)
		leg_sleep_save(leg, s, out);
	if (leg->dialog == NULL)
		return;
	out->remote_tag = text(nta_leg_get_rtag(leg->dialog));
	out->local_cseq = nta_leg_get_seq(leg->dialog);
	out->remote_cseq = nta_leg_get_rseq(leg->dialog);
	nta_leg_get_route(leg->dialog, &route, &target);
	if (target != NULL)
		out->target = url_text(s, target->m_url);
	if (route == NULL)
		return;
	out->route = scratch_alloc(s, ROUTES_MAX * sizeof *out->route);
	for (; out->route != NULL && route != NULL && n < ROUTES_MAX;
		route = route->r_next) {
		char *one = sip_header_as_string(
			scratch_home(s), (const sip_header_t *)route);

		if (one != NULL)
			out->route[n++] = one;
	}
	out->n_route = n;
}

static void save_open_requests(
	const struct leg *leg, struct scratch *s, Gh__SavedLeg *out)
{
	if (leg->state != LEG_UP)
		out->invite = bytes_of(leg->invite_text);
	if (leg->change_irq != NULL && !leg->change_answered) {
		msg_t *msg = nta_incoming_getrequest(leg->change_irq);

		if (msg != NULL) {
			out->change = bytes_of(
				text_of(scratch_home(s), sip_object(msg)));
			msg_destroy(msg);
		}
	}
	out->changing = leg->change.method == sip_method_invite &&
			(leg->change.orq != NULL || leg->change.sending);
}

void leg_save(const struct leg *leg, struct scratch *s, Gh__SavedLeg *out)
{
	gh__saved_leg__init(out);
	out->server = leg->server;
	/* What restoring makes of it; so the record that was written before the
	 * 200 left is still right after it. */
	out->state = leg->state == LEG_ANSWERED ? LEG_EARLY : leg->state;
	out->call_id = text(leg->call_id);
	out->local_tag = text(leg->local_tag);
	out->local = text(leg->local);
	out->remote = text(leg->remote);
	out->contact = text(leg->contact);
	out->user_agent = text(leg->user_agent);
	out->knows_user_agent = leg->user_agent != NULL;
	out->invite_cseq = leg->invite_cseq;
	out->peer = scratch_address(s, &leg->c.peer.addr);
	out->listen = scratch_address(s, &leg->c.peer.listener->local);
	out->transport = leg->c.peer.listener->transport;
	out->flow = leg->c.peer.flow;
	out->owes_bye = leg->owes_bye;
	out->provisional = leg->provisional;
	out->end_lines = text(leg->end_lines);
	out->rel_supported = leg->rel_supported;
	out->rel_required = leg->rel_required;
	out->rel_rseq = leg->rel_rseq;
	out->update_allowed = leg->update_allowed;
	out->min_se_s = leg->c.min_se_s;
	out->session_expires_s = leg->c.session_expires_s;
	out->se_interval_s = leg->se_interval_s;
	out->se_refresher = leg->se_refresher;
	out->se_server = leg->se_server;
	out->se_peer_can = leg->se_peer_can;
	out->se_due_us = leg->se_due_us;
	leg_save_dialog(leg, s, out);
	save_open_requests(leg, s, out);
}

/* --------------------------------------------------------------- restoring */

static bool is_possible(const Gh__SavedLeg *saved)
{
	static const unsigned server = 1u << LEG_CALLING | 1u << LEG_EARLY |
				       1u << LEG_ANSWERED | 1u << LEG_UP |
				       1u << LEG_ENDING;
	static const unsigned client = 1u << LEG_CALLING | 1u << LEG_EARLY |
				       1u << LEG_UP | 1u << LEG_CANCELLING |
				       1u << LEG_ENDING;

	if (saved->state >= LEG_STATE_COUNT ||
		((saved->server ? server : client) & 1u << saved->state) == 0)
		return false;
	if (*saved->call_id == '\0' || *saved->local == '\0' ||
		*saved->remote == '\0' || *saved->contact == '\0' ||
		strlen(saved->local_tag) != LEG_TAG_SIZE - 1)
		return false;
	/* In a dialog that is confirmed both have a tag (or the peer is of RFC
	 * 2543) and we know where it is. */
	return (saved->state != LEG_UP && saved->state != LEG_ENDING) ||
	       *saved->target != '\0';
}

static enum leg_state state_after(const Gh__SavedLeg *saved)
{
	switch ((enum leg_state)saved->state) {
	case LEG_ANSWERED:
		return LEG_EARLY;
	case LEG_CANCELLING:
		return LEG_CALLING;
	case LEG_ENDING:
		return LEG_UP;
	default:
		return (enum leg_state)saved->state;
	}
}

int leg_make_dialog_again(
	struct leg *leg, const Gh__SavedLeg *saved, uint32_t cseq)
{
	su_home_t home[1] = {SU_HOME_INIT(home)};
	sip_record_route_t *routes = NULL, **last = &routes;
	sip_contact_t *target = NULL;
	int err;

	err = leg_make_dialog(leg,
		*saved->remote_tag != '\0' ? saved->remote_tag : NULL, cseq,
		saved->remote_cseq);
	if (err != 0)
		return err;
	su_home_init(home);
	err = ERR_INVALID;
	for (size_t i = 0; i < saved->n_route && i < ROUTES_MAX; i++) {
		*last = sip_record_route_make(home, saved->route[i]);
		if (*last == NULL)
			goto out;
		while (*last != NULL)
			last = &(*last)->r_next;
	}
	if (*saved->target != '\0') {
		target = sip_contact_create(
			home, URL_STRING_MAKE(saved->target), NULL);
		if (target == NULL)
			goto out;
	}
	if (routes != NULL || target != NULL)
		nta_leg_server_route(leg->dialog, routes, target);
	err = 0;
out:
	su_home_deinit(home);
	return err;
}

/* A transaction for a request that came to the process before us. */
static nta_incoming_t *make_incoming(
	struct leg *leg, const ProtobufCBinaryData *bytes)
{
	struct sockaddr_storage sa;
	nta_incoming_t *irq;
	msg_t *msg = read_text(bytes);
	tport_t *tport = leg->c.peer.listener->tport, *line = NULL;
	struct addr from = leg->c.peer.addr;
	socklen_t len;

	if (msg == NULL)
		return NULL;
	/* To sofia-sip it came from flowd's end of the bridge. */
	if (leg->c.peer.flow != 0)
		line = stack_flow_tport(leg->c.sbc->stack, leg->c.peer.flow);
	if (line != NULL) {
		tport = line;
		from = *flows_bridge(leg->c.sbc->flows);
		from.port =
			(uint16_t)strtoul(tport_name(line)->tpn_port, NULL, 10);
	}
	len = addr_to_sockaddr(&from, &sa);
	if (len <= sizeof *msg_addr(msg))
		memcpy(msg_addr(msg), &sa, len);
	irq = nta_incoming_create(stack_agent(leg->c.sbc->stack), NULL, msg,
		NULL, NTATAG_TPORT(tport), TAG_END());
	return irq;
}

static int restore_server(struct leg *leg, const Gh__SavedLeg *saved)
{
	if (leg->state == LEG_UP)
		return 0;
	leg->invite_irq = make_incoming(leg, &saved->invite);
	if (leg->invite_irq == NULL)
		return ERR_INVALID;
	if (nta_incoming_method(leg->invite_irq) != sip_method_invite)
		return ERR_INVALID;
	if (nta_incoming_tag(leg->invite_irq, leg->local_tag) == NULL)
		return ERR_NOMEM;
	nta_incoming_bind(leg->invite_irq, leg_on_ack_cancel,
		(nta_incoming_magic_t *)leg);
	leg->invite_text = su_strndup(leg->c.home,
		(const char *)saved->invite.data, (isize_t)saved->invite.len);
	return 0;
}

static int restore_client(struct leg *leg, const Gh__SavedLeg *saved)
{
	char hop[STACK_URL_SIZE];
	const char *branch;
	msg_t *msg;
	sip_t *sip;

	if (leg->state == LEG_UP)
		return 0;
	msg = read_text(&saved->invite);
	if (msg == NULL)
		return ERR_INVALID;
	sip = sip_object(msg);
	if (sip->sip_request->rq_method != sip_method_invite ||
		sip->sip_via->v_next != NULL) {
		msg_destroy(msg);
		return ERR_INVALID;
	}
	branch = su_strdup(msg_home(msg), sip->sip_via->v_branch);
	sip_header_remove(msg, sip, (sip_header_t *)sip->sip_via);
	leg->invite_orq = nta_outgoing_mcreate(stack_agent(leg->c.sbc->stack),
		leg_on_invite_answer, (nta_outgoing_magic_t *)leg,
		URL_STRING_MAKE(stack_next_hop(
			leg->c.sbc->stack, &leg->c.peer, hop, sizeof hop)),
		msg, TPTAG_IDENT(leg->c.peer.listener->ident),
		NTATAG_BRANCH_KEY(branch), NTATAG_PASS_100(1), TAG_END());
	if (leg->invite_orq == NULL) {
		msg_destroy(msg);
		return ERR_NOMEM;
	}
	leg->invite_text = su_strndup(leg->c.home,
		(const char *)saved->invite.data, (isize_t)saved->invite.len);
	return 0;
}

/* A change that the peer asked for and nobody will answer any more: it may try
 * again at once. */
static void refuse_change(struct leg *leg, const Gh__SavedLeg *saved)
{
	nta_incoming_t *irq;

	if (saved->change.len == 0 || leg->state != LEG_UP)
		return;
	irq = make_incoming(leg, &saved->change);
	if (irq == NULL)
		return;
	(void)nta_incoming_treply(irq, SIP_500_INTERNAL_SERVER_ERROR,
		SIPTAG_RETRY_AFTER_STR("1"), TAG_END());
	nta_incoming_destroy(irq);
}

int leg_restore(const struct leg_config *config, const Gh__SavedLeg *saved,
	struct leg **leg_out)
{
	struct leg *leg;
	int err;

	if (!is_possible(saved))
		return ERR_INVALID;
	leg = leg_alloc(config, saved->server);
	if (leg == NULL)
		return ERR_NOMEM;
	memcpy(leg->local_tag, saved->local_tag, LEG_TAG_SIZE);
	leg->invite_cseq = saved->invite_cseq;
	leg->provisional = saved->provisional;
	leg->rel_supported = saved->rel_supported;
	leg->rel_required = saved->rel_required;
	leg->rel_rseq = saved->rel_rseq;
	leg->update_allowed = saved->update_allowed;
	leg->se_interval_s = saved->se_interval_s;
	leg->se_refresher = saved->se_refresher;
	leg->se_server = saved->se_server;
	leg->se_peer_can = saved->se_peer_can;
	if (saved->knows_user_agent)
		leg->user_agent = su_strdup(config->home, saved->user_agent);
	if (*saved->end_lines != '\0')
		leg->end_lines = su_strdup(config->home, saved->end_lines);
	leg->state = state_after(saved);
	err = leg_keep_texts(leg, saved->call_id, saved->contact, saved->local,
		saved->remote);
	if (err == 0)
		err = leg_make_dialog_again(leg, saved,
			saved->local_cseq != 0 ? saved->local_cseq + CSEQ_MARGIN
					       : 0);
	if (err == 0)
		err = saved->server ? restore_server(leg, saved)
				    : restore_client(leg, saved);
	if (err != 0) {
		leg_free(&leg);
		return err;
	}
	refuse_change(leg, saved);
	if (leg->state == LEG_UP)
		leg_timer_resume(leg, saved->se_due_us);
	*leg_out = leg;
	return 0;
}

/* -------------------------------------------------------- answers to nobody */

bool leg_take_orphan(nta_agent_t *agent, const sip_t *sip)
{
	nta_outgoing_t *ack;
	struct leg *leg;
	char hop[STACK_URL_SIZE];
	sip_cseq_t cs[1];

	if (sip->sip_status == NULL || sip->sip_status->st_status / 100 != 2 ||
		sip->sip_cseq == NULL ||
		sip->sip_cseq->cs_method != sip_method_invite ||
		sip->sip_call_id == NULL || sip->sip_from == NULL ||
		sip->sip_to == NULL || sip->sip_from->a_tag == NULL ||
		sip->sip_to->a_tag == NULL || sip->sip_via == NULL ||
		sip->sip_via->v_branch == NULL)
		return false;
	leg = leg_by_dialog(stack_sbc(agent), sip->sip_call_id,
		sip->sip_from->a_tag, sip->sip_to->a_tag);
	if (leg == NULL || leg->state != LEG_UP)
		return false;
	sip_cseq_init(cs);
	cs->cs_seq = sip->sip_cseq->cs_seq;
	cs->cs_method = sip_method_ack;
	cs->cs_method_name = sip_method_name_ack;
	ack = nta_outgoing_tcreate(leg->dialog, NULL, NULL,
		URL_STRING_MAKE(stack_next_hop(
			leg->c.sbc->stack, &leg->c.peer, hop, sizeof hop)),
		SIP_METHOD_ACK, NULL, TPTAG_IDENT(leg->c.peer.listener->ident),
		SIPTAG_CSEQ(cs), NTATAG_ACK_BRANCH(sip->sip_via->v_branch),
		TAG_END());
	if (ack == NULL)
		return false;
	nta_outgoing_destroy(ack);
	log_info("answer_acknowledged_again", LOG_CALL(leg->c.call));
	return true;
}
