/* SPDX-License-Identifier: Apache-2.0 */
/* Rows to settings: what fits, what makes the whole set invalid; records to
 * JSON. The rows are made with libpq's own functions, without a server. */
#include <check.h>
#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "authd/records.h"
#include "authd/snapshot.h"

enum { MAX_QUERIES = 32, MAX_COLUMNS = 32 };

static PGresult *results[MAX_QUERIES];

/* One result from "name=value|name=value" rows; every row has the same names.
 */
static PGresult *table(const char *const *rows, size_t n)
{
	PGresult *r = PQmakeEmptyPGresult(NULL, PGRES_TUPLES_OK);

	for (size_t row = 0; row < n; row++) {
		PGresAttDesc columns[MAX_COLUMNS];
		char text[2048], *at = text, *cell;
		int col = 0;

		snprintf(text, sizeof(text), "%s", rows[row]);
		memset(columns, 0, sizeof(columns));
		for (cell = strsep(&at, "|"); cell; cell = strsep(&at, "|")) {
			columns[col].name = cell;
			cell[strcspn(cell, "=")] = '\0';
			col++;
		}
		if (row == 0)
			ck_assert_int_eq(PQsetResultAttrs(r, col, columns), 1);
		for (int i = 0; i < col; i++) {
			char *value =
				columns[i].name + strlen(columns[i].name) + 1;

			ck_assert_int_eq(PQsetvalue(r, (int)row, i, value,
						 (int)strlen(value)),
				1);
		}
	}
	return r;
}

#define REALM                                                                  \
	"id=1|name=outside|zone=outside|phones=t|strangers_invite=f|"          \
	"domains=a.example b.example|digest_realm=gatehouse|digest=%s|"        \
	"codec_list=1|media_port_min=16384|media_port_max=32767|"              \
	"event_packages=|allow_message=f|expires_min_s=60|expires_max_s=3600|" \
	"expires_default_s=600|srtp=%s|srtp_insecure_signaling=f|"             \
	"max_contacts=5|acl=%s"
#define ADDRESS                                                                \
	"realm=1|listen=%s|transport=udp|advertised_sip=|media=127.0.0.1|"     \
	"advertised_media=|certificates=main second|client_ca=internal|"       \
	"device=eth1.20|media_device=eth2"
#define TRUNK                                                                  \
	"id=4|name=itsp|realm=1|enabled=t|codec_list=0|srtp=none|max_calls=%"  \
	"s|"                                                                   \
	"max_calls_per_s=0|host=|domain=|called_from=request_uri|"             \
	"caller_from=from|caller_to=p_asserted_identity|registers=f|"          \
	"register_user=|register_expires_s=600|options_interval_s=0|"          \
	"max_duration_s=0|session_expires_s=1800|ring_timeout_s=120|"          \
	"follow_redirects=f|groups=1 2|media_networks=192.0.2.0/24|"           \
	"tls_name=itsp.example|tls_ca=theirs|tls_pin=|tls_certificate=ours|"   \
	"tls_verify=t"
#define ROUTE                                                                  \
	"id=9|name=out|priority=10|source=phones|source_trunk=0|"              \
	"called_regex=f|called_match=+|caller_match=|action=trunk|"            \
	"failover_causes=%s|timeout_s=8|reject_code=403|emergency=f|"          \
	"destination_class=national"

struct variant {
	const char *digest, *srtp, *acl, *listen, *max_calls, *causes;
	const char *hash;
};

static const struct variant good = {"MD5 SHA-256/auth-int", "none",
	"10.0.0.0/8 2001:db8::/32", "127.0.0.1:5060", "30", "503 408", ""};

/* The order of snapshot_queries. */
static void make(const struct variant *v)
{
	char realm[1024], address[512], trunk[1024], route[512], secret[512];
	const char *one[] = {NULL};
	const char *codecs[] = {
		"id=1|name=default|codec=PCMA|clock=8000|channels=1",
		"id=1|name=default|codec=opus|clock=48000|channels=2",
		"id=2|name=empty|codec=|clock=0|channels=0"};
	const char *settings[] = {
		"name=ban_s|value=600", "name=nonce_lifetime_s|value=300"};

	snprintf(realm, sizeof(realm), REALM, v->digest, v->srtp, v->acl);
	snprintf(address, sizeof(address), ADDRESS, v->listen);
	snprintf(trunk, sizeof(trunk), TRUNK, v->max_calls);
	snprintf(route, sizeof(route), ROUTE, v->causes);
	snprintf(secret, sizeof(secret),
		"trunk=4|username=u|digest_realm=r|"
		"sealed=|ha1_md5=%s|ha1_sha256=|ha1_sha512_256=",
		v->hash);
#define ONE(i, text) (one[0] = (text), results[i] = table(one, 1))
	ONE(0, realm);
	ONE(1, address);
	ONE(2, trunk);
	ONE(3, "trunk=4|network=192.0.2.0/24|listen=|transport=udp");
	ONE(4, "trunk=4|host=192.0.2.1|port=5060|transport=udp|priority=1|"
	       "weight=1");
	ONE(5, "trunk=4|scope=in_called|regex=f|match=0|replace=+49|priority="
	       "1");
	ONE(6, "trunk=4|direction=out|action=set|name=X-A|value=b");
	ONE(7, route);
	ONE(8, "route=9|trunk=4|priority=1|weight=1");
	results[9] = table(codecs, 3);
	ONE(10, "match=+4999|anonymous=f|trunk=0");
	results[11] = table(settings, 2);
	ONE(12, secret);
	ONE(13, "realm=1|digest=SHA-256|accounts=3");
	ONE(14, "realm=1|event_trunk=4|message_types=text/plain text/html");
	ONE(15, "trunk=4|contact_user=line7|from_user=|user_phone=t|"
		"called_prefixes=+4930 +4940|sources_by_name=t|limit_code=486");
	ck_assert_uint_eq(snapshot_n_queries, 16);
}

static void clear(void)
{
	for (size_t i = 0; i < MAX_QUERIES; i++) {
		PQclear(results[i]);
		results[i] = NULL;
	}
}

START_TEST(a_set)
{
	char problem[256];
	struct snapshot s, again;
	const Gh__Realm *r;
	const Gh__Trunk *t;

	make(&good);
	ck_assert_int_eq(
		snapshot_build(results, 77, &s, problem, sizeof(problem)), 0);
	ck_assert_uint_eq(s.saved->version, 77);
	ck_assert_uint_eq(s.saved->n_pieces, 8);
	r = s.saved->pieces[0]->realm;
	ck_assert_uint_eq(s.saved->pieces[0]->version, 77);
	ck_assert_str_eq(r->name, "outside");
	ck_assert_uint_eq(r->n_domains, 2);
	ck_assert_str_eq(r->domains[1], "b.example");
	ck_assert_uint_eq(r->n_digest, 2);
	ck_assert_int_eq(r->digest[1]->qop, GH__QOP__QOP_AUTH_INT);
	ck_assert_uint_eq(r->n_addresses, 1);
	ck_assert_uint_eq(r->addresses[0]->n_certificates, 2);
	ck_assert_str_eq(r->addresses[0]->certificates[1], "second");
	ck_assert_str_eq(r->addresses[0]->client_ca, "internal");
	ck_assert_str_eq(r->addresses[0]->device, "eth1.20");
	ck_assert_str_eq(r->addresses[0]->media_device, "eth2");
	ck_assert_uint_eq(r->n_acl, 2);
	ck_assert_uint_eq(r->event_trunk, 4);
	ck_assert_uint_eq(r->n_message_types, 2);
	ck_assert_str_eq(r->message_types[1], "text/html");
	ck_assert_uint_eq(s.saved->pieces[1]->codec_list->n_codecs, 2);
	ck_assert_uint_eq(s.saved->pieces[2]->codec_list->n_codecs, 0);
	t = s.saved->pieces[3]->trunk;
	ck_assert_uint_eq(t->max_calls, 30);
	ck_assert_uint_eq(t->n_groups, 2);
	ck_assert_str_eq(t->tls_name, "itsp.example");
	ck_assert_str_eq(t->tls_ca, "theirs");
	ck_assert_str_eq(t->tls_pin, "");
	ck_assert_str_eq(t->tls_certificate, "ours");
	ck_assert(t->tls_verify);
	ck_assert_str_eq(t->contact_user, "line7");
	ck_assert_str_eq(t->from_user, "");
	ck_assert(t->user_phone && t->sources_by_name);
	ck_assert_uint_eq(t->n_called_prefixes, 2);
	ck_assert_str_eq(t->called_prefixes[1], "+4940");
	ck_assert_uint_eq(t->limit_code, 486);
	ck_assert_int_eq(t->caller_to, GH__CALLER_FROM__CALLER_P_ASSERTED);
	ck_assert_uint_eq(t->n_sources, 1);
	ck_assert_uint_eq(t->n_targets, 1);
	ck_assert_uint_eq(t->n_rules, 1);
	ck_assert_uint_eq(t->n_header_rules, 1);
	ck_assert_uint_eq(s.saved->pieces[4]->route->n_targets, 1);
	ck_assert_uint_eq(s.saved->pieces[4]->route->failover_causes[1], 408);
	ck_assert_uint_eq(s.saved->n_trunk_secrets, 1);
	ck_assert_uint_eq(s.saved->n_digest_shares, 1);
	/* The same rows are the same set whatever its number. */
	ck_assert_int_eq(
		snapshot_build(results, 78, &again, problem, sizeof(problem)),
		0);
	ck_assert_mem_eq(s.hash, again.hash, sizeof(s.hash));
	snapshot_done(&s);
	snapshot_done(&again);
	clear();
}
END_TEST

static const struct {
	size_t field;
	const char *value, *problem;
} wrong[] = {
#define F(name) offsetof(struct variant, name)
	{F(digest), "MD4", "realm outside: digest"},
	{F(digest), "", "realm outside: digest"},
	{F(srtp), "maybe", "realm outside: srtp"},
	{F(acl), "10.0.0.1/8", "realm outside: acl"},
	{F(acl), "everything", "realm outside: acl"},
	{F(listen), "localhost:5060", "address of realm outside: listen"},
	{F(listen), "127.0.0.1", "address of realm outside: listen"},
	{F(max_calls), "-1", "trunk itsp: max_calls"},
	{F(max_calls), "99999999999", "trunk itsp: max_calls"},
	{F(max_calls), "", "trunk itsp: max_calls"},
	{F(max_calls), "3x", "trunk itsp: max_calls"},
	{F(causes), "503 x", "route out: failover_causes"},
	{F(hash), "abcd", "credential of trunk 4: ha1_md5"},
	{F(hash), "zz000000000000000000000000000000",
		"credential of trunk 4: ha1_md5"},
};

START_TEST(not_a_set)
{
	struct variant v = good;
	char problem[256] = "";
	struct snapshot s;

	*(const char **)(void *)((char *)&v + wrong[_i].field) =
		wrong[_i].value;
	make(&v);
	ck_assert_int_eq(
		snapshot_build(results, 1, &s, problem, sizeof(problem)),
		ERR_INVALID);
	ck_assert_msg(
		strstr(problem, wrong[_i].problem) != NULL, "%s", problem);
	clear();
}
END_TEST

START_TEST(missing_column)
{
	const char *one[] = {"id=1|name=outside"};
	char problem[256] = "";
	struct snapshot s;

	make(&good);
	PQclear(results[0]);
	results[0] = table(one, 1);
	ck_assert_int_eq(
		snapshot_build(results, 1, &s, problem, sizeof(problem)),
		ERR_INVALID);
	ck_assert_ptr_nonnull(strstr(problem, "no such column"));
	clear();
}
END_TEST

#define T(x) ((char *)(uintptr_t)(x))

START_TEST(cdr_as_json)
{
	Gh__Cdr c = GH__CDR__INIT;
	Gh__CdrLeg leg = GH__CDR_LEG__INIT;
	Gh__MediaStats media = GH__MEDIA_STATS__INIT;
	struct record_rows rows;
	uint8_t bytes[4096];
	const char *json;
	size_t len;

	c.call = T("0123456789ABCDEF");
	c.wall_start_us = UINT64_MAX;
	c.caller = T("a\"b\\c\x01\xff");
	c.caller_leg = &leg;
	leg.peer = T("192.0.2.1:5060");
	leg.media = &media;
	media.codec = T("PCMA");
	media.rx_packets = 5;
	len = gh__cdr__pack(&c, bytes);
	ck_assert_int_eq(records_json(SPOOL_CDR, bytes, len, "k", &rows), 0);
	ck_assert_uint_eq(rows.n, 2);
	ck_assert_int_eq((int)rows.row[0].list, RECORD_CDRS);
	json = rows.row[0].json;
	ck_assert_ptr_nonnull(strstr(json, "\"wall_start_us\":"
					   "18446744073709551615"));
	ck_assert_ptr_nonnull(strstr(json, "\"caller\":\"a\\\"b\\\\c\\u0001"));
	ck_assert_ptr_null(strchr(json, '\xff'));
	ck_assert_ptr_null(strstr(json, "duration_us"));
	ck_assert_int_eq((int)rows.row[1].list, RECORD_LEGS);
	ck_assert_str_eq(rows.row[1].json,
		"{\"call\":\"0123456789ABCDEF\",\"side\":\"caller\","
		"\"peer\":\"192.0.2.1:5060\",\"rx_packets\":5,"
		"\"media_codec\":\"PCMA\"}");
	records_json_free(&rows);
	ck_assert_uint_eq(rows.n, 0);
	ck_assert_int_eq(records_json(SPOOL_CDR, (const uint8_t *)"\xff\xff", 2,
				 "k", &rows),
		ERR_INVALID);
	ck_assert_int_eq(
		records_json((enum spool_kind)99, bytes, len, "k", &rows),
		ERR_INVALID);
	ck_assert_uint_eq(rows.n, 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("snapshot");
	TCase *t = tcase_create("snapshot");
	SRunner *r;
	int failed;

	tcase_add_test(t, a_set);
	tcase_add_loop_test(t, not_a_set, 0, sizeof(wrong) / sizeof(wrong[0]));
	tcase_add_test(t, missing_column);
	tcase_add_test(t, cdr_as_json);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
