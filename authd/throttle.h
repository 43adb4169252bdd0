/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Holds back the answers to wrong credentials by a fixed time, so that how long
 * an answer took tells nothing about whether the name exists (a name in memory
 * is judged faster than one that the database is asked for), and so that
 * guessing is slow. Bounded; over the bound the answer goes at once.
 */
#ifndef AUTHD_THROTTLE_H
#define AUTHD_THROTTLE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"
#include "common/loop.h"

/** From the question's arrival to the answer. */
#define THROTTLE_DELAY_US (50ull * 1000)
#define THROTTLE_MAX      4096u

struct throttle;

/** item is the one that was handed in; give_up: only free it. */
typedef void (*throttle_fn)(void *ctx, void *item, bool give_up);

GH_MUST_CHECK int throttle_new(struct loop *loop, throttle_fn fn, void *ctx,
	struct throttle **throttle_out);
/** Gives every item up. Safe on NULL. */
void throttle_free(struct throttle **throttle);
/** fn runs THROTTLE_DELAY_US after arrived_us, never before this returns.
 * @return 0, or ERR_FULL or ERR_NOMEM: the item stays the caller's. */
GH_MUST_CHECK int throttle_hold(
	struct throttle *t, void *item, uint64_t arrived_us);
/** Gives up the items for which match says true. */
void throttle_drop(struct throttle *t,
	bool (*match)(const void *item, const void *what), const void *what);

#endif
