/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the sealed store share: vault.c (records) and
 * vault_rewrite.c (a new file without what does not count any more). */
#ifndef AUTHD_VAULT_I_H
#define AUTHD_VAULT_I_H

#include <stdbool.h>
#include <sys/queue.h>

#include "authd/crypto.h"
#include "authd/vault.h"
#include "common/table.h"

enum {
	MAGIC_LEN = 8,
	SALT_LEN = 16,
	HEAD_LEN = MAGIC_LEN + SALT_LEN,
	TAG_LEN = 16,
	FRAME_EXTRA = 4 + TAG_LEN,
	OP_PUT = 1,
	OP_REMOVE = 2,
	PATH_SIZE = 4096,
	/* A file is rewritten when it holds this much and twice its worth. */
	COMPACT_MIN = 1024 * 1024,
};

struct record {
	struct table_node node;
	TAILQ_ENTRY(record) order;
	uint64_t round;  /* of the rewriting that it was copied in */
	uint64_t offset; /* of the frame */
	uint64_t number;
	uint32_t len; /* sealed */
	/* While the file is rewritten: where it will be. */
	uint64_t new_offset;
	uint64_t new_number;
	char name[];
};

TAILQ_HEAD(record_list, record);

struct vault {
	const struct key *key;
	struct table table;
	char path[PATH_SIZE];
	char what[32]; /* for the log */
	int fd;
	uint64_t end;  /* bytes in the file */
	uint64_t live; /* of them, in records that still count */
	uint64_t next; /* frame number */
	bool dirty;    /* written since it was last flushed */
	bool torn;     /* a write failed: a new file before the next one */
	/* While it is rewritten bit by bit: the new file. Records that are in
	 * it stand at the end of the list and have this round. */
	struct vault *next_file;
	struct record_list order;
	uint64_t round;
	uint8_t file_key[KEY_SIZE];
	EVP_CIPHER *cipher;
	EVP_CIPHER_CTX *ctx;
};

/* vault.c */
int vault_begin_file(struct vault *v, const char *path);
int vault_append(struct vault *v, uint8_t op, const char *name,
	const void *bytes, size_t len, uint64_t *offset_out,
	uint64_t *number_out, uint32_t *len_out);
int vault_read_frame(struct vault *v, uint64_t offset, uint64_t number,
	uint64_t end, uint8_t **bytes_out, uint32_t *len_out);

/* vault_rewrite.c */

/** Copies everything at once; blocks. On failure the old file stays. */
int vault_compact(struct vault *v);
/** A record was written: begins to rewrite if it is worth it, and copies a
 * few records. */
void vault_rewrite_some(struct vault *v);
/** The same change to the new file, while there is one. */
void vault_rewrite_put(
	struct vault *v, struct record *r, const void *bytes, size_t len);
void vault_rewrite_drop(struct vault *v, struct record *r);
void vault_rewrite_end(struct vault *v);

#endif
