/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Nonces: their bytes, how they are made and judged; see nonce.h for why. What
 * a nonce is used for (counting, replay, the digest itself) is authd's.
 * Called by sbc/auth for every challenge and by authd for every answer.
 *
 *	 0	time of making, seconds of this boot, big-endian
 *	 4	low byte of the key's id
 *	 5	7 random bytes
 *	12	"made here" tag, 8 bytes
 *	20	source tag, 16 bytes
 */
#include "common/nonce.h"

#include <string.h>

#include "common/bytes.h"
#include "common/clock.h"
#include "common/secret.h"
#include "common/table.h"

enum {
	NONCE_BYTES = 36,
	OFFSET_KEY_ID = 4,
	OFFSET_RANDOM = 5,
	OFFSET_MADE = 12,
	OFFSET_SOURCE = 20,
	/* head, realm id, host key's family and address */
	TAG_INPUT = OFFSET_MADE + 4 + 1 + 16,
	TAG_INPUT_MADE = OFFSET_MADE + 4,
	/* Clocks of one host do not differ; this is for rounding. */
	FUTURE_MAX_S = 2,
};

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
			       "abcdefghijklmnopqrstuvwxyz0123456789-_";

static void encode(const uint8_t bytes[NONCE_BYTES], char *text)
{
	for (size_t i = 0; i < NONCE_BYTES; i += 3) {
		uint32_t group = (uint32_t)bytes[i] << 16 |
				 (uint32_t)bytes[i + 1] << 8 | bytes[i + 2];

		*text++ = alphabet[group >> 18];
		*text++ = alphabet[group >> 12 & 63];
		*text++ = alphabet[group >> 6 & 63];
		*text++ = alphabet[group & 63];
	}
	*text = '\0';
}

static int decode(const char *text, uint8_t bytes[NONCE_BYTES])
{
	if (strnlen(text, NONCE_TEXT_SIZE) != NONCE_TEXT_LEN)
		return ERR_INVALID;
	for (size_t i = 0; i < NONCE_BYTES; i += 3) {
		uint32_t group = 0;

		for (int c = 0; c < 4; c++) {
			const char *at = strchr(alphabet, *text++);

			if (!at)
				return ERR_INVALID;
			group = group << 6 | (uint32_t)(at - alphabet);
		}
		bytes[i] = (uint8_t)(group >> 16);
		bytes[i + 1] = (uint8_t)(group >> 8);
		bytes[i + 2] = (uint8_t)group;
	}
	return 0;
}

/* Writes both tags for the head in bytes. */
static void make_tags(const struct nonce_key *key, uint32_t realm,
	const struct addr *source, const uint8_t *head, uint8_t made[8],
	uint8_t bound[16])
{
	struct addr host = addr_host_key(source);
	uint8_t input[TAG_INPUT];

	memcpy(input, head, OFFSET_MADE);
	bytes_put_u32(input + OFFSET_MADE, realm);
	input[TAG_INPUT_MADE] = (uint8_t)host.family;
	memset(input + TAG_INPUT_MADE + 1, 0, 16);
	memcpy(input + TAG_INPUT_MADE + 1, host.ip,
		host.family == AF_INET ? 4 : 16);
	bytes_put_u64(made, table_siphash(key->key, input, TAG_INPUT_MADE));
	bytes_put_u64(bound, table_siphash(key->key + 16, input, TAG_INPUT));
	bytes_put_u64(
		bound + 8, table_siphash(key->key + 32, input, TAG_INPUT));
}

static int read_key(const Gh__NonceKey *row, struct nonce_key *key_out)
{
	if (row->id == 0 || row->key.len != NONCE_KEY_SIZE)
		return ERR_INVALID;
	key_out->id = row->id;
	memcpy(key_out->key, row->key.data, NONCE_KEY_SIZE);
	return 0;
}

int nonce_keys_read(const Gh__NonceKeys *msg, struct nonce_keys *keys_out)
{
	struct nonce_keys keys = {.lifetime_s = msg->lifetime_s};

	if (!msg->current || read_key(msg->current, &keys.current) < 0)
		return ERR_INVALID;
	if (msg->previous && read_key(msg->previous, &keys.previous) < 0)
		return ERR_INVALID;
	if (keys.lifetime_s == 0 || keys.lifetime_s > 86400)
		return ERR_INVALID;
	*keys_out = keys;
	secret_wipe(&keys, sizeof(keys));
	return 0;
}

int nonce_make(const struct nonce_keys *keys, uint32_t realm,
	const struct addr *source, uint64_t now_us, char text[NONCE_TEXT_SIZE])
{
	uint8_t bytes[NONCE_BYTES];

	if (keys->current.id == 0)
		return ERR_STATE;
	bytes_put_u32(bytes, (uint32_t)(now_us / CLOCK_US_PER_S));
	bytes[OFFSET_KEY_ID] = (uint8_t)keys->current.id;
	secret_random_bytes(bytes + OFFSET_RANDOM, OFFSET_MADE - OFFSET_RANDOM);
	make_tags(&keys->current, realm, source, bytes, bytes + OFFSET_MADE,
		bytes + OFFSET_SOURCE);
	encode(bytes, text);
	return 0;
}

enum reason nonce_check(const struct nonce_keys *keys, uint32_t realm,
	const struct addr *source, uint64_t now_us, const char *text)
{
	uint32_t now_s = (uint32_t)(now_us / CLOCK_US_PER_S);
	const struct nonce_key *key = NULL;
	uint8_t bytes[NONCE_BYTES], made[8], bound[16];
	uint32_t made_s;

	if (decode(text, bytes) < 0)
		return REASON_AUTH_FORGED_NONCE;
	if (keys->current.id &&
		bytes[OFFSET_KEY_ID] == (uint8_t)keys->current.id)
		key = &keys->current;
	else if (keys->previous.id &&
		 bytes[OFFSET_KEY_ID] == (uint8_t)keys->previous.id)
		key = &keys->previous;
	if (!key) /* made before a restart, or invented: nobody can tell */
		return REASON_AUTH_STALE;
	make_tags(key, realm, source, bytes, made, bound);
	if (!secret_equal(made, bytes + OFFSET_MADE, sizeof(made)))
		return REASON_AUTH_FORGED_NONCE;
	if (!secret_equal(bound, bytes + OFFSET_SOURCE, sizeof(bound)))
		return REASON_AUTH_STALE;
	made_s = bytes_get_u32(bytes);
	if (made_s > now_s + FUTURE_MAX_S)
		return REASON_AUTH_FORGED_NONCE;
	if (now_s > made_s && now_s - made_s > keys->lifetime_s)
		return REASON_AUTH_STALE;
	return REASON_AUTH_OK;
}

uint32_t nonce_made_s(const char *text)
{
	uint8_t bytes[NONCE_BYTES];

	return decode(text, bytes) < 0 ? 0 : bytes_get_u32(bytes);
}
