/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See via.h. The value is read by RFC 3261 25.1's via-parm: protocol, white
 * space, sent-by, parameters; white space and folds may stand around '/' and
 * ':'. What does not read so is refused, because a Via that two readers
 * understand differently sends the answer to the wrong place.
 */
#include "flowd/via.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

struct cursor {
	const uint8_t *bytes;
	size_t at, end;
};

struct output {
	uint8_t *bytes;
	size_t len, size;
	bool overflow;
};

static void put(struct output *o, const void *bytes, size_t len)
{
	if (o->overflow || len > o->size - o->len) {
		o->overflow = true;
		return;
	}
	memcpy(o->bytes + o->len, bytes, len);
	o->len += len;
}

static void put_text(struct output *o, const char *text)
{
	put(o, text, strlen(text));
}

static int finish(const struct output *o)
{
	return o->overflow ? ERR_TOO_BIG : (int)o->len;
}

/* Linear white space, folds included: CR and LF stand only before a fold
 * inside a line, as via_find() has made sure. */
static void skip_space(struct cursor *c)
{
	while (c->at < c->end &&
		(c->bytes[c->at] == ' ' || c->bytes[c->at] == '\t' ||
			c->bytes[c->at] == '\r' || c->bytes[c->at] == '\n'))
		c->at++;
}

static bool skip_char(struct cursor *c, char want)
{
	skip_space(c);
	if (c->at == c->end || c->bytes[c->at] != (uint8_t)want)
		return false;
	c->at++;
	skip_space(c);
	return true;
}

static bool skip_word(struct cursor *c, const char *word)
{
	size_t len = strlen(word);

	if (c->end - c->at < len ||
		strncasecmp((const char *)c->bytes + c->at, word, len) != 0)
		return false;
	c->at += len;
	return true;
}

static bool is_token(uint8_t b)
{
	return (b >= 'a' && b <= 'z') || (b >= 'A' && b <= 'Z') ||
	       (b >= '0' && b <= '9') || (b && strchr("-.!%*_+`'~", b));
}

static bool is_ipv6(uint8_t b)
{
	return (b >= 'a' && b <= 'f') || (b >= 'A' && b <= 'F') ||
	       (b >= '0' && b <= '9') || b == ':' || b == '.';
}

static size_t skip_set(struct cursor *c, bool (*in_set)(uint8_t))
{
	size_t start = c->at;

	while (c->at < c->end && in_set(c->bytes[c->at]))
		c->at++;
	return c->at - start;
}

/* A host name, IPv4 address, or IPv6 reference. */
static bool skip_host(struct cursor *c)
{
	if (c->at == c->end || c->bytes[c->at] != '[')
		return skip_set(c, is_token) > 0;
	c->at++;
	if (skip_set(c, is_ipv6) == 0 || c->at == c->end ||
		c->bytes[c->at] != ']')
		return false;
	c->at++;
	return true;
}

static bool is_digit(uint8_t b)
{
	return b >= '0' && b <= '9';
}

/* End of the first value of a list: a comma outside quotes, or the end. */
static int value_end(const struct cursor *c, size_t *end_out)
{
	bool quoted = false;

	for (size_t i = c->at; i < c->end; i++) {
		if (quoted && c->bytes[i] == '\\') {
			i++;
		} else if (c->bytes[i] == '"') {
			quoted = !quoted;
		} else if (!quoted && c->bytes[i] == ',') {
			*end_out = i;
			return 0;
		}
	}
	if (quoted)
		return ERR_INVALID;
	*end_out = c->end;
	return 0;
}

static int read_value(const uint8_t *bytes, struct via *v)
{
	struct cursor c = {bytes, v->value, v->value_end};

	skip_space(&c);
	v->value = c.at;
	if (!skip_word(&c, "SIP") || !skip_char(&c, '/') ||
		!skip_word(&c, "2.0") || !skip_char(&c, '/'))
		return ERR_INVALID;
	v->transport = c.at;
	if (skip_set(&c, is_token) == 0)
		return ERR_INVALID;
	v->transport_end = c.at;
	skip_space(&c);
	if (c.at == v->transport_end)
		return ERR_INVALID;
	v->sent_by = c.at;
	if (!skip_host(&c))
		return ERR_INVALID;
	v->sent_by_end = c.at;
	/* "host : port" */
	if (skip_char(&c, ':')) {
		if (skip_set(&c, is_digit) == 0)
			return ERR_INVALID;
		v->sent_by_end = c.at;
	}
	skip_space(&c);
	v->params = c.at;
	return c.at == c.end || bytes[c.at] == ';' ? 0 : ERR_INVALID;
}

bool via_is_response(const uint8_t *bytes, size_t len)
{
	return len >= 8 && memcmp(bytes, "SIP/2.0 ", 8) == 0;
}

/* One parameter that begins at its ';': name and value as ranges, and where
 * the next one begins. Quotes are balanced: value_end() has looked. */
struct param {
	size_t name, name_len;
	size_t value, value_len;
	size_t next;
};

static void read_param(
	const uint8_t *bytes, size_t at, size_t end, struct param *p)
{
	struct cursor c = {bytes, at + 1, end};

	skip_space(&c);
	p->name = c.at;
	p->name_len = skip_set(&c, is_token);
	p->value = p->value_len = 0;
	if (skip_char(&c, '=')) {
		p->value = c.at;
		p->value_len = skip_set(&c, is_token);
	}
	while (c.at < end && bytes[c.at] != ';') {
		if (bytes[c.at++] != '"')
			continue;
		while (c.at < end && bytes[c.at] != '"')
			c.at += bytes[c.at] == '\\' && c.at + 1 < end ? 2 : 1;
		if (c.at < end)
			c.at++;
	}
	p->next = c.at;
}

static bool param_is(
	const uint8_t *bytes, const struct param *p, const char *name)
{
	return p->name_len == strlen(name) &&
	       strncasecmp((const char *)bytes + p->name, name, p->name_len) ==
		       0;
}

static void find_branch(const uint8_t *bytes, struct via *v)
{
	struct param p;

	for (size_t at = v->params; at < v->value_end; at = p.next) {
		read_param(bytes, at, v->value_end, &p);
		if (!param_is(bytes, &p, "branch") || p.value_len == 0)
			continue;
		v->branch = p.value;
		v->branch_end = p.value + p.value_len;
		return;
	}
}

void via_identity(const uint8_t *bytes, const struct via *via,
	const uint8_t **id_out, size_t *len_out)
{
	static const char cookie[] = "z9hG4bK";
	size_t len = via->branch_end - via->branch;

	*id_out = bytes + via->branch;
	*len_out = len;
	if (len > sizeof(cookie) - 1 &&
		strncasecmp((const char *)bytes + via->branch, cookie,
			sizeof(cookie) - 1) == 0)
		return;
	*id_out = bytes + via->value;
	*len_out = via->value_end - via->value;
}

int via_find(const uint8_t *bytes, size_t header_len, struct via *via_out)
{
	const uint8_t *lf = memchr(bytes, '\n', header_len);
	size_t at = lf ? (size_t)(lf - bytes) + 1 : header_len;

	while (at + 2 < header_len) {
		struct cursor c = {bytes, at, header_len};
		struct via v = {.line = at};
		bool is_via;
		int err;

		do {
			lf = memchr(bytes + c.at, '\n', header_len - c.at);
			if (!lf)
				return ERR_INVALID;
			c.at = (size_t)(lf - bytes) + 1;
		} while (c.at < header_len &&
			 (bytes[c.at] == ' ' || bytes[c.at] == '\t'));
		v.line_end = c.at;
		if (v.line_end - v.line < 2)
			return ERR_INVALID;
		c.at = at;
		c.end = v.line_end - 2;
		at = v.line_end;
		is_via = skip_word(&c, "via") || skip_word(&c, "v");
		if (!is_via || !skip_char(&c, ':'))
			continue;
		v.value = c.at;
		err = value_end(&c, &v.value_end);
		if (err)
			return err;
		v.alone = v.value_end == c.end;
		err = read_value(bytes, &v);
		if (err)
			return err;
		find_branch(bytes, &v);
		*via_out = v;
		return 0;
	}
	return ERR_NOT_FOUND;
}

/* Copies the parameters of the peer's Via; an empty rport gets the port, and
 * received is ours to say (RFC 3581 4). */
static void put_params(struct output *o, const uint8_t *bytes,
	const struct via *v, const struct addr *peer)
{
	char ip[ADDR_TEXT_SIZE], rport[24];
	struct param p;

	snprintf(rport, sizeof(rport), ";rport=%u", peer->port);
	for (size_t at = v->params; at < v->value_end; at = p.next) {
		read_param(bytes, at, v->value_end, &p);
		if (param_is(bytes, &p, "rport"))
			put_text(o, rport);
		else if (!param_is(bytes, &p, "received"))
			put(o, bytes + at, p.next - at);
	}
	put_text(o, ";received=");
	put_text(o, addr_format_ip(peer, ip));
}

int via_answer(const uint8_t *bytes, const struct via *via,
	const struct addr *peer, uint8_t *out, size_t size)
{
	struct output o = {.bytes = out, .size = size};

	put(&o, bytes + via->value, via->params - via->value);
	put_params(&o, bytes, via, peer);
	return finish(&o);
}

int via_push(const uint8_t *bytes, size_t len, size_t header_len,
	const char *sent_by, const char *branch, const struct addr *peer,
	uint8_t *out, size_t size)
{
	struct output o = {.bytes = out, .size = size};
	struct via v;
	int err = via_find(bytes, header_len, &v);

	if (err)
		return err;
	put(&o, bytes, v.line);
	put_text(&o, "Via: SIP/2.0/TCP ");
	put_text(&o, sent_by);
	put_text(&o, ";branch=z9hG4bK");
	put_text(&o, branch);
	put_text(&o, ";rport\r\n");
	put(&o, bytes + v.line, v.params - v.line);
	put_params(&o, bytes, &v, peer);
	put(&o, bytes + v.value_end, len - v.value_end);
	return finish(&o);
}

int via_pop(const uint8_t *bytes, size_t len, size_t header_len, uint8_t *out,
	size_t size)
{
	struct output o = {.bytes = out, .size = size};
	struct via v;
	int err = via_find(bytes, header_len, &v);

	if (err)
		return err;
	if (v.alone) {
		put(&o, bytes, v.line);
		put(&o, bytes + v.line_end, len - v.line_end);
	} else {
		put(&o, bytes, v.value);
		put(&o, bytes + v.value_end + 1, len - v.value_end - 1);
	}
	return finish(&o);
}

int via_replace(const uint8_t *bytes, size_t len, size_t header_len,
	const char *transport, const char *sent_by, char *old_sent_by,
	uint8_t *out, size_t size)
{
	struct output o = {.bytes = out, .size = size};
	struct via v;
	int err = via_find(bytes, header_len, &v);

	if (err)
		return err;
	if (old_sent_by) {
		size_t n = v.sent_by_end - v.sent_by;

		if (n >= VIA_SENT_BY_SIZE)
			return ERR_TOO_BIG;
		memcpy(old_sent_by, bytes + v.sent_by, n);
		old_sent_by[n] = '\0';
	}
	put(&o, bytes, v.transport);
	put_text(&o, transport);
	put(&o, " ", 1);
	put_text(&o, sent_by);
	put(&o, bytes + v.sent_by_end, len - v.sent_by_end);
	return finish(&o);
}
