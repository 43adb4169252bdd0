/* SPDX-License-Identifier: Apache-2.0 */
#include "keeper/listen.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"

/* One port number; *text moves behind it. 0 would mean "any": nobody could ask
 * for that socket a second time. */
static int port_parse(const char **text, uint16_t *port_out)
{
	unsigned port = 0;
	const char *p = *text;

	for (; isdigit((unsigned char)*p) && port <= 65535; p++)
		port = port * 10 + (unsigned)(*p - '0');
	if (p == *text || port == 0 || port > 65535)
		return ERR_INVALID;
	*text = p;
	*port_out = (uint16_t)port;
	return 0;
}

int listen_rule_parse(const char *text, struct listen_rule *out)
{
	struct listen_rule r = {0};
	char kind[8], net[64], ports[16];
	const char *p = ports;
	int end = 0;

	if (sscanf(text, "%7s %63s %15s%n", kind, net, ports, &end) != 3 ||
		text[end] || notify_kind_parse(kind, &r.kind) ||
		addr_net_parse(net, &r.net) || port_parse(&p, &r.first_port))
		return ERR_INVALID;
	r.last_port = r.first_port;
	if (*p == '-') {
		p++;
		if (port_parse(&p, &r.last_port))
			return ERR_INVALID;
	}
	if (*p || r.last_port < r.first_port)
		return ERR_INVALID;
	*out = r;
	return 0;
}

bool listen_allowed(const struct listeners *l, enum notify_kind kind,
	const struct addr *local)
{
	for (size_t i = 0; i < l->n_rules; i++) {
		const struct listen_rule *r = &l->rules[i];

		if (r->kind == kind && local->port >= r->first_port &&
			local->port <= r->last_port &&
			addr_in_net(local, &r->net))
			return true;
	}
	return false;
}

int listen_parse(
	const char *text, enum notify_kind *kind_out, struct addr *local_out)
{
	const char *space = strchr(text, ' ');
	char word[8];
	enum notify_kind kind;
	struct addr local;

	if (!space || (size_t)(space - text) >= sizeof(word))
		return ERR_INVALID;
	memcpy(word, text, (size_t)(space - text));
	word[space - text] = '\0';
	if (notify_kind_parse(word, &kind) || addr_parse(space + 1, &local) ||
		local.port == 0)
		return ERR_INVALID;
	*kind_out = kind;
	*local_out = local;
	return 0;
}

void listeners_init(struct listeners *l)
{
	memset(l, 0, sizeof(*l));
	TAILQ_INIT(&l->held);
}

static void listener_drop(struct listeners *l, struct listener *s)
{
	TAILQ_REMOVE(&l->held, s, next);
	l->n_held--;
	if (s->fd >= 0)
		close(s->fd);
	free(s);
}

void listeners_done(struct listeners *l)
{
	while (!TAILQ_EMPTY(&l->held))
		listener_drop(l, TAILQ_FIRST(&l->held));
}

static struct listener *listener_find(
	struct listeners *l, enum notify_kind kind, const struct addr *local)
{
	struct listener *s;

	TAILQ_FOREACH (s, &l->held, next) {
		if (s->kind == kind && addr_equal(&s->local, local))
			return s;
	}
	return NULL;
}

/* Failed tries are remembered only as long as there is room. */
static struct listener *listener_add(
	struct listeners *l, enum notify_kind kind, const struct addr *local)
{
	struct listener *s;

	if (l->n_held >= LISTEN_SOCKETS_MAX) {
		TAILQ_FOREACH (s, &l->held, next) {
			if (s->fd < 0)
				break;
		}
		if (!s)
			return NULL;
		listener_drop(l, s);
	}
	s = calloc(1, sizeof(*s));
	if (!s)
		return NULL;
	s->kind = kind;
	s->local = *local;
	s->owner = PROCESS_COUNT;
	s->fd = -1;
	TAILQ_INSERT_TAIL(&l->held, s, next);
	l->n_held++;
	return s;
}

static void set_buffers(int fd)
{
	int rcv = LISTEN_RCVBUF, snd = LISTEN_SNDBUF;

	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &rcv, sizeof(rcv)) &&
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &rcv, sizeof(rcv)))
		log_warning("socket_buffer", LOG_ERRNO(errno));
	if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &snd, sizeof(snd)) &&
		setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &snd, sizeof(snd)))
		log_warning("socket_buffer", LOG_ERRNO(errno));
}

/* @return the socket, or -1 with errno. */
static int socket_open(const struct listeners *l, enum notify_kind kind,
	const struct addr *local)
{
	struct sockaddr_storage sa;
	socklen_t sa_len = addr_to_sockaddr(local, &sa);
	const int type = kind == NOTIFY_UDP ? SOCK_DGRAM : SOCK_STREAM;
	const int on = 1, free_on = l->freebind;
	const bool v6 = local->family == AF_INET6;
	int fd, saved;

	fd = socket(local->family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	/* Each family has its own socket: an IPv4 peer must never look like
	 * an IPv6 one to the access lists. */
	if (v6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)))
		goto fail;
	if (free_on && setsockopt(fd, v6 ? IPPROTO_IPV6 : IPPROTO_IP,
			       v6 ? IPV6_FREEBIND : IP_FREEBIND, &free_on,
			       sizeof(free_on)))
		goto fail;
	/* TCP only: old connections of the last run must not block the port.
	 * With UDP it would let a second program share it. */
	if (kind == NOTIFY_TCP &&
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)))
		goto fail;
	if (kind == NOTIFY_UDP)
		set_buffers(fd);
	if (bind(fd, (struct sockaddr *)&sa, sa_len))
		goto fail;
	if (kind == NOTIFY_TCP && listen(fd, LISTEN_BACKLOG))
		goto fail;
	return fd;
fail:
	saved = errno;
	close(fd);
	errno = saved;
	return -1;
}

static int refuse(char *problem, enum notify_kind kind,
	const struct addr *local, const char *why, int err)
{
	char text[ADDR_TEXT_SIZE];

	snprintf(problem, NOTIFY_LINE_MAX, "%s %s: %c%s",
		notify_kind_name(kind), addr_format(local, text),
		tolower((unsigned char)why[0]), why + 1);
	return err;
}

int listeners_get(struct listeners *l, enum process owner,
	enum notify_kind kind, const struct addr *local, char *problem,
	int *fd_out)
{
	struct listener *s = listener_find(l, kind, local);

	if (!listen_allowed(l, kind, local)) {
		refuse(problem, kind, local,
			"not allowed by listen_allow in keeper.conf", 0);
		log_peer_warning("listen_refused", LOG_STR("problem", problem),
			LOG_STR("daemon", process_name(owner)));
		return ERR_REFUSED;
	}
	if (s && s->owner != PROCESS_COUNT && s->owner != owner)
		return refuse(problem, kind, local,
			"another daemon has this socket", ERR_REFUSED);
	if (!s)
		s = listener_add(l, kind, local);
	if (!s)
		return refuse(
			problem, kind, local, "too many sockets", ERR_FULL);
	if (s->fd < 0) {
		s->fd = socket_open(l, kind, local);
		if (s->fd < 0) {
			int why = errno;

			refuse(problem, kind, local, strerror(why), 0);
			if (s->last_errno != why)
				log_err("listen_failed",
					LOG_STR("problem", problem),
					LOG_STR("daemon", process_name(owner)));
			s->last_errno = why;
			return ERR_SYSTEM;
		}
		log_notice("listen_open",
			LOG_STR("kind", notify_kind_name(kind)),
			LOG_ADDR("local", local),
			LOG_STR("daemon", process_name(owner)));
		if (l->on_open)
			l->on_open(l->ctx, s);
	}
	s->owner = owner;
	*fd_out = s->fd;
	return 0;
}

int listeners_close(struct listeners *l, enum process owner,
	enum notify_kind kind, const struct addr *local)
{
	struct listener *s = listener_find(l, kind, local);

	if (!s || s->owner != owner)
		return ERR_NOT_FOUND;
	log_notice("listen_closed", LOG_STR("kind", notify_kind_name(kind)),
		LOG_ADDR("local", local),
		LOG_STR("daemon", process_name(owner)));
	if (s->passed && l->on_close)
		l->on_close(l->ctx, s);
	listener_drop(l, s);
	return 0;
}

/* What fd is, as far as the kernel says it. */
static int socket_look(
	int fd, enum notify_kind *kind_out, struct addr *local_out)
{
	struct sockaddr_storage sa;
	socklen_t sa_len = sizeof(sa), len = sizeof(int);
	int type, listening;

	if (getsockname(fd, (struct sockaddr *)&sa, &sa_len) ||
		addr_from_sockaddr((struct sockaddr *)&sa, sa_len, local_out) ||
		local_out->port == 0)
		return ERR_REFUSED;
	if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) ||
		getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &len))
		return ERR_REFUSED;
	if (type == SOCK_DGRAM)
		*kind_out = NOTIFY_UDP;
	else if (type == SOCK_STREAM && listening)
		*kind_out = NOTIFY_TCP;
	else
		return ERR_REFUSED;
	return 0;
}

int listeners_adopt(struct listeners *l, enum process owner, int fd)
{
	enum notify_kind kind;
	struct addr local;
	struct listener *s;
	int rc = socket_look(fd, &kind, &local);

	if (rc == 0 && !listen_allowed(l, kind, &local))
		rc = ERR_REFUSED;
	if (rc)
		goto out;
	s = listener_find(l, kind, &local);
	if (s && s->fd >= 0) {
		/* systemd had it too: now it is known whose it is. */
		if (s->owner == PROCESS_COUNT)
			s->owner = owner;
		rc = ERR_EXISTS;
		goto out;
	}
	if (!s)
		s = listener_add(l, kind, &local);
	if (!s) {
		rc = ERR_FULL;
		goto out;
	}
	s->fd = fd;
	s->owner = owner;
	if (l->on_open)
		l->on_open(l->ctx, s);
	return 0;
out:
	close(fd);
	return rc;
}
