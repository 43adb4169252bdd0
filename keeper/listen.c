/* SPDX-License-Identifier: Apache-2.0 */
#include "keeper/listen.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"
#include "keeper/device.h"

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
	char kind[8], net[64], ports[16], device[DEVICE_NAME_SIZE] = "";
	const char *p = ports;
	int end = 0, more = 0;

	if (sscanf(text, "%7s %63s %15s%n %15s%n", kind, net, ports, &end,
		    device, &more) < 3 ||
		text[more ? more : end] || notify_kind_parse(kind, &r.kind) ||
		device_name_copy(device, r.device) ||
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

bool listen_allowed(const struct listeners *l, const struct listen_want *want)
{
	const struct addr *local = &want->local;

	for (size_t i = 0; i < l->n_rules; i++) {
		const struct listen_rule *r = &l->rules[i];

		if (r->kind == want->kind && local->port >= r->first_port &&
			local->port <= r->last_port &&
			addr_in_net(local, &r->net) &&
			(!r->device[0] || want->nowhere ||
				!strcmp(r->device, want->device)))
			return true;
	}
	return false;
}

/* Cuts the word off that ends at a blank or at the end; *text moves behind. */
static int word_cut(const char **text, char *word, size_t size)
{
	size_t len = strcspn(*text, " ");

	if (len == 0 || len >= size)
		return ERR_INVALID;
	memcpy(word, *text, len);
	word[len] = '\0';
	*text += len;
	return 0;
}

int listen_parse(const char *text, struct listen_want *out)
{
	char kind[8], local[ADDR_TEXT_SIZE];
	struct listen_want want = {0};

	if (word_cut(&text, kind, sizeof(kind)) || *text++ != ' ' ||
		word_cut(&text, local, sizeof(local)) ||
		notify_kind_parse(kind, &want.kind) ||
		addr_parse(local, &want.local) || want.local.port == 0)
		return ERR_INVALID;
	/* Nothing, or a blank and a name. */
	if (*text && (!text[1] || device_name_copy(text + 1, want.device)))
		return ERR_INVALID;
	*out = want;
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

static int refuse(
	char *problem, const struct listen_want *want, const char *why, int err)
{
	char text[ADDR_TEXT_SIZE];

	snprintf(problem, NOTIFY_LINE_MAX, "%s %s%s%s: %c%s",
		notify_kind_name(want->kind), addr_format(&want->local, text),
		want->device[0] ? " on device " : "", want->device,
		tolower((unsigned char)why[0]), why + 1);
	return err;
}

static void tell_devices(struct listeners *l, const struct listener *s)
{
	if (l->devices && s->device[0])
		devices_note(l->devices, s->fd, s->device);
}

/* Until its device comes such a socket hears nobody but this machine: it must
 * not go on where it was. */
static int socket_move(
	struct listeners *l, struct listener *s, const struct listen_want *want)
{
	int rc = device_bind(s->fd, want->device);

	if (rc == ERR_NOT_FOUND && device_bind(s->fd, DEVICES_NOWHERE))
		rc = ERR_SYSTEM;
	if (rc == ERR_SYSTEM) {
		log_err("listen_device", LOG_ADDR("local", &s->local),
			LOG_STR("device", want->device), LOG_ERRNO(errno));
		return rc;
	}
	memcpy(s->device, want->device, sizeof(s->device));
	log_notice("listen_device", LOG_ADDR("local", &s->local),
		LOG_STR("device", s->device[0] ? s->device : "any"),
		LOG_STR("state", rc ? "waits for the device" : "bound"));
	tell_devices(l, s);
	return 0;
}

int listeners_get(struct listeners *l, enum process owner,
	const struct listen_want *want, char *problem, int *fd_out)
{
	struct listener *s = listener_find(l, want->kind, &want->local);

	if (!listen_allowed(l, want)) {
		refuse(problem, want,
			"not allowed by listen_allow in keeper.conf", 0);
		log_peer_warning("listen_refused", LOG_STR("problem", problem),
			LOG_STR("daemon", process_name(owner)));
		return ERR_REFUSED;
	}
	if (s && s->owner != PROCESS_COUNT && s->owner != owner)
		return refuse(problem, want, "another daemon has this socket",
			ERR_REFUSED);
	if (!s)
		s = listener_add(l, want->kind, &want->local);
	if (!s)
		return refuse(problem, want, "too many sockets", ERR_FULL);
	if (s->fd >= 0 && strcmp(s->device, want->device) &&
		socket_move(l, s, want))
		return refuse(problem, want, "can not be moved to that device",
			ERR_SYSTEM);
	if (s->fd < 0) {
		if (notify_open_socket(want->kind, &want->local, want->device,
			    l->freebind, &s->fd)) {
			int why = errno;

			refuse(problem, want, strerror(why), 0);
			if (s->last_errno != why)
				log_err("listen_failed",
					LOG_STR("problem", problem),
					LOG_STR("daemon", process_name(owner)));
			s->last_errno = why;
			return ERR_SYSTEM;
		}
		memcpy(s->device, want->device, sizeof(s->device));
		tell_devices(l, s);
		log_notice("listen_open",
			LOG_STR("kind", notify_kind_name(want->kind)),
			LOG_ADDR("local", &want->local),
			LOG_STR("device", s->device),
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
static int socket_look(int fd, struct listen_want *out)
{
	struct addr *local_out = &out->local;
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
		out->kind = NOTIFY_UDP;
	else if (type == SOCK_STREAM && listening)
		out->kind = NOTIFY_TCP;
	else
		return ERR_REFUSED;
	/* Of a device that has gone the name comes when its owner asks again.
	 */
	out->nowhere = device_index(fd) != 0 &&
		       !device_name(device_index(fd), out->device);
	return 0;
}

int listeners_adopt(struct listeners *l, enum process owner, int fd)
{
	struct listen_want is = {0};
	struct listener *s;
	int rc = socket_look(fd, &is);

	if (rc == 0 && !listen_allowed(l, &is))
		rc = ERR_REFUSED;
	if (rc)
		goto out;
	s = listener_find(l, is.kind, &is.local);
	if (s && s->fd >= 0) {
		/* systemd had it too: now it is known whose it is. */
		if (s->owner == PROCESS_COUNT)
			s->owner = owner;
		rc = ERR_EXISTS;
		goto out;
	}
	if (!s)
		s = listener_add(l, is.kind, &is.local);
	if (!s) {
		rc = ERR_FULL;
		goto out;
	}
	s->fd = fd;
	s->owner = owner;
	memcpy(s->device, is.device, sizeof(s->device));
	tell_devices(l, s);
	if (l->on_open)
		l->on_open(l->ctx, s);
	return 0;
out:
	close(fd);
	return rc;
}
