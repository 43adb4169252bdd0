/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One array per bind address with an entry per pair: free, leased, or resting
 * until a time. Keyed by address and not by realm, because realms may share an
 * address and must not see each other's late packets. A pair is drawn at
 * random, so that nobody can guess the next port (a spray over the range is
 * what is left to an attacker, and learn.c answers that).
 *
 * A port that somebody else holds rests like one of ours and another is drawn.
 * Called by session.c.
 */
#include "mediad/port.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/device.h"
#include "common/secret.h"

#define N_PAIRS               32768u
#define LEASED                UINT64_MAX
/* Random draws before the range is searched in order from a random place. */
#define DRAWS                 32u
/* Pairs that may turn out to be somebody else's before we give up. */
#define BIND_TRIES            64u
#define QUARANTINE_DEFAULT_US (30ull * 1000 * 1000)
/* A voice packet every 20 ms needs little; a small buffer bounds both the
 * memory that a flood can take and the age of what is read. */
#define RECEIVE_BUFFER        65536

/* All ports of one address; until_us is 0, LEASED, or the end of its rest. */
struct port_space {
	struct port_space *next;
	struct addr bind;
	char device[DEVICE_NAME_SIZE]; /* "" = any */
	uint64_t until_us[N_PAIRS];
};

struct ports {
	struct port_space *spaces;
	uint64_t quarantine_us;
	unsigned n_leased;
};

int ports_new(struct ports **ports_out)
{
	struct ports *p = calloc(1, sizeof(*p));

	if (p == NULL)
		return ERR_NOMEM;
	p->quarantine_us = QUARANTINE_DEFAULT_US;
	*ports_out = p;
	return 0;
}

void ports_free(struct ports **ports)
{
	struct ports *p = *ports;

	if (p == NULL)
		return;
	while (p->spaces != NULL) {
		struct port_space *s = p->spaces;

		p->spaces = s->next;
		free(s);
	}
	free(p);
	*ports = NULL;
}

void ports_set_quarantine(struct ports *ports, uint64_t quarantine_us)
{
	ports->quarantine_us = quarantine_us;
}

unsigned ports_used(const struct ports *ports)
{
	return ports->n_leased * 2;
}

static struct port_space *find_space(
	const struct ports *p, const struct addr *bind)
{
	struct port_space *s = p->spaces;

	while (s != NULL && !addr_equal_ip(&s->bind, bind))
		s = s->next;
	return s;
}

static struct port_space *make_space(struct ports *p, const struct addr *bind)
{
	struct port_space *s = find_space(p, bind);

	if (s != NULL)
		return s;
	/* Zeroed pages cost nothing until a range touches them. */
	s = calloc(1, sizeof(*s));
	if (s == NULL)
		return NULL;
	s->bind = *bind;
	s->next = p->spaces;
	p->spaces = s;
	return s;
}

int ports_set_device(
	struct ports *ports, const struct addr *bind, const char *device)
{
	struct port_space *s = make_space(ports, bind);

	return s == NULL ? ERR_NOMEM : device_name_copy(device, s->device);
}

void ports_forget_devices(struct ports *ports)
{
	for (struct port_space *s = ports->spaces; s != NULL; s = s->next)
		s->device[0] = '\0';
}

static const char *device_of(const struct ports *p, const struct addr *bind)
{
	const struct port_space *s = find_space(p, bind);

	return s != NULL ? s->device : "";
}

int ports_place(const struct ports *ports, const struct addr *bind, int fd)
{
	const char *device = device_of(ports, bind);

	if (!device[0] || device_index(fd) != 0)
		return 0;
	return device_bind(fd, device) ? ERR_SYSTEM : 0;
}

static uint32_t random_below(uint32_t n)
{
	uint32_t r;

	secret_random_bytes(&r, sizeof(r));
	return (uint32_t)(((uint64_t)r * n) >> 32);
}

static bool is_free(const struct port_space *s, uint32_t pair, uint64_t now_us)
{
	return s->until_us[pair] != LEASED && s->until_us[pair] <= now_us;
}

/* A free pair in [first, first + n), or N_PAIRS. */
static uint32_t draw(
	const struct port_space *s, uint32_t first, uint32_t n, uint64_t now_us)
{
	uint32_t start;

	for (unsigned i = 0; i < DRAWS; i++) {
		uint32_t pair = first + random_below(n);

		if (is_free(s, pair, now_us))
			return pair;
	}
	start = random_below(n);
	for (uint32_t i = 0; i < n; i++) {
		uint32_t pair = first + (start + i) % n;

		if (is_free(s, pair, now_us))
			return pair;
	}
	return N_PAIRS;
}

void port_set_dscp(int fd, sa_family_t family, uint8_t dscp)
{
	int tos = dscp << 2;

	if (family == AF_INET6)
		(void)setsockopt(
			fd, IPPROTO_IPV6, IPV6_TCLASS, &tos, sizeof(tos));
	else
		(void)setsockopt(fd, IPPROTO_IP, IP_TOS, &tos, sizeof(tos));
}

static int open_socket(
	const struct addr *local, const char *device, uint8_t dscp, int *fd_out)
{
	struct sockaddr_storage sa;
	socklen_t len = addr_to_sockaddr(local, &sa);
	int size = RECEIVE_BUFFER;
	int on = 1;
	int fd = socket(
		local->family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return ERR_SYSTEM;
	if (local->family == AF_INET6 &&
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) < 0)
		goto fail;
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	if (dscp != 0)
		port_set_dscp(fd, local->family, dscp);
	/* First the device: a link-local address means nothing without it. */
	if ((device[0] && device_bind(fd, device)) ||
		bind(fd, (struct sockaddr *)&sa, len) < 0)
		goto fail;
	*fd_out = fd;
	return 0;
fail:;
	int why = errno;

	close(fd);
	errno = why;
	return why == EADDRINUSE ? ERR_EXISTS : ERR_SYSTEM;
}

static struct addr rtcp_address(const struct port_lease *lease)
{
	struct addr a = lease->rtp;

	a.port++;
	return a;
}

int port_open_rtcp(
	const struct ports *ports, struct port_lease *lease, uint8_t dscp)
{
	struct addr a = rtcp_address(lease);

	if (lease->rtcp_fd >= 0)
		return 0;
	return open_socket(&a, device_of(ports, &a), dscp, &lease->rtcp_fd)
		       ? ERR_SYSTEM
		       : 0;
}

int port_open_rtp(
	const struct ports *ports, struct port_lease *lease, uint8_t dscp)
{
	if (lease->rtp_fd >= 0)
		return 0;
	return open_socket(&lease->rtp, device_of(ports, &lease->rtp), dscp,
		       &lease->rtp_fd)
		       ? ERR_SYSTEM
		       : 0;
}

int port_take(struct ports *ports, const struct addr *rtp)
{
	struct port_space *s = make_space(ports, rtp);
	uint64_t *until_us;

	if (s == NULL)
		return ERR_NOMEM;
	until_us = &s->until_us[rtp->port / 2];
	if (*until_us == LEASED)
		return ERR_EXISTS;
	*until_us = LEASED;
	ports->n_leased++;
	return 0;
}

static int open_pair(const struct port_want *want, const char *device,
	uint32_t pair, struct port_lease *lease)
{
	struct addr rtcp;
	int err;

	lease->rtp = want->bind;
	lease->rtp.port = (uint16_t)(pair * 2);
	lease->rtp_fd = lease->rtcp_fd = -1;
	err = open_socket(&lease->rtp, device, want->dscp, &lease->rtp_fd);
	if (err || !want->rtcp)
		return err;
	rtcp = rtcp_address(lease);
	err = open_socket(&rtcp, device, want->dscp, &lease->rtcp_fd);
	if (err) {
		close(lease->rtp_fd);
		lease->rtp_fd = -1;
	}
	return err;
}

int port_lease(struct ports *ports, const struct port_want *want,
	struct port_lease *lease_out)
{
	/* The first even port of the range to the last odd one. */
	uint32_t first = (want->min + 1u) / 2;
	uint32_t end = (want->max + 1u) / 2;
	struct port_lease lease;
	struct port_space *s;
	uint64_t now_us = clock_now_us();

	if (want->min == 0 || end <= first)
		return ERR_FULL;
	s = make_space(ports, &want->bind);
	if (s == NULL)
		return ERR_NOMEM;
	for (unsigned i = 0; i < BIND_TRIES; i++) {
		uint32_t pair = draw(s, first, end - first, now_us);
		int err;

		if (pair == N_PAIRS)
			return ERR_FULL;
		err = open_pair(want, s->device, pair, &lease);
		if (err == 0) {
			s->until_us[pair] = LEASED;
			ports->n_leased++;
			*lease_out = lease;
			return 0;
		}
		if (err != ERR_EXISTS)
			return err;
		s->until_us[pair] = now_us + ports->quarantine_us;
	}
	return ERR_FULL;
}

void port_release(
	struct ports *ports, struct port_lease *lease, uint64_t now_us)
{
	struct port_space *s;

	if (!addr_is_set(&lease->rtp))
		return;
	s = find_space(ports, &lease->rtp);
	if (s != NULL && s->until_us[lease->rtp.port / 2] == LEASED) {
		s->until_us[lease->rtp.port / 2] =
			now_us + ports->quarantine_us;
		ports->n_leased--;
	}
	*lease = (struct port_lease){.rtp_fd = -1, .rtcp_fd = -1};
}
