/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The few settings that a process needs to start; all others are in SQL. A
 * strict layer over libconfuse: every option is a row with type, range and
 * unit; an unknown, repeated or out-of-range option is one clear line with
 * file and line number, and nothing is taken over.
 */
#ifndef COMMON_CONF_H
#define COMMON_CONF_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "common/err.h"

enum conf_type {
	CONF_STRING, /* char *, owned by the settings; NULL if absent */
	CONF_UINT,   /* uint64_t within [min, max] */
	CONF_BOOL,   /* bool */
	CONF_LIST,   /* struct conf_list of strings */
};

#define CONF_LIST_MAX 64

struct conf_list {
	char *items[CONF_LIST_MAX];
	size_t n_items;
};

/** One option of a file. */
struct conf_option {
	const char *name;
	enum conf_type type;
	size_t offset;     /* of the member in the settings struct */
	const char *def;   /* default as text; NULL = absent */
	uint64_t min, max; /* CONF_UINT; for strings max is bytes, 0 = 4096 */
	const char *unit;  /* for the manual page; "" if none */
	const char *text;  /* for the manual page */
};

#define CONF_PROBLEM_SIZE 512

/**
 * Reads a file into settings, which the caller has zeroed.
 * @param options	n rows.
 * @param problem	CONF_PROBLEM_SIZE bytes; on failure one line
 *			"file:line: what is wrong".
 * @return 0; ERR_NOT_FOUND if the file cannot be opened; ERR_INVALID. On
 *	failure settings is as conf_free() leaves it.
 */
GH_MUST_CHECK int conf_load(const char *path, const struct conf_option *options,
	size_t n_options, void *settings, char *problem);

/** Prints the rows for -h and the manual page (doc/pages reads it): a line
 * "  name = default" and one with kind, range and meaning. */
void conf_describe(
	FILE *out, const struct conf_option *options, size_t n_options);

/** Frees what conf_load() allocated and zeroes the members. */
void conf_free(
	const struct conf_option *options, size_t n_options, void *settings);

#endif
