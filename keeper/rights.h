/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What keeper keeps of root's rights: changing users for its daemons,
 * signalling them, ports below 1024, socket buffers over the system's limit.
 * Its sandbox is another one than the daemons' (common/sandbox.h), because
 * they inherit it over exec: no new privileges, a small set of capabilities,
 * and no system call that only an intruder would make.
 */
#ifndef KEEPER_RIGHTS_H
#define KEEPER_RIGHTS_H

#include <stdint.h>

#include "common/err.h"

/** Sets permitted and effective capabilities to this set of bits, clears the
 * inheritable and ambient ones. @return 0, or ERR_SYSTEM. */
GH_MUST_CHECK int rights_set(uint64_t caps);
/** Takes all that may be out of the bounding set. */
void rights_bounding_clear(void);
/** keeper's own sandbox, for good. @return 0, or ERR_SYSTEM. */
GH_MUST_CHECK int rights_drop(void);

#endif
