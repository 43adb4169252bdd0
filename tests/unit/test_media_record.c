/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Records of the live-state store: what is written is read back, bytes of any
 * kind are refused or make a plan within its bounds, and records of each layout
 * that ever was are understood (tests/vectors/live, written once by
 * `test_media_record write DIR`).
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/secret.h"
#include "mediad/record.h"
#include "mediad/save.h"

static uint8_t bytes[RECORD_PLAN_MAX];

/* Also outside of a running test, where Check's own words may not be used. */
static void must(bool is_so)
{
	if (!is_so)
		abort();
}

static struct addr address(const char *text)
{
	struct addr a;

	must(addr_parse(text, &a) == 0);
	return a;
}

static void fill_side(struct record_side *s, unsigned i)
{
	struct leg_config *c = &s->config;
	static const struct {
		const char *name;
		uint32_t clock;
		uint8_t pt;
	} codecs[] = {{"PCMA", 8000, 8}, {"opus", 48000, 96},
		{"telephone-event", 8000, 101}, {"x-new", 16000, 120}};

	plan_side_init(&s->side);
	s->side.birth = 3 + i;
	s->side.rx_key = 4 + i;
	s->side.tx_key = 5 + i;
	s->side.realm = 7;
	s->side.rtcp_open = i == 0;
	s->side.rtcp_mux = i == 1;
	s->side.first = (struct stream){
		.ssrc = 0x01020304 + i, .seq = 0x0506, .ts = 0x0708090a};
	s->side.ssrc = s->side.first.ssrc;
	memcpy(s->side.cname, "abcdefghijklmnop", 17);
	s->side.lease.rtp =
		address(i ? "[2001:db8::1]:20002" : "192.0.2.1:20000");
	c->wanted = c->may_send = c->may_receive = true;
	c->must_send = i == 0;
	c->rtcp_mux = i == 1;
	c->srtp_required = true;
	c->dscp = 46;
	c->learn_generation = 9;
	c->timeout_us = 20000000;
	c->packets_per_s = 50;
	c->octets_per_s = 12000;
	c->remote_rtcp = address("198.51.100.2:5001");
	c->learn.signaled = address("198.51.100.2:5000");
	c->learn.signaling = address("198.51.100.3:5060");
	c->learn.bound = s->side.lease.rtp;
	c->learn.nat = LEARN_NAT_ALWAYS;
	c->learn.behind_nat = true;
	c->rules = calloc(4, sizeof(*c->rules));
	must(c->rules != NULL);
	for (unsigned n = 0; n < 4; n++) {
		struct leg_rule *r = &c->rules[c->n_rules++];

		*r = (struct leg_rule){
			.codec = codec_find(codecs[n].name, codecs[n].clock),
			.clock = codecs[n].clock,
			.ptime_us = 20000,
			.pt = codecs[n].pt,
			.peer_pt = (uint8_t)(codecs[n].pt + 1)};
		r->event = r->codec->kind == CODEC_EVENT;
		codec_limits(r->codec, r->ptime_us, 0, &r->limits);
	}
	c->learn.n_networks = 2;
	c->learn.networks = calloc(2, sizeof(c->learn.networks[0]));
	must(c->learn.networks != NULL &&
		addr_net_parse("203.0.113.0/24", &c->learn.networks[0]) == 0 &&
		addr_net_parse("2001:db8:7::/48", &c->learn.networks[1]) == 0);
	s->receive.suite = s->send.suite =
		i ? SRTP_SUITE_AEAD_AES_256_GCM
		  : SRTP_SUITE_AES_CM_128_HMAC_SHA1_80;
	s->receive.len = s->send.len =
		(uint8_t)srtp_master_len(s->receive.suite);
	memset(s->receive.bytes, 0x11 + (int)i, s->receive.len);
	memset(s->send.bytes, 0x22 + (int)i, s->send.len);
}

static void sample(struct record_plan *p)
{
	memset(p, 0, sizeof(*p));
	memcpy(p->call, "0123456789ABCDEF", IDENT_CALL_SIZE);
	p->version = 12;
	p->opened_wall_us = 1767225600123456ull;
	for (unsigned i = 0; i < SIDE_COUNT; i++)
		fill_side(&p->side[i], i);
}

static void same_side(const struct record_side *a, const struct record_side *b)
{
	const struct leg_config *x = &a->config, *y = &b->config;

	ck_assert_uint_eq(a->side.birth, b->side.birth);
	ck_assert_uint_eq(a->side.rx_key, b->side.rx_key);
	ck_assert_uint_eq(a->side.tx_key, b->side.tx_key);
	ck_assert_uint_eq(a->side.realm, b->side.realm);
	ck_assert_int_eq(a->side.rtcp_open, b->side.rtcp_open);
	ck_assert_int_eq(a->side.rtcp_mux, b->side.rtcp_mux);
	ck_assert_uint_eq(a->side.first.ssrc, b->side.first.ssrc);
	ck_assert_uint_eq(a->side.first.seq, b->side.first.seq);
	ck_assert_uint_eq(a->side.first.ts, b->side.first.ts);
	ck_assert_str_eq(a->side.cname, b->side.cname);
	ck_assert(addr_equal(&a->side.lease.rtp, &b->side.lease.rtp));
	ck_assert_int_eq(b->side.rtp_fd, -1);
	ck_assert_mem_eq(&a->receive, &b->receive, sizeof(a->receive));
	ck_assert_mem_eq(&a->send, &b->send, sizeof(a->send));
	ck_assert_mem_eq(&x->learn.signaled, &y->learn.signaled,
		sizeof(x->learn.signaled));
	ck_assert(addr_equal(&x->learn.signaling, &y->learn.signaling));
	ck_assert(addr_equal(&x->remote_rtcp, &y->remote_rtcp));
	ck_assert_uint_eq(x->learn.nat, y->learn.nat);
	ck_assert_int_eq(x->learn.behind_nat, y->learn.behind_nat);
	ck_assert_uint_eq(x->learn.n_networks, y->learn.n_networks);
	for (unsigned n = 0; n < x->learn.n_networks; n++) {
		ck_assert(addr_equal_ip(&x->learn.networks[n].base,
			&y->learn.networks[n].base));
		ck_assert_uint_eq(x->learn.networks[n].prefix_len,
			y->learn.networks[n].prefix_len);
	}
	ck_assert_int_eq(x->must_send, y->must_send);
	ck_assert_int_eq(x->may_send && y->may_send, true);
	ck_assert_int_eq(x->srtp_required, y->srtp_required);
	ck_assert_uint_eq(x->dscp, y->dscp);
	ck_assert_uint_eq(x->learn_generation, y->learn_generation);
	ck_assert_uint_eq(x->timeout_us, y->timeout_us);
	ck_assert_uint_eq(x->packets_per_s, y->packets_per_s);
	ck_assert_uint_eq(x->octets_per_s, y->octets_per_s);
	ck_assert_uint_eq(x->n_rules, y->n_rules);
	for (unsigned n = 0; n < x->n_rules; n++) {
		ck_assert_ptr_eq(x->rules[n].codec, y->rules[n].codec);
		ck_assert_uint_eq(x->rules[n].pt, y->rules[n].pt);
		ck_assert_uint_eq(x->rules[n].peer_pt, y->rules[n].peer_pt);
		ck_assert_uint_eq(x->rules[n].clock, y->rules[n].clock);
		ck_assert_mem_eq(&x->rules[n].limits, &y->rules[n].limits,
			sizeof(x->rules[n].limits));
	}
}

static void must_be_sample(size_t len)
{
	struct record_plan want, have;

	sample(&want);
	ck_assert_int_eq(record_plan_read(bytes, len, &have), 0);
	ck_assert_str_eq(want.call, have.call);
	ck_assert_uint_eq(want.version, have.version);
	ck_assert_uint_eq(want.opened_wall_us, have.opened_wall_us);
	for (unsigned i = 0; i < SIDE_COUNT; i++)
		same_side(&want.side[i], &have.side[i]);
	record_plan_done(&want);
	record_plan_done(&have);
}

static size_t write_sample(void)
{
	struct record_plan p;
	size_t n;

	sample(&p);
	n = record_plan_write(&p, bytes);
	record_plan_done(&p);
	return n;
}

START_TEST(test_round_trip)
{
	must_be_sample(write_sample());
}
END_TEST

static size_t read_vector(const char *name, uint8_t *out, size_t size)
{
	const char *top = getenv("srcdir");
	char path[512];
	FILE *f;
	size_t n;

	(void)snprintf(path, sizeof(path), "%s/tests/vectors/live/%s",
		top ? top : "..", name);
	f = fopen(path, "rb");
	ck_assert_msg(f != NULL, "%s", path);
	n = fread(out, 1, size, f);
	fclose(f);
	return n;
}

/* Whatever the present layout is. */
START_TEST(test_layout_1)
{
	struct record_farewell f;
	uint8_t farewell[sizeof(struct live_farewell)];
	size_t n = read_vector("plan-1.bin", bytes, sizeof(bytes));

	must_be_sample(n);
	n = read_vector("farewell-1.bin", farewell, sizeof(farewell));
	ck_assert_int_eq(record_farewell_read(farewell, n, &f), 0);
	ck_assert_str_eq(f.call, "0123456789ABCDEF");
	ck_assert_int_eq(f.why, REASON_SESSION_LEASE);
	ck_assert_uint_eq(f.request, 77);
	ck_assert_uint_eq(f.stats[1].n.rx_packets, 1234);
	ck_assert_uint_eq(
		f.stats[1].n.drops[REASON_RTP_AUTH - REASON_RTP_OK], 5);
	ck_assert_ptr_eq(f.stats[1].codec, codec_find("PCMA", 8000));
	ck_assert_int_eq(f.stats[1].learned, REASON_LEARN_SIGNALED);
}
END_TEST

/* Every cut and thousands of changes: refused, or within the bounds. */
START_TEST(test_hostile)
{
	size_t len = write_sample();
	uint8_t good[RECORD_PLAN_MAX];
	unsigned n_refused = 0;
	struct record_plan p;

	memcpy(good, bytes, len);
	for (size_t n = 0; n < len; n++)
		ck_assert_int_lt(record_plan_read(bytes, n, &p), 0);
	for (unsigned n = 0; n < 20000; n++) {
		uint32_t r[3];

		memcpy(bytes, good, len);
		for (unsigned k = 0; k < 1 + n % 3; k++) {
			secret_random_bytes(r, sizeof(r));
			bytes[r[0] % len] = (uint8_t)(r[1] >> (r[2] & 15));
		}
		if (record_plan_read(bytes, len, &p) < 0) {
			n_refused++;
			continue;
		}
		for (unsigned i = 0; i < SIDE_COUNT; i++) {
			const struct leg_config *c = &p.side[i].config;

			ck_assert_uint_le(c->n_rules, LEG_RULES_MAX);
			ck_assert_uint_le(
				c->learn.n_networks, LEARN_NETWORKS_MAX);
			for (unsigned k = 0; k < c->n_rules; k++)
				ck_assert_ptr_nonnull(c->rules[k].codec);
		}
		record_plan_done(&p);
	}
	ck_assert_uint_gt(n_refused, 100);
	memcpy(bytes, good, len);
	bytes[4]++;
	ck_assert_int_eq(record_plan_read(bytes, len, &p), ERR_VERSION);
}
END_TEST

/* What a peer said and pressed outlives the process; nothing said stays
 * nothing. */
START_TEST(test_peer_words)
{
	static const struct leg_opinion opinions[] = {
		{.said = true, .mos = 38, .discarded = 255, .buffer_ms = 65535},
		{.said = true},
		{.said = false},
	};
	const struct leg_opinion *o = &opinions[_i];
	struct live_leg *words = calloc(1, sizeof(*words));
	struct leg *before = calloc(1, sizeof(*before));
	struct leg *after = calloc(1, sizeof(*after));

	ck_assert(words && before && after);
	before->rtp_fd = after->rtp_fd = -1;
	before->words = after->words = words;
	before->opinion = *o;
	before->n.rx_digits = 7;
	save_slow(before);
	save_resume(after, 1000000);
	ck_assert(after->opinion.said == o->said);
	ck_assert_uint_eq(after->opinion.mos, o->mos);
	ck_assert_uint_eq(after->opinion.discarded, o->discarded);
	ck_assert_uint_eq(after->opinion.buffer_ms, o->buffer_ms);
	ck_assert_uint_eq(after->n.rx_digits, 7);
	free(before);
	free(after);
	free(words);
}
END_TEST

static void put_file(const char *dir, const char *name, const void *b, size_t n)
{
	char path[512];
	FILE *f;

	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "wb");
	if (f == NULL || fwrite(b, 1, n, f) != n || fclose(f) != 0)
		exit(2);
}

/* Makes the vectors of the present layout. */
static void write_vectors(const char *dir)
{
	struct record_farewell f = {.request = 77,
		.ended_wall_us = 1767225600123456ull,
		.why = REASON_SESSION_LEASE};
	struct live_farewell out;
	char name[32];

	(void)snprintf(name, sizeof(name), "plan-%u.bin", LIVE_LAYOUT);
	put_file(dir, name, bytes, write_sample());
	memcpy(f.call, "0123456789ABCDEF", IDENT_CALL_SIZE);
	f.stats[1].n.rx_packets = 1234;
	f.stats[1].n.drops[REASON_RTP_AUTH - REASON_RTP_OK] = 5;
	f.stats[1].codec = codec_find("PCMA", 8000);
	f.stats[1].learned = REASON_LEARN_SIGNALED;
	record_farewell_write(&f, &out);
	(void)snprintf(name, sizeof(name), "farewell-%u.bin", LIVE_LAYOUT);
	put_file(dir, name, &out, sizeof(out));
}

int main(int argc, char **argv)
{
	SRunner *r;
	TCase *t;
	Suite *s;
	int failed;

	if (argc == 3 && strcmp(argv[1], "write") == 0) {
		write_vectors(argv[2]);
		return 0;
	}
	s = suite_create("media_record");
	t = tcase_create("all");
	r = srunner_create(s);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, test_round_trip);
	tcase_add_test(t, test_layout_1);
	tcase_add_test(t, test_hostile);
	tcase_add_loop_test(t, test_peer_words, 0, 3);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? 1 : 0;
}
