/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The scanner walks each byte once: `scanned` remembers the start of the line
 * that is not complete yet, so a peer that sends byte by byte costs no more
 * than one that sends whole messages (only that one line is searched again).
 *
 * Strict where laxness would let two readers see different messages: a header
 * without a colon, a Content-Length that is no plain number, that is missing
 * (RFC 3261 20.14: required on streams) or that stands twice with different
 * values ends the connection, and so do a carriage return inside a line, a NUL
 * in the header, and a header name that is no token.
 */
#include "flowd/frame.h"

#include <string.h>
#include <strings.h>

#define FRAME_LENGTH_DIGITS_MAX 9

static bool frame_is_space(uint8_t c)
{
	return c == ' ' || c == '\t';
}

/* Is this header name Content-Length or its compact form? */
static bool frame_is_length(const uint8_t *name, size_t len)
{
	static const char full[] = "content-length";

	if (len == 1)
		return (name[0] | 0x20) == 'l';
	return len == sizeof(full) - 1 &&
	       strncasecmp((const char *)name, full, len) == 0;
}

/* Reads the value behind the colon. @return 0 or ERR_INVALID. */
static int frame_read_length(
	const uint8_t *p, const uint8_t *end, size_t *value_out)
{
	size_t value = 0, n = 0;

	while (p < end && frame_is_space(*p))
		p++;
	for (; p < end && *p >= '0' && *p <= '9'; p++) {
		if (++n > FRAME_LENGTH_DIGITS_MAX)
			return ERR_INVALID;
		value = value * 10 + (size_t)(*p - '0');
	}
	while (p < end && frame_is_space(*p))
		p++;
	if (n == 0 || p != end)
		return ERR_INVALID;
	*value_out = value;
	return 0;
}

/* Characters of a header name (RFC 3261 25.1 token). Anything else in front of
 * the colon would be read by one parser and overlooked by another. */
static bool frame_is_name(const uint8_t *name, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		uint8_t c = name[i];

		if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
			(c >= '0' && c <= '9') || strchr("-.!%*_+`'~", c))
			continue;
		return false;
	}
	return len > 0;
}

/* One header line without its CRLF. @return MESSAGE, LENGTH or BROKEN. */
static enum frame_event frame_read_line(
	struct frame *f, const uint8_t *line, size_t len, bool *has_length)
{
	const uint8_t *colon = memchr(line, ':', len);
	size_t name_len, value;

	if (!colon)
		return FRAME_BROKEN;
	name_len = (size_t)(colon - line);
	while (name_len > 0 && frame_is_space(line[name_len - 1]))
		name_len--;
	if (!frame_is_name(line, name_len))
		return FRAME_BROKEN;
	if (!frame_is_length(line, name_len))
		return FRAME_MESSAGE;
	if (frame_read_length(colon + 1, line + len, &value))
		return FRAME_LENGTH;
	if (*has_length && value != f->body_len)
		return FRAME_LENGTH;
	*has_length = true;
	f->body_len = value;
	return FRAME_MESSAGE;
}

static size_t frame_count_separators(const uint8_t *bytes, size_t len)
{
	size_t n = 0;

	for (size_t i = 0; i < len; i++)
		n += bytes[i] == ',' || bytes[i] == ';';
	return n;
}

/* A complete header of f->header_len bytes: every line, folded ones joined to
 * the line that they continue. A broken line counts more than a bad length,
 * wherever it stands: the answer to a bad length needs a good header. */
static enum frame_event frame_read_header(struct frame *f, const uint8_t *bytes)
{
	const uint8_t *end = bytes + f->header_len - 2;
	const uint8_t *line = memchr(bytes, '\n', f->header_len);
	enum frame_event verdict = FRAME_MESSAGE;
	bool has_length = false;

	/* A fold would continue the start line. */
	if (frame_is_space(line[1]))
		return FRAME_BROKEN;
	for (line = line + 1; line < end;) {
		const uint8_t *stop = line;
		enum frame_event event;

		/* A fold begins with white space (RFC 3261 7.3.1). A folded
		 * Content-Length is no plain number. */
		do {
			stop = memchr(stop, '\n', (size_t)(end - stop));
			if (!stop)
				return FRAME_BROKEN;
			stop++;
		} while (stop < end && frame_is_space(*stop));
		event = frame_read_line(
			f, line, (size_t)(stop - line - 2), &has_length);
		if (event == FRAME_BROKEN)
			return FRAME_BROKEN;
		if (event == FRAME_LENGTH)
			verdict = FRAME_LENGTH;
		line = stop;
	}
	return has_length ? verdict : FRAME_LENGTH;
}

/* A line or its beginning. A carriage return stands only before the line feed:
 * some readers end a line at it. */
static bool frame_line_is_good(const uint8_t *line, size_t len, bool whole)
{
	const uint8_t *cr;

	if (memchr(line, '\0', len))
		return false;
	cr = memchr(line, '\r', len);
	if (!whole)
		return !cr || cr == line + len - 1;
	return len >= 2 && cr == line + len - 2;
}

/* Looks for the empty line within the first header_max bytes, so that the
 * verdict never depends on how much has arrived. @return MESSAGE once
 * header_len is known. */
static enum frame_event frame_scan_header(struct frame *f,
	const struct frame_limits *limits, const uint8_t *bytes, size_t len)
{
	size_t end = len < limits->header_max ? len : limits->header_max;

	while (f->scanned < end) {
		const uint8_t *line = bytes + f->scanned;
		const uint8_t *lf = memchr(line, '\n', end - f->scanned);
		size_t line_len =
			lf ? (size_t)(lf - line) + 1 : end - f->scanned;

		if (!frame_line_is_good(line, line_len, lf != NULL))
			return FRAME_BROKEN;
		if (!lf)
			break;
		f->scanned += line_len;
		if (line_len == 2) {
			f->header_len = f->scanned;
			return FRAME_MESSAGE;
		}
		if (++f->n_lines > limits->n_lines_max)
			return FRAME_TOO_BIG;
	}
	return len >= limits->header_max ? FRAME_TOO_BIG : FRAME_MORE;
}

/* Between messages: CRLF CRLF is a ping, one CRLF a pong (RFC 5626 4.4.1). */
static enum frame_event frame_keep_alive(
	const uint8_t *bytes, size_t len, size_t *consumed_out)
{
	if (len >= 4 && memcmp(bytes, "\r\n\r\n", 4) == 0) {
		*consumed_out = 4;
		return FRAME_PING;
	}
	if (!frame_is_begun(bytes, len))
		return FRAME_MORE;
	if (bytes[1] != '\n')
		return FRAME_BROKEN;
	*consumed_out = 2;
	return FRAME_PONG;
}

bool frame_is_begun(const uint8_t *bytes, size_t len)
{
	return len > 0 && memcmp(bytes, "\r\n\r\n", len < 4 ? len : 4) != 0;
}

enum frame_event frame_next(struct frame *f, const struct frame_limits *limits,
	const uint8_t *bytes, size_t len, size_t *consumed_out)
{
	enum frame_event event;

	*consumed_out = 0;
	if (f->done)
		memset(f, 0, sizeof(*f));
	if (len == 0)
		return FRAME_MORE;
	if (f->scanned == 0 && bytes[0] == '\r')
		return frame_keep_alive(bytes, len, consumed_out);
	if (f->header_len == 0) {
		event = frame_scan_header(f, limits, bytes, len);
		if (event != FRAME_MESSAGE)
			return event;
		/* A start line and one header at least. */
		if (f->n_lines < 2)
			return FRAME_BROKEN;
		event = frame_read_header(f, bytes);
		if (event != FRAME_MESSAGE)
			return event;
		if (f->body_len > limits->body_max ||
			frame_count_separators(bytes, f->header_len) >
				limits->n_separators_max)
			return FRAME_TOO_BIG;
	}
	if (len - f->header_len < f->body_len)
		return FRAME_MORE;
	*consumed_out = f->header_len + f->body_len;
	f->done = true;
	return FRAME_MESSAGE;
}
