/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Packing in one pass: each message of ipc.proto, filled by chance, gives the
 * bytes that protobuf-c makes of it; what has no room and what is of another
 * kind is refused.
 */
#include <stdlib.h>
#include <string.h>

#include "common/ipc.pb-c.h"
#include "common/pack.h"
#include "tests/unit/suite.h"

#define DEPTH_MAX   4
#define MESSAGE_MAX (4 << 20)

/* From here all messages can be reached. */
static const ProtobufCMessageDescriptor *const roots[] = {
	&gh__msg__descriptor,
	&gh__saved_call__descriptor,
	&gh__saved_trunk__descriptor,
	&gh__saved_binding__descriptor,
	&gh__saved_subscription__descriptor,
	&gh__saved_switches__descriptor,
	&gh__saved_meter__descriptor,
	&gh__settings_saved__descriptor,
	&gh__account_record__descriptor,
	&gh__ban_record__descriptor,
};
#define N_ROOTS (sizeof(roots) / sizeof(roots[0]))

static uint32_t seed;

static uint32_t chance(uint32_t below)
{
	seed = seed * 1664525u + 1013904223u;
	return (seed >> 8) % below;
}

/* Freed all at once. */
static void *pieces[200000];
static size_t n_pieces;

static void *piece(size_t size)
{
	void *p = calloc(1, size ? size : 1);

	ck_assert(p && n_pieces < sizeof(pieces) / sizeof(pieces[0]));
	pieces[n_pieces++] = p;
	return p;
}

static void forget(void)
{
	while (n_pieces)
		free(pieces[--n_pieces]);
}

/* Small ones, and all lengths of varints. */
static uint64_t number(void)
{
	uint64_t n = (uint64_t)chance(1u << 24) << 48 ^
		     (uint64_t)chance(1u << 24) << 24 ^ chance(1u << 24);

	return n >> chance(64);
}

static ProtobufCMessage *fill(
	const ProtobufCMessageDescriptor *d, unsigned depth);

static void fill_value(
	const ProtobufCFieldDescriptor *f, void *member, unsigned depth)
{
	ProtobufCBinaryData *bytes = member;
	size_t n = chance(8) ? chance(20) : chance(300);
	char *text;

	switch (f->type) {
	case PROTOBUF_C_TYPE_BOOL:
		*(protobuf_c_boolean *)member = (protobuf_c_boolean)chance(2);
		return;
	case PROTOBUF_C_TYPE_ENUM: /* negative ones take ten bytes */
	case PROTOBUF_C_TYPE_UINT32:
		*(uint32_t *)member = (uint32_t)number();
		return;
	case PROTOBUF_C_TYPE_UINT64:
	case PROTOBUF_C_TYPE_FIXED64:
		*(uint64_t *)member = number();
		return;
	case PROTOBUF_C_TYPE_STRING:
		text = piece(n + 1);
		memset(text, 'a', n);
		*(char **)member =
			chance(10) || f->label == PROTOBUF_C_LABEL_REPEATED
				? text
				: NULL;
		return;
	case PROTOBUF_C_TYPE_BYTES:
		bytes->data = piece(n);
		bytes->len = n;
		return;
	case PROTOBUF_C_TYPE_MESSAGE:
		*(ProtobufCMessage **)member =
			depth ? fill(f->descriptor, depth - 1) : NULL;
		return;
	default:
		ck_abort_msg("%s: of another kind", f->name);
	}
}

static size_t size_of(ProtobufCType type)
{
	switch (type) {
	case PROTOBUF_C_TYPE_BOOL:
		return sizeof(protobuf_c_boolean);
	case PROTOBUF_C_TYPE_ENUM:
	case PROTOBUF_C_TYPE_UINT32:
		return 4;
	case PROTOBUF_C_TYPE_BYTES:
		return sizeof(ProtobufCBinaryData);
	default:
		return 8;
	}
}

static void fill_field(
	const ProtobufCFieldDescriptor *f, uint8_t *msg, unsigned depth)
{
	size_t n = chance(4), size = size_of(f->type);
	uint8_t *items;

	if (f->label == PROTOBUF_C_LABEL_REPEATED) {
		/* protobuf-c cannot pack an absent one of many. */
		if (f->type == PROTOBUF_C_TYPE_MESSAGE && !depth)
			n = 0;
		items = piece(n * size);
		for (size_t i = 0; i < n; i++)
			fill_value(f, items + i * size, depth);
		memcpy(msg + f->offset, &items, sizeof(items));
		memcpy(msg + f->quantifier_offset, &n, sizeof(n));
		return;
	}
	ck_assert_int_eq(f->label, PROTOBUF_C_LABEL_NONE);
	if (f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) {
		if (chance(4))
			return;
		memcpy(msg + f->quantifier_offset, &f->id, sizeof(f->id));
	} else if (chance(3) == 0) {
		return;
	}
	memset(msg + f->offset, 0, size);
	fill_value(f, msg + f->offset, depth);
}

static ProtobufCMessage *fill(
	const ProtobufCMessageDescriptor *d, unsigned depth)
{
	ProtobufCMessage *msg = piece(d->sizeof_message);

	protobuf_c_message_init(d, msg);
	for (unsigned i = 0; i < d->n_fields; i++)
		fill_field(&d->fields[i], (uint8_t *)msg, depth);
	if (chance(8) == 0) {
		msg->n_unknown_fields = 1 + chance(2);
		msg->unknown_fields = piece(
			msg->n_unknown_fields * sizeof(*msg->unknown_fields));
		for (unsigned i = 0; i < msg->n_unknown_fields; i++)
			msg->unknown_fields[i] = (ProtobufCMessageUnknownField){
				.tag = 5000 + i,
				.wire_type = PROTOBUF_C_WIRE_TYPE_VARINT,
				.len = 1,
				.data = (uint8_t *)(uintptr_t) "\x07",
			};
	}
	return msg;
}

static void compare(const ProtobufCMessage *msg)
{
	static uint8_t theirs[MESSAGE_MAX], ours[MESSAGE_MAX];
	size_t len = protobuf_c_message_get_packed_size(msg), n;
	uint8_t *bytes, *copy;

	ck_assert_uint_lt(len, sizeof(theirs));
	protobuf_c_message_pack(msg, theirs);
	ck_assert_int_eq(pack_message(msg, ours, sizeof(ours), &bytes, &n), 0);
	ck_assert_uint_eq(n, len);
	ck_assert_ptr_eq(bytes + n, ours + sizeof(ours));
	ck_assert_mem_eq(bytes, theirs, len);
	/* Exactly room enough, and one too few. */
	ck_assert_int_eq(pack_message(msg, ours, len, &bytes, &n), 0);
	ck_assert_ptr_eq(bytes, ours);
	if (len != 0)
		ck_assert_int_eq(pack_message(msg, ours, len - 1, &bytes, &n),
			ERR_TOO_BIG);
	copy = pack_new(msg, 24, &n);
	ck_assert(copy && n == len && memcmp(copy + 24, theirs, len) == 0);
	free(copy);
}

START_TEST(same_bytes)
{
	const ProtobufCMessageDescriptor *d = roots[_i % N_ROOTS];

	for (unsigned round = 0; round < 100; round++) {
		seed = (uint32_t)_i * 1000 + round;
		compare(fill(d, chance(DEPTH_MAX)));
		forget();
	}
}
END_TEST

/* chance() may pass over a body of Msg; each is packed here. */
START_TEST(every_body)
{
	const ProtobufCMessageDescriptor *d = &gh__msg__descriptor;

	for (unsigned i = 0; i < d->n_fields; i++) {
		Gh__Msg msg = GH__MSG__INIT;

		seed = i;
		msg.body_case = (Gh__Msg__BodyCase)d->fields[i].id;
		msg.hello = (Gh__Hello *)fill(d->fields[i].descriptor, 3);
		compare(&msg.base);
		forget();
	}
}
END_TEST

START_TEST(empty)
{
	Gh__Hello hello = GH__HELLO__INIT;
	uint8_t byte, *bytes, *copy;
	size_t len = 7;

	ck_assert_int_eq(pack_message(&hello.base, &byte, 0, &bytes, &len), 0);
	ck_assert_uint_eq(len, 0);
	copy = pack_new(&hello.base, 0, &len);
	ck_assert(copy && len == 0);
	free(copy);
}
END_TEST

/* What proto3 as we use it does not have. */
START_TEST(other_kinds)
{
	struct {
		ProtobufCMessage base;
		uint32_t value;
	} msg = {.value = 1};
	ProtobufCFieldDescriptor field = {.name = "value",
		.id = 1,
		.label = PROTOBUF_C_LABEL_NONE,
		.type = PROTOBUF_C_TYPE_SINT32,
		.offset = (unsigned)((uint8_t *)&msg.value - (uint8_t *)&msg)};
	ProtobufCMessageDescriptor d = {
		.magic = PROTOBUF_C__MESSAGE_DESCRIPTOR_MAGIC,
		.sizeof_message = sizeof(msg),
		.n_fields = 1,
		.fields = &field};
	uint8_t buffer[64], *bytes;
	size_t len;

	msg.base.descriptor = &d;
	field.type = PROTOBUF_C_TYPE_UINT32;
	ck_assert_int_eq(
		pack_message(&msg.base, buffer, sizeof(buffer), &bytes, &len),
		0);
	field.type = PROTOBUF_C_TYPE_DOUBLE;
	ck_assert_int_eq(
		pack_message(&msg.base, buffer, sizeof(buffer), &bytes, &len),
		ERR_INVALID);
	ck_assert_ptr_null(pack_new(&msg.base, 0, &len));
	field.type = PROTOBUF_C_TYPE_UINT32;
	field.label = PROTOBUF_C_LABEL_REQUIRED;
	ck_assert_int_eq(
		pack_message(&msg.base, buffer, sizeof(buffer), &bytes, &len),
		ERR_INVALID);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("pack");
	TCase *t = tcase_create("bytes");

	tcase_set_timeout(t, 60);
	tcase_add_loop_test(t, same_bytes, 0, (int)(3 * N_ROOTS));
	tcase_add_test(t, every_body);
	suite_add_tcase(s, t);
	suite_add(s, "empty", empty);
	suite_add(s, "other_kinds", other_kinds);
	return suite_run(s);
}
