/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Records on their way to the database: CDRs, events, bans. They are appended
 * to segment files and flushed in batches; only then the sender hears that its
 * record is safe. The reader takes them in order and says when the database has
 * them; a position file remembers that. After a kill at any point the last ones
 * may be handed out again, none is lost: the database keeps each once by its
 * key (the call ID, or spool id and number).
 *
 * A damaged or cut record is stepped over with one log line. A full disk is
 * reported to the caller, who keeps the record in its own memory.
 */
#ifndef AUTHD_SPOOL_H
#define AUTHD_SPOOL_H

#include <stddef.h>
#include <stdint.h>

#include "authd/sync.h"
#include "common/err.h"
#include "common/loop.h"

enum spool_kind {
	SPOOL_CDR = 1,
	SPOOL_EVENT = 2,
	SPOOL_BAN = 3,
};

/** Records are IPC messages and a little more. */
#define SPOOL_RECORD_MAX   (192u * 1024u)
/** A segment is closed when it has grown to this. */
#define SPOOL_SEGMENT_SIZE (4u * 1024u * 1024u)

struct spool;

struct spool_record {
	uint64_t number; /* counts from 1, in order, without end */
	enum spool_kind kind;
	const uint8_t *bytes; /* borrowed until spool_free() or the next read */
	size_t len;
};

/** Runs once the record is on the disk (0), or the disk failed (ERR_SYSTEM). */
typedef void (*spool_fn)(void *ctx, uint64_t token, int err);

/**
 * Opens the segments in dir, or begins. Cut tails are cut off.
 * @param on_safe	for every spool_append(); later, in order.
 * @return 0, ERR_SYSTEM (errno), ERR_NOMEM or ERR_TOO_BIG.
 */
GH_MUST_CHECK int spool_open(struct loop *loop, struct sync *sync,
	const char *dir, spool_fn on_safe, void *ctx, struct spool **spool_out);
/** Flushes and closes. Safe on NULL. */
void spool_free(struct spool **spool);

/** Random word of this spool, part of its records' keys. */
uint64_t spool_id(const struct spool *s);

/**
 * Appends a record.
 * @param token		handed to on_safe; 0 = nobody needs to know.
 * @return 0, ERR_TOO_BIG, ERR_NOMEM, or ERR_SYSTEM (disk full or broken).
 */
GH_MUST_CHECK int spool_append(struct spool *s, enum spool_kind kind,
	const void *bytes, size_t len, uint64_t token);

/** The first record that is not done and after `after` (0 = the first).
 * @return 0, ERR_AGAIN if there is none, ERR_NOMEM or ERR_SYSTEM. */
GH_MUST_CHECK int spool_read(
	struct spool *s, uint64_t after, struct spool_record *record_out);
/** All records up to number are in the database. */
void spool_done(struct spool *s, uint64_t number);
/** Records that are not done. */
uint64_t spool_waiting(const struct spool *s);

#endif
