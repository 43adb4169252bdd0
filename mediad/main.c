/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mediad: what a media packet is, and nothing else. It knows no SIP, no SDP
 * and no account; sbc tells it the wanted state of each session. The order of
 * common/daemon.h.
 */
#include <sched.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/un.h>

#include "common/daemon.h"
#include "mediad/ctl.h"

/* Two ports with two sockets each. */
#define DESCRIPTORS_PER_CALL   4u
/* Log, loop, links, keeper; two event descriptors and an epoll per worker. */
#define DESCRIPTORS_OWN        64u
#define DESCRIPTORS_PER_WORKER 4u
#define WORKERS_MAX            64u
#define SESSIONS_MAX           1000000u

struct settings {
	struct daemon_settings common;
	uint64_t workers;
	uint64_t max_sessions;
};

static const struct conf_option options[] = {
	DAEMON_OPTIONS(struct settings),
	{"workers", CONF_UINT, offsetof(struct settings, workers), "0", 0,
		WORKERS_MAX, "",
		"packet threads; 0 = one per processor that it may use"},
	{"max_sessions", CONF_UINT, offsetof(struct settings, max_sessions),
		"0", 0, SESSIONS_MAX, "calls",
		"most media sessions; 0 = what the descriptor limit allows"},
};

static unsigned count_workers(const struct settings *s)
{
	cpu_set_t cpus;
	int n;

	if (s->workers != 0)
		return (unsigned)s->workers;
	if (sched_getaffinity(0, sizeof(cpus), &cpus) < 0)
		return 1;
	n = CPU_COUNT(&cpus);
	return n < 1 ? 1 : n > (int)WORKERS_MAX ? WORKERS_MAX : (unsigned)n;
}

/* How many calls the descriptor limit lets us hold, after raising the soft
 * one to the hard one. */
static size_t work_out_capacity(const struct settings *s, unsigned n_workers)
{
	struct rlimit limit;
	size_t own = DESCRIPTORS_OWN + DESCRIPTORS_PER_WORKER * n_workers;
	size_t n;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return 0;
	limit.rlim_cur = limit.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &limit);
	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur <= own)
		return 0;
	n = (limit.rlim_cur - own) / DESCRIPTORS_PER_CALL;
	if (n > SESSIONS_MAX)
		n = SESSIONS_MAX;
	if (s->max_sessions != 0 && s->max_sessions < n)
		n = (size_t)s->max_sessions;
	log_notice("capacity", LOG_UINT("sessions", n),
		LOG_UINT("workers", n_workers),
		LOG_UINT("descriptors", limit.rlim_cur));
	return n;
}

static int open_ctl(
	struct daemon *d, const struct settings *s, struct ctl **ctl_out)
{
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
	struct ctl_config config = {.daemon = d, .n_workers = count_workers(s)};
	int err = daemon_socket_path(d, PROCESS_MEDIAD, path, sizeof(path));

	if (err)
		return err;
	config.capacity = work_out_capacity(s, config.n_workers);
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
	};
	const struct sandbox_profile profile = {
		.paths = paths,
		.n_paths = sizeof(paths) / sizeof(paths[0]),
	};

	return daemon_sandbox(d, &profile);
}

int main(int argc, char **argv)
{
	static struct settings settings;
	static const struct notify_events keeper_events;
	struct daemon d = {
		.self = PROCESS_MEDIAD,
		.summary = "media of the session border controller",
		.options = options,
		.n_options = sizeof(options) / sizeof(options[0]),
		.settings = &settings,
		.keeper_events = &keeper_events,
	};
	struct ctl *ctl = NULL;
	int err = daemon_options(&d, argc, argv);

	if (err)
		return err < 0 ? 2 : 0;
	err = daemon_config(&d);
	if (err)
		return err < 0 ? 1 : 0;
	err = daemon_begin(&d);
	if (err)
		goto end;
	err = srtp_begin();
	if (err) {
		log_err("srtp_begin_failed");
		goto end;
	}
	err = open_ctl(&d, &settings, &ctl);
	if (err)
		goto end;
	err = enter_sandbox(&d, &settings);
	if (err)
		goto end;
	err = ctl_start(ctl);
	if (err)
		goto end;
	daemon_ready(&d);
	err = daemon_run(&d);
end:
	if (err)
		log_err("failed", LOG_ERR(err));
	ctl_free(&ctl);
	srtp_finish();
	daemon_end(&d);
	return err ? 1 : 0;
}
