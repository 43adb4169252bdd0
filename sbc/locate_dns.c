/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading of DNS answers (RFC 1035 4.1), as far as RFC 3263 needs them: A,
 * AAAA, SRV (RFC 2782) and NAPTR (RFC 3403), with the time that they may be
 * kept, which the resolver library's own readers do not tell. Only names are
 * left to the library, which follows compression without looping.
 *
 * Decides: what of an answer is believed: records of the class and type that
 * were asked for, at the name asked for or the end of its CNAMEs, with names
 * that are host names. The library has matched the answer to the question
 * before. Called by locate_ask.c.
 */
#include "config.h"

#include "sbc/locate_dns.h"

#include <ares.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "sbc/text.h"

#define HEADER_LEN   12u
#define CLASS_IN     1u
#define TYPE_CNAME   5u
#define TYPE_SOA     6u
#define CNAMES_MAX   8u
#define RECORDS_SEEN 256u /* of any kind, in one message */

#define FLAG_RESPONSE  0x8000u
#define FLAG_TRUNCATED 0x0200u
#define RCODE_MASK     0x000fu
#define RCODE_NXDOMAIN 3u

struct reader {
	const uint8_t *msg;
	size_t len;
	size_t at;
};

/* A record as it stands in the message. */
struct raw {
	char owner[DNS_NAME_SIZE];
	unsigned type, class;
	uint32_t ttl_s;
	size_t data, data_len; /* place in the message */
};

static unsigned get16(const uint8_t *p)
{
	return (unsigned)p[0] << 8 | p[1];
}

static uint32_t get32(const uint8_t *p)
{
	return (uint32_t)get16(p) << 16 | get16(p + 2);
}

bool dns_is_name(const char *name)
{
	size_t label = 0, len = strnlen(name, DNS_NAME_SIZE);

	if (len == 0 || len > 253)
		return false;
	for (; *name != '\0'; name++) {
		if (*name == '.') {
			if (label == 0)
				return false;
			label = 0;
		} else if (text_is_alnum(*name) || *name == '-' ||
			   *name == '_') {
			if (++label > 63)
				return false;
		} else {
			return false;
		}
	}
	return true;
}

/* A name at a place; len_out is what it takes there. The root is "". */
static int get_name(const struct reader *r, size_t at,
	char name[DNS_NAME_SIZE], size_t *len_out)
{
	char *text = NULL;
	long len = 0;
	int err = ERR_INVALID;

	if (at >= r->len || r->len > INT32_MAX)
		return ERR_INVALID;
	if (ares_expand_name(r->msg + at, r->msg, (int)r->len, &text, &len) !=
		ARES_SUCCESS)
		return ERR_INVALID;
	if (len > 0 && (*text == '\0' || dns_is_name(text))) {
		memcpy(name, text, strlen(text) + 1);
		*len_out = (size_t)len;
		err = 0;
	}
	ares_free_string(text);
	return err;
}

/* The owner of a record that is of no interest may be any name. */
static int get_owner(struct reader *r, char name[DNS_NAME_SIZE])
{
	char *text = NULL;
	long len = 0;

	if (r->at >= r->len)
		return ERR_INVALID;
	if (ares_expand_name(r->msg + r->at, r->msg, (int)r->len, &text,
		    &len) != ARES_SUCCESS ||
		len <= 0)
		return ERR_INVALID;
	name[0] = '\0';
	if (dns_is_name(text))
		memcpy(name, text, strlen(text) + 1);
	ares_free_string(text);
	r->at += (size_t)len;
	return 0;
}

static int get_raw(struct reader *r, struct raw *raw)
{
	const uint8_t *p;

	if (get_owner(r, raw->owner) != 0 || r->len - r->at < 10)
		return ERR_INVALID;
	p = r->msg + r->at;
	raw->type = get16(p);
	raw->class = get16(p + 2);
	raw->ttl_s = get32(p + 4);
	if (raw->ttl_s > INT32_MAX)
		raw->ttl_s = 0; /* RFC 2181 8 */
	raw->data_len = get16(p + 8);
	r->at += 10;
	if (r->len - r->at < raw->data_len)
		return ERR_INVALID;
	raw->data = r->at;
	r->at += raw->data_len;
	return 0;
}

/* A character string of RFC 1035 3.3 as text. at moves behind it. */
static int get_text(const struct reader *r, size_t *at, size_t end, char *text,
	size_t size)
{
	size_t len;

	if (*at >= end)
		return ERR_INVALID;
	len = r->msg[*at];
	if (len > end - *at - 1)
		return ERR_INVALID;
	text[0] = '\0';
	if (len < size) {
		memcpy(text, r->msg + *at + 1, len);
		text[len] = '\0';
	}
	*at += len + 1;
	return 0;
}

static int read_naptr(
	const struct reader *r, const struct raw *raw, struct dns_record *out)
{
	size_t at = raw->data + 4, end = raw->data + raw->data_len, len;
	char flags[4], regexp[2];

	if (raw->data_len < 8)
		return ERR_INVALID;
	out->priority = (uint16_t)get16(r->msg + raw->data);
	out->weight = (uint16_t)get16(r->msg + raw->data + 2);
	if (get_text(r, &at, end, flags, sizeof flags) != 0 ||
		get_text(r, &at, end, out->service, sizeof out->service) != 0 ||
		get_text(r, &at, end, regexp, sizeof regexp) != 0 ||
		get_name(r, at, out->name, &len) != 0 || at + len > end)
		return ERR_INVALID;
	out->flags = flags[0];
	if (out->flags >= 'A' && out->flags <= 'Z')
		out->flags = (char)(out->flags - 'A' + 'a');
	for (char *p = out->service; *p != '\0'; p++) {
		if (*p >= 'a' && *p <= 'z')
			*p = (char)(*p - 'a' + 'A');
	}
	return 0;
}

static int read_record(const struct reader *r, const struct raw *raw,
	enum dns_type type, struct dns_record *out)
{
	const uint8_t *p = r->msg + raw->data;
	struct dns_record record = {0};
	size_t len;
	int err = 0;

	switch (type) {
	case DNS_A:
	case DNS_AAAA: {
		struct in_addr in;
		struct in6_addr in6;
		char text[INET6_ADDRSTRLEN] = "";

		_Static_assert(sizeof in == 4 && sizeof in6 == 16, "sizes");
		if (raw->data_len != (type == DNS_A ? 4u : 16u))
			return ERR_INVALID;
		/* Through the text, so that a mapped address becomes IPv4. */
		if (ares_inet_ntop(type == DNS_A ? AF_INET : AF_INET6, p, text,
			    sizeof text) == NULL)
			return ERR_INVALID;
		err = addr_parse(text, &record.addr);
		break;
	}
	case DNS_SRV:
		if (raw->data_len < 7)
			return ERR_INVALID;
		record.priority = (uint16_t)get16(p);
		record.weight = (uint16_t)get16(p + 2);
		record.port = (uint16_t)get16(p + 4);
		err = get_name(r, raw->data + 6, record.name, &len);
		if (err == 0 && len > raw->data_len - 6)
			err = ERR_INVALID;
		break;
	case DNS_NAPTR:
		err = read_naptr(r, raw, &record);
		break;
	}
	if (err == 0)
		*out = record;
	return err;
}

static int skip_questions(struct reader *r, unsigned n)
{
	char name[DNS_NAME_SIZE];

	for (; n != 0; n--) {
		if (get_owner(r, name) != 0 || r->len - r->at < 4)
			return ERR_INVALID;
		r->at += 4;
	}
	return 0;
}

static void least(uint32_t *ttl_s, uint32_t other)
{
	if (other < *ttl_s)
		*ttl_s = other;
}

/* The name at the end of the CNAMEs; they may stand in any order. */
static int follow_cnames(const struct reader *answers, unsigned n,
	char name[DNS_NAME_SIZE], uint32_t *ttl_s)
{
	for (unsigned hop = 0; hop < CNAMES_MAX; hop++) {
		struct reader r = *answers;
		bool moved = false;
		struct raw raw;
		size_t len;

		for (unsigned i = 0; i < n && !moved; i++) {
			if (get_raw(&r, &raw) != 0)
				break;
			if (raw.type != TYPE_CNAME || raw.class != CLASS_IN ||
				strcasecmp(raw.owner, name) != 0)
				continue;
			if (get_name(&r, raw.data, name, &len) != 0)
				return ERR_INVALID;
			least(ttl_s, raw.ttl_s);
			moved = true;
		}
		if (!moved)
			return 0;
	}
	return ERR_INVALID;
}

/* How long "there is none" holds: RFC 2308 5. r stands at the authority. */
static uint32_t negative_ttl(struct reader *r, unsigned n)
{
	struct raw raw;

	for (; n != 0; n--) {
		if (get_raw(r, &raw) != 0)
			break;
		if (raw.type == TYPE_SOA && raw.class == CLASS_IN &&
			raw.data_len >= 22) {
			uint32_t minimum = get32(
				r->msg + raw.data + raw.data_len - 4);

			return minimum < raw.ttl_s ? minimum : raw.ttl_s;
		}
	}
	return DNS_NEGATIVE_TTL_S;
}

int dns_read(const uint8_t *msg, size_t len, const char *name,
	enum dns_type type, struct dns_answer **answer_out)
{
	struct reader r = {.msg = msg, .len = len, .at = HEADER_LEN}, answers;
	char owner[DNS_NAME_SIZE];
	struct dns_answer *a;
	unsigned flags, n_answers, n_authority;
	uint32_t ttl_s = UINT32_MAX;
	bool broken = false;
	struct raw raw;

	if (len < HEADER_LEN || len > UINT16_MAX || !dns_is_name(name))
		return ERR_INVALID;
	flags = get16(msg + 2);
	if (!(flags & FLAG_RESPONSE))
		return ERR_INVALID;
	if ((flags & RCODE_MASK) != 0 && (flags & RCODE_MASK) != RCODE_NXDOMAIN)
		return ERR_AWAY;
	n_answers = get16(msg + 6);
	n_authority = get16(msg + 8);
	if (n_answers + n_authority > RECORDS_SEEN)
		return ERR_INVALID;
	if (skip_questions(&r, get16(msg + 4)) != 0)
		return ERR_INVALID;
	answers = r;
	memcpy(owner, name, strlen(name) + 1);
	if (follow_cnames(&answers, n_answers, owner, &ttl_s) != 0)
		return ERR_INVALID;
	a = calloc(1, sizeof *a + DNS_RECORDS_MAX * sizeof a->records[0]);
	if (a == NULL)
		return ERR_NOMEM;
	for (unsigned i = 0; i < n_answers && !broken; i++) {
		if (get_raw(&r, &raw) != 0) {
			broken = true;
		} else if (raw.type == (unsigned)type &&
			   raw.class == CLASS_IN &&
			   strcasecmp(raw.owner, owner) == 0 &&
			   a->n_records < DNS_RECORDS_MAX &&
			   read_record(&r, &raw, type,
				   &a->records[a->n_records]) == 0) {
			a->n_records++;
			least(&ttl_s, raw.ttl_s);
		}
	}
	/* Half an answer says nothing about what it does not have. */
	if ((broken && !(flags & FLAG_TRUNCATED)) ||
		(a->n_records == 0 && (flags & FLAG_TRUNCATED))) {
		free(a);
		return ERR_INVALID;
	}
	a->ttl_s = a->n_records != 0 ? ttl_s : negative_ttl(&r, n_authority);
	*answer_out = a;
	return 0;
}
