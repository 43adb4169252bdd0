/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A sealed store of named records in one file: the last good copy of settings,
 * bindings and accounts, so that the SBC starts and works without database.
 * Appended to, read back whole at the start, compacted when most of it is old.
 *
 * Every record is AES-256-GCM under a key of this file alone (derived from the
 * master key and the file's random salt); its number is the nonce and its place
 * is authenticated, so nobody without the key can read, change, reorder or
 * exchange records. A cut tail (kill, full disk) loses the last records only;
 * a damaged record ends the reading there, with one log line, never fatal.
 *
 * The names stay in memory, the records on disk.
 */
#ifndef AUTHD_VAULT_H
#define AUTHD_VAULT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "authd/key.h"
#include "common/err.h"

#define VAULT_NAME_MAX   64
#define VAULT_RECORD_MAX (64u * 1024u * 1024u)

struct vault;

/**
 * Opens dir/name.sealed, or makes it. A file that this key does not open is
 * kept beside as name.sealed.bad and a new one begun.
 * @param max_records	cap on names.
 * @return 0, ERR_SYSTEM (errno), ERR_NOMEM or ERR_TOO_BIG.
 */
GH_MUST_CHECK int vault_open(const struct key *key, const char *dir,
	const char *name, size_t max_records, struct vault **vault_out);
/** Safe on NULL. */
void vault_free(struct vault **vault);

/** Writes a record, replacing the one of that name. On the disk's way only:
 * flushing vault_fd() makes it durable.
 * @return 0, ERR_FULL, ERR_TOO_BIG, ERR_NOMEM, or ERR_SYSTEM: the disk. */
GH_MUST_CHECK int vault_put(
	struct vault *v, const char *name, const void *bytes, size_t len);
/** Forgets a record; no error if there is none. @return as vault_put(). */
GH_MUST_CHECK int vault_remove(struct vault *v, const char *name);
/** @param bytes_out	wiped and freed by vault_bytes_free().
 * @return 0, ERR_NOT_FOUND, ERR_CORRUPT, ERR_NOMEM or ERR_SYSTEM. */
GH_MUST_CHECK int vault_get(struct vault *v, const char *name,
	uint8_t **bytes_out, size_t *len_out);
void vault_bytes_free(uint8_t **bytes, size_t len);

/** Calls fn for every name; fn may get, put and remove that one. */
void vault_each(
	struct vault *v, void (*fn)(void *ctx, const char *name), void *ctx);
size_t vault_count(const struct vault *v);

/** Was anything written since the last call? Whoever asks flushes vault_fd().
 */
bool vault_is_dirty(struct vault *v);
/** A new file that holds all and has to be flushed before vault_replace() puts
 * it in the old one's place; -1 = none. */
int vault_rewritten_fd(const struct vault *v);
/** @param fd	as vault_rewritten_fd() gave it, flushed. */
void vault_replace(struct vault *v, int fd);
/** The descriptor, for flushing it without blocking. A flush under way holds
 * the file even if the store is rewritten meanwhile. */
int vault_fd(const struct vault *v);

#endif
