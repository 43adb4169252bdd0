/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DNS answers for as long as they may be kept: what a name has, that it has
 * nothing, and what it had while nobody can say what it has now. Pure: the
 * time comes from the caller.
 */
#ifndef SBC_LOCATE_CACHE_H
#define SBC_LOCATE_CACHE_H

#include <sys/queue.h>

#include "common/table.h"
#include "sbc/locate_dns.h"

/* Bounds of what an answer asks for. */
#define DNS_TTL_MAX_US          (24 * 3600 * 1000000ULL)
#define DNS_TTL_MIN_US          (1 * 1000000ULL)
#define DNS_NEGATIVE_TTL_MAX_US (900 * 1000000ULL) /* RFC 2308 5: hours */
/** A name that could not be found out is not asked for again so soon. */
#define DNS_FAIL_US (2 * 1000000ULL)
/** How long after its end an answer is good for need (RFC 8767 5). */
#define DNS_STALE_US (24 * 3600 * 1000000ULL)

enum dns_state {
	DNS_UNKNOWN, /* ask */
	DNS_FRESH,   /* the answer holds, positive or negative */
	DNS_STALE,   /* ask; if that fails the old answer serves */
	DNS_KEPT,    /* as stale, but asking has failed just now */
	DNS_FAILING, /* no answer, and asking has failed just now */
	DNS_STATE_COUNT,
};

struct dns_wait;

/** A name and type. Belongs to the cache; held entries stay. */
struct dns_entry {
	struct table_node node;
	TAILQ_ENTRY(dns_entry) link; /* least recently used first */
	struct {
		uint16_t type;
		char name[DNS_NAME_SIZE]; /* lower case, zero behind it */
	} key;
	struct dns_answer *answer; /* NULL = none */
	uint64_t expires_us;
	uint64_t retry_us; /* not to be asked before; 0 = may be asked */
	unsigned n_holds;
	/* For the one who asks (locate_ask.c). */
	void *owner;
	bool asked;
	TAILQ_HEAD(, dns_wait) waits;
};

struct dns_cache;

/** @param max_entries names and types kept at once. @return 0, ERR_NOMEM. */
GH_MUST_CHECK int dns_cache_new(
	size_t max_entries, struct dns_cache **cache_out);
/** Safe on NULL; nothing may be held. */
void dns_cache_free(struct dns_cache **cache);
size_t dns_cache_count(const struct dns_cache *cache);

/** Finds or makes an entry and holds it. The least recently used one that
 * nobody holds goes if there is no room.
 * @return 0, ERR_INVALID for what is no name, ERR_FULL, ERR_NOMEM. */
GH_MUST_CHECK int dns_cache_hold(struct dns_cache *cache, const char *name,
	enum dns_type type, struct dns_entry **entry_out);
void dns_cache_release(struct dns_cache *cache, struct dns_entry *entry);

enum dns_state dns_entry_state(const struct dns_entry *e, uint64_t now_us);
/** The answer that holds or serves for need, or NULL. */
const struct dns_answer *dns_entry_answer(
	const struct dns_entry *e, uint64_t now_us);
/** Takes an answer (ownership too). */
void dns_entry_set(
	struct dns_entry *e, struct dns_answer *answer, uint64_t now_us);
/** Nobody could say. */
void dns_entry_fail(struct dns_entry *e, uint64_t now_us);

#endif
