/* SPDX-License-Identifier: Apache-2.0 */
/* mediad as a whole, from the wanted state to packets on loopback. */
#include <check.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"
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
	tcase_add_test(t, test_srtp_refusals);
	tcase_add_test(t, test_srtp_required);
	tcase_add_test(t, test_srtp_bad_key);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? 1 : 0;
}
