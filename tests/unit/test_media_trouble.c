/* SPDX-License-Identifier: Apache-2.0 */
/* What mediad tells and does while a call runs: missing sound, bad sound, keys
 * pressed, silence that is meant, ports that come again, and too many calls. */
#include <check.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"
#include "media_rig.h"

static const unsigned one_way = GH__MEDIA_EVENT_KIND__MEDIA_ONE_WAY;
static const unsigned none = GH__MEDIA_EVENT_KIND__MEDIA_NONE;
static const unsigned quality = GH__MEDIA_EVENT_KIND__MEDIA_QUALITY;
static const unsigned timed_out = GH__MEDIA_EVENT_KIND__MEDIA_TIMED_OUT;

/* Both sides have to send from now on. */
static void oblige(struct talk *t, uint32_t version, uint32_t timeout_ms)
{
	for (unsigned i = 0; i < SIDE_COUNT; i++) {
		t->side[i].msg.must_send = true;
		t->side[i].msg.timeout_ms = timeout_ms;
	}
	rig_want(&t->rig, version, &t->side[0], &t->side[1]);
}

struct waiting {
	struct talk *t;
	uint32_t seq;
	uint64_t next_us;
	uint64_t end_us; /* talk so long if nothing is told; 0 = for ever */
	unsigned kind;
	bool loses; /* every fourth packet */
};

/* The caller talks meanwhile. */
static bool has_told(struct rig *r, void *arg)
{
	struct waiting *w = arg;

	if (clock_now_us() >= w->next_us) {
		w->next_us = clock_now_us() + 20000;
		w->seq++;
		if (!w->loses || w->seq % 4 != 0)
			say(w->t, SIDE_CALLER, w->seq, 1);
	}
	return r->news.n_events[w->kind] > 0 ||
	       (w->end_us != 0 && clock_now_us() > w->end_us);
}

START_TEST(test_one_way)
{
	struct talk t;
	struct waiting w = {.t = &t, .kind = one_way};

	talk_begin(&t, rig_ip4());
	t.rig.silence_ms = 400;
	rig_configure(&t.rig, 60000, 60000, 0, 5000);
	oblige(&t, 2, 20000);
	rig_until(&t.rig, has_told, &w);
	ck_assert_uint_eq(t.rig.news.event_reason[one_way],
		reason_number(REASON_MEDIA_ONE_WAY));
	/* Once, not several times a second. */
	w.kind = timed_out;
	w.end_us = clock_now_us() + 600000;
	rig_until(&t.rig, has_told, &w);
	ck_assert_uint_eq(t.rig.news.n_events[timed_out], 0);
	ck_assert_uint_eq(t.rig.news.n_events[one_way], 1);
	ck_assert_uint_eq(t.rig.news.n_events[none], 0);
	talk_end(&t);
}
END_TEST

static bool has_event(struct rig *r, void *arg)
{
	return r->news.n_events[*(const unsigned *)arg] > 0;
}

START_TEST(test_none)
{
	struct talk t;
	unsigned kind = none;

	talk_begin(&t, rig_ip4());
	t.rig.silence_ms = 300;
	rig_configure(&t.rig, 60000, 60000, 0, 5000);
	/* A call that is not answered, and one on hold, may be silent. */
	rig_for(&t.rig, 700000);
	ck_assert_uint_eq(t.rig.news.n_events[none], 0);
	oblige(&t, 2, 20000);
	rig_until(&t.rig, has_event, &kind);
	ck_assert_uint_eq(t.rig.news.event_reason[none],
		reason_number(REASON_MEDIA_NONE));
	rig_for(&t.rig, 500000);
	ck_assert_uint_eq(t.rig.news.n_events[none], 1);
	ck_assert_uint_eq(t.rig.news.n_events[one_way], 0);
	talk_end(&t);
}
END_TEST

START_TEST(test_quality)
{
	struct talk t;
	struct waiting w = {.t = &t, .kind = quality, .loses = true};

	talk_begin(&t, rig_ip4());
	t.rig.mos_min_centi = 350;
	rig_configure(&t.rig, 60000, 60000, 0, 5000);
	rig_until(&t.rig, has_told, &w);
	ck_assert_uint_eq(t.rig.news.event_reason[quality],
		reason_number(REASON_MEDIA_QUALITY));
	/* A quarter is lost: Ie,eff = 95 * 25 / 50.1 = 47, R = 45, MOS 2.3. */
	ck_assert_uint_ge(t.rig.news.mos_centi, 180);
	ck_assert_uint_le(t.rig.news.mos_centi, 260);
	talk_end(&t);
}
END_TEST

/* Comfort noise was agreed on: who pauses is not gone, unless its reports stop
 * as well. */
START_TEST(test_pauses)
{
	struct talk t;
	struct rtcp_own own = {
		.ssrc = 0xaaaa0000u, .cname = "peer567890123456"};
	unsigned kind = timed_out;
	static char noise[] = "CN";
	uint8_t b[512];
	struct addr rtcp;
	char text[ADDR_TEXT_SIZE];
	int fd;

	talk_begin(&t, rig_ip4());
	fd = rig_socket(rig_ip4(), &rtcp);
	for (unsigned i = 0; i < SIDE_COUNT; i++) {
		struct rig_side *s = &t.side[i];

		gh__payload__init(&s->payloads[2]);
		s->payloads[2].pt = s->payloads[2].peer_pt = 13;
		s->payloads[2].codec = noise;
		s->payloads[2].clock = 8000;
		s->payloads[2].comfort_noise = true;
		s->list[2] = &s->payloads[2];
		s->msg.n_payloads = 3;
	}
	t.side[0].msg.remote_rtcp = (char *)(uintptr_t)addr_format(&rtcp, text);
	t.rig.silence_ms = 100;
	rig_configure(&t.rig, 60000, 60000, 0, 5000);
	oblige(&t, 2, 200);
	say(&t, SIDE_CALLER, 1, 1);
	(void)hear(&t, SIDE_CALLED, 1);
	rig_for(&t.rig, 800000);
	ck_assert_uint_eq(t.rig.news.n_events[timed_out], 0);
	ck_assert_uint_eq(t.rig.news.n_events[one_way], 0);
	ck_assert_uint_eq(t.rig.news.n_events[none], 0);
	rig_send(fd, t.rig.news.rtcp[SIDE_CALLER], b, rtcp_build(&own, b));
	rig_until(&t.rig, has_event, &kind);
	close(fd);
	talk_end(&t);
}
END_TEST

static void press(struct talk *t, uint32_t seq, uint32_t ts, uint8_t event)
{
	uint8_t b[64];
	size_t n = rig_rtp(b, 101, (uint16_t)seq, ts, 0xaaaa0000u, 0, 4);

	b[12] = event;
	b[13] = 10;
	rig_send(t->fd[SIDE_CALLER], t->port[SIDE_CALLER], b, n);
	n = rig_recv(&t->rig, t->fd[SIDE_CALLED], b, sizeof(b));
	ck_assert_uint_eq(n, 16);
	ck_assert_uint_eq(b[12], event);
}

START_TEST(test_digits)
{
	static const uint8_t events[] = {5, 10, 0, 12};
	const Gh__SessionEnded *ended;
	struct talk t;
	uint32_t seq = 1;

	talk_begin(&t, rig_ip4());
	for (unsigned i = 0; i < sizeof(events); i++) {
		uint32_t ts = 1000 * (i + 1);

		for (unsigned copy = 0; copy < 4; copy++)
			press(&t, seq++, ts, events[i]);
		/* Flash is no key. */
		press(&t, seq++, ts + 500, 16);
	}
	/* The same key once more. */
	press(&t, seq++, 9000, 12);
	rig_end_session(&t.rig);
	ended = t.rig.news.ended->session_ended;
	ck_assert_uint_eq(ended->caller->rx_digits, 5);
	ck_assert_uint_eq(ended->called->rx_digits, 0);
	talk_end(&t);
}
END_TEST

/* A silent direction gets a packet that no player plays, with the next number
 * (RFC 6263 4.6); with rtcp-mux a report does (4.3). */
START_TEST(test_keepalive)
{
	struct talk t;
	uint8_t b[512];
	struct rtp_view v;
	uint16_t before;
	size_t n;

	talk_begin(&t, rig_ip4());
	t.rig.keepalive_ms = 200;
	rig_configure(&t.rig, 60000, 60000, 0, 5000);
	say(&t, SIDE_CALLER, 1, 1);
	before = hear(&t, SIDE_CALLED, 1);
	say(&t, SIDE_CALLED, 1, 2);
	(void)hear(&t, SIDE_CALLER, 2);
	for (unsigned i = 0; i < 2; i++) {
		n = rig_recv(&t.rig, t.fd[SIDE_CALLED], b, sizeof(b));
		ck_assert_uint_eq(n, RTP_HEADER_LEN);
		ck_assert_int_eq(check_fixed(b, n, &v), REASON_RTP_OK);
		ck_assert_uint_eq(v.seq, (uint16_t)++before);
		ck_assert_uint_eq(v.pt, 126);
	}
	say(&t, SIDE_CALLER, 2, 3);
	ck_assert_uint_eq(hear(&t, SIDE_CALLED, 3), (uint16_t)(before + 1));
	/* Held by both: the way stays open all the same. */
	for (unsigned i = 0; i < SIDE_COUNT; i++)
		t.side[i].msg.may_send = t.side[i].msg.may_receive = false;
	rig_want(&t.rig, 2, &t.side[0], &t.side[1]);
	n = rig_recv(&t.rig, t.fd[SIDE_CALLED], b, sizeof(b));
	ck_assert_uint_eq(n, RTP_HEADER_LEN);
	talk_end(&t);
}
END_TEST

/* The peer wants VoIP metrics: its loss comes back to it, in bursts. */
START_TEST(test_voip_metrics)
{
	struct talk t;
	struct rtcp_report r = {0};
	struct rtcp_voip opinion = {.discard_rate = 64,
		.mos_cq = 127,
		.mos_lq = 127,
		.jitter_buffer_ms = 60};
	struct rtcp_own own = {.ssrc = 0xaaaa0000u,
		.cname = "peer567890123456",
		.voip = &opinion};
	const Gh__SessionEnded *ended;
	uint8_t b[512];
	size_t n;
	int rtcp_fd;

	talk_begin(&t, rig_ip4());
	close(t.fd[SIDE_CALLER]);
	t.fd[SIDE_CALLER] = rig_pair(rig_ip4(), &t.addr[SIDE_CALLER], &rtcp_fd);
	rig_side(&t.side[SIDE_CALLER], &t.addr[SIDE_CALLER]);
	t.side[SIDE_CALLER].msg.rtcp_xr = true;
	rig_configure(&t.rig, 60000, 60000, 0, 100);
	rig_want(&t.rig, 2, &t.side[0], &t.side[1]);
	for (uint32_t i = 0; i < 60; i++) {
		if (i == 20 || i == 21 || i == 23)
			continue;
		say(&t, SIDE_CALLER, i, 1);
		(void)hear(&t, SIDE_CALLED, 1);
		rig_for(&t.rig, 18000);
	}
	/* A report from within the burst knows only its beginning. */
	for (unsigned i = 0; i < 200 && r.voip.burst_ms < 60; i++) {
		n = rig_recv(&t.rig, rtcp_fd, b, sizeof(b));
		ck_assert_int_eq(
			rtcp_parse(b, n, 0xaaaa0000u, &r), REASON_RTCP_OK);
	}
	ck_assert_uint_gt(r.voip.loss_rate, 0);
	ck_assert_uint_ge(r.voip.burst_ms, 60);
	ck_assert_uint_le(r.voip.burst_ms, 100);
	ck_assert_uint_gt(r.voip.burst_density, 128);
	ck_assert_uint_le(r.voip.mos_cq, r.voip.mos_lq);
	ck_assert_uint_ge(r.voip.mos_lq, 10);
	/* What it says of our stream stands in the figures of its side. */
	opinion.ssrc = t.rig.news.ssrc[SIDE_CALLER];
	n = rtcp_build(&own, b);
	rig_send(rtcp_fd, t.rig.news.rtcp[SIDE_CALLER], b, n);
	/* 127: it does not know; the newest counts. */
	opinion.mos_cq = 38;
	n = rtcp_build(&own, b);
	rig_send(rtcp_fd, t.rig.news.rtcp[SIDE_CALLER], b, n);
	rig_for(&t.rig, 50000);
	rig_end_session(&t.rig);
	ended = t.rig.news.ended->session_ended;
	ck_assert(ended->caller->peer_voip);
	ck_assert_uint_eq(ended->caller->peer_mos_centi, 380);
	ck_assert_uint_eq(ended->caller->peer_discarded_permille, 250);
	ck_assert_uint_eq(ended->caller->peer_buffer_ms, 60);
	ck_assert(!ended->called->peer_voip);
	close(rtcp_fd);
	talk_end(&t);
}
END_TEST

/* A port that is used again: who still sends for the call before, and is not
 * the new call's peer, is heard by nobody. Meanwhile a port rests. */
START_TEST(test_late_sender)
{
	struct talk t;
	struct addr later;
	char port[ADDR_TEXT_SIZE];
	int fd;

	rig_begin(&t.rig);
	t.rig.port_min = 25000;
	t.rig.port_max = 25003; /* one call */
	rig_configure(&t.rig, 60000, 600000, 0, 5000);
	for (unsigned i = 0; i < SIDE_COUNT; i++) {
		t.fd[i] = rig_socket(rig_ip4(), &t.addr[i]);
		rig_side(&t.side[i], &t.addr[i]);
		t.port[i] = t.rig.news.rtp[i];
	}
	rig_want(&t.rig, 1, &t.side[0], &t.side[1]);
	ck_assert_uint_eq(
		t.rig.news.reason, reason_number(REASON_SESSION_OPEN));
	say(&t, SIDE_CALLER, 1, 1);
	(void)hear(&t, SIDE_CALLED, 1);
	(void)snprintf(port, sizeof(port), "%s", t.port[SIDE_CALLER]);
	rig_end_session(&t.rig);
	t.rig.call = "ZZZZZZZZZZZZZZZZ";
	rig_want(&t.rig, 1, &t.side[0], &t.side[1]);
	ck_assert_uint_eq(
		t.rig.news.reason, reason_number(REASON_SESSION_NO_PORT));
	/* The same again without the rest. */
	talk_end(&t);

	rig_begin(&t.rig);
	t.rig.port_min = 25000;
	t.rig.port_max = 25003;
	rig_configure(&t.rig, 60000, 0, 0, 5000);
	for (unsigned i = 0; i < SIDE_COUNT; i++) {
		t.fd[i] = rig_socket(rig_ip4(), &t.addr[i]);
		rig_side(&t.side[i], &t.addr[i]);
	}
	fd = rig_socket(rig_ip4(), &later);
	rig_want(&t.rig, 1, &t.side[0], &t.side[1]);
	rig_end_session(&t.rig);
	rig_side(&t.side[0], &later);
	rig_want(&t.rig, 2, &t.side[0], &t.side[1]);
	ck_assert_uint_eq(
		t.rig.news.reason, reason_number(REASON_SESSION_OPEN));
	for (uint32_t i = 0; i < 5; i++)
		say(&t, SIDE_CALLER, i, 9);
	rig_for(&t.rig, 50000);
	ck_assert(rig_is_quiet(t.fd[SIDE_CALLED]));
	rig_end_session(&t.rig);
	ck_assert_uint_eq(drops(t.rig.news.ended->session_ended->caller,
				  REASON_RTP_SOURCE),
		5);
	close(fd);
	talk_end(&t);
}
END_TEST

/* The two sides chose different numbers for the same codec and events. */
START_TEST(test_payload_types_mapped)
{
	struct talk t;
	struct rtp_view v;
	uint8_t b[512];
	size_t n;

	talk_begin(&t, rig_ip4());
	t.side[0].payloads[0].pt = 97;
	t.side[1].payloads[0].peer_pt = 97;
	t.side[0].payloads[1].peer_pt = 96;
	t.side[1].payloads[1].pt = 96;
	rig_want(&t.rig, 2, &t.side[0], &t.side[1]);
	n = rig_rtp(b, 97 | 0x80, 1, 160, 0xaaaa0000u, 5, 160);
	rig_send(t.fd[0], t.port[0], b, n);
	n = rig_recv(&t.rig, t.fd[1], b, sizeof(b));
	ck_assert_int_eq(check_fixed(b, n, &v), REASON_RTP_OK);
	ck_assert_uint_eq(v.pt, 8);
	n = rig_rtp(b, 101, 2, 320, 0xaaaa0000u, 0, 4);
	rig_send(t.fd[0], t.port[0], b, n);
	n = rig_recv(&t.rig, t.fd[1], b, sizeof(b));
	ck_assert_int_eq(check_fixed(b, n, &v), REASON_RTP_OK);
	ck_assert_uint_eq(v.pt, 96);
	/* Its own number for the codec, which the other side uses. */
	n = rig_rtp(b, 8, 3, 480, 0xaaaa0000u, 5, 160);
	rig_send(t.fd[0], t.port[0], b, n);
	n = rig_rtp(b, 8, 1, 160, 0xaaaa0001u, 6, 160);
	rig_send(t.fd[1], t.port[1], b, n);
	n = rig_recv(&t.rig, t.fd[0], b, sizeof(b));
	ck_assert_int_eq(check_fixed(b, n, &v), REASON_RTP_OK);
	ck_assert_uint_eq(v.pt, 97);
	rig_end_session(&t.rig);
	ck_assert_uint_eq(drops(t.rig.news.ended->session_ended->caller,
				  REASON_RTP_PAYLOAD_TYPE),
		1);
	talk_end(&t);
}
END_TEST

/* The class of service that a packet arrived with; -1 = none. */
static int class_of(struct rig *r, int fd)
{
	uint8_t bytes[512], control[128];
	struct iovec iov = {bytes, sizeof(bytes)};
	struct msghdr m = {.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control)};
	uint64_t end_us = clock_now_us() + RIG_PATIENCE_US;

	while (recvmsg(fd, &m, MSG_DONTWAIT) < 0) {
		ck_assert_msg(clock_now_us() < end_us, "nothing came");
		rig_for(r, 1000);
	}
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c)) {
		int word;

		if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_TOS)
			return *CMSG_DATA(c);
		if (c->cmsg_level != IPPROTO_IPV6 ||
			c->cmsg_type != IPV6_TCLASS)
			continue;
		memcpy(&word, CMSG_DATA(c), sizeof(word));
		return word;
	}
	return -1;
}

/* Expedited forwarding on each family, and another class after a change. */
START_TEST(test_dscp)
{
	static const char *const ips[] = {NULL, "::1"};
	struct talk t;
	int on = 1;

	talk_begin(&t, ips[_i] ? ips[_i] : rig_ip4());
	for (unsigned i = 0; i < SIDE_COUNT; i++)
		ck_assert_int_eq(
			setsockopt(t.fd[i], _i ? IPPROTO_IPV6 : IPPROTO_IP,
				_i ? IPV6_RECVTCLASS : IP_RECVTOS, &on,
				sizeof(on)),
			0);
	t.side[1].msg.dscp = 46;
	rig_want(&t.rig, 2, &t.side[0], &t.side[1]);
	say(&t, SIDE_CALLER, 1, 1);
	ck_assert_int_eq(class_of(&t.rig, t.fd[1]), 46 << 2);
	say(&t, SIDE_CALLED, 1, 1);
	ck_assert_int_eq(class_of(&t.rig, t.fd[0]), 0);
	t.side[1].msg.dscp = 34;
	rig_want(&t.rig, 3, &t.side[0], &t.side[1]);
	say(&t, SIDE_CALLER, 2, 1);
	ck_assert_int_eq(class_of(&t.rig, t.fd[1]), 34 << 2);
	talk_end(&t);
}
END_TEST

/* A peer says goodbye by RTCP and talks on; and what has no business on an
 * RTCP port is told apart. */
START_TEST(test_bye_changes_nothing)
{
	struct talk t;
	struct rtcp_own own = {
		.ssrc = 0xaaaa0000u, .cname = "peer567890123456", .bye = true};
	uint8_t b[512] = {0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42};
	struct addr rtcp;
	char text[ADDR_TEXT_SIZE];
	int fd;

	talk_begin(&t, rig_ip4());
	fd = rig_socket(rig_ip4(), &rtcp);
	t.side[0].msg.remote_rtcp = (char *)(uintptr_t)addr_format(&rtcp, text);
	rig_want(&t.rig, 2, &t.side[0], &t.side[1]);
	say(&t, SIDE_CALLER, 1, 1);
	(void)hear(&t, SIDE_CALLED, 1);
	rig_send(fd, t.rig.news.rtcp[0], b, 20);                 /* STUN */
	rig_send(fd, t.rig.news.rtcp[0], (uint8_t[]){20, 0}, 2); /* DTLS */
	rig_send(t.fd[0], t.port[0], b, 20);
	rig_send(fd, t.rig.news.rtcp[0], b, rtcp_build(&own, b));
	say(&t, SIDE_CALLER, 2, 2);
	(void)hear(&t, SIDE_CALLED, 2);
	say(&t, SIDE_CALLED, 1, 3);
	(void)hear(&t, SIDE_CALLER, 3);
	rig_for(&t.rig, 50000);
	rig_end_session(&t.rig);
	const Gh__MediaStats *s = t.rig.news.ended->session_ended->caller;

	ck_assert_uint_eq(s->rtcp_rx, 1);
	ck_assert_uint_eq(drops(s, REASON_RTP_STUN), 2);
	ck_assert_uint_eq(drops(s, REASON_RTP_CLASS), 1);
	ck_assert_uint_eq(
		t.rig.news.n_events[GH__MEDIA_EVENT_KIND__MEDIA_VIOLATION], 1);
	close(fd);
	talk_end(&t);
}
END_TEST

/* The seventeenth call of sixteen is refused, and the first one talks on. */
START_TEST(test_overload)
{
	struct talk t;
	char call[IDENT_CALL_SIZE];

	talk_begin(&t, rig_ip4());
	for (unsigned n = 0; n < 16; n++) {
		(void)snprintf(call, sizeof(call), "%016u", n);
		t.rig.call = call;
		struct rig_side side[SIDE_COUNT] = {t.side[0], t.side[1]};
		char rtp[SIDE_COUNT][ADDR_TEXT_SIZE];

		memcpy(rtp, t.rig.news.rtp, sizeof(rtp));
		for (unsigned i = 0; i < SIDE_COUNT; i++)
			rig_side(&side[i], &t.addr[i]);
		rig_want(&t.rig, 1, &side[0], &side[1]);
		/* say() sends to the first call's ports. */
		memcpy(t.rig.news.rtp, rtp, sizeof(rtp));
		ck_assert_uint_eq(t.rig.news.reason,
			reason_number(n < 15 ? REASON_SESSION_OPEN
					     : REASON_SESSION_FULL));
	}
	t.rig.call = RIG_CALL;
	rig_want(&t.rig, 2, &t.side[0], &t.side[1]);
	ck_assert_uint_eq(
		t.rig.news.reason, reason_number(REASON_SESSION_OPEN));
	say(&t, SIDE_CALLER, 1, 1);
	(void)hear(&t, SIDE_CALLED, 1);
	talk_end(&t);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("media_trouble");
	TCase *t = tcase_create("live");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_set_timeout(t, 60);
	tcase_add_test(t, test_one_way);
	tcase_add_test(t, test_none);
	tcase_add_test(t, test_quality);
	tcase_add_test(t, test_pauses);
	tcase_add_test(t, test_digits);
	tcase_add_test(t, test_keepalive);
	tcase_add_test(t, test_voip_metrics);
	tcase_add_test(t, test_payload_types_mapped);
	tcase_add_loop_test(t, test_dscp, 0, 2);
	tcase_add_test(t, test_bye_changes_nothing);
	tcase_add_test(t, test_late_sender);
	tcase_add_test(t, test_overload);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? 1 : 0;
}
