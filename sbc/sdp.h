/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Session descriptions (RFC 8866) of our audio calls, read into values and
 * written anew from values: no line of a peer is ever copied. One audio
 * stream; every other m= line is remembered by kind only, to be refused with
 * port 0 in its place (RFC 3264 6). Pure. Offer/answer is RFC 3264; SDES is
 * RFC 4568; BEST EFFORT SRTP is RFC 8643.
 */
#ifndef SBC_SDP_H
#define SBC_SDP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/addr.h"
#include "common/err.h"
#include "common/ipc.pb-c.h"
#include "common/reason.h"

#define SDP_SIZE_MAX     8192 /* text, ours and theirs */
#define SDP_PAYLOADS_MAX 32
#define SDP_MEDIA_MAX    8
#define SDP_CRYPTO_MAX   8
#define SDP_FMTP_SIZE    128

/** One payload type of the audio line. */
struct sdp_payload {
	uint8_t pt;
	char name[24]; /* rtpmap name as we write it (table's case) */
	uint32_t clock;
	uint8_t channels;
	char fmtp[SDP_FMTP_SIZE]; /* written by the codec's own rule; "" = none
				   */
};

enum sdp_profile {
	SDP_AVP,
	SDP_SAVP,
	SDP_AVPF,
	SDP_SAVPF,
	SDP_UDP_TLS_SAVPF,
	SDP_PROFILE_COUNT
};

/** A usable a=crypto line. A secret: wipe with sdp_wipe(). */
struct sdp_crypto {
	uint32_t tag;
	Gh__Suite suite;
	uint8_t master[46];
	uint8_t master_len;
};

/** Any m= line, in order; the audio that we use is one of them. */
struct sdp_line {
	char kind[16];  /* "audio", "video", "image" ... from a fixed list, else
			   "application" */
	char proto[24]; /* from a fixed list, for the refusal's m= line */
	char format[24]; /* first format, checked, for the refusal */
};

struct sdp {
	uint64_t session_id; /* of o= */
	uint64_t session_version;
	struct addr origin; /* ours when writing */
	struct addr rtp;    /* connection address and port; port 0 = refused */
	struct addr rtcp;   /* a=rtcp; unset = next port */
	bool rtcp_mux;
	bool voip_metrics; /* a=rtcp-xr:voip-metrics: who writes it wants them
			    * (RFC 3611 section 5.2) */
	Gh__Direction direction; /* as the description's author says it */
	enum sdp_profile profile;
	struct sdp_payload payloads[SDP_PAYLOADS_MAX];
	size_t n_payloads;
	uint32_t ptime_us; /* 0 = not said */
	uint32_t maxptime_us;
	struct sdp_crypto crypto[SDP_CRYPTO_MAX];
	size_t n_crypto;
	struct sdp_line lines[SDP_MEDIA_MAX];
	size_t n_lines;
	size_t audio_line; /* index into lines */
	bool has_audio;
	bool old_hold; /* c=0.0.0.0 (RFC 2543) */
};

/**
 * Reads a description.
 * @param why_out	SDP_OK or the refusal (SDP_SYNTAX, SDP_NO_AUDIO,
 * SDP_TOO_BIG).
 * @return 0, ERR_INVALID or ERR_TOO_BIG.
 */
GH_MUST_CHECK int sdp_parse(const char *text, size_t len, struct sdp *sdp_out,
	enum reason *why_out);

/** Which of several live audio lines is taken: the first, the first that is
 * not encrypted, the first with keys in a=crypto; if there is none of these,
 * the first all the same. Old phones offer one of each for one stream. */
enum sdp_prefer { SDP_ANY, SDP_PLAIN, SDP_KEYED };

/** As sdp_parse(), which takes SDP_ANY. */
GH_MUST_CHECK int sdp_parse_preferring(const char *text, size_t len,
	enum sdp_prefer prefer, struct sdp *sdp_out, enum reason *why_out);

/** Gives port 0 to every audio line but one, in place, so that whoever reads
 * the text later reads the same line. */
void sdp_settle(char *text, size_t len, size_t audio_line);

/** Writes it. @return its length without the terminator, or ERR_TOO_BIG. */
GH_MUST_CHECK int sdp_write(const struct sdp *sdp, char *text, size_t size);

/** A suite's name as it stands in a=crypto, "" for none that we know. */
const char *sdp_suite_name(Gh__Suite suite);

/** Overwrites key material. */
void sdp_wipe(struct sdp *sdp);

/**
 * Keeps only what both codec lists allow, in the order of `prefer` (NULL: the
 * description's own order), comfort noise and telephone-event at clock rates
 * that are left. Payload type numbers stay.
 * @return 0, or ERR_NOT_FOUND if no audio codec is left (SDP_NO_CODEC).
 */
GH_MUST_CHECK int sdp_restrict(struct sdp *sdp, const Gh__CodecList *a,
	const Gh__CodecList *b, const Gh__CodecList *prefer);

/** The codecs of a list as an offer that we make ourselves (offerless INVITE):
 * payload types static or from 96. */
void sdp_payloads_from_list(const Gh__CodecList *list, struct sdp *sdp);

/**
 * Checks an answer against the offer that it answers (RFC 3264 6 and 7: same
 * number of m= lines, formats of the offer, direction that fits) and narrows
 * it to the offer's codecs.
 * @return 0, or ERR_INVALID with why_out SDP_BAD_ANSWER or SDP_NO_CODEC.
 */
GH_MUST_CHECK int sdp_check_answer(
	const struct sdp *offer, struct sdp *answer, enum reason *why_out);

/**
 * Builds the answer for `offer` (from one side) out of the other side's
 * `far_answer`: offer's payload numbers and m= lines, far_answer's codecs.
 * The addresses, origin and keys are the caller's to fill in afterwards.
 * @return 0, or ERR_NOT_FOUND (SDP_NO_CODEC).
 */
GH_MUST_CHECK int sdp_make_answer(const struct sdp *offer,
	const struct sdp *far_answer, struct sdp *answer_out);

/** Which way media may flow for the reader, given what the peer wrote:
 * sendonly of theirs is recvonly for us. */
Gh__Direction sdp_reverse(Gh__Direction d);
/** The narrower of two (RFC 3264 6.1): for passing hold on. */
Gh__Direction sdp_direction_and(Gh__Direction a, Gh__Direction b);

/**
 * Payload maps for mediad: for each payload that `mine` (this side's agreed
 * description) has and `far` (the other side's agreed one) has too, one
 * Payload row with pt and peer_pt. Rows are allocated from nothing: the
 * array's elements point into `rows`.
 * @return how many rows were filled (at most SDP_PAYLOADS_MAX).
 */
size_t sdp_payload_map(const struct sdp *mine, const struct sdp *far,
	Gh__Payload rows[SDP_PAYLOADS_MAX]);

/** Same session version and content as before: nothing to renegotiate. */
bool sdp_same_media(const struct sdp *a, const struct sdp *b);

#endif
