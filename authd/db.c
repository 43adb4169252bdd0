/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pool; see db.h: jobs that wait, and the connections that take them.
 * Knows nothing of what is asked. Called by snapshot, account, records,
 * bindings and main on authd's loop. A connection's own life is in db_conn.c.
 *
 * Connection 0 listens and works for nobody.
 */
#include "authd/db_inner.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/stat.h"

enum { SWEEP_US = 100 * 1000 };

void db_say_down(struct db *db)
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
		free(job);
	}
}

void db_run_queue(struct db *db)
{
	for (size_t i = 1; i < db->n_conns; i++) {
		struct job *job = STAILQ_FIRST(&db->queue);

		if (!job)
			return;
		if (db->conns[i].state != CONN_IDLE)
			continue;
		STAILQ_REMOVE_HEAD(&db->queue, order);
		db->n_queued--;
		db_conn_start(&db->conns[i], job);
	}
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
					     c->state == CONN_SETUP ||
					     c->overwriting) &&
					     now > c->deadline_us;

		if (!late) {
			db_conn_sweep(c, now);
			continue;
		}
		snprintf(c->problem, sizeof(c->problem),
			"the server does not answer in time");
		db_conn_drop(c, ERR_TIMEOUT);
	}
	while ((job = STAILQ_FIRST(&db->queue)) && now > job->deadline_us) {
		struct db_result result = {
			.err = ERR_TIMEOUT, .problem = "no connection is free"};

		STAILQ_REMOVE_HEAD(&db->queue, order);
		db->n_queued--;
		job->fn(job->ctx, &result);
		free(job);
	}
	loop_timer_set(db->loop, db->sweep, SWEEP_US);
	db_run_queue(db);
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
		err = loop_timer_new(loop, db_conn_on_retry, c, &c->retry);
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
		db_conn_clear(c);
		if (c->job)
			free(c->job);
		if (c->pg)
			PQfinish(c->pg);
	}
	while ((job = STAILQ_FIRST(&db->queue))) {
		STAILQ_REMOVE_HEAD(&db->queue, order);
		free(job);
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

void db_warm(struct db *db, const struct db_step *step)
{
	if (db->n_warm < DB_WARM_MAX)
		db->warm[db->n_warm++] = *step;
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
