/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls from INVITE to CDR between raw UDP peers: set-up, refusal, races and
 * tear-down.
 */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "tests/unit/call_world.h"
#include "tests/unit/suite.h"

START_TEST(complete)
{
	struct scene s;
	const Gh__Cdr *cdr;
	const char *m;

	sc_begin(&s, NULL);
	dl_invite(&s.caller, &s.itsp, &s.w->itsp, "+491761234567", "+4930100",
		"X-Secret: a\r\nSubject: b\r\n",
		sdp_text(&s.itsp, 6000, "8 0 101", NULL));
	m = sp_expect(&s.phone, "INVITE sip:line@");
	/* Nothing of the caller's but its number crosses. */
	ck_assert(!msg_has(m, cw_at(2, 0)));
	ck_assert(!msg_has(m, s.caller.call_id));
	ck_assert(!msg_has(m, "secret"));
	ck_assert(!msg_has(m, "X-Secret"));
	ck_assert(!msg_has(m, "peer/1"));
	ck_assert(msg_has(msg_header_value(m, "From", 0), "+491761234567"));
	ck_assert_int_eq(
		strncmp(msg_header_value(m, "Call-ID", 0), "w0-", 3), 0);
	ck_assert_str_eq(msg_header_value(m, "Max-Forwards", 0), "69");
	ck_assert_uint_eq(sdp_port_of(msg_body(m)), 40006);
	ck_assert(msg_has(msg_body(m), "c=IN IP4 127.0.0.1"));
	dl_from_invite(&s.called, &s.phone, &s.w->phones);
	dl_answer(&s.called, s.called.invite, 180, NULL, NULL);
	m = sp_expect(&s.itsp, "SIP/2.0 180");
	ck_assert_str_ne(msg_tag(m, "To"), "");
	dl_answer(&s.called, s.called.invite, 200, NULL,
		sdp_text(&s.phone, 7000, "8 101", NULL));
	m = sp_expect(&s.phone, "ACK sip:me@");
	ck_assert_int_eq(atoi(msg_header_value(m, "CSeq", 0)),
		atoi(msg_header_value(s.called.invite, "CSeq", 0)));
	m = sp_expect(&s.itsp, "SIP/2.0 200");
	ck_assert_uint_eq(sdp_port_of(msg_body(m)), 40004);
	/* Behind a 1:1 NAT the world is told the outer address. */
	ck_assert(msg_has(msg_body(m), "c=IN IP4 198.51.100.7"));
	ck_assert(!msg_has(msg_body(m), "PCMU"));
	ck_assert(!msg_has(m, cw_at(5, 0)));
	/* Both sides are in force before the caller hears of it. */
	ck_assert_uint_eq(s.w->want->caller->n_payloads, 2);
	ck_assert_str_eq(s.w->want->caller->remote_rtp, cw_at(2, 6000));
	ck_assert_str_eq(s.w->want->called->remote_rtp, cw_at(5, 7000));
	ck_assert(s.w->want->caller->must_send);
	ck_assert(s.w->want->called->may_receive);
	dl_answered(&s.caller);
	dl_ack(&s.caller, NULL);
	cw_turn(s.w);
	sc_bye_from_caller(&s);
	cdr = cw_cdr(s.w);
	sc_cdr(cdr, REASON_CALL_CALLER_HUNG_UP, 200, "caller");
	ck_assert_str_eq(cdr->caller, "+491761234567");
	ck_assert_str_eq(cdr->called, "+4930100");
	ck_assert_uint_ne(cdr->wall_ring_us, 0);
	ck_assert_uint_ne(cdr->wall_answer_us, 0);
	ck_assert_uint_ne(cdr->duration_us, 0);
	ck_assert_uint_eq(cdr->attempts, 1);
	ck_assert_uint_eq(cdr->far_status, 200);
	ck_assert_str_eq(cdr->caller_leg->kind, "trunk");
	ck_assert_uint_eq(cdr->caller_leg->trunk, 1);
	ck_assert_uint_eq(cdr->caller_leg->realm, 2);
	ck_assert_str_eq(cdr->caller_leg->call_id, s.caller.call_id);
	ck_assert_str_eq(cdr->caller_leg->peer, s.itsp.text);
	ck_assert_str_eq(cdr->caller_leg->user_agent, "peer/1");
	ck_assert_uint_eq(cdr->caller_leg->media->rx_packets, 11);
	ck_assert_str_eq(cdr->called_leg->kind, "phone");
	ck_assert_uint_eq(cdr->called_leg->account, 1);
	ck_assert_str_eq(cdr->called_leg->call_id, s.called.call_id);
	ck_assert_str_eq(cdr->called_leg->codec, "PCMA");
	ck_assert_uint_eq(cdr->called_leg->media->rx_packets, 22);
	sc_end(&s);
}
END_TEST

START_TEST(bye_from_called)
{
	struct scene s;

	sc_begin(&s, NULL);
	sc_up(&s);
	dl_request(&s.called, "BYE", NULL, NULL, NULL);
	sp_expect(&s.phone, "SIP/2.0 200");
	sp_expect(&s.itsp, "BYE ");
	dl_answer(&s.caller, s.itsp.rx, 200, NULL, NULL);
	sc_cdr(cw_cdr(s.w), REASON_CALL_CALLED_HUNG_UP, 200, "called");
	sc_end(&s);
}
END_TEST

START_TEST(cancelled)
{
	struct scene s;
	const Gh__Cdr *cdr;

	sc_begin(&s, NULL);
	sc_ring(&s, sdp_text(&s.itsp, 6000, "8", NULL));
	dl_cancel(&s.caller);
	sp_expect(&s.itsp, "SIP/2.0 200");
	sp_expect(&s.itsp, "SIP/2.0 487");
	dl_ack(&s.caller, NULL);
	sp_expect(&s.phone, "CANCEL sip:line@");
	dl_answer(&s.called, s.phone.rx, 200, NULL, NULL);
	dl_answer(&s.called, s.called.invite, 487, NULL, NULL);
	sp_expect(&s.phone, "ACK ");
	cdr = cw_cdr(s.w);
	sc_cdr(cdr, REASON_CALL_CANCELLED, 487, "caller");
	ck_assert_uint_eq(cdr->wall_answer_us, 0);
	ck_assert_uint_eq(cdr->duration_us, 0);
	sc_end(&s);
}
END_TEST

/* The phone picks up while the CANCEL is on its way to it. */
START_TEST(cancel_crosses_answer)
{
	struct scene s;

	sc_begin(&s, NULL);
	sc_ring(&s, sdp_text(&s.itsp, 6000, "8", NULL));
	dl_cancel(&s.caller);
	sp_expect(&s.itsp, "SIP/2.0 200");
	sp_expect(&s.itsp, "SIP/2.0 487");
	dl_ack(&s.caller, NULL);
	sp_expect(&s.phone, "CANCEL ");
	dl_answer(&s.called, s.phone.rx, 200, NULL, NULL);
	dl_answer(&s.called, s.called.invite, 200, NULL,
		sdp_text(&s.phone, 7000, "8", NULL));
	sp_expect(&s.phone, "ACK ");
	sp_expect(&s.phone, "BYE ");
	dl_answer(&s.called, s.phone.rx, 200, NULL, NULL);
	sc_cdr(cw_cdr(s.w), REASON_CALL_CANCELLED, 487, "caller");
	sc_end(&s);
}
END_TEST

/* The caller gives up while mediad is being told of the answer. */
START_TEST(cancel_while_answering)
{
	struct scene s;

	sc_begin(&s, NULL);
	sc_ring(&s, sdp_text(&s.itsp, 6000, "8", NULL));
	s.w->media_silent = true;
	dl_answer(&s.called, s.called.invite, 200, NULL,
		sdp_text(&s.phone, 7000, "8", NULL));
	sp_expect(&s.phone, "ACK ");
	ck_assert_int_eq(cw_call(s.w)->state, CALL_ANSWERING);
	dl_cancel(&s.caller);
	sp_expect(&s.itsp, "SIP/2.0 200");
	sp_expect(&s.itsp, "SIP/2.0 487");
	dl_ack(&s.caller, NULL);
	sp_expect(&s.phone, "BYE ");
	dl_answer(&s.called, s.phone.rx, 200, NULL, NULL);
	sc_cdr(cw_cdr(s.w), REASON_CALL_CANCELLED, 487, "caller");
	sc_end(&s);
}
END_TEST

static void refused(unsigned status, enum reason why, unsigned told)
{
	struct scene s;
	const Gh__Cdr *cdr;
	char line[16];

	sc_begin(&s, NULL);
	sc_ring(&s, sdp_text(&s.itsp, 6000, "8", NULL));
	/* A phone may forward its calls, but this one names no number. */
	dl_answer(&s.called, s.called.invite, status,
		"Contact: <sip:192.0.2.9>\r\n", NULL);
	sp_expect(&s.phone, "ACK ");
	snprintf(line, sizeof line, "SIP/2.0 %u", told);
	sp_expect(&s.itsp, line);
	/* The far side's own words do not cross. */
	ck_assert(!msg_has(s.itsp.rx, "Peer says so"));
	dl_ack(&s.caller, NULL);
	cdr = cw_cdr(s.w);
	sc_cdr(cdr, why, told, "called");
	ck_assert_uint_eq(cdr->far_status, status);
	sc_end(&s);
}

START_TEST(far_failures)
{
	refused(486, REASON_CALL_BUSY, 486);
	refused(603, REASON_CALL_DECLINED, 603);
	refused(404, REASON_CALL_FAR_NOT_FOUND, 404);
	/* Our trouble is not the caller's: a 503 would take us out of service
	 * for it, a 401 would ask it for a password. */
	refused(503, REASON_CALL_FAR_OVERLOADED, 500);
	refused(401, REASON_CALL_FAR_UNAUTHORIZED, 500);
	refused(302, REASON_CALL_REDIRECTED, 480);
}
END_TEST

START_TEST(no_answer)
{
	struct scene s;

	sc_begin(&s, NULL);
	sc_ring(&s, sdp_text(&s.itsp, 6000, "8", NULL));
	cw_fire(s.w, EV_TIMER);
	sp_expect(&s.itsp, "SIP/2.0 480");
	dl_ack(&s.caller, NULL);
	sp_expect(&s.phone, "CANCEL ");
	dl_answer(&s.called, s.phone.rx, 200, NULL, NULL);
	dl_answer(&s.called, s.called.invite, 487, NULL, NULL);
	sp_expect(&s.phone, "ACK ");
	sc_cdr(cw_cdr(s.w), REASON_CALL_NO_ANSWER, 480, "sbc");
	sc_end(&s);
}
END_TEST

START_TEST(silent_phone)
{
	struct scene s;

	sc_begin(&s, NULL);
	dl_invite(&s.caller, &s.itsp, &s.w->itsp, "+491", "+4930100", NULL,
		sdp_text(&s.itsp, 6000, "8", NULL));
	sp_expect(&s.phone, "INVITE ");
	cw_fire(s.w, EV_TIMER);
	sp_expect(&s.itsp, "SIP/2.0 480");
	dl_ack(&s.caller, NULL);
	sc_cdr(cw_cdr(s.w), REASON_CALL_FAR_SILENT, 480, "sbc");
	/* No CANCEL goes to a phone that has said nothing (RFC 3261 9.1); the
	 * INVITE is repeated until its time is over. */
	cw_wait_empty(s.w);
	while (recv(s.phone.fd, s.phone.rx, sizeof s.phone.rx, 0) > 0)
		ck_assert_int_eq(strncmp(s.phone.rx, "INVITE", 6), 0);
	sc_end(&s);
}
END_TEST

/* Two phones of one account. */
static void fork_rings(
	struct scene *s, struct sip_peer *second, struct dialog *other)
{
	sp_open(s->w, second, 6);
	cw_bind(s->w, 1, second);
	dl_invite(&s->caller, &s->itsp, &s->w->itsp, "+491", "+4930100", NULL,
		sdp_text(&s->itsp, 6000, "8", NULL));
	sp_expect(&s->phone, "INVITE ");
	dl_from_invite(&s->called, &s->phone, &s->w->phones);
	sp_expect(second, "INVITE ");
	dl_from_invite(other, second, &s->w->phones);
	dl_answer(&s->called, s->called.invite, 180, NULL, NULL);
	sp_expect(&s->itsp, "SIP/2.0 180");
	dl_answer(other, other->invite, 180, NULL, NULL);
	sp_silent(&s->itsp); /* it knows that it rings */
}

START_TEST(fork_first_wins)
{
	struct scene s;
	struct sip_peer second;
	struct dialog other;
	const Gh__Cdr *cdr;

	sc_begin(&s, NULL);
	fork_rings(&s, &second, &other);
	sc_answer(&s);
	sp_expect(&second, "CANCEL ");
	ck_assert(msg_has(msg_header_value(second.rx, "Reason", 0), "200"));
	dl_answer(&other, second.rx, 200, NULL, NULL);
	dl_answer(&other, other.invite, 487, NULL, NULL);
	sp_expect(&second, "ACK ");
	sc_bye_from_caller(&s);
	cdr = cw_cdr(s.w);
	sc_cdr(cdr, REASON_CALL_CALLER_HUNG_UP, 200, "caller");
	ck_assert_str_eq(cdr->called_leg->peer, s.phone.text);
	sp_silent(&second);
	sp_close(&second);
	sc_end(&s);
}
END_TEST

START_TEST(fork_late_answer)
{
	struct scene s;
	struct sip_peer second;
	struct dialog other;

	sc_begin(&s, NULL);
	fork_rings(&s, &second, &other);
	sc_answer(&s);
	sp_expect(&second, "CANCEL ");
	dl_answer(&other, second.rx, 200, NULL, NULL);
	/* It had picked up in the same moment. */
	dl_answer(&other, other.invite, 200, NULL,
		sdp_text(&second, 7100, "8", NULL));
	sp_expect(&second, "ACK ");
	sp_expect(&second, "BYE ");
	dl_answer(&other, second.rx, 200, NULL, NULL);
	/* Its 2xx comes once more: only the ACK is repeated. */
	second.repeats = true;
	dl_answer(&other, other.invite, 200, NULL,
		sdp_text(&second, 7100, "8", NULL));
	sp_expect(&second, "ACK ");
	sc_bye_from_caller(&s);
	sc_cdr(cw_cdr(s.w), REASON_CALL_CALLER_HUNG_UP, 200, "caller");
	sp_silent(&second);
	sp_close(&second);
	sc_end(&s);
}
END_TEST

/* Two phones at different addresses of ours: each is told a port that it can
 * reach, and who answers has the call's media. */
START_TEST(fork_over_addresses)
{
	struct scene s;
	struct sip_peer second;
	struct dialog other;
	char first_session[IDENT_CALL_SIZE];
	const Gh__Cdr *cdr;

	sc_begin(&s, NULL);
	sp_open(s.w, &second, 6);
	cw_bind_at(s.w, 1, &second, &s.w->phones2);
	dl_invite(&s.caller, &s.itsp, &s.w->itsp, "+491", "+4930100", NULL,
		sdp_text(&s.itsp, 6000, "8", NULL));
	sp_expect(&s.phone, "INVITE ");
	ck_assert(msg_has(msg_body(s.phone.rx), "c=IN IP4 127.0.0.1"));
	dl_from_invite(&s.called, &s.phone, &s.w->phones);
	sp_expect(&second, "INVITE ");
	ck_assert(msg_has(msg_body(second.rx), "c=IN IP4 127.0.0.9"));
	dl_from_invite(&other, &second, &s.w->phones2);
	ck_assert_uint_eq(s.w->n_opened, 2);
	snprintf(first_session, sizeof first_session, "%s", cw_call(s.w)->id);
	dl_answer(&s.called, s.called.invite, 180, NULL, NULL);
	sp_expect(&s.itsp, "SIP/2.0 180");
	dl_answer(&other, other.invite, 200, NULL,
		sdp_text(&second, 7100, "8", NULL));
	sp_expect(&second, "ACK ");
	sp_expect(&s.itsp, "SIP/2.0 200");
	ck_assert_str_eq(s.w->want->called->media, "127.0.0.9");
	ck_assert_str_eq(s.w->want->called->remote_rtp, cw_at(6, 7100));
	sp_expect(&s.phone, "CANCEL ");
	dl_answer(&s.called, s.phone.rx, 200, NULL, NULL);
	dl_answer(&s.called, s.called.invite, 487, NULL, NULL);
	sp_expect(&s.phone, "ACK ");
	dl_answered(&s.caller);
	dl_ack(&s.caller, NULL);
	cw_turn(s.w);
	ck_assert_uint_eq(s.w->n_ended, 1);
	dl_request(&s.caller, "BYE", NULL, NULL, NULL);
	sp_expect(&s.itsp, "SIP/2.0 200");
	sp_expect(&second, "BYE ");
	dl_answer(&other, second.rx, 200, NULL, NULL);
	cdr = cw_cdr(s.w);
	sc_cdr(cdr, REASON_CALL_CALLER_HUNG_UP, 200, "caller");
	ck_assert_str_eq(cdr->call, first_session);
	ck_assert_str_eq(cdr->called_leg->peer, second.text);
	ck_assert_uint_eq(cdr->called_leg->media->rx_packets, 22);
	sp_close(&second);
	sc_end(&s);
}
END_TEST

/* All refuse: the caller hears the best of it, once. */
START_TEST(fork_all_refuse)
{
	struct scene s;
	struct sip_peer second;
	struct dialog other;

	sc_begin(&s, NULL);
	fork_rings(&s, &second, &other);
	dl_answer(&other, other.invite, 480, NULL, NULL);
	sp_expect(&second, "ACK ");
	sp_silent(&s.itsp);
	dl_answer(&s.called, s.called.invite, 486, NULL, NULL);
	sp_expect(&s.phone, "ACK ");
	sp_expect(&s.itsp, "SIP/2.0 486");
	dl_ack(&s.caller, NULL);
	sc_cdr(cw_cdr(s.w), REASON_CALL_BUSY, 486, "called");
	sp_close(&second);
	sc_end(&s);
}
END_TEST

/* A 6xx of one phone speaks for the person (RFC 3261 16.7). */
START_TEST(fork_declined)
{
	struct scene s;
	struct sip_peer second;
	struct dialog other;

	sc_begin(&s, NULL);
	fork_rings(&s, &second, &other);
	dl_answer(&other, other.invite, 603, NULL, NULL);
	sp_expect(&second, "ACK ");
	sp_expect(&s.itsp, "SIP/2.0 603");
	dl_ack(&s.caller, NULL);
	sp_expect(&s.phone, "CANCEL ");
	dl_answer(&s.called, s.phone.rx, 200, NULL, NULL);
	dl_answer(&s.called, s.called.invite, 487, NULL, NULL);
	sp_expect(&s.phone, "ACK ");
	sc_cdr(cw_cdr(s.w), REASON_CALL_DECLINED, 603, "called");
	sp_close(&second);
	sc_end(&s);
}
END_TEST

/* Behind the phone's address a proxy forks: a second 2xx with another tag. */
START_TEST(second_answer_of_a_fork)
{
	struct scene s;
	struct dialog other;
	bool ack = false, bye = false;

	sc_begin(&s, NULL);
	sc_up(&s);
	other = s.called;
	snprintf(other.local, sizeof other.local, "%s;tag=another",
		msg_header_value(s.called.invite, "To", 0));
	dl_answer(&other, other.invite, 200,
		"Contact: <sip:victim@192.0.2.99>\r\n",
		sdp_text(&s.phone, 7200, "8", NULL));
	for (int i = 0; i < 2; i++) {
		sp_expect(&s.phone, "");
		ack = ack || strncmp(s.phone.rx, "ACK ", 4) == 0;
		ck_assert_str_eq(msg_tag(s.phone.rx, "To"), "another");
		if (strncmp(s.phone.rx, "BYE ", 4) == 0) {
			bye = true;
			dl_answer(&other, s.phone.rx, 200, NULL, NULL);
		}
	}
	ck_assert(ack && bye);
	sc_bye_from_caller(&s);
	sc_cdr(cw_cdr(s.w), REASON_CALL_CALLER_HUNG_UP, 200, "caller");
	sc_end(&s);
}
END_TEST

START_TEST(repetitions)
{
	struct scene s;

	sc_begin(&s, NULL);
	sc_ring(&s, sdp_text(&s.itsp, 6000, "8", NULL));
	s.itsp.repeats = true;
	sp_send(&s.itsp, &s.w->itsp, s.caller.invite);
	sp_expect(&s.itsp, "SIP/2.0 180"); /* the last answer again */
	sp_silent(&s.phone);
	s.phone.repeats = true;
	dl_answer(&s.called, s.called.invite, 200, NULL,
		sdp_text(&s.phone, 7000, "8", NULL));
	sp_expect(&s.phone, "ACK ");
	sp_expect(&s.itsp, "SIP/2.0 200");
	dl_answer(&s.called, s.called.invite, 200, NULL,
		sdp_text(&s.phone, 7000, "8", NULL));
	sp_expect(&s.phone, "ACK ");
	/* No ACK yet: our 200 is repeated. */
	sp_expect(&s.itsp, "SIP/2.0 200");
	dl_answered(&s.caller);
	dl_ack(&s.caller, NULL);
	dl_ack(&s.caller, NULL);
	cw_turn(s.w);
	while (recv(s.itsp.fd, s.itsp.rx, sizeof s.itsp.rx, 0) > 0)
		continue; /* repetitions that were on their way */
	ck_assert_int_eq(cw_call(s.w)->state, CALL_UP);
	s.itsp.repeats = s.phone.repeats = false;
	sc_bye_from_caller(&s);
	sc_cdr(cw_cdr(s.w), REASON_CALL_CALLER_HUNG_UP, 200, "caller");
	sc_end(&s);
}
END_TEST

/* The caller never acknowledges. */
START_TEST(no_ack)
{
	struct scene s;

	sc_begin(&s, NULL);
	sc_ring(&s, sdp_text(&s.itsp, 6000, "8", NULL));
	dl_answer(&s.called, s.called.invite, 200, NULL,
		sdp_text(&s.phone, 7000, "8", NULL));
	sp_expect(&s.phone, "ACK ");
	sp_expect(&s.itsp, "SIP/2.0 200");
	dl_answered(&s.caller);
	sp_expect_but(&s.itsp, "BYE ", "SIP/2.0 200");
	dl_answer(&s.caller, s.itsp.rx, 200, NULL, NULL);
	sp_expect(&s.phone, "BYE ");
	dl_answer(&s.called, s.phone.rx, 200, NULL, NULL);
	sc_cdr(cw_cdr(s.w), REASON_CALL_NO_ACK, 200, "sbc");
	sc_end(&s);
}
END_TEST

/* The called side hangs up before the caller has acknowledged. */
START_TEST(bye_before_ack)
{
	struct scene s;

	sc_begin(&s, NULL);
	sc_ring(&s, sdp_text(&s.itsp, 6000, "8", NULL));
	dl_answer(&s.called, s.called.invite, 200, NULL,
		sdp_text(&s.phone, 7000, "8", NULL));
	sp_expect(&s.phone, "ACK ");
	sp_expect(&s.itsp, "SIP/2.0 200");
	dl_answered(&s.caller);
	dl_request(&s.called, "BYE", NULL, NULL, NULL);
	sp_expect(&s.phone, "SIP/2.0 200");
	/* RFC 3261 15: no BYE to the caller before its ACK. */
	dl_ack(&s.caller, NULL);
	sp_expect_but(&s.itsp, "BYE ", "SIP/2.0 200");
	dl_answer(&s.caller, s.itsp.rx, 200, NULL, NULL);
	sc_cdr(cw_cdr(s.w), REASON_CALL_CALLED_HUNG_UP, 200, "called");
	sc_end(&s);
}
END_TEST

/* One INVITE that is refused, and what the CDR says. */
static void turned_away(const struct cw_config *config, const char *to,
	const char *extra, const char *sdp, unsigned status, enum reason why)
{
	struct cw_config none = {0};
	struct sip_peer itsp;
	struct dialog d;
	struct cw *w = cw_new(config != NULL ? config : &none);
	char line[16];

	sp_open(w, &itsp, 2);
	dl_invite(&d, &itsp, &w->itsp, "+491", to, extra,
		sdp != NULL ? sdp : sdp_text(&itsp, 6000, "8", NULL));
	snprintf(line, sizeof line, "SIP/2.0 %u", status);
	sp_expect(&itsp, line);
	if (status == 503)
		ck_assert_str_ne(
			msg_header_value(itsp.rx, "Retry-After", 0), "");
	ck_assert_str_ne(msg_tag(itsp.rx, "To"), "");
	dl_ack(&d, NULL);
	sc_cdr(cw_cdr(w), why, status, "sbc");
	cw_wait_empty(w);
	sp_silent(&itsp);
	sp_close(&itsp);
	cw_free(&w);
}

START_TEST(refusals)
{
	static const struct cw_config no_mediad = {.no_mediad = true};

	turned_away(NULL, "+4930999", NULL, NULL, 404, REASON_ROUTE_NONE);
	turned_away(
		NULL, "+4930200", NULL, NULL, 480, REASON_ROUTE_NOT_REGISTERED);
	turned_away(NULL, "+4930100", NULL, "v=0\r\nnonsense\r\n", 400,
		REASON_SDP_SYNTAX);
	turned_away(
		&no_mediad, "+4930100", NULL, NULL, 503, REASON_SESSION_AWAY);
}
END_TEST

START_TEST(no_common_codec)
{
	struct scene s;

	sc_begin(&s, NULL);
	dl_invite(&s.caller, &s.itsp, &s.w->itsp, "+491", "+4930100", NULL,
		sdp_text(&s.itsp, 6000, "18", NULL));
	sp_expect(&s.itsp, "SIP/2.0 488");
	dl_ack(&s.caller, NULL);
	sp_silent(&s.phone);
	sc_cdr(cw_cdr(s.w), REASON_SDP_NO_CODEC, 488, "sbc");
	sc_end(&s);
}
END_TEST

START_TEST(media_refuses)
{
	struct scene s;

	sc_begin(&s, NULL);
	s.w->media_refuses = REASON_SESSION_NO_PORT;
	dl_invite(&s.caller, &s.itsp, &s.w->itsp, "+491", "+4930100", NULL,
		sdp_text(&s.itsp, 6000, "8", NULL));
	sp_expect(&s.itsp, "SIP/2.0 503");
	ck_assert_str_ne(msg_header_value(s.itsp.rx, "Retry-After", 0), "");
	dl_ack(&s.caller, NULL);
	sp_silent(&s.phone);
	sc_cdr(cw_cdr(s.w), REASON_SESSION_NO_PORT, 503, "sbc");
	sc_end(&s);
}
END_TEST

/* mediad is connected and says nothing. */
START_TEST(media_silent)
{
	struct scene s;

	sc_begin(&s, NULL);
	s.w->media_silent = true;
	dl_invite(&s.caller, &s.itsp, &s.w->itsp, "+491", "+4930100", NULL,
		sdp_text(&s.itsp, 6000, "8", NULL));
	sp_expect(&s.itsp, "SIP/2.0 503");
	dl_ack(&s.caller, NULL);
	sc_cdr(cw_cdr(s.w), REASON_SESSION_AWAY, 503, "sbc");
	sc_end(&s);
}
END_TEST

START_TEST(authd_silent)
{
	struct scene s;

	sc_begin(&s, NULL);
	s.w->accounts_silent = true;
	dl_invite(&s.caller, &s.itsp, &s.w->itsp, "+491", "+4930100", NULL,
		sdp_text(&s.itsp, 6000, "8", NULL));
	sp_expect(&s.itsp, "SIP/2.0 503");
	ck_assert_str_ne(msg_header_value(s.itsp.rx, "Retry-After", 0), "");
	dl_ack(&s.caller, NULL);
	sc_cdr(cw_cdr(s.w), REASON_AUTH_AWAY, 503, "sbc");
	sc_end(&s);
}
END_TEST

/* The answer has no codec of the offer. */
START_TEST(bad_answer)
{
	struct scene s;

	sc_begin(&s, NULL);
	sc_ring(&s, sdp_text(&s.itsp, 6000, "8", NULL));
	dl_answer(&s.called, s.called.invite, 200, NULL,
		sdp_text(&s.phone, 7000, "0", NULL));
	sp_expect(&s.phone, "ACK ");
	sp_expect(&s.phone, "BYE ");
	dl_answer(&s.called, s.phone.rx, 200, NULL, NULL);
	sp_expect(&s.itsp, "SIP/2.0 488");
	dl_ack(&s.caller, NULL);
	sc_cdr(cw_cdr(s.w), REASON_SDP_NO_CODEC, 488, "sbc");
	sc_end(&s);
}
END_TEST

START_TEST(early_media)
{
	struct scene s;
	const char *first;
	char body[1024];

	sc_begin(&s, NULL);
	dl_invite(&s.caller, &s.itsp, &s.w->itsp, "+491", "+4930100", NULL,
		sdp_text(&s.itsp, 6000, "8 0", NULL));
	sp_expect(&s.phone, "INVITE ");
	dl_from_invite(&s.called, &s.phone, &s.w->phones);
	first = sdp_text(&s.phone, 7000, "8", NULL);
	dl_answer(&s.called, s.called.invite, 183, NULL, first);
	sp_expect(&s.itsp, "SIP/2.0 183");
	snprintf(body, sizeof body, "%s", msg_body(s.itsp.rx));
	ck_assert_uint_eq(sdp_port_of(body), 40004);
	ck_assert(s.w->want->called->may_send);
	/* Before the answer nobody is obliged to send. */
	ck_assert(!s.w->want->called->must_send);
	dl_answer(&s.called, s.called.invite, 200, NULL, first);
	sp_expect(&s.phone, "ACK ");
	sp_expect(&s.itsp, "SIP/2.0 200");
	ck_assert_str_eq(msg_body(s.itsp.rx), body);
	ck_assert(s.w->want->called->must_send);
	dl_answered(&s.caller);
	dl_ack(&s.caller, NULL);
	cw_turn(s.w);
	sc_bye_from_caller(&s);
	sc_cdr(cw_cdr(s.w), REASON_CALL_CALLER_HUNG_UP, 200, "caller");
	sc_end(&s);
}
END_TEST

START_TEST(offerless)
{
	struct scene s;

	sc_begin(&s, NULL);
	dl_invite(
		&s.caller, &s.itsp, &s.w->itsp, "+491", "+4930100", NULL, NULL);
	sp_expect(&s.phone, "INVITE ");
	ck_assert(msg_has(msg_body(s.phone.rx), "PCMU"));
	dl_from_invite(&s.called, &s.phone, &s.w->phones);
	dl_answer(&s.called, s.called.invite, 200, NULL,
		sdp_text(&s.phone, 7000, "8 101", NULL));
	sp_expect(&s.phone, "ACK ");
	sp_expect(&s.itsp, "SIP/2.0 200");
	ck_assert(msg_has(msg_body(s.itsp.rx), "PCMA"));
	ck_assert(!msg_has(msg_body(s.itsp.rx), "PCMU"));
	dl_answered(&s.caller);
	dl_ack(&s.caller, sdp_text(&s.itsp, 6000, "8", NULL));
	cw_turn(s.w);
	ck_assert_int_eq(cw_call(s.w)->state, CALL_UP);
	ck_assert_str_eq(s.w->want->caller->remote_rtp, cw_at(2, 6000));
	ck_assert_uint_eq(s.w->want->caller->n_payloads, 1);
	sc_bye_from_caller(&s);
	sc_cdr(cw_cdr(s.w), REASON_CALL_CALLER_HUNG_UP, 200, "caller");
	sc_end(&s);
}
END_TEST

/* An ACK without the answer that it owes. */
START_TEST(offerless_no_answer)
{
	struct scene s;

	sc_begin(&s, NULL);
	dl_invite(
		&s.caller, &s.itsp, &s.w->itsp, "+491", "+4930100", NULL, NULL);
	sp_expect(&s.phone, "INVITE ");
	dl_from_invite(&s.called, &s.phone, &s.w->phones);
	dl_answer(&s.called, s.called.invite, 200, NULL,
		sdp_text(&s.phone, 7000, "8", NULL));
	sp_expect(&s.phone, "ACK ");
	sp_expect(&s.itsp, "SIP/2.0 200");
	dl_answered(&s.caller);
	dl_ack(&s.caller, NULL);
	sp_expect(&s.itsp, "BYE ");
	dl_answer(&s.caller, s.itsp.rx, 200, NULL, NULL);
	sp_expect(&s.phone, "BYE ");
	dl_answer(&s.called, s.phone.rx, 200, NULL, NULL);
	sc_cdr(cw_cdr(s.w), REASON_SDP_NO_ANSWER, 200, "sbc");
	sc_end(&s);
}
END_TEST

START_TEST(trunk_limit)
{
	static const struct cw_config one = {.itsp_max_calls = 1};
	struct scene s;
	struct dialog second;

	sc_begin(&s, &one);
	sc_up(&s);
	dl_invite(&second, &s.itsp, &s.w->itsp, "+492", "+4930100", NULL,
		sdp_text(&s.itsp, 6100, "8", NULL));
	sp_expect(&s.itsp, "SIP/2.0 503");
	dl_ack(&second, NULL);
	sc_cdr(cw_cdr(s.w), REASON_LIMIT_TRUNK_CALLS, 503, "sbc");
	sc_bye_from_caller(&s);
	sc_cdr(cw_cdr(s.w), REASON_CALL_CALLER_HUNG_UP, 200, "caller");
	sc_end(&s);
}
END_TEST

START_TEST(account_limit)
{
	struct scene s;
	struct dialog second;

	sc_begin(&s, NULL);
	s.w->max_calls = 1;
	sc_up(&s);
	dl_invite(&second, &s.itsp, &s.w->itsp, "+492", "+4930100", NULL,
		sdp_text(&s.itsp, 6100, "8", NULL));
	sp_expect(&s.itsp, "SIP/2.0 486");
	dl_ack(&second, NULL);
	sc_cdr(cw_cdr(s.w), REASON_CALL_BUSY, 486, "sbc");
	sc_bye_from_caller(&s);
	sc_cdr(cw_cdr(s.w), REASON_CALL_CALLER_HUNG_UP, 200, "caller");
	sc_end(&s);
}
END_TEST

static bool emptied;

static void on_empty(void *ctx)
{
	(void)ctx;
	emptied = true;
}

static bool is_emptied(void *ctx)
{
	(void)ctx;
	return emptied;
}

START_TEST(drain_and_end)
{
	struct scene s;
	struct dialog second;

	sc_begin(&s, NULL);
	sc_up(&s);
	calls_drain(s.w->sbc.calls, true);
	dl_invite(&second, &s.itsp, &s.w->itsp, "+492", "+4930100", NULL,
		sdp_text(&s.itsp, 6100, "8", NULL));
	sp_expect(&s.itsp, "SIP/2.0 503");
	sc_cdr(cw_cdr(s.w), REASON_ADMIT_DRAINING, 503, "sbc");
	ck_assert_uint_eq(calls_count(s.w->sbc.calls), 1);
	calls_end_all(s.w->sbc.calls, REASON_CALL_SHUTDOWN, on_empty, NULL);
	sp_expect(&s.itsp, "BYE ");
	dl_answer(&s.caller, s.itsp.rx, 200, NULL, NULL);
	sp_expect(&s.phone, "BYE ");
	dl_answer(&s.called, s.phone.rx, 200, NULL, NULL);
	cw_until(s.w, is_emptied, NULL, "the end of all calls");
	sc_cdr(cw_cdr(s.w), REASON_CALL_SHUTDOWN, 200, "sbc");
	sc_end(&s);
}
END_TEST

/* Freed while calls are in every kind of trouble. */
START_TEST(freed_in_mid_call)
{
	struct scene s;
	struct dialog second;

	sc_begin(&s, NULL);
	sc_up(&s);
	dl_invite(&second, &s.itsp, &s.w->itsp, "+492", "+4930100", NULL,
		sdp_text(&s.itsp, 6100, "8", NULL));
	sp_expect(&s.phone, "INVITE ");
	s.w->accounts_silent = true;
	dl_invite(&second, &s.itsp, &s.w->itsp, "+492", "+4930200", NULL,
		sdp_text(&s.itsp, 6100, "8", NULL));
	cw_turn(s.w);
	ck_assert_uint_eq(calls_count(s.w->sbc.calls), 3);
	sp_close(&s.itsp);
	sp_close(&s.phone);
	cw_free(&s.w);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("sbc_call");

	suite_add(s, "complete", complete);
	suite_add(s, "bye_from_called", bye_from_called);
	suite_add(s, "cancelled", cancelled);
	suite_add(s, "cancel_crosses_answer", cancel_crosses_answer);
	suite_add(s, "cancel_while_answering", cancel_while_answering);
	suite_add(s, "far_failures", far_failures);
	suite_add(s, "no_answer", no_answer);
	suite_add(s, "silent_phone", silent_phone);
	suite_add(s, "fork_first_wins", fork_first_wins);
	suite_add(s, "fork_late_answer", fork_late_answer);
	suite_add(s, "fork_over_addresses", fork_over_addresses);
	suite_add(s, "fork_all_refuse", fork_all_refuse);
	suite_add(s, "fork_declined", fork_declined);
	suite_add(s, "second_answer_of_a_fork", second_answer_of_a_fork);
	suite_add(s, "repetitions", repetitions);
	suite_add(s, "no_ack", no_ack);
	suite_add(s, "bye_before_ack", bye_before_ack);
	suite_add(s, "refusals", refusals);
	suite_add(s, "no_common_codec", no_common_codec);
	suite_add(s, "media_refuses", media_refuses);
	suite_add(s, "media_silent", media_silent);
	suite_add(s, "authd_silent", authd_silent);
	suite_add(s, "bad_answer", bad_answer);
	suite_add(s, "early_media", early_media);
	suite_add(s, "offerless", offerless);
	suite_add(s, "offerless_no_answer", offerless_no_answer);
	suite_add(s, "trunk_limit", trunk_limit);
	suite_add(s, "account_limit", account_limit);
	suite_add(s, "drain_and_end", drain_and_end);
	suite_add(s, "freed_in_mid_call", freed_in_mid_call);
	return s;
}

int main(void)
{
	return suite_run(suite());
}
