/* SPDX-License-Identifier: Apache-2.0 */
/*
 * flowd: connections of peers, and nothing of what is said on them. It has the
 * keys of our certificates; it knows no account, no password and no call. The
 * order of common/daemon.h.
 *
 * Certificates are read again while it runs, so their folders stay readable in
 * the sandbox, and nothing else does.
 */
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/un.h>

#include "common/clock.h"
#include "common/daemon.h"
#include "flowd/ctl.h"
#include "flowd/tls.h"

/* A connection and its bridge. */
#define DESCRIPTORS_PER_FLOW 2u
/* Log, loop, links, keeper, listeners. */
#define DESCRIPTORS_OWN      384u
#define FLOWS_MAX            1000000u
/* Descriptors that a flood may use and leave nothing behind. */
#define WARM_FDS             4096

struct settings {
	struct daemon_settings common;
	char *tls_dir;
	char *ca_dir;
	char *system_ca;
	uint64_t max_flows;
	uint64_t max_handshakes;
	uint64_t accept_rate;
	uint64_t accept_rate_source;
	uint64_t check_s;
	uint64_t retire_s;
};

static const struct conf_option options[] = {
	DAEMON_OPTIONS(struct settings),
	{"tls_dir", CONF_STRING, offsetof(struct settings, tls_dir),
		SYSCONF_DIR "/tls", 0, 1000, "",
		"folder of NAME.crt, NAME.key and NAME.ocsp"},
	{"ca_dir", CONF_STRING, offsetof(struct settings, ca_dir),
		SYSCONF_DIR "/ca", 0, 1000, "",
		"folder of authorities: NAME.crt and NAME.crl"},
	{"system_ca", CONF_STRING, offsetof(struct settings, system_ca),
		"/etc/ssl/certs/ca-certificates.crt", 0, 1000, "",
		"authorities for trunks that name none"},
	{"max_flows", CONF_UINT, offsetof(struct settings, max_flows), "0", 0,
		FLOWS_MAX, "connections",
		"most connections; 0 = what the descriptor limit allows"},
	{"max_handshakes", CONF_UINT, offsetof(struct settings, max_handshakes),
		"1000", 4, FLOWS_MAX, "connections",
		"most TLS handshakes under way"},
	{"accept_rate", CONF_UINT, offsetof(struct settings, accept_rate),
		"500", 1, 1000000, "connections/s",
		"new connections of all strangers together"},
	{"accept_rate_source", CONF_UINT,
		offsetof(struct settings, accept_rate_source), "20", 1, 1000000,
		"connections/s", "new connections of one stranger"},
	{"reload_check", CONF_UINT, offsetof(struct settings, check_s), "10", 1,
		86400, "s", "how often certificates are looked at for changes"},
	{"retire_timeout", CONF_UINT, offsetof(struct settings, retire_s),
		"14400", 1, 604800, "s",
		"how long the old process serves its connections after an "
		"upgrade"},
};

static int check(void *settings, char *problem)
{
	const struct settings *s = settings;

	if (s->tls_dir[0] == '/' && s->ca_dir[0] == '/' &&
		s->system_ca[0] == '/')
		return 0;
	snprintf(problem, CONF_PROBLEM_SIZE,
		"tls_dir, ca_dir and system_ca must begin with /");
	return ERR_INVALID;
}

/* How many flows the descriptor limit lets us hold, after raising the soft one
 * to the hard one. */
static size_t work_out_capacity(const struct settings *s)
{
	struct rlimit limit;
	size_t n;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return 0;
	limit.rlim_cur = limit.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &limit);
	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 ||
		limit.rlim_cur < DESCRIPTORS_OWN + DESCRIPTORS_PER_FLOW)
		return 0;
	n = (limit.rlim_cur - DESCRIPTORS_OWN) / DESCRIPTORS_PER_FLOW;
	if (n > FLOWS_MAX)
		n = FLOWS_MAX;
	if (s->max_flows != 0 && s->max_flows < n)
		n = (size_t)s->max_flows;
	log_notice("capacity", LOG_UINT("flows", n),
		LOG_UINT("descriptors", limit.rlim_cur));
	return n;
}

static int open_ctl(
	struct daemon *d, const struct settings *s, struct ctl **ctl_out)
{
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
	struct ctl_config config = {
		.daemon = d,
		.folders = {.tls_dir = s->tls_dir,
			.ca_dir = s->ca_dir,
			.system_ca = s->system_ca},
		.max_handshakes = (size_t)s->max_handshakes,
		.accept_rate = (uint32_t)s->accept_rate,
		.accept_rate_source = (uint32_t)s->accept_rate_source,
		.check_us = s->check_s * CLOCK_US_PER_S,
		.retire_us = s->retire_s * CLOCK_US_PER_S,
	};
	int err = daemon_socket_path(d, PROCESS_FLOWD, path, sizeof(path));

	if (err)
		return err;
	err = tls_begin();
	if (err)
		return err;
	config.capacity = work_out_capacity(s);
	if (config.capacity == 0) {
		log_err("no_descriptors",
			LOG_STR("hint", "raise the limit of open files"));
		return ERR_SYSTEM;
	}
	err = ctl_new(&config, ctl_out);
	if (err)
		return err;
	return ctl_listen(*ctl_out, path);
}

static int enter_sandbox(struct daemon *d, const struct settings *s)
{
	const struct sandbox_path paths[] = {
		/* Its own socket goes when it ends. */
		{s->common.runtime_dir, SANDBOX_READ | SANDBOX_WRITE},
		{s->tls_dir, SANDBOX_READ},
		{s->ca_dir, SANDBOX_READ},
		{s->system_ca, SANDBOX_READ},
	};
	const struct sandbox_profile profile = {
		.paths = paths,
		.n_paths = sizeof(paths) / sizeof(paths[0]),
		.may_tcp_connect = true,
		.may_tcp_bind_any = true,
		/* By hand there is no keeper to open listeners. */
		.may_tcp_bind = d->by_hand,
	};

	return daemon_sandbox(d, &profile);
}

/* Deadlines of flows are looked at again when their timers fire. */
static int make_loop(struct daemon *d, struct loop **loop_out)
{
	int err = loop_event_new_coarse(loop_out);

	(void)d;
	if (!err)
		loop_event_warm(*loop_out, WARM_FDS);
	return err;
}

/* ctx of the daemon's callbacks; NULL before there is one. */
static void on_reload(void *ctx)
{
	struct ctl **ctl = ctx;

	if (*ctl)
		ctl_reload(*ctl);
}

static void on_stop(void *ctx)
{
	struct ctl **ctl = ctx;

	if (*ctl)
		ctl_stop(*ctl);
}

static void on_keeper_up(void *ctx)
{
	struct ctl **ctl = ctx;

	if (*ctl)
		ctl_keeper_up(*ctl);
}

int main(int argc, char **argv)
{
	static struct settings settings;
	static const struct notify_events keeper_events = {
		.on_up = on_keeper_up};
	struct ctl *ctl = NULL;
	struct daemon d = {
		.self = PROCESS_FLOWD,
		.summary = "connections of the session border controller",
		.options = options,
		.n_options = sizeof(options) / sizeof(options[0]),
		.settings = &settings,
		.check = check,
		.make_loop = make_loop,
		.keeper_events = &keeper_events,
		.on_stop = on_stop,
		.on_reload = on_reload,
		.ctx = &ctl,
	};
	int err = daemon_options(&d, argc, argv);

	if (err)
		return err < 0 ? 2 : 0;
	err = daemon_config(&d);
	if (err)
		return err < 0 ? 1 : 0;
	err = daemon_begin(&d);
	if (err)
		goto end;
	err = open_ctl(&d, &settings, &ctl);
	if (err)
		goto end;
	err = enter_sandbox(&d, &settings);
	if (err)
		goto end;
	daemon_ready(&d);
	err = daemon_run(&d);
end:
	if (err)
		log_err("failed", LOG_ERR(err));
	ctl_free(&ctl);
	daemon_end(&d);
	return err ? 1 : 0;
}
