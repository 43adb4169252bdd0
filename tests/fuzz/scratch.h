/* SPDX-License-Identifier: Apache-2.0 */
/* A folder in memory for harnesses of readers that want files. */
#ifndef TESTS_FUZZ_SCRATCH_H
#define TESTS_FUZZ_SCRATCH_H

#include <stddef.h>

/** The folder's path; made at the first call, removed at the end. */
const char *scratch_dir(void);
/** Removes what is in it. */
void scratch_clear(void);
/** Writes a file there, in place of one of that name. */
void scratch_write(const char *name, const void *bytes, size_t len);

#endif
