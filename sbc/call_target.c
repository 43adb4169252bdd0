/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A target of a route becomes parties to be called: every phone of an account
 * that is registered, or one address of a trunk.
 *
 * Decides: where the INVITE goes on the wire (a phone's binding source, not the
 * private address in its Contact), from which of our addresses, and what its
 * Request-URI says. Does not decide which target comes next (call_setup.c).
 */
#include "config.h"

#include "sbc/call_inner.h"

#include <stdio.h>
#include <string.h>

#include "sbc/trunk.h"

static struct party *add_party(struct call *c)
{
	struct party *p = su_zalloc(c->home, sizeof *p);

	if (p == NULL)
		return NULL;
	p->call = c;
	p->side = CALL_CALLED;
	p->round = c->round;
	p->learn_generation = 1;
	TAILQ_INSERT_TAIL(&c->parties, p, link);
	return p;
}

const Gh__CodecList *call_target_codecs(
	const struct call *c, const struct party *p)
{
	uint32_t id = 0;

	if (p->trunk != NULL)
		id = p->trunk->row->codec_list;
	else if (p->account != NULL)
		id = p->account->row->codec_list;
	if (id == 0 && p->address != NULL)
		id = p->address->realm->row->codec_list;
	return id != 0 ? settings_codec_list(c->settings, id) : NULL;
}

/* RFC 3327 5.1: the Path of its registration is the way to a phone. */
static const char *path_of(struct call *c, const Gh__Binding *row)
{
	const char *route = NULL;

	for (size_t i = 0; i < row->n_path; i++)
		route = route == NULL ? row->path[i]
				      : su_sprintf(c->home, "%s, %s", route,
						row->path[i]);
	return route != NULL ? su_strdup(c->home, route) : NULL;
}

/* Preferences as they are compared: above 0, so that 0 can mean "all". */
static uint32_t preference(const struct binding *b)
{
	return b->row->q_permille + 1;
}

static bool comes_next(const struct binding *b, uint32_t below)
{
	return below == 0 || preference(b) < below;
}

/* The phones of an account: every live contact that can be reached. */
size_t call_target_phones(struct call *c, struct account *account)
{
	const struct binding *first =
		bindings_of(c->sbc->bindings, account->row->id);
	const struct binding *b;
	uint32_t below = c->q_below, q = 0;
	bool more = false;
	size_t n = 0;

	for (b = first; b != NULL; b = b->next) {
		if (comes_next(b, below) && preference(b) > q)
			q = preference(b);
	}
	for (b = first; b != NULL; b = b->next)
		more = more || preference(b) < q;
	c->q_below = more ? q : 0;
	for (b = first; b != NULL && n < CALL_FORKS_MAX; b = b->next) {
		const struct realm_address *ra = settings_listener(c->settings,
			&b->local, (Gh__Transport)b->row->transport);
		struct listener *l =
			ra != NULL ? stack_listener(c->sbc->stack, ra) : NULL;
		struct party *p;

		if (preference(b) != q)
			continue;
		/* Only its own connection reaches it, and only while that
		 * lives. */
		if (l == NULL ||
			(transport_is_stream(l->transport) &&
				flow_find(c->sbc->flows, b->row->flow) == NULL))
			continue;
		p = add_party(c);
		if (p == NULL)
			break;
		p->kind = SIDE_PHONE;
		p->account = account_ref(account);
		p->address = ra;
		p->listener = l;
		p->peer = b->source;
		p->flow = b->row->flow;
		p->behind_nat = b->row->behind_nat;
		call_talks_from(p);
		p->request_uri = su_strdup(c->home, b->row->contact);
		p->route = path_of(c, b->row);
		p->host = ra->realm->row->n_domains != 0
				  ? ra->realm->row->domains[0]
				  : l->advertised_host;
		p->codecs = call_target_codecs(c, p);
		n++;
	}
	return n;
}

/* The trunk's addresses by priority; row is the next one to try. */
const Gh__TrunkTarget *call_target_row(const struct trunk *t, size_t nth)
{
	const Gh__TrunkTarget *best = NULL;
	uint64_t floor = 0, key;

	/* A few rows: the nth smallest by (priority, place). */
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

/* What the far side is called in our Request-URI and To. */
static const char *trunk_host(struct call *c, const struct trunk *t,
	const Gh__TrunkTarget *row, const struct addr *addr)
{
	char text[ADDR_TEXT_SIZE];
	struct addr numeric;
	bool is_name = addr_parse(row->host, &numeric) != 0;

	if (*t->row->domain != '\0')
		return t->row->domain;
	if (row->port == 0 && (is_name || addr->family == AF_INET))
		return su_strdup(c->home, row->host);
	if (is_name)
		return su_sprintf(
			c->home, "%s:%u", row->host, (unsigned)row->port);
	return su_strdup(c->home, addr_format(addr, text));
}

/* number_clean() has let only harmless characters pass; what a user part must
 * not hold as it is (RFC 3261 25.1) is escaped. */
static char *trunk_uri(struct call *c, const struct trunk *t,
	const char *number, const char *host)
{
	const char *phone = hdr_user_phone(t, number);

	char user[3 * ROUTE_NUMBER_SIZE + 1];
	size_t n = 0;

	if (host == NULL)
		return NULL;
	for (; *number != '\0' && n + 4 < sizeof user; number++) {
		bool plain = (*number >= '0' && *number <= '9') ||
			     (*number >= 'A' && *number <= 'Z') ||
			     (*number >= 'a' && *number <= 'z') ||
			     strchr("+*-_.!~'()", *number) != NULL;

		if (plain)
			user[n++] = *number;
		else
			n += (size_t)snprintf(user + n, 4, "%%%02X",
				(unsigned)(unsigned char)*number);
	}
	user[n] = '\0';
	return su_sprintf(c->home, "sip:%s@%s%s", user, host, phone);
}

static void on_located(
	void *ctx, enum reason why, const struct addr *addrs, size_t n)
{
	struct call *c = ctx;
	struct call_input in = {.event = EV_LOCATED, .why = why};

	c->where->query = NULL;
	c->where->why = why;
	c->where->n = n;
	if (n != 0)
		memcpy(c->where->addrs, addrs, n * sizeof *addrs);
	call_event(c, &in);
}

/* RFC 3263 for a row that is a name. */
static int locate(
	struct call *c, const struct trunk *t, const Gh__TrunkTarget *row)
{
	Gh__Transport transport = (Gh__Transport)row->transport;
	struct locate_wish wish = {
		.host = row->host,
		.port = (uint16_t)row->port,
		.transport = transport,
		.ipv4 = realm_address_for(t->realm, AF_INET, transport) != NULL,
		.ipv6 = realm_address_for(t->realm, AF_INET6, transport) !=
			NULL,
		.outside = t->realm->row->zone == GH__ZONE__ZONE_OUTSIDE,
	};

	if (c->sbc->locator == NULL)
		return ERR_STATE;
	c->where = su_zalloc(c->home, sizeof *c->where);
	if (c->where == NULL)
		return ERR_NOMEM;
	if (locate_start(c->sbc->locator, &wish, on_located, c,
		    &c->where->query) != 0) {
		call_target_forget_place(c);
		return ERR_NOMEM;
	}
	return 0;
}

static void on_asked(void *ctx)
{
	struct call *c = ctx;
	struct call_input in = {.event = EV_LOCATED, .why = REASON_ROUTE_OK};

	c->again_ask = NULL;
	call_event(c, &in);
}

bool call_target_again(struct call *c, const struct party *p)
{
	/* The request is refused by the connection at the latest: then it goes
	 * as a datagram (RFC 3261 18.1.1). */
	c->again_row = p->row;
	c->again_addr = p->peer;
	return flow_ask(c->sbc->flows, p->trunk, GH__TRANSPORT__TRANSPORT_TCP,
		       &p->peer, on_asked, c, &c->again_ask) == 0;
}

const Gh__TrunkTarget *call_target_take_again(
	struct call *c, struct addr *addr_out)
{
	const Gh__TrunkTarget *row = c->again_row;

	c->again_row = NULL;
	*addr_out = c->again_addr;
	return row;
}

void call_target_forget_place(struct call *c)
{
	flow_ask_cancel(&c->again_ask);
	if (c->where == NULL)
		return;
	locate_cancel(&c->where->query);
	su_free(c->home, c->where);
	c->where = NULL;
}

bool call_target_registrar(struct call *c, const struct trunk *t,
	const Gh__TrunkTarget **row_out, struct addr *addr_out)
{
	if (c->registrar_of == c->target + 1)
		return false;
	c->registrar_of = c->target + 1;
	memset(&c->registrar, 0, sizeof c->registrar);
	if (!t->row->registers ||
		!trunk_registrar(c->calls->trunks, t, addr_out, row_out))
		return false;
	c->registrar = *addr_out;
	return true;
}

/* It has been tried as what we are registered at. */
static bool was_registrar(const struct call *c, const struct addr *addr)
{
	return addr_is_set(&c->registrar) && addr_equal(&c->registrar, addr);
}

enum call_place call_target_place(struct call *c, const struct trunk *t,
	const Gh__TrunkTarget *row, struct addr *addr_out, enum reason *why_out)
{
	struct call_where *w = c->where;

	*why_out = REASON_ROUTE_OK;
	if (addr_parse(row->host, addr_out) == 0) {
		bool secured =
			transport_is_secured((Gh__Transport)row->transport);

		addr_out->port = row->port != 0 ? (uint16_t)row->port
				 : secured      ? 5061
						: 5060;
		c->target_row++;
		return was_registrar(c, addr_out) ? PLACE_NONE : PLACE_FOUND;
	}
	if (w == NULL && locate(c, t, row) == 0)
		return PLACE_ASKED;
	if (w != NULL && w->next < w->n) {
		*addr_out = w->addrs[w->next++];
		return was_registrar(c, addr_out) ? PLACE_NONE : PLACE_FOUND;
	}
	*why_out = w != NULL ? w->why : REASON_ROUTE_DNS;
	call_target_forget_place(c);
	c->target_row++;
	return PLACE_NONE;
}

/* A connection to an address that the settings reach by datagrams, if there is
 * one. */
static const struct flow *stream_to(struct call *c, const struct trunk *t,
	const struct addr *addr, const struct realm_address **ra_out,
	struct listener **listener_out)
{
	const struct realm_address *ra = realm_address_for(
		t->realm, addr->family, GH__TRANSPORT__TRANSPORT_TCP);
	struct listener *l =
		ra != NULL ? stack_listener(c->sbc->stack, ra) : NULL;
	const struct flow *flow = l != NULL
					  ? flow_to(c->sbc->flows, t, &l->local,
						    l->transport, addr)
					  : NULL;

	if (flow == NULL)
		return NULL;
	*ra_out = ra;
	*listener_out = l;
	return flow;
}

/* One address of a trunk. again: its INVITE was too large for a datagram.
 * @return ROUTE_OK, or why it can not be used. */
enum reason call_target_trunk(struct call *c, const struct trunk *t,
	const Gh__TrunkTarget *row, const struct addr *addr, bool again)
{
	char number[ROUTE_NUMBER_SIZE];
	const struct realm_address *ra;
	const struct flow *flow = NULL;
	struct listener *l;
	struct party *p;

	ra = realm_address_for(
		t->realm, addr->family, (Gh__Transport)row->transport);
	l = ra != NULL ? stack_listener(c->sbc->stack, ra) : NULL;
	if (l == NULL)
		return REASON_ROUTE_TRUNK_DOWN;
	if (transport_is_stream(l->transport)) {
		flow = flow_to(c->sbc->flows, t, &l->local, l->transport, addr);
		if (flow == NULL)
			return REASON_ROUTE_TRUNK_DOWN;
	} else if (again) {
		flow = stream_to(c, t, addr, &ra, &l);
	}
	if (number_apply(t, GH__NUMBER_RULE_SCOPE__RULE_OUT_CALLED,
		    c->called_number, number) != 0)
		return REASON_ROUTE_BAD_NUMBER;
	p = add_party(c);
	if (p == NULL)
		return REASON_CALL_INTERNAL;
	p->kind = t->realm->row->zone == GH__ZONE__ZONE_INSIDE ? SIDE_PBX
							       : SIDE_TRUNK;
	p->trunk = t;
	p->address = ra;
	p->listener = l;
	p->row = row;
	p->as_datagram = again;
	p->peer = *addr;
	p->flow = flow != NULL ? flow->id : 0;
	p->host = trunk_host(c, t, row, addr);
	p->request_uri = trunk_uri(c, t, number, p->host);
	p->route = su_strdup(
		c->home, trunk_route(c->calls->trunks, t->row->id, addr));
	p->codecs = call_target_codecs(c, p);
	return REASON_ROUTE_OK;
}
