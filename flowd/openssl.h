/* SPDX-License-Identifier: Apache-2.0 */
/*
 * OpenSSL's headers. They have a type with the name of an error code of ours
 * (ERR_STATE); it gets another name here, since nobody uses it.
 */
#ifndef FLOWD_OPENSSL_H
#define FLOWD_OPENSSL_H

#define ERR_STATE libcrypto_err_state
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/ocsp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#undef ERR_STATE

#endif
