/* SPDX-License-Identifier: Apache-2.0 */
/*
 * When a daemon that died may start again. Pure: the caller brings the clock.
 *
 * A death is answered at once, because calls wait for it. Three deaths within
 * ten seconds mean that starting again does not help: then 1 s, 2 s, 4 s ... up
 * to 30 s lie between tries, until a start has lived for ten seconds.
 */
#ifndef KEEPER_BACKOFF_H
#define KEEPER_BACKOFF_H

#include <stdint.h>

#define BACKOFF_DEATHS    3
#define BACKOFF_WINDOW_US (10ull * 1000 * 1000)
#define BACKOFF_FIRST_US  (1ull * 1000 * 1000)
#define BACKOFF_MAX_US    (30ull * 1000 * 1000)

/** Zeroed = has never died. */
struct backoff {
	uint64_t death_us[BACKOFF_DEATHS]; /* the last ones, a ring */
	unsigned n_deaths;
	uint64_t delay_us; /* of the last try; 0 = at once */
};

/** Takes one death down.
 * @param started_us	when the process that died had been started.
 * @return microseconds to wait before the next start. */
uint64_t backoff_on_death(
	struct backoff *b, uint64_t started_us, uint64_t now_us);

#endif
