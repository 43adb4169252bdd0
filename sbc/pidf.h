/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where somebody is, as an emergency call carries it: PIDF-LO (RFC 4119, 5139,
 * 5491). Read for what it means, a civic address by fields of a list and a
 * point with its radius, and written anew: no byte of the sender's document
 * crosses but the values. Pure.
 */
#ifndef SBC_PIDF_H
#define SBC_PIDF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "sbc/text.h"

#define PIDF_SIZE_MAX   8192 /* of a document that is read */
#define PIDF_FIELDS_MAX 24
#define PIDF_VALUE_SIZE 129
#define PIDF_POINT_SIZE 48
#define PIDF_TEXT_SIZE  8192 /* of a document that is written */

struct pidf {
	struct {
		const char *name; /* static */
		char value[PIDF_VALUE_SIZE];
	} fields[PIDF_FIELDS_MAX];
	size_t n_fields;
	char point[PIDF_POINT_SIZE]; /* "48.1 11.5" or with height; "" = none */
	char radius[16];             /* metres; "" = a point */
	char method[24];             /* how it was found; "" = not said */
};

/** Reads a document. What is not well formed, and a document type, are refused;
 * elements that are not known are passed over.
 * @param salt	for the reader's own hash tables: random.
 * @return 0, ERR_INVALID, ERR_TOO_BIG or ERR_NOMEM. */
GH_MUST_CHECK int pidf_read(
	struct span xml, uint64_t salt, struct pidf *pidf_out);

/** Writes a document about entity (a pres: or sip: URI of ours).
 * @return 0 or ERR_TOO_BIG. */
GH_MUST_CHECK int pidf_write(
	const struct pidf *pidf, const char *entity, struct writer *w);

#endif
