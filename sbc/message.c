/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Decides: which texts pass. Both realms have to allow them (allow_message) and
 * to have the type in their list; a text is readable UTF-8 and bounded; nothing
 * else of a MESSAGE crosses but who it is from. A phone is authenticated as for
 * a call; where a text goes is decided as for a call (route.c).
 *
 * RFC 3428 4, 7 (answers), 8 (size); RFC 3261 8.2.3 (415).
 */
#include "config.h"

#include "sbc/message.h"

#include <stdlib.h>
#include <string.h>

#include <sofia-sip/sip_status.h>
#include <sofia-sip/su_tagarg.h>

#include "common/log.h"
#include "sbc/auth.h"
#include "sbc/call_inner.h"
#include "sbc/page.h"
#include "sbc/utf8.h"
#include "sbc/wait.h"

/* ---------------------------------------------------------------- policy */

static bool has_type(const struct realm *realm, const char *type)
{
	/* A copy of settings from before the list. */
	if (realm->row->n_message_types == 0)
		return strcmp(type, "text/plain") == 0;
	for (size_t i = 0; i < realm->row->n_message_types; i++) {
		if (strcmp(realm->row->message_types[i], type) == 0)
			return true;
	}
	return false;
}

/* The type as it is in the lists, or NULL. */
static const char *type_of(const sip_t *sip)
{
	static const char *const types[] = {"text/plain", "text/html"};
	const sip_content_type_t *c = sip->sip_content_type;
	const char *charset;
	struct span s;

	if (c == NULL || c->c_type == NULL)
		return NULL;
	charset = msg_params_find(c->c_params, "charset=");
	s = span_of(charset);
	if (s.len > 1 && s.at[0] == '"') {
		s.at++;
		s.len -= 2;
	}
	if (charset != NULL && !span_is_word(s, "utf-8") &&
		!span_is_word(s, "us-ascii"))
		return NULL;
	for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
		if (text_equal(c->c_type, types[i]))
			return types[i];
	}
	return NULL;
}

static bool is_readable(const sip_payload_t *body)
{
	size_t at = 0, len = body->pl_len;
	uint32_t c = 0;

	while (at < len) {
		int n = utf8_decode(body->pl_data + at, len - at, &c);

		if (n < 0 ||
			(c < 0x20 && c != '\t' && c != '\r' && c != '\n') ||
			(c >= 0x7f && c < 0xa0))
			return false;
		at += (size_t)n;
	}
	return true;
}

/* @return ROUTE_OK, or why it does not pass from this realm. */
static enum reason check(
	const struct settings *s, const struct realm *realm, const sip_t *sip)
{
	const sip_payload_t *body = sip->sip_payload;
	const char *type = type_of(sip);

	if (!realm->row->allow_message)
		return REASON_MESSAGE_OFF;
	if (body == NULL || body->pl_len == 0)
		return REASON_MESSAGE_BODY;
	if (body->pl_len >
		settings_number(s, "message_max_bytes", 1300, 1, 8000))
		return REASON_MESSAGE_TOO_BIG;
	if (type == NULL || !has_type(realm, type))
		return REASON_MESSAGE_TYPE;
	return is_readable(body) ? REASON_ROUTE_OK : REASON_MESSAGE_BODY;
}

static enum reason may_go_to(const struct realm *to, const sip_t *sip)
{
	const char *type = type_of(sip);

	if (!to->row->allow_message)
		return REASON_MESSAGE_TARGET;
	return type != NULL && has_type(to, type) ? REASON_ROUTE_OK
						  : REASON_MESSAGE_TYPE;
}

/* ------------------------------------------------------- outside of dialogs */

static enum reason may(const struct page *p, const struct realm *to)
{
	return may_go_to(to, page_sip(p));
}

static enum reason make(const struct page *p, const struct page_to *to,
	su_home_t *home, struct page_text *out)
{
	const sip_payload_t *body = page_sip(p)->sip_payload;
	char number[ROUTE_NUMBER_SIZE], called[ROUTE_NUMBER_SIZE];
	struct hdr_identity who = p->who;
	const char *from = p->caller;

	/* To the world a phone has its account's number, as in a call. */
	if (p->from == SIDE_PHONE && to->side.kind == SIDE_TRUNK)
		from = p->from_account->row->caller_number;
	if (to->side.trunk == NULL || *from == '\0' ||
		number_apply(to->side.trunk,
			GH__NUMBER_RULE_SCOPE__RULE_OUT_CALLER, from,
			number) != 0)
		snprintf(number, sizeof number, "%s",
			to->side.trunk == NULL ? from : "");
	snprintf(called, sizeof called, "%s", p->called);
	if (to->account != NULL && to->account->row->no_message)
		return REASON_MESSAGE_ACCOUNT;
	if (to->side.trunk != NULL &&
		number_apply(to->side.trunk,
			GH__NUMBER_RULE_SCOPE__RULE_OUT_CALLED, p->called,
			called) != 0)
		return REASON_ROUTE_BAD_NUMBER;
	who.number = number;
	out->from = hdr_from(&to->side, &who, home);
	out->to = hdr_to(&to->side, called, to->host, home);
	out->lines = hdr_lines(NULL, NULL, &to->side, &who, home);
	out->type = su_sprintf(home, "%s;charset=UTF-8", type_of(page_sip(p)));
	out->body = su_strndup(home, body->pl_data, (isize_t)body->pl_len);
	return out->from != NULL && out->to != NULL && out->body != NULL
		       ? REASON_ROUTE_OK
		       : REASON_CALL_INTERNAL;
}

static const struct page_kind text_kind = {
	.method = sip_method_message,
	.name = "MESSAGE",
	.ok = REASON_MESSAGE_OK,
	.may = may,
	.make = make,
};

static void on_sender_known(
	struct sbc *sbc, struct inbound *in, struct account *account)
{
	if (account->row->no_message) {
		account_unref(&account);
		stack_refuse(sbc->stack, in, REASON_MESSAGE_ACCOUNT);
		return;
	}
	page_begin(sbc, &text_kind, in, account);
}

void message_on_request(struct sbc *sbc, struct inbound *in)
{
	enum reason why = check(sbc->settings, in->realm, in->sip);

	if (why != REASON_ROUTE_OK)
		stack_refuse(sbc->stack, in, why);
	else if (in->trunk != NULL)
		page_begin(sbc, &text_kind, in, NULL);
	else
		wait_for_judge(
			sbc, in, GH__AUTH_PURPOSE__AUTH_OTHER, on_sender_known);
}

/* ---------------------------------------------------------- inside of calls */

static void finish(struct leg_text *t, const sip_t *sip)
{
	bool silent = sip == NULL || nta_sip_is_internal(sip);
	unsigned status =
		sip != NULL ? (unsigned)sip->sip_status->st_status : 408;

	reason_count(silent         ? REASON_MESSAGE_FAR_SILENT
		     : status < 300 ? REASON_MESSAGE_OK
				    : REASON_MESSAGE_FAR_REFUSED);
	status = silent         ? 480
		 : status < 300 ? (status == 202 ? 202 : 200)
				: hdr_map_status(status);
	(void)nta_incoming_treply(
		t->irq, (int)status, reason_sip_phrase(status), TAG_END());
	nta_incoming_destroy(t->irq);
	nta_outgoing_destroy(t->orq);
	if (t->leg != NULL)
		LIST_REMOVE(t, link);
	free(t);
}

static int on_answer(
	nta_outgoing_magic_t *magic, nta_outgoing_t *orq, const sip_t *sip)
{
	struct leg_text *t = (struct leg_text *)magic;

	if (sip != NULL && sip->sip_status->st_status < 200)
		return 0;
	t->orq = orq;
	t->challenged = t->leg != NULL &&
			leg_auth_take_as(t->leg, orq, sip, on_answer, magic);
	if (!t->challenged)
		finish(t, sip);
	return 0;
}

void message_leave(struct leg *leg)
{
	struct leg_text *t;

	while ((t = LIST_FIRST(&leg->texts)) != NULL) {
		LIST_REMOVE(t, link);
		t->leg = NULL;
		/* Nobody answers the challenge any more: it stands. */
		if (t->challenged) {
			msg_t *response = nta_outgoing_getresponse(t->orq);

			finish(t, sip_object(response));
			msg_destroy(response);
		}
	}
}

static int refuse(struct leg *leg, nta_incoming_t *irq, enum reason why)
{
	unsigned status = reason_sip(why) != 0 ? reason_sip(why) : 500;

	reason_count(why);
	log_peer_info("message_refused", LOG_CALL(leg->c.call),
		LOG_UINT("status", status),
		LOG_STR("reason", reason_text(why)));
	(void)nta_incoming_treply(irq, (int)status, reason_sip_phrase(status),
		TAG_IF(status == 405, SIPTAG_ALLOW_STR(STACK_ALLOW)),
		TAG_IF(status == 415, SIPTAG_ACCEPT_STR("text/plain")),
		TAG_END());
	nta_incoming_destroy(irq);
	return 0;
}

static const struct realm *realm_of(const struct leg *leg)
{
	const struct realm_address *ra = settings_listener(leg->c.sbc->settings,
		&leg->c.peer.listener->local, leg->c.peer.listener->transport);

	return ra != NULL ? ra->realm : NULL;
}

/* The other side of the call that a leg belongs to, if it can be spoken to. */
static struct leg *other_side(const struct leg *leg)
{
	const struct party *p = leg->c.ctx, *other;

	if (leg->c.on_event != call_leg_event)
		return NULL;
	other = p == &p->call->caller ? p->call->called : &p->call->caller;
	return other != NULL && other->leg != NULL &&
			       other->leg->state == LEG_UP
		       ? other->leg
		       : NULL;
}

static bool may_not(const struct leg *leg)
{
	return leg->c.account != NULL && leg->c.account->row->no_message;
}

int message_inside(struct leg *leg, nta_incoming_t *irq, const sip_t *sip)
{
	const struct realm *from = realm_of(leg), *to;
	struct leg *other = other_side(leg);
	enum reason why = from != NULL ? check(leg->c.sbc->settings, from, sip)
				       : REASON_ADMIT_WRONG_REALM;
	struct leg_text *t;
	char type[64];
	char *body;

	if (why != REASON_ROUTE_OK)
		return refuse(leg, irq, why);
	if (may_not(leg) || (other != NULL && may_not(other)))
		return refuse(leg, irq, REASON_MESSAGE_ACCOUNT);
	to = other != NULL ? realm_of(other) : NULL;
	if (to == NULL)
		return refuse(leg, irq, REASON_MESSAGE_FAR_SILENT);
	why = may_go_to(to, sip);
	if (why != REASON_ROUTE_OK)
		return refuse(leg, irq, why);
	t = calloc(1, sizeof *t);
	body = strndup(sip->sip_payload->pl_data, sip->sip_payload->pl_len);
	snprintf(type, sizeof type, "%s;charset=UTF-8", type_of(sip));
	if (t != NULL && body != NULL)
		t->orq = leg_send_as(other, on_answer,
			(nta_outgoing_magic_t *)t, SIP_METHOD_MESSAGE, NULL,
			SIPTAG_CONTENT_TYPE_STR(type), SIPTAG_PAYLOAD_STR(body),
			TAG_END());
	free(body);
	if (t == NULL || t->orq == NULL) {
		free(t);
		return refuse(leg, irq, REASON_CALL_INTERNAL);
	}
	t->irq = irq;
	t->leg = other;
	LIST_INSERT_HEAD(&other->texts, t, link);
	return 0;
}
