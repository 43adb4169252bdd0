/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A row of the database as authd reads it: the input is the cells of one row,
 * parted by newlines, in the order of the columns below; the last two are of
 * schema 23 and stand in the row only if the input has cells for them. What is
 * taken is a message that can be packed; what is refused names the cell in one
 * line.
 */
#include <string.h>

#include "authd/row.h"
#include "tests/fuzz/fuzz.h"

static const char *const columns[] = {"id", "username", "extension",
	"display_name", "numbers", "caller_number", "realm", "enabled", "nat",
	"srtp", "codec_list", "acl", "max_calls", "max_calls_per_hour",
	"max_contacts", "max_duration_s", "max_minutes_per_day",
	"expires_max_s", "keepalive_s", "destination_classes",
	"surrogate_trunk", "digest", "digest_realm", "ha1_md5", "ha1_sha256",
	"ha1_sha512_256", "trunk", "sealed", "usage_at_us", "usage_hour_calls",
	"usage_day_us", "surrogate", "forwards", "allow_message"};
#define N_COLUMNS (sizeof(columns) / sizeof(columns[0]))
#define N_ALWAYS  (N_COLUMNS - 2)

static size_t count_columns(const char *cells)
{
	size_t n = 1;

	for (; *cells && n < N_COLUMNS; cells++)
		n += *cells == '\n';
	return n < N_ALWAYS ? N_ALWAYS : n;
}

static PGresult *make_result(char *cells)
{
	PGresult *result = PQmakeEmptyPGresult(NULL, PGRES_TUPLES_OK);
	PGresAttDesc attributes[N_COLUMNS] = {{0}};
	size_t n = count_columns(cells);

	FUZZ_CHECK(result != NULL);
	for (size_t i = 0; i < n; i++)
		attributes[i].name = (char *)(uintptr_t)columns[i];
	FUZZ_CHECK(PQsetResultAttrs(result, (int)n, attributes));
	for (size_t i = 0; i < n; i++) {
		char *cell = strsep(&cells, "\n");

		FUZZ_CHECK(PQsetvalue(result, 0, (int)i, cell,
			cell ? (int)strlen(cell) : -1));
	}
	return result;
}

static void check_end(struct row *r, bool taken)
{
	FUZZ_CHECK((row_end(r) == 0) == taken);
	FUZZ_CHECK(strnlen(r->problem, ROW_PROBLEM_SIZE) < ROW_PROBLEM_SIZE);
	FUZZ_CHECK(taken || r->problem[0]);
}

static void check_packs(const ProtobufCMessage *message)
{
	size_t len = protobuf_c_message_get_packed_size(message);
	uint8_t *bytes = malloc(len ? len : 1);

	FUZZ_CHECK(bytes != NULL);
	FUZZ_CHECK(protobuf_c_message_pack(message, bytes) == len);
	free(bytes);
}

/* A row as the database has it is taken, or this harness sees nothing. */
static void check_good(void)
{
	static const char good[] =
		"17\nk3h9x2\n101\nAnna\n+4930101 +4930102\n+4930101\n1\nt\n"
		"auto\nnone\n1\n192.0.2.0/24\n2\n0\n5\n0\n0\n3600\n0\n\n0\n"
		"MD5\nexample."
		"com\n00112233445566778899aabbccddeeff\n\n\n3\n0102\n"
		"1790000000000000\n3\n120000000\n\nfollow\nf";
	char cells[sizeof(good)];
	Gh__AccountRecord *account;
	PGresult *result;
	struct row r;

	memcpy(cells, good, sizeof(good));
	result = make_result(cells);
	row_begin(&r, result, 0, "account", "extension");
	account = row_account(&r);
	if (!account)
		fprintf(stderr, "%s\n", r.problem);
	FUZZ_CHECK(account != NULL && account->account->id == 17);
	FUZZ_CHECK(account->account->forwards ==
		   GH__FORWARD_POLICY__FORWARD_FOLLOW);
	FUZZ_CHECK(account->account->no_message);
	row_account_free(account);
	PQclear(result);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	static bool begun;
	Gh__AccountRecord *account;
	Gh__TrunkSecret *secret;
	PGresult *result;
	struct row r;
	char *cells;

	if (!begun)
		check_good();
	begun = true;
	if (len > 65536)
		return 0;
	cells = malloc(len + 1);
	FUZZ_CHECK(cells != NULL);
	memcpy(cells, bytes, len);
	cells[len] = '\0';
	result = make_result(cells);
	row_begin(&r, result, 0, "account", "extension");
	account = row_account(&r);
	check_end(&r, account != NULL);
	if (account)
		check_packs(&account->base);
	row_account_free(account);
	row_begin(&r, result, 0, "trunk", NULL);
	secret = row_trunk_secret(&r);
	check_end(&r, secret != NULL);
	if (secret)
		check_packs(&secret->base);
	row_trunk_secret_free(secret);
	PQclear(result);
	free(cells);
	return 0;
}
