/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PRACK on each leg by itself (RFC 3262), and offers and answers in it (RFC
 * 3262 5, RFC 6337).
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/call_steps.h"
#include "tests/unit/suite.h"

static const char rel[] = "Require: 100rel\r\nRSeq: 41\r\n";
static const char no_update[] =
	"Require: 100rel\r\nRSeq: 41\r\nAllow: INVITE, ACK, BYE, CANCEL\r\n";
static const char wants_rel[] =
	"Require: 100rel\r\n"
	"Allow: INVITE, ACK, CANCEL, BYE, PRACK, UPDATE\r\n";

static const char *expect_prack_answer(struct dialog *d, const char *status)
{
	sp_expect_but(d->p, status, "SIP/2.0 18");
	ck_assert(msg_has(msg_header_value(d->p->rx, "CSeq", 0), "PRACK"));
	return msg_body(d->p->rx);
}

static void invite(struct scene *s, bool offers)
{
	sc_begin(s, NULL);
	sc_call(s, wants_rel, offers ? sc_caller_sdp(s, "8 101", NULL) : NULL);
}

/* The phone rings, and the caller hears it. */
static void ring(struct scene *s)
{
	dl_ring(&s->called);
	sp_expect(&s->itsp, "SIP/2.0 180");
}

/* Until the caller has our answer in a reliable 183 that it has not
 * acknowledged. */
static void early(struct scene *s, const char *lines)
{
	invite(s, true);
	dl_answer(&s->called, s->called.invite, 183, lines,
		sc_phone_sdp(s, "8 101", NULL));
	if (strstr(lines, "RSeq") != NULL) {
		sp_expect(&s->phone, "PRACK ");
		dl_answer(&s->called, s->phone.rx, 200, NULL, NULL);
	}
	sp_expect(&s->itsp, "SIP/2.0 183");
	ck_assert_uint_ne(sdp_port_of(msg_body(s->itsp.rx)), 0);
}

static void pick_up(struct scene *s, const char *sdp)
{
	dl_pick_up(&s->called, sdp);
	/* RFC 3261 13.2.1: it has been said. */
	ck_assert_str_eq(dl_take_answer(&s->caller), "");
	cw_turn(s->w);
}

/* The phone hears of a hold by re-INVITE, and agrees. */
static void take_hold(struct scene *s)
{
	ck_assert(msg_has(dl_take_offer(&s->called), "a=sendonly"));
	dl_agree(&s->called, sc_phone_sdp(s, "8 101", "recvonly"));
	cw_turn(s->w);
}

/* The called side can be asked: it is, by UPDATE, and the answer stands in the
 * 200 to PRACK. */
START_TEST(offer_is_asked)
{
	struct scene s;
	const char *sdp;

	early(&s, rel);
	dl_send_prack_with(
		&s.caller, sdp_text(&s.itsp, 6200, "8 101", "sendonly"));
	sp_expect(&s.phone, "UPDATE ");
	ck_assert(msg_has(msg_body(s.phone.rx), "a=sendonly"));
	sp_silent(&s.itsp);
	dl_answer(&s.called, s.phone.rx, 200, NULL,
		sc_phone_sdp(&s, "8 101", "recvonly"));
	sdp = expect_prack_answer(&s.caller, "SIP/2.0 200");
	ck_assert(msg_has(sdp, "a=recvonly"));
	ck_assert_str_eq(msg_header_value(s.itsp.rx, "Contact", 0), "");
	ck_assert_str_eq(s.w->want->caller->remote_rtp, cw_at(2, 6200));
	ck_assert(s.w->want->called->may_receive);
	ck_assert(!s.w->want->called->may_send);
	pick_up(&s, NULL);
	sp_silent(&s.phone);
	sc_finish(&s);
}
END_TEST

/* It need not know of an address: answered at once. */
START_TEST(offer_of_an_address)
{
	struct scene s;

	early(&s, rel);
	dl_send_prack_with(&s.caller, sdp_text(&s.itsp, 6200, "8 101", NULL));
	ck_assert(msg_has(
		expect_prack_answer(&s.caller, "SIP/2.0 200"), "a=sendrecv"));
	ck_assert_str_eq(s.w->want->caller->remote_rtp, cw_at(2, 6200));
	sp_silent(&s.phone);
	pick_up(&s, NULL);
	sc_finish(&s);
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
		dl_send_prack_with(&s.caller,
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
		pick_up(&s, i == 1 ? sc_phone_sdp(&s, "8 101", NULL) : NULL);
		take_hold(&s);
		sp_silent(&s.itsp);
		sc_finish(&s);
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
	dl_send_prack_with(
		&s.caller, sdp_text(&s.itsp, 6200, "8 101", "sendonly"));
	expect_prack_answer(&s.caller, "SIP/2.0 200");
	pick_up(&s, NULL);
	dl_take_offer(&s.called);
	since = clock_now_us();
	dl_answer(&s.called, s.phone.rx, 491, NULL, NULL);
	sp_expect(&s.phone, "ACK ");
	sp_expect(&s.phone, "INVITE ");
	ck_assert_uint_ge(clock_now_us() - since, 2100 * CLOCK_US_PER_MS);
	ck_assert(msg_has(msg_body(s.phone.rx), "a=sendonly"));
	dl_agree(&s.called, sc_phone_sdp(&s, "8 101", "recvonly"));
	sc_finish(&s);
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
	dl_send_prack_with(&s.caller, sdp_text(&s.itsp, 6200, "0", NULL));
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
	sc_finish(&s);
	/* What cannot even be read is refused; all stays as it was. */
	early(&s, no_update);
	dl_send_prack_with(&s.caller, "v=0\r\nnonsense\r\n");
	expect_prack_answer(&s.caller, "SIP/2.0 400");
	pick_up(&s, NULL);
	ck_assert_str_eq(s.w->want->caller->remote_rtp, cw_at(2, 6000));
	sc_finish(&s);
}
END_TEST

/* The called side picks up while it is asked: the PRACK has its answer before
 * the INVITE has. */
START_TEST(answer_overtakes)
{
	struct scene s;
	static char asked[CW_TEXT];

	early(&s, rel);
	dl_send_prack_with(
		&s.caller, sdp_text(&s.itsp, 6200, "8 101", "sendonly"));
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
		sc_phone_sdp(&s, "8 101", "recvonly"));
	dl_ack(&s.caller, NULL);
	take_hold(&s);
	sc_finish(&s);
}
END_TEST

/* After the target has failed there is nobody to ask any more. */
START_TEST(offer_and_a_failure)
{
	struct scene s = {0};

	early(&s, rel);
	dl_send_prack_with(
		&s.caller, sdp_text(&s.itsp, 6200, "8 101", "sendonly"));
	sp_expect(&s.phone, "UPDATE ");
	dl_refuse(&s.called, 486);
	expect_prack_answer(&s.caller, "SIP/2.0 200");
	dl_take_refusal(&s.caller, 486);
	sc_over(&s, REASON_CALL_BUSY, 486, "called");
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
	sc_finish(&s);
}
END_TEST

/* An INVITE without an offer: ours is in the first reliable provisional, before
 * anybody has said anything, and the answer in PRACK. */
START_TEST(our_offer_while_it_rings)
{
	struct scene s;
	const char *sdp;

	invite(&s, false);
	ring(&s);
	sdp = msg_body(s.itsp.rx);
	ck_assert(msg_has(sdp, "PCMA"));
	ck_assert(msg_has(sdp, "PCMU"));
	ck_assert_uint_eq(sdp_port_of(sdp), CW_PORT);
	dl_send_prack_with(&s.caller, sc_caller_sdp(&s, "8 101", NULL));
	ck_assert_str_eq(expect_prack_answer(&s.caller, "SIP/2.0 200"), "");
	ck_assert_uint_eq(s.w->want->caller->n_payloads, 0);
	/* Early media passes from then on. */
	dl_answer(&s.called, s.called.invite, 183, NULL,
		sc_phone_sdp(&s, "8 101", NULL));
	sp_expect(&s.itsp, "SIP/2.0 183");
	ck_assert_str_eq(msg_body(s.itsp.rx), "");
	ck_assert_str_eq(s.w->want->caller->remote_rtp, cw_at(2, 6000));
	ck_assert_str_eq(s.w->want->called->remote_rtp, cw_at(5, 7000));
	ck_assert_str_eq(s.w->want->caller->payloads[0]->codec, "PCMA");
	dl_send_prack_with(&s.caller, NULL);
	expect_prack_answer(&s.caller, "SIP/2.0 200");
	pick_up(&s, sc_phone_sdp(&s, "8 101", NULL));
	sp_silent(&s.itsp);
	sc_finish(&s);
}
END_TEST

/* The called side's description is what is offered; the 200 waits for PRACK. */
START_TEST(our_offer_with_early_media)
{
	struct scene s;

	invite(&s, false);
	dl_answer(&s.called, s.called.invite, 183, NULL,
		sc_phone_sdp(&s, "8 101", NULL));
	sp_expect(&s.itsp, "SIP/2.0 183");
	ck_assert(msg_has(msg_body(s.itsp.rx), "PCMA"));
	ck_assert(!msg_has(msg_body(s.itsp.rx), "PCMU"));
	/* Its offers, and ours to it, wait for the caller's answer. */
	dl_request(&s.called, "UPDATE", NULL, "application/sdp",
		sc_phone_sdp(&s, "8 101", "sendonly"));
	sp_expect(&s.phone, "SIP/2.0 491");
	dl_answer(&s.called, s.called.invite, 200, NULL,
		sc_phone_sdp(&s, "8 101", NULL));
	sp_expect(&s.phone, "ACK ");
	cw_turn(s.w);
	dl_send_prack_with(&s.caller, sc_caller_sdp(&s, "8 101", NULL));
	expect_prack_answer(&s.caller, "SIP/2.0 200");
	sp_expect(&s.itsp, "SIP/2.0 200");
	ck_assert_str_eq(msg_body(s.itsp.rx), "");
	dl_answered(&s.caller);
	dl_ack(&s.caller, NULL);
	cw_turn(s.w);
	ck_assert_str_eq(s.w->want->caller->remote_rtp, cw_at(2, 6000));
	ck_assert_str_eq(s.w->want->called->remote_rtp, cw_at(5, 7000));
	sc_finish(&s);
}
END_TEST

/* The caller took one codec, the called side another: it is offered that one by
 * UPDATE or, as here, once the call is up. */
START_TEST(our_offer_and_another_codec)
{
	struct scene s;

	invite(&s, false);
	ring(&s);
	dl_send_prack_with(&s.caller, sc_caller_sdp(&s, "0", NULL));
	expect_prack_answer(&s.caller, "SIP/2.0 200");
	pick_up(&s, sc_phone_sdp(&s, "8", NULL));
	sp_expect(&s.itsp, "INVITE ");
	ck_assert(msg_has(msg_body(s.itsp.rx), "PCMA"));
	dl_answer(
		&s.caller, s.itsp.rx, 200, NULL, sc_caller_sdp(&s, "8", NULL));
	sp_expect(&s.itsp, "ACK ");
	cw_turn(s.w);
	ck_assert_str_eq(s.w->want->caller->payloads[0]->codec, "PCMA");
	sc_finish(&s);
}
END_TEST

/* An answer that is none ends the call; a PRACK without one leaves it to the
 * 200 and its ACK. */
START_TEST(our_offer_is_not_answered)
{
	struct scene s;

	invite(&s, false);
	ring(&s);
	dl_send_prack_with(&s.caller, sc_caller_sdp(&s, "9", NULL));
	sp_expect(&s.itsp, "SIP/2.0 488");
	expect_prack_answer(&s.caller, "SIP/2.0 200");
	dl_ack(&s.caller, NULL);
	dl_take_cancel(&s.called);
	ck_assert_uint_eq(cw_cdr(s.w)->sip_status, 488);
	sc_end(&s);

	invite(&s, false);
	ring(&s);
	dl_send_prack_with(&s.caller, NULL);
	expect_prack_answer(&s.caller, "SIP/2.0 200");
	dl_answer(&s.called, s.called.invite, 200, NULL,
		sc_phone_sdp(&s, "8 101", NULL));
	sp_expect(&s.phone, "ACK ");
	sp_expect(&s.itsp, "SIP/2.0 200");
	ck_assert(msg_has(msg_body(s.itsp.rx), "PCMA"));
	dl_answered(&s.caller);
	dl_ack(&s.caller, sc_caller_sdp(&s, "8 101", NULL));
	cw_turn(s.w);
	ck_assert_str_eq(s.w->want->caller->remote_rtp, cw_at(2, 6000));
	sc_finish(&s);
}
END_TEST

/* PRACK on the caller's leg alone. */
START_TEST(caller_requires_prack)
{
	struct scene s;

	sc_begin(&s, NULL);
	sc_call(&s, "Require: 100rel\r\n", sc_caller_sdp(&s, "8 101", NULL));
	ck_assert_str_eq(msg_header_value(s.called.invite, "Require", 0), "");
	ring(&s);
	ck_assert(msg_has(msg_header_value(s.itsp.rx, "Require", 0), "100rel"));
	/* It is repeated until it is acknowledged. */
	s.itsp.repeats = true;
	sp_expect(&s.itsp, "SIP/2.0 180");
	s.itsp.repeats = false;
	dl_prack(&s.caller);
	sc_pick_up(&s, sc_phone_sdp(&s, "8 101", NULL));
	sc_finish(&s);
}
END_TEST

/* PRACK on the called leg alone. */
START_TEST(called_requires_prack)
{
	static const char next[] = "Require: 100rel\r\nRSeq: 42\r\n";
	struct scene s;

	sc_begin(&s, NULL);
	sc_call(&s, NULL, sc_caller_sdp(&s, "8 101", NULL));
	ck_assert(msg_has(
		msg_header_value(s.called.invite, "Supported", 0), "100rel"));
	dl_answer(&s.called, s.called.invite, 180, rel, NULL);
	sp_expect(&s.phone, "PRACK ");
	ck_assert(msg_has(msg_header_value(s.phone.rx, "RAck", 0), "41 "));
	dl_answer(&s.called, s.phone.rx, 200, NULL, NULL);
	sp_expect(&s.itsp, "SIP/2.0 180");
	ck_assert_str_eq(msg_header_value(s.itsp.rx, "RSeq", 0), "");
	dl_answer(&s.called, s.called.invite, 180, rel, NULL); /* again */
	sp_silent(&s.phone);
	dl_answer(&s.called, s.called.invite, 183, next,
		sc_phone_sdp(&s, "8 101", NULL));
	sp_expect(&s.phone, "PRACK ");
	dl_answer(&s.called, s.phone.rx, 200, NULL, NULL);
	sp_expect(&s.itsp, "SIP/2.0 183");
	/* What was agreed reliably need not be said again. */
	dl_pick_up(&s.called, NULL);
	ck_assert_uint_ne(sdp_port_of(dl_take_answer(&s.caller)), 0);
	sc_finish(&s);
}
END_TEST

/* A caller that requires PRACK and never sends one. */
START_TEST(no_prack)
{
	struct scene s;

	sc_begin(&s, NULL);
	sc_call(&s, "Require: 100rel\r\n", sc_caller_sdp(&s, "8 101", NULL));
	ring(&s);
	sp_expect_but(&s.itsp, "SIP/2.0 50", "SIP/2.0 180");
	dl_ack(&s.caller, NULL);
	dl_take_cancel(&s.called);
	sc_over(&s, REASON_CALL_CANCELLED, 487, "caller");
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
	suite_add(s, "caller_requires_prack", caller_requires_prack);
	suite_add(s, "called_requires_prack", called_requires_prack);
	suite_add(s, "no_prack", no_prack);
	return s;
}

int main(void)
{
	return suite_run(suite());
}
