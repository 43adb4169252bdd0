/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What sbc says is checked like a stranger's word. Connections that are refused
 * are told to sbc in sums, so that a flood of them is a few messages.
 */
#include "flowd/ctl.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/stat.h"
#include "flowd/config.h"
#include "flowd/ctl_inner.h"

/* Hosts that are remembered: known phones, bans, and who connects. */
#define SOURCES_MAX 131072u
#define TIDY_US     (5 * CLOCK_US_PER_S)
/* So many connections have ended: what they left free in between goes back to
 * the system, so that a flood is forgotten. */
#define TRIM_FLOWS  500u
/* Flows are announced only while the link to sbc keeps up. */
#define QUEUE_HIGH  2048u
/* Refused connections are told once in this time, this many kinds. */
#define REFUSED_US  CLOCK_US_PER_S
#define STOP_US     (FLOW_ENDING_US + 500000)

/* ------------------------------------------------------------------ to sbc */

void ctl_send_to_sbc(struct ctl *c, const Gh__Msg *msg)
{
	int err;

	if (!c->sbc)
		return;
	err = ipc_send(c->sbc, msg);
	if (err)
		log_peer_warning("sbc_message_lost", LOG_ERR(err));
}

static int on_opened(void *ctx, const struct flow *f)
{
	static struct tls_names names; /* 4 kB: not for the stack */
	Gh__FlowOpened m = GH__FLOW_OPENED__INIT;
	char listen[ADDR_TEXT_SIZE], peer[ADDR_TEXT_SIZE];
	char *texts[TLS_NAMES_MAX];
	struct ctl *c = ctx;

	if (!c->sbc)
		return ERR_AWAY;
	if (ipc_queued(c->sbc) > QUEUE_HIGH)
		return ERR_FULL;
	m.flow = f->id;
	m.request = f->is_known ? 0 : f->request;
	m.local_port = f->bridge.local_port;
	(void)addr_format(&f->face->listen, listen);
	m.listen = listen;
	m.transport = f->face->transport;
	(void)addr_format(&f->peer, peer);
	m.peer = peer;
	m.wall_opened_us = f->wall_opened_us;
	if (f->wire.ssl) {
		tls_peer(f->wire.ssl, &names);
		for (size_t i = 0; i < names.n; i++)
			texts[i] = names.text[i];
		m.tls_names = texts;
		m.n_tls_names = names.n;
		m.tls_key = names.key;
		m.tls_cipher =
			(char *)(uintptr_t)SSL_get_cipher_name(f->wire.ssl);
	}
	IPC_MSG(msg, FLOW_OPENED, flow_opened, &m);
	return ipc_send(c->sbc, &msg);
}

static void send_closed(struct ctl *c, uint64_t flow, uint64_t request,
	enum reason why, const char *detail, const struct addr *peer,
	const struct addr *listen, uint32_t times)
{
	Gh__FlowClosed m = GH__FLOW_CLOSED__INIT;
	char peer_text[ADDR_TEXT_SIZE] = "", listen_text[ADDR_TEXT_SIZE] = "";

	m.flow = flow;
	m.request = request;
	m.reason = reason_number(why);
	m.detail = (char *)(uintptr_t)detail;
	if (peer)
		(void)addr_format(peer, peer_text);
	if (listen)
		(void)addr_format(listen, listen_text);
	m.peer = peer_text;
	m.listen = listen_text;
	m.times = times;
	IPC_MSG(msg, FLOW_CLOSED, flow_closed, &m);
	ctl_send_to_sbc(c, &msg);
}

void ctl_check_over(struct ctl *c)
{
	if ((c->stopping || c->retired) && c->flows && c->flows->n_flows == 0)
		loop_timer_set(c->daemon->loop, c->stop_timer, 0);
}

static void on_closed(void *ctx, const struct flow *f)
{
	struct ctl *c = ctx;

	send_closed(c, f->id, f->is_known ? 0 : f->request, f->why, f->detail,
		&f->peer, &f->face->listen, 1);
	c->n_ended++;
	ctl_check_over(c);
}

static void on_refused(void *ctx, const struct addr *peer,
	const struct face *face, enum reason why, const char *detail)
{
	struct ctl *c = ctx;
	struct refused *r = NULL;

	c->n_ended++;
	ctl_check_over(c);
	for (size_t i = 0; i < c->n_refused; i++)
		if (c->refused[i].why == why &&
			addr_equal_ip(&c->refused[i].peer, peer)) {
			c->refused[i].times++;
			return;
		}
	if (c->n_refused == REFUSED_MAX) {
		/* No row is left for this one: it counts with the last. */
		c->refused[REFUSED_MAX - 1].times++;
		return;
	}
	if (!c->refused_told) {
		c->refused_told = true;
		loop_timer_set(c->daemon->loop, c->refused_timer,
			c->config.refused_us);
		send_closed(c, 0, 0, why, detail, peer, &face->listen, 1);
		return;
	}
	r = &c->refused[c->n_refused++];
	r->why = why;
	r->peer = *peer;
	r->listen = face->listen;
	r->times = 1;
	snprintf(r->detail, sizeof(r->detail), "%s", detail);
}

static void on_refused_timer(void *arg)
{
	struct ctl *c = arg;

	c->refused_told = c->n_refused > 0;
	if (c->refused_told)
		loop_timer_set(c->daemon->loop, c->refused_timer,
			c->config.refused_us);
	for (size_t i = 0; i < c->n_refused; i++) {
		const struct refused *r = &c->refused[i];

		send_closed(c, 0, 0, r->why, r->detail, &r->peer, &r->listen,
			r->times);
	}
	c->n_refused = 0;
}

static const struct flow_events flow_events = {
	.on_opened = on_opened,
	.on_closed = on_closed,
	.on_refused = on_refused,
};

/* ---------------------------------------------------------------- from sbc */

static void set_limits(struct ctl *c, const struct config *config)
{
	struct source_limits limits = {
		.max_flows = c->config.capacity,
		.max_per_source = config->max_flows_per_source,
		.max_handshakes = c->config.max_handshakes,
		.accept_rate = c->config.accept_rate,
		.accept_rate_source = c->config.accept_rate_source,
	};

	if (config->max_flows && config->max_flows < limits.max_flows)
		limits.max_flows = config->max_flows;
	limits.reserve_known = config->reserve_known < limits.max_flows
				       ? config->reserve_known
				       : limits.max_flows - 1;
	sources_set_limits(&c->sources, &limits, clock_now_us());
	flows_set_limits(c->flows, &config->limits);
	stat_set(STAT_FLOW_CAPACITY, limits.max_flows);
}

static void on_config(void *ctx, struct ipc_link *link, const Gh__Msg *msg)
{
	char problem[CONFIG_PROBLEM_SIZE];
	struct config *config;
	struct ctl *c = ctx;
	struct addr bridge;

	(void)link;
	if (config_new(msg->flow_config, &config, problem)) {
		reason_count(REASON_SETTINGS_INVALID);
		log_err("flow_config_refused", LOG_STR("problem", problem));
		return;
	}
	bridge = config->bridge;
	log_notice("flow_config", LOG_UINT("settings", config->version),
		LOG_UINT("listeners", config->n_listeners),
		LOG_ADDR("bridge", &bridge));
	set_limits(c, config);
	listeners_apply(c->listeners, config);
	flows_bridge_up(c->flows, &bridge);
}

static void refuse_connect(struct ctl *c, const Gh__FlowConnect *m,
	enum reason why, const char *detail)
{
	reason_count(why);
	log_warning("connect_refused", LOG_STR("reason", reason_text(why)),
		LOG_STR("remote", m->remote), LOG_STR("detail", detail));
	send_closed(c, 0, m->request, why, detail, NULL, NULL, 1);
}

/* How an outgoing connection looks: as its listener, or under a host of its
 * own. @return NULL if there is neither. */
static struct face *face_for(
	struct ctl *c, const Gh__FlowConnect *m, const struct addr *local)
{
	struct listener *l =
		listeners_find(c->listeners, m->realm, local, m->transport);

	if (m->advertised[0])
		return face_new(m->realm, l ? &l->face->listen : local,
			m->transport, m->advertised);
	return l ? face_ref(l->face) : NULL;
}

static int tls_for(struct ctl *c, const Gh__FlowConnect *m,
	struct flow_connect *want, char *problem)
{
	const struct config *config = c->listeners->config;

	want->want = (struct tls_client_want){
		.name = m->tls_name,
		.ca = m->ca,
		.pin = m->pin,
		.certificate = m->certificate,
		.min_version = config ? config->tls_min : "",
		.ciphers = config ? config->tls_ciphers : "",
	};
	return tls_client_new(
		&c->listeners->certs, &want->want, &want->tls, problem);
}

static void on_connect(void *ctx, struct ipc_link *link, const Gh__Msg *msg)
{
	const Gh__FlowConnect *m = msg->flow_connect;
	struct flow_connect want = {.request = m->request};
	char problem[CERT_PROBLEM_SIZE] = "";
	enum reason why;
	struct ctl *c = ctx;
	uint64_t id = 0;

	(void)link;
	if (m->request == 0 || addr_parse(m->local, &want.local) ||
		addr_parse(m->remote, &want.remote) || want.remote.port == 0 ||
		want.local.family != want.remote.family ||
		device_name_copy(m->device, want.device) ||
		(m->transport != GH__TRANSPORT__TRANSPORT_TCP &&
			m->transport != GH__TRANSPORT__TRANSPORT_TLS)) {
		refuse_connect(c, m, REASON_FLOW_CONNECT_FAILED, "no address");
		return;
	}
	want.face = face_for(c, m, &want.local);
	if (!want.face) {
		refuse_connect(c, m, REASON_FLOW_NO_LISTENER, m->local);
		return;
	}
	if (transport_is_secure(m->transport) &&
		tls_for(c, m, &want, problem)) {
		refuse_connect(c, m, REASON_FLOW_CERTIFICATE, problem);
		goto out;
	}
	why = flows_connect(c->flows, &want, &id);
	if (why != REASON_FLOW_OPENED)
		refuse_connect(c, m, why, "");
	else
		log_info("flow_connect", LOG_UINT("flow", id),
			LOG_UINT("request", m->request),
			LOG_ADDR("peer", &want.remote));
out:
	SSL_CTX_free(want.tls);
	face_unref(&want.face);
}

static void on_close(void *ctx, struct ipc_link *link, const Gh__Msg *msg)
{
	const Gh__FlowClose *m = msg->flow_close;
	enum reason why = REASON_FLOW_CLOSED_BY_SBC;
	struct ctl *c = ctx;
	struct flow *f = flows_find(c->flows, m->flow);

	(void)link;
	if (m->reason && reason_from_number(m->reason, &why))
		why = REASON_FLOW_CLOSED_BY_SBC;
	if (f)
		flow_end(f, why, "");
}

static void on_known(void *ctx, struct ipc_link *link, const Gh__Msg *msg)
{
	const Gh__FlowKnown *m = msg->flow_known;
	struct ctl *c = ctx;
	struct addr host;

	(void)link;
	if (addr_parse(m->host, &host) == 0)
		sources_known(&c->sources, &host, m->known, clock_now_us());
}

static void on_ban(void *ctx, struct ipc_link *link, const Gh__Msg *msg)
{
	const Gh__Ban *m = msg->ban;
	struct ctl *c = ctx;
	struct addr host;

	(void)link;
	if (addr_parse(m->host, &host))
		return;
	if (sources_ban(&c->sources, &host, m->lifted ? 0 : m->until_us,
		    clock_now_us()))
		log_peer_warning("ban_lost", LOG_STR("host", m->host));
}

static void on_ctl_request(void *ctx, struct ipc_link *link, const Gh__Msg *msg)
{
	struct ctl *c = ctx;

	control_on_request(&c->control, link, msg->ctl_request);
}

/* --------------------------------------------------------------- links */

static void on_up(void *ctx, struct ipc_link *link)
{
	struct ctl *c = ctx;

	if (ipc_peer(link) != PROCESS_SBC)
		return;
	/* Its FlowConfig comes first, then flows are announced. */
	if (c->sbc)
		flows_bridge_down(c->flows);
	c->sbc = link;
	ctl_retire_on_sbc(c, true);
	log_notice("sbc_up", LOG_UINT("flows", c->flows->n_flows));
}

static void on_down(void *ctx, struct ipc_link *link, enum reason why)
{
	struct ctl *c = ctx;

	if (link != c->sbc)
		return;
	c->sbc = NULL;
	flows_bridge_down(c->flows);
	ctl_retire_on_sbc(c, false);
	log_warning("sbc_away", LOG_STR("reason", reason_text(why)),
		LOG_UINT("flows", c->flows->n_flows));
}

#define FROM_SBC PROCESS_BIT(PROCESS_SBC)

static const struct ipc_permit permits[] = {
	{GH__MSG__BODY_FLOW_CONFIG, FROM_SBC, on_config},
	{GH__MSG__BODY_FLOW_CONNECT, FROM_SBC, on_connect},
	{GH__MSG__BODY_FLOW_CLOSE, FROM_SBC, on_close},
	{GH__MSG__BODY_FLOW_KNOWN, FROM_SBC, on_known},
	{GH__MSG__BODY_BAN, FROM_SBC, on_ban},
	{GH__MSG__BODY_CTL_REQUEST, PROCESS_BIT(PROCESS_CTL), on_ctl_request},
};

static void on_tidy(void *arg)
{
	struct ctl *c = arg;
	size_t n_sources = c->sources.table.n_entries;

	sources_tidy(&c->sources, clock_now_us());
	c->n_ended += n_sources - c->sources.table.n_entries;
	if (c->n_ended >= TRIM_FLOWS) {
		c->n_ended = 0;
		(void)malloc_trim(0);
	}
	loop_timer_set(c->daemon->loop, c->tidy_timer, TIDY_US);
}

static void on_stop_timer(void *arg)
{
	struct ctl *c = arg;

	daemon_stop(c->daemon);
}

static int make_parts(struct ctl *c)
{
	struct loop *loop = c->daemon->loop;

	if (loop_timer_new(loop, on_refused_timer, c, &c->refused_timer) ||
		loop_timer_new(
			loop, ctl_on_retire_timer, c, &c->retire_timer) ||
		loop_timer_new(loop, on_tidy, c, &c->tidy_timer) ||
		loop_timer_new(loop, on_stop_timer, c, &c->stop_timer) ||
		sources_init(&c->sources, SOURCES_MAX) ||
		flows_new(loop, &c->sources, c->config.capacity, &flow_events,
			c, &c->flows))
		return ERR_NOMEM;
	loop_timer_set(loop, c->tidy_timer, TIDY_US);
	stat_set(STAT_FLOW_CAPACITY, c->config.capacity);
	return listeners_new(c->daemon, c->flows, &c->sources,
		&c->config.folders, c->config.check_us, &c->listeners);
}

int ctl_new(const struct ctl_config *config, struct ctl **ctl_out)
{
	struct ctl *c = calloc(1, sizeof(*c));
	int err;

	if (!c)
		return ERR_NOMEM;
	c->daemon = config->daemon;
	c->config = *config;
	if (c->config.refused_us == 0)
		c->config.refused_us = REFUSED_US;
	c->ipc = (struct ipc_config){
		.loop = config->daemon->loop,
		.self = PROCESS_FLOWD,
		.users = &config->daemon->users,
		.permits = permits,
		.n_permits = sizeof(permits) / sizeof(permits[0]),
		.events = {.on_up = on_up, .on_down = on_down},
		.ctx = c,
	};
	control_init(
		&c->control, config->daemon, ctl_commands, ctl_n_commands, c);
	err = make_parts(c);
	if (err) {
		ctl_free(&c);
		return err;
	}
	*ctl_out = c;
	return 0;
}

void ctl_free(struct ctl **ctl)
{
	struct ctl *c = *ctl;

	*ctl = NULL;
	if (!c)
		return;
	ipc_link_free(&c->adopted);
	ipc_server_free(&c->server);
	c->sbc = NULL;
	c->stopping = false;
	listeners_free(&c->listeners);
	flows_free(&c->flows);
	sources_done(&c->sources);
	loop_timer_free(c->daemon->loop, &c->refused_timer);
	loop_timer_free(c->daemon->loop, &c->tidy_timer);
	loop_timer_free(c->daemon->loop, &c->stop_timer);
	loop_timer_free(c->daemon->loop, &c->retire_timer);
	ctl_retire_done(c);
	free(c);
}

int ctl_listen(struct ctl *ctl, const char *path)
{
	struct stat st;
	int err = ipc_listen(&ctl->ipc, path, &ctl->server);

	if (err)
		return err;
	snprintf(ctl->path, sizeof(ctl->path), "%s", path);
	if (lstat(path, &st) == 0)
		ctl->path_inode = st.st_ino;
	return 0;
}

int ctl_adopt(struct ctl *ctl, int fd)
{
	ipc_link_free(&ctl->adopted);
	return ipc_adopt(&ctl->ipc, fd, &ctl->adopted);
}

void ctl_reload(struct ctl *ctl)
{
	listeners_reload(ctl->listeners);
}

void ctl_keeper_up(struct ctl *ctl)
{
	listeners_show_keeper(ctl->listeners);
}

void ctl_stop(struct ctl *ctl)
{
	if (ctl->stopping)
		return;
	ctl->stopping = true;
	listeners_drain(ctl->listeners);
	loop_timer_set(ctl->daemon->loop, ctl->stop_timer, STOP_US);
	flows_end_all(ctl->flows, REASON_FLOW_SHUTDOWN);
	ctl_check_over(ctl);
}
