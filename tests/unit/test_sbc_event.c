/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Subscriptions between raw peers: how one begins and is kept up, also over a
 * kill; notices without a subscription. How one is refused or ends is in
 * test_sbc_event_ends.c, bodies in test_event_body.c, real phones in
 * tests/scenario/events.py.
 */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "tests/unit/event_watch.h"
#include "tests/unit/suite.h"

/* ------------------------------------------------------------- the usual way
 */

START_TEST(own_mailbox)
{
	struct watch t;
	const char *rx;

	watch_begin(&t);
	/* The account's name is not told: it asks for its extension. */
	watch_prove(&t, "SUBSCRIBE", "u1",
		watch_lines(&t, "message-summary", 600), NULL, NULL);
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
	watch_accept(&t, 300);
	ck_assert_str_eq(msg_header_value(t.phone.rx, "Expires", 0), "300");
	watch_tell(&t, "message-summary", "active;expires=9999", MWI,
		watch_waiting);
	ck_assert(msg_has(msg_body(t.phone.rx),
		"Message-Account: sip:*97@example.com\r\n"));
	ck_assert(msg_has(msg_body(t.phone.rx), "Voice-Message: 2/8 (0/1)"));
	ck_assert_str_eq(
		msg_header_value(t.phone.rx, "Event", 0), "message-summary");
	ck_assert_ptr_nonnull(
		strstr(msg_header_value(t.phone.rx, "Subscription-State", 0),
			"active;expires=2"));
	watch_over(&t);
}
END_TEST

START_TEST(lamp_with_an_id)
{
	struct watch t;
	char body[4096];

	watch_begin(&t);
	watch_prove(&t, "SUBSCRIBE", "701",
		watch_lines(&t, "dialog;id=4711", 3600), NULL, NULL);
	sp_expect(&t.pbx, "SUBSCRIBE sip:701@");
	/* It is the phone's: our dialog has one subscription. */
	ck_assert_str_eq(msg_header_value(t.pbx.rx, "Event", 0), "dialog");
	dl_from_invite(&t.far, &t.pbx, &t.w->pbx);
	t.far.cseq = 0;
	watch_accept(&t, 3600);
	watch_tell(&t, "dialog", "active", INFO, watch_lamp);
	ck_assert_str_eq(
		msg_header_value(t.phone.rx, "Event", 0), "dialog;id=4711");
	snprintf(body, sizeof body, "%s", msg_body(t.phone.rx));
	ck_assert(msg_has(body, "entity=\"sip:701@example.com\""));
	ck_assert(msg_has(body, ">sip:702@example.com</identity>"));
	ck_assert(msg_has(body, "version=\"7\""));
	ck_assert(!msg_has(body, "planted"));
	/* The same in, the same out. */
	watch_tell(&t, "dialog", "active", INFO, watch_lamp);
	ck_assert_str_eq(body, msg_body(t.phone.rx));
	t.event = "dialog";
	watch_over(&t);
}
END_TEST

/* Refreshed, looked at, ended by the phone. */
START_TEST(refresh_and_end)
{
	struct watch t;

	watch_begin(&t);
	watch_up(&t, "701", "dialog");
	dl_request(&t.near, "SUBSCRIBE", watch_lines(&t, "dialog", 1800), NULL,
		NULL);
	sp_expect(&t.pbx, "SUBSCRIBE ");
	ck_assert_str_eq(msg_header_value(t.pbx.rx, "Expires", 0), "1800");
	ck_assert_str_eq(
		msg_header_value(t.pbx.rx, "Call-ID", 0), t.far.call_id);
	ck_assert_str_ne(msg_tag(t.pbx.rx, "To"), "");
	dl_answer(&t.far, t.pbx.rx, 200, "Expires: 1800\r\n", NULL);
	sp_expect(&t.phone, "SIP/2.0 200");
	ck_assert_str_eq(msg_header_value(t.phone.rx, "Expires", 0), "1800");
	watch_tell(&t, "dialog", "active;expires=1800", INFO, watch_lamp);

	dl_request(
		&t.near, "SUBSCRIBE", watch_lines(&t, "dialog", 0), NULL, NULL);
	sp_expect(&t.pbx, "SUBSCRIBE ");
	ck_assert_str_eq(msg_header_value(t.pbx.rx, "Expires", 0), "0");
	dl_answer(&t.far, t.pbx.rx, 200, "Expires: 0\r\n", NULL);
	sp_expect(&t.phone, "SIP/2.0 200");
	watch_tell(&t, "dialog", "terminated;reason=timeout", INFO, watch_lamp);
	ck_assert_str_eq(msg_header_value(t.phone.rx, "Subscription-State", 0),
		"terminated;reason=timeout");
	cw_until(t.w, watch_is_over, &t, "the end");
	/* Nobody knows it any more. */
	dl_request(&t.near, "SUBSCRIBE", watch_lines(&t, "dialog", 1800), NULL,
		NULL);
	sp_expect(&t.phone, "SIP/2.0 481");
	watch_notify(&t, "dialog", "active", INFO, watch_lamp);
	sp_expect(&t.pbx, "SIP/2.0 481");
	watch_end(&t);
}
END_TEST

/* The last state overtakes the answer to the phone's last SUBSCRIBE. */
START_TEST(end_overtakes_the_answer)
{
	static char subscribe[CW_TEXT], told[CW_TEXT];
	struct watch t;

	watch_begin(&t);
	for (unsigned late = 0; late < 2; late++) {
		watch_up(&t, "701", "dialog");
		dl_request(&t.near, "SUBSCRIBE", watch_lines(&t, "dialog", 0),
			NULL, NULL);
		sp_expect(&t.pbx, "SUBSCRIBE ");
		snprintf(subscribe, sizeof subscribe, "%s", t.pbx.rx);
		watch_notify(
			&t, "dialog", "terminated;reason=timeout", NULL, NULL);
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
		cw_until(t.w, watch_is_over, &t, "the end");
	}
	watch_end(&t);
}
END_TEST

/* Expires: 0 at once: one state, and nothing stays (RFC 6665 4.4.3). */
START_TEST(fetch)
{
	struct watch t;

	watch_begin(&t);
	watch_ask(&t, "701", "dialog", 0);
	watch_accept(&t, 0);
	watch_over(&t);
}
END_TEST

/* The first NOTIFY overtakes the answer, and those of another fork. */
START_TEST(notify_first)
{
	struct watch t;
	struct dialog fork;
	char subscribe[CW_TEXT];

	watch_begin(&t);
	watch_ask(&t, "701", "dialog", 3600);
	snprintf(subscribe, sizeof subscribe, "%s", t.pbx.rx);
	watch_notify(&t, "dialog", "active", INFO, watch_lamp);
	cw_turn(t.w);
	sp_silent(&t.phone);
	/* Another one that rings there too. */
	fork = t.far;
	snprintf(fork.local, sizeof fork.local, "%s",
		"<sip:701@example.com>;tag=fork2");
	dl_request(&fork, "NOTIFY",
		"Event: dialog\r\nSubscription-State: active\r\n", INFO,
		watch_lamp);
	sp_expect(&t.pbx, "SIP/2.0 481");
	dl_answer(&t.far, subscribe, 202, "Expires: 3600\r\n", NULL);
	sp_expect(&t.phone, "SIP/2.0 200");
	dl_answered(&t.near);
	sp_expect(&t.phone, "NOTIFY ");
	dl_answer(&t.near, t.phone.rx, 200, NULL, NULL);
	sp_expect(&t.pbx, "SIP/2.0 200");
	watch_over(&t);
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

	watch_begin(&t);
	watch_up(&t, "701", "dialog");
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
	watch_tell(&t, "dialog", "active", INFO, watch_lamp);
	ck_assert_str_eq(msg_body(t.phone.rx), before);
	dl_request(&t.near, "SUBSCRIBE", watch_lines(&t, "dialog", 600), NULL,
		NULL);
	sp_expect(&t.pbx, "SUBSCRIBE ");
	dl_answer(&t.far, t.pbx.rx, 200, "Expires: 600\r\n", NULL);
	sp_expect(&t.phone, "SIP/2.0 200");
	watch_over(&t);
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

	watch_begin(&t);
	sp_open(t.w, &second, 6);
	cw_bind(t.w, 1, &second);
	pbx_request(&t, "NOTIFY", "100", UNASKED, MWI, watch_waiting);
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
	pbx_request(&t, "NOTIFY", "200", UNASKED, MWI, watch_waiting);
	sp_expect(&t.pbx, "SIP/2.0 480");
	pbx_request(&t, "NOTIFY", "999", UNASKED, MWI, watch_waiting);
	sp_expect(&t.pbx, "SIP/2.0 404");
	pbx_request(&t, "NOTIFY", "100", UNASKED, MWI, "hello");
	sp_expect(&t.pbx, "SIP/2.0 400");
	pbx_request(&t, "NOTIFY", "100", UNASKED, NULL, NULL);
	sp_expect(&t.pbx, "SIP/2.0 400");
	pbx_request(&t, "NOTIFY", "100",
		"Event: dialog\r\nSubscription-State: active\r\n", INFO,
		watch_lamp);
	sp_expect(&t.pbx, "SIP/2.0 489");
	/* An ITSP whose realm lists nothing tells nobody anything. */
	sp_open(t.w, &itsp, 2);
	pbx_request(&t, "NOTIFY", "100", UNASKED, MWI, watch_waiting);
	sp_expect(&t.phone, "NOTIFY ");
	t.near.p = &t.phone;
	dl_answer(&t.near, t.phone.rx, 200, NULL, NULL);
	sp_expect(&t.pbx, "SIP/2.0 200");
	t.far.to = t.w->itsp;
	dl_request_from(&t.far, &itsp, "NOTIFY", UNASKED, MWI, watch_waiting);
	sp_expect(&itsp, "SIP/2.0 489");
	sp_silent(&t.phone);
	sp_close(&itsp);
	sp_close(&second);
	watch_end(&t);
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
	suite_add(s, "after a kill", restored);
	suite_add(s, "unasked", unasked);
	return s;
}

int main(void)
{
	return suite_run(suite());
}
