/* SPDX-License-Identifier: Apache-2.0 */
/* The processes of the SBC, their names and their system users. */
#ifndef COMMON_PROCESS_H
#define COMMON_PROCESS_H

#include <sys/types.h>

#include "common/err.h"

enum process {
	PROCESS_KEEPER,
	PROCESS_AUTHD,
	PROCESS_MEDIAD,
	PROCESS_SBC,
	PROCESS_FLOWD,
	PROCESS_CTL,
	PROCESS_COUNT,
};

#define PROCESS_BIT(p)  (1u << (p))

/** So many that have made room for the next one may still serve. */
#define PROCESS_OLD_MAX 4
/** What then stands behind the name of their sockets: "-old" for
 * "flowd-old.sock" (n 1), "-old2" to "-old4". NULL for any other n. */
const char *process_old_suffix(unsigned n);
/** "/run/gatehouse/flowd.sock" to that name. @return 0, ERR_INVALID for another
 * ending or n, ERR_TOO_BIG. */
GH_MUST_CHECK int process_old_path(
	const char *path, unsigned n, char *text, size_t size);

/** "keeper", "authd" ... */
const char *process_name(enum process p);
GH_MUST_CHECK int process_from_name(
	const char *name, enum process *process_out);

/** System user that a process runs as: "gatehouse-sbc" and so on; keeper and
 * the administrator's tool run as root. */
const char *process_user(enum process p);

/** Who may claim to be which process: uid[p], or (uid_t)-1 for nobody. */
struct process_users {
	uid_t uid[PROCESS_COUNT];
};

/** Looks all users up. @return 0, or ERR_NOT_FOUND with *missing_out set to
 * the name of the first user that the system does not have. */
GH_MUST_CHECK int process_users_load(
	struct process_users *users, const char **missing_out);

/** Everybody is uid: for tests that run as one user. */
void process_users_all(struct process_users *users, uid_t uid);

#endif
