/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Upgrade by overlap: connections can not be handed to another process (what
 * TLS has in memory belongs to no descriptor), so the old flowd keeps its own
 * until they close, and the new one has the listeners.
 *
 *	retire:	our socket takes the name flowd-old.sock, or flowd-old2.sock
 *		while another one still has that (links of before go on),
 *		listeners are let go (keeper has them, and what connects now
 *		waits in their queues), keeper starts the next one, sbc is told
 *	then:	an sbc that restarts finds us under that name
 *	end:	the last flow has closed; or retire_timeout has passed: then
 *		the rest is closed slowly, so that phones do not come back in
 *		one storm; or nobody has bridged for RETIRED_ALONE_US
 *
 * keeper lets PROCESS_OLD_MAX serve and ends the oldest of more.
 */
#include "flowd/ctl_inner.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"

#define RETIRED_ALONE_US (60 * CLOCK_US_PER_S)
#define LOOK_US          (CLOCK_US_PER_S / 10)
/* Flows that are closed per look when the time is over. */
#define CLOSE_BATCH      5u

/* Does nobody listen there any more? One that was killed leaves its name. */
static bool is_stale(const char *path)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	bool stale;
	int fd;

	if (strlen(path) >= sizeof(sa.sun_path))
		return false;
	memcpy(sa.sun_path, path, strlen(path) + 1);
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return false;
	stale = connect(fd, (const struct sockaddr *)&sa, sizeof(sa)) != 0 &&
		errno == ECONNREFUSED;
	(void)close(fd);
	return stale;
}

/* A name that nobody serves under; else the one that was taken first.
 * @return its number, or an error. */
static int free_name(const char *path, char *text, size_t size)
{
	struct timespec oldest = {0};
	struct stat st;
	int best = 0, err;

	for (unsigned n = 1; n <= PROCESS_OLD_MAX; n++) {
		err = process_old_path(path, n, text, size);
		if (err)
			return err;
		if (lstat(text, &st) || is_stale(text))
			return (int)n;
		if (best == 0 || st.st_ctim.tv_sec < oldest.tv_sec ||
			(st.st_ctim.tv_sec == oldest.tv_sec &&
				st.st_ctim.tv_nsec < oldest.tv_nsec)) {
			oldest = st.st_ctim;
			best = (int)n;
		}
	}
	err = process_old_path(path, (unsigned)best, text, size);
	return err ? err : best;
}

int ctl_retire(struct ctl *c)
{
	Gh__FlowRetired m = GH__FLOW_RETIRED__INIT;
	char old[sizeof(c->path)];
	int err, name;

	if (c->retired || c->stopping)
		return ERR_STATE;
	name = free_name(c->path, old, sizeof(old));
	if (name < 0)
		return name;
	/* First: the next one must find the name free. */
	if (rename(c->path, old))
		return ERR_SYSTEM;
	err = notify_retire(c->daemon->keeper);
	if (err) {
		(void)rename(old, c->path);
		return err;
	}
	memcpy(c->path, old, sizeof(old));
	notify_free(&c->daemon->keeper);
	c->retired = true;
	c->retired_until_us = clock_now_us() + c->config.retire_us;
	listeners_retire(c->listeners);
	log_notice("retired", LOG_UINT("flows", c->flows->n_flows),
		LOG_UINT("timeout_s", c->config.retire_us / CLOCK_US_PER_S));
	m.flows = (uint32_t)c->flows->n_flows;
	m.name = (uint32_t)name;
	IPC_MSG(msg, FLOW_RETIRED, flow_retired, &m);
	ctl_send_to_sbc(c, &msg);
	ctl_retire_on_sbc(c, c->sbc != NULL);
	loop_timer_set(c->daemon->loop, c->retire_timer, LOOK_US);
	ctl_check_over(c);
	return 0;
}

void ctl_retire_on_sbc(struct ctl *c, bool there)
{
	c->sbc_away_us = there ? 0 : clock_now_us();
}

void ctl_on_retire_timer(void *arg)
{
	struct ctl *c = arg;
	uint64_t now = clock_now_us();
	struct flow *f, *next;
	unsigned n = 0;

	if (c->sbc_away_us != 0 && now - c->sbc_away_us > RETIRED_ALONE_US) {
		log_warning(
			"retired_alone", LOG_UINT("flows", c->flows->n_flows));
		flows_end_all(c->flows, REASON_FLOW_SHUTDOWN);
	}
	for (f = TAILQ_FIRST(&c->flows->all);
		f && now >= c->retired_until_us && n < CLOSE_BATCH; f = next) {
		next = TAILQ_NEXT(f, all);
		if (f->state == FLOW_ENDING)
			continue;
		flow_end(f, REASON_FLOW_SHUTDOWN, "retired");
		n++;
	}
	loop_timer_set(c->daemon->loop, c->retire_timer, LOOK_US);
	ctl_check_over(c);
}

void ctl_retire_done(struct ctl *c)
{
	struct stat st;

	if (c->retired && lstat(c->path, &st) == 0 &&
		st.st_ino == c->path_inode)
		(void)unlink(c->path);
}
