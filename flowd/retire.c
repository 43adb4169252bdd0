/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Upgrade by overlap: connections can not be handed to another process (what
 * TLS has in memory belongs to no descriptor), so the old flowd keeps its own
 * until they close, and the new one has the listeners.
 *
 *	retire:	our socket takes the name flowd-old.sock (links of before go
 *on), listeners are let go (keeper has them, and what connects now waits in
 *their queues), keeper starts the next one, sbc is told. then:	an sbc that
 *restarts finds us under the old name. end:	the last flow has closed; or
 *retire_timeout has passed: then the rest is closed slowly, so that phones do
 *not come back in one storm; or nobody has bridged for RETIRED_ALONE_US.
 *
 * Of several that are retired at once only the last has the name: an sbc that
 * restarts then loses the flows of the others, whose phones connect anew.
 */
#include "flowd/ctl_inner.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"

#define RETIRED_ALONE_US (60 * CLOCK_US_PER_S)
#define LOOK_US          (CLOCK_US_PER_S / 10)
/* Flows that are closed per look when the time is over. */
#define CLOSE_BATCH      5u

/* "/run/gatehouse/flowd.sock" -> "/run/gatehouse/flowd-old.sock" */
static int old_path(const char *path, char *text, size_t size)
{
	static const char tail[] = ".sock";
	size_t len = strlen(path);
	int n;

	if (len <= sizeof(tail) - 1)
		return ERR_INVALID;
	len -= sizeof(tail) - 1;
	n = snprintf(text, size, "%.*s" PROCESS_OLD_SUFFIX "%s", (int)len, path,
		tail);
	return n < 0 || (size_t)n >= size ? ERR_TOO_BIG : 0;
}

int ctl_retire(struct ctl *c)
{
	Gh__FlowRetired m = GH__FLOW_RETIRED__INIT;
	char old[sizeof(c->path)];
	int err;

	if (c->retired || c->stopping)
		return ERR_STATE;
	err = old_path(c->path, old, sizeof(old));
	if (err)
		return err;
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
