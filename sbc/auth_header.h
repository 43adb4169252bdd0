/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads an Authorization header of scheme Digest (RFC 7616 3.4, RFC 3261
 * 25.1), strictly: a parameter that is there twice, lacks its quotes, holds
 * control characters or is longer than anybody's is a syntax error, never a
 * guess. Pure. Unknown parameters are skipped.
 */
#ifndef SBC_AUTH_HEADER_H
#define SBC_AUTH_HEADER_H

#include "common/err.h"

#define AUTH_TEXT_SIZE 192
#define AUTH_URI_SIZE  1024
#define AUTH_WORD_SIZE 24

/** Unquoted values; "" = absent (an empty value is one of the errors, but for
 * opaque). */
struct auth_fields {
	char username[AUTH_TEXT_SIZE];
	char realm[AUTH_TEXT_SIZE];
	char nonce[AUTH_TEXT_SIZE];
	char uri[AUTH_URI_SIZE];
	char response[AUTH_TEXT_SIZE];
	char cnonce[AUTH_TEXT_SIZE];
	char opaque[AUTH_TEXT_SIZE];
	char algorithm[AUTH_WORD_SIZE];
	char qop[AUTH_WORD_SIZE];
	char nc[AUTH_WORD_SIZE];
};

/**
 * @param params	"name=value" texts as sofia-sip splits them, values
 *still quoted; NULL at the end; may be NULL.
 * @return 0, or ERR_INVALID.
 */
GH_MUST_CHECK int auth_fields_read(
	const char *const *params, struct auth_fields *fields_out);

/** Only the realm, for choosing among several headers.
 * @return 0, ERR_NOT_FOUND, or ERR_INVALID. */
GH_MUST_CHECK int auth_fields_realm(
	const char *const *params, char realm[AUTH_TEXT_SIZE]);

#endif
