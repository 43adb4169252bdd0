/* SPDX-License-Identifier: Apache-2.0 */
/* authd's stand-in: two accounts, everybody who knows the word "good", CDRs
 * kept for the test, a trunk's challenges answered as the test says. */
#include "config.h"

#include "tests/unit/call_world_inner.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void cw_fill_account(const struct cw *w, Gh__Account *row, uint64_t id)
{
	static char first[] = "+4930100", second[] = "+4930200";
	static char *numbers[2] = {first, second};

	row->id = id;
	row->user = cw_str(id == 1 ? "u1" : "u2");
	row->extension = cw_str(id == 1 ? "100" : "200");
	row->display_name = cw_str(id == 1 ? "Alice" : "Bob");
	row->numbers = &numbers[id - 1];
	row->n_numbers = 1;
	row->caller_number = numbers[id - 1];
	row->realm = 1;
	row->enabled = true;
	row->max_calls = w->max_calls;
	row->max_calls_per_hour = w->max_calls_per_hour;
	row->max_minutes_per_day = w->max_minutes_per_day;
	row->usage_at_us = w->usage_at_us;
	row->usage_hour_calls = w->usage_hour_calls;
	row->usage_day_us = w->usage_day_us;
	row->srtp = w->account_srtp;
	row->surrogate = w->surrogate != 0;
	row->surrogate_trunk = w->surrogate;
	row->max_contacts = 8;
}

static void on_account(void *ctx, struct ipc_link *link, const Gh__Msg *msg)
{
	struct cw *w = ctx;
	const Gh__AccountQuery *q = msg->account_query;
	Gh__AccountAnswer answer = GH__ACCOUNT_ANSWER__INIT;
	Gh__Account account = GH__ACCOUNT__INIT;
	uint64_t id = 0;

	if (w->accounts_silent)
		return;
	if (q->by == GH__ACCOUNT_KEY__ACCOUNT_BY_EXTENSION)
		id = strcmp(q->key, "100") == 0   ? 1
		     : strcmp(q->key, "200") == 0 ? 2
						  : 0;
	else if (q->by == GH__ACCOUNT_KEY__ACCOUNT_BY_NUMBER)
		id = strcmp(q->key, "+4930100") == 0   ? 1
		     : strcmp(q->key, "+4930200") == 0 ? 2
						       : 0;
	answer.id = q->id;
	answer.found = id != 0;
	if (id != 0) {
		cw_fill_account(w, &account, id);
		answer.account = &account;
	}
	IPC_MSG(out, ACCOUNT_ANSWER, account_answer, &answer);
	ck_assert_int_eq(ipc_send(link, &out), 0);
}

static void on_auth(void *ctx, struct ipc_link *link, const Gh__Msg *msg)
{
	struct cw *w = ctx;
	const Gh__AuthRequest *r = msg->auth_request;
	Gh__AuthAnswer answer = GH__AUTH_ANSWER__INIT;
	Gh__Account account = GH__ACCOUNT__INIT;
	bool good = strcmp(r->digest->response, "good") == 0;

	answer.id = r->id;
	answer.verdict = good ? GH__AUTH_VERDICT__AUTH_VERDICT_OK
			      : GH__AUTH_VERDICT__AUTH_VERDICT_REFUSED;
	answer.reason =
		reason_number(good ? REASON_AUTH_OK : REASON_AUTH_WRONG);
	if (good) {
		cw_fill_account(w, &account,
			strcmp(r->digest->username, "u1") == 0 ? 1 : 2);
		answer.account = &account;
	}
	IPC_MSG(out, AUTH_ANSWER, auth_answer, &answer);
	ck_assert_int_eq(ipc_send(link, &out), 0);
}

static void on_cdr(void *ctx, struct ipc_link *link, const Gh__Msg *msg)
{
	struct cw *w = ctx;
	Gh__CdrAck ack = GH__CDR_ACK__INIT;
	size_t len = gh__cdr__get_packed_size(msg->cdr_write->cdr);
	uint8_t *bytes = malloc(len);

	ck_assert_ptr_nonnull(bytes);
	ck_assert_uint_lt(w->n_cdrs, CW_CDRS_MAX);
	gh__cdr__pack(msg->cdr_write->cdr, bytes);
	w->cdrs[w->n_cdrs++] = gh__cdr__unpack(NULL, len, bytes);
	free(bytes);
	ack.id = msg->cdr_write->id;
	IPC_MSG(out, CDR_ACK, cdr_ack, &ack);
	ck_assert_int_eq(ipc_send(link, &out), 0);
}

static void on_trunk_auth(void *ctx, struct ipc_link *link, const Gh__Msg *msg)
{
	struct cw *w = ctx;
	size_t len = gh__trunk_auth_request__get_packed_size(
		msg->trunk_auth_request);
	uint8_t *bytes = malloc(len);

	(void)link;
	ck_assert_ptr_nonnull(bytes);
	gh__trunk_auth_request__pack(msg->trunk_auth_request, bytes);
	cw_trunk_auth_forget(w);
	w->trunk_auth = gh__trunk_auth_request__unpack(NULL, len, bytes);
	free(bytes);
}

void cw_trunk_auth_answer(struct cw *w, const char *header)
{
	Gh__TrunkAuthAnswer answer = GH__TRUNK_AUTH_ANSWER__INIT;

	ck_assert_ptr_nonnull(w->trunk_auth);
	answer.id = w->trunk_auth->id;
	answer.ok = header != NULL;
	answer.reason = reason_number(REASON_AUTH_OK);
	answer.header = cw_str(header != NULL ? header : "");
	IPC_MSG(out, TRUNK_AUTH_ANSWER, trunk_auth_answer, &answer);
	ck_assert_int_eq(ipc_send(w->authd_link, &out), 0);
}

static bool is_asked(void *ctx)
{
	return ((struct cw *)ctx)->trunk_auth != NULL;
}

void cw_trunk_auth_wait(struct cw *w)
{
	cw_until(w, is_asked, w, "authd to be asked for a trunk's answer");
}

void cw_trunk_auth_forget(struct cw *w)
{
	if (w->trunk_auth != NULL)
		gh__trunk_auth_request__free_unpacked(w->trunk_auth, NULL);
	w->trunk_auth = NULL;
}

static void on_up(void *ctx, struct ipc_link *link)
{
	struct cw *w = ctx;
	static uint8_t bytes[48] =
		"a key that proves freshness and nothing else";
	Gh__NonceKey key = GH__NONCE_KEY__INIT;
	Gh__NonceKeys keys = GH__NONCE_KEYS__INIT;

	w->authd_link = link;
	key.id = 1;
	key.key.data = bytes;
	key.key.len = sizeof bytes;
	keys.current = &key;
	keys.lifetime_s = 60;
	IPC_MSG(msg, NONCE_KEYS, nonce_keys, &keys);
	ck_assert_int_eq(ipc_send(link, &msg), 0);
}

static void on_down(void *ctx, struct ipc_link *link, enum reason why)
{
	struct cw *w = ctx;

	(void)link;
	(void)why;
	w->authd_link = NULL;
}

static const struct ipc_permit permits[] = {
	{GH__MSG__BODY_AUTH_REQUEST, PROCESS_BIT(PROCESS_SBC), on_auth},
	{GH__MSG__BODY_ACCOUNT_QUERY, PROCESS_BIT(PROCESS_SBC), on_account},
	{GH__MSG__BODY_CDR_WRITE, PROCESS_BIT(PROCESS_SBC), on_cdr},
	{GH__MSG__BODY_TRUNK_AUTH_REQUEST, PROCESS_BIT(PROCESS_SBC),
		on_trunk_auth},
	{GH__MSG__BODY_BINDINGS_UPDATE, PROCESS_BIT(PROCESS_SBC), cw_ignore},
	{GH__MSG__BODY_SETTINGS_RESULT, PROCESS_BIT(PROCESS_SBC), cw_ignore},
	{GH__MSG__BODY_EVENT, PROCESS_BIT(PROCESS_SBC), cw_ignore},
};

void cw_authd_start(struct cw *w)
{
	w->authd = cw_serve(w, PROCESS_AUTHD, permits,
		sizeof permits / sizeof *permits, on_up, on_down, "authd");
}
