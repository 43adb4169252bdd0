/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A digest answer as authd gets it from sbc, and the list of offers as the
 * database has it. Fields are texts parted by newlines. What passes the check
 * is one of the algorithms and counts from 1; a guess is never right.
 */
#include <string.h>

#include "authd/digest.h"
#include "tests/fuzz/fuzz.h"

enum { N_FIELDS = 12 };

static void check_offers(const char *text)
{
	struct digest_offers offers;

	if (digest_offers_parse(text, &offers) != 0)
		return;
	FUZZ_CHECK(offers.n >= 1 && offers.n <= DIGEST_OFFERS_MAX);
	for (size_t i = 0; i < offers.n; i++)
		FUZZ_CHECK(digest_hash_len(offers.offer[i].algorithm) >= 16);
}

static void check_claim(const Gh__DigestFields *f, const char *realm,
	const char *uri, const char *method)
{
	static const struct digest_ha1 ha1 = {{0x13}};
	static struct digest *d;
	struct digest_claim claim;
	enum reason why = digest_check(f, realm, uri, &claim);

	FUZZ_CHECK((unsigned)why < REASON_COUNT);
	if (why != REASON_AUTH_OK)
		return;
	FUZZ_CHECK(claim.nc != 0);
	FUZZ_CHECK(strcmp(f->realm, realm) == 0);
	FUZZ_CHECK(digest_hash_len(claim.algorithm) >= 16);
	if (!d)
		FUZZ_CHECK(digest_new(&d) == 0);
	why = digest_verify(d, &claim, f, method, uri, strlen(uri), &ha1);
	FUZZ_CHECK(why == REASON_AUTH_WRONG);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	Gh__DigestFields f = GH__DIGEST_FIELDS__INIT;
	char *copy, *rest, *field[N_FIELDS];

	if (len > 8192)
		return 0;
	copy = malloc(len + 1);
	FUZZ_CHECK(copy != NULL);
	memcpy(copy, bytes, len);
	copy[len] = '\0';
	rest = copy;
	for (size_t i = 0; i < N_FIELDS; i++) {
		field[i] = strsep(&rest, "\n");
		if (!field[i])
			field[i] = copy + strlen(copy);
	}
	f.username = field[0];
	f.realm = field[1];
	f.nonce = field[2];
	f.uri = field[3];
	f.response = field[4];
	f.algorithm = field[5];
	f.cnonce = field[6];
	f.qop = field[7];
	f.nc = field[8];
	check_offers(field[11]);
	check_claim(&f, field[9][0] ? field[9] : f.realm,
		field[10][0] ? field[10] : f.uri, "REGISTER");
	free(copy);
	return 0;
}
