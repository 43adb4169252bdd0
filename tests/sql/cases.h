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
void case_rules(void);
void case_events(void);
void case_check_config(void);
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

void case_news(void);
void case_timing(void);
void case_kills(void);
void case_full_disk(void);
void case_memory(void);
void case_live_calls(void);
void case_keeping(void);

/* Shared by the cases. */
extern char case_username[80], case_password[80];
void case_login(const char *extension, const char *name);
void case_send_cdr(const char *call, uint64_t id);

#endif
