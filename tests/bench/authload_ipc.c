/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sbc's part towards authd: takes nonce keys and settings, then keeps WINDOW
 * questions on their way. authd must run as the same user (authd -f). Each
 * phone is asked about once before the clock runs, so that its account is in
 * memory; the database is not part of the figure.
 */
#include "tests/bench/authload.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/ipc.h"
#include "tests/bench/usage.h"

#define WINDOW      64
#define DEADLINE_US (20ull * 1000 * 1000)

struct bench {
	struct loop *loop;
	struct loop_timer *deadline;
	struct ipc_link *link;
	struct nonce_keys nonces;
	uint32_t realm;
	bool have_settings;
	struct authload_phone *phones;
	size_t n;
	uint64_t n_sent, n_right;
	bool warm;
	unsigned seconds;
	pid_t authd;
	uint64_t start_us, spent_ns, n_start;
	bool failed, finished;
};

static void stop(struct bench *b, const char *why)
{
	if (why)
		fprintf(stderr, "authload: %s\n", why);
	b->failed = why != NULL;
	b->finished = true;
	loop_stop(b->loop);
}

static void ask(struct bench *b)
{
	struct authload_phone *p = &b->phones[b->n_sent % b->n];

	if (!authload_phone_next(p, &b->nonces, b->realm)) {
		stop(b, "no nonce");
		return;
	}
	p->request.id = ++b->n_sent;
	IPC_MSG(msg, AUTH_REQUEST, auth_request, &p->request);
	if (ipc_send(b->link, &msg))
		stop(b, "a question cannot be sent");
}

static void begin_if_ready(struct bench *b)
{
	if (b->n_sent || !b->have_settings || !b->nonces.current.id)
		return;
	for (int i = 0; i < WINDOW && !b->finished; i++)
		ask(b);
}

static void on_nonce_keys(void *ctx, struct ipc_link *link, const Gh__Msg *msg)
{
	struct bench *b = ctx;

	(void)link;
	if (nonce_keys_read(msg->nonce_keys, &b->nonces))
		stop(b, "bad nonce keys");
	else
		begin_if_ready(b);
}

static void on_piece(void *ctx, struct ipc_link *link, const Gh__Msg *msg)
{
	struct bench *b = ctx;
	const Gh__SettingsPiece *p = msg->settings_piece;

	(void)link;
	if (p->piece_case == GH__SETTINGS_PIECE__PIECE_REALM &&
		strcmp(p->realm->digest_realm, AUTHLOAD_DOMAIN) == 0)
		b->realm = p->realm->id;
}

static void on_done(void *ctx, struct ipc_link *link, const Gh__Msg *msg)
{
	struct bench *b = ctx;
	Gh__SettingsResult result = GH__SETTINGS_RESULT__INIT;

	result.version = msg->settings_done->version;
	result.accepted = true;
	IPC_MSG(answer, SETTINGS_RESULT, settings_result, &result);
	if (!b->realm || ipc_send(link, &answer)) {
		stop(b, "no realm for phones in the settings");
		return;
	}
	b->have_settings = true;
	begin_if_ready(b);
}

/* The first round is over: the clock runs. */
static void begin_counting(struct bench *b)
{
	b->warm = true;
	b->n_start = b->n_right;
	b->start_us = clock_now_us();
	b->spent_ns = usage_run_ns(&b->authd, 1);
}

static void on_answer(void *ctx, struct ipc_link *link, const Gh__Msg *msg)
{
	struct bench *b = ctx;
	const Gh__AuthAnswer *a = msg->auth_answer;
	size_t i = (size_t)((a->id - 1) % b->n);
	enum reason why = REASON_NONE;

	(void)link;
	if (b->finished)
		return;
	if (a->verdict != GH__AUTH_VERDICT__AUTH_VERDICT_OK || !a->account ||
		strcmp(a->account->user, b->phones[i].user) != 0) {
		(void)!reason_from_number(a->reason, &why);
		stop(b, reason_sentence(why));
		return;
	}
	b->n_right++;
	if (!b->warm && b->n_right >= b->n)
		begin_counting(b);
	if (b->warm && clock_now_us() - b->start_us > b->seconds * 1000000ull) {
		stop(b, NULL);
		return;
	}
	ask(b);
}

static void on_ignored(void *ctx, struct ipc_link *link, const Gh__Msg *msg)
{
	(void)ctx;
	(void)link;
	(void)msg;
}

static void on_up(void *ctx, struct ipc_link *link)
{
	(void)ctx;
	(void)link;
}

static void on_down(void *ctx, struct ipc_link *link, enum reason why)
{
	(void)link;
	stop(ctx, reason_sentence(why));
}

static void on_deadline(void *ctx)
{
	stop(ctx, "authd did not answer in time");
}

#define FROM_AUTHD PROCESS_BIT(PROCESS_AUTHD)
static const struct ipc_permit permits[] = {
	{GH__MSG__BODY_NONCE_KEYS, FROM_AUTHD, on_nonce_keys},
	{GH__MSG__BODY_SETTINGS_PIECE, FROM_AUTHD, on_piece},
	{GH__MSG__BODY_SETTINGS_DONE, FROM_AUTHD, on_done},
	{GH__MSG__BODY_AUTH_ANSWER, FROM_AUTHD, on_answer},
	{GH__MSG__BODY_BAN, FROM_AUTHD, on_ignored},
	{GH__MSG__BODY_BINDINGS_SAVED, FROM_AUTHD, on_ignored},
	{GH__MSG__BODY_ACCOUNTS_CHANGED, FROM_AUTHD, on_ignored},
	{GH__MSG__BODY_ACTIVE_CALLS_ASK, FROM_AUTHD, on_ignored},
	{GH__MSG__BODY_CDR_ACK, FROM_AUTHD, on_ignored},
};

static void print(struct bench *b)
{
	uint64_t spent = usage_run_ns(&b->authd, 1) - b->spent_ns;
	uint64_t wall = clock_now_us() - b->start_us;
	uint64_t n = b->n_right - b->n_start;

	printf("verified=%llu ns_each=%.1f rate=%.0f wall_rate=%.0f "
	       "core_percent=%.1f\n",
		(unsigned long long)n, (double)spent / (double)n,
		(double)n * 1e9 / (double)spent, (double)n * 1e6 / (double)wall,
		(double)spent / 10.0 / (double)wall);
}

int authload_ipc(
	size_t n_phones, unsigned seconds, const char *path, pid_t authd)
{
	static const struct ipc_events events = {on_up, on_down};
	static struct process_users users;
	struct bench b = {.n = n_phones, .seconds = seconds, .authd = authd};
	struct ipc_config config = {.self = PROCESS_SBC,
		.users = &users,
		.permits = permits,
		.n_permits = sizeof(permits) / sizeof(permits[0]),
		.events = events,
		.ctx = &b};

	b.phones = calloc(n_phones, sizeof(*b.phones));
	if (!b.phones)
		return 1;
	for (size_t i = 0; i < n_phones; i++)
		authload_phone_init(&b.phones[i], i);
	process_users_all(&users, getuid());
	if (loop_event_new(&b.loop) ||
		loop_timer_new(b.loop, on_deadline, &b, &b.deadline))
		return 1;
	config.loop = b.loop;
	loop_timer_set(b.loop, b.deadline, DEADLINE_US + seconds * 1000000ull);
	if (ipc_connect(&config, path, PROCESS_AUTHD, &b.link) ||
		loop_run(b.loop) || b.failed) {
		fprintf(stderr, "authload: no figure from %s\n", path);
		return 1;
	}
	print(&b);
	return 0;
}
