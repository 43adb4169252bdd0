/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What processes have used, as the kernel counts it.
 */
#ifndef TESTS_BENCH_USAGE_H
#define TESTS_BENCH_USAGE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/** Run time of all threads that live, in nanoseconds (schedstat). */
uint64_t usage_run_ns(const pid_t *pids, size_t n);

/** Proportional set size in bytes: shared pages count by share, memory files
 * too (smaps_rollup). */
uint64_t usage_pss(const pid_t *pids, size_t n);

#endif
