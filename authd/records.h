/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CDRs, events and bans on their way into the database: first into the spool on
 * disk, then acknowledged, then written in order, each exactly once (by its
 * key), as soon as the database takes them. A record that the database refuses
 * is logged whole and stepped over, so that one bad row never dams the rest.
 */
#ifndef AUTHD_RECORDS_H
#define AUTHD_RECORDS_H

#include <stddef.h>
#include <stdint.h>

#include "authd/db.h"
#include "authd/spool.h"
#include "common/err.h"
#include "common/ident.h"
#include "common/ipc.pb-c.h"
#include "common/loop.h"

struct records;

/** The CDR with this token is safe: acknowledge it. */
typedef void (*records_safe_fn)(void *ctx, uint64_t token);

GH_MUST_CHECK int records_new(struct loop *loop, struct sync *sync,
	const char *dir, records_safe_fn on_safe, void *ctx,
	struct records **records_out);
void records_set_db(struct records *r, struct db *db);
void records_free(struct records **records);

/** The database is up: go on. */
void records_pump(struct records *r);

/** @param token	handed to on_safe once the CDR is on disk or, where the
 *disk is full, in the database.
 * @return 0, ERR_INVALID for a CDR without a call ID, ERR_FULL, ERR_NOMEM. */
GH_MUST_CHECK int records_cdr(
	struct records *r, const Gh__Cdr *cdr, uint64_t token);
void records_event(struct records *r, const Gh__Event *event);
void records_ban(struct records *r, const Gh__BanRecord *ban);

/** Records that the database does not have yet. */
uint64_t records_waiting(const struct records *r);
/** Whatever was noted before this time (clock_now_us()) is in the database. */
uint64_t records_stored_before(const struct records *r);

/** The lists that sbc.records_store() takes, in its order. */
enum record_list {
	RECORD_CDRS,
	RECORD_LEGS,
	RECORD_EVENTS,
	RECORD_BANS,
	RECORD_LISTS,
};

/** What one record is there: a CDR and two sides of a call at most. */
struct record_rows {
	struct {
		enum record_list list;
		char *json; /* one object */
	} row[3];
	size_t n;
	char call[IDENT_CALL_SIZE]; /* of a CDR, else empty */
};

/** @param key	of events and bans.
 * @param rows_out	for records_json_free(); empty after an error.
 * @return 0, ERR_INVALID, ERR_NOMEM or ERR_TOO_BIG. */
GH_MUST_CHECK int records_json(enum spool_kind kind, const uint8_t *bytes,
	size_t len, const char *key, struct record_rows *rows_out);
void records_json_free(struct record_rows *rows);

#endif
