// SPDX-License-Identifier: Apache-2.0
/*
 * Bytes of a peer's connection: framing gives the same messages whether they
 * arrive at once, in two pieces or byte by byte, and each message survives the
 * Via surgery: what is pushed can be popped, what is replaced can be put back.
 */
#include <string.h>

#include "flowd/answer.h"
#include "flowd/frame.h"
#include "flowd/via.h"
#include "tests/fuzz/fuzz.h"

#define EVENTS_MAX 256
#define OUT_SIZE   (1 << 17)

static const struct frame_limits limits = {1024, 512, 40, 100};

struct event {
	enum frame_event kind;
	size_t start, len, header_len;
};

struct run {
	struct event events[EVENTS_MAX];
	size_t n;
	bool ended;
	struct frame frame;
	size_t start; /* of what has not been consumed */
};

/* Bytes up to `end` have arrived. */
static void take(struct run *r, const uint8_t *bytes, size_t end)
{
	/* A copy of just what there is: reading on is seen. */
	size_t have = end - r->start, at = 0;
	uint8_t *part = malloc(have ? have : 1);

	FUZZ_CHECK(part != NULL);
	memcpy(part, bytes + r->start, have);
	while (!r->ended && at < have && r->n < EVENTS_MAX) {
		size_t n = 0;
		enum frame_event kind = frame_next(
			&r->frame, &limits, part + at, have - at, &n);
		struct event *e = &r->events[r->n];

		if (kind == FRAME_MORE) {
			FUZZ_CHECK(n == 0);
			break;
		}
		r->n++;
		*e = (struct event){kind, r->start + at, n, 0};
		if (kind == FRAME_MESSAGE || kind == FRAME_LENGTH)
			e->header_len = r->frame.header_len;
		r->ended = kind != FRAME_MESSAGE && kind != FRAME_PING &&
			   kind != FRAME_PONG;
		FUZZ_CHECK(r->ended ? n == 0 : n > 0);
		FUZZ_CHECK(n <= have - at);
		at += n;
	}
	free(part);
	r->start += at;
}

static void check_same(const struct run *a, const struct run *b)
{
	FUZZ_CHECK(a->n == b->n);
	for (size_t i = 0; i < a->n; i++) {
		FUZZ_CHECK(a->events[i].kind == b->events[i].kind);
		FUZZ_CHECK(a->events[i].start == b->events[i].start);
		FUZZ_CHECK(a->events[i].len == b->events[i].len);
		FUZZ_CHECK(a->events[i].header_len == b->events[i].header_len);
	}
}

static void check_message(const uint8_t *m, size_t len, size_t header_len)
{
	static uint8_t a[OUT_SIZE], b[OUT_SIZE];
	static const char ours[] = "127.0.0.1:4000";
	char old[VIA_SENT_BY_SIZE], old_again[VIA_SENT_BY_SIZE];
	struct addr peer = {.family = AF_INET, .port = 5062, .ip = {192, 0, 2}};
	struct via v, pushed;
	int err = via_find(m, header_len, &v), n, k;

	FUZZ_CHECK(header_len <= len && header_len <= limits.header_max);
	FUZZ_CHECK(len - header_len <= limits.body_max);
	(void)!answer_build(m, header_len, 400, &peer, a, sizeof(a));
	n = via_push(m, len, header_len, ours, "x", &peer, a, sizeof(a));
	if (err) {
		FUZZ_CHECK(n == err);
		return;
	}
	FUZZ_CHECK(v.line <= v.value && v.value <= v.transport);
	FUZZ_CHECK(v.transport < v.transport_end);
	FUZZ_CHECK(v.transport_end < v.sent_by && v.sent_by < v.sent_by_end);
	FUZZ_CHECK(v.sent_by_end <= v.params && v.params <= v.value_end);
	FUZZ_CHECK(v.value_end < v.line_end && v.line_end <= header_len);
	FUZZ_CHECK(n > 0);
	/* The bytes behind the header are the same in both. */
	size_t header = (size_t)n - (len - header_len);

	FUZZ_CHECK(memcmp(a + header, m + header_len, len - header_len) == 0);
	FUZZ_CHECK(via_find(a, header, &pushed) == 0);
	FUZZ_CHECK(pushed.sent_by_end - pushed.sent_by == sizeof(ours) - 1);
	FUZZ_CHECK(memcmp(a + pushed.sent_by, ours, sizeof(ours) - 1) == 0);
	k = via_pop(a, (size_t)n, header, b, sizeof(b));
	FUZZ_CHECK(k > 0);
	/* The peer's Via is on top again, with one received. */
	FUZZ_CHECK(via_find(b, (size_t)k - (len - header_len), &v) == 0);
	/* Replaced there and back: the same host. */
	n = via_replace(
		m, len, header_len, "TLS", "sbc.example", old, a, sizeof(a));
	FUZZ_CHECK(n > 0 || n == ERR_TOO_BIG);
	if (n < 0)
		return;
	k = via_replace(a, (size_t)n, (size_t)n - (len - header_len), "TCP",
		old, old_again, b, sizeof(b));
	FUZZ_CHECK(k > 0);
	FUZZ_CHECK(strcmp(old_again, "sbc.example") == 0);
	FUZZ_CHECK(via_find(b, (size_t)k - (len - header_len), &v) == 0);
	FUZZ_CHECK(v.sent_by_end - v.sent_by == strlen(old));
	FUZZ_CHECK(memcmp(b + v.sent_by, old, strlen(old)) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	static struct run whole, halves, single;
	struct via v;

	if (len > 8192)
		return 0;
	memset(&whole, 0, sizeof(whole));
	memset(&halves, 0, sizeof(halves));
	memset(&single, 0, sizeof(single));
	take(&whole, bytes, len);
	if (len > 0)
		take(&halves, bytes, (bytes[0] * 31u + len / 2) % len);
	take(&halves, bytes, len);
	for (size_t end = 1; end <= len && !single.ended; end++)
		take(&single, bytes, end);
	check_same(&whole, &halves);
	check_same(&whole, &single);
	for (size_t i = 0; i < whole.n; i++)
		if (whole.events[i].kind == FRAME_MESSAGE)
			check_message(bytes + whole.events[i].start,
				whole.events[i].len,
				whole.events[i].header_len);
	/* Without framing in front: no reading past the end. */
	(void)!via_find(bytes, len, &v);
	return 0;
}
