/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Time for everybody. Durations and deadlines are monotonic microseconds;
 * wall time appears only in CDRs, events and logs. Tests put their own clock
 * in place, so no module calls the kernel's clocks itself.
 */
#ifndef COMMON_CLOCK_H
#define COMMON_CLOCK_H

#include <stddef.h>
#include <stdint.h>

#define CLOCK_US_PER_MS 1000ULL
#define CLOCK_US_PER_S  1000000ULL

/** Length of clock_format_utc()'s text with its terminator. */
#define CLOCK_UTC_SIZE  28

/** Microseconds since an arbitrary start; never goes back. */
uint64_t clock_now_us(void);

/** Microseconds since 1970-01-01 UTC. */
uint64_t clock_wall_us(void);

/**
 * Writes wall_us as RFC 3339 UTC with microseconds, for example
 * 2026-01-31T23:59:59.000001Z.
 * @param text	at least CLOCK_UTC_SIZE bytes.
 * @return text.
 */
const char *clock_format_utc(uint64_t wall_us, char *text);

/**
 * Puts other sources of time in place; NULL puts the kernel's back.
 * For tests: not safe while another thread reads the clock.
 */
void clock_set_source(uint64_t (*monotonic)(void), uint64_t (*wall)(void));

#endif
