/* SPDX-License-Identifier: Apache-2.0 */
/*
 * When settings are read, which set is in force, what sbc is sent; see
 * snapshot.h. The rows are snapshot_rows.c's. Called by server and main.
 *
 * At most two sets are held: the good one (sbc took it over, it is on disk)
 * and a newer one that waits for sbc's judgement. authd's own decisions follow
 * the good one, or the waiting one as long as there is no other.
 */
#include "authd/snapshot.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/reason.h"
#include "common/secret.h"

enum {
	/* Several changes in a row are one reading. */
	SETTLE_US = 50 * 1000,
	RETRY_US = 1000 * 1000,
	READ_US = 10 * 1000 * 1000,
	PROBLEM_SIZE = 256,
};

static const char vault_name[] = "settings";

struct snapshots {
	struct loop *loop;
	struct db *db;
	struct vault *vault;
	struct loop_timer *timer;
	struct loop_timer *gone_timer;
	struct snapshots_events events;
	void *ctx;
	struct snapshot good;
	struct snapshot waiting;
	struct snapshot gone; /* good until some seconds ago */
	uint8_t refused_hash[32];
	bool has_refused;
	bool reading, read_again;
};

/* So long the set before answers for trunks that are gone. */
#define GONE_US (10 * CLOCK_US_PER_S)

static const Gh__SettingsSaved *in_force(const struct snapshots *s)
{
	return s->good.saved ? s->good.saved : s->waiting.saved;
}

/* ------------------------------------------------------------- reading */

static void store_status(struct snapshots *s, uint64_t version,
	const char *state, enum reason why, const char *problem);

static void on_status_stored(void *ctx, const struct db_result *result)
{
	(void)ctx;
	if (result->err != 0)
		log_warning("config_status_not_written",
			LOG_STR("problem", result->problem));
}

static void store_status(struct snapshots *s, uint64_t version,
	const char *state, enum reason why, const char *problem)
{
	char version_text[24], why_text[12];
	const struct db_step step = {
		.sql = "SELECT sbc.config_status_store($1::numeric, $2, "
		       "$3::int, $4)",
		.n_params = 4,
		.params = {version_text, state, why_text, problem},
	};
	const struct db_job job = {
		.steps = &step,
		.n_steps = 1,
		.timeout_us = READ_US,
		.fn = on_status_stored,
		.ctx = s,
	};

	snprintf(version_text, sizeof(version_text), "%" PRIu64, version);
	snprintf(why_text, sizeof(why_text), "%u", reason_number(why));
	if (s->db && db_submit(s->db, &job) < 0)
		log_warning("config_status_not_written",
			LOG_STR("problem", "the database is away"));
}

static void refuse_own(
	struct snapshots *s, uint64_t version, const char *problem)
{
	log_err("settings_invalid", LOG_STR("problem", problem));
	reason_count(REASON_SETTINGS_INVALID);
	store_status(s, version, "refused", REASON_SETTINGS_INVALID, problem);
}

/* A set was read: is it news? */
static void take(struct snapshots *s, struct snapshot *read)
{
	if ((s->good.saved && !s->waiting.saved &&
		    memcmp(s->good.hash, read->hash, 32) == 0) ||
		(s->waiting.saved &&
			memcmp(s->waiting.hash, read->hash, 32) == 0) ||
		(s->has_refused &&
			memcmp(s->refused_hash, read->hash, 32) == 0 &&
			!s->waiting.saved)) {
		snapshot_done(read);
		return;
	}
	/* Back to the good one while another waits: the good one is sent
	 * again under a new number. */
	snapshot_done(&s->waiting);
	s->waiting = *read;
	s->has_refused = false;
	log_info("settings_read",
		LOG_UINT("version", s->waiting.saved->version),
		LOG_UINT("pieces", s->waiting.saved->n_pieces));
	if (!s->good.saved)
		s->events.on_change(s->ctx);
	s->events.on_new(s->ctx);
}

static void on_read(void *ctx, const struct db_result *result)
{
	struct snapshots *s = ctx;
	uint64_t version = clock_wall_us(), newest = snapshots_version(s);
	char problem[PROBLEM_SIZE];
	struct snapshot read;

	s->reading = false;
	if (s->waiting.saved && s->waiting.saved->version > newest)
		newest = s->waiting.saved->version;
	if (version <= newest)
		version = newest + 1;
	if (result->err != 0) {
		log_warning("settings_not_read",
			LOG_STR("problem", result->problem));
		loop_timer_set(s->loop, s->timer, RETRY_US);
		return;
	}
	if (snapshot_build(result->results, version, &read, problem,
		    sizeof(problem)) < 0)
		refuse_own(s, version, problem);
	else
		take(s, &read);
	if (s->read_again)
		snapshots_read(s);
}

static void on_timer(void *arg)
{
	struct snapshots *s = arg;
	struct db_step steps[DB_STEPS_MAX] = {0};
	const struct db_job job = {
		.steps = steps,
		.n_steps = snapshot_n_queries,
		.transaction = true,
		.secret = true,
		.timeout_us = READ_US,
		.fn = on_read,
		.ctx = s,
	};

	if (!s->db || !db_is_up(s->db))
		return; /* on_up reads again */
	for (size_t i = 0; i < snapshot_n_queries; i++)
		steps[i].sql = snapshot_queries[i];
	if (db_submit(s->db, &job) < 0) {
		loop_timer_set(s->loop, s->timer, RETRY_US);
		return;
	}
	s->reading = true;
	s->read_again = false;
}

void snapshots_read(struct snapshots *s)
{
	/* What was committed after a reading began is not in it. */
	if (s->reading)
		s->read_again = true;
	else
		loop_timer_set(s->loop, s->timer, SETTLE_US);
}

/* ------------------------------------------------------------- sending */

int snapshots_send(struct snapshots *s, struct ipc_link *link)
{
	const Gh__SettingsSaved *saved =
		s->waiting.saved ? s->waiting.saved : s->good.saved;
	Gh__SettingsDone done = GH__SETTINGS_DONE__INIT;
	IPC_MSG(done_msg, SETTINGS_DONE, settings_done, &done);
	int err;

	if (!saved)
		return ERR_AGAIN;
	for (size_t i = 0; i < saved->n_pieces; i++) {
		IPC_MSG(msg, SETTINGS_PIECE, settings_piece, saved->pieces[i]);

		err = ipc_send(link, &msg);
		if (err < 0)
			return err;
	}
	done.version = saved->version;
	done.n_pieces = (uint32_t)saved->n_pieces;
	return ipc_send(link, &done_msg);
}

static void store_good(struct snapshots *s)
{
	size_t len = gh__settings_saved__get_packed_size(s->good.saved);
	uint8_t *bytes = malloc(len);
	int err = ERR_NOMEM;

	if (bytes) {
		gh__settings_saved__pack(s->good.saved, bytes);
		err = vault_put(s->vault, vault_name, bytes, len);
		vault_bytes_free(&bytes, len);
	}
	if (err < 0)
		log_err("settings_not_kept", LOG_ERR(err));
}

void snapshots_on_result(struct snapshots *s, const Gh__SettingsResult *result)
{
	enum reason why;

	if (reason_from_number(result->reason, &why) < 0)
		why = REASON_SETTINGS_INVALID;
	if (!s->waiting.saved || s->waiting.saved->version != result->version) {
		/* The good one once more, after a restart of sbc. */
		if (!result->accepted)
			log_err("settings_refused",
				LOG_UINT("version", result->version),
				LOG_STR("problem", result->problem));
		return;
	}
	if (result->accepted) {
		/* What it had may still be taken back. */
		snapshot_done(&s->gone);
		s->gone = s->good;
		loop_timer_set(s->loop, s->gone_timer, GONE_US);
		s->good = s->waiting;
		s->waiting = (struct snapshot){0};
		store_good(s);
		log_notice("settings_in_force",
			LOG_UINT("version", result->version));
		store_status(
			s, result->version, "accepted", REASON_SETTINGS_OK, "");
		s->events.on_change(s->ctx);
		return;
	}
	log_err("settings_refused", LOG_UINT("version", result->version),
		LOG_STR("reason", reason_text(why)),
		LOG_STR("problem", result->problem));
	store_status(s, result->version, "refused", why, result->problem);
	memcpy(s->refused_hash, s->waiting.hash, sizeof(s->refused_hash));
	s->has_refused = true;
	snapshot_done(&s->waiting);
}

/* -------------------------------------------------- for authd's own use */

bool snapshots_have(const struct snapshots *s)
{
	return in_force(s) != NULL;
}

uint64_t snapshots_version(const struct snapshots *s)
{
	const Gh__SettingsSaved *saved = in_force(s);

	return saved ? saved->version : 0;
}

const Gh__Realm *snapshots_realm(const struct snapshots *s, uint32_t id)
{
	const Gh__SettingsSaved *saved = in_force(s);

	for (size_t i = 0; saved && i < saved->n_pieces; i++) {
		const Gh__SettingsPiece *p = saved->pieces[i];

		if (p->piece_case == GH__SETTINGS_PIECE__PIECE_REALM &&
			p->realm->id == id)
			return p->realm;
	}
	return NULL;
}

static const Gh__Trunk *find_trunk(const Gh__SettingsSaved *saved, uint32_t id)
{
	for (size_t i = 0; saved && i < saved->n_pieces; i++) {
		const Gh__SettingsPiece *p = saved->pieces[i];

		if (p->piece_case == GH__SETTINGS_PIECE__PIECE_TRUNK &&
			p->trunk->id == id)
			return p->trunk;
	}
	return NULL;
}

const Gh__Trunk *snapshots_trunk(const struct snapshots *s, uint32_t id)
{
	return find_trunk(in_force(s), id);
}

void snapshots_each_trunk(const struct snapshots *s,
	void (*fn)(void *ctx, const Gh__Trunk *trunk), void *ctx)
{
	const Gh__SettingsSaved *saved = in_force(s);

	for (size_t i = 0; saved && i < saved->n_pieces; i++) {
		const Gh__SettingsPiece *p = saved->pieces[i];

		if (p->piece_case == GH__SETTINGS_PIECE__PIECE_TRUNK)
			fn(ctx, p->trunk);
	}
}

static const Gh__TrunkSecret *find_secret(
	const Gh__SettingsSaved *saved, uint32_t trunk)
{
	for (size_t i = 0; saved && i < saved->n_trunk_secrets; i++) {
		if (saved->trunk_secrets[i]->trunk == trunk)
			return saved->trunk_secrets[i];
	}
	return NULL;
}

const Gh__TrunkSecret *snapshots_trunk_secret(
	const struct snapshots *s, uint32_t trunk)
{
	return find_secret(in_force(s), trunk);
}

const Gh__Trunk *snapshots_gone_trunk(const struct snapshots *s, uint32_t id)
{
	return find_trunk(s->gone.saved, id);
}

const Gh__TrunkSecret *snapshots_gone_secret(
	const struct snapshots *s, uint32_t trunk)
{
	return find_secret(s->gone.saved, trunk);
}

uint64_t snapshots_number(const struct snapshots *s, const char *name,
	uint64_t def, uint64_t min, uint64_t max)
{
	const Gh__SettingsSaved *saved = in_force(s);

	for (size_t i = 0; saved && i < saved->n_pieces; i++) {
		const Gh__SettingsPiece *p = saved->pieces[i];
		unsigned long long v;
		char *end;

		if (p->piece_case != GH__SETTINGS_PIECE__PIECE_SETTING ||
			strcmp(p->setting->name, name) != 0)
			continue;
		v = strtoull(p->setting->value, &end, 10);
		return *end || v < min || v > max ? def : v;
	}
	return def;
}

bool snapshots_has_shares(const struct snapshots *s, uint32_t realm)
{
	const Gh__SettingsSaved *saved = in_force(s);

	for (size_t i = 0; saved && i < saved->n_digest_shares; i++) {
		if (saved->digest_shares[i]->realm == realm)
			return true;
	}
	return false;
}

const char *snapshots_pick_digest(
	const struct snapshots *s, uint32_t realm, uint64_t pick)
{
	const Gh__SettingsSaved *saved = in_force(s);
	size_t n = 0;

	for (size_t i = 0; saved && i < saved->n_digest_shares; i++)
		n += saved->digest_shares[i]->realm == realm;
	if (n == 0)
		return NULL;
	/* The realm's own list is one of them. Every list is as likely: shares
	 * by accounts would change with each new phone, and with them the
	 * answer for a name that must stay the same. */
	n = pick % (n + 1);
	for (size_t i = 0; i < saved->n_digest_shares; i++) {
		if (saved->digest_shares[i]->realm == realm && n-- == 0)
			return saved->digest_shares[i]->digest;
	}
	return NULL;
}

/* ---------------------------------------------------------------- life */

static void load_good(struct snapshots *s)
{
	uint8_t *bytes;
	size_t len;

	if (vault_get(s->vault, vault_name, &bytes, &len) < 0)
		return;
	s->good.saved = gh__settings_saved__unpack(NULL, len, bytes);
	vault_bytes_free(&bytes, len);
	if (!s->good.saved) {
		log_err("settings_copy_unreadable");
		return;
	}
	/* The hash is left empty: what the database says is news, once. */
	log_notice("settings_from_disk",
		LOG_UINT("version", s->good.saved->version),
		LOG_UINT("pieces", s->good.saved->n_pieces));
}

static void on_gone_timer(void *arg)
{
	struct snapshots *s = arg;

	snapshot_done(&s->gone);
}

int snapshots_new(struct loop *loop, struct vault *vault,
	const struct snapshots_events *events, void *ctx,
	struct snapshots **snapshots_out)
{
	struct snapshots *s = calloc(1, sizeof(*s));
	int err;

	if (!s)
		return ERR_NOMEM;
	s->loop = loop;
	s->vault = vault;
	s->events = *events;
	s->ctx = ctx;
	err = loop_timer_new(loop, on_timer, s, &s->timer);
	if (err == 0)
		err = loop_timer_new(loop, on_gone_timer, s, &s->gone_timer);
	if (err < 0) {
		loop_timer_free(loop, &s->timer);
		free(s);
		return err;
	}
	load_good(s);
	*snapshots_out = s;
	return 0;
}

void snapshots_set_db(struct snapshots *s, struct db *db)
{
	s->db = db;
}

void snapshots_free(struct snapshots **snapshots)
{
	struct snapshots *s = *snapshots;

	*snapshots = NULL;
	if (!s)
		return;
	loop_timer_free(s->loop, &s->timer);
	loop_timer_free(s->loop, &s->gone_timer);
	snapshot_done(&s->good);
	snapshot_done(&s->waiting);
	snapshot_done(&s->gone);
	free(s);
}
