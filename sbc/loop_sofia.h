/* SPDX-License-Identifier: Apache-2.0 */
/*
 * common/loop.h on sofia-sip's su_root, driven by a poll of our own: sbc's
 * only loop. One thread.
 */
#ifndef SBC_LOOP_SOFIA_H
#define SBC_LOOP_SOFIA_H

#include <sofia-sip/su_wait.h>

#include "common/loop.h"

/** @return 0, ERR_NOMEM or ERR_SYSTEM. cures_begin() comes first. */
GH_MUST_CHECK int loop_sofia_new(struct loop **loop_out);
/** The root for nta_agent_create(); borrowed. */
su_root_t *loop_sofia_root(struct loop *loop);
/** Waits for events at most max_wait_us and handles them, once: for tests that
 * drive the loop themselves. @return 0, or ERR_SYSTEM. */
GH_MUST_CHECK int loop_sofia_step(struct loop *loop, uint64_t max_wait_us);

#endif
