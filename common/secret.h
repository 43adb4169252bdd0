/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bytes that must never be printed and must be wiped. The type has no
 * conversion to text, and log.h and ipc's text dump take none of it.
 */
#ifndef COMMON_SECRET_H
#define COMMON_SECRET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

struct secret {
	uint8_t *bytes; /* owned; locked into memory where the limit allows */
	size_t len;
};

/** Takes a copy of len bytes. @return 0, or ERR_NOMEM. */
GH_MUST_CHECK int secret_set(struct secret *s, const void *bytes, size_t len);

/** Fills with len random bytes from the kernel. @return 0, or ERR_NOMEM or
 * ERR_SYSTEM. */
GH_MUST_CHECK int secret_random(struct secret *s, size_t len);

/** Wipes and frees; the struct is empty afterwards. Safe on an empty one. */
void secret_done(struct secret *s);

/** Overwrites memory in a way that the compiler may not leave out. */
void secret_wipe(void *bytes, size_t len);
/** Wipes what functions that have returned left on the stack, up to 32 kB of
 * it: copies that a compiler or a library made. After work with keys. */
void secret_wipe_stack(void);

/** Compares in time that depends only on len. */
bool secret_equal(const void *a, const void *b, size_t len);

/** Random bytes from getrandom(2); aborts only if the kernel has none, which
 * Linux since 5.6 excludes. */
void secret_random_bytes(void *bytes, size_t len);

#endif
