/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Regular expressions of an administrator: POSIX extended, and only such as
 * compile and run in bounded time and memory.
 */
#ifndef SBC_PATTERN_H
#define SBC_PATTERN_H

#include <regex.h>
#include <stdbool.h>
#include <stddef.h>

#include "common/err.h"

#define PATTERN_LEN_MAX 256

/**
 * Checks and compiles.
 * @param n_groups_out	how many groups it has.
 * @param why		at least PATTERN_WHY_SIZE bytes; says what is wrong.
 * @return 0 (regfree() it), or ERR_INVALID.
 */
GH_MUST_CHECK int pattern_compile(const char *text, regex_t *regex_out,
	unsigned *n_groups_out, char *why);
#define PATTERN_WHY_SIZE 80

/** Matches all of subject, from its first to its last character. groups is
 * filled like regexec()'s; NULL if n_groups is 0. */
bool pattern_matches(const regex_t *regex, const char *subject, size_t n_groups,
	regmatch_t *groups);

#endif
