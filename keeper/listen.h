/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Listening sockets: which may be opened, opening them, and keeping them while
 * their daemon is away. A datagram that comes in that time waits in the socket
 * and no ICMP error leaves the machine: a closed port would make a peer's
 * connected socket fail at once.
 *
 * keeper.conf's listen_allow decides what may be opened, not the daemon that
 * asks. Who may ask at all is link.c's business.
 */
#ifndef KEEPER_LISTEN_H
#define KEEPER_LISTEN_H

#include <stdbool.h>
#include <sys/queue.h>

#include "common/addr.h"
#include "common/device.h"
#include "common/err.h"
#include "common/notify.h"
#include "common/process.h"

#define LISTEN_RULES_MAX   64
#define LISTEN_SOCKETS_MAX 256

/** One row of listen_allow: "udp 192.0.2.0/24 5060-5061 eth1". */
struct listen_rule {
	enum notify_kind kind;
	struct addr_net net;
	uint16_t first_port, last_port;
	char device[DEVICE_NAME_SIZE]; /* "": any, and none */
};

/** A socket as it is asked for. */
struct listen_want {
	enum notify_kind kind;
	struct addr local;
	char device[DEVICE_NAME_SIZE]; /* "": not bound to one */
	bool nowhere; /* bound to a device that is not there: deaf */
};

struct listener {
	TAILQ_ENTRY(listener) next;
	enum notify_kind kind;
	struct addr local;
	char device[DEVICE_NAME_SIZE]; /* what its owner wants */
	enum process
		owner;  /* PROCESS_COUNT: came from systemd, not asked yet */
	int fd;         /* -1: the last try failed */
	int last_errno; /* of that try, so that it is logged once */
	bool passed;    /* systemd holds a copy */
};

struct devices;

struct listeners {
	struct listen_rule rules[LISTEN_RULES_MAX];
	size_t n_rules;
	bool freebind; /* addresses that the machine has not got yet, too */
	TAILQ_HEAD(listener_list, listener) held;
	size_t n_held;
	struct devices *devices; /* told of every socket on one; may be NULL */
	/* May be NULL: one is open; one that was passed on is closed. */
	void (*on_open)(void *ctx, struct listener *listener);
	void (*on_close)(void *ctx, const struct listener *listener);
	void *ctx;
};

/** Reads "udp|tcp NETWORK PORT[-PORT] [DEVICE]". @return 0, or ERR_INVALID. */
GH_MUST_CHECK int listen_rule_parse(const char *text, struct listen_rule *out);
bool listen_allowed(const struct listeners *l, const struct listen_want *want);
/** Reads "udp 192.0.2.1:5060" with a device behind it or without.
 * @return 0, or ERR_INVALID. */
GH_MUST_CHECK int listen_parse(const char *text, struct listen_want *out);

void listeners_init(struct listeners *l);
void listeners_done(struct listeners *l);

/**
 * The socket for want: the one that is held, moved to want's device, or a new
 * one. A held one whose device is not there is deaf until it comes
 * (keeper/device.h).
 * @param problem	NOTIFY_LINE_MAX bytes, for example
 *			"udp 192.0.2.1:5060: address already in use".
 * @param fd_out	stays the listeners'.
 * @return 0; ERR_REFUSED, ERR_FULL, ERR_NOMEM or ERR_SYSTEM with problem set.
 */
GH_MUST_CHECK int listeners_get(struct listeners *l, enum process owner,
	const struct listen_want *want, char *problem, int *fd_out);

/** Closes a socket that its owner does not want any more. @return 0, or
 * ERR_NOT_FOUND if owner has none there. */
int listeners_close(struct listeners *l, enum process owner,
	enum notify_kind kind, const struct addr *local);

/**
 * Takes a socket that somebody else opened: systemd gives it back, or a daemon
 * hands it to a keeper that is new. fd is taken in any case.
 * @param owner	PROCESS_COUNT: whoever asks for it first.
 * @return 0; ERR_EXISTS if it is held already; ERR_REFUSED if it is no
 *	listening socket or not allowed; ERR_FULL or ERR_NOMEM.
 */
GH_MUST_CHECK int listeners_adopt(
	struct listeners *l, enum process owner, int fd);

#endif
