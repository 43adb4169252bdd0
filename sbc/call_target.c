/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A target of a route becomes parties to be called: every phone of an account
 * that is registered, or one address of a trunk.
 *
 * Decides: where the INVITE goes on the wire (a phone's binding source, not the
 * private address in its Contact) and what its Request-URI says. Does not
 * decide which target comes next (call_setup.c) or a trunk's next address
 * (target.c).
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

static void on_located(void *ctx)
{
	struct call *c = ctx;
	struct call_input in = {.event = EV_LOCATED};

	call_event(c, &in);
}

static void on_asked(void *ctx)
{
	struct call *c = ctx;

	c->again_ask = NULL;
	on_located(c);
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

void call_target_forget_place(struct call *c)
{
	flow_ask_cancel(&c->again_ask);
	if (c->walk != NULL)
		target_walk_end(c->walk);
	su_free(c->home, c->walk);
	c->walk = NULL;
}

/* A connection to an address that the settings reach by datagrams, if there is
 * one. */
static void take_stream(
	struct call *c, const struct trunk *t, struct target_place *place)
{
	const struct realm_address *ra;
	struct target target;

	if (transport_is_stream(place->target.listener->transport))
		return;
	if (target_reach(c->sbc, t, GH__TRANSPORT__TRANSPORT_TCP,
		    &place->target.addr, &target, &ra) != REASON_ROUTE_OK)
		return;
	place->target = target;
	place->address = ra;
}

enum target_step call_target_next(struct call *c, const struct trunk *t,
	struct target_place *place_out, enum reason *why_out)
{
	const Gh__TrunkTarget *row = c->again_row;

	if (row != NULL) {
		c->again_row = NULL;
		*why_out = target_place_at(
			c->sbc, t, row, &c->again_addr, true, place_out);
		if (*why_out != REASON_ROUTE_OK)
			return TARGET_USELESS;
		take_stream(c, t, place_out);
		return TARGET_FOUND;
	}
	if (c->walk == NULL) {
		c->walk = su_zalloc(c->home, sizeof *c->walk);
		if (c->walk == NULL) {
			*why_out = REASON_CALL_INTERNAL;
			return TARGET_END;
		}
		target_walk_begin(c->walk, c->sbc, t, on_located, c);
		c->walk->insists = c->decision->emergency;
	}
	return target_walk_next(c->walk, place_out, why_out);
}

enum reason call_target_trunk(struct call *c, const struct trunk *t,
	const struct target_place *place, bool again)
{
	char number[ROUTE_NUMBER_SIZE];
	struct party *p;

	if (number_apply(t, GH__NUMBER_RULE_SCOPE__RULE_OUT_CALLED,
		    c->called_number, number) != 0)
		return REASON_ROUTE_BAD_NUMBER;
	p = add_party(c);
	if (p == NULL)
		return REASON_CALL_INTERNAL;
	p->kind = t->realm->row->zone == GH__ZONE__ZONE_INSIDE ? SIDE_PBX
							       : SIDE_TRUNK;
	p->trunk = t;
	p->address = place->address;
	p->listener = place->target.listener;
	p->row = place->row;
	p->as_datagram = again;
	p->peer = place->target.addr;
	p->flow = place->target.flow;
	p->host = su_strdup(c->home, place->host);
	p->request_uri = trunk_uri(c, t, number, p->host);
	p->route = su_strdup(
		c->home, trunk_route(c->calls->trunks, t->row->id, &p->peer));
	p->codecs = call_target_codecs(c, p);
	return REASON_ROUTE_OK;
}
