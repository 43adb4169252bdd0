/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See target.h. Decides: which address of a trunk is tried next, from which of
 * our sockets, and what its host is called in a Request-URI. Does not decide
 * whether a failure goes on to the next one (call_setup.c), how often somebody
 * tries, or what a name leads to (locate.c). RFC 3263 section 4.
 */
#include "config.h"

#include "sbc/target.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sbc/sbc.h"
#include "sbc/trunk.h"

void target_walk_begin(struct target_walk *w, struct sbc *sbc,
	const struct trunk *trunk, void (*fn)(void *ctx), void *ctx)
{
	target_walk_end(w);
	w->sbc = sbc;
	w->trunk = trunk;
	w->fn = fn;
	w->ctx = ctx;
}

void target_walk_end(struct target_walk *w)
{
	locate_cancel(&w->query);
	free(w->addrs);
	memset(w, 0, sizeof *w);
}

/* A few rows: the nth smallest by (priority, place). */
const Gh__TrunkTarget *target_row(const struct trunk *t, size_t nth)
{
	const Gh__TrunkTarget *best = NULL;
	uint64_t floor = 0, key;

	for (size_t round = 0; round <= nth; round++) {
		uint64_t least = UINT64_MAX;

		best = NULL;
		for (size_t i = 0; i < t->row->n_targets; i++) {
			key = ((uint64_t)t->row->targets[i]->priority << 16) +
			      i + 1;
			if (key > floor && key < least) {
				least = key;
				best = t->row->targets[i];
			}
		}
		if (best == NULL)
			return NULL;
		floor = least;
	}
	return best;
}

/* --- names --- */

static void on_located(
	void *ctx, enum reason why, const struct addr *addrs, size_t n)
{
	struct target_walk *w = ctx;

	w->query = NULL;
	w->located = true;
	w->why = why;
	w->addrs = n != 0 ? calloc(n, sizeof *addrs) : NULL;
	if (w->addrs != NULL) {
		memcpy(w->addrs, addrs, n * sizeof *addrs);
		w->n = n;
	} else if (n != 0) {
		w->why = REASON_CALL_INTERNAL;
	}
	w->fn(w->ctx);
}

static bool ask(struct target_walk *w, const Gh__TrunkTarget *row)
{
	Gh__Transport transport = (Gh__Transport)row->transport;
	const struct realm *realm = w->trunk->realm;
	struct locate_wish wish = {
		.host = row->host,
		.port = (uint16_t)row->port,
		.transport = transport,
		.ipv4 = realm_address_for(realm, AF_INET, transport) != NULL,
		.ipv6 = realm_address_for(realm, AF_INET6, transport) != NULL,
		.outside = realm->row->zone == GH__ZONE__ZONE_OUTSIDE,
	};

	return w->sbc->locator != NULL &&
	       locate_start(w->sbc->locator, &wish, on_located, w, &w->query) ==
		       0;
}

static void leave_row(struct target_walk *w)
{
	locate_cancel(&w->query);
	free(w->addrs);
	w->addrs = NULL;
	w->n = w->next = 0;
	w->located = false;
	w->nth++;
}

enum target_step target_walk_address(struct target_walk *w,
	const Gh__TrunkTarget **row_out, struct addr *addr_out,
	enum reason *why_out)
{
	const Gh__TrunkTarget *row;
	bool is_empty;

	while ((row = target_row(w->trunk, w->nth)) != NULL) {
		*row_out = row;
		if (addr_parse(row->host, addr_out) == 0) {
			addr_out->port = row->port != 0 ? (uint16_t)row->port
					 : transport_is_secured((
						   Gh__Transport)row->transport)
						 ? 5061
						 : 5060;
			leave_row(w);
			return TARGET_FOUND;
		}
		if (w->next < w->n) {
			*addr_out = w->addrs[w->next++];
			return TARGET_FOUND;
		}
		if (!w->located) {
			if (w->query != NULL || ask(w, row))
				return TARGET_ASKED;
			w->why = REASON_ROUTE_DNS;
		}
		*why_out = w->why;
		is_empty = w->n == 0;
		leave_row(w);
		if (is_empty)
			return TARGET_USELESS;
	}
	return TARGET_END;
}

/* --- places --- */

enum reason target_reach(struct sbc *sbc, const struct trunk *t,
	Gh__Transport transport, const struct addr *addr,
	struct target *target_out, const struct realm_address **address_out)
{
	const struct realm_address *ra =
		realm_address_for(t->realm, addr->family, transport);
	struct listener *l = ra != NULL ? stack_listener(sbc->stack, ra) : NULL;
	const struct flow *flow;

	*address_out = ra;
	*target_out = (struct target){.addr = *addr, .listener = l};
	if (l == NULL)
		return REASON_ROUTE_TRUNK_DOWN;
	if (!transport_is_stream(l->transport))
		return REASON_ROUTE_OK;
	flow = flow_to(sbc->flows, t, &l->local, l->transport, addr);
	if (flow == NULL)
		return REASON_ROUTE_TRUNK_DOWN;
	target_out->flow = flow->id;
	return REASON_ROUTE_OK;
}

/* What the far side is called in our Request-URI and To. */
static void name_host(const struct trunk *t, const Gh__TrunkTarget *row,
	const struct addr *addr, char *host, size_t size)
{
	char text[ADDR_TEXT_SIZE];
	struct addr numeric;
	bool is_name = addr_parse(row->host, &numeric) != 0;

	if (*t->row->domain != '\0')
		snprintf(host, size, "%s", t->row->domain);
	else if (row->port == 0 && (is_name || addr->family == AF_INET))
		snprintf(host, size, "%s", row->host);
	else if (is_name)
		snprintf(host, size, "%s:%u", row->host, (unsigned)row->port);
	else
		snprintf(host, size, "%s", addr_format(addr, text));
}

enum reason target_place_at(struct sbc *sbc, const struct trunk *t,
	const Gh__TrunkTarget *row, const struct addr *addr, bool insists,
	struct target_place *place_out)
{
	enum reason why;

	place_out->row = row;
	if (!insists && trunk_avoids(sbc->trunks, t->row->id, addr))
		return REASON_ROUTE_TRUNK_DOWN;
	why = target_reach(sbc, t, (Gh__Transport)row->transport, addr,
		&place_out->target, &place_out->address);
	if (why == REASON_ROUTE_OK)
		name_host(
			t, row, addr, place_out->host, sizeof place_out->host);
	return why;
}

/* Who has our registration is where our calls are expected. */
static bool take_registrar(
	struct target_walk *w, const Gh__TrunkTarget **row, struct addr *addr)
{
	if (w->registrar_taken)
		return false;
	w->registrar_taken = true;
	if (!w->trunk->row->registers ||
		!trunk_registrar(w->sbc->trunks, w->trunk, addr, row))
		return false;
	w->registrar = *addr;
	return true;
}

enum target_step target_walk_next(struct target_walk *w,
	struct target_place *place_out, enum reason *why_out)
{
	const Gh__TrunkTarget *row = NULL;
	struct addr addr;
	enum target_step step;

	if (!take_registrar(w, &row, &addr)) {
		do {
			step = target_walk_address(w, &row, &addr, why_out);
			if (step != TARGET_FOUND) {
				place_out->row = row;
				return step;
			}
		} while (addr_is_set(&w->registrar) &&
			 addr_equal(&w->registrar, &addr));
	}
	*why_out = target_place_at(
		w->sbc, w->trunk, row, &addr, w->insists, place_out);
	return *why_out == REASON_ROUTE_OK ? TARGET_FOUND : TARGET_USELESS;
}

enum target_step target_walk_usable(struct target_walk *w,
	struct target_place *place_out, enum reason *why_out)
{
	enum reason why, last = REASON_ROUTE_TRUNK_DOWN;
	enum target_step step;

	while ((step = target_walk_next(w, place_out, &why)) == TARGET_USELESS)
		last = why;
	*why_out = last;
	return step;
}
