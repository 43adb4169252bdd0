/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A queue from one thread to another. Used between the control thread and each
 * worker, never for packets. Mail alone wakes nobody: a wake-up costs more than
 * most orders, so who puts decides whether it has to be read at once and then
 * rings. The eventfd says that somebody has.
 */
#ifndef MEDIAD_MAILBOX_H
#define MEDIAD_MAILBOX_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "common/err.h"

/** First member of whatever is sent. */
struct mail {
	struct mail *next;
};

struct mailbox {
	pthread_mutex_t lock;
	struct mail *first;
	struct mail **end;
	_Atomic size_t n;
	_Atomic bool rung; /* and not heard */
	int event_fd;
};

/** @return 0, or ERR_SYSTEM. */
GH_MUST_CHECK int mailbox_init(struct mailbox *box);
/** What is still inside stays the owner's: take it before. */
void mailbox_done(struct mailbox *box);

/** Puts mail in. It belongs to the receiver, who is not told. */
void mailbox_put(struct mailbox *box, struct mail *mail);
/** Wakes the other side, once until it hears. */
void mailbox_ring(struct mailbox *box);
/** The other side's, when event_fd is readable: clears it. Look for mail after
 * this, never before only: what rang may have come in between. */
void mailbox_hear(struct mailbox *box);
/** Mail that waits; takes no lock. */
static inline size_t mailbox_waiting(const struct mailbox *box)
{
	return atomic_load(&box->n);
}
/** Takes everything, in order. */
struct mail *mailbox_take(struct mailbox *box);

#endif
