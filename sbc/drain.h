/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A machine that shall rest: no new calls are taken (503 with Retry-After),
 * trunks that probe us by OPTIONS hear the same, everything else goes on. It is
 * a record of its own, so a restart of sbc does not forget it; an end in order
 * does.
 */
#ifndef SBC_DRAIN_H
#define SBC_DRAIN_H

#include <stdbool.h>

#include "common/control.h"
#include "common/err.h"
#include "common/ipc.pb-c.h"
#include "sbc/save.h"

struct sbc;
struct drain;

GH_MUST_CHECK int drain_new(struct sbc *sbc, struct drain **drain_out);
void drain_free(struct drain **drain);

/** Safe on NULL (tests of other parts). */
bool drain_is_on(const struct drain *drain);
void drain_set(struct drain *drain, bool on);
/** As an earlier process left it. @return 0. */
int drain_on_found(struct drain *drain, const Gh__SavedSwitches *saved,
	const struct save_slot *slot);

/** Tells how many calls are left each second, and ends when none is, or when
 * calls are taken again (CONTROL_REFUSED). @return CONTROL_LATER, or
 * CONTROL_REFUSED: too many wait. */
int drain_wait(struct drain *drain, const struct control_request *request);
/** Who asked has gone. */
void drain_on_down(struct drain *drain, const struct ipc_link *link);

#endif
