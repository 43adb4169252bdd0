/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The files that sbc leaves in keeper's hands: what cannot be read in them is
 * dropped, and those of every version that ever was are understood
 * (tests/vectors/live).
 */
#include "config.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sbc/leg_save.h"
#include "sbc/trunk.h"
#include "tests/unit/save_rig.h"
#include "tests/unit/state_file.h"
#include "tests/unit/suite.h"

/* What an earlier process left: good contacts and CDRs come into force,
 * another version, another kind and rubbish are dropped, one by one. */
START_TEST(files)
{
	struct scene s;
	struct store *calls = NULL, *bindings = NULL;
	static uint8_t rubbish[300];
	Gh__SavedBinding contact = GH__SAVED_BINDING__INIT;
	Gh__Binding row = GH__BINDING__INIT;
	Gh__Account account = GH__ACCOUNT__INIT;
	Gh__SavedTrunk trunk = GH__SAVED_TRUNK__INIT;
	uint8_t bytes[1000];
	char number[] = "202", local[ADDR_TEXT_SIZE], uri[] = "sip:x@192.0.2.9";
	char source[] = "192.0.2.9:5060";
	size_t len;

	sc_begin(&s, NULL);
	ck_assert_int_eq(
		saves_new(&s.w->sbc, &sbc_save_owners, &s.w->sbc.saves), 0);
	ck_assert_int_eq(store_open(save_file_of(SAVE_CALL), NULL, saves_keep,
				 NULL, &calls),
		0);
	ck_assert_int_eq(store_open(save_file_of(SAVE_BINDING), NULL,
				 saves_keep, NULL, &bindings),
		0);
	memset(rubbish, 0xa5, sizeof rubbish);
	saves_put(calls, SAVE_CALL, SAVE_VERSION, rubbish, sizeof rubbish);
	saves_put(calls, SAVE_CALL, SAVE_VERSION + 1, "", 0);
	saves_put(calls, 99, SAVE_VERSION, "", 0);
	saves_put(
		calls, SAVE_CALL, SAVE_VERSION, "", 0); /* empty, and no call */
	trunk.trunk = 1;
	trunk.down = 1;
	len = gh__saved_trunk__pack(&trunk, bytes);
	saves_put(calls, SAVE_TRUNK, SAVE_VERSION, bytes, len);
	account.id = row.account = 9;
	account.extension = number;
	row.contact = uri;
	row.source = source;
	row.local = (char *)(uintptr_t)addr_format(&s.w->phones, local);
	row.wall_expires_us = clock_wall_us() + 60 * CLOCK_US_PER_S;
	contact.binding = &row;
	contact.account = &account;
	len = gh__saved_binding__pack(&contact, bytes);
	ck_assert_uint_lt(len, sizeof bytes);
	saves_put(bindings, SAVE_BINDING, SAVE_VERSION, bytes, len);
	contact.account = NULL; /* whose is it? */
	len = gh__saved_binding__pack(&contact, bytes);
	saves_put(bindings, SAVE_BINDING, SAVE_VERSION, bytes, len);
	ck_assert(saves_on_fd(
		s.w->sbc.saves, store_fd_name(calls), dup(store_fd(calls))));
	ck_assert(saves_on_fd(s.w->sbc.saves, store_fd_name(bindings),
		dup(store_fd(bindings))));
	ck_assert(!saves_on_fd(s.w->sbc.saves, "something", 0));
	store_close(&calls);
	store_close(&bindings);

	saves_on_keeper(s.w->sbc.saves);
	ck_assert_ptr_nonnull(bindings_of(s.w->sbc.bindings, 9));
	ck_assert_uint_eq(bindings_count(s.w->sbc.bindings), 2);
	saves_settle(s.w->sbc.saves);
	ck_assert(!trunk_in_service(s.w->sbc.trunks, 1));
	ck_assert_ptr_null(cw_call(s.w));
	saves_end(&s);
}
END_TEST

/* ------------------------------------------------------- recorded versions */

#define RECORDED_NAME "calls@512x524288"
#define RECORDED_SIZE 268439552
#define RECORDED_USED (4096 + 24 * 512)

/* The file of a call that is up, a trunk that is down and a drain. */
static void record_calls(void)
{
	Gh__SavedTrunk trunk = GH__SAVED_TRUNK__INIT;
	Gh__SavedSwitches switches = GH__SAVED_SWITCHES__INIT;
	static struct saved_bytes b;
	struct store *file = NULL;
	struct scene s;
	uint8_t bytes[64];

	saves_begin(&s);
	sc_up(&s);
	saves_pack(cw_call(s.w), &b);
	ck_assert_int_eq(store_open(save_file_of(SAVE_CALL), NULL, saves_keep,
				 NULL, &file),
		0);
	trunk.trunk = 1;
	trunk.down = true;
	trunk.cseq = 4711;
	saves_put(file, SAVE_TRUNK, 1, bytes,
		gh__saved_trunk__pack(&trunk, bytes));
	saves_put(file, SAVE_CALL, 1, b.data, b.len);
	switches.draining = true;
	saves_put(file, SAVE_SWITCHES, 1, bytes,
		gh__saved_switches__pack(&switches, bytes));
	state_record("sbc-calls-1.bin", store_fd(file), RECORDED_USED);
	store_close(&file);
	sc_bye_from_caller(&s);
	cw_cdr(s.w);
	saves_end(&s);
}

static Gh__SavedCall *recorded_call;
static unsigned n_recorded;

static int take_call(struct sbc *sbc, const ProtobufCMessage *msg,
	const struct save_slot *slot)
{
	const Gh__SavedCall *m = (const Gh__SavedCall *)msg;
	static struct saved_bytes b;

	(void)sbc;
	ck_assert(save_has(slot));
	b.len = gh__saved_call__pack(m, b.data);
	recorded_call = saves_unpack(&b);
	n_recorded++;
	return 0;
}

static int take_trunk(struct sbc *sbc, const ProtobufCMessage *msg,
	const struct save_slot *slot)
{
	const Gh__SavedTrunk *m = (const Gh__SavedTrunk *)msg;

	(void)sbc;
	(void)slot;
	ck_assert_uint_eq(m->trunk, 1);
	ck_assert(m->down);
	ck_assert_uint_eq(m->cseq, 4711);
	n_recorded++;
	return 0;
}

static int take_switches(struct sbc *sbc, const ProtobufCMessage *msg,
	const struct save_slot *slot)
{
	(void)sbc;
	(void)slot;
	ck_assert(((const Gh__SavedSwitches *)msg)->draining);
	n_recorded++;
	return 0;
}

static bool always(
	struct sbc *sbc, enum save_kind kind, const ProtobufCMessage *msg)
{
	(void)sbc;
	(void)kind;
	(void)msg;
	return true;
}

static void not_at_all(struct sbc *sbc)
{
	(void)sbc;
}

static void counted(struct sbc *sbc, size_t n)
{
	(void)sbc;
	ck_assert_uint_eq(n, 2);
}

/* What of a dialog is this machine's, here and now. */
static void move_leg(Gh__SavedLeg *was, const Gh__SavedLeg *now)
{
	was->call_id = now->call_id;
	was->local_tag = now->local_tag;
	was->remote_tag = now->remote_tag;
	was->local = now->local;
	was->remote = now->remote;
	was->contact = now->contact;
	was->target = now->target;
	was->peer = now->peer;
	was->listen = now->listen;
}

static void move_party(Gh__SavedParty *was, const Gh__SavedParty *now)
{
	was->listen = now->listen;
	was->peer = now->peer;
	move_leg(was->leg, now->leg);
}

/* A file of the first version: every record is understood, and its call goes
 * on in this process. */
START_TEST(file_of_version_1)
{
	static const struct save_owners owners = {
		.restore = {[SAVE_CALL] = take_call,
			[SAVE_TRUNK] = take_trunk,
			[SAVE_SWITCHES] = take_switches},
		.ready = always,
		.on_open = not_at_all,
		.on_settled = counted,
	};
	static struct saved_bytes here;
	Gh__SavedCall *now, old;
	struct scene s;
	const Gh__Cdr *cdr;

	record_calls();
	sc_begin(&s, NULL);
	ck_assert_int_eq(saves_new(&s.w->sbc, &owners, &s.w->sbc.saves), 0);
	ck_assert(saves_on_fd(s.w->sbc.saves, RECORDED_NAME,
		state_file("sbc-calls-1.bin", RECORDED_SIZE)));
	saves_on_keeper(s.w->sbc.saves);
	saves_settle(s.w->sbc.saves);
	ck_assert_uint_eq(n_recorded, 3);
	saves_free(&s.w->sbc.saves, true);

	ck_assert_int_eq(recorded_call->state, CALL_UP);
	ck_assert_uint_eq(recorded_call->n_parties, 1);
	ck_assert_uint_eq(recorded_call->n_slots, 1);
	ck_assert_uint_gt(recorded_call->n_decisions, 0);
	ck_assert_uint_gt(recorded_call->caller->leg->local_cseq +
				  recorded_call->caller->leg->remote_cseq,
		0);
	sc_up(&s);
	saves_pack(cw_call(s.w), &here);
	saves_vanish(&s);
	now = saves_unpack(&here);
	old = *recorded_call; /* its texts' owner stays whole */
	{
		Gh__SavedParty caller = *recorded_call->caller;
		Gh__SavedParty called = *recorded_call->parties[0];
		Gh__SavedParty *parties[1] = {&called};
		Gh__SavedLeg legs[2] = {*caller.leg, *called.leg};

		caller.leg = &legs[0];
		called.leg = &legs[1];
		move_party(&caller, now->caller);
		move_party(&called, now->parties[0]);
		old.caller = &caller;
		old.parties = parties;
		old.slots = now->slots; /* mediad's ports */
		old.answer_us = now->answer_us;
		ck_assert_int_eq(saves_restore(&s, &old), 0);
	}
	ck_assert_int_eq(cw_call(s.w)->state, CALL_UP);
	s.caller.cseq = 2000;
	sc_bye_from_caller(&s);
	cdr = cw_cdr(s.w);
	sc_cdr(cdr, REASON_CALL_CALLER_HUNG_UP, 200, "caller");
	ck_assert_str_eq(cdr->call, recorded_call->call);
	ck_assert_str_eq(cdr->called, recorded_call->called_number);
	ck_assert_uint_eq(cdr->wall_start_us, recorded_call->wall_start_us);
	gh__saved_call__free_unpacked(now, NULL);
	gh__saved_call__free_unpacked(recorded_call, NULL);
	s.w->n_ended = s.w->n_opened;
	saves_end(&s);
}
END_TEST

/* The other files of the first version, a record in each. */
static const struct recorded {
	enum save_kind kind;
	const char *vector, *name;
	off_t size;
} recorded[] = {
	{SAVE_BINDING, "sbc-bindings-1.bin", "bindings@512x262144",
		4096 + 512 * 262144},
	{SAVE_CDR, "sbc-cdrs-1.bin", "cdrs@1024x131072", 4096 + 1024 * 131072},
	{SAVE_SUBSCRIPTION, "sbc-events-1.bin", "events@512x131072",
		4096 + 512 * 131072},
	{SAVE_METER, "sbc-meters-1.bin", "meters@128x262144",
		4096 + 128 * 262144},
};

static char *in(const char *text)
{
	return (char *)(uintptr_t)text;
}

static size_t sample_binding(uint8_t *bytes)
{
	Gh__SavedBinding m = GH__SAVED_BINDING__INIT;
	Gh__Binding row = GH__BINDING__INIT;
	Gh__Account account = GH__ACCOUNT__INIT;

	account.id = row.account = 9;
	account.extension = in("4711");
	account.max_calls = 3;
	row.contact = in("sip:9@192.0.2.7:5060");
	row.source = in("198.51.100.9:40000");
	row.local = in("203.0.113.1:5060");
	row.wall_expires_us = 1790000000000000;
	m.binding = &row;
	m.account = &account;
	return gh__saved_binding__pack(&m, bytes);
}

static size_t sample_cdr(uint8_t *bytes)
{
	Gh__Cdr m = GH__CDR__INIT;
	Gh__CdrLeg leg = GH__CDR_LEG__INIT;
	Gh__Decision decision = GH__DECISION__INIT, *decisions[] = {&decision};

	leg.kind = in("trunk");
	leg.trunk = 7;
	leg.call_id = in("a84b4c76e66710@example.com");
	decision.wall_us = 1790000000000001;
	decision.reason = reason_number(REASON_CALL_ANSWERED);
	decision.data = in("");
	m.call = in("0123456789ABCDEF");
	m.wall_start_us = 1790000000000000;
	m.wall_answer_us = 1790000002000000;
	m.wall_end_us = 1790000065000000;
	m.duration_us = 63000000;
	m.caller = in("+4989123456");
	m.called = in("4711");
	m.caller_leg = &leg;
	m.sip_status = 200;
	m.reason = reason_number(REASON_CALL_CALLER_HUNG_UP);
	m.hangup_side = in("caller");
	m.decisions = decisions;
	m.n_decisions = 1;
	return gh__cdr__pack(&m, bytes);
}

static size_t sample_subscription(uint8_t *bytes)
{
	Gh__SavedSubscription m = GH__SAVED_SUBSCRIPTION__INIT;
	Gh__SavedLeg phone = GH__SAVED_LEG__INIT;
	uint8_t key[16] = {1, 2, 3, 4};

	phone.call_id = in("sub-1@192.0.2.7");
	phone.local_cseq = 77;
	m.id = in("FEDCBA9876543210");
	m.package = in("dialog");
	m.trunk = 3;
	m.resource = in("200");
	m.phone = &phone;
	m.expires_us = 123456789;
	m.state = 2;
	m.ids_key = (ProtobufCBinaryData){sizeof key, key};
	m.n_notified = 12;
	return gh__saved_subscription__pack(&m, bytes);
}

static size_t sample_meter(uint8_t *bytes)
{
	Gh__SavedMeter m = GH__SAVED_METER__INIT;

	m.account = 9;
	m.hour = 497222;
	m.calls = 4;
	m.day = 20717;
	m.talk_us = 90000000;
	return gh__saved_meter__pack(&m, bytes);
}

static size_t sample(enum save_kind kind, uint8_t bytes[1024])
{
	switch (kind) {
	case SAVE_BINDING:
		return sample_binding(bytes);
	case SAVE_CDR:
		return sample_cdr(bytes);
	case SAVE_SUBSCRIPTION:
		return sample_subscription(bytes);
	default:
		return sample_meter(bytes);
	}
}

static int take_sample(enum save_kind kind, const ProtobufCMessage *msg,
	const struct save_slot *slot)
{
	uint8_t want[1024], got[1024];
	size_t len = sample(kind, want);

	ck_assert(save_has(slot));
	ck_assert_uint_eq(protobuf_c_message_get_packed_size(msg), len);
	protobuf_c_message_pack(msg, got);
	ck_assert_mem_eq(got, want, len);
	n_recorded++;
	return 0;
}

static int take_binding(struct sbc *sbc, const ProtobufCMessage *msg,
	const struct save_slot *slot)
{
	(void)sbc;
	return take_sample(SAVE_BINDING, msg, slot);
}

static int take_cdr(struct sbc *sbc, const ProtobufCMessage *msg,
	const struct save_slot *slot)
{
	(void)sbc;
	return take_sample(SAVE_CDR, msg, slot);
}

static int take_subscription(struct sbc *sbc, const ProtobufCMessage *msg,
	const struct save_slot *slot)
{
	(void)sbc;
	return take_sample(SAVE_SUBSCRIPTION, msg, slot);
}

static int take_meter(struct sbc *sbc, const ProtobufCMessage *msg,
	const struct save_slot *slot)
{
	(void)sbc;
	return take_sample(SAVE_METER, msg, slot);
}

static void any_number(struct sbc *sbc, size_t n)
{
	(void)sbc;
	(void)n;
}

static void record_one(const struct recorded *r)
{
	struct store *file = NULL;
	uint8_t bytes[1024];

	ck_assert_int_eq(store_open(save_file_of(r->kind), NULL, saves_keep,
				 NULL, &file),
		0);
	saves_put(file, r->kind, 1, bytes, sample(r->kind, bytes));
	state_record(r->vector, store_fd(file), 4096 + 4 * 1024);
	store_close(&file);
}

static void must_be_read(
	const struct recorded *r, const struct save_owners *owners)
{
	struct scene s;

	sc_begin(&s, NULL);
	ck_assert_int_eq(saves_new(&s.w->sbc, owners, &s.w->sbc.saves), 0);
	ck_assert(saves_on_fd(
		s.w->sbc.saves, r->name, state_file(r->vector, r->size)));
	n_recorded = 0;
	saves_on_keeper(s.w->sbc.saves);
	saves_settle(s.w->sbc.saves);
	ck_assert_uint_eq(n_recorded, 1);
	saves_end(&s);
}

START_TEST(files_of_version_1)
{
	static const struct save_owners owners = {
		.restore = {[SAVE_BINDING] = take_binding,
			[SAVE_CDR] = take_cdr,
			[SAVE_SUBSCRIPTION] = take_subscription,
			[SAVE_METER] = take_meter},
		.ready = always,
		.on_open = not_at_all,
		.on_settled = any_number,
	};
	const size_t n = sizeof recorded / sizeof recorded[0];

	for (size_t i = 0; i < n; i++)
		record_one(&recorded[i]);
	for (size_t i = 0; i < n; i++)
		must_be_read(&recorded[i], &owners);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("sbc_save_files");

	suite_add(s, "files", files);
	suite_add(s, "file_of_version_1", file_of_version_1);
	suite_add(s, "files_of_version_1", files_of_version_1);
	return suite_run(s);
}
