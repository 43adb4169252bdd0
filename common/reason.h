/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why something was decided. One table (reason.def) gives the enum, the number
 * that is stored, the counter's and log's text, the SIP code and the sentence
 * for humans. Every refusal names one and is counted.
 */
#ifndef COMMON_REASON_H
#define COMMON_REASON_H

#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

enum reason {
#define REASON(name, number, sip, text, sentence) REASON_##name,
#include "common/reason.def"
#undef REASON
	REASON_COUNT,
};

/** The stored number; never changes between versions. */
unsigned reason_number(enum reason r);
/** @return 0, or ERR_NOT_FOUND for a number that no row has. */
GH_MUST_CHECK int reason_from_number(unsigned number, enum reason *reason_out);
/** snake_case word for log, metric and JSON. */
const char *reason_text(enum reason r);
/** The sentence for humans. */
const char *reason_sentence(enum reason r);
/** SIP status to answer with; 0 = none belongs to this reason. */
unsigned reason_sip(enum reason r);

/** Counts one decision in this process. One thread per process counts, other
 * threads keep their own and add them here. */
void reason_count(enum reason r);
void reason_count_add(enum reason r, uint64_t n);
uint64_t reason_counted(enum reason r);

/** The reason phrase of a SIP status by RFC 3261 and its extensions; a
 * generic one for a status that is not listed. Never a peer's own words. */
const char *reason_sip_phrase(unsigned status);

#endif
