/* SPDX-License-Identifier: Apache-2.0 */
/* What displays may know of the calls in progress; changes nothing. */
#ifndef SBC_CALL_LIST_H
#define SBC_CALL_LIST_H

#include <stdint.h>

#include "common/addr.h"

struct calls;

/** One side; kind NULL = there is none yet. */
struct call_list_side {
	const char *kind;      /* "trunk", "pbx" or "phone" */
	const char *trunk;     /* its name; NULL for a phone */
	const char *extension; /* NULL for a trunk */
	struct addr peer;      /* where its signaling comes from */
};

/** A call as it is now; texts are borrowed until fn returns. */
struct call_list_entry {
	const char *id;
	const char *state;
	const char *caller_number;
	const char *called_number;
	uint64_t wall_start_us;
	uint64_t wall_answer_us; /* 0 = not answered */
	struct call_list_side caller;
	struct call_list_side called;
};

/** Calls fn for every call, oldest first. fn must not change calls. */
void calls_walk(const struct calls *calls,
	void (*fn)(void *ctx, const struct call_list_entry *entry), void *ctx);

#endif
