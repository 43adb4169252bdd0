/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel's clocks behind two replaceable functions, and the one text form
 * of wall time (RFC 3339, UTC). The calendar is computed here: gmtime_r(3)
 * takes a lock and may open the time zone file, which a sandbox forbids.
 */
#include "common/clock.h"

#include <stdio.h>
#include <time.h>

static uint64_t read_clock(clockid_t id)
{
	struct timespec ts;

	/* Fails only for a clock that the kernel does not have. */
	(void)clock_gettime(id, &ts);
	return (uint64_t)ts.tv_sec * CLOCK_US_PER_S +
	       (uint64_t)ts.tv_nsec / 1000;
}

static uint64_t kernel_monotonic(void)
{
	return read_clock(CLOCK_MONOTONIC);
}

static uint64_t kernel_wall(void)
{
	return read_clock(CLOCK_REALTIME);
}

static uint64_t (*monotonic_source)(void) = kernel_monotonic;
static uint64_t (*wall_source)(void) = kernel_wall;

uint64_t clock_now_us(void)
{
	return monotonic_source();
}

uint64_t clock_wall_us(void)
{
	return wall_source();
}

void clock_set_source(uint64_t (*monotonic)(void), uint64_t (*wall)(void))
{
	monotonic_source = monotonic ? monotonic : kernel_monotonic;
	wall_source = wall ? wall : kernel_wall;
}

/* Days since 1970-01-01 to a date of the Gregorian calendar: years begin in
 * March so that the leap day comes last (an era has 146,097 days). */
static void civil_from_days(
	uint64_t days, unsigned *year, unsigned *month, unsigned *day)
{
	uint64_t z = days + 719468; /* days from 0000-03-01 to 1970-01-01 */
	uint64_t era = z / 146097;
	unsigned doe = (unsigned)(z % 146097);
	unsigned yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	unsigned doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
	unsigned mp = (5 * doy + 2) / 153;

	*day = doy - (153 * mp + 2) / 5 + 1;
	*month = mp < 10 ? mp + 3 : mp - 9;
	*year = (unsigned)(yoe + era * 400) + (*month <= 2);
}

const char *clock_format_utc(uint64_t wall_us, char *text)
{
	/* 9999-12-31T23:59:59.999999Z; more would not fit RFC 3339. */
	const uint64_t max_us = 253402300799999999ULL;
	unsigned year, month, day, second;
	uint64_t s;

	if (wall_us > max_us)
		wall_us = max_us;
	s = wall_us / CLOCK_US_PER_S;
	second = (unsigned)(s % 86400);
	civil_from_days(s / 86400, &year, &month, &day);
	(void)snprintf(text, CLOCK_UTC_SIZE,
		"%04u-%02u-%02uT%02u:%02u:%02u.%06uZ", year % 10000,
		month % 100, day % 100, second / 3600 % 100, second / 60 % 60,
		second % 60, (unsigned)(wall_us % CLOCK_US_PER_S));
	return text;
}
