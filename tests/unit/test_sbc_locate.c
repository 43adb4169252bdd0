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
	struct locate_wish wish; /* what located() looks for */
	bool starting;           /* inside locate_start() */
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
	b->wish = (struct locate_wish){.host = "itsp.test",
		.transport = UDP,
		.ipv4 = true,
		.ipv6 = true,
		.outside = true};
	clock_set_source(test_now, NULL);
	ck_assert_int_eq(loop_event_new(&b->loop), 0);
	fake_open(&b->dns, b->loop);
	servers.items[0] = (char *)(uintptr_t)addr_format(&b->dns.at, text);
	config.loop = b->loop;
	ck_assert_int_eq(locator_new(&config, &b->locator), 0);
}

static void add_host(struct bench *b, const char *host, const char *addr)
{
	fake_add(&b->dns, host, DNS_A, 60, addr);
}

/* A world with itsp.test; its port is known, so that it is asked for addresses
 * alone. */
static void begin_with_host(struct bench *b)
{
	begin(b);
	b->wish.port = 5060;
	add_host(b, "itsp.test", "192.0.2.1");
}

static void later(unsigned s)
{
	skipped_us += s * CLOCK_US_PER_S;
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
	ck_assert_int_eq(loop_timer_new(b->loop, on_patience, b, &patience), 0);
	ck_assert_int_eq(loop_timer_new(b->loop, on_look, b, &look), 0);
	loop_timer_set(b->loop, patience, PATIENCE_US);
	while (!done(ctx)) {
		loop_timer_set(b->loop, look, 1000);
		ck_assert_int_eq(loop_run(b->loop), 0);
		ck_assert(!b->timed_out && test_now() < end);
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

static void start(struct bench *b, struct result *r)
{
	memset(r, 0, sizeof *r);
	r->bench = b;
	b->starting = true;
	ck_assert_int_eq(
		locate_start(b->locator, &b->wish, on_located, r, &r->query),
		0);
	b->starting = false;
	ck_assert_uint_eq(r->n_calls, 0);
}

/* "ip:port ip:port", or the reason's word. */
static const char *located(struct bench *b)
{
	static char text[LOCATE_MAX * ADDR_TEXT_SIZE];
	char one[ADDR_TEXT_SIZE];
	struct result r;
	size_t len = 0;

	start(b, &r);
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

/* --- what is found --- */

#define FAR_TOO_LONG                                                           \
	"0123456789012345678901234567890123456789012345678901234567890123."    \
	"test"

static const struct {
	const char *name;
	unsigned type;
	const char *text;
} zone[] = {
	{"host.test", DNS_A, "192.0.2.1"},
	{"host.test", DNS_A, "192.0.2.2"},

	{"_sip._udp.port.test", DNS_SRV, "1 1 5099 other.test"},
	{"port.test", DNS_A, "192.0.2.1"},

	{"_sip._udp.srv.test", DNS_SRV, "20 0 5062 second.test"},
	{"_sip._udp.srv.test", DNS_SRV, "10 0 5061 first.test"},
	{"_sips._tcp.srv.test", DNS_SRV, "10 0 5099 tls.test"},
	{"first.test", DNS_A, "192.0.2.1"},
	{"second.test", DNS_A, "192.0.2.2"},
	{"tls.test", DNS_A, "192.0.2.3"},
	{"srv.test", DNS_A, "192.0.2.9"}, /* not used: there are SRVs */

	{"_sip._udp.no.test", DNS_SRV, "0 0 0 ."},
	{"no.test", DNS_A, "192.0.2.9"},

	{"naptr.test", DNS_NAPTR, "10 10 s SIPS+D2T _sips._tcp.far.test"},
	{"naptr.test", DNS_NAPTR, "30 10 s SIP+D2U _sip._udp.worse.test"},
	{"naptr.test", DNS_NAPTR, "20 10 S sip+d2u _sip._udp.far.test"},
	{"_sip._udp.far.test", DNS_SRV, "1 1 5070 h.test"},
	{"_sip._udp.naptr.test", DNS_SRV, "1 1 5071 h.test"},
	{"h.test", DNS_A, "192.0.2.5"},

	{"both.test", DNS_A, "192.0.2.1"},
	{"both.test", DNS_AAAA, "2001:db8::1"},

	{"alias.test", FAKE_TYPE_CNAME, "real.test"},
	{"real.test", DNS_A, "192.0.2.4"},

	{"evil.test", DNS_A, "10.1.2.3"},
	{"self.test", DNS_A, "127.0.0.1"},
	{"self.test", DNS_AAAA, "::1"},
	{"mapped.test", DNS_AAAA, "::ffff:10.1.2.3"},
	{"any.test", DNS_A, "0.0.0.0"},
	{"half.test", DNS_A, "10.1.2.3"},
	{"half.test", DNS_A, "192.0.2.1"},
};

static const struct {
	const char *host, *found;
	uint16_t port;
	bool tls, no_ipv4, no_ipv6;
	bool inside;      /* the trunk's realm */
	bool asks_nobody; /* no question leaves */
} lookups[] = {
	/* Addresses need no server. */
	{"192.0.2.7", "192.0.2.7:5060", .asks_nobody = true},
	{"192.0.2.7", "192.0.2.7:5070", .port = 5070, .asks_nobody = true},
	{"192.0.2.7", "192.0.2.7:5061", .tls = true, .asks_nobody = true},
	{"2001:db8::7", "[2001:db8::7]:5060", .asks_nobody = true},
	{"2001:db8::7", "route_dns", .no_ipv6 = true, .asks_nobody = true},
	/* A name without SRV is the host; with a port no SRV is asked for at
	 * all (RFC 3263 4.2). */
	{"host.test", "192.0.2.1:5060 192.0.2.2:5060"},
	{"host.test", "192.0.2.1:5080 192.0.2.2:5080", .port = 5080},
	{"port.test", "192.0.2.1:5080", .port = 5080},
	/* By priority. */
	{"srv.test.", "192.0.2.1:5061 192.0.2.2:5062"},
	{"srv.test.", "192.0.2.3:5099", .tls = true},
	{"no.test", "route_dns"},
	/* The best service that we have. */
	{"naptr.test", "192.0.2.5:5070"},
	/* IPv6 comes first. */
	{"both.test", "[2001:db8::1]:5060 192.0.2.1:5060"},
	{"both.test", "192.0.2.1:5060", .no_ipv6 = true},
	{"both.test", "[2001:db8::1]:5060", .no_ipv4 = true},
	{"alias.test", "192.0.2.4:5060"},
	/* What an outside trunk's name must not lead to; an inside one's may
	 * well. */
	{"evil.test", "route_dns_inside"},
	{"self.test", "route_dns_inside"},
	{"mapped.test", "route_dns_inside"},
	{"any.test", "route_dns_inside"},
	{"127.0.0.1", "route_dns_inside", .asks_nobody = true},
	{"half.test", "192.0.2.1:5060"},
	{"evil.test", "10.1.2.3:5060", .inside = true},
	/* Names that are none. */
	{"", "route_dns", .asks_nobody = true},
	{".", "route_dns", .asks_nobody = true},
	{"a..b", "route_dns", .asks_nobody = true},
	{"a b.test", "route_dns", .asks_nobody = true},
	{"-\xff.test", "route_dns", .asks_nobody = true},
	{"a.test:5060", "route_dns", .asks_nobody = true},
	{FAR_TOO_LONG, "route_dns", .asks_nobody = true},
};

START_TEST(lookup)
{
	struct bench b;

	begin(&b);
	for (size_t i = 0; i < N_ROWS(zone); i++)
		fake_add(&b.dns, zone[i].name, zone[i].type, 60, zone[i].text);
	b.wish.host = lookups[_i].host;
	b.wish.port = lookups[_i].port;
	if (lookups[_i].tls)
		b.wish.transport = GH__TRANSPORT__TRANSPORT_TLS;
	b.wish.ipv4 = !lookups[_i].no_ipv4;
	b.wish.ipv6 = !lookups[_i].no_ipv6;
	b.wish.outside = !lookups[_i].inside;
	ck_assert_str_eq(located(&b), lookups[_i].found);
	ck_assert_int_eq(b.dns.n_asked == 0, lookups[_i].asks_nobody);
	finish(&b);
}
END_TEST

/* --- servers that let us down --- */

START_TEST(dead_resolver)
{
	struct bench b;
	uint64_t began = test_now(), asked;

	begin(&b);
	b.dns.mode = FAKE_SILENT;
	ck_assert_str_eq(located(&b), "route_dns");
	ck_assert_uint_ge(test_now() - began, DEADLINE_US - 1000);
	ck_assert_uint_lt(test_now() - began, DEADLINE_US + PATIENCE_US / 2);
	/* The next call joins the question that is still open. */
	asked = locator_n_sent(b.locator);
	ck_assert_str_eq(located(&b), "route_dns");
	ck_assert_uint_eq(locator_n_sent(b.locator), asked);
	/* Back to life: as soon as a failure is forgotten. */
	b.dns.mode = FAKE_ANSWER;
	add_host(&b, "itsp.test", "192.0.2.1");
	later(3);
	for (int i = 0; i < 20; i++) {
		if (strcmp(located(&b), "192.0.2.1:5060") == 0)
			break;
		later(3);
	}
	ck_assert_str_eq(located(&b), "192.0.2.1:5060");
	finish(&b);
}
END_TEST

START_TEST(failing_resolver_is_left_alone)
{
	struct bench b;
	uint64_t asked;

	begin(&b);
	b.dns.mode = FAKE_FAIL;
	ck_assert_str_eq(located(&b), "route_dns");
	asked = locator_n_sent(b.locator);
	for (int i = 0; i < 100; i++)
		ck_assert_str_eq(located(&b), "route_dns");
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
	struct result r, other;

	begin_with_host(&b);
	b.dns.mode = FAKE_HOLD;
	start(&b, &r);
	start(&b, &other);
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
	uint64_t began;

	begin_with_host(&b);
	b.dns.silent_type = DNS_AAAA;
	began = test_now();
	ck_assert_str_eq(located(&b), "192.0.2.1:5060");
	ck_assert_uint_lt(test_now() - began, DEADLINE_US);
	finish(&b);
}
END_TEST

START_TEST(garbage)
{
	struct bench b;

	begin(&b);
	add_host(&b, "itsp.test", "192.0.2.1");
	b.dns.mode = FAKE_GARBAGE;
	ck_assert_str_eq(located(&b), "route_dns");
	b.dns.mode = FAKE_CUT;
	later(3);
	ck_assert_str_eq(located(&b), "route_dns");
	finish(&b);
}
END_TEST

START_TEST(truncated)
{
	struct bench b;

	begin_with_host(&b);
	b.wish.ipv6 = false;
	add_host(&b, "itsp.test", "192.0.2.2");
	b.dns.mode = FAKE_TRUNCATED;
	ck_assert_str_eq(located(&b), "192.0.2.1:5060");
	finish(&b);
}
END_TEST

/* --- the cache at work --- */

START_TEST(changed_address)
{
	struct bench b;
	uint64_t asked;

	begin_with_host(&b);
	b.dns.soa_ttl = 60;
	ck_assert_str_eq(located(&b), "192.0.2.1:5060");
	asked = locator_n_sent(b.locator);
	fake_clear(&b.dns);
	add_host(&b, "itsp.test", "192.0.2.2");
	later(59);
	ck_assert_str_eq(located(&b), "192.0.2.1:5060");
	ck_assert_uint_eq(locator_n_sent(b.locator), asked);
	later(2);
	ck_assert_str_eq(located(&b), "192.0.2.2:5060");
	finish(&b);
}
END_TEST

START_TEST(negative_is_kept)
{
	struct bench b;
	uint64_t asked;

	begin(&b);
	b.dns.soa_ttl = 20;
	ck_assert_str_eq(located(&b), "route_dns");
	asked = locator_n_sent(b.locator);
	add_host(&b, "itsp.test", "192.0.2.1");
	later(19);
	ck_assert_str_eq(located(&b), "route_dns");
	ck_assert_uint_eq(locator_n_sent(b.locator), asked);
	later(2);
	ck_assert_str_eq(located(&b), "192.0.2.1:5060");
	finish(&b);
}
END_TEST

START_TEST(stale_serves_while_failing)
{
	struct bench b;

	begin_with_host(&b);
	ck_assert_str_eq(located(&b), "192.0.2.1:5060");
	b.dns.mode = FAKE_SILENT;
	later(3600);
	ck_assert_str_eq(located(&b), "192.0.2.1:5060");
	b.dns.mode = FAKE_FAIL;
	later(3600);
	ck_assert_str_eq(located(&b), "192.0.2.1:5060");
	/* A day later it is too old. */
	later(25 * 3600);
	ck_assert_str_eq(located(&b), "route_dns");
	finish(&b);
}
END_TEST

/* At once, while the servers are asked, with an answer that is ready but not
 * told yet, and with the locator. */
START_TEST(cancelled)
{
	struct bench b;
	struct result r, other;

	begin(&b);
	add_host(&b, "itsp.test", "192.0.2.1");
	start(&b, &r);
	locate_cancel(&r.query);
	ck_assert_ptr_null(r.query);
	locate_cancel(&r.query);

	b.dns.mode = FAKE_HOLD;
	b.wish.host = "other.test";
	start(&b, &other);
	until(&b, two_held, &b);
	locate_cancel(&other.query);
	fake_release(&b.dns);

	b.wish.host = "itsp.test";
	ck_assert_str_eq(located(&b), "192.0.2.1:5060");
	start(&b, &other);
	locate_cancel(&other.query);
	ck_assert_str_eq(located(&b), "192.0.2.1:5060");
	ck_assert_uint_eq(r.n_calls, 0);
	ck_assert_uint_eq(other.n_calls, 0);

	start(&b, &r);
	finish(&b);
	ck_assert_uint_eq(r.n_calls, 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("sbc locate");

	suite_add_rows(s, "lookup", lookup, N_ROWS(lookups));
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
	return suite_run(s);
}
