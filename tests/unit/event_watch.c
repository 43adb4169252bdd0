/* SPDX-License-Identifier: Apache-2.0 */
/* See event_watch.h. */
#include "config.h"

#include "tests/unit/event_watch.h"

#include <check.h>
#include <stdio.h>
#include <string.h>

const char watch_waiting[] = "Messages-Waiting: yes\r\n"
			     "Message-Account: sip:*97@pbx.planted.example\r\n"
			     "Voice-Message: 2/8 (0/1)\r\n";
const char watch_lamp[] =
	"<?xml version=\"1.0\"?>\n"
	"<dialog-info xmlns=\"urn:ietf:params:xml:ns:dialog-info\" "
	"version=\"7\""
	" state=\"full\" entity=\"sip:701@pbx.planted.example\">\n"
	"<dialog id=\"planted-id\" call-id=\"planted-call@pbx\" "
	"local-tag=\"lt\""
	" remote-tag=\"rt\" direction=\"recipient\">\n"
	"<state>early</state>\n"
	"<remote><identity display=\"Bob\">sip:702@pbx.planted.example"
	"</identity><target uri=\"sip:702@10.20.30.40:5066\"/></remote>\n"
	"</dialog></dialog-info>\n";

void watch_begin_with(struct watch *t, const struct cw_config *config)
{
	memset(t, 0, sizeof *t);
	t->w = cw_new(config);
	sp_open(t->w, &t->phone, 5);
	sp_open(t->w, &t->pbx, 4);
	cw_bind(t->w, 1, &t->phone);
}

void watch_begin(struct watch *t)
{
	static const struct cw_config plain;

	watch_begin_with(t, &plain);
}

bool watch_is_over(void *ctx)
{
	struct watch *t = ctx;

	return events_count(t->w->sbc.events) == 0;
}

void watch_end(struct watch *t)
{
	cw_until(t->w, watch_is_over, t, "the end of all subscriptions");
	cw_turn(t->w);
	/* Only of calls. */
	ck_assert_uint_eq(t->w->n_cdrs, t->w->n_taken);
	sp_close(&t->phone);
	sp_close(&t->pbx);
	cw_free(&t->w);
}

void watch_send(struct watch *t, const char *method, const char *user,
	const char *extra, const char *type, const char *body)
{
	static unsigned n;
	struct dialog *d = &t->near;
	bool again = strstr(extra, "Authorization:") != NULL;

	if (!again) {
		memset(d, 0, sizeof *d);
		d->p = &t->phone;
		d->to = t->w->phones;
		d->cseq = 100;
		snprintf(
			d->call_id, sizeof d->call_id, "planted-phone-%u", ++n);
		snprintf(d->local, sizeof d->local,
			"<sip:100@example.com>;tag=planted-tag%u", n);
		snprintf(d->remote, sizeof d->remote, "<sip:%s@example.com>",
			user);
		snprintf(d->target, sizeof d->target, "sip:%s@example.com",
			user);
	}
	dl_request(d, method, extra, type, body);
}

void watch_prove(struct watch *t, const char *method, const char *user,
	const char *extra, const char *type, const char *body)
{
	char lines[4096];
	const char *value, *nonce;

	watch_send(t, method, user, extra, type, body);
	sp_expect(&t->phone, "SIP/2.0 401");
	value = msg_header_value(t->phone.rx, "WWW-Authenticate", 0);
	nonce = strstr(value, "nonce=\"");
	ck_assert_ptr_nonnull(nonce);
	nonce += 7;
	snprintf(lines, sizeof lines,
		"Authorization: Digest username=\"%s\", realm=\"example.com\", "
		"nonce=\"%.*s\", uri=\"sip:%s@example.com\", "
		"response=\"good\", algorithm=MD5, cnonce=\"c\", qop=auth, "
		"nc=00000001\r\n%s",
		t->login != NULL ? t->login : "u1", (int)strcspn(nonce, "\""),
		nonce, user, extra);
	watch_send(t, method, user, lines, type, body);
}

const char *watch_lines(struct watch *t, const char *event, int expires)
{
	static char lines[512];

	t->event = event;
	snprintf(lines, sizeof lines, "Event: %s\r\nExpires: %d\r\n", event,
		expires);
	return lines;
}

void watch_ask(
	struct watch *t, const char *user, const char *event, int expires)
{
	char first[64];

	watch_prove(t, "SUBSCRIBE", user, watch_lines(t, event, expires), NULL,
		NULL);
	snprintf(first, sizeof first, "SUBSCRIBE sip:%s@", user);
	sp_expect(&t->pbx, first);
	dl_from_invite(&t->far, &t->pbx, &t->w->pbx);
	t->far.cseq = 0;
}

void watch_accept(struct watch *t, int expires)
{
	char line[64];

	snprintf(line, sizeof line, "Expires: %d\r\n", expires);
	dl_answer(&t->far, t->pbx.rx, 200, line, NULL);
	sp_expect(&t->phone, "SIP/2.0 200");
	dl_answered(&t->near);
}

void watch_notify(struct watch *t, const char *event, const char *state,
	const char *type, const char *body)
{
	char lines[256];

	snprintf(lines, sizeof lines, "Event: %s\r\nSubscription-State: %s\r\n",
		event, state);
	dl_request(&t->far, "NOTIFY", lines, type, body);
}

void watch_tell(struct watch *t, const char *event, const char *state,
	const char *type, const char *body)
{
	watch_notify(t, event, state, type, body);
	sp_expect(&t->phone, "NOTIFY ");
	ck_assert(!msg_has(t->phone.rx, "planted.example"));
	ck_assert(!msg_has(t->phone.rx, "10.20.30.40"));
	ck_assert(!msg_has(t->phone.rx, cw_at(4, 0)));
	ck_assert_str_eq(
		msg_header_value(t->phone.rx, "Call-ID", 0), t->near.call_id);
	dl_answer(&t->near, t->phone.rx, 200, NULL, NULL);
	sp_expect(&t->pbx, "SIP/2.0 200");
}

void watch_up(struct watch *t, const char *user, const char *event)
{
	watch_ask(t, user, event, 3600);
	watch_accept(t, 3600);
	if (strcmp(event, "dialog") == 0)
		watch_tell(t, event, "active;expires=3600", INFO, watch_lamp);
	else
		watch_tell(t, event, "active;expires=3600", MWI, watch_waiting);
}

void watch_over(struct watch *t)
{
	watch_tell(t, t->event, "terminated;reason=noresource", NULL, NULL);
	watch_end(t);
}
