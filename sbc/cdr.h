/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One CDR per call, exactly once: kept until authd has acknowledged it, sent
 * again after a reconnect. authd drops doubles by the call ID.
 */
#ifndef SBC_CDR_H
#define SBC_CDR_H

#include <stddef.h>

#include "common/err.h"
#include "common/ipc.pb-c.h"
#include "sbc/save.h"

struct sbc;
struct cdrs;

GH_MUST_CHECK int cdrs_new(struct sbc *sbc, struct cdrs **cdrs_out);
void cdrs_free(struct cdrs **cdrs);

/** Hands a finished CDR over (a copy is made). @return 0, or ERR_NOMEM. */
GH_MUST_CHECK int cdr_write(struct cdrs *cdrs, const Gh__Cdr *cdr);
/** How many authd has not acknowledged. */
size_t cdrs_waiting(const struct cdrs *cdrs);
/** A security or trunk event; lost if authd is away for long (bounded). */
void cdr_event(struct cdrs *cdrs, const Gh__Event *event);

/** From save.c: a CDR that authd has not acknowledged to an earlier process. */
GH_MUST_CHECK int cdrs_on_found(
	struct cdrs *cdrs, const Gh__Cdr *cdr, const struct save_slot *slot);

/* From authd's link. */
void cdrs_on_ack(struct cdrs *cdrs, const Gh__CdrAck *ack);
void cdrs_on_authd_up(struct cdrs *cdrs);

#endif
