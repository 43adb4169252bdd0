/* SPDX-License-Identifier: Apache-2.0 */
/*
 * OpenSSL's headers. They have a type with the name of an error code of ours
 * (ERR_STATE); it gets another name here, since nobody uses it.
 */
#ifndef CTL_OPENSSL_H
#define CTL_OPENSSL_H

#define ERR_STATE libcrypto_err_state
#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#undef ERR_STATE

#endif
