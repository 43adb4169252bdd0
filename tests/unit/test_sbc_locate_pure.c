/* SPDX-License-Identifier: Apache-2.0 */
/* The order of SRV records, the cache on a clock of its own, and the reading of
 * answers, whole, cut at every byte and changed at every byte. */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "sbc/locate_cache.h"
#include "sbc/locate_dns.h"
#include "tests/unit/dns_fake.h"
#include "tests/unit/suite.h"

#define SECOND 1000000ULL

static uint32_t pseudo(void *ctx, uint32_t max)
{
	uint64_t *x = ctx;

	*x = *x * 6364136223846793005ULL + 1442695040888963407ULL;
	return (uint32_t)((*x >> 33) % ((uint64_t)max + 1));
}

static struct dns_record record(
	unsigned priority, unsigned weight, unsigned port)
{
	return (struct dns_record){.priority = (uint16_t)priority,
		.weight = (uint16_t)weight,
		.port = (uint16_t)port,
		.name = "h.test"};
}

START_TEST(weights)
{
	enum { N = 20000 };
	unsigned first[4] = {0}, second[4] = {0};
	uint64_t seed = 1;

	for (int i = 0; i < N; i++) {
		struct dns_record r[4] = {record(10, 60, 0), record(20, 1, 3),
			record(10, 10, 1), record(10, 30, 2)};

		dns_order_srv(r, 4, pseudo, &seed);
		first[r[0].port]++;
		second[r[1].port]++;
		/* The worse priority is last, whatever is drawn. */
		ck_assert_uint_eq(r[3].port, 3);
	}
	/* 60, 10 and 30 of 100, within a percent or so. */
	ck_assert_uint_ge(first[0], N * 58 / 100);
	ck_assert_uint_le(first[0], N * 62 / 100);
	ck_assert_uint_ge(first[1], N * 9 / 100);
	ck_assert_uint_le(first[1], N * 12 / 100);
	ck_assert_uint_ge(first[2], N * 28 / 100);
	ck_assert_uint_le(first[2], N * 32 / 100);
	/* And each of them is second at times. */
	for (int i = 0; i < 3; i++)
		ck_assert_uint_gt(second[i], N / 20);
}
END_TEST

START_TEST(weight_zero)
{
	unsigned n_zero = 0, n_all = 0, n_equal[2] = {0};
	uint64_t seed = 7;

	for (int i = 0; i < 10000; i++) {
		struct dns_record r[2] = {record(1, 100, 0), record(1, 0, 1)};
		struct dns_record equal[2] = {record(1, 0, 0), record(1, 0, 1)};

		dns_order_srv(r, 2, pseudo, &seed);
		n_zero += r[0].port == 1;
		n_all++;
		dns_order_srv(equal, 2, pseudo, &seed);
		n_equal[equal[0].port]++;
	}
	/* A small chance, but one (RFC 2782). */
	ck_assert_uint_gt(n_zero, 0);
	ck_assert_uint_lt(n_zero, n_all / 20);
	ck_assert_uint_eq(n_equal[0] + n_equal[1], n_all);
	dns_order_srv(NULL, 0, pseudo, &seed);
}
END_TEST

/* --- the cache --- */

static struct dns_answer *answer_of(uint32_t ttl_s, size_t n)
{
	struct dns_answer *a =
		calloc(1, sizeof *a + n * sizeof a->records[0]);

	ck_assert_ptr_nonnull(a);
	a->ttl_s = ttl_s;
	a->n_records = n;
	return a;
}

START_TEST(states)
{
	struct dns_cache *cache;
	struct dns_entry *e, *again;
	uint64_t now = 1000 * SECOND;

	ck_assert_int_eq(dns_cache_new(4, &cache), 0);
	ck_assert_int_eq(dns_cache_hold(cache, "A.Test", DNS_A, &e), 0);
	ck_assert_int_eq(dns_cache_hold(cache, "a.tesT", DNS_A, &again), 0);
	ck_assert_ptr_eq(e, again);
	ck_assert_int_eq(dns_cache_hold(cache, "a.test", DNS_AAAA, &again), 0);
	ck_assert_ptr_ne(e, again);
	ck_assert_int_eq(dns_entry_state(e, now), DNS_UNKNOWN);
	dns_entry_fail(e, now);
	ck_assert_int_eq(dns_entry_state(e, now), DNS_FAILING);
	ck_assert_ptr_null(dns_entry_answer(e, now));
	now += DNS_FAIL_US;
	ck_assert_int_eq(dns_entry_state(e, now), DNS_UNKNOWN);

	dns_entry_set(e, answer_of(10, 1), now);
	ck_assert_int_eq(dns_entry_state(e, now + 10 * SECOND - 1), DNS_FRESH);
	now += 10 * SECOND;
	ck_assert_int_eq(dns_entry_state(e, now), DNS_STALE);
	ck_assert_ptr_nonnull(dns_entry_answer(e, now));
	dns_entry_fail(e, now);
	ck_assert_int_eq(dns_entry_state(e, now), DNS_KEPT);
	now += DNS_FAIL_US;
	ck_assert_int_eq(dns_entry_state(e, now), DNS_STALE);
	now += DNS_STALE_US;
	ck_assert_int_eq(dns_entry_state(e, now), DNS_UNKNOWN);
	ck_assert_ptr_null(dns_entry_answer(e, now));

	/* "There is none" holds, but serves nobody when it has run out. */
	dns_entry_set(e, answer_of(5, 0), now);
	ck_assert_int_eq(dns_entry_state(e, now), DNS_FRESH);
	ck_assert_uint_eq(dns_entry_answer(e, now)->n_records, 0);
	ck_assert_int_eq(dns_entry_state(e, now + 5 * SECOND), DNS_UNKNOWN);
	dns_cache_release(cache, e);
	dns_cache_release(cache, e);
	dns_cache_release(cache, again);
	dns_cache_free(&cache);
}
END_TEST

START_TEST(bounds_of_ttl)
{
	struct dns_cache *cache;
	struct dns_entry *e;
	uint64_t now = 5;

	ck_assert_int_eq(dns_cache_new(4, &cache), 0);
	ck_assert_int_eq(dns_cache_hold(cache, "a.test", DNS_A, &e), 0);
	dns_entry_set(e, answer_of(0, 1), now);
	ck_assert_int_eq(dns_entry_state(e, now + SECOND - 1), DNS_FRESH);
	ck_assert_int_eq(dns_entry_state(e, now + SECOND), DNS_STALE);
	dns_entry_set(e, answer_of(UINT32_MAX, 1), now);
	ck_assert_int_eq(
		dns_entry_state(e, now + DNS_TTL_MAX_US - 1), DNS_FRESH);
	ck_assert_int_eq(dns_entry_state(e, now + DNS_TTL_MAX_US), DNS_STALE);
	dns_entry_set(e, answer_of(UINT32_MAX, 0), now);
	ck_assert_int_eq(dns_entry_state(e, now + DNS_NEGATIVE_TTL_MAX_US),
		DNS_UNKNOWN);
	dns_cache_release(cache, e);
	dns_cache_free(&cache);
}
END_TEST

START_TEST(bounded)
{
	struct dns_cache *cache;
	struct dns_entry *e, *held;
	char name[32];

	ck_assert_int_eq(dns_cache_new(3, &cache), 0);
	ck_assert_int_eq(dns_cache_hold(cache, "held.test", DNS_A, &held), 0);
	dns_entry_set(held, answer_of(100, 1), 1);
	for (int i = 0; i < 100; i++) {
		snprintf(name, sizeof name, "n%d.test", i);
		ck_assert_int_eq(dns_cache_hold(cache, name, DNS_A, &e), 0);
		dns_cache_release(cache, e);
		ck_assert_uint_le(dns_cache_count(cache), 3);
	}
	/* The one that is held is still there; the last two are, too. */
	ck_assert_int_eq(dns_entry_state(held, 2), DNS_FRESH);
	ck_assert_int_eq(dns_cache_hold(cache, "n98.test", DNS_A, &e), 0);
	ck_assert_int_eq(dns_cache_hold(cache, "n99.test", DNS_A, &e), 0);
	ck_assert_uint_eq(dns_cache_count(cache), 3);
	/* All are held: no room, and nothing is lost. */
	ck_assert_int_eq(
		dns_cache_hold(cache, "more.test", DNS_A, &e), ERR_FULL);
	ck_assert_int_eq(dns_cache_hold(cache, "a..b", DNS_A, &e), ERR_INVALID);
	dns_cache_release(cache, held);
	ck_assert_int_eq(dns_cache_hold(cache, "more.test", DNS_A, &e), 0);
	dns_cache_free(&cache);
	dns_cache_free(&cache);
}
END_TEST

/* --- answers --- */

static void fill(struct dns_fake *f)
{
	memset(f, 0, sizeof *f);
	fake_add(f, "a.test", FAKE_TYPE_CNAME, 40, "b.test");
	fake_add(f, "b.test", DNS_SRV, 50, "1 2 5060 h.test");
	fake_add(f, "b.test", DNS_SRV, 30, "2 3 5061 i.test");
	fake_add(f, "b.test", DNS_NAPTR, 50, "1 2 s SIP+D2U _sip._udp.c.test");
	fake_add(f, "b.test", DNS_A, 50, "192.0.2.1");
	fake_add(f, "b.test", DNS_AAAA, 50, "2001:db8::1");
	f->soa_ttl = 77;
}

START_TEST(read_whole)
{
	static const enum dns_type types[] = {
		DNS_A, DNS_AAAA, DNS_SRV, DNS_NAPTR};
	uint8_t query[FAKE_MSG_MAX], msg[FAKE_MSG_MAX];
	struct dns_answer *a;
	struct dns_fake f;
	size_t n;

	fill(&f);
	for (size_t i = 0; i < 4; i++) {
		n = fake_query(query, "a.test", types[i]);
		n = fake_reply(&f, query, n, msg);
		ck_assert_int_eq(dns_read(msg, n, "A.TEST", types[i], &a), 0);
		ck_assert_uint_eq(a->n_records, types[i] == DNS_SRV ? 2 : 1);
		/* The CNAME's own time counts, too. */
		ck_assert_uint_eq(a->ttl_s, types[i] == DNS_SRV ? 30 : 40);
		free(a);
		/* What was not asked for is not taken. */
		ck_assert_int_eq(dns_read(msg, n, "x.test", types[i], &a), 0);
		ck_assert_uint_eq(a->n_records, 0);
		free(a);
	}
	n = fake_query(query, "none.test", DNS_A);
	n = fake_reply(&f, query, n, msg);
	ck_assert_int_eq(dns_read(msg, n, "none.test", DNS_A, &a), 0);
	ck_assert_uint_eq(a->n_records, 0);
	ck_assert_uint_eq(a->ttl_s, 77);
	free(a);
	/* A question is no answer. */
	n = fake_query(query, "none.test", DNS_A);
	ck_assert_int_eq(
		dns_read(query, n, "none.test", DNS_A, &a), ERR_INVALID);
	/* A ring of CNAMEs ends. */
	fake_clear(&f);
	fake_add(&f, "a.test", FAKE_TYPE_CNAME, 1, "b.test");
	fake_add(&f, "b.test", FAKE_TYPE_CNAME, 1, "a.test");
	n = fake_query(query, "a.test", DNS_A);
	n = fake_reply(&f, query, n, msg);
	ck_assert_int_eq(dns_read(msg, n, "a.test", DNS_A, &a), ERR_INVALID);
}
END_TEST

/* Under the sanitizers: no byte beyond the message is read. */
START_TEST(read_damaged)
{
	static const enum dns_type types[] = {
		DNS_A, DNS_AAAA, DNS_SRV, DNS_NAPTR};
	uint8_t query[FAKE_MSG_MAX], msg[FAKE_MSG_MAX];
	struct dns_answer *a;
	struct dns_fake f;

	fill(&f);
	for (size_t i = 0; i < 4; i++) {
		size_t n = fake_query(query, "a.test", types[i]);

		n = fake_reply(&f, query, n, msg);
		for (size_t len = 0; len < n; len++) {
			uint8_t *cut = malloc(len + 1);

			ck_assert_ptr_nonnull(cut);
			memcpy(cut, msg, len);
			ck_assert_int_ne(
				dns_read(cut, len, "a.test", types[i], &a), 0);
			free(cut);
		}
		for (size_t at = 2; at < n; at++) {
			uint8_t *bad = malloc(n);

			ck_assert_ptr_nonnull(bad);
			for (unsigned v = 0; v < 256; v += 5) {
				memcpy(bad, msg, n);
				bad[at] = (uint8_t)v;
				a = NULL;
				if (dns_read(bad, n, "a.test", types[i], &a) ==
					0) {
					if (a->n_records > DNS_RECORDS_MAX)
						ck_abort_msg("at %zu", at);
					free(a);
				} else if (a != NULL) {
					ck_abort_msg("set at %zu", at);
				}
			}
			free(bad);
		}
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("sbc locate, the pure parts");

	suite_add(s, "weights", weights);
	suite_add(s, "weight 0", weight_zero);
	suite_add(s, "states", states);
	suite_add(s, "ttl", bounds_of_ttl);
	suite_add(s, "bounded", bounded);
	suite_add(s, "whole", read_whole);
	suite_add(s, "damaged", read_damaged);
	return suite_run(s);
}
