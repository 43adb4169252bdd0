/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls from INVITE to CDR between raw UDP peers: set-up, refusal, races and
 * tear-down. With more than one phone: test_sbc_call_fork.c.
 */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "tests/unit/call_steps.h"
#include "tests/unit/suite.h"

/* Nothing of the caller's but its number crosses. */
static void expect_hidden_caller(struct scene *s, const char *invite)
{
	ck_assert(!msg_has(invite, cw_at(2, 0)));
	ck_assert(!msg_has(invite, s->caller.call_id));
	ck_assert(!msg_has(invite, "secret"));
	ck_assert(!msg_has(invite, "X-Secret"));
	ck_assert(!msg_has(invite, "peer/1"));
	ck_assert(
		msg_has(msg_header_value(invite, "From", 0), "+491761234567"));
	ck_assert_int_eq(
		strncmp(msg_header_value(invite, "Call-ID", 0), "w0-", 3), 0);
	ck_assert_str_eq(msg_header_value(invite, "Max-Forwards", 0), "69");
	ck_assert_uint_eq(sdp_port_of(msg_body(invite)), 40006);
	ck_assert(msg_has(msg_body(invite), "c=IN IP4 127.0.0.1"));
}

/* The answer as the caller has it, and mediad before that. */
static void expect_answer(struct scene *s, const char *ok)
{
	ck_assert_uint_eq(sdp_port_of(msg_body(ok)), 40004);
	/* Behind a 1:1 NAT the world is told the outer address. */
	ck_assert(msg_has(msg_body(ok), "c=IN IP4 198.51.100.7"));
	ck_assert(!msg_has(msg_body(ok), "PCMU"));
	ck_assert(!msg_has(ok, cw_at(5, 0)));
	/* Both sides are in force before the caller hears of it. */
	ck_assert_uint_eq(s->w->want->caller->n_payloads, 2);
	ck_assert_str_eq(s->w->want->caller->remote_rtp, cw_at(2, 6000));
	ck_assert_str_eq(s->w->want->called->remote_rtp, cw_at(5, 7000));
	ck_assert(s->w->want->caller->must_send);
	ck_assert(s->w->want->called->may_receive);
}

static void expect_whole_cdr(struct scene *s, const Gh__Cdr *cdr)
{
	sc_cdr(cdr, REASON_CALL_CALLER_HUNG_UP, 200, "caller");
	ck_assert_str_eq(cdr->caller, "+491761234567");
	ck_assert_str_eq(cdr->called, "+4930100");
	ck_assert_uint_ne(cdr->wall_ring_us, 0);
	ck_assert_uint_ne(cdr->wall_answer_us, 0);
	ck_assert_uint_ne(cdr->duration_us, 0);
	ck_assert_uint_eq(cdr->attempts, 1);
	ck_assert_uint_eq(cdr->far_status, 200);
	ck_assert_str_eq(cdr->caller_leg->kind, "trunk");
	ck_assert_uint_eq(cdr->caller_leg->trunk, 1);
	ck_assert_uint_eq(cdr->caller_leg->realm, 2);
	ck_assert_str_eq(cdr->caller_leg->call_id, s->caller.call_id);
	ck_assert_str_eq(cdr->caller_leg->peer, s->itsp.text);
	ck_assert_str_eq(cdr->caller_leg->user_agent, "peer/1");
	ck_assert_uint_eq(cdr->caller_leg->media->rx_packets, 11);
	ck_assert_str_eq(cdr->called_leg->kind, "phone");
	ck_assert_uint_eq(cdr->called_leg->account, 1);
	ck_assert_str_eq(cdr->called_leg->call_id, s->called.call_id);
	ck_assert_str_eq(cdr->called_leg->codec, "PCMA");
	ck_assert_uint_eq(cdr->called_leg->media->rx_packets, 22);
}

/* Every message of a call, written out. */
START_TEST(complete)
{
	struct scene s;
	const char *m;

	sc_begin(&s, NULL);
	sc_invite(&s, "X-Secret: a\r\nSubject: b\r\n",
		sc_caller_sdp(&s, "8 0 101", NULL));
	expect_hidden_caller(&s, sp_expect(&s.phone, "INVITE sip:line@"));
	dl_from_invite(&s.called, &s.phone, &s.w->phones);
	dl_ring(&s.called);
	m = sp_expect(&s.itsp, "SIP/2.0 180");
	ck_assert_str_ne(msg_tag(m, "To"), "");
	dl_answer(&s.called, s.called.invite, 200, NULL,
		sc_phone_sdp(&s, "8 101", NULL));
	m = sp_expect(&s.phone, "ACK sip:me@");
	ck_assert_int_eq(atoi(msg_header_value(m, "CSeq", 0)),
		atoi(msg_header_value(s.called.invite, "CSeq", 0)));
	expect_answer(&s, sp_expect(&s.itsp, "SIP/2.0 200"));
	dl_answered(&s.caller);
	dl_ack(&s.caller, NULL);
	cw_turn(s.w);
	sc_bye_from_caller(&s);
	expect_whole_cdr(&s, cw_cdr(s.w));
	sc_end(&s);
}
END_TEST

/* ---------------------------------------------------------------- the end */

START_TEST(bye_from_called)
{
	struct scene s;

	sc_begin(&s, NULL);
	sc_up(&s);
	dl_hang_up(&s.called);
	dl_take_bye(&s.caller);
	sc_over(&s, REASON_CALL_CALLED_HUNG_UP, 200, "called");
}
END_TEST

/* A call of one codec whose phone rings. */
static void ringing(struct scene *s)
{
	sc_begin(s, NULL);
	sc_ring(s, sc_caller_sdp(s, "8", NULL));
}

START_TEST(cancelled)
{
	struct scene s;
	const Gh__Cdr *cdr;

	ringing(&s);
	dl_give_up(&s.caller);
	dl_take_cancel(&s.called);
	cdr = cw_cdr(s.w);
	sc_cdr(cdr, REASON_CALL_CANCELLED, 487, "caller");
	ck_assert_uint_eq(cdr->wall_answer_us, 0);
	ck_assert_uint_eq(cdr->duration_us, 0);
	sc_end(&s);
}
END_TEST

/* The phone picks up while the CANCEL is on its way to it. */
START_TEST(cancel_crosses_answer)
{
	struct scene s;

	ringing(&s);
	dl_give_up(&s.caller);
	sp_expect(&s.phone, "CANCEL sip:line@");
	dl_answer(&s.called, s.phone.rx, 200, NULL, NULL);
	dl_pick_up(&s.called, sc_phone_sdp(&s, "8", NULL));
	dl_take_bye(&s.called);
	sc_over(&s, REASON_CALL_CANCELLED, 487, "caller");
}
END_TEST

/* The caller gives up while mediad is being told of the answer. */
START_TEST(cancel_while_answering)
{
	struct scene s;

	ringing(&s);
	s.w->media_silent = true;
	dl_pick_up(&s.called, sc_phone_sdp(&s, "8", NULL));
	ck_assert_int_eq(cw_call(s.w)->state, CALL_ANSWERING);
	dl_give_up(&s.caller);
	dl_take_bye(&s.called);
	sc_over(&s, REASON_CALL_CANCELLED, 487, "caller");
}
END_TEST

static void refused(unsigned status, enum reason why, unsigned told)
{
	struct scene s;
	const Gh__Cdr *cdr;

	ringing(&s);
	/* A phone may forward its calls, but this one names no number. */
	dl_answer(&s.called, s.called.invite, status,
		"Contact: <sip:192.0.2.9>\r\n", NULL);
	sp_expect(&s.phone, "ACK ");
	dl_take_refusal(&s.caller, told);
	/* The far side's own words do not cross. */
	ck_assert(!msg_has(s.itsp.rx, "Peer says so"));
	cdr = cw_cdr(s.w);
	sc_cdr(cdr, why, told, "called");
	ck_assert_uint_eq(cdr->far_status, status);
	sc_end(&s);
}

START_TEST(far_failures)
{
	refused(486, REASON_CALL_BUSY, 486);
	refused(603, REASON_CALL_DECLINED, 603);
	refused(404, REASON_CALL_FAR_NOT_FOUND, 404);
	/* Our trouble is not the caller's: a 503 would take us out of service
	 * for it, a 401 would ask it for a password. */
	refused(503, REASON_CALL_FAR_OVERLOADED, 500);
	refused(401, REASON_CALL_FAR_UNAUTHORIZED, 500);
	refused(302, REASON_CALL_REDIRECTED, 480);
}
END_TEST

START_TEST(no_answer)
{
	struct scene s;

	ringing(&s);
	cw_fire(s.w, EV_TIMER);
	dl_take_refusal(&s.caller, 480);
	dl_take_cancel(&s.called);
	sc_over(&s, REASON_CALL_NO_ANSWER, 480, "sbc");
}
END_TEST

START_TEST(silent_phone)
{
	struct scene s;

	sc_begin(&s, NULL);
	sc_call(&s, NULL, sc_caller_sdp(&s, "8", NULL));
	cw_fire(s.w, EV_TIMER);
	dl_take_refusal(&s.caller, 480);
	sc_cdr(cw_cdr(s.w), REASON_CALL_FAR_SILENT, 480, "sbc");
	/* No CANCEL goes to a phone that has said nothing (RFC 3261 9.1); the
	 * INVITE is repeated until its time is over. */
	cw_wait_empty(s.w);
	while (recv(s.phone.fd, s.phone.rx, sizeof s.phone.rx, 0) > 0)
		ck_assert_int_eq(strncmp(s.phone.rx, "INVITE", 6), 0);
	sc_end(&s);
}
END_TEST

START_TEST(repetitions)
{
	struct scene s;

	ringing(&s);
	s.itsp.repeats = true;
	sp_send(&s.itsp, &s.w->itsp, s.caller.invite);
	sp_expect(&s.itsp, "SIP/2.0 180"); /* the last answer again */
	sp_silent(&s.phone);
	s.phone.repeats = true;
	dl_pick_up(&s.called, sc_phone_sdp(&s, "8", NULL));
	sp_expect(&s.itsp, "SIP/2.0 200");
	dl_pick_up(&s.called, sc_phone_sdp(&s, "8", NULL));
	/* No ACK yet: our 200 is repeated. */
	dl_take_answer(&s.caller);
	dl_ack(&s.caller, NULL);
	cw_turn(s.w);
	while (recv(s.itsp.fd, s.itsp.rx, sizeof s.itsp.rx, 0) > 0)
		continue; /* repetitions that were on their way */
	s.itsp.repeats = s.phone.repeats = false;
	sc_finish(&s);
}
END_TEST

/* The phone has picked up; the caller has its 200 and is silent. */
static void unacknowledged(struct scene *s)
{
	ringing(s);
	dl_pick_up(&s->called, sc_phone_sdp(s, "8", NULL));
	sp_expect(&s->itsp, "SIP/2.0 200");
	dl_answered(&s->caller);
}

static void take_late_bye(struct dialog *caller)
{
	sp_expect_but(caller->p, "BYE ", "SIP/2.0 200");
	dl_answer(caller, caller->p->rx, 200, NULL, NULL);
}

/* The caller never acknowledges. */
START_TEST(no_ack)
{
	struct scene s;

	unacknowledged(&s);
	take_late_bye(&s.caller);
	dl_take_bye(&s.called);
	sc_over(&s, REASON_CALL_NO_ACK, 200, "sbc");
}
END_TEST

/* The called side hangs up before the caller has acknowledged. */
START_TEST(bye_before_ack)
{
	struct scene s;

	unacknowledged(&s);
	dl_hang_up(&s.called);
	/* RFC 3261 15: no BYE to the caller before its ACK. */
	dl_ack(&s.caller, NULL);
	take_late_bye(&s.caller);
	sc_over(&s, REASON_CALL_CALLED_HUNG_UP, 200, "called");
}
END_TEST

/* ------------------------------------------------- calls that do not begin */

/* The caller is refused; a 503 says when to come again. */
static void turned_away(
	struct scene *s, struct dialog *d, unsigned status, enum reason why)
{
	dl_take_refusal(d, status);
	if (status == 503)
		ck_assert_str_ne(
			msg_header_value(s->itsp.rx, "Retry-After", 0), "");
	ck_assert_str_ne(msg_tag(s->itsp.rx, "To"), "");
	sc_cdr(cw_cdr(s->w), why, status, "sbc");
}

static const struct cw_config all_here, no_mediad = {.no_mediad = true};

static const struct {
	const struct cw_config *config;
	const char *to;
	const char *formats; /* NULL: sdp is the whole offer */
	const char *sdp;
	unsigned status;
	enum reason why;
} refusals[] = {
	{&all_here, "+4930999", "8", NULL, 404, REASON_ROUTE_NONE},
	{&all_here, "+4930200", "8", NULL, 480, REASON_ROUTE_NOT_REGISTERED},
	{&all_here, "+4930100", NULL, "v=0\r\nnonsense\r\n", 400,
		REASON_SDP_SYNTAX},
	{&all_here, "+4930100", "18", NULL, 488, REASON_SDP_NO_CODEC},
	{&no_mediad, "+4930100", "8", NULL, 503, REASON_SESSION_AWAY},
};

START_TEST(refusal)
{
	const char *sdp = refusals[_i].sdp;
	struct scene s;

	sc_begin(&s, refusals[_i].config);
	if (sdp == NULL)
		sdp = sc_caller_sdp(&s, refusals[_i].formats, NULL);
	dl_invite(&s.caller, &s.itsp, &s.w->itsp, "+491", refusals[_i].to, NULL,
		sdp);
	turned_away(&s, &s.caller, refusals[_i].status, refusals[_i].why);
	sc_end(&s);
}
END_TEST

/* Something that a call needs is away: it is refused for now. */
static const struct {
	enum reason media_refuses;
	bool media_silent; /* it is connected and says nothing */
	bool accounts_silent;
	enum reason why;
} troubles[] = {
	{.media_refuses = REASON_SESSION_NO_PORT,
		.why = REASON_SESSION_NO_PORT},
	{.media_silent = true, .why = REASON_SESSION_AWAY},
	{.accounts_silent = true, .why = REASON_AUTH_AWAY},
};

START_TEST(trouble)
{
	struct scene s;

	sc_begin(&s, NULL);
	if (troubles[_i].media_refuses)
		s.w->media_refuses = troubles[_i].media_refuses;
	s.w->media_silent = troubles[_i].media_silent;
	s.w->accounts_silent = troubles[_i].accounts_silent;
	sc_invite(&s, NULL, sc_caller_sdp(&s, "8", NULL));
	turned_away(&s, &s.caller, 503, troubles[_i].why);
	sc_end(&s);
}
END_TEST

/* One more call of the ITSP's, while the first one is up. */
static void call_again(struct scene *s, struct dialog *second, const char *to)
{
	dl_invite(second, &s->itsp, &s->w->itsp, "+492", to, NULL,
		sdp_text(&s->itsp, 6100, "8", NULL));
}

START_TEST(trunk_limit)
{
	static const struct cw_config one = {.itsp_max_calls = 1};
	struct scene s;
	struct dialog second;

	sc_begin(&s, &one);
	sc_up(&s);
	call_again(&s, &second, "+4930100");
	turned_away(&s, &second, 503, REASON_LIMIT_TRUNK_CALLS);
	sc_finish(&s);
}
END_TEST

START_TEST(account_limit)
{
	struct scene s;
	struct dialog second;

	sc_begin(&s, NULL);
	s.w->max_calls = 1;
	sc_up(&s);
	call_again(&s, &second, "+4930100");
	turned_away(&s, &second, 486, REASON_CALL_BUSY);
	sc_finish(&s);
}
END_TEST

/* ------------------------------------------------------- offer and answer */

/* The answer has no codec of the offer. */
START_TEST(bad_answer)
{
	struct scene s;

	ringing(&s);
	dl_pick_up(&s.called, sc_phone_sdp(&s, "0", NULL));
	dl_take_bye(&s.called);
	dl_take_refusal(&s.caller, 488);
	sc_over(&s, REASON_SDP_NO_CODEC, 488, "sbc");
}
END_TEST

START_TEST(early_media)
{
	struct scene s;
	const char *first;
	char body[1024];

	sc_begin(&s, NULL);
	sc_call(&s, NULL, sc_caller_sdp(&s, "8 0", NULL));
	first = sc_phone_sdp(&s, "8", NULL);
	dl_answer(&s.called, s.called.invite, 183, NULL, first);
	sp_expect(&s.itsp, "SIP/2.0 183");
	snprintf(body, sizeof body, "%s", msg_body(s.itsp.rx));
	ck_assert_uint_eq(sdp_port_of(body), 40004);
	ck_assert(s.w->want->called->may_send);
	/* Before the answer nobody is obliged to send. */
	ck_assert(!s.w->want->called->must_send);
	sc_pick_up(&s, first);
	ck_assert_str_eq(msg_body(s.itsp.rx), body);
	ck_assert(s.w->want->called->must_send);
	sc_finish(&s);
}
END_TEST

/* An INVITE without an offer: ours is in the 200. */
static const char *offered(struct scene *s)
{
	sc_begin(s, NULL);
	sc_call(s, NULL, NULL);
	ck_assert(msg_has(msg_body(s->phone.rx), "PCMU"));
	dl_pick_up(&s->called, sc_phone_sdp(s, "8 101", NULL));
	sp_expect(&s->itsp, "SIP/2.0 200");
	dl_answered(&s->caller);
	return msg_body(s->itsp.rx);
}

START_TEST(offerless)
{
	struct scene s;
	const char *offer = offered(&s);

	ck_assert(msg_has(offer, "PCMA"));
	ck_assert(!msg_has(offer, "PCMU"));
	dl_ack(&s.caller, sc_caller_sdp(&s, "8", NULL));
	cw_turn(s.w);
	ck_assert_str_eq(s.w->want->caller->remote_rtp, cw_at(2, 6000));
	ck_assert_uint_eq(s.w->want->caller->n_payloads, 1);
	sc_finish(&s);
}
END_TEST

/* An ACK without the answer that it owes. */
START_TEST(offerless_no_answer)
{
	struct scene s;

	offered(&s);
	dl_ack(&s.caller, NULL);
	sc_take_byes(&s);
	sc_over(&s, REASON_SDP_NO_ANSWER, 200, "sbc");
}
END_TEST

/* --------------------------------------------------------- all calls' end */

static bool emptied;

static void on_empty(void *ctx)
{
	(void)ctx;
	emptied = true;
}

static bool is_emptied(void *ctx)
{
	(void)ctx;
	return emptied;
}

START_TEST(drain_and_end)
{
	struct scene s;
	struct dialog second;

	sc_begin(&s, NULL);
	sc_up(&s);
	calls_drain(s.w->sbc.calls, true);
	call_again(&s, &second, "+4930100");
	turned_away(&s, &second, 503, REASON_ADMIT_DRAINING);
	ck_assert_uint_eq(calls_count(s.w->sbc.calls), 1);
	calls_end_all(s.w->sbc.calls, REASON_CALL_SHUTDOWN, on_empty, NULL);
	sc_take_byes(&s);
	cw_until(s.w, is_emptied, NULL, "the end of all calls");
	sc_over(&s, REASON_CALL_SHUTDOWN, 200, "sbc");
}
END_TEST

/* Freed while calls are in every kind of trouble. */
START_TEST(freed_in_mid_call)
{
	struct scene s;
	struct dialog second;

	sc_begin(&s, NULL);
	sc_up(&s);
	call_again(&s, &second, "+4930100");
	sp_expect(&s.phone, "INVITE ");
	s.w->accounts_silent = true;
	call_again(&s, &second, "+4930200");
	cw_turn(s.w);
	ck_assert_uint_eq(calls_count(s.w->sbc.calls), 3);
	sp_close(&s.itsp);
	sp_close(&s.phone);
	cw_free(&s.w);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("sbc_call");

	suite_add(s, "complete", complete);
	suite_add(s, "bye_from_called", bye_from_called);
	suite_add(s, "cancelled", cancelled);
	suite_add(s, "cancel_crosses_answer", cancel_crosses_answer);
	suite_add(s, "cancel_while_answering", cancel_while_answering);
	suite_add(s, "far_failures", far_failures);
	suite_add(s, "no_answer", no_answer);
	suite_add(s, "silent_phone", silent_phone);
	suite_add(s, "repetitions", repetitions);
	suite_add(s, "no_ack", no_ack);
	suite_add(s, "bye_before_ack", bye_before_ack);
	suite_add_rows(s, "refusal", refusal, N_ROWS(refusals));
	suite_add_rows(s, "trouble", trouble, N_ROWS(troubles));
	suite_add(s, "bad_answer", bad_answer);
	suite_add(s, "early_media", early_media);
	suite_add(s, "offerless", offerless);
	suite_add(s, "offerless_no_answer", offerless_no_answer);
	suite_add(s, "trunk_limit", trunk_limit);
	suite_add(s, "account_limit", account_limit);
	suite_add(s, "drain_and_end", drain_and_end);
	suite_add(s, "freed_in_mid_call", freed_in_mid_call);
	return s;
}

int main(void)
{
	return suite_run(suite());
}
