/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The world of the suites of what comes in: a phone, a trunk, and the texts
 * that go between them and sbc. One at a time.
 */
#ifndef TESTS_UNIT_ENTRY_DESK_H
#define TESTS_UNIT_ENTRY_DESK_H

#include "tests/unit/sbc_world.h"

extern struct world *w;
extern struct peer phone;
extern struct peer trunk; /* 127.0.0.2 */
extern char text[WORLD_TEXT_SIZE];
extern char value[1024];
extern char auth_line[1024];
extern char extra[4096];

void entry_begin(struct world_config config);
/** For checked fixtures; open: strangers may call. */
void entry_setup(void);
void entry_setup_open(void);
void entry_teardown(void);
void entry_send(const struct peer *p, const struct addr *to, struct request r);
void entry_expect(const struct peer *p, const char *status);
void entry_register(void);

#endif
