/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls that ring in more than one place: who answers first, who is told what
 * of the others, and proxies that fork behind a phone's address.
 */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "tests/unit/call_steps.h"
#include "tests/unit/suite.h"

START_TEST(first_wins)
{
	struct fork f;
	const Gh__Cdr *cdr;
	const char *cancel;

	fork_ring(&f);
	sc_answer(&f.s);
	cancel = dl_take_cancel(&f.other);
	ck_assert(msg_has(msg_header_value(cancel, "Reason", 0), "200"));
	sc_bye_from_caller(&f.s);
	cdr = cw_cdr(f.s.w);
	sc_cdr(cdr, REASON_CALL_CALLER_HUNG_UP, 200, "caller");
	ck_assert_str_eq(cdr->called_leg->peer, f.s.phone.text);
	fork_end(&f);
}
END_TEST

START_TEST(late_answer)
{
	struct fork f;

	fork_ring(&f);
	sc_answer(&f.s);
	sp_expect(&f.second, "CANCEL ");
	dl_answer(&f.other, f.second.rx, 200, NULL, NULL);
	/* It had picked up in the same moment. */
	dl_pick_up(&f.other, sdp_text(&f.second, 7100, "8", NULL));
	dl_take_bye(&f.other);
	/* Its 2xx comes once more: only the ACK is repeated. */
	f.second.repeats = true;
	dl_pick_up(&f.other, sdp_text(&f.second, 7100, "8", NULL));
	sc_bye_from_caller(&f.s);
	fork_over(&f, REASON_CALL_CALLER_HUNG_UP, 200, "caller");
}
END_TEST

/* Two phones at different addresses of ours: each is told a port that it can
 * reach, and who answers has the call's media. */
START_TEST(over_addresses)
{
	struct fork f;
	struct scene *s = &f.s;
	char first_session[IDENT_CALL_SIZE];
	const Gh__Cdr *cdr;

	fork_begin(&f, true, "8");
	ck_assert(msg_has(s->called.invite, "c=IN IP4 127.0.0.1"));
	ck_assert(msg_has(f.other.invite, "c=IN IP4 127.0.0.9"));
	ck_assert_uint_eq(s->w->n_opened, 2);
	snprintf(first_session, sizeof first_session, "%s", cw_call(s->w)->id);
	dl_ring(&s->called);
	sp_expect(&s->itsp, "SIP/2.0 180");
	dl_pick_up(&f.other, sdp_text(&f.second, 7100, "8", NULL));
	sp_expect(&s->itsp, "SIP/2.0 200");
	ck_assert_str_eq(s->w->want->called->media, "127.0.0.9");
	ck_assert_str_eq(s->w->want->called->remote_rtp, cw_at(6, 7100));
	dl_take_cancel(&s->called);
	dl_answered(&s->caller);
	dl_ack(&s->caller, NULL);
	cw_turn(s->w);
	ck_assert_uint_eq(s->w->n_ended, 1);
	dl_hang_up(&s->caller);
	dl_take_bye(&f.other);
	cdr = cw_cdr(f.s.w);
	sc_cdr(cdr, REASON_CALL_CALLER_HUNG_UP, 200, "caller");
	ck_assert_str_eq(cdr->call, first_session);
	ck_assert_str_eq(cdr->called_leg->peer, f.second.text);
	ck_assert_uint_eq(cdr->called_leg->media->rx_packets, 22);
	fork_end(&f);
}
END_TEST

/* All refuse: the caller hears the best of it, once. */
START_TEST(all_refuse)
{
	struct fork f;

	fork_ring(&f);
	dl_refuse(&f.other, 480);
	sp_silent(&f.s.itsp);
	dl_refuse(&f.s.called, 486);
	dl_take_refusal(&f.s.caller, 486);
	fork_over(&f, REASON_CALL_BUSY, 486, "called");
}
END_TEST

/* A 6xx of one phone speaks for the person (RFC 3261 16.7). */
START_TEST(declined)
{
	struct fork f;

	fork_ring(&f);
	dl_refuse(&f.other, 603);
	dl_take_refusal(&f.s.caller, 603);
	dl_take_cancel(&f.s.called);
	fork_over(&f, REASON_CALL_DECLINED, 603, "called");
}
END_TEST

/* Behind the phone's address a proxy forks: a second 2xx with another tag. */
START_TEST(second_answer)
{
	struct scene s;
	struct dialog other;
	bool ack = false, bye = false;

	sc_begin(&s, NULL);
	sc_up(&s);
	other = dl_fork(&s.called);
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
	sc_finish(&s);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("sbc_call_fork");

	suite_add(s, "first_wins", first_wins);
	suite_add(s, "late_answer", late_answer);
	suite_add(s, "over_addresses", over_addresses);
	suite_add(s, "all_refuse", all_refuse);
	suite_add(s, "declined", declined);
	suite_add(s, "second_answer", second_answer);
	return s;
}

int main(void)
{
	return suite_run(suite());
}
