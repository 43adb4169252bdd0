/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Digest by RFC 7616 and RFC 8760: what a response must look like, and whether
 * it is right. Pure: no network, no database, no clock; nonces and replay are
 * judged elsewhere (common/nonce, authd/replay).
 *
 * Strict on purpose, because each of these has been an attack: qop must be
 * there and be one that was offered, the algorithm must be one that was
 * offered and -sess variants are none, realm, URI and method must be those of
 * the request, nc is eight hex digits and not zero.
 */
#ifndef AUTHD_DIGEST_H
#define AUTHD_DIGEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "common/ipc.pb-c.h"
#include "common/reason.h"

#define DIGEST_ALGORITHM_COUNT 3
#define DIGEST_HASH_MAX        32
/** Hex text of the longest hash, with terminator. */
#define DIGEST_HEX_SIZE        (2 * DIGEST_HASH_MAX + 1)
#define DIGEST_OFFERS_MAX      6
#define DIGEST_USER_MAX        255

/** The challenges that a 401 carries, in order. */
struct digest_offers {
	size_t n;
	struct {
		Gh__Algorithm algorithm;
		Gh__Qop qop;
	} offer[DIGEST_OFFERS_MAX];
};

/** Reads "MD5 SHA-256/auth-int". @return 0, or ERR_INVALID. */
GH_MUST_CHECK int digest_offers_parse(
	const char *text, struct digest_offers *offers_out);

/** "MD5", "SHA-256", "SHA-512-256". */
const char *digest_algorithm_name(Gh__Algorithm algorithm);
/** Bytes of its hash. */
size_t digest_hash_len(Gh__Algorithm algorithm);

/** HA1 = H(user:realm:password), as bytes. */
struct digest_ha1 {
	uint8_t bytes[DIGEST_HASH_MAX];
};

/** Hash functions and a context, fetched once. */
struct digest;

GH_MUST_CHECK int digest_new(struct digest **digest_out);
/** Safe on NULL. */
void digest_free(struct digest **digest);

/** A response whose fields have passed digest_check(). */
struct digest_claim {
	Gh__Algorithm algorithm;
	Gh__Qop qop;
	uint32_t nc;
};

/**
 * Judges everything that needs no account.
 * @param realm		the digest realm that was asked for.
 * @return AUTH_OK with claim_out set; AUTH_SYNTAX, AUTH_REALM, AUTH_URI,
 *	AUTH_ALGORITHM (no such algorithm) or AUTH_QOP.
 */
enum reason digest_check(const Gh__DigestFields *fields, const char *realm,
	const char *request_uri, struct digest_claim *claim_out);

/** Is this algorithm with this qop among the offers?
 * @return AUTH_OK, AUTH_ALGORITHM or AUTH_QOP. */
enum reason digest_check_offer(
	const struct digest_claim *claim, const struct digest_offers *offers);

/**
 * Computes the response and compares it in constant time.
 * @param body	hashed for auth-int only.
 * @return AUTH_OK or AUTH_WRONG.
 */
enum reason digest_verify(struct digest *d, const struct digest_claim *claim,
	const Gh__DigestFields *fields, const char *method, const void *body,
	size_t body_len, const struct digest_ha1 *ha1);

/** Computes HA1. @return 0, or ERR_SYSTEM. */
GH_MUST_CHECK int digest_make_ha1(struct digest *d, Gh__Algorithm algorithm,
	const char *user, const char *realm, const char *password,
	struct digest_ha1 *ha1_out);

/**
 * Computes a response (RFC 7616 section 3.4.1), for our own requests too.
 * @param qop	NULL for the form without qop of RFC 2069, which only trunks
 *		that offer no qop get.
 * @param hex	DIGEST_HEX_SIZE bytes.
 * @return 0, or ERR_SYSTEM.
 */
GH_MUST_CHECK int digest_response(struct digest *d, Gh__Algorithm algorithm,
	const struct digest_ha1 *ha1, const char *nonce, const char *nc,
	const char *cnonce, const char *qop, const char *method,
	const char *uri, const void *body, size_t body_len, char *hex);

#endif
