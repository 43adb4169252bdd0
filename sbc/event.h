/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Subscriptions of phones to events of the PBX: message waiting, busy lamps,
 * presence (RFC 6665). Each is two dialogs, one with the phone and one with the
 * PBX, that share nothing but what event_body.c lets pass. No CDR is written.
 *
 * Which packages a realm's phones may use, and which PBX serves them, stands in
 * SQL (sbc.allow_events, sbc.set_event_trunk). Notices that a PBX sends without
 * a subscription are in event_unasked.c.
 */
#ifndef SBC_EVENT_H
#define SBC_EVENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "common/ipc.pb-c.h"
#include "sbc/save.h"

struct sbc;
struct inbound;
struct events;

GH_MUST_CHECK int events_new(struct sbc *sbc, struct events **events_out);
/** Frees all without a word to anybody: what is saved goes on elsewhere. */
void events_free(struct events **events);

/** A SUBSCRIBE outside a dialog; takes in's message. */
void event_on_subscribe(struct sbc *sbc, struct inbound *in);
/** A NOTIFY outside a dialog; takes in's message. */
void event_on_notify(struct sbc *sbc, struct inbound *in);

/** Tells phones and PBX that all subscriptions end (RFC 6665 4.1.3,
 * "probation": again after a while). */
void events_end_all(struct events *events);

size_t events_count(const struct events *events);

/** One subscription, for displays; borrowed until return. */
struct event_entry {
	const char *id;
	const char *state;
	const char *package;
	const char *resource; /* user part at the PBX */
	const Gh__Account *account;
	const char *trunk;       /* the PBX's name */
	const struct addr *peer; /* the phone's */
	uint64_t wall_began_us, wall_expires_us;
	uint64_t n_notified;
};
/** Calls fn for every one, in no order. */
void events_walk(struct events *events,
	void (*fn)(void *ctx, const struct event_entry *entry), void *ctx);

/** From save.c: one of an earlier process. */
GH_MUST_CHECK int events_restore(struct events *events,
	const Gh__SavedSubscription *saved, const struct save_slot *slot);

#endif
