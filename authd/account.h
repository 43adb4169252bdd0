/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Accounts with their secrets: asked of the database when somebody needs one,
 * cached within bounds, forgotten when SQL says that they changed. Accounts
 * that registered or called in the last 30 days are kept sealed on disk, and
 * answer while the database is away.
 *
 * An HA1 is in memory only while its entry is in the cache; entries are wiped
 * when they go.
 */
#ifndef AUTHD_ACCOUNT_H
#define AUTHD_ACCOUNT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "authd/db.h"
#include "authd/vault.h"
#include "common/err.h"
#include "common/ipc.pb-c.h"
#include "common/loop.h"

struct accounts;
struct account_wait;

#define ACCOUNT_NEGATIVE_TTL_US (60ull * 1000 * 1000)
#define ACCOUNT_WAITS_MAX       8192u
#define ACCOUNT_KEEP_US         (30ull * 24 * 3600 * 1000 * 1000)

/** @param vault	kept accounts; borrowed. db is set later.
 * @param max_cached	cap on cache entries.
 * @param ttl_us	how long an entry is good without news of it: the
 *		database tells changes at once, this only keeps secrets out of
 *		memory that nobody uses. */
GH_MUST_CHECK int accounts_new(struct loop *loop, struct vault *vault,
	size_t max_cached, uint64_t ttl_us, struct accounts **accounts_out);
void accounts_set_db(struct accounts *a, struct db *db);
/** Waits never call back. Safe on NULL. */
void accounts_free(struct accounts **accounts);

/**
 * Looks into memory.
 * @param record_out	borrowed until the loop turns.
 * @return 0; ERR_NOT_FOUND: the database said so a short while ago;
 *	ERR_AGAIN: ask with account_ask().
 */
GH_MUST_CHECK int account_find(struct accounts *a, Gh__AccountKey by,
	const char *key, const Gh__AccountRecord **record_out);

struct range;

/** What is known about numbers around one that is nobody's (common/ranges.h).
 * @return NULL = nothing; borrowed until the loop turns. */
const struct range *account_nobodys(struct accounts *a, const char *number);

/** @param record	NULL unless err is 0; borrowed until return.
 * err: 0, ERR_NOT_FOUND, or ERR_AWAY: nobody knows. */
typedef void (*account_fn)(void *ctx, int err, const Gh__AccountRecord *record);

/** Asks the database, or the disk if that is away. fn runs later, once.
 * @return 0, ERR_FULL, or ERR_NOMEM. */
GH_MUST_CHECK int account_ask(struct accounts *a, Gh__AccountKey by,
	const char *key, account_fn fn, void *ctx,
	struct account_wait **wait_out);
/** fn will not run. */
void account_cancel(struct account_wait **wait);

/** The account registered or called: it is kept on disk. */
void account_used(struct accounts *a, const Gh__AccountRecord *record);

/** SQL changed this account (0 = any): forget, and bring the disk up to date.
 */
void accounts_changed(struct accounts *a, uint64_t id);

size_t accounts_cached(const struct accounts *a);

/** What an account had at a trunk (a PBX) until SQL changed it some seconds
 * ago; for taking back a registration. NULL = nothing. Borrowed until the next
 * call. */
const Gh__TrunkSecret *account_gone_secret(
	struct accounts *a, uint64_t account, uint32_t trunk);

#endif
