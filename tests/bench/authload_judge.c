/* SPDX-License-Identifier: Apache-2.0 */
/*
 * authd's judge without authd around it: settings and accounts are written to
 * sealed files first and loaded from there as at a start without database, so
 * that cache, replay window and ban table are the real ones and in use. Timed
 * is judge_request() only, in batches whose requests are made before the clock
 * runs.
 */
#include "tests/bench/authload.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "authd/judge.h"
#include "common/clock.h"
#include "common/loop.h"
#include "common/secret.h"

#define REALM       1
#define REPLAY_MAX  1000000
#define SOURCES_MAX 100000

struct bench {
	struct loop *loop;
	struct key key;
	struct vault *settings, *accounts;
	struct judge judge;
	struct nonce_keys nonces;
	struct authload_phone *phones;
	size_t n, n_loaded;
	bool failed;
};

static bool is_shared(void *ctx, const struct addr *source)
{
	(void)ctx;
	(void)source;
	return true;
}

static void on_ban(void *ctx, const struct addr *source, const char *user,
	uint32_t failures)
{
	struct bench *b = ctx;

	(void)source;
	(void)user;
	(void)failures;
	b->failed = true;
}

static void on_nothing(void *ctx)
{
	(void)ctx;
}

static int write_settings(struct bench *b)
{
	Gh__SettingsSaved saved = GH__SETTINGS_SAVED__INIT;
	Gh__SettingsPiece piece = GH__SETTINGS_PIECE__INIT, *pieces = &piece;
	Gh__Realm realm = GH__REALM__INIT;
	Gh__DigestOffer offer = GH__DIGEST_OFFER__INIT, *offers = &offer;
	char domain[] = AUTHLOAD_DOMAIN;
	uint8_t bytes[1024];

	realm.id = REALM;
	realm.phones = true;
	realm.digest_realm = domain;
	realm.digest = &offers;
	realm.n_digest = 1;
	piece.version = 1;
	piece.piece_case = GH__SETTINGS_PIECE__PIECE_REALM;
	piece.realm = &realm;
	saved.version = 1;
	saved.pieces = &pieces;
	saved.n_pieces = 1;
	if (gh__settings_saved__get_packed_size(&saved) > sizeof(bytes))
		return ERR_TOO_BIG;
	return vault_put(b->settings, "settings", bytes,
		gh__settings_saved__pack(&saved, bytes));
}

static void ha1_bytes(const char *hex, uint8_t bytes[16])
{
	for (int i = 0; i < 16; i++) {
		char two[3] = {hex[2 * i], hex[2 * i + 1], '\0'};

		bytes[i] = (uint8_t)strtoul(two, NULL, 16);
	}
}

static int write_account(struct bench *b, size_t i)
{
	Gh__AccountRecord record = GH__ACCOUNT_RECORD__INIT;
	Gh__Account account = GH__ACCOUNT__INIT;
	char extension[16], domain[] = AUTHLOAD_DOMAIN;
	uint8_t ha1[16], bytes[1024];

	snprintf(extension, sizeof(extension), "%zu", 100000 + i);
	ha1_bytes(b->phones[i].ha1, ha1);
	account.id = i + 1;
	account.user = b->phones[i].user;
	account.extension = extension;
	account.realm = REALM;
	account.enabled = true;
	record.account = &account;
	record.digest_realm = domain;
	record.ha1_md5 = (ProtobufCBinaryData){sizeof(ha1), ha1};
	record.wall_used_us = clock_wall_us();
	if (gh__account_record__get_packed_size(&record) > sizeof(bytes))
		return ERR_TOO_BIG;
	return vault_put(b->accounts, account.user, bytes,
		gh__account_record__pack(&record, bytes));
}

static int open_judge(struct bench *b, const char *folder)
{
	static const struct snapshots_events events = {
		.on_change = on_nothing, .on_new = on_nothing};
	char path[512], problem[KEY_PROBLEM_SIZE] = "";
	struct judge *j = &b->judge;
	int err;

	snprintf(path, sizeof(path), "%s/key", folder);
	err = loop_event_new(&b->loop);
	if (err == 0)
		err = key_load(path, &b->key, problem);
	if (err == 0)
		err = vault_open(&b->key, folder, "settings", 16, &b->settings);
	if (err == 0)
		err = vault_open(
			&b->key, folder, "accounts", 1000000, &b->accounts);
	if (err == 0)
		err = write_settings(b);
	for (size_t i = 0; err == 0 && i < b->n; i++)
		err = write_account(b, i);
	if (err == 0)
		err = digest_new(&j->digest);
	if (err == 0)
		err = replay_new(REPLAY_MAX, &j->replay);
	if (err == 0)
		err = ban_new(SOURCES_MAX, &j->bans);
	if (err == 0)
		err = accounts_new(b->loop, b->accounts, 50000,
			3600ull * 1000000, &j->accounts);
	if (err == 0)
		err = snapshots_new(
			b->loop, b->settings, &events, b, &j->snapshots);
	if (err)
		fprintf(stderr, "authload: %s %s\n", err_text(err), problem);
	j->nonce_keys = &b->nonces;
	j->is_shared = is_shared;
	j->on_ban = on_ban;
	j->ctx = b;
	return err;
}

static void on_account(void *ctx, int err, const Gh__AccountRecord *record)
{
	struct bench *b = ctx;

	if (err || !record)
		b->failed = true;
	if (++b->n_loaded == b->n || b->failed)
		loop_stop(b->loop);
}

/* Everybody is in the cache, as phones that register again are. */
static int load_accounts(struct bench *b)
{
	size_t asked = 0;

	while (asked < b->n) {
		size_t until = asked + 1000 < b->n ? asked + 1000 : b->n;
		size_t all = b->n;

		b->n = until;
		for (; asked < until; asked++) {
			struct account_wait *wait;

			if (account_ask(b->judge.accounts,
				    GH__ACCOUNT_KEY__ACCOUNT_BY_USER,
				    b->phones[asked].user, on_account, b,
				    &wait))
				return -1;
		}
		if (loop_run(b->loop) || b->failed)
			return -1;
		b->n = all;
	}
	return 0;
}

static uint64_t cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static int measure(struct bench *b, unsigned seconds)
{
	uint64_t spent = 0, n = 0;

	while (spent < seconds * 1000000000ull) {
		uint64_t start;

		for (size_t i = 0; i < b->n; i++)
			if (!authload_phone_next(
				    &b->phones[i], &b->nonces, REALM))
				return -1;
		start = cpu_ns();
		for (size_t i = 0; i < b->n; i++) {
			struct judgement out;
			int err = judge_request(
				&b->judge, &b->phones[i].request, false, &out);

			if (err ||
				out.verdict !=
					GH__AUTH_VERDICT__AUTH_VERDICT_OK ||
				out.record->account->id != i + 1) {
				fprintf(stderr, "authload: phone %zu: %s; %s\n",
					i,
					err ? err_text(err) : "wrong verdict",
					reason_sentence(out.why));
				return -1;
			}
		}
		spent += cpu_ns() - start;
		n += b->n;
	}
	printf("verified=%llu ns_each=%.1f rate=%.0f\n", (unsigned long long)n,
		(double)spent / (double)n, (double)n * 1e9 / (double)spent);
	return 0;
}

int authload_judge(size_t n_phones, unsigned seconds, const char *folder)
{
	struct bench b = {.n = n_phones};

	b.phones = calloc(n_phones, sizeof(*b.phones));
	if (!b.phones)
		return 1;
	for (size_t i = 0; i < n_phones; i++)
		authload_phone_init(&b.phones[i], i);
	b.nonces.current.id = 1;
	b.nonces.lifetime_s = 3600;
	secret_random_bytes(b.nonces.current.key, NONCE_KEY_SIZE);
	if (open_judge(&b, folder))
		return 1;
	if (load_accounts(&b)) {
		fprintf(stderr, "authload: accounts not loaded\n");
		return 1;
	}
	return measure(&b, seconds) ? 1 : 0;
}
