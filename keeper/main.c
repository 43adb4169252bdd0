/* SPDX-License-Identifier: Apache-2.0 */
/*
 * keeper: the only process with rights. It starts the daemons under their own
 * users, starts them again when they die, opens the sockets they may have, and
 * holds their descriptors. It reads nothing from a network and knows nothing
 * of calls. The order below is every daemon's (common/daemon.h).
 */
#include <errno.h>
#include <grp.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/daemon.h"
#include "keeper/child.h"
#include "keeper/device.h"
#include "keeper/fdstore.h"
#include "keeper/folders.h"
#include "keeper/handover.h"
#include "keeper/link.h"
#include "keeper/listen.h"
#include "keeper/rights.h"
#include "keeper/settings.h"
#include "keeper/systemd.h"

#define TICK_US           (500ull * 1000)
/* While systemd has not taken everything yet. */
#define TICK_BEHIND_US    (100ull * 1000)
#define WATCHDOG_LIMIT_US (3 * NOTIFY_WATCHDOG_US)
/* systemd's own patience is longer: a machine whose authd can not start must
 * not have its keeper killed for it. */
#define SAY_READY_US      (20ull * 1000 * 1000)
/* Descriptors that keeper needs for itself, whatever daemons deposit. */
#define OWN_FDS           (LISTEN_SOCKETS_MAX + 128)

struct keeper {
	struct daemon daemon;
	struct settings settings;
	gid_t gid;
	char own_dir[PATH_MAX]; /* root's alone, beside the sockets */
	struct systemd systemd;
	struct listeners listeners;
	struct fdstore store;
	struct handover handover;
	struct devices devices;
	struct children children;
	struct links links;
	struct upgrade upgrade;
	bool leaving; /* for a new keeper; the daemons stay */
	struct loop_timer *tick;
	uint64_t started_us;
	const char *said_ready; /* what systemd knows */
};

static void say_ready(struct keeper *k)
{
	const char *text = "READY=1\nSTATUS=not all daemons are ready\n";

	if (k->children.all_ready)
		text = "READY=1\nSTATUS=all daemons are ready\n";
	else if (clock_now_us() - k->started_us < SAY_READY_US)
		return;
	if (k->said_ready != text && systemd_say(&k->systemd, text) == 0)
		k->said_ready = text;
}

static void on_all_ready(void *ctx)
{
	struct keeper *k = ctx;

	log_notice("ready",
		LOG_UINT("after_ms",
			(clock_now_us() - k->started_us) / CLOCK_US_PER_MS));
	say_ready(k);
}

static void on_death(void *ctx, struct child *c)
{
	struct keeper *k = ctx;

	links_on_death(&k->links, c);
}

static void on_renewed(void *ctx, struct child *c, bool runs)
{
	struct keeper *k = ctx;

	upgrade_on_renewed(&k->upgrade, c, runs);
}

static void on_leave(void *ctx)
{
	struct keeper *k = ctx;

	log_notice("leaving");
	k->leaving = true;
	daemon_stop(&k->daemon);
}

static void on_stopped(void *ctx)
{
	struct keeper *k = ctx;

	daemon_stop(&k->daemon);
}

static void on_stop(void *ctx)
{
	struct keeper *k = ctx;

	systemd_say(&k->systemd, "STOPPING=1\n");
	children_stop(&k->children);
}

/* listen_allow is taken over; all else counts from the next start. A file that
 * is wrong changes nothing. */
static void on_reload(void *ctx)
{
	struct keeper *k = ctx;
	struct settings fresh = {0};
	char problem[CONF_PROBLEM_SIZE] = "";

	if (conf_load(k->daemon.config_path, settings_options,
		    settings_n_options, &fresh, problem) ||
		settings_check(&fresh, problem)) {
		log_err("reload_refused", LOG_STR("problem", problem));
	} else {
		settings_listen(&fresh, &k->listeners);
		log_notice("reload");
	}
	conf_free(settings_options, settings_n_options, &fresh);
	children_signal(&k->children, SIGHUP);
}

static void on_tick(void *arg)
{
	struct keeper *k = arg;

	children_check(&k->children);
	systemd_watchdog(&k->systemd);
	handover_retry(&k->handover);
	say_ready(k);
	loop_timer_set(k->daemon.loop, k->tick,
		k->handover.behind ? TICK_BEHIND_US : TICK_US);
}

/* Sockets of calls are the store's: listeners tell of theirs themselves. */
static void on_put(void *ctx, int fd)
{
	struct keeper *k = ctx;

	devices_note(&k->devices, fd, "");
}

/* As many descriptors as the service may have, and no core: it would hold
 * nothing of ours, but a daemon between fork and exec is still keeper. */
static int raise_limits(size_t *max_fds_out)
{
	struct rlimit files, core = {0, 0};

	if (getrlimit(RLIMIT_NOFILE, &files))
		return ERR_SYSTEM;
	files.rlim_cur = files.rlim_max;
	if (files.rlim_max < 2 * OWN_FDS || setrlimit(RLIMIT_NOFILE, &files) ||
		setrlimit(RLIMIT_CORE, &core))
		return ERR_SYSTEM;
	if (files.rlim_max > 1 << 20)
		files.rlim_max = 1 << 20;
	*max_fds_out = (size_t)files.rlim_max - OWN_FDS;
	return 0;
}

static int open_folders(struct keeper *k)
{
	const char *run = k->settings.common.runtime_dir;
	const struct group *group = getgrnam(SETTINGS_GROUP);
	char path[PATH_MAX];
	int rc;

	if (!group) {
		log_err("group", LOG_STR("missing", SETTINGS_GROUP));
		return ERR_NOT_FOUND;
	}
	k->gid = group->gr_gid;
	snprintf(path, sizeof(path), "%s/authd", k->settings.state_dir);
	snprintf(k->own_dir, sizeof(k->own_dir), "%s/keeper", run);
	if (folder_make(run, 0, k->gid, 01770) ||
		folder_make(k->own_dir, 0, 0, 0700) ||
		folder_make(k->settings.state_dir, 0, 0, 0711) ||
		folder_make(path, k->daemon.users.uid[PROCESS_AUTHD], k->gid,
			0700)) {
		log_err("folder", LOG_STR("runtime_dir", run),
			LOG_STR("state_dir", k->settings.state_dir),
			LOG_ERRNO(errno));
		return ERR_SYSTEM;
	}
	rc = folder_lock(k->own_dir);
	if (rc == ERR_EXISTS)
		log_err("keeper_runs", LOG_STR("runtime_dir", run));
	else if (rc)
		log_err("lock", LOG_STR("runtime_dir", run), LOG_ERRNO(errno));
	return rc;
}

/* Descriptors of an earlier keeper come before anything is asked for. */
static int open_stores(struct keeper *k)
{
	size_t max_fds;

	if (raise_limits(&max_fds)) {
		log_err("limits", LOG_ERRNO(errno));
		return ERR_SYSTEM;
	}
	if (systemd_open(&k->systemd)) {
		log_err("systemd", LOG_ERRNO(errno));
		return ERR_SYSTEM;
	}
	/* Nearly all may be mediad's: four sockets for each call. */
	if (fdstore_init(&k->store, max_fds, max_fds - max_fds / 16))
		return ERR_NOMEM;
	settings_listen(&k->settings, &k->listeners);
	k->store.on_put = on_put;
	k->store.ctx = k;
	if (devices_open(&k->devices, k->daemon.loop, &k->listeners, &k->store))
		log_err("devices", LOG_ERRNO(errno));
	k->listeners.devices = &k->devices;
	handover_begin(&k->handover);
	return 0;
}

static int open_children(struct keeper *k)
{
	struct child_plan *plans = calloc(PROCESS_COUNT, sizeof(*plans));
	struct children *all = &k->children;
	size_t n = 0;
	int rc = plans ? 0 : ERR_NOMEM;

	if (rc == 0)
		rc = settings_plans(
			&k->settings, &k->daemon.users, k->gid, plans, &n);
	if (rc == 0)
		rc = children_init(all, k->daemon.loop, plans, n, k->own_dir);
	free(plans);
	if (rc)
		return rc;
	all->limits = (struct child_limits){
		.ready_us = k->settings.ready_timeout_s * CLOCK_US_PER_S,
		.adopt_us = k->settings.adopt_timeout_s * CLOCK_US_PER_S,
		.stop_us = k->settings.stop_timeout_s * CLOCK_US_PER_S,
		.watchdog_us = WATCHDOG_LIMIT_US,
		.renew_us = k->settings.renew_timeout_s * CLOCK_US_PER_S};
	all->events = (struct child_events){
		on_death, on_all_ready, on_stopped, on_renewed};
	all->ctx = k;
	children_adopt(all);
	return 0;
}

static int open_links(struct keeper *k)
{
	char path[108];
	int rc = daemon_socket_path(
		&k->daemon, PROCESS_KEEPER, path, sizeof(path));

	k->links.loop = k->daemon.loop;
	k->links.children = &k->children;
	k->links.store = &k->store;
	k->links.listeners = &k->listeners;
	k->links.upgrade = &k->upgrade;
	k->upgrade = (struct upgrade){.loop = k->daemon.loop,
		.children = &k->children,
		.supervised = k->systemd.fd >= 0,
		.on_leave = on_leave,
		.ctx = k,
		.fd = -1};
	if (rc == 0)
		rc = links_open(&k->links, path, k->own_dir, k->gid);
	if (rc)
		log_err("keeper_socket", LOG_STR("path", path), LOG_ERR(rc),
			LOG_STR("system", strerror(errno)));
	if (rc == 0)
		rc = loop_timer_new(k->daemon.loop, on_tick, k, &k->tick);
	return rc;
}

static void close_all(struct keeper *k)
{
	upgrade_close(&k->upgrade);
	links_close(&k->links);
	children_done(&k->children);
	if (k->tick)
		loop_timer_free(k->daemon.loop, &k->tick);
	devices_close(&k->devices);
	handover_end(&k->handover);
	fdstore_done(&k->store);
	listeners_done(&k->listeners);
	systemd_close(&k->systemd);
	daemon_end(&k->daemon);
}

int main(int argc, char **argv)
{
	static struct keeper k = {
		.daemon = {.self = PROCESS_KEEPER,
			.summary = "starts and keeps the daemons of the SBC",
			.check = settings_check,
			.on_stop = on_stop,
			.on_reload = on_reload},
		.systemd = {.fd = -1},
		.devices = {.fd = -1},
		.links = {.fd = -1},
		.upgrade = {.fd = -1},
	};
	int rc;

	k.daemon.options = settings_options;
	k.daemon.n_options = settings_n_options;
	k.daemon.settings = &k.settings;
	k.daemon.ctx = &k;
	k.started_us = clock_now_us();
	listeners_init(&k.listeners);
	k.handover.systemd = &k.systemd;
	k.handover.listeners = &k.listeners;
	k.handover.store = &k.store;
	rc = daemon_options(&k.daemon, argc, argv);
	if (rc)
		return rc < 0;
	rc = daemon_config(&k.daemon);
	if (rc == 0 && (geteuid() != 0 || k.daemon.by_hand)) {
		fprintf(stderr, "keeper: must run as root, without -f\n");
		rc = ERR_REFUSED;
	}
	if (rc == 0 && !(rc = daemon_begin(&k.daemon)) &&
		!(rc = open_folders(&k)) && !(rc = open_stores(&k)) &&
		!(rc = open_children(&k)) && !(rc = open_links(&k)) &&
		!(rc = rights_drop())) {
		loop_timer_set(k.daemon.loop, k.tick, TICK_US);
		children_start(&k.children);
		rc = daemon_run(&k.daemon);
		/* Told twice to stop: nobody stays behind. */
		if (!k.leaving)
			children_kill(&k.children);
	}
	close_all(&k);
	return rc < 0;
}
