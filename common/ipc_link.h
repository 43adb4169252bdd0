/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of a link: what ipc.c (its life) and ipc_server.c (accepting, sending
 * to many) share. Nobody else looks here. */
#ifndef COMMON_IPC_LINK_H
#define COMMON_IPC_LINK_H

#include <sys/queue.h>
#include <sys/types.h>

#include "common/ipc.h"

enum link_state {
	LINK_WAITING, /* client: no connection, timer runs */
	LINK_HELLO,   /* connected; the peer has not introduced itself */
	LINK_UP,
	LINK_FAILING, /* timer will close it and tell `why` */
	LINK_CLOSED,  /* adopted link whose connection has gone */
};

struct ipc_packet;

/* Read at once. Memory is only taken as messages come. */
#define IPC_RX_PACKETS 4

struct ipc_link {
	struct ipc_config config;
	struct ipc_server *server; /* NULL: client or adopted */
	LIST_ENTRY(ipc_link) siblings;
	char *path; /* client only */
	enum link_state state;
	enum process peer; /* PROCESS_COUNT: not known yet */
	uid_t peer_uid;
	uint64_t start_id;
	enum reason why;
	int fd;
	struct loop_fd *watch;
	struct loop_timer *timer;
	uint64_t backoff_us;
	uint8_t *rx; /* room for IPC_RX_PACKETS messages */
	uint8_t *tx; /* for one; messages are packed at its end */
	STAILQ_HEAD(, ipc_packet) queue;
	size_t n_queued;
	bool was_up;
	uint64_t n_ups;
	unsigned busy;
	bool gone;
	void *data;
};

struct ipc_server {
	struct ipc_config config;
	int fd;
	struct loop_fd *watch;
	struct loop_timer *timer; /* pause after EMFILE */
	LIST_HEAD(, ipc_link) links;
	size_t n_links;
};

/** Makes a link without a connection. @return 0, or ERR_NOMEM. */
GH_MUST_CHECK int ipc_link_new(
	const struct ipc_config *config, struct ipc_link **link_out);
/** Takes fd over: watches it, says hello, starts the hello time-out. On failure
 * fd is closed. @return 0, or ERR_NOMEM. */
GH_MUST_CHECK int ipc_link_open(struct ipc_link *l, int fd);
/** Frees the memory of a link that has no connection and no server. */
void ipc_link_destroy(struct ipc_link *l);
/** Breaks a link where its owner is on the stack: the timer tells on_down. */
void ipc_link_fail_later(struct ipc_link *l, enum reason why);
/** User of the process at the other end. @return 0, or ERR_SYSTEM. */
GH_MUST_CHECK int ipc_peer_uid(int fd, uid_t *uid_out);

#endif
