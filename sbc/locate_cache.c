/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The cache of DNS answers. TTLs are kept within bounds: 0 would mean asking
 * for each call, and a day is long enough for a trunk that moves. Negative
 * answers hold as RFC 2308 says. What has run out is kept for need (RFC 8767):
 * a dead resolver must not take trunks out of service whose addresses were good
 * a minute ago.
 *
 * Decides: how long an answer is believed, and which one goes when there is no
 * room. Asks nobody (locate_ask.c does).
 */
#include "config.h"

#include "sbc/locate_cache.h"

#include <stdlib.h>
#include <string.h>

TAILQ_HEAD(entry_list, dns_entry);

struct dns_cache {
	struct table table;
	struct entry_list used; /* least recently first */
	size_t max_entries;
};

static void entry_free(struct dns_cache *cache, struct dns_entry *e)
{
	table_remove(&cache->table, &e->node);
	TAILQ_REMOVE(&cache->used, e, link);
	free(e->answer);
	free(e);
}

int dns_cache_new(size_t max_entries, struct dns_cache **cache_out)
{
	struct dns_cache *cache = calloc(1, sizeof *cache);

	if (cache == NULL)
		return ERR_NOMEM;
	if (table_init(&cache->table, max_entries) != 0) {
		free(cache);
		return ERR_NOMEM;
	}
	cache->max_entries = max_entries;
	TAILQ_INIT(&cache->used);
	*cache_out = cache;
	return 0;
}

void dns_cache_free(struct dns_cache **cachep)
{
	struct dns_cache *cache = *cachep;

	if (cache == NULL)
		return;
	*cachep = NULL;
	while (!TAILQ_EMPTY(&cache->used))
		entry_free(cache, TAILQ_FIRST(&cache->used));
	table_done(&cache->table);
	free(cache);
}

size_t dns_cache_count(const struct dns_cache *cache)
{
	return cache->table.n_entries;
}

/* @return whether there is room for one more. */
static bool make_room(struct dns_cache *cache)
{
	struct dns_entry *e;

	if (cache->table.n_entries < cache->max_entries)
		return true;
	TAILQ_FOREACH (e, &cache->used, link) {
		if (e->n_holds == 0) {
			entry_free(cache, e);
			return true;
		}
	}
	return false;
}

int dns_cache_hold(struct dns_cache *cache, const char *name,
	enum dns_type type, struct dns_entry **entry_out)
{
	struct table_node *node;
	struct dns_entry *e, *made;

	if (!dns_is_name(name))
		return ERR_INVALID;
	made = calloc(1, sizeof *made);
	if (made == NULL)
		return ERR_NOMEM;
	made->key.type = (uint16_t)type;
	for (size_t i = 0; name[i] != '\0'; i++) {
		char c = name[i];

		made->key.name[i] =
			c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
	}
	node = table_find(&cache->table, &made->key, sizeof made->key);
	if (node != NULL) {
		free(made);
		e = TABLE_ENTRY(node, struct dns_entry, node);
		TAILQ_REMOVE(&cache->used, e, link);
	} else {
		e = made;
		TAILQ_INIT(&e->waits);
		if (!make_room(cache) ||
			table_add(&cache->table, &e->node, &e->key,
				sizeof e->key) != 0) {
			free(e);
			return ERR_FULL;
		}
	}
	TAILQ_INSERT_TAIL(&cache->used, e, link);
	e->n_holds++;
	*entry_out = e;
	return 0;
}

void dns_cache_release(struct dns_cache *cache, struct dns_entry *entry)
{
	(void)cache;
	entry->n_holds--;
}

static bool serves_for_need(const struct dns_entry *e, uint64_t now_us)
{
	return e->answer != NULL && e->answer->n_records != 0 &&
	       now_us < e->expires_us + DNS_STALE_US;
}

enum dns_state dns_entry_state(const struct dns_entry *e, uint64_t now_us)
{
	bool failed = now_us < e->retry_us;

	if (e->answer != NULL && now_us < e->expires_us)
		return DNS_FRESH;
	if (serves_for_need(e, now_us))
		return failed ? DNS_KEPT : DNS_STALE;
	return failed ? DNS_FAILING : DNS_UNKNOWN;
}

const struct dns_answer *dns_entry_answer(
	const struct dns_entry *e, uint64_t now_us)
{
	switch (dns_entry_state(e, now_us)) {
	case DNS_FRESH:
	case DNS_STALE:
	case DNS_KEPT:
		return e->answer;
	case DNS_UNKNOWN:
	case DNS_FAILING:
	case DNS_STATE_COUNT:
		break;
	}
	return NULL;
}

void dns_entry_set(
	struct dns_entry *e, struct dns_answer *answer, uint64_t now_us)
{
	uint64_t ttl_us = answer->ttl_s * 1000000ULL;
	uint64_t most = answer->n_records != 0 ? DNS_TTL_MAX_US
					       : DNS_NEGATIVE_TTL_MAX_US;

	if (ttl_us < DNS_TTL_MIN_US)
		ttl_us = DNS_TTL_MIN_US;
	if (ttl_us > most)
		ttl_us = most;
	free(e->answer);
	e->answer = answer;
	e->expires_us = now_us + ttl_us;
	e->retry_us = 0;
}

void dns_entry_fail(struct dns_entry *e, uint64_t now_us)
{
	e->retry_us = now_us + DNS_FAIL_US;
}
