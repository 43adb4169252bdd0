/* SPDX-License-Identifier: Apache-2.0 */
/* mediad as a whole, from the wanted state to packets on loopback. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/control.h"
#include "media_rig.h"

#define PT_PCMA 8

/* A session between two peers at their signaled addresses. */
struct talk {
	struct rig rig;
	struct rig_side side[SIDE_COUNT];
	int fd[SIDE_COUNT];
	struct addr addr[SIDE_COUNT];
	const char *port[SIDE_COUNT]; /* mediad's */
};

static void talk_begin(struct talk *t, const char *ip)
{
	rig_begin(&t->rig);
	for (unsigned i = 0; i < SIDE_COUNT; i++) {
		t->fd[i] = rig_socket(ip, &t->addr[i]);
		rig_side(&t->side[i], &t->addr[i]);
		t->port[i] = t->rig.news.rtp[i];
	}
	rig_want(&t->rig, 1, &t->side[0], &t->side[1]);
	ck_assert_uint_eq(
		t->rig.news.reason, reason_number(REASON_SESSION_OPEN));
}

static void talk_end(struct talk *t)
{
	close(t->fd[0]);
	close(t->fd[1]);
	rig_end(&t->rig);
}

static void say(struct talk *t, enum side from, uint32_t seq, uint8_t fill)
{
	uint8_t b[512];
	size_t n = rig_rtp(b, PT_PCMA, (uint16_t)seq, 160u * seq,
		0xaaaa0000u + from, fill, 160);

	rig_send(t->fd[from], t->port[from], b, n);
}

static uint16_t hear(struct talk *t, enum side at, uint8_t fill)
{
	uint8_t b[2048];
	size_t n = rig_recv(&t->rig, t->fd[at], b, sizeof(b));
	struct rtp_view v;

	ck_assert_uint_eq(n, 172);
	ck_assert_int_eq(check_fixed(b, n, &v), REASON_RTP_OK);
	ck_assert_uint_eq(b[0], 0x80);
	ck_assert_uint_eq(v.pt, PT_PCMA);
	ck_assert_uint_eq(v.ssrc, t->rig.news.ssrc[at]);
	ck_assert_uint_eq(b[12], fill);
	ck_assert_uint_eq(b[171], fill);
	return v.seq;
}

static void both_ways(const char *ip)
{
	struct talk t;
	uint16_t last[SIDE_COUNT] = {0};

	talk_begin(&t, ip);
	for (uint16_t i = 0; i < 20; i++) {
		for (unsigned from = 0; from < SIDE_COUNT; from++) {
			enum side to = 1 - from;
			uint8_t fill = (uint8_t)(i * 2 + from);

			say(&t, from, 65530u + i, fill);
			uint16_t seq = hear(&t, to, fill);

			if (i > 0)
				ck_assert_uint_eq(
					seq, (uint16_t)(last[to] + 1));
			else
				ck_assert_uint_lt(seq, 0x8000);
			last[to] = seq;
		}
	}
	rig_end_session(&t.rig);
	const Gh__SessionEnded *e = t.rig.news.ended->session_ended;

	ck_assert_uint_eq(e->request, 77);
	ck_assert_uint_eq(e->reason, reason_number(REASON_SESSION_CLOSED));
	const Gh__MediaStats *s[] = {e->caller, e->called};

	for (unsigned i = 0; i < SIDE_COUNT; i++) {
		char text[ADDR_TEXT_SIZE];

		ck_assert_uint_eq(s[i]->rx_packets, 20);
		ck_assert_uint_eq(s[i]->rx_octets, 3200);
		ck_assert_uint_eq(s[i]->tx_packets, 20);
		ck_assert_uint_eq(s[i]->tx_octets, 3200);
		ck_assert_uint_eq(s[i]->rx_expected, 20);
		ck_assert_uint_eq(s[i]->rx_lost, 0);
		ck_assert_uint_eq(s[i]->n_drops, 0);
		ck_assert_str_eq(s[i]->codec, "PCMA");
		ck_assert_str_eq(s[i]->learned, addr_format(&t.addr[i], text));
		ck_assert_uint_eq(s[i]->learn_reason,
			reason_number(REASON_LEARN_SIGNALED));
		ck_assert_uint_gt(s[i]->mos_centi, 400);
		ck_assert_uint_ge(s[i]->wall_last_us, s[i]->wall_first_us);
		ck_assert_uint_gt(s[i]->wall_first_us, 0);
	}
	talk_end(&t);
}

START_TEST(test_both_ways)
{
	both_ways("127.0.0.1");
}
END_TEST

START_TEST(test_both_ways_ipv6)
{
	both_ways("::1");
}
END_TEST

static uint64_t drops(const Gh__MediaStats *s, enum reason why)
{
	for (size_t i = 0; i < s->n_drops; i++)
		if (s->drops[i]->reason == reason_number(why))
			return s->drops[i]->n;
	return 0;
}

/* A third socket sprays before, while and after the peers talk. */
START_TEST(test_stranger)
{
	struct talk t;
	struct addr stranger_addr;
	uint8_t b[512];
	int stranger;
	size_t n = rig_rtp(b, PT_PCMA, 500, 0, 0xbad, 0xee, 160);

	talk_begin(&t, "127.0.0.1");
	stranger = rig_socket("127.0.0.1", &stranger_addr);
	for (int i = 0; i < 10; i++) {
		rig_send(stranger, t.port[0], b, n);
		rig_send(stranger, t.rig.news.rtcp[0], b, n);
	}
	for (uint16_t i = 0; i < 10; i++) {
		rig_send(stranger, t.port[0], b, n);
		rig_send(stranger, t.port[1], b, n);
		say(&t, SIDE_CALLER, i, 1);
		rig_send(stranger, t.port[0], b, n);
		(void)hear(&t, SIDE_CALLED, 1);
		say(&t, SIDE_CALLED, i, 2);
		(void)hear(&t, SIDE_CALLER, 2);
	}
	rig_end_session(&t.rig);
	ck_assert(rig_is_quiet(stranger));
	/* Only our BYE on the other port may have come after the speech. */
	ck_assert(rig_is_quiet(t.fd[0]));
	ck_assert(rig_is_quiet(t.fd[1]));
	const Gh__SessionEnded *e = t.rig.news.ended->session_ended;
	char text[ADDR_TEXT_SIZE];

	ck_assert_uint_ge(drops(e->caller, REASON_RTP_SOURCE), 10);
	ck_assert_uint_ge(drops(e->caller, REASON_RTCP_SOURCE), 1);
	ck_assert_uint_ge(drops(e->called, REASON_RTP_SOURCE), 1);
	ck_assert_str_eq(
		e->caller->refused_source, addr_format(&stranger_addr, text));
	ck_assert_uint_eq(e->caller->rx_packets, 10);
	ck_assert_uint_eq(e->called->tx_packets, 10);
	close(stranger);
	talk_end(&t);
}
END_TEST

/* CSRC list, header extension and padding stay behind. */
START_TEST(test_stripped)
{
	struct talk t;
	uint8_t b[512] = {
		0x80 | 0x20 | 0x10 | 2, PT_PCMA, 0, 9, 0, 0, 1, 0, 0, 0, 0, 5};
	size_t n = 12;

	talk_begin(&t, "127.0.0.1");
	memset(b + n, 0x11, 8); /* two contributing sources */
	n += 8;
	memcpy(b + n, (uint8_t[]){0xbe, 0xde, 0, 2}, 4);
	memset(b + n + 4, 0x22, 8);
	n += 12;
	memset(b + n, 0x33, 160);
	n += 160;
	memset(b + n, 0x44, 4);
	n += 4;
	b[n - 1] = 4;
	rig_send(t.fd[0], t.port[0], b, n);
	(void)hear(&t, SIDE_CALLED, 0x33);
	talk_end(&t);
}
END_TEST

static bool has_event(struct rig *r, void *arg)
{
	return r->news.n_events[*(unsigned *)arg] > 0;
}

START_TEST(test_events_and_timeout)
{
	struct talk t;
	unsigned first = GH__MEDIA_EVENT_KIND__MEDIA_FIRST_PACKET;
	unsigned learned = GH__MEDIA_EVENT_KIND__MEDIA_LEARNED;
	unsigned timed_out = GH__MEDIA_EVENT_KIND__MEDIA_TIMED_OUT;

	talk_begin(&t, "127.0.0.1");
	say(&t, SIDE_CALLER, 1, 1);
	(void)hear(&t, SIDE_CALLED, 1);
	rig_until(&t.rig, has_event, &first);
	rig_until(&t.rig, has_event, &learned);
	ck_assert_uint_eq(t.rig.news.event_reason[learned],
		reason_number(REASON_LEARN_SIGNALED));
	/* Nobody has to send: no time-out. Then one side has to. */
	t.side[0].msg.timeout_ms = t.side[1].msg.timeout_ms = 150;
	rig_want(&t.rig, 2, &t.side[0], &t.side[1]);
	rig_for(&t.rig, 400000);
	ck_assert_uint_eq(t.rig.news.n_events[timed_out], 0);
	t.side[1].msg.must_send = true;
	rig_want(&t.rig, 3, &t.side[0], &t.side[1]);
	rig_until(&t.rig, has_event, &timed_out);
	ck_assert_uint_eq(t.rig.news.n_events[timed_out], 1);
	/* It is an event, not an end. */
	say(&t, SIDE_CALLED, 1, 7);
	(void)hear(&t, SIDE_CALLER, 7);
	talk_end(&t);
}
END_TEST

/* After the end nobody listens on the ports, and they rest. */
START_TEST(test_ports_closed)
{
	struct talk t;
	struct addr a;
	char port[ADDR_TEXT_SIZE];
	int fd;

	talk_begin(&t, "127.0.0.1");
	(void)snprintf(port, sizeof(port), "%s", t.port[0]);
	rig_end_session(&t.rig);
	fd = rig_socket(port, &a); /* binds only if it is free */
	close(fd);
	fd = rig_socket(t.rig.news.rtcp[1], &a);
	close(fd);
	/* Ending twice is no error. */
	rig_end_session(&t.rig);
	ck_assert_ptr_null(t.rig.news.ended->session_ended->caller);
	talk_end(&t);
}
END_TEST

START_TEST(test_idempotent)
{
	struct talk t;
	char port[SIDE_COUNT][ADDR_TEXT_SIZE];
	uint32_t ssrc;

	talk_begin(&t, "127.0.0.1");
	memcpy(port, t.rig.news.rtp, sizeof(port));
	ssrc = t.rig.news.ssrc[0];
	rig_want(&t.rig, 1, &t.side[0], &t.side[1]);
	ck_assert_str_eq(port[0], t.rig.news.rtp[0]);
	ck_assert_str_eq(port[1], t.rig.news.rtp[1]);
	/* A newer version without change keeps ports and names as well. */
	rig_want(&t.rig, 2, &t.side[0], &t.side[1]);
	ck_assert_str_eq(port[0], t.rig.news.rtp[0]);
	ck_assert_uint_eq(ssrc, t.rig.news.ssrc[0]);
	/* An older one does nothing: the called side would be gone. */
	rig_want(&t.rig, 1, &t.side[0], NULL);
	ck_assert_uint_eq(t.rig.news.version, 2);
	ck_assert_str_eq(port[1], t.rig.news.rtp[1]);
	/* A newer one takes the called side away. */
	rig_want(&t.rig, 3, &t.side[0], NULL);
	ck_assert_str_eq(t.rig.news.rtp[1], "");
	ck_assert_str_eq(port[0], t.rig.news.rtp[0]);
	/* And brings another. */
	rig_want(&t.rig, 4, &t.side[0], &t.side[1]);
	ck_assert_str_ne(t.rig.news.rtp[1], "");
	ck_assert_str_ne(t.rig.news.rtp[1], port[1]);
	say(&t, SIDE_CALLER, 1, 9);
	(void)hear(&t, SIDE_CALLED, 9);
	talk_end(&t);
}
END_TEST

START_TEST(test_refusals)
{
	struct talk t;
	struct rig_side bad;

	talk_begin(&t, "127.0.0.1");
	rig_side(&bad, &t.addr[0]);
	bad.msg.realm = 9;
	rig_want(&t.rig, 2, &bad, &t.side[1]);
	ck_assert_uint_eq(
		t.rig.news.reason, reason_number(REASON_SESSION_NO_REALM));
	rig_side(&bad, &t.addr[0]);
	bad.payloads[1].pt = 8;
	rig_want(&t.rig, 3, &bad, &t.side[1]);
	ck_assert_uint_eq(
		t.rig.news.reason, reason_number(REASON_SESSION_REFUSED));
	/* The session still is as it was. */
	rig_want(&t.rig, 1, &t.side[0], &t.side[1]);
	ck_assert_uint_eq(
		t.rig.news.reason, reason_number(REASON_SESSION_OPEN));
	say(&t, SIDE_CALLER, 1, 9);
	(void)hear(&t, SIDE_CALLED, 9);
	talk_end(&t);
}
END_TEST

static bool is_over(struct rig *r, void *arg)
{
	(void)arg;
	return r->news.n_ended > 0;
}

START_TEST(test_lease)
{
	struct talk t;
	Gh__SessionClaim claim = GH__SESSION_CLAIM__INIT;
	char call[] = RIG_CALL;
	char *calls[] = {call};

	claim.n_calls = 1;
	claim.calls = calls;
	IPC_MSG(msg, SESSION_CLAIM, session_claim, &claim);
	talk_begin(&t, "127.0.0.1");
	rig_configure(&t.rig, 300, 60000, 0, 5000);
	for (int i = 0; i < 8; i++) {
		ck_assert_int_eq(ipc_send(t.rig.sbc, &msg), 0);
		rig_for(&t.rig, 100000);
	}
	ck_assert_uint_eq(t.rig.news.n_ended, 0);
	rig_until(&t.rig, is_over, NULL);
	ck_assert_uint_eq(t.rig.news.ended->session_ended->reason,
		reason_number(REASON_SESSION_LEASE));
	talk_end(&t);
}
END_TEST

START_TEST(test_rtcp)
{
	struct talk t;
	uint8_t b[512];
	struct rtcp_report report;
	struct addr rtcp_addr, next;
	int rtcp_fd;
	size_t n;

	talk_begin(&t, "127.0.0.1");
	/* The peer's RTCP port is signaled. */
	rtcp_fd = rig_socket("127.0.0.1", &rtcp_addr);
	next = rtcp_addr;
	char text[ADDR_TEXT_SIZE];

	t.side[1].msg.remote_rtcp = (char *)(uintptr_t)addr_format(&next, text);
	rig_configure(&t.rig, 60000, 60000, 0, 100);
	rig_want(&t.rig, 2, &t.side[0], &t.side[1]);
	say(&t, SIDE_CALLER, 1, 1);
	(void)hear(&t, SIDE_CALLED, 1);
	do {
		n = rig_recv(&t.rig, rtcp_fd, b, sizeof(b));
		ck_assert_int_eq(rtcp_parse(b, n, 0, &report), REASON_RTCP_OK);
	} while (!report.is_sender);
	ck_assert_uint_eq(report.ssrc, t.rig.news.ssrc[SIDE_CALLED]);
	ck_assert_uint_eq(report.sender.packets, 1);
	ck_assert_uint_eq(report.sender.octets, 160);
	/* Our answer to its sender report gives a round trip. */
	struct rtcp_block block = {
		.ssrc = report.ssrc,
		.lost = 3,
		.lsr = rtcp_ntp_middle(report.sender.ntp),
	};
	struct rtcp_own own = {
		.ssrc = 0xcafe, .cname = "peer567890123456", .block = &block};

	n = rtcp_build(&own, b);
	rig_send(rtcp_fd, t.rig.news.rtcp[SIDE_CALLED], b, n);
	/* Wait until it was taken in, seen by the end's figures. */
	rig_for(&t.rig, 50000);
	rig_end_session(&t.rig);
	const Gh__MediaStats *s = t.rig.news.ended->session_ended->called;

	ck_assert_uint_eq(s->rtcp_rx, 1);
	ck_assert_uint_eq(s->peer_lost, 3);
	ck_assert_uint_gt(s->rtt_us, 0);
	ck_assert_uint_gt(s->rtcp_tx, 0);
	/* The last one says goodbye. */
	do {
		n = rig_recv(&t.rig, rtcp_fd, b, sizeof(b));
		ck_assert_int_eq(rtcp_parse(b, n, 0, &report), REASON_RTCP_OK);
	} while (!report.bye);
	close(rtcp_fd);
	talk_end(&t);
}
END_TEST

START_TEST(test_hold)
{
	struct talk t;
	uint16_t before;

	talk_begin(&t, "127.0.0.1");
	say(&t, SIDE_CALLER, 1, 1);
	before = hear(&t, SIDE_CALLED, 1);
	t.side[0].msg.may_send = false;
	rig_want(&t.rig, 2, &t.side[0], &t.side[1]);
	say(&t, SIDE_CALLER, 2, 2);
	say(&t, SIDE_CALLED, 2, 3);
	(void)hear(&t, SIDE_CALLER, 3);
	t.side[0].msg.may_send = true;
	rig_want(&t.rig, 3, &t.side[0], &t.side[1]);
	say(&t, SIDE_CALLER, 3, 4);
	/* No number is missing: the held packet was left out on purpose. */
	ck_assert_uint_eq(hear(&t, SIDE_CALLED, 4), (uint16_t)(before + 1));
	talk_end(&t);
}
END_TEST

/* ---------------------------------------------------------- learning */

/* One more packet of a phone's stream from whichever socket. */
static void say_from(struct talk *t, int fd, uint32_t seq, uint8_t fill)
{
	uint8_t b[512];
	size_t n = rig_rtp(
		b, PT_PCMA, (uint16_t)seq, 160u * seq, 0xaaaa0000u, fill, 160);

	rig_send(fd, t->port[SIDE_CALLER], b, n);
}

static void hear_from(struct talk *t, int fd, uint8_t fill)
{
	uint8_t b[512];
	size_t n = rig_recv(&t->rig, fd, b, sizeof(b));

	ck_assert_uint_eq(n, 172);
	ck_assert_uint_eq(b[12], fill);
}

static bool has_learned(struct rig *r, void *arg)
{
	return r->news.n_learned[SIDE_CALLER] >= *(unsigned *)arg;
}

static void wait_learned(struct talk *t, unsigned n, enum reason how)
{
	rig_until(&t->rig, has_learned, &n);
	ck_assert_uint_eq(t->rig.news.learned[SIDE_CALLER], reason_number(how));
}

/* A phone whose NAT changes the port in mid-call. */
START_TEST(test_nat_port_change)
{
	struct talk t;
	struct addr ignored;
	uint32_t seq = 0;
	int phone, moved;

	talk_begin(&t, "127.0.0.1");
	phone = rig_socket("127.0.0.1", &ignored);
	moved = rig_socket("127.0.0.1", &ignored);
	/* The SDP names an address behind the NAT that nobody can reach. */
	ck_assert_int_eq(addr_parse("10.9.9.9:4000", &ignored), 0);
	rig_side(&t.side[0], &ignored);
	t.side[0].msg.behind_nat = true;
	rig_want(&t.rig, 2, &t.side[0], &t.side[1]);
	/* Nothing goes to the phone before it was heard. */
	say(&t, SIDE_CALLED, 1, 1);
	/* Two in a row prove it; the first one is not forwarded. */
	say_from(&t, phone, seq++, 2);
	say_from(&t, phone, seq++, 3);
	hear_from(&t, t.fd[1], 3);
	wait_learned(&t, 1, REASON_LEARN_SAME_HOST);
	say(&t, SIDE_CALLED, 2, 4);
	hear_from(&t, phone, 4);
	/* Frozen: another port gets nothing and gives nothing, not even after
	 * the phone was silent for more than a second. */
	for (int i = 0; i < 5; i++)
		say_from(&t, moved, 1000 + (uint32_t)i, 9);
	rig_for(&t.rig, 1400000);
	for (int i = 0; i < 5; i++)
		say_from(&t, moved, 2000 + (uint32_t)i, 9);
	say(&t, SIDE_CALLED, 3, 5);
	hear_from(&t, phone, 5);
	/* It comes back at the old port at once. */
	say_from(&t, phone, seq++, 6);
	hear_from(&t, t.fd[1], 6);
	/* A new registration allows to learn; the old port is silent. */
	rig_for(&t.rig, 300000);
	t.side[0].msg.learn_generation++;
	rig_want(&t.rig, 3, &t.side[0], &t.side[1]);
	say_from(&t, moved, seq++, 7);
	say_from(&t, moved, seq++, 8);
	hear_from(&t, t.fd[1], 8);
	wait_learned(&t, 2, REASON_LEARN_SAME_HOST);
	say(&t, SIDE_CALLED, 4, 9);
	hear_from(&t, moved, 9);
	rig_end_session(&t.rig);
	ck_assert(rig_is_quiet(phone));
	const Gh__MediaStats *s = t.rig.news.ended->session_ended->caller;

	ck_assert_uint_eq(s->rx_packets, 3);
	ck_assert_uint_eq(drops(s, REASON_RTP_PROBATION), 2);
	ck_assert_uint_ge(drops(s, REASON_RTP_SOURCE), 5);
	ck_assert_uint_eq(drops(t.rig.news.ended->session_ended->called,
				  REASON_RTP_NO_TARGET),
		1);
	close(phone);
	close(moved);
	talk_end(&t);
}
END_TEST

/* Signaling allows to learn, but the phone is still talking: a hijacker on
 * the same host does not get in. */
START_TEST(test_hijack)
{
	struct talk t;
	struct addr ignored;
	int phone, hijacker;

	talk_begin(&t, "127.0.0.1");
	phone = rig_socket("127.0.0.1", &ignored);
	hijacker = rig_socket("127.0.0.1", &ignored);
	rig_side(&t.side[0], NULL);
	t.side[0].msg.behind_nat = true;
	rig_want(&t.rig, 2, &t.side[0], &t.side[1]);
	say_from(&t, phone, 0, 1);
	say_from(&t, phone, 1, 2);
	hear_from(&t, t.fd[1], 2);
	t.side[0].msg.learn_generation++;
	rig_want(&t.rig, 3, &t.side[0], &t.side[1]);
	for (uint32_t i = 2; i < 80; i++) {
		say_from(&t, hijacker, 500 + i, 9);
		say_from(&t, phone, i, (uint8_t)i);
		hear_from(&t, t.fd[1], (uint8_t)i);
		/* No faster than the codec: 60 packets a second pass. */
		rig_for(&t.rig, 18000);
	}
	say(&t, SIDE_CALLED, 1, 5);
	hear_from(&t, phone, 5);
	ck_assert(rig_is_quiet(hijacker));
	rig_end_session(&t.rig);
	ck_assert_uint_eq(
		t.rig.news.ended->session_ended->caller->rx_packets, 79);
	close(phone);
	close(hijacker);
	talk_end(&t);
}
END_TEST

/* Another host only with 'always', and only after a longer probation. */
START_TEST(test_other_host)
{
	struct talk t;
	struct addr other_addr;
	int other = rig_socket("127.0.0.2", &other_addr);

	talk_begin(&t, "127.0.0.1");
	rig_side(&t.side[0], NULL);
	t.side[0].msg.behind_nat = true;
	rig_want(&t.rig, 2, &t.side[0], &t.side[1]);
	for (uint32_t i = 0; i < 8; i++)
		say_from(&t, other, i, 1);
	rig_for(&t.rig, 50000);
	ck_assert(rig_is_quiet(t.fd[1]));
	t.side[0].msg.nat = GH__NAT_MODE__NAT_ALWAYS;
	rig_want(&t.rig, 3, &t.side[0], &t.side[1]);
	for (uint32_t i = 20; i < 25; i++)
		say_from(&t, other, i, (uint8_t)i);
	hear_from(&t, t.fd[1], 24);
	wait_learned(&t, 1, REASON_LEARN_OTHER_HOST);
	rig_end_session(&t.rig);
	const Gh__MediaStats *s = t.rig.news.ended->session_ended->caller;
	char text[ADDR_TEXT_SIZE];

	ck_assert_uint_eq(drops(s, REASON_RTP_SOURCE), 8);
	ck_assert_uint_eq(drops(s, REASON_RTP_PROBATION), 4);
	ck_assert_str_eq(s->learned, addr_format(&other_addr, text));
	close(other);
	talk_end(&t);
}
END_TEST

/* A trunk's gateway sends from elsewhere in its networks and listens where it
 * said. */
START_TEST(test_trunk_network)
{
	static char network[] = "127.0.0.0/8";
	static char *networks[] = {network};
	struct talk t;
	struct addr ignored;
	int gateway = rig_socket("127.0.0.3", &ignored);

	talk_begin(&t, "127.0.0.1");
	rig_side(&t.side[0], &t.addr[0]);
	t.side[0].msg.nat = GH__NAT_MODE__NAT_NEVER;
	t.side[0].msg.networks = networks;
	t.side[0].msg.n_networks = 1;
	rig_want(&t.rig, 2, &t.side[0], &t.side[1]);
	say_from(&t, gateway, 0, 1);
	say_from(&t, gateway, 1, 2);
	hear_from(&t, t.fd[1], 2);
	wait_learned(&t, 1, REASON_LEARN_NETWORK);
	say(&t, SIDE_CALLED, 1, 3);
	hear_from(&t, t.fd[0], 3);
	ck_assert(rig_is_quiet(gateway));
	close(gateway);
	talk_end(&t);
}
END_TEST

/* The answer names another address than the early media did. */
START_TEST(test_signaled_moves)
{
	struct talk t;
	struct addr later_addr;
	int later = rig_socket("127.0.0.1", &later_addr);

	talk_begin(&t, "127.0.0.1");
	say(&t, SIDE_CALLER, 0, 1);
	(void)hear(&t, SIDE_CALLED, 1);
	rig_side(&t.side[0], &later_addr);
	rig_want(&t.rig, 2, &t.side[0], &t.side[1]);
	/* Ours goes there at once, and the old address is refused. */
	say(&t, SIDE_CALLED, 1, 2);
	hear_from(&t, later, 2);
	say(&t, SIDE_CALLER, 1, 3);
	say_from(&t, later, 2, 4);
	hear_from(&t, t.fd[1], 4);
	ck_assert(rig_is_quiet(t.fd[1]));
	close(later);
	talk_end(&t);
}
END_TEST

/* A peer whose port is closed for a while: an ICMP error ends nothing. */
START_TEST(test_icmp)
{
	struct talk t;
	char text[ADDR_TEXT_SIZE];
	struct addr a;

	talk_begin(&t, "127.0.0.1");
	for (unsigned i = 0; i < 2; i++) {
		say(&t, i, 0, 1);
		(void)hear(&t, 1 - i, 1);
	}
	close(t.fd[1]);
	for (uint32_t i = 1; i < 6; i++) {
		say(&t, SIDE_CALLER, i, 2);
		rig_for(&t.rig, 20000);
	}
	t.fd[1] = rig_socket(addr_format(&t.addr[1], text), &a);
	say(&t, SIDE_CALLER, 6, 3);
	(void)hear(&t, SIDE_CALLED, 3);
	say(&t, SIDE_CALLED, 1, 4);
	(void)hear(&t, SIDE_CALLER, 4);
	talk_end(&t);
}
END_TEST

/* More than the codec can need: the offender's own stream is cut. */
START_TEST(test_flood)
{
	struct talk t;
	const Gh__MediaStats *s;

	talk_begin(&t, "127.0.0.1");
	for (uint32_t i = 0; i < 500; i++)
		say(&t, SIDE_CALLER, i, 1);
	say(&t, SIDE_CALLED, 1, 4);
	(void)hear(&t, SIDE_CALLER, 4);
	rig_for(&t.rig, 50000);
	rig_end_session(&t.rig);
	s = t.rig.news.ended->session_ended->caller;
	ck_assert_uint_gt(drops(s, REASON_RTP_RATE), 100);
	ck_assert_uint_lt(s->rx_packets, 100);
	talk_end(&t);
}
END_TEST

/* rtcp-mux: one port, RTCP told apart by its type. */
START_TEST(test_mux)
{
	struct talk t;
	struct rtcp_own own = {
		.ssrc = 0xaaaa0000u, .cname = "peer567890123456"};
	struct addr a;
	char odd[ADDR_TEXT_SIZE];
	uint8_t b[512];
	size_t n;
	int fd;

	talk_begin(&t, "127.0.0.1");
	(void)snprintf(odd, sizeof(odd), "%s", t.rig.news.rtcp[0]);
	t.side[0].msg.rtcp_mux = true;
	rig_configure(&t.rig, 60000, 60000, 0, 100);
	rig_want(&t.rig, 2, &t.side[0], &t.side[1]);
	ck_assert_str_eq(t.rig.news.rtcp[0], t.rig.news.rtp[0]);
	fd = rig_socket(odd, &a); /* closed, so it can be bound */
	close(fd);
	say(&t, SIDE_CALLER, 1, 1);
	(void)hear(&t, SIDE_CALLED, 1);
	n = rtcp_build(&own, b);
	rig_send(t.fd[0], t.port[0], b, n);
	/* Our report comes back to the same port. */
	n = rig_recv(&t.rig, t.fd[0], b, sizeof(b));
	ck_assert_int_eq(demux_classify(b, n), DEMUX_RTCP);
	/* Without mux, RTCP on the RTP port is of no use. */
	n = rtcp_build(&own, b);
	rig_send(t.fd[1], t.port[1], b, n);
	rig_for(&t.rig, 50000);
	/* And back to two ports. */
	t.side[0].msg.rtcp_mux = false;
	rig_want(&t.rig, 3, &t.side[0], &t.side[1]);
	ck_assert_str_eq(t.rig.news.rtcp[0], odd);
	rig_end_session(&t.rig);
	const Gh__SessionEnded *e = t.rig.news.ended->session_ended;

	ck_assert_uint_eq(e->caller->rtcp_rx, 1);
	ck_assert_uint_eq(drops(e->called, REASON_RTP_CLASS), 1);
	talk_end(&t);
}
END_TEST

/* Packets keep their order and their number with coalescing on. */
START_TEST(test_coalesce)
{
	struct talk t;

	talk_begin(&t, "127.0.0.1");
	rig_configure(&t.rig, 60000, 60000, 1000, 5000);
	rig_want(&t.rig, 1, &t.side[0], &t.side[1]);
	for (uint32_t round = 0; round < 4; round++) {
		for (uint32_t i = 0; i < 6; i++)
			say(&t, SIDE_CALLER, round * 6 + i, (uint8_t)i);
		for (uint32_t i = 0; i < 6; i++)
			(void)hear(&t, SIDE_CALLED, (uint8_t)i);
	}
	talk_end(&t);
}
END_TEST

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

	talk_begin(&t, "127.0.0.1");
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

	talk_begin(&t, "127.0.0.1");
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

/* Encryption is required and there is no key yet: nothing passes. */
START_TEST(test_srtp_required)
{
	struct talk t;

	talk_begin(&t, "127.0.0.1");
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

	talk_begin(&t, "127.0.0.1");
	rig_keys(&t.side[0], SRTP_SUITE_AEAD_AES_128_GCM, 1, 2, &a, &b);
	t.side[0].receive.master.len--;
	rig_want(&t.rig, 2, &t.side[0], &t.side[1]);
	ck_assert_uint_eq(
		t.rig.news.reason, reason_number(REASON_SESSION_REFUSED));
	talk_end(&t);
}
END_TEST

START_TEST(test_unheard_victim)
{
	struct talk t;
	struct addr victim;
	int fd;

	talk_begin(&t, "127.0.0.1");
	/* The called side's SDP names an address that is not the host that
	 * signals: nothing goes there before it was heard. */
	fd = rig_socket("127.0.0.2", &victim);
	rig_side(&t.side[1], &victim);
	rig_want(&t.rig, 2, &t.side[0], &t.side[1]);
	t.side[1].msg.learn_generation = 1;
	rig_want(&t.rig, 3, &t.side[0], &t.side[1]);
	for (uint16_t i = 0; i < 5; i++)
		say(&t, SIDE_CALLER, i, 1);
	rig_for(&t.rig, 100000);
	rig_end_session(&t.rig);
	ck_assert(rig_is_quiet(fd));
	ck_assert_uint_eq(drops(t.rig.news.ended->session_ended->caller,
				  REASON_RTP_NO_TARGET),
		5);
	close(fd);
	talk_end(&t);
}
END_TEST

/* ------------------------------------------------------------- sbcctl */

struct asked {
	bool up;
	unsigned n_answers, exit_code;
	bool done;
	char json[16384]; /* all objects, one after the other */
};

static void on_ctl_up(void *ctx, struct ipc_link *link)
{
	(void)link;
	((struct asked *)ctx)->up = true;
}

static void on_ctl_answer(void *ctx, struct ipc_link *link, const Gh__Msg *msg)
{
	struct asked *a = ctx;
	size_t n = strlen(a->json);

	(void)link;
	a->n_answers++;
	a->done = msg->ctl_answer->done;
	a->exit_code = msg->ctl_answer->exit_code;
	(void)snprintf(a->json + n, sizeof(a->json) - n, "%s\n",
		msg->ctl_answer->json);
}

static bool is_up(struct rig *r, void *arg)
{
	(void)r;
	return ((struct asked *)arg)->up;
}

static bool is_done(struct rig *r, void *arg)
{
	(void)r;
	return ((struct asked *)arg)->done;
}

static void ask(struct talk *t, struct ipc_link *link, struct asked *a,
	const char *command, const char *arg)
{
	Gh__CtlRequest request = GH__CTL_REQUEST__INIT;
	char *args[] = {(char *)(uintptr_t)arg};

	a->n_answers = 0;
	a->done = false;
	a->json[0] = '\0';
	request.id = 5;
	request.command = (char *)(uintptr_t)command;
	request.n_args = arg != NULL;
	request.args = args;
	IPC_MSG(msg, CTL_REQUEST, ctl_request, &request);
	ck_assert_int_eq(ipc_send(link, &msg), 0);
	rig_until(&t->rig, is_done, a);
}

START_TEST(test_sbcctl)
{
	static const struct ipc_permit ctl_permits[] = {
		{GH__MSG__BODY_CTL_ANSWER, PROCESS_BIT(PROCESS_MEDIAD),
			on_ctl_answer},
	};
	char dir[] = "/tmp/gh-media-XXXXXX", path[64];
	struct asked a = {0};
	struct ipc_link *link;
	struct talk t;

	talk_begin(&t, "127.0.0.1");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	(void)snprintf(path, sizeof(path), "%s/mediad.sock", dir);
	ck_assert_int_eq(ctl_listen(t.rig.ctl, path), 0);
	const struct ipc_config config = {.loop = t.rig.daemon.loop,
		.self = PROCESS_CTL,
		.users = &t.rig.daemon.users,
		.permits = ctl_permits,
		.n_permits = 1,
		.events = {.on_up = on_ctl_up},
		.ctx = &a};

	ck_assert_int_eq(ipc_connect(&config, path, PROCESS_MEDIAD, &link), 0);
	rig_until(&t.rig, is_up, &a);
	say(&t, SIDE_CALLER, 1, 1);
	(void)hear(&t, SIDE_CALLED, 1);
	ask(&t, link, &a, "sessions", NULL);
	ck_assert_uint_eq(a.n_answers, 2);
	ck_assert_uint_eq(a.exit_code, CONTROL_OK);
	ck_assert_ptr_nonnull(strstr(a.json, "\"call\":\"" RIG_CALL "\""));
	ck_assert_ptr_nonnull(strstr(a.json, "\"rx_packets\":1"));
	ck_assert_ptr_nonnull(
		strstr(a.json, "\"learn_reason\":\"learn_signaled\""));
	ask(&t, link, &a, "session", RIG_CALL);
	ck_assert_uint_eq(a.n_answers, 1);
	ck_assert_ptr_nonnull(strstr(a.json, "\"codec\":\"PCMA\""));
	ask(&t, link, &a, "session", "ZZZZZZZZZZZZZZZZ");
	ck_assert_uint_eq(a.exit_code, CONTROL_NO_SUCH);
	ask(&t, link, &a, "session", "no call");
	ck_assert_uint_eq(a.exit_code, CONTROL_USAGE);
	ask(&t, link, &a, "capacity", NULL);
	ck_assert_ptr_nonnull(strstr(a.json, "\"capacity\":16"));
	ask(&t, link, &a, "counters", NULL);
	ck_assert_ptr_nonnull(strstr(a.json, "\"rtp_received_total\":1"));
	rig_end_session(&t.rig);
	ask(&t, link, &a, "sessions", NULL);
	ck_assert_uint_eq(a.n_answers, 1);
	ck_assert_ptr_nonnull(strstr(a.json, "\"sessions\":0"));
	ipc_link_free(&link);
	talk_end(&t);
	(void)unlink(path);
	(void)rmdir(dir);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("media_live");
	TCase *t = tcase_create("live");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_set_timeout(t, 60);
	tcase_add_test(t, test_both_ways);
	tcase_add_test(t, test_both_ways_ipv6);
	tcase_add_test(t, test_stranger);
	tcase_add_test(t, test_stripped);
	tcase_add_test(t, test_events_and_timeout);
	tcase_add_test(t, test_ports_closed);
	tcase_add_test(t, test_idempotent);
	tcase_add_test(t, test_refusals);
	tcase_add_test(t, test_lease);
	tcase_add_test(t, test_rtcp);
	tcase_add_test(t, test_hold);
	tcase_add_test(t, test_unheard_victim);
	tcase_add_loop_test(
		t, test_srtp_mix, 0, (SRTP_SUITE_COUNT - 1) * SRTP_SUITE_COUNT);
	tcase_add_test(t, test_nat_port_change);
	tcase_add_test(t, test_hijack);
	tcase_add_test(t, test_other_host);
	tcase_add_test(t, test_trunk_network);
	tcase_add_test(t, test_signaled_moves);
	tcase_add_test(t, test_icmp);
	tcase_add_test(t, test_flood);
	tcase_add_test(t, test_mux);
	tcase_add_test(t, test_coalesce);
	tcase_add_test(t, test_sbcctl);
	tcase_add_test(t, test_srtp_refusals);
	tcase_add_test(t, test_srtp_required);
	tcase_add_test(t, test_srtp_bad_key);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? 1 : 0;
}
