/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A locked list is enough here: a worker looks into it only when the event
 * descriptor says so, and holds the lock for two assignments.
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

void mailbox_wake(struct mailbox *box)
{
	uint64_t one = 1;

	/* Can only fail for a full counter, which says "look" as well. */
	if (write(box->event_fd, &one, sizeof(one)) < 0)
		return;
}

void mailbox_put(struct mailbox *box, struct mail *mail)
{
	bool was_empty;

	mail->next = NULL;
	pthread_mutex_lock(&box->lock);
	was_empty = box->first == NULL;
	*box->end = mail;
	box->end = &mail->next;
	box->n++;
	pthread_mutex_unlock(&box->lock);
	if (was_empty)
		mailbox_wake(box);
}

size_t mailbox_waiting(struct mailbox *box)
{
	size_t n;

	pthread_mutex_lock(&box->lock);
	n = box->n;
	pthread_mutex_unlock(&box->lock);
	return n;
}

struct mail *mailbox_take(struct mailbox *box)
{
	struct mail *first;
	uint64_t ignored;

	/* Clear before taking: mail that comes now sets it again. */
	if (read(box->event_fd, &ignored, sizeof(ignored)) < 0)
		ignored = 0;
	pthread_mutex_lock(&box->lock);
	first = box->first;
	box->first = NULL;
	box->end = &box->first;
	box->n = 0;
	pthread_mutex_unlock(&box->lock);
	return first;
}
