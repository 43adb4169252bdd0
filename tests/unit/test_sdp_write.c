/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SDP: what is written reads back to the same values, and nothing of a peer's
 * text ever comes out again, of hostile bodies least of all; key lines.
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

/* Bodies that must be refused, and bodies in which a second reader could see
 * another description than the first. EVIL and 203.0.113.66 never come out. */
static const struct sdp_body hostile[] = {
	{"nothing", "", REASON_SDP_SYNTAX, NULL},
	{"an empty line", "\r\n", REASON_SDP_SYNTAX, NULL},
	{"words", "hello world\r\n", REASON_SDP_SYNTAX, NULL},
	{"no v=", "o=- 1 2 IN IP4 198.51.100.7\r\ns=-\r\n" CONN AUDIO,
		REASON_SDP_SYNTAX, NULL},
	{"version 1",
		"v=1\r\no=- 1 2 IN IP4 198.51.100.7\r\ns=-\r\n" CONN AUDIO,
		REASON_SDP_SYNTAX, NULL},
	{"v= twice", HEAD "v=0\r\n" CONN AUDIO, REASON_SDP_SYNTAX, NULL},
	{"v= after a line", "s=-\r\n" HEAD CONN AUDIO, REASON_SDP_SYNTAX, NULL},
	{"no o=", "v=0\r\ns=-\r\n" CONN AUDIO, REASON_SDP_SYNTAX, NULL},
	{"o= twice", HEAD "o=- 9 9 IN IP4 203.0.113.66\r\n" CONN AUDIO,
		REASON_SDP_SYNTAX, NULL},
	{"o= with words for numbers",
		"v=0\r\no=- one two IN IP4 198.51.100.7\r\ns=-\r\n" CONN AUDIO,
		REASON_SDP_SYNTAX, NULL},
	{"o= cut short", "v=0\r\no=- 1 2\r\ns=-\r\n" CONN AUDIO,
		REASON_SDP_SYNTAX, NULL},
	{"a CR inside a line",
		HEAD "c=IN IP4 198.51.100.7\rc=IN IP4 203.0.113.66\r\n"
		     "t=0 0\r\n" AUDIO,
		REASON_SDP_SYNTAX, NULL},
	{"CR for ends of lines",
		"v=0\ro=- 1 2 IN IP4 198.51.100.7\rs=-\rc=IN IP4 198.51.100.7\r"
		"t=0 0\rm=audio 4000 RTP/AVP 0\r",
		REASON_SDP_SYNTAX, NULL},
	{"CR CR LF", HEAD CONN "m=audio 4000 RTP/AVP 0\r\r\n",
		REASON_SDP_SYNTAX, NULL},
	{"LF CR", HEAD CONN "m=audio 4000 RTP/AVP 0\n\ra=sendonly\n\r",
		REASON_SDP_SYNTAX, NULL},
	{"an empty line in the middle", HEAD CONN "\r\n" AUDIO,
		REASON_SDP_SYNTAX, NULL},
	{"a vertical tab", HEAD CONN "m=audio 4000 RTP/AVP 0\va=x\r\n",
		REASON_SDP_SYNTAX, NULL},
	{"a line that folds", HEAD CONN "m=audio 4000\r\n RTP/AVP 0\r\n",
		REASON_SDP_SYNTAX, NULL},
	{"a blank before =", HEAD CONN "m =audio 4000 RTP/AVP 0\r\n",
		REASON_SDP_SYNTAX, NULL},
	{"a capital letter", HEAD CONN "M=audio 4000 RTP/AVP 0\r\n",
		REASON_SDP_SYNTAX, NULL},
	{"c= twice in the session", HEAD "c=IN IP4 203.0.113.66\r\n" CONN AUDIO,
		REASON_SDP_SYNTAX, NULL},
	{"c= twice in the media",
		HEAD CONN AUDIO
		"c=IN IP4 198.51.100.7\r\nc=IN IP4 203.0.113.66\r\n",
		REASON_SDP_SYNTAX, NULL},
	{"no c= at all", HEAD "t=0 0\r\n" AUDIO, REASON_SDP_SYNTAX, NULL},
	{"c= of another net", HEAD "c=ATM NSAP 47\r\nt=0 0\r\n" AUDIO,
		REASON_SDP_SYNTAX, NULL},
	{"c= with an IPv6 address as IP4",
		HEAD "c=IN IP4 2001:db8::1\r\nt=0 0\r\n" AUDIO,
		REASON_SDP_SYNTAX, NULL},
	{"c= with a word behind",
		HEAD "c=IN IP4 198.51.100.7 203.0.113.66\r\nt=0 0\r\n" AUDIO,
		REASON_SDP_SYNTAX, NULL},
	{"c= with a host name",
		HEAD "c=IN IP4 EVIL.example.com\r\nt=0 0\r\n" AUDIO,
		REASON_SDP_ADDRESS, NULL},
	{"c= with a port", HEAD "c=IN IP4 198.51.100.7:99\r\nt=0 0\r\n" AUDIO,
		REASON_SDP_ADDRESS, NULL},
	{"multicast", HEAD "c=IN IP4 224.2.1.1/127/3\r\nt=0 0\r\n" AUDIO,
		REASON_SDP_ADDRESS, NULL},
	{"multicast without a TTL",
		HEAD "c=IN IP4 224.2.1.1\r\nt=0 0\r\n" AUDIO,
		REASON_SDP_ADDRESS, NULL},
	{"IPv6 multicast", HEAD "c=IN IP6 ff02::1\r\nt=0 0\r\n" AUDIO,
		REASON_SDP_ADDRESS, NULL},
	{"a very long address",
		HEAD
		"c=IN IP4 111111111111111111111111111111111111111111111111111"
		"1111111111111111111111111111111111111111111111111111111111111"
		"\r\n"
		"t=0 0\r\n" AUDIO,
		REASON_SDP_ADDRESS, NULL},
	{"no media", HEAD CONN, REASON_SDP_NO_AUDIO, NULL},
	{"video only", HEAD CONN "m=video 4000 RTP/AVP 31\r\n",
		REASON_SDP_NO_AUDIO, NULL},
	{"audio over TCP", HEAD CONN "m=audio 4000 TCP/RTP/AVP 0\r\n",
		REASON_SDP_NO_AUDIO, NULL},
	{"fax only", HEAD CONN "m=image 4000 udptl t38\r\n", REASON_SDP_T38,
		NULL},
	{"fax in place of audio",
		HEAD CONN "m=audio 0 RTP/AVP 0\r\nm=image 4000 udptl t38\r\n",
		REASON_SDP_T38, NULL},
	{"m= without formats", HEAD CONN "m=audio 4000 RTP/AVP\r\n",
		REASON_SDP_SYNTAX, NULL},
	{"m= with nothing", HEAD CONN "m=\r\n", REASON_SDP_SYNTAX, NULL},
	{"a port that is none", HEAD CONN "m=audio 70000 RTP/AVP 0\r\n",
		REASON_SDP_SYNTAX, NULL},
	{"a negative port", HEAD CONN "m=audio -1 RTP/AVP 0\r\n",
		REASON_SDP_SYNTAX, NULL},
	{"a port with a huge count",
		HEAD CONN "m=audio 4000/99999999999999999999 RTP/AVP 0\r\n",
		REASON_SDP_SYNTAX, NULL},
	{"a port with a count of none", HEAD CONN "m=audio 4000/ RTP/AVP 0\r\n",
		REASON_SDP_SYNTAX, NULL},
	{"nine m= lines",
		HEAD CONN AUDIO AUDIO AUDIO AUDIO AUDIO AUDIO AUDIO AUDIO AUDIO,
		REASON_SDP_TOO_BIG, NULL},
	{"empty and broken attributes",
		HEAD CONN
		"m=audio 4000 RTP/AVP 8 96\r\na=\r\na=:\r\na=rtpmap\r\n"
		"a=rtpmap:\r\na=rtpmap:96\r\na=rtpmap:96 \r\na=rtpmap:96 /\r\n"
		"a=rtpmap:96 x/\r\na=rtpmap:999999999999 "
		"x/8000\r\na=fmtp\r\na=fmtp:\r\n"
		"a=fmtp:8\r\na=fmtp:96 ;;;=;=;;\r\na=ptime:\r\na=ptime:-1\r\n"
		"a=rtcp:\r\na=rtcp:0\r\na=rtcp:99999\r\na=crypto:\r\na="
		"crypto\r\n"
		"a=maxptime:99999999999999999999\r\n",
		REASON_SDP_OK,
		"198.51.100.7:4000 RTP/AVP sendrecv 8:PCMA/8000/1"},
	{"planted words everywhere",
		"v=0\r\no=EVIL 1 2 IN IP4 203.0.113.66\r\ns=EVIL\r\ni=EVIL\r\n"
		"u=http://EVIL/\r\ne=EVIL@EVIL\r\np=EVIL\r\n" CONN
		"b=EVIL:1\r\na=EVIL\r\na=tool:EVIL\r\na=X-EVIL:EVIL\r\n"
		"m=audio 4000 RTP/AVP 8 97 98 99 EVIL\r\n"
		"a=rtpmap:97 iLBC/8000\r\na=fmtp:97 "
		"mode=20;EVIL=EVIL;x-EVIL\r\n"
		"a=rtpmap:98 EVIL/8000\r\na=fmtp:98 EVIL\r\n"
		"a=rtpmap:99 telephone-event/8000\r\na=fmtp:99 0-15,EVIL\r\n"
		"a=candidate:1 1 udp 1 203.0.113.66 9 typ host EVIL\r\n"
		"a=ssrc:1 cname:EVIL\r\na=label:EVIL\r\na=mid:EVIL\r\n"
		"a=rtcp:9 IN IP4 203.0.113.66\r\na=alt:1 1 : EVIL EVIL "
		"203.0.113.66 9\r\n"
		"a=fingerprint:sha-256 EVIL\r\na=ice-ufrag:EVIL\r\n"
		"m=EVIL 4000 EVIL EVIL\r\na=EVIL\r\nm=image 5000 udptl "
		"EVIL\r\n",
		REASON_SDP_OK,
		"198.51.100.7:4000 RTP/AVP sendrecv 8:PCMA/8000/1 "
		"97:iLBC/8000/1(mode=20) 99:telephone-event/8000/1(0-15) "
		"[0 of audio,RTP/AVP,8 application,udp,0 image,udptl,0]"},
	{"a session id over 64 bits",
		"v=0\r\no=- 99999999999999999999999999 18446744073709551617 IN "
		"IP4 1.2.3.4\r\n"
		"s=-\r\n" CONN "m=audio 4000 RTP/AVP 8\r\n",
		REASON_SDP_OK,
		"198.51.100.7:4000 RTP/AVP sendrecv 8:PCMA/8000/1"},
};

START_TEST(survives_hostile_bodies)
{
	const struct sdp_body *row = &hostile[_i];
	/* A copy of exactly its size: reading past the end is seen. */
	size_t len = strlen(row->text);
	char *copy = malloc(len ? len : 1);
	enum reason why = REASON_NONE;
	struct sdp sdp;
	int err;

	memcpy(copy, row->text, len);
	err = sdp_parse(copy, len, &sdp, &why);
	ck_assert_msg(why == row->why, "%s: %s", row->name, reason_text(why));
	ck_assert_int_eq(!err, why == REASON_SDP_OK);
	if (!err) {
		ck_assert_msg(!strcmp(sdp_summary(&sdp), row->summary),
			"%s: %s", row->name, sdp_summary(&sdp));
		sdp_must_write_clean(&sdp, row->name);
	}
	free(copy);
}
END_TEST

// ----------------------------------------------------------------- writing

/* Who asks for VoIP metrics is asked for them, nobody else. */
START_TEST(answers_voip_metrics)
{
	struct sdp offer, far, answer;
	char text[SDP_SIZE_MAX];

	sdp_read_ok(HEAD CONN AUDIO, &far);
	sdp_read_ok(HEAD CONN
		"a=rtcp-xr:stat-summary=loss voip-metrics\r\n" AUDIO,
		&offer);
	for (unsigned i = 0; i < 2; i++) {
		ck_assert_int_eq(sdp_make_answer(&offer, &far, &answer), 0);
		ck_assert(!addr_parse("192.0.2.1:6000", &answer.rtp));
		ck_assert(!addr_parse("192.0.2.1", &answer.origin));
		ck_assert_int_gt(sdp_write(&answer, text, sizeof(text)), 0);
		ck_assert_int_eq(
			strstr(text, "\r\na=rtcp-xr:voip-metrics\r\n") != NULL,
			i == 0);
		ck_assert_ptr_null(strstr(text, "stat-summary"));
		sdp_read_ok(HEAD CONN AUDIO, &offer);
		far.voip_metrics = true;
	}
}
END_TEST

START_TEST(refuses_other_lines_in_their_place)
{
	struct sdp sdp;
	char text[SDP_SIZE_MAX];

	sdp_read_ok(HEAD CONN
		"m=video 4002 RTP/AVP 31\r\nm=audio 4000 RTP/AVP 8\r\n"
		"m=image 4004 udptl t38\r\nm=application 9 UDP/DTLS/SCTP "
		"webrtc-datachannel\r\n",
		&sdp);
	ck_assert_int_gt(sdp_write(&sdp, text, sizeof(text)), 0);
	ck_assert_ptr_nonnull(strstr(text,
		"m=video 0 RTP/AVP 31\r\nm=audio 4000 RTP/AVP 8\r\n"
		"a=rtpmap:8 PCMA/8000\r\na=sendrecv\r\nm=image 0 udptl t38\r\n"
		"m=application 0 UDP/DTLS/SCTP webrtc-datachannel\r\n"));
}
END_TEST

START_TEST(writes_refused_audio)
{
	struct sdp sdp;
	char text[SDP_SIZE_MAX];

	sdp_read_ok(HEAD CONN AUDIO, &sdp);
	sdp.rtp.port = 0;
	sdp.n_payloads = 0;
	ck_assert_int_gt(sdp_write(&sdp, text, sizeof(text)), 0);
	ck_assert_ptr_nonnull(strstr(text, "m=audio 0 RTP/AVP 0\r\n"));
}
END_TEST

START_TEST(writes_nothing_from_foreign_structs)
{
	struct sdp sdp;
	char text[SDP_SIZE_MAX], small[64];

	sdp_read_ok(HEAD CONN AUDIO, &sdp);
	ck_assert_int_eq(sdp_write(&sdp, small, sizeof(small)), ERR_TOO_BIG);
	ck_assert_int_eq(sdp_write(&sdp, small, 0), ERR_TOO_BIG);
	/* Texts in the struct that no row of a table made. */
	snprintf(sdp.payloads[0].name, sizeof(sdp.payloads[0].name), "EVIL");
	ck_assert_int_eq(sdp_write(&sdp, text, sizeof(text)), ERR_INVALID);
	sdp_read_ok(HEAD CONN AUDIO, &sdp);
	snprintf(sdp.payloads[0].fmtp, SDP_FMTP_SIZE, "x\r\na=EVIL");
	snprintf(sdp.lines[0].kind, sizeof(sdp.lines[0].kind), "EVIL");
	sdp.n_lines = 2;
	sdp.lines[1] = sdp.lines[0];
	snprintf(sdp.lines[1].proto, sizeof(sdp.lines[1].proto), "x\r\nEVIL");
	ck_assert_int_gt(sdp_write(&sdp, text, sizeof(text)), 0);
	ck_assert_ptr_null(strstr(text, "EVIL"));
	/* An address is needed, and formats where a port is. */
	sdp_read_ok(HEAD CONN AUDIO, &sdp);
	sdp.n_payloads = 0;
	ck_assert_int_eq(sdp_write(&sdp, text, sizeof(text)), ERR_INVALID);
	sdp_read_ok(HEAD CONN AUDIO, &sdp);
	memset(&sdp.rtp, 0, sizeof(sdp.rtp));
	ck_assert_int_eq(sdp_write(&sdp, text, sizeof(text)), ERR_INVALID);
}
END_TEST

static uint32_t random_state;

static uint32_t random_below(uint32_t n)
{
	random_state = random_state * 1664525u + 1013904223u;
	return (random_state >> 8) % n;
}

static const char *const some_codecs[][2] = {{"PCMU", ""}, {"PCMA", ""},
	{"G722", ""}, {"GSM", ""}, {"G729", "annexb=no"}, {"iLBC", "mode=20"},
	{"iLBC", "mode=30"}, {"opus", "minptime=10;useinbandfec=1;stereo=1"},
	{"opus", ""}, {"telephone-event", "0-16"},
	{"telephone-event", "1,3,5-7"}, {"AMR", "octet-align=1"},
	{"G723", "annexa=no;bitrate=6.3"}, {"CN", ""}};

static void random_sdp(struct sdp *sdp)
{
	memset(sdp, 0, sizeof(*sdp));
	sdp->session_id =
		(uint64_t)random_below(1u << 24) << 40 | random_below(1u << 24);
	sdp->session_version = random_below(1u << 24);
	sdp->has_audio = true;
	ck_assert(!addr_parse(
		random_below(2) ? "192.0.2.77" : "2001:db8::77", &sdp->rtp));
	sdp->origin = sdp->rtp;
	sdp->rtp.port = (uint16_t)(1024 + random_below(60000));
	if (random_below(4) == 0) {
		sdp->rtcp_mux = true;
	} else if (random_below(2)) {
		sdp->rtcp = sdp->rtp;
		sdp->rtcp.port = (uint16_t)(2 + random_below(1000));
	}
	sdp->direction = (Gh__Direction)random_below(4);
	sdp->profile = (enum sdp_profile)random_below(SDP_PROFILE_COUNT);
	sdp->ptime_us = random_below(3) * 10000;
	sdp->maxptime_us = random_below(2) * 2500;
	sdp->n_payloads = 1 + random_below(20);
	for (size_t i = 0; i < sdp->n_payloads; i++) {
		size_t k = random_below(N_ROWS(some_codecs));
		const struct sdp_codec *codec =
			sdp_codec_find(span_of(some_codecs[k][0]), 0, 0);

		sdp_codec_fill(codec, 96 + (unsigned)i, &sdp->payloads[i]);
		snprintf(sdp->payloads[i].fmtp, SDP_FMTP_SIZE, "%s",
			some_codecs[k][1]);
	}
	sdp->n_crypto = random_below(5);
	for (size_t i = 0; i < sdp->n_crypto; i++) {
		sdp->crypto[i].tag = (uint32_t)i + 1;
		sdp->crypto[i].suite = (Gh__Suite)(1 + random_below(5));
		sdp->crypto[i].master_len =
			(uint8_t)sdp_suite_len(sdp->crypto[i].suite);
		for (size_t k = 0; k < sdp->crypto[i].master_len; k++)
			sdp->crypto[i].master[k] = (uint8_t)random_below(256);
	}
	sdp->n_lines = 1 + random_below(SDP_MEDIA_MAX);
	sdp->audio_line = random_below((uint32_t)sdp->n_lines);
	for (size_t i = 0; i < sdp->n_lines; i++)
		if (i == sdp->audio_line)
			sdp_line_fill(span_of("audio"),
				span_of(sdp_profile_name(sdp->profile)),
				span_of("96"), &sdp->lines[i]);
		else
			sdp_line_fill(span_of("video"), span_of("RTP/AVP"),
				span_of("31"), &sdp->lines[i]);
}

START_TEST(reads_back_what_it_writes)
{
	char text[SDP_SIZE_MAX + 1], again[SDP_SIZE_MAX + 1];

	random_state = 4711;
	for (unsigned round = 0; round < 3000; round++) {
		struct sdp sdp, back;
		char want[4096];

		random_sdp(&sdp);
		ck_assert_int_gt(sdp_write(&sdp, text, sizeof(text)), 0);
		sdp_read_ok(text, &back);
		if (sdp.rtcp.port == sdp.rtp.port + 1 || sdp.rtcp_mux)
			memset(&sdp.rtcp, 0, sizeof(sdp.rtcp));
		snprintf(want, sizeof(want), "%s", sdp_summary(&sdp));
		ck_assert_str_eq(sdp_summary(&back), want);
		ck_assert(sdp_same_media(&sdp, &back));
		ck_assert(addr_equal(&sdp.origin, &back.origin));
		ck_assert_mem_eq(sdp.crypto, back.crypto, sizeof(sdp.crypto));
		ck_assert_int_gt(sdp_write(&back, again, sizeof(again)), 0);
		ck_assert_str_eq(again, text);
	}
}
END_TEST

START_TEST(wipes_keys)
{
	static const uint8_t zero[sizeof(((struct sdp *)0)->crypto)];
	struct sdp sdp;

	sdp_read_ok(HEAD CONN "m=audio 4000 RTP/SAVP 0\r\n"
			      "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:" KEY30
			      "\r\n",
		&sdp);
	ck_assert_mem_eq(sdp.crypto[0].master, "YS__", 4);
	sdp_wipe(&sdp);
	ck_assert_uint_eq(sdp.n_crypto, 0);
	ck_assert_mem_eq(sdp.crypto, zero, sizeof(zero));
}
END_TEST

int main(void)
{
	Suite *s = suite_create("sdp_write");

	suite_add_rows(s, "read", survives_hostile_bodies, N_ROWS(hostile));
	suite_add(s, "write", answers_voip_metrics);
	suite_add(s, "write", refuses_other_lines_in_their_place);
	suite_add(s, "write", writes_refused_audio);
	suite_add(s, "write", writes_nothing_from_foreign_structs);
	suite_add(s, "write", reads_back_what_it_writes);
	suite_add(s, "write", wipes_keys);
	return suite_run(s);
}
