/* SPDX-License-Identifier: Apache-2.0 */
/* Session timers of a call's legs (RFC 4028): intervals, refreshes of each
 * side, and what a missing one ends. */
#include "config.h"

#include "tests/unit/call_steps.h"
#include "tests/unit/suite.h"

#define INTERVAL(p) msg_header_value((p)->rx, "Session-Expires", 0)

static const char agreed[] = "Session-Expires: 1800;refresher=uac\r\n";

/* What a party's timer does. */
static void fire_timer(struct scene *s, enum call_event event, bool called)
{
	struct call *c = cw_call(s->w);
	struct call_input in = {
		.event = event, .party = called ? c->called : &c->caller};

	call_event(c, &in);
}

/* The ITSP wants too short an interval, then a good one, which it refreshes;
 * the phone's is ours to refresh. */
static void set_up(struct scene *s)
{
	sc_invite(s, "Supported: timer\r\nSession-Expires: 30\r\n",
		sc_caller_sdp(s, "8 101", NULL));
	dl_take_refusal(&s->caller, 422);
	ck_assert_str_eq(msg_header_value(s->itsp.rx, "Min-SE", 0), "90");
	sc_cdr(cw_cdr(s->w), REASON_CALL_INTERVAL_TOO_SMALL, 422, "sbc");
	sc_call(s, "Supported: timer\r\nSession-Expires: 600\r\n",
		sc_caller_sdp(s, "8 101", NULL));
	dl_answer(&s->called, s->called.invite, 200, agreed,
		sc_phone_sdp(s, "8 101", NULL));
	sp_expect(&s->phone, "ACK ");
	dl_take_answer(&s->caller);
	ck_assert_str_eq(INTERVAL(&s->itsp), "600;refresher=uac");
	ck_assert(msg_has(msg_header_value(s->itsp.rx, "Require", 0), "timer"));
	cw_turn(s->w);
	ck_assert_uint_eq(cw_call(s->w)->caller.leg->se_interval_s, 600);
	ck_assert(!cw_call(s->w)->caller.leg->se_refresher);
	ck_assert(cw_call(s->w)->called->leg->se_refresher);
}

/* Our refresh of a session whose phone cannot do it, theirs, and none. */
START_TEST(session_timer)
{
	const struct cw_config config = {.session_expires_s = 1800};
	struct scene s;

	sc_begin(&s, &config);
	set_up(&s);
	/* The caller refreshes; we answer without asking the phone. */
	dl_request(&s.caller, "UPDATE",
		"Supported: timer\r\nSession-Expires: 700;refresher=uac\r\n",
		NULL, NULL);
	sp_expect(&s.itsp, "SIP/2.0 200");
	ck_assert_str_eq(INTERVAL(&s.itsp), "700;refresher=uac");
	/* A re-INVITE as refresh, when the phone has no UPDATE. */
	fire_timer(&s, EV_REFRESH, true);
	sp_expect(&s.phone, "INVITE ");
	ck_assert_str_eq(INTERVAL(&s.phone), "1800;refresher=uac");
	dl_answer(&s.called, s.phone.rx, 200, agreed,
		sc_phone_sdp(&s, "8 101", NULL));
	sp_expect(&s.phone, "ACK ");
	cw_turn(s.w);
	/* It meets a change of the phone's: we try again, later. */
	fire_timer(&s, EV_REFRESH, true);
	sp_expect(&s.phone, "INVITE ");
	dl_answer(&s.called, s.phone.rx, 491, NULL, NULL);
	sp_expect(&s.phone, "ACK ");
	ck_assert_int_eq(cw_call(s.w)->state, CALL_UP);
	cw_fire(s.w, EV_RETRY);
	sp_expect(&s.phone, "INVITE ");
	dl_agree(&s.called, sc_phone_sdp(&s, "8 101", NULL));
	cw_turn(s.w);
	ck_assert_int_eq(cw_call(s.w)->state, CALL_UP);
	/* The caller does not refresh in time. */
	fire_timer(&s, EV_EXPIRED, false);
	sc_take_byes(&s);
	sc_over(&s, REASON_CALL_SESSION_EXPIRED, 200, "caller");
}
END_TEST

/* The phone wants a longer interval than we asked for; so do we of it. */
START_TEST(interval_too_small)
{
	struct scene s;
	const char *m;

	sc_begin(&s, NULL);
	sc_call(&s, NULL, sc_caller_sdp(&s, "8 101", NULL));
	ck_assert_str_eq(INTERVAL(&s.phone), "1800");
	dl_answer(&s.called, s.called.invite, 422, "Min-SE: 3600\r\n", NULL);
	sp_expect(&s.phone, "ACK ");
	m = dl_take_invite(&s.called, &s.phone, &s.w->phones);
	ck_assert_str_eq(msg_header_value(m, "Session-Expires", 0), "3600");
	ck_assert_str_eq(msg_header_value(m, "Session-Expires", 1), "");
	ck_assert_str_eq(msg_header_value(m, "Min-SE", 0), "3600");
	sc_answer(&s);
	dl_request(&s.called, "INVITE",
		"Supported: timer\r\nSession-Expires: 60\r\n",
		"application/sdp", sc_phone_sdp(&s, "8 101", NULL));
	dl_take_refusal(&s.called, 422);
	ck_assert_str_eq(msg_header_value(s.phone.rx, "Min-SE", 0), "90");
	sc_finish(&s);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("sbc_call_timer");

	suite_add(s, "session_timer", session_timer);
	suite_add(s, "interval_too_small", interval_too_small);
	return suite_run(s);
}
