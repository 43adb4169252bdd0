/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Takes the connection string apart, and begins a connection to one of its
 * hosts. Does not know the pool. Called by db.c.
 */
#include "authd/db_target.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CONN_OPTIONS_MAX = 64 };

/* The n-th part of a comma-separated list, or its only one, in a new string. */
static char *pick(const char *list, size_t n)
{
	const char *at = list;

	if (!strchr(list, ','))
		return strdup(list);
	while (n-- > 0 && *at) {
		at += strcspn(at, ",");
		at += *at == ',';
	}
	return strndup(at, strcspn(at, ","));
}

static size_t count_parts(const char *list)
{
	size_t n = 1;

	if (!list || !*list)
		return 0;
	for (; *list; list++)
		n += *list == ',';
	return n;
}

static bool is_list(const char *keyword)
{
	return strcmp(keyword, "host") == 0 ||
	       strcmp(keyword, "hostaddr") == 0 || strcmp(keyword, "port") == 0;
}

PGconn *db_target_connect(const struct db_target *t, size_t turn)
{
	const char *keywords[CONN_OPTIONS_MAX + 1],
		*values[CONN_OPTIONS_MAX + 1];
	char *picked[3] = {NULL};
	size_t n = 0, n_picked = 0;
	PGconn *pg = NULL;

	for (const PQconninfoOption *o = t->options; o->keyword; o++) {
		if (!o->val || n == CONN_OPTIONS_MAX)
			continue;
		keywords[n] = o->keyword;
		values[n] = o->val;
		if (is_list(o->keyword) && n_picked < 3) {
			picked[n_picked] = pick(o->val, turn % t->n_hosts);
			if (!picked[n_picked])
				goto out;
			values[n] = picked[n_picked++];
		}
		n++;
	}
	keywords[n] = NULL;
	values[n] = NULL;
	pg = PQconnectStartParams(keywords, values, 0);
out:
	for (size_t i = 0; i < n_picked; i++)
		free(picked[i]);
	return pg;
}

int db_target_read(const char *conninfo, struct db_target *target_out,
	char *problem, size_t size)
{
	char *message = NULL;
	struct db_target t = {.n_hosts = 1};
	size_t n;

	t.options = PQconninfoParse(conninfo, &message);
	if (!t.options) {
		snprintf(problem, size, "database: %.*s",
			message ? (int)strcspn(message, "\n") : 0,
			message ? message : "");
		PQfreemem(message);
		return ERR_INVALID;
	}
	for (const PQconninfoOption *o = t.options; o->keyword; o++) {
		n = is_list(o->keyword) ? count_parts(o->val) : 0;
		if (n > t.n_hosts)
			t.n_hosts = n;
	}
	*target_out = t;
	return 0;
}

void db_target_done(struct db_target *t)
{
	PQconninfoFree(t->options);
	t->options = NULL;
}
