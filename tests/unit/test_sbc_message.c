/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Texts (MESSAGE) between raw peers: from phones, a PBX and an ITSP to each
 * other, inside calls, and every way in which one is refused.
 */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "sbc/page.h"
#include "tests/unit/call_steps.h"
#include "tests/unit/suite.h"

#define PLAIN "text/plain"
#define ALL   (1u << 1 | 1u << 2 | 1u << 3)

struct talk {
	struct cw *w;
	struct sip_peer phone, other, itsp, pbx; /* accounts 1, 2; trunks */
	struct dialog d;
	struct dialog far;
};

static void begin(struct talk *t, unsigned texts)
{
	const struct cw_config config = {.texts = texts};

	memset(t, 0, sizeof *t);
	t->w = cw_new(&config);
	sp_open(t->w, &t->itsp, 2);
	sp_open(t->w, &t->pbx, 4);
	sp_open(t->w, &t->phone, 5);
	sp_open(t->w, &t->other, 6);
	cw_bind(t->w, 1, &t->phone);
	cw_bind(t->w, 2, &t->other);
}

static bool no_page(void *ctx)
{
	struct talk *t = ctx;

	return pages_count(t->w->sbc.pages) == 0;
}

static void end(struct talk *t)
{
	cw_until(t->w, no_page, t, "the end of all texts");
	cw_turn(t->w);
	ck_assert_uint_eq(t->w->n_cdrs, 0);
	sp_close(&t->itsp);
	sp_close(&t->pbx);
	sp_close(&t->phone);
	sp_close(&t->other);
	cw_free(&t->w);
}

static void send_to(struct talk *t, struct sip_peer *p, const struct addr *to,
	const char *user, const char *extra, const char *type, const char *body)
{
	struct dialog *d = &t->d;
	static unsigned n;
	char at[ADDR_TEXT_SIZE];

	if (extra == NULL || strstr(extra, "Authorization") == NULL) {
		memset(d, 0, sizeof *d);
		d->p = p;
		d->to = *to;
		d->cseq = 7;
		addr_format(to, at);
		snprintf(d->call_id, sizeof d->call_id, "planted-%u", ++n);
		snprintf(d->local, sizeof d->local,
			"\"Eve\" <sip:+4989777@planted.example>;tag=planted%u",
			n);
		snprintf(d->remote, sizeof d->remote, "<sip:%s@%s>", user, at);
		snprintf(d->target, sizeof d->target, "sip:%s@%s", user, at);
	}
	dl_request(d, "MESSAGE", extra, type, body);
}

/* From account 1's phone, after its challenge. */
static void phone_says(
	struct talk *t, const char *user, const char *type, const char *body)
{
	send_to(t, &t->phone, &t->w->phones, user, NULL, type, body);
	sp_expect(&t->phone, "SIP/2.0 401");
	send_to(t, &t->phone, &t->w->phones, user,
		dl_credentials(&t->d, "u1", "good"), type, body);
}

/* It has come to a peer; nothing of the sender is in it. */
static void comes(struct talk *t, struct sip_peer *p, const struct addr *from,
	const char *first, const char *who, const char *body)
{
	sp_expect(p, first);
	ck_assert(!msg_has(p->rx, "planted"));
	ck_assert(!msg_has(p->rx, "Eve"));
	ck_assert_msg(
		msg_has(msg_header_value(p->rx, "From", 0), who), "%s", p->rx);
	ck_assert_str_eq(msg_header_value(p->rx, "Content-Type", 0),
		"text/plain;charset=UTF-8");
	ck_assert_str_eq(msg_header_value(p->rx, "Contact", 0), "");
	ck_assert_str_eq(msg_body(p->rx), body);
	dl_from_invite(&t->far, p, from);
}

START_TEST(each_way)
{
	struct talk t;

	begin(&t, ALL);
	phone_says(&t, "200", PLAIN, "to a phone\r\n");
	comes(&t, &t.other, &t.w->phones, "MESSAGE sip:line@", "sip:100@",
		"to a phone\r\n");
	ck_assert(msg_has(t.other.rx, "\"Alice\""));
	dl_answer(&t.far, t.other.rx, 200, NULL, NULL);
	sp_expect(&t.phone, "SIP/2.0 200");

	phone_says(&t, "701", PLAIN, "to the PBX \303\244");
	comes(&t, &t.pbx, &t.w->pbx, "MESSAGE sip:701@", "sip:100@",
		"to the PBX \303\244");
	dl_answer(&t.far, t.pbx.rx, 202, NULL, NULL);
	sp_expect(&t.phone, "SIP/2.0 202");

	phone_says(&t, "+498955", PLAIN, "to the world");
	comes(&t, &t.itsp, &t.w->itsp, "MESSAGE sip:+498955@", "sip:+4930100@",
		"to the world");
	ck_assert(!msg_has(t.itsp.rx, cw_at(5, 0)));
	dl_answer(&t.far, t.itsp.rx, 200, NULL, NULL);
	sp_expect(&t.phone, "SIP/2.0 200");

	send_to(&t, &t.pbx, &t.w->pbx, "100", NULL, "text/plain;charset=utf-8",
		"from the PBX");
	sp_expect(&t.phone, "MESSAGE sip:line@");
	ck_assert(msg_has(
		msg_header_value(t.phone.rx, "From", 0), "sip:+4989777@"));
	dl_from_invite(&t.far, &t.phone, &t.w->phones);
	dl_answer(&t.far, t.phone.rx, 200, NULL, NULL);
	sp_expect(&t.pbx, "SIP/2.0 200");

	send_to(&t, &t.itsp, &t.w->itsp, "+4930100", NULL, PLAIN,
		"from the world");
	sp_expect(&t.phone, "MESSAGE sip:line@");
	ck_assert(!msg_has(t.phone.rx, "planted"));
	ck_assert(!msg_has(t.phone.rx, cw_at(2, 0)));
	dl_from_invite(&t.far, &t.phone, &t.w->phones);
	dl_answer(&t.far, t.phone.rx, 200, NULL, NULL);
	sp_expect(&t.itsp, "SIP/2.0 200");
	ck_assert_uint_eq(reason_counted(REASON_MESSAGE_OK), 5);
	end(&t);
}
END_TEST

/* What the far side answers, as the sender hears it. */
START_TEST(answers)
{
	static const struct {
		unsigned far;
		const char *near;
	} rows[] = {
		{404, "SIP/2.0 404"},
		{486, "SIP/2.0 486"},
		{401, "SIP/2.0 500"},
		{503, "SIP/2.0 500"},
		{415, "SIP/2.0 488"},
		{603, "SIP/2.0 603"},
	};
	struct talk t;

	begin(&t, ALL);
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		phone_says(&t, "200", PLAIN, "hello");
		comes(&t, &t.other, &t.w->phones, "MESSAGE ", "sip:100@",
			"hello");
		dl_answer(&t.far, t.other.rx, rows[i].far, NULL, NULL);
		sp_expect(&t.phone, rows[i].near);
		ck_assert(!msg_has(t.phone.rx, "Peer says"));
	}
	/* Nobody answers. */
	phone_says(&t, "200", PLAIN, "hello");
	sp_expect(&t.other, "MESSAGE ");
	sp_expect(&t.phone, "SIP/2.0 480");
	/* Nobody is there, or known. */
	phone_says(&t, "999", PLAIN, "hello");
	sp_expect(&t.phone, "SIP/2.0 404");
	ck_assert_int_eq(bindings_remove_all(t.w->sbc.bindings, 2, "x", 9), 0);
	phone_says(&t, "200", PLAIN, "hello");
	sp_expect(&t.phone, "SIP/2.0 480");
	end(&t);
}
END_TEST

/* A trunk that says 503 or nothing: the next one gets the text, once; who has
 * given a sign is waited for. */
START_TEST(another_place)
{
	struct sip_peer backup;
	struct talk t;

	begin(&t, ALL);
	sp_open(t.w, &backup, 3);
	phone_says(&t, "+498955", PLAIN, "one");
	comes(&t, &t.itsp, &t.w->itsp, "MESSAGE ", "sip:+4930100@", "one");
	dl_answer(&t.far, t.itsp.rx, 503, NULL, NULL);
	comes(&t, &backup, &t.w->itsp, "MESSAGE ", "sip:+4930100@", "one");
	dl_answer(&t.far, backup.rx, 200, NULL, NULL);
	sp_expect(&t.phone, "SIP/2.0 200");
	/* 404 is an answer. */
	phone_says(&t, "+498955", PLAIN, "two");
	comes(&t, &t.itsp, &t.w->itsp, "MESSAGE ", "sip:+4930100@", "two");
	dl_answer(&t.far, t.itsp.rx, 404, NULL, NULL);
	sp_expect(&t.phone, "SIP/2.0 404");
	/* So is 100. */
	phone_says(&t, "+498955", PLAIN, "three");
	comes(&t, &t.itsp, &t.w->itsp, "MESSAGE ", "sip:+4930100@", "three");
	dl_answer(&t.far, t.itsp.rx, 100, NULL, NULL);
	sp_expect(&t.phone, "SIP/2.0 480");
	sp_silent(&backup);
	dl_answer(&t.far, t.itsp.rx, 200, NULL, NULL);
	phone_says(&t, "+498955", PLAIN, "four");
	comes(&t, &t.itsp, &t.w->itsp, "MESSAGE ", "sip:+4930100@", "four");
	comes(&t, &backup, &t.w->itsp, "MESSAGE ", "sip:+4930100@", "four");
	dl_answer(&t.far, backup.rx, 200, NULL, NULL);
	sp_expect(&t.phone, "SIP/2.0 200");
	/* Both are dead: their failure is what the sender hears. */
	phone_says(&t, "+498955", PLAIN, "five");
	comes(&t, &t.itsp, &t.w->itsp, "MESSAGE ", "sip:+4930100@", "five");
	dl_answer(&t.far, t.itsp.rx, 503, NULL, NULL);
	comes(&t, &backup, &t.w->itsp, "MESSAGE ", "sip:+4930100@", "five");
	dl_answer(&t.far, backup.rx, 503, NULL, NULL);
	sp_expect(&t.phone, "SIP/2.0 500");
	sp_close(&backup);
	end(&t);
}
END_TEST

START_TEST(refused)
{
	static char big[1400];
	static const struct {
		const char *type, *body, *status;
	} rows[] = {
		{PLAIN, NULL, "SIP/2.0 400"},
		{PLAIN, "\377\376", "SIP/2.0 400"},
		{PLAIN, "a\001b", "SIP/2.0 400"},
		{PLAIN, big, "SIP/2.0 413"},
		{"text/plain;charset=iso-8859-1", "a", "SIP/2.0 415"},
		{"text/html", "<b>", "SIP/2.0 415"},
		{"message/cpim", "a", "SIP/2.0 415"},
		{"application/im-iscomposing+xml", "<a/>", "SIP/2.0 415"},
	};
	struct talk t;
	struct sip_peer stranger;

	memset(big, 'x', sizeof big - 1);
	begin(&t, ALL);
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		send_to(&t, &t.phone, &t.w->phones, "200", NULL, rows[i].type,
			rows[i].body);
		sp_expect(&t.phone, rows[i].status);
		if (strstr(rows[i].status, "415") != NULL)
			ck_assert_str_eq(
				msg_header_value(t.phone.rx, "Accept", 0),
				PLAIN);
		send_to(&t, &t.itsp, &t.w->itsp, "+4930100", NULL, rows[i].type,
			rows[i].body);
		sp_expect(&t.itsp, rows[i].status);
	}
	sp_open(t.w, &stranger, 77);
	send_to(&t, &stranger, &t.w->phones, "200", NULL, PLAIN, "hello");
	sp_silent(&stranger);
	sp_silent(&t.phone);
	sp_silent(&t.other);
	sp_close(&stranger);
	end(&t);
}
END_TEST

/* Off in a realm: not allowed there; off where it goes: not to there. */
START_TEST(by_realm)
{
	struct talk t;

	begin(&t, 1u << 1);
	send_to(&t, &t.itsp, &t.w->itsp, "+4930100", NULL, PLAIN, "hello");
	sp_expect(&t.itsp, "SIP/2.0 405");
	ck_assert(!msg_has(msg_header_value(t.itsp.rx, "Allow", 0), "MESSAGE"));
	phone_says(&t, "+498955", PLAIN, "hello");
	sp_expect(&t.phone, "SIP/2.0 403");
	phone_says(&t, "701", PLAIN, "hello");
	sp_expect(&t.phone, "SIP/2.0 403");
	phone_says(&t, "200", PLAIN, "hello");
	comes(&t, &t.other, &t.w->phones, "MESSAGE ", "sip:100@", "hello");
	dl_answer(&t.far, t.other.rx, 200, NULL, NULL);
	sp_expect(&t.phone, "SIP/2.0 200");
	ck_assert_uint_eq(reason_counted(REASON_MESSAGE_OFF), 1);
	ck_assert_uint_eq(reason_counted(REASON_MESSAGE_TARGET), 2);
	end(&t);
}
END_TEST

/* Inside a call, from either side; the call is not affected by any of it. */
START_TEST(inside_a_call)
{
	const struct cw_config config = {.texts = ALL};
	struct scene s;

	sc_begin(&s, &config);
	sc_up(&s);
	dl_request(&s.caller, "MESSAGE", NULL, PLAIN, "from the caller");
	sp_expect(&s.phone, "MESSAGE ");
	ck_assert_str_eq(msg_body(s.phone.rx), "from the caller");
	ck_assert_str_eq(
		msg_header_value(s.phone.rx, "Call-ID", 0), s.called.call_id);
	dl_answer(&s.called, s.phone.rx, 200, NULL, NULL);
	sp_expect(&s.itsp, "SIP/2.0 200");
	dl_request(&s.called, "MESSAGE", NULL, PLAIN, "from the phone");
	sp_expect(&s.itsp, "MESSAGE ");
	dl_answer(&s.caller, s.itsp.rx, 481, NULL, NULL);
	sp_expect(&s.phone, "SIP/2.0 500");
	dl_request(&s.called, "MESSAGE", NULL, "text/html", "<a>");
	sp_expect(&s.phone, "SIP/2.0 415");
	sc_finish(&s);
}
END_TEST

/* A text to the trunk that the trunk wants credentials for, once more. */
static void text_is_challenged(struct scene *s, const char *body)
{
	dl_request(&s->called, "MESSAGE", NULL, PLAIN, body);
	sp_expect(&s->itsp, "MESSAGE ");
	cw_trunk_auth_forget(s->w);
	dl_answer(&s->caller, s->itsp.rx, 407, CW_CHALLENGE, NULL);
	cw_trunk_auth_wait(s->w);
	ck_assert_str_eq(s->w->trunk_auth->method, "MESSAGE");
}

/* The trunk challenges texts of a call: they are sent again with the answer,
 * one after the other; where there is none the sender is told at once, also by
 * the end of the call. */
START_TEST(inside_a_call_challenged)
{
	const struct cw_config config = {.texts = ALL};
	static char held[CW_TEXT];
	struct scene s;

	sc_begin(&s, &config);
	sc_up(&s);
	dl_request(&s.called, "MESSAGE", NULL, PLAIN, "one");
	sp_expect(&s.itsp, "MESSAGE ");
	cw_challenged(s.w, &s.caller, "MESSAGE", CW_CHALLENGE);
	cw_challenged(s.w, &s.caller, "MESSAGE", CW_STALE);
	ck_assert_str_eq(msg_body(s.itsp.rx), "one");
	dl_answer(&s.caller, s.itsp.rx, 200, NULL, NULL);
	sp_expect(&s.phone, "SIP/2.0 200");

	text_is_challenged(&s, "two");
	dl_request(&s.called, "MESSAGE", NULL, PLAIN, "three");
	sp_expect(&s.itsp, "MESSAGE ");
	dl_answer(&s.caller, s.itsp.rx, 407, CW_CHALLENGE, NULL);
	cw_turn(s.w);
	cw_trunk_auth_answer(s.w, "Digest response=\"two\"");
	sp_expect(&s.itsp, "MESSAGE ");
	ck_assert_str_eq(msg_body(s.itsp.rx), "two");
	snprintf(held, sizeof held, "%s", s.itsp.rx);
	cw_trunk_auth_forget(s.w);
	cw_trunk_auth_wait(s.w);
	cw_trunk_auth_answer(s.w, "Digest response=\"three\"");
	sp_expect(&s.itsp, "MESSAGE ");
	ck_assert_str_eq(msg_body(s.itsp.rx), "three");
	dl_answer(&s.caller, s.itsp.rx, 404, NULL, NULL);
	sp_expect(&s.phone, "SIP/2.0 404");
	dl_answer(&s.caller, held, 200, NULL, NULL);
	sp_expect(&s.phone, "SIP/2.0 200");

	/* Nobody has the credentials. */
	text_is_challenged(&s, "four");
	cw_trunk_auth_answer(s.w, NULL);
	sp_expect(&s.phone, "SIP/2.0 500");
	sp_silent(&s.itsp);
	text_is_challenged(&s, "five");
	dl_request(&s.caller, "BYE", NULL, NULL, NULL);
	sp_expect(&s.itsp, "SIP/2.0 200");
	sp_expect(&s.phone, "SIP/2.0 500");
	sp_expect(&s.phone, "BYE ");
	dl_answer(&s.called, s.phone.rx, 200, NULL, NULL);
	cw_trunk_auth_answer(s.w, "Digest response=\"late\"");
	ck_assert_uint_eq(reason_counted(REASON_MESSAGE_OK), 2);
	ck_assert_uint_eq(reason_counted(REASON_MESSAGE_FAR_REFUSED), 3);
	sc_cdr(cw_cdr(s.w), REASON_CALL_CALLER_HUNG_UP, 200, "caller");
	sc_end(&s);
}
END_TEST

START_TEST(inside_a_call_off)
{
	struct scene s;

	sc_begin(&s, NULL);
	sc_up(&s);
	dl_request(&s.caller, "MESSAGE", NULL, PLAIN, "hello");
	sp_expect(&s.itsp, "SIP/2.0 405");
	sp_silent(&s.phone);
	sc_bye_from_caller(&s);
	sc_cdr(cw_cdr(s.w), REASON_CALL_CALLER_HUNG_UP, 200, "caller");
	sc_end(&s);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("sbc_message");

	suite_add(s, "texts", each_way);
	suite_add(s, "texts", answers);
	suite_add(s, "texts", another_place);
	suite_add(s, "texts", refused);
	suite_add(s, "texts", by_realm);
	suite_add(s, "inside", inside_a_call);
	suite_add(s, "inside", inside_a_call_challenged);
	suite_add(s, "inside", inside_a_call_off);
	return s;
}

int main(void)
{
	return suite_run(suite());
}
