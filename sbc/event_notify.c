/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NOTIFY inside a subscription: from the PBX to the phone, rebuilt, and the
 * phone's answer back.
 *
 * Decides: which NOTIFY passes, what its Subscription-State says on the other
 * side, and what an answer means for the subscription (RFC 5057 5.1, RFC 6665
 * 4.2.2): a phone that does not know it, or is silent, ends it on both sides;
 * one whose connection is gone for the moment does not; a body that breaks its
 * package's rules is refused and changes nothing.
 *
 * Several NOTIFYs may be on their way at once (SUB_NOTES_MAX); over that the
 * PBX is asked to wait.
 */
#include "config.h"

#include "sbc/event_inner.h"

#include <stdio.h>
#include <string.h>

#include <sofia-sip/sip_status.h>
#include <sofia-sip/su_tagarg.h>

#define RETRY_AFTER_MAX_S 86400u
#define STATE_TEXT        96

/* -------------------------------------------------- Subscription-State */

static const char *one_of(
	const char *word, const char *const *words, size_t n_words)
{
	for (size_t i = 0; word != NULL && i < n_words; i++) {
		if (text_equal(word, words[i]))
			return words[i];
	}
	return NULL;
}

bool event_state_text(const sip_subscription_state_t *ss, uint64_t left_s,
	char *text, size_t size, bool *last_out)
{
	static const char *const states[] = {"active", "pending", "terminated"};
	/* RFC 6665 4.1.3, 8.4 */
	static const char *const reasons[] = {"deactivated", "probation",
		"rejected", "timeout", "giveup", "noresource", "invariant"};
	const char *state, *reason;
	uint64_t n = 0;
	struct writer w;

	if (ss == NULL)
		return false;
	state = one_of(ss->ss_substate, states, sizeof states / sizeof *states);
	if (state == NULL)
		return false;
	writer_init(&w, text, size);
	writer_add(&w, "%s", state);
	*last_out = strcmp(state, "terminated") == 0;
	if (!*last_out) {
		n = left_s;
		if (ss->ss_expires != NULL &&
			span_number(span_of(ss->ss_expires), UINT32_MAX, &n) !=
				0)
			n = left_s;
		writer_add(&w, ";expires=%llu",
			(unsigned long long)(n < left_s ? n : left_s));
		return !w.over;
	}
	reason = one_of(
		ss->ss_reason, reasons, sizeof reasons / sizeof *reasons);
	if (reason != NULL)
		writer_add(&w, ";reason=%s", reason);
	if (ss->ss_retry_after != NULL &&
		span_number(span_of(ss->ss_retry_after), RETRY_AFTER_MAX_S,
			&n) == 0)
		writer_add(&w, ";retry-after=%llu", (unsigned long long)n);
	return !w.over;
}

static uint64_t left_s(const struct sub *s)
{
	uint64_t now = clock_now_us();

	return s->expires_us > now ? (s->expires_us - now) / CLOCK_US_PER_S : 0;
}

/* ---------------------------------------------------------------- notes */

static struct note *note_free_one(struct sub *s)
{
	for (size_t i = 0; i < SUB_NOTES_MAX; i++) {
		if (!s->notes[i].used)
			return &s->notes[i];
	}
	return NULL;
}

static void note_drop(struct note *n)
{
	nta_outgoing_t *orq = n->orq;

	if (n->irq != NULL)
		nta_incoming_destroy(n->irq);
	if (orq != NULL) {
		/* Runs out without us. */
		nta_outgoing_bind(orq, NULL, NULL);
		if (nta_outgoing_status(orq) >= 200)
			nta_outgoing_destroy(orq);
	}
	*n = (struct note){0};
}

void sub_drop_notes(struct sub *s, unsigned status)
{
	for (size_t i = 0; i < SUB_NOTES_MAX; i++) {
		struct note *n = &s->notes[i];

		if (!n->used)
			continue;
		if (status != 0 && n->irq != NULL)
			(void)nta_incoming_treply(n->irq, (int)status,
				reason_sip_phrase(status), TAG_END());
		note_drop(n);
	}
}

/* ------------------------------------------------------------- passing */

static int on_note_answer(
	nta_outgoing_magic_t *magic, nta_outgoing_t *orq, const sip_t *sip)
{
	struct leg *leg = (struct leg *)magic;
	struct sub *s = leg->c.ctx;
	struct sub_input in = {.event = SUB_EV_PASSED, .sip = sip};

	in.status = sip != NULL ? (unsigned)sip->sip_status->st_status : 408;
	if (in.status < 200)
		return 0;
	for (size_t i = 0; i < SUB_NOTES_MAX; i++) {
		if (s->notes[i].used && s->notes[i].orq == orq)
			in.note = &s->notes[i];
	}
	if (in.note == NULL) {
		nta_outgoing_destroy(orq);
		return 0;
	}
	in.note->status = in.status;
	in.note->silent = sip == NULL || nta_sip_is_internal(sip);
	sub_event(s, &in);
	return 0;
}

/* The URI that the phone subscribed to, as it wrote it. */
static const char *entity_of(const struct sub *s, su_home_t *home)
{
	const char *local = s->phone->local;
	size_t len = strlen(local);

	return len > 2 && local[0] == '<'
		       ? su_strndup(home, local + 1, (isize_t)(len - 2))
		       : local;
}

static enum reason rebuild(
	struct sub *s, const sip_t *sip, su_home_t *home, const char **body)
{
	const struct realm_address *ra = settings_listener(
		s->sbc->settings != NULL ? s->sbc->settings : s->settings,
		&s->phone->c.peer.listener->local,
		s->phone->c.peer.listener->transport);
	struct event_body b = {
		.home = home,
		.entity = entity_of(s, home),
		.trunk = s->trunk,
		.ids = &s->events->ids,
	};
	struct span in = {NULL, 0};

	*body = NULL;
	if (ra == NULL)
		return REASON_ADMIT_WRONG_REALM;
	b.domain = event_domain(ra->realm, s->phone->c.peer.listener, home);
	if (sip->sip_payload != NULL)
		in = (struct span){
			sip->sip_payload->pl_data, sip->sip_payload->pl_len};
	return event_body_rebuild(s->package, &b,
		sip->sip_content_type != NULL ? sip->sip_content_type->c_type
					      : NULL,
		in, body);
}

static bool send_note(struct sub *s, struct note *n, const char *state,
	const char *body, su_home_t *home)
{
	const char *event = s->event_id[0] != '\0'
				    ? su_sprintf(home, "%s;id=%s",
					      s->package->name, s->event_id)
				    : s->package->name;

	if (event == NULL)
		return false;
	n->orq = leg_send(s->phone, on_note_answer, SIP_METHOD_NOTIFY, NULL,
		SIPTAG_CONTACT_STR(s->phone->contact), SIPTAG_EVENT_STR(event),
		SIPTAG_SUBSCRIPTION_STATE_STR(state),
		TAG_IF(body != NULL, SIPTAG_CONTENT_TYPE_STR(s->package->type)),
		TAG_IF(body != NULL, SIPTAG_PAYLOAD_STR(body)), TAG_END());
	return n->orq != NULL;
}

static unsigned status_of(enum reason why)
{
	unsigned status = reason_sip(why);

	return status >= 400 ? status : 500;
}

/* A NOTIFY that may pass: on its way, or answered. */
static enum sub_state pass(struct sub *s, struct note *n, enum sub_state state)
{
	su_home_t home[1] = {SU_HOME_INIT(home)};
	msg_t *msg = nta_incoming_getrequest(n->irq);
	const sip_t *sip = sip_object(msg);
	char text[STATE_TEXT];
	const char *body = NULL;
	enum reason why = REASON_EVENT_OK;

	su_home_init(home);
	if (!event_state_text(sip->sip_subscription_state, left_s(s), text,
		    sizeof text, &n->last))
		why = REASON_EVENT_STATE;
	if (why == REASON_EVENT_OK)
		why = rebuild(s, sip, home, &body);
	/* The end is told also where its last words can not be. */
	if (why != REASON_EVENT_OK && n->last) {
		reason_count(why);
		why = REASON_EVENT_OK;
		body = NULL;
	}
	if (why == REASON_EVENT_OK && !send_note(s, n, text, body, home))
		why = REASON_CALL_INTERNAL;
	su_home_deinit(home);
	msg_destroy(msg);
	if (why != REASON_EVENT_OK) {
		nta_incoming_t *irq = n->irq;

		n->irq = NULL;
		note_drop(n);
		sub_reply(s, irq, why, status_of(why));
		return state;
	}
	s->n_notified++;
	return n->last ? SUB_LAST : state;
}

/* The PBX may cut the time short (RFC 6665 4.1.2). */
static void take_expires(struct sub *s, const sip_subscription_state_t *ss)
{
	uint64_t seconds = 0, end;

	if (ss == NULL || ss->ss_expires == NULL ||
		span_number(span_of(ss->ss_expires), UINT32_MAX, &seconds) != 0)
		return;
	end = clock_now_us() + seconds * CLOCK_US_PER_S;
	if (end < s->expires_us)
		s->expires_us = end;
}

/* What every NOTIFY has to have, and what it tells of the dialog.
 * @return a note for it, or NULL: then it has been answered. */
static struct note *receive(struct sub *s, const struct sub_input *in)
{
	const sip_event_t *o = in->sip->sip_event;
	nta_leg_t *dialog = s->pbx->dialog;
	struct note *n;

	if (in->sip->sip_from->a_tag == NULL) {
		sub_reply(s, in->irq, REASON_ADMIT_SYNTAX, 400);
		return NULL;
	}
	if (o == NULL || o->o_type == NULL ||
		strcmp(o->o_type, s->package->name) != 0) {
		sub_reply(s, in->irq, REASON_EVENT_PACKAGE, 489);
		return NULL;
	}
	n = note_free_one(s);
	if (n == NULL) {
		sub_reply(s, in->irq, REASON_EVENT_PENDING, 500);
		return NULL;
	}
	if (nta_leg_get_rtag(dialog) == NULL) {
		/* The first fork to speak has the subscription. */
		if (nta_leg_rtag(dialog, in->sip->sip_from->a_tag) == NULL) {
			sub_reply(s, in->irq, REASON_CALL_INTERNAL, 500);
			return NULL;
		}
		nta_leg_server_route(dialog, in->sip->sip_record_route,
			in->sip->sip_contact);
		leg_set_state(s->pbx, LEG_UP);
	} else {
		nta_leg_server_route(dialog, NULL, in->sip->sip_contact);
	}
	leg_aim(s->pbx);
	s->notified = true;
	*n = (struct note){.used = true, .irq = in->irq};
	return n;
}

enum sub_state sub_notify(struct sub *s, const struct sub_input *in)
{
	struct note *n = receive(s, in);

	if (n == NULL)
		return s->state;
	take_expires(s, in->sip->sip_subscription_state);
	return pass(s, n, s->state);
}

/* It has overtaken the answer to our SUBSCRIBE. */
enum sub_state sub_hold(struct sub *s, const struct sub_input *in)
{
	(void)receive(s, in);
	return s->state;
}

enum sub_state sub_pass_held(struct sub *s, enum sub_state state)
{
	for (size_t i = 0; i < SUB_NOTES_MAX; i++) {
		struct note *n = &s->notes[i];

		if (n->used && n->orq == NULL)
			state = pass(s, n, state);
	}
	return state;
}

/* After the end: the last word of the PBX is for the phone, unless that does
 * not listen any more. */
enum sub_state sub_swallow(struct sub *s, const struct sub_input *in)
{
	const sip_subscription_state_t *ss = in->sip->sip_subscription_state;
	char text[STATE_TEXT];
	bool last = false;

	if (!s->quiet) {
		for (size_t i = 0; i < SUB_NOTES_MAX; i++)
			last = last || s->notes[i].last;
		if (!last)
			return sub_notify(s, in);
		sub_reply(s, in->irq, REASON_EVENT_ENDED, 481);
		return SUB_LAST;
	}
	if (!event_state_text(ss, 0, text, sizeof text, &last))
		last = true;
	(void)nta_incoming_treply(in->irq, SIP_200_OK, TAG_END());
	nta_incoming_destroy(in->irq);
	return last ? SUB_GONE : SUB_LAST;
}

/* ------------------------------------------------------- the phone's answer */

/* RFC 5057 5.1, RFC 6665 4.2.2: these say that there is no subscription. */
static bool ends_it(unsigned status)
{
	static const unsigned statuses[] = {404, 405, 408, 410, 416, 480, 481,
		482, 483, 484, 485, 489, 501, 604};

	for (size_t i = 0; i < sizeof statuses / sizeof *statuses; i++) {
		if (statuses[i] == status)
			return true;
	}
	return false;
}

enum sub_state sub_passed(struct sub *s, const struct sub_input *in)
{
	struct note *n = in->note;
	nta_incoming_t *irq = n->irq;
	unsigned status = n->status;
	bool last = n->last;
	/* Its connection is gone, and a new one may come any moment. */
	bool away = n->silent && status == 503;

	n->irq = NULL;
	if (status < 300) {
		(void)nta_incoming_treply(irq, SIP_200_OK, TAG_END());
		nta_incoming_destroy(irq);
		note_drop(n);
		if (!last)
			return s->state;
		reason_count(REASON_EVENT_FAR_ENDED);
		s->told = true;
		/* Its last SUBSCRIBE may still be at the PBX. */
		return s->asked != NULL ? SUB_LAST : SUB_GONE;
	}
	note_drop(n);
	if (!away && ends_it(status)) {
		sub_reply(s, irq, REASON_EVENT_PHONE_GONE, 481);
		log_info("subscription_ended", LOG_CALL(s->id),
			LOG_STR("reason", reason_text(REASON_EVENT_PHONE_GONE)),
			LOG_UINT("status", status));
		sub_drop_notes(s, 481);
		return SUB_GONE;
	}
	if (away)
		sub_reply(s, irq, REASON_CALL_FLOW_GONE, 503);
	else
		sub_reply(s, irq, REASON_EVENT_FAR_REFUSED,
			hdr_map_status(status));
	if (!last)
		return s->state;
	s->told = true;
	return s->asked != NULL ? SUB_LAST : SUB_GONE;
}

void sub_tell_end(struct sub *s, const char *reason, uint32_t retry_after_s)
{
	su_home_t home[1] = {SU_HOME_INIT(home)};
	char text[STATE_TEXT];
	struct note n = {0};
	struct writer w;

	if (s->phone == NULL || s->quiet)
		return;
	su_home_init(home);
	writer_init(&w, text, sizeof text);
	writer_add(&w, "terminated;reason=%s", reason);
	if (retry_after_s != 0)
		writer_add(&w, ";retry-after=%u", (unsigned)retry_after_s);
	if (send_note(s, &n, text, NULL, home))
		note_drop(&n); /* runs out without us */
	su_home_deinit(home);
}
