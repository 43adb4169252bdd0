/* SPDX-License-Identifier: Apache-2.0 */
/* The keyed hash table: SipHash's own vectors, cap, growth, walks, a flood. */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "common/table.h"
#include "tests/unit/suite.h"

struct entry {
	struct table_node node;
	char key[32];
	bool seen;
};

/* From the authors' reference: key 00..0f, input 00, 01, ... of each length. */
START_TEST(test_siphash)
{
	static const struct {
		size_t len;
		uint64_t hash;
	} rows[] = {
		{0, 0x726fdb47dd0e0e31ULL},
		{1, 0x74f839c593dc67fdULL},
		{7, 0xab0200f58b01d137ULL},
		{8, 0x93f5f5799a932462ULL},
		{15, 0xa129ca6149be45e5ULL},
		{63, 0x958a324ceb064572ULL},
	};
	uint8_t key[16], input[64];
	size_t i;

	for (i = 0; i < 16; i++)
		key[i] = (uint8_t)i;
	for (i = 0; i < 64; i++)
		input[i] = (uint8_t)i;
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		ck_assert_uint_eq(
			table_siphash(key, input, rows[i].len), rows[i].hash);
}
END_TEST

START_TEST(test_basic)
{
	struct entry a = {.key = "a"}, b = {.key = "b"}, a2 = {.key = "a"};
	struct table t;

	ck_assert_int_eq(table_init(&t, 2), 0);
	ck_assert_ptr_null(table_find(&t, "a", 1));
	ck_assert_int_eq(table_add(&t, &a.node, a.key, 1), 0);
	ck_assert_int_eq(table_add(&t, &a2.node, a2.key, 1), ERR_EXISTS);
	ck_assert_int_eq(table_add(&t, &b.node, b.key, 1), 0);
	ck_assert_int_eq(table_add(&t, &a2.node, a2.key, 2), ERR_FULL);
	ck_assert_ptr_eq(table_find(&t, "a", 1), &a.node);
	ck_assert_ptr_eq(
		TABLE_ENTRY(table_find(&t, "b", 1), struct entry, node), &b);
	/* The same bytes with another length are another key. */
	ck_assert_ptr_null(table_find(&t, "a", 2));
	ck_assert_ptr_null(table_find(&t, "", 0));
	table_remove(&t, &a.node);
	ck_assert_ptr_null(table_find(&t, "a", 1));
	ck_assert_int_eq(table_add(&t, &a2.node, a2.key, 0), 0);
	ck_assert_ptr_eq(table_find(&t, NULL, 0), &a2.node);
	ck_assert_uint_eq(t.n_entries, 2);
	table_done(&t);
}
END_TEST

/* Keys that share all their bytes and differ in length only, far over the
 * cap: the chains stay short and the table full. */
START_TEST(test_flood)
{
	enum { CAP = 3000, TRIES = 5000 };
	static char zeros[TRIES];
	struct entry *e = calloc(TRIES, sizeof(*e));
	size_t i, bucket, longest = 0, n_full = 0;
	struct table_node *n;
	struct table t;

	ck_assert_ptr_nonnull(e);
	ck_assert_int_eq(table_init(&t, CAP), 0);
	for (i = 0; i < TRIES; i++) {
		int rc = table_add(&t, &e[i].node, zeros, i);

		ck_assert_int_eq(rc, i < CAP ? 0 : ERR_FULL);
		n_full += rc == ERR_FULL;
	}
	ck_assert_uint_eq(n_full, TRIES - CAP);
	ck_assert_uint_eq(t.n_entries, CAP);
	ck_assert_uint_ge(t.n_buckets, CAP);
	for (bucket = 0; bucket < t.n_buckets; bucket++) {
		size_t len = 0;

		for (n = t.buckets[bucket]; n; n = n->next)
			len++;
		if (len > longest)
			longest = len;
	}
	/* 3,000 balls in 4,096 bins: 15 in one has a chance below 1 in 10^9. */
	ck_assert_uint_lt(longest, 15);
	for (i = 0; i < CAP; i++)
		ck_assert_ptr_eq(table_find(&t, zeros, i), &e[i].node);
	for (i = 0; i < CAP; i += 2)
		table_remove(&t, &e[i].node);
	for (i = 0; i < CAP; i++)
		ck_assert_int_eq(table_find(&t, zeros, i) != NULL, i % 2 != 0);
	table_done(&t);
	free(e);
}
END_TEST

START_TEST(test_walk)
{
	enum { COUNT = 500 };
	static struct entry e[COUNT];
	struct table_node *n, *next;
	size_t i, bucket, n_seen = 0;
	struct table t;

	ck_assert_int_eq(table_init(&t, COUNT), 0);
	ck_assert_ptr_null(table_next(&t, &bucket, NULL));
	for (i = 0; i < COUNT; i++) {
		(void)snprintf(e[i].key, sizeof(e[i].key), "key %zu", i);
		ck_assert_int_eq(
			table_add(&t, &e[i].node, e[i].key, strlen(e[i].key)),
			0);
	}
	for (n = table_next(&t, &bucket, NULL); n; n = next) {
		struct entry *entry = TABLE_ENTRY(n, struct entry, node);

		next = table_next(&t, &bucket, n);
		ck_assert(!entry->seen);
		entry->seen = true;
		table_remove(&t, n);
		n_seen++;
	}
	ck_assert_uint_eq(n_seen, COUNT);
	ck_assert_uint_eq(t.n_entries, 0);
	table_done(&t);
}
END_TEST

/* Two tables order the same keys differently: nobody can aim. */
START_TEST(test_keyed)
{
	struct table t, u;

	ck_assert_int_eq(table_init(&t, 1), 0);
	ck_assert_int_eq(table_init(&u, 1), 0);
	ck_assert_uint_ne(table_siphash(t.hash_key, "a", 1),
		table_siphash(u.hash_key, "a", 1));
	table_done(&t);
	table_done(&u);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("table");

	suite_add(s, "siphash", test_siphash);
	suite_add(s, "basic", test_basic);
	suite_add(s, "flood", test_flood);
	suite_add(s, "walk", test_walk);
	suite_add(s, "keyed", test_keyed);
	return suite_run(s);
}
