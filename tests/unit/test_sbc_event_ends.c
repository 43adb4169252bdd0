/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Subscriptions between raw peers: every way in which one is refused, and in
 * which it ends from either side or by itself.
 */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "tests/unit/event_watch.h"
#include "tests/unit/suite.h"

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

	watch_begin(&t);
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		watch_send(&t, "SUBSCRIBE", "701", rows[i].lines, NULL, NULL);
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
	watch_send(&t, "NOTIFY", "701",
		"Event: message-summary\r\nSubscription-State: active\r\n",
		NULL, NULL);
	sp_expect(&t.phone, "SIP/2.0 489");
	watch_send(&t, "PUBLISH", "701", "Event: presence\r\n", NULL, NULL);
	sp_expect(&t.phone, "SIP/2.0 405");
	ck_assert(
		msg_has(msg_header_value(t.phone.rx, "Allow", 0), "SUBSCRIBE"));
	sp_silent(&t.pbx);
	watch_end(&t);
}
END_TEST

/* A wrong password, and somebody else's address. */
START_TEST(only_who_proves_it)
{
	struct watch t;
	struct sip_peer stranger;

	watch_begin(&t);
	watch_send(&t, "SUBSCRIBE", "701", watch_lines(&t, "dialog", 600), NULL,
		NULL);
	sp_expect(&t.phone, "SIP/2.0 401");
	sp_open(t.w, &stranger, 77);
	t.near.p = &stranger;
	dl_request(&t.near, "SUBSCRIBE", watch_lines(&t, "dialog", 600), NULL,
		NULL);
	sp_silent(&stranger);
	sp_silent(&t.pbx);
	sp_close(&stranger);
	watch_end(&t);
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

	watch_begin(&t);
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		watch_ask(&t, "701", "dialog", 600);
		dl_answer(&t.far, t.pbx.rx, rows[i].far, rows[i].extra, NULL);
		sp_expect(&t.phone, rows[i].near);
		ck_assert(!msg_has(t.phone.rx, "Peer says"));
		ck_assert(!msg_has(t.phone.rx, "Contact: <sip:planted"));
		if (rows[i].far == 423)
			ck_assert_str_eq(
				msg_header_value(t.phone.rx, "Min-Expires", 0),
				"7000");
		cw_until(t.w, watch_is_over, &t, "the end");
	}
	watch_end(&t);
}
END_TEST

/* It never answers: the phone hears before it gives up by itself. */
START_TEST(silent_pbx)
{
	struct watch t;

	watch_begin(&t);
	watch_ask(&t, "701", "dialog", 600);
	sp_expect(&t.phone, "SIP/2.0 480");
	ck_assert_str_ne(msg_header_value(t.phone.rx, "Retry-After", 0), "");
	watch_end(&t);
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
		watch_begin_with(&t, &twice);
		sp_open(t.w, &second, 7);
		watch_ask(&t, "701", "dialog", 600);
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
		watch_accept(&t, 600);
		watch_tell(
			&t, "dialog", "active;expires=600", INFO, watch_lamp);
		second = t.pbx;
		watch_tell(&t, "dialog", "terminated;reason=noresource", NULL,
			NULL);
		sp_close(&away);
		watch_end(&t);
	}
	/* Nobody is there at all. */
	watch_begin_with(&t, &twice);
	watch_ask(&t, "701", "dialog", 600);
	sp_expect(&t.phone, "SIP/2.0 480");
	watch_end(&t);
}
END_TEST

/* It answers, but never says a state: timer N. */
START_TEST(no_first_state)
{
	struct watch t;

	watch_begin(&t);
	watch_ask(&t, "701", "dialog", 600);
	watch_accept(&t, 600);
	sp_expect(&t.phone, "NOTIFY ");
	ck_assert_str_eq(msg_header_value(t.phone.rx, "Subscription-State", 0),
		"terminated;reason=probation;retry-after=60");
	watch_end(&t);
}
END_TEST

START_TEST(too_many)
{
	struct watch t;
	char user[8];

	watch_begin(&t);
	for (unsigned i = 0; i < 5; i++) {
		snprintf(user, sizeof user, "70%u", i);
		watch_ask(&t, user, "dialog", 600);
		watch_accept(&t, 600);
	}
	watch_prove(&t, "SUBSCRIBE", "709", watch_lines(&t, "dialog", 600),
		NULL, NULL);
	sp_expect(&t.phone, "SIP/2.0 403");
	ck_assert_uint_eq(reason_counted(REASON_EVENT_TOO_MANY), 1);
	/* Another account has room, until all have too many together. */
	t.login = "u2";
	watch_ask(&t, "701", "dialog", 600);
	watch_accept(&t, 600);
	watch_prove(&t, "SUBSCRIBE", "701", watch_lines(&t, "dialog", 600),
		NULL, NULL);
	sp_expect(&t.phone, "SIP/2.0 503");
	ck_assert_str_ne(msg_header_value(t.phone.rx, "Retry-After", 0), "");
	events_end_all(t.w->sbc.events);
	for (unsigned i = 0; i < 6; i++) {
		sp_expect(&t.phone, "NOTIFY ");
		ck_assert(msg_has(t.phone.rx, "reason=probation"));
	}
	watch_end(&t);
}
END_TEST

/* A phone that was switched off and on forgets: its old ones make room. */
START_TEST(forgetful_phone)
{
	static struct dialog fars[12];
	struct watch t;

	watch_begin(&t);
	for (unsigned i = 0; i < 12; i++) {
		watch_prove(&t, "SUBSCRIBE", "701",
			watch_lines(&t, "dialog", 600), NULL, NULL);
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
		watch_accept(&t, 600);
		watch_tell(&t, "dialog", "active", INFO, watch_lamp);
		fars[i] = t.far;
	}
	ck_assert_uint_ge(reason_counted(REASON_EVENT_REPLACED), 7);
	ck_assert_uint_eq(reason_counted(REASON_EVENT_TOO_MANY), 0);
	events_end_all(t.w->sbc.events);
	watch_end(&t);
}
END_TEST

/* ---------------------------------------------------------------------- ends
 */

/* The phone has forgotten: the PBX hears 481. */
START_TEST(phone_says_481)
{
	struct watch t;

	watch_begin(&t);
	watch_up(&t, "701", "dialog");
	watch_notify(&t, "dialog", "active", INFO, watch_lamp);
	sp_expect(&t.phone, "NOTIFY ");
	dl_answer(&t.near, t.phone.rx, 481, NULL, NULL);
	sp_expect(&t.pbx, "SIP/2.0 481");
	watch_end(&t);
}
END_TEST

/* The phone is dead. */
START_TEST(phone_is_silent)
{
	struct watch t;

	watch_begin(&t);
	watch_up(&t, "701", "dialog");
	watch_notify(&t, "dialog", "active", INFO, watch_lamp);
	sp_expect(&t.pbx, "SIP/2.0 481");
	ck_assert_uint_eq(reason_counted(REASON_EVENT_PHONE_GONE), 1);
	watch_end(&t);
}
END_TEST

/* The PBX was restarted: the phone's refresh hears 481. */
START_TEST(pbx_says_481)
{
	struct watch t;

	watch_begin(&t);
	watch_up(&t, "701", "dialog");
	dl_request(&t.near, "SUBSCRIBE", watch_lines(&t, "dialog", 600), NULL,
		NULL);
	sp_expect(&t.pbx, "SUBSCRIBE ");
	dl_answer(&t.far, t.pbx.rx, 481, NULL, NULL);
	sp_expect(&t.phone, "SIP/2.0 481");
	watch_end(&t);
}
END_TEST

/* A refresh that fails takes nothing away; the next one works. */
START_TEST(refresh_fails)
{
	static char subscribe[CW_TEXT];
	struct watch t;

	watch_begin(&t);
	watch_ask(&t, "701", "dialog", 600);
	watch_accept(&t, 600);
	watch_tell(&t, "dialog", "active;expires=600", INFO, watch_lamp);
	dl_request(&t.near, "SUBSCRIBE", watch_lines(&t, "dialog", 600), NULL,
		NULL);
	sp_expect(&t.pbx, "SUBSCRIBE ");
	/* Only one at a time. */
	dl_request(&t.near, "SUBSCRIBE", watch_lines(&t, "dialog", 600), NULL,
		NULL);
	sp_expect(&t.phone, "SIP/2.0 500");
	dl_answer(&t.far, t.pbx.rx, 503, NULL, NULL);
	sp_expect(&t.phone, "SIP/2.0 500");
	watch_tell(&t, "dialog", "active", INFO, watch_lamp);
	/* No answer in time, and then one all the same. */
	dl_request(&t.near, "SUBSCRIBE", watch_lines(&t, "dialog", 1200), NULL,
		NULL);
	sp_expect(&t.pbx, "SUBSCRIBE ");
	snprintf(subscribe, sizeof subscribe, "%s", t.pbx.rx);
	sp_expect(&t.phone, "SIP/2.0 480");
	dl_answer(&t.far, subscribe, 200, "Expires: 1200\r\n", NULL);
	watch_tell(&t, "dialog", "active;expires=1200", INFO, watch_lamp);
	ck_assert_ptr_nonnull(
		strstr(msg_header_value(t.phone.rx, "Subscription-State", 0),
			"active;expires=119"));
	/* Another package, or another id, in the same dialog. */
	dl_request(&t.near, "SUBSCRIBE",
		watch_lines(&t, "message-summary", 600), NULL, NULL);
	sp_expect(&t.phone, "SIP/2.0 403");
	dl_request(
		&t.near, "SUBSCRIBE", watch_lines(&t, "dialog", 3), NULL, NULL);
	sp_expect(&t.phone, "SIP/2.0 423");
	dl_request(&t.near, "SUBSCRIBE", watch_lines(&t, "dialog", 600), NULL,
		NULL);
	sp_expect(&t.pbx, "SUBSCRIBE ");
	dl_answer(&t.far, t.pbx.rx, 200, "Expires: 600\r\n", NULL);
	sp_expect(&t.phone, "SIP/2.0 200");
	watch_over(&t);
}
END_TEST

/* Nobody refreshes it, and the PBX does not end it. */
START_TEST(runs_out)
{
	struct watch t;

	watch_begin(&t);
	watch_ask(&t, "701", "dialog", 600);
	watch_accept(&t, 600);
	/* The PBX cuts the time short. */
	watch_tell(&t, "dialog", "active;expires=1", INFO, watch_lamp);
	sp_expect(&t.phone, "NOTIFY ");
	ck_assert_str_eq(msg_header_value(t.phone.rx, "Subscription-State", 0),
		"terminated;reason=timeout");
	sp_expect(&t.pbx, "SUBSCRIBE ");
	ck_assert_str_eq(msg_header_value(t.pbx.rx, "Expires", 0), "0");
	watch_end(&t);
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
		{"dialog", "active", MWI, watch_waiting, "SIP/2.0 415"},
		{"dialog", "running", INFO, watch_lamp, "SIP/2.0 400"},
		{"message-summary", "active", MWI, watch_waiting,
			"SIP/2.0 489"},
		{"dialog.x", "active", INFO, watch_lamp, "SIP/2.0 489"},
	};
	struct watch t;

	watch_begin(&t);
	watch_up(&t, "701", "dialog");
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		watch_notify(&t, rows[i].event, rows[i].state, rows[i].type,
			rows[i].body);
		sp_expect(&t.pbx, rows[i].status);
		sp_silent(&t.phone);
	}
	dl_request(&t.far, "NOTIFY", "Event: dialog\r\n", INFO, watch_lamp);
	sp_expect(&t.pbx, "SIP/2.0 400");
	dl_request(&t.far, "MESSAGE", NULL, "text/plain", "hi");
	sp_expect(&t.pbx, "SIP/2.0 405");
	dl_request(&t.near, "NOTIFY",
		"Event: dialog\r\nSubscription-State: active\r\n", INFO,
		watch_lamp);
	sp_expect(&t.phone, "SIP/2.0 405");
	watch_tell(&t, "dialog", "active", INFO, watch_lamp);
	watch_over(&t);
}
END_TEST

/* Rule 1: from another source a phone proves who it is, a PBX may not come. */
START_TEST(other_sources)
{
	struct watch t;
	struct sip_peer other;
	const char *value, *nonce;
	char lines[1024];

	watch_begin(&t);
	watch_up(&t, "701", "dialog");
	sp_open(t.w, &other, 66);
	dl_request_from(&t.near, &other, "SUBSCRIBE",
		watch_lines(&t, "dialog", 0), NULL, NULL);
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
	watch_notify(&t, "dialog", "active", INFO, watch_lamp);
	sp_expect(&other, "NOTIFY ");
	t.near.p = &other;
	dl_answer(&t.near, other.rx, 200, NULL, NULL);
	sp_expect(&t.pbx, "SIP/2.0 200");
	sp_silent(&t.phone);
	/* From its registration it may speak without. */
	t.near.p = &t.phone;
	dl_request(&t.near, "SUBSCRIBE", watch_lines(&t, "dialog", 600), NULL,
		NULL);
	sp_expect(&t.pbx, "SUBSCRIBE ");
	dl_answer(&t.far, t.pbx.rx, 200, "Expires: 600\r\n", NULL);
	sp_expect(&t.phone, "SIP/2.0 200");
	dl_request_from(&t.far, &other, "NOTIFY",
		"Event: dialog\r\nSubscription-State: terminated\r\n", INFO,
		watch_lamp);
	sp_silent(&other); /* nobody answers a stranger there */
	sp_silent(&t.phone);
	watch_tell(&t, "dialog", "active", INFO, watch_lamp);
	sp_close(&other);
	watch_over(&t);
}
END_TEST

/* The PBX wants credentials, which authd has. */
START_TEST(challenged_by_the_pbx)
{
	struct watch t;

	watch_begin(&t);
	/* The extension is registered at the PBX: it answers as that. */
	t.w->surrogate = 3;
	watch_ask(&t, "701", "dialog", 600);
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
	watch_accept(&t, 600);
	watch_tell(&t, "dialog", "active", INFO, watch_lamp);
	/* Refused twice: the phone hears no challenge. */
	dl_request(&t.near, "SUBSCRIBE", watch_lines(&t, "dialog", 600), NULL,
		NULL);
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
	watch_over(&t);
}
END_TEST

/* A lamp that shows a call of ours: it is named as its phone knows it. */
START_TEST(lamp_of_our_own_call)
{
	static char body[2048];
	struct watch t;
	struct sip_peer other;
	struct dialog caller, called;

	watch_begin(&t);
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
	watch_up(&t, "702", "dialog");
	snprintf(body, sizeof body,
		"<dialog-info xmlns=\"urn:ietf:params:xml:ns:dialog-info\" "
		"version=\"1\" state=\"full\" entity=\"sip:200@x\">"
		"<dialog id=\"1\" call-id=\"%s\" local-tag=\"%s\" "
		"remote-tag=\"%s\"><state>confirmed</state></dialog>"
		"</dialog-info>",
		caller.call_id, strstr(caller.local, ";tag=") + 5,
		strstr(caller.remote, ";tag=") + 5);
	watch_tell(&t, "dialog", "active", INFO, body);
	snprintf(body, sizeof body, "call-id=\"%s\" local-tag=\"%s\"",
		called.call_id, strstr(called.local, ";tag=") + 5);
	ck_assert_msg(msg_has(t.phone.rx, body), "%s in\n%s", body, t.phone.rx);
	dl_request(&caller, "BYE", NULL, NULL, NULL);
	sp_expect(&other, "BYE ");
	dl_answer(&called, other.rx, 200, NULL, NULL);
	sp_expect(&t.pbx, "SIP/2.0 200");
	watch_tell(&t, "dialog", "terminated", NULL, NULL);
	cw_cdr(t.w);
	sp_close(&other);
	watch_end(&t);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("sbc_event_ends");

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
	return s;
}

int main(void)
{
	return suite_run(suite());
}
