/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Texts (MESSAGE, RFC 3428), where both realms allow them: outside of dialogs
 * through page.c, inside a call from one side to the other.
 */
#ifndef SBC_MESSAGE_H
#define SBC_MESSAGE_H

#include <sofia-sip/nta.h>

struct inbound;
struct leg;
struct sbc;

/** A MESSAGE outside a dialog; takes in's message. */
void message_on_request(struct sbc *sbc, struct inbound *in);

/** A MESSAGE inside a call's dialog, from an accepted source; as the library's
 * callback: irq is taken. */
int message_inside(struct leg *leg, nta_incoming_t *irq, const sip_t *sip);

/** The leg speaks no more: texts that wait for it are answered, or go on alone
 * to their own end. */
void message_leave(struct leg *leg);

#endif
