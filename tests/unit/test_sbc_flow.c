/* SPDX-License-Identifier: Apache-2.0 */
/* sbc behind the real flowd: a phone registers over TCP and TLS, and both
 * processes lose each other. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <sofia-sip/nta_stateless.h>
#include <sofia-sip/tport_tag.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/stat.h"
#include "tests/unit/flowd_child.h"
#include "tests/unit/sbc_world.h"
#include "tests/unit/suite.h"

static struct world *w;
static pid_t flowd;
static char text[WORLD_TEXT_SIZE], auth_line[1024];

/* A phone with a connection. */
struct phone {
	int fd;
	struct peer self; /* for request_text(): only its address */
	char in[WORLD_TEXT_SIZE];
	size_t len;
	bool ended;
};
static struct phone phone;

static bool link_is_up(void *ctx)
{
	struct addr *at = ctx;
	struct sockaddr_storage sa;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), rc;

	rc = connect(fd, (struct sockaddr *)&sa, addr_to_sockaddr(at, &sa));
	close(fd);
	return rc == 0;
}

static void begin(void)
{
	log_open("test", LOG_LEVEL_ERR);
	w = world_new(&(struct world_config){.streams = true});
	flowd_child_prepare(w->dir, "outside", "sbc.example.com");
	flowd = flowd_child_start(w->dir);
	signal(SIGPIPE, SIG_IGN);
	world_until(w, link_is_up, &w->tcp, "flowd's listener");
}

static void hang_up(void)
{
	if (phone.fd > 0)
		close(phone.fd);
	memset(&phone, 0, sizeof(phone));
}

static void end(void)
{
	char dir[64];

	hang_up();
	flowd_child_kill(flowd);
	snprintf(dir, sizeof(dir), "%s", w->dir);
	flowd_child_clean(dir);
	world_free(&w);
}

static void dial(const char *ip)
{
	struct sockaddr_storage sa;
	struct addr from;
	socklen_t len;

	hang_up();
	phone.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ck_assert_int_ge(phone.fd, 0);
	ck_assert_int_eq(addr_parse(ip, &from), 0);
	len = addr_to_sockaddr(&from, &sa);
	ck_assert_int_eq(bind(phone.fd, (struct sockaddr *)&sa, len), 0);
	len = addr_to_sockaddr(&w->tcp, &sa);
	ck_assert_int_eq(connect(phone.fd, (struct sockaddr *)&sa, len), 0);
	len = sizeof(sa);
	ck_assert_int_eq(
		getsockname(phone.fd, (struct sockaddr *)&sa, &len), 0);
	ck_assert_int_eq(addr_from_sockaddr((struct sockaddr *)&sa, len,
				 &phone.self.local),
		0);
	ck_assert_int_eq(fcntl(phone.fd, F_SETFL, O_NONBLOCK), 0);
}

static bool has_answer(void *ctx)
{
	ssize_t n = recv(phone.fd, phone.in + phone.len,
		sizeof(phone.in) - 1 - phone.len, MSG_DONTWAIT);

	(void)ctx;
	if (n > 0)
		phone.len += (size_t)n;
	if (n == 0 || (n < 0 && errno != EAGAIN))
		phone.ended = true;
	phone.in[phone.len] = '\0';
	return phone.ended || strstr(phone.in, "\r\n\r\n");
}

static void expect(const char *status)
{
	char want[32];

	world_until(w, has_answer, NULL, "an answer");
	ck_assert_msg(!phone.ended, "the connection ended");
	snprintf(text, sizeof(text), "%s", phone.in);
	phone.len = 0;
	snprintf(want, sizeof(want), "SIP/2.0 %s ", status);
	ck_assert_msg(strncmp(text, want, strlen(want)) == 0, "%.80s", text);
	/* Nothing of the bridge: one Via, and no port of it. */
	snprintf(want, sizeof(want), ":%u", w->bridge.port);
	ck_assert_ptr_null(strstr(text, want));
	ck_assert_ptr_nonnull(strstr(text, "Via: SIP/2.0/TCP"));
	ck_assert_ptr_null(strstr(strstr(text, "Via: ") + 4, "Via: "));
}

/* A request with a Via of its transport. */
static void say(struct request r)
{
	static char m[WORLD_TEXT_SIZE];
	char *at;

	request_text(&phone.self, &r, m);
	at = strstr(m, "SIP/2.0/UDP");
	ck_assert_ptr_nonnull(at);
	memcpy(at, "SIP/2.0/TCP", 11);
	ck_assert_int_eq(send(phone.fd, m, strlen(m), MSG_NOSIGNAL), strlen(m));
}

static const struct binding *registered(unsigned cseq)
{
	char extra[2048];
	const struct binding *b;

	say((struct request){.cseq = cseq});
	expect("401");
	snprintf(extra, sizeof(extra),
		"%sContact: <sip:100@%s:9;transport=tcp>\r\n",
		authorization(text, "u1", "good", auth_line), "10.9.9.9");
	say((struct request){.extra = extra, .cseq = cseq + 1});
	expect("200");
	b = bindings_of(w->sbc.bindings, 1);
	ck_assert_ptr_nonnull(b);
	return b;
}

static bool authd_has_heard(void *ctx)
{
	return w->n_updates >= *(unsigned *)ctx;
}

/* Who comes back over the same connection is known to flowd already. */
static void refresh_says_nothing_to_flowd(unsigned cseq)
{
	unsigned n_updates = 1;
	uint64_t sent;

	world_until(w, authd_has_heard, &n_updates, "the first update");
	sent = stat_get(STAT_IPC_TX);
	(void)registered(cseq);
	n_updates = 2;
	world_until(w, authd_has_heard, &n_updates, "the second update");
	/* The question, authd's answer, the update. */
	ck_assert_uint_eq(stat_get(STAT_IPC_TX) - sent, 3);
}

START_TEST(test_register)
{
	const struct binding *b;
	const struct flow *f;
	uint64_t first;

	begin();
	dial("127.0.0.7");
	b = registered(1);
	ck_assert_uint_ne(b->row->flow, 0);
	ck_assert_int_eq(b->row->transport, GH__TRANSPORT__TRANSPORT_TCP);
	ck_assert(addr_equal(&b->source, &phone.self.local));
	ck_assert(addr_equal(&b->local, &w->tcp));
	f = flow_find(w->sbc.flows, b->row->flow);
	ck_assert_ptr_nonnull(f);
	ck_assert(addr_equal(&f->peer, &phone.self.local));
	/* The same address as a datagram is not that phone. */
	ck_assert_uint_eq(
		bindings_account_at(w->sbc.bindings, &phone.self.local), 0);
	ck_assert_uint_eq(bindings_account_on(w->sbc.bindings,
				  &phone.self.local, b->row->flow),
		1);
	first = b->row->flow;
	refresh_says_nothing_to_flowd(5);
	/* It comes back on another connection: the binding follows. */
	dial("127.0.0.7");
	b = registered(10);
	ck_assert_uint_ne(b->row->flow, first);
	ck_assert_uint_ne(b->row->flow, 0);
	end();
}
END_TEST

static bool flow_is_gone(void *ctx)
{
	return flow_find(w->sbc.flows, *(uint64_t *)ctx) == NULL;
}

START_TEST(test_hang_up)
{
	uint64_t flow;

	begin();
	dial("127.0.0.7");
	flow = registered(1)->row->flow;
	hang_up();
	world_until(w, flow_is_gone, &flow, "the flow's end");
	end();
}
END_TEST

/* flowd dies: its flows are dead at once; the phone comes back. */
START_TEST(test_flowd_dies)
{
	uint64_t flow;

	begin();
	dial("127.0.0.7");
	flow = registered(1)->row->flow;
	flowd_child_kill(flowd);
	world_until(w, flow_is_gone, &flow, "the flow's end");
	flowd = flowd_child_start(w->dir);
	world_until(w, link_is_up, &w->tcp, "flowd's listener");
	dial("127.0.0.7");
	ck_assert_uint_ne(registered(20)->row->flow, flow);
	end();
}
END_TEST

static int answered; /* status of the answer to our request */

static int on_response(
	nta_outgoing_magic_t *magic, nta_outgoing_t *orq, const sip_t *sip)
{
	(void)magic;
	(void)orq;
	answered = sip ? sip->sip_status->st_status : 408;
	return 0;
}

static bool has_status(void *ctx)
{
	(void)ctx;
	return answered >= 200;
}

/* An OPTIONS of ours to the phone's flow. */
static nta_outgoing_t *ask_phone(uint64_t flow)
{
	const struct realm_address *address = settings_listener(
		w->sbc.settings, &w->tcp, GH__TRANSPORT__TRANSPORT_TCP);
	struct target to = {.addr = phone.self.local,
		.listener = stack_listener(w->sbc.stack, address),
		.flow = flow};
	char hop[STACK_URL_SIZE];
	nta_outgoing_t *orq;

	ck_assert_ptr_nonnull(to.listener);
	answered = 0;
	orq = nta_outgoing_mcreate(stack_agent(w->sbc.stack), on_response, NULL,
		URL_STRING_MAKE(
			stack_next_hop(w->sbc.stack, &to, hop, sizeof(hop))),
		nta_msg_create(stack_agent(w->sbc.stack), 0),
		TPTAG_IDENT(to.listener->ident),
		SIPTAG_REQUEST_STR("OPTIONS sip:x@10.1.1.1 SIP/2.0"),
		SIPTAG_FROM_STR("<sip:a@example.com>;tag=1"),
		SIPTAG_TO_STR("<sip:b@example.com>"), SIPTAG_CALL_ID_STR("o"),
		SIPTAG_CSEQ_STR("1 OPTIONS"), TAG_END());
	ck_assert_ptr_nonnull(orq);
	return orq;
}

static void answer_phone(void)
{
	char via[256], m[1024], bridge[16];
	const char *at;

	world_until(w, has_answer, NULL, "our request");
	ck_assert_int_eq(strncmp(phone.in, "OPTIONS sip:x@10.1.1.1 ", 23), 0);
	snprintf(bridge, sizeof(bridge), ":%u", w->bridge.port);
	ck_assert_ptr_null(strstr(phone.in, bridge));
	at = strstr(phone.in, "Via: SIP/2.0/TCP sbc.example.com");
	ck_assert_ptr_nonnull(at);
	snprintf(via, sizeof(via), "%.*s", (int)strcspn(at, "\r"), at);
	snprintf(m, sizeof(m),
		"SIP/2.0 299 Yes\r\n%s\r\nFrom: <sip:a@example.com>;tag=1\r\n"
		"To: <sip:b@example.com>;tag=2\r\nCall-ID: o\r\n"
		"CSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n",
		via);
	phone.len = 0;
	ck_assert_int_eq(send(phone.fd, m, strlen(m), MSG_NOSIGNAL), strlen(m));
	world_until(w, has_status, NULL, "the phone's answer");
}

START_TEST(test_our_requests)
{
	nta_outgoing_t *orq;
	uint64_t flow;

	begin();
	dial("127.0.0.7");
	flow = registered(1)->row->flow;
	orq = ask_phone(flow);
	answer_phone();
	ck_assert_int_eq(answered, 299);
	nta_outgoing_destroy(orq);
	hang_up();
	world_until(w, flow_is_gone, &flow, "the flow's end");
	/* A dead flow fails at once, and nobody is connected to. */
	orq = ask_phone(flow);
	world_until(w, has_status, NULL, "the failure");
	ck_assert_int_eq(answered, 503);
	nta_outgoing_destroy(orq);
	end();
}
END_TEST

/* A local program that is not flowd: read by nobody, and closed. */
START_TEST(test_not_announced)
{
	static const char m[] = "OPTIONS sip:x SIP/2.0\r\nVia: SIP/2.0/TCP "
				"127.0.0.1:1;branch=z9hG4bKx\r\n"
				"Content-Length: 0\r\n\r\n";
	struct sockaddr_storage sa;
	socklen_t len;
	uint64_t start;

	begin();
	phone.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	len = addr_to_sockaddr(&w->bridge, &sa);
	ck_assert_int_eq(connect(phone.fd, (struct sockaddr *)&sa, len), 0);
	ck_assert_int_eq(send(phone.fd, m, strlen(m), 0), strlen(m));
	start = clock_now_us();
	world_until(w, has_answer, NULL, "the end");
	ck_assert(phone.ended);
	ck_assert_uint_eq(phone.len, 0);
	ck_assert_uint_ge(clock_now_us() - start, 900000);
	end();
}
END_TEST

int main(void)
{
	Suite *s = suite_create("sbc_flow");

	suite_add(s, "register", test_register);
	suite_add(s, "hang_up", test_hang_up);
	suite_add(s, "flowd_dies", test_flowd_dies);
	suite_add(s, "our_requests", test_our_requests);
	suite_add(s, "not_announced", test_not_announced);
	return suite_run(s);
}
