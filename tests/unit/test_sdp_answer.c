// SPDX-License-Identifier: Apache-2.0
/*
 * SDP between two sides: what lists leave of an offer, which answers fit one,
 * what an answer is made of, directions, payload numbers, and what is a change.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sbc/sdp.h"
#include "sbc/sdp_codec.h"
#include "sbc/sdp_part.h"
#include "tests/unit/sdp_text.h"
#include "tests/unit/suite.h"

/** A codec list from "PCMA PCMU/8000 opus/48000/2". */
static Gh__CodecList *list_of(const char *text)
{
	static Gh__CodecList lists[3];
	static Gh__Codec codecs[3][16];
	static Gh__Codec *rows[3][16];
	static char names[3][16][24];
	static unsigned next;
	unsigned k = next++ % 3;
	struct span rest = span_of(text), word, name;

	if (!text)
		return NULL;
	gh__codec_list__init(&lists[k]);
	lists[k].codecs = rows[k];
	while (span_take_word(&rest, &word)) {
		size_t n = lists[k].n_codecs++;
		uint64_t number = 0;

		gh__codec__init(&codecs[k][n]);
		rows[k][n] = &codecs[k][n];
		ck_assert(span_next(&word, '/', &name));
		ck_assert(!span_copy(name, names[k][n], 24));
		codecs[k][n].name = names[k][n];
		if (span_next(&word, '/', &name)) {
			ck_assert(!span_number(name, 96000, &number));
			codecs[k][n].clock = (uint32_t)number;
		}
		if (span_next(&word, '/', &name)) {
			ck_assert(!span_number(name, 2, &number));
			codecs[k][n].channels = (uint32_t)number;
		}
	}
	return &lists[k];
}

/** A description with these payloads: "0 8 101=telephone-event/8000(0-15)". */
static void sdp_of(const char *payloads, struct sdp *sdp)
{
	static char text[SDP_SIZE_MAX];
	char maps[2048], pts[256];
	struct span rest = span_of(payloads), word, pt, map;
	struct writer w, p;

	writer_init(&w, maps, sizeof(maps));
	writer_init(&p, pts, sizeof(pts));
	while (span_take_word(&rest, &word)) {
		ck_assert(span_next(&word, '=', &pt));
		writer_add(&p, " %.*s", (int)pt.len, pt.at);
		if (!word.at)
			continue;
		ck_assert(span_next(&word, '(', &map));
		writer_add(&w, "a=rtpmap:%.*s %.*s\r\n", (int)pt.len, pt.at,
			(int)map.len, map.at);
		if (word.at)
			writer_add(&w, "a=fmtp:%.*s %.*s\r\n", (int)pt.len,
				pt.at, (int)word.len - 1, word.at);
	}
	snprintf(text, sizeof(text), HEAD CONN "m=audio 4000 RTP/AVP%s\r\n%s",
		pts, maps);
	sdp_read_ok(text, sdp);
}

/** The payloads alone. */
static const char *payloads_of(const struct sdp *sdp)
{
	static char text[2048];
	struct writer w;

	writer_init(&w, text, sizeof(text));
	for (size_t i = 0; i < sdp->n_payloads; i++) {
		const struct sdp_payload *p = &sdp->payloads[i];

		writer_add(&w, "%s%u=%s/%u", i ? " " : "", p->pt, p->name,
			p->clock);
		if (*p->fmtp)
			writer_add(&w, "(%s)", p->fmtp);
	}
	return text;
}

static const struct {
	const char *name, *offer, *a, *b, *prefer, *result; /* NULL: refused */
} restrictions[] = {
	{"no lists", "0 8 3", NULL, NULL, NULL,
		"0=PCMU/8000 8=PCMA/8000 3=GSM/8000"},
	{"one list, own order", "0 8 3", "PCMA PCMU", NULL, NULL,
		"0=PCMU/8000 8=PCMA/8000"},
	{"one list's order", "0 8 3", "PCMA PCMU", NULL, "PCMA PCMU",
		"8=PCMA/8000 0=PCMU/8000"},
	{"two lists", "0 8 3 9", "PCMA PCMU G722", "G722 PCMU GSM", NULL,
		"0=PCMU/8000 9=G722/8000"},
	{"nothing in common", "0 8", "G722", NULL, NULL, NULL},
	{"two lists with nothing in common", "0 8", "PCMA", "PCMU", NULL, NULL},
	{"case of a list's names", "8", "pcma", NULL, NULL, "8=PCMA/8000"},
	{"only digits are left", "8 101=telephone-event/8000",
		"G722 telephone-event", NULL, NULL, NULL},
	{"digits go with the clocks that are left",
		"8 111=opus/48000/2 101=telephone-event/8000 "
		"102=telephone-event/48000",
		"PCMA telephone-event/8000", NULL, NULL,
		"8=PCMA/8000 101=telephone-event/8000"},
	{"one row of digits is enough for every clock",
		"111=opus/48000/2 101=telephone-event/8000 "
		"102=telephone-event/48000",
		"opus telephone-event/8000", NULL, NULL,
		"111=opus/48000 102=telephone-event/48000"},
	{"digits that are not listed go", "8 101=telephone-event/8000", "PCMA",
		NULL, NULL, "8=PCMA/8000"},
	{"comfort noise", "8 13 96=CN/16000", "PCMA CN", NULL, NULL,
		"8=PCMA/8000 13=CN/8000"},
	{"clock and channels of a row",
		"96=speex/8000 97=speex/16000 98=opus/48000/2",
		"speex/16000 opus/48000/1", NULL, NULL, "97=speex/16000"},
	{"an order that names less", "0 8 9 101=telephone-event/8000", NULL,
		NULL, "G722",
		"9=G722/8000 0=PCMU/8000 8=PCMA/8000 "
		"101=telephone-event/8000"},
	{"numbers and parameters stay", "18 118=iLBC/8000(mode=20)", "iLBC",
		NULL, NULL, "118=iLBC/8000(mode=20)"},
};

START_TEST(restricts)
{
	struct sdp sdp;
	int err;

	sdp_of(restrictions[_i].offer, &sdp);
	err = sdp_restrict(&sdp, list_of(restrictions[_i].a),
		list_of(restrictions[_i].b), list_of(restrictions[_i].prefer));
	if (!restrictions[_i].result) {
		ck_assert_int_eq(err, ERR_NOT_FOUND);
		return;
	}
	ck_assert_msg(!err, "%s", restrictions[_i].name);
	ck_assert_msg(!strcmp(payloads_of(&sdp), restrictions[_i].result),
		"%s: %s", restrictions[_i].name, payloads_of(&sdp));
}
END_TEST

static const struct {
	const char *list, *result;
} own_offers[] = {
	{"PCMA PCMU G722", "8=PCMA/8000 0=PCMU/8000 9=G722/8000"},
	{"PCMA telephone-event/8000",
		"8=PCMA/8000 101=telephone-event/8000(0-16)"},
	{"opus PCMA telephone-event",
		"96=opus/48000 8=PCMA/8000 101=telephone-event/48000(0-16) "
		"97=telephone-event/8000(0-16)"},
	{"telephone-event CN PCMA iLBC",
		"8=PCMA/8000 96=iLBC/8000 101=telephone-event/8000(0-16) "
		"13=CN/8000"},
	{"PCMA PCMA bogus", "8=PCMA/8000"},
};

START_TEST(offers_a_list)
{
	struct sdp sdp = {0};

	sdp_payloads_from_list(list_of(own_offers[_i].list), &sdp);
	ck_assert_str_eq(payloads_of(&sdp), own_offers[_i].result);
}
END_TEST

static const struct {
	const char *name;
	const char *offer, *answer; /* whole bodies after HEAD CONN */
	enum reason why;
	const char *summary;
} answers[] = {
	{"plain", "m=audio 4000 RTP/AVP 0 8 3\r\n",
		"m=audio 5000 RTP/AVP 8\r\n", REASON_SDP_OK,
		"198.51.100.7:5000 RTP/AVP sendrecv 8:PCMA/8000/1"},
	{"codecs that were not offered go", "m=audio 4000 RTP/AVP 0 8\r\n",
		"m=audio 5000 RTP/AVP 9 8 3\r\n", REASON_SDP_OK,
		"198.51.100.7:5000 RTP/AVP sendrecv 8:PCMA/8000/1"},
	{"nothing of the offer", "m=audio 4000 RTP/AVP 0 8\r\n",
		"m=audio 5000 RTP/AVP 9\r\n", REASON_SDP_NO_CODEC, NULL},
	{"refused", "m=audio 4000 RTP/AVP 0 8\r\n", "m=audio 0 RTP/AVP 0\r\n",
		REASON_SDP_NO_CODEC, NULL},
	{"a line more", "m=audio 4000 RTP/AVP 0\r\n",
		"m=audio 5000 RTP/AVP 0\r\nm=video 5002 RTP/AVP 31\r\n",
		REASON_SDP_BAD_ANSWER, NULL},
	{"a line less", "m=audio 4000 RTP/AVP 0\r\nm=video 0 RTP/AVP 31\r\n",
		"m=audio 5000 RTP/AVP 0\r\n", REASON_SDP_BAD_ANSWER, NULL},
	{"lines in another order",
		"m=audio 4000 RTP/AVP 0\r\nm=video 0 RTP/AVP 31\r\n",
		"m=video 0 RTP/AVP 31\r\nm=audio 5000 RTP/AVP 0\r\n",
		REASON_SDP_BAD_ANSWER, NULL},
	{"more direction than offered",
		"m=audio 4000 RTP/AVP 0\r\na=sendonly\r\n",
		"m=audio 5000 RTP/AVP 0\r\na=sendrecv\r\n", REASON_SDP_OK,
		"198.51.100.7:5000 RTP/AVP recvonly 0:PCMU/8000/1"},
	{"hold answered", "m=audio 4000 RTP/AVP 0\r\na=sendonly\r\n",
		"m=audio 5000 RTP/AVP 0\r\na=inactive\r\n", REASON_SDP_OK,
		"198.51.100.7:5000 RTP/AVP inactive 0:PCMU/8000/1"},
	{"mux that was not offered", "m=audio 4000 RTP/AVP 0\r\n",
		"m=audio 5000 RTP/AVP 0\r\na=rtcp-mux\r\n", REASON_SDP_OK,
		"198.51.100.7:5000 RTP/AVP sendrecv 0:PCMU/8000/1"},
	{"mux that was offered", "m=audio 4000 RTP/AVP 0\r\na=rtcp-mux\r\n",
		"m=audio 5000 RTP/AVP 0\r\na=rtcp-mux\r\n", REASON_SDP_OK,
		"198.51.100.7:5000 RTP/AVP sendrecv 0:PCMU/8000/1 mux"},
	{"plain for secure",
		"m=audio 4000 RTP/SAVP 0\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 "
		"inline:" KEY30 "\r\n",
		"m=audio 5000 RTP/AVP 0\r\n", REASON_SDP_BAD_ANSWER, NULL},
	{"secure for plain", "m=audio 4000 RTP/AVP 0\r\n",
		"m=audio 5000 RTP/SAVP 0\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 "
		"inline:" KEY30 "\r\n",
		REASON_SDP_BAD_ANSWER, NULL},
	{"secure without a key",
		"m=audio 4000 RTP/SAVP 0\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 "
		"inline:" KEY30 "\r\n",
		"m=audio 5000 RTP/SAVP 0\r\n", REASON_SDP_BAD_ANSWER, NULL},
	{"a key that was not offered",
		"m=audio 4000 RTP/SAVP 0\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 "
		"inline:" KEY30 "\r\n",
		"m=audio 5000 RTP/SAVP 0\r\na=crypto:2 AES_CM_128_HMAC_SHA1_80 "
		"inline:" KEY30 "\r\n",
		REASON_SDP_BAD_ANSWER, NULL},
	{"another suite under the offered tag",
		"m=audio 4000 RTP/SAVP 0\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 "
		"inline:" KEY30 "\r\n",
		"m=audio 5000 RTP/SAVP 0\r\na=crypto:1 AES_CM_128_HMAC_SHA1_32 "
		"inline:" KEY30 "\r\n",
		REASON_SDP_BAD_ANSWER, NULL},
	{"the second of two",
		"m=audio 4000 RTP/SAVP 0\r\na=crypto:1 AEAD_AES_128_GCM "
		"inline:" KEY28
		"\r\na=crypto:2 AES_CM_128_HMAC_SHA1_80 inline:" KEY30 "\r\n",
		"m=audio 5000 RTP/SAVP 0\r\na=crypto:2 AES_CM_128_HMAC_SHA1_80 "
		"inline:" KEY30 "\r\n",
		REASON_SDP_OK,
		"198.51.100.7:5000 RTP/SAVP sendrecv 0:PCMU/8000/1 crypto=2/1"},
	{"best effort declined",
		"m=audio 4000 RTP/AVP 0\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 "
		"inline:" KEY30 "\r\n",
		"m=audio 5000 RTP/AVP 0\r\n", REASON_SDP_OK,
		"198.51.100.7:5000 RTP/AVP sendrecv 0:PCMU/8000/1"},
	{"AMR of another alignment",
		"m=audio 4000 RTP/AVP 96 0\r\na=rtpmap:96 "
		"AMR/8000\r\na=fmtp:96 octet-align=1\r\n",
		"m=audio 5000 RTP/AVP 96 0\r\na=rtpmap:96 AMR/8000\r\n",
		REASON_SDP_OK,
		"198.51.100.7:5000 RTP/AVP sendrecv 0:PCMU/8000/1"},
};

START_TEST(checks_answers)
{
	char text[2048];
	struct sdp offer, answer;
	enum reason why = REASON_NONE;
	int err;

	snprintf(text, sizeof(text), HEAD CONN "%s", answers[_i].offer);
	sdp_read_ok(text, &offer);
	snprintf(text, sizeof(text), HEAD CONN "%s", answers[_i].answer);
	sdp_read_ok(text, &answer);
	err = sdp_check_answer(&offer, &answer, &why);
	ck_assert_msg(why == answers[_i].why, "%s: %s", answers[_i].name,
		reason_text(why));
	ck_assert_int_eq(err, why == REASON_SDP_OK ? 0 : ERR_INVALID);
	if (!err)
		ck_assert_msg(
			!strcmp(sdp_summary(&answer), answers[_i].summary),
			"%s: %s", answers[_i].name, sdp_summary(&answer));
}
END_TEST

static const struct {
	const char *name, *offer, *far, *result; /* NULL: nothing in common */
} made[] = {
	{"the offer's numbers, the far side's order", "96=opus/48000/2 8 0",
		"0 8 111=opus/48000/2",
		"0=PCMU/8000 8=PCMA/8000 96=opus/48000"},
	{"only what both have", "8 18 101=telephone-event/8000",
		"8 96=telephone-event/8000",
		"8=PCMA/8000 101=telephone-event/8000"},
	{"events of both", "8 101=telephone-event/8000(0-16)",
		"8 96=telephone-event/8000(0-11,16)",
		"8=PCMA/8000 101=telephone-event/8000(0-11,16)"},
	{"events of one that says none", "8 101=telephone-event/8000",
		"8 96=telephone-event/8000(0-11,16)",
		"8=PCMA/8000 101=telephone-event/8000(0-11)"},
	{"annexb forbidden by the offer", "18=G729/8000(annexb=no)",
		"18=G729/8000", "18=G729/8000(annexb=no)"},
	{"annexb forbidden by the far side", "18=G729/8000",
		"18=G729/8000(annexb=no)", "18=G729/8000(annexb=no)"},
	{"annexb allowed by both", "18=G729/8000", "18=G729/8000",
		"18=G729/8000"},
	{"iLBC: 20 only if both want it", "97=iLBC/8000(mode=20)",
		"97=iLBC/8000", "97=iLBC/8000(mode=30)"},
	{"iLBC: both want 20", "97=iLBC/8000(mode=20)", "98=iLBC/8000(mode=20)",
		"97=iLBC/8000(mode=20)"},
	{"opus speaks of the far side's receiving",
		"96=opus/48000/2(useinbandfec=1)", "96=opus/48000/2(stereo=1)",
		"96=opus/48000(stereo=1)"},
	{"digits without their codec go",
		"111=opus/48000/2 8 101=telephone-event/48000",
		"8 101=telephone-event/48000", "8=PCMA/8000"},
	{"nothing in common", "8", "0", NULL},
	{"digits alone are nothing", "8 101=telephone-event/8000",
		"0 101=telephone-event/8000", NULL},
};

START_TEST(makes_answers)
{
	struct sdp offer, far, answer;
	int err;

	sdp_of(made[_i].offer, &offer);
	sdp_of(made[_i].far, &far);
	err = sdp_make_answer(&offer, &far, &answer);
	if (!made[_i].result) {
		ck_assert_int_eq(err, ERR_NOT_FOUND);
		return;
	}
	ck_assert_int_eq(err, 0);
	ck_assert_msg(!strcmp(payloads_of(&answer), made[_i].result), "%s: %s",
		made[_i].name, payloads_of(&answer));
}
END_TEST

START_TEST(answer_keeps_lines_and_narrows_direction)
{
	struct sdp offer, far, answer;

	sdp_read_ok(HEAD CONN
		"m=video 4002 RTP/AVP 31\r\nm=audio 4000 RTP/AVP 8\r\n"
		"a=sendonly\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:" KEY30
		"\r\n",
		&offer);
	sdp_read_ok(HEAD CONN "m=audio 5000 RTP/AVP 8\r\na=ptime:30\r\n", &far);
	ck_assert_int_eq(sdp_make_answer(&offer, &far, &answer), 0);
	ck_assert_uint_eq(answer.n_lines, 2);
	ck_assert_uint_eq(answer.audio_line, 1);
	ck_assert_int_eq(answer.direction, GH__DIRECTION__DIRECTION_RECVONLY);
	ck_assert_uint_eq(answer.ptime_us, 30000);
	/* Addresses and keys are the caller's. */
	ck_assert(!addr_is_set(&answer.rtp));
	ck_assert_uint_eq(answer.n_crypto, 0);
}
END_TEST

START_TEST(directions)
{
	enum {
		SR = GH__DIRECTION__DIRECTION_SENDRECV,
		SO = GH__DIRECTION__DIRECTION_SENDONLY,
		RO = GH__DIRECTION__DIRECTION_RECVONLY,
		IN = GH__DIRECTION__DIRECTION_INACTIVE
	};
	static const int reversed[] = {
		[SR] = SR, [SO] = RO, [RO] = SO, [IN] = IN};
	static const int both[4][4] = {
		[SR] = {[SR] = SR, [SO] = SO, [RO] = RO, [IN] = IN},
		[SO] = {[SR] = SO, [SO] = SO, [RO] = IN, [IN] = IN},
		[RO] = {[SR] = RO, [SO] = IN, [RO] = RO, [IN] = IN},
		[IN] = {[SR] = IN, [SO] = IN, [RO] = IN, [IN] = IN},
	};

	for (int a = 0; a < 4; a++) {
		ck_assert_int_eq(sdp_reverse((Gh__Direction)a), reversed[a]);
		for (int b = 0; b < 4; b++)
			ck_assert_int_eq(sdp_direction_and((Gh__Direction)a,
						 (Gh__Direction)b),
				both[a][b]);
	}
}
END_TEST

START_TEST(maps_payloads)
{
	Gh__Payload rows[SDP_PAYLOADS_MAX];
	struct sdp mine, far;

	sdp_of("96=opus/48000/2 8 97=iLBC/8000(mode=20) 13 "
	       "101=telephone-event/8000",
		&mine);
	sdp_of("8 98=iLBC/8000 111=opus/48000/2 13 126=telephone-event/8000 0",
		&far);
	ck_assert_uint_eq(sdp_payload_map(&mine, &far, rows), 5);
	ck_assert_uint_eq(rows[0].pt, 96);
	ck_assert_uint_eq(rows[0].peer_pt, 111);
	ck_assert_str_eq(rows[0].codec, "opus");
	ck_assert_uint_eq(rows[0].clock, 48000);
	ck_assert_uint_eq(rows[0].channels, 2);
	ck_assert_uint_eq(rows[0].ptime_us, 20000);
	ck_assert_uint_eq(rows[1].pt, 8);
	ck_assert_uint_eq(rows[1].peer_pt, 8);
	ck_assert_uint_eq(rows[2].ptime_us, 20000); /* mode=20 */
	ck_assert_uint_eq(rows[2].peer_pt, 98);
	ck_assert(rows[3].comfort_noise && !rows[3].event);
	ck_assert(rows[4].event && !rows[4].comfort_noise);
	ck_assert_uint_eq(rows[4].peer_pt, 126);
	/* ptime of this side's description, and a default where it has none */
	mine.ptime_us = 40000;
	ck_assert_uint_eq(sdp_payload_map(&mine, &far, rows), 5);
	ck_assert_uint_eq(rows[1].ptime_us, 40000);
	sdp_of("4 97=iLBC/8000", &mine);
	sdp_of("4 97=iLBC/8000", &far);
	ck_assert_uint_eq(sdp_payload_map(&mine, &far, rows), 2);
	ck_assert_uint_eq(rows[0].ptime_us, 30000);
	ck_assert_uint_eq(rows[1].ptime_us, 30000);
	/* What the other side does not have is not mapped. */
	sdp_of("8", &far);
	ck_assert_uint_eq(sdp_payload_map(&mine, &far, rows), 0);
}
END_TEST

START_TEST(sees_changes)
{
	static const struct {
		const char *body;
		bool same;
	} rows[] = {
		{HEAD CONN "m=audio 4000 RTP/AVP 0 8\r\n", true},
		{HEAD CONN "b=AS:1\r\nm=audio 4000 RTP/AVP 0 8\r\na=foo\r\n",
			true},
		{HEAD CONN "m=audio 4002 RTP/AVP 0 8\r\n", false},
		{HEAD CONN "m=audio 4000 RTP/AVP 8 0\r\n", false},
		{HEAD CONN "m=audio 4000 RTP/AVP 0\r\n", false},
		{HEAD CONN "m=audio 4000 RTP/AVP 0 8\r\na=sendonly\r\n", false},
		{HEAD CONN "m=audio 4000 RTP/AVP 0 8\r\na=ptime:30\r\n", false},
		{HEAD CONN "m=audio 4000 RTP/AVP 0 8\r\na=rtcp:9\r\n", false},
		{HEAD CONN "m=audio 4000 RTP/AVP 0 8\r\na=rtcp-mux\r\n", false},
		{HEAD CONN "a=rtcp-xr:voip-metrics\r\n"
			   "m=audio 4000 RTP/AVP 0 8\r\n",
			false},
		{HEAD CONN "m=audio 4000 RTP/AVPF 0 8\r\n", false},
		{HEAD "c=IN IP4 198.51.100.8\r\nm=audio 4000 RTP/AVP 0 8\r\n",
			false},
		{HEAD CONN
			"m=audio 4000 RTP/AVP 0 8\r\nm=video 0 RTP/AVP 31\r\n",
			false},
		{HEAD CONN "m=audio 4000 RTP/AVP 0 8\r\n"
			   "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:" KEY30
			   "\r\n",
			false},
		{"v=0\r\no=- 1 3 IN IP4 198.51.100.7\r\ns=-\r\n" CONN
		 "m=audio 4000 RTP/AVP 0 8\r\n",
			false},
	};
	struct sdp first, next;

	sdp_read_ok(rows[0].body, &first);
	for (size_t i = 0; i < N_ROWS(rows); i++) {
		sdp_read_ok(rows[i].body, &next);
		ck_assert_msg(sdp_same_media(&first, &next) == rows[i].same,
			"row %zu", i);
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("sdp_answer");

	suite_add_rows(s, "negotiate", restricts, N_ROWS(restrictions));
	suite_add_rows(s, "negotiate", offers_a_list, N_ROWS(own_offers));
	suite_add_rows(s, "negotiate", checks_answers, N_ROWS(answers));
	suite_add_rows(s, "negotiate", makes_answers, N_ROWS(made));
	suite_add(s, "negotiate", answer_keeps_lines_and_narrows_direction);
	suite_add(s, "negotiate", directions);
	suite_add(s, "negotiate", maps_payloads);
	suite_add(s, "negotiate", sees_changes);
	return suite_run(s);
}
