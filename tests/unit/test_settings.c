/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The settings snapshot: what is collected and when it is refused whole;
 * look-ups, the longest prefix among them compared with a plain search.
 */
#include <check.h>
#include <stdio.h>
#include <string.h>

#include "sbc/text.h"
#include "sbc/utf8.h"
#include "tests/unit/sbc_rows.h"
#include "tests/unit/suite.h"

START_TEST(takes_the_good_set)
{
	static struct rows r;
	struct settings *s;

	rows_init(&r);
	r.n_settings = 1;
	r.setting.name = TEXT("a_newer_setting");
	r.setting.value = TEXT("anything");
	s = rows_build(&r);
	ck_assert_uint_eq(s->version, 7);
	ck_assert_uint_eq(s->n_realms, 2);
	ck_assert_uint_eq(s->n_trunks, 3);
	ck_assert_uint_eq(s->n_routes, 1);
	ck_assert_str_eq(settings_realm(s, 2)->row->name, "inside");
	ck_assert_str_eq(settings_trunk(s, 3)->row->name, "pbx");
	ck_assert_ptr_eq(settings_trunk(s, 3)->realm, settings_realm(s, 2));
	ck_assert_str_eq(settings_codec_list(s, 1)->name, "default");
	ck_assert_ptr_null(settings_realm(s, 3));
	ck_assert_ptr_null(settings_trunk(s, 0));
	ck_assert_ptr_null(settings_codec_list(s, 2));
	settings_unref(&s);
	ck_assert_ptr_null(s);
	settings_unref(&s);
}
END_TEST

START_TEST(counts_references)
{
	static struct rows r;
	struct settings *s, *held;

	rows_init(&r);
	s = rows_build(&r);
	held = settings_ref(s);
	settings_unref(&s);
	ck_assert_str_eq(settings_realm(held, 1)->row->name, "outside");
	settings_unref(&held);
}
END_TEST

START_TEST(copies_what_it_collects)
{
	static struct rows r;
	struct settings *s;

	rows_init(&r);
	s = rows_build(&r);
	memset(&r, 0xff, sizeof(r));
	ck_assert_str_eq(
		settings_trunk(s, 1)->row->targets[0]->host, "192.0.2.10");
	settings_unref(&s);
}
END_TEST

// ------------------------------------------------------------- collecting

static void collect_setting(
	struct settings_collector *c, uint64_t version, const char *name)
{
	Gh__SettingsPiece piece = GH__SETTINGS_PIECE__INIT;
	Gh__Setting setting = GH__SETTING__INIT;

	setting.name = TEXT(name);
	setting.value = TEXT("1");
	piece.version = version;
	piece.piece_case = GH__SETTINGS_PIECE__PIECE_SETTING;
	piece.setting = &setting;
	ck_assert_int_eq(settings_collect(c, &piece), 0);
}

static int finish(struct settings_collector *c, uint64_t version,
	uint32_t n_pieces, struct settings **s, enum reason *why)
{
	Gh__SettingsDone done = GH__SETTINGS_DONE__INIT;
	char problem[SETTINGS_PROBLEM_SIZE];

	done.version = version;
	done.n_pieces = n_pieces;
	return settings_finish(c, &done, s, why, problem);
}

START_TEST(refuses_incomplete_snapshots)
{
	struct settings_collector *c;
	struct settings *s = NULL;
	enum reason why;

	ck_assert_int_eq(settings_collector_new(&c), 0);
	/* a piece is missing */
	collect_setting(c, 1, "a");
	ck_assert_int_eq(finish(c, 1, 2, &s, &why), ERR_TRUNCATED);
	ck_assert_int_eq(why, REASON_SETTINGS_INCOMPLETE);
	/* the end of another version */
	collect_setting(c, 1, "a");
	ck_assert_int_eq(finish(c, 2, 1, &s, &why), ERR_TRUNCATED);
	/* it is empty after each end */
	ck_assert_int_eq(finish(c, 2, 1, &s, &why), ERR_TRUNCATED);
	/* a newer version drops what came of an older one */
	collect_setting(c, 3, "a");
	collect_setting(c, 3, "b");
	collect_setting(c, 4, "c");
	ck_assert_int_eq(finish(c, 4, 1, &s, &why), 0);
	ck_assert_uint_eq(s->n_settings, 1);
	ck_assert_uint_eq(s->version, 4);
	settings_unref(&s);
	/* no row at all is a set, too */
	ck_assert_int_eq(finish(c, 5, 0, &s, &why), 0);
	ck_assert_uint_eq(s->n_realms, 0);
	settings_unref(&s);
	collect_setting(c, 6, "left behind");
	settings_collector_free(&c);
	ck_assert_ptr_null(c);
	settings_collector_free(&c);
}
END_TEST

START_TEST(refuses_pieces_of_no_kind)
{
	Gh__SettingsPiece piece = GH__SETTINGS_PIECE__INIT;
	struct settings_collector *c;
	struct settings *s = NULL;
	enum reason why;

	ck_assert_int_eq(settings_collector_new(&c), 0);
	piece.version = 1;
	ck_assert_int_eq(settings_collect(c, &piece), 0);
	ck_assert_int_eq(finish(c, 1, 1, &s, &why), ERR_INVALID);
	ck_assert_int_eq(why, REASON_SETTINGS_INVALID);
	settings_collector_free(&c);
}
END_TEST

START_TEST(bounds_a_snapshot)
{
	Gh__SettingsPiece piece = GH__SETTINGS_PIECE__INIT;
	struct settings_collector *c;

	ck_assert_int_eq(settings_collector_new(&c), 0);
	for (unsigned i = 0; i < SETTINGS_PIECES_MAX; i++)
		ck_assert_int_eq(settings_collect(c, &piece), 0);
	ck_assert_int_eq(settings_collect(c, &piece), ERR_FULL);
	settings_collector_free(&c);
}
END_TEST

// ---------------------------------------------------------------- look-ups

static struct addr addr_of(const char *text)
{
	struct addr addr;

	ck_assert_msg(!addr_parse(text, &addr), "%s", text);
	return addr;
}

START_TEST(reads_addresses)
{
	static const struct {
		const char *listen, *advertised, *host;
		Gh__Transport transport;
	} rows[] = {
		{"198.51.100.1:5060", "", "198.51.100.1:5060", 0},
		{"[2001:db8::5]:5062", "", "[2001:db8::5]:5062", 0},
		{"198.51.100.1:5060", "sbc.example.com", "sbc.example.com", 0},
		{"198.51.100.1:5062", "sbc.example.com", "sbc.example.com:5062",
			0},
		{"198.51.100.1:5062", "sbc.example.com:5060",
			"sbc.example.com:5060", 0},
		{"198.51.100.1:5061", "sbc.example.com", "sbc.example.com",
			GH__TRANSPORT__TRANSPORT_TLS},
		{"198.51.100.1:5060", "203.0.113.5", "203.0.113.5", 0},
		{"[2001:db8::5]:5070", "2001:db8::99", "[2001:db8::99]:5070",
			0},
		{"[2001:db8::5]:5070", "[2001:db8::99]:6000",
			"[2001:db8::99]:6000", 0},
	};
	static struct rows r;

	for (size_t i = 0; i < N_ROWS(rows); i++) {
		struct settings *s;

		rows_init(&r);
		r.addresses[0].listen = TEXT(rows[i].listen);
		r.addresses[0].advertised_sip = TEXT(rows[i].advertised);
		r.addresses[0].transport = rows[i].transport;
		s = rows_build(&r);
		ck_assert_str_eq(
			settings_realm(s, 1)->addresses[0].advertised_host,
			rows[i].host);
		settings_unref(&s);
	}
	rows_init(&r);
	r.addresses[0].media = TEXT("198.51.100.2");
	r.addresses[2].advertised_media = TEXT("203.0.113.9");
	{
		struct settings *s = rows_build(&r);
		const struct realm *out = settings_realm(s, 1);
		const struct realm *in = settings_realm(s, 2);
		struct addr media = addr_of("198.51.100.2");
		struct addr own = addr_of("10.0.0.1");
		struct addr public = addr_of("203.0.113.9");

		ck_assert(addr_equal(&out->addresses[0].media, &media));
		ck_assert(addr_equal(
			&out->addresses[0].advertised_media, &media));
		ck_assert(addr_equal(&in->addresses[0].media, &own));
		ck_assert(addr_equal(
			&in->addresses[0].advertised_media, &public));
		settings_unref(&s);
	}
}
END_TEST

START_TEST(finds_listeners)
{
	static struct rows r;
	struct settings *s;
	struct addr a = addr_of("10.0.0.1:5070"), b = addr_of("10.0.0.1:5071");
	const struct realm *in;

	rows_init(&r);
	s = rows_build(&r);
	in = settings_realm(s, 2);
	ck_assert_ptr_eq(settings_listener(s, &a, GH__TRANSPORT__TRANSPORT_UDP),
		&in->addresses[1]);
	ck_assert_ptr_null(
		settings_listener(s, &a, GH__TRANSPORT__TRANSPORT_TCP));
	ck_assert_ptr_null(
		settings_listener(s, &b, GH__TRANSPORT__TRANSPORT_UDP));
	ck_assert_ptr_eq(realm_address_for(settings_realm(s, 1), AF_INET6,
				 GH__TRANSPORT__TRANSPORT_UDP),
		&settings_realm(s, 1)->addresses[1]);
	ck_assert_ptr_null(
		realm_address_for(in, AF_INET6, GH__TRANSPORT__TRANSPORT_UDP));
	settings_unref(&s);
}
END_TEST

START_TEST(knows_trunks_by_source)
{
	static struct rows r;
	struct settings *s;
	const struct realm_address *out4, *out6, *in, *in2;
	static const struct {
		const char *source;
		int listener; /* 0 out4, 1 out6, 2 in, 3 in2 */
		uint32_t trunk;
	} rows[] = {
		{"192.0.2.1", 0, 1},
		{"192.0.2.255:5060", 0, 1},
		{"192.0.2.77", 0, 2}, /* longer prefix of the other */
		{"192.0.3.1", 0, 0},
		{"203.0.113.5", 0, 2},
		{"10.0.0.5", 2, 3},
		{"10.0.0.5", 0, 0}, /* wrong realm */
		{"192.0.2.1", 2, 0},
		{"10.0.0.6", 2, 0},
		{"10.0.0.5", 3, 0}, /* only on the first inside address */
		{"2001:db8::1", 1, 0},
		{"255.255.255.255", 0, 0},
		{"0.0.0.0", 0, 0},
	};

	rows_init(&r);
	gh__trunk_source__init(&r.sources[3]);
	r.sources[3].network = TEXT("192.0.2.64/26");
	r.source_rows[3] = &r.sources[3];
	{
		static Gh__TrunkSource *of_other[2];

		of_other[0] = &r.sources[1];
		of_other[1] = &r.sources[3];
		r.other.sources = of_other;
		r.other.n_sources = 2;
	}
	r.sources[2].listen = TEXT("10.0.0.1:5060");
	s = rows_build(&r);
	out4 = &settings_realm(s, 1)->addresses[0];
	out6 = &settings_realm(s, 1)->addresses[1];
	in = &settings_realm(s, 2)->addresses[0];
	in2 = &settings_realm(s, 2)->addresses[1];
	for (size_t i = 0; i < N_ROWS(rows); i++) {
		const struct realm_address *listeners[] = {out4, out6, in, in2};
		const struct realm_address *l = listeners[rows[i].listener];
		struct addr source = addr_of(rows[i].source);
		const struct trunk *t = settings_trunk_by_source(s, &source, l);

		ck_assert_msg((t ? t->row->id : 0) == rows[i].trunk,
			"row %zu: %s", i, rows[i].source);
		if (t)
			ck_assert(trunk_accepts(t, &source, l));
	}
	/* The shorter network still is the first trunk's. */
	{
		struct addr source = addr_of("192.0.2.77");

		ck_assert(trunk_accepts(settings_trunk(s, 1), &source, out4));
	}
	settings_unref(&s);
}
END_TEST

/* All trunks behind a source, the longest network first, each once. */
START_TEST(finds_all_trunks_of_a_source)
{
	static struct rows r;
	const struct trunk *found[4];
	struct addr source = addr_of("192.0.2.77"),
		    none = addr_of("198.18.0.1");
	const struct realm_address *l;
	struct settings *s;

	rows_init(&r);
	r.sources[1].network = TEXT("192.0.2.64/26");
	s = rows_build(&r);
	l = &settings_realm(s, 1)->addresses[0];
	ck_assert_uint_eq(
		settings_trunks_by_source(s, &source, l, found, 4), 2);
	ck_assert_uint_eq(found[0]->row->id, 2);
	ck_assert_uint_eq(found[1]->row->id, 1);
	ck_assert_uint_eq(
		settings_trunks_by_source(s, &source, l, found, 1), 1);
	ck_assert_uint_eq(settings_trunks_by_source(s, &none, l, found, 4), 0);
	settings_unref(&s);
}
END_TEST

START_TEST(forgets_disabled_trunks)
{
	static struct rows r;
	struct addr source = addr_of("192.0.2.1");
	struct settings *s;
	const struct realm_address *l;

	rows_init(&r);
	r.itsp.enabled = false;
	s = rows_build(&r);
	l = &settings_realm(s, 1)->addresses[0];
	ck_assert_ptr_null(settings_trunk_by_source(s, &source, l));
	ck_assert(!trunk_accepts(settings_trunk(s, 1), &source, l));
	settings_unref(&s);
}
END_TEST

/* A source address without a port means any port of that address. */
START_TEST(source_on_any_port_of_an_address)
{
	static struct rows r;
	struct addr source = addr_of("10.0.0.5:5060");
	struct settings *s;

	rows_init(&r);
	r.sources[2].listen = TEXT("10.0.0.1");
	s = rows_build(&r);
	for (size_t i = 0; i < 2; i++)
		ck_assert_ptr_eq(settings_trunk_by_source(s, &source,
					 &settings_realm(s, 2)->addresses[i]),
			settings_trunk(s, 3));
	settings_unref(&s);
}
END_TEST

static uint32_t random_state = 99;

static uint32_t random_below(uint32_t n)
{
	random_state = random_state * 1664525u + 1013904223u;
	return (random_state >> 8) % n;
}

#define MANY 200

/* The index against a search through everything. */
START_TEST(longest_prefix_is_the_same_as_a_plain_search)
{
	static struct rows r;
	static Gh__TrunkSource sources[MANY];
	static Gh__TrunkSource *rows_of[3][MANY];
	static char texts[MANY][ADDR_TEXT_SIZE + 4];
	static unsigned owner[MANY];
	Gh__Trunk *trunks[3];
	struct settings *s;
	const struct realm_address *l;

	rows_init(&r);
	trunks[0] = &r.itsp;
	trunks[1] = &r.other;
	trunks[2] = &r.pbx;
	r.pbx.realm = 1;
	for (unsigned t = 0; t < 3; t++) {
		trunks[t]->n_sources = 0;
		trunks[t]->sources = rows_of[t];
	}
	for (size_t i = 0; i < MANY; i++) {
		unsigned bits = 20 + random_below(13);
		uint32_t ip = 0x0a000000u | random_below(1u << 12);
		unsigned t = random_below(3);

		ip = bits ? ip >> (32 - bits) << (32 - bits) : 0;
		snprintf(texts[i], sizeof(texts[i]), "%u.%u.%u.%u/%u", ip >> 24,
			ip >> 16 & 255, ip >> 8 & 255, ip & 255, bits);
		gh__trunk_source__init(&sources[i]);
		sources[i].network = texts[i];
		owner[i] = t;
		rows_of[t][trunks[t]->n_sources++] = &sources[i];
	}
	s = rows_build(&r);
	l = &settings_realm(s, 1)->addresses[0];
	for (unsigned round = 0; round < 5000; round++) {
		uint32_t ip = 0x0a000000u | random_below(1u << 13);
		struct addr source = {.family = AF_INET,
			.ip = {(uint8_t)(ip >> 24), (uint8_t)(ip >> 16),
				(uint8_t)(ip >> 8), (uint8_t)ip}};
		const struct trunk *found =
			settings_trunk_by_source(s, &source, l);
		int best_len = -1;
		uint32_t best = 0;

		for (size_t i = 0; i < MANY; i++) {
			struct addr_net net;
			uint32_t id = owner[i] + 1;

			ck_assert(!addr_net_parse(texts[i], &net));
			if (!addr_in_net(&source, &net))
				continue;
			if (net.prefix_len > best_len ||
				(net.prefix_len == best_len && id < best)) {
				best_len = net.prefix_len;
				best = id;
			}
		}
		ck_assert_uint_eq(found ? found->row->id : 0, best);
	}
	settings_unref(&s);
}
END_TEST

START_TEST(serves_and_admits)
{
	static const struct {
		const char *host;
		bool served;
	} rows[] = {
		{"example.com", true},
		{"EXAMPLE.com", true},
		{"example.com.", true},
		{"example.org", false},
		{"xexample.com", false},
		{"198.51.100.1", true},
		{"2001:db8::1", true},
		{"[2001:db8::1]", true},
		{"[2001:0DB8:0:0::1]", true},
		{"2001:db8::2", false},
		{"pub.example.net", true},
		{"10.0.0.1", false},
		{"", false},
		{".", false},
		{"[", false},
		{"192.0.2.55", true},
	};
	static struct rows r;
	struct addr friend = addr_of("192.0.2.1"), far = addr_of("192.0.3.1");
	struct settings *s;

	rows_init(&r);
	r.texts[0] = TEXT("example.com");
	r.texts[1] = TEXT("192.0.2.55");
	r.outside.domains = r.texts;
	r.outside.n_domains = 2;
	r.texts[2] = TEXT("192.0.2.0/24");
	r.inside.acl = &r.texts[2];
	r.inside.n_acl = 1;
	r.addresses[0].advertised_sip = TEXT("pub.example.net:5060");
	s = rows_build(&r);
	for (size_t i = 0; i < N_ROWS(rows); i++)
		ck_assert_msg(realm_serves(settings_realm(s, 1),
				      rows[i].host) == rows[i].served,
			"%s", rows[i].host);
	ck_assert(realm_admits(settings_realm(s, 1), &far));
	ck_assert(realm_admits(settings_realm(s, 2), &friend));
	ck_assert(!realm_admits(settings_realm(s, 2), &far));
	settings_unref(&s);
}
END_TEST

START_TEST(reads_numbers_of_settings)
{
	static struct rows r;
	struct settings *s;

	rows_init(&r);
	r.n_settings = 1;
	r.setting.name = TEXT("sip_t1_ms");
	r.setting.value = TEXT("250");
	s = rows_build(&r);
	ck_assert_uint_eq(settings_number(s, "sip_t1_ms", 500, 50, 5000), 250);
	ck_assert_uint_eq(settings_number(s, "sip_t1_ms", 500, 300, 5000), 500);
	ck_assert_uint_eq(settings_number(s, "sip_t1_ms", 500, 50, 200), 500);
	ck_assert_uint_eq(settings_number(s, "sip_t2_ms", 4000, 0, 9999), 4000);
	settings_unref(&s);
}
END_TEST

// ------------------------------------------------------------------- texts

START_TEST(knows_hosts)
{
	static const struct {
		const char *host;
		bool is;
	} rows[] = {
		{"example.com", true},
		{"example.com.", true},
		{"a", true},
		{"192.0.2.1", true},
		{"2001:db8::1", true},
		{"a-b.c", true},
		{"_sip._udp.example.com", true},
		{"", false},
		{".", false},
		{"a..b", false},
		{"a.", true},
		{"a..", false},
		{"-a.b", false},
		{"a-.b", false},
		{"a b", false},
		{"192.0.2.256", false},
		{"1.2.3", false},
		{"[2001:db8::1]", false},
		{"192.0.2.1:5060", false},
		{"a:5", false},
		{"aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffffg"
		 "ggg.x",
			false},
	};

	for (size_t i = 0; i < N_ROWS(rows); i++)
		ck_assert_msg(text_is_host(rows[i].host) == rows[i].is, "%s",
			rows[i].host);
}
END_TEST

START_TEST(knows_visible_utf8)
{
	static const struct {
		const char *text;
		bool plain;
	} rows[] = {
		{"", true},
		{"abc", true},
		{"Jos\xc3\xa9", true},
		{"\xe6\x97\xa5\xe6\x9c\xac", true},
		{"\xf0\x9f\x98\x80", true},
		{"a\tb", false},
		{"a\x7f", false},
		{"\xc2\x80", false},
		{"\xc0\x80", false},
		{"\xc1\xbf", false},
		{"\xe0\x80\x80", false},
		{"\xf0\x80\x80\x80", false},
		{"\xed\xa0\x80", false},
		{"\xf4\x90\x80\x80", false},
		{"\xff", false},
		{"\x80", false},
		{"\xc3", false},
		{"\xe6\x97", false},
		{"\xe2\x80\xae", false}, /* bidi */
		{"\xe2\x80\x8b", false},
		{"\xef\xbb\xbf", false},
		{"\xef\xbf\xbe", false},
		{"\xc2\xad", false},
	};

	for (size_t i = 0; i < N_ROWS(rows); i++)
		ck_assert_msg(utf8_is_plain(rows[i].text,
				      strlen(rows[i].text)) == rows[i].plain,
			"row %zu", i);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("settings");

	suite_add(s, "rows", takes_the_good_set);
	suite_add(s, "rows", finds_all_trunks_of_a_source);
	suite_add(s, "rows", counts_references);
	suite_add(s, "rows", copies_what_it_collects);
	suite_add(s, "collect", refuses_incomplete_snapshots);
	suite_add(s, "collect", refuses_pieces_of_no_kind);
	suite_add(s, "collect", bounds_a_snapshot);
	suite_add(s, "find", reads_addresses);
	suite_add(s, "find", finds_listeners);
	suite_add(s, "find", knows_trunks_by_source);
	suite_add(s, "find", forgets_disabled_trunks);
	suite_add(s, "find", source_on_any_port_of_an_address);
	suite_add(s, "find", longest_prefix_is_the_same_as_a_plain_search);
	suite_add(s, "find", serves_and_admits);
	suite_add(s, "find", reads_numbers_of_settings);
	suite_add(s, "texts", knows_hosts);
	suite_add(s, "texts", knows_visible_utf8);
	return suite_run(s);
}
