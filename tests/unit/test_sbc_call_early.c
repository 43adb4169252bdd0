/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Before the answer: whose early media the caller hears, and changes of early
 * dialogs by UPDATE (RFC 3311).
 */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "tests/unit/call_steps.h"
#include "tests/unit/suite.h"

static const char can_update[] =
	"Allow: INVITE, ACK, CANCEL, BYE, PRACK, UPDATE\r\n";

/* The caller hears a 183 with a description. @return its body. */
static const char *hears_media(struct scene *s)
{
	const char *body = msg_body(sp_expect(&s->itsp, "SIP/2.0 183"));

	ck_assert_uint_ne(sdp_port_of(body), 0);
	return body;
}

/* Early media to a caller of this kind; reliable on the called side. */
static void hears(struct scene *s, bool reliable, const char *formats)
{
	char lines[256];

	sc_begin(s, NULL);
	snprintf(lines, sizeof lines, "%s%s",
		reliable ? "Require: 100rel\r\n" : "", can_update);
	sc_call(s, lines, sc_caller_sdp(s, formats, NULL));
	dl_early(&s->called, sc_phone_sdp(s, "8 101", NULL));
	hears_media(s);
	if (reliable)
		dl_prack(&s->caller);
}

/* The phone wants to hold while it rings. */
static void phone_holds(struct scene *s)
{
	dl_offer(&s->called, "UPDATE", sc_phone_sdp(s, "8 101", "sendonly"));
}

/* The caller is asked to agree to it. @return the UPDATE, to answer it. */
static const char *caller_is_asked(struct scene *s)
{
	static char asked[CW_TEXT];

	snprintf(asked, sizeof asked, "%s", sp_expect(&s->itsp, "UPDATE "));
	return asked;
}

/* Only the address changes: nobody else need know. */
START_TEST(new_address)
{
	struct scene s;

	hears(&s, false, "8 101");
	ck_assert_str_eq(s.w->want->called->remote_rtp, cw_at(5, 7000));
	dl_offer(&s.called, "UPDATE", sdp_text(&s.phone, 7400, "8 101", NULL));
	sp_expect(&s.phone, "SIP/2.0 200");
	ck_assert_uint_ne(sdp_port_of(msg_body(s.phone.rx)), 0);
	ck_assert_str_eq(s.w->want->called->remote_rtp, cw_at(5, 7400));
	sp_silent(&s.itsp);
	ck_assert_int_eq(cw_call(s.w)->state, CALL_RINGING);
	/* What the first 183 said does not come back. */
	dl_answer(&s.called, s.called.invite, 183, NULL,
		sc_phone_sdp(&s, "8 101", NULL));
	cw_turn(s.w);
	ck_assert_str_eq(s.w->want->called->remote_rtp, cw_at(5, 7400));
	sc_pick_up(&s, NULL);
	ck_assert_str_eq(s.w->want->called->remote_rtp, cw_at(5, 7400));
	sc_finish(&s);
}
END_TEST

/* A hold before the answer, from the phone and from the caller. */
START_TEST(asked_of_the_other_side)
{
	struct scene s;
	const char *asked;

	hears(&s, true, "8 101");
	phone_holds(&s);
	asked = caller_is_asked(&s);
	ck_assert(msg_has(msg_body(asked), "a=sendonly"));
	ck_assert(!msg_has(asked, "secretname"));
	/* One at a time. */
	dl_offer(&s.caller, "UPDATE", sc_caller_sdp(&s, "8 101", NULL));
	sp_expect(&s.itsp, "SIP/2.0 491");
	dl_answer(&s.caller, asked, 200, NULL,
		sc_caller_sdp(&s, "8 101", "recvonly"));
	sp_expect(&s.phone, "SIP/2.0 200");
	ck_assert(msg_has(msg_body(s.phone.rx), "a=recvonly"));
	ck_assert(!s.w->want->caller->may_send);
	ck_assert(s.w->want->called->may_send);
	ck_assert_int_eq(cw_call(s.w)->state, CALL_RINGING);
	/* The caller wants both ways again; the phone will not. */
	dl_offer(&s.caller, "UPDATE", sc_caller_sdp(&s, "8 101", "inactive"));
	sp_expect(&s.phone, "UPDATE ");
	dl_answer(&s.called, s.phone.rx, 488, NULL, NULL);
	sp_expect(&s.itsp, "SIP/2.0 488");
	ck_assert(s.w->want->called->may_send);
	sc_pick_up(&s, NULL);
	sc_finish(&s);
}
END_TEST

/* Who has not agreed reliably to anything can neither ask nor be asked. */
START_TEST(too_early)
{
	struct scene s;

	sc_begin(&s, NULL);
	sc_call(&s, can_update, sc_caller_sdp(&s, "8 101", NULL));
	dl_answer(&s.called, s.called.invite, 183, NULL,
		sc_phone_sdp(&s, "8 101", NULL));
	hears_media(&s);
	dl_answered(&s.caller);
	/* Its own offer is not answered yet; ours to the phone neither. */
	dl_offer(&s.caller, "UPDATE", sc_caller_sdp(&s, "8 101", "sendonly"));
	sp_expect(&s.itsp, "SIP/2.0 500");
	ck_assert_str_ne(msg_header_value(s.itsp.rx, "Retry-After", 0), "");
	phone_holds(&s);
	sp_expect(&s.phone, "SIP/2.0 491");
	/* Without a description it is only a sign of life. */
	dl_request(&s.caller, "UPDATE", NULL, NULL, NULL);
	sp_expect(&s.itsp, "SIP/2.0 200");
	/* Now the phone has; the caller still cannot be asked. */
	dl_early(&s.called, sc_phone_sdp(&s, "8 101", NULL));
	phone_holds(&s);
	sp_expect(&s.phone, "SIP/2.0 488");
	ck_assert_uint_eq(reason_counted(REASON_CALL_CHANGE_TOO_EARLY), 1);
	dl_offer(&s.called, "UPDATE", "v=1\r\n");
	sp_expect(&s.phone, "SIP/2.0 400");
	ck_assert_int_eq(cw_call(s.w)->state, CALL_RINGING);
	sc_pick_up(&s, NULL);
	sc_finish(&s);
}
END_TEST

/* The phone picks up while its change is being asked of the caller. */
START_TEST(answer_overtakes)
{
	struct scene s;
	const char *asked;

	hears(&s, true, "8 101");
	phone_holds(&s);
	asked = caller_is_asked(&s);
	dl_pick_up(&s.called, NULL);
	sp_expect(&s.phone, "SIP/2.0 491");
	dl_take_answer(&s.caller);
	dl_answer(&s.caller, asked, 200, NULL,
		sc_caller_sdp(&s, "8 101", "recvonly"));
	/* The caller is brought back to what holds. */
	ck_assert(msg_has(dl_take_offer(&s.caller), "a=sendrecv"));
	dl_agree(&s.caller, sc_caller_sdp(&s, "8 101", NULL));
	cw_turn(s.w);
	ck_assert(s.w->want->caller->may_send);
	sc_finish(&s);
}
END_TEST

/* The target fails, and the caller gives up, in the middle of a change: what
 * was open in the dialog ends with it. */
START_TEST(cut_off)
{
	struct scene s;

	hears(&s, true, "8 101");
	phone_holds(&s);
	caller_is_asked(&s);
	dl_refuse(&s.called, 486);
	sp_expect(&s.phone, "SIP/2.0 487");
	dl_take_refusal(&s.caller, 486);
	sc_over(&s, REASON_CALL_BUSY, 486, "called");

	hears(&s, true, "8 101");
	phone_holds(&s);
	caller_is_asked(&s);
	dl_give_up(&s.caller);
	dl_take_cancel(&s.called);
	sp_expect(&s.phone, "SIP/2.0 487");
	sc_over(&s, REASON_CALL_CANCELLED, 487, "caller");
}
END_TEST

/* mediad cannot do it: it rings on as before. */
START_TEST(media_refuses)
{
	struct scene s;

	hears(&s, false, "8 101");
	s.w->media_refuses = REASON_SESSION_NO_PORT;
	s.w->refuses_once = true;
	dl_offer(&s.called, "UPDATE", sdp_text(&s.phone, 7400, "8 101", NULL));
	sp_expect(&s.phone, "SIP/2.0 503");
	cw_turn(s.w);
	ck_assert_int_eq(cw_call(s.w)->state, CALL_RINGING);
	ck_assert_str_eq(s.w->want->called->remote_rtp, cw_at(5, 7000));
	sc_pick_up(&s, NULL);
	sc_finish(&s);
}
END_TEST

/* Two phones ring and both play something: the caller hears neither, until
 * only one is left. */
START_TEST(several_ring)
{
	struct fork f;
	struct scene *s = &f.s;

	fork_begin(&f, false, "8 0");
	dl_early(&s->called, sc_phone_sdp(s, "8", NULL));
	sp_expect(&s->itsp, "SIP/2.0 183");
	ck_assert_uint_eq(sdp_port_of(msg_body(s->itsp.rx)), 0);
	dl_early(&f.other, sdp_text(&f.second, 7100, "0", NULL));
	sp_silent(&s->itsp);
	/* Whose media is nobody's cannot change it either. */
	dl_offer(&f.other, "UPDATE", sdp_text(&f.second, 7100, "0", NULL));
	sp_expect(&f.second, "SIP/2.0 491");
	dl_refuse(&s->called, 486);
	ck_assert(msg_has(hears_media(s), "PCMU"));
	ck_assert_str_eq(s->w->want->called->remote_rtp, cw_at(6, 7100));
	/* What was agreed reliably need not be said again. */
	dl_pick_up(&f.other, NULL);
	dl_take_answer(&s->caller);
	cw_turn(s->w);
	ck_assert_int_eq(cw_call(s->w)->state, CALL_UP);
	dl_hang_up(&s->caller);
	dl_take_bye(&f.other);
	fork_over(&f, REASON_CALL_CALLER_HUNG_UP, 200, "caller");
}
END_TEST

/* One of two that ring picks up; its description came in a reliable 183. */
START_TEST(one_of_several_answers)
{
	struct fork f;
	struct scene *s = &f.s;

	fork_begin(&f, false, "8 0");
	dl_early(&s->called, sc_phone_sdp(s, "8", NULL));
	sp_expect(&s->itsp, "SIP/2.0 183");
	sc_pick_up(s, NULL);
	ck_assert_str_eq(s->w->want->called->remote_rtp, cw_at(5, 7000));
	/* The other one has said nothing yet: its CANCEL waits for that. */
	dl_ring(&f.other);
	dl_take_cancel(&f.other);
	ck_assert_int_eq(cw_call(s->w)->state, CALL_UP);
	sc_bye_from_caller(s);
	fork_over(&f, REASON_CALL_CALLER_HUNG_UP, 200, "caller");
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
	other = dl_fork(&s.called);
	dl_early(&other, sdp_text(&s.phone, 7500, "0", NULL));
	ck_assert_str_eq(msg_tag(s.phone.rx, "To"), "another");
	/* A new description is a new version. */
	ck_assert(msg_has(hears_media(&s), "PCMU"));
	ck_assert_int_ne(
		strncmp(msg_body(s.itsp.rx), first, strcspn(first, "\n") + 40),
		0);
	ck_assert_str_eq(s.w->want->called->remote_rtp, cw_at(5, 7500));
	/* The first one answers after all. */
	sc_pick_up(&s, sc_phone_sdp(&s, "8", NULL));
	ck_assert(msg_has(msg_body(s.itsp.rx), "PCMA"));
	ck_assert_str_eq(s.w->want->called->remote_rtp, cw_at(5, 7000));
	sc_finish(&s);
}
END_TEST

/* A caller that has acknowledged an answer keeps it: a fork with another codec
 * is offered to it by UPDATE, and after the answer by re-INVITE. */
START_TEST(acknowledged_answer_stands)
{
	struct scene s;
	struct dialog other;
	const char *asked;

	hears(&s, true, "8 0");
	other = dl_fork(&s.called);
	dl_early(&other, sdp_text(&s.phone, 7500, "0", NULL));
	sp_expect(&s.itsp, "SIP/2.0 183");
	ck_assert_uint_eq(sdp_port_of(msg_body(s.itsp.rx)), 0);
	dl_send_prack(&s.caller);
	asked = caller_is_asked(&s);
	ck_assert(msg_has(msg_body(asked), "PCMU"));
	sp_expect(&s.itsp, "SIP/2.0 200"); /* to the PRACK */
	dl_answer(&s.caller, asked, 200, NULL, sc_caller_sdp(&s, "0", NULL));
	cw_turn(s.w);
	ck_assert_uint_eq(s.w->want->caller->n_payloads, 1);
	ck_assert_str_eq(s.w->want->caller->payloads[0]->codec, "PCMU");
	ck_assert_int_eq(cw_call(s.w)->state, CALL_RINGING);
	/* The first one answers. */
	dl_pick_up(&s.called, sc_phone_sdp(&s, "8", NULL));
	ck_assert(!msg_has(dl_take_answer(&s.caller), "PCMA"));
	ck_assert(msg_has(dl_take_offer(&s.caller), "PCMA"));
	dl_agree(&s.caller, sc_caller_sdp(&s, "8", NULL));
	cw_turn(s.w);
	ck_assert_str_eq(s.w->want->caller->payloads[0]->codec, "PCMA");
	sc_finish(&s);
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
