/* SPDX-License-Identifier: Apache-2.0 */
/* What the pool (db.c) and one connection of it (db_conn.c) share. */
#ifndef AUTHD_DB_INNER_H
#define AUTHD_DB_INNER_H

#include <sys/queue.h>

#include "authd/db.h"
#include "authd/db_target.h"

enum {
	DB_PROBLEM_SIZE = 256,
	DB_RESULTS_MAX = DB_STEPS_MAX + 2, /* BEGIN and COMMIT */
	DB_PREPARED_MAX = 16,
};

enum conn_state {
	CONN_AWAY,
	CONN_CONNECTING,
	CONN_SETUP,
	CONN_IDLE,
	CONN_BUSY,
	CONN_STATE_COUNT,
};

struct job {
	STAILQ_ENTRY(job) order;
	size_t n_steps;
	struct db_step steps[DB_RESULTS_MAX];
	bool transaction;
	bool secret;
	uint64_t deadline_us;
	db_fn fn;
	void *ctx;
	char text[]; /* the parameters */
};

struct conn {
	struct db *db;
	bool listens;
	enum conn_state state;
	PGconn *pg;
	struct loop_fd *watch;
	unsigned watched; /* events */
	struct loop_timer *retry;
	uint64_t backoff_us;
	size_t host;          /* the next one to try */
	uint64_t deadline_us; /* CONNECTING, SETUP, overwriting */
	struct job *job;
	size_t step;
	PGresult *results[DB_RESULTS_MAX];
	size_t n_results;
	int err;
	bool warm;             /* db.warm has been run */
	uint64_t up_us;        /* since when it stands */
	bool overwriting;      /* the statement that clears libpq's buffer */
	const char *preparing; /* the answer to come is to its preparation */
	bool outdated;         /* what was prepared no longer fits the schema */
	/* Texts of prepared statements "s0", "s1", ... by their addresses. */
	const char *prepared[DB_PREPARED_MAX];
	size_t n_prepared;
	/* Secrets that libpq's buffer may still hold; 0 = none. */
	size_t secret_size;
	uint64_t secret_since_us;
	char problem[DB_PROBLEM_SIZE];
	char logged[DB_PROBLEM_SIZE]; /* the last problem that was told */
};

struct db {
	struct loop *loop;
	struct db_target target;
	struct db_events events;
	void *ctx;
	struct conn *conns;
	size_t n_conns;
	STAILQ_HEAD(, job) queue;
	size_t n_queued;
	struct loop_timer *sweep;
	bool up;
	struct db_step warm[DB_WARM_MAX];
	size_t n_warm;
};

/* db.c */
/** Connection 0 has gone: nobody waits for the database any more. */
void db_say_down(struct db *db);
/** Gives jobs to connections that are idle. */
void db_run_queue(struct db *db);

/* db_conn.c */
/** Timer of a connection that is away: connects. */
void db_conn_on_retry(void *arg);
/** Takes the job; the connection is idle. */
void db_conn_start(struct conn *c, struct job *job);
/** Ends the connection, and its job with err; another try follows. */
void db_conn_drop(struct conn *c, int err);
/** Now and then: an idle connection gets rid of old secrets, a new one that
 * has been idle is made warm. */
void db_conn_sweep(struct conn *c, uint64_t now);
/** Frees the results, wiped if they are secret. */
void db_conn_clear(struct conn *c);

#endif
