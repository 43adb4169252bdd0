/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Order of writing: a session's words come before its plan and leave after it,
 * so that a plan always finds its words; words without plan are the normal
 * trace of a kill. A plan that could not be written is removed: an old one
 * would bring old keys back.
 *
 * keeper's answer to our name gives every descriptor back, one name per
 * session. Which of a session's sockets one is, its own address tells.
 */
#include "mediad/keep.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"
#include "common/reason.h"
#include "common/secret.h"

#define STORE_NAME     "media"
#define NAME_START     "call/"
/* Words, plan, and one more for a plan that is replaced or is long. */
#define SLOTS_PER_CALL 3u
#define SLOTS_MORE     8192u
/* Answers to sbc come first, and several calls cost both sides one wake-up.
 * What a kill in this time takes is what waits in new sockets: they are opened
 * again on their ports. */
#define DEPOSIT_US     20000u
#define RETRY_US       20000u
#define DEPOSIT_BATCH  32u

/* A socket that keeper gave back before keep_open(). */
struct found_fd {
	char call[IDENT_CALL_SIZE];
	int fd;
};

struct found_words {
	char call[IDENT_CALL_SIZE];
	struct store_record *record;
};

struct found_plan {
	struct record_plan *plan;
	struct store_record *record;
};

struct found_farewell {
	struct record_farewell *farewell;
	struct store_record *record;
};

/* A list that grows; items are plain bytes. */
struct list {
	void *items;
	size_t n, room;
};

/* A name that keeper shall forget and did not take yet. */
struct forgotten {
	STAILQ_ENTRY(forgotten) next;
	char call[IDENT_CALL_SIZE];
};

struct keep {
	struct loop *loop;
	struct loop_timer *timer;
	struct notify *keeper;
	keep_fds_fn fds;
	struct store_config config;
	struct store_found found;
	struct store *store;
	bool settled;
	bool full_told;
	TAILQ_HEAD(, keep_entry) all;
	TAILQ_HEAD(, keep_entry) due;
	STAILQ_HEAD(, forgotten) forgotten;
	/* Until keep_settle(). */
	struct list found_fds, words, plans, farewells;
	size_t next_plan, next_farewell;
	uint8_t bytes[RECORD_PLAN_MAX];
};

static void *list_add(struct list *l, size_t size)
{
	if (l->n == l->room) {
		size_t room = l->room ? l->room * 2 : 64;
		void *items = reallocarray(l->items, room, size);

		if (items == NULL)
			return NULL;
		l->items = items;
		l->room = room;
	}
	return (uint8_t *)l->items + l->n++ * size;
}

static void list_done(struct list *l)
{
	free(l->items);
	*l = (struct list){0};
}

/* ----------------------------------------------------------------- names */

static void make_name(const char *call, char name[NOTIFY_FDNAME_MAX])
{
	(void)snprintf(name, NOTIFY_FDNAME_MAX, NAME_START "%s", call);
}

/* @return the call in it, or NULL. */
static const char *call_of(const char *name)
{
	size_t n = strlen(NAME_START);

	if (strncmp(name, NAME_START, n) != 0 || !ident_is_call(name + n))
		return NULL;
	return name + n;
}

static int forget_name(struct keep *k, const char *call)
{
	char name[NOTIFY_FDNAME_MAX];

	if (k->keeper == NULL)
		return ERR_AWAY;
	make_name(call, name);
	return notify_unstore(k->keeper, name);
}

/* Its ports stay open until keeper has heard it. */
static void forget_sockets(struct keep *k, const char *call)
{
	struct forgotten *f;

	if (forget_name(k, call) != ERR_FULL)
		return; /* said; or away, and then it asks us about each */
	f = calloc(1, sizeof(*f));
	if (f == NULL)
		return;
	memcpy(f->call, call, sizeof(f->call));
	STAILQ_INSERT_TAIL(&k->forgotten, f, next);
	loop_timer_set(k->loop, k->timer, RETRY_US);
}

/* -------------------------------------------------------------- deposits */

static struct keep_entry *find_entry(const struct keep *k, const char *call)
{
	struct keep_entry *e;

	TAILQ_FOREACH (e, &k->all, all)
		if (memcmp(e->call, call, sizeof(e->call)) == 0)
			return e;
	return NULL;
}

static int deposit(struct keep *k, struct keep_entry *e)
{
	char name[NOTIFY_FDNAME_MAX];
	int fds[KEEP_FDS_MAX];
	size_t n = k->fds(e, fds);
	int err = 0;

	make_name(e->call, name);
	if (n > 0)
		err = notify_store(k->keeper, name, fds, n);
	else if (e->deposited)
		err = notify_unstore(k->keeper, name);
	if (!err)
		e->deposited = n > 0;
	return err;
}

static void no_longer_due(struct keep *k, struct keep_entry *e)
{
	if (e->queued)
		TAILQ_REMOVE(&k->due, e, due);
	e->queued = false;
}

static void say_forgotten(struct keep *k)
{
	struct forgotten *f;

	while ((f = STAILQ_FIRST(&k->forgotten)) != NULL) {
		if (forget_name(k, f->call) == ERR_FULL)
			return;
		STAILQ_REMOVE_HEAD(&k->forgotten, next);
		free(f);
	}
}

/* @return microseconds until there is more to do; 0 = nothing. */
static uint64_t deposit_some(struct keep *k, unsigned most)
{
	struct keep_entry *e;

	say_forgotten(k);
	for (unsigned i = 0; i < most && (e = TAILQ_FIRST(&k->due)) != NULL;
		i++) {
		int err = k->keeper ? deposit(k, e) : ERR_AWAY;

		if (err == ERR_AWAY)
			return 0; /* keep_on_up() comes back to all */
		if (err == ERR_FULL)
			return RETRY_US;
		no_longer_due(k, e);
	}
	if (!STAILQ_EMPTY(&k->forgotten))
		return RETRY_US;
	return TAILQ_EMPTY(&k->due) ? 0 : 1;
}

static void on_timer(void *arg)
{
	struct keep *k = arg;
	uint64_t wait_us = deposit_some(k, DEPOSIT_BATCH);

	if (wait_us)
		loop_timer_set(k->loop, k->timer, wait_us);
}

void keep_flush(struct keep *k)
{
	while (deposit_some(k, DEPOSIT_BATCH) == 1)
		;
}

void keep_mark(struct keep *k, struct keep_entry *e)
{
	if (e->queued || !e->listed)
		return;
	if (TAILQ_EMPTY(&k->due))
		loop_timer_set(k->loop, k->timer, DEPOSIT_US);
	TAILQ_INSERT_TAIL(&k->due, e, due);
	e->queued = true;
}

void keep_on_fd(struct keep *k, const char *name, int fd)
{
	const char *call = call_of(name);
	struct found_fd *f;

	if (!k->settled && store_found_take(&k->found, &k->config, name, fd))
		return;
	if (k->settled || call == NULL) {
		/* keeper has never been away. What it still holds of a session
		 * that is over was not heard by it. */
		if (call != NULL && find_entry(k, call) == NULL)
			forget_sockets(k, call);
		(void)close(fd);
		return;
	}
	f = list_add(&k->found_fds, sizeof(*f));
	if (f == NULL) {
		(void)close(fd);
		return;
	}
	memcpy(f->call, call, sizeof(f->call));
	f->fd = fd;
}

void keep_on_up(struct keep *k, struct notify *keeper)
{
	struct keep_entry *e;

	k->keeper = keeper;
	if (!k->settled)
		return;
	if (store_deposit(k->store, keeper) < 0)
		log_warning("store_not_deposited");
	TAILQ_FOREACH (e, &k->all, all)
		keep_mark(k, e);
}

/* --------------------------------------------------------------- records */

static void tell_full(struct keep *k, const char *call, int err)
{
	if (!k->full_told)
		log_warning("session_not_kept", LOG_CALL(call), LOG_ERR(err),
			LOG_UINT("records", store_count(k->store)));
	k->full_told = true;
}

void keep_begin(struct keep *k, struct keep_entry *e, const char *call)
{
	struct live_words words;
	int err;

	*e = (struct keep_entry){0};
	memcpy(e->call, call, sizeof(e->call));
	keep_list(k, e);
	if (k->store == NULL)
		return;
	record_words_write(call, &words);
	err = store_put(k->store, &e->words, LIVE_WORDS, LIVE_LAYOUT, &words,
		sizeof(words), sizeof(words.leg));
	if (err) {
		tell_full(k, call, err);
		return;
	}
	e->live = (struct live_leg *)(void *)store_live(k->store, e->words);
}

void keep_list(struct keep *k, struct keep_entry *e)
{
	TAILQ_INSERT_TAIL(&k->all, e, all);
	e->listed = true;
}

void keep_plan(
	struct keep *k, struct keep_entry *e, const struct record_plan *plan)
{
	size_t len;
	int err;

	if (e->words == NULL)
		return;
	len = record_plan_write(plan, k->bytes);
	err = store_put(
		k->store, &e->plan, LIVE_PLAN, LIVE_LAYOUT, k->bytes, len, 0);
	secret_wipe(k->bytes, len);
	if (err) {
		tell_full(k, e->call, err);
		store_remove(k->store, &e->plan);
	}
}

void keep_end(struct keep *k, struct keep_entry *e)
{
	if (k->store != NULL) {
		store_remove(k->store, &e->plan);
		store_remove(k->store, &e->words);
	}
	e->live = NULL;
	no_longer_due(k, e);
	if (e->deposited)
		forget_sockets(k, e->call);
	e->deposited = false;
	if (e->listed)
		TAILQ_REMOVE(&k->all, e, all);
	e->listed = false;
}

void keep_farewell(struct keep *k, const struct record_farewell *f,
	struct store_record **record)
{
	struct live_farewell out;

	if (k->store == NULL)
		return;
	record_farewell_write(f, &out);
	if (store_put(k->store, record, LIVE_FAREWELL, LIVE_LAYOUT, &out,
		    sizeof(out), 0) < 0)
		store_remove(k->store, record);
}

void keep_forget(struct keep *k, struct store_record **record)
{
	if (k->store != NULL)
		store_remove(k->store, record);
}

size_t keep_count(const struct keep *k)
{
	return k->store ? store_count(k->store) : 0;
}

/* ------------------------------------------------- the earlier process's */

static int on_words(struct keep *k, struct store_record *record,
	const uint8_t *bytes, size_t len)
{
	struct found_words w = {.record = record};
	struct found_words *place;
	int err = record_words_read(bytes, len, w.call);

	if (err)
		return err;
	place = list_add(&k->words, sizeof(*place));
	if (place == NULL)
		return ERR_NOMEM;
	*place = w;
	return 0;
}

static int on_plan(struct keep *k, struct store_record *record,
	const uint8_t *bytes, size_t len)
{
	struct record_plan *plan = calloc(1, sizeof(*plan));
	struct found_plan *place;
	int err = plan ? record_plan_read(bytes, len, plan) : ERR_NOMEM;

	place = err ? NULL : list_add(&k->plans, sizeof(*place));
	if (place == NULL) {
		if (!err)
			record_plan_done(plan);
		free(plan);
		return err ? err : ERR_NOMEM;
	}
	*place = (struct found_plan){plan, record};
	return 0;
}

static int on_farewell(struct keep *k, struct store_record *record,
	const uint8_t *bytes, size_t len)
{
	struct record_farewell *f = calloc(1, sizeof(*f));
	struct found_farewell *place;
	int err = f ? record_farewell_read(bytes, len, f) : ERR_NOMEM;

	place = err ? NULL : list_add(&k->farewells, sizeof(*place));
	if (place == NULL) {
		free(f);
		return err ? err : ERR_NOMEM;
	}
	*place = (struct found_farewell){f, record};
	return 0;
}

static int on_record(void *ctx, struct store_record *record, uint32_t type,
	uint32_t version, const void *bytes, size_t len)
{
	if (version != LIVE_LAYOUT)
		return ERR_VERSION;
	switch (type) {
	case LIVE_WORDS:
		return on_words(ctx, record, bytes, len);
	case LIVE_PLAN:
		return on_plan(ctx, record, bytes, len);
	case LIVE_FAREWELL:
		return on_farewell(ctx, record, bytes, len);
	default:
		return ERR_INVALID;
	}
}

/* Items of words and found_fds begin with their call. */
static int by_call(const void *a, const void *b)
{
	return memcmp(a, b, IDENT_CALL_SIZE);
}

static void sort(struct list *l, size_t size)
{
	if (l->n > 1)
		qsort(l->items, l->n, size, by_call);
}

int keep_open(struct keep *k)
{
	int err = store_open(&k->config, &k->found, on_record, k, &k->store);

	if (err)
		return err;
	sort(&k->words, sizeof(struct found_words));
	sort(&k->found_fds, sizeof(struct found_fd));
	if (k->keeper != NULL && store_deposit(k->store, k->keeper) < 0)
		log_debug("store_not_deposited");
	return 0;
}

/* Takes a call's sockets out of the list. */
static void take_fds(struct keep *k, struct keep_found *out)
{
	struct found_fd *all = k->found_fds.items, *f;
	size_t i, n = k->found_fds.n;

	f = n ? bsearch(out->plan.call, all, n, sizeof(*all), by_call) : NULL;
	if (f == NULL)
		return;
	for (i = (size_t)(f - all); i > 0; i--)
		if (by_call(&all[i - 1], f) != 0)
			break;
	for (; i < n && by_call(&all[i], f) == 0; i++) {
		if (all[i].fd >= 0 && out->n_fds < KEEP_FDS_MAX) {
			out->fds[out->n_fds++] = all[i].fd;
			all[i].fd = -1;
		}
		out->entry.deposited = true;
	}
}

static bool take_words(struct keep *k, struct keep_found *out)
{
	struct found_words *w = NULL;

	if (k->words.n)
		w = bsearch(out->plan.call, k->words.items, k->words.n,
			sizeof(*w), by_call);
	if (w == NULL || w->record == NULL)
		return false;
	out->entry.words = w->record;
	out->entry.live =
		(struct live_leg *)(void *)store_live(k->store, w->record);
	w->record = NULL;
	return true;
}

bool keep_next(struct keep *k, struct keep_found *out)
{
	struct found_plan *all = k->plans.items;

	while (k->next_plan < k->plans.n) {
		struct found_plan *p = &all[k->next_plan++];

		*out = (struct keep_found){.plan = *p->plan};
		secret_wipe(p->plan, sizeof(*p->plan));
		free(p->plan);
		p->plan = NULL;
		out->entry.plan = p->record;
		memcpy(out->entry.call, out->plan.call,
			sizeof(out->entry.call));
		if (take_words(k, out)) {
			take_fds(k, out);
			return true;
		}
		log_peer_warning("session_dropped", LOG_CALL(out->plan.call),
			LOG_STR("problem", "no words"));
		reason_count(REASON_STORE_RECORD);
		store_remove(k->store, &out->entry.plan);
		record_plan_done(&out->plan);
	}
	return false;
}

bool keep_next_farewell(struct keep *k, struct record_farewell *f_out,
	struct store_record **record_out)
{
	struct found_farewell *f;

	if (k->next_farewell == k->farewells.n) {
		list_done(&k->farewells);
		k->next_farewell = 0;
		return false;
	}
	f = (struct found_farewell *)k->farewells.items + k->next_farewell++;
	*f_out = *f->farewell;
	*record_out = f->record;
	free(f->farewell);
	f->farewell = NULL;
	return true;
}

void keep_settle(struct keep *k)
{
	struct found_words *words = k->words.items;
	struct found_fd *fds = k->found_fds.items;

	for (size_t i = 0; i < k->words.n; i++)
		store_remove(k->store, &words[i].record);
	for (size_t i = 0; i < k->found_fds.n; i++) {
		if (fds[i].fd < 0)
			continue;
		(void)close(fds[i].fd);
		if (i > 0 && by_call(&fds[i - 1], &fds[i]) == 0)
			continue; /* one name */
		if (find_entry(k, fds[i].call) == NULL)
			forget_sockets(k, fds[i].call);
	}
	list_done(&k->words);
	list_done(&k->found_fds);
	list_done(&k->plans);
	k->next_plan = 0;
	k->settled = true;
}

/* ------------------------------------------------------------------- life */

int keep_new(struct loop *loop, size_t capacity, keep_fds_fn fds,
	struct keep **keep_out)
{
	struct keep *k = calloc(1, sizeof(*k));
	uint64_t n_slots = (uint64_t)capacity * SLOTS_PER_CALL + SLOTS_MORE;

	if (k == NULL)
		return ERR_NOMEM;
	if (n_slots > STORE_BYTES_MAX / LIVE_SLOT_SIZE)
		n_slots = STORE_BYTES_MAX / LIVE_SLOT_SIZE;
	k->loop = loop;
	k->fds = fds;
	k->found = (struct store_found)STORE_FOUND_NONE;
	k->config = (struct store_config){.name = STORE_NAME,
		.owner = PROCESS_MEDIAD,
		.slot_size = LIVE_SLOT_SIZE,
		.n_slots = (uint32_t)n_slots};
	TAILQ_INIT(&k->all);
	TAILQ_INIT(&k->due);
	STAILQ_INIT(&k->forgotten);
	if (loop_timer_new(loop, on_timer, k, &k->timer)) {
		free(k);
		return ERR_NOMEM;
	}
	*keep_out = k;
	return 0;
}

static void drop_found(struct keep *k)
{
	struct found_plan *plans = k->plans.items;
	struct found_farewell *farewells = k->farewells.items;
	struct found_fd *fds = k->found_fds.items;

	for (size_t i = 0; i < k->plans.n; i++) {
		if (plans[i].plan != NULL)
			record_plan_done(plans[i].plan);
		free(plans[i].plan);
	}
	for (size_t i = 0; i < k->farewells.n; i++)
		free(farewells[i].farewell);
	for (size_t i = 0; i < k->found_fds.n; i++)
		if (fds[i].fd >= 0)
			(void)close(fds[i].fd);
	list_done(&k->words);
	list_done(&k->found_fds);
	list_done(&k->plans);
	list_done(&k->farewells);
	if (k->found.fd >= 0)
		(void)close(k->found.fd);
	if (k->found.other_fd >= 0)
		(void)close(k->found.other_fd);
}

void keep_free(struct keep **keep, bool wipe)
{
	struct keep *k = *keep;
	struct forgotten *f;

	*keep = NULL;
	if (k == NULL)
		return;
	drop_found(k);
	while ((f = STAILQ_FIRST(&k->forgotten)) != NULL) {
		STAILQ_REMOVE_HEAD(&k->forgotten, next);
		free(f);
	}
	if (wipe)
		store_end(&k->store, k->keeper);
	else
		store_close(&k->store);
	loop_timer_free(k->loop, &k->timer);
	free(k);
}
