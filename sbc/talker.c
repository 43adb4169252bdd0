/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A counted set of addresses; see talker.h. Decides nothing. Called by call*.c
 * for their parties and by admit.c for each datagram of a source that is no
 * trunk's and no registered phone's.
 */
#include "config.h"

#include "sbc/talker.h"

#include <stdlib.h>

#include "common/heap.h"
#include "common/table.h"

#define TALKERS_MAX 200000u

struct talker {
	struct table_node node;
	struct addr source;
	unsigned n;
};

struct talkers {
	struct table table;
};

int talkers_new(struct talkers **out)
{
	struct talkers *t = calloc(1, sizeof *t);

	if (t == NULL)
		return ERR_NOMEM;
	if (table_init(&t->table, TALKERS_MAX) != 0) {
		free(t);
		return ERR_NOMEM;
	}
	*out = t;
	return 0;
}

static void forget(struct talkers *t, struct talker *one)
{
	table_remove(&t->table, &one->node);
	free(one);
}

void talkers_free(struct talkers **ref)
{
	struct talkers *t = *ref;
	struct table_node *node, *next;
	size_t bucket = 0;

	if (t == NULL)
		return;
	*ref = NULL;
	node = table_next(&t->table, &bucket, NULL);
	for (; node != NULL; node = next) {
		next = table_next(&t->table, &bucket, node);
		forget(t, TABLE_ENTRY(node, struct talker, node));
	}
	table_done(&t->table);
	free(t);
}

static struct talker *find(const struct talkers *t, const struct addr *source)
{
	struct table_node *node = table_find(&t->table, source, sizeof *source);

	return node != NULL ? TABLE_ENTRY(node, struct talker, node) : NULL;
}

void talker_add(struct talkers *t, const struct addr *source)
{
	struct talker *one = find(t, source);

	if (one == NULL) {
		one = heap_lasting(sizeof *one);
		if (one == NULL)
			return;
		one->source = *source;
		if (table_add(&t->table, &one->node, &one->source,
			    sizeof one->source) != 0) {
			free(one);
			return;
		}
	}
	one->n++;
}

void talker_drop(struct talkers *t, const struct addr *source)
{
	struct talker *one = find(t, source);

	if (one != NULL && --one->n == 0)
		forget(t, one);
}

bool talker_is_known(const struct talkers *t, const struct addr *source)
{
	return t != NULL && t->table.n_entries != 0 && find(t, source) != NULL;
}
