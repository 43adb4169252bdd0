/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A new file without what does not count any more. At the start and after a
 * failed write everything is copied at once; in service each change copies a
 * few records, and until the new file is flushed and in place changes go to
 * both, so that nobody waits and a kill at any time leaves one whole file.
 * Called by vault.c and, for the flush, by server.
 */
#include "authd/vault_i.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"

/* Records copied per change: a rewriting ends long before the file has grown
 * by half again. */
enum { COPIES = 16 };

/* Copies one record into the new file. */
static int copy_record(struct vault *v, struct vault *new, struct record *r)
{
	size_t head = 2 + strlen(r->name);
	uint8_t *bytes;
	uint32_t len;
	int err;

	err = vault_read_frame(v, r->offset, r->number, v->end, &bytes, &len);
	if (err < 0)
		return err;
	err = vault_append(new, OP_PUT, r->name, bytes + head, len - head,
		&r->new_offset, &r->new_number, &r->len);
	secret_wipe(bytes, len);
	free(bytes);
	return err;
}

/* The new file is the store's from now on. */
static void take_over(struct vault *v, const struct vault *new)
{
	close(v->fd);
	v->fd = new->fd;
	v->end = new->end;
	v->live = new->live;
	v->next = new->next;
	v->torn = new->torn;
	memcpy(v->file_key, new->file_key, sizeof(v->file_key));
}

int vault_compact(struct vault *v)
{
	struct vault new = *v;
	struct table_node *node = NULL;
	char aside[PATH_SIZE + 8];
	size_t bucket = 0;
	int err;

	vault_rewrite_end(v);
	new.next_file = NULL;
	snprintf(aside, sizeof(aside), "%s.new", v->path);
	new.torn = false;
	err = vault_begin_file(&new, aside);
	if (err < 0)
		return err;
	while ((node = table_next(&v->table, &bucket, node))) {
		struct record *r = TABLE_ENTRY(node, struct record, node);

		err = copy_record(v, &new, r);
		if (err < 0)
			goto fail;
		new.live += r->len + FRAME_EXTRA;
	}
	if (fdatasync(new.fd) < 0 || rename(aside, v->path) < 0) {
		err = ERR_SYSTEM;
		goto fail;
	}
	node = NULL;
	bucket = 0;
	while ((node = table_next(&v->table, &bucket, node))) {
		struct record *r = TABLE_ENTRY(node, struct record, node);

		r->offset = r->new_offset;
		r->number = r->new_number;
	}
	take_over(v, &new);
	return 0;
fail:
	close(new.fd);
	unlink(aside);
	secret_wipe(new.file_key, sizeof(new.file_key));
	return err;
}

/* ------------------------------------------------------------ bit by bit */

static void aside_path(const struct vault *v, char path[PATH_SIZE + 8])
{
	snprintf(path, PATH_SIZE + 8, "%s.new", v->path);
}

void vault_rewrite_end(struct vault *v)
{
	char aside[PATH_SIZE + 8];

	if (!v->next_file)
		return;
	aside_path(v, aside);
	close(v->next_file->fd);
	unlink(aside);
	secret_wipe(v->next_file->file_key, sizeof(v->next_file->file_key));
	free(v->next_file);
	v->next_file = NULL;
}

static void give_up(struct vault *v, int err)
{
	log_err("vault_rewrite", LOG_STR("file", v->path), LOG_ERR(err));
	vault_rewrite_end(v);
	/* Not again before it has grown as much once more. */
	v->live = v->end;
}

static void begin(struct vault *v)
{
	char aside[PATH_SIZE + 8];
	int err;

	v->next_file = calloc(1, sizeof(*v->next_file));
	if (!v->next_file)
		return;
	*v->next_file = *v;
	v->next_file->next_file = NULL;
	v->next_file->torn = false;
	aside_path(v, aside);
	err = vault_begin_file(v->next_file, aside);
	if (err < 0) {
		free(v->next_file);
		v->next_file = NULL;
		log_err("vault_rewrite", LOG_STR("file", v->path),
			LOG_ERR(err));
		return;
	}
	v->round++;
}

static void moved(struct vault *v, struct record *r)
{
	r->round = v->round;
	TAILQ_REMOVE(&v->order, r, order);
	TAILQ_INSERT_TAIL(&v->order, r, order);
	v->next_file->live += r->len + FRAME_EXTRA;
}

static bool is_copied(const struct vault *v)
{
	const struct record *r = TAILQ_FIRST(&v->order);

	return !r || r->round == v->round;
}

void vault_rewrite_some(struct vault *v)
{
	int err;

	if (!v->next_file && v->end >= COMPACT_MIN && v->end >= 2 * v->live)
		begin(v);
	for (int i = 0; v->next_file && i < COPIES && !is_copied(v); i++) {
		struct record *r = TAILQ_FIRST(&v->order);

		err = copy_record(v, v->next_file, r);
		if (err < 0)
			give_up(v, err);
		else
			moved(v, r);
	}
}

void vault_rewrite_put(
	struct vault *v, struct record *r, const void *bytes, size_t len)
{
	uint32_t sealed;
	int err;

	if (!v->next_file)
		return;
	err = vault_append(v->next_file, OP_PUT, r->name, bytes, len,
		&r->new_offset, &r->new_number, &sealed);
	if (err < 0)
		give_up(v, err);
	else
		moved(v, r);
}

void vault_rewrite_drop(struct vault *v, struct record *r)
{
	uint64_t offset, number;
	uint32_t sealed;
	int err;

	if (!v->next_file || r->round != v->round)
		return;
	v->next_file->live -= r->len + FRAME_EXTRA;
	err = vault_append(v->next_file, OP_REMOVE, r->name, NULL, 0, &offset,
		&number, &sealed);
	if (err < 0)
		give_up(v, err);
}

int vault_rewritten_fd(const struct vault *v)
{
	return v->next_file && is_copied(v) ? v->next_file->fd : -1;
}

void vault_replace(struct vault *v, int fd)
{
	char aside[PATH_SIZE + 8];
	struct record *r;

	if (fd < 0 || vault_rewritten_fd(v) != fd)
		return; /* it was given up meanwhile */
	aside_path(v, aside);
	if (rename(aside, v->path) < 0) {
		give_up(v, ERR_SYSTEM);
		return;
	}
	TAILQ_FOREACH (r, &v->order, order) {
		r->offset = r->new_offset;
		r->number = r->new_number;
	}
	take_over(v, v->next_file);
	v->dirty = true; /* what came after the flush */
	secret_wipe(v->next_file->file_key, sizeof(v->next_file->file_key));
	free(v->next_file);
	v->next_file = NULL;
}
