/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A locked list is enough here: a worker looks at the count before each round
 * and takes the lock only where there is mail, for a few assignments.
 */
#include "mediad/mailbox.h"

#include <stdint.h>
#include <sys/eventfd.h>
#include <unistd.h>

int mailbox_init(struct mailbox *box)
{
	*box = (struct mailbox){
		.event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)};
	if (box->event_fd < 0)
		return ERR_SYSTEM;
	pthread_mutex_init(&box->lock, NULL);
	box->end = &box->first;
	return 0;
}

void mailbox_done(struct mailbox *box)
{
	if (box->end == NULL)
		return;
	close(box->event_fd);
	pthread_mutex_destroy(&box->lock);
	*box = (struct mailbox){.event_fd = -1};
}

void mailbox_put(struct mailbox *box, struct mail *mail)
{
	mail->next = NULL;
	pthread_mutex_lock(&box->lock);
	*box->end = mail;
	box->end = &mail->next;
	atomic_fetch_add(&box->n, 1);
	pthread_mutex_unlock(&box->lock);
}

void mailbox_ring(struct mailbox *box)
{
	uint64_t one = 1;

	if (atomic_exchange(&box->rung, true))
		return;
	/* Can only fail for a full counter, which says "look" as well. */
	if (write(box->event_fd, &one, sizeof(one)) < 0)
		return;
}

void mailbox_hear(struct mailbox *box)
{
	uint64_t ignored;

	/* Who rings before the second line writes nothing, but his mail is
	 * inside by then; who rings after it makes the event anew. */
	if (read(box->event_fd, &ignored, sizeof(ignored)) < 0)
		return;
	atomic_store(&box->rung, false);
}

struct mail *mailbox_take(struct mailbox *box)
{
	struct mail *first;

	pthread_mutex_lock(&box->lock);
	first = box->first;
	box->first = NULL;
	box->end = &box->first;
	atomic_store(&box->n, 0);
	pthread_mutex_unlock(&box->lock);
	return first;
}
