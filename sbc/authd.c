/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The link to authd: one permit table, and for each message the module that
 * hears it. A snapshot is collected here and put in force whole, or refused
 * whole and reported.
 */
#include "sbc/authd.h"

#include <stdlib.h>

#include "common/log.h"
#include "sbc/sbc.h"
#include "sbc/trunk.h"

struct authd {
	struct sbc *sbc;
	struct ipc_link *link;
	struct settings_collector *collector;
	uint64_t last_id;
};

/* --------------------------------------------------------------- settings */

static void on_piece(void *ctx, struct ipc_link *link, const Gh__Msg *msg)
{
	struct authd *authd = ctx;
	int err = settings_collect(authd->collector, msg->settings_piece);

	(void)link;
	/* settings_finish() will find the count wrong and refuse the whole. */
	if (err != 0)
		log_err("settings_piece_lost", LOG_ERR(err));
}

static void send_result(struct authd *authd, uint64_t version, enum reason why,
	const char *problem)
{
	Gh__SettingsResult result = GH__SETTINGS_RESULT__INIT;
	int err;

	result.version = version;
	result.accepted = why == REASON_SETTINGS_OK;
	result.reason = reason_number(why);
	result.problem = (char *)(uintptr_t)problem;
	IPC_MSG(msg, SETTINGS_RESULT, settings_result, &result);
	err = authd_send(authd, &msg);
	if (err != 0)
		log_warning("settings_result_lost", LOG_ERR(err));
}

static void on_done(void *ctx, struct ipc_link *link, const Gh__Msg *msg)
{
	struct authd *authd = ctx;
	const Gh__SettingsDone *done = msg->settings_done;
	enum reason why = REASON_SETTINGS_OK;
	char problem[SETTINGS_PROBLEM_SIZE] = "";
	struct settings *settings;
	int err;

	(void)link;
	err = settings_finish(authd->collector, done, &settings, &why, problem);
	if (err != 0) {
		if (why == REASON_SETTINGS_OK)
			why = REASON_SETTINGS_INVALID;
		reason_count(why);
		log_err("settings_refused", LOG_UINT("version", done->version),
			LOG_STR("reason", reason_text(why)),
			LOG_STR("problem", problem), LOG_ERR(err));
		send_result(authd, done->version, why, problem);
		return;
	}
	reason_count(REASON_SETTINGS_OK);
	sbc_apply(authd->sbc, settings);
	send_result(authd, done->version, REASON_SETTINGS_OK, "");
}

/* -------------------------------------------------------- to their modules */

static void on_nonce_keys(void *ctx, struct ipc_link *link, const Gh__Msg *msg)
{
	struct authd *authd = ctx;

	(void)link;
	auth_on_nonce_keys(authd->sbc->auth, msg->nonce_keys);
}

static void on_auth_answer(void *ctx, struct ipc_link *link, const Gh__Msg *msg)
{
	struct authd *authd = ctx;

	(void)link;
	auth_on_answer(authd->sbc->auth, msg->auth_answer);
}

static void on_account_answer(
	void *ctx, struct ipc_link *link, const Gh__Msg *msg)
{
	struct authd *authd = ctx;

	(void)link;
	accounts_on_answer(authd->sbc->accounts, msg->account_answer);
}

static void on_accounts_changed(
	void *ctx, struct ipc_link *link, const Gh__Msg *msg)
{
	struct authd *authd = ctx;

	(void)link;
	accounts_forget(authd->sbc->accounts, msg->accounts_changed);
	bindings_on_accounts_changed(
		authd->sbc->bindings, msg->accounts_changed);
}

static void on_ban(void *ctx, struct ipc_link *link, const Gh__Msg *msg)
{
	struct authd *authd = ctx;

	(void)link;
	admit_on_ban(authd->sbc->admit, msg->ban);
	flow_ban(authd->sbc->flows, msg->ban);
}

static void on_bindings_saved(
	void *ctx, struct ipc_link *link, const Gh__Msg *msg)
{
	struct authd *authd = ctx;

	(void)link;
	bindings_on_saved(authd->sbc->bindings, msg->bindings_saved);
}

static void on_trunk_auth(void *ctx, struct ipc_link *link, const Gh__Msg *msg)
{
	struct authd *authd = ctx;

	(void)link;
	trunks_on_auth_answer(authd->sbc->trunks, msg->trunk_auth_answer);
}

static void on_cdr_ack(void *ctx, struct ipc_link *link, const Gh__Msg *msg)
{
	struct authd *authd = ctx;

	(void)link;
	cdrs_on_ack(authd->sbc->cdrs, msg->cdr_ack);
}

static void on_offers(void *ctx, struct ipc_link *link, const Gh__Msg *msg)
{
	struct authd *authd = ctx;

	(void)link;
	auth_on_offers(authd->sbc->auth, msg->offers_answer);
}

static void on_calls_ask(void *ctx, struct ipc_link *link, const Gh__Msg *msg)
{
	struct authd *authd = ctx;

	(void)link;
	(void)msg;
	call_report_again(authd->sbc->report);
}

static const struct ipc_permit permits[] = {
	{GH__MSG__BODY_SETTINGS_PIECE, PROCESS_BIT(PROCESS_AUTHD), on_piece},
	{GH__MSG__BODY_SETTINGS_DONE, PROCESS_BIT(PROCESS_AUTHD), on_done},
	{GH__MSG__BODY_NONCE_KEYS, PROCESS_BIT(PROCESS_AUTHD), on_nonce_keys},
	{GH__MSG__BODY_AUTH_ANSWER, PROCESS_BIT(PROCESS_AUTHD), on_auth_answer},
	{GH__MSG__BODY_ACCOUNT_ANSWER, PROCESS_BIT(PROCESS_AUTHD),
		on_account_answer},
	{GH__MSG__BODY_ACCOUNTS_CHANGED, PROCESS_BIT(PROCESS_AUTHD),
		on_accounts_changed},
	{GH__MSG__BODY_TRUNK_AUTH_ANSWER, PROCESS_BIT(PROCESS_AUTHD),
		on_trunk_auth},
	{GH__MSG__BODY_BAN, PROCESS_BIT(PROCESS_AUTHD), on_ban},
	{GH__MSG__BODY_BINDINGS_SAVED, PROCESS_BIT(PROCESS_AUTHD),
		on_bindings_saved},
	{GH__MSG__BODY_CDR_ACK, PROCESS_BIT(PROCESS_AUTHD), on_cdr_ack},
	{GH__MSG__BODY_OFFERS_ANSWER, PROCESS_BIT(PROCESS_AUTHD), on_offers},
	{GH__MSG__BODY_ACTIVE_CALLS_ASK, PROCESS_BIT(PROCESS_AUTHD),
		on_calls_ask},
};

/* ------------------------------------------------------------------- link */

static void on_up(void *ctx, struct ipc_link *link)
{
	struct authd *authd = ctx;

	(void)link;
	log_notice("authd_up");
	auth_on_authd_up(authd->sbc->auth);
	accounts_on_authd_up(authd->sbc->accounts);
	bindings_on_authd_up(authd->sbc->bindings);
	cdrs_on_authd_up(authd->sbc->cdrs);
	call_report_again(authd->sbc->report);
}

static void on_down(void *ctx, struct ipc_link *link, enum reason why)
{
	struct authd *authd = ctx;

	(void)link;
	log_warning("authd_away", LOG_STR("reason", reason_text(why)));
	auth_on_authd_down(authd->sbc->auth);
}

bool authd_is_up(const struct authd *authd)
{
	return authd->link && ipc_is_up(authd->link);
}

int authd_send(struct authd *authd, const Gh__Msg *msg)
{
	return authd->link ? ipc_send(authd->link, msg) : ERR_AWAY;
}

uint64_t authd_next_id(struct authd *authd)
{
	return ++authd->last_id;
}

struct loop *authd_loop(const struct authd *authd)
{
	return authd->sbc->daemon.loop;
}

int authd_new(struct sbc *sbc, const char *path, struct authd **authd_out)
{
	struct authd *authd = calloc(1, sizeof(*authd));
	struct ipc_config config = {
		.loop = sbc->daemon.loop,
		.self = PROCESS_SBC,
		.users = &sbc->daemon.users,
		.permits = permits,
		.n_permits = sizeof(permits) / sizeof(permits[0]),
		.events = {.on_up = on_up, .on_down = on_down},
		.ctx = authd,
	};
	int err = ERR_NOMEM;

	if (!authd)
		return ERR_NOMEM;
	authd->sbc = sbc;
	err = settings_collector_new(&authd->collector);
	if (err == 0)
		err = ipc_connect(&config, path, PROCESS_AUTHD, &authd->link);
	if (err != 0) {
		authd_free(&authd);
		return err;
	}
	*authd_out = authd;
	return 0;
}

void authd_free(struct authd **ref)
{
	struct authd *authd = *ref;

	if (!authd)
		return;
	*ref = NULL;
	ipc_link_free(&authd->link);
	settings_collector_free(&authd->collector);
	free(authd);
}
