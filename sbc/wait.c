/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One wait is one request; it ends exactly once: by the verdict (also a
 * deadline's or a broken link's: auth.c promises one), by CANCEL, or with the
 * process. Bounded by what auth.c lets be under way.
 */
#include "sbc/wait.h"

#include <sofia-sip/msg.h>
#include <sofia-sip/nta_stateless.h>
#include <sofia-sip/sip_status.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/table.h"
#include "sbc/sbc.h"

#define WAITS_MAX 8192
#define KEY_SIZE  384

struct wait {
	struct table_node node;
	struct sbc *sbc;
	struct inbound in;
	struct auth_query *query;
	wait_fn fn;
	enum reason why; /* of the challenge that waits for its list */
	size_t key_len;
	char key[KEY_SIZE];
};

struct waits {
	struct table table;
};

/* What tells a retransmission: the topmost Via's branch and sent-by (RFC 3261
 * 17.2.3), with Call-ID and CSeq for those who reuse branches, and the source.
 * @return its length, or 0 if it is longer than anybody's. */
static size_t make_key(const struct inbound *in, char key[KEY_SIZE])
{
	const sip_t *sip = in->sip;
	char source[ADDR_TEXT_SIZE];
	int n;

	n = snprintf(key, KEY_SIZE, "%s|%s|%s|%s|%u|%s",
		addr_format(&in->source, source),
		sip->sip_via->v_branch ? sip->sip_via->v_branch : "",
		sip->sip_via->v_host, sip->sip_cseq->cs_method_name,
		sip->sip_cseq->cs_seq, sip->sip_call_id->i_id);
	return n > 0 && n < KEY_SIZE ? (size_t)n : 0;
}

static void wait_free(struct wait *w)
{
	auth_cancel(&w->query);
	table_remove(&w->sbc->waits->table, &w->node);
	free(w);
}

/* Silence towards REGISTER over UDP: the phone tries again by itself. */
static void unavailable(struct sbc *sbc, struct inbound *in, enum reason why)
{
	if (in->sip->sip_request->rq_method == sip_method_register &&
		in->flow == 0 && !in->irq)
		stack_drop(sbc->stack, in, why);
	else if (reason_sip(why) == 503)
		stack_refuse(sbc->stack, in, why);
	else
		stack_refuse(sbc->stack, in, REASON_AUTH_AWAY);
}

/* A judged request gets its transaction: what is sent again meets the same
 * answer and is not judged twice. */
static int make_transaction(struct sbc *sbc, struct inbound *in)
{
	msg_t *msg = in->msg;

	if (in->irq)
		return 0;
	in->irq = stack_accept(sbc->stack, in);
	if (!in->irq)
		return ERR_NOMEM;
	in->msg = msg; /* the transaction's; alive as long as that is */
	return 0;
}

static void on_judged(void *ctx, Gh__AuthVerdict verdict, enum reason why,
	struct account *account)
{
	struct wait *w = ctx;
	struct sbc *sbc = w->sbc;
	struct inbound in = w->in;
	wait_fn fn = w->fn;

	w->query = NULL;
	if (in.irq)
		nta_incoming_bind(in.irq, NULL, NULL);
	wait_free(w);
	if (verdict == GH__AUTH_VERDICT__AUTH_VERDICT_UNAVAILABLE) {
		unavailable(sbc, &in, why);
		return;
	}
	/* The snapshot may be another one by now. */
	if (stack_place(sbc->stack, &in) != 0) {
		unavailable(sbc, &in, REASON_ADMIT_NOT_READY);
		goto out;
	}
	if (make_transaction(sbc, &in) != 0)
		goto out;
	switch (verdict) {
	case GH__AUTH_VERDICT__AUTH_VERDICT_OK:
		reason_count(REASON_AUTH_OK);
		fn(sbc, &in, account);
		return;
	case GH__AUTH_VERDICT__AUTH_VERDICT_CHALLENGE:
	case GH__AUTH_VERDICT__AUTH_VERDICT_STALE:
		auth_send_challenge(sbc->auth, &in, NULL, why);
		break;
	default:
		stack_refuse(sbc->stack, &in, why);
		break;
	}
out:
	account_unref(&account);
}

/* The waiting INVITE's transaction hears of a CANCEL. */
static int on_transaction(
	nta_incoming_magic_t *magic, nta_incoming_t *irq, const sip_t *sip)
{
	struct wait *w = (struct wait *)magic;
	struct inbound cancel;

	if (!sip || !sip->sip_request ||
		sip->sip_request->rq_method != sip_method_cancel)
		return 0;
	if (stack_inbound(w->sbc->stack, irq, sip, &cancel) != 0 ||
		!addr_equal(&cancel.source, &w->in.source)) {
		reason_count(REASON_ADMIT_DIALOG_SOURCE);
		return 0;
	}
	reason_count(REASON_CALL_CANCELLED);
	nta_incoming_treply(irq, SIP_487_REQUEST_TERMINATED, TAG_END());
	nta_incoming_destroy(irq);
	wait_free(w);
	return 0;
}

static int begin_invite(struct sbc *sbc, struct wait *w)
{
	if (make_transaction(sbc, &w->in) != 0)
		return ERR_NOMEM;
	nta_incoming_treply(w->in.irq, SIP_100_TRYING, TAG_END());
	nta_incoming_bind(w->in.irq, on_transaction, (nta_incoming_magic_t *)w);
	return 0;
}

static enum reason why_of(int err)
{
	switch (err) {
	case ERR_FULL:
		return REASON_IPC_QUEUE_FULL;
	default:
		return REASON_AUTH_AWAY;
	}
}

/* A wait for this request. @return 0; or ERR_INVALID or ERR_EXISTS, and in's
 * message is gone; or another error, and it is still the caller's. */
static int wait_new(struct sbc *sbc, struct inbound *in, struct wait **w_out)
{
	struct wait *w = calloc(1, sizeof(*w));
	int err;

	if (!w)
		return ERR_NOMEM;
	w->sbc = sbc;
	w->key_len = make_key(in, w->key);
	if (w->key_len == 0) {
		free(w);
		stack_refuse(sbc->stack, in, REASON_ADMIT_SYNTAX);
		return ERR_INVALID;
	}
	err = table_add(&sbc->waits->table, &w->node, w->key, w->key_len);
	if (err == ERR_EXISTS) { /* sent again while authd thinks */
		nta_msg_discard(stack_agent(sbc->stack), in->msg);
		in->msg = NULL;
	}
	if (err != 0) {
		free(w);
		return err;
	}
	*w_out = w;
	return 0;
}

static void on_offers(void *ctx)
{
	struct wait *w = ctx;
	struct sbc *sbc = w->sbc;
	struct inbound in = w->in;
	enum reason why = w->why;

	w->query = NULL;
	wait_free(w);
	if (stack_place(sbc->stack, &in) != 0)
		unavailable(sbc, &in, REASON_ADMIT_NOT_READY);
	else
		auth_send_challenge(sbc->auth, &in, NULL, why);
}

/* A challenge; where accounts have lists of their own, after asking for this
 * one's. Without an answer it is the realm's. */
static void challenge(struct sbc *sbc, struct inbound *in, enum reason why)
{
	struct wait *w;
	int err;

	if (!auth_wants_offers(sbc->auth, in)) {
		auth_send_challenge(sbc->auth, in, NULL, why);
		return;
	}
	err = wait_new(sbc, in, &w);
	if (err == ERR_EXISTS || err == ERR_INVALID)
		return;
	if (err == 0) {
		w->why = why;
		err = auth_offers(sbc->auth, in, on_offers, w, &w->query);
		if (err == 0) {
			w->in = *in;
			in->msg = NULL;
			return;
		}
		wait_free(w);
	}
	auth_send_challenge(sbc->auth, in, NULL, why);
}

static void begin(struct sbc *sbc, struct inbound *in, Gh__AuthPurpose purpose,
	wait_fn fn)
{
	bool is_invite = in->sip->sip_request->rq_method == sip_method_invite;
	struct wait *w;
	int err = wait_new(sbc, in, &w);

	if (err == ERR_EXISTS || err == ERR_INVALID)
		return;
	if (err != 0)
		goto refused;
	w->fn = fn;
	err = auth_judge(sbc->auth, in, purpose, 0, on_judged, w, &w->query);
	if (err != 0) {
		wait_free(w);
		goto refused;
	}
	w->in = *in;
	if (is_invite && begin_invite(sbc, w) != 0)
		wait_free(w); /* nothing is left of the message */
	in->msg = NULL;
	return;
refused:
	unavailable(sbc, in, why_of(err));
}

void wait_for_judge(struct sbc *sbc, struct inbound *in,
	Gh__AuthPurpose purpose, wait_fn fn)
{
	enum reason why;

	switch (auth_precheck(sbc->auth, in, &why)) {
	case GH__AUTH_VERDICT__AUTH_VERDICT_OK:
		begin(sbc, in, purpose, fn);
		break;
	case GH__AUTH_VERDICT__AUTH_VERDICT_CHALLENGE:
	case GH__AUTH_VERDICT__AUTH_VERDICT_STALE:
		challenge(sbc, in, why);
		break;
	case GH__AUTH_VERDICT__AUTH_VERDICT_UNAVAILABLE:
		unavailable(sbc, in, why);
		break;
	default:
		stack_refuse(sbc->stack, in, why);
		break;
	}
}

size_t waits_count(const struct waits *waits)
{
	return waits->table.n_entries;
}

int waits_new(struct sbc *sbc, struct waits **out)
{
	struct waits *waits = calloc(1, sizeof(*waits));

	(void)sbc;
	if (!waits)
		return ERR_NOMEM;
	if (table_init(&waits->table, WAITS_MAX) != 0) {
		free(waits);
		return ERR_NOMEM;
	}
	*out = waits;
	return 0;
}

void waits_free(struct waits **ref)
{
	struct waits *waits = *ref;
	size_t bucket = 0;
	struct table_node *n;

	if (!waits)
		return;
	n = table_next(&waits->table, &bucket, NULL);
	while (n) {
		struct wait *w = TABLE_ENTRY(n, struct wait, node);

		n = table_next(&waits->table, &bucket, n);
		if (w->in.irq)
			nta_incoming_destroy(w->in.irq);
		else
			msg_destroy(w->in.msg);
		wait_free(w);
	}
	table_done(&waits->table);
	free(waits);
	*ref = NULL;
}
