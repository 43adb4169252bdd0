/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A packet from another process: what can be read is a message that can be
 * packed and read again to the same bytes; nothing in it is a null text; and
 * the readers of sbc and mediad that believe nothing take it.
 */
#include <string.h>

#include "common/ipc.h"
#include "common/nonce.h"
#include "mediad/want.h"
#include "tests/fuzz/fuzz.h"

static void check_again(const Gh__Msg *msg)
{
	size_t len = gh__msg__get_packed_size(msg), again;
	uint8_t *bytes = malloc(len ? len : 1), *other;
	Gh__Msg *back;

	FUZZ_CHECK(bytes != NULL && gh__msg__pack(msg, bytes) == len);
	/* Fields that our list has not are carried as they were, and number 0
	 * among them, which the reader takes once only. */
	back = len <= IPC_MESSAGE_MAX ? ipc_decode(bytes, len) : NULL;
	if (back) {
		FUZZ_CHECK(back->body_case == msg->body_case);
		again = gh__msg__get_packed_size(back);
		FUZZ_CHECK(again == len);
		other = malloc(again ? again : 1);
		FUZZ_CHECK(other != NULL);
		FUZZ_CHECK(gh__msg__pack(back, other) == len);
		FUZZ_CHECK(memcmp(bytes, other, len) == 0);
		free(other);
		ipc_msg_free(back);
	}
	free(bytes);
}

static void check_want(const Gh__SessionWant *msg)
{
	const char *problem = NULL;
	struct want want;

	if (want_read(msg, &want, &problem) != 0) {
		FUZZ_CHECK(problem != NULL && *problem);
		return;
	}
	FUZZ_CHECK(ident_is_call(want.call));
	want_done(&want);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	Gh__Msg *msg = ipc_decode(bytes, len);
	struct nonce_keys keys = {0};

	if (!msg)
		return 0;
	FUZZ_CHECK(msg->body_case != GH__MSG__BODY__NOT_SET);
	check_again(msg);
	if (msg->body_case == GH__MSG__BODY_NONCE_KEYS &&
		nonce_keys_read(msg->nonce_keys, &keys) == 0)
		FUZZ_CHECK(keys.current.id != 0 && keys.lifetime_s != 0);
	if (msg->body_case == GH__MSG__BODY_SESSION_WANT)
		check_want(msg->session_want);
	ipc_msg_wipe(msg);
	ipc_msg_free(msg);
	return 0;
}
