/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Last figures of sessions that have ended, until sbc has them for sure: they
 * are said again after each reconnect, and to who asks for the end of such a
 * session, also by the process that comes after a kill. Forgotten when sbc has
 * gone on claiming for a while after they were sent, or after FAREWELL_US.
 * Control thread only.
 */
#ifndef MEDIAD_FAREWELL_H
#define MEDIAD_FAREWELL_H

#include <stdbool.h>
#include <stdint.h>

#include "common/loop.h"
#include "mediad/keep.h"
#include "mediad/record.h"

/** The longest that sbc may be away without losing figures. */
#define FAREWELL_US     (120ull * 1000 * 1000)
/** A claim that comes so long after they were sent: sbc has read them. */
#define FAREWELL_ACK_US (1000ull * 1000)
/** The oldest goes first. */
#define FAREWELLS_MAX   4096u

struct farewells;

/** @param keep	borrowed. @return 0, or ERR_NOMEM. */
GH_MUST_CHECK int farewells_new(
	struct loop *loop, struct keep *keep, struct farewells **farewells_out);
/** Leaves the records in the store. */
void farewells_free(struct farewells **farewells);

/** Keeps one; also one of an earlier process, whose record is its own. */
void farewell_put(struct farewells *fs, const struct record_farewell *f,
	struct store_record *record);
/** @return NULL if none is kept. */
const struct record_farewell *farewell_find(
	const struct farewells *fs, const char *call);
/** It was sent on the present link. */
void farewell_sent(struct farewells *fs, const char *call);

/** sbc claims. */
void farewells_on_claim(struct farewells *fs);
/** sbc has gone: nothing that was sent may be believed to be read. */
void farewells_on_down(struct farewells *fs);
/** Walks all, oldest first: NULL begins, NULL ends. */
const struct record_farewell *farewells_next(
	const struct farewells *fs, const struct record_farewell *after);

#endif
