/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who somebody is: one request with digest credentials in, one verdict out.
 * The order of the steps is the security: nonce, form, account, response,
 * replay, rights. An unknown user costs the same work as a wrong password and
 * gets the same answer. Failures count towards a ban only if the nonce was
 * bound to the source.
 */
#ifndef AUTHD_JUDGE_H
#define AUTHD_JUDGE_H

#include <stdbool.h>

#include "authd/account.h"
#include "authd/ban.h"
#include "authd/digest.h"
#include "authd/replay.h"
#include "authd/snapshot.h"
#include "common/ipc.pb-c.h"
#include "common/nonce.h"
#include "common/reason.h"

/** What it judges by; all borrowed. */
struct judge {
	struct digest *digest;
	struct accounts *accounts;
	struct snapshots *snapshots;
	struct replay *replay;
	struct ban_table *bans;
	const struct nonce_keys *nonce_keys;
	/* Is a phone registered from there? */
	bool (*is_shared)(void *ctx, const struct addr *source);
	/* A source was banned. */
	void (*on_ban)(void *ctx, const struct addr *source, const char *user,
		uint32_t failures);
	void *ctx;
	uint8_t dummy_key[16]; /* for unknown users; kept over restarts */
};

struct judgement {
	Gh__AuthVerdict verdict;
	enum reason why;
	bool failed; /* wrong credentials: the answer is held back a little */
	const Gh__AccountRecord *record; /* OK: whose; borrowed as usual */
	struct digest_offers offers;     /* for the next challenge */
};

/**
 * Judges a request.
 * @param final	the account was asked for already: what is not known now is
 *		not to be had.
 * @return 0 with out set; ERR_AGAIN: ask for the account by its user name
 *	(request->digest->username) and judge again; ERR_INVALID for a message
 *	that lacks fields.
 */
GH_MUST_CHECK int judge_request(struct judge *j, const Gh__AuthRequest *request,
	bool final, struct judgement *out);

/** The challenges that a user of this name gets.
 * @return 0, or ERR_AGAIN as above. */
GH_MUST_CHECK int judge_offers(struct judge *j, uint32_t realm,
	const char *username, bool final, struct digest_offers *out);

#endif
