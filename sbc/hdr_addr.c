// SPDX-License-Identifier: Apache-2.0
/*
 * Reads name-addr values of headers that sofia-sip has no class for (its
 * reader of P-Asserted-Identity exists, but only in a parser that every other
 * part would have to agree on): P-Asserted-Identity, Diversion and their like.
 * RFC 3261 25.1 (name-addr, generic-param), 3325 9, 5806 5.
 */
#include <string.h>

#include "sbc/hdr_part.h"

/** Length of a quoted string at the begin of s, with its quotes; 0 if it does
 * not end. */
static size_t quoted_len(struct span s)
{
	for (size_t i = 1; i < s.len; i++) {
		if (s.at[i] == '\\')
			i++;
		else if (s.at[i] == '"')
			return i + 1;
	}
	return 0;
}

static void skip(struct span *s, size_t n)
{
	s->at += n;
	s->len -= n;
}

/** The next of chars outside quotes, or the length of s; s.len + 1 if a quote
 * does not end. */
static size_t find_outside(struct span s, const char *chars)
{
	size_t i = 0;

	while (i < s.len) {
		size_t n;

		if (strchr(chars, s.at[i]) && s.at[i])
			return i;
		if (s.at[i] != '"') {
			i++;
			continue;
		}
		n = quoted_len((struct span){s.at + i, s.len - i});
		if (!n)
			return s.len + 1;
		i += n;
	}
	return i;
}

/** Takes "display <uri>", or a bare URI up to its parameters. */
static bool read_addr(struct span *s, struct hdr_addr *addr)
{
	size_t n = find_outside(*s, "<,");
	const char *end;

	if (n > s->len)
		return false;
	if (n == s->len || s->at[n] == ',') { /* no brackets */
		n = find_outside(*s, ",;");
		addr->display = (struct span){s->at, 0};
		addr->uri = span_trim((struct span){s->at, n});
		skip(s, n);
		return addr->uri.len > 0;
	}
	addr->display = span_trim((struct span){s->at, n});
	skip(s, n + 1);
	end = s->len ? memchr(s->at, '>', s->len) : NULL;
	if (!end)
		return false;
	addr->uri = (struct span){s->at, (size_t)(end - s->at)};
	skip(s, addr->uri.len + 1);
	return addr->uri.len > 0;
}

bool hdr_addr_next(struct span *rest, struct hdr_addr *addr_out)
{
	struct span s = span_trim(*rest);
	struct hdr_addr addr = {0};
	size_t n;

	if (!s.len || !read_addr(&s, &addr))
		return false;
	n = find_outside(s, ",");
	if (n > s.len)
		return false;
	addr.params = span_trim((struct span){s.at, n});
	skip(&s, n < s.len ? n + 1 : n);
	*rest = s;
	*addr_out = addr;
	return true;
}

bool hdr_param(struct span params, const char *name, struct span *value_out)
{
	struct span s = params;

	while (s.len) {
		size_t n = find_outside(s, ";");
		struct span item, key;

		if (n > s.len)
			return false;
		item = span_trim((struct span){s.at, n});
		skip(&s, n < s.len ? n + 1 : n);
		if (!item.len || !span_next(&item, '=', &key) ||
			!span_is_word(span_trim(key), name))
			continue;
		item = span_trim(item);
		if (item.len >= 2 && item.at[0] == '"') {
			skip(&item, 1);
			item.len--;
		}
		*value_out = item;
		return true;
	}
	return false;
}

bool hdr_uri_user(struct span uri, struct span *user_out)
{
	struct span rest = span_trim(uri), scheme, user;

	if (!rest.len || !memchr(rest.at, ':', rest.len) ||
		!span_next(&rest, ':', &scheme) || !rest.len)
		return false;
	if (span_is_word(scheme, "tel")) {
		*user_out = rest;
		return true;
	}
	if ((!span_is_word(scheme, "sip") && !span_is_word(scheme, "sips")) ||
		!memchr(rest.at, '@', rest.len) ||
		!span_next(&rest, '@', &user) || !user.len)
		return false;
	*user_out = user;
	return true;
}
