/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sound is missed only from a side that signaling obliges to send, and not from
 * one that sends comfort noise: it may be silent for as long as its user is.
 * Quality is judged over windows of some seconds by what was lost in each, so
 * that a bad minute of a long call shows; figures of the whole call would hide
 * it. Called by watch.c on the worker's thread.
 */
#include "mediad/trouble.h"

#include "mediad/quality.h"

/* The other side talks if it was heard so lately. */
#define ALIVE_US          1000000u
/* At most one line and one event about violations per leg and time. */
#define VIOLATION_US      10000000u
#define QUALITY_WINDOW_US 5000000u
/* Fewer packets tell nothing: a held call, or the end of a pause. */
#define QUALITY_PACKETS   50u
/* Better by so much ends a bad time: no event for each turn around the limit.
 */
#define QUALITY_MARGIN    20u

static bool is_silent(
	const struct leg *l, const struct watch_rules *rules, uint64_t now_us)
{
	uint64_t since = l->must_send_since_us > l->last_rx_us
				 ? l->must_send_since_us
				 : l->last_rx_us;

	return leg_is_open(l) && l->config.must_send && !l->config.pauses &&
	       now_us - since > rules->silence_us;
}

static void watch_silence(struct leg *l, const struct watch_rules *rules,
	uint64_t now_us, watch_tell_fn tell, void *arg)
{
	const struct leg *o = l->other;
	struct leg_event e;

	if (!is_silent(l, rules, now_us)) {
		l->one_way = l->no_sound = false;
		return;
	}
	if (o->started && now_us - o->last_rx_us <= ALIVE_US && !l->one_way) {
		e = watch_event(l, LEG_EVENT_ONE_WAY, REASON_MEDIA_ONE_WAY);
		e.source = l->refused;
		leg_stats(l, now_us, &e.stats);
		l->one_way = tell(arg, &e);
	} else if (l->side == SIDE_CALLER && is_silent(o, rules, now_us) &&
		   !l->no_sound) {
		e = watch_event(l, LEG_EVENT_NONE, REASON_MEDIA_NONE);
		e.source = l->refused;
		leg_stats(l, now_us, &e.stats);
		l->no_sound = tell(arg, &e);
	}
}

static void begin_window(struct leg *l, uint64_t now_us)
{
	l->window.since_us = now_us;
	l->window.expected = source_expected(&l->rx);
	l->window.lost = source_lost(&l->rx);
}

static uint32_t window_mos(const struct leg *l)
{
	uint64_t lost = source_lost(&l->rx);
	struct quality_input in = {
		.codec = l->codec,
		.expected = source_expected(&l->rx) - l->window.expected,
		/* A packet that was missed in the window before has come. */
		.lost = lost > l->window.lost ? lost - l->window.lost : 0,
		.jitter_us = source_jitter_us(&l->rx),
		.rtt_us = l->rtt_us,
		.ptime_us = l->ptime_us,
	};

	return in.expected < QUALITY_PACKETS ? 0 : quality_mos_centi(&in);
}

static void watch_quality(struct leg *l, const struct watch_rules *rules,
	uint64_t now_us, watch_tell_fn tell, void *arg)
{
	struct leg_event e;
	uint32_t mos;

	if (rules->mos_min_centi == 0 || !l->started)
		return;
	if (l->window.since_us == 0)
		begin_window(l, now_us);
	if (now_us - l->window.since_us < QUALITY_WINDOW_US)
		return;
	mos = window_mos(l);
	begin_window(l, now_us);
	if (mos == 0)
		return;
	if (mos >= rules->mos_min_centi + QUALITY_MARGIN)
		l->poor = false;
	if (mos >= rules->mos_min_centi || l->poor)
		return;
	e = watch_event(l, LEG_EVENT_QUALITY, REASON_MEDIA_QUALITY);
	e.mos_centi = mos;
	leg_stats(l, now_us, &e.stats);
	l->poor = tell(arg, &e);
}

/* Drops that an honest peer does not cause. */
static const enum reason violations[] = {
	REASON_RTP_RATE,
	REASON_RTP_PAYLOAD_TYPE,
	REASON_RTP_SIZE,
	REASON_RTP_AUTH,
	REASON_RTP_PLAIN,
	REASON_RTP_SSRC,
	REASON_RTP_CLASS,
};

static uint32_t count_violations(const struct leg *l, enum reason *worst_out)
{
	uint32_t most = 0, sum = 0;

	for (size_t i = 0; i < sizeof(violations) / sizeof(violations[0]);
		i++) {
		uint32_t n = l->n.drops[violations[i] - REASON_RTP_OK];

		sum += n;
		if (n > most) {
			most = n;
			*worst_out = violations[i];
		}
	}
	return sum;
}

void trouble_resume(struct leg *l)
{
	enum reason worst = REASON_NONE;

	l->violations = count_violations(l, &worst);
}

static void watch_violations(
	struct leg *l, uint64_t now_us, watch_tell_fn tell, void *arg)
{
	enum reason worst = REASON_NONE;
	struct leg_event e;
	uint32_t sum;

	if (now_us - l->violation_at_us < VIOLATION_US)
		return;
	sum = count_violations(l, &worst);
	if (sum == l->violations)
		return;
	e = watch_event(l, LEG_EVENT_VIOLATION, worst);
	if (tell(arg, &e)) {
		l->violations = sum;
		l->violation_at_us = now_us;
	}
}

void trouble_watch(struct leg *l, const struct watch_rules *rules,
	uint64_t now_us, watch_tell_fn tell, void *arg)
{
	watch_silence(l, rules, now_us, tell, arg);
	watch_quality(l, rules, now_us, tell, arg);
	watch_violations(l, now_us, tell, arg);
}
