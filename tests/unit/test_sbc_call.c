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

static const struct cw_config plain;

/* A call of the ITSP to extension 100, whose phone rings and answers. */
struct scene {
	struct cw *w;
	struct sip_peer itsp, phone;
	struct dialog caller, called;
};

static void scene_begin(struct scene *s, const struct cw_config *config)
{
	memset(s, 0, sizeof *s);
	s->w = cw_new(config);
	sp_open(s->w, &s->itsp, "127.0.0.2");
	sp_open(s->w, &s->phone, "127.0.0.5");
	cw_bind(s->w, 1, &s->phone);
}

static void scene_end(struct scene *s)
{
	cw_wait_empty(s->w);
	sp_silent(&s->itsp);
	sp_silent(&s->phone);
	sp_close(&s->itsp);
	sp_close(&s->phone);
	cw_free(&s->w);
}

static void ring(struct scene *s, const char *sdp)
{
	dl_invite(&s->caller, &s->itsp, &s->w->itsp, "+491761234567",
		"+4930100", NULL, sdp);
	sp_expect(&s->phone, "INVITE sip:line@");
	dl_from_invite(&s->called, &s->phone, &s->w->phones);
	dl_answer(&s->called, s->called.invite, 180, NULL, NULL);
	sp_expect(&s->itsp, "SIP/2.0 180");
}

static void answer(struct scene *s)
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

static void call_up(struct scene *s)
{
	ring(s, sdp_text(&s->itsp, 6000, "8 0 101", NULL));
	answer(s);
}

static void bye_from_caller(struct scene *s)
{
	dl_request(&s->caller, "BYE", NULL, NULL, NULL);
	sp_expect(&s->itsp, "SIP/2.0 200");
	sp_expect(&s->phone, "BYE ");
	dl_answer(&s->called, s->phone.rx, 200, NULL, NULL);
}

static void ck_cdr(const Gh__Cdr *cdr, enum reason why, unsigned status,
	const char *side)
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

START_TEST(complete)
{
	struct scene s;
	const Gh__Cdr *cdr;
	const char *m;

	scene_begin(&s, &plain);
	dl_invite(&s.caller, &s.itsp, &s.w->itsp, "+491761234567", "+4930100",
		"X-Secret: a\r\nSubject: b\r\n",
		sdp_text(&s.itsp, 6000, "8 0 101", NULL));
	m = sp_expect(&s.phone, "INVITE sip:line@");
	/* Nothing of the caller's but its number crosses. */
	ck_assert(!msg_has(m, "127.0.0.2"));
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
	ck_assert(!msg_has(m, "127.0.0.5"));
	/* Both sides are in force before the caller hears of it. */
	ck_assert_uint_eq(s.w->want->caller->n_payloads, 2);
	ck_assert_str_eq(s.w->want->caller->remote_rtp, "127.0.0.2:6000");
	ck_assert_str_eq(s.w->want->called->remote_rtp, "127.0.0.5:7000");
	ck_assert(s.w->want->caller->must_send);
	ck_assert(s.w->want->called->may_receive);
	dl_answered(&s.caller);
	dl_ack(&s.caller, NULL);
	cw_turn(s.w);
	bye_from_caller(&s);
	cdr = cw_cdr(s.w);
	ck_cdr(cdr, REASON_CALL_CALLER_HUNG_UP, 200, "caller");
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
	scene_end(&s);
}
END_TEST

START_TEST(bye_from_called)
{
	struct scene s;

	scene_begin(&s, &plain);
	call_up(&s);
	dl_request(&s.called, "BYE", NULL, NULL, NULL);
	sp_expect(&s.phone, "SIP/2.0 200");
	sp_expect(&s.itsp, "BYE ");
	dl_answer(&s.caller, s.itsp.rx, 200, NULL, NULL);
	ck_cdr(cw_cdr(s.w), REASON_CALL_CALLED_HUNG_UP, 200, "called");
	scene_end(&s);
}
END_TEST

START_TEST(cancelled)
{
	struct scene s;
	const Gh__Cdr *cdr;

	scene_begin(&s, &plain);
	ring(&s, sdp_text(&s.itsp, 6000, "8", NULL));
	dl_cancel(&s.caller);
	sp_expect(&s.itsp, "SIP/2.0 200");
	sp_expect(&s.itsp, "SIP/2.0 487");
	dl_ack(&s.caller, NULL);
	sp_expect(&s.phone, "CANCEL sip:line@");
	dl_answer(&s.called, s.phone.rx, 200, NULL, NULL);
	dl_answer(&s.called, s.called.invite, 487, NULL, NULL);
	sp_expect(&s.phone, "ACK ");
	cdr = cw_cdr(s.w);
	ck_cdr(cdr, REASON_CALL_CANCELLED, 487, "caller");
	ck_assert_uint_eq(cdr->wall_answer_us, 0);
	ck_assert_uint_eq(cdr->duration_us, 0);
	scene_end(&s);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("sbc_call");

	suite_add(s, "complete", complete);
	suite_add(s, "bye_from_called", bye_from_called);
	suite_add(s, "cancelled", cancelled);
	return s;
}

int main(void)
{
	return suite_run(suite());
}
