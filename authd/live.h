/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What authd must not forget when it is restarted: the nonce keys, so that no
 * phone is challenged anew, which nonce counts were used, so that no old
 * Authorization header gets in, and who failed how often. Stands in two memory
 * files that keeper holds (common/store.h), so that failures can not take the
 * room of counts; nothing of it is written to a disk.
 *
 * Life: live_on_fd() for what keeper hands over, live_open() once, then
 * live_deposit() whenever keeper comes back.
 */
#ifndef AUTHD_LIVE_H
#define AUTHD_LIVE_H

#include "authd/ban.h"
#include "authd/replay.h"
#include "common/nonce.h"
#include "common/notify.h"
#include "common/store.h"

struct live;

/** @param max_nonces	as of replay_new(). @param max_sources as of ban_new().
 * @return 0, or ERR_NOMEM. */
GH_MUST_CHECK int live_new(
	size_t max_nonces, size_t max_sources, struct live **live_out);
/** The state stays with keeper. Safe on NULL. */
void live_free(struct live **live);
/** Takes fd in every case. */
void live_on_fd(struct live *live, const char *name, int fd);

/**
 * Reads what was found: nonce counts into replay, which from now on writes its
 * own here; the keys, or *found_out = false and nothing in keys_out. Keys come
 * back only with every count that was used with them.
 * @return 0, or an error: authd then lives on without.
 */
GH_MUST_CHECK int live_open(struct live *live, struct replay *replay,
	struct nonce_keys *keys_out, uint64_t *from_us_out, bool *found_out);
/** The open file, borrowed; for tests. */
int live_fd(const struct live *live);
/** Reads what was found of bans, which from now on writes its own there.
 * Failing is no trouble: it lives on without. */
void live_open_bans(struct live *live, struct ban_table *bans);
/** Before anybody is given these keys. */
void live_put_keys(
	struct live *live, const struct nonce_keys *keys, uint64_t from_us);
/** keeper (may be NULL) is there, again. */
void live_deposit(struct live *live, struct notify *keeper);

#endif
