/* SPDX-License-Identifier: Apache-2.0 */
/* See call_world.h: the world itself, and what a test asks of it. */
#include "config.h"

#include "tests/unit/call_world_inner.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "sbc/ctl.h"
#include "sbc/loop_sofia.h"
#include "sbc/meter.h"
#include "sbc/page.h"
#include "sbc/sofia_cures.h"
#include "sbc/talker.h"
#include "sbc/trunk.h"

#define STEP_US 10000
#define TURNS   12

char *cw_str(const char *s)
{
	return (char *)(uintptr_t)s;
}

void cw_ignore(void *ctx, struct ipc_link *link, const Gh__Msg *msg)
{
	(void)ctx;
	(void)link;
	(void)msg;
}

struct ipc_server *cw_serve(struct cw *w, enum process self,
	const struct ipc_permit *permits, size_t n,
	void (*up)(void *, struct ipc_link *),
	void (*down)(void *, struct ipc_link *, enum reason), const char *name)
{
	struct ipc_config config = {
		.loop = w->sbc.daemon.loop,
		.self = self,
		.users = &w->sbc.daemon.users,
		.permits = permits,
		.n_permits = n,
		.events = {.on_up = up, .on_down = down},
		.ctx = w,
	};
	struct ipc_server *server;
	char path[96];

	snprintf(path, sizeof path, "%s/%s.sock", w->dir, name);
	ck_assert_int_eq(ipc_listen(&config, path, &server), 0);
	return server;
}

void cw_until(
	struct cw *w, bool (*done)(void *ctx), void *ctx, const char *what)
{
	uint64_t end = clock_now_us() + CW_PATIENCE_US;

	while (!done(ctx)) {
		ck_assert_msg(clock_now_us() < end, "never came: %s", what);
		ck_assert_int_eq(
			loop_sofia_step(w->sbc.daemon.loop, STEP_US), 0);
	}
}

void cw_step(struct cw *w)
{
	ck_assert_int_eq(loop_sofia_step(w->sbc.daemon.loop, 2000), 0);
}

void cw_turn(struct cw *w)
{
	for (int i = 0; i < TURNS; i++)
		ck_assert_int_eq(loop_sofia_step(w->sbc.daemon.loop, 2000), 0);
}

int cw_open_at(const char *ip, uint16_t port, struct addr *local)
{
	struct sockaddr_storage sa;
	socklen_t len;
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(addr_parse(ip, local), 0);
	local->port = port;
	len = addr_to_sockaddr(local, &sa);
	if (bind(fd, (struct sockaddr *)&sa, len) != 0) {
		close(fd);
		return -1;
	}
	len = sizeof sa;
	ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&sa, &len), 0);
	ck_assert_int_eq(
		addr_from_sockaddr((struct sockaddr *)&sa, len, local), 0);
	return fd;
}

/* Ports that are free now, for listeners that keeper's stand-in opens. Held
 * until all are picked: the system may give one that was let go once more. */
static void pick(struct addr *const *out, size_t n)
{
	int fds[8];

	ck_assert_uint_le(n, sizeof fds / sizeof *fds);
	for (size_t i = 0; i < n; i++) {
		fds[i] = cw_open_at("127.0.0.1", 0, out[i]);
		ck_assert_int_ge(fds[i], 0);
	}
	for (size_t i = 0; i < n; i++)
		close(fds[i]);
}

static bool is_open(void *ctx)
{
	struct cw *w = ctx;

	return w->authd_link != NULL && authd_is_up(w->sbc.authd) &&
	       stack_is_open(w->sbc.stack);
}

static void nothing(void *ctx)
{
	(void)ctx;
}

static const struct notify_events no_events = {
	.on_up = nothing, .on_down = nothing, .on_orphan = nothing};

struct cw *cw_new(const struct cw_config *config)
{
	struct cw *w = calloc(1, sizeof *w);
	struct sbc *sbc;
	char path[96];

	ck_assert_ptr_nonnull(w);
	sbc = &w->sbc;
	w->media_refuses = REASON_SESSION_OPEN;
	w->account_srtp = config->account_srtp;
	if (getenv("CW_LOG") == NULL)
		log_open("test", LOG_LEVEL_ERR);
	else
		log_open("test", LOG_LEVEL_DEBUG);
	snprintf(w->dir, sizeof w->dir, "/tmp/call-test-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(w->dir));
	pick((struct addr *[]){&w->phones, &w->phones2, &w->itsp, &w->pbx,
		     &w->bridge},
		5);
	ck_assert_int_eq(cures_begin(), 0);
	ck_assert_int_eq(loop_sofia_new(&sbc->daemon.loop), 0);
	process_users_all(&sbc->daemon.users, getuid());
	ck_assert_int_eq(notify_new(sbc->daemon.loop, NULL, PROCESS_SBC,
				 &no_events, w, &sbc->daemon.keeper),
		0);
	cw_authd_start(w);
	snprintf(path, sizeof path, "%s/flowd.sock", w->dir);
	ck_assert_int_eq(flows_new(sbc, path, &w->bridge, &sbc->flows), 0);
	ck_assert_int_eq(stack_new(sbc, &sbc->stack), 0);
	ck_assert_int_eq(admit_new(sbc, &sbc->admit), 0);
	ck_assert_int_eq(auth_new(sbc, &sbc->auth), 0);
	ck_assert_int_eq(waits_new(sbc, &sbc->waits), 0);
	ck_assert_int_eq(bindings_new(sbc, &sbc->bindings), 0);
	ck_assert_int_eq(meters_new(sbc, &sbc->meters), 0);
	ck_assert_int_eq(talkers_new(&sbc->talkers), 0);
	ck_assert_int_eq(calls_new(sbc, &sbc->calls), 0);
	ck_assert_int_eq(events_new(sbc, &sbc->events), 0);
	ck_assert_int_eq(pages_new(sbc, &sbc->pages), 0);
	ck_assert_int_eq(cdrs_new(sbc, &sbc->cdrs), 0);
	snprintf(path, sizeof path, "%s/mediad.sock", w->dir);
	ck_assert_int_eq(media_new(sbc, path, &sbc->media), 0);
	snprintf(path, sizeof path, "%s/authd.sock", w->dir);
	ck_assert_int_eq(authd_new(sbc, path, &sbc->authd), 0);
	ck_assert_int_eq(accounts_new(sbc->authd, &sbc->accounts), 0);
	cw_settings_apply(w, config);
	cw_until(w, is_open, w, "listeners");
	if (!config->no_mediad)
		cw_mediad_start(w);
	return w;
}

void cw_free(struct cw **ref)
{
	struct cw *w = *ref;
	struct sbc *sbc = &w->sbc;
	char path[96];

	*ref = NULL;
	waits_free(&sbc->waits);
	pages_free(&sbc->pages);
	events_free(&sbc->events);
	calls_free(&sbc->calls);
	meters_free(&sbc->meters);
	talkers_free(&sbc->talkers);
	accounts_free(&sbc->accounts);
	auth_free(&sbc->auth);
	cdrs_free(&sbc->cdrs);
	media_free(&sbc->media);
	bindings_free(&sbc->bindings);
	authd_free(&sbc->authd);
	stack_free(&sbc->stack);
	flows_free(&sbc->flows);
	admit_free(&sbc->admit);
	settings_unref(&sbc->settings);
	ipc_server_free(&w->authd);
	ipc_server_free(&w->mediad);
	notify_free(&sbc->daemon.keeper);
	loop_free(&sbc->daemon.loop);
	for (size_t i = 0; i < w->n_cdrs; i++)
		gh__cdr__free_unpacked(w->cdrs[i], NULL);
	if (w->want != NULL)
		gh__session_want__free_unpacked(w->want, NULL);
	cw_trunk_auth_forget(w);
	snprintf(path, sizeof path, "%s/authd.sock", w->dir);
	unlink(path);
	snprintf(path, sizeof path, "%s/mediad.sock", w->dir);
	unlink(path);
	rmdir(w->dir);
	free(w);
}

void cw_bind(struct cw *w, uint64_t account, const struct sip_peer *p)
{
	cw_bind_at(w, account, p, &w->phones);
}

void cw_bind_at(struct cw *w, uint64_t account, const struct sip_peer *p,
	const struct addr *at)
{
	Gh__Account row = GH__ACCOUNT__INIT;
	Gh__Binding b = GH__BINDING__INIT;
	struct account *a;
	char contact[128], local[ADDR_TEXT_SIZE];

	cw_fill_account(w, &row, account);
	ck_assert_int_eq(account_new(&row, &a), 0);
	snprintf(contact, sizeof contact, "sip:line@%s", p->text);
	b.account = account;
	b.realm = 1;
	b.contact = contact;
	b.source = cw_str(p->text);
	b.local = cw_str(addr_format(at, local));
	b.transport = GH__TRANSPORT__TRANSPORT_UDP;
	b.wall_expires_us = clock_wall_us() + 3600 * CLOCK_US_PER_S;
	b.call_id = cw_str(p->text);
	b.cseq = 1;
	ck_assert_int_eq(bindings_put(w->sbc.bindings, a, &b, 8), 0);
	account_unref(&a);
}

struct call *cw_call(struct cw *w)
{
	return TAILQ_FIRST(&w->sbc.calls->all);
}

void cw_fire(struct cw *w, enum call_event event)
{
	struct call_input in = {.event = event};

	ck_assert_ptr_nonnull(cw_call(w));
	call_event(cw_call(w), &in);
}

struct cdr_wait {
	struct cw *w;
	size_t n;
};

static bool has_cdr(void *ctx)
{
	struct cdr_wait *c = ctx;

	return c->w->n_cdrs > c->n;
}

const Gh__Cdr *cw_cdr(struct cw *w)
{
	size_t taken = w->n_taken;
	struct cdr_wait c = {w, taken};

	cw_until(w, has_cdr, &c, "a CDR");
	return w->cdrs[w->n_taken++];
}

static bool is_empty(void *ctx)
{
	struct cw *w = ctx;

	return TAILQ_EMPTY(&w->sbc.calls->all) &&
	       TAILQ_EMPTY(&w->sbc.calls->dead) &&
	       cdrs_waiting(w->sbc.cdrs) == 0;
}

void cw_wait_empty(struct cw *w)
{
	cw_until(w, is_empty, w, "the end of all calls");
	ck_assert_uint_eq(calls_count(w->sbc.calls), 0);
	ck_assert_uint_eq(w->n_opened, w->n_ended);
	for (uint32_t id = 1; id <= 3; id++)
		ck_assert_uint_eq(trunk_calls(w->sbc.calls->trunks, id), 0);
	ck_assert_uint_eq(w->sbc.calls->accounts.n_entries, 0);
}
