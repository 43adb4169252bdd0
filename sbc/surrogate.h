/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Extensions that we register at their PBX while a phone of theirs is
 * registered here: the PBX then calls them as it calls its own phones. Where
 * the account says so (surrogate_trunk); authd answers the PBX's challenges.
 */
#ifndef SBC_SURROGATE_H
#define SBC_SURROGATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

struct account;
struct surrogates;
struct trunks;

GH_MUST_CHECK int surrogates_new(
	struct trunks *trunks, struct surrogates **surrogates_out);
/** Sends nothing: what is registered runs out, or is taken over by the next
 * process. */
void surrogates_free(struct surrogates **surrogates);

/** What bindings tell after each change of an account's contacts; ctx is the
 * surrogates. account: with the newest contact's facts; NULL = none is left. */
void surrogates_on_bindings(
	void *ctx, uint64_t id, const struct account *account);

/** "registered", "trying" or "failed"; NULL where the account has none. */
const char *surrogate_state(const struct surrogates *surrogates, uint64_t id);

#endif
