/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The steps of a judgement; see judge.h. Knows no socket and waits for nothing:
 * where an account is not in memory it says so and is called again. Called by
 * server. RFC 7616, RFC 8760, rules 1 and 3 of the architecture.
 */
#include "authd/judge.h"

#include <string.h>

#include "common/clock.h"
#include "common/secret.h"
#include "common/stat.h"
#include "common/table.h"

static int realm_offers(const Gh__Realm *realm, struct digest_offers *out)
{
	struct digest_offers offers = {0};

	for (size_t i = 0; i < realm->n_digest && i < DIGEST_OFFERS_MAX; i++) {
		offers.offer[i].algorithm = realm->digest[i]->algorithm;
		offers.offer[i].qop = realm->digest[i]->qop;
		offers.n++;
	}
	*out = offers;
	return offers.n ? 0 : ERR_INVALID;
}

/* The challenges of an account, or of a name that nobody has. */
static void offers_for(struct judge *j, const Gh__Realm *realm,
	const char *username, const Gh__AccountRecord *record,
	struct digest_offers *out)
{
	const char *own = NULL;

	if (record && *record->digest)
		own = record->digest;
	else if (!record)
		own = snapshots_pick_digest(j->snapshots, realm->id,
			table_siphash(
				j->dummy_key, username, strlen(username)));
	if (own && digest_offers_parse(own, out) == 0)
		return;
	if (realm_offers(realm, out) < 0)
		*out = (struct digest_offers){.n = 1};
}

int judge_offers(struct judge *j, uint32_t realm_id, const char *username,
	bool final, struct digest_offers *out)
{
	const Gh__Realm *realm = snapshots_realm(j->snapshots, realm_id);
	const Gh__AccountRecord *record = NULL;
	int err;

	if (!realm) {
		*out = (struct digest_offers){.n = 1};
		return 0;
	}
	if (snapshots_has_shares(j->snapshots, realm_id)) {
		err = account_find(j->accounts,
			GH__ACCOUNT_KEY__ACCOUNT_BY_USER, username, &record);
		if (err == ERR_AGAIN && !final)
			return err;
		if (err != 0)
			record = NULL;
	}
	offers_for(j, realm, username, record, out);
	return 0;
}

static const ProtobufCBinaryData *stored_ha1(
	const Gh__AccountRecord *record, Gh__Algorithm algorithm)
{
	switch (algorithm) {
	case GH__ALGORITHM__ALGORITHM_MD5:
		return &record->ha1_md5;
	case GH__ALGORITHM__ALGORITHM_SHA256:
		return &record->ha1_sha256;
	default:
		return &record->ha1_sha512_256;
	}
}

/* The HA1 to compute with: the account's, or for a name that nobody has (or an
 * account of another digest realm) one that nothing can match.
 * @return whether it is real. */
static bool choose_ha1(struct judge *j, const Gh__Realm *realm,
	const Gh__AuthRequest *request, const Gh__AccountRecord *record,
	Gh__Algorithm algorithm, struct digest_ha1 *ha1)
{
	const char *user = request->digest->username;
	const ProtobufCBinaryData *stored;
	uint64_t word;

	/* Made in every case, so that it costs the same in every case. */
	for (size_t i = 0; i < sizeof(ha1->bytes); i += sizeof(word)) {
		j->dummy_key[0] ^= (uint8_t)i;
		word = table_siphash(j->dummy_key, user, strlen(user));
		j->dummy_key[0] ^= (uint8_t)i;
		memcpy(ha1->bytes + i, &word, sizeof(word));
	}
	if (!record || strcmp(record->digest_realm, realm->digest_realm) != 0)
		return false;
	stored = stored_ha1(record, algorithm);
	if (stored->len != digest_hash_len(algorithm))
		return false;
	memcpy(ha1->bytes, stored->data, stored->len);
	return true;
}

static void count_failure(struct judge *j, const Gh__AuthRequest *request,
	const struct addr *source, uint64_t now_us)
{
	const Gh__DigestFields *f = request->digest;
	uint8_t text[NONCE_TEXT_LEN + 8] = {0};
	uint32_t failures = 0;
	enum ban_step step;
	uint64_t attempt;

	/* The same header sent again (UDP) is one attempt. */
	memcpy(text, f->nonce, strnlen(f->nonce, NONCE_TEXT_LEN));
	memcpy(text + NONCE_TEXT_LEN, f->nc, strnlen(f->nc, 8));
	attempt = table_siphash(j->dummy_key, text, sizeof(text));
	step = ban_failure(j->bans, source, f->username, attempt,
		j->is_shared(j->ctx, source), now_us, &failures);
	if (step == BAN_SOURCE)
		j->on_ban(j->ctx, source, f->username, failures);
}

static bool network_allowed(const Gh__Account *a, const struct addr *source)
{
	struct addr_net net;

	for (size_t i = 0; i < a->n_acl; i++) {
		if (addr_net_parse(a->acl[i], &net) == 0 &&
			addr_in_net(source, &net))
			return true;
	}
	return a->n_acl == 0;
}

static void decide(
	struct judgement *out, Gh__AuthVerdict verdict, enum reason why)
{
	out->verdict = verdict;
	out->why = why;
}

/* The response is right; may this account do this from here now? */
static void judge_rights(struct judge *j, const Gh__AuthRequest *request,
	const struct digest_claim *claim, const struct addr *source,
	const Gh__AccountRecord *record, struct judgement *out)
{
	const Gh__DigestFields *f = request->digest;
	enum reason why;

	why = replay_take(
		j->replay, f->nonce, nonce_made_s(f->nonce), claim->nc);
	if (why != REASON_AUTH_OK) {
		/* Somebody else's copy gains nothing by a new nonce; a phone
		 * that counts wrongly gets in with it. */
		decide(out, GH__AUTH_VERDICT__AUTH_VERDICT_STALE, why);
		return;
	}
	if (!record->account->enabled) {
		decide(out, GH__AUTH_VERDICT__AUTH_VERDICT_CHALLENGE,
			REASON_AUTH_DISABLED);
		out->failed = true;
		return;
	}
	ban_success(j->bans, source, f->username);
	if (!network_allowed(record->account, source)) {
		decide(out, GH__AUTH_VERDICT__AUTH_VERDICT_REFUSED,
			REASON_AUTH_NETWORK);
		return;
	}
	if (request->purpose == GH__AUTH_PURPOSE__AUTH_DIALOG &&
		request->dialog_account != record->account->id) {
		decide(out, GH__AUTH_VERDICT__AUTH_VERDICT_REFUSED,
			REASON_AUTH_IDENTITY);
		return;
	}
	decide(out, GH__AUTH_VERDICT__AUTH_VERDICT_OK, REASON_AUTH_OK);
	out->record = record;
	account_used(j->accounts, record);
}

static void judge_response(struct judge *j, const Gh__AuthRequest *request,
	const Gh__Realm *realm, const struct digest_claim *claim,
	const struct addr *source, const Gh__AccountRecord *record,
	struct judgement *out)
{
	const Gh__DigestFields *f = request->digest;
	uint64_t now = clock_now_us();
	struct digest_ha1 ha1;
	enum reason why;
	bool real;

	out->offers.n = 0;
	offers_for(j, realm, f->username, record, &out->offers);
	why = digest_check_offer(claim, &out->offers);
	if (why != REASON_AUTH_OK) {
		decide(out, GH__AUTH_VERDICT__AUTH_VERDICT_CHALLENGE, why);
		return;
	}
	real = choose_ha1(j, realm, request, record, claim->algorithm, &ha1);
	why = digest_verify(j->digest, claim, f, request->method,
		request->body.data, request->body.len, &ha1);
	secret_wipe(&ha1, sizeof(ha1));
	stat_add(STAT_AUTH_QUERIES, 1);
	if (why == REASON_AUTH_OK && real &&
		ban_user_allowed(j->bans, source, f->username, now)) {
		judge_rights(j, request, claim, source, record, out);
		return;
	}
	count_failure(j, request, source, now);
	decide(out, GH__AUTH_VERDICT__AUTH_VERDICT_CHALLENGE,
		REASON_AUTH_WRONG);
	out->failed = true;
}

int judge_request(struct judge *j, const Gh__AuthRequest *request, bool final,
	struct judgement *out)
{
	const Gh__DigestFields *f = request->digest;
	const Gh__AccountRecord *record = NULL;
	const Gh__Realm *realm;
	struct digest_claim claim;
	struct addr source;
	enum reason why;
	int err;

	*out = (struct judgement){.why = REASON_NONE};
	if (!f || addr_parse(request->source, &source) < 0)
		return ERR_INVALID;
	realm = snapshots_realm(j->snapshots, request->realm);
	if (!realm || realm_offers(realm, &out->offers) < 0) {
		decide(out, GH__AUTH_VERDICT__AUTH_VERDICT_UNAVAILABLE,
			REASON_AUTH_AWAY);
		return 0;
	}
	why = nonce_check(j->nonce_keys, request->realm, &source,
		clock_now_us(), f->nonce);
	if (why != REASON_AUTH_OK) {
		decide(out,
			why == REASON_AUTH_STALE
				? GH__AUTH_VERDICT__AUTH_VERDICT_STALE
				: GH__AUTH_VERDICT__AUTH_VERDICT_CHALLENGE,
			why);
		return 0;
	}
	why = digest_check(
		f, realm->digest_realm, request->request_uri, &claim);
	if (why != REASON_AUTH_OK) {
		decide(out,
			why == REASON_AUTH_SYNTAX
				? GH__AUTH_VERDICT__AUTH_VERDICT_REFUSED
				: GH__AUTH_VERDICT__AUTH_VERDICT_CHALLENGE,
			why);
		return 0;
	}
	err = account_find(j->accounts, GH__ACCOUNT_KEY__ACCOUNT_BY_USER,
		f->username, &record);
	if (err == ERR_AGAIN && !final)
		return ERR_AGAIN;
	if (err == ERR_AGAIN) {
		decide(out, GH__AUTH_VERDICT__AUTH_VERDICT_UNAVAILABLE,
			REASON_AUTH_AWAY);
		return 0;
	}
	judge_response(j, request, realm, &claim, &source,
		err == 0 ? record : NULL, out);
	return 0;
}
