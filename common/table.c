/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The keyed hash table (table.h): chains in an array that doubles. The full
 * hash stands in the node, so growing never hashes again and a key is compared
 * only when all 64 bits fit. If memory for growing is short, the table goes on
 * with longer chains.
 */
#include "common/table.h"

#include <endian.h>
#include <stdlib.h>
#include <string.h>

#include "common/secret.h"

#define TABLE_MIN_BUCKETS 16

static inline uint64_t rotl(uint64_t x, unsigned n)
{
	return x << n | x >> (64 - n);
}

static inline uint64_t load64(const uint8_t *p)
{
	uint64_t x;

	memcpy(&x, p, sizeof(x));
	return le64toh(x);
}

#define SIPROUND(v0, v1, v2, v3)                                               \
	do {                                                                   \
		v0 += v1;                                                      \
		v1 = rotl(v1, 13) ^ v0;                                        \
		v0 = rotl(v0, 32);                                             \
		v2 += v3;                                                      \
		v3 = rotl(v3, 16) ^ v2;                                        \
		v0 += v3;                                                      \
		v3 = rotl(v3, 21) ^ v0;                                        \
		v2 += v1;                                                      \
		v1 = rotl(v1, 17) ^ v2;                                        \
		v2 = rotl(v2, 32);                                             \
	} while (0)

uint64_t table_siphash(const uint8_t key[16], const void *bytes, size_t len)
{
	const uint8_t *p = bytes, *end = p + (len & ~(size_t)7);
	uint64_t k0 = load64(key), k1 = load64(key + 8);
	uint64_t v0 = k0 ^ 0x736f6d6570736575ULL;
	uint64_t v1 = k1 ^ 0x646f72616e646f6dULL;
	uint64_t v2 = k0 ^ 0x6c7967656e657261ULL;
	uint64_t v3 = k1 ^ 0x7465646279746573ULL;
	uint64_t last = (uint64_t)len << 56;
	size_t i;

	for (; p != end; p += 8) {
		uint64_t m = load64(p);

		v3 ^= m;
		SIPROUND(v0, v1, v2, v3);
		SIPROUND(v0, v1, v2, v3);
		v0 ^= m;
	}
	for (i = 0; i < (len & 7); i++)
		last |= (uint64_t)p[i] << (8 * i);
	v3 ^= last;
	SIPROUND(v0, v1, v2, v3);
	SIPROUND(v0, v1, v2, v3);
	v0 ^= last;
	v2 ^= 0xff;
	for (i = 0; i < 4; i++)
		SIPROUND(v0, v1, v2, v3);
	return v0 ^ v1 ^ v2 ^ v3;
}

int table_init(struct table *t, size_t max_entries)
{
	struct table_node **buckets;

	buckets = calloc(TABLE_MIN_BUCKETS, sizeof(*buckets));
	if (!buckets)
		return ERR_NOMEM;
	t->buckets = buckets;
	t->n_buckets = TABLE_MIN_BUCKETS;
	t->n_entries = 0;
	t->max_entries = max_entries;
	secret_random_bytes(t->hash_key, sizeof(t->hash_key));
	return 0;
}

void table_done(struct table *t)
{
	free(t->buckets);
	memset(t, 0, sizeof(*t));
}

static struct table_node **bucket_of(const struct table *t, uint64_t hash)
{
	return &t->buckets[hash & (t->n_buckets - 1)];
}

static struct table_node *find_hashed(
	const struct table *t, uint64_t hash, const void *key, size_t key_len)
{
	struct table_node *n;

	for (n = *bucket_of(t, hash); n; n = n->next) {
		if (n->hash == hash && n->key_len == key_len &&
			(!key_len || !memcmp(n->key, key, key_len)))
			return n;
	}
	return NULL;
}

struct table_node *table_find(
	const struct table *t, const void *key, size_t key_len)
{
	if (!t->n_entries)
		return NULL;
	return find_hashed(
		t, table_siphash(t->hash_key, key, key_len), key, key_len);
}

static void grow(struct table *t)
{
	struct table_node **fresh, *n, *next;
	size_t i, n_fresh = t->n_buckets * 2;

	if (n_fresh > SIZE_MAX / sizeof(*fresh))
		return;
	fresh = calloc(n_fresh, sizeof(*fresh));
	if (!fresh)
		return;
	for (i = 0; i < t->n_buckets; i++) {
		for (n = t->buckets[i]; n; n = next) {
			next = n->next;
			n->next = fresh[n->hash & (n_fresh - 1)];
			fresh[n->hash & (n_fresh - 1)] = n;
		}
	}
	free(t->buckets);
	t->buckets = fresh;
	t->n_buckets = n_fresh;
}

int table_add(struct table *t, struct table_node *node, const void *key,
	size_t key_len)
{
	uint64_t hash;

	/* A key of 4 GiB is no key; its length would not fit the node. */
	if (t->n_entries >= t->max_entries || key_len > UINT32_MAX)
		return ERR_FULL;
	hash = table_siphash(t->hash_key, key, key_len);
	if (find_hashed(t, hash, key, key_len))
		return ERR_EXISTS;
	if (t->n_entries >= t->n_buckets)
		grow(t);
	node->hash = hash;
	node->key = key;
	node->key_len = (uint32_t)key_len;
	node->next = *bucket_of(t, hash);
	*bucket_of(t, hash) = node;
	t->n_entries++;
	return 0;
}

void table_remove(struct table *t, struct table_node *node)
{
	struct table_node **p = bucket_of(t, node->hash);

	while (*p && *p != node)
		p = &(*p)->next;
	if (!*p)
		return;
	*p = node->next;
	node->next = NULL;
	t->n_entries--;
}

struct table_node *table_next(
	const struct table *t, size_t *bucket, struct table_node *after)
{
	if (after && after->next)
		return after->next;
	*bucket = after ? *bucket + 1 : 0;
	for (; *bucket < t->n_buckets; (*bucket)++) {
		if (t->buckets[*bucket])
			return t->buckets[*bucket];
	}
	return NULL;
}
