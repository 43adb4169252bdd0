/* SPDX-License-Identifier: Apache-2.0 */
#include "keeper/systemd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/notify.h"

#define FIRST_FD 3 /* SD_LISTEN_FDS_START */

static uint64_t env_number(const char *name)
{
	const char *text = getenv(name);

	return text ? strtoull(text, NULL, 10) : 0;
}

int systemd_open(struct systemd *s)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	const char *path = getenv("NOTIFY_SOCKET");
	const uint64_t pid = env_number("WATCHDOG_PID");
	size_t len = path ? strlen(path) : 0;

	*s = (struct systemd){.fd = -1};
	if (!path)
		return 0;
	if (pid == 0 || pid == (uint64_t)getpid())
		s->watchdog_us = env_number("WATCHDOG_USEC") / 2;
	if (len == 0 || len >= sizeof(sa.sun_path)) {
		errno = EINVAL;
		return ERR_SYSTEM;
	}
	memcpy(sa.sun_path, path, len);
	if (path[0] == '@')
		sa.sun_path[0] = '\0';
	s->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (s->fd < 0 ||
		connect(s->fd, (struct sockaddr *)&sa,
			(socklen_t)(offsetof(struct sockaddr_un, sun_path) +
				    len)))
		return ERR_SYSTEM;
	unsetenv("NOTIFY_SOCKET");
	return 0;
}

void systemd_close(struct systemd *s)
{
	if (s->fd >= 0)
		close(s->fd);
	s->fd = -1;
}

int systemd_say(struct systemd *s, const char *text)
{
	int rc = s->fd < 0 ? 0 : notify_send_fds(s->fd, text, NULL, 0);

	if (rc && rc != ERR_AGAIN)
		log_peer_warning("systemd_notify", LOG_ERR(rc));
	return rc;
}

void systemd_watchdog(struct systemd *s)
{
	const uint64_t now = clock_now_us();

	if (s->watchdog_us == 0 || now - s->said_us < s->watchdog_us / 2)
		return;
	if (systemd_say(s, "WATCHDOG=1\n") == 0)
		s->said_us = now;
}

bool systemd_wants(int fd)
{
	int listening = 0;
	socklen_t len = sizeof(listening);

	if (fcntl(fd, F_GET_SEALS) >= 0)
		return true;
	return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &len) ==
		       0 &&
	       listening;
}

/* systemd parts names by colons. Ours may hold colons, but no blanks. */
static void swap(char *text, char from, char to)
{
	while ((text = strchr(text, from)))
		*text = to;
}

bool systemd_store(struct systemd *s, const char *name, int fd)
{
	char text[256];

	if (s->fd < 0)
		return true;
	/* FDPOLL: a socket without an event is no reason to throw it out. */
	snprintf(text, sizeof(text), "FDSTORE=1\nFDPOLL=0\nFDNAME=%s\n", name);
	swap(text, ':', ' ');
	return notify_send_fds(s->fd, text, &fd, 1) == 0;
}

bool systemd_forget(struct systemd *s, const char *name)
{
	char text[256];

	snprintf(text, sizeof(text), "FDSTOREREMOVE=1\nFDNAME=%s\n", name);
	swap(text, ':', ' ');
	return systemd_say(s, text) == 0;
}

void systemd_take(void (*fn)(void *ctx, const char *name, int fd), void *ctx)
{
	const uint64_t n = env_number("LISTEN_FDS");
	const char *p = getenv("LISTEN_FDNAMES");
	char name[256];

	if (env_number("LISTEN_PID") == (uint64_t)getpid()) {
		for (uint64_t i = 0; i < n && i < 65536; i++) {
			size_t len = p ? strcspn(p, ":") : 0;
			int fd = FIRST_FD + (int)i;

			snprintf(name, sizeof(name), "%.*s", (int)len,
				p ? p : "");
			swap(name, ' ', ':');
			if (p)
				p += len + (p[len] == ':');
			if (fcntl(fd, F_SETFD, FD_CLOEXEC) == 0)
				fn(ctx, name, fd);
		}
	}
	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_FDNAMES");
}
