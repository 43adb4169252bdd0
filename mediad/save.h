/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A leg's live words: written while packets pass, read once by the process
 * that comes after. What a packet changes is written with the packet, numbers
 * that are sent always before it leaves; all else a few times a second. No
 * function here takes a lock or allocates.
 *
 * All are safe on a leg without words (no store, or none left in it).
 */
#ifndef MEDIAD_SAVE_H
#define MEDIAD_SAVE_H

#include <stdbool.h>

#include "mediad/leg.h"
#include "mediad/live.h"

/** A fresh leg: clears the words, then says whose they are. */
void save_begin(struct live_leg *w, uint32_t birth);
/** A packet was accepted. */
void save_received(struct leg *l);
/** A packet has its number and is about to leave. */
void save_sent(struct leg *l);
/** It has left. */
void save_sent_figures(struct leg *l);
/** Everything that is not written with each packet. */
void save_slow(struct leg *l);

/** Which parts of the words are of the present plan. */
struct save_parts {
	bool leg;
	bool rx_key;
	bool tx_key;
};

/** @return 0, or ERR_CORRUPT: nothing may be sent from such words. */
GH_MUST_CHECK int save_parts(const struct live_leg *w, uint32_t birth,
	uint32_t rx_key, uint32_t tx_key, struct save_parts *parts_out);
/** Takes the words into a leg that was made anew and has its wanted state. */
void save_resume(struct leg *l, uint64_t now_us);

#endif
