/* SPDX-License-Identifier: Apache-2.0 */
/* Names that we make: random, without meaning, without a clue to our inside. */
#ifndef COMMON_IDENT_H
#define COMMON_IDENT_H

#include <stdbool.h>
#include <stddef.h>

/** Our call ID: 16 characters of Crockford base32 (80 random bits), the same
 * in log, CDR, messages, JSON and HEP. */
#define IDENT_CALL_LEN  16
#define IDENT_CALL_SIZE (IDENT_CALL_LEN + 1)

void ident_make_call(char text[IDENT_CALL_SIZE]);
bool ident_is_call(const char *text);

/** Writes n_chars random characters of Crockford base32 (5 bits each) and a
 * terminator; text has n_chars + 1 bytes. Lower case, for tags and branches. */
void ident_make_random(char *text, size_t n_chars);

#endif
