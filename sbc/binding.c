/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Accounts own their contacts; a second index finds the account of a source
 * address, which is what makes a datagram a registered phone's. Contacts of
 * one account are few, so they are a list; accounts and sources are hashed and
 * capped.
 *
 * Decides: which contacts there are, and for how long. What authd hears and
 * tells of them, and what outlives a process, is in binding_sync.c.
 *
 * RFC 3261 10.3 (order by Call-ID and CSeq), RFC 5626 (instance, reg-id).
 */
#include "sbc/binding_inner.h"

#include <sofia-sip/url.h>

#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/heap.h"
#include "common/log.h"
#include "common/pack.h"
#include "common/stat.h"
#include "sbc/sbc.h"

#define BINDINGS_MAX 100000
#define KEEPALIVE_S  25

static void on_expired(void *arg);
static void on_keepalive(void *arg);

/* ---------------------------------------------------------------- indexes */

struct owner *binding_owner_find(const struct bindings *b, uint64_t id)
{
	struct table_node *n = table_find(&b->owners, &id, sizeof(id));

	return n ? TABLE_ENTRY(n, struct owner, node) : NULL;
}

struct owner *binding_owner_get(struct bindings *b, uint64_t id)
{
	struct owner *o = binding_owner_find(b, id);

	if (o)
		return o;
	o = heap_lasting(sizeof(*o));
	if (!o)
		return NULL;
	o->all = b;
	o->id = id;
	if (table_add(&b->owners, &o->node, &o->id, sizeof(o->id)) != 0) {
		free(o);
		return NULL;
	}
	return o;
}

void binding_owner_release(struct bindings *b, struct owner *o)
{
	if (o->first || o->dirty)
		return;
	account_query_cancel(&o->query);
	table_remove(&b->owners, &o->node);
	free(o);
}

static struct source *source_find(
	const struct bindings *b, const struct addr *addr)
{
	struct table_node *n = table_find(&b->sources, addr, sizeof(*addr));

	return n ? TABLE_ENTRY(n, struct source, node) : NULL;
}

static int source_join(struct bindings *b, struct item *i)
{
	struct source *s = source_find(b, &i->pub.source);

	if (!s) {
		s = heap_lasting(sizeof(*s));
		if (!s)
			return ERR_NOMEM;
		s->addr = i->pub.source;
		TAILQ_INIT(&s->items);
		if (table_add(&b->sources, &s->node, &s->addr,
			    sizeof(s->addr)) != 0) {
			free(s);
			return ERR_NOMEM;
		}
	}
	TAILQ_INSERT_HEAD(&s->items, i, next_at);
	i->at = s;
	return 0;
}

static void source_leave(struct bindings *b, struct item *i)
{
	struct source *s = i->at;

	if (!s)
		return;
	i->at = NULL;
	TAILQ_REMOVE(&s->items, i, next_at);
	if (!TAILQ_EMPTY(&s->items))
		return;
	table_remove(&b->sources, &s->node);
	free(s);
}

/* ------------------------------------------------------------------ items */

static Gh__Binding *row_copy(const Gh__Binding *row)
{
	size_t len;
	uint8_t *bytes = pack_new(&row->base, 0, &len);
	Gh__Binding *copy = NULL;

	if (bytes)
		copy = gh__binding__unpack(NULL, len, bytes);
	free(bytes);
	return copy;
}

static void item_free(struct bindings *b, struct item *i)
{
	source_leave(b, i);
	loop_timer_free(b->sbc->daemon.loop, &i->timer);
	loop_timer_free(b->sbc->daemon.loop, &i->keepalive);
	if (i->pub.row)
		gh__binding__free_unpacked(i->pub.row, NULL);
	account_unref(&i->pub.account);
	free(i);
}

/* Takes it out of its account's list. */
static void item_unlink(struct bindings *b, struct item *i)
{
	struct binding **at = &i->owner->first;

	while (*at && *at != &i->pub)
		at = &(*at)->next;
	if (*at)
		*at = i->pub.next;
	flow_known(b->sbc->flows, &i->pub.source, false);
	i->owner->n_items--;
	b->n_items--;
	stat_set(STAT_BINDINGS, b->n_items);
}

void binding_item_remove(struct bindings *b, struct item *i)
{
	save_drop(b->sbc->saves, SAVE_BINDING, &i->saved);
	item_unlink(b, i);
	item_free(b, i);
}

static struct item *item_new(struct bindings *b, struct owner *o,
	struct account *account, const Gh__Binding *row)
{
	struct item *i = heap_lasting(sizeof(*i));
	uint64_t wall = clock_wall_us();

	if (!i)
		return NULL;
	i->owner = o;
	i->pub.row = row_copy(row);
	i->pub.account = account_ref(account);
	if (!i->pub.row || addr_parse(row->source, &i->pub.source) != 0 ||
		addr_parse(row->local, &i->pub.local) != 0 ||
		loop_timer_new(b->sbc->daemon.loop, on_expired, i, &i->timer) !=
			0 ||
		(row->behind_nat && row->flow == 0 &&
			loop_timer_new(b->sbc->daemon.loop, on_keepalive, i,
				&i->keepalive) != 0) ||
		source_join(b, i) != 0) {
		item_free(b, i);
		return NULL;
	}
	i->pub.expires_us = clock_now_us();
	if (row->wall_expires_us > wall)
		i->pub.expires_us += row->wall_expires_us - wall;
	return i;
}

/* The account's own rhythm, or the one of the settings. */
static void set_keepalive(struct bindings *b, struct item *i)
{
	uint64_t seconds = i->pub.account->row->keepalive_s;

	if (!i->keepalive)
		return;
	if (seconds == 0)
		seconds = b->sbc->settings
				  ? settings_number(b->sbc->settings,
					    "keepalive_s", KEEPALIVE_S, 10, 300)
				  : KEEPALIVE_S;
	loop_timer_set(
		b->sbc->daemon.loop, i->keepalive, seconds * CLOCK_US_PER_S);
}

static void item_link(struct bindings *b, struct item *i)
{
	uint64_t now = clock_now_us();

	i->pub.next = i->owner->first;
	i->owner->first = &i->pub;
	i->owner->n_items++;
	b->n_items++;
	stat_set(STAT_BINDINGS, b->n_items);
	flow_known(b->sbc->flows, &i->pub.source, true);
	loop_timer_set(b->sbc->daemon.loop, i->timer,
		i->pub.expires_us > now ? i->pub.expires_us - now : 0);
	set_keepalive(b, i);
}

/* RFC 3261 19.1.4 */
static bool same_uri(const char *a, const char *b)
{
	bool same = strcmp(a, b) == 0;
	su_home_t home = {sizeof(home)};
	url_t *x, *y;

	if (same)
		return true;
	su_home_init(&home);
	x = url_make(&home, a);
	y = url_make(&home, b);
	same = x && y && url_cmp_all(x, y) == 0;
	su_home_deinit(&home);
	return same;
}

static bool same_instance(const Gh__Binding *a, const Gh__Binding *b)
{
	return a->instance[0] && strcmp(a->instance, b->instance) == 0 &&
	       a->reg_id == b->reg_id;
}

struct item *binding_item_find(const struct owner *o, const Gh__Binding *row)
{
	struct binding *m;

	for (m = o->first; m; m = m->next)
		if (same_instance(m->row, row))
			return binding_item_of(m);
	for (m = o->first; m; m = m->next)
		if (same_uri(m->row->contact, row->contact))
			return binding_item_of(m);
	return NULL;
}

/* A request of the same Call-ID must be newer. */
bool binding_is_newer(const struct item *i, const char *call_id, uint32_t cseq)
{
	return strcmp(i->pub.row->call_id, call_id) != 0 ||
	       cseq > i->pub.row->cseq;
}

/* ---------------------------------------------------------------- changes */

static void on_expired(void *arg)
{
	struct item *i = arg;
	struct owner *o = i->owner;

	reason_count(REASON_REGISTER_EXPIRED);
	log_info("unregistered",
		LOG_STR("reason", reason_text(REASON_REGISTER_EXPIRED)),
		LOG_STR("extension", i->pub.account->row->extension),
		LOG_ADDR("source", &i->pub.source));
	binding_item_remove(o->all, i);
	binding_mark(o->all, o);
}

static void on_keepalive(void *arg)
{
	struct item *i = arg;
	struct bindings *b = i->owner->all;

	stack_keepalive(b->sbc->stack, &i->pub.local, &i->pub.source);
	set_keepalive(b, i);
}

int bindings_check(const struct bindings *b, uint64_t account,
	const struct binding_want *wants, size_t n_wants, unsigned max_contacts)
{
	const struct owner *o = binding_owner_find(b, account);
	size_t n_after = o ? o->n_items : 0;

	for (size_t k = 0; k < n_wants; k++) {
		const Gh__Binding *row = wants[k].row;
		struct item *i = o ? binding_item_find(o, row) : NULL;

		if (i && !binding_is_newer(i, row->call_id, row->cseq))
			return ERR_STATE;
		if (i && wants[k].remove && n_after > 0)
			n_after--;
		else if (!i && !wants[k].remove)
			n_after++;
	}
	if (max_contacts > BINDING_CONTACTS_MAX)
		max_contacts = BINDING_CONTACTS_MAX;
	/* Who is over a lowered limit may still refresh and remove. */
	if (n_after > max_contacts && n_after > (o ? o->n_items : 0))
		return ERR_FULL;
	return 0;
}

static void log_replaced(const struct item *was, const struct item *now)
{
	if (addr_equal(&was->pub.source, &now->pub.source))
		return;
	reason_count(REASON_REGISTER_REPLACED);
	log_info("binding_replaced",
		LOG_STR("reason", reason_text(REASON_REGISTER_REPLACED)),
		LOG_STR("extension", now->pub.account->row->extension),
		LOG_ADDR("was", &was->pub.source),
		LOG_ADDR("source", &now->pub.source));
}

/* slot: its record, or NULL. */
int binding_put_item(struct bindings *b, struct account *account,
	const Gh__Binding *row, unsigned max_contacts,
	const struct save_slot *slot)
{
	struct owner *o = binding_owner_get(b, account->row->id);
	struct item *old, *i;
	int err = ERR_NOMEM;

	if (!o)
		return ERR_NOMEM;
	old = binding_item_find(o, row);
	if (old && !binding_is_newer(old, row->call_id, row->cseq)) {
		err = ERR_STATE;
		goto failed;
	}
	if (max_contacts > BINDING_CONTACTS_MAX)
		max_contacts = BINDING_CONTACTS_MAX;
	if (!old &&
		(o->n_items >= max_contacts || b->n_items >= BINDINGS_MAX)) {
		err = ERR_FULL;
		goto failed;
	}
	i = item_new(b, o, account, row);
	if (!i)
		goto failed;
	if (old) {
		log_replaced(old, i);
		/* The new one is written over it: no moment without either. */
		if (!slot) {
			i->saved = old->saved;
			memset(&old->saved, 0, sizeof(old->saved));
		}
	}
	if (slot)
		i->saved = *slot;
	/* In this order a host that stays is known all the time, and flowd
	 * hears nothing of a refresh. */
	item_link(b, i);
	if (old)
		binding_item_remove(b, old);
	binding_item_save(b, i);
	return 0;
failed:
	binding_owner_release(b, o);
	return err;
}

int bindings_put(struct bindings *b, struct account *account,
	const Gh__Binding *row, unsigned max_contacts)
{
	return binding_put_item(b, account, row, max_contacts, NULL);
}

int bindings_remove(struct bindings *b, uint64_t account, const char *contact,
	const char *call_id, uint32_t cseq)
{
	struct owner *o = binding_owner_find(b, account);

	for (struct binding *m = o ? o->first : NULL; m; m = m->next) {
		if (!same_uri(m->row->contact, contact))
			continue;
		if (!binding_is_newer(binding_item_of(m), call_id, cseq))
			return ERR_STATE;
		binding_item_remove(b, binding_item_of(m));
		binding_mark(b, o);
		return 0;
	}
	return ERR_NOT_FOUND;
}

int bindings_remove_all(struct bindings *b, uint64_t account,
	const char *call_id, uint32_t cseq)
{
	struct owner *o = binding_owner_find(b, account);

	if (!o)
		return 0;
	for (struct binding *m = o->first; m; m = m->next)
		if (!binding_is_newer(binding_item_of(m), call_id, cseq))
			return ERR_STATE;
	while (o->first)
		binding_item_remove(b, binding_item_of(o->first));
	binding_mark(b, o);
	return 0;
}

/* ---------------------------------------------------------------- queries */

const struct binding *bindings_of(struct bindings *b, uint64_t account)
{
	const struct owner *o = binding_owner_find(b, account);

	return o ? o->first : NULL;
}

uint64_t bindings_account_on(
	struct bindings *b, const struct addr *source, uint64_t flow)
{
	const struct source *s = source_find(b, source);
	const struct item *i;

	if (s)
		TAILQ_FOREACH (i, &s->items, next_at)
			if (i->pub.row->flow == flow)
				return i->owner->id;
	return 0;
}

uint64_t bindings_account_at(struct bindings *b, const struct addr *source)
{
	return bindings_account_on(b, source, 0);
}

size_t bindings_count(const struct bindings *b)
{
	return b->n_items;
}

void bindings_walk(struct bindings *b,
	void (*fn)(void *ctx, const struct binding *binding), void *ctx)
{
	size_t bucket = 0;
	struct table_node *n = NULL;

	while ((n = table_next(&b->owners, &bucket, n)))
		for (const struct binding *m =
				TABLE_ENTRY(n, struct owner, node)->first;
			m; m = m->next)
			fn(ctx, m);
}

/* ------------------------------------------------------------- life, death */

int bindings_new(struct sbc *sbc, struct bindings **out)
{
	struct bindings *b = calloc(1, sizeof(*b));
	int err;

	if (!b)
		return ERR_NOMEM;
	b->sbc = sbc;
	TAILQ_INIT(&b->dirty);
	err = table_init(&b->owners, BINDINGS_MAX);
	if (err == 0)
		err = table_init(&b->sources, BINDINGS_MAX);
	if (err == 0)
		err = loop_timer_new(sbc->daemon.loop, binding_on_publish, b,
			&b->publish_timer);
	if (err != 0) {
		bindings_free(&b);
		return err;
	}
	*out = b;
	return 0;
}

void bindings_free(struct bindings **ref)
{
	struct bindings *b = *ref;
	size_t bucket = 0;
	struct table_node *n;

	if (!b)
		return;
	*ref = NULL;
	n = b->owners.buckets ? table_next(&b->owners, &bucket, NULL) : NULL;
	while (n) {
		struct owner *o = TABLE_ENTRY(n, struct owner, node);

		n = table_next(&b->owners, &bucket, n);
		while (o->first)
			binding_item_remove(b, binding_item_of(o->first));
		table_remove(&b->owners, &o->node);
		free(o);
	}
	if (b->owners.buckets)
		table_done(&b->owners);
	if (b->sources.buckets)
		table_done(&b->sources);
	loop_timer_free(b->sbc->daemon.loop, &b->publish_timer);
	free(b);
}
