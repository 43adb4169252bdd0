/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Cipher types for libsrtp2 on OpenSSL. A context is made with a stream and
 * reused for each packet: only the IV is set anew, nothing is allocated.
 *
 * HMAC-SHA1 uses the low-level SHA-1 calls, deprecated in OpenSSL 3.0 but the
 * only ones whose state is a plain struct: what the inner and the outer key
 * block make of it is kept and put back, where EVP would allocate for each
 * packet. RFC 3711 (AES-CM, HMAC-SHA1), RFC 6188 (AES-256), RFC 7714 (GCM).
 * Called by libsrtp2 only.
 */
#define OPENSSL_SUPPRESS_DEPRECATED
/* OpenSSL has a type of this name, err.h a number. */
#define ERR_STATE openssl_err_state
#include <openssl/evp.h>
#include <openssl/sha.h>
#undef ERR_STATE

#include "mediad/srtp_crypto.h"

#include <stdlib.h>
#include <string.h>

#include <srtp2/auth.h>
#include <srtp2/cipher.h>
#include <srtp2/crypto_types.h>

#include "common/secret.h"

#define GCM_IV_LEN 12
#define CTR_IV_LEN 16
#define SHA1_BLOCK 64

/* State of an AES context, counter mode or GCM. */
struct aes {
	EVP_CIPHER_CTX *ctx;
	const EVP_CIPHER *evp; /* static */
	int key_len;           /* without salt */
	int tag_len;           /* GCM */
	uint8_t salt[CTR_IV_LEN];
};

static const srtp_cipher_type_t icm_128, icm_256, gcm_128, gcm_256;

/* ------------------------------------------------------- AES, both modes */

/* The library's part and ours are one piece: with thousands of streams every
 * line of memory of a packet comes from far away. */
struct aes_cipher {
	srtp_cipher_t cipher; /* first */
	struct aes aes;
};

static srtp_err_status_t aes_alloc(const srtp_cipher_type_t *type,
	const EVP_CIPHER *evp, int key_len, int whole_len, int tag_len,
	srtp_cipher_pointer_t *out)
{
	struct aes_cipher *c = calloc(1, sizeof(*c));

	if (c == NULL)
		return srtp_err_status_alloc_fail;
	c->aes.ctx = EVP_CIPHER_CTX_new();
	if (c->aes.ctx == NULL) {
		free(c);
		return srtp_err_status_alloc_fail;
	}
	c->aes.evp = evp;
	c->aes.key_len = key_len;
	c->aes.tag_len = tag_len;
	c->cipher.type = type;
	c->cipher.state = &c->aes;
	c->cipher.key_len = whole_len;
	c->cipher.algorithm = (int)type->id;
	*out = &c->cipher;
	return srtp_err_status_ok;
}

static srtp_err_status_t aes_dealloc(srtp_cipher_pointer_t cipher)
{
	struct aes_cipher *c = (struct aes_cipher *)cipher;

	/* OpenSSL wipes its key schedule. */
	EVP_CIPHER_CTX_free(c->aes.ctx);
	secret_wipe(&c->aes, sizeof(c->aes));
	free(c);
	return srtp_err_status_ok;
}

/* ----------------------------------------------------------- counter mode */

static srtp_err_status_t icm_alloc(
	srtp_cipher_pointer_t *c, int key_len, int tag_len)
{
	(void)tag_len;
	if (key_len == SRTP_AES_ICM_128_KEY_LEN_WSALT)
		return aes_alloc(&icm_128, EVP_aes_128_ctr(),
			SRTP_AES_128_KEY_LEN, key_len, 0, c);
	if (key_len == SRTP_AES_ICM_256_KEY_LEN_WSALT)
		return aes_alloc(&icm_256, EVP_aes_256_ctr(),
			SRTP_AES_256_KEY_LEN, key_len, 0, c);
	return srtp_err_status_bad_param;
}

static srtp_err_status_t icm_init(void *state, const uint8_t *key)
{
	struct aes *a = state;

	/* The salt fills all but the block counter. */
	memset(a->salt, 0, sizeof(a->salt));
	memcpy(a->salt, key + a->key_len, SRTP_SALT_LEN);
	if (!EVP_EncryptInit_ex(a->ctx, a->evp, NULL, key, NULL))
		return srtp_err_status_init_fail;
	return srtp_err_status_ok;
}

static srtp_err_status_t icm_set_iv(
	void *state, uint8_t *iv, srtp_cipher_direction_t direction)
{
	struct aes *a = state;
	uint8_t counter[CTR_IV_LEN];

	(void)direction;
	for (int i = 0; i < CTR_IV_LEN; i++)
		counter[i] = a->salt[i] ^ iv[i];
	if (!EVP_EncryptInit_ex(a->ctx, NULL, NULL, NULL, counter))
		return srtp_err_status_init_fail;
	return srtp_err_status_ok;
}

static srtp_err_status_t icm_crypt(
	void *state, uint8_t *buffer, unsigned int *len)
{
	struct aes *a = state;
	int n = 0;

	if (!EVP_EncryptUpdate(a->ctx, buffer, &n, buffer, (int)*len))
		return srtp_err_status_cipher_fail;
	*len = (unsigned int)n;
	return srtp_err_status_ok;
}

/* --------------------------------------------------------------------- GCM */

static srtp_err_status_t gcm_alloc(
	srtp_cipher_pointer_t *c, int key_len, int tag_len)
{
	if (tag_len != 16 && tag_len != 8)
		return srtp_err_status_bad_param;
	if (key_len == SRTP_AES_GCM_128_KEY_LEN_WSALT)
		return aes_alloc(&gcm_128, EVP_aes_128_gcm(),
			SRTP_AES_128_KEY_LEN, key_len, tag_len, c);
	if (key_len == SRTP_AES_GCM_256_KEY_LEN_WSALT)
		return aes_alloc(&gcm_256, EVP_aes_256_gcm(),
			SRTP_AES_256_KEY_LEN, key_len, tag_len, c);
	return srtp_err_status_bad_param;
}

static srtp_err_status_t gcm_init(void *state, const uint8_t *key)
{
	struct aes *a = state;

	if (!EVP_CipherInit_ex(a->ctx, a->evp, NULL, key, NULL, 1) ||
		!EVP_CIPHER_CTX_ctrl(
			a->ctx, EVP_CTRL_AEAD_SET_IVLEN, GCM_IV_LEN, NULL))
		return srtp_err_status_init_fail;
	return srtp_err_status_ok;
}

static srtp_err_status_t gcm_set_iv(
	void *state, uint8_t *iv, srtp_cipher_direction_t direction)
{
	struct aes *a = state;
	int encrypt = direction == srtp_direction_encrypt;

	if (direction == srtp_direction_any)
		return srtp_err_status_bad_param;
	if (!EVP_CipherInit_ex(a->ctx, NULL, NULL, NULL, iv, encrypt))
		return srtp_err_status_init_fail;
	return srtp_err_status_ok;
}

static srtp_err_status_t gcm_set_aad(
	void *state, const uint8_t *aad, uint32_t len)
{
	struct aes *a = state;
	int n = 0;

	if (!EVP_CipherUpdate(a->ctx, NULL, &n, aad, (int)len))
		return srtp_err_status_algo_fail;
	return srtp_err_status_ok;
}

static srtp_err_status_t gcm_encrypt(
	void *state, uint8_t *buffer, unsigned int *len)
{
	struct aes *a = state;
	int n = 0;

	if (*len > 0 &&
		!EVP_CipherUpdate(a->ctx, buffer, &n, buffer, (int)*len))
		return srtp_err_status_cipher_fail;
	return srtp_err_status_ok;
}

static srtp_err_status_t gcm_get_tag(void *state, uint8_t *tag, uint32_t *len)
{
	struct aes *a = state;
	uint8_t none[EVP_MAX_BLOCK_LENGTH];
	int n = 0;

	if (!EVP_CipherFinal_ex(a->ctx, none, &n) ||
		!EVP_CIPHER_CTX_ctrl(
			a->ctx, EVP_CTRL_AEAD_GET_TAG, a->tag_len, tag))
		return srtp_err_status_algo_fail;
	*len = (uint32_t)a->tag_len;
	return srtp_err_status_ok;
}

/* The tag stands behind the text. */
static srtp_err_status_t gcm_decrypt(
	void *state, uint8_t *buffer, unsigned int *len)
{
	struct aes *a = state;
	uint8_t none[EVP_MAX_BLOCK_LENGTH];
	int text_len = (int)*len - a->tag_len;
	int n = 0;

	if (text_len < 0)
		return srtp_err_status_bad_param;
	if (!EVP_CIPHER_CTX_ctrl(a->ctx, EVP_CTRL_AEAD_SET_TAG, a->tag_len,
		    buffer + text_len))
		return srtp_err_status_algo_fail;
	if (text_len > 0 &&
		!EVP_CipherUpdate(a->ctx, buffer, &n, buffer, text_len))
		return srtp_err_status_cipher_fail;
	if (EVP_CipherFinal_ex(a->ctx, none, &n) <= 0)
		return srtp_err_status_auth_fail;
	*len = (unsigned int)text_len;
	return srtp_err_status_ok;
}

/* --------------------------------------------------------------- HMAC-SHA1 */

/* What is kept of a key is what SHA-1 made of its two blocks: 40 bytes. */
struct hmac {
	uint32_t inner[5];
	uint32_t outer[5];
};

struct hmac_auth {
	srtp_auth_t auth; /* first */
	struct hmac hmac;
};

/* The message that is being worked on. A thread has one at a time, so it need
 * not stand with each stream. */
static _Thread_local SHA_CTX now;

static const srtp_auth_type_t hmac_sha1;

static srtp_err_status_t hmac_alloc(
	srtp_auth_pointer_t *out, int key_len, int out_len)
{
	struct hmac_auth *a;

	if (key_len > SHA1_BLOCK || out_len > SHA_DIGEST_LENGTH)
		return srtp_err_status_bad_param;
	a = calloc(1, sizeof(*a));
	if (a == NULL)
		return srtp_err_status_alloc_fail;
	a->auth.type = &hmac_sha1;
	a->auth.state = &a->hmac;
	a->auth.out_len = out_len;
	a->auth.key_len = key_len;
	*out = &a->auth;
	return srtp_err_status_ok;
}

static srtp_err_status_t hmac_dealloc(srtp_auth_pointer_t auth)
{
	struct hmac_auth *a = (struct hmac_auth *)auth;

	secret_wipe(&a->hmac, sizeof(a->hmac));
	free(a);
	return srtp_err_status_ok;
}

static void hmac_block(
	uint32_t state[5], const uint8_t *key, int key_len, uint8_t pad)
{
	uint8_t block[SHA1_BLOCK];
	SHA_CTX ctx;

	memset(block, pad, sizeof(block));
	for (int i = 0; i < key_len; i++)
		block[i] ^= key[i];
	(void)SHA1_Init(&ctx);
	(void)SHA1_Update(&ctx, block, sizeof(block));
	state[0] = ctx.h0;
	state[1] = ctx.h1;
	state[2] = ctx.h2;
	state[3] = ctx.h3;
	state[4] = ctx.h4;
	secret_wipe(block, sizeof(block));
	secret_wipe(&ctx, sizeof(ctx));
}

/* As it was after a key block, which is all of one SHA-1 block. */
static void begin_after(SHA_CTX *ctx, const uint32_t state[5])
{
	ctx->h0 = state[0];
	ctx->h1 = state[1];
	ctx->h2 = state[2];
	ctx->h3 = state[3];
	ctx->h4 = state[4];
	ctx->Nl = SHA1_BLOCK * 8;
	ctx->Nh = 0;
	ctx->num = 0;
}

static srtp_err_status_t hmac_init(void *state, const uint8_t *key, int key_len)
{
	struct hmac *h = state;

	if (key_len > SHA1_BLOCK)
		return srtp_err_status_bad_param;
	hmac_block(h->inner, key, key_len, 0x36);
	hmac_block(h->outer, key, key_len, 0x5c);
	begin_after(&now, h->inner);
	return srtp_err_status_ok;
}

static srtp_err_status_t hmac_start(void *state)
{
	struct hmac *h = state;

	begin_after(&now, h->inner);
	return srtp_err_status_ok;
}

static srtp_err_status_t hmac_update(void *state, const uint8_t *bytes, int len)
{
	(void)state;
	(void)SHA1_Update(&now, bytes, (size_t)len);
	return srtp_err_status_ok;
}

static srtp_err_status_t hmac_compute(
	void *state, const uint8_t *bytes, int len, int tag_len, uint8_t *tag)
{
	struct hmac *h = state;
	uint8_t digest[SHA_DIGEST_LENGTH];

	if (tag_len > SHA_DIGEST_LENGTH)
		return srtp_err_status_bad_param;
	(void)SHA1_Update(&now, bytes, (size_t)len);
	(void)SHA1_Final(digest, &now);
	begin_after(&now, h->outer);
	(void)SHA1_Update(&now, digest, sizeof(digest));
	(void)SHA1_Final(digest, &now);
	memcpy(tag, digest, (size_t)tag_len);
	return srtp_err_status_ok;
}

/* ---------------------------------------------------- known-answer tests */

/* libsrtp2 wants at least one of each type's own; it runs its own as well.
 * Bytes are written as text so that they can be held against the RFC. */
#define TEXT(s) ((const uint8_t *)(s))

static uint8_t zero_iv[CTR_IV_LEN];
static uint8_t gcm_iv[] = {
	0xca, 0xfe, 0xba, 0xbe, 0xfa, 0xce, 0xdb, 0xad, 0xde, 0xca, 0xf8, 0x88};
static const uint8_t zeros[32];

/* RFC 3711 B.2 */
static const srtp_cipher_test_case_t icm_128_case = {
	.key_length_octets = SRTP_AES_ICM_128_KEY_LEN_WSALT,
	.key = TEXT("\x2b\x7e\x15\x16\x28\xae\xd2\xa6\xab\xf7\x15\x88\x09\xcf"
		    "\x4f\x3c\xf0\xf1\xf2\xf3\xf4\xf5\xf6\xf7\xf8\xf9\xfa\xfb"
		    "\xfc\xfd"),
	.idx = zero_iv,
	.plaintext_length_octets = 32,
	.plaintext = zeros,
	.ciphertext_length_octets = 32,
	.ciphertext = TEXT("\xe0\x3e\xad\x09\x35\xc9\x5e\x80\xe1\x66\xb1\x6d"
			   "\xd9\x2b\x4e\xb4\xd2\x35\x13\x16\x2b\x02\xd0\xf7"
			   "\x2a\x43\xa2\xfe\x4a\x5f\x97\xab"),
};

/* RFC 6188 section 7.3 */
static const srtp_cipher_test_case_t icm_256_case = {
	.key_length_octets = SRTP_AES_ICM_256_KEY_LEN_WSALT,
	.key = TEXT("\x57\xf8\x2f\xe3\x61\x3f\xd1\x70\xa8\x5e\xc9\x3c\x40\xb1"
		    "\xf0\x92\x2e\xc4\xcb\x0d\xc0\x25\xb5\x82\x72\x14\x7c\xc4"
		    "\x38\x94\x4a\x98\xf0\xf1\xf2\xf3\xf4\xf5\xf6\xf7\xf8\xf9"
		    "\xfa\xfb\xfc\xfd"),
	.idx = zero_iv,
	.plaintext_length_octets = 32,
	.plaintext = zeros,
	.ciphertext_length_octets = 32,
	.ciphertext = TEXT("\x92\xbd\xd2\x8a\x93\xc3\xf5\x25\x11\xc6\x77\xd0"
			   "\x8b\x55\x15\xa4\x9d\xa7\x1b\x23\x78\xa8\x54\xf6"
			   "\x70\x50\x75\x6d\xed\x16\x5b\xac"),
};

#define GCM_KEY                                                                \
	"\xfe\xff\xe9\x92\x86\x65\x73\x1c\x6d\x6a\x8f\x94\x67\x30\x83\x08"
#define GCM_PLAIN                                                              \
	"\xd9\x31\x32\x25\xf8\x84\x06\xe5\xa5\x59\x09\xc5\xaf\xf5\x26\x9a"     \
	"\x86\xa7\xa9\x53\x15\x34\xf7\xda\x2e\x4c\x30\x3d\x8a\x31\x8a\x72"     \
	"\x1c\x3c\x0c\x95\x95\x68\x09\x53\x2f\xcf\x0e\x24\x49\xa6\xb5\x25"     \
	"\xb1\x6a\xed\xf5\xaa\x0d\xe6\x57\xba\x63\x7b\x39"
#define GCM_AAD                                                                \
	"\xfe\xed\xfa\xce\xde\xad\xbe\xef\xfe\xed\xfa\xce\xde\xad\xbe\xef"     \
	"\xab\xad\xda\xd2"
#define SALT_12 "\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c"

/* GCM specification (McGrew, Viega), test case 4 */
static const srtp_cipher_test_case_t gcm_128_case = {
	.key_length_octets = SRTP_AES_GCM_128_KEY_LEN_WSALT,
	.key = TEXT(GCM_KEY SALT_12),
	.idx = gcm_iv,
	.plaintext_length_octets = 60,
	.plaintext = TEXT(GCM_PLAIN),
	.ciphertext_length_octets = 76,
	.ciphertext = TEXT("\x42\x83\x1e\xc2\x21\x77\x74\x24\x4b\x72\x21\xb7"
			   "\x84\xd0\xd4\x9c\xe3\xaa\x21\x2f\x2c\x02\xa4\xe0"
			   "\x35\xc1\x7e\x23\x29\xac\xa1\x2e\x21\xd5\x14\xb2"
			   "\x54\x66\x93\x1c\x7d\x8f\x6a\x5a\xac\x84\xaa\x05"
			   "\x1b\xa3\x0b\x39\x6a\x0a\xac\x97\x3d\x58\xe0\x91"
			   "\x5b\xc9\x4f\xbc\x32\x21\xa5\xdb\x94\xfa\xe9\x5a"
			   "\xe7\x12\x1a\x47"),
	.aad_length_octets = 20,
	.aad = TEXT(GCM_AAD),
	.tag_length_octets = 16,
};

/* The same, test case 16 */
static const srtp_cipher_test_case_t gcm_256_case = {
	.key_length_octets = SRTP_AES_GCM_256_KEY_LEN_WSALT,
	.key = TEXT(GCM_KEY GCM_KEY SALT_12),
	.idx = gcm_iv,
	.plaintext_length_octets = 60,
	.plaintext = TEXT(GCM_PLAIN),
	.ciphertext_length_octets = 76,
	.ciphertext = TEXT("\x52\x2d\xc1\xf0\x99\x56\x7d\x07\xf4\x7f\x37\xa3"
			   "\x2a\x84\x42\x7d\x64\x3a\x8c\xdc\xbf\xe5\xc0\xc9"
			   "\x75\x98\xa2\xbd\x25\x55\xd1\xaa\x8c\xb0\x8e\x48"
			   "\x59\x0d\xbb\x3d\xa7\xb0\x8b\x10\x56\x82\x88\x38"
			   "\xc5\xf6\x1e\x63\x93\xba\x7a\x0a\xbc\xc9\xf6\x62"
			   "\x76\xfc\x6e\xce\x0f\x4e\x17\x68\xcd\xdf\x88\x53"
			   "\xbb\x2d\x55\x1b"),
	.aad_length_octets = 20,
	.aad = TEXT(GCM_AAD),
	.tag_length_octets = 16,
};

/* RFC 2202 section 3, test case 1 */
static const srtp_auth_test_case_t hmac_case = {
	.key_length_octets = 20,
	.key = TEXT("\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b"
		    "\x0b\x0b\x0b\x0b\x0b\x0b"),
	.data_length_octets = 8,
	.data = TEXT("Hi There"),
	.tag_length_octets = 20,
	.tag = TEXT("\xb6\x17\x31\x86\x55\x05\x72\x64\xe2\x8b\xc0\xb6\xfb\x37"
		    "\x8c\x8e\xf1\x46\xbe\x00"),
};

/* ------------------------------------------------------------------ types */

#define ICM_TYPE(text, case, number)                                           \
	{                                                                      \
		.alloc = icm_alloc, .dealloc = aes_dealloc, .init = icm_init,  \
		.encrypt = icm_crypt, .decrypt = icm_crypt,                    \
		.set_iv = icm_set_iv, .description = (text),                   \
		.test_data = (case), .id = (number)                            \
	}
#define GCM_TYPE(text, case, number)                                           \
	{                                                                      \
		.alloc = gcm_alloc, .dealloc = aes_dealloc, .init = gcm_init,  \
		.set_aad = gcm_set_aad, .encrypt = gcm_encrypt,                \
		.decrypt = gcm_decrypt, .set_iv = gcm_set_iv,                  \
		.get_tag = gcm_get_tag, .description = (text),                 \
		.test_data = (case), .id = (number)                            \
	}

static const srtp_cipher_type_t icm_128 =
	ICM_TYPE("AES-128 counter mode", &icm_128_case, SRTP_AES_ICM_128);
static const srtp_cipher_type_t icm_256 =
	ICM_TYPE("AES-256 counter mode", &icm_256_case, SRTP_AES_ICM_256);
static const srtp_cipher_type_t gcm_128 =
	GCM_TYPE("AES-128 GCM", &gcm_128_case, SRTP_AES_GCM_128);
static const srtp_cipher_type_t gcm_256 =
	GCM_TYPE("AES-256 GCM", &gcm_256_case, SRTP_AES_GCM_256);

static const srtp_auth_type_t hmac_sha1 = {
	.alloc = hmac_alloc,
	.dealloc = hmac_dealloc,
	.init = hmac_init,
	.compute = hmac_compute,
	.update = hmac_update,
	.start = hmac_start,
	.description = "HMAC-SHA1",
	.test_data = &hmac_case,
	.id = SRTP_HMAC_SHA1,
};

const srtp_cipher_type_t *srtp_crypto_type(uint32_t id)
{
	static const srtp_cipher_type_t *const types[] = {
		&icm_128, &icm_256, &gcm_128, &gcm_256};

	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		if (types[i]->id == id)
			return types[i];
	return NULL;
}

int srtp_crypto_register(void)
{
	if (srtp_replace_cipher_type(&icm_128, SRTP_AES_ICM_128) ||
		srtp_replace_cipher_type(&icm_256, SRTP_AES_ICM_256) ||
		srtp_replace_cipher_type(&gcm_128, SRTP_AES_GCM_128) ||
		srtp_replace_cipher_type(&gcm_256, SRTP_AES_GCM_256) ||
		srtp_replace_auth_type(&hmac_sha1, SRTP_HMAC_SHA1))
		return ERR_SYSTEM;
	return 0;
}
