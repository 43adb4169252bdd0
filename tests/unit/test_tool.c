/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sbcctl's command line against daemons of this test: a child process listens
 * where authd, mediad and sbc would and answers as a row tells it. Exit codes
 * are an interface.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/control.h"
#include "common/ipc.h"
#include "common/log.h"
#include "ctl/tool.h"
#include "tests/unit/suite.h"

enum how {
	ANSWER,       /* says back what was asked, exits with the row's code */
	ANSWER_TWICE, /* in two pieces */
	ANSWER_JUNK,  /* is no JSON */
	ANSWER_OTHER, /* an exit code that this sbcctl does not know */
	HANG_UP,      /* closes instead of answering */
};

struct fake {
	enum process process;
	enum how how;
	enum control_exit code;
	struct loop *loop;
};

static struct process_users users;
static char dir[32];
static char *out_text, *err_text_got;

/* ----------------------------------------------------------- fake daemon */

static void on_up(void *ctx, struct ipc_link *link)
{
	(void)ctx;
	(void)link;
}

static void on_down(void *ctx, struct ipc_link *link, enum reason why)
{
	(void)ctx;
	(void)link;
	(void)why;
}

static void on_request(void *ctx, struct ipc_link *link, const Gh__Msg *msg)
{
	const struct fake *fake = ctx;
	const Gh__CtlRequest *r = msg->ctl_request;
	Gh__CtlAnswer a = GH__CTL_ANSWER__INIT;
	char text[256];

	if (fake->how == HANG_UP)
		_exit(0);
	(void)snprintf(text, sizeof(text),
		"{\"format\":1,\"command\":\"%s\",\"n\":%zu,\"arg\":\"%s\"}",
		r->command, r->n_args, r->n_args ? r->args[0] : "");
	a.id = r->id;
	a.json = fake->how == ANSWER_JUNK ? (char *)(uintptr_t) "junk" : text;
	a.exit_code = fake->how == ANSWER_OTHER ? 77 : (uint32_t)fake->code;
	IPC_MSG(answer, CTL_ANSWER, ctl_answer, &a);
	if (fake->how == ANSWER_TWICE && ipc_send(link, &answer) != 0)
		_exit(1);
	a.done = 1;
	if (ipc_send(link, &answer) != 0)
		_exit(1);
}

/* The life of the child: until it is killed. */
static void serve(struct fake *fake, int ready)
{
	static const struct ipc_permit permits[] = {
		{GH__MSG__BODY_CTL_REQUEST, PROCESS_BIT(PROCESS_CTL),
			on_request},
	};
	struct ipc_server *server = NULL;
	struct ipc_config config = {.self = fake->process,
		.users = &users,
		.permits = permits,
		.n_permits = 1,
		.events = {on_up, on_down},
		.ctx = fake};
	char path[64];

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	(void)snprintf(path, sizeof(path), "%s/%s.sock", dir,
		process_name(fake->process));
	if (loop_event_new(&fake->loop))
		_exit(1);
	config.loop = fake->loop;
	if (ipc_listen(&config, path, &server) || write(ready, "r", 1) != 1)
		_exit(1);
	_exit(loop_run(fake->loop) ? 1 : 0);
}

static pid_t start(enum process process, enum how how, enum control_exit code)
{
	struct fake fake = {process, how, code, NULL};
	int fds[2];
	pid_t pid;
	char c;

	ck_assert_int_eq(pipe(fds), 0);
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid == 0)
		serve(&fake, fds[1]);
	(void)close(fds[1]);
	ck_assert_int_eq(read(fds[0], &c, 1), 1);
	(void)close(fds[0]);
	return pid;
}

static void stop(pid_t pid)
{
	ck_assert_int_eq(kill(pid, SIGKILL), 0);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
}

/* --------------------------------------------------------------- sbcctl */

static void begin(void)
{
	log_open("test", LOG_LEVEL_ERR);
	process_users_all(&users, getuid());
	(void)snprintf(dir, sizeof(dir), "/tmp/gh-tool-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
}

static void end(void)
{
	static const char *const names[] = {
		"authd", "mediad", "flowd", "sbc"};
	char path[64];

	for (size_t i = 0; i < 4; i++) {
		(void)snprintf(path, sizeof(path), "%s/%s.sock", dir, names[i]);
		(void)unlink(path);
	}
	ck_assert_int_eq(rmdir(dir), 0);
	free(out_text);
	free(err_text_got);
	out_text = err_text_got = NULL;
}

/* Runs `sbcctl --runtime-dir DIR WORDS`, words parted by spaces; both texts
 * stand in out_text and err_text_got. @return the exit status. */
static int sbcctl(const char *words)
{
	char *argv[16] = {(char *)(uintptr_t) "sbcctl",
		(char *)(uintptr_t) "--runtime-dir", dir};
	struct tool tool = {.users = &users};
	char copy[256], *rest = copy, *word;
	size_t size;
	int argc = 3, status;

	free(out_text);
	free(err_text_got);
	tool.out = open_memstream(&out_text, &size);
	tool.err = open_memstream(&err_text_got, &size);
	(void)snprintf(copy, sizeof(copy), "%s", words);
	while ((word = strsep(&rest, " ")) != NULL && argc < 15)
		argv[argc++] = word;
	status = tool_run(&tool, argc, argv);
	(void)fclose(tool.out);
	(void)fclose(tool.err);
	return status;
}

/* ---------------------------------------------------------------- tests */

START_TEST(test_usage)
{
	static const char *const wrong[] = {
		"nonsense",
		"",
		"calls extra",
		"route-test 20",
		"route-test 20 30 40 50",
		"drain off off",
		"log-level debug debug",
		"session",
		"--no-such-option",
		"--json",
		"--runtime-dir",
	};

	begin();
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		ck_assert_msg(
			sbcctl(wrong[i]) == CONTROL_USAGE, "%s", wrong[i]);
		ck_assert_str_eq(out_text, "");
	}
	ck_assert_int_eq(sbcctl("route-test 20"), CONTROL_USAGE);
	ck_assert_str_eq(err_text_got, "usage: sbcctl route-test FROM TO [CALLER]\n");
	ck_assert_int_eq(sbcctl("--help"), CONTROL_OK);
	ck_assert_ptr_nonnull(strstr(out_text, "  route-test     FROM TO "));
	ck_assert_int_eq(sbcctl("--version"), CONTROL_OK);
	ck_assert_mem_eq(out_text, "sbcctl ", 7);
	end();
}
END_TEST

/* A daemon that is not there, and its dead socket. */
START_TEST(test_away)
{
	begin();
	ck_assert_int_eq(sbcctl("calls"), CONTROL_AWAY);
	ck_assert_str_eq(out_text, "");
	ck_assert_ptr_nonnull(strstr(err_text_got, "sbc does not answer at"));
	stop(start(PROCESS_SBC, ANSWER, CONTROL_OK));
	ck_assert_int_eq(sbcctl("calls"), CONTROL_AWAY);
	end();
}
END_TEST

START_TEST(test_hang_up)
{
	pid_t pid;

	begin();
	pid = start(PROCESS_SBC, HANG_UP, CONTROL_OK);
	ck_assert_int_eq(sbcctl("calls"), CONTROL_AWAY);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
	end();
}
END_TEST

/* Another process than the one asked for listens there. */
START_TEST(test_impostor)
{
	char from[64], to[64];
	pid_t pid;

	begin();
	pid = start(PROCESS_MEDIAD, ANSWER, CONTROL_OK);
	(void)snprintf(from, sizeof(from), "%s/mediad.sock", dir);
	(void)snprintf(to, sizeof(to), "%s/sbc.sock", dir);
	ck_assert_int_eq(rename(from, to), 0);
	ck_assert_int_eq(sbcctl("calls"), CONTROL_AWAY);
	ck_assert_str_eq(out_text, "");
	stop(pid);
	end();
}
END_TEST

START_TEST(test_answer)
{
	pid_t pid;

	begin();
	pid = start(PROCESS_SBC, ANSWER, CONTROL_OK);
	ck_assert_int_eq(sbcctl("calls"), CONTROL_OK);
	ck_assert_str_eq(out_text, "command                  calls\n"
				   "n                        0\n"
				   "arg                      \n");
	ck_assert_str_eq(err_text_got, "");
	ck_assert_int_eq(sbcctl("--json route-test 20 30"), CONTROL_OK);
	ck_assert_str_eq(out_text,
		"{\"format\":1,\"command\":\"route-test\",\"n\":2,"
		"\"arg\":\"20\"}\n");
	/* An option's look does not make an argument an option. */
	ck_assert_int_eq(sbcctl("drain --json"), CONTROL_OK);
	ck_assert_ptr_nonnull(strstr(out_text, "--json\n"));
	stop(pid);
	end();
}
END_TEST

START_TEST(test_codes)
{
	static const enum control_exit codes[] = {CONTROL_OK, CONTROL_NO_SUCH,
		CONTROL_USAGE, CONTROL_AWAY, CONTROL_REFUSED};

	begin();
	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
		pid_t pid = start(PROCESS_SBC, ANSWER, codes[i]);

		ck_assert_int_eq(sbcctl("--json drain"), codes[i]);
		ck_assert_str_eq(out_text,
			"{\"format\":1,\"command\":\"drain\",\"n\":0,"
			"\"arg\":\"\"}\n");
		stop(pid);
	}
	end();
}
END_TEST

START_TEST(test_odd_answers)
{
	pid_t pid;

	begin();
	pid = start(PROCESS_SBC, ANSWER_TWICE, CONTROL_NO_SUCH);
	ck_assert_int_eq(sbcctl("--json calls"), CONTROL_NO_SUCH);
	ck_assert_ptr_nonnull(strchr(out_text, '\n'));
	ck_assert_ptr_nonnull(strstr(strchr(out_text, '\n'), "{\"format\""));
	stop(pid);
	pid = start(PROCESS_SBC, ANSWER_JUNK, CONTROL_OK);
	ck_assert_int_eq(sbcctl("calls"), CONTROL_REFUSED);
	ck_assert_str_eq(out_text, "");
	ck_assert_str_eq(
		err_text_got, "sbcctl: sbc sent an answer that is no JSON\n");
	stop(pid);
	pid = start(PROCESS_SBC, ANSWER_OTHER, CONTROL_OK);
	ck_assert_int_eq(sbcctl("calls"), CONTROL_REFUSED);
	stop(pid);
	end();
}
END_TEST

/* One is away: the others answer, and the exit status is the worst. */
START_TEST(test_several)
{
	pid_t authd, sbc, mediad, flowd;

	begin();
	authd = start(PROCESS_AUTHD, ANSWER, CONTROL_OK);
	sbc = start(PROCESS_SBC, ANSWER, CONTROL_NO_SUCH);
	ck_assert_int_eq(sbcctl("status"), CONTROL_AWAY);
	ck_assert_ptr_nonnull(strstr(out_text, "--- authd\n"));
	ck_assert_ptr_nonnull(strstr(out_text, "--- sbc\n"));
	ck_assert_ptr_null(strstr(out_text, "mediad"));
	ck_assert_ptr_nonnull(strstr(err_text_got, "mediad does not answer"));
	mediad = start(PROCESS_MEDIAD, ANSWER, CONTROL_OK);
	flowd = start(PROCESS_FLOWD, ANSWER, CONTROL_OK);
	ck_assert_int_eq(sbcctl("--json status"), CONTROL_NO_SUCH);
	ck_assert_str_eq(err_text_got, "");
	ck_assert_ptr_null(strstr(out_text, "---"));
	stop(authd);
	stop(sbc);
	stop(mediad);
	stop(flowd);
	end();
}
END_TEST

int main(void)
{
	Suite *s = suite_create("tool");

	suite_add(s, "usage", test_usage);
	suite_add(s, "away", test_away);
	suite_add(s, "hang_up", test_hang_up);
	suite_add(s, "impostor", test_impostor);
	suite_add(s, "answer", test_answer);
	suite_add(s, "codes", test_codes);
	suite_add(s, "odd_answers", test_odd_answers);
	suite_add(s, "several", test_several);
	return suite_run(s);
}
