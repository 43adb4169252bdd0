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
};

enum frame_event {
	FRAME_MORE,    /* needs more bytes */
	FRAME_MESSAGE, /* bytes [0, len) are one whole message */
	FRAME_PING,    /* a double CRLF: answer with one CRLF */
	FRAME_PONG,    /* a single CRLF: nothing to do */
	FRAME_TOO_BIG, /* a limit is broken; header is complete if header_len >
			  0 */
	FRAME_BROKEN,  /* no SIP; the connection must end */
	FRAME_EVENT_COUNT,
};

/** State between calls for one stream; zero it at the start. */
struct frame {
	size_t scanned;    /* bytes of the buffer already looked at */
	size_t header_len; /* 0 = the empty line has not been seen */
	size_t body_len;
	size_t n_lines;
};

/**
 * Looks at the bytes that a stream has buffered.
 * @param bytes, len	all bytes not consumed yet.
 * @param consumed_out	how many bytes the event covers; drop them before the
 *			next call. 0 for FRAME_MORE, TOO_BIG and BROKEN.
 */
enum frame_event frame_next(struct frame *f, const struct frame_limits *limits,
	const uint8_t *bytes, size_t len, size_t *consumed_out);

#endif
