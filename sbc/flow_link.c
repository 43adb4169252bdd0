/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The links to flowd: one to the present flowd, and one to each that has made
 * room for its follower and still serves its connections (flowd/retire.c). What
 * is wanted goes to the present one; a retired one only hears where the bridge
 * is, and keeps the flows that it has.
 *
 * Losing a link marks its flows as dead at once; those that are not are told
 * again when it comes back.
 */
#include "sbc/flow_inner.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"

/* A retired flowd that does not answer by then has gone. */
#define RETIRED_WAIT_US (5 * CLOCK_US_PER_S)

static void connect_retired(struct flows *flows);

void flow_say(struct ipc_link *via, const Gh__Msg *msg)
{
	int err = via ? ipc_send(via, msg) : ERR_AWAY;

	if (err != 0 && err != ERR_AWAY)
		log_warning("flowd_message_lost", LOG_ERR(err));
}

/* ---------------------------------------------------- hosts of known phones */

static void tell_known(struct flows *flows, const struct addr *host, bool known)
{
	Gh__FlowKnown m = GH__FLOW_KNOWN__INIT;
	char text[ADDR_TEXT_SIZE];

	m.host = (char *)(uintptr_t)addr_format_ip(host, text);
	m.known = known;
	IPC_MSG(msg, FLOW_KNOWN, flow_known, &m);
	if (flows->link && ipc_is_up(flows->link))
		flow_say(flows->link, &msg);
}

static void tell_all_known(struct flows *flows)
{
	struct table_node *n = NULL;
	size_t bucket = 0;

	while ((n = table_next(&flows->hosts, &bucket, n)))
		tell_known(
			flows, &TABLE_ENTRY(n, struct host, node)->addr, true);
}

void flow_known(struct flows *flows, const struct addr *addr, bool known)
{
	struct addr key = addr_host_key(addr);
	struct table_node *n = table_find(&flows->hosts, &key, sizeof(key));
	struct host *h = n ? TABLE_ENTRY(n, struct host, node) : NULL;

	if (!h && known) {
		h = calloc(1, sizeof(*h));
		if (!h)
			return;
		h->addr = key;
		if (table_add(&flows->hosts, &h->node, &h->addr,
			    sizeof(h->addr)) != 0) {
			free(h);
			return;
		}
		tell_known(flows, &key, true);
	}
	if (!h)
		return;
	h->n_bindings = known ? h->n_bindings + 1 : h->n_bindings - 1;
	if (h->n_bindings > 0)
		return;
	table_remove(&flows->hosts, &h->node);
	free(h);
	tell_known(flows, &key, false);
}

void flow_ban(struct flows *flows, const Gh__Ban *ban)
{
	IPC_MSG(msg, BAN, ban, (Gh__Ban *)(uintptr_t)ban);
	if (flows->link && ipc_is_up(flows->link))
		flow_say(flows->link, &msg);
}

/* -------------------------------------------------------------------- links */

static void each_of(struct flows *flows, const struct ipc_link *link,
	void (*fn)(struct flow *f))
{
	struct table_node *n, *next;
	size_t bucket = 0;

	for (n = table_next(&flows->by_id, &bucket, NULL); n; n = next) {
		struct flow *f = TABLE_ENTRY(n, struct flow, by_id);

		next = table_next(&flows->by_id, &bucket, n);
		if (f->via == link)
			fn(f);
	}
}

static void flow_orphan(struct flow *f)
{
	flow_end(f);
	f->via = NULL;
}

static void reconcile(struct flows *flows)
{
	if (!flows->sbc->settings || !flows->bridge_open)
		return;
	for (size_t i = 0; i < PROCESS_OLD_MAX; i++)
		if (flows->retired[i] && ipc_is_up(flows->retired[i]))
			flow_send_config(flows, flows->retired[i]);
	if (!flows->link || !ipc_is_up(flows->link))
		return;
	flow_send_config(flows, flows->link);
	flow_want_lines(flows, flows->sbc->settings);
}

static void on_up(void *ctx, struct ipc_link *link)
{
	struct flows *flows = ctx;
	uint64_t start = ipc_peer_start_id(link);

	log_notice("flowd_up",
		LOG_STR("state", link == flows->link ? "present" : "retired"));
	if (link == flows->link) {
		/* Another flowd knows none of the old flows. */
		if (flows->peer_start != start)
			each_of(flows, link, flow_free);
		flows->peer_start = start;
	}
	reconcile(flows);
	if (link == flows->link)
		tell_all_known(flows);
}

static struct ipc_link **retired_slot(
	struct flows *flows, const struct ipc_link *link)
{
	for (size_t i = 0; i < PROCESS_OLD_MAX; i++)
		if (flows->retired[i] == link)
			return &flows->retired[i];
	return NULL;
}

static void on_down(void *ctx, struct ipc_link *link, enum reason why)
{
	struct ipc_link **slot = retired_slot(ctx, link);
	struct flows *flows = ctx;
	struct line *line;

	if (slot) {
		log_notice("flowd_retired_away",
			LOG_STR("reason", reason_text(why)));
		each_of(flows, link, flow_orphan);
		ipc_link_free(slot);
		connect_retired(flows); /* if it was only the link */
		return;
	}
	log_warning("flowd_away", LOG_STR("reason", reason_text(why)),
		LOG_UINT("flows", flows->by_id.n_entries));
	/* Its flows may be dead; those that are not are told again. */
	each_of(flows, link, flow_end);
	LIST_FOREACH (line, &flows->lines, next) {
		line->request = 0;
		flow_line_tell(line);
		if (line->wanted)
			loop_timer_stop(flows->sbc->daemon.loop, line->timer);
	}
}

/* Its flows and its link go on; the path is another one's from now on. */
static void on_retired(void *ctx, struct ipc_link *link, const Gh__Msg *msg)
{
	struct flows *flows = ctx;
	uint32_t name = msg->flow_retired->name;
	struct ipc_link **slot;

	if (link != flows->link)
		return;
	log_notice(
		"flowd_retired", LOG_UINT("flows", msg->flow_retired->flows));
	/* One that does not say has the first, as those of before. */
	slot = &flows->retired[name >= 1 && name <= PROCESS_OLD_MAX ? name - 1
								    : 0];
	if (*slot) { /* it has ended, or was the oldest of too many */
		each_of(flows, *slot, flow_orphan);
		ipc_link_free(slot);
	}
	*slot = link;
	flows->link = NULL;
	flows->peer_start = 0;
	flow_links_open(flows);
}

#define FROM_FLOWD PROCESS_BIT(PROCESS_FLOWD)

static const struct ipc_permit permits[] = {
	{GH__MSG__BODY_FLOW_OPENED, FROM_FLOWD, flow_on_opened},
	{GH__MSG__BODY_FLOW_CLOSED, FROM_FLOWD, flow_on_closed},
	{GH__MSG__BODY_FLOW_RETIRED, FROM_FLOWD, on_retired},
};

static int link_open(
	struct flows *flows, const char *path, struct ipc_link **link)
{
	struct ipc_config config = {
		.loop = flows->sbc->daemon.loop,
		.self = PROCESS_SBC,
		.users = &flows->sbc->daemon.users,
		.permits = permits,
		.n_permits = sizeof(permits) / sizeof(permits[0]),
		.events = {.on_up = on_up, .on_down = on_down},
		.ctx = flows,
	};

	return ipc_connect(&config, path, PROCESS_FLOWD, link);
}

void flow_links_open(struct flows *flows)
{
	if (link_open(flows, flows->path, &flows->link) != 0)
		log_err("flowd_link");
}

static void connect_retired(struct flows *flows)
{
	char path[sizeof(flows->path)];

	for (unsigned n = 1; n <= PROCESS_OLD_MAX; n++) {
		struct ipc_link **slot = &flows->retired[n - 1];

		if (*slot ||
			process_old_path(flows->path, n, path, sizeof(path)) ||
			access(path, F_OK) != 0 ||
			link_open(flows, path, slot) != 0)
			continue;
		loop_timer_set(flows->sbc->daemon.loop, flows->retired_timer,
			RETIRED_WAIT_US);
	}
}

/* What was left behind by one that did not end in order is nobody. */
static void on_retired_timer(void *arg)
{
	struct flows *flows = arg;

	for (size_t i = 0; i < PROCESS_OLD_MAX; i++)
		if (flows->retired[i] && !ipc_is_up(flows->retired[i]))
			ipc_link_free(&flows->retired[i]);
}

void flow_links_free(struct flows *flows)
{
	ipc_link_free(&flows->link);
	for (size_t i = 0; i < PROCESS_OLD_MAX; i++)
		ipc_link_free(&flows->retired[i]);
	loop_timer_free(flows->sbc->daemon.loop, &flows->retired_timer);
}

static bool has_streams(const struct settings *s)
{
	for (size_t i = 0; i < s->n_realms; i++)
		for (size_t k = 0; k < s->realms[i].n_addresses; k++)
			if (transport_is_stream(
				    s->realms[i].addresses[k].row->transport))
				return true;
	return false;
}

void flows_apply(struct flows *flows, const struct settings *settings)
{
	if (!flows->link && has_streams(settings) &&
		loop_timer_new(flows->sbc->daemon.loop, on_retired_timer, flows,
			&flows->retired_timer) == 0) {
		flow_links_open(flows);
		connect_retired(flows);
	}
	reconcile(flows);
}

void flows_on_bridge(struct flows *flows)
{
	flows->bridge_open = true;
	reconcile(flows);
}
