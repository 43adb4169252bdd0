/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A small world for a real keeper: namespaces of its own (processes, mounts,
 * network), system users that exist only there, a folder with copies of the
 * test daemon named like the real ones, and a pipe that collects what keeper
 * and its daemons write. Everything in it ends with the test.
 */
#ifndef TESTS_UNIT_KEEPER_WORLD_H
#define TESTS_UNIT_KEEPER_WORLD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define WORLD_GID        4100
#define WORLD_UID_AUTHD  4101
#define WORLD_UID_MEDIAD 4102
#define WORLD_UID_SBC    4103

/** Enters the namespaces; returns in a child of a process that reaps for it.
 * @return 0; or an exit status for main(): 77 where it can not be done. */
int world_enter(void);

/** Makes the folder and default settings; world_done() ends all. */
void world_init(void);
void world_done(void);

/** The folder. */
const char *world_path(void);
/** Replaces keeper.conf's rows besides the folders. */
void world_keeper_conf(const char *rows);
/** Replaces a daemon's settings; see notify_daemon.c for the words. */
void world_daemon_conf(const char *name, const char *rows);

/** Puts another file in the place of a daemon's program, as a package does:
 * NULL = the test daemon, from a new file. */
void world_replace_program(const char *name, const char *program);

struct world_keeper {
	pid_t pid;
	int pidfd;
};

/** Starts keeper. Descriptors from LISTEN_FDS on are fds[0..n-1] with these
 * names (colon between), if n > 0. notify_socket: NULL, or for NOTIFY_SOCKET.
 */
struct world_keeper world_start(const char *notify_socket, const int *fds,
	int n_fds, const char *fd_names);
/** Waits for its end. @return its wait status. */
int world_wait(struct world_keeper *k);
void world_signal(const struct world_keeper *k, int signal);

/** Waits until a new line holds all the words (NULL last) and returns it; the
 * search goes on behind it next time. Fails the test after 20 s. */
const char *world_expect(const char *word, ...) __attribute__((sentinel));
/** Like it, but does not move on, and never fails. @return whether a line
 * after the current place has them, of those that are there now. */
bool world_seen(const char *word, ...) __attribute__((sentinel));
/** Puts the place back to the first line. */
void world_rewind(void);

/** The pid in "fake <name> <pid> ..." or after "pid=". */
pid_t world_pid(const char *line);
/** Waits until that process has ended. */
void world_gone(int pidfd);

uint64_t world_now_us(void);

#endif
