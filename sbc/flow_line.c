/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lines: the lasting connections to trunks whose target is TCP or TLS, one to
 * each of their addresses, and what a connection has to prove to speak for a
 * trunk (RFC 5922). Without its line a target is out of service; what to do
 * then is routing's. A request that is too large for a datagram gets a line of
 * its own for a while (RFC 3261 18.1.1), or none if the peer refuses.
 */
#include "sbc/flow_inner.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "sbc/stack.h"

#define RETRY_MAX_US   (30 * CLOCK_US_PER_S)
/* A connection for large requests stays so long after the last one. */
#define NEEDED_US      (600 * CLOCK_US_PER_S)
/* A peer that did not take one is not asked again so soon. */
#define REFUSED_US     (60 * CLOCK_US_PER_S)
/* Connections for large requests: so many at most. */
#define NEEDED_MAX     256u
/* How long a flow's bridge is waited for, and how often it is looked for. */
#define BRIDGE_WAIT_US CLOCK_US_PER_S
#define BRIDGE_LOOK_US CLOCK_US_PER_MS
/* What is left of a trunk that is none any more. */
#define GOODBYE_US     (6 * CLOCK_US_PER_S)

/* Somebody who waits for a line. */
struct flow_ask {
	TAILQ_ENTRY(flow_ask) next;
	struct line *line; /* NULL: it is clear already */
	uint64_t flow;     /* then: what it led to; 0 = nothing */
	uint64_t until_us; /* its bridge is waited for */
	struct flows *all;
	struct loop_timer *timer;
	flow_ask_fn fn;
	void *ctx;
};

static bool is_needed(const struct line *line)
{
	return line->wanted || line->needed_until_us > clock_now_us();
}

void flow_line_ask(struct line *line)
{
	struct flows *flows = line->all;
	Gh__FlowConnect m = GH__FLOW_CONNECT__INIT;
	char local[ADDR_TEXT_SIZE], remote[ADDR_TEXT_SIZE];

	/* One of a retired flowd serves until there is another. */
	if (!is_needed(line) || line->request || !flows->link ||
		(line->flow && line->flow->via == flows->link) ||
		!ipc_is_up(flows->link))
		return;
	line->request = ++flows->last_request;
	line->outdated = false;
	m.request = line->request;
	m.realm = line->realm;
	addr_format(&line->listen, local);
	m.local = local;
	m.transport = line->transport;
	addr_format(&line->remote, remote);
	m.remote = remote;
	m.tls_name = line->terms.name;
	m.ca = line->terms.ca;
	m.pin = line->terms.pin;
	m.certificate = line->terms.certificate;
	m.advertised = line->terms.advertised;
	m.device = line->terms.device;
	IPC_MSG(msg, FLOW_CONNECT, flow_connect, &m);
	flow_say(flows->link, &msg);
}

void flow_line_retry(struct line *line)
{
	/* What a request needed waits for the next one. */
	if (!line->wanted)
		return;
	loop_timer_set(
		line->all->sbc->daemon.loop, line->timer, line->pause_us);
	line->pause_us *= 2;
	if (line->pause_us > RETRY_MAX_US)
		line->pause_us = RETRY_MAX_US;
}

void flow_line_refused(struct line *line)
{
	line->request = 0;
	if (!line->wanted)
		line->refused_until_us = clock_now_us() + REFUSED_US;
	flow_line_retry(line);
	flow_line_tell(line);
}

/* ---------------------------------------------------- who waits for a line */

static void ask_free(struct flow_ask *ask)
{
	if (ask->line)
		TAILQ_REMOVE(&ask->line->asks, ask, next);
	loop_timer_free(ask->all->sbc->daemon.loop, &ask->timer);
	free(ask);
}

static void on_ask_timer(void *arg)
{
	struct flow_ask *ask = arg;
	struct sbc *sbc = ask->all->sbc;
	flow_ask_fn fn = ask->fn;
	void *ctx = ask->ctx;

	/* flowd has connected before it says so, but the library may not have
	 * accepted it yet. */
	if (ask->flow && flow_find(ask->all, ask->flow) && sbc->stack &&
		!stack_flow_tport(sbc->stack, ask->flow) &&
		clock_now_us() < ask->until_us) {
		loop_timer_set(sbc->daemon.loop, ask->timer, BRIDGE_LOOK_US);
		return;
	}
	ask_free(ask);
	fn(ctx);
}

static void ask_settle(struct flow_ask *ask, const struct line *line)
{
	ask->flow = line->flow ? line->flow->id : 0;
	ask->until_us = clock_now_us() + BRIDGE_WAIT_US;
}

void flow_line_tell(struct line *line)
{
	struct flow_ask *ask;

	while ((ask = TAILQ_FIRST(&line->asks))) {
		TAILQ_REMOVE(&line->asks, ask, next);
		ask->line = NULL;
		ask_settle(ask, line);
		loop_timer_set(line->all->sbc->daemon.loop, ask->timer, 0);
	}
}

void flow_ask_cancel(struct flow_ask **ask)
{
	if (*ask)
		ask_free(*ask);
	*ask = NULL;
}

/* -------------------------------------------------------------------- lines */

void flow_line_free(struct line *line)
{
	flow_line_tell(line);
	LIST_REMOVE(line, next);
	if (line->flow) {
		line->flow->line = NULL;
		flow_close(line->flow->via, line->flow->id);
	}
	loop_timer_free(line->all->sbc->daemon.loop, &line->timer);
	free(line);
}

static void on_line_timer(void *arg)
{
	struct line *line = arg;

	if (line->wanted)
		flow_line_ask(line);
	else if (!is_needed(line))
		flow_line_free(line);
	else
		loop_timer_set(
			line->all->sbc->daemon.loop, line->timer, NEEDED_US);
}

/* Each trunk has its own: names, certificates and Via differ. */
static struct line *line_find(const struct flows *flows, uint32_t trunk,
	const struct addr *listen, Gh__Transport transport,
	const struct addr *remote)
{
	struct line *line;

	LIST_FOREACH (line, &flows->lines, next)
		if (line->trunk == trunk && line->transport == transport &&
			addr_equal(&line->listen, listen) &&
			addr_equal(&line->remote, remote))
			return line;
	return NULL;
}

/* RFC 5923: a connection that the trunk has made serves the other way, too, if
 * its certificate says whose it is. The newest. */
static const struct flow *proven_of(const struct flows *flows,
	const struct trunk *t, const struct addr *listen,
	Gh__Transport transport)
{
	const struct flow *f;

	if (!t->row->tls_verify || !transport_is_secured(transport))
		return NULL;
	LIST_FOREACH (f, &flows->proven, proven)
		if (!f->closed && !f->line && f->transport == transport &&
			addr_equal(&f->listen, listen) &&
			flow_proves(flows, f->id, t))
			return f;
	return NULL;
}

const struct flow *flow_to(const struct flows *flows, const struct trunk *t,
	const struct addr *listen, Gh__Transport transport,
	const struct addr *remote)
{
	struct line *line =
		line_find(flows, t->row->id, listen, transport, remote);

	if (line && line->flow) {
		if (line->needed_until_us)
			line->needed_until_us = clock_now_us() + NEEDED_US;
		return line->flow;
	}
	return proven_of(flows, t, listen, transport);
}

const struct flow *flow_of_trunk(const struct flows *flows,
	const struct trunk *t, const struct addr *listen,
	Gh__Transport transport)
{
	const struct line *line;

	LIST_FOREACH (line, &flows->lines, next)
		if (line->flow && line->trunk == t->row->id &&
			line->transport == transport &&
			addr_equal(&line->listen, listen))
			return line->flow;
	return proven_of(flows, t, listen, transport);
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

/* Our Via as the trunk wants it: its host override stands for the port that we
 * listen at (trunk_contact() does the same for Contact). */
static void advertise(const struct trunk *t, const struct addr *listen,
	struct line_terms *terms)
{
	const char *host = t->row->host;
	const char *bracket = strrchr(host, ']');
	bool has_port = strchr(bracket ? bracket : host, ':') != NULL;
	int n = -1;

	if (host[0] && (has_port || listen->port == 5060))
		n = snprintf(terms->advertised, sizeof(terms->advertised), "%s",
			host);
	else if (host[0])
		n = snprintf(terms->advertised, sizeof(terms->advertised),
			"%s:%u", host, listen->port);
	if (n < 0 || (size_t)n >= sizeof(terms->advertised))
		terms->advertised[0] = '\0';
}

static void terms_of(const struct trunk *t, const char *host,
	const struct realm_address *ra, struct line_terms *terms)
{
	memset(terms, 0, sizeof(*terms));
	(void)!device_name_copy(ra->row->device, terms->device);
	snprintf(terms->name, sizeof(terms->name), "%s", name_of(t, host));
	snprintf(terms->ca, sizeof(terms->ca), "%s", t->row->tls_ca);
	snprintf(terms->pin, sizeof(terms->pin), "%s", t->row->tls_pin);
	snprintf(terms->certificate, sizeof(terms->certificate), "%s",
		t->row->tls_certificate);
	advertise(t, &ra->listen, terms);
}

/* The line to an address, made if there is none. host is what the settings
 * name. */
static struct line *line_make(struct flows *flows, const struct trunk *t,
	Gh__Transport transport, const char *host, const struct addr *remote)
{
	const struct realm_address *ra =
		realm_address_for(t->realm, remote->family, transport);
	struct line_terms terms;
	struct line *line;

	if (!ra || strlen(name_of(t, host)) >= sizeof(terms.name))
		return NULL;
	terms_of(t, host, ra, &terms);
	line = line_find(flows, t->row->id, &ra->listen, transport, remote);
	if (!line) {
		line = calloc(1, sizeof(*line));
		if (!line || loop_timer_new(flows->sbc->daemon.loop,
				     on_line_timer, line, &line->timer) != 0) {
			free(line);
			return NULL;
		}
		line->all = flows;
		line->trunk = t->row->id;
		line->listen = ra->listen;
		line->transport = transport;
		line->remote = *remote;
		line->pause_us = LINE_PAUSE_US;
		TAILQ_INIT(&line->asks);
		LIST_INSERT_HEAD(&flows->lines, line, next);
	} else if (line->flow &&
		   memcmp(&line->terms, &terms, sizeof(terms)) != 0) {
		/* It was made under other terms; the next one comes when this
		 * has ended. */
		flow_close(line->flow->via, line->flow->id);
	}
	if (line->request && memcmp(&line->terms, &terms, sizeof(terms)) != 0)
		line->outdated = true;
	line->terms = terms;
	line->realm = t->realm->row->id;
	return line;
}

/* A peer inside a dialog names its address: it does not name any number. */
static size_t n_for_requests(const struct flows *flows)
{
	const struct line *line;
	size_t n = 0;

	LIST_FOREACH (line, &flows->lines, next)
		n += !line->wanted;
	return n;
}

bool flow_is_refused(const struct flows *flows, const struct trunk *t,
	const struct addr *listen, Gh__Transport transport,
	const struct addr *remote)
{
	const struct line *line =
		line_find(flows, t->row->id, listen, transport, remote);

	return line && !line->flow && line->refused_until_us > clock_now_us();
}

int flow_ask(struct flows *flows, const struct trunk *t,
	Gh__Transport transport, const struct addr *remote, flow_ask_fn fn,
	void *ctx, struct flow_ask **ask_out)
{
	const struct realm_address *ra =
		realm_address_for(t->realm, remote->family, transport);
	struct line *line = ra ? line_find(flows, t->row->id, &ra->listen,
					 transport, remote)
			       : NULL;
	char host[ADDR_TEXT_SIZE];
	struct loop *loop = flows->sbc->daemon.loop;
	uint64_t now = clock_now_us(), wait_us = FLOW_ASK_US;
	struct flow_ask *ask;

	if (!line && n_for_requests(flows) >= NEEDED_MAX)
		return ERR_FULL;
	if (!line)
		line = line_make(flows, t, transport,
			addr_format_ip(remote, host), remote);
	if (!line)
		return ERR_NOT_FOUND;
	ask = calloc(1, sizeof(*ask));
	if (!ask || loop_timer_new(loop, on_ask_timer, ask, &ask->timer) != 0) {
		free(ask);
		return ERR_NOMEM;
	}
	ask->all = flows;
	ask->fn = fn;
	ask->ctx = ctx;
	line->needed_until_us = now + NEEDED_US;
	if (!line->wanted)
		loop_timer_set(loop, line->timer, NEEDED_US);
	if (line->refused_until_us <= now)
		flow_line_ask(line);
	if (line->flow || !line->request) {
		wait_us = 0; /* nothing to wait for */
		ask_settle(ask, line);
	} else {
		ask->line = line;
		TAILQ_INSERT_TAIL(&line->asks, ask, next);
	}
	loop_timer_set(loop, ask->timer, wait_us);
	*ask_out = ask;
	return 0;
}

/* What the settings reach by a connection: an address, or where a name leads.
 */
static void want_target(
	struct flows *flows, const struct trunk *t, const Gh__TrunkTarget *row)
{
	Gh__Transport transport = (Gh__Transport)row->transport;
	const struct flow_name *name = NULL;
	struct addr remote;
	size_t n = 1;

	if (!transport_is_stream(transport))
		return;
	if (addr_parse(row->host, &remote) == 0) {
		remote.port = row->port ? (uint16_t)row->port
			      : transport_is_secured(transport) ? 5061
								: 5060;
	} else {
		name = flow_name_want(flows, t, row);
		n = name ? name->n_addrs : 0;
	}
	for (size_t i = 0; i < n; i++) {
		struct line *line = line_make(flows, t, transport, row->host,
			name ? &name->addrs[i] : &remote);

		if (line)
			line->wanted = true;
	}
}

/* Who registered there takes that back first. */
static bool may_say_goodbye(struct line *line)
{
	if (!line->flow || line->needed_until_us)
		return false;
	line->needed_until_us = clock_now_us() + GOODBYE_US;
	loop_timer_set(line->all->sbc->daemon.loop, line->timer, GOODBYE_US);
	return true;
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
			want_target(flows, &s->trunks[i],
				s->trunks[i].row->targets[k]);
	flow_names_sweep(flows);
	for (line = LIST_FIRST(&flows->lines); line; line = next) {
		next = LIST_NEXT(line, next);
		if (line->wanted)
			flow_line_ask(line);
		else if (!is_needed(line) && !may_say_goodbye(line))
			flow_line_free(line);
	}
}
