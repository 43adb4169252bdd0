/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How loss is spread over a stream: in bursts, which hurt, and gaps between
 * them, which do not. RFC 3611 section 4.7.2 with Gmin = 16.
 */
#ifndef MEDIAD_BURST_H
#define MEDIAD_BURST_H

#include <stdint.h>

/** So many packets without loss end a burst. */
#define BURST_GMIN 16u

/** Counts of the four-state model. Zeroed = nothing yet. */
struct burst {
	uint32_t run;  /* packets received since the last loss */
	uint32_t lost; /* within the present burst */
	uint32_t n_lost;
	uint32_t n_received;
	uint64_t c11, c13, c14, c22, c23, c33;
};

/** A packet came, and n were missed before it. */
void burst_on_packet(struct burst *b, uint32_t n_missed);

/** Densities are of 256, durations in milliseconds. */
struct burst_figures {
	uint8_t loss_rate;
	uint8_t burst_density;
	uint8_t gap_density;
	uint16_t burst_ms;
	uint16_t gap_ms;
};

/** @param ptime_us	duration of a packet. */
void burst_figures(
	const struct burst *b, uint32_t ptime_us, struct burst_figures *out);

#endif
