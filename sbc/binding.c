/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Accounts own their contacts; a second index finds the account of a source
 * address, which is what makes a datagram a registered phone's. Contacts of
 * one account are few, so they are a list; accounts and sources are hashed and
 * capped.
 *
 * authd hears the whole set of an account after each change (bindings_publish):
 * marked accounts are sent in portions, so that a thousand phones that come
 * back at once do not fill the queue to authd.
 *
 * RFC 3261 10.3 (order by Call-ID and CSeq), RFC 5626 (instance, reg-id).
 */
#include "sbc/binding.h"

#include <sofia-sip/url.h>

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/stat.h"
#include "common/table.h"
#include "sbc/sbc.h"

#define BINDINGS_MAX    100000
#define PUBLISH_PORTION 256
#define PUBLISH_US      (20 * CLOCK_US_PER_MS)
/* Between two times of telling authd: a message that wakes it for one account
 * costs both more than ten accounts in a row. */
#define GATHER_US       (50 * CLOCK_US_PER_MS)
/* Of one account, whatever SQL says: they are walked and sent as one. */
#define CONTACTS_MAX    32
#define KEEPALIVE_S     25

struct source;

/* A contact with what only this file knows. pub.next leads to the next item. */
struct item {
	struct binding pub;
	struct owner *owner;
	struct source *at;
	TAILQ_ENTRY(item) next_at;
	struct save_slot saved;
	struct loop_timer *timer;
	struct loop_timer *keepalive; /* NULL: not behind a NAT */
};

/* An account with contacts, or with news for authd. */
struct owner {
	struct table_node node;
	struct bindings *all;
	uint64_t id;
	struct binding *first; /* newest first; each is an item's pub */
	unsigned n_items;
	bool dirty;
	TAILQ_ENTRY(owner) next_dirty;
	struct account_query *query; /* its facts have changed */
};

/* An address and port that contacts came from. */
struct source {
	struct table_node node;
	struct addr addr;
	TAILQ_HEAD(, item) items;
};

struct bindings {
	struct sbc *sbc;
	struct table owners;
	struct table sources;
	size_t n_items;
	TAILQ_HEAD(, owner) dirty;
	struct loop_timer *publish_timer;
	uint64_t next_publish_us; /* not before */
	bool saved_seen;          /* authd has told what it knew */
	bindings_change_fn on_change;
	void *on_change_ctx;
};

static struct item *item_of(struct binding *binding)
{
	return (struct item *)(void *)binding; /* pub is its first member */
}
_Static_assert(offsetof(struct item, pub) == 0, "item_of() relies on it");

static void on_expired(void *arg);
static void on_keepalive(void *arg);

/* ---------------------------------------------------------------- indexes */

static struct owner *owner_find(const struct bindings *b, uint64_t id)
{
	struct table_node *n = table_find(&b->owners, &id, sizeof(id));

	return n ? TABLE_ENTRY(n, struct owner, node) : NULL;
}

static struct owner *owner_get(struct bindings *b, uint64_t id)
{
	struct owner *o = owner_find(b, id);

	if (o)
		return o;
	o = calloc(1, sizeof(*o));
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

static void owner_release(struct bindings *b, struct owner *o)
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
		s = calloc(1, sizeof(*s));
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
	size_t len = gh__binding__get_packed_size(row);
	uint8_t *bytes = malloc(len ? len : 1);
	Gh__Binding *copy = NULL;

	if (bytes && gh__binding__pack(row, bytes) == len)
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

static void item_remove(struct bindings *b, struct item *i)
{
	save_drop(b->sbc->saves, SAVE_BINDING, &i->saved);
	item_unlink(b, i);
	item_free(b, i);
}

static void item_save(struct bindings *b, struct item *i)
{
	Gh__SavedBinding saved = GH__SAVED_BINDING__INIT;

	saved.binding = i->pub.row;
	saved.account = (Gh__Account *)(uintptr_t)i->pub.account->row;
	save_put(b->sbc->saves, SAVE_BINDING, &i->saved, &saved.base);
}

static struct item *item_new(struct bindings *b, struct owner *o,
	struct account *account, const Gh__Binding *row)
{
	struct item *i = calloc(1, sizeof(*i));
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

static struct item *item_find(const struct owner *o, const Gh__Binding *row)
{
	struct binding *m;

	for (m = o->first; m; m = m->next)
		if (same_instance(m->row, row))
			return item_of(m);
	for (m = o->first; m; m = m->next)
		if (same_uri(m->row->contact, row->contact))
			return item_of(m);
	return NULL;
}

/* A request of the same Call-ID must be newer. */
static bool is_newer(const struct item *i, const char *call_id, uint32_t cseq)
{
	return strcmp(i->pub.row->call_id, call_id) != 0 ||
	       cseq > i->pub.row->cseq;
}

/* ---------------------------------------------------------------- publish */

static void send_update(struct bindings *b, struct owner *o)
{
	Gh__BindingsUpdate update = GH__BINDINGS_UPDATE__INIT;
	Gh__Binding *rows[CONTACTS_MAX];
	int err;

	for (struct binding *m = o->first;
		m && update.n_bindings < CONTACTS_MAX; m = m->next)
		rows[update.n_bindings++] = m->row;
	update.account = o->id;
	update.bindings = rows;
	IPC_MSG(msg, BINDINGS_UPDATE, bindings_update, &update);
	err = authd_send(b->sbc->authd, &msg);
	if (err != 0) /* stays marked */
		return;
	o->dirty = false;
	TAILQ_REMOVE(&b->dirty, o, next_dirty);
	owner_release(b, o);
}

static void on_publish(void *arg)
{
	struct bindings *b = arg;

	b->next_publish_us = clock_now_us() + GATHER_US;
	for (unsigned n = 0; n < PUBLISH_PORTION && !TAILQ_EMPTY(&b->dirty) &&
			     authd_is_up(b->sbc->authd);
		n++) {
		struct owner *o = TAILQ_FIRST(&b->dirty);

		send_update(b, o);
		if (TAILQ_FIRST(&b->dirty) == o)
			break; /* the queue is full: later */
	}
	if (!TAILQ_EMPTY(&b->dirty) && authd_is_up(b->sbc->authd))
		loop_timer_set(
			b->sbc->daemon.loop, b->publish_timer, PUBLISH_US);
}

static void mark(struct bindings *b, struct owner *o)
{
	uint64_t now = clock_now_us();

	if (b->on_change)
		b->on_change(b->on_change_ctx, o->id,
			o->first ? o->first->account : NULL);
	if (o->dirty)
		return;
	o->dirty = true;
	TAILQ_INSERT_TAIL(&b->dirty, o, next_dirty);
	if (TAILQ_FIRST(&b->dirty) == o)
		loop_timer_set(b->sbc->daemon.loop, b->publish_timer,
			now < b->next_publish_us ? b->next_publish_us - now
						 : 0);
}

void bindings_publish(struct bindings *b, uint64_t account)
{
	struct owner *o = owner_get(b, account);

	if (o)
		mark(b, o);
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
	item_remove(o->all, i);
	mark(o->all, o);
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
	const struct owner *o = owner_find(b, account);
	size_t n_after = o ? o->n_items : 0;

	for (size_t k = 0; k < n_wants; k++) {
		const Gh__Binding *row = wants[k].row;
		struct item *i = o ? item_find(o, row) : NULL;

		if (i && !is_newer(i, row->call_id, row->cseq))
			return ERR_STATE;
		if (i && wants[k].remove && n_after > 0)
			n_after--;
		else if (!i && !wants[k].remove)
			n_after++;
	}
	if (max_contacts > CONTACTS_MAX)
		max_contacts = CONTACTS_MAX;
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
static int put(struct bindings *b, struct account *account,
	const Gh__Binding *row, unsigned max_contacts,
	const struct save_slot *slot)
{
	struct owner *o = owner_get(b, account->row->id);
	struct item *old, *i;
	int err = ERR_NOMEM;

	if (!o)
		return ERR_NOMEM;
	old = item_find(o, row);
	if (old && !is_newer(old, row->call_id, row->cseq)) {
		err = ERR_STATE;
		goto failed;
	}
	if (max_contacts > CONTACTS_MAX)
		max_contacts = CONTACTS_MAX;
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
		item_remove(b, old);
	}
	if (slot)
		i->saved = *slot;
	item_link(b, i);
	item_save(b, i);
	return 0;
failed:
	owner_release(b, o);
	return err;
}

int bindings_put(struct bindings *b, struct account *account,
	const Gh__Binding *row, unsigned max_contacts)
{
	return put(b, account, row, max_contacts, NULL);
}

int bindings_remove(struct bindings *b, uint64_t account, const char *contact,
	const char *call_id, uint32_t cseq)
{
	struct owner *o = owner_find(b, account);

	for (struct binding *m = o ? o->first : NULL; m; m = m->next) {
		if (!same_uri(m->row->contact, contact))
			continue;
		if (!is_newer(item_of(m), call_id, cseq))
			return ERR_STATE;
		item_remove(b, item_of(m));
		mark(b, o);
		return 0;
	}
	return ERR_NOT_FOUND;
}

int bindings_remove_all(struct bindings *b, uint64_t account,
	const char *call_id, uint32_t cseq)
{
	struct owner *o = owner_find(b, account);

	if (!o)
		return 0;
	for (struct binding *m = o->first; m; m = m->next)
		if (!is_newer(item_of(m), call_id, cseq))
			return ERR_STATE;
	while (o->first)
		item_remove(b, item_of(o->first));
	mark(b, o);
	return 0;
}

/* ---------------------------------------------------------------- queries */

const struct binding *bindings_of(struct bindings *b, uint64_t account)
{
	const struct owner *o = owner_find(b, account);

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

/* -------------------------------------------------------- from authd's link */

static void restore(struct bindings *b, const Gh__Binding *row,
	const Gh__Account *account_row)
{
	struct owner *o = owner_find(b, row->account);
	struct item *known = o ? item_find(o, row) : NULL;
	struct account *account;
	int err;

	if (known && !is_newer(known, row->call_id, row->cseq))
		return; /* the state that outlived us has it */

	if (row->wall_expires_us <= clock_wall_us())
		return;
	if (account_new(account_row, &account) != 0)
		return;
	err = bindings_put(b, account, row, CONTACTS_MAX);
	if (err != 0)
		log_warning("binding_not_restored", LOG_ERR(err),
			LOG_STR("extension", account_row->extension));
	account_unref(&account);
}

/* What is here is newer than what authd remembers; what is not comes back. */
void bindings_on_saved(struct bindings *b, const Gh__BindingsSaved *saved)
{
	for (size_t k = 0; k < saved->n_accounts; k++)
		accounts_learn(b->sbc->accounts, saved->accounts[k]);
	for (size_t i = 0; i < saved->n_bindings && !b->saved_seen; i++) {
		const Gh__Binding *row = saved->bindings[i];

		for (size_t k = 0; k < saved->n_accounts; k++)
			if (saved->accounts[k]->id == row->account) {
				restore(b, row, saved->accounts[k]);
				break;
			}
	}
	if (!saved->done)
		return;
	if (!b->saved_seen)
		log_notice("bindings_restored", LOG_UINT("n", b->n_items));
	b->saved_seen = true;
}

/* authd may have been away through changes, or be a new one. */
void bindings_on_authd_up(struct bindings *b)
{
	size_t bucket = 0;
	struct table_node *n = NULL;

	while ((n = table_next(&b->owners, &bucket, n)))
		mark(b, TABLE_ENTRY(n, struct owner, node));
	if (!TAILQ_EMPTY(&b->dirty))
		loop_timer_set(
			b->sbc->daemon.loop, b->publish_timer, PUBLISH_US);
}

/* Its account was deleted: nobody may be reached by it. */
static void forget_contacts(struct owner *o)
{
	while (o->first) {
		struct item *i = item_of(o->first);

		reason_count(REASON_REGISTER_ACCOUNT_GONE);
		log_info("unregistered",
			LOG_STR("reason",
				reason_text(REASON_REGISTER_ACCOUNT_GONE)),
			LOG_STR("extension", i->pub.account->row->extension),
			LOG_ADDR("source", &i->pub.source));
		item_remove(o->all, i);
	}
	mark(o->all, o);
}

/* An account's facts, new: they go to all its contacts. */
static void on_facts(void *ctx, struct account *account, enum reason why)
{
	struct owner *o = ctx;

	o->query = NULL;
	if (!account && why != REASON_AUTH_AWAY && o->first) {
		forget_contacts(o);
		return;
	}
	for (struct binding *m = account ? o->first : NULL; m; m = m->next) {
		account_unref(&m->account);
		m->account = account_ref(account);
		item_save(o->all, item_of(m));
	}
	if (account && o->first)
		mark(o->all, o);
	account_unref(&account);
}

void bindings_on_accounts_changed(
	struct bindings *b, const Gh__AccountsChanged *msg)
{
	for (size_t i = 0; i < msg->n_accounts; i++) {
		struct owner *o = owner_find(b, msg->accounts[i]);
		char key[24];

		if (!o || !o->first || o->query)
			continue;
		snprintf(key, sizeof(key), "%llu",
			(unsigned long long)msg->accounts[i]);
		if (accounts_find(b->sbc->accounts,
			    GH__ACCOUNT_KEY__ACCOUNT_BY_ID, key, on_facts, o,
			    &o->query) != 0)
			log_warning("account_facts", LOG_STR("account", key));
	}
}

void bindings_tell_all(struct bindings *b)
{
	size_t bucket = 0;
	struct table_node *n = NULL;

	while (b->on_change && (n = table_next(&b->owners, &bucket, n))) {
		const struct owner *o = TABLE_ENTRY(n, struct owner, node);

		if (o->first)
			b->on_change(
				b->on_change_ctx, o->id, o->first->account);
	}
}

void bindings_on_change(struct bindings *b, bindings_change_fn fn, void *ctx)
{
	if (!b)
		return;
	b->on_change = fn;
	b->on_change_ctx = ctx;
}

/* ------------------------------------------------------------ over a restart
 */

int bindings_on_found(struct bindings *b, const Gh__SavedBinding *saved,
	const struct save_slot *slot)
{
	struct account *account;
	struct owner *o;
	struct item *known;
	int err;

	if (!saved->binding || !saved->account ||
		saved->account->id != saved->binding->account)
		return ERR_INVALID;
	if (saved->binding->wall_expires_us <= clock_wall_us()) {
		struct save_slot gone = *slot;

		save_drop(b->sbc->saves, SAVE_BINDING, &gone);
		return 0;
	}
	o = owner_find(b, saved->account->id);
	known = o ? item_find(o, saved->binding) : NULL;
	if (known && !is_newer(known, saved->binding->call_id,
			     saved->binding->cseq)) {
		/* authd was faster. */
		if (save_has(&known->saved))
			return ERR_EXISTS;
		known->saved = *slot;
		item_save(b, known);
		return 0;
	}
	err = account_new(saved->account, &account);
	if (err != 0)
		return err;
	err = put(b, account, saved->binding, CONTACTS_MAX, slot);
	account_unref(&account);
	return err;
}

void bindings_save_all(struct bindings *b)
{
	size_t bucket = 0;
	struct table_node *n = NULL;

	while ((n = table_next(&b->owners, &bucket, n)))
		for (struct binding *m =
				TABLE_ENTRY(n, struct owner, node)->first;
			m; m = m->next)
			if (!save_has(&item_of(m)->saved))
				item_save(b, item_of(m));
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
		err = loop_timer_new(
			sbc->daemon.loop, on_publish, b, &b->publish_timer);
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
			item_remove(b, item_of(o->first));
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
