/* SPDX-License-Identifier: Apache-2.0 */
/* The folders that keeper makes while it still is root in full. */
#ifndef KEEPER_FOLDERS_H
#define KEEPER_FOLDERS_H

#include <sys/types.h>

#include "common/err.h"

/** Makes path, or takes over one that root or the owner has.
 * @return 0, or ERR_SYSTEM with errno (EPERM: somebody else's). */
GH_MUST_CHECK int folder_make(
	const char *path, uid_t uid, gid_t gid, mode_t mode);
/** One keeper per folder: locks a file in it as long as the process lives.
 * @return 0; ERR_EXISTS if another keeper has it; ERR_SYSTEM with errno. */
GH_MUST_CHECK int folder_lock(const char *path);

#endif
