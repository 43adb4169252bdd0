/* SPDX-License-Identifier: Apache-2.0 */
/* mediad as a whole, from the wanted state to packets on loopback. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/control.h"
#include "media_rig.h"

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
	both_ways(rig_ip4());
}
END_TEST

START_TEST(test_both_ways_ipv6)
{
	both_ways("::1");
}
END_TEST

/* A third socket sprays before, while and after the peers talk. */
START_TEST(test_stranger)
{
	struct talk t;
	struct addr stranger_addr;
	uint8_t b[512];
	int stranger;
	size_t n = rig_rtp(b, PT_PCMA, 500, 0, 0xbad, 0xee, 160);

	talk_begin(&t, rig_ip4());
	stranger = rig_socket(rig_ip4(), &stranger_addr);
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

	talk_begin(&t, rig_ip4());
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

	talk_begin(&t, rig_ip4());
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

	talk_begin(&t, rig_ip4());
	(void)snprintf(port, sizeof(port), "%s", t.port[0]);
	rig_end_session(&t.rig);
	fd = rig_socket(port, &a); /* binds only if it is free */
	close(fd);
	fd = rig_socket(t.rig.news.rtcp[1], &a);
	close(fd);
	/* Ending twice is no error and gives the same figures; what never
	 * was has none. */
	rig_end_session(&t.rig);
	ck_assert_ptr_nonnull(t.rig.news.ended->session_ended->caller);
	talk_end(&t);
}
END_TEST

START_TEST(test_idempotent)
{
	struct talk t;
	char port[SIDE_COUNT][ADDR_TEXT_SIZE];
	uint32_t ssrc;

	talk_begin(&t, rig_ip4());
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

	talk_begin(&t, rig_ip4());
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
	talk_begin(&t, rig_ip4());
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

	talk_begin(&t, rig_ip4());
	/* The peer's RTCP port is signaled. */
	rtcp_fd = rig_socket(rig_ip4(), &rtcp_addr);
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

	talk_begin(&t, rig_ip4());
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

/* A peer whose port is closed for a while: an ICMP error ends nothing. */
START_TEST(test_icmp)
{
	struct talk t;
	char text[ADDR_TEXT_SIZE];
	struct addr a;

	talk_begin(&t, rig_ip4());
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

	talk_begin(&t, rig_ip4());
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

	talk_begin(&t, rig_ip4());
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

	talk_begin(&t, rig_ip4());
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

	talk_begin(&t, rig_ip4());
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
	tcase_add_test(t, test_icmp);
	tcase_add_test(t, test_flood);
	tcase_add_test(t, test_mux);
	tcase_add_test(t, test_coalesce);
	tcase_add_test(t, test_sbcctl);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? 1 : 0;
}
