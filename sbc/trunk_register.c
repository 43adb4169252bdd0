/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Registration at a trunk that wants it: where its registrars are, what the
 * answer says to our calls (Service-Route, RFC 3608), and when it ends. A trunk
 * that is disabled, deleted or registers under another name takes back what it
 * has registered.
 *
 * Decides: whether a trunk has a registration. registrant.c decides when to
 * ask. Called by trunk.c's clock and for calls.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sofia-sip/sip_header.h>
#include <sofia-sip/su_alloc.h>
#include <sofia-sip/sip_extra.h>

#include "common/clock.h"
#include "common/log.h"
#include "sbc/sbc.h"
#include "sbc/text.h"
#include "sbc/trunk_inner.h"

#define RETRY_MAX_S 600u
#define ROUTES_MAX  4u
#define ROUTE_SIZE  512u

static struct trunk_state *state_of(struct registrant *r)
{
	return (struct trunk_state *)((char *)r -
				      offsetof(struct trunk_state, reg));
}

static void forget_route(struct trunk_state *s)
{
	free(s->reg_route);
	s->reg_route = NULL;
}

void trunk_register_drop(struct trunk_state *s)
{
	registrant_drop(&s->reg);
	forget_route(s);
	s->reg_identity = 0;
	s->reg_tried = 0;
}

static void tell(struct trunk_state *s, enum reason why, const char *data)
{
	const struct trunk *t = settings_trunk(s->trunks->sbc->settings, s->id);
	Gh__Event event = GH__EVENT__INIT;

	reason_count(why);
	log_notice("trunk_registration", LOG_UINT("trunk", s->id),
		LOG_STR("name", t != NULL ? t->row->name : "?"),
		LOG_STR("reason", reason_text(why)), LOG_STR("data", data));
	event.wall_us = clock_wall_us();
	event.reason = reason_number(why);
	event.trunk = s->id;
	event.data = (char *)(uintptr_t)data;
	cdr_event(s->trunks->sbc->cdrs, &event);
}

/* Only what may stand between < and > again, and only loose routes. */
static bool is_route(const url_t *url, const char *text)
{
	return (url->url_type == url_sip || url->url_type == url_sips) &&
	       url->url_host != NULL && url->url_headers == NULL &&
	       url_has_param(url, "lr") && text_is_plain(text, ROUTE_SIZE) &&
	       strpbrk(text, "<>\" ,") == NULL;
}

/* RFC 3608 6.1: the way of our calls, newly with each answer. One that cannot
 * be read is none. */
static void learn_route(struct trunk_state *s, const sip_t *sip)
{
	const sip_service_route_t *r = sip_service_route(sip);
	su_home_t home[1] = {SU_HOME_INIT(home)};
	char text[ROUTE_SIZE];
	struct writer w;

	free(s->reg_route);
	s->reg_route = NULL;
	writer_init(&w, text, sizeof text);
	su_home_init(home);
	for (unsigned n = 0; r != NULL; r = r->r_next, n++) {
		const char *one = url_as_string(home, r->r_url);

		if (one == NULL || n == ROUTES_MAX ||
			!is_route(r->r_url, one)) {
			w.over = true;
			break;
		}
		writer_add(&w, "%s<%s>", n != 0 ? ", " : "", one);
	}
	su_home_deinit(home);
	if (w.over)
		log_peer_warning("service_route", LOG_UINT("trunk", s->id),
			LOG_STR("problem", "it cannot be used"));
	else if (w.len != 0)
		s->reg_route = strdup(text);
}

/* --- what registrant.c asks and tells --- */

static int where(struct registrant *r, struct registrant_place *out)
{
	struct trunk_state *s = state_of(r);
	struct sbc *sbc = s->trunks->sbc;
	const struct trunk *t = settings_trunk(sbc->settings, s->id);

	if (t == NULL || !s->where_known)
		return ERR_AGAIN;
	out->has_others = s->n_places > 1;
	snprintf(out->user, sizeof out->user, "%s", t->row->register_user);
	if (trunk_target_of(sbc, t, trunk_where_registrar(s), &out->target,
		    out->url) != 0)
		return ERR_NOT_FOUND;
	return trunk_contact(t, out->target.listener, out->user, out->contact,
		sizeof out->contact);
}

static bool next(struct registrant *r, enum reason why, const char *data)
{
	struct trunk_state *s = state_of(r);

	trunk_where_next_registrar(s);
	if (++s->reg_tried < s->n_places) {
		log_info("trunk_registrar", LOG_UINT("trunk", s->id),
			LOG_STR("reason", reason_text(why)),
			LOG_STR("data", data), LOG_STR("next", "another"));
		return true;
	}
	s->reg_tried = 0;
	return false;
}

/* A kill while it is on its way: the next process goes on with its names. */
static void on_asked(struct registrant *r)
{
	trunk_save(state_of(r));
}

static void on_up(struct registrant *r, const sip_t *sip, bool first)
{
	struct trunk_state *s = state_of(r);

	learn_route(s, sip);
	s->reg_tried = 0;
	if (first)
		tell(s, REASON_TRUNK_REGISTERED, "");
	trunk_save(s);
}

static void on_failed(struct registrant *r, enum reason why, const char *data)
{
	tell(state_of(r), why, data);
}

static void on_left(struct registrant *r)
{
	struct trunk_state *s = state_of(r);

	tell(s, REASON_TRUNK_UNREGISTERED, "");
	trunk_register_drop(s);
	s->trunks->sweeps = true;
}

static const struct registrant_kind kind = {
	.path = true,
	.retry_max_s = RETRY_MAX_S,
	.where = where,
	.next = next,
	.on_asked = on_asked,
	.on_up = on_up,
	.on_failed = on_failed,
	.on_left = on_left,
	.refused = REASON_TRUNK_REGISTER_FAILED,
};

int trunk_register_init(struct trunk_state *s)
{
	return registrant_init(&s->reg, &kind, s->trunks, s->id, 0);
}

/* --- when --- */

/* What the registrar knows us by: another one is another registration. */
static uint64_t identity_of(const struct trunk *t)
{
	static const uint8_t key[16] = "gatehouse trunk";
	char text[3 * STACK_URL_SIZE];
	int n = snprintf(text, sizeof text, "%s %s %s %u",
		t->row->register_user, t->row->domain, t->row->host,
		(unsigned)t->realm->row->id);
	size_t len = n < (int)sizeof text ? (size_t)n : sizeof text - 1;

	return table_siphash(key, text, len) | 1;
}

bool trunk_register_leave(struct trunk_state *s)
{
	forget_route(s);
	if (registrant_leave(&s->reg, 0))
		return true;
	trunk_register_drop(s);
	return false;
}

void trunk_register_tick(struct trunk_state *s, const struct trunk *t)
{
	bool wanted = t->row->enabled && t->row->registers &&
		      *t->row->register_user != '\0';
	uint64_t identity = identity_of(t);

	if (s->reg.state == REGISTRATION_LEAVING)
		return;
	if (s->reg.state != REGISTRATION_NONE && s->reg_identity == 0)
		s->reg_identity = identity; /* an earlier process had it */
	if (s->reg.state != REGISTRATION_NONE &&
		(!wanted || s->reg_identity != identity) &&
		trunk_register_leave(s))
		return;
	if (!wanted)
		return;
	if (s->reg.state != REGISTRATION_NONE) {
		registrant_note(&s->reg);
		return;
	}
	s->reg_identity = identity;
	registrant_start(&s->reg, t->row->register_expires_s, 0);
}

/* --- for calls --- */

const char *trunk_route(
	struct trunks *trunks, uint32_t id, const struct addr *addr)
{
	const struct trunk_state *s = trunk_state_find(trunks, id);

	return s != NULL && s->reg.state == REGISTRATION_UP &&
			       s->reg_route != NULL &&
			       addr_equal(&s->registrar, addr)
		       ? s->reg_route
		       : "";
}

bool trunk_registrar(struct trunks *trunks, const struct trunk *t,
	struct addr *addr_out, const Gh__TrunkTarget **row_out)
{
	struct trunk_state *s = trunk_state_find(trunks, t->row->id);
	const struct trunk_place *p;

	if (s == NULL || s->reg.state != REGISTRATION_UP)
		return false;
	/* After a restart it is known before the names have been asked for. */
	if (!s->where_known && addr_is_set(&s->registrar) &&
		t->row->n_targets != 0) {
		*addr_out = s->registrar;
		*row_out = t->row->targets[0];
		return true;
	}
	p = trunk_where_registrar(s);
	if (p == NULL || p->down)
		return false;
	for (size_t i = 0; i < t->row->n_targets; i++) {
		if (strcmp(t->row->targets[i]->host, p->host) != 0 ||
			(Gh__Transport)t->row->targets[i]->transport !=
				p->transport)
			continue;
		*addr_out = p->addr;
		*row_out = t->row->targets[i];
		return true;
	}
	return false;
}
