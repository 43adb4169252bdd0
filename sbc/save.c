/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The files of sbc's live state and their life; save.h has the story.
 *
 * Decides: sizes, which record may be looked at at all (kind, version, a whole
 * message), what happens without room. Does not decide what a record means:
 * the owners do (save_owners.c), and say no by an error. Called by main
 * (keeper's link), the listeners, and by whoever owns an object that is saved.
 * One thread, sbc's loop.
 *
 * The packed bytes go through one buffer that is wiped each time: a record of
 * a call has the keys of its media.
 */
#include "config.h"

#include "sbc/save.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/queue.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/pack.h"
#include "common/reason.h"
#include "common/secret.h"
#include "sbc/sbc.h"

#define DEPOSIT_AGAIN_US CLOCK_US_PER_S
#define TELL_US          (60 * CLOCK_US_PER_S)
/* How long a call waits for a connection that it needs, and how often it is
 * looked for. */
#define FLOWS_US         (2 * CLOCK_US_PER_S)
#define FLOWS_LOOK_US    (10 * CLOCK_US_PER_MS)

enum save_file {
	FILE_CALLS,
	FILE_BINDINGS,
	FILE_CDRS,
	FILE_EVENTS,
	FILE_METERS,
	FILE_COUNT
};

/* A call of two plain sides takes 7 to 10 slots of 512 bytes, a contact or a
 * CDR one or two of 1024; memory is taken as slots come into use. */
static const struct store_config configs[FILE_COUNT] = {
	[FILE_CALLS] = {"calls", PROCESS_SBC, 512, 512 * 1024},
	[FILE_BINDINGS] = {"bindings", PROCESS_SBC, 512, 256 * 1024},
	[FILE_CDRS] = {"cdrs", PROCESS_SBC, 1024, 128 * 1024},
	/* A subscription takes three or four. */
	[FILE_EVENTS] = {"events", PROCESS_SBC, 512, 128 * 1024},
	[FILE_METERS] = {"meters", PROCESS_SBC, 128, 256 * 1024},
};

/* A record that waits for settings and sockets. */
struct pending {
	STAILQ_ENTRY(pending) next;
	enum save_kind kind;
	struct store_record *record;
	ProtobufCMessage *msg;
};

struct saves {
	struct sbc *sbc;
	const struct save_owners *owners;
	struct store_found found[FILE_COUNT];
	struct store *files[FILE_COUNT]; /* NULL before keeper has told */
	STAILQ_HEAD(, pending) pending;  /* trunks and calls */
	bool settled;
	size_t n_restored; /* trunks and calls */
	uint64_t flows_until_us;
	struct loop_timer *flows; /* calls wait for connections */
	struct loop_timer *again; /* a deposit was refused */
	uint64_t next_tell_us;
	uint8_t buffer[STORE_RECORD_MAX];
};

static bool saves_are_open(const struct saves *saves)
{
	return saves->files[FILE_CALLS] != NULL;
}

static enum save_file file_of(enum save_kind kind)
{
	switch (kind) {
	case SAVE_BINDING:
		return FILE_BINDINGS;
	case SAVE_CDR:
		return FILE_CDRS;
	case SAVE_SUBSCRIPTION:
		return FILE_EVENTS;
	case SAVE_METER:
		return FILE_METERS;
	case SAVE_CALL:
	case SAVE_TRUNK:
	case SAVE_SWITCHES:
	case SAVE_KIND_END:
		break;
	}
	return FILE_CALLS;
}

const struct store_config *save_file_of(enum save_kind kind)
{
	return &configs[file_of(kind)];
}

static const ProtobufCMessageDescriptor *descriptor_of(uint32_t kind)
{
	switch (kind) {
	case SAVE_CALL:
		return &gh__saved_call__descriptor;
	case SAVE_TRUNK:
		return &gh__saved_trunk__descriptor;
	case SAVE_BINDING:
		return &gh__saved_binding__descriptor;
	case SAVE_CDR:
		return &gh__cdr__descriptor;
	case SAVE_SUBSCRIPTION:
		return &gh__saved_subscription__descriptor;
	case SAVE_SWITCHES:
		return &gh__saved_switches__descriptor;
	case SAVE_METER:
		return &gh__saved_meter__descriptor;
	default:
		return NULL;
	}
}

/* ------------------------------------------------------------------ writing */

static void tell_full(struct saves *saves, enum save_kind kind, int err)
{
	uint64_t now = clock_now_us();

	reason_count(REASON_STORE_FULL);
	if (now < saves->next_tell_us)
		return;
	saves->next_tell_us = now + TELL_US;
	log_warning("not_saved", LOG_STR("store", configs[file_of(kind)].name),
		LOG_STR("reason", reason_text(REASON_STORE_FULL)),
		LOG_ERR(err));
}

void save_put_bytes(struct saves *saves, enum save_kind kind,
	struct save_slot *slot, const void *bytes, size_t len)
{
	struct store *file = saves != NULL ? saves->files[file_of(kind)] : NULL;
	int err;

	if (file == NULL || (slot->record != NULL &&
				    store_is(file, slot->record, bytes, len)))
		return;
	err = store_put(file, &slot->record, kind, SAVE_VERSION, bytes, len, 0);
	if (err == 0)
		return;
	/* An old state is worse than none: it would be taken for the truth. */
	save_drop(saves, kind, slot);
	tell_full(saves, kind, err);
}

void save_put(struct saves *saves, enum save_kind kind, struct save_slot *slot,
	const ProtobufCMessage *msg)
{
	uint8_t *bytes;
	size_t len;
	int err;

	if (saves == NULL || saves->files[file_of(kind)] == NULL)
		return;
	err = pack_message(
		msg, saves->buffer, sizeof saves->buffer, &bytes, &len);
	if (err != 0) {
		secret_wipe(saves->buffer, sizeof saves->buffer);
		save_drop(saves, kind, slot);
		tell_full(saves, kind, err);
		return;
	}
	save_put_bytes(saves, kind, slot, bytes, len);
	secret_wipe(bytes, len);
}

void save_drop(struct saves *saves, enum save_kind kind, struct save_slot *slot)
{
	struct store *file = saves != NULL ? saves->files[file_of(kind)] : NULL;

	if (file != NULL)
		store_remove(file, &slot->record);
	slot->record = NULL;
}

/* ------------------------------------------------------------------ reading */

static int keep_pending(struct saves *saves, enum save_kind kind,
	struct store_record *record, ProtobufCMessage *msg)
{
	struct pending *p = calloc(1, sizeof *p);

	if (p == NULL)
		return ERR_NOMEM;
	p->kind = kind;
	p->record = record;
	p->msg = msg;
	STAILQ_INSERT_TAIL(&saves->pending, p, next);
	return 0;
}

/* Everything that was found comes here first. */
static int on_record(void *ctx, struct store_record *record, uint32_t type,
	uint32_t version, const void *bytes, size_t len)
{
	struct saves *saves = ctx;
	const ProtobufCMessageDescriptor *d = descriptor_of(type);
	ProtobufCMessage *msg;
	int err;

	if (d == NULL || version == 0 || version > SAVE_VERSION)
		return ERR_VERSION;
	msg = protobuf_c_message_unpack(d, NULL, len, bytes);
	if (msg == NULL)
		return ERR_CORRUPT;
	err = keep_pending(saves, (enum save_kind)type, record, msg);
	if (err != 0)
		protobuf_c_message_free_unpacked(msg, NULL);
	return err;
}

static void wipe_bytes(ProtobufCBinaryData *bytes)
{
	if (bytes->data != NULL)
		secret_wipe(bytes->data, bytes->len);
}

/* Descriptions and INVITEs have keys too (RFC 4568). */
static void wipe_party(Gh__SavedParty *p)
{
	if (p == NULL)
		return;
	/* protobuf-c's empty default is constant. */
	if (*p->theirs != '\0')
		secret_wipe(p->theirs, strlen(p->theirs));
	if (*p->ours != '\0')
		secret_wipe(p->ours, strlen(p->ours));
	if (p->leg != NULL)
		wipe_bytes(&p->leg->invite);
}

void save_message_free(enum save_kind kind, ProtobufCMessage *msg)
{
	Gh__SavedCall *call = (Gh__SavedCall *)msg;

	if (msg == NULL)
		return;
	if (kind == SAVE_CALL) {
		wipe_party(call->caller);
		for (size_t i = 0; i < call->n_parties; i++)
			wipe_party(call->parties[i]);
		for (size_t i = 0; i < call->n_slots; i++)
			wipe_bytes(&call->slots[i]->want);
	}
	protobuf_c_message_free_unpacked(msg, NULL);
}

ProtobufCMessage *save_get(
	struct saves *saves, enum save_kind kind, const struct save_slot *slot)
{
	struct store *file = saves != NULL ? saves->files[file_of(kind)] : NULL;
	ProtobufCMessage *msg;
	size_t len;

	if (file == NULL || slot->record == NULL)
		return NULL;
	len = store_len(file, slot->record);
	if (len > sizeof saves->buffer)
		return NULL;
	store_read(file, slot->record, saves->buffer);
	msg = protobuf_c_message_unpack(
		descriptor_of(kind), NULL, len, saves->buffer);
	secret_wipe(saves->buffer, len);
	return msg;
}

static void drop_bad(struct saves *saves, struct pending *p, int err)
{
	struct save_slot slot = {.record = p->record};

	reason_count(REASON_STORE_RECORD);
	log_peer_warning("record_dropped",
		LOG_STR("store", configs[file_of(p->kind)].name),
		LOG_STR("reason", reason_text(REASON_STORE_RECORD)),
		LOG_ERR(err));
	save_drop(saves, p->kind, &slot);
}

static int restore(struct saves *saves, struct pending *p)
{
	struct save_slot slot = {.record = p->record};

	return saves->owners->restore[p->kind](saves->sbc, p->msg, &slot);
}

/* Puts records of some kinds in force, in the order of their making. */
static size_t restore_all(struct saves *saves, bool calls_too)
{
	struct pending *p, *next;
	size_t n = 0;
	int err;

	for (p = STAILQ_FIRST(&saves->pending); p != NULL; p = next) {
		next = STAILQ_NEXT(p, next);
		if (!calls_too &&
			(p->kind == SAVE_CALL || p->kind == SAVE_TRUNK ||
				p->kind == SAVE_SUBSCRIPTION))
			continue;
		if (calls_too && clock_now_us() < saves->flows_until_us &&
			!saves->owners->ready(saves->sbc, p->kind, p->msg))
			continue;
		err = restore(saves, p);
		if (err != 0)
			drop_bad(saves, p, err);
		else
			n++;
		STAILQ_REMOVE(&saves->pending, p, pending, next);
		save_message_free(p->kind, p->msg);
		free(p);
	}
	return n;
}

/* ------------------------------------------------------------- the files */

static void deposit(struct saves *saves)
{
	for (size_t i = 0; i < FILE_COUNT; i++) {
		int err = saves->files[i] != NULL
				  ? store_deposit(saves->files[i],
					    saves->sbc->daemon.keeper)
				  : 0;

		/* Away: keeper's return brings us here again. */
		if (err == ERR_FULL)
			loop_timer_set(saves->sbc->daemon.loop, saves->again,
				DEPOSIT_AGAIN_US);
	}
}

static void on_again(void *arg)
{
	deposit(arg);
}

static void open_files(struct saves *saves)
{
	size_t n;

	for (size_t i = 0; i < FILE_COUNT; i++) {
		int err = store_open(&configs[i], &saves->found[i], on_record,
			saves, &saves->files[i]);

		if (err != 0)
			log_err("store_not_opened",
				LOG_STR("store", configs[i].name),
				LOG_ERR(err));
	}
	/* CDRs before calls: who has one has ended. */
	n = restore_all(saves, false);
	if (n != 0 || !STAILQ_EMPTY(&saves->pending))
		log_notice("state_found", LOG_UINT("contacts_and_cdrs", n),
			LOG_STR("calls", STAILQ_EMPTY(&saves->pending)
						 ? "no"
						 : "wait for settings"));
	saves->owners->on_open(saves->sbc);
}

static void on_flows(void *arg)
{
	struct saves *saves = arg;

	saves->n_restored += restore_all(saves, true);
	if (STAILQ_EMPTY(&saves->pending))
		saves->owners->on_settled(saves->sbc, saves->n_restored);
	else
		loop_timer_set(
			saves->sbc->daemon.loop, saves->flows, FLOWS_LOOK_US);
}

static void settle(struct saves *saves)
{
	saves->settled = true;
	saves->flows_until_us = clock_now_us() + FLOWS_US;
	on_flows(saves);
}

bool saves_on_fd(struct saves *saves, const char *name, int fd)
{
	for (size_t i = 0; i < FILE_COUNT; i++) {
		if (saves->files[i] == NULL &&
			store_found_take(
				&saves->found[i], &configs[i], name, fd))
			return true;
	}
	return false;
}

void saves_on_keeper(struct saves *saves)
{
	if (!saves_are_open(saves))
		open_files(saves);
	if (STAILQ_EMPTY(&saves->pending) && !saves->settled)
		settle(saves);
	deposit(saves);
}

bool saves_are_in_force(const struct saves *saves)
{
	return saves == NULL ||
	       (saves->settled && STAILQ_EMPTY(&saves->pending));
}

void saves_settle(struct saves *saves)
{
	if (saves != NULL && !saves->settled && saves_are_open(saves))
		settle(saves);
}

int saves_new(struct sbc *sbc, const struct save_owners *owners,
	struct saves **saves_out)
{
	static const struct store_found none = STORE_FOUND_NONE;
	struct saves *saves = calloc(1, sizeof *saves);

	if (saves == NULL)
		return ERR_NOMEM;
	saves->sbc = sbc;
	saves->owners = owners;
	STAILQ_INIT(&saves->pending);
	for (size_t i = 0; i < FILE_COUNT; i++)
		saves->found[i] = none;
	if (loop_timer_new(sbc->daemon.loop, on_again, saves, &saves->again) !=
			0 ||
		loop_timer_new(sbc->daemon.loop, on_flows, saves,
			&saves->flows) != 0) {
		loop_timer_free(sbc->daemon.loop, &saves->again);
		free(saves);
		return ERR_NOMEM;
	}
	*saves_out = saves;
	return 0;
}

void saves_free(struct saves **ref, bool wipe)
{
	struct saves *saves = *ref;
	struct pending *p;

	if (saves == NULL)
		return;
	*ref = NULL;
	while ((p = STAILQ_FIRST(&saves->pending)) != NULL) {
		STAILQ_REMOVE_HEAD(&saves->pending, next);
		save_message_free(p->kind, p->msg);
		free(p);
	}
	for (size_t i = 0; i < FILE_COUNT; i++) {
		if (saves->found[i].fd >= 0)
			(void)close(saves->found[i].fd);
		if (saves->found[i].other_fd >= 0)
			(void)close(saves->found[i].other_fd);
		/* Ended in order, but authd was away: the next start tells it.
		 * Limits go on as they are. */
		if (wipe && i != FILE_METERS &&
			(i != FILE_CDRS || saves->files[i] == NULL ||
				store_count(saves->files[i]) == 0))
			store_end(&saves->files[i], saves->sbc->daemon.keeper);
		else
			store_close(&saves->files[i]);
	}
	loop_timer_free(saves->sbc->daemon.loop, &saves->again);
	loop_timer_free(saves->sbc->daemon.loop, &saves->flows);
	free(saves);
}
