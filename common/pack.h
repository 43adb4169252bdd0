/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Packing protobuf messages in one pass. protobuf-c asks for the size of a
 * message first, and for the size of each message inside it once more at every
 * level; a record of a call was 43,000 instructions that way and is 9,000 here.
 * The bytes are the same to the last one.
 *
 * Written from the end of a buffer to its start, so that a length is known when
 * it is written. Only what common/ipc.proto has (proto3): bool, enum, uint32,
 * uint64, fixed64, string, bytes, message, repeated and oneof; a test walks all
 * its messages.
 */
#ifndef COMMON_PACK_H
#define COMMON_PACK_H

#include <stddef.h>
#include <stdint.h>

#include <protobuf-c/protobuf-c.h>

#include "common/err.h"

/** Packs msg into the last bytes of a buffer.
 * @param bytes_out where they begin.
 * @param len_out how many they are; 0 is a message without values.
 * @return 0; ERR_TOO_BIG if there is no room; ERR_INVALID for a field of a kind
 *	that is not in the list above. The buffer has parts of msg in it then.
*/
GH_MUST_CHECK int pack_message(const ProtobufCMessage *msg, uint8_t *buffer,
	size_t size, uint8_t **bytes_out, size_t *len_out);

/** Packs msg into memory of its own, behind `room` bytes for the caller.
 * @return what the caller frees, and wipes if msg has secrets; NULL if memory
 *	is short or msg is not to be packed. */
void *pack_new(const ProtobufCMessage *msg, size_t room, size_t *len_out);

#endif
