/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What accounts have used of the calls per hour and minutes per day that they
 * may. An hour and a day are those of UTC, so that every process and the
 * database mean the same ones. Only calls that an account begins count;
 * emergency calls do not.
 *
 * The numbers outlive sbc in a memory file of its own that keeper holds
 * (save.h), also its orderly end. Where the file is gone too (a reboot), an
 * account begins with what its facts say was used before (Account.usage_at_us
 * and its neighbours), which authd read from the CDRs in the database, or from
 * its disk while that is away.
 */
#ifndef SBC_METER_H
#define SBC_METER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "common/ipc.pb-c.h"
#include "common/reason.h"

struct sbc;
struct meters;
struct save_slot;

GH_MUST_CHECK int meters_new(struct sbc *sbc, struct meters **out);
/** What was saved stays saved. Safe on NULL. */
void meters_free(struct meters **meters);

/** Has the account such a limit? Nothing is counted for others. */
bool meter_is_wanted(const Gh__Account *account);

/**
 * Counts one more call of the account, if it may begin one.
 * @return ROUTE_OK; LIMIT_ACCOUNT_HOUR or LIMIT_ACCOUNT_DAY; LIMIT_CALLS
 *	without memory. All but the first leave the numbers as they are.
 */
enum reason meter_begin(struct meters *meters, const Gh__Account *account);
/** A call that was counted was answered (monotonic), also before a restart. */
void meter_talk(
	struct meters *meters, const Gh__Account *account, uint64_t answer_us);
/** It has ended. */
void meter_end(struct meters *meters, const Gh__Account *account,
	uint64_t answer_us, uint64_t end_us);
/** Microseconds from now until the account's calls that are up have used up
 * its day together; 0 = they have; UINT64_MAX = never. */
uint64_t meter_left_us(struct meters *meters, const Gh__Account *account);

size_t meters_count(const struct meters *meters);
/** A record of an earlier process. @return 0, ERR_INVALID, ERR_EXISTS,
 * ERR_FULL or ERR_NOMEM. */
GH_MUST_CHECK int meters_on_found(struct meters *meters,
	const Gh__SavedMeter *saved, const struct save_slot *slot);

#endif
