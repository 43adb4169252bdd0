/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The settings: read from the database in one transaction, checked row by row,
 * pushed to sbc as a numbered set, and, once sbc has taken it over, kept sealed
 * on disk as the last good copy. A set that sbc refuses changes nothing; the
 * table config_status says why.
 *
 * What authd itself needs of the settings (digest realms and challenges, trunk
 * addresses and secrets, limits of bans) follows the set that is in force.
 * Secrets stay here: the pieces for sbc have none.
 */
#ifndef AUTHD_SNAPSHOT_H
#define AUTHD_SNAPSHOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "authd/db.h"
#include "authd/digest.h"
#include "authd/vault.h"
#include "common/addr.h"
#include "common/err.h"
#include "common/ipc.h"
#include "common/loop.h"

/** One set, whole. */
struct snapshot {
	Gh__SettingsSaved *saved; /* version, pieces, secrets, shares */
	uint8_t hash[32];         /* of everything but the version */
};

struct snapshots;

struct snapshots_events {
	/* Another set is in force for authd's own decisions. */
	void (*on_change)(void *ctx);
	/* A set waits for sbc's judgement: send it with snapshots_send(). */
	void (*on_new)(void *ctx);
};

/** Loads the last good copy. vault is borrowed. */
GH_MUST_CHECK int snapshots_new(struct loop *loop, struct vault *vault,
	const struct snapshots_events *events, void *ctx,
	struct snapshots **snapshots_out);
void snapshots_set_db(struct snapshots *s, struct db *db);
void snapshots_free(struct snapshots **snapshots);

/** Reads the database soon; calls within a short while are one reading. */
void snapshots_read(struct snapshots *s);

/** Sends what sbc should work by: the newest set that it has not refused.
 * Nothing if there is none. @return 0, ERR_AGAIN if there is none, or what
 * ipc_send() says. */
GH_MUST_CHECK int snapshots_send(struct snapshots *s, struct ipc_link *link);

/** sbc's judgement. */
void snapshots_on_result(struct snapshots *s, const Gh__SettingsResult *result);

/* What authd itself works by; NULL or empty before the first set. */

const Gh__Realm *snapshots_realm(const struct snapshots *s, uint32_t id);
const Gh__Trunk *snapshots_trunk(const struct snapshots *s, uint32_t id);
const Gh__TrunkSecret *snapshots_trunk_secret(
	const struct snapshots *s, uint32_t trunk);
/** The same of the set before, for some seconds: a trunk that was deleted takes
 * back its registration. */
const Gh__Trunk *snapshots_gone_trunk(const struct snapshots *s, uint32_t id);
const Gh__TrunkSecret *snapshots_gone_secret(
	const struct snapshots *s, uint32_t trunk);
/** A number from sbc.setting within [min, max]; def if absent or outside. */
uint64_t snapshots_number(const struct snapshots *s, const char *name,
	uint64_t def, uint64_t min, uint64_t max);
bool snapshots_have(const struct snapshots *s);
uint64_t snapshots_version(const struct snapshots *s);
/** Walks trunks in force. */
void snapshots_each_trunk(const struct snapshots *s,
	void (*fn)(void *ctx, const Gh__Trunk *trunk), void *ctx);
/** Do accounts of this realm have challenges of their own? */
bool snapshots_has_shares(const struct snapshots *s, uint32_t realm);
/** The challenges for a user name that no account has: one of the lists in
 * use, by their shares, picked by a number that stays the same per name. */
const char *snapshots_pick_digest(
	const struct snapshots *s, uint32_t realm, uint64_t pick);

/* For tests: builds a set from results in the order of snapshot_queries. */
extern const char *const snapshot_queries[];
extern const size_t snapshot_n_queries;
GH_MUST_CHECK int snapshot_build(PGresult *const *results, uint64_t version,
	struct snapshot *snapshot_out, char *problem, size_t problem_size);
void snapshot_done(struct snapshot *snapshot);

#endif
