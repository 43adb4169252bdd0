/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Phones over TLS: phone i has the i-th address after --from, its connection,
 * and the user name and password that its number gives. Commands, one per line
 * of standard input, each answered by one line:
 *
 *	connect RATE		every phone, and the trunk, connects
 *	register RATE		REGISTER, 401, REGISTER with digest (MD5,
 *				qop=auth), 200, each phone once
 *	call N RATE HOLD_MS	the trunk calls phones in turn
 *	call-on RATE HOLD_MS	the same until the next command
 *	close			all connections
 *
 * A registration is good if the 401 had a challenge for our realm and the 200
 * shows the phone's own Contact.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/bench/flowload.h"
#include "tests/bench/load_phone.h"

#define PATIENCE_S 10
#define ENDLESS    100000u /* calls of call-on: more than anybody waits for */

enum phone_state { IDLE, ASKED, CLAIMED, REGISTERED, FAILED };

struct phone {
	struct conn conn;
	enum phone_state state;
	unsigned cseq;
};

struct phones {
	const struct phones_options *o;
	struct pool pool;
	struct phone *phone; /* o->n of them, and the trunk */
	char to_host[32];
	size_t n_good, n_wrong;
	char first_wrong[200];
	char line[200]; /* of standard input */
	size_t n_line;
};

static struct load_phone facts(const struct phones *p, const struct phone *f)
{
	return (struct load_phone){.index = f->conn.index,
		.number = f->conn.index,
		.host = f->conn.host,
		.port = LOAD_PORT,
		.tls = true,
		.server = p->to_host,
		.domain = p->o->domain};
}

static void wrong(struct phones *p, struct phone *f, const char *bytes)
{
	if (!p->first_wrong[0])
		snprintf(p->first_wrong, sizeof(p->first_wrong), "%.*s",
			(int)strcspn(bytes, "\r\n"), bytes);
	f->state = FAILED;
	p->n_wrong++;
}

static void ask(struct phones *p, struct phone *f)
{
	struct load_phone own = facts(p, f);
	struct sip_out out = {.len = 0};

	if (f->conn.state != CONN_OPEN) {
		wrong(p, f, "no connection");
		return;
	}
	phone_register(&own, ++f->cseq, &out);
	sip_end(&out, NULL);
	f->state = ASKED;
	conn_send(&f->conn, &out);
}

static void claim(struct phones *p, struct phone *f, struct sip_text challenge,
	const char *bytes)
{
	struct load_phone own = facts(p, f);
	struct sip_out out = {.len = 0};

	if (!phone_claim(&own, ++f->cseq, challenge, &out)) {
		wrong(p, f, bytes);
		return;
	}
	sip_end(&out, NULL);
	f->state = CLAIMED;
	conn_send(&f->conn, &out);
}

static void on_answer(struct phones *p, struct phone *f,
	const struct sip_msg *m, const char *bytes)
{
	struct load_phone own = facts(p, f);

	if (m->status == 100 || !sip_is(m->method, "REGISTER"))
		return;
	if (f->state == ASKED) {
		if (m->status == 401 && m->challenge.len)
			claim(p, f, m->challenge, bytes);
		else
			wrong(p, f, bytes);
	} else if (f->state == CLAIMED) {
		if (!phone_is_registered(&own, m)) {
			wrong(p, f, bytes);
			return;
		}
		f->state = REGISTERED;
		p->n_good++;
	}
}

static void on_message(
	struct conn *c, const struct sip_msg *m, const char *bytes)
{
	struct phones *p = c->pool->ctx;

	if (!m->status)
		call_answer(c, m);
	else if (c->index == p->o->n)
		calls_on_message(m, bytes);
	else
		on_answer(p, &p->phone[c->index], m, bytes);
}

/* ---------------------------------------------------------------- commands */

static void turn(void *ctx)
{
	struct phones *p = ctx;

	pool_turn(&p->pool);
}

/* begin(p, i) for each phone at a rate, until done() or nothing more comes. */
static void pace(struct phones *p, size_t n, double rate,
	void (*begin)(struct phones *p, size_t i),
	size_t (*done)(const struct phones *p))
{
	uint64_t start = load_now_ns(), last = start;
	double gap_ns = 1e9 / rate;
	size_t begun = 0;

	for (;;) {
		for (unsigned k = 0; k < 16 && begun < n; k++) {
			last = load_now_ns();
			if (last < start + (uint64_t)((double)begun * gap_ns))
				break;
			begin(p, begun++);
		}
		if (begun == n &&
			(done(p) >= n || load_now_ns() - last >
						 PATIENCE_S * 1000000000ull))
			return;
		turn(p);
		load_rest();
	}
}

static void begin_connect(struct phones *p, size_t i)
{
	struct phone *f = &p->phone[i];
	struct in_addr host = {htonl(ntohl(p->o->from.s_addr) + (uint32_t)i)};

	*f = (struct phone){.conn = {.pool = &p->pool, .index = i, .fd = -1},
		.cseq = f->cseq};
	if (i == p->o->n)
		host = p->o->trunk;
	if (!conn_begin(&f->conn, host, LOAD_PORT))
		p->pool.n_ended++;
}

static size_t connected(const struct phones *p)
{
	return p->pool.n_open + p->pool.n_ended;
}

static void begin_register(struct phones *p, size_t i)
{
	ask(p, &p->phone[i]);
}

static size_t registered(const struct phones *p)
{
	return p->n_good + p->n_wrong;
}

static void close_all(struct phones *p)
{
	for (size_t i = 0; i <= p->o->n; i++)
		conn_end(&p->phone[i].conn);
	p->pool.n_ended = 0;
}

static void obey(struct phones *p, const char *line)
{
	size_t n_phones = p->o->n, n;
	unsigned hold_ms;
	double rate;

	p->first_wrong[0] = '\0';
	if (sscanf(line, "connect %lf", &rate) == 1) {
		pace(p, n_phones + (p->o->trunk.s_addr != 0), rate,
			begin_connect, connected);
		printf("connected=%zu ended=%zu\n", p->pool.n_open,
			p->pool.n_ended);
	} else if (sscanf(line, "register %lf", &rate) == 1) {
		p->n_good = p->n_wrong = 0;
		pace(p, n_phones, rate, begin_register, registered);
		printf("phones=%zu good=%zu wrong=%zu first=\"%s\"\n", n_phones,
			p->n_good, p->n_wrong, p->first_wrong);
	} else if (sscanf(line, "call %zu %lf %u", &n, &rate, &hold_ms) == 3) {
		calls_run(&p->phone[n_phones].conn, p->o, n, rate, hold_ms,
			turn, p);
	} else if (sscanf(line, "call-on %lf %u", &rate, &hold_ms) == 2) {
		calls_run(&p->phone[n_phones].conn, p->o, ENDLESS, rate,
			hold_ms, turn, p);
	} else if (strcmp(line, "close") == 0) {
		close_all(p);
		printf("closed\n");
	} else {
		printf("unknown command\n");
	}
	fflush(stdout);
}

/* @return whether there is more to come. */
static bool read_commands(struct phones *p)
{
	ssize_t n = read(STDIN_FILENO, p->line + p->n_line,
		sizeof(p->line) - 1 - p->n_line);
	char *end;

	if (n == 0)
		return false;
	if (n < 0)
		return true;
	p->n_line += (size_t)n;
	p->line[p->n_line] = '\0';
	while ((end = strchr(p->line, '\n'))) {
		*end = '\0';
		obey(p, p->line);
		p->n_line -= (size_t)(end + 1 - p->line);
		memmove(p->line, end + 1, p->n_line + 1);
	}
	return p->n_line < sizeof(p->line) - 1;
}

int load_tls_phones(const struct phones_options *o)
{
	struct phones p = {.o = o};

	inet_ntop(AF_INET, &o->to.sin_addr, p.to_host, sizeof(p.to_host));
	p.phone = calloc(o->n + 1, sizeof(*p.phone));
	if (!p.phone || !pool_open(&p.pool, o->ca, &o->to) ||
		fcntl(STDIN_FILENO, F_SETFL, O_NONBLOCK))
		return 1;
	p.pool.ctx = &p;
	p.pool.on_message = on_message;
	while (read_commands(&p)) {
		turn(&p);
		load_rest();
	}
	close_all(&p);
	return 0;
}
