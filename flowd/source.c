/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Refusals come in the order of their cost to the innocent: a ban first, then
 * what the source itself did, then what all strangers together do. The table
 * is bounded; when it is full of strangers, only known sources get in.
 */
#include "flowd/source.h"

#include <stdlib.h>

#include "common/clock.h"

/* A source without connections is remembered as long as its bucket needs to be
 * full again. */
#define SOURCE_KEEP_US (30 * CLOCK_US_PER_S)
/* Bursts, in seconds' worth of the rate. */
#define SOURCE_BURST   3

int sources_init(struct sources *s, size_t max_sources)
{
	*s = (struct sources){0};
	return table_init(&s->table, max_sources);
}

void sources_done(struct sources *s)
{
	struct table_node *node, *next;
	size_t bucket = 0;

	if (!s->table.buckets)
		return;
	for (node = table_next(&s->table, &bucket, NULL); node; node = next) {
		next = table_next(&s->table, &bucket, node);
		free(TABLE_ENTRY(node, struct source, node));
	}
	table_done(&s->table);
}

void sources_set_limits(
	struct sources *s, const struct source_limits *limits, uint64_t now_us)
{
	bool changed = s->limits.accept_rate != limits->accept_rate;

	s->limits = *limits;
	if (changed)
		token_init(&s->accepts, limits->accept_rate,
			limits->accept_rate * SOURCE_BURST, now_us);
}

static struct source *find(const struct sources *s, const struct addr *host)
{
	struct table_node *node = table_find(&s->table, host, sizeof(*host));

	return node ? TABLE_ENTRY(node, struct source, node) : NULL;
}

static struct source *find_or_add(
	struct sources *s, const struct addr *peer, uint64_t now_us)
{
	struct addr host = addr_host_key(peer);
	struct source *source = find(s, &host);

	if (source)
		return source;
	source = calloc(1, sizeof(*source));
	if (!source)
		return NULL;
	source->host = host;
	source->idle_since_us = now_us;
	token_init(&source->accepts, s->limits.accept_rate_source,
		s->limits.accept_rate_source * SOURCE_BURST, now_us);
	if (table_add(&s->table, &source->node, &source->host,
		    sizeof(source->host))) {
		free(source);
		return NULL;
	}
	return source;
}

static enum reason judge(struct sources *s, struct source *source, bool trusted,
	size_t n_flows, size_t n_handshakes, uint64_t now_us)
{
	const struct source_limits *l = &s->limits;
	size_t per_source = l->max_per_source;

	if (n_flows >= l->max_flows)
		return REASON_FLOW_FULL;
	if (trusted)
		return REASON_FLOW_OPENED;
	if (source->banned_until_us > now_us)
		return REASON_FLOW_BANNED;
	if (source->known)
		per_source *= SOURCE_KNOWN_FACTOR;
	if (per_source && source->n_flows >= per_source)
		return REASON_FLOW_SOURCE_FULL;
	if (n_handshakes >= l->max_handshakes)
		return REASON_FLOW_HANDSHAKES;
	if (source->known)
		return REASON_FLOW_OPENED;
	if (n_flows + l->reserve_known >= l->max_flows)
		return REASON_FLOW_FULL;
	/* A quarter of the handshakes is the known phones' as well. */
	if (n_handshakes >= l->max_handshakes - l->max_handshakes / 4)
		return REASON_FLOW_HANDSHAKES;
	if (!token_take(&source->accepts, 1, now_us) ||
		!token_take(&s->accepts, 1, now_us))
		return REASON_FLOW_RATE;
	return REASON_FLOW_OPENED;
}

enum reason sources_take(struct sources *s, const struct addr *peer,
	bool trusted, size_t n_flows, size_t n_handshakes, uint64_t now_us,
	struct source **source_out)
{
	struct source *source = find_or_add(s, peer, now_us);
	enum reason why;

	if (!source) {
		if (!trusted)
			return REASON_FLOW_FULL;
		if (n_flows >= s->limits.max_flows)
			return REASON_FLOW_FULL;
		*source_out = NULL;
		return REASON_FLOW_OPENED;
	}
	why = judge(s, source, trusted, n_flows, n_handshakes, now_us);
	if (why != REASON_FLOW_OPENED)
		return why;
	source->n_flows++;
	*source_out = source;
	return REASON_FLOW_OPENED;
}

struct source *sources_take_out(
	struct sources *s, const struct addr *peer, uint64_t now_us)
{
	struct source *source = find_or_add(s, peer, now_us);

	if (source)
		source->n_flows++;
	return source;
}

void sources_give(struct source *source, uint64_t now_us)
{
	if (!source)
		return;
	source->n_flows--;
	source->idle_since_us = now_us;
}

void sources_known(
	struct sources *s, const struct addr *host, bool known, uint64_t now_us)
{
	struct addr key = addr_host_key(host);
	struct source *source =
		known ? find_or_add(s, host, now_us) : find(s, &key);

	if (source)
		source->known = known;
}

int sources_ban(struct sources *s, const struct addr *host, uint64_t until_us,
	uint64_t now_us)
{
	struct addr key = addr_host_key(host);
	struct source *source =
		until_us ? find_or_add(s, host, now_us) : find(s, &key);

	if (!source)
		return until_us ? ERR_FULL : 0;
	source->banned_until_us = until_us;
	return 0;
}

void sources_tidy(struct sources *s, uint64_t now_us)
{
	struct table_node *node, *next;
	size_t bucket = 0;

	for (node = table_next(&s->table, &bucket, NULL); node; node = next) {
		struct source *source = TABLE_ENTRY(node, struct source, node);

		next = table_next(&s->table, &bucket, node);
		if (source->n_flows || source->known ||
			source->banned_until_us > now_us ||
			now_us - source->idle_since_us < SOURCE_KEEP_US)
			continue;
		table_remove(&s->table, &source->node);
		free(source);
	}
}
