/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sbcctl's word to keeper: UPGRADE=<daemon> on keeper's socket, by root only.
 * keeper replaces that daemon's process by one of the program that its file is
 * now (child_renew), and answers when it knows:
 *
 *	DAEMON=sbc STATE=renewed	the new program is ready and stays so
 *	STATE=rolled_back		it did not; the old one runs again
 *	STATE=waiting			flowd: ask it to retire; more follows
 *	STATE=refused			not now, or no such daemon
 *	STATE=ending			keeper: ends; who supervises it starts
 *					it again
 *	STATE=alone			keeper: nobody would start it again
 *
 * One asks at a time. Who has gone before the answer has no say any more.
 */
#ifndef KEEPER_UPGRADE_H
#define KEEPER_UPGRADE_H

#include <stdbool.h>

#include "common/loop.h"
#include "keeper/child.h"

struct upgrade {
	struct loop *loop;
	struct children *children;
	bool supervised;             /* keeper itself would be started again */
	void (*on_leave)(void *ctx); /* keeper shall end, its daemons not */
	void *ctx;
	int fd; /* who asks; -1: nobody */
	struct loop_fd *watch;
	struct child *child; /* whose process is being replaced; NULL: none */
};

/** Takes a connection of root's; fd is taken. */
void upgrade_accept(struct upgrade *u, int fd);
void upgrade_close(struct upgrade *u);
/** Of struct child_events. */
void upgrade_on_renewed(struct upgrade *u, struct child *c, bool runs);

#endif
