/* SPDX-License-Identifier: Apache-2.0 */
/*
 * THE table of codecs that SDP can name here, and their fmtp parameters. What
 * it does not name is no codec for us. Used by sdp_*.c and by settings (a
 * codec list may only name rows of it).
 */
#ifndef SBC_SDP_CODEC_H
#define SBC_SDP_CODEC_H

#include <stdbool.h>
#include <stdint.h>

#include "sbc/sdp.h"
#include "sbc/text.h"

enum sdp_codec_kind { CODEC_AUDIO, CODEC_EVENT, CODEC_NOISE, CODEC_KIND_COUNT };

struct sdp_codec {
	const char *name; /* as we write it */
	uint32_t clock;   /* in rtpmap, which is not always the sampling rate */
	uint8_t channels;
	int16_t static_pt; /* RFC 3551 table 4; -1 = dynamic */
	enum sdp_codec_kind kind;
	uint32_t ptime_us; /* where nobody says one */
};

/** The row of a name (case is ignored) with this clock; clock 0 takes the
 * first row of the name, channels 0 any. NULL if none. */
const struct sdp_codec *sdp_codec_find(
	struct span name, uint32_t clock, uint32_t channels);
/** The row of a static payload type, or NULL. */
const struct sdp_codec *sdp_codec_static(unsigned pt);
/** The row of a payload. NULL for one that we did not make. */
const struct sdp_codec *sdp_codec_of(const struct sdp_payload *payload);

/** Fills pt, name, clock, channels from a row; no fmtp. */
void sdp_codec_fill(const struct sdp_codec *codec, unsigned pt,
	struct sdp_payload *payload_out);

/** Reads a peer's fmtp value by the codec's rows and writes it anew; what no
 * row names, or what is out of range, is left out. */
void sdp_fmtp_read(const struct sdp_codec *codec, struct span value,
	char fmtp_out[SDP_FMTP_SIZE]);

/** Do two payloads name the same format? Parameters that make another format
 * of a codec (AMR octet-align) count. */
bool sdp_payload_same(const struct sdp_payload *a, const struct sdp_payload *b);

/** The answer's fmtp, given the offer's and the far side's answer's: what
 * either side forbids stays forbidden (annexb=no), events are those of both. */
void sdp_fmtp_combine(const struct sdp_codec *codec, const char *offer,
	const char *far_answer, char fmtp_out[SDP_FMTP_SIZE]);

#endif
