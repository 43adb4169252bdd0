/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls that outlive mediad: it is killed again and again while audio flows.
 * Everything that the far ends receive is recorded; no packet index may come
 * twice under a key, and what they decrypt must be right each time.
 */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/secret.h"
#include "mediad/report.h"
#include "tests/unit/media_world.h"

#define KILLS     20u
#define STEP_US   2500u /* packets of 2.5 ms: 20 octets of PCMA */
#define OCTETS    20u
#define N_INDEXES 65536u
#define N_COPIES  32u

static const char *const calls[] = {"0123456789ABCDEF", "FEDCBA9876543210"};
#define N_CALLS 2u

/* A key of ours at the far end. */
struct ear {
	struct srtp_leg *leg; /* NULL = none */
	size_t index_at;      /* SRTCP's stands so far before a packet's end */
	uint32_t report_index;
};

/* A far end and all that it has ever received. */
struct far {
	int fd;
	int rtcp_fd;
	struct addr addr;
	uint32_t ssrc;
	uint16_t seq;
	uint32_t n_sent;
	uint32_t report_at;
	char port[ADDR_TEXT_SIZE]; /* mediad's */
	char rtcp[ADDR_TEXT_SIZE];
	uint32_t their_ssrc;
	struct srtp_leg *out;
	struct ear in;
	struct ear before; /* until the first packet under the new key */
	/* Received. */
	uint32_t n_heard, n_reports, n_holes;
	uint16_t first, highest;
	uint32_t ts_offset;
	uint64_t heard_us, gap_us;
	uint8_t seen[N_INDEXES];
	/* The last that were sent, as they were sent. */
	struct copy {
		size_t len;
		uint8_t bytes[256];
	} copy[N_COPIES];
	unsigned n_copies;
};

struct call {
	struct rig_side side[SIDE_COUNT];
	struct far far[SIDE_COUNT];
};

struct survive {
	struct media_world w;
	struct call call[N_CALLS];
	uint32_t version;
};

static void far_begin(struct survive *s, unsigned c, unsigned i)
{
	struct far *f = &s->call[c].far[i];
	struct rig_side *side = &s->call[c].side[i];

	f->fd = rig_pair(rig_ip4(), &f->addr, &f->rtcp_fd);
	f->ssrc = 0xaaaa0000u + c * 16 + i;
	/* Numbers wrap soon after the begin. */
	f->seq = (uint16_t)(65500 - 100 * i);
	rig_side(side, &f->addr);
	side->payloads[0].ptime_us = STEP_US;
	side->msg.must_send = true;
	side->msg.timeout_ms = 20000;
}

/* Wants a call and takes mediad's ports down. */
static void want_call(struct survive *s, unsigned c)
{
	struct rig *r = &s->w.rig;

	r->call = calls[c];
	rig_want(r, ++s->version, &s->call[c].side[0], &s->call[c].side[1]);
	ck_assert_uint_eq(r->news.reason, reason_number(REASON_SESSION_OPEN));
	for (unsigned i = 0; i < SIDE_COUNT; i++) {
		struct far *f = &s->call[c].far[i];

		memcpy(f->port, r->news.rtp[i], sizeof(f->port));
		memcpy(f->rtcp, r->news.rtcp[i], sizeof(f->rtcp));
		f->their_ssrc = r->news.ssrc[i];
	}
}

static void encrypt(struct survive *s, unsigned c, unsigned i,
	enum srtp_suite suite, uint8_t fill)
{
	struct far *f = &s->call[c].far[i];
	struct srtp_master peer, own;

	rig_keys(&s->call[c].side[i], suite, fill, (uint8_t)(fill + 1), &peer,
		&own);
	/* RFC 3711 section 3.4, RFC 7714 section 17. */
	f->in.report_index = 0;
	f->in.index_at = suite == SRTP_SUITE_AEAD_AES_128_GCM ||
					 suite == SRTP_SUITE_AEAD_AES_256_GCM
				 ? 4
				 : 14;
	s->call[c].side[i].msg.srtp_required = true;
	s->call[c].side[i].msg.rtcp_mux = true;
	ck_assert_int_eq(srtp_leg_new_sender(&peer, f->ssrc, &f->out), 0);
	ck_assert_int_eq(srtp_leg_new_receiver(&own, &f->in.leg), 0);
}

/* Call 0 has keys, call 1 has none and RTCP on ports of its own. */
static void survive_begin(
	struct survive *s, enum srtp_suite caller, enum srtp_suite called)
{
	media_world_begin(&s->w);
	s->w.rig.rtcp_ms = 100;
	rig_configure(&s->w.rig, 60000, 0, 0, 100);
	for (unsigned c = 0; c < N_CALLS; c++)
		for (unsigned i = 0; i < SIDE_COUNT; i++)
			far_begin(s, c, i);
	if (caller != SRTP_SUITE_NONE)
		encrypt(s, 0, 0, caller, 0x21);
	if (called != SRTP_SUITE_NONE)
		encrypt(s, 0, 1, called, 0x61);
	for (unsigned c = 0; c < N_CALLS; c++)
		want_call(s, c);
}

static void survive_end(struct survive *s)
{
	for (unsigned c = 0; c < N_CALLS; c++)
		for (unsigned i = 0; i < SIDE_COUNT; i++) {
			close(s->call[c].far[i].fd);
			close(s->call[c].far[i].rtcp_fd);
			srtp_leg_free(&s->call[c].far[i].out);
			srtp_leg_free(&s->call[c].far[i].in.leg);
			srtp_leg_free(&s->call[c].far[i].before.leg);
		}
	media_world_end(&s->w);
	free(s);
}

/* ------------------------------------------------------------------ packets */

static void far_send(struct far *f, const void *bytes, size_t len)
{
	struct copy *c = &f->copy[f->n_copies++ % N_COPIES];

	ck_assert_uint_le(len, sizeof(c->bytes));
	c->len = len;
	memcpy(c->bytes, bytes, len);
	rig_send(f->fd, f->port, bytes, len);
}

static void far_speak(struct far *f)
{
	_Alignas(4) uint8_t b[256];
	size_t n = rig_rtp(b, PT_PCMA, f->seq, f->n_sent * OCTETS, f->ssrc,
		(uint8_t)f->n_sent, OCTETS);

	if (f->out != NULL)
		ck_assert(srtp_leg_protect(f->out, b, &n));
	far_send(f, b, n);
	f->seq++;
	f->n_sent++;
}

/* Only with keys: the other call's RTCP has a port of its own. */
static void far_report(struct far *f)
{
	_Alignas(4) uint8_t b[RTCP_BUILD_MAX + SRTP_TRAILER_MAX];
	const struct rtcp_own own = {
		.ssrc = f->ssrc, .cname = "0123456789abcdef"};
	size_t n = rtcp_build(&own, b);

	ck_assert(srtp_leg_protect_rtcp(f->out, b, &n));
	far_send(f, b, n);
}

/* The index is in the clear. It only grows, so that none comes twice. */
static void hear_index(struct ear *e, const uint8_t *b, size_t n)
{
	const uint8_t *p = b + n - e->index_at;
	uint32_t index =
		(uint32_t)(p[0] & 0x7f) << 24 | p[1] << 16 | p[2] << 8 | p[3];

	ck_assert_msg(index > e->report_index, "index %u after %u", index,
		e->report_index);
	e->report_index = index;
}

static enum reason open_with(struct ear *e, uint8_t *b, size_t *n, bool rtcp)
{
	_Alignas(4) uint8_t copy[2048];
	size_t len = *n;
	enum reason why;

	memcpy(copy, b, len);
	why = rtcp ? srtp_leg_open_rtcp(e->leg, b, n)
		   : srtp_leg_open(e->leg, b, n);
	if (why == REASON_RTCP_OK)
		hear_index(e, copy, len);
	if (why == REASON_RTP_AUTH) {
		memcpy(b, copy, len);
		*n = len;
	}
	return why;
}

/* After a change of keys what was under way comes first, under the old one;
 * never again once the new one was heard. */
static void open_packet(struct far *f, uint8_t *b, size_t *n, bool rtcp)
{
	enum reason why = open_with(&f->in, b, n, rtcp);

	if (why == REASON_RTP_AUTH && f->before.leg != NULL)
		why = open_with(&f->before, b, n, rtcp);
	else
		srtp_leg_free(&f->before.leg);
	ck_assert_int_eq(why, rtcp ? REASON_RTCP_OK : REASON_RTP_OK);
}

static void hear_report(struct far *f, uint8_t *b, size_t n)
{
	struct rtcp_report r;

	if (f->in.leg != NULL)
		open_packet(f, b, &n, true);
	ck_assert_int_eq(rtcp_parse(b, n, f->ssrc, &r), REASON_RTCP_OK);
	ck_assert_uint_eq(r.ssrc, f->their_ssrc);
	f->n_reports++;
}

static void hear_speech(struct far *f, uint8_t *b, size_t n)
{
	uint64_t now_us = clock_now_us();
	struct rtp_view v;

	ck_assert_int_eq(check_fixed(b, n, &v), REASON_RTP_OK);
	ck_assert_uint_eq(v.ssrc, f->their_ssrc);
	ck_assert_msg(!f->seen[v.seq], "number %u twice", v.seq);
	f->seen[v.seq] = 1;
	if (f->in.leg != NULL)
		open_packet(f, b, &n, false);
	ck_assert_uint_eq(n, RTP_HEADER_LEN + OCTETS);
	for (unsigned i = 0; i < OCTETS; i++)
		ck_assert_uint_eq(b[RTP_HEADER_LEN + i], b[RTP_HEADER_LEN]);
	if (f->n_heard++ == 0) {
		f->first = f->highest = v.seq;
		f->ts_offset = v.ts - v.seq * OCTETS;
		f->heard_us = now_us;
		return;
	}
	/* In order, and times belong to numbers as ever. */
	ck_assert_int_gt((int16_t)(v.seq - f->highest), 0);
	f->n_holes += (uint16_t)(v.seq - f->highest - 1);
	f->highest = v.seq;
	ck_assert_msg(v.ts - v.seq * OCTETS == f->ts_offset,
		"times moved by %d at packet %u",
		(int)(v.ts - v.seq * OCTETS - f->ts_offset), f->n_heard);
	if (now_us - f->heard_us > f->gap_us)
		f->gap_us = now_us - f->heard_us;
	f->heard_us = now_us;
}

/* RTCP comes where speech does with keys, and beside it without. */
static void far_listen_at(struct far *f, int fd)
{
	_Alignas(4) uint8_t b[2048];
	ssize_t n;

	while ((n = recv(fd, b, sizeof(b), 0)) >= 0 || errno != EAGAIN) {
		if (n < 0)
			continue; /* an ICMP error, asked for nowhere */
		if (demux_classify(b, (size_t)n) != DEMUX_RTCP) {
			ck_assert_int_eq(fd, f->fd);
			hear_speech(f, b, (size_t)n);
			continue;
		}
		ck_assert_int_eq(fd, f->in.leg ? f->fd : f->rtcp_fd);
		hear_report(f, b, (size_t)n);
	}
}

static void far_listen(struct far *f)
{
	far_listen_at(f, f->fd);
	far_listen_at(f, f->rtcp_fd);
}

static void talk_for(struct survive *s, unsigned n_steps)
{
	static uint64_t next_us;

	for (unsigned n = 0; n < n_steps; n++) {
		uint64_t now_us = clock_now_us();

		for (unsigned i = 0; i < N_CALLS * SIDE_COUNT; i++) {
			struct far *f = &s->call[i / 2].far[i % 2];

			far_speak(f);
			if (f->out != NULL && f->n_sent % 100 == 50)
				far_report(f);
		}
		/* At the codec's pace, also after a stall of the test. */
		next_us += STEP_US;
		if (next_us < now_us)
			next_us = now_us + STEP_US;
		if (next_us > now_us)
			rig_for(&s->w.rig, next_us - now_us);
		for (unsigned i = 0; i < N_CALLS * SIDE_COUNT; i++)
			far_listen(&s->call[i / 2].far[i % 2]);
	}
}

static unsigned random_below(unsigned n)
{
	uint32_t r;

	secret_random_bytes(&r, sizeof(r));
	return r % n;
}

static bool is_heard_again(const struct survive *s, const uint32_t *before)
{
	for (unsigned i = 0; i < N_CALLS * SIDE_COUNT; i++)
		if (s->call[i / 2].far[i % 2].n_heard <= before[i])
			return false;
	return true;
}

static void kill_once(struct survive *s)
{
	uint32_t before[N_CALLS * SIDE_COUNT];
	uint64_t end_us;

	talk_for(s, 20 + random_below(40));
	media_world_kill(&s->w);
	for (unsigned i = 0; i < N_CALLS * SIDE_COUNT; i++) {
		far_listen(&s->call[i / 2].far[i % 2]);
		before[i] = s->call[i / 2].far[i % 2].n_heard;
	}
	media_world_start(&s->w);
	end_us = clock_now_us() + RIG_PATIENCE_US;
	while (!is_heard_again(s, before)) {
		ck_assert_msg(clock_now_us() < end_us, "no audio again");
		talk_for(s, 1);
	}
	media_world_wait(&s->w);
	ck_assert_uint_eq(s->w.rig.news.n_listed, N_CALLS);
}

static bool is_free(struct rig *r, void *arg)
{
	struct sockaddr_storage sa;
	struct addr a;
	socklen_t len;
	int fd, rc;

	(void)r;
	ck_assert_int_eq(addr_parse(arg, &a), 0);
	len = addr_to_sockaddr(&a, &sa);
	fd = socket(a.family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	rc = bind(fd, (struct sockaddr *)&sa, len);
	close(fd);
	return rc == 0;
}

/* Ends a call; its ports must be closed everywhere. */
static void end_call(struct survive *s, unsigned c)
{
	s->w.rig.call = calls[c];
	rig_end_session(&s->w.rig);
	for (unsigned i = 0; i < SIDE_COUNT; i++) {
		rig_until(&s->w.rig, is_free, s->call[c].far[i].port);
		rig_until(&s->w.rig, is_free, s->call[c].far[i].rtcp);
	}
}

/* What mediad counted agrees with what was sent, across all kills. One packet
 * may die with each process. */
static void check_figures(const struct far *in, const Gh__MediaStats *m)
{
	ck_assert_uint_le(m->rx_packets, in->n_sent);
	ck_assert_uint_ge(m->rx_packets + 2 * KILLS, in->n_sent);
	for (size_t i = 0; i < m->n_drops; i++)
		ck_assert_msg(m->drops[i]->reason ==
				      reason_number(REASON_RTP_NO_TARGET),
			"%u packets dropped for %u", (unsigned)m->drops[i]->n,
			m->drops[i]->reason);
}

START_TEST(test_kills)
{
	static const enum srtp_suite suites[][2] = {
		{SRTP_SUITE_AES_CM_128_HMAC_SHA1_80,
			SRTP_SUITE_AEAD_AES_128_GCM},
		{SRTP_SUITE_AEAD_AES_256_GCM,
			SRTP_SUITE_AES_256_CM_HMAC_SHA1_80},
		{SRTP_SUITE_AES_CM_128_HMAC_SHA1_32, SRTP_SUITE_NONE},
	};
	struct survive *s = calloc(1, sizeof(*s));
	uint64_t gap_us = 0;

	survive_begin(s, suites[_i][0], suites[_i][1]);
	for (unsigned n = 0; n < KILLS; n++)
		kill_once(s);
	talk_for(s, 50);
	for (unsigned c = 0; c < N_CALLS; c++) {
		end_call(s, c);
		const Gh__SessionEnded *e = s->w.rig.news.ended->session_ended;

		check_figures(&s->call[c].far[0], e->caller);
		check_figures(&s->call[c].far[1], e->called);
		for (unsigned i = 0; i < SIDE_COUNT; i++) {
			struct far *f = &s->call[c].far[i];

			ck_assert_uint_le(f->n_holes, 2 * KILLS);
			if (f->gap_us > gap_us)
				gap_us = f->gap_us;
			ck_assert_uint_gt(f->n_reports, 2);
		}
	}
	ck_assert_uint_eq(media_world_held(&s->w, "call/"), 0);
	printf("media_survive: %u kills, longest gap %u ms\n", KILLS,
		(unsigned)(gap_us / 1000));
	survive_end(s);
}
END_TEST

static uint64_t refused_again(const Gh__MediaStats *m)
{
	return drops(m, REASON_RTP_REPLAY) + drops(m, REASON_RTP_SEQUENCE);
}

/* Whoever recorded packets before the kill has no use of them after it. */
START_TEST(test_replay)
{
	struct survive *s = calloc(1, sizeof(*s));

	survive_begin(s, SRTP_SUITE_AEAD_AES_128_GCM,
		SRTP_SUITE_AES_CM_128_HMAC_SHA1_80);
	for (unsigned n = 0; n < 5; n++)
		kill_once(s);
	for (unsigned i = 0; i < SIDE_COUNT; i++)
		far_report(&s->call[0].far[i]);
	talk_for(s, 10);
	media_world_kill(&s->w);
	media_world_start(&s->w);
	media_world_wait(&s->w);
	for (unsigned i = 0; i < N_CALLS * SIDE_COUNT; i++) {
		struct far *f = &s->call[i / 2].far[i % 2];

		for (unsigned n = 0; n < N_COPIES; n++)
			rig_send(f->fd, f->port, f->copy[n].bytes,
				f->copy[n].len);
	}
	/* What is new still passes, and nothing twice. */
	talk_for(s, 20);
	for (unsigned c = 0; c < N_CALLS; c++) {
		end_call(s, c);
		const Gh__SessionEnded *e = s->w.rig.news.ended->session_ended;

		ck_assert_uint_eq(refused_again(e->caller), N_COPIES);
		ck_assert_uint_eq(refused_again(e->called), N_COPIES);
	}
	survive_end(s);
}
END_TEST

/* keeper had no room: the same ports are opened anew. */
START_TEST(test_keeper_full)
{
	struct survive *s = calloc(1, sizeof(*s));

	survive_begin(s, SRTP_SUITE_AEAD_AES_128_GCM, SRTP_SUITE_NONE);
	talk_for(s, 20);
	for (unsigned c = 0; c < N_CALLS; c++) {
		char name[64];

		(void)snprintf(name, sizeof(name), "call/%s", calls[c]);
		ck_assert_int_eq(
			fdstore_remove(&s->w.store, PROCESS_MEDIAD, name), 0);
	}
	s->w.full = true;
	kill_once(s);
	kill_once(s);
	for (unsigned c = 0; c < N_CALLS; c++)
		end_call(s, c);
	survive_end(s);
}
END_TEST

/* A new keeper gets everything again, and a kill afterwards loses nothing. */
START_TEST(test_new_keeper)
{
	struct survive *s = calloc(1, sizeof(*s));
	size_t held;

	survive_begin(s, SRTP_SUITE_AEAD_AES_128_GCM, SRTP_SUITE_NONE);
	talk_for(s, 20);
	held = media_world_held(&s->w, "");
	media_world_new_keeper(&s->w);
	while (media_world_held(&s->w, "") < held)
		talk_for(s, 1);
	kill_once(s);
	for (unsigned c = 0; c < N_CALLS; c++)
		end_call(s, c);
	survive_end(s);
}
END_TEST

/* New keys, a hold and a side that goes: each is what the next process finds.
 */
START_TEST(test_changes)
{
	struct survive *s = calloc(1, sizeof(*s));
	struct far *f;
	uint32_t ssrc;

	survive_begin(s, SRTP_SUITE_AEAD_AES_128_GCM, SRTP_SUITE_NONE);
	kill_once(s);
	f = &s->call[0].far[0];
	f->before = f->in;
	srtp_leg_free(&f->out);
	encrypt(s, 0, 0, SRTP_SUITE_AES_CM_128_HMAC_SHA1_80, 0x31);
	want_call(s, 0);
	kill_once(s);
	kill_once(s);
	/* Nobody may speak: the numbers stand still over the kill. */
	s->call[1].side[0].msg.may_send = false;
	want_call(s, 1);
	media_world_kill(&s->w);
	media_world_start(&s->w);
	media_world_wait(&s->w);
	ck_assert_uint_eq(s->w.rig.news.n_listed, N_CALLS);
	s->call[1].side[0].msg.may_send = true;
	f = &s->call[1].far[1];
	ssrc = f->their_ssrc;
	want_call(s, 1);
	ck_assert_uint_eq(f->their_ssrc, ssrc);
	/* After a hold times begin anew; numbers do not. What was sent before
	 * it has come by now: that mediad is dead. */
	far_listen(f);
	f->n_heard = 0;
	talk_for(s, 20);
	ck_assert_uint_gt(f->n_heard, 0);
	for (unsigned c = 0; c < N_CALLS; c++)
		end_call(s, c);
	survive_end(s);
}
END_TEST

static bool has_ended(struct rig *r, void *arg)
{
	return r->news.n_ended >= *(unsigned *)arg;
}

static bool is_up(struct rig *r, void *arg)
{
	(void)arg;
	return r->news.list_done && ipc_is_up(r->sbc);
}

/* Nobody claims after the restart: the lease ends them. What sbc did not hear
 * it is told when it comes back, also by the next process. */
START_TEST(test_lease_and_last_words)
{
	struct survive *s = calloc(1, sizeof(*s));
	struct rig *r = &s->w.rig;
	unsigned want = 1;
	uint64_t packets;

	survive_begin(s, SRTP_SUITE_AEAD_AES_128_GCM, SRTP_SUITE_NONE);
	talk_for(s, 20);
	r->lease_ms = 200;
	media_world_kill(&s->w);
	media_world_start(&s->w);
	media_world_wait(&s->w);
	want = N_CALLS;
	rig_until(r, has_ended, &want);
	ck_assert_uint_eq(r->news.ended->session_ended->reason,
		reason_number(REASON_SESSION_LEASE));
	packets = r->news.ended->session_ended->caller->rx_packets;
	ck_assert_uint_gt(packets, 0);
	/* Nothing told mediad that they were read. */
	media_world_kill(&s->w);
	media_world_start(&s->w);
	media_world_wait(&s->w);
	ck_assert_uint_eq(r->news.n_listed, 0);
	want = 2 * N_CALLS;
	rig_until(r, has_ended, &want);
	ck_assert_uint_eq(
		r->news.ended->session_ended->caller->rx_packets, packets);
	ck_assert_uint_eq(r->news.ended->session_ended->reason,
		reason_number(REASON_SESSION_LEASE));
	/* Who asks for the end hears them, too. */
	r->call = r->news.ended->session_ended->call[0] == '0' ? calls[0]
							       : calls[1];
	rig_end_session(r);
	ck_assert_uint_eq(
		r->news.ended->session_ended->caller->rx_packets, packets);
	for (unsigned c = 0; c < N_CALLS; c++)
		for (unsigned i = 0; i < SIDE_COUNT; i++)
			rig_until(r, is_free, s->call[c].far[i].port);
	ck_assert(is_up(r, NULL));
	survive_end(s);
}
END_TEST

static bool has_violated(struct rig *r, void *arg)
{
	(void)arg;
	return r->news.n_events[GH__MEDIA_EVENT_KIND__MEDIA_VIOLATION] > 0;
}

/* What has been told of is not told of again by each new process; what is new
 * is. */
START_TEST(test_told_once)
{
	static const unsigned violation = GH__MEDIA_EVENT_KIND__MEDIA_VIOLATION;
	struct survive *s = calloc(1, sizeof(*s));
	struct rig *r = &s->w.rig;
	struct far *f = &s->call[0].far[0];
	uint8_t b[172] = {0x80, 77, 0, 1};

	survive_begin(s, SRTP_SUITE_NONE, SRTP_SUITE_NONE);
	talk_for(s, 10);
	far_send(f, b, sizeof(b));
	rig_until(r, has_violated, NULL);
	for (unsigned n = 0; n < 3; n++) {
		kill_once(s);
		rig_for(r, 300000);
	}
	ck_assert_uint_eq(r->news.n_events[violation], 1);
	memset(r->news.n_events, 0, sizeof(r->news.n_events));
	far_send(f, b, sizeof(b));
	rig_until(r, has_violated, NULL);
	for (unsigned c = 0; c < N_CALLS; c++)
		end_call(s, c);
	survive_end(s);
}
END_TEST

/* An end in order with calls up is a restart; without any, nothing stays. */
START_TEST(test_stop)
{
	struct survive *s = calloc(1, sizeof(*s));

	survive_begin(s, SRTP_SUITE_AEAD_AES_128_GCM, SRTP_SUITE_NONE);
	talk_for(s, 20);
	media_world_stop(&s->w);
	media_world_start(&s->w);
	media_world_wait(&s->w);
	ck_assert_uint_eq(s->w.rig.news.n_listed, N_CALLS);
	kill_once(s);
	survive_end(s);

	s = calloc(1, sizeof(*s));
	media_world_begin(&s->w);
	ck_assert_int_ge(media_world_memory(&s->w), 0);
	media_world_stop(&s->w);
	rig_for(&s->w.rig, 50000);
	ck_assert_int_eq(media_world_memory(&s->w), -1);
	media_world_end(&s->w);
	free(s);
}
END_TEST

/* @param from 0: also what describes the whole file. */
static bool is_held(struct rig *r, void *arg)
{
	struct media_world *w = (struct media_world *)(void *)r;

	return media_world_held(w, "call/") == *(size_t *)arg;
}
_Static_assert(offsetof(struct media_world, rig) == 0, "for is_held()");

/* A thousand calls with keys on both sides: how long until they are back, and
 * whether all of their four thousand sockets are. */
START_TEST(test_many)
{
	const unsigned n_calls = 1000;
	struct survive *s = calloc(1, sizeof(*s));
	struct rig *r = &s->w.rig;
	struct srtp_master a, b;
	struct rlimit limit;
	size_t held = n_calls * 4;
	uint64_t since_us;
	char call[IDENT_CALL_SIZE];

	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	limit.rlim_cur = limit.rlim_max;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	if (limit.rlim_cur < 5500) {
		free(s);
		return;
	}
	media_world_begin(&s->w);
	r->call = call;
	for (unsigned i = 0; i < SIDE_COUNT; i++) {
		far_begin(s, 0, i);
		rig_keys(&s->call[0].side[i], SRTP_SUITE_AEAD_AES_128_GCM,
			(uint8_t)(1 + i), (uint8_t)(5 + i), &a, &b);
	}
	for (unsigned n = 0; n < n_calls; n++) {
		(void)snprintf(call, sizeof(call), "%016u", n);
		rig_want(r, 1, &s->call[0].side[0], &s->call[0].side[1]);
		ck_assert_uint_eq(
			r->news.reason, reason_number(REASON_SESSION_OPEN));
	}
	rig_until(r, is_held, &held);
	media_world_kill(&s->w);
	since_us = clock_now_us();
	media_world_start(&s->w);
	media_world_wait(&s->w);
	printf("media_survive: %u calls are back after %u ms\n", n_calls,
		(unsigned)((clock_now_us() - since_us) / 1000));
	ck_assert_uint_eq(r->news.n_listed, n_calls);
	ck_assert_uint_eq(media_world_held(&s->w, "call/"), held);
	for (unsigned n = 0; n < n_calls; n++) {
		(void)snprintf(call, sizeof(call), "%016u", n);
		rig_end_session(r);
	}
	held = 0;
	rig_until(r, is_held, &held);
	for (unsigned i = 0; i < SIDE_COUNT; i++) {
		close(s->call[0].far[i].fd);
		close(s->call[0].far[i].rtcp_fd);
	}
	media_world_end(&s->w);
	free(s);
}
END_TEST

static void damage(int fd, size_t from, unsigned n_bits)
{
	struct stat st;
	uint8_t *map;
	/* What two calls use. */
	size_t used = 4096 + 16 * LIVE_SLOT_SIZE;

	ck_assert_int_eq(fstat(fd, &st), 0);
	ck_assert_uint_gt((uint64_t)st.st_size, used);
	map = mmap(NULL, used, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	ck_assert(map != MAP_FAILED);
	for (unsigned i = 0; i < n_bits; i++)
		map[from + random_below((unsigned)(used - from))] ^=
			(uint8_t)(1u << random_below(8));
	munmap(map, used);
}

/* Never fatal; and a new call works, whatever became of the old ones. */
START_TEST(test_damaged)
{
	struct survive *s = calloc(1, sizeof(*s));

	survive_begin(s, SRTP_SUITE_AEAD_AES_128_GCM, SRTP_SUITE_NONE);
	for (unsigned n = 0; n < 30; n++) {
		int fd;

		rig_for(&s->w.rig, 20000);
		media_world_kill(&s->w);
		fd = media_world_memory(&s->w);
		ck_assert_int_ge(fd, 0);
		damage(fd, n % 3 ? 4096 : 0, n < 10 ? 1 : n * n * 4);
		media_world_start(&s->w);
		media_world_wait(&s->w);
		for (unsigned c = 0; c < N_CALLS; c++)
			want_call(s, c);
		if (n % 5 == 4)
			for (unsigned c = 0; c < N_CALLS; c++)
				end_call(s, c);
	}
	survive_end(s);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("media_survive");
	TCase *t = tcase_create("live");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_set_timeout(t, 120);
	tcase_add_loop_test(t, test_kills, 0, 3);
	tcase_add_test(t, test_replay);
	tcase_add_test(t, test_many);
	tcase_add_test(t, test_keeper_full);
	tcase_add_test(t, test_new_keeper);
	tcase_add_test(t, test_changes);
	tcase_add_test(t, test_lease_and_last_words);
	tcase_add_test(t, test_told_once);
	tcase_add_test(t, test_stop);
	tcase_add_test(t, test_damaged);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? 1 : 0;
}
