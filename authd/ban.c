/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who failed how often, and what follows; see ban.h. Knows nothing about
 * digests, messages or the database. Called by authd/judge on failures that
 * proved their address; rule 3 of the architecture ("a ban needs proof").
 *
 * Bounded: at the cap the source that failed longest ago is forgotten first; a
 * banned one only if all are.
 */
#include "authd/ban.h"

#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/table.h"

enum {
	ATTEMPTS = 8, /* remembered, to know a retransmission */
	USERS = 16,   /* told apart per source */
};

struct ban_user {
	uint64_t hash; /* 0 = free */
	uint32_t failures;
	uint64_t until_us;
	uint64_t last_us;
};

struct ban_source {
	struct table_node node;
	TAILQ_ENTRY(ban_source) order;
	struct addr host;
	uint8_t key[17];
	uint32_t failures;
	uint64_t first_us; /* begin of the window */
	uint64_t last_us;
	uint64_t until_us; /* 0 = not banned */
	uint64_t attempts[ATTEMPTS];
	unsigned next_attempt;
	struct ban_user users[USERS];
	struct store_record *record;
};

/* As it stands in the store: this, then the users that are not free. A
 * retransmission that comes after the restart counts once more. */
enum { SAVED_SOURCE = 1, SAVED_KEY = 2, SAVED_VERSION = 1 };

struct saved_source {
	uint8_t ip[16];
	uint32_t family;
	uint32_t failures;
	uint64_t first_us, last_us, until_us;
};
_Static_assert(
	sizeof(struct saved_source) == 48 && sizeof(struct ban_user) == 32,
	"no gaps in what is kept");

struct saved_all {
	struct saved_source source;
	struct ban_user users[USERS];
};
_Static_assert(
	sizeof(struct saved_all) <= BAN_SOURCE_SLOTS * (BAN_SLOT_SIZE - 64),
	"a source fits its slots");

struct ban_table {
	struct table table;
	TAILQ_HEAD(, ban_source) order; /* last failure longest ago first */
	struct ban_limits limits;
	struct addr_net *exempt;
	size_t n_exempt;
	uint8_t hash_key[16];
	struct store *store; /* NULL = none */
	struct store_record *key_record;
};

static void make_key(const struct addr *host, uint8_t key[17])
{
	memset(key, 0, 17);
	key[0] = (uint8_t)host->family;
	memcpy(key + 1, host->ip, host->family == AF_INET ? 4 : 16);
}

static struct ban_source *find(
	const struct ban_table *t, const struct addr *source)
{
	struct addr host = addr_host_key(source);
	struct table_node *node;
	uint8_t key[17];

	make_key(&host, key);
	node = table_find(&t->table, key, sizeof(key));
	return node ? TABLE_ENTRY(node, struct ban_source, node) : NULL;
}

static void forget(struct ban_table *t, struct ban_source *s)
{
	if (t->store)
		store_remove(t->store, &s->record);
	table_remove(&t->table, &s->node);
	TAILQ_REMOVE(&t->order, s, order);
	free(s);
}

static void make_room(struct ban_table *t)
{
	struct ban_source *s;

	TAILQ_FOREACH (s, &t->order, order)
		if (s->until_us == 0)
			break;
	forget(t, s ? s : TAILQ_FIRST(&t->order));
}

static struct ban_source *find_or_add(
	struct ban_table *t, const struct addr *source)
{
	struct ban_source *s = find(t, source);

	if (s)
		return s;
	if (t->table.n_entries == t->table.max_entries)
		make_room(t);
	s = calloc(1, sizeof(*s));
	if (!s)
		return NULL;
	s->host = addr_host_key(source);
	make_key(&s->host, s->key);
	if (table_add(&t->table, &s->node, s->key, sizeof(s->key)) < 0) {
		free(s);
		return NULL;
	}
	TAILQ_INSERT_TAIL(&t->order, s, order);
	return s;
}

/* ------------------------------------------------------------- the store */

static void keep(struct ban_table *t, struct ban_source *s)
{
	struct saved_all all = {.source = {.family = (uint32_t)s->host.family,
					.failures = s->failures,
					.first_us = s->first_us,
					.last_us = s->last_us,
					.until_us = s->until_us}};
	size_t n = 0;

	if (!t->store)
		return;
	memcpy(all.source.ip, s->host.ip, sizeof(all.source.ip));
	for (size_t i = 0; i < USERS; i++) {
		if (s->users[i].hash)
			all.users[n++] = s->users[i];
	}
	if (store_put(t->store, &s->record, SAVED_SOURCE, SAVED_VERSION, &all,
		    sizeof(all.source) + n * sizeof(all.users[0]), 0) < 0)
		log_peer_warning("ban_count_not_kept");
}

int ban_restore(struct ban_table *t, struct store_record *record, uint32_t type,
	uint32_t version, const void *bytes, size_t len)
{
	struct saved_all all = {0};
	struct ban_source *s;
	struct addr host = {0};
	size_t users;

	if (version != SAVED_VERSION)
		return ERR_VERSION;
	if (type == SAVED_KEY && len == sizeof(t->hash_key) && !t->key_record) {
		memcpy(t->hash_key, bytes, len);
		t->key_record = record;
		return 0;
	}
	if (type != SAVED_SOURCE || len < sizeof(all.source) ||
		len > sizeof(all) ||
		(len - sizeof(all.source)) % sizeof(all.users[0]))
		return ERR_INVALID;
	memcpy(&all, bytes, len);
	users = (len - sizeof(all.source)) / sizeof(all.users[0]);
	host.family = (int)all.source.family;
	if (host.family != AF_INET && host.family != AF_INET6)
		return ERR_INVALID;
	memcpy(host.ip, all.source.ip, sizeof(host.ip));
	if (find(t, &host) || t->table.n_entries == t->table.max_entries)
		return ERR_EXISTS;
	s = find_or_add(t, &host);
	if (!s)
		return ERR_NOMEM;
	s->record = record;
	s->failures = all.source.failures;
	s->first_us = all.source.first_us;
	s->last_us = all.source.last_us;
	s->until_us = all.source.until_us;
	memcpy(s->users, all.users, users * sizeof(all.users[0]));
	return 0;
}

void ban_attach(struct ban_table *t, struct store *store)
{
	t->store = store;
	/* Names are told apart by it: counts without it mean nothing. */
	if (store && !t->key_record &&
		store_put(store, &t->key_record, SAVED_KEY, SAVED_VERSION,
			t->hash_key, sizeof(t->hash_key), 0) < 0)
		log_warning("ban_key_not_kept");
}

int ban_new(size_t max_sources, struct ban_table **table_out)
{
	struct ban_table *t = calloc(1, sizeof(*t));

	if (!t)
		return ERR_NOMEM;
	TAILQ_INIT(&t->order);
	if (table_init(&t->table, max_sources) < 0) {
		free(t);
		return ERR_NOMEM;
	}
	/* The table's own random key also hashes user names. */
	memcpy(t->hash_key, t->table.hash_key, sizeof(t->hash_key));
	t->limits = (struct ban_limits){
		.failures = 3, .window_s = 600, .ban_s = 600};
	*table_out = t;
	return 0;
}

void ban_free(struct ban_table **table)
{
	struct ban_table *t = *table;

	*table = NULL;
	if (!t)
		return;
	/* What was kept is the next process's. */
	t->store = NULL;
	while (!TAILQ_EMPTY(&t->order))
		forget(t, TAILQ_FIRST(&t->order));
	table_done(&t->table);
	free(t->exempt);
	free(t);
}

void ban_set_limits(struct ban_table *t, const struct ban_limits *limits)
{
	t->limits = *limits;
}

int ban_set_exempt(struct ban_table *t, const struct addr_net *nets, size_t n)
{
	struct addr_net *copy = NULL;

	if (n > 0) {
		copy = calloc(n, sizeof(*copy));
		if (!copy)
			return ERR_NOMEM;
		memcpy(copy, nets, n * sizeof(*copy));
	}
	free(t->exempt);
	t->exempt = copy;
	t->n_exempt = n;
	return 0;
}

static bool is_exempt(const struct ban_table *t, const struct addr *source)
{
	for (size_t i = 0; i < t->n_exempt; i++) {
		if (addr_in_net(source, &t->exempt[i]))
			return true;
	}
	return false;
}

static uint64_t hash_user(const struct ban_table *t, const char *user)
{
	uint64_t hash = table_siphash(t->hash_key, user, strlen(user));

	return hash ? hash : 1;
}

static struct ban_user *user_slot(struct ban_source *s, uint64_t hash)
{
	struct ban_user *oldest = &s->users[0];

	for (size_t i = 0; i < USERS; i++) {
		if (s->users[i].hash == hash)
			return &s->users[i];
		if (s->users[i].last_us < oldest->last_us)
			oldest = &s->users[i];
	}
	*oldest = (struct ban_user){.hash = hash};
	return oldest;
}

enum ban_step ban_failure(struct ban_table *t, const struct addr *source,
	const char *user, uint64_t attempt, bool shared, uint64_t now_us,
	uint32_t *failures_out)
{
	uint64_t window_us = t->limits.window_s * CLOCK_US_PER_S;
	uint64_t ban_us = t->limits.ban_s * CLOCK_US_PER_S;
	uint32_t limit = t->limits.failures;
	enum ban_step step = BAN_NOTHING;
	struct ban_source *s;
	struct ban_user *u;

	if (is_exempt(t, source))
		return BAN_NOTHING;
	s = find_or_add(t, source);
	if (!s)
		return BAN_NOTHING;
	for (size_t i = 0; i < ATTEMPTS; i++) {
		if (s->attempts[i] == attempt && attempt != 0)
			return BAN_REPEATED;
	}
	s->attempts[s->next_attempt++ % ATTEMPTS] = attempt;
	if (s->failures == 0 || now_us - s->first_us > window_us) {
		s->failures = 0;
		s->first_us = now_us;
	}
	s->failures++;
	s->last_us = now_us;
	TAILQ_REMOVE(&t->order, s, order);
	TAILQ_INSERT_TAIL(&t->order, s, order);
	u = user_slot(s, hash_user(t, user));
	if (u->failures == 0 || now_us - u->last_us > window_us)
		u->failures = 0;
	u->failures++;
	u->last_us = now_us;
	if (failures_out)
		*failures_out = s->failures;
	if (shared && u->failures >= limit) {
		u->until_us = now_us + ban_us;
		u->failures = 0;
		step = BAN_ACCOUNT;
	}
	if (s->failures >= (shared ? limit * BAN_SHARED_FACTOR : limit)) {
		s->until_us = now_us + ban_us;
		s->failures = 0;
		step = BAN_SOURCE;
	}
	keep(t, s);
	return step;
}

void ban_success(
	struct ban_table *t, const struct addr *source, const char *user)
{
	struct ban_source *s = find(t, source);
	uint64_t hash = hash_user(t, user);

	if (!s)
		return;
	for (size_t i = 0; i < USERS; i++) {
		if (s->users[i].hash != hash)
			continue;
		/* Only its own: a valid account must not wash others. */
		s->failures -= s->users[i].failures < s->failures
				       ? s->users[i].failures
				       : s->failures;
		s->users[i] = (struct ban_user){0};
		keep(t, s);
	}
}

bool ban_user_allowed(const struct ban_table *t, const struct addr *source,
	const char *user, uint64_t now_us)
{
	const struct ban_source *s = find(t, source);
	uint64_t hash;

	if (!s)
		return true;
	hash = hash_user(t, user);
	for (size_t i = 0; i < USERS; i++) {
		if (s->users[i].hash == hash)
			return s->users[i].until_us <= now_us;
	}
	return true;
}

uint64_t ban_until(
	const struct ban_table *t, const struct addr *source, uint64_t now_us)
{
	const struct ban_source *s = find(t, source);

	return s && s->until_us > now_us ? s->until_us : 0;
}

void ban_set(struct ban_table *t, const struct addr *source, uint64_t until_us)
{
	struct ban_source *s = find_or_add(t, source);

	if (!s)
		return;
	s->until_us = until_us;
	keep(t, s);
}

bool ban_lift(struct ban_table *t, const struct addr *source, uint64_t now_us)
{
	struct ban_source *s = find(t, source);
	bool was_banned;

	if (!s)
		return false;
	was_banned = s->until_us > now_us;
	forget(t, s);
	return was_banned;
}

void ban_each(const struct ban_table *t, uint64_t now_us,
	void (*fn)(void *ctx, const struct addr *host, uint64_t until_us),
	void *ctx)
{
	const struct ban_source *s;

	TAILQ_FOREACH (s, &t->order, order)
		if (s->until_us > now_us)
			fn(ctx, &s->host, s->until_us);
}

static bool is_over(
	const struct ban_table *t, const struct ban_source *s, uint64_t now_us)
{
	if (s->until_us > now_us)
		return false;
	for (size_t i = 0; i < USERS; i++) {
		if (s->users[i].until_us > now_us)
			return false;
	}
	return now_us - s->last_us > t->limits.window_s * CLOCK_US_PER_S;
}

void ban_expire(struct ban_table *t, uint64_t now_us)
{
	struct ban_source *s, *next;

	for (s = TAILQ_FIRST(&t->order); s; s = next) {
		next = TAILQ_NEXT(s, order);
		if (is_over(t, s, now_us))
			forget(t, s);
	}
}
