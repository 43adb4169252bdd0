/* SPDX-License-Identifier: Apache-2.0 */
/* One question to one daemon, and its answers. */
#ifndef CTL_ASK_H
#define CTL_ASK_H

#include <stddef.h>

#include "common/control.h"
#include "common/err.h"
#include "common/process.h"

#define ASK_TIMEOUT_US (3u * 1000u * 1000u)

struct ask {
	const char *runtime_dir;
	const struct process_users *users; /* who the daemon must be */
	enum process process;
	const char
		*suffix; /* of its socket's name: "", or process_old_suffix() */
	const char *command;
	char **args;
	size_t n_args;
	/* Each answer's JSON object, borrowed until return. */
	void (*on_answer)(void *ctx, enum process process, const char *json);
	void *ctx;
};

/**
 * Asks and waits for the last answer.
 * @param exit_out	the daemon's verdict; a number that is no exit code of
 *	ours (a newer daemon's) reads CONTROL_REFUSED.
 * @return 0; ERR_AWAY if the daemon is not reachable or went away; ERR_TIMEOUT
 *	if nothing came for ASK_TIMEOUT_US; ERR_TOO_BIG for a long path;
 *	ERR_NOMEM.
 */
GH_MUST_CHECK int ask_daemon(
	const struct ask *ask, enum control_exit *exit_out);

#endif
