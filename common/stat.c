/* SPDX-License-Identifier: Apache-2.0 */
/* The values and names of stat.def's counters; see stat.h. */
#include "common/stat.h"

#include <stddef.h>

uint64_t stat_values[STAT_COUNT];

struct stat_row {
	const char *name;
	enum stat_kind kind;
	const char *help;
};

static const struct stat_row rows[] = {
#define STAT(name, text, kind, help) [STAT_##name] = {text, STAT_##kind, help},
#include "common/stat.def"
#undef STAT
};
_Static_assert(sizeof(rows) / sizeof(rows[0]) == STAT_COUNT,
	"every counter has its row");

static const struct stat_row unknown = {"unknown", STAT_COUNTER, ""};

static const struct stat_row *row(enum stat_id s)
{
	return (unsigned)s < STAT_COUNT ? &rows[s] : &unknown;
}

const char *stat_name(enum stat_id s)
{
	return row(s)->name;
}

const char *stat_help(enum stat_id s)
{
	return row(s)->help;
}

enum stat_kind stat_kind(enum stat_id s)
{
	return row(s)->kind;
}
