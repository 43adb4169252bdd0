/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Session timers of one dialog (RFC 4028): how long a session lives without a
 * sign of the peer, and who gives the sign.
 *
 * Decides: interval and refresher from what both ends say. Towards a caller
 * that can refresh, the caller refreshes; if only we can, we do. As refresher
 * we send an UPDATE where the peer allows it, else we report nothing and the
 * owner's re-INVITE stands in (LEG_EXPIRED is reported only when the peer had
 * to refresh and did not). Times are of the loop's clock.
 */
#include "config.h"

#include "sbc/leg.h"

#include <stdio.h>

#include <sofia-sip/sip_status.h>
#include <sofia-sip/su_tagarg.h>

#include "common/clock.h"
#include "common/log.h"
#include "sbc/sbc.h"

#define SE_CEILING_S LEG_INTERVAL_MAX_S

void leg_timer_stop(struct leg *leg)
{
	leg->se_due_us = 0;
	if (leg->se_timer != NULL)
		loop_timer_stop(leg->c.sbc->daemon.loop, leg->se_timer);
}

static int on_refresh_answer(
	nta_outgoing_magic_t *magic, nta_outgoing_t *orq, const sip_t *sip)
{
	struct leg *leg = (struct leg *)magic;
	unsigned status =
		sip != NULL ? (unsigned)sip->sip_status->st_status : 408;
	struct leg_msg msg = {.event = LEG_LOST, .sip = sip, .status = status};

	if (status < 200)
		return 0;
	if (leg_auth_take(leg, orq, sip, on_refresh_answer) ||
		leg_interval_take(leg, orq, sip, on_refresh_answer))
		return 0;
	leg->change.orq = NULL;
	if (status < 300) {
		leg_timer_from_answer(leg, sip);
		leg_note(leg);
	} else if (status == 481 || status == 408) {
		leg_emit(leg, &msg);
	} else {
		leg_timer_run(leg);
	}
	nta_outgoing_destroy(orq);
	return 0;
}

static void on_timer(void *arg)
{
	struct leg *leg = arg;
	struct leg_msg msg = {.event = LEG_EXPIRED, .internal = true};
	char timer[LEG_TIMER_TEXT];

	if (leg->state != LEG_UP)
		return;
	if (!leg->se_refresher) {
		leg_emit(leg, &msg);
		return;
	}
	if (!leg_can_change(leg)) {
		/* A change is under way; it refreshes the session too. */
		loop_timer_set(leg->c.sbc->daemon.loop, leg->se_timer,
			5 * CLOCK_US_PER_S);
		return;
	}
	if (!leg->update_allowed) {
		msg.event = LEG_REFRESH;
		leg_emit(leg, &msg);
		return;
	}
	leg->se_raised = false;
	leg->change.method = sip_method_update;
	leg->change.orq = leg_send(leg, on_refresh_answer, SIP_METHOD_UPDATE,
		NULL, SIPTAG_CONTACT_STR(leg->contact),
		SIPTAG_SUPPORTED_STR("timer"),
		SIPTAG_SESSION_EXPIRES_STR(
			leg_timer_request(leg, timer, sizeof timer)),
		TAG_END());
	if (leg->change.orq == NULL)
		leg_timer_run(leg);
	leg_note(leg);
}

static void set_timer(struct leg *leg, uint64_t wait_us)
{
	struct loop *loop = leg->c.sbc->daemon.loop;

	if (leg->se_timer == NULL &&
		loop_timer_new(loop, on_timer, leg, &leg->se_timer) != 0) {
		log_warning("session_timer_not_set", LOG_CALL(leg->c.call));
		return;
	}
	leg->se_due_us = clock_now_us() + wait_us;
	loop_timer_set(loop, leg->se_timer, wait_us);
}

void leg_timer_resume(struct leg *leg, uint64_t due_us)
{
	uint64_t now = clock_now_us();

	/* One that is over gets a moment: the peer's refresh may be waiting in
	 * the socket. */
	if (leg->se_interval_s != 0 && due_us != 0)
		set_timer(leg, due_us > now + CLOCK_US_PER_S ? due_us - now
							     : CLOCK_US_PER_S);
}

void leg_timer_run(struct leg *leg)
{
	uint64_t seconds = leg->se_interval_s;

	if (leg->se_interval_s == 0) {
		leg_timer_stop(leg);
		return;
	}
	/* RFC 4028 7.2 and 10: refresh at half time; give up the smaller of 32
	 * seconds and a third of the interval before its end. */
	if (leg->se_refresher)
		seconds /= 2;
	else
		seconds -= seconds / 3 < 32 ? seconds / 3 : 32;
	set_timer(leg, seconds * CLOCK_US_PER_S);
}

bool leg_interval_too_small(const struct leg *leg, const sip_t *sip)
{
	return sip->sip_session_expires != NULL &&
	       sip->sip_session_expires->x_delta < leg->c.min_se_s &&
	       sip->sip_supported != NULL &&
	       sip_has_feature(sip->sip_supported, "timer");
}

void leg_timer_from_request(struct leg *leg, const sip_t *sip)
{
	bool peer_can = sip->sip_supported != NULL &&
			sip_has_feature(sip->sip_supported, "timer");
	const sip_session_expires_t *se = sip->sip_session_expires;
	uint32_t floor = leg->c.min_se_s;

	if (sip->sip_min_se != NULL && sip->sip_min_se->min_delta > floor &&
		sip->sip_min_se->min_delta <= SE_CEILING_S)
		floor = (uint32_t)sip->sip_min_se->min_delta;
	if (se != NULL)
		leg->se_interval_s = se->x_delta > SE_CEILING_S
					     ? SE_CEILING_S
					     : (uint32_t)se->x_delta;
	else
		leg->se_interval_s = leg->c.session_expires_s;
	if (leg->se_interval_s != 0 && leg->se_interval_s < floor)
		leg->se_interval_s = floor;
	/* The peer refreshes if it can, unless it asked us to. */
	leg->se_refresher =
		!peer_can || (se != NULL && se->x_refresher != NULL &&
				     su_casematch(se->x_refresher, "uas"));
	leg->se_server = true;
	leg->se_peer_can = peer_can;
	if (leg->state == LEG_UP)
		leg_timer_run(leg);
}

void leg_timer_from_answer(struct leg *leg, const sip_t *sip)
{
	const sip_session_expires_t *se = sip->sip_session_expires;

	leg->se_server = false;
	if (se == NULL) {
		/* RFC 4028 7.2: without it in the answer we may still refresh
		 * if we want a timer; the peer knows nothing of it. */
		leg->se_interval_s = leg->c.session_expires_s;
		leg->se_refresher = true;
	} else {
		leg->se_interval_s = se->x_delta > SE_CEILING_S
					     ? SE_CEILING_S
					     : (uint32_t)se->x_delta;
		if (leg->se_interval_s < leg->c.min_se_s)
			leg->se_interval_s = leg->c.min_se_s;
		leg->se_refresher = se->x_refresher == NULL ||
				    su_casematch(se->x_refresher, "uac");
	}
	leg_timer_run(leg);
}

bool leg_timer_is_uac(const struct leg *leg)
{
	return leg->se_interval_s != 0 && leg->se_server && leg->se_peer_can &&
	       !leg->se_refresher;
}

const char *leg_timer_answer(const struct leg *leg, char *text, size_t size)
{
	if (leg->se_interval_s == 0 || (!leg->se_peer_can && leg->se_server))
		return NULL;
	snprintf(text, size, "%u;refresher=%s", (unsigned)leg->se_interval_s,
		leg->se_refresher ? "uas" : "uac");
	return text;
}

const char *leg_timer_request(const struct leg *leg, char *text, size_t size)
{
	uint32_t interval = leg->se_interval_s != 0 ? leg->se_interval_s
						    : leg->c.session_expires_s;

	if (interval == 0)
		return NULL;
	if (leg->state != LEG_UP)
		snprintf(text, size, "%u", (unsigned)interval);
	else
		snprintf(text, size, "%u;refresher=%s", (unsigned)interval,
			leg->se_refresher ? "uac" : "uas");
	return text;
}
