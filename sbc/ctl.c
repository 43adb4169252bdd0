/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Commands of sbcctl that sbc answers. Lists come in objects of a bounded
 * number of entries each, so that a hundred thousand phones are many answers
 * and not one that does not fit. route-test collects the facts that a call
 * would collect and asks the same pure function.
 */
#include "sbc/ctl.h"

#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/control.h"
#include "common/log.h"
#include "common/secret.h"
#include "sbc/call_list.h"
#include "sbc/route.h"
#include "sbc/drain.h"
#include "sbc/sbc.h"
#include "sbc/surrogate.h"
#include "sbc/trunk.h"

#define ENTRIES_PER_ANSWER 64
#define ROUTE_TESTS_MAX    16

struct ctl {
	struct sbc *sbc;
	struct control control;
	struct ipc_server *server;
	struct route_test *tests;
	unsigned n_tests;
};

/* ---------------------------------------------------------- registrations */

struct listing {
	const struct control_request *request;
	struct json *j;
	const char *name;
	unsigned n;
	const struct surrogates *surrogates; /* for registrations */
};

static void list_open(struct listing *l)
{
	json_open_array(l->j, l->name);
	l->n = 0;
}

/* Room for one more entry: sends what is full. */
static void list_next(struct listing *l)
{
	if (l->n++ < ENTRIES_PER_ANSWER)
		return;
	json_close_array(l->j);
	control_send(l->request, l->j);
	list_open(l);
	l->n = 1;
}

static void show_binding(void *ctx, const struct binding *m)
{
	struct listing *l = ctx;
	struct json *j = l->j;

	list_next(l);
	json_open_object(j, NULL);
	json_str(j, "extension", m->account->row->extension);
	json_str(j, "user", m->account->row->user);
	json_uint(j, "account", m->account->row->id);
	json_str(j, "contact", m->row->contact);
	json_str(j, "source", m->row->source);
	json_str(j, "local", m->row->local);
	json_time(j, "registered", m->row->wall_registered_us);
	json_time(j, "expires", m->row->wall_expires_us);
	json_bool(j, "behind_nat", m->row->behind_nat);
	json_str(j, "user_agent", m->row->user_agent);
	json_str(j, "instance", m->row->instance[0] ? m->row->instance : NULL);
	json_str(j, "pbx", surrogate_state(l->surrogates, m->account->row->id));
	json_close_object(j);
}

static int on_registrations(void *ctx, const struct control_request *request,
	char **args, size_t n_args, struct json *j)
{
	struct ctl *ctl = ctx;
	struct listing l = {request, j, "registrations", 0,
		trunks_surrogates(ctl->sbc->trunks)};

	(void)args;
	(void)n_args;
	list_open(&l);
	bindings_walk(ctl->sbc->bindings, show_binding, &l);
	json_close_array(j);
	json_uint(j, "n", bindings_count(ctl->sbc->bindings));
	return CONTROL_OK;
}

/* ------------------------------------------------------------------ trunks */

static int on_trunks(void *ctx, const struct control_request *request,
	char **args, size_t n_args, struct json *j)
{
	struct ctl *ctl = ctx;
	const struct settings *s = ctl->sbc->settings;
	struct trunks *trunks = ctl->sbc->trunks;
	struct listing l = {request, j, "trunks", 0, NULL};

	(void)args;
	(void)n_args;
	list_open(&l);
	for (size_t i = 0; s && i < s->n_trunks; i++) {
		const struct trunk *t = &s->trunks[i];

		list_next(&l);
		json_open_object(j, NULL);
		json_uint(j, "id", t->row->id);
		json_str(j, "name", t->row->name);
		json_str(j, "realm", t->realm->row->name);
		json_bool(j, "enabled", t->row->enabled);
		json_bool(
			j, "in_service", trunk_in_service(trunks, t->row->id));
		json_uint(j, "calls", trunk_calls(trunks, t->row->id));
		json_open_array(j, "targets");
		for (size_t k = 0; k < t->row->n_targets; k++)
			json_str(j, NULL, t->row->targets[k]->host);
		json_close_array(j);
		json_close_object(j);
	}
	json_close_array(j);
	return CONTROL_OK;
}

/* ------------------------------------------------------------------- calls */

static void show_side(
	struct json *j, const char *key, const struct call_list_side *side)
{
	char peer[ADDR_TEXT_SIZE];

	json_open_object(j, key);
	json_str(j, "kind", side->kind);
	json_str(j, "trunk", side->trunk);
	json_str(j, "extension", side->extension);
	json_str(j, "peer", side->kind ? addr_format(&side->peer, peer) : NULL);
	json_close_object(j);
}

static void show_call(void *ctx, const struct call_list_entry *call)
{
	struct listing *l = ctx;
	struct json *j = l->j;

	list_next(l);
	json_open_object(j, NULL);
	json_str(j, "call", call->id);
	json_str(j, "state", call->state);
	json_str(j, "caller", call->caller_number);
	json_str(j, "called", call->called_number);
	json_time(j, "start", call->wall_start_us);
	json_time(j, "answer", call->wall_answer_us);
	show_side(j, "caller_leg", &call->caller);
	show_side(j, "called_leg", &call->called);
	json_close_object(j);
}

static int on_calls(void *ctx, const struct control_request *request,
	char **args, size_t n_args, struct json *j)
{
	struct ctl *ctl = ctx;
	struct listing l = {request, j, "calls", 0, NULL};

	(void)args;
	(void)n_args;
	list_open(&l);
	calls_walk(ctl->sbc->calls, show_call, &l);
	json_close_array(j);
	json_uint(j, "n", calls_count(ctl->sbc->calls));
	return CONTROL_OK;
}

/* ----------------------------------------------------------- subscriptions */

static void show_subscription(void *ctx, const struct event_entry *e)
{
	struct listing *l = ctx;
	struct json *j = l->j;
	char peer[ADDR_TEXT_SIZE];

	list_next(l);
	json_open_object(j, NULL);
	json_str(j, "subscription", e->id);
	json_str(j, "state", e->state);
	json_str(j, "package", e->package);
	json_str(j, "extension", e->account->extension);
	json_uint(j, "account", e->account->id);
	json_str(j, "resource", e->resource);
	json_str(j, "trunk", e->trunk);
	json_str(j, "source", addr_format(e->peer, peer));
	json_time(j, "began", e->wall_began_us);
	json_time(j, "expires", e->wall_expires_us);
	json_uint(j, "notified", e->n_notified);
	json_close_object(j);
}

static int on_subscriptions(void *ctx, const struct control_request *request,
	char **args, size_t n_args, struct json *j)
{
	struct ctl *ctl = ctx;
	struct listing l = {request, j, "subscriptions", 0};

	(void)args;
	(void)n_args;
	list_open(&l);
	events_walk(ctl->sbc->events, show_subscription, &l);
	json_close_array(j);
	json_uint(j, "n", events_count(ctl->sbc->events));
	return CONTROL_OK;
}

static int on_drain(void *ctx, const struct control_request *request,
	char **args, size_t n_args, struct json *j)
{
	struct ctl *ctl = ctx;
	bool off = n_args > 0 && strcmp(args[0], "off") == 0;
	bool wait = n_args > 0 && strcmp(args[0], "wait") == 0;

	if (n_args > 0 && !off && !wait)
		return CONTROL_USAGE;
	if (!wait || !drain_is_on(ctl->sbc->drain))
		drain_set(ctl->sbc->drain, !off);
	if (wait)
		return drain_wait(ctl->sbc->drain, request);
	json_bool(j, "draining", !off);
	json_uint(j, "calls", calls_count(ctl->sbc->calls));
	return CONTROL_OK;
}

/* -------------------------------------------------------------- route-test */

/* Where its answers stand: first who calls, then whom. */
enum test_step { TEST_CALLER, TEST_CALLED_EXTENSION, TEST_CALLED_NUMBER };

struct route_test {
	struct ctl *ctl;
	struct control_request request;
	enum test_step step;
	struct settings *settings;
	const struct trunk *from_trunk;
	struct account *caller;
	struct account *called;
	struct account_query *query;
	char from[ROUTE_NUMBER_SIZE];
	char to[ROUTE_NUMBER_SIZE];
	char number[ROUTE_NUMBER_SIZE]; /* of the caller; "" = anonymous */
	struct route_test *next;
};

static void test_free(struct route_test *t)
{
	struct route_test **at = &t->ctl->tests;

	while (*at && *at != t)
		at = &(*at)->next;
	if (*at)
		*at = t->next;
	t->ctl->n_tests--;
	account_query_cancel(&t->query);
	account_unref(&t->caller);
	account_unref(&t->called);
	settings_unref(&t->settings);
	free(t);
}

static bool in_service(void *ctx, uint32_t trunk)
{
	const struct route_test *t = ctx;

	return trunk_in_service(t->ctl->sbc->trunks, trunk);
}

static void show_target(struct json *j, const struct route_target *target)
{
	json_open_object(j, NULL);
	json_str(j, "kind", target->is_account ? "phones" : "trunk");
	json_str(j, "trunk", target->trunk ? target->trunk->row->name : NULL);
	json_close_object(j);
}

static void test_finish(
	struct route_test *t, enum control_exit code, enum reason failed)
{
	struct route_facts facts = {
		.from = t->from_trunk ? SIDE_TRUNK : SIDE_PHONE,
		.from_trunk = t->from_trunk,
		.from_account = t->caller ? t->caller->row : NULL,
		.called = t->to,
		.caller = t->from_trunk || !t->caller
				  ? t->number
				  : t->caller->row->extension,
		.called_account = t->called ? t->called->row : NULL,
		.trunk_in_service = in_service,
		.ctx = t,
	};
	struct route_decision d = {.why = failed, .sip = reason_sip(failed)};
	struct json j;

	if (t->from_trunk &&
		t->from_trunk->realm->row->zone == GH__ZONE__ZONE_INSIDE)
		facts.from = SIDE_PBX;
	secret_random_bytes(&facts.random, sizeof(facts.random));
	if (code == CONTROL_OK)
		route_decide(t->settings, &facts, &d);
	json_begin(&j);
	json_uint(&j, "format", 1);
	json_str(&j, "from", t->from);
	json_str(&j, "to", t->to);
	json_str(&j, "caller", facts.caller);
	json_str(&j, "reason", reason_text(d.why));
	json_str(&j, "sentence", reason_sentence(d.why));
	json_uint(&j, "sip_status", d.sip);
	json_str(&j, "route", d.route ? d.route->row->name : NULL);
	json_bool(&j, "emergency", d.emergency);
	json_open_array(&j, "targets");
	for (size_t i = 0; i < d.n_targets; i++)
		show_target(&j, &d.targets[i]);
	json_close_array(&j);
	control_finish(&t->request, code, &j);
	test_free(t);
}

static void on_fact(void *ctx, struct account *account, enum reason why);

static void test_ask(struct route_test *t)
{
	Gh__AccountKey by = t->step == TEST_CALLED_NUMBER
				    ? GH__ACCOUNT_KEY__ACCOUNT_BY_NUMBER
				    : GH__ACCOUNT_KEY__ACCOUNT_BY_EXTENSION;

	if (accounts_find(t->ctl->sbc->accounts, by,
		    t->step == TEST_CALLER ? t->from : t->to, on_fact, t,
		    &t->query) != 0)
		test_finish(t, CONTROL_AWAY, REASON_AUTH_AWAY);
}

static void on_fact(void *ctx, struct account *account, enum reason why)
{
	struct route_test *t = ctx;

	t->query = NULL;
	if (why == REASON_AUTH_AWAY) {
		test_finish(t, CONTROL_AWAY, why);
		return;
	}
	if (t->step == TEST_CALLER) {
		t->caller = account;
		if (!account) {
			test_finish(t, CONTROL_NO_SUCH, why);
			return;
		}
		t->step = TEST_CALLED_EXTENSION;
		test_ask(t);
		return;
	}
	t->called = account;
	if (!account && t->step == TEST_CALLED_EXTENSION) {
		t->step = TEST_CALLED_NUMBER;
		test_ask(t);
		return;
	}
	test_finish(t, CONTROL_OK, REASON_NONE);
}

static const struct trunk *trunk_named(
	const struct settings *s, const char *name)
{
	for (size_t i = 0; i < s->n_trunks; i++)
		if (strcmp(s->trunks[i].row->name, name) == 0)
			return &s->trunks[i];
	return NULL;
}

/* What a trunk sends is brought into form as in a call of it. */
static bool normalise(struct route_test *t, const char *caller)
{
	char clean[ROUTE_NUMBER_SIZE], called[ROUTE_NUMBER_SIZE];

	if (!t->from_trunk)
		return *caller == '\0';
	memcpy(called, t->to, sizeof(called));
	if (number_apply(t->from_trunk, GH__NUMBER_RULE_SCOPE__RULE_IN_CALLED,
		    called, t->to) != 0)
		return false;
	return *caller == '\0' ||
	       (number_clean(caller, clean) == 0 &&
		       number_apply(t->from_trunk,
			       GH__NUMBER_RULE_SCOPE__RULE_IN_CALLER, clean,
			       t->number) == 0);
}

static int on_route_test(void *ctx, const struct control_request *request,
	char **args, size_t n_args, struct json *j)
{
	struct ctl *ctl = ctx;
	struct route_test *t;

	(void)j;
	if (!ctl->sbc->settings)
		return CONTROL_AWAY;
	if (ctl->n_tests >= ROUTE_TESTS_MAX)
		return CONTROL_REFUSED;
	t = calloc(1, sizeof(*t));
	if (!t)
		return CONTROL_REFUSED;
	t->ctl = ctl;
	t->request = *request;
	t->next = ctl->tests;
	ctl->tests = t;
	ctl->n_tests++;
	t->settings = settings_ref(ctl->sbc->settings);
	if (strlen(args[0]) >= sizeof(t->from) ||
		number_clean(args[1], t->to) != 0) {
		test_free(t);
		return CONTROL_USAGE;
	}
	memcpy(t->from, args[0], strlen(args[0]) + 1);
	t->from_trunk = trunk_named(t->settings, t->from);
	if (!normalise(t, n_args > 2 ? args[2] : "")) {
		test_free(t);
		return CONTROL_USAGE;
	}
	t->step = t->from_trunk ? TEST_CALLED_EXTENSION : TEST_CALLER;
	/* The answer of test_ask() that comes at once would be a second one to
	 * this request only if it did not come from the loop: it does. */
	if (!authd_is_up(ctl->sbc->authd)) {
		test_free(t);
		return CONTROL_AWAY;
	}
	test_ask(t);
	return CONTROL_LATER;
}

/* ------------------------------------------------------------- life, death */

static const struct control_command commands[] = {
	{"calls", "", "calls in progress", 0, 0, on_calls},
	{"registrations", "", "registered phones", 0, 0, on_registrations},
	{"subscriptions", "", "event subscriptions of phones", 0, 0,
		on_subscriptions},
	{"trunks", "", "trunks and their state", 0, 0, on_trunks},
	{"route-test", "FROM TO [CALLER]",
		"where a call would go; FROM is an extension or a trunk's "
		"name, CALLER the number that a trunk names",
		2, 3, on_route_test},
	{"drain", "[wait|off]", "take no new calls, or again", 0, 1, on_drain},
};

static void on_request(void *ctx, struct ipc_link *link, const Gh__Msg *msg)
{
	struct ctl *ctl = ctx;

	control_on_request(&ctl->control, link, msg->ctl_request);
}

/* Whoever asked has gone: his answers would have no receiver. */
static void on_down(void *ctx, struct ipc_link *link, enum reason why)
{
	struct ctl *ctl = ctx;
	struct route_test *t = ctl->tests;

	(void)why;
	drain_on_down(ctl->sbc->drain, link);
	while (t) {
		struct route_test *following = t->next;

		if (t->request.link == link)
			test_free(t);
		t = following;
	}
}

static const struct ipc_permit permits[] = {
	{GH__MSG__BODY_CTL_REQUEST, PROCESS_BIT(PROCESS_CTL), on_request},
};

int ctl_new(struct sbc *sbc, const char *path, struct ctl **ctl_out)
{
	struct ctl *ctl = calloc(1, sizeof(*ctl));
	struct ipc_config config = {
		.loop = sbc->daemon.loop,
		.self = PROCESS_SBC,
		.users = &sbc->daemon.users,
		.permits = permits,
		.n_permits = sizeof(permits) / sizeof(permits[0]),
		.events = {.on_down = on_down},
		.ctx = ctl,
	};
	int err;

	if (!ctl)
		return ERR_NOMEM;
	ctl->sbc = sbc;
	control_init(&ctl->control, &sbc->daemon, commands,
		sizeof(commands) / sizeof(commands[0]), ctl);
	err = ipc_listen(&config, path, &ctl->server);
	if (err != 0) {
		free(ctl);
		return err;
	}
	*ctl_out = ctl;
	return 0;
}

void ctl_free(struct ctl **ref)
{
	struct ctl *ctl = *ref;

	if (!ctl)
		return;
	*ref = NULL;
	while (ctl->tests)
		test_free(ctl->tests);
	ipc_server_free(&ctl->server);
	free(ctl);
}
