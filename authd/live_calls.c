/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Passes on what changed among the calls in progress; see live_calls.h. Does
 * not know what a call is, and keeps none: a gap is healed by a message with
 * reset. Called by server's permit table, on authd's loop.
 */
#include "authd/live_calls.h"

#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "common/clock.h"
#include "common/json.h"
#include "common/log.h"

enum {
	HELD_MAX = 32, /* messages */
	STORE_US = 8 * 1000 * 1000,
};

struct held_news {
	STAILQ_ENTRY(held_news) order;
	char *text;
};

struct live_calls {
	struct db *db;
	live_calls_ask_fn ask;
	void *ctx;
	STAILQ_HEAD(, held_news) held;
	unsigned n_held;
	bool storing;
	bool stale; /* something was lost: only a reset is of use */
};

static void pump(struct live_calls *l);

static void drop_first(struct live_calls *l)
{
	struct held_news *h = STAILQ_FIRST(&l->held);

	STAILQ_REMOVE_HEAD(&l->held, order);
	l->n_held--;
	free(h->text);
	free(h);
}

static void lose_all(struct live_calls *l)
{
	while (l->n_held > 0)
		drop_first(l);
	l->stale = true;
}

static void on_stored(void *ctx, const struct db_result *result)
{
	struct live_calls *l = ctx;

	l->storing = false;
	if (result->err == 0) {
		pump(l);
		return;
	}
	log_peer_info(
		"live_calls_not_stored", LOG_STR("problem", result->problem));
	lose_all(l);
	/* Not asked again at once: a server that refuses would be asked for
	 * ever. Away, it tells when it is back. */
	if (result->err == ERR_TIMEOUT && l->db && db_is_up(l->db))
		l->ask(l->ctx);
}

static const char store_sql[] = "SELECT sbc.live_call_store($1::jsonb)";

static void pump(struct live_calls *l)
{
	struct held_news *h = STAILQ_FIRST(&l->held);
	struct db_step step = {
		.sql = store_sql,
		.often = true,
		.n_params = 1,
	};
	const struct db_job job = {
		.steps = &step,
		.n_steps = 1,
		.timeout_us = STORE_US,
		.fn = on_stored,
		.ctx = l,
	};

	if (l->storing || !h)
		return;
	step.params[0] = h->text;
	if (!l->db || db_submit(l->db, &job) < 0) {
		lose_all(l);
		return;
	}
	l->storing = true;
	drop_first(l);
}

static void put_side(struct json *j, const Gh__ActiveCallSide *side,
	const char *const keys[3])
{
	json_str(j, keys[0], side ? side->kind : "");
	json_str(j, keys[1], side ? side->name : "");
	json_str(j, keys[2], side ? side->peer : "");
}

static int make_text(const Gh__ActiveCalls *news, char **text_out)
{
	static const char *const caller[] = {
		"caller_kind", "caller_name", "caller_peer"};
	static const char *const called[] = {
		"called_kind", "called_name", "called_peer"};
	struct json j;

	json_begin(&j);
	json_uint(&j, "worker", news->worker);
	json_bool(&j, "reset", news->reset);
	json_open_array(&j, "ended");
	for (size_t i = 0; i < news->n_ended; i++)
		json_str(&j, NULL, news->ended[i]);
	json_close_array(&j);
	json_open_array(&j, "calls");
	for (size_t i = 0; i < news->n_calls; i++) {
		const Gh__ActiveCall *c = news->calls[i];

		json_open_object(&j, NULL);
		json_str(&j, "call", c->call);
		json_str(&j, "state", c->state);
		json_uint(&j, "wall_start_us", c->wall_start_us);
		json_uint(&j, "wall_answer_us", c->wall_answer_us);
		json_str(&j, "caller", c->caller);
		json_str(&j, "called", c->called);
		put_side(&j, c->caller_side, caller);
		put_side(&j, c->called_side, called);
		json_close_object(&j);
	}
	json_close_array(&j);
	return json_end(&j, text_out);
}

void live_calls_take(struct live_calls *l, const Gh__ActiveCalls *news)
{
	struct held_news *h;

	if (news->reset)
		l->stale = false;
	if (l->stale)
		return;
	if (l->n_held == HELD_MAX) {
		/* The server is slow: what is the case counts, not how it came
		 * about. */
		lose_all(l);
		l->ask(l->ctx);
		return;
	}
	h = calloc(1, sizeof(*h));
	if (!h || make_text(news, &h->text) < 0) {
		free(h);
		lose_all(l);
		return;
	}
	STAILQ_INSERT_TAIL(&l->held, h, order);
	l->n_held++;
	pump(l);
}

void live_calls_on_db_up(struct live_calls *l)
{
	lose_all(l);
	l->ask(l->ctx);
}

void live_calls_set_db(struct live_calls *l, struct db *db)
{
	l->db = db;
	db_warm(db, &(const struct db_step){
			    .sql = store_sql,
			    .often = true,
			    .n_params = 1,
			    .params = {"{\"worker\":0,\"reset\":false,"
				       "\"ended\":[],\"calls\":[]}"},
		    });
}

int live_calls_new(
	live_calls_ask_fn ask, void *ctx, struct live_calls **live_out)
{
	struct live_calls *l = calloc(1, sizeof(*l));

	if (!l)
		return ERR_NOMEM;
	l->ask = ask;
	l->ctx = ctx;
	STAILQ_INIT(&l->held);
	*live_out = l;
	return 0;
}

void live_calls_free(struct live_calls **live)
{
	struct live_calls *l = *live;

	*live = NULL;
	if (!l)
		return;
	while (l->n_held > 0)
		drop_first(l);
	free(l);
}
