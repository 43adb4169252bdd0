/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An administrator's header rules: what one row may say (settings asks) and
 * what a list of rows does to the lines of a message (hdr_lines.c asks). Does
 * not know sofia-sip.
 */
#ifndef SBC_HDR_RULE_H
#define SBC_HDR_RULE_H

#include <stdbool.h>
#include <stddef.h>

#include "common/ipc.pb-c.h"

#define HDR_RULES_MAX 32 /* of one trunk */
#define HDR_LINES_MAX 64 /* that cross or are made for one message */
#define HDR_VALUE_MAX 512

enum hdr_rule_action {
	HDR_RULE_ADD,
	HDR_RULE_SET,
	HDR_RULE_REMOVE,
	HDR_RULE_CARRY, /* lets a header through that the table leaves to policy
			 */
	HDR_RULE_ACTION_COUNT,
};

/** @return what is wrong with a row, or NULL. Static text. */
const char *hdr_rule_check(const Gh__HeaderRule *row);

/** Does a rule of this direction let a header of that policy through? */
bool hdr_rule_carries(const Gh__Trunk *trunk, bool inbound, const char *header);

/** What a rule's value may name in braces. */
struct hdr_rule_words {
	const char *caller; /* "{caller}": our caller's number, "" if hidden */
	const char *host;   /* "{host}": our host towards this side */
};

/** Writes value with its words put in. @return 0, or ERR_TOO_BIG. */
int hdr_rule_expand(const char *value, const struct hdr_rule_words *words,
	char *out, size_t size);

#endif
