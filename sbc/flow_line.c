/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lines: the lasting connections to trunks whose target is TCP or TLS at an
 * address, and what a connection has to prove to speak for a trunk (RFC 5922).
 * Without its line a target is out of service; what to do then is routing's.
 */
#include "sbc/flow_inner.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define RETRY_MAX_US (30 * CLOCK_US_PER_S)

void flow_line_ask(struct line *line)
{
	struct flows *flows = line->all;
	Gh__FlowConnect m = GH__FLOW_CONNECT__INIT;
	char local[ADDR_TEXT_SIZE], remote[ADDR_TEXT_SIZE];

	/* One of a retired flowd serves until there is another. */
	if (!line->wanted || line->request || !flows->link ||
		(line->flow && line->flow->via == flows->link) ||
		!ipc_is_up(flows->link))
		return;
	line->request = ++flows->last_request;
	m.request = line->request;
	m.realm = line->realm;
	addr_format(&line->listen, local);
	m.local = local;
	m.transport = line->transport;
	addr_format(&line->remote, remote);
	m.remote = remote;
	m.tls_name = line->name;
	m.ca = line->ca;
	m.pin = line->pin;
	m.certificate = line->certificate;
	IPC_MSG(msg, FLOW_CONNECT, flow_connect, &m);
	flow_say(flows->link, &msg);
}

static void on_line_timer(void *arg)
{
	flow_line_ask(arg);
}

void flow_line_retry(struct line *line)
{
	if (!line->wanted)
		return;
	loop_timer_set(
		line->all->sbc->daemon.loop, line->timer, line->pause_us);
	line->pause_us *= 2;
	if (line->pause_us > RETRY_MAX_US)
		line->pause_us = RETRY_MAX_US;
}

void flow_line_free(struct line *line)
{
	LIST_REMOVE(line, next);
	if (line->flow) {
		line->flow->line = NULL;
		flow_close(line->flow->via, line->flow->id);
	}
	loop_timer_free(line->all->sbc->daemon.loop, &line->timer);
	free(line);
}

static struct line *line_find(struct flows *flows, const struct addr *listen,
	Gh__Transport transport, const struct addr *remote)
{
	struct line *line;

	LIST_FOREACH (line, &flows->lines, next)
		if (line->transport == transport &&
			addr_equal(&line->listen, listen) &&
			addr_equal(&line->remote, remote))
			return line;
	return NULL;
}

const struct flow *flow_to(const struct flows *flows, const struct addr *listen,
	Gh__Transport transport, const struct addr *remote)
{
	const struct line *line;

	LIST_FOREACH (line, &flows->lines, next)
		if (line->flow && line->transport == transport &&
			addr_equal(&line->listen, listen) &&
			addr_equal(&line->remote, remote))
			return line->flow;
	return NULL;
}

/* The name that a trunk's certificate must have. */
static const char *name_of(const struct trunk *t, const char *host)
{
	if (t->row->tls_name[0])
		return t->row->tls_name;
	return t->row->domain[0] ? t->row->domain : host;
}

bool flow_proves(
	const struct flows *flows, uint64_t flow, const struct trunk *t)
{
	const struct flow *f;

	if (!t->row->tls_verify)
		return true;
	f = flow ? flow_by_id(flows, flow) : NULL;
	if (!f)
		return false;
	if (t->row->tls_pin[0])
		return strcasecmp(f->key, t->row->tls_pin) == 0;
	for (size_t i = 0; i < f->n_names; i++) {
		const char *has = f->names[i];

		if (strncasecmp(has, "sip:", 4) == 0)
			has += 4;
		if (strcasecmp(has, name_of(t, "")) == 0)
			return true;
		for (size_t k = 0; k < t->row->n_targets; k++)
			if (strcasecmp(has,
				    name_of(t, t->row->targets[k]->host)) == 0)
				return true;
	}
	return false;
}

static void want_line(
	struct flows *flows, const struct trunk *t, const Gh__TrunkTarget *row)
{
	const struct realm_address *ra;
	const char *name = name_of(t, row->host);
	struct addr remote;
	struct line *line;

	if (!transport_is_stream(row->transport) ||
		addr_parse(row->host, &remote) != 0)
		return;
	remote.port = row->port ? (uint16_t)row->port
		      : transport_is_secured(row->transport) ? 5061
							     : 5060;
	ra = realm_address_for(t->realm, remote.family, row->transport);
	if (!ra || strlen(name) >= sizeof(line->name))
		return;
	line = line_find(flows, &ra->listen, row->transport, &remote);
	if (!line) {
		line = calloc(1, sizeof(*line));
		if (!line || loop_timer_new(flows->sbc->daemon.loop,
				     on_line_timer, line, &line->timer) != 0) {
			free(line);
			return;
		}
		line->all = flows;
		line->listen = ra->listen;
		line->transport = row->transport;
		line->remote = remote;
		line->pause_us = LINE_PAUSE_US;
		LIST_INSERT_HEAD(&flows->lines, line, next);
	}
	line->wanted = true;
	snprintf(line->ca, sizeof(line->ca), "%s", t->row->tls_ca);
	snprintf(line->pin, sizeof(line->pin), "%s", t->row->tls_pin);
	snprintf(line->certificate, sizeof(line->certificate), "%s",
		t->row->tls_certificate);
	line->trunk = t->row->id;
	line->realm = t->realm->row->id;
	snprintf(line->name, sizeof(line->name), "%s", name);
}

void flow_want_lines(struct flows *flows, const struct settings *s)
{
	struct line *line, *next;

	LIST_FOREACH (line, &flows->lines, next)
		line->wanted = false;
	for (size_t i = 0; i < s->n_trunks; i++)
		for (size_t k = 0; s->trunks[i].row->enabled &&
				   k < s->trunks[i].row->n_targets;
			k++)
			want_line(flows, &s->trunks[i],
				s->trunks[i].row->targets[k]);
	for (line = LIST_FIRST(&flows->lines); line; line = next) {
		next = LIST_NEXT(line, next);
		if (line->wanted)
			flow_line_ask(line);
		else
			flow_line_free(line);
	}
}
