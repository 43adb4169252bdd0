/* SPDX-License-Identifier: Apache-2.0 */
/*
 * authd's key file (mode 0600, made at the first start): a random master key
 * that seals what authd keeps on disk, and an RSA key that opens the trunk
 * passwords which administrators store in SQL. Nothing else can read either.
 */
#ifndef AUTHD_KEY_H
#define AUTHD_KEY_H

#include <stdint.h>

#include "authd/crypto.h"
#include "common/err.h"
#include "common/secret.h"

#define KEY_SIZE 32

struct key {
	struct secret master; /* KEY_SIZE bytes */
	EVP_PKEY *rsa;
};

#define KEY_PROBLEM_SIZE 512

/**
 * Reads the file, or makes it.
 * @param problem	KEY_PROBLEM_SIZE bytes: one line on failure.
 * @return 0, ERR_SYSTEM, ERR_CORRUPT (not such a file), ERR_REFUSED (others
 *	may read it), or ERR_NOMEM.
 */
GH_MUST_CHECK int key_load(
	const char *path, struct key *key_out, char *problem);
/** Wipes. Safe on a zeroed one. */
void key_done(struct key *key);

/** A key for one purpose: HMAC-SHA256(master, purpose | 0 | salt).
 * @return 0, or ERR_SYSTEM. */
GH_MUST_CHECK int key_derive(const struct key *key, const char *purpose,
	const void *salt, size_t salt_len, uint8_t out[KEY_SIZE]);

#endif
