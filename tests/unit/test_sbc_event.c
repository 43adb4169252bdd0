/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Subscriptions between raw peers: a phone of extension 100 and a PBX. Every
 * way in which one begins, is kept up, and ends from either side; notices
 * without a subscription. Bodies are in test_event_body.c, restarts and real
 * phones in tests/scenario/events.py.
 */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "sbc/event_inner.h"
#include "tests/unit/call_world.h"
#include "tests/unit/suite.h"

#define MWI  "application/simple-message-summary"
#define INFO "application/dialog-info+xml"

static const char waiting[] = "Messages-Waiting: yes\r\n"
			      "Message-Account: sip:*97@pbx.planted.example\r\n"
			      "Voice-Message: 2/8 (0/1)\r\n";
static const char lamp[] =
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

/* A phone and a PBX, and a subscription between them. */
struct watch {
	struct cw *w;
	const char *login; /* NULL = account 1's */
	struct sip_peer phone, pbx;
	struct dialog near; /* the phone's end */
	struct dialog far;  /* the PBX's */
	const char *event;
};

static void begin_with(struct watch *t, const struct cw_config *config)
{
	memset(t, 0, sizeof *t);
	t->w = cw_new(config);
	sp_open(t->w, &t->phone, 5);
	sp_open(t->w, &t->pbx, 4);
	cw_bind(t->w, 1, &t->phone);
}

static void begin(struct watch *t)
{
	static const struct cw_config plain;

	begin_with(t, &plain);
}

static bool no_sub(void *ctx)
{
	struct watch *t = ctx;

	return events_count(t->w->sbc.events) == 0;
}

static void end(struct watch *t)
{
	cw_until(t->w, no_sub, t, "the end of all subscriptions");
	cw_turn(t->w);
	/* Only of calls. */
	ck_assert_uint_eq(t->w->n_cdrs, t->w->n_taken);
	sp_close(&t->phone);
	sp_close(&t->pbx);
	cw_free(&t->w);
}

/* A request of the phone outside of dialogs. */
static void send_request(struct watch *t, const char *method, const char *user,
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

/* With the digest of account 1, after the challenge. */
static void send_proved(struct watch *t, const char *method, const char *user,
	const char *extra, const char *type, const char *body)
{
	char lines[4096];
	const char *value, *nonce;

	send_request(t, method, user, extra, type, body);
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
	send_request(t, method, user, lines, type, body);
}

static const char *lines_of(struct watch *t, const char *event, int expires)
{
	static char lines[512];

	t->event = event;
	snprintf(lines, sizeof lines, "Event: %s\r\nExpires: %d\r\n", event,
		expires);
	return lines;
}

/* The phone subscribes; it is at the PBX afterwards. */
static void ask(
	struct watch *t, const char *user, const char *event, int expires)
{
	char first[64];

	send_proved(
		t, "SUBSCRIBE", user, lines_of(t, event, expires), NULL, NULL);
	snprintf(first, sizeof first, "SUBSCRIBE sip:%s@", user);
	sp_expect(&t->pbx, first);
	dl_from_invite(&t->far, &t->pbx, &t->w->pbx);
	t->far.cseq = 0;
}

/* The PBX takes it. */
static void accept_it(struct watch *t, int expires)
{
	char line[64];

	snprintf(line, sizeof line, "Expires: %d\r\n", expires);
	dl_answer(&t->far, t->pbx.rx, 200, line, NULL);
	sp_expect(&t->phone, "SIP/2.0 200");
	dl_answered(&t->near);
}

static void notify(struct watch *t, const char *event, const char *state,
	const char *type, const char *body)
{
	char lines[256];

	snprintf(lines, sizeof lines, "Event: %s\r\nSubscription-State: %s\r\n",
		event, state);
	dl_request(&t->far, "NOTIFY", lines, type, body);
}

/* A NOTIFY that reaches the phone, and its answer the PBX. */
static void tell(struct watch *t, const char *event, const char *state,
	const char *type, const char *body)
{
	notify(t, event, state, type, body);
	sp_expect(&t->phone, "NOTIFY ");
	ck_assert(!msg_has(t->phone.rx, "planted.example"));
	ck_assert(!msg_has(t->phone.rx, "10.20.30.40"));
	ck_assert(!msg_has(t->phone.rx, cw_at(4, 0)));
	ck_assert_str_eq(
		msg_header_value(t->phone.rx, "Call-ID", 0), t->near.call_id);
	dl_answer(&t->near, t->phone.rx, 200, NULL, NULL);
	sp_expect(&t->pbx, "SIP/2.0 200");
}

/* In force, with its first state. */
static void up(struct watch *t, const char *user, const char *event)
{
	ask(t, user, event, 3600);
	accept_it(t, 3600);
	if (strcmp(event, "dialog") == 0)
		tell(t, event, "active;expires=3600", INFO, lamp);
	else
		tell(t, event, "active;expires=3600", MWI, waiting);
}

static void over(struct watch *t)
{
	tell(t, t->event, "terminated;reason=noresource", NULL, NULL);
	end(t);
}

/* ------------------------------------------------------------- the usual way
 */

START_TEST(own_mailbox)
{
	struct watch t;
	const char *rx;

	begin(&t);
	/* The account's name is not told: it asks for its extension. */
	send_proved(&t, "SUBSCRIBE", "u1", lines_of(&t, "message-summary", 600),
		NULL, NULL);
	rx = sp_expect(&t.pbx, "SUBSCRIBE sip:100@");
	ck_assert(!msg_has(rx, "u1"));
	ck_assert(!msg_has(rx, "planted"));
	ck_assert(!msg_has(rx, cw_at(5, 0)));
	ck_assert(msg_has(msg_header_value(rx, "From", 0), "sip:100@"));
	ck_assert_str_eq(msg_header_value(rx, "Event", 0), "message-summary");
	ck_assert_str_eq(msg_header_value(rx, "Expires", 0), "600");
	ck_assert_str_eq(msg_header_value(rx, "Accept", 0), MWI);
	ck_assert_str_eq(msg_header_value(rx, "Max-Forwards", 0), "69");
	dl_from_invite(&t.far, &t.pbx, &t.w->pbx);
	t.far.cseq = 0;
	accept_it(&t, 300);
	ck_assert_str_eq(msg_header_value(t.phone.rx, "Expires", 0), "300");
	tell(&t, "message-summary", "active;expires=9999", MWI, waiting);
	ck_assert(msg_has(msg_body(t.phone.rx),
		"Message-Account: sip:*97@example.com\r\n"));
	ck_assert(msg_has(msg_body(t.phone.rx), "Voice-Message: 2/8 (0/1)"));
	ck_assert_str_eq(
		msg_header_value(t.phone.rx, "Event", 0), "message-summary");
	ck_assert_ptr_nonnull(
		strstr(msg_header_value(t.phone.rx, "Subscription-State", 0),
			"active;expires=2"));
	over(&t);
}
END_TEST

START_TEST(lamp_with_an_id)
{
	struct watch t;
	char body[4096];

	begin(&t);
	send_proved(&t, "SUBSCRIBE", "701",
		lines_of(&t, "dialog;id=4711", 3600), NULL, NULL);
	sp_expect(&t.pbx, "SUBSCRIBE sip:701@");
	/* It is the phone's: our dialog has one subscription. */
	ck_assert_str_eq(msg_header_value(t.pbx.rx, "Event", 0), "dialog");
	dl_from_invite(&t.far, &t.pbx, &t.w->pbx);
	t.far.cseq = 0;
	accept_it(&t, 3600);
	tell(&t, "dialog", "active", INFO, lamp);
	ck_assert_str_eq(
		msg_header_value(t.phone.rx, "Event", 0), "dialog;id=4711");
	snprintf(body, sizeof body, "%s", msg_body(t.phone.rx));
	ck_assert(msg_has(body, "entity=\"sip:701@example.com\""));
	ck_assert(msg_has(body, ">sip:702@example.com</identity>"));
	ck_assert(msg_has(body, "version=\"7\""));
	ck_assert(!msg_has(body, "planted"));
	/* The same in, the same out. */
	tell(&t, "dialog", "active", INFO, lamp);
	ck_assert_str_eq(body, msg_body(t.phone.rx));
	t.event = "dialog";
	over(&t);
}
END_TEST

/* Refreshed, looked at, ended by the phone. */
START_TEST(refresh_and_end)
{
	struct watch t;

	begin(&t);
	up(&t, "701", "dialog");
	dl_request(
		&t.near, "SUBSCRIBE", lines_of(&t, "dialog", 1800), NULL, NULL);
	sp_expect(&t.pbx, "SUBSCRIBE ");
	ck_assert_str_eq(msg_header_value(t.pbx.rx, "Expires", 0), "1800");
	ck_assert_str_eq(
		msg_header_value(t.pbx.rx, "Call-ID", 0), t.far.call_id);
	ck_assert_str_ne(msg_tag(t.pbx.rx, "To"), "");
	dl_answer(&t.far, t.pbx.rx, 200, "Expires: 1800\r\n", NULL);
	sp_expect(&t.phone, "SIP/2.0 200");
	ck_assert_str_eq(msg_header_value(t.phone.rx, "Expires", 0), "1800");
	tell(&t, "dialog", "active;expires=1800", INFO, lamp);

	dl_request(&t.near, "SUBSCRIBE", lines_of(&t, "dialog", 0), NULL, NULL);
	sp_expect(&t.pbx, "SUBSCRIBE ");
	ck_assert_str_eq(msg_header_value(t.pbx.rx, "Expires", 0), "0");
	dl_answer(&t.far, t.pbx.rx, 200, "Expires: 0\r\n", NULL);
	sp_expect(&t.phone, "SIP/2.0 200");
	tell(&t, "dialog", "terminated;reason=timeout", INFO, lamp);
	ck_assert_str_eq(msg_header_value(t.phone.rx, "Subscription-State", 0),
		"terminated;reason=timeout");
	cw_until(t.w, no_sub, &t, "the end");
	/* Nobody knows it any more. */
	dl_request(
		&t.near, "SUBSCRIBE", lines_of(&t, "dialog", 1800), NULL, NULL);
	sp_expect(&t.phone, "SIP/2.0 481");
	notify(&t, "dialog", "active", INFO, lamp);
	sp_expect(&t.pbx, "SIP/2.0 481");
	end(&t);
}
END_TEST

/* The last state overtakes the answer to the phone's last SUBSCRIBE. */
START_TEST(end_overtakes_the_answer)
{
	static char subscribe[CW_TEXT], told[CW_TEXT];
	struct watch t;

	begin(&t);
	for (unsigned late = 0; late < 2; late++) {
		up(&t, "701", "dialog");
		dl_request(&t.near, "SUBSCRIBE", lines_of(&t, "dialog", 0),
			NULL, NULL);
		sp_expect(&t.pbx, "SUBSCRIBE ");
		snprintf(subscribe, sizeof subscribe, "%s", t.pbx.rx);
		notify(&t, "dialog", "terminated;reason=timeout", NULL, NULL);
		sp_expect(&t.phone, "NOTIFY ");
		if (late == 0) {
			dl_answer(&t.near, t.phone.rx, 200, NULL, NULL);
			sp_expect(&t.pbx, "SIP/2.0 200");
			dl_answer(
				&t.far, subscribe, 200, "Expires: 0\r\n", NULL);
			sp_expect(&t.phone, "SIP/2.0 200");
		} else {
			snprintf(told, sizeof told, "%s", t.phone.rx);
			dl_answer(&t.far, subscribe, 481, NULL, NULL);
			sp_expect(&t.phone, "SIP/2.0 481");
			dl_answer(&t.near, told, 200, NULL, NULL);
			sp_expect(&t.pbx, "SIP/2.0 200");
		}
		cw_until(t.w, no_sub, &t, "the end");
	}
	end(&t);
}
END_TEST

/* Expires: 0 at once: one state, and nothing stays (RFC 6665 4.4.3). */
START_TEST(fetch)
{
	struct watch t;

	begin(&t);
	ask(&t, "701", "dialog", 0);
	accept_it(&t, 0);
	over(&t);
}
END_TEST

/* The first NOTIFY overtakes the answer, and those of another fork. */
START_TEST(notify_first)
{
	struct watch t;
	struct dialog fork;
	char subscribe[CW_TEXT];

	begin(&t);
	ask(&t, "701", "dialog", 3600);
	snprintf(subscribe, sizeof subscribe, "%s", t.pbx.rx);
	notify(&t, "dialog", "active", INFO, lamp);
	cw_turn(t.w);
	sp_silent(&t.phone);
	/* Another one that rings there too. */
	fork = t.far;
	snprintf(fork.local, sizeof fork.local, "%s",
		"<sip:701@example.com>;tag=fork2");
	dl_request(&fork, "NOTIFY",
		"Event: dialog\r\nSubscription-State: active\r\n", INFO, lamp);
	sp_expect(&t.pbx, "SIP/2.0 481");
	dl_answer(&t.far, subscribe, 202, "Expires: 3600\r\n", NULL);
	sp_expect(&t.phone, "SIP/2.0 200");
	dl_answered(&t.near);
	sp_expect(&t.phone, "NOTIFY ");
	dl_answer(&t.near, t.phone.rx, 200, NULL, NULL);
	sp_expect(&t.pbx, "SIP/2.0 200");
	over(&t);
}
END_TEST

/* ------------------------------------------------------------------ refusals
 */

START_TEST(refused_at_once)
{
	static const struct {
		const char *lines, *status;
	} rows[] = {
		{"", "SIP/2.0 489"},
		{"Event: reg\r\n", "SIP/2.0 489"},
		{"Event: Dialog\r\n", "SIP/2.0 489"},
		{"Event: dialog.winfo\r\n", "SIP/2.0 489"},
		{"Event: dialog\r\nExpires: 9\r\n", "SIP/2.0 423"},
		{"Event: dialog;id=\"<\"\r\n", "SIP/2.0 400"},
	};
	struct watch t;

	begin(&t);
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		send_request(&t, "SUBSCRIBE", "701", rows[i].lines, NULL, NULL);
		sp_expect(&t.phone, rows[i].status);
		if (strstr(rows[i].status, "489") != NULL)
			ck_assert_str_eq(
				msg_header_value(t.phone.rx, "Allow-Events", 0),
				"message-summary, dialog, presence, "
				"check-sync");
		if (strstr(rows[i].status, "423") != NULL)
			ck_assert_str_eq(
				msg_header_value(t.phone.rx, "Min-Expires", 0),
				"10");
	}
	/* Others than phones do not subscribe; phones do not notify. */
	dl_from_invite(&t.far, &t.phone, &t.w->pbx);
	snprintf(t.far.local, sizeof t.far.local, "<sip:701@x>;tag=1");
	snprintf(t.far.remote, sizeof t.far.remote, "<sip:100@x>");
	snprintf(t.far.target, sizeof t.far.target, "sip:100@x");
	snprintf(t.far.call_id, sizeof t.far.call_id, "pbx-1");
	t.far.p = &t.pbx;
	dl_request(&t.far, "SUBSCRIBE", "Event: dialog\r\n", NULL, NULL);
	sp_expect(&t.pbx, "SIP/2.0 489");
	send_request(&t, "NOTIFY", "701",
		"Event: message-summary\r\nSubscription-State: active\r\n",
		NULL, NULL);
	sp_expect(&t.phone, "SIP/2.0 489");
	send_request(&t, "PUBLISH", "701", "Event: presence\r\n", NULL, NULL);
	sp_expect(&t.phone, "SIP/2.0 405");
	ck_assert(
		msg_has(msg_header_value(t.phone.rx, "Allow", 0), "SUBSCRIBE"));
	sp_silent(&t.pbx);
	end(&t);
}
END_TEST

/* A wrong password, and somebody else's address. */
START_TEST(only_who_proves_it)
{
	struct watch t;
	struct sip_peer stranger;

	begin(&t);
	send_request(&t, "SUBSCRIBE", "701", lines_of(&t, "dialog", 600), NULL,
		NULL);
	sp_expect(&t.phone, "SIP/2.0 401");
	sp_open(t.w, &stranger, 77);
	t.near.p = &stranger;
	dl_request(
		&t.near, "SUBSCRIBE", lines_of(&t, "dialog", 600), NULL, NULL);
	sp_silent(&stranger);
	sp_silent(&t.pbx);
	sp_close(&stranger);
	end(&t);
}
END_TEST

START_TEST(refused_by_the_pbx)
{
	static const struct {
		unsigned far;
		const char *extra, *near;
	} rows[] = {
		{404, NULL, "SIP/2.0 404"},
		{489, NULL, "SIP/2.0 489"},
		{401, NULL, "SIP/2.0 500"},
		{503, "Retry-After: 99\r\n", "SIP/2.0 500"},
		{423, "Min-Expires: 7000\r\n", "SIP/2.0 423"},
		{302, "Contact: <sip:planted@x>\r\n", "SIP/2.0 480"},
	};
	struct watch t;

	begin(&t);
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		ask(&t, "701", "dialog", 600);
		dl_answer(&t.far, t.pbx.rx, rows[i].far, rows[i].extra, NULL);
		sp_expect(&t.phone, rows[i].near);
		ck_assert(!msg_has(t.phone.rx, "Peer says"));
		ck_assert(!msg_has(t.phone.rx, "Contact: <sip:planted"));
		if (rows[i].far == 423)
			ck_assert_str_eq(
				msg_header_value(t.phone.rx, "Min-Expires", 0),
				"7000");
		cw_until(t.w, no_sub, &t, "the end");
	}
	end(&t);
}
END_TEST

/* It never answers: the phone hears before it gives up by itself. */
START_TEST(silent_pbx)
{
	struct watch t;

	begin(&t);
	ask(&t, "701", "dialog", 600);
	sp_expect(&t.phone, "SIP/2.0 480");
	ck_assert_str_ne(msg_header_value(t.phone.rx, "Retry-After", 0), "");
	end(&t);
}
END_TEST

/* Its first place says 503, or nothing: the next one is asked, and has the
 * subscription; what the first one says later is nobody's. */
START_TEST(another_place)
{
	static const struct cw_config twice = {.pbx_twice = true};
	static char first[CW_TEXT];
	struct sip_peer away, second;
	struct watch t;

	for (int silent = 0; silent < 2; silent++) {
		begin_with(&t, &twice);
		sp_open(t.w, &second, 7);
		ask(&t, "701", "dialog", 600);
		if (!silent)
			dl_answer(&t.far, t.pbx.rx, 503, NULL, NULL);
		snprintf(first, sizeof first, "%s", t.pbx.rx);
		sp_expect(&second, "SUBSCRIBE sip:701@");
		ck_assert_str_ne(msg_header_value(second.rx, "Call-ID", 0),
			msg_header_value(first, "Call-ID", 0));
		if (silent)
			dl_answer(&t.far, first, 200, "Expires: 600\r\n", NULL);
		cw_turn(t.w);
		/* From here on it is the PBX. */
		away = t.pbx;
		t.pbx = second;
		dl_from_invite(&t.far, &t.pbx, &t.w->pbx);
		t.far.cseq = 0;
		accept_it(&t, 600);
		tell(&t, "dialog", "active;expires=600", INFO, lamp);
		second = t.pbx;
		tell(&t, "dialog", "terminated;reason=noresource", NULL, NULL);
		sp_close(&away);
		end(&t);
	}
	/* Nobody is there at all. */
	begin_with(&t, &twice);
	ask(&t, "701", "dialog", 600);
	sp_expect(&t.phone, "SIP/2.0 480");
	end(&t);
}
END_TEST

/* It answers, but never says a state: timer N. */
START_TEST(no_first_state)
{
	struct watch t;

	begin(&t);
	ask(&t, "701", "dialog", 600);
	accept_it(&t, 600);
	sp_expect(&t.phone, "NOTIFY ");
	ck_assert_str_eq(msg_header_value(t.phone.rx, "Subscription-State", 0),
		"terminated;reason=probation;retry-after=60");
	end(&t);
}
END_TEST

START_TEST(too_many)
{
	struct watch t;
	char user[8];

	begin(&t);
	for (unsigned i = 0; i < 5; i++) {
		snprintf(user, sizeof user, "70%u", i);
		ask(&t, user, "dialog", 600);
		accept_it(&t, 600);
	}
	send_proved(&t, "SUBSCRIBE", "709", lines_of(&t, "dialog", 600), NULL,
		NULL);
	sp_expect(&t.phone, "SIP/2.0 403");
	ck_assert_uint_eq(reason_counted(REASON_EVENT_TOO_MANY), 1);
	/* Another account has room, until all have too many together. */
	t.login = "u2";
	ask(&t, "701", "dialog", 600);
	accept_it(&t, 600);
	send_proved(&t, "SUBSCRIBE", "701", lines_of(&t, "dialog", 600), NULL,
		NULL);
	sp_expect(&t.phone, "SIP/2.0 503");
	ck_assert_str_ne(msg_header_value(t.phone.rx, "Retry-After", 0), "");
	events_end_all(t.w->sbc.events);
	for (unsigned i = 0; i < 6; i++) {
		sp_expect(&t.phone, "NOTIFY ");
		ck_assert(msg_has(t.phone.rx, "reason=probation"));
	}
	end(&t);
}
END_TEST

/* A phone that was switched off and on forgets: its old ones make room. */
START_TEST(forgetful_phone)
{
	static struct dialog fars[12];
	struct watch t;

	begin(&t);
	for (unsigned i = 0; i < 12; i++) {
		send_proved(&t, "SUBSCRIBE", "701", lines_of(&t, "dialog", 600),
			NULL, NULL);
		if (i >= 3) {
			/* The oldest one is given up at the PBX. */
			sp_expect(&t.pbx, "SUBSCRIBE sip:me@");
			ck_assert_str_eq(
				msg_header_value(t.pbx.rx, "Expires", 0), "0");
			dl_answer(&fars[i - 3], t.pbx.rx, 200, "Expires: 0\r\n",
				NULL);
		}
		sp_expect(&t.pbx, "SUBSCRIBE sip:701@");
		dl_from_invite(&t.far, &t.pbx, &t.w->pbx);
		t.far.cseq = 0;
		accept_it(&t, 600);
		tell(&t, "dialog", "active", INFO, lamp);
		fars[i] = t.far;
	}
	ck_assert_uint_ge(reason_counted(REASON_EVENT_REPLACED), 7);
	ck_assert_uint_eq(reason_counted(REASON_EVENT_TOO_MANY), 0);
	events_end_all(t.w->sbc.events);
	end(&t);
}
END_TEST

/* ---------------------------------------------------------------------- ends
 */

/* The phone has forgotten: the PBX hears 481. */
START_TEST(phone_says_481)
{
	struct watch t;

	begin(&t);
	up(&t, "701", "dialog");
	notify(&t, "dialog", "active", INFO, lamp);
	sp_expect(&t.phone, "NOTIFY ");
	dl_answer(&t.near, t.phone.rx, 481, NULL, NULL);
	sp_expect(&t.pbx, "SIP/2.0 481");
	end(&t);
}
END_TEST

/* The phone is dead. */
START_TEST(phone_is_silent)
{
	struct watch t;

	begin(&t);
	up(&t, "701", "dialog");
	notify(&t, "dialog", "active", INFO, lamp);
	sp_expect(&t.pbx, "SIP/2.0 481");
	ck_assert_uint_eq(reason_counted(REASON_EVENT_PHONE_GONE), 1);
	end(&t);
}
END_TEST

/* The PBX was restarted: the phone's refresh hears 481. */
START_TEST(pbx_says_481)
{
	struct watch t;

	begin(&t);
	up(&t, "701", "dialog");
	dl_request(
		&t.near, "SUBSCRIBE", lines_of(&t, "dialog", 600), NULL, NULL);
	sp_expect(&t.pbx, "SUBSCRIBE ");
	dl_answer(&t.far, t.pbx.rx, 481, NULL, NULL);
	sp_expect(&t.phone, "SIP/2.0 481");
	end(&t);
}
END_TEST

/* A refresh that fails takes nothing away; the next one works. */
START_TEST(refresh_fails)
{
	static char subscribe[CW_TEXT];
	struct watch t;

	begin(&t);
	ask(&t, "701", "dialog", 600);
	accept_it(&t, 600);
	tell(&t, "dialog", "active;expires=600", INFO, lamp);
	dl_request(
		&t.near, "SUBSCRIBE", lines_of(&t, "dialog", 600), NULL, NULL);
	sp_expect(&t.pbx, "SUBSCRIBE ");
	/* Only one at a time. */
	dl_request(
		&t.near, "SUBSCRIBE", lines_of(&t, "dialog", 600), NULL, NULL);
	sp_expect(&t.phone, "SIP/2.0 500");
	dl_answer(&t.far, t.pbx.rx, 503, NULL, NULL);
	sp_expect(&t.phone, "SIP/2.0 500");
	tell(&t, "dialog", "active", INFO, lamp);
	/* No answer in time, and then one all the same. */
	dl_request(
		&t.near, "SUBSCRIBE", lines_of(&t, "dialog", 1200), NULL, NULL);
	sp_expect(&t.pbx, "SUBSCRIBE ");
	snprintf(subscribe, sizeof subscribe, "%s", t.pbx.rx);
	sp_expect(&t.phone, "SIP/2.0 480");
	dl_answer(&t.far, subscribe, 200, "Expires: 1200\r\n", NULL);
	tell(&t, "dialog", "active;expires=1200", INFO, lamp);
	ck_assert_ptr_nonnull(
		strstr(msg_header_value(t.phone.rx, "Subscription-State", 0),
			"active;expires=119"));
	/* Another package, or another id, in the same dialog. */
	dl_request(&t.near, "SUBSCRIBE", lines_of(&t, "message-summary", 600),
		NULL, NULL);
	sp_expect(&t.phone, "SIP/2.0 403");
	dl_request(&t.near, "SUBSCRIBE", lines_of(&t, "dialog", 3), NULL, NULL);
	sp_expect(&t.phone, "SIP/2.0 423");
	dl_request(
		&t.near, "SUBSCRIBE", lines_of(&t, "dialog", 600), NULL, NULL);
	sp_expect(&t.pbx, "SUBSCRIBE ");
	dl_answer(&t.far, t.pbx.rx, 200, "Expires: 600\r\n", NULL);
	sp_expect(&t.phone, "SIP/2.0 200");
	over(&t);
}
END_TEST

/* Nobody refreshes it, and the PBX does not end it. */
START_TEST(runs_out)
{
	struct watch t;

	begin(&t);
	ask(&t, "701", "dialog", 600);
	accept_it(&t, 600);
	/* The PBX cuts the time short. */
	tell(&t, "dialog", "active;expires=1", INFO, lamp);
	sp_expect(&t.phone, "NOTIFY ");
	ck_assert_str_eq(msg_header_value(t.phone.rx, "Subscription-State", 0),
		"terminated;reason=timeout");
	sp_expect(&t.pbx, "SUBSCRIBE ");
	ck_assert_str_eq(msg_header_value(t.pbx.rx, "Expires", 0), "0");
	end(&t);
}
END_TEST

/* A broken state is refused, and the next one passes. */
START_TEST(broken_states)
{
	static const struct {
		const char *event, *state, *type, *body, *status;
	} rows[] = {
		{"dialog", "active", INFO, "<dialog-info", "SIP/2.0 400"},
		{"dialog", "active", INFO,
			"<!DOCTYPE x [<!ENTITY a \"b\">]><x/>", "SIP/2.0 400"},
		{"dialog", "active", MWI, waiting, "SIP/2.0 415"},
		{"dialog", "running", INFO, lamp, "SIP/2.0 400"},
		{"message-summary", "active", MWI, waiting, "SIP/2.0 489"},
		{"dialog.x", "active", INFO, lamp, "SIP/2.0 489"},
	};
	struct watch t;

	begin(&t);
	up(&t, "701", "dialog");
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		notify(&t, rows[i].event, rows[i].state, rows[i].type,
			rows[i].body);
		sp_expect(&t.pbx, rows[i].status);
		sp_silent(&t.phone);
	}
	dl_request(&t.far, "NOTIFY", "Event: dialog\r\n", INFO, lamp);
	sp_expect(&t.pbx, "SIP/2.0 400");
	dl_request(&t.far, "MESSAGE", NULL, "text/plain", "hi");
	sp_expect(&t.pbx, "SIP/2.0 405");
	dl_request(&t.near, "NOTIFY",
		"Event: dialog\r\nSubscription-State: active\r\n", INFO, lamp);
	sp_expect(&t.phone, "SIP/2.0 405");
	tell(&t, "dialog", "active", INFO, lamp);
	over(&t);
}
END_TEST

/* Rule 1: from another source a phone proves who it is, a PBX may not come. */
START_TEST(other_sources)
{
	struct watch t;
	struct sip_peer other;
	const char *value, *nonce;
	char lines[1024];

	begin(&t);
	up(&t, "701", "dialog");
	sp_open(t.w, &other, 66);
	dl_request_from(&t.near, &other, "SUBSCRIBE", lines_of(&t, "dialog", 0),
		NULL, NULL);
	sp_expect(&other, "SIP/2.0 401");
	sp_silent(&t.pbx);
	/* With its digest it moves there, and is told there. */
	value = msg_header_value(other.rx, "WWW-Authenticate", 0);
	nonce = strstr(value, "nonce=\"") + 7;
	snprintf(lines, sizeof lines,
		"Authorization: Digest username=\"u1\", "
		"realm=\"example.com\", nonce=\"%.*s\", uri=\"%s\", "
		"response=\"good\", algorithm=MD5, cnonce=\"c\", qop=auth, "
		"nc=00000001\r\nEvent: dialog\r\nExpires: 600\r\n",
		(int)strcspn(nonce, "\""), nonce, t.near.target);
	dl_request_from(&t.near, &other, "SUBSCRIBE", lines, NULL, NULL);
	sp_expect(&t.pbx, "SUBSCRIBE ");
	dl_answer(&t.far, t.pbx.rx, 200, "Expires: 600\r\n", NULL);
	sp_expect(&other, "SIP/2.0 200");
	notify(&t, "dialog", "active", INFO, lamp);
	sp_expect(&other, "NOTIFY ");
	t.near.p = &other;
	dl_answer(&t.near, other.rx, 200, NULL, NULL);
	sp_expect(&t.pbx, "SIP/2.0 200");
	sp_silent(&t.phone);
	/* From its registration it may speak without. */
	t.near.p = &t.phone;
	dl_request(
		&t.near, "SUBSCRIBE", lines_of(&t, "dialog", 600), NULL, NULL);
	sp_expect(&t.pbx, "SUBSCRIBE ");
	dl_answer(&t.far, t.pbx.rx, 200, "Expires: 600\r\n", NULL);
	sp_expect(&t.phone, "SIP/2.0 200");
	dl_request_from(&t.far, &other, "NOTIFY",
		"Event: dialog\r\nSubscription-State: terminated\r\n", INFO,
		lamp);
	sp_silent(&other); /* nobody answers a stranger there */
	sp_silent(&t.phone);
	tell(&t, "dialog", "active", INFO, lamp);
	sp_close(&other);
	over(&t);
}
END_TEST

/* The PBX wants credentials, which authd has. */
START_TEST(challenged_by_the_pbx)
{
	struct watch t;

	begin(&t);
	/* The extension is registered at the PBX: it answers as that. */
	t.w->surrogate = 3;
	ask(&t, "701", "dialog", 600);
	dl_answer(&t.far, t.pbx.rx, 401,
		"WWW-Authenticate: Digest realm=\"pbx\", nonce=\"n\"\r\n",
		NULL);
	while (t.w->trunk_auth == NULL)
		cw_step(t.w);
	ck_assert_str_eq(t.w->trunk_auth->method, "SUBSCRIBE");
	ck_assert_uint_eq(t.w->trunk_auth->surrogate_account, 1);
	cw_trunk_auth_answer(t.w, "Digest username=\"sbc\"");
	sp_expect(&t.pbx, "SUBSCRIBE sip:701@");
	ck_assert_str_eq(msg_header_value(t.pbx.rx, "Authorization", 0),
		"Digest username=\"sbc\"");
	ck_assert_str_eq(msg_header_value(t.pbx.rx, "Event", 0), "dialog");
	dl_from_invite(&t.far, &t.pbx, &t.w->pbx);
	t.far.cseq = 0;
	accept_it(&t, 600);
	tell(&t, "dialog", "active", INFO, lamp);
	/* Refused twice: the phone hears no challenge. */
	dl_request(
		&t.near, "SUBSCRIBE", lines_of(&t, "dialog", 600), NULL, NULL);
	for (unsigned i = 0; i < 2; i++) {
		sp_expect(&t.pbx, "SUBSCRIBE ");
		dl_answer(&t.far, t.pbx.rx, 407,
			"Proxy-Authenticate: Digest realm=\"pbx\", "
			"nonce=\"n\"\r\n",
			NULL);
		gh__trunk_auth_request__free_unpacked(t.w->trunk_auth, NULL);
		t.w->trunk_auth = NULL;
		while (i == 0 && t.w->trunk_auth == NULL)
			cw_step(t.w);
		if (i == 0)
			cw_trunk_auth_answer(t.w, "Digest username=\"sbc\"");
		else
			break;
	}
	sp_expect(&t.phone, "SIP/2.0 500");
	over(&t);
}
END_TEST

/* A lamp that shows a call of ours: it is named as its phone knows it. */
START_TEST(lamp_of_our_own_call)
{
	static char body[2048];
	struct watch t;
	struct sip_peer other;
	struct dialog caller, called;

	begin(&t);
	sp_open(t.w, &other, 6);
	cw_bind(t.w, 2, &other);
	dl_invite(&caller, &t.pbx, &t.w->pbx, "701", "200", NULL,
		sdp_text(&t.pbx, 6000, "8", NULL));
	sp_expect(&other, "INVITE ");
	dl_from_invite(&called, &other, &t.w->phones);
	dl_answer(&called, other.rx, 200, NULL,
		sdp_text(&other, 7000, "8", NULL));
	sp_expect(&other, "ACK ");
	sp_expect(&t.pbx, "SIP/2.0 200");
	dl_answered(&caller);
	dl_ack(&caller, NULL);
	up(&t, "702", "dialog");
	snprintf(body, sizeof body,
		"<dialog-info xmlns=\"urn:ietf:params:xml:ns:dialog-info\" "
		"version=\"1\" state=\"full\" entity=\"sip:200@x\">"
		"<dialog id=\"1\" call-id=\"%s\" local-tag=\"%s\" "
		"remote-tag=\"%s\"><state>confirmed</state></dialog>"
		"</dialog-info>",
		caller.call_id, strstr(caller.local, ";tag=") + 5,
		strstr(caller.remote, ";tag=") + 5);
	tell(&t, "dialog", "active", INFO, body);
	snprintf(body, sizeof body, "call-id=\"%s\" local-tag=\"%s\"",
		called.call_id, strstr(called.local, ";tag=") + 5);
	ck_assert_msg(msg_has(t.phone.rx, body), "%s in\n%s", body, t.phone.rx);
	dl_request(&caller, "BYE", NULL, NULL, NULL);
	sp_expect(&other, "BYE ");
	dl_answer(&called, other.rx, 200, NULL, NULL);
	sp_expect(&t.pbx, "SIP/2.0 200");
	tell(&t, "dialog", "terminated", NULL, NULL);
	cw_cdr(t.w);
	sp_close(&other);
	end(&t);
}
END_TEST

/* ------------------------------------------------------------- after a kill */

/* A packed record, and what it is changed to. */
static Gh__SavedSubscription *record_of(struct watch *t)
{
	static uint8_t bytes[16384];
	Gh__SavedSubscription record, *copy;
	struct scratch scratch;
	size_t len;

	scratch_init(&scratch);
	sub_to_record(TAILQ_FIRST(&t->w->sbc.events->all), &scratch, &record);
	len = gh__saved_subscription__get_packed_size(&record);
	ck_assert_uint_lt(len, sizeof bytes);
	gh__saved_subscription__pack(&record, bytes);
	scratch_done(&scratch);
	copy = gh__saved_subscription__unpack(NULL, len, bytes);
	ck_assert_ptr_nonnull(copy);
	return copy;
}

START_TEST(restored)
{
	static const struct save_slot none;
	static char nothing[] = "", other[] = "reg", long_id[] = "0123456789";
	struct watch t;
	Gh__SavedSubscription *r;
	Gh__SavedLeg *leg;
	char before[4096];
	uint32_t trunk;
	char *kept;

	begin(&t);
	up(&t, "701", "dialog");
	snprintf(before, sizeof before, "%s", msg_body(t.phone.rx));
	r = record_of(&t);
	events_free(&t.w->sbc.events);
	ck_assert_int_eq(events_new(&t.w->sbc, &t.w->sbc.events), 0);
	/* What can be none is refused, and leaves nothing behind. */
#define REFUSED(field, value)                                                  \
	do {                                                                   \
		kept = r->field;                                               \
		r->field = (value);                                            \
		ck_assert_int_ne(                                              \
			events_restore(t.w->sbc.events, r, &none), 0);         \
		r->field = kept;                                               \
	} while (0)
	REFUSED(package, other);
	REFUSED(id, long_id);
	REFUSED(resource, nothing);
	REFUSED(phone->call_id, nothing);
	REFUSED(phone->target, nothing);
	REFUSED(phone->listen, nothing);
	REFUSED(pbx->peer, nothing);
#undef REFUSED
	trunk = r->trunk;
	r->trunk = 99;
	ck_assert_int_eq(
		events_restore(t.w->sbc.events, r, &none), ERR_NOT_FOUND);
	r->trunk = trunk;
	leg = r->pbx;
	r->pbx = NULL;
	ck_assert_int_eq(
		events_restore(t.w->sbc.events, r, &none), ERR_INVALID);
	r->pbx = leg;
	r->ids_key.len--;
	ck_assert_int_eq(
		events_restore(t.w->sbc.events, r, &none), ERR_INVALID);
	r->ids_key.len++;
	ck_assert_uint_eq(events_count(t.w->sbc.events), 0);
	/* And this one goes on: both ways, with the same names. */
	ck_assert_int_eq(events_restore(t.w->sbc.events, r, &none), 0);
	gh__saved_subscription__free_unpacked(r, NULL);
	tell(&t, "dialog", "active", INFO, lamp);
	ck_assert_str_eq(msg_body(t.phone.rx), before);
	dl_request(
		&t.near, "SUBSCRIBE", lines_of(&t, "dialog", 600), NULL, NULL);
	sp_expect(&t.pbx, "SUBSCRIBE ");
	dl_answer(&t.far, t.pbx.rx, 200, "Expires: 600\r\n", NULL);
	sp_expect(&t.phone, "SIP/2.0 200");
	over(&t);
}
END_TEST

/* -------------------------------------------------- without a subscription */

static void pbx_request(struct watch *t, const char *method, const char *user,
	const char *extra, const char *type, const char *body)
{
	static unsigned n;
	struct dialog *d = &t->far;
	char at[ADDR_TEXT_SIZE];

	memset(d, 0, sizeof *d);
	d->p = &t->pbx;
	d->to = t->w->pbx;
	d->cseq = 1;
	addr_format(&t->w->pbx, at);
	snprintf(d->call_id, sizeof d->call_id, "planted-pbx-%u", ++n);
	snprintf(d->local, sizeof d->local,
		"<sip:asterisk@planted.example>;tag=p%u", n);
	snprintf(d->remote, sizeof d->remote, "<sip:%s@%s>", user, at);
	snprintf(d->target, sizeof d->target, "sip:%s@%s", user, at);
	dl_request(d, method, extra, type, body);
}

#define UNASKED "Event: message-summary\r\nSubscription-State: active\r\n"

START_TEST(unasked)
{
	struct watch t;
	struct sip_peer second, itsp;

	begin(&t);
	sp_open(t.w, &second, 6);
	cw_bind(t.w, 1, &second);
	pbx_request(&t, "NOTIFY", "100", UNASKED, MWI, waiting);
	sp_expect(&t.phone, "NOTIFY sip:line@");
	sp_expect(&second, "NOTIFY sip:line@");
	ck_assert(msg_has(msg_header_value(second.rx, "From", 0),
		"<sip:100@example.com>"));
	ck_assert(!msg_has(second.rx, "planted"));
	ck_assert(!msg_has(second.rx, "asterisk"));
	ck_assert(msg_has(msg_body(second.rx), "sip:*97@example.com"));
	ck_assert_str_eq(msg_header_value(second.rx, "Subscription-State", 0),
		"active;expires=0");
	t.near.p = &second;
	snprintf(t.near.local, sizeof t.near.local, "<sip:a@b>;tag=z");
	t.near.to = t.w->phones;
	/* One does not want it, the other does: that is good. */
	dl_answer(&t.near, second.rx, 489, NULL, NULL);
	cw_turn(t.w);
	t.near.p = &t.phone;
	dl_answer(&t.near, t.phone.rx, 200, NULL, NULL);
	sp_expect(&t.pbx, "SIP/2.0 200");
	/* Nobody wants it. */
	pbx_request(&t, "NOTIFY", "100", "Event: check-sync;reboot=true\r\n",
		NULL, NULL);
	sp_expect(&t.phone, "NOTIFY sip:line@");
	ck_assert_str_eq(msg_header_value(t.phone.rx, "Event", 0),
		"check-sync;reboot=true");
	sp_expect(&second, "NOTIFY sip:line@");
	t.near.p = &second;
	dl_answer(&t.near, second.rx, 489, NULL, NULL);
	t.near.p = &t.phone;
	dl_answer(&t.near, t.phone.rx, 405, NULL, NULL);
	sp_expect(&t.pbx, "SIP/2.0 500");
	/* Nobody there, nobody known, nothing to say, not for this. */
	pbx_request(&t, "NOTIFY", "200", UNASKED, MWI, waiting);
	sp_expect(&t.pbx, "SIP/2.0 480");
	pbx_request(&t, "NOTIFY", "999", UNASKED, MWI, waiting);
	sp_expect(&t.pbx, "SIP/2.0 404");
	pbx_request(&t, "NOTIFY", "100", UNASKED, MWI, "hello");
	sp_expect(&t.pbx, "SIP/2.0 400");
	pbx_request(&t, "NOTIFY", "100", UNASKED, NULL, NULL);
	sp_expect(&t.pbx, "SIP/2.0 400");
	pbx_request(&t, "NOTIFY", "100",
		"Event: dialog\r\nSubscription-State: active\r\n", INFO, lamp);
	sp_expect(&t.pbx, "SIP/2.0 489");
	/* An ITSP whose realm lists nothing tells nobody anything. */
	sp_open(t.w, &itsp, 2);
	pbx_request(&t, "NOTIFY", "100", UNASKED, MWI, waiting);
	sp_expect(&t.phone, "NOTIFY ");
	t.near.p = &t.phone;
	dl_answer(&t.near, t.phone.rx, 200, NULL, NULL);
	sp_expect(&t.pbx, "SIP/2.0 200");
	t.far.to = t.w->itsp;
	dl_request_from(&t.far, &itsp, "NOTIFY", UNASKED, MWI, waiting);
	sp_expect(&itsp, "SIP/2.0 489");
	sp_silent(&t.phone);
	sp_close(&itsp);
	sp_close(&second);
	end(&t);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("sbc_event");

	suite_add(s, "usual", own_mailbox);
	suite_add(s, "usual", lamp_with_an_id);
	suite_add(s, "usual", refresh_and_end);
	suite_add(s, "usual", end_overtakes_the_answer);
	suite_add(s, "usual", fetch);
	suite_add(s, "usual", notify_first);
	suite_add(s, "refused", refused_at_once);
	suite_add(s, "refused", only_who_proves_it);
	suite_add(s, "refused", refused_by_the_pbx);
	suite_add(s, "refused", silent_pbx);
	suite_add(s, "refused", another_place);
	suite_add(s, "refused", no_first_state);
	suite_add(s, "refused", too_many);
	suite_add(s, "refused", forgetful_phone);
	suite_add(s, "ends", phone_says_481);
	suite_add(s, "ends", phone_is_silent);
	suite_add(s, "ends", pbx_says_481);
	suite_add(s, "ends", refresh_fails);
	suite_add(s, "ends", runs_out);
	suite_add(s, "ends", broken_states);
	suite_add(s, "ends", other_sources);
	suite_add(s, "usual", challenged_by_the_pbx);
	suite_add(s, "usual", lamp_of_our_own_call);
	suite_add(s, "after a kill", restored);
	suite_add(s, "unasked", unasked);
	return s;
}

int main(void)
{
	return suite_run(suite());
}
