/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls over TLS on both sides: the trunk's connection calls phones in turn.
 * INVITE, 180, 200, ACK, a while, BYE, 200; every answer is checked, and that a
 * media relay stands between the two descriptions.
 */
#include <arpa/inet.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/bench/flowload.h"
#include "tests/bench/load_phone.h"

#define TARGET_SIZE 384
#define ROUTES_SIZE 1024
#define TO_SIZE     256
#define PATIENCE_NS 8000000000ull
#define RING_NS     20000000u
#define PHONE_FIRST 200000000u /* extension of phone 0 */

enum call_state { NEW, INVITED, RINGING, TALKING, LEAVING, OVER, BROKEN };

struct call {
	enum call_state state;
	bool got_bye;
	uint64_t began_ns, bye_ns;
	char *dialog; /* target, routes and To, one after the other */
	const char *target, *routes, *to;
};

static struct calls {
	struct conn *trunk;
	const struct phones_options *o;
	struct call *call;
	size_t n, n_begun, n_good, n_wrong, first_left;
	size_t base; /* number of the first one, never used twice */
	unsigned hold_ms;
	char host[INET_ADDRSTRLEN], to_host[INET_ADDRSTRLEN];
	char first_wrong[200];
} calls;

static const char sdp_format[] =
	"v=0\r\no=- 1 1 IN IP4 %s\r\ns=-\r\nc=IN IP4 %s\r\nt=0 0\r\n"
	"m=audio 6000 RTP/AVP 8 101\r\na=rtpmap:8 PCMA/8000\r\n"
	"a=rtpmap:101 telephone-event/8000\r\na=sendrecv\r\n";

static void finish(struct call *call, bool good, const char *why)
{
	if (call->state == OVER || call->state == BROKEN)
		return;
	call->state = good ? OVER : BROKEN;
	calls.n_good += good;
	calls.n_wrong += !good;
	if (!good && !calls.first_wrong[0])
		snprintf(calls.first_wrong, sizeof(calls.first_wrong), "%.*s",
			(int)strcspn(why, "\r\n"), why);
	free(call->dialog);
	call->dialog = NULL;
}

/* ------------------------------------------------------------------ caller */

static void request(struct call *call, const char *method, unsigned cseq,
	struct sip_out *out)
{
	size_t number = calls.base + (size_t)(call - calls.call);
	size_t phone = (size_t)(call - calls.call) % calls.o->n;
	char user[32], letters[9];

	phone_letters(phone, letters);
	if (calls.o->by_name)
		snprintf(user, sizeof(user), "phone.%s", letters);
	else
		snprintf(user, sizeof(user), "%zu", PHONE_FIRST + phone);
	if (call->state == NEW)
		sip_add(out, "%s sip:%s@%s:%u;transport=tls SIP/2.0\r\n",
			method, user, calls.to_host, LOAD_PORT);
	else
		sip_add(out, "%s %s SIP/2.0\r\n", method, call->target);
	sip_add(out,
		"Via: SIP/2.0/TLS %s:%u;branch=z9hG4bK-%s-%zu-%s%u;rport\r\n"
		"Max-Forwards: 70\r\n",
		calls.host, LOAD_PORT, load_token(), number, method, cseq);
	if (call->state != NEW)
		sip_add(out, "%s", call->routes);
	sip_add(out, "From: <sip:+493055512345@%s>;tag=c%zu\r\n", calls.host,
		number);
	if (call->state == NEW)
		sip_add(out, "To: <sip:%s@%s>\r\n", user, calls.to_host);
	else
		sip_add(out, "To: %s\r\n", call->to);
	sip_add(out,
		"Call-ID: %s-%zu\r\nCSeq: %u %s\r\n"
		"Contact: <sip:load@%s:%u;transport=tls>\r\n",
		load_token(), number, cseq, method, calls.host, LOAD_PORT);
}

static void invite(struct call *call)
{
	struct sip_out out = {.len = 0};
	char sdp[300];

	snprintf(sdp, sizeof(sdp), sdp_format, calls.host, calls.host);
	request(call, "INVITE", 1, &out);
	sip_add(&out, "Allow: INVITE, ACK, CANCEL, BYE, OPTIONS\r\n");
	sip_end(&out, sdp);
	call->state = INVITED;
	call->began_ns = load_now_ns();
	conn_send(calls.trunk, &out);
}

static void simple(struct call *call, const char *method, unsigned cseq)
{
	struct sip_out out = {.len = 0};

	request(call, method, cseq, &out);
	sip_end(&out, NULL);
	conn_send(calls.trunk, &out);
}

/* Remote target and route set of the dialog that a 200 makes. */
static bool learn_dialog(struct call *call, const struct sip_msg *m)
{
	struct sip_text target = sip_address(m->contact);
	char *at = malloc(TARGET_SIZE + ROUTES_SIZE + TO_SIZE);
	size_t n = 0;

	if (!at || !target.len || target.len >= TARGET_SIZE ||
		m->to.len >= TO_SIZE || !sip_parameter(m->to, ";tag=").len) {
		free(at);
		return false;
	}
	call->dialog = at;
	call->target = at;
	snprintf(at, TARGET_SIZE, "%.*s", (int)target.len, target.at);
	call->to = at + TARGET_SIZE;
	snprintf(at + TARGET_SIZE, TO_SIZE, "%.*s", (int)m->to.len, m->to.at);
	at += TARGET_SIZE + TO_SIZE;
	call->routes = at;
	at[0] = '\0';
	for (size_t i = m->n_record_route; i-- > 0 && n < ROUTES_SIZE;)
		n += (size_t)snprintf(at + n, ROUTES_SIZE - n,
			"Route: %.*s\r\n", (int)m->record_route[i].len,
			m->record_route[i].at);
	return n < ROUTES_SIZE;
}

static struct call *find(const struct sip_msg *m)
{
	size_t len = strlen(load_token());
	unsigned long long n;

	if (!calls.call || m->call_id.len <= len + 1 ||
		memcmp(m->call_id.at, load_token(), len) != 0)
		return NULL;
	n = strtoull(m->call_id.at + len + 1, NULL, 10);
	return n >= calls.base && n - calls.base < calls.n_begun
		       ? &calls.call[n - calls.base]
		       : NULL;
}

void calls_on_message(const struct sip_msg *m, const char *bytes)
{
	struct call *call = find(m);
	char phone[INET_ADDRSTRLEN];
	struct in_addr host;

	if (!call || m->status < 180)
		return;
	host.s_addr =
		htonl(ntohl(calls.o->from.s_addr) +
			(uint32_t)((size_t)(call - calls.call) % calls.o->n));
	inet_ntop(AF_INET, &host, phone, sizeof(phone));
	if (sip_is(m->cseq, "2 BYE") && call->state == LEAVING) {
		finish(call, m->status == 200, bytes);
	} else if (sip_is(m->cseq, "1 INVITE") && m->status < 200) {
		if (call->state == INVITED)
			call->state = RINGING;
	} else if (sip_is(m->cseq, "1 INVITE") && call->state == RINGING &&
		   m->status == 200 && sip_has_audio(m->body, phone) &&
		   learn_dialog(call, m)) {
		call->state = TALKING;
		simple(call, "ACK", 1);
		call->bye_ns = load_now_ns() + calls.hold_ms * 1000000ull;
	} else {
		finish(call, false, bytes);
	}
}

/* ------------------------------------------------------------------ called */

/* A 200 that follows its 180. */
struct answer {
	struct answer *next;
	struct conn *phone;
	uint64_t due_ns;
	struct sip_out out;
};

static struct answer *first_answer, **last_answer = &first_answer;

static void answer_later(struct conn *phone, const struct sip_out *out)
{
	struct answer *a = malloc(sizeof(*a));

	if (!a)
		abort();
	*a = (struct answer){NULL, phone, load_now_ns() + RING_NS, {.len = 0}};
	a->out = *out;
	*last_answer = a;
	last_answer = &a->next;
}

static void send_answers(void)
{
	struct answer *a;

	while ((a = first_answer) && a->due_ns <= load_now_ns()) {
		first_answer = a->next;
		if (!first_answer)
			last_answer = &first_answer;
		conn_send(a->phone, &a->out);
		free(a);
	}
}

void call_answer(struct conn *phone, const struct sip_msg *m)
{
	struct sip_out ringing = {.len = 0}, out = {.len = 0};
	char host[INET_ADDRSTRLEN], sdp[300], tag[32];
	bool is_invite = sip_is(m->method, "INVITE");

	if (sip_is(m->method, "ACK"))
		return;
	inet_ntop(AF_INET, &phone->host, host, sizeof(host));
	snprintf(tag, sizeof(tag), "p%zu", phone->index);
	if (is_invite) {
		sip_answer(&ringing, m, "180 Ringing", tag);
		sip_add(&ringing, "Contact: <sip:p@%s:%u;transport=tls>\r\n",
			host, LOAD_PORT);
		sip_end(&ringing, NULL);
		conn_send(phone, &ringing);
		if (sip_has_audio(m->body, calls.host))
			sip_answer(&out, m, "200 OK", tag);
		else
			sip_answer(&out, m, "488 No Relay", tag);
		sip_add(&out, "Contact: <sip:p@%s:%u;transport=tls>\r\n", host,
			LOAD_PORT);
		snprintf(sdp, sizeof(sdp), sdp_format, host, host);
		sip_end(&out, sdp);
		answer_later(phone, &out);
		return;
	}
	sip_answer(&out, m, "200 OK", tag);
	sip_end(&out, NULL);
	conn_send(phone, &out);
}

/* -------------------------------------------------------------------- all */

static bool input_waits(void)
{
	struct pollfd p = {.fd = STDIN_FILENO, .events = POLLIN};

	return poll(&p, 1, 0) > 0;
}

/* BYE where it is time; a call that stands still is lost. */
static void look_after(void)
{
	uint64_t now = load_now_ns();

	while (calls.first_left < calls.n_begun &&
		calls.call[calls.first_left].state >= OVER)
		calls.first_left++;
	for (size_t i = calls.first_left; i < calls.n_begun; i++) {
		struct call *call = &calls.call[i];

		if (call->state == TALKING && now >= call->bye_ns) {
			simple(call, "BYE", 2);
			call->state = LEAVING;
		} else if (call->state < OVER &&
			   now - call->began_ns >
				   PATIENCE_NS + calls.hold_ms * 1000000ull) {
			finish(call, false, "no answer in time");
		}
	}
}

void calls_run(struct conn *trunk, const struct phones_options *o, size_t n,
	double rate, unsigned hold_ms, void (*turn)(void *ctx), void *ctx)
{
	size_t base = calls.base + calls.n;
	uint64_t start = load_now_ns();
	double gap_ns = 1e9 / rate;
	bool endless = n >= 100000;

	free(calls.call);
	calls = (struct calls){.trunk = trunk,
		.o = o,
		.n = n,
		.base = base,
		.hold_ms = hold_ms,
		.call = calloc(n, sizeof(struct call))};
	if (!calls.call)
		abort();
	inet_ntop(AF_INET, &trunk->host, calls.host, sizeof(calls.host));
	inet_ntop(
		AF_INET, &o->to.sin_addr, calls.to_host, sizeof(calls.to_host));
	while (calls.n_good + calls.n_wrong < n) {
		if (endless && input_waits())
			n = calls.n_begun; /* those that are up end */
		while (calls.n_begun < n &&
			load_now_ns() >=
				start + (uint64_t)((double)calls.n_begun *
						   gap_ns))
			invite(&calls.call[calls.n_begun++]);
		turn(ctx);
		send_answers();
		look_after();
		load_rest();
	}
	printf("calls=%zu good=%zu wrong=%zu first=\"%s\"\n", calls.n_begun,
		calls.n_good, calls.n_wrong, calls.first_wrong);
}
