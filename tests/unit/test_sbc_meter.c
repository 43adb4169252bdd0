/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls per hour and minutes per day: the numbers under a clock of the test's
 * own, what comes back after a restart or from the database, and what it means
 * for calls, of which an emergency is none.
 */
#include "config.h"

#include <check.h>
#include <stdio.h>
#include <string.h>

#include "sbc/meter.h"
#include "sbc/save.h"
#include "tests/unit/call_steps.h"
#include "tests/unit/suite.h"

#define S        CLOCK_US_PER_S
#define MIN      (60 * S)
#define HOUR     (60 * MIN)
#define DAY      (24 * HOUR)
/* A day's beginning. */
#define MIDNIGHT (20000 * DAY)

static uint64_t now_us, wall_us;

static uint64_t fake_now(void)
{
	return now_us;
}

static uint64_t fake_wall(void)
{
	return wall_us;
}

static void at(uint64_t wall)
{
	now_us += wall > wall_us ? wall - wall_us : 0;
	wall_us = wall;
}

static struct meters *begin(struct sbc *sbc)
{
	struct meters *m;

	memset(sbc, 0, sizeof *sbc);
	now_us = 5 * DAY;
	wall_us = MIDNIGHT + 10 * HOUR;
	clock_set_source(fake_now, fake_wall);
	ck_assert_int_eq(meters_new(sbc, &m), 0);
	return m;
}

static void end(struct meters **m)
{
	meters_free(m);
	ck_assert_ptr_null(*m);
	clock_set_source(NULL, NULL);
}

static Gh__Account account(uint64_t id, uint32_t calls, uint32_t minutes)
{
	Gh__Account row = GH__ACCOUNT__INIT;

	row.id = id;
	row.max_calls_per_hour = calls;
	row.max_minutes_per_day = minutes;
	return row;
}

START_TEST(calls_of_an_hour)
{
	struct sbc sbc;
	struct meters *m = begin(&sbc);
	Gh__Account a = account(1, 3, 0), other = account(2, 1, 0);

	ck_assert(meter_is_wanted(&a));
	at(MIDNIGHT + 10 * HOUR + 59 * MIN);
	for (unsigned i = 0; i < 3; i++)
		ck_assert_int_eq(meter_begin(m, &a), REASON_ROUTE_OK);
	ck_assert_int_eq(meter_begin(m, &a), REASON_LIMIT_ACCOUNT_HOUR);
	ck_assert_int_eq(meter_begin(m, &other), REASON_ROUTE_OK);
	/* What was refused was not begun: a raised limit has room for one. */
	a.max_calls_per_hour = 4;
	ck_assert_int_eq(meter_begin(m, &a), REASON_ROUTE_OK);
	ck_assert_int_eq(meter_begin(m, &a), REASON_LIMIT_ACCOUNT_HOUR);
	at(MIDNIGHT + 11 * HOUR);
	ck_assert_int_eq(meter_begin(m, &a), REASON_ROUTE_OK);
	/* A clock that was set back is no reason to refuse for ever. */
	wall_us = MIDNIGHT - 3 * DAY;
	for (unsigned i = 0; i < 4; i++)
		ck_assert_int_eq(meter_begin(m, &a), REASON_ROUTE_OK);
	ck_assert_int_eq(meter_begin(m, &a), REASON_LIMIT_ACCOUNT_HOUR);
	end(&m);
}
END_TEST

START_TEST(minutes_of_a_day)
{
	struct sbc sbc;
	struct meters *m = begin(&sbc);
	Gh__Account a = account(1, 0, 10);
	uint64_t first, second;

	ck_assert_uint_eq(meter_left_us(m, &a), UINT64_MAX);
	ck_assert_int_eq(meter_begin(m, &a), REASON_ROUTE_OK);
	first = now_us;
	meter_talk(m, &a, first);
	ck_assert_uint_eq(meter_left_us(m, &a), 10 * MIN + 1);
	at(wall_us + 4 * MIN);
	ck_assert_uint_eq(meter_left_us(m, &a), 6 * MIN + 1);
	/* Two at once use twice as much. */
	second = now_us;
	meter_talk(m, &a, second);
	ck_assert_uint_eq(meter_left_us(m, &a), 3 * MIN + 1);
	at(wall_us + 2 * MIN);
	ck_assert_uint_eq(meter_left_us(m, &a), 1 * MIN + 1);
	ck_assert_int_eq(meter_begin(m, &a), REASON_ROUTE_OK);
	meter_end(m, &a, first, now_us);
	ck_assert_uint_eq(meter_left_us(m, &a), 2 * MIN + 1);
	at(wall_us + 2 * MIN);
	ck_assert_uint_eq(meter_left_us(m, &a), 0);
	ck_assert_int_eq(meter_begin(m, &a), REASON_LIMIT_ACCOUNT_DAY);
	meter_end(m, &a, second, now_us);
	ck_assert_int_eq(meter_begin(m, &a), REASON_LIMIT_ACCOUNT_DAY);
	/* Nothing is up: nothing to be ended. */
	ck_assert_uint_eq(meter_left_us(m, &a), UINT64_MAX);
	a.max_minutes_per_day = 0;
	ck_assert_int_eq(meter_begin(m, &a), REASON_ROUTE_OK);
	end(&m);
}
END_TEST

/* A call that lasts over midnight uses of each day what belongs to it. */
START_TEST(over_midnight)
{
	struct sbc sbc;
	struct meters *m = begin(&sbc);
	Gh__Account a = account(1, 0, 10);
	uint64_t first, second;

	at(MIDNIGHT + DAY - 8 * MIN);
	first = now_us;
	ck_assert_int_eq(meter_begin(m, &a), REASON_ROUTE_OK);
	meter_talk(m, &a, first);
	at(MIDNIGHT + DAY - 1 * MIN);
	ck_assert_uint_eq(meter_left_us(m, &a), 3 * MIN + 1);
	at(MIDNIGHT + DAY + 3 * MIN);
	ck_assert_uint_eq(meter_left_us(m, &a), 7 * MIN + 1);
	second = now_us;
	meter_talk(m, &a, second);
	at(MIDNIGHT + DAY + 4 * MIN);
	meter_end(m, &a, first, now_us);
	meter_end(m, &a, second, now_us);
	/* 4 and 1 of today. */
	meter_talk(m, &a, now_us);
	ck_assert_uint_eq(meter_left_us(m, &a), 5 * MIN + 1);
	end(&m);
}
END_TEST

START_TEST(what_the_database_knew)
{
	struct sbc sbc;
	struct meters *m = begin(&sbc);
	Gh__Account a = account(1, 3, 10), b, c;

	a.usage_at_us = wall_us - 10 * S; /* the hour before began just now */
	a.usage_hour_calls = 3;
	a.usage_day_us = 4 * MIN;
	ck_assert_int_eq(meter_begin(m, &a), REASON_ROUTE_OK);
	meter_talk(m, &a, now_us);
	ck_assert_uint_eq(meter_left_us(m, &a), 6 * MIN + 1);
	/* What is counted here is not counted twice by newer facts. */
	a.usage_day_us = 9 * MIN;
	ck_assert_uint_eq(meter_left_us(m, &a), 6 * MIN + 1);

	at(wall_us + 30 * MIN);
	b = account(2, 3, 10);
	b.usage_at_us = wall_us - 1 * MIN;
	b.usage_hour_calls = 3;
	ck_assert_int_eq(meter_begin(m, &b), REASON_LIMIT_ACCOUNT_HOUR);
	c = account(3, 3, 10);
	c.usage_at_us = wall_us - DAY;
	c.usage_hour_calls = 3;
	c.usage_day_us = HOUR;
	ck_assert_int_eq(meter_begin(m, &c), REASON_ROUTE_OK);
	end(&m);
}
END_TEST

START_TEST(after_a_restart)
{
	static const struct save_slot none;
	struct sbc sbc;
	struct meters *m = begin(&sbc);
	Gh__Account a = account(1, 3, 10);
	Gh__SavedMeter saved = GH__SAVED_METER__INIT;

	ck_assert_int_eq(meters_on_found(m, &saved, &none), ERR_INVALID);
	saved.account = 1;
	saved.hour = wall_us / HOUR;
	saved.calls = 2;
	saved.day = wall_us / DAY;
	saved.talk_us = 9 * MIN;
	ck_assert_int_eq(meters_on_found(m, &saved, &none), 0);
	ck_assert_int_eq(meters_on_found(m, &saved, &none), ERR_EXISTS);
	/* The database may lag behind. */
	a.usage_at_us = wall_us;
	ck_assert_int_eq(meter_begin(m, &a), REASON_ROUTE_OK);
	ck_assert_int_eq(meter_begin(m, &a), REASON_LIMIT_ACCOUNT_HOUR);
	/* A call that was up before goes on using its minute. */
	meter_talk(m, &a, now_us - 30 * S);
	ck_assert_uint_eq(meter_left_us(m, &a), 30 * S + 1);

	saved.account = 2;
	saved.day--;
	saved.hour -= 24;
	ck_assert_int_eq(meters_on_found(m, &saved, &none), 0);
	a = account(2, 3, 10);
	for (unsigned i = 0; i < 3; i++)
		ck_assert_int_eq(meter_begin(m, &a), REASON_ROUTE_OK);
	ck_assert_int_eq(meter_begin(m, &a), REASON_LIMIT_ACCOUNT_HOUR);
	end(&m);
}
END_TEST

START_TEST(yesterdays_are_forgotten)
{
	struct sbc sbc;
	struct meters *m = begin(&sbc);
	Gh__Account talks = account(1, 0, 100), a;
	uint64_t answer = now_us;

	ck_assert_int_eq(meter_begin(m, &talks), REASON_ROUTE_OK);
	meter_talk(m, &talks, answer);
	for (uint64_t id = 2; id < 1000; id++) {
		a = account(id, 5, 0);
		ck_assert_int_eq(meter_begin(m, &a), REASON_ROUTE_OK);
	}
	ck_assert_uint_eq(meters_count(m), 999);
	at(MIDNIGHT + DAY + MIN);
	ck_assert_int_eq(meter_begin(m, &a), REASON_ROUTE_OK);
	ck_assert_uint_eq(meters_count(m), 2);
	ck_assert_uint_eq(meter_left_us(m, &talks), 99 * MIN + 1);
	meter_end(m, &talks, answer, now_us);
	end(&m);
}
END_TEST

/* ------------------------------------------------------------------- calls */

struct way {
	struct cw *w;
	struct sip_peer phone, itsp;
	struct dialog caller, called;
};

static void way_begin(struct way *way)
{
	static const struct cw_config config;

	memset(way, 0, sizeof *way);
	way->w = cw_new(&config);
	sp_open(way->w, &way->phone, 5);
	sp_open(way->w, &way->itsp, 2);
}

static void way_end(struct way *way)
{
	cw_wait_empty(way->w);
	sp_close(&way->phone);
	sp_close(&way->itsp);
	cw_free(&way->w);
}

/* The phone of account 1 calls, with the right credentials. */
static void invite(struct way *way, const char *to)
{
	const char *sdp = sdp_text(&way->phone, 7000, "8 0 101", NULL);

	dl_invite(&way->caller, &way->phone, &way->w->phones, "u1", to, NULL,
		sdp);
	dl_take_refusal(&way->caller, 401);
	dl_invite(&way->caller, &way->phone, &way->w->phones, "u1", to,
		dl_credentials(&way->caller, "u1", "good"), sdp);
}

static void reaches_the_trunk(struct way *way, const char *to)
{
	invite(way, to);
	dl_take_invite(&way->called, &way->itsp, &way->w->itsp);
}

static void is_up(struct way *way)
{
	dl_pick_up(&way->called, sdp_text(&way->itsp, 8000, "8 101", NULL));
	dl_take_answer(&way->caller);
	cw_turn(way->w);
	ck_assert_int_eq(cw_call(way->w)->state, CALL_UP);
}

static void is_busy(struct way *way)
{
	dl_answer(&way->called, way->called.invite, 486, NULL, NULL);
	sp_expect(&way->itsp, "ACK ");
	sp_expect(&way->phone, "SIP/2.0 486");
	dl_ack(&way->caller, NULL);
	sc_cdr(cw_cdr(way->w), REASON_CALL_BUSY, 486, "called");
}

static void is_refused(struct way *way, enum reason why)
{
	sp_expect(&way->phone, "SIP/2.0 403");
	dl_ack(&way->caller, NULL);
	sc_cdr(cw_cdr(way->w), why, 403, "sbc");
	sp_silent(&way->itsp);
}

START_TEST(calls_are_refused)
{
	struct way way;

	way_begin(&way);
	way.w->max_calls_per_hour = 2;
	/* Not around the full hour of a real clock. */
	wall_us = clock_wall_us() / HOUR * HOUR + 30 * MIN;
	clock_set_source(NULL, fake_wall);
	for (unsigned i = 0; i < 2; i++) {
		reaches_the_trunk(&way, "+49891234");
		is_busy(&way);
	}
	invite(&way, "+49891234");
	is_refused(&way, REASON_LIMIT_ACCOUNT_HOUR);
	reaches_the_trunk(&way, "112");
	ck_assert(cw_call(way.w)->emergency);
	is_busy(&way);
	wall_us += HOUR;
	reaches_the_trunk(&way, "+49891234");
	is_busy(&way);
	way_end(&way);
	clock_set_source(NULL, NULL);
}
END_TEST

/* An emergency call passes at each limit, and uses up nothing. */
START_TEST(emergency_is_beyond_limits)
{
	struct dialog first, first_called;
	struct way way;

	way_begin(&way);
	wall_us = clock_wall_us() / DAY * DAY + 12 * HOUR;
	clock_set_source(NULL, fake_wall);
	way.w->max_calls = 1;
	way.w->max_minutes_per_day = 1;
	reaches_the_trunk(&way, "+49891234");
	is_up(&way);
	first = way.caller;
	first_called = way.called;
	invite(&way, "+49891234");
	is_refused(&way, REASON_LIMIT_ACCOUNT_CALLS);
	reaches_the_trunk(&way, "112");
	is_busy(&way);
	ck_assert_uint_eq(meters_count(way.w->sbc.meters), 1);
	dl_request(&first_called, "BYE", NULL, NULL, NULL);
	sp_expect(&way.itsp, "SIP/2.0 200");
	sp_expect(&way.phone, "BYE ");
	dl_answer(&first, way.phone.rx, 200, NULL, NULL);
	sc_cdr(cw_cdr(way.w), REASON_CALL_CALLED_HUNG_UP, 200, "called");

	/* The day is used up. */
	way.w->max_calls = 0;
	meter_talk(way.w->sbc.meters,
		&(Gh__Account){.base = PROTOBUF_C_MESSAGE_INIT(
				       &gh__account__descriptor),
			.id = 1},
		clock_now_us() - MIN);
	invite(&way, "+49891234");
	is_refused(&way, REASON_LIMIT_ACCOUNT_DAY);
	reaches_the_trunk(&way, "112");
	is_up(&way);
	ck_assert(!cw_call(way.w)->talking);
	dl_request(&way.caller, "BYE", NULL, NULL, NULL);
	sp_expect(&way.phone, "SIP/2.0 200");
	sp_expect(&way.itsp, "BYE ");
	dl_answer(&way.called, way.itsp.rx, 200, NULL, NULL);
	sc_cdr(cw_cdr(way.w), REASON_CALL_CALLER_HUNG_UP, 200, "caller");
	way_end(&way);
	clock_set_source(NULL, NULL);
}
END_TEST

/* A call that uses up the day is ended, also one that looks again on its way
 * there; a longest duration still counts. */
START_TEST(minutes_run_out)
{
	struct way way;

	way_begin(&way);
	wall_us = clock_wall_us() / DAY * DAY + 12 * HOUR;
	clock_set_source(NULL, fake_wall);
	way.w->max_minutes_per_day = 5;
	way.w->usage_at_us = wall_us;
	way.w->usage_day_us = 5 * MIN - 2 * S;
	reaches_the_trunk(&way, "+49891234");
	is_up(&way);
	cw_fire(way.w, EV_LIFE);
	ck_assert_int_eq(cw_call(way.w)->state, CALL_UP);
	sp_expect(&way.phone, "BYE ");
	dl_answer(&way.caller, way.phone.rx, 200, NULL, NULL);
	sp_expect(&way.itsp, "BYE ");
	dl_answer(&way.called, way.itsp.rx, 200, NULL, NULL);
	sc_cdr(cw_cdr(way.w), REASON_LIMIT_ACCOUNT_DAY, 200, "sbc");
	invite(&way, "+49891234");
	is_refused(&way, REASON_LIMIT_ACCOUNT_DAY);
	way_end(&way);
	clock_set_source(NULL, NULL);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("sbc_meter");
	TCase *numbers = tcase_create("numbers"),
	      *calls = tcase_create("calls");

	tcase_add_test(numbers, calls_of_an_hour);
	tcase_add_test(numbers, minutes_of_a_day);
	tcase_add_test(numbers, over_midnight);
	tcase_add_test(numbers, what_the_database_knew);
	tcase_add_test(numbers, after_a_restart);
	tcase_add_test(numbers, yesterdays_are_forgotten);
	suite_add_tcase(s, numbers);
	tcase_set_timeout(calls, 60);
	tcase_add_test(calls, calls_are_refused);
	tcase_add_test(calls, emergency_is_beyond_limits);
	tcase_add_test(calls, minutes_run_out);
	suite_add_tcase(s, calls);
	return suite_run(s);
}
