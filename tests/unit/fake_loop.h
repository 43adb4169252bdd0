/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An event loop with its own clock, for tests: descriptors are polled without
 * waiting, and when none is ready the clock jumps to the next timer. Hours of
 * back-off pass in no time and nothing depends on the machine's speed, because
 * sockets between the ends of one process are ready at once.
 */
#ifndef TESTS_UNIT_FAKE_LOOP_H
#define TESTS_UNIT_FAKE_LOOP_H

#include <stdbool.h>
#include <stdint.h>

#include "common/loop.h"

/** Makes the loop and puts its clock in place of the kernel's monotonic one;
 * freeing the loop puts the kernel's back. One at a time. */
GH_MUST_CHECK int fake_loop_new(struct loop **loop_out);

/** Runs until done says so, the loop is stopped, nothing is left to happen, or
 * max_us have passed on its clock. @return what done says at the end. */
bool fake_loop_until(
	struct loop *loop, bool (*done)(void *arg), void *arg, uint64_t max_us);

/** Runs until nothing is ready and no timer is due within us; the clock is
 * then us later. */
void fake_loop_pass(struct loop *loop, uint64_t us);

#endif
