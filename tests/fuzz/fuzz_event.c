// SPDX-License-Identifier: Apache-2.0
/*
 * Bodies of event packages; the first line names the package. What is written
 * of a body has no host but ours, no address, is whole UTF-8 without control
 * characters, and is taken again as it is: a second pass changes only names.
 */
#include <string.h>

#include "sbc/event_body.h"
#include "sbc/utf8.h"
#include "tests/fuzz/fuzz.h"

static bool no_dialog(void *ctx, const char *call_id, const char *tag,
	const char *other_tag, struct event_dialog *out)
{
	(void)ctx;
	(void)out;
	FUZZ_CHECK(call_id && tag && other_tag);
	return false;
}

static const struct event_ids ids = {
	.key = "0123456789abcde",
	.find = no_dialog,
};

static enum reason rebuild(su_home_t *home, const struct event_package *p,
	const char *text, size_t len, const char **out)
{
	const struct event_body b = {
		.home = home,
		.entity = "sip:701@phones.example",
		.domain = "phones.example",
		.ids = &ids,
	};

	return event_body_rebuild(
		p, &b, p->type, (struct span){text, len}, out);
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static void check_written(const char *text)
{
	size_t len = strlen(text);
	uint32_t c = 0;

	FUZZ_CHECK(len < EVENT_BODY_MAX);
	for (size_t at = 0; at < len;) {
		int n = utf8_decode(text + at, len - at, &c);

		FUZZ_CHECK(n > 0);
		FUZZ_CHECK(c >= 0x20 || c == '\r' || c == '\n');
		at += (size_t)n;
	}
	for (const char *s = text; *s; s++) {
		if (*s == '@')
			FUZZ_CHECK(!strncmp(s, "@phones.example", 15));
		/* Two dots between digits: an address. */
		if (*s == '.' && s > text && is_digit(s[-1])) {
			const char *d = s + 1;

			while (is_digit(*d))
				d++;
			FUZZ_CHECK(d == s + 1 || *d != '.');
		}
	}
	FUZZ_CHECK(!strstr(text, "[") && !strstr(text, "<!"));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	su_home_t home[1] = {SU_HOME_INIT(home)};
	const char *text = (const char *)bytes, *out = NULL, *again = NULL;
	const char *line = len ? memchr(text, '\n', len) : NULL;
	const struct event_package *p;
	char name[32] = "";
	enum reason why;

	if (!line || line - text >= (int)sizeof(name))
		return 0;
	memcpy(name, text, (size_t)(line - text));
	p = event_package_find(name);
	if (!p)
		return 0;
	len -= (size_t)(line + 1 - text);
	su_home_init(home);
	why = rebuild(home, p, line + 1, len, &out);
	FUZZ_CHECK(why == REASON_EVENT_OK || reason_sip(why) >= 400);
	FUZZ_CHECK(why == REASON_EVENT_OK || !out);
	if (out) {
		check_written(out);
		/* Twice as long it might not fit. */
		why = rebuild(home, p, out, strlen(out), &again);
		FUZZ_CHECK(why == REASON_EVENT_OK && again);
		FUZZ_CHECK(strlen(again) == strlen(out));
	}
	su_home_deinit(home);
	return 0;
}
