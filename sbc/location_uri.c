// SPDX-License-Identifier: Apache-2.0
/*
 * Location URIs (location_uri.h). The opaque part of one is the location
 * server's own and has to arrive as it is, so it is not written anew but
 * searched, decoded, for addresses and names of the inside: a server that puts
 * a phone's address into its paths is of no use outside anyway.
 *
 * Called by hdr_location.c. RFC 3986 (form), 3859 (pres), 3261 19.1 (sips),
 * 6442 4.1 (which schemes), 6753 (https).
 */
#include "sbc/location_uri.h"

#include <string.h>

#include "common/addr.h"
#include "sbc/locate_inside.h"

enum scheme { SCHEME_HTTPS, SCHEME_SIPS, SCHEME_PRES, SCHEME_COUNT };

static const char *const schemes[] = {
	[SCHEME_HTTPS] = "https",
	[SCHEME_SIPS] = "sips",
	[SCHEME_PRES] = "pres",
};
_Static_assert(sizeof(schemes) / sizeof(schemes[0]) == SCHEME_COUNT,
	"every scheme has its name");

/* Names that mean something in one network only. */
static const char *const private_labels[] = {"localhost", "local",
	"localdomain", "internal", "intranet", "lan", "home", "corp", "private",
	"arpa", "invalid"};

static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

/** Every character of a URI without a fragment, every % with two digits. */
static bool is_form(struct span s)
{
	for (size_t i = 0; i < s.len; i++) {
		char c = s.at[i];

		if (c == '%' && (i + 2 >= s.len || text_hex(s.at[i + 1]) < 0 ||
					text_hex(s.at[i + 2]) < 0))
			return false;
		if (!c || (!text_is_alnum(c) &&
				  !strchr("-._~:/?[]@!$&'()*+,;=%", c)))
			return false;
	}
	return true;
}

/** Characters of a user that needs no look at its meaning. */
static bool is_user(struct span s)
{
	for (size_t i = 0; i < s.len; i++)
		if (!text_is_alnum(s.at[i]) && !strchr("-._~+%!*'()", s.at[i]))
			return false;
	return s.len > 0;
}

struct parts {
	enum scheme scheme;
	struct span user; /* sips, pres */
	char host[LOCATION_URI_SIZE];
	bool is_v6;
	uint64_t port;    /* 0 = none */
	struct span rest; /* https: from the first / or ? on */
};

/** "host", "host:port", "[v6]" or "[v6]:port"; a host in small letters. */
static int read_host(struct span text, struct parts *p)
{
	struct span host = text, port = {NULL, 0};
	const char *colon;

	p->is_v6 = text.len && text.at[0] == '[';
	if (p->is_v6) {
		const char *end = memchr(text.at, ']', text.len);

		if (!end)
			return ERR_INVALID;
		host = (struct span){text.at + 1, (size_t)(end - text.at) - 1};
		port = (struct span){
			end + 1, text.len - (size_t)(end + 1 - text.at)};
		if (!memchr(host.at, ':', host.len) ||
			(port.len && *port.at != ':'))
			return ERR_INVALID;
	} else if ((colon = memchr(text.at, ':', text.len))) {
		host.len = (size_t)(colon - text.at);
		port = (struct span){colon, text.len - host.len};
	}
	p->port = 0;
	if (port.len) {
		port.at++;
		port.len--;
		if (span_number(port, 65535, &p->port) || p->port == 0)
			return ERR_INVALID;
	}
	if (span_copy(host, p->host, sizeof(p->host)))
		return ERR_TOO_BIG;
	for (char *c = p->host; *c; c++)
		*c = lower(*c);
	return text_is_host(p->host) && !strchr(p->host, '%') ? 0 : ERR_INVALID;
}

static int read_parts(struct span uri, struct parts *p)
{
	struct span word, authority;
	size_t n = 0;

	if (!memchr(uri.at, ':', uri.len) || !span_next(&uri, ':', &word))
		return ERR_INVALID;
	for (p->scheme = 0; p->scheme < SCHEME_COUNT; p->scheme++)
		if (span_is_word(word, schemes[p->scheme]))
			break;
	if (p->scheme == SCHEME_COUNT)
		return ERR_INVALID;
	p->user = p->rest = (struct span){uri.at, 0};
	if (p->scheme != SCHEME_HTTPS) {
		/* Parameters and headers would say where to go instead. */
		if (!memchr(uri.at, '@', uri.len) ||
			!span_next(&uri, '@', &p->user) || !is_user(p->user))
			return ERR_INVALID;
		return read_host(uri, p);
	}
	if (!span_skip(&uri, "//"))
		return ERR_INVALID;
	while (n < uri.len && uri.at[n] != '/' && uri.at[n] != '?')
		n++;
	authority = (struct span){uri.at, n};
	p->rest = (struct span){uri.at + n, uri.len - n};
	return read_host(authority, p); /* which takes no user@ */
}

static bool is_hidden_addr(
	const struct hdr_hidden *hidden, const struct addr *addr)
{
	return addr_is_private(addr) || addr_is_loopback(addr) ||
	       addr_is_any(addr) || addr_is_multicast(addr) ||
	       locate_is_inside(hidden->settings, hidden->nets, addr);
}

static bool is_hidden_host(
	const struct hdr_hidden *hidden, const struct parts *p)
{
	const char *label = strrchr(p->host, '.');
	struct addr addr;

	if (addr_parse(p->host, &addr) == 0)
		return is_hidden_addr(hidden, &addr);
	/* A name that ends with a dot has no last label: not worth a rule. */
	if (!label || !label[1])
		return true;
	for (size_t i = 0;
		i < sizeof(private_labels) / sizeof(private_labels[0]); i++)
		if (strcmp(label + 1, private_labels[i]) == 0)
			return true;
	return false;
}

/** Escapes undone, in small letters. A byte that is hidden twice, or no text,
 * is refused. */
static int decode(struct span s, char out[LOCATION_URI_SIZE])
{
	size_t n = 0;

	for (size_t i = 0; i < s.len; i++) {
		char c = s.at[i];

		if (c == '%') {
			c = (char)(text_hex(s.at[i + 1]) * 16 +
				   text_hex(s.at[i + 2]));
			i += 2;
			if ((unsigned char)c < ' ' || c == 0x7f || c == '%')
				return ERR_REFUSED;
		}
		out[n++] = lower(c);
	}
	out[n] = '\0';
	return 0;
}

static bool is_hidden_text(
	const struct hdr_hidden *hidden, const char *text, size_t len)
{
	char one[ADDR_TEXT_SIZE];
	struct addr addr;

	if (len < 2 || len >= sizeof(one))
		return false;
	memcpy(one, text, len);
	one[len] = '\0';
	return addr_parse(one, &addr) == 0 && is_hidden_addr(hidden, &addr);
}

/** How long four numbers with dots between them are at text; else 0. */
static size_t quad_len(const char *text)
{
	size_t len = 0;

	for (unsigned i = 0; i < 4; i++) {
		size_t digits = strspn(text + len, "0123456789");

		if (digits == 0 || (i < 3 && text[len + digits] != '.'))
			return 0;
		len += digits + (i < 3);
	}
	return len;
}

/** Every place where an address may begin: behind no digit of it. */
static bool names_hidden_addr(const struct hdr_hidden *hidden, const char *text)
{
	for (const char *p = text; *p; p++) {
		size_t len = strspn(p, "0123456789abcdef:.");

		if ((p == text || !text_is_digit(p[-1])) &&
			is_hidden_text(hidden, p, quad_len(p)))
			return true;
		if (p > text && (text_hex(p[-1]) >= 0 || p[-1] == ':'))
			continue;
		while (len && (p[len - 1] == '.' ||
				      (p[len - 1] == ':' &&
					      (len < 2 || p[len - 2] != ':'))))
			len--;
		if (memchr(p, ':', len) && is_hidden_text(hidden, p, len))
			return true;
	}
	return false;
}

static int check(
	struct span uri, const struct hdr_hidden *hidden, const struct parts *p)
{
	char text[LOCATION_URI_SIZE];

	if (is_hidden_host(hidden, p) || decode(uri, text) ||
		names_hidden_addr(hidden, text) ||
		locate_names_inside(hidden->settings, text))
		return ERR_REFUSED;
	return hidden->user[0] && text_has_name(text, hidden->user)
		       ? ERR_REFUSED
		       : 0;
}

int location_uri_read(struct span uri, const struct hdr_hidden *hidden,
	bool hide, char out[LOCATION_URI_SIZE])
{
	struct parts p;
	struct writer w;
	int err;

	if (uri.len > LOCATION_URI_MAX)
		return ERR_TOO_BIG;
	if (!uri.len || !is_form(uri))
		return ERR_INVALID;
	err = read_parts(uri, &p);
	if (err)
		return err;
	err = check(uri, hidden, &p);
	if (err)
		return err;
	if (hide && p.user.len)
		return ERR_REFUSED;
	writer_init(&w, out, LOCATION_URI_SIZE);
	writer_add(&w, "%s:%s", schemes[p.scheme],
		p.scheme == SCHEME_HTTPS ? "//" : "");
	writer_add_span(&w, p.user);
	writer_add(&w, "%s%s%s%s", p.user.len ? "@" : "", p.is_v6 ? "[" : "",
		p.host, p.is_v6 ? "]" : "");
	if (p.port)
		writer_add(&w, ":%u", (unsigned)p.port);
	writer_add_span(&w, p.rest);
	return w.over ? ERR_TOO_BIG : 0;
}
