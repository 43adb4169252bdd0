/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Trunks that want credentials for each request of a call, that we register at,
 * or that are probed.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "sbc/registrant.h"
#include "sbc/trunk.h"
#include "tests/unit/call_steps.h"
#include "tests/unit/suite.h"

#define CREDENTIALS(m) msg_header_value(m, "Proxy-Authorization", 0)

/* The trunk challenges the INVITE of a call from the PBX. */
static void challenge_invite(struct house *h)
{
	cw_trunk_auth_forget(h->w);
	house_pbx_calls(h, "+49891234", NULL);
	house_take(h, &h->itsp);
	dl_answer(&h->called, h->called.invite, 407, CW_CHALLENGE, NULL);
	sp_expect(&h->itsp, "ACK ");
	cw_trunk_auth_wait(h->w);
}

START_TEST(trunk_challenges)
{
	struct house h;
	const Gh__TrunkAuthRequest *asked;
	const char *m;
	int cseq;

	house_begin(&h, NULL);
	challenge_invite(&h);
	asked = h.w->trunk_auth;
	cseq = atoi(msg_header_value(h.called.invite, "CSeq", 0));
	ck_assert_uint_eq(asked->trunk, 1);
	ck_assert_str_eq(asked->method, "INVITE");
	ck_assert(msg_has(asked->challenge, "Digest realm=\"itsp\""));
	ck_assert(msg_has(asked->uri, "+49891234"));
	cw_trunk_auth_answer(h.w, "Digest username=\"t\", response=\"r1\"");
	m = house_take(&h, &h.itsp);
	ck_assert(msg_has(CREDENTIALS(m), "r1"));
	ck_assert_int_eq(atoi(msg_header_value(m, "CSeq", 0)), cseq + 1);
	ck_assert_uint_ne(sdp_port_of(msg_body(m)), 0);
	dl_pick_up(&h.called, sdp_text(&h.itsp, 8000, "8 101", NULL));
	ck_assert(msg_has(CREDENTIALS(h.itsp.rx), "r1")); /* in the ACK */
	dl_take_answer(&h.caller);
	cw_turn(h.w);
	/* The BYE too. */
	dl_hang_up(&h.caller);
	sp_expect(&h.itsp, "BYE ");
	cw_challenged(h.w, &h.called, "BYE", CW_CHALLENGE);
	dl_answer(&h.called, h.itsp.rx, 200, NULL, NULL);
	sc_cdr(cw_cdr(h.w), REASON_CALL_CALLER_HUNG_UP, 200, "caller");
	house_end(&h);
}
END_TEST

/* authd has no answer, or the caller gives up while it is asked. */
START_TEST(trunk_challenge_in_vain)
{
	struct house h;

	house_begin(&h, NULL);
	challenge_invite(&h);
	cw_trunk_auth_answer(h.w, NULL);
	dl_take_refusal(&h.caller, 500);
	sc_cdr(cw_cdr(h.w), REASON_CALL_FAR_UNAUTHORIZED, 500, "called");
	challenge_invite(&h);
	dl_give_up(&h.caller);
	cw_trunk_auth_answer(h.w, "Digest response=\"late\"");
	sc_cdr(cw_cdr(h.w), REASON_CALL_CANCELLED, 487, "caller");
	house_end(&h);
}
END_TEST

/* The set-up: INVITE, PRACK (once more with another nonce, and no further) and
 * UPDATE. */
static void challenge_set_up(struct house *h)
{
	static const char wants_rel[] =
		"Require: 100rel\r\n"
		"Allow: INVITE, ACK, CANCEL, BYE, PRACK, UPDATE\r\n";
	char rack[64];

	house_pbx_calls(h, "+49891234", wants_rel);
	house_take(h, &h->itsp);
	cw_challenged(h->w, &h->called, "INVITE", CW_CHALLENGE);
	dl_from_invite(&h->called, &h->itsp, &h->w->itsp);
	snprintf(rack, sizeof rack, "41 %d INVITE",
		atoi(msg_header_value(h->called.invite, "CSeq", 0)));
	dl_answer(&h->called, h->called.invite, 183,
		"Require: 100rel\r\nRSeq: 41\r\n",
		sdp_text(&h->itsp, 8000, "8 101", NULL));
	sp_expect(&h->itsp, "PRACK ");
	ck_assert_str_eq(msg_header_value(h->itsp.rx, "RAck", 0), rack);
	cw_challenged(h->w, &h->called, "PRACK", CW_CHALLENGE);
	/* What it acknowledges is the same. */
	ck_assert_str_eq(msg_header_value(h->itsp.rx, "RAck", 0), rack);
	cw_challenged(h->w, &h->called, "PRACK", CW_STALE);
	dl_answer(&h->called, h->itsp.rx, 407, CW_STALE, NULL);
	sp_silent(&h->itsp);
	sp_expect(&h->pbx, "SIP/2.0 183");
	dl_send_prack_with(
		&h->caller, sdp_text(&h->pbx, 5000, "8 101", "sendonly"));
	sp_expect(&h->itsp, "UPDATE ");
	cw_challenged(h->w, &h->called, "UPDATE", CW_CHALLENGE);
	dl_answer(&h->called, h->itsp.rx, 200, NULL,
		sdp_text(&h->itsp, 8000, "8 101", "recvonly"));
	sp_expect_but(&h->pbx, "SIP/2.0 200", "SIP/2.0 18");
	ck_assert(msg_has(msg_header_value(h->pbx.rx, "CSeq", 0), "PRACK"));
	dl_pick_up(&h->called, NULL);
	dl_take_answer(&h->caller);
	cw_turn(h->w);
}

static void send_digit(struct house *h, const char *digit)
{
	dl_request(&h->caller, "INFO", NULL, "application/dtmf", digit);
	sp_expect(&h->pbx, "SIP/2.0 200");
	sp_expect(&h->itsp, "INFO ");
}

/* authd answers for a digit, which goes out again. */
static void digit_goes(struct house *h, const char *header, const char *body)
{
	cw_trunk_auth_answer(h->w, header);
	sp_expect(&h->itsp, "INFO ");
	ck_assert(msg_has(msg_body(h->itsp.rx), body));
	ck_assert_str_eq(CREDENTIALS(h->itsp.rx), header);
	dl_answer(&h->called, h->itsp.rx, 200, NULL, NULL);
}

/* INVITE, PRACK, UPDATE, INFO, re-INVITE and BYE: each is answered. */
START_TEST(every_request_is_challenged)
{
	static char held[CW_TEXT];
	struct house h;

	house_begin(&h, NULL);
	challenge_set_up(&h);
	/* Two at once: one after the other. */
	send_digit(&h, "5");
	snprintf(held, sizeof held, "%s", h.itsp.rx);
	send_digit(&h, "6");
	cw_trunk_auth_forget(h.w);
	dl_answer(&h.called, held, 407, CW_CHALLENGE, NULL);
	cw_trunk_auth_wait(h.w);
	dl_answer(&h.called, h.itsp.rx, 407, CW_CHALLENGE, NULL);
	cw_turn(h.w);
	digit_goes(&h, "Digest response=\"five\"", "Signal=5");
	cw_trunk_auth_forget(h.w);
	cw_trunk_auth_wait(h.w);
	digit_goes(&h, "Digest response=\"six\"", "Signal=6");

	dl_offer(&h.caller, "INVITE", sdp_text(&h.pbx, 5000, "8 101", NULL));
	sp_expect(&h.itsp, "INVITE ");
	cw_challenged(h.w, &h.called, "INVITE", CW_CHALLENGE);
	dl_agree(&h.called, sdp_text(&h.itsp, 8000, "8 101", NULL));
	sp_expect(&h.pbx, "SIP/2.0 200");
	dl_ack(&h.caller, NULL);
	cw_turn(h.w);
	dl_hang_up(&h.caller);
	sp_expect(&h.itsp, "BYE ");
	cw_challenged(h.w, &h.called, "BYE", CW_CHALLENGE);
	dl_answer(&h.called, h.itsp.rx, 200, NULL, NULL);
	sc_cdr(cw_cdr(h.w), REASON_CALL_CALLER_HUNG_UP, 200, "caller");
	house_end(&h);
}
END_TEST

START_TEST(registers_at_trunk)
{
	struct cw_config config = {.registers = true};
	struct cw *w = cw_new(&config);
	struct sip_peer itsp;
	struct dialog d = {0};

	sp_open(w, &itsp, 2);
	sp_expect(&itsp, "REGISTER sip:");
	ck_assert(msg_has(itsp.rx, cw_at(2, CW_TRUNK_PORT)));
	ck_assert(msg_has(msg_header_value(itsp.rx, "To", 0), "sip:reg7@"));
	ck_assert(msg_has(msg_header_value(itsp.rx, "Contact", 0), "reg7@"));
	d.p = &itsp;
	d.to = w->itsp;
	snprintf(d.local, sizeof d.local, "%s;tag=reg",
		msg_header_value(itsp.rx, "To", 0));
	dl_answer(&d, itsp.rx, 401,
		"WWW-Authenticate: Digest realm=\"itsp\", nonce=\"n\"\r\n",
		NULL);
	cw_trunk_auth_wait(w);
	ck_assert_str_eq(w->trunk_auth->method, "REGISTER");
	cw_trunk_auth_answer(w, "Digest username=\"reg7\", response=\"ok\"");
	sp_expect(&itsp, "REGISTER ");
	ck_assert(msg_has(msg_header_value(itsp.rx, "Authorization", 0),
		"response=\"ok\""));
	dl_answer(&d, itsp.rx, 423, "Min-Expires: 1800\r\n", NULL);
	sp_expect(&itsp, "REGISTER ");
	ck_assert_str_eq(msg_header_value(itsp.rx, "Expires", 0), "1800");
	dl_answer(&d, itsp.rx, 200, "Expires: 1800\r\n", NULL);
	sp_silent(&itsp);
	ck_assert_uint_eq(reason_counted(REASON_TRUNK_REGISTERED), 1);
	sp_close(&itsp);
	cw_free(&w);
}
END_TEST

/* A registrar that comes back is not met by all its customers at once: what is
 * waited is drawn from the last quarter of the time, from all of it. */
START_TEST(retries_are_spread)
{
	const uint64_t whole = 600 * CLOCK_US_PER_S, step = whole / 16;
	unsigned seen[4] = {0};

	for (unsigned i = 0; i < 2000; i++) {
		uint64_t us = registrant_spread(whole);

		ck_assert_uint_ge(us, whole - whole / 4);
		ck_assert_uint_le(us, whole);
		seen[us == whole ? 3 : (us - (whole - whole / 4)) / step]++;
	}
	for (unsigned i = 0; i < 4; i++)
		ck_assert_uint_gt(seen[i], 300);
}
END_TEST

static bool is_down(void *ctx)
{
	return !trunk_in_service(((struct cw *)ctx)->sbc.trunks, 1);
}

static bool is_up(void *ctx)
{
	return !is_down(ctx);
}

START_TEST(probes)
{
	struct cw_config config = {.probe = true};
	struct cw *w = cw_new(&config);
	struct sip_peer itsp;
	struct dialog d = {0};

	sp_open(w, &itsp, 2);
	d.p = &itsp;
	d.to = w->itsp;
	sp_expect(&itsp, "OPTIONS ");
	snprintf(d.local, sizeof d.local, "%s;tag=o",
		msg_header_value(itsp.rx, "To", 0));
	/* Any answer is a sign of life but 503. */
	dl_answer(&d, itsp.rx, 404, NULL, NULL);
	sp_expect(&itsp, "OPTIONS ");
	ck_assert(trunk_in_service(w->sbc.trunks, 1));
	dl_answer(&d, itsp.rx, 503, NULL, NULL);
	sp_expect(&itsp, "OPTIONS ");
	dl_answer(&d, itsp.rx, 503, NULL, NULL);
	cw_until(w, is_down, w, "the trunk to be out of service");
	sp_expect(&itsp, "OPTIONS ");
	dl_answer(&d, itsp.rx, 200, NULL, NULL);
	cw_until(w, is_up, w, "the trunk to be back");
	sp_close(&itsp);
	cw_free(&w);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("sbc_call_trunk");

	suite_add(s, "trunk_challenges", trunk_challenges);
	suite_add(s, "trunk_challenge_in_vain", trunk_challenge_in_vain);
	suite_add(
		s, "every_request_is_challenged", every_request_is_challenged);
	suite_add(s, "registers_at_trunk", registers_at_trunk);
	suite_add(s, "retries_are_spread", retries_are_spread);
	suite_add(s, "probes", probes);
	return suite_run(s);
}
