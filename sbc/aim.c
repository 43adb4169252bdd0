/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See aim.h. Decides: which address is tried next, and what its host is called
 * in our Request-URI. Does not decide how often somebody tries.
 */
#include "config.h"

#include "sbc/aim.h"

#include <stdio.h>
#include <string.h>

#include "sbc/call_inner.h"
#include "sbc/trunk.h"

void aim_begin(struct aim *a, struct sbc *sbc, const struct trunk *trunk,
	void (*fn)(void *ctx), void *ctx)
{
	memset(a, 0, sizeof *a);
	a->sbc = sbc;
	a->trunk = trunk;
	a->fn = fn;
	a->ctx = ctx;
	a->why = REASON_ROUTE_TRUNK_DOWN;
}

void aim_end(struct aim *a)
{
	locate_cancel(&a->query);
	a->n = a->next = 0;
}

static void on_located(
	void *ctx, enum reason why, const struct addr *addrs, size_t n)
{
	struct aim *a = ctx;

	a->query = NULL;
	a->why = why;
	a->next = 0;
	a->n = n < LOCATE_MAX ? n : LOCATE_MAX;
	memcpy(a->addrs, addrs, a->n * sizeof *addrs);
	a->fn(a->ctx);
}

static bool ask(struct aim *a, const Gh__TrunkTarget *row)
{
	Gh__Transport transport = (Gh__Transport)row->transport;
	const struct realm *realm = a->trunk->realm;
	struct locate_wish wish = {
		.host = row->host,
		.port = (uint16_t)row->port,
		.transport = transport,
		.ipv4 = realm_address_for(realm, AF_INET, transport) != NULL,
		.ipv6 = realm_address_for(realm, AF_INET6, transport) != NULL,
		.outside = realm->row->zone == GH__ZONE__ZONE_OUTSIDE,
	};

	return a->sbc->locator != NULL &&
	       locate_start(a->sbc->locator, &wish, on_located, a, &a->query) ==
		       0;
}

static void name_host(const struct aim *a, const Gh__TrunkTarget *row,
	const struct addr *addr, struct aim_place *place)
{
	char text[ADDR_TEXT_SIZE];
	struct addr numeric;
	bool is_name = addr_parse(row->host, &numeric) != 0;

	if (*a->trunk->row->domain != '\0')
		snprintf(place->host, sizeof place->host, "%s",
			a->trunk->row->domain);
	else if (row->port == 0 && (is_name || addr->family == AF_INET))
		snprintf(place->host, sizeof place->host, "%s", row->host);
	else if (is_name)
		snprintf(place->host, sizeof place->host, "%s:%u", row->host,
			(unsigned)row->port);
	else
		snprintf(place->host, sizeof place->host, "%s",
			addr_format(addr, text));
}

/* Can this address be used, from one of our sockets that is open? */
static bool make_place(struct aim *a, const Gh__TrunkTarget *row,
	const struct addr *addr, struct aim_place *place)
{
	Gh__Transport transport = (Gh__Transport)row->transport;
	const struct flow *flow;

	a->why = REASON_ROUTE_TRUNK_DOWN;
	if (trunk_avoids(a->sbc->trunks, a->trunk->row->id, addr))
		return false;
	place->address =
		realm_address_for(a->trunk->realm, addr->family, transport);
	place->target.addr = *addr;
	place->target.flow = 0;
	place->target.listener =
		place->address != NULL
			? stack_listener(a->sbc->stack, place->address)
			: NULL;
	if (place->target.listener == NULL)
		return false;
	if (transport_is_stream(place->target.listener->transport)) {
		flow = flow_to(a->sbc->flows, a->trunk,
			&place->target.listener->local, transport, addr);
		if (flow == NULL)
			return false;
		place->target.flow = flow->id;
	}
	name_host(a, row, addr, place);
	return true;
}

enum aim_result aim_next(
	struct aim *a, struct aim_place *place_out, enum reason *why_out)
{
	const Gh__TrunkTarget *row;
	struct addr addr;

	/* What the name of the row before this one led to. */
	while (a->next < a->n) {
		row = call_target_row(a->trunk, a->row - 1);
		addr = a->addrs[a->next++];
		if (row != NULL && make_place(a, row, &addr, place_out))
			return AIM_FOUND;
	}
	while ((row = call_target_row(a->trunk, a->row)) != NULL) {
		Gh__Transport transport = (Gh__Transport)row->transport;

		a->row++;
		if (addr_parse(row->host, &addr) != 0) {
			if (ask(a, row))
				return AIM_ASKED;
			a->why = REASON_ROUTE_DNS;
			continue;
		}
		addr.port = row->port != 0 ? (uint16_t)row->port
			    : transport_is_secured(transport) ? 5061
							      : 5060;
		if (make_place(a, row, &addr, place_out))
			return AIM_FOUND;
	}
	*why_out = a->why != REASON_ROUTE_OK ? a->why : REASON_ROUTE_TRUNK_DOWN;
	return AIM_NONE;
}
