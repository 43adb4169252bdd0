/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What happens inside a call that is up: hold and other changes from both
 * sides, requests of every method, who may speak, how it ends by itself.
 */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "tests/unit/call_steps.h"
#include "tests/unit/suite.h"

static void begin_up(struct scene *s)
{
	sc_begin(s, NULL);
	sc_up(s);
}

/* ----------------------------------------------------------------- changes */

/* The caller holds: the phone hears of it, and back. */
START_TEST(hold_and_resume)
{
	struct scene s;
	const char *answer;

	begin_up(&s);
	dl_offer(&s.caller, "INVITE", sc_caller_sdp(&s, "8", "sendonly"));
	ck_assert(msg_has(dl_take_offer(&s.called), "a=sendonly"));
	ck_assert_str_eq(
		msg_tag(s.phone.rx, "To"), strstr(s.called.local, ";tag=") + 5);
	dl_agree(&s.called, sc_phone_sdp(&s, "8", "recvonly"));
	answer = dl_take_answer(&s.caller);
	ck_assert(msg_has(answer, "a=recvonly"));
	ck_assert_uint_eq(sdp_port_of(answer), 40004);
	cw_turn(s.w);
	/* On hold nobody is missed who must not send. */
	ck_assert(!s.w->want->called->may_send);
	ck_assert(!s.w->want->called->must_send);
	ck_assert(s.w->want->caller->must_send);
	dl_offer(&s.caller, "INVITE", sc_caller_sdp(&s, "8", NULL));
	ck_assert(msg_has(dl_take_offer(&s.called), "a=sendrecv"));
	dl_agree(&s.called, sc_phone_sdp(&s, "8", NULL));
	dl_take_answer(&s.caller);
	cw_turn(s.w);
	ck_assert(s.w->want->called->must_send);
	sc_finish(&s);
}
END_TEST

/* The phone holds, with inactive and with 0.0.0.0. */
START_TEST(hold_from_called)
{
	struct scene s;
	const char *offer;

	begin_up(&s);
	dl_offer(&s.called, "INVITE", sc_phone_sdp(&s, "8", "inactive"));
	ck_assert(msg_has(dl_take_offer(&s.caller), "a=inactive"));
	dl_agree(&s.caller, sc_caller_sdp(&s, "8", "inactive"));
	ck_assert(msg_has(dl_take_answer(&s.called), "a=inactive"));
	cw_turn(s.w);
	ck_assert(!s.w->want->called->may_send);
	ck_assert(!s.w->want->caller->may_send);
	dl_offer(&s.called, "INVITE",
		"v=0\r\no=- 1 9 IN IP4 192.0.2.5\r\ns=-\r\n"
		"c=IN IP4 0.0.0.0\r\nt=0 0\r\nm=audio 7000 RTP/AVP 8\r\n");
	offer = dl_take_offer(&s.caller);
	ck_assert(msg_has(offer, "a=sendonly"));
	ck_assert(!msg_has(offer, "0.0.0.0"));
	dl_agree(&s.caller, sc_caller_sdp(&s, "8", "recvonly"));
	dl_take_answer(&s.called);
	cw_turn(s.w);
	ck_assert(!s.w->want->called->may_receive);
	sc_finish(&s);
}
END_TEST

/* Only the address changes: the far side need not know. */
START_TEST(new_address)
{
	struct scene s;
	uint32_t generation;

	begin_up(&s);
	generation = s.w->want->caller->learn_generation;
	dl_offer(&s.caller, "INVITE", sdp_text(&s.itsp, 6666, "8 101", NULL));
	sp_expect(&s.itsp, "SIP/2.0 200");
	ck_assert_str_eq(s.w->want->caller->remote_rtp, cw_at(2, 6666));
	ck_assert_uint_gt(s.w->want->caller->learn_generation, generation);
	dl_ack(&s.caller, NULL);
	sp_silent(&s.phone);
	sc_finish(&s);
}
END_TEST

/* A change that the other side refuses leaves everything as it was. */
START_TEST(refused_change)
{
	struct scene s;
	unsigned wants;

	begin_up(&s);
	wants = s.w->n_wants;
	dl_offer(&s.caller, "INVITE", sc_caller_sdp(&s, "8", "sendonly"));
	dl_take_offer(&s.called);
	dl_answer(&s.called, s.phone.rx, 488, NULL, NULL);
	sp_expect(&s.phone, "ACK ");
	dl_take_refusal(&s.caller, 488);
	cw_turn(s.w);
	ck_assert_uint_eq(s.w->n_wants, wants);
	/* Nor does one that mediad cannot do. */
	s.w->media_refuses = REASON_SESSION_REFUSED;
	s.w->refuses_once = true;
	dl_offer(&s.caller, "INVITE", sdp_text(&s.itsp, 6666, "8 101", NULL));
	sp_expect(&s.itsp, "SIP/2.0 50");
	dl_ack(&s.caller, NULL);
	cw_turn(s.w);
	ck_assert_str_eq(s.w->want->caller->remote_rtp, cw_at(2, 6000));
	/* T.38 and broken descriptions do not even reach it. */
	dl_offer(&s.caller, "INVITE",
		"v=0\r\no=- 1 9 IN IP4 192.0.2.5\r\ns=-\r\n"
		"c=IN IP4 192.0.2.5\r\nt=0 0\r\nm=image 6000 udptl t38\r\n");
	dl_take_refusal(&s.caller, 488);
	dl_offer(&s.caller, "INVITE", "v=1\r\n");
	dl_take_refusal(&s.caller, 400);
	dl_request(&s.caller, "INVITE", NULL, "text/plain", "hello");
	dl_take_refusal(&s.caller, 415);
	sp_silent(&s.phone);
	sc_finish(&s);
}
END_TEST

/* Both sides hold in the same moment. */
START_TEST(glare)
{
	struct scene s;
	char theirs[CW_TEXT];

	begin_up(&s);
	dl_offer(&s.caller, "INVITE", sc_caller_sdp(&s, "8", "sendonly"));
	dl_take_offer(&s.called);
	snprintf(theirs, sizeof theirs, "%s", s.phone.rx);
	dl_offer(&s.called, "INVITE", sc_phone_sdp(&s, "8", "sendonly"));
	dl_take_refusal(&s.called, 491);
	dl_answer(&s.called, theirs, 491, NULL, NULL);
	sp_expect(&s.phone, "ACK ");
	dl_take_refusal(&s.caller, 491);
	/* Who asks again alone gets it. */
	dl_offer(&s.called, "INVITE", sc_phone_sdp(&s, "8", "sendonly"));
	dl_take_offer(&s.caller);
	dl_agree(&s.caller, sc_caller_sdp(&s, "8", "recvonly"));
	dl_take_answer(&s.called);
	sc_finish(&s);
}
END_TEST

/* A re-INVITE without an offer: ours is in the 200, the answer in the ACK. */
START_TEST(offerless_change)
{
	struct scene s;

	begin_up(&s);
	dl_request(&s.caller, "INVITE", NULL, NULL, NULL);
	sp_expect(&s.itsp, "SIP/2.0 200");
	ck_assert_uint_eq(sdp_port_of(msg_body(s.itsp.rx)), 40004);
	sp_silent(&s.phone);
	dl_ack(&s.caller, sc_caller_sdp(&s, "8 101", "sendonly"));
	/* It is a hold after all: the phone hears of it now. */
	ck_assert(msg_has(dl_take_offer(&s.called), "a=sendonly"));
	dl_agree(&s.called, sc_phone_sdp(&s, "8 101", "recvonly"));
	cw_turn(s.w);
	ck_assert(!s.w->want->called->may_send);
	dl_request(&s.caller, "INVITE", NULL, NULL, NULL);
	/* The ACK owes an answer: nothing changes. */
	dl_take_answer(&s.caller);
	sc_finish(&s);
}
END_TEST

START_TEST(update)
{
	struct scene s;

	begin_up(&s);
	dl_request(&s.caller, "UPDATE", NULL, NULL, NULL);
	sp_expect(&s.itsp, "SIP/2.0 200");
	sp_silent(&s.phone);
	dl_offer(&s.called, "UPDATE", sc_phone_sdp(&s, "8 101", "sendonly"));
	dl_take_offer(&s.caller);
	dl_agree(&s.caller, sc_caller_sdp(&s, "8 101", "recvonly"));
	sp_expect(&s.phone, "SIP/2.0 200");
	ck_assert(msg_has(msg_body(s.phone.rx), "a=recvonly"));
	sc_finish(&s);
}
END_TEST

/* The caller takes its change back while the phone is being asked. */
START_TEST(cancelled_change)
{
	struct scene s;

	begin_up(&s);
	dl_offer(&s.caller, "INVITE", sc_caller_sdp(&s, "8 101", "sendonly"));
	dl_take_offer(&s.called);
	dl_give_up(&s.caller);
	dl_agree(&s.called, sc_phone_sdp(&s, "8 101", "recvonly"));
	/* The phone is brought back to what the caller knows. */
	ck_assert(msg_has(dl_take_offer(&s.called), "a=sendrecv"));
	dl_agree(&s.called, sc_phone_sdp(&s, "8 101", NULL));
	cw_turn(s.w);
	ck_assert(s.w->want->called->may_send);
	sc_finish(&s);
}
END_TEST

/* ----------------------------------------------------------- other methods */

START_TEST(other_methods)
{
	struct scene s;
	const char *allow;

	begin_up(&s);
	dl_request(&s.caller, "OPTIONS", NULL, NULL, NULL);
	allow = msg_header_value(sp_expect(&s.itsp, "SIP/2.0 200"), "Allow", 0);
	ck_assert(msg_has(allow, "INVITE"));
	ck_assert(!msg_has(allow, "REFER"));
	dl_request(&s.called, "REFER", "Refer-To: <sip:x@192.0.2.1>\r\n", NULL,
		NULL);
	sp_expect(&s.phone, "SIP/2.0 405");
	ck_assert_str_ne(msg_header_value(s.phone.rx, "Allow", 0), "");
	dl_request(&s.called, "MESSAGE", NULL, "text/plain", "hi");
	sp_expect(&s.phone, "SIP/2.0 405");
	dl_request(&s.caller, "INVITE", "Require: frobnicate\r\n",
		"application/sdp", sc_caller_sdp(&s, "8", "sendonly"));
	dl_take_refusal(&s.caller, 420);
	ck_assert_str_eq(
		msg_header_value(s.itsp.rx, "Unsupported", 0), "frobnicate");
	sp_silent(&s.phone);
	sc_finish(&s);
}
END_TEST

START_TEST(keys_by_info)
{
	struct scene s;

	begin_up(&s);
	dl_request(&s.caller, "INFO", NULL, "application/dtmf-relay",
		"Signal=7\r\nDuration=250\r\nSecret=x\r\n");
	sp_expect(&s.itsp, "SIP/2.0 200");
	sp_expect(&s.phone, "INFO ");
	ck_assert_str_eq(msg_body(s.phone.rx), "Signal=7\r\nDuration=250\r\n");
	dl_answer(&s.called, s.phone.rx, 200, NULL, NULL);
	dl_request(&s.called, "INFO", NULL, "application/dtmf", "#");
	sp_expect(&s.phone, "SIP/2.0 200");
	sp_expect(&s.itsp, "INFO ");
	ck_assert_str_eq(msg_body(s.itsp.rx), "Signal=#\r\nDuration=160\r\n");
	dl_answer(&s.caller, s.itsp.rx, 200, NULL, NULL);
	dl_request(&s.called, "INFO", NULL, "text/plain", "Signal=1");
	sp_expect(&s.phone, "SIP/2.0 415");
	ck_assert(msg_has(msg_header_value(s.phone.rx, "Accept", 0), "dtmf"));
	sp_silent(&s.itsp);
	sc_finish(&s);
}
END_TEST

/* The far side has forgotten the dialog. */
START_TEST(dialog_gone)
{
	struct scene s;

	begin_up(&s);
	dl_request(&s.caller, "INFO", NULL, "application/dtmf", "1");
	sp_expect(&s.itsp, "SIP/2.0 200");
	sp_expect(&s.phone, "INFO ");
	dl_answer(&s.called, s.phone.rx, 481, NULL, NULL);
	dl_take_bye(&s.caller);
	sp_expect(&s.phone, "BYE ");
	dl_answer(&s.called, s.phone.rx, 481, NULL, NULL);
	sc_over(&s, REASON_CALL_DIALOG_GONE, 200, "called");
}
END_TEST

/* ----------------------------------------------------------- who may speak */

/* A trunk speaks from its own addresses only. */
START_TEST(foreign_source)
{
	struct scene s;
	struct sip_peer other;
	struct dialog d;

	begin_up(&s);
	sp_open(s.w, &other, 3); /* a trunk, but another one */
	d = s.caller;
	dl_request_from(&d, &other, "BYE", NULL, NULL, NULL);
	sp_expect(&other, "SIP/2.0 481");
	dl_request_from(&d, &other, "INVITE", NULL, "application/sdp",
		sc_caller_sdp(&s, "8", "inactive"));
	sp_expect(&other, "SIP/2.0 481");
	s.caller.cseq = d.cseq;
	sp_silent(&s.phone);
	sp_close(&other);
	sc_finish(&s);
}
END_TEST

/* Another port of the same trunk's host is one of its sources. */
START_TEST(trunk_from_another_port)
{
	struct scene s;
	struct sip_peer other;

	begin_up(&s);
	sp_open(s.w, &other, 2);
	dl_request_from(&s.caller, &other, "BYE", NULL, NULL, NULL);
	sp_expect(&other, "SIP/2.0 200");
	dl_take_bye(&s.called);
	sc_cdr(cw_cdr(s.w), REASON_CALL_CALLER_HUNG_UP, 200, "caller");
	sp_close(&other);
	sc_end(&s);
}
END_TEST

/* The phone asks for a change from its new address, and once more with
 * credentials. */
static void asks_from_there(
	struct dialog *called, const char *user, const char *response)
{
	const char *sdp = sdp_text(called->p, 7300, "8 101", NULL);

	dl_offer(called, "INVITE", sdp);
	dl_take_refusal(called, 401);
	dl_request(called, "INVITE", dl_credentials(called, user, response),
		"application/sdp", sdp);
}

/* A phone that comes from elsewhere proves who it is, and the dialog moves. */
START_TEST(phone_moves)
{
	struct scene s;
	struct sip_peer other;
	uint32_t generation;

	begin_up(&s);
	generation = s.w->want->called->learn_generation;
	sp_open(s.w, &other, 7);
	s.called.p = &other;
	/* Right, but somebody else's. */
	asks_from_there(&s.called, "u2", "good");
	dl_take_refusal(&s.called, 403);
	dl_request(&s.called, "OPTIONS", NULL, NULL, NULL);
	sp_expect(&other, "SIP/2.0 401");
	dl_request(&s.called, "OPTIONS",
		dl_credentials(&s.called, "u1", "wrong"), NULL, NULL);
	sp_expect(&other, "SIP/2.0 4");
	ck_assert_uint_eq(s.w->want->called->learn_generation, generation);
	asks_from_there(&s.called, "u1", "good");
	dl_take_answer(&s.called);
	cw_turn(s.w);
	ck_assert_str_eq(s.w->want->called->remote_rtp, cw_at(7, 7300));
	ck_assert_uint_gt(s.w->want->called->learn_generation, generation);
	/* From now on it is found there. */
	dl_hang_up(&s.caller);
	dl_take_bye(&s.called);
	sc_cdr(cw_cdr(s.w), REASON_CALL_CALLER_HUNG_UP, 200, "caller");
	sp_close(&other);
	sc_end(&s);
}
END_TEST

/* ------------------------------------------------------- the end by itself */

START_TEST(media_times_out)
{
	struct scene s;
	const Gh__Cdr *cdr;

	begin_up(&s);
	cw_media_event(s.w, GH__MEDIA_EVENT_KIND__MEDIA_TIMED_OUT, true);
	sc_take_byes(&s);
	cdr = cw_cdr(s.w);
	sc_cdr(cdr, REASON_CALL_MEDIA_TIMEOUT, 200, "sbc");
	ck_assert_uint_ge(cdr->n_decisions, 3);
	sc_end(&s);
}
END_TEST

START_TEST(longest_duration)
{
	struct scene s;

	begin_up(&s);
	cw_fire(s.w, EV_LIFE);
	sc_take_byes(&s);
	sc_over(&s, REASON_CALL_MAX_DURATION, 200, "sbc");
}
END_TEST

static void expect_only_byes(struct sip_peer *p)
{
	while (recv(p->fd, p->rx, sizeof p->rx, 0) > 0)
		ck_assert_int_eq(strncmp(p->rx, "BYE ", 4), 0);
}

/* A dead peer: neither answers the BYE, the call is over all the same. */
START_TEST(dead_peers)
{
	struct scene s;

	begin_up(&s);
	cw_fire(s.w, EV_LIFE);
	sc_cdr(cw_cdr(s.w), REASON_CALL_MAX_DURATION, 200, "sbc");
	cw_wait_empty(s.w);
	expect_only_byes(&s.itsp);
	expect_only_byes(&s.phone);
	sc_end(&s);
}
END_TEST

/* Talk goes on while mediad is away; it is told everything when it is back. */
START_TEST(mediad_comes_back)
{
	struct scene s;
	unsigned wants;

	begin_up(&s);
	cw_mediad_stop(s.w);
	ck_assert_int_eq(cw_call(s.w)->state, CALL_UP);
	dl_offer(&s.caller, "INVITE", sc_caller_sdp(&s, "8 101", "sendonly"));
	dl_take_offer(&s.called);
	dl_agree(&s.called, sc_phone_sdp(&s, "8 101", "recvonly"));
	dl_take_refusal(&s.caller, 503);
	wants = s.w->n_wants;
	cw_mediad_start(s.w);
	cw_turn(s.w);
	ck_assert_uint_gt(s.w->n_wants, wants);
	ck_assert_str_eq(s.w->want->caller->remote_rtp, cw_at(2, 6000));
	sc_finish(&s);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("sbc_call_inside");

	suite_add(s, "hold_and_resume", hold_and_resume);
	suite_add(s, "hold_from_called", hold_from_called);
	suite_add(s, "new_address", new_address);
	suite_add(s, "refused_change", refused_change);
	suite_add(s, "glare", glare);
	suite_add(s, "offerless_change", offerless_change);
	suite_add(s, "update", update);
	suite_add(s, "cancelled_change", cancelled_change);
	suite_add(s, "other_methods", other_methods);
	suite_add(s, "keys_by_info", keys_by_info);
	suite_add(s, "dialog_gone", dialog_gone);
	suite_add(s, "foreign_source", foreign_source);
	suite_add(s, "trunk_from_another_port", trunk_from_another_port);
	suite_add(s, "phone_moves", phone_moves);
	suite_add(s, "media_times_out", media_times_out);
	suite_add(s, "longest_duration", longest_duration);
	suite_add(s, "dead_peers", dead_peers);
	suite_add(s, "mediad_comes_back", mediad_comes_back);
	return s;
}

int main(void)
{
	return suite_run(suite());
}
