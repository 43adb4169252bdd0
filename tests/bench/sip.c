/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading and writing SIP messages for sipload; see sip.h. RFC 3261 sections
 * 7.3 (headers), 8.2.6 (answers).
 */
#include "tests/bench/sip.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static struct sip_text trimmed(const char *from, const char *to)
{
	while (from < to && (*from == ' ' || *from == '\t'))
		from++;
	while (to > from && (to[-1] == ' ' || to[-1] == '\t'))
		to--;
	return (struct sip_text){from, (size_t)(to - from)};
}

static bool named(struct sip_text name, const char *word, char compact)
{
	return (name.len == 1 && (name.at[0] | 0x20) == compact) ||
	       (name.len == strlen(word) &&
		       strncasecmp(name.at, word, name.len) == 0);
}

static void take_header(
	struct sip_msg *m, struct sip_text name, struct sip_text value)
{
	if (named(name, "Via", 'v')) {
		if (m->n_via < SIP_LINES)
			m->via[m->n_via++] = value;
	} else if (named(name, "Record-Route", '\0')) {
		if (m->n_record_route < SIP_LINES)
			m->record_route[m->n_record_route++] = value;
	} else if (named(name, "From", 'f')) {
		m->from = value;
	} else if (named(name, "To", 't')) {
		m->to = value;
	} else if (named(name, "Call-ID", 'i')) {
		m->call_id = value;
	} else if (named(name, "CSeq", '\0')) {
		m->cseq = value;
	} else if (named(name, "Contact", 'm')) {
		m->contact = value;
	} else if (named(name, "WWW-Authenticate", '\0')) {
		m->challenge = value;
	}
}

static bool first_line(struct sip_msg *m, const char *at, const char *end)
{
	const char *space;

	if (end - at > 12 && memcmp(at, "SIP/2.0 ", 8) == 0) {
		m->status = (unsigned)strtoul(at + 8, NULL, 10);
		return m->status >= 100 && m->status <= 699;
	}
	space = memchr(at, ' ', (size_t)(end - at));
	if (!space)
		return false;
	m->method = (struct sip_text){at, (size_t)(space - at)};
	at = space + 1;
	space = memchr(at, ' ', (size_t)(end - at));
	if (!space)
		return false;
	m->uri = (struct sip_text){at, (size_t)(space - at)};
	return true;
}

bool sip_read(const char *bytes, size_t len, struct sip_msg *m)
{
	const char *at = bytes, *stop = bytes + len;

	memset(m, 0, sizeof(*m));
	for (bool first = true;; first = false) {
		const char *end = memchr(at, '\n', (size_t)(stop - at));
		const char *colon, *line_end = end;

		if (!end)
			return false;
		if (line_end > at && line_end[-1] == '\r')
			line_end--;
		if (line_end == at) {
			m->body = (struct sip_text){
				end + 1, (size_t)(stop - end - 1)};
			break;
		}
		if (first && !first_line(m, at, line_end))
			return false;
		colon = first ? NULL : memchr(at, ':', (size_t)(line_end - at));
		if (colon)
			take_header(m, trimmed(at, colon),
				trimmed(colon + 1, line_end));
		at = end + 1;
		if (at >= stop)
			return false;
	}
	if (m->status && m->cseq.len) {
		const char *space = memchr(m->cseq.at, ' ', m->cseq.len);

		if (space)
			m->method = trimmed(space, m->cseq.at + m->cseq.len);
	}
	return m->n_via && m->from.len && m->to.len && m->call_id.len &&
	       m->cseq.len && m->method.len;
}

bool sip_is(struct sip_text text, const char *word)
{
	return text.len == strlen(word) && memcmp(text.at, word, text.len) == 0;
}

struct sip_text sip_parameter(struct sip_text header, const char *name)
{
	const char *found = memmem(header.at, header.len, name, strlen(name));
	const char *stop = header.at + header.len, *end;

	if (!found)
		return (struct sip_text){NULL, 0};
	found += strlen(name);
	if (found < stop && *found == '"') {
		found++;
		end = memchr(found, '"', (size_t)(stop - found));
		return (struct sip_text){
			found, end ? (size_t)(end - found) : 0};
	}
	for (end = found; end < stop && !strchr(";,> \t", *end); end++)
		;
	return (struct sip_text){found, (size_t)(end - found)};
}

struct sip_text sip_address(struct sip_text header)
{
	const char *open = memchr(header.at, '<', header.len), *close;

	if (!open) {
		close = memchr(header.at, ';', header.len);
		return (struct sip_text){header.at,
			close ? (size_t)(close - header.at) : header.len};
	}
	open++;
	close = memchr(open, '>', (size_t)(header.at + header.len - open));
	return (struct sip_text){open, close ? (size_t)(close - open) : 0};
}

bool sip_has_audio(struct sip_text body, const char *other_host)
{
	static const char audio[] = "m=audio ", where[] = "c=IN IP4 ";
	const char *m = memmem(body.at, body.len, audio, sizeof(audio) - 1);
	const char *c = memmem(body.at, body.len, where, sizeof(where) - 1);
	size_t len;

	if (!m || !c || strtoul(m + sizeof(audio) - 1, NULL, 10) == 0)
		return false;
	c += sizeof(where) - 1;
	len = strcspn(c, "\r\n");
	return !(len == strlen(other_host) && memcmp(c, other_host, len) == 0);
}

void sip_add(struct sip_out *out, const char *format, ...)
{
	size_t room = sizeof(out->bytes) - out->len;
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(out->bytes + out->len, room, format, args);
	va_end(args);
	if (n < 0 || (size_t)n >= room)
		out->overflow = true;
	else
		out->len += (size_t)n;
}

void sip_answer(struct sip_out *out, const struct sip_msg *request,
	const char *status, const char *tag)
{
	sip_add(out, "SIP/2.0 %s\r\n", status);
	for (size_t i = 0; i < request->n_via; i++)
		sip_add(out, "Via: %.*s\r\n", (int)request->via[i].len,
			request->via[i].at);
	for (size_t i = 0; i < request->n_record_route; i++)
		sip_add(out, "Record-Route: %.*s\r\n",
			(int)request->record_route[i].len,
			request->record_route[i].at);
	sip_add(out, "From: %.*s\r\nTo: %.*s", (int)request->from.len,
		request->from.at, (int)request->to.len, request->to.at);
	if (tag && !sip_parameter(request->to, ";tag=").len)
		sip_add(out, ";tag=%s", tag);
	sip_add(out, "\r\nCall-ID: %.*s\r\nCSeq: %.*s\r\n",
		(int)request->call_id.len, request->call_id.at,
		(int)request->cseq.len, request->cseq.at);
}

void sip_end(struct sip_out *out, const char *sdp)
{
	if (sdp)
		sip_add(out, "Content-Type: application/sdp\r\n");
	sip_add(out, "Content-Length: %zu\r\n\r\n%s", sdp ? strlen(sdp) : 0,
		sdp ? sdp : "");
}
