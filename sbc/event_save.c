/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A subscription's record, written after each of its events, and back: after a
 * kill the PBX's next NOTIFY reaches the phone, and the phone's refresh the
 * PBX. What was on its way is not kept: both sides send again what nobody
 * answered. One that was not in force yet is none; the PBX's NOTIFYs for it get
 * 481.
 *
 * The key of the names in dialog-info stands in every record, so that a call
 * that a phone is shown keeps its name.
 */
#include "config.h"

#include "sbc/event_inner.h"

#include <stdio.h>
#include <string.h>

#include "common/secret.h"
#include "sbc/leg_save.h"

/* protobuf-c takes char *, and never writes to what it packs. */
static char *text(const char *s)
{
	return (char *)(uintptr_t)(s != NULL ? s : "");
}

void sub_to_record(const struct sub *s, struct scratch *scratch,
	Gh__SavedSubscription *out)
{
	gh__saved_subscription__init(out);
	out->phone = scratch_alloc(scratch, sizeof *out->phone);
	out->pbx = scratch_alloc(scratch, sizeof *out->pbx);
	if (out->phone != NULL)
		leg_save(s->phone, scratch, out->phone);
	if (out->pbx != NULL)
		leg_save(s->pbx, scratch, out->pbx);
	out->id = text(s->id);
	out->package = text(s->package->name);
	out->event_id = text(s->event_id);
	out->trunk = s->trunk->row->id;
	out->account = (Gh__Account *)(uintptr_t)s->account->row;
	out->resource = text(s->resource);
	out->expires_us = s->expires_us;
	out->wall_began_us = s->wall_began_us;
	out->state = SUB_UP;
	out->ids_key.data = s->events->ids.key;
	out->ids_key.len = sizeof s->events->ids.key;
	out->n_notified = s->n_notified;
}

void sub_save(struct sub *s)
{
	struct scratch scratch;
	Gh__SavedSubscription saved;

	if (s->sbc->saves == NULL || s->owner == NULL)
		return;
	if (s->state == SUB_LAST) { /* nothing to go on with */
		save_drop(s->sbc->saves, SAVE_SUBSCRIPTION, &s->saved);
		return;
	}
	/* Without the PBX's first word there is no dialog to go on with. */
	if ((s->state != SUB_UP && s->state != SUB_REFRESHING) ||
		s->pbx->state != LEG_UP)
		return;
	scratch_init(&scratch);
	sub_to_record(s, &scratch, &saved);
	if (saved.phone != NULL && saved.pbx != NULL)
		save_put(s->sbc->saves, SAVE_SUBSCRIPTION, &s->saved,
			&saved.base);
	scratch_done(&scratch);
}

static bool is_possible(
	const Gh__SavedSubscription *saved, const struct event_package *p)
{
	return ident_is_call(saved->id) && p != NULL &&
	       saved->state == SUB_UP && saved->account != NULL &&
	       saved->phone != NULL && saved->pbx != NULL &&
	       saved->phone->server && !saved->pbx->server &&
	       saved->phone->state == LEG_UP && saved->pbx->state == LEG_UP &&
	       saved->ids_key.len == EVENT_IDS_KEY_SIZE &&
	       *saved->resource != '\0' &&
	       strlen(saved->resource) < ROUTE_NUMBER_SIZE &&
	       strlen(saved->event_id) <= SUB_EVENT_ID_MAX;
}

/* Our socket and where the peer is. @return 0 or ERR_NOT_FOUND. */
static int find_target(
	struct sbc *sbc, const Gh__SavedLeg *saved, struct target *out)
{
	const struct realm_address *ra;
	struct addr listen;

	if (addr_parse(saved->listen, &listen) != 0 ||
		addr_parse(saved->peer, &out->addr) != 0)
		return ERR_INVALID;
	ra = settings_listener(sbc->settings, &listen, saved->transport);
	out->listener = ra != NULL ? stack_listener(sbc->stack, ra) : NULL;
	out->flow = saved->flow;
	return out->listener != NULL ? 0 : ERR_NOT_FOUND;
}

static int restore_legs(struct sub *s, const Gh__SavedSubscription *saved)
{
	struct leg_config phone, pbx;
	struct target peer;
	int err = find_target(s->sbc, saved->phone, &peer);

	if (err != 0)
		return err;
	phone = sub_phone_config(s, &peer);
	err = find_target(s->sbc, saved->pbx, &peer);
	pbx = sub_pbx_config(s, &peer);
	if (err == 0)
		err = leg_restore(&phone, saved->phone, &s->phone);
	if (err == 0)
		err = leg_restore(&pbx, saved->pbx, &s->pbx);
	return err;
}

int events_restore(struct events *events, const Gh__SavedSubscription *saved,
	const struct save_slot *slot)
{
	const struct event_package *package =
		event_package_find(saved->package);
	struct settings *settings = events->sbc->settings;
	const struct trunk *t = settings != NULL
					? settings_trunk(settings, saved->trunk)
					: NULL;
	struct account *account;
	struct sub *s;
	int err;

	if (!is_possible(saved, package))
		return ERR_INVALID;
	if (t == NULL)
		return ERR_NOT_FOUND;
	err = account_new(saved->account, &account);
	if (err != 0)
		return err;
	s = sub_make(events, account, package);
	if (s == NULL) {
		account_unref(&account);
		return ERR_NOMEM;
	}
	snprintf(s->id, sizeof s->id, "%s", saved->id);
	snprintf(s->event_id, sizeof s->event_id, "%s", saved->event_id);
	snprintf(s->resource, sizeof s->resource, "%s", saved->resource);
	s->trunk = t;
	s->state = SUB_UP;
	s->notified = true;
	s->expires_us = saved->expires_us;
	s->wall_began_us = saved->wall_began_us;
	s->n_notified = saved->n_notified;
	err = restore_legs(s, saved);
	if (err != 0) {
		s->state = SUB_GONE;
		sub_bury(s);
		return err;
	}
	s->saved = *slot;
	memcpy(events->ids.key, saved->ids_key.data, EVENT_IDS_KEY_SIZE);
	sub_arm(s);
	return 0;
}
