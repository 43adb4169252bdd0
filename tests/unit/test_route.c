// SPDX-License-Identifier: Apache-2.0
/*
 * Numbers and routes: what is left of a user part, trunks' rules, and every
 * branch of the decision where a call goes, with priorities, weights, failover,
 * emergencies, the block list and loops.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sbc/route.h"
#include "tests/unit/sbc_rows.h"
#include "tests/unit/suite.h"

#define DIGITS_63                                                              \
	"123456789012345678901234567890123456789012345678901234567890123"

// ----------------------------------------------------------------- numbers

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

// ------------------------------------------------------------------ routes

struct world {
	struct rows r;
	struct settings *s;
	Gh__Account account;
	char *numbers[1];
	struct route_facts facts;
	uint32_t down[3];
	struct route_decision d;
};

static bool in_service(void *ctx, uint32_t trunk)
{
	const struct world *w = ctx;

	for (size_t i = 0; i < N_ROWS(w->down); i++)
		if (w->down[i] == trunk)
			return false;
	return true;
}

static void world_init(struct world *w)
{
	memset(w, 0, sizeof(*w));
	rows_init(&w->r);
	gh__account__init(&w->account);
	w->account.enabled = true;
	w->account.extension = TEXT("100");
	w->numbers[0] = TEXT("+4930100");
	w->account.numbers = w->numbers;
	w->account.n_numbers = 1;
	w->facts.from = SIDE_PHONE;
	w->facts.from_account = &w->account;
	w->facts.called = "";
	w->facts.caller = "+4930100";
	w->facts.trunk_in_service = in_service;
	w->facts.ctx = w;
	w->facts.random = 1;
}

static void from_trunk(struct world *w, uint32_t id)
{
	w->facts.from = id == 3 ? SIDE_PBX : SIDE_TRUNK;
	w->facts.from_trunk = settings_trunk(w->s, id);
	w->facts.from_account = NULL;
}

static const struct route_decision *decide(struct world *w, const char *called)
{
	w->facts.called = called;
	route_decide(w->s, &w->facts, &w->d);
	ck_assert_int_eq(w->d.why == REASON_ROUTE_OK, w->d.n_targets > 0);
	return &w->d;
}

static void expect_trunks(const struct world *w, const char *ids)
{
	char text[64] = "";

	ck_assert_msg(w->d.why == REASON_ROUTE_OK, "%s", reason_text(w->d.why));
	for (size_t i = 0; i < w->d.n_targets; i++) {
		ck_assert(!w->d.targets[i].is_account);
		snprintf(text + strlen(text), sizeof(text) - strlen(text),
			"%s%u", i ? " " : "", w->d.targets[i].trunk->row->id);
	}
	ck_assert_str_eq(text, ids);
}

static void expect_refusal(const struct world *w, enum reason why, unsigned sip)
{
	ck_assert_msg(w->d.why == why, "%s", reason_text(w->d.why));
	ck_assert_uint_eq(w->d.sip, sip);
	ck_assert_uint_eq(w->d.n_targets, 0);
}

static void expect_account(const struct world *w)
{
	ck_assert_msg(w->d.why == REASON_ROUTE_OK, "%s", reason_text(w->d.why));
	ck_assert_uint_eq(w->d.n_targets, 1);
	ck_assert(w->d.targets[0].is_account);
}

START_TEST(matches_routes)
{
	enum { ANY, PHONES, TRUNK };
	static const struct {
		int from;
		uint32_t from_trunk;
		bool regex;
		const char *called_match, *caller_match;
		/* who calls what; 0 is a phone */
		uint32_t side;
		const char *caller, *called;
		bool matches;
	} rows[] = {
		{ANY, 0, false, "", "", 0, "1", "100", true},
		{ANY, 0, false, "0", "", 0, "1", "030", true},
		{ANY, 0, false, "0", "", 0, "1", "130", false},
		{ANY, 0, false, "030", "", 0, "1", "03", false},
		{ANY, 0, true, "0[1-9]+", "", 0, "1", "031", true},
		{ANY, 0, true, "0[1-9]", "", 0, "1", "031", false},
		{ANY, 0, true, "31", "", 0, "1", "031", false},
		{ANY, 0, false, "0", "+49", 0, "+4930", "01", true},
		{ANY, 0, false, "0", "+49", 0, "+33", "01", false},
		{ANY, 0, false, "0", "+49", 0, "", "01", false},
		{ANY, 0, false, "0", "", 0, "", "01", true},
		{PHONES, 0, false, "", "", 0, "1", "1", true},
		{PHONES, 0, false, "", "", 2, "1", "1", false},
		{PHONES, 0, false, "", "", 3, "1", "1", false},
		{TRUNK, 2, false, "", "", 2, "1", "1", true},
		{TRUNK, 2, false, "", "", 3, "1", "1", false},
		{TRUNK, 2, false, "", "", 0, "1", "1", false},
		{TRUNK, 3, false, "", "", 3, "1", "1", true},
		{ANY, 0, false, "", "", 3, "1", "1", true},
	};
	static struct world w;

	for (size_t i = 0; i < N_ROWS(rows); i++) {
		Gh__Route *route;

		world_init(&w);
		route = &w.r.routes[0];
		route->from = (Gh__RouteSource)rows[i].from;
		route->from_trunk = rows[i].from_trunk;
		route->called_regex = rows[i].regex;
		route->called_match = TEXT(rows[i].called_match);
		route->caller_match = TEXT(rows[i].caller_match);
		w.s = rows_build(&w.r);
		if (rows[i].side)
			from_trunk(&w, rows[i].side);
		w.facts.caller = rows[i].caller;
		decide(&w, rows[i].called);
		ck_assert_msg(
			(w.d.route != NULL) == rows[i].matches, "row %zu", i);
		if (rows[i].matches)
			expect_trunks(&w, "1");
		else
			expect_refusal(&w, REASON_ROUTE_NONE, 404);
		settings_unref(&w.s);
	}
}
END_TEST

START_TEST(lowest_priority_decides)
{
	static struct world w;

	world_init(&w);
	w.r.n_routes = 3;
	for (size_t i = 0; i < 3; i++) {
		w.r.routes[i].called_match = TEXT("0");
		w.r.routes[i].from = GH__ROUTE_SOURCE__ROUTE_FROM_ANY;
		w.r.routes[i].n_targets = 1;
		w.r.routes[i].targets = &w.r.route_target_rows[i];
	}
	w.r.routes[0].priority = 30;
	w.r.routes[1].priority = 10;
	w.r.routes[2].priority = 10;
	w.s = rows_build(&w.r);
	decide(&w, "0");
	expect_trunks(&w, "2");
	settings_unref(&w.s);
}
END_TEST

START_TEST(orders_targets_by_priority)
{
	static struct world w;

	world_init(&w);
	w.r.routes[0].n_targets = 3;
	w.r.route_targets[0].priority = 30;
	w.r.route_targets[1].priority = 20;
	w.r.route_targets[2].priority = 10;
	w.r.routes[0].timeout_s = 8;
	w.s = rows_build(&w.r);
	decide(&w, "0");
	expect_trunks(&w, "3 2 1");
	ck_assert_uint_eq(w.d.timeout_s, 8);
	ck_assert(!w.d.emergency);
	/* out of service: left out */
	w.down[0] = 3;
	decide(&w, "0");
	expect_trunks(&w, "2 1");
	w.down[1] = 2;
	w.down[2] = 1;
	decide(&w, "0");
	expect_refusal(&w, REASON_ROUTE_TRUNK_DOWN, 503);
	settings_unref(&w.s);
}
END_TEST

/* Shares of 3 and 1 among two, over many random numbers: 3+1 and 1+1 chances
 * of six. */
START_TEST(weighs_targets)
{
	static struct world w;
	unsigned first[4] = {0}, rounds = 6000;
	uint32_t random = 12345;

	world_init(&w);
	w.r.routes[0].n_targets = 2;
	w.r.route_targets[0].weight = 3;
	w.r.route_targets[1].weight = 1;
	w.s = rows_build(&w.r);
	for (unsigned i = 0; i < rounds; i++) {
		random = random * 1664525u + 1013904223u;
		w.facts.random = random;
		decide(&w, "0");
		ck_assert_uint_eq(w.d.n_targets, 2);
		first[w.d.targets[0].trunk->row->id]++;
	}
	ck_assert_uint_gt(first[1], rounds * 60 / 100);
	ck_assert_uint_lt(first[1], rounds * 73 / 100);
	ck_assert_uint_eq(first[1] + first[2], rounds);
	settings_unref(&w.s);
	/* Weights of the greatest kind do not overflow. */
	world_init(&w);
	w.r.routes[0].n_targets = 3;
	for (size_t i = 0; i < 3; i++)
		w.r.route_targets[i].weight = UINT32_MAX;
	w.s = rows_build(&w.r);
	for (uint32_t i = 0; i < 100; i++) {
		w.facts.random = i * 0x01234567u;
		decide(&w, "0");
		ck_assert_uint_eq(w.d.n_targets, 3);
	}
	settings_unref(&w.s);
}
END_TEST

START_TEST(never_returns_a_call_to_its_trunk)
{
	static struct world w;

	world_init(&w);
	w.r.routes[0].from = GH__ROUTE_SOURCE__ROUTE_FROM_ANY;
	w.r.routes[0].n_targets = 2;
	w.s = rows_build(&w.r);
	from_trunk(&w, 1);
	decide(&w, "0");
	expect_trunks(&w, "2");
	settings_unref(&w.s);
	w.r.routes[0].n_targets = 1;
	w.s = rows_build(&w.r);
	from_trunk(&w, 1);
	decide(&w, "0");
	expect_refusal(&w, REASON_ROUTE_LOOP, 482);
	settings_unref(&w.s);
}
END_TEST

START_TEST(leaves_disabled_trunks_out)
{
	static struct world w;

	world_init(&w);
	w.r.itsp.enabled = false;
	w.s = rows_build(&w.r);
	decide(&w, "0");
	expect_refusal(&w, REASON_ROUTE_TRUNK_DOWN, 503);
	settings_unref(&w.s);
}
END_TEST

START_TEST(names_a_trunk_once)
{
	static struct world w;

	world_init(&w);
	w.r.routes[0].n_targets = 4; /* 1 2 3 1 */
	for (size_t i = 0; i < 4; i++)
		w.r.route_targets[i].priority = (uint32_t)i;
	w.s = rows_build(&w.r);
	decide(&w, "0");
	expect_trunks(&w, "1 2 3");
	settings_unref(&w.s);
}
END_TEST

START_TEST(rejects_by_route)
{
	static struct world w;

	world_init(&w);
	w.r.routes[0].action = GH__ROUTE_ACTION__ROUTE_REJECT;
	w.s = rows_build(&w.r);
	decide(&w, "0900");
	expect_refusal(&w, REASON_ROUTE_REJECT, 403);
	settings_unref(&w.s);
	w.r.routes[0].reject_code = 607;
	w.s = rows_build(&w.r);
	decide(&w, "0900");
	expect_refusal(&w, REASON_ROUTE_REJECT, 607);
	settings_unref(&w.s);
}
END_TEST

START_TEST(classes_of_destinations)
{
	static const struct {
		const char *route, *account[2];
		bool emergency, allowed;
	} rows[] = {
		{"", {NULL, NULL}, false, true},
		{"premium", {NULL, NULL}, false, true},
		{"national", {"national", NULL}, false, true},
		{"national", {"mobile", "national"}, false, true},
		{"premium", {"mobile", "national"}, false, false},
		{"", {"national", NULL}, false, false},
		{"nation", {"national", NULL}, false, false},
		{"premium", {"national", NULL}, true, true},
	};
	static struct world w;
	Gh__Account account = GH__ACCOUNT__INIT;
	char *classes[2];

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		world_init(&w);
		account.enabled = true;
		account.n_destination_classes = 0;
		account.destination_classes = classes;
		for (size_t k = 0; k < 2 && rows[i].account[k]; k++)
			classes[account.n_destination_classes++] =
				TEXT(rows[i].account[k]);
		w.r.routes[0].destination_class = TEXT(rows[i].route);
		w.r.routes[0].called_match = TEXT("112");
		w.r.routes[0].emergency = rows[i].emergency;
		w.s = rows_build(&w.r);
		w.facts.from = SIDE_PHONE;
		w.facts.from_account = &account;
		decide(&w, "112");
		if (rows[i].allowed)
			ck_assert_int_eq(w.d.why, REASON_ROUTE_OK);
		else
			expect_refusal(&w, REASON_LIMIT_DESTINATION, 403);
		settings_unref(&w.s);
	}
}
END_TEST

START_TEST(emergency_comes_first_and_never_gives_up)
{
	static struct world w;

	world_init(&w);
	w.r.n_routes = 2;
	w.r.routes[0].action = GH__ROUTE_ACTION__ROUTE_REJECT;
	w.r.routes[0].called_match = TEXT("1");
	w.r.routes[0].priority = 1;
	w.r.routes[1] = w.r.routes[0];
	w.r.routes[1].id = 2;
	w.r.routes[1].action = GH__ROUTE_ACTION__ROUTE_TO_TRUNK;
	w.r.routes[1].called_match = TEXT("112");
	w.r.routes[1].priority = 1000;
	w.r.routes[1].emergency = true;
	w.r.routes[1].n_targets = 2;
	w.r.routes[1].targets = w.r.route_target_rows;
	w.r.route_targets[0].priority = 1;
	w.s = rows_build(&w.r);
	decide(&w, "112");
	expect_trunks(&w, "1 2");
	ck_assert(w.d.emergency);
	/* a number that only begins so is none */
	decide(&w, "1123456");
	expect_refusal(&w, REASON_ROUTE_REJECT, 403);
	/* trunks that seem down are tried last */
	w.down[0] = 1;
	decide(&w, "112");
	expect_trunks(&w, "2 1");
	w.down[1] = 2;
	decide(&w, "112");
	expect_trunks(&w, "1 2");
	settings_unref(&w.s);
}
END_TEST

START_TEST(finds_accounts_without_a_route)
{
	static struct world w;

	world_init(&w);
	w.s = rows_build(&w.r);
	w.facts.called_account = &w.account;
	decide(&w, "100"); /* phone to phone */
	expect_account(&w);
	ck_assert_ptr_null(w.d.route);
	from_trunk(&w, 3); /* PBX to phone */
	decide(&w, "100");
	expect_account(&w);
	from_trunk(&w, 1); /* a trunk calls numbers ... */
	decide(&w, "+4930100");
	expect_account(&w);
	decide(&w, "4930100");
	expect_account(&w);
	decide(&w, "100"); /* ... not extensions */
	expect_refusal(&w, REASON_ROUTE_NONE, 404);
	w.account.enabled = false;
	decide(&w, "+4930100");
	expect_refusal(&w, REASON_ROUTE_ACCOUNT_DISABLED, 404);
	w.facts.called_account = NULL;
	decide(&w, "+4930100");
	expect_refusal(&w, REASON_ROUTE_NONE, 404);
	settings_unref(&w.s);
}
END_TEST

START_TEST(a_route_goes_before_the_account)
{
	static struct world w;

	world_init(&w);
	w.r.routes[0].called_match = TEXT("100");
	w.r.routes[0].targets = &w.r.route_target_rows[2];
	w.s = rows_build(&w.r);
	w.facts.called_account = &w.account;
	decide(&w, "100");
	expect_trunks(&w, "3");
	settings_unref(&w.s);
}
END_TEST

START_TEST(routes_to_extensions)
{
	static struct world w;

	world_init(&w);
	w.r.routes[0].from = GH__ROUTE_SOURCE__ROUTE_FROM_TRUNK;
	w.r.routes[0].from_trunk = 1;
	w.r.routes[0].action = GH__ROUTE_ACTION__ROUTE_TO_EXTENSION;
	w.r.routes[0].called_match = TEXT("1");
	w.r.routes[0].n_targets = 0;
	w.s = rows_build(&w.r);
	from_trunk(&w, 1);
	decide(&w, "100");
	expect_refusal(&w, REASON_ROUTE_UNKNOWN_NUMBER, 404);
	w.facts.called_account = &w.account;
	decide(&w, "100");
	expect_account(&w);
	ck_assert_ptr_nonnull(w.d.route);
	w.account.enabled = false;
	decide(&w, "100");
	expect_refusal(&w, REASON_ROUTE_ACCOUNT_DISABLED, 404);
	settings_unref(&w.s);
}
END_TEST

START_TEST(blocks_callers)
{
	static const struct {
		uint32_t trunk; /* of the row */
		const char *match;
		bool anonymous;
		uint32_t side; /* 0 phone */
		const char *caller;
		enum reason why;
		unsigned sip;
	} rows[] = {
		{0, "+4930", false, 1, "+4930666", REASON_ROUTE_BLOCKED_CALLER,
			603},
		{0, "+4930", false, 1, "+4940666", REASON_ROUTE_OK, 0},
		{0, "+4930", false, 1, "", REASON_ROUTE_OK, 0},
		{0, "+4930", false, 3, "+4930666", REASON_ROUTE_OK, 0},
		{0, "+4930", false, 0, "+4930666", REASON_ROUTE_OK, 0},
		{1, "+4930", false, 1, "+4930666", REASON_ROUTE_BLOCKED_CALLER,
			603},
		{2, "+4930", false, 1, "+4930666", REASON_ROUTE_OK, 0},
		{3, "+4930", false, 3, "+4930666", REASON_ROUTE_BLOCKED_CALLER,
			603},
		{0, "", true, 1, "", REASON_ROUTE_ANONYMOUS, 433},
		{0, "", true, 1, "+49", REASON_ROUTE_OK, 0},
		{1, "", true, 1, "", REASON_ROUTE_ANONYMOUS, 433},
		{2, "", true, 1, "", REASON_ROUTE_OK, 0},
		{0, "", true, 0, "", REASON_ROUTE_OK, 0},
	};
	static struct world w;

	for (size_t i = 0; i < N_ROWS(rows); i++) {
		world_init(&w);
		w.r.routes[0].from = GH__ROUTE_SOURCE__ROUTE_FROM_ANY;
		w.r.routes[0].targets = &w.r.route_target_rows[1];
		w.r.n_blocked = 1;
		w.r.blocked[0].trunk = rows[i].trunk;
		w.r.blocked[0].match = TEXT(rows[i].match);
		w.r.blocked[0].anonymous = rows[i].anonymous;
		w.s = rows_build(&w.r);
		if (rows[i].side)
			from_trunk(&w, rows[i].side);
		w.facts.caller = rows[i].caller;
		decide(&w, "0");
		ck_assert_msg(w.d.why == rows[i].why, "row %zu: %s", i,
			reason_text(w.d.why));
		if (w.d.why != REASON_ROUTE_OK) {
			expect_refusal(&w, rows[i].why, rows[i].sip);
			ck_assert_ptr_null(w.d.route);
		}
		settings_unref(&w.s);
	}
}
END_TEST

START_TEST(refuses_an_empty_number)
{
	static struct world w;

	world_init(&w);
	w.r.routes[0].called_match = TEXT("");
	w.s = rows_build(&w.r);
	decide(&w, "");
	expect_refusal(&w, REASON_ROUTE_BAD_NUMBER, 484);
	settings_unref(&w.s);
}
END_TEST

START_TEST(fails_over)
{
	static const struct {
		unsigned status;
		bool by_default, by_list; /* the list: 486, 503 */
	} rows[] = {
		{0, true, true},
		{408, true, true},
		{500, true, false},
		{502, true, false},
		{503, true, true},
		{504, true, false},
		{486, false, true},
		{480, false, false},
		{404, false, false},
		{403, false, false},
		{484, false, false},
		{487, false, false},
		{488, false, false},
		{501, false, false},
		{600, false, false},
		{603, false, false},
		{302, false, false},
	};
	static struct world w;
	static uint32_t causes[] = {486, 503};
	struct route_decision none = {.why = REASON_ROUTE_OK};

	world_init(&w);
	w.s = rows_build(&w.r);
	decide(&w, "0");
	for (size_t i = 0; i < N_ROWS(rows); i++) {
		ck_assert_msg(route_fails_over(&w.d, rows[i].status) ==
				      rows[i].by_default,
			"%u", rows[i].status);
		ck_assert_int_eq(route_fails_over(&none, rows[i].status),
			rows[i].by_default);
	}
	settings_unref(&w.s);
	w.r.routes[0].failover_causes = causes;
	w.r.routes[0].n_failover_causes = 2;
	w.s = rows_build(&w.r);
	decide(&w, "0");
	for (size_t i = 0; i < N_ROWS(rows); i++)
		ck_assert_msg(route_fails_over(&w.d, rows[i].status) ==
				      rows[i].by_list,
			"%u", rows[i].status);
	settings_unref(&w.s);
}
END_TEST

START_TEST(names_sides)
{
	ck_assert_str_eq(side_kind_name(SIDE_TRUNK), "trunk");
	ck_assert_str_eq(side_kind_name(SIDE_PBX), "pbx");
	ck_assert_str_eq(side_kind_name(SIDE_PHONE), "phone");
	ck_assert_str_eq(side_kind_name(SIDE_KIND_COUNT), "unknown");
}
END_TEST

int main(void)
{
	Suite *s = suite_create("route");

	suite_add_rows(s, "number", cleans_numbers, N_ROWS(cleaned));
	suite_add_rows(s, "number", applies_rules, N_ROWS(applied));
	suite_add(s, "number", rules_go_by_priority);
	suite_add(s, "route", matches_routes);
	suite_add(s, "route", lowest_priority_decides);
	suite_add(s, "route", orders_targets_by_priority);
	suite_add(s, "route", weighs_targets);
	suite_add(s, "route", never_returns_a_call_to_its_trunk);
	suite_add(s, "route", leaves_disabled_trunks_out);
	suite_add(s, "route", names_a_trunk_once);
	suite_add(s, "route", rejects_by_route);
	suite_add(s, "route", classes_of_destinations);
	suite_add(s, "route", emergency_comes_first_and_never_gives_up);
	suite_add(s, "route", finds_accounts_without_a_route);
	suite_add(s, "route", a_route_goes_before_the_account);
	suite_add(s, "route", routes_to_extensions);
	suite_add(s, "route", blocks_callers);
	suite_add(s, "route", refuses_an_empty_number);
	suite_add(s, "route", fails_over);
	suite_add(s, "route", names_sides);
	return suite_run(s);
}
