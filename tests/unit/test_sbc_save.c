/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls as records and back: every field comes through, and a record that was
 * damaged is refused or makes a call that ends. Whole files are in
 * test_sbc_save_files.c, whole restarts in tests/scenario/survival.py.
 */
#include "config.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sbc/leg_save.h"
#include "sbc/trunk.h"
#include "tests/unit/save_rig.h"
#include "tests/unit/suite.h"

/* What differs on purpose: numbers leave a margin, what is open becomes what
 * can be taken up again. */
static void compare_legs(const Gh__SavedLeg *was, Gh__SavedLeg *now)
{
	ck_assert_ptr_nonnull(was);
	ck_assert_ptr_nonnull(now);
	if (was->local_cseq != 0)
		ck_assert_uint_gt(now->local_cseq, was->local_cseq);
	now->local_cseq = was->local_cseq;
	if (was->se_due_us != 0)
		ck_assert_uint_le(now->se_due_us, was->se_due_us + 100000);
	ck_assert_int_eq(now->se_due_us != 0, was->se_due_us != 0);
	now->se_due_us = was->se_due_us;
}

static void compare(const struct saved_bytes *was_bytes, const struct call *c)
{
	static struct saved_bytes now_bytes, packed;
	Gh__SavedCall *was = saves_unpack(was_bytes), *now;

	saves_pack(c, &now_bytes);
	now = saves_unpack(&now_bytes);
	compare_legs(was->caller->leg, now->caller->leg);
	ck_assert_uint_eq(was->n_parties, now->n_parties);
	for (size_t i = 0; i < was->n_parties; i++)
		compare_legs(was->parties[i]->leg, now->parties[i]->leg);
	ck_assert_uint_eq(was->n_slots, now->n_slots);
	for (size_t i = 0; i < was->n_slots; i++) {
		Gh__SavedSlot *slot = now->slots[i];
		Gh__SessionWant *a, *b;

		ck_assert_uint_gt(slot->version, was->slots[i]->version);
		a = gh__session_want__unpack(NULL, was->slots[i]->want.len,
			was->slots[i]->want.data);
		b = gh__session_want__unpack(
			NULL, slot->want.len, slot->want.data);
		ck_assert_ptr_nonnull(a);
		ck_assert_ptr_nonnull(b);
		ck_assert_uint_eq(b->version, slot->version);
		b->version = a->version;
		slot->version = was->slots[i]->version;
		ck_assert_uint_eq(gh__session_want__get_packed_size(b),
			was->slots[i]->want.len);
		gh__session_want__pack(b, slot->want.data);
		gh__session_want__free_unpacked(a, NULL);
		gh__session_want__free_unpacked(b, NULL);
	}
	packed.len = gh__saved_call__get_packed_size(now);
	ck_assert_uint_lt(packed.len, sizeof packed.data);
	gh__saved_call__pack(now, packed.data);
	ck_assert_uint_eq(packed.len, was_bytes->len);
	ck_assert_mem_eq(packed.data, was_bytes->data, packed.len);
	gh__saved_call__free_unpacked(was, NULL);
	gh__saved_call__free_unpacked(now, NULL);
}

/* An established call comes back field by field, and its dialogs work. */
START_TEST(established)
{
	static struct saved_bytes b;
	struct scene s;
	struct call *c;
	Gh__SavedCall *saved;
	const Gh__Cdr *cdr;
	uint64_t answered, counted;

	saves_begin(&s);
	sc_up(&s);
	c = cw_call(s.w);
	ck_assert(save_has(&c->saved));
	saves_pack(c, &b);
	answered = c->record.answer_us;
	saves_vanish(&s);
	counted = s.w->n_opened;
	saved = saves_unpack(&b);
	ck_assert_int_eq(saves_restore(&s, saved), 0);
	/* The same call once more is another one's record. */
	ck_assert_int_eq(saves_restore(&s, saved), ERR_EXISTS);
	c = cw_call(s.w);
	ck_assert_int_eq(c->state, CALL_UP);
	ck_assert_uint_eq(c->record.answer_us, answered);
	compare(&b, c);
	ck_assert_uint_eq(trunk_calls(s.w->sbc.trunks, 1), 1);
	cw_turn(s.w);
	ck_assert_uint_eq(s.w->n_opened, counted);
	ck_assert_uint_gt(s.w->want->version, 16);

	dl_request(&s.called, "OPTIONS", NULL, NULL, NULL);
	sp_expect(&s.phone, "SIP/2.0 200");
	dl_request(&s.caller, "INFO", NULL, "application/dtmf-relay",
		"Signal=7\r\nDuration=160\r\n");
	sp_expect(&s.itsp, "SIP/2.0 200");
	sp_expect(&s.phone, "INFO ");
	ck_assert(msg_has(s.phone.rx, "Signal=7"));
	dl_answer(&s.called, s.phone.rx, 200, NULL, NULL);
	/* A number of before the kill is refused. */
	s.caller.cseq = 1;
	dl_request(&s.caller, "INFO", NULL, NULL, NULL);
	sp_expect(&s.itsp, "SIP/2.0 500");
	s.caller.cseq = 200;
	sc_bye_from_caller(&s);
	cdr = cw_cdr(s.w);
	sc_cdr(cdr, REASON_CALL_CALLER_HUNG_UP, 200, "caller");
	ck_assert_str_eq(cdr->call, saved->call);
	ck_assert_uint_eq(cdr->wall_answer_us, saved->wall_answer_us);
	ck_assert_uint_eq(cdr->wall_start_us, saved->wall_start_us);
	ck_assert_uint_gt(cdr->duration_us, 0);
	gh__saved_call__free_unpacked(saved, NULL);
	s.w->n_ended = s.w->n_opened; /* each was ended by both processes */
	saves_end(&s);
}
END_TEST

/* The phone of account 2 sends the ITSP's call on to account 1. */
static void forward(struct scene *s, struct sip_peer *other)
{
	struct dialog d;

	dl_invite(&s->caller, &s->itsp, &s->w->itsp, "+491761234567",
		"+4930200", NULL, sdp_text(&s->itsp, 6000, "8 0 101", NULL));
	sp_expect(other, "INVITE ");
	dl_from_invite(&d, other, &s->w->phones);
	dl_answer(&d, d.invite, 302, "Contact: <sip:100@192.0.2.9>\r\n", NULL);
	sp_expect(other, "ACK ");
	sp_expect(&s->phone, "INVITE sip:line@");
	dl_from_invite(&s->called, &s->phone, &s->w->phones);
	sc_answer(s);
}

/* Another call to account 2: is it at its limit, or does its phone ring? */
static void call_account_2(
	struct scene *s, struct sip_peer *other, bool is_busy)
{
	struct dialog caller, called;

	dl_invite(&caller, &s->itsp, &s->w->itsp, "+491761234567", "+4930200",
		NULL, sdp_text(&s->itsp, 6000, "8", NULL));
	if (!is_busy) {
		sp_expect(other, "INVITE ");
		dl_from_invite(&called, other, &s->w->phones);
		dl_answer(&called, called.invite, 486, NULL, NULL);
		sp_expect(other, "ACK ");
	}
	sp_expect(&s->itsp, "SIP/2.0 486");
	dl_ack(&caller, NULL);
	sc_cdr(cw_cdr(s->w), REASON_CALL_BUSY, 486, is_busy ? "sbc" : "called");
}

/* Whose phone has sent a call on pays for the rest of it, also after a kill:
 * a place, and minutes of its day. */
START_TEST(forwarded)
{
	static struct saved_bytes b;
	struct scene s;
	struct sip_peer other;
	struct call *c;
	Gh__SavedCall *saved;

	saves_begin(&s);
	s.w->max_calls = 1;
	s.w->max_minutes_per_day = 60;
	sp_open(s.w, &other, 6);
	cw_bind(s.w, 2, &other);
	forward(&s, &other);
	ck_assert_uint_lt(call_limit_left_us(cw_call(s.w)), UINT64_MAX);
	saves_pack(cw_call(s.w), &b);
	saves_vanish(&s);
	call_account_2(&s, &other, false);
	cw_until(s.w, saves_no_call, s.w, "the end of that call");
	saved = saves_unpack(&b);
	ck_assert_uint_eq(saved->forwarder->id, 2);
	ck_assert_int_eq(saves_restore(&s, saved), 0);
	c = cw_call(s.w);
	ck_assert_int_eq(c->state, CALL_UP);
	compare(&b, c);
	ck_assert_uint_eq(c->forwarder->row->id, 2);
	ck_assert_uint_le(call_limit_left_us(c), 60 * 60 * CLOCK_US_PER_S);
	call_account_2(&s, &other, true);
	s.caller.cseq = 200;
	sc_bye_from_caller(&s);
	sc_cdr(cw_cdr(s.w), REASON_CALL_CALLER_HUNG_UP, 200, "caller");
	call_account_2(&s, &other, false);
	gh__saved_call__free_unpacked(saved, NULL);
	s.w->n_ended = s.w->n_opened;
	saves_end(&s);
	sp_close(&other);
}
END_TEST

/* A call in set-up: the caller hears 503, the phone its INVITE once more, byte
 * by byte, and then CANCEL. */
START_TEST(in_set_up)
{
	static struct saved_bytes b;
	struct scene s;
	Gh__SavedCall *saved;

	saves_begin(&s);
	s.phone.repeats = true;
	sc_ring(&s, sdp_text(&s.itsp, 6000, "8 0 101", NULL));
	saves_pack(cw_call(s.w), &b);
	saves_vanish(&s);
	saved = saves_unpack(&b);
	ck_assert_int_eq(saved->state, CALL_RINGING);
	ck_assert_uint_gt(saved->caller->leg->invite.len, 0);
	ck_assert_int_eq(saves_restore(&s, saved), 0);
	sp_expect(&s.itsp, "SIP/2.0 503");
	dl_ack(&s.caller, NULL);
	sp_expect(&s.phone, "INVITE ");
	ck_assert_str_eq(s.phone.rx, s.called.invite);
	s.phone.repeats = false;
	dl_answer(&s.called, s.called.invite, 180, NULL, NULL);
	sp_expect_but(&s.phone, "CANCEL ", "INVITE");
	ck_assert_str_eq(msg_header_value(s.phone.rx, "Via", 0),
		msg_header_value(s.called.invite, "Via", 0));
	dl_answer(&s.called, s.phone.rx, 200, NULL, NULL);
	dl_answer(&s.called, s.called.invite, 487, NULL, NULL);
	sp_expect_but(&s.phone, "ACK ", "INVITE");
	sc_cdr(cw_cdr(s.w), REASON_CALL_LOST_IN_RESTART, 503, "sbc");
	gh__saved_call__free_unpacked(saved, NULL);
	s.w->n_ended = s.w->n_opened;
	saves_end(&s);
}
END_TEST

/* Each field that a call cannot be without, or that speaks of something that
 * is not there. */
START_TEST(impossible)
{
	static struct saved_bytes b;
	struct scene s;
	enum {
		WRONG_ID,
		NO_CALLER,
		STATE,
		HANGUP,
		REASON,
		TWO,
		KIND,
		PEER,
		NUMBER,
		FUTURE,
		N
	};

	saves_begin(&s);
	sc_up(&s);
	saves_pack(cw_call(s.w), &b);
	saves_vanish(&s);
	for (int i = 0; i < N; i++) {
		static char long_number[200];
		Gh__SavedCall *saved = saves_unpack(&b);
		Gh__SavedParty *caller = saved->caller;
		char *peer = caller->peer, *number = saved->caller_number;

		memset(long_number, '1', sizeof long_number - 1);
		if (i == WRONG_ID)
			saved->call[3] = '!';
		else if (i == NO_CALLER)
			saved->caller = NULL;
		else if (i == STATE)
			saved->state = CALL_STATE_COUNT;
		else if (i == HANGUP)
			saved->hangup = CALL_SIDE_COUNT;
		else if (i == REASON)
			saved->why = 9999;
		else if (i == TWO)
			saved->parties[0]->answered = 0;
		else if (i == KIND)
			caller->kind = SIDE_PHONE;
		else if (i == PEER)
			caller->peer = number;
		else if (i == NUMBER)
			saved->caller_number = long_number;
		else if (i == FUTURE)
			saved->answer_us = clock_now_us() + 1000000;
		ck_assert_int_eq(saves_restore(&s, saved), ERR_INVALID);
		saved->caller = caller;
		caller->peer = peer;
		saved->caller_number = number;
		gh__saved_call__free_unpacked(saved, NULL);
		ck_assert_ptr_null(cw_call(s.w));
	}
	s.w->n_ended = s.w->n_opened;
	saves_end(&s);
}
END_TEST

/* It had ended before the kill, and nobody has anything to say about it any
 * more: the record that is written at once says when it ended, not when it was
 * found. */
START_TEST(had_ended)
{
	static struct saved_bytes b;
	struct scene s;
	Gh__SavedCall *saved;
	char none[] = "", *session;
	const Gh__Cdr *cdr;
	enum { TALKED_US = 7000000 };

	saves_begin(&s);
	sc_up(&s);
	saves_pack(cw_call(s.w), &b);
	saves_vanish(&s);
	saved = saves_unpack(&b);
	saved->state = CALL_ENDING;
	saved->why = reason_number(REASON_CALL_CALLER_HUNG_UP);
	saved->hangup = CALL_CALLER;
	saved->answer_us -= TALKED_US + 3000000;
	saved->end_us = saved->answer_us + TALKED_US;
	saved->wall_end_us = saved->wall_answer_us + TALKED_US;
	ck_assert_uint_eq(saved->n_slots, 1);
	session = saved->slots[0]->session;
	saved->slots[0]->session = none;
	ck_assert_int_eq(saves_restore(&s, saved), 0);
	cdr = cw_cdr(s.w);
	sc_cdr(cdr, REASON_CALL_CALLER_HUNG_UP, 200, "caller");
	ck_assert_uint_eq(cdr->duration_us, TALKED_US);
	ck_assert_uint_eq(cdr->wall_end_us, saved->wall_end_us);
	sp_expect(&s.itsp, "BYE ");
	dl_answer(&s.caller, s.itsp.rx, 200, NULL, NULL);
	sp_expect(&s.phone, "BYE ");
	dl_answer(&s.called, s.phone.rx, 200, NULL, NULL);
	saved->slots[0]->session = session;
	gh__saved_call__free_unpacked(saved, NULL);
	s.w->n_ended = s.w->n_opened;
	saves_end(&s);
}
END_TEST

/* A trunk that is not there any more: what can be reached is ended. */
START_TEST(without_its_trunk)
{
	static struct saved_bytes b;
	struct scene s;
	Gh__SavedCall *saved;

	saves_begin(&s);
	sc_up(&s);
	saves_pack(cw_call(s.w), &b);
	saves_vanish(&s);
	saved = saves_unpack(&b);
	saved->caller->trunk = 77;
	ck_assert_int_eq(saves_restore(&s, saved), 0);
	sp_expect(&s.phone, "BYE ");
	dl_answer(&s.called, s.phone.rx, 200, NULL, NULL);
	sc_cdr(cw_cdr(s.w), REASON_CALL_LOST_IN_RESTART, 200, "sbc");
	sp_silent(&s.itsp);
	gh__saved_call__free_unpacked(saved, NULL);
	s.w->n_ended = s.w->n_opened;
	saves_end(&s);
}
END_TEST

/* Flipped bytes that still are a message: refused, or a call that ends. */
START_TEST(damaged)
{
	static struct saved_bytes good, bad;
	struct scene s;
	unsigned n_restored = 0, n_refused = 0;

	saves_begin(&s);
	sc_up(&s);
	saves_pack(cw_call(s.w), &good);
	saves_vanish(&s);
	for (size_t i = 0; i < good.len; i += 13) {
		Gh__SavedCall *saved;
		struct call *c;

		bad = good;
		bad.data[i] ^= (uint8_t)(1u << i % 8);
		if (i % 5 == 0)
			bad.len = i;
		saved = gh__saved_call__unpack(NULL, bad.len, bad.data);
		if (saved == NULL)
			continue;
		if (saves_restore(&s, saved) == 0)
			n_restored++;
		else
			n_refused++;
		gh__saved_call__free_unpacked(saved, NULL);
		while ((c = cw_call(s.w)) != NULL) {
			struct call_input in = {.event = EV_END,
				.why = REASON_CALL_ADMIN_HUNG_UP};

			if (c->state < CALL_ENDING)
				call_event(c, &in);
			in.event = EV_FIGURES;
			if (c->state == CALL_ENDING)
				call_event(c, &in);
			in.event = EV_TIMER;
			call_event(c, &in);
			cw_step(s.w);
		}
		saves_drain(&s.itsp);
		saves_drain(&s.phone);
	}
	ck_assert_uint_gt(n_restored, 20);
	ck_assert_uint_ge(n_refused, 3);
	s.w->n_ended = s.w->n_opened;
	saves_end(&s);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("sbc_save");

	suite_add(s, "established", established);
	suite_add(s, "forwarded", forwarded);
	suite_add(s, "in_set_up", in_set_up);
	suite_add(s, "impossible", impossible);
	suite_add(s, "had_ended", had_ended);
	suite_add(s, "without_its_trunk", without_its_trunk);
	suite_add(s, "damaged", damaged);
	return suite_run(s);
}
