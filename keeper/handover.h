/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the next keeper will need, in the hands of systemd: each memory file and
 * each listening socket, under a name of its own.
 *
 * It goes on before the daemon that asked hears the answer, so that a socket
 * that somebody serves on is always in two processes besides keeper. Only if
 * systemd does not read fast enough it waits for handover_retry(). A name that
 * is given up is forgotten there before anything new goes on.
 *
 * main.c drives it; fdstore.c and listen.c call its hooks.
 */
#ifndef KEEPER_HANDOVER_H
#define KEEPER_HANDOVER_H

#include <stdbool.h>
#include <sys/queue.h>

#include "keeper/fdstore.h"
#include "keeper/listen.h"
#include "keeper/systemd.h"

struct handover_name;

struct handover {
	struct systemd *systemd; /* all three borrowed */
	struct listeners *listeners;
	struct fdstore *store;
	TAILQ_HEAD(, handover_name) gone; /* that systemd still has */
	bool behind;                      /* it has not got everything */
};

/** Takes what systemd has for us; from then on it gets what is new. Without
 * systemd nothing ever happens. */
void handover_begin(struct handover *h);
/** Says what could not be said before. Call often. */
void handover_retry(struct handover *h);
/** systemd keeps what it has. */
void handover_end(struct handover *h);

#endif
