/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Token bucket (token.h). One microsecond at rate r brings exactly r
 * millionths of a unit, so the arithmetic needs no division and loses nothing.
 */
#include "common/token.h"

#define MILLION 1000000ULL

void token_init(struct token *t, uint32_t rate, uint32_t burst, uint64_t now_us)
{
	t->rate = rate;
	t->burst = burst;
	t->level_u = burst * MILLION;
	t->last_us = now_us;
}

bool token_take(struct token *t, uint32_t n, uint64_t now_us)
{
	uint64_t full_u = t->burst * MILLION, want_u = n * MILLION, gain_u;

	/* A clock that went back brings nothing and loses nothing. */
	if (now_us > t->last_us) {
		if (__builtin_mul_overflow(
			    now_us - t->last_us, (uint64_t)t->rate, &gain_u) ||
			gain_u > full_u - t->level_u)
			t->level_u = full_u;
		else
			t->level_u += gain_u;
		t->last_us = now_us;
	}
	if (want_u > t->level_u)
		return false;
	t->level_u -= want_u;
	return true;
}
