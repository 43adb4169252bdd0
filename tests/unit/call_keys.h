/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keyed descriptions for tests of calls (SDES, RFC 4568): what a peer says
 * with a=crypto lines, and whether mediad has the keys of a line.
 */
#ifndef TESTS_UNIT_CALL_KEYS_H
#define TESTS_UNIT_CALL_KEYS_H

#include "tests/unit/call_steps.h"

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

/** A peer's description with profile and a=crypto lines. Session and version of
 * o= are the peer's at each call. direction NULL = both. */
const char *keyed(const struct sip_peer *p, unsigned port, const char *profile,
	const char *crypto, const char *direction);
/** The scene's two, at their usual ports. */
const char *keyed_caller(struct scene *s, const char *profile,
	const char *crypto, const char *direction);
const char *keyed_phone(struct scene *s, const char *profile,
	const char *crypto, const char *direction);

/** Reads a body that has to be right. */
void keys_read(const char *body, struct sdp *sdp);
const struct sdp_crypto *keys_line(const struct sdp *sdp, uint32_t tag);
/** Is this what mediad was told, the key of that line? */
void keys_expect(const Gh__SrtpKey *key, const struct sdp *sdp, uint32_t tag);
/** mediad was told no keys for a side that has media. */
void keys_expect_none(const Gh__MediaSide *side);
/** Have their first lines one key? */
bool keys_same(const struct sdp *a, const struct sdp *b);

/** The ITSP calls, and the phone is offered media with this profile and so many
 * lines. */
void keys_call(struct scene *s, const char *sdp, const char *profile, size_t n);
/** As sc_finish(); the CDR names the suites of both sides, "" for plain. */
void keys_finish(struct scene *s, const char *caller, const char *called);

#endif
