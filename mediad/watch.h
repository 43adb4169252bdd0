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
	LEG_EVENT_NONE,
	LEG_EVENT_QUALITY,
	LEG_EVENT_COUNT,
};

/** Something sbc should know. */
struct leg_event {
	char call[IDENT_CALL_SIZE];
	enum side side;
	enum leg_event_kind kind;
	enum reason reason;
	struct addr source;
	uint32_t mos_centi;     /* LEG_EVENT_QUALITY: of the last window */
	struct leg_stats stats; /* TIMED_OUT, ONE_WAY, NONE and QUALITY only */
};

/** Times and limits of all legs. */
struct watch_rules {
	uint64_t report_interval_us;
	uint64_t silence_us;
	uint64_t keepalive_us;
	uint32_t mos_min_centi; /* 0 = none */
};

/** Takes an event. @return false if it must be told again later. */
typedef bool (*watch_tell_fn)(void *arg, const struct leg_event *event);

/** An event of this leg without figures. */
struct leg_event watch_event(
	const struct leg *l, enum leg_event_kind kind, enum reason why);

/** Looks after one leg. */
void watch_leg(struct leg *l, const struct watch_rules *rules, uint64_t now_us,
	watch_tell_fn tell, void *arg);

#endif
