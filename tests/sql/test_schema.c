/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The schema by itself: migrations, every administrator's function, every
 * constraint with the words that an administrator reads.
 */
#include "tests/sql/cases.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define N_ROWS(table) (sizeof(table) / sizeof((table)[0]))

/* A database of before the event packages were checked keeps what it can. */
static void from_before_events(const char *sql_dir)
{
	char text[512], copy[256], command[1024];

	snprintf(copy, sizeof(copy), "%s/sql-before-events", lab_dir());
	snprintf(command, sizeof(command),
		"mkdir '%s' && cp -p '%s'/migrate '%s'/00* '%s'/010* "
		"'%s'/011* '%s'/012* '%s'/013* '%s'/014* '%s'/015* "
		"'%s'/016* '%s'",
		copy, sql_dir, sql_dir, sql_dir, sql_dir, sql_dir, sql_dir,
		sql_dir, sql_dir, sql_dir, copy);
	lab_check(system(command) == 0 &&
			  lab_migrate(copy, text, sizeof(text)) == 0,
		"an empty database takes the files of before: %s", text);
	lab_sql("INSERT INTO sbc.realm (name, zone, phones, digest_realm, "
		"codec_list, event_packages) SELECT n, 'outside', p, 'x', "
		"sbc.codec_list_id('default'), e FROM (VALUES "
		"('was', true, '{dialog,reg,dialog}'::text[]), "
		"('none', true, '{}'), ('odd', true, '{reg}'), "
		"('trunks', false, '{}')) v(n, p, e)");
	lab_check(lab_migrate(sql_dir, text, sizeof(text)) == 0,
		"and all files after them: %s", text);
	lab_check(strcmp(lab_sql_one("SELECT string_agg(name || "
				     "event_packages::text, ' ' ORDER BY name) "
				     "FROM sbc.realm"),
			  "none{message-summary,dialog,check-sync} "
			  "odd{message-summary,dialog,check-sync} "
			  "trunks{} was{dialog}") == 0,
		"packages that are known stay, phones without one get the "
		"usual");
	lab_sql("DELETE FROM sbc.realm; ALTER TABLE sbc.realm ALTER id "
		"RESTART");
}

void case_migrations(const char *sql_dir)
{
	char text[512], copy[256], command[1024];

	lab_case("migrations");
	from_before_events(sql_dir);
	lab_check(lab_migrate(sql_dir, text, sizeof(text)) == 0,
		"all files once more: %s", text);
	lab_check(lab_migrate(sql_dir, text, sizeof(text)) == 0 &&
			  strstr(text, "up to date"),
		"the second time changes nothing: %s", text);
	snprintf(copy, sizeof(copy), "%s/sql", lab_dir());
	snprintf(command, sizeof(command),
		"cp -r '%s' '%s' && chmod -R u+w '%s' && "
		"echo '-- changed' >> '%s/002_settings.sql'",
		sql_dir, copy, copy, copy);
	lab_check(system(command) == 0, "a copy of the files");
	lab_check(lab_migrate(copy, text, sizeof(text)) == 1 &&
			  strstr(text, "002_settings.sql was changed"),
		"a changed file is refused: %s", text);
	snprintf(command, sizeof(command),
		"cp '%s/002_settings.sql' '%s/' && "
		"printf 'CREATE TABLE sbc.t (n int);\\nSELECT 1/0;\\n' "
		"> '%s/999_bad.sql'",
		sql_dir, copy, copy);
	lab_check(system(command) == 0 &&
			  lab_migrate(copy, text, sizeof(text)) == 1 &&
			  strstr(text, "missing"),
		"a gap in the numbers is refused: %s", text);
	snprintf(command, sizeof(command),
		"n=$(ls '%s' | grep -c '^[0-9].*sql$'); "
		"mv '%s/999_bad.sql' '%s/'$(printf %%03d $n)_bad.sql",
		copy, copy, copy);
	lab_check(system(command) == 0 &&
			  lab_migrate(copy, text, sizeof(text)) == 1 &&
			  strstr(text, "division by zero"),
		"a bad file leaves nothing behind: %s", text);
	lab_check(strcmp(lab_sql_one("SELECT to_regclass('sbc.t') IS NULL"),
			  "t") == 0,
		"not even the table that it made");
	lab_check(
		strcmp(lab_sql_one("SELECT count(*) FROM pg_class c "
				   "WHERE c.relnamespace = 'sbc'::regnamespace "
				   "AND c.relkind IN ('r','v') "
				   "AND obj_description(c.oid) IS NULL"),
			"0") == 0,
		"every table and view has a comment");
	lab_check(
		strcmp(lab_sql_one(
			       "SELECT count(*) FROM pg_attribute a "
			       "JOIN pg_class c ON c.oid = a.attrelid "
			       "WHERE c.relnamespace = 'sbc'::regnamespace "
			       "AND c.relkind = 'r' AND a.attnum > 0 "
			       "AND NOT a.attisdropped "
			       "AND col_description(c.oid, a.attnum) IS NULL"),
			"0") == 0,
		"every column has a comment");
	lab_check(
		strcmp(lab_sql_one("SELECT count(*) FROM pg_proc p "
				   "WHERE p.pronamespace = 'sbc'::regnamespace "
				   "AND obj_description(p.oid) IS NULL"),
			"0") == 0,
		"every function has a comment");
}

/* Every function of an administrator: it works, and its first cell is this
 * text, or has it. */
static const struct {
	const char *what, *sql, *is, *has;
} functions[] = {
	{"add_realm",
		"SELECT sbc.add_realm('outside', 'outside', '127.0.0.1', "
		"domains => '{127.0.0.1,sip.example.net}', digest_realm => "
		"'gatehouse')",
		NULL, NULL},
	{"add_realm_address",
		"SELECT sbc.add_realm_address('outside', '127.0.0.1', 5062)",
		NULL, NULL},
	{"add_realm, inside",
		"SELECT sbc.add_realm('inside', 'inside', '127.0.0.3', "
		"media_port_min => 40000, media_port_max => 41000)",
		NULL, NULL},
	{"add_trunk",
		"SELECT sbc.add_trunk('itsp', '127.0.0.2', media_networks "
		"=> '{127.0.0.0/8}')",
		NULL, NULL},
	{"add_trunk, inside",
		"SELECT sbc.add_trunk('pbx', '127.0.0.4', 'inside')", NULL,
		NULL},
	{"add_number_rule",
		"SELECT sbc.add_number_rule('itsp', 'in_called', '0', "
		"'+49')",
		NULL, NULL},
	{"add_route to a trunk",
		"SELECT sbc.add_route('out', '+', '{itsp}', 'phones', 50)",
		NULL, NULL},
	{"add_route to extensions",
		"SELECT sbc.add_route('to-phones', '+4930')", NULL, NULL},
	{"add_emergency", "SELECT sbc.add_emergency('112', 'itsp')", NULL,
		NULL},
	{"block_caller",
		"SELECT sbc.block_caller('+4999'), "
		"sbc.block_caller('anonymous', 'itsp')",
		NULL, NULL},
	{"set_codec_list",
		"SELECT sbc.set_codec_list('narrow', 'pcma', "
		"'telephone-event')",
		NULL, "PCMA/8000"},
	{"add_acl", "SELECT sbc.add_acl('inside', '127.0.0.0/8')", "1", NULL},
	{"remove_acl", "SELECT sbc.remove_acl('inside', '127.0.0.0/8')", "1",
		NULL},
	{"add_phone gives a login",
		"SELECT count(*) FROM sbc.add_phone('101', 'Anna', "
		"'{+49301234567}') p WHERE p.username !~ '[0-9]' AND "
		"length(p.password) >= 20 AND p.digest_realm = 'gatehouse' "
		"AND p.domain = '127.0.0.1'",
		"1", NULL},
	{"three HA1 are stored",
		"SELECT count(*) FROM sbc.account_secret s JOIN "
		"sbc.account a ON a.id = s.account WHERE a.extension = "
		"'101'",
		"3", NULL},
	{"new_password",
		"WITH p AS (SELECT * FROM sbc.new_password('101')) SELECT "
		"count(*) FROM p WHERE length(password) >= 20",
		"1", NULL},
	{"disable_phone", "SELECT sbc.disable_phone('101')", NULL, NULL},
	{"list_phones",
		"SELECT count(*) FROM sbc.list_phones() WHERE NOT enabled", "1",
		NULL},
	{"enable_phone", "SELECT sbc.enable_phone('101')", NULL, NULL},
	{"move_extension",
		"SELECT sbc.move_extension('101', '102'), "
		"sbc.move_extension('102', '101')",
		NULL, NULL},
	{"add_number, remove_number",
		"SELECT sbc.add_number('101', '+49301234568'), "
		"sbc.remove_number('+49301234568')",
		NULL, NULL},
	{"add_phone, the extension alone", "SELECT sbc.add_phone('199')", NULL,
		NULL},
	{"delete_phone", "SELECT sbc.delete_phone('199')", NULL, NULL},
	{"delete_trunk",
		"SELECT sbc.add_trunk('gone', '127.0.0.9'), "
		"sbc.delete_trunk('gone')",
		NULL, NULL},
	{"delete_route",
		"SELECT sbc.add_route('gone'), sbc.delete_route('gone')", NULL,
		NULL},
	{"check_config finds nothing",
		"SELECT coalesce(string_agg(what || ': ' || problem, '; "
		"'), '') FROM sbc.check_config()",
		"", NULL},
	{"history says who",
		"SELECT string_agg(what, ',') FROM sbc.history h, LATERAL "
		"(SELECT h.who || h.table_name || h.action AS what) x "
		"WHERE table_name = 'account'",
		NULL, "postgresaccountinsert"},
	{"history has no secret",
		"SELECT count(*) FROM sbc.history WHERE old::text || "
		"new::text LIKE '%ha1%' OR new::text LIKE '%ha1%'",
		"0", NULL},
};

void case_functions(void)
{
	lab_case("functions");
	for (size_t i = 0; i < N_ROWS(functions); i++) {
		const char *sql = functions[i].sql, *cell;
		const char *is = functions[i].is, *has = functions[i].has;

		if (is == NULL && has == NULL) {
			lab_check(lab_sql("%s", sql), "%s", functions[i].what);
			continue;
		}
		cell = lab_sql_one("%s", sql);
		lab_check((is == NULL || strcmp(cell, is) == 0) &&
				  (has == NULL || strstr(cell, has) != NULL),
			"%s: %s", functions[i].what, cell);
	}
}

/* Statements that fail, with words of the message and of the hint. */
struct wrong {
	const char *sql, *message, *hint;
};

/* Phones and their accounts. */
static const struct wrong wrong_phones[] = {
	{"SELECT sbc.add_phone('101')", "the extension is already in use",
		NULL},
	{"SELECT sbc.add_phone('1x')", "an extension is 1 to 15", NULL},
	{"SELECT sbc.add_phone('103', numbers => '{+49301234567}')",
		"account_number_pkey", NULL},
	{"SELECT sbc.add_phone('103', numbers => '{030123}')",
		"a number is + and 2 to 15 digits", NULL},
	{"SELECT sbc.add_phone('103', E'a\\nb')", "no control characters",
		NULL},
	{"SELECT sbc.add_phone('103', nat => 'maybe')",
		"nat is auto, always or never", NULL},
	{"SELECT sbc.add_phone('103', realm => 'nowhere')",
		"there is no realm \"nowhere\"", "The realms are: inside"},
	{"SELECT sbc.add_phone('103', realm => 'inside')",
		"realm inside takes no phones", "phones = true"},
	{"SELECT sbc.add_phone('103', codec_list => 'x')",
		"there is no codec list \"x\"", "default"},
	{"INSERT INTO sbc.account (username, extension, realm) VALUES "
	 "('anna101xyz', '105', 1)",
		"contains a digit", "must not contain an extension"},
	{"INSERT INTO sbc.account (username, extension, realm) VALUES "
	 "('Anna', '105', 1)",
		"a user name contains no digit", NULL},
	{"UPDATE sbc.account SET username = 'somebodyelse'",
		"part of its password", "add it again"},
	{"SELECT sbc.new_password('999')", "there is no phone with extension",
		"list_phones"},
	{"SELECT sbc.add_number('101', '+49301234567')",
		"rings phone 101 already", "remove_number"},
	{"SELECT sbc.remove_number('+4911111')", "no phone has", NULL},
	{"INSERT INTO sbc.phone_import VALUES ('700', 'x', NULL, "
	 "'no'); "
	 "SELECT * FROM sbc.import_phones()",
		"no realm no", "Nothing was imported"},
};

/* Realms and addresses. */
static const struct wrong wrong_realms[] = {
	{"UPDATE sbc.realm SET digest_realm = 'other' WHERE id = 1",
		"is in use by", "Make a new realm"},
	{"UPDATE sbc.realm SET phones = false WHERE id = 1", "is in use by",
		NULL},
	{"SELECT sbc.add_realm('r', 'middle')", "a zone is outside or inside",
		NULL},
	{"SELECT sbc.add_realm('r', 'outside', '127.0.0.1')",
		"address, port and transport are already in use", NULL},
	{"SELECT sbc.add_realm('r', 'outside', '0.0.0.0')",
		"bind to a real address", NULL},
	{"SELECT sbc.add_realm('r', 'outside', '192.0.2.0/24')",
		"one address, without a prefix", NULL},
	{"SELECT sbc.add_realm('r', 'outside', '127.0.0.8', 70000)",
		"a port is 1 to 65535", NULL},
	{"SELECT sbc.add_realm('r r', 'outside')", "a name is 1 to 64", NULL},
	{"SELECT sbc.add_realm('r', 'outside', domains => '{A.b}')",
		"served domains are lower-case", NULL},
	{"SELECT sbc.add_realm('r', 'outside', media_port_min => 5, "
	 "media_port_max => 100)",
		"the media port range", NULL},
	{"UPDATE sbc.realm SET digest = '{MD5,SHA-1}'", "digest: MD5, SHA-256",
		NULL},
	{"UPDATE sbc.realm SET expires_min_s = 9999", "expiry: 1 <=", NULL},
	{"UPDATE sbc.realm SET srtp = 'yes'", "srtp is none", NULL},
	{"SELECT sbc.add_acl('outside', '192.0.2.1/24')", "invalid cidr", NULL},
};

/* Trunks and their rules. */
static const struct wrong wrong_trunks[] = {
	{"SELECT sbc.add_trunk('t', 'sip.example.net')",
		"its sources must be listed", "sources =>"},
	{"SELECT sbc.add_trunk('t', '192.0.2.1', 'nowhere')",
		"there is no realm", NULL},
	{"SELECT sbc.add_trunk('t', 'a b', sources => '{}')",
		"a target is an address or a lower-case", NULL},
	{"SELECT sbc.add_trunk('t', '192.0.2.1', transport => 'sctp')",
		"a transport is udp", NULL},
	{"SELECT sbc.add_trunk('t', '192.0.2.1', sources => "
	 "'{0.0.0.0/0}')",
		"a source is at least /8", NULL},
	{"SELECT sbc.add_trunk('itsp', '192.0.2.1')", "trunk_name_key", NULL},
	{"SELECT sbc.add_trunk_registration('t', '192.0.2.1', 'u', "
	 "'p')",
		"can not be sealed yet", "Start authd once"},
	{"SELECT sbc.add_trunk_registration('t', '192.0.2.1', 'u', '')",
		"1 to 128 characters", NULL},
	{"UPDATE sbc.trunk SET session_expires_s = 10",
		"the session timer is 0", NULL},
	{"UPDATE sbc.trunk SET registers = true WHERE name = 'pbx'",
		"needs a register_user", NULL},
	{"SELECT sbc.add_number_rule('itsp', 'in', '0', '')",
		"scope: in_called", NULL},
	{"SELECT sbc.add_number_rule('itsp', 'in_called', '(', '', "
	 "true)",
		"match is a prefix", NULL},
	{"SELECT sbc.add_number_rule('itsp', 'in_called', '0', 'x')",
		"replace has", NULL},
	{"INSERT INTO sbc.header_rule (trunk, direction, action, name) "
	 "VALUES (1, 'out', 'set', 'Via')",
		"this header belongs to the SBC", NULL},
	{"INSERT INTO sbc.header_rule (trunk, direction, action, name, "
	 "value) VALUES (1, 'out', 'set', 'X-A', E'a\\r\\nVia: b')",
		"a header value is one line", NULL},
};

/* Routes, codecs, settings, bans. */
static const struct wrong wrong_routes[] = {
	{"SELECT sbc.add_route('r', '', '{nobody}')",
		"there is no trunk \"nobody\"", "itsp"},
	{"SELECT sbc.add_route('r', 'abc')", "called_match is", NULL},
	{"SELECT sbc.add_route('r', '', '{reject}', reject_code => "
	 "200)",
		"a reject code is", NULL},
	{"SELECT sbc.add_route('out')", "route_name_key", NULL},
	{"SELECT sbc.delete_trunk('itsp')", "is a target of route(s)",
		"delete_route"},
	{"SELECT sbc.delete_route('nothing')", "there is no route", "out"},
	{"SELECT sbc.block_caller('abc')", "a blocked caller is", NULL},
	{"SELECT sbc.set_codec_list('x', 'MP3')", "codec \"MP3\" is not known",
		"Known are"},
	{"SELECT sbc.set_codec_list('x', 'telephone-event')",
		"no codec that carries speech", "PCMA"},
	{"UPDATE sbc.setting SET value = '0' WHERE name = 'ban_s'",
		"setting ban_s: the value \"0\" does not fit",
		"from 1 to 604800"},
	{"UPDATE sbc.setting SET value = 'x' WHERE name = 'ban_s'",
		"does not fit", NULL},
	{"DELETE FROM sbc.setting", "names are fixed", NULL},
	{"SELECT sbc.ban_lift('192.0.2.9')", "is not banned", "ban_list"},
};

static void all_fail(const struct wrong *rows, size_t n)
{
	for (size_t i = 0; i < n; i++)
		lab_sql_fails(rows[i].sql, rows[i].message, rows[i].hint);
}

void case_constraints(void)
{
	lab_case("constraints");
	all_fail(wrong_phones, N_ROWS(wrong_phones));
	all_fail(wrong_realms, N_ROWS(wrong_realms));
	all_fail(wrong_trunks, N_ROWS(wrong_trunks));
	all_fail(wrong_routes, N_ROWS(wrong_routes));
}

void case_roles(void)
{
	lab_case("roles");
	lab_sql_fails("SET ROLE sbc_admin; SELECT ha1 FROM sbc.account_secret",
		"permission denied", NULL);
	lab_sql_fails("SET ROLE sbc_admin; SELECT sealed FROM "
		      "sbc.trunk_credential",
		"permission denied", NULL);
	lab_sql_fails("SET ROLE sbc_admin; SELECT * FROM sbc.authd_account",
		"permission denied", NULL);
	lab_sql_fails("SET ROLE sbc_admin; SELECT sbc.store_password(1, 'x')",
		"permission denied", NULL);
	lab_sql_fails("SET ROLE sbc_viewer; SELECT sbc.delete_phone('101')",
		"permission denied", NULL);
	lab_sql_fails("SET ROLE sbc_viewer; UPDATE sbc.trunk SET enabled = "
		      "false",
		"permission denied", NULL);
	lab_sql_fails("SET ROLE sbc_authd; SELECT * FROM sbc.account",
		"permission denied", NULL);
	lab_sql_fails("SET ROLE sbc_authd; DELETE FROM sbc.cdr",
		"permission denied", NULL);
	lab_sql_fails("SET ROLE sbc_authd; SELECT sbc.add_phone('300')",
		"permission denied", NULL);
	lab_check(lab_sql("SET ROLE sbc_admin; SELECT sbc.add_phone('301'); "
			  "SELECT sbc.new_password('301'); "
			  "SELECT sbc.delete_phone('301'); RESET ROLE"),
		"an administrator adds and deletes a phone");
	lab_check(lab_sql("SET ROLE sbc_viewer; SELECT * FROM sbc.call_log; "
			  "SELECT * FROM sbc.list_phones(); "
			  "SELECT * FROM sbc.registration; RESET ROLE"),
		"a viewer looks");
	lab_sql_close();
}

/* A hundred thousand phones in one go, and one notification. */
void case_bulk(void)
{
	uint64_t begin = clock_now_us();

	lab_case("bulk import");
	lab_check(lab_sql("INSERT INTO sbc.phone_import SELECT 500000 + g, "
			  "'Phone ' || g, '+4940' || 1000000 + g, NULL "
			  "FROM generate_series(1, 10000) g"),
		"ten thousand phones are put in the waiting room");
	lab_check(strcmp(lab_sql_one("SELECT count(DISTINCT password) FROM "
				     "sbc.import_phones()"),
			  "10000") == 0,
		"they are phones now, each with its own password");
	lab_check(clock_now_us() - begin < 20 * CLOCK_US_PER_S,
		"within seconds (%u ms)",
		(unsigned)((clock_now_us() - begin) / 1000));
	lab_check(lab_sql("DELETE FROM sbc.account WHERE extension LIKE "
			  "'5_____'"),
		"and gone again");
}
