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
#include "sbc/flow.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/queue.h>

#include "common/clock.h"
#include "common/ipc.h"
#include "common/log.h"
#include "sbc/sbc.h"

#define FLOWS_MAX     1000000u
#define CLOSED_US     (2 * CLOCK_US_PER_S)
#define UNTOLD_MAX    64u
#define UNTOLD_US     CLOCK_US_PER_S
#define RETRY_MIN_US  (500 * CLOCK_US_PER_MS)
#define RETRY_MAX_US  (30 * CLOCK_US_PER_S)
#define LISTENERS_MAX 256u
#define HOSTS_MAX     131072u
#define PINS_MAX      16u

/* A connection that we want. */
struct line {
	LIST_ENTRY(line) next;
	struct flows *all;
	bool wanted;
	uint32_t trunk;
	uint32_t realm;
	struct addr listen;
	Gh__Transport transport;
	struct addr remote;
	char name[256]; /* that its certificate must have */
	char ca[65], pin[65], certificate[65];
	uint64_t request; /* under way; 0 = none */
	struct flow *flow;
	uint64_t pause_us;
	struct loop_timer *timer;
};

/* A local connection that flowd has not announced yet. */
struct untold {
	uint16_t port;
	uint64_t since_us;
};

/* Where registered phones are. */
struct host {
	struct table_node node;
	struct addr addr;
	size_t n_bindings;
};

struct flows {
	struct sbc *sbc;
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
	struct addr bridge;
	bool bridge_open;
	struct ipc_link *link;
	uint64_t version, last_request;
	struct table by_id, by_port, hosts;
	LIST_HEAD(, line) lines;
	struct untold untold[UNTOLD_MAX];
	size_t n_untold;
	uint64_t peer_start; /* of the flowd that told the flows */
};

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

static void send_msg(struct flows *flows, const Gh__Msg *msg)
{
	int err = flows->link ? ipc_send(flows->link, msg) : ERR_AWAY;

	if (err != 0 && err != ERR_AWAY)
		log_warning("flowd_message_lost", LOG_ERR(err));
}

/* ------------------------------------------------------------------ flows */

static struct flow *by_id(const struct flows *flows, uint64_t id)
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
	const struct flow *f = by_id(flows, id);

	return f && !f->closed ? f : NULL;
}

static void flow_free(struct flow *f)
{
	struct flows *flows = f->all;

	if (f->line)
		f->line->flow = NULL;
	if (f->port)
		table_remove(&flows->by_port, &f->by_port);
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

static void line_retry(struct line *line);

static void flow_end(struct flow *f)
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
	line_retry(line);
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
	f->key = strdup(m->tls_key);
	f->names = calloc(n ? n : 1, sizeof(*f->names));
	if (!f->key || !f->names)
		return ERR_NOMEM;
	for (; f->n_names < n; f->n_names++) {
		f->names[f->n_names] = strdup(m->tls_names[f->n_names]);
		if (!f->names[f->n_names])
			return ERR_NOMEM;
	}
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

static void close_flow(struct flows *flows, uint64_t id)
{
	Gh__FlowClose m = GH__FLOW_CLOSE__INIT;

	m.flow = id;
	IPC_MSG(msg, FLOW_CLOSE, flow_close, &m);
	send_msg(flows, &msg);
}

static void on_opened(void *ctx, struct ipc_link *link, const Gh__Msg *msg)
{
	const Gh__FlowOpened *m = msg->flow_opened;
	struct flows *flows = ctx;
	struct flow *f = by_id(flows, m->flow);
	struct line *line;

	(void)link;
	if (!f)
		f = flow_new(flows, m->flow);
	if (!f || take_facts(f, m) != 0 ||
		set_port(f, (uint16_t)m->local_port) != 0) {
		log_warning("flow_refused", LOG_UINT("flow", m->flow),
			LOG_STR("peer", m->peer));
		if (f)
			flow_free(f);
		close_flow(flows, m->flow);
		return;
	}
	f->closed = false;
	loop_timer_stop(flows->sbc->daemon.loop, f->timer);
	for (size_t i = 0; i < flows->n_untold; i++)
		if (flows->untold[i].port == f->port)
			flows->untold[i] = flows->untold[--flows->n_untold];
	line = line_asked(flows, m->request);
	if (!line)
		line = line_matching(flows, f);
	if (line) {
		line->request = 0;
		line->pause_us = RETRY_MIN_US;
		line->flow = f;
		f->line = line;
		loop_timer_stop(flows->sbc->daemon.loop, line->timer);
		log_notice("trunk_connected", LOG_UINT("trunk", line->trunk),
			LOG_ADDR("remote", &line->remote));
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

static void on_closed(void *ctx, struct ipc_link *link, const Gh__Msg *msg)
{
	const Gh__FlowClosed *m = msg->flow_closed;
	struct flows *flows = ctx;
	struct flow *f = by_id(flows, m->flow);
	struct line *line = line_asked(flows, m->request);

	(void)link;
	if (m->flow == 0 && m->request == 0)
		tell_event(flows, m);
	if (f)
		flow_end(f);
	if (!line)
		return;
	log_warning("trunk_not_connected", LOG_UINT("trunk", line->trunk),
		LOG_ADDR("remote", &line->remote), LOG_STR("why", m->detail));
	line->request = 0;
	line_retry(line);
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

/* ------------------------------------------------------------------ lines */

static void line_ask(struct line *line)
{
	struct flows *flows = line->all;
	Gh__FlowConnect m = GH__FLOW_CONNECT__INIT;
	char local[ADDR_TEXT_SIZE], remote[ADDR_TEXT_SIZE];

	if (!line->wanted || line->flow || line->request || !flows->link ||
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
	send_msg(flows, &msg);
}

static void on_line_timer(void *arg)
{
	line_ask(arg);
}

static void line_retry(struct line *line)
{
	if (!line->wanted)
		return;
	loop_timer_set(
		line->all->sbc->daemon.loop, line->timer, line->pause_us);
	line->pause_us *= 2;
	if (line->pause_us > RETRY_MAX_US)
		line->pause_us = RETRY_MAX_US;
}

static void line_free(struct line *line)
{
	LIST_REMOVE(line, next);
	if (line->flow) {
		line->flow->line = NULL;
		close_flow(line->all, line->flow->id);
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
	f = flow ? by_id(flows, flow) : NULL;
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
		line->pause_us = RETRY_MIN_US;
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

static void want_lines(struct flows *flows, const struct settings *s)
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
			line_ask(line);
		else
			line_free(line);
	}
}

/* ----------------------------------------------------------------- config */

/* The texts that a config's messages point to. */
struct config_text {
	Gh__FlowListener rows[LISTENERS_MAX];
	Gh__FlowListener *list[LISTENERS_MAX];
	char *certificates[LISTENERS_MAX][1];
	char **trunk_networks[LISTENERS_MAX];
	char *pins[LISTENERS_MAX][PINS_MAX];
	size_t n;
};

static size_t count_sources(
	const struct settings *s, const struct realm_address *a)
{
	size_t n = 0;

	for (size_t i = 0; i < s->n_sources; i++)
		n += s->sources[i].trunk->realm == a->realm;
	return n;
}

static void list_sources(const struct settings *s,
	const struct realm_address *a, Gh__FlowListener *row)
{
	for (size_t i = 0; i < s->n_trunks; i++) {
		const struct trunk *t = &s->trunks[i];

		for (size_t k = 0; t->realm == a->realm && t->row->enabled &&
				   k < t->row->n_sources;
			k++)
			row->trunk_networks[row->n_trunk_networks++] =
				t->row->sources[k]->network;
	}
}

static size_t count_rows(
	const struct settings *s, const struct realm_address *a)
{
	size_t n = count_sources(s, a);

	for (size_t i = 0; i < s->n_trunks; i++)
		n += s->trunks[i].row->n_sources;
	return n;
}

/* Keys that trunks of the realm are known by. */
static void list_pins(const struct settings *s, const struct realm_address *a,
	Gh__FlowListener *row)
{
	for (size_t i = 0; i < s->n_trunks; i++) {
		const struct trunk *t = &s->trunks[i];

		if (t->realm == a->realm && t->row->enabled &&
			t->row->tls_pin[0] && row->n_client_pins < PINS_MAX)
			row->client_pins[row->n_client_pins++] =
				t->row->tls_pin;
	}
}

static int add_listener(struct config_text *c, const struct settings *s,
	const struct realm_address *a)
{
	Gh__FlowListener *row = &c->rows[c->n];

	if (c->n == LISTENERS_MAX)
		return ERR_FULL;
	c->trunk_networks[c->n] = calloc(count_rows(s, a) + 1, sizeof(char *));
	if (!c->trunk_networks[c->n])
		return ERR_NOMEM;
	gh__flow_listener__init(row);
	row->realm = a->realm->row->id;
	row->listen = a->row->listen;
	row->transport = a->row->transport;
	row->advertised = (char *)(uintptr_t)a->advertised_host;
	row->acl = a->realm->row->acl;
	row->n_acl = a->realm->row->n_acl;
	row->trunk_networks = c->trunk_networks[c->n];
	list_sources(s, a, row);
	if (transport_is_secured(row->transport)) {
		/* Without a list the certificate bears the realm's name. */
		c->certificates[c->n][0] = a->realm->row->name;
		row->certificates = a->row->n_certificates
					    ? a->row->certificates
					    : c->certificates[c->n];
		row->n_certificates =
			a->row->n_certificates ? a->row->n_certificates : 1;
		row->client_ca = a->row->client_ca;
		row->client_pins = c->pins[c->n];
		list_pins(s, a, row);
	}
	c->list[c->n++] = row;
	return 0;
}

static uint32_t number(const struct settings *s, const char *name, uint32_t def,
	uint32_t min, uint32_t max)
{
	return (uint32_t)settings_number(s, name, def, min, max);
}

static void send_config(struct flows *flows)
{
	const struct settings *s = flows->sbc->settings;
	struct config_text *c = calloc(1, sizeof(*c));
	Gh__FlowConfig m = GH__FLOW_CONFIG__INIT;
	char bridge[ADDR_TEXT_SIZE];

	if (!c)
		return;
	for (size_t i = 0; i < s->n_realms; i++)
		for (size_t k = 0; k < s->realms[i].n_addresses; k++) {
			const struct realm_address *a =
				&s->realms[i].addresses[k];

			if (transport_is_stream(a->row->transport) &&
				add_listener(c, s, a) != 0)
				log_err("flow_listener_lost",
					LOG_ADDR("listen", &a->listen));
		}
	m.version = ++flows->version;
	addr_format(&flows->bridge, bridge);
	m.bridge = bridge;
	m.listeners = c->list;
	m.n_listeners = c->n;
	m.max_flows = number(s, "max_flows", 0, 0, FLOWS_MAX);
	m.max_flows_per_source =
		number(s, "max_flows_per_source", 100, 1, FLOWS_MAX);
	m.reserve_known = number(s, "flows_reserved", 100, 0, FLOWS_MAX);
	m.header_max = number(s, "flow_header_max", 16384, 1024, 65536);
	m.body_max = number(s, "flow_body_max", 16384, 1024, 65536);
	m.message_timeout_ms =
		number(s, "flow_message_timeout_ms", 10000, 100, 600000);
	m.handshake_timeout_ms =
		number(s, "flow_handshake_timeout_ms", 10000, 100, 600000);
	m.idle_timeout_ms =
		number(s, "flow_idle_timeout_ms", 3900000, 1000, 86400000);
	m.first_message_timeout_ms =
		number(s, "flow_first_message_timeout_ms", 30000, 100, 600000);
	IPC_MSG(msg, FLOW_CONFIG, flow_config, &m);
	send_msg(flows, &msg);
	for (size_t i = 0; i < c->n; i++)
		free(c->trunk_networks[i]);
	free(c);
}

/* ------------------------------------------------------------------- link */

static void tell_known(struct flows *flows, const struct addr *host, bool known)
{
	Gh__FlowKnown m = GH__FLOW_KNOWN__INIT;
	char text[ADDR_TEXT_SIZE];

	m.host = (char *)(uintptr_t)addr_format_ip(host, text);
	m.known = known;
	IPC_MSG(msg, FLOW_KNOWN, flow_known, &m);
	if (flows->link && ipc_is_up(flows->link))
		send_msg(flows, &msg);
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

static void reconcile(struct flows *flows)
{
	if (!flows->sbc->settings || !flows->bridge_open || !flows->link ||
		!ipc_is_up(flows->link))
		return;
	send_config(flows);
	want_lines(flows, flows->sbc->settings);
}

static void on_up(void *ctx, struct ipc_link *link)
{
	struct flows *flows = ctx;
	uint64_t start = ipc_peer_start_id(link);

	log_notice("flowd_up");
	/* Another flowd knows none of the old flows. */
	if (flows->peer_start != start)
		free_all(flows);
	flows->peer_start = start;
	reconcile(flows);
	tell_all_known(flows);
}

static void on_down(void *ctx, struct ipc_link *link, enum reason why)
{
	struct flows *flows = ctx;
	struct table_node *n;
	struct line *line;
	size_t bucket = 0;

	(void)link;
	log_warning("flowd_away", LOG_STR("reason", reason_text(why)),
		LOG_UINT("flows", flows->by_id.n_entries));
	/* Its flows may be dead; those that are not are told again. */
	for (n = table_next(&flows->by_id, &bucket, NULL); n;
		n = table_next(&flows->by_id, &bucket, n))
		flow_end(TABLE_ENTRY(n, struct flow, by_id));
	LIST_FOREACH (line, &flows->lines, next) {
		line->request = 0;
		loop_timer_stop(flows->sbc->daemon.loop, line->timer);
	}
}

#define FROM_FLOWD PROCESS_BIT(PROCESS_FLOWD)

static const struct ipc_permit permits[] = {
	{GH__MSG__BODY_FLOW_OPENED, FROM_FLOWD, on_opened},
	{GH__MSG__BODY_FLOW_CLOSED, FROM_FLOWD, on_closed},
};

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
	struct ipc_config config = {
		.loop = flows->sbc->daemon.loop,
		.self = PROCESS_SBC,
		.users = &flows->sbc->daemon.users,
		.permits = permits,
		.n_permits = sizeof(permits) / sizeof(permits[0]),
		.events = {.on_up = on_up, .on_down = on_down},
		.ctx = flows,
	};

	if (!flows->link && has_streams(settings) &&
		ipc_connect(
			&config, flows->path, PROCESS_FLOWD, &flows->link) != 0)
		log_err("flowd_link");
	reconcile(flows);
}

void flows_on_bridge(struct flows *flows)
{
	flows->bridge_open = true;
	reconcile(flows);
}

void flow_ban(struct flows *flows, const Gh__Ban *ban)
{
	IPC_MSG(msg, BAN, ban, (Gh__Ban *)(uintptr_t)ban);
	if (flows->link && ipc_is_up(flows->link))
		send_msg(flows, &msg);
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
	ipc_link_free(&flows->link);
	if (flows->by_id.buckets)
		free_all(flows);
	while (!LIST_EMPTY(&flows->lines)) {
		LIST_FIRST(&flows->lines)->flow = NULL;
		line_free(LIST_FIRST(&flows->lines));
	}
	if (flows->by_id.buckets)
		table_done(&flows->by_id);
	if (flows->by_port.buckets)
		table_done(&flows->by_port);
	if (flows->hosts.buckets)
		free_hosts(flows);
	free(flows);
}
