/* SPDX-License-Identifier: Apache-2.0 */
/* Counters and gauges of this process, each a row of stat.def. */
#ifndef COMMON_STAT_H
#define COMMON_STAT_H

#include <stdint.h>

enum stat_id {
#define STAT(name, text, kind, help) STAT_##name,
#include "common/stat.def"
#undef STAT
	STAT_COUNT,
};

enum stat_kind { STAT_COUNTER, STAT_GAUGE };

extern uint64_t stat_values[STAT_COUNT];

static inline void stat_add(enum stat_id s, uint64_t n)
{
	stat_values[s] += n;
}

static inline void stat_set(enum stat_id s, uint64_t value)
{
	stat_values[s] = value;
}

static inline uint64_t stat_get(enum stat_id s)
{
	return stat_values[s];
}

const char *stat_name(enum stat_id s); /* without the gatehouse_ prefix */
const char *stat_help(enum stat_id s);
enum stat_kind stat_kind(enum stat_id s);

#endif
