/* SPDX-License-Identifier: Apache-2.0 */
#include "keeper/fdstore.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/stat.h"

int fdstore_init(struct fdstore *s, size_t max_fds, size_t max_fds_each)
{
	memset(s, 0, sizeof(*s));
	s->max_fds = max_fds;
	s->max_fds_each = max_fds_each;
	for (size_t i = 0; i < PROCESS_COUNT; i++)
		TAILQ_INIT(&s->owners[i].entries);
	return table_init(&s->by_key, max_fds ? max_fds : 1);
}

static void entry_drop(
	struct fdstore *s, enum process owner, struct fdstore_entry *e)
{
	struct fdstore_owner *o = &s->owners[owner];

	if (o->given == e)
		o->given = TAILQ_NEXT(e, next);
	TAILQ_REMOVE(&o->entries, e, next);
	table_remove(&s->by_key, &e->node);
	o->n_fds -= e->n_fds;
	s->n_fds -= e->n_fds;
	stat_set(STAT_FDS_HELD, s->n_fds);
	for (size_t i = 0; i < e->n_fds; i++)
		close(e->fds[i]);
	free(e);
}

static void entry_forget(
	struct fdstore *s, enum process owner, struct fdstore_entry *e)
{
	if (e->passed && s->on_forget)
		s->on_forget(s->handover, e);
	entry_drop(s, owner, e);
}

void fdstore_done(struct fdstore *s)
{
	for (int i = 0; i < PROCESS_COUNT; i++) {
		struct fdstore_list *list = &s->owners[i].entries;

		while (!TAILQ_EMPTY(list))
			entry_drop(s, (enum process)i, TAILQ_FIRST(list));
	}
	table_done(&s->by_key);
}

static bool name_ok(const char *name)
{
	size_t len = 0;

	for (; name[len]; len++) {
		if (name[len] <= ' ' || name[len] > '~')
			return false;
	}
	return len > 0 && len < NOTIFY_FDNAME_MAX;
}

static struct fdstore_entry *entry_find(
	const struct fdstore *s, enum process owner, const char *name)
{
	char key[FDSTORE_KEY_SIZE];
	int len =
		snprintf(key, sizeof(key), "%s/%s", process_name(owner), name);
	struct table_node *node = table_find(&s->by_key, key, (size_t)len);

	return node ? TABLE_ENTRY(node, struct fdstore_entry, node) : NULL;
}

static int entry_add(struct fdstore *s, enum process owner, const char *name,
	const int *fds, size_t n_fds)
{
	struct fdstore_owner *o = &s->owners[owner];
	struct fdstore_entry *e = calloc(1, sizeof(*e) + n_fds * sizeof(int));
	int len, rc;

	if (!e)
		return ERR_NOMEM;
	len = snprintf(
		e->key, sizeof(e->key), "%s/%s", process_name(owner), name);
	e->name = e->key + (size_t)len - strlen(name);
	rc = table_add(&s->by_key, &e->node, e->key, (size_t)len);
	if (rc) {
		free(e);
		return rc;
	}
	memcpy(e->fds, fds, n_fds * sizeof(e->fds[0]));
	e->n_fds = n_fds;
	TAILQ_INSERT_TAIL(&o->entries, e, next);
	o->n_fds += n_fds;
	s->n_fds += n_fds;
	stat_set(STAT_FDS_HELD, s->n_fds);
	for (size_t i = 0; s->on_put && i < n_fds; i++)
		s->on_put(s->ctx, e->fds[i]);
	return 0;
}

/* A daemon that was started again deposits what it was given back: the service
 * manager has it, and must not be without it for a moment. */
static bool same_file(const struct fdstore_entry *e, int fd)
{
	struct stat a, b;

	return e->n_fds == 1 && fstat(e->fds[0], &a) == 0 &&
	       fstat(fd, &b) == 0 && a.st_dev == b.st_dev &&
	       a.st_ino == b.st_ino;
}

int fdstore_put(struct fdstore *s, enum process owner, const char *name,
	const int *fds, size_t n_fds)
{
	struct fdstore_entry *old;
	size_t n_old;
	bool passed;
	int rc = ERR_INVALID;

	if (!name_ok(name) || n_fds == 0)
		goto out;
	old = entry_find(s, owner, name);
	n_old = old ? old->n_fds : 0;
	rc = ERR_FULL;
	if (n_fds > s->max_fds - (s->n_fds - n_old) ||
		n_fds > s->max_fds_each - (s->owners[owner].n_fds - n_old))
		goto out;
	passed = old && old->passed && n_fds == 1 && same_file(old, fds[0]);
	if (old && passed)
		entry_drop(s, owner, old);
	else if (old)
		entry_forget(s, owner, old);
	rc = entry_add(s, owner, name, fds, n_fds);
	if (rc == 0) {
		old = TAILQ_LAST(&s->owners[owner].entries, fdstore_list);
		old->settled = old->passed = passed;
		if (!passed && s->on_new)
			s->on_new(s->handover, old);
	}
out:
	if (rc) {
		for (size_t i = 0; i < n_fds; i++)
			close(fds[i]);
	}
	return rc;
}

int fdstore_remove(struct fdstore *s, enum process owner, const char *name)
{
	struct fdstore_entry *e;

	if (!name_ok(name))
		return ERR_NOT_FOUND;
	e = entry_find(s, owner, name);
	if (!e)
		return ERR_NOT_FOUND;
	entry_forget(s, owner, e);
	return 0;
}

void fdstore_rewind(struct fdstore *s, enum process owner)
{
	struct fdstore_owner *o = &s->owners[owner];

	o->given = TAILQ_FIRST(&o->entries);
}

const struct fdstore_entry *fdstore_peek(
	const struct fdstore *s, enum process owner)
{
	return s->owners[owner].given;
}

void fdstore_given(struct fdstore *s, enum process owner)
{
	struct fdstore_owner *o = &s->owners[owner];

	if (o->given)
		o->given = TAILQ_NEXT(o->given, next);
}
