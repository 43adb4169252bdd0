/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sessions and last words as the bytes of live.h, and back. What is read was
 * written by an earlier process of ours, perhaps of another version, perhaps
 * damaged: every number is checked before it is used.
 */
#ifndef MEDIAD_RECORD_H
#define MEDIAD_RECORD_H

#include <stdint.h>

#include "common/err.h"
#include "mediad/leg.h"
#include "mediad/live.h"
#include "mediad/plan.h"

/** One side of a plan. */
struct record_side {
	struct session_side side; /* no descriptors */
	struct leg_config config; /* wanted tells whether there is any */
	struct srtp_master receive;
	struct srtp_master send;
};

/** Holds keys: wipe it after use. */
struct record_plan {
	char call[IDENT_CALL_SIZE];
	uint32_t version;
	uint64_t opened_wall_us;
	struct record_side side[SIDE_COUNT];
};

/** Longest plan: all rules and all networks of both sides. */
#define RECORD_PLAN_MAX                                                        \
	(sizeof(struct live_plan) +                                            \
		SIDE_COUNT *                                                   \
			(LEG_RULES_MAX * sizeof(struct live_rule) +            \
				LEARN_NETWORKS_MAX * sizeof(struct live_net)))

/** Writes a plan. @param bytes RECORD_PLAN_MAX of them. @return how many. */
size_t record_plan_write(const struct record_plan *plan, uint8_t *bytes);
/** @param plan_out	owned: record_plan_done().
 * @return 0, ERR_VERSION, ERR_CORRUPT or ERR_NOMEM. */
GH_MUST_CHECK int record_plan_read(
	const uint8_t *bytes, size_t len, struct record_plan *plan_out);
/** Wipes its keys and frees what it owns. */
void record_plan_done(struct record_plan *plan);

/** Writes the head of a record of words. */
void record_words_write(const char *call, struct live_words *words);
/** @return 0, ERR_VERSION or ERR_CORRUPT. */
GH_MUST_CHECK int record_words_read(
	const uint8_t *bytes, size_t len, char call_out[IDENT_CALL_SIZE]);

/** The last word about a session. */
struct record_farewell {
	char call[IDENT_CALL_SIZE];
	uint64_t request;
	uint64_t ended_wall_us;
	enum reason why;
	struct leg_stats stats[SIDE_COUNT];
};
void record_farewell_write(
	const struct record_farewell *f, struct live_farewell *out);
/** @return 0, ERR_VERSION or ERR_CORRUPT. */
GH_MUST_CHECK int record_farewell_read(
	const uint8_t *bytes, size_t len, struct record_farewell *f_out);

#endif
