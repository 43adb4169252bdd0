/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SRTP by SDES: what each side is offered and answered by policy, and which
 * keys reach mediad, from set-up over changes to the CDR.
 */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "common/secret.h"
#include "tests/unit/call_world.h"
#include "tests/unit/suite.h"

#define NONE     GH__SRTP_POLICY__SRTP_NONE
#define OPTIONAL GH__SRTP_POLICY__SRTP_OPTIONAL
#define REQUIRED GH__SRTP_POLICY__SRTP_REQUIRED

/* a=crypto lines of peers; the keys are told apart by their first letter. */
#define CM80(tag, c)                                                           \
	"a=crypto:" tag " AES_CM_128_HMAC_SHA1_80 inline:" c                   \
	"VyRyUDVCODdYSnJaN2NWbm5IcFRzM0V5S0ZtTEV\r\n"
#define CM32(tag, c)                                                           \
	"a=crypto:" tag " AES_CM_128_HMAC_SHA1_32 inline:" c                   \
	"VyRyUDVCODdYSnJaN2NWbm5IcFRzM0V5S0ZtTEV|2^31\r\n"
#define GCM128(tag, c)                                                         \
	"a=crypto:" tag " AEAD_AES_128_GCM inline:" c                          \
	"VyRyUDVCODdYSnJaN2NWbm5IcFRzM0V5S0ZtA==\r\n"
#define WITH_MKI                                                               \
	"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:"                           \
	"QVyRyUDVCODdYSnJaN2NWbm5IcFRzM0V5S0ZtTEV|2^31|1:4\r\n"
#define UNKNOWN                                                                \
	"a=crypto:2 F8_128_HMAC_SHA1_80 inline:"                               \
	"QVyRyUDVCODdYSnJaN2NWbm5IcFRzM0V5S0ZtTEV\r\n"

/* A peer's description with profile and a=crypto lines. Session and version of
 * o= are the peer's from here on. */
static const char *keyed(const struct sip_peer *p, unsigned port,
	const char *profile, const char *crypto, const char *direction)
{
	static char texts[4][4096];
	static unsigned turn;
	char *text = texts[turn++ % 4];
	char ip[ADDR_TEXT_SIZE];

	addr_format_ip(&p->local, ip);
	snprintf(text, sizeof texts[0],
		"v=0\r\no=- 77 1 IN IP4 %s\r\ns=-\r\nc=IN IP4 %s\r\nt=0 0\r\n"
		"m=audio %u %s 8 101\r\n"
		"a=rtpmap:8 PCMA/8000\r\na=rtpmap:101 telephone-event/8000\r\n"
		"a=fmtp:101 0-15\r\na=ptime:20\r\n%sa=%s\r\n",
		ip, ip, port, profile, crypto,
		direction != NULL ? direction : "sendrecv");
	return text;
}

static void read_sdp(const char *body, struct sdp *sdp)
{
	enum reason why;

	ck_assert_int_eq(sdp_parse(body, strlen(body), sdp, &why), 0);
}

static const struct sdp_crypto *line_of(const struct sdp *sdp, uint32_t tag)
{
	for (size_t i = 0; i < sdp->n_crypto; i++)
		if (sdp->crypto[i].tag == tag)
			return &sdp->crypto[i];
	ck_abort_msg("no a=crypto with tag %u", tag);
}

static void expect_key(
	const Gh__SrtpKey *key, const struct sdp *sdp, uint32_t tag)
{
	const struct sdp_crypto *line = line_of(sdp, tag);

	ck_assert_ptr_nonnull(key);
	ck_assert_int_eq(key->suite, line->suite);
	ck_assert_uint_eq(key->master.len, line->master_len);
	ck_assert_mem_eq(key->master.data, line->master, key->master.len);
}

static bool same_master(const struct sdp *a, const struct sdp *b)
{
	ck_assert_uint_ge(a->n_crypto, 1);
	ck_assert_uint_ge(b->n_crypto, 1);
	return a->crypto[0].master_len == b->crypto[0].master_len &&
	       secret_equal(a->crypto[0].master, b->crypto[0].master,
		       a->crypto[0].master_len);
}

static void expect_plain(const Gh__MediaSide *side)
{
	ck_assert_ptr_null(side->receive);
	ck_assert_ptr_null(side->send);
	ck_assert(!side->srtp_required);
	ck_assert_uint_ge(side->n_payloads, 1);
}

/* The ITSP calls; its INVITE and what the phone was offered. */
static void invite(
	struct scene *s, const char *their_sdp, const char *profile, size_t n)
{
	struct sdp offer;

	dl_invite(&s->caller, &s->itsp, &s->w->itsp, "+491761234567",
		"+4930100", NULL, their_sdp);
	sp_expect(&s->phone, "INVITE sip:line@");
	dl_from_invite(&s->called, &s->phone, &s->w->phones);
	ck_assert(msg_has(msg_body(s->phone.rx), profile));
	read_sdp(msg_body(s->phone.rx), &offer);
	ck_assert_uint_eq(offer.n_crypto, n);
}

static void answer(struct scene *s, const char *sdp)
{
	dl_answer(&s->called, s->called.invite, 200, NULL, sdp);
	sp_expect(&s->phone, "ACK ");
	sp_expect(&s->itsp, "SIP/2.0 200");
	dl_answered(&s->caller);
}

static void is_up(struct scene *s, const char *ack_sdp)
{
	dl_ack(&s->caller, ack_sdp);
	cw_turn(s->w);
	ck_assert_int_eq(cw_call(s->w)->state, CALL_UP);
}

static void finish(struct scene *s, const char *caller, const char *called)
{
	const Gh__Cdr *cdr;

	sc_bye_from_caller(s);
	cdr = cw_cdr(s->w);
	sc_cdr(cdr, REASON_CALL_CALLER_HUNG_UP, 200, "caller");
	ck_assert_str_eq(cdr->caller_leg->srtp, caller);
	ck_assert_str_eq(cdr->called_leg->srtp, called);
	sc_end(s);
}

/* Refused before the phone hears of it. */
static void refused(const struct cw_config *config, const char *profile,
	const char *crypto, enum reason why)
{
	struct scene s;

	sc_begin(&s, config);
	dl_invite(&s.caller, &s.itsp, &s.w->itsp, "+491761234567", "+4930100",
		NULL, keyed(&s.itsp, 6000, profile, crypto, NULL));
	sp_expect(&s.itsp, "SIP/2.0 488");
	dl_ack(&s.caller, NULL);
	sc_cdr(cw_cdr(s.w), why, 488, "sbc");
	sc_end(&s);
}

/* ------------------------------------------------------------------ policy */

START_TEST(optional_offers_keys_in_avp)
{
	static const Gh__Suite order[] = {
		GH__SUITE__SUITE_AEAD_AES_256_GCM,
		GH__SUITE__SUITE_AEAD_AES_128_GCM,
		GH__SUITE__SUITE_AES_256_CM_HMAC_SHA1_80,
		GH__SUITE__SUITE_AES_CM_128_HMAC_SHA1_80,
		GH__SUITE__SUITE_AES_CM_128_HMAC_SHA1_32,
	};
	const struct cw_config config = {
		.account_srtp = OPTIONAL, .keys_in_clear = true};
	struct scene s;
	struct sdp offer, theirs;
	const char *text;

	sc_begin(&s, &config);
	invite(&s, sdp_text(&s.itsp, 6000, "8 101", NULL), " RTP/AVP ", 5);
	read_sdp(msg_body(s.called.invite), &offer);
	for (size_t i = 0; i < 5; i++) {
		ck_assert_uint_eq(offer.crypto[i].tag, i + 1);
		ck_assert_int_eq(offer.crypto[i].suite, order[i]);
	}
	text = keyed(&s.phone, 7000, "RTP/AVP", CM80("4", "P"), NULL);
	read_sdp(text, &theirs);
	answer(&s, text);
	ck_assert(!msg_has(s.itsp.rx, "crypto"));
	expect_plain(s.w->want->caller);
	expect_key(s.w->want->called->receive, &theirs, 4);
	expect_key(s.w->want->called->send, &offer, 4);
	ck_assert(s.w->want->called->srtp_required);
	is_up(&s, NULL);
	finish(&s, "", "AES_CM_128_HMAC_SHA1_80");
}
END_TEST

START_TEST(optional_takes_a_plain_answer)
{
	const struct cw_config config = {
		.phones_srtp = OPTIONAL, .keys_in_clear = true};
	struct scene s;

	sc_begin(&s, &config);
	invite(&s, sdp_text(&s.itsp, 6000, "8 101", NULL), " RTP/AVP ", 5);
	answer(&s, sdp_text(&s.phone, 7000, "8 101", NULL));
	expect_plain(s.w->want->called);
	is_up(&s, NULL);
	finish(&s, "", "");
}
END_TEST

START_TEST(optional_takes_a_plain_offer)
{
	const struct cw_config config = {
		.itsp_srtp = OPTIONAL, .keys_in_clear = true};
	struct scene s;

	sc_begin(&s, &config);
	invite(&s, sdp_text(&s.itsp, 6000, "8 101", NULL), " RTP/AVP ", 0);
	answer(&s, sdp_text(&s.phone, 7000, "8 101", NULL));
	ck_assert(!msg_has(s.itsp.rx, "crypto"));
	expect_plain(s.w->want->caller);
	is_up(&s, NULL);
	finish(&s, "", "");
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
	text = keyed(&s.itsp, 6000, "RTP/SAVP",
		CM80("1", "A") GCM128("2", "B") CM32("3", "C"), NULL);
	read_sdp(text, &from_itsp);
	invite(&s, text, " RTP/SAVP ", 5);
	ck_assert(!msg_has(s.phone.rx, "VyRyUDVC"));
	read_sdp(msg_body(s.called.invite), &to_phone);
	text = keyed(&s.phone, 7000, "RTP/SAVP", CM32("5", "P"), NULL);
	read_sdp(text, &from_phone);
	answer(&s, text);
	ck_assert(msg_has(msg_body(s.itsp.rx), " RTP/SAVP "));
	ck_assert(!msg_has(s.itsp.rx, "VyRyUDVC"));
	/* The strongest that was offered, by its tag. */
	read_sdp(msg_body(s.itsp.rx), &to_itsp);
	ck_assert_uint_eq(to_itsp.n_crypto, 1);
	ck_assert_uint_eq(to_itsp.crypto[0].tag, 2);
	expect_key(s.w->want->caller->receive, &from_itsp, 2);
	expect_key(s.w->want->caller->send, &to_itsp, 2);
	expect_key(s.w->want->called->receive, &from_phone, 5);
	expect_key(s.w->want->called->send, &to_phone, 5);
	ck_assert(s.w->want->caller->srtp_required);
	is_up(&s, NULL);
	finish(&s, "AEAD_AES_128_GCM", "AES_CM_128_HMAC_SHA1_32");
}
END_TEST

/* A key in RTP/AVP (RFC 8643) is answered in RTP/AVP. */
START_TEST(optional_answers_keys_in_avp)
{
	const struct cw_config config = {
		.itsp_srtp = OPTIONAL, .keys_in_clear = true};
	struct scene s;
	struct sdp to_itsp;

	sc_begin(&s, &config);
	invite(&s,
		keyed(&s.itsp, 6000, "RTP/AVP", UNKNOWN CM80("7", "A"), NULL),
		" RTP/AVP ", 0);
	answer(&s, sdp_text(&s.phone, 7000, "8 101", NULL));
	ck_assert(msg_has(msg_body(s.itsp.rx), " RTP/AVP "));
	read_sdp(msg_body(s.itsp.rx), &to_itsp);
	ck_assert_uint_eq(to_itsp.n_crypto, 1);
	expect_key(s.w->want->caller->send, &to_itsp, 7);
	expect_plain(s.w->want->called);
	is_up(&s, NULL);
	finish(&s, "AES_CM_128_HMAC_SHA1_80", "");
}
END_TEST

START_TEST(none_sees_no_keys)
{
	const struct cw_config config = {.keys_in_clear = true};
	struct scene s;

	refused(&config, "RTP/SAVP", CM80("1", "A"), REASON_SDP_SRTP_FORBIDDEN);
	sc_begin(&s, &config);
	invite(&s, keyed(&s.itsp, 6000, "RTP/AVP", CM80("1", "A"), NULL),
		" RTP/AVP ", 0);
	answer(&s, keyed(&s.phone, 7000, "RTP/AVP", CM80("1", "P"), NULL));
	ck_assert(!msg_has(s.itsp.rx, "crypto"));
	expect_plain(s.w->want->caller);
	expect_plain(s.w->want->called);
	is_up(&s, NULL);
	finish(&s, "", "");
}
END_TEST

START_TEST(required_refuses_plain)
{
	const struct cw_config config = {
		.itsp_srtp = REQUIRED, .keys_in_clear = true};

	refused(&config, "RTP/AVP", "", REASON_SDP_SRTP_REQUIRED);
	refused(&config, "RTP/AVP", CM80("1", "A"), REASON_SDP_SRTP_REQUIRED);
}
END_TEST

/* A line with an MKI or of an unknown suite is as if it were not there. */
START_TEST(no_usable_line)
{
	const struct cw_config config = {
		.itsp_srtp = REQUIRED, .keys_in_clear = true};

	refused(&config, "RTP/SAVP", WITH_MKI UNKNOWN, REASON_SDP_NO_SUITE);
	refused(&config, "RTP/SAVP", "", REASON_SDP_NO_SUITE);
	refused(&config, "UDP/TLS/RTP/SAVPF", CM80("1", "A"),
		REASON_SDP_SRTP_FORBIDDEN);
}
END_TEST

/* The realm does not say that keys may travel in the clear. */
START_TEST(keys_need_a_protected_path)
{
	const struct cw_config optional = {
		.itsp_srtp = OPTIONAL, .account_srtp = OPTIONAL};
	const struct cw_config required = {.itsp_srtp = REQUIRED};
	struct scene s;

	refused(&optional, "RTP/SAVP", CM80("1", "A"),
		REASON_SDP_INSECURE_SIGNALING);
	refused(&required, "RTP/SAVP", CM80("1", "A"),
		REASON_SDP_INSECURE_SIGNALING);
	sc_begin(&s, &optional);
	invite(&s, keyed(&s.itsp, 6000, "RTP/AVP", CM80("1", "A"), NULL),
		" RTP/AVP ", 0);
	answer(&s, keyed(&s.phone, 7000, "RTP/AVP", CM80("1", "P"), NULL));
	ck_assert(!msg_has(s.itsp.rx, "crypto"));
	expect_plain(s.w->want->caller);
	expect_plain(s.w->want->called);
	is_up(&s, NULL);
	finish(&s, "", "");
}
END_TEST

/* A called phone that must encrypt and cannot be told a key is not called. */
START_TEST(required_phone_on_a_clear_path)
{
	const struct cw_config config = {.account_srtp = REQUIRED};

	refused(&config, "RTP/AVP", "", REASON_SDP_INSECURE_SIGNALING);
}
END_TEST

static void bad_answer(const char *profile, const char *crypto, unsigned status,
	enum reason why)
{
	const struct cw_config config = {
		.account_srtp = REQUIRED, .keys_in_clear = true};
	struct scene s;
	char line[16];

	sc_begin(&s, &config);
	invite(&s, sdp_text(&s.itsp, 6000, "8 101", NULL), " RTP/SAVP ", 5);
	dl_answer(&s.called, s.called.invite, 200, NULL,
		keyed(&s.phone, 7000, profile, crypto, NULL));
	sp_expect(&s.phone, "ACK ");
	snprintf(line, sizeof line, "SIP/2.0 %u", status);
	sp_expect(&s.itsp, line);
	dl_ack(&s.caller, NULL);
	sp_expect(&s.phone, "BYE ");
	dl_answer(&s.called, s.phone.rx, 200, NULL, NULL);
	sc_cdr(cw_cdr(s.w), why, status, "sbc");
	sc_end(&s);
}

START_TEST(answers_that_do_not_fit)
{
	bad_answer("RTP/AVP", "", 488, REASON_SDP_SRTP_REQUIRED);
	bad_answer("RTP/AVP", CM80("4", "P"), 488, REASON_SDP_SRTP_REQUIRED);
	bad_answer("RTP/SAVP", "", 488, REASON_SDP_NO_SUITE);
	/* Tag 1 was another suite; tag 9 was not offered. */
	bad_answer("RTP/SAVP", CM80("1", "P"), 500, REASON_SDP_BAD_ANSWER);
	bad_answer("RTP/SAVP", CM80("9", "P"), 500, REASON_SDP_BAD_ANSWER);
}
END_TEST

/* An answer with two lines: both readers of it take the same one. */
START_TEST(two_lines_in_an_answer)
{
	const struct cw_config config = {
		.account_srtp = REQUIRED, .keys_in_clear = true};
	struct scene s;
	struct sdp theirs, offer;
	const char *text;

	sc_begin(&s, &config);
	invite(&s, sdp_text(&s.itsp, 6000, "8 101", NULL), " RTP/SAVP ", 5);
	read_sdp(msg_body(s.called.invite), &offer);
	text = keyed(&s.phone, 7000, "RTP/SAVP", CM32("5", "P") CM80("4", "Q"),
		NULL);
	read_sdp(text, &theirs);
	answer(&s, text);
	expect_key(s.w->want->called->receive, &theirs, 5);
	expect_key(s.w->want->called->send, &offer, 5);
	is_up(&s, NULL);
	finish(&s, "", "AES_CM_128_HMAC_SHA1_32");
}
END_TEST

/* ------------------------------------------------------------------ set-up */

/* What 183 and 200 say to the caller has one key. */
START_TEST(early_media_keeps_the_key)
{
	const struct cw_config config = {
		.itsp_srtp = REQUIRED, .keys_in_clear = true};
	struct scene s;
	struct sdp early, final;

	sc_begin(&s, &config);
	invite(&s, keyed(&s.itsp, 6000, "RTP/SAVP", CM80("1", "A"), NULL),
		" RTP/AVP ", 0);
	dl_answer(&s.called, s.called.invite, 183, NULL,
		sdp_text(&s.phone, 7000, "8 101", NULL));
	sp_expect(&s.itsp, "SIP/2.0 183");
	read_sdp(msg_body(s.itsp.rx), &early);
	expect_key(s.w->want->caller->send, &early, 1);
	answer(&s, sdp_text(&s.phone, 7000, "8 101", NULL));
	read_sdp(msg_body(s.itsp.rx), &final);
	ck_assert(same_master(&early, &final));
	is_up(&s, NULL);
	finish(&s, "AES_CM_128_HMAC_SHA1_80", "");
}
END_TEST

/* An INVITE without an offer: ours is in the 200, the answer in the ACK. */
START_TEST(offer_of_ours_to_the_caller)
{
	const struct cw_config config = {
		.itsp_srtp = REQUIRED, .keys_in_clear = true};
	struct scene s;
	struct sdp ours, theirs;
	const char *text;

	sc_begin(&s, &config);
	invite(&s, NULL, " RTP/AVP ", 0);
	answer(&s, sdp_text(&s.phone, 7000, "8 101", NULL));
	ck_assert(msg_has(msg_body(s.itsp.rx), " RTP/SAVP "));
	read_sdp(msg_body(s.itsp.rx), &ours);
	ck_assert_uint_eq(ours.n_crypto, 5);
	text = keyed(&s.itsp, 6000, "RTP/SAVP", GCM128("2", "A"), NULL);
	read_sdp(text, &theirs);
	is_up(&s, text);
	expect_key(s.w->want->caller->receive, &theirs, 2);
	expect_key(s.w->want->caller->send, &ours, 2);
	finish(&s, "AEAD_AES_128_GCM", "");
}
END_TEST

START_TEST(plain_answer_in_the_ack)
{
	const struct cw_config config = {
		.itsp_srtp = REQUIRED, .keys_in_clear = true};
	struct scene s;

	sc_begin(&s, &config);
	invite(&s, NULL, " RTP/AVP ", 0);
	answer(&s, sdp_text(&s.phone, 7000, "8 101", NULL));
	dl_ack(&s.caller, sdp_text(&s.itsp, 6000, "8 101", NULL));
	sp_expect(&s.itsp, "BYE ");
	dl_answer(&s.caller, s.itsp.rx, 200, NULL, NULL);
	sp_expect(&s.phone, "BYE ");
	dl_answer(&s.called, s.phone.rx, 200, NULL, NULL);
	sc_cdr(cw_cdr(s.w), REASON_SDP_SRTP_REQUIRED, 200, "sbc");
	sc_end(&s);
}
END_TEST

/* ----------------------------------------------------------------- changes */

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
	text = keyed(&k->s.itsp, 6000, "RTP/SAVP", CM80("1", "A"), NULL);
	read_sdp(text, &k->from_itsp);
	invite(&k->s, text, " RTP/AVP ", 5);
	read_sdp(msg_body(k->s.called.invite), &k->to_phone);
	text = keyed(&k->s.phone, 7000, "RTP/AVP", CM80("4", "P"), NULL);
	read_sdp(text, &k->from_phone);
	answer(&k->s, text);
	read_sdp(msg_body(k->s.itsp.rx), &k->to_itsp);
	is_up(&k->s, NULL);
	k->n_wants = k->s.w->n_wants;
}

/* mediad has, on a new want, the keys that k says. */
static void expect_keys(struct keyed_call *k)
{
	const Gh__SessionWant *w = k->s.w->want;

	ck_assert_uint_gt(k->s.w->n_wants, k->n_wants);
	k->n_wants = k->s.w->n_wants;
	expect_key(w->caller->receive, &k->from_itsp, 1);
	expect_key(w->caller->send, &k->to_itsp, 1);
	expect_key(w->called->receive, &k->from_phone, 4);
	expect_key(w->called->send, &k->to_phone, 4);
}

static void keyed_down(struct keyed_call *k)
{
	finish(&k->s, "AES_CM_128_HMAC_SHA1_80", "AES_CM_128_HMAC_SHA1_80");
}

static void itsp_offers(
	struct keyed_call *k, const char *crypto, const char *direction)
{
	dl_request(&k->s.caller, "INVITE", NULL, "application/sdp",
		keyed(&k->s.itsp, 6000, "RTP/SAVP", crypto, direction));
}

/* Takes the re-INVITE that the phone gets: the same line, and nothing else. */
static void phone_is_asked(struct keyed_call *k)
{
	struct sdp offer;

	sp_expect(&k->s.phone, "INVITE ");
	ck_assert(msg_has(msg_body(k->s.phone.rx), " RTP/AVP "));
	read_sdp(msg_body(k->s.phone.rx), &offer);
	ck_assert_uint_eq(offer.n_crypto, 1);
	ck_assert_uint_eq(offer.crypto[0].tag, 4);
	ck_assert_mem_eq(
		offer.crypto[0].master, line_of(&k->to_phone, 4)->master, 30);
}

static void itsp_is_answered(struct keyed_call *k, struct sdp *answered)
{
	sp_expect(&k->s.itsp, "SIP/2.0 200");
	dl_answered(&k->s.caller);
	dl_ack(&k->s.caller, NULL);
	ck_assert(msg_has(msg_body(k->s.itsp.rx), " RTP/SAVP "));
	read_sdp(msg_body(k->s.itsp.rx), answered);
	cw_turn(k->s.w);
}

static void hold(struct keyed_call *k, const char *theirs, const char *answer_)
{
	struct sdp answered;

	itsp_offers(k, CM80("1", "A"), theirs);
	phone_is_asked(k);
	dl_answer(&k->s.called, k->s.phone.rx, 200, NULL,
		keyed(&k->s.phone, 7000, "RTP/AVP", CM80("4", "P"), answer_));
	sp_expect(&k->s.phone, "ACK ");
	itsp_is_answered(k, &answered);
	ck_assert(same_master(&answered, &k->to_itsp));
	expect_keys(k);
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
	struct sdp answered;

	keyed_up(&k);
	itsp_offers(&k, CM80("1", "A"), NULL);
	itsp_is_answered(&k, &answered);
	ck_assert(same_master(&answered, &k.to_itsp));
	expect_keys(&k);
	dl_request(&k.s.caller, "UPDATE", NULL, "application/sdp",
		keyed(&k.s.itsp, 6000, "RTP/SAVP", CM80("1", "A"), NULL));
	sp_expect(&k.s.itsp, "SIP/2.0 200");
	read_sdp(msg_body(k.s.itsp.rx), &answered);
	ck_assert(same_master(&answered, &k.to_itsp));
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
	struct sdp answered;

	keyed_up(&k);
	itsp_offers(&k, GCM128("9", "X") CM80("1", "B"), NULL);
	itsp_is_answered(&k, &answered);
	/* The strongest of the new ones. */
	expect_key(k.s.w->want->caller->send, &answered, 9);
	itsp_offers(&k, CM80("1", "C"), NULL);
	itsp_is_answered(&k, &answered);
	ck_assert(!same_master(&answered, &k.to_itsp));
	k.to_itsp = answered;
	read_sdp(keyed(&k.s.itsp, 6000, "RTP/SAVP", CM80("1", "C"), NULL),
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
	struct sdp answered;
	const char *text;

	keyed_up(&k);
	itsp_offers(&k, CM80("1", "A"), "sendonly");
	phone_is_asked(&k);
	text = keyed(&k.s.phone, 7000, "RTP/AVP", CM80("4", "R"), "recvonly");
	read_sdp(text, &k.from_phone);
	dl_answer(&k.s.called, k.s.phone.rx, 200, NULL, text);
	sp_expect(&k.s.phone, "ACK ");
	itsp_is_answered(&k, &answered);
	ck_assert(same_master(&answered, &k.to_itsp));
	expect_keys(&k);
	keyed_down(&k);
}
END_TEST

/* The phone refuses the hold that came with a new key: all is as before. */
START_TEST(a_refused_offer_leaves_the_keys)
{
	struct keyed_call k;
	struct sdp answered;

	keyed_up(&k);
	itsp_offers(&k, CM80("1", "Z"), "sendonly");
	phone_is_asked(&k);
	dl_answer(&k.s.called, k.s.phone.rx, 488, NULL, NULL);
	sp_expect(&k.s.phone, "ACK ");
	sp_expect(&k.s.itsp, "SIP/2.0 488");
	dl_ack(&k.s.caller, NULL);
	cw_turn(k.s.w);
	ck_assert_uint_eq(k.s.w->n_wants, k.n_wants);
	itsp_offers(&k, CM80("1", "A"), NULL);
	itsp_is_answered(&k, &answered);
	ck_assert(same_master(&answered, &k.to_itsp));
	expect_keys(&k);
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
	sp_expect(&k.s.itsp, "SIP/2.0 503");
	dl_ack(&k.s.caller, NULL);
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
	invite(&s, keyed(&s.itsp, 6000, "RTP/SAVP", CM80("1", "A"), NULL),
		" RTP/AVP ", 0);
	answer(&s, sdp_text(&s.phone, 7000, "8 101", NULL));
	is_up(&s, NULL);
	n = s.w->n_wants;
	dl_request(&s.caller, "INVITE", NULL, "application/sdp",
		sdp_text(&s.itsp, 6000, "8 101", NULL));
	sp_expect(&s.itsp, "SIP/2.0 488");
	dl_ack(&s.caller, NULL);
	cw_turn(s.w);
	ck_assert_uint_eq(s.w->n_wants, n);
	finish(&s, "AES_CM_128_HMAC_SHA1_80", "");
}
END_TEST

/* A re-INVITE without an offer: all suites, the one in force first. */
START_TEST(asked_for_an_offer)
{
	struct keyed_call k;
	struct sdp offer;
	const char *text;

	keyed_up(&k);
	dl_request(&k.s.caller, "INVITE", NULL, NULL, NULL);
	sp_expect(&k.s.itsp, "SIP/2.0 200");
	ck_assert(msg_has(msg_body(k.s.itsp.rx), " RTP/SAVP "));
	read_sdp(msg_body(k.s.itsp.rx), &offer);
	ck_assert_uint_eq(offer.n_crypto, 5);
	ck_assert_uint_eq(offer.crypto[0].tag, 1);
	ck_assert(same_master(&offer, &k.to_itsp));
	text = keyed(&k.s.itsp, 6000, "RTP/SAVP", GCM128("3", "N"), NULL);
	ck_assert_int_eq(
		line_of(&offer, 3)->suite, GH__SUITE__SUITE_AEAD_AES_128_GCM);
	dl_answered(&k.s.caller);
	dl_ack(&k.s.caller, text);
	cw_turn(k.s.w);
	expect_key(k.s.w->want->caller->send, &offer, 3);
	ck_assert_int_eq(cw_call(k.s.w)->state, CALL_UP);
	finish(&k.s, "AEAD_AES_128_GCM", "AES_CM_128_HMAC_SHA1_80");
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("sbc_call_srtp");

	suite_add(
		s, "optional_offers_keys_in_avp", optional_offers_keys_in_avp);
	suite_add(s, "optional_takes_a_plain_answer",
		optional_takes_a_plain_answer);
	suite_add(s, "optional_takes_a_plain_offer",
		optional_takes_a_plain_offer);
	suite_add(s, "keys_are_each_sides_own", keys_are_each_sides_own);
	suite_add(s, "optional_answers_keys_in_avp",
		optional_answers_keys_in_avp);
	suite_add(s, "none_sees_no_keys", none_sees_no_keys);
	suite_add(s, "required_refuses_plain", required_refuses_plain);
	suite_add(s, "no_usable_line", no_usable_line);
	suite_add(s, "keys_need_a_protected_path", keys_need_a_protected_path);
	suite_add(s, "required_phone_on_a_clear_path",
		required_phone_on_a_clear_path);
	suite_add(s, "answers_that_do_not_fit", answers_that_do_not_fit);
	suite_add(s, "two_lines_in_an_answer", two_lines_in_an_answer);
	suite_add(s, "early_media_keeps_the_key", early_media_keeps_the_key);
	suite_add(
		s, "offer_of_ours_to_the_caller", offer_of_ours_to_the_caller);
	suite_add(s, "plain_answer_in_the_ack", plain_answer_in_the_ack);
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
