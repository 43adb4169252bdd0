/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One connection to PostgreSQL, by libpq's asynchronous half:
 *
 *	AWAY --timer--> CONNECTING --> SETUP --> IDLE <--> BUSY
 *	 ^                  |            |         |        |
 *	 +---- error, deadline, server gone (back-off 0.1 to 5 s) --+
 *
 * Decides: when to connect again, what a failed statement means for its sender,
 * what is prepared, and that secrets do not stay in libpq's memory. Does not
 * decide whose job is next (db.c).
 */
#include "authd/db_inner.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/reason.h"
#include "common/secret.h"
#include "common/stat.h"

enum {
	BACKOFF_MIN_US = 100 * 1000,
	BACKOFF_MAX_US = 5 * 1000 * 1000,
	CONNECT_US = 5 * 1000 * 1000, /* also to set up, to overwrite */
	/* How long secrets may stand in libpq's buffer: a statement for each
	 * answer costs more than most answers, and they are in the cache of
	 * accounts for longer. */
	OVERWRITE_US = 1000 * 1000,
	/* What waits for a new connection goes first. */
	WARM_AFTER_US = 500 * 1000,
	WARM_US = 5 * 1000 * 1000,
};

static const char setup_sql[] =
	"SET statement_timeout = '10s'; SET lock_timeout = '5s'; "
	"SET idle_in_transaction_session_timeout = '15s'; "
	"SET client_encoding = 'UTF8'; SET search_path = pg_catalog; "
	/* Compiling a plan takes longer than any of ours runs. */
	"SET jit = off; "
	/* Nor is one better for the values: keys are looked up in indexes. */
	"SET plan_cache_mode = force_generic_plan; "
	"SET DateStyle = 'ISO'; SET bytea_output = 'hex'; "
	"SELECT coalesce(max(version), 0) FROM sbc.schema_version";
static const char listen_sql[] =
	"LISTEN sbc_config; LISTEN sbc_account; LISTEN sbc_ban";

static void on_socket(void *arg, int fd, unsigned events);

/* The first line of libpq's words, without its end. */
static void note_problem(struct conn *c, const char *text)
{
	size_t len = strcspn(text, "\n");

	snprintf(c->problem, sizeof(c->problem), "%.*s",
		(int)(len < DB_PROBLEM_SIZE - 1 ? len : DB_PROBLEM_SIZE - 1),
		text);
}

/* While connecting, libpq may replace its socket by one of the same number. */
static int watch(struct conn *c, unsigned events)
{
	if (c->watch && c->state != CONN_CONNECTING) {
		if (c->watched == events)
			return 0;
		c->watched = events;
		return loop_fd_set(c->db->loop, c->watch, events);
	}
	loop_fd_free(c->db->loop, &c->watch);
	c->watched = events;
	return loop_fd_add(
		c->db->loop, PQsocket(c->pg), events, on_socket, c, &c->watch);
}

/* After a statement was given to libpq: most go out at once. */
static int watch_sent(struct conn *c)
{
	int rest = PQflush(c->pg);

	if (rest < 0)
		return ERR_AWAY;
	return watch(c, LOOP_READ | (rest ? LOOP_WRITE : 0u));
}

void db_conn_clear(struct conn *c)
{
	for (size_t i = 0; i < c->n_results; i++) {
		PGresult *r = c->results[i];

		for (int row = 0;
			c->job && c->job->secret && row < PQntuples(r); row++) {
			for (int col = 0; col < PQnfields(r); col++)
				secret_wipe(PQgetvalue(r, row, col),
					(size_t)PQgetlength(r, row, col));
		}
		PQclear(r);
	}
	c->n_results = 0;
}

/* Hands the outcome over; the job is gone afterwards. */
static void db_conn_finish(struct conn *c, int err)
{
	struct job *job = c->job;
	bool wrapped = job->transaction;
	struct db_result result = {
		.err = err,
		.problem = c->problem,
	};

	if (err == 0) {
		result.results = c->results + (wrapped ? 1 : 0);
		result.n = c->n_results - (wrapped ? 2 : 0);
	}
	job->fn(job->ctx, &result);
	db_conn_clear(c);
	c->job = NULL;
	free(job);
}

void db_conn_drop(struct conn *c, int err)
{
	loop_fd_free(c->db->loop, &c->watch);
	if (c->pg)
		PQfinish(c->pg);
	c->pg = NULL;
	c->state = CONN_AWAY;
	c->overwriting = c->outdated = false;
	c->warm = false;
	c->secret_size = 0;
	c->preparing = NULL;
	c->n_prepared = 0;
	/* Slower only after all hosts were tried. */
	c->host++;
	if (c->backoff_us == 0)
		c->backoff_us = BACKOFF_MIN_US;
	else if (c->host % c->db->target.n_hosts == 0)
		c->backoff_us *= 2;
	if (c->backoff_us > BACKOFF_MAX_US)
		c->backoff_us = BACKOFF_MAX_US;
	loop_timer_set(c->db->loop, c->retry, c->backoff_us);
	if (strcmp(c->problem, c->logged) != 0 && c->problem[0]) {
		log_warning(
			"database_connection", LOG_STR("problem", c->problem));
		snprintf(c->logged, sizeof(c->logged), "%s", c->problem);
	}
	if (c->job)
		db_conn_finish(c, err);
	if (c->listens)
		db_say_down(c->db);
}

static void drop_with_pq_problem(struct conn *c)
{
	note_problem(c, PQerrorMessage(c->pg));
	db_conn_drop(c, ERR_AWAY);
}

/* Sends a statement. One that runs often is prepared first, and sent once that
 * is answered (on_prepared()). @return 1, or 0 as libpq says. */
static int send_statement(struct conn *c, const struct db_step *step)
{
	char name[16];
	size_t i = 0;

	while (i < c->n_prepared && c->prepared[i] != step->sql)
		i++;
	if (!step->often || i == DB_PREPARED_MAX)
		return PQsendQueryParams(c->pg, step->sql, (int)step->n_params,
			NULL, step->params, NULL, NULL, 0);
	snprintf(name, sizeof(name), "s%zu", i);
	if (i < c->n_prepared)
		return PQsendQueryPrepared(c->pg, name, (int)step->n_params,
			step->params, NULL, NULL, 0);
	c->preparing = step->sql;
	return PQsendPrepare(c->pg, name, step->sql, (int)step->n_params, NULL);
}

static void send_step(struct conn *c)
{
	if (!send_statement(c, &c->job->steps[c->step]))
		drop_with_pq_problem(c);
}

void db_conn_start(struct conn *c, struct job *job)
{
	c->state = CONN_BUSY;
	c->job = job;
	c->step = 0;
	c->n_results = 0;
	c->err = 0;
	c->outdated = false;
	c->problem[0] = '\0';
	send_step(c);
	if (c->state == CONN_BUSY && watch_sent(c) < 0)
		db_conn_drop(c, ERR_NOMEM);
}

static void become_idle(struct conn *c)
{
	struct db *db = c->db;

	c->state = CONN_IDLE;
	c->backoff_us = 0;
	c->problem[0] = c->logged[0] = '\0';
	if (watch(c, LOOP_READ) < 0) {
		db_conn_drop(c, ERR_NOMEM);
		return;
	}
	if (c->listens) {
		if (!db->up) {
			db->up = true;
			stat_set(STAT_DB_UP, 1);
			log_notice("database_up",
				LOG_STR("database", PQdb(c->pg)));
			db->events.on_up(db->ctx);
		}
		return;
	}
	db_run_queue(db);
}

/* What a failed statement means for its sender. */
static int classify(const PGresult *r)
{
	const char *state = PQresultErrorField(r, PG_DIAG_SQLSTATE);

	if (!state)
		return ERR_AWAY;
	/* 22 data exception, 23 integrity, P0 raised by our functions. */
	if (strncmp(state, "22", 2) == 0 || strncmp(state, "23", 2) == 0 ||
		strncmp(state, "P0", 2) == 0)
		return ERR_INVALID;
	return ERR_AWAY;
}

static int send_overwriting(struct conn *c)
{
	static const char sql[] = "SELECT repeat('0', $1::int)";
	char size[24];
	const struct db_step step = {
		.sql = sql, .often = true, .n_params = 1, .params = {size}};

	snprintf(size, sizeof(size), "%zu", c->secret_size + 4096);
	return send_statement(c, &step);
}

/* After secrets: libpq's input buffer still holds them, so it is made to read
 * as many other bytes over the same place. */
static void overwrite_buffer(struct conn *c)
{
	c->overwriting = true;
	c->state = CONN_BUSY;
	c->deadline_us = clock_now_us() + CONNECT_US;
	c->n_results = 0;
	c->err = 0;
	if (!send_overwriting(c))
		drop_with_pq_problem(c);
	else if (watch_sent(c) < 0)
		db_conn_drop(c, ERR_NOMEM);
}

/* Notes how much the job's answers have left in the buffer. */
static void note_secrets(struct conn *c)
{
	size_t size = 0;

	for (size_t i = 0; i < c->n_results; i++)
		size += PQresultMemorySize(c->results[i]);
	if (c->secret_size == 0)
		c->secret_since_us = clock_now_us();
	if (size + 1 > c->secret_size)
		c->secret_size = size + 1;
}

static bool must_overwrite(const struct conn *c, uint64_t now)
{
	return c->secret_size > 0 && now - c->secret_since_us >= OVERWRITE_US;
}

static void on_warm(void *ctx, const struct db_result *result)
{
	(void)ctx;
	if (result->err != 0) /* nothing is lost but time */
		log_info("database_not_warm",
			LOG_STR("problem", result->problem));
}

static void make_warm(struct conn *c, uint64_t now)
{
	struct job *job = calloc(1, sizeof(*job));

	c->warm = true;
	if (!job)
		return;
	memcpy(job->steps, c->db->warm, sizeof(c->db->warm));
	job->n_steps = c->db->n_warm;
	job->deadline_us = now + WARM_US;
	job->fn = on_warm;
	db_conn_start(c, job);
}

void db_conn_sweep(struct conn *c, uint64_t now)
{
	if (c->state != CONN_IDLE)
		return;
	if (must_overwrite(c, now))
		overwrite_buffer(c);
	else if (!c->listens && !c->warm && c->db->n_warm > 0 &&
		 now - c->up_us >= WARM_AFTER_US)
		make_warm(c, now);
}

static void on_overwritten(struct conn *c)
{
	c->overwriting = false;
	if (c->err != 0) {
		/* Its memory is wiped as it is freed. */
		db_conn_drop(c, ERR_AWAY);
		return;
	}
	c->secret_size = 0;
	become_idle(c);
}

/* A preparation was answered; if it is good, the statement itself goes out. */
static void on_prepared(struct conn *c)
{
	int sent;

	if (c->err != 0) {
		db_conn_drop(c, c->err);
		return;
	}
	c->prepared[c->n_prepared++] = c->preparing;
	c->preparing = NULL;
	sent = c->overwriting ? send_overwriting(c)
			      : send_statement(c, &c->job->steps[c->step]);
	if (!sent)
		drop_with_pq_problem(c);
	else if (watch_sent(c) < 0)
		db_conn_drop(c, ERR_NOMEM);
}

/* Whether anything secret can have come. A called number that is nobody's, as
 * with most calls to a trunk, is answered without a row. */
static bool said_something(const struct conn *c)
{
	if (c->err != 0)
		return true; /* messages may quote values */
	for (size_t i = 0; i < c->n_results; i++) {
		if (PQntuples(c->results[i]) > 0)
			return true;
	}
	return false;
}

static void on_step_end(struct conn *c)
{
	if (c->outdated) {
		/* The schema was changed under us: prepare anew. */
		db_conn_drop(c, ERR_AWAY);
		return;
	}
	c->step++;
	if (c->err == 0 && c->step < c->job->n_steps) {
		send_step(c);
		if (c->state == CONN_BUSY && watch_sent(c) < 0)
			db_conn_drop(c, ERR_NOMEM);
		return;
	}
	if (c->err != 0 && PQtransactionStatus(c->pg) != PQTRANS_IDLE) {
		/* A transaction that failed half way: a new connection is the
		 * cheapest way out, and the server rolls back. */
		db_conn_drop(c, c->err);
		return;
	}
	if (c->job->secret && said_something(c))
		note_secrets(c);
	db_conn_finish(c, c->err);
	if (must_overwrite(c, clock_now_us()))
		overwrite_buffer(c);
	else
		become_idle(c);
}

static void on_setup_end(struct conn *c)
{
	unsigned long version =
		c->n_results > 0
			? strtoul(PQgetvalue(
					  c->results[c->n_results - 1], 0, 0),
				  NULL, 10)
			: 0;
	bool listening = c->step > 0;

	if (c->err != 0) {
		db_conn_clear(c);
		db_conn_drop(c, ERR_AWAY);
		return;
	}
	if (!listening && version < DB_SCHEMA_VERSION) {
		snprintf(c->problem, sizeof(c->problem),
			"the schema sbc is version %lu, this program needs %d: "
			"run sql/migrate",
			version, DB_SCHEMA_VERSION);
		reason_count(REASON_DB_SCHEMA_OLD);
		db_conn_clear(c);
		db_conn_drop(c, ERR_AWAY);
		return;
	}
	db_conn_clear(c);
	if (c->listens && !listening) {
		c->step = 1;
		if (!PQsendQuery(c->pg, listen_sql))
			drop_with_pq_problem(c);
		else if (watch_sent(c) < 0)
			db_conn_drop(c, ERR_NOMEM);
		return;
	}
	c->up_us = clock_now_us();
	become_idle(c);
}

/* "cached plan must not change result type", "prepared statement does not
 * exist". */
static bool is_outdated(const PGresult *r)
{
	const char *state = PQresultErrorField(r, PG_DIAG_SQLSTATE);

	return state &&
	       (strcmp(state, "0A000") == 0 || strcmp(state, "26000") == 0);
}

static void take_result(struct conn *c, PGresult *r)
{
	ExecStatusType status = PQresultStatus(r);
	bool good = status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK;

	if (!good && c->err == 0) {
		c->err = c->state == CONN_SETUP ? ERR_AWAY : classify(r);
		c->outdated = is_outdated(r);
		note_problem(c, PQresultErrorMessage(r));
	}
	/* Of the setup's statements only the last one's rows matter. */
	if (!good || c->overwriting || c->preparing ||
		(c->state == CONN_SETUP && status != PGRES_TUPLES_OK) ||
		c->n_results == DB_RESULTS_MAX) {
		PQclear(r);
		return;
	}
	c->results[c->n_results++] = r;
}

static void take_notifications(struct conn *c)
{
	PGnotify *n;

	while (c->pg && (n = PQnotifies(c->pg))) {
		if (c->listens && c->state == CONN_IDLE)
			c->db->events.on_notify(
				c->db->ctx, n->relname, n->extra);
		PQfreemem(n);
	}
}

static void on_answer(struct conn *c)
{
	PGresult *r;

	if (!PQconsumeInput(c->pg)) {
		drop_with_pq_problem(c);
		return;
	}
	take_notifications(c);
	if (c->state == CONN_IDLE) {
		if (PQstatus(c->pg) == CONNECTION_BAD)
			drop_with_pq_problem(c);
		return;
	}
	while (!PQisBusy(c->pg)) {
		r = PQgetResult(c->pg);
		if (r) {
			take_result(c, r);
			continue;
		}
		if (PQstatus(c->pg) == CONNECTION_BAD)
			drop_with_pq_problem(c);
		else if (c->preparing)
			on_prepared(c);
		else if (c->overwriting)
			on_overwritten(c);
		else if (c->state == CONN_SETUP)
			on_setup_end(c);
		else
			on_step_end(c);
		return;
	}
}

static void on_connecting(struct conn *c)
{
	PostgresPollingStatusType status = PQconnectPoll(c->pg);

	switch (status) {
	case PGRES_POLLING_READING:
		if (watch(c, LOOP_READ) < 0)
			db_conn_drop(c, ERR_NOMEM);
		return;
	case PGRES_POLLING_WRITING:
		if (watch(c, LOOP_WRITE) < 0)
			db_conn_drop(c, ERR_NOMEM);
		return;
	case PGRES_POLLING_OK:
		break;
	default:
		drop_with_pq_problem(c);
		return;
	}
	c->state = CONN_SETUP;
	c->step = 0;
	c->err = 0;
	c->n_results = 0;
	if (PQsetnonblocking(c->pg, 1) != 0 || !PQsendQuery(c->pg, setup_sql))
		drop_with_pq_problem(c);
	else if (watch_sent(c) < 0)
		db_conn_drop(c, ERR_NOMEM);
}

static void on_socket(void *arg, int fd, unsigned events)
{
	struct conn *c = arg;
	int rest;

	(void)fd;
	if (c->state == CONN_CONNECTING) {
		on_connecting(c);
		return;
	}
	if (events & LOOP_WRITE) {
		rest = PQflush(c->pg);
		if (rest < 0) {
			drop_with_pq_problem(c);
			return;
		}
		if (rest == 0 && watch(c, LOOP_READ) < 0) {
			db_conn_drop(c, ERR_NOMEM);
			return;
		}
	}
	if (events & LOOP_READ)
		on_answer(c);
}

/* Notices of the server are not for standard error. */
static void on_notice(void *arg, const PGresult *r)
{
	(void)arg;
	log_debug("database_notice", LOG_STR("text", PQresultErrorMessage(r)));
}

void db_conn_on_retry(void *arg)
{
	struct conn *c = arg;

	c->pg = db_target_connect(&c->db->target, c->host);
	if (!c->pg || PQstatus(c->pg) == CONNECTION_BAD) {
		if (c->pg)
			note_problem(c, PQerrorMessage(c->pg));
		db_conn_drop(c, ERR_AWAY);
		return;
	}
	PQsetNoticeReceiver(c->pg, on_notice, NULL);
	c->state = CONN_CONNECTING;
	c->deadline_us = clock_now_us() + CONNECT_US;
	if (watch(c, LOOP_WRITE) < 0)
		db_conn_drop(c, ERR_NOMEM);
}
