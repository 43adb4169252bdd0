/* SPDX-License-Identifier: Apache-2.0 */
/* The one entry of every request outside a dialog, called by stack.c. */
#ifndef SBC_ENTRY_H
#define SBC_ENTRY_H

#include "sbc/stack.h"

struct sbc;

/** A parsed request that belongs to nothing yet: admits it and hands it to its
 * method, or refuses it. Takes in's message. */
void entry_on_request(struct sbc *sbc, struct inbound *in);

/** A listener was opened: the process may be ready. */
void entry_on_listener(struct sbc *sbc);

#endif
