// SPDX-License-Identifier: Apache-2.0
/*
 * SDP: reading by a table of bodies, each with the whole result in one line;
 * hostile bodies; what is written reads back to the same values; key lines; and
 * that nothing of a peer's text ever comes out again. Offer and answer:
 * test_sdp_answer.c.
 */
#include <check.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sbc/sdp.h"
#include "sbc/sdp_codec.h"
#include "sbc/sdp_part.h"
#include "tests/unit/sdp_text.h"

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

	sdp_read_ok(row->text, &sdp);
	ck_assert_msg(!strcmp(sdp_summary(&sdp), row->summary),
		"%s:\n got  %s\n want %s", row->name, sdp_summary(&sdp),
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
		ck_assert_msg(!strcmp(sdp_summary(&sdp), row->summary),
			"%s: %s", row->name, sdp_summary(&sdp));
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
	sdp_read_ok(text, &sdp);
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

	sdp_read_ok(bodies[5].text, &sdp);
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

START_TEST(writes_read_bodies_to_a_fixed_point)
{
	char text[SDP_SIZE_MAX + 1], again[SDP_SIZE_MAX + 1];
	struct sdp sdp, back;

	sdp_read_ok(bodies[_i].text, &sdp);
	if (!addr_is_set(&sdp.rtp) || (!sdp.n_payloads && sdp.rtp.port))
		return;
	ck_assert_int_gt(sdp_write(&sdp, text, sizeof(text)), 0);
	sdp_read_ok(text, &back);
	ck_assert_int_gt(sdp_write(&back, again, sizeof(again)), 0);
	ck_assert_str_eq(again, text);
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

// ------------------------------------------------------------- negotiation

/* Old phones offer the same stream encrypted and plain, one line each. */
/* A text that was read a moment ago gives the same again, also between others
 * and for another preference; keys are there each time. */
START_TEST(reads_again)
{
	static const char *const texts[] = {
		HEAD CONN AUDIO,
		HEAD CONN "m=audio 4000 RTP/AVP 0\r\n",
		HEAD CONN "m=audio 4000 RTP/AVP 8\r\n",
		HEAD CONN "m=audio 4002 RTP/SAVP 8\r\n"
			  "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:" KEY30
			  "\r\n",
		HEAD CONN "m=audio 4004 RTP/SAVP 8\r\n"
			  "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:" KEY30
			  "\r\nm=audio 4006 RTP/AVP 8\r\n",
		HEAD CONN "m=audio 4008 RTP/AVP 18\r\n",
		HEAD CONN "m=audio 4010 RTP/AVP 9\r\n",
	};
	static const uint16_t ports[] = {
		4000, 4000, 4000, 4002, 4006, 4008, 4010};
	enum reason why;
	struct sdp sdp, fresh;
	bool keys;

	for (unsigned i = 0; i < 100; i++) {
		size_t k = i * (1 + i / 20) % 7, len = strlen(texts[k]);
		enum sdp_prefer prefer = i % 2 ? SDP_PLAIN : SDP_KEYED;

		memset(&sdp, 0, sizeof(sdp));
		memset(&fresh, 0, sizeof(fresh));
		ck_assert_int_eq(
			sdp_parse_preferring(texts[k], len, prefer, &sdp, &why),
			0);
		ck_assert_int_eq(why, REASON_SDP_OK);
		ck_assert_int_eq(sdp_read((struct span){texts[k], len}, prefer,
					 &fresh, &keys, &why),
			0);
		ck_assert_mem_eq(&sdp, &fresh, sizeof(sdp));
		ck_assert_int_eq(keys, k == 3 || k == 4);
		ck_assert_uint_eq(sdp.rtp.port,
			k == 4 && prefer == SDP_KEYED ? 4004 : ports[k]);
		ck_assert_uint_eq(
			sdp.n_crypto, sdp_profile_is_secure(sdp.profile));
	}
}
END_TEST

/* The short way and vsnprintf() write the same, and all of it or nothing. */
START_TEST(writer_adds)
{
	char text[40];
	struct writer w;

	writer_init(&w, text, sizeof(text));
	writer_add(
		&w, "a=%s:%u %llu", "x", 4294967295u, 18446744073709551615ull);
	ck_assert_str_eq(text, "a=x:4294967295 18446744073709551615");
	writer_add(&w, "%s%u", "four", 1u);
	ck_assert(w.over);
	ck_assert_str_eq(text, "a=x:4294967295 18446744073709551615");
	writer_init(&w, text, sizeof(text));
	writer_add(&w, "%u %s %03x %%", 0u, "", 10u);
	ck_assert_str_eq(text, "0  00a %");
	writer_add(&w, "%s%d", "", -7);
	ck_assert_str_eq(text, "0  00a %-7");
	ck_assert_uint_eq(w.len, strlen(text));
	writer_add(&w, "%s %d", "0123456789012345678901234567", 12345);
	ck_assert(w.over);
	ck_assert_str_eq(text, "0  00a %-7");
	writer_add(&w, "%s", "x");
	ck_assert_str_eq(text, "0  00a %-7");
}
END_TEST

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

	tcase_set_timeout(read, 60);
	tcase_set_timeout(write, 60);
	tcase_add_loop_test(read, reads_bodies, 0, (int)N_ROWS(bodies));
	tcase_add_loop_test(
		read, survives_hostile_bodies, 0, (int)N_ROWS(hostile));
	tcase_add_test(read, reads_vectors);
	tcase_add_test(read, refuses_nul_and_size);
	tcase_add_test(read, survives_truncation);
	tcase_add_test(read, chooses_among_audio_lines);
	tcase_add_test(read, reads_again);
	tcase_add_test(write, writer_adds);
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
	suite_add_tcase(s, read);
	suite_add_tcase(s, write);
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
