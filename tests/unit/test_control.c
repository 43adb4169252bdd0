/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The daemon's end of sbcctl, over a real socket pair with both links on the
 * fake loop: the commands that every daemon has, a daemon's own, answers that
 * come later, and peers that may not ask.
 */
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/control.h"
#include "common/stat.h"
#include "tests/unit/fake_loop.h"
#include "tests/unit/suite.h"

#define ANSWERS_MAX 8

struct got {
	json_t *json[ANSWERS_MAX];
	uint64_t id[ANSWERS_MAX];
	unsigned n;
	bool done;
	uint32_t exit_code;
	unsigned n_down;
};

static struct loop *loop;
static struct process_users users;
static struct daemon self = {.self = PROCESS_AUTHD};
static struct control control;
static struct ipc_link *asker, *answerer;
static struct got got;
static enum reason why_down;
static struct control_request later;
static unsigned n_called;

/* -------------------------------------------------- the daemon's commands */

static int cmd_echo(void *ctx, const struct control_request *request,
	char **args, size_t n_args, struct json *answer)
{
	ck_assert_ptr_eq(ctx, &control);
	ck_assert_ptr_eq(request->link, answerer);
	n_called++;
	json_open_array(answer, "args");
	for (size_t i = 0; i < n_args; i++)
		json_str(answer, NULL, args[i]);
	json_close_array(answer);
	return n_args == 2 ? CONTROL_NO_SUCH : CONTROL_OK;
}

static int cmd_rows(void *ctx, const struct control_request *request,
	char **args, size_t n_args, struct json *answer)
{
	(void)ctx;
	(void)args;
	(void)n_args;
	for (unsigned i = 0; i < 3; i++) {
		json_uint(answer, "row", i);
		control_send(request, answer);
	}
	json_bool(answer, "complete", true);
	return CONTROL_OK;
}

static int cmd_later(void *ctx, const struct control_request *request,
	char **args, size_t n_args, struct json *answer)
{
	(void)ctx;
	(void)args;
	(void)n_args;
	json_str(answer, "lost", "a later answer begins anew");
	later = *request;
	return CONTROL_LATER;
}

static int cmd_huge(void *ctx, const struct control_request *request,
	char **args, size_t n_args, struct json *answer)
{
	(void)ctx;
	(void)request;
	(void)args;
	(void)n_args;
	for (unsigned i = 0; i < JSON_SIZE_MAX; i++)
		json_uint(answer, "n", i);
	return CONTROL_OK;
}

static const struct control_command commands[] = {
	{"echo", "A [B]", "says it again", 1, 2, cmd_echo},
	{"rows", "", "several answers", 0, 0, cmd_rows},
	{"later", "", "answers when it can", 0, 0, cmd_later},
	{"huge", "", "more than an answer holds", 0, 0, cmd_huge},
};

/* ------------------------------------------------------------ both ends */

static void on_request(void *ctx, struct ipc_link *link, const Gh__Msg *msg)
{
	(void)ctx;
	control_on_request(&control, link, msg->ctl_request);
}

static void on_answer(void *ctx, struct ipc_link *link, const Gh__Msg *msg)
{
	const Gh__CtlAnswer *a = msg->ctl_answer;
	json_error_t error;

	(void)ctx;
	(void)link;
	ck_assert_uint_lt(got.n, ANSWERS_MAX);
	ck_assert(!got.done);
	got.json[got.n] = json_loads(a->json, JSON_REJECT_DUPLICATES, &error);
	ck_assert_msg(got.json[got.n], "%s: %s", error.text, a->json);
	ck_assert_int_eq(
		json_integer_value(json_object_get(got.json[got.n], "format")),
		1);
	got.id[got.n++] = a->id;
	got.done = a->done;
	got.exit_code = a->exit_code;
}

static void on_up(void *ctx, struct ipc_link *link)
{
	(void)ctx;
	(void)link;
}

static void on_down(void *ctx, struct ipc_link *link, enum reason why)
{
	(void)ctx;
	(void)link;
	got.n_down++;
	why_down = why;
}

static const struct ipc_permit daemon_permits[] = {
	{GH__MSG__BODY_CTL_REQUEST, PROCESS_BIT(PROCESS_CTL), on_request},
};
static const struct ipc_permit ctl_permits[] = {
	{GH__MSG__BODY_CTL_ANSWER, PROCESS_BIT(PROCESS_AUTHD), on_answer},
};

static void begin_as(enum process peer)
{
	struct ipc_config c = {.loop = NULL,
		.self = PROCESS_AUTHD,
		.users = &users,
		.permits = daemon_permits,
		.n_permits = 1,
		.events = {on_up, on_down}};
	int fds[2];

	log_open("test", LOG_LEVEL_ERR);
	process_users_all(&users, getuid());
	ck_assert_int_eq(fake_loop_new(&loop), 0);
	control_init(&control, &self, commands,
		sizeof(commands) / sizeof(commands[0]), &control);
	ck_assert_int_eq(
		socketpair(AF_UNIX,
			SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds),
		0);
	c.loop = loop;
	ck_assert_int_eq(ipc_adopt(&c, fds[0], &answerer), 0);
	c.self = peer;
	c.permits = ctl_permits;
	c.events.on_down = NULL;
	ck_assert_int_eq(ipc_adopt(&c, fds[1], &asker), 0);
	fake_loop_pass(loop, 0);
}

static void begin(void)
{
	begin_as(PROCESS_CTL);
	ck_assert(ipc_is_up(asker));
}

static void forget(void)
{
	for (unsigned i = 0; i < got.n; i++)
		json_decref(got.json[i]);
	memset(&got, 0, sizeof(got));
}

static void end(void)
{
	forget();
	ipc_link_free(&asker);
	ipc_link_free(&answerer);
	loop_free(&loop);
	log_set_level(LOG_LEVEL_ERR);
}

static void send_request(uint64_t id, const char *command, const char *a,
	const char *b, const char *c)
{
	char *args[3] = {(char *)(uintptr_t)a, (char *)(uintptr_t)b,
		(char *)(uintptr_t)c};
	Gh__CtlRequest r = GH__CTL_REQUEST__INIT;

	forget();
	r.id = id;
	r.command = (char *)(uintptr_t)command;
	r.args = args;
	r.n_args = a ? b ? c ? 3 : 2 : 1 : 0;
	IPC_MSG(msg, CTL_REQUEST, ctl_request, &r);
	ck_assert_int_eq(ipc_send(asker, &msg), 0);
	fake_loop_pass(loop, 0);
}

/* One request with one answer. @return the answer's object, borrowed. */
static const json_t *ask(uint32_t exit_code, const char *command, const char *a,
	const char *b, const char *c)
{
	send_request(7, command, a, b, c);
	ck_assert_uint_eq(got.n, 1);
	ck_assert(got.done);
	ck_assert_uint_eq(got.id[0], 7);
	ck_assert_msg(
		got.exit_code == exit_code, "%s: %u", command, got.exit_code);
	return got.json[0];
}

static const char *text_of(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	ck_assert_msg(text, "no text %s", key);
	return text;
}

static long long number_of(const json_t *object, const char *key)
{
	const json_t *n = json_object_get(object, key);

	ck_assert_msg(json_is_integer(n), "no number %s", key);
	return json_integer_value(n);
}

/* ---------------------------------------------------------------- tests */

START_TEST(test_status)
{
	const json_t *j;

	begin();
	stat_set(STAT_CALLS, 3);
	stat_add(STAT_SIP_RX, 5);
	self.sandbox_level = SANDBOX_FULL;
	fake_loop_pass(loop, 61 * CLOCK_US_PER_S);
	j = ask(CONTROL_OK, "status", NULL, NULL, NULL);
	ck_assert_str_eq(text_of(j, "process"), "authd");
	ck_assert_str_eq(text_of(j, "log_level"), "err");
	ck_assert_uint_gt(strlen(text_of(j, "version")), 0);
	ck_assert_int_eq(number_of(j, "pid"), getpid());
	ck_assert_int_eq(number_of(j, "uptime_s"), 61);
	ck_assert(json_is_true(json_object_get(j, "sandbox_full")));
	ck_assert_int_eq(number_of(j, "calls"), 3);
	/* A counter is no state; a gauge at zero is no news. */
	ck_assert_ptr_null(json_object_get(j, "sip_received_total"));
	ck_assert_ptr_null(json_object_get(j, "bindings"));

	self.sandbox_level = SANDBOX_FULL & (SANDBOX_FULL - 1);
	j = ask(CONTROL_OK, "status", NULL, NULL, NULL);
	ck_assert(json_is_false(json_object_get(j, "sandbox_full")));
	end();
}
END_TEST

START_TEST(test_counters)
{
	const json_t *j, *stats, *reasons;

	begin();
	stat_add(STAT_CDR_STORED, 12);
	reason_count_add(REASON_AUTH_STALE, 4);
	j = ask(CONTROL_OK, "counters", NULL, NULL, NULL);
	stats = json_object_get(j, "stats");
	reasons = json_object_get(j, "reasons");
	ck_assert_uint_eq(json_object_size(stats), STAT_COUNT);
	ck_assert_int_eq(number_of(stats, stat_name(STAT_CDR_STORED)), 12);
	ck_assert_uint_eq(json_object_size(reasons), 1);
	ck_assert_int_eq(number_of(reasons, reason_text(REASON_AUTH_STALE)), 4);
	end();
}
END_TEST

START_TEST(test_log_level)
{
	const json_t *j;

	begin();
	j = ask(CONTROL_OK, "log-level", NULL, NULL, NULL);
	ck_assert_str_eq(text_of(j, "log_level"), "err");
	j = ask(CONTROL_OK, "log-level", "warning", NULL, NULL);
	ck_assert_str_eq(text_of(j, "log_level"), "warning");
	ck_assert_int_eq(log_level(), LOG_LEVEL_WARNING);
	(void)ask(CONTROL_USAGE, "log-level", "loud", NULL, NULL);
	(void)ask(CONTROL_USAGE, "log-level", "err", "err", NULL);
	ck_assert_int_eq(log_level(), LOG_LEVEL_WARNING);
	end();
}
END_TEST

START_TEST(test_own_command)
{
	const json_t *j, *args;

	begin();
	j = ask(CONTROL_OK, "echo", "one", NULL, NULL);
	args = json_object_get(j, "args");
	ck_assert_uint_eq(json_array_size(args), 1);
	ck_assert_str_eq(json_string_value(json_array_get(args, 0)), "one");
	/* The handler's word is sbcctl's exit code, with what it wrote. */
	j = ask(CONTROL_NO_SUCH, "echo", "one", "\xff\"\n", NULL);
	args = json_object_get(j, "args");
	ck_assert_str_eq(
		json_string_value(json_array_get(args, 1)), "\xef\xbf\xbd\"\n");
	ck_assert_uint_eq(n_called, 2);
	/* Too few, too many: the usage text, and no call. */
	j = ask(CONTROL_USAGE, "echo", NULL, NULL, NULL);
	ck_assert_str_eq(text_of(j, "usage"), "A [B]");
	(void)ask(CONTROL_USAGE, "echo", "1", "2", "3");
	ck_assert_uint_eq(n_called, 2);
	end();
}
END_TEST

START_TEST(test_unknown)
{
	static const char *const names[] = {
		"",
		"ech",
		"echoo",
		"STATUS",
		"status ",
		"\xff",
	};

	begin();
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		ck_assert_str_eq(
			text_of(ask(CONTROL_USAGE, names[i], NULL, NULL, NULL),
				"error"),
			"no such command");
	ck_assert(ipc_is_up(asker));
	end();
}
END_TEST

START_TEST(test_rows)
{
	begin();
	send_request(9, "rows", NULL, NULL, NULL);
	ck_assert_uint_eq(got.n, 4);
	for (unsigned i = 0; i < 4; i++)
		ck_assert_uint_eq(got.id[i], 9);
	for (unsigned i = 0; i < 3; i++)
		ck_assert_int_eq(number_of(got.json[i], "row"), i);
	ck_assert_ptr_null(json_object_get(got.json[3], "row"));
	ck_assert(got.done);
	end();
}
END_TEST

START_TEST(test_later)
{
	struct json j;

	begin();
	send_request(11, "later", NULL, NULL, NULL);
	ck_assert_uint_eq(got.n, 0);
	ck_assert_uint_eq(later.id, 11);
	/* The daemon serves others meanwhile. */
	(void)ask(CONTROL_OK, "status", NULL, NULL, NULL);
	forget();
	json_begin(&j);
	json_uint(&j, "format", 1);
	json_str(&j, "now", "here");
	control_finish(&later, CONTROL_REFUSED, &j);
	fake_loop_pass(loop, 0);
	ck_assert_uint_eq(got.n, 1);
	ck_assert_uint_eq(got.id[0], 11);
	ck_assert(got.done);
	ck_assert_uint_eq(got.exit_code, CONTROL_REFUSED);
	ck_assert_str_eq(text_of(got.json[0], "now"), "here");
	ck_assert_ptr_null(json_object_get(got.json[0], "lost"));
	end();
}
END_TEST

/* An answer over the bound is refused in words, and the link lives. */
START_TEST(test_huge)
{
	begin();
	ck_assert_str_eq(text_of(ask(CONTROL_REFUSED, "huge", NULL, NULL, NULL),
				 "error"),
		err_text(ERR_TOO_BIG));
	(void)ask(CONTROL_OK, "status", NULL, NULL, NULL);
	end();
}
END_TEST

/* An asker that has gone takes nothing with it. */
START_TEST(test_asker_gone)
{
	begin();
	Gh__CtlRequest r = GH__CTL_REQUEST__INIT;

	r.command = (char *)(uintptr_t) "rows";
	IPC_MSG(msg, CTL_REQUEST, ctl_request, &r);
	ck_assert_int_eq(ipc_send(asker, &msg), 0);
	ipc_link_free(&asker);
	fake_loop_pass(loop, CLOCK_US_PER_S);
	ck_assert_uint_eq(got.n, 0);
	ck_assert_uint_eq(got.n_down, 1);
	end();
}
END_TEST

/* Only sbcctl may ask: the permit row closes any other process's link. */
START_TEST(test_wrong_process)
{
	Gh__CtlRequest r = GH__CTL_REQUEST__INIT;
	uint64_t before;

	begin_as(PROCESS_SBC);
	before = reason_counted(REASON_IPC_NOT_PERMITTED);
	r.command = (char *)(uintptr_t) "echo";
	IPC_MSG(msg, CTL_REQUEST, ctl_request, &r);
	ck_assert_int_eq(ipc_send(asker, &msg), 0);
	fake_loop_pass(loop, CLOCK_US_PER_S);
	ck_assert_uint_eq(got.n, 0);
	ck_assert_uint_eq(n_called, 0);
	ck_assert_uint_eq(got.n_down, 1);
	ck_assert_int_eq(why_down, REASON_IPC_NOT_PERMITTED);
	ck_assert_uint_eq(reason_counted(REASON_IPC_NOT_PERMITTED), before + 1);
	end();
}
END_TEST

/* Who says that it is sbcctl but runs under another user is not let in. */
START_TEST(test_wrong_user)
{
	uint64_t before = reason_counted(REASON_IPC_PEER);

	begin();
	ipc_link_free(&asker);
	ipc_link_free(&answerer);
	loop_free(&loop);
	users.uid[PROCESS_CTL] = getuid() + 1;

	struct ipc_config c = {.self = PROCESS_AUTHD,
		.users = &users,
		.permits = daemon_permits,
		.n_permits = 1,
		.events = {on_up, on_down}};
	int fds[2];

	ck_assert_int_eq(fake_loop_new(&loop), 0);
	c.loop = loop;
	ck_assert_int_eq(
		socketpair(AF_UNIX,
			SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds),
		0);
	ck_assert_int_eq(ipc_adopt(&c, fds[0], &answerer), 0);
	c.self = PROCESS_CTL;
	c.permits = ctl_permits;
	ck_assert_int_eq(ipc_adopt(&c, fds[1], &asker), 0);
	fake_loop_pass(loop, CLOCK_US_PER_S);
	ck_assert(!ipc_is_up(answerer));
	ck_assert_uint_eq(reason_counted(REASON_IPC_PEER), before + 1);
	end();
}
END_TEST

int main(void)
{
	Suite *s = suite_create("control");

	suite_add(s, "status", test_status);
	suite_add(s, "counters", test_counters);
	suite_add(s, "log_level", test_log_level);
	suite_add(s, "own_command", test_own_command);
	suite_add(s, "unknown", test_unknown);
	suite_add(s, "rows", test_rows);
	suite_add(s, "later", test_later);
	suite_add(s, "huge", test_huge);
	suite_add(s, "asker_gone", test_asker_gone);
	suite_add(s, "wrong_process", test_wrong_process);
	suite_add(s, "wrong_user", test_wrong_user);
	return suite_run(s);
}
