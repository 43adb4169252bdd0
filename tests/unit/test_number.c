// SPDX-License-Identifier: Apache-2.0
/*
 * Numbers: what is left of a user part, and what trunks' rules make of it.
 */
#include <string.h>

#include "sbc/route.h"
#include "tests/unit/sbc_rows.h"
#include "tests/unit/suite.h"

#define DIGITS_63                                                              \
	"123456789012345678901234567890123456789012345678901234567890123"

static const struct {
	const char *user;
	int err;
	const char *number;
} cleaned[] = {
	{"100", 0, "100"},
	{"+4930123456", 0, "+4930123456"},
	{"+49-30-123.456", 0, "+4930123456"},
	{"+49%20(30)%20123-456", 0, "+4930123456"},
	{"(030)1234", 0, "0301234"},
	{"030;phone-context=+49", 0, "030"},
	{"030;isub=5;ext=6", 0, "030"},
	{"tel:+49-30-1", 0, "+49301"},
	{"TEL:100;phone-context=example.com", 0, "100"},
	{"sip:100@10.0.0.1:5060;user=phone", 0, "100"},
	{"sips:100@example.com", 0, "100"},
	{"*21*030#", 0, "*21*030#"},
	{"%2A21%23", 0, "*21#"},
	{"%2b4930", 0, "+4930"},
	{"anna", 0, "anna"},
	{"anna.smith-jones", 0, "anna.smith-jones"},
	{"a+b~c!d_e'f", 0, "a+b~c!d_e'f"},
	{"K7QX2M9A", 0, "K7QX2M9A"},
	{"12a", 0, "12a"},
	{DIGITS_63, 0, DIGITS_63},
	{"", ERR_INVALID, NULL},
	{" ", ERR_INVALID, NULL},
	{"+", ERR_INVALID, NULL},
	{"-.-", ERR_INVALID, NULL},
	{"1+2-", 0, "1+2-"}, /* a name */
	{";phone-context=+49", ERR_INVALID, NULL},
	{"sip:example.com", ERR_INVALID, NULL},
	{"sip:a:pass@example.com", ERR_INVALID, NULL},
	{"mailto:a@b", ERR_INVALID, NULL},
	{"a b", ERR_INVALID, NULL},
	{"a@b", ERR_INVALID, NULL},
	{"a%40b", ERR_INVALID, NULL},
	{"a%00b", ERR_INVALID, NULL},
	{"a%0d%0aVia:x", ERR_INVALID, NULL},
	{"100%3Bx", ERR_INVALID, NULL},
	{"100%", ERR_INVALID, NULL},
	{"100%2", ERR_INVALID, NULL},
	{"100%zz", ERR_INVALID, NULL},
	{"\"x\"", ERR_INVALID, NULL},
	{"<x>", ERR_INVALID, NULL},
	{"J\xc3\xb6rg", ERR_INVALID, NULL},
	{"a\nb", ERR_INVALID, NULL},
	{DIGITS_63 "4", ERR_TOO_BIG, NULL},
	{"a" DIGITS_63, ERR_TOO_BIG, NULL},
	{DIGITS_63 DIGITS_63 DIGITS_63 DIGITS_63 DIGITS_63, ERR_TOO_BIG, NULL},
};

START_TEST(cleans_numbers)
{
	char out[ROUTE_NUMBER_SIZE] = "untouched";
	int err = number_clean(cleaned[_i].user, out);

	ck_assert_msg(err == cleaned[_i].err, "%s: %d", cleaned[_i].user, err);
	ck_assert_str_eq(out, err ? "untouched" : cleaned[_i].number);
}
END_TEST

#define IN_CALLED  GH__NUMBER_RULE_SCOPE__RULE_IN_CALLED
#define IN_CALLER  GH__NUMBER_RULE_SCOPE__RULE_IN_CALLER
#define OUT_CALLED GH__NUMBER_RULE_SCOPE__RULE_OUT_CALLED
#define OUT_CALLER GH__NUMBER_RULE_SCOPE__RULE_OUT_CALLER

static const struct {
	Gh__NumberRuleScope scope;
	const char *number;
	int err;
	const char *result;
} applied[] = {
	{IN_CALLED, "004930123", 0, "+4930123"},
	{IN_CALLED, "030123", 0, "+4930123"},
	{IN_CALLED, "12345", 0, "+493012345"},
	{IN_CALLED, "+33123", 0, "+33123"},       /* no rule */
	{IN_CALLER, "004930123", 0, "004930123"}, /* another scope's */
	{IN_CALLER, "", 0, ""},
	{IN_CALLER, "911", 0, ""}, /* taken away: nobody's */
	{IN_CALLED, "", ERR_INVALID, NULL},
	{OUT_CALLED, "+4930123", 0, "0049*30123"},
	{OUT_CALLED, "9", ERR_INVALID, NULL},  /* nothing is left */
	{OUT_CALLED, "77", ERR_INVALID, NULL}, /* no number any more */
	{OUT_CALLED, "8" DIGITS_63, ERR_TOO_BIG, NULL},
	/* a mark in the middle makes it a name, which is legal, too */
	{OUT_CALLER, "+4930123", 0, "30123#+4930123"},
};

START_TEST(applies_rules)
{
	static struct rows r;
	char out[ROUTE_NUMBER_SIZE] = "untouched";
	struct settings *s;
	int err;

	rows_init(&r);
	rows_rule(&r, IN_CALLED, false, "00", "+");
	rows_rule(&r, IN_CALLED, false, "0", "+49");
	rows_rule(&r, IN_CALLED, true, "[1-9][0-9]*", "+4930\\0");
	rows_rule(&r, IN_CALLER, true, "(9)(1)(1)", "");
	rows_rule(&r, OUT_CALLED, true, "\\+(49)(.*)", "00\\1*\\2");
	rows_rule(&r, OUT_CALLED, false, "9", "");
	rows_rule(&r, OUT_CALLED, false, "77", "++");
	rows_rule(&r, OUT_CALLED, false, "8", "888");
	rows_rule(&r, OUT_CALLER, true, "(\\+49)?(.*)", "\\2#\\0");
	s = rows_build(&r);
	err = number_apply(settings_trunk(s, 1), applied[_i].scope,
		applied[_i].number, out);
	ck_assert_msg(
		err == applied[_i].err, "%s: %d", applied[_i].number, err);
	ck_assert_str_eq(out, err ? "untouched" : applied[_i].result);
	settings_unref(&s);
}
END_TEST

START_TEST(rules_go_by_priority)
{
	static struct rows r;
	char out[ROUTE_NUMBER_SIZE];
	struct settings *s;

	rows_init(&r);
	rows_rule(&r, IN_CALLED, false, "0", "1");
	rows_rule(&r, IN_CALLED, false, "0", "2");
	rows_rule(&r, IN_CALLED, true, "0.*", "3");
	r.rules[0].priority = 30;
	r.rules[1].priority = 20;
	r.rules[2].priority = 10;
	s = rows_build(&r);
	ck_assert_int_eq(
		number_apply(settings_trunk(s, 1),
			GH__NUMBER_RULE_SCOPE__RULE_IN_CALLED, "055", out),
		0);
	ck_assert_str_eq(out, "3");
	settings_unref(&s);
	/* no trunk, no rules */
	ck_assert_int_eq(
		number_apply(NULL, GH__NUMBER_RULE_SCOPE__RULE_IN_CALLED, "055",
			out),
		0);
	ck_assert_str_eq(out, "055");
}
END_TEST

int main(void)
{
	Suite *s = suite_create("number");

	suite_add_rows(s, "cleans", cleans_numbers, N_ROWS(cleaned));
	suite_add_rows(s, "applies", applies_rules, N_ROWS(applied));
	suite_add(s, "priority", rules_go_by_priority);
	return suite_run(s);
}
