/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where phones that are in a call speak from: address and port. A ban of their
 * address, which somebody else behind it may have earned, does not reach them,
 * registered or not (rule 3 of the architecture: dialogs are never cut). Only
 * calls whose phone has proved its account, or was called at its registration,
 * put a source here.
 */
#ifndef SBC_TALKER_H
#define SBC_TALKER_H

#include <stdbool.h>

#include "common/addr.h"
#include "common/err.h"

struct talkers;

GH_MUST_CHECK int talkers_new(struct talkers **out);
/** Safe on NULL. */
void talkers_free(struct talkers **talkers);

/** One more call speaks from there. Without memory it is not noted. */
void talker_add(struct talkers *talkers, const struct addr *source);
/** One less; of one that was not noted, nothing happens. */
void talker_drop(struct talkers *talkers, const struct addr *source);
/** talkers may be NULL. */
bool talker_is_known(const struct talkers *talkers, const struct addr *source);

#endif
