/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Credentials of extensions at their PBX that SQL has just changed or taken
 * away: for some seconds they still answer the PBX's challenge, so that sbc can
 * take back what it has registered with them. A bounded list, oldest first.
 *
 * Decides: how long. Does not decide for what they are used (ask.c: REGISTER
 * only). Called by account_keep.c and ask.
 */
#include "authd/account_i.h"

#include <stdlib.h>

#include "common/clock.h"
#include "common/secret.h"

#define GONE_US  (10 * CLOCK_US_PER_S)
#define GONE_MAX 1024

struct gone {
	TAILQ_ENTRY(gone) order;
	uint64_t account;
	uint32_t trunk;
	uint64_t until_us;
	Gh__TrunkSecret *secret;
};

static void gone_free(struct accounts *a, struct gone *g)
{
	TAILQ_REMOVE(&a->gone, g, order);
	a->n_gone--;
	row_trunk_secret_free(g->secret);
	free(g);
}

void account_gone_sweep(struct accounts *a, bool all)
{
	uint64_t now = clock_now_us();
	struct gone *g;

	while ((g = TAILQ_FIRST(&a->gone)) && (all || g->until_us <= now))
		gone_free(a, g);
}

static Gh__TrunkSecret *copy(const Gh__TrunkSecret *secret)
{
	size_t len = gh__trunk_secret__get_packed_size(secret);
	uint8_t *bytes = malloc(len ? len : 1);
	Gh__TrunkSecret *made;

	if (!bytes)
		return NULL;
	gh__trunk_secret__pack(secret, bytes);
	made = gh__trunk_secret__unpack(NULL, len, bytes);
	secret_wipe(bytes, len);
	free(bytes);
	return made;
}

void account_gone_note(struct accounts *a, const Gh__AccountRecord *rec)
{
	struct gone *g;

	account_gone_sweep(a, false);
	if (!rec || !rec->surrogate || rec->account->surrogate_trunk == 0)
		return;
	if (a->n_gone == GONE_MAX)
		gone_free(a, TAILQ_FIRST(&a->gone));
	g = calloc(1, sizeof(*g));
	if (!g)
		return;
	g->account = rec->account->id;
	g->trunk = rec->account->surrogate_trunk;
	g->until_us = clock_now_us() + GONE_US;
	g->secret = copy(rec->surrogate);
	if (!g->secret) {
		free(g);
		return;
	}
	TAILQ_INSERT_TAIL(&a->gone, g, order);
	a->n_gone++;
}

const Gh__TrunkSecret *account_gone_secret(
	struct accounts *a, uint64_t account, uint32_t trunk)
{
	const struct gone *g;

	account_gone_sweep(a, false);
	TAILQ_FOREACH (g, &a->gone, order) {
		if (g->account == account && g->trunk == trunk)
			return g->secret;
	}
	return NULL;
}
