/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sbc's end of the link to authd: the permit table, and who in sbc hears which
 * message. Requests have an id, a deadline and exactly one callback.
 */
#ifndef SBC_AUTHD_H
#define SBC_AUTHD_H

#include <stdbool.h>

#include "common/err.h"
#include "common/ipc.h"

struct sbc;
struct authd;

GH_MUST_CHECK int authd_new(
	struct sbc *sbc, const char *path, struct authd **authd_out);
void authd_free(struct authd **authd);
bool authd_is_up(const struct authd *authd);
/** @return 0, ERR_AWAY or ERR_FULL. */
GH_MUST_CHECK int authd_send(struct authd *authd, const Gh__Msg *msg);
/** The loop that answers come on. */
struct loop *authd_loop(const struct authd *authd);
/** Number for a request's id field; never 0, never used twice. */
uint64_t authd_next_id(struct authd *authd);

#endif
