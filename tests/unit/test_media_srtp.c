/* SPDX-License-Identifier: Apache-2.0 */
/* SRTP through mediad's real objects, between any mix of legs. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "media_rig.h"

/* What a peer with keys needs. */
struct peer_keys {
	struct srtp_leg *out, *in;
};

static void peer_keys_begin(struct talk *t, enum side side,
	enum srtp_suite suite, uint8_t fill, struct peer_keys *k)
{
	struct srtp_master peer, own;

	rig_keys(&t->side[side], suite, fill, (uint8_t)(fill + 1), &peer, &own);
	ck_assert_int_eq(
		srtp_leg_new_sender(&peer, 0xaaaa0000u + side, &k->out), 0);
	ck_assert_int_eq(srtp_leg_new_receiver(&own, &k->in), 0);
}

static void peer_keys_end(struct peer_keys *k)
{
	srtp_leg_free(&k->out);
	srtp_leg_free(&k->in);
}

static void say_secret(struct talk *t, enum side from, struct peer_keys *k,
	uint32_t seq, uint8_t fill)
{
	_Alignas(4) uint8_t b[512];
	size_t n = rig_rtp(b, PT_PCMA, (uint16_t)seq, 160u * seq,
		0xaaaa0000u + from, fill, 160);

	if (k != NULL)
		ck_assert(srtp_leg_protect(k->out, b, &n));
	rig_send(t->fd[from], t->port[from], b, n);
}

static void hear_secret(
	struct talk *t, enum side at, struct peer_keys *k, uint8_t fill)
{
	_Alignas(4) uint8_t b[2048];
	size_t n = rig_recv(&t->rig, t->fd[at], b, sizeof(b));

	if (k != NULL) {
		size_t same = 0;

		ck_assert_uint_gt(n, 172);
		for (size_t i = 12; i < 172; i++)
			same += b[i] == fill;
		ck_assert_uint_lt(same, 20);
		ck_assert_int_eq(srtp_leg_open(k->in, b, &n), REASON_RTP_OK);
	}
	ck_assert_uint_eq(n, 172);
	for (size_t i = 12; i < n; i++)
		ck_assert_uint_eq(b[i], fill);
}

/* Each suite on the caller's side with each one, or none, on the called. */
START_TEST(test_srtp_mix)
{
	enum srtp_suite a = 1 + (enum srtp_suite)(_i / SRTP_SUITE_COUNT);
	enum srtp_suite b = (enum srtp_suite)(_i % SRTP_SUITE_COUNT);
	struct talk t;
	struct peer_keys ka, kb, *pb = b == SRTP_SUITE_NONE ? NULL : &kb;

	talk_begin(&t, rig_ip4());
	peer_keys_begin(&t, SIDE_CALLER, a, 0x11, &ka);
	if (pb != NULL)
		peer_keys_begin(&t, SIDE_CALLED, b, 0x41, pb);
	rig_want(&t.rig, 2, &t.side[0], &t.side[1]);
	for (uint32_t i = 0; i < 5; i++) {
		say_secret(&t, SIDE_CALLER, &ka, 65533 + i, (uint8_t)i);
		hear_secret(&t, SIDE_CALLED, pb, (uint8_t)i);
		say_secret(&t, SIDE_CALLED, pb, i, (uint8_t)(i + 50));
		hear_secret(&t, SIDE_CALLER, &ka, (uint8_t)(i + 50));
	}
	peer_keys_end(&ka);
	if (pb != NULL)
		peer_keys_end(pb);
	talk_end(&t);
}
END_TEST

/* Plain, forged and replayed packets on a leg with keys; the same keys again
 * do not start the packet index anew. */
START_TEST(test_srtp_refusals)
{
	struct talk t;
	struct peer_keys k;
	_Alignas(4) uint8_t b[512];
	size_t n;

	talk_begin(&t, rig_ip4());
	peer_keys_begin(
		&t, SIDE_CALLER, SRTP_SUITE_AES_CM_128_HMAC_SHA1_80, 0x11, &k);
	t.side[0].msg.srtp_required = true;
	rig_want(&t.rig, 2, &t.side[0], &t.side[1]);
	say_secret(&t, SIDE_CALLER, NULL, 1, 0x66);
	n = rig_rtp(b, PT_PCMA, 2, 320, 0xaaaa0000u, 0x66, 160);
	ck_assert(srtp_leg_protect(k.out, b, &n));
	b[50] ^= 1;
	rig_send(t.fd[0], t.port[0], b, n);
	b[50] ^= 1;
	rig_send(t.fd[0], t.port[0], b, n);
	hear_secret(&t, SIDE_CALLED, NULL, 0x66);
	rig_want(&t.rig, 3, &t.side[0], &t.side[1]);
	rig_send(t.fd[0], t.port[0], b, n); /* a replay */
	say_secret(&t, SIDE_CALLER, &k, 3, 0x67);
	hear_secret(&t, SIDE_CALLED, NULL, 0x67);
	say_secret(&t, SIDE_CALLED, NULL, 1, 0x68);
	hear_secret(&t, SIDE_CALLER, &k, 0x68);
	rig_end_session(&t.rig);
	const Gh__MediaStats *s = t.rig.news.ended->session_ended->caller;

	ck_assert_uint_eq(drops(s, REASON_RTP_AUTH), 2);
	ck_assert_uint_eq(drops(s, REASON_RTP_REPLAY), 1);
	ck_assert_uint_eq(s->rx_packets, 2);
	peer_keys_end(&k);
	talk_end(&t);
}
END_TEST

static size_t report(
	struct srtp_leg *key, uint8_t *bytes, const struct rtcp_own *own)
{
	size_t n = rtcp_build(own, bytes);

	ck_assert(srtp_leg_protect_rtcp(key, bytes, &n));
	return n;
}

/* SRTCP has its long tag with each suite: a shorter one, a wrong one and none
 * are counted, and a good report is read all the same. */
START_TEST(test_srtcp_refusals)
{
	_Alignas(4) uint8_t b[RTCP_BUILD_MAX + SRTP_TRAILER_MAX];
	struct rtcp_own own = {
		.ssrc = 0xaaaa0000u, .cname = "peer567890123456"};
	const Gh__MediaStats *s;
	struct peer_keys k;
	struct talk t;
	int rtcp_fd;
	size_t n;

	talk_begin(&t, rig_ip4());
	close(t.fd[SIDE_CALLER]);
	t.fd[SIDE_CALLER] = rig_pair(rig_ip4(), &t.addr[SIDE_CALLER], &rtcp_fd);
	rig_side(&t.side[SIDE_CALLER], &t.addr[SIDE_CALLER]);
	peer_keys_begin(&t, SIDE_CALLER,
		(enum srtp_suite)(SRTP_SUITE_NONE + 1 + _i), 0x11, &k);
	rig_want(&t.rig, 2, &t.side[0], &t.side[1]);
	say_secret(&t, SIDE_CALLER, &k, 1, 0x66);
	hear_secret(&t, SIDE_CALLED, NULL, 0x66);
	n = report(k.out, b, &own);
	rig_send(rtcp_fd, t.rig.news.rtcp[SIDE_CALLER], b, n - 6);
	n = report(k.out, b, &own);
	b[12] ^= 1;
	rig_send(rtcp_fd, t.rig.news.rtcp[SIDE_CALLER], b, n);
	n = rtcp_build(&own, b);
	rig_send(rtcp_fd, t.rig.news.rtcp[SIDE_CALLER], b, n);
	n = report(k.out, b, &own);
	rig_send(rtcp_fd, t.rig.news.rtcp[SIDE_CALLER], b, n);
	rig_send(rtcp_fd, t.rig.news.rtcp[SIDE_CALLER], b, n); /* a replay */
	rig_for(&t.rig, 50000);
	say_secret(&t, SIDE_CALLER, &k, 2, 0x67);
	hear_secret(&t, SIDE_CALLED, NULL, 0x67);
	rig_end_session(&t.rig);
	s = t.rig.news.ended->session_ended->caller;
	ck_assert_uint_eq(drops(s, REASON_RTCP_AUTH), 3);
	ck_assert_uint_eq(drops(s, REASON_RTP_REPLAY), 1);
	ck_assert_uint_eq(s->rtcp_rx, 1);
	ck_assert_uint_eq(s->rx_packets, 2);
	peer_keys_end(&k);
	close(rtcp_fd);
	talk_end(&t);
}
END_TEST

/* Encryption is required and there is no key yet: nothing passes. */
START_TEST(test_srtp_required)
{
	struct talk t;

	talk_begin(&t, rig_ip4());
	t.side[0].msg.srtp_required = true;
	rig_want(&t.rig, 2, &t.side[0], &t.side[1]);
	say(&t, SIDE_CALLER, 1, 1);
	say(&t, SIDE_CALLED, 1, 1);
	rig_for(&t.rig, 100000);
	rig_end_session(&t.rig);
	ck_assert(rig_is_quiet(t.fd[0]));
	ck_assert(rig_is_quiet(t.fd[1]));
	const Gh__SessionEnded *e = t.rig.news.ended->session_ended;

	ck_assert_uint_eq(drops(e->caller, REASON_RTP_PLAIN), 1);
	ck_assert_uint_eq(e->caller->rx_packets, 0);
	ck_assert_uint_eq(e->caller->tx_packets, 0);
	talk_end(&t);
}
END_TEST

START_TEST(test_srtp_bad_key)
{
	struct talk t;
	struct srtp_master a, b;

	talk_begin(&t, rig_ip4());
	rig_keys(&t.side[0], SRTP_SUITE_AEAD_AES_128_GCM, 1, 2, &a, &b);
	t.side[0].receive.master.len--;
	rig_want(&t.rig, 2, &t.side[0], &t.side[1]);
	ck_assert_uint_eq(
		t.rig.news.reason, reason_number(REASON_SESSION_REFUSED));
	talk_end(&t);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("media_srtp");
	TCase *t = tcase_create("live");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_set_timeout(t, 60);
	tcase_add_loop_test(
		t, test_srtp_mix, 0, (SRTP_SUITE_COUNT - 1) * SRTP_SUITE_COUNT);
	tcase_add_test(t, test_srtp_refusals);
	tcase_add_loop_test(t, test_srtcp_refusals, 0, SRTP_SUITE_COUNT - 1);
	tcase_add_test(t, test_srtp_required);
	tcase_add_test(t, test_srtp_bad_key);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? 1 : 0;
}
