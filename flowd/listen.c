/* SPDX-License-Identifier: Apache-2.0 */
#include "flowd/listen.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/stat.h"

#define ACCEPT_BATCH 32
#define RETRY_US     (2 * CLOCK_US_PER_S)
#define PAUSE_US     (100 * CLOCK_US_PER_MS)

static const char *const state_names[] = {
	[LISTENER_ASKED] = "asked",
	[LISTENER_OPEN] = "open",
	[LISTENER_FAILED] = "failed",
};
_Static_assert(
	sizeof(state_names) / sizeof(state_names[0]) == LISTENER_STATE_COUNT,
	"every state has its name");

const char *listener_state_name(enum listener_state s)
{
	return (unsigned)s < LISTENER_STATE_COUNT ? state_names[s] : "?";
}

static struct loop *loop_of(const struct listeners *ls)
{
	return ls->daemon->loop;
}

/* ------------------------------------------------------------------- accept */

static bool in_nets(const struct addr *a, const struct addr_net *nets, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (addr_in_net(a, &nets[i]))
			return true;
	return false;
}

/* @return REASON_FLOW_OPENED with the source, or why not. */
static enum reason judge(
	struct listener *l, const struct addr *peer, struct source **source_out)
{
	const struct config_listener *w = l->want;
	struct flows *flows = l->all->flows;
	bool trusted = in_nets(peer, w->trunk_networks, w->n_trunk_networks);

	if (w->n_acl > 0 && !trusted && !in_nets(peer, w->acl, w->n_acl))
		return REASON_FLOW_ACL;
	return sources_take(l->all->sources, peer, trusted, flows->n_flows,
		flows->n_handshakes, clock_now_us(), source_out);
}

static void take_connection(struct listener *l, int fd, const struct addr *peer)
{
	/* Without a good-bye: nothing is to stay behind of a refusal. */
	const struct linger reset = {.l_onoff = 1};
	struct flows *flows = l->all->flows;
	struct source *source = NULL;
	enum reason why = judge(l, peer, &source);

	if (why == REASON_FLOW_OPENED) {
		l->n_accepted++;
		flows_accept(flows, fd, peer, l->face, l->tls, source);
		return;
	}
	l->n_refused++;
	reason_count(why);
	log_peer_info("flow_refused", LOG_STR("reason", reason_text(why)),
		LOG_ADDR("peer", peer), LOG_ADDR("listen", &l->face->listen));
	(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	(void)close(fd);
	flows->events->on_refused(flows->ctx, peer, l->face, why, "");
}

static void pause_all(struct listeners *ls)
{
	struct listener *l;

	LIST_FOREACH (l, &ls->list, next)
		if (l->watch)
			loop_fd_free(loop_of(ls), &l->watch);
	loop_timer_set(loop_of(ls), ls->retry_timer, PAUSE_US);
}

static void on_accept(void *arg, int fd, unsigned events)
{
	struct listener *l = arg;

	(void)events;
	for (unsigned i = 0; i < ACCEPT_BATCH; i++) {
		struct sockaddr_storage sa;
		socklen_t len = sizeof(sa);
		struct addr peer;
		int peer_fd = accept4(fd, (struct sockaddr *)&sa, &len,
			SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (peer_fd >= 0) {
			if (addr_from_sockaddr(
				    (struct sockaddr *)&sa, len, &peer))
				(void)close(peer_fd);
			else
				take_connection(l, peer_fd, &peer);
			continue;
		}
		if (errno == EAGAIN || errno == EWOULDBLOCK)
			return;
		if (errno != EMFILE && errno != ENFILE && errno != ENOBUFS &&
			errno != ENOMEM)
			continue; /* that connection has gone already */
		reason_count(REASON_FLOW_FULL);
		log_peer_warning("accept_failed", LOG_ERRNO(errno));
		pause_all(l->all);
		return;
	}
}

static void watch(struct listener *l)
{
	if (l->state != LISTENER_OPEN || l->watch || l->all->draining ||
		(transport_is_secure(l->face->transport) && !l->tls))
		return;
	if (loop_fd_add(
		    loop_of(l->all), l->fd, LOOP_READ, on_accept, l, &l->watch))
		loop_timer_set(loop_of(l->all), l->all->retry_timer, PAUSE_US);
}

/* ---------------------------------------------------------------------- TLS */

/* @return whether the listener has a context to go on with. */
static bool make_tls(struct listeners *ls, struct listener *l)
{
	const struct config_listener *w = l->want;
	const struct tls_server_want want = {
		.certificates = (const char *const *)w->certificates,
		.n_certificates = w->n_certificates,
		.client_ca = w->client_ca,
		.client_pins = (const char *const *)w->client_pins,
		.n_client_pins = w->n_client_pins,
		.client_required = w->client_required,
		.min_version = ls->config->tls_min,
		.ciphers = ls->config->tls_ciphers,
	};
	char problem[CERT_PROBLEM_SIZE];
	SSL_CTX *tls = NULL;

	if (!transport_is_secure(l->face->transport))
		return true;
	if (tls_server_new(&ls->certs, &want, &tls, problem)) {
		reason_count(REASON_FLOW_CERTIFICATE);
		/* It is tried again and again; once is enough to say. */
		if (strcmp(l->problem, problem) == 0)
			return l->tls != NULL;
		memcpy(l->problem, problem, sizeof(problem));
		log_err("certificate", LOG_ADDR("listen", &l->face->listen),
			LOG_STR("problem", l->problem),
			LOG_STR("in_force", l->tls ? "the old one" : "none"));
		return l->tls != NULL;
	}
	l->problem[0] = '\0';
	SSL_CTX_free(l->tls);
	l->tls = tls;
	return true;
}

/* Warns of what expires soon, and counts it. */
static void look_at_expiry(struct listeners *ls)
{
	int64_t now_s = (int64_t)(clock_wall_us() / CLOCK_US_PER_S);
	const struct cert *c;
	uint64_t n = 0;

	SLIST_FOREACH (c, &ls->certs.list, next) {
		if (c->not_after_s - now_s >= CERT_EXPIRY_WARN_S)
			continue;
		n++;
		log_warning("certificate_expires", LOG_STR("name", c->name),
			LOG_INT("days", (c->not_after_s - now_s) / 86400),
			LOG_STR("reason",
				reason_text(REASON_FLOW_CERTIFICATE)));
	}
	stat_set(STAT_CERTS_EXPIRING, n);
}

void listeners_reload(struct listeners *ls)
{
	struct listener *l;

	if (ls->retired)
		return;
	certs_clear(&ls->certs);
	LIST_FOREACH (l, &ls->list, next) {
		(void)make_tls(ls, l);
		watch(l);
	}
	look_at_expiry(ls);
	log_notice("certificates_read");
}

static void on_check(void *arg)
{
	struct listeners *ls = arg;
	struct listener *l;
	bool repaired = false;

	if (certs_changed(&ls->certs))
		listeners_reload(ls);
	LIST_FOREACH (l, &ls->list, next) {
		if (!l->problem[0])
			continue;
		(void)make_tls(ls, l);
		watch(l);
		repaired = repaired || !l->problem[0];
	}
	if (repaired)
		look_at_expiry(ls);
	loop_timer_set(loop_of(ls), ls->check_timer, ls->check_us);
}

/* ---------------------------------------------------------------- listeners */

static struct listener *find_exact(
	struct listeners *ls, const struct addr *listen)
{
	struct listener *l;

	LIST_FOREACH (l, &ls->list, next)
		if (addr_equal(&l->face->listen, listen))
			return l;
	return NULL;
}

static void failed(struct listener *l, const char *problem)
{
	l->state = LISTENER_FAILED;
	snprintf(l->problem, sizeof(l->problem), "%s", problem);
	reason_count(REASON_SETTINGS_LISTEN);
	/* It is tried again and again; once is enough to say. */
	if (strcmp(l->told, l->problem))
		log_err("listen_failed", LOG_ADDR("listen", &l->face->listen),
			LOG_STR("problem", problem));
	memcpy(l->told, l->problem, sizeof(l->told));
	loop_timer_set(loop_of(l->all), l->all->retry_timer, RETRY_US);
}

static void on_listen(void *ctx, enum notify_kind kind,
	const struct addr *local, int fd, const char *problem)
{
	struct listeners *ls = ctx;
	struct listener *l = find_exact(ls, local);

	(void)kind;
	/* A socket that keeper has moved is this one: its answer is only
	 * closed. */
	if (!l || l->state != LISTENER_ASKED) {
		if (fd >= 0)
			(void)close(fd);
		else if (l)
			log_err("listen_device", LOG_ADDR("listen", local),
				LOG_STR("problem", problem ? problem : ""));
		return;
	}
	if (fd < 0) {
		failed(l, problem ? problem : "no socket");
		return;
	}
	l->fd = fd;
	l->state = LISTENER_OPEN;
	l->told[0] = '\0';
	if (!transport_is_secure(l->face->transport) || l->tls)
		l->problem[0] = '\0';
	log_notice("listening", LOG_ADDR("listen", &l->face->listen),
		LOG_STR("transport", transport_name(l->face->transport)),
		LOG_STR("advertised", l->face->advertised));
	watch(l);
}

static void ask_keeper(struct listener *l)
{
	int err;

	l->state = LISTENER_ASKED;
	err = notify_listen(l->all->daemon->keeper, NOTIFY_TCP,
		&l->face->listen, l->device, on_listen, l->all);
	if (err)
		failed(l, err_text(err));
}

static void ask_device(struct listener *l)
{
	int err = notify_listen(l->all->daemon->keeper, NOTIFY_TCP,
		&l->face->listen, l->device, on_listen, l->all);

	if (err)
		log_err("listen_device", LOG_ADDR("listen", &l->face->listen),
			LOG_ERR(err));
}

static void on_retry(void *arg)
{
	struct listeners *ls = arg;
	struct listener *l;

	LIST_FOREACH (l, &ls->list, next)
		if (l->state == LISTENER_FAILED)
			ask_keeper(l);
		else
			watch(l);
}

static void drop(struct listener *l)
{
	struct listeners *ls = l->all;

	LIST_REMOVE(l, next);
	loop_fd_free(loop_of(ls), &l->watch);
	if (l->fd >= 0)
		(void)close(l->fd);
	SSL_CTX_free(l->tls);
	face_unref(&l->face);
	free(l);
}

static void want(struct listeners *ls, const struct config_listener *w)
{
	struct listener *l = find_exact(ls, &w->face->listen);
	bool moved;

	if (!l) {
		l = calloc(1, sizeof(*l));
		if (!l) {
			log_err("listen_failed", LOG_ERR(ERR_NOMEM));
			return;
		}
		l->all = ls;
		l->fd = -1;
		LIST_INSERT_HEAD(&ls->list, l, next);
	}
	l->want = w;
	moved = strcmp(l->device, w->device) != 0;
	memcpy(l->device, w->device, sizeof(l->device));
	/* New connections get the new face; TLS is made to measure for it. */
	if (l->face && l->face->transport != w->face->transport) {
		SSL_CTX_free(l->tls);
		l->tls = NULL;
		loop_fd_free(loop_of(ls), &l->watch);
	}
	face_unref(&l->face);
	l->face = face_ref(w->face);
	if (!make_tls(ls, l))
		loop_fd_free(loop_of(ls), &l->watch);
	if (l->fd < 0)
		ask_keeper(l);
	else
		watch(l);
	if (l->fd >= 0 && moved)
		ask_device(l);
}

static bool is_wanted(const struct config *c, const struct listener *l)
{
	for (size_t i = 0; i < c->n_listeners; i++)
		if (&c->listeners[i] == l->want)
			return true;
	return false;
}

void listeners_apply(struct listeners *ls, struct config *config)
{
	struct config *old = ls->config;
	struct listener *l, *next;

	ls->config = config;
	if (ls->retired) {
		config_free(&old);
		return;
	}
	certs_clear(&ls->certs);
	LIST_FOREACH (l, &ls->list, next)
		l->want = NULL;
	for (size_t i = 0; i < config->n_listeners; i++)
		want(ls, &config->listeners[i]);
	for (l = LIST_FIRST(&ls->list); l; l = next) {
		next = LIST_NEXT(l, next);
		if (is_wanted(config, l))
			continue;
		log_notice("listener_closed",
			LOG_ADDR("listen", &l->face->listen));
		notify_unlisten(
			ls->daemon->keeper, NOTIFY_TCP, &l->face->listen);
		drop(l);
	}
	config_free(&old);
	look_at_expiry(ls);
	loop_timer_set(loop_of(ls), ls->check_timer, ls->check_us);
}

void listeners_show_keeper(struct listeners *ls)
{
	struct listener *l;

	LIST_FOREACH (l, &ls->list, next) {
		if (l->fd < 0)
			continue;
		if (notify_store(ls->daemon->keeper, "listen", &l->fd, 1))
			log_warning("keeper_store",
				LOG_ADDR("listen", &l->face->listen));
		/* A socket whose device has gone does not tell its name. */
		if (l->device[0])
			ask_device(l);
	}
}

void listeners_drain(struct listeners *ls)
{
	struct listener *l;

	ls->draining = true;
	LIST_FOREACH (l, &ls->list, next)
		loop_fd_free(loop_of(ls), &l->watch);
}

void listeners_retire(struct listeners *ls)
{
	ls->retired = true;
	loop_timer_stop(loop_of(ls), ls->retry_timer);
	loop_timer_stop(loop_of(ls), ls->check_timer);
	while (!LIST_EMPTY(&ls->list))
		drop(LIST_FIRST(&ls->list));
}

struct listener *listeners_find(struct listeners *ls, uint32_t realm,
	const struct addr *local, Gh__Transport transport)
{
	struct listener *l = find_exact(ls, local), *found = NULL;

	if (l && l->face->transport == transport && l->face->realm == realm)
		return l;
	LIST_FOREACH (l, &ls->list, next)
		if (l->face->realm == realm &&
			l->face->transport == transport &&
			l->face->listen.family == local->family &&
			(!found || addr_equal_ip(&l->face->listen, local)))
			found = l;
	return found;
}

int listeners_new(struct daemon *daemon, struct flows *flows,
	struct sources *sources, const struct certs *folders, uint64_t check_us,
	struct listeners **listeners_out)
{
	struct listeners *ls = calloc(1, sizeof(*ls));

	if (!ls)
		return ERR_NOMEM;
	ls->daemon = daemon;
	ls->flows = flows;
	ls->sources = sources;
	ls->certs = *folders;
	ls->check_us = check_us;
	LIST_INIT(&ls->list);
	if (loop_timer_new(daemon->loop, on_retry, ls, &ls->retry_timer) ||
		loop_timer_new(daemon->loop, on_check, ls, &ls->check_timer)) {
		listeners_free(&ls);
		return ERR_NOMEM;
	}
	*listeners_out = ls;
	return 0;
}

void listeners_free(struct listeners **listeners)
{
	struct listeners *ls = *listeners;

	*listeners = NULL;
	if (!ls)
		return;
	while (!LIST_EMPTY(&ls->list))
		drop(LIST_FIRST(&ls->list));
	loop_timer_free(loop_of(ls), &ls->retry_timer);
	loop_timer_free(loop_of(ls), &ls->check_timer);
	certs_clear(&ls->certs);
	config_free(&ls->config);
	free(ls);
}
