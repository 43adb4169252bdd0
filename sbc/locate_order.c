/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which record comes first: SRV records by priority and weight (RFC 2782), the
 * NAPTR record of a transport (RFC 3263 4.1). Pure; called by locate.c.
 */
#include "config.h"

#include "sbc/locate_dns.h"

#include <string.h>

static void swap(struct dns_record *a, struct dns_record *b)
{
	struct dns_record t = *a;

	*a = *b;
	*b = t;
}

/* Before another: lower priority; of one priority weight 0 first, as RFC 2782
 * has it, so that it keeps its small chance. */
static bool precedes(const struct dns_record *a, const struct dns_record *b)
{
	if (a->priority != b->priority)
		return a->priority < b->priority;
	return a->weight == 0 && b->weight != 0;
}

/* Draws the first of a group of one priority to its front. */
static void draw(struct dns_record *group, size_t n,
	uint32_t (*random)(void *ctx, uint32_t max), void *ctx)
{
	uint32_t sum = 0, mark, running = 0;
	struct dns_record drawn;
	size_t i;

	for (i = 0; i < n; i++)
		sum += group[i].weight;
	mark = random(ctx, sum);
	for (i = 0; i < n - 1; i++) {
		running += group[i].weight;
		if (running >= mark)
			break;
	}
	/* The others keep their order: those of weight 0 stay in front. */
	drawn = group[i];
	memmove(group + 1, group, i * sizeof *group);
	group[0] = drawn;
}

void dns_order_srv(struct dns_record *records, size_t n,
	uint32_t (*random)(void *ctx, uint32_t max), void *ctx)
{
	for (size_t i = 1; i < n; i++) {
		for (size_t k = i;
			k > 0 && precedes(&records[k], &records[k - 1]); k--)
			swap(&records[k], &records[k - 1]);
	}
	for (size_t i = 0; i < n; i++) {
		size_t end = i + 1;

		while (end < n && records[end].priority == records[i].priority)
			end++;
		draw(records + i, end - i, random, ctx);
	}
}

struct transport_words {
	const char *prefix;
	const char *service;
};

static const struct transport_words words[] = {
	[GH__TRANSPORT__TRANSPORT_UDP] = {"_sip._udp.", "SIP+D2U"},
	[GH__TRANSPORT__TRANSPORT_TCP] = {"_sip._tcp.", "SIP+D2T"},
	[GH__TRANSPORT__TRANSPORT_TLS] = {"_sips._tcp.", "SIPS+D2T"},
};

static const struct transport_words *words_of(Gh__Transport transport)
{
	static const struct transport_words none;

	return (unsigned)transport < sizeof words / sizeof *words
		       ? &words[transport]
		       : &none;
}

const char *dns_srv_prefix(Gh__Transport transport)
{
	return words_of(transport)->prefix;
}

const struct dns_record *dns_pick_naptr(
	const struct dns_answer *answer, Gh__Transport transport)
{
	const char *service = words_of(transport)->service;
	const struct dns_record *best = NULL;

	for (size_t i = 0; service != NULL && i < answer->n_records; i++) {
		const struct dns_record *r = &answer->records[i];

		if (r->flags != 's' || r->name[0] == '\0' ||
			strcmp(r->service, service) != 0)
			continue;
		if (best == NULL || r->priority < best->priority ||
			(r->priority == best->priority &&
				r->weight < best->weight))
			best = r;
	}
	return best;
}
