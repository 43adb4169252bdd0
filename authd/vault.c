/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sealed store; see vault.h for what it promises. Does not know what its
 * records mean. Called by snapshot (settings), account (accounts) and bindings.
 *
 *	file	magic[8] salt[16], then frames
 *	frame	len u32 (of what is sealed), sealed, tag[16]
 *	sealed	op u8 (1 put, 2 remove), name_len u8, name, bytes
 *
 * A frame's number counts from 0 in the file; it is the nonce, and together
 * with len the additional data. A file's key is used for one file only, so a
 * number never seals two texts: frames are only ever appended, and a tail that
 * is cut off at the start is followed by a compaction into a new file.
 * vault_rewrite.c makes new files.
 */
#include "authd/vault_i.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "authd/file.h"
#include "common/bytes.h"
#include "common/log.h"

static const char magic[MAGIC_LEN + 1] = "GHVAULT1";

static void make_nonce(uint64_t number, uint8_t nonce[12])
{
	memset(nonce, 0, 4);
	bytes_put_u64(nonce + 4, number);
}

/* Seals bytes in place and appends the tag. head = the frame's len field. */
static int seal(struct vault *v, uint64_t number, const uint8_t head[4],
	uint8_t *bytes, size_t len)
{
	uint8_t nonce[12];
	int n;

	make_nonce(number, nonce);
	if (EVP_EncryptInit_ex2(v->ctx, v->cipher, v->file_key, nonce, NULL) !=
			1 ||
		EVP_EncryptUpdate(v->ctx, NULL, &n, head, 4) != 1 ||
		EVP_EncryptUpdate(v->ctx, bytes, &n, bytes, (int)len) != 1 ||
		EVP_EncryptFinal_ex(v->ctx, bytes + len, &n) != 1 ||
		EVP_CIPHER_CTX_ctrl(v->ctx, EVP_CTRL_AEAD_GET_TAG, TAG_LEN,
			bytes + len) != 1)
		return ERR_SYSTEM;
	return 0;
}

static int unseal(struct vault *v, uint64_t number, const uint8_t head[4],
	uint8_t *bytes, size_t len)
{
	uint8_t nonce[12];
	int n;

	make_nonce(number, nonce);
	if (EVP_DecryptInit_ex2(v->ctx, v->cipher, v->file_key, nonce, NULL) !=
			1 ||
		EVP_DecryptUpdate(v->ctx, NULL, &n, head, 4) != 1 ||
		EVP_DecryptUpdate(v->ctx, bytes, &n, bytes, (int)len) != 1 ||
		EVP_CIPHER_CTX_ctrl(v->ctx, EVP_CTRL_AEAD_SET_TAG, TAG_LEN,
			bytes + len) != 1 ||
		EVP_DecryptFinal_ex(v->ctx, bytes + len, &n) != 1)
		return ERR_CORRUPT;
	return 0;
}

static struct record *find(const struct vault *v, const char *name)
{
	struct table_node *node = table_find(&v->table, name, strlen(name));

	return node ? TABLE_ENTRY(node, struct record, node) : NULL;
}

static void drop(struct vault *v, struct record *r)
{
	TAILQ_REMOVE(&v->order, r, order);
	v->live -= r->len + FRAME_EXTRA;
	table_remove(&v->table, &r->node);
	free(r);
}

/* Notes where a name's newest record is. */
static int note(struct vault *v, const char *name, size_t name_len,
	uint64_t offset, uint64_t number, uint32_t len)
{
	struct record *r;
	int err;

	r = malloc(sizeof(*r) + name_len + 1);
	if (!r)
		return ERR_NOMEM;
	memset(&r->node, 0, sizeof(r->node));
	memcpy(r->name, name, name_len);
	r->name[name_len] = '\0';
	r->offset = offset;
	r->number = number;
	r->len = len;
	r->round = 0;
	struct record *old = find(v, r->name);

	if (old) {
		vault_rewrite_drop(v, old);
		drop(v, old);
	}
	err = table_add(&v->table, &r->node, r->name, (uint32_t)name_len);
	if (err < 0) {
		free(r);
		return err;
	}
	TAILQ_INSERT_HEAD(&v->order, r, order);
	v->live += len + FRAME_EXTRA;
	return 0;
}

/* Seals and appends one frame. After a failed write the file is torn: its
 * number may have been sealed with, so nothing more goes into this file. */
int vault_append(struct vault *v, uint8_t op, const char *name,
	const void *bytes, size_t len, uint64_t *offset_out,
	uint64_t *number_out, uint32_t *len_out)
{
	size_t name_len = strlen(name), sealed = 2 + name_len + len;
	uint64_t number;
	uint8_t *frame;
	int err;

	if (name_len > VAULT_NAME_MAX || len > VAULT_RECORD_MAX)
		return ERR_TOO_BIG;
	frame = malloc(sealed + FRAME_EXTRA);
	if (!frame)
		return ERR_NOMEM;
	number = v->next++;
	bytes_put_u32(frame, (uint32_t)sealed);
	frame[4] = op;
	frame[5] = (uint8_t)name_len;
	memcpy(frame + 6, name, name_len);
	if (len > 0)
		memcpy(frame + 6 + name_len, bytes, len);
	err = seal(v, number, frame, frame + 4, sealed);
	if (err == 0)
		err = file_write_at(v->fd, frame, sealed + FRAME_EXTRA, v->end);
	secret_wipe(frame, sealed + FRAME_EXTRA);
	free(frame);
	if (err < 0) {
		v->torn = true;
		return err;
	}
	*offset_out = v->end;
	*number_out = number;
	*len_out = (uint32_t)sealed;
	v->end += sealed + FRAME_EXTRA;
	v->dirty = true;
	return 0;
}

/* Reads and opens the frame at offset. bytes_out is the sealed part. */
int vault_read_frame(struct vault *v, uint64_t offset, uint64_t number,
	uint64_t end, uint8_t **bytes_out, uint32_t *len_out)
{
	uint8_t head[4], *bytes;
	uint32_t len;
	int err;

	if (end - offset < FRAME_EXTRA)
		return ERR_TRUNCATED;
	err = file_read_at(v->fd, head, sizeof(head), offset);
	if (err < 0)
		return err;
	len = bytes_get_u32(head);
	if (len < 2 || len > 2 + VAULT_NAME_MAX + VAULT_RECORD_MAX)
		return ERR_CORRUPT;
	if (end - offset < (uint64_t)len + FRAME_EXTRA)
		return ERR_TRUNCATED;
	bytes = malloc((size_t)len + TAG_LEN);
	if (!bytes)
		return ERR_NOMEM;
	err = file_read_at(v->fd, bytes, (size_t)len + TAG_LEN, offset + 4);
	if (err == 0)
		err = unseal(v, number, head, bytes, len);
	if (err == 0 && (2u + bytes[1] > len || bytes[1] > VAULT_NAME_MAX))
		err = ERR_CORRUPT;
	if (err < 0) {
		secret_wipe(bytes, (size_t)len + TAG_LEN);
		free(bytes);
		return err;
	}
	*bytes_out = bytes;
	*len_out = len;
	return 0;
}

static int apply(struct vault *v, const uint8_t *bytes, uint64_t offset,
	uint64_t number, uint32_t len)
{
	char name[VAULT_NAME_MAX + 1];
	struct record *old;

	memcpy(name, bytes + 2, bytes[1]);
	name[bytes[1]] = '\0';
	if (strlen(name) != bytes[1])
		return ERR_CORRUPT;
	if (bytes[0] == OP_PUT)
		return note(v, name, bytes[1], offset, number, len);
	if (bytes[0] != OP_REMOVE)
		return ERR_CORRUPT;
	old = find(v, name);
	if (old)
		drop(v, old);
	return 0;
}

/* Makes a new, empty file aside. */
int vault_begin_file(struct vault *v, const char *path)
{
	uint8_t head[HEAD_LEN];
	int fd, err;

	fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW,
		0600);
	if (fd < 0)
		return ERR_SYSTEM;
	memcpy(head, magic, MAGIC_LEN);
	secret_random_bytes(head + MAGIC_LEN, SALT_LEN);
	err = key_derive(
		v->key, "vault", head + MAGIC_LEN, SALT_LEN, v->file_key);
	if (err == 0)
		err = file_write_at(fd, head, HEAD_LEN, 0);
	if (err < 0) {
		close(fd);
		unlink(path);
		return err;
	}
	v->fd = fd;
	v->end = HEAD_LEN;
	v->live = 0;
	v->next = 0;
	return 0;
}

static void read_back(struct vault *v, uint64_t size)
{
	int err = 0;

	while (v->end < size) {
		uint8_t *bytes;
		uint32_t len;

		err = vault_read_frame(v, v->end, v->next, size, &bytes, &len);
		if (err < 0)
			break;
		err = apply(v, bytes, v->end, v->next, len);
		secret_wipe(bytes, len);
		free(bytes);
		if (err < 0)
			break;
		v->end += (uint64_t)len + FRAME_EXTRA;
		v->next++;
	}
	if (err < 0)
		log_warning("vault_tail_dropped", LOG_STR("file", v->path),
			LOG_ERR(err), LOG_UINT("kept", v->table.n_entries),
			LOG_UINT("dropped_bytes", size - v->end));
}

/* @return 0, ERR_NOT_FOUND, ERR_CORRUPT or ERR_SYSTEM. */
static int open_file(struct vault *v)
{
	uint8_t head[HEAD_LEN];
	struct stat st;
	int err;

	v->fd = open(v->path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	if (v->fd < 0)
		return errno == ENOENT ? ERR_NOT_FOUND : ERR_SYSTEM;
	if (fstat(v->fd, &st) < 0)
		return ERR_SYSTEM;
	err = file_read_at(v->fd, head, HEAD_LEN, 0);
	if (err == ERR_SYSTEM)
		return err;
	if (err < 0 || memcmp(head, magic, MAGIC_LEN) != 0)
		return ERR_CORRUPT;
	err = key_derive(
		v->key, "vault", head + MAGIC_LEN, SALT_LEN, v->file_key);
	if (err < 0)
		return err;
	v->end = HEAD_LEN;
	read_back(v, (uint64_t)st.st_size);
	if (v->end == HEAD_LEN && st.st_size > HEAD_LEN)
		return ERR_CORRUPT; /* another key, or damaged from the start */
	return 0;
}

static int begin_anew(struct vault *v)
{
	char bad[PATH_SIZE + 8];

	if (v->fd >= 0) {
		close(v->fd);
		snprintf(bad, sizeof(bad), "%s.bad", v->path);
		log_err("vault_unreadable", LOG_STR("file", v->path),
			LOG_STR("kept_as", bad));
		if (rename(v->path, bad) < 0)
			return ERR_SYSTEM;
	}
	return vault_begin_file(v, v->path);
}

int vault_open(const struct key *key, const char *dir, const char *name,
	size_t max_records, struct vault **vault_out)
{
	struct vault *v = calloc(1, sizeof(*v));
	struct stat st;
	int err;

	if (!v)
		return ERR_NOMEM;
	v->key = key;
	v->fd = -1;
	TAILQ_INIT(&v->order);
	err = table_init(&v->table, max_records);
	if (err < 0) {
		free(v);
		return err;
	}
	err = ERR_NOMEM;
	v->ctx = EVP_CIPHER_CTX_new();
	v->cipher = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
	if (!v->ctx || !v->cipher)
		goto fail;
	err = ERR_TOO_BIG;
	if (snprintf(v->path, sizeof(v->path), "%s/%s.sealed", dir, name) >=
		(int)sizeof(v->path))
		goto fail;
	err = open_file(v);
	if (err == ERR_NOT_FOUND || err == ERR_CORRUPT)
		err = begin_anew(v);
	if (err < 0)
		goto fail;
	/* New frames must not use a number that a cut tail has used. */
	if (fstat(v->fd, &st) < 0 || (uint64_t)st.st_size != v->end) {
		err = vault_compact(v);
		if (err < 0)
			goto fail;
	}
	*vault_out = v;
	return 0;
fail:
	vault_free(&v);
	return err;
}

void vault_free(struct vault **vault)
{
	struct vault *v = *vault;
	struct table_node *node, *next;
	size_t bucket = 0;

	*vault = NULL;
	if (!v)
		return;
	vault_rewrite_end(v);
	for (node = table_next(&v->table, &bucket, NULL); node; node = next) {
		next = table_next(&v->table, &bucket, node);
		drop(v, TABLE_ENTRY(node, struct record, node));
	}
	table_done(&v->table);
	EVP_CIPHER_CTX_free(v->ctx);
	EVP_CIPHER_free(v->cipher);
	if (v->fd >= 0)
		close(v->fd);
	secret_wipe(v->file_key, sizeof(v->file_key));
	free(v);
}

int vault_put(struct vault *v, const char *name, const void *bytes, size_t len)
{
	uint64_t offset, number;
	uint32_t sealed;
	int err;

	if (!find(v, name) && v->table.n_entries == v->table.max_entries)
		return ERR_FULL;
	if (v->torn && (err = vault_compact(v)) < 0)
		return err;
	err = vault_append(
		v, OP_PUT, name, bytes, len, &offset, &number, &sealed);
	if (err < 0)
		return err;
	err = note(v, name, strlen(name), offset, number, sealed);
	if (err < 0)
		return err;
	vault_rewrite_put(v, find(v, name), bytes, len);
	vault_rewrite_some(v);
	return 0;
}

int vault_remove(struct vault *v, const char *name)
{
	struct record *r = find(v, name);
	uint64_t offset, number;
	uint32_t sealed;
	int err;

	if (!r)
		return 0;
	if (v->torn && (err = vault_compact(v)) < 0)
		return err;
	err = vault_append(
		v, OP_REMOVE, name, NULL, 0, &offset, &number, &sealed);
	if (err < 0)
		return err;
	vault_rewrite_drop(v, r);
	drop(v, r);
	vault_rewrite_some(v);
	return 0;
}

int vault_get(
	struct vault *v, const char *name, uint8_t **bytes_out, size_t *len_out)
{
	struct record *r = find(v, name);
	size_t head = 2 + strlen(name);
	uint8_t *bytes;
	uint32_t len;
	int err;

	if (!r)
		return ERR_NOT_FOUND;
	err = vault_read_frame(v, r->offset, r->number, v->end, &bytes, &len);
	if (err < 0)
		return err;
	memmove(bytes, bytes + head, len - head);
	secret_wipe(bytes + len - head, head);
	*bytes_out = bytes;
	*len_out = len - head;
	return 0;
}

void vault_bytes_free(uint8_t **bytes, size_t len)
{
	if (!*bytes)
		return;
	secret_wipe(*bytes, len);
	free(*bytes);
	*bytes = NULL;
}

void vault_each(
	struct vault *v, void (*fn)(void *ctx, const char *name), void *ctx)
{
	size_t n = 0, i = 0, bucket = 0;
	struct table_node *node = NULL;
	char **names;

	/* fn may change the store, so the names are copied first. */
	names = calloc(v->table.n_entries + 1, sizeof(*names));
	if (!names)
		return;
	while ((node = table_next(&v->table, &bucket, node))) {
		names[n] = strdup(TABLE_ENTRY(node, struct record, node)->name);
		if (!names[n])
			break;
		n++;
	}
	for (i = 0; i < n; i++) {
		fn(ctx, names[i]);
		free(names[i]);
	}
	free(names);
}

size_t vault_count(const struct vault *v)
{
	return v->table.n_entries;
}

bool vault_is_dirty(struct vault *v)
{
	bool dirty = v->dirty;

	v->dirty = false;
	return dirty;
}

int vault_fd(const struct vault *v)
{
	return v->fd;
}
