/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a trunk's targets are, for what we send it outside of calls: probes and
 * registrations. All targets are looked up one after the other, by RFC 3263
 * where they are names; what is known of an address that is still there is
 * kept. Looked again as often as below; the cache decides whether that asks
 * anybody.
 *
 * Decides: which addresses a trunk has, and which of them is the registrar in
 * use. Does not decide whether they answer (trunk.c). A call walks over the
 * trunk's targets itself (target.c), so that it has the weights of SRV to
 * itself.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "sbc/sbc.h"
#include "sbc/trunk_inner.h"

#define LOOK_US       (20 * CLOCK_US_PER_S)
#define LOOK_AGAIN_US (2 * CLOCK_US_PER_S) /* nothing was found */

static void look(struct trunk_state *s);

static struct trunk_place *place_find(
	const struct trunk_state *s, const struct trunk_place *like)
{
	for (size_t i = 0; i < s->n_places; i++) {
		if (addr_equal(&s->places[i]->addr, &like->addr) &&
			s->places[i]->transport == like->transport)
			return s->places[i];
	}
	return NULL;
}

static void place_free(struct trunk_place *p)
{
	trunk_request_drop(&p->probe);
	free(p);
}

static void add(struct trunk_state *s, const Gh__TrunkTarget *row,
	const struct addr *addr)
{
	struct trunk_place like = {.state = s,
		.addr = *addr,
		.transport = (Gh__Transport)row->transport};
	struct trunk_place *p = place_find(s, &like);
	struct addr numeric;

	if (s->n_found >= TRUNK_PLACES_MAX || (p != NULL && p->seen))
		return;
	if (p == NULL) {
		for (size_t i = 0; i < s->n_found; i++) {
			if (addr_equal(&s->found[i]->addr, addr) &&
				s->found[i]->transport == like.transport)
				return;
		}
		p = malloc(sizeof *p);
		if (p == NULL)
			return;
		*p = like;
		/* Out of service, also by an earlier process: a probe has to
		 * say otherwise. */
		p->down = s->down;
	}
	p->seen = true;
	p->is_name = addr_parse(row->host, &numeric) != 0;
	snprintf(p->host, sizeof p->host, "%s", row->host);
	s->found[s->n_found++] = p;
}

/* What was found takes the place of what was known. Nothing found: a name that
 * leads nowhere today may keep the addresses of yesterday. */
static void look_ends(struct trunk_state *s, bool is_row_left)
{
	s->where_known = true;
	s->next_where_us = clock_now_us() + LOOK_US;
	if (s->n_found == 0) {
		if (is_row_left)
			s->next_where_us = clock_now_us() + LOOK_AGAIN_US;
		s->misses++;
		trunk_judge(s, "no address");
		return;
	}
	s->misses = 0;
	for (size_t i = 0; i < s->n_places; i++) {
		if (!s->places[i]->seen)
			place_free(s->places[i]);
	}
	s->n_places = s->n_found;
	s->n_found = 0;
	for (size_t i = 0; i < s->n_places; i++) {
		s->places[i] = s->found[i];
		s->places[i]->seen = false;
	}
	trunk_judge(s, "address found");
}

static void on_located(void *ctx)
{
	look(ctx);
}

/* On from the present row: until one has to be asked for, or the end. */
static void look(struct trunk_state *s)
{
	const Gh__TrunkTarget *row;
	bool has_rows = s->walk.trunk->row->n_targets != 0;
	enum target_step step;
	struct addr addr;
	enum reason why;

	while ((step = target_walk_address(&s->walk, &row, &addr, &why)) !=
		TARGET_END) {
		if (step == TARGET_ASKED)
			return;
		if (step == TARGET_FOUND) {
			add(s, row, &addr);
			continue;
		}
		reason_count(why);
		log_warning("trunk_name", LOG_UINT("trunk", s->id),
			LOG_STR("name", row->host),
			LOG_STR("reason", reason_text(why)));
	}
	target_walk_end(&s->walk);
	settings_unref(&s->walked);
	look_ends(s, has_rows);
}

static void forget_look(struct trunk_state *s)
{
	target_walk_end(&s->walk);
	settings_unref(&s->walked);
	for (size_t i = 0; i < s->n_found; i++) {
		if (place_find(s, s->found[i]) == s->found[i])
			s->found[i]->seen = false;
		else
			place_free(s->found[i]);
	}
	s->n_found = 0;
}

void trunk_where_tick(
	struct trunk_state *s, const struct trunk *t, uint64_t now)
{
	bool wanted = t->row->enabled &&
		      (t->row->options_interval_s != 0 || t->row->registers ||
			      t->row->sources_by_name || s->n_surrogates != 0);
	bool named = wanted && t->row->sources_by_name;

	if (named && !s->named)
		TAILQ_INSERT_TAIL(&s->trunks->named, s, named_link);
	else if (!named && s->named)
		TAILQ_REMOVE(&s->trunks->named, s, named_link);
	s->named = named;
	if (!wanted) {
		trunk_where_drop(s);
		return;
	}
	if (now < s->next_where_us)
		return;
	/* New settings while a look is under way: it begins again. */
	forget_look(s);
	s->next_where_us = UINT64_MAX;
	s->walked = settings_ref(s->trunks->sbc->settings);
	target_walk_begin(&s->walk, s->trunks->sbc, t, on_located, s);
	look(s);
}

void trunk_where_drop(struct trunk_state *s)
{
	forget_look(s);
	for (size_t i = 0; i < s->n_places; i++)
		place_free(s->places[i]);
	s->n_places = 0;
	s->where_known = false;
	s->next_where_us = 0;
	s->misses = 0;
}

/* --- the registrar in use --- */

static size_t registrar_index(const struct trunk_state *s)
{
	for (size_t i = 0; i < s->n_places; i++) {
		if (addr_equal(&s->places[i]->addr, &s->registrar))
			return i;
	}
	return 0;
}

const struct trunk_place *trunk_where_registrar(struct trunk_state *s)
{
	const struct trunk_place *p;

	if (s->n_places == 0)
		return NULL;
	p = s->places[registrar_index(s)];
	if (addr_is_set(&s->registrar) &&
		!addr_equal(&s->registrar, &p->addr)) {
		/* Its name leads elsewhere now: nobody there knows us. */
		free(s->reg_route);
		s->reg_route = NULL;
		registrant_wake(&s->reg);
	}
	s->registrar = p->addr;
	return p;
}

void trunk_where_next_registrar(struct trunk_state *s)
{
	if (s->n_places != 0)
		s->registrar =
			s->places[(registrar_index(s) + 1) % s->n_places]->addr;
}
