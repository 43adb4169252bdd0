/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What mediad knows about audio codecs: how many octets a packet may have and
 * how a listener suffers from loss. It decides nothing about which codec is
 * allowed (that is sbc's) and never looks into a payload. Sizes come from RFC
 * 3551, 3389 (comfort noise), 3952 (iLBC), 4733 (events), 4867 (AMR), 7587
 * (Opus); Ie and Bpl from ITU-T G.113 (2007) appendix I and IV.
 */
#ifndef MEDIAD_CODEC_H
#define MEDIAD_CODEC_H

#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"

enum codec_kind {
	CODEC_SAMPLES,  /* any whole number of octets per packet */
	CODEC_FRAMES,   /* whole frames of unit_octets, one short one at the end
			 */
	CODEC_VARIABLE, /* up to unit_octets per frame */
	CODEC_EVENT,    /* telephone-event */
	CODEC_NOISE,    /* comfort noise */
	CODEC_KIND_COUNT,
};

/** A row of the table. */
struct codec {
	const char *name;
	uint32_t clock; /* RTP clock in Hz; 0 = any */
	enum codec_kind kind;
	uint32_t unit_us; /* duration of a frame, or of unit_octets */
	uint16_t unit_octets;
	uint16_t short_octets; /* smallest frame (silence descriptor); 0 = none
				*/
	uint8_t ie;            /* equipment impairment, G.113 */
	uint16_t bpl_tenths;   /* packet loss robustness in tenths, G.113 */
};

/** Octets that a payload may have; step != 0: n * step, or n * step + rest. */
struct codec_limits {
	uint16_t min_octets;
	uint16_t max_octets;
	uint16_t step;
	uint16_t rest;
	uint16_t nominal_octets; /* of one packet of the negotiated length */
};

/**
 * Finds a codec by its rtpmap name (any case) and clock.
 * @return the row; the row for unknown codecs if there is none, never NULL.
 */
const struct codec *codec_find(const char *name, uint32_t clock);

/** Whether a row is the one for unknown codecs. */
bool codec_is_unknown(const struct codec *c);

/**
 * Works out what a packet may hold. A peer may use half to double the
 * negotiated packet length (senders drift from ptime, which is only a wish,
 * RFC 8866 section 6.4), and a last packet may be shorter.
 * @param ptime_us	negotiated packet length, 0 = 20 ms.
 * @param max_octets	a bound that signaling knows better; 0 = none.
 */
void codec_limits(const struct codec *c, uint32_t ptime_us, uint32_t max_octets,
	struct codec_limits *limits_out);

/** @return whether a payload of that many octets fits. */
bool codec_fits(const struct codec_limits *limits, uint32_t octets);

#endif
