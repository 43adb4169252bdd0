/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The state table itself: that it has no hole, that what it does not name
 * changes nothing, and that calls which are thrown every message in every order
 * still end, each with one CDR and nothing left over.
 */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "common/stat.h"
#include "tests/unit/call_world.h"
#include "tests/unit/suite.h"

START_TEST(rows)
{
	for (enum call_state s = 0; s < CALL_STATE_COUNT; s++) {
		unsigned n = 0, leads = 0;

		for (enum call_event e = 0; e < CALL_EVENT_COUNT; e++) {
			const struct call_row *row = call_table_row(s, e);

			if (row == NULL)
				continue;
			n++;
			ck_assert_int_eq(row->state, s);
			ck_assert_int_eq(row->event, e);
			ck_assert_ptr_nonnull(row->handler);
			ck_assert_uint_ne(row->next, 0);
			ck_assert_uint_eq(row->next >> CALL_STATE_COUNT, 0);
			leads |= row->next;
			/* Tear-down leads nowhere but to its end. */
			if (s == CALL_ENDING)
				ck_assert_uint_eq(
					row->next &
						~(CALL_BIT(CALL_ENDING) |
							CALL_BIT(CALL_DONE)),
					0);
			if (s == CALL_DONE)
				ck_assert_uint_eq(
					row->next, CALL_BIT(CALL_DONE));
		}
		ck_assert_uint_gt(n, 0);
		/* An administrator ends a call in any state. */
		ck_assert_ptr_nonnull(call_table_row(s, EV_END));
		/* Every state that waits for a machine has a time-out. */
		if (s != CALL_UP)
			ck_assert_ptr_nonnull(call_table_row(s, EV_TIMER));
		if (s < CALL_ENDING) {
			ck_assert(leads & CALL_BIT(CALL_ENDING));
			ck_assert_ptr_nonnull(call_table_row(s, EV_LIFE));
			ck_assert_ptr_nonnull(call_table_row(s, EV_BYE));
		}
	}
	ck_assert_ptr_null(call_table_row(CALL_STATE_COUNT, EV_END));
	ck_assert_ptr_null(call_table_row(CALL_UP, CALL_EVENT_COUNT));
	ck_assert_ptr_null(call_table_row(CALL_UP, EV_INVITE));
}
END_TEST

START_TEST(names)
{
	for (enum call_state s = 0; s < CALL_STATE_COUNT; s++)
		ck_assert_str_ne(call_state_name(s), "?");
	for (enum call_event e = 0; e < CALL_EVENT_COUNT; e++)
		ck_assert_str_ne(call_event_name(e), "?");
	for (enum leg_state s = 0; s < LEG_STATE_COUNT; s++)
		ck_assert_str_ne(leg_state_name(s), "?");
	for (enum leg_event e = 0; e < LEG_EVENT_COUNT; e++)
		ck_assert_str_ne(leg_event_name(e), "?");
	ck_assert_str_eq(call_state_name(CALL_STATE_COUNT), "?");
	ck_assert_str_eq(call_event_name(CALL_EVENT_COUNT), "?");
}
END_TEST

/* What has no row is counted and changes nothing. */
START_TEST(absent_rows)
{
	struct scene s;
	struct call *c;

	sc_begin(&s, NULL);
	sc_up(&s);
	c = cw_call(s.w);
	for (enum call_state st = 0; st < CALL_STATE_COUNT; st++) {
		for (enum call_event e = 0; e < CALL_EVENT_COUNT; e++) {
			struct call_input in = {.event = e};
			uint64_t before = stat_get(STAT_CALL_EVENTS_UNEXPECTED);

			if (call_table_row(st, e) != NULL)
				continue;
			c->state = st;
			call_event(c, &in);
			ck_assert_int_eq(c->state, st);
			ck_assert_uint_eq(stat_get(STAT_CALL_EVENTS_UNEXPECTED),
				before + 1);
		}
	}
	c->state = CALL_UP;
	sc_bye_from_caller(&s);
	sc_cdr(cw_cdr(s.w), REASON_CALL_CALLER_HUNG_UP, 200, "caller");
	sc_end(&s);
}
END_TEST

/* However often and in whatever order it is ended: the first reason counts,
 * everything is released once, one CDR is written. */
START_TEST(tear_down_once)
{
	struct scene s;
	struct call_input end = {.event = EV_END};
	struct call *c;

	sc_begin(&s, NULL);
	sc_up(&s);
	c = cw_call(s.w);
	ck_assert_int_eq(calls_end_one(s.w->sbc.calls, "0000000000000000",
				 REASON_CALL_ADMIN_HUNG_UP),
		ERR_NOT_FOUND);
	ck_assert_int_eq(
		calls_end_one(s.w->sbc.calls, c->id, REASON_CALL_ADMIN_HUNG_UP),
		0);
	ck_assert_int_eq(c->state, CALL_ENDING);
	end.why = REASON_CALL_SHUTDOWN;
	call_event(c, &end);
	cw_fire(s.w, EV_BYE);
	cw_fire(s.w, EV_LEG_ENDED);
	ck_assert_int_eq(c->state, CALL_ENDING);
	cw_fire(s.w, EV_TIMER); /* mediad's figures are late */
	ck_assert_int_eq(c->state, CALL_DONE);
	call_event(c, &end);
	ck_assert_int_eq(c->state, CALL_DONE);
	sp_expect(&s.itsp, "BYE ");
	dl_answer(&s.caller, s.itsp.rx, 200, NULL, NULL);
	sp_expect(&s.phone, "BYE ");
	dl_answer(&s.called, s.phone.rx, 200, NULL, NULL);
	sc_cdr(cw_cdr(s.w), REASON_CALL_ADMIN_HUNG_UP, 200, "sbc");
	sc_end(&s);
}
END_TEST

/* Every state's time-out ends what it waits for. */
START_TEST(timers)
{
	static const struct {
		enum reason why;
		unsigned status;
	} ends[] = {
		[CALL_FACTS] = {REASON_CALL_SET_UP_TOO_SLOW, 408},
		[CALL_PORTS] = {REASON_CALL_SET_UP_TOO_SLOW, 408},
		[CALL_ANSWERING] = {REASON_CALL_SET_UP_TOO_SLOW, 408},
	};

	for (enum call_state st = CALL_FACTS; st <= CALL_ANSWERING; st++) {
		struct scene s;
		char line[24];

		if (ends[st].status == 0)
			continue;
		sc_begin(&s, NULL);
		s.w->accounts_silent = st == CALL_FACTS;
		s.w->media_silent = st == CALL_PORTS;
		if (st == CALL_ANSWERING) {
			sc_ring(&s, sdp_text(&s.itsp, 6000, "8", NULL));
			s.w->media_silent = true;
			dl_answer(&s.called, s.called.invite, 200, NULL,
				sdp_text(&s.phone, 7000, "8", NULL));
			sp_expect(&s.phone, "ACK ");
		} else {
			dl_invite(&s.caller, &s.itsp, &s.w->itsp, "+491",
				"+4930100", NULL,
				sdp_text(&s.itsp, 6000, "8", NULL));
			cw_turn(s.w);
		}
		ck_assert_int_eq(cw_call(s.w)->state, st);
		cw_fire(s.w, EV_TIMER);
		snprintf(line, sizeof line, "SIP/2.0 %u", ends[st].status);
		sp_expect(&s.itsp, line);
		dl_ack(&s.caller, NULL);
		if (st == CALL_ANSWERING) {
			sp_expect(&s.phone, "BYE ");
			dl_answer(&s.called, s.phone.rx, 200, NULL, NULL);
		}
		sc_cdr(cw_cdr(s.w), ends[st].why, ends[st].status, "sbc");
		sc_end(&s);
	}
}
END_TEST

/* --- anything in any order --- */

#define STORM_CALLS 24
#define STORM_STEPS 500

static uint32_t seed;

static unsigned pick(unsigned n)
{
	seed = seed * 1664525u + 1013904223u;
	return (seed >> 16) % n;
}

struct storm {
	struct cw *w;
	struct sip_peer itsp, phone;
	struct dialog *callers, *calleds;
	unsigned n_callers, n_calleds;
};

static struct dialog *by_call_id(
	struct dialog *d, unsigned n, const char *message)
{
	const char *id = msg_header_value(message, "Call-ID", 0);

	for (unsigned i = 0; i < n; i++) {
		if (strcmp(d[i].call_id, id) == 0)
			return &d[i];
	}
	return NULL;
}

static const char *some_sdp(struct sip_peer *p)
{
	static const char *const directions[] = {
		"sendrecv", "sendonly", "recvonly", "inactive"};
	static const char *const formats[] = {"8 101", "8", "0", "0 8", "18"};

	switch (pick(8)) {
	case 0:
		return NULL;
	case 1:
		return "v=0\r\nbroken";
	default:
		return sdp_text(p, 6000 + 2 * pick(100), formats[pick(5)],
			directions[pick(4)]);
	}
}

/* Something that this end does of its own accord. */
static void act(struct dialog *d)
{
	switch (pick(8)) {
	case 0:
		dl_request(d, "BYE", NULL, NULL, NULL);
		break;
	case 1:
	case 2:
		dl_request(
			d, "INVITE", NULL, "application/sdp", some_sdp(d->p));
		break;
	case 3:
		dl_request(
			d, "UPDATE", NULL, "application/sdp", some_sdp(d->p));
		break;
	case 4:
		dl_request(d, "INFO", NULL, "application/dtmf", "5");
		break;
	case 5:
		dl_request(d, "OPTIONS", NULL, NULL, NULL);
		break;
	case 6:
		dl_ack(d, some_sdp(d->p));
		break;
	default:
		if (*d->invite != '\0')
			dl_cancel(d);
		break;
	}
}

static void react_to_request(struct storm *st, struct sip_peer *p)
{
	static const unsigned answers[] = {100, 180, 183, 183, 200, 200, 200,
		486, 603, 503, 302, 491, 481};
	bool at_phone = p == &st->phone;
	struct dialog *d =
		at_phone ? by_call_id(st->calleds, st->n_calleds, p->rx)
			 : by_call_id(st->callers, st->n_callers, p->rx);
	static char request[CW_TEXT];
	unsigned status;

	snprintf(request, sizeof request, "%s", p->rx);
	if (d == NULL) {
		if (!at_phone || strncmp(request, "INVITE", 6) != 0)
			return;
		ck_assert_uint_lt(st->n_calleds, STORM_CALLS * 2);
		d = &st->calleds[st->n_calleds++];
		dl_from_invite(d, p, &st->w->phones);
	}
	if (strncmp(request, "ACK", 3) == 0)
		return;
	status = answers[pick(sizeof answers / sizeof *answers)];
	if (strncmp(request, "INVITE", 6) != 0) {
		if (pick(4) != 0)
			dl_answer(d, request, status < 200 ? 200 : status, NULL,
				NULL);
		/* The library waits 32 s for a cancelled INVITE's end. */
		if (strncmp(request, "CANCEL", 6) == 0)
			dl_answer(d, d->first, pick(3) == 0 ? 200 : 487, NULL,
				some_sdp(p));
		return;
	}
	if (pick(6) != 0)
		dl_answer(d, request, status, NULL,
			status == 183 || status == 200 ? some_sdp(p) : NULL);
}

static void react_to_answer(struct storm *st, struct sip_peer *p)
{
	struct dialog *d =
		p == &st->itsp ? by_call_id(st->callers, st->n_callers, p->rx)
			       : by_call_id(st->calleds, st->n_calleds, p->rx);

	if (d == NULL ||
		strstr(msg_header_value(p->rx, "CSeq", 0), "INVITE") == NULL)
		return;
	if (p->rx[8] == '2') {
		dl_answered(d);
		if (pick(8) != 0)
			dl_ack(d, pick(3) == 0 ? some_sdp(p) : NULL);
	} else if (p->rx[8] > '2') {
		dl_ack(d, NULL);
	}
}

static void read_all(struct storm *st, struct sip_peer *p)
{
	ssize_t n;

	while ((n = recv(p->fd, p->rx, sizeof p->rx - 1, 0)) > 0) {
		p->rx[n] = '\0';
		if (strncmp(p->rx, "SIP/2.0 ", 8) == 0)
			react_to_answer(st, p);
		else
			react_to_request(st, p);
	}
}

static void storm_step(struct storm *st)
{
	struct cw *w = st->w;

	w->media_silent = pick(20) == 0;
	w->media_refuses =
		pick(20) == 0 ? REASON_SESSION_NO_PORT : REASON_SESSION_OPEN;
	switch (pick(6)) {
	case 0:
		if (st->n_callers < STORM_CALLS)
			dl_invite(&st->callers[st->n_callers++], &st->itsp,
				&w->itsp, "+491", "+4930100",
				pick(4) == 0 ? "Require: 100rel\r\n" : NULL,
				pick(4) == 0 ? NULL : some_sdp(&st->itsp));
		break;
	case 1:
		if (st->n_callers != 0)
			act(&st->callers[pick(st->n_callers)]);
		break;
	case 2:
		if (st->n_calleds != 0)
			act(&st->calleds[pick(st->n_calleds)]);
		break;
	case 3:
		if (cw_call(w) != NULL && pick(4) == 0)
			cw_fire(w, pick(2) == 0 ? EV_TIMER : EV_LIFE);
		break;
	case 4:
		if (w->mediad_link != NULL && *w->last_call != '\0' &&
			pick(6) == 0)
			cw_media_event(w, GH__MEDIA_EVENT_KIND__MEDIA_TIMED_OUT,
				pick(2) == 0);
		break;
	default:
		break;
	}
	cw_step(w);
	read_all(st, &st->itsp);
	read_all(st, &st->phone);
}

static bool storm_is_over(void *ctx)
{
	struct storm *st = ctx;

	read_all(st, &st->itsp);
	read_all(st, &st->phone);
	return TAILQ_EMPTY(&st->w->sbc.calls->all) &&
	       TAILQ_EMPTY(&st->w->sbc.calls->dead) &&
	       cdrs_waiting(st->w->sbc.cdrs) == 0;
}

START_TEST(storm)
{
	struct cw_config config = {0};
	struct storm st = {0};

	seed = 7919u * (unsigned)(_i + 1);
	st.w = cw_new(&config);
	sp_open(st.w, &st.itsp, 2);
	sp_open(st.w, &st.phone, 5);
	cw_bind(st.w, 1, &st.phone);
	st.callers = calloc(STORM_CALLS, sizeof *st.callers);
	st.calleds = calloc(STORM_CALLS * 2, sizeof *st.calleds);
	ck_assert(st.callers != NULL && st.calleds != NULL);
	for (int i = 0; i < STORM_STEPS; i++)
		storm_step(&st);
	st.w->media_silent = false;
	st.w->media_refuses = REASON_SESSION_OPEN;
	calls_end_all(st.w->sbc.calls, REASON_CALL_SHUTDOWN, NULL, NULL);
	cw_until(st.w, storm_is_over, &st, "the end of the storm");
	/* One CDR for every INVITE that became a call, each of its own. */
	ck_assert_uint_eq(st.w->n_cdrs, stat_get(STAT_CALLS_TOTAL));
	ck_assert_uint_gt(st.w->n_cdrs, STORM_CALLS / 2);
	for (size_t i = 0; i < st.w->n_cdrs; i++) {
		for (size_t k = 0; k < i; k++)
			ck_assert_str_ne(
				st.w->cdrs[i]->call, st.w->cdrs[k]->call);
		ck_assert_uint_ne(st.w->cdrs[i]->reason, 0);
		ck_assert_uint_ne(st.w->cdrs[i]->sip_status, 0);
	}
	cw_wait_empty(st.w);
	free(st.callers);
	free(st.calleds);
	sp_close(&st.itsp);
	sp_close(&st.phone);
	cw_free(&st.w);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("sbc_call_table");
	TCase *t = tcase_create("storm");

	suite_add(s, "rows", rows);
	suite_add(s, "names", names);
	suite_add(s, "absent_rows", absent_rows);
	suite_add(s, "tear_down_once", tear_down_once);
	suite_add(s, "timers", timers);
	tcase_set_timeout(t, 60);
	tcase_add_loop_test(t, storm, 0, 3);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	return suite_run(suite());
}
