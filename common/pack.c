/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The encoding of protobuf (its version 3), backwards; pack.h says why. Values
 * that are unset (zero, empty) are left out, fields come in the order of their
 * numbers, and what a newer version of us has sent along goes last, as
 * protobuf-c does it all. Does not decide what is sent. Called by ipc.c and by
 * whoever saves records.
 */
#include "common/pack.h"

#include <endian.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/secret.h"

/* Wire types, in the low bits of a tag. */
#define WIRE_VARINT 0u
#define WIRE_64     1u
#define WIRE_LENGTH 2u

/* Most messages fit, and need no second try in pack_new(). */
#define USUAL_SIZE  2048u

/* Where writing goes on: the next byte stands before `at`. */
struct packer {
	uint8_t *start;
	uint8_t *at;
	int err;
};

static bool has_room(struct packer *p, size_t n)
{
	if (n <= (size_t)(p->at - p->start))
		return true;
	if (p->err == 0)
		p->err = ERR_TOO_BIG;
	return false;
}

static void put_bytes(struct packer *p, const void *bytes, size_t n)
{
	if (n == 0 || !has_room(p, n))
		return;
	p->at -= n;
	memcpy(p->at, bytes, n);
}

static void put_long_varint(struct packer *p, uint64_t value)
{
	size_t n = 1;

	for (uint64_t v = value >> 7; v != 0; v >>= 7)
		n++;
	if (!has_room(p, n))
		return;
	p->at -= n;
	for (size_t i = 0; i + 1 < n; i++, value >>= 7)
		p->at[i] = (uint8_t)(value | 0x80);
	p->at[n - 1] = (uint8_t)value;
}

/* Nearly all are one byte: tags, lengths, small numbers. */
static inline void put_varint(struct packer *p, uint64_t value)
{
	if (value < 0x80 && p->at != p->start)
		*--p->at = (uint8_t)value;
	else
		put_long_varint(p, value);
}

static void put_tag(struct packer *p, uint32_t field, unsigned wire)
{
	put_varint(p, (uint64_t)field << 3 | wire);
}

static void put_message(struct packer *p, const ProtobufCMessage *msg);

static size_t size_of(ProtobufCType type)
{
	switch (type) {
	case PROTOBUF_C_TYPE_BOOL:
		return sizeof(protobuf_c_boolean);
	case PROTOBUF_C_TYPE_ENUM:
	case PROTOBUF_C_TYPE_UINT32:
		return sizeof(uint32_t);
	case PROTOBUF_C_TYPE_UINT64:
	case PROTOBUF_C_TYPE_FIXED64:
		return sizeof(uint64_t);
	case PROTOBUF_C_TYPE_STRING:
	case PROTOBUF_C_TYPE_MESSAGE:
		return sizeof(void *);
	case PROTOBUF_C_TYPE_BYTES:
		return sizeof(ProtobufCBinaryData);
	default:
		return 0;
	}
}

/* A value without its tag, also one that is unset. @return its wire type. */
static inline unsigned put_value(
	struct packer *p, ProtobufCType type, const void *member)
{
	const ProtobufCBinaryData *bytes = member;
	const ProtobufCMessage *inner;
	const uint8_t *end = p->at;
	const char *text;
	uint64_t value;

	switch (type) {
	case PROTOBUF_C_TYPE_BOOL:
		put_varint(p, *(const protobuf_c_boolean *)member ? 1 : 0);
		return WIRE_VARINT;
	case PROTOBUF_C_TYPE_ENUM: /* its sign is extended */
		put_varint(p, (uint64_t)(int64_t) * (const int32_t *)member);
		return WIRE_VARINT;
	case PROTOBUF_C_TYPE_UINT32:
		put_varint(p, *(const uint32_t *)member);
		return WIRE_VARINT;
	case PROTOBUF_C_TYPE_UINT64:
		put_varint(p, *(const uint64_t *)member);
		return WIRE_VARINT;
	case PROTOBUF_C_TYPE_FIXED64:
		value = htole64(*(const uint64_t *)member);
		put_bytes(p, &value, sizeof(value));
		return WIRE_64;
	case PROTOBUF_C_TYPE_STRING:
		text = *(const char *const *)member;
		if (text != NULL)
			put_bytes(p, text, strlen(text));
		break;
	case PROTOBUF_C_TYPE_BYTES:
		put_bytes(p, bytes->data, bytes->len);
		break;
	case PROTOBUF_C_TYPE_MESSAGE:
		inner = *(const ProtobufCMessage *const *)member;
		if (inner != NULL)
			put_message(p, inner);
		break;
	default:
		p->err = ERR_INVALID;
		break;
	}
	put_varint(p, (uint64_t)(end - p->at));
	return WIRE_LENGTH;
}

/* Most values of most messages are. */
static inline bool is_unset(ProtobufCType type, const void *member)
{
	const char *text;

	switch (type) {
	case PROTOBUF_C_TYPE_ENUM:
	case PROTOBUF_C_TYPE_UINT32:
		return *(const uint32_t *)member == 0;
	case PROTOBUF_C_TYPE_BOOL:
		return !*(const protobuf_c_boolean *)member;
	case PROTOBUF_C_TYPE_STRING:
		text = *(const char *const *)member;
		return text == NULL || *text == '\0';
	case PROTOBUF_C_TYPE_BYTES:
		return ((const ProtobufCBinaryData *)member)->len == 0;
	case PROTOBUF_C_TYPE_MESSAGE:
		return *(const void *const *)member == NULL;
	case PROTOBUF_C_TYPE_UINT64:
	case PROTOBUF_C_TYPE_FIXED64:
		return *(const uint64_t *)member == 0;
	default:
		return false;
	}
}

static void put_repeated(struct packer *p, const ProtobufCFieldDescriptor *f,
	const uint8_t *items, size_t n)
{
	size_t size = size_of(f->type);
	const uint8_t *end = p->at;
	bool packed = (f->flags & PROTOBUF_C_FIELD_FLAG_PACKED) != 0;

	if (n == 0)
		return;
	while (n-- > 0 && p->err == 0) {
		unsigned wire = put_value(p, f->type, items + n * size);

		if (!packed)
			put_tag(p, f->id, wire);
	}
	if (!packed)
		return;
	put_varint(p, (uint64_t)(end - p->at));
	put_tag(p, f->id, WIRE_LENGTH);
}

/* The message or text that was chosen may be missing; a number that was chosen
 * counts also where it is zero. */
static bool is_chosen(const ProtobufCFieldDescriptor *f, const uint8_t *msg)
{
	const void *member = msg + f->offset;
	uint32_t chosen =
		*(const uint32_t *)(const void *)(msg + f->quantifier_offset);

	return chosen == f->id && ((f->type != PROTOBUF_C_TYPE_MESSAGE &&
					   f->type != PROTOBUF_C_TYPE_STRING) ||
					  *(const void *const *)member != NULL);
}

static inline void put_field(
	struct packer *p, const ProtobufCFieldDescriptor *f, const uint8_t *msg)
{
	const void *member = msg + f->offset;

	if (f->label == PROTOBUF_C_LABEL_REPEATED) {
		put_repeated(p, f, *(const uint8_t *const *)member,
			*(const size_t *)(const void *)(msg +
							f->quantifier_offset));
		return;
	}
	if (f->label != PROTOBUF_C_LABEL_NONE) {
		p->err = ERR_INVALID;
		return;
	}
	if (f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF ? !is_chosen(f, msg)
						   : is_unset(f->type, member))
		return;
	put_tag(p, f->id, put_value(p, f->type, member));
}

static void put_unknown(struct packer *p, const ProtobufCMessage *msg)
{
	for (unsigned i = msg->n_unknown_fields; i-- > 0;) {
		const ProtobufCMessageUnknownField *f = &msg->unknown_fields[i];

		put_bytes(p, f->data, f->len);
		put_tag(p, f->tag, f->wire_type);
	}
}

static void put_message(struct packer *p, const ProtobufCMessage *msg)
{
	const ProtobufCMessageDescriptor *d = msg->descriptor;

	put_unknown(p, msg);
	for (unsigned i = d->n_fields; i-- > 0 && p->err == 0;)
		put_field(p, &d->fields[i], (const uint8_t *)msg);
}

int pack_message(const ProtobufCMessage *msg, uint8_t *buffer, size_t size,
	uint8_t **bytes_out, size_t *len_out)
{
	struct packer p = {.start = buffer, .at = buffer + size};

	put_message(&p, msg);
	if (p.err != 0)
		return p.err;
	*bytes_out = p.at;
	*len_out = (size_t)(buffer + size - p.at);
	return 0;
}

void *pack_new(const ProtobufCMessage *msg, size_t room, size_t *len_out)
{
	uint8_t usual[USUAL_SIZE], *bytes = NULL, *made = NULL;
	size_t len;
	int err = pack_message(msg, usual, sizeof(usual), &bytes, &len);

	if (err == ERR_TOO_BIG) {
		len = protobuf_c_message_get_packed_size(msg);
		made = malloc(room + len);
		if (made == NULL || pack_message(msg, made + room, len, &bytes,
					    &len) != 0) {
			secret_wipe(usual, sizeof(usual));
			free(made);
			return NULL;
		}
		secret_wipe(usual, sizeof(usual));
	} else if (err == 0) {
		made = malloc(room + len != 0 ? room + len : 1);
		if (made != NULL && len != 0)
			memcpy(made + room, bytes, len);
		secret_wipe(bytes, len);
	}
	if (made != NULL)
		*len_out = len;
	return made;
}
