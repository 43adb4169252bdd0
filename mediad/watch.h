/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What happens to a leg because time passes: silence, time-outs, reports,
 * keep-alives, and telling the control thread what happened. Each leg is
 * looked at every WATCH_PERIOD_US; there is no timer per leg.
 */
#ifndef MEDIAD_WATCH_H
#define MEDIAD_WATCH_H

#include "mediad/leg.h"

#define WATCH_PERIOD_US 100000u

enum leg_event_kind {
	LEG_EVENT_FIRST_PACKET,
	LEG_EVENT_LEARNED,
	LEG_EVENT_TIMED_OUT,
	LEG_EVENT_VIOLATION,
	LEG_EVENT_ONE_WAY,
	LEG_EVENT_COUNT,
};

/** Something sbc should know. */
struct leg_event {
	char call[IDENT_CALL_SIZE];
	enum side side;
	enum leg_event_kind kind;
	enum reason reason;
	struct addr source;
	struct leg_stats stats; /* LEG_EVENT_TIMED_OUT and ONE_WAY only */
};

/** Takes an event. @return false if it must be told again later. */
typedef bool (*watch_tell_fn)(void *arg, const struct leg_event *event);

/** Looks after one leg. */
void watch_leg(struct leg *l, uint64_t report_interval_us, uint64_t now_us,
	watch_tell_fn tell, void *arg);

#endif
