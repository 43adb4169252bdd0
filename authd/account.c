/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The accounts' cache; see account.h. Does not judge credentials, knows no
 * message and asks nobody (account_ask.c). Called by judge and server.
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

/* Could the database know such a key at all? Nothing else is asked, so odd
 * bytes never get there. */
bool account_is_possible(Gh__AccountKey by, const char *key)
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
	gaps_forget(a->gaps);
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
	if (!account_is_possible(GH__ACCOUNT_KEY__ACCOUNT_BY_USER, a->user) ||
		!account_is_possible(
			GH__ACCOUNT_KEY__ACCOUNT_BY_EXTENSION, a->extension) ||
		a->id == 0 || a->n_numbers > 1000)
		return false;
	for (size_t i = 0; i < a->n_numbers; i++) {
		if (!account_is_possible(
			    GH__ACCOUNT_KEY__ACCOUNT_BY_NUMBER, a->numbers[i]))
			return false;
	}
	return true;
}

/* Puts a record into the cache; record is taken in every case.
 * @return the entry, or NULL without memory. */
struct entry *account_add_entry(struct accounts *a, Gh__AccountRecord *record)
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

void account_drop_negative(struct accounts *a, const char *key)
{
	struct table_node *node = table_find(&a->negatives, key, strlen(key));

	if (node)
		drop_negative(a, TABLE_ENTRY(node, struct negative, node));
}

void account_add_negative(struct accounts *a, const char *key)
{
	size_t len = strlen(key);
	struct negative *n;

	account_drop_negative(a, key);
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

/* What is asked for again and again (the numbers behind a PBX are nobody's
 * here) is asked of the database before it is out of date, so that no caller
 * waits for that. */
static void ask_in_time(
	struct accounts *a, struct negative *n, Gh__AccountKey by)
{
	struct account_wait *nobody;

	if (n->asked_again ||
		n->until_us > clock_now_us() + ACCOUNT_NEGATIVE_TTL_US / 2)
		return;
	n->asked_again = true;
	/* If it can not be asked now, it will be when this has run out. */
	if (account_ask(a, by, n->key + 2, NULL, NULL, &nobody) < 0)
		return;
}

int account_find(struct accounts *a, Gh__AccountKey by, const char *key,
	const Gh__AccountRecord **record_out)
{
	char text[KEY_SIZE_MAX];
	struct table_node *node;
	struct entry *e;

	if (!account_is_possible(by, key))
		return ERR_NOT_FOUND;
	account_make_key(by, key, text);
	e = account_lookup(&a->index, text);
	if (e) {
		*record_out = e->record;
		return 0;
	}
	if (by == GH__ACCOUNT_KEY__ACCOUNT_BY_NUMBER && gaps_find(a, key))
		return ERR_NOT_FOUND;
	node = table_find(&a->negatives, text, strlen(text));
	if (!node)
		return ERR_AGAIN;
	ask_in_time(a, TABLE_ENTRY(node, struct negative, node), by);
	return ERR_NOT_FOUND;
}

const struct range *account_nobodys(struct accounts *a, const char *number)
{
	return gaps_find(a, number);
}

size_t accounts_cached(const struct accounts *a)
{
	return a->n_cached;
}

static void on_sweep(void *arg)
{
	struct accounts *a = arg;
	struct negative *n;
	struct entry *e;
	uint64_t now;

	account_answer_from_disk(a);
	/* After that: nothing in the cache is younger than now. */
	now = clock_now_us();
	while ((e = TAILQ_FIRST(&a->entries)) && now - e->loaded_us > a->ttl_us)
		account_drop_entry(a, e);
	while ((n = TAILQ_FIRST(&a->negative_order)) && now > n->until_us)
		drop_negative(a, n);
	account_gone_sweep(a, false);
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
	TAILQ_INIT(&a->disk_asks);
	TAILQ_INIT(&a->batches);
	for (size_t by = 0; by < ASK_KINDS; by++)
		TAILQ_INIT(&a->waiting[by]);
	TAILQ_INIT(&a->aliases);
	TAILQ_INIT(&a->gone);
	err = gaps_new(&a->gaps);
	if (err == 0)
		err = table_init(&a->index, max_cached * KEYS_PER_ENTRY);
	if (err == 0)
		err = table_init(&a->negatives, NEGATIVE_MAX);
	if (err == 0)
		err = table_init(&a->asks, ACCOUNT_WAITS_MAX);
	if (err == 0)
		err = table_init(&a->alias_index, ALIAS_KEYS_MAX);
	if (err == 0)
		err = loop_timer_new(loop, on_sweep, a, &a->sweep);
	if (err == 0)
		err = loop_timer_new(loop, account_on_gathered, a, &a->gather);
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
	account_warm(a);
}

void accounts_free(struct accounts **accounts)
{
	struct accounts *a = *accounts;

	*accounts = NULL;
	if (!a)
		return;
	if (a->gaps)
		account_drop_all(a);
	account_free_asks(a);
	while (!TAILQ_EMPTY(&a->aliases))
		account_drop_alias(a, TAILQ_FIRST(&a->aliases));
	account_gone_sweep(a, true);
	gaps_free(&a->gaps);
	loop_timer_free(a->loop, &a->sweep);
	loop_timer_free(a->loop, &a->gather);
	table_done(&a->index);
	table_done(&a->negatives);
	table_done(&a->asks);
	table_done(&a->alias_index);
	free(a);
}
