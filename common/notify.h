/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A daemon's link to keeper: SOCK_SEQPACKET, each packet a few lines KEY=VALUE
 * ended by newlines: systemd's notify words and some of our own, with
 * descriptors beside them.
 *
 *	daemon to keeper
 *	NAME=sbc		first packet: who this is
 *	READY=1			it serves
 *	STATUS=text		one line of state
 *	STOPPING=1		it ends in order
 *	WATCHDOG=1		its loop turns (every NOTIFY_WATCHDOG_US / 2)
 *	FDSTORE=1 FDNAME=name	hold these descriptors (1 to NOTIFY_FDS_MAX)
 *	FDSTOREREMOVE=1 FDNAME=name	forget all of that name
 *	LISTEN=udp 192.0.2.1:5060	a socket, please ("udp" or "tcp");
 *				" eth1" behind it: bound to that device
 *	UNLISTEN=udp 192.0.2.1:5060	close that socket: nobody listens there
 *	RETIRE=1		goes on with what it has, without keeper; the
 *				next one shall take its place now (flowd)
 *
 *	keeper to daemon
 *	FDNAME=name		the held descriptors of that name, in the order
 *				of deposit
 *	FDSDONE=1		that was all; on_up
 *	LISTEN=udp 192.0.2.1:5060	the answer: one descriptor beside it,
 *	ERROR=text		or none and this line
 *
 * keeper answers NAME by giving back every descriptor that it holds for this
 * daemon, one FDNAME packet for each name, then FDSDONE. Listening sockets come
 *by LISTEN only. If keeper dies, the link reconnects for ever and the owner
 *hears on_up again: it must then deposit again what keeper has to hold.
 *Everything but NAME that was asked while the link was away is sent then,
 *except deposits.
 */
#ifndef COMMON_NOTIFY_H
#define COMMON_NOTIFY_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/un.h>

#include "common/addr.h"
#include "common/err.h"
#include "common/loop.h"
#include "common/process.h"

/** Longest packet of text, and most descriptors in one packet. */
#define NOTIFY_TEXT_MAX   4096
#define NOTIFY_FDS_MAX    64
#define NOTIFY_FDNAME_MAX 96
/** Longest problem text after ERROR= and status after STATUS=. */
#define NOTIFY_LINE_MAX   512

/** Kinds of listening sockets that keeper opens. */
enum notify_kind {
	NOTIFY_UDP, /* bound datagram socket */
	NOTIFY_TCP, /* listening stream socket */
	NOTIFY_KIND_COUNT,
};

struct notify;

/** fd is the receiver's from now on; fd = -1 and problem set on failure. */
typedef void (*notify_listen_fn)(void *ctx, enum notify_kind kind,
	const struct addr *local, int fd, const char *problem);

struct notify_events {
	/* A descriptor that was deposited earlier; fd is the receiver's. */
	void (*on_fd)(void *ctx, const char *name, int fd);
	/* All of them have been handed over: state is complete. Also called,
	 * without descriptors, where there is no keeper (run by hand). */
	void (*on_up)(void *ctx);
	/* keeper has gone; the link tries again by itself. */
	void (*on_down)(void *ctx);
	/* No keeper has come for NOTIFY_ORPHAN_US, or what was set: the daemon
	 * must end. */
	void (*on_orphan)(void *ctx);
};

#define NOTIFY_ORPHAN_US   (60ull * 1000 * 1000)
#define NOTIFY_WATCHDOG_US (2ull * 1000 * 1000)

/**
 * Connects to keeper at path. With path NULL the daemon runs by hand: READY is
 * a log line, LISTEN opens the socket itself, deposits are refused.
 * @param events, ctx	borrowed for the life of the link.
 */
GH_MUST_CHECK int notify_new(struct loop *loop, const char *path,
	enum process self, const struct notify_events *events, void *ctx,
	struct notify **notify_out);
void notify_free(struct notify **n);

/** After how long without a keeper on_orphan is called. */
void notify_orphan_after(struct notify *n, uint64_t us);
/** Tells keeper that this daemon serves; sends WATCHDOG from then on. */
void notify_ready(struct notify *n);
/** One line of state for status displays. */
void notify_status(struct notify *n, const char *text);
void notify_stopping(struct notify *n);

/** Deposits a copy of n_fds descriptors under one name; they stay the
 * caller's too. @return 0, ERR_AWAY, ERR_FULL, or ERR_INVALID for a name that
 * cannot be one or a number of descriptors that no packet takes. */
GH_MUST_CHECK int notify_store(
	struct notify *n, const char *name, const int *fds, size_t n_fds);
/** Forgets them. @return 0, ERR_AWAY, ERR_INVALID, or ERR_FULL: it was not
 * said, ask again. */
int notify_unstore(struct notify *n, const char *name);

/** Asks for a listening socket; fn is called once, later. A socket that is
 * held already is moved to the device.
 * @param device	network device (device.h); "" = any.
 * @return 0, ERR_INVALID for the device, or ERR_NOMEM. */
GH_MUST_CHECK int notify_listen(struct notify *n, enum notify_kind kind,
	const struct addr *local, const char *device, notify_listen_fn fn,
	void *ctx);

/** The socket is not wanted any more: keeper closes it. Nothing is sent while
 * keeper is away: a new one has only what it is shown. */
void notify_unlisten(
	struct notify *n, enum notify_kind kind, const struct addr *local);
/** Asks keeper to start the next process of this daemon now and to forget this
 * one; the owner frees the link at once. @return 0, or ERR_AWAY: nothing has
 * happened. */
GH_MUST_CHECK int notify_retire(struct notify *n);

/** "udp", "tcp". */
const char *notify_kind_name(enum notify_kind kind);
/** @return 0, or ERR_NOT_FOUND. */
GH_MUST_CHECK int notify_kind_parse(
	const char *name, enum notify_kind *kind_out);

/** Opens a listening socket: non-blocking, close-on-exec, IPv6 without IPv4
 * beside it; UDP with room for a burst. For keeper, and for daemons that run by
 * hand, whose room the system bounds.
 * @param device	as notify_listen().
 * @param freebind	the address need not be there yet.
 * @return 0 with *fd_out the caller's; ERR_INVALID or ERR_SYSTEM with errno.
 */
GH_MUST_CHECK int notify_open_socket(enum notify_kind kind,
	const struct addr *local, const char *device, bool freebind,
	int *fd_out);

/* Packets of words, for both ends and their tests. */

/** Finds KEY=VALUE in a packet. value is cut out into a buffer of size bytes.
 * @return 0, ERR_NOT_FOUND, ERR_TOO_BIG, or ERR_INVALID for a control byte. */
GH_MUST_CHECK int notify_word(const char *text, size_t len, const char *key,
	char *value, size_t size);
/** Sends one packet with descriptors. @return 0, ERR_AGAIN, ERR_CLOSED,
 * ERR_TOO_BIG or ERR_SYSTEM. */
GH_MUST_CHECK int notify_send_fds(
	int socket, const char *text, const int *fds, size_t n_fds);
/** Receives one; surplus descriptors are closed. text is terminated.
 * @return bytes >= 0, or ERR_AGAIN, ERR_CLOSED, ERR_TOO_BIG, ERR_SYSTEM. */
GH_MUST_CHECK int notify_recv_fds(int socket, char text[NOTIFY_TEXT_MAX + 1],
	int fds[NOTIFY_FDS_MAX], size_t *n_fds_out);

#endif
