/* SPDX-License-Identifier: Apache-2.0 */
#include "flowd/buf.h"

#include <stdlib.h>
#include <string.h>

#define BUF_SIZE_MIN 1024

int buf_add(struct buf *b, const void *bytes, size_t len)
{
	size_t want = buf_len(b) + len, size = BUF_SIZE_MIN;
	uint8_t *grown;

	if (len == 0)
		return 0;
	if (b->start > 0 && b->end + len > b->size) {
		memmove(b->bytes, b->bytes + b->start, buf_len(b));
		b->end -= b->start;
		b->start = 0;
	}
	if (want > b->size) {
		while (size < want)
			size *= 2;
		grown = realloc(b->bytes, size);
		if (!grown)
			return ERR_NOMEM;
		b->bytes = grown;
		b->size = size;
	}
	memcpy(b->bytes + b->end, bytes, len);
	b->end += len;
	return 0;
}

void buf_consume(struct buf *b, size_t len)
{
	b->start += len;
	if (b->start == b->end)
		buf_clear(b);
}

void buf_clear(struct buf *b)
{
	free(b->bytes);
	*b = (struct buf){0};
}
