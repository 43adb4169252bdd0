/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cures_check_datagram(): what a datagram must look like before sofia-sip may
 * parse it. The scan reads lines as the library does (CR, LF and CRLF all end
 * a line; a line that begins with a blank continues the one before), so that
 * nothing is a Via to the library that is none here. It is stricter: a Via
 * that it cannot read whole is refused, because the library would skip it and
 * answer to the next one.
 *
 * RFC 3261 7 (messages), 7.3.1 (folding), 7.3.3 (compact form), 20.42 (Via),
 * 25.1 (grammar). RFC 5118 4.5 (IPv6 in Via).
 */
#include <ctype.h>
#include <endian.h>
#include <string.h>
#include <strings.h>

#include "sbc/sofia_cures.h"

#define METHOD_LEN_MAX 32

/* What remains of a text. */
struct scan {
	const char *p;
	const char *end;
};

enum mandatory {
	HAS_VIA = 1,
	HAS_FROM = 2,
	HAS_TO = 4,
	HAS_CALL_ID = 8,
	HAS_CSEQ = 16,
	HAS_ALL = 31,
};

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* What a byte is. Every byte of every datagram is asked for. */
enum byte_kind {
	BYTE_TOKEN = 1,     /* RFC 3261 25.1 */
	BYTE_SEPARATOR = 2, /* the library makes an object of what follows */
	BYTE_CONTROL = 4,   /* no text; CR and LF among them */
};

static const uint8_t byte_kinds[256] = {
	[0 ... 8] = BYTE_CONTROL,
	[10 ... 31] = BYTE_CONTROL,
	[127] = BYTE_CONTROL,
	['0' ... '9'] = BYTE_TOKEN,
	['A' ... 'Z'] = BYTE_TOKEN,
	['a' ... 'z'] = BYTE_TOKEN,
	['-'] = BYTE_TOKEN,
	['.'] = BYTE_TOKEN,
	['!'] = BYTE_TOKEN,
	['%'] = BYTE_TOKEN,
	['*'] = BYTE_TOKEN,
	['_'] = BYTE_TOKEN,
	['+'] = BYTE_TOKEN,
	['`'] = BYTE_TOKEN,
	['\''] = BYTE_TOKEN,
	['~'] = BYTE_TOKEN,
	[','] = BYTE_SEPARATOR,
	[';'] = BYTE_SEPARATOR,
};

static unsigned kind_of(char c)
{
	return byte_kinds[(unsigned char)c];
}

static bool is_token(char c)
{
	return kind_of(c) == BYTE_TOKEN;
}

/* Length of the line ending at p: 0, 1 or 2. */
static size_t line_end(const char *p, const char *end)
{
	if (p == end)
		return 0;
	if (*p == '\n')
		return 1;
	if (*p == '\r')
		return p + 1 < end && p[1] == '\n' ? 2 : 1;
	return 0;
}

static void skip_blanks(struct scan *s)
{
	while (s->p < s->end && is_blank(*s->p))
		s->p++;
}

/* Folded once (LWS, RFC 3261 25.1): the library gives up a Via in which it
 * meets a line of nothing but blanks and would answer to the next one. */
static void skip_space(struct scan *s)
{
	size_t n;

	skip_blanks(s);
	n = line_end(s->p, s->end);
	if (n > 0 && s->p + n < s->end && is_blank(s->p[n])) {
		s->p += n;
		skip_blanks(s);
	}
}

static bool take(struct scan *s, char c)
{
	if (s->p == s->end || *s->p != c)
		return false;
	s->p++;
	return true;
}

static size_t take_token(struct scan *s)
{
	const char *from = s->p;

	while (s->p < s->end && is_token(*s->p))
		s->p++;
	return (size_t)(s->p - from);
}

static bool equals(const char *p, size_t len, const char *word)
{
	return strlen(word) == len && strncasecmp(p, word, len) == 0;
}

/* --------------------------------------------------------------- first line */

static enum reason check_status_line(const char *p, size_t len)
{
	if (len < 11 || strncasecmp(p, "SIP/2.0", 7) != 0)
		return REASON_ADMIT_VERSION;
	if (p[7] != ' ' || p[8] < '1' || p[8] > '6' ||
		!isdigit((unsigned char)p[9]) || !isdigit((unsigned char)p[10]))
		return REASON_ADMIT_GARBAGE;
	return len == 11 || p[11] == ' ' ? REASON_ADMIT_OK
					 : REASON_ADMIT_GARBAGE;
}

static enum reason check_request_line(const char *p, size_t len)
{
	struct scan s = {p, p + len};
	size_t method_len = take_token(&s);
	const char *uri = s.p + 1;
	const char *version;

	if (method_len == 0 || method_len > METHOD_LEN_MAX || !take(&s, ' '))
		return REASON_ADMIT_GARBAGE;
	version = memchr(uri, ' ', (size_t)(s.end - uri));
	if (!version || version == uri)
		return REASON_ADMIT_GARBAGE;
	version++;
	if (s.end - version < 4 || strncasecmp(version, "SIP/", 4) != 0)
		return REASON_ADMIT_GARBAGE;
	if (!equals(version, (size_t)(s.end - version), "SIP/2.0"))
		return REASON_ADMIT_VERSION;
	return REASON_ADMIT_OK;
}

/* ---------------------------------------------------------------------- Via */

static bool take_quoted(struct scan *s)
{
	if (!take(s, '"'))
		return false;
	while (s->p < s->end && *s->p != '"') {
		if (*s->p == '\\' && ++s->p == s->end)
			return false;
		s->p++;
	}
	return take(s, '"');
}

static bool take_host(struct scan *s)
{
	const char *from = s->p;

	if (take(s, '[')) {
		while (s->p < s->end && (isxdigit((unsigned char)*s->p) ||
						*s->p == ':' || *s->p == '.'))
			s->p++;
		return take(s, ']');
	}
	while (s->p < s->end && (isalnum((unsigned char)*s->p) ||
					(*s->p && strchr("-._", *s->p))))
		s->p++;
	return s->p > from;
}

static bool take_port(struct scan *s)
{
	unsigned long port = 0;

	while (s->p < s->end && isdigit((unsigned char)*s->p) && port <= 65535)
		port = port * 10 + (unsigned long)(*s->p++ - '0');
	return port > 0 && port <= 65535;
}

/* ";" name [ "=" value ] */
static enum reason take_via_param(struct scan *s)
{
	const char *name;
	size_t len;

	skip_space(s);
	name = s->p;
	len = take_token(s);
	if (len == 0)
		return REASON_ADMIT_SYNTAX;
	if (equals(name, len, "maddr"))
		return REASON_ADMIT_VIA_MADDR;
	skip_space(s);
	if (!take(s, '='))
		return REASON_ADMIT_OK;
	skip_space(s);
	if (s->p < s->end && *s->p == '"')
		return take_quoted(s) ? REASON_ADMIT_OK : REASON_ADMIT_SYNTAX;
	name = s->p;
	while (s->p < s->end &&
		(is_token(*s->p) || (*s->p && strchr("[]:", *s->p))))
		s->p++;
	return s->p > name ? REASON_ADMIT_OK : REASON_ADMIT_SYNTAX;
}

/* One via-parm. first: it is the topmost, to which answers go. */
static enum reason take_via(struct scan *s, bool first)
{
	const char *word;
	size_t len;

	skip_space(s);
	word = s->p;
	if (!equals(word, take_token(s), "SIP"))
		return REASON_ADMIT_SYNTAX;
	skip_space(s);
	if (!take(s, '/'))
		return REASON_ADMIT_SYNTAX;
	skip_space(s);
	word = s->p;
	if (!equals(word, take_token(s), "2.0"))
		return REASON_ADMIT_VERSION;
	skip_space(s);
	if (!take(s, '/'))
		return REASON_ADMIT_SYNTAX;
	skip_space(s);
	word = s->p;
	len = take_token(s);
	if (len == 0 || (first && !equals(word, len, "UDP")))
		return REASON_ADMIT_SYNTAX;
	if (s->p == s->end || isgraph((unsigned char)*s->p))
		return REASON_ADMIT_SYNTAX;
	skip_space(s);
	if (!take_host(s))
		return REASON_ADMIT_SYNTAX;
	skip_space(s);
	if (take(s, ':')) {
		skip_space(s);
		if (!take_port(s))
			return REASON_ADMIT_SYNTAX;
		skip_space(s);
	}
	while (take(s, ';')) {
		enum reason why = take_via_param(s);

		if (why != REASON_ADMIT_OK)
			return why;
		skip_space(s);
	}
	return REASON_ADMIT_OK;
}

static enum reason check_via(const char *p, const char *end, bool first)
{
	struct scan s = {p, end};

	do {
		enum reason why = take_via(&s, first);

		if (why != REASON_ADMIT_OK)
			return why;
		first = false;
	} while (take(&s, ','));
	return s.p == s.end ? REASON_ADMIT_OK : REASON_ADMIT_SYNTAX;
}

/* ------------------------------------------------------------------- headers
 */

/* In each byte of word that is b the top bit is set; above the first one bits
 * may be set that mean nothing. */
static inline uint64_t bytes_that_are(uint64_t word, uint8_t b)
{
	const uint64_t ones = 0x0101010101010101ull;
	uint64_t x = word ^ ones * b;

	return (x - ones) & ~x & ones * 0x80;
}

/* Goes over text that is neither a separator nor a control character, eight
 * bytes at a time: nearly all is, and every datagram is read here.
 * @return the first byte of another kind, or one of the last eight. */
static const char *skip_text(const char *p, const char *end)
{
	const uint64_t ones = 0x0101010101010101ull;

	while (end - p >= 8) {
		uint64_t word, found;

		memcpy(&word, p, sizeof(word));
		word = le64toh(word);
		/* Below 0x20, as above. */
		found = ((word - ones * 0x20) & ~word & ones * 0x80) |
			bytes_that_are(word, ',') | bytes_that_are(word, ';') |
			bytes_that_are(word, 0x7f);
		if (found)
			return p + __builtin_ctzll(found) / 8;
		p += 8;
	}
	return p;
}

/* Finds the end of the header field that begins at p, folded lines included,
 * and counts what sofia-sip makes objects of.
 * @return its end (before the last line ending), or NULL if it has none. */
static const char *field_end(const char *p, const char *end, size_t *lines,
	size_t *separators, const char **next_out)
{
	for (p = skip_text(p, end); p < end; p = skip_text(p + 1, end)) {
		unsigned kind = kind_of(*p);
		size_t n;

		if (kind != BYTE_CONTROL) {
			*separators += kind == BYTE_SEPARATOR;
			continue;
		}
		n = line_end(p, end);
		if (n == 0)
			return NULL;
		(*lines)++;
		if (p + n == end || !is_blank(p[n])) {
			*next_out = p + n;
			return p;
		}
	}
	return NULL;
}

static unsigned mandatory_bit(const char *name, size_t len)
{
	static const struct {
		const char *name;
		const char *compact;
		unsigned bit;
	} rows[] = {
		{"Via", "v", HAS_VIA},
		{"From", "f", HAS_FROM},
		{"To", "t", HAS_TO},
		{"Call-ID", "i", HAS_CALL_ID},
		{"CSeq", "CSeq", HAS_CSEQ},
	};

	if (len == 0 || !strchr("vftcVFTCiI", name[0]))
		return 0;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (equals(name, len, rows[i].name) ||
			equals(name, len, rows[i].compact))
			return rows[i].bit;
	return 0;
}

static enum reason check_headers(const char *p, const char *end)
{
	size_t lines = 0, separators = 0;
	unsigned has = 0;

	while (line_end(p, end) == 0) {
		struct scan s = {p, end};
		const char *next = NULL;
		const char *stop =
			field_end(p, end, &lines, &separators, &next);
		size_t name_len = take_token(&s);
		unsigned bit = mandatory_bit(p, name_len);

		if (!stop || name_len == 0)
			return REASON_ADMIT_SYNTAX;
		if (lines > CURES_LINES_MAX ||
			separators > CURES_SEPARATORS_MAX)
			return REASON_ADMIT_TOO_BIG;
		while (s.p < stop && is_blank(*s.p))
			s.p++;
		if (s.p == stop || *s.p != ':')
			return REASON_ADMIT_SYNTAX;
		if (bit == HAS_VIA) {
			enum reason why =
				check_via(s.p + 1, stop, !(has & HAS_VIA));

			if (why != REASON_ADMIT_OK)
				return why;
		}
		has |= bit;
		p = next;
		if (p == end)
			return REASON_ADMIT_SYNTAX;
	}
	return has == HAS_ALL ? REASON_ADMIT_OK : REASON_ADMIT_SYNTAX;
}

enum reason cures_check_datagram(const uint8_t *bytes, size_t len)
{
	const char *p = (const char *)bytes;
	const char *end = p + len;
	const char *stop;
	enum reason why;

	if (len > CURES_DATAGRAM_MAX)
		return REASON_ADMIT_TOO_BIG;
	while (p < end && line_end(p, end) > 0)
		p += line_end(p, end);
	if (p == end)
		return REASON_NONE;
	if (!isalpha((unsigned char)*p))
		return REASON_ADMIT_GARBAGE;
	for (stop = p; stop < end && line_end(stop, end) == 0; stop++)
		if ((unsigned char)*stop < ' ' || *stop == 0x7f)
			return REASON_ADMIT_GARBAGE;
	if (stop == end)
		return REASON_ADMIT_GARBAGE;
	if (stop - p >= 4 && strncasecmp(p, "SIP/", 4) == 0)
		why = check_status_line(p, (size_t)(stop - p));
	else
		why = check_request_line(p, (size_t)(stop - p));
	if (why != REASON_ADMIT_OK)
		return why;
	p = stop + line_end(stop, end);
	/* The library skips blanks here and would read a Via that looks folded
	 * into the first line. */
	if (p == end || is_blank(*p))
		return REASON_ADMIT_SYNTAX;
	return check_headers(p, end);
}
