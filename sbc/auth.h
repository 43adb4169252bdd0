/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Digest for requests from phones: makes the challenge without state, checks
 * the nonce's freshness and source here, and lets authd judge the rest. The
 * account that comes back is the caller's identity; From is only display.
 */
#ifndef SBC_AUTH_H
#define SBC_AUTH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/ipc.pb-c.h"
#include "sbc/account.h"
#include "sbc/stack.h"
#include "sbc/text.h"

struct sbc;
struct auth;
struct auth_query;

/**
 * Runs once, later, when authd has judged.
 * @param verdict	AUTH_VERDICT_OK: account is a reference for the
 *receiver. CHALLENGE or STALE: answer with auth_challenge(). REFUSED: answer
 *reason_sip(why). UNAVAILABLE: 503 with Retry-After, or silence for REGISTER
 *over UDP.
 */
typedef void (*auth_fn)(void *ctx, Gh__AuthVerdict verdict, enum reason why,
	struct account *account);

GH_MUST_CHECK int auth_new(struct sbc *sbc, struct auth **auth_out);
void auth_free(struct auth **auth);

/**
 * Looks at the request's credentials without leaving state.
 * @param why_out	the reason that goes with the verdict.
 * @return OK where authd must judge (call auth_judge() next), CHALLENGE or
 *	STALE where a challenge has to be sent, REFUSED for broken syntax,
 *	UNAVAILABLE while authd is away.
 */
Gh__AuthVerdict auth_precheck(
	struct auth *auth, const struct inbound *in, enum reason *why_out);

/**
 * Lets authd judge the credentials of sip (they passed auth_precheck()).
 * Copies what it needs.
 * @param dialog_account	for AUTH_DIALOG; else 0.
 * @return 0, ERR_AWAY, ERR_FULL or ERR_NOMEM.
 */
GH_MUST_CHECK int auth_judge(struct auth *auth, const struct inbound *in,
	Gh__AuthPurpose purpose, uint64_t dialog_account, auth_fn fn, void *ctx,
	struct auth_query **query_out);
/** fn will not run. */
void auth_cancel(struct auth_query **query);

/**
 * Writes the WWW-Authenticate values (one per offer of the realm) for a 401.
 * @param values	at most AUTH_OFFERS_MAX texts allocated from home.
 * @return how many.
 */
#define AUTH_OFFERS_MAX 3
unsigned auth_challenge(struct auth *auth, const struct inbound *in, bool stale,
	su_home_t *home, const char *values[AUTH_OFFERS_MAX]);

/** Adds the realm's WWW-Authenticate lines for a source to an answer that is
 * written as text. @return how many; 0 without a nonce key. */
unsigned auth_add_challenges(const struct auth *auth, const struct realm *realm,
	const struct addr *source, struct writer *w);

/** Sends 401 with the challenge: stateless, on in->irq if that is set (which it
 * ends), or on irq, which stays the caller's. Without a nonce key 503, or
 * silence for REGISTER over UDP. Takes in's message unless irq is given. */
void auth_send_challenge(struct auth *auth, struct inbound *in,
	nta_incoming_t *irq, enum reason why);

/** Does this datagram carry a nonce that was made for its source? It then was
 * challenged before and may overtake first contacts. Cheap, no parsing. */
bool auth_proves(struct auth *auth, const struct addr *source,
	const struct addr *local, const uint8_t *bytes, size_t len);

/**
 * Runs once, later: auth_challenge() and auth_send_challenge() called from
 * within give the challenges that this user's account wants (the realm's, where
 * authd did not say).
 */
typedef void (*auth_offers_fn)(void *ctx);

/** Does the challenge depend on who asks? Then auth_offers() comes first. */
bool auth_wants_offers(const struct auth *auth, const struct inbound *in);
/** Asks authd which challenges the user that this request names gets. Ends as
 * a query of auth_judge() does. @return 0, or an error and fn never runs. */
GH_MUST_CHECK int auth_offers(struct auth *auth, const struct inbound *in,
	auth_offers_fn fn, void *ctx, struct auth_query **query_out);
/** The same for a user that is known: whose dialog it is. */
GH_MUST_CHECK int auth_offers_of(struct auth *auth, uint32_t realm,
	const char *user, auth_offers_fn fn, void *ctx,
	struct auth_query **query_out);

/* From authd's link (authd.c). */
void auth_on_offers(struct auth *auth, const Gh__OffersAnswer *answer);
void auth_on_nonce_keys(struct auth *auth, const Gh__NonceKeys *keys);
void auth_on_answer(struct auth *auth, const Gh__AuthAnswer *answer);
/** What is being judged waits for the next authd, until its deadline. */
void auth_on_authd_down(struct auth *auth);
void auth_on_authd_up(struct auth *auth);

#endif
