/* SPDX-License-Identifier: Apache-2.0 */
/* A short list, searched from its front; see ranges.h. */
#include "common/ranges.h"

#include <string.h>

static bool is_end(const char *text)
{
	size_t len = strnlen(text, RANGES_NUMBER_SIZE);

	return len < RANGES_NUMBER_SIZE && strspn(text, "+0123456789") == len;
}

static bool is_inside(const struct range *range, const char *number)
{
	return (!range->below[0] || strcmp(number, range->below) > 0) &&
	       (!range->above[0] || strcmp(number, range->above) < 0);
}

/* Ranges meet only at numbers that somebody has. */
static bool overlap(const struct range *a, const struct range *b)
{
	return (!a->above[0] || strcmp(b->below, a->above) < 0) &&
	       (!b->above[0] || strcmp(a->below, b->above) < 0);
}

static void drop(struct ranges *r, size_t i)
{
	r->n--;
	memmove(&r->list[i], &r->list[i + 1], (r->n - i) * sizeof(r->list[0]));
}

void ranges_add(struct ranges *r, const char *number, const char *below,
	const char *above, uint64_t until_us)
{
	struct range new = {.until_us = until_us};

	if (!number[0] || !is_end(number) || !is_end(below) || !is_end(above))
		return;
	memcpy(new.below, below, strlen(below));
	memcpy(new.above, above, strlen(above));
	if (!is_inside(&new, number))
		return;
	for (size_t i = r->n; i-- > 0;) {
		if (overlap(&r->list[i], &new))
			drop(r, i);
	}
	if (r->n == RANGES_MAX)
		r->n--;
	memmove(&r->list[1], &r->list[0], r->n * sizeof(r->list[0]));
	r->list[0] = new;
	r->n++;
}

struct range *ranges_find(struct ranges *r, const char *number, uint64_t now)
{
	for (size_t i = 0; i < r->n; i++) {
		if (!is_inside(&r->list[i], number))
			continue;
		if (now <= r->list[i].until_us)
			return &r->list[i];
		drop(r, i);
		return NULL;
	}
	return NULL;
}

void ranges_forget(struct ranges *r)
{
	r->n = 0;
}
