/* SPDX-License-Identifier: Apache-2.0 */
/* See dns_fake.h. RFC 1035 4.1 the other way round, without compression. */
#include "tests/unit/dns_fake.h"

#include <arpa/inet.h>
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#define TYPE_A     1
#define TYPE_SOA   6
#define TYPE_AAAA  28
#define TYPE_SRV   33
#define TYPE_NAPTR 35

struct out {
	uint8_t *msg;
	size_t len;
};

static void put(struct out *o, const void *bytes, size_t len)
{
	ck_assert_uint_le(o->len + len, FAKE_MSG_MAX);
	memcpy(o->msg + o->len, bytes, len);
	o->len += len;
}

static void put8(struct out *o, unsigned v)
{
	uint8_t b = (uint8_t)v;

	put(o, &b, 1);
}

static void put16(struct out *o, unsigned v)
{
	put8(o, v >> 8);
	put8(o, v);
}

static void put32(struct out *o, uint32_t v)
{
	put16(o, v >> 16);
	put16(o, v & 0xffff);
}

static void put_name(struct out *o, const char *name)
{
	while (*name != '\0' && strcmp(name, ".") != 0) {
		size_t len = strcspn(name, ".");

		put8(o, (unsigned)len);
		put(o, name, len);
		name += len;
		if (*name == '.')
			name++;
	}
	put8(o, 0);
}

static void put_text(struct out *o, const char *text)
{
	if (strcmp(text, "-") == 0)
		text = "";
	put8(o, (unsigned)strlen(text));
	put(o, text, strlen(text));
}

static void put_data(struct out *o, const struct fake_rr *rr)
{
	unsigned a, b, c;
	char s1[64], s2[64], s3[256];
	uint8_t ip[16];

	switch (rr->type) {
	case TYPE_A:
		ck_assert_int_eq(inet_pton(AF_INET, rr->text, ip), 1);
		put(o, ip, 4);
		break;
	case TYPE_AAAA: /* also a mapped one, as it is */
		ck_assert_int_eq(inet_pton(AF_INET6, rr->text, ip), 1);
		put(o, ip, 16);
		break;
	case TYPE_SRV:
		ck_assert_int_eq(
			sscanf(rr->text, "%u %u %u %255s", &a, &b, &c, s3), 4);
		put16(o, a);
		put16(o, b);
		put16(o, c);
		put_name(o, s3);
		break;
	case TYPE_NAPTR:
		ck_assert_int_eq(sscanf(rr->text, "%u %u %63s %63s %255s", &a,
					 &b, s1, s2, s3),
			5);
		put16(o, a);
		put16(o, b);
		put_text(o, s1);
		put_text(o, s2);
		put_text(o, "-");
		put_name(o, s3);
		break;
	default:
		put_name(o, rr->text);
	}
}

static void put_rr(struct out *o, const struct fake_rr *rr)
{
	size_t len_at;

	put_name(o, rr->name);
	put16(o, rr->type);
	put16(o, 1);
	put32(o, rr->ttl);
	len_at = o->len;
	put16(o, 0);
	put_data(o, rr);
	o->msg[len_at] = (uint8_t)((o->len - len_at - 2) >> 8);
	o->msg[len_at + 1] = (uint8_t)(o->len - len_at - 2);
}

static void put_soa(struct out *o, uint32_t ttl)
{
	put_name(o, "test");
	put16(o, TYPE_SOA);
	put16(o, 1);
	put32(o, 3600);
	put16(o, 2 + 20);
	put_name(o, "");
	put_name(o, "");
	for (int i = 0; i < 4; i++)
		put32(o, 1);
	put32(o, ttl);
}

/* @return where the question ends; 0 if it is none. */
static size_t read_question(
	const uint8_t *query, size_t len, char name[256], unsigned *type)
{
	size_t at = 12, n = 0;

	if (len < 17)
		return 0;
	while (at < len && query[at] != 0) {
		size_t label = query[at++];

		if (at + label + 5 > len || n + label + 1 > 255)
			return 0;
		memcpy(name + n, query + at, label);
		n += label;
		name[n++] = '.';
		at += label;
	}
	name[n != 0 ? n - 1 : 0] = '\0';
	if (at + 5 > len)
		return 0;
	*type = (unsigned)query[at + 1] << 8 | query[at + 2];
	return at + 5;
}

size_t fake_reply(const struct dns_fake *f, const uint8_t *query, size_t len,
	uint8_t reply[FAKE_MSG_MAX])
{
	struct out o = {reply, 0};
	char name[256], owner[256];
	unsigned type = 0, n = 0, flags = 0x8180;
	size_t end = read_question(query, len, name, &type), whole;
	bool exists = false;

	ck_assert_uint_ne(end, 0);
	put(&o, query, end);
	memset(reply + 6, 0, 6);
	snprintf(owner, sizeof owner, "%s", name);
	whole = o.len;
	for (size_t i = 0; i < f->n_rr; i++) {
		if (strcasecmp(f->rr[i].name, owner) != 0)
			continue;
		exists = true;
		if (f->rr[i].type != type && f->rr[i].type != FAKE_TYPE_CNAME)
			continue;
		whole = o.len;
		put_rr(&o, &f->rr[i]);
		n++;
		if (f->rr[i].type == FAKE_TYPE_CNAME)
			snprintf(owner, sizeof owner, "%s", f->rr[i].text);
	}
	if (!exists)
		flags |= 3; /* NXDOMAIN */
	if (f->mode == FAKE_FAIL)
		flags = 0x8182;
	if (f->mode == FAKE_TRUNCATED)
		flags |= 0x0200;
	if (f->mode == FAKE_TRUNCATED || f->mode == FAKE_CUT)
		o.len = whole + (o.len - whole) / 2;
	if (f->mode == FAKE_GARBAGE) {
		n = 3;
		for (unsigned i = 0; i < 100; i++)
			put8(&o, i * 37 + 193);
	}
	if (n == 0 && f->soa_ttl != 0) {
		put_soa(&o, f->soa_ttl);
		reply[9] = 1;
	}
	reply[2] = (uint8_t)(flags >> 8);
	reply[3] = (uint8_t)flags;
	reply[7] = (uint8_t)n;
	return o.len;
}

size_t fake_query(uint8_t query[FAKE_MSG_MAX], const char *name, unsigned type)
{
	struct out o = {query, 0};

	put16(&o, 0x1234);
	put16(&o, 0x0100);
	put16(&o, 1);
	put16(&o, 0);
	put32(&o, 0);
	put_name(&o, name);
	put16(&o, type);
	put16(&o, 1);
	return o.len;
}

static void answer(struct dns_fake *f, const uint8_t *query, size_t len,
	const struct addr *to)
{
	uint8_t reply[FAKE_MSG_MAX];
	struct sockaddr_storage sa;
	socklen_t sa_len = addr_to_sockaddr(to, &sa);
	size_t n = fake_reply(f, query, len, reply);

	/* The one who asked may have closed its socket. */
	(void)!sendto(f->fd, reply, n, 0, (struct sockaddr *)&sa, sa_len);
}

static void on_query(void *arg, int fd, unsigned events)
{
	struct dns_fake *f = arg;
	struct sockaddr_storage sa;
	socklen_t sa_len = sizeof sa;
	uint8_t query[FAKE_MSG_MAX];
	ssize_t n = recvfrom(
		fd, query, sizeof query, 0, (struct sockaddr *)&sa, &sa_len);
	char name[256];
	unsigned type = 0;
	struct addr from;

	(void)events;
	if (n <= 0)
		return;
	ck_assert_int_eq(
		addr_from_sockaddr((struct sockaddr *)&sa, sa_len, &from), 0);
	ck_assert_uint_ne(read_question(query, (size_t)n, name, &type), 0);
	f->n_asked++;
	if (f->mode == FAKE_SILENT || (type == f->silent_type && type != 0))
		return;
	if (f->mode == FAKE_HOLD && f->n_held < FAKE_HELD_MAX) {
		struct fake_held *h = &f->held[f->n_held++];

		memcpy(h->msg, query, (size_t)n);
		h->len = (size_t)n;
		h->to = from;
		return;
	}
	answer(f, query, (size_t)n, &from);
}

void fake_release(struct dns_fake *f)
{
	f->mode = FAKE_ANSWER;
	for (size_t i = 0; i < f->n_held; i++)
		answer(f, f->held[i].msg, f->held[i].len, &f->held[i].to);
	f->n_held = 0;
}

void fake_open(struct dns_fake *f, struct loop *loop)
{
	struct sockaddr_storage sa;
	socklen_t len;

	*f = (struct dns_fake){.loop = loop};
	ck_assert_int_eq(addr_parse("127.0.0.1", &f->at), 0);
	f->fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	ck_assert_int_ge(f->fd, 0);
	len = addr_to_sockaddr(&f->at, &sa);
	ck_assert_int_eq(bind(f->fd, (struct sockaddr *)&sa, len), 0);
	len = sizeof sa;
	ck_assert_int_eq(getsockname(f->fd, (struct sockaddr *)&sa, &len), 0);
	ck_assert_int_eq(
		addr_from_sockaddr((struct sockaddr *)&sa, len, &f->at), 0);
	ck_assert_int_eq(
		loop_fd_add(loop, f->fd, LOOP_READ, on_query, f, &f->watch), 0);
}

void fake_close(struct dns_fake *f)
{
	loop_fd_free(f->loop, &f->watch);
	close(f->fd);
}

void fake_add(struct dns_fake *f, const char *name, unsigned type, uint32_t ttl,
	const char *text)
{
	ck_assert_uint_lt(f->n_rr, FAKE_RR_MAX);
	f->rr[f->n_rr++] = (struct fake_rr){name, type, ttl, text};
}

void fake_clear(struct dns_fake *f)
{
	f->n_rr = 0;
}
