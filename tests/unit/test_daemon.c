/* SPDX-License-Identifier: Apache-2.0 */
/* The one life of every process on the real loop: options, settings, signals,
 * the end; and the loop's own promises. */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/daemon.h"
#include "tests/unit/suite.h"

struct settings {
	struct daemon_settings common;
	uint64_t number;
};

static const struct conf_option options[] = {
	DAEMON_OPTIONS(struct settings),
	{"number", CONF_UINT, offsetof(struct settings, number), "1", 0, 9, "",
		""},
};

static struct settings settings;
static char path[64];

static void write_config(const char *text)
{
	int fd;

	(void)snprintf(path, sizeof(path), "/tmp/gh-dmn-XXXXXX");
	fd = mkstemp(path);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	(void)close(fd);
}

static struct daemon make(void)
{
	memset(&settings, 0, sizeof(settings));
	return (struct daemon){.self = PROCESS_MEDIAD,
		.summary = "test",
		.options = options,
		.n_options = sizeof(options) / sizeof(options[0]),
		.settings = &settings};
}

/* Parses a command line of words. */
static int parse(struct daemon *d, const char *line)
{
	static char words[256]; /* the settings path stays in it */
	char *argv[8], *p;
	int argc = 0;

	(void)snprintf(words, sizeof(words), "%s", line);
	for (p = strtok(words, " "); p && argc < 7; p = strtok(NULL, " "))
		argv[argc++] = p;
	argv[argc] = NULL;
	optind = 0;
	return daemon_options(d, argc, argv);
}

/* Keeps the words of the functions under test out of the test's output. */
static void be_quiet(void)
{
	ck_assert_ptr_nonnull(freopen("/dev/null", "w", stdout));
	ck_assert_ptr_nonnull(freopen("/dev/null", "w", stderr));
}

START_TEST(test_options)
{
	struct daemon d = make();

	be_quiet();
	ck_assert_int_eq(parse(&d, "mediad"), 0);
	ck_assert_str_eq(d.config_path, SYSCONF_DIR "/mediad.conf");
	ck_assert_int_eq(parse(&d, "x -f -t -c /a"), 0);
	ck_assert(d.by_hand && d.only_check);
	ck_assert_str_eq(d.config_path, "/a");
	ck_assert_int_eq(parse(&d, "x -h"), 1);
	ck_assert_int_eq(parse(&d, "x -V"), 1);
	ck_assert_int_eq(parse(&d, "x -z"), ERR_INVALID);
	ck_assert_int_eq(parse(&d, "x -c"), ERR_INVALID);
	ck_assert_int_eq(parse(&d, "x y"), ERR_INVALID);
	daemon_end(&d);
}
END_TEST

static int refuse_nine(void *s, char *problem)
{
	if (((struct settings *)s)->number != 9)
		return 0;
	(void)snprintf(problem, CONF_PROBLEM_SIZE, "nine is too many");
	return ERR_INVALID;
}

START_TEST(test_config)
{
	static const struct {
		const char *text;
		int rc;
	} rows[] = {
		{"", 0},
		{"log_level = debug\nruntime_dir = /run/x\nnumber = 3\n", 0},
		{"log_level = loud\n", ERR_INVALID},
		{"runtime_dir = here\n", ERR_INVALID},
		{"number = 10\n", ERR_INVALID},
		{"number = 9\n", ERR_INVALID},
		{"nothing = 9\n", ERR_INVALID},
	};
	size_t i;

	be_quiet();
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct daemon d = make();

		d.check = refuse_nine;
		write_config(rows[i].text);
		d.config_path = path;
		ck_assert_msg(
			daemon_config(&d) == rows[i].rc, "%s", rows[i].text);
		daemon_end(&d);
		d.only_check = true;
		ck_assert_int_eq(
			daemon_config(&d), rows[i].rc ? rows[i].rc : 1);
		daemon_end(&d);
		(void)unlink(path);
	}
}
END_TEST

struct life {
	struct daemon d;
	unsigned n_up, n_stop, n_reload;
};

static void life_up(void *ctx)
{
	struct life *l = ctx;

	l->n_up++;
	daemon_ready(&l->d);
	(void)kill(getpid(), SIGHUP);
}

static void life_reload(void *ctx)
{
	struct life *l = ctx;

	l->n_reload++;
	(void)kill(getpid(), SIGTERM);
}

/* Drains for ever: only the second signal ends it. */
static void life_stop(void *ctx)
{
	struct life *l = ctx;

	l->n_stop++;
	(void)kill(getpid(), SIGINT);
}

START_TEST(test_life)
{
	static const struct notify_events events = {.on_up = life_up};
	struct life l = {.d = make()};
	char socket_path[100];

	log_set_level(LOG_LEVEL_ERR);
	write_config("log_level = err\nruntime_dir = /run/x\n");
	l.d.config_path = path;
	l.d.by_hand = true;
	l.d.keeper_events = &events;
	l.d.on_reload = life_reload;
	l.d.on_stop = life_stop;
	l.d.ctx = &l;
	ck_assert_int_eq(daemon_config(&l.d), 0);
	ck_assert_int_eq(daemon_socket_path(&l.d, PROCESS_SBC, socket_path,
				 sizeof(socket_path)),
		0);
	ck_assert_str_eq(socket_path, "/run/x/sbc.sock");
	ck_assert_int_eq(daemon_socket_path(&l.d, PROCESS_SBC, socket_path, 15),
		ERR_TOO_BIG);
	ck_assert_int_eq(daemon_begin(&l.d), 0);
	ck_assert_uint_eq(l.d.users.uid[PROCESS_SBC], getuid());
	ck_assert_int_eq(daemon_run(&l.d), 0);
	ck_assert_uint_eq(l.n_up, 1);
	ck_assert_uint_eq(l.n_reload, 1);
	ck_assert_uint_eq(l.n_stop, 1);
	daemon_end(&l.d);
	daemon_end(&l.d);
	(void)unlink(path);
}
END_TEST

/* ------------------------------------------------------------- real loop */

struct watch {
	struct loop *loop;
	struct loop_fd *fd;
	struct loop_timer *timer;
	unsigned n;
	uint64_t fired_us;
};

static void on_watch(void *arg, int fd, unsigned events)
{
	struct watch *w = arg;

	(void)fd;
	w->n++;
	ck_assert_uint_ne(events, 0);
	loop_fd_free(w->loop, &w->fd); /* in its own callback */
	loop_stop(w->loop);
}

static void on_timer(void *arg)
{
	struct watch *w = arg;

	w->n++;
	w->fired_us = clock_now_us();
	loop_timer_free(w->loop, &w->timer);
	loop_stop(w->loop);
}

static void never(void *arg)
{
	(void)arg;
	ck_abort_msg("a stopped timer fired");
}

START_TEST(test_loop)
{
	struct watch w = {0};
	struct loop_timer *stopped;
	int pair[2];
	uint64_t start;

	ck_assert_int_eq(loop_event_new(&w.loop), 0);
	ck_assert_int_eq(
		socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	ck_assert_int_eq(
		loop_fd_add(w.loop, pair[0], 0, on_watch, &w, &w.fd), 0);
	ck_assert_int_eq(write(pair[1], "x", 1), 1);
	ck_assert_int_eq(loop_timer_new(w.loop, never, NULL, &stopped), 0);
	loop_timer_set(w.loop, stopped, 0);
	loop_timer_stop(w.loop, stopped);
	/* Nothing is wanted of the fd: only the timer fires. */
	ck_assert_int_eq(loop_timer_new(w.loop, on_timer, &w, &w.timer), 0);
	loop_timer_set(w.loop, w.timer, 1000 * CLOCK_US_PER_S);
	loop_timer_set(w.loop, w.timer, 3000); /* the later call counts */
	start = clock_now_us();
	ck_assert_int_eq(loop_run(w.loop), 0);
	ck_assert_uint_eq(w.n, 1);
	ck_assert_uint_ge(w.fired_us - start, 3000);
	ck_assert_int_eq(loop_fd_set(w.loop, w.fd, LOOP_READ), 0);
	ck_assert_int_eq(loop_run(w.loop), 0);
	ck_assert_uint_eq(w.n, 2);
	/* Both directions, both reported. */
	ck_assert_int_eq(loop_fd_add(w.loop, pair[0], LOOP_READ | LOOP_WRITE,
				 on_watch, &w, &w.fd),
		0);
	ck_assert_int_eq(loop_run(w.loop), 0);
	ck_assert_uint_eq(w.n, 3);
	/* A stop before the run counts, once. */
	loop_stop(w.loop);
	ck_assert_int_eq(loop_run(w.loop), 0);
	loop_timer_free(w.loop, &stopped);
	loop_timer_free(w.loop, &stopped);
	loop_fd_free(w.loop, &w.fd);
	loop_free(&w.loop);
	loop_free(&w.loop);
	(void)close(pair[0]);
	(void)close(pair[1]);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("daemon");

	suite_add(s, "options", test_options);
	suite_add(s, "config", test_config);
	suite_add(s, "life", test_life);
	suite_add(s, "loop", test_loop);
	return suite_run(s);
}
