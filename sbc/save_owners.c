/* SPDX-License-Identifier: Apache-2.0 */
/* Which module makes which object out of a record of save.c, in one table. */
#include "config.h"

#include "common/log.h"
#include "sbc/call_save.h"
#include "sbc/event.h"
#include "sbc/drain.h"
#include "sbc/meter.h"
#include "sbc/sbc.h"
#include "sbc/trunk.h"

static int on_call(struct sbc *sbc, const ProtobufCMessage *msg,
	const struct save_slot *slot)
{
	return call_restore(sbc->calls, (const Gh__SavedCall *)msg, slot);
}

static int on_trunk(struct sbc *sbc, const ProtobufCMessage *msg,
	const struct save_slot *slot)
{
	return trunk_restore(sbc->trunks, (const Gh__SavedTrunk *)msg, slot);
}

static int on_binding(struct sbc *sbc, const ProtobufCMessage *msg,
	const struct save_slot *slot)
{
	return bindings_on_found(
		sbc->bindings, (const Gh__SavedBinding *)msg, slot);
}

static int on_cdr(struct sbc *sbc, const ProtobufCMessage *msg,
	const struct save_slot *slot)
{
	return cdrs_on_found(sbc->cdrs, (const Gh__Cdr *)msg, slot);
}

static int on_subscription(struct sbc *sbc, const ProtobufCMessage *msg,
	const struct save_slot *slot)
{
	return events_restore(
		sbc->events, (const Gh__SavedSubscription *)msg, slot);
}

static int on_meter(struct sbc *sbc, const ProtobufCMessage *msg,
	const struct save_slot *slot)
{
	return meters_on_found(sbc->meters, (const Gh__SavedMeter *)msg, slot);
}

static int on_switches(struct sbc *sbc, const ProtobufCMessage *msg,
	const struct save_slot *slot)
{
	return drain_on_found(sbc->drain, (const Gh__SavedSwitches *)msg, slot);
}

static bool is_ready(
	struct sbc *sbc, enum save_kind kind, const ProtobufCMessage *msg)
{
	return kind != SAVE_CALL ||
	       call_may_be_restored(sbc, (const Gh__SavedCall *)msg);
}

static void on_open(struct sbc *sbc)
{
	bindings_save_all(sbc->bindings);
}

static void on_settled(struct sbc *sbc, size_t n_restored)
{
	media_release(sbc->media);
	if (n_restored != 0)
		log_notice("calls_restored",
			LOG_UINT("calls", calls_count(sbc->calls)),
			LOG_UINT("subscriptions", events_count(sbc->events)));
}

const struct save_owners sbc_save_owners = {
	.restore =
		{
			[SAVE_CALL] = on_call,
			[SAVE_TRUNK] = on_trunk,
			[SAVE_BINDING] = on_binding,
			[SAVE_CDR] = on_cdr,
			[SAVE_SUBSCRIPTION] = on_subscription,
			[SAVE_SWITCHES] = on_switches,
			[SAVE_METER] = on_meter,
		},
	.ready = is_ready,
	.on_open = on_open,
	.on_settled = on_settled,
};
