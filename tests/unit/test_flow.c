/* SPDX-License-Identifier: Apache-2.0 */
/* flowd over real sockets, plain: messages both ways, limits, deadlines,
 * refusals, backpressure, and what happens when sbc dies. */
#include <check.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"
#include "flow_rig.h"
#include "suite.h"

#define TCP GH__TRANSPORT__TRANSPORT_TCP

/* A request that a phone sends; branch and body vary. */
static const char *request(const char *method, const char *branch)
{
	static char text[1024];

	snprintf(text, sizeof(text),
		"%s sip:sbc.example.com SIP/2.0\r\n"
		"Via: SIP/2.0/TCP phone.invalid;branch=%s;rport\r\n"
		"From: <sip:a@example.com>;tag=1\r\nTo: <sip:b@example.com>\r\n"
		"Call-ID: x@y\r\nCSeq: 1 %s\r\nContent-Length: 0\r\n\r\n",
		method, branch, method);
	return text;
}

/* The value behind "name" up to its end of line or ';'. */
static void value_of(const char *message, const char *name, char *value)
{
	const char *at = strstr(message, name);
	size_t n;

	ck_assert_ptr_nonnull(at);
	at += strlen(name);
	n = strcspn(at, ";\r\n");
	ck_assert_uint_lt(n, 200);
	memcpy(value, at, n);
	value[n] = '\0';
}

struct world {
	struct rig r;
	struct rig_peer p;
	struct rig_bridge *b;
};

static struct world *world_new(void)
{
	struct world *w = calloc(1, sizeof(*w));

	rig_begin(&w->r);
	(void)rig_listener(&w->r, "127.0.0.1", TCP);
	return w;
}

/* A peer that has sent its first request, and its bridge. */
static void begin_flow(struct world *w)
{
	size_t n = w->r.n_opened + 1;

	rig_connect(&w->p, &w->r, 0, "127.0.0.2");
	rig_say(&w->p, request("OPTIONS", "z9hG4bKfirst"));
	w->b = rig_bridge(&w->r, rig_wait_opened(&w->r, n)->local_port);
	rig_bridge_expect(&w->r, w->b, "\r\n\r\n");
}

static size_t count(const char *in, size_t len, const char *what)
{
	size_t n = 0;
	const char *at = in, *end = in + len;

	while ((at = memmem(at, (size_t)(end - at), what, strlen(what)))) {
		n++;
		at++;
	}
	return n;
}

static void world_free(struct world *w)
{
	rig_peer_end(&w->p);
	rig_end(&w->r);
	free(w);
}

START_TEST(test_both_ways)
{
	struct world *w = world_new();
	char via[256], text[1024], before[200];
	const struct rig_opened *o;

	rig_sbc_up(&w->r);
	begin_flow(w);
	o = &w->r.opened[0];
	ck_assert_uint_eq(o->request, 0);
	ck_assert_int_eq(o->transport, TCP);
	ck_assert_str_eq(o->listen, w->r.listen_text[0]);
	ck_assert_int_eq(strncmp(o->peer, "127.0.0.2:", 10), 0);
	ck_assert_uint_eq(o->n_names, 0);
	ck_assert_str_eq(o->key, "");
	/* Ours on top, the peer's below with what we know of it. */
	snprintf(via, sizeof(via), "SIP/2.0\r\nVia: SIP/2.0/TCP 127.0.0.1:%u;",
		w->b->port);
	ck_assert_ptr_nonnull(strstr((char *)w->b->bytes, via));
	snprintf(via, sizeof(via),
		"Via: SIP/2.0/TCP phone.invalid;branch=z9hG4bKfirst;rport=%s;"
		"received=127.0.0.2\r\n",
		o->peer + 10);
	ck_assert_ptr_nonnull(strstr((char *)w->b->bytes, via));
	/* The answer: only the peer's own Via is left. */
	value_of((char *)w->b->bytes, "branch=", before);
	snprintf(text, sizeof(text),
		"SIP/2.0 200 OK\r\nVia: SIP/2.0/TCP "
		"127.0.0.1:%u;branch=%s;rport=1;received=127.0.0.1\r\n"
		"%sCSeq: 1 OPTIONS\r\nl: 2\r\n\r\nhi",
		w->b->port, before, via);
	rig_bridge_say(&w->r, w->b, text);
	rig_expect(&w->p, "hi");
	snprintf(text, sizeof(text),
		"SIP/2.0 200 OK\r\n%sCSeq: 1 OPTIONS\r\nl: 2\r\n\r\nhi", via);
	ck_assert_str_eq((char *)w->p.bytes, text);
	w->p.len = 0;
	/* A request of ours: our name in it, and back again on the answer. */
	rig_bridge_say(&w->r, w->b,
		"INVITE sip:a SIP/2.0\r\nVia: SIP/2.0/TCP "
		"127.0.0.1:5999;branch=z9hG4bKq;rport\r\nl: 0\r\n\r\n");
	rig_expect(&w->p, "\r\n\r\n");
	ck_assert_str_eq((char *)w->p.bytes,
		"INVITE sip:a SIP/2.0\r\nVia: SIP/2.0/TCP "
		"sbc.example.com:5061;branch=z9hG4bKq;rport\r\nl: 0\r\n\r\n");
	w->b->len = 0;
	rig_say(&w->p, "SIP/2.0 100 T\r\nVia: SIP/2.0/TCP sbc.example.com:5061;"
		       "branch=z9hG4bKq;rport=3;received=5.6.7.8\r\n"
		       "l: 0\r\n\r\n");
	rig_bridge_expect(&w->r, w->b, "l: 0\r\n\r\n");
	ck_assert_str_eq((char *)w->b->bytes,
		"SIP/2.0 100 T\r\nVia: SIP/2.0/TCP 127.0.0.1:5999;"
		"branch=z9hG4bKq;rport=3;received=5.6.7.8\r\nl: 0\r\n\r\n");
	/* The peer goes: sbc hears of it. */
	rig_peer_end(&w->p);
	ck_assert_int_eq(
		rig_wait_closed(&w->r, 1)->why, REASON_FLOW_CLOSED_BY_PEER);
	ck_assert_uint_eq(w->r.closed[0].flow, o->flow);
	world_free(w);
}
END_TEST

/* CANCEL and ACK must meet their INVITE in sbc; other flows must not. */
START_TEST(test_branches)
{
	struct world *w = world_new();
	char invite[200], cancel[200], other[200], third[200];
	struct rig_peer q;
	struct rig_bridge *b;

	rig_sbc_up(&w->r);
	begin_flow(w);
	w->b->len = 0;
	rig_say(&w->p, request("INVITE", "z9hG4bKsame"));
	rig_bridge_expect(&w->r, w->b, "INVITE\r\nContent-Length: 0\r\n\r\n");
	value_of((char *)w->b->bytes, "branch=", invite);
	w->b->len = 0;
	rig_say(&w->p, request("CANCEL", "z9hG4bKsame"));
	rig_bridge_expect(&w->r, w->b, "CANCEL\r\nContent-Length: 0\r\n\r\n");
	value_of((char *)w->b->bytes, "branch=", cancel);
	w->b->len = 0;
	rig_say(&w->p, request("INVITE", "z9hG4bKother"));
	rig_bridge_expect(&w->r, w->b, "INVITE\r\nContent-Length: 0\r\n\r\n");
	value_of((char *)w->b->bytes, "branch=", other);
	rig_connect(&q, &w->r, 0, "127.0.0.3");
	rig_say(&q, request("INVITE", "z9hG4bKsame"));
	b = rig_bridge(&w->r, rig_wait_opened(&w->r, 2)->local_port);
	rig_bridge_expect(&w->r, b, "INVITE\r\nContent-Length: 0\r\n\r\n");
	value_of((char *)b->bytes, "branch=", third);
	ck_assert_str_eq(invite, cancel);
	ck_assert_str_ne(invite, other);
	ck_assert_str_ne(invite, third);
	ck_assert_int_eq(strncmp(invite, "z9hG4bK", 7), 0);
	rig_peer_end(&q);
	world_free(w);
}
END_TEST

START_TEST(test_pieces_and_pings)
{
	struct world *w = world_new();
	const char *m;

	rig_sbc_up(&w->r);
	begin_flow(w);
	w->b->len = 0;
	m = request("MESSAGE", "z9hG4bKpieces");
	for (size_t i = 0; m[i]; i++)
		rig_say_bytes(&w->p, m + i, 1);
	rig_bridge_expect(&w->r, w->b, "MESSAGE\r\nContent-Length: 0\r\n\r\n");
	rig_say(&w->p, "\r\n\r\n");
	rig_expect(&w->p, "\r\n");
	ck_assert_uint_eq(w->p.len, 2);
	rig_say(&w->p, "\r\n\r\n\r\n\r\n");
	rig_expect(&w->p, "\r\n\r\n\r\n");
	ck_assert_uint_eq(w->p.len, 6);
	world_free(w);
}
END_TEST

/* A stranger that says nothing costs sbc nothing. */
START_TEST(test_silent_is_unknown)
{
	struct world *w = world_new();

	w->r.flow_config.first_message_timeout_ms = 200;
	rig_sbc_up(&w->r);
	rig_connect(&w->p, &w->r, 0, "127.0.0.2");
	rig_say(&w->p, "\r\n\r\n");
	rig_expect(&w->p, "\r\n");
	rig_expect_end(&w->p);
	ck_assert_uint_eq(w->r.n_opened, 0);
	ck_assert_int_eq(
		rig_wait_closed(&w->r, 1)->why, REASON_FLOW_NO_MESSAGE);
	ck_assert_uint_eq(w->r.closed[0].flow, 0);
	ck_assert_uint_eq(w->r.closed[0].times, 1);
	ck_assert_int_eq(strncmp(w->r.closed[0].peer, "127.0.0.2:", 10), 0);
	world_free(w);
}
END_TEST

START_TEST(test_deadlines)
{
	struct world *w = world_new();

	w->r.flow_config.message_timeout_ms = 150;
	w->r.flow_config.idle_timeout_ms = 400;
	rig_sbc_up(&w->r);
	/* Half a message. */
	begin_flow(w);
	rig_say(&w->p, "INVITE sip:x SIP/2.0\r\n");
	rig_expect_end(&w->p);
	ck_assert_int_eq(
		rig_wait_closed(&w->r, 1)->why, REASON_FLOW_SLOW_MESSAGE);
	rig_peer_end(&w->p);
	/* A byte now and then does not help. */
	begin_flow(w);
	for (unsigned i = 0; i < 1000 && !w->p.broken; i++) {
		rig_say(&w->p, "x");
		rig_for(&w->r, 5000);
		if (w->r.n_closed == 2)
			break;
	}
	ck_assert_int_eq(
		rig_wait_closed(&w->r, 2)->why, REASON_FLOW_SLOW_MESSAGE);
	rig_peer_end(&w->p);
	/* Half a keep-alive is no message; silence has its own limit. */
	begin_flow(w);
	rig_say(&w->p, "\r\n");
	rig_expect_end(&w->p);
	ck_assert_int_eq(rig_wait_closed(&w->r, 3)->why, REASON_FLOW_IDLE);
	world_free(w);
}
END_TEST

static void refused(
	struct world *w, const char *bytes, const char *answer, enum reason why)
{
	size_t n = w->r.n_closed + 1;

	begin_flow(w);
	w->b->len = 0;
	rig_say(&w->p, bytes);
	if (answer)
		rig_expect(&w->p, answer);
	rig_expect_end(&w->p);
	rig_peer_end(&w->p);
	if (rig_wait_closed(&w->r, n)->why != why)
		ck_abort_msg("%s for %.60s",
			reason_text(w->r.closed[n - 1].why), bytes);
	/* Nothing of it got through. */
	ck_assert_uint_eq(w->b->len, 0);
}

START_TEST(test_refused_messages)
{
	struct world *w = world_new();
	char text[8192];
	size_t n;

	w->r.flow_config.header_max = 2048;
	w->r.flow_config.body_max = 1024;
	rig_sbc_up(&w->r);
	n = strlen(strcpy(text, request("INVITE", "z9hG4bKbig"))) - 2;
	snprintf(text + n, sizeof(text) - n, "X: %04000d\r\n\r\n", 0);
	refused(w, text,
		"SIP/2.0 513 Message Too Large\r\nVia: SIP/2.0/TCP "
		"phone.invalid;branch=z9hG4bKbig;rport=",
		REASON_FLOW_TOO_BIG);
	strcpy(text, request("INVITE", "z9hG4bKbody"));
	n = (size_t)(strstr(text, "Content-Length") - text);
	snprintf(text + n, sizeof(text) - n, "Content-Length: 1025\r\n\r\n");
	refused(w, text, "SIP/2.0 513 Message Too Large\r\n",
		REASON_FLOW_TOO_BIG);
	snprintf(text + n, sizeof(text) - n, "\r\n");
	refused(w, text, "SIP/2.0 400 Bad Request\r\n", REASON_FLOW_LENGTH);
	snprintf(text + n, sizeof(text) - n, "Content-Length: x\r\n\r\n");
	refused(w, text, "SIP/2.0 400 Bad Request\r\n", REASON_FLOW_LENGTH);
	refused(w, "GET / HTTP/1.1\r\nHost: x\r\n\r\n", NULL,
		REASON_FLOW_LENGTH);
	refused(w, "\x16\x03\x01\x02\n", NULL, REASON_FLOW_BROKEN);
	refused(w, "INVITE sip:x SIP/2.0\r\nVia: nonsense\r\nl: 0\r\n\r\n",
		NULL, REASON_FLOW_BROKEN);
	world_free(w);
}
END_TEST

START_TEST(test_random_bytes)
{
	struct world *w = world_new();
	uint32_t state = 12345;
	uint8_t bytes[600];

	rig_sbc_up(&w->r);
	for (unsigned i = 0; i < 60; i++) {
		rig_connect(&w->p, &w->r, 0, "127.0.0.2");
		for (size_t k = 0; k < sizeof(bytes); k++) {
			state = state * 1664525 + 1013904223;
			bytes[k] = (uint8_t)(state >> 24);
		}
		rig_say_bytes(&w->p, bytes, sizeof(bytes));
		rig_peer_end(&w->p);
	}
	begin_flow(w);
	ck_assert_uint_eq(w->r.n_opened, 1);
	world_free(w);
}
END_TEST

/* A peer that is refused sees its connection end without a byte. */
static void expect_refused(struct world *w, const char *ip, enum reason why)
{
	size_t n = w->r.n_closed + 1;
	struct rig_peer p;

	rig_connect(&p, &w->r, 0, ip);
	rig_expect_end(&p);
	ck_assert_uint_eq(p.len, 0);
	rig_peer_end(&p);
	ck_assert_int_eq(rig_wait_closed(&w->r, n)->why, why);
}

START_TEST(test_admission)
{
	struct world *w = world_new();
	char *acl[] = {strdup("127.0.0.0/28"), strdup("127.0.1.0/24")};
	char *trunks[] = {strdup("127.0.2.1/32")};
	struct rig_peer p[6];
	Gh__Ban ban = GH__BAN__INIT;
	Gh__FlowKnown known = GH__FLOW_KNOWN__INIT;

	w->r.listener[0].acl = acl;
	w->r.listener[0].n_acl = 2;
	w->r.listener[0].trunk_networks = trunks;
	w->r.listener[0].n_trunk_networks = 1;
	w->r.flow_config.max_flows = 8;
	w->r.flow_config.max_flows_per_source = 2;
	w->r.flow_config.reserve_known = 3;
	rig_sbc_up(&w->r);
	/* The access list. */
	expect_refused(w, "127.0.9.9", REASON_FLOW_ACL);
	/* A ban, and its end. */
	ban.host = (char[]){"127.0.0.5"};
	ban.until_us = clock_now_us() + 60 * CLOCK_US_PER_S;
	IPC_MSG(ban_msg, BAN, ban, &ban);
	rig_send(&w->r, &ban_msg);
	rig_for(&w->r, 5000);
	expect_refused(w, "127.0.0.5", REASON_FLOW_BANNED);
	ban.lifted = true;
	rig_send(&w->r, &ban_msg);
	rig_for(&w->r, 5000);
	/* Two of one source, not three. */
	for (unsigned i = 0; i < 2; i++)
		rig_connect(&p[i], &w->r, 0, "127.0.0.5");
	expect_refused(w, "127.0.0.5", REASON_FLOW_SOURCE_FULL);
	/* Five of strangers, then only known ones. */
	for (unsigned i = 2; i < 5; i++) {
		char ip[16];

		snprintf(ip, sizeof(ip), "127.0.0.%u", i + 4);
		rig_connect(&p[i], &w->r, 0, ip);
		rig_say(&p[i], "\r\n\r\n");
		rig_expect(&p[i], "\r\n");
	}
	expect_refused(w, "127.0.1.1", REASON_FLOW_FULL);
	known.host = (char[]){"127.0.1.1"};
	known.known = true;
	IPC_MSG(known_msg, FLOW_KNOWN, flow_known, &known);
	rig_send(&w->r, &known_msg);
	rig_for(&w->r, 5000);
	rig_connect(&p[5], &w->r, 0, "127.0.1.1");
	rig_say(&p[5], "\r\n\r\n");
	rig_expect(&p[5], "\r\n");
	/* A trunk is bound by no list and no reserve. */
	rig_connect(&w->p, &w->r, 0, "127.0.2.1");
	rig_say(&w->p, "\r\n\r\n");
	rig_expect(&w->p, "\r\n");
	for (unsigned i = 0; i < 6; i++)
		rig_peer_end(&p[i]);
	world_free(w);
	free(acl[0]);
	free(acl[1]);
	free(trunks[0]);
}
END_TEST

static unsigned n_refused_by_rate(const struct rig *r)
{
	unsigned n = 0;

	for (size_t i = 0; i < r->n_closed; i++)
		if (r->closed[i].why == REASON_FLOW_RATE)
			n += r->closed[i].times;
	return n;
}

static bool told_five(struct rig *r, void *arg)
{
	(void)arg;
	return n_refused_by_rate(r) >= 5;
}

START_TEST(test_accept_rate)
{
	struct world *w = calloc(1, sizeof(*w));

	rig_begin(&w->r);
	ctl_free(&w->r.ctl);
	w->r.config.accept_rate_source = 2; /* six at once */
	ck_assert_int_eq(ctl_new(&w->r.config, &w->r.ctl), 0);
	(void)rig_listener(&w->r, "127.0.0.1", TCP);
	rig_sbc_up(&w->r);
	for (unsigned i = 0; i < 12; i++) {
		rig_connect(&w->p, &w->r, 0, "127.0.0.2");
		rig_peer_end(&w->p);
		rig_for(&w->r, 2000);
	}
	rig_until(&w->r, told_five, NULL);
	ck_assert_uint_le(n_refused_by_rate(&w->r), 6);
	/* Others are not touched. */
	rig_connect(&w->p, &w->r, 0, "127.0.0.3");
	rig_say(&w->p, "\r\n\r\n");
	rig_expect(&w->p, "\r\n");
	world_free(w);
}
END_TEST

START_TEST(test_sbc_restarts)
{
	struct world *w = world_new();
	struct rig_opened first;
	const struct rig_opened *again;

	rig_sbc_up(&w->r);
	begin_flow(w);
	first = w->r.opened[0];
	/* sbc dies in the middle of a message to the peer. */
	rig_bridge_say(&w->r, w->b,
		"INVITE sip:half SIP/2.0\r\nVia: SIP/2.0/TCP 127.0.0.1:1\r\n");
	rig_sbc_down(&w->r);
	/* The peer notices nothing and goes on. */
	rig_say(&w->p, "\r\n\r\n");
	rig_expect(&w->p, "\r\n");
	rig_say(&w->p, request("MESSAGE", "z9hG4bKwhile"));
	rig_for(&w->r, 20000);
	ck_assert(!w->p.ended && !w->p.broken);
	w->p.len = 0;
	rig_sbc_up(&w->r);
	again = rig_wait_opened(&w->r, 2);
	ck_assert_uint_eq(again->flow, first.flow);
	ck_assert_str_eq(again->peer, first.peer);
	w->b = rig_bridge(&w->r, again->local_port);
	rig_bridge_expect(&w->r, w->b, "MESSAGE\r\nContent-Length: 0\r\n\r\n");
	/* What was never answered may never have been read: once more. */
	ck_assert_int_eq(memcmp(w->b->bytes, "OPTIONS ", 8), 0);
	ck_assert_uint_eq(
		count((char *)w->b->bytes, w->b->len, "MESSAGE sip:"), 1);
	/* Nothing of the half message reached the peer. */
	rig_bridge_say(&w->r, w->b,
		"BYE sip:a SIP/2.0\r\nVia: SIP/2.0/TCP 127.0.0.1:1\r\n"
		"l: 0\r\n\r\n");
	rig_expect(&w->p, "\r\n\r\n");
	ck_assert_int_eq(memcmp(w->p.bytes, "BYE ", 4), 0);
	world_free(w);
}
END_TEST

/* A restart of sbc, and the bridge that follows. */
static void restart(struct world *w)
{
	size_t n = w->r.n_opened + 1;

	rig_sbc_down(&w->r);
	rig_sbc_up(&w->r);
	w->b = rig_bridge(&w->r, rig_wait_opened(&w->r, n)->local_port);
}

/* sbc answers the only request that it has. */
static void answer(struct world *w, const char *status)
{
	char via[200], text[400];

	value_of((char *)w->b->bytes, "branch=", via);
	snprintf(text, sizeof(text),
		"SIP/2.0 %s\r\nVia: SIP/2.0/TCP 127.0.0.1:1;branch=%s\r\n"
		"Via: SIP/2.0/TCP p\r\nl: 0\r\n\r\n",
		status, via);
	w->p.len = 0;
	rig_bridge_say(&w->r, w->b, text);
	rig_expect(&w->p, "l: 0\r\n\r\n");
	w->b->len = 0;
}

/* A request is said again to the next sbc until it was answered with anything,
 * and once at most; so are a few, in order, once sbc has answered; ACK is not.
 */
START_TEST(test_unread_requests)
{
	struct world *w = world_new();
	char text[64];

	rig_sbc_up(&w->r);
	begin_flow(w);
	restart(w);
	rig_bridge_expect(&w->r, w->b, "OPTIONS\r\nContent-Length: 0\r\n\r\n");
	/* Not a third time: it may be what sbc dies of. */
	restart(w);
	rig_say(&w->p, request("INVITE", "z9hG4bKone"));
	rig_bridge_expect(&w->r, w->b, "INVITE\r\nContent-Length: 0\r\n\r\n");
	ck_assert_int_eq(memcmp(w->b->bytes, "INVITE ", 7), 0);
	answer(w, "100 Trying");
	restart(w);
	rig_say(&w->p, request("ACK", "z9hG4bKtwo"));
	rig_bridge_expect(&w->r, w->b, "ACK\r\nContent-Length: 0\r\n\r\n");
	ck_assert_int_eq(memcmp(w->b->bytes, "ACK ", 4), 0);
	for (unsigned i = 0; i < BRIDGE_KEPT_MAX + 2; i++) {
		snprintf(text, sizeof(text), "z9hG4bKmany%u", i);
		rig_say(&w->p, request("INFO", text));
		rig_bridge_expect(&w->r, w->b, text);
	}
	rig_bridge_expect(&w->r, w->b, "INFO\r\nContent-Length: 0\r\n\r\n");
	rig_for(&w->r, 20000);
	restart(w);
	snprintf(text, sizeof(text), "z9hG4bKmany%u", BRIDGE_KEPT_MAX + 1);
	rig_bridge_expect(&w->r, w->b, text);
	rig_for(&w->r, 20000);
	ck_assert_uint_eq(count((char *)w->b->bytes, w->b->len, "INFO sip:"),
		BRIDGE_KEPT_MAX);
	ck_assert_ptr_nonnull(memmem(w->b->bytes, 400, "many2;", 6));
	ck_assert_uint_eq(count((char *)w->b->bytes, w->b->len, "ACK sip:"), 0);
	world_free(w);
}
END_TEST

/* Only a bridge dies: the flow gets another one by itself. */
START_TEST(test_bridge_breaks)
{
	struct world *w = world_new();
	uint64_t flow;

	rig_sbc_up(&w->r);
	begin_flow(w);
	flow = w->r.opened[0].flow;
	close(w->b->fd);
	w->b->fd = -1;
	ck_assert_uint_eq(rig_wait_opened(&w->r, 2)->flow, flow);
	w->b = rig_bridge(&w->r, w->r.opened[1].local_port);
	/* sbc chokes on it again and again: the flow ends. */
	for (unsigned i = 0; i < 5; i++) {
		close(w->b->fd);
		w->b->fd = -1;
		if (w->r.n_closed)
			break;
		if (i < 3)
			w->b = rig_bridge(&w->r,
				rig_wait_opened(&w->r, i + 3)->local_port);
		else
			break;
	}
	rig_expect_end(&w->p);
	rig_peer_end(&w->p);
	ck_assert_int_eq(rig_wait_closed(&w->r, 1)->why, REASON_FLOW_BRIDGE);
	world_free(w);
}
END_TEST

/* sbc reads nothing for a while, then dies: what it had not taken whole comes
 * again from each message's start, in order, none twice and none lost of those
 * that were never handed over. */
START_TEST(test_backpressure_to_sbc)
{
	struct world *w = world_new();
	static char body[8192], text[16384];
	unsigned sent = 0;
	struct rig_bridge *b;
	const char *at;
	int first = -1, number = 0, last = -1, whole;
	size_t cut;

	rig_sbc_up(&w->r);
	begin_flow(w);
	w->r.sbc_reads = false;
	memset(body, 'b', sizeof(body) - 1);
	/* Until flowd does not take any more. */
	for (; sent < 4000; sent++) {
		ssize_t n;

		snprintf(text, sizeof(text),
			"MESSAGE sip:x SIP/2.0\r\nVia: SIP/2.0/TCP "
			"p;branch=z9hG4bK%u\r\nX-Number: %u.\r\n"
			"Content-Length: 8191\r\n\r\n%s",
			sent, sent, body);
		n = send(w->p.fd, text, strlen(text), MSG_DONTWAIT);
		if (n != (ssize_t)strlen(text))
			break; /* the rest never follows */
		if (sent % 8 == 0)
			rig_for(&w->r, 2000);
	}
	ck_assert_uint_lt(sent, 4000);
	ck_assert_uint_gt(sent, 8);
	whole = (int)sent;
	rig_for(&w->r, 50000);
	ck_assert_uint_eq(w->r.n_closed, 0);
	rig_sbc_down(&w->r);
	rig_sbc_up(&w->r);
	b = rig_bridge(&w->r, rig_wait_opened(&w->r, 2)->local_port);
	rig_bridge_expect(&w->r, b, "X-Number");
	/* Before them what was never answered. */
	ck_assert_int_eq(memcmp(b->bytes, "OPTIONS ", 8), 0);
	ck_assert_uint_eq(count((char *)b->bytes, b->len, "OPTIONS sip"), 1);
	/* Numbers rise by one, to the last whole message. */
	while (last < whole - 1) {
		rig_bridge_expect(&w->r, b, "X-Number: ");
		at = memmem(b->bytes, b->len, "X-Number: ", 10);
		cut = (size_t)(at - (char *)b->bytes);
		if (b->len - cut < 32) {
			rig_for(&w->r, 500);
			continue;
		}
		ck_assert_int_eq(sscanf(at, "X-Number: %d.", &number), 1);
		if (first < 0)
			first = number;
		else
			ck_assert_int_eq(number, last + 1);
		last = number;
		cut += 10;
		memmove(b->bytes, b->bytes + cut, b->len - cut);
		b->len -= cut;
	}
	ck_assert_int_gt(first, 0);
	world_free(w);
}
END_TEST

/* The peer reads nothing: sbc is slowed down, nothing grows, nothing is lost.
 */
START_TEST(test_backpressure_to_peer)
{
	struct world *w = world_new();
	static char body[8192], text[16384];
	unsigned sent = 0;
	size_t got = 0;

	rig_sbc_up(&w->r);
	begin_flow(w);
	memset(body, 'c', sizeof(body) - 1);
	snprintf(text, sizeof(text),
		"MESSAGE sip:x SIP/2.0\r\nVia: SIP/2.0/TCP 127.0.0.1:1\r\n"
		"Content-Length: 8191\r\n\r\n%s",
		body);
	for (size_t rest = 0; sent < 4000; sent++) {
		ssize_t n = send(w->b->fd, text, strlen(text), MSG_DONTWAIT);

		if (n < 0) {
			/* Full: and still full after a while? */
			rig_for(&w->r, 20000);
			n = send(w->b->fd, text, strlen(text), MSG_DONTWAIT);
		}
		if (n < 0)
			break;
		rest = strlen(text) - (size_t)n;
		if (rest) { /* finish this one */
			rig_bridge_say(&w->r, w->b, text + n);
			sent++;
			break;
		}
		rig_for(&w->r, 500);
	}
	ck_assert_uint_lt(sent, 4000);
	ck_assert_uint_gt(sent, 16);
	for (unsigned i = 0; got < sent && i < 20000; i++) {
		rig_for(&w->r, 500);
		w->p.len = 0;
		rig_expect(&w->p, "c");
		got += count((char *)w->p.bytes, w->p.len, "MESSAGE sip");
	}
	ck_assert_uint_eq(got, sent);
	world_free(w);
}
END_TEST

START_TEST(test_ends)
{
	struct world *w = world_new();
	Gh__FlowClose c = GH__FLOW_CLOSE__INIT;
	char text[2048];

	rig_sbc_up(&w->r);
	/* sbc ends it: what it said before still arrives. */
	begin_flow(w);
	rig_bridge_say(&w->r, w->b,
		"BYE sip:a SIP/2.0\r\nVia: SIP/2.0/TCP 127.0.0.1:1\r\n"
		"l: 0\r\n\r\n");
	c.flow = w->r.opened[0].flow;
	IPC_MSG(msg, FLOW_CLOSE, flow_close, &c);
	rig_send(&w->r, &msg);
	rig_expect(&w->p, "l: 0\r\n\r\n");
	rig_expect_end(&w->p);
	rig_peer_end(&w->p);
	ck_assert_int_eq(
		rig_wait_closed(&w->r, 1)->why, REASON_FLOW_CLOSED_BY_SBC);
	/* The peer speaks and is gone: sbc hears what it said. */
	rig_connect(&w->p, &w->r, 0, "127.0.0.2");
	snprintf(text, sizeof(text), "%s", request("BYE", "z9hG4bKlast"));
	ck_assert_int_eq(send(w->p.fd, text, strlen(text), 0), strlen(text));
	rig_peer_end(&w->p);
	w->b = rig_bridge(&w->r, rig_wait_opened(&w->r, 2)->local_port);
	rig_bridge_expect(&w->r, w->b, "BYE\r\nContent-Length: 0\r\n\r\n");
	ck_assert_int_eq(
		rig_wait_closed(&w->r, 2)->why, REASON_FLOW_CLOSED_BY_PEER);
	/* An unknown flow is nobody's. */
	c.flow = 1;
	rig_send(&w->r, &msg);
	begin_flow(w);
	world_free(w);
}
END_TEST

/* Listeners come and go with the config; flows stay. */
START_TEST(test_config)
{
	struct world *w = world_new();
	struct rig_peer q;
	Gh__FlowConfig bad = GH__FLOW_CONFIG__INIT;

	rig_sbc_up(&w->r);
	begin_flow(w);
	/* One that does not fit changes nothing. */
	bad.bridge = (char[]){"192.0.2.1:5060"};
	IPC_MSG(msg, FLOW_CONFIG, flow_config, &bad);
	rig_send(&w->r, &msg);
	rig_for(&w->r, 10000);
	rig_connect(&q, &w->r, 0, "127.0.0.3");
	rig_say(&q, "\r\n\r\n");
	rig_expect(&q, "\r\n");
	rig_peer_end(&q);
	/* Another listener more, IPv6. */
	(void)rig_listener(&w->r, "::1", TCP);
	rig_configure(&w->r);
	rig_for(&w->r, 50000);
	rig_connect(&q, &w->r, 1, "::1");
	rig_say(&q, request("OPTIONS", "z9hG4bKsix"));
	ck_assert_str_eq(
		rig_wait_opened(&w->r, 2)->listen, w->r.listen_text[1]);
	ck_assert_int_eq(strncmp(w->r.opened[1].peer, "[::1]:", 6), 0);
	rig_peer_end(&q);
	/* The first one goes; its flow does not. */
	w->r.flow_config.n_listeners = 1;
	w->r.listeners[0] = &w->r.listener[1];
	rig_configure(&w->r);
	rig_for(&w->r, 20000);
	w->b->len = 0;
	rig_say(&w->p, request("OPTIONS", "z9hG4bKstill"));
	rig_bridge_expect(&w->r, w->b, "branch=z9hG4bKstill");
	w->r.flow_config.n_listeners = 2;
	world_free(w);
}
END_TEST

START_TEST(test_connect)
{
	struct world *w = world_new();
	Gh__FlowConnect c = GH__FLOW_CONNECT__INIT;
	struct sockaddr_storage sa;
	socklen_t len = sizeof(sa);
	struct addr a;
	char remote[ADDR_TEXT_SIZE];
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	const struct rig_opened *o;

	rig_sbc_up(&w->r);
	ck_assert_int_eq(addr_parse("127.0.0.9", &a), 0);
	ck_assert_int_eq(
		bind(fd, (struct sockaddr *)&sa, addr_to_sockaddr(&a, &sa)), 0);
	len = sizeof(sa);
	ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&sa, &len), 0);
	ck_assert_int_eq(
		addr_from_sockaddr((struct sockaddr *)&sa, len, &a), 0);
	/* Nobody listens yet. */
	c.request = 7;
	c.realm = 1;
	c.local = w->r.listen_text[0];
	c.transport = TCP;
	c.remote = remote;
	addr_format(&a, remote);
	IPC_MSG(msg, FLOW_CONNECT, flow_connect, &c);
	rig_send(&w->r, &msg);
	ck_assert_int_eq(
		rig_wait_closed(&w->r, 1)->why, REASON_FLOW_CONNECT_FAILED);
	ck_assert_uint_eq(w->r.closed[0].request, 7);
	/* Somebody does. */
	ck_assert_int_eq(listen(fd, 4), 0);
	c.request = 8;
	rig_send(&w->r, &msg);
	o = rig_wait_opened(&w->r, 1);
	ck_assert_uint_eq(o->request, 8);
	ck_assert_str_eq(o->peer, remote);
	ck_assert_str_eq(o->listen, w->r.listen_text[0]);
	w->p.rig = &w->r;
	w->p.fd = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	ck_assert_int_ge(w->p.fd, 0);
	w->b = rig_bridge(&w->r, o->local_port);
	rig_bridge_say(&w->r, w->b,
		"OPTIONS sip:a SIP/2.0\r\nVia: SIP/2.0/TCP "
		"127.0.0.1:1;branch=z9hG4bKo\r\nl: 0\r\n\r\n");
	rig_expect(&w->p, "l: 0\r\n\r\n");
	ck_assert_ptr_null(strstr((char *)w->p.bytes, "127.0.0.1"));
	ck_assert_ptr_nonnull(
		strstr((char *)w->p.bytes, "TCP sbc.example.com:5061;"));
	/* After a restart sbc learns it without the old request. */
	rig_sbc_down(&w->r);
	rig_sbc_up(&w->r);
	ck_assert_uint_eq(rig_wait_opened(&w->r, 2)->request, 0);
	ck_assert_uint_eq(w->r.opened[1].flow, w->r.opened[0].flow);
	/* What cannot be: no listener of that kind, no address. */
	c.request = 9;
	c.transport = GH__TRANSPORT__TRANSPORT_TLS;
	rig_send(&w->r, &msg);
	ck_assert_int_eq(
		rig_wait_closed(&w->r, 2)->why, REASON_FLOW_NO_LISTENER);
	c.request = 10;
	c.remote = (char[]){"name.example.com:5060"};
	rig_send(&w->r, &msg);
	ck_assert_int_eq(
		rig_wait_closed(&w->r, 3)->why, REASON_FLOW_CONNECT_FAILED);
	close(fd);
	world_free(w);
}
END_TEST

START_TEST(test_churn)
{
	struct world *w = world_new();

	rig_sbc_up(&w->r);
	for (unsigned i = 0; i < 30; i++) {
		begin_flow(w);
		rig_peer_end(&w->p);
		(void)rig_wait_closed(&w->r, i + 1);
	}
	/* Each left: the next ones still fit under the same limits. */
	begin_flow(w);
	world_free(w);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("flow");

	suite_add(s, "both_ways", test_both_ways);
	suite_add(s, "branches", test_branches);
	suite_add(s, "pieces_and_pings", test_pieces_and_pings);
	suite_add(s, "silent_is_unknown", test_silent_is_unknown);
	suite_add(s, "deadlines", test_deadlines);
	suite_add(s, "refused_messages", test_refused_messages);
	suite_add(s, "random_bytes", test_random_bytes);
	suite_add(s, "admission", test_admission);
	suite_add(s, "accept_rate", test_accept_rate);
	suite_add(s, "sbc_restarts", test_sbc_restarts);
	suite_add(s, "unread_requests", test_unread_requests);
	suite_add(s, "bridge_breaks", test_bridge_breaks);
	suite_add(s, "backpressure_to_sbc", test_backpressure_to_sbc);
	suite_add(s, "backpressure_to_peer", test_backpressure_to_peer);
	suite_add(s, "ends", test_ends);
	suite_add(s, "config", test_config);
	suite_add(s, "connect", test_connect);
	suite_add(s, "churn", test_churn);
	return suite_run(s);
}
