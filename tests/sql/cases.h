/* SPDX-License-Identifier: Apache-2.0 */
/* The cases of tests/sql/test_authd, in the order in which they run. */
#ifndef TESTS_SQL_CASES_H
#define TESTS_SQL_CASES_H

#include "common/clock.h"
#include "tests/sql/lab.h"

void case_migrations(const char *sql_dir);
void case_functions(void);
void case_constraints(void);
void case_roles(void);
void case_bulk(void);

void case_start(void);
void case_settings(void);
void case_auth(void);
void case_laxness(void);
void case_accounts(void);
void case_records(void);
void case_bindings(void);
void case_bans(void);
void case_trunk(void);
void case_outage(void);
void case_cold_start(void);

#endif
