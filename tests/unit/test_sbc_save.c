/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls as records and back: every field comes through, a record that was
 * damaged is refused or makes a call that ends, and what is in the files that
 * cannot be read is dropped. Whole restarts are in tests/scenario/survival.py.
 */
#include "config.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sbc/leg_save.h"
#include "sbc/trunk.h"
#include "tests/unit/call_world.h"
#include "tests/unit/state_file.h"
#include "tests/unit/suite.h"

static void with_saves(struct scene *s)
{
	sc_begin(s, NULL);
	ck_assert_int_eq(
		saves_new(&s->w->sbc, &sbc_save_owners, &s->w->sbc.saves), 0);
	saves_on_keeper(s->w->sbc.saves);
}

static void done(struct scene *s)
{
	cw_wait_empty(s->w);
	saves_free(&s->w->sbc.saves, true);
	sp_close(&s->itsp);
	sp_close(&s->phone);
	cw_free(&s->w);
}

/* The packed record of a call. */
struct bytes {
	uint8_t data[65536];
	size_t len;
};

static void pack(const struct call *c, struct bytes *out)
{
	struct scratch s;
	Gh__SavedCall record;

	scratch_init(&s);
	call_to_record(c, &s, &record);
	out->len = gh__saved_call__get_packed_size(&record);
	ck_assert_uint_lt(out->len, sizeof out->data);
	gh__saved_call__pack(&record, out->data);
	scratch_done(&s);
}

static Gh__SavedCall *unpack(const struct bytes *b)
{
	Gh__SavedCall *saved = gh__saved_call__unpack(NULL, b->len, b->data);

	ck_assert_ptr_nonnull(saved);
	return saved;
}

static bool no_call(void *ctx)
{
	struct cw *w = ctx;

	return TAILQ_EMPTY(&w->sbc.calls->all) &&
	       TAILQ_EMPTY(&w->sbc.calls->dead);
}

static void nothing(void *ctx)
{
	(void)ctx;
}

/* Whatever the peers were sent is read and forgotten. */
static void drain(struct sip_peer *p)
{
	while (recv(p->fd, p->rx, sizeof p->rx - 1, MSG_DONTWAIT) >= 0)
		continue;
	p->n_seen = 0;
}

/* Takes the call out of the process as a kill would, but in order: what it
 * says to the peers meanwhile does not count. */
static void vanish(struct scene *s)
{
	struct cw *w = s->w;
	struct call *c;
	bool up = cw_call(w)->state == CALL_UP;

	calls_end_all(w->sbc.calls, REASON_CALL_ADMIN_HUNG_UP, nothing, NULL);
	if (up) {
		sp_expect(&s->itsp, "BYE ");
		dl_answer(&s->caller, s->itsp.rx, 200, NULL, NULL);
		sp_expect(&s->phone, "BYE ");
		dl_answer(&s->called, s->phone.rx, 200, NULL, NULL);
	}
	cw_turn(w);
	while ((c = cw_call(w)) != NULL) {
		cw_fire(w, EV_TIMER);
		cw_turn(w);
	}
	cw_until(w, no_call, w, "the end of the first process");
	cw_cdr(w);
	drain(&s->itsp);
	drain(&s->phone);
}

static int restore(struct scene *s, const Gh__SavedCall *saved)
{
	static const struct save_slot none;

	return call_restore(s->w->sbc.calls, saved, &none);
}

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

static void compare(const struct bytes *was_bytes, const struct call *c)
{
	static struct bytes now_bytes, packed;
	Gh__SavedCall *was = unpack(was_bytes), *now;

	pack(c, &now_bytes);
	now = unpack(&now_bytes);
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
	static struct bytes b;
	struct scene s;
	struct call *c;
	Gh__SavedCall *saved;
	const Gh__Cdr *cdr;
	uint64_t answered, counted;

	with_saves(&s);
	sc_up(&s);
	c = cw_call(s.w);
	ck_assert(save_has(&c->saved));
	pack(c, &b);
	answered = c->record.answer_us;
	vanish(&s);
	counted = s.w->n_opened;
	saved = unpack(&b);
	ck_assert_int_eq(restore(&s, saved), 0);
	/* The same call once more is another one's record. */
	ck_assert_int_eq(restore(&s, saved), ERR_EXISTS);
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
	done(&s);
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
	static struct bytes b;
	struct scene s;
	struct sip_peer other;
	struct call *c;
	Gh__SavedCall *saved;

	with_saves(&s);
	s.w->max_calls = 1;
	s.w->max_minutes_per_day = 60;
	sp_open(s.w, &other, 6);
	cw_bind(s.w, 2, &other);
	forward(&s, &other);
	ck_assert_uint_lt(call_limit_left_us(cw_call(s.w)), UINT64_MAX);
	pack(cw_call(s.w), &b);
	vanish(&s);
	call_account_2(&s, &other, false);
	cw_until(s.w, no_call, s.w, "the end of that call");
	saved = unpack(&b);
	ck_assert_uint_eq(saved->forwarder->id, 2);
	ck_assert_int_eq(restore(&s, saved), 0);
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
	done(&s);
	sp_close(&other);
}
END_TEST

/* A call in set-up: the caller hears 503, the phone its INVITE once more, byte
 * by byte, and then CANCEL. */
START_TEST(in_set_up)
{
	static struct bytes b;
	struct scene s;
	Gh__SavedCall *saved;

	with_saves(&s);
	s.phone.repeats = true;
	sc_ring(&s, sdp_text(&s.itsp, 6000, "8 0 101", NULL));
	pack(cw_call(s.w), &b);
	vanish(&s);
	saved = unpack(&b);
	ck_assert_int_eq(saved->state, CALL_RINGING);
	ck_assert_uint_gt(saved->caller->leg->invite.len, 0);
	ck_assert_int_eq(restore(&s, saved), 0);
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
	done(&s);
}
END_TEST

/* Each field that a call cannot be without, or that speaks of something that
 * is not there. */
START_TEST(impossible)
{
	static struct bytes b;
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

	with_saves(&s);
	sc_up(&s);
	pack(cw_call(s.w), &b);
	vanish(&s);
	for (int i = 0; i < N; i++) {
		static char long_number[200];
		Gh__SavedCall *saved = unpack(&b);
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
		ck_assert_int_eq(restore(&s, saved), ERR_INVALID);
		saved->caller = caller;
		caller->peer = peer;
		saved->caller_number = number;
		gh__saved_call__free_unpacked(saved, NULL);
		ck_assert_ptr_null(cw_call(s.w));
	}
	s.w->n_ended = s.w->n_opened;
	done(&s);
}
END_TEST

/* It had ended before the kill, and nobody has anything to say about it any
 * more: the record that is written at once says when it ended, not when it was
 * found. */
START_TEST(had_ended)
{
	static struct bytes b;
	struct scene s;
	Gh__SavedCall *saved;
	char none[] = "", *session;
	const Gh__Cdr *cdr;
	enum { TALKED_US = 7000000 };

	with_saves(&s);
	sc_up(&s);
	pack(cw_call(s.w), &b);
	vanish(&s);
	saved = unpack(&b);
	saved->state = CALL_ENDING;
	saved->why = reason_number(REASON_CALL_CALLER_HUNG_UP);
	saved->hangup = CALL_CALLER;
	saved->answer_us -= TALKED_US + 3000000;
	saved->end_us = saved->answer_us + TALKED_US;
	saved->wall_end_us = saved->wall_answer_us + TALKED_US;
	ck_assert_uint_eq(saved->n_slots, 1);
	session = saved->slots[0]->session;
	saved->slots[0]->session = none;
	ck_assert_int_eq(restore(&s, saved), 0);
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
	done(&s);
}
END_TEST

/* A trunk that is not there any more: what can be reached is ended. */
START_TEST(without_its_trunk)
{
	static struct bytes b;
	struct scene s;
	Gh__SavedCall *saved;

	with_saves(&s);
	sc_up(&s);
	pack(cw_call(s.w), &b);
	vanish(&s);
	saved = unpack(&b);
	saved->caller->trunk = 77;
	ck_assert_int_eq(restore(&s, saved), 0);
	sp_expect(&s.phone, "BYE ");
	dl_answer(&s.called, s.phone.rx, 200, NULL, NULL);
	sc_cdr(cw_cdr(s.w), REASON_CALL_LOST_IN_RESTART, 200, "sbc");
	sp_silent(&s.itsp);
	gh__saved_call__free_unpacked(saved, NULL);
	s.w->n_ended = s.w->n_opened;
	done(&s);
}
END_TEST

/* Flipped bytes that still are a message: refused, or a call that ends. */
START_TEST(damaged)
{
	static struct bytes good, bad;
	struct scene s;
	unsigned n_restored = 0, n_refused = 0;

	with_saves(&s);
	sc_up(&s);
	pack(cw_call(s.w), &good);
	vanish(&s);
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
		if (restore(&s, saved) == 0)
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
		drain(&s.itsp);
		drain(&s.phone);
	}
	ck_assert_uint_gt(n_restored, 20);
	ck_assert_uint_ge(n_refused, 3);
	s.w->n_ended = s.w->n_opened;
	done(&s);
}
END_TEST

static int keep(void *ctx, struct store_record *record, uint32_t type,
	uint32_t version, const void *bytes, size_t len)
{
	(void)ctx;
	(void)record;
	(void)type;
	(void)version;
	(void)bytes;
	(void)len;
	return 0;
}

static void put(struct store *file, uint32_t kind, uint32_t version,
	const void *bytes, size_t len)
{
	struct store_record *record = NULL;

	ck_assert_int_eq(
		store_put(file, &record, kind, version, bytes, len, 0), 0);
}

/* What an earlier process left: good contacts and CDRs come into force,
 * another version, another kind and rubbish are dropped, one by one. */
START_TEST(files)
{
	struct scene s;
	struct store *calls = NULL, *bindings = NULL;
	static uint8_t rubbish[300];
	Gh__SavedBinding contact = GH__SAVED_BINDING__INIT;
	Gh__Binding row = GH__BINDING__INIT;
	Gh__Account account = GH__ACCOUNT__INIT;
	Gh__SavedTrunk trunk = GH__SAVED_TRUNK__INIT;
	uint8_t bytes[1000];
	char number[] = "202", local[ADDR_TEXT_SIZE], uri[] = "sip:x@192.0.2.9";
	char source[] = "192.0.2.9:5060";
	size_t len;

	sc_begin(&s, NULL);
	ck_assert_int_eq(
		saves_new(&s.w->sbc, &sbc_save_owners, &s.w->sbc.saves), 0);
	ck_assert_int_eq(
		store_open(save_file_of(SAVE_CALL), NULL, keep, NULL, &calls),
		0);
	ck_assert_int_eq(store_open(save_file_of(SAVE_BINDING), NULL, keep,
				 NULL, &bindings),
		0);
	memset(rubbish, 0xa5, sizeof rubbish);
	put(calls, SAVE_CALL, SAVE_VERSION, rubbish, sizeof rubbish);
	put(calls, SAVE_CALL, SAVE_VERSION + 1, "", 0);
	put(calls, 99, SAVE_VERSION, "", 0);
	put(calls, SAVE_CALL, SAVE_VERSION, "", 0); /* empty, and no call */
	trunk.trunk = 1;
	trunk.down = 1;
	len = gh__saved_trunk__pack(&trunk, bytes);
	put(calls, SAVE_TRUNK, SAVE_VERSION, bytes, len);
	account.id = row.account = 9;
	account.extension = number;
	row.contact = uri;
	row.source = source;
	row.local = (char *)(uintptr_t)addr_format(&s.w->phones, local);
	row.wall_expires_us = clock_wall_us() + 60 * CLOCK_US_PER_S;
	contact.binding = &row;
	contact.account = &account;
	len = gh__saved_binding__pack(&contact, bytes);
	ck_assert_uint_lt(len, sizeof bytes);
	put(bindings, SAVE_BINDING, SAVE_VERSION, bytes, len);
	contact.account = NULL; /* whose is it? */
	len = gh__saved_binding__pack(&contact, bytes);
	put(bindings, SAVE_BINDING, SAVE_VERSION, bytes, len);
	ck_assert(saves_on_fd(
		s.w->sbc.saves, store_fd_name(calls), dup(store_fd(calls))));
	ck_assert(saves_on_fd(s.w->sbc.saves, store_fd_name(bindings),
		dup(store_fd(bindings))));
	ck_assert(!saves_on_fd(s.w->sbc.saves, "something", 0));
	store_close(&calls);
	store_close(&bindings);

	saves_on_keeper(s.w->sbc.saves);
	ck_assert_ptr_nonnull(bindings_of(s.w->sbc.bindings, 9));
	ck_assert_uint_eq(bindings_count(s.w->sbc.bindings), 2);
	saves_settle(s.w->sbc.saves);
	ck_assert(!trunk_in_service(s.w->sbc.trunks, 1));
	ck_assert_ptr_null(cw_call(s.w));
	done(&s);
}
END_TEST

/* ------------------------------------------------------- recorded versions */

#define RECORDED_NAME "calls@512x524288"
#define RECORDED_SIZE 268439552
#define RECORDED_USED (4096 + 24 * 512)

/* The file of a call that is up, a trunk that is down and a drain. */
static void record_calls(void)
{
	Gh__SavedTrunk trunk = GH__SAVED_TRUNK__INIT;
	Gh__SavedSwitches switches = GH__SAVED_SWITCHES__INIT;
	static struct bytes b;
	struct store *file = NULL;
	struct scene s;
	uint8_t bytes[64];

	with_saves(&s);
	sc_up(&s);
	pack(cw_call(s.w), &b);
	ck_assert_int_eq(
		store_open(save_file_of(SAVE_CALL), NULL, keep, NULL, &file),
		0);
	trunk.trunk = 1;
	trunk.down = true;
	trunk.cseq = 4711;
	put(file, SAVE_TRUNK, 1, bytes, gh__saved_trunk__pack(&trunk, bytes));
	put(file, SAVE_CALL, 1, b.data, b.len);
	switches.draining = true;
	put(file, SAVE_SWITCHES, 1, bytes,
		gh__saved_switches__pack(&switches, bytes));
	state_record("sbc-calls-1.bin", store_fd(file), RECORDED_USED);
	store_close(&file);
	sc_bye_from_caller(&s);
	cw_cdr(s.w);
	done(&s);
}

static Gh__SavedCall *recorded_call;
static unsigned n_recorded;

static int take_call(struct sbc *sbc, const ProtobufCMessage *msg,
	const struct save_slot *slot)
{
	const Gh__SavedCall *m = (const Gh__SavedCall *)msg;
	static struct bytes b;

	(void)sbc;
	ck_assert(save_has(slot));
	b.len = gh__saved_call__pack(m, b.data);
	recorded_call = unpack(&b);
	n_recorded++;
	return 0;
}

static int take_trunk(struct sbc *sbc, const ProtobufCMessage *msg,
	const struct save_slot *slot)
{
	const Gh__SavedTrunk *m = (const Gh__SavedTrunk *)msg;

	(void)sbc;
	(void)slot;
	ck_assert_uint_eq(m->trunk, 1);
	ck_assert(m->down);
	ck_assert_uint_eq(m->cseq, 4711);
	n_recorded++;
	return 0;
}

static int take_switches(struct sbc *sbc, const ProtobufCMessage *msg,
	const struct save_slot *slot)
{
	(void)sbc;
	(void)slot;
	ck_assert(((const Gh__SavedSwitches *)msg)->draining);
	n_recorded++;
	return 0;
}

static bool always(
	struct sbc *sbc, enum save_kind kind, const ProtobufCMessage *msg)
{
	(void)sbc;
	(void)kind;
	(void)msg;
	return true;
}

static void not_at_all(struct sbc *sbc)
{
	(void)sbc;
}

static void counted(struct sbc *sbc, size_t n)
{
	(void)sbc;
	ck_assert_uint_eq(n, 2);
}

/* What of a dialog is this machine's, here and now. */
static void move_leg(Gh__SavedLeg *was, const Gh__SavedLeg *now)
{
	was->call_id = now->call_id;
	was->local_tag = now->local_tag;
	was->remote_tag = now->remote_tag;
	was->local = now->local;
	was->remote = now->remote;
	was->contact = now->contact;
	was->target = now->target;
	was->peer = now->peer;
	was->listen = now->listen;
}

static void move_party(Gh__SavedParty *was, const Gh__SavedParty *now)
{
	was->listen = now->listen;
	was->peer = now->peer;
	move_leg(was->leg, now->leg);
}

/* A file of the first version: every record is understood, and its call goes
 * on in this process. */
START_TEST(file_of_version_1)
{
	static const struct save_owners owners = {
		.restore = {[SAVE_CALL] = take_call,
			[SAVE_TRUNK] = take_trunk,
			[SAVE_SWITCHES] = take_switches},
		.ready = always,
		.on_open = not_at_all,
		.on_settled = counted,
	};
	static struct bytes here;
	Gh__SavedCall *now, old;
	struct scene s;
	const Gh__Cdr *cdr;

	record_calls();
	sc_begin(&s, NULL);
	ck_assert_int_eq(saves_new(&s.w->sbc, &owners, &s.w->sbc.saves), 0);
	ck_assert(saves_on_fd(s.w->sbc.saves, RECORDED_NAME,
		state_file("sbc-calls-1.bin", RECORDED_SIZE)));
	saves_on_keeper(s.w->sbc.saves);
	saves_settle(s.w->sbc.saves);
	ck_assert_uint_eq(n_recorded, 3);
	saves_free(&s.w->sbc.saves, true);

	ck_assert_int_eq(recorded_call->state, CALL_UP);
	ck_assert_uint_eq(recorded_call->n_parties, 1);
	ck_assert_uint_eq(recorded_call->n_slots, 1);
	ck_assert_uint_gt(recorded_call->n_decisions, 0);
	ck_assert_uint_gt(recorded_call->caller->leg->local_cseq +
				  recorded_call->caller->leg->remote_cseq,
		0);
	sc_up(&s);
	pack(cw_call(s.w), &here);
	vanish(&s);
	now = unpack(&here);
	old = *recorded_call; /* its texts' owner stays whole */
	{
		Gh__SavedParty caller = *recorded_call->caller;
		Gh__SavedParty called = *recorded_call->parties[0];
		Gh__SavedParty *parties[1] = {&called};
		Gh__SavedLeg legs[2] = {*caller.leg, *called.leg};

		caller.leg = &legs[0];
		called.leg = &legs[1];
		move_party(&caller, now->caller);
		move_party(&called, now->parties[0]);
		old.caller = &caller;
		old.parties = parties;
		old.slots = now->slots; /* mediad's ports */
		old.answer_us = now->answer_us;
		ck_assert_int_eq(restore(&s, &old), 0);
	}
	ck_assert_int_eq(cw_call(s.w)->state, CALL_UP);
	s.caller.cseq = 2000;
	sc_bye_from_caller(&s);
	cdr = cw_cdr(s.w);
	sc_cdr(cdr, REASON_CALL_CALLER_HUNG_UP, 200, "caller");
	ck_assert_str_eq(cdr->call, recorded_call->call);
	ck_assert_str_eq(cdr->called, recorded_call->called_number);
	ck_assert_uint_eq(cdr->wall_start_us, recorded_call->wall_start_us);
	gh__saved_call__free_unpacked(now, NULL);
	gh__saved_call__free_unpacked(recorded_call, NULL);
	s.w->n_ended = s.w->n_opened;
	done(&s);
}
END_TEST

/* The other files of the first version, a record in each. */
static const struct recorded {
	enum save_kind kind;
	const char *vector, *name;
	off_t size;
} recorded[] = {
	{SAVE_BINDING, "sbc-bindings-1.bin", "bindings@512x262144",
		4096 + 512 * 262144},
	{SAVE_CDR, "sbc-cdrs-1.bin", "cdrs@1024x131072", 4096 + 1024 * 131072},
	{SAVE_SUBSCRIPTION, "sbc-events-1.bin", "events@512x131072",
		4096 + 512 * 131072},
	{SAVE_METER, "sbc-meters-1.bin", "meters@128x262144",
		4096 + 128 * 262144},
};

static char *in(const char *text)
{
	return (char *)(uintptr_t)text;
}

static size_t sample_binding(uint8_t *bytes)
{
	Gh__SavedBinding m = GH__SAVED_BINDING__INIT;
	Gh__Binding row = GH__BINDING__INIT;
	Gh__Account account = GH__ACCOUNT__INIT;

	account.id = row.account = 9;
	account.extension = in("4711");
	account.max_calls = 3;
	row.contact = in("sip:9@192.0.2.7:5060");
	row.source = in("198.51.100.9:40000");
	row.local = in("203.0.113.1:5060");
	row.wall_expires_us = 1790000000000000;
	m.binding = &row;
	m.account = &account;
	return gh__saved_binding__pack(&m, bytes);
}

static size_t sample_cdr(uint8_t *bytes)
{
	Gh__Cdr m = GH__CDR__INIT;
	Gh__CdrLeg leg = GH__CDR_LEG__INIT;
	Gh__Decision decision = GH__DECISION__INIT, *decisions[] = {&decision};

	leg.kind = in("trunk");
	leg.trunk = 7;
	leg.call_id = in("a84b4c76e66710@example.com");
	decision.wall_us = 1790000000000001;
	decision.reason = reason_number(REASON_CALL_ANSWERED);
	decision.data = in("");
	m.call = in("0123456789ABCDEF");
	m.wall_start_us = 1790000000000000;
	m.wall_answer_us = 1790000002000000;
	m.wall_end_us = 1790000065000000;
	m.duration_us = 63000000;
	m.caller = in("+4989123456");
	m.called = in("4711");
	m.caller_leg = &leg;
	m.sip_status = 200;
	m.reason = reason_number(REASON_CALL_CALLER_HUNG_UP);
	m.hangup_side = in("caller");
	m.decisions = decisions;
	m.n_decisions = 1;
	return gh__cdr__pack(&m, bytes);
}

static size_t sample_subscription(uint8_t *bytes)
{
	Gh__SavedSubscription m = GH__SAVED_SUBSCRIPTION__INIT;
	Gh__SavedLeg phone = GH__SAVED_LEG__INIT;
	uint8_t key[16] = {1, 2, 3, 4};

	phone.call_id = in("sub-1@192.0.2.7");
	phone.local_cseq = 77;
	m.id = in("FEDCBA9876543210");
	m.package = in("dialog");
	m.trunk = 3;
	m.resource = in("200");
	m.phone = &phone;
	m.expires_us = 123456789;
	m.state = 2;
	m.ids_key = (ProtobufCBinaryData){sizeof key, key};
	m.n_notified = 12;
	return gh__saved_subscription__pack(&m, bytes);
}

static size_t sample_meter(uint8_t *bytes)
{
	Gh__SavedMeter m = GH__SAVED_METER__INIT;

	m.account = 9;
	m.hour = 497222;
	m.calls = 4;
	m.day = 20717;
	m.talk_us = 90000000;
	return gh__saved_meter__pack(&m, bytes);
}

static size_t sample(enum save_kind kind, uint8_t bytes[1024])
{
	switch (kind) {
	case SAVE_BINDING:
		return sample_binding(bytes);
	case SAVE_CDR:
		return sample_cdr(bytes);
	case SAVE_SUBSCRIPTION:
		return sample_subscription(bytes);
	default:
		return sample_meter(bytes);
	}
}

static int take_sample(enum save_kind kind, const ProtobufCMessage *msg,
	const struct save_slot *slot)
{
	uint8_t want[1024], got[1024];
	size_t len = sample(kind, want);

	ck_assert(save_has(slot));
	ck_assert_uint_eq(protobuf_c_message_get_packed_size(msg), len);
	protobuf_c_message_pack(msg, got);
	ck_assert_mem_eq(got, want, len);
	n_recorded++;
	return 0;
}

static int take_binding(struct sbc *sbc, const ProtobufCMessage *msg,
	const struct save_slot *slot)
{
	(void)sbc;
	return take_sample(SAVE_BINDING, msg, slot);
}

static int take_cdr(struct sbc *sbc, const ProtobufCMessage *msg,
	const struct save_slot *slot)
{
	(void)sbc;
	return take_sample(SAVE_CDR, msg, slot);
}

static int take_subscription(struct sbc *sbc, const ProtobufCMessage *msg,
	const struct save_slot *slot)
{
	(void)sbc;
	return take_sample(SAVE_SUBSCRIPTION, msg, slot);
}

static int take_meter(struct sbc *sbc, const ProtobufCMessage *msg,
	const struct save_slot *slot)
{
	(void)sbc;
	return take_sample(SAVE_METER, msg, slot);
}

static void any_number(struct sbc *sbc, size_t n)
{
	(void)sbc;
	(void)n;
}

static void record_one(const struct recorded *r)
{
	struct store *file = NULL;
	uint8_t bytes[1024];

	ck_assert_int_eq(
		store_open(save_file_of(r->kind), NULL, keep, NULL, &file), 0);
	put(file, r->kind, 1, bytes, sample(r->kind, bytes));
	state_record(r->vector, store_fd(file), 4096 + 4 * 1024);
	store_close(&file);
}

static void must_be_read(
	const struct recorded *r, const struct save_owners *owners)
{
	struct scene s;

	sc_begin(&s, NULL);
	ck_assert_int_eq(saves_new(&s.w->sbc, owners, &s.w->sbc.saves), 0);
	ck_assert(saves_on_fd(
		s.w->sbc.saves, r->name, state_file(r->vector, r->size)));
	n_recorded = 0;
	saves_on_keeper(s.w->sbc.saves);
	saves_settle(s.w->sbc.saves);
	ck_assert_uint_eq(n_recorded, 1);
	done(&s);
}

START_TEST(files_of_version_1)
{
	static const struct save_owners owners = {
		.restore = {[SAVE_BINDING] = take_binding,
			[SAVE_CDR] = take_cdr,
			[SAVE_SUBSCRIPTION] = take_subscription,
			[SAVE_METER] = take_meter},
		.ready = always,
		.on_open = not_at_all,
		.on_settled = any_number,
	};
	const size_t n = sizeof recorded / sizeof recorded[0];

	for (size_t i = 0; i < n; i++)
		record_one(&recorded[i]);
	for (size_t i = 0; i < n; i++)
		must_be_read(&recorded[i], &owners);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("sbc_save");

	suite_add(s, "established", established);
	suite_add(s, "forwarded", forwarded);
	suite_add(s, "in_set_up", in_set_up);
	suite_add(s, "impossible", impossible);
	suite_add(s, "had_ended", had_ended);
	suite_add(s, "without_its_trunk", without_its_trunk);
	suite_add(s, "damaged", damaged);
	suite_add(s, "files", files);
	suite_add(s, "file_of_version_1", file_of_version_1);
	suite_add(s, "files_of_version_1", files_of_version_1);
	return s;
}

int main(void)
{
	return suite_run(suite());
}
