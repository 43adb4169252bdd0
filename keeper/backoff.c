/* SPDX-License-Identifier: Apache-2.0 */
#include "keeper/backoff.h"

uint64_t backoff_on_death(
	struct backoff *b, uint64_t started_us, uint64_t now_us)
{
	/* The slot that is written next holds the oldest of the three. */
	uint64_t *slot = &b->death_us[b->n_deaths % BACKOFF_DEATHS];

	*slot = now_us;
	b->n_deaths++;
	slot = &b->death_us[b->n_deaths % BACKOFF_DEATHS];
	if (now_us - started_us >= BACKOFF_WINDOW_US)
		b->delay_us = 0;
	if (b->delay_us) {
		b->delay_us *= 2;
		if (b->delay_us > BACKOFF_MAX_US)
			b->delay_us = BACKOFF_MAX_US;
	} else if (b->n_deaths >= BACKOFF_DEATHS &&
		   now_us - *slot < BACKOFF_WINDOW_US) {
		b->delay_us = BACKOFF_FIRST_US;
	}
	return b->delay_us;
}
