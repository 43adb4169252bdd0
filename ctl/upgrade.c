/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "ctl/upgrade.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/json.h"
#include "common/notify.h"
#include "ctl/ask.h"
#include "ctl/show.h"

/* Longer than keeper's longest renew_timeout is of use. */
#define ANSWER_MS  180000
#define KEEPER_US  (30 * CLOCK_US_PER_S)
#define PAUSE_US   50000
#define STATE_SIZE 32
#define WORDS_MAX  16

extern char **environ;

static int say(
	const struct upgrade_order *o, const char *name, const char *state)
{
	struct json j;
	char *text = NULL;
	int err;

	json_begin(&j);
	json_uint(&j, "format", 1);
	json_str(&j, "process", name);
	json_str(&j, "state", state);
	err = json_end(&j, &text);
	if (err)
		return err;
	if (o->json)
		fprintf(o->out, "%s\n", text);
	else
		err = show_answer(o->out, text);
	fflush(o->out);
	free(text);
	return err;
}

/* @param pid_out	keeper's. @return a connection, or -1 with errno. */
static int keeper_open(const struct upgrade_order *o, pid_t *pid_out)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	struct ucred peer;
	socklen_t len = sizeof(peer);
	int fd, n;

	n = snprintf(sa.sun_path, sizeof(sa.sun_path), "%s/%s.sock",
		o->runtime_dir, process_name(PROCESS_KEEPER));
	if (n < 0 || (size_t)n >= sizeof(sa.sun_path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	if (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) ||
		getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len)) {
		n = errno;
		close(fd);
		errno = n;
		return -1;
	}
	*pid_out = peer.pid;
	return fd;
}

/* The next STATE of keeper's. */
static int keeper_state(int fd, char state[STATE_SIZE])
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	char text[NOTIFY_TEXT_MAX + 1];
	int fds[NOTIFY_FDS_MAX], rc;
	size_t n_fds = 0;

	if (poll(&p, 1, ANSWER_MS) != 1)
		return ERR_TIMEOUT;
	rc = notify_recv_fds(fd, text, fds, &n_fds);
	for (size_t i = 0; i < n_fds; i++)
		close(fds[i]);
	if (rc < 0)
		return rc;
	return notify_word(text, (size_t)rc, "STATE", state, STATE_SIZE);
}

static int keeper_ask(int fd, const char *name, char state[STATE_SIZE])
{
	char text[32];
	int err;

	snprintf(text, sizeof(text), "UPGRADE=%s\n", name);
	err = notify_send_fds(fd, text, NULL, 0);
	return err ? err : keeper_state(fd, state);
}

static void on_retire_answer(void *ctx, enum process p, const char *json)
{
	(void)ctx;
	(void)p;
	(void)json;
}

/* flowd's connections are its own: it makes room by itself. */
static int retire(const struct upgrade_order *o)
{
	struct ask ask = {.runtime_dir = o->runtime_dir,
		.users = o->users,
		.process = PROCESS_FLOWD,
		.suffix = "",
		.command = "retire",
		.on_answer = on_retire_answer};
	enum control_exit code = CONTROL_OK;
	int err = ask_daemon(&ask, &code);

	return err ? err : code == CONTROL_OK ? 0 : ERR_REFUSED;
}

static enum control_exit replace(
	const struct upgrade_order *o, int fd, const char *name)
{
	char state[STATE_SIZE] = "";
	int err = keeper_ask(fd, name, state);

	if (!err && !strcmp(state, "waiting")) {
		err = retire(o);
		if (!err)
			err = keeper_state(fd, state);
	}
	if (err) {
		fprintf(o->err, "sbcctl: %s is not replaced: %s\n", name,
			err_text(err));
		return CONTROL_AWAY;
	}
	if (say(o, name, state) || strcmp(state, "renewed") != 0)
		return CONTROL_REFUSED;
	return CONTROL_OK;
}

/* ----------------------------------------------------------------- keeper */

/* Whether the program that would be started next can read its settings: runs
 * keeper's own command line with -t. */
static bool keeper_is_good(pid_t pid)
{
	char path[64], text[4096], check[] = "-t", *argv[WORDS_MAX];
	posix_spawn_file_actions_t quiet;
	ssize_t len;
	size_t n = 0;
	int fd, status;
	pid_t child;
	bool good;

	snprintf(path, sizeof(path), "/proc/%d/cmdline", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	len = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	if (fd >= 0)
		close(fd);
	if (len <= 0 || text[0] != '/')
		return false;
	text[len] = '\0';
	for (char *at = text; at < text + len && n < WORDS_MAX - 2;
		at += strlen(at) + 1)
		argv[n++] = at;
	argv[n++] = check;
	argv[n] = NULL;
	if (posix_spawn_file_actions_init(&quiet))
		return false;
	/* What is wrong goes to standard error; that all is good, nowhere. */
	good = posix_spawn_file_actions_addopen(
		       &quiet, STDOUT_FILENO, "/dev/null", O_WRONLY, 0) == 0 &&
	       posix_spawn(&child, argv[0], &quiet, NULL, argv, environ) == 0 &&
	       waitpid(child, &status, 0) == child && status == 0;
	posix_spawn_file_actions_destroy(&quiet);
	return good;
}

static enum control_exit replace_keeper(
	const struct upgrade_order *o, int fd, pid_t old)
{
	const char *name = process_name(PROCESS_KEEPER);
	char state[STATE_SIZE] = "";
	uint64_t until;
	pid_t now = old;

	if (!keeper_is_good(old)) {
		(void)say(o, name, "refused");
		return CONTROL_REFUSED;
	}
	if (keeper_ask(fd, name, state)) {
		fprintf(o->err, "sbcctl: keeper does not answer\n");
		return CONTROL_AWAY;
	}
	/* Nobody would start it again: no fault, the old one goes on. */
	if (strcmp(state, "ending") != 0)
		return say(o, name, state) ? CONTROL_REFUSED : CONTROL_OK;
	until = clock_now_us() + KEEPER_US;
	while (now == old && clock_now_us() < until) {
		int again = keeper_open(o, &now);

		if (again >= 0)
			close(again);
		else
			now = old;
		usleep(PAUSE_US);
	}
	(void)say(o, name, now == old ? "away" : "renewed");
	return now == old ? CONTROL_AWAY : CONTROL_OK;
}

static bool wanted(const struct upgrade_order *o, enum process p)
{
	for (size_t i = 0; i < o->n_names; i++)
		if (!strcmp(o->names[i], process_name(p)))
			return true;
	return o->n_names == 0;
}

int upgrade_run(const struct upgrade_order *o)
{
	/* Who is asked before who asks: a new sbc finds new answers. */
	static const enum process order[] = {PROCESS_AUTHD, PROCESS_MEDIAD,
		PROCESS_FLOWD, PROCESS_SBC, PROCESS_KEEPER};
	enum control_exit code = CONTROL_OK;
	pid_t keeper = 0;
	int fd;

	for (size_t i = 0; i < o->n_names; i++) {
		enum process p;

		if (process_from_name(o->names[i], &p) || p == PROCESS_CTL) {
			fprintf(o->err, "sbcctl: no process \"%s\"\n",
				o->names[i]);
			return CONTROL_USAGE;
		}
	}
	fd = keeper_open(o, &keeper);
	if (fd < 0) {
		fprintf(o->err, "sbcctl: keeper does not answer: %s\n",
			strerror(errno));
		return CONTROL_AWAY;
	}
	for (size_t i = 0;
		i < sizeof(order) / sizeof(order[0]) && code == CONTROL_OK;
		i++) {
		if (!wanted(o, order[i]))
			continue;
		code = order[i] == PROCESS_KEEPER
			       ? replace_keeper(o, fd, keeper)
			       : replace(o, fd, process_name(order[i]));
	}
	close(fd);
	return (int)code;
}
