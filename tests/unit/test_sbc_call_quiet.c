/* SPDX-License-Identifier: Apache-2.0 */
/* Calls in which nothing is said: their legs sleep (leg_sleep.h), and nobody
 * at the other end can tell. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sbc/leg_sleep.h"
#include "tests/unit/call_steps.h"
#include "tests/unit/suite.h"

/* Its last message was long ago. */
static void fall_asleep(struct scene *s)
{
	struct call *c = cw_call(s->w);

	cw_turn(s->w);
	c->record.answer_us -= 60 * CLOCK_US_PER_S;
	call_quiet_look(s->w->sbc.calls);
	ck_assert_uint_eq(sleepers_count(s->w->sbc.sleepers), 2);
	ck_assert_ptr_null(c->caller.leg->dialog);
	ck_assert_ptr_null(c->called->leg->dialog);
}

static void begin(struct scene *s, const char *route)
{
	char lines[256];

	sc_begin(s, NULL);
	snprintf(lines, sizeof lines, "%s", route != NULL ? route : "");
	sc_call(s, route != NULL ? lines : NULL,
		sc_caller_sdp(s, "8 101", NULL));
	dl_ring(&s->called);
	sp_expect(&s->itsp, "SIP/2.0 180");
	sc_pick_up(s, sc_phone_sdp(s, "8 101", NULL));
}

START_TEST(young_calls_stay_awake)
{
	struct scene s;

	sc_begin(&s, NULL);
	sc_up(&s);
	cw_turn(s.w);
	call_quiet_look(s.w->sbc.calls);
	ck_assert_uint_eq(sleepers_count(s.w->sbc.sleepers), 0);
	sc_finish(&s);
}
END_TEST

/* Each side may be the one that speaks first, and both sides' numbers and
 * tags go on as they were. */
START_TEST(bye_wakes_both)
{
	struct scene s;
	unsigned cseq;

	sc_begin(&s, NULL);
	sc_up(&s);
	cseq = s.called.cseq;
	fall_asleep(&s);
	if (_i == 0) {
		sc_finish(&s);
		return;
	}
	dl_hang_up(&s.called);
	ck_assert_uint_eq(s.called.cseq, cseq + 1);
	dl_take_bye(&s.caller);
	ck_assert_str_eq(
		msg_header_value(s.itsp.rx, "Call-ID", 0), s.caller.call_id);
	sc_over(&s, REASON_CALL_CALLED_HUNG_UP, 200, "called");
}
END_TEST

/* Hold, while asleep, and again after it slept once more. */
START_TEST(change_wakes_both)
{
	struct scene s;
	const char *offer;

	sc_begin(&s, NULL);
	sc_up(&s);
	for (unsigned i = 0; i < 2; i++) {
		fall_asleep(&s);
		dl_offer(&s.caller, "INVITE",
			sc_caller_sdp(
				&s, "8 101", i == 0 ? "sendonly" : "sendrecv"));
		offer = dl_take_offer(&s.called);
		ck_assert(msg_has(offer, i == 0 ? "a=sendonly" : "a=sendrecv"));
		dl_agree(&s.called, sc_phone_sdp(&s, "8 101",
					    i == 0 ? "recvonly" : "sendrecv"));
		ck_assert_str_ne(dl_take_answer(&s.caller), "");
		ck_assert_uint_eq(sleepers_count(s.w->sbc.sleepers), 0);
	}
	sc_finish(&s);
}
END_TEST

/* RFC 3261 12.2.2; and the dialog stays. */
START_TEST(old_number_is_refused)
{
	struct scene s;
	unsigned cseq;

	sc_begin(&s, NULL);
	sc_up(&s);
	dl_request(&s.caller, "OPTIONS", NULL, NULL, NULL);
	sp_expect(&s.itsp, "SIP/2.0 200");
	fall_asleep(&s);
	cseq = s.caller.cseq;
	s.caller.cseq = cseq - 2;
	dl_request(&s.caller, "OPTIONS", NULL, NULL, NULL);
	sp_expect(&s.itsp, "SIP/2.0 500");
	s.caller.cseq = cseq;
	sc_finish(&s);
}
END_TEST

/* Rule 1 holds for a sleeper as for everybody. */
START_TEST(strangers_do_not_wake)
{
	struct scene s;
	struct dialog other;

	sc_begin(&s, NULL);
	sc_up(&s);
	fall_asleep(&s);
	other = s.caller;
	/* Another From tag: no dialog of ours. */
	memcpy(strstr(other.local, "tag="), "tag=x", 5);
	dl_request(&other, "INFO", NULL, NULL, NULL);
	cw_turn(s.w);
	ck_assert_uint_eq(sleepers_count(s.w->sbc.sleepers), 2);
	other = s.caller;
	snprintf(other.call_id, sizeof other.call_id, "another");
	dl_request(&other, "INFO", NULL, NULL, NULL);
	cw_turn(s.w);
	ck_assert_uint_eq(sleepers_count(s.w->sbc.sleepers), 2);
	/* A repeated ACK means nothing. */
	dl_ack(&s.caller, NULL);
	cw_turn(s.w);
	ck_assert_uint_eq(sleepers_count(s.w->sbc.sleepers), 2);
	while (*s.itsp.rx != '\0' &&
		recv(s.itsp.fd, s.itsp.rx, sizeof s.itsp.rx, MSG_DONTWAIT) > 0)
		continue;
	sc_finish(&s);
}
END_TEST

/* The route set survives the sleep. */
START_TEST(routes_are_kept)
{
	struct scene s;
	const char *route = "Record-Route: <sip:127.0.0.2;lr;x=1>, "
			    "<sip:far.example.net;lr>\r\n";

	begin(&s, route);
	fall_asleep(&s);
	dl_hang_up(&s.called);
	dl_take_bye(&s.caller);
	ck_assert(msg_has(s.itsp.rx, "x=1"));
	ck_assert(msg_has(s.itsp.rx, "sip:far.example.net;lr"));
	sc_over(&s, REASON_CALL_CALLED_HUNG_UP, 200, "called");
}
END_TEST

/* With a record the texts go too, and an event takes them out of it: the change
 * that follows is made from them, and the CDR has the whole chain. */
START_TEST(texts_stand_in_the_record)
{
	struct scene s;
	const Gh__Cdr *cdr;
	struct call *c;
	size_t n_steps;
	char *ours;

	sc_begin(&s, NULL);
	ck_assert_int_eq(
		saves_new(&s.w->sbc, &sbc_save_owners, &s.w->sbc.saves), 0);
	saves_on_keeper(s.w->sbc.saves);
	sc_up(&s);
	c = cw_call(s.w);
	call_save_all(c->calls);
	n_steps = c->record.n_steps;
	ours = strdup(c->called->ours);
	c->record.answer_us -= 60 * CLOCK_US_PER_S;
	/* A change that is owed needs them. */
	c->change.again = &c->caller;
	call_quiet_look(s.w->sbc.calls);
	ck_assert(!c->asleep);
	c->change.again = NULL;
	/* What is only noted is written first. */
	call_note(c, REASON_CALL_MEDIA_TIMEOUT, "noted");
	n_steps++;
	call_quiet_look(s.w->sbc.calls);
	ck_assert(c->asleep);
	ck_assert_ptr_null(c->caller.theirs);
	ck_assert_ptr_null(c->called->ours);
	ck_assert_ptr_null(c->record.steps);

	call_note(c, REASON_CALL_MEDIA_TIMEOUT, "test");
	ck_assert(!c->asleep);
	ck_assert_uint_eq(c->record.n_steps, n_steps + 1);
	ck_assert_str_eq(c->called->ours, ours);
	call_save(c);
	call_quiet_look(s.w->sbc.calls);
	ck_assert(c->asleep);

	dl_offer(&s.caller, "INVITE", sc_caller_sdp(&s, "8 101", "sendonly"));
	ck_assert(msg_has(dl_take_offer(&s.called), "a=sendonly"));
	dl_agree(&s.called, sc_phone_sdp(&s, "8 101", "recvonly"));
	ck_assert_str_ne(dl_take_answer(&s.caller), "");
	cw_turn(s.w);
	call_save_all(c->calls);
	call_quiet_look(s.w->sbc.calls);
	ck_assert(c->asleep);
	dl_hang_up(&s.called);
	dl_take_bye(&s.caller);
	cdr = cw_cdr(s.w);
	sc_cdr(cdr, REASON_CALL_CALLED_HUNG_UP, 200, "called");
	ck_assert_uint_gt(cdr->n_decisions, n_steps + 1);
	free(ours);
	cw_wait_empty(s.w);
	saves_free(&s.w->sbc.saves, true);
	sp_close(&s.itsp);
	sp_close(&s.phone);
	cw_free(&s.w);
}
END_TEST

/* A record that is gone: the call ends, in order. */
START_TEST(lost_record_ends_the_call)
{
	struct scene s;
	struct call *c;

	sc_begin(&s, NULL);
	ck_assert_int_eq(
		saves_new(&s.w->sbc, &sbc_save_owners, &s.w->sbc.saves), 0);
	saves_on_keeper(s.w->sbc.saves);
	sc_up(&s);
	c = cw_call(s.w);
	call_save_all(c->calls);
	c->record.answer_us -= 60 * CLOCK_US_PER_S;
	call_quiet_look(s.w->sbc.calls);
	ck_assert(c->asleep);
	save_drop(s.w->sbc.saves, SAVE_CALL, &c->saved);
	dl_request(&s.caller, "INFO", NULL, "application/dtmf", "1");
	sp_expect(&s.itsp, "SIP/2.0 200");
	dl_take_bye(&s.called);
	dl_take_bye(&s.caller);
	sc_cdr(cw_cdr(s.w), REASON_CALL_INTERNAL, 200, "sbc");
	cw_wait_empty(s.w);
	saves_free(&s.w->sbc.saves, true);
	sp_close(&s.itsp);
	sp_close(&s.phone);
	cw_free(&s.w);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("sbc_call_quiet");

	suite_add(s, "young_calls_stay_awake", young_calls_stay_awake);
	suite_add_rows(s, "bye_wakes_both", bye_wakes_both, 2);
	suite_add(s, "change_wakes_both", change_wakes_both);
	suite_add(s, "old_number_is_refused", old_number_is_refused);
	suite_add(s, "strangers_do_not_wake", strangers_do_not_wake);
	suite_add(s, "routes_are_kept", routes_are_kept);
	suite_add(s, "texts_stand_in_the_record", texts_stand_in_the_record);
	suite_add(s, "lost_record_ends_the_call", lost_record_ends_the_call);
	return s;
}

int main(void)
{
	return suite_run(suite());
}
