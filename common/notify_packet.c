/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Packets of notify words with descriptors beside them, and the one way to open
 * a listening socket (notify.h): for daemons and for keeper, which must not
 * trust the other end, so every length is checked and no descriptor is left
 * open.
 */
#include "common/notify.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/device.h"
#include "common/log.h"

#define BACKLOG 1024
/* A burst of registrations of 10,000 phones fits into 8 MB. */
#define RCVBUF  (8 << 20)
#define SNDBUF  (4 << 20)

static const char *const kind_names[] = {
	[NOTIFY_UDP] = "udp",
	[NOTIFY_TCP] = "tcp",
};
_Static_assert(sizeof(kind_names) / sizeof(kind_names[0]) == NOTIFY_KIND_COUNT,
	"every kind has its name");

const char *notify_kind_name(enum notify_kind kind)
{
	return (unsigned)kind < NOTIFY_KIND_COUNT ? kind_names[kind]
						  : "unknown";
}

int notify_kind_parse(const char *name, enum notify_kind *kind_out)
{
	unsigned i;

	for (i = 0; i < NOTIFY_KIND_COUNT; i++) {
		if (!strcmp(name, kind_names[i])) {
			*kind_out = (enum notify_kind)i;
			return 0;
		}
	}
	return ERR_NOT_FOUND;
}

int notify_word(
	const char *text, size_t len, const char *key, char *value, size_t size)
{
	size_t key_len = strlen(key), i;
	const char *p = text, *end = text + len;

	while (p < end) {
		const char *eol = memchr(p, '\n', (size_t)(end - p));
		size_t line_len = (size_t)((eol ? eol : end) - p);

		if (line_len > key_len && p[key_len] == '=' &&
			!memcmp(p, key, key_len)) {
			p += key_len + 1;
			line_len -= key_len + 1;
			if (line_len >= size)
				return ERR_TOO_BIG;
			for (i = 0; i < line_len; i++) {
				if ((unsigned char)p[i] < ' ' || p[i] == 0x7f)
					return ERR_INVALID;
			}
			memcpy(value, p, line_len);
			value[line_len] = '\0';
			return 0;
		}
		p += line_len + 1;
	}
	return ERR_NOT_FOUND;
}

int notify_send_fds(int socket, const char *text, const int *fds, size_t n_fds)
{
	union {
		char bytes[CMSG_SPACE(NOTIFY_FDS_MAX * sizeof(int))];
		struct cmsghdr align;
	} control;
	struct iovec iov;
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
	ssize_t n;

	iov.iov_len = strlen(text);
	if (!iov.iov_len || iov.iov_len > NOTIFY_TEXT_MAX ||
		n_fds > NOTIFY_FDS_MAX)
		return ERR_TOO_BIG;
	iov.iov_base = (char *)(uintptr_t)text; /* sendmsg only reads it */
	if (n_fds) {
		struct cmsghdr *c = &control.align;

		memset(&control, 0, sizeof(control));
		msg.msg_control = &control;
		msg.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(n_fds * sizeof(int));
		memcpy(CMSG_DATA(c), fds, n_fds * sizeof(int));
	}
	do
		n = sendmsg(socket, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	if (n >= 0)
		return 0;
	switch (errno) {
	case EAGAIN:
	case ENOBUFS:
	case ENOMEM:
	case ETOOMANYREFS: /* too many descriptors under way */
		return ERR_AGAIN;
	case EPIPE:
	case ECONNRESET:
	case ENOTCONN:
		return ERR_CLOSED;
	case EMSGSIZE:
		return ERR_TOO_BIG;
	default:
		return ERR_SYSTEM;
	}
}

static void close_all(int *fds, size_t n_fds)
{
	size_t i;

	for (i = 0; i < n_fds; i++)
		(void)close(fds[i]);
}

/* Takes the descriptors out of a received message; surplus ones are closed. */
static size_t collect_fds(struct msghdr *msg, int fds[NOTIFY_FDS_MAX])
{
	struct cmsghdr *c;
	size_t n = 0;

	for (c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		size_t i, n_here;

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		n_here = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (i = 0; i < n_here; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
			if (n < NOTIFY_FDS_MAX)
				fds[n++] = fd;
			else
				(void)close(fd);
		}
	}
	return n;
}

int notify_recv_fds(int socket, char text[NOTIFY_TEXT_MAX + 1],
	int fds[NOTIFY_FDS_MAX], size_t *n_fds_out)
{
	union {
		char bytes[CMSG_SPACE(NOTIFY_FDS_MAX * sizeof(int))];
		struct cmsghdr align;
	} control;
	struct iovec iov = {.iov_base = text, .iov_len = NOTIFY_TEXT_MAX};
	struct msghdr msg = {.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control)};
	size_t n_fds;
	ssize_t n;

	do
		n = recvmsg(socket, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
		return ERR_AGAIN;
	if (n < 0)
		return errno == ECONNRESET ? ERR_CLOSED : ERR_SYSTEM;
	n_fds = collect_fds(&msg, fds);
	if (n == 0 || (msg.msg_flags & MSG_TRUNC)) {
		close_all(fds, n_fds);
		return n == 0 ? ERR_CLOSED : ERR_TOO_BIG;
	}
	text[n] = '\0';
	*n_fds_out = n_fds;
	return (int)n;
}

static void set_buffers(int fd)
{
	int rcv = RCVBUF, snd = SNDBUF;

	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &rcv, sizeof(rcv)) &&
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &rcv, sizeof(rcv)))
		log_warning("socket_buffer", LOG_ERRNO(errno));
	if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &snd, sizeof(snd)) &&
		setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &snd, sizeof(snd)))
		log_warning("socket_buffer", LOG_ERRNO(errno));
}

/* Before bind(). @return 0, or -1 with errno. */
static int set_options(int fd, enum notify_kind kind, bool v6, bool freebind)
{
	const int on = 1;

	/* Each family has its own socket: an IPv4 peer must never look like
	 * an IPv6 one to the access lists. */
	if (v6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)))
		return -1;
	if (freebind &&
		setsockopt(fd, v6 ? IPPROTO_IPV6 : IPPROTO_IP,
			v6 ? IPV6_FREEBIND : IP_FREEBIND, &on, sizeof(on)))
		return -1;
	/* TCP only: old connections in TIME_WAIT must not keep a listener
	 * away; two UDP sockets on one port would split the traffic. */
	if (kind == NOTIFY_TCP)
		return setsockopt(
			fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	set_buffers(fd);
	return 0;
}

int notify_open_socket(enum notify_kind kind, const struct addr *local,
	const char *device, bool freebind, int *fd_out)
{
	const int type = kind == NOTIFY_TCP ? SOCK_STREAM : SOCK_DGRAM;
	struct sockaddr_storage sa;
	socklen_t len = addr_to_sockaddr(local, &sa);
	int fd, error;

	if (!len || (unsigned)kind >= NOTIFY_KIND_COUNT) {
		errno = EINVAL;
		return ERR_INVALID;
	}
	fd = socket(local->family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return ERR_SYSTEM;
	if (set_options(fd, kind, local->family == AF_INET6, freebind))
		goto fail;
	/* First the device: a link-local address means nothing without it. */
	if (device_bind(fd, device) ||
		bind(fd, (const struct sockaddr *)&sa, len))
		goto fail;
	if (kind == NOTIFY_TCP && listen(fd, BACKLOG))
		goto fail;
	*fd_out = fd;
	return 0;
fail:
	error = errno;
	(void)close(fd);
	errno = error;
	return ERR_SYSTEM;
}
