/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A flow: one TCP or TLS connection of a peer, its bridge to sbc, its limits
 * and its end. This module alone changes a flow's state.
 *
 * A flow that a peer opened costs sbc nothing until its first whole message:
 * then it is announced (on_opened) and bridged. One that sbc asked for is
 * announced as soon as it stands. While sbc is away flows stay, messages wait
 * up to a bound, and then the peer is not read any more.
 */
#ifndef FLOWD_FLOW_H
#define FLOWD_FLOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "common/addr.h"
#include "common/device.h"
#include "common/loop.h"
#include "common/reason.h"
#include "common/table.h"
#include "flowd/bridge.h"
#include "flowd/buf.h"
#include "flowd/config.h"
#include "flowd/frame.h"
#include "flowd/openssl.h"
#include "flowd/source.h"
#include "flowd/tls.h"
#include "flowd/wire.h"

enum flow_state {
	FLOW_CONNECTING, /* our TCP connection is on its way */
	FLOW_HANDSHAKE,  /* TLS */
	FLOW_OPEN,
	FLOW_ENDING, /* what was said goes out, nothing comes in */
	FLOW_GONE,   /* closed; its memory goes when the loop is back */
	FLOW_STATE_COUNT,
};
const char *flow_state_name(enum flow_state s);

#define FLOW_DETAIL_SIZE  96
#define FLOW_SENT_BY_SIZE 56

struct flows;

/** Read only outside flow.c. */
struct flow {
	TAILQ_ENTRY(flow) all;     /* also the list of the gone */
	TAILQ_ENTRY(flow) waiting; /* for a bridge */
	struct table_node node;
	uint64_t id;
	struct flows *flows;
	struct face *face;
	struct source *source;
	struct addr peer;
	uint64_t request; /* of FlowConnect; 0 = the peer connected */
	char *tls_name;   /* that the peer must prove; NULL */
	enum flow_state state;
	enum reason why;
	char detail[FLOW_DETAIL_SIZE];

	struct wire wire;
	struct loop_fd *watch;
	unsigned watching;
	struct frame frame;
	struct buf in;  /* a message that is not complete */
	struct buf out; /* what the peer has not taken */

	struct bridge bridge;
	bool is_waiting; /* in the list of those that wait for a bridge */
	bool is_known;   /* sbc was told of it, at any time */
	bool got_message;
	bool read_paused; /* sbc does not take what the peer says */
	bool said_end;
	bool is_secured; /* TLS is done */
	bool is_held;    /* what is in out waits for more, not for the peer */
	uint8_t n_bridge_breaks;
	char sbc_sent_by[FLOW_SENT_BY_SIZE]; /* of sbc's own Via */

	struct loop_timer *timer;
	uint64_t timer_at_us; /* 0: not armed */
	uint64_t since_us;    /* the state began */
	uint64_t last_rx_us;
	uint64_t message_since_us; /* a message began; 0 = none has */
	uint64_t stalled_since_us; /* the peer takes nothing; 0 = it does */
	uint64_t wall_opened_us;
	uint64_t n_rx, n_tx; /* messages */
};

struct flow_events {
	/* Tell sbc of a flow whose bridge has just been opened. @return 0, or
	 * an error: it is tried again later. */
	int (*on_opened)(void *ctx, const struct flow *f);
	/* A flow that sbc was told of, or asked for, has gone. */
	void (*on_closed)(void *ctx, const struct flow *f);
	/* A connection ended before sbc heard of it. */
	void (*on_refused)(void *ctx, const struct addr *peer,
		const struct face *face, enum reason why, const char *detail);
};

TAILQ_HEAD(flow_list, flow);

struct flows {
	struct loop *loop;
	struct sources *sources;
	const struct flow_events *events;
	void *ctx;
	struct flow_limits limits;
	struct table table; /* by id */
	struct flow_list all;
	struct flow_list gone;
	struct flow_list waiting;
	size_t n_flows, n_handshakes;
	bool bridging; /* sbc is there */
	struct addr sbc;
	uint64_t next_id;
	uint8_t branch_keys[2][16];
	struct loop_timer *reap_timer;
	struct loop_timer *bridge_timer;
	uint8_t *scratch; /* one message on its way */
};

GH_MUST_CHECK int flows_new(struct loop *loop, struct sources *sources,
	size_t max_flows, const struct flow_events *events, void *ctx,
	struct flows **flows_out);
/** Closes all; sbc is told nothing. */
void flows_free(struct flows **flows);
/** For every flow, also those that live. */
void flows_set_limits(struct flows *flows, const struct flow_limits *limits);

/** A connection was accepted; fd is taken in every case. tls NULL = plain.
 * The source is given back when the flow ends. */
void flows_accept(struct flows *flows, int fd, const struct addr *peer,
	struct face *face, SSL_CTX *tls, struct source *source);

/** What an outgoing connection needs. */
struct flow_connect {
	uint64_t request;
	struct addr local; /* port is not used */
	struct addr remote;
	char device[DEVICE_NAME_SIZE]; /* "" = any */
	struct face *face;
	SSL_CTX *tls; /* NULL = plain */
	struct tls_client_want want;
};
/** @return 0: on_opened or on_closed follows; or why not (nothing follows). */
GH_MUST_CHECK enum reason flows_connect(
	struct flows *flows, const struct flow_connect *c, uint64_t *id_out);

/** sbc is there: every flow that it has to know is announced anew. */
void flows_bridge_up(struct flows *flows, const struct addr *sbc);
/** sbc has gone. Flows stay. */
void flows_bridge_down(struct flows *flows);

struct flow *flows_find(struct flows *flows, uint64_t id);
/** Ends a flow in order: what waits for the peer goes out first. */
void flow_end(struct flow *f, enum reason why, const char *detail);
/** Ends all in order, and none is left after FLOW_ENDING_US. */
void flows_end_all(struct flows *flows, enum reason why);
#define FLOW_ENDING_US 2000000u

#endif
