/* SPDX-License-Identifier: Apache-2.0 */
/*
 * OpenSSL as libsrtp2's ciphers. Debian's libsrtp2 is built on a library whose
 * cost per packet grows with the number of open streams; through libsrtp2's
 * own calls its AES counter mode, AES-GCM and HMAC-SHA1 are replaced by ones
 * that cost the same with one stream or thousands. Key derivation, rollover
 * counter and replay protection stay libsrtp2's.
 */
#ifndef MEDIAD_SRTP_CRYPTO_H
#define MEDIAD_SRTP_CRYPTO_H

#include <stdint.h>

#include "common/err.h"

struct srtp_cipher_type_t;

/**
 * Registers them, right after srtp_init() and before any session. libsrtp2
 * runs known-answer tests on each. @return 0, or ERR_SYSTEM if one fails.
 */
GH_MUST_CHECK int srtp_crypto_register(void);

/** One of ours by libsrtp2's number, for tests; NULL if it is none of them. */
const struct srtp_cipher_type_t *srtp_crypto_type(uint32_t id);

#endif
