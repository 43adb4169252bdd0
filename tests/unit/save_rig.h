/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A scene of call_world.h whose calls are written down, and the records as they
 * come and go, for the suites of what outlives sbc.
 */
#ifndef TESTS_UNIT_SAVE_RIG_H
#define TESTS_UNIT_SAVE_RIG_H

#include "sbc/save.h"
#include "tests/unit/call_world.h"

/** sc_begin() with files of sbc's own. */
void saves_begin(struct scene *s);
/** The files are wiped; all calls are over. */
void saves_end(struct scene *s);

/** The packed record of a call. */
struct saved_bytes {
	uint8_t data[65536];
	size_t len;
};

void saves_pack(const struct call *c, struct saved_bytes *out);
Gh__SavedCall *saves_unpack(const struct saved_bytes *b);
/** For cw_until(). */
bool saves_no_call(void *ctx);
/** Whatever the peers were sent is read and forgotten. */
void saves_drain(struct sip_peer *p);
/** Takes the call out of the process as a kill would, but in order: what it
 * says to the peers meanwhile does not count. */
void saves_vanish(struct scene *s);
int saves_restore(struct scene *s, const Gh__SavedCall *saved);
/** A store's callback: takes what is there. */
int saves_keep(void *ctx, struct store_record *record, uint32_t type,
	uint32_t version, const void *bytes, size_t len);
void saves_put(struct store *file, uint32_t kind, uint32_t version,
	const void *bytes, size_t len);

#endif
