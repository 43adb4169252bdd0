/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All subscriptions of this process: how many an account and all may have,
 * which PBX serves them, and their end: one that is over is freed by the reaper
 * at a later turn of the loop.
 *
 * Decides: limits, and the PBX. What a subscription does is in event.c.
 */
#include "config.h"

#include "sbc/event_inner.h"

#include <stdlib.h>
#include <string.h>

#include "common/secret.h"
#include "common/stat.h"
#include "sbc/call_inner.h"
#include "sbc/leg_sleep.h"
#include "sbc/route.h"
#include "sbc/sofia_home.h"
#include "sbc/trunk.h"

#define OWNERS_MAX 1000000u

static void on_reap(void *arg);
static bool find_dialog(void *ctx, const char *call_id, const char *tag,
	const char *other_tag, struct event_dialog *out);

int events_new(struct sbc *sbc, struct events **events_out)
{
	struct events *events = calloc(1, sizeof *events);

	if (events == NULL)
		return ERR_NOMEM;
	events->sbc = sbc;
	TAILQ_INIT(&events->all);
	TAILQ_INIT(&events->dead);
	secret_random_bytes(events->ids.key, sizeof events->ids.key);
	events->ids.find = find_dialog;
	events->ids.ctx = sbc;
	if (table_init(&events->owners, OWNERS_MAX) != 0) {
		free(events);
		return ERR_NOMEM;
	}
	if (loop_timer_new(
		    sbc->daemon.loop, on_reap, events, &events->reaper) != 0) {
		table_done(&events->owners);
		free(events);
		return ERR_NOMEM;
	}
	*events_out = events;
	return 0;
}

static void sub_free(struct sub *s)
{
	target_walk_end(&s->walk);
	for (size_t i = 0; i < SUB_NOTES_MAX; i++) {
		if (s->notes[i].irq != NULL)
			nta_incoming_destroy(s->notes[i].irq);
	}
	if (s->asked != NULL)
		nta_incoming_destroy(s->asked);
	leg_free(&s->phone);
	leg_free(&s->pbx);
	leg_free(&s->spent);
	account_unref(&s->account);
	settings_unref(&s->settings);
	loop_timer_free(s->sbc->daemon.loop, &s->timer);
	su_home_unref(s->home);
}

static void on_reap(void *arg)
{
	struct events *events = arg;
	struct sub *s;

	while ((s = TAILQ_FIRST(&events->dead)) != NULL) {
		TAILQ_REMOVE(&events->dead, s, link);
		sub_free(s);
	}
}

/* --- who has how many --- */

static struct sub_owner *owner_find(
	const struct events *events, uint64_t account)
{
	struct table_node *node =
		table_find(&events->owners, &account, sizeof account);

	return node != NULL ? TABLE_ENTRY(node, struct sub_owner, node) : NULL;
}

static struct sub_owner *owner_make(struct events *events, uint64_t account)
{
	struct sub_owner *o = owner_find(events, account);

	if (o != NULL)
		return o;
	o = calloc(1, sizeof *o);
	if (o == NULL)
		return NULL;
	o->account = account;
	TAILQ_INIT(&o->subs);
	if (table_add(&events->owners, &o->node, &o->account,
		    sizeof o->account) != 0) {
		free(o);
		return NULL;
	}
	return o;
}

enum reason events_room(const struct events *events, uint64_t account)
{
	const struct settings *s = events->sbc->settings;
	const struct sub_owner *o = owner_find(events, account);

	if (events->n >=
		settings_number(s, "max_subscriptions", 20000, 0, 1000000))
		return REASON_EVENT_FULL;
	if (o != NULL &&
		o->n >= settings_number(s, "max_subscriptions_per_account", 200,
				1, 10000))
		return REASON_EVENT_TOO_MANY;
	return REASON_EVENT_OK;
}

static bool is_alike(const struct sub *a, const struct sub *b)
{
	return a->package == b->package && a->state != SUB_LAST &&
	       strcmp(a->resource, b->resource) == 0 &&
	       strcmp(a->event_id, b->event_id) == 0 &&
	       a->phone->c.peer.flow == b->phone->c.peer.flow &&
	       addr_equal(&a->phone->c.peer.addr, &b->phone->c.peer.addr);
}

/* A phone that starts again has forgotten its old ones, and says nothing. */
struct sub *events_alike(const struct sub *s)
{
	struct sub *oldest = NULL, *o;
	unsigned n = 0;

	TAILQ_FOREACH (o, &s->owner->subs, of_owner) {
		if (o == s || o->phone == NULL || !is_alike(o, s))
			continue;
		if (n++ == 0)
			oldest = o;
	}
	return n >= SUB_IDENTICAL_MAX ? oldest : NULL;
}

/* --- making, ending --- */

struct sub *sub_make(struct events *events, struct account *account,
	const struct event_package *package)
{
	struct sub *s = home_new_lasting(sizeof *s);

	if (s == NULL)
		return NULL;
	s->events = events;
	s->sbc = events->sbc;
	s->package = package;
	s->owner = owner_make(events, account->row->id);
	if (s->owner == NULL || loop_timer_new(s->sbc->daemon.loop,
					sub_on_timer, s, &s->timer) != 0) {
		if (s->owner != NULL && s->owner->n == 0) {
			table_remove(&events->owners, &s->owner->node);
			free(s->owner);
		}
		su_home_unref(s->home);
		return NULL;
	}
	s->account = account;
	s->settings = settings_ref(s->sbc->settings);
	s->wall_began_us = clock_wall_us();
	ident_make_call(s->id);
	TAILQ_INSERT_TAIL(&events->all, s, link);
	TAILQ_INSERT_TAIL(&s->owner->subs, s, of_owner);
	s->owner->n++;
	events->n++;
	stat_set(STAT_SUBSCRIPTIONS, events->n);
	return s;
}

void sub_bury(struct sub *s)
{
	struct events *events = s->events;
	struct sub_owner *o = s->owner;

	if (o == NULL)
		return;
	s->owner = NULL;
	loop_timer_stop(s->sbc->daemon.loop, s->timer);
	target_walk_end(&s->walk);
	save_drop(s->sbc->saves, SAVE_SUBSCRIPTION, &s->saved);
	TAILQ_REMOVE(&o->subs, s, of_owner);
	TAILQ_REMOVE(&events->all, s, link);
	TAILQ_INSERT_TAIL(&events->dead, s, link);
	events->n--;
	stat_set(STAT_SUBSCRIPTIONS, events->n);
	if (--o->n == 0) {
		table_remove(&events->owners, &o->node);
		free(o);
	}
	loop_timer_set(s->sbc->daemon.loop, events->reaper, 0);
}

void events_free(struct events **ref)
{
	struct events *events = *ref;
	struct sub *s;

	if (events == NULL)
		return;
	*ref = NULL;
	while ((s = TAILQ_FIRST(&events->all)) != NULL) {
		/* Its record is the next process's, unless the files are
		 * wiped as a whole. */
		s->saved = (struct save_slot){0};
		sub_drop_notes(s, 0);
		sub_bury(s);
	}
	on_reap(events);
	loop_timer_free(events->sbc->daemon.loop, &events->reaper);
	table_done(&events->owners);
	secret_wipe(events->ids.key, sizeof events->ids.key);
	free(events);
}

void events_end_all(struct events *events)
{
	const struct sub_input in = {
		.event = SUB_EV_STOP, .why = REASON_EVENT_SHUTDOWN};
	struct sub *s, *next;

	if (events == NULL)
		return;
	for (s = TAILQ_FIRST(&events->all); s != NULL; s = next) {
		next = TAILQ_NEXT(s, link);
		sub_event(s, &in);
	}
}

/* --- looking --- */

size_t events_count(const struct events *events)
{
	return events->n;
}

void events_walk(struct events *events,
	void (*fn)(void *ctx, const struct event_entry *entry), void *ctx)
{
	uint64_t now = clock_now_us(), wall = clock_wall_us();
	const struct sub *s;

	TAILQ_FOREACH (s, &events->all, link) {
		struct event_entry e = {
			.id = s->id,
			.state = sub_state_name(s->state),
			.package = s->package->name,
			.resource = s->resource,
			.account = s->account->row,
			.trunk = s->trunk != NULL ? s->trunk->row->name : NULL,
			.peer = &s->phone->c.peer.addr,
			.wall_began_us = s->wall_began_us,
			.wall_expires_us = s->expires_us > now
						   ? wall + s->expires_us - now
						   : 0,
			.n_notified = s->n_notified,
		};

		fn(ctx, &e);
	}
}

/* --- which PBX --- */

static const struct trunk *pbx_of(const struct settings *settings, uint32_t id)
{
	const struct trunk *t = id != 0 ? settings_trunk(settings, id) : NULL;

	return t != NULL && t->row->enabled &&
			       t->realm->row->zone == GH__ZONE__ZONE_INSIDE
		       ? t
		       : NULL;
}

static bool in_service(void *ctx, uint32_t trunk)
{
	return trunk_in_service(ctx, trunk);
}

/* A row that leads this number to a PBX. */
static const struct trunk *pbx_by_route(struct sbc *sbc,
	const struct settings *settings, const Gh__Account *account,
	const char *resource)
{
	struct route_facts facts = {
		.from = SIDE_PHONE,
		.from_account = account,
		.called = resource,
		.caller = account->extension,
		.trunk_in_service = in_service,
		.ctx = sbc->trunks,
	};
	struct route_decision *d = calloc(1, sizeof *d);
	const struct trunk *found = NULL;

	if (d == NULL)
		return NULL;
	route_decide(settings, &facts, d);
	for (size_t i = 0;
		d->why == REASON_ROUTE_OK && found == NULL && i < d->n_targets;
		i++) {
		if (!d->targets[i].is_account)
			found = pbx_of(settings, d->targets[i].trunk->row->id);
	}
	free(d);
	return found;
}

const struct trunk *events_pbx(struct sbc *sbc, const struct settings *settings,
	const Gh__Account *account, const struct realm *realm,
	const char *resource)
{
	const struct trunk *t = NULL, *only = NULL;

	if (account->surrogate)
		t = pbx_of(settings, account->surrogate_trunk);
	if (t == NULL)
		t = pbx_of(settings, realm->row->event_trunk);
	if (t == NULL)
		t = pbx_by_route(sbc, settings, account, resource);
	if (t != NULL)
		return t;
	/* Of several nobody could say which. */
	for (size_t i = 0; i < settings->n_trunks; i++) {
		t = pbx_of(settings, settings->trunks[i].row->id);
		if (t != NULL && only != NULL)
			return NULL;
		if (t != NULL)
			only = t;
	}
	return only;
}

const char *event_domain(
	const struct realm *realm, const struct listener *l, su_home_t *home)
{
	const char *host =
		hdr_host(realm->row->n_domains != 0 ? realm->row->domains[0]
						    : l->advertised_host,
			home);

	return host != NULL ? host : "anonymous.invalid";
}

/* --- dialogs that run through us --- */

/* The PBX says which of its tags is whose in its own way: both are tried. */
static bool find_dialog(void *ctx, const char *call_id, const char *tag,
	const char *other_tag, struct event_dialog *out)
{
	su_home_t home[1] = {SU_HOME_INIT(home)};
	const struct party *p, *other;
	struct sbc *sbc = ctx;
	sip_call_id_t *i;
	struct leg *leg = NULL;

	su_home_init(home);
	i = sip_call_id_make(home, call_id);
	if (i != NULL)
		leg = leg_by_dialog(sbc, i, other_tag, tag);
	if (i != NULL && leg == NULL)
		leg = leg_by_dialog(sbc, i, tag, other_tag);
	su_home_deinit(home);
	if (leg == NULL || leg->c.on_event != call_leg_event ||
		leg->c.kind != SIDE_PBX)
		return false;
	p = leg->c.ctx;
	other = p == &p->call->caller ? p->call->called : &p->call->caller;
	if (other == NULL || other->kind != SIDE_PHONE || other->leg == NULL)
		return false;
	leg_wake(other->leg);
	if (other->leg->dialog == NULL)
		return false;
	out->call_id = other->leg->call_id;
	out->local_tag = nta_leg_get_rtag(other->leg->dialog);
	out->remote_tag = other->leg->local_tag;
	return out->local_tag != NULL;
}
