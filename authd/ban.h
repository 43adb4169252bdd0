/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Counts wrong credentials per source and decides who is banned. A source is
 * counted only if it proved its address (its nonce was bound to it, or it came
 * over a connection), so a spoofed packet can ban nobody; the caller sees to
 * that. Trunks' networks are exempt. A source with live registrations is many
 * phones behind one NAT: there the account is blocked for that source, and the
 * source itself only after many different accounts failed.
 *
 * Pure: clocks come in as numbers, decisions go out as a callback's argument.
 * What counts outlives the process in a store that is its own; without one, or
 * without room in it, it counts all the same.
 */
#ifndef AUTHD_BAN_H
#define AUTHD_BAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/addr.h"
#include "common/err.h"
#include "common/store.h"

/** Failures of different user names that ban a source with registrations, in
 * multiples of the limit. */
#define BAN_SHARED_FACTOR 8

struct ban_limits {
	uint32_t failures;
	uint32_t window_s;
	uint32_t ban_s;
};

struct ban_table;

GH_MUST_CHECK int ban_new(size_t max_sources, struct ban_table **table_out);
/** Safe on NULL. */
void ban_free(struct ban_table **table);

void ban_set_limits(struct ban_table *t, const struct ban_limits *limits);
/** Networks that are never banned (trunks). Takes a copy.
 * @return 0, or ERR_NOMEM; the old list stays then. */
GH_MUST_CHECK int ban_set_exempt(
	struct ban_table *t, const struct addr_net *nets, size_t n);

/** For each record of the store, before ban_attach().
 * @return 0, or an error: it is no record of this table. */
GH_MUST_CHECK int ban_restore(struct ban_table *t, struct store_record *record,
	uint32_t type, uint32_t version, const void *bytes, size_t len);
/** From now on every change is written. @param store borrowed. */
void ban_attach(struct ban_table *t, struct store *store);
/** Slots that a source takes at most, of BAN_SLOT_SIZE bytes. */
#define BAN_SLOT_SIZE    256u
#define BAN_SOURCE_SLOTS 4u

/** What a failure led to. */
enum ban_step {
	BAN_NOTHING,  /* counted */
	BAN_REPEATED, /* the very same attempt again: not counted */
	BAN_ACCOUNT,  /* this user name is blocked from this source */
	BAN_SOURCE,   /* the source is banned */
};

/**
 * Counts one failed attempt.
 * @param user		as sent.
 * @param attempt	hash of nonce and count: a retransmission counts once.
 * @param shared	the source has live registrations.
 * @param failures_out	how many counted so far; may be NULL.
 */
enum ban_step ban_failure(struct ban_table *t, const struct addr *source,
	const char *user, uint64_t attempt, bool shared, uint64_t now_us,
	uint32_t *failures_out);

/** This account logged in from there: its own failures are forgotten. */
void ban_success(
	struct ban_table *t, const struct addr *source, const char *user);

/** May this user name be judged from this source? False while blocked. */
bool ban_user_allowed(const struct ban_table *t, const struct addr *source,
	const char *user, uint64_t now_us);

/** Until when the source is banned; 0 = it is not. */
uint64_t ban_until(
	const struct ban_table *t, const struct addr *source, uint64_t now_us);

/** Puts a ban in force that was made before (start, other process). */
void ban_set(struct ban_table *t, const struct addr *source, uint64_t until_us);
/** Forgets all about a source. @return whether it was banned. */
bool ban_lift(struct ban_table *t, const struct addr *source, uint64_t now_us);

/** Walks the bans in force. */
void ban_each(const struct ban_table *t, uint64_t now_us,
	void (*fn)(void *ctx, const struct addr *host, uint64_t until_us),
	void *ctx);

/** Forgets what no longer counts; call now and then. */
void ban_expire(struct ban_table *t, uint64_t now_us);

#endif
