/* SPDX-License-Identifier: Apache-2.0 */
/*
 * keeper as a service: the words to systemd's notify socket, and descriptors
 * that systemd holds for the next keeper. Without systemd (NOTIFY_SOCKET unset)
 * all of it does nothing.
 *
 * Only memory files and listening sockets go on: media sockets are many, and
 * mediad has its own copies.
 */
#ifndef KEEPER_SYSTEMD_H
#define KEEPER_SYSTEMD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

struct systemd {
	int fd;               /* -1: there is no systemd */
	uint64_t watchdog_us; /* how often it wants to hear; 0 = never */
	uint64_t said_us;
};

/** Reads and clears the environment. @return 0, or ERR_SYSTEM with errno. */
GH_MUST_CHECK int systemd_open(struct systemd *s);
void systemd_close(struct systemd *s);
/** Lines of words. @return 0, or ERR_AGAIN to try again later. */
int systemd_say(struct systemd *s, const char *text);
/** WATCHDOG, if it is time. Call every second or oftener. */
void systemd_watchdog(struct systemd *s);
/** Gives a copy on. @return whether systemd has it, or nobody wants it. */
bool systemd_store(struct systemd *s, const char *name, int fd);
/** @return whether it could be said. */
bool systemd_forget(struct systemd *s, const char *name);
/** Whether systemd should have it: a memory file or a listening socket. */
bool systemd_wants(int fd);

/** Calls fn for each descriptor that systemd hands over at start; fd is fn's.
 */
void systemd_take(void (*fn)(void *ctx, const char *name, int fd), void *ctx);

#endif
