/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a build adds to every sandbox. One of sandbox_extra_none.c (release)
 * and sandbox_extra_sanitizer.c is linked; nothing else may widen a profile.
 */
#ifndef COMMON_SANDBOX_EXTRA_H
#define COMMON_SANDBOX_EXTRA_H

#include <stdbool.h>
#include <stddef.h>

#include "common/sandbox.h"

extern const char *const sandbox_extra_syscalls[];
extern const size_t sandbox_n_extra_syscalls;
extern const struct sandbox_path sandbox_extra_paths[];
extern const size_t sandbox_n_extra_paths;
/** The leak checker traces its own process, which a process that may not be
 * dumped refuses: SANDBOX_NO_DUMP is then not reached. */
extern const bool sandbox_extra_dumpable;

#endif
