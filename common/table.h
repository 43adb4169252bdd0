/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A hash table for keys that peers choose: SipHash-2-4 with a random key per
 * table, so nobody can aim at one bucket; a cap on entries, so nobody can fill
 * the memory. Entries embed struct table_node; the table owns no entry.
 */
#ifndef COMMON_TABLE_H
#define COMMON_TABLE_H

#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

struct table_node {
	struct table_node *next;
	uint64_t hash;
	const void *key; /* borrowed from the entry for as long as it is in */
	uint32_t key_len;
};

struct table {
	struct table_node **buckets;
	size_t n_buckets; /* a power of two */
	size_t n_entries;
	size_t max_entries;
	uint8_t hash_key[16];
};

/** The entry that embeds a node. */
#define TABLE_ENTRY(node, type, member)                                        \
	((type *)((char *)(node)-offsetof(type, member)))

/** @param max_entries cap, at least 1. @return 0, or ERR_NOMEM. */
GH_MUST_CHECK int table_init(struct table *t, size_t max_entries);
/** Frees the buckets; the entries stay the caller's. */
void table_done(struct table *t);

/** @return the node with this key, or NULL. */
struct table_node *table_find(
	const struct table *t, const void *key, size_t key_len);
/** Puts node in; key must live as long as it is in.
 * @return 0, ERR_EXISTS, or ERR_FULL at the cap. */
GH_MUST_CHECK int table_add(struct table *t, struct table_node *node,
	const void *key, size_t key_len);
/** Takes node out; it must be in. */
void table_remove(struct table *t, struct table_node *node);

/** Walks all entries in no order: after = NULL begins and sets *bucket, NULL
 * ends. To remove entries on the way, fetch the following one first. Adding
 * during a walk is not allowed: it may rearrange the buckets. */
struct table_node *table_next(
	const struct table *t, size_t *bucket, struct table_node *after);

/** SipHash-2-4 (Aumasson, Bernstein 2012) of len bytes. */
uint64_t table_siphash(const uint8_t key[16], const void *bytes, size_t len);

#endif
