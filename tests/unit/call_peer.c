/* SPDX-License-Identifier: Apache-2.0 */
/* See call_world.h: raw peers, messages, dialogs, the usual call. */
#include "config.h"

#include "tests/unit/call_world_inner.h"

#include <check.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"

/* ------------------------------------------------------------------ peers */

const char *cw_at(unsigned host, unsigned port)
{
	static char texts[8][32];
	static unsigned turn;
	char *text = texts[turn++ % 8];
	unsigned pid = (unsigned)getpid();

	/* Loopback addresses of this process: suites run side by side. */
	snprintf(text, 32, port != 0 ? "127.%u.%u.%u:%u" : "127.%u.%u.%u",
		1 + (pid >> 8) % 250, pid % 256, host, port);
	return text;
}

void sp_open(struct cw *w, struct sip_peer *p, unsigned host)
{
	memset(p, 0, sizeof *p);
	p->w = w;
	/* A trunk's address is in its settings, with its port. */
	p->fd = cw_open_at(cw_at(host, 0), CW_TRUNK_PORT, &p->local);
	if (p->fd < 0)
		p->fd = cw_open_at(cw_at(host, 0), 0, &p->local);
	ck_assert_int_ge(p->fd, 0);
	addr_format(&p->local, p->text);
}

void sp_close(struct sip_peer *p)
{
	close(p->fd);
	p->fd = -1;
}

void sp_send(struct sip_peer *p, const struct addr *to, const char *text)
{
	struct sockaddr_storage sa;
	socklen_t len = addr_to_sockaddr(to, &sa);

	ck_assert_int_eq(sendto(p->fd, text, strlen(text), 0,
				 (struct sockaddr *)&sa, len),
		(ssize_t)strlen(text));
}

static bool seen_before(struct sip_peer *p, size_t len)
{
	static const uint8_t key[16];
	uint64_t hash = table_siphash(key, p->rx, len);

	for (unsigned i = 0; i < CW_SEEN; i++) {
		if (p->seen[i] == hash)
			return true;
	}
	p->seen[p->n_seen++ % CW_SEEN] = hash;
	return false;
}

/* On a busy machine timers fire before the other end was given its turn. */
static bool received(void *ctx)
{
	struct sip_peer *p = ctx;
	ssize_t n;

	do {
		n = recv(p->fd, p->rx, sizeof p->rx - 1, 0);
		if (n < 0)
			return false;
		p->rx[n] = '\0';
	} while (seen_before(p, (size_t)n) && !p->repeats);
	return true;
}

const char *sp_expect_but(
	struct sip_peer *p, const char *first, const char *but)
{
	for (;;) {
		cw_until(p->w, received, p, first);
		if (strncmp(p->rx, first, strlen(first)) == 0)
			return p->rx;
		if (strncmp(p->rx, "SIP/2.0 100", 11) == 0)
			continue;
		if (but != NULL && strncmp(p->rx, but, strlen(but)) == 0)
			continue;
		ck_abort_msg(
			"at %s: wanted %s, got:\n%s", p->text, first, p->rx);
	}
}

const char *sp_expect(struct sip_peer *p, const char *first)
{
	return sp_expect_but(p, first, NULL);
}

void sp_silent(struct sip_peer *p)
{
	cw_turn(p->w);
	while (received(p)) {
		if (strncmp(p->rx, "SIP/2.0 100", 11) != 0)
			ck_abort_msg("at %s, unexpected:\n%s", p->text, p->rx);
	}
}

const char *msg_header_value(
	const char *message, const char *name, unsigned nth)
{
	static char values[8][1024];
	static unsigned turn;
	char *value = values[turn++ % 8];
	const char *line = message;
	size_t len = strlen(name);

	value[0] = '\0';
	while ((line = strstr(line, "\r\n")) != NULL) {
		line += 2;
		if (*line == '\r')
			break;
		if (strncasecmp(line, name, len) != 0 || line[len] != ':')
			continue;
		if (nth-- != 0)
			continue;
		line += len + 1;
		line += strspn(line, " ");
		snprintf(value, 1024, "%.*s", (int)strcspn(line, "\r"), line);
		break;
	}
	return value;
}

const char *msg_body(const char *message)
{
	const char *end = strstr(message, "\r\n\r\n");

	return end != NULL ? end + 4 : "";
}

const char *msg_tag(const char *message, const char *name)
{
	static char tags[4][128];
	static unsigned turn;
	char *tag = tags[turn++ % 4];
	const char *at = strstr(msg_header_value(message, name, 0), ";tag=");

	tag[0] = '\0';
	if (at != NULL)
		snprintf(tag, 128, "%.*s", (int)strcspn(at + 5, ";"), at + 5);
	return tag;
}

bool msg_has(const char *message, const char *text)
{
	return strstr(message, text) != NULL;
}

/* ---------------------------------------------------------------- dialogs */

static void uri_of(const char *value, char out[256])
{
	const char *open = strchr(value, '<');

	if (open != NULL)
		snprintf(out, 256, "%.*s", (int)strcspn(open + 1, ">"),
			open + 1);
	else
		snprintf(out, 256, "%.*s", (int)strcspn(value, ";"), value);
}

static void new_branch(char branch[64])
{
	static unsigned n;

	snprintf(branch, 64, "z9hG4bKcw%d-%u", (int)getpid(), ++n);
}

static void add_body(
	char *text, size_t size, const char *type, const char *body)
{
	size_t n = strlen(text);

	if (body == NULL)
		snprintf(text + n, size - n, "Content-Length: 0\r\n\r\n");
	else
		snprintf(text + n, size - n,
			"Content-Type: %s\r\nContent-Length: %zu\r\n\r\n%s",
			type, strlen(body), body);
}

void dl_invite(struct dialog *d, struct sip_peer *p, const struct addr *to,
	const char *from_user, const char *to_user, const char *extra,
	const char *sdp)
{
	static unsigned n;
	char sbc[ADDR_TEXT_SIZE];

	memset(d, 0, sizeof *d);
	d->p = p;
	d->to = *to;
	d->cseq = d->invite_cseq = 101;
	addr_format(to, sbc);
	snprintf(d->call_id, sizeof d->call_id, "call-%d-%u", (int)getpid(),
		++n);
	snprintf(d->local, sizeof d->local, "<sip:%s@%s>;tag=c%u", from_user,
		p->text, n);
	snprintf(d->remote, sizeof d->remote, "<sip:%s@%s>", to_user, sbc);
	snprintf(d->target, sizeof d->target, "sip:%s@%s", to_user, sbc);
	new_branch(d->branch);
	snprintf(d->invite, sizeof d->invite,
		"INVITE %s SIP/2.0\r\n"
		"Via: SIP/2.0/UDP %s;branch=%s;rport\r\n"
		"Max-Forwards: 70\r\n"
		"From: %s\r\n"
		"To: %s\r\n"
		"Call-ID: %s\r\n"
		"CSeq: %u INVITE\r\n"
		"Contact: <sip:me@%s>\r\n"
		"Allow: INVITE, ACK, CANCEL, BYE, OPTIONS, UPDATE, PRACK, "
		"INFO\r\n"
		"User-Agent: peer/1\r\n"
		"%s",
		d->target, p->text, d->branch, d->local, d->remote, d->call_id,
		d->cseq, p->text, extra != NULL ? extra : "");
	add_body(d->invite, sizeof d->invite, "application/sdp", sdp);
	sp_send(p, to, d->invite);
}

void dl_request_from(struct dialog *d, struct sip_peer *p, const char *method,
	const char *extra, const char *type, const char *body)
{
	static char text[CW_TEXT];
	bool same = strcmp(method, "ACK") == 0 || strcmp(method, "CANCEL") == 0;

	if (!same)
		d->cseq++;
	if (strcmp(method, "CANCEL") != 0)
		new_branch(d->branch);
	if (strcmp(method, "INVITE") == 0)
		d->invite_cseq = d->cseq;
	snprintf(text, sizeof text,
		"%s %s SIP/2.0\r\n"
		"Via: SIP/2.0/UDP %s;branch=%s;rport\r\n"
		"Max-Forwards: 70\r\n"
		"From: %s\r\n"
		"To: %s\r\n"
		"Call-ID: %s\r\n"
		"CSeq: %u %s\r\n"
		"Contact: <sip:me@%s>\r\n"
		"%s",
		method, d->target, p->text, d->branch, d->local, d->remote,
		d->call_id, same ? d->invite_cseq : d->cseq, method, p->text,
		extra != NULL ? extra : "");
	add_body(text, sizeof text, type, body);
	if (strcmp(method, "INVITE") == 0)
		snprintf(d->invite, sizeof d->invite, "%s", text);
	sp_send(p, &d->to, text);
}

void dl_request(struct dialog *d, const char *method, const char *extra,
	const char *type, const char *body)
{
	dl_request_from(d, d->p, method, extra, type, body);
}

void dl_answered(struct dialog *d)
{
	const char *contact = msg_header_value(d->p->rx, "Contact", 0);

	snprintf(d->remote, sizeof d->remote, "%s",
		msg_header_value(d->p->rx, "To", 0));
	if (*contact != '\0')
		uri_of(contact, d->target);
}

void dl_ack(struct dialog *d, const char *sdp)
{
	static char text[CW_TEXT];

	if (strncmp(d->p->rx, "SIP/2.0 ", 8) != 0 || d->p->rx[8] == '2') {
		dl_request(d, "ACK", NULL, "application/sdp", sdp);
		return;
	}
	/* A failure's ACK belongs to the INVITE's transaction. */
	snprintf(text, sizeof text,
		"ACK %.*s\r\n"
		"Via: %s\r\n"
		"Max-Forwards: 70\r\n"
		"From: %s\r\n"
		"To: %s\r\n"
		"Call-ID: %s\r\n"
		"CSeq: %u ACK\r\n"
		"Content-Length: 0\r\n\r\n",
		(int)strcspn(d->invite + 7, "\r"), d->invite + 7,
		msg_header_value(d->invite, "Via", 0),
		msg_header_value(d->invite, "From", 0),
		msg_header_value(d->p->rx, "To", 0), d->call_id,
		d->invite_cseq);
	sp_send(d->p, &d->to, text);
}

/* The INVITE's own branch and To. */
void dl_cancel(struct dialog *d)
{
	dl_cancel_with(d, "");
}

void dl_cancel_with(struct dialog *d, const char *extra)
{
	static char text[CW_TEXT];

	snprintf(text, sizeof text,
		"CANCEL %.*s\r\n"
		"Via: %s\r\n"
		"Max-Forwards: 70\r\n"
		"From: %s\r\n"
		"To: %s\r\n"
		"Call-ID: %s\r\n"
		"CSeq: %u CANCEL\r\n"
		"%sContent-Length: 0\r\n\r\n",
		(int)strcspn(d->invite + 7, "\r"), d->invite + 7,
		msg_header_value(d->invite, "Via", 0),
		msg_header_value(d->invite, "From", 0),
		msg_header_value(d->invite, "To", 0), d->call_id,
		d->invite_cseq, extra);
	sp_send(d->p, &d->to, text);
}

void dl_from_invite(
	struct dialog *d, struct sip_peer *p, const struct addr *from)
{
	static unsigned n;

	memset(d, 0, sizeof *d);
	d->p = p;
	d->to = *from;
	d->cseq = 500;
	snprintf(d->invite, sizeof d->invite, "%s", p->rx);
	snprintf(d->first, sizeof d->first, "%s", p->rx);
	snprintf(d->call_id, sizeof d->call_id, "%s",
		msg_header_value(p->rx, "Call-ID", 0));
	snprintf(d->remote, sizeof d->remote, "%s",
		msg_header_value(p->rx, "From", 0));
	snprintf(d->local, sizeof d->local, "%s;tag=u%u",
		msg_header_value(p->rx, "To", 0), ++n);
	uri_of(msg_header_value(p->rx, "Contact", 0), d->target);
}

void dl_answer(struct dialog *d, const char *request, unsigned status,
	const char *extra, const char *sdp)
{
	static char text[CW_TEXT];
	bool own = extra == NULL || strstr(extra, "Contact:") == NULL;
	bool allow = extra == NULL || strstr(extra, "Allow:") == NULL;

	snprintf(text, sizeof text,
		"SIP/2.0 %u Peer says so\r\n"
		"Via: %s\r\n"
		"From: %s\r\n"
		"To: %s\r\n"
		"Call-ID: %s\r\n"
		"CSeq: %s\r\n"
		"%s%s%s%s%s",
		status, msg_header_value(request, "Via", 0),
		msg_header_value(request, "From", 0),
		status == 100 ? msg_header_value(request, "To", 0) : d->local,
		msg_header_value(request, "Call-ID", 0),
		msg_header_value(request, "CSeq", 0),
		own ? "Contact: <sip:me@" : "", own ? d->p->text : "",
		own ? ">\r\n" : "",
		allow ? "Allow: INVITE, ACK, CANCEL, BYE, OPTIONS, UPDATE, "
			"PRACK, INFO\r\n"
		      : "",
		extra != NULL ? extra : "");
	add_body(text, sizeof text, "application/sdp", sdp);
	sp_send(d->p, &d->to, text);
}

void cw_challenged(
	struct cw *w, struct dialog *d, const char *method, const char *lines)
{
	char first[32], line[96];
	int cseq = atoi(msg_header_value(d->p->rx, "CSeq", 0));
	static unsigned n;

	cw_trunk_auth_forget(w);
	dl_answer(d, d->p->rx, 407, lines, NULL);
	if (strcmp(method, "INVITE") == 0)
		sp_expect(d->p, "ACK ");
	cw_trunk_auth_wait(w);
	ck_assert_str_eq(w->trunk_auth->method, method);
	snprintf(line, sizeof line, "Digest username=\"t\", response=\"r%u\"",
		++n);
	cw_trunk_auth_answer(w, line);
	snprintf(first, sizeof first, "%s ", method);
	sp_expect(d->p, first);
	ck_assert_str_eq(
		msg_header_value(d->p->rx, "Proxy-Authorization", 0), line);
	ck_assert_str_eq(
		msg_header_value(d->p->rx, "Proxy-Authorization", 1), "");
	ck_assert_int_eq(atoi(msg_header_value(d->p->rx, "CSeq", 0)), cseq + 1);
}

const char *sdp_text(const struct sip_peer *p, unsigned port,
	const char *formats, const char *direction)
{
	static char texts[4][1024];
	static unsigned turn, version;
	char *text = texts[turn++ % 4];
	char ip[ADDR_TEXT_SIZE];

	addr_format_ip(&p->local, ip);
	snprintf(text, 1024,
		"v=0\r\n"
		"o=secretname 1 %u IN IP4 %s\r\n"
		"s=secretsession\r\n"
		"c=IN IP4 %s\r\n"
		"t=0 0\r\n"
		"m=audio %u RTP/AVP %s\r\n"
		"a=rtpmap:0 PCMU/8000\r\n"
		"a=rtpmap:8 PCMA/8000\r\n"
		"a=rtpmap:101 telephone-event/8000\r\n"
		"a=fmtp:101 0-15\r\n"
		"a=ptime:20\r\n"
		"a=%s\r\n",
		++version, ip, ip, port, formats,
		direction != NULL ? direction : "sendrecv");
	return text;
}

unsigned sdp_port_of(const char *body)
{
	const char *m = strstr(body, "m=audio ");

	return m != NULL ? (unsigned)strtoul(m + 8, NULL, 10) : 0;
}

/* ------------------------------------------------------------------ scene */

void sc_begin(struct scene *s, const struct cw_config *config)
{
	static const struct cw_config plain;

	memset(s, 0, sizeof *s);
	s->w = cw_new(config != NULL ? config : &plain);
	sp_open(s->w, &s->itsp, 2);
	sp_open(s->w, &s->phone, 5);
	cw_bind(s->w, 1, &s->phone);
}

void sc_end(struct scene *s)
{
	cw_wait_empty(s->w);
	sp_silent(&s->itsp);
	sp_silent(&s->phone);
	sp_close(&s->itsp);
	sp_close(&s->phone);
	cw_free(&s->w);
}

void sc_ring(struct scene *s, const char *sdp)
{
	dl_invite(&s->caller, &s->itsp, &s->w->itsp, "+491761234567",
		"+4930100", NULL, sdp);
	sp_expect(&s->phone, "INVITE sip:line@");
	dl_from_invite(&s->called, &s->phone, &s->w->phones);
	dl_answer(&s->called, s->called.invite, 180, NULL, NULL);
	sp_expect(&s->itsp, "SIP/2.0 180");
}

void sc_answer(struct scene *s)
{
	dl_answer(&s->called, s->called.invite, 200, NULL,
		sdp_text(&s->phone, 7000, "8 101", NULL));
	sp_expect(&s->phone, "ACK ");
	sp_expect(&s->itsp, "SIP/2.0 200");
	dl_answered(&s->caller);
	dl_ack(&s->caller, NULL);
	cw_turn(s->w);
	ck_assert_int_eq(cw_call(s->w)->state, CALL_UP);
}

void sc_up(struct scene *s)
{
	sc_ring(s, sdp_text(&s->itsp, 6000, "8 0 101", NULL));
	sc_answer(s);
}

void sc_bye_from_caller(struct scene *s)
{
	dl_request(&s->caller, "BYE", NULL, NULL, NULL);
	sp_expect(&s->itsp, "SIP/2.0 200");
	sp_expect(&s->phone, "BYE ");
	dl_answer(&s->called, s->phone.rx, 200, NULL, NULL);
}

void sc_cdr(
	const Gh__Cdr *cdr, enum reason why, unsigned status, const char *side)
{
	enum reason got = REASON_NONE;

	ck_assert_int_eq(reason_from_number(cdr->reason, &got), 0);
	ck_assert_str_eq(reason_text(got), reason_text(why));
	ck_assert_uint_eq(cdr->sip_status, status);
	ck_assert_str_eq(cdr->hangup_side, side);
	ck_assert(ident_is_call(cdr->call));
	ck_assert_uint_ne(cdr->wall_start_us, 0);
	ck_assert_uint_ge(cdr->wall_end_us, cdr->wall_start_us);
	ck_assert_ptr_nonnull(cdr->caller_leg);
}
