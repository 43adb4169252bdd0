/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Facts about accounts, asked of authd on demand and cached within bounds;
 * never a secret. Calls and bindings hold references, so a change in SQL
 * reaches the next call and leaves the present one as it began.
 */
#ifndef SBC_ACCOUNT_H
#define SBC_ACCOUNT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "common/ipc.pb-c.h"
#include "common/reason.h"

struct authd; /* authd.h */
struct accounts;

struct account {
	unsigned n_refs;
	const Gh__Account *row; /* owned */
};

/** Is this extension registered by us at that trunk (a PBX)? Then challenges of
 * the PBX are answered as this account; else 0. */
static inline uint64_t account_surrogate_at(
	const Gh__Account *row, uint32_t trunk)
{
	return row->surrogate && row->surrogate_trunk == trunk ? row->id : 0;
}

struct account *account_ref(struct account *a);
/** Safe on NULL. */
void account_unref(struct account **a);

/** Wraps a copy of a row. @return 0, or ERR_NOMEM. */
GH_MUST_CHECK int account_new(const Gh__Account *row, struct account **out);

/**
 * Runs once, later.
 * @param account	a reference for the receiver; NULL if not found.
 * @param why		ROUTE_OK, ROUTE_UNKNOWN_NUMBER or AUTH_AWAY.
 */
typedef void (*account_fn)(void *ctx, struct account *account, enum reason why);

struct account_query; /* one under way */

GH_MUST_CHECK int accounts_new(struct authd *authd, struct accounts **out);
size_t accounts_cached(const struct accounts *accounts);
void accounts_free(struct accounts **accounts);

/**
 * Looks an account up, from the cache or by asking authd (deadline 2 s).
 * @param query_out	for account_query_cancel(); valid until fn runs.
 * While authd is away, a fact that is older than its time is better than none.
 * @return 0, ERR_NOMEM, ERR_FULL, ERR_TOO_BIG for the key, or ERR_AWAY.
 */
GH_MUST_CHECK int accounts_find(struct accounts *accounts, Gh__AccountKey by,
	const char *key, account_fn fn, void *ctx,
	struct account_query **query_out);
/** fn will not run. */
void account_query_cancel(struct account_query **query);

/** Puts fresh facts in (from an AuthAnswer); takes references of its own. */
void accounts_keep(struct accounts *accounts, struct account *account);
/** The same with a copy (from BindingsSaved). */
void accounts_learn(struct accounts *accounts, const Gh__Account *row);
/** authd's answer to a question of accounts_find(). */
void accounts_on_answer(
	struct accounts *accounts, const Gh__AccountAnswer *answer);
/** The link to authd is there again: what waits is asked again. Without it a
 * question ends with AUTH_AWAY at its deadline. */
void accounts_on_authd_up(struct accounts *accounts);
/** authd's AccountsChanged. */
void accounts_forget(struct accounts *accounts, const Gh__AccountsChanged *msg);

#endif
