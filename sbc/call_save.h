/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A call as a record (call_save.c) and back (call_restore.c). What a new
 * process makes of the state that it finds:
 *
 *	FACTS to RINGING	the call is lost: the caller gets a final
 *answer, every phone that rings a CANCEL, the CDR says why ANSWERING
 *goes on: mediad is told again, then our 200
 *	CONFIRMING		goes on: our 200 is sent again
 *	UP			goes on
 *	CHANGING		goes on as before the change; who asked for it
 *is refused, who was asked is asked for the old again
 *	ENDING, DONE		what was not answered is ended again
 *
 * A call whose trunk, realm or socket is not there any more cannot go on: what
 * can be reached of it is ended, and the CDR is written.
 */
#ifndef SBC_CALL_SAVE_H
#define SBC_CALL_SAVE_H

#include <stdbool.h>

#include "common/clock.h"
#include "common/err.h"
#include "common/ipc.pb-c.h"

#include "sbc/save.h"
#include "sbc/scratch.h"

#define SAVE_SOON_US (50 * CLOCK_US_PER_MS)

struct call;
struct calls;
struct sbc;

/** Writes the call's record if anything has changed; cheap otherwise. */
void call_save(struct call *c);
/** The same within SAVE_SOON_US, and once for all that happens until then. */
void call_save_soon(struct call *c);
/** Writes all that wait; the timer's. */
void call_save_all(void *calls);
/** The call is no more: nothing of it waits. */
void call_save_never(struct call *c);
/** The same in the state that the next message brings the call into. */
void call_save_as(struct call *c, uint32_t state);
/** Removes it. */
void call_forget(struct call *c);
/** Fills a record whose texts live in the call or in s. For tests too. */
void call_to_record(
	const struct call *c, struct scratch *s, Gh__SavedCall *out);

/** Whether every connection that the call will at once say something on is
 * there: one that is up has time. */
bool call_may_be_restored(struct sbc *sbc, const Gh__SavedCall *saved);

/**
 * Puts a call of an earlier process in force.
 * @param slot	its record, the call's from now on (or removed).
 * @return 0, ERR_INVALID for a record that can be no call, ERR_EXISTS for a
 *	second one of the same call, ERR_NOMEM: then the record is the
 *	caller's to remove.
 */
GH_MUST_CHECK int call_restore(struct calls *calls, const Gh__SavedCall *saved,
	const struct save_slot *slot);

#endif
