/* SPDX-License-Identifier: Apache-2.0 */
/*
 * OpenPGP, as much as pgp_pub_encrypt() writes; see unseal.h. Called by
 * trunkcred and main. RFC 4880 sections 4.2 (packets), 5.1 (session key), 5.5
 * (public key), 5.9 (literal data), 5.13 (protected data).
 */
#include "authd/unseal.h"

#include <string.h>

#include "authd/crypto.h"
#include "common/secret.h"

enum {
	TAG_SESSION_KEY = 1,
	TAG_PUBLIC_KEY = 6,
	TAG_PUBLIC_SUBKEY = 14,
	TAG_LITERAL = 11,
	TAG_PROTECTED = 18,
	TAG_MDC = 19,
	ALGORITHM_RSA = 1,
	CIPHER_AES256 = 9,
	KEY_LEN = 32,
	BLOCK = 16,
	SHA1_LEN = 20,
	SEALED_MAX = 4096,
};

/* A piece of bytes that is read from its front. */
struct span {
	const uint8_t *at;
	size_t len;
};

static int take(struct span *in, size_t n, const uint8_t **out)
{
	if (in->len < n)
		return ERR_INVALID;
	*out = in->at;
	in->at += n;
	in->len -= n;
	return 0;
}

/* Reads one packet's head; body is what it holds. Partial lengths, which
 * pgcrypto uses for long texts, are put together in place. */
static int read_packet(struct span *in, unsigned *tag, uint8_t *buffer,
	size_t size, struct span *body)
{
	const uint8_t *b;
	size_t len, n, total = 0;
	bool partial;

	if (take(in, 1, &b) < 0 || !(b[0] & 0x80))
		return ERR_INVALID;
	if (!(b[0] & 0x40)) { /* old form: 1, 2 or 4 bytes of length */
		n = (size_t)1 << (b[0] & 3);
		*tag = b[0] >> 2 & 15;
		if (n > 4 || take(in, n, &b) < 0)
			return ERR_INVALID;
		for (len = 0; n > 0; n--)
			len = len << 8 | *b++;
		if (take(in, len, &b) < 0)
			return ERR_INVALID;
		*body = (struct span){b, len};
		return 0;
	}
	*tag = b[0] & 63;
	do {
		if (take(in, 1, &b) < 0)
			return ERR_INVALID;
		partial = b[0] >= 224 && b[0] < 255;
		if (b[0] < 192) {
			len = b[0];
		} else if (b[0] < 224) {
			len = (size_t)(b[0] - 192) << 8;
			if (take(in, 1, &b) < 0)
				return ERR_INVALID;
			len += b[0] + 192u;
		} else if (partial) {
			len = (size_t)1 << (b[0] & 31);
		} else {
			if (take(in, 4, &b) < 0)
				return ERR_INVALID;
			len = (size_t)b[0] << 24 | (size_t)b[1] << 16 |
			      (size_t)b[2] << 8 | b[3];
		}
		if (take(in, len, &b) < 0 || total + len > size)
			return ERR_INVALID;
		memcpy(buffer + total, b, len);
		total += len;
	} while (partial);
	*body = (struct span){buffer, total};
	return 0;
}

/* The session key out of the first packet. */
static int read_session_key(
	EVP_PKEY *rsa, struct span body, uint8_t key[KEY_LEN])
{
	uint8_t padded[1024] = {0}, plain[1024];
	size_t rsa_len = (size_t)EVP_PKEY_get_size(rsa), bits, n, len;
	EVP_PKEY_CTX *ctx;
	const uint8_t *b;
	unsigned sum = 0;
	int err = ERR_CORRUPT;

	/* version 3, key id, algorithm, one big number */
	if (take(&body, 10, &b) < 0 || b[0] != 3 || b[9] != ALGORITHM_RSA ||
		take(&body, 2, &b) < 0)
		return ERR_INVALID;
	bits = (size_t)b[0] << 8 | b[1];
	n = (bits + 7) / 8;
	if (rsa_len > sizeof(padded) || n > rsa_len || take(&body, n, &b) < 0)
		return ERR_INVALID;
	memcpy(padded + rsa_len - n, b, n);
	ctx = EVP_PKEY_CTX_new(rsa, NULL);
	len = sizeof(plain);
	if (!ctx || EVP_PKEY_decrypt_init(ctx) != 1 ||
		EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PADDING) != 1 ||
		EVP_PKEY_decrypt(ctx, plain, &len, padded, rsa_len) != 1)
		goto out;
	/* cipher, key, checksum */
	if (len != 1 + KEY_LEN + 2 || plain[0] != CIPHER_AES256)
		goto out;
	for (size_t i = 0; i < KEY_LEN; i++)
		sum += plain[1 + i];
	if (plain[1 + KEY_LEN] != (sum >> 8 & 255) ||
		plain[2 + KEY_LEN] != (sum & 255))
		goto out;
	memcpy(key, plain + 1, KEY_LEN);
	err = 0;
out:
	EVP_PKEY_CTX_free(ctx);
	secret_wipe(plain, sizeof(plain));
	return err;
}

/* Decrypts the protected packet; plain gets everything behind the random
 * prefix, without the check packet. */
static int read_protected(const uint8_t key[KEY_LEN], struct span body,
	uint8_t plain[SEALED_MAX], struct span *out)
{
	static const uint8_t zero[BLOCK];
	uint8_t sum[SHA1_LEN];
	EVP_CIPHER_CTX *ctx;
	int n, ok;

	if (body.len < 1 + BLOCK + 2 + 2 + SHA1_LEN || body.at[0] != 1 ||
		body.len > SEALED_MAX)
		return ERR_INVALID;
	ctx = EVP_CIPHER_CTX_new();
	if (!ctx)
		return ERR_NOMEM;
	body.at++;
	body.len--;
	ok = EVP_DecryptInit_ex2(ctx, EVP_aes_256_cfb128(), key, zero, NULL) ==
		     1 &&
	     EVP_DecryptUpdate(ctx, plain, &n, body.at, (int)body.len) == 1;
	EVP_CIPHER_CTX_free(ctx);
	if (!ok)
		return ERR_CORRUPT;
	/* The hash covers all up to and with the check packet's head. */
	if (plain[body.len - SHA1_LEN - 2] != (0xc0 | TAG_MDC) ||
		plain[body.len - SHA1_LEN - 1] != SHA1_LEN ||
		EVP_Digest(plain, body.len - SHA1_LEN, sum, NULL, EVP_sha1(),
			NULL) != 1 ||
		!secret_equal(sum, plain + body.len - SHA1_LEN, SHA1_LEN))
		return ERR_CORRUPT;
	*out = (struct span){
		plain + BLOCK + 2, body.len - BLOCK - 2 - SHA1_LEN - 2};
	return 0;
}

static int read_literal(struct span in, char password[UNSEAL_PASSWORD_SIZE])
{
	uint8_t buffer[SEALED_MAX];
	struct span body;
	const uint8_t *b;
	unsigned tag;
	int err = ERR_INVALID;

	if (read_packet(&in, &tag, buffer, sizeof(buffer), &body) < 0 ||
		tag != TAG_LITERAL || take(&body, 2, &b) < 0 ||
		take(&body, (size_t)b[1] + 4, &b) < 0)
		goto out;
	if (body.len == 0 || body.len >= UNSEAL_PASSWORD_SIZE ||
		memchr(body.at, '\0', body.len))
		goto out;
	memcpy(password, body.at, body.len);
	password[body.len] = '\0';
	err = 0;
out:
	secret_wipe(buffer, sizeof(buffer));
	return err;
}

int unseal_password(EVP_PKEY *rsa, const uint8_t *sealed, size_t len,
	char password[UNSEAL_PASSWORD_SIZE])
{
	uint8_t buffer[SEALED_MAX], plain[SEALED_MAX], key[KEY_LEN];
	struct span in = {sealed, len}, body;
	unsigned tag;
	int err;

	if (len > SEALED_MAX)
		return ERR_INVALID;
	err = read_packet(&in, &tag, buffer, sizeof(buffer), &body);
	if (err < 0 || tag != TAG_SESSION_KEY)
		return ERR_INVALID;
	err = read_session_key(rsa, body, key);
	if (err < 0)
		return err;
	err = read_packet(&in, &tag, buffer, sizeof(buffer), &body);
	if (err == 0 && tag != TAG_PROTECTED)
		err = ERR_INVALID;
	if (err == 0)
		err = read_protected(key, body, plain, &body);
	if (err == 0)
		err = read_literal(body, password);
	secret_wipe(key, sizeof(key));
	secret_wipe(plain, sizeof(plain));
	return err;
}

static size_t put_number(uint8_t *out, const BIGNUM *n)
{
	int bits = BN_num_bits(n);

	out[0] = (uint8_t)(bits >> 8);
	out[1] = (uint8_t)bits;
	return 2 + (size_t)BN_bn2bin(n, out + 2);
}

static size_t put_key_packet(
	uint8_t *out, unsigned tag, const BIGNUM *n, const BIGNUM *e)
{
	uint8_t *at = out + 3;
	size_t len;

	*at++ = 4;        /* version */
	memset(at, 0, 4); /* made at: nobody asks */
	at += 4;
	*at++ = ALGORITHM_RSA;
	at += put_number(at, n);
	at += put_number(at, e);
	len = (size_t)(at - out) - 3 - 192;
	out[0] = (uint8_t)(0xc0 | tag);
	out[1] = (uint8_t)(192 + (len >> 8));
	out[2] = (uint8_t)len;
	return (size_t)(at - out);
}

int unseal_public_key(EVP_PKEY *rsa, uint8_t out[UNSEAL_PUBLIC_SIZE])
{
	BIGNUM *n = NULL, *e = NULL;
	size_t len = 0;
	int err = ERR_SYSTEM;

	if (EVP_PKEY_get_bn_param(rsa, OSSL_PKEY_PARAM_RSA_N, &n) != 1 ||
		EVP_PKEY_get_bn_param(rsa, OSSL_PKEY_PARAM_RSA_E, &e) != 1 ||
		BN_num_bytes(n) > 512 || BN_num_bytes(n) < 256)
		goto out;
	/* pgcrypto skips the main key and encrypts for the subkey. */
	len = put_key_packet(out, TAG_PUBLIC_KEY, n, e);
	len += put_key_packet(out + len, TAG_PUBLIC_SUBKEY, n, e);
	err = (int)len;
out:
	BN_free(n);
	BN_free(e);
	return err;
}
