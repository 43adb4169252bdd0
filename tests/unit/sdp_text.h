/* SPDX-License-Identifier: Apache-2.0 */
/* What the suites about SDP share: pieces of bodies, and a body in one line. */
#ifndef TESTS_UNIT_SDP_TEXT_H
#define TESTS_UNIT_SDP_TEXT_H

#include "sbc/sdp.h"

#define HEAD        "v=0\r\no=- 1 2 IN IP4 198.51.100.7\r\ns=-\r\n"
#define CONN        "c=IN IP4 198.51.100.7\r\nt=0 0\r\n"
#define AUDIO       "m=audio 4000 RTP/AVP 0 8\r\n"
/* 30 octets: key and salt of an AES-128 suite. */
#define KEY30       "WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz"
#define KEY28       "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGw"
/* the same with a bit set that belongs to no octet */
#define KEY28_LOOSE "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGx"
#define KEY44       "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKis"
#define KEY46       "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKissLQ"

struct sdp_body {
	const char *name;
	const char *text;
	enum reason why;
	const char *summary; /* if SDP_OK */
};

/** Everything that was read, in one line; valid until the next call. */
const char *sdp_summary(const struct sdp *sdp);
/** Reads a body that has to be good. */
void sdp_read_ok(const char *text, struct sdp *sdp);

/** Writes what was read and looks for planted text in it. */
void sdp_must_write_clean(const struct sdp *sdp, const char *name);

#endif
