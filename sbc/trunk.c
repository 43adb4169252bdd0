/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The state of trunks: places, rates, and whether they answer.
 *
 * Once a second every trunk of the snapshot in force is looked at: one that is
 * probed (options_interval_s) gets OPTIONS at each of its addresses when its
 * time has come (RFC 3261 11); any answer but 503 is a sign of life. Two
 * silences in a row take an address out of service, one answer puts it back; a
 * trunk is out of service when all its addresses are. A trunk that is
 * not probed is always in service.
 *
 * Decides: service, limits. Does not decide where a call goes instead
 * (route.c). Registration at a trunk is in trunk_register.c. Called by
 * call_setup.c and call_limit.c.
 */
#include "config.h"

#include "sbc/trunk.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sofia-sip/sip_status.h>
#include <sofia-sip/su_tagarg.h>
#include <sofia-sip/tport_tag.h>

#include "common/clock.h"
#include "common/ident.h"
#include "common/log.h"
#include "sbc/sbc.h"
#include "sbc/surrogate.h"
#include "sbc/trunk_inner.h"

#define TRUNKS_MAX  10000u
#define MISSES_DOWN 2u

struct trunk_state *trunk_state_find(struct trunks *trunks, uint32_t id)
{
	struct table_node *node = table_find(&trunks->table, &id, sizeof id);

	return node != NULL ? TABLE_ENTRY(node, struct trunk_state, node)
			    : NULL;
}

struct trunk_state *trunk_state_make(struct trunks *trunks, uint32_t id)
{
	struct trunk_state *s = trunk_state_find(trunks, id);

	if (s != NULL)
		return s;
	s = calloc(1, sizeof *s);
	if (s == NULL)
		return NULL;
	s->trunks = trunks;
	s->id = id;
	if (trunk_register_init(s) != 0 || table_add(&trunks->table, &s->node,
						   &s->id, sizeof s->id) != 0) {
		registrant_done(&s->reg);
		free(s);
		return NULL;
	}
	return s;
}

static void state_free(struct trunk_state *s)
{
	save_drop(s->trunks->sbc->saves, SAVE_TRUNK, &s->saved);
	trunk_where_drop(s);
	trunk_register_drop(s);
	registrant_done(&s->reg);
	if (s->named)
		TAILQ_REMOVE(&s->trunks->named, s, named_link);
	table_remove(&s->trunks->table, &s->node);
	free(s);
}

void trunk_request_drop(struct trunk_request *r)
{
	if (r->orq != NULL) {
		nta_outgoing_bind(r->orq, NULL, NULL);
		if (nta_outgoing_status(r->orq) >= 200)
			nta_outgoing_destroy(r->orq);
	}
	r->orq = NULL;
	if (r->leg != NULL)
		nta_leg_destroy(r->leg);
	r->leg = NULL;
}

static void tell(struct trunk_state *s, enum reason why, const char *data)
{
	Gh__Event event = GH__EVENT__INIT;

	reason_count(why);
	log_notice(why == REASON_TRUNK_UP ? "trunk_up" : "trunk_down",
		LOG_UINT("trunk", s->id), LOG_STR("reason", reason_text(why)),
		LOG_STR("data", data));
	event.wall_us = clock_wall_us();
	event.reason = reason_number(why);
	event.trunk = s->id;
	event.data = (char *)(uintptr_t)data;
	cdr_event(s->trunks->sbc->cdrs, &event);
}

int trunk_target_of(struct sbc *sbc, const struct trunk *t,
	const struct trunk_place *place, struct target *target,
	char url[STACK_URL_SIZE])
{
	const struct realm_address *ours;
	char text[ADDR_TEXT_SIZE];
	struct addr addr;

	if (place == NULL)
		return ERR_NOT_FOUND;
	/* Without its connection the request fails at once. */
	(void)target_reach(
		sbc, t, place->transport, &place->addr, target, &ours);
	if (target->listener == NULL)
		return ERR_NOT_FOUND;
	if (*t->row->domain != '\0')
		snprintf(url, STACK_URL_SIZE, "sip:%s", t->row->domain);
	else if (addr_parse(place->host, &addr) != 0)
		snprintf(url, STACK_URL_SIZE, "sip:%s", place->host);
	else
		snprintf(url, STACK_URL_SIZE, "sip:%s",
			addr_format(&place->addr, text));
	return 0;
}

int trunk_contact_as(const struct trunk *t, const struct listener *l,
	const char *user, char *text, size_t size)
{
	struct listener own = *l;
	const char *host = t->row->host;
	const char *bracket = strrchr(host, ']');
	bool has_port = strchr(bracket != NULL ? bracket : host, ':') != NULL;
	char port[8] = "";
	int n;

	if (*host == '\0')
		return stack_contact(l, user, text, size);
	/* A name without a port still stands for the port that we listen at. */
	if (!has_port && l->local.port != 5060)
		snprintf(port, sizeof port, ":%u", (unsigned)l->local.port);
	n = snprintf(own.advertised_host, sizeof own.advertised_host, "%s%s",
		host, port);
	if (n < 0 || (size_t)n >= sizeof own.advertised_host)
		return ERR_TOO_BIG;
	return stack_contact(&own, user, text, size);
}

int trunk_contact(const struct trunk *t, const struct listener *l,
	const char *user, char *text, size_t size)
{
	const char *own = trunk_contact_user(t);
	char token[TRUNK_TOKEN_SIZE];
	size_t len;
	int n, err;

	err = trunk_contact_as(t, l, own != NULL ? own : user, text, size);
	if (err != 0 || !t->row->registers)
		return err;
	trunk_token(t, token);
	len = strlen(text);
	n = snprintf(text + len, size - len, ";line=%s", token);
	return n < 0 || (size_t)n >= size - len ? ERR_TOO_BIG : 0;
}

/* --- OPTIONS --- */

static int on_probe_answer(
	nta_outgoing_magic_t *magic, nta_outgoing_t *orq, const sip_t *sip)
{
	struct trunk_place *p = (struct trunk_place *)magic;
	struct trunk_state *s = p->state;
	unsigned status =
		sip != NULL ? (unsigned)sip->sip_status->st_status : 408;
	bool internal = sip == NULL || nta_sip_is_internal(sip);
	char text[16];

	if (status < 200)
		return 0;
	nta_outgoing_destroy(orq);
	p->probe.orq = NULL;
	trunk_request_drop(&p->probe);
	snprintf(text, sizeof text, "%u", status);
	if (!internal && status != 503) {
		p->misses = 0;
		p->down = false;
	} else {
		p->down = ++p->misses >= MISSES_DOWN;
		/* After the first silence it is asked again soon. */
		if (!p->down)
			s->next_probe_us = clock_now_us() + CLOCK_US_PER_S;
	}
	trunk_judge(s, internal ? "silent" : text);
	return 0;
}

/* Out of service when nothing is left that may answer. */
void trunk_judge(struct trunk_state *s, const char *data)
{
	bool down = s->n_places == 0 && s->misses >= MISSES_DOWN;
	size_t n_down = 0;

	for (size_t i = 0; i < s->n_places; i++)
		n_down += s->places[i]->down;
	down = down || (n_down != 0 && n_down == s->n_places);
	if (down == s->down)
		return;
	s->down = down;
	tell(s, down ? REASON_TRUNK_DOWN : REASON_TRUNK_UP, data);
}

nta_leg_t *trunk_make_leg(struct trunks *trunks, const char *from,
	const char *to, struct registrant_names *names)
{
	struct registrant_names fresh = {.cseq = 0};
	char random[27], tagged[STACK_URL_SIZE + 40], cseq[32];

	if (names == NULL)
		names = &fresh;
	if (names->call_id[0] == '\0') {
		ident_make_random(random, sizeof random - 1);
		ident_make_random(names->tag, sizeof names->tag - 1);
		snprintf(
			names->call_id, sizeof names->call_id, "w0-%s", random);
	}
	snprintf(tagged, sizeof tagged, "%s;tag=%s", from, names->tag);
	snprintf(cseq, sizeof cseq, "%u REGISTER", (unsigned)names->cseq);
	return nta_leg_tcreate(stack_agent(trunks->sbc->stack), NULL, NULL,
		SIPTAG_CALL_ID_STR(names->call_id), SIPTAG_FROM_STR(tagged),
		SIPTAG_TO_STR(to),
		TAG_IF(names->cseq != 0, SIPTAG_CSEQ_STR(cseq)), TAG_END());
}

static void probe(struct trunk_place *p, const struct trunk *t)
{
	struct trunk_state *s = p->state;
	struct sbc *sbc = s->trunks->sbc;
	char url[STACK_URL_SIZE], hop[STACK_URL_SIZE], ours[STACK_URL_SIZE];
	char contact[STACK_URL_SIZE + 2], to[STACK_URL_SIZE + 2];
	struct target target;

	if (p->probe.orq != NULL ||
		trunk_target_of(sbc, t, p, &target, url) != 0 ||
		trunk_contact(t, target.listener, NULL, ours, sizeof ours) != 0)
		return;
	snprintf(contact, sizeof contact, "<%s>", ours);
	snprintf(to, sizeof to, "<%s>", url);
	p->probe.leg = trunk_make_leg(s->trunks, contact, to, NULL);
	if (p->probe.leg == NULL)
		return;
	p->probe.orq = nta_outgoing_tcreate(p->probe.leg, on_probe_answer,
		(nta_outgoing_magic_t *)p,
		URL_STRING_MAKE(
			stack_next_hop(sbc->stack, &target, hop, sizeof hop)),
		SIP_METHOD_OPTIONS, URL_STRING_MAKE(url),
		TPTAG_IDENT(target.listener->ident),
		SIPTAG_CONTACT_STR(contact), SIPTAG_ALLOW_STR(STACK_ALLOW),
		SIPTAG_ACCEPT_STR("application/sdp"), TAG_END());
	if (p->probe.orq == NULL)
		trunk_request_drop(&p->probe);
}

static void probe_all(struct trunk_state *s, const struct trunk *t)
{
	s->next_probe_us =
		clock_now_us() + t->row->options_interval_s * CLOCK_US_PER_S;
	for (size_t i = 0; i < s->n_places; i++)
		probe(s->places[i], t);
}

static void forget_probes(struct trunk_state *s)
{
	s->misses = 0;
	for (size_t i = 0; i < s->n_places; i++) {
		s->places[i]->misses = 0;
		s->places[i]->down = false;
	}
}

/* --- once a second --- */

/* Rows of trunks that are gone, and have no call left. */
static void forget_gone(struct trunks *trunks)
{
	struct table_node *node, *next;
	size_t bucket = 0;

	node = table_next(&trunks->table, &bucket, NULL);
	for (; node != NULL; node = next) {
		struct trunk_state *s =
			TABLE_ENTRY(node, struct trunk_state, node);

		next = table_next(&trunks->table, &bucket, node);
		if (settings_trunk(trunks->sbc->settings, s->id) != NULL)
			continue;
		trunk_where_drop(s);
		if (!trunk_register_leave(s) && s->n_calls == 0 &&
			s->n_surrogates == 0)
			state_free(s);
	}
}

static void on_tick(void *arg)
{
	struct trunks *trunks = arg;
	const struct settings *set = trunks->sbc->settings;
	uint64_t now = clock_now_us();
	bool is_new;

	loop_timer_set(trunks->sbc->daemon.loop, trunks->tick, CLOCK_US_PER_S);
	if (set == NULL)
		return;
	is_new = set->version != trunks->version;
	if (is_new) {
		trunks->version = set->version;
		if (trunks->sbc->bindings != NULL)
			bindings_tell_all(trunks->sbc->bindings);
	}
	if (is_new || trunks->sweeps) {
		trunks->sweeps = false;
		forget_gone(trunks);
	}
	for (size_t i = 0; i < set->n_trunks; i++) {
		const struct trunk *t = &set->trunks[i];
		struct trunk_state *s = trunk_state_make(trunks, t->row->id);

		if (s == NULL)
			continue;
		if (is_new)
			s->next_where_us = 0;
		trunk_where_tick(s, t, now);
		if (!t->row->enabled || t->row->options_interval_s == 0) {
			forget_probes(s);
			trunk_judge(s, "not probed");
		} else if (now >= s->next_probe_us && s->n_places != 0) {
			probe_all(s, t);
		}
		trunk_register_tick(s, t);
		trunk_save(s);
	}
}

int trunks_new(struct sbc *sbc, struct trunks **trunks_out)
{
	struct trunks *trunks = calloc(1, sizeof *trunks);

	if (trunks == NULL)
		return ERR_NOMEM;
	trunks->sbc = sbc;
	TAILQ_INIT(&trunks->queries);
	TAILQ_INIT(&trunks->named);
	if (table_init(&trunks->table, TRUNKS_MAX) != 0) {
		free(trunks);
		return ERR_NOMEM;
	}
	if (loop_timer_new(sbc->daemon.loop, on_tick, trunks, &trunks->tick) !=
			0 ||
		loop_timer_new(sbc->daemon.loop, trunk_auth_on_deadline, trunks,
			&trunks->deadline) != 0) {
		loop_timer_free(sbc->daemon.loop, &trunks->tick);
		table_done(&trunks->table);
		free(trunks);
		return ERR_NOMEM;
	}
	if (surrogates_new(trunks, &trunks->surrogates) != 0) {
		loop_timer_free(sbc->daemon.loop, &trunks->tick);
		loop_timer_free(sbc->daemon.loop, &trunks->deadline);
		table_done(&trunks->table);
		free(trunks);
		return ERR_NOMEM;
	}
	loop_timer_set(sbc->daemon.loop, trunks->tick, CLOCK_US_PER_S);
	*trunks_out = trunks;
	return 0;
}

struct surrogates *trunks_surrogates(struct trunks *trunks)
{
	return trunks->surrogates;
}

void trunks_wake(struct trunks *trunks)
{
	if (trunks != NULL)
		loop_timer_set(trunks->sbc->daemon.loop, trunks->tick, 0);
}

void trunks_free(struct trunks **trunksp)
{
	struct trunks *trunks = *trunksp;
	struct table_node *node, *next;
	size_t bucket = 0;

	if (trunks == NULL)
		return;
	*trunksp = NULL;
	surrogates_free(&trunks->surrogates);
	node = table_next(&trunks->table, &bucket, NULL);
	for (; node != NULL; node = next) {
		next = table_next(&trunks->table, &bucket, node);
		state_free(TABLE_ENTRY(node, struct trunk_state, node));
	}
	trunk_auth_drop_all(trunks);
	loop_timer_free(trunks->sbc->daemon.loop, &trunks->tick);
	loop_timer_free(trunks->sbc->daemon.loop, &trunks->deadline);
	table_done(&trunks->table);
	free(trunks);
}

/* --- for calls --- */

bool trunk_in_service(struct trunks *trunks, uint32_t id)
{
	const struct trunk_state *s = trunk_state_find(trunks, id);

	/* Who is not registered is not known there. */
	return s == NULL || (!s->down && s->reg.state != REGISTRATION_FAILED);
}

bool trunk_avoids(struct trunks *trunks, uint32_t id, const struct addr *addr)
{
	const struct trunk_state *s = trunk_state_find(trunks, id);

	for (size_t i = 0; s != NULL && !s->down && i < s->n_places; i++) {
		if (addr_equal(&s->places[i]->addr, addr))
			return s->places[i]->down;
	}
	return false;
}

uint32_t trunk_calls(struct trunks *trunks, uint32_t id)
{
	const struct trunk_state *s = trunk_state_find(trunks, id);

	return s != NULL ? s->n_calls : 0;
}

enum reason trunk_take(
	struct trunks *trunks, const struct trunk *t, bool emergency)
{
	struct trunk_state *s = trunk_state_make(trunks, t->row->id);
	uint32_t rate = t->row->max_calls_per_s;
	uint64_t now = clock_now_us();

	if (s == NULL)
		return REASON_CALL_INTERNAL;
	if (rate != s->rate.rate && rate != 0)
		token_init(&s->rate, rate, rate, now);
	s->rate.rate = rate;
	if (!emergency && t->row->max_calls != 0 &&
		s->n_calls >= t->row->max_calls)
		return REASON_LIMIT_TRUNK_CALLS;
	if (rate != 0 && !token_take(&s->rate, 1, now) && !emergency)
		return REASON_LIMIT_TRUNK_RATE;
	s->n_calls++;
	return REASON_ROUTE_OK;
}

void trunk_release(struct trunks *trunks, const struct trunk *t)
{
	struct trunk_state *s = trunk_state_find(trunks, t->row->id);

	if (s != NULL && s->n_calls != 0)
		s->n_calls--;
}

void trunk_note_silence(struct trunks *trunks, const struct trunk *t)
{
	struct trunk_state *s =
		t != NULL ? trunk_state_find(trunks, t->row->id) : NULL;

	if (s != NULL)
		s->next_probe_us = 0;
}
