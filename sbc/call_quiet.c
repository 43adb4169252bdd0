/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls in which nobody says anything to us for minutes: what they hold only
 * for the next message is let go (leg_sleep.h). Every PERIOD_US all calls are
 * looked at, and a number of them is dealt with, so that a thousand restored
 * calls do not stop the others.
 *
 * Decides: when a call is quiet. Called by calls.c.
 */
#include "config.h"

#include "sbc/call_inner.h"

#include "common/heap.h"
#include "sbc/leg_sleep.h"

#define PERIOD_US    (2 * CLOCK_US_PER_S)
/* Most calls that are ever short have ended by then; what comes again of the
 * set-up has come (RFC 3261 13.3.1.4: 32 s, in which it is answered without
 * us). */
#define QUIET_US     (20 * CLOCK_US_PER_S)
#define LEGS_AT_ONCE 1000u

static bool is_quiet(const struct call *c, uint64_t now)
{
	return c->state == CALL_UP && c->called != NULL && !c->unsaved &&
	       c->record.answer_us != 0 &&
	       now - c->record.answer_us >= QUIET_US;
}

void call_quiet_look(void *arg)
{
	struct calls *calls = arg;
	uint64_t now = clock_now_us();
	struct call *c;
	unsigned n = 0;

	TAILQ_FOREACH (c, &calls->all, link) {
		if (n >= LEGS_AT_ONCE)
			break;
		if (!is_quiet(c, now))
			continue;
		n += leg_sleep(c->caller.leg);
		n += leg_sleep(c->called->leg);
	}
	/* Nothing else may ask for memory for a long time. */
	heap_decay();
	loop_timer_set(calls->sbc->daemon.loop, calls->quiet, PERIOD_US);
}
