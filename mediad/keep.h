/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What keeper holds for mediad: the live-state store with the sessions' records
 * (live.h), and the media sockets, under one name per session. Control thread
 * only.
 *
 * Sockets are deposited a little after the answer to sbc went out, some
 * sessions per turn of the loop, and forgotten when the session ends. Where
 * keeper or the store has no room a session lives on without: after a kill its
 * ports would be opened anew, or it would be lost.
 */
#ifndef MEDIAD_KEEP_H
#define MEDIAD_KEEP_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/queue.h>

#include "common/loop.h"
#include "common/notify.h"
#include "common/store.h"
#include "mediad/record.h"

/** Sockets of a session: two of each side. */
#define KEEP_FDS_MAX (2 * SIDE_COUNT)

struct keep;

/** A session's part; embedded by its owner. All zeros = nothing is kept. */
struct keep_entry {
	TAILQ_ENTRY(keep_entry) all;
	TAILQ_ENTRY(keep_entry) due;
	bool listed;
	bool queued;    /* to be deposited */
	bool deposited; /* keeper has, or had, something of it */
	char call[IDENT_CALL_SIZE];
	struct store_record *plan;
	struct store_record *words;
	struct live_leg *live; /* [SIDE_COUNT]; NULL = none */
};

/** Gives copies of the session's present descriptors. @return how many. */
typedef size_t (*keep_fds_fn)(
	const struct keep_entry *entry, int fds_out[KEEP_FDS_MAX]);

/** @param capacity	sessions. @return 0, or ERR_NOMEM. */
GH_MUST_CHECK int keep_new(struct loop *loop, size_t capacity, keep_fds_fn fds,
	struct keep **keep_out);
/** @param wipe	also what would outlive us: the process ends for good. */
void keep_free(struct keep **keep, bool wipe);

/** From keeper (struct notify_events); fd is taken. */
void keep_on_fd(struct keep *k, const char *name, int fd);
/** keeper has handed over everything: before keep_open() the descriptors are
 * complete, afterwards everything is deposited again. */
void keep_on_up(struct keep *k, struct notify *keeper);

/** A session of an earlier process. */
struct keep_found {
	struct record_plan plan; /* record_plan_done() */
	struct keep_entry entry; /* to be copied into its owner's place, then
				  * keep_list() or keep_end() */
	int fds[KEEP_FDS_MAX];   /* the receiver's */
	size_t n_fds;
};

/** Reads the earlier process's state, or makes it new. @return 0, or an error
 * of store_open(). */
GH_MUST_CHECK int keep_open(struct keep *k);
/** @return whether there was one more. */
bool keep_next(struct keep *k, struct keep_found *found_out);
/** The next last word of the earlier process; record stays the store's. */
bool keep_next_farewell(struct keep *k, struct record_farewell *f_out,
	struct store_record **record_out);
/** All were taken: what belongs to nobody is closed and forgotten. */
void keep_settle(struct keep *k);

/** Makes a session's words. Without room entry->live stays NULL. */
void keep_begin(struct keep *k, struct keep_entry *e, const char *call);
/** The entry has found its place in memory. */
void keep_list(struct keep *k, struct keep_entry *e);
/** Writes what is wanted, before anything goes by it. */
void keep_plan(
	struct keep *k, struct keep_entry *e, const struct record_plan *plan);
/** The session's descriptors have changed: they are deposited soon. */
void keep_mark(struct keep *k, struct keep_entry *e);
/** Deposits now what is due. */
void keep_flush(struct keep *k);
/** Forgets all of a session. Its worker must not write its words any more. */
void keep_end(struct keep *k, struct keep_entry *e);

/** Writes a last word. *record stays NULL where there is no room. */
void keep_farewell(struct keep *k, const struct record_farewell *f,
	struct store_record **record);
void keep_forget(struct keep *k, struct store_record **record);

/** Records in the store. */
size_t keep_count(const struct keep *k);

#endif
