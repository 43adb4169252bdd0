/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an open flow carries: messages of the peer to sbc and back, with the top
 * Via rewritten on the way (via.h), keep-alives answered, bridges opened when
 * sbc is there, and backpressure both ways. flow.c owns the states; here they
 * are only asked, or ended.
 */
#include "flowd/flow_inner.h"

#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/secret.h"
#include "common/stat.h"
#include "flowd/answer.h"
#include "flowd/via.h"

#define READ_SIZE         16384u
#define READ_ROUNDS       4u
#define QUEUE_LOW         16384u
/* Messages of sbc that leave together: up to about one TLS record. */
#define HOLD_MAX          12288u
/* Bridges that are opened per turn of the loop after sbc came back. */
#define BRIDGE_BATCH      64u
#define BRIDGE_PAUSE_US   5000u
#define BRIDGE_RETRY_US   100000u
/* A flow whose bridge breaks so often in a row, with sbc there, makes sbc
 * choke on it. */
#define BRIDGE_BREAKS_MAX 5u

/* ------------------------------------------------------------------ to peer */

static void note_progress(struct flow *f, bool progress)
{
	if (buf_len(&f->out) == 0)
		f->stalled_since_us = 0;
	else if (progress || f->stalled_since_us == 0)
		f->stalled_since_us = clock_now_us();
	if (buf_len(&f->out) > 0)
		flow_arm(f);
}

/* The time in which nobody read is not the peer's. */
static void read_again(struct flow *f)
{
	if (f->message_since_us == 0)
		return;
	f->message_since_us = clock_now_us();
	flow_arm(f);
}

/* Behind what is there, to leave with what follows: one record, one packet and
 * one wake-up of the peer for several messages. */
static void flow_hold(struct flow *f, const uint8_t *bytes, size_t len)
{
	if (f->state != FLOW_OPEN)
		return;
	if (buf_add(&f->out, bytes, len))
		flow_gone(f, REASON_FLOW_FULL, "out of memory");
	else
		f->is_held = true;
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

void flow_flush(struct flow *f)
{
	bool progress = false, was_full = buf_len(&f->out) > QUEUE_HIGH;

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
	if (was_full && buf_len(&f->out) <= QUEUE_HIGH)
		read_again(f);
	if (f->state == FLOW_OPEN && buf_len(&f->out) <= QUEUE_LOW)
		bridge_pause(&f->bridge, false);
	flow_end_go_on(f);
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
	flow_stop_waiting(f);
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

void flows_on_bridge_timer(void *arg)
{
	open_bridges(arg);
}

/* The usual case: one new flow, and sbc there. */
void flow_bridge_soon(struct flow *f)
{
	struct flows *flows = f->flows;
	bool alone = TAILQ_EMPTY(&flows->waiting);

	want_bridge(f);
	if (alone && flows->bridging)
		open_bridges(flows);
}

/* sbc answers with the branch that we have made (make_branch()). */
static void note_answer(struct flow *f, const uint8_t *bytes, size_t header_len)
{
	static const char cookie[] = "z9hG4bK";
	const size_t cookie_len = sizeof(cookie) - 1;
	struct via via;

	if (f->bridge.n_kept == 0 || via_find(bytes, header_len, &via) != 0 ||
		via.branch_end - via.branch != cookie_len + BRIDGE_BRANCH_LEN)
		return;
	bridge_answered(
		&f->bridge, (const char *)bytes + via.branch + cookie_len);
}

static void on_bridge_message_end(void *ctx)
{
	struct flow *f = ctx;

	if (!f->is_held)
		return;
	f->is_held = false;
	if (f->state != FLOW_OPEN && f->state != FLOW_ENDING)
		return;
	flow_flush(f);
	if (f->state != FLOW_OPEN)
		return;
	if (buf_len(&f->out) > QUEUE_HIGH)
		bridge_pause(&f->bridge, true);
	flow_watch(f);
}

static void on_bridge_message(void *ctx, const uint8_t *bytes, size_t len,
	size_t header_len, bool more)
{
	struct flow *f = ctx;
	struct flows *flows = f->flows;
	char sent_by[VIA_SENT_BY_SIZE];
	int n;

	f->n_bridge_breaks = 0;
	if (f->state != FLOW_OPEN)
		return;
	if (via_is_response(bytes, len)) {
		note_answer(f, bytes, header_len);
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
	if (f->is_held && buf_len(&f->out) + (size_t)n > HOLD_MAX)
		on_bridge_message_end(f);
	if (f->is_held || (more && buf_len(&f->out) == 0))
		flow_hold(f, flows->scratch, (size_t)n);
	else if (f->state == FLOW_OPEN)
		flow_send(f, flows->scratch, (size_t)n);
	secret_wipe(flows->scratch, (size_t)n);
}

static void on_bridge_drain(void *ctx)
{
	struct flow *f = ctx;

	if (f->state == FLOW_ENDING) {
		flow_end_go_on(f);
		return;
	}
	if (!f->read_paused || f->bridge.n_bytes > QUEUE_LOW)
		return;
	f->read_paused = false;
	read_again(f);
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

const struct bridge_events flow_bridge_events = {
	.on_message = on_bridge_message,
	.on_message_end = on_bridge_message_end,
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
static void make_branch(const struct flow *f, const uint8_t *id, size_t len,
	char text[BRIDGE_BRANCH_LEN + 1])
{
	uint8_t key[16];
	uint64_t hash[2];

	for (unsigned i = 0; i < 2; i++) {
		memcpy(key, f->flows->branch_keys[i], sizeof(key));
		for (unsigned k = 0; k < 8; k++)
			key[k] ^= (uint8_t)(f->id >> (8 * k));
		hash[i] = table_siphash(key, id, len);
	}
	snprintf(text, BRIDGE_BRANCH_LEN + 1, "%016llx%016llx",
		(unsigned long long)hash[0], (unsigned long long)hash[1]);
}

/* branch_out: of a request. @return length in the scratch, or an error. */
static int rewrite_for_sbc(struct flow *f, const uint8_t *bytes, size_t len,
	size_t header_len, char branch_out[BRIDGE_BRANCH_LEN + 1])
{
	char sent_by[ADDR_TEXT_SIZE];
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
	make_branch(f, id, id_len, branch_out);
	own.port = f->bridge.local_port;
	return via_push(bytes, len, header_len,
		own.family ? addr_format(&own, sent_by) : "127.0.0.1",
		branch_out, &f->peer, f->flows->scratch, SCRATCH_SIZE);
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
	static const char ack[] = "ACK ";
	uint8_t *scratch = f->flows->scratch;
	char branch[BRIDGE_BRANCH_LEN + 1];
	bool answered =
		!via_is_response(bytes, len) &&
		(len < sizeof(ack) || memcmp(bytes, ack, sizeof(ack) - 1) != 0);
	int n, err;

	f->got_message = true;
	f->n_rx++;
	stat_add(STAT_FLOW_MSG_RX, 1);
	if (!bridge_is_open(&f->bridge))
		flow_bridge_soon(f);
	n = rewrite_for_sbc(f, bytes, len, header_len, branch);
	if (n < 0) {
		flow_end(f, REASON_FLOW_BROKEN, "the top Via cannot be read");
		return;
	}
	err = bridge_send(
		&f->bridge, scratch, (size_t)n, answered ? branch : NULL);
	secret_wipe(scratch, (size_t)n);
	if (err) {
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
	flow_arm(f);
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
void flow_read(struct flow *f)
{
	static uint8_t bytes[READ_SIZE]; /* one thread, not used in nesting */

	if (flow_may_read(f) && buf_len(&f->in) > 0) {
		take_buffered(f);
		note_begun(f);
	}
	for (unsigned i = 0; flow_may_read(f); i++) {
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
		/* It may have had media keys in it. */
		secret_wipe(bytes, (size_t)n);
		/* Nothing more for now, most likely; if there is, the loop
		 * tells. */
		if ((size_t)n < sizeof(bytes) && !wire_has_pending(&f->wire))
			break;
	}
	flow_watch(f);
}

/* ENDING: what still comes is thrown away, until the peer ends, too. */
void flow_discard(struct flow *f)
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
