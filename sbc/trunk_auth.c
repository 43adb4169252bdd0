/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Answers to trunks' challenges, made by authd, which alone has the passwords
 * and checks that the challenge comes from the realm and address that they are
 * for. One question per challenge, with a deadline.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>

#include <sofia-sip/msg_header.h>

#include "common/clock.h"
#include "common/log.h"
#include "sbc/sbc.h"
#include "sbc/text.h"
#include "sbc/trunk_inner.h"

#define DEADLINE_US (2 * CLOCK_US_PER_S)
#define QUERIES_MAX 4096u

static void query_free(struct trunk_auth_query *q)
{
	TAILQ_REMOVE(&q->trunks->queries, q, link);
	q->trunks->n_queries--;
	free(q);
}

static void arm(struct trunks *trunks)
{
	struct trunk_auth_query *q = TAILQ_FIRST(&trunks->queries);
	uint64_t now = clock_now_us();

	if (q == NULL)
		loop_timer_stop(trunks->sbc->daemon.loop, trunks->deadline);
	else
		loop_timer_set(trunks->sbc->daemon.loop, trunks->deadline,
			q->deadline_us > now ? q->deadline_us - now : 0);
}

void trunk_auth_on_deadline(void *arg)
{
	struct trunks *trunks = arg;
	struct trunk_auth_query *q;

	while ((q = TAILQ_FIRST(&trunks->queries)) != NULL &&
		q->deadline_us <= clock_now_us()) {
		trunk_auth_fn fn = q->fn;
		void *ctx = q->ctx;

		query_free(q);
		fn(ctx, NULL, REASON_AUTH_AWAY);
	}
	arm(trunks);
}

int trunk_auth_ask(struct trunks *trunks, uint32_t trunk,
	const struct addr *peer, const char *challenge, const char *method,
	const char *uri, uint64_t surrogate, trunk_auth_fn fn, void *ctx,
	struct trunk_auth_query **query_out)
{
	Gh__TrunkAuthRequest request = GH__TRUNK_AUTH_REQUEST__INIT;
	struct trunk_auth_query *q;
	char text[ADDR_TEXT_SIZE];
	int err;

	if (trunks->n_queries >= QUERIES_MAX)
		return ERR_FULL;
	q = calloc(1, sizeof *q);
	if (q == NULL)
		return ERR_NOMEM;
	request.id = authd_next_id(trunks->sbc->authd);
	request.trunk = trunk;
	request.peer = (char *)(uintptr_t)addr_format(peer, text);
	request.challenge = (char *)(uintptr_t)challenge;
	request.method = (char *)(uintptr_t)method;
	request.uri = (char *)(uintptr_t)uri;
	request.surrogate_account = surrogate;
	IPC_MSG(msg, TRUNK_AUTH_REQUEST, trunk_auth_request, &request);
	err = authd_send(trunks->sbc->authd, &msg);
	if (err != 0) {
		free(q);
		return err;
	}
	q->trunks = trunks;
	q->id = request.id;
	q->fn = fn;
	q->ctx = ctx;
	q->deadline_us = clock_now_us() + DEADLINE_US;
	TAILQ_INSERT_TAIL(&trunks->queries, q, link);
	trunks->n_queries++;
	arm(trunks);
	*query_out = q;
	return 0;
}

void trunk_auth_cancel(struct trunk_auth_query **query)
{
	if (*query != NULL)
		query_free(*query);
	*query = NULL;
}

void trunk_auth_drop_all(struct trunks *trunks)
{
	struct trunk_auth_query *q;

	while ((q = TAILQ_FIRST(&trunks->queries)) != NULL)
		query_free(q);
}

void trunks_on_auth_answer(
	struct trunks *trunks, const Gh__TrunkAuthAnswer *answer)
{
	struct trunk_auth_query *q;
	enum reason why;

	TAILQ_FOREACH (q, &trunks->queries, link) {
		trunk_auth_fn fn = q->fn;
		void *ctx = q->ctx;

		if (q->id != answer->id)
			continue;
		query_free(q);
		arm(trunks);
		if (reason_from_number(answer->reason, &why) != 0)
			why = REASON_AUTH_TRUNK_FAILED;
		fn(ctx, answer->ok ? answer->header : NULL, why);
		return;
	}
}

int trunk_challenge_text(const msg_auth_t *au, char *text, size_t size)
{
	size_t n;
	int len = snprintf(text, size, "%s ", au->au_scheme);

	if (len < 0 || (size_t)len >= size)
		return ERR_TOO_BIG;
	n = (size_t)len;
	for (size_t i = 0; au->au_params != NULL && au->au_params[i] != NULL;
		i++) {
		len = snprintf(text + n, size - n, "%s%s", i == 0 ? "" : ", ",
			au->au_params[i]);
		if (len < 0 || (size_t)len >= size - n)
			return ERR_TOO_BIG;
		n += (size_t)len;
	}
	return 0;
}

bool trunk_challenge_is_stale(const msg_auth_t *au)
{
	const char *stale = msg_params_find(au->au_params, "stale=");

	return stale != NULL &&
	       (text_equal(stale, "true") || text_equal(stale, "\"true\""));
}
