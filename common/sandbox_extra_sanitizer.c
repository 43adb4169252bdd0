/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What AddressSanitizer, UBSan and the leak checker need besides a daemon's
 * own profile: reading /proc and the binaries for their reports, and a tracer
 * thread that stops the process to look for leaks at its end.
 */
#include "common/sandbox_extra.h"

const char *const sandbox_extra_syscalls[] = {"clone", "getdents", "getdents64",
	"kill", "personality", "pipe", "pipe2", "prctl", "process_vm_readv",
	"ptrace", "readlink", "rt_sigtimedwait", "sched_getaffinity",
	"sigaltstack", "wait4", "waitid"};
const size_t sandbox_n_extra_syscalls =
	sizeof(sandbox_extra_syscalls) / sizeof(sandbox_extra_syscalls[0]);

const struct sandbox_path sandbox_extra_paths[] = {
	{"/proc", SANDBOX_READ},
	{"/proc/self/exe", SANDBOX_READ},
	{"/usr/lib", SANDBOX_READ},
};
const size_t sandbox_n_extra_paths =
	sizeof(sandbox_extra_paths) / sizeof(sandbox_extra_paths[0]);

const bool sandbox_extra_dumpable = true;
