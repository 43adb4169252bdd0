/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rows to messages; see row.h. Does not ask the database and does not judge
 * whether rows fit together: snapshot does. Called by snapshot and account.
 */
#include "authd/row.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/secret.h"

enum { WORDS_MAX = 1024 };

static const char *const transports[] = {
	[GH__TRANSPORT__TRANSPORT_UDP] = "udp",
	[GH__TRANSPORT__TRANSPORT_TCP] = "tcp",
	[GH__TRANSPORT__TRANSPORT_TLS] = "tls",
	[GH__TRANSPORT__TRANSPORT_WS] = "ws",
	[GH__TRANSPORT__TRANSPORT_WSS] = "wss",
};
static const char *const srtp_policies[] = {
	[GH__SRTP_POLICY__SRTP_NONE] = "none",
	[GH__SRTP_POLICY__SRTP_OPTIONAL] = "optional",
	[GH__SRTP_POLICY__SRTP_REQUIRED] = "required",
};
static const char *const forward_policies[] = {
	[GH__FORWARD_POLICY__FORWARD_AUTO] = "auto",
	[GH__FORWARD_POLICY__FORWARD_PBX] = "pbx",
	[GH__FORWARD_POLICY__FORWARD_FOLLOW] = "follow",
	[GH__FORWARD_POLICY__FORWARD_REFUSE] = "refuse",
};
static const char *const nat_modes[] = {
	[GH__NAT_MODE__NAT_AUTO] = "auto",
	[GH__NAT_MODE__NAT_ALWAYS] = "always",
	[GH__NAT_MODE__NAT_NEVER] = "never",
};

#define N(array) (sizeof(array) / sizeof((array)[0]))

static const char *cell(struct row *r, const char *column)
{
	int col;

	if (r->err)
		return "";
	col = r->next;
	if (col >= PQnfields(r->result) ||
		strcmp(PQfname(r->result, col), column) != 0)
		col = PQfnumber(r->result, column);
	if (col < 0) {
		row_fail(r, column, "the database has no such column");
		return "";
	}
	r->next = col + 1;
	if (PQgetisnull(r->result, r->number, col))
		return "";
	return PQgetvalue(r->result, r->number, col);
}

void row_begin(struct row *r, const PGresult *result, int number,
	const char *what, const char *name_column)
{
	*r = (struct row){
		.result = result, .number = number, .what = what, .name = ""};
	if (name_column)
		r->name = cell(r, name_column);
}

void row_fail(struct row *r, const char *column, const char *problem)
{
	if (r->err)
		return;
	r->err = ERR_INVALID;
	snprintf(r->problem, sizeof(r->problem), "%s %.64s: %s: %s", r->what,
		r->name, column, problem);
}

static void fail_memory(struct row *r)
{
	if (!r->err)
		snprintf(r->problem, sizeof(r->problem), "out of memory");
	r->err = ERR_NOMEM;
}

char *row_text(struct row *r, const char *column)
{
	const char *text = cell(r, column);
	char *copy;

	if (strnlen(text, ROW_TEXT_MAX + 1) > ROW_TEXT_MAX) {
		row_fail(r, column, "the text is too long");
		return NULL;
	}
	copy = strdup(text);
	if (!copy)
		fail_memory(r);
	return copy;
}

static uint64_t number(struct row *r, const char *column, uint64_t max)
{
	const char *text = cell(r, column);
	unsigned long long v;
	char *end;

	if (r->err)
		return 0;
	errno = 0;
	v = strtoull(text, &end, 10);
	if (errno != 0 || !isdigit((unsigned char)text[0]) || *end || v > max) {
		row_fail(r, column, "not a number in range");
		return 0;
	}
	return v;
}

uint32_t row_u32(struct row *r, const char *column)
{
	return (uint32_t)number(r, column, UINT32_MAX);
}

uint64_t row_u64(struct row *r, const char *column)
{
	return number(r, column, UINT64_MAX);
}

bool row_has(const struct row *r, const char *column)
{
	return PQfnumber(r->result, column) >= 0;
}

bool row_bool(struct row *r, const char *column)
{
	return cell(r, column)[0] == 't';
}

char **row_words(struct row *r, const char *column, size_t *n_out)
{
	const char *text = cell(r, column);
	char **words = NULL;
	size_t n = 0;

	*n_out = 0;
	while (!r->err && *text) {
		size_t len = strcspn(text, " ");
		char **more;

		if (n == WORDS_MAX) {
			row_fail(r, column, "the list is too long");
			break;
		}
		more = realloc(words, (n + 1) * sizeof(*words));
		if (!more) {
			fail_memory(r);
			break;
		}
		words = more;
		words[n] = strndup(text, len);
		if (!words[n]) {
			fail_memory(r);
			break;
		}
		n++;
		text += len;
		while (*text == ' ')
			text++;
	}
	*n_out = n;
	return words;
}

uint32_t *row_numbers(struct row *r, const char *column, size_t *n_out)
{
	size_t n_words = 0, n = 0;
	char **words = row_words(r, column, &n_words);
	uint32_t *numbers = NULL;

	*n_out = 0;
	if (n_words > 0 && !r->err) {
		numbers = calloc(n_words, sizeof(*numbers));
		if (!numbers)
			fail_memory(r);
	}
	for (size_t i = 0; i < n_words; i++) {
		char *end;
		unsigned long v = strtoul(words[i], &end, 10);

		if (*end || v > UINT32_MAX)
			row_fail(r, column, "not a number in range");
		else if (numbers)
			numbers[n++] = (uint32_t)v;
		free(words[i]);
	}
	free(words);
	*n_out = n;
	return numbers;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return -1;
}

static ProtobufCBinaryData from_hex(
	struct row *r, const char *column, const char *text, size_t want)
{
	ProtobufCBinaryData bytes = {0};
	size_t len = strlen(text) / 2;

	if (r->err || *text == '\0')
		return bytes;
	if (strlen(text) % 2 != 0 || len > ROW_TEXT_MAX ||
		(want && len != want)) {
		row_fail(r, column, "wrong length");
		return bytes;
	}
	bytes.data = malloc(len);
	if (!bytes.data) {
		fail_memory(r);
		return bytes;
	}
	bytes.len = len;
	for (size_t i = 0; i < len; i++) {
		int high = hex_digit(text[2 * i]);
		int low = hex_digit(text[2 * i + 1]);

		if (high < 0 || low < 0)
			row_fail(r, column, "not hexadecimal");
		bytes.data[i] = (uint8_t)(high * 16 + low);
	}
	return bytes;
}

ProtobufCBinaryData row_bytes(struct row *r, const char *column, size_t want)
{
	return from_hex(r, column, cell(r, column), want);
}

unsigned row_word(
	struct row *r, const char *column, const char *const *words, size_t n)
{
	const char *text = cell(r, column);

	for (size_t i = 0; i < n; i++) {
		if (strcmp(words[i], text) == 0)
			return (unsigned)i;
	}
	row_fail(r, column, "unknown word");
	return 0;
}

Gh__Transport row_transport(struct row *r, const char *column)
{
	return (Gh__Transport)row_word(r, column, transports, N(transports));
}

Gh__SrtpPolicy row_srtp(struct row *r, const char *column)
{
	return (Gh__SrtpPolicy)row_word(
		r, column, srtp_policies, N(srtp_policies));
}

Gh__NatMode row_nat(struct row *r, const char *column)
{
	return (Gh__NatMode)row_word(r, column, nat_modes, N(nat_modes));
}

int row_end(struct row *r)
{
	return r->err;
}

static Gh__Account *account_facts(struct row *r)
{
	Gh__Account *a = malloc(sizeof(*a));

	if (!a) {
		fail_memory(r);
		return NULL;
	}
	gh__account__init(a);
	a->id = row_u64(r, "id");
	a->user = row_text(r, "username");
	a->extension = row_text(r, "extension");
	a->display_name = row_text(r, "display_name");
	a->numbers = row_words(r, "numbers", &a->n_numbers);
	a->caller_number = row_text(r, "caller_number");
	a->realm = row_u32(r, "realm");
	a->enabled = row_bool(r, "enabled");
	a->nat = row_nat(r, "nat");
	a->srtp = row_srtp(r, "srtp");
	a->codec_list = row_u32(r, "codec_list");
	a->max_contacts = row_u32(r, "max_contacts");
	a->max_calls = row_u32(r, "max_calls");
	a->max_calls_per_hour = row_u32(r, "max_calls_per_hour");
	a->max_minutes_per_day = row_u32(r, "max_minutes_per_day");
	a->destination_classes =
		row_words(r, "destination_classes", &a->n_destination_classes);
	a->max_duration_s = row_u32(r, "max_duration_s");
	a->acl = row_words(r, "acl", &a->n_acl);
	a->keepalive_s = row_u32(r, "keepalive_s");
	a->surrogate_trunk = row_u32(r, "surrogate_trunk");
	a->surrogate = a->surrogate_trunk != 0;
	a->expires_max_s = row_u32(r, "expires_max_s");
	a->usage_at_us = row_u64(r, "usage_at_us");
	a->usage_hour_calls = row_u32(r, "usage_hour_calls");
	a->usage_day_us = row_u64(r, "usage_day_us");
	/* Since schema 23; what was so before is what is so by default. */
	if (row_has(r, "forwards"))
		a->forwards = (Gh__ForwardPolicy)row_word(
			r, "forwards", forward_policies, N(forward_policies));
	if (row_has(r, "allow_message"))
		a->no_message = !row_bool(r, "allow_message");
	return a;
}

/* protobuf-c takes NULL strings for "not set" only if they are its own empty
 * string; a failed copy must not be freed as one. */
static void mend_string(char **text)
{
	if (!*text)
		*text = (char *)(uintptr_t)protobuf_c_empty_string;
}

/* One word of the list below; "-" is empty. */
static ProtobufCBinaryData surrogate_word(
	struct row *r, const char *word, size_t want)
{
	return from_hex(
		r, "surrogate", strcmp(word, "-") == 0 ? "" : word, want);
}

static char *surrogate_text(struct row *r, const char *word)
{
	ProtobufCBinaryData bytes = surrogate_word(r, word, 0);
	char *text = r->err      ? NULL
		     : bytes.len ? strndup((char *)bytes.data, bytes.len)
				 : strdup("");

	if (bytes.data && memchr(bytes.data, '\0', bytes.len))
		row_fail(r, "surrogate", "a text with a zero in it");
	free(bytes.data);
	return text;
}

/* What the account's PBX is answered with; NULL = nothing of its own. In one
 * column, as six words in hexadecimal: user, realm, sealed, three hashes. */
static Gh__TrunkSecret *surrogate_secret(struct row *r)
{
	size_t n = 0;
	char **words = row_words(r, "surrogate", &n);
	Gh__TrunkSecret *s = NULL;

	if (n != 0 && n != 6)
		row_fail(r, "surrogate", "not six words");
	if (n == 6 && !r->err)
		s = malloc(sizeof(*s));
	if (s) {
		gh__trunk_secret__init(s);
		s->username = surrogate_text(r, words[0]);
		s->digest_realm = surrogate_text(r, words[1]);
		s->sealed = surrogate_word(r, words[2], 0);
		s->ha1_md5 = surrogate_word(r, words[3], 16);
		s->ha1_sha256 = surrogate_word(r, words[4], 32);
		s->ha1_sha512_256 = surrogate_word(r, words[5], 32);
		mend_string(&s->username);
		mend_string(&s->digest_realm);
	} else if (n == 6 && !r->err) {
		fail_memory(r);
	}
	for (size_t i = 0; i < n; i++) {
		secret_wipe(words[i], strlen(words[i]));
		free(words[i]);
	}
	free(words);
	return s;
}

Gh__AccountRecord *row_account(struct row *r)
{
	Gh__AccountRecord *rec = malloc(sizeof(*rec));

	if (!rec) {
		fail_memory(r);
		return NULL;
	}
	gh__account_record__init(rec);
	rec->account = account_facts(r);
	rec->digest = row_text(r, "digest");
	rec->digest_realm = row_text(r, "digest_realm");
	rec->ha1_md5 = row_bytes(r, "ha1_md5", 16);
	rec->ha1_sha256 = row_bytes(r, "ha1_sha256", 32);
	rec->ha1_sha512_256 = row_bytes(r, "ha1_sha512_256", 32);
	rec->surrogate = surrogate_secret(r);
	if (rec->account) {
		mend_string(&rec->account->user);
		mend_string(&rec->account->extension);
		mend_string(&rec->account->display_name);
		mend_string(&rec->account->caller_number);
	}
	mend_string(&rec->digest);
	mend_string(&rec->digest_realm);
	if (r->err) {
		row_account_free(rec);
		return NULL;
	}
	return rec;
}

Gh__TrunkSecret *row_trunk_secret(struct row *r)
{
	Gh__TrunkSecret *s = malloc(sizeof(*s));

	if (!s) {
		fail_memory(r);
		return NULL;
	}
	gh__trunk_secret__init(s);
	s->trunk = row_u32(r, "trunk");
	s->username = row_text(r, "username");
	s->digest_realm = row_text(r, "digest_realm");
	s->sealed = row_bytes(r, "sealed", 0);
	s->ha1_md5 = row_bytes(r, "ha1_md5", 16);
	s->ha1_sha256 = row_bytes(r, "ha1_sha256", 32);
	s->ha1_sha512_256 = row_bytes(r, "ha1_sha512_256", 32);
	mend_string(&s->username);
	mend_string(&s->digest_realm);
	if (r->err) {
		row_trunk_secret_free(s);
		return NULL;
	}
	return s;
}

static void wipe(ProtobufCBinaryData *bytes)
{
	if (bytes->data)
		secret_wipe(bytes->data, bytes->len);
}

static void wipe_trunk_secret(Gh__TrunkSecret *s)
{
	wipe(&s->ha1_md5);
	wipe(&s->ha1_sha256);
	wipe(&s->ha1_sha512_256);
}

void row_account_free(Gh__AccountRecord *rec)
{
	if (!rec)
		return;
	wipe(&rec->ha1_md5);
	wipe(&rec->ha1_sha256);
	wipe(&rec->ha1_sha512_256);
	if (rec->surrogate)
		wipe_trunk_secret(rec->surrogate);
	gh__account_record__free_unpacked(rec, NULL);
}

void row_trunk_secret_free(Gh__TrunkSecret *s)
{
	if (!s)
		return;
	wipe_trunk_secret(s);
	gh__trunk_secret__free_unpacked(s, NULL);
}
