/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The scanner walks each byte once: `scanned` remembers the start of the line
 * that is not complete yet, so a peer that sends byte by byte costs no more
 * than one that sends whole messages (only that one line is searched again).
 *
 * Strict where laxness would let two readers see different messages: a header
 * without a colon, a Content-Length that is no plain number, that is missing
 * (RFC 3261 20.14: required on streams) or that stands twice with different
 * values ends the connection.
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

/* One header line without its CRLF. @return 0 or ERR_INVALID. */
static int frame_read_line(
	struct frame *f, const uint8_t *line, size_t len, bool *has_length)
{
	const uint8_t *colon = memchr(line, ':', len);
	size_t name_len, value;

	if (!colon)
		return ERR_INVALID;
	name_len = (size_t)(colon - line);
	while (name_len > 0 && frame_is_space(line[name_len - 1]))
		name_len--;
	if (name_len == 0)
		return ERR_INVALID;
	if (!frame_is_length(line, name_len))
		return 0;
	if (frame_read_length(colon + 1, line + len, &value))
		return ERR_INVALID;
	if (*has_length && value != f->body_len)
		return ERR_INVALID;
	*has_length = true;
	f->body_len = value;
	return 0;
}

/* A complete header of f->header_len bytes: every line, folded ones joined to
 * the line that they continue. @return 0 or ERR_INVALID. */
static int frame_read_header(struct frame *f, const uint8_t *bytes)
{
	const uint8_t *end = bytes + f->header_len - 2;
	const uint8_t *line = memchr(bytes, '\n', f->header_len);
	bool has_length = false;

	for (line = line + 1; line < end;) {
		const uint8_t *stop = line;
		int err;

		/* A fold begins with white space (RFC 3261 7.3.1). A folded
		 * Content-Length is no plain number, hence refused above. */
		do {
			stop = memchr(stop, '\n', (size_t)(end - stop));
			if (!stop)
				return ERR_INVALID;
			stop++;
		} while (stop < end && frame_is_space(*stop));
		err = frame_read_line(
			f, line, (size_t)(stop - line - 2), &has_length);
		if (err)
			return err;
		line = stop;
	}
	return has_length ? 0 : ERR_INVALID;
}

/* Looks for the empty line. @return true once header_len is known. */
static enum frame_event frame_scan_header(struct frame *f,
	const struct frame_limits *limits, const uint8_t *bytes, size_t len)
{
	while (f->scanned < len) {
		const uint8_t *line = bytes + f->scanned;
		const uint8_t *lf = memchr(line, '\n', len - f->scanned);
		size_t line_len;

		if (memchr(line, '\0',
			    lf ? (size_t)(lf - line) : len - f->scanned))
			return FRAME_BROKEN;
		if (!lf)
			break;
		line_len = (size_t)(lf - line) + 1;
		if (line_len < 2 || line[line_len - 2] != '\r')
			return FRAME_BROKEN;
		f->scanned += line_len;
		if (line_len == 2) {
			f->header_len = f->scanned;
			break;
		}
		if (++f->n_lines > limits->n_lines_max)
			return FRAME_TOO_BIG;
	}
	if (f->header_len > limits->header_max ||
		(f->header_len == 0 && len >= limits->header_max))
		return FRAME_TOO_BIG;
	return f->header_len ? FRAME_MESSAGE : FRAME_MORE;
}

enum frame_event frame_next(struct frame *f, const struct frame_limits *limits,
	const uint8_t *bytes, size_t len, size_t *consumed_out)
{
	enum frame_event event;

	*consumed_out = 0;
	if (len == 0)
		return FRAME_MORE;
	if (f->scanned == 0 && bytes[0] == '\r') {
		if (len >= 4 && memcmp(bytes, "\r\n\r\n", 4) == 0) {
			*consumed_out = 4;
			return FRAME_PING;
		}
		if (memcmp(bytes, "\r\n\r\n", len < 4 ? len : 4) == 0)
			return FRAME_MORE;
		if (len >= 2 && bytes[1] == '\n') {
			*consumed_out = 2;
			return FRAME_PONG;
		}
		return FRAME_BROKEN;
	}
	if (f->header_len == 0) {
		event = frame_scan_header(f, limits, bytes, len);
		if (event != FRAME_MESSAGE)
			return event;
		if (f->n_lines < 2 || frame_read_header(f, bytes))
			return FRAME_BROKEN;
		if (f->body_len > limits->body_max)
			return FRAME_TOO_BIG;
	}
	if (len - f->header_len < f->body_len)
		return FRAME_MORE;
	*consumed_out = f->header_len + f->body_len;
	memset(f, 0, sizeof(*f));
	return FRAME_MESSAGE;
}
