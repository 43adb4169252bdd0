/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Before the answer: whose early media the caller hears, and changes of early
 * dialogs by UPDATE (RFC 3311).
 */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "tests/unit/call_world.h"
#include "tests/unit/suite.h"

static const char rel[] = "Require: 100rel\r\nRSeq: 41\r\n";
static const char can_update[] =
	"Allow: INVITE, ACK, CANCEL, BYE, PRACK, UPDATE\r\n";

/* The caller acknowledges the reliable provisional in its socket. */
static void send_prack(struct dialog *d)
{
	char lines[128];

	snprintf(lines, sizeof lines, "RAck: %s %u INVITE\r\n",
		msg_header_value(d->p->rx, "RSeq", 0), d->invite_cseq);
	dl_answered(d);
	dl_request(d, "PRACK", lines, NULL, NULL);
}

static void prack(struct dialog *d)
{
	send_prack(d);
	sp_expect_but(d->p, "SIP/2.0 200", "SIP/2.0 18");
	ck_assert(msg_has(msg_header_value(d->p->rx, "CSeq", 0), "PRACK"));
}

/* A reliable 183 with a description, acknowledged. */
static void early(struct dialog *d, const char *sdp)
{
	dl_answer(d, d->invite, 183, rel, sdp);
	sp_expect(d->p, "PRACK ");
	dl_answer(d, d->p->rx, 200, NULL, NULL);
}

/* Early media to a caller of this kind; reliable on the called side. */
static void hears(struct scene *s, bool reliable, const char *formats)
{
	char lines[256];

	sc_begin(s, NULL);
	snprintf(lines, sizeof lines, "%s%s",
		reliable ? "Require: 100rel\r\n" : "", can_update);
	dl_invite(&s->caller, &s->itsp, &s->w->itsp, "+491", "+4930100", lines,
		sdp_text(&s->itsp, 6000, formats, NULL));
	sp_expect(&s->phone, "INVITE ");
	dl_from_invite(&s->called, &s->phone, &s->w->phones);
	early(&s->called, sdp_text(&s->phone, 7000, "8 101", NULL));
	sp_expect(&s->itsp, "SIP/2.0 183");
	ck_assert_uint_ne(sdp_port_of(msg_body(s->itsp.rx)), 0);
	if (reliable)
		prack(&s->caller);
}

static void picks_up(struct scene *s, const char *sdp)
{
	dl_answer(&s->called, s->called.invite, 200, NULL, sdp);
	sp_expect(&s->phone, "ACK ");
	sp_expect(&s->itsp, "SIP/2.0 200");
	dl_answered(&s->caller);
	dl_ack(&s->caller, NULL);
	cw_turn(s->w);
}

static void finish(struct scene *s)
{
	ck_assert_int_eq(cw_call(s->w)->state, CALL_UP);
	sc_bye_from_caller(s);
	sc_cdr(cw_cdr(s->w), REASON_CALL_CALLER_HUNG_UP, 200, "caller");
	sc_end(s);
}

/* Only the address changes: nobody else need know. */
START_TEST(new_address)
{
	struct scene s;

	hears(&s, false, "8 101");
	ck_assert_str_eq(s.w->want->called->remote_rtp, cw_at(5, 7000));
	dl_request(&s.called, "UPDATE", NULL, "application/sdp",
		sdp_text(&s.phone, 7400, "8 101", NULL));
	sp_expect(&s.phone, "SIP/2.0 200");
	ck_assert_uint_ne(sdp_port_of(msg_body(s.phone.rx)), 0);
	ck_assert_str_eq(s.w->want->called->remote_rtp, cw_at(5, 7400));
	sp_silent(&s.itsp);
	ck_assert_int_eq(cw_call(s.w)->state, CALL_RINGING);
	/* What the first 183 said does not come back. */
	dl_answer(&s.called, s.called.invite, 183, NULL,
		sdp_text(&s.phone, 7000, "8 101", NULL));
	cw_turn(s.w);
	ck_assert_str_eq(s.w->want->called->remote_rtp, cw_at(5, 7400));
	picks_up(&s, NULL);
	ck_assert_str_eq(s.w->want->called->remote_rtp, cw_at(5, 7400));
	finish(&s);
}
END_TEST

/* A hold before the answer, from the phone and from the caller. */
START_TEST(asked_of_the_other_side)
{
	struct scene s;

	hears(&s, true, "8 101");
	dl_request(&s.called, "UPDATE", NULL, "application/sdp",
		sdp_text(&s.phone, 7000, "8 101", "sendonly"));
	sp_expect(&s.itsp, "UPDATE ");
	ck_assert(msg_has(msg_body(s.itsp.rx), "a=sendonly"));
	ck_assert(!msg_has(s.itsp.rx, "secretname"));
	/* One at a time. */
	dl_request(&s.caller, "UPDATE", NULL, "application/sdp",
		sdp_text(&s.itsp, 6000, "8 101", NULL));
	{
		static char asked[CW_TEXT];

		snprintf(asked, sizeof asked, "%s", s.itsp.rx);
		sp_expect(&s.itsp, "SIP/2.0 491");
		dl_answer(&s.caller, asked, 200, NULL,
			sdp_text(&s.itsp, 6000, "8 101", "recvonly"));
	}
	sp_expect(&s.phone, "SIP/2.0 200");
	ck_assert(msg_has(msg_body(s.phone.rx), "a=recvonly"));
	ck_assert(!s.w->want->caller->may_send);
	ck_assert(s.w->want->called->may_send);
	ck_assert_int_eq(cw_call(s.w)->state, CALL_RINGING);
	/* The caller wants both ways again; the phone will not. */
	dl_request(&s.caller, "UPDATE", NULL, "application/sdp",
		sdp_text(&s.itsp, 6000, "8 101", "inactive"));
	sp_expect(&s.phone, "UPDATE ");
	dl_answer(&s.called, s.phone.rx, 488, NULL, NULL);
	sp_expect(&s.itsp, "SIP/2.0 488");
	ck_assert(s.w->want->called->may_send);
	picks_up(&s, NULL);
	finish(&s);
}
END_TEST

/* Who has not agreed reliably to anything can neither ask nor be asked. */
START_TEST(too_early)
{
	struct scene s;

	sc_begin(&s, NULL);
	dl_invite(&s.caller, &s.itsp, &s.w->itsp, "+491", "+4930100",
		can_update, sdp_text(&s.itsp, 6000, "8 101", NULL));
	sp_expect(&s.phone, "INVITE ");
	dl_from_invite(&s.called, &s.phone, &s.w->phones);
	dl_answer(&s.called, s.called.invite, 183, NULL,
		sdp_text(&s.phone, 7000, "8 101", NULL));
	sp_expect(&s.itsp, "SIP/2.0 183");
	dl_answered(&s.caller);
	/* Its own offer is not answered yet; ours to the phone neither. */
	dl_request(&s.caller, "UPDATE", NULL, "application/sdp",
		sdp_text(&s.itsp, 6000, "8 101", "sendonly"));
	sp_expect(&s.itsp, "SIP/2.0 500");
	ck_assert_str_ne(msg_header_value(s.itsp.rx, "Retry-After", 0), "");
	dl_request(&s.called, "UPDATE", NULL, "application/sdp",
		sdp_text(&s.phone, 7000, "8 101", "sendonly"));
	sp_expect(&s.phone, "SIP/2.0 491");
	/* Without a description it is only a sign of life. */
	dl_request(&s.caller, "UPDATE", NULL, NULL, NULL);
	sp_expect(&s.itsp, "SIP/2.0 200");
	/* Now the phone has; the caller still cannot be asked. */
	early(&s.called, sdp_text(&s.phone, 7000, "8 101", NULL));
	dl_request(&s.called, "UPDATE", NULL, "application/sdp",
		sdp_text(&s.phone, 7000, "8 101", "sendonly"));
	sp_expect(&s.phone, "SIP/2.0 488");
	ck_assert_uint_eq(reason_counted(REASON_CALL_CHANGE_TOO_EARLY), 1);
	dl_request(&s.called, "UPDATE", NULL, "application/sdp", "v=1\r\n");
	sp_expect(&s.phone, "SIP/2.0 400");
	ck_assert_int_eq(cw_call(s.w)->state, CALL_RINGING);
	picks_up(&s, NULL);
	finish(&s);
}
END_TEST

/* The phone picks up while its change is being asked of the caller. */
START_TEST(answer_overtakes)
{
	struct scene s;
	static char asked[CW_TEXT];

	hears(&s, true, "8 101");
	dl_request(&s.called, "UPDATE", NULL, "application/sdp",
		sdp_text(&s.phone, 7000, "8 101", "sendonly"));
	sp_expect(&s.itsp, "UPDATE ");
	snprintf(asked, sizeof asked, "%s", s.itsp.rx);
	dl_answer(&s.called, s.called.invite, 200, NULL, NULL);
	sp_expect(&s.phone, "ACK ");
	sp_expect(&s.phone, "SIP/2.0 491");
	sp_expect(&s.itsp, "SIP/2.0 200");
	dl_answered(&s.caller);
	dl_ack(&s.caller, NULL);
	dl_answer(&s.caller, asked, 200, NULL,
		sdp_text(&s.itsp, 6000, "8 101", "recvonly"));
	/* The caller is brought back to what holds. */
	sp_expect(&s.itsp, "INVITE ");
	ck_assert(msg_has(msg_body(s.itsp.rx), "a=sendrecv"));
	dl_answer(&s.caller, s.itsp.rx, 200, NULL,
		sdp_text(&s.itsp, 6000, "8 101", NULL));
	sp_expect(&s.itsp, "ACK ");
	cw_turn(s.w);
	ck_assert(s.w->want->caller->may_send);
	finish(&s);
}
END_TEST

/* The caller gives up, and the target fails, in the middle of a change. */
START_TEST(cut_off)
{
	struct scene s;

	hears(&s, true, "8 101");
	dl_request(&s.called, "UPDATE", NULL, "application/sdp",
		sdp_text(&s.phone, 7000, "8 101", "sendonly"));
	sp_expect(&s.itsp, "UPDATE ");
	dl_answer(&s.called, s.called.invite, 486, NULL, NULL);
	sp_expect(&s.phone, "ACK ");
	sp_expect(&s.phone, "SIP/2.0 487"); /* what was open in the dialog */
	sp_expect(&s.itsp, "SIP/2.0 486");
	dl_ack(&s.caller, NULL);
	sc_cdr(cw_cdr(s.w), REASON_CALL_BUSY, 486, "called");
	sc_end(&s);

	hears(&s, true, "8 101");
	dl_request(&s.called, "UPDATE", NULL, "application/sdp",
		sdp_text(&s.phone, 7000, "8 101", "sendonly"));
	sp_expect(&s.itsp, "UPDATE ");
	dl_cancel(&s.caller);
	sp_expect(&s.itsp, "SIP/2.0 200");
	sp_expect(&s.itsp, "SIP/2.0 487");
	dl_ack(&s.caller, NULL);
	sp_expect(&s.phone, "CANCEL ");
	dl_answer(&s.called, s.phone.rx, 200, NULL, NULL);
	dl_answer(&s.called, s.called.invite, 487, NULL, NULL);
	sp_expect(&s.phone, "ACK ");
	sp_expect(&s.phone, "SIP/2.0 487");
	sc_cdr(cw_cdr(s.w), REASON_CALL_CANCELLED, 487, "caller");
	sc_end(&s);
}
END_TEST

/* mediad cannot do it: it rings on as before. */
START_TEST(media_refuses)
{
	struct scene s;

	hears(&s, false, "8 101");
	s.w->media_refuses = REASON_SESSION_NO_PORT;
	s.w->refuses_once = true;
	dl_request(&s.called, "UPDATE", NULL, "application/sdp",
		sdp_text(&s.phone, 7400, "8 101", NULL));
	sp_expect(&s.phone, "SIP/2.0 503");
	cw_turn(s.w);
	ck_assert_int_eq(cw_call(s.w)->state, CALL_RINGING);
	ck_assert_str_eq(s.w->want->called->remote_rtp, cw_at(5, 7000));
	picks_up(&s, NULL);
	finish(&s);
}
END_TEST

/* Two phones ring and both play something: the caller hears neither, until
 * only one is left. */
START_TEST(several_ring)
{
	struct scene s;
	struct sip_peer second;
	struct dialog other;

	sc_begin(&s, NULL);
	sp_open(s.w, &second, 6);
	cw_bind(s.w, 1, &second);
	dl_invite(&s.caller, &s.itsp, &s.w->itsp, "+491", "+4930100", NULL,
		sdp_text(&s.itsp, 6000, "8 0", NULL));
	sp_expect(&s.phone, "INVITE ");
	dl_from_invite(&s.called, &s.phone, &s.w->phones);
	sp_expect(&second, "INVITE ");
	dl_from_invite(&other, &second, &s.w->phones);
	early(&s.called, sdp_text(&s.phone, 7000, "8", NULL));
	sp_expect(&s.itsp, "SIP/2.0 183");
	ck_assert_uint_eq(sdp_port_of(msg_body(s.itsp.rx)), 0);
	early(&other, sdp_text(&second, 7100, "0", NULL));
	sp_silent(&s.itsp);
	/* Whose media is nobody's cannot change it either. */
	dl_request(&other, "UPDATE", NULL, "application/sdp",
		sdp_text(&second, 7100, "0", NULL));
	sp_expect(&second, "SIP/2.0 491");
	dl_answer(&s.called, s.called.invite, 486, NULL, NULL);
	sp_expect(&s.phone, "ACK ");
	sp_expect(&s.itsp, "SIP/2.0 183");
	ck_assert(msg_has(msg_body(s.itsp.rx), "PCMU"));
	ck_assert_str_eq(s.w->want->called->remote_rtp, cw_at(6, 7100));
	/* What was agreed reliably need not be said again. */
	dl_answer(&other, other.invite, 200, NULL, NULL);
	sp_expect(&second, "ACK ");
	sp_expect(&s.itsp, "SIP/2.0 200");
	dl_answered(&s.caller);
	dl_ack(&s.caller, NULL);
	cw_turn(s.w);
	ck_assert_int_eq(cw_call(s.w)->state, CALL_UP);
	dl_request(&s.caller, "BYE", NULL, NULL, NULL);
	sp_expect(&s.itsp, "SIP/2.0 200");
	sp_expect(&second, "BYE ");
	dl_answer(&other, second.rx, 200, NULL, NULL);
	sc_cdr(cw_cdr(s.w), REASON_CALL_CALLER_HUNG_UP, 200, "caller");
	sp_close(&second);
	sc_end(&s);
}
END_TEST

/* One of two that ring picks up; its description came in a reliable 183. */
START_TEST(one_of_several_answers)
{
	struct scene s;
	struct sip_peer second;
	struct dialog other;

	sc_begin(&s, NULL);
	sp_open(s.w, &second, 6);
	cw_bind(s.w, 1, &second);
	dl_invite(&s.caller, &s.itsp, &s.w->itsp, "+491", "+4930100", NULL,
		sdp_text(&s.itsp, 6000, "8 0", NULL));
	sp_expect(&s.phone, "INVITE ");
	dl_from_invite(&s.called, &s.phone, &s.w->phones);
	sp_expect(&second, "INVITE ");
	dl_from_invite(&other, &second, &s.w->phones);
	early(&s.called, sdp_text(&s.phone, 7000, "8", NULL));
	sp_expect(&s.itsp, "SIP/2.0 183");
	picks_up(&s, NULL);
	ck_assert_str_eq(s.w->want->called->remote_rtp, cw_at(5, 7000));
	/* The other one has said nothing yet: its CANCEL waits for that. */
	dl_answer(&other, other.invite, 180, NULL, NULL);
	sp_expect(&second, "CANCEL ");
	dl_answer(&other, second.rx, 200, NULL, NULL);
	dl_answer(&other, other.invite, 487, NULL, NULL);
	sp_expect(&second, "ACK ");
	sp_close(&second);
	finish(&s);
}
END_TEST

/* A proxy behind the phone's address forks: the caller hears the newest early
 * dialog, and the one that answers counts. */
START_TEST(early_dialogs_change)
{
	struct scene s;
	struct dialog other;
	char first[1024];

	hears(&s, false, "8 0");
	snprintf(first, sizeof first, "%s", msg_body(s.itsp.rx));
	ck_assert(msg_has(first, "PCMA"));
	other = s.called;
	snprintf(other.local, sizeof other.local, "%s;tag=another",
		msg_header_value(s.called.invite, "To", 0));
	early(&other, sdp_text(&s.phone, 7500, "0", NULL));
	ck_assert_str_eq(msg_tag(s.phone.rx, "To"), "another");
	/* A new description is a new version. */
	sp_expect(&s.itsp, "SIP/2.0 183");
	ck_assert(msg_has(msg_body(s.itsp.rx), "PCMU"));
	ck_assert_int_ne(
		strncmp(msg_body(s.itsp.rx), first, strcspn(first, "\n") + 40),
		0);
	ck_assert_str_eq(s.w->want->called->remote_rtp, cw_at(5, 7500));
	/* The first one answers after all. */
	picks_up(&s, sdp_text(&s.phone, 7000, "8", NULL));
	ck_assert(msg_has(msg_body(s.itsp.rx), "PCMA"));
	ck_assert_str_eq(s.w->want->called->remote_rtp, cw_at(5, 7000));
	finish(&s);
}
END_TEST

/* A caller that has acknowledged an answer keeps it: a fork with another codec
 * is offered to it by UPDATE, and after the answer by re-INVITE. */
START_TEST(acknowledged_answer_stands)
{
	static char asked[CW_TEXT];
	struct scene s;
	struct dialog other;

	hears(&s, true, "8 0");
	other = s.called;
	snprintf(other.local, sizeof other.local, "%s;tag=another",
		msg_header_value(s.called.invite, "To", 0));
	early(&other, sdp_text(&s.phone, 7500, "0", NULL));
	sp_expect(&s.itsp, "SIP/2.0 183");
	ck_assert_uint_eq(sdp_port_of(msg_body(s.itsp.rx)), 0);
	send_prack(&s.caller);
	sp_expect(&s.itsp, "UPDATE ");
	snprintf(asked, sizeof asked, "%s", s.itsp.rx);
	ck_assert(msg_has(msg_body(asked), "PCMU"));
	sp_expect(&s.itsp, "SIP/2.0 200"); /* to the PRACK */
	dl_answer(&s.caller, asked, 200, NULL,
		sdp_text(&s.itsp, 6000, "0", NULL));
	cw_turn(s.w);
	ck_assert_uint_eq(s.w->want->caller->n_payloads, 1);
	ck_assert_str_eq(s.w->want->caller->payloads[0]->codec, "PCMU");
	ck_assert_int_eq(cw_call(s.w)->state, CALL_RINGING);
	/* The first one answers. */
	dl_answer(&s.called, s.called.invite, 200, NULL,
		sdp_text(&s.phone, 7000, "8", NULL));
	sp_expect(&s.phone, "ACK ");
	sp_expect(&s.itsp, "SIP/2.0 200");
	ck_assert(!msg_has(msg_body(s.itsp.rx), "PCMA"));
	dl_answered(&s.caller);
	dl_ack(&s.caller, NULL);
	sp_expect(&s.itsp, "INVITE ");
	ck_assert(msg_has(msg_body(s.itsp.rx), "PCMA"));
	dl_answer(&s.caller, s.itsp.rx, 200, NULL,
		sdp_text(&s.itsp, 6000, "8", NULL));
	sp_expect(&s.itsp, "ACK ");
	cw_turn(s.w);
	ck_assert_str_eq(s.w->want->caller->payloads[0]->codec, "PCMA");
	finish(&s);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("sbc_call_early");

	suite_add(s, "new_address", new_address);
	suite_add(s, "asked_of_the_other_side", asked_of_the_other_side);
	suite_add(s, "too_early", too_early);
	suite_add(s, "answer_overtakes", answer_overtakes);
	suite_add(s, "cut_off", cut_off);
	suite_add(s, "media_refuses", media_refuses);
	suite_add(s, "several_ring", several_ring);
	suite_add(s, "one_of_several_answers", one_of_several_answers);
	suite_add(s, "early_dialogs_change", early_dialogs_change);
	suite_add(s, "acknowledged_answer_stands", acknowledged_answer_stands);
	return s;
}

int main(void)
{
	return suite_run(suite());
}
