/* SPDX-License-Identifier: Apache-2.0 */
/* Messages, and sides of a call between which headers cross, for the suites of
 * headers. */
#ifndef TESTS_UNIT_HDR_SIDES_H
#define TESTS_UNIT_HDR_SIDES_H

#include "sbc/hdr.h"
#include "tests/unit/sbc_rows.h"

/** What sides of a call are made of. */
struct sides {
	struct rows r;
	struct settings *s;
	su_home_t *home;
	struct hdr_side trunk, other, pbx, phone;
};

void sides_build(struct sides *w);
void sides_done(struct sides *w);

msg_t *sides_parse(const char *text, size_t len);/** An INVITE with these lines beside those of its dialog. */
msg_t *sides_invite(const char *from, const char *lines);

#endif
