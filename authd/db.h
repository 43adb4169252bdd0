/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PostgreSQL without blocking: a pool of connections on the loop, one more that
 * listens for notifications, reconnection with back-off, deadlines. Statements
 * are constant text; everything else is a bound parameter. A stalled server
 * costs a connection, never time.
 *
 * "Up" means that the listening connection stands: what changes from then on
 * will be heard, so on_up is the moment to read everything.
 */
#ifndef AUTHD_DB_H
#define AUTHD_DB_H

#include <libpq-fe.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "common/loop.h"

#define DB_PARAMS_MAX      8
#define DB_STEPS_MAX       24
#define DB_QUEUE_MAX       4096
#define DB_CONNECTIONS_MAX 16
#define DB_WARM_MAX        12
/** Oldest schema that this program can work with. */
#define DB_SCHEMA_VERSION  24

struct db;

/** One statement of a job. */
struct db_step {
	const char *sql; /* static text */
	bool often; /* prepared once per connection: planning can cost far more
		       than running */
	size_t n_params;
	const char *params[DB_PARAMS_MAX]; /* copied; NULL = null */
};

struct db_result {
	int err; /* 0; ERR_AWAY: no answer or a fault of the server, try later;
		    ERR_INVALID: the server refuses this data, do not try again;
		    ERR_TIMEOUT */
	const char *problem;      /* one line, "" if none */
	PGresult *const *results; /* n, one per step; borrowed until return */
	size_t n;
};

typedef void (*db_fn)(void *ctx, const struct db_result *result);

struct db_job {
	const struct db_step *steps;
	size_t n_steps;
	bool transaction; /* read only, one snapshot (REPEATABLE READ) */
	bool secret;      /* results are wiped, libpq's buffer overwritten */
	uint64_t timeout_us;
	db_fn fn; /* later, once */
	void *ctx;
};

struct db_events {
	void (*on_up)(void *ctx);
	void (*on_down)(void *ctx);
	void (*on_notify)(void *ctx, const char *channel, const char *payload);
};

/**
 * Starts to connect. Of a list of hosts each attempt tries one, the next
 * attempt the next. A host given by name is resolved by libpq, which blocks:
 * use addresses (hostaddr) where the resolver may be slow.
 * @param conninfo	copied. @param n connections besides the listener.
 * @return 0, ERR_NOMEM, or ERR_INVALID with problem (of problem_size bytes)
 *	for a connection string that libpq does not understand.
 */
GH_MUST_CHECK int db_new(struct loop *loop, const char *conninfo, size_t n,
	const struct db_events *events, void *ctx, char *problem,
	size_t problem_size, struct db **db_out);
/** Jobs that are not finished never call back. Safe on NULL. */
void db_free(struct db **db);
bool db_is_up(const struct db *db);

/**
 * A statement that will run often, with parameters that make it do nothing:
 * each connection runs it once when it has nothing else to do, because the
 * first time costs the planner more than a hundred others and somebody would
 * wait.
 * @param step	all texts are static. More than DB_WARM_MAX are left out.
 */
void db_warm(struct db *db, const struct db_step *step);

/** @return 0, ERR_AWAY, ERR_FULL, ERR_TOO_BIG or ERR_NOMEM. */
GH_MUST_CHECK int db_submit(struct db *db, const struct db_job *job);

/** Text of a cell; "" for null. */
const char *db_text(const PGresult *r, int row, const char *column);
uint64_t db_u64(const PGresult *r, int row, const char *column);
uint32_t db_u32(const PGresult *r, int row, const char *column);
bool db_bool(const PGresult *r, int row, const char *column);

#endif
