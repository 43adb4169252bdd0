// SPDX-License-Identifier: Apache-2.0
/*
 * The small tools with which texts are read and written in sdp, hdr, route and
 * settings. Nothing here knows a protocol but for the few character classes of
 * RFC 3261 25.1. A writer that overflows goes on counting nothing and keeps
 * what it had: the one who writes asks once at the end.
 */
#include "sbc/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/addr.h"
#include "sbc/utf8.h"

static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

struct span span_of(const char *text)
{
	return (struct span){text, text ? strlen(text) : 0};
}

bool text_is_token_char(char c)
{
	return text_is_alnum(c) || (c && strchr("-.!%*_+`'~", c));
}

bool text_is_token(const char *text, size_t max)
{
	size_t n = 0;

	for (; text[n]; n++)
		if (n == max || !text_is_token_char(text[n]))
			return false;
	return n > 0;
}

bool text_is_plain(const char *text, size_t max)
{
	size_t len = strnlen(text, max + 1);

	return len <= max && utf8_is_plain(text, len);
}

static bool is_label(struct span s)
{
	if (!s.len || s.len > 63)
		return false;
	for (size_t i = 0; i < s.len; i++)
		if (!text_is_alnum(s.at[i]) && s.at[i] != '-' && s.at[i] != '_')
			return false;
	return s.at[0] != '-' && s.at[s.len - 1] != '-';
}

bool text_is_host(const char *host)
{
	struct addr addr;
	struct span rest, label = {0};
	size_t len = strnlen(host, 255);

	if (!len || len > 254)
		return false;
	if (!addr_parse(host, &addr))
		return addr.port == 0 && !strchr(host, '[');
	if (host[len - 1] == '.') /* a name may say that it is complete */
		len--;
	if (len > 253 || (len && host[len - 1] == '.'))
		return false;
	rest = (struct span){host, len};
	while (span_next(&rest, '.', &label))
		if (!is_label(label))
			return false;
	/* A name whose last label is a number is a broken address. */
	return label.len && !text_is_digit(label.at[0]);
}

static bool is_label_char(char c)
{
	return text_is_alnum(c) || c == '-';
}

bool text_has_name(const char *text, const char *name)
{
	size_t len = strlen(name), n = strlen(text);

	for (size_t i = 0; len && i + len <= n; i++)
		if ((i == 0 || !is_label_char(text[i - 1])) &&
			!is_label_char(text[i + len]) &&
			span_is_word((struct span){text + i, len}, name))
			return true;
	return false;
}

bool text_equal(const char *a, const char *b)
{
	return span_is_word(span_of(a), b);
}

int text_hex(char c)
{
	if (text_is_digit(c))
		return c - '0';
	if (lower(c) >= 'a' && lower(c) <= 'f')
		return lower(c) - 'a' + 10;
	return -1;
}

bool span_is(struct span s, const char *text)
{
	size_t len = strlen(text);

	return s.len == len && (!len || !memcmp(s.at, text, len));
}

bool span_is_word_after(struct span s, const char *text)
{
	for (size_t i = 0; i < s.len; i++)
		if (!text[i] || lower(s.at[i]) != lower(text[i]))
			return false;
	return !text[s.len];
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

struct span span_trim(struct span s)
{
	while (s.len && is_blank(s.at[0])) {
		s.at++;
		s.len--;
	}
	while (s.len && is_blank(s.at[s.len - 1]))
		s.len--;
	return s;
}

bool span_next(struct span *rest, char separator, struct span *piece_out)
{
	const char *end;

	if (!rest->at)
		return false;
	end = rest->len ? memchr(rest->at, separator, rest->len) : NULL;
	if (!end) {
		*piece_out = *rest;
		*rest = (struct span){NULL, 0};
		return true;
	}
	*piece_out = (struct span){rest->at, (size_t)(end - rest->at)};
	rest->len -= piece_out->len + 1;
	rest->at = end + 1;
	return true;
}

bool span_take_word(struct span *rest, struct span *word_out)
{
	struct span s = span_trim(*rest);
	size_t n = 0;

	if (!s.len)
		return false;
	while (n < s.len && !is_blank(s.at[n]))
		n++;
	*word_out = (struct span){s.at, n};
	*rest = (struct span){s.at + n, s.len - n};
	return true;
}

int span_number(struct span s, uint64_t max, uint64_t *out)
{
	uint64_t n = 0;

	if (!s.len)
		return ERR_INVALID;
	for (size_t i = 0; i < s.len; i++) {
		unsigned digit = (unsigned)(s.at[i] - '0');

		if (!text_is_digit(s.at[i]))
			return ERR_INVALID;
		if (n > (UINT64_MAX - digit) / 10 || n * 10 + digit > max)
			return ERR_TOO_BIG;
		n = n * 10 + digit;
	}
	*out = n;
	return 0;
}

int span_copy(struct span s, char *out, size_t size)
{
	if (s.len >= size)
		return ERR_TOO_BIG;
	if (s.len)
		memcpy(out, s.at, s.len);
	out[s.len] = '\0';
	return 0;
}

void writer_init(struct writer *w, char *text, size_t size)
{
	*w = (struct writer){.text = text, .size = size};
	text[0] = '\0';
}

/* Nearly all that is written here: text, %s, %u and %llu. @return false for
 * anything else; some of it may have been written then. */
static bool add_plain(struct writer *w, const char *fmt, va_list args)
{
	while (*fmt != '\0') {
		size_t len = strcspn(fmt, "%");

		writer_add_span(w, (struct span){fmt, len});
		fmt += len;
		if (*fmt == '\0')
			return true;
		if (fmt[1] == 's')
			writer_add_text(w, va_arg(args, const char *));
		else if (fmt[1] == 'u')
			writer_add_number(w, va_arg(args, unsigned));
		else if (strncmp(fmt + 1, "llu", 3) == 0)
			writer_add_number(w, va_arg(args, unsigned long long));
		else
			return false;
		fmt += fmt[1] == 'l' ? 4 : 2;
	}
	return true;
}

/* A description was 21,000 instructions in vsnprintf(), and is 6,000. */
void writer_add(struct writer *w, const char *fmt, ...)
{
	size_t before = w->len;
	bool done;
	va_list args;
	int n;

	if (w->over)
		return;
	va_start(args, fmt);
	done = add_plain(w, fmt, args);
	va_end(args);
	if (!done) {
		w->len = before;
		w->over = false;
		va_start(args, fmt);
		n = vsnprintf(w->text + before, w->size - before, fmt, args);
		va_end(args);
		w->over = n < 0 || (size_t)n >= w->size - before;
		if (!w->over)
			w->len = before + (size_t)n;
	}
	/* All of it or nothing. */
	if (w->over) {
		w->len = before;
		w->text[before] = '\0';
	}
}

void writer_add_number(struct writer *w, unsigned long long n)
{
	char digits[3 * sizeof n];
	size_t at = sizeof digits;

	do
		digits[--at] = (char)('0' + n % 10);
	while ((n /= 10) != 0);
	writer_add_span(w, (struct span){digits + at, sizeof digits - at});
}

void writer_add_char(struct writer *w, char c)
{
	writer_add_span(w, (struct span){&c, 1});
}

void writer_add_span(struct writer *w, struct span s)
{
	if (w->over || !s.len)
		return;
	if (s.len >= w->size - w->len) {
		w->over = true;
		return;
	}
	memcpy(w->text + w->len, s.at, s.len);
	w->len += s.len;
	w->text[w->len] = '\0';
}

void writer_add_text(struct writer *w, const char *text)
{
	writer_add_span(w, (struct span){text, strlen(text)});
}
