/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A nonce that comes back. The input says how the text differs from one that
 * was made here: pairs of place and change; a first byte that is odd means that
 * the input is the text itself. Only the unchanged one is fresh.
 */
#include <string.h>

#include "common/clock.h"
#include "common/nonce.h"
#include "tests/fuzz/fuzz.h"

#define NOW_US (5000 * CLOCK_US_PER_S)

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	static struct nonce_keys keys = {{1, {0x55}}, {2, {0x66}}, 300};
	static char made[NONCE_TEXT_SIZE];
	static struct addr source;
	enum reason why;
	char *text;
	size_t n;

	if (!made[0]) {
		FUZZ_CHECK(addr_parse("192.0.2.1:5060", &source) == 0);
		FUZZ_CHECK(nonce_make(&keys, 7, &source, NOW_US, made) == 0);
	}
	if (len == 0 || len > 4096)
		return 0;
	n = bytes[0] & 1 ? len - 1 : NONCE_TEXT_LEN;
	text = malloc(n + 1);
	FUZZ_CHECK(text != NULL);
	memcpy(text, bytes[0] & 1 ? (const char *)bytes + 1 : made, n);
	text[n] = '\0';
	if (!(bytes[0] & 1))
		for (size_t i = 1; i + 1 < len; i += 2)
			text[bytes[i] % NONCE_TEXT_LEN] ^= (char)bytes[i + 1];
	why = nonce_check(&keys, 7, &source, NOW_US, text);
	FUZZ_CHECK(why == REASON_AUTH_OK || why == REASON_AUTH_STALE ||
		   why == REASON_AUTH_FORGED_NONCE);
	FUZZ_CHECK((why == REASON_AUTH_OK) == (strcmp(text, made) == 0));
	free(text);
	return 0;
}
