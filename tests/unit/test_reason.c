/* SPDX-License-Identifier: Apache-2.0 */
/* The tables of reasons and counters are sound: they are stored, printed and
 * documented. */
#include <ctype.h>
#include <stdbool.h>
#include <string.h>

#include "common/reason.h"
#include "common/stat.h"
#include "tests/unit/suite.h"

static bool is_snake(const char *text)
{
	return islower((unsigned char)text[0]) &&
	       text[strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789_")] ==
		       '\0';
}

START_TEST(test_unique)
{
	unsigned i, j;

	for (i = 0; i < REASON_COUNT; i++) {
		for (j = i + 1; j < REASON_COUNT; j++) {
			ck_assert_msg(reason_number(i) != reason_number(j),
				"%s", reason_text(i));
			ck_assert_str_ne(reason_text(i), reason_text(j));
			ck_assert_str_ne(
				reason_sentence(i), reason_sentence(j));
		}
	}
}
END_TEST

START_TEST(test_rows)
{
	enum reason back;
	unsigned i;

	for (i = 0; i < REASON_COUNT; i++) {
		const char *sentence = reason_sentence(i);
		unsigned sip = reason_sip(i);
		size_t len = strlen(sentence);

		ck_assert_int_eq(
			reason_from_number(reason_number(i), &back), 0);
		ck_assert_int_eq(back, (int)i);
		ck_assert_msg(is_snake(reason_text(i)), "%s", reason_text(i));
		ck_assert_msg(
			len > 10 && sentence[len - 1] == '.', "%s", sentence);
		ck_assert_msg(!strpbrk(sentence, "\n\t\""), "%s", sentence);
		ck_assert_msg(isupper((unsigned char)sentence[0]) ||
				      islower((unsigned char)sentence[0]),
			"%s", sentence);
		/* 0 or a final status; a challenge or refusal never is 2xx by
		 * mistake of a digit. */
		ck_assert_msg(
			sip == 0 || sip == 200 || (sip >= 300 && sip < 700),
			"%s %u", reason_text(i), sip);
		if (sip)
			ck_assert_msg(
				!strstr(reason_sip_phrase(sip), "Failure") &&
					strcmp(reason_sip_phrase(sip),
						"Unknown"),
				"%u", sip);
	}
	ck_assert_int_eq(reason_number(REASON_NONE), 0);
	ck_assert_int_eq(reason_from_number(99999, &back), ERR_NOT_FOUND);
	/* What is no reason reads as none rather than as another row. */
	ck_assert_str_eq(reason_text(REASON_COUNT), "none");
	ck_assert_str_eq(reason_text((enum reason) - 1), "none");
}
END_TEST

START_TEST(test_counts)
{
	reason_count(REASON_ADMIT_OK);
	reason_count_add(REASON_ADMIT_OK, 9);
	ck_assert_uint_eq(reason_counted(REASON_ADMIT_OK), 10);
	ck_assert_uint_eq(reason_counted(REASON_AUTH_OK), 0);
	reason_count(REASON_COUNT);
	ck_assert_uint_eq(reason_counted(REASON_COUNT), 0);
}
END_TEST

START_TEST(test_phrases)
{
	static const struct {
		unsigned status;
		const char *text;
	} rows[] = {
		{100, "Trying"},
		{200, "OK"},
		{401, "Unauthorized"},
		{423, "Interval Too Brief"},
		{481, "Call/Transaction Does Not Exist"},
		{488, "Not Acceptable Here"},
		{503, "Service Unavailable"},
		{603, "Decline"},
		{199, "Early Dialog Terminated"},
		{299, "Success"},
		{499, "Request Failure"},
		{599, "Server Failure"},
		{699, "Global Failure"},
		{0, "Unknown"},
		{99, "Unknown"},
		{700, "Unknown"},
		{4294967295U, "Unknown"},
	};
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		ck_assert_str_eq(
			reason_sip_phrase(rows[i].status), rows[i].text);
}
END_TEST

START_TEST(test_stats)
{
	unsigned i, j;

	for (i = 0; i < STAT_COUNT; i++) {
		const char *name = stat_name(i);
		size_t len = strlen(name);
		bool total = len > 6 && !strcmp(name + len - 6, "_total");

		ck_assert_msg(is_snake(name), "%s", name);
		ck_assert_msg(
			total == (stat_kind(i) == STAT_COUNTER), "%s", name);
		ck_assert_ptr_nonnull(stat_help(i));
		for (j = i + 1; j < STAT_COUNT; j++)
			ck_assert_str_ne(name, stat_name(j));
	}
	stat_set(STAT_CALLS, 3);
	stat_add(STAT_CALLS, 2);
	ck_assert_uint_eq(stat_get(STAT_CALLS), 5);
	ck_assert_str_eq(stat_name(STAT_COUNT), "unknown");
}
END_TEST

int main(void)
{
	Suite *s = suite_create("reason");

	suite_add(s, "unique", test_unique);
	suite_add(s, "rows", test_rows);
	suite_add(s, "counts", test_counts);
	suite_add(s, "phrases", test_phrases);
	suite_add(s, "stats", test_stats);
	return suite_run(s);
}
