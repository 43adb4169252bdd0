/* SPDX-License-Identifier: Apache-2.0 */
/* The main() of a Check suite: one case per topic. */
#ifndef TESTS_UNIT_SUITE_H
#define TESTS_UNIT_SUITE_H

#include <check.h>
#include <stdlib.h>

#define N_ROWS(table) (sizeof(table) / sizeof((table)[0]))

/** Adds a case with one test to a suite. */
static inline void suite_add(Suite *s, const char *name, const TTest *test)
{
	TCase *t = tcase_create(name);

	tcase_set_timeout(t, 60);
	tcase_add_test(t, test);
	suite_add_tcase(s, t);
}

/** Adds a case with one test for each row of a table: the test's _i. */
static inline void suite_add_rows(
	Suite *s, const char *name, const TTest *test, size_t n_rows)
{
	TCase *t = tcase_create(name);

	tcase_set_timeout(t, 60);
	tcase_add_loop_test(t, test, 0, (int)n_rows);
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
