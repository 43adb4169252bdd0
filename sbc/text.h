/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Texts of peers as pieces of memory that are never copied to be looked at,
 * and texts of ours written into a fixed buffer. ASCII only and independent of
 * the locale: a peer's bytes never reach ctype.h.
 */
#ifndef SBC_TEXT_H
#define SBC_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "common/err.h"

/** Some bytes that somebody else owns; not terminated. */
struct span {
	const char *at;
	size_t len;
};

struct span span_of(const char *text); /* NULL gives an empty one */

static inline bool text_is_digit(char c)
{
	return c >= '0' && c <= '9';
}
static inline bool text_is_alpha(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}
static inline bool text_is_alnum(char c)
{
	return text_is_digit(c) || text_is_alpha(c);
}
/** A character of a token (RFC 3261 25.1). */
bool text_is_token_char(char c);
/** 1 to max characters of a token. */
bool text_is_token(const char *text, size_t max);
/** Up to max printable ASCII characters or valid UTF-8, no control. */
bool text_is_plain(const char *text, size_t max);
/** An IP address, or a DNS name of at most 253 characters. */
bool text_is_host(const char *host);
/** Equal without regard to ASCII case. */
bool text_equal(const char *a, const char *b);
/** Does name stand in text, without regard to ASCII case, as a word of its own:
 * not within a longer label? An empty one does not. */
bool text_has_name(const char *text, const char *name);
/** Value of a hexadecimal digit, or -1. */
int text_hex(char c);

bool span_is(struct span s, const char *text); /* exactly */
/** The same as span_is_word(), slower where the first letters differ. */
bool span_is_word_after(struct span s, const char *text);
/** Equal without regard to ASCII case. */
static inline bool span_is_word(struct span s, const char *text)
{
	/* Lists are searched with this: most words differ at once. */
	if (s.len && ((s.at[0] ^ text[0]) & ~0x20))
		return false;
	return span_is_word_after(s, text);
}
/** The rest behind prefix. @return whether s began with it (case counts). */
static inline bool span_skip(struct span *s, const char *prefix)
{
	size_t len = strlen(prefix); /* known where this is inlined */

	if (s->len < len || memcmp(s->at, prefix, len))
		return false;
	s->at += len;
	s->len -= len;
	return true;
}
/** Takes blanks off both ends. */
struct span span_trim(struct span s);
/** Takes the piece before the next separator (all of it if there is none) off
 * rest. @return false at the end. */
bool span_next(struct span *rest, char separator, struct span *piece_out);
/** Takes the next word off rest; words are separated by any blanks. */
bool span_take_word(struct span *rest, struct span *word_out);
/** A decimal number of at most max, digits only.
 * @return 0, ERR_INVALID, or ERR_TOO_BIG. */
GH_MUST_CHECK int span_number(struct span s, uint64_t max, uint64_t *out);
/** Copies with a terminator. @return 0, or ERR_TOO_BIG. */
GH_MUST_CHECK int span_copy(struct span s, char *out, size_t size);

/** A text that grows in a fixed buffer and remembers that it did not fit. */
struct writer {
	char *text;
	size_t size;
	size_t len; /* without the terminator */
	bool over;
};

/** @param size at least 1. */
void writer_init(struct writer *w, char *text, size_t size);
void writer_add(struct writer *w, const char *fmt, ...) GH_PRINTF(2, 3);
/** In decimal. */
void writer_add_number(struct writer *w, unsigned long long n);
void writer_add_char(struct writer *w, char c);
void writer_add_span(struct writer *w, struct span s);
void writer_add_text(struct writer *w, const char *text);

#endif
