/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Phones that register: REGISTER, 401, REGISTER with digest (MD5, qop=auth),
 * 200. Phone i has the user name and password that its number gives
 * (phone_name()), and the i-th address after --from; one socket serves all,
 * because all of 127/8 is this machine. A registration is good if the 401 had a
 * challenge for our realm and the 200 shows the phone's own Contact.
 */
#include <arpa/inet.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "tests/bench/sipload.h"

#define MD5_HEX 33

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
	EVP_MD_CTX *md5;
};

/* "phone." and eight letters: user names have no digits. The password is
 * "secret." and the same letters. */
static void phone_letters(size_t number, char letters[9])
{
	for (int i = 7; i >= 0; i--) {
		letters[i] = (char)('a' + number % 10);
		number /= 10;
	}
	letters[8] = '\0';
}

static void md5_hex(struct phones *p, const char *text, char hex[MD5_HEX])
{
	uint8_t hash[EVP_MAX_MD_SIZE];
	unsigned len = 0;

	(void)EVP_DigestInit_ex(p->md5, EVP_md5(), NULL);
	(void)EVP_DigestUpdate(p->md5, text, strlen(text));
	(void)EVP_DigestFinal_ex(p->md5, hash, &len);
	for (unsigned i = 0; i < 16; i++)
		snprintf(hex + 2 * i, 3, "%02x", hash[i]);
}

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

static void contact(const struct phones *p, size_t i, char *text, size_t size)
{
	char host[INET_ADDRSTRLEN], letters[9];
	struct in_addr own = phone_host(p, i);

	inet_ntop(AF_INET, &own, host, sizeof(host));
	phone_letters(p->o->first + i, letters);
	snprintf(text, size, "sip:phone.%s@%s:%u", letters, host, p->port);
}

static void begin_request(
	struct phones *p, size_t i, unsigned cseq, struct sip_out *out)
{
	char host[INET_ADDRSTRLEN], own[96], letters[9];
	struct in_addr address = phone_host(p, i);

	inet_ntop(AF_INET, &address, host, sizeof(host));
	contact(p, i, own, sizeof(own));
	phone_letters(p->o->first + i, letters);
	sip_add(out,
		"REGISTER sip:%s SIP/2.0\r\n"
		"Via: SIP/2.0/UDP %s:%u;branch=z9hG4bK-%s-%zu-%u;rport\r\n"
		"Max-Forwards: 70\r\n"
		"From: <sip:phone.%s@%s>;tag=%zu-%u\r\n"
		"To: <sip:phone.%s@%s>\r\n"
		"Call-ID: %s-%zu\r\nCSeq: %u REGISTER\r\n"
		"Contact: <%s>\r\nExpires: 3600\r\n"
		"User-Agent: load\r\n",
		p->to_host, host, p->port, load_token(), i, cseq, letters,
		p->to_host, i, p->pass, letters, p->to_host, load_token(), i,
		cseq, own);
}

static void ask(struct phones *p, size_t i)
{
	struct sip_out out = {.len = 0};

	begin_request(p, i, 2 * p->pass + 1, &out);
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

/* Answers the challenge (RFC 7616 section 3.4.1). */
static void claim(struct phones *p, size_t i, struct sip_text challenge,
	const char *bytes)
{
	struct sip_text nonce = sip_parameter(challenge, " nonce=");
	struct sip_text realm = sip_parameter(challenge, "realm=");
	struct sip_text opaque = sip_parameter(challenge, "opaque=");
	char letters[9], text[512], ha1[MD5_HEX], ha2[MD5_HEX], hex[MD5_HEX];
	struct sip_out out = {.len = 0};

	if (nonce.len == 0)
		nonce = sip_parameter(challenge, ",nonce=");
	if (nonce.len == 0 || nonce.len > 200 || !sip_is(realm, p->o->domain)) {
		wrong(p, i, bytes);
		return;
	}
	phone_letters(p->o->first + i, letters);
	snprintf(text, sizeof(text), "phone.%s:%s:secret.%s", letters,
		p->o->domain, letters);
	md5_hex(p, text, ha1);
	snprintf(text, sizeof(text), "REGISTER:sip:%s", p->to_host);
	md5_hex(p, text, ha2);
	snprintf(text, sizeof(text), "%s:%.*s:00000001:%08zx:auth:%s", ha1,
		(int)nonce.len, nonce.at, i, ha2);
	md5_hex(p, text, hex);
	begin_request(p, i, 2 * p->pass + 2, &out);
	sip_add(&out,
		"Authorization: Digest username=\"phone.%s\", realm=\"%s\", "
		"nonce=\"%.*s\", uri=\"sip:%s\", response=\"%s\", "
		"algorithm=MD5, cnonce=\"%08zx\", qop=auth, nc=00000001",
		letters, p->o->domain, (int)nonce.len, nonce.at, p->to_host,
		hex, i);
	if (opaque.len)
		sip_add(&out, ", opaque=\"%.*s\"", (int)opaque.len, opaque.at);
	sip_add(&out, "\r\n");
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
	unsigned long cseq = strtoul(m->cseq.at, NULL, 10);
	char own[96];

	if (m->status == 100)
		return;
	if (phone->state == ASKED && cseq == 2 * p->pass + 1) {
		if (m->status == 401 && m->challenge.len)
			claim(p, i, m->challenge, bytes);
		else
			wrong(p, i, bytes);
	} else if (phone->state == CLAIMED && cseq == 2 * p->pass + 2) {
		contact(p, i, own, sizeof(own));
		if (m->status != 200 || !m->contact.len ||
			!memmem(m->contact.at, m->contact.len, own,
				strlen(own))) {
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
	uint32_t i;

	if (!c || c->cmsg_level != IPPROTO_IP || c->cmsg_type != IP_PKTINFO)
		return false;
	memcpy(&info, CMSG_DATA(c), sizeof(info));
	i = ntohl(info.ipi_addr.s_addr) - ntohl(p->o->from.sin_addr.s_addr);
	if (i >= p->o->n)
		return false;
	snprintf(call_id, sizeof(call_id), "%s-%u", load_token(), i);
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

/* Each phone once. Sleeps by the clock and not on its socket: waking another
 * core costs whoever sends, and a network card does not sleep. */
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
		struct timespec tick = {.tv_nsec = TICK_NS};

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
		clock_nanosleep(CLOCK_MONOTONIC, 0, &tick, NULL);
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
	p.md5 = EVP_MD_CTX_new();
	p.fd = load_socket(&any);
	if (!p.phone || !p.md5 || p.fd < 0 || !load_delays_open(&p.answer) ||
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
