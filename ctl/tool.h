/* SPDX-License-Identifier: Apache-2.0 */
/* The command line of sbcctl, apart from main() so that tests can run it. */
#ifndef CTL_TOOL_H
#define CTL_TOOL_H

#include <stdio.h>

#include "common/process.h"

struct tool {
	FILE *out; /* answers */
	FILE *err; /* complaints */
	/* The daemons' users; NULL: those of this machine's user database. */
	const struct process_users *users;
};

/**
 * Does what the arguments say and waits for it.
 * @return sbcctl's exit status: enum control_exit.
 */
int tool_run(const struct tool *tool, int argc, char **argv);

#endif
