/* SPDX-License-Identifier: Apache-2.0 */
/* UTF-8 (RFC 3629) of peers: only well-formed, visible text is let through. */
#ifndef SBC_UTF8_H
#define SBC_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

/**
 * Decodes one character.
 * @return its length in bytes, or ERR_INVALID for what RFC 3629 forbids
 *	(overlong forms, surrogates, over U+10FFFF, cut off).
 */
GH_MUST_CHECK int utf8_decode(const char *text, size_t len, uint32_t *char_out);

/** Neither a control character nor one that changes the direction or place of
 * its neighbours, with which one name can be made to look like another. */
bool utf8_is_visible(uint32_t c);

/** All well-formed and visible. */
bool utf8_is_plain(const char *text, size_t len);

#endif
