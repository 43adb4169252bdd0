/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Everything here can be lost and comes back: flowd tells all flows again after
 * a reconnect, and gets the whole wanted state again. Lines are the connections
 * that we want to trunks with a TCP or TLS target at an address: one each, made
 * anew with a growing pause when it breaks.
 *
 * A flow that flowd closed is kept for a moment: what its peer said last may
 * reach us by the bridge after the news of its end has come by the other way.
 */
#include "sbc/flow_inner.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"

#define CLOSED_US (2 * CLOCK_US_PER_S)
#define UNTOLD_US CLOCK_US_PER_S
#define HOSTS_MAX 131072u

bool transport_is_stream(Gh__Transport t)
{
	return t != GH__TRANSPORT__TRANSPORT_UDP;
}

bool transport_is_secured(Gh__Transport t)
{
	return t == GH__TRANSPORT__TRANSPORT_TLS ||
	       t == GH__TRANSPORT__TRANSPORT_WSS;
}

const struct addr *flows_bridge(const struct flows *flows)
{
	return &flows->bridge;
}

/* ------------------------------------------------------------------ flows */

struct flow *flow_by_id(const struct flows *flows, uint64_t id)
{
	struct table_node *n = table_find(&flows->by_id, &id, sizeof(id));

	return n ? TABLE_ENTRY(n, struct flow, by_id) : NULL;
}

static struct flow *by_port(const struct flows *flows, uint16_t port)
{
	struct table_node *n = table_find(&flows->by_port, &port, sizeof(port));

	return n ? TABLE_ENTRY(n, struct flow, by_port) : NULL;
}

const struct flow *flow_at(const struct flows *flows, uint16_t port)
{
	return by_port(flows, port);
}

const struct flow *flow_find(const struct flows *flows, uint64_t id)
{
	const struct flow *f = flow_by_id(flows, id);

	return f && !f->closed ? f : NULL;
}

void flow_free(struct flow *f)
{
	struct flows *flows = f->all;

	if (f->line)
		f->line->flow = NULL;
	if (f->port)
		table_remove(&flows->by_port, &f->by_port);
	if (f->key && (f->n_names || f->key[0]))
		LIST_REMOVE(f, proven);
	table_remove(&flows->by_id, &f->by_id);
	loop_timer_free(flows->sbc->daemon.loop, &f->timer);
	for (size_t i = 0; i < f->n_names; i++)
		free(f->names[i]);
	free(f->names);
	free(f->key);
	free(f);
}

static void on_closed_timer(void *arg)
{
	flow_free(arg);
}

void flow_end(struct flow *f)
{
	struct line *line = f->line;

	if (f->closed)
		return;
	f->closed = true;
	f->line = NULL;
	loop_timer_set(f->all->sbc->daemon.loop, f->timer, CLOSED_US);
	if (!line)
		return;
	line->flow = NULL;
	flow_line_retry(line);
}

static void free_all(struct flows *flows)
{
	struct table_node *n, *next;
	size_t bucket = 0;

	for (n = table_next(&flows->by_id, &bucket, NULL); n; n = next) {
		next = table_next(&flows->by_id, &bucket, n);
		flow_free(TABLE_ENTRY(n, struct flow, by_id));
	}
}

static struct flow *flow_new(struct flows *flows, uint64_t id)
{
	struct flow *f = calloc(1, sizeof(*f));

	if (!f)
		return NULL;
	f->all = flows;
	f->id = id;
	if (loop_timer_new(flows->sbc->daemon.loop, on_closed_timer, f,
		    &f->timer) != 0 ||
		table_add(&flows->by_id, &f->by_id, &f->id, sizeof(f->id)) !=
			0) {
		loop_timer_free(flows->sbc->daemon.loop, &f->timer);
		free(f);
		return NULL;
	}
	return f;
}

/* A bridge was opened: the port is this flow's now, and nobody else's. */
static int set_port(struct flow *f, uint16_t port)
{
	struct flow *before = by_port(f->all, port);

	if (before == f)
		return 0;
	if (before) {
		table_remove(&f->all->by_port, &before->by_port);
		before->port = 0;
	}
	if (f->port)
		table_remove(&f->all->by_port, &f->by_port);
	f->port = port;
	if (port == 0 || table_add(&f->all->by_port, &f->by_port, &f->port,
				 sizeof(f->port)) != 0) {
		f->port = 0;
		return ERR_FULL;
	}
	return 0;
}

static int take_facts(struct flow *f, const Gh__FlowOpened *m)
{
	size_t n = m->n_tls_names < FLOW_NAMES_MAX ? m->n_tls_names
						   : FLOW_NAMES_MAX;

	if (addr_parse(m->peer, &f->peer) != 0 ||
		addr_parse(m->listen, &f->listen) != 0 || m->local_port == 0 ||
		m->local_port > UINT16_MAX ||
		!transport_is_stream(m->transport))
		return ERR_INVALID;
	f->transport = m->transport;
	if (f->key)
		return 0; /* told again: what was proved stays */
	f->names = calloc(n ? n : 1, sizeof(*f->names));
	if (!f->names)
		return ERR_NOMEM;
	for (; f->n_names < n; f->n_names++) {
		f->names[f->n_names] = strdup(m->tls_names[f->n_names]);
		if (!f->names[f->n_names])
			return ERR_NOMEM;
	}
	f->key = strdup(m->tls_key);
	if (!f->key)
		return ERR_NOMEM;
	if (f->n_names || f->key[0])
		LIST_INSERT_HEAD(&f->all->proven, f, proven);
	return 0;
}

static struct line *line_asked(struct flows *flows, uint64_t request)
{
	struct line *line;

	LIST_FOREACH (line, &flows->lines, next)
		if (request && line->request == request)
			return line;
	return NULL;
}

/* One that we asked for in an earlier life. */
static struct line *line_matching(struct flows *flows, const struct flow *f)
{
	struct line *line;

	LIST_FOREACH (line, &flows->lines, next)
		if (!line->flow && line->transport == f->transport &&
			addr_equal(&line->remote, &f->peer) &&
			addr_equal(&line->listen, &f->listen))
			return line;
	return NULL;
}

void flow_close(struct ipc_link *via, uint64_t id)
{
	Gh__FlowClose m = GH__FLOW_CLOSE__INIT;

	m.flow = id;
	IPC_MSG(msg, FLOW_CLOSE, flow_close, &m);
	flow_say(via, &msg);
}

/* It is the flow of its trunk from now on; one of a retired flowd that was it
 * until now is used by its dialogs as long as it lives. */
static void become_line(struct flow *f, struct line *line)
{
	line->request = 0;
	line->pause_us = LINE_PAUSE_US;
	if (line->flow)
		line->flow->line = NULL;
	line->flow = f;
	f->line = line;
	/* One for large requests has its timer for the end. */
	if (line->wanted)
		loop_timer_stop(f->all->sbc->daemon.loop, line->timer);
	log_notice("trunk_connected", LOG_UINT("trunk", line->trunk),
		LOG_ADDR("remote", &line->remote));
	flow_line_tell(line);
}

void flow_on_opened(void *ctx, struct ipc_link *link, const Gh__Msg *msg)
{
	const Gh__FlowOpened *m = msg->flow_opened;
	struct flows *flows = ctx;
	struct flow *f = flow_by_id(flows, m->flow);
	struct line *line;

	if (f && f->via &&
		f->via != link) { /* two flowds drew the same numbers */
		log_err("flow_twice", LOG_UINT("flow", m->flow));
		flow_close(link, m->flow);
		return;
	}
	if (!f)
		f = flow_new(flows, m->flow);
	if (f)
		f->via = link;
	if (!f || take_facts(f, m) != 0 ||
		set_port(f, (uint16_t)m->local_port) != 0) {
		log_warning("flow_refused", LOG_UINT("flow", m->flow),
			LOG_STR("peer", m->peer));
		if (f)
			flow_free(f);
		flow_close(link, m->flow);
		return;
	}
	f->closed = false;
	loop_timer_stop(flows->sbc->daemon.loop, f->timer);
	for (size_t i = 0; i < flows->n_untold; i++)
		if (flows->untold[i].port == f->port)
			flows->untold[i] = flows->untold[--flows->n_untold];
	line = line_asked(flows, m->request);
	if (line && line->outdated) {
		/* The settings have changed since: one under theirs. */
		line->request = 0;
		flow_close(link, f->id);
		flow_line_ask(line);
	} else {
		if (!line)
			line = line_matching(flows, f);
		if (line && line->flow != f)
			become_line(f, line);
	}
	log_peer_info("flow", LOG_UINT("flow", f->id),
		LOG_ADDR("peer", &f->peer), LOG_ADDR("listen", &f->listen));
}

/* A connection that was refused or broke is news for the administrator. */
static void tell_event(struct flows *flows, const Gh__FlowClosed *m)
{
	Gh__Event event = GH__EVENT__INIT;
	char data[160];
	enum reason why;

	if (reason_from_number(m->reason, &why) != 0)
		return;
	snprintf(data, sizeof(data), "%.100s%s%u times", m->detail,
		m->detail[0] ? ", " : "", m->times);
	event.wall_us = clock_wall_us();
	event.reason = m->reason;
	event.source = m->peer;
	event.data = data;
	cdr_event(flows->sbc->cdrs, &event);
}

void flow_on_closed(void *ctx, struct ipc_link *link, const Gh__Msg *msg)
{
	const Gh__FlowClosed *m = msg->flow_closed;
	struct flows *flows = ctx;
	struct flow *f = flow_by_id(flows, m->flow);
	struct line *line = line_asked(flows, m->request);

	if (m->flow == 0 && m->request == 0)
		tell_event(flows, m);
	if (f && f->via == link)
		flow_end(f);
	if (!line)
		return;
	log_warning("trunk_not_connected", LOG_UINT("trunk", line->trunk),
		LOG_ADDR("remote", &line->remote), LOG_STR("why", m->detail));
	flow_line_refused(line);
}

int flow_may_read(struct flows *flows, uint16_t port)
{
	uint64_t now = clock_now_us();

	if (by_port(flows, port))
		return 1;
	for (size_t i = 0; i < flows->n_untold; i++) {
		if (flows->untold[i].port != port)
			continue;
		if (now - flows->untold[i].since_us < UNTOLD_US)
			return 0;
		flows->untold[i] = flows->untold[--flows->n_untold];
		reason_count(REASON_FLOW_BRIDGE);
		log_peer_warning(
			"bridge_not_announced", LOG_UINT("port", port));
		return ERR_REFUSED;
	}
	if (flows->n_untold == UNTOLD_MAX)
		return ERR_REFUSED;
	flows->untold[flows->n_untold++] = (struct untold){port, now};
	return 0;
}

int flows_new(struct sbc *sbc, const char *path, const struct addr *bridge,
	struct flows **flows_out)
{
	struct flows *flows = calloc(1, sizeof(*flows));

	if (!flows)
		return ERR_NOMEM;
	flows->sbc = sbc;
	flows->bridge = *bridge;
	LIST_INIT(&flows->lines);
	LIST_INIT(&flows->names);
	LIST_INIT(&flows->proven);
	if (strlen(path) >= sizeof(flows->path)) {
		free(flows);
		return ERR_TOO_BIG;
	}
	snprintf(flows->path, sizeof(flows->path), "%s", path);
	if (table_init(&flows->by_id, FLOWS_MAX) != 0 ||
		table_init(&flows->by_port, UINT16_MAX) != 0 ||
		table_init(&flows->hosts, HOSTS_MAX) != 0) {
		flows_free(&flows);
		return ERR_NOMEM;
	}
	*flows_out = flows;
	return 0;
}

static void free_hosts(struct flows *flows)
{
	struct table_node *n, *next;
	size_t bucket = 0;

	for (n = table_next(&flows->hosts, &bucket, NULL); n; n = next) {
		next = table_next(&flows->hosts, &bucket, n);
		free(TABLE_ENTRY(n, struct host, node));
	}
	table_done(&flows->hosts);
}

void flows_free(struct flows **flows_ref)
{
	struct flows *flows = *flows_ref;

	*flows_ref = NULL;
	if (!flows)
		return;
	flow_links_free(flows);
	flow_names_free(flows);
	if (flows->by_id.buckets)
		free_all(flows);
	while (!LIST_EMPTY(&flows->lines)) {
		LIST_FIRST(&flows->lines)->flow = NULL;
		flow_line_free(LIST_FIRST(&flows->lines));
	}
	if (flows->by_id.buckets)
		table_done(&flows->by_id);
	if (flows->by_port.buckets)
		table_done(&flows->by_port);
	if (flows->hosts.buckets)
		free_hosts(flows);
	free(flows);
}
