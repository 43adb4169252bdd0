/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Packet lengths of the two directions: what one side's peer sends, what the
 * other side's peer asked for, and what would have to be done with the frames
 * between. Nothing is converted: packets go on as long as they come, and a peer
 * has to take what it did not ask for (RFC 8866 section 6.4 calls ptime a
 * recommendation). This is what an administrator sees of it.
 */
#ifndef MEDIAD_PTIME_H
#define MEDIAD_PTIME_H

#include "mediad/codec.h"

enum ptime_step {
	PTIME_SAME,    /* or nothing was asked for */
	PTIME_SPLIT,   /* each packet into several */
	PTIME_JOIN,    /* several packets into one */
	PTIME_REGROUP, /* neither divides the other */
	PTIME_OPAQUE,  /* the codec's frames cannot be told apart here */
	PTIME_STEP_COUNT,
};

/**
 * @param codec	NULL = nothing was heard.
 * @param have_us	length of what comes, 0 = unknown.
 * @param want_us	length that is asked for, 0 = not said.
 */
enum ptime_step ptime_step(
	const struct codec *codec, uint32_t have_us, uint32_t want_us);

/** snake_case word for JSON. */
const char *ptime_step_text(enum ptime_step step);

#endif
