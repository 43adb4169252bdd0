/* SPDX-License-Identifier: Apache-2.0 */
/* The JSON writer: what it writes is read back by another library, so that a
 * mistake is not made twice. */
#include <jansson.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "common/json.h"
#include "tests/unit/suite.h"

static char *ended(struct json *j)
{
	char *text = NULL;

	ck_assert_int_eq(json_end(j, &text), 0);
	ck_assert_ptr_nonnull(text);
	ck_assert_ptr_null(j->text);
	return text;
}

static json_t *parsed(struct json *j)
{
	json_error_t error;
	char *text = ended(j);
	json_t *root = json_loads(text, JSON_REJECT_DUPLICATES, &error);

	ck_assert_msg(root, "%s: %s", error.text, text);
	free(text);
	return root;
}

START_TEST(test_exact)
{
	struct json j;
	char *text;

	json_begin(&j);
	text = ended(&j);
	ck_assert_str_eq(text, "{}");
	free(text);

	json_begin(&j);
	json_uint(&j, "most", UINT64_MAX);
	json_int(&j, "least", INT64_MIN);
	json_bool(&j, "yes", true);
	json_bool(&j, "no", false);
	json_str(&j, "text", "a");
	json_str(&j, "none", NULL);
	json_time(&j, "never", 0);
	json_time(&j, "then", 1000001);
	json_open_array(&j, "rows");
	json_open_object(&j, NULL);
	json_uint(&j, "n", 1);
	json_close_object(&j);
	json_open_object(&j, NULL);
	json_close_object(&j);
	json_str(&j, NULL, "word");
	json_open_array(&j, NULL);
	json_close_array(&j);
	json_close_array(&j);
	json_open_object(&j, "inner");
	json_close_object(&j);
	json_bool(&j, "last", true);
	text = ended(&j);
	ck_assert_str_eq(text,
		"{\"most\":18446744073709551615,"
		"\"least\":-9223372036854775808,\"yes\":true,\"no\":false,"
		"\"text\":\"a\",\"none\":null,\"never\":null,"
		"\"then\":\"1970-01-01T00:00:01.000001Z\","
		"\"rows\":[{\"n\":1},{},\"word\",[]],\"inner\":{},"
		"\"last\":true}");
	free(text);
}
END_TEST

/* What goes in, and what a reader gets. */
static const struct {
	const char *in, *out;
} texts[] = {
	{"", ""},
	{"plain", "plain"},
	{"\"quoted\" \\ and }],{", "\"quoted\" \\ and }],{"},
	{"tab\tline\r\nbell\a\x1b[2J\x7f", "tab\tline\r\nbell\a\x1b[2J\x7f"},
	{"gr\xc3\xbc\xc3\x9f", "gr\xc3\xbc\xc3\x9f"},
	{"\xe2\x82\xac \xf0\x9f\x93\x9e", "\xe2\x82\xac \xf0\x9f\x93\x9e"},
	{"\xf4\x8f\xbf\xbf", "\xf4\x8f\xbf\xbf"}, /* U+10FFFF */
	/* each bad byte becomes one U+FFFD */
	{"\xff", "\xef\xbf\xbd"},
	{"\x80", "\xef\xbf\xbd"},
	{"\xc3", "\xef\xbf\xbd"},     /* cut short */
	{"\xc3\"", "\xef\xbf\xbd\""}, /* takes no quote with it */
	{"\xe2\x82", "\xef\xbf\xbd\xef\xbf\xbd"},
	{"\xc0\xaf", "\xef\xbf\xbd\xef\xbf\xbd"}, /* overlong */
	{"\xc1\xbf", "\xef\xbf\xbd\xef\xbf\xbd"},
	{"\xe0\x80\xaf", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
	{"\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"}, /* U+D800 */
	{"\xf0\x80\x80\xaf",
		"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
	{"\xf4\x90\x80\x80",
		"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
};

START_TEST(test_texts)
{
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		const char *key;
		struct json j;
		json_t *root, *value;

		json_begin(&j);
		json_str(&j, "v", texts[i].in);
		json_open_object(&j, texts[i].in); /* a key is text as well */
		json_close_object(&j);
		root = parsed(&j);
		ck_assert_str_eq(json_string_value(json_object_get(root, "v")),
			texts[i].out);
		ck_assert_uint_eq(json_object_size(root), 2);
		json_object_foreach(root, key, value)
		{
			if (json_is_object(value))
				ck_assert_str_eq(key, texts[i].out);
		}
		json_decref(root);
	}
}
END_TEST

static bool is_quiet(const char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < 0x20 || *text == 0x7f)
			return false;
	return true;
}

/* Every pair of bytes: the reader always gets one string, and nothing in the
 * text itself could drive a terminal or end a line. */
START_TEST(test_all_bytes)
{
	for (int a = 1; a < 256; a++) {
		for (int b = 0; b < 256; b++) {
			char in[3] = {(char)a, (char)b, '\0'};
			json_error_t error;
			struct json j;
			json_t *root;
			char *text = NULL;

			json_begin(&j);
			json_str(&j, "v", in);
			if (json_end(&j, &text) != 0)
				ck_abort_msg("%02x %02x", a, b);
			root = json_loads(text, 0, &error);
			/* Check pays for each assertion, so one for all. */
			if (json_object_size(root) != 1 || !is_quiet(text))
				ck_abort_msg("%02x %02x: %s", a, b, text);
			json_decref(root);
			free(text);
		}
	}
}
END_TEST

/* The bound: the writer says so at the end, once, and holds no memory. */
START_TEST(test_bound)
{
	static char big[JSON_SIZE_MAX + 1];
	struct json j;
	char *text = (char *)"untouched";
	size_t n;

	memset(big, 'b', sizeof(big) - 1);
	json_begin(&j);
	json_str(&j, "v", big);
	json_str(&j, "after", "small");
	json_close_object(&j);
	ck_assert_int_eq(json_end(&j, &text), ERR_TOO_BIG);
	ck_assert_str_eq(text, "untouched");
	ck_assert_ptr_null(j.text);

	/* By many small members. */
	json_begin(&j);
	for (n = 0; n < JSON_SIZE_MAX; n++)
		json_uint(&j, "number", n);
	ck_assert_int_eq(json_end(&j, &text), ERR_TOO_BIG);

	/* The largest that fits fits. */
	n = JSON_SIZE_MAX - strlen("{\"v\":\"\"}") - 1;
	big[n] = '\0';
	json_begin(&j);
	json_str(&j, "v", big);
	text = ended(&j);
	ck_assert_uint_eq(strlen(text), JSON_SIZE_MAX - 1);
	free(text);
	big[n] = 'b';
	big[n + 1] = '\0';
	json_begin(&j);
	json_str(&j, "v", big);
	ck_assert_int_eq(json_end(&j, &text), ERR_TOO_BIG);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("json");

	suite_add(s, "exact", test_exact);
	suite_add(s, "texts", test_texts);
	suite_add(s, "all_bytes", test_all_bytes);
	suite_add(s, "bound", test_bound);
	return suite_run(s);
}
