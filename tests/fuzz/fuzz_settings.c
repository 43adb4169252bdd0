/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A snapshot of settings from authd: pieces and the end, each as a packet with
 * two bytes of length before it. What is taken is whole; what is refused has a
 * reason and says which row.
 */
#include <string.h>

#include "common/ipc.h"
#include "sbc/settings.h"
#include "tests/fuzz/fuzz.h"

static void finish(struct settings_collector *c, const Gh__SettingsDone *done)
{
	char problem[SETTINGS_PROBLEM_SIZE] = "";
	enum reason why = REASON_NONE;
	struct settings *s = NULL;
	struct addr a = {0};
	int err = settings_finish(c, done, &s, &why, problem);

	if (err) {
		FUZZ_CHECK(s == NULL);
		FUZZ_CHECK(err == ERR_NOMEM || why == REASON_SETTINGS_INVALID ||
			   why == REASON_SETTINGS_INCOMPLETE);
		FUZZ_CHECK(memchr(problem, '\0', sizeof(problem)) != NULL);
		return;
	}
	FUZZ_CHECK(s != NULL);
	(void)settings_realm(s, 1);
	(void)settings_trunk(s, 1);
	(void)settings_codec_list(s, 1);
	(void)settings_number(s, "sip_t1_ms", 500, 1, 10000);
	FUZZ_CHECK(addr_parse("192.0.2.1:5060", &a) == 0);
	(void)settings_listener(s, &a, GH__TRANSPORT__TRANSPORT_UDP);
	settings_unref(&s);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	struct settings_collector *c = NULL;
	size_t at = 0;

	FUZZ_CHECK(settings_collector_new(&c) == 0);
	while (len - at >= 2) {
		size_t n = (size_t)bytes[at] << 8 | bytes[at + 1];
		Gh__Msg *msg;

		at += 2;
		if (n > len - at)
			n = len - at;
		msg = ipc_decode(bytes + at, n);
		at += n;
		if (!msg)
			continue;
		if (msg->body_case == GH__MSG__BODY_SETTINGS_PIECE) {
			int err = settings_collect(c, msg->settings_piece);

			/* One with a field number that the library reads but
			 * does not write again can not be copied. */
			FUZZ_CHECK(err == 0 || err == ERR_NOMEM);
		}
		if (msg->body_case == GH__MSG__BODY_SETTINGS_DONE)
			finish(c, msg->settings_done);
		ipc_msg_free(msg);
	}
	settings_collector_free(&c);
	return 0;
}
