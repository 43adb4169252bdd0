/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who is registered, as sbc last reported: kept sealed on disk at once, written
 * to sbc.binding soon, and given back to sbc after it started. sbc decides
 * about bindings; this only remembers them.
 */
#ifndef AUTHD_BINDINGS_H
#define AUTHD_BINDINGS_H

#include <stdbool.h>
#include <stddef.h>

#include "authd/db.h"
#include "authd/vault.h"
#include "common/addr.h"
#include "common/err.h"
#include "common/ipc.h"
#include "common/loop.h"

#define BINDINGS_ACCOUNTS_MAX 1000000u
#define BINDINGS_PER_ACCOUNT  64u

struct bindings;

/** Reads what the disk has. vault is borrowed. */
GH_MUST_CHECK int bindings_new(
	struct loop *loop, struct vault *vault, struct bindings **bindings_out);
void bindings_set_db(struct bindings *b, struct db *db);
void bindings_free(struct bindings **bindings);

/** sbc's news of one account. @return 0, ERR_TOO_BIG, ERR_FULL, ERR_NOMEM. */
GH_MUST_CHECK int bindings_update(
	struct bindings *b, const Gh__BindingsUpdate *update);
/** The database is up: write all of them again. */
void bindings_on_db_up(struct bindings *b);
/** The account was deleted. */
void bindings_forget(struct bindings *b, uint64_t account);

/** The accounts that have bindings. @param ids_out free() it.
 * @return 0, or ERR_NOMEM. */
GH_MUST_CHECK int bindings_list(
	const struct bindings *b, uint64_t **ids_out, size_t *n_out);
/** An account's bindings, or NULL; borrowed until the loop turns. */
const Gh__BindingsUpdate *bindings_find(
	const struct bindings *b, uint64_t account);

/** Is a phone registered from this host? */
bool bindings_has_host(const struct bindings *b, const struct addr *source);
size_t bindings_count(const struct bindings *b);

#endif
