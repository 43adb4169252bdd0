/* SPDX-License-Identifier: Apache-2.0 */
/* sbc's end of sbcctl: status and counters come from common/control.c, what
 * only sbc knows from here. */
#ifndef SBC_CTL_H
#define SBC_CTL_H

#include "common/err.h"

struct sbc;
struct ctl;

/** Listens at path. */
GH_MUST_CHECK int ctl_new(
	struct sbc *sbc, const char *path, struct ctl **ctl_out);
void ctl_free(struct ctl **ctl);

#endif
