/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The audio judge: did this ear hear that speech, whole, and nothing of the
 * other direction? Bars as in the design: after aligning within 2 s the
 * normalised correlation is at least 0.9 with the speech that was sent and
 * below 0.3 with the other direction's, over at least 5 s.
 *
 * Correlation alone forgives holes (a tenth of the packets replaced by silence
 * still correlates with 0.95), so the judge also counts the 20 ms blocks of
 * speech that did not arrive.
 */
#ifndef TESTS_AUDIO_JUDGE_H
#define TESTS_AUDIO_JUDGE_H

#include <stdbool.h>
#include <stddef.h>

#include "tests/audio/wav.h"

#define JUDGE_LAG_MAX_S 2
#define JUDGE_OVERLAP_S 5
#define JUDGE_SAME_MIN  0.9
#define JUDGE_OTHER_MAX 0.3
/** Largest share of speech blocks that may be missing. */
#define JUDGE_HOLES_MAX 0.03

struct match {
	double correlation; /* -1 to 1 at the best lag; 0 for silence */
	long lag;           /* samples that heard is behind the reference */
	double overlap_s;   /* seconds that were compared */
	double holes;       /* share of the speech blocks that are missing */
};

struct verdict {
	struct match same;
	struct match other;
	bool pass;
	const char *why; /* static text */
};

/** Best alignment of heard with reference. @return 0, or -1 out of memory. */
int judge_match(const struct sound *reference, const struct sound *heard,
	struct match *match_out);

/** Judges one ear. @return 0, or -1 out of memory. */
int judge(const struct sound *reference, const struct sound *heard,
	const struct sound *other, struct verdict *verdict_out);

#endif
