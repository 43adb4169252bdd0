/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One figure for how a call sounded: the E-model of ITU-T G.107 with the
 * codec's values of G.113. An estimate for comparing calls, not a measurement
 * of speech.
 */
#ifndef MEDIAD_QUALITY_H
#define MEDIAD_QUALITY_H

#include <stdbool.h>
#include <stdint.h>

#include "mediad/codec.h"

struct quality_input {
	const struct codec *codec;
	uint64_t expected; /* packets */
	uint64_t lost;
	uint32_t jitter_us;
	uint32_t rtt_us; /* 0 = unknown */
	uint32_t ptime_us;
};

/** @return R of G.107, 0 to 100; negative if nothing was heard.
 * @param delay	whether delay and jitter count (conversation) or not
 *			(listening). */
double quality_r(const struct quality_input *in, bool delay);
/** G.107 annex B, times 100. */
uint32_t quality_mos_of(double r);
/** @return mean opinion score times 100, 100 to 450; 0 if nothing was heard. */
uint32_t quality_mos_centi(const struct quality_input *in);

#endif
