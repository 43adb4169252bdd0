// SPDX-License-Identifier: Apache-2.0
/*
 * SDP: reading by a table of bodies, each with the whole result in one line;
 * hostile bodies; what is written reads back to the same values; offer and
 * answer; key lines; and that nothing of a peer's text ever comes out again.
 */
#include <check.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sbc/sdp.h"
#include "sbc/sdp_codec.h"
#include "sbc/sdp_part.h"

#define N_ROWS(table) (sizeof(table) / sizeof((table)[0]))

#define HEAD          "v=0\r\no=- 1 2 IN IP4 198.51.100.7\r\ns=-\r\n"
#define CONN          "c=IN IP4 198.51.100.7\r\nt=0 0\r\n"
#define AUDIO         "m=audio 4000 RTP/AVP 0 8\r\n"
/* 30 octets: key and salt of an AES-128 suite. */
#define KEY30         "WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz"
#define KEY28         "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGw"
/* the same with a bit set that belongs to no octet */
#define KEY28_LOOSE   "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGx"
#define KEY44         "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKis"
#define KEY46         "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKissLQ"

static const char *const direction_names[] = {
	"sendrecv", "sendonly", "recvonly", "inactive"};

/** Everything that was read, in one line. */
static const char *summary(const struct sdp *sdp)
{
	static char text[4096];
	char ip[ADDR_TEXT_SIZE];
	struct writer w;

	writer_init(&w, text, sizeof(text));
	writer_add(&w, "%s %s %s", addr_format(&sdp->rtp, ip),
		sdp_profile_name(sdp->profile),
		direction_names[sdp->direction]);
	for (size_t i = 0; i < sdp->n_payloads; i++) {
		const struct sdp_payload *p = &sdp->payloads[i];

		writer_add(&w, " %u:%s/%u/%u", p->pt, p->name, p->clock,
			p->channels);
		if (*p->fmtp)
			writer_add(&w, "(%s)", p->fmtp);
	}
	if (addr_is_set(&sdp->rtcp))
		writer_add(&w, " rtcp=%s", addr_format(&sdp->rtcp, ip));
	if (sdp->rtcp_mux)
		writer_add(&w, " mux");
	if (sdp->voip_metrics)
		writer_add(&w, " xr");
	if (sdp->ptime_us)
		writer_add(&w, " ptime=%u", sdp->ptime_us);
	if (sdp->maxptime_us)
		writer_add(&w, " maxptime=%u", sdp->maxptime_us);
	for (size_t i = 0; i < sdp->n_crypto; i++)
		writer_add(&w, " crypto=%u/%d", sdp->crypto[i].tag,
			(int)sdp->crypto[i].suite);
	if (sdp->old_hold)
		writer_add(&w, " oldhold");
	if (sdp->n_lines != 1 || sdp->audio_line) {
		writer_add(&w, " [%zu of", sdp->audio_line);
		for (size_t i = 0; i < sdp->n_lines; i++)
			writer_add(&w, " %s,%s,%s", sdp->lines[i].kind,
				sdp->lines[i].proto, sdp->lines[i].format);
		writer_add(&w, "]");
	}
	ck_assert(!w.over);
	return text;
}

static void read_ok(const char *text, struct sdp *sdp)
{
	enum reason why;
	int err = sdp_parse(text, strlen(text), sdp, &why);

	ck_assert_msg(!err, "%s: %s", reason_text(why), text);
	ck_assert_int_eq(why, REASON_SDP_OK);
}

struct body {
	const char *name;
	const char *text;
	enum reason why;
	const char *summary; /* if SDP_OK */
};

static const struct body bodies[] = {
	{"plain", HEAD CONN AUDIO, REASON_SDP_OK,
		"198.51.100.7:4000 RTP/AVP sendrecv 0:PCMU/8000/1 "
		"8:PCMA/8000/1"},
	{"line feeds only",
		"v=0\no=- 1 2 IN IP4 198.51.100.7\ns=-\n"
		"c=IN IP4 198.51.100.7\nt=0 0\nm=audio 4000 RTP/AVP 0\n",
		REASON_SDP_OK,
		"198.51.100.7:4000 RTP/AVP sendrecv 0:PCMU/8000/1"},
	{"no end of the last line", HEAD CONN "m=audio 4000 RTP/AVP 0",
		REASON_SDP_OK,
		"198.51.100.7:4000 RTP/AVP sendrecv 0:PCMU/8000/1"},
	{"empty lines at the end", HEAD CONN AUDIO "\r\n\n\r\n", REASON_SDP_OK,
		"198.51.100.7:4000 RTP/AVP sendrecv 0:PCMU/8000/1 "
		"8:PCMA/8000/1"},
	{"all static types without rtpmap",
		HEAD CONN "m=audio 4000 RTP/AVP 0 3 4 8 9 13 18\r\n",
		REASON_SDP_OK,
		"198.51.100.7:4000 RTP/AVP sendrecv 0:PCMU/8000/1 3:GSM/8000/1 "
		"4:G723/8000/1 8:PCMA/8000/1 9:G722/8000/1 13:CN/8000/1 "
		"18:G729/8000/1"},
	{"a desk phone",
		HEAD CONN
		"m=audio 11780 RTP/AVP 9 8 18 96 101\r\n"
		"a=rtpmap:9 G722/8000\r\na=rtpmap:8 PCMA/8000\r\n"
		"a=rtpmap:18 G729/8000\r\na=fmtp:18 annexb=no\r\n"
		"a=rtpmap:96 iLBC/8000\r\na=fmtp:96 mode=20\r\n"
		"a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\n"
		"a=ptime:20\r\na=maxptime:40\r\na=sendrecv\r\na=rtcp:11781\r\n",
		REASON_SDP_OK,
		"198.51.100.7:11780 RTP/AVP sendrecv 9:G722/8000/1 "
		"8:PCMA/8000/1 "
		"18:G729/8000/1(annexb=no) 96:iLBC/8000/1(mode=20) "
		"101:telephone-event/8000/1(0-15) rtcp=198.51.100.7:11781 "
		"ptime=20000 maxptime=40000"},
	{"opus with everything",
		HEAD CONN
		"m=audio 4000 RTP/AVP 111 110\r\n"
		"a=rtpmap:111 OPUS/48000/2\r\n"
		"a=fmtp:111 useinbandfec=1; "
		"minptime=10;stereo=0;maxaveragebitrate=64000;foo=bar\r\n"
		"a=rtpmap:110 telephone-event/48000\r\n",
		REASON_SDP_OK,
		"198.51.100.7:4000 RTP/AVP sendrecv 111:opus/48000/2"
		"(minptime=10;useinbandfec=1;stereo=0;maxaveragebitrate=64000) "
		"110:telephone-event/48000/1"},
	{"opus with one channel is no opus",
		HEAD CONN "m=audio 4000 RTP/AVP 0 111\r\n"
			  "a=rtpmap:111 opus/48000\r\n",
		REASON_SDP_OK,
		"198.51.100.7:4000 RTP/AVP sendrecv 0:PCMU/8000/1"},
	{"fmtp before rtpmap, case of names",
		HEAD CONN "m=audio 4000 RTP/AVP 97\r\n"
			  "a=fmtp:97 MODE=30\r\na=RTPMAP:97 ilbc/8000\r\n",
		REASON_SDP_OK,
		"198.51.100.7:4000 RTP/AVP sendrecv 97:iLBC/8000/1(mode=30)"},
	{"events are cut to the known ones",
		HEAD CONN "m=audio 4000 RTP/AVP 0 101\r\n"
			  "a=rtpmap:101 telephone-event/8000\r\n"
			  "a=fmtp:101 0-4,5,7-11,16,32-49,52-60,70\r\n",
		REASON_SDP_OK,
		"198.51.100.7:4000 RTP/AVP sendrecv 0:PCMU/8000/1 "
		"101:telephone-event/8000/1(0-5,7-11,16)"},
	{"IPv6",
		"v=0\r\no=- 1 1 IN IP6 2001:db8::9\r\ns=-\r\n"
		"c=IN IP6 2001:db8::9\r\nt=0 0\r\nm=audio 4000 RTP/AVP 8\r\n",
		REASON_SDP_OK,
		"[2001:db8::9]:4000 RTP/AVP sendrecv 8:PCMA/8000/1"},
	{"c= of the media wins",
		HEAD CONN "m=audio 4000 RTP/AVP 8\r\nc=IN IP4 192.0.2.9\r\n",
		REASON_SDP_OK, "192.0.2.9:4000 RTP/AVP sendrecv 8:PCMA/8000/1"},
	{"c= only in the media",
		HEAD
		"t=0 0\r\nm=audio 4000 RTP/AVP 8\r\nc=IN IP4 192.0.2.9\r\n",
		REASON_SDP_OK, "192.0.2.9:4000 RTP/AVP sendrecv 8:PCMA/8000/1"},
	{"direction of the session", HEAD CONN "a=sendonly\r\n" AUDIO,
		REASON_SDP_OK,
		"198.51.100.7:4000 RTP/AVP sendonly 0:PCMU/8000/1 "
		"8:PCMA/8000/1"},
	{"direction of the media wins",
		HEAD CONN "a=sendonly\r\n" AUDIO "a=inactive\r\n",
		REASON_SDP_OK,
		"198.51.100.7:4000 RTP/AVP inactive 0:PCMU/8000/1 "
		"8:PCMA/8000/1"},
	{"old hold", HEAD "c=IN IP4 0.0.0.0\r\nt=0 0\r\n" AUDIO, REASON_SDP_OK,
		"0.0.0.0:4000 RTP/AVP sendonly 0:PCMU/8000/1 8:PCMA/8000/1 "
		"oldhold"},
	{"old hold of one that only listens",
		HEAD "c=IN IP4 0.0.0.0\r\nt=0 0\r\n" AUDIO "a=recvonly\r\n",
		REASON_SDP_OK,
		"0.0.0.0:4000 RTP/AVP inactive 0:PCMU/8000/1 8:PCMA/8000/1 "
		"oldhold"},
	{"rtcp-mux and rtcp on one port",
		HEAD CONN
		"m=audio 4000 RTP/AVP 8\r\na=rtcp:4000\r\na=rtcp-mux\r\n",
		REASON_SDP_OK,
		"198.51.100.7:4000 RTP/AVP sendrecv 8:PCMA/8000/1 "
		"rtcp=198.51.100.7:4000 mux"},
	{"VoIP metrics are wanted, of all media",
		HEAD CONN "a=rtcp-xr:rcvr-rtt=all:10000 "
			  "stat-summary=loss,dup,jitt,TTL voip-metrics\r\n"
			  "m=audio 4000 RTP/AVP 8\r\n",
		REASON_SDP_OK,
		"198.51.100.7:4000 RTP/AVP sendrecv 8:PCMA/8000/1 xr"},
	{"VoIP metrics are wanted, of this line",
		HEAD CONN "m=audio 4000 RTP/AVP 8\r\na=rtcp-xr:voip-metrics\r\n"
			  "a=rtcp-xr:pkt-loss-rle=80\r\n",
		REASON_SDP_OK,
		"198.51.100.7:4000 RTP/AVP sendrecv 8:PCMA/8000/1 xr"},
	{"another line's VoIP metrics are not this one's",
		HEAD CONN
		"m=video 4002 RTP/AVP 31\r\na=rtcp-xr:voip-metrics\r\n"
		"m=audio 4000 RTP/AVP 8\r\n",
		REASON_SDP_OK,
		"198.51.100.7:4000 RTP/AVP sendrecv 8:PCMA/8000/1 "
		"[1 of video,RTP/AVP,31 audio,RTP/AVP,8]"},
	{"a line's own wish stands before the session's",
		HEAD CONN "a=rtcp-xr:voip-metrics\r\n"
			  "m=audio 4000 RTP/AVP 8\r\na=rtcp-xr\r\n",
		REASON_SDP_OK,
		"198.51.100.7:4000 RTP/AVP sendrecv 8:PCMA/8000/1"},
	{"other reports are not what we have",
		HEAD CONN "a=rtcp-xr:xvoip-metrics voip-metrics=9\r\n"
			  "m=audio 4000 RTP/AVP 8\r\na=rtcp-xr:\r\n",
		REASON_SDP_OK,
		"198.51.100.7:4000 RTP/AVP sendrecv 8:PCMA/8000/1"},
	{"rtcp on another host is not believed",
		HEAD CONN
		"m=audio 4000 RTP/AVP 8\r\na=rtcp:53 IN IP4 203.0.113.9\r\n",
		REASON_SDP_OK,
		"198.51.100.7:4000 RTP/AVP sendrecv 8:PCMA/8000/1"},
	{"rtcp on the same host",
		HEAD CONN
		"m=audio 4000 RTP/AVP 8\r\na=rtcp:4777 IN IP4 198.51.100.7\r\n",
		REASON_SDP_OK,
		"198.51.100.7:4000 RTP/AVP sendrecv 8:PCMA/8000/1 "
		"rtcp=198.51.100.7:4777"},
	{"ptime with a tenth",
		HEAD CONN
		"m=audio 4000 RTP/AVP 8\r\na=ptime:2.5\r\na=maxptime:60\r\n",
		REASON_SDP_OK,
		"198.51.100.7:4000 RTP/AVP sendrecv 8:PCMA/8000/1 ptime=2500 "
		"maxptime=60000"},
	{"ptimes that no codec has",
		HEAD CONN
		"m=audio 4000 RTP/AVP 8\r\na=ptime:0\r\na=maxptime:99999\r\n",
		REASON_SDP_OK,
		"198.51.100.7:4000 RTP/AVP sendrecv 8:PCMA/8000/1"},
	{"bandwidth, unknown attributes and letters",
		HEAD
		"i=hello\r\nu=http://x\r\ne=a@b\r\np=+1\r\nb=AS:64\r\n" CONN
		"r=7d 1h 0 25h\r\nz=0 0\r\nk=clear:x\r\na=tool:x\r\n" AUDIO
		"i=x\r\nb=TIAS:64000\r\nb=RS:0\r\na=foo\r\na=bar:baz\r\n",
		REASON_SDP_OK,
		"198.51.100.7:4000 RTP/AVP sendrecv 0:PCMU/8000/1 "
		"8:PCMA/8000/1"},
	{"video and data after audio",
		HEAD CONN AUDIO "m=video 4002 RTP/AVP 31 34\r\nm=application "
				"4004 UDP/DTLS/SCTP webrtc-datachannel\r\n",
		REASON_SDP_OK,
		"198.51.100.7:4000 RTP/AVP sendrecv 0:PCMU/8000/1 "
		"8:PCMA/8000/1 "
		"[0 of audio,RTP/AVP,0 video,RTP/AVP,31 "
		"application,UDP/DTLS/SCTP,webrtc-datachannel]"},
	{"audio after video, attributes of the other line do not count",
		HEAD CONN "m=video 4002 RTP/AVP "
			  "31\r\na=inactive\r\na=ptime:60\r\na=rtcp-mux\r\n"
			  "m=audio 4000 RTP/AVP 8\r\n",
		REASON_SDP_OK,
		"198.51.100.7:4000 RTP/AVP sendrecv 8:PCMA/8000/1 "
		"[1 of video,RTP/AVP,31 audio,RTP/AVP,8]"},
	{"bundle-only video",
		HEAD CONN "a=group:BUNDLE 0 1\r\n" AUDIO
			  "a=mid:0\r\nm=video 0 UDP/TLS/RTP/SAVPF "
			  "96\r\na=bundle-only\r\na=mid:1\r\n",
		REASON_SDP_OK,
		"198.51.100.7:4000 RTP/AVP sendrecv 0:PCMU/8000/1 "
		"8:PCMA/8000/1 "
		"[0 of audio,RTP/AVP,0 video,UDP/TLS/RTP/SAVPF,96]"},
	{"two audio lines: the first with a port",
		HEAD CONN "m=audio 0 RTP/AVP 0\r\nm=audio 4000 RTP/AVP "
			  "8\r\nm=audio 4002 RTP/AVP 3\r\n",
		REASON_SDP_OK,
		"198.51.100.7:4000 RTP/AVP sendrecv 8:PCMA/8000/1 "
		"[1 of audio,RTP/AVP,0 audio,RTP/AVP,8 audio,RTP/AVP,3]"},
	{"audio refused", HEAD CONN "m=audio 0 RTP/AVP 0\r\n", REASON_SDP_OK,
		"198.51.100.7 RTP/AVP sendrecv 0:PCMU/8000/1"},
	{"refused and without c=", HEAD "t=0 0\r\nm=audio 0 RTP/AVP 0\r\n",
		REASON_SDP_OK, "- RTP/AVP sendrecv 0:PCMU/8000/1"},
	{"number of ports", HEAD CONN "m=audio 4000/2 RTP/AVP 8\r\n",
		REASON_SDP_OK,
		"198.51.100.7:4000 RTP/AVP sendrecv 8:PCMA/8000/1"},
	{"no codec that we know",
		HEAD CONN
		"m=audio 4000 RTP/AVP 98\r\na=rtpmap:98 EVRC/8000\r\n",
		REASON_SDP_OK, "198.51.100.7:4000 RTP/AVP sendrecv"},
	{"a dynamic type without rtpmap",
		HEAD CONN "m=audio 4000 RTP/AVP 8 98\r\n", REASON_SDP_OK,
		"198.51.100.7:4000 RTP/AVP sendrecv 8:PCMA/8000/1"},
	{"a static type that says it is another",
		HEAD CONN
		"m=audio 4000 RTP/AVP 0 8\r\na=rtpmap:0 PCMA/8000\r\n",
		REASON_SDP_OK,
		"198.51.100.7:4000 RTP/AVP sendrecv 8:PCMA/8000/1"},
	{"G722 with its true clock is no G722",
		HEAD CONN
		"m=audio 4000 RTP/AVP 8 9\r\na=rtpmap:9 G722/16000\r\n",
		REASON_SDP_OK,
		"198.51.100.7:4000 RTP/AVP sendrecv 8:PCMA/8000/1"},
	{"types that RTCP could be",
		HEAD CONN
		"m=audio 4000 RTP/AVP 8 72 76 77\r\n"
		"a=rtpmap:72 opus/48000/2\r\na=rtpmap:76 opus/48000/2\r\n"
		"a=rtpmap:77 opus/48000/2\r\n",
		REASON_SDP_OK,
		"198.51.100.7:4000 RTP/AVP sendrecv 8:PCMA/8000/1 "
		"77:opus/48000/2"},
	{"a type twice, and types that are none",
		HEAD CONN "m=audio 4000 RTP/AVP 8 8 200 -1 x 0 8\r\n",
		REASON_SDP_OK,
		"198.51.100.7:4000 RTP/AVP sendrecv 8:PCMA/8000/1 "
		"0:PCMU/8000/1"},
	{"the first rtpmap counts",
		HEAD CONN
		"m=audio 4000 RTP/AVP 97\r\n"
		"a=rtpmap:97 iLBC/8000\r\na=rtpmap:97 opus/48000/2\r\n",
		REASON_SDP_OK,
		"198.51.100.7:4000 RTP/AVP sendrecv 97:iLBC/8000/1"},
	{"SAVP with four lines",
		HEAD CONN
		"m=audio 4000 RTP/SAVP 0\r\n"
		"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:" KEY30 "\r\n"
		"a=crypto:2 AES_CM_128_HMAC_SHA1_32 inline:" KEY30 "|2^20\r\n"
		"a=crypto:3 AES_256_CM_HMAC_SHA1_80 inline:" KEY46 "==\r\n"
		"a=crypto:4 AEAD_AES_128_GCM inline:" KEY28 "==|1048576\r\n"
		"a=crypto:5 AEAD_AES_256_GCM inline:" KEY44 "=\r\n",
		REASON_SDP_OK,
		"198.51.100.7:4000 RTP/SAVP sendrecv 0:PCMU/8000/1 crypto=1/1 "
		"crypto=2/2 crypto=3/3 crypto=4/4 crypto=5/5"},
	{"lines that can not be used",
		HEAD CONN
		"m=audio 4000 RTP/SAVP 0\r\n"
		"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:" KEY30
		"|2^20|1:4\r\n"
		"a=crypto:2 AES_CM_128_HMAC_SHA1_80 inline:" KEY30 "|1:4\r\n"
		"a=crypto:3 AES_CM_128_HMAC_SHA1_80 inline:" KEY30 " KDR=1\r\n"
		"a=crypto:4 AES_CM_128_HMAC_SHA1_80 inline:" KEY30
		" UNENCRYPTED_SRTP\r\n"
		"a=crypto:5 F8_128_HMAC_SHA1_80 inline:" KEY30 "\r\n"
		"a=crypto:6 AES_CM_128_HMAC_SHA1_80 inline:" KEY28 "\r\n"
		"a=crypto:12 AEAD_AES_128_GCM inline:" KEY28_LOOSE "==\r\n"
		"a=crypto:7 AES_CM_128_HMAC_SHA1_80 " KEY30 "\r\n"
		"a=crypto:x AES_CM_128_HMAC_SHA1_80 inline:" KEY30 "\r\n"
		"a=crypto:8 AES_CM_128_HMAC_SHA1_80 inline:" KEY30
		";inline:" KEY30 "\r\n"
		"a=crypto:1234567890 AES_CM_128_HMAC_SHA1_80 inline:" KEY30
		"\r\n"
		"a=crypto:10 AES_CM_128_HMAC_SHA1_80 inline:" KEY30 "|0\r\n"
		"a=crypto:11 AES_CM_128_HMAC_SHA1_80 inline:" KEY30 "|2^49\r\n"
		"a=crypto:9 AES_CM_128_HMAC_SHA1_80 inline:" KEY30 "\r\n"
		"a=crypto:9 AES_CM_128_HMAC_SHA1_32 inline:" KEY30 "\r\n",
		REASON_SDP_OK,
		"198.51.100.7:4000 RTP/SAVP sendrecv 0:PCMU/8000/1 crypto=9/1"},
	{"best effort: AVP with keys (RFC 8643)",
		HEAD CONN "m=audio 4000 RTP/AVP 0\r\n"
			  "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:" KEY30
			  "\r\n",
		REASON_SDP_OK,
		"198.51.100.7:4000 RTP/AVP sendrecv 0:PCMU/8000/1 crypto=1/1"},
	{"a browser",
		"v=0\r\no=- 4611731400430051336 2 IN IP4 "
		"127.0.0.1\r\ns=-\r\nt=0 0\r\n"
		"a=group:BUNDLE 0\r\na=extmap-allow-mixed\r\na=msid-semantic: "
		"WMS x\r\n"
		"m=audio 54400 UDP/TLS/RTP/SAVPF 111 63 9 0 8 13 110 126\r\n"
		"c=IN IP4 10.77.0.1\r\na=rtcp:9 IN IP4 0.0.0.0\r\n"
		"a=candidate:1 1 udp 2122260223 10.77.0.1 54400 typ host\r\n"
		"a=ice-ufrag:abcd\r\na=ice-pwd:0123456789012345678901\r\n"
		"a=fingerprint:sha-256 AA:BB\r\na=setup:actpass\r\na=mid:0\r\n"
		"a=sendrecv\r\na=rtcp-mux\r\na=rtpmap:111 opus/48000/2\r\n"
		"a=rtcp-fb:111 transport-cc\r\na=fmtp:111 "
		"minptime=10;useinbandfec=1\r\n"
		"a=rtpmap:63 red/48000/2\r\na=fmtp:63 111/111\r\n"
		"a=rtpmap:9 G722/8000\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:8 "
		"PCMA/8000\r\n"
		"a=rtpmap:13 CN/8000\r\na=rtpmap:110 telephone-event/48000\r\n"
		"a=rtpmap:126 telephone-event/8000\r\na=ssrc:1 cname:x\r\n",
		REASON_SDP_OK,
		"10.77.0.1:54400 UDP/TLS/RTP/SAVPF sendrecv "
		"111:opus/48000/2(minptime=10;useinbandfec=1) 9:G722/8000/1 "
		"0:PCMU/8000/1 8:PCMA/8000/1 13:CN/8000/1 "
		"110:telephone-event/48000/1 126:telephone-event/8000/1 mux"},
	{"AMR modes and alignment",
		HEAD CONN
		"m=audio 4000 RTP/AVP 96 97\r\na=rtpmap:96 AMR/8000\r\n"
		"a=fmtp:96 octet-align=1; "
		"mode-change-capability=2;mode-set=0,7\r\n"
		"a=rtpmap:97 AMR-WB/16000/1\r\n",
		REASON_SDP_OK,
		"198.51.100.7:4000 RTP/AVP sendrecv "
		"96:AMR/8000/1(octet-align=1;mode-change-capability=2) "
		"97:AMR-WB/16000/1"},
};

START_TEST(reads_bodies)
{
	const struct body *row = &bodies[_i];
	struct sdp sdp;

	read_ok(row->text, &sdp);
	ck_assert_msg(!strcmp(summary(&sdp), row->summary),
		"%s:\n got  %s\n want %s", row->name, summary(&sdp),
		row->summary);
}
END_TEST

/* Bodies that must be refused, and bodies in which a second reader could see
 * another description than the first. EVIL and 203.0.113.66 never come out. */
static const struct body hostile[] = {
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

/** Writes what was read and looks for planted text in it. */
static void check_writes_clean(const struct sdp *sdp, const char *name)
{
	char text[SDP_SIZE_MAX + 1];
	struct sdp ours = *sdp;
	int len;

	ck_assert(!addr_parse("192.0.2.1:6000", &ours.rtp));
	ck_assert(!addr_parse("192.0.2.1", &ours.origin));
	memset(&ours.rtcp, 0, sizeof(ours.rtcp));
	if (!ours.n_payloads)
		ours.rtp.port = 0;
	len = sdp_write(&ours, text, sizeof(text));
	ck_assert_msg(len > 0, "%s: %d", name, len);
	ck_assert_int_eq((size_t)len, strlen(text));
	ck_assert_msg(!strstr(text, "EVIL"), "%s: %s", name, text);
	ck_assert_msg(!strstr(text, "203.0.113"), "%s: %s", name, text);
	ck_assert_msg(!strstr(text, "198.51.100"), "%s: %s", name, text);
}

START_TEST(survives_hostile_bodies)
{
	const struct body *row = &hostile[_i];
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
		ck_assert_msg(!strcmp(summary(&sdp), row->summary), "%s: %s",
			row->name, summary(&sdp));
		check_writes_clean(&sdp, row->name);
	}
	free(copy);
}
END_TEST

/* Files of tests/vectors/sdp: their names begin with what they earn. */
START_TEST(reads_vectors)
{
	static const struct {
		const char *begin;
		enum reason why;
	} kinds[] = {
		{"ok-", REASON_SDP_OK},
		{"syntax-", REASON_SDP_SYNTAX},
		{"t38-", REASON_SDP_T38},
	};
	unsigned n_of[N_ROWS(kinds)] = {0};
	const char *top = getenv("srcdir");
	char dir_name[512], path[1024];
	struct dirent *entry;
	DIR *dir;

	snprintf(dir_name, sizeof(dir_name), "%s/tests/vectors/sdp",
		top ? top : ".");
	dir = opendir(dir_name);
	ck_assert_msg(dir != NULL, "%s", dir_name);
	while ((entry = readdir(dir)) != NULL)
		for (size_t i = 0; i < N_ROWS(kinds); i++) {
			char text[SDP_SIZE_MAX];
			enum reason why;
			struct sdp sdp;
			FILE *file;
			size_t len;

			if (strncmp(entry->d_name, kinds[i].begin,
				    strlen(kinds[i].begin)))
				continue;
			snprintf(path, sizeof(path), "%s/%s", dir_name,
				entry->d_name);
			file = fopen(path, "rb");
			ck_assert_ptr_nonnull(file);
			len = fread(text, 1, sizeof(text), file);
			fclose(file);
			(void)!sdp_parse(text, len, &sdp, &why);
			ck_assert_msg(why == kinds[i].why, "%s: %s",
				entry->d_name, reason_text(why));
			n_of[i]++;
			if (why != REASON_SDP_OK)
				continue;
			ck_assert_uint_gt(sdp.n_payloads, 1);
			check_writes_clean(&sdp, entry->d_name);
		}
	closedir(dir);
	for (size_t i = 0; i < N_ROWS(kinds); i++)
		ck_assert_msg(n_of[i] > 0, "%s", kinds[i].begin);
}
END_TEST

START_TEST(refuses_nul_and_size)
{
	static char big[SDP_SIZE_MAX + 2];
	enum reason why;
	struct sdp sdp;
	char text[] = HEAD CONN AUDIO "a=x\r\n";
	size_t len = strlen(text);

	text[len - 3] = '\0';
	ck_assert_int_eq(sdp_parse(text, len, &sdp, &why), ERR_INVALID);
	ck_assert_int_eq(why, REASON_SDP_SYNTAX);

	memset(big, 'x', sizeof(big));
	ck_assert_int_eq(
		sdp_parse(big, SDP_SIZE_MAX + 1, &sdp, &why), ERR_TOO_BIG);
	ck_assert_int_eq(why, REASON_SDP_TOO_BIG);
	ck_assert_int_eq(sdp_parse(big, SDP_SIZE_MAX, &sdp, &why), ERR_INVALID);
	ck_assert_int_eq(why, REASON_SDP_SYNTAX);
}
END_TEST

/* Every beginning of a good body, in memory of just that size. */
START_TEST(survives_truncation)
{
	const char *text = bodies[5].text;

	for (size_t len = 0; len <= strlen(text); len++) {
		char *copy = malloc(len ? len : 1);
		enum reason why;
		struct sdp sdp;

		memcpy(copy, text, len);
		if (!sdp_parse(copy, len, &sdp, &why))
			check_writes_clean(&sdp, "cut");
		free(copy);
	}
}
END_TEST

START_TEST(keeps_at_most_32_payloads_and_8_keys)
{
	static char text[SDP_SIZE_MAX];
	struct writer w;
	struct sdp sdp;

	writer_init(&w, text, sizeof(text));
	writer_add(&w, "%s", HEAD CONN "m=audio 4000 RTP/SAVP");
	for (unsigned pt = 80; pt < 128; pt++)
		writer_add(&w, " %u", pt);
	writer_add(&w, "\r\n");
	for (unsigned pt = 80; pt < 128; pt++)
		writer_add(&w, "a=rtpmap:%u iLBC/8000\r\n", pt);
	for (unsigned tag = 1; tag < 12; tag++)
		writer_add(&w,
			"a=crypto:%u AES_CM_128_HMAC_SHA1_80 inline:" KEY30
			"\r\n",
			tag);
	ck_assert(!w.over);
	read_ok(text, &sdp);
	ck_assert_uint_eq(sdp.n_payloads, SDP_PAYLOADS_MAX);
	ck_assert_uint_eq(sdp.n_crypto, SDP_CRYPTO_MAX);
	ck_assert_uint_eq(sdp.crypto[7].tag, 8);
}
END_TEST

// ----------------------------------------------------------------- writing

START_TEST(writes_one_form)
{
	struct sdp sdp;
	char text[SDP_SIZE_MAX];

	read_ok(bodies[5].text, &sdp);
	sdp.session_id = 77;
	sdp.session_version = 3;
	ck_assert(!addr_parse("192.0.2.1:6000", &sdp.rtp));
	ck_assert(!addr_parse("192.0.2.1", &sdp.origin));
	memset(&sdp.rtcp, 0, sizeof(sdp.rtcp));
	ck_assert_int_gt(sdp_write(&sdp, text, sizeof(text)), 0);
	ck_assert_str_eq(text,
		"v=0\r\no=- 77 3 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 "
		"192.0.2.1\r\n"
		"t=0 0\r\nm=audio 6000 RTP/AVP 9 8 18 96 101\r\n"
		"a=rtpmap:9 G722/8000\r\na=rtpmap:8 PCMA/8000\r\n"
		"a=rtpmap:18 G729/8000\r\na=fmtp:18 annexb=no\r\n"
		"a=rtpmap:96 iLBC/8000\r\na=fmtp:96 mode=20\r\n"
		"a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\n"
		"a=ptime:20\r\na=maxptime:40\r\na=sendrecv\r\n");
}
END_TEST

/* Who asks for VoIP metrics is asked for them, nobody else. */
START_TEST(answers_voip_metrics)
{
	struct sdp offer, far, answer;
	char text[SDP_SIZE_MAX];

	read_ok(HEAD CONN AUDIO, &far);
	read_ok(HEAD CONN "a=rtcp-xr:stat-summary=loss voip-metrics\r\n" AUDIO,
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
		read_ok(HEAD CONN AUDIO, &offer);
		far.voip_metrics = true;
	}
}
END_TEST

START_TEST(refuses_other_lines_in_their_place)
{
	struct sdp sdp;
	char text[SDP_SIZE_MAX];

	read_ok(HEAD CONN
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

	read_ok(HEAD CONN AUDIO, &sdp);
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

	read_ok(HEAD CONN AUDIO, &sdp);
	ck_assert_int_eq(sdp_write(&sdp, small, sizeof(small)), ERR_TOO_BIG);
	ck_assert_int_eq(sdp_write(&sdp, small, 0), ERR_TOO_BIG);
	/* Texts in the struct that no row of a table made. */
	snprintf(sdp.payloads[0].name, sizeof(sdp.payloads[0].name), "EVIL");
	ck_assert_int_eq(sdp_write(&sdp, text, sizeof(text)), ERR_INVALID);
	read_ok(HEAD CONN AUDIO, &sdp);
	snprintf(sdp.payloads[0].fmtp, SDP_FMTP_SIZE, "x\r\na=EVIL");
	snprintf(sdp.lines[0].kind, sizeof(sdp.lines[0].kind), "EVIL");
	sdp.n_lines = 2;
	sdp.lines[1] = sdp.lines[0];
	snprintf(sdp.lines[1].proto, sizeof(sdp.lines[1].proto), "x\r\nEVIL");
	ck_assert_int_gt(sdp_write(&sdp, text, sizeof(text)), 0);
	ck_assert_ptr_null(strstr(text, "EVIL"));
	/* An address is needed, and formats where a port is. */
	read_ok(HEAD CONN AUDIO, &sdp);
	sdp.n_payloads = 0;
	ck_assert_int_eq(sdp_write(&sdp, text, sizeof(text)), ERR_INVALID);
	read_ok(HEAD CONN AUDIO, &sdp);
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
		read_ok(text, &back);
		if (sdp.rtcp.port == sdp.rtp.port + 1 || sdp.rtcp_mux)
			memset(&sdp.rtcp, 0, sizeof(sdp.rtcp));
		snprintf(want, sizeof(want), "%s", summary(&sdp));
		ck_assert_str_eq(summary(&back), want);
		ck_assert(sdp_same_media(&sdp, &back));
		ck_assert(addr_equal(&sdp.origin, &back.origin));
		ck_assert_mem_eq(sdp.crypto, back.crypto, sizeof(sdp.crypto));
		ck_assert_int_gt(sdp_write(&back, again, sizeof(again)), 0);
		ck_assert_str_eq(again, text);
	}
}
END_TEST

START_TEST(writes_read_bodies_to_a_fixed_point)
{
	char text[SDP_SIZE_MAX + 1], again[SDP_SIZE_MAX + 1];
	struct sdp sdp, back;

	read_ok(bodies[_i].text, &sdp);
	if (!addr_is_set(&sdp.rtp) || (!sdp.n_payloads && sdp.rtp.port))
		return;
	ck_assert_int_gt(sdp_write(&sdp, text, sizeof(text)), 0);
	read_ok(text, &back);
	ck_assert_int_gt(sdp_write(&back, again, sizeof(again)), 0);
	ck_assert_str_eq(again, text);
}
END_TEST

START_TEST(wipes_keys)
{
	static const uint8_t zero[sizeof(((struct sdp *)0)->crypto)];
	struct sdp sdp;

	read_ok(HEAD CONN "m=audio 4000 RTP/SAVP 0\r\n"
			  "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:" KEY30
			  "\r\n",
		&sdp);
	ck_assert_mem_eq(sdp.crypto[0].master, "YS__", 4);
	sdp_wipe(&sdp);
	ck_assert_uint_eq(sdp.n_crypto, 0);
	ck_assert_mem_eq(sdp.crypto, zero, sizeof(zero));
}
END_TEST

// ------------------------------------------------------------- negotiation

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
	read_ok(text, sdp);
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
	read_ok(text, &offer);
	snprintf(text, sizeof(text), HEAD CONN "%s", answers[_i].answer);
	read_ok(text, &answer);
	err = sdp_check_answer(&offer, &answer, &why);
	ck_assert_msg(why == answers[_i].why, "%s: %s", answers[_i].name,
		reason_text(why));
	ck_assert_int_eq(err, why == REASON_SDP_OK ? 0 : ERR_INVALID);
	if (!err)
		ck_assert_msg(!strcmp(summary(&answer), answers[_i].summary),
			"%s: %s", answers[_i].name, summary(&answer));
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

	read_ok(HEAD CONN
		"m=video 4002 RTP/AVP 31\r\nm=audio 4000 RTP/AVP 8\r\n"
		"a=sendonly\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:" KEY30
		"\r\n",
		&offer);
	read_ok(HEAD CONN "m=audio 5000 RTP/AVP 8\r\na=ptime:30\r\n", &far);
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

	read_ok(rows[0].body, &first);
	for (size_t i = 0; i < N_ROWS(rows); i++) {
		read_ok(rows[i].body, &next);
		ck_assert_msg(sdp_same_media(&first, &next) == rows[i].same,
			"row %zu", i);
	}
}
END_TEST

/* Old phones offer the same stream encrypted and plain, one line each. */
START_TEST(chooses_among_audio_lines)
{
	static const char keys[] =
		"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:" KEY30 "\r\n";
	static const struct {
		const char *m1, *m2;
		enum sdp_prefer prefer;
		size_t line;
		unsigned port;
	} rows[] = {
		{"4000 RTP/SAVP 0", "4002 RTP/AVP 0", SDP_ANY, 0, 4000},
		{"4000 RTP/SAVP 0", "4002 RTP/AVP 0", SDP_KEYED, 0, 4000},
		{"4000 RTP/SAVP 0", "4002 RTP/AVP 0", SDP_PLAIN, 1, 4002},
		{"4000 RTP/AVP 0", "4002 RTP/SAVP 0", SDP_KEYED, 1, 4002},
		{"4000 RTP/AVP 0", "4002 RTP/SAVP 0", SDP_PLAIN, 0, 4000},
		{"4000 RTP/AVP 0", "4002 RTP/AVP 0", SDP_KEYED, 0, 4000},
		{"4000 RTP/AVP 0", "0 RTP/SAVP 0", SDP_KEYED, 0, 4000},
		{"0 RTP/AVP 0", "4002 RTP/SAVP 0", SDP_PLAIN, 1, 4002},
		{"4000 UDP/TLS/RTP/SAVPF 0", "4002 RTP/SAVP 0", SDP_KEYED, 1,
			4002},
		{"4000 UDP/TLS/RTP/SAVPF 0", "4002/1 RTP/AVP 0", SDP_PLAIN, 1,
			4002},
	};
	char text[1024];
	enum reason why;
	struct sdp sdp;

	for (size_t i = 0; i < N_ROWS(rows); i++) {
		size_t len = (size_t)snprintf(text, sizeof(text),
			HEAD CONN "m=audio %s\r\n%sm=video 9 RTP/AVP 31\r\n"
				  "m=audio \t%s\r\n%s",
			rows[i].m1, keys, rows[i].m2, keys);
		size_t line = rows[i].line * 2; /* the video is between */

		ck_assert_int_eq(sdp_parse_preferring(
					 text, len, rows[i].prefer, &sdp, &why),
			0);
		ck_assert_msg(sdp.audio_line == line, "row %zu", i);
		ck_assert_uint_eq(sdp.rtp.port, rows[i].port);
		sdp_wipe(&sdp);
		/* Settled, everybody reads the same line. */
		sdp_settle(text, len, line);
		for (enum sdp_prefer p = SDP_ANY; p <= SDP_KEYED; p++) {
			ck_assert_int_eq(
				sdp_parse_preferring(text, len, p, &sdp, &why),
				0);
			ck_assert_uint_eq(sdp.audio_line, line);
			ck_assert_uint_eq(sdp.rtp.port, rows[i].port);
			ck_assert_uint_eq(sdp.n_lines, 3);
			sdp_wipe(&sdp);
		}
		ck_assert_ptr_nonnull(strstr(text, "m=video 9 "));
	}
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("sdp");
	TCase *read = tcase_create("read");
	TCase *write = tcase_create("write");
	TCase *negotiate = tcase_create("negotiate");

	tcase_add_loop_test(read, reads_bodies, 0, (int)N_ROWS(bodies));
	tcase_add_loop_test(
		read, survives_hostile_bodies, 0, (int)N_ROWS(hostile));
	tcase_add_test(read, reads_vectors);
	tcase_add_test(read, refuses_nul_and_size);
	tcase_add_test(read, survives_truncation);
	tcase_add_test(read, chooses_among_audio_lines);
	tcase_add_test(read, keeps_at_most_32_payloads_and_8_keys);
	tcase_add_test(write, writes_one_form);
	tcase_add_test(write, answers_voip_metrics);
	tcase_add_test(write, refuses_other_lines_in_their_place);
	tcase_add_test(write, writes_refused_audio);
	tcase_add_test(write, writes_nothing_from_foreign_structs);
	tcase_add_test(write, reads_back_what_it_writes);
	tcase_add_loop_test(write, writes_read_bodies_to_a_fixed_point, 0,
		(int)N_ROWS(bodies));
	tcase_add_test(write, wipes_keys);
	tcase_add_loop_test(negotiate, restricts, 0, (int)N_ROWS(restrictions));
	tcase_add_loop_test(
		negotiate, offers_a_list, 0, (int)N_ROWS(own_offers));
	tcase_add_loop_test(negotiate, checks_answers, 0, (int)N_ROWS(answers));
	tcase_add_loop_test(negotiate, makes_answers, 0, (int)N_ROWS(made));
	tcase_add_test(negotiate, answer_keeps_lines_and_narrows_direction);
	tcase_add_test(negotiate, directions);
	tcase_add_test(negotiate, maps_payloads);
	tcase_add_test(negotiate, sees_changes);
	suite_add_tcase(s, read);
	suite_add_tcase(s, write);
	suite_add_tcase(s, negotiate);
	return s;
}

int main(void)
{
	SRunner *runner = srunner_create(suite());
	int n_failed;

	srunner_run_all(runner, CK_NORMAL);
	n_failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return n_failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
