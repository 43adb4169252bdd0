/* SPDX-License-Identifier: Apache-2.0 */
/* The connection string, and one attempt to connect; for db.c. */
#ifndef AUTHD_DB_TARGET_H
#define AUTHD_DB_TARGET_H

#include <libpq-fe.h>
#include <stddef.h>

#include "common/err.h"

/* The connection string, taken apart. libpq tries the hosts of a list one
 * after another, but leaves it to the caller to notice that one is silent; so
 * each attempt names one host, and the next attempt the next one. */
struct db_target {
	PQconninfoOption *options; /* owned */
	size_t n_hosts;            /* at least 1 */
};

/** @return 0, or ERR_INVALID with problem for a string that libpq does not
 * understand. */
GH_MUST_CHECK int db_target_read(const char *conninfo,
	struct db_target *target_out, char *problem, size_t size);
void db_target_done(struct db_target *t);
/** Begins to connect to the host whose turn it is. @return NULL without
 * memory. */
PGconn *db_target_connect(const struct db_target *t, size_t turn);

#endif
