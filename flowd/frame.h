/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SIP framing on a stream (RFC 3261 7.5 and 18.3): where one message ends and
 * the next begins, and CRLF keep-alives between them (RFC 5626 3.5.1). Finds
 * Content-Length (or its compact form "l"), enforces limits, and knows nothing
 * else of SIP. Pure: bytes in, events out; the same messages come out however
 * the bytes were cut.
 */
#ifndef FLOWD_FRAME_H
#define FLOWD_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

struct frame_limits {
	size_t header_max; /* bytes up to and with the empty line */
	size_t body_max;
	size_t n_lines_max;
	size_t n_separators_max; /* commas and semicolons in the header: each
				  * is an object to a SIP parser */
};

enum frame_event {
	FRAME_MORE,    /* needs more bytes */
	FRAME_MESSAGE, /* bytes [0, len) are one whole message */
	FRAME_PING,    /* a double CRLF: answer with one CRLF */
	FRAME_PONG,    /* a single CRLF: nothing to do */
	FRAME_TOO_BIG, /* a limit is broken */
	FRAME_LENGTH,  /* the header is whole, its Content-Length is no good */
	FRAME_BROKEN,  /* no SIP; the connection must end */
	FRAME_EVENT_COUNT,
};

/**
 * State between calls for one stream; zero it at the start. After MESSAGE,
 * TOO_BIG and LENGTH header_len tells the length of that message's header
 * (0: its end was not found, and the first `scanned` bytes are whole lines).
 */
struct frame {
	bool done;         /* the last call ended a message: begin anew */
	size_t scanned;    /* bytes of the buffer already looked at */
	size_t header_len; /* 0 = the empty line has not been seen */
	size_t body_len;
	size_t n_lines;
};

/**
 * Looks at the bytes that a stream has buffered.
 * @param bytes, len	all bytes not consumed yet.
 * @param consumed_out	how many bytes the event covers; drop them before the
 *			next call. 0 but for MESSAGE, PING and PONG.
 */
enum frame_event frame_next(struct frame *f, const struct frame_limits *limits,
	const uint8_t *bytes, size_t len, size_t *consumed_out);

/** Do these unconsumed bytes begin a message? Not where nothing is there but
 * a piece of a keep-alive: that has no deadline. */
bool frame_is_begun(const uint8_t *bytes, size_t len);

#endif
