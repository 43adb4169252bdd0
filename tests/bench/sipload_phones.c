/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Phones that register: REGISTER, 401, REGISTER with digest (MD5, qop=auth),
 * 200 (load_phone.h). Phone i has the user name and password that its number
 * gives, and the i-th address after --from; one socket serves all,
 * because all of 127/8 is this machine. A registration is good if the 401 had a
 * challenge for our realm and the 200 shows the phone's own Contact.
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "tests/bench/load_phone.h"
#include "tests/bench/sipload.h"

enum phone_state { IDLE, ASKED, CLAIMED, REGISTERED, FAILED };

struct phone {
	enum phone_state state;
	uint64_t since_ns; /* of the request that is under way */
};

struct phones {
	const struct load_options *o;
	struct phone *phone;
	unsigned pass;
	size_t n_begun, n_good, n_wrong;
	int fd;
	uint16_t port;
	char to_host[32];
	char first_wrong[200];
	struct load_delays challenge, answer;
};

static struct in_addr phone_host(const struct phones *p, size_t i)
{
	return (struct in_addr){
		htonl(ntohl(p->o->from.sin_addr.s_addr) + (uint32_t)i)};
}

static void send_from(struct phones *p, size_t i, const struct sip_out *out)
{
	char control[CMSG_SPACE(sizeof(struct in_pktinfo))] = {0};
	struct iovec part = {(void *)out->bytes, out->len};
	struct msghdr msg = {.msg_name = (void *)&p->o->to,
		.msg_namelen = sizeof(p->o->to),
		.msg_iov = &part,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control)};
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
	struct in_pktinfo info = {.ipi_spec_dst = phone_host(p, i)};

	c->cmsg_level = IPPROTO_IP;
	c->cmsg_type = IP_PKTINFO;
	c->cmsg_len = CMSG_LEN(sizeof(info));
	memcpy(CMSG_DATA(c), &info, sizeof(info));
	if (!out->overflow)
		(void)sendmsg(p->fd, &msg, 0);
}

static struct load_phone facts(const struct phones *p, size_t i)
{
	return (struct load_phone){.index = i,
		.number = p->o->first + i,
		.host = phone_host(p, i),
		.port = p->port,
		.server = p->to_host,
		.domain = p->o->domain};
}

static void ask(struct phones *p, size_t i)
{
	struct load_phone own = facts(p, i);
	struct sip_out out = {.len = 0};

	phone_register(&own, 2 * p->pass + 1, &out);
	sip_end(&out, NULL);
	p->phone[i].state = ASKED;
	p->phone[i].since_ns = load_now_ns();
	send_from(p, i, &out);
}

static void wrong(struct phones *p, size_t i, const char *bytes)
{
	if (!p->first_wrong[0])
		snprintf(p->first_wrong, sizeof(p->first_wrong), "%.*s",
			(int)strcspn(bytes, "\r\n"), bytes);
	p->phone[i].state = FAILED;
	p->n_wrong++;
}

static void claim(struct phones *p, size_t i, struct sip_text challenge,
	const char *bytes)
{
	struct load_phone own = facts(p, i);
	struct sip_out out = {.len = 0};

	if (!phone_claim(&own, 2 * p->pass + 2, challenge, &out)) {
		wrong(p, i, bytes);
		return;
	}
	sip_end(&out, NULL);
	load_delays_take(&p->challenge, p->phone[i].since_ns);
	p->phone[i].state = CLAIMED;
	p->phone[i].since_ns = load_now_ns();
	send_from(p, i, &out);
}

static void on_answer(
	struct phones *p, size_t i, const struct sip_msg *m, const char *bytes)
{
	struct phone *phone = &p->phone[i];
	struct load_phone own = facts(p, i);
	unsigned long cseq = strtoul(m->cseq.at, NULL, 10);

	if (m->status == 100)
		return;
	if (phone->state == ASKED && cseq == 2 * p->pass + 1) {
		if (m->status == 401 && m->challenge.len)
			claim(p, i, m->challenge, bytes);
		else
			wrong(p, i, bytes);
	} else if (phone->state == CLAIMED && cseq == 2 * p->pass + 2) {
		if (!phone_is_registered(&own, m)) {
			wrong(p, i, bytes);
			return;
		}
		load_delays_take(&p->answer, phone->since_ns);
		phone->state = REGISTERED;
		p->n_good++;
	}
}

/* Whose it is: by the address that it came to, and our Call-ID. */
static bool find_phone(const struct phones *p, const struct msghdr *msg,
	const struct sip_msg *m, size_t *i_out)
{
	struct cmsghdr *c = CMSG_FIRSTHDR(msg);
	char call_id[64];
	struct in_pktinfo info;
	struct load_phone own;
	uint32_t i;

	if (!c || c->cmsg_level != IPPROTO_IP || c->cmsg_type != IP_PKTINFO)
		return false;
	memcpy(&info, CMSG_DATA(c), sizeof(info));
	i = ntohl(info.ipi_addr.s_addr) - ntohl(p->o->from.sin_addr.s_addr);
	if (i >= p->o->n)
		return false;
	own = facts(p, i);
	phone_call_id(&own, call_id, sizeof(call_id));
	if (!sip_is(m->call_id, call_id))
		return false;
	*i_out = i;
	return true;
}

/* Phones answer probes of whoever has registered them. */
static void answer_probe(
	struct phones *p, const struct msghdr *msg, const struct sip_msg *m)
{
	struct cmsghdr *c = CMSG_FIRSTHDR(msg);
	struct sip_out out = {.len = 0};
	struct in_pktinfo info;

	if (!sip_is(m->method, "OPTIONS") || !c ||
		c->cmsg_level != IPPROTO_IP || c->cmsg_type != IP_PKTINFO)
		return;
	memcpy(&info, CMSG_DATA(c), sizeof(info));
	sip_answer(&out, m, "200 OK", "x");
	sip_end(&out, NULL);
	send_from(p,
		ntohl(info.ipi_addr.s_addr) - ntohl(p->o->from.sin_addr.s_addr),
		&out);
}

static void receive_all(struct phones *p)
{
	char bytes[SIP_BYTES + 1],
		control[CMSG_SPACE(sizeof(struct in_pktinfo))];
	struct sip_msg m;
	size_t i;

	for (int k = 0; k < 64; k++) {
		struct iovec part = {bytes, SIP_BYTES};
		struct msghdr msg = {.msg_iov = &part,
			.msg_iovlen = 1,
			.msg_control = control,
			.msg_controllen = sizeof(control)};
		ssize_t n = recvmsg(p->fd, &msg, 0);

		if (n < 0)
			return;
		bytes[n] = '\0';
		if (!sip_read(bytes, (size_t)n, &m))
			continue;
		if (!m.status)
			answer_probe(p, &msg, &m);
		else if (find_phone(p, &msg, &m, &i))
			on_answer(p, i, &m, bytes);
	}
}

/* Each phone once. */
static void run_pass(struct phones *p)
{
	uint64_t start = load_now_ns() + 1000000u, last = start;
	double gap_ns = 1e9 / p->o->rate;

	p->n_begun = 0;
	for (size_t i = 0; i < p->o->n; i++)
		p->phone[i].state = IDLE;
	p->n_good = p->n_wrong = 0;
	memset(p->answer.buckets, 0, LOAD_DELAYS * sizeof(uint32_t));
	memset(p->challenge.buckets, 0, LOAD_DELAYS * sizeof(uint32_t));
	p->answer.n = p->challenge.n = 0;
	for (;;) {
		uint64_t now = load_now_ns();

		while (p->n_begun < p->o->n) {
			uint64_t due =
				start + (uint64_t)((double)p->n_begun * gap_ns);

			if (due > now)
				break;
			ask(p, p->n_begun++);
			last = now = load_now_ns();
			if (p->n_begun % 16 == 0)
				break;
		}
		if (p->n_begun == p->o->n &&
			(p->n_good + p->n_wrong >= p->o->n ||
				now - last > p->o->patience_s * 1000000000ull))
			return;
		receive_all(p);
		load_rest();
	}
}

int load_phones(const struct load_options *options)
{
	struct phones p = {.o = options};
	struct sockaddr_in any = {
		.sin_family = AF_INET, .sin_port = options->from.sin_port};
	char host[INET_ADDRSTRLEN];

	inet_ntop(AF_INET, &options->to.sin_addr, host, sizeof(host));
	snprintf(p.to_host, sizeof(p.to_host), "%s", host);
	p.port = ntohs(options->from.sin_port);
	p.phone = calloc(options->n, sizeof(*p.phone));
	p.fd = load_socket(&any);
	if (!p.phone || p.fd < 0 || !load_delays_open(&p.answer) ||
		!load_delays_open(&p.challenge))
		return 1;
	for (p.pass = 0; p.pass < options->passes; p.pass++) {
		uint64_t began = load_now_ns();

		run_pass(&p);
		printf("pass=%u phones=%zu good=%zu wrong=%zu lost=%zu "
		       "seconds=%.3f challenge_p50_us=%u challenge_p99_us=%u "
		       "answer_p50_us=%u answer_p99_us=%u\n",
			p.pass, p.n_begun, p.n_good, p.n_wrong,
			p.n_begun - p.n_good - p.n_wrong,
			(double)(load_now_ns() - began) / 1e9,
			load_delays_us(&p.challenge, 0.5),
			load_delays_us(&p.challenge, 0.99),
			load_delays_us(&p.answer, 0.5),
			load_delays_us(&p.answer, 0.99));
		fflush(stdout);
	}
	if (p.first_wrong[0])
		fprintf(stderr, "sipload: first wrong answer: %s\n",
			p.first_wrong);
	return 0;
}
