/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A queue from one thread to another with an eventfd that says "look". Used
 * between the control thread and each worker, never for packets.
 */
#ifndef MEDIAD_MAILBOX_H
#define MEDIAD_MAILBOX_H

#include <pthread.h>
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
	size_t n;
	int event_fd;
};

/** @return 0, or ERR_SYSTEM. */
GH_MUST_CHECK int mailbox_init(struct mailbox *box);
/** What is still inside stays the owner's: take it before. */
void mailbox_done(struct mailbox *box);

/** Puts mail in and wakes the other side. The mail belongs to the receiver. */
void mailbox_put(struct mailbox *box, struct mail *mail);
/** Wakes the other side without mail. */
void mailbox_wake(struct mailbox *box);
/** Mail that waits. */
size_t mailbox_waiting(struct mailbox *box);
/** Takes everything, in order, and clears the event. */
struct mail *mailbox_take(struct mailbox *box);

#endif
