/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The codec table. A payload size that no row can explain is the cheapest sign
 * of data that hides in an audio stream, so each codec has the narrowest
 * bounds that honest senders keep. Called while a session is set up (control
 * thread), never per packet: path.c uses the worked-out limits.
 */
#include "mediad/codec.h"

#include <strings.h>

/** No voice payload is larger: it has to fit into an Ethernet frame. */
#define OCTETS_MAX       1400u
#define PTIME_DEFAULT_US 20000u
#define PTIME_MIN_US     2500u
#define PTIME_MAX_US     200000u

/* Where G.113 has no value (wideband codecs, iLBC's Bpl), the nearest codec of
 * the same family stands in: MOS is an estimate for comparing calls. */
static const struct codec codecs[] = {
	{"PCMA", 8000, CODEC_SAMPLES, 1000, 8, 0, 0, 251},
	{"PCMU", 8000, CODEC_SAMPLES, 1000, 8, 0, 0, 251},
	{"G722", 8000, CODEC_SAMPLES, 1000, 8, 0, 0, 200},
	{"G729", 8000, CODEC_FRAMES, 10000, 10, 2, 11, 190},
	{"G723", 8000, CODEC_FRAMES, 30000, 24, 4, 15, 161},
	{"GSM", 8000, CODEC_FRAMES, 20000, 33, 0, 20, 100},
	{"GSM-EFR", 8000, CODEC_FRAMES, 20000, 31, 0, 5, 100},
	{"iLBC", 8000, CODEC_VARIABLE, 20000, 50, 38, 11, 320},
	{"G726-16", 8000, CODEC_SAMPLES, 1000, 2, 0, 50, 190},
	{"G726-24", 8000, CODEC_SAMPLES, 1000, 3, 0, 25, 190},
	{"G726-32", 8000, CODEC_SAMPLES, 1000, 4, 0, 7, 190},
	{"G726-40", 8000, CODEC_SAMPLES, 1000, 5, 0, 2, 190},
	{"G728", 8000, CODEC_FRAMES, 2500, 5, 0, 7, 170},
	{"opus", 48000, CODEC_VARIABLE, 20000, 1275, 1, 0, 200},
	{"AMR", 8000, CODEC_VARIABLE, 20000, 34, 1, 5, 100},
	{"AMR-WB", 16000, CODEC_VARIABLE, 20000, 63, 1, 1, 130},
	{"speex", 8000, CODEC_VARIABLE, 20000, 62, 1, 11, 190},
	{"speex", 16000, CODEC_VARIABLE, 20000, 106, 1, 7, 190},
	{"speex", 32000, CODEC_VARIABLE, 20000, 110, 1, 7, 190},
	{"L16", 8000, CODEC_SAMPLES, 1000, 16, 0, 0, 43},
	{"L16", 16000, CODEC_SAMPLES, 1000, 32, 0, 0, 43},
	{"telephone-event", 0, CODEC_EVENT, 0, 4, 4, 0, 251},
	{"CN", 0, CODEC_NOISE, 0, 32, 1, 0, 251},
};

/* Bounded by the packet's size and by the rate alone. */
static const struct codec unknown = {
	"unknown", 0, CODEC_VARIABLE, 20000, 1400, 1, 0, 43};

const struct codec *codec_find(const char *name, uint32_t clock)
{
	for (size_t i = 0; i < sizeof(codecs) / sizeof(codecs[0]); i++) {
		const struct codec *c = &codecs[i];

		if (strcasecmp(c->name, name) == 0 &&
			(c->clock == 0 || c->clock == clock))
			return c;
	}
	return &unknown;
}

bool codec_is_unknown(const struct codec *c)
{
	return c == &unknown;
}

/* Octets of the units that begin within a time. */
static uint32_t octets_of(const struct codec *c, uint32_t time_us)
{
	uint32_t n_units = (time_us + c->unit_us - 1) / c->unit_us;

	if (n_units == 0)
		n_units = 1;
	return n_units * c->unit_octets;
}

static uint16_t bounded(uint32_t octets)
{
	return octets > OCTETS_MAX ? OCTETS_MAX : (uint16_t)octets;
}

static void voice_limits(
	const struct codec *c, uint32_t ptime_us, struct codec_limits *l)
{
	l->nominal_octets = bounded(octets_of(c, ptime_us));
	l->max_octets = bounded(octets_of(c, 2 * ptime_us));
	switch (c->kind) {
	case CODEC_SAMPLES:
		l->min_octets = bounded(octets_of(c, ptime_us / 4));
		break;
	case CODEC_FRAMES:
		l->step = c->unit_octets;
		l->rest = c->short_octets;
		l->min_octets =
			c->short_octets ? c->short_octets : c->unit_octets;
		l->max_octets = bounded(l->max_octets + (uint32_t)l->rest);
		break;
	default:
		l->min_octets = c->short_octets;
		break;
	}
	/* G.723.1 mixes frames of 24, 20 and 4 octets in one packet. */
	if (strcasecmp(c->name, "G723") == 0) {
		l->step = 4;
		l->rest = 0;
	}
}

void codec_limits(const struct codec *c, uint32_t ptime_us, uint32_t max_octets,
	struct codec_limits *limits_out)
{
	struct codec_limits l = {0};

	if (ptime_us == 0)
		ptime_us = PTIME_DEFAULT_US;
	if (ptime_us < PTIME_MIN_US)
		ptime_us = PTIME_MIN_US;
	if (ptime_us > PTIME_MAX_US)
		ptime_us = PTIME_MAX_US;
	switch (c->kind) {
	case CODEC_EVENT:
		/* RFC 4733 section 2.3: four octets an event; a packet may
		 * repeat earlier ones. */
		l.min_octets = l.step = l.nominal_octets = 4;
		l.max_octets = 16;
		break;
	case CODEC_NOISE:
		l.min_octets = 1;
		l.nominal_octets = l.max_octets = c->unit_octets;
		break;
	default:
		voice_limits(c, ptime_us, &l);
		break;
	}
	if (max_octets != 0 && max_octets < l.max_octets)
		l.max_octets = (uint16_t)max_octets;
	if (l.nominal_octets > l.max_octets)
		l.nominal_octets = l.max_octets;
	*limits_out = l;
}

bool codec_fits(const struct codec_limits *l, uint32_t octets)
{
	if (octets < l->min_octets || octets > l->max_octets)
		return false;
	if (l->step <= 1)
		return true;
	return octets % l->step == 0 ||
	       (l->rest != 0 && octets % l->step == l->rest);
}
