/* SPDX-License-Identifier: Apache-2.0 */
/* The main() of a Check suite: one case per topic. */
#ifndef TESTS_UNIT_SUITE_H
#define TESTS_UNIT_SUITE_H

#include <check.h>
#include <stdlib.h>

/** Adds a case with one test to a suite. */
static inline void suite_add(Suite *s, const char *name, const TTest *test)
{
	TCase *t = tcase_create(name);

	tcase_set_timeout(t, 60);
	tcase_add_test(t, test);
	suite_add_tcase(s, t);
}

/** The same for a test that runs with _i from `from` to below `to`. */
static inline void suite_add_loop(
	Suite *s, const char *name, const TTest *test, int from, int to)
{
	TCase *t = tcase_create(name);

	tcase_set_timeout(t, 60);
	tcase_add_loop_test(t, test, from, to);
	suite_add_tcase(s, t);
}

/** Runs a suite and frees it. @return the program's exit status. */
static inline int suite_run(Suite *s)
{
	SRunner *r = srunner_create(s);
	int failed;

	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

#endif
