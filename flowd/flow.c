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
 * holds about one message and one mark per direction at most. A codec that
 * wraps messages (WebSocket) belongs between wire and frame: it gets what
 * flow_feed() gets and gives what flow_send() takes.
 *
 * One timer per flow is armed for the earliest of its deadlines, and looks
 * again when it fires: traffic moves deadlines without touching the timer.
 *
 * RFC 3261 18, RFC 5626 3.5.1 and 4.4.1 (keep-alive), RFC 5923 (a verified
 * connection is good in both directions: sbc's choice).
 */
#include "flowd/flow.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/secret.h"
#include "common/stat.h"
#include "flowd/answer.h"
#include "flowd/via.h"

#define READ_SIZE         16384u
#define READ_ROUNDS       4u
/* Marks of what waits for sbc and for the peer. */
#define QUEUE_HIGH        65536u
#define QUEUE_LOW         16384u
/* A peer that takes nothing for so long is gone. */
#define STALL_US          (20 * CLOCK_US_PER_S)
#define VIA_GROWTH        1024u
#define SCRATCH_SIZE      (BRIDGE_MESSAGE_MAX + VIA_GROWTH)
/* Bridges that are opened per turn of the loop after sbc came back. */
#define BRIDGE_BATCH      64u
#define BRIDGE_PAUSE_US   5000u
#define BRIDGE_RETRY_US   100000u
/* A flow whose bridge breaks so often in a row, with sbc there, makes sbc
 * choke on it. */
#define BRIDGE_BREAKS_MAX 5u
#define ID_START_BITS     21
#define ID_COUNT_BITS     32

enum flow_event { EV_CONNECTED, EV_SECURED, EV_END, EV_GONE, EV_COUNT };
#define NO FLOW_STATE_COUNT

/* Where each event leads; NO: it cannot be. EV_CONNECTED of a plain flow is
 * EV_SECURED at once. */
static const enum flow_state moves[FLOW_STATE_COUNT][EV_COUNT] = {
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
	[EV_CONNECTED] = "connected",
	[EV_SECURED] = "secured",
	[EV_END] = "end",
	[EV_GONE] = "gone",
};
_Static_assert(sizeof(event_names) / sizeof(event_names[0]) == EV_COUNT,
	"every event has its name");

const char *flow_state_name(enum flow_state s)
{
	return (unsigned)s < FLOW_STATE_COUNT ? state_names[s] : "?";
}

static void flow_gone(struct flow *f, enum reason why, const char *detail);
static void flow_read(struct flow *f);

static bool is_young(enum flow_state s)
{
	return s == FLOW_CONNECTING || s == FLOW_HANDSHAKE;
}

static void set_state(struct flow *f, enum flow_event event)
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
	if (is_young(old) && !is_young(new))
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
		if (!f->read_paused)
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

static void arm(struct flow *f)
{
	enum reason why;
	uint64_t at = deadline(f, &why), now;

	if (at == 0 || (f->timer_at_us && f->timer_at_us <= at))
		return;
	now = clock_now_us();
	f->timer_at_us = at;
	loop_timer_set(f->flows->loop, f->timer, at > now ? at - now : 0);
}

static void on_timer(void *arg)
{
	struct flow *f = arg;
	enum reason why = REASON_NONE;
	uint64_t at;

	f->timer_at_us = 0;
	at = deadline(f, &why);
	if (at && at <= clock_now_us())
		flow_gone(f, why, "");
	else
		arm(f);
}

/* ----------------------------------------------------------------- watching */

/* Neither sbc nor the peer itself has fallen behind. */
static bool may_read(const struct flow *f)
{
	return f->state == FLOW_OPEN && !f->read_paused &&
	       buf_len(&f->out) <= QUEUE_HIGH;
}

static void flow_watch(struct flow *f)
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
		if (f->state == FLOW_ENDING ? !f->read_paused : may_read(f))
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

static void stop_waiting(struct flow *f)
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

static void flow_gone(struct flow *f, enum reason why, const char *detail)
{
	struct flows *flows = f->flows;

	if (f->state == FLOW_GONE)
		return;
	set_why(f, why, detail);
	set_state(f, EV_GONE);
	loop_timer_stop(flows->loop, f->timer);
	if (!f->said_end && f->is_secured)
		wire_say_end(&f->wire);
	loop_fd_free(flows->loop, &f->watch);
	wire_close(&f->wire);
	buf_clear(&f->in);
	buf_clear(&f->out);
	stop_waiting(f);
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
static void end_go_on(struct flow *f)
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
	set_state(f, EV_END);
	buf_clear(&f->in);
	f->read_paused = why == REASON_FLOW_CLOSED_BY_PEER;
	if (f->read_paused)
		buf_clear(&f->out);
	end_go_on(f);
	if (f->state == FLOW_GONE)
		return;
	arm(f);
	flow_watch(f);
}

/* An error of the wire while a flow is open or ending. */
static void flow_lost(struct flow *f, int err)
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

/* ------------------------------------------------------------------ to peer */

static void note_progress(struct flow *f, bool progress)
{
	if (buf_len(&f->out) == 0)
		f->stalled_since_us = 0;
	else if (progress || f->stalled_since_us == 0)
		f->stalled_since_us = clock_now_us();
	if (buf_len(&f->out) > 0)
		arm(f);
}

/* Whole messages and keep-alives only. */
static void flow_send(struct flow *f, const uint8_t *bytes, size_t len)
{
	size_t at = 0;

	while (buf_len(&f->out) == 0 && at < len) {
		int n = wire_write(&f->wire, bytes + at, len - at);

		if (n == ERR_AGAIN)
			break;
		if (n < 0) {
			flow_lost(f, n);
			return;
		}
		at += (size_t)n;
	}
	if (buf_add(&f->out, bytes + at, len - at)) {
		flow_gone(f, REASON_FLOW_FULL, "out of memory");
		return;
	}
	note_progress(f, at > 0);
	if (buf_len(&f->out) > QUEUE_HIGH)
		bridge_pause(&f->bridge, true);
	flow_watch(f);
}

static void flow_flush(struct flow *f)
{
	bool progress = false;

	while (buf_len(&f->out) > 0) {
		int n = wire_write(
			&f->wire, buf_bytes(&f->out), buf_len(&f->out));

		if (n == ERR_AGAIN)
			break;
		if (n < 0) {
			flow_lost(f, n);
			return;
		}
		buf_consume(&f->out, (size_t)n);
		progress = true;
	}
	note_progress(f, progress);
	if (f->state == FLOW_OPEN && buf_len(&f->out) <= QUEUE_LOW)
		bridge_pause(&f->bridge, false);
	end_go_on(f);
}

/* ------------------------------------------------------------------- bridge */

static void want_bridge(struct flow *f)
{
	struct flows *flows = f->flows;

	if (f->is_waiting || bridge_is_open(&f->bridge) ||
		(f->state != FLOW_OPEN && f->state != FLOW_ENDING))
		return;
	TAILQ_INSERT_TAIL(&flows->waiting, f, waiting);
	f->is_waiting = true;
}

/* @return whether sbc can be asked for more. */
static bool open_bridge(struct flow *f)
{
	struct flows *flows = f->flows;

	if (bridge_open(&f->bridge, &flows->sbc))
		return false;
	if (flows->events->on_opened(flows->ctx, f)) {
		bridge_close(&f->bridge);
		return false;
	}
	f->is_known = true;
	stop_waiting(f);
	if (buf_len(&f->out) > QUEUE_LOW)
		bridge_pause(&f->bridge, true);
	return true;
}

static void open_bridges(struct flows *flows)
{
	struct flow *f;

	for (unsigned i = 0; i < BRIDGE_BATCH; i++) {
		f = TAILQ_FIRST(&flows->waiting);
		if (!f || !flows->bridging)
			return;
		if (!open_bridge(f)) {
			loop_timer_set(flows->loop, flows->bridge_timer,
				BRIDGE_RETRY_US);
			return;
		}
	}
	if (!TAILQ_EMPTY(&flows->waiting))
		loop_timer_set(
			flows->loop, flows->bridge_timer, BRIDGE_PAUSE_US);
}

static void on_bridge_timer(void *arg)
{
	open_bridges(arg);
}

/* The usual case: one new flow, and sbc there. */
static void bridge_soon(struct flow *f)
{
	struct flows *flows = f->flows;
	bool alone = TAILQ_EMPTY(&flows->waiting);

	want_bridge(f);
	if (alone && flows->bridging)
		open_bridges(flows);
}

static void on_bridge_message(
	void *ctx, const uint8_t *bytes, size_t len, size_t header_len)
{
	struct flow *f = ctx;
	struct flows *flows = f->flows;
	char sent_by[VIA_SENT_BY_SIZE];
	int n;

	f->n_bridge_breaks = 0;
	if (f->state != FLOW_OPEN)
		return;
	if (via_is_response(bytes, len)) {
		n = via_pop(
			bytes, len, header_len, flows->scratch, SCRATCH_SIZE);
	} else {
		n = via_replace(bytes, len, header_len,
			transport_name(f->face->transport), f->face->advertised,
			sent_by, flows->scratch, SCRATCH_SIZE);
		if (n > 0 && strlen(sent_by) < sizeof(f->sbc_sent_by))
			memcpy(f->sbc_sent_by, sent_by, strlen(sent_by) + 1);
	}
	if (n < 0) {
		log_peer_warning(
			"bridge_message", LOG_UINT("flow", f->id), LOG_ERR(n));
		reason_count(REASON_FLOW_BRIDGE);
		return;
	}
	f->n_tx++;
	stat_add(STAT_FLOW_MSG_TX, 1);
	flow_send(f, flows->scratch, (size_t)n);
}

static void on_bridge_drain(void *ctx)
{
	struct flow *f = ctx;

	if (f->state == FLOW_ENDING) {
		end_go_on(f);
		return;
	}
	if (!f->read_paused || f->bridge.n_bytes > QUEUE_LOW)
		return;
	f->read_paused = false;
	/* The time that sbc took is not the peer's. */
	if (f->message_since_us)
		f->message_since_us = clock_now_us();
	flow_read(f);
}

static void on_bridge_down(void *ctx, bool broken)
{
	struct flow *f = ctx;
	struct flows *flows = f->flows;

	if (f->state != FLOW_OPEN && f->state != FLOW_ENDING)
		return;
	if (broken)
		log_err("bridge_broken", LOG_UINT("flow", f->id));
	if (flows->bridging && ++f->n_bridge_breaks >= BRIDGE_BREAKS_MAX) {
		flow_end(f, REASON_FLOW_BRIDGE, "");
		return;
	}
	want_bridge(f);
	loop_timer_set(flows->loop, flows->bridge_timer, BRIDGE_RETRY_US);
}

static const struct bridge_events bridge_events = {
	.on_message = on_bridge_message,
	.on_drain = on_bridge_drain,
	.on_down = on_bridge_down,
};

void flows_bridge_up(struct flows *flows, const struct addr *sbc)
{
	bool moved = !flows->bridging || !addr_equal(&flows->sbc, sbc);

	if (!moved)
		return;
	flows_bridge_down(flows);
	flows->bridging = true;
	flows->sbc = *sbc;
	open_bridges(flows);
}

void flows_bridge_down(struct flows *flows)
{
	struct flow *f, *next;

	flows->bridging = false;
	loop_timer_stop(flows->loop, flows->bridge_timer);
	for (f = TAILQ_FIRST(&flows->all); f; f = next) {
		next = TAILQ_NEXT(f, all);
		f->n_bridge_breaks = 0;
		bridge_close(&f->bridge);
		if (f->is_known)
			want_bridge(f);
		else if (f->request) /* who asked for it has gone */
			flow_gone(f, REASON_FLOW_SHUTDOWN, "");
	}
}

/* ---------------------------------------------------------------- from peer */

/* The name of a transaction between us and sbc: the same for a request, its
 * ACK and its CANCEL, and another one for each flow. */
static void make_branch(
	const struct flow *f, const uint8_t *id, size_t len, char text[33])
{
	uint8_t key[16];
	uint64_t hash[2];

	for (unsigned i = 0; i < 2; i++) {
		memcpy(key, f->flows->branch_keys[i], sizeof(key));
		for (unsigned k = 0; k < 8; k++)
			key[k] ^= (uint8_t)(f->id >> (8 * k));
		hash[i] = table_siphash(key, id, len);
	}
	snprintf(text, 33, "%016llx%016llx", (unsigned long long)hash[0],
		(unsigned long long)hash[1]);
}

/* @return length in the scratch, or an error. */
static int rewrite_for_sbc(
	struct flow *f, const uint8_t *bytes, size_t len, size_t header_len)
{
	char sent_by[ADDR_TEXT_SIZE], branch[33];
	struct addr own = f->flows->sbc;
	const uint8_t *id;
	size_t id_len;
	struct via via;
	int err;

	if (via_is_response(bytes, len))
		return via_replace(bytes, len, header_len, "TCP",
			f->sbc_sent_by[0] ? f->sbc_sent_by : "127.0.0.1", NULL,
			f->flows->scratch, SCRATCH_SIZE);
	err = via_find(bytes, header_len, &via);
	if (err)
		return err;
	via_identity(bytes, &via, &id, &id_len);
	make_branch(f, id, id_len, branch);
	own.port = f->bridge.local_port;
	return via_push(bytes, len, header_len,
		own.family ? addr_format(&own, sent_by) : "127.0.0.1", branch,
		&f->peer, f->flows->scratch, SCRATCH_SIZE);
}

static void refuse_message(struct flow *f, enum reason why,
	const uint8_t *bytes, const struct frame *frame)
{
	size_t len = frame->header_len ? frame->header_len : frame->scanned;
	int n = answer_build(bytes, len, reason_sip(why), &f->peer,
		f->flows->scratch, SCRATCH_SIZE);

	if (n > 0)
		flow_send(f, f->flows->scratch, (size_t)n);
	flow_end(f, why, "");
}

static void take_message(
	struct flow *f, const uint8_t *bytes, size_t len, size_t header_len)
{
	int n;

	f->got_message = true;
	f->n_rx++;
	stat_add(STAT_FLOW_MSG_RX, 1);
	if (!bridge_is_open(&f->bridge))
		bridge_soon(f);
	n = rewrite_for_sbc(f, bytes, len, header_len);
	if (n < 0) {
		flow_end(f, REASON_FLOW_BROKEN, "the top Via cannot be read");
		return;
	}
	if (bridge_send(&f->bridge, f->flows->scratch, (size_t)n)) {
		flow_gone(f, REASON_FLOW_FULL, "out of memory");
		return;
	}
	if (f->bridge.n_bytes > QUEUE_HIGH)
		f->read_paused = true;
}

/* Messages out of bytes. @return how many bytes were consumed. */
static size_t flow_take(struct flow *f, const uint8_t *bytes, size_t len)
{
	size_t at = 0;

	while (at < len && f->state == FLOW_OPEN && !f->read_paused &&
		buf_len(&f->out) <= QUEUE_HIGH) {
		size_t n = 0;

		switch (frame_next(&f->frame, &f->flows->limits.frame,
			bytes + at, len - at, &n)) {
		case FRAME_MORE:
			return at;
		case FRAME_PING:
			stat_add(STAT_FLOW_PINGS, 1);
			flow_send(f, (const uint8_t *)"\r\n", 2);
			break;
		case FRAME_PONG:
			break;
		case FRAME_MESSAGE:
			take_message(f, bytes + at, n, f->frame.header_len);
			f->message_since_us = 0;
			break;
		case FRAME_TOO_BIG:
			refuse_message(
				f, REASON_FLOW_TOO_BIG, bytes + at, &f->frame);
			return len;
		case FRAME_LENGTH:
			refuse_message(
				f, REASON_FLOW_LENGTH, bytes + at, &f->frame);
			return len;
		case FRAME_BROKEN:
		case FRAME_EVENT_COUNT:
			flow_end(f, REASON_FLOW_BROKEN, "");
			return len;
		}
		at += n;
	}
	return at;
}

static void note_begun(struct flow *f)
{
	if (f->state != FLOW_OPEN)
		return;
	if (!frame_is_begun(buf_bytes(&f->in), buf_len(&f->in))) {
		f->message_since_us = 0;
		return;
	}
	if (f->message_since_us == 0)
		f->message_since_us = clock_now_us();
	arm(f);
}

static void take_buffered(struct flow *f)
{
	size_t n = flow_take(f, buf_bytes(&f->in), buf_len(&f->in));

	/* What has ended has no buffer any more. */
	if (f->state == FLOW_OPEN && n > 0)
		buf_consume(&f->in, n);
}

static void flow_feed(struct flow *f, const uint8_t *bytes, size_t len)
{
	size_t n = 0;
	bool fresh = buf_len(&f->in) == 0;

	if (fresh)
		n = flow_take(f, bytes, len);
	if (f->state != FLOW_OPEN)
		return;
	if (buf_add(&f->in, bytes + n, len - n)) {
		flow_gone(f, REASON_FLOW_FULL, "out of memory");
		return;
	}
	if (!fresh)
		take_buffered(f);
	note_begun(f);
}

/* Reads until there is nothing more, or somebody has to wait. */
static void flow_read(struct flow *f)
{
	static uint8_t bytes[READ_SIZE]; /* one thread, not used in nesting */

	if (may_read(f) && buf_len(&f->in) > 0) {
		take_buffered(f);
		note_begun(f);
	}
	for (unsigned i = 0; may_read(f); i++) {
		int n;

		if (i >= READ_ROUNDS && !wire_has_pending(&f->wire))
			break;
		n = wire_read(&f->wire, bytes, sizeof(bytes));
		if (n == ERR_AGAIN)
			break;
		if (n < 0) {
			flow_lost(f, n);
			return;
		}
		f->last_rx_us = clock_now_us();
		flow_feed(f, bytes, (size_t)n);
	}
	flow_watch(f);
}

/* ENDING: what still comes is thrown away, until the peer ends, too. */
static void flow_discard(struct flow *f)
{
	uint8_t bytes[4096];
	int n = ERR_AGAIN;

	for (unsigned i = 0; i < 4 * READ_ROUNDS; i++) {
		n = wire_read(&f->wire, bytes, sizeof(bytes));
		if (n < 0)
			break;
	}
	if (n < 0 && n != ERR_AGAIN)
		flow_gone(f, f->why, "");
}

/* -------------------------------------------------------------------- begin */

static void flow_open(struct flow *f)
{
	set_state(f, EV_SECURED);
	f->last_rx_us = f->since_us;
	f->wall_opened_us = clock_wall_us();
	reason_count(REASON_FLOW_OPENED);
	stat_add(STAT_FLOWS_TOTAL, 1);
	log_peer_info("flow_open", LOG_UINT("flow", f->id),
		LOG_ADDR("peer", &f->peer),
		LOG_ADDR("listen", &f->face->listen),
		LOG_STR("transport", transport_name(f->face->transport)),
		LOG_STR("tls",
			f->wire.ssl ? SSL_get_version(f->wire.ssl) : ""));
	f->timer_at_us = 0;
	arm(f);
	if (f->request)
		bridge_soon(f);
	flow_read(f);
}

static void handshake_failed(struct flow *f, int err)
{
	const char *refusal = tls_refusal(f->wire.ssl);

	if (refusal)
		flow_gone(f, REASON_FLOW_TLS_UNTRUSTED, refusal);
	else if (err == ERR_CLOSED && !f->request)
		flow_gone(f, REASON_FLOW_TLS_HANDSHAKE, "closed by the peer");
	else
		flow_gone(f, REASON_FLOW_TLS_HANDSHAKE, wire_problem());
}

static void go_on_handshake(struct flow *f)
{
	int err = wire_handshake(&f->wire);

	if (err == ERR_AGAIN) {
		flow_watch(f);
		return;
	}
	if (err) {
		handshake_failed(f, err);
		return;
	}
	f->is_secured = true;
	if (f->tls_name && !tls_peer_has(f->wire.ssl, f->tls_name)) {
		flow_gone(f, REASON_FLOW_TLS_NAME, f->tls_name);
		return;
	}
	flow_open(f);
}

static void begin_tls(struct flow *f)
{
	set_state(f, EV_CONNECTED);
	f->timer_at_us = 0;
	arm(f);
	go_on_handshake(f);
}

static void on_connected(struct flow *f)
{
	int error = 0;
	socklen_t len = sizeof(error);

	if (getsockopt(f->wire.fd, SOL_SOCKET, SO_ERROR, &error, &len))
		error = errno;
	if (error)
		flow_gone(f, REASON_FLOW_CONNECT_FAILED, strerror(error));
	else if (f->wire.ssl)
		begin_tls(f);
	else
		flow_open(f);
}

static void on_flow_fd(void *arg, int fd, unsigned events)
{
	struct flow *f = arg;

	(void)fd;
	switch (f->state) {
	case FLOW_CONNECTING:
		on_connected(f);
		break;
	case FLOW_HANDSHAKE:
		go_on_handshake(f);
		break;
	case FLOW_OPEN:
		/* TLS may want either event for either direction. */
		if (buf_len(&f->out) > 0 || (events & LOOP_WRITE))
			flow_flush(f);
		if (f->state == FLOW_OPEN)
			flow_read(f);
		break;
	case FLOW_ENDING:
		flow_flush(f);
		if (f->state == FLOW_ENDING && !f->read_paused)
			flow_discard(f);
		if (f->state == FLOW_ENDING)
			flow_watch(f);
		break;
	case FLOW_GONE:
	case FLOW_STATE_COUNT:
		break;
	}
}

/* A dead host is noticed: by probes while silent, by time while we speak. */
static void set_options(int fd)
{
	const int on = 1, idle_s = 90, interval_s = 15, count = 4;
	const unsigned user_timeout_ms = 30000;

	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	(void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	(void)setsockopt(
		fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof(idle_s));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval_s,
		sizeof(interval_s));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof(count));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &user_timeout_ms,
		sizeof(user_timeout_ms));
}

/* A flow in its first state, watched; takes fd and source. NULL: out of memory
 * or too many, and both are given back. */
static struct flow *flow_new(struct flows *flows, int fd,
	const struct addr *peer, struct face *face, SSL_CTX *tls,
	struct source *source, enum flow_state state)
{
	struct flow *f = calloc(1, sizeof(*f));

	if (!f)
		goto fail;
	f->flows = flows;
	f->id = flows->next_id++;
	f->wire.fd = fd;
	f->state = state;
	f->since_us = clock_now_us();
	f->peer = *peer;
	bridge_init(&f->bridge, flows->loop, &bridge_events, f);
	if (tls && wire_secure(&f->wire, tls, state != FLOW_CONNECTING))
		goto fail;
	if (loop_timer_new(flows->loop, on_timer, f, &f->timer))
		goto fail;
	if (table_add(&flows->table, &f->node, &f->id, sizeof(f->id)))
		goto fail;
	if (loop_fd_add(flows->loop, fd, 0, on_flow_fd, f, &f->watch)) {
		table_remove(&flows->table, &f->node);
		goto fail;
	}
	set_options(fd);
	f->face = face_ref(face);
	f->source = source;
	TAILQ_INSERT_TAIL(&flows->all, f, all);
	flows->n_flows++;
	stat_set(STAT_FLOWS, flows->n_flows);
	if (is_young(state))
		flows->n_handshakes++;
	stat_set(STAT_FLOW_HANDSHAKES, flows->n_handshakes);
	return f;
fail:
	if (f) {
		SSL_free(f->wire.ssl);
		loop_timer_free(flows->loop, &f->timer);
		free(f);
	}
	(void)close(fd);
	sources_give(source, clock_now_us());
	return NULL;
}

void flows_accept(struct flows *flows, int fd, const struct addr *peer,
	struct face *face, SSL_CTX *tls, struct source *source)
{
	/* A plain flow passes its first state without stopping. */
	enum flow_state state = tls ? FLOW_HANDSHAKE : FLOW_CONNECTING;
	struct flow *f;

	f = flow_new(flows, fd, peer, face, tls, source, state);
	if (!f) {
		reason_count(REASON_FLOW_FULL);
		flows->events->on_refused(flows->ctx, peer, face,
			REASON_FLOW_FULL, "out of memory");
		return;
	}
	if (!tls) {
		flow_open(f);
		return;
	}
	arm(f);
	go_on_handshake(f);
}

/* @return a socket that connects, or -1 with errno. */
static int connect_from(const struct addr *local, const struct addr *remote)
{
	struct sockaddr_storage sa;
	struct addr own = *local;
	const int on = 1;
	int fd = socket(
		remote->family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -1;
	own.port = 0;
	/* The port is chosen by connect(): it may then serve several peers. */
	(void)setsockopt(
		fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
	if (bind(fd, (struct sockaddr *)&sa, addr_to_sockaddr(&own, &sa)) ==
			0 &&
		(connect(fd, (struct sockaddr *)&sa,
			 addr_to_sockaddr(remote, &sa)) == 0 ||
			errno == EINPROGRESS))
		return fd;
	(void)close(fd);
	return -1;
}

enum reason flows_connect(
	struct flows *flows, const struct flow_connect *c, uint64_t *id_out)
{
	struct source *source;
	struct flow *f;
	int fd;

	if (flows->n_flows >= flows->sources->limits.max_flows)
		return REASON_FLOW_FULL;
	fd = connect_from(&c->local, &c->remote);
	if (fd < 0)
		return errno == EMFILE || errno == ENFILE || errno == ENOMEM
			       ? REASON_FLOW_FULL
			       : REASON_FLOW_CONNECT_FAILED;
	source = sources_take_out(flows->sources, &c->remote, clock_now_us());
	f = flow_new(flows, fd, &c->remote, c->face, c->tls, source,
		FLOW_CONNECTING);
	if (!f)
		return REASON_FLOW_FULL;
	f->request = c->request;
	*id_out = f->id;
	if (c->tls && !c->want.pin[0]) {
		f->tls_name = strdup(c->want.name);
		if (!f->tls_name)
			goto fail;
	}
	if (c->tls && tls_client_prepare(f->wire.ssl, &c->want))
		goto fail;
	arm(f);
	flow_watch(f);
	return REASON_FLOW_OPENED;
fail:
	f->request = 0; /* the caller tells sbc */
	flow_gone(f, REASON_FLOW_CONNECT_FAILED, "TLS name");
	return REASON_FLOW_CONNECT_FAILED;
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
		loop_timer_new(
			loop, on_bridge_timer, flows, &flows->bridge_timer)) {
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
		arm(f);
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
