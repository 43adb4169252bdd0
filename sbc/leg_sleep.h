/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Dialogs in which nothing happens. The library's dialog is 1.2 kB of parsed
 * headers for each leg; a leg that has nothing under way gives it up and keeps
 * what it is made of as a few texts, found by the leg's own tag. The first
 * request in either direction makes it again, as a restart of the process does.
 *
 *	awake	leg->dialog, matched by the library
 *	asleep	leg->asleep, matched here before a request counts as one of
 *		no dialog
 *
 * Nobody outside of leg*.c can tell the difference. RFC 3261 12.2.
 */
#ifndef SBC_LEG_SLEEP_H
#define SBC_LEG_SLEEP_H

#include "common/ipc.pb-c.h"
#include "sbc/leg.h"
#include "sbc/scratch.h"

struct sleepers;

GH_MUST_CHECK int sleepers_new(struct sleepers **sleepers_out);
/** After all legs. */
void sleepers_free(struct sleepers **sleepers);
/** How many sleep. */
size_t sleepers_count(const struct sleepers *sleepers);

/** Lets it sleep if it is up and nothing of it is under way.
 * @return whether it fell asleep now. */
bool leg_sleep(struct leg *leg);
/** Makes the dialog again if it sleeps. Without memory it sleeps on, and what
 * needs leg->dialog finds none. */
void leg_wake(struct leg *leg);
/** Is there a dialog, asleep or not? */
static inline bool leg_has_dialog(const struct leg *leg)
{
	return leg->dialog != NULL || leg->asleep != NULL;
}
/** Gives up what a sleeping leg keeps; it has no dialog any more. */
void leg_sleep_drop(struct leg *leg);
/** The dialog's part of a sleeping leg's record. */
void leg_sleep_save(
	const struct leg *leg, struct scratch *s, Gh__SavedLeg *out);

/** The leg of a dialog, which is awake then. @return NULL if it is none. */
struct leg *leg_by_dialog(struct sbc *sbc, const sip_call_id_t *call_id,
	const char *local_tag, const char *remote_tag);
/** The stack's: a request that the library knows no dialog for.
 * @return whether it was a sleeper's; then msg is taken. */
bool leg_sleep_take(struct sbc *sbc, msg_t *msg, sip_t *sip, tport_t *tport);

#endif
