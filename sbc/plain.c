/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading and answering of plain REGISTERs; see plain.h. Reading accepts few
 * forms and says no to everything else: what it takes, sofia-sip would read
 * with the same values (tests/fuzz/fuzz_datagram.c holds one against the
 * other). Answering decides by the same functions as admit_request() and
 * auth.c, in the same order. Called by stack.c, on sbc's loop.
 *
 * RFC 3261 8.2.6, 10.2, 22.1; RFC 3581 4 (rport).
 */
#include "sbc/plain.h"

#include <string.h>

#include "common/log.h"
#include "common/stat.h"
#include "sbc/sbc.h"
#include "sbc/sofia_cures.h"
#include "sbc/stack_inner.h"

#define VALUE_MAX   256
#define TAG_MAX     128
#define ANSWER_SIZE 4096

/* ------------------------------------------------------------------ pieces */

static size_t length_of(struct span s, bool (*is)(char c))
{
	size_t n = 0;

	while (n < s.len && is(s.at[n]))
		n++;
	return n;
}

static struct span take(struct span *s, size_t n)
{
	struct span taken = {s->at, n};

	s->at += n;
	s->len -= n;
	return taken;
}

static bool take_char(struct span *s, char c)
{
	if (s->len == 0 || *s->at != c)
		return false;
	(void)take(s, 1);
	return true;
}

static bool is_host_char(char c)
{
	return text_is_alnum(c) || c == '-' || c == '.';
}

static bool is_user_char(char c)
{
	return text_is_alnum(c) || c == '-' || c == '.' || c == '_' ||
	       c == '+' || c == '~';
}

static bool is_word_char(char c)
{
	return text_is_alnum(c) || c == '-' || c == '.' || c == '_' || c == ' ';
}

static bool is_param_char(char c)
{
	return is_user_char(c) || c == '!' || c == '*';
}

static bool is_call_id_char(char c)
{
	return text_is_token_char(c) || c == '@' || c == ':' || c == '[' ||
	       c == ']';
}

static bool is_printable(char c)
{
	return c >= ' ' && c <= '~';
}

static bool is_quoted(char c)
{
	return is_printable(c) && c != '"' && c != '\\';
}

/* [user "@"] host [":" port], to the end. Names begin with a letter or digit:
 * the rest is the library's to judge. */
static bool is_address(struct span s, struct span *host_out)
{
	struct span host, copy = s;
	size_t user = length_of(s, is_user_char);
	uint64_t port = 1;

	if (user > 0 && user < s.len && s.at[user] == '@')
		(void)take(&copy, user + 1);
	host = take(&copy, length_of(copy, is_host_char));
	if (host.len == 0 || host.len >= PLAIN_HOST_SIZE ||
		!text_is_alnum(host.at[0]) ||
		!text_is_alnum(host.at[host.len - 1]))
		return false;
	if (take_char(&copy, ':')) {
		if (copy.len == 0 || copy.len > 5 ||
			span_number(copy, 65535, &port) != 0 || port == 0)
			return false;
		copy.len = 0;
	}
	*host_out = host;
	return copy.len == 0;
}

/* A name-addr whose only parameter may be a tag. */
static bool read_name_addr(struct span s, struct span *tag_out)
{
	struct span uri, host;
	const char *end;

	if (s.len == 0 || s.len > VALUE_MAX)
		return false;
	if (take_char(&s, '"')) {
		(void)take(&s, length_of(s, is_quoted));
		if (!take_char(&s, '"'))
			return false;
		(void)take_char(&s, ' ');
	} else if (*s.at != '<') {
		if (!text_is_alnum(*s.at))
			return false;
		(void)take(&s, length_of(s, is_word_char));
	}
	if (!span_skip(&s, "<sip:"))
		return false;
	end = memchr(s.at, '>', s.len);
	if (!end)
		return false;
	uri = take(&s, (size_t)(end - s.at));
	(void)take(&s, 1);
	*tag_out = (struct span){s.at, 0};
	if (!is_address(uri, &host))
		return false;
	if (s.len == 0)
		return true;
	if (!span_skip(&s, ";tag=") || s.len == 0 || s.len > TAG_MAX ||
		length_of(s, text_is_token_char) != s.len)
		return false;
	*tag_out = s;
	return true;
}

/* "SIP/2.0/UDP host[:port]" and parameters, one of them a bare "rport". */
static bool read_via(struct span s, struct plain *out)
{
	const char *begin = s.at;
	struct span piece, host;
	bool has_rport = false;

	if (s.len > VALUE_MAX || !span_skip(&s, "SIP/2.0/UDP ") ||
		!span_next(&s, ';', &piece) ||
		memchr(piece.at, '@', piece.len) || !is_address(piece, &host))
		return false;
	out->branch = (struct span){begin, 0};
	while (span_next(&s, ';', &piece)) {
		struct span name =
			take(&piece, length_of(piece, text_is_token_char));

		if (name.len == 0 || span_is_word(name, "received") ||
			span_is_word(name, "maddr") ||
			span_is_word(name, "comp"))
			return false;
		if (span_is_word(name, "rport")) {
			if (has_rport || piece.len != 0)
				return false;
			has_rport = true;
			out->via_before =
				(struct span){begin, (size_t)(name.at - begin)};
			out->via_after = s;
			continue;
		}
		if (!take_char(&piece, '=') || piece.len == 0 ||
			length_of(piece, text_is_token_char) != piece.len)
			return false;
		if (!span_is_word(name, "branch"))
			continue;
		if (out->branch.len != 0 || piece.len <= 7 ||
			!span_skip(&piece, "z9hG4bK"))
			return false;
		out->branch = (struct span){piece.at - 7, piece.len + 7};
	}
	return has_rport;
}

/* -------------------------------------------------------------- the headers */

enum field {
	FIELD_VIA,
	FIELD_FROM,
	FIELD_TO,
	FIELD_CALL_ID,
	FIELD_CSEQ,
	FIELD_CONTACT,
	FIELD_FORWARDS,
	FIELD_EXPIRES,
	FIELD_LENGTH,
	FIELD_AGENT,
	FIELD_LIST, /* says what a phone can do; may come more than once */
	FIELD_OTHER
};

#define NEEDED                                                                 \
	(1u << FIELD_VIA | 1u << FIELD_FROM | 1u << FIELD_TO |                 \
		1u << FIELD_CALL_ID | 1u << FIELD_CSEQ)

static enum field field_of(struct span name)
{
	static const struct {
		const char *name;
		enum field field;
	} rows[] = {
		{"Via", FIELD_VIA},
		{"From", FIELD_FROM},
		{"To", FIELD_TO},
		{"Call-ID", FIELD_CALL_ID},
		{"CSeq", FIELD_CSEQ},
		{"Contact", FIELD_CONTACT},
		{"Max-Forwards", FIELD_FORWARDS},
		{"Expires", FIELD_EXPIRES},
		{"Content-Length", FIELD_LENGTH},
		{"User-Agent", FIELD_AGENT},
		{"Allow", FIELD_LIST},
		{"Supported", FIELD_LIST},
		{"Allow-Events", FIELD_LIST},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (span_is_word(name, rows[i].name))
			return rows[i].field;
	return FIELD_OTHER;
}

static bool is_number(struct span s, uint64_t max)
{
	uint64_t n;

	return s.len <= 10 && span_number(s, max, &n) == 0;
}

/* A list of words: what the library might not read as one is not plain. */
static bool is_list(struct span s)
{
	struct span piece;

	if (s.len == 0)
		return false;
	while (span_next(&s, ',', &piece)) {
		piece = span_trim(piece);
		if (piece.len == 0 ||
			length_of(piece, text_is_token_char) != piece.len)
			return false;
	}
	return true;
}

/* One contact, whose parameters its next REGISTER is judged by: of here only
 * that it can be read. */
static bool is_contact(struct span s)
{
	const char *end;
	struct span uri, host, piece;

	if (s.len > VALUE_MAX || !span_skip(&s, "<sip:"))
		return false;
	end = memchr(s.at, '>', s.len);
	if (!end)
		return false;
	uri = take(&s, (size_t)(end - s.at));
	(void)take(&s, 1);
	if (!span_next(&uri, ';', &piece) || !is_address(piece, &host))
		return false;
	while (span_next(&uri, ';', &piece)) {
		(void)take(&piece, length_of(piece, is_param_char));
		if (take_char(&piece, '='))
			(void)take(&piece, length_of(piece, is_param_char));
		if (piece.len != 0)
			return false;
	}
	if (s.len == 0)
		return true;
	return span_skip(&s, ";expires=") && is_number(s, UINT32_MAX);
}

static bool read_cseq(struct span s, struct plain *out)
{
	out->cseq = s;
	if (!span_next(&s, ' ', &out->cseq_number))
		return false;
	return is_number(out->cseq_number, 0x7fffffff) &&
	       span_is(s, "REGISTER");
}

static bool read_agent(struct span s, struct plain *out)
{
	return length_of(s, is_printable) == s.len &&
	       span_copy(s, out->agent, sizeof(out->agent)) == 0;
}

static bool read_field(enum field field, struct span value, struct plain *out)
{
	struct span no_tag;

	switch (field) {
	case FIELD_VIA:
		return read_via(value, out);
	case FIELD_FROM:
		out->from = value;
		return read_name_addr(value, &out->from_tag) &&
		       out->from_tag.len > 0;
	case FIELD_TO:
		out->to = value;
		return read_name_addr(value, &no_tag) && no_tag.len == 0;
	case FIELD_CALL_ID:
		out->call_id = value;
		return value.len > 0 && value.len <= VALUE_MAX &&
		       length_of(value, is_call_id_char) == value.len;
	case FIELD_CSEQ:
		return read_cseq(value, out);
	case FIELD_CONTACT:
		return is_contact(value);
	case FIELD_FORWARDS:
		return is_number(value, 255);
	case FIELD_EXPIRES:
		return is_number(value, UINT32_MAX);
	case FIELD_LENGTH:
		return span_is(value, "0");
	case FIELD_AGENT:
		return read_agent(value, out);
	case FIELD_LIST:
		return is_list(value);
	case FIELD_OTHER:
		break;
	}
	return false;
}

/* Takes a line off rest; lines end with CRLF here. */
static bool take_line(struct span *rest, struct span *line_out)
{
	const char *end = memchr(rest->at, '\r', rest->len);
	size_t len;

	if (!end)
		return false;
	len = (size_t)(end - rest->at);
	if (rest->len - len < 2 || end[1] != '\n')
		return false;
	*line_out = take(rest, len);
	(void)take(rest, 2);
	return true;
}

static bool read_first_line(struct span line, struct plain *out)
{
	struct span uri, host;

	if (!span_skip(&line, "REGISTER sip:") ||
		!span_next(&line, ' ', &uri) || !span_is(line, "SIP/2.0") ||
		memchr(uri.at, '@', uri.len))
		return false;
	return is_address(uri, &host) &&
	       span_copy(host, out->host, sizeof(out->host)) == 0;
}

bool plain_read(const uint8_t *bytes, size_t len, struct plain *out)
{
	struct span rest = {(const char *)bytes, len};
	struct span line, name;
	unsigned seen = 0;

	out->agent[0] = '\0';
	if (!take_line(&rest, &line) || !read_first_line(line, out))
		return false;
	for (;;) {
		enum field field;

		if (!take_line(&rest, &line))
			return false;
		if (line.len == 0)
			break;
		name = take(&line, length_of(line, text_is_token_char));
		field = field_of(name);
		/* The library takes blanks around a value off. */
		if (!take_char(&line, ':') || !take_char(&line, ' ') ||
			span_trim(line).len != line.len ||
			(seen & 1u << field) != 0 ||
			!read_field(field, line, out))
			return false;
		if (field != FIELD_LIST)
			seen |= 1u << field;
	}
	return (seen & NEEDED) == NEEDED && rest.len == 0;
}

/* ------------------------------------------------------------------- answer */

static void add_to(struct writer *w, struct sbc *sbc, const struct plain *p)
{
	char key[4 * VALUE_MAX], tag[STACK_TAG_SIZE];
	struct writer k;

	writer_init(&k, key, sizeof(key));
	writer_add_span(&k, p->call_id);
	writer_add_char(&k, '|');
	writer_add_span(&k, p->from_tag);
	writer_add_char(&k, '|');
	writer_add_span(&k, p->cseq_number);
	writer_add_char(&k, '|');
	writer_add_span(&k, p->branch);
	stack_make_tag(sbc->stack, key, k.len, tag);
	writer_add(w, "To: ");
	writer_add_span(w, p->to);
	writer_add(w, ";tag=%s\r\n", tag);
}

static void add_answer(struct writer *w, struct sbc *sbc, const struct plain *p,
	const struct addr *source)
{
	char ip[ADDR_TEXT_SIZE];

	writer_add(w, "SIP/2.0 401 %s\r\nVia: ", reason_sip_phrase(401));
	writer_add_span(w, p->via_before);
	writer_add(w, "rport=%u", source->port);
	if (p->via_after.len > 0)
		writer_add_char(w, ';');
	writer_add_span(w, p->via_after);
	writer_add(w, ";received=%s\r\nFrom: ", addr_format_ip(source, ip));
	writer_add_span(w, p->from);
	writer_add(w, "\r\n");
	add_to(w, sbc, p);
	writer_add(w, "Call-ID: ");
	writer_add_span(w, p->call_id);
	writer_add(w, "\r\nCSeq: ");
	writer_add_span(w, p->cseq);
	writer_add(w, "\r\n");
}

bool plain_answer(struct sbc *sbc, const struct addr *source,
	const struct addr *local, const uint8_t *bytes, size_t len)
{
	const struct realm_address *at =
		sbc->settings ? settings_listener(sbc->settings, local,
					GH__TRANSPORT__TRANSPORT_UDP)
			      : NULL;
	char text[ANSWER_SIZE];
	struct writer w;
	struct plain p;
	int err;

	/* Where accounts have challenges of their own, authd is asked. */
	if (!at || !at->realm->row->phones || at->realm->row->own_offers ||
		!plain_read(bytes, len, &p) ||
		!realm_admits(at->realm, source) || admit_is_scanner(p.agent) ||
		!realm_serves(at->realm, p.host))
		return false;
	writer_init(&w, text, sizeof(text));
	add_answer(&w, sbc, &p, source);
	if (auth_add_challenges(sbc->auth, at->realm, source, &w) == 0)
		return false;
	writer_add(&w, "Content-Length: 0\r\n\r\n");
	if (w.over)
		return false;
	reason_count(REASON_AUTH_MISSING);
	err = cures_send(local, source, text, w.len);
	if (err == 0)
		stat_add(STAT_SIP_TX, 1);
	log_peer_debug("answered", LOG_UINT("status", 401),
		LOG_STR("reason", reason_text(REASON_AUTH_MISSING)),
		LOG_STR("method", "REGISTER"), LOG_ADDR("source", source),
		LOG_ERR(err));
	return true;
}
