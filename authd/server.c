/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who may say what to authd, and what authd says by itself; see server.h. The
 * work is done by the modules that the table names. Called by main and by the
 * links of common/ipc, on authd's loop.
 *
 * After sbc's hello it gets, in this order: nonce keys, settings, bindings,
 * bans. Everything that it missed while away is in these.
 */
#include "authd/server_i.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "authd/unseal.h"
#include "common/clock.h"
#include "common/json.h"
#include "common/log.h"
#include "common/secret.h"

enum {
	REPLAY_MAX = 200000,
	BAN_SOURCES_MAX = 100000,
	CDR_WAITS_MAX = 20000,
	NONCE_PERIOD_S = 3600,
	FAILURES_PER_S = 500,
	FAILURES_BURST = 2000,
	TIDY_US = 2 * 1000 * 1000,
	PURGE_US = 600 * 1000 * 1000,
	STORE_US = 8 * 1000 * 1000,
};

/* ------------------------------------------------------------ nonce keys */

static void send_nonce_keys(struct server *s, struct ipc_link *link)
{
	Gh__NonceKeys keys = GH__NONCE_KEYS__INIT;
	Gh__NonceKey current = GH__NONCE_KEY__INIT;
	Gh__NonceKey previous = GH__NONCE_KEY__INIT;
	IPC_MSG(msg, NONCE_KEYS, nonce_keys, &keys);

	current.id = s->nonce_keys.current.id;
	current.key.data = s->nonce_keys.current.key;
	current.key.len = NONCE_KEY_SIZE;
	current.from_us = s->nonce_from_us;
	keys.current = &current;
	if (s->nonce_keys.previous.id) {
		previous.id = s->nonce_keys.previous.id;
		previous.key.data = s->nonce_keys.previous.key;
		previous.key.len = NONCE_KEY_SIZE;
		keys.previous = &previous;
	}
	keys.lifetime_s = s->nonce_keys.lifetime_s;
	if (!link)
		ipc_broadcast(s->ipc, PROCESS_BIT(PROCESS_SBC), &msg);
	else if (ipc_send(link, &msg) < 0)
		log_warning("nonce_keys_not_sent");
}

/* The next rotation: the keys' period after they were made. */
static void set_nonce_timer(struct server *s)
{
	uint64_t period_s = NONCE_PERIOD_S, now = clock_now_us(), due;

	if (period_s < s->nonce_keys.lifetime_s)
		period_s = s->nonce_keys.lifetime_s;
	due = s->nonce_from_us + period_s * CLOCK_US_PER_S;
	loop_timer_set(s->loop, s->nonce_timer, due > now ? due - now : 0);
}

static void rotate_nonce_key(struct server *s)
{
	struct nonce_keys *k = &s->nonce_keys;

	k->previous = k->current;
	/* 8 bits of the id are in the nonce: 0 is "none". */
	k->current.id = k->current.id % 255 + 1;
	secret_random_bytes(k->current.key, sizeof(k->current.key));
	s->nonce_from_us = clock_now_us();
	live_put_keys(s->live, k, s->nonce_from_us);
	set_nonce_timer(s);
}

void server_resume(struct server *s)
{
	bool found = false;
	int err = live_open(
		s->live, s->replay, &s->nonce_keys, &s->nonce_from_us, &found);

	if (err < 0)
		log_warning("state_not_kept", LOG_ERR(err));
	live_open_bans(s->live, s->bans);
	if (found && s->nonce_from_us <= clock_now_us()) {
		log_notice("nonces_resumed",
			LOG_UINT("used", replay_count(s->replay)));
		set_nonce_timer(s);
	} else {
		/* Not always the same first id: a nonce of an earlier start
		 * must look old, not forged. */
		secret_random_bytes(&s->nonce_keys.current.id, 1);
		rotate_nonce_key(s);
		s->nonce_keys.previous.id = 0;
		live_put_keys(s->live, &s->nonce_keys, s->nonce_from_us);
	}
	live_deposit(s->live, s->daemon->keeper);
}

void server_on_keeper_fd(struct server *s, const char *name, int fd)
{
	live_on_fd(s->live, name, fd);
}

void server_on_keeper_up(struct server *s)
{
	live_deposit(s->live, s->daemon->keeper);
}

static void on_nonce_timer(void *arg)
{
	struct server *s = arg;

	rotate_nonce_key(s);
	if (s->ipc)
		send_nonce_keys(s, NULL);
}

static void on_flushed(void *ctx, int err)
{
	struct server *s = ctx;

	s->n_flushing--;
	if (err < 0)
		log_err("state_flush", LOG_ERRNO(errno));
}

/* A store's new file is on the disk. */
static void on_rewritten(void *ctx, int err)
{
	struct server *s = ctx;

	if (err == 0)
		vault_replace(s->vaults[s->rewritten], s->rewritten_fd);
	on_flushed(s, err);
}

/* What is kept sealed reaches the disk within seconds, not at once: after a
 * power cut the newest registrations are missing, nothing is wrong. */
static void flush_vaults(struct server *s)
{
	for (size_t i = 0; s->n_flushing == 0 && i < SERVER_VAULTS; i++) {
		s->rewritten = i;
		s->rewritten_fd = vault_rewritten_fd(s->vaults[i]);
		if (s->rewritten_fd >= 0 && sync_file(s->sync, s->rewritten_fd,
						    on_rewritten, s) == 0)
			s->n_flushing++;
	}
	for (size_t i = 0; s->n_flushing == 0 && i < SERVER_VAULTS; i++) {
		if (vault_is_dirty(s->vaults[i]) &&
			sync_file(s->sync, vault_fd(s->vaults[i]), on_flushed,
				s) == 0)
			s->n_flushing++;
	}
}

static void on_purged(void *ctx, const struct db_result *result)
{
	(void)ctx;
	if (result->err != 0)
		log_warning("records_not_purged",
			LOG_STR("problem", result->problem));
}

/* Deletes records that are older than the administrator keeps them. */
static void purge_records(struct server *s, uint64_t now)
{
	char days[12];
	const struct db_step step = {
		.sql = "SELECT sbc.records_purge($1::int)",
		.n_params = 1,
		.params = {days},
	};
	const struct db_job job = {
		.steps = &step,
		.n_steps = 1,
		.timeout_us = STORE_US,
		.fn = on_purged,
		.ctx = s,
	};

	if (now - s->purged_us < PURGE_US && s->purged_us != 0)
		return;
	snprintf(days, sizeof(days), "%u",
		(unsigned)snapshots_number(
			s->snapshots, "record_keep_days", 0, 0, 36500));
	if (s->db && db_submit(s->db, &job) == 0)
		s->purged_us = now;
}

static void on_tidy(void *arg)
{
	struct server *s = arg;
	uint64_t now = clock_now_us();
	uint64_t age_s = s->nonce_keys.lifetime_s + 10;

	flush_vaults(s);
	purge_records(s, now);
	ban_expire(s->bans, now);
	if (now / CLOCK_US_PER_S > age_s)
		replay_expire(
			s->replay, (uint32_t)(now / CLOCK_US_PER_S - age_s));
	loop_timer_set(s->loop, s->tidy_timer, TIDY_US);
}

/* -------------------------------------------------------------- settings */

static void on_settings_change(void *ctx)
{
	struct server *s = ctx;
	uint32_t lifetime = (uint32_t)snapshots_number(
		s->snapshots, "nonce_lifetime_s", 300, 10, 86400);

	ban_news_on_settings(s);
	if (lifetime != s->nonce_keys.lifetime_s) {
		s->nonce_keys.lifetime_s = lifetime;
		if (s->ipc)
			send_nonce_keys(s, NULL);
	}
}

static void on_settings_new(void *ctx)
{
	struct server *s = ctx;

	for (size_t i = 0; i < s->n_sbc; i++) {
		if (snapshots_send(s->snapshots, s->sbc[i]) < 0)
			log_warning("settings_not_sent");
	}
}

static void on_settings_result(
	void *ctx, struct ipc_link *link, const Gh__Msg *msg)
{
	struct server *s = ctx;

	(void)link;
	snapshots_on_result(s->snapshots, msg->settings_result);
}

/* --------------------------------------------------------------- records */

static void on_cdr(void *ctx, struct ipc_link *link, const Gh__Msg *msg)
{
	const Gh__CdrWrite *write = msg->cdr_write;
	struct server *s = ctx;
	struct cdr_wait *w;
	int err = ERR_INVALID;

	w = calloc(1, sizeof(*w));
	if (!w) /* not acknowledged: sbc keeps it and sends it again */
		return;
	w->token = ++s->next_token;
	w->id = write->id;
	w->link = link;
	TAILQ_INSERT_TAIL(&s->cdr_waits, w, order);
	if (write->cdr)
		err = records_cdr(s->records, write->cdr, w->token);
	if (err == 0)
		return;
	log_err("cdr_not_taken", LOG_ERR(err),
		LOG_CALL(write->cdr ? write->cdr->call : ""));
	TAILQ_REMOVE(&s->cdr_waits, w, order);
	free(w);
}

static void on_cdr_safe(void *ctx, uint64_t token)
{
	Gh__CdrAck ack = GH__CDR_ACK__INIT;
	IPC_MSG(msg, CDR_ACK, cdr_ack, &ack);
	struct server *s = ctx;
	struct cdr_wait *w;

	TAILQ_FOREACH (w, &s->cdr_waits, order)
		if (w->token == token)
			break;
	if (!w)
		return;
	ack.id = w->id;
	if (w->link && ipc_send(w->link, &msg) < 0)
		log_peer_warning("cdr_ack_not_sent");
	TAILQ_REMOVE(&s->cdr_waits, w, order);
	free(w);
}

static void on_event(void *ctx, struct ipc_link *link, const Gh__Msg *msg)
{
	struct server *s = ctx;

	(void)link;
	records_event(s->records, msg->event);
}

static void on_live_calls(void *ctx, struct ipc_link *link, const Gh__Msg *msg)
{
	struct server *s = ctx;

	(void)link;
	live_calls_take(s->live_calls, msg->active_calls);
}

static void ask_live_calls(void *ctx)
{
	Gh__ActiveCallsAsk ask = GH__ACTIVE_CALLS_ASK__INIT;
	IPC_MSG(msg, ACTIVE_CALLS_ASK, active_calls_ask, &ask);
	struct server *s = ctx;

	if (s->ipc)
		ipc_broadcast(s->ipc, PROCESS_BIT(PROCESS_SBC), &msg);
}

static void on_bindings(void *ctx, struct ipc_link *link, const Gh__Msg *msg)
{
	struct server *s = ctx;
	int err;

	(void)link;
	err = bindings_update(s->bindings, msg->bindings_update);
	if (err < 0)
		log_peer_warning("bindings_not_taken", LOG_ERR(err));
}

static void on_ctl(void *ctx, struct ipc_link *link, const Gh__Msg *msg)
{
	struct server *s = ctx;

	control_on_request(&s->control, link, msg->ctl_request);
}

/* ----------------------------------------------------------------- links */

static const struct ipc_permit permits[] = {
	{GH__MSG__BODY_AUTH_REQUEST, PROCESS_BIT(PROCESS_SBC), ask_on_auth},
	{GH__MSG__BODY_OFFERS_REQUEST, PROCESS_BIT(PROCESS_SBC), ask_on_offers},
	{GH__MSG__BODY_ACCOUNT_QUERY, PROCESS_BIT(PROCESS_SBC), ask_on_account},
	{GH__MSG__BODY_TRUNK_AUTH_REQUEST, PROCESS_BIT(PROCESS_SBC),
		ask_on_trunk_auth},
	{GH__MSG__BODY_SETTINGS_RESULT, PROCESS_BIT(PROCESS_SBC),
		on_settings_result},
	{GH__MSG__BODY_BINDINGS_UPDATE, PROCESS_BIT(PROCESS_SBC), on_bindings},
	{GH__MSG__BODY_ACTIVE_CALLS, PROCESS_BIT(PROCESS_SBC), on_live_calls},
	{GH__MSG__BODY_CDR_WRITE, PROCESS_BIT(PROCESS_SBC), on_cdr},
	{GH__MSG__BODY_EVENT,
		PROCESS_BIT(PROCESS_SBC) | PROCESS_BIT(PROCESS_FLOWD),
		on_event},
	{GH__MSG__BODY_CTL_REQUEST, PROCESS_BIT(PROCESS_CTL), on_ctl},
};

static void on_link_up(void *ctx, struct ipc_link *link)
{
	struct server *s = ctx;

	if (ipc_peer(link) != PROCESS_SBC)
		return;
	log_notice("sbc_up");
	if (s->n_sbc == SERVER_SBC_MAX) {
		log_err("too_many_sbc");
		return;
	}
	s->sbc[s->n_sbc++] = link;
	send_nonce_keys(s, link);
	if (snapshots_send(s->snapshots, link) < 0)
		log_warning("no_settings_yet");
	if (restore_new(s->loop, s->bindings, s->accounts, link,
		    &s->restore[s->n_sbc - 1]) < 0)
		log_warning("bindings_not_sent");
	ban_news_send_all(s, link);
}

static void on_link_down(void *ctx, struct ipc_link *link, enum reason why)
{
	struct server *s = ctx;
	struct cdr_wait *w;

	ask_on_link_down(s, link);
	TAILQ_FOREACH (w, &s->cdr_waits, order)
		if (w->link == link)
			w->link = NULL;
	for (size_t i = 0; i < s->n_sbc; i++) {
		if (s->sbc[i] != link)
			continue;
		restore_free(&s->restore[i]);
		s->sbc[i] = s->sbc[--s->n_sbc];
		s->restore[i] = s->restore[s->n_sbc];
		s->restore[s->n_sbc] = NULL;
		log_notice("sbc_down", LOG_STR("reason", reason_text(why)));
		break;
	}
}

/* -------------------------------------------------------------- database */

static void on_published(void *ctx, const struct db_result *result)
{
	(void)ctx;
	if (result->err != 0)
		log_warning(
			"not_published", LOG_STR("problem", result->problem));
}

static int reasons_json(char **text_out)
{
	struct json j;

	json_begin(&j);
	json_open_array(&j, "reasons");
	for (int r = 0; r < REASON_COUNT; r++) {
		json_open_object(&j, NULL);
		json_uint(&j, "number", reason_number((enum reason)r));
		json_str(&j, "text", reason_text((enum reason)r));
		json_str(&j, "sentence", reason_sentence((enum reason)r));
		json_close_object(&j);
	}
	json_close_array(&j);
	return json_end(&j, text_out);
}

/* Tells the database what only this program knows: its table of reasons, and
 * the key that trunk passwords are sealed for. */
static void publish(struct server *s)
{
	uint8_t key[UNSEAL_PUBLIC_SIZE];
	char hex[2 * UNSEAL_PUBLIC_SIZE + 3] = "\\x", *reasons = NULL;
	struct db_step steps[2] = {
		{.sql = "SELECT sbc.reason_store(($1::jsonb)->'reasons')",
			.n_params = 1},
		{.sql = "SELECT sbc.seal_key_store($1::bytea)", .n_params = 1},
	};
	const struct db_job job = {
		.steps = steps,
		.n_steps = 2,
		.timeout_us = STORE_US,
		.fn = on_published,
		.ctx = s,
	};
	int len = unseal_public_key(s->key->rsa, key);

	if (len < 0 || reasons_json(&reasons) < 0) {
		log_err("not_published", LOG_STR("problem", "out of memory"));
		return;
	}
	for (int i = 0; i < len; i++)
		snprintf(hex + 2 + 2 * i, 3, "%02x", key[i]);
	steps[0].params[0] = reasons;
	steps[1].params[0] = hex;
	if (db_submit(s->db, &job) < 0)
		log_warning("not_published", LOG_STR("problem", "database"));
	free(reasons);
}

void server_on_db_up(void *ctx)
{
	struct server *s = ctx;

	publish(s);
	/* Whatever changed while nobody listened: */
	accounts_changed(s->accounts, 0);
	snapshots_read(s->snapshots);
	ban_news_read(s);
	records_pump(s->records);
	bindings_on_db_up(s->bindings);
	live_calls_on_db_up(s->live_calls);
}

void server_on_db_down(void *ctx)
{
	(void)ctx;
	reason_count(REASON_DB_AWAY);
}

static void tell_accounts_changed(struct server *s, uint64_t id)
{
	Gh__AccountsChanged changed = GH__ACCOUNTS_CHANGED__INIT;
	IPC_MSG(msg, ACCOUNTS_CHANGED, accounts_changed, &changed);

	if (id != 0) {
		changed.accounts = &id;
		changed.n_accounts = 1;
	}
	if (s->ipc)
		ipc_broadcast(s->ipc, PROCESS_BIT(PROCESS_SBC), &msg);
}

void server_on_db_notify(void *ctx, const char *channel, const char *payload)
{
	struct server *s = ctx;
	uint64_t id;

	if (strcmp(channel, "sbc_config") == 0) {
		snapshots_read(s->snapshots);
	} else if (strcmp(channel, "sbc_account") == 0) {
		id = strtoull(payload, NULL, 10); /* "all" is 0 */
		accounts_changed(s->accounts, id);
		tell_accounts_changed(s, id);
	} else if (strcmp(channel, "sbc_ban") == 0) {
		ban_news_read(s);
	}
}

/* ------------------------------------------------------------------ life */

static bool is_shared(void *ctx, const struct addr *source)
{
	const struct server *s = ctx;

	return bindings_has_host(s->bindings, source);
}

static int make_parts(struct server *s, const struct server_config *config)
{
	static const struct snapshots_events events = {
		.on_change = on_settings_change,
		.on_new = on_settings_new,
	};
	int err;

	err = digest_new(&s->digest);
	if (err == 0)
		err = replay_new(REPLAY_MAX, &s->replay);
	if (err == 0)
		err = live_new(REPLAY_MAX, BAN_SOURCES_MAX, &s->live);
	if (err == 0)
		err = ban_new(BAN_SOURCES_MAX, &s->bans);
	if (err == 0)
		err = sync_new(s->loop, &s->sync);
	if (err == 0)
		err = throttle_new(s->loop, ask_on_held, s, &s->throttle);
	if (err == 0)
		err = loop_timer_new(
			s->loop, on_nonce_timer, s, &s->nonce_timer);
	if (err == 0)
		err = loop_timer_new(s->loop, on_tidy, s, &s->tidy_timer);
	if (err == 0)
		err = loop_timer_new(
			s->loop, ban_news_on_timer, s, &s->ban_timer);
	if (err == 0)
		err = snapshots_new(s->loop, config->settings_vault, &events, s,
			&s->snapshots);
	if (err == 0)
		err = accounts_new(s->loop, config->accounts_vault,
			config->account_cache, config->account_ttl_us,
			&s->accounts);
	if (err == 0)
		err = bindings_new(
			s->loop, config->bindings_vault, &s->bindings);
	if (err == 0)
		err = records_new(s->loop, s->sync, config->spool_dir,
			on_cdr_safe, s, &s->records);
	if (err == 0)
		err = live_calls_new(ask_live_calls, s, &s->live_calls);
	return err;
}

int server_new(const struct server_config *config, struct server **server_out)
{
	struct server *s = calloc(1, sizeof(*s));
	uint8_t dummy[KEY_SIZE];
	int err;

	if (!s)
		return ERR_NOMEM;
	s->daemon = config->daemon;
	s->loop = config->daemon->loop;
	s->key = config->key;
	s->vaults[0] = config->settings_vault;
	s->vaults[1] = config->accounts_vault;
	s->vaults[2] = config->bindings_vault;
	token_init(&s->failure_budget, FAILURES_PER_S, FAILURES_BURST,
		clock_now_us());
	TAILQ_INIT(&s->asks);
	TAILQ_INIT(&s->cdr_waits);
	err = make_parts(s, config);
	if (err == 0)
		err = key_derive(s->key, "unknown users", "", 0, dummy);
	if (err < 0) {
		server_free(&s);
		return err;
	}
	s->judge = (struct judge){
		.digest = s->digest,
		.accounts = s->accounts,
		.snapshots = s->snapshots,
		.replay = s->replay,
		.bans = s->bans,
		.nonce_keys = &s->nonce_keys,
		.is_shared = is_shared,
		.on_ban = ban_news_on_ban,
		.ctx = s,
	};
	memcpy(s->judge.dummy_key, dummy, sizeof(s->judge.dummy_key));
	secret_wipe(dummy, sizeof(dummy));
	control_init(
		&s->control, s->daemon, server_commands, server_n_commands, s);
	s->nonce_keys.lifetime_s = 300;
	on_settings_change(s);
	loop_timer_set(s->loop, s->tidy_timer, TIDY_US);
	*server_out = s;
	return 0;
}

void server_set_db(struct server *s, struct db *db)
{
	s->db = db;
	accounts_set_db(s->accounts, db);
	snapshots_set_db(s->snapshots, db);
	bindings_set_db(s->bindings, db);
	records_set_db(s->records, db);
	live_calls_set_db(s->live_calls, db);
}

int server_listen(struct server *s, const char *path)
{
	const struct ipc_config config = {
		.loop = s->loop,
		.self = PROCESS_AUTHD,
		.users = &s->daemon->users,
		.permits = permits,
		.n_permits = sizeof(permits) / sizeof(permits[0]),
		.events = {.on_up = on_link_up, .on_down = on_link_down},
		.ctx = s,
	};

	return ipc_listen(&config, path, &s->ipc);
}

bool server_has_settings(const struct server *s)
{
	return snapshots_have(s->snapshots);
}

void server_free(struct server **server)
{
	struct server *s = *server;
	struct cdr_wait *w;

	*server = NULL;
	if (!s)
		return;
	ipc_server_free(&s->ipc);
	if (s->records)
		records_free(&s->records);
	live_calls_free(&s->live_calls);
	if (s->accounts)
		ask_free(s);
	while ((w = TAILQ_FIRST(&s->cdr_waits))) {
		TAILQ_REMOVE(&s->cdr_waits, w, order);
		free(w);
	}
	for (size_t i = 0; i < s->n_sbc; i++)
		restore_free(&s->restore[i]);
	bindings_free(&s->bindings);
	accounts_free(&s->accounts);
	snapshots_free(&s->snapshots);
	throttle_free(&s->throttle);
	sync_free(&s->sync);
	ban_free(&s->bans);
	replay_free(&s->replay);
	live_free(&s->live);
	digest_free(&s->digest);
	loop_timer_free(s->loop, &s->nonce_timer);
	loop_timer_free(s->loop, &s->tidy_timer);
	loop_timer_free(s->loop, &s->ban_timer);
	secret_wipe(&s->nonce_keys, sizeof(s->nonce_keys));
	secret_wipe(&s->judge, sizeof(s->judge));
	free(s);
}
