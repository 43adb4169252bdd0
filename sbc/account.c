/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The cache has one entry per question (kind of key and key), each with the
 * account or with "there is none", and forgets the longest unused one at
 * ENTRIES_MAX. A positive answer lasts 60 s, a negative one 5 s, also where it
 * is one for many numbers; authd says when SQL changed one. A question that the
 * cache answers is still answered from the loop, never from inside
 * accounts_find(). What authd can not be asked because it is being started
 * again waits for it, until its deadline.
 */
#include "sbc/account.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "common/clock.h"
#include "common/heap.h"
#include "common/log.h"
#include "common/pack.h"
#include "common/loop.h"
#include "common/ranges.h"
#include "common/table.h"
#include "sbc/authd.h"

#define ENTRIES_MAX   20000
#define IN_FLIGHT_MAX 4096
#define POSITIVE_US   (60 * CLOCK_US_PER_S)
#define NEGATIVE_US   (5 * CLOCK_US_PER_S)
#define DEADLINE_US   (2 * CLOCK_US_PER_S)
#define KEY_SIZE      136

struct entry {
	struct table_node node;
	TAILQ_ENTRY(entry) next; /* longest unused first */
	struct account *account; /* NULL: there is none */
	uint64_t expires_us;
	char key[KEY_SIZE];
};

enum query_state { QUERY_ASKED, QUERY_ANSWERED };

struct account_query {
	struct table_node node; /* key: id; only while asked */
	TAILQ_ENTRY(account_query) next;
	struct accounts *accounts;
	enum query_state state;
	Gh__AccountKey by;
	uint64_t id;
	uint64_t deadline_us;
	struct account *account; /* QUERY_ANSWERED: a reference */
	enum reason why;
	account_fn fn;
	void *ctx;
	char key[KEY_SIZE];
};

TAILQ_HEAD(query_list, account_query);

struct accounts {
	struct authd *authd;
	struct loop *loop;
	struct table entries;
	TAILQ_HEAD(, entry) unused;
	struct table asked;
	struct query_list waiting;  /* asked, oldest first */
	struct query_list answered; /* to be told from the loop */
	struct ranges nobodys;      /* numbers that no account has */
	struct loop_timer *timer;   /* deadline of the oldest */
	struct loop_timer *soon;
};

/* ---------------------------------------------------------------- account */

struct account *account_ref(struct account *a)
{
	a->n_refs++;
	return a;
}

void account_unref(struct account **ref)
{
	struct account *a = *ref;

	*ref = NULL;
	if (!a || --a->n_refs > 0)
		return;
	gh__account__free_unpacked((Gh__Account *)(uintptr_t)a->row, NULL);
	free(a);
}

/* The generated code copies by way of the wire. */
static Gh__Account *row_copy(const Gh__Account *row)
{
	size_t len;
	uint8_t *bytes = pack_new(&row->base, 0, &len);
	Gh__Account *copy = NULL;

	if (bytes)
		copy = gh__account__unpack(NULL, len, bytes);
	free(bytes);
	return copy;
}

int account_new(const Gh__Account *row, struct account **out)
{
	struct account *a = heap_lasting(sizeof(*a));

	if (!a)
		return ERR_NOMEM;
	a->row = row_copy(row);
	if (!a->row) {
		free(a);
		return ERR_NOMEM;
	}
	a->n_refs = 1;
	*out = a;
	return 0;
}

/* ------------------------------------------------------------------ cache */

static int make_key(Gh__AccountKey by, const char *key, char text[KEY_SIZE])
{
	int n = snprintf(text, KEY_SIZE, "%u:%s", (unsigned)by, key);

	return n < 0 || n >= KEY_SIZE ? ERR_TOO_BIG : 0;
}

static struct entry *entry_find(const struct accounts *a, const char *key)
{
	struct table_node *n = table_find(&a->entries, key, strlen(key));

	return n ? TABLE_ENTRY(n, struct entry, node) : NULL;
}

static void entry_free(struct accounts *a, struct entry *e)
{
	table_remove(&a->entries, &e->node);
	TAILQ_REMOVE(&a->unused, e, next);
	account_unref(&e->account);
	free(e);
}

/* That a number was nobody's, and ran out, goes, a few at a time: under load
 * each called number leaves that for seconds. An account may still be of use
 * while authd is away. */
static void forget_old(struct accounts *a)
{
	uint64_t now = clock_now_us();
	struct entry *e;

	for (unsigned i = 0; i < 4; i++) {
		e = TAILQ_FIRST(&a->unused);
		if (e == NULL || e->account || e->expires_us > now)
			return;
		entry_free(a, e);
	}
}

static void entry_put(
	struct accounts *a, const char *key, struct account *account)
{
	struct entry *e;

	forget_old(a);
	e = entry_find(a, key);
	if (e) {
		account_unref(&e->account);
		TAILQ_REMOVE(&a->unused, e, next);
	} else {
		if (a->entries.n_entries >= ENTRIES_MAX)
			entry_free(a, TAILQ_FIRST(&a->unused));
		e = heap_lasting(sizeof(*e));
		if (!e)
			return;
		snprintf(e->key, sizeof(e->key), "%s", key);
		if (table_add(&a->entries, &e->node, e->key, strlen(e->key)) !=
			0) {
			free(e);
			return;
		}
	}
	e->account = account ? account_ref(account) : NULL;
	e->expires_us = clock_now_us() + (account ? POSITIVE_US : NEGATIVE_US);
	TAILQ_INSERT_TAIL(&a->unused, e, next);
}

static void put_under(struct accounts *a, Gh__AccountKey by, const char *key,
	struct account *account)
{
	char text[KEY_SIZE];

	if (key[0] && make_key(by, key, text) == 0)
		entry_put(a, text, account);
}

void accounts_keep(struct accounts *a, struct account *account)
{
	const Gh__Account *row = account->row;
	char id[24];

	snprintf(id, sizeof(id), "%llu", (unsigned long long)row->id);
	put_under(a, GH__ACCOUNT_KEY__ACCOUNT_BY_ID, id, account);
	put_under(a, GH__ACCOUNT_KEY__ACCOUNT_BY_USER, row->user, account);
	put_under(a, GH__ACCOUNT_KEY__ACCOUNT_BY_EXTENSION, row->extension,
		account);
	for (size_t i = 0; i < row->n_numbers; i++)
		put_under(a, GH__ACCOUNT_KEY__ACCOUNT_BY_NUMBER,
			row->numbers[i], account);
}

void accounts_learn(struct accounts *a, const Gh__Account *row)
{
	struct account *account;

	if (account_new(row, &account) != 0)
		return;
	accounts_keep(a, account);
	account_unref(&account);
}

static bool is_named(
	const Gh__AccountsChanged *msg, const struct account *account)
{
	if (msg->n_accounts == 0 || !account)
		return true; /* what was nobody's may be somebody's now */
	for (size_t i = 0; i < msg->n_accounts; i++)
		if (msg->accounts[i] == account->row->id)
			return true;
	return false;
}

void accounts_forget(struct accounts *a, const Gh__AccountsChanged *msg)
{
	struct entry *e = TAILQ_FIRST(&a->unused);

	ranges_forget(&a->nobodys);
	while (e) {
		struct entry *following = TAILQ_NEXT(e, next);

		if (is_named(msg, e->account))
			entry_free(a, e);
		e = following;
	}
}

size_t accounts_cached(const struct accounts *a)
{
	return a->entries.n_entries;
}

/* ---------------------------------------------------------------- queries */

static void set_timer(struct accounts *a)
{
	struct account_query *q = TAILQ_FIRST(&a->waiting);
	uint64_t now = clock_now_us();

	if (!q)
		loop_timer_stop(a->loop, a->timer);
	else
		loop_timer_set(a->loop, a->timer,
			q->deadline_us > now ? q->deadline_us - now : 0);
}

static void query_remove(struct account_query *q)
{
	struct accounts *a = q->accounts;

	if (q->state == QUERY_ASKED) {
		table_remove(&a->asked, &q->node);
		TAILQ_REMOVE(&a->waiting, q, next);
	} else {
		TAILQ_REMOVE(&a->answered, q, next);
	}
}

void account_query_cancel(struct account_query **query)
{
	struct account_query *q = *query;

	if (!q)
		return;
	*query = NULL;
	query_remove(q);
	account_unref(&q->account);
	free(q);
}

/* Its callback's only call; the reference goes along. */
static void query_end(
	struct account_query *q, struct account *account, enum reason why)
{
	account_fn fn = q->fn;
	void *ctx = q->ctx;

	query_remove(q);
	free(q);
	fn(ctx, account, why);
}

static void on_soon(void *arg)
{
	struct accounts *a = arg;
	struct account_query *q;

	while ((q = TAILQ_FIRST(&a->answered))) {
		struct account *account = q->account;

		q->account = NULL;
		query_end(q, account, q->why);
	}
}

static void on_timer(void *arg)
{
	struct accounts *a = arg;
	uint64_t now = clock_now_us();
	struct account_query *q;

	while ((q = TAILQ_FIRST(&a->waiting)) && q->deadline_us <= now) {
		reason_count(REASON_IPC_TIMEOUT);
		query_end(q, NULL, REASON_AUTH_AWAY);
	}
	set_timer(a);
}

/* account: NULL = there is none. */
static void answer_soon(struct account_query *q, struct account *account)
{
	struct accounts *a = q->accounts;

	q->state = QUERY_ANSWERED;
	q->account = account ? account_ref(account) : NULL;
	q->why = account ? REASON_ROUTE_OK : REASON_ROUTE_UNKNOWN_NUMBER;
	TAILQ_INSERT_TAIL(&a->answered, q, next);
	loop_timer_set(a->loop, a->soon, 0);
}

static int send_query(const struct account_query *q)
{
	Gh__AccountQuery query = GH__ACCOUNT_QUERY__INIT;

	query.id = q->id;
	query.by = q->by;
	/* What make_key() put before it. */
	query.key = (char *)(uintptr_t)(strchr(q->key, ':') + 1);
	IPC_MSG(msg, ACCOUNT_QUERY, account_query, &query);
	return authd_send(q->accounts->authd, &msg);
}

static int ask(struct account_query *q, Gh__AccountKey by)
{
	struct accounts *a = q->accounts;
	int err;

	q->state = QUERY_ASKED;
	q->by = by;
	q->id = authd_next_id(a->authd);
	q->deadline_us = clock_now_us() + DEADLINE_US;
	err = send_query(q);
	if (err == 0 || err == ERR_AWAY)
		err = table_add(&a->asked, &q->node, &q->id, sizeof(q->id));
	if (err != 0)
		return err;
	TAILQ_INSERT_TAIL(&a->waiting, q, next);
	if (TAILQ_FIRST(&a->waiting) == q)
		set_timer(a);
	return 0;
}

int accounts_find(struct accounts *a, Gh__AccountKey by, const char *key,
	account_fn fn, void *ctx, struct account_query **query_out)
{
	struct account_query *q;
	struct entry *e;
	int err;

	if (a->asked.n_entries >= IN_FLIGHT_MAX)
		return ERR_FULL;
	q = calloc(1, sizeof(*q));
	if (!q)
		return ERR_NOMEM;
	q->accounts = a;
	q->fn = fn;
	q->ctx = ctx;
	err = make_key(by, key, q->key);
	if (err != 0)
		goto failed;
	e = entry_find(a, q->key);
	if (e && (e->expires_us > clock_now_us() ||
			 (e->account && !authd_is_up(a->authd)))) {
		TAILQ_REMOVE(&a->unused, e, next);
		TAILQ_INSERT_TAIL(&a->unused, e, next);
		answer_soon(q, e->account);
	} else if (!(e && e->account) &&
		   by == GH__ACCOUNT_KEY__ACCOUNT_BY_NUMBER &&
		   ranges_find(&a->nobodys, key, clock_now_us())) {
		answer_soon(q, NULL);
	} else {
		err = ask(q, by);
		if (err != 0)
			goto failed;
	}
	*query_out = q;
	return 0;
failed:
	free(q);
	return err;
}

/* There is no such account, and perhaps none for many more numbers. */
static void note_nobody(struct accounts *a, const struct account_query *q,
	const Gh__AccountAnswer *answer)
{
	const char *number = strchr(q->key, ':') + 1;
	uint64_t now = clock_now_us();

	if (answer->nobodys && q->by == GH__ACCOUNT_KEY__ACCOUNT_BY_NUMBER)
		ranges_add(&a->nobodys, number, answer->nobodys_below,
			answer->nobodys_above, now + NEGATIVE_US);
	if (!ranges_find(&a->nobodys, number, now))
		entry_put(a, q->key, NULL);
}

void accounts_on_answer(struct accounts *a, const Gh__AccountAnswer *answer)
{
	struct table_node *n;
	struct account_query *q;
	struct account *account = NULL;
	enum reason why = REASON_ROUTE_UNKNOWN_NUMBER;

	n = table_find(&a->asked, &answer->id, sizeof(answer->id));
	if (!n)
		return; /* too late: its deadline has passed */
	q = TABLE_ENTRY(n, struct account_query, node);
	if (answer->unavailable) {
		why = REASON_AUTH_AWAY;
	} else if (answer->found && answer->account) {
		if (account_new(answer->account, &account) == 0) {
			why = REASON_ROUTE_OK;
			accounts_keep(a, account);
			entry_put(a, q->key, account);
		} else {
			why = REASON_AUTH_AWAY;
		}
	} else {
		note_nobody(a, q, answer);
	}
	query_end(q, account, why);
	set_timer(a);
}

void accounts_on_authd_up(struct accounts *a)
{
	struct account_query *q;

	TAILQ_FOREACH (q, &a->waiting, next)
		if (send_query(q) != 0)
			return; /* its deadline ends it */
}

/* ------------------------------------------------------------- life, death */

int accounts_new(struct authd *authd, struct accounts **out)
{
	struct loop *loop = authd_loop(authd);
	struct accounts *a = calloc(1, sizeof(*a));
	int err;

	if (!a)
		return ERR_NOMEM;
	a->authd = authd;
	a->loop = loop;
	TAILQ_INIT(&a->unused);
	TAILQ_INIT(&a->waiting);
	TAILQ_INIT(&a->answered);
	err = table_init(&a->entries, ENTRIES_MAX);
	if (err == 0)
		err = table_init(&a->asked, IN_FLIGHT_MAX);
	if (err == 0)
		err = loop_timer_new(loop, on_timer, a, &a->timer);
	if (err == 0)
		err = loop_timer_new(loop, on_soon, a, &a->soon);
	if (err != 0) {
		accounts_free(&a);
		return err;
	}
	*out = a;
	return 0;
}

void accounts_free(struct accounts **ref)
{
	struct accounts *a = *ref;
	struct account_query *q;
	struct entry *e;

	if (!a)
		return;
	*ref = NULL;
	while ((q = TAILQ_FIRST(&a->waiting)) ||
		(q = TAILQ_FIRST(&a->answered)))
		account_query_cancel(&q);
	while ((e = TAILQ_FIRST(&a->unused)))
		entry_free(a, e);
	if (a->entries.buckets)
		table_done(&a->entries);
	if (a->asked.buckets)
		table_done(&a->asked);
	loop_timer_free(a->loop, &a->timer);
	loop_timer_free(a->loop, &a->soon);
	free(a);
}
