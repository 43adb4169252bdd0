/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One figure for how a call sounded: the E-model of ITU-T G.107 with the
 * codec's values of G.113. An estimate for comparing calls, not a measurement
 * of speech.
 */
#ifndef MEDIAD_QUALITY_H
#define MEDIAD_QUALITY_H

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

/** @return mean opinion score times 100, 100 to 450; 0 if nothing was heard. */
uint32_t quality_mos_centi(const struct quality_input *in);

#endif
