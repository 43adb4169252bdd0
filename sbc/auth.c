/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Digest on our side of the wall, the part with authd: what has passed
 * auth_challenge.c is asked there, counted (AUTH_IN_FLIGHT_MAX) and with a
 * deadline. authd judges; its account is the identity.
 *
 * Queries share one deadline, so the oldest is always the first to run out: one
 * list, one timer.
 *
 * RFC 7616 (digest), RFC 3261 22, RFC 8760 (several challenges).
 */
#include "sbc/auth_inner.h"

#include <sofia-sip/sip_header.h>
#include <sofia-sip/sip_util.h>

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/pack.h"
#include "common/secret.h"
#include "common/stat.h"
#include "sbc/sbc.h"

#define AUTH_IN_FLIGHT_MAX 4096
#define AUTH_DEADLINE_US   (2 * CLOCK_US_PER_S)

struct auth_query {
	struct table_node node; /* key: id */
	TAILQ_ENTRY(auth_query) next;
	struct auth *auth;
	uint64_t id;
	uint64_t deadline_us;
	auth_fn fn;
	auth_offers_fn offers_fn; /* or this: a question for challenges */
	void *ctx;
	uint8_t *packed; /* AuthRequest, to be sent again; owned */
	size_t packed_len;
};

/* ------------------------------------------------------------------ judge */

static void query_free(struct auth_query *q)
{
	free(q->packed);
	free(q);
}

static void query_remove(struct auth_query *q)
{
	table_remove(&q->auth->queries, &q->node);
	TAILQ_REMOVE(&q->auth->order, q, next);
}

static void set_timer(struct auth *auth)
{
	struct auth_query *q = TAILQ_FIRST(&auth->order);
	uint64_t now = clock_now_us();

	if (!q)
		loop_timer_stop(auth->sbc->daemon.loop, auth->timer);
	else
		loop_timer_set(auth->sbc->daemon.loop, auth->timer,
			q->deadline_us > now ? q->deadline_us - now : 0);
}

/* Ends a query: its callback's only call. */
static void query_end(struct auth_query *q, Gh__AuthVerdict verdict,
	enum reason why, struct account *account)
{
	auth_fn fn = q->fn;
	auth_offers_fn offers_fn = q->offers_fn;
	void *ctx = q->ctx;

	query_remove(q);
	query_free(q);
	if (offers_fn)
		offers_fn(ctx);
	else
		fn(ctx, verdict, why, account);
}

static void on_timer(void *arg)
{
	struct auth *auth = arg;
	uint64_t now = clock_now_us();
	struct auth_query *q;

	while ((q = TAILQ_FIRST(&auth->order)) && q->deadline_us <= now) {
		reason_count(REASON_IPC_TIMEOUT);
		query_end(q, GH__AUTH_VERDICT__AUTH_VERDICT_UNAVAILABLE,
			REASON_AUTH_AWAY, NULL);
	}
	set_timer(auth);
}

static void to_message(struct auth_fields *f, Gh__DigestFields *out)
{
	out->username = f->username;
	out->realm = f->realm;
	out->nonce = f->nonce;
	out->uri = f->uri;
	out->response = f->response;
	out->algorithm = f->algorithm;
	out->cnonce = f->cnonce;
	out->nc = f->nc;
	out->qop = f->qop;
	out->opaque = f->opaque;
}

/* The message may be gone, and the snapshot, when authd is there again. */
static int keep_request(struct auth_query *q, const Gh__AuthRequest *request)
{
	q->packed = pack_new(&request->base, 0, &q->packed_len);
	return q->packed ? 0 : ERR_NOMEM;
}

/* authd may be on its way back: then the question waits for it. */
static int send_request(struct auth_query *q, const struct inbound *in,
	Gh__AuthPurpose purpose, uint64_t dialog_account)
{
	struct auth *auth = q->auth;
	Gh__DigestFields digest = GH__DIGEST_FIELDS__INIT;
	Gh__AuthRequest request = GH__AUTH_REQUEST__INIT;
	struct auth_fields fields;
	const sip_payload_t *body = in->sip->sip_payload;
	char source[ADDR_TEXT_SIZE];
	char uri[AUTH_URI_SIZE];
	enum reason why;
	int err;

	if (auth_find_fields(in, &fields, &why) != 0)
		return ERR_INVALID;
	if (url_e(uri, sizeof(uri), in->sip->sip_request->rq_url) < 0 ||
		strnlen(uri, sizeof(uri)) == sizeof(uri))
		return ERR_TOO_BIG;
	to_message(&fields, &digest);
	request.id = q->id;
	request.realm = in->realm->row->id;
	request.digest = &digest;
	request.method =
		(char *)(uintptr_t)in->sip->sip_request->rq_method_name;
	request.request_uri = uri;
	request.source = (char *)(uintptr_t)addr_format(&in->source, source);
	request.transport = in->listener->transport;
	request.purpose = purpose;
	request.dialog_account = dialog_account;
	if (strcasecmp(fields.qop, "auth-int") == 0 && body) {
		request.body.data = (uint8_t *)(uintptr_t)body->pl_data;
		request.body.len = body->pl_len;
	}
	err = keep_request(q, &request);
	if (err != 0)
		return err;
	IPC_MSG(msg, AUTH_REQUEST, auth_request, &request);
	err = authd_send(auth->sbc->authd, &msg);
	return err == ERR_AWAY ? 0 : err;
}

static int query_new(
	struct auth *auth, void *ctx, struct auth_query **query_out)
{
	struct auth_query *q;

	if (auth->queries.n_entries >= AUTH_IN_FLIGHT_MAX)
		return ERR_FULL;
	q = calloc(1, sizeof(*q));
	if (!q)
		return ERR_NOMEM;
	q->auth = auth;
	q->id = authd_next_id(auth->sbc->authd);
	q->deadline_us = clock_now_us() + AUTH_DEADLINE_US;
	q->ctx = ctx;
	*query_out = q;
	return 0;
}

/* The question was sent, or could not be (err). */
static int query_begin(
	struct auth_query *q, int err, struct auth_query **query_out)
{
	struct auth *auth = q->auth;

	if (err == 0)
		err = table_add(
			&auth->queries, &q->node, &q->id, sizeof(q->id));
	if (err != 0) {
		query_free(q);
		return err;
	}
	TAILQ_INSERT_TAIL(&auth->order, q, next);
	if (TAILQ_FIRST(&auth->order) == q)
		set_timer(auth);
	stat_add(STAT_AUTH_QUERIES, 1);
	*query_out = q;
	return 0;
}

int auth_judge(struct auth *auth, const struct inbound *in,
	Gh__AuthPurpose purpose, uint64_t dialog_account, auth_fn fn, void *ctx,
	struct auth_query **query_out)
{
	struct auth_query *q;
	int err = query_new(auth, ctx, &q);

	if (err != 0)
		return err;
	q->fn = fn;
	err = send_request(q, in, purpose, dialog_account);
	return query_begin(q, err, query_out);
}

/* Whom an unauthenticated request claims to be from: the credentials' user if
 * there are any, else the address of record (REGISTER) or the caller. */
static const char *claimed_user(
	const struct inbound *in, struct auth_fields *fields)
{
	const sip_t *sip = in->sip;
	const url_t *url;
	enum reason why;

	if (auth_find_fields(in, fields, &why) == 0)
		return fields->username;
	url = sip->sip_request->rq_method == sip_method_register
		      ? sip->sip_to->a_url
		      : sip->sip_from->a_url;
	return url->url_user ? url->url_user : "";
}

bool auth_wants_offers(const struct auth *auth, const struct inbound *in)
{
	return in->realm->row->own_offers && authd_is_up(auth->sbc->authd);
}

int auth_offers_of(struct auth *auth, uint32_t realm, const char *user,
	auth_offers_fn fn, void *ctx, struct auth_query **query_out)
{
	Gh__OffersRequest request = GH__OFFERS_REQUEST__INIT;
	struct auth_query *q;
	int err;

	if (strnlen(user, AUTH_TEXT_SIZE) == AUTH_TEXT_SIZE)
		return ERR_TOO_BIG;
	err = query_new(auth, ctx, &q);
	if (err != 0)
		return err;
	q->offers_fn = fn;
	request.id = q->id;
	request.realm = realm;
	request.username = (char *)(uintptr_t)user;
	IPC_MSG(msg, OFFERS_REQUEST, offers_request, &request);
	return query_begin(q, authd_send(auth->sbc->authd, &msg), query_out);
}

int auth_offers(struct auth *auth, const struct inbound *in, auth_offers_fn fn,
	void *ctx, struct auth_query **query_out)
{
	struct auth_fields fields;

	return auth_offers_of(auth, in->realm->row->id,
		claimed_user(in, &fields), fn, ctx, query_out);
}

void auth_cancel(struct auth_query **query)
{
	struct auth_query *q = *query;

	if (!q)
		return;
	*query = NULL;
	query_remove(q);
	query_free(q);
}

/* --------------------------------------------------------- from authd's link
 */

void auth_on_nonce_keys(struct auth *auth, const Gh__NonceKeys *msg)
{
	if (nonce_keys_read(msg, &auth->keys) != 0) {
		log_warning("nonce_keys_unreadable");
		return;
	}
	auth->has_keys = true;
	log_debug("nonce_keys", LOG_UINT("id", auth->keys.current.id));
}

void auth_on_answer(struct auth *auth, const Gh__AuthAnswer *answer)
{
	struct table_node *n;
	struct auth_query *q;
	Gh__AuthVerdict verdict = answer->verdict;
	struct account *account = NULL;
	enum reason why;

	n = table_find(&auth->queries, &answer->id, sizeof(answer->id));
	if (!n)
		return; /* too late: its deadline has passed */
	q = TABLE_ENTRY(n, struct auth_query, node);
	if (!q->fn)
		return; /* asked for something else */
	if (reason_from_number(answer->reason, &why) != 0)
		why = REASON_AUTH_WRONG;
	if ((unsigned)verdict > GH__AUTH_VERDICT__AUTH_VERDICT_UNAVAILABLE ||
		(verdict == GH__AUTH_VERDICT__AUTH_VERDICT_OK &&
			!answer->account)) {
		log_warning("auth_answer_unreadable",
			LOG_UINT("verdict", (unsigned)verdict));
		verdict = GH__AUTH_VERDICT__AUTH_VERDICT_UNAVAILABLE;
		why = REASON_AUTH_AWAY;
	}
	if (verdict == GH__AUTH_VERDICT__AUTH_VERDICT_OK) {
		if (account_new(answer->account, &account) == 0) {
			accounts_keep(auth->sbc->accounts, account);
		} else {
			verdict = GH__AUTH_VERDICT__AUTH_VERDICT_UNAVAILABLE;
			why = REASON_AUTH_AWAY;
		}
	}
	auth->offers = answer->offers;
	auth->n_offers = answer->n_offers;
	query_end(q, verdict, why, account);
	auth->offers = NULL;
	auth->n_offers = 0;
	set_timer(auth);
}

void auth_on_offers(struct auth *auth, const Gh__OffersAnswer *answer)
{
	struct table_node *n =
		table_find(&auth->queries, &answer->id, sizeof(answer->id));
	struct auth_query *q =
		n ? TABLE_ENTRY(n, struct auth_query, node) : NULL;

	if (!q || !q->offers_fn)
		return;
	auth->offers = answer->offers;
	auth->n_offers = answer->n_offers;
	query_end(q, GH__AUTH_VERDICT__AUTH_VERDICT_CHALLENGE,
		REASON_AUTH_MISSING, NULL);
	auth->offers = NULL;
	auth->n_offers = 0;
	set_timer(auth);
}

void auth_on_authd_down(struct auth *auth)
{
	struct auth_query *q, *next;

	/* A challenge needs no answer: it is the realm's then. */
	for (q = TAILQ_FIRST(&auth->order); q; q = next) {
		next = TAILQ_NEXT(q, next);
		if (q->offers_fn)
			query_end(q, GH__AUTH_VERDICT__AUTH_VERDICT_UNAVAILABLE,
				REASON_AUTH_AWAY, NULL);
	}
	set_timer(auth);
}

void auth_on_authd_up(struct auth *auth)
{
	struct auth_query *q;

	TAILQ_FOREACH (q, &auth->order, next) {
		Gh__AuthRequest *request =
			q->packed ? gh__auth_request__unpack(
					    NULL, q->packed_len, q->packed)
				  : NULL;
		int err = request ? 0 : ERR_NOMEM;

		if (err == 0) {
			IPC_MSG(msg, AUTH_REQUEST, auth_request, request);
			err = authd_send(auth->sbc->authd, &msg);
			gh__auth_request__free_unpacked(request, NULL);
		}
		if (err != 0)
			return; /* its deadline ends it */
	}
}

/* ------------------------------------------------------------- life, death */

int auth_new(struct sbc *sbc, struct auth **auth_out)
{
	struct auth *auth = calloc(1, sizeof(*auth));
	int err;

	if (!auth)
		return ERR_NOMEM;
	auth->sbc = sbc;
	TAILQ_INIT(&auth->order);
	err = table_init(&auth->queries, AUTH_IN_FLIGHT_MAX);
	if (err == 0)
		err = loop_timer_new(
			sbc->daemon.loop, on_timer, auth, &auth->timer);
	if (err != 0) {
		auth_free(&auth);
		return err;
	}
	*auth_out = auth;
	return 0;
}

void auth_free(struct auth **auth_ref)
{
	struct auth *auth = *auth_ref;
	struct auth_query *q;

	if (!auth)
		return;
	*auth_ref = NULL;
	while ((q = TAILQ_FIRST(&auth->order)))
		auth_cancel(&q);
	if (auth->queries.buckets)
		table_done(&auth->queries);
	loop_timer_free(auth->sbc->daemon.loop, &auth->timer);
	secret_wipe(&auth->keys, sizeof(auth->keys));
	free(auth);
}
