/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Targets over connections that are names: looked up by RFC 3263 (NAPTR, SRV of
 * _sips._tcp or _sip._tcp, addresses) as long as the settings have them, and a
 * line is kept to each address. What their certificates must have is the
 * configured name, never what DNS led to (RFC 5922 4): flow_line.c.
 *
 * A name that leads nowhere today keeps the addresses of yesterday.
 */
#include "sbc/flow_inner.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/log.h"
#include "sbc/locate.h"

#define LOOK_US       (20 * CLOCK_US_PER_S)
#define LOOK_AGAIN_US (2 * CLOCK_US_PER_S)

static void name_free(struct flow_name *n)
{
	locate_cancel(&n->query);
	LIST_REMOVE(n, next);
	loop_timer_free(n->all->sbc->daemon.loop, &n->timer);
	free(n);
}

static void on_located(
	void *ctx, enum reason why, const struct addr *addrs, size_t n_addrs)
{
	struct flow_name *n = ctx;
	struct flows *flows = n->all;
	bool changed = false;

	n->query = NULL;
	loop_timer_set(flows->sbc->daemon.loop, n->timer,
		n_addrs ? LOOK_US : LOOK_AGAIN_US);
	if (why != REASON_ROUTE_OK) {
		reason_count(why);
		log_peer_warning("trunk_name", LOG_UINT("trunk", n->trunk),
			LOG_STR("name", n->host),
			LOG_STR("reason", reason_text(why)));
		return;
	}
	if (n_addrs > NAME_ADDRS_MAX)
		n_addrs = NAME_ADDRS_MAX;
	/* The order changes with each look (RFC 2782): it does not count. */
	for (size_t i = 0; i < n_addrs; i++) {
		bool known = false;

		for (size_t k = 0; k < n->n_addrs; k++)
			known = known || addr_equal(&n->addrs[k], &addrs[i]);
		changed = changed || !known;
	}
	changed = changed || n_addrs != n->n_addrs;
	memcpy(n->addrs, addrs, n_addrs * sizeof(*addrs));
	n->n_addrs = n_addrs;
	if (changed && flows->sbc->settings)
		flow_want_lines(flows, flows->sbc->settings);
}

static void on_timer(void *arg)
{
	struct flow_name *n = arg;
	struct sbc *sbc = n->all->sbc;
	const struct trunk *t =
		sbc->settings ? settings_trunk(sbc->settings, n->trunk) : NULL;
	struct locate_wish wish = {
		.host = n->host, .port = n->port, .transport = n->transport};

	if (!t || !sbc->locator || n->query)
		return;
	wish.ipv4 = realm_address_for(t->realm, AF_INET, n->transport) != NULL;
	wish.ipv6 = realm_address_for(t->realm, AF_INET6, n->transport) != NULL;
	wish.outside = t->realm->row->zone == GH__ZONE__ZONE_OUTSIDE;
	if (locate_start(sbc->locator, &wish, on_located, n, &n->query) != 0)
		loop_timer_set(sbc->daemon.loop, n->timer, LOOK_AGAIN_US);
}

const struct flow_name *flow_name_want(
	struct flows *flows, const struct trunk *t, const Gh__TrunkTarget *row)
{
	struct loop *loop = flows->sbc->daemon.loop;
	struct flow_name *n;

	LIST_FOREACH (n, &flows->names, next)
		if (n->trunk == t->row->id && n->port == row->port &&
			n->transport == (Gh__Transport)row->transport &&
			strcasecmp(n->host, row->host) == 0) {
			n->wanted = true;
			return n;
		}
	if (strlen(row->host) >= sizeof(n->host))
		return NULL;
	n = calloc(1, sizeof(*n));
	if (!n || loop_timer_new(loop, on_timer, n, &n->timer) != 0) {
		free(n);
		return NULL;
	}
	n->all = flows;
	n->wanted = true;
	n->trunk = t->row->id;
	n->port = (uint16_t)row->port;
	n->transport = (Gh__Transport)row->transport;
	snprintf(n->host, sizeof(n->host), "%s", row->host);
	LIST_INSERT_HEAD(&flows->names, n, next);
	loop_timer_set(loop, n->timer, 0);
	return n;
}

void flow_names_sweep(struct flows *flows)
{
	struct flow_name *n, *next;

	for (n = LIST_FIRST(&flows->names); n; n = next) {
		next = LIST_NEXT(n, next);
		if (!n->wanted)
			name_free(n);
		else
			n->wanted = false; /* until the next snapshot */
	}
}

void flow_names_free(struct flows *flows)
{
	while (!LIST_EMPTY(&flows->names))
		name_free(LIST_FIRST(&flows->names));
}
