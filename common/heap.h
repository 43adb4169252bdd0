/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory for what lives as long as a call, a contact or a subscription, apart
 * from what passes: one small object that stays would else keep a whole page,
 * among the hundreds of pieces of a transaction that go after 32 s.
 *
 * heap_plain.c is for every program; sbc's release build takes heap_sbc.c,
 * which has an arena of its own for it. The pieces of the SIP library and of
 * calls come here through their home (sbc/sofia_home.c).
 */
#ifndef COMMON_HEAP_H
#define COMMON_HEAP_H

#include <stddef.h>

/** size bytes of zeros, to be given to free(). @return NULL without memory. */
void *heap_lasting(size_t size) __attribute__((__malloc__));

/** Gives pages that are long unused back to the kernel: for programs that may
 * be idle after a storm. Cheap where there is nothing to do. */
void heap_decay(void);

/** Gives p back without wiping it: what free() of wiped_heap.c ends with.
 * errno stays. In heap_libc.c and heap_sbc.c. */
void heap_release(void *p);

#endif
