/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which daemons run: one line "sbc 1234 567890" (name, pid, start time in
 * clock ticks since boot, which makes the pair unique) in a folder that is
 * root's alone, beside the sockets. It is written before a daemon's first
 * instruction, so a keeper that comes after a kill knows every daemon that can
 * be there, and starts no second copy of one. Other instances of the SBC on the
 * same machine have their own folder and are never touched.
 */
#ifndef KEEPER_RECORD_H
#define KEEPER_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/err.h"
#include "common/process.h"

#define RECORD_FILE "children"

struct record {
	enum process process;
	pid_t pid;
	uint64_t start_ticks;
};

/** Field 22 of /proc/PID/stat. @return 0, or ERR_NOT_FOUND. */
GH_MUST_CHECK int record_start_ticks(pid_t pid, uint64_t *ticks_out);

/** Replaces the file at once. @return 0, or ERR_SYSTEM. */
GH_MUST_CHECK int record_write(
	const char *folder, const struct record *records, size_t n_records);

/** Reads it. @return 0; ERR_NOT_FOUND if there is none; ERR_INVALID if it
 * holds anything but such lines. */
GH_MUST_CHECK int record_read(const char *folder,
	struct record records[PROCESS_COUNT], size_t *n_out);

/** Opens the recorded process, if it still is that one.
 * @param pidfd_out	the caller's from now on. @return 0, or ERR_NOT_FOUND.
 */
GH_MUST_CHECK int record_open(const struct record *r, int *pidfd_out);

/** The program that pid runs (O_PATH), also one whose file has gone. @return a
 * descriptor, the caller's, or -1. */
int record_open_exe(pid_t pid);

/** Whether pid runs this program; also after a newer version has taken the
 * file's place. */
bool record_same_exe(pid_t pid, const char *exe);

#endif
