/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One flow's own local TCP connection to sbc. sbc's SIP library takes it for
 * the peer's connection; sbc knows it by the local port on our side.
 *
 * Messages, not bytes, are handed over: what sbc had not taken completely when
 * the connection broke is sent again from the message's start over the next
 * one, and a message that sbc had sent in part is dropped. Whole messages that
 * lay in the kernel's buffer when sbc died are lost, as with any dead host.
 */
#ifndef FLOWD_BRIDGE_H
#define FLOWD_BRIDGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "common/addr.h"
#include "common/loop.h"
#include "flowd/buf.h"
#include "flowd/frame.h"

/** sbc is trusted with larger messages than any peer, not with endless ones. */
#define BRIDGE_HEADER_MAX  65536u
#define BRIDGE_BODY_MAX    262144u
#define BRIDGE_LINES_MAX   512u
/** Largest message that the framing above lets through. */
#define BRIDGE_MESSAGE_MAX (BRIDGE_HEADER_MAX + BRIDGE_BODY_MAX)

struct bridge_packet;

struct bridge_events {
	/* One whole message from sbc. */
	void (*on_message)(
		void *ctx, const uint8_t *bytes, size_t len, size_t header_len);
	/* Something of the queue has left. */
	void (*on_drain)(void *ctx);
	/* The connection has gone; broken: sbc sent what is no SIP. */
	void (*on_down)(void *ctx, bool broken);
};

struct bridge {
	struct loop *loop;
	const struct bridge_events *events;
	void *ctx;
	int fd; /* -1: there is no connection */
	struct loop_fd *watch;
	unsigned watching;
	uint16_t local_port; /* of the present or the last connection */
	bool paused;         /* nothing is read from sbc */
	struct frame frame;
	struct buf in;
	STAILQ_HEAD(, bridge_packet) queue;
	size_t n_bytes; /* queued */
	size_t n_sent;  /* of the first packet, over this connection */
};

void bridge_init(struct bridge *b, struct loop *loop,
	const struct bridge_events *events, void *ctx);
/** Connects; messages that wait go first. @return 0, ERR_SYSTEM, ERR_NOMEM. */
GH_MUST_CHECK int bridge_open(struct bridge *b, const struct addr *sbc);
/** Ends the connection without on_down; what waits goes on waiting. */
void bridge_close(struct bridge *b);
/** Closes and forgets what waits. */
void bridge_done(struct bridge *b);

static inline bool bridge_is_open(const struct bridge *b)
{
	return b->fd >= 0;
}

/** Takes a copy of one message. @return 0, or ERR_NOMEM. */
GH_MUST_CHECK int bridge_send(
	struct bridge *b, const uint8_t *bytes, size_t len);
/** Backpressure from the peer: read no more until told. */
void bridge_pause(struct bridge *b, bool paused);

#endif
