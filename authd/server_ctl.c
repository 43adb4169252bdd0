/* SPDX-License-Identifier: Apache-2.0 */
/*
 * authd's own commands of sbcctl, beside those that every daemon has. Called
 * by common/control.
 */
#include "authd/server_i.h"

#include "common/clock.h"

struct list_bans {
	struct json *json;
	uint64_t now_us, wall_us;
};

static void put_ban(void *ctx, const struct addr *host, uint64_t until_us)
{
	struct list_bans *l = ctx;
	char text[ADDR_TEXT_SIZE];

	json_open_object(l->json, NULL);
	json_str(l->json, "host", addr_format_ip(host, text));
	json_time(l->json, "until", l->wall_us + (until_us - l->now_us));
	json_uint(l->json, "remaining_s",
		(until_us - l->now_us) / CLOCK_US_PER_S);
	json_str(l->json, "reason", reason_text(REASON_BAN_FAILURES));
	json_close_object(l->json);
}

static int on_bans(void *ctx, const struct control_request *request,
	char **args, size_t n_args, struct json *answer)
{
	struct server *s = ctx;
	struct list_bans l = {answer, clock_now_us(), clock_wall_us()};

	(void)request;
	(void)args;
	(void)n_args;
	json_open_array(answer, "bans");
	ban_each(s->bans, l.now_us, put_ban, &l);
	json_close_array(answer);
	return CONTROL_OK;
}

static void on_lifted(void *ctx, const struct db_result *result)
{
	(void)ctx;
	if (result->err != 0)
		log_warning("ban_lift_not_stored",
			LOG_STR("problem", result->problem));
}

static int on_ban_lift(void *ctx, const struct control_request *request,
	char **args, size_t n_args, struct json *answer)
{
	struct server *s = ctx;
	const struct db_step step = {
		.sql = "SELECT sbc.ban_store_lift($1::inet)",
		.n_params = 1,
		.params = {args[0]},
	};
	const struct db_job job = {
		.steps = &step,
		.n_steps = 1,
		.timeout_us = 5 * CLOCK_US_PER_S,
		.fn = on_lifted,
		.ctx = s,
	};
	struct addr host;

	(void)request;
	(void)n_args;
	if (addr_parse(args[0], &host) < 0) {
		json_str(answer, "problem", "not an address");
		return CONTROL_USAGE;
	}
	if (!ban_until(s->bans, &host, clock_now_us())) {
		json_str(answer, "problem", "this address is not banned");
		return CONTROL_NO_SUCH;
	}
	ban_news_lift(s, &host);
	/* Without the database the row stays; it runs out by itself. */
	if (s->db && db_submit(s->db, &job) < 0)
		log_warning("ban_lift_not_stored",
			LOG_STR("problem", "the database is away"));
	json_str(answer, "host", args[0]);
	return CONTROL_OK;
}

static int on_data(void *ctx, const struct control_request *request,
	char **args, size_t n_args, struct json *answer)
{
	struct server *s = ctx;

	(void)request;
	(void)args;
	(void)n_args;
	json_bool(answer, "database_up", s->db && db_is_up(s->db));
	json_uint(answer, "settings_version", snapshots_version(s->snapshots));
	json_uint(answer, "accounts_cached", accounts_cached(s->accounts));
	json_uint(answer, "accounts_registered", bindings_count(s->bindings));
	json_uint(answer, "records_waiting", records_waiting(s->records));
	json_uint(answer, "nonces_remembered", replay_count(s->replay));
	return CONTROL_OK;
}

const struct control_command server_commands[] = {
	{"bans", "", "sources that are banned", 0, 0, on_bans},
	{"ban-lift", "ADDRESS", "lift a ban", 1, 1, on_ban_lift},
	{"data", "", "database, settings, spool", 0, 0, on_data},
};
const size_t server_n_commands =
	sizeof(server_commands) / sizeof(server_commands[0]);
