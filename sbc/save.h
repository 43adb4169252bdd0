/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sbc's live state that outlives it (common/store.h): calls, what is known of
 * trunks, contacts of phones, subscriptions, CDRs that authd has not
 * acknowledged, and what accounts have used of their limits. Five files, so
 * that a flood of one kind leaves room for the others.
 *
 * This module keeps the files and says when what was found may be put in
 * force; each owner of an object turns it into a record and back (call_save.c,
 * leg_save.c, binding.c, event_save.c, trunk_save.c, cdr.c, meter.c). A record
 * that cannot be read is dropped with one line.
 *
 *	keeper has handed all over	the files are opened, every record read;
 *					contacts and CDRs are in force at once
 *	settings and sockets are there	trunks, then calls and
 *					subscriptions (saves_settle), before a
 *					datagram is read; but calls in set-up
 *					over a connection once flowd has made
 *					its bridge again
 *
 * The process ends in order (SIGTERM): its calls have been ended and the files
 * are wiped, but for what accounts have used. An upgrade is a restart that
 *gives the process no time: whoever renews it kills it, and its state is met by
 *the new one.
 *
 * Without memory for a record the object lives on unsaved; that is counted
 * (STORE_FULL) and told once a minute at most.
 */
#ifndef SBC_SAVE_H
#define SBC_SAVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "common/ipc.pb-c.h"
#include "common/notify.h"
#include "common/store.h"

struct sbc;
struct saves;

/** Kinds of records; the numbers stand in the files. */
enum save_kind {
	SAVE_CALL = 1,
	SAVE_TRUNK = 2,
	SAVE_BINDING = 3,
	SAVE_CDR = 4,
	SAVE_SUBSCRIPTION = 5,
	SAVE_SWITCHES = 8,
	SAVE_METER = 9,
	SAVE_KIND_END,
};
/** Of every kind: grows when a field of an old record would be misunderstood.
 * A record of a newer one is dropped. */
#define SAVE_VERSION 1u

/** An object's record and what stands in it. Zeroed = none. */
struct save_slot {
	struct store_record *record;
};

/** Who makes objects out of records, and what follows. */
struct save_owners {
	/* By kind. @return 0, and slot is the object's; or an error, and the
	 * record is dropped. */
	int (*restore[SAVE_KIND_END])(struct sbc *sbc,
		const ProtobufCMessage *msg, const struct save_slot *slot);
	/* May it be put in force now? Asked again until it may, for FLOWS_US
	 * at most. */
	bool (*ready)(struct sbc *sbc, enum save_kind kind,
		const ProtobufCMessage *msg);
	/* Contacts and CDRs that were found are in force: what came to be
	 * before the files were open is to be saved. */
	void (*on_open)(struct sbc *sbc);
	/* Calls that were found are in force too. */
	void (*on_settled)(struct sbc *sbc, size_t n_restored);
};

/** @param owners	borrowed. */
GH_MUST_CHECK int saves_new(struct sbc *sbc, const struct save_owners *owners,
	struct saves **saves_out);
/** Leaves the state to the next process, or wipes it. */
void saves_free(struct saves **saves, bool wipe);

/* From keeper's link. */
/** @return whether the descriptor was ours. */
bool saves_on_fd(struct saves *saves, const char *name, int fd);
void saves_on_keeper(struct saves *saves);
/** All sockets of the settings in force are open: puts trunks and calls in
 * force, once. */
void saves_settle(struct saves *saves);
/** Is all that was found in force? Also on NULL. */
bool saves_are_in_force(const struct saves *saves);
/** Writes an object's record if anything has changed. saves may be NULL: then
 * nothing is kept (tests of other parts). The message is copied. */
void save_put(struct saves *saves, enum save_kind kind, struct save_slot *slot,
	const ProtobufCMessage *msg);
/** The same with what is packed already. */
void save_put_bytes(struct saves *saves, enum save_kind kind,
	struct save_slot *slot, const void *bytes, size_t len);
/** Forgets the record. Safe on NULL and on an empty slot. */
void save_drop(
	struct saves *saves, enum save_kind kind, struct save_slot *slot);
/** What stands in the record: the caller's, for save_message_free().
 * @return NULL without a record or memory. */
ProtobufCMessage *save_get(struct saves *saves, enum save_kind kind,
	const struct save_slot *slot);
/** Wipes its keys and frees it. Safe on NULL. */
void save_message_free(enum save_kind kind, ProtobufCMessage *msg);
/** The file that a kind stands in; for tests. */
const struct store_config *save_file_of(enum save_kind kind);
/** Is there a record? */
static inline bool save_has(const struct save_slot *slot)
{
	return slot->record != NULL;
}

#endif
