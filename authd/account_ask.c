/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Questions to the database about accounts. Whoever asks the same waits with
 * the first. The first question of a quiet time goes out at once; what comes
 * within gather_us of it is asked together, because a statement and the
 * overwriting after it cost the database, and both processes in wake-ups, more
 * than another row does.
 *
 * Decides: which questions go together, and that the disk answers where the
 * database cannot. Does not decide what a record means or how long it is good
 * (account.c). Called by account.c's users through account.h, and by db.
 */
#include "authd/account_i.h"

#include <stdlib.h>
#include <string.h>

#include "authd/row.h"
#include "common/clock.h"
#include "common/log.h"

/* What was asked stands in each row. Neither an outer join nor a list as a
 * table: the planner must see the keys. */
#define SURROGATE ACCOUNT_SURROGATE_SQL
static const char *const ask_sql[] = {
	[GH__ACCOUNT_KEY__ACCOUNT_BY_ID] =
		"SELECT a.id AS asked, a.*, " SURROGATE
		" FROM sbc.authd_account a "
		"WHERE a.id = ANY (string_to_array($1, ' ')::bigint[])",
	[GH__ACCOUNT_KEY__ACCOUNT_BY_USER] =
		"SELECT a.username AS asked, a.*, " SURROGATE
		" FROM sbc.authd_account a "
		"WHERE a.username = ANY (string_to_array($1, ' '))",
	[GH__ACCOUNT_KEY__ACCOUNT_BY_EXTENSION] =
		"SELECT a.extension AS asked, a.*, " SURROGATE
		" FROM sbc.authd_account a "
		"WHERE a.extension = ANY (string_to_array($1, ' '))",
	[GH__ACCOUNT_KEY__ACCOUNT_BY_NUMBER] =
		("SELECT n.number AS asked, a.*, " SURROGATE
		 " FROM sbc.authd_number n "
		 "JOIN sbc.authd_account a ON a.id = n.account "
		 "WHERE n.number = ANY (string_to_array($1, ' '))"),
};
_Static_assert(sizeof(ask_sql) / sizeof(ask_sql[0]) == ASK_KINDS,
	"each kind of key can be asked for");

void account_warm(struct accounts *a)
{
	for (size_t by = 0; by < ASK_KINDS; by++)
		db_warm(a->db, &(const struct db_step){
				       .sql = ask_sql[by],
				       .often = true,
				       .n_params = 1,
				       .params = {""},
			       });
	gaps_warm(a->db);
}

/* Questions that are one statement. */
struct ask_batch {
	TAILQ_ENTRY(ask_batch) order;
	struct accounts *accounts;
	Gh__AccountKey by;
	struct ask_list asks;
};

/* ---------------------------------------------------------- answers */

/* Tells everybody who waits; the ask is gone afterwards. It is in no list. */
static void finish_ask(
	struct ask *ask, int err, const Gh__AccountRecord *record)
{
	struct accounts *a = ask->accounts;
	struct account_wait *w;

	/* Out of the table first: a callback may ask the same again. */
	table_remove(&a->asks, &ask->node);
	while ((w = TAILQ_FIRST(&ask->waits))) {
		TAILQ_REMOVE(&ask->waits, w, order);
		a->n_waits--;
		if (w->fn)
			w->fn(w->ctx, err, record);
		free(w);
	}
	free(ask);
}

/* The database does not know: what the disk has counts. */
static void answer_from_disk(struct ask *ask)
{
	struct accounts *a = ask->accounts;
	struct alias *al = account_lookup(&a->alias_index, ask->key);
	Gh__AccountRecord *rec = al ? account_read_kept(a, al->user) : NULL;
	struct entry *e = rec ? account_add_entry(a, rec) : NULL;

	if (e)
		finish_ask(ask, 0, e->record);
	else
		finish_ask(ask, ERR_AWAY, NULL);
}

void account_answer_from_disk(struct accounts *a)
{
	struct ask *ask;

	while ((ask = TAILQ_FIRST(&a->disk_asks))) {
		TAILQ_REMOVE(&a->disk_asks, ask, order);
		answer_from_disk(ask);
	}
}

static void answer_not_found(struct ask *ask)
{
	struct accounts *a = ask->accounts;
	struct alias *al = account_lookup(&a->alias_index, ask->key);

	if (al)
		account_forget_kept(a, al);
	account_add_negative(a, ask->key);
	if (ask->by == GH__ACCOUNT_KEY__ACCOUNT_BY_NUMBER)
		gaps_ask(a, ask->key + 2);
	finish_ask(ask, ERR_NOT_FOUND, NULL);
}

static void answer_row(struct ask *ask, const PGresult *result, int i)
{
	struct accounts *a = ask->accounts;
	Gh__AccountRecord *rec;
	struct alias *al;
	struct entry *e;
	struct row row;

	row_begin(&row, result, i, "account", "username");
	rec = row_account(&row);
	if (!rec || !account_is_sound(rec->account)) {
		log_err("account_invalid",
			LOG_STR("problem", rec ? "its keys" : row.problem));
		row_account_free(rec);
		finish_ask(ask, ERR_AWAY, NULL);
		return;
	}
	account_drop_negative(a, ask->key);
	e = account_add_entry(a, rec);
	if (!e) {
		finish_ask(ask, ERR_AWAY, NULL);
		return;
	}
	/* What is kept follows what the database says. */
	al = account_alias_of_user(a, rec->account->user);
	if (al) {
		rec->wall_used_us = al->wall_used_us;
		account_keep(a, rec);
	}
	finish_ask(ask, 0, rec);
}

/* --------------------------------------------------------- questions */

static void queue(struct accounts *a, struct ask *ask);

static struct ask *find_ask(
	const struct accounts *a, Gh__AccountKey by, const char *key)
{
	char text[KEY_SIZE_MAX];
	struct table_node *node;

	account_make_key(by, key, text);
	node = table_find(&a->asks, text, strlen(text));
	return node ? TABLE_ENTRY(node, struct ask, node) : NULL;
}

static void on_asked(void *ctx, const struct db_result *result)
{
	struct ask_batch *b = ctx;
	struct accounts *a = b->accounts;
	const PGresult *rows = result->err == 0 ? result->results[0] : NULL;
	struct ask *ask;

	TAILQ_REMOVE(&a->batches, b, order);
	for (int i = 0; rows && i < PQntuples(rows); i++) {
		ask = find_ask(a, b->by, db_text(rows, i, "asked"));
		if (!ask || ask->batch != b)
			continue;
		TAILQ_REMOVE(&b->asks, ask, order);
		ask->batch = NULL;
		if (ask->changed_meanwhile)
			queue(a, ask);
		else
			answer_row(ask, rows, i);
	}
	while ((ask = TAILQ_FIRST(&b->asks))) {
		TAILQ_REMOVE(&b->asks, ask, order);
		ask->batch = NULL;
		if (!rows)
			answer_from_disk(ask);
		else if (ask->changed_meanwhile)
			queue(a, ask);
		else
			answer_not_found(ask);
	}
	free(b);
}

/* Takes up to ASK_BATCH_MAX questions of a kind to the database.
 * @return 0, or an error, and they wait as before. */
static int submit(struct accounts *a, Gh__AccountKey by)
{
	char list[ASK_BATCH_MAX * KEY_SIZE_MAX];
	struct db_step step = {
		.sql = ask_sql[by], .often = true, .n_params = 1};
	struct db_job job = {
		.steps = &step,
		.n_steps = 1,
		.secret = true,
		.timeout_us = ASK_US,
		.fn = on_asked,
	};
	struct ask_batch *b = calloc(1, sizeof(*b));
	struct ask *ask;
	size_t len = 0;
	int err;

	if (!b)
		return ERR_NOMEM;
	b->accounts = a;
	b->by = by;
	TAILQ_INIT(&b->asks);
	for (size_t n = 0;
		n < ASK_BATCH_MAX && (ask = TAILQ_FIRST(&a->waiting[by]));
		n++) {
		size_t one = strlen(ask->key + 2);

		TAILQ_REMOVE(&a->waiting[by], ask, order);
		TAILQ_INSERT_TAIL(&b->asks, ask, order);
		ask->batch = b;
		/* What changes from now on makes it ask again. */
		ask->changed_meanwhile = false;
		if (n)
			list[len++] = ' ';
		memcpy(list + len, ask->key + 2, one);
		len += one;
	}
	list[len] = '\0';
	step.params[0] = list;
	job.ctx = b;
	err = a->db ? db_submit(a->db, &job) : ERR_AWAY;
	if (err == 0) {
		TAILQ_INSERT_TAIL(&a->batches, b, order);
		return 0;
	}
	while ((ask = TAILQ_LAST(&b->asks, ask_list))) {
		TAILQ_REMOVE(&b->asks, ask, order);
		ask->batch = NULL;
		TAILQ_INSERT_HEAD(&a->waiting[by], ask, order);
	}
	free(b);
	return err;
}

/* Between the beginnings of two statements of a kind: a phone that registers
 * has time, a caller waits for the number. */
static const uint32_t gather_us[] = {
	[GH__ACCOUNT_KEY__ACCOUNT_BY_ID] = 3000,
	[GH__ACCOUNT_KEY__ACCOUNT_BY_USER] = 20000,
	[GH__ACCOUNT_KEY__ACCOUNT_BY_EXTENSION] = 3000,
	[GH__ACCOUNT_KEY__ACCOUNT_BY_NUMBER] = 3000,
};
_Static_assert(sizeof(gather_us) / sizeof(gather_us[0]) == ASK_KINDS,
	"each kind of key has its time");

static void send_waiting(struct accounts *a, Gh__AccountKey by, uint64_t now)
{
	struct ask *ask;
	int err = 0;

	a->next_ask_us[by] = now + gather_us[by];
	while (err == 0 && !TAILQ_EMPTY(&a->waiting[by]))
		err = submit(a, by);
	while ((ask = TAILQ_FIRST(&a->waiting[by]))) {
		TAILQ_REMOVE(&a->waiting[by], ask, order);
		TAILQ_INSERT_TAIL(&a->disk_asks, ask, order);
	}
	/* Never before whoever asked has returned. */
	if (!TAILQ_EMPTY(&a->disk_asks))
		loop_timer_set(a->loop, a->sweep, 0);
}

/* Sends what has waited long enough, and wakes up for the rest. */
void account_on_gathered(void *arg)
{
	struct accounts *a = arg;
	uint64_t now = clock_now_us(), wake_us = UINT64_MAX;

	for (size_t by = 0; by < ASK_KINDS; by++) {
		if (TAILQ_EMPTY(&a->waiting[by]))
			continue;
		if (now >= a->next_ask_us[by] || !a->db || !db_is_up(a->db))
			send_waiting(a, (Gh__AccountKey)by, now);
		else if (a->next_ask_us[by] - now < wake_us)
			wake_us = a->next_ask_us[by] - now;
	}
	if (wake_us != UINT64_MAX)
		loop_timer_set(a->loop, a->gather, wake_us);
}

static void queue(struct accounts *a, struct ask *ask)
{
	bool first = TAILQ_EMPTY(&a->waiting[ask->by]);

	TAILQ_INSERT_TAIL(&a->waiting[ask->by], ask, order);
	if (first)
		account_on_gathered(a);
}

static struct ask *new_ask(
	struct accounts *a, Gh__AccountKey by, const char *text)
{
	struct ask *ask = calloc(1, sizeof(*ask) + strlen(text) + 1);

	if (!ask)
		return NULL;
	ask->accounts = a;
	ask->by = by;
	memcpy(ask->key, text, strlen(text));
	TAILQ_INIT(&ask->waits);
	if (table_add(&a->asks, &ask->node, ask->key, (uint32_t)strlen(text)) <
		0) {
		free(ask);
		return NULL;
	}
	return ask;
}

int account_ask(struct accounts *a, Gh__AccountKey by, const char *key,
	account_fn fn, void *ctx, struct account_wait **wait_out)
{
	char text[KEY_SIZE_MAX];
	struct account_wait *w;
	struct ask *ask;
	bool known;

	if (!account_is_possible(by, key))
		return ERR_INVALID;
	if (a->n_waits >= ACCOUNT_WAITS_MAX)
		return ERR_FULL;
	w = calloc(1, sizeof(*w));
	if (!w)
		return ERR_NOMEM;
	account_make_key(by, key, text);
	ask = find_ask(a, by, key);
	known = ask != NULL;
	if (!known)
		ask = new_ask(a, by, text);
	if (!ask) {
		free(w);
		return ERR_FULL;
	}
	w->ask = ask;
	w->fn = fn;
	w->ctx = ctx;
	TAILQ_INSERT_TAIL(&ask->waits, w, order);
	a->n_waits++;
	*wait_out = w;
	if (!known)
		queue(a, ask);
	return 0;
}

void account_cancel(struct account_wait **wait)
{
	if (*wait)
		(*wait)->fn = NULL;
	*wait = NULL;
}

static void free_ask(struct accounts *a, struct ask *ask)
{
	struct account_wait *w;

	while ((w = TAILQ_FIRST(&ask->waits))) {
		TAILQ_REMOVE(&ask->waits, w, order);
		free(w);
	}
	table_remove(&a->asks, &ask->node);
	free(ask);
}

void account_free_asks(struct accounts *a)
{
	struct table_node *node, *next;
	struct ask_batch *b;
	size_t bucket = 0;

	for (node = a->asks.buckets ? table_next(&a->asks, &bucket, NULL)
				    : NULL;
		node; node = next) {
		next = table_next(&a->asks, &bucket, node);
		free_ask(a, TABLE_ENTRY(node, struct ask, node));
	}
	while ((b = TAILQ_FIRST(&a->batches))) {
		TAILQ_REMOVE(&a->batches, b, order);
		free(b);
	}
}
