/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a daemon gives up before it reads the first byte of a peer:
 * no_new_privs, all capabilities, core dumps, the file system (landlock) and
 * every system call that it does not need (seccomp, kill on violation). The
 * level that was reached is logged, shown in status, and a shipped daemon that
 * reaches less than the kernel could do is a failed test.
 *
 * Sanitizer builds need more; sandbox_extra_*.c holds that visible list.
 */
#ifndef COMMON_SANDBOX_H
#define COMMON_SANDBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

enum sandbox_layer {
	SANDBOX_NO_DUMP = 1,
	SANDBOX_NO_NEW_PRIVS = 2,
	SANDBOX_NO_CAPS = 4,
	SANDBOX_LANDLOCK_FS = 8,
	SANDBOX_LANDLOCK_NET = 16, /* no TCP bind or connect */
	SANDBOX_SECCOMP = 32,
};

#define SANDBOX_FULL 63u

enum sandbox_access {
	SANDBOX_READ = 1,
	SANDBOX_WRITE = 2, /* write, create and remove below the folder */
};

struct sandbox_path {
	const char *path; /* a folder or file; one that is missing is skipped */
	unsigned access;
};

struct sandbox_profile {
	const struct sandbox_path *paths;
	size_t n_paths;
	const char *const *syscalls; /* names besides the common set */
	size_t n_syscalls;
	bool may_tcp_connect; /* authd: a database on another host */
	bool may_tcp_bind;
	bool may_tcp_bind_any; /* to port 0 only: a source address, no service */
	bool no_ip; /* no IP socket of any kind can be made */
};

/**
 * Enters the sandbox for good. Capabilities and landlock belong to a thread,
 * so this comes before the first further thread is made; threads made later
 * inherit everything. Executable memory cannot be mapped any more: whatever
 * loads libraries at run time must have done so.
 * @param level_out	layers in force, or'ed.
 * @return 0; ERR_STATE if there are threads already; ERR_SYSTEM if a layer that
 *	the kernel has could not be put in force: the daemon must not go on.
 */
GH_MUST_CHECK int sandbox_enter(
	const struct sandbox_profile *profile, unsigned *level_out);

/** Layers that this kernel and this build can put in force. Ask before
 * sandbox_enter(): asking needs system calls that are gone afterwards. */
unsigned sandbox_possible(void);

/** "no_dump,no_new_privs,..." for log and status. */
const char *sandbox_level_text(unsigned level, char *text, size_t size);
#define SANDBOX_LEVEL_TEXT_SIZE 96

#endif
