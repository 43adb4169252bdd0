/* SPDX-License-Identifier: Apache-2.0 */
/*
 * authd under worse conditions: many changes at once, somebody with a clock,
 * kills at any moment, a full disk, somebody who reads its memory.
 */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/ident.h"
#include "tests/sql/cases.h"

/* A bulk change is one piece of news, not thousands. */
void case_news(void)
{
	unsigned changed = lab_sbc.n_changed, sets = lab_sbc.n_sets;

	lab_case("news");
	lab_sql("INSERT INTO sbc.phone_import SELECT 600000 + g, 'P', NULL, "
		"NULL FROM generate_series(1, 2000) g; "
		"SELECT count(*) FROM sbc.import_phones()");
	lab_check(LAB_UNTIL(lab_sbc.n_changed > changed),
		"sbc hears of 2,000 new phones");
	lab_sql("UPDATE sbc.account SET display_name = 'Q' "
		"WHERE extension LIKE '60____'");
	lab_sql("DELETE FROM sbc.account WHERE extension LIKE '60____'");
	LAB_UNTIL(lab_sbc.n_changed >= changed + 3);
	lab_check(lab_sbc.n_changed <= changed + 4,
		"three changes of 2,000 rows are %u messages",
		lab_sbc.n_changed - changed);
	lab_check(lab_sbc.n_sets == sets, "and no new settings");
	changed = lab_sbc.n_changed;
	lab_sql("DO $$ BEGIN FOR i IN 1..500 LOOP "
		"PERFORM sbc.add_phone((610000 + i)::text); END LOOP; END $$");
	lab_check(LAB_UNTIL(lab_sbc.n_changed > changed),
		"500 phones one by one in one transaction");
	lab_sql("DELETE FROM sbc.account WHERE extension LIKE '61____'");
	LAB_UNTIL(lab_sbc.n_changed > changed + 100);
	lab_check(lab_sbc.n_changed < changed + 320, "are %u messages",
		lab_sbc.n_changed - changed);
	sets = lab_sbc.n_sets;
	lab_sql("UPDATE sbc.account SET digest = '{SHA-256}' "
		"WHERE extension = '101'");
	lab_check(LAB_UNTIL(lab_sbc.n_sets > sets ||
			    strcmp(lab_sql_one("SELECT count(*) FROM "
					       "sbc.authd_digest_list"),
				    "1") == 0),
		"a list of challenges of its own is part of the settings");
	lab_sql("UPDATE sbc.account SET digest = NULL");
}

static int by_time(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* Median time to the answer for a wrong password. */
static uint64_t median_us(bool known)
{
	enum { SAMPLES = 21 };
	uint64_t times[SAMPLES];
	struct lab_digest d;
	char name[32];

	for (int i = 0; i < SAMPLES; i++) {
		struct lab_auth *a;

		snprintf(name, sizeof(name), "unknown%c%c", 'a' + i % 26,
			'a' + i / 26);
		lab_digest_init(&d, known ? case_username : name, "wrong");
		a = lab_auth(&d);
		times[i] = a->answered_us - a->asked_us;
	}
	qsort(times, SAMPLES, sizeof(times[0]), by_time);
	return times[SAMPLES / 2];
}

void case_timing(void)
{
	uint64_t known, unknown;
	struct lab_digest d;

	lab_case("timing");
	lab_sql("UPDATE sbc.setting SET value = '1000' WHERE name = "
		"'ban_failures'");
	LAB_UNTIL(strstr(lab_sbc.pieces, "ban_failures:1000 "));
	LAB_UNTIL((lab_digest_init(&d, case_username, case_password),
		lab_auth(&d)->verdict == GH__AUTH_VERDICT__AUTH_VERDICT_OK));
	known = median_us(true);
	unknown = median_us(false);
	lab_check(known > 40000 && unknown > 40000,
		"a wrong password is answered late: %" PRIu64 " us", known);
	lab_check(known < unknown + 10000 && unknown < known + 10000,
		"an unknown name as late: %" PRIu64 " us", unknown);
}

void case_keeping(void)
{
	lab_case("keeping");
	lab_sql("INSERT INTO sbc.cdr (call, started_at, ended_at) VALUES "
		"('OLD', now() - interval '40 days', now()), "
		"('NEW', now() - interval '20 days', now())");
	lab_check(strtoul(lab_sql_one("SELECT sbc.records_purge(30)"), NULL,
			  10) >= 1 &&
			  strcmp(lab_sql_one("SELECT string_agg(call, ',') "
					     "FROM sbc.cdr WHERE call IN "
					     "('OLD', 'NEW')"),
				  "NEW") == 0,
		"records_purge deletes what is older");
	lab_check(strcmp(lab_sql_one("SELECT sbc.records_purge(0)"), "0") == 0,
		"0 days: nothing");
	lab_sql("DELETE FROM sbc.cdr WHERE call = 'NEW'");
}

/* authd is killed again and again while CDRs come and the database comes and
 * goes; whatever was not acknowledged is sent again, as sbc does. */
void case_kills(void)
{
	enum { ROUNDS = 8, PER_ROUND = 30 };
	static char calls[ROUNDS * PER_ROUND][IDENT_CALL_SIZE];
	unsigned n = 0, before, acked;
	char want[24];

	lab_case("kills");
	before = (unsigned)strtoul(
		lab_sql_one("SELECT count(*) FROM sbc.cdr"), NULL, 10);
	for (int round = 0; round < ROUNDS; round++) {
		unsigned first = n;

		if (round == 3) {
			lab_sql_close();
			lab_cluster_stop("immediate");
		}
		if (round == 6)
			lab_cluster_restart();
		for (int i = 0; i < PER_ROUND; i++)
			ident_make_call(calls[n++]);
		/* Each round kills after another number of acknowledgements. */
		acked = lab_sbc.n_acks;
		for (unsigned i = first; i < n; i++)
			case_send_cdr(calls[i], i);
		LAB_UNTIL(lab_sbc.n_acks >= acked + (unsigned)round * 4);
		lab_authd_stop(SIGKILL);
		lab_authd_start();
		LAB_UNTIL(!lab_sbc.up);
		LAB_UNTIL(lab_sbc.up);
		/* sbc does not know which were taken: it sends all again. */
		acked = lab_sbc.n_acks;
		for (unsigned i = first; i < n; i++)
			case_send_cdr(calls[i], i);
		lab_check(LAB_UNTIL(lab_sbc.n_acks == acked + PER_ROUND),
			"round %d: all are acknowledged after the kill", round);
	}
	snprintf(want, sizeof(want), "%u", before + n);
	lab_check(LAB_UNTIL(strcmp(lab_sql_one("SELECT count(*) FROM sbc.cdr"),
				    want) == 0),
		"%u CDRs are in SQL, each once", n);
	/* In order: a call sent later was never stored in an earlier batch. */
	lab_sql("CREATE TEMP TABLE sent (n int, call text)");
	for (unsigned i = 0; i < n; i++)
		lab_sql("INSERT INTO sent VALUES (%u, '%s')", i, calls[i]);
	lab_check(strcmp(lab_sql_one("SELECT count(*) FROM (SELECT c.stored_at "
				     "< lag(c.stored_at) OVER (ORDER BY s.n) "
				     "AS late FROM sent s JOIN sbc.cdr c USING "
				     "(call)) x WHERE late"),
			  "0") == 0 &&
			  strtoul(lab_sql_one("SELECT count(DISTINCT "
					      "c.stored_at) FROM sent JOIN "
					      "sbc.cdr c USING (call)"),
				  NULL, 10) > 3,
		"and in the order in which they were sent");
	lab_check(strcmp(lab_sql_one("SELECT count(*) FROM sbc.cdr_leg l "
				     "GROUP BY call HAVING count(*) <> 2"),
			  "") == 0,
		"with both legs");
}

void case_full_disk(void)
{
	char call[IDENT_CALL_SIZE];
	struct lab_digest d;
	unsigned acks;

	lab_case("full disk");
	lab_sbc_stop();
	lab_authd_stop(SIGTERM);
	lab_file_limit = 2048;
	lab_authd_start();
	lab_sbc_start();
	lab_check(LAB_UNTIL(lab_sbc.up && lab_sbc.n_sets >= 1),
		"authd works on a full disk");
	LAB_UNTIL((lab_digest_init(&d, case_username, case_password),
		lab_auth(&d)->verdict == GH__AUTH_VERDICT__AUTH_VERDICT_OK));
	lab_check(lab_sbc.auths[lab_sbc.n_auths - 1].verdict ==
			  GH__AUTH_VERDICT__AUTH_VERDICT_OK,
		"phones log in");
	acks = lab_sbc.n_acks;
	for (int i = 0; i < 10; i++) {
		ident_make_call(call);
		case_send_cdr(call, 900 + (uint64_t)i);
	}
	lab_check(LAB_UNTIL(lab_sbc.n_acks == acks + 10),
		"CDRs are acknowledged once the database has them");
	lab_check(strcmp(lab_sql_one("SELECT count(*) FROM sbc.cdr WHERE "
				     "call = '%s'",
				 call),
			  "1") == 0,
		"and it has them");
	lab_sbc_stop();
	lab_authd_stop(SIGTERM);
	lab_file_limit = -1;
	lab_authd_start();
	lab_sbc_start();
	lab_check(LAB_UNTIL(lab_sbc.up && lab_sbc.n_sets >= 1),
		"with room again");
}

static void from_hex(const char *hex, uint8_t *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		unsigned v = 0;

		(void)sscanf(hex + 2 * i, "%2x", &v);
		bytes[i] = (uint8_t)v;
	}
}

/* Secrets are in authd's memory while they are needed, and no longer. */
void case_memory(void)
{
	char hex[80];
	uint8_t raw[32];
	struct lab_digest d;

	lab_case("memory");
	lab_sbc_stop();
	lab_authd_stop(SIGTERM);
	lab_account_ttl_s = 2;
	lab_authd_start();
	lab_sbc_start();
	LAB_UNTIL(lab_sbc.up && lab_sbc.n_sets >= 1);
	snprintf(hex, sizeof(hex), "%s",
		lab_sql_one(
			"SELECT encode(ha1, 'hex') "
			"FROM sbc.account_secret JOIN sbc.account ON id = "
			"account "
			"WHERE extension = '101' AND algorithm = 'SHA-256'"));
	from_hex(hex, raw, sizeof(raw));
	if (lab_authd_has_sanitizer())
		return; /* it keeps freed memory; release builds are looked at
			 */
	if (lab_authd_count(raw, 32) < 0) {
		printf("skip only root may look\n");
		lab_skipped++;
		return;
	}
	/* Once the database is up, everything from the disk is forgotten. */
	lab_check(
		LAB_UNTIL((lab_digest_init(&d, case_username, case_password),
				  lab_auth(&d)->verdict ==
					  GH__AUTH_VERDICT__AUTH_VERDICT_OK) &&
			  lab_authd_count(raw, 32) == 1),
		"the HA1 is in the cache, once (%d)", lab_authd_count(raw, 32));
	lab_check(LAB_UNTIL(lab_authd_count(hex, 64) == 0),
		"a second later not as PostgreSQL sent it (%d)",
		lab_authd_count(hex, 64));
	lab_check(LAB_UNTIL(lab_authd_count(raw, 32) == 0),
		"after the entry ran out it is nowhere (%d)",
		lab_authd_count(raw, 32));
	lab_check(lab_authd_count(case_password, strlen(case_password)) == 0,
		"the password never was");
	lab_account_ttl_s = 3600;
}
