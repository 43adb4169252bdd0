/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of call_world share. */
#ifndef TESTS_UNIT_CALL_WORLD_INNER_H
#define TESTS_UNIT_CALL_WORLD_INNER_H

#include "tests/unit/call_world.h"

/** protobuf-c takes char *, and never writes to it. */
char *cw_str(const char *s);
/** A message that the test has no use for. */
void cw_ignore(void *ctx, struct ipc_link *link, const Gh__Msg *msg);
/** Listens as a daemon; name is its socket's. */
struct ipc_server *cw_serve(struct cw *w, enum process self,
	const struct ipc_permit *permits, size_t n,
	void (*up)(void *, struct ipc_link *),
	void (*down)(void *, struct ipc_link *, enum reason), const char *name);
void cw_authd_start(struct cw *w);
/** Account 1 or 2, as the world has them. */
void cw_fill_account(const struct cw *w, Gh__Account *row, uint64_t id);
void cw_settings_apply(struct cw *w, const struct cw_config *config);
/** A UDP socket; port 0 = any. @return it, or -1 where it is taken. */
int cw_open_at(const char *ip, uint16_t port, struct addr *local);

#endif
