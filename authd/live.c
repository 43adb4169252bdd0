/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The records of authd's memory file; see live.h. Decides only whether what was
 * found can be used as a whole. Called by main (keeper's events) and server.
 */
#include "authd/live.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"
#include "common/secret.h"

enum {
	KEYS = 1, /* record types; those of replay.h follow */
	KEYS_VERSION = 1,
	SLOT_SIZE = 256,
};

/* As it stands in the file. */
struct keys_record {
	uint64_t from_us;
	uint32_t current_id;
	uint32_t previous_id;
	uint8_t current[NONCE_KEY_SIZE];
	uint8_t previous[NONCE_KEY_SIZE];
};
_Static_assert(sizeof(struct keys_record) == 16 + 2 * NONCE_KEY_SIZE,
	"no gaps in what is kept");

struct live {
	struct store_config config;
	struct store_found found;
	struct store *store;
	struct store_record *keys_record;
	struct keys_record keys; /* while it is opened */
	bool has_keys;
	bool bad; /* a record could not be used */
	struct replay *replay;
	struct store_config ban_config;
	struct store_found ban_found;
	struct store *ban_store;
};

int live_new(size_t max_nonces, size_t max_sources, struct live **live_out)
{
	struct live *l = calloc(1, sizeof(*l));

	if (!l)
		return ERR_NOMEM;
	l->config = (struct store_config){
		.name = "auth",
		.owner = PROCESS_AUTHD,
		.slot_size = SLOT_SIZE,
		/* A record that is replaced needs another one meanwhile. */
		.n_slots = (uint32_t)max_nonces + 8,
	};
	l->found = (struct store_found)STORE_FOUND_NONE;
	l->ban_config = (struct store_config){
		.name = "bans",
		.owner = PROCESS_AUTHD,
		.slot_size = BAN_SLOT_SIZE,
		/* Few sources have many names. */
		.n_slots = (uint32_t)max_sources * 2 + BAN_SOURCE_SLOTS,
	};
	l->ban_found = (struct store_found)STORE_FOUND_NONE;
	*live_out = l;
	return 0;
}

static void close_found(const struct store_found *found)
{
	if (found->fd >= 0)
		close(found->fd);
	if (found->other_fd >= 0)
		close(found->other_fd);
}

void live_free(struct live **live)
{
	struct live *l = *live;

	*live = NULL;
	if (!l)
		return;
	store_close(&l->store);
	store_close(&l->ban_store);
	close_found(&l->found);
	close_found(&l->ban_found);
	secret_wipe(&l->keys, sizeof(l->keys));
	free(l);
}

void live_on_fd(struct live *l, const char *name, int fd)
{
	if (!l->store && store_found_take(&l->found, &l->config, name, fd))
		return;
	if (!l->ban_store &&
		store_found_take(&l->ban_found, &l->ban_config, name, fd))
		return;
	close(fd);
}

static int on_record(void *ctx, struct store_record *record, uint32_t type,
	uint32_t version, const void *bytes, size_t len)
{
	struct live *l = ctx;
	int err = ERR_INVALID;

	if (type == KEYS && version == KEYS_VERSION && len == sizeof(l->keys) &&
		!l->has_keys) {
		memcpy(&l->keys, bytes, sizeof(l->keys));
		l->keys_record = record;
		l->has_keys = true;
		err = 0;
	} else if (type != KEYS) {
		err = replay_restore(
			l->replay, record, type, version, bytes, len);
	}
	if (err < 0)
		l->bad = true;
	return err;
}

int live_open(struct live *l, struct replay *replay,
	struct nonce_keys *keys_out, uint64_t *from_us_out, bool *found_out)
{
	int err;

	l->replay = replay;
	err = store_open(&l->config, &l->found, on_record, l, &l->store);
	if (err < 0)
		return err;
	replay_attach(replay, l->store);
	*found_out = l->has_keys && l->keys.current_id != 0 && !l->bad;
	if (*found_out) {
		keys_out->current.id = l->keys.current_id;
		keys_out->previous.id = l->keys.previous_id;
		memcpy(keys_out->current.key, l->keys.current, NONCE_KEY_SIZE);
		memcpy(keys_out->previous.key, l->keys.previous,
			NONCE_KEY_SIZE);
		*from_us_out = l->keys.from_us;
	}
	secret_wipe(&l->keys, sizeof(l->keys));
	return 0;
}

int live_fd(const struct live *l)
{
	return store_fd(l->store);
}

static int on_ban_record(void *ctx, struct store_record *record, uint32_t type,
	uint32_t version, const void *bytes, size_t len)
{
	return ban_restore(ctx, record, type, version, bytes, len);
}

void live_open_bans(struct live *l, struct ban_table *bans)
{
	int err = store_open(&l->ban_config, &l->ban_found, on_ban_record, bans,
		&l->ban_store);

	if (err < 0)
		log_warning("ban_counts_not_kept", LOG_ERR(err));
	else
		ban_attach(bans, l->ban_store);
}

void live_put_keys(
	struct live *l, const struct nonce_keys *keys, uint64_t from_us)
{
	struct keys_record r = {
		.from_us = from_us,
		.current_id = keys->current.id,
		.previous_id = keys->previous.id,
	};
	int err;

	if (!l->store)
		return;
	memcpy(r.current, keys->current.key, NONCE_KEY_SIZE);
	memcpy(r.previous, keys->previous.key, NONCE_KEY_SIZE);
	err = store_put(l->store, &l->keys_record, KEYS, KEYS_VERSION, &r,
		sizeof(r), 0);
	secret_wipe(&r, sizeof(r));
	if (err < 0) {
		/* The old ones would come back without their counts. */
		log_err("nonce_keys_not_kept", LOG_ERR(err));
		store_remove(l->store, &l->keys_record);
	}
}

void live_deposit(struct live *l, struct notify *keeper)
{
	struct store *stores[] = {l->store, l->ban_store};

	for (size_t i = 0; i < sizeof(stores) / sizeof(stores[0]); i++) {
		int err = stores[i] && keeper ? store_deposit(stores[i], keeper)
					      : 0;

		/* ERR_AWAY: it comes back, and this is called again. */
		if (err == ERR_FULL)
			log_warning("state_not_deposited", LOG_ERR(err));
	}
}
