/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Packets that no honest peer sends, one of each kind, in the middle of speech:
 * each is counted by its own reason and changes nothing; the next good packet
 * goes on as if it had not been. RTP first, then RTCP. And the longest gap.
 */
#include <check.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "mediad/rtcp.h"
#include "tests/unit/media_rig.h"

#define OWN_SSRC 0xaaaa0000u

struct bad {
	const char *name;
	enum reason why;
	uint8_t first; /* octet of the header */
	uint8_t pt;
	uint8_t fill;
	int16_t ahead; /* of the next good number */
	uint32_t ssrc;
	size_t n_octets;
	size_t cut; /* length of the whole; 0 = as it is */
};

#define PCMA_160 160, 0
static const struct bad bad[] = {
	{"four octets", REASON_RTP_SHORT, 0x80, 8, 1, 0, OWN_SSRC, 160, 4},
	{"version 0", REASON_RTP_VERSION, 0x04, 8, 1, 0, OWN_SSRC, PCMA_160},
	{"version 3", REASON_RTP_VERSION, 0xc0, 8, 1, 0, OWN_SSRC, PCMA_160},
	{"STUN", REASON_RTP_STUN, 0x00, 1, 1, 0, OWN_SSRC, PCMA_160},
	{"DTLS", REASON_RTP_CLASS, 22, 8, 1, 0, OWN_SSRC, PCMA_160},
	{"TURN", REASON_RTP_CLASS, 0x40, 8, 1, 0, OWN_SSRC, PCMA_160},
	{"RTCP without mux", REASON_RTP_CLASS, 0x80, 200, 1, 0, OWN_SSRC,
		PCMA_160},
	{"too big", REASON_RTP_TOO_BIG, 0x80, 8, 1, 0, OWN_SSRC, 1900, 0},
	{"CSRC list over the end", REASON_RTP_CSRC, 0x8f, 8, 1, 0, OWN_SSRC, 20,
		0},
	{"extension over the end", REASON_RTP_EXTENSION, 0x90, 8, 0xff, 0,
		OWN_SSRC, PCMA_160},
	{"payload type", REASON_RTP_PAYLOAD_TYPE, 0x80, 96, 1, 0, OWN_SSRC,
		PCMA_160},
	{"another SSRC", REASON_RTP_SSRC, 0x80, 8, 1, 0, OWN_SSRC ^ 1,
		PCMA_160},
	{"no padding in the padding", REASON_RTP_PADDING, 0xa0, 8, 0, 0,
		OWN_SSRC, PCMA_160},
	{"padding over the header", REASON_RTP_PADDING, 0xa0, 8, 0xff, 0,
		OWN_SSRC, PCMA_160},
	{"empty", REASON_RTP_EMPTY, 0x80, 8, 1, 0, OWN_SSRC, 0, 0},
	{"all padding", REASON_RTP_EMPTY, 0xa0, 8, 4, 0, OWN_SSRC, 4, 0},
	{"too long for the codec", REASON_RTP_SIZE, 0x80, 8, 1, 0, OWN_SSRC,
		1400, 0},
	{"event of no size", REASON_RTP_SIZE, 0x80, 101, 1, 0, OWN_SSRC, 3, 0},
	{"the same again", REASON_RTP_REPLAY, 0x80, 8, 1, -1, OWN_SSRC,
		PCMA_160},
	{"a number from elsewhere", REASON_RTP_SEQUENCE, 0x80, 8, 1, 9000,
		OWN_SSRC, PCMA_160},
};
#define N_BAD (sizeof(bad) / sizeof(bad[0]))

static void send_bad(struct talk *t, const struct bad *p, uint32_t seq)
{
	uint8_t b[2048];
	uint32_t number = seq + (uint32_t)p->ahead;
	size_t n = rig_rtp(b, p->pt, (uint16_t)number, number * 160, p->ssrc,
		p->fill, p->n_octets);

	b[0] = p->first;
	b[1] = p->pt;
	rig_send(t->fd[SIDE_CALLER], t->port[SIDE_CALLER], b,
		p->cut ? p->cut : n);
}

START_TEST(test_rtp)
{
	uint64_t wanted[LEG_DROPS] = {0}, n_all = 0;
	const Gh__MediaStats *s;
	struct talk t;
	uint16_t before;
	uint32_t seq = 1;

	talk_begin(&t, rig_ip4());
	say(&t, SIDE_CALLER, seq++, 1);
	before = hear(&t, SIDE_CALLED, 1);
	for (size_t i = 0; i < N_BAD; i++) {
		send_bad(&t, &bad[i], seq);
		wanted[bad[i].why - REASON_RTP_OK]++;
		say(&t, SIDE_CALLER, seq++, 1);
		/* Only the good one comes out, with the next number. */
		ck_assert_msg(
			hear(&t, SIDE_CALLED, 1) == (uint16_t)(before + 1 + i),
			"after %s", bad[i].name);
		/* Within the rate of the codec. */
		rig_for(&t.rig, 40000);
	}
	rig_end_session(&t.rig);
	s = t.rig.news.ended->session_ended->caller;
	ck_assert_uint_eq(s->rx_packets, N_BAD + 1);
	ck_assert_uint_eq(s->rx_lost, 0);
	for (size_t i = 0; i < N_BAD; i++)
		ck_assert_msg(drops(s, bad[i].why) ==
				      wanted[bad[i].why - REASON_RTP_OK],
			"%s: %llu", bad[i].name,
			(unsigned long long)drops(s, bad[i].why));
	for (size_t i = 0; i < s->n_drops; i++)
		n_all += s->drops[i]->n;
	ck_assert_uint_eq(n_all, N_BAD);
	talk_end(&t);
}
END_TEST

/* An empty receiver's report. */
#define RR(type, words, ssrc_end)                                              \
	0x80, (type), 0, (words), 0xaa, 0xaa, 0, (ssrc_end)

static const struct {
	const char *name;
	enum reason why;
	uint8_t bytes[12];
	size_t len;
} bad_reports[] = {
	{"four octets", REASON_RTCP_SHORT, {0x80, 201, 0, 0}, 4},
	{"another SSRC", REASON_RTCP_SSRC, {RR(201, 1, 1)}, 8},
	{"over the end", REASON_RTCP_LENGTH, {RR(201, 7, 0)}, 8},
	{"a kind of tomorrow", REASON_RTCP_TYPE, {RR(208, 1, 0)}, 8},
	{"a stray word", REASON_RTCP_VERSION, {RR(201, 1, 0), 0, 201, 0, 0},
		12},
	{"sound", REASON_RTP_CLASS, {RR(8, 1, 0)}, 8},
};
#define N_BAD_REPORTS (sizeof(bad_reports) / sizeof(bad_reports[0]))

START_TEST(test_reports)
{
	static const uint8_t good[] = {RR(201, 1, 0)};
	const Gh__MediaStats *s;
	struct talk t;
	int fd;

	talk_begin(&t, rig_ip4());
	close(t.fd[SIDE_CALLER]);
	t.fd[SIDE_CALLER] = rig_pair(rig_ip4(), &t.addr[SIDE_CALLER], &fd);
	rig_side(&t.side[SIDE_CALLER], &t.addr[SIDE_CALLER]);
	rig_want(&t.rig, 2, &t.side[0], &t.side[1]);
	say(&t, SIDE_CALLER, 1, 1);
	(void)hear(&t, SIDE_CALLED, 1);
	for (size_t i = 0; i < N_BAD_REPORTS; i++)
		rig_send(fd, t.rig.news.rtcp[SIDE_CALLER], bad_reports[i].bytes,
			bad_reports[i].len);
	rig_send(fd, t.rig.news.rtcp[SIDE_CALLER], good, sizeof(good));
	/* A flood is cut, and the sound goes on. */
	for (unsigned i = 0; i < 60; i++)
		rig_send(fd, t.rig.news.rtcp[SIDE_CALLER], good, sizeof(good));
	rig_for(&t.rig, 50000);
	say(&t, SIDE_CALLER, 2, 1);
	(void)hear(&t, SIDE_CALLED, 1);
	rig_end_session(&t.rig);
	s = t.rig.news.ended->session_ended->caller;
	for (size_t i = 0; i < N_BAD_REPORTS; i++)
		ck_assert_msg(drops(s, bad_reports[i].why) == 1, "%s: %llu",
			bad_reports[i].name,
			(unsigned long long)drops(s, bad_reports[i].why));
	ck_assert_uint_ge(s->rtcp_rx, 1);
	ck_assert_uint_gt(drops(s, REASON_RTCP_RATE), 20);
	ck_assert_uint_eq(s->rtcp_rx + drops(s, REASON_RTCP_RATE), 61);
	ck_assert_uint_eq(s->rx_packets, 2);
	close(fd);
	talk_end(&t);
}
END_TEST

/* The longest time between two packets; before a marker silence was meant. */
START_TEST(test_gap)
{
	const Gh__MediaStats *s;
	struct talk t;
	uint64_t began_us, passed_us;
	uint8_t b[512];
	size_t n;

	talk_begin(&t, rig_ip4());
	began_us = clock_now_us();
	say(&t, SIDE_CALLER, 1, 1);
	(void)hear(&t, SIDE_CALLED, 1);
	rig_for(&t.rig, 300000);
	say(&t, SIDE_CALLER, 2, 1);
	(void)hear(&t, SIDE_CALLED, 1);
	passed_us = clock_now_us() - began_us;
	rig_for(&t.rig, passed_us + 200000);
	n = rig_rtp(b, PT_PCMA, 3, 3 * 160, OWN_SSRC, 1, 160);
	b[1] |= 0x80;
	rig_send(t.fd[SIDE_CALLER], t.port[SIDE_CALLER], b, n);
	n = rig_recv(&t.rig, t.fd[SIDE_CALLED], b, sizeof(b));
	ck_assert_uint_eq(n, 172);
	rig_end_session(&t.rig);
	s = t.rig.news.ended->session_ended->caller;
	ck_assert_uint_eq(s->rx_packets, 3);
	ck_assert_uint_ge(s->rx_gap_max_us, 290000);
	ck_assert_uint_le(s->rx_gap_max_us, passed_us);
	talk_end(&t);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("media_drops");
	TCase *t = tcase_create("live");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_set_timeout(t, 60);
	tcase_add_test(t, test_rtp);
	tcase_add_test(t, test_reports);
	tcase_add_test(t, test_gap);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? 1 : 0;
}
