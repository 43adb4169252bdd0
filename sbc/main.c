/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sbc: SIP. It knows no password and no key, and sees no media packet. The
 * order of common/daemon.h; the only daemon whose loop is sofia-sip's.
 */
#include <stdio.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/daemon.h"
#include "sbc/drain.h"
#include "sbc/ctl.h"
#include "sbc/entry.h"
#include "sbc/loop_sofia.h"
#include "sbc/page.h"
#include "sbc/meter.h"
#include "sbc/sbc.h"
#include "sbc/sofia_cures.h"
#include "sbc/talker.h"

/* Without settings (no database and no last copy) it serves nothing, but it is
 * up: keeper must not take it for dead. */
#define READY_AT_LATEST_US (10 * CLOCK_US_PER_S)
/* Calls have this long to end in order. */
#define STOP_US            (5 * CLOCK_US_PER_S)

struct settings_file {
	struct daemon_settings common;
	char *bridge;
	struct conf_list dns_servers;
	uint64_t dns_timeout_ms;
};

static const struct conf_option options[] = {
	DAEMON_OPTIONS(struct settings_file),
	{"bridge", CONF_STRING, offsetof(struct settings_file, bridge),
		"127.0.0.1:5099", 0, 64, "",
		"local TCP address that flowd connects to"},
	{"dns_servers", CONF_LIST, offsetof(struct settings_file, dns_servers),
		NULL, 0, ADDR_TEXT_SIZE, "",
		"name servers as ip or ip:port; none = those of "
		"/etc/resolv.conf at the start"},
	{"dns_timeout_ms", CONF_UINT,
		offsetof(struct settings_file, dns_timeout_ms), "2000", 100,
		10000, "milliseconds",
		"how long a call waits for a trunk's host name"},
};

static int check(void *settings, char *problem)
{
	const struct settings_file *s = settings;
	struct addr bridge;

	for (size_t i = 0; i < s->dns_servers.n_items; i++) {
		struct addr server;

		if (addr_parse(s->dns_servers.items[i], &server) == 0)
			continue;
		snprintf(problem, CONF_PROBLEM_SIZE,
			"dns_servers: \"%.60s\" is no address",
			s->dns_servers.items[i]);
		return ERR_INVALID;
	}
	if (addr_parse(s->bridge, &bridge) == 0 && bridge.port != 0 &&
		bridge.family == AF_INET && addr_is_loopback(&bridge))
		return 0;
	snprintf(problem, CONF_PROBLEM_SIZE,
		"bridge: \"%.60s\" is no IPv4 loopback address with a port",
		s->bridge);
	return ERR_INVALID;
}

static int make_loop(struct daemon *d, struct loop **loop_out)
{
	const char *problem = "";
	int err = cures_begin();

	(void)d;
	if (err == 0)
		err = cures_self_test(&problem);
	if (err != 0) {
		log_err("sip_library", LOG_STR("not_reached", problem),
			LOG_STR("hint", "another build of sofia-sip?"));
		return err;
	}
	return loop_sofia_new(loop_out);
}

static void on_ready_timer(void *arg)
{
	struct sbc *sbc = arg;

	if (sbc->said_ready)
		return;
	sbc->said_ready = true;
	log_warning("no_listener",
		LOG_STR("settings",
			sbc->settings ? "yes" : "none from authd yet"));
	notify_status(sbc->daemon.keeper, "no listener is open yet");
	daemon_ready(&sbc->daemon);
}

/* ------------------------------------------------------------------- parts */

static bool is_inside(void *ctx, const struct addr *addr)
{
	const struct sbc *sbc = ctx;

	return sbc->settings == NULL ||
	       locate_is_inside(sbc->settings, &sbc->local_nets, addr);
}

static int make_locator(struct sbc *sbc)
{
	const struct settings_file *s = sbc->daemon.settings;
	const struct locate_config config = {
		.loop = sbc->daemon.loop,
		.servers = &s->dns_servers,
		.deadline_us = s->dns_timeout_ms * 1000,
		.inside = is_inside,
		.ctx = sbc,
	};
	int err = local_nets_read(&sbc->local_nets);

	return err != 0 ? err : locator_new(&config, &sbc->locator);
}

static int make_parts(struct sbc *sbc)
{
	char authd_path[sizeof(((struct sockaddr_un *)0)->sun_path)];
	char mediad_path[sizeof(authd_path)];
	char own_path[sizeof(authd_path)];
	char flowd_path[sizeof(authd_path)];
	struct daemon *d = &sbc->daemon;
	const struct settings_file *s = d->settings;
	struct addr bridge = {0};
	int err = daemon_socket_path(
		d, PROCESS_AUTHD, authd_path, sizeof(authd_path));

	if (err == 0)
		err = daemon_socket_path(
			d, PROCESS_MEDIAD, mediad_path, sizeof(mediad_path));
	if (err == 0)
		err = daemon_socket_path(
			d, PROCESS_SBC, own_path, sizeof(own_path));
	if (err == 0)
		err = loop_timer_new(
			d->loop, on_ready_timer, sbc, &sbc->ready_timer);
	if (err == 0)
		err = daemon_socket_path(
			d, PROCESS_FLOWD, flowd_path, sizeof(flowd_path));
	if (err == 0)
		err = addr_parse(s->bridge, &bridge);
	if (err == 0)
		err = flows_new(sbc, flowd_path, &bridge, &sbc->flows);
	if (err == 0)
		err = stack_new(sbc, &sbc->stack);
	if (err == 0)
		err = make_locator(sbc);
	if (err == 0)
		err = admit_new(sbc, &sbc->admit);
	if (err == 0)
		err = auth_new(sbc, &sbc->auth);
	if (err == 0)
		err = waits_new(sbc, &sbc->waits);
	if (err == 0)
		err = bindings_new(sbc, &sbc->bindings);
	if (err == 0)
		err = meters_new(sbc, &sbc->meters);
	if (err == 0)
		err = talkers_new(&sbc->talkers);
	if (err == 0)
		err = calls_new(sbc, &sbc->calls);
	if (err == 0)
		err = events_new(sbc, &sbc->events);
	if (err == 0)
		err = pages_new(sbc, &sbc->pages);
	if (err == 0)
		err = cdrs_new(sbc, &sbc->cdrs);
	if (err == 0)
		err = drain_new(sbc, &sbc->drain);
	if (err == 0)
		err = media_new(sbc, mediad_path, &sbc->media);
	if (err == 0)
		err = saves_new(sbc, &sbc_save_owners, &sbc->saves);
	if (err == 0)
		media_hold(sbc->media);
	if (err == 0)
		err = authd_new(sbc, authd_path, &sbc->authd);
	if (err == 0)
		err = accounts_new(sbc->authd, &sbc->accounts);
	if (err == 0)
		err = ctl_new(sbc, own_path, &sbc->ctl);
	if (err == 0)
		err = call_report_new(sbc, &sbc->report);
	return err;
}

/* In order the calls have been ended and nothing is left to save; else the
 * state is the next process's. */
static void free_parts(struct sbc *sbc, bool in_order)
{
	if (!in_order)
		saves_free(&sbc->saves, false);
	call_report_free(&sbc->report);
	ctl_free(&sbc->ctl);
	waits_free(&sbc->waits);
	pages_free(&sbc->pages);
	events_free(&sbc->events);
	drain_free(&sbc->drain);
	calls_free(&sbc->calls);
	accounts_free(&sbc->accounts);
	locator_free(&sbc->locator);
	auth_free(&sbc->auth);
	cdrs_free(&sbc->cdrs);
	saves_free(&sbc->saves, true);
	meters_free(&sbc->meters);
	talkers_free(&sbc->talkers);
	media_free(&sbc->media);
	bindings_free(&sbc->bindings);
	authd_free(&sbc->authd);
	stack_free(&sbc->stack);
	flows_free(&sbc->flows);
	admit_free(&sbc->admit);
	settings_unref(&sbc->settings);
	if (sbc->daemon.loop)
		loop_timer_free(sbc->daemon.loop, &sbc->ready_timer);
}

/* -------------------------------------------------------------------- stop */

static void on_calls_ended(void *ctx)
{
	struct sbc *sbc = ctx;

	daemon_stop(&sbc->daemon);
}

static void on_stop_timer(void *arg)
{
	struct sbc *sbc = arg;

	log_warning("stop_late", LOG_UINT("calls", calls_count(sbc->calls)));
	daemon_stop(&sbc->daemon);
}

static void on_stop(void *ctx)
{
	struct sbc *sbc = ctx;

	calls_drain(sbc->calls, true);
	events_end_all(sbc->events);
	loop_timer_free(sbc->daemon.loop, &sbc->ready_timer);
	if (loop_timer_new(sbc->daemon.loop, on_stop_timer, sbc,
		    &sbc->ready_timer) == 0)
		loop_timer_set(sbc->daemon.loop, sbc->ready_timer, STOP_US);
	calls_end_all(sbc->calls, REASON_CALL_SHUTDOWN, on_calls_ended, sbc);
}

/* ------------------------------------------------------------------ keeper */

static void on_keeper_fd(void *ctx, const char *name, int fd)
{
	struct sbc *sbc = ctx;

	if (!saves_on_fd(sbc->saves, name, fd)) {
		log_warning("descriptor_unknown", LOG_STR("name", name));
		(void)close(fd);
	}
}

static void on_keeper_up(void *ctx)
{
	struct sbc *sbc = ctx;

	saves_on_keeper(sbc->saves);
	stack_show_keeper(sbc->stack);
	/* The sockets may have been there first. */
	if (stack_is_open(sbc->stack))
		saves_settle(sbc->saves);
}

int main(int argc, char **argv)
{
	static struct settings_file settings;
	static const struct notify_events keeper_events = {
		.on_fd = on_keeper_fd,
		.on_up = on_keeper_up,
	};
	struct sbc sbc = {
		.daemon =
			{
				.self = PROCESS_SBC,
				.summary =
					"SIP signaling of the session border "
					"controller",
				.options = options,
				.n_options =
					sizeof(options) / sizeof(options[0]),
				.settings = &settings,
				.check = check,
				.make_loop = make_loop,
				.keeper_events = &keeper_events,
				.on_stop = on_stop,
				.ctx = &sbc,
			},
	};
	int err = daemon_options(&sbc.daemon, argc, argv);

	if (err)
		return err < 0 ? 2 : 0;
	err = daemon_config(&sbc.daemon);
	if (err)
		return err < 0 ? 1 : 0;
	err = daemon_begin(&sbc.daemon);
	if (err == 0)
		err = make_parts(&sbc);
	if (err == 0)
		err = sbc_sandbox(&sbc, settings.common.runtime_dir);
	if (err == 0) {
		loop_timer_set(
			sbc.daemon.loop, sbc.ready_timer, READY_AT_LATEST_US);
		err = daemon_run(&sbc.daemon);
	}
	if (err != 0)
		log_err("failed", LOG_ERR(err));
	free_parts(&sbc, err == 0);
	daemon_end(&sbc.daemon);
	return err ? 1 : 0;
}
