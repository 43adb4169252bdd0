/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random names (ident.h) in Crockford's base32: digits and letters without I,
 * L, O and U, so that a human can read one aloud. Call IDs are upper case, as
 * Crockford writes them; SIP tags and branches lower case.
 */
#include "common/ident.h"

#include <stdint.h>
#include <string.h>

#include "common/secret.h"

static const char upper[33] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
static const char lower[33] = "0123456789abcdefghjkmnpqrstvwxyz";

static void make(char *text, size_t n_chars, const char *alphabet)
{
	/* No more at once than comes out of secret.c's block: names are no
	 * keys, and a system call for each was four per call. */
	uint8_t random[8];
	size_t done = 0;

	while (done < n_chars) {
		size_t i, n = n_chars - done;

		if (n > sizeof(random))
			n = sizeof(random);
		secret_random_bytes(random, n);
		for (i = 0; i < n; i++)
			text[done + i] = alphabet[random[i] & 31];
		done += n;
	}
	text[n_chars] = '\0';
}

void ident_make_call(char text[IDENT_CALL_SIZE])
{
	make(text, IDENT_CALL_LEN, upper);
}

bool ident_is_call(const char *text)
{
	size_t i;

	if (!text)
		return false;
	for (i = 0; i < IDENT_CALL_LEN; i++) {
		if (!text[i] || !strchr(upper, text[i]))
			return false;
	}
	return text[IDENT_CALL_LEN] == '\0';
}

void ident_make_random(char *text, size_t n_chars)
{
	make(text, n_chars, lower);
}
