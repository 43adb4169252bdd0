/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory for what is built, used and forgotten within one function: the parts
 * of a record before it is packed (call_save.c, leg_save.c). Pieces come one
 * behind the other from a block on the caller's stack, so that a call's record,
 * which is written several times per call, costs no malloc(); a call with many
 * parties takes more blocks from the heap. Nothing here is wiped: what has keys
 * stays where it is and is only pointed at.
 */
#ifndef SBC_SCRATCH_H
#define SBC_SCRATCH_H

#include <stddef.h>
#include <stdint.h>

#include <sofia-sip/su_alloc.h>

#include "common/addr.h"

#define SCRATCH_FIRST 8192u

struct scratch_block;

struct scratch {
	uint8_t *at, *end;
	struct scratch_block *more; /* from the heap */
	su_home_t home[1];          /* for scratch_home() */
	int has_home;
	_Alignas(16) uint8_t first[SCRATCH_FIRST];
};

void scratch_init(struct scratch *s);
/** Frees all pieces. */
void scratch_done(struct scratch *s);
/** @return a piece whose bytes are undefined, or NULL without memory. */
void *scratch_alloc(struct scratch *s, size_t size);
/** An address with its port as text; "" for none. */
char *scratch_address(struct scratch *s, const struct addr *addr);
/** For what the SIP library has to make itself; lives as long as the pieces. */
su_home_t *scratch_home(struct scratch *s);

#endif
