// SPDX-License-Identifier: Apache-2.0
/*
 * Every branch of the decision where a call goes, with priorities, weights,
 * failover, emergencies, classes of destinations, the block list and loops.
 *
 * A test changes the rows of a small installation, builds its settings and
 * says where a number goes. A call comes from a phone if nothing else is said,
 * and route 1 leads "0..." from phones to trunk 1.
 */
#include <stdio.h>
#include <string.h>

#include "sbc/route.h"
#include "tests/unit/sbc_rows.h"
#include "tests/unit/suite.h"

static struct {
	struct rows r;
	struct settings *s;
	Gh__Account account;
	char *numbers[1];
	struct route_facts facts;
	uint32_t down[3]; /* trunks out of service */
	struct route_decision d;
} w;

static bool in_service(void *ctx, uint32_t trunk)
{
	(void)ctx;
	for (size_t i = 0; i < N_ROWS(w.down); i++)
		if (w.down[i] == trunk)
			return false;
	return true;
}

static void begin(void)
{
	memset(&w, 0, sizeof(w));
	rows_init(&w.r);
	gh__account__init(&w.account);
	w.account.enabled = true;
	w.account.extension = TEXT("100");
	w.numbers[0] = TEXT("+4930100");
	w.account.numbers = w.numbers;
	w.account.n_numbers = 1;
	w.facts.from = SIDE_PHONE;
	w.facts.from_account = &w.account;
	w.facts.called = "";
	w.facts.caller = "+4930100";
	w.facts.trunk_in_service = in_service;
	w.facts.random = 1;
}

/* The rows are as the test wants them; again after it has changed them. */
static void build(void)
{
	settings_unref(&w.s);
	w.s = rows_build(&w.r);
}

static void end(void)
{
	settings_unref(&w.s);
}

/* 0 = from a phone. */
static void from_trunk(uint32_t id)
{
	if (id == 0)
		return;
	w.facts.from = id == 3 ? SIDE_PBX : SIDE_TRUNK;
	w.facts.from_trunk = settings_trunk(w.s, id);
	w.facts.from_account = NULL;
}

static void decide(const char *called)
{
	w.facts.called = called;
	route_decide(w.s, &w.facts, &w.d);
	ck_assert_int_eq(w.d.why == REASON_ROUTE_OK, w.d.n_targets > 0);
}

static void expect_trunks(const char *called, const char *ids)
{
	char text[64] = "";

	decide(called);
	ck_assert_msg(w.d.why == REASON_ROUTE_OK, "%s", reason_text(w.d.why));
	for (size_t i = 0; i < w.d.n_targets; i++) {
		ck_assert(!w.d.targets[i].is_account);
		snprintf(text + strlen(text), sizeof(text) - strlen(text),
			"%s%u", i ? " " : "", w.d.targets[i].trunk->row->id);
	}
	ck_assert_str_eq(text, ids);
}

static void expect_refusal(const char *called, enum reason why, unsigned sip)
{
	decide(called);
	ck_assert_msg(w.d.why == why, "%s", reason_text(w.d.why));
	ck_assert_uint_eq(w.d.sip, sip);
	ck_assert_uint_eq(w.d.n_targets, 0);
}

static void expect_account(const char *called)
{
	decide(called);
	ck_assert_msg(w.d.why == REASON_ROUTE_OK, "%s", reason_text(w.d.why));
	ck_assert_uint_eq(w.d.n_targets, 1);
	ck_assert(w.d.targets[0].is_account);
}

// ---------------------------------------------------------- routes that fit

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
} matches[] = {
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

START_TEST(matches_routes)
{
	Gh__Route *route = &w.r.routes[0];

	begin();
	route->from = (Gh__RouteSource)matches[_i].from;
	route->from_trunk = matches[_i].from_trunk;
	route->called_regex = matches[_i].regex;
	route->called_match = TEXT(matches[_i].called_match);
	route->caller_match = TEXT(matches[_i].caller_match);
	build();
	from_trunk(matches[_i].side);
	w.facts.caller = matches[_i].caller;
	if (matches[_i].matches)
		expect_trunks(matches[_i].called, "1");
	else
		expect_refusal(matches[_i].called, REASON_ROUTE_NONE, 404);
	ck_assert_int_eq(w.d.route != NULL, matches[_i].matches);
	end();
}
END_TEST

START_TEST(lowest_priority_decides)
{
	static const uint32_t priorities[] = {30, 10, 10};

	begin();
	w.r.n_routes = 3;
	for (size_t i = 0; i < 3; i++) {
		w.r.routes[i].called_match = TEXT("0");
		w.r.routes[i].from = GH__ROUTE_SOURCE__ROUTE_FROM_ANY;
		w.r.routes[i].n_targets = 1;
		w.r.routes[i].targets = &w.r.route_target_rows[i];
		w.r.routes[i].priority = priorities[i];
	}
	build();
	expect_trunks("0", "2");
	end();
}
END_TEST

START_TEST(rejects_by_route)
{
	begin();
	w.r.routes[0].action = GH__ROUTE_ACTION__ROUTE_REJECT;
	build();
	expect_refusal("0900", REASON_ROUTE_REJECT, 403);
	w.r.routes[0].reject_code = 607;
	build();
	expect_refusal("0900", REASON_ROUTE_REJECT, 607);
	end();
}
END_TEST

START_TEST(refuses_an_empty_number)
{
	begin();
	w.r.routes[0].called_match = TEXT("");
	build();
	expect_refusal("", REASON_ROUTE_BAD_NUMBER, 484);
	end();
}
END_TEST

// ------------------------------------------------------------- its targets

START_TEST(orders_targets_by_priority)
{
	begin();
	w.r.routes[0].n_targets = 3;
	w.r.route_targets[0].priority = 30;
	w.r.route_targets[1].priority = 20;
	w.r.route_targets[2].priority = 10;
	w.r.routes[0].timeout_s = 8;
	build();
	expect_trunks("0", "3 2 1");
	ck_assert_uint_eq(w.d.timeout_s, 8);
	ck_assert(!w.d.emergency);
	/* out of service: left out */
	w.down[0] = 3;
	expect_trunks("0", "2 1");
	w.down[1] = 2;
	w.down[2] = 1;
	expect_refusal("0", REASON_ROUTE_TRUNK_DOWN, 503);
	end();
}
END_TEST

/* Shares of 3 and 1 among two, over many random numbers: 3+1 and 1+1 chances
 * of six. */
START_TEST(weighs_targets)
{
	unsigned first[4] = {0}, rounds = 6000;
	uint32_t random = 12345;

	begin();
	w.r.routes[0].n_targets = 2;
	w.r.route_targets[0].weight = 3;
	w.r.route_targets[1].weight = 1;
	build();
	for (unsigned i = 0; i < rounds; i++) {
		random = random * 1664525u + 1013904223u;
		w.facts.random = random;
		decide("0");
		ck_assert_uint_eq(w.d.n_targets, 2);
		first[w.d.targets[0].trunk->row->id]++;
	}
	ck_assert_uint_gt(first[1], rounds * 60 / 100);
	ck_assert_uint_lt(first[1], rounds * 73 / 100);
	ck_assert_uint_eq(first[1] + first[2], rounds);
	end();
}
END_TEST

/* Weights of the greatest kind do not overflow. */
START_TEST(weighs_the_heaviest)
{
	begin();
	w.r.routes[0].n_targets = 3;
	for (size_t i = 0; i < 3; i++)
		w.r.route_targets[i].weight = UINT32_MAX;
	build();
	for (uint32_t i = 0; i < 100; i++) {
		w.facts.random = i * 0x01234567u;
		decide("0");
		ck_assert_uint_eq(w.d.n_targets, 3);
	}
	end();
}
END_TEST

START_TEST(never_returns_a_call_to_its_trunk)
{
	begin();
	w.r.routes[0].from = GH__ROUTE_SOURCE__ROUTE_FROM_ANY;
	w.r.routes[0].n_targets = 2;
	build();
	from_trunk(1);
	expect_trunks("0", "2");
	w.r.routes[0].n_targets = 1;
	build();
	from_trunk(1);
	expect_refusal("0", REASON_ROUTE_LOOP, 482);
	end();
}
END_TEST

START_TEST(leaves_disabled_trunks_out)
{
	begin();
	w.r.itsp.enabled = false;
	build();
	expect_refusal("0", REASON_ROUTE_TRUNK_DOWN, 503);
	end();
}
END_TEST

START_TEST(names_a_trunk_once)
{
	begin();
	w.r.routes[0].n_targets = 4; /* 1 2 3 1 */
	for (size_t i = 0; i < 4; i++)
		w.r.route_targets[i].priority = (uint32_t)i;
	build();
	expect_trunks("0", "1 2 3");
	end();
}
END_TEST

static const struct {
	unsigned status;
	bool by_default, by_list; /* the list: 486, 503 */
} failovers[] = {
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

START_TEST(fails_over)
{
	static uint32_t causes[] = {486, 503};
	const struct route_decision none = {.why = REASON_ROUTE_OK};
	unsigned status = failovers[_i].status;

	begin();
	build();
	decide("0");
	ck_assert_int_eq(
		route_fails_over(&w.d, status), failovers[_i].by_default);
	ck_assert_int_eq(
		route_fails_over(&none, status), failovers[_i].by_default);
	w.r.routes[0].failover_causes = causes;
	w.r.routes[0].n_failover_causes = 2;
	build();
	decide("0");
	ck_assert_int_eq(route_fails_over(&w.d, status), failovers[_i].by_list);
	end();
}
END_TEST

// ------------------------------------------------------- who may call what

static const struct {
	const char *route, *account[2];
	bool emergency, allowed;
} classes[] = {
	{"", {NULL, NULL}, false, true},
	{"premium", {NULL, NULL}, false, true},
	{"national", {"national", NULL}, false, true},
	{"national", {"mobile", "national"}, false, true},
	{"premium", {"mobile", "national"}, false, false},
	{"", {"national", NULL}, false, false},
	{"nation", {"national", NULL}, false, false},
	{"premium", {"national", NULL}, true, true},
};

START_TEST(classes_of_destinations)
{
	char *names[2];

	begin();
	w.account.destination_classes = names;
	for (size_t k = 0; k < 2 && classes[_i].account[k]; k++)
		names[w.account.n_destination_classes++] =
			TEXT(classes[_i].account[k]);
	w.r.routes[0].destination_class = TEXT(classes[_i].route);
	w.r.routes[0].called_match = TEXT("112");
	w.r.routes[0].emergency = classes[_i].emergency;
	build();
	if (classes[_i].allowed)
		expect_trunks("112", "1");
	else
		expect_refusal("112", REASON_LIMIT_DESTINATION, 403);
	end();
}
END_TEST

START_TEST(emergency_comes_first_and_never_gives_up)
{
	begin();
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
	build();
	expect_trunks("112", "1 2");
	ck_assert(w.d.emergency);
	/* a number that only begins so is none */
	expect_refusal("1123456", REASON_ROUTE_REJECT, 403);
	/* trunks that seem down are tried last */
	w.down[0] = 1;
	expect_trunks("112", "2 1");
	w.down[1] = 2;
	expect_trunks("112", "1 2");
	end();
}
END_TEST

static const struct {
	uint32_t trunk; /* of the row */
	const char *match;
	bool anonymous;
	uint32_t side; /* 0 phone */
	const char *caller;
	enum reason why;
	unsigned sip;
} blocks[] = {
	{0, "+4930", false, 1, "+4930666", REASON_ROUTE_BLOCKED_CALLER, 603},
	{0, "+4930", false, 1, "+4940666", REASON_ROUTE_OK, 0},
	{0, "+4930", false, 1, "", REASON_ROUTE_OK, 0},
	{0, "+4930", false, 3, "+4930666", REASON_ROUTE_OK, 0},
	{0, "+4930", false, 0, "+4930666", REASON_ROUTE_OK, 0},
	{1, "+4930", false, 1, "+4930666", REASON_ROUTE_BLOCKED_CALLER, 603},
	{2, "+4930", false, 1, "+4930666", REASON_ROUTE_OK, 0},
	{3, "+4930", false, 3, "+4930666", REASON_ROUTE_BLOCKED_CALLER, 603},
	{0, "", true, 1, "", REASON_ROUTE_ANONYMOUS, 433},
	{0, "", true, 1, "+49", REASON_ROUTE_OK, 0},
	{1, "", true, 1, "", REASON_ROUTE_ANONYMOUS, 433},
	{2, "", true, 1, "", REASON_ROUTE_OK, 0},
	{0, "", true, 0, "", REASON_ROUTE_OK, 0},
};

START_TEST(blocks_callers)
{
	begin();
	w.r.routes[0].from = GH__ROUTE_SOURCE__ROUTE_FROM_ANY;
	w.r.routes[0].targets = &w.r.route_target_rows[1];
	w.r.n_blocked = 1;
	w.r.blocked[0].trunk = blocks[_i].trunk;
	w.r.blocked[0].match = TEXT(blocks[_i].match);
	w.r.blocked[0].anonymous = blocks[_i].anonymous;
	build();
	from_trunk(blocks[_i].side);
	w.facts.caller = blocks[_i].caller;
	if (blocks[_i].why == REASON_ROUTE_OK) {
		expect_trunks("0", "2");
	} else {
		expect_refusal("0", blocks[_i].why, blocks[_i].sip);
		ck_assert_ptr_null(w.d.route);
	}
	end();
}
END_TEST

// ------------------------------------------------------------ to accounts

START_TEST(finds_accounts_without_a_route)
{
	begin();
	build();
	w.facts.called_account = &w.account;
	expect_account("100"); /* phone to phone */
	ck_assert_ptr_null(w.d.route);
	from_trunk(3); /* PBX to phone */
	expect_account("100");
	from_trunk(1); /* a trunk calls numbers ... */
	expect_account("+4930100");
	expect_account("4930100");
	expect_refusal("100", REASON_ROUTE_NONE, 404); /* ... not extensions */
	w.account.enabled = false;
	expect_refusal("+4930100", REASON_ROUTE_ACCOUNT_DISABLED, 404);
	w.facts.called_account = NULL;
	expect_refusal("+4930100", REASON_ROUTE_NONE, 404);
	end();
}
END_TEST

START_TEST(a_route_goes_before_the_account)
{
	begin();
	w.r.routes[0].called_match = TEXT("100");
	w.r.routes[0].targets = &w.r.route_target_rows[2];
	build();
	w.facts.called_account = &w.account;
	expect_trunks("100", "3");
	end();
}
END_TEST

START_TEST(routes_to_extensions)
{
	begin();
	w.r.routes[0].from = GH__ROUTE_SOURCE__ROUTE_FROM_TRUNK;
	w.r.routes[0].from_trunk = 1;
	w.r.routes[0].action = GH__ROUTE_ACTION__ROUTE_TO_EXTENSION;
	w.r.routes[0].called_match = TEXT("1");
	w.r.routes[0].n_targets = 0;
	build();
	from_trunk(1);
	expect_refusal("100", REASON_ROUTE_UNKNOWN_NUMBER, 404);
	w.facts.called_account = &w.account;
	expect_account("100");
	ck_assert_ptr_nonnull(w.d.route);
	w.account.enabled = false;
	expect_refusal("100", REASON_ROUTE_ACCOUNT_DISABLED, 404);
	end();
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

	suite_add_rows(s, "matches", matches_routes, N_ROWS(matches));
	suite_add(s, "priority", lowest_priority_decides);
	suite_add(s, "reject", rejects_by_route);
	suite_add(s, "empty", refuses_an_empty_number);
	suite_add(s, "order", orders_targets_by_priority);
	suite_add(s, "weights", weighs_targets);
	suite_add(s, "heaviest", weighs_the_heaviest);
	suite_add(s, "loop", never_returns_a_call_to_its_trunk);
	suite_add(s, "disabled", leaves_disabled_trunks_out);
	suite_add(s, "once", names_a_trunk_once);
	suite_add_rows(s, "failover", fails_over, N_ROWS(failovers));
	suite_add_rows(s, "classes", classes_of_destinations, N_ROWS(classes));
	suite_add(s, "emergency", emergency_comes_first_and_never_gives_up);
	suite_add_rows(s, "blocks", blocks_callers, N_ROWS(blocks));
	suite_add(s, "accounts", finds_accounts_without_a_route);
	suite_add(s, "route first", a_route_goes_before_the_account);
	suite_add(s, "extensions", routes_to_extensions);
	suite_add(s, "sides", names_sides);
	return suite_run(s);
}
