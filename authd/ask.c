/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Questions of sbc: credentials, challenges, accounts, trunk answers. What is
 * in memory is answered at once; what is not waits for the database or the
 * disk, bounded. Judging is judge.c's. Called by server's permit table.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "authd/row.h"
#include "authd/server_i.h"
#include "authd/trunkcred.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/ranges.h"

enum { ASKS_MAX = 4096 };

/* An answer that is held back. */
struct held_answer {
	struct ipc_link *link;
	uint64_t id;
	Gh__AuthVerdict verdict;
	enum reason why;
	struct digest_offers offers;
};

static void send_or_log(struct ipc_link *link, const Gh__Msg *msg)
{
	int err = ipc_send(link, msg);

	if (err < 0)
		log_peer_warning("answer_not_sent", LOG_ERR(err));
}

/* ------------------------------------------------------- credentials */

static void send_answer(struct ipc_link *link, uint64_t id,
	Gh__AuthVerdict verdict, enum reason why,
	const struct digest_offers *offers, const Gh__Account *account)
{
	Gh__AuthAnswer answer = GH__AUTH_ANSWER__INIT;
	Gh__DigestOffer rows[DIGEST_OFFERS_MAX], *list[DIGEST_OFFERS_MAX];
	IPC_MSG(msg, AUTH_ANSWER, auth_answer, &answer);

	answer.id = id;
	answer.verdict = verdict;
	answer.reason = reason_number(why);
	/* protobuf-c writes only; the record stays its owner's. */
	answer.account = (Gh__Account *)(uintptr_t)account;
	for (size_t i = 0; i < offers->n; i++) {
		gh__digest_offer__init(&rows[i]);
		rows[i].algorithm = offers->offer[i].algorithm;
		rows[i].qop = offers->offer[i].qop;
		list[i] = &rows[i];
	}
	answer.offers = list;
	answer.n_offers = offers->n;
	send_or_log(link, &msg);
}

void ask_on_held(void *ctx, void *item, bool give_up)
{
	struct held_answer *h = item;

	(void)ctx;
	if (!give_up)
		send_answer(
			h->link, h->id, h->verdict, h->why, &h->offers, NULL);
	free(h);
}

static void refuse_auth(struct ipc_link *link, uint64_t id,
	Gh__AuthVerdict verdict, enum reason why)
{
	const struct digest_offers none = {0};

	reason_count(why);
	send_answer(link, id, verdict, why, &none, NULL);
}

static void answer_auth(struct server *s, struct ipc_link *link,
	const Gh__AuthRequest *request, const struct judgement *j,
	uint64_t arrived_us)
{
	struct held_answer *h;

	/* Guessing has a limit for all together, whoever asks: even sbc itself
	 * can not try passwords at will. */
	if (j->failed && !token_take(&s->failure_budget, 1, clock_now_us())) {
		refuse_auth(link, request->id,
			GH__AUTH_VERDICT__AUTH_VERDICT_UNAVAILABLE,
			REASON_AUTH_AWAY);
		return;
	}
	reason_count(j->why);
	if (j->why != REASON_AUTH_OK)
		log_peer_info("auth", LOG_STR("reason", reason_text(j->why)),
			LOG_STR("user", request->digest->username),
			LOG_STR("src", request->source));
	if (j->failed) {
		/* As late whether the account was in memory or asked for: the
		 * time tells nobody who exists. */
		h = calloc(1, sizeof(*h));
		if (h) {
			h->link = link;
			h->id = request->id;
			h->verdict = j->verdict;
			h->why = j->why;
			h->offers = j->offers;
			if (throttle_hold(s->throttle, h, arrived_us) == 0)
				return;
			free(h);
		}
	}
	send_answer(link, request->id, j->verdict, j->why, &j->offers,
		j->record ? j->record->account : NULL);
}

/* --------------------------------------------------------- accounts */

static void answer_offers(
	struct ipc_link *link, uint64_t id, const struct digest_offers *offers)
{
	Gh__OffersAnswer answer = GH__OFFERS_ANSWER__INIT;
	Gh__DigestOffer rows[DIGEST_OFFERS_MAX], *list[DIGEST_OFFERS_MAX];
	IPC_MSG(msg, OFFERS_ANSWER, offers_answer, &answer);

	answer.id = id;
	for (size_t i = 0; i < offers->n; i++) {
		gh__digest_offer__init(&rows[i]);
		rows[i].algorithm = offers->offer[i].algorithm;
		rows[i].qop = offers->offer[i].qop;
		list[i] = &rows[i];
	}
	answer.offers = list;
	answer.n_offers = offers->n;
	send_or_log(link, &msg);
}

static void answer_account(struct server *s, struct ipc_link *link,
	const Gh__AccountQuery *query, int err, const Gh__AccountRecord *record)
{
	Gh__AccountAnswer answer = GH__ACCOUNT_ANSWER__INIT;
	const struct range *nobodys = NULL;
	IPC_MSG(msg, ACCOUNT_ANSWER, account_answer, &answer);

	if (err == ERR_NOT_FOUND &&
		query->by == GH__ACCOUNT_KEY__ACCOUNT_BY_NUMBER)
		nobodys = account_nobodys(s->accounts, query->key);
	if (nobodys) {
		answer.nobodys = true;
		answer.nobodys_below = (char *)(uintptr_t)nobodys->below;
		answer.nobodys_above = (char *)(uintptr_t)nobodys->above;
	}
	answer.id = query->id;
	answer.found = err == 0;
	answer.unavailable = err != 0 && err != ERR_NOT_FOUND;
	if (err == 0) {
		answer.account = record->account;
		account_used(s->accounts, record);
	}
	send_or_log(link, &msg);
}

/* ----------------------------------------------- trunks' challenges */

/* Only what was registered with lost credentials can be taken back. */
static bool is_register(const Gh__TrunkAuthRequest *request)
{
	return strcmp(request->method, "REGISTER") == 0;
}

/* own: of the extension that we register at its PBX; NULL = the trunk's. */
static void answer_trunk(struct server *s, struct ipc_link *link,
	const Gh__TrunkAuthRequest *request, const Gh__TrunkSecret *own)
{
	Gh__TrunkAuthAnswer answer = GH__TRUNK_AUTH_ANSWER__INIT;
	IPC_MSG(out, TRUNK_AUTH_ANSWER, trunk_auth_answer, &answer);
	char header[TRUNKCRED_HEADER_SIZE] = "";
	const Gh__Trunk *trunk = snapshots_trunk(s->snapshots, request->trunk);
	const Gh__TrunkSecret *secret =
		own ? own
		    : snapshots_trunk_secret(s->snapshots, request->trunk);
	enum reason why = REASON_AUTH_TRUNK_FAILED;

	if (!trunk && is_register(request)) {
		trunk = snapshots_gone_trunk(s->snapshots, request->trunk);
		if (!secret)
			secret = snapshots_gone_secret(
				s->snapshots, request->trunk);
	}
	if (trunk && secret)
		why = trunkcred_answer(s->digest, s->key, trunk, secret,
			request, NULL, header);
	answer.id = request->id;
	answer.ok = why == REASON_NONE;
	answer.reason = reason_number(why);
	answer.header = header;
	if (!answer.ok) {
		header[0] = '\0';
		reason_count(why);
		log_peer_warning("trunk_auth",
			LOG_STR("reason", reason_text(why)),
			LOG_UINT("trunk", request->trunk),
			LOG_STR("peer", request->peer));
	}
	send_or_log(link, &out);
}

/* The account is one whose extension is registered at exactly this trunk. */
static const Gh__TrunkSecret *surrogate_of(struct server *s,
	const Gh__TrunkAuthRequest *request, const Gh__AccountRecord *record)
{
	if (record && record->account->enabled &&
		record->account->surrogate_trunk == request->trunk)
		return record->surrogate;
	return is_register(request)
		       ? account_gone_secret(s->accounts,
				 request->surrogate_account, request->trunk)
		       : NULL;
}

/* ---------------------------------------------------------- waiting */

static void drop_request(struct ask_request *r)
{
	struct server *s = r->server;

	account_cancel(&r->wait);
	TAILQ_REMOVE(&s->asks, r, order);
	s->n_asks--;
	ipc_msg_free(r->msg);
	free(r);
}

static void finish_auth(struct ask_request *r)
{
	const Gh__AuthRequest *request = r->msg->auth_request;
	struct judgement j;

	if (judge_request(&r->server->judge, request, true, &j) < 0)
		refuse_auth(r->link, request->id,
			GH__AUTH_VERDICT__AUTH_VERDICT_UNAVAILABLE,
			REASON_AUTH_AWAY);
	else
		answer_auth(r->server, r->link, request, &j, r->arrived_us);
}

static void finish_offers(struct ask_request *r)
{
	const Gh__OffersRequest *request = r->msg->offers_request;
	struct digest_offers offers = {0};

	if (judge_offers(&r->server->judge, request->realm, request->username,
		    true, &offers) < 0)
		log_peer_warning("offers_unknown");
	answer_offers(r->link, request->id, &offers);
}

static void on_account(void *ctx, int err, const Gh__AccountRecord *record)
{
	struct ask_request *r = ctx;

	r->wait = NULL;
	switch (r->msg->body_case) {
	case GH__MSG__BODY_AUTH_REQUEST:
		finish_auth(r);
		break;
	case GH__MSG__BODY_OFFERS_REQUEST:
		finish_offers(r);
		break;
	case GH__MSG__BODY_TRUNK_AUTH_REQUEST:
		answer_trunk(r->server, r->link, r->msg->trunk_auth_request,
			surrogate_of(r->server, r->msg->trunk_auth_request,
				err == 0 ? record : NULL));
		break;
	default:
		answer_account(
			r->server, r->link, r->msg->account_query, err, record);
		break;
	}
	drop_request(r);
}

static Gh__Msg *copy_msg(const Gh__Msg *msg)
{
	size_t len = gh__msg__get_packed_size(msg);
	uint8_t *bytes = malloc(len);
	Gh__Msg *copy;

	if (!bytes)
		return NULL;
	gh__msg__pack(msg, bytes);
	copy = ipc_decode(bytes, len);
	free(bytes);
	return copy;
}

/* Puts a question aside until its account is known.
 * @return 0, or why not. */
static int wait_for(struct server *s, struct ipc_link *link, const Gh__Msg *msg,
	Gh__AccountKey by, const char *key)
{
	struct ask_request *r;
	int err;

	if (s->n_asks >= ASKS_MAX)
		return ERR_FULL;
	r = calloc(1, sizeof(*r));
	if (!r)
		return ERR_NOMEM;
	r->server = s;
	r->link = link;
	r->arrived_us = clock_now_us();
	r->msg = copy_msg(msg);
	err = r->msg ? account_ask(
			       s->accounts, by, key, on_account, r, &r->wait)
		     : ERR_NOMEM;
	if (err < 0) {
		ipc_msg_free(r->msg);
		free(r);
		return err;
	}
	TAILQ_INSERT_TAIL(&s->asks, r, order);
	s->n_asks++;
	return 0;
}

/* --------------------------------------------------------- handlers */

void ask_on_auth(void *ctx, struct ipc_link *link, const Gh__Msg *msg)
{
	const Gh__AuthRequest *request = msg->auth_request;
	uint64_t arrived = clock_now_us();
	struct server *s = ctx;
	struct judgement j;
	int err;

	err = judge_request(&s->judge, request, false, &j);
	if (err == 0) {
		answer_auth(s, link, request, &j, arrived);
		return;
	}
	if (err == ERR_AGAIN)
		err = wait_for(s, link, msg, GH__ACCOUNT_KEY__ACCOUNT_BY_USER,
			request->digest->username);
	if (err == ERR_INVALID)
		refuse_auth(link, request->id,
			GH__AUTH_VERDICT__AUTH_VERDICT_REFUSED,
			REASON_AUTH_SYNTAX);
	else if (err < 0)
		refuse_auth(link, request->id,
			GH__AUTH_VERDICT__AUTH_VERDICT_UNAVAILABLE,
			REASON_AUTH_AWAY);
}

void ask_on_offers(void *ctx, struct ipc_link *link, const Gh__Msg *msg)
{
	const Gh__OffersRequest *request = msg->offers_request;
	struct digest_offers offers = {0};
	struct server *s = ctx;
	int err;

	err = judge_offers(
		&s->judge, request->realm, request->username, false, &offers);
	if (err == ERR_AGAIN)
		err = wait_for(s, link, msg, GH__ACCOUNT_KEY__ACCOUNT_BY_USER,
			      request->username) < 0
			      ? judge_offers(&s->judge, request->realm,
					request->username, true, &offers)
			      : ERR_AGAIN;
	if (err != ERR_AGAIN)
		answer_offers(link, request->id, &offers);
}

void ask_on_account(void *ctx, struct ipc_link *link, const Gh__Msg *msg)
{
	const Gh__AccountQuery *query = msg->account_query;
	const Gh__AccountRecord *record = NULL;
	struct server *s = ctx;
	int err;

	err = account_find(s->accounts, query->by, query->key, &record);
	if (err == ERR_AGAIN)
		err = wait_for(s, link, msg, query->by, query->key);
	else if (err == 0 || err == ERR_NOT_FOUND) {
		answer_account(s, link, query, err, record);
		return;
	}
	if (err < 0)
		answer_account(s, link, query, err, NULL);
}

void ask_on_trunk_auth(void *ctx, struct ipc_link *link, const Gh__Msg *msg)
{
	const Gh__TrunkAuthRequest *request = msg->trunk_auth_request;
	const Gh__AccountRecord *record = NULL;
	struct server *s = ctx;
	char id[24];
	int err;

	if (request->surrogate_account == 0) {
		answer_trunk(s, link, request, NULL);
		return;
	}
	snprintf(id, sizeof(id), "%" PRIu64, request->surrogate_account);
	err = account_find(
		s->accounts, GH__ACCOUNT_KEY__ACCOUNT_BY_ID, id, &record);
	if (err == ERR_AGAIN &&
		wait_for(s, link, msg, GH__ACCOUNT_KEY__ACCOUNT_BY_ID, id) == 0)
		return;
	answer_trunk(s, link, request,
		surrogate_of(s, request, err == 0 ? record : NULL));
}

static bool is_for_link(const void *item, const void *what)
{
	return ((const struct held_answer *)item)->link == what;
}

void ask_on_link_down(struct server *s, struct ipc_link *link)
{
	struct ask_request *r, *next;

	for (r = TAILQ_FIRST(&s->asks); r; r = next) {
		next = TAILQ_NEXT(r, order);
		if (r->link == link)
			drop_request(r);
	}
	throttle_drop(s->throttle, is_for_link, link);
}

void ask_free(struct server *s)
{
	while (!TAILQ_EMPTY(&s->asks))
		drop_request(TAILQ_FIRST(&s->asks));
}
