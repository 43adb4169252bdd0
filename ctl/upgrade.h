/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sbcctl upgrade: after the files of a new version are in place, one process
 * after the other is replaced while calls go on (keeper/upgrade.h). It stops at
 * the first one that did not come up, which then runs its old program again.
 * keeper is the last, and only where somebody starts it again.
 */
#ifndef CTL_UPGRADE_H
#define CTL_UPGRADE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "common/process.h"

struct upgrade_order {
	const char *runtime_dir;
	const struct process_users *users;
	bool json;
	FILE *out, *err;
	char **names; /* of those to be replaced; none = all */
	size_t n_names;
};

/** One answer for each process. @return enum control_exit. */
int upgrade_run(const struct upgrade_order *o);

#endif
