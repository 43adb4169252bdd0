/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One flow's own local TCP connection to sbc. sbc's SIP library takes it for
 * the peer's connection; sbc knows it by the local port on our side.
 *
 * Messages, not bytes, are handed over: what sbc had not taken completely when
 * the connection broke is sent again from the message's start over the next
 * one, and a message that sbc had sent in part is dropped. A request that sbc
 * has not answered with anything may have lain unread in the kernel when sbc
 * died: a few of them are kept until the answer, and said once more over the
 * next connection, as its sender would have done over UDP. ACK and responses
 * are not: what needs them repeats what they answer (a 2xx, RFC 3261 13.3.1.4).
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
#define BRIDGE_HEADER_MAX        65536u
#define BRIDGE_BODY_MAX          262144u
#define BRIDGE_LINES_MAX         512u
/** Largest message that the framing above lets through. */
#define BRIDGE_MESSAGE_MAX       (BRIDGE_HEADER_MAX + BRIDGE_BODY_MAX)

/** Requests that are kept of one flow, and their bytes; of a peer that sbc has
 * never answered only one, so that strangers who get no answer do not fill our
 * memory. */
#define BRIDGE_KEPT_MAX          8u
#define BRIDGE_KEPT_BYTES        32768u
#define BRIDGE_KEPT_BYTES_SILENT 4096u
/** The sender has given up after that (RFC 3261 17.1.2.2, timer F). */
#define BRIDGE_KEPT_US           32000000u
#define BRIDGE_BRANCH_LEN        32u

struct bridge_packet;
STAILQ_HEAD(bridge_packets, bridge_packet);

struct bridge_events {
	/* One whole message from sbc; more: what came with it may have
	 * another one. */
	void (*on_message)(void *ctx, const uint8_t *bytes, size_t len,
		size_t header_len, bool more);
	/* It had none: what more has held back may go. */
	void (*on_message_end)(void *ctx);
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
	struct bridge_packets queue;
	struct bridge_packets kept; /* taken by the kernel, not answered */
	size_t n_kept, n_kept_bytes;
	bool heard;     /* sbc has answered something */
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

/** Takes a copy of one message. branch: BRIDGE_BRANCH_LEN characters that name
 * a request which sbc will answer; NULL = it will not. @return 0, or ERR_NOMEM.
 */
GH_MUST_CHECK int bridge_send(
	struct bridge *b, const uint8_t *bytes, size_t len, const char *branch);
/** sbc has answered: it will not be said again. */
void bridge_answered(struct bridge *b, const char *branch);
/** Backpressure from the peer: read no more until told. */
void bridge_pause(struct bridge *b, bool paused);

#endif
