/* SPDX-License-Identifier: Apache-2.0 */
/* flowd/frame.h: the same messages for any chunking, limits, lies. */
#include <stdio.h>
#include <string.h>

#include "flowd/frame.h"
#include "suite.h"

static const struct frame_limits limits = {600, 300, 20, 60};

#define HEAD "OPTIONS sip:a@b SIP/2.0\r\nVia: SIP/2.0/TCP x\r\n"

/* What came out of a stream: a word per event, with a message's length. */
struct result {
	char text[512];
	bool ended;
};

static void note(struct result *r, const char *word, size_t n)
{
	size_t len = strlen(r->text);

	snprintf(r->text + len, sizeof(r->text) - len, "%s%zu ", word, n);
}

/* Gives the first `len` bytes of a buffer to the framing as flow.c does. */
static size_t drain(
	struct frame *f, struct result *r, const uint8_t *bytes, size_t len)
{
	size_t at = 0;

	while (at < len && !r->ended) {
		size_t n = 0;

		switch (frame_next(f, &limits, bytes + at, len - at, &n)) {
		case FRAME_MORE:
			ck_assert_uint_eq(n, 0);
			return at;
		case FRAME_MESSAGE:
			ck_assert_uint_gt(f->header_len, 0);
			ck_assert_uint_le(f->header_len, n);
			ck_assert_mem_eq(
				bytes + at + f->header_len - 4, "\r\n\r\n", 4);
			note(r, "m", n);
			break;
		case FRAME_PING:
			note(r, "ping", 0);
			break;
		case FRAME_PONG:
			note(r, "pong", 0);
			break;
		case FRAME_TOO_BIG:
			note(r, "big", 0);
			r->ended = true;
			return len;
		case FRAME_LENGTH:
			note(r, "length", f->header_len);
			r->ended = true;
			return len;
		default:
			note(r, "broken", 0);
			r->ended = true;
			return len;
		}
		at += n;
	}
	return at;
}

/* The stream in pieces that end at a and b. */
static void run_split(
	const char *stream, size_t len, size_t a, size_t b, struct result *r)
{
	const size_t ends[] = {a, b, len};
	uint8_t *copy = malloc(len ? len : 1);
	struct frame f = {0};
	size_t start = 0;

	memset(r, 0, sizeof(*r));
	/* An own copy of exactly the bytes that have arrived: reading past
	 * them is seen. */
	for (unsigned i = 0; i < 3 && !r->ended; i++) {
		uint8_t *part = malloc(ends[i] - start ? ends[i] - start : 1);
		size_t n = ends[i] - start;

		memcpy(part, stream + start, n);
		start += drain(&f, r, part, n);
		free(part);
	}
	free(copy);
}

static void expect(const char *stream, size_t len, const char *want)
{
	struct result r;

	for (size_t a = 0; a <= len; a++)
		for (size_t b = a; b <= len; b += 1 + len / 40) {
			run_split(stream, len, a, b, &r);
			if (strcmp(r.text, want) != 0)
				ck_abort_msg("split %zu %zu of \"%s\": %s, not "
					     "%s",
					a, b, stream, r.text, want);
		}
	/* Byte by byte. */
	struct frame f = {0};
	size_t start = 0;

	memset(&r, 0, sizeof(r));
	for (size_t end = 1; end <= len && !r.ended; end++) {
		uint8_t *part = malloc(end - start);

		memcpy(part, stream + start, end - start);
		start += drain(&f, &r, part, end - start);
		free(part);
	}
	ck_assert_str_eq(r.text, want);
}

static void expect_text(const char *stream, const char *want)
{
	expect(stream, strlen(stream), want);
}

START_TEST(test_messages)
{
	char want[64];
	const char *one = HEAD "Content-Length: 0\r\n\r\n";
	const char *body =
		HEAD "l:5\r\nX: y\r\n\r\nab\r\n\r"
		     "SIP/2.0 200 OK\r\ncontent-length \t: 3 \r\n\r\n"
		     "\r\n\r";

	snprintf(want, sizeof(want), "m%zu ", strlen(one));
	expect_text(one, want);
	snprintf(want, sizeof(want), "m%zu m%zu ", sizeof(HEAD) - 1 + 18,
		strlen(body) - (sizeof(HEAD) - 1 + 18));
	expect_text(body, want);
}
END_TEST

START_TEST(test_keep_alives)
{
	char want[96];
	const char *one = HEAD "l: 0\r\n\r\n";
	char stream[256];

	expect_text("\r\n\r\n", "ping0 ");
	expect_text("\r\n\r\n\r\n\r\n", "ping0 ping0 ");
	/* One alone waits for what follows. */
	expect_text("\r\n", "");
	expect_text("\r", "");
	expect_text("\r\n\r", "");
	expect_text("\r\n\r\n\r\n", "ping0 ");
	snprintf(stream, sizeof(stream), "\r\n%s\r\n\r\n%s", one, one);
	snprintf(want, sizeof(want), "pong0 m%zu ping0 m%zu ", strlen(one),
		strlen(one));
	expect_text(stream, want);
	expect_text("\rX", "broken0 ");
	expect_text("\r\n\rX", "pong0 broken0 ");
	expect_text("\n", "broken0 ");
	ck_assert(!frame_is_begun((const uint8_t *)"\r\n\r", 3));
	ck_assert(!frame_is_begun((const uint8_t *)"\r", 1));
	ck_assert(!frame_is_begun((const uint8_t *)"", 0));
	ck_assert(frame_is_begun((const uint8_t *)"O", 1));
	ck_assert(frame_is_begun((const uint8_t *)"\rO", 2));
}
END_TEST

/* A length that two readers could understand differently. */
START_TEST(test_lengths)
{
	static const char *const bad[] = {"Content-Length: -1\r\n",
		"Content-Length: 1 2\r\n", "Content-Length: 0x5\r\n",
		"Content-Length: +5\r\n", "Content-Length:\r\n",
		"Content-Length: 5,5\r\n", "Content-Length: 5;x\r\n",
		"Content-Length: 4294967296000\r\n",
		"Content-Length: 18446744073709551617\r\n",
		"Content-Length: 5\r\nl: 6\r\n",
		"l: 6\r\nContent-Length: 5\r\n", "Content-Length:\r\n 5\r\n",
		"Content-Length: 5\r\n 6\r\n", "X: y\r\n"};
	char stream[512], want[64];

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		snprintf(stream, sizeof(stream), HEAD "%s\r\nhello", bad[i]);
		snprintf(want, sizeof(want), "length%zu ", strlen(stream) - 5);
		expect_text(stream, want);
	}
	/* Twice the same is one. */
	snprintf(stream, sizeof(stream),
		HEAD "l: 5\r\nContent-Length: 005\r\n\r\nhello");
	snprintf(want, sizeof(want), "m%zu ", strlen(stream));
	expect_text(stream, want);
	/* In a fold it is no header. */
	expect_text(HEAD "X: y\r\n l: 0\r\nl: 0\r\n\r\n", "m66 ");
}
END_TEST

START_TEST(test_broken)
{
	static const char *const bad[] = {
		"GET / HTTP/1.1\r\n\r\n",
		HEAD "no colon\r\nl: 0\r\n\r\n",
		HEAD ": x\r\nl: 0\r\n\r\n",
		HEAD "a b: x\r\nl: 0\r\n\r\n",
		HEAD "a\x0b: x\r\nl: 0\r\n\r\n",
		HEAD "X: y\nl: 0\r\n\r\n",
		HEAD "X: y\rz\r\nl: 0\r\n\r\n",
		HEAD "X: y\r\r\nl: 0\r\n\r\n",
		"OPTIONS sip:a SIP/2.0\r\n fold\r\nl: 0\r\n\r\n",
		HEAD "Content-Length\r\n : 0\r\n\r\n",
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		expect_text(bad[i], "broken0 ");
	expect("OPTIONS\0 x\r\nl: 0\r\n\r\n", 21, "broken0 ");
	expect(HEAD "X\0: y\r\nl: 0\r\n\r\n", sizeof(HEAD) + 14, "broken0 ");
	/* In a body every byte is data. */
	expect(HEAD "l: 4\r\n\r\n\0\n\r\0", sizeof(HEAD) - 1 + 12, "m57 ");
	/* HTTP with headers is broken at its missing length. */
	expect_text("GET / HTTP/1.1\r\nHost: x\r\n\r\n", "length27 ");
}
END_TEST

START_TEST(test_limits)
{
	char stream[2048], want[64];
	size_t n;

	/* A header of exactly the limit, and one byte more. */
	n = (size_t)snprintf(stream, sizeof(stream), HEAD "X: ");
	memset(stream + n, 'y', 1024);
	memcpy(stream + 600 - 10, "\r\nl: 0\r\n\r\n", 11);
	ck_assert_uint_eq(strlen(stream), 600);
	expect_text(stream, "m600 ");
	memset(stream + n, 'y', 1024);
	memcpy(stream + 601 - 10, "\r\nl: 0\r\n\r\n", 11);
	expect_text(stream, "big0 ");
	/* A line that never ends. */
	memset(stream, 'x', sizeof(stream) - 1);
	stream[sizeof(stream) - 1] = '\0';
	expect_text(stream, "big0 ");
	/* Too many lines. */
	n = (size_t)snprintf(stream, sizeof(stream), HEAD "l: 0\r\n");
	for (unsigned i = 0; i < 18; i++)
		n += (size_t)snprintf(stream + n, sizeof(stream) - n, "a:\r\n");
	snprintf(stream + n, sizeof(stream) - n, "\r\n");
	expect_text(stream, "big0 ");
	/* Lists that are cheap to write and dear to read. */
	expect_text(HEAD "X: ,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,"
			 ";;;;;;;;;;;;;;;;;;;;;\r\nl: 0\r\n\r\n",
		"big0 ");
	/* A body at the limit, and above: refused before a byte of it. */
	n = (size_t)snprintf(
		stream, sizeof(stream), HEAD "l: 300\r\n\r\n%0300d", 0);
	snprintf(want, sizeof(want), "m%zu ", n);
	expect_text(stream, want);
	expect_text(HEAD "l: 301\r\n\r\n", "big0 ");
	expect_text(HEAD "l: 999999999\r\n\r\n", "big0 ");
}
END_TEST

int main(void)
{
	Suite *s = suite_create("frame");

	suite_add(s, "messages", test_messages);
	suite_add(s, "keep_alives", test_keep_alives);
	suite_add(s, "lengths", test_lengths);
	suite_add(s, "broken", test_broken);
	suite_add(s, "limits", test_limits);
	return suite_run(s);
}
