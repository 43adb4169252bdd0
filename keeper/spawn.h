/* SPDX-License-Identifier: Apache-2.0 */
/* One fork: everything that a daemon must not inherit goes here. */
#ifndef KEEPER_SPAWN_H
#define KEEPER_SPAWN_H

#include "keeper/child.h"

/**
 * Forks; the new process waits for spawn_go() and ends by itself if keeper
 * dies before, so that none runs unrecorded.
 * @param program	plan's program, opened (O_PATH).
 * @param pidfd_out, gate_out	the caller's; spawn_go() closes the gate.
 * @return 0, or ERR_SYSTEM with errno.
 */
GH_MUST_CHECK int spawn(const struct child_plan *plan, int program,
	pid_t *pid_out, int *pidfd_out, int *gate_out);
void spawn_go(int gate);

#endif
