/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hands the registrations to an sbc that has just said hello: for each account
 * its bindings together with its facts (BindingsSaved), so that calls reach
 * the phones again at once. Accounts are asked for a portion at a time; an
 * account that nobody knows any more is left out with a log line.
 */
#ifndef AUTHD_RESTORE_H
#define AUTHD_RESTORE_H

#include "authd/account.h"
#include "authd/bindings.h"
#include "common/err.h"
#include "common/ipc.h"

struct restore;

/**
 * Begins; the pieces follow from the loop, the last with done.
 * @param bindings, accounts, link	borrowed until restore_free().
 * @return 0, or ERR_NOMEM.
 */
GH_MUST_CHECK int restore_new(struct loop *loop, struct bindings *bindings,
	struct accounts *accounts, struct ipc_link *link,
	struct restore **restore_out);
/** Stops at once; for a link that goes away. Safe on NULL. */
void restore_free(struct restore **restore);

#endif
