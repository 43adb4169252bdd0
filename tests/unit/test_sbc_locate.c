/* SPDX-License-Identifier: Apache-2.0 */
/*
 * RFC 3263 against a name server of our own: order, families, what is refused,
 * and every way in which a resolver can let us down.
 */
#include "config.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "common/clock.h"
#include "sbc/flow.h"
#include "sbc/locate.h"
#include "sbc/locate_dns.h"
#include "tests/unit/dns_fake.h"
#include "tests/unit/suite.h"

#define PATIENCE_US (10ULL * 1000 * 1000)
#define DEADLINE_US (700 * 1000ULL)
#define UDP         GH__TRANSPORT__TRANSPORT_UDP

/* The kernel's time, and what the test adds to it. */
static uint64_t skipped_us;

static uint64_t test_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000 +
	       skipped_us;
}

struct result {
	unsigned n_calls;
	enum reason why;
	struct addr addrs[LOCATE_MAX];
	size_t n;
	struct locate_query *query;
	struct bench *bench;
};

struct bench {
	struct loop *loop;
	struct dns_fake dns;
	struct locator *locator;
	bool starting; /* inside locate_start() */
	bool timed_out;
	bool (*done)(void *ctx);
	void *ctx;
};

static bool is_inside(void *ctx, const struct addr *addr)
{
	struct addr_net inside;

	(void)ctx;
	ck_assert_int_eq(addr_net_parse("10.0.0.0/8", &inside), 0);
	return addr_in_net(addr, &inside);
}

static void begin(struct bench *b)
{
	struct conf_list servers = {.n_items = 1};
	char text[ADDR_TEXT_SIZE];
	struct locate_config config = {
		.servers = &servers,
		.deadline_us = DEADLINE_US,
		.inside = is_inside,
	};

	memset(b, 0, sizeof *b);
	skipped_us = 0;
	clock_set_source(test_now, NULL);
	ck_assert_int_eq(loop_event_new(&b->loop), 0);
	fake_open(&b->dns, b->loop);
	servers.items[0] = (char *)(uintptr_t)addr_format(&b->dns.at, text);
	config.loop = b->loop;
	ck_assert_int_eq(locator_new(&config, &b->locator), 0);
}

static void finish(struct bench *b)
{
	locator_free(&b->locator);
	fake_close(&b->dns);
	loop_free(&b->loop);
	clock_set_source(NULL, NULL);
}

static void on_patience(void *arg)
{
	struct bench *b = arg;

	b->timed_out = true;
	loop_stop(b->loop);
}

static void on_look(void *arg)
{
	struct bench *b = arg;

	if (b->done(b->ctx))
		loop_stop(b->loop);
}

static void until(struct bench *b, bool (*done)(void *ctx), void *ctx)
{
	struct loop_timer *patience, *look;
	uint64_t end = test_now() + PATIENCE_US;

	b->done = done;
	b->ctx = ctx;
	ck_assert_int_eq(
		loop_timer_new(b->loop, on_patience, b, &patience), 0);
	ck_assert_int_eq(loop_timer_new(b->loop, on_look, b, &look), 0);
	loop_timer_set(b->loop, patience, PATIENCE_US);
	while (!done(ctx)) {
		loop_timer_set(b->loop, look, 1000);
		ck_assert_int_eq(loop_run(b->loop), 0);
		ck_assert(!b->timed_out && test_now() < end);
		if (!done(ctx))
			continue;
	}
	loop_timer_free(b->loop, &patience);
	loop_timer_free(b->loop, &look);
}

static void on_located(
	void *ctx, enum reason why, const struct addr *addrs, size_t n)
{
	struct result *r = ctx;

	ck_assert(!r->bench->starting);
	r->n_calls++;
	r->why = why;
	r->n = n;
	memcpy(r->addrs, addrs, n * sizeof *addrs);
	r->query = NULL;
	loop_stop(r->bench->loop);
}

static bool has_result(void *ctx)
{
	return ((struct result *)ctx)->n_calls != 0;
}

static void start(
	struct bench *b, struct result *r, const struct locate_wish *wish)
{
	memset(r, 0, sizeof *r);
	r->bench = b;
	b->starting = true;
	ck_assert_int_eq(
		locate_start(b->locator, wish, on_located, r, &r->query), 0);
	b->starting = false;
	ck_assert_uint_eq(r->n_calls, 0);
}

/* "ip:port ip:port", or the reason's word. */
static const char *located(struct bench *b, const struct locate_wish *wish)
{
	static char text[LOCATE_MAX * ADDR_TEXT_SIZE];
	char one[ADDR_TEXT_SIZE];
	struct result r;
	size_t len = 0;

	start(b, &r, wish);
	until(b, has_result, &r);
	ck_assert_uint_eq(r.n_calls, 1);
	if (r.why != REASON_ROUTE_OK) {
		ck_assert_uint_eq(r.n, 0);
		return reason_text(r.why);
	}
	ck_assert_uint_gt(r.n, 0);
	text[0] = '\0';
	for (size_t i = 0; i < r.n; i++)
		len += (size_t)snprintf(text + len, sizeof text - len, "%s%s",
			i != 0 ? " " : "", addr_format(&r.addrs[i], one));
	return text;
}

static struct locate_wish wish_of(const char *host)
{
	return (struct locate_wish){.host = host,
		.transport = UDP,
		.ipv4 = true,
		.ipv6 = true,
		.outside = true};
}

static const char *located_plain(struct bench *b, const char *host)
{
	struct locate_wish wish = wish_of(host);

	return located(b, &wish);
}

/* --- what is found --- */

START_TEST(addresses_need_no_server)
{
	struct bench b;
	struct locate_wish wish = wish_of("192.0.2.7");

	begin(&b);
	b.dns.mode = FAKE_SILENT;
	ck_assert_str_eq(located(&b, &wish), "192.0.2.7:5060");
	wish.port = 5070;
	ck_assert_str_eq(located(&b, &wish), "192.0.2.7:5070");
	wish.transport = GH__TRANSPORT__TRANSPORT_TLS;
	wish.port = 0;
	ck_assert_str_eq(located(&b, &wish), "192.0.2.7:5061");
	wish.host = "2001:db8::7";
	wish.transport = UDP;
	ck_assert_str_eq(located(&b, &wish), "[2001:db8::7]:5060");
	wish.ipv6 = false;
	ck_assert_str_eq(located(&b, &wish), "route_dns");
	ck_assert_uint_eq(b.dns.n_asked, 0);
	finish(&b);
}
END_TEST

START_TEST(a_name_without_srv_is_the_host)
{
	struct bench b;
	struct locate_wish wish = wish_of("itsp.test");

	begin(&b);
	fake_add(&b.dns, "itsp.test", DNS_A, 60, "192.0.2.1");
	fake_add(&b.dns, "itsp.test", DNS_A, 60, "192.0.2.2");
	ck_assert_str_eq(located(&b, &wish), "192.0.2.1:5060 192.0.2.2:5060");
	/* A port: no SRV is asked for at all (RFC 3263 4.2). */
	fake_add(&b.dns, "_sip._udp.itsp.test", DNS_SRV, 60,
		"1 1 5099 other.test");
	wish.port = 5080;
	ck_assert_str_eq(located(&b, &wish), "192.0.2.1:5080 192.0.2.2:5080");
	finish(&b);
}
END_TEST

START_TEST(srv_by_priority)
{
	struct bench b;
	struct locate_wish wish = wish_of("itsp.test.");

	begin(&b);
	fake_add(&b.dns, "_sip._udp.itsp.test", DNS_SRV, 60,
		"20 0 5062 second.test");
	fake_add(&b.dns, "_sip._udp.itsp.test", DNS_SRV, 60,
		"10 0 5061 first.test");
	fake_add(&b.dns, "_sips._tcp.itsp.test", DNS_SRV, 60,
		"10 0 5099 tls.test");
	fake_add(&b.dns, "first.test", DNS_A, 60, "192.0.2.1");
	fake_add(&b.dns, "second.test", DNS_A, 60, "192.0.2.2");
	fake_add(&b.dns, "tls.test", DNS_A, 60, "192.0.2.3");
	/* Not used: there are SRV records. */
	fake_add(&b.dns, "itsp.test", DNS_A, 60, "192.0.2.9");
	ck_assert_str_eq(located(&b, &wish), "192.0.2.1:5061 192.0.2.2:5062");
	wish.transport = GH__TRANSPORT__TRANSPORT_TLS;
	ck_assert_str_eq(located(&b, &wish), "192.0.2.3:5099");
	finish(&b);
}
END_TEST

START_TEST(srv_that_says_no)
{
	struct bench b;

	begin(&b);
	fake_add(&b.dns, "_sip._udp.itsp.test", DNS_SRV, 60, "0 0 0 .");
	fake_add(&b.dns, "itsp.test", DNS_A, 60, "192.0.2.9");
	ck_assert_str_eq(located_plain(&b, "itsp.test"), "route_dns");
	finish(&b);
}
END_TEST

START_TEST(naptr_names_the_service)
{
	struct bench b;

	begin(&b);
	fake_add(&b.dns, "itsp.test", DNS_NAPTR, 60,
		"10 10 s SIPS+D2T _sips._tcp.far.test");
	fake_add(&b.dns, "itsp.test", DNS_NAPTR, 60,
		"30 10 s SIP+D2U _sip._udp.worse.test");
	fake_add(&b.dns, "itsp.test", DNS_NAPTR, 60,
		"20 10 S sip+d2u _sip._udp.far.test");
	fake_add(&b.dns, "_sip._udp.far.test", DNS_SRV, 60, "1 1 5070 h.test");
	fake_add(&b.dns, "_sip._udp.itsp.test", DNS_SRV, 60, "1 1 5071 h.test");
	fake_add(&b.dns, "h.test", DNS_A, 60, "192.0.2.5");
	ck_assert_str_eq(located_plain(&b, "itsp.test"), "192.0.2.5:5070");
	finish(&b);
}
END_TEST

START_TEST(ipv6_comes_first)
{
	struct bench b;
	struct locate_wish wish = wish_of("both.test");

	begin(&b);
	fake_add(&b.dns, "both.test", DNS_A, 60, "192.0.2.1");
	fake_add(&b.dns, "both.test", DNS_AAAA, 60, "2001:db8::1");
	ck_assert_str_eq(
		located(&b, &wish), "[2001:db8::1]:5060 192.0.2.1:5060");
	wish.ipv6 = false;
	ck_assert_str_eq(located(&b, &wish), "192.0.2.1:5060");
	wish.ipv6 = true;
	wish.ipv4 = false;
	ck_assert_str_eq(located(&b, &wish), "[2001:db8::1]:5060");
	finish(&b);
}
END_TEST

START_TEST(cnames_are_followed)
{
	struct bench b;

	begin(&b);
	fake_add(&b.dns, "alias.test", FAKE_TYPE_CNAME, 60, "real.test");
	fake_add(&b.dns, "real.test", DNS_A, 60, "192.0.2.4");
	ck_assert_str_eq(located_plain(&b, "alias.test"), "192.0.2.4:5060");
	finish(&b);
}
END_TEST

START_TEST(inside_is_refused)
{
	struct bench b;
	struct locate_wish wish = wish_of("evil.test");

	begin(&b);
	fake_add(&b.dns, "evil.test", DNS_A, 60, "10.1.2.3");
	fake_add(&b.dns, "self.test", DNS_A, 60, "127.0.0.1");
	fake_add(&b.dns, "self.test", DNS_AAAA, 60, "::1");
	fake_add(&b.dns, "mapped.test", DNS_AAAA, 60, "2001:db8::1");
	fake_add(&b.dns, "any.test", DNS_A, 60, "0.0.0.0");
	fake_add(&b.dns, "half.test", DNS_A, 60, "10.1.2.3");
	fake_add(&b.dns, "half.test", DNS_A, 60, "192.0.2.1");
	ck_assert_str_eq(located(&b, &wish), "route_dns_inside");
	ck_assert_str_eq(located_plain(&b, "self.test"), "route_dns_inside");
	ck_assert_str_eq(located_plain(&b, "any.test"), "route_dns_inside");
	ck_assert_str_eq(located_plain(&b, "127.0.0.1"), "route_dns_inside");
	ck_assert_str_eq(located_plain(&b, "half.test"), "192.0.2.1:5060");
	/* An inside trunk may well be inside. */
	wish.outside = false;
	ck_assert_str_eq(located(&b, &wish), "10.1.2.3:5060");
	finish(&b);
}
END_TEST

/* --- servers that let us down --- */

START_TEST(dead_resolver)
{
	struct bench b;
	struct locate_wish wish = wish_of("itsp.test");
	uint64_t began = test_now();
	unsigned asked;

	begin(&b);
	b.dns.mode = FAKE_SILENT;
	ck_assert_str_eq(located(&b, &wish), "route_dns");
	ck_assert_uint_ge(test_now() - began, DEADLINE_US - 1000);
	ck_assert_uint_lt(test_now() - began, DEADLINE_US + PATIENCE_US / 2);
	/* The next call joins the question that is still open. */
	asked = (unsigned)locator_n_sent(b.locator);
	ck_assert_str_eq(located(&b, &wish), "route_dns");
	ck_assert_uint_eq(locator_n_sent(b.locator), asked);
	/* Back to life: as soon as a failure is forgotten. */
	b.dns.mode = FAKE_ANSWER;
	fake_add(&b.dns, "itsp.test", DNS_A, 60, "192.0.2.1");
	skipped_us += 3 * CLOCK_US_PER_S;
	for (int i = 0; i < 20; i++) {
		if (strcmp(located(&b, &wish), "192.0.2.1:5060") == 0)
			break;
		skipped_us += 3 * CLOCK_US_PER_S;
	}
	ck_assert_str_eq(located(&b, &wish), "192.0.2.1:5060");
	finish(&b);
}
END_TEST

START_TEST(failing_resolver_is_left_alone)
{
	struct bench b;
	uint64_t asked;

	begin(&b);
	b.dns.mode = FAKE_FAIL;
	ck_assert_str_eq(located_plain(&b, "itsp.test"), "route_dns");
	asked = locator_n_sent(b.locator);
	for (int i = 0; i < 100; i++)
		ck_assert_str_eq(located_plain(&b, "itsp.test"), "route_dns");
	ck_assert_uint_eq(locator_n_sent(b.locator), asked);
	finish(&b);
}
END_TEST

static bool two_held(void *ctx)
{
	return ((struct bench *)ctx)->dns.n_held >= 2;
}

START_TEST(slow_resolver)
{
	struct bench b;
	struct locate_wish wish = wish_of("slow.test");
	struct result r, other;

	begin(&b);
	wish.port = 5060;
	fake_add(&b.dns, "slow.test", DNS_A, 60, "192.0.2.1");
	b.dns.mode = FAKE_HOLD;
	start(&b, &r, &wish);
	start(&b, &other, &wish);
	until(&b, two_held, &b);
	ck_assert_uint_eq(r.n_calls, 0);
	/* Two callers, one question of each type. */
	ck_assert_uint_eq(locator_n_sent(b.locator), 2);
	fake_release(&b.dns);
	until(&b, has_result, &r);
	until(&b, has_result, &other);
	ck_assert_int_eq(r.why, REASON_ROUTE_OK);
	ck_assert_int_eq(other.why, REASON_ROUTE_OK);
	finish(&b);
}
END_TEST

/* A server that never answers for AAAA does not cost the whole deadline. */
START_TEST(one_family_is_silent)
{
	struct bench b;
	struct locate_wish wish = wish_of("v4.test");
	uint64_t began;

	begin(&b);
	fake_add(&b.dns, "v4.test", DNS_A, 60, "192.0.2.1");
	b.dns.silent_type = DNS_AAAA;
	wish.port = 5060;
	began = test_now();
	ck_assert_str_eq(located(&b, &wish), "192.0.2.1:5060");
	ck_assert_uint_lt(test_now() - began, DEADLINE_US);
	finish(&b);
}
END_TEST

START_TEST(garbage)
{
	struct bench b;

	begin(&b);
	fake_add(&b.dns, "itsp.test", DNS_A, 60, "192.0.2.1");
	b.dns.mode = FAKE_GARBAGE;
	ck_assert_str_eq(located_plain(&b, "itsp.test"), "route_dns");
	b.dns.mode = FAKE_CUT;
	skipped_us += 3 * CLOCK_US_PER_S;
	ck_assert_str_eq(located_plain(&b, "itsp.test"), "route_dns");
	finish(&b);
}
END_TEST

START_TEST(truncated)
{
	struct bench b;
	struct locate_wish wish = wish_of("big.test");

	begin(&b);
	wish.port = 5060;
	wish.ipv6 = false;
	fake_add(&b.dns, "big.test", DNS_A, 60, "192.0.2.1");
	fake_add(&b.dns, "big.test", DNS_A, 60, "192.0.2.2");
	b.dns.mode = FAKE_TRUNCATED;
	ck_assert_str_eq(located(&b, &wish), "192.0.2.1:5060");
	finish(&b);
}
END_TEST

/* --- the cache at work --- */

START_TEST(changed_address)
{
	struct bench b;
	struct locate_wish wish = wish_of("moves.test");
	uint64_t asked;

	begin(&b);
	wish.port = 5060;
	fake_add(&b.dns, "moves.test", DNS_A, 60, "192.0.2.1");
	b.dns.soa_ttl = 60;
	ck_assert_str_eq(located(&b, &wish), "192.0.2.1:5060");
	asked = locator_n_sent(b.locator);
	fake_clear(&b.dns);
	fake_add(&b.dns, "moves.test", DNS_A, 60, "192.0.2.2");
	skipped_us += 59 * CLOCK_US_PER_S;
	ck_assert_str_eq(located(&b, &wish), "192.0.2.1:5060");
	ck_assert_uint_eq(locator_n_sent(b.locator), asked);
	skipped_us += 2 * CLOCK_US_PER_S;
	ck_assert_str_eq(located(&b, &wish), "192.0.2.2:5060");
	finish(&b);
}
END_TEST

START_TEST(negative_is_kept)
{
	struct bench b;
	uint64_t asked;

	begin(&b);
	b.dns.soa_ttl = 20;
	ck_assert_str_eq(located_plain(&b, "none.test"), "route_dns");
	asked = locator_n_sent(b.locator);
	fake_add(&b.dns, "none.test", DNS_A, 60, "192.0.2.1");
	skipped_us += 19 * CLOCK_US_PER_S;
	ck_assert_str_eq(located_plain(&b, "none.test"), "route_dns");
	ck_assert_uint_eq(locator_n_sent(b.locator), asked);
	skipped_us += 2 * CLOCK_US_PER_S;
	ck_assert_str_eq(located_plain(&b, "none.test"), "192.0.2.1:5060");
	finish(&b);
}
END_TEST

START_TEST(stale_serves_while_failing)
{
	struct bench b;
	struct locate_wish wish = wish_of("old.test");

	begin(&b);
	wish.port = 5060;
	fake_add(&b.dns, "old.test", DNS_A, 60, "192.0.2.1");
	ck_assert_str_eq(located(&b, &wish), "192.0.2.1:5060");
	b.dns.mode = FAKE_SILENT;
	skipped_us += 3600 * CLOCK_US_PER_S;
	ck_assert_str_eq(located(&b, &wish), "192.0.2.1:5060");
	b.dns.mode = FAKE_FAIL;
	skipped_us += 3600 * CLOCK_US_PER_S;
	ck_assert_str_eq(located(&b, &wish), "192.0.2.1:5060");
	/* A day later it is too old. */
	skipped_us += 25 * 3600 * CLOCK_US_PER_S;
	ck_assert_str_eq(located(&b, &wish), "route_dns");
	finish(&b);
}
END_TEST

START_TEST(cancelled)
{
	struct bench b;
	struct locate_wish wish = wish_of("itsp.test");
	struct result r, other;

	begin(&b);
	fake_add(&b.dns, "itsp.test", DNS_A, 60, "192.0.2.1");
	/* at once, while the servers are asked, and with an answer that is
	 * ready but not told yet */
	start(&b, &r, &wish);
	locate_cancel(&r.query);
	ck_assert_ptr_null(r.query);
	locate_cancel(&r.query);
	b.dns.mode = FAKE_HOLD;
	wish.host = "other.test";
	start(&b, &other, &wish);
	until(&b, two_held, &b);
	locate_cancel(&other.query);
	fake_release(&b.dns);
	ck_assert_str_eq(located_plain(&b, "itsp.test"), "192.0.2.1:5060");
	wish.host = "itsp.test";
	start(&b, &other, &wish);
	locate_cancel(&other.query);
	ck_assert_str_eq(located_plain(&b, "itsp.test"), "192.0.2.1:5060");
	ck_assert_uint_eq(r.n_calls, 0);
	ck_assert_uint_eq(other.n_calls, 0);
	/* what is left goes with the locator */
	start(&b, &r, &wish);
	finish(&b);
	ck_assert_uint_eq(r.n_calls, 0);
}
END_TEST

START_TEST(names_that_are_none)
{
	static const char *const names[] = {"", ".", "a..b", "a b.test",
		"-\xff.test", "a.test:5060",
		"0123456789012345678901234567890123456789012345678901234567890123"
		".test"};
	struct bench b;

	begin(&b);
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		ck_assert_str_eq(located_plain(&b, names[i]), "route_dns");
	ck_assert_uint_eq(b.dns.n_asked, 0);
	finish(&b);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("sbc locate");

	suite_add(s, "numeric", addresses_need_no_server);
	suite_add(s, "no srv", a_name_without_srv_is_the_host);
	suite_add(s, "srv", srv_by_priority);
	suite_add(s, "srv root", srv_that_says_no);
	suite_add(s, "naptr", naptr_names_the_service);
	suite_add(s, "ipv6", ipv6_comes_first);
	suite_add(s, "cname", cnames_are_followed);
	suite_add(s, "inside", inside_is_refused);
	suite_add(s, "dead", dead_resolver);
	suite_add(s, "failing", failing_resolver_is_left_alone);
	suite_add(s, "slow", slow_resolver);
	suite_add(s, "one family", one_family_is_silent);
	suite_add(s, "garbage", garbage);
	suite_add(s, "truncated", truncated);
	suite_add(s, "changed", changed_address);
	suite_add(s, "negative", negative_is_kept);
	suite_add(s, "stale", stale_serves_while_failing);
	suite_add(s, "cancel", cancelled);
	suite_add(s, "names", names_that_are_none);
	return suite_run(s);
}
