/* SPDX-License-Identifier: Apache-2.0 */
/* The arithmetic of RTP headers and payload sizes: check.h, build.h, codec.h.
 */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "mediad/build.h"
#include "mediad/check.h"
#include "mediad/codec.h"
#include "mediad/ptime.h"

struct header_case {
	const char *name;
	uint8_t bytes[40];
	size_t len;
	enum reason why;
	uint16_t payload_at;
	uint16_t payload_len;
};

#define V2      0x80, 0x08, 0, 1, 0, 0, 0, 1, 0, 0, 0, 9
#define HDR(b0) (b0), 0x08, 0, 1, 0, 0, 0, 1, 0, 0, 0, 9

static const struct header_case headers[] = {
	{"empty", {0}, 0, REASON_RTP_SHORT, 0, 0},
	{"eleven octets", {V2}, 11, REASON_RTP_SHORT, 0, 0},
	{"header alone", {V2}, 12, REASON_RTP_OK, 12, 0},
	{"one octet", {V2, 7}, 13, REASON_RTP_OK, 12, 1},
	{"version 0", {HDR(0x00)}, 16, REASON_RTP_VERSION, 0, 0},
	{"version 1", {HDR(0x40)}, 16, REASON_RTP_VERSION, 0, 0},
	{"version 3", {HDR(0xc0)}, 16, REASON_RTP_VERSION, 0, 0},
	{"one CSRC", {HDR(0x81), 1, 2, 3, 4, 5}, 17, REASON_RTP_OK, 16, 1},
	{"CSRC to the end", {HDR(0x81), 1, 2, 3, 4}, 16, REASON_RTP_OK, 16, 0},
	{"CSRC past the end", {HDR(0x81)}, 15, REASON_RTP_CSRC, 0, 0},
	{"15 CSRC past the end", {HDR(0x8f)}, 40, REASON_RTP_CSRC, 0, 0},
	{"empty extension", {HDR(0x90), 1, 2, 0, 0, 9}, 17, REASON_RTP_OK, 16,
		1},
	{"extension of a word", {HDR(0x90), 1, 2, 0, 1, 0, 0, 0, 0, 9}, 21,
		REASON_RTP_OK, 20, 1},
	{"extension without header", {HDR(0x90), 1, 2, 0}, 15,
		REASON_RTP_EXTENSION, 0, 0},
	{"extension past the end", {HDR(0x90), 1, 2, 0, 1, 0, 0, 0}, 19,
		REASON_RTP_EXTENSION, 0, 0},
	{"huge extension", {HDR(0x90), 1, 2, 0xff, 0xff}, 40,
		REASON_RTP_EXTENSION, 0, 0},
	{"CSRC, then extension past the end",
		{HDR(0x91), 1, 1, 1, 1, 0, 0, 0, 2}, 27, REASON_RTP_EXTENSION,
		0, 0},
	{"padding", {HDR(0xa0), 9, 9, 0, 2}, 16, REASON_RTP_OK, 12, 2},
	{"padding is all", {HDR(0xa0), 0, 0, 0, 4}, 16, REASON_RTP_OK, 12, 0},
	{"padding too long", {HDR(0xa0), 0, 0, 0, 5}, 16, REASON_RTP_PADDING, 0,
		0},
	{"padding of nothing", {HDR(0xa0), 1, 2, 3, 0}, 16, REASON_RTP_PADDING,
		0, 0},
	{"padding without payload", {HDR(0xa0)}, 12, REASON_RTP_PADDING, 0, 0},
	{"padding reaches into an extension", {HDR(0xb0), 1, 2, 0, 0, 1, 3}, 18,
		REASON_RTP_PADDING, 0, 0},
};

static enum reason check_all(
	const uint8_t *bytes, size_t len, struct rtp_view *v)
{
	/* An exact copy, so that the sanitizer sees each octet too far. */
	uint8_t *copy = malloc(len ? len : 1);
	enum reason why;

	ck_assert_ptr_nonnull(copy);
	if (len > 0)
		memcpy(copy, bytes, len);
	why = check_fixed(copy, len, v);
	if (why == REASON_RTP_OK)
		why = check_bounds(copy, len, v);
	if (why == REASON_RTP_OK)
		why = check_padding(copy, len, v);
	free(copy);
	return why;
}

START_TEST(test_header)
{
	const struct header_case *c = &headers[_i];
	struct rtp_view v = {0};
	enum reason why = check_all(c->bytes, c->len, &v);

	ck_assert_msg(why == c->why, "%s: %s", c->name, reason_text(why));
	if (why != REASON_RTP_OK)
		return;
	ck_assert_uint_eq(v.payload_at, c->payload_at);
	ck_assert_uint_eq(v.payload_len, c->payload_len);
	ck_assert_uint_eq(v.pt, 8);
	ck_assert_uint_eq(v.seq, 1);
	ck_assert_uint_eq(v.ts, 1);
	ck_assert_uint_eq(v.ssrc, 9);
}
END_TEST

START_TEST(test_too_big)
{
	static uint8_t bytes[RTP_PACKET_MAX + 1] = {V2};
	struct rtp_view v;

	ck_assert_int_eq(check_fixed(bytes, RTP_PACKET_MAX, &v), REASON_RTP_OK);
	ck_assert_int_eq(
		check_fixed(bytes, RTP_PACKET_MAX + 1, &v), REASON_RTP_TOO_BIG);
}
END_TEST

/* What was accepted never reaches past the packet. */
START_TEST(test_any_bytes)
{
	uint32_t x = 12345;

	for (int i = 0; i < 20000; i++) {
		uint8_t bytes[64];
		struct rtp_view v = {0};
		size_t len;

		for (size_t j = 0; j < sizeof(bytes); j++) {
			x = x * 1664525 + 1013904223;
			bytes[j] = (uint8_t)(x >> 24);
		}
		bytes[0] = (uint8_t)(0x80 | (bytes[0] & 0x3f));
		len = (x >> 8) % (sizeof(bytes) + 1);
		if (check_all(bytes, len, &v) != REASON_RTP_OK)
			continue;
		ck_assert_uint_ge(v.payload_at, RTP_HEADER_LEN);
		ck_assert_uint_le((size_t)v.payload_at + v.payload_len, len);
	}
}
END_TEST

static const struct {
	uint8_t first, second;
	size_t len;
	enum demux_class class;
} classes[] = {
	{0, 0, 0, DEMUX_NONE},
	{0, 1, 20, DEMUX_STUN},
	{3, 0, 20, DEMUX_STUN},
	{4, 0, 20, DEMUX_NONE},
	{15, 0, 20, DEMUX_NONE},
	{16, 0, 20, DEMUX_OTHER},
	{19, 0, 20, DEMUX_OTHER},
	{20, 0, 20, DEMUX_DTLS},
	{63, 0, 20, DEMUX_DTLS},
	{64, 0, 20, DEMUX_OTHER},
	{79, 0, 20, DEMUX_OTHER},
	{80, 0, 20, DEMUX_NONE},
	{127, 0, 20, DEMUX_NONE},
	{128, 8, 20, DEMUX_RTP},
	{128, 191, 20, DEMUX_RTP},
	{128, 192, 20, DEMUX_RTCP},
	{128, 200, 20, DEMUX_RTCP},
	{128, 223, 20, DEMUX_RTCP},
	{128, 224, 20, DEMUX_RTP},
	{191, 0, 20, DEMUX_RTP},
	{192, 0, 20, DEMUX_NONE},
	{255, 255, 20, DEMUX_NONE},
	{128, 200, 1, DEMUX_RTP},
};

START_TEST(test_demux)
{
	const uint8_t bytes[20] = {classes[_i].first, classes[_i].second};

	ck_assert_int_eq(
		demux_classify(bytes, classes[_i].len), classes[_i].class);
}
END_TEST

START_TEST(test_build)
{
	uint8_t bytes[16];
	struct rtp_fields f = {.ssrc = 0x01020304,
		.ts = 0xa0b0c0d0,
		.seq = 0xfffe,
		.pt = 101,
		.marker = true};
	struct rtp_view v = {0};

	memset(bytes, 0xff, sizeof(bytes));
	ck_assert_ptr_eq(build_header(bytes + 12, &f), bytes);
	ck_assert_int_eq(check_all(bytes, 16, &v), REASON_RTP_OK);
	ck_assert_uint_eq(bytes[0], 0x80);
	ck_assert_uint_eq(v.ssrc, f.ssrc);
	ck_assert_uint_eq(v.ts, f.ts);
	ck_assert_uint_eq(v.seq, f.seq);
	ck_assert_uint_eq(v.pt, f.pt);
	ck_assert(v.marker);
	ck_assert_uint_eq(v.payload_len, 4);
	ck_assert_uint_eq(bytes[12], 0xff);
	f.marker = false;
	f.pt = 0xff; /* never more than seven bits */
	(void)build_header(bytes + 12, &f);
	ck_assert_uint_eq(bytes[1], 0x7f);
}
END_TEST

static const struct {
	const char *name;
	uint32_t clock, ptime_us, octets;
	bool fits;
} sizes[] = {
	{"PCMA", 8000, 20000, 160, true},
	{"pcmu", 8000, 20000, 160, true},
	{"PCMA", 8000, 20000, 80, true},
	{"PCMA", 8000, 20000, 320, true},
	{"PCMA", 8000, 20000, 321, false},
	{"PCMA", 8000, 20000, 40, true},
	{"PCMA", 8000, 20000, 39, false},
	{"PCMA", 8000, 20000, 1000, false},
	{"PCMA", 8000, 60000, 480, true},
	{"PCMA", 8000, 0, 160, true},
	{"G722", 8000, 20000, 160, true},
	{"G729", 8000, 20000, 20, true},
	{"G729", 8000, 20000, 2, true},
	{"G729", 8000, 20000, 22, true},
	{"G729", 8000, 20000, 21, false},
	{"G729", 8000, 20000, 40, true},
	{"G729", 8000, 20000, 50, false},
	{"G723", 8000, 30000, 24, true},
	{"G723", 8000, 30000, 20, true},
	{"G723", 8000, 30000, 4, true},
	{"G723", 8000, 30000, 25, false},
	{"GSM", 8000, 20000, 33, true},
	{"GSM", 8000, 20000, 32, false},
	{"iLBC", 8000, 20000, 38, true},
	{"iLBC", 8000, 30000, 50, true},
	{"G726-32", 8000, 20000, 80, true},
	{"opus", 48000, 20000, 1, true},
	{"opus", 48000, 20000, 1275, true},
	{"opus", 48000, 20000, 1401, false},
	{"telephone-event", 8000, 20000, 4, true},
	{"telephone-event", 8000, 20000, 8, true},
	{"telephone-event", 8000, 20000, 5, false},
	{"telephone-event", 48000, 20000, 20, false},
	{"CN", 8000, 20000, 1, true},
	{"CN", 8000, 20000, 11, true},
	{"CN", 8000, 20000, 0, false},
	{"CN", 8000, 20000, 160, false},
	{"never-heard-of", 8000, 20000, 1400, true},
	{"never-heard-of", 8000, 20000, 0, false},
};

START_TEST(test_size)
{
	const struct codec *c = codec_find(sizes[_i].name, sizes[_i].clock);
	struct codec_limits l;

	codec_limits(c, sizes[_i].ptime_us, 0, &l);
	ck_assert_msg(codec_fits(&l, sizes[_i].octets) == sizes[_i].fits,
		"%s %u", sizes[_i].name, sizes[_i].octets);
}
END_TEST

START_TEST(test_size_bound)
{
	struct codec_limits l;

	ck_assert(codec_is_unknown(codec_find("PCMA", 16000)));
	codec_limits(codec_find("opus", 48000), 20000, 300, &l);
	ck_assert(codec_fits(&l, 300));
	ck_assert(!codec_fits(&l, 301));
	/* A wish beyond reason stays within an Ethernet frame. */
	codec_limits(codec_find("PCMA", 8000), UINT32_MAX, 0, &l);
	ck_assert(!codec_fits(&l, 1401));
}
END_TEST

static const struct {
	const char *codec;
	uint32_t clock, have_us, want_us;
	enum ptime_step step;
} steps[] = {
	{"PCMA", 8000, 20000, 20000, PTIME_SAME},
	{"PCMA", 8000, 20000, 0, PTIME_SAME},
	{"PCMA", 8000, 0, 30000, PTIME_SAME},
	{"PCMA", 8000, 40000, 20000, PTIME_SPLIT},
	{"PCMA", 8000, 10000, 60000, PTIME_JOIN},
	{"PCMA", 8000, 20000, 30000, PTIME_REGROUP},
	{"G729", 8000, 30000, 20000, PTIME_REGROUP},
	{"G729", 8000, 20000, 40000, PTIME_JOIN},
	{"G723", 8000, 30000, 20000, PTIME_OPAQUE},
	{"G723", 8000, 60000, 30000, PTIME_SPLIT},
	{"opus", 48000, 20000, 40000, PTIME_OPAQUE},
	{"iLBC", 8000, 20000, 40000, PTIME_OPAQUE},
};

START_TEST(test_ptime_step)
{
	const struct codec *c = codec_find(steps[_i].codec, steps[_i].clock);

	ck_assert_int_eq(ptime_step(c, steps[_i].have_us, steps[_i].want_us),
		steps[_i].step);
	ck_assert_int_eq(ptime_step(NULL, 20000, 30000), PTIME_SAME);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("rtp_check");
	TCase *t = tcase_create("all");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_set_timeout(t, 60);
	tcase_add_loop_test(
		t, test_header, 0, sizeof(headers) / sizeof(headers[0]));
	tcase_add_test(t, test_too_big);
	tcase_add_test(t, test_any_bytes);
	tcase_add_loop_test(
		t, test_demux, 0, sizeof(classes) / sizeof(classes[0]));
	tcase_add_test(t, test_build);
	tcase_add_loop_test(t, test_size, 0, sizeof(sizes) / sizeof(sizes[0]));
	tcase_add_test(t, test_size_bound);
	tcase_add_loop_test(
		t, test_ptime_step, 0, sizeof(steps) / sizeof(steps[0]));
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? 1 : 0;
}
