/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of used nonce counts; see replay.h. Does not judge nonces or
 * responses. Called by authd/judge after a response proved right. RFC 7616
 * section 5.5.
 */
#include "authd/replay.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "common/log.h"

#include "common/nonce.h"
#include "common/table.h"

/* Types of records in the store; live.c has 1. */
enum { REPLAY_NONCE = 2, REPLAY_FORGOTTEN = 3, REPLAY_VERSION = 1 };

/* What is kept of a nonce, also in the store. */
struct used {
	uint64_t below; /* bit n: highest - 1 - n was used */
	uint32_t made_s;
	uint32_t highest;
	char text[NONCE_TEXT_LEN];
};
_Static_assert(
	sizeof(struct used) == 16 + NONCE_TEXT_LEN, "no gaps in what is kept");

struct used_nonce {
	struct table_node node;
	TAILQ_ENTRY(used_nonce) order; /* oldest use first */
	struct used used;
	struct store_record *record;
};

struct replay {
	struct table table;
	TAILQ_HEAD(, used_nonce) order;
	/* Nonces made up to here may have been pushed out. */
	uint32_t forgotten_s;
	struct store *store; /* borrowed; NULL = none */
	struct store_record *forgotten_record;
};

int replay_new(size_t max_nonces, struct replay **replay_out)
{
	struct replay *r = calloc(1, sizeof(*r));

	if (!r)
		return ERR_NOMEM;
	TAILQ_INIT(&r->order);
	if (table_init(&r->table, max_nonces) < 0) {
		free(r);
		return ERR_NOMEM;
	}
	*replay_out = r;
	return 0;
}

static void forget(struct replay *r, struct used_nonce *n)
{
	if (r->store)
		store_remove(r->store, &n->record);
	table_remove(&r->table, &n->node);
	TAILQ_REMOVE(&r->order, n, order);
	free(n);
}

void replay_free(struct replay **replay)
{
	struct replay *r = *replay;

	*replay = NULL;
	if (!r)
		return;
	r->store = NULL; /* what stands there stays */
	while (!TAILQ_EMPTY(&r->order))
		forget(r, TAILQ_FIRST(&r->order));
	table_done(&r->table);
	free(r);
}

size_t replay_count(const struct replay *r)
{
	return r->table.n_entries;
}

void replay_expire(struct replay *r, uint32_t before_s)
{
	struct used_nonce *n, *next;

	/* In order of use, not of making: a few are met again later. */
	for (n = TAILQ_FIRST(&r->order); n && n->used.made_s < before_s;
		n = next) {
		next = TAILQ_NEXT(n, order);
		forget(r, n);
	}
}

/* Writes what was changed. @return 0, or why it can not be remembered. */
static int keep(struct replay *r, struct used_nonce *n)
{
	return r->store ? store_put(r->store, &n->record, REPLAY_NONCE,
				  REPLAY_VERSION, &n->used, sizeof(n->used), 0)
			: 0;
}

static void push_out(struct replay *r, struct used_nonce *n)
{
	if (n->used.made_s > r->forgotten_s) {
		r->forgotten_s = n->used.made_s;
		if (r->store &&
			store_put(r->store, &r->forgotten_record,
				REPLAY_FORGOTTEN, REPLAY_VERSION,
				&r->forgotten_s, sizeof(r->forgotten_s), 0) < 0)
			log_peer_warning("replay_not_kept");
	}
	forget(r, n);
}

static struct used_nonce *add(struct replay *r, const struct used *used)
{
	struct used_nonce *n = calloc(1, sizeof(*n));

	if (!n)
		return NULL;
	n->used = *used;
	if (table_add(&r->table, &n->node, n->used.text, NONCE_TEXT_LEN) < 0) {
		free(n);
		return NULL;
	}
	TAILQ_INSERT_TAIL(&r->order, n, order);
	return n;
}

static enum reason take_first(
	struct replay *r, const char *nonce, uint32_t made_s, uint32_t nc)
{
	struct used used = {.made_s = made_s, .highest = nc};
	struct used_nonce *n;

	if (made_s <= r->forgotten_s)
		return REASON_AUTH_REPLAY;
	if (r->table.n_entries == r->table.max_entries) {
		push_out(r, TAILQ_FIRST(&r->order));
		if (made_s <= r->forgotten_s)
			return REASON_AUTH_REPLAY;
	}
	memcpy(used.text, nonce, NONCE_TEXT_LEN);
	n = add(r, &used);
	if (!n) /* can not remember: can not accept */
		return REASON_AUTH_REPLAY;
	if (keep(r, n) < 0) {
		forget(r, n);
		return REASON_AUTH_REPLAY;
	}
	return REASON_AUTH_OK;
}

enum reason replay_take(
	struct replay *r, const char *nonce, uint32_t made_s, uint32_t nc)
{
	struct table_node *node;
	struct used_nonce *n;
	struct used *u;
	uint32_t distance;

	if (strnlen(nonce, NONCE_TEXT_SIZE) != NONCE_TEXT_LEN)
		return REASON_AUTH_REPLAY;
	node = table_find(&r->table, nonce, NONCE_TEXT_LEN);
	if (!node)
		return take_first(r, nonce, made_s, nc);
	n = TABLE_ENTRY(node, struct used_nonce, node);
	u = &n->used;
	if (nc > u->highest) {
		distance = nc - u->highest;
		u->below =
			distance > REPLAY_WINDOW ? 0
			: distance == REPLAY_WINDOW
				? 1ULL << (REPLAY_WINDOW - 1)
				: u->below << distance | 1ULL << (distance - 1);
		u->highest = nc;
	} else {
		distance = u->highest - nc;
		if (distance == 0 || distance > REPLAY_WINDOW ||
			u->below & 1ULL << (distance - 1))
			return REASON_AUTH_REPLAY;
		u->below |= 1ULL << (distance - 1);
	}
	if (keep(r, n) < 0)
		return REASON_AUTH_REPLAY;
	TAILQ_REMOVE(&r->order, n, order);
	TAILQ_INSERT_TAIL(&r->order, n, order);
	return REASON_AUTH_OK;
}

int replay_restore(struct replay *r, struct store_record *record, uint32_t type,
	uint32_t version, const void *bytes, size_t len)
{
	struct used_nonce *n;
	struct used used;

	if (version != REPLAY_VERSION)
		return ERR_INVALID;
	if (type == REPLAY_FORGOTTEN && len == sizeof(r->forgotten_s) &&
		!r->forgotten_record) {
		memcpy(&r->forgotten_s, bytes, len);
		r->forgotten_record = record;
		return 0;
	}
	if (type != REPLAY_NONCE || len != sizeof(used))
		return ERR_INVALID;
	memcpy(&used, bytes, len);
	n = add(r, &used);
	if (!n)
		return ERR_FULL;
	n->record = record;
	return 0;
}

void replay_attach(struct replay *r, struct store *store)
{
	r->store = store;
}
