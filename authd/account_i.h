/* SPDX-License-Identifier: Apache-2.0 */
/* What account.c (cache), account_ask.c (questions to the database) and
 * account_keep.c (what the disk has) share. */
#ifndef AUTHD_ACCOUNT_I_H
#define AUTHD_ACCOUNT_I_H

#include <sys/queue.h>

#include "authd/account.h"
#include "authd/row.h"
#include "common/ranges.h"
#include "common/table.h"

enum {
	KEY_SIZE_MAX = 80,
	KEYS_PER_ENTRY = 4, /* on average */
	NEGATIVE_MAX = 20000,
	ALIAS_KEYS_MAX = 4 * 1000 * 1000,
	SWEEP_US = 1000 * 1000,
	ASK_US = 1500 * 1000,
	ASK_BATCH_MAX = 64, /* questions of one statement */
	ASK_KINDS = 4,      /* enum Gh__AccountKey */
	REFRESH_BATCH = 200,
};
/* Beside the columns of sbc.authd_account a: of the few that have it. */
#define ACCOUNT_SURROGATE_SQL                                                  \
	"CASE WHEN a.surrogate_trunk <> 0 THEN (SELECT s.secret FROM "         \
	"sbc.authd_surrogate s WHERE s.id = a.id) END AS surrogate"
#define DAY_US (24ull * 3600 * 1000 * 1000)

/* A key of an entry or alias, with the node that makes it findable. */
struct index_key {
	struct table_node node;
	void *owner;
	char *text;
};

struct entry {
	TAILQ_ENTRY(entry) order; /* loaded longest ago first */
	Gh__AccountRecord *record;
	uint64_t loaded_us;
	size_t n_keys;
	struct index_key keys[];
};

struct negative {
	struct table_node node;
	TAILQ_ENTRY(negative) order;
	uint64_t until_us;
	bool asked_again;
	char key[];
};

/* What leads to a kept account. */
struct alias {
	TAILQ_ENTRY(alias) order;
	uint64_t wall_used_us;
	unsigned round; /* of refreshing that it was part of */
	char *user;
	size_t n_keys;
	struct index_key keys[];
};

struct account_wait {
	TAILQ_ENTRY(account_wait) order;
	struct ask *ask;
	account_fn fn; /* NULL = cancelled */
	void *ctx;
};

/* A question under way; who asks the same waits with it. */
struct ask {
	struct table_node node;
	/* in accounts.waiting, a batch or accounts.disk_asks */
	TAILQ_ENTRY(ask) order;
	const struct ask_batch *batch; /* that it was sent with */
	struct accounts *accounts;
	TAILQ_HEAD(, account_wait) waits;
	bool changed_meanwhile; /* the answer may be old: asked again */
	Gh__AccountKey by;
	char key[]; /* with its prefix */
};
TAILQ_HEAD(ask_list, ask);
struct ask_batch; /* account_ask.c */

struct accounts {
	struct loop *loop;
	struct db *db;
	struct vault *vault;
	struct loop_timer *sweep;
	struct table index;
	size_t max_cached, n_cached;
	uint64_t ttl_us;
	TAILQ_HEAD(, entry) entries;
	struct table negatives;
	TAILQ_HEAD(, negative) negative_order;
	struct table asks;
	struct ask_list waiting[ASK_KINDS]; /* to be sent */
	TAILQ_HEAD(, ask_batch) batches;    /* at the database */
	struct ask_list disk_asks;          /* to be answered from the disk */
	struct loop_timer *gather;
	/* Not before, if the database is there. */
	uint64_t next_ask_us[ASK_KINDS];
	size_t n_waits;
	struct table alias_index;
	TAILQ_HEAD(, alias) aliases; /* refreshed longest ago first */
	/* Bringing the disk up to date after changes that were not heard. */
	bool refreshing;
	unsigned round;
	TAILQ_HEAD(, gone) gone; /* account_gone.c */
	size_t n_gone;
	struct gaps *gaps; /* account_gaps.c */
};

/* account.c: keys and the cache */
void account_make_key(
	Gh__AccountKey by, const char *key, char text[KEY_SIZE_MAX]);
void *account_lookup(const struct table *t, const char *key);
size_t account_count_keys(const Gh__Account *a);
int account_add_keys(struct table *t, struct index_key *keys, size_t n,
	void *owner, const Gh__Account *account);
void account_remove_keys(struct table *t, struct index_key *keys, size_t n);
bool account_is_sound(const Gh__Account *a);
bool account_is_possible(Gh__AccountKey by, const char *key);
/** Puts a record into the cache; record is taken in every case.
 * @return the entry, or NULL without memory. */
struct entry *account_add_entry(struct accounts *a, Gh__AccountRecord *record);
void account_add_negative(struct accounts *a, const char *key);
/** Nothing where there is none. */
void account_drop_negative(struct accounts *a, const char *key);
void account_drop_entry(struct accounts *a, struct entry *e);
void account_drop_negatives(struct accounts *a);
void account_drop_all(struct accounts *a);

/* account_ask.c: questions */
/** Answers what the database can not be asked. */
void account_answer_from_disk(struct accounts *a);
/** Tells the database what will be asked often. */
void account_warm(struct accounts *a);
/** For the timer of accounts.gather. */
void account_on_gathered(void *arg);
void account_free_asks(struct accounts *a);

/* account_keep.c: what the disk has */
void account_drop_alias(struct accounts *a, struct alias *al);
struct alias *account_alias_of_user(struct accounts *a, const char *user);
void account_forget_kept(struct accounts *a, struct alias *al);
Gh__AccountRecord *account_read_kept(struct accounts *a, const char *user);
void account_keep(struct accounts *a, Gh__AccountRecord *rec);
/** For vault_each(). */
void account_load_kept(void *ctx, const char *name);

/* account_gaps.c: numbers that are nobody's, as ranges */
int gaps_new(struct gaps **gaps_out);
/** Safe on NULL. */
void gaps_free(struct gaps **gaps);
/** Where the database said a short while ago that all are nobody's; borrowed
 * until the loop turns. NULL = the number has to be asked for. */
const struct range *gaps_find(struct accounts *a, const char *number);
/** It is nobody's: asks how far around it that is so. */
void gaps_ask(struct accounts *a, const char *number);
/** The answer to that. @param r its row; borrowed. */
void gaps_take(struct gaps *g, const char *number, const PGresult *r);
/** Tells the database what will be asked often. */
void gaps_warm(struct db *db);
/** Some account has changed. */
void gaps_forget(struct gaps *g);

/* account_gone.c */
/** The record goes or changes: what it has at a PBX is kept for a while. */
void account_gone_note(struct accounts *a, const Gh__AccountRecord *rec);
/** Wipes what is over, or all. */
void account_gone_sweep(struct accounts *a, bool all);

#endif
