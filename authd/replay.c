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

#include "common/nonce.h"
#include "common/table.h"

struct used_nonce {
	struct table_node node;
	TAILQ_ENTRY(used_nonce) order; /* oldest use first */
	char text[NONCE_TEXT_SIZE];
	uint32_t made_s;
	uint32_t highest;
	uint64_t below; /* bit n: highest - 1 - n was used */
};

struct replay {
	struct table table;
	TAILQ_HEAD(, used_nonce) order;
	/* Nonces made up to here may have been pushed out. */
	uint32_t forgotten_s;
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
	for (n = TAILQ_FIRST(&r->order); n && n->made_s < before_s; n = next) {
		next = TAILQ_NEXT(n, order);
		forget(r, n);
	}
}

static enum reason take_first(
	struct replay *r, const char *nonce, uint32_t made_s, uint32_t nc)
{
	struct used_nonce *n;

	if (made_s <= r->forgotten_s)
		return REASON_AUTH_REPLAY;
	if (r->table.n_entries == r->table.max_entries) {
		n = TAILQ_FIRST(&r->order);
		if (n->made_s > r->forgotten_s)
			r->forgotten_s = n->made_s;
		forget(r, n);
		if (made_s <= r->forgotten_s)
			return REASON_AUTH_REPLAY;
	}
	n = calloc(1, sizeof(*n));
	if (!n)
		return REASON_AUTH_REPLAY; /* can not remember: can not accept
					    */
	memcpy(n->text, nonce, NONCE_TEXT_LEN);
	n->made_s = made_s;
	n->highest = nc;
	if (table_add(&r->table, &n->node, n->text, NONCE_TEXT_LEN) < 0) {
		free(n);
		return REASON_AUTH_REPLAY;
	}
	TAILQ_INSERT_TAIL(&r->order, n, order);
	return REASON_AUTH_OK;
}

enum reason replay_take(
	struct replay *r, const char *nonce, uint32_t made_s, uint32_t nc)
{
	struct table_node *node;
	struct used_nonce *n;
	uint32_t distance;

	if (strnlen(nonce, NONCE_TEXT_SIZE) != NONCE_TEXT_LEN)
		return REASON_AUTH_REPLAY;
	node = table_find(&r->table, nonce, NONCE_TEXT_LEN);
	if (!node)
		return take_first(r, nonce, made_s, nc);
	n = TABLE_ENTRY(node, struct used_nonce, node);
	if (nc > n->highest) {
		distance = nc - n->highest;
		n->below =
			distance > REPLAY_WINDOW ? 0
			: distance == REPLAY_WINDOW
				? 1ULL << (REPLAY_WINDOW - 1)
				: n->below << distance | 1ULL << (distance - 1);
		n->highest = nc;
	} else {
		distance = n->highest - nc;
		if (distance == 0 || distance > REPLAY_WINDOW ||
			n->below & 1ULL << (distance - 1))
			return REASON_AUTH_REPLAY;
		n->below |= 1ULL << (distance - 1);
	}
	TAILQ_REMOVE(&r->order, n, order);
	TAILQ_INSERT_TAIL(&r->order, n, order);
	return REASON_AUTH_OK;
}
