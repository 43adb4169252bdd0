/* SPDX-License-Identifier: Apache-2.0 */
/* common/loop.h on sofia-sip's root: timers, descriptors, handles freed where
 * it hurts, and that waiting for one of the library's timers is waiting. */
#include <sofia-sip/su_wait.h>

#include <check.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/clock.h"
#include "sbc/loop_sofia.h"
#include "sbc/sofia_cures.h"

#define N_TIMERS 1000

static struct loop *loop;
static uint64_t now_us;

static uint64_t fake_now(void)
{
	return now_us;
}

static void setup(void)
{
	now_us = 1000;
	ck_assert_int_eq(cures_begin(), 0);
	ck_assert_int_eq(loop_sofia_new(&loop), 0);
}

static void teardown(void)
{
	loop_free(&loop);
	clock_set_source(NULL, NULL);
}

static void step(void)
{
	ck_assert_int_eq(loop_sofia_step(loop, 0), 0);
}

struct shot {
	struct loop_timer *timer;
	uint64_t due;
	unsigned *order;
	unsigned place; /* when it fired; 0 = not yet */
};

static void on_shot(void *arg)
{
	struct shot *s = arg;

	s->place = ++*s->order;
}

START_TEST(timers_fire_in_order)
{
	static struct shot shots[N_TIMERS];
	unsigned order = 0;

	clock_set_source(fake_now, NULL);
	srandom(1);
	for (unsigned i = 0; i < N_TIMERS; i++) {
		shots[i] = (struct shot){
			.due = (uint64_t)random() % 500, .order = &order};
		ck_assert_int_eq(loop_timer_new(loop, on_shot, &shots[i],
					 &shots[i].timer),
			0);
		loop_timer_set(loop, shots[i].timer, shots[i].due);
	}
	/* every third is stopped, every fifth moved */
	for (unsigned i = 0; i < N_TIMERS; i += 3)
		loop_timer_stop(loop, shots[i].timer);
	for (unsigned i = 0; i < N_TIMERS; i += 5) {
		shots[i].due = 600 + i;
		loop_timer_set(loop, shots[i].timer, shots[i].due);
	}
	for (unsigned t = 0; t < 2000; t++) {
		/* Check pays for each assertion that is passed. */
		for (unsigned i = 0; i < N_TIMERS; i++)
			if (shots[i].place && now_us < 1000 + shots[i].due)
				ck_abort_msg("%u at %u", i, t);
		now_us++;
		step();
	}
	for (unsigned i = 0; i < N_TIMERS; i++) {
		bool stopped = i % 3 == 0 && i % 5 != 0;

		ck_assert_msg(stopped == (shots[i].place == 0), "%u", i);
		for (unsigned k = 0; k < i; k++)
			if (shots[i].place && shots[k].place &&
				shots[k].due < shots[i].due &&
				shots[k].place >= shots[i].place)
				ck_abort_msg("%u before %u", i, k);
		loop_timer_free(loop, &shots[i].timer);
	}
}
END_TEST

static unsigned n_again;

static void on_again(void *arg)
{
	struct loop_timer **t = arg;

	n_again++;
	loop_timer_set(loop, *t, 0);
}

/* A timer that sets itself to "now" does not keep the loop for itself. */
START_TEST(a_timer_waits_for_the_next_turn)
{
	struct loop_timer *t;

	n_again = 0;
	ck_assert_int_eq(loop_timer_new(loop, on_again, &t, &t), 0);
	loop_timer_set(loop, t, 0);
	step();
	ck_assert_uint_eq(n_again, 1);
	step();
	ck_assert_uint_eq(n_again, 2);
	loop_timer_free(loop, &t);
}
END_TEST

struct pair {
	struct loop_timer *own;
	struct loop_timer *other;
};

static void on_pair(void *arg)
{
	struct pair *p = arg;

	n_again++;
	loop_timer_free(loop, &p->own);
	loop_timer_free(loop, &p->other);
}

START_TEST(timers_freed_in_a_callback)
{
	struct pair p = {0};

	n_again = 0;
	ck_assert_int_eq(loop_timer_new(loop, on_pair, &p, &p.own), 0);
	ck_assert_int_eq(loop_timer_new(loop, on_pair, &p, &p.other), 0);
	loop_timer_set(loop, p.own, 0);
	loop_timer_set(loop, p.other, 0);
	step();
	step();
	ck_assert_uint_eq(n_again, 1);
}
END_TEST

struct ends {
	struct loop_fd *watch[2];
	unsigned n;
};

static void on_end(void *arg, int fd, unsigned events)
{
	struct ends *e = arg;

	(void)fd;
	ck_assert_uint_eq(events, LOOP_READ);
	e->n++;
	loop_fd_free(loop, &e->watch[0]);
	loop_fd_free(loop, &e->watch[1]);
}

/* Both are ready in the same batch; the first frees both. */
START_TEST(descriptors_freed_in_a_callback)
{
	struct ends e = {0};
	int a[2], b[2];

	ck_assert_int_eq(pipe2(a, O_NONBLOCK), 0);
	ck_assert_int_eq(pipe2(b, O_NONBLOCK), 0);
	ck_assert_int_eq(write(a[1], "x", 1), 1);
	ck_assert_int_eq(write(b[1], "x", 1), 1);
	ck_assert_int_eq(
		loop_fd_add(loop, a[0], LOOP_READ, on_end, &e, &e.watch[0]), 0);
	ck_assert_int_eq(
		loop_fd_add(loop, b[0], LOOP_READ, on_end, &e, &e.watch[1]), 0);
	step();
	step();
	ck_assert_uint_eq(e.n, 1);
	for (unsigned i = 0; i < 2; i++) {
		close(a[i]);
		close(b[i]);
	}
}
END_TEST

static void on_count(void *arg, int fd, unsigned events)
{
	unsigned *n = arg;

	(void)fd;
	*n += events == LOOP_WRITE ? 100 : 1;
}

START_TEST(interest_can_change)
{
	struct loop_fd *watch = NULL;
	unsigned n = 0;
	int p[2];

	ck_assert_int_eq(pipe2(p, O_NONBLOCK), 0);
	ck_assert_int_eq(loop_fd_add(loop, p[1], 0, on_count, &n, &watch), 0);
	step();
	ck_assert_uint_eq(n, 0);
	ck_assert_int_eq(loop_fd_set(loop, watch, LOOP_WRITE), 0);
	step();
	ck_assert_uint_eq(n, 100);
	ck_assert_int_eq(loop_fd_set(loop, watch, 0), 0);
	close(p[0]); /* a hang-up that nobody wants to hear of */
	step();
	step();
	ck_assert_uint_eq(n, 100);
	loop_fd_free(loop, &watch);
	close(p[1]);
}
END_TEST

static void on_su_timer(
	su_root_magic_t *magic, su_timer_t *t, su_timer_arg_t *arg)
{
	(void)magic;
	(void)t;
	*(bool *)arg = true;
}

START_TEST(waiting_is_no_spinning)
{
	bool fired = false;
	unsigned turns = 0;
	uint64_t end = clock_now_us() + 10 * CLOCK_US_PER_S;
	su_timer_t *t =
		su_timer_create(su_root_task(loop_sofia_root(loop)), 50);

	ck_assert_ptr_nonnull(t);
	ck_assert_int_eq(
		su_timer_set(t, on_su_timer, (su_timer_arg_t *)&fired), 0);
	while (!fired && clock_now_us() < end) {
		turns++;
		ck_assert_int_eq(loop_sofia_step(loop, CLOCK_US_PER_S), 0);
	}
	su_timer_destroy(t);
	ck_assert(fired);
	ck_assert_uint_lt(turns, 8);
}
END_TEST

static void on_stop(void *arg)
{
	(void)arg;
	loop_stop(loop);
}

START_TEST(run_and_stop)
{
	struct loop_timer *t;

	ck_assert_int_eq(loop_timer_new(loop, on_stop, NULL, &t), 0);
	loop_timer_set(loop, t, 5000);
	ck_assert_int_eq(loop_run(loop), 0);
	/* a stop before the run ends it at once */
	loop_stop(loop);
	ck_assert_int_eq(loop_run(loop), 0);
	loop_timer_free(loop, &t);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("sbc loop");
	TCase *t = tcase_create("loop");
	SRunner *r;
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, timers_fire_in_order);
	tcase_add_test(t, a_timer_waits_for_the_next_turn);
	tcase_add_test(t, timers_freed_in_a_callback);
	tcase_add_test(t, descriptors_freed_in_a_callback);
	tcase_add_test(t, interest_can_change);
	tcase_add_test(t, waiting_is_no_spinning);
	tcase_add_test(t, run_and_stop);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? 1 : 0;
}
