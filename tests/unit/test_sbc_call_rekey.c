/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SRTP in a call that is up: which keys stay, and which are new, over holds,
 * refreshes, new offers and refusals. Set-up: test_sbc_call_srtp.c.
 */
#include "config.h"

#include <string.h>

#include "tests/unit/call_keys.h"
#include "tests/unit/suite.h"

#define CM80_NAME "AES_CM_128_HMAC_SHA1_80"

struct keyed_call {
	struct scene s;
	struct sdp from_itsp, to_itsp, from_phone, to_phone;
	unsigned n_wants;
};

/* Both sides encrypt: the ITSP with tag 1 in SAVP, the phone with tag 4. */
static void keyed_up(struct keyed_call *k)
{
	const struct cw_config config = {.itsp_srtp = OPTIONAL,
		.account_srtp = OPTIONAL,
		.keys_in_clear = true};
	const char *text;

	sc_begin(&k->s, &config);
	text = keyed_caller(&k->s, "RTP/SAVP", CM80("1", "A"), NULL);
	keys_read(text, &k->from_itsp);
	keys_call(&k->s, text, " RTP/AVP ", 5);
	keys_read(msg_body(k->s.called.invite), &k->to_phone);
	text = keyed_phone(&k->s, "RTP/AVP", CM80("4", "P"), NULL);
	keys_read(text, &k->from_phone);
	sc_pick_up(&k->s, text);
	keys_read(msg_body(k->s.itsp.rx), &k->to_itsp);
	ck_assert_int_eq(cw_call(k->s.w)->state, CALL_UP);
	k->n_wants = k->s.w->n_wants;
}

/* mediad has, on a new want, the keys that k says. */
static void expect_keys(struct keyed_call *k)
{
	const Gh__SessionWant *w = k->s.w->want;

	ck_assert_uint_gt(k->s.w->n_wants, k->n_wants);
	k->n_wants = k->s.w->n_wants;
	keys_expect(w->caller->receive, &k->from_itsp, 1);
	keys_expect(w->caller->send, &k->to_itsp, 1);
	keys_expect(w->called->receive, &k->from_phone, 4);
	keys_expect(w->called->send, &k->to_phone, 4);
}

static void keyed_down(struct keyed_call *k)
{
	keys_finish(&k->s, CM80_NAME, CM80_NAME);
}

static void itsp_offers(
	struct keyed_call *k, const char *crypto, const char *direction)
{
	dl_offer(&k->s.caller, "INVITE",
		keyed_caller(&k->s, "RTP/SAVP", crypto, direction));
}

/* The re-INVITE that the phone gets: the same line, and nothing else. */
static void phone_is_asked(struct keyed_call *k)
{
	const char *body = dl_take_offer(&k->s.called);
	struct sdp offer;

	ck_assert(msg_has(body, " RTP/AVP "));
	keys_read(body, &offer);
	ck_assert_uint_eq(offer.n_crypto, 1);
	ck_assert_uint_eq(offer.crypto[0].tag, 4);
	ck_assert_mem_eq(
		offer.crypto[0].master, keys_line(&k->to_phone, 4)->master, 30);
}

static struct sdp itsp_is_answered(struct keyed_call *k)
{
	const char *body = dl_take_answer(&k->s.caller);
	struct sdp answer;

	ck_assert(msg_has(body, " RTP/SAVP "));
	keys_read(body, &answer);
	cw_turn(k->s.w);
	return answer;
}

/* The ITSP is answered with the key that it knows, and so is mediad told. */
static void nothing_new(struct keyed_call *k)
{
	struct sdp answer = itsp_is_answered(k);

	ck_assert(keys_same(&answer, &k->to_itsp));
	expect_keys(k);
}

static void hold(struct keyed_call *k, const char *theirs, const char *answer)
{
	itsp_offers(k, CM80("1", "A"), theirs);
	phone_is_asked(k);
	dl_agree(&k->s.called,
		keyed_phone(&k->s, "RTP/AVP", CM80("4", "P"), answer));
	nothing_new(k);
}

START_TEST(hold_and_resume_keep_the_keys)
{
	struct keyed_call k;

	keyed_up(&k);
	hold(&k, "sendonly", "recvonly");
	ck_assert(!k.s.w->want->caller->may_receive);
	hold(&k, "inactive", "inactive");
	hold(&k, "sendrecv", "sendrecv");
	ck_assert(k.s.w->want->caller->may_receive);
	keyed_down(&k);
}
END_TEST

/* The same description again, by re-INVITE and by UPDATE. */
START_TEST(refresh_keeps_the_keys)
{
	struct keyed_call k;
	struct sdp answer;

	keyed_up(&k);
	itsp_offers(&k, CM80("1", "A"), NULL);
	nothing_new(&k);
	dl_offer(&k.s.caller, "UPDATE",
		keyed_caller(&k.s, "RTP/SAVP", CM80("1", "A"), NULL));
	keys_read(msg_body(sp_expect(&k.s.itsp, "SIP/2.0 200")), &answer);
	ck_assert(keys_same(&answer, &k.to_itsp));
	cw_turn(k.s.w);
	expect_keys(&k);
	sp_silent(&k.s.phone);
	keyed_down(&k);
}
END_TEST

/* A new key of one side: ours to it is new too, the other side's stay. */
START_TEST(a_new_key_of_the_peer)
{
	struct keyed_call k;
	struct sdp answer;

	keyed_up(&k);
	itsp_offers(&k, GCM128("9", "X") CM80("1", "B"), NULL);
	answer = itsp_is_answered(&k);
	/* The strongest of the new ones. */
	keys_expect(k.s.w->want->caller->send, &answer, 9);
	itsp_offers(&k, CM80("1", "C"), NULL);
	answer = itsp_is_answered(&k);
	ck_assert(!keys_same(&answer, &k.to_itsp));
	k.to_itsp = answer;
	keys_read(keyed_caller(&k.s, "RTP/SAVP", CM80("1", "C"), NULL),
		&k.from_itsp);
	expect_keys(&k);
	sp_silent(&k.s.phone);
	keyed_down(&k);
}
END_TEST

/* The phone answers a hold with a new key: only mediad's receiving one. */
START_TEST(a_new_key_in_an_answer)
{
	struct keyed_call k;
	const char *text;

	keyed_up(&k);
	itsp_offers(&k, CM80("1", "A"), "sendonly");
	phone_is_asked(&k);
	text = keyed_phone(&k.s, "RTP/AVP", CM80("4", "R"), "recvonly");
	keys_read(text, &k.from_phone);
	dl_agree(&k.s.called, text);
	nothing_new(&k);
	keyed_down(&k);
}
END_TEST

/* The phone refuses the hold that came with a new key: all is as before. */
START_TEST(a_refused_offer_leaves_the_keys)
{
	struct keyed_call k;

	keyed_up(&k);
	itsp_offers(&k, CM80("1", "Z"), "sendonly");
	phone_is_asked(&k);
	dl_answer(&k.s.called, k.s.phone.rx, 488, NULL, NULL);
	sp_expect(&k.s.phone, "ACK ");
	dl_take_refusal(&k.s.caller, 488);
	cw_turn(k.s.w);
	ck_assert_uint_eq(k.s.w->n_wants, k.n_wants);
	itsp_offers(&k, CM80("1", "A"), NULL);
	nothing_new(&k);
	keyed_down(&k);
}
END_TEST

/* mediad cannot do it: it is told the old keys again. */
START_TEST(mediad_refuses_a_new_key)
{
	struct keyed_call k;

	keyed_up(&k);
	k.s.w->media_refuses = REASON_SESSION_FULL;
	k.s.w->refuses_once = true;
	itsp_offers(&k, CM80("1", "Z"), NULL);
	dl_take_refusal(&k.s.caller, 503);
	cw_turn(k.s.w);
	ck_assert_int_eq(cw_call(k.s.w)->state, CALL_UP);
	expect_keys(&k);
	keyed_down(&k);
}
END_TEST

/* What the policy forbids at set-up it forbids later: no way down to plain
 * media. */
START_TEST(required_refuses_plain_later)
{
	const struct cw_config config = {
		.itsp_srtp = REQUIRED, .keys_in_clear = true};
	struct scene s;
	unsigned n;

	sc_begin(&s, &config);
	keys_call(&s, keyed_caller(&s, "RTP/SAVP", CM80("1", "A"), NULL),
		" RTP/AVP ", 0);
	sc_pick_up(&s, sc_phone_sdp(&s, "8 101", NULL));
	n = s.w->n_wants;
	dl_offer(&s.caller, "INVITE", sc_caller_sdp(&s, "8 101", NULL));
	dl_take_refusal(&s.caller, 488);
	cw_turn(s.w);
	ck_assert_uint_eq(s.w->n_wants, n);
	keys_finish(&s, CM80_NAME, "");
}
END_TEST

/* A re-INVITE without an offer: all suites, the one in force first. */
START_TEST(asked_for_an_offer)
{
	struct keyed_call k;
	struct sdp offer;

	keyed_up(&k);
	dl_request(&k.s.caller, "INVITE", NULL, NULL, NULL);
	sp_expect(&k.s.itsp, "SIP/2.0 200");
	ck_assert(msg_has(msg_body(k.s.itsp.rx), " RTP/SAVP "));
	keys_read(msg_body(k.s.itsp.rx), &offer);
	ck_assert_uint_eq(offer.n_crypto, 5);
	ck_assert_uint_eq(offer.crypto[0].tag, 1);
	ck_assert(keys_same(&offer, &k.to_itsp));
	ck_assert_int_eq(
		keys_line(&offer, 3)->suite, GH__SUITE__SUITE_AEAD_AES_128_GCM);
	dl_answered(&k.s.caller);
	dl_ack(&k.s.caller,
		keyed_caller(&k.s, "RTP/SAVP", GCM128("3", "N"), NULL));
	cw_turn(k.s.w);
	keys_expect(k.s.w->want->caller->send, &offer, 3);
	keys_finish(&k.s, "AEAD_AES_128_GCM", CM80_NAME);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("sbc_call_rekey");

	suite_add(s, "hold_and_resume_keep_the_keys",
		hold_and_resume_keep_the_keys);
	suite_add(s, "refresh_keeps_the_keys", refresh_keeps_the_keys);
	suite_add(s, "a_new_key_of_the_peer", a_new_key_of_the_peer);
	suite_add(s, "a_new_key_in_an_answer", a_new_key_in_an_answer);
	suite_add(s, "a_refused_offer_leaves_the_keys",
		a_refused_offer_leaves_the_keys);
	suite_add(s, "mediad_refuses_a_new_key", mediad_refuses_a_new_key);
	suite_add(s, "required_refuses_plain_later",
		required_refuses_plain_later);
	suite_add(s, "asked_for_an_offer", asked_for_an_offer);
	return s;
}

int main(void)
{
	return suite_run(suite());
}
