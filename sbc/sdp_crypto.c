// SPDX-License-Identifier: Apache-2.0
/*
 * a=crypto (SDES): which lines can be used, and how ours are written. RFC 4568
 * for the grammar, RFC 6188 for AES-256, RFC 7714 for AEAD. A lifetime is
 * accepted and not needed: every suite's own limit lies far above a call. A
 * key identifier (MKI), several keys or session parameters would change how
 * packets look or are protected, so such a line is as if it were not there.
 * The keys are secrets; who holds a struct sdp wipes it.
 */
#include "sbc/sdp_part.h"

#include <string.h>

#include "common/secret.h"

#define N_ROWS(table) (sizeof(table) / sizeof((table)[0]))

static const struct {
	Gh__Suite suite;
	const char *name;
	size_t len; /* master key and salt */
} suites[] = {
	{GH__SUITE__SUITE_AES_CM_128_HMAC_SHA1_80, "AES_CM_128_HMAC_SHA1_80",
		30},
	{GH__SUITE__SUITE_AES_CM_128_HMAC_SHA1_32, "AES_CM_128_HMAC_SHA1_32",
		30},
	{GH__SUITE__SUITE_AES_256_CM_HMAC_SHA1_80, "AES_256_CM_HMAC_SHA1_80",
		46},
	{GH__SUITE__SUITE_AEAD_AES_128_GCM, "AEAD_AES_128_GCM", 28},
	{GH__SUITE__SUITE_AEAD_AES_256_GCM, "AEAD_AES_256_GCM", 44},
};

static const char base64[] =
	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

size_t sdp_suite_len(Gh__Suite suite)
{
	for (size_t i = 0; i < N_ROWS(suites); i++)
		if (suites[i].suite == suite)
			return suites[i].len;
	return 0;
}

const char *sdp_suite_name(Gh__Suite suite)
{
	for (size_t i = 0; i < N_ROWS(suites); i++)
		if (suites[i].suite == suite)
			return suites[i].name;
	return "";
}

static int base64_value(char c)
{
	const char *at = c ? strchr(base64, c) : NULL;

	return at ? (int)(at - base64) : -1;
}

/** Exactly len octets; padding is optional (RFC 4568 9.2 asks for it, not
 * everybody writes it), bits that mean nothing are zero. */
static int base64_read(struct span text, uint8_t *out, size_t len)
{
	size_t n_chars = (len * 4 + 2) / 3, n = 0;
	uint32_t bits = 0;
	unsigned n_bits = 0;

	while (text.len > n_chars && text.at[text.len - 1] == '=')
		text.len--;
	if (text.len != n_chars)
		return ERR_INVALID;
	for (size_t i = 0; i < n_chars; i++) {
		int value = base64_value(text.at[i]);

		if (value < 0)
			return ERR_INVALID;
		bits = (bits << 6 | (uint32_t)value) & 0xffff;
		n_bits += 6;
		if (n_bits < 8)
			continue;
		n_bits -= 8;
		out[n++] = (uint8_t)(bits >> n_bits);
	}
	return bits & ((1u << n_bits) - 1) ? ERR_INVALID : 0;
}

static void base64_write(struct writer *w, const uint8_t *bytes, size_t len)
{
	for (size_t i = 0; i < len; i += 3) {
		size_t left = len - i;
		uint32_t bits = (uint32_t)bytes[i] << 16;

		if (left > 1)
			bits |= (uint32_t)bytes[i + 1] << 8;
		if (left > 2)
			bits |= bytes[i + 2];
		writer_add_char(w, base64[bits >> 18 & 63]);
		writer_add_char(w, base64[bits >> 12 & 63]);
		writer_add_char(w, left > 1 ? base64[bits >> 6 & 63] : '=');
		writer_add_char(w, left > 2 ? base64[bits & 63] : '=');
	}
}

/** "2^31" or "1048576" (RFC 4568 9.2). */
static bool is_lifetime(struct span s)
{
	uint64_t n = 0;

	if (span_skip(&s, "2^"))
		return !span_number(s, 48, &n) && n > 0;
	return !span_number(s, 1ULL << 48, &n) && n > 0;
}

int sdp_crypto_read(struct span value, struct sdp_crypto *crypto_out)
{
	struct sdp_crypto crypto = {0};
	struct span tag, name, key, more, part;
	uint64_t n = 0;
	int err = ERR_INVALID;

	if (!span_take_word(&value, &tag) || !span_take_word(&value, &name) ||
		!span_take_word(&value, &key) || span_take_word(&value, &more))
		return ERR_INVALID;
	if (tag.len > 9 || span_number(tag, 999999999, &n))
		return ERR_INVALID;
	crypto.tag = (uint32_t)n;
	for (size_t i = 0; i < N_ROWS(suites); i++)
		if (span_is_word(name, suites[i].name)) {
			crypto.suite = suites[i].suite;
			crypto.master_len = (uint8_t)suites[i].len;
		}
	if (!crypto.master_len || !span_skip(&key, "inline:"))
		return ERR_INVALID;
	if (!span_next(&key, '|', &part) ||
		base64_read(part, crypto.master, crypto.master_len))
		goto out;
	if (span_next(&key, '|', &part) && !is_lifetime(part))
		goto out;
	if (key.at) /* an MKI */
		goto out;
	*crypto_out = crypto;
	err = 0;
out:
	secret_wipe(&crypto, sizeof(crypto));
	return err;
}

void sdp_crypto_write(struct writer *w, const struct sdp_crypto *crypto)
{
	for (size_t i = 0; i < N_ROWS(suites); i++) {
		if (suites[i].suite != crypto->suite ||
			suites[i].len != crypto->master_len)
			continue;
		writer_add(w, "a=crypto:%u %s inline:", (unsigned)crypto->tag,
			suites[i].name);
		base64_write(w, crypto->master, crypto->master_len);
		writer_add(w, "\r\n");
	}
}
