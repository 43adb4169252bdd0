/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Offers and answers in PRACK (RFC 3262 5, RFC 6337), and requests of the
 * set-up that a trunk challenges.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/call_world.h"
#include "tests/unit/suite.h"

static const char rel[] = "Require: 100rel\r\nRSeq: 41\r\n";
static const char no_update[] =
	"Require: 100rel\r\nRSeq: 41\r\nAllow: INVITE, ACK, BYE, CANCEL\r\n";
static const char wants_rel[] =
	"Require: 100rel\r\n"
	"Allow: INVITE, ACK, CANCEL, BYE, PRACK, UPDATE\r\n";

/* Acknowledges the reliable provisional in the caller's socket. */
static void send_prack(struct dialog *d, const char *sdp)
{
	char lines[128];

	snprintf(lines, sizeof lines, "RAck: %s %u INVITE\r\n",
		msg_header_value(d->p->rx, "RSeq", 0), d->invite_cseq);
	dl_answered(d);
	dl_request(
		d, "PRACK", lines, sdp != NULL ? "application/sdp" : NULL, sdp);
}

static const char *expect_prack_answer(struct dialog *d, const char *status)
{
	sp_expect_but(d->p, status, "SIP/2.0 18");
	ck_assert(msg_has(msg_header_value(d->p->rx, "CSeq", 0), "PRACK"));
	return msg_body(d->p->rx);
}

static void invite(struct scene *s, bool offers)
{
	sc_begin(s, NULL);
	dl_invite(&s->caller, &s->itsp, &s->w->itsp, "+491", "+4930100",
		wants_rel,
		offers ? sdp_text(&s->itsp, 6000, "8 101", NULL) : NULL);
	sp_expect(&s->phone, "INVITE ");
	dl_from_invite(&s->called, &s->phone, &s->w->phones);
}

/* Until the caller has our answer in a reliable 183 that it has not
 * acknowledged. */
static void early(struct scene *s, const char *lines)
{
	invite(s, true);
	dl_answer(&s->called, s->called.invite, 183, lines,
		sdp_text(&s->phone, 7000, "8 101", NULL));
	if (strstr(lines, "RSeq") != NULL) {
		sp_expect(&s->phone, "PRACK ");
		dl_answer(&s->called, s->phone.rx, 200, NULL, NULL);
	}
	sp_expect(&s->itsp, "SIP/2.0 183");
	ck_assert_uint_ne(sdp_port_of(msg_body(s->itsp.rx)), 0);
}

static void pick_up(struct scene *s, const char *sdp)
{
	dl_answer(&s->called, s->called.invite, 200, NULL, sdp);
	sp_expect(&s->phone, "ACK ");
	sp_expect(&s->itsp, "SIP/2.0 200");
	/* RFC 3261 13.2.1: it has been said. */
	ck_assert_str_eq(msg_body(s->itsp.rx), "");
	dl_answered(&s->caller);
	dl_ack(&s->caller, NULL);
	cw_turn(s->w);
}

static void finish(struct scene *s)
{
	ck_assert_int_eq(cw_call(s->w)->state, CALL_UP);
	sc_bye_from_caller(s);
	sc_cdr(cw_cdr(s->w), REASON_CALL_CALLER_HUNG_UP, 200, "caller");
	sc_end(s);
}

/* The called side can be asked: it is, by UPDATE, and the answer stands in the
 * 200 to PRACK. */
START_TEST(offer_is_asked)
{
	struct scene s;
	const char *sdp;

	early(&s, rel);
	send_prack(&s.caller, sdp_text(&s.itsp, 6200, "8 101", "sendonly"));
	sp_expect(&s.phone, "UPDATE ");
	ck_assert(msg_has(msg_body(s.phone.rx), "a=sendonly"));
	sp_silent(&s.itsp);
	dl_answer(&s.called, s.phone.rx, 200, NULL,
		sdp_text(&s.phone, 7000, "8 101", "recvonly"));
	sdp = expect_prack_answer(&s.caller, "SIP/2.0 200");
	ck_assert(msg_has(sdp, "a=recvonly"));
	ck_assert_str_eq(msg_header_value(s.itsp.rx, "Contact", 0), "");
	ck_assert_str_eq(s.w->want->caller->remote_rtp, cw_at(2, 6200));
	ck_assert(s.w->want->called->may_receive);
	ck_assert(!s.w->want->called->may_send);
	pick_up(&s, NULL);
	sp_silent(&s.phone);
	finish(&s);
}
END_TEST

/* It need not know of an address: answered at once. */
START_TEST(offer_of_an_address)
{
	struct scene s;

	early(&s, rel);
	send_prack(&s.caller, sdp_text(&s.itsp, 6200, "8 101", NULL));
	ck_assert(msg_has(
		expect_prack_answer(&s.caller, "SIP/2.0 200"), "a=sendrecv"));
	ck_assert_str_eq(s.w->want->caller->remote_rtp, cw_at(2, 6200));
	sp_silent(&s.phone);
	pick_up(&s, NULL);
	finish(&s);
}
END_TEST

/* It cannot be asked before the answer (no reliable provisional, no UPDATE), or
 * refuses: we answer out of the session, and it hears of it later. */
START_TEST(offer_is_answered_here)
{
	static const char *const lines[] = {no_update, "", rel};
	struct scene s;

	for (int i = 0; i < 3; i++) {
		const char *sdp;

		early(&s, lines[i]);
		send_prack(&s.caller,
			sdp_text(&s.itsp, 6200, "8 101", "sendonly"));
		if (i == 2) {
			sp_expect(&s.phone, "UPDATE ");
			dl_answer(&s.called, s.phone.rx, 488, NULL, NULL);
		}
		sdp = expect_prack_answer(&s.caller, "SIP/2.0 200");
		ck_assert(msg_has(sdp, "a=recvonly"));
		ck_assert_uint_eq(sdp_port_of(sdp), CW_PORT);
		cw_turn(s.w);
		ck_assert_str_eq(s.w->want->caller->remote_rtp, cw_at(2, 6200));
		ck_assert_uint_ne(s.w->want->caller->n_payloads, 0);
		ck_assert(!s.w->want->caller->may_receive);
		ck_assert_uint_eq(
			reason_counted(REASON_CALL_PRACK_ANSWERED), 1u + i);
		pick_up(&s, i == 1 ? sdp_text(&s.phone, 7000, "8 101", NULL)
				   : NULL);
		sp_expect(&s.phone, "INVITE ");
		ck_assert(msg_has(msg_body(s.phone.rx), "a=sendonly"));
		dl_answer(&s.called, s.phone.rx, 200, NULL,
			sdp_text(&s.phone, 7000, "8 101", "recvonly"));
		sp_expect(&s.phone, "ACK ");
		cw_turn(s.w);
		sp_silent(&s.itsp);
		finish(&s);
	}
}
END_TEST

/* RFC 3261 14.1: a change of ours that meets one of theirs is made again, by
 * who made the Call-ID after 2.1 to 4 seconds. */
START_TEST(glare_timers)
{
	struct scene s;
	uint64_t since;

	early(&s, no_update);
	send_prack(&s.caller, sdp_text(&s.itsp, 6200, "8 101", "sendonly"));
	expect_prack_answer(&s.caller, "SIP/2.0 200");
	pick_up(&s, NULL);
	sp_expect(&s.phone, "INVITE ");
	since = clock_now_us();
	dl_answer(&s.called, s.phone.rx, 491, NULL, NULL);
	sp_expect(&s.phone, "ACK ");
	sp_expect(&s.phone, "INVITE ");
	ck_assert_uint_ge(clock_now_us() - since, 2100 * CLOCK_US_PER_MS);
	ck_assert(msg_has(msg_body(s.phone.rx), "a=sendonly"));
	dl_answer(&s.called, s.phone.rx, 200, NULL,
		sdp_text(&s.phone, 7000, "8 101", "recvonly"));
	sp_expect(&s.phone, "ACK ");
	cw_turn(s.w);
	finish(&s);
}
END_TEST

/* What nobody can speak: the stream is refused, not the PRACK, and what held is
 * offered again. */
START_TEST(offer_does_not_fit)
{
	static char asked[CW_TEXT];
	struct scene s;
	const char *sdp;

	early(&s, no_update);
	send_prack(&s.caller, sdp_text(&s.itsp, 6200, "0", NULL));
	sdp = expect_prack_answer(&s.caller, "SIP/2.0 200");
	ck_assert(msg_has(sdp, "m=audio 0 "));
	sp_expect(&s.itsp, "UPDATE ");
	snprintf(asked, sizeof asked, "%s", s.itsp.rx);
	ck_assert(msg_has(msg_body(asked), "PCMA"));
	ck_assert_uint_eq(sdp_port_of(msg_body(asked)), CW_PORT);
	dl_answer(&s.caller, asked, 200, NULL,
		sdp_text(&s.itsp, 6400, "8 101", NULL));
	cw_turn(s.w);
	ck_assert_str_eq(s.w->want->caller->remote_rtp, cw_at(2, 6400));
	ck_assert_str_eq(s.w->want->caller->payloads[0]->codec, "PCMA");
	pick_up(&s, NULL);
	sp_silent(&s.phone);
	finish(&s);
	/* What cannot even be read is refused; all stays as it was. */
	early(&s, no_update);
	send_prack(&s.caller, "v=0\r\nnonsense\r\n");
	expect_prack_answer(&s.caller, "SIP/2.0 400");
	pick_up(&s, NULL);
	ck_assert_str_eq(s.w->want->caller->remote_rtp, cw_at(2, 6000));
	finish(&s);
}
END_TEST

/* The called side picks up while it is asked: the PRACK has its answer before
 * the INVITE has. */
START_TEST(answer_overtakes)
{
	struct scene s;
	static char asked[CW_TEXT];

	early(&s, rel);
	send_prack(&s.caller, sdp_text(&s.itsp, 6200, "8 101", "sendonly"));
	sp_expect(&s.phone, "UPDATE ");
	snprintf(asked, sizeof asked, "%s", s.phone.rx);
	dl_answer(&s.called, s.called.invite, 200, NULL, NULL);
	sp_expect(&s.phone, "ACK ");
	ck_assert(msg_has(
		expect_prack_answer(&s.caller, "SIP/2.0 200"), "a=recvonly"));
	sp_expect(&s.itsp, "SIP/2.0 200");
	ck_assert(msg_has(msg_header_value(s.itsp.rx, "CSeq", 0), "INVITE"));
	dl_answered(&s.caller);
	dl_answer(&s.called, asked, 200, NULL,
		sdp_text(&s.phone, 7000, "8 101", "recvonly"));
	dl_ack(&s.caller, NULL);
	sp_expect(&s.phone, "INVITE ");
	ck_assert(msg_has(msg_body(s.phone.rx), "a=sendonly"));
	dl_answer(&s.called, s.phone.rx, 200, NULL,
		sdp_text(&s.phone, 7000, "8 101", "recvonly"));
	sp_expect(&s.phone, "ACK ");
	cw_turn(s.w);
	finish(&s);
}
END_TEST

/* After the target has failed there is nobody to ask any more. */
START_TEST(offer_and_a_failure)
{
	struct scene s = {0};

	early(&s, rel);
	send_prack(&s.caller, sdp_text(&s.itsp, 6200, "8 101", "sendonly"));
	sp_expect(&s.phone, "UPDATE ");
	dl_answer(&s.called, s.called.invite, 486, NULL, NULL);
	sp_expect(&s.phone, "ACK ");
	expect_prack_answer(&s.caller, "SIP/2.0 200");
	sp_expect(&s.itsp, "SIP/2.0 486");
	dl_ack(&s.caller, NULL);
	sc_cdr(cw_cdr(s.w), REASON_CALL_BUSY, 486, "called");
	sc_end(&s);
}
END_TEST

/* Nobody else can move the media by a PRACK. */
START_TEST(prack_of_a_stranger)
{
	struct scene s;
	struct sip_peer stranger;
	char lines[128];

	early(&s, rel);
	sp_open(s.w, &stranger, 3); /* another trunk */
	snprintf(lines, sizeof lines, "RAck: %s %u INVITE\r\n",
		msg_header_value(s.itsp.rx, "RSeq", 0), s.caller.invite_cseq);
	dl_answered(&s.caller);
	dl_request_from(&s.caller, &stranger, "PRACK", lines, "application/sdp",
		sdp_text(&stranger, 6600, "8 101", NULL));
	sp_expect(&stranger, "SIP/2.0 481");
	cw_turn(s.w);
	ck_assert_str_eq(s.w->want->caller->remote_rtp, cw_at(2, 6000));
	ck_assert(!cw_call(s.w)->caller.leg->rel_agreed);
	/* The caller's own is still good. */
	dl_request(&s.caller, "PRACK", lines, NULL, NULL);
	expect_prack_answer(&s.caller, "SIP/2.0 200");
	ck_assert(cw_call(s.w)->caller.leg->rel_agreed);
	/* And it is good for once. */
	dl_request(&s.caller, "PRACK", lines, NULL, NULL);
	expect_prack_answer(&s.caller, "SIP/2.0 481");
	pick_up(&s, NULL);
	sp_close(&stranger);
	finish(&s);
}
END_TEST

/* An INVITE without an offer: ours is in the first reliable provisional, before
 * anybody has said anything, and the answer in PRACK. */
START_TEST(our_offer_while_it_rings)
{
	struct scene s;
	const char *sdp;

	invite(&s, false);
	dl_answer(&s.called, s.called.invite, 180, NULL, NULL);
	sp_expect(&s.itsp, "SIP/2.0 180");
	sdp = msg_body(s.itsp.rx);
	ck_assert(msg_has(sdp, "PCMA"));
	ck_assert(msg_has(sdp, "PCMU"));
	ck_assert_uint_eq(sdp_port_of(sdp), CW_PORT);
	send_prack(&s.caller, sdp_text(&s.itsp, 6000, "8 101", NULL));
	ck_assert_str_eq(expect_prack_answer(&s.caller, "SIP/2.0 200"), "");
	ck_assert_uint_eq(s.w->want->caller->n_payloads, 0);
	/* Early media passes from then on. */
	dl_answer(&s.called, s.called.invite, 183, NULL,
		sdp_text(&s.phone, 7000, "8 101", NULL));
	sp_expect(&s.itsp, "SIP/2.0 183");
	ck_assert_str_eq(msg_body(s.itsp.rx), "");
	ck_assert_str_eq(s.w->want->caller->remote_rtp, cw_at(2, 6000));
	ck_assert_str_eq(s.w->want->called->remote_rtp, cw_at(5, 7000));
	ck_assert_str_eq(s.w->want->caller->payloads[0]->codec, "PCMA");
	send_prack(&s.caller, NULL);
	expect_prack_answer(&s.caller, "SIP/2.0 200");
	pick_up(&s, sdp_text(&s.phone, 7000, "8 101", NULL));
	sp_silent(&s.itsp);
	finish(&s);
}
END_TEST

/* The called side's description is what is offered; the 200 waits for PRACK. */
START_TEST(our_offer_with_early_media)
{
	struct scene s;

	invite(&s, false);
	dl_answer(&s.called, s.called.invite, 183, NULL,
		sdp_text(&s.phone, 7000, "8 101", NULL));
	sp_expect(&s.itsp, "SIP/2.0 183");
	ck_assert(msg_has(msg_body(s.itsp.rx), "PCMA"));
	ck_assert(!msg_has(msg_body(s.itsp.rx), "PCMU"));
	/* Its offers, and ours to it, wait for the caller's answer. */
	dl_request(&s.called, "UPDATE", NULL, "application/sdp",
		sdp_text(&s.phone, 7000, "8 101", "sendonly"));
	sp_expect(&s.phone, "SIP/2.0 491");
	dl_answer(&s.called, s.called.invite, 200, NULL,
		sdp_text(&s.phone, 7000, "8 101", NULL));
	sp_expect(&s.phone, "ACK ");
	cw_turn(s.w);
	send_prack(&s.caller, sdp_text(&s.itsp, 6000, "8 101", NULL));
	expect_prack_answer(&s.caller, "SIP/2.0 200");
	sp_expect(&s.itsp, "SIP/2.0 200");
	ck_assert_str_eq(msg_body(s.itsp.rx), "");
	dl_answered(&s.caller);
	dl_ack(&s.caller, NULL);
	cw_turn(s.w);
	ck_assert_str_eq(s.w->want->caller->remote_rtp, cw_at(2, 6000));
	ck_assert_str_eq(s.w->want->called->remote_rtp, cw_at(5, 7000));
	finish(&s);
}
END_TEST

/* The caller took one codec, the called side another: it is offered that one by
 * UPDATE or, as here, once the call is up. */
START_TEST(our_offer_and_another_codec)
{
	struct scene s;

	invite(&s, false);
	dl_answer(&s.called, s.called.invite, 180, NULL, NULL);
	sp_expect(&s.itsp, "SIP/2.0 180");
	send_prack(&s.caller, sdp_text(&s.itsp, 6000, "0", NULL));
	expect_prack_answer(&s.caller, "SIP/2.0 200");
	pick_up(&s, sdp_text(&s.phone, 7000, "8", NULL));
	sp_expect(&s.itsp, "INVITE ");
	ck_assert(msg_has(msg_body(s.itsp.rx), "PCMA"));
	dl_answer(&s.caller, s.itsp.rx, 200, NULL,
		sdp_text(&s.itsp, 6000, "8", NULL));
	sp_expect(&s.itsp, "ACK ");
	cw_turn(s.w);
	ck_assert_str_eq(s.w->want->caller->payloads[0]->codec, "PCMA");
	finish(&s);
}
END_TEST

/* An answer that is none ends the call; a PRACK without one leaves it to the
 * 200 and its ACK. */
START_TEST(our_offer_is_not_answered)
{
	struct scene s;

	invite(&s, false);
	dl_answer(&s.called, s.called.invite, 180, NULL, NULL);
	sp_expect(&s.itsp, "SIP/2.0 180");
	send_prack(&s.caller, sdp_text(&s.itsp, 6000, "9", NULL));
	sp_expect(&s.itsp, "SIP/2.0 488");
	expect_prack_answer(&s.caller, "SIP/2.0 200");
	dl_ack(&s.caller, NULL);
	sp_expect(&s.phone, "CANCEL ");
	dl_answer(&s.called, s.phone.rx, 200, NULL, NULL);
	dl_answer(&s.called, s.called.invite, 487, NULL, NULL);
	sp_expect(&s.phone, "ACK ");
	ck_assert_uint_eq(cw_cdr(s.w)->sip_status, 488);
	sc_end(&s);

	invite(&s, false);
	dl_answer(&s.called, s.called.invite, 180, NULL, NULL);
	sp_expect(&s.itsp, "SIP/2.0 180");
	send_prack(&s.caller, NULL);
	expect_prack_answer(&s.caller, "SIP/2.0 200");
	dl_answer(&s.called, s.called.invite, 200, NULL,
		sdp_text(&s.phone, 7000, "8 101", NULL));
	sp_expect(&s.phone, "ACK ");
	sp_expect(&s.itsp, "SIP/2.0 200");
	ck_assert(msg_has(msg_body(s.itsp.rx), "PCMA"));
	dl_answered(&s.caller);
	dl_ack(&s.caller, sdp_text(&s.itsp, 6000, "8 101", NULL));
	cw_turn(s.w);
	ck_assert_str_eq(s.w->want->caller->remote_rtp, cw_at(2, 6000));
	finish(&s);
}
END_TEST

/* --- challenges --- */

/* INVITE, PRACK, UPDATE, INFO, re-INVITE and BYE: each is answered. */
START_TEST(every_request_is_challenged)
{
	struct cw_config config = {0};
	struct cw *w = cw_new(&config);
	struct sip_peer pbx, itsp;
	struct dialog caller, called;
	static char held[CW_TEXT];
	char rack[64];

	sp_open(w, &pbx, 4);
	sp_open(w, &itsp, 2);
	dl_invite(&caller, &pbx, &w->pbx, "701", "+49891234", wants_rel,
		sdp_text(&pbx, 5000, "8 101", NULL));
	sp_expect(&itsp, "INVITE ");
	dl_from_invite(&called, &itsp, &w->itsp);
	cw_challenged(w, &called, "INVITE", CW_CHALLENGE);
	dl_from_invite(&called, &itsp, &w->itsp);
	snprintf(rack, sizeof rack, "41 %d INVITE",
		atoi(msg_header_value(called.invite, "CSeq", 0)));
	dl_answer(&called, called.invite, 183, rel,
		sdp_text(&itsp, 8000, "8 101", NULL));
	sp_expect(&itsp, "PRACK ");
	ck_assert_str_eq(msg_header_value(itsp.rx, "RAck", 0), rack);
	cw_challenged(w, &called, "PRACK", CW_CHALLENGE);
	/* What it acknowledges is the same. */
	ck_assert_str_eq(msg_header_value(itsp.rx, "RAck", 0), rack);
	/* Too old by now: once more, and no further. */
	cw_challenged(w, &called, "PRACK", CW_STALE);
	dl_answer(&called, itsp.rx, 407, CW_STALE, NULL);
	sp_silent(&itsp);
	sp_expect(&pbx, "SIP/2.0 183");
	send_prack(&caller, sdp_text(&pbx, 5000, "8 101", "sendonly"));
	sp_expect(&itsp, "UPDATE ");
	cw_challenged(w, &called, "UPDATE", CW_CHALLENGE);
	dl_answer(&called, itsp.rx, 200, NULL,
		sdp_text(&itsp, 8000, "8 101", "recvonly"));
	expect_prack_answer(&caller, "SIP/2.0 200");
	dl_answer(&called, called.invite, 200, NULL, NULL);
	sp_expect(&itsp, "ACK ");
	sp_expect(&pbx, "SIP/2.0 200");
	dl_answered(&caller);
	dl_ack(&caller, NULL);
	cw_turn(w);
	/* Two at once: one after the other. */
	dl_request(&caller, "INFO", NULL, "application/dtmf", "5");
	sp_expect(&pbx, "SIP/2.0 200");
	sp_expect(&itsp, "INFO ");
	snprintf(held, sizeof held, "%s", itsp.rx);
	dl_request(&caller, "INFO", NULL, "application/dtmf", "6");
	sp_expect(&pbx, "SIP/2.0 200");
	sp_expect(&itsp, "INFO ");
	cw_trunk_auth_forget(w);
	dl_answer(&called, held, 407, CW_CHALLENGE, NULL);
	cw_trunk_auth_wait(w);
	dl_answer(&called, itsp.rx, 407, CW_CHALLENGE, NULL);
	cw_turn(w);
	cw_trunk_auth_answer(w, "Digest response=\"five\"");
	sp_expect(&itsp, "INFO ");
	ck_assert(msg_has(msg_body(itsp.rx), "Signal=5"));
	dl_answer(&called, itsp.rx, 200, NULL, NULL);
	cw_trunk_auth_forget(w);
	cw_trunk_auth_wait(w);
	cw_trunk_auth_answer(w, "Digest response=\"six\"");
	sp_expect(&itsp, "INFO ");
	ck_assert(msg_has(msg_body(itsp.rx), "Signal=6"));
	ck_assert(msg_has(
		msg_header_value(itsp.rx, "Proxy-Authorization", 0), "six"));
	dl_answer(&called, itsp.rx, 200, NULL, NULL);
	dl_request(&caller, "INVITE", NULL, "application/sdp",
		sdp_text(&pbx, 5000, "8 101", NULL));
	sp_expect(&itsp, "INVITE ");
	called.p = &itsp;
	cw_challenged(w, &called, "INVITE", CW_CHALLENGE);
	dl_answer(&called, itsp.rx, 200, NULL,
		sdp_text(&itsp, 8000, "8 101", NULL));
	sp_expect(&itsp, "ACK ");
	sp_expect(&pbx, "SIP/2.0 200");
	dl_ack(&caller, NULL);
	cw_turn(w);
	dl_request(&caller, "BYE", NULL, NULL, NULL);
	sp_expect(&pbx, "SIP/2.0 200");
	sp_expect(&itsp, "BYE ");
	cw_challenged(w, &called, "BYE", CW_CHALLENGE);
	dl_answer(&called, itsp.rx, 200, NULL, NULL);
	sc_cdr(cw_cdr(w), REASON_CALL_CALLER_HUNG_UP, 200, "caller");
	cw_wait_empty(w);
	sp_close(&pbx);
	sp_close(&itsp);
	cw_free(&w);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("sbc_call_rel");

	suite_add(s, "offer_is_asked", offer_is_asked);
	suite_add(s, "offer_of_an_address", offer_of_an_address);
	suite_add(s, "offer_is_answered_here", offer_is_answered_here);
	suite_add(s, "glare_timers", glare_timers);
	suite_add(s, "offer_does_not_fit", offer_does_not_fit);
	suite_add(s, "answer_overtakes", answer_overtakes);
	suite_add(s, "offer_and_a_failure", offer_and_a_failure);
	suite_add(s, "prack_of_a_stranger", prack_of_a_stranger);
	suite_add(s, "our_offer_while_it_rings", our_offer_while_it_rings);
	suite_add(s, "our_offer_with_early_media", our_offer_with_early_media);
	suite_add(
		s, "our_offer_and_another_codec", our_offer_and_another_codec);
	suite_add(s, "our_offer_is_not_answered", our_offer_is_not_answered);
	suite_add(
		s, "every_request_is_challenged", every_request_is_challenged);
	return s;
}

int main(void)
{
	return suite_run(suite());
}
