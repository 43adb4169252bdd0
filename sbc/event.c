/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One subscription: a phone's dialog and a dialog with the PBX (RFC 6665).
 *
 *	SUBSCRIBE -> AIMING -> ASKING --2xx--> UP <--> REFRESHING
 *	                |         |            |  \        |
 *	                +-refused-+-> GONE <---+   +-> LAST <-+ (Expires: 0, or
 *	                                       \---/             terminated)
 *
 *	AIMING		where the PBX is, is being looked up
 *	ASKING		our first SUBSCRIBE is at the PBX; the phone's waits.
 *			A NOTIFY that overtakes the answer is held back
 *	UP		in force; NOTIFYs pass, each answered by the phone
 *	REFRESHING	the phone's next SUBSCRIBE (also Expires: 0) is at the
 *			PBX, NOTIFYs pass
 *	LAST		over but for the last NOTIFY
 *
 * Decides: what each side is told when the other one asks, fails or ends. Who
 * may subscribe at all is in event_ask.c, what a NOTIFY carries in
 * event_notify.c and event_body.c, limits and the choice of the PBX in
 *events.c.
 *
 * The first NOTIFY makes the dialog with the PBX (RFC 6665 4.4.1): those of
 * other forks then find no dialog and get 481 from the library. The PBX is
 * asked for what the phone asks for; all identity is the account's.
 */
#include "config.h"

#include "sbc/event_inner.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sofia-sip/sip_status.h>
#include <sofia-sip/su_tagarg.h>

#include "sbc/trunk.h"

/* The PBX ends by itself what runs out; so many T1 we wait for its last word.
 */
#define GRACE_T1    20u
#define ATTEMPT_T1  8u  /* without a sign of a place, while there are others */
#define TOTAL_T1    24u /* until the phone has an answer */
/* When a phone whose PBX never said anything may try again. */
#define PROBATION_S 60u

static const char *const state_names[] = {
	[SUB_AIMING] = "aiming",
	[SUB_ASKING] = "asking",
	[SUB_UP] = "up",
	[SUB_REFRESHING] = "refreshing",
	[SUB_LAST] = "last",
	[SUB_GONE] = "gone",
};
_Static_assert(sizeof state_names / sizeof *state_names == SUB_STATE_COUNT,
	"each state has a name");

static const char *const event_names[] = {
	[SUB_EV_AIMED] = "aimed",
	[SUB_EV_ACCEPTED] = "accepted",
	[SUB_EV_REFUSED] = "refused",
	[SUB_EV_ASK] = "ask",
	[SUB_EV_NOTIFY] = "notify",
	[SUB_EV_PASSED] = "passed",
	[SUB_EV_TIMER] = "timer",
	[SUB_EV_STOP] = "stop",
};
_Static_assert(sizeof event_names / sizeof *event_names == SUB_EVENT_COUNT,
	"each event has a name");

typedef enum sub_state (*sub_fn)(struct sub *s, const struct sub_input *in);

static enum sub_state on_accepted(struct sub *s, const struct sub_input *in);
static enum sub_state on_refused(struct sub *s, const struct sub_input *in);
static enum sub_state on_no_answer(struct sub *s, const struct sub_input *in);
static enum sub_state on_run_out(struct sub *s, const struct sub_input *in);
static enum sub_state on_give_up(struct sub *s, const struct sub_input *in);
static enum sub_state on_abandon(struct sub *s, const struct sub_input *in);
static enum sub_state on_stop(struct sub *s, const struct sub_input *in);
static enum sub_state on_left(struct sub *s, const struct sub_input *in);
static enum sub_state on_late(struct sub *s, const struct sub_input *in);

/* THE table. An event that has no row changes nothing; a request that comes
 * with it is answered 481. */
static const sub_fn table[SUB_STATE_COUNT][SUB_EVENT_COUNT] = {
	[SUB_AIMING] =
		{
			[SUB_EV_AIMED] = sub_aimed,
			[SUB_EV_ASK] = sub_ask_again,
			[SUB_EV_TIMER] = on_no_answer,
			[SUB_EV_STOP] = on_abandon,
		},
	[SUB_ASKING] =
		{
			[SUB_EV_ACCEPTED] = on_accepted,
			[SUB_EV_REFUSED] = on_refused,
			[SUB_EV_ASK] = sub_ask_again,
			[SUB_EV_NOTIFY] = sub_hold,
			[SUB_EV_TIMER] = on_no_answer,
			[SUB_EV_STOP] = on_abandon,
		},
	[SUB_UP] =
		{
			[SUB_EV_ACCEPTED] = on_late,
			[SUB_EV_ASK] = sub_ask,
			[SUB_EV_NOTIFY] = sub_notify,
			[SUB_EV_PASSED] = sub_passed,
			[SUB_EV_TIMER] = on_run_out,
			[SUB_EV_STOP] = on_stop,
		},
	[SUB_REFRESHING] =
		{
			[SUB_EV_ACCEPTED] = on_accepted,
			[SUB_EV_REFUSED] = on_refused,
			[SUB_EV_ASK] = sub_ask_again,
			[SUB_EV_NOTIFY] = sub_notify,
			[SUB_EV_PASSED] = sub_passed,
			[SUB_EV_TIMER] = on_no_answer,
			[SUB_EV_STOP] = on_stop,
		},
	[SUB_LAST] =
		{
			[SUB_EV_ACCEPTED] = on_left,
			[SUB_EV_REFUSED] = on_left,
			[SUB_EV_ASK] = sub_ask_late,
			[SUB_EV_NOTIFY] = sub_swallow,
			[SUB_EV_PASSED] = sub_passed,
			[SUB_EV_TIMER] = on_give_up,
			[SUB_EV_STOP] = on_give_up,
		},
};

const char *sub_state_name(enum sub_state s)
{
	return (unsigned)s < SUB_STATE_COUNT ? state_names[s] : "?";
}

const char *sub_event_name(enum sub_event e)
{
	return (unsigned)e < SUB_EVENT_COUNT ? event_names[e] : "?";
}

void sub_event(struct sub *s, const struct sub_input *in)
{
	sub_fn fn = table[s->state][in->event];
	enum sub_state old = s->state, next;

	if (fn == NULL) {
		if (in->irq != NULL)
			sub_reply(s, in->irq, REASON_EVENT_FAR_FORGOT, 481);
		return;
	}
	next = fn(s, in);
	s->state = next;
	if (next != old)
		log_debug("subscription_state", LOG_CALL(s->id),
			LOG_STR("old", sub_state_name(old)),
			LOG_STR("event", sub_event_name(in->event)),
			LOG_STR("new", sub_state_name(next)));
	if (next == SUB_GONE) {
		sub_bury(s);
		return;
	}
	sub_save(s);
	if (next != old || in->event == SUB_EV_ACCEPTED ||
		in->event == SUB_EV_NOTIFY)
		sub_arm(s);
}

/* --- time --- */

static uint64_t t1_us(const struct sub *s)
{
	return settings_number(s->sbc->settings, "sip_t1_ms", 500, 50, 5000) *
	       CLOCK_US_PER_MS;
}

void sub_begin_waiting(struct sub *s)
{
	s->deadline_us = clock_now_us() + TOTAL_T1 * t1_us(s);
}

/* The timer of the state. */
void sub_arm(struct sub *s)
{
	uint64_t now = clock_now_us(), delay = 64 * t1_us(s);
	uint64_t end = s->expires_us + GRACE_T1 * t1_us(s);

	switch (s->state) {
	case SUB_AIMING:
	case SUB_ASKING:
		/* So that the phone has an answer before it gives up; while
		 * there may be another place, less. */
		delay = s->deadline_us > now ? s->deadline_us - now : 0;
		if (s->state == SUB_ASKING && s->walk.trunk != NULL &&
			delay > ATTEMPT_T1 * t1_us(s))
			delay = ATTEMPT_T1 * t1_us(s);
		break;
	case SUB_REFRESHING:
		delay = TOTAL_T1 * t1_us(s);
		break;
	case SUB_UP:
		/* RFC 6665 4.1.2.4, timer N: the first NOTIFY. */
		if (s->notified || end < now + delay)
			delay = end > now ? end - now : 0;
		break;
	case SUB_LAST:
	case SUB_GONE:
	case SUB_STATE_COUNT:
		break;
	}
	loop_timer_set(s->sbc->daemon.loop, s->timer, delay);
}

void sub_on_timer(void *arg)
{
	const struct sub_input in = {.event = SUB_EV_TIMER};

	sub_event(arg, &in);
}

/* --- answers --- */

void sub_reply(
	struct sub *s, nta_incoming_t *irq, enum reason why, unsigned status)
{
	char seconds[12];

	reason_count(why);
	if (status >= 300)
		log_peer_info("event_request_refused", LOG_CALL(s->id),
			LOG_STR("method", nta_incoming_method_name(irq)),
			LOG_UINT("status", status),
			LOG_STR("reason", reason_text(why)));
	leg_retry_after(s->phone, seconds, sizeof seconds);
	(void)nta_incoming_treply(irq, (int)status, reason_sip_phrase(status),
		TAG_IF(status == 405,
			SIPTAG_ALLOW_STR("SUBSCRIBE, NOTIFY, OPTIONS")),
		TAG_IF(status == 503 || why == REASON_EVENT_PENDING,
			SIPTAG_RETRY_AFTER_STR(seconds)),
		TAG_END());
	nta_incoming_destroy(irq);
}

void sub_answer(
	struct sub *s, enum reason why, unsigned status, const char *lines)
{
	nta_incoming_t *irq = s->asked;
	char seconds[12];

	if (irq == NULL)
		return;
	s->asked = NULL;
	leg_retry_after(s->phone, seconds, sizeof seconds);
	(void)nta_incoming_treply(irq, (int)status, reason_sip_phrase(status),
		/* Who is away may come back: when to ask again. */
		TAG_IF(status == 503 || status == 480,
			SIPTAG_RETRY_AFTER_STR(seconds)),
		TAG_IF(lines != NULL, SIPTAG_HEADER_STR(lines)), TAG_END());
	nta_incoming_destroy(irq);
	reason_count(why);
	log_info("event_refused", LOG_CALL(s->id),
		LOG_STR("package", s->package->name),
		LOG_UINT("status", status),
		LOG_STR("reason", reason_text(why)));
}

static void answer_ok(struct sub *s, uint32_t granted_s)
{
	nta_incoming_t *irq = s->asked;
	char expires[12];

	if (irq == NULL)
		return;
	s->asked = NULL;
	/* Who has the 200 counts on us: also after a kill. */
	sub_save(s);
	snprintf(expires, sizeof expires, "%u", (unsigned)granted_s);
	(void)nta_incoming_treply(irq, SIP_200_OK,
		SIPTAG_CONTACT_STR(s->phone->contact),
		SIPTAG_EXPIRES_STR(expires), TAG_END());
	nta_incoming_destroy(irq);
}

/* --- the PBX's answer to our SUBSCRIBE --- */

/* How long the PBX lets it live: never longer than was asked. */
static uint32_t take_granted(struct sub *s, const sip_t *sip)
{
	const sip_expires_t *ex = sip->sip_expires;
	uint32_t granted = s->asked_s;

	if (ex != NULL && ex->ex_delta < granted)
		granted = (uint32_t)ex->ex_delta;
	s->expires_us = clock_now_us() + granted * CLOCK_US_PER_S;
	return granted;
}

/* The phone has been told that nobody answered: it asks again. */
static enum sub_state on_late(struct sub *s, const struct sub_input *in)
{
	return take_granted(s, in->sip) != 0 ? SUB_UP : SUB_LAST;
}

static enum sub_state on_accepted(struct sub *s, const struct sub_input *in)
{
	uint32_t granted = take_granted(s, in->sip);
	enum sub_state next;

	target_walk_end(&s->walk);
	next = granted != 0 ? SUB_UP : SUB_LAST;
	reason_count(granted != 0 ? REASON_EVENT_OK : REASON_EVENT_ENDED);
	if (s->state == SUB_ASKING || granted == 0)
		log_info(granted != 0 ? "subscribed" : "unsubscribed",
			LOG_CALL(s->id), LOG_STR("package", s->package->name),
			LOG_STR("resource", s->resource),
			LOG_STR("extension", s->account->row->extension),
			LOG_UINT("expires_s", granted));
	s->state = next;
	answer_ok(s, granted);
	return sub_pass_held(s, next);
}

/* What the phone hears of the PBX's refusal. 481 says that the subscription is
 * gone; 423 and 489 mean the same on both sides. */
static enum sub_state on_refused(struct sub *s, const struct sub_input *in)
{
	bool first = s->state == SUB_ASKING;
	enum reason why = REASON_EVENT_FAR_REFUSED;
	unsigned status = in->status;
	char line[40];

	if (first)
		sub_drop_notes(s, 481);
	if (in->sip == NULL)
		trunk_note_silence(s->sbc->trunks, s->trunk);
	if (first && (in->sip == NULL || status == 503)) {
		enum sub_state next = sub_try_elsewhere(s);

		if (next != SUB_STATE_COUNT)
			return next;
	}
	if (in->sip == NULL) {
		sub_answer(s, REASON_EVENT_FAR_SILENT, 480, NULL);
		return first ? SUB_GONE : SUB_UP;
	}
	if (status == 423 && in->sip->sip_min_expires != NULL &&
		in->sip->sip_min_expires->me_delta <= 86400) {
		snprintf(line, sizeof line, "Min-Expires: %u",
			(unsigned)in->sip->sip_min_expires->me_delta);
		sub_answer(s, REASON_EVENT_TOO_BRIEF, 423, line);
		return first ? SUB_GONE : SUB_UP;
	}
	if (!first && (status == 481 || status == 404 || status == 410 ||
			      status == 489)) {
		sub_answer(s, REASON_EVENT_FAR_FORGOT, 481, NULL);
		sub_drop_notes(s, 481);
		return SUB_GONE;
	}
	sub_answer(s, why, status == 489 ? 489 : hdr_map_status(status), NULL);
	/* RFC 6665 4.1.2.2: a refused refresh takes nothing away. */
	return first ? SUB_GONE : SUB_UP;
}

static enum sub_state on_no_answer(struct sub *s, const struct sub_input *in)
{
	(void)in;
	trunk_note_silence(s->sbc->trunks, s->trunk);
	if (s->state == SUB_ASKING && clock_now_us() < s->deadline_us) {
		enum sub_state next = sub_try_elsewhere(s);

		if (next != SUB_STATE_COUNT)
			return next;
		/* Nowhere: who was asked has the rest of the time. */
		sub_arm(s);
		return SUB_ASKING;
	}
	sub_answer(s, REASON_EVENT_FAR_SILENT, 480, NULL);
	if (s->state == SUB_REFRESHING) {
		if (s->expires_us > clock_now_us())
			return SUB_UP;
		sub_tell_end(s, "timeout", 0);
	}
	sub_drop_notes(s, 481);
	return SUB_GONE;
}

/* --- ends --- */

static enum sub_state on_run_out(struct sub *s, const struct sub_input *in)
{
	enum reason why =
		s->notified ? REASON_EVENT_EXPIRED : REASON_EVENT_FAR_SILENT;

	(void)in;
	reason_count(why);
	log_info("subscription_ended", LOG_CALL(s->id),
		LOG_STR("reason", reason_text(why)));
	if (s->notified)
		sub_tell_end(s, "timeout", 0);
	else
		sub_tell_end(s, "probation", PROBATION_S);
	sub_leave_pbx(s);
	sub_drop_notes(s, 481);
	return SUB_GONE;
}

/* The PBX knows that it is over; its last NOTIFY may have come before its
 * answer to the phone's last SUBSCRIBE. */
static enum sub_state on_left(struct sub *s, const struct sub_input *in)
{
	if (in->event == SUB_EV_ACCEPTED)
		answer_ok(s, 0);
	else
		sub_answer(s, REASON_EVENT_FAR_FORGOT, 481, NULL);
	return s->quiet || s->told ? SUB_GONE : SUB_LAST;
}

static enum sub_state on_give_up(struct sub *s, const struct sub_input *in)
{
	(void)in;
	sub_answer(s, REASON_EVENT_FAR_FORGOT, 481, NULL);
	sub_drop_notes(s, 481);
	return SUB_GONE;
}

/* Before it was in force. */
static enum sub_state on_abandon(struct sub *s, const struct sub_input *in)
{
	sub_answer(s, in->why, 503, NULL);
	sub_drop_notes(s, 481);
	return SUB_GONE;
}

static enum sub_state on_stop(struct sub *s, const struct sub_input *in)
{
	char text[12];

	reason_count(in->why);
	sub_answer(s, in->why, 503, NULL);
	if (in->why == REASON_EVENT_SHUTDOWN) {
		leg_retry_after(s->phone, text, sizeof text);
		sub_tell_end(s, "probation", (uint32_t)strtoul(text, NULL, 10));
	}
	sub_leave_pbx(s);
	sub_drop_notes(s, 481);
	if (in->why == REASON_EVENT_SHUTDOWN)
		return SUB_GONE;
	s->quiet = true;
	return SUB_LAST;
}

/* --- inside the dialogs --- */

static int refuse_method(struct sub *s, nta_incoming_t *irq, const sip_t *sip)
{
	if (sip->sip_request->rq_method == sip_method_options) {
		(void)nta_incoming_treply(irq, SIP_200_OK,
			SIPTAG_ALLOW_STR("SUBSCRIBE, NOTIFY, OPTIONS"),
			TAG_END());
		nta_incoming_destroy(irq);
		return 0;
	}
	sub_reply(s, irq, REASON_ADMIT_METHOD, 405);
	return 0;
}

int sub_on_phone_request(struct leg *leg, nta_incoming_t *irq, const sip_t *sip)
{
	struct sub *s = leg->c.ctx;
	const struct sub_input in = {
		.event = SUB_EV_ASK, .irq = irq, .sip = sip};

	if (sip->sip_request->rq_method != sip_method_subscribe)
		return refuse_method(s, irq, sip);
	sub_event(s, &in);
	return 0;
}

int sub_on_pbx_request(struct leg *leg, nta_incoming_t *irq, const sip_t *sip)
{
	struct sub *s = leg->c.ctx;
	const struct sub_input in = {
		.event = SUB_EV_NOTIFY, .irq = irq, .sip = sip};

	if (leg != s->pbx) {
		sub_reply(s, irq, REASON_EVENT_FAR_FORGOT, 481);
		return 0;
	}
	if (sip->sip_request->rq_method != sip_method_notify)
		return refuse_method(s, irq, sip);
	sub_event(s, &in);
	return 0;
}

/* A leg has moved to another source, or its numbers have. */
void sub_on_leg(void *ctx, struct leg *leg, const struct leg_msg *msg)
{
	(void)leg;
	(void)msg;
	sub_save(ctx);
}
