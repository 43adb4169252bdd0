/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Telephone numbers of which somebody has said that they are nobody's: not one
 * by one but as what lies between two others, in the order of bytes. Most calls
 * to a trunk go to numbers that no account has, and this is known without a
 * question for each (the thought is RFC 8198's).
 *
 * Kept by authd, which the database tells, and by sbc, which authd tells. Both
 * forget all when any account changes.
 */
#ifndef COMMON_RANGES_H
#define COMMON_RANGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RANGES_MAX         64
#define RANGES_NUMBER_SIZE 24

/** Neither end is part of it. */
struct range {
	char below[RANGES_NUMBER_SIZE]; /* "" = from the first number on */
	char above[RANGES_NUMBER_SIZE]; /* "" = to the last */
	uint64_t until_us;
	bool noted; /* the owner's: that it will be out of date soon */
};

/** Begins as {0}. */
struct ranges {
	struct range list[RANGES_MAX]; /* found last first */
	size_t n;
};

/** Adds what was said about a number. Older words on the same go, and where
 * there are too many the oldest. Ends that are no numbers, or do not enclose
 * the number, add nothing. */
void ranges_add(struct ranges *r, const char *number, const char *below,
	const char *above, uint64_t until_us);
/** @return what the number lies in, until the next call; NULL = not known. */
struct range *ranges_find(struct ranges *r, const char *number, uint64_t now);
void ranges_forget(struct ranges *r);

#endif
