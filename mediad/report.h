/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A leg's RTCP: what its peer reports is taken into the figures, and our own
 * reports are made from what we really received and sent. Nothing is passed
 * from one leg to the other. RFC 3550 section 6.
 */
#ifndef MEDIAD_REPORT_H
#define MEDIAD_REPORT_H

#include <stdbool.h>

#include "mediad/leg.h"

/**
 * Takes a compound packet of the leg's peer in.
 * @param trusted	its source is the peer's; else it is refused.
 * @return RTCP_OK or why it was dropped.
 */
enum reason report_receive(struct leg *l, uint8_t *bytes, size_t len,
	bool trusted, uint64_t now_us);

/** Sends our report. @param bye the leg ends. */
void report_send(struct leg *l, bool bye, uint64_t now_us);

/** Half to one and a half times the interval (section 6.3.1). */
uint64_t report_delay_us(uint64_t interval_us);

#endif
