/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Copies the five headers that RFC 3261 8.2.6.2 wants, as they were sent; the
 * top Via gets received and rport. Nothing of it is ours but the To tag, so
 * nothing inside can be learned from it.
 */
#include "flowd/answer.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "common/ident.h"
#include "common/reason.h"
#include "flowd/via.h"

#define ANSWER_TAG_LEN 13

/* In the order in which the answer has them. */
static const struct wanted {
	const char *name;
	const char *compact;
} wanted[] = {
	{"From", "f"},
	{"To", "t"},
	{"Call-ID", "i"},
	{"CSeq", "CSeq"},
};
#define N_WANTED  (sizeof(wanted) / sizeof(wanted[0]))
#define WANTED_TO 1

struct line {
	const uint8_t *bytes;
	size_t len; /* with its CRLF, folds included */
};

struct output {
	uint8_t *bytes;
	size_t len, size;
	bool overflow;
};

static void put(struct output *o, const void *bytes, size_t len)
{
	if (o->overflow || len > o->size - o->len) {
		o->overflow = true;
		return;
	}
	memcpy(o->bytes + o->len, bytes, len);
	o->len += len;
}

static bool next_line(
	const uint8_t *bytes, size_t len, size_t *at, struct line *line_out)
{
	size_t end = *at;

	do {
		const uint8_t *lf = memchr(bytes + end, '\n', len - end);

		if (!lf)
			return false;
		end = (size_t)(lf - bytes) + 1;
	} while (end < len && (bytes[end] == ' ' || bytes[end] == '\t'));
	line_out->bytes = bytes + *at;
	line_out->len = end - *at;
	*at = end;
	return line_out->len > 2;
}

static bool line_is(const struct line *l, const char *name)
{
	size_t len = strlen(name);

	if (l->len <= len || strncasecmp((const char *)l->bytes, name, len))
		return false;
	while (len < l->len && (l->bytes[len] == ' ' || l->bytes[len] == '\t'))
		len++;
	return len < l->len && l->bytes[len] == ':';
}

static void put_vias(struct output *o, const uint8_t *bytes, size_t len,
	const struct via *top, const struct addr *peer)
{
	struct line line;
	size_t at = 0;
	int n;

	put(o, "Via: ", 5);
	n = via_answer(bytes, top, peer, o->bytes + o->len, o->size - o->len);
	if (n < 0) {
		o->overflow = true;
		return;
	}
	o->len += (size_t)n;
	/* The other values of its line, then the other lines. */
	put(o, bytes + top->value_end, top->line_end - top->value_end);
	while (next_line(bytes, len, &at, &line))
		if ((line_is(&line, "Via") || line_is(&line, "v")) &&
			line.bytes != bytes + top->line)
			put(o, line.bytes, line.len);
}

static bool has_tag(const struct line *to)
{
	static const char word[] = "tag";
	const uint8_t *end = to->bytes + to->len;

	/* Behind the closing bracket; a display name is no parameter. */
	for (const uint8_t *p = to->bytes; p < end; p++)
		if (*p == '>') {
			for (; p + sizeof(word) < end; p++)
				if (*p == ';' &&
					!strncasecmp((const char *)p + 1, word,
						sizeof(word) - 1))
					return true;
			return false;
		}
	return memmem(to->bytes, to->len, ";tag=", 5) != NULL;
}

static void put_to(struct output *o, const struct line *to)
{
	char tag[ANSWER_TAG_LEN + 1];

	if (has_tag(to)) {
		put(o, to->bytes, to->len);
		return;
	}
	ident_make_random(tag, ANSWER_TAG_LEN);
	put(o, to->bytes, to->len - 2);
	put(o, ";tag=", 5);
	put(o, tag, ANSWER_TAG_LEN);
	put(o, "\r\n", 2);
}

int answer_build(const uint8_t *bytes, size_t len, unsigned status,
	const struct addr *peer, uint8_t *out, size_t size)
{
	struct output o = {.bytes = out, .size = size};
	struct line found[N_WANTED] = {0}, line;
	char first[96];
	struct via top;
	size_t at = 0;

	if (via_is_response(bytes, len) || !next_line(bytes, len, &at, &line) ||
		(line.len > 4 && memcmp(line.bytes, "ACK ", 4) == 0))
		return ERR_STATE;
	while (next_line(bytes, len, &at, &line))
		for (size_t i = 0; i < N_WANTED; i++)
			if (!found[i].bytes &&
				(line_is(&line, wanted[i].name) ||
					line_is(&line, wanted[i].compact)))
				found[i] = line;
	for (size_t i = 0; i < N_WANTED; i++)
		if (!found[i].bytes)
			return ERR_INVALID;
	if (via_find(bytes, len, &top))
		return ERR_INVALID;
	put(&o, first,
		(size_t)snprintf(first, sizeof(first), "SIP/2.0 %u %s\r\n",
			status, reason_sip_phrase(status)));
	put_vias(&o, bytes, len, &top, peer);
	for (size_t i = 0; i < N_WANTED; i++)
		if (i == WANTED_TO)
			put_to(&o, &found[i]);
		else
			put(&o, found[i].bytes, found[i].len);
	put(&o, "Content-Length: 0\r\n\r\n", 21);
	return o.overflow ? ERR_TOO_BIG : (int)o.len;
}
