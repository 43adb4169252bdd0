/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mediad's real objects in a process of their own that can be killed at any
 * moment, and a keeper for it inside the test: keeper's own store of
 * descriptors behind the words of common/notify.h. The test is sbc
 * (media_rig.h) and the far ends.
 */
#ifndef TESTS_UNIT_MEDIA_WORLD_H
#define TESTS_UNIT_MEDIA_WORLD_H

#include <sys/types.h>

#include "keeper/fdstore.h"
#include "tests/unit/media_rig.h"

struct media_world {
	struct rig rig;
	char dir[64];
	char keeper_path[96];
	char path[96];
	struct fdstore store;
	int listen_fd;
	struct loop_fd *listen_watch;
	int link_fd; /* -1: no mediad is connected */
	struct loop_fd *link_watch;
	bool full; /* keeper refuses sockets */
	unsigned n_ready;
	unsigned ups_before; /* links that were before the last start */
	pid_t pid;           /* of mediad; 0 = none */
	int stop_fd;
};

#define MEDIA_WORLD_CALLS 1100u /* at most */

/** Starts keeper and mediad, and waits until sbc is connected. */
void media_world_begin(struct media_world *w);
void media_world_end(struct media_world *w);

/** Starts mediad; sbc finds it by itself. */
void media_world_start(struct media_world *w);
/** kill -9, and waits until it is gone. */
void media_world_kill(struct media_world *w);
/** Asks it to end in order, and waits. */
void media_world_stop(struct media_world *w);
/** Waits until sbc has a new link and the whole list. */
void media_world_wait(struct media_world *w);
/** keeper dies and is a new one that holds nothing. */
void media_world_new_keeper(struct media_world *w);

/** Descriptors that keeper holds of mediad, by the start of their names. */
size_t media_world_held(const struct media_world *w, const char *start);
/** The memory file. @return -1 if there is none. */
int media_world_memory(const struct media_world *w);

#endif
