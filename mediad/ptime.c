/* SPDX-License-Identifier: Apache-2.0 */
/* Called by figures.c; never per packet. */
#include "mediad/ptime.h"

#include <stddef.h>

static const char *const texts[] = {
	[PTIME_SAME] = "same",
	[PTIME_SPLIT] = "split",
	[PTIME_JOIN] = "join",
	[PTIME_REGROUP] = "regroup",
	[PTIME_OPAQUE] = "opaque",
};
_Static_assert(sizeof(texts) / sizeof(texts[0]) == PTIME_STEP_COUNT,
	"every step has a text");

enum ptime_step ptime_step(
	const struct codec *codec, uint32_t have_us, uint32_t want_us)
{
	if (codec == NULL || have_us == 0 || want_us == 0 || have_us == want_us)
		return PTIME_SAME;
	/* Frames of one size, or samples: a packet can be cut anywhere
	 * between two. */
	if (codec->kind != CODEC_SAMPLES && codec->kind != CODEC_FRAMES)
		return PTIME_OPAQUE;
	if (have_us % codec->unit_us != 0 || want_us % codec->unit_us != 0)
		return PTIME_OPAQUE;
	if (have_us % want_us == 0)
		return PTIME_SPLIT;
	return want_us % have_us == 0 ? PTIME_JOIN : PTIME_REGROUP;
}

const char *ptime_step_text(enum ptime_step step)
{
	return (unsigned)step < PTIME_STEP_COUNT ? texts[step] : "?";
}
