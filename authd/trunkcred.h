/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Answers a trunk's challenge with the trunk's secret: only for challenges from
 * that trunk's own addresses and of its realm, so that nobody else can make us
 * compute an answer. sbc gets the finished header, never the secret.
 */
#ifndef AUTHD_TRUNKCRED_H
#define AUTHD_TRUNKCRED_H

#include "authd/digest.h"
#include "authd/key.h"
#include "common/err.h"
#include "common/ipc.pb-c.h"
#include "common/reason.h"

#define TRUNKCRED_HEADER_SIZE 4096

/** The parts of WWW-Authenticate or Proxy-Authenticate that an answer needs. */
struct challenge {
	char realm[129];
	char nonce[513];
	char opaque[513];
	Gh__Algorithm algorithm;
	bool has_algorithm;
	bool has_opaque;
	const char *
		qop; /* "auth", "auth-int" or NULL: the best of those offered */
};

/** Reads 'Digest realm="...", nonce="..."'.
 * @return 0, or ERR_INVALID (not a digest, no known algorithm, too long). */
GH_MUST_CHECK int trunkcred_parse(const char *text, struct challenge *out);

/**
 * Computes the answer.
 * @param nc_cnonce_seed	NULL, or a fixed cnonce for tests.
 * @param header	TRUNKCRED_HEADER_SIZE bytes.
 * @return REASON_NONE, AUTH_TRUNK_REALM, or AUTH_TRUNK_FAILED.
 */
enum reason trunkcred_answer(struct digest *digest, const struct key *key,
	const Gh__Trunk *trunk, const Gh__TrunkSecret *secret,
	const Gh__TrunkAuthRequest *request, const char *fixed_cnonce,
	char header[TRUNKCRED_HEADER_SIZE]);

#endif
