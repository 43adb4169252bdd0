/* SPDX-License-Identifier: Apache-2.0 */
/*
 * authd: knows who somebody is. Alone holds secrets and the way to the
 * database; answers sbc's questions, hands out settings, keeps records. This
 * file only puts the parts together, in the order of common/daemon.h.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "authd/key.h"
#include "authd/server.h"
#include "authd/vault.h"
#include "common/clock.h"
#include "common/daemon.h"
#include "common/log.h"

struct authd_settings {
	struct daemon_settings common;
	char *database;
	char *state_dir;
	char *key_file;
	uint64_t db_connections;
	uint64_t account_cache;
	uint64_t account_ttl_s;
};

#define ROW(name, type, def, min, max, unit, text)                             \
	{                                                                      \
#name, type, offsetof(struct authd_settings, name), def, min,  \
			max, unit, text                                        \
	}

static const struct conf_option options[] = {
	DAEMON_OPTIONS(struct authd_settings),
	ROW(database, CONF_STRING,
		"dbname=gatehouse host=/run/postgresql user=sbc_authd", 0, 0,
		"", "PostgreSQL connection string"),
	ROW(state_dir, CONF_STRING, STATE_DIR "/authd", 0, 0, "",
		"folder of the last good copy and of records on their way"),
	ROW(key_file, CONF_STRING, NULL, 0, 0, "",
		"key that seals what is kept; made at the first start; "
		"absent: the file key in state_dir"),
	ROW(db_connections, CONF_UINT, "3", 1, DB_CONNECTIONS_MAX - 1, "",
		"connections to the database besides the listening one"),
	ROW(account_cache, CONF_UINT, "50000", 100, 1000000, "accounts",
		"accounts that are held in memory"),
	ROW(account_ttl_s, CONF_UINT, "3600", 1, 86400, "s",
		"how long an account stays in memory that nobody changed"),
};

/* Everything that lives as long as the process. */
struct authd {
	struct daemon daemon;
	struct authd_settings settings;
	struct key key;
	struct vault *settings_vault;
	struct vault *accounts_vault;
	struct vault *bindings_vault;
	char spool_dir[4096];
	struct server *server;
	struct db *db;
	bool keeper_heard; /* it has handed over what it holds for us */
};

static void on_keeper_fd(void *ctx, const char *name, int fd)
{
	struct authd *a = ctx;

	server_on_keeper_fd(a->server, name, fd);
}

static void on_keeper_up(void *ctx)
{
	struct authd *a = ctx;

	server_on_keeper_up(a->server);
	if (a->keeper_heard)
		return;
	a->keeper_heard = true;
	loop_stop(a->daemon.loop);
}

static const struct notify_events keeper_events = {
	.on_fd = on_keeper_fd,
	.on_up = on_keeper_up,
};

static int check_settings(void *settings, char *problem)
{
	const struct authd_settings *s = settings;

	if (s->state_dir[0] == '/' &&
		(s->key_file == NULL || s->key_file[0] == '/'))
		return 0;
	snprintf(problem, CONF_PROBLEM_SIZE,
		"state_dir and key_file must be absolute paths");
	return ERR_INVALID;
}

static int open_state(struct authd *a)
{
	const char *dir = a->settings.state_dir;
	char problem[KEY_PROBLEM_SIZE], key_file[4096];
	int err;

	if (mkdir(dir, 0700) < 0 && errno != EEXIST) {
		log_err("state_dir", LOG_STR("path", dir), LOG_ERRNO(errno));
		return ERR_SYSTEM;
	}
	if (a->settings.key_file != NULL)
		snprintf(key_file, sizeof key_file, "%s", a->settings.key_file);
	else
		snprintf(key_file, sizeof key_file, "%s/key", dir);
	err = key_load(key_file, &a->key, problem);
	if (err < 0) {
		log_err("key_file", LOG_STR("problem", problem));
		return err;
	}
	err = vault_open(&a->key, dir, "settings", 16, &a->settings_vault);
	if (err == 0)
		err = vault_open(
			&a->key, dir, "accounts", 1000000, &a->accounts_vault);
	if (err == 0)
		err = vault_open(&a->key, dir, "bindings",
			BINDINGS_ACCOUNTS_MAX, &a->bindings_vault);
	if (err < 0)
		log_err("state_dir", LOG_STR("path", dir), LOG_ERR(err),
			LOG_ERRNO(errno));
	return err;
}

static int open_server(struct authd *a)
{
	const struct server_config config = {
		.daemon = &a->daemon,
		.key = &a->key,
		.settings_vault = a->settings_vault,
		.accounts_vault = a->accounts_vault,
		.bindings_vault = a->bindings_vault,
		.spool_dir = a->spool_dir,
		.account_cache = a->settings.account_cache,
		.account_ttl_us = a->settings.account_ttl_s * CLOCK_US_PER_S,
	};
	char path[128];
	int err;

	if (snprintf(a->spool_dir, sizeof(a->spool_dir), "%s/spool",
		    a->settings.state_dir) >= (int)sizeof(a->spool_dir))
		return ERR_TOO_BIG;
	err = server_new(&config, &a->server);
	if (err < 0) {
		log_err("start_failed", LOG_STR("step", "state"), LOG_ERR(err),
			LOG_ERRNO(errno));
		return err;
	}
	/* sbc finds us only when it is known which nonces are good. */
	err = daemon_run(&a->daemon);
	if (err == 0 && a->daemon.stopping)
		return 1;
	if (err == 0)
		server_resume(a->server);
	if (err == 0)
		err = daemon_socket_path(
			&a->daemon, PROCESS_AUTHD, path, sizeof(path));
	if (err == 0)
		err = server_listen(a->server, path);
	if (err < 0)
		log_err("start_failed", LOG_STR("step", "socket"),
			LOG_STR("path", path), LOG_ERR(err));
	return err;
}

static int open_database(struct authd *a)
{
	static const struct db_events events = {
		.on_up = server_on_db_up,
		.on_down = server_on_db_down,
		.on_notify = server_on_db_notify,
	};
	char problem[256];
	int err;

	err = db_new(a->daemon.loop, a->settings.database,
		a->settings.db_connections, &events, a->server, problem,
		sizeof(problem), &a->db);
	if (err < 0) {
		log_err("database", LOG_STR("problem", problem));
		return err;
	}
	server_set_db(a->server, a->db);
	return 0;
}

static int enter_sandbox(struct authd *a)
{
	/* libpq resolves the host of the connection string, and over TCP may
	 * use TLS. */
	const struct sandbox_path paths[] = {
		{a->settings.state_dir, SANDBOX_READ | SANDBOX_WRITE},
		{a->settings.common.runtime_dir, SANDBOX_READ | SANDBOX_WRITE},
		{"/etc/hosts", SANDBOX_READ},
		{"/etc/host.conf", SANDBOX_READ},
		{"/etc/resolv.conf", SANDBOX_READ},
		{"/etc/nsswitch.conf", SANDBOX_READ},
		{"/etc/gai.conf", SANDBOX_READ},
		{"/etc/passwd", SANDBOX_READ},
		{"/etc/ssl", SANDBOX_READ},
		{"/usr/lib/ssl", SANDBOX_READ},
		{"/usr/share/ca-certificates", SANDBOX_READ},
	};
	static const char *const syscalls[] = {
		"io_setup", "io_submit", "io_getevents", "io_destroy"};
	const struct sandbox_profile profile = {
		.paths = paths,
		.n_paths = sizeof(paths) / sizeof(paths[0]),
		.syscalls = syscalls,
		.n_syscalls = sizeof(syscalls) / sizeof(syscalls[0]),
		.may_tcp_connect = true,
	};

	return daemon_sandbox(&a->daemon, &profile);
}

static void say_ready(struct authd *a)
{
	if (!server_has_settings(a->server))
		log_warning("no_settings",
			LOG_STR("reason",
				"nothing kept from before; waiting for the "
				"database"));
	daemon_ready(&a->daemon);
}

static void close_all(struct authd *a)
{
	server_free(&a->server);
	db_free(&a->db);
	vault_free(&a->settings_vault);
	vault_free(&a->accounts_vault);
	vault_free(&a->bindings_vault);
	key_done(&a->key);
	daemon_end(&a->daemon);
}

int main(int argc, char **argv)
{
	static struct authd a = {
		.daemon =
			{
				.self = PROCESS_AUTHD,
				.summary = "accounts, secrets and data",
				.options = options,
				.n_options =
					sizeof(options) / sizeof(options[0]),
				.check = check_settings,
				.keeper_events = &keeper_events,
			},
	};
	int err;

	a.daemon.settings = &a.settings;
	a.daemon.ctx = &a;
	err = daemon_options(&a.daemon, argc, argv);
	if (err == 0)
		err = daemon_config(&a.daemon);
	if (err != 0)
		return err > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
	err = daemon_begin(&a.daemon);
	if (err == 0)
		err = open_state(&a);
	if (err == 0)
		err = open_server(&a);
	if (err == 0)
		err = open_database(&a);
	if (err == 0)
		err = enter_sandbox(&a);
	if (err == 0) {
		say_ready(&a);
		err = daemon_run(&a.daemon);
	}
	close_all(&a);
	return err < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
