/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a trunk is, for a request that is no call: its targets by priority,
 * numeric ones at once, names by RFC 3263. An address that probes have found
 * silent is passed over. Called by event.c and page.c; a call has its own way
 * (call_target.c), because it tries one target after the other.
 */
#ifndef SBC_AIM_H
#define SBC_AIM_H

#include "common/reason.h"
#include "sbc/locate.h"
#include "sbc/settings.h"
#include "sbc/stack.h"

struct sbc;

struct aim {
	struct sbc *sbc;
	const struct trunk *trunk;
	void (*fn)(void *ctx);
	void *ctx;
	size_t row; /* the next one */
	struct locate_query *query;
	enum reason why;
	struct addr addrs[LOCATE_MAX];
	size_t n, next;
};

/** Where a request goes. */
struct aim_place {
	struct target target;
	const struct realm_address *address; /* of ours */
	char host[300]; /* the far side's, for the right of the @ */
};

enum aim_result {
	AIM_FOUND,
	AIM_ASKED, /* fn runs once, later: then aim_next() again */
	AIM_NONE,  /* no further place; why says what the last one lacked */
};

/** trunk is borrowed until aim_end(). */
void aim_begin(struct aim *a, struct sbc *sbc, const struct trunk *trunk,
	void (*fn)(void *ctx), void *ctx);
/** The next place that can be tried. */
enum aim_result aim_next(
	struct aim *a, struct aim_place *place_out, enum reason *why_out);
/** Safe on one that was never begun. */
void aim_end(struct aim *a);

#endif
