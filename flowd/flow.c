/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Life of a flow:
 *
 *	(sbc asks)			(a peer connects)
 *	    |				 |TLS	    |TCP
 *	CONNECTING --TCP stands, TLS--> HANDSHAKE   |
 *	    |				 |secured   |
 *	    +----TCP stands, plain------>+<---------+
 *					OPEN
 *	 any --gone--> GONE		 |end
 *					ENDING --all said, or too late--> GONE
 *
 * Bytes on their way, and where they wait:
 *
 *	peer -> wire -> [in] -> frame -> via -> [bridge queue] -> sbc
 *	peer <- wire <- [out] <- via <- frame <- [bridge in]   <- sbc
 *
 * A queue over its high mark stops the reading at its other end, so each flow
 * holds about one message and one mark per direction at most (flow_talk.c). A
 * codec that wraps messages (WebSocket) belongs between wire and frame: it
 * gets what flow_feed() gets and gives what flow_send() takes.
 *
 * One timer per flow is armed for the earliest of its deadlines, and looks
 * again when it fires: traffic moves deadlines without touching the timer.
 *
 * RFC 3261 18, RFC 5626 3.5.1 and 4.4.1 (keep-alive), RFC 5923 (a verified
 * connection is good in both directions: sbc's choice).
 */
#include "flowd/flow_inner.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/secret.h"
#include "common/stat.h"

/* A peer that takes nothing for so long is gone. */
#define STALL_US      (20 * CLOCK_US_PER_S)
#define ID_START_BITS 21
#define ID_COUNT_BITS 32
#define NO            FLOW_STATE_COUNT

/* Where each event leads; NO: it cannot be. FLOW_EV_CONNECTED of a plain flow
 * is FLOW_EV_SECURED at once. */
static const enum flow_state moves[FLOW_STATE_COUNT][FLOW_EV_COUNT] = {
	/*		    CONNECTED	    SECURED    END	    GONE */
	[FLOW_CONNECTING] = {FLOW_HANDSHAKE, FLOW_OPEN, FLOW_GONE, FLOW_GONE},
	[FLOW_HANDSHAKE] = {NO, FLOW_OPEN, FLOW_GONE, FLOW_GONE},
	[FLOW_OPEN] = {NO, NO, FLOW_ENDING, FLOW_GONE},
	[FLOW_ENDING] = {NO, NO, FLOW_ENDING, FLOW_GONE},
	[FLOW_GONE] = {NO, NO, FLOW_GONE, FLOW_GONE},
};

static const char *const state_names[] = {
	[FLOW_CONNECTING] = "connecting",
	[FLOW_HANDSHAKE] = "handshake",
	[FLOW_OPEN] = "open",
	[FLOW_ENDING] = "ending",
	[FLOW_GONE] = "gone",
};
_Static_assert(sizeof(state_names) / sizeof(state_names[0]) == FLOW_STATE_COUNT,
	"every state has its name");
static const char *const event_names[] = {
	[FLOW_EV_CONNECTED] = "connected",
	[FLOW_EV_SECURED] = "secured",
	[FLOW_EV_END] = "end",
	[FLOW_EV_GONE] = "gone",
};
_Static_assert(sizeof(event_names) / sizeof(event_names[0]) == FLOW_EV_COUNT,
	"every event has its name");

const char *flow_state_name(enum flow_state s)
{
	return (unsigned)s < FLOW_STATE_COUNT ? state_names[s] : "?";
}

bool flow_is_young(enum flow_state s)
{
	return s == FLOW_CONNECTING || s == FLOW_HANDSHAKE;
}

void flow_set_state(struct flow *f, enum flow_event event)
{
	enum flow_state old = f->state, new = moves[old][event];

	if (new == NO) {
		log_err("flow_event", LOG_UINT("flow", f->id),
			LOG_STR("state", state_names[old]),
			LOG_STR("event", event_names[event]));
		return;
	}
	if (new == old)
		return;
	log_peer_debug("flow_state", LOG_UINT("flow", f->id),
		LOG_STR("old", state_names[old]),
		LOG_STR("event", event_names[event]),
		LOG_STR("new", state_names[new]));
	f->state = new;
	f->since_us = clock_now_us();
	if (flow_is_young(old) && !flow_is_young(new))
		f->flows->n_handshakes--;
	stat_set(STAT_FLOW_HANDSHAKES, f->flows->n_handshakes);
}

/* ------------------------------------------------------------- deadlines */

static void earlier(uint64_t *at, enum reason *why, uint64_t since,
	uint64_t span, enum reason reason)
{
	if (since == 0 || span == 0 || (*at && *at <= since + span))
		return;
	*at = since + span;
	*why = reason;
}

/* The next deadline of a flow, 0 = none, and what it means to miss it. */
static uint64_t deadline(const struct flow *f, enum reason *why)
{
	const struct flow_limits *l = &f->flows->limits;
	uint64_t at = 0;

	switch (f->state) {
	case FLOW_CONNECTING:
		earlier(&at, why, f->since_us, l->handshake_us,
			REASON_FLOW_CONNECT_FAILED);
		break;
	case FLOW_HANDSHAKE:
		earlier(&at, why, f->since_us, l->handshake_us,
			REASON_FLOW_TLS_TIMEOUT);
		break;
	case FLOW_OPEN:
		earlier(&at, why, f->last_rx_us, l->idle_us, REASON_FLOW_IDLE);
		if (!f->got_message && f->request == 0)
			earlier(&at, why, f->since_us, l->first_message_us,
				REASON_FLOW_NO_MESSAGE);
		if (flow_may_read(f))
			earlier(&at, why, f->message_since_us, l->message_us,
				REASON_FLOW_SLOW_MESSAGE);
		earlier(&at, why, f->stalled_since_us, STALL_US,
			REASON_FLOW_BACKPRESSURE);
		break;
	case FLOW_ENDING:
		earlier(&at, why, f->since_us, FLOW_ENDING_US, f->why);
		break;
	case FLOW_GONE:
	case FLOW_STATE_COUNT:
		break;
	}
	return at;
}

void flow_arm(struct flow *f)
{
	enum reason why;
	uint64_t at = deadline(f, &why), now;

	if (at == 0 || (f->timer_at_us && f->timer_at_us <= at))
		return;
	now = clock_now_us();
	f->timer_at_us = at;
	loop_timer_set(f->flows->loop, f->timer, at > now ? at - now : 0);
}

void flow_on_timer(void *arg)
{
	struct flow *f = arg;
	enum reason why = REASON_NONE;
	uint64_t at;

	f->timer_at_us = 0;
	at = deadline(f, &why);
	if (at && at <= clock_now_us())
		flow_gone(f, why, "");
	else
		flow_arm(f);
}

/* ----------------------------------------------------------------- watching */

/* Neither sbc nor the peer itself has fallen behind. */
bool flow_may_read(const struct flow *f)
{
	return f->state == FLOW_OPEN && !f->read_paused &&
	       buf_len(&f->out) <= QUEUE_HIGH;
}

void flow_watch(struct flow *f)
{
	const struct wire *w = &f->wire;
	unsigned want = 0;

	switch (f->state) {
	case FLOW_CONNECTING:
		want = LOOP_WRITE;
		break;
	case FLOW_HANDSHAKE:
		want = w->read_wants_write ? LOOP_WRITE : LOOP_READ;
		break;
	case FLOW_OPEN:
	case FLOW_ENDING:
		if (f->state == FLOW_ENDING ? !f->read_paused
					    : flow_may_read(f))
			want |= LOOP_READ;
		if (buf_len(&f->out) > 0)
			want |= w->write_wants_read ? LOOP_READ : LOOP_WRITE;
		if (w->read_wants_write)
			want |= LOOP_WRITE;
		break;
	case FLOW_GONE:
	case FLOW_STATE_COUNT:
		return;
	}
	if (want == f->watching)
		return;
	if (loop_fd_set(f->flows->loop, f->watch, want)) {
		flow_gone(f, REASON_FLOW_FULL, "out of memory");
		return;
	}
	f->watching = want;
}

/* ---------------------------------------------------------------------- end */

static void flow_free(struct flow *f)
{
	loop_timer_free(f->flows->loop, &f->timer);
	face_unref(&f->face);
	free(f->tls_name);
	free(f);
}

static void on_reap(void *arg)
{
	struct flows *flows = arg;
	struct flow *f;

	while ((f = TAILQ_FIRST(&flows->gone))) {
		TAILQ_REMOVE(&flows->gone, f, all);
		flow_free(f);
	}
}

void flow_stop_waiting(struct flow *f)
{
	if (!f->is_waiting)
		return;
	TAILQ_REMOVE(&f->flows->waiting, f, waiting);
	f->is_waiting = false;
}

static void tell_end(struct flow *f)
{
	struct flows *flows = f->flows;

	reason_count(f->why);
	log_peer_info("flow_closed", LOG_UINT("flow", f->id),
		LOG_STR("reason", reason_text(f->why)),
		LOG_STR("detail", f->detail), LOG_ADDR("peer", &f->peer),
		LOG_ADDR("listen", &f->face->listen),
		LOG_STR("transport", transport_name(f->face->transport)),
		LOG_UINT("rx", f->n_rx), LOG_UINT("tx", f->n_tx));
	if (f->is_known || f->request)
		flows->events->on_closed(flows->ctx, f);
	else
		flows->events->on_refused(
			flows->ctx, &f->peer, f->face, f->why, f->detail);
}

static void set_why(struct flow *f, enum reason why, const char *detail)
{
	if (f->why != REASON_NONE)
		return;
	f->why = why;
	snprintf(f->detail, sizeof(f->detail), "%s", detail);
}

void flow_gone(struct flow *f, enum reason why, const char *detail)
{
	struct flows *flows = f->flows;

	if (f->state == FLOW_GONE)
		return;
	set_why(f, why, detail);
	flow_set_state(f, FLOW_EV_GONE);
	loop_timer_stop(flows->loop, f->timer);
	if (!f->said_end && f->is_secured)
		wire_say_end(&f->wire);
	loop_fd_free(flows->loop, &f->watch);
	wire_close(&f->wire);
	buf_clear(&f->in);
	buf_clear(&f->out);
	flow_stop_waiting(f);
	bridge_done(&f->bridge);
	sources_give(f->source, clock_now_us());
	f->source = NULL;
	table_remove(&flows->table, &f->node);
	TAILQ_REMOVE(&flows->all, f, all);
	flows->n_flows--;
	stat_set(STAT_FLOWS, flows->n_flows);
	TAILQ_INSERT_TAIL(&flows->gone, f, all);
	loop_timer_set(flows->loop, flows->reap_timer, 0);
	tell_end(f);
}

/* ENDING: is everything said? To sbc, if the peer has gone; sbc may even be on
 * its way back. To the peer otherwise; then its end is waited for only where we
 * spoke last: closing earlier would destroy the answer on its way. */
void flow_end_go_on(struct flow *f)
{
	if (f->state != FLOW_ENDING)
		return;
	if (f->why == REASON_FLOW_CLOSED_BY_PEER) {
		if (f->bridge.n_bytes == 0)
			flow_gone(f, f->why, "");
		return;
	}
	if (buf_len(&f->out) > 0 || f->said_end)
		return;
	f->said_end = true;
	wire_say_end(&f->wire);
}

void flow_end(struct flow *f, enum reason why, const char *detail)
{
	if (f->state == FLOW_GONE || f->state == FLOW_ENDING)
		return;
	set_why(f, why, detail);
	if (f->state != FLOW_OPEN) {
		flow_gone(f, why, detail);
		return;
	}
	flow_set_state(f, FLOW_EV_END);
	buf_clear(&f->in);
	f->read_paused = why == REASON_FLOW_CLOSED_BY_PEER;
	if (f->read_paused)
		buf_clear(&f->out);
	flow_end_go_on(f);
	if (f->state == FLOW_GONE)
		return;
	flow_arm(f);
	flow_watch(f);
}

/* An error of the wire while a flow is open or ending. */
void flow_lost(struct flow *f, int err)
{
	switch (err) {
	case ERR_CLOSED:
		if (f->state == FLOW_OPEN)
			flow_end(f, REASON_FLOW_CLOSED_BY_PEER, wire_problem());
		else
			flow_gone(f, f->why, "");
		break;
	case ERR_TIMEOUT:
		flow_gone(f, REASON_FLOW_TIMED_OUT, wire_problem());
		break;
	default:
		flow_gone(f, REASON_FLOW_BROKEN, wire_problem());
		break;
	}
}

/* ---------------------------------------------------------------------- all */

int flows_new(struct loop *loop, struct sources *sources, size_t max_flows,
	const struct flow_events *events, void *ctx, struct flows **flows_out)
{
	struct flows *flows = calloc(1, sizeof(*flows));
	uint32_t start;

	if (!flows)
		return ERR_NOMEM;
	flows->loop = loop;
	flows->sources = sources;
	flows->events = events;
	flows->ctx = ctx;
	TAILQ_INIT(&flows->all);
	TAILQ_INIT(&flows->gone);
	TAILQ_INIT(&flows->waiting);
	/* An identity never comes twice, not even after a restart, and fits
	 * into what JSON readers take for an integer. */
	secret_random_bytes(&start, sizeof(start));
	flows->next_id =
		((uint64_t)(start >> (32 - ID_START_BITS)) << ID_COUNT_BITS) +
		1;
	secret_random_bytes(flows->branch_keys, sizeof(flows->branch_keys));
	flows->scratch = malloc(SCRATCH_SIZE);
	if (!flows->scratch || table_init(&flows->table, max_flows) ||
		loop_timer_new(loop, on_reap, flows, &flows->reap_timer) ||
		loop_timer_new(loop, flows_on_bridge_timer, flows,
			&flows->bridge_timer)) {
		flows_free(&flows);
		return ERR_NOMEM;
	}
	*flows_out = flows;
	return 0;
}

void flows_free(struct flows **flows_ref)
{
	struct flows *flows = *flows_ref;
	struct flow *f;

	*flows_ref = NULL;
	if (!flows)
		return;
	while ((f = TAILQ_FIRST(&flows->all)))
		flow_gone(f, REASON_FLOW_SHUTDOWN, "");
	if (flows->reap_timer)
		on_reap(flows);
	loop_timer_free(flows->loop, &flows->reap_timer);
	loop_timer_free(flows->loop, &flows->bridge_timer);
	if (flows->table.buckets)
		table_done(&flows->table);
	free(flows->scratch);
	free(flows);
}

void flows_set_limits(struct flows *flows, const struct flow_limits *limits)
{
	struct flow *f;

	flows->limits = *limits;
	TAILQ_FOREACH (f, &flows->all, all) {
		f->timer_at_us = 0;
		flow_arm(f);
	}
}

struct flow *flows_find(struct flows *flows, uint64_t id)
{
	struct table_node *node = table_find(&flows->table, &id, sizeof(id));

	return node ? TABLE_ENTRY(node, struct flow, node) : NULL;
}

void flows_end_all(struct flows *flows, enum reason why)
{
	struct flow *f, *next;

	for (f = TAILQ_FIRST(&flows->all); f; f = next) {
		next = TAILQ_NEXT(f, all);
		flow_end(f, why, "");
	}
}
