/* SPDX-License-Identifier: Apache-2.0 */
/* The release build adds nothing to the sandbox. */
#include "common/sandbox_extra.h"

const char *const sandbox_extra_syscalls[] = {NULL};
const size_t sandbox_n_extra_syscalls = 0;
const struct sandbox_path sandbox_extra_paths[] = {{NULL, 0}};
const size_t sandbox_n_extra_paths = 0;
const bool sandbox_extra_dumpable = false;
