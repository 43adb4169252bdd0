// SPDX-License-Identifier: Apache-2.0
/*
 * Decides which characters of a peer may be shown to a human: display names
 * and the few other free texts. RFC 3629 for the encoding; the characters left
 * out are Unicode's controls (Cc), line and paragraph separators, and the bidi
 * and invisible format characters.
 */
#include "sbc/utf8.h"

int utf8_decode(const char *text, size_t len, uint32_t *char_out)
{
	static const uint32_t lowest[] = {0, 0, 0x80, 0x800, 0x10000};
	const unsigned char *s = (const unsigned char *)text;
	uint32_t c;
	unsigned n;

	if (!len)
		return ERR_INVALID;
	if (s[0] < 0x80) {
		*char_out = s[0];
		return 1;
	}
	if ((s[0] & 0xe0) == 0xc0)
		n = 2;
	else if ((s[0] & 0xf0) == 0xe0)
		n = 3;
	else if ((s[0] & 0xf8) == 0xf0)
		n = 4;
	else
		return ERR_INVALID;
	if (len < n)
		return ERR_INVALID;
	c = s[0] & (0xffu >> (n + 1));
	for (unsigned i = 1; i < n; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return ERR_INVALID;
		c = c << 6 | (s[i] & 0x3f);
	}
	if (c < lowest[n] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
		return ERR_INVALID;
	*char_out = c;
	return (int)n;
}

bool utf8_is_visible(uint32_t c)
{
	static const struct {
		uint32_t first, last;
	} hidden[] = {
		{0x0000, 0x001f},
		{0x007f, 0x009f},
		{0x00ad, 0x00ad},
		{0x061c, 0x061c},
		{0x180e, 0x180e},
		{0x200b, 0x200f},
		{0x2028, 0x202e},
		{0x2060, 0x206f},
		{0xfeff, 0xfeff},
		{0xfff9, 0xfffb},
		{0xe0000, 0xe007f},
	};

	for (size_t i = 0; i < sizeof(hidden) / sizeof(hidden[0]); i++)
		if (c >= hidden[i].first && c <= hidden[i].last)
			return false;
	return (c & 0xfffe) != 0xfffe;
}

bool utf8_is_plain(const char *text, size_t len)
{
	uint32_t c = 0;

	for (size_t i = 0; i < len;) {
		int n = utf8_decode(text + i, len - i, &c);

		if (n < 0 || !utf8_is_visible(c))
			return false;
		i += (size_t)n;
	}
	return true;
}
