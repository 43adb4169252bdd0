/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The judge is judged: what is not the whole right speech must fail, what is
 * must pass, whatever delay, loudness and codec did to it. The speech goes
 * through capture files where packets matter.
 */
#include <check.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/audio/g711.h"
#include "tests/audio/judge.h"
#include "tests/audio/rtpcap.h"
#include "tests/audio/wav.h"

#define PTIME_SAMPLES 160

static struct sound far_speech, near_speech;

static void speech_load(const char *name, struct sound *out)
{
	char path[512];
	const char *problem = "";

	snprintf(path, sizeof(path), "%s/%s", AUDIO_DIR, name);
	ck_assert_msg(
		wav_read(path, out, &problem) == 0, "%s: %s", path, problem);
	ck_assert_uint_ge(out->n, 8 * WAV_RATE);
}

static void set_up(void)
{
	speech_load("far.wav", &far_speech);
	speech_load("near.wav", &near_speech);
}

static void tear_down(void)
{
	sound_done(&far_speech);
	sound_done(&near_speech);
}

static struct sound sound_new(size_t n)
{
	struct sound s = {calloc(n, sizeof(int16_t)), n};

	ck_assert_ptr_nonnull(s.sample);
	return s;
}

static struct sound sound_copy(const struct sound *from)
{
	struct sound s = sound_new(from->n);

	memcpy(s.sample, from->sample, from->n * sizeof(int16_t));
	return s;
}

/* A fixed sequence, so that a failure can be repeated. */
static uint32_t random_next(uint32_t *state)
{
	*state = *state * 1664525u + 1013904223u;
	return *state >> 8;
}

static struct verdict judged(const struct sound *heard)
{
	struct verdict v;

	ck_assert_int_eq(judge(&far_speech, heard, &near_speech, &v), 0);
	return v;
}

static void must_pass(struct sound *heard)
{
	struct verdict v = judged(heard);

	ck_assert_msg(v.pass, "%s: %.3f, other %.3f, holes %.3f, %.2f s", v.why,
		v.same.correlation, v.other.correlation, v.same.holes,
		v.same.overlap_s);
	sound_done(heard);
}

static void must_fail(struct sound *heard)
{
	struct verdict v = judged(heard);

	ck_assert_msg(!v.pass, "passed: %.3f, other %.3f, holes %.3f",
		v.same.correlation, v.other.correlation, v.same.holes);
	sound_done(heard);
}

START_TEST(test_true_speech_passes)
{
	struct sound s = sound_copy(&far_speech);

	must_pass(&s);
}
END_TEST

START_TEST(test_delayed_passes)
{
	/* From the edge of the window to the other; odd on purpose. */
	static const long delay[] = {-15999, -333, 1, 15999};
	long lag = delay[_i];
	struct sound s = sound_new((size_t)((long)far_speech.n + lag));

	for (long i = 0; i < (long)s.n; i++)
		if (i - lag >= 0)
			s.sample[i] = far_speech.sample[i - lag];
	struct verdict v = judged(&s);
	ck_assert_int_eq(v.same.lag, lag);
	must_pass(&s);
}
END_TEST

START_TEST(test_delay_beyond_window_fails)
{
	long lag = 3 * WAV_RATE;
	struct sound s = sound_new(far_speech.n + (size_t)lag);

	for (size_t i = 0; i < far_speech.n; i++)
		s.sample[i + (size_t)lag] = far_speech.sample[i];
	must_fail(&s);
}
END_TEST

START_TEST(test_six_db_quieter_passes)
{
	struct sound s = sound_copy(&far_speech);

	for (size_t i = 0; i < s.n; i++)
		s.sample[i] = (int16_t)(s.sample[i] / 2);
	must_pass(&s);
}
END_TEST

START_TEST(test_g711_round_trip_passes)
{
	struct sound s = sound_copy(&far_speech);

	for (size_t i = 0; i < s.n; i++) {
		uint8_t a = g711_alaw_encode(s.sample[i]);
		uint8_t u = g711_ulaw_encode(g711_alaw_decode(a));
		s.sample[i] = g711_ulaw_decode(u);
	}
	must_pass(&s);
}
END_TEST

START_TEST(test_picked_up_late_and_hung_up_early_passes)
{
	struct sound s = sound_new(far_speech.n - 2 * WAV_RATE);

	for (size_t i = WAV_RATE; i < s.n; i++)
		s.sample[i] = far_speech.sample[i];
	must_pass(&s);
}
END_TEST

START_TEST(test_silence_fails)
{
	struct sound s = sound_new(far_speech.n);

	must_fail(&s);
}
END_TEST

START_TEST(test_empty_fails)
{
	struct sound s = sound_new(1);

	s.n = 0;
	must_fail(&s);
}
END_TEST

START_TEST(test_noise_fails)
{
	struct sound s = sound_new(far_speech.n);
	uint32_t state = 1;

	for (size_t i = 0; i < s.n; i++)
		s.sample[i] = (int16_t)(random_next(&state) & 0x3fff);
	must_fail(&s);
}
END_TEST

START_TEST(test_tone_fails)
{
	struct sound s = sound_new(far_speech.n);

	for (size_t i = 0; i < s.n; i++)
		s.sample[i] = (int16_t)(8000 * sin(2 * M_PI * 440 * (double)i /
						       WAV_RATE));
	must_fail(&s);
}
END_TEST

START_TEST(test_swapped_speech_fails)
{
	struct sound s = sound_copy(&near_speech);
	struct verdict v = judged(&s);

	ck_assert(v.other.correlation > 0.99);
	must_fail(&s);
}
END_TEST

START_TEST(test_other_direction_beside_it_fails)
{
	struct sound s = sound_copy(&far_speech);

	for (size_t i = 0; i < s.n && i < near_speech.n; i++)
		s.sample[i] =
			(int16_t)(s.sample[i] / 2 + near_speech.sample[i] / 4);
	must_fail(&s);
}
END_TEST

START_TEST(test_too_short_fails)
{
	struct sound s = sound_copy(&far_speech);

	s.n = 49 * WAV_RATE / 10;
	must_fail(&s);
}
END_TEST

START_TEST(test_upside_down_fails)
{
	struct sound s = sound_copy(&far_speech);

	for (size_t i = 0; i < s.n; i++)
		s.sample[i] = (int16_t)-s.sample[i];
	must_fail(&s);
}
END_TEST

/* ------------------------------------------------------- through packets */

static void put16(uint8_t *p, unsigned v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static void put32(uint8_t *p, uint32_t v)
{
	put16(p, v >> 16);
	put16(p + 2, v & 0xffff);
}

/* One Ethernet frame from 192.0.2.1:4000 to 192.0.2.2:5000. */
static void frame_write(FILE *f, unsigned n, uint32_t ssrc, uint16_t sequence,
	uint32_t timestamp, const uint8_t payload[PTIME_SAMPLES])
{
	uint8_t p[14 + 20 + 8 + 12 + PTIME_SAMPLES] = {0};
	uint32_t record[4] = {n / 50, n % 50 * 20000, sizeof(p), sizeof(p)};
	static const uint8_t ip[20] = {0x45, 0, 0, 0, 0, 0, 0, 0, 64, 17, 0, 0,
		192, 0, 2, 1, 192, 0, 2, 2};

	put16(p + 12, 0x0800);
	memcpy(p + 14, ip, sizeof(ip));
	put16(p + 16, sizeof(p) - 14);
	put16(p + 34, 4000);
	put16(p + 36, 5000);
	put16(p + 38, sizeof(p) - 34);
	p[42] = 0x80;
	p[43] = 8;
	put16(p + 44, sequence);
	put32(p + 46, timestamp);
	put32(p + 50, ssrc);
	memcpy(p + 54, payload, PTIME_SAMPLES);
	ck_assert_uint_eq(fwrite(record, sizeof(record), 1, f), 1);
	ck_assert_uint_eq(fwrite(p, sizeof(p), 1, f), 1);
}

struct damage {
	unsigned lose_permille; /* packets not written */
	bool bunched;           /* lost ones are closed up: no gap in numbers */
	unsigned swap_every;    /* neighbours exchanged */
	unsigned repeat_every;  /* written twice */
};

/* Sends far_speech through a capture with both counters wrapping, beside a
 * shorter second stream, and decodes it. */
static struct sound through_packets(
	const struct damage *d, struct rtpcap_stream *st)
{
	static const uint32_t header[6] = {
		0xa1b2c3d4, 0x00040002, 0, 0, 65535, 1};
	char path[] = "test_audio.XXXXXX", problem[128] = "";
	struct rtpcap_filter filter = {0};
	struct sound heard = {0};
	unsigned n = (unsigned)(far_speech.n / PTIME_SAMPLES), sent = 0;
	uint32_t state = 7;
	int fd = mkstemp(path);

	ck_assert_int_ge(fd, 0);
	FILE *f = fdopen(fd, "wb");
	ck_assert_ptr_nonnull(f);
	ck_assert_uint_eq(fwrite(header, sizeof(header), 1, f), 1);
	for (unsigned i = 0; i < n; i++) {
		uint8_t payload[PTIME_SAMPLES];
		unsigned k = i;
		if (d->swap_every && i % d->swap_every == 1 && i + 1 < n)
			k = i + 1;
		else if (d->swap_every && i % d->swap_every == 2)
			k = i - 1;
		if (d->lose_permille &&
			random_next(&state) % 1000 < d->lose_permille)
			continue;
		for (unsigned j = 0; j < PTIME_SAMPLES; j++)
			payload[j] = g711_alaw_encode(
				far_speech.sample[k * PTIME_SAMPLES + j]);
		unsigned number = d->bunched ? sent : k;
		sent++;
		unsigned copies =
			d->repeat_every && i % d->repeat_every == 0 ? 2 : 1;
		for (unsigned c = 0; c < copies; c++)
			frame_write(f, i, 0x11223344,
				(uint16_t)(65500 + number),
				0xffffff00u + number * PTIME_SAMPLES, payload);
		memset(payload, 0xd5, sizeof(payload));
		if (i % 3 == 0)
			frame_write(f, i, 0x55667788, (uint16_t)i, i * 160,
				payload);
	}
	ck_assert_int_eq(fclose(f), 0);
	ck_assert_int_eq(rtpcap_end_parse("192.0.2.1:4000", &filter.src), 0);
	ck_assert_int_eq(rtpcap_end_parse("192.0.2.2", &filter.dst), 0);
	int err = rtpcap_decode(
		path, &filter, &heard, st, problem, sizeof(problem));
	unlink(path);
	ck_assert_msg(err == 0, "%s", problem);
	return heard;
}

START_TEST(test_packets_pass)
{
	struct damage d = {.swap_every = 7, .repeat_every = 11};
	struct rtpcap_stream st;
	struct sound s = through_packets(&d, &st);

	ck_assert_uint_eq(st.ssrc, 0x11223344);
	ck_assert_uint_eq(st.payload_type, 8);
	ck_assert_uint_eq(st.n_streams, 2);
	ck_assert_uint_eq(st.n_lost, 0);
	ck_assert_uint_eq(st.n_duplicates, (far_speech.n / 160 + 10) / 11);
	must_pass(&s);
}
END_TEST

START_TEST(test_one_percent_lost_passes)
{
	struct damage d = {.lose_permille = 10};
	struct rtpcap_stream st;
	struct sound s = through_packets(&d, &st);

	ck_assert_uint_gt(st.n_lost, 0);
	must_pass(&s);
}
END_TEST

START_TEST(test_tenth_missing_fails)
{
	struct damage d = {.lose_permille = 100, .bunched = _i == 1};
	struct rtpcap_stream st;
	struct sound s = through_packets(&d, &st);

	if (!d.bunched)
		ck_assert_uint_gt(st.n_lost, 20);
	must_fail(&s);
}
END_TEST

START_TEST(test_filter_without_match)
{
	struct rtpcap_filter filter = {0};
	struct rtpcap_stream st;
	struct sound s;
	char problem[128];

	ck_assert_int_eq(rtpcap_decode("/dev/null", &filter, &s, &st, problem,
				 sizeof(problem)),
		-1);
	ck_assert_int_eq(rtpcap_end_parse("[2001:db8::1]:9", &filter.src), 0);
	ck_assert_uint_eq(filter.src.port, 9);
	ck_assert_int_eq(rtpcap_end_parse("2001:db8::1", &filter.src), 0);
	ck_assert_uint_eq(filter.src.port, 0);
	ck_assert_int_eq(rtpcap_end_parse("192.0.2.1:x", &filter.src), -1);
	ck_assert_int_eq(rtpcap_end_parse("192.0.2.1:70000", &filter.src), -1);
	ck_assert_int_eq(rtpcap_end_parse("host", &filter.src), -1);
}
END_TEST

START_TEST(test_g711_codes_are_stable)
{
	for (unsigned code = 0; code < 256; code++) {
		uint8_t c = (uint8_t)code;
		ck_assert_uint_eq(g711_alaw_encode(g711_alaw_decode(c)), c);
		/* u-law has a negative zero (0x7f), which encodes as 0xff. */
		ck_assert_uint_eq(g711_ulaw_encode(g711_ulaw_decode(c)),
			c == 0x7f ? 0xff : c);
	}
	ck_assert_int_eq(g711_alaw_decode(0xd5), 8);
	ck_assert_int_eq(g711_ulaw_decode(0xff), 0);
	ck_assert_int_eq(g711_ulaw_decode(0x80), 32124);
	ck_assert_int_eq(g711_alaw_decode(0xaa), 32256);
}
END_TEST

START_TEST(test_wav_round_trip_and_cut_header)
{
	char path[] = "test_audio.XXXXXX";
	const char *problem = NULL;
	struct sound s = {0};
	int fd = mkstemp(path);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(wav_write(path, &near_speech), 0);
	ck_assert_int_eq(wav_read(path, &s, &problem), 0);
	ck_assert_uint_eq(s.n, near_speech.n);
	ck_assert_mem_eq(s.sample, near_speech.sample, s.n * sizeof(int16_t));
	sound_done(&s);
	/* A recorder that was killed leaves a data length of 0. */
	ck_assert_int_eq(pwrite(fd, "\0\0\0\0", 4, 40), 4);
	ck_assert_int_eq(wav_read(path, &s, &problem), 0);
	ck_assert_uint_eq(s.n, near_speech.n);
	sound_done(&s);
	ck_assert_int_eq(ftruncate(fd, 30), 0);
	ck_assert_int_eq(wav_read(path, &s, &problem), -1);
	close(fd);
	unlink(path);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("audio");
	TCase *c = tcase_create("judge");

	tcase_add_checked_fixture(c, set_up, tear_down);
	tcase_set_timeout(c, 60);
	tcase_add_test(c, test_true_speech_passes);
	tcase_add_loop_test(c, test_delayed_passes, 0, 4);
	tcase_add_test(c, test_delay_beyond_window_fails);
	tcase_add_test(c, test_six_db_quieter_passes);
	tcase_add_test(c, test_g711_round_trip_passes);
	tcase_add_test(c, test_picked_up_late_and_hung_up_early_passes);
	tcase_add_test(c, test_silence_fails);
	tcase_add_test(c, test_empty_fails);
	tcase_add_test(c, test_noise_fails);
	tcase_add_test(c, test_tone_fails);
	tcase_add_test(c, test_swapped_speech_fails);
	tcase_add_test(c, test_other_direction_beside_it_fails);
	tcase_add_test(c, test_too_short_fails);
	tcase_add_test(c, test_upside_down_fails);
	tcase_add_test(c, test_packets_pass);
	tcase_add_test(c, test_one_percent_lost_passes);
	tcase_add_loop_test(c, test_tenth_missing_fails, 0, 2);
	tcase_add_test(c, test_filter_without_match);
	tcase_add_test(c, test_g711_codes_are_stable);
	tcase_add_test(c, test_wav_round_trip_and_cut_header);
	suite_add_tcase(suite, c);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
