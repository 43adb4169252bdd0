/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bytes that wait on a stream. Holds no memory while it is empty: thousands of
 * connections are silent most of the time. The owner bounds its length.
 */
#ifndef FLOWD_BUF_H
#define FLOWD_BUF_H

#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

/** Zeroed: empty. */
struct buf {
	uint8_t *bytes;
	size_t start; /* of what has not been consumed */
	size_t end;
	size_t size;
};

static inline size_t buf_len(const struct buf *b)
{
	return b->end - b->start;
}

static inline const uint8_t *buf_bytes(const struct buf *b)
{
	return b->bytes + b->start;
}

/** Copies bytes behind what is there. @return 0, or ERR_NOMEM. */
GH_MUST_CHECK int buf_add(struct buf *b, const void *bytes, size_t len);
/** Drops the first len bytes; frees all memory when none is left. */
void buf_consume(struct buf *b, size_t len);
/** Drops everything. */
void buf_clear(struct buf *b);

#endif
