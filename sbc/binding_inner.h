/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the bindings share. */
#ifndef SBC_BINDING_INNER_H
#define SBC_BINDING_INNER_H

#include <stddef.h>
#include <sys/queue.h>

#include "common/table.h"
#include "sbc/binding.h"
#include "sbc/sbc.h"

/* Of one account, whatever SQL says: they are walked and sent as one. */
#define BINDING_CONTACTS_MAX 32

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

static inline struct item *binding_item_of(struct binding *binding)
{
	return (struct item *)(void *)binding; /* pub is its first member */
}
_Static_assert(
	offsetof(struct item, pub) == 0, "binding_item_of() relies on it");

/* binding.c */
struct owner *binding_owner_find(const struct bindings *b, uint64_t id);
/** Made if there is none; NULL without memory. */
struct owner *binding_owner_get(struct bindings *b, uint64_t id);
/** Frees one without contacts and without news for authd. */
void binding_owner_release(struct bindings *b, struct owner *o);
/** The same instance and reg-id (RFC 5626), or the same URI; or NULL. */
struct item *binding_item_find(const struct owner *o, const Gh__Binding *row);
void binding_item_remove(struct bindings *b, struct item *i);
/** RFC 3261 10.3: of one Call-ID only a higher number counts. */
bool binding_is_newer(const struct item *i, const char *call_id, uint32_t cseq);
/** bindings_put() with the contact's record, or NULL. */
GH_MUST_CHECK int binding_put_item(struct bindings *b, struct account *account,
	const Gh__Binding *row, unsigned max_contacts,
	const struct save_slot *slot);

/* binding_sync.c */
/** The account's contacts have changed: all who follow them hear it. */
void binding_mark(struct bindings *b, struct owner *o);
void binding_item_save(struct bindings *b, struct item *i);
/** Timer of b: tells authd. */
void binding_on_publish(void *arg);

#endif
