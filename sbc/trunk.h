/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What changes about a trunk while the settings stay: is it in service, how
 * many calls does it have, are we registered there. One row per trunk id; a
 * new snapshot keeps what it knows of the trunks that are still there.
 */
#ifndef SBC_TRUNK_H
#define SBC_TRUNK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <sofia-sip/sip.h>

#include "common/err.h"
#include "common/ipc.pb-c.h"
#include "common/reason.h"
#include "sbc/save.h"
#include "sbc/settings.h"

struct addr;
struct sbc;
struct surrogates;
struct trunks;

GH_MUST_CHECK int trunks_new(struct sbc *sbc, struct trunks **trunks_out);
void trunks_free(struct trunks **trunks);
/** Looks at every trunk at once: the sockets are open. NULL is safe. */
void trunks_wake(struct trunks *trunks);

/** The extensions that we register at PBXs. */
struct surrogates *trunks_surrogates(struct trunks *trunks);

/** Does the trunk answer, as far as is known? Unknown trunks do. */
bool trunk_in_service(struct trunks *trunks, uint32_t id);

/** Does this address of a trunk, as far as is known, not answer, while another
 * one does? */
bool trunk_avoids(struct trunks *trunks, uint32_t id, const struct addr *addr);

/** Takes a place for a call and a token of its rate. An emergency call is
 * never refused, but counted.
 * @return ROUTE_OK, LIMIT_TRUNK_CALLS, LIMIT_TRUNK_RATE or CALL_INTERNAL. */
enum reason trunk_take(
	struct trunks *trunks, const struct trunk *t, bool emergency);
void trunk_release(struct trunks *trunks, const struct trunk *t);
uint32_t trunk_calls(struct trunks *trunks, uint32_t id);

/** Our Contact URI towards a trunk: stack_contact(), with the trunk's own name
 * and user for us where it has them. Where we register, every Contact is the
 * registered one, with the token that tells its calls from another trunk's.
 * @return 0, or ERR_TOO_BIG. */
struct listener;
GH_MUST_CHECK int trunk_contact(const struct trunk *t, const struct listener *l,
	const char *user, char *text, size_t size);

/* trunk_find.c */
#define TRUNK_TOKEN_SIZE 14
#define TRUNK_MATCH_MAX  32
/** The trunks that may send from source to this listener, best first.
 * @return how many, max at most. */
size_t trunks_at(const struct sbc *sbc, const struct settings *set,
	const struct addr *source, const struct realm_address *listener,
	const struct trunk **found, size_t max);
/** May this trunk send from source to this listener: by its networks, or by
 * its targets' names? */
bool trunk_may_send(const struct sbc *sbc, const struct trunk *t,
	const struct addr *source, const struct realm_address *listener);
/** Which of the trunks behind one source a checked request is from. NULL for
 * none. */
const struct trunk *trunk_choose(
	const sip_t *sip, const struct trunk **found, size_t n);

/** Route value for a call to this address of a trunk, by the Service-Route of
 * our registration there (RFC 3608); "" if none. Borrowed until control
 * returns to the loop. */
const char *trunk_route(
	struct trunks *trunks, uint32_t id, const struct addr *addr);
/** The address that we are registered at, and the row that it came from.
 * @return whether we are registered. */
bool trunk_registrar(struct trunks *trunks, const struct trunk *t,
	struct addr *addr_out, const Gh__TrunkTarget **row_out);

/** The same for a user of our own choice, and without a token. */
GH_MUST_CHECK int trunk_contact_as(const struct trunk *t,
	const struct listener *l, const char *user, char *text, size_t size);

/** An INVITE was not answered at all: it is probed at once. NULL is safe. */
void trunk_note_silence(struct trunks *trunks, const struct trunk *t);

/** Asks authd for the answer to a trunk's challenge; fn runs once, later, with
 * the finished header value, or NULL and why.
 * @param surrogate	account whose extension is registered there, and whose
 *			credentials are used; 0 = the trunk's. */
typedef void (*trunk_auth_fn)(void *ctx, const char *header, enum reason why);
struct trunk_auth_query;
GH_MUST_CHECK int trunk_auth_ask(struct trunks *trunks, uint32_t trunk,
	const struct addr *peer, const char *challenge, const char *method,
	const char *uri, uint64_t surrogate, trunk_auth_fn fn, void *ctx,
	struct trunk_auth_query **query_out);
/** fn will not run. */
void trunk_auth_cancel(struct trunk_auth_query **query);
/** From save.c: what an earlier process knew of a trunk. */
GH_MUST_CHECK int trunk_restore(struct trunks *trunks,
	const Gh__SavedTrunk *saved, const struct save_slot *slot);
/** From authd's link. */
void trunks_on_auth_answer(
	struct trunks *trunks, const Gh__TrunkAuthAnswer *answer);

#endif
