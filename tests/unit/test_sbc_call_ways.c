/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls in every direction, and over trunks that refuse, keep silent, redirect
 * or send back what they got. Trunks that want credentials or are registered
 * at: test_sbc_call_trunk.c.
 */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "tests/unit/call_steps.h"
#include "tests/unit/suite.h"

START_TEST(phone_to_trunk)
{
	struct house h;
	const Gh__Cdr *cdr;
	const char *m;

	house_begin(&h, NULL);
	house_phone_calls(
		&h, "+49891234", "P-Asserted-Identity: <sip:+1900@evil>\r\n");
	m = house_take(&h, &h.itsp);
	ck_assert(msg_has(m, "INVITE sip:+49891234@"));
	/* The account is who calls, whatever From and others say. */
	ck_assert(msg_has(msg_header_value(m, "From", 0), "+4930100"));
	ck_assert(!msg_has(m, "forged"));
	ck_assert(!msg_has(m, "evil"));
	ck_assert(!msg_has(m, cw_at(5, 0)));
	ck_assert(!msg_has(m, "Authorization"));
	ck_assert(msg_has(msg_body(m), "c=IN IP4 198.51.100.7"));
	cdr = house_talk(&h);
	ck_assert_str_eq(cdr->caller, "100");
	ck_assert_str_eq(cdr->called, "+49891234");
	ck_assert_uint_eq(cdr->route, 5);
	ck_assert_str_eq(cdr->caller_leg->kind, "phone");
	ck_assert_uint_eq(cdr->caller_leg->account, 1);
	ck_assert_str_eq(cdr->called_leg->kind, "trunk");
	ck_assert_uint_eq(cdr->called_leg->trunk, 1);
	house_end(&h);
}
END_TEST

/* A trunk that knows us by a name of its own. */
START_TEST(trunk_names_us)
{
	const struct cw_config config = {.itsp_host = "sbc.itsp.example"};
	struct house h;
	char contact[64];
	const char *m;

	house_begin(&h, &config);
	snprintf(contact, sizeof contact, "<sip:sbc.itsp.example:%u>",
		(unsigned)h.w->itsp.port);
	house_phone_calls(&h, "+49891234", NULL);
	m = house_take(&h, &h.itsp);
	ck_assert_str_eq(msg_header_value(m, "Contact", 0), contact);
	ck_assert(msg_has(msg_header_value(m, "From", 0), "@sbc.itsp.example"));
	h.called.to = h.w->itsp;
	house_talk(&h);
	house_end(&h);
}
END_TEST

START_TEST(phone_to_phone)
{
	struct house h;
	struct sip_peer other;
	const char *m;

	house_begin(&h, NULL);
	sp_open(h.w, &other, 6);
	cw_bind(h.w, 2, &other);
	house_phone_calls(&h, "200", NULL);
	m = dl_take_invite(&h.called, &other, &h.w->phones);
	ck_assert(msg_has(m, "INVITE sip:line@"));
	ck_assert(msg_has(msg_header_value(m, "From", 0), "sip:100@"));
	ck_assert(msg_has(msg_header_value(m, "From", 0), "Alice"));
	house_talk(&h);
	sp_close(&other);
	house_end(&h);
}
END_TEST

/* A PBX behind us: to a phone, to the world, and a phone to it. */
START_TEST(pbx_ways)
{
	struct house h;
	const char *m;

	house_begin(&h, NULL);
	house_pbx_calls(&h, "100", NULL);
	m = house_take(&h, &h.phone);
	ck_assert(msg_has(m, "INVITE sip:line@"));
	ck_assert(msg_has(msg_header_value(m, "From", 0), "sip:701@"));
	ck_assert_str_eq(house_talk(&h)->caller_leg->kind, "pbx");

	house_pbx_calls(&h, "+49891234", NULL);
	m = house_take(&h, &h.itsp);
	ck_assert(msg_has(m, "INVITE sip:+49891234@"));
	house_talk(&h);

	house_phone_calls(&h, "701", NULL);
	m = house_take(&h, &h.pbx);
	ck_assert(msg_has(m, "INVITE sip:701@"));
	ck_assert(msg_has(msg_header_value(m, "From", 0), "sip:100@"));
	house_talk(&h);
	house_end(&h);
}
END_TEST

/* The first trunk is overloaded, then silent: the second one takes the call. */
START_TEST(failover)
{
	struct house h;
	struct sip_peer second;
	struct dialog late;
	const Gh__Cdr *cdr;

	house_begin(&h, NULL);
	sp_open(h.w, &second, 3);
	house_pbx_calls(&h, "+49891234", NULL);
	house_take(&h, &h.itsp);
	dl_answer(&h.called, h.called.invite, 503, "Retry-After: 9\r\n", NULL);
	sp_expect(&h.itsp, "ACK ");
	dl_take_invite(&h.called, &second, &h.w->itsp);
	cdr = house_talk(&h);
	ck_assert_uint_eq(cdr->attempts, 2);
	ck_assert_uint_eq(cdr->called_leg->trunk, 2);

	house_pbx_calls(&h, "+49891234", NULL);
	house_take(&h, &h.itsp);
	late = h.called;
	cw_fire(h.w, EV_TIMER);
	dl_take_invite(&h.called, &second, &h.w->itsp);
	/* It wakes up too late: cancelled as soon as it says anything. */
	dl_ring(&late);
	sp_expect_but(&h.itsp, "CANCEL ", "INVITE ");
	dl_answer(&late, h.itsp.rx, 200, NULL, NULL);
	dl_answer(&late, late.invite, 487, NULL, NULL);
	sp_expect_but(&h.itsp, "ACK ", "INVITE ");
	dl_refuse(&h.called, 486);
	dl_take_refusal(&h.caller, 486);
	cdr = cw_cdr(h.w);
	sc_cdr(cdr, REASON_CALL_BUSY, 486, "called");
	ck_assert_uint_eq(cdr->attempts, 2);
	sp_close(&second);
	house_end(&h);
}
END_TEST

static void redirect_to(struct house *h, const char *contact)
{
	house_take(h, &h->itsp);
	dl_answer(&h->called, h->called.invite, 302, contact, NULL);
	sp_expect(&h->itsp, "ACK ");
}

/* A trunk that may redirect sends the call to an extension of ours. */
START_TEST(redirect)
{
	const struct cw_config config = {.redirects = true};
	struct house h;
	const Gh__Cdr *cdr;

	house_begin(&h, &config);
	house_pbx_calls(&h, "+49891234", NULL);
	redirect_to(&h, "Contact: <sip:+4930100@192.0.2.77>\r\n");
	ck_assert(msg_has(house_take(&h, &h.phone), "INVITE sip:line@"));
	cdr = house_talk(&h);
	ck_assert_str_eq(cdr->called, "+4930100");
	ck_assert_uint_eq(cdr->attempts, 2);
	/* Round and round it goes five times and no more. */
	house_pbx_calls(&h, "+49891234", NULL);
	for (int i = 0; i < 6; i++)
		redirect_to(&h, "Contact: <sip:+49899999@192.0.2.77>\r\n");
	dl_take_refusal(&h.caller, 480);
	sc_cdr(cw_cdr(h.w), REASON_CALL_REDIRECTED, 480, "called");
	house_end(&h);
}
END_TEST

/* The PBX says that another phone of its group has answered. */
START_TEST(reason_crosses)
{
	struct house h;
	const char *m;

	house_begin(&h, NULL);
	house_pbx_calls(&h, "100", NULL);
	house_take(&h, &h.phone);
	dl_ring(&h.called);
	sp_expect(&h.pbx, "SIP/2.0 180");
	dl_cancel_with(&h.caller,
		"Reason: SIP;cause=200;text=\"secret name took it\"\r\n");
	sp_expect(&h.pbx, "SIP/2.0 200");
	dl_take_refusal(&h.caller, 487);
	m = dl_take_cancel(&h.called);
	ck_assert(msg_has(msg_header_value(m, "Reason", 0), "SIP;cause=200"));
	ck_assert(!msg_has(m, "secret"));
	sc_cdr(cw_cdr(h.w), REASON_CALL_CANCELLED, 487, "caller");
	house_end(&h);
}
END_TEST

/* Our INVITE as a proxy sends it back, with another number in its first line.
 */
static void send_back(struct house *h, const char *number, unsigned n)
{
	static char text[CW_TEXT];

	snprintf(text, sizeof text,
		"INVITE sip:%s@%s SIP/2.0\r\n"
		"Via: SIP/2.0/UDP %s;branch=z9hG4bKback%u\r\n%s",
		number, cw_at(2, CW_TRUNK_PORT), h->itsp.text, n,
		strstr(h->called.invite, " SIP/2.0\r\n") + 10);
	sp_send(&h->itsp, &h->w->itsp, text);
}

/* A proxy sends our own INVITE back: with the same number it is a loop, with
 * one of ours a call of its own. */
START_TEST(loop_and_spiral)
{
	struct house h;
	struct dialog back = {0};

	house_begin(&h, NULL);
	house_pbx_calls(&h, "+49891234", NULL);
	ck_assert(msg_has(house_take(&h, &h.itsp), "INVITE sip:+49891234@"));
	send_back(&h, "+49891234", 0);
	sp_expect(&h.itsp, "SIP/2.0 482");
	ck_assert_uint_eq(reason_counted(REASON_ADMIT_LOOP), 1);
	send_back(&h, "+4930100", 1);
	ck_assert(msg_has(dl_take_invite(&back, &h.phone, &h.w->phones),
		"INVITE sip:line@"));
	ck_assert_str_ne(back.call_id, h.called.call_id);
	dl_refuse(&back, 486);
	sp_expect(&h.itsp, "SIP/2.0 486");
	dl_refuse(&h.called, 486);
	dl_take_refusal(&h.caller, 486);
	sc_cdr(cw_cdr(h.w), REASON_CALL_BUSY, 486, "called");
	sc_cdr(cw_cdr(h.w), REASON_CALL_BUSY, 486, "called");
	sp_close(&h.pbx);
	sp_close(&h.itsp);
	sp_close(&h.phone);
	cw_free(&h.w);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("sbc_call_ways");

	suite_add(s, "phone_to_trunk", phone_to_trunk);
	suite_add(s, "trunk_names_us", trunk_names_us);
	suite_add(s, "phone_to_phone", phone_to_phone);
	suite_add(s, "pbx_ways", pbx_ways);
	suite_add(s, "failover", failover);
	suite_add(s, "redirect", redirect);
	suite_add(s, "reason_crosses", reason_crosses);
	suite_add(s, "loop_and_spiral", loop_and_spiral);
	return suite_run(s);
}
