/* SPDX-License-Identifier: Apache-2.0 */
/* sbcctl's answers for human eyes. */
#include <stdio.h>
#include <string.h>

#include "ctl/show.h"
#include "tests/unit/suite.h"

/* Shows json. @return the text; free() it; NULL if it was refused. */
static char *shown(const char *json)
{
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);
	int err;

	ck_assert_ptr_nonnull(out);
	err = show_answer(out, json);
	(void)fclose(out);
	if (!err)
		return text;
	ck_assert_int_eq(err, ERR_INVALID);
	ck_assert_uint_eq(size, 0);
	free(text);
	return NULL;
}

static const struct {
	const char *json, *want;
} answers[] = {
	{"{\"format\":1}", ""},
	{"{\"format\":1,\"process\":\"sbc\",\"calls\":3,\"full\":true,"
	 "\"none\":null,\"no\":false,\"rate\":0.5}",
		"process                  sbc\n"
		"calls                    3\n"
		"full                     yes\n"
		"none                     -\n"
		"no                       no\n"
		"rate                     0.5\n"},
	/* numbers that a double does not hold */
	{"{\"n\":9223372036854775807,\"m\":-9223372036854775808}",
		"n                        9223372036854775807\n"
		"m                        -9223372036854775808\n"},
	/* objects inside, as deep as they come */
	{"{\"stats\":{\"a\":1,\"inner\":{\"b\":2}},\"format\":1}",
		"stats\n"
		"  a                      1\n"
		"  inner\n"
		"    b                    2\n"},
	/* format inside is a member like others */
	{"{\"x\":{\"format\":\"pcap\"}}", "x\n"
					  "  format                 pcap\n"},
	/* a table: columns of all rows, as wide as their widest cell */
	{"{\"format\":1,\"calls\":["
	 "{\"call\":\"0123456789ABCDEF\",\"from\":\"20\",\"s\":1},"
	 "{\"call\":\"X\",\"from\":\"+49123\",\"s\":22,\"late\":null},"
	 "{\"from\":[1,{\"a\":\"b\"}]}]}",
		"calls\n"
		"call             from          s  late\n"
		"0123456789ABCDEF 20            1  -   \n"
		"X                +49123        22 -   \n"
		"-                [1,{\"a\":\"b\"}] -  -   \n"},
	/* lists that are no tables */
	{"{\"a\":[],\"b\":[1,2],\"c\":[\"x\"]}",
		"a                        []\n"
		"b                        [1,2]\n"
		"c                        [\"x\"]\n"},
	/* a row that is no object */
	{"{\"t\":[{\"a\":1},5,{\"a\":2}]}", "t\na\n1\n-\n2\n"},
	/* a table inside an object */
	{"{\"o\":{\"t\":[{\"a\":1,\"b\":2}]}}", "o\n  t\n  a b\n  1 2\n"},
	/* characters, not bytes, fill a column */
	{"{\"t\":[{\"a\":\"gr\xc3\xbc\xc3\x9f\",\"b\":1},"
	 "{\"a\":\"12345\",\"b\":2}]}",
		"t\na     b\ngr\xc3\xbc\xc3\x9f  1\n12345 2\n"},
	/* nothing drives the terminal: C0, DEL, C1, direction, no width */
	{"{\"v\":\"a\\u001b[2J\\n\\r\\t\\u0007\\u007f\\u009b1m\\u202e\\u200b"
	 "\\ufeffz\"}",
		"v                        a?[2J??????1m???z\n"},
	{"{\"k\\u001b]\":\"\"}", "k?]                      \n"},
	{"{\"t\":[{\"k\\u001b\":1}]}", "t\nk?\n1 \n"},
	{"{\"t\":[\"\\u001b\"]}", "t                        [\"\\u001B\"]\n"},
	{"{\"t\":[\"\\u009b\"]}", "t                        [\"?\"]\n"},
	/* refused whole */
	{"", NULL},
	{"[]", NULL},
	{"7", NULL},
	{"null", NULL},
	{"{\"a\":1", NULL},
	{"{\"a\":1}{", NULL},
	{"{\"a\":1,\"a\":2}", NULL},
	{"{\"a\":\"\xff\"}", NULL},
	{"{\"a\":\"\\ud800\"}", NULL},
};

START_TEST(test_answers)
{
	for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
		char *text = shown(answers[i].json);

		if (answers[i].want)
			ck_assert_msg(text, "%s", answers[i].json);
		ck_assert_pstr_eq(text, answers[i].want);
		free(text);
	}
}
END_TEST

/* A long value is cut between characters; a wide answer loses columns, not
 * the program. */
START_TEST(test_bounds)
{
	char json[4096], *text;
	size_t n;

	n = (size_t)snprintf(json, sizeof(json), "{\"v\":\"x");
	for (int i = 0; i < 300; i++)
		n += (size_t)snprintf(
			json + n, sizeof(json) - n, "\xe2\x82\xac");
	(void)snprintf(json + n, sizeof(json) - n, "\"}");
	text = shown(json);
	ck_assert_ptr_nonnull(text);
	n = strlen(text);
	ck_assert_uint_eq(n, 25 + 1 + 84 * 3 + 1);
	ck_assert_mem_eq(text + n - 4, "\xe2\x82\xac\n", 4);
	free(text);

	n = (size_t)snprintf(json, sizeof(json), "{\"t\":[{\"k0\":0");
	for (int i = 1; i < 60; i++)
		n += (size_t)snprintf(
			json + n, sizeof(json) - n, ",\"k%d\":%d", i, i);
	(void)snprintf(json + n, sizeof(json) - n, "}]}");
	text = shown(json);
	ck_assert_ptr_nonnull(strstr(text, "k23"));
	ck_assert_ptr_null(strstr(text, "k24"));
	free(text);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("show");

	suite_add(s, "answers", test_answers);
	suite_add(s, "bounds", test_bounds);
	return suite_run(s);
}
