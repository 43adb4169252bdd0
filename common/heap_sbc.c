/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sbc's heap, in builds without sanitizers: jemalloc, with an arena of its own
 * for what lasts (heap.h), under the free() that wipes (wiped_heap.c).
 *
 * Why not the C library's: 500 calls that were set up within 5 s left 39 kB
 * each behind after their transactions had gone, of which they used nine. The
 * rest was room between pieces that stayed, which malloc_trim() cannot give
 * back. One arena of it, without the second one, kept 34 kB.
 *
 * Decay: pages that nothing is in go back within five seconds, in steps, since
 * a call every few milliseconds takes them again; not later, since the next
 * storm of transactions may be somebody else's memory. jemalloc looks at that
 * when something is allocated, and heap_decay() when nothing is. One arena each
 * and no thread of its own: sbc is one thread, and its sandbox keeps it so.
 */
#include "common/heap.h"

#include <errno.h>
#include <stdlib.h>

#include <jemalloc/jemalloc.h>

/* jemalloc reads it before main(). */
extern const char *malloc_conf;
const char *malloc_conf = "narenas:1,background_thread:false,"
			  "dirty_decay_ms:5000,muzzy_decay_ms:0";

static int lasting_flags;

/* An arena, and a cache in front of it that nothing else comes out of. */
static int make_lasting(void)
{
	unsigned arena, cache;
	size_t size = sizeof arena;

	if (mallctl("arenas.create", &arena, &size, NULL, 0) != 0 ||
		mallctl("tcache.create", &cache, &size, NULL, 0) != 0)
		return MALLOCX_ZERO;
	return (int)(MALLOCX_ZERO | MALLOCX_ARENA(arena) |
		     MALLOCX_TCACHE(cache));
}

void *heap_lasting(size_t size)
{
	if (lasting_flags == 0)
		lasting_flags = make_lasting();
	return mallocx(size != 0 ? size : 1, lasting_flags);
}

void heap_decay(void)
{
	/* 4096 = all arenas (MALLCTL_ARENAS_ALL). */
	(void)mallctl("arena.4096.decay", NULL, NULL, NULL, 0);
}

void heap_release(void *p)
{
	int saved = errno;

	dallocx(p, 0);
	errno = saved;
}
