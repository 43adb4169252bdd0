/* SPDX-License-Identifier: Apache-2.0 */
#include "keeper/child.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/stat.h"
#include "keeper/record.h"
#include "keeper/spawn.h"

/* How long a new program has to stay ready. */
#define SETTLE_US (1000ull * 1000)

static const char *const state_names[] = {"idle", "backoff", "adopting",
	"starting", "ready", "stopping", "stopped"};
_Static_assert(
	sizeof(state_names) / sizeof(state_names[0]) == CHILD_STATE_COUNT,
	"a name for each state");

static void start(struct child *c);
static void start_next(struct children *all);
static void stop_next(struct children *all);
static void on_timer(void *arg);

const char *child_state_name(enum child_state s)
{
	return state_names[s];
}

static const char *name_of(const struct child *c)
{
	return process_name(c->plan.process);
}

/* Every state but the silent ones has its timer. 0 = none. */
static void set_state(
	struct child *c, enum child_state state, uint64_t timeout_us)
{
	log_debug("daemon_state", LOG_STR("daemon", name_of(c)),
		LOG_STR("old", child_state_name(c->state)),
		LOG_STR("new", child_state_name(state)));
	c->state = state;
	if (timeout_us)
		loop_timer_set(c->all->loop, c->timer, timeout_us);
	else
		loop_timer_stop(c->all->loop, c->timer);
}

int children_init(struct children *all, struct loop *loop,
	const struct child_plan *plans, size_t n_plans, const char *own_dir)
{
	memset(all, 0, sizeof(*all));
	all->loop = loop;
	all->own_dir = own_dir;
	all->checked_us = clock_now_us();
	for (size_t i = 0; i < n_plans && i < PROCESS_COUNT; i++) {
		struct child *c = &all->child[i];

		c->all = all;
		c->plan = plans[i];
		c->pidfd = c->program = c->fresh = -1;
		if (loop_timer_new(loop, on_timer, c, &c->timer))
			return ERR_NOMEM;
		all->n_children++;
	}
	return 0;
}

static void fd_close(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static void let_go(struct child *c)
{
	loop_fd_free(c->all->loop, &c->death);
	fd_close(&c->pidfd);
	c->pid = 0;
}

void children_done(struct children *all)
{
	for (size_t i = 0; i < all->n_children; i++) {
		let_go(&all->child[i]);
		fd_close(&all->child[i].program);
		fd_close(&all->child[i].fresh);
		loop_timer_free(all->loop, &all->child[i].timer);
	}
	for (size_t i = 0; i < RETIRED_MAX; i++)
		if (all->retired[i].pid > 0) {
			loop_fd_free(all->loop, &all->retired[i].death);
			close(all->retired[i].pidfd);
		}
	all->n_children = 0;
}

/* Reaps it and writes how it ended. A daemon that an earlier keeper started
 * is not our child: somebody else learns its status. */
static void describe_end(int pidfd, char *text, size_t size)
{
	siginfo_t info = {0};

	if (waitid(P_PIDFD, (id_t)pidfd, &info, WEXITED | WNOHANG) ||
		info.si_pid == 0)
		snprintf(text, size, "unknown");
	else if (info.si_code == CLD_EXITED)
		snprintf(text, size, "exit %d", info.si_status);
	else
		snprintf(text, size, "signal %d", info.si_status);
}

static void on_retired_dead(void *arg, int fd, unsigned events)
{
	struct retired *r = arg;
	char how[32];

	(void)events;
	describe_end(fd, how, sizeof(how));
	log_notice(
		"retired_ended", LOG_INT("pid", r->pid), LOG_STR("end", how));
	loop_fd_free(r->loop, &r->death);
	close(r->pidfd);
	r->pid = 0;
}

static void retired_signal(struct children *all, int signal)
{
	for (size_t i = 0; i < RETIRED_MAX; i++)
		if (all->retired[i].pid > 0)
			pidfd_send_signal(
				all->retired[i].pidfd, signal, NULL, 0);
}

static void record_all(struct children *all)
{
	struct record records[PROCESS_COUNT];
	size_t n = 0;

	for (size_t i = 0; i < all->n_children; i++) {
		const struct child *c = &all->child[i];

		if (c->pid > 0)
			records[n++] =
				(struct record){.process = c->plan.process,
					.pid = c->pid,
					.start_ticks = c->start_ticks};
	}
	if (record_write(all->own_dir, records, n))
		log_err("record_write", LOG_STR("folder", all->own_dir),
			LOG_ERRNO(errno));
}

static void kill_child(struct child *c, int signal)
{
	if (c->pid > 0 && pidfd_send_signal(c->pidfd, signal, NULL, 0) &&
		errno != ESRCH)
		log_err("daemon_signal", LOG_STR("daemon", name_of(c)),
			LOG_INT("pid", c->pid), LOG_ERRNO(errno));
}

static void renew_end(struct child *c, bool runs)
{
	c->renew = RENEW_NONE;
	if (runs) {
		fd_close(&c->program);
		c->program = c->fresh;
		c->fresh = -1;
	}
	fd_close(&c->fresh);
	log_notice("daemon_renewed", LOG_STR("daemon", name_of(c)),
		LOG_INT("pid", c->pid), LOG_STR("new", runs ? "yes" : "no"));
	c->all->events.on_renewed(c->all->ctx, c, runs);
}

/* @return whether the death belongs to a renewal: the next one is started. */
static bool renew_on_death(struct child *c)
{
	if (c->renew == RENEW_WAITS) {
		c->renew = RENEW_NEW;
	} else if (c->renew == RENEW_NEW) {
		log_err("upgrade_rolled_back", LOG_STR("daemon", name_of(c)));
		c->renew = RENEW_OLD;
	} else {
		if (c->renew == RENEW_OLD)
			renew_end(c, false);
		return false;
	}
	start(c);
	return true;
}

int child_renew(struct child *c, bool wait)
{
	if (c->state != CHILD_READY || c->renew != RENEW_NONE ||
		c->all->stopping)
		return ERR_AGAIN;
	c->fresh = open(c->plan.exe, O_PATH | O_CLOEXEC);
	if (c->fresh < 0)
		return ERR_SYSTEM;
	log_notice("daemon_renew", LOG_STR("daemon", name_of(c)),
		LOG_INT("pid", c->pid));
	c->renew = RENEW_WAITS;
	if (!wait)
		kill_child(c, SIGKILL);
	return 0;
}

void child_renew_stop(struct child *c)
{
	if (c->renew != RENEW_WAITS)
		return;
	c->renew = RENEW_NONE;
	fd_close(&c->fresh);
}

static void on_dead(void *arg, int fd, unsigned events)
{
	struct child *c = arg;
	struct children *all = c->all;
	const uint64_t now = clock_now_us();
	const pid_t pid = c->pid;
	uint64_t delay;
	char how[32];

	(void)fd;
	(void)events;
	describe_end(c->pidfd, how, sizeof(how));
	/* While pidfd and pid still stand: the link reads what the daemon
	 * deposited with its last breath. */
	all->events.on_death(all->ctx, c);
	let_go(c);
	if (c->state == CHILD_STOPPING || all->stopping) {
		log_notice("daemon_stopped", LOG_STR("daemon", name_of(c)),
			LOG_INT("pid", pid), LOG_STR("end", how));
		set_state(c, CHILD_STOPPED, 0);
		stop_next(all);
		return;
	}
	if (renew_on_death(c))
		return;
	delay = backoff_on_death(&c->backoff, c->started_us, now);
	log_err("daemon_died", LOG_STR("daemon", name_of(c)),
		LOG_INT("pid", pid), LOG_STR("end", how),
		LOG_UINT("restart_in_ms", delay / CLOCK_US_PER_MS));
	set_state(c, CHILD_BACKOFF, delay);
	if (delay == 0)
		on_timer(c);
}

static int watch_death(struct child *c)
{
	c->started_us = c->seen_us = clock_now_us();
	return loop_fd_add(
		c->all->loop, c->pidfd, LOOP_READ, on_dead, c, &c->death);
}

/* A start that failed is a death: the same waiting applies. */
static void start_failed(struct child *c, int why)
{
	uint64_t now = clock_now_us();
	uint64_t delay = backoff_on_death(&c->backoff, now, now);

	log_err("daemon_start", LOG_STR("daemon", name_of(c)), LOG_ERRNO(why));
	set_state(c, CHILD_BACKOFF, delay ? delay : 1);
}

/* What was never ready may have been repaired meanwhile. */
static int program_of(struct child *c)
{
	if (c->renew == RENEW_NEW)
		return c->fresh;
	if (!c->proven) {
		fd_close(&c->program);
		c->program = open(c->plan.exe, O_PATH | O_CLOEXEC);
	}
	return c->program;
}

static void start(struct child *c)
{
	int program = program_of(c), pidfd, gate;
	pid_t pid;

	if (program < 0 || spawn(&c->plan, program, &pid, &pidfd, &gate)) {
		start_failed(c, errno);
		return;
	}
	c->pid = pid;
	c->pidfd = pidfd;
	if (watch_death(c) || record_start_ticks(pid, &c->start_ticks)) {
		close(gate); /* it ends by itself */
		let_go(c);
		start_failed(c, ENOMEM);
		return;
	}
	record_all(c->all);
	spawn_go(gate);
	stat_add(STAT_CHILD_STARTS, 1);
	log_notice("daemon_start", LOG_STR("daemon", name_of(c)),
		LOG_INT("pid", pid));
	set_state(c, CHILD_STARTING,
		c->renew == RENEW_NEW ? c->all->limits.renew_us
				      : c->all->limits.ready_us);
}

void child_retire(struct child *c)
{
	struct children *all = c->all;
	struct retired *r = &all->retired[all->next_retired++ % RETIRED_MAX];
	siginfo_t info;

	if (all->stopping || c->pid <= 0)
		return;
	if (r->pid > 0) { /* the oldest of too many */
		pidfd_send_signal(r->pidfd, SIGKILL, NULL, 0);
		waitid(P_PIDFD, (id_t)r->pidfd, &info, WEXITED);
		on_retired_dead(r, r->pidfd, 0);
	}
	log_notice("daemon_retired", LOG_STR("daemon", name_of(c)),
		LOG_INT("pid", c->pid));
	loop_fd_free(all->loop, &c->death);
	*r = (struct retired){all->loop, c->pid, c->pidfd, NULL};
	c->pidfd = -1;
	c->pid = 0;
	if (loop_fd_add(all->loop, r->pidfd, LOOP_READ, on_retired_dead, r,
		    &r->death))
		log_err("retired_watch", LOG_ERR(ERR_NOMEM));
	if (c->renew == RENEW_WAITS)
		c->renew = RENEW_NEW;
	start(c);
}

/* Order counts for the first start only: a daemon that dies later comes back
 * whatever the others do. */
static void start_next(struct children *all)
{
	for (size_t i = 0; i < all->n_children && !all->stopping; i++) {
		struct child *c = &all->child[i];

		if (c->state == CHILD_IDLE) {
			start(c);
			return;
		}
		if (!c->was_ready)
			return;
	}
	if (all->stopping || all->all_ready)
		return;
	all->all_ready = true;
	all->events.on_all_ready(all->ctx);
}

static void on_timer(void *arg)
{
	struct child *c = arg;

	switch (c->state) {
	case CHILD_BACKOFF:
		start(c);
		return;
	case CHILD_STARTING:
	case CHILD_ADOPTING:
		log_err("daemon_not_ready", LOG_STR("daemon", name_of(c)),
			LOG_INT("pid", c->pid));
		kill_child(c, SIGKILL);
		return;
	case CHILD_READY:
		if (c->renew == RENEW_NEW)
			renew_end(c, true);
		return;
	case CHILD_STOPPING:
		log_err("daemon_stop_timeout", LOG_STR("daemon", name_of(c)),
			LOG_INT("pid", c->pid));
		kill_child(c, SIGKILL);
		return;
	default:
		return;
	}
}

void children_start(struct children *all)
{
	start_next(all);
}

struct child *children_by_process(struct children *all, enum process p)
{
	for (size_t i = 0; i < all->n_children; i++) {
		if (all->child[i].plan.process == p)
			return &all->child[i];
	}
	return NULL;
}

static void adopt(struct children *all, const struct record *r)
{
	struct child *c = children_by_process(all, r->process);
	int pidfd;

	if (record_open(r, &pidfd))
		return; /* it died while nobody looked */
	if (!c || c->pid > 0 || !record_same_exe(r->pid, c->plan.exe)) {
		/* No longer wanted, or from another place: two copies of one
		 * daemon must never run. */
		log_warning("daemon_foreign",
			LOG_STR("daemon", process_name(r->process)),
			LOG_INT("pid", r->pid));
		pidfd_send_signal(pidfd, SIGKILL, NULL, 0);
		close(pidfd);
		return;
	}
	c->pid = r->pid;
	c->pidfd = pidfd;
	c->start_ticks = r->start_ticks;
	c->program = record_open_exe(r->pid);
	c->proven = c->program >= 0;
	if (watch_death(c)) {
		let_go(c);
		return;
	}
	log_notice("daemon_found", LOG_STR("daemon", name_of(c)),
		LOG_INT("pid", c->pid));
	set_state(c, CHILD_ADOPTING, all->limits.adopt_us);
}

void children_adopt(struct children *all)
{
	struct record records[PROCESS_COUNT];
	size_t n = 0;
	int rc = record_read(all->own_dir, records, &n);

	if (rc && rc != ERR_NOT_FOUND)
		log_err("record_read", LOG_STR("folder", all->own_dir),
			LOG_ERR(rc));
	for (size_t i = 0; rc == 0 && i < n; i++)
		adopt(all, &records[i]);
}

/* One at a time, the last one first: sbc says goodbye to its calls while
 * mediad and authd still listen. */
static void stop_next(struct children *all)
{
	for (size_t i = all->n_children; i-- > 0;) {
		struct child *c = &all->child[i];

		if (c->pid > 0 && c->state != CHILD_STOPPING) {
			kill_child(c, SIGTERM);
			set_state(c, CHILD_STOPPING, all->limits.stop_us);
		}
		if (c->pid > 0)
			return;
		set_state(c, CHILD_STOPPED, 0);
	}
	record_all(all);
	all->events.on_stopped(all->ctx);
}

void children_stop(struct children *all)
{
	if (all->stopping)
		return;
	all->stopping = true;
	retired_signal(all, SIGTERM);
	stop_next(all);
}

void children_kill(struct children *all)
{
	for (size_t i = all->n_children; i-- > 0;)
		kill_child(&all->child[i], SIGKILL);
	retired_signal(all, SIGKILL);
}

void children_signal(struct children *all, int signal)
{
	for (size_t i = 0; i < all->n_children; i++) {
		if (all->child[i].state == CHILD_READY)
			kill_child(&all->child[i], signal);
	}
}

void children_check(struct children *all)
{
	const uint64_t now = clock_now_us();
	const uint64_t limit = all->limits.watchdog_us;
	/* If we were the ones who stood still (a paused machine, a stopped
	 * keeper), their words still wait to be read. */
	const bool late = now - all->checked_us > limit / 2;

	all->checked_us = now;
	for (size_t i = 0; i < all->n_children; i++) {
		struct child *c = &all->child[i];

		if (c->state != CHILD_READY)
			continue;
		if (late)
			c->seen_us = now;
		if (now - c->seen_us <= limit)
			continue;
		log_err("daemon_hangs", LOG_STR("daemon", name_of(c)),
			LOG_INT("pid", c->pid),
			LOG_UINT("silent_ms",
				(now - c->seen_us) / CLOCK_US_PER_MS));
		kill_child(c, SIGKILL);
		c->seen_us = now; /* one line per try */
	}
}

struct child *children_find(struct children *all, pid_t pid, uid_t uid)
{
	for (size_t i = 0; i < all->n_children; i++) {
		struct child *c = &all->child[i];

		if (c->pid > 0 && c->pid == pid && c->plan.uid == uid)
			return c;
	}
	return NULL;
}

void child_on_link(struct child *c)
{
	c->seen_us = clock_now_us();
	if (c->state != CHILD_ADOPTING)
		return;
	log_notice("daemon_adopted", LOG_STR("daemon", name_of(c)),
		LOG_INT("pid", c->pid));
	/* It says READY again, if it was. */
	set_state(c, CHILD_STARTING, c->all->limits.ready_us);
}

void child_on_ready(struct child *c)
{
	c->seen_us = clock_now_us();
	if (c->state != CHILD_STARTING)
		return;
	log_notice("daemon_ready", LOG_STR("daemon", name_of(c)),
		LOG_INT("pid", c->pid),
		LOG_UINT("after_ms",
			(c->seen_us - c->started_us) / CLOCK_US_PER_MS));
	c->was_ready = true;
	c->proven |= c->renew == RENEW_NONE;
	/* A new program must also survive what it finds. */
	set_state(c, CHILD_READY, c->renew == RENEW_NEW ? SETTLE_US : 0);
	if (c->renew == RENEW_OLD)
		renew_end(c, false);
	start_next(c->all);
}

void child_on_watchdog(struct child *c)
{
	c->seen_us = clock_now_us();
	if (c->state == CHILD_STARTING)
		child_on_ready(c); /* only ready daemons send it */
}
