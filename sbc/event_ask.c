/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The phone's SUBSCRIBE: outside of dialogs, where a subscription begins, and
 * inside, where it is kept up and ended.
 *
 * Decides: who may subscribe to what and for how long. A phone proves its
 * account first (R6); everybody else, and every package that is not in the
 * realm's list, hears 489 with what there is (RFC 6665 4.2.1). Its own mailbox
 * or lamp is asked for by its extension: the name of its account is nobody's
 * business. What its answers lead to is in event.c.
 */
#include "config.h"

#include "sbc/event_inner.h"

#include <stdio.h>
#include <string.h>

#include <sofia-sip/su_tagarg.h>

#include "sbc/auth.h"
#include "sbc/wait.h"

/* RFC 6665 has no default for all packages; RFC 3842, 4235 and 3856 have this
 * one. */
#define DEFAULT_EXPIRES_S 3600u

enum reason event_read_expires(
	const struct sbc *sbc, const sip_t *sip, uint32_t *out, uint32_t *min)
{
	uint32_t max = (uint32_t)settings_number(
		sbc->settings, "event_expires_max_s", 3600, 60, 86400);
	uint64_t asked = sip->sip_expires != NULL ? sip->sip_expires->ex_delta
						  : DEFAULT_EXPIRES_S;

	*min = (uint32_t)settings_number(
		sbc->settings, "event_expires_min_s", 60, 1, 3600);
	if (asked > max)
		asked = max;
	/* RFC 6665 4.2.1.1: an hour is never too brief. */
	if (asked != 0 && asked < *min && asked < DEFAULT_EXPIRES_S)
		return REASON_EVENT_TOO_BRIEF;
	*out = (uint32_t)asked;
	return REASON_EVENT_OK;
}

/* --- inside --- */

static bool is_same_event(const struct sub *s, const sip_event_t *o)
{
	return o != NULL && o->o_type != NULL &&
	       strcmp(o->o_type, s->package->name) == 0 &&
	       strcmp(o->o_id != NULL ? o->o_id : "", s->event_id) == 0;
}

/* The snapshot in force has the same PBX, and the list still has the package?
 * Then it is the subscription's from now on. */
static bool renew(struct sub *s)
{
	struct settings *now = s->sbc->settings;
	const struct realm_address *ra =
		settings_listener(now, &s->phone->c.peer.listener->local,
			s->phone->c.peer.listener->transport);
	const struct trunk *t = settings_trunk(now, s->trunk->row->id);

	if (ra == NULL || t == NULL || !t->row->enabled ||
		!event_realm_has(ra->realm, s->package))
		return false;
	if (now == s->settings)
		return true;
	settings_unref(&s->settings);
	s->settings = settings_ref(now);
	s->trunk = t;
	leg_renew(s->pbx, t);
	return true;
}

enum sub_state sub_ask(struct sub *s, const struct sub_input *in)
{
	uint32_t min = 0, asked = 0;
	char text[12];

	if (!is_same_event(s, in->sip->sip_event)) {
		sub_reply(s, in->irq, REASON_EVENT_SHARED, 403);
		return SUB_UP;
	}
	if (event_read_expires(s->sbc, in->sip, &asked, &min) !=
		REASON_EVENT_OK) {
		snprintf(text, sizeof text, "%u", (unsigned)min);
		reason_count(REASON_EVENT_TOO_BRIEF);
		(void)nta_incoming_treply(in->irq, 423, reason_sip_phrase(423),
			SIPTAG_MIN_EXPIRES_STR(text), TAG_END());
		nta_incoming_destroy(in->irq);
		return SUB_UP;
	}
	/* Without a first NOTIFY there is no dialog to ask in. */
	if (s->pbx->state != LEG_UP || s->pbx->change.orq != NULL) {
		sub_reply(s, in->irq, REASON_EVENT_PENDING, 500);
		return SUB_UP;
	}
	if (!renew(s)) {
		sub_reply(s, in->irq, REASON_EVENT_PACKAGE, 481);
		sub_leave_pbx(s);
		s->quiet = true;
		return SUB_LAST;
	}
	nta_leg_server_route(s->phone->dialog, NULL, in->sip->sip_contact);
	s->asked = in->irq;
	s->asked_s = asked;
	if (!sub_ask_pbx(s, NULL, NULL)) {
		sub_answer(s, REASON_CALL_INTERNAL, 500, NULL);
		return SUB_UP;
	}
	return SUB_REFRESHING;
}

enum sub_state sub_ask_again(struct sub *s, const struct sub_input *in)
{
	sub_reply(s, in->irq, REASON_EVENT_PENDING, 500);
	return s->state;
}

enum sub_state sub_ask_late(struct sub *s, const struct sub_input *in)
{
	sub_reply(s, in->irq, REASON_EVENT_ENDED, 481);
	return s->state;
}

/* --- outside of dialogs --- */

static void refuse(struct sbc *sbc, struct inbound *in, enum reason why)
{
	su_home_t *home = msg_home(in->msg);
	const char *list = event_realm_list(in->realm, home);

	if (reason_sip(why) != 489) {
		stack_refuse(sbc->stack, in, why);
		return;
	}
	stack_reply(sbc->stack, in, why, 489,
		/* Without a PBX there is none at all. */
		TAG_IF(*list != '\0' && why != REASON_EVENT_NO_PBX,
			SIPTAG_ALLOW_EVENTS_STR(list)),
		TAG_END());
}

/* What can be said before anybody is asked. */
static enum reason check(struct sbc *sbc, struct inbound *in, uint32_t *min)
{
	const sip_event_t *o = in->sip->sip_event;
	const struct event_package *p =
		o != NULL ? event_package_find(o->o_type) : NULL;
	uint32_t asked;

	if (in->trunk != NULL || p == NULL || !p->subscribed ||
		!event_realm_has(in->realm, p))
		return REASON_EVENT_PACKAGE;
	if (o->o_id != NULL && !text_is_token(o->o_id, SUB_EVENT_ID_MAX))
		return REASON_ADMIT_SYNTAX;
	return event_read_expires(sbc, in->sip, &asked, min);
}

static bool read_resource(
	const struct inbound *in, const Gh__Account *row, char *out)
{
	const char *user = in->sip->sip_request->rq_url->url_user;

	if (user == NULL || *user == '\0' || strcmp(user, row->user) == 0)
		return snprintf(out, ROUTE_NUMBER_SIZE, "%s", row->extension) <
			       ROUTE_NUMBER_SIZE &&
		       *out != '\0';
	return number_clean(user, out) == 0;
}

static int make_phone_leg(struct sub *s, const struct inbound *in,
	nta_incoming_t *irq, const sip_t *sip)
{
	struct target peer = {
		.addr = in->source, .listener = in->listener, .flow = in->flow};
	struct leg_config config = sub_phone_config(s, &peer);

	config.user = hdr_user(s->resource, s->home);
	return leg_new_dialog(&config, irq, sip, &s->phone);
}

/* The subscription that this asks for, if it may be one. */
static enum reason make(struct sbc *sbc, const struct inbound *in,
	struct account *account, struct sub **out)
{
	const sip_t *sip = in->sip;
	const struct event_package *package =
		event_package_find(sip->sip_event->o_type);
	enum reason why = events_room(sbc->events, account->row->id);
	const sip_max_forwards_t *mf = sip->sip_max_forwards;
	char resource[ROUTE_NUMBER_SIZE];
	const struct trunk *pbx;
	uint32_t min = 0;
	struct sub *s;

	if (why != REASON_EVENT_OK)
		return why;
	if (!read_resource(in, account->row, resource))
		return REASON_ROUTE_BAD_NUMBER;
	if (!event_realm_has(in->realm, package))
		return REASON_EVENT_PACKAGE; /* other settings since */
	pbx = events_pbx(sbc, sbc->settings, account->row, in->realm, resource);
	if (pbx == NULL)
		return REASON_EVENT_NO_PBX;
	s = sub_make(sbc->events, account, package);
	if (s == NULL)
		return REASON_EVENT_FULL;
	s->trunk = pbx;
	snprintf(s->resource, sizeof s->resource, "%s", resource);
	if (sip->sip_event->o_id != NULL)
		snprintf(s->event_id, sizeof s->event_id, "%s",
			sip->sip_event->o_id);
	s->max_forwards = mf != NULL ? (unsigned)mf->mf_count : 70;
	s->max_forwards -= s->max_forwards != 0;
	(void)event_read_expires(sbc, sip, &s->asked_s, &min);
	*out = s;
	return REASON_EVENT_OK;
}

/* Without a dialog with the phone there is none at all. */
static void fail(struct sub *s, nta_incoming_t *irq, int err)
{
	unsigned status = err == ERR_INVALID ? 400 : 500;

	reason_count(err == ERR_INVALID ? REASON_ADMIT_SYNTAX
					: REASON_CALL_INTERNAL);
	if (irq != NULL) {
		(void)nta_incoming_treply(
			irq, (int)status, reason_sip_phrase(status), TAG_END());
		nta_incoming_destroy(irq);
	}
	s->state = SUB_GONE;
	sub_bury(s);
}

static void on_sender_known(
	struct sbc *sbc, struct inbound *in, struct account *account)
{
	const struct sub_input aimed = {.event = SUB_EV_AIMED};
	const struct sub_input stop = {
		.event = SUB_EV_STOP, .why = REASON_EVENT_REPLACED};
	const struct inbound arrived = *in;
	struct sub *s = NULL, *old;
	enum reason why = make(sbc, in, account, &s);
	nta_incoming_t *irq;
	int err;

	if (why != REASON_EVENT_OK) {
		account_unref(&account);
		refuse(sbc, in, why);
		return;
	}
	irq = stack_accept(sbc->stack, in);
	err = irq != NULL ? make_phone_leg(s, &arrived, irq, arrived.sip)
			  : ERR_NOMEM;
	if (err != 0) {
		fail(s, irq, err);
		return;
	}
	s->asked = irq;
	old = events_alike(s);
	if (old != NULL)
		sub_event(old, &stop);
	target_walk_begin(&s->walk, sbc, s->trunk, sub_on_aimed, s);
	sub_begin_waiting(s);
	sub_arm(s);
	sub_event(s, &aimed);
}

void event_on_subscribe(struct sbc *sbc, struct inbound *in)
{
	uint32_t min = 0;
	enum reason why = check(sbc, in, &min);
	char text[12];

	if (why == REASON_EVENT_TOO_BRIEF) {
		snprintf(text, sizeof text, "%u", (unsigned)min);
		stack_reply(sbc->stack, in, why, 423,
			SIPTAG_MIN_EXPIRES_STR(text), TAG_END());
		return;
	}
	if (why != REASON_EVENT_OK) {
		refuse(sbc, in, why);
		return;
	}
	wait_for_judge(sbc, in, GH__AUTH_PURPOSE__AUTH_OTHER, on_sender_known);
}
