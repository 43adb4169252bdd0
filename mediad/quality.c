/* SPDX-License-Identifier: Apache-2.0 */
/*
 * R = R0 - Id - Ie,eff with G.107's defaults for everything that an SBC cannot
 * know (R0 - Is = 93.2, A = 0), random loss (BurstR = 1), and the delay
 * impairment in the piecewise linear form that is used for live monitoring
 * (Cole and Rosenbluth 2001). Called when figures are asked for, never per
 * packet.
 */
#include "mediad/quality.h"

#include <stddef.h>

#define R_DEFAULT     93.2
#define IE_CEILING    95.0
#define DELAY_KNEE_MS 177.3

/* What a listener waits for: half the way there and back, a jitter buffer of
 * twice the jitter, and the packet itself. */
static double delay_ms(const struct quality_input *in)
{
	return in->rtt_us / 2000.0 + 2 * (in->jitter_us / 1000.0) +
	       in->ptime_us / 1000.0;
}

static double delay_impairment(double ms)
{
	double id = 0.024 * ms;

	if (ms > DELAY_KNEE_MS)
		id += 0.11 * (ms - DELAY_KNEE_MS);
	return id;
}

static double equipment_impairment(const struct codec *c, double loss_percent)
{
	double bpl = c->bpl_tenths / 10.0;

	return c->ie +
	       (IE_CEILING - c->ie) * loss_percent / (loss_percent + bpl);
}

/* G.107 annex B. */
static double mos_of(double r)
{
	if (r <= 0)
		return 1.0;
	if (r >= 100)
		return 4.5;
	double mos = 1 + 0.035 * r + r * (r - 60) * (100 - r) * 7e-6;

	return mos < 1.0 ? 1.0 : mos;
}

double quality_r(const struct quality_input *in, bool delay)
{
	double loss, r;

	if (in->expected == 0 || in->codec == NULL)
		return -1;
	loss = 100.0 * (double)in->lost / (double)in->expected;
	r = R_DEFAULT -
	    equipment_impairment(in->codec, loss > 100 ? 100 : loss);
	if (delay)
		r -= delay_impairment(delay_ms(in));
	return r < 0 ? 0 : r;
}

uint32_t quality_mos_of(double r)
{
	return (uint32_t)(mos_of(r) * 100 + 0.5);
}

uint32_t quality_mos_centi(const struct quality_input *in)
{
	double r = quality_r(in, true);

	return r < 0 ? 0 : quality_mos_of(r);
}
