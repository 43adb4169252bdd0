/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SDP: reading by a table of bodies, each with the whole result in one line;
 * the vectors; bounds. Writing and hostile bodies: test_sdp_write.c. Offer and
 * answer: test_sdp_answer.c.
 */
#include <check.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sbc/sdp.h"
#include "sbc/sdp_part.h"
#include "tests/unit/sdp_text.h"
#include "tests/unit/suite.h"

static const struct sdp_body bodies[] = {
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
	const struct sdp_body *row = &bodies[_i];
	struct sdp sdp;

	sdp_read_ok(row->text, &sdp);
	ck_assert_msg(!strcmp(sdp_summary(&sdp), row->summary),
		"%s:\n got  %s\n want %s", row->name, sdp_summary(&sdp),
		row->summary);
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
			sdp_must_write_clean(&sdp, entry->d_name);
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
			sdp_must_write_clean(&sdp, "cut");
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

// ------------------------------------------------------------- negotiation

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

int main(void)
{
	Suite *s = suite_create("sdp");

	suite_add_rows(s, "read", reads_bodies, N_ROWS(bodies));
	suite_add(s, "read", reads_vectors);
	suite_add(s, "read", refuses_nul_and_size);
	suite_add(s, "read", survives_truncation);
	suite_add(s, "read", chooses_among_audio_lines);
	suite_add(s, "read", reads_again);
	suite_add(s, "write", writer_adds);
	suite_add(s, "read", keeps_at_most_32_payloads_and_8_keys);
	suite_add_rows(s, "write", writes_read_bodies_to_a_fixed_point,
		N_ROWS(bodies));
	suite_add(s, "write", writes_one_form);
	return suite_run(s);
}
