/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SRTP by SDES at set-up: what each side is offered and answered by policy,
 * and which keys reach mediad and the CDR. Changes of a call that is up:
 * test_sbc_call_rekey.c.
 */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "tests/unit/call_keys.h"
#include "tests/unit/suite.h"

#define CM80_NAME "AES_CM_128_HMAC_SHA1_80"

/* Who may or must encrypt, where keys may travel in the clear ... */
static const struct cw_config nobody = {.keys_in_clear = true};
static const struct cw_config itsp_may = {
	.itsp_srtp = OPTIONAL, .keys_in_clear = true};
static const struct cw_config itsp_must = {
	.itsp_srtp = REQUIRED, .keys_in_clear = true};
static const struct cw_config phone_may = {
	.account_srtp = OPTIONAL, .keys_in_clear = true};
static const struct cw_config phone_must = {
	.account_srtp = REQUIRED, .keys_in_clear = true};
static const struct cw_config all_phones_may = {
	.phones_srtp = OPTIONAL, .keys_in_clear = true};
/* ... and where the realm does not say that. */
static const struct cw_config open_both_may = {
	.itsp_srtp = OPTIONAL, .account_srtp = OPTIONAL};
static const struct cw_config open_itsp_must = {.itsp_srtp = REQUIRED};
static const struct cw_config open_phone_must = {.account_srtp = REQUIRED};

/* ------------------------------------------------------------------ policy */

/* Refused before the phone hears of it. */
static const struct {
	const struct cw_config *config;
	const char *profile, *crypto; /* of the ITSP's offer */
	enum reason why;
} refused[] = {
	{&nobody, "RTP/SAVP", CM80("1", "A"), REASON_SDP_SRTP_FORBIDDEN},
	{&itsp_must, "RTP/AVP", "", REASON_SDP_SRTP_REQUIRED},
	{&itsp_must, "RTP/AVP", CM80("1", "A"), REASON_SDP_SRTP_REQUIRED},
	/* A line with an MKI or of an unknown suite is as if it were not
	 * there. */
	{&itsp_must, "RTP/SAVP", WITH_MKI UNKNOWN, REASON_SDP_NO_SUITE},
	{&itsp_must, "RTP/SAVP", "", REASON_SDP_NO_SUITE},
	{&itsp_must, "UDP/TLS/RTP/SAVPF", CM80("1", "A"),
		REASON_SDP_SRTP_FORBIDDEN},
	{&open_both_may, "RTP/SAVP", CM80("1", "A"),
		REASON_SDP_INSECURE_SIGNALING},
	{&open_itsp_must, "RTP/SAVP", CM80("1", "A"),
		REASON_SDP_INSECURE_SIGNALING},
	/* A called phone that must encrypt and cannot be told a key is not
	 * called. */
	{&open_phone_must, "RTP/AVP", "", REASON_SDP_INSECURE_SIGNALING},
};

START_TEST(offer_is_refused)
{
	struct scene s;

	sc_begin(&s, refused[_i].config);
	sc_invite(&s, NULL,
		keyed_caller(
			&s, refused[_i].profile, refused[_i].crypto, NULL));
	dl_take_refusal(&s.caller, 488);
	sc_over(&s, refused[_i].why, 488, "sbc");
}
END_TEST

/* Offers and answers in RTP/AVP after which both sides are plain. */
static const struct {
	const struct cw_config *config;
	const char *caller; /* the ITSP's a=crypto lines */
	size_t n_offered;   /* lines to the phone */
	const char *phone;
} plain[] = {
	{&all_phones_may, "", 5, ""},
	{&itsp_may, "", 0, ""},
	/* Who has no SRTP sees no keys, */
	{&nobody, CM80("1", "A"), 0, CM80("1", "P")},
	/* nor who could only be told them in the clear. */
	{&open_both_may, CM80("1", "A"), 0, CM80("1", "P")},
};

START_TEST(media_stay_plain)
{
	struct scene s;

	sc_begin(&s, plain[_i].config);
	keys_call(&s, keyed_caller(&s, "RTP/AVP", plain[_i].caller, NULL),
		" RTP/AVP ", plain[_i].n_offered);
	sc_pick_up(&s, keyed_phone(&s, "RTP/AVP", plain[_i].phone, NULL));
	ck_assert(!msg_has(s.itsp.rx, "crypto"));
	keys_expect_none(s.w->want->caller);
	keys_expect_none(s.w->want->called);
	keys_finish(&s, "", "");
}
END_TEST

/* The phone has picked up with an answer that cannot be; the caller hears of
 * it, and the phone hears BYE. */
static const struct {
	const char *profile, *crypto; /* of the phone's answer */
	unsigned status;
	enum reason why;
} misfits[] = {
	{"RTP/AVP", "", 488, REASON_SDP_SRTP_REQUIRED},
	{"RTP/AVP", CM80("4", "P"), 488, REASON_SDP_SRTP_REQUIRED},
	{"RTP/SAVP", "", 488, REASON_SDP_NO_SUITE},
	/* Tag 1 was another suite; tag 9 was not offered. */
	{"RTP/SAVP", CM80("1", "P"), 500, REASON_SDP_BAD_ANSWER},
	{"RTP/SAVP", CM80("9", "P"), 500, REASON_SDP_BAD_ANSWER},
};

START_TEST(answer_does_not_fit)
{
	struct scene s;

	sc_begin(&s, &phone_must);
	keys_call(&s, sc_caller_sdp(&s, "8 101", NULL), " RTP/SAVP ", 5);
	dl_pick_up(&s.called,
		keyed_phone(&s, misfits[_i].profile, misfits[_i].crypto, NULL));
	dl_take_refusal(&s.caller, misfits[_i].status);
	dl_take_bye(&s.called);
	sc_over(&s, misfits[_i].why, misfits[_i].status, "sbc");
}
END_TEST

/* ------------------------------------------------------------ keyed calls */

START_TEST(optional_offers_keys_in_avp)
{
	static const Gh__Suite order[] = {
		GH__SUITE__SUITE_AEAD_AES_256_GCM,
		GH__SUITE__SUITE_AEAD_AES_128_GCM,
		GH__SUITE__SUITE_AES_256_CM_HMAC_SHA1_80,
		GH__SUITE__SUITE_AES_CM_128_HMAC_SHA1_80,
		GH__SUITE__SUITE_AES_CM_128_HMAC_SHA1_32,
	};
	struct scene s;
	struct sdp offer, theirs;
	const char *text;

	sc_begin(&s, &phone_may);
	keys_call(&s, sc_caller_sdp(&s, "8 101", NULL), " RTP/AVP ", 5);
	keys_read(msg_body(s.called.invite), &offer);
	for (size_t i = 0; i < 5; i++) {
		ck_assert_uint_eq(offer.crypto[i].tag, i + 1);
		ck_assert_int_eq(offer.crypto[i].suite, order[i]);
	}
	text = keyed_phone(&s, "RTP/AVP", CM80("4", "P"), NULL);
	keys_read(text, &theirs);
	sc_pick_up(&s, text);
	ck_assert(!msg_has(s.itsp.rx, "crypto"));
	keys_expect_none(s.w->want->caller);
	keys_expect(s.w->want->called->receive, &theirs, 4);
	keys_expect(s.w->want->called->send, &offer, 4);
	ck_assert(s.w->want->called->srtp_required);
	keys_finish(&s, "", CM80_NAME);
}
END_TEST

/* A key in RTP/AVP (RFC 8643) is answered in RTP/AVP. */
START_TEST(optional_answers_keys_in_avp)
{
	struct scene s;
	struct sdp to_itsp;

	sc_begin(&s, &itsp_may);
	keys_call(&s, keyed_caller(&s, "RTP/AVP", UNKNOWN CM80("7", "A"), NULL),
		" RTP/AVP ", 0);
	sc_pick_up(&s, sc_phone_sdp(&s, "8 101", NULL));
	ck_assert(msg_has(msg_body(s.itsp.rx), " RTP/AVP "));
	keys_read(msg_body(s.itsp.rx), &to_itsp);
	ck_assert_uint_eq(to_itsp.n_crypto, 1);
	keys_expect(s.w->want->caller->send, &to_itsp, 7);
	keys_expect_none(s.w->want->called);
	keys_finish(&s, CM80_NAME, "");
}
END_TEST

/* Two sides, two suites, four keys. */
START_TEST(keys_are_each_sides_own)
{
	const struct cw_config config = {.itsp_srtp = OPTIONAL,
		.account_srtp = REQUIRED,
		.keys_in_clear = true};
	struct scene s;
	struct sdp from_itsp, to_itsp, from_phone, to_phone;
	const char *text;

	sc_begin(&s, &config);
	text = keyed_caller(&s, "RTP/SAVP",
		CM80("1", "A") GCM128("2", "B") CM32("3", "C"), NULL);
	keys_read(text, &from_itsp);
	keys_call(&s, text, " RTP/SAVP ", 5);
	ck_assert(!msg_has(s.called.invite, "VyRyUDVC"));
	keys_read(msg_body(s.called.invite), &to_phone);
	text = keyed_phone(&s, "RTP/SAVP", CM32("5", "P"), NULL);
	keys_read(text, &from_phone);
	sc_pick_up(&s, text);
	ck_assert(msg_has(msg_body(s.itsp.rx), " RTP/SAVP "));
	ck_assert(!msg_has(s.itsp.rx, "VyRyUDVC"));
	/* The strongest that was offered, by its tag. */
	keys_read(msg_body(s.itsp.rx), &to_itsp);
	ck_assert_uint_eq(to_itsp.n_crypto, 1);
	ck_assert_uint_eq(to_itsp.crypto[0].tag, 2);
	keys_expect(s.w->want->caller->receive, &from_itsp, 2);
	keys_expect(s.w->want->caller->send, &to_itsp, 2);
	keys_expect(s.w->want->called->receive, &from_phone, 5);
	keys_expect(s.w->want->called->send, &to_phone, 5);
	ck_assert(s.w->want->caller->srtp_required);
	keys_finish(&s, "AEAD_AES_128_GCM", "AES_CM_128_HMAC_SHA1_32");
}
END_TEST

/* An answer with two lines: both readers of it take the same one. */
START_TEST(two_lines_in_an_answer)
{
	struct scene s;
	struct sdp theirs, offer;
	const char *text;

	sc_begin(&s, &phone_must);
	keys_call(&s, sc_caller_sdp(&s, "8 101", NULL), " RTP/SAVP ", 5);
	keys_read(msg_body(s.called.invite), &offer);
	text = keyed_phone(&s, "RTP/SAVP", CM32("5", "P") CM80("4", "Q"), NULL);
	keys_read(text, &theirs);
	sc_pick_up(&s, text);
	keys_expect(s.w->want->called->receive, &theirs, 5);
	keys_expect(s.w->want->called->send, &offer, 5);
	keys_finish(&s, "", "AES_CM_128_HMAC_SHA1_32");
}
END_TEST

/* What 183 and 200 say to the caller has one key. */
START_TEST(early_media_keeps_the_key)
{
	struct scene s;
	struct sdp early, final;

	sc_begin(&s, &itsp_must);
	keys_call(&s, keyed_caller(&s, "RTP/SAVP", CM80("1", "A"), NULL),
		" RTP/AVP ", 0);
	dl_answer(&s.called, s.called.invite, 183, NULL,
		sc_phone_sdp(&s, "8 101", NULL));
	sp_expect(&s.itsp, "SIP/2.0 183");
	keys_read(msg_body(s.itsp.rx), &early);
	keys_expect(s.w->want->caller->send, &early, 1);
	sc_pick_up(&s, sc_phone_sdp(&s, "8 101", NULL));
	keys_read(msg_body(s.itsp.rx), &final);
	ck_assert(keys_same(&early, &final));
	keys_finish(&s, CM80_NAME, "");
}
END_TEST

/* An INVITE without an offer: ours, with keys, is in the 200. */
static void offered(struct scene *s, struct sdp *ours)
{
	sc_begin(s, &itsp_must);
	keys_call(s, NULL, " RTP/AVP ", 0);
	dl_pick_up(&s->called, sc_phone_sdp(s, "8 101", NULL));
	sp_expect(&s->itsp, "SIP/2.0 200");
	dl_answered(&s->caller);
	ck_assert(msg_has(msg_body(s->itsp.rx), " RTP/SAVP "));
	keys_read(msg_body(s->itsp.rx), ours);
	ck_assert_uint_eq(ours->n_crypto, 5);
}

START_TEST(offer_of_ours_to_the_caller)
{
	struct scene s;
	struct sdp ours, theirs;
	const char *text;

	offered(&s, &ours);
	text = keyed_caller(&s, "RTP/SAVP", GCM128("2", "A"), NULL);
	keys_read(text, &theirs);
	dl_ack(&s.caller, text);
	cw_turn(s.w);
	keys_expect(s.w->want->caller->receive, &theirs, 2);
	keys_expect(s.w->want->caller->send, &ours, 2);
	keys_finish(&s, "AEAD_AES_128_GCM", "");
}
END_TEST

START_TEST(plain_answer_in_the_ack)
{
	struct scene s;
	struct sdp ours;

	offered(&s, &ours);
	dl_ack(&s.caller, sc_caller_sdp(&s, "8 101", NULL));
	sc_take_byes(&s);
	sc_over(&s, REASON_SDP_SRTP_REQUIRED, 200, "sbc");
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("sbc_call_srtp");

	suite_add_rows(
		s, "offer_is_refused", offer_is_refused, N_ROWS(refused));
	suite_add_rows(s, "media_stay_plain", media_stay_plain, N_ROWS(plain));
	suite_add_rows(
		s, "answer_does_not_fit", answer_does_not_fit, N_ROWS(misfits));
	suite_add(
		s, "optional_offers_keys_in_avp", optional_offers_keys_in_avp);
	suite_add(s, "optional_answers_keys_in_avp",
		optional_answers_keys_in_avp);
	suite_add(s, "keys_are_each_sides_own", keys_are_each_sides_own);
	suite_add(s, "two_lines_in_an_answer", two_lines_in_an_answer);
	suite_add(s, "early_media_keeps_the_key", early_media_keeps_the_key);
	suite_add(
		s, "offer_of_ours_to_the_caller", offer_of_ours_to_the_caller);
	suite_add(s, "plain_answer_in_the_ack", plain_answer_in_the_ack);
	return s;
}

int main(void)
{
	return suite_run(suite());
}
