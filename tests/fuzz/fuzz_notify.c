/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A packet of notify words as keeper and the daemons read it, and the texts
 * that stand in its values or in keeper's own files.
 */
#include <string.h>

#include "common/notify.h"
#include "keeper/listen.h"
#include "keeper/record.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/scratch.h"

static const char *const words[] = {"NAME", "READY", "STATUS", "STOPPING",
	"WATCHDOG", "FDSTORE", "FDNAME", "FDSTOREREMOVE", "LISTEN", "FDSDONE",
	"ERROR"};

static void check_listen(const char *text)
{
	struct listen_rule rule;
	struct listen_want want;

	if (listen_parse(text, &want) == 0) {
		FUZZ_CHECK((unsigned)want.kind < NOTIFY_KIND_COUNT);
		FUZZ_CHECK(want.local.family == AF_INET ||
			   want.local.family == AF_INET6);
		FUZZ_CHECK(!want.device[0] || device_name_ok(want.device));
	}
	if (listen_rule_parse(text, &rule) == 0) {
		FUZZ_CHECK(!rule.device[0] || device_name_ok(rule.device));
		FUZZ_CHECK((unsigned)rule.kind < NOTIFY_KIND_COUNT);
		FUZZ_CHECK(rule.first_port <= rule.last_port);
	}
}

static void check_words(const char *text, size_t len)
{
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		for (size_t size = 1; size <= NOTIFY_LINE_MAX; size *= 8) {
			char *value = malloc(size);
			int err;

			FUZZ_CHECK(value != NULL);
			err = notify_word(text, len, words[i], value, size);
			if (err == 0) {
				FUZZ_CHECK(memchr(value, '\0', size) != NULL);
				for (const char *c = value; *c; c++)
					FUZZ_CHECK((unsigned char)*c >= ' ' &&
						   *c != 0x7f);
				check_listen(value);
			}
			free(value);
		}
	}
}

static void check_records(const uint8_t *bytes, size_t len)
{
	struct record records[PROCESS_COUNT];
	size_t n = 0;

	scratch_write(RECORD_FILE, bytes, len);
	if (record_read(scratch_dir(), records, &n) != 0)
		return;
	FUZZ_CHECK(n <= PROCESS_COUNT);
	for (size_t i = 0; i < n; i++)
		FUZZ_CHECK((unsigned)records[i].process < PROCESS_COUNT &&
			   records[i].pid > 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	char *text;

	if (len > NOTIFY_TEXT_MAX)
		return 0;
	text = malloc(len + 1); /* as notify_recv_fds() gives it */
	FUZZ_CHECK(text != NULL);
	memcpy(text, bytes, len);
	text[len] = '\0';
	check_words(text, len);
	check_listen(text);
	check_records(bytes, len);
	free(text);
	return 0;
}
