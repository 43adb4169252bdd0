/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What somebody in a call would complain about, found while it runs: no sound
 * from one side, none at all, bad sound, and packets that no honest peer sends.
 * Each is told once when it begins. Decides nothing about the call.
 */
#ifndef MEDIAD_TROUBLE_H
#define MEDIAD_TROUBLE_H

#include "mediad/watch.h"

/** Called for each open leg by watch_leg(). */
void trouble_watch(struct leg *l, const struct watch_rules *rules,
	uint64_t now_us, watch_tell_fn tell, void *arg);
/** The leg's figures are an earlier process's, which has told of them. */
void trouble_resume(struct leg *l);

#endif
