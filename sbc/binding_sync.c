/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who else knows the bindings: authd, which hears the whole set of an account
 * after each change (bindings_publish) and tells what it remembers and which
 * accounts SQL has changed; the records that outlive a process; and who follows
 * an account's contacts (surrogate.c).
 *
 * Marked accounts are sent in portions, so that a thousand phones that come
 * back at once do not fill the queue to authd.
 */
#include "sbc/binding_inner.h"

#include <stdio.h>

#include "common/clock.h"
#include "common/log.h"

#define PUBLISH_PORTION 256
#define PUBLISH_US      (20 * CLOCK_US_PER_MS)
/* Between two times of telling authd: a message that wakes it for one account
 * costs both more than ten accounts in a row. */
#define GATHER_US       (50 * CLOCK_US_PER_MS)

/* ---------------------------------------------------------------- publish */

static void send_update(struct bindings *b, struct owner *o)
{
	Gh__BindingsUpdate update = GH__BINDINGS_UPDATE__INIT;
	Gh__Binding *rows[BINDING_CONTACTS_MAX];
	int err;

	for (struct binding *m = o->first;
		m && update.n_bindings < BINDING_CONTACTS_MAX; m = m->next)
		rows[update.n_bindings++] = m->row;
	update.account = o->id;
	update.bindings = rows;
	IPC_MSG(msg, BINDINGS_UPDATE, bindings_update, &update);
	err = authd_send(b->sbc->authd, &msg);
	if (err != 0) /* stays marked */
		return;
	o->dirty = false;
	TAILQ_REMOVE(&b->dirty, o, next_dirty);
	binding_owner_release(b, o);
}

void binding_on_publish(void *arg)
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

void binding_mark(struct bindings *b, struct owner *o)
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
	struct owner *o = binding_owner_get(b, account);

	if (o)
		binding_mark(b, o);
}

void binding_item_save(struct bindings *b, struct item *i)
{
	Gh__SavedBinding saved = GH__SAVED_BINDING__INIT;

	saved.binding = i->pub.row;
	saved.account = (Gh__Account *)(uintptr_t)i->pub.account->row;
	save_put(b->sbc->saves, SAVE_BINDING, &i->saved, &saved.base);
}

/* -------------------------------------------------------- from authd's link */

static void restore(struct bindings *b, const Gh__Binding *row,
	const Gh__Account *account_row)
{
	struct owner *o = binding_owner_find(b, row->account);
	struct item *known = o ? binding_item_find(o, row) : NULL;
	struct account *account;
	int err;

	if (known && !binding_is_newer(known, row->call_id, row->cseq))
		return; /* the state that outlived us has it */

	if (row->wall_expires_us <= clock_wall_us())
		return;
	if (account_new(account_row, &account) != 0)
		return;
	err = bindings_put(b, account, row, BINDING_CONTACTS_MAX);
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
		binding_mark(b, TABLE_ENTRY(n, struct owner, node));
	if (!TAILQ_EMPTY(&b->dirty))
		loop_timer_set(
			b->sbc->daemon.loop, b->publish_timer, PUBLISH_US);
}

/* Its account was deleted: nobody may be reached by it. */
static void forget_contacts(struct owner *o)
{
	while (o->first) {
		struct item *i = binding_item_of(o->first);

		reason_count(REASON_REGISTER_ACCOUNT_GONE);
		log_info("unregistered",
			LOG_STR("reason",
				reason_text(REASON_REGISTER_ACCOUNT_GONE)),
			LOG_STR("extension", i->pub.account->row->extension),
			LOG_ADDR("source", &i->pub.source));
		binding_item_remove(o->all, i);
	}
	binding_mark(o->all, o);
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
		binding_item_save(o->all, binding_item_of(m));
	}
	if (account && o->first)
		binding_mark(o->all, o);
	account_unref(&account);
}

void bindings_on_accounts_changed(
	struct bindings *b, const Gh__AccountsChanged *msg)
{
	for (size_t i = 0; i < msg->n_accounts; i++) {
		struct owner *o = binding_owner_find(b, msg->accounts[i]);
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
	o = binding_owner_find(b, saved->account->id);
	known = o ? binding_item_find(o, saved->binding) : NULL;
	if (known && !binding_is_newer(known, saved->binding->call_id,
			     saved->binding->cseq)) {
		/* authd was faster. */
		if (save_has(&known->saved))
			return ERR_EXISTS;
		known->saved = *slot;
		binding_item_save(b, known);
		return 0;
	}
	err = account_new(saved->account, &account);
	if (err != 0)
		return err;
	err = binding_put_item(
		b, account, saved->binding, BINDING_CONTACTS_MAX, slot);
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
			if (!save_has(&binding_item_of(m)->saved))
				binding_item_save(b, binding_item_of(m));
}
