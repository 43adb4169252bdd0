/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A leg's figures in the forms that leave the process: the message for sbc's
 * CDR, and JSON for the administrator.
 */
#ifndef MEDIAD_FIGURES_H
#define MEDIAD_FIGURES_H

#include "common/ipc.pb-c.h"
#include "common/json.h"
#include "mediad/leg.h"

/** A MediaStats message with everything it points to. */
struct figures {
	Gh__MediaStats msg;
	Gh__DropCount drops[LEG_DROPS];
	Gh__DropCount *drop_list[LEG_DROPS];
	char learned[ADDR_TEXT_SIZE];
	char refused[ADDR_TEXT_SIZE];
};

/** Fills out from s; out->msg points into out and may not move. */
void figures_message(const struct leg_stats *s, struct figures *out);

/** Writes the members of an open JSON object. */
void figures_json(const struct leg_stats *s, struct json *j);

#endif
