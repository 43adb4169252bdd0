/* SPDX-License-Identifier: Apache-2.0 */
/* From where media may come and where it may go: learn.h, as a table. */
#include <check.h>

#include "mediad/learn.h"

static struct addr a(const char *text)
{
	struct addr x = {0};

	if (text != NULL)
		ck_assert_int_eq(addr_parse(text, &x), 0);
	return x;
}

static uint8_t net(const char *text, struct addr_net **net_out)
{
	static struct addr_net n;

	*net_out = &n;
	if (text == NULL)
		return 0;
	ck_assert_int_eq(addr_net_parse(text, &n), 0);
	return 1;
}

#define AUTO   LEARN_NAT_AUTO
#define ALWAYS LEARN_NAT_ALWAYS
#define NEVER  LEARN_NAT_NEVER

static const struct {
	const char *name;
	const char *bound, *signaled, *signaling, *network, *source;
	enum learn_nat nat;
	bool behind_nat;
	enum reason decision;
} rows[] = {
	{"exactly signaled", "198.51.100.1", "203.0.113.5:4000", "203.0.113.5",
		NULL, "203.0.113.5:4000", AUTO, false, REASON_LEARN_SIGNALED},
	{"signaled, though NAT is never", "198.51.100.1", "203.0.113.5:4000",
		"203.0.113.5", NULL, "203.0.113.5:4000", NEVER, false,
		REASON_LEARN_SIGNALED},
	{"signaled host, other port, no NAT", "198.51.100.1",
		"203.0.113.5:4000", "203.0.113.5", NULL, "203.0.113.5:4001",
		AUTO, false, REASON_LEARN_REFUSED},
	{"behind NAT: signaling host, any port", "198.51.100.1",
		"10.0.0.5:4000", "203.0.113.5", NULL, "203.0.113.5:61000", AUTO,
		true, REASON_LEARN_SAME_HOST},
	{"behind NAT, but never", "198.51.100.1", "10.0.0.5:4000",
		"203.0.113.5", NULL, "203.0.113.5:61000", NEVER, true,
		REASON_LEARN_REFUSED},
	{"behind NAT: another host", "198.51.100.1", "10.0.0.5:4000",
		"203.0.113.5", NULL, "203.0.113.6:61000", AUTO, true,
		REASON_LEARN_REFUSED},
	{"always: another host", "198.51.100.1", "10.0.0.5:4000", "203.0.113.5",
		NULL, "203.0.113.6:61000", ALWAYS, false,
		REASON_LEARN_OTHER_HOST},
	{"always: the same host", "198.51.100.1", "10.0.0.5:4000",
		"203.0.113.5", NULL, "203.0.113.5:61000", ALWAYS, false,
		REASON_LEARN_SAME_HOST},
	{"trunk: inside its networks", "198.51.100.1", "203.0.113.5:4000",
		"203.0.113.1", "203.0.113.0/24", "203.0.113.77:9", NEVER, false,
		REASON_LEARN_NETWORK},
	{"trunk: outside of them", "198.51.100.1", "203.0.113.5:4000",
		"203.0.113.1", "203.0.113.0/24", "203.0.114.1:9", AUTO, true,
		REASON_LEARN_REFUSED},
	{"nothing was signaled", "198.51.100.1", NULL, NULL, NULL,
		"203.0.113.5:4000", AUTO, true, REASON_LEARN_REFUSED},
	{"loopback towards a public address", "198.51.100.1", "127.0.0.1:4000",
		"127.0.0.1", NULL, "127.0.0.1:4000", ALWAYS, true,
		REASON_LEARN_REFUSED},
	{"loopback where we are bound to it", "127.0.0.1", "127.0.0.1:4000",
		"127.0.0.1", NULL, "127.0.0.1:4000", AUTO, false,
		REASON_LEARN_SIGNALED},
	{"multicast", "198.51.100.1", "224.0.0.5:4000", "224.0.0.5", NULL,
		"224.0.0.5:4000", ALWAYS, true, REASON_LEARN_REFUSED},
	{"port 0", "198.51.100.1", "203.0.113.5:4000", "203.0.113.5",
		"203.0.113.0/24", "203.0.113.5", ALWAYS, true,
		REASON_LEARN_REFUSED},
	{"the other family", "198.51.100.1", "[2001:db8::5]:4000",
		"2001:db8::5", NULL, "[2001:db8::5]:4000", ALWAYS, true,
		REASON_LEARN_REFUSED},
	{"IPv6, exactly signaled", "2001:db8::1", "[2001:db8::5]:4000",
		"2001:db8::5", NULL, "[2001:db8::5]:4000", AUTO, false,
		REASON_LEARN_SIGNALED},
	{"IPv6 trunk network", "2001:db8::1", "[2001:db8::5]:4000",
		"2001:db8::5", "2001:db8:7::/48", "[2001:db8:7::5]:4000", AUTO,
		false, REASON_LEARN_NETWORK},
};

static struct learn_rules rules_of(int i)
{
	struct learn_rules r = {.signaled = a(rows[i].signaled),
		.signaling = a(rows[i].signaling),
		.bound = a(rows[i].bound),
		.nat = rows[i].nat,
		.behind_nat = rows[i].behind_nat};

	r.n_networks = net(rows[i].network, &r.networks);
	return r;
}

START_TEST(test_decide)
{
	struct learn_rules r = rules_of(_i);
	struct addr source = a(rows[_i].source);
	enum reason d = learn_decide(&r, &source);

	ck_assert_msg(d == rows[_i].decision, "%s: %s", rows[_i].name,
		reason_text(d));
}
END_TEST

START_TEST(test_rank)
{
	const enum reason order[] = {REASON_LEARN_REFUSED,
		REASON_LEARN_OTHER_HOST, REASON_LEARN_SAME_HOST,
		REASON_LEARN_NETWORK, REASON_LEARN_SIGNALED};

	for (unsigned i = 0; i < 5; i++)
		ck_assert_uint_eq(learn_rank(order[i]), i);
	/* The weaker the relation, the longer the proof. */
	ck_assert_uint_eq(learn_probation(REASON_LEARN_SIGNALED), 1);
	ck_assert_uint_gt(learn_probation(REASON_LEARN_SAME_HOST), 1);
	ck_assert_uint_gt(learn_probation(REASON_LEARN_OTHER_HOST),
		learn_probation(REASON_LEARN_SAME_HOST));
}
END_TEST

static const struct {
	const char *name;
	const char *bound, *signaling, *network, *target;
	bool may;
} targets[] = {
	{"the host that signals", "198.51.100.1", "203.0.113.5", NULL,
		"203.0.113.5:4000", true},
	{"a third party", "198.51.100.1", "203.0.113.5", NULL,
		"203.0.113.6:4000", false},
	{"inside the trunk's networks", "198.51.100.1", "203.0.113.1",
		"203.0.113.0/24", "203.0.113.6:4000", true},
	{"our host from outside", "198.51.100.1", "203.0.113.5", NULL,
		"127.0.0.1:4000", false},
	{"loopback that signals to a public address", "198.51.100.1",
		"127.0.0.1", NULL, "127.0.0.1:4000", false},
	{"loopback where we are bound to it", "127.0.0.1", "127.0.0.1", NULL,
		"127.0.0.1:4000", true},
	{"an inside address from outside", "198.51.100.1", "203.0.113.5", NULL,
		"10.0.0.1:4000", false},
	{"nowhere", "198.51.100.1", "203.0.113.5", NULL, NULL, false},
	{"the host, without a port", "198.51.100.1", "203.0.113.5", NULL,
		"203.0.113.5", false},
	{"any", "198.51.100.1", "203.0.113.5", "0.0.0.0/0", "0.0.0.0:4000",
		false},
	{"multicast", "198.51.100.1", "203.0.113.5", "224.0.0.0/4",
		"224.0.0.1:4000", false},
};

START_TEST(test_target)
{
	struct learn_rules r = {.bound = a(targets[_i].bound),
		.signaling = a(targets[_i].signaling)};
	struct addr target = a(targets[_i].target);

	r.n_networks = net(targets[_i].network, &r.networks);
	ck_assert_msg(learn_may_send(&r, &target) == targets[_i].may, "%s",
		targets[_i].name);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("media_learn");
	TCase *t = tcase_create("all");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_set_timeout(t, 60);
	tcase_add_loop_test(t, test_decide, 0, sizeof(rows) / sizeof(rows[0]));
	tcase_add_test(t, test_rank);
	tcase_add_loop_test(
		t, test_target, 0, sizeof(targets) / sizeof(targets[0]));
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? 1 : 0;
}
