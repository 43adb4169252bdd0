/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tells authd which calls are in progress, for the view sbc.active_call. Looks
 * every two seconds and tells what changed; costs a call nothing, and a call
 * that ended before anybody looked is in its CDR only.
 */
#ifndef SBC_CALL_REPORT_H
#define SBC_CALL_REPORT_H

#include "common/err.h"
#include "common/ipc.pb-c.h"

struct sbc;
struct call_report;

GH_MUST_CHECK int call_report_new(
	struct sbc *sbc, struct call_report **report_out);
/** Safe on NULL. */
void call_report_free(struct call_report **report);
/** From authd's link: all calls are told again. Safe on NULL. */
void call_report_again(struct call_report *report);

#endif
