/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading one message and wiping the secrets in it (ipc.h). Bytes come from
 * another process, so a message is refused where protobuf-c refuses it, where
 * it is over the bound, or where it has no body that this version knows. Which
 * fields are secrets stands here and in ipc.proto, nowhere else.
 */
#include "common/ipc.h"

#include "common/secret.h"

static void wipe_bytes(ProtobufCBinaryData *b)
{
	if (b->data)
		secret_wipe(b->data, b->len);
}

static void wipe_side(Gh__MediaSide *side)
{
	if (side && side->receive)
		wipe_bytes(&side->receive->master);
	if (side && side->send)
		wipe_bytes(&side->send->master);
}

void ipc_msg_wipe(Gh__Msg *msg)
{
	if (msg->body_case == GH__MSG__BODY_NONCE_KEYS && msg->nonce_keys) {
		if (msg->nonce_keys->current)
			wipe_bytes(&msg->nonce_keys->current->key);
		if (msg->nonce_keys->previous)
			wipe_bytes(&msg->nonce_keys->previous->key);
	}
	if (msg->body_case == GH__MSG__BODY_SESSION_WANT && msg->session_want) {
		wipe_side(msg->session_want->caller);
		wipe_side(msg->session_want->called);
	}
}

void ipc_msg_free(Gh__Msg *msg)
{
	if (!msg)
		return;
	ipc_msg_wipe(msg);
	gh__msg__free_unpacked(msg, NULL);
}

Gh__Msg *ipc_decode(const uint8_t *bytes, size_t len)
{
	Gh__Msg *msg;

	if (!len || len > IPC_MESSAGE_MAX)
		return NULL;
	msg = gh__msg__unpack(NULL, len, bytes);
	if (msg && msg->body_case == GH__MSG__BODY__NOT_SET) {
		ipc_msg_free(msg);
		return NULL;
	}
	return msg;
}
