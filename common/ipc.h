/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Links between our processes: SOCK_SEQPACKET over Unix-domain sockets, one
 * protobuf message (ipc.proto) per packet. A server listens, a client connects
 * and reconnects for ever (back-off 10 ms to 1 s). Both say hello first:
 * process, message version, start id. The kernel's peer credentials must fit
 * the process that the peer claims to be.
 *
 * Each receiver hands in a permit table. A message that its table does not
 * permit from this peer, or that cannot be read, is logged, counted, and
 * closes that one connection: the receiver lives on.
 *
 * Nothing here blocks. A queue holds IPC_QUEUE_MAX messages; over that
 * ipc_send() says ERR_FULL and the caller sheds work. What was queued or under
 * way when a connection breaks is lost: the two sides reconcile when on_up
 * runs again.
 */
#ifndef COMMON_IPC_H
#define COMMON_IPC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "common/ipc.pb-c.h"
#include "common/loop.h"
#include "common/process.h"
#include "common/reason.h"

/** Version of ipc.proto's meaning; peers with another one are refused. */
#define IPC_VERSION          1u

/** Largest message: an INVITE's worth of facts, or one piece of settings. */
#define IPC_MESSAGE_MAX      (128u * 1024u)
#define IPC_QUEUE_MAX        8192u
/** A peer that has not said hello by then is closed. */
#define IPC_HELLO_TIMEOUT_US (5u * 1000u * 1000u)

struct ipc_link;
struct ipc_server;

typedef void (*ipc_handler_fn)(
	void *ctx, struct ipc_link *link, const Gh__Msg *msg);

/** One row of a receiver's permit table. */
struct ipc_permit {
	Gh__Msg__BodyCase body;
	unsigned from; /* PROCESS_BIT() or'ed: who may send it */
	ipc_handler_fn handler;
};

struct ipc_events {
	/* The peer's hello was accepted: reconcile now. */
	void (*on_up)(void *ctx, struct ipc_link *link);
	/* The link is gone (client: it reconnects by itself; server: the
	 * link is freed after this returns). Only after on_up. */
	void (*on_down)(void *ctx, struct ipc_link *link, enum reason why);
};

/** What both ends need. Everything borrowed for the link's life. */
struct ipc_config {
	struct loop *loop;
	enum process self;
	const struct process_users *users;
	const struct ipc_permit *permits;
	size_t n_permits;
	struct ipc_events events;
	void *ctx;
};

/**
 * Listens at path (made with mode 0660 and removed first if a dead socket is
 * in the way; its folder decides who may connect).
 * @return 0, ERR_NOMEM, ERR_TOO_BIG for a long path, or ERR_SYSTEM.
 */
GH_MUST_CHECK int ipc_listen(const struct ipc_config *config, const char *path,
	struct ipc_server **server_out);
/** The same on a listening socket that keeper holds; fd is taken. */
GH_MUST_CHECK int ipc_listen_fd(const struct ipc_config *config, int fd,
	struct ipc_server **server_out);
/** Closes all its links without calling on_down. Safe on NULL. */
void ipc_server_free(struct ipc_server **server);

/**
 * Starts to connect to peer at path; on_up says when it is there.
 * @return 0, ERR_NOMEM, or ERR_TOO_BIG.
 */
GH_MUST_CHECK int ipc_connect(const struct ipc_config *config, const char *path,
	enum process peer, struct ipc_link **link_out);
/** Wraps a connected socket pair end, for tests; fd is taken. */
GH_MUST_CHECK int ipc_adopt(
	const struct ipc_config *config, int fd, struct ipc_link **link_out);
/** Closes without calling on_down. Safe on NULL and in a handler. */
void ipc_link_free(struct ipc_link **link);

/** @return 0, ERR_AWAY, ERR_FULL, or ERR_TOO_BIG. The message stays the
 * caller's. */
GH_MUST_CHECK int ipc_send(struct ipc_link *link, const Gh__Msg *msg);
/** Sends to every link of the server whose peer is in the mask; a link that is
 * full is closed, because it would miss news. */
void ipc_broadcast(struct ipc_server *server, unsigned to, const Gh__Msg *msg);

bool ipc_is_up(const struct ipc_link *link);
enum process ipc_peer(const struct ipc_link *link);
size_t ipc_queued(const struct ipc_link *link);
/** Random number that the peer chose at its start: tells a restart from a
 * reconnect. */
uint64_t ipc_peer_start_id(const struct ipc_link *link);
/** A place for the owner's own pointer. */
void ipc_set_data(struct ipc_link *link, void *data);
void *ipc_data(const struct ipc_link *link);

/**
 * Defines `Gh__Msg name` with the body set to &inner, ready for ipc_send():
 *	Gh__CdrAck ack = GH__CDR_ACK__INIT;
 *	IPC_MSG(msg, CDR_ACK, cdr_ack, &ack);
 */
#define IPC_MSG(var, CASE, member, inner)                                      \
	Gh__Msg var = GH__MSG__INIT;                                           \
	var.body_case = GH__MSG__BODY_##CASE;                                  \
	var.member = (inner)

/** Reads a message; NULL if it is none, too big or has no body. Free with
 * ipc_msg_free(). For links, tests and fuzzers. Strings are never NULL; an
 * enum field may hold any number and is the receiver's to check. */
Gh__Msg *ipc_decode(const uint8_t *bytes, size_t len);
/** Wipes the secret fields (nonce keys, SRTP keys) and frees a message that
 * ipc_decode() made. Safe on NULL. */
void ipc_msg_free(Gh__Msg *msg);
/** Overwrites the secret fields in place; for messages that were built. */
void ipc_msg_wipe(Gh__Msg *msg);

#endif
