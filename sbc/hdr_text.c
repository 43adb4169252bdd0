// SPDX-License-Identifier: Apache-2.0
/*
 * How names, numbers and hosts are written into headers: quoting, escaping,
 * the display name that is left of a peer's. Everything that goes into a line
 * of ours passes one of these, so a peer's quote, bracket or line end never
 * ends anything. RFC 3261 25.1 (quoted-string, user), 7.3.1.
 */
#include <string.h>

#include <sofia-sip/su_alloc.h>

#include "sbc/hdr_part.h"
#include "sbc/utf8.h"

#define DISPLAY_BYTES_MAX (HDR_DISPLAY_MAX * 4)

void hdr_list_add(struct hdr_list *list, const char *name, const char *value)
{
	if (!value || list->n == HDR_LINES_MAX)
		return;
	list->lines[list->n].name = name;
	list->lines[list->n].value = value;
	list->n++;
}

void hdr_list_remove(struct hdr_list *list, const char *name)
{
	size_t n = 0;

	for (size_t i = 0; i < list->n; i++)
		if (!text_equal(list->lines[i].name, name))
			list->lines[n++] = list->lines[i];
	list->n = n;
}

const char *hdr_list_text(const struct hdr_list *list)
{
	size_t size = 1;
	struct writer w;
	char *text;

	if (!list->n)
		return "";
	for (size_t i = 0; i < list->n; i++)
		size += strlen(list->lines[i].name) +
			strlen(list->lines[i].value) + 4;
	text = su_alloc(list->home, (isize_t)size);
	if (!text)
		return "";
	writer_init(&w, text, size);
	for (size_t i = 0; i < list->n; i++)
		writer_add(&w, "%s: %s\r\n", list->lines[i].name,
			list->lines[i].value);
	return text;
}

const char *hdr_unknown(
	const sip_t *sip, const char *name, const sip_unknown_t **after)
{
	const sip_unknown_t *un = *after ? (*after)->un_next : sip->sip_unknown;

	for (; un; un = un->un_next)
		if (un->un_name && un->un_value &&
			text_equal(un->un_name, name)) {
			*after = un;
			return un->un_value;
		}
	return NULL;
}

/** Takes quotes and backslashes off; a token display name stays. */
static bool unquote(const char *text, char *out, size_t size)
{
	struct span s = span_trim(span_of(text));
	size_t n = 0;

	if (!s.len || s.at[0] != '"')
		return !span_copy(s, out, size);
	for (size_t i = 1; i < s.len && s.at[i] != '"'; i++) {
		if (s.at[i] == '\\' && ++i == s.len)
			return false;
		if (n + 1 >= size)
			return false;
		out[n++] = s.at[i];
	}
	out[n] = '\0';
	return true;
}

const char *hdr_display(const char *peer_text, su_home_t *home)
{
	char text[2048];
	size_t len, n_chars = 0, cut = 0;
	const char *kept;
	uint32_t c = 0;

	if (!peer_text || !unquote(peer_text, text, sizeof(text)))
		return "";
	len = strlen(text);
	if (!utf8_is_plain(text, len))
		return "";
	while (cut < len && n_chars < HDR_DISPLAY_MAX) {
		int n = utf8_decode(text + cut, len - cut, &c);

		if (n < 0)
			return "";
		cut += (size_t)n;
		n_chars++;
	}
	while (cut && text[cut - 1] == ' ')
		cut--;
	kept = su_strndup(home, text, (isize_t)cut);
	return kept ? kept : "";
}

const char *hdr_quote(const char *display, su_home_t *home)
{
	char text[2 * DISPLAY_BYTES_MAX + 4];
	struct writer w;

	if (!display || !*display || !utf8_is_plain(display, strlen(display)))
		return "";
	writer_init(&w, text, sizeof(text));
	writer_add(&w, "\"");
	for (const char *s = display; *s; s++) {
		if (*s == '"' || *s == '\\')
			writer_add_char(&w, '\\');
		writer_add_char(&w, *s);
	}
	writer_add(&w, "\" ");
	return w.over ? "" : su_strdup(home, text);
}

const char *hdr_user(const char *user, su_home_t *home)
{
	char text[3 * ROUTE_NUMBER_SIZE + 1];
	struct writer w;

	writer_init(&w, text, sizeof(text));
	for (const char *s = user; *s; s++) {
		if (text_is_alnum(*s) || strchr("-_.!~*'()+", *s))
			writer_add_char(&w, *s);
		else
			writer_add(&w, "%%%02X", (unsigned char)*s);
	}
	return w.over ? NULL : su_strdup(home, text);
}

const char *hdr_host(const char *host, su_home_t *home)
{
	struct span s = span_of(host), inner;
	const char *colon = strrchr(host, ':');
	struct addr addr;
	char ip[ADDR_TEXT_SIZE];

	if (!addr_parse(host, &addr)) {
		addr_format_ip(&addr, ip);
		return su_sprintf(
			home, addr.family == AF_INET6 ? "[%s]" : "%s", ip);
	}
	if (span_skip(&s, "[") && span_next(&s, ']', &inner))
		return su_sprintf(home, "[%.*s]", (int)inner.len, inner.at);
	if (colon)
		return su_strndup(home, host, (isize_t)(colon - host));
	return su_strdup(home, host);
}

const char *hdr_domain(const struct hdr_side *side, su_home_t *home)
{
	const Gh__Trunk *trunk = side->trunk ? side->trunk->row : NULL;
	const char *host = NULL;

	if (trunk && *trunk->domain)
		host = hdr_host(trunk->domain, home);
	else if (side->host && *side->host)
		host = hdr_host(side->host, home);
	else if (trunk && *trunk->host)
		host = hdr_host(trunk->host, home);
	else if (side->realm && side->realm->n_addresses)
		host = hdr_host(
			side->realm->addresses[0].advertised_host, home);
	return host ? host : "anonymous.invalid";
}

const char *hdr_name_addr(const struct trunk *trunk, const char *display,
	const char *user, const char *domain, su_home_t *home)
{
	const char *quoted = hdr_quote(display, home);
	const char *escaped = hdr_user(user, home);

	if (!quoted || !escaped || !domain)
		return NULL;
	return su_sprintf(home, "%s<sip:%s@%s%s>", quoted, escaped, domain,
		hdr_user_phone(trunk, user));
}
