/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opens what PostgreSQL's pgp_pub_encrypt() sealed for authd's key, and makes
 * the public key that it seals with. Only the one form that our SQL asks for is
 * read: RSA, AES-256, integrity protected, not compressed (RFC 4880). So an
 * administrator stores a trunk's password with one statement, and from then on
 * nobody but authd can read it.
 */
#ifndef AUTHD_UNSEAL_H
#define AUTHD_UNSEAL_H

#include <stddef.h>
#include <stdint.h>

#include "authd/crypto.h"
#include "common/err.h"

#define UNSEAL_PASSWORD_SIZE 513
#define UNSEAL_PUBLIC_SIZE   1200

/**
 * Opens a sealed password.
 * @param password	UNSEAL_PASSWORD_SIZE bytes; the caller wipes it.
 * @return 0, ERR_INVALID (not of this form), or ERR_CORRUPT (another key, or
 *	damaged).
 */
GH_MUST_CHECK int unseal_password(EVP_PKEY *rsa, const uint8_t *sealed,
	size_t len, char password[UNSEAL_PASSWORD_SIZE]);

/** Writes the public key as OpenPGP packets. @return bytes, or ERR_SYSTEM. */
GH_MUST_CHECK int unseal_public_key(
	EVP_PKEY *rsa, uint8_t out[UNSEAL_PUBLIC_SIZE]);

#endif
