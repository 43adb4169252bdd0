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

struct mediad {
	struct daemon daemon;
	struct ctl *ctl;
	bool keeper_heard; /* it has handed over what it holds for us */
};

static void on_keeper_fd(void *ctx, const char *name, int fd)
{
	struct mediad *m = ctx;

	ctl_on_keeper_fd(m->ctl, name, fd);
}

static void on_keeper_up(void *ctx)
{
	struct mediad *m = ctx;

	ctl_on_keeper_up(m->ctl, m->daemon.keeper);
	if (m->keeper_heard)
		return;
	m->keeper_heard = true;
	loop_stop(m->daemon.loop);
}

static const struct notify_events keeper_events = {
	.on_fd = on_keeper_fd,
	.on_up = on_keeper_up,
};

static int open_ctl(
	struct daemon *d, const struct settings *s, struct ctl **ctl_out)
{
	struct ctl_config config = {.daemon = d, .n_workers = count_workers(s)};

	config.capacity = work_out_capacity(s, config.n_workers);
	if (config.capacity == 0) {
		log_err("no_descriptors",
			LOG_STR("hint", "raise the limit of open files"));
		return ERR_SYSTEM;
	}
	return ctl_new(&config, ctl_out);
}

/* Goes on with the sessions of the process before us. sbc finds us only after
 * that, so that it hears of them. @return 1 if we have to stop meanwhile. */
static int resume(struct mediad *m)
{
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
	struct daemon *d = &m->daemon;
	int err = daemon_socket_path(d, PROCESS_MEDIAD, path, sizeof(path));

	if (!err)
		err = daemon_run(d);
	if (err || d->stopping)
		return err ? err : 1;
	err = ctl_resume(m->ctl);
	return err ? err : ctl_listen(m->ctl, path);
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

/* Packets have a thread and a clock of their own; leases, deposits and batches
 * of the control thread may be some milliseconds off. */
static int make_loop(struct daemon *d, struct loop **loop_out)
{
	(void)d;
	return loop_event_new_coarse(loop_out);
}

int main(int argc, char **argv)
{
	static struct settings settings;
	static struct mediad m = {
		.daemon = {.self = PROCESS_MEDIAD,
			.summary = "media of the session border controller",
			.options = options,
			.n_options = sizeof(options) / sizeof(options[0]),
			.settings = &settings,
			.make_loop = make_loop,
			.keeper_events = &keeper_events,
			.ctx = &m},
	};
	struct daemon *d = &m.daemon;
	int err = daemon_options(d, argc, argv);

	if (err)
		return err < 0 ? 2 : 0;
	err = daemon_config(d);
	if (err)
		return err < 0 ? 1 : 0;
	err = daemon_begin(d);
	if (err)
		goto end;
	err = srtp_begin();
	if (err) {
		log_err("srtp_begin_failed");
		goto end;
	}
	err = open_ctl(d, &settings, &m.ctl);
	if (err)
		goto end;
	err = resume(&m);
	if (err)
		goto end;
	err = enter_sandbox(d, &settings);
	if (err)
		goto end;
	err = ctl_start(m.ctl);
	if (err)
		goto end;
	daemon_ready(d);
	err = daemon_run(d);
end:
	if (err < 0)
		log_err("failed", LOG_ERR(err));
	/* Calls that are up are left to the next process (daemon.h). */
	ctl_free(&m.ctl);
	srtp_finish();
	daemon_end(d);
	return err < 0 ? 1 : 0;
}
