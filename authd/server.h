/* SPDX-License-Identifier: Apache-2.0 */
/*
 * authd's end of the links: the permit table, the requests under way, and what
 * sbc is told without asking (keys, settings, bindings, bans, changes).
 */
#ifndef AUTHD_SERVER_H
#define AUTHD_SERVER_H

#include "authd/bindings.h"
#include "authd/db.h"
#include "authd/judge.h"
#include "authd/key.h"
#include "authd/records.h"
#include "authd/snapshot.h"
#include "common/control.h"
#include "common/err.h"
#include "common/ipc.h"

struct server;

struct server_config {
	struct daemon *daemon;
	const struct key *key;
	struct vault *settings_vault; /* borrowed */
	struct vault *accounts_vault;
	struct vault *bindings_vault;
	const char *spool_dir;
	size_t account_cache;
	uint64_t account_ttl_us;
};

/** Makes everything that needs no socket and no database. */
GH_MUST_CHECK int server_new(
	const struct server_config *config, struct server **server_out);
/** From now on the database is asked; db is borrowed. */
void server_set_db(struct server *s, struct db *db);
/** keeper hands over a descriptor of the process before us. */
void server_on_keeper_fd(struct server *s, const char *name, int fd);
/** keeper is there, again. */
void server_on_keeper_up(struct server *s);
/** Goes on with the nonces of the process before us, or makes new keys; once,
 * after the first server_on_keeper_up(), before server_listen(). */
void server_resume(struct server *s);
/** Listens at path. */
GH_MUST_CHECK int server_listen(struct server *s, const char *path);
/** Can it serve anything (settings from disk)? For the log. */
bool server_has_settings(const struct server *s);
/** Safe on NULL. */
void server_free(struct server **server);

/* From db: */
void server_on_db_up(void *ctx);
void server_on_db_down(void *ctx);
void server_on_db_notify(void *ctx, const char *channel, const char *payload);

#endif
