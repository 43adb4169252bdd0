/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Nonce counts that were used: nobody gets in twice with one Authorization
 * header, from whatever source. Per nonce a window of counts; bounded, the
 * oldest nonces go first. A count is taken only after the response proved
 * right, so nobody but the account's phone can fill the table.
 *
 * A nonce that was pushed out by newer ones is refused as long as it could
 * still be fresh: forgetting must not open a door.
 */
#ifndef AUTHD_REPLAY_H
#define AUTHD_REPLAY_H

#include <stdint.h>

#include "common/err.h"
#include "common/reason.h"
#include "common/store.h"

/** Counts below the highest one that are told apart (out-of-order arrivals). */
#define REPLAY_WINDOW 64

struct replay;

/** @param max_nonces	cap. @return 0, or ERR_NOMEM. */
GH_MUST_CHECK int replay_new(size_t max_nonces, struct replay **replay_out);
/** Safe on NULL. */
void replay_free(struct replay **replay);

/**
 * Takes one count of a nonce that nonce_check() found good.
 * @param nonce		NONCE_TEXT_LEN characters.
 * @param made_s	its time of making, nonce_made_s().
 * @return AUTH_OK, or AUTH_REPLAY.
 */
enum reason replay_take(
	struct replay *r, const char *nonce, uint32_t made_s, uint32_t nc);

/** Forgets nonces made before this second: they are too old to be accepted. */
void replay_expire(struct replay *r, uint32_t before_s);

size_t replay_count(const struct replay *r);

/* Where counts outlive the process (live.h). */

/** One record that was found, before replay_attach().
 * @return 0, ERR_INVALID or ERR_FULL. */
GH_MUST_CHECK int replay_restore(struct replay *r, struct store_record *record,
	uint32_t type, uint32_t version, const void *bytes, size_t len);
/** From now on each count is written to the store before it is accepted. */
void replay_attach(struct replay *r, struct store *store);

#endif
