/* SPDX-License-Identifier: Apache-2.0 */
/* RTCP as bytes (rtcp.h) and the quality estimate (quality.h). */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "mediad/burst.h"
#include "mediad/quality.h"
#include "mediad/rtcp.h"

#define OWN   0x01020304u
#define CNAME "0123456789abcdef"

/* Parses an exact copy, so that the sanitizer sees each octet too far. */
static enum reason parse(
	const uint8_t *bytes, size_t len, struct rtcp_report *r)
{
	uint8_t *copy = malloc(len ? len : 1);
	enum reason why;

	ck_assert_ptr_nonnull(copy);
	if (len > 0)
		memcpy(copy, bytes, len);
	why = rtcp_parse(copy, len, OWN, r);
	free(copy);
	return why;
}

START_TEST(test_round_trip)
{
	const struct rtcp_sender sender = {.ntp = 0x1122334455667788,
		.ts = 0xa0a1a2a3,
		.packets = 7,
		.octets = 1120};
	const struct rtcp_block block = {.ssrc = OWN,
		.fraction = 200,
		.lost = -3,
		.highest = 0x10005,
		.jitter = 99,
		.lsr = 0x33445566,
		.dlsr = 65536};
	struct rtcp_own own = {.ssrc = 0xcafe, .cname = CNAME};
	uint8_t bytes[RTCP_BUILD_MAX];
	struct rtcp_report r;
	size_t n;

	own.sender = _i & 1 ? &sender : NULL;
	own.block = _i & 2 ? &block : NULL;
	own.bye = _i & 4;
	n = rtcp_build(&own, bytes);
	ck_assert_uint_le(n, sizeof(bytes));
	ck_assert_uint_eq(n % 4, 0);
	ck_assert_int_eq(parse(bytes, n, &r), REASON_RTCP_OK);
	ck_assert_uint_eq(r.ssrc, 0xcafe);
	ck_assert_uint_eq(rtcp_sender_ssrc(bytes), 0xcafe);
	ck_assert(r.is_sender == (own.sender != NULL));
	ck_assert(r.about_us == (own.block != NULL));
	ck_assert(r.bye == own.bye);
	if (r.is_sender) {
		ck_assert_uint_eq(r.sender.ntp, sender.ntp);
		ck_assert_uint_eq(r.sender.ts, sender.ts);
		ck_assert_uint_eq(r.sender.packets, sender.packets);
		ck_assert_uint_eq(r.sender.octets, sender.octets);
	}
	if (r.about_us) {
		ck_assert_uint_eq(r.block.fraction, block.fraction);
		ck_assert_int_eq(r.block.lost, block.lost);
		ck_assert_uint_eq(r.block.highest, block.highest);
		ck_assert_uint_eq(r.block.jitter, block.jitter);
		ck_assert_uint_eq(r.block.lsr, block.lsr);
		ck_assert_uint_eq(r.block.dlsr, block.dlsr);
	}
	ck_assert_ptr_nonnull(memmem(bytes, n, CNAME, strlen(CNAME)));
	/* Each shorter piece is refused or ends at a packet's end. */
	for (size_t i = 0; i < n; i++) {
		enum reason why = parse(bytes, i, &r);

		ck_assert(why == REASON_RTCP_SHORT ||
			  why == REASON_RTCP_LENGTH || why == REASON_RTCP_OK);
	}
}
END_TEST

struct bytes_case {
	const char *name;
	uint8_t bytes[64];
	size_t len;
	enum reason why;
};

/* version/padding/count, type, length */
#define RR(b0, len) (b0), 201, 0, (len), 0, 0, 0, 5
#define BLOCK                                                                  \
	1, 2, 3, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0

static const struct bytes_case cases[] = {
	{"empty", {0}, 0, REASON_RTCP_SHORT},
	{"one octet", {0x80}, 1, REASON_RTCP_SHORT},
	{"four octets", {0x80, 201, 0, 0}, 4, REASON_RTCP_SHORT},
	{"seven octets", {RR(0x80, 1)}, 7, REASON_RTCP_SHORT},
	{"empty RR", {RR(0x80, 1)}, 8, REASON_RTCP_OK},
	{"version 1", {RR(0x40, 1)}, 8, REASON_RTCP_VERSION},
	{"length says less", {RR(0x80, 0)}, 8, REASON_RTCP_LENGTH},
	{"length says more", {RR(0x80, 2)}, 8, REASON_RTCP_LENGTH},
	{"length 0xffff", {0x80, 201, 0xff, 0xff, 0, 0, 0, 5}, 8,
		REASON_RTCP_LENGTH},
	{"one block without room", {RR(0x81, 1)}, 8, REASON_RTCP_LENGTH},
	{"31 blocks in one's room", {RR(0x9f, 7), BLOCK}, 32,
		REASON_RTCP_LENGTH},
	{"one block", {RR(0x81, 7), BLOCK}, 32, REASON_RTCP_OK},
	{"SR without sender info", {0x80, 200, 0, 1, 0, 0, 0, 5}, 8,
		REASON_RTCP_LENGTH},
	{"feedback alone (reduced size)",
		{0x81, 205, 0, 2, 0, 0, 0, 5, 0, 0, 0, 6}, 12, REASON_RTCP_OK},
	{"XR alone", {0x80, 207, 0, 1, 0, 0, 0, 5}, 8, REASON_RTCP_OK},
	{"type 199", {0x80, 199, 0, 1, 0, 0, 0, 5}, 8, REASON_RTCP_TYPE},
	{"type 208", {0x80, 208, 0, 1, 0, 0, 0, 5}, 8, REASON_RTCP_TYPE},
	{"BYE without its sources", {RR(0x80, 1), 0x82, 203, 0, 1, 0, 0, 0, 5},
		16, REASON_RTCP_LENGTH},
	{"stray octets behind", {RR(0x80, 1), 0x80, 201}, 10,
		REASON_RTCP_LENGTH},
	{"padding in the first", {RR(0xa0, 2), 0, 0, 0, 4, RR(0x80, 1)}, 20,
		REASON_RTCP_LENGTH},
	{"padding in the last", {RR(0x80, 1), RR(0xa0, 2), 0, 0, 0, 4}, 20,
		REASON_RTCP_OK},
	{"padding of three", {RR(0xa0, 2), 0, 0, 0, 3}, 12, REASON_RTCP_LENGTH},
	{"padding longer than the packet", {RR(0xa0, 2), 0, 0, 0, 12}, 12,
		REASON_RTCP_LENGTH},
	{"padding eats the block's room",
		{RR(0xa1, 7), 1, 2, 3, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
			0, 0, 0, 0, 0, 0, 4},
		32, REASON_RTCP_LENGTH},
};

START_TEST(test_bytes)
{
	struct rtcp_report r;
	enum reason why = parse(cases[_i].bytes, cases[_i].len, &r);

	ck_assert_msg(why == cases[_i].why, "%s: %s", cases[_i].name,
		reason_text(why));
}
END_TEST

/* A BYE and a block for others are not ours. */
START_TEST(test_others)
{
	const uint8_t bytes[] = {RR(0x81, 7), 9, 9, 9, 9, 0, 0, 0, 0, 0, 0, 0,
		0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x81, 203, 0, 1, 0, 0, 0,
		6};
	struct rtcp_report r;

	ck_assert_int_eq(parse(bytes, sizeof(bytes), &r), REASON_RTCP_OK);
	ck_assert(!r.about_us);
	ck_assert(!r.bye);
	ck_assert_uint_eq(r.ssrc, 5);
}
END_TEST

/* VoIP metrics (RFC 3611 4.7) are written as they are read, and each length
 * that lies is refused. */
START_TEST(test_voip)
{
	const struct rtcp_voip voip = {.ssrc = OWN,
		.loss_rate = 13,
		.burst_density = 128,
		.gap_density = 2,
		.burst_ms = 120,
		.gap_ms = 40000,
		.round_trip_ms = 77,
		.r_factor = 80,
		.mos_lq = 41,
		.mos_cq = 40};
	const struct rtcp_block block = {.ssrc = OWN};
	const struct rtcp_own own = {.ssrc = 0xcafe,
		.cname = CNAME,
		.block = &block,
		.voip = &voip,
		.bye = true};
	uint8_t bytes[RTCP_BUILD_MAX];
	struct rtcp_report r;
	size_t n = rtcp_build(&own, bytes), at = 32 + 28;

	ck_assert_uint_le(n, sizeof(bytes));
	ck_assert_uint_eq(bytes[at + 1], 207);
	ck_assert_int_eq(parse(bytes, n, &r), REASON_RTCP_OK);
	ck_assert(r.has_voip && r.bye && r.about_us);
	ck_assert_mem_eq(&r.voip, &voip, sizeof(voip));
	/* Of somebody else. */
	bytes[at + 15] ^= 1;
	ck_assert_int_eq(parse(bytes, n, &r), REASON_RTCP_OK);
	ck_assert(!r.has_voip);
	bytes[at + 15] ^= 1;
	/* A block of another kind is stepped over by its length. */
	bytes[at + 8] = 6;
	ck_assert_int_eq(parse(bytes, n, &r), REASON_RTCP_OK);
	ck_assert(!r.has_voip);
	bytes[at + 8] = 7;
	for (unsigned words = 0; words < 16; words++) {
		bytes[at + 11] = (uint8_t)words;
		ck_assert_int_eq(parse(bytes, n, &r),
			words == 8 ? REASON_RTCP_OK : REASON_RTCP_LENGTH);
	}
}
END_TEST

static struct burst stream(const char *packets)
{
	struct burst b = {0};
	uint32_t missed = 0;

	for (; *packets != '\0'; packets++) {
		if (*packets == 'X') {
			missed++;
			continue;
		}
		burst_on_packet(&b, missed);
		missed = 0;
	}
	return b;
}

#define OK32 "................................"

START_TEST(test_bursts)
{
	struct burst_figures f;
	struct burst b = stream("");

	burst_figures(&b, 20000, &f);
	ck_assert_uint_eq(f.loss_rate, 0);
	b = stream(OK32 OK32);
	burst_figures(&b, 20000, &f);
	ck_assert_uint_eq(f.loss_rate, 0);
	ck_assert_uint_eq(f.gap_ms, 64 * 20);
	ck_assert_uint_eq(f.burst_ms, 0);
	/* Lost ones that stand alone are no burst: 2 of 98. */
	b = stream(OK32 "X" OK32 "X" OK32);
	burst_figures(&b, 20000, &f);
	ck_assert_uint_eq(f.loss_rate, 5);
	ck_assert_uint_eq(f.burst_density, 0);
	ck_assert_uint_eq(f.burst_ms, 0);
	ck_assert_uint_eq(f.gap_density, 5);
	/* Five lost of eight, between two gaps: one burst of eight packets. */
	b = stream(OK32 "XX.XX..X" OK32 "X" OK32);
	burst_figures(&b, 20000, &f);
	ck_assert_uint_eq(f.loss_rate, 6 * 256 / (96 + 3 + 6));
	ck_assert_uint_eq(f.burst_ms, 8 * 20);
	ck_assert_uint_eq(f.burst_density, 256 * 5 / 8);
	ck_assert_uint_eq(f.gap_density, 256 / 97);
	ck_assert_uint_eq(f.gap_ms, 97 * 20);
	/* And while it lasts. */
	b = stream(OK32 "XX.X");
	burst_on_packet(&b, 1);
	burst_figures(&b, 20000, &f);
	ck_assert_uint_eq(f.burst_ms, 4 * 20);
	/* Everything on its scale, whatever the stream. */
	for (uint32_t seed = 1; seed < 200; seed++) {
		char text[400];
		uint32_t x = seed;

		for (size_t i = 0; i + 1 < sizeof(text); i++) {
			x = x * 1664525 + 1013904223;
			text[i] = x >> 24 < seed ? 'X' : '.';
		}
		text[sizeof(text) - 1] = '\0';
		b = stream(text);
		ck_assert_uint_le(b.n_lost + b.n_received, sizeof(text));
		burst_figures(&b, 20000, &f);
		ck_assert_uint_le(f.burst_ms + f.gap_ms, 2 * 400 * 20);
	}
}
END_TEST

START_TEST(test_any_bytes)
{
	uint32_t x = 99;

	for (int i = 0; i < 20000; i++) {
		uint8_t bytes[96];
		struct rtcp_report r;
		size_t len;

		for (size_t j = 0; j < sizeof(bytes); j++) {
			x = x * 1664525 + 1013904223;
			bytes[j] = (uint8_t)(x >> 24);
		}
		bytes[0] = (uint8_t)(0x80 | (bytes[0] & 0x3f));
		bytes[1] = (uint8_t)(200 + bytes[1] % 8);
		bytes[2] = 0;
		bytes[3] %= 24;
		len = (x >> 8) % (sizeof(bytes) + 1);
		(void)parse(bytes, len, &r);
	}
}
END_TEST

START_TEST(test_times)
{
	struct rtcp_block b = {.lsr = 0, .dlsr = 0};
	uint64_t ntp = rtcp_ntp(1000000ull * 3 + 500000);

	ck_assert_uint_eq(ntp >> 32, 2208988803u);
	ck_assert_uint_eq((uint32_t)ntp, 0x80000000u);
	ck_assert_uint_eq(rtcp_ntp_middle(ntp), (2208988803u << 16) | 0x8000);
	/* No report was answered. */
	ck_assert_uint_eq(rtcp_round_trip_us(&b, 5 << 16), 0);
	/* RFC 3550 figure 2: 6.125 s. */
	b.lsr = 0xb7052000;
	b.dlsr = 0x00054000;
	ck_assert_uint_eq(rtcp_round_trip_us(&b, 0xb7108000), 6125000);
	/* From the future, and from too long ago. */
	ck_assert_uint_eq(rtcp_round_trip_us(&b, 0xb7052000), 0);
	ck_assert_uint_eq(rtcp_round_trip_us(&b, 0xb8052000), 0);
	/* At once is not "unknown". */
	ck_assert_uint_eq(rtcp_round_trip_us(&b, 0xb7052000 + 0x00054000), 1);
}
END_TEST

static uint32_t mos(const char *name, uint32_t clock, uint64_t lost,
	uint32_t jitter_us, uint32_t rtt_us)
{
	const struct quality_input in = {.codec = codec_find(name, clock),
		.expected = 1000,
		.lost = lost,
		.jitter_us = jitter_us,
		.rtt_us = rtt_us,
		.ptime_us = 20000};

	return quality_mos_centi(&in);
}

START_TEST(test_mos)
{
	struct quality_input nothing = {0};

	ck_assert_uint_eq(quality_mos_centi(&nothing), 0);
	nothing.codec = codec_find("PCMA", 8000);
	ck_assert_uint_eq(quality_mos_centi(&nothing), 0);
	/* G.711 undisturbed: R = 92.7, MOS 4.40 (G.107 annex B). */
	ck_assert_uint_eq(mos("PCMA", 8000, 0, 0, 0), 440);
	/* 2 % random loss with concealment: Ie,eff = 95 * 2 / 27.1 = 7.0,
	 * R = 85.7, MOS 4.22. */
	ck_assert_uint_ge(mos("PCMA", 8000, 20, 0, 0), 421);
	ck_assert_uint_le(mos("PCMA", 8000, 20, 0, 0), 423);
	/* G.729A: Ie = 11, R = 81.7, MOS 4.10. */
	ck_assert_uint_ge(mos("G729", 8000, 0, 0, 0), 408);
	ck_assert_uint_le(mos("G729", 8000, 0, 0, 0), 411);
	/* 400 ms there: Id = 0.024 * 420 + 0.11 * 242.7 = 36.8. */
	ck_assert_uint_ge(mos("PCMA", 8000, 0, 0, 800000), 288);
	ck_assert_uint_le(mos("PCMA", 8000, 0, 0, 800000), 294);
	/* Worse is never better, and it stays on the scale. */
	ck_assert_uint_eq(mos("PCMA", 8000, 1000, 5000000, 60000000), 100);
	for (uint64_t lost = 1; lost <= 1000; lost++)
		ck_assert_uint_le(mos("PCMA", 8000, lost, 0, 0),
			mos("PCMA", 8000, lost - 1, 0, 0));
}
END_TEST

int main(void)
{
	Suite *s = suite_create("rtcp");
	TCase *t = tcase_create("all");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_set_timeout(t, 60);
	tcase_add_loop_test(t, test_round_trip, 0, 8);
	tcase_add_loop_test(t, test_bytes, 0, sizeof(cases) / sizeof(cases[0]));
	tcase_add_test(t, test_others);
	tcase_add_test(t, test_voip);
	tcase_add_test(t, test_bursts);
	tcase_add_test(t, test_any_bytes);
	tcase_add_test(t, test_times);
	tcase_add_test(t, test_mos);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? 1 : 0;
}
