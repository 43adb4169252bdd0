/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one life of every process (daemon.h). Each step can be left out and
 * daemon_end() undoes exactly what was done. Signals come through a signalfd
 * on the loop, so no code runs in a signal handler; the mask is inherited by
 * threads that a process makes later.
 */
#include "config.h"

#include "common/daemon.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/stat.h"

static struct daemon_settings *common_settings(const struct daemon *d)
{
	return d->settings;
}

static void print_help(const struct daemon *d)
{
	(void)printf("usage: %s [-c FILE] [-t] [-f] [-V] [-h]\n"
		     "%s\n"
		     "  -c FILE  settings (%s)\n"
		     "  -t       check the settings and exit\n"
		     "  -f       run by hand: without keeper, under this user\n"
		     "  -V       print the version\n"
		     "  -h       print this text\n"
		     "settings and what they are by default:\n",
		process_name(d->self), d->summary ? d->summary : "",
		d->config_path);
	conf_describe(stdout, d->options, d->n_options);
}

int daemon_options(struct daemon *d, int argc, char **argv)
{
	static char default_path[256];
	int c;

	(void)snprintf(default_path, sizeof(default_path),
		SYSCONF_DIR "/%s.conf", process_name(d->self));
	d->config_path = default_path;
	while ((c = getopt(argc, argv, "c:tfVh")) != -1) {
		switch (c) {
		case 'c':
			d->config_path = optarg;
			break;
		case 't':
			d->only_check = true;
			break;
		case 'f':
			d->by_hand = true;
			break;
		case 'V':
			(void)printf("gatehouse %s %s\n", process_name(d->self),
				PACKAGE_VERSION);
			return 1;
		case 'h':
			print_help(d);
			return 1;
		default:
			return ERR_INVALID; /* getopt said why */
		}
	}
	if (optind < argc) {
		(void)fprintf(stderr, "%s: surplus argument \"%s\"\n",
			process_name(d->self), argv[optind]);
		return ERR_INVALID;
	}
	return 0;
}

/* What every daemon's settings must fulfil. */
static int check_common(const struct daemon *d, char *problem)
{
	const struct daemon_settings *s = common_settings(d);
	enum log_level level;

	if (!s->log_level || log_level_parse(s->log_level, &level)) {
		(void)snprintf(problem, CONF_PROBLEM_SIZE,
			"%.200s: log_level must be err, warning, notice, info "
			"or debug",
			d->config_path);
		return ERR_INVALID;
	}
	if (!s->runtime_dir || s->runtime_dir[0] != '/') {
		(void)snprintf(problem, CONF_PROBLEM_SIZE,
			"%.200s: runtime_dir must begin with /",
			d->config_path);
		return ERR_INVALID;
	}
	return 0;
}

int daemon_config(struct daemon *d)
{
	char problem[CONF_PROBLEM_SIZE] = "";
	int rc;

	rc = conf_load(
		d->config_path, d->options, d->n_options, d->settings, problem);
	if (!rc)
		rc = check_common(d, problem);
	if (!rc && d->check)
		rc = d->check(d->settings, problem);
	if (rc) {
		(void)fprintf(
			stderr, "%s: %s\n", process_name(d->self), problem);
		return ERR_INVALID;
	}
	if (d->only_check) {
		(void)printf("%s: settings are good\n", d->config_path);
		return 1;
	}
	return 0;
}

/* -------------------------------------------------------------- signals */

static void on_stop_signal(struct daemon *d)
{
	bool again = d->stopping;

	log_notice("stopping", LOG_STR("again", again ? "yes" : "no"));
	d->stopping = true;
	if (d->keeper)
		notify_stopping(d->keeper);
	/* Who asks twice does not want to wait for the drain. */
	if (d->on_stop && !again)
		d->on_stop(d->ctx);
	else
		daemon_stop(d);
}

static void on_signal_fd(void *arg, int fd, unsigned events)
{
	struct daemon *d = arg;
	struct signalfd_siginfo info;

	(void)events;
	if (read(fd, &info, sizeof(info)) != (ssize_t)sizeof(info))
		return;
	if (info.ssi_signo == SIGHUP) {
		if (d->on_reload)
			d->on_reload(d->ctx);
		return;
	}
	on_stop_signal(d);
}

static int begin_signals(struct daemon *d)
{
	struct sigaction ignore = {.sa_handler = SIG_IGN};
	sigset_t set;

	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGTERM);
	(void)sigaddset(&set, SIGINT);
	(void)sigaddset(&set, SIGHUP);
	/* A limit of file sizes is a full disk, and no reason to die. */
	if (sigaction(SIGPIPE, &ignore, NULL) ||
		sigaction(SIGXFSZ, &ignore, NULL) ||
		sigprocmask(SIG_BLOCK, &set, NULL))
		return ERR_SYSTEM;
	d->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (d->signal_fd < 0) {
		d->signal_fd = 0;
		return ERR_SYSTEM;
	}
	return loop_fd_add(d->loop, d->signal_fd, LOOP_READ, on_signal_fd, d,
		&d->signal_watch);
}

/* --------------------------------------------------------------- keeper */

static void keeper_on_fd(void *ctx, const char *name, int fd)
{
	struct daemon *d = ctx;

	if (d->keeper_events->on_fd)
		d->keeper_events->on_fd(d->ctx, name, fd);
	else
		(void)close(fd);
}

static void keeper_on_up(void *ctx)
{
	struct daemon *d = ctx;

	if (d->keeper_events->on_up)
		d->keeper_events->on_up(d->ctx);
}

static void keeper_on_down(void *ctx)
{
	struct daemon *d = ctx;

	log_warning("keeper_away");
	if (d->keeper_events->on_down)
		d->keeper_events->on_down(d->ctx);
}

static void keeper_on_orphan(void *ctx)
{
	struct daemon *d = ctx;

	log_err("orphan", LOG_STR("reason", "no keeper came back"));
	if (d->keeper_events->on_orphan)
		d->keeper_events->on_orphan(d->ctx);
	else
		daemon_stop(d);
}

static const struct notify_events keeper_relay = {
	.on_fd = keeper_on_fd,
	.on_up = keeper_on_up,
	.on_down = keeper_on_down,
	.on_orphan = keeper_on_orphan,
};

static int begin_keeper(struct daemon *d)
{
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
	int rc;

	if (!d->keeper_events)
		return 0;
	rc = daemon_socket_path(d, PROCESS_KEEPER, path, sizeof(path));
	if (rc)
		return rc;
	rc = notify_new(d->loop, d->by_hand ? NULL : path, d->self,
		&keeper_relay, d, &d->keeper);
	if (rc == 0)
		notify_orphan_after(d->keeper,
			common_settings(d)->orphan_timeout_s * CLOCK_US_PER_S);
	return rc;
}

static int begin_users(struct daemon *d)
{
	const char *missing = "";

	if (d->by_hand) {
		process_users_all(&d->users, getuid());
		return 0;
	}
	if (process_users_load(&d->users, &missing)) {
		log_err("user_missing", LOG_STR("user", missing));
		return ERR_NOT_FOUND;
	}
	return 0;
}

int daemon_begin(struct daemon *d)
{
	enum log_level level = LOG_LEVEL_INFO;
	const char *step;
	int rc;

	if (log_level_parse(common_settings(d)->log_level, &level))
		level = LOG_LEVEL_INFO;
	log_open(process_name(d->self), level);
	/* keeper starts programs by descriptor: their name would be a number.
	 */
	(void)prctl(PR_SET_NAME, process_name(d->self), 0, 0, 0);
	log_notice("start", LOG_STR("version", PACKAGE_VERSION),
		LOG_STR("config", d->config_path));
	(void)umask(0027);
	step = "users";
	rc = begin_users(d);
	if (rc)
		goto fail;
	step = "loop";
	rc = d->make_loop ? d->make_loop(d, &d->loop)
			  : daemon_default_loop(&d->loop);
	if (rc)
		goto fail;
	step = "signals";
	rc = begin_signals(d);
	if (rc)
		goto fail;
	step = "keeper";
	rc = begin_keeper(d);
	if (rc)
		goto fail;
	return 0;
fail:
	log_err("start_failed", LOG_STR("step", step), LOG_ERR(rc));
	return rc;
}

int daemon_sandbox(struct daemon *d, const struct sandbox_profile *profile)
{
	char text[SANDBOX_LEVEL_TEXT_SIZE];
	unsigned possible = sandbox_possible(); /* inside, asking would kill */
	int rc;

	rc = sandbox_enter(profile, &d->sandbox_level);
	if (rc)
		return rc;
	stat_set(STAT_SANDBOX_LEVEL, d->sandbox_level);
	log_notice("sandbox", LOG_UINT("level", d->sandbox_level),
		LOG_UINT("possible", possible),
		LOG_STR("layers", sandbox_level_text(d->sandbox_level, text,
					  sizeof(text))));
	return 0;
}

void daemon_ready(struct daemon *d)
{
	log_notice("ready");
	if (d->keeper)
		notify_ready(d->keeper);
}

int daemon_run(struct daemon *d)
{
	return loop_run(d->loop);
}

void daemon_stop(struct daemon *d)
{
	d->stopping = true;
	if (d->loop)
		loop_stop(d->loop);
}

void daemon_end(struct daemon *d)
{
	notify_free(&d->keeper);
	if (d->loop)
		loop_fd_free(d->loop, &d->signal_watch);
	if (d->signal_fd > 0)
		(void)close(d->signal_fd);
	d->signal_fd = 0;
	if (d->loop)
		log_notice("end");
	loop_free(&d->loop);
	if (d->settings)
		conf_free(d->options, d->n_options, d->settings);
}

int daemon_socket_path(
	const struct daemon *d, enum process p, char *path, size_t size)
{
	int n = snprintf(path, size, "%s/%s.sock",
		common_settings(d)->runtime_dir, process_name(p));

	return n < 0 || (size_t)n >= size ? ERR_TOO_BIG : 0;
}
