/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls in every direction and over trunks that refuse, keep silent, ask for
 * credentials or want to be registered at; PRACK; session timers.
 */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "sbc/registrant.h"
#include "sbc/trunk.h"
#include "tests/unit/call_world.h"
#include "tests/unit/suite.h"

static void authorize(const char *challenge, const char *uri, char line[1024])
{
	const char *value = msg_header_value(challenge, "WWW-Authenticate", 0);
	const char *nonce = strstr(value, "nonce=\"");

	ck_assert_ptr_nonnull(nonce);
	nonce += 7;
	snprintf(line, 1024,
		"Authorization: Digest username=\"u1\", realm=\"example.com\","
		" nonce=\"%.*s\", uri=\"%s\", response=\"good\","
		" algorithm=MD5, cnonce=\"c\", qop=auth, nc=00000001\r\n",
		(int)strcspn(nonce, "\""), nonce, uri);
}

/* An INVITE of account 1's phone, challenged first. */
static void phone_invites(struct cw *w, struct sip_peer *phone,
	struct dialog *d, const char *to, const char *extra)
{
	char lines[2048], line[1024];
	const char *sdp = sdp_text(phone, 7000, "8 0 101", NULL);

	dl_invite(d, phone, &w->phones, "forged", to, extra, sdp);
	sp_expect(phone, "SIP/2.0 401");
	dl_ack(d, NULL);
	authorize(phone->rx, d->target, line);
	snprintf(lines, sizeof lines, "%s%s", line, extra != NULL ? extra : "");
	dl_invite(d, phone, &w->phones, "forged", to, lines, sdp);
}

static void hang_up(struct cw *w, struct dialog *caller, struct dialog *called)
{
	cw_turn(w);
	ck_assert_int_eq(cw_call(w)->state, CALL_UP);
	dl_request(caller, "BYE", NULL, NULL, NULL);
	sp_expect(caller->p, "SIP/2.0 200");
	sp_expect(called->p, "BYE ");
	dl_answer(called, called->p->rx, 200, NULL, NULL);
}

static void pick_up(struct dialog *caller, struct dialog *called)
{
	dl_answer(called, called->invite, 200, NULL,
		sdp_text(called->p, 8000, "8 101", NULL));
	sp_expect(called->p, "ACK ");
	sp_expect(caller->p, "SIP/2.0 200");
	dl_answered(caller);
	dl_ack(caller, NULL);
}

START_TEST(phone_to_trunk)
{
	struct cw_config config = {0};
	struct cw *w = cw_new(&config);
	struct sip_peer phone, itsp;
	struct dialog caller, called;
	const Gh__Cdr *cdr;

	sp_open(w, &phone, 5);
	sp_open(w, &itsp, 2);
	phone_invites(w, &phone, &caller, "+49891234",
		"P-Asserted-Identity: <sip:+1900@evil>\r\n");
	sp_expect(&itsp, "INVITE sip:+49891234@");
	/* The account is who calls, whatever From and others say. */
	ck_assert(msg_has(msg_header_value(itsp.rx, "From", 0), "+4930100"));
	ck_assert(!msg_has(itsp.rx, "forged"));
	ck_assert(!msg_has(itsp.rx, "evil"));
	ck_assert(!msg_has(itsp.rx, cw_at(5, 0)));
	ck_assert(!msg_has(itsp.rx, "Authorization"));
	ck_assert(msg_has(msg_body(itsp.rx), "c=IN IP4 198.51.100.7"));
	dl_from_invite(&called, &itsp, &w->itsp);
	pick_up(&caller, &called);
	hang_up(w, &caller, &called);
	cdr = cw_cdr(w);
	sc_cdr(cdr, REASON_CALL_CALLER_HUNG_UP, 200, "caller");
	ck_assert_str_eq(cdr->caller, "100");
	ck_assert_str_eq(cdr->called, "+49891234");
	ck_assert_uint_eq(cdr->route, 5);
	ck_assert_str_eq(cdr->caller_leg->kind, "phone");
	ck_assert_uint_eq(cdr->caller_leg->account, 1);
	ck_assert_str_eq(cdr->called_leg->kind, "trunk");
	ck_assert_uint_eq(cdr->called_leg->trunk, 1);
	cw_wait_empty(w);
	sp_close(&phone);
	sp_close(&itsp);
	cw_free(&w);
}
END_TEST

/* A trunk that knows us by a name of its own. */
START_TEST(trunk_names_us)
{
	struct cw_config config = {.itsp_host = "sbc.itsp.example"};
	struct cw *w = cw_new(&config);
	struct sip_peer phone, itsp;
	struct dialog caller, called;
	char contact[64];

	sp_open(w, &phone, 5);
	sp_open(w, &itsp, 2);
	snprintf(contact, sizeof contact, "<sip:sbc.itsp.example:%u>",
		(unsigned)w->itsp.port);
	phone_invites(w, &phone, &caller, "+49891234", NULL);
	sp_expect(&itsp, "INVITE ");
	ck_assert_str_eq(msg_header_value(itsp.rx, "Contact", 0), contact);
	ck_assert(msg_has(
		msg_header_value(itsp.rx, "From", 0), "@sbc.itsp.example"));
	dl_from_invite(&called, &itsp, &w->itsp);
	called.to = w->itsp;
	pick_up(&caller, &called);
	hang_up(w, &caller, &called);
	sc_cdr(cw_cdr(w), REASON_CALL_CALLER_HUNG_UP, 200, "caller");
	cw_wait_empty(w);
	sp_close(&phone);
	sp_close(&itsp);
	cw_free(&w);
}
END_TEST

START_TEST(phone_to_phone)
{
	struct cw_config config = {0};
	struct cw *w = cw_new(&config);
	struct sip_peer one, two;
	struct dialog caller, called;

	sp_open(w, &one, 5);
	sp_open(w, &two, 6);
	cw_bind(w, 2, &two);
	phone_invites(w, &one, &caller, "200", NULL);
	sp_expect(&two, "INVITE sip:line@");
	ck_assert(msg_has(msg_header_value(two.rx, "From", 0), "sip:100@"));
	ck_assert(msg_has(msg_header_value(two.rx, "From", 0), "Alice"));
	dl_from_invite(&called, &two, &w->phones);
	pick_up(&caller, &called);
	hang_up(w, &caller, &called);
	sc_cdr(cw_cdr(w), REASON_CALL_CALLER_HUNG_UP, 200, "caller");
	cw_wait_empty(w);
	sp_close(&one);
	sp_close(&two);
	cw_free(&w);
}
END_TEST

/* A PBX behind us: to a phone, to the world, and a phone to it. */
START_TEST(pbx_ways)
{
	struct cw_config config = {0};
	struct cw *w = cw_new(&config);
	struct sip_peer pbx, phone, itsp;
	struct dialog caller, called;
	const Gh__Cdr *cdr;

	sp_open(w, &pbx, 4);
	sp_open(w, &phone, 5);
	sp_open(w, &itsp, 2);
	cw_bind(w, 1, &phone);
	dl_invite(&caller, &pbx, &w->pbx, "701", "100", NULL,
		sdp_text(&pbx, 5000, "8 101", NULL));
	sp_expect(&phone, "INVITE sip:line@");
	ck_assert(msg_has(msg_header_value(phone.rx, "From", 0), "sip:701@"));
	dl_from_invite(&called, &phone, &w->phones);
	pick_up(&caller, &called);
	hang_up(w, &caller, &called);
	cdr = cw_cdr(w);
	sc_cdr(cdr, REASON_CALL_CALLER_HUNG_UP, 200, "caller");
	ck_assert_str_eq(cdr->caller_leg->kind, "pbx");

	dl_invite(&caller, &pbx, &w->pbx, "701", "+49891234", NULL,
		sdp_text(&pbx, 5000, "8 101", NULL));
	sp_expect(&itsp, "INVITE sip:+49891234@");
	dl_from_invite(&called, &itsp, &w->itsp);
	pick_up(&caller, &called);
	hang_up(w, &caller, &called);
	sc_cdr(cw_cdr(w), REASON_CALL_CALLER_HUNG_UP, 200, "caller");

	phone_invites(w, &phone, &caller, "701", NULL);
	sp_expect(&pbx, "INVITE sip:701@");
	ck_assert(msg_has(msg_header_value(pbx.rx, "From", 0), "sip:100@"));
	dl_from_invite(&called, &pbx, &w->pbx);
	pick_up(&caller, &called);
	hang_up(w, &caller, &called);
	sc_cdr(cw_cdr(w), REASON_CALL_CALLER_HUNG_UP, 200, "caller");
	cw_wait_empty(w);
	sp_close(&pbx);
	sp_close(&phone);
	sp_close(&itsp);
	cw_free(&w);
}
END_TEST

/* The first trunk is overloaded, then silent: the second one takes the call. */
START_TEST(failover)
{
	struct cw_config config = {0};
	struct cw *w = cw_new(&config);
	struct sip_peer pbx, first, second;
	struct dialog caller, called;
	const Gh__Cdr *cdr;

	sp_open(w, &pbx, 4);
	sp_open(w, &first, 2);
	sp_open(w, &second, 3);
	dl_invite(&caller, &pbx, &w->pbx, "701", "+49891234", NULL,
		sdp_text(&pbx, 5000, "8 101", NULL));
	sp_expect(&first, "INVITE ");
	dl_from_invite(&called, &first, &w->itsp);
	dl_answer(&called, called.invite, 503, "Retry-After: 9\r\n", NULL);
	sp_expect(&first, "ACK ");
	sp_expect(&second, "INVITE ");
	dl_from_invite(&called, &second, &w->itsp);
	pick_up(&caller, &called);
	hang_up(w, &caller, &called);
	cdr = cw_cdr(w);
	sc_cdr(cdr, REASON_CALL_CALLER_HUNG_UP, 200, "caller");
	ck_assert_uint_eq(cdr->attempts, 2);
	ck_assert_uint_eq(cdr->called_leg->trunk, 2);

	dl_invite(&caller, &pbx, &w->pbx, "701", "+49891234", NULL,
		sdp_text(&pbx, 5000, "8 101", NULL));
	sp_expect(&first, "INVITE ");
	dl_from_invite(&called, &first, &w->itsp);
	cw_fire(w, EV_TIMER);
	sp_expect(&second, "INVITE ");
	/* It wakes up too late: cancelled as soon as it says anything. */
	dl_answer(&called, called.invite, 180, NULL, NULL);
	sp_expect_but(&first, "CANCEL ", "INVITE ");
	dl_answer(&called, first.rx, 200, NULL, NULL);
	dl_answer(&called, called.invite, 487, NULL, NULL);
	sp_expect_but(&first, "ACK ", "INVITE ");
	dl_from_invite(&called, &second, &w->itsp);
	dl_answer(&called, called.invite, 486, NULL, NULL);
	sp_expect(&second, "ACK ");
	sp_expect(&pbx, "SIP/2.0 486");
	dl_ack(&caller, NULL);
	cdr = cw_cdr(w);
	sc_cdr(cdr, REASON_CALL_BUSY, 486, "called");
	ck_assert_uint_eq(cdr->attempts, 2);
	cw_wait_empty(w);
	sp_close(&pbx);
	sp_close(&first);
	sp_close(&second);
	cw_free(&w);
}
END_TEST

/* A trunk that may redirect sends the call to an extension of ours. */
START_TEST(redirect)
{
	struct cw_config config = {.redirects = true};
	struct cw *w = cw_new(&config);
	struct sip_peer pbx, itsp, phone;
	struct dialog caller, called;
	const Gh__Cdr *cdr;

	sp_open(w, &pbx, 4);
	sp_open(w, &itsp, 2);
	sp_open(w, &phone, 5);
	cw_bind(w, 1, &phone);
	dl_invite(&caller, &pbx, &w->pbx, "701", "+49891234", NULL,
		sdp_text(&pbx, 5000, "8 101", NULL));
	sp_expect(&itsp, "INVITE ");
	dl_from_invite(&called, &itsp, &w->itsp);
	dl_answer(&called, called.invite, 302,
		"Contact: <sip:+4930100@192.0.2.77>\r\n", NULL);
	sp_expect(&itsp, "ACK ");
	sp_expect(&phone, "INVITE sip:line@");
	dl_from_invite(&called, &phone, &w->phones);
	pick_up(&caller, &called);
	hang_up(w, &caller, &called);
	cdr = cw_cdr(w);
	sc_cdr(cdr, REASON_CALL_CALLER_HUNG_UP, 200, "caller");
	ck_assert_str_eq(cdr->called, "+4930100");
	ck_assert_uint_eq(cdr->attempts, 2);
	/* Round and round it goes five times and no more. */
	dl_invite(&caller, &pbx, &w->pbx, "701", "+49891234", NULL,
		sdp_text(&pbx, 5000, "8 101", NULL));
	for (int i = 0; i < 6; i++) {
		sp_expect(&itsp, "INVITE ");
		dl_from_invite(&called, &itsp, &w->itsp);
		dl_answer(&called, called.invite, 302,
			"Contact: <sip:+49899999@192.0.2.77>\r\n", NULL);
		sp_expect(&itsp, "ACK ");
	}
	sp_expect(&pbx, "SIP/2.0 480");
	dl_ack(&caller, NULL);
	sc_cdr(cw_cdr(w), REASON_CALL_REDIRECTED, 480, "called");
	cw_wait_empty(w);
	sp_close(&pbx);
	sp_close(&itsp);
	sp_close(&phone);
	cw_free(&w);
}
END_TEST

static bool was_asked(void *ctx)
{
	return ((struct cw *)ctx)->trunk_auth != NULL;
}

static void await_question(struct cw *w)
{
	cw_until(w, was_asked, w, "a question to authd");
}

static void forget_question(struct cw *w)
{
	gh__trunk_auth_request__free_unpacked(w->trunk_auth, NULL);
	w->trunk_auth = NULL;
}

static const char challenge[] =
	"Proxy-Authenticate: Digest realm=\"itsp\", nonce=\"abc\","
	" algorithm=MD5, qop=\"auth\"\r\n";

START_TEST(trunk_challenges)
{
	struct cw_config config = {0};
	struct cw *w = cw_new(&config);
	struct sip_peer pbx, itsp;
	struct dialog caller, called;
	int cseq;

	sp_open(w, &pbx, 4);
	sp_open(w, &itsp, 2);
	dl_invite(&caller, &pbx, &w->pbx, "701", "+49891234", NULL,
		sdp_text(&pbx, 5000, "8 101", NULL));
	sp_expect(&itsp, "INVITE ");
	cseq = atoi(msg_header_value(itsp.rx, "CSeq", 0));
	dl_from_invite(&called, &itsp, &w->itsp);
	dl_answer(&called, called.invite, 407, challenge, NULL);
	sp_expect(&itsp, "ACK ");
	await_question(w);
	ck_assert_uint_eq(w->trunk_auth->trunk, 1);
	ck_assert_str_eq(w->trunk_auth->method, "INVITE");
	ck_assert(msg_has(w->trunk_auth->challenge, "Digest realm=\"itsp\""));
	ck_assert(msg_has(w->trunk_auth->uri, "+49891234"));
	cw_trunk_auth_answer(w, "Digest username=\"t\", response=\"r1\"");
	sp_expect(&itsp, "INVITE ");
	ck_assert(msg_has(
		msg_header_value(itsp.rx, "Proxy-Authorization", 0), "r1"));
	ck_assert_int_eq(atoi(msg_header_value(itsp.rx, "CSeq", 0)), cseq + 1);
	ck_assert_uint_ne(sdp_port_of(msg_body(itsp.rx)), 0);
	dl_from_invite(&called, &itsp, &w->itsp);
	dl_answer(&called, called.invite, 200, NULL,
		sdp_text(&itsp, 8000, "8 101", NULL));
	sp_expect(&itsp, "ACK ");
	ck_assert(msg_has(
		msg_header_value(itsp.rx, "Proxy-Authorization", 0), "r1"));
	sp_expect(&pbx, "SIP/2.0 200");
	dl_answered(&caller);
	dl_ack(&caller, NULL);
	cw_turn(w);
	/* The BYE too. */
	dl_request(&caller, "BYE", NULL, NULL, NULL);
	sp_expect(&pbx, "SIP/2.0 200");
	sp_expect(&itsp, "BYE ");
	forget_question(w);
	dl_answer(&called, itsp.rx, 407, challenge, NULL);
	await_question(w);
	ck_assert_str_eq(w->trunk_auth->method, "BYE");
	cw_trunk_auth_answer(w, "Digest username=\"t\", response=\"r2\"");
	sp_expect(&itsp, "BYE ");
	ck_assert(msg_has(
		msg_header_value(itsp.rx, "Proxy-Authorization", 0), "r2"));
	dl_answer(&called, itsp.rx, 200, NULL, NULL);
	sc_cdr(cw_cdr(w), REASON_CALL_CALLER_HUNG_UP, 200, "caller");
	cw_wait_empty(w);
	sp_close(&pbx);
	sp_close(&itsp);
	cw_free(&w);
}
END_TEST

/* authd has no answer, or the caller gives up while it is asked. */
START_TEST(trunk_challenge_in_vain)
{
	struct cw_config config = {0};
	struct cw *w = cw_new(&config);
	struct sip_peer pbx, itsp;
	struct dialog caller, called;

	sp_open(w, &pbx, 4);
	sp_open(w, &itsp, 2);
	dl_invite(&caller, &pbx, &w->pbx, "701", "+49891234", NULL,
		sdp_text(&pbx, 5000, "8 101", NULL));
	sp_expect(&itsp, "INVITE ");
	dl_from_invite(&called, &itsp, &w->itsp);
	dl_answer(&called, called.invite, 407, challenge, NULL);
	sp_expect(&itsp, "ACK ");
	await_question(w);
	cw_trunk_auth_answer(w, NULL);
	sp_expect(&pbx, "SIP/2.0 500");
	dl_ack(&caller, NULL);
	sc_cdr(cw_cdr(w), REASON_CALL_FAR_UNAUTHORIZED, 500, "called");

	forget_question(w);
	dl_invite(&caller, &pbx, &w->pbx, "701", "+49891234", NULL,
		sdp_text(&pbx, 5000, "8 101", NULL));
	sp_expect(&itsp, "INVITE ");
	dl_from_invite(&called, &itsp, &w->itsp);
	dl_answer(&called, called.invite, 407, challenge, NULL);
	sp_expect(&itsp, "ACK ");
	await_question(w);
	dl_cancel(&caller);
	sp_expect(&pbx, "SIP/2.0 200");
	sp_expect(&pbx, "SIP/2.0 487");
	dl_ack(&caller, NULL);
	cw_trunk_auth_answer(w, "Digest response=\"late\"");
	sc_cdr(cw_cdr(w), REASON_CALL_CANCELLED, 487, "caller");
	cw_wait_empty(w);
	sp_silent(&itsp);
	sp_close(&pbx);
	sp_close(&itsp);
	cw_free(&w);
}
END_TEST

START_TEST(registers_at_trunk)
{
	struct cw_config config = {.registers = true};
	struct cw *w = cw_new(&config);
	struct sip_peer itsp;
	struct dialog d = {0};

	sp_open(w, &itsp, 2);
	sp_expect(&itsp, "REGISTER sip:");
	ck_assert(msg_has(itsp.rx, cw_at(2, CW_TRUNK_PORT)));
	ck_assert(msg_has(msg_header_value(itsp.rx, "To", 0), "sip:reg7@"));
	ck_assert(msg_has(msg_header_value(itsp.rx, "Contact", 0), "reg7@"));
	d.p = &itsp;
	d.to = w->itsp;
	snprintf(d.local, sizeof d.local, "%s;tag=reg",
		msg_header_value(itsp.rx, "To", 0));
	dl_answer(&d, itsp.rx, 401,
		"WWW-Authenticate: Digest realm=\"itsp\", nonce=\"n\"\r\n",
		NULL);
	await_question(w);
	ck_assert_str_eq(w->trunk_auth->method, "REGISTER");
	cw_trunk_auth_answer(w, "Digest username=\"reg7\", response=\"ok\"");
	sp_expect(&itsp, "REGISTER ");
	ck_assert(msg_has(msg_header_value(itsp.rx, "Authorization", 0),
		"response=\"ok\""));
	dl_answer(&d, itsp.rx, 423, "Min-Expires: 1800\r\n", NULL);
	sp_expect(&itsp, "REGISTER ");
	ck_assert_str_eq(msg_header_value(itsp.rx, "Expires", 0), "1800");
	dl_answer(&d, itsp.rx, 200, "Expires: 1800\r\n", NULL);
	sp_silent(&itsp);
	ck_assert_uint_eq(reason_counted(REASON_TRUNK_REGISTERED), 1);
	sp_close(&itsp);
	cw_free(&w);
}
END_TEST

static bool is_down(void *ctx)
{
	return !trunk_in_service(((struct cw *)ctx)->sbc.trunks, 1);
}

static bool is_up(void *ctx)
{
	return !is_down(ctx);
}

START_TEST(probes)
{
	struct cw_config config = {.probe = true};
	struct cw *w = cw_new(&config);
	struct sip_peer itsp;
	struct dialog d = {0};

	sp_open(w, &itsp, 2);
	d.p = &itsp;
	d.to = w->itsp;
	sp_expect(&itsp, "OPTIONS ");
	snprintf(d.local, sizeof d.local, "%s;tag=o",
		msg_header_value(itsp.rx, "To", 0));
	/* Any answer is a sign of life but 503. */
	dl_answer(&d, itsp.rx, 404, NULL, NULL);
	sp_expect(&itsp, "OPTIONS ");
	ck_assert(trunk_in_service(w->sbc.trunks, 1));
	dl_answer(&d, itsp.rx, 503, NULL, NULL);
	sp_expect(&itsp, "OPTIONS ");
	dl_answer(&d, itsp.rx, 503, NULL, NULL);
	cw_until(w, is_down, w, "the trunk to be out of service");
	sp_expect(&itsp, "OPTIONS ");
	dl_answer(&d, itsp.rx, 200, NULL, NULL);
	cw_until(w, is_up, w, "the trunk to be back");
	sp_close(&itsp);
	cw_free(&w);
}
END_TEST

/* PRACK on the caller's leg alone. */
START_TEST(caller_requires_prack)
{
	struct scene s;
	char rack[64], lines[128];

	sc_begin(&s, NULL);
	dl_invite(&s.caller, &s.itsp, &s.w->itsp, "+491", "+4930100",
		"Require: 100rel\r\n", sdp_text(&s.itsp, 6000, "8 101", NULL));
	sp_expect(&s.phone, "INVITE ");
	ck_assert_str_eq(msg_header_value(s.phone.rx, "Require", 0), "");
	dl_from_invite(&s.called, &s.phone, &s.w->phones);
	dl_answer(&s.called, s.called.invite, 180, NULL, NULL);
	sp_expect(&s.itsp, "SIP/2.0 180");
	ck_assert(msg_has(msg_header_value(s.itsp.rx, "Require", 0), "100rel"));
	/* It is repeated until it is acknowledged. */
	s.itsp.repeats = true;
	sp_expect(&s.itsp, "SIP/2.0 180");
	s.itsp.repeats = false;
	snprintf(rack, sizeof rack, "%s 101 INVITE",
		msg_header_value(s.itsp.rx, "RSeq", 0));
	snprintf(lines, sizeof lines, "RAck: %s\r\n", rack);
	dl_answered(&s.caller);
	dl_request(&s.caller, "PRACK", lines, NULL, NULL);
	sp_expect_but(&s.itsp, "SIP/2.0 200", "SIP/2.0 180");
	ck_assert(msg_has(msg_header_value(s.itsp.rx, "CSeq", 0), "PRACK"));
	dl_answer(&s.called, s.called.invite, 200, NULL,
		sdp_text(&s.phone, 7000, "8 101", NULL));
	sp_expect(&s.phone, "ACK ");
	sp_expect(&s.itsp, "SIP/2.0 200");
	dl_answered(&s.caller);
	dl_ack(&s.caller, NULL);
	cw_turn(s.w);
	sc_bye_from_caller(&s);
	sc_cdr(cw_cdr(s.w), REASON_CALL_CALLER_HUNG_UP, 200, "caller");
	sc_end(&s);
}
END_TEST

/* PRACK on the called leg alone. */
START_TEST(called_requires_prack)
{
	struct scene s;
	static const char rel[] = "Require: 100rel\r\nRSeq: 41\r\n";
	static const char next[] = "Require: 100rel\r\nRSeq: 42\r\n";
	const char *sdp;

	sc_begin(&s, NULL);
	dl_invite(&s.caller, &s.itsp, &s.w->itsp, "+491", "+4930100", NULL,
		sdp_text(&s.itsp, 6000, "8 101", NULL));
	sp_expect(&s.phone, "INVITE ");
	ck_assert(msg_has(
		msg_header_value(s.phone.rx, "Supported", 0), "100rel"));
	dl_from_invite(&s.called, &s.phone, &s.w->phones);
	dl_answer(&s.called, s.called.invite, 180, rel, NULL);
	sp_expect(&s.phone, "PRACK ");
	ck_assert(msg_has(msg_header_value(s.phone.rx, "RAck", 0), "41 "));
	dl_answer(&s.called, s.phone.rx, 200, NULL, NULL);
	sp_expect(&s.itsp, "SIP/2.0 180");
	ck_assert_str_eq(msg_header_value(s.itsp.rx, "RSeq", 0), "");
	dl_answer(&s.called, s.called.invite, 180, rel, NULL); /* again */
	sp_silent(&s.phone);
	sdp = sdp_text(&s.phone, 7000, "8 101", NULL);
	dl_answer(&s.called, s.called.invite, 183, next, sdp);
	sp_expect(&s.phone, "PRACK ");
	dl_answer(&s.called, s.phone.rx, 200, NULL, NULL);
	sp_expect(&s.itsp, "SIP/2.0 183");
	/* What was agreed reliably need not be said again. */
	dl_answer(&s.called, s.called.invite, 200, NULL, NULL);
	sp_expect(&s.phone, "ACK ");
	sp_expect(&s.itsp, "SIP/2.0 200");
	ck_assert_uint_ne(sdp_port_of(msg_body(s.itsp.rx)), 0);
	dl_answered(&s.caller);
	dl_ack(&s.caller, NULL);
	cw_turn(s.w);
	sc_bye_from_caller(&s);
	sc_cdr(cw_cdr(s.w), REASON_CALL_CALLER_HUNG_UP, 200, "caller");
	sc_end(&s);
}
END_TEST

/* Our refresh of a session whose caller cannot do it, and 422. */
START_TEST(session_timer)
{
	struct cw_config config = {.session_expires_s = 1800};
	struct scene s;

	sc_begin(&s, &config);
	dl_invite(&s.caller, &s.itsp, &s.w->itsp, "+491", "+4930100",
		"Supported: timer\r\nSession-Expires: 30\r\n",
		sdp_text(&s.itsp, 6000, "8 101", NULL));
	sp_expect(&s.itsp, "SIP/2.0 422");
	ck_assert_str_eq(msg_header_value(s.itsp.rx, "Min-SE", 0), "90");
	dl_ack(&s.caller, NULL);
	sc_cdr(cw_cdr(s.w), REASON_CALL_INTERVAL_TOO_SMALL, 422, "sbc");
	dl_invite(&s.caller, &s.itsp, &s.w->itsp, "+491", "+4930100",
		"Supported: timer\r\nSession-Expires: 600\r\n",
		sdp_text(&s.itsp, 6000, "8 101", NULL));
	sp_expect(&s.phone, "INVITE ");
	dl_from_invite(&s.called, &s.phone, &s.w->phones);
	dl_answer(&s.called, s.called.invite, 200,
		"Session-Expires: 1800;refresher=uac\r\n",
		sdp_text(&s.phone, 7000, "8 101", NULL));
	sp_expect(&s.phone, "ACK ");
	sp_expect(&s.itsp, "SIP/2.0 200");
	ck_assert_str_eq(msg_header_value(s.itsp.rx, "Session-Expires", 0),
		"600;refresher=uac");
	ck_assert(msg_has(msg_header_value(s.itsp.rx, "Require", 0), "timer"));
	dl_answered(&s.caller);
	dl_ack(&s.caller, NULL);
	cw_turn(s.w);
	ck_assert_uint_eq(cw_call(s.w)->caller.leg->se_interval_s, 600);
	ck_assert(!cw_call(s.w)->caller.leg->se_refresher);
	ck_assert(cw_call(s.w)->called->leg->se_refresher);
	/* The caller refreshes; we answer without asking the phone. */
	dl_request(&s.caller, "UPDATE",
		"Supported: timer\r\nSession-Expires: 700;refresher=uac\r\n",
		NULL, NULL);
	sp_expect(&s.itsp, "SIP/2.0 200");
	ck_assert_str_eq(msg_header_value(s.itsp.rx, "Session-Expires", 0),
		"700;refresher=uac");
	/* A re-INVITE as refresh, when the phone has no UPDATE. */
	{
		struct call *c = cw_call(s.w);
		struct call_input in = {
			.event = EV_REFRESH, .party = c->called};

		call_event(c, &in);
	}
	sp_expect(&s.phone, "INVITE ");
	ck_assert_str_eq(msg_header_value(s.phone.rx, "Session-Expires", 0),
		"1800;refresher=uac");
	dl_answer(&s.called, s.phone.rx, 200,
		"Session-Expires: 1800;refresher=uac\r\n",
		sdp_text(&s.phone, 7000, "8 101", NULL));
	sp_expect(&s.phone, "ACK ");
	cw_turn(s.w);
	/* It meets a change of the phone's: we try again, later. */
	{
		struct call *c = cw_call(s.w);
		struct call_input in = {
			.event = EV_REFRESH, .party = c->called};

		call_event(c, &in);
	}
	sp_expect(&s.phone, "INVITE ");
	dl_answer(&s.called, s.phone.rx, 491, NULL, NULL);
	sp_expect(&s.phone, "ACK ");
	ck_assert_int_eq(cw_call(s.w)->state, CALL_UP);
	cw_fire(s.w, EV_RETRY);
	sp_expect(&s.phone, "INVITE ");
	dl_answer(&s.called, s.phone.rx, 200, NULL,
		sdp_text(&s.phone, 7000, "8 101", NULL));
	sp_expect(&s.phone, "ACK ");
	cw_turn(s.w);
	ck_assert_int_eq(cw_call(s.w)->state, CALL_UP);
	/* The caller does not refresh in time. */
	{
		struct call *c = cw_call(s.w);
		struct call_input in = {
			.event = EV_EXPIRED, .party = &c->caller};

		call_event(c, &in);
	}
	sp_expect(&s.itsp, "BYE ");
	dl_answer(&s.caller, s.itsp.rx, 200, NULL, NULL);
	sp_expect(&s.phone, "BYE ");
	dl_answer(&s.called, s.phone.rx, 200, NULL, NULL);
	sc_cdr(cw_cdr(s.w), REASON_CALL_SESSION_EXPIRED, 200, "caller");
	sc_end(&s);
}
END_TEST

/* The phone wants a longer interval than we asked for; so do we of it. */
START_TEST(interval_too_small)
{
	struct scene s;

	sc_begin(&s, NULL);
	dl_invite(&s.caller, &s.itsp, &s.w->itsp, "+491", "+4930100", NULL,
		sdp_text(&s.itsp, 6000, "8 101", NULL));
	sp_expect(&s.phone, "INVITE ");
	ck_assert_str_eq(
		msg_header_value(s.phone.rx, "Session-Expires", 0), "1800");
	dl_from_invite(&s.called, &s.phone, &s.w->phones);
	dl_answer(&s.called, s.called.invite, 422, "Min-SE: 3600\r\n", NULL);
	sp_expect(&s.phone, "ACK ");
	sp_expect(&s.phone, "INVITE ");
	ck_assert_str_eq(
		msg_header_value(s.phone.rx, "Session-Expires", 0), "3600");
	ck_assert_str_eq(
		msg_header_value(s.phone.rx, "Session-Expires", 1), "");
	ck_assert_str_eq(msg_header_value(s.phone.rx, "Min-SE", 0), "3600");
	dl_from_invite(&s.called, &s.phone, &s.w->phones);
	sc_answer(&s);
	dl_request(&s.called, "INVITE",
		"Supported: timer\r\nSession-Expires: 60\r\n",
		"application/sdp", sdp_text(&s.phone, 7000, "8 101", NULL));
	sp_expect(&s.phone, "SIP/2.0 422");
	ck_assert_str_eq(msg_header_value(s.phone.rx, "Min-SE", 0), "90");
	dl_ack(&s.called, NULL);
	cw_turn(s.w);
	sc_bye_from_caller(&s);
	sc_cdr(cw_cdr(s.w), REASON_CALL_CALLER_HUNG_UP, 200, "caller");
	sc_end(&s);
}
END_TEST

/* The PBX says that another phone of its group has answered. */
START_TEST(reason_crosses)
{
	struct cw_config config = {0};
	struct cw *w = cw_new(&config);
	struct sip_peer pbx, phone;
	struct dialog caller, called;

	sp_open(w, &pbx, 4);
	sp_open(w, &phone, 5);
	cw_bind(w, 1, &phone);
	dl_invite(&caller, &pbx, &w->pbx, "701", "100", NULL,
		sdp_text(&pbx, 5000, "8 101", NULL));
	sp_expect(&phone, "INVITE ");
	dl_from_invite(&called, &phone, &w->phones);
	dl_answer(&called, called.invite, 180, NULL, NULL);
	sp_expect(&pbx, "SIP/2.0 180");
	dl_cancel_with(&caller,
		"Reason: SIP;cause=200;text=\"secret name took it\"\r\n");
	sp_expect(&pbx, "SIP/2.0 200");
	sp_expect(&pbx, "SIP/2.0 487");
	dl_ack(&caller, NULL);
	sp_expect(&phone, "CANCEL ");
	ck_assert(msg_has(
		msg_header_value(phone.rx, "Reason", 0), "SIP;cause=200"));
	ck_assert(!msg_has(phone.rx, "secret"));
	dl_answer(&called, phone.rx, 200, NULL, NULL);
	dl_answer(&called, called.invite, 487, NULL, NULL);
	sp_expect(&phone, "ACK ");
	sc_cdr(cw_cdr(w), REASON_CALL_CANCELLED, 487, "caller");
	cw_wait_empty(w);
	sp_close(&pbx);
	sp_close(&phone);
	cw_free(&w);
}
END_TEST

/* A caller that requires PRACK and never sends one. */
START_TEST(no_prack)
{
	struct scene s;

	sc_begin(&s, NULL);
	dl_invite(&s.caller, &s.itsp, &s.w->itsp, "+491", "+4930100",
		"Require: 100rel\r\n", sdp_text(&s.itsp, 6000, "8 101", NULL));
	sp_expect(&s.phone, "INVITE ");
	dl_from_invite(&s.called, &s.phone, &s.w->phones);
	dl_answer(&s.called, s.called.invite, 180, NULL, NULL);
	sp_expect(&s.itsp, "SIP/2.0 180");
	sp_expect_but(&s.itsp, "SIP/2.0 50", "SIP/2.0 180");
	dl_ack(&s.caller, NULL);
	sp_expect(&s.phone, "CANCEL ");
	dl_answer(&s.called, s.phone.rx, 200, NULL, NULL);
	dl_answer(&s.called, s.called.invite, 487, NULL, NULL);
	sp_expect(&s.phone, "ACK ");
	sc_cdr(cw_cdr(s.w), REASON_CALL_CANCELLED, 487, "caller");
	sc_end(&s);
}
END_TEST

/* A proxy sends our own INVITE back: with the same number it is a loop, with
 * one of ours a call of its own. */
START_TEST(loop_and_spiral)
{
	struct cw_config config = {0};
	struct cw *w = cw_new(&config);
	static char text[CW_TEXT], ours[CW_TEXT];
	struct sip_peer pbx, itsp, phone;
	struct dialog caller, called, back = {0};

	sp_open(w, &pbx, 4);
	sp_open(w, &itsp, 2);
	sp_open(w, &phone, 5);
	cw_bind(w, 1, &phone);
	dl_invite(&caller, &pbx, &w->pbx, "701", "+49891234", NULL,
		sdp_text(&pbx, 5000, "8 101", NULL));
	sp_expect(&itsp, "INVITE sip:+49891234@");
	snprintf(ours, sizeof ours, "%s", itsp.rx);
	dl_from_invite(&called, &itsp, &w->itsp);
	for (int spiral = 0; spiral < 2; spiral++) {
		const char *rest = strstr(ours, " SIP/2.0\r\n") + 10;

		snprintf(text, sizeof text,
			"INVITE sip:%s@%s SIP/2.0\r\n"
			"Via: SIP/2.0/UDP %s;branch=z9hG4bKback%d\r\n%s",
			spiral ? "+4930100" : "+49891234",
			cw_at(2, CW_TRUNK_PORT), itsp.text, spiral, rest);
		sp_send(&itsp, &w->itsp, text);
		if (!spiral) {
			sp_expect(&itsp, "SIP/2.0 482");
			ck_assert_uint_eq(reason_counted(REASON_ADMIT_LOOP), 1);
		}
	}
	sp_expect(&phone, "INVITE sip:line@");
	dl_from_invite(&back, &phone, &w->phones);
	ck_assert_str_ne(back.call_id, called.call_id);
	dl_answer(&back, back.invite, 486, NULL, NULL);
	sp_expect(&phone, "ACK ");
	sp_expect(&itsp, "SIP/2.0 486");
	dl_answer(&called, called.invite, 486, NULL, NULL);
	sp_expect(&itsp, "ACK ");
	sp_expect(&pbx, "SIP/2.0 486");
	dl_ack(&caller, NULL);
	sc_cdr(cw_cdr(w), REASON_CALL_BUSY, 486, "called");
	sc_cdr(cw_cdr(w), REASON_CALL_BUSY, 486, "called");
	sp_close(&pbx);
	sp_close(&itsp);
	sp_close(&phone);
	cw_free(&w);
}
END_TEST

/* A registrar that comes back is not met by all its customers at once: what is
 * waited is drawn from the last quarter of the time, from all of it. */
START_TEST(retries_are_spread)
{
	const uint64_t whole = 600 * CLOCK_US_PER_S, step = whole / 16;
	unsigned seen[4] = {0};

	for (unsigned i = 0; i < 2000; i++) {
		uint64_t us = registrant_spread(whole);

		ck_assert_uint_ge(us, whole - whole / 4);
		ck_assert_uint_le(us, whole);
		seen[us == whole ? 3 : (us - (whole - whole / 4)) / step]++;
	}
	for (unsigned i = 0; i < 4; i++)
		ck_assert_uint_gt(seen[i], 300);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("sbc_call_ways");

	suite_add(s, "phone_to_trunk", phone_to_trunk);
	suite_add(s, "trunk_names_us", trunk_names_us);
	suite_add(s, "phone_to_phone", phone_to_phone);
	suite_add(s, "pbx_ways", pbx_ways);
	suite_add(s, "failover", failover);
	suite_add(s, "redirect", redirect);
	suite_add(s, "trunk_challenges", trunk_challenges);
	suite_add(s, "trunk_challenge_in_vain", trunk_challenge_in_vain);
	suite_add(s, "registers_at_trunk", registers_at_trunk);
	suite_add(s, "retries_are_spread", retries_are_spread);
	suite_add(s, "probes", probes);
	suite_add(s, "caller_requires_prack", caller_requires_prack);
	suite_add(s, "called_requires_prack", called_requires_prack);
	suite_add(s, "session_timer", session_timer);
	suite_add(s, "interval_too_small", interval_too_small);
	suite_add(s, "reason_crosses", reason_crosses);
	suite_add(s, "no_prack", no_prack);
	suite_add(s, "loop_and_spiral", loop_and_spiral);
	return s;
}

int main(void)
{
	return suite_run(suite());
}
