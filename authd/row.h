/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a row of the views sbc.authd_* to a message: words to enums, lists of
 * words to string arrays, every text checked. A cell that does not fit makes
 * the whole row ERR_INVALID with a line that names it: the database has
 * constraints, but authd does not rely on them.
 *
 * Messages are allocated as protobuf-c frees them (malloc each).
 */
#ifndef AUTHD_ROW_H
#define AUTHD_ROW_H

#include <libpq-fe.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "common/ipc.pb-c.h"

#define ROW_PROBLEM_SIZE 256
#define ROW_TEXT_MAX     4096

/** One row being read; the first problem sticks and later reads do nothing. */
struct row {
	const PGresult *result;
	int number;
	const char *what; /* "realm", "trunk": for the problem's text */
	const char *name; /* of this row; "" if it has none */
	int next;         /* column: they are mostly read in their order */
	int err;
	char problem[ROW_PROBLEM_SIZE];
};

void row_begin(struct row *r, const PGresult *result, int number,
	const char *what, const char *name_column);
/** Notes a problem; the first one counts. */
void row_fail(struct row *r, const char *column, const char *problem);

/** A copy of the text, or NULL after a failure. */
char *row_text(struct row *r, const char *column);
uint32_t row_u32(struct row *r, const char *column);
uint64_t row_u64(struct row *r, const char *column);
bool row_bool(struct row *r, const char *column);
/** Is there such a column? An older schema may not have it yet. */
bool row_has(const struct row *r, const char *column);
/** Splits words. @return the array, NULL if there is none. */
char **row_words(struct row *r, const char *column, size_t *n_out);
uint32_t *row_numbers(struct row *r, const char *column, size_t *n_out);
/** Hex to bytes; the length must be 0 or want (want 0 = any). */
ProtobufCBinaryData row_bytes(struct row *r, const char *column, size_t want);

/** Index of the cell's word in a table of n words. */
unsigned row_word(
	struct row *r, const char *column, const char *const *words, size_t n);

Gh__Transport row_transport(struct row *r, const char *column);
Gh__SrtpPolicy row_srtp(struct row *r, const char *column);
Gh__NatMode row_nat(struct row *r, const char *column);

/** @return 0, or ERR_INVALID or ERR_NOMEM with r->problem written. */
GH_MUST_CHECK int row_end(struct row *r);

/* Whole rows. Free with gh__*__free_unpacked(); NULL with r->err set. */
Gh__AccountRecord *row_account(struct row *r);
Gh__TrunkSecret *row_trunk_secret(struct row *r);

/** Wipes the secret fields and frees. Safe on NULL. */
void row_account_free(Gh__AccountRecord *record);
void row_trunk_secret_free(Gh__TrunkSecret *secret);

#endif
