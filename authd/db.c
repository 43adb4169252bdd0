/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pool; see db.h. Knows libpq and nothing of what is asked. Called by
 * snapshot, account, records, bindings and main on authd's loop.
 *
 *	AWAY --timer--> CONNECTING --> SETUP --> IDLE <--> BUSY
 *	 ^                  |            |         |        |
 *	 +---- error, deadline, server gone (back-off 0.1 to 5 s) --+
 *
 * Connection 0 listens and works for nobody.
 */
#include "authd/db.h"
#include "authd/db_target.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/reason.h"
#include "common/secret.h"
#include "common/stat.h"

enum {
	BACKOFF_MIN_US = 100 * 1000,
	BACKOFF_MAX_US = 5 * 1000 * 1000,
	CONNECT_US = 5 * 1000 * 1000,
	SWEEP_US = 100 * 1000,
	PROBLEM_SIZE = 256,
	RESULTS_MAX = DB_STEPS_MAX + 2, /* BEGIN and COMMIT */
	PREPARED_MAX = 16,
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
	struct db_step steps[RESULTS_MAX];
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
	uint64_t deadline_us; /* CONNECTING, SETUP */
	struct job *job;
	size_t step;
	PGresult *results[RESULTS_MAX];
	size_t n_results;
	int err;
	bool overwriting;      /* the statement that clears libpq's buffer */
	const char *preparing; /* the answer to come is to its preparation */
	bool outdated;         /* what was prepared no longer fits the schema */
	/* Texts of prepared statements "s0", "s1", ... by their addresses. */
	const char *prepared[PREPARED_MAX];
	size_t n_prepared;
	size_t secret_size;
	char problem[PROBLEM_SIZE];
	char logged[PROBLEM_SIZE]; /* the last problem that was told */
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
};

static const char setup_sql[] =
	"SET statement_timeout = '10s'; SET lock_timeout = '5s'; "
	"SET idle_in_transaction_session_timeout = '15s'; "
	"SET client_encoding = 'UTF8'; SET search_path = pg_catalog; "
	/* Compiling a plan takes longer than any of ours runs. */
	"SET jit = off; "
	"SET DateStyle = 'ISO'; SET bytea_output = 'hex'; "
	"SELECT coalesce(max(version), 0) FROM sbc.schema_version";
static const char listen_sql[] =
	"LISTEN sbc_config; LISTEN sbc_account; LISTEN sbc_ban";

static void on_socket(void *arg, int fd, unsigned events);
static void run_queue(struct db *db);

/* The first line of libpq's words, without its end. */
static void note_problem(struct conn *c, const char *text)
{
	size_t len = strcspn(text, "\n");

	snprintf(c->problem, sizeof(c->problem), "%.*s",
		(int)(len < PROBLEM_SIZE - 1 ? len : PROBLEM_SIZE - 1), text);
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

static void clear_results(struct conn *c)
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

static void job_free(struct job *job)
{
	free(job);
}

/* Hands the outcome over; the job is gone afterwards. */
static void finish_job(struct conn *c, int err)
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
	clear_results(c);
	c->job = NULL;
	job_free(job);
}

static void say_down(struct db *db)
{
	struct job *job;

	if (db->up) {
		db->up = false;
		stat_set(STAT_DB_UP, 0);
		log_warning("database_away",
			LOG_STR("problem", db->conns[0].problem));
		db->events.on_down(db->ctx);
	}
	while (!db->up && (job = STAILQ_FIRST(&db->queue))) {
		struct db_result result = {
			.err = ERR_AWAY, .problem = "the database is away"};

		STAILQ_REMOVE_HEAD(&db->queue, order);
		db->n_queued--;
		job->fn(job->ctx, &result);
		job_free(job);
	}
}

static void conn_drop(struct conn *c, int err)
{
	loop_fd_free(c->db->loop, &c->watch);
	if (c->pg)
		PQfinish(c->pg);
	c->pg = NULL;
	c->state = CONN_AWAY;
	c->overwriting = c->outdated = false;
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
		finish_job(c, err);
	if (c->listens)
		say_down(c->db);
}

static void drop_with_pq_problem(struct conn *c)
{
	note_problem(c, PQerrorMessage(c->pg));
	conn_drop(c, ERR_AWAY);
}

/* Sends a statement. One that runs often is prepared first, and sent once that
 * is answered (on_prepared()). @return 1, or 0 as libpq says. */
static int send_statement(struct conn *c, const struct db_step *step)
{
	char name[16];
	size_t i = 0;

	while (i < c->n_prepared && c->prepared[i] != step->sql)
		i++;
	if (!step->often || i == PREPARED_MAX)
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

static void start_job(struct conn *c, struct job *job)
{
	c->state = CONN_BUSY;
	c->job = job;
	c->step = 0;
	c->n_results = 0;
	c->err = 0;
	c->outdated = false;
	c->secret_size = 0;
	c->problem[0] = '\0';
	send_step(c);
	if (c->state == CONN_BUSY && watch_sent(c) < 0)
		conn_drop(c, ERR_NOMEM);
}

static void run_queue(struct db *db)
{
	for (size_t i = 1; i < db->n_conns; i++) {
		struct job *job = STAILQ_FIRST(&db->queue);

		if (!job)
			return;
		if (db->conns[i].state != CONN_IDLE)
			continue;
		STAILQ_REMOVE_HEAD(&db->queue, order);
		db->n_queued--;
		start_job(&db->conns[i], job);
	}
}

static void become_idle(struct conn *c)
{
	struct db *db = c->db;

	c->state = CONN_IDLE;
	c->backoff_us = 0;
	c->problem[0] = c->logged[0] = '\0';
	if (watch(c, LOOP_READ) < 0) {
		conn_drop(c, ERR_NOMEM);
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
	run_queue(db);
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
	if (!send_overwriting(c))
		drop_with_pq_problem(c);
	else if (watch_sent(c) < 0)
		conn_drop(c, ERR_NOMEM);
}

/* A preparation was answered; if it is good, the statement itself goes out. */
static void on_prepared(struct conn *c)
{
	int sent;

	if (c->err != 0) {
		conn_drop(c, c->err);
		return;
	}
	c->prepared[c->n_prepared++] = c->preparing;
	c->preparing = NULL;
	sent = c->overwriting ? send_overwriting(c)
			      : send_statement(c, &c->job->steps[c->step]);
	if (!sent)
		drop_with_pq_problem(c);
	else if (watch_sent(c) < 0)
		conn_drop(c, ERR_NOMEM);
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
	bool secret = c->job->secret;

	if (c->outdated) {
		/* The schema was changed under us: prepare anew. */
		conn_drop(c, ERR_AWAY);
		return;
	}
	c->step++;
	if (c->err == 0 && c->step < c->job->n_steps) {
		send_step(c);
		if (c->state == CONN_BUSY && watch_sent(c) < 0)
			conn_drop(c, ERR_NOMEM);
		return;
	}
	if (c->err != 0 && PQtransactionStatus(c->pg) != PQTRANS_IDLE) {
		/* A transaction that failed half way: a new connection is the
		 * cheapest way out, and the server rolls back. */
		conn_drop(c, c->err);
		return;
	}
	for (size_t i = 0; secret && i < c->n_results; i++)
		c->secret_size += PQresultMemorySize(c->results[i]);
	secret = secret && said_something(c);
	finish_job(c, c->err);
	if (secret)
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
		clear_results(c);
		conn_drop(c, ERR_AWAY);
		return;
	}
	if (!listening && version < DB_SCHEMA_VERSION) {
		snprintf(c->problem, sizeof(c->problem),
			"the schema sbc is version %lu, this program needs %d: "
			"run sql/migrate",
			version, DB_SCHEMA_VERSION);
		reason_count(REASON_DB_SCHEMA_OLD);
		clear_results(c);
		conn_drop(c, ERR_AWAY);
		return;
	}
	clear_results(c);
	if (c->listens && !listening) {
		c->step = 1;
		if (!PQsendQuery(c->pg, listen_sql))
			drop_with_pq_problem(c);
		else if (watch_sent(c) < 0)
			conn_drop(c, ERR_NOMEM);
		return;
	}
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
		c->n_results == RESULTS_MAX) {
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
		else if (c->overwriting) {
			c->overwriting = false;
			become_idle(c);
		} else if (c->state == CONN_SETUP)
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
			conn_drop(c, ERR_NOMEM);
		return;
	case PGRES_POLLING_WRITING:
		if (watch(c, LOOP_WRITE) < 0)
			conn_drop(c, ERR_NOMEM);
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
		conn_drop(c, ERR_NOMEM);
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
			conn_drop(c, ERR_NOMEM);
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

static void on_retry(void *arg)
{
	struct conn *c = arg;

	c->pg = db_target_connect(&c->db->target, c->host);
	if (!c->pg || PQstatus(c->pg) == CONNECTION_BAD) {
		if (c->pg)
			note_problem(c, PQerrorMessage(c->pg));
		conn_drop(c, ERR_AWAY);
		return;
	}
	PQsetNoticeReceiver(c->pg, on_notice, NULL);
	c->state = CONN_CONNECTING;
	c->deadline_us = clock_now_us() + CONNECT_US;
	if (watch(c, LOOP_WRITE) < 0)
		conn_drop(c, ERR_NOMEM);
}

static void on_sweep(void *arg)
{
	struct db *db = arg;
	uint64_t now = clock_now_us();
	struct job *job;

	for (size_t i = 0; i < db->n_conns; i++) {
		struct conn *c = &db->conns[i];
		bool late = c->job ? now > c->job->deadline_us
				   : (c->state == CONN_CONNECTING ||
					     c->state == CONN_SETUP) &&
					     now > c->deadline_us;

		if (!late)
			continue;
		snprintf(c->problem, sizeof(c->problem),
			"the server does not answer in time");
		conn_drop(c, ERR_TIMEOUT);
	}
	while ((job = STAILQ_FIRST(&db->queue)) && now > job->deadline_us) {
		struct db_result result = {
			.err = ERR_TIMEOUT, .problem = "no connection is free"};

		STAILQ_REMOVE_HEAD(&db->queue, order);
		db->n_queued--;
		job->fn(job->ctx, &result);
		job_free(job);
	}
	loop_timer_set(db->loop, db->sweep, SWEEP_US);
	run_queue(db);
}

int db_new(struct loop *loop, const char *conninfo, size_t n,
	const struct db_events *events, void *ctx, char *problem,
	size_t problem_size, struct db **db_out)
{
	struct db_target target;
	struct db *db;
	int err;

	err = db_target_read(conninfo, &target, problem, problem_size);
	if (err < 0)
		return err;
	db = calloc(1, sizeof(*db));
	if (!db) {
		PQconninfoFree(target.options);
		return ERR_NOMEM;
	}
	db->target = target;
	db->loop = loop;
	db->events = *events;
	db->ctx = ctx;
	STAILQ_INIT(&db->queue);
	err = ERR_NOMEM;
	db->conns = calloc(n + 1, sizeof(*db->conns));
	if (!db->conns)
		goto fail;
	err = loop_timer_new(loop, on_sweep, db, &db->sweep);
	if (err < 0)
		goto fail;
	for (size_t i = 0; i <= n; i++) {
		struct conn *c = &db->conns[i];

		c->db = db;
		c->listens = i == 0;
		err = loop_timer_new(loop, on_retry, c, &c->retry);
		if (err < 0)
			goto fail;
		db->n_conns++;
		loop_timer_set(loop, c->retry, 0);
	}
	loop_timer_set(loop, db->sweep, SWEEP_US);
	*db_out = db;
	return 0;
fail:
	db_free(&db);
	return err;
}

void db_free(struct db **db_in)
{
	struct db *db = *db_in;
	struct job *job;

	*db_in = NULL;
	if (!db)
		return;
	for (size_t i = 0; i < db->n_conns; i++) {
		struct conn *c = &db->conns[i];

		loop_fd_free(db->loop, &c->watch);
		loop_timer_free(db->loop, &c->retry);
		clear_results(c);
		if (c->job)
			job_free(c->job);
		if (c->pg)
			PQfinish(c->pg);
	}
	while ((job = STAILQ_FIRST(&db->queue))) {
		STAILQ_REMOVE_HEAD(&db->queue, order);
		job_free(job);
	}
	loop_timer_free(db->loop, &db->sweep);
	free(db->conns);
	db_target_done(&db->target);
	free(db);
}

bool db_is_up(const struct db *db)
{
	return db->up;
}

static size_t params_size(const struct db_job *job)
{
	size_t size = 0;

	for (size_t i = 0; i < job->n_steps; i++) {
		for (size_t p = 0; p < job->steps[i].n_params; p++) {
			if (job->steps[i].params[p])
				size += strlen(job->steps[i].params[p]) + 1;
		}
	}
	return size;
}

int db_submit(struct db *db, const struct db_job *job)
{
	size_t first = job->transaction ? 1 : 0;
	struct job *copy;
	char *text;

	if (!db->up)
		return ERR_AWAY;
	if (job->n_steps == 0 || job->n_steps > DB_STEPS_MAX)
		return ERR_TOO_BIG;
	if (db->n_queued >= DB_QUEUE_MAX)
		return ERR_FULL;
	copy = calloc(1, sizeof(*copy) + params_size(job));
	if (!copy)
		return ERR_NOMEM;
	text = copy->text;
	for (size_t i = 0; i < job->n_steps; i++) {
		struct db_step *step = &copy->steps[first + i];

		*step = job->steps[i];
		for (size_t p = 0; p < step->n_params; p++) {
			if (!step->params[p])
				continue;
			size_t len = strlen(step->params[p]) + 1;

			step->params[p] = memcpy(text, step->params[p], len);
			text += len;
		}
	}
	copy->n_steps = job->n_steps;
	if (job->transaction) {
		copy->steps[0].sql = "BEGIN ISOLATION LEVEL REPEATABLE READ "
				     "READ ONLY";
		copy->steps[job->n_steps + 1].sql = "COMMIT";
		copy->n_steps += 2;
	}
	copy->transaction = job->transaction;
	copy->secret = job->secret;
	copy->deadline_us = clock_now_us() + job->timeout_us;
	copy->fn = job->fn;
	copy->ctx = job->ctx;
	STAILQ_INSERT_TAIL(&db->queue, copy, order);
	db->n_queued++;
	/* Statements begin from the loop: fn never runs before we return. */
	loop_timer_set(db->loop, db->sweep, 0);
	return 0;
}

const char *db_text(const PGresult *r, int row, const char *column)
{
	int col = PQfnumber(r, column);

	return col < 0 || PQgetisnull(r, row, col) ? ""
						   : PQgetvalue(r, row, col);
}

uint64_t db_u64(const PGresult *r, int row, const char *column)
{
	return strtoull(db_text(r, row, column), NULL, 10);
}

uint32_t db_u32(const PGresult *r, int row, const char *column)
{
	uint64_t v = db_u64(r, row, column);

	return v > UINT32_MAX ? UINT32_MAX : (uint32_t)v;
}

bool db_bool(const PGresult *r, int row, const char *column)
{
	return db_text(r, row, column)[0] == 't';
}
