/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How long things may take: each state of a call, and the call itself, by the
 * settings, its trunk or account, and the minutes that its caller has left.
 *
 * Decides: the times. What happens when one is over is in call.c's table.
 */
#include "config.h"

#include "sbc/call_inner.h"

#define FACTS_US      (6 * CLOCK_US_PER_S)  /* two questions of 2 s each */
#define LOCATING_US   (12 * CLOCK_US_PER_S) /* dns_timeout_ms is 10 s at most */
#define PORTS_US      (3 * CLOCK_US_PER_S)  /* mediad has 2 s */
#define TRYING_S      8u /* a target that says nothing at all */
#define CONFIRMING_US (40 * CLOCK_US_PER_S) /* the stack gives up at 32 s */
#define CHANGING_US   (40 * CLOCK_US_PER_S)
#define ENDING_US     (3 * CLOCK_US_PER_S)
#define DONE_US       (40 * CLOCK_US_PER_S)
#define METER_US      (10 * CLOCK_US_PER_S) /* between looks at the minutes */

uint64_t call_life_state_us(const struct call *c, enum call_state s)
{
	uint64_t seconds;

	switch (s) {
	case CALL_FACTS:
		return FACTS_US;
	case CALL_LOCATING:
		return LOCATING_US;
	case CALL_PORTS:
	case CALL_ANSWERING:
		return PORTS_US;
	case CALL_TRYING:
		seconds = c->decision != NULL ? c->decision->timeout_s : 0;
		return (seconds != 0 ? seconds : TRYING_S) * CLOCK_US_PER_S;
	case CALL_RINGING:
		seconds = settings_number(
			c->settings, "ring_timeout_s", 120, 5, 3600);
		if (!TAILQ_EMPTY(&c->parties)) {
			const struct trunk *t =
				TAILQ_LAST(&c->parties, party_head)->trunk;

			if (t != NULL && t->row->ring_timeout_s != 0)
				seconds = t->row->ring_timeout_s;
		}
		if (c->q_below != 0) {
			uint64_t serial = settings_number(
				c->settings, "ring_serial_s", 15, 1, 600);

			seconds = serial < seconds ? serial : seconds;
		}
		return seconds * CLOCK_US_PER_S;
	case CALL_CONFIRMING:
		return CONFIRMING_US;
	case CALL_CHANGING:
		return CHANGING_US;
	case CALL_ENDING:
		return ENDING_US;
	case CALL_DONE:
		return DONE_US;
	case CALL_UP:
	case CALL_STATE_COUNT:
		break;
	}
	return 0;
}

/* How long the call may last; 0 = for ever. */
static uint64_t duration_us(const struct call *c)
{
	const struct party *sides[2] = {&c->caller, c->called};
	uint64_t limit =
		settings_number(c->settings, "max_duration_s", 0, 0, 604800);

	for (size_t i = 0; i < 2; i++) {
		const struct party *p = sides[i];
		uint64_t own = p->trunk != NULL ? p->trunk->row->max_duration_s
			       : p->account != NULL
				       ? p->account->row->max_duration_s
				       : 0;

		if (own != 0 && (limit == 0 || own < limit))
			limit = own;
	}
	return limit * CLOCK_US_PER_S;
}

/* Other calls of the caller use its minutes too, and begin and end: they are
 * looked at again and again. */
void call_life_set(struct call *c)
{
	uint64_t limit = duration_us(c);
	uint64_t talked_us = clock_now_us() - c->record.answer_us;
	uint64_t wait = UINT64_MAX, left;

	call_limit_talk(c);
	left = call_limit_left_us(c);
	if (limit != 0)
		wait = limit > talked_us ? limit - talked_us : 0;
	if (left != UINT64_MAX && left > METER_US)
		left = METER_US;
	if (left < wait)
		wait = left;
	if (wait != UINT64_MAX)
		loop_timer_set(c->sbc->daemon.loop, c->life, wait);
	else
		loop_timer_stop(c->sbc->daemon.loop, c->life);
}

enum reason call_life_over(struct call *c)
{
	uint64_t left = call_limit_left_us(c), limit = duration_us(c);

	if (left == 0)
		return REASON_LIMIT_ACCOUNT_DAY;
	if (left == UINT64_MAX ||
		(limit != 0 && clock_now_us() - c->record.answer_us >= limit))
		return REASON_CALL_MAX_DURATION;
	return REASON_NONE;
}
