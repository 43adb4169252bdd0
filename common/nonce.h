/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Digest nonces that prove themselves: sbc makes them without keeping state,
 * sbc and authd both check them with a key that authd makes and rotates.
 *
 * A nonce says when it was made and carries two tags: one over time, realm and
 * randomness ("made here"), one that adds the source's host (addr_host_key():
 * IPv4 whole, IPv6 /64, no port). So a nonce that came to another address is
 * told from one that nobody here made: the first is stale, the second forged;
 * neither is a failed login.
 *
 * The tags are SipHash-2-4 with keys of their own, 64 bits for "made here" and
 * two independent 64-bit halves for the source. A nonce is a short input under
 * a secret 128-bit key, which is what SipHash is a pseudo-random function for;
 * forging a source tag (to get a stranger banned) takes 2^128 guesses at a
 * daemon that counts. This keeps libcrypto out of sbc.
 *
 * RFC 7616 section 3.3.
 */
#ifndef COMMON_NONCE_H
#define COMMON_NONCE_H

#include <stddef.h>
#include <stdint.h>

#include "common/addr.h"
#include "common/err.h"
#include "common/ipc.pb-c.h"
#include "common/reason.h"

#define NONCE_KEY_SIZE 48
/** 36 bytes as base64url, with the terminator. */
#define NONCE_TEXT_LEN  48
#define NONCE_TEXT_SIZE (NONCE_TEXT_LEN + 1)

struct nonce_key {
	uint32_t id; /* 0 = there is no key */
	uint8_t key[NONCE_KEY_SIZE];
};

/** Zeroed: no key yet; nonce_make() then refuses. */
struct nonce_keys {
	struct nonce_key current;
	struct nonce_key previous; /* id 0 = none */
	uint32_t lifetime_s;
};

/**
 * Takes the keys out of authd's message.
 * @return 0, or ERR_INVALID; keys_out is untouched then.
 */
GH_MUST_CHECK int nonce_keys_read(
	const Gh__NonceKeys *msg, struct nonce_keys *keys_out);

/**
 * Makes a nonce for one source in one realm. Two calls never give the same.
 * @param now_us	clock_now_us().
 * @param text		NONCE_TEXT_SIZE bytes.
 * @return 0, or ERR_STATE without a key.
 */
GH_MUST_CHECK int nonce_make(const struct nonce_keys *keys, uint32_t realm,
	const struct addr *source, uint64_t now_us,
	char text[NONCE_TEXT_SIZE]);

/**
 * Judges a nonce that came back; text is any bytes with a terminator.
 * @return AUTH_OK; AUTH_STALE (too old, made for another source, or under a
 *	key that is gone: challenge again with stale=true); AUTH_FORGED_NONCE
 *	(not made here: challenge again).
 */
enum reason nonce_check(const struct nonce_keys *keys, uint32_t realm,
	const struct addr *source, uint64_t now_us, const char *text);

/** Second of this boot in which a nonce that nonce_check() found good was
 * made; 0 for other text. */
uint32_t nonce_made_s(const char *text);

#endif
