/* SPDX-License-Identifier: Apache-2.0 */
/* The registrar: RFC 3261 10.3 on top of admit, auth and binding. */
#ifndef SBC_REGISTER_H
#define SBC_REGISTER_H

#include "sbc/stack.h"

struct sbc;

/** A REGISTER that admit let pass. Takes in's message. */
void register_on_request(struct sbc *sbc, struct inbound *in);

#endif
