/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See restore.h. The accounts to send are listed at the start; what changes
 * meanwhile came from sbc itself, which then knows better. Called by server.
 */
#include "authd/restore.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/clock.h"
#include "common/log.h"

/* Questions at once, and accounts per turn of the loop. */
#define RESTORE_ASKED_MAX 64
#define RESTORE_TURN      256

/* The link's queue is drained by then. */
#define RESTORE_RETRY_US  (20 * CLOCK_US_PER_MS)

struct question {
	struct restore *restore;
	struct account_wait *wait; /* NULL = free */
	uint64_t account;
};

struct restore {
	struct loop *loop;
	struct bindings *bindings;
	struct accounts *accounts;
	struct ipc_link *link;
	struct loop_timer *turn;
	uint64_t *ids; /* owned */
	size_t n_ids, next;
	struct question asked[RESTORE_ASKED_MAX];
	size_t n_asked, n_lost;
	bool done;
};

/* @return 0, or what ipc_send() says. */
static int send_account(
	struct restore *r, uint64_t id, const Gh__AccountRecord *record)
{
	const Gh__BindingsUpdate *update = bindings_find(r->bindings, id);
	Gh__BindingsSaved saved = GH__BINDINGS_SAVED__INIT;
	Gh__Binding *live[BINDINGS_PER_ACCOUNT];
	Gh__Account *facts = record->account;
	uint64_t now = clock_wall_us();
	IPC_MSG(msg, BINDINGS_SAVED, bindings_saved, &saved);

	saved.bindings = live;
	for (size_t i = 0; update && i < update->n_bindings; i++)
		if (update->bindings[i]->wall_expires_us > now)
			live[saved.n_bindings++] = update->bindings[i];
	if (saved.n_bindings == 0)
		return 0;
	saved.accounts = &facts;
	saved.n_accounts = 1;
	return ipc_send(r->link, &msg);
}

static void leave_out(struct restore *r, uint64_t id, int err)
{
	r->n_lost++;
	log_peer_warning("registration_not_restored", LOG_UINT("account", id),
		LOG_ERR(err));
}

static void on_answer(void *ctx, int err, const Gh__AccountRecord *record)
{
	struct question *q = ctx;
	struct restore *r = q->restore;

	q->wait = NULL;
	r->n_asked--;
	if (err == 0)
		err = send_account(r, q->account, record);
	if (err < 0)
		leave_out(r, q->account, err);
	loop_timer_set(r->loop, r->turn, 0);
}

static int ask(struct restore *r, uint64_t id)
{
	struct question *q = r->asked;
	char key[24];
	int err;

	while (q->wait)
		q++;
	q->restore = r;
	q->account = id;
	snprintf(key, sizeof(key), "%" PRIu64, id);
	err = account_ask(r->accounts, GH__ACCOUNT_KEY__ACCOUNT_BY_ID, key,
		on_answer, q, &q->wait);
	if (err == 0)
		r->n_asked++;
	return err;
}

/* @return 0, or an error after which the same account is tried again. */
static int step(struct restore *r, uint64_t id)
{
	const Gh__AccountRecord *record;
	char key[24];
	int err;

	snprintf(key, sizeof(key), "%" PRIu64, id);
	err = account_find(
		r->accounts, GH__ACCOUNT_KEY__ACCOUNT_BY_ID, key, &record);
	if (err == 0)
		return send_account(r, id, record);
	if (err == ERR_AGAIN)
		return r->n_asked < RESTORE_ASKED_MAX ? ask(r, id) : ERR_FULL;
	leave_out(r, id, err);
	return 0;
}

static void finish(struct restore *r)
{
	Gh__BindingsSaved saved = GH__BINDINGS_SAVED__INIT;
	IPC_MSG(msg, BINDINGS_SAVED, bindings_saved, &saved);

	saved.done = true;
	if (ipc_send(r->link, &msg) < 0) {
		loop_timer_set(r->loop, r->turn, RESTORE_RETRY_US);
		return;
	}
	r->done = true;
	log_info("registrations_sent",
		LOG_UINT("accounts", r->n_ids - r->n_lost));
}

static void on_turn(void *ctx)
{
	struct restore *r = ctx;

	for (size_t n = 0; n < RESTORE_TURN && r->next < r->n_ids; n++) {
		int err = step(r, r->ids[r->next]);

		if (err == ERR_FULL || err == ERR_NOMEM) {
			loop_timer_set(r->loop, r->turn, RESTORE_RETRY_US);
			return;
		}
		if (err < 0)
			leave_out(r, r->ids[r->next], err);
		r->next++;
	}
	if (r->next < r->n_ids)
		loop_timer_set(r->loop, r->turn, 0);
	else if (r->n_asked == 0 && !r->done)
		finish(r);
}

int restore_new(struct loop *loop, struct bindings *bindings,
	struct accounts *accounts, struct ipc_link *link,
	struct restore **restore_out)
{
	struct restore *r = calloc(1, sizeof(*r));

	if (!r)
		return ERR_NOMEM;
	r->loop = loop;
	r->bindings = bindings;
	r->accounts = accounts;
	r->link = link;
	if (bindings_list(bindings, &r->ids, &r->n_ids) < 0 ||
		loop_timer_new(loop, on_turn, r, &r->turn) < 0) {
		restore_free(&r);
		return ERR_NOMEM;
	}
	loop_timer_set(loop, r->turn, 0);
	*restore_out = r;
	return 0;
}

void restore_free(struct restore **ref)
{
	struct restore *r = *ref;

	if (!r)
		return;
	*ref = NULL;
	for (size_t i = 0; i < RESTORE_ASKED_MAX; i++)
		if (r->asked[i].wait)
			account_cancel(&r->asked[i].wait);
	loop_timer_free(r->loop, &r->turn);
	free(r->ids);
	free(r);
}
