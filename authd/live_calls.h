/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls in progress on their way from sbc to the view sbc.active_call. News,
 * not records: one statement at a time keeps their order, little is held, and
 * what got lost with the database is made good by asking sbc for all of them.
 */
#ifndef AUTHD_LIVE_CALLS_H
#define AUTHD_LIVE_CALLS_H

#include "authd/db.h"
#include "common/ipc.pb-c.h"

struct live_calls;

/** Asks sbc to tell all calls again. */
typedef void (*live_calls_ask_fn)(void *ctx);

GH_MUST_CHECK int live_calls_new(live_calls_ask_fn ask, void *ctx,
	struct live_calls **live_out);
/** Safe on NULL. After the database's jobs have ended. */
void live_calls_free(struct live_calls **live);
void live_calls_set_db(struct live_calls *live, struct db *db);
/** The database is there (again). */
void live_calls_on_db_up(struct live_calls *live);
/** Takes over one message; never blocks, never fails loudly. */
void live_calls_take(struct live_calls *live, const Gh__ActiveCalls *news);

#endif
