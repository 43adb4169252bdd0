/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls: THE state table is in call.c. A call has a caller leg (we are the
 * user agent server) and one or more called legs (we are the client): the
 * phones of an account, or one trunk after the other. Only call.c changes a
 * call's state; leg.c speaks one dialog.
 */
#ifndef SBC_CALL_H
#define SBC_CALL_H

#include <stddef.h>

#include "common/err.h"
#include "common/reason.h"
#include "sbc/account.h"
#include "sbc/stack.h"

struct sbc;
struct calls;
struct call;

GH_MUST_CHECK int calls_new(struct sbc *sbc, struct calls **calls_out);
/** Ends every call at once (BYE and CANCEL are sent, CDRs written). */
void calls_free(struct calls **calls);

/**
 * A call begins: an INVITE outside a dialog that admit let pass and, for a
 * phone, authd has judged. Takes in's message and the account reference.
 * @param account	the caller's account; NULL for a trunk or PBX
 * (in->trunk).
 */
void call_on_invite(
	struct calls *calls, struct inbound *in, struct account *account);

/** A phone's registration has proved by digest that it is at another source
 * now: its dialogs move there, and its media may be learned anew (rule 2).
 * Parties at other sources, other phones of the account say, stay.
 * @param from	where the registration was, on from_flow (0 = datagrams).
 * @param now	the REGISTER. */
void calls_moved(struct calls *calls, uint64_t account, const struct addr *from,
	uint64_t from_flow, const struct inbound *now);

/** Ends the call with this id. @return 0, or ERR_NOT_FOUND. */
GH_MUST_CHECK int calls_end_one(
	struct calls *calls, const char *id, enum reason why);

size_t calls_count(const struct calls *calls);
/** Takes no new call from now on (503 with Retry-After), or again. */
void calls_drain(struct calls *calls, bool drain);
/** BYE or CANCEL for all; on_empty runs once when the last call has ended. */
void calls_end_all(struct calls *calls, enum reason why,
	void (*on_empty)(void *ctx), void *ctx);

#endif
