/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The accounts that the disk has: those that were used in the last days, so
 * that they work without the database; and how they follow what changes there.
 * Decides what is kept and for how long; account.c asks when the database does
 * not answer. Called by account.c, judge and server.
 */
#include "authd/account_i.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"

/* ------------------------------------------------------- kept on disk */

void account_drop_alias(struct accounts *a, struct alias *al)
{
	account_remove_keys(&a->alias_index, al->keys, al->n_keys);
	TAILQ_REMOVE(&a->aliases, al, order);
	free(al->user);
	free(al);
}

struct alias *account_alias_of_user(struct accounts *a, const char *user)
{
	char text[KEY_SIZE_MAX];

	account_make_key(GH__ACCOUNT_KEY__ACCOUNT_BY_USER, user, text);
	return account_lookup(&a->alias_index, text);
}

void account_forget_kept(struct accounts *a, struct alias *al)
{
	if (vault_remove(a->vault, al->user) < 0)
		log_err("account_disk",
			LOG_STR("problem",
				"an account can not be removed from the disk"));
	account_drop_alias(a, al);
}

static void note_alias(struct accounts *a, const Gh__AccountRecord *rec)
{
	size_t n_keys = account_count_keys(rec->account);
	struct alias *al = account_alias_of_user(a, rec->account->user);

	if (al)
		account_drop_alias(a, al);
	al = calloc(1, sizeof(*al) + n_keys * sizeof(al->keys[0]));
	if (!al)
		return;
	al->n_keys = n_keys;
	al->round = a->round;
	al->wall_used_us = rec->wall_used_us;
	al->user = strdup(rec->account->user);
	/* Another kept account may still have the same extension until it is
	 * brought up to date: then this one is found by its user name only
	 * after that. */
	if (!al->user || account_add_keys(&a->alias_index, al->keys, n_keys, al,
				 rec->account) < 0) {
		free(al->user);
		free(al);
		return;
	}
	TAILQ_INSERT_TAIL(&a->aliases, al, order);
}

Gh__AccountRecord *account_read_kept(struct accounts *a, const char *user)
{
	Gh__AccountRecord *rec = NULL;
	uint8_t *bytes;
	size_t len;

	if (vault_get(a->vault, user, &bytes, &len) < 0)
		return NULL;
	rec = gh__account_record__unpack(NULL, len, bytes);
	vault_bytes_free(&bytes, len);
	if (rec && (!rec->account || !account_is_sound(rec->account))) {
		row_account_free(rec);
		rec = NULL;
	}
	return rec;
}

void account_keep(struct accounts *a, Gh__AccountRecord *rec)
{
	size_t len = gh__account_record__get_packed_size(rec);
	uint8_t *bytes = malloc(len);
	int err;

	if (!bytes)
		return;
	gh__account_record__pack(rec, bytes);
	err = vault_put(a->vault, rec->account->user, bytes, len);
	vault_bytes_free(&bytes, len);
	if (err < 0) {
		log_peer_warning("account_not_kept", LOG_ERR(err));
		return;
	}
	note_alias(a, rec);
}

void account_load_kept(void *ctx, const char *name)
{
	struct accounts *a = ctx;
	uint64_t now = clock_wall_us();
	Gh__AccountRecord *rec = account_read_kept(a, name);

	if (!rec || strcmp(rec->account->user, name) != 0 ||
		rec->wall_used_us + ACCOUNT_KEEP_US < now) {
		if (vault_remove(a->vault, name) < 0)
			log_err("account_disk",
				LOG_STR("problem",
					"an old account can not be removed"));
	} else {
		note_alias(a, rec);
	}
	row_account_free(rec);
}

void account_used(struct accounts *a, const Gh__AccountRecord *record)
{
	struct alias *al = account_alias_of_user(a, record->account->user);
	char text[KEY_SIZE_MAX];
	struct entry *e;

	if (al && al->wall_used_us + DAY_US > clock_wall_us())
		return;
	account_make_key(
		GH__ACCOUNT_KEY__ACCOUNT_BY_USER, record->account->user, text);
	e = account_lookup(&a->index, text);
	if (!e)
		return;
	e->record->wall_used_us = clock_wall_us();
	account_keep(a, e->record);
}

/* ---------------------------------------------------------- changes */

static void refresh_next(struct accounts *a);

static void refresh_row(struct accounts *a, const PGresult *r, int i)
{
	struct alias *al = account_alias_of_user(a, db_text(r, i, "kept"));
	Gh__AccountRecord *rec;
	struct row row;

	if (!al)
		return;
	if (db_text(r, i, "username")[0] == '\0') {
		account_forget_kept(a, al);
		return;
	}
	al->round = a->round;
	TAILQ_REMOVE(&a->aliases, al, order);
	TAILQ_INSERT_TAIL(&a->aliases, al, order);
	row_begin(&row, r, i, "account", "username");
	rec = row_account(&row);
	if (rec && account_is_sound(rec->account)) {
		rec->wall_used_us = al->wall_used_us;
		account_keep(a, rec);
	}
	row_account_free(rec);
}

static void on_refreshed(void *ctx, const struct db_result *result)
{
	struct accounts *a = ctx;

	a->refreshing = false;
	if (result->err != 0)
		return; /* when the database is back, all begins again */
	for (int i = 0; i < PQntuples(result->results[0]); i++)
		refresh_row(a, result->results[0], i);
	refresh_next(a);
}

/* Asks for the next kept accounts of this round: they stand first. */
static void refresh_next(struct accounts *a)
{
	static const char sql[] = "SELECT k.kept, a.*, " ACCOUNT_SURROGATE_SQL
				  " FROM unnest(string_to_array($1, ' ')) "
				  "AS k (kept) LEFT JOIN sbc.authd_account a "
				  "ON a.username = k.kept";
	struct db_step step = {.sql = sql, .n_params = 1};
	const struct db_job job = {
		.steps = &step,
		.n_steps = 1,
		.secret = true,
		.timeout_us = 10 * CLOCK_US_PER_S,
		.fn = on_refreshed,
		.ctx = a,
	};
	char list[REFRESH_BATCH * 65 + 1];
	struct alias *al;
	size_t len = 0;
	int n = 0;

	if (a->refreshing || !a->db)
		return;
	TAILQ_FOREACH (al, &a->aliases, order) {
		if (al->round == a->round || n++ == REFRESH_BATCH)
			break;
		len += (size_t)snprintf(list + len, sizeof(list) - len, "%s%s",
			len ? " " : "", al->user);
	}
	step.params[0] = list;
	if (len > 0 && db_submit(a->db, &job) == 0)
		a->refreshing = true;
}

/* One account changed: what is cached goes, what is kept is asked for again;
 * on_asked() brings it up to date. */
static void changed_one(struct accounts *a, uint64_t id)
{
	char key[24], text[KEY_SIZE_MAX];
	struct account_wait *wait;
	Gh__AccountRecord *kept;
	struct alias *al;
	struct entry *e;

	snprintf(key, sizeof(key), "%" PRIu64, id);
	account_make_key(GH__ACCOUNT_KEY__ACCOUNT_BY_ID, key, text);
	e = account_lookup(&a->index, text);
	al = account_lookup(&a->alias_index, text);
	if (e) {
		account_gone_note(a, e->record);
		account_drop_entry(a, e);
	} else if (al) {
		kept = account_read_kept(a, al->user);
		account_gone_note(a, kept);
		row_account_free(kept);
	}
	account_drop_negatives(a);
	if (al && account_ask(a, GH__ACCOUNT_KEY__ACCOUNT_BY_ID, key, NULL,
			  NULL, &wait) < 0)
		log_warning("account_not_refreshed", LOG_UINT("account", id));
}

void accounts_changed(struct accounts *a, uint64_t id)
{
	struct table_node *node = NULL;
	size_t bucket = 0;

	/* Answers on their way may have been read before the change. */
	while ((node = table_next(&a->asks, &bucket, node)))
		TABLE_ENTRY(node, struct ask, node)->changed_meanwhile = true;
	if (id != 0) {
		changed_one(a, id);
		return;
	}
	account_drop_all(a);
	a->round++;
	refresh_next(a);
}
