/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libcrypto's headers. One of its types has the name of one of our error codes
 * (ERR_STATE); it gets another name here, since nobody uses it.
 */
#ifndef AUTHD_CRYPTO_H
#define AUTHD_CRYPTO_H

#define ERR_STATE libcrypto_err_state
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#undef ERR_STATE

#endif
