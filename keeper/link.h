/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The server end of common/notify.h: <runtime_dir>/keeper.sock. Whoever
 * connects must be a daemon that this keeper started or found running, known
 * by pid and user from the kernel, or root's tool (upgrade.h); everybody else
 * is refused before a byte is read. The table of words in link.c says who may
 * say what.
 *
 * Nothing queues here: while an answer does not fit into the socket, nothing
 * more is read from that daemon.
 */
#ifndef KEEPER_LINK_H
#define KEEPER_LINK_H

#include "common/err.h"
#include "common/loop.h"
#include "common/notify.h"
#include "common/process.h"
#include "keeper/child.h"
#include "keeper/fdstore.h"
#include "keeper/listen.h"
#include "keeper/upgrade.h"

/** Deposits under this name are listening sockets: a daemon shows them to a
 * keeper that is new. The same name is used towards systemd. */
#define LINK_LISTEN_NAME "listen"

struct links;

struct link {
	struct links *all;
	struct child *child;
	int fd;
	struct loop_fd *watch;
	bool named;      /* NAME was right */
	bool dying;      /* these are its last words */
	bool giving;     /* its descriptors are on their way back */
	bool has_answer; /* did not fit into the socket yet */
	char answer[NOTIFY_TEXT_MAX + 1];
	int answer_fd; /* the listeners'; -1: none */
};

/** All but fd and link borrowed. */
struct links {
	struct loop *loop;
	struct children *children;
	struct fdstore *store;
	struct listeners *listeners;
	struct upgrade *upgrade;
	int fd;
	struct loop_fd *watch;
	struct link *link[PROCESS_COUNT]; /* owned; NULL: not connected */
};

/** Opens path for the group gid and listens; the five pointers are set.
 * @param own_dir	where the socket is made before it takes its name.
 * @return 0, ERR_TOO_BIG, ERR_NOMEM or ERR_SYSTEM with errno. */
GH_MUST_CHECK int links_open(
	struct links *all, const char *path, const char *own_dir, gid_t gid);
void links_close(struct links *all);
/** c died: takes in what it still said, then closes its link. */
void links_on_death(struct links *all, const struct child *c);

#endif
