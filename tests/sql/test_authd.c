/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The real authd between a real PostgreSQL and an sbc of the test's own: what
 * it answers, what reaches the database, what happens when that is away.
 *
 *	tests/sql/test_authd [folder of the migrations]
 *
 * GH_AUTHD names the program, GH_PG_BIN PostgreSQL's folder. Ends with
 * "N passed, N failed, N skipped".
 */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/ident.h"
#include "tests/sql/cases.h"

char case_username[80], case_password[80];

void case_login(const char *extension, const char *name)
{
	snprintf(case_username, sizeof(case_username), "%s",
		lab_sql_one("SELECT username FROM sbc.account WHERE "
			    "extension = '%s'",
			extension));
	snprintf(case_password, sizeof(case_password), "%s",
		lab_sql_one("SELECT password FROM sbc.new_password('%s')",
			extension));
	lab_check(*case_username && *case_password, "the login of %s", name);
}

static const char *reason_word(uint32_t number)
{
	enum reason r;

	return reason_from_number(number, &r) == 0 ? reason_text(r) : "?";
}

static void expect(const struct lab_auth *a, Gh__AuthVerdict verdict,
	const char *reason, const char *what)
{
	lab_check(a->done && a->verdict == verdict &&
			  strcmp(reason_word(a->reason), reason) == 0,
		"%s: %s (verdict %d %s)", what, reason, (int)a->verdict,
		a->done ? reason_word(a->reason) : "no answer");
}

#define OK        GH__AUTH_VERDICT__AUTH_VERDICT_OK
#define CHALLENGE GH__AUTH_VERDICT__AUTH_VERDICT_CHALLENGE
#define STALE     GH__AUTH_VERDICT__AUTH_VERDICT_STALE
#define REFUSED   GH__AUTH_VERDICT__AUTH_VERDICT_REFUSED

void case_start(void)
{
	lab_case("start");
	lab_authd_start();
	lab_sbc_start();
	lab_check(LAB_UNTIL(lab_sbc.up), "authd takes the link");
	lab_check(LAB_UNTIL(lab_sbc.has_nonce_keys), "it sends nonce keys");
	lab_check(LAB_UNTIL(lab_sbc.saved_done), "and bindings");
	lab_check(LAB_UNTIL(lab_sbc.n_sets >= 1), "and settings");
	lab_check(lab_sbc.n_realms == 2 && lab_sbc.n_trunks == 2 &&
			  lab_sbc.n_routes == 3 && lab_sbc.n_codec_lists == 2,
		"all of them: %u realms, %u trunks, %u routes, %u codec lists",
		lab_sbc.n_realms, lab_sbc.n_trunks, lab_sbc.n_routes,
		lab_sbc.n_codec_lists);
	lab_check(
		LAB_UNTIL(strcmp(lab_sql_one(
					 "SELECT state FROM sbc.config_state"),
				  "accepted") == 0),
		"config_status says accepted");
	lab_check(LAB_UNTIL(strcmp(lab_sql_one("SELECT count(*) > 100 FROM "
					       "sbc.reason"),
				    "t") == 0),
		"the reasons are in SQL");
}

void case_settings(void)
{
	unsigned sets = lab_sbc.n_sets;
	uint64_t begin;

	lab_case("settings");
	begin = clock_now_us();
	lab_sql("BEGIN; SELECT sbc.add_trunk('second', '127.0.0.7'); "
		"SELECT sbc.add_route('second', '+1', '{second}'); "
		"UPDATE sbc.setting SET value = '7' WHERE name = "
		"'retry_after_s'; COMMIT");
	lab_check(LAB_UNTIL(lab_sbc.n_sets > sets), "a change arrives");
	lab_check(clock_now_us() - begin < CLOCK_US_PER_S,
		"within a second (%u ms)",
		(unsigned)((clock_now_us() - begin) / 1000));
	lab_check(strstr(lab_sbc.pieces, "trunk:second ") &&
			  strstr(lab_sbc.pieces, "route:second ") &&
			  strstr(lab_sbc.pieces, "retry_after_s:7 "),
		"whole");
	lab_check(lab_sbc.n_sets == sets + 1, "as one set");
	lab_sbc.accept_settings = false;
	sets = lab_sbc.n_sets;
	lab_sql("SELECT sbc.add_trunk('bad', '127.0.0.8')");
	lab_check(LAB_UNTIL(lab_sbc.n_sets > sets), "another change arrives");
	lab_check(LAB_UNTIL(strcmp(lab_sql_one("SELECT state || ' ' || problem "
					       "FROM sbc.config_state"),
				    "refused trunk 1: does not suit") == 0),
		"sbc refuses it, and config_status says why");
	lab_sbc.accept_settings = true;
	sets = lab_sbc.n_sets;
	lab_sql("SELECT sbc.delete_trunk('bad')");
	lab_check(LAB_UNTIL(lab_sbc.n_sets > sets ||
			    strcmp(lab_sql_one("SELECT count(*) FROM sbc.trunk "
					       "WHERE name = 'bad'"),
				    "0") == 0),
		"it is taken back");
}

void case_auth(void)
{
	struct lab_digest d;
	struct lab_auth *a;

	lab_case("credentials");
	lab_sql("UPDATE sbc.setting SET value = '1000' WHERE name = "
		"'ban_failures'");
	case_login("101", "Anna");
	lab_digest_init(&d, case_username, case_password);
	a = lab_auth(&d);
	expect(a, OK, "auth_ok", "right password");
	lab_check(strcmp(a->extension, "101") == 0, "and whose it is");
	a = lab_auth(&d);
	expect(a, STALE, "auth_replay", "the same header again");
	snprintf(d.nc, sizeof(d.nc), "00000002");
	expect(lab_auth(&d), OK, "auth_ok", "the next nonce count");
	lab_digest_init(&d, case_username, "wrong");
	a = lab_auth(&d);
	expect(a, CHALLENGE, "auth_wrong", "wrong password");
	lab_digest_init(&d, "nobodyatall", "wrong");
	expect(lab_auth(&d), CHALLENGE, "auth_wrong", "unknown user");
	lab_check(
		a->n_offers == 1 && a->first_offer == 0, "one challenge, MD5");
	lab_digest_init(&d, "x'; DROP TABLE sbc.cdr; --", "wrong");
	expect(lab_auth(&d), CHALLENGE, "auth_wrong", "SQL in the name");
	lab_digest_init(&d, "\xff\xfe not utf-8", "wrong");
	expect(lab_auth(&d), CHALLENGE, "auth_wrong", "no UTF-8");
	memset(d.username, 'u', 299);
	d.username[299] = '\0';
	expect(lab_auth(&d), REFUSED, "auth_syntax", "an endless name");
	lab_digest_init(&d, case_username, case_password);
	snprintf(d.source, sizeof(d.source), "198.51.100.8:5060");
	expect(lab_auth(&d), STALE, "auth_stale", "nonce of another source");
	lab_digest_init(&d, case_username, case_password);
	snprintf(d.source, sizeof(d.source), "198.51.100.7:40000");
	expect(lab_auth(&d), OK, "auth_ok", "another port is the same source");
	lab_digest_init(&d, case_username, case_password);
	d.nonce[20] = d.nonce[20] == 'A' ? 'B' : 'A';
	expect(lab_auth(&d), CHALLENGE, "auth_forged_nonce", "forged nonce");
	lab_digest_init(&d, case_username, case_password);
	d.purpose = GH__AUTH_PURPOSE__AUTH_DIALOG;
	d.dialog_account = 99999;
	expect(lab_auth(&d), REFUSED, "auth_identity", "another's dialog");
	lab_sql("INSERT INTO sbc.account_acl SELECT id, '203.0.113.0/24' FROM "
		"sbc.account WHERE extension = '101'");
	LAB_UNTIL((lab_digest_init(&d, case_username, case_password),
		lab_auth(&d)->verdict == REFUSED));
	expect(&lab_sbc.auths[lab_sbc.n_auths - 1], REFUSED, "auth_network",
		"not from this network");
	lab_sql("DELETE FROM sbc.account_acl; SELECT sbc.disable_phone('101')");
	LAB_UNTIL((lab_digest_init(&d, case_username, case_password),
		strcmp(reason_word(lab_auth(&d)->reason), "auth_disabled") ==
			0));
	expect(&lab_sbc.auths[lab_sbc.n_auths - 1], CHALLENGE, "auth_disabled",
		"disabled");
	lab_sql("SELECT sbc.enable_phone('101')");
	lab_check(LAB_UNTIL((lab_digest_init(&d, case_username, case_password),
			  lab_auth(&d)->verdict == OK)),
		"enabled again");
}

/* Everything that a lax server would accept. */
void case_laxness(void)
{
	struct lab_digest d;

	lab_case("laxness");
#define VARIANT(change, verdict, reason, what)                                 \
	do {                                                                   \
		lab_digest_init(&d, case_username, case_password);             \
		change;                                                        \
		expect(lab_auth(&d), verdict, reason, what);                   \
	} while (0)
#define SET(field, value) snprintf(d.field, sizeof(d.field), "%s", value)

	VARIANT(SET(qop, ""), CHALLENGE, "auth_qop", "no qop");
	VARIANT(SET(qop, "auth-int"), CHALLENGE, "auth_qop",
		"qop that was not offered");
	VARIANT(SET(qop, "AUTH"), CHALLENGE, "auth_qop", "qop in capitals");
	VARIANT(SET(algorithm, "SHA-256"), REFUSED, "auth_syntax",
		"SHA-256 label on an MD5 hash");
	VARIANT((SET(algorithm, "SHA-256"),
			d.hash = GH__ALGORITHM__ALGORITHM_SHA256),
		CHALLENGE, "auth_algorithm", "algorithm that was not offered");
	VARIANT(SET(algorithm, "MD5-sess"), CHALLENGE, "auth_algorithm",
		"MD5-sess label");
	VARIANT(SET(algorithm, "none"), CHALLENGE, "auth_algorithm",
		"unknown algorithm");
	VARIANT(SET(algorithm, ""), OK, "auth_ok",
		"no algorithm is MD5 (RFC 7616)");
	VARIANT(SET(request_uri, "sip:other@127.0.0.1"), CHALLENGE, "auth_uri",
		"another URI");
	VARIANT(SET(realm, "other"), CHALLENGE, "auth_realm", "another realm");
	VARIANT(SET(nc, "00000000"), REFUSED, "auth_syntax", "nc zero");
	VARIANT(SET(nc, "1"), REFUSED, "auth_syntax", "short nc");
	VARIANT(SET(nc, "ffffffffff"), REFUSED, "auth_syntax", "huge nc");
	VARIANT(SET(nc, "0000000g"), REFUSED, "auth_syntax", "nc no hex");
	VARIANT(SET(cnonce, ""), REFUSED, "auth_syntax", "no cnonce");
	VARIANT(SET(response, "x"), REFUSED, "auth_syntax", "short response");
	VARIANT(SET(response, "0123456789ABCDEF0123456789ABCDEF"), REFUSED,
		"auth_syntax", "response in capitals");
	VARIANT(SET(response, "0123456789abcdef0123456789abcdef"), CHALLENGE,
		"auth_wrong", "made-up response");
	VARIANT(SET(method, "INVITE"), OK, "auth_ok", "made for INVITE");
	VARIANT(SET(nonce, ""), CHALLENGE, "auth_forged_nonce", "no nonce");
	lab_sql("UPDATE sbc.account SET digest = '{SHA-256/auth-int}' "
		"WHERE extension = '101'");
	LAB_UNTIL((lab_digest_init(&d, case_username, case_password),
		lab_auth(&d)->first_offer == GH__ALGORITHM__ALGORITHM_SHA256));
	expect(&lab_sbc.auths[lab_sbc.n_auths - 1], CHALLENGE, "auth_algorithm",
		"MD5 where only SHA-256 is offered");
	lab_check(lab_sbc.auths[lab_sbc.n_auths - 1].first_qop ==
			  GH__QOP__QOP_AUTH_INT,
		"auth-int is offered");
	VARIANT((SET(algorithm, "SHA-256"), SET(qop, "auth-int"),
			d.body = "hello",
			d.hash = GH__ALGORITHM__ALGORITHM_SHA256),
		OK, "auth_ok", "SHA-256 with auth-int");
	lab_sql("UPDATE sbc.account SET digest = '{SHA-512-256}' "
		"WHERE extension = '101'");
	LAB_UNTIL((lab_digest_init(&d, case_username, case_password),
		lab_auth(&d)->first_offer ==
			GH__ALGORITHM__ALGORITHM_SHA512_256));
	VARIANT((SET(algorithm, "SHA-512-256"),
			d.hash = GH__ALGORITHM__ALGORITHM_SHA512_256),
		OK, "auth_ok", "SHA-512-256");
	lab_sql("UPDATE sbc.account SET digest = NULL");
	lab_check(LAB_UNTIL((lab_digest_init(&d, case_username, case_password),
			  lab_auth(&d)->verdict == OK)),
		"back to MD5");
#undef VARIANT
#undef SET
}

static void query(Gh__AccountKey by, const char *key)
{
	Gh__AccountQuery q = GH__ACCOUNT_QUERY__INIT;
	IPC_MSG(msg, ACCOUNT_QUERY, account_query, &q);
	unsigned before = lab_sbc.n_account_answers;

	q.id = 1;
	q.by = by;
	q.key = LAB_TEXT(key);
	lab_send(&msg);
	LAB_UNTIL(lab_sbc.n_account_answers > before);
}

/* One question tells of all numbers between two that somebody has. */
static void numbers_of_nobody(void)
{
	unsigned changed;

	query(GH__ACCOUNT_KEY__ACCOUNT_BY_NUMBER, "+49301234000");
	lab_check(!lab_sbc.account_found && !lab_sbc.account_unavailable,
		"a number of nobody");
	lab_check(LAB_UNTIL(strcmp(lab_sql_one("SELECT count(*) > 0 FROM "
					       "pg_stat_activity WHERE state = "
					       "'idle' AND query LIKE "
					       "'%%AS below%%'"),
				    "t") == 0),
		"how far around it that is so is asked for");
	lab_cluster_freeze(true);
	query(GH__ACCOUNT_KEY__ACCOUNT_BY_NUMBER, "+49301234001");
	lab_check(!lab_sbc.account_found && !lab_sbc.account_unavailable,
		"the next one is known without the database");
	lab_cluster_freeze(false);
	changed = lab_sbc.n_changed;
	lab_sql("SELECT sbc.add_number('101', '+49301234001')");
	lab_check(LAB_UNTIL(lab_sbc.n_changed > changed),
		"it becomes somebody's");
	query(GH__ACCOUNT_KEY__ACCOUNT_BY_NUMBER, "+49301234001");
	lab_check(lab_sbc.account_found, "and is found");
	query(GH__ACCOUNT_KEY__ACCOUNT_BY_NUMBER, "+49301234000");
	lab_check(!lab_sbc.account_found, "its neighbour is not");
	changed = lab_sbc.n_changed;
	lab_sql("DELETE FROM sbc.account_number WHERE number = "
		"'+49301234001'");
	lab_check(LAB_UNTIL(lab_sbc.n_changed > changed), "it is taken back");
}

void case_accounts(void)
{
	char id[32];
	unsigned changed;

	lab_case("accounts");
	query(GH__ACCOUNT_KEY__ACCOUNT_BY_EXTENSION, "101");
	lab_check(lab_sbc.account_found &&
			  strcmp(lab_sbc.account_numbers, "+49301234567") == 0,
		"by extension");
	query(GH__ACCOUNT_KEY__ACCOUNT_BY_NUMBER, "+49301234567");
	lab_check(lab_sbc.account_found &&
			  strcmp(lab_sbc.account_extension, "101") == 0,
		"by number");
	query(GH__ACCOUNT_KEY__ACCOUNT_BY_USER, case_username);
	lab_check(lab_sbc.account_found, "by user name");
	snprintf(id, sizeof(id), "%s",
		lab_sql_one("SELECT id FROM sbc.account "
			    "WHERE extension = '101'"));
	query(GH__ACCOUNT_KEY__ACCOUNT_BY_ID, id);
	lab_check(lab_sbc.account_found, "by id");
	query(GH__ACCOUNT_KEY__ACCOUNT_BY_EXTENSION, "999");
	lab_check(!lab_sbc.account_found && !lab_sbc.account_unavailable,
		"not there");
	query(GH__ACCOUNT_KEY__ACCOUNT_BY_EXTENSION, "1'1");
	lab_check(!lab_sbc.account_found && !lab_sbc.account_unavailable,
		"not possible");
	query((Gh__AccountKey)17, "101");
	lab_check(!lab_sbc.account_found, "no such key");
	changed = lab_sbc.n_changed;
	lab_sql("SELECT sbc.add_phone('999', 'New')");
	lab_check(LAB_UNTIL(lab_sbc.n_changed > changed),
		"sbc hears of a new phone");
	query(GH__ACCOUNT_KEY__ACCOUNT_BY_EXTENSION, "999");
	lab_check(lab_sbc.account_found, "and finds it");
	changed = lab_sbc.n_changed;
	lab_sql("SELECT sbc.delete_phone('999')");
	lab_check(LAB_UNTIL(lab_sbc.n_changed > changed), "it is deleted");
	query(GH__ACCOUNT_KEY__ACCOUNT_BY_EXTENSION, "999");
	lab_check(!lab_sbc.account_found, "and not found");
	numbers_of_nobody();
}

void case_send_cdr(const char *call, uint64_t id)
{
	Gh__Cdr c = GH__CDR__INIT;
	Gh__CdrLeg in = GH__CDR_LEG__INIT, out = GH__CDR_LEG__INIT;
	Gh__MediaStats media = GH__MEDIA_STATS__INIT;
	Gh__DropCount drop = GH__DROP_COUNT__INIT, *drops[] = {&drop};
	Gh__Decision first = GH__DECISION__INIT, second = GH__DECISION__INIT;
	Gh__Decision *decisions[] = {&first, &second};
	Gh__CdrWrite w = GH__CDR_WRITE__INIT;
	IPC_MSG(msg, CDR_WRITE, cdr_write, &w);

	c.call = LAB_TEXT(call);
	c.wall_start_us = 1767225600123456;
	c.wall_ring_us = c.wall_start_us + 1000000;
	c.wall_answer_us = c.wall_start_us + 2000000;
	c.wall_end_us = c.wall_start_us + 12000000;
	c.duration_us = 10000000;
	c.caller = LAB_TEXT("+4930555");
	c.called = LAB_TEXT("+49301234567");
	c.caller_name = LAB_TEXT("O'Neil \"\\ \xff");
	c.sip_status = 200;
	c.far_status = 200;
	c.reason = reason_number(REASON_CALL_CALLER_HUNG_UP);
	c.hangup_side = LAB_TEXT("caller");
	c.route = 1;
	c.attempts = 1;
	in.kind = LAB_TEXT("trunk");
	in.trunk = 1;
	in.realm = 1;
	in.peer = LAB_TEXT("127.0.0.2:5060");
	in.call_id = LAB_TEXT("abc@127.0.0.2");
	in.codec = LAB_TEXT("PCMA");
	media.rx_packets = 500;
	media.rx_octets = 80000;
	media.rx_expected = 505;
	media.rx_lost = 5;
	media.rx_jitter_us = 1500;
	media.mos_centi = 431;
	media.learned = LAB_TEXT("127.0.0.2:4000");
	media.learn_reason = reason_number(REASON_LEARN_SIGNALED);
	drop.reason = reason_number(REASON_RTP_SOURCE);
	drop.n = 3;
	media.drops = drops;
	media.n_drops = 1;
	in.media = &media;
	out.kind = LAB_TEXT("phone");
	out.account = 1;
	out.realm = 1;
	c.caller_leg = &in;
	c.called_leg = &out;
	first.wall_us = c.wall_start_us;
	first.reason = reason_number(REASON_ADMIT_OK);
	second.wall_us = c.wall_start_us + 1;
	second.reason = reason_number(REASON_ROUTE_OK);
	second.data = LAB_TEXT("route to-phones");
	c.decisions = decisions;
	c.n_decisions = 2;
	w.id = id;
	w.cdr = &c;
	if (!lab_send(&msg))
		lab_check(false, "a CDR could not be sent");
}

void case_records(void)
{
	char call[IDENT_CALL_SIZE];

	lab_case("records");
	ident_make_call(call);
	case_send_cdr(call, 41);
	lab_check(LAB_UNTIL(lab_sbc.n_acks == 1 && lab_sbc.last_ack == 41),
		"a CDR is acknowledged");
	lab_check(LAB_UNTIL(strcmp(lab_sql_one("SELECT count(*) FROM sbc.cdr"),
				    "1") == 0),
		"it is in SQL");
	case_send_cdr(call, 42);
	lab_check(LAB_UNTIL(lab_sbc.n_acks == 2), "sent twice");
	ident_make_call(call);
	case_send_cdr(call, 43);
	lab_check(LAB_UNTIL(strcmp(lab_sql_one("SELECT count(*) FROM sbc.cdr"),
				    "2") == 0),
		"it is in SQL once");
	lab_check(
		strcmp(lab_sql_one(
			       "SELECT concat_ws('|', to_char(started_at "
			       "AT TIME ZONE 'UTC', "
			       "'YYYY-MM-DD\"T\"HH24:MI:SS.US'), "
			       "to_char(answered_at AT TIME ZONE 'UTC', 'SS'), "
			       "duration_us, caller, called, sip_status, "
			       "reason, "
			       "hangup_side, route_name, attempts) FROM "
			       "sbc.cdr "
			       "WHERE call = '%s'",
			       call),
			"2026-01-01T00:00:00.123456|02|10000000|+4930555|"
			"+49301234567|200|401|caller|out|1") == 0,
		"field by field");
	lab_check(strcmp(lab_sql_one(
				 "SELECT concat_ws('|', kind, trunk_name, "
				 "peer, call_id, codec, rx_packets, rx_octets, "
				 "rx_expected, rx_lost, rx_jitter_us, mos, "
				 "media_source, "
				 "drops->0->>'n') FROM sbc.cdr_leg WHERE call "
				 "= '%s' AND "
				 "side = 'caller'",
				 call),
			  "trunk|itsp|127.0.0.2:5060|abc@127.0.0.2|PCMA|500|"
			  "80000|"
			  "505|5|1500|4.31|127.0.0.2:4000|3") == 0,
		"and its leg");
	lab_check(strcmp(lab_sql_one("SELECT extension FROM sbc.cdr_leg WHERE "
				     "call = '%s' AND side = 'called'",
				 call),
			  "101") == 0,
		"and the other one");
	lab_check(strcmp(lab_sql_one("SELECT count(*) FROM sbc.call_explain "
				     "WHERE call = '%s' AND explanation <> ''",
				 call),
			  "3") == 0,
		"call_explain tells it");
	lab_check(strcmp(lab_sql_one("SELECT calls_in || ' ' || mos_average || "
				     "' ' || lost_percent FROM "
				     "sbc.calls_per_hour WHERE "
				     "trunk = 'itsp'"),
			  "2 4.31 0.99") == 0,
		"calls_per_hour counts it");
	Gh__Event e = GH__EVENT__INIT;
	IPC_MSG(msg, EVENT, event, &e);

	e.wall_us = 1767225600000000;
	e.reason = reason_number(REASON_TRUNK_DOWN);
	e.trunk = 1;
	e.data = LAB_TEXT("no answer to OPTIONS");
	lab_send(&msg);
	lab_check(LAB_UNTIL(strcmp(lab_sql_one("SELECT event || ' ' || trunk "
					       "FROM sbc.event_log"),
				    "trunk_down itsp") == 0),
		"an event is in SQL");
}

static void bind_phone(
	uint64_t account, const char *contact, const char *source)
{
	Gh__Binding b = GH__BINDING__INIT, *list[] = {&b};
	Gh__BindingsUpdate u = GH__BINDINGS_UPDATE__INIT;
	IPC_MSG(msg, BINDINGS_UPDATE, bindings_update, &u);

	u.account = account;
	b.account = account;
	b.realm = 1;
	b.contact = LAB_TEXT(contact);
	b.source = LAB_TEXT(source);
	b.local = LAB_TEXT("127.0.0.1:5060");
	b.wall_expires_us = clock_wall_us() + 3600 * CLOCK_US_PER_S;
	b.wall_registered_us = clock_wall_us();
	b.call_id = LAB_TEXT("reg1");
	b.cseq = 7;
	b.user_agent = LAB_TEXT("phone \"x\"");
	u.bindings = list;
	u.n_bindings = contact ? 1 : 0;
	lab_send(&msg);
}

void case_bindings(void)
{
	uint64_t account = strtoull(lab_sql_one("SELECT id FROM sbc.account "
						"WHERE extension = '101'"),
		NULL, 10);

	lab_case("bindings");
	bind_phone(account, "sip:a@198.51.100.7:5060", "198.51.100.7:5060");
	lab_check(LAB_UNTIL(strcmp(lab_sql_one("SELECT extension || ' ' || "
					       "contact || ' ' || transport "
					       "FROM sbc.registration"),
				    "101 sip:a@198.51.100.7:5060 udp") == 0),
		"a registration is in SQL");
	bind_phone(account, NULL, "");
	lab_check(LAB_UNTIL(strcmp(lab_sql_one("SELECT count(*) FROM "
					       "sbc.registration"),
				    "0") == 0),
		"and gone");
	bind_phone(account, "sip:b@198.51.100.7:5060", "198.51.100.7:5060");
	lab_check(LAB_UNTIL(strcmp(lab_sql_one("SELECT count(*) FROM "
					       "sbc.registration"),
				    "1") == 0),
		"and back");
	lab_sbc_stop();
	lab_authd_stop(SIGKILL);
	lab_authd_start();
	lab_sbc_start();
	lab_check(
		LAB_UNTIL(lab_sbc.saved_done && lab_sbc.n_saved_bindings == 1 &&
			  strcmp(lab_sbc.saved_contact,
				  "sip:b@198.51.100.7:5060") == 0),
		"authd gives it back after kill -9");
	lab_check(LAB_UNTIL(lab_sbc.n_sets >= 1), "with settings");
}

static void fail_from(const char *source, unsigned times)
{
	struct lab_digest d;
	struct addr a;

	for (unsigned i = 0; i < times; i++) {
		lab_digest_init(&d, "nobodyatall", "wrong");
		snprintf(d.source, sizeof(d.source), "%s", source);
		if (addr_parse(source, &a) < 0 ||
			nonce_make(&lab_sbc.nonce_keys, 1, &a, clock_now_us(),
				d.nonce) < 0)
			return;
		lab_auth(&d);
	}
}

void case_bans(void)
{
	struct lab_digest d;

	lab_case("bans");
	LAB_UNTIL(lab_sbc.has_nonce_keys);
	lab_sql("UPDATE sbc.setting SET value = '3' WHERE name = "
		"'ban_failures'");
	LAB_UNTIL(strstr(lab_sbc.pieces, "ban_failures:3 "));
	LAB_UNTIL(strcmp(lab_sql_one("SELECT state FROM sbc.config_state"),
			  "accepted") == 0);
	fail_from("203.0.113.5:5060", 2);
	lab_check(lab_sbc.n_bans == 0, "two failures ban nobody");
	lab_digest_init(&d, "nobodyatall", "wrong");
	snprintf(d.source, sizeof(d.source), "203.0.113.5:5060");
	lab_auth(&d);
	lab_auth(&d);
	lab_check(lab_sbc.n_bans == 0, "nonces of others ban nobody");
	fail_from("203.0.113.5:9999", 1);
	lab_check(LAB_UNTIL(lab_sbc.n_bans == 1 &&
			    strcmp(lab_sbc.ban_host, "203.0.113.5") == 0),
		"the third does, from whatever port");
	lab_check(
		LAB_UNTIL(
			strcmp(lab_sql_one(
				       "SELECT host(host) || ' ' || failures "
				       "|| ' ' || last_user || ' ' || reason "
				       "FROM "
				       "sbc.ban_list"),
				"203.0.113.5 3 nobodyatall ban_failures") == 0),
		"it is in SQL");
	lab_check(LAB_UNTIL(strcmp(lab_sql_one("SELECT count(*) FROM "
					       "sbc.security_event WHERE event "
					       "= 'ban_failures'"),
				    "1") == 0),
		"as an event too");
	fail_from("127.0.0.2:5060", 5);
	lab_check(lab_sbc.n_bans == 1, "a trunk is exempt");
	fail_from("[2001:db8::1]:5060", 2);
	fail_from("[2001:db8::2]:5060", 1);
	lab_check(LAB_UNTIL(lab_sbc.n_bans == 2), "an IPv6 /64 is one source");
	lab_sql("SELECT sbc.ban_lift('203.0.113.5')");
	lab_check(LAB_UNTIL(lab_sbc.n_lifts == 1), "ban_lift reaches sbc");
	lab_check(strcmp(lab_sql_one("SELECT count(*) FROM sbc.ban_list"),
			  "1") == 0,
		"one is left");
	fail_from("198.51.100.7:5060", 4);
	lab_check(lab_sbc.n_bans == 2,
		"a source with a registration is not banned for one name");
}

static void trunk_auth(uint32_t trunk, const char *peer, const char *challenge)
{
	Gh__TrunkAuthRequest r = GH__TRUNK_AUTH_REQUEST__INIT;
	IPC_MSG(msg, TRUNK_AUTH_REQUEST, trunk_auth_request, &r);
	unsigned before = lab_sbc.n_trunk_answers;

	r.id = 9;
	r.trunk = trunk;
	r.peer = LAB_TEXT(peer);
	r.challenge = LAB_TEXT(challenge);
	r.method = LAB_TEXT("REGISTER");
	r.uri = LAB_TEXT("sip:192.0.2.99");
	lab_send(&msg);
	LAB_UNTIL(lab_sbc.n_trunk_answers > before);
}

void case_trunk(void)
{
	unsigned sets = lab_sbc.n_sets;
	uint32_t id;

	lab_case("trunk credentials");
	lab_check(lab_sql("SELECT sbc.add_trunk_registration('reg', "
			  "'192.0.2.99', 'us', 'Pa\"ss word', digest_realm => "
			  "'itsp.example')"),
		"a trunk that we register at");
	lab_check(strcmp(lab_sql_one("SELECT sealed IS NOT NULL AND ha1_md5 IS "
				     "NULL FROM sbc.trunk_credential"),
			  "t") == 0,
		"its password is sealed");
	id = (uint32_t)strtoul(lab_sql_one("SELECT id FROM sbc.trunk WHERE "
					   "name = 'reg'"),
		NULL, 10);
	LAB_UNTIL(lab_sbc.n_sets > sets);
	LAB_UNTIL(strcmp(lab_sql_one("SELECT state FROM sbc.config_state"),
			  "accepted") == 0);
	LAB_UNTIL(
		(trunk_auth(id, "192.0.2.99:5060",
			 "Digest "
			 "realm=\"itsp.example\", nonce=\"n1\", qop=\"auth\""),
			lab_sbc.trunk_ok));
	lab_check(
		lab_sbc.trunk_ok &&
			strstr(lab_sbc.trunk_header, "Digest username=\"us\", "
						     "realm=\"itsp.example\", "
						     "nonce=\"n1\"") &&
			strstr(lab_sbc.trunk_header, "qop=auth, nc=00000001"),
		"an answer: %s", lab_sbc.trunk_header);
	trunk_auth(id, "192.0.2.99:5060",
		"Digest realm=\"itsp.example\", nonce=\"n1\"");
	/* MD5("us:itsp.example:Pa\"ss word"), MD5("REGISTER:sip:192.0.2.99") */
	{
		char *expected = strdup(lab_sql_one(
			"SELECT md5(md5('us:itsp.example:Pa\"ss word') || "
			"':n1:' || md5('REGISTER:sip:192.0.2.99'))"));

		lab_check(lab_sbc.trunk_ok &&
				  strstr(lab_sbc.trunk_header, expected),
			"the answer is right");
		free(expected);
	}
	trunk_auth(id, "192.0.2.98:5060",
		"Digest realm=\"itsp.example\", nonce=\"n1\"");
	lab_check(!lab_sbc.trunk_ok && !*lab_sbc.trunk_header,
		"not for another address: %s",
		reason_word(lab_sbc.trunk_reason));
	trunk_auth(
		id, "192.0.2.99:5060", "Digest realm=\"evil\", nonce=\"n1\"");
	lab_check(!lab_sbc.trunk_ok, "not for another realm: %s",
		reason_word(lab_sbc.trunk_reason));
	trunk_auth(id, "192.0.2.99:5060", "Basic realm=\"itsp.example\"");
	lab_check(!lab_sbc.trunk_ok, "not for Basic");
	trunk_auth(1, "127.0.0.2:5060",
		"Digest realm=\"itsp.example\", nonce=\"n1\"");
	lab_check(!lab_sbc.trunk_ok, "not without credentials");
	lab_sql("SELECT sbc.delete_trunk('reg')");
}

#define UNAVAILABLE GH__AUTH_VERDICT__AUTH_VERDICT_UNAVAILABLE

/* The phone of most cases logs in. */
static void logs_in(const char *password, Gh__AuthVerdict verdict,
	const char *reason, const char *what)
{
	struct lab_digest d;

	lab_digest_init(&d, case_username, password);
	expect(lab_auth(&d), verdict, reason, what);
}

/* Somebody of whom there is nothing in memory or on the disk. */
static void stranger_hears(const char *username, const char *what)
{
	struct lab_digest d;

	lab_digest_init(&d, username, "wrong");
	expect(lab_auth(&d), UNAVAILABLE, "auth_away", what);
}

/* Until the phone's password is this good. */
static void until_verdict(Gh__AuthVerdict verdict)
{
	struct lab_digest d;

	LAB_UNTIL((lab_digest_init(&d, case_username, case_password),
		lab_auth(&d)->verdict == verdict));
}

static void outage_begins(void)
{
	char call[IDENT_CALL_SIZE];
	unsigned acks, n = 20;

	logs_in(case_password, OK, "auth_ok", "before");
	lab_sql_close();
	lab_cluster_stop("immediate");
	logs_in(case_password, OK, "auth_ok",
		"database away, account in memory");
	acks = lab_sbc.n_acks;
	for (unsigned i = 0; i < n; i++) {
		ident_make_call(call);
		case_send_cdr(call, 100 + i);
	}
	lab_check(LAB_UNTIL(lab_sbc.n_acks == acks + n),
		"CDRs are acknowledged from the disk");
}

/* A new authd has what the old one wrote down. */
static void authd_without_database(void)
{
	lab_sbc_stop();
	lab_authd_stop(SIGKILL);
	lab_authd_start();
	lab_sbc_start();
	lab_check(LAB_UNTIL(lab_sbc.up && lab_sbc.has_nonce_keys),
		"authd starts without the database");
	lab_check(LAB_UNTIL(lab_sbc.n_sets == 1 && lab_sbc.n_realms == 2),
		"with the last good settings");
	lab_check(
		LAB_UNTIL(lab_sbc.saved_done && lab_sbc.n_saved_bindings == 1),
		"and the bindings");
	logs_in(case_password, OK, "auth_ok", "a known phone logs in");
	logs_in("wrong", CHALLENGE, "auth_wrong", "wrong password");
	stranger_hears("neverseenbefore", "a name that nobody knows");
	query(GH__ACCOUNT_KEY__ACCOUNT_BY_NUMBER, "+49301234567");
	lab_check(lab_sbc.account_found, "a known phone is found by number");
	query(GH__ACCOUNT_KEY__ACCOUNT_BY_EXTENSION, "888");
	lab_check(lab_sbc.account_unavailable, "others: unavailable");
}

static void database_is_back(void)
{
	unsigned sets = lab_sbc.n_sets;

	lab_cluster_restart();
	lab_check(LAB_UNTIL(strcmp(lab_sql_one("SELECT count(*) FROM sbc.cdr"),
				    "22") == 0),
		"the CDRs arrive, each once");
	lab_check(strcmp(lab_sql_one("SELECT count(*) FROM sbc.registration"),
			  "1") == 0,
		"registrations are there");
	lab_check(LAB_UNTIL(lab_sbc.n_sets > sets), "settings are read again");
}

/* In memory and on the disk. */
static void old_password_dies(void)
{
	lab_sql("SELECT sbc.new_password('101')");
	until_verdict(CHALLENGE);
	expect(&lab_sbc.auths[lab_sbc.n_auths - 1], CHALLENGE, "auth_wrong",
		"the old password is dead");
	lab_sql_close();
	lab_cluster_stop("fast");
	lab_sbc_stop();
	lab_authd_stop(SIGTERM);
	lab_authd_start();
	lab_sbc_start();
	LAB_UNTIL(lab_sbc.up && lab_sbc.has_nonce_keys && lab_sbc.n_sets == 1);
	logs_in(case_password, CHALLENGE, "auth_wrong",
		"and stays dead without the database");
	lab_cluster_restart();
	LAB_UNTIL(lab_sbc.n_sets > 1);
	case_login("101", "Anna");
	until_verdict(OK);
}

/* A server that stalls is worse than one that is gone. */
static void server_stalls(void)
{
	char call[IDENT_CALL_SIZE];
	unsigned acks;

	lab_cluster_freeze(true);
	logs_in(case_password, OK, "auth_ok",
		"stalled server, account in memory");
	ident_make_call(call);
	acks = lab_sbc.n_acks;
	case_send_cdr(call, 500);
	lab_check(
		LAB_UNTIL(lab_sbc.n_acks == acks + 1), "a CDR is acknowledged");
	stranger_hears("anothernewname", "others: unavailable in time");
	lab_cluster_freeze(false);
	lab_check(LAB_UNTIL(strcmp(lab_sql_one("SELECT count(*) FROM sbc.cdr "
					       "WHERE call = '%s'",
					   call),
				    "1") == 0),
		"it goes on where it was");
}

void case_outage(void)
{
	lab_case("outage");
	outage_begins();
	authd_without_database();
	database_is_back();
	old_password_dies();
	server_stalls();
}

void case_cold_start(void)
{
	struct lab_digest d;

	lab_case("cold start");
	lab_sql_close();
	lab_cluster_stop("fast");
	lab_sbc_stop();
	lab_authd_stop(SIGTERM);
	lab_authd_forget();
	lab_authd_start();
	lab_sbc_start();
	lab_check(LAB_UNTIL(lab_sbc.up && lab_sbc.saved_done),
		"authd starts with nothing at all");
	lab_check(lab_sbc.n_sets == 0, "and no settings");
	lab_digest_init(&d, case_username, case_password);
	expect(lab_auth(&d), GH__AUTH_VERDICT__AUTH_VERDICT_UNAVAILABLE,
		"auth_away", "nobody can log in, nobody is refused");
	lab_cluster_restart();
	lab_check(LAB_UNTIL(lab_sbc.n_sets == 1),
		"settings come with the database");
	LAB_UNTIL((lab_digest_init(&d, case_username, case_password),
		lab_auth(&d)->verdict == OK));
	expect(&lab_sbc.auths[lab_sbc.n_auths - 1], OK, "auth_ok",
		"and logins");
	lab_check(lab_authd_alive(), "authd lives");
}

/* What a build without sanitizers shows better: they keep freed memory. */
static void only_memory(const char *sql_dir)
{
	case_migrations(sql_dir);
	case_functions();
	case_start();
	case_auth();
	case_trunk();
	case_memory();
}

static void all(const char *sql_dir)
{
	case_migrations(sql_dir);
	case_functions();
	case_constraints();
	case_rules();
	case_events();
	case_check_config();
	case_roles();
	case_bulk();
	case_start();
	case_settings();
	case_auth();
	case_laxness();
	case_accounts();
	case_records();
	case_bindings();
	case_bans();
	case_trunk();
	case_outage();
	case_cold_start();
	case_news();
	case_live_calls();
	case_timing();
	case_keeping();
	case_kills();
	case_full_disk();
	case_memory();
}

int main(int argc, char **argv)
{
	const char *sql_dir = argc > 1 ? argv[1] : "sql";

	lab_cluster_start();
	if (argc > 2 && strcmp(argv[2], "memory") == 0)
		only_memory(sql_dir);
	else
		all(sql_dir);
	lab_sbc_stop();
	lab_authd_stop(SIGTERM);
	lab_sql_close();
	lab_cluster_stop("fast");
	if (lab_failed == 0)
		lab_cluster_remove();
	else
		printf("logs: %s\n", lab_dir());
	printf("%u passed, %u failed, %u skipped\n", lab_passed, lab_failed,
		lab_skipped);
	return lab_failed ? 1 : 0;
}
