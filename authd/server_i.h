/* SPDX-License-Identifier: Apache-2.0 */
/* What server.c and its parts (ask.c, ban_news.c, server_ctl.c) share. */
#ifndef AUTHD_SERVER_I_H
#define AUTHD_SERVER_I_H

#include <sys/queue.h>

#include "authd/live.h"
#include "authd/live_calls.h"
#include "authd/restore.h"
#include "authd/server.h"
#include "authd/throttle.h"
#include "common/token.h"

enum { SERVER_SBC_MAX = 16, SERVER_VAULTS = 3 };

/* One question of sbc that waits for an account. */
struct ask_request {
	TAILQ_ENTRY(ask_request) order;
	struct server *server;
	struct ipc_link *link;
	Gh__Msg *msg; /* copy of the question */
	uint64_t arrived_us;
	struct account_wait *wait;
};

/* A CDR whose sender waits for the acknowledgement. */
struct cdr_wait {
	TAILQ_ENTRY(cdr_wait) order;
	uint64_t token;
	uint64_t id;
	struct ipc_link *link;
};

struct server {
	struct daemon *daemon;
	struct loop *loop;
	struct db *db;
	const struct key *key;
	struct ipc_server *ipc;
	struct ipc_link *sbc[SERVER_SBC_MAX]; /* one, or more workers later */
	struct restore *restore[SERVER_SBC_MAX]; /* beside sbc */
	size_t n_sbc;
	struct control control;
	struct sync *sync;
	struct digest *digest;
	struct replay *replay;
	struct live *live;
	struct ban_table *bans;
	struct accounts *accounts;
	struct snapshots *snapshots;
	struct bindings *bindings;
	struct records *records;
	struct live_calls *live_calls;
	struct judge judge;
	struct nonce_keys nonce_keys;
	uint64_t nonce_from_us;
	struct loop_timer *nonce_timer;
	struct loop_timer *tidy_timer;
	struct throttle *throttle;
	struct token failure_budget;         /* wrong answers that are judged */
	struct vault *vaults[SERVER_VAULTS]; /* borrowed */
	unsigned n_flushing;
	size_t rewritten; /* vault whose new file is being flushed */
	int rewritten_fd;
	uint64_t purged_us;
	TAILQ_HEAD(, ask_request) asks;
	size_t n_asks;
	TAILQ_HEAD(, cdr_wait) cdr_waits;
	uint64_t next_token;
	uint64_t ban_made_us; /* the newest ban */
	uint64_t ban_read_us; /* the last question for bans in SQL */
	bool ban_all_stored;  /* when it was asked, SQL had all bans */
	struct loop_timer *ban_timer;
};

/* ask.c: questions about accounts and credentials. */
void ask_on_auth(void *ctx, struct ipc_link *link, const Gh__Msg *msg);
void ask_on_offers(void *ctx, struct ipc_link *link, const Gh__Msg *msg);
void ask_on_account(void *ctx, struct ipc_link *link, const Gh__Msg *msg);
void ask_on_trunk_auth(void *ctx, struct ipc_link *link, const Gh__Msg *msg);
void ask_on_link_down(struct server *s, struct ipc_link *link);
void ask_free(struct server *s);
/* For throttle_new(). */
void ask_on_held(void *ctx, void *item, bool give_up);

/* ban_news.c: bans, told to sbc and to the database. */
void ban_news_send_all(struct server *s, struct ipc_link *link);
void ban_news_on_settings(struct server *s);
void ban_news_read(struct server *s);
void ban_news_on_timer(void *arg);
void ban_news_lift(struct server *s, const struct addr *host);
void ban_news_on_ban(void *ctx, const struct addr *source, const char *user,
	uint32_t failures);

/* server_ctl.c */
extern const struct control_command server_commands[];
extern const size_t server_n_commands;

#endif
