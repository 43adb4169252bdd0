/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is freed is wiped first, whoever freed it. Media keys (RFC 4568) and
 * credentials stand in SIP messages, and the libraries that hold those, sofia
 * above all, give their memory back as it is: a copy in a buffer of the
 * network, one in a parsed body, one in what was sent. No call of ours is near
 * when they do, so free() and realloc() of the whole process are ours.
 *
 * Linked into the daemons that see keys: flowd and mediad, on the C library's
 * heap (heap_libc.c), and sbc, on its own (heap_sbc.c). Not into builds
 * with sanitizers, which have an allocator of their own. Costs the writing of
 * what was used: 5,000 of sbc's 1,300,000 instructions per call, and nothing
 * that could be told apart from noise in its CPU time at 500 calls a second.
 */
#include <errno.h>
#include <malloc.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/heap.h"

void free(void *p)
{
	if (p == NULL)
		return;
	memset(p, 0, malloc_usable_size(p));
	/* The compiler must not think that nobody looks at it any more. */
	__asm__ volatile("" : : "r"(p) : "memory");
	heap_release(p);
}

void *realloc(void *p, size_t size)
{
	size_t had;
	void *grown;

	if (p == NULL)
		return malloc(size);
	if (size == 0) {
		free(p);
		return NULL;
	}
	had = malloc_usable_size(p);
	/* What is cut off stays until the rest is freed, which is wiped whole.
	 */
	if (size <= had && size >= had / 2)
		return p;
	grown = malloc(size);
	if (grown == NULL)
		return NULL;
	memcpy(grown, p, had < size ? had : size);
	free(p);
	return grown;
}

void *reallocarray(void *p, size_t n, size_t size)
{
	size_t all;

	if (__builtin_mul_overflow(n, size, &all)) {
		errno = ENOMEM;
		return NULL;
	}
	return realloc(p, all);
}
