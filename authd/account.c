/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The accounts' cache and the questions to the database; see account.h. Does
 * not judge credentials and knows no message. Called by judge and server.
 *
 * One index holds every key of an entry ("u:name", "e:101", "i:7",
 * "n:+49..."). A second one leads from such keys to the user name under which
 * the disk has the account.
 */
#include "authd/account_i.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "authd/row.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/table.h"

static const char prefixes[] = {
	[GH__ACCOUNT_KEY__ACCOUNT_BY_ID] = 'i',
	[GH__ACCOUNT_KEY__ACCOUNT_BY_USER] = 'u',
	[GH__ACCOUNT_KEY__ACCOUNT_BY_EXTENSION] = 'e',
	[GH__ACCOUNT_KEY__ACCOUNT_BY_NUMBER] = 'n',
};
#define KEY_COUNT sizeof(prefixes)

static const char *const ask_sql[] = {
	[GH__ACCOUNT_KEY__ACCOUNT_BY_ID] =
		"SELECT * FROM sbc.authd_account LEFT JOIN "
		"sbc.authd_surrogate USING (id) WHERE id = $1::bigint",
	[GH__ACCOUNT_KEY__ACCOUNT_BY_USER] =
		"SELECT * FROM sbc.authd_account LEFT JOIN "
		"sbc.authd_surrogate USING (id) WHERE username = $1::text",
	[GH__ACCOUNT_KEY__ACCOUNT_BY_EXTENSION] =
		"SELECT * FROM sbc.authd_account LEFT JOIN "
		"sbc.authd_surrogate USING (id) WHERE extension = $1::text",
	[GH__ACCOUNT_KEY__ACCOUNT_BY_NUMBER] =
		("SELECT * FROM sbc.authd_account LEFT JOIN "
		 "sbc.authd_surrogate USING (id) WHERE id = (SELECT account "
		 "FROM sbc.authd_number WHERE number = $1::text)"),
};

/* Could the database know such a key at all? Nothing else is asked, so odd
 * bytes never get there. */
static bool is_possible(Gh__AccountKey by, const char *key)
{
	static const char *const allowed[] = {
		[GH__ACCOUNT_KEY__ACCOUNT_BY_ID] = "0123456789",
		[GH__ACCOUNT_KEY__ACCOUNT_BY_USER] =
			"abcdefghijklmnopqrstuvwxyz._-",
		[GH__ACCOUNT_KEY__ACCOUNT_BY_EXTENSION] = "0123456789*#",
		[GH__ACCOUNT_KEY__ACCOUNT_BY_NUMBER] = "+0123456789",
	};
	static const size_t longest[] = {
		[GH__ACCOUNT_KEY__ACCOUNT_BY_ID] = 18,
		[GH__ACCOUNT_KEY__ACCOUNT_BY_USER] = 64,
		[GH__ACCOUNT_KEY__ACCOUNT_BY_EXTENSION] = 15,
		[GH__ACCOUNT_KEY__ACCOUNT_BY_NUMBER] = 16,
	};
	size_t len;

	if ((size_t)by >= KEY_COUNT)
		return false;
	len = strnlen(key, longest[by] + 1);
	return len > 0 && len <= longest[by] && strspn(key, allowed[by]) == len;
}

void account_make_key(
	Gh__AccountKey by, const char *key, char text[KEY_SIZE_MAX])
{
	snprintf(text, KEY_SIZE_MAX, "%c:%s", prefixes[by], key);
}

void *account_lookup(const struct table *t, const char *key)
{
	struct table_node *node = table_find(t, key, strlen(key));

	return node ? TABLE_ENTRY(node, struct index_key, node)->owner : NULL;
}

/* ------------------------------------------------------------- keys */

size_t account_count_keys(const Gh__Account *a)
{
	return 3 + a->n_numbers;
}

static int add_key(struct table *t, struct index_key *k, void *owner,
	Gh__AccountKey by, const char *key)
{
	char text[KEY_SIZE_MAX];
	int err;

	account_make_key(by, key, text);
	k->text = strdup(text);
	if (!k->text)
		return ERR_NOMEM;
	k->owner = owner;
	err = table_add(t, &k->node, k->text, (uint32_t)strlen(k->text));
	if (err < 0) {
		free(k->text);
		k->text = NULL;
	}
	return err;
}

void account_remove_keys(struct table *t, struct index_key *keys, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (!keys[i].text)
			continue;
		table_remove(t, &keys[i].node);
		free(keys[i].text);
	}
}

/* Puts all keys of an account in. On failure none is. */
int account_add_keys(struct table *t, struct index_key *keys, size_t n,
	void *owner, const Gh__Account *a)
{
	char id[24];
	int err;

	snprintf(id, sizeof(id), "%" PRIu64, a->id);
	err = add_key(t, &keys[0], owner, GH__ACCOUNT_KEY__ACCOUNT_BY_ID, id);
	if (err == 0)
		err = add_key(t, &keys[1], owner,
			GH__ACCOUNT_KEY__ACCOUNT_BY_USER, a->user);
	if (err == 0)
		err = add_key(t, &keys[2], owner,
			GH__ACCOUNT_KEY__ACCOUNT_BY_EXTENSION, a->extension);
	for (size_t i = 0; err == 0 && i < a->n_numbers; i++)
		err = add_key(t, &keys[3 + i], owner,
			GH__ACCOUNT_KEY__ACCOUNT_BY_NUMBER, a->numbers[i]);
	if (err < 0)
		account_remove_keys(t, keys, n);
	return err;
}

/* ------------------------------------------------------------ cache */

void account_drop_entry(struct accounts *a, struct entry *e)
{
	account_remove_keys(&a->index, e->keys, e->n_keys);
	TAILQ_REMOVE(&a->entries, e, order);
	a->n_cached--;
	row_account_free(e->record);
	free(e);
}

static void drop_negative(struct accounts *a, struct negative *n)
{
	table_remove(&a->negatives, &n->node);
	TAILQ_REMOVE(&a->negative_order, n, order);
	free(n);
}

void account_drop_negatives(struct accounts *a)
{
	while (!TAILQ_EMPTY(&a->negative_order))
		drop_negative(a, TAILQ_FIRST(&a->negative_order));
}

void account_drop_all(struct accounts *a)
{
	while (!TAILQ_EMPTY(&a->entries))
		account_drop_entry(a, TAILQ_FIRST(&a->entries));
	account_drop_negatives(a);
}

/* Whoever has one of this account's keys is out of date. */
static void drop_rivals(struct accounts *a, const Gh__Account *account)
{
	char text[KEY_SIZE_MAX], id[24];
	struct entry *e;

	snprintf(id, sizeof(id), "%" PRIu64, account->id);
	account_make_key(GH__ACCOUNT_KEY__ACCOUNT_BY_ID, id, text);
	if ((e = account_lookup(&a->index, text)))
		account_drop_entry(a, e);
	account_make_key(GH__ACCOUNT_KEY__ACCOUNT_BY_USER, account->user, text);
	if ((e = account_lookup(&a->index, text)))
		account_drop_entry(a, e);
	account_make_key(GH__ACCOUNT_KEY__ACCOUNT_BY_EXTENSION,
		account->extension, text);
	if ((e = account_lookup(&a->index, text)))
		account_drop_entry(a, e);
	for (size_t i = 0; i < account->n_numbers; i++) {
		account_make_key(GH__ACCOUNT_KEY__ACCOUNT_BY_NUMBER,
			account->numbers[i], text);
		if ((e = account_lookup(&a->index, text)))
			account_drop_entry(a, e);
	}
}

bool account_is_sound(const Gh__Account *a)
{
	if (!is_possible(GH__ACCOUNT_KEY__ACCOUNT_BY_USER, a->user) ||
		!is_possible(
			GH__ACCOUNT_KEY__ACCOUNT_BY_EXTENSION, a->extension) ||
		a->id == 0 || a->n_numbers > 1000)
		return false;
	for (size_t i = 0; i < a->n_numbers; i++) {
		if (!is_possible(
			    GH__ACCOUNT_KEY__ACCOUNT_BY_NUMBER, a->numbers[i]))
			return false;
	}
	return true;
}

/* Puts a record into the cache; record is taken in every case.
 * @return the entry, or NULL without memory. */
static struct entry *add_entry(struct accounts *a, Gh__AccountRecord *record)
{
	size_t n_keys = account_count_keys(record->account);
	struct entry *e;

	drop_rivals(a, record->account);
	while (a->n_cached >= a->max_cached)
		account_drop_entry(a, TAILQ_FIRST(&a->entries));
	e = calloc(1, sizeof(*e) + n_keys * sizeof(e->keys[0]));
	if (!e)
		goto fail;
	e->record = record;
	e->n_keys = n_keys;
	e->loaded_us = clock_now_us();
	while (account_add_keys(
		       &a->index, e->keys, n_keys, e, record->account) < 0) {
		memset(e->keys, 0, n_keys * sizeof(e->keys[0]));
		if (TAILQ_EMPTY(&a->entries))
			goto fail;
		account_drop_entry(a, TAILQ_FIRST(&a->entries));
	}
	TAILQ_INSERT_TAIL(&a->entries, e, order);
	a->n_cached++;
	return e;
fail:
	free(e);
	row_account_free(record);
	return NULL;
}

static void add_negative(struct accounts *a, const char *key)
{
	size_t len = strlen(key);
	struct negative *n;

	if (a->negatives.n_entries == a->negatives.max_entries)
		drop_negative(a, TAILQ_FIRST(&a->negative_order));
	n = calloc(1, sizeof(*n) + len + 1);
	if (!n)
		return;
	memcpy(n->key, key, len);
	n->until_us = clock_now_us() + ACCOUNT_NEGATIVE_TTL_US;
	if (table_add(&a->negatives, &n->node, n->key, (uint32_t)len) < 0) {
		free(n);
		return;
	}
	TAILQ_INSERT_TAIL(&a->negative_order, n, order);
}

int account_find(struct accounts *a, Gh__AccountKey by, const char *key,
	const Gh__AccountRecord **record_out)
{
	char text[KEY_SIZE_MAX];
	struct entry *e;

	if (!is_possible(by, key))
		return ERR_NOT_FOUND;
	account_make_key(by, key, text);
	e = account_lookup(&a->index, text);
	if (e) {
		*record_out = e->record;
		return 0;
	}
	if (table_find(&a->negatives, text, strlen(text)))
		return ERR_NOT_FOUND;
	return ERR_AGAIN;
}

size_t accounts_cached(const struct accounts *a)
{
	return a->n_cached;
}

/* -------------------------------------------------------- questions */

/* Tells everybody who waits; the ask is gone afterwards. */
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
	struct entry *e = rec ? add_entry(a, rec) : NULL;

	if (e)
		finish_ask(ask, 0, e->record);
	else
		finish_ask(ask, ERR_AWAY, NULL);
}

static int submit_ask(struct accounts *a, struct ask *ask);

static void on_asked(void *ctx, const struct db_result *result)
{
	struct ask *ask = ctx;
	struct accounts *a = ask->accounts;
	Gh__AccountRecord *rec;
	struct alias *al;
	struct entry *e;
	struct row row;

	if (result->err != 0) {
		answer_from_disk(ask);
		return;
	}
	if (ask->changed_meanwhile) {
		ask->changed_meanwhile = false;
		if (submit_ask(a, ask) < 0)
			answer_from_disk(ask);
		return;
	}
	if (PQntuples(result->results[0]) == 0) {
		al = account_lookup(&a->alias_index, ask->key);
		if (al)
			account_forget_kept(a, al);
		add_negative(a, ask->key);
		finish_ask(ask, ERR_NOT_FOUND, NULL);
		return;
	}
	row_begin(&row, result->results[0], 0, "account", "username");
	rec = row_account(&row);
	if (!rec || !account_is_sound(rec->account)) {
		log_err("account_invalid",
			LOG_STR("problem", rec ? "its keys" : row.problem));
		row_account_free(rec);
		finish_ask(ask, ERR_AWAY, NULL);
		return;
	}
	e = add_entry(a, rec);
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

static int submit_ask(struct accounts *a, struct ask *ask)
{
	const struct db_step step = {
		.sql = ask_sql[ask->by],
		.often = true,
		.n_params = 1,
		.params = {ask->key + 2},
	};
	const struct db_job job = {
		.steps = &step,
		.n_steps = 1,
		.secret = true,
		.timeout_us = ASK_US,
		.fn = on_asked,
		.ctx = ask,
	};

	return a->db ? db_submit(a->db, &job) : ERR_AWAY;
}

static void on_sweep(void *arg);

int account_ask(struct accounts *a, Gh__AccountKey by, const char *key,
	account_fn fn, void *ctx, struct account_wait **wait_out)
{
	char text[KEY_SIZE_MAX];
	struct table_node *node;
	struct account_wait *w;
	struct ask *ask;

	if (!is_possible(by, key))
		return ERR_INVALID;
	if (a->n_waits >= ACCOUNT_WAITS_MAX)
		return ERR_FULL;
	w = calloc(1, sizeof(*w));
	if (!w)
		return ERR_NOMEM;
	account_make_key(by, key, text);
	node = table_find(&a->asks, text, strlen(text));
	if (node) {
		ask = TABLE_ENTRY(node, struct ask, node);
	} else {
		ask = calloc(1, sizeof(*ask) + strlen(text) + 1);
		if (!ask) {
			free(w);
			return ERR_NOMEM;
		}
		ask->accounts = a;
		ask->by = by;
		memcpy(ask->key, text, strlen(text));
		TAILQ_INIT(&ask->waits);
		if (table_add(&a->asks, &ask->node, ask->key,
			    (uint32_t)strlen(text)) < 0) {
			free(ask);
			free(w);
			return ERR_FULL;
		}
		if (submit_ask(a, ask) < 0) {
			TAILQ_INSERT_TAIL(&a->ask_order, ask, order);
			loop_timer_set(a->loop, a->sweep, 0);
		}
	}
	w->ask = ask;
	w->fn = fn;
	w->ctx = ctx;
	TAILQ_INSERT_TAIL(&ask->waits, w, order);
	a->n_waits++;
	*wait_out = w;
	return 0;
}

void account_cancel(struct account_wait **wait)
{
	if (*wait)
		(*wait)->fn = NULL;
	*wait = NULL;
}

static void on_sweep(void *arg)
{
	struct accounts *a = arg;
	struct negative *n;
	struct entry *e;
	struct ask *ask;
	uint64_t now;

	while ((ask = TAILQ_FIRST(&a->ask_order))) {
		TAILQ_REMOVE(&a->ask_order, ask, order);
		answer_from_disk(ask);
	}
	/* After that: nothing in the cache is younger than now. */
	now = clock_now_us();
	while ((e = TAILQ_FIRST(&a->entries)) && now - e->loaded_us > a->ttl_us)
		account_drop_entry(a, e);
	while ((n = TAILQ_FIRST(&a->negative_order)) && now > n->until_us)
		drop_negative(a, n);
	loop_timer_set(a->loop, a->sweep, SWEEP_US);
}

/* ------------------------------------------------------------- life */

int accounts_new(struct loop *loop, struct vault *vault, size_t max_cached,
	uint64_t ttl_us, struct accounts **accounts_out)
{
	struct accounts *a = calloc(1, sizeof(*a));
	int err;

	if (!a)
		return ERR_NOMEM;
	a->loop = loop;
	a->vault = vault;
	a->max_cached = max_cached;
	a->ttl_us = ttl_us;
	TAILQ_INIT(&a->entries);
	TAILQ_INIT(&a->negative_order);
	TAILQ_INIT(&a->ask_order);
	TAILQ_INIT(&a->aliases);
	err = table_init(&a->index, max_cached * KEYS_PER_ENTRY);
	if (err == 0)
		err = table_init(&a->negatives, NEGATIVE_MAX);
	if (err == 0)
		err = table_init(&a->asks, ACCOUNT_WAITS_MAX);
	if (err == 0)
		err = table_init(&a->alias_index, ALIAS_KEYS_MAX);
	if (err == 0)
		err = loop_timer_new(loop, on_sweep, a, &a->sweep);
	if (err < 0) {
		accounts_free(&a);
		return err;
	}
	vault_each(vault, account_load_kept, a);
	loop_timer_set(loop, a->sweep, SWEEP_US);
	*accounts_out = a;
	return 0;
}

void accounts_set_db(struct accounts *a, struct db *db)
{
	a->db = db;
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

void accounts_free(struct accounts **accounts)
{
	struct accounts *a = *accounts;
	struct table_node *node, *next;
	size_t bucket = 0;

	*accounts = NULL;
	if (!a)
		return;
	account_drop_all(a);
	for (node = a->asks.buckets ? table_next(&a->asks, &bucket, NULL)
				    : NULL;
		node; node = next) {
		next = table_next(&a->asks, &bucket, node);
		free_ask(a, TABLE_ENTRY(node, struct ask, node));
	}
	while (!TAILQ_EMPTY(&a->aliases))
		account_drop_alias(a, TAILQ_FIRST(&a->aliases));
	loop_timer_free(a->loop, &a->sweep);
	table_done(&a->index);
	table_done(&a->negatives);
	table_done(&a->asks);
	table_done(&a->alias_index);
	free(a);
}
