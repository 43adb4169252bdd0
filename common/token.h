/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Token bucket: lets `rate` units per second pass on average and `burst` at
 * once. Integer arithmetic, no division on the way, safe against clocks that
 * stand still.
 */
#ifndef COMMON_TOKEN_H
#define COMMON_TOKEN_H

#include <stdbool.h>
#include <stdint.h>

struct token {
	uint64_t level_u; /* millionths of a unit */
	uint64_t last_us;
	uint32_t rate;  /* units per second */
	uint32_t burst; /* units */
};

/** Starts full. */
void token_init(
	struct token *t, uint32_t rate, uint32_t burst, uint64_t now_us);

/** Takes n units if they are there. @return whether they were. */
bool token_take(struct token *t, uint32_t n, uint64_t now_us);

#endif
