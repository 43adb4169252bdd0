/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests of phones that wait while authd judges their credentials. An INVITE
 * gets a transaction and 100 at once, so that NTA absorbs what is sent again
 * and a CANCEL finds it. Any other request is kept without a transaction (NTA
 * cannot end one in silence, and REGISTER over UDP must stay unanswered while
 * authd is away), so its retransmissions are told by their branch here.
 */
#ifndef SBC_WAIT_H
#define SBC_WAIT_H

#include <stddef.h>

#include "sbc/account.h"
#include "sbc/auth.h"
#include "sbc/stack.h"

struct sbc;
struct waits;

/** The credentials are right. in has a transaction (in->irq); in and the
 * account reference are the receiver's. */
typedef void (*wait_fn)(
	struct sbc *sbc, struct inbound *in, struct account *account);

GH_MUST_CHECK int waits_new(struct sbc *sbc, struct waits **out);
/** Drops what waits without an answer. */
void waits_free(struct waits **waits);
size_t waits_count(const struct waits *waits);

/**
 * Challenges, refuses, or lets authd judge and then calls fn: takes in's
 * message in every case. What is not OK is answered here.
 */
void wait_for_judge(struct sbc *sbc, struct inbound *in,
	Gh__AuthPurpose purpose, wait_fn fn);

#endif
