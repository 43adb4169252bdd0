// SPDX-License-Identifier: Apache-2.0
/*
 * A run of packets through the whole pipeline of one leg: what comes out has a
 * header of ours, carries a negotiated payload type and size, and no number is
 * used twice. Input: packets, each behind its length (two octets), the
 * milliseconds before it, and where it comes from (0: the kernel checked it).
 */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/secret.h"
#include "mediad/path.h"
#include "tests/fuzz/fuzz.h"

#define BEFORE 4u /* octets before each packet */

static uint64_t now_us;
static struct path path;
static struct media media;
static int out_fd, far_fd;

static uint64_t clock_of_fuzz(void)
{
	return now_us;
}

static struct addr address(unsigned kind)
{
	static const char *const texts[] = {"192.0.2.5:4000", "192.0.2.5:4001",
		"192.0.2.6:4000", "198.51.100.1:4000"};
	struct addr a;

	FUZZ_CHECK(!addr_parse(texts[kind % 4], &a));
	return a;
}

static void make_rules(struct leg_config *c)
{
	static const struct {
		const char *codec;
		uint8_t pt, peer_pt;
	} rows[] = {{"PCMA", 8, 0}, {"telephone-event", 101, 96},
		{"CN", 13, 13}, {"opus", 111, 107}};
	c->rules = calloc(4, sizeof(*c->rules)); /* the leg's from now on */
	FUZZ_CHECK(c->rules != NULL);
	c->n_rules = 4;
	for (unsigned i = 0; i < 4; i++) {
		struct leg_rule *r = &c->rules[i];
		uint32_t hz = i == 3 ? 48000 : 8000;

		r->codec = codec_find(rows[i].codec, hz);
		r->pt = rows[i].pt;
		r->peer_pt = rows[i].peer_pt;
		r->clock = hz;
		r->ptime_us = 20000;
		r->event = r->codec->kind == CODEC_EVENT;
		codec_limits(r->codec, 20000, 0, &r->limits);
	}
	c->packets_per_s = 1000;
	c->octets_per_s = 1000000;
}

/* The called side is reached through a socket pair; nothing is sent to the
 * caller's side. */
static void make_legs(void)
{
	struct leg_config in = {.wanted = true,
		.may_send = true,
		.must_send = true,
		.rtcp_mux = true,
		.learn = {.signaled = address(0),
			.signaling = address(0),
			.bound = address(3),
			.nat = LEARN_NAT_ALWAYS,
			.behind_nat = true}};
	struct leg_config out = {
		.wanted = true, .may_receive = true, .rtcp_mux = true};

	memset(&media, 0, sizeof(media));
	memset(&path.n, 0, sizeof(path.n));
	for (unsigned i = 0; i < SIDE_COUNT; i++) {
		struct leg_birth birth = {.rtp_fd = i ? dup(out_fd) : -1,
			.rtcp_fd = -1,
			.bound = address(3),
			.cname = "0123456789abcdef"};

		stream_init(&birth.tx);
		media.leg[i].media = &media;
		media.leg[i].side = i;
		media.leg[i].other = &media.leg[1 - i];
		leg_begin(&media.leg[i], &birth, now_us);
	}
	make_rules(&in);
	leg_apply(&media.leg[0], &in, now_us);
	leg_apply(&media.leg[1], &out, now_us);
	media.leg[1].lock = LEG_LOCKED;
	media.leg[1].has_target = media.leg[1].target_is_peer = true;
}

static bool is_ours(uint8_t pt)
{
	return pt == 0 || pt == 96 || pt == 13 || pt == 107;
}

/* Numbers that were sent, with their turns of the circle. */
struct sent {
	uint64_t highest;
	uint64_t number[65536]; /* last one with these low bits; 0 = none */
	unsigned n;
};

static void check_number(struct sent *s, uint16_t seq)
{
	int16_t ahead = (int16_t)(uint16_t)(seq - (uint16_t)s->highest);
	uint64_t number = s->highest + (uint64_t)(int64_t)ahead;

	if (s->n++ == 0)
		number = 0x10000u + seq;
	FUZZ_CHECK(s->number[seq] != number);
	s->number[seq] = number;
	if (number > s->highest)
		s->highest = number;
}

/* What was sent, held against all that was sent before. */
static void check_sent(struct sent *sent)
{
	uint8_t b[4096];
	struct rtp_view v;
	ssize_t n;

	while ((n = recv(far_fd, b, sizeof(b), MSG_DONTWAIT)) >= 0) {
		FUZZ_CHECK(check_fixed(b, (size_t)n, &v) == REASON_RTP_OK);
		FUZZ_CHECK(b[0] == 0x80);
		FUZZ_CHECK(n > 12 && n <= 12 + 1400);
		FUZZ_CHECK(is_ours(v.pt));
		FUZZ_CHECK(v.ssrc == media.leg[1].tx.ssrc);
		check_number(sent, v.seq);
	}
}

static void begin_once(void)
{
	int fds[2];

	if (far_fd != 0)
		return;
	FUZZ_CHECK(!socketpair(AF_UNIX, SOCK_DGRAM, 0, fds));
	out_fd = fds[0];
	far_fd = fds[1];
	clock_set_source(clock_of_fuzz, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	static struct sent sent;

	begin_once();
	now_us = 1000000;
	memset(&sent, 0, sizeof(sent));
	make_legs();
	while (len >= BEFORE) {
		size_t n = (size_t)bytes[0] << 8 | bytes[1];
		struct addr from = address(bytes[3] - 1u);
		bool checked = bytes[3] == 0;

		now_us += bytes[2] * 1000ull;
		bytes += BEFORE;
		len -= BEFORE;
		if (n > len)
			n = len;
		if (n > PATH_BUFFER)
			n = PATH_BUFFER;
		path.now_us = now_us;
		memcpy(path.buffer + PATH_HEADROOM, bytes, n);
		enum reason why = path_packet(
			&path, &media.leg[0], n, checked ? NULL : &from);

		FUZZ_CHECK(why >= REASON_RTP_OK && why <= REASON_RTCP_AUTH);
		check_sent(&sent);
		bytes += n;
		len -= n;
	}
	FUZZ_CHECK(sent.n == media.leg[1].n.tx_packets);
	FUZZ_CHECK(source_lost(&media.leg[0].rx) <=
		   source_expected(&media.leg[0].rx));
	leg_end(&media.leg[0]);
	leg_end(&media.leg[1]);
	return 0;
}
