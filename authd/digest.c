/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Judges and computes digest responses; see digest.h for what is refused. Does
 * not know accounts, offers of realms or nonces. Called by authd/judge and
 * authd/trunkcred. RFC 7616 sections 3.4 and 3.5, RFC 8760.
 */
#include "authd/digest.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "authd/crypto.h"
#include "common/secret.h"

enum {
	FIELD_MAX = 1024, /* URI; every other field is shorter */
	CNONCE_MAX = 256,
	NC_LEN = 8,
};

struct digest {
	EVP_MD *md[DIGEST_ALGORITHM_COUNT];
	EVP_MD_CTX *ctx;
};

static const struct {
	const char *name; /* in SIP */
	const char *md;   /* in libcrypto */
	size_t len;
} algorithms[DIGEST_ALGORITHM_COUNT] = {
	[GH__ALGORITHM__ALGORITHM_MD5] = {"MD5", "MD5", 16},
	[GH__ALGORITHM__ALGORITHM_SHA256] = {"SHA-256", "SHA256", 32},
	/* RFC 7616 means FIPS 180-4's SHA-512/256, not a cut SHA-512. */
	[GH__ALGORITHM__ALGORITHM_SHA512_256] = {"SHA-512-256", "SHA512-256",
		32},
};

const char *digest_algorithm_name(Gh__Algorithm algorithm)
{
	return algorithms[algorithm].name;
}

size_t digest_hash_len(Gh__Algorithm algorithm)
{
	return algorithms[algorithm].len;
}

static int find_algorithm(const char *name, size_t len, Gh__Algorithm *out)
{
	for (size_t i = 0; i < DIGEST_ALGORITHM_COUNT; i++) {
		if (strlen(algorithms[i].name) == len &&
			strncasecmp(algorithms[i].name, name, len) == 0) {
			*out = (Gh__Algorithm)i;
			return 0;
		}
	}
	return ERR_NOT_FOUND;
}

int digest_offers_parse(const char *text, struct digest_offers *offers_out)
{
	struct digest_offers offers = {0};

	while (*text) {
		size_t len = strcspn(text, " ");
		size_t name_len = strcspn(text, " /");
		Gh__Algorithm algorithm;

		if (offers.n == DIGEST_OFFERS_MAX ||
			find_algorithm(text, name_len, &algorithm) < 0)
			return ERR_INVALID;
		offers.offer[offers.n].algorithm = algorithm;
		if (name_len == len)
			offers.offer[offers.n].qop = GH__QOP__QOP_AUTH;
		else if (len - name_len == 9 &&
			 memcmp(text + name_len, "/auth-int", 9) == 0)
			offers.offer[offers.n].qop = GH__QOP__QOP_AUTH_INT;
		else
			return ERR_INVALID;
		offers.n++;
		text += len;
		while (*text == ' ')
			text++;
	}
	if (offers.n == 0)
		return ERR_INVALID;
	*offers_out = offers;
	return 0;
}

int digest_new(struct digest **digest_out)
{
	struct digest *d = calloc(1, sizeof(*d));

	if (!d)
		return ERR_NOMEM;
	d->ctx = EVP_MD_CTX_new();
	if (!d->ctx)
		goto fail;
	for (size_t i = 0; i < DIGEST_ALGORITHM_COUNT; i++) {
		d->md[i] = EVP_MD_fetch(NULL, algorithms[i].md, NULL);
		if (!d->md[i])
			goto fail;
	}
	*digest_out = d;
	return 0;
fail:
	digest_free(&d);
	return ERR_SYSTEM;
}

void digest_free(struct digest **digest)
{
	struct digest *d = *digest;

	*digest = NULL;
	if (!d)
		return;
	for (size_t i = 0; i < DIGEST_ALGORITHM_COUNT; i++)
		EVP_MD_free(d->md[i]);
	EVP_MD_CTX_free(d->ctx);
	free(d);
}

static bool is_hex(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (!((text[i] >= '0' && text[i] <= '9') ||
			    (text[i] >= 'a' && text[i] <= 'f')))
			return false;
	}
	return true;
}

static bool has_control(const char *text)
{
	for (; *text; text++) {
		if ((unsigned char)*text < 0x20 || *text == 0x7f)
			return true;
	}
	return false;
}

static bool fits(const char *text, size_t min, size_t max)
{
	size_t len = strnlen(text, max + 1);

	return len >= min && len <= max && !has_control(text);
}

static enum reason check_nc(const char *nc, uint32_t *nc_out)
{
	uint32_t value = 0;

	if (strnlen(nc, NC_LEN + 1) != NC_LEN)
		return REASON_AUTH_SYNTAX;
	for (size_t i = 0; i < NC_LEN; i++) {
		char c = (char)tolower((unsigned char)nc[i]);

		if (!is_hex(&c, 1))
			return REASON_AUTH_SYNTAX;
		value = value << 4 |
			(uint32_t)(c <= '9' ? c - '0' : c - 'a' + 10);
	}
	if (value == 0)
		return REASON_AUTH_SYNTAX;
	*nc_out = value;
	return REASON_AUTH_OK;
}

enum reason digest_check(const Gh__DigestFields *f, const char *realm,
	const char *request_uri, struct digest_claim *claim_out)
{
	struct digest_claim claim = {0};
	const char *algorithm = *f->algorithm ? f->algorithm : "MD5";
	enum reason why;

	if (!fits(f->username, 1, DIGEST_USER_MAX) ||
		!fits(f->uri, 1, FIELD_MAX) || !fits(f->realm, 0, FIELD_MAX))
		return REASON_AUTH_SYNTAX;
	if (strcmp(f->realm, realm) != 0)
		return REASON_AUTH_REALM;
	if (find_algorithm(algorithm, strlen(algorithm), &claim.algorithm) < 0)
		return REASON_AUTH_ALGORITHM;
	if (strcmp(f->qop, "auth") == 0)
		claim.qop = GH__QOP__QOP_AUTH;
	else if (strcmp(f->qop, "auth-int") == 0)
		claim.qop = GH__QOP__QOP_AUTH_INT;
	else
		return REASON_AUTH_QOP;
	if (!fits(f->cnonce, 1, CNONCE_MAX))
		return REASON_AUTH_SYNTAX;
	why = check_nc(f->nc, &claim.nc);
	if (why != REASON_AUTH_OK)
		return why;
	if (strnlen(f->response, DIGEST_HEX_SIZE) !=
			2 * digest_hash_len(claim.algorithm) ||
		!is_hex(f->response, 2 * digest_hash_len(claim.algorithm)))
		return REASON_AUTH_SYNTAX;
	if (strcmp(f->uri, request_uri) != 0)
		return REASON_AUTH_URI;
	*claim_out = claim;
	return REASON_AUTH_OK;
}

enum reason digest_check_offer(
	const struct digest_claim *claim, const struct digest_offers *offers)
{
	enum reason why = REASON_AUTH_ALGORITHM;

	for (size_t i = 0; i < offers->n; i++) {
		if (offers->offer[i].algorithm != claim->algorithm)
			continue;
		if (offers->offer[i].qop == claim->qop)
			return REASON_AUTH_OK;
		why = REASON_AUTH_QOP;
	}
	return why;
}

static void to_hex(const uint8_t *bytes, size_t len, char *hex)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < len; i++) {
		*hex++ = digits[bytes[i] >> 4];
		*hex++ = digits[bytes[i] & 15];
	}
	*hex = '\0';
}

/* One part of a hash's input; the parts are joined by ':'. */
struct part {
	const void *bytes;
	size_t len;
};

#define PART(text) ((struct part){(text), strlen(text)})

static int hash(struct digest *d, Gh__Algorithm algorithm,
	const struct part *parts, size_t n, uint8_t out[DIGEST_HASH_MAX])
{
	if (EVP_DigestInit_ex2(d->ctx, d->md[algorithm], NULL) != 1)
		return ERR_SYSTEM;
	for (size_t i = 0; i < n; i++) {
		if (i > 0 && EVP_DigestUpdate(d->ctx, ":", 1) != 1)
			return ERR_SYSTEM;
		if (EVP_DigestUpdate(d->ctx, parts[i].bytes, parts[i].len) != 1)
			return ERR_SYSTEM;
	}
	return EVP_DigestFinal_ex(d->ctx, out, NULL) == 1 ? 0 : ERR_SYSTEM;
}

int digest_make_ha1(struct digest *d, Gh__Algorithm algorithm, const char *user,
	const char *realm, const char *password, struct digest_ha1 *ha1_out)
{
	const struct part parts[] = {PART(user), PART(realm), PART(password)};

	return hash(d, algorithm, parts, 3, ha1_out->bytes);
}

int digest_response(struct digest *d, Gh__Algorithm algorithm,
	const struct digest_ha1 *ha1, const char *nonce, const char *nc,
	const char *cnonce, const char *qop, const char *method,
	const char *uri, const void *body, size_t body_len, char *hex)
{
	char ha1_hex[DIGEST_HEX_SIZE], ha2_hex[DIGEST_HEX_SIZE];
	char body_hex[DIGEST_HEX_SIZE];
	size_t len = digest_hash_len(algorithm);
	bool with_body = qop && strcmp(qop, "auth-int") == 0;
	uint8_t out[DIGEST_HASH_MAX];
	int err;

	if (with_body) {
		const struct part whole = {body ? body : "", body_len};

		err = hash(d, algorithm, &whole, 1, out);
		if (err < 0)
			return err;
		to_hex(out, len, body_hex);
	}
	const struct part a2[] = {
		PART(method), PART(uri), PART(with_body ? body_hex : "")};

	err = hash(d, algorithm, a2, with_body ? 3 : 2, out);
	if (err < 0)
		return err;
	to_hex(out, len, ha2_hex);
	to_hex(ha1->bytes, len, ha1_hex);
	if (qop) {
		const struct part kd[] = {PART(ha1_hex), PART(nonce), PART(nc),
			PART(cnonce), PART(qop), PART(ha2_hex)};

		err = hash(d, algorithm, kd, 6, out);
	} else {
		const struct part kd[] = {
			PART(ha1_hex), PART(nonce), PART(ha2_hex)};

		err = hash(d, algorithm, kd, 3, out);
	}
	secret_wipe(ha1_hex, sizeof(ha1_hex));
	if (err < 0)
		return err;
	to_hex(out, len, hex);
	return 0;
}

enum reason digest_verify(struct digest *d, const struct digest_claim *claim,
	const Gh__DigestFields *f, const char *method, const void *body,
	size_t body_len, const struct digest_ha1 *ha1)
{
	char hex[DIGEST_HEX_SIZE];
	size_t len = 2 * digest_hash_len(claim->algorithm);
	bool equal;

	if (digest_response(d, claim->algorithm, ha1, f->nonce, f->nc,
		    f->cnonce, f->qop, method, f->uri, body, body_len, hex) < 0)
		return REASON_AUTH_WRONG;
	equal = secret_equal(hex, f->response, len);
	secret_wipe(hex, sizeof(hex)); /* it would log somebody in */
	return equal ? REASON_AUTH_OK : REASON_AUTH_WRONG;
}
