/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls through a server: this process is the caller on one socket and the
 * called side on another. A call is good if the caller saw 180, 200 with SDP
 * and the 200 to its BYE (in any order that UDP allows), and the called side
 * INVITE with SDP, ACK and BYE, all within the dialog that they belong to.
 *
 * The caller knows a call by its Call-ID, the called side by the number that
 * was called, one of a block that a PBX may have, and later by the tag that it
 * gave. Route sets and remote targets
 * are kept as RFC 3261 section 12 says, because a proxy needs them.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "tests/bench/sipload.h"

#define NUMBER_PREFIX "4971"
#define NUMBERS       2000u
#define ANSWER_NS     20000000u /* 180 to 200 */
#define TARGET_SIZE   256
#define ROUTES_SIZE   768
#define TO_SIZE       192

enum caller_state {
	NEW,
	INVITED,
	RINGING,
	TALKING,
	LEAVING,
	LEFT,
	OVER,
	BROKEN
};

enum trouble {
	WRONG_STATUS,  /* a final answer that is no 200 */
	WRONG_ORDER,   /* BYE before ACK */
	WRONG_CONTENT, /* no SDP, no Contact, another CSeq */
	UNWANTED,      /* a request that nobody made */
	TROUBLE_COUNT,
};
static const char *const trouble_names[] = {
	[WRONG_STATUS] = "wrong_status",
	[WRONG_ORDER] = "wrong_order",
	[WRONG_CONTENT] = "wrong_content",
	[UNWANTED] = "unwanted",
};
_Static_assert(
	sizeof(trouble_names) / sizeof(trouble_names[0]) == TROUBLE_COUNT,
	"every trouble has a name");

struct call {
	enum caller_state state;
	bool rang; /* the caller saw a 180, be it after the 200 */
	bool got_invite, got_ack, got_bye;
	uint64_t began_ns, bye_ns;
	/* The caller's dialog. */
	char target[TARGET_SIZE], routes[ROUTES_SIZE], to[TO_SIZE];
	/* The called side's 200, sent after the 180. */
	char *answer;
	size_t answer_len;
	uint64_t answer_ns;
	struct sockaddr_in answer_to;
};

struct calls {
	const struct load_options *o;
	struct call *call;
	size_t n_begun, n_done, n_broken;
	size_t next_answer, next_bye; /* all wait equally long: in order */
	size_t *answers, *byes;
	size_t n_answers, n_byes;
	int caller, called;
	char caller_host[32], called_host[32], to_host[32];
	char caller_ip[INET_ADDRSTRLEN], called_ip[INET_ADDRSTRLEN];
	char caller_sdp[256], called_sdp[256];
	size_t trouble[TROUBLE_COUNT];
	char first_trouble[200];
	struct load_delays setup;
};

/* ----------------------------------------------------------------- send */

static void send_out(struct calls *c, int fd, const struct sockaddr_in *to,
	const struct sip_out *out)
{
	(void)c;
	if (!out->overflow)
		(void)sendto(fd, out->bytes, out->len, 0,
			(const struct sockaddr *)to, sizeof(*to));
}

static void broken(
	struct calls *c, struct call *call, enum trouble why, const char *bytes)
{
	c->trouble[why]++;
	if (!c->first_trouble[0])
		snprintf(c->first_trouble, sizeof(c->first_trouble), "%s: %.*s",
			trouble_names[why], (int)strcspn(bytes, "\r\n"), bytes);
	if (call && call->state != BROKEN && call->state != OVER) {
		call->state = BROKEN;
		c->n_broken++;
	}
}

/* What is dialled: one of a PBX's block of numbers. */
static size_t dialled(const struct calls *c, size_t i)
{
	return (c->o->first + i) % NUMBERS;
}

static void request(struct calls *c, size_t i, const char *method,
	unsigned cseq, struct sip_out *out)
{
	struct call *call = &c->call[i];
	size_t number = c->o->first + i;
	bool first = call->state == NEW;

	if (first)
		sip_add(out, "%s sip:+" NUMBER_PREFIX "%09zu@%s SIP/2.0\r\n",
			method, dialled(c, i), c->to_host);
	else
		sip_add(out, "%s %s SIP/2.0\r\n", method, call->target);
	sip_add(out,
		"Via: SIP/2.0/UDP %s;branch=z9hG4bK-%s-%zu-%s%u;rport\r\n"
		"Max-Forwards: 70\r\n",
		c->caller_host, load_token(), number, method, cseq);
	if (!first)
		sip_add(out, "%s", call->routes);
	sip_add(out, "From: <sip:+493055512345@%s>;tag=c%zu\r\n",
		c->caller_host, number);
	if (first)
		sip_add(out, "To: <sip:+" NUMBER_PREFIX "%09zu@%s>\r\n",
			dialled(c, i), c->to_host);
	else
		sip_add(out, "To: %s\r\n", call->to);
	sip_add(out,
		"Call-ID: %s-%zu\r\nCSeq: %u %s\r\n"
		"Contact: <sip:load@%s>\r\n",
		load_token(), number, cseq, method, c->caller_host);
}

static void invite(struct calls *c, size_t i)
{
	struct sip_out out = {.len = 0};

	request(c, i, "INVITE", 1, &out);
	sip_add(&out, "Allow: INVITE, ACK, CANCEL, BYE, OPTIONS\r\n");
	sip_end(&out, c->caller_sdp);
	c->call[i].state = INVITED;
	c->call[i].began_ns = load_now_ns();
	send_out(c, c->caller, &c->o->to, &out);
}

static void ack(struct calls *c, size_t i)
{
	struct sip_out out = {.len = 0};

	request(c, i, "ACK", 1, &out);
	sip_end(&out, NULL);
	send_out(c, c->caller, &c->o->to, &out);
}

static void bye(struct calls *c, size_t i)
{
	struct sip_out out = {.len = 0};

	request(c, i, "BYE", 2, &out);
	sip_end(&out, NULL);
	c->call[i].state = LEAVING;
	send_out(c, c->caller, &c->o->to, &out);
}

/* --------------------------------------------------------------- caller */

static bool copy(char *to, size_t size, struct sip_text from)
{
	if (from.len == 0 || from.len >= size)
		return false;
	memcpy(to, from.at, from.len);
	to[from.len] = '\0';
	return true;
}

/* Remote target and route set of the dialog that a 200 makes. */
static bool learn_dialog(struct call *call, const struct sip_msg *m)
{
	size_t at = 0;

	call->routes[0] = '\0';
	for (size_t i = m->n_record_route; i-- > 0;) {
		int n = snprintf(call->routes + at, ROUTES_SIZE - at,
			"Route: %.*s\r\n", (int)m->record_route[i].len,
			m->record_route[i].at);

		if (n < 0 || at + (size_t)n >= ROUTES_SIZE)
			return false;
		at += (size_t)n;
	}
	return copy(call->target, TARGET_SIZE, sip_address(m->contact)) &&
	       copy(call->to, TO_SIZE, m->to) &&
	       sip_parameter(m->to, ";tag=").len > 0;
}

/* A back-to-back server answers a BYE before it passes it on. */
static void finish_if_over(struct calls *c, struct call *call)
{
	if (call->state == LEFT && call->rang && call->got_ack &&
		call->got_bye) {
		call->state = OVER;
		c->n_done++;
	}
}

static void on_invite_answer(
	struct calls *c, size_t i, const struct sip_msg *m, const char *bytes)
{
	struct call *call = &c->call[i];

	if (m->status < 180)
		return;
	if (m->status < 200) {
		/* Servers of several processes may send it after the 200. */
		call->rang = true;
		if (call->state == INVITED)
			call->state = RINGING;
		finish_if_over(c, call);
		return;
	}
	if (m->status != 200) {
		broken(c, call, WRONG_STATUS, bytes);
		return;
	}
	if (call->state >= TALKING) {
		if (call->state != BROKEN)
			ack(c, i); /* the 200 again */
		return;
	}
	if (!learn_dialog(call, m) || !sip_has_audio(m->body, c->called_ip)) {
		broken(c, call, WRONG_CONTENT, bytes);
		return;
	}
	call->state = TALKING;
	load_delays_take(&c->setup, call->began_ns);
	ack(c, i);
	call->bye_ns = load_now_ns() + c->o->hold_ms * 1000000ull;
	c->byes[c->n_byes++] = i;
	if (c->n_byes == c->o->n) {
		/* For who measures what held calls need. */
		printf("talking=%zu\n", c->n_byes);
		fflush(stdout);
	}
}

static void on_bye_answer(
	struct calls *c, size_t i, const struct sip_msg *m, const char *bytes)
{
	struct call *call = &c->call[i];

	if (call->state != LEAVING)
		return;
	if (m->status != 200) {
		broken(c, call, WRONG_STATUS, bytes);
		return;
	}
	call->state = LEFT;
	finish_if_over(c, call);
}

/* Ours, by our token before the number. */
static bool find_caller(
	const struct calls *c, const struct sip_msg *m, size_t *i_out)
{
	size_t len = strlen(load_token());
	unsigned long long n;

	if (m->call_id.len <= len + 1 ||
		memcmp(m->call_id.at, load_token(), len) != 0)
		return false;
	n = strtoull(m->call_id.at + len + 1, NULL, 10);
	if (n < c->o->first || n - c->o->first >= c->n_begun)
		return false;
	*i_out = (size_t)(n - c->o->first);
	return true;
}

static void answer_other(struct calls *c, int fd, const struct sip_msg *m,
	const struct sockaddr_in *from, const char *bytes)
{
	struct sip_out out = {.len = 0};

	if (sip_is(m->method, "ACK"))
		return;
	if (!sip_is(m->method, "OPTIONS"))
		broken(c, NULL, UNWANTED, bytes);
	sip_answer(&out, m,
		sip_is(m->method, "OPTIONS") ? "200 OK" : "481 Gone", "x");
	sip_end(&out, NULL);
	send_out(c, fd, from, &out);
}

static void on_caller(struct calls *c, const struct sip_msg *m,
	const struct sockaddr_in *from, const char *bytes)
{
	size_t i;

	if (!m->status) {
		answer_other(c, c->caller, m, from, bytes);
		return;
	}
	if (m->status == 100)
		return;
	if (!find_caller(c, m, &i)) {
		broken(c, NULL, UNWANTED, bytes);
		return;
	}
	if (sip_is(m->cseq, "1 INVITE"))
		on_invite_answer(c, i, m, bytes);
	else if (sip_is(m->cseq, "2 BYE"))
		on_bye_answer(c, i, m, bytes);
	else
		broken(c, &c->call[i], WRONG_CONTENT, bytes);
}

/* --------------------------------------------------------------- called */

static bool find_number(const struct calls *c, struct sip_text in,
	const char *mark, size_t *out)
{
	const char *at = memmem(in.at, in.len, mark, strlen(mark));
	unsigned long long n;

	if (!at)
		return false;
	n = strtoull(at + strlen(mark), NULL, 10);
	if (n < c->o->first || n - c->o->first >= c->n_begun)
		return false;
	*out = (size_t)(n - c->o->first);
	return true;
}

/* The newest call to a number. */
static bool find_dialled(const struct calls *c, struct sip_text in, size_t *out)
{
	const char *at =
		memmem(in.at, in.len, NUMBER_PREFIX, strlen(NUMBER_PREFIX));
	unsigned long long n;
	size_t newest;

	if (!at || !c->n_begun)
		return false;
	n = strtoull(at + strlen(NUMBER_PREFIX), NULL, 10);
	newest = c->n_begun - 1;
	if (n >= NUMBERS)
		return false;
	n = (dialled(c, newest) + NUMBERS - n) % NUMBERS; /* so long ago */
	if (n > newest)
		return false;
	*out = newest - (size_t)n;
	return true;
}

static void on_invite(struct calls *c, size_t i, const struct sip_msg *m,
	const struct sockaddr_in *from, const char *bytes)
{
	struct call *call = &c->call[i];
	struct sip_out ringing = {.len = 0}, ok = {.len = 0};
	char tag[32];

	if (call->got_invite)
		return; /* again; the answer is under way */
	call->got_invite = true;
	if (!sip_has_audio(m->body, c->caller_ip)) {
		broken(c, call, WRONG_CONTENT, bytes);
		return;
	}
	snprintf(tag, sizeof(tag), "s%zu", c->o->first + i);
	sip_answer(&ringing, m, "180 Ringing", tag);
	sip_add(&ringing, "Contact: <sip:load@%s>\r\n", c->called_host);
	sip_end(&ringing, NULL);
	send_out(c, c->called, from, &ringing);
	sip_answer(&ok, m, "200 OK", tag);
	sip_add(&ok, "Contact: <sip:load@%s>\r\n", c->called_host);
	sip_end(&ok, c->called_sdp);
	call->answer = ok.overflow ? NULL : malloc(ok.len);
	if (!call->answer) {
		broken(c, call, WRONG_CONTENT, bytes);
		return;
	}
	memcpy(call->answer, ok.bytes, ok.len);
	call->answer_len = ok.len;
	call->answer_to = *from;
	call->answer_ns = load_now_ns() + ANSWER_NS;
	c->answers[c->n_answers++] = i;
}

static void on_called(struct calls *c, const struct sip_msg *m,
	const struct sockaddr_in *from, const char *bytes)
{
	struct sip_out out = {.len = 0};
	struct call *call;
	size_t i;

	if (m->status) {
		broken(c, NULL, UNWANTED, bytes);
		return;
	}
	if (sip_is(m->method, "INVITE") && find_dialled(c, m->uri, &i) &&
		!sip_parameter(m->to, ";tag=").len) {
		on_invite(c, i, m, from, bytes);
		return;
	}
	if (!find_number(c, m->to, ";tag=s", &i) || !c->call[i].got_invite) {
		answer_other(c, c->called, m, from, bytes);
		return;
	}
	call = &c->call[i];
	if (sip_is(m->method, "ACK")) {
		call->got_ack = true;
	} else if (sip_is(m->method, "BYE")) {
		if (!call->got_ack)
			broken(c, call, WRONG_ORDER, bytes);
		call->got_bye = true;
		sip_answer(&out, m, "200 OK", NULL);
		sip_end(&out, NULL);
		send_out(c, c->called, from, &out);
		finish_if_over(c, call);
	} else {
		answer_other(c, c->called, m, from, bytes);
	}
}

/* ----------------------------------------------------------------- loop */

static void receive_all(struct calls *c, int fd)
{
	char bytes[SIP_BYTES + 1];
	struct sip_msg m;

	for (int i = 0; i < 64; i++) {
		struct sockaddr_in from;
		socklen_t len = sizeof(from);
		ssize_t n = recvfrom(fd, bytes, SIP_BYTES, 0,
			(struct sockaddr *)&from, &len);

		if (n < 0)
			return;
		bytes[n] = '\0';
		if (!sip_read(bytes, (size_t)n, &m))
			broken(c, NULL, WRONG_CONTENT, bytes);
		else if (fd == c->caller)
			on_caller(c, &m, &from, bytes);
		else
			on_called(c, &m, &from, bytes);
	}
}

static void send_answers(struct calls *c, uint64_t now)
{
	while (c->next_answer < c->n_answers) {
		struct call *call = &c->call[c->answers[c->next_answer]];

		if (call->answer_ns > now)
			return;
		(void)sendto(c->called, call->answer, call->answer_len, 0,
			(struct sockaddr *)&call->answer_to,
			sizeof(call->answer_to));
		free(call->answer);
		call->answer = NULL;
		c->next_answer++;
	}
}

static void send_byes(struct calls *c, uint64_t now)
{
	while (c->next_bye < c->n_byes) {
		size_t i = c->byes[c->next_bye];

		if (c->call[i].bye_ns > now)
			return;
		if (c->call[i].state == TALKING)
			bye(c, i);
		c->next_bye++;
	}
}

/* Begins calls on schedule. Sleeps by the clock and not on its sockets: waking
 * another core costs whoever sends, and a network card does not sleep. */
static void run(struct calls *c, uint64_t *late_ns_out)
{
	uint64_t start = load_now_ns() + 1000000u, last = start, late = 0;
	double gap_ns = 1e9 / c->o->rate;

	for (;;) {
		uint64_t now = load_now_ns();

		while (c->n_begun < c->o->n) {
			uint64_t due =
				start + (uint64_t)((double)c->n_begun * gap_ns);

			if (due > now)
				break;
			late = now - due > late ? now - due : late;
			invite(c, c->n_begun++);
			last = now = load_now_ns();
			if (c->n_begun % 16 == 0)
				break; /* let answers in between */
		}
		send_answers(c, now);
		send_byes(c, now);
		if (c->n_begun == c->o->n &&
			(c->n_done + c->n_broken >= c->o->n ||
				now - last > (c->o->patience_s * 1000ull +
						     c->o->hold_ms) *
						     1000000ull))
			break;
		receive_all(c, c->caller);
		receive_all(c, c->called);
		load_rest();
	}
	*late_ns_out = late;
}

static void print(const struct calls *c, uint64_t wall_ns, uint64_t late_ns)
{
	printf("calls=%zu good=%zu broken=%zu lost=%zu seconds=%.3f "
	       "late_max_ms=%.1f setup_p50_us=%u setup_p99_us=%u",
		c->n_begun, c->n_done, c->n_broken,
		c->n_begun - c->n_done - c->n_broken, (double)wall_ns / 1e9,
		(double)late_ns / 1e6, load_delays_us(&c->setup, 0.5),
		load_delays_us(&c->setup, 0.99));
	for (size_t i = 0; i < TROUBLE_COUNT; i++)
		printf(" %s=%zu", trouble_names[i], c->trouble[i]);
	printf("\n");
	if (c->first_trouble[0])
		fprintf(stderr, "sipload: first trouble: %s\n",
			c->first_trouble);
}

static void host_text(const struct sockaddr_in *at, char text[32])
{
	char host[INET_ADDRSTRLEN];

	inet_ntop(AF_INET, &at->sin_addr, host, sizeof(host));
	snprintf(text, 32, "%s:%u", host, ntohs(at->sin_port));
}

static void write_sdp(const struct sockaddr_in *at, char sdp[256])
{
	char host[INET_ADDRSTRLEN];

	inet_ntop(AF_INET, &at->sin_addr, host, sizeof(host));
	snprintf(sdp, 256,
		"v=0\r\no=load 1 1 IN IP4 %s\r\ns=-\r\nc=IN IP4 %s\r\n"
		"t=0 0\r\nm=audio 40000 RTP/AVP 8 101\r\n"
		"a=rtpmap:8 PCMA/8000\r\n"
		"a=rtpmap:101 telephone-event/8000\r\na=ptime:20\r\n"
		"a=sendrecv\r\n",
		host, host);
}

int load_calls(const struct load_options *options)
{
	struct calls c = {.o = options};
	uint64_t began, late = 0;

	c.call = calloc(options->n, sizeof(*c.call));
	c.answers = calloc(options->n, sizeof(*c.answers));
	c.byes = calloc(options->n, sizeof(*c.byes));
	c.caller = load_socket(&options->from);
	c.called = load_socket(&options->called);
	if (!c.call || !c.answers || !c.byes || c.caller < 0 || c.called < 0 ||
		!load_delays_open(&c.setup))
		return 1;
	inet_ntop(AF_INET, &options->from.sin_addr, c.caller_ip,
		sizeof(c.caller_ip));
	inet_ntop(AF_INET, &options->called.sin_addr, c.called_ip,
		sizeof(c.called_ip));
	host_text(&options->from, c.caller_host);
	host_text(&options->called, c.called_host);
	host_text(&options->to, c.to_host);
	write_sdp(&options->from, c.caller_sdp);
	write_sdp(&options->called, c.called_sdp);
	began = load_now_ns();
	run(&c, &late);
	print(&c, load_now_ns() - began, late);
	return 0;
}
