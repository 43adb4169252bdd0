/* SPDX-License-Identifier: Apache-2.0 */
/* What flow.c, flow_talk.c and flow_begin.c share. */
#ifndef FLOWD_FLOW_INNER_H
#define FLOWD_FLOW_INNER_H

#include "flowd/flow.h"

/* Above this what waits for sbc, or for the peer, stops the reading at the
 * other end. */
#define QUEUE_HIGH   65536u
#define VIA_GROWTH   1024u
#define SCRATCH_SIZE (BRIDGE_MESSAGE_MAX + VIA_GROWTH)

enum flow_event {
	FLOW_EV_CONNECTED,
	FLOW_EV_SECURED,
	FLOW_EV_END,
	FLOW_EV_GONE,
	FLOW_EV_COUNT,
};

/* flow.c */
bool flow_is_young(enum flow_state s);
void flow_set_state(struct flow *f, enum flow_event event);
/** Makes the timer fire at the next deadline at the latest. */
void flow_arm(struct flow *f);
void flow_on_timer(void *arg);
/** Neither sbc nor the peer itself has fallen behind. */
bool flow_may_read(const struct flow *f);
/** Watches for what the flow waits for now. */
void flow_watch(struct flow *f);
/** Ends it at once; the first reason counts. */
void flow_gone(struct flow *f, enum reason why, const char *detail);
/** ENDING: goes on with the end when everything is said. */
void flow_end_go_on(struct flow *f);
/** An error of the wire while a flow is open or ending. */
void flow_lost(struct flow *f, int err);
void flow_stop_waiting(struct flow *f);

/* flow_talk.c */
extern const struct bridge_events flow_bridge_events;
void flow_read(struct flow *f);
void flow_flush(struct flow *f);
/** ENDING: reads and throws away, until the peer ends, too. */
void flow_discard(struct flow *f);
/** The flow needs a bridge: now, if sbc is there. */
void flow_bridge_soon(struct flow *f);
void flows_on_bridge_timer(void *arg);

#endif
