/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The registered contacts of accounts (RFC 3261 10.3, RFC 5626). This module
 * alone changes bindings; register.c decides, call.c asks. A change is told to
 * authd, which writes it to SQL and hands it back after a restart.
 */
#ifndef SBC_BINDING_H
#define SBC_BINDING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/addr.h"
#include "common/err.h"
#include "common/ipc.pb-c.h"
#include "sbc/account.h"
#include "sbc/save.h"

struct sbc;
struct bindings;

/** One contact; read only outside binding.c. */
struct binding {
	Gh__Binding *row;    /* as authd and the saved state know it */
	struct addr source;  /* parsed row->source: where requests go */
	struct addr local;   /* parsed row->local */
	uint64_t expires_us; /* monotonic */
	struct account *account;
	struct binding *next; /* newest first, within the account */
};

GH_MUST_CHECK int bindings_new(struct sbc *sbc, struct bindings **out);
void bindings_free(struct bindings **bindings);

/** First contact of an account that has not expired, or NULL; walk ->next.
 * Valid until control returns to the loop. */
const struct binding *bindings_of(struct bindings *b, uint64_t account);
/** Does a live binding of any account come from this address and port? Then
 * the source is a registered phone; its account's id, or 0. */
uint64_t bindings_account_at(struct bindings *b, const struct addr *source);
/** The same for a flow (0 = datagrams): a datagram with the address of a phone
 * that has a connection is not that phone's. */
uint64_t bindings_account_on(
	struct bindings *b, const struct addr *source, uint64_t flow);
size_t bindings_count(const struct bindings *b);

/** What one Contact of a REGISTER asks for. */
struct binding_want {
	const Gh__Binding *row; /* call_id, cseq, contact, instance, reg_id */
	bool remove;
};
/** Would all of these go through? Changes nothing: a REGISTER is done whole or
 * not at all (RFC 3261 10.3). @return as bindings_put(). */
GH_MUST_CHECK int bindings_check(const struct bindings *b, uint64_t account,
	const struct binding_want *wants, size_t n_wants,
	unsigned max_contacts);

/** Adds or refreshes one contact. Same instance and reg-id, or the same
 * contact URI, replace the older one. row is copied.
 * @return 0, ERR_NOMEM, ERR_FULL (max_contacts), ERR_STATE (older CSeq of the
 *	same Call-ID). */
GH_MUST_CHECK int bindings_put(struct bindings *b, struct account *account,
	const Gh__Binding *row, unsigned max_contacts);
/** Removes the contact with this URI. @return 0, ERR_NOT_FOUND, ERR_STATE. */
GH_MUST_CHECK int bindings_remove(struct bindings *b, uint64_t account,
	const char *contact, const char *call_id, uint32_t cseq);
/** Contact: *. @return 0, or ERR_STATE. */
GH_MUST_CHECK int bindings_remove_all(struct bindings *b, uint64_t account,
	const char *call_id, uint32_t cseq);
/** Tells authd the account's present bindings (after a run of changes). */
void bindings_publish(struct bindings *b, uint64_t account);

/** Who hears of every change of an account's contacts: the newest one's
 * account, or NULL when none is left. NULL = nobody. b may be NULL (tests). */
typedef void (*bindings_change_fn)(
	void *ctx, uint64_t id, const struct account *account);
void bindings_on_change(struct bindings *b, bindings_change_fn fn, void *ctx);
/** Tells that one of every account that has contacts: the settings are new. */
void bindings_tell_all(struct bindings *b);
/** authd's AccountsChanged: facts of registered accounts are asked for again.
 * Without names (a great change) they come with each next REGISTER. */
void bindings_on_accounts_changed(
	struct bindings *b, const Gh__AccountsChanged *msg);

/** Calls fn for every contact that has not expired, in no order; for displays.
 * fn must not change bindings. */
void bindings_walk(struct bindings *b,
	void (*fn)(void *ctx, const struct binding *binding), void *ctx);

/* From authd's link. */
void bindings_on_saved(struct bindings *b, const Gh__BindingsSaved *saved);
void bindings_on_authd_up(struct bindings *b);

/* From save.c: what an earlier process knew, newer than what authd remembers.
 */
GH_MUST_CHECK int bindings_on_found(struct bindings *b,
	const Gh__SavedBinding *saved, const struct save_slot *slot);
/** Writes the record of every contact that has none. */
void bindings_save_all(struct bindings *b);

#endif
