/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "tests/unit/keeper_world.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define BOUND_MS 20000
#define LOG_SIZE (1 << 20)

static char root[64];
static char build_dir[PATH_MAX];
static int out[2] = {-1, -1};
static char *text;
static size_t len, place;

uint64_t world_now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static int put_file(const char *path, const char *content, mode_t mode)
{
	FILE *f = fopen(path, "we");

	if (!f)
		return -1;
	fputs(content, f);
	return fclose(f) || chmod(path, mode) ? -1 : 0;
}

/* The users exist in this mount namespace only. */
static int put_users(void)
{
	static const char passwd[] =
		"root:x:0:0::/:/bin/sh\n"
		"gatehouse-authd:x:4101:4100::/:/usr/sbin/nologin\n"
		"gatehouse-mediad:x:4102:4100::/:/usr/sbin/nologin\n"
		"gatehouse-sbc:x:4103:4100::/:/usr/sbin/nologin\n"
		"gatehouse-flowd:x:4104:4100::/:/usr/sbin/nologin\n";
	static const char group[] = "root:x:0:\ngatehouse:x:4100:\n";
	char dir[] = "/tmp/keeper-users-XXXXXX", path[64];
	int rc = -1;

	if (!mkdtemp(dir))
		return -1;
	snprintf(path, sizeof(path), "%s/passwd", dir);
	if (put_file(path, passwd, 0644) == 0 &&
		mount(path, "/etc/passwd", NULL, MS_BIND, NULL) == 0)
		rc = 0;
	unlink(path);
	snprintf(path, sizeof(path), "%s/group", dir);
	if (rc == 0 && (put_file(path, group, 0644) ||
			       mount(path, "/etc/group", NULL, MS_BIND, NULL)))
		rc = -1;
	unlink(path);
	rmdir(dir);
	return rc;
}

static int loopback_up(void)
{
	struct ifreq req = {.ifr_name = "lo", .ifr_flags = IFF_UP};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int rc = fd < 0 ? -1 : ioctl(fd, SIOCSIFFLAGS, &req);

	if (fd >= 0)
		close(fd);
	return rc;
}

/* Process 1 of the namespace: reaps what loses its parent, ends with the test
 * program, and takes everything along. */
static _Noreturn void reap_for(pid_t test)
{
	int status;
	pid_t pid;

	while ((pid = wait(&status)) > 0 || errno == EINTR) {
		if (pid == test)
			_exit(WIFEXITED(status) ? WEXITSTATUS(status) : 1);
	}
	_exit(1);
}

int world_enter(void)
{
	pid_t pid;
	int status;

	if (geteuid() != 0) {
		printf("test_keeper_live: skipped, needs root\n");
		return 77;
	}
	if (unshare(CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWNET)) {
		printf("test_keeper_live: skipped, no namespaces here: %s\n",
			strerror(errno));
		return 77;
	}
	pid = fork();
	if (pid > 0) {
		while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
			;
		_exit(WIFEXITED(status) ? WEXITSTATUS(status) : 1);
	}
	if (pid < 0 || prctl(PR_SET_PDEATHSIG, SIGKILL) ||
		mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
		mount("proc", "/proc", "proc", 0, NULL) || put_users() ||
		loopback_up() || !getcwd(build_dir, sizeof(build_dir))) {
		perror("test_keeper_live: namespace");
		return 1;
	}
	pid = fork();
	if (pid > 0)
		reap_for(pid);
	return pid == 0 ? 0 : 1;
}

static void copy_program(const char *from, const char *to)
{
	char buf[65536];
	ssize_t n;
	int in = open(from, O_RDONLY | O_CLOEXEC);
	int fd = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0755);

	ck_assert_msg(in >= 0 && fd >= 0, "%s", from);
	while ((n = read(in, buf, sizeof(buf))) > 0)
		ck_assert_int_eq(write(fd, buf, (size_t)n), n);
	close(in);
	ck_assert_int_eq(close(fd), 0);
}

static void path_of(char path[PATH_MAX], const char *a, const char *b)
{
	snprintf(path, PATH_MAX, "%s/%s%s", root, a, b);
}

void world_init(void)
{
	static const char *const names[] = {"authd", "mediad", "sbc"};
	char path[PATH_MAX], from[PATH_MAX + 32];

	text = calloc(1, LOG_SIZE);
	len = place = 0;
	snprintf(root, sizeof(root), "/tmp/keeper-live-XXXXXX");
	ck_assert(text && mkdtemp(root) && chmod(root, 0755) == 0);
	ck_assert_int_eq(pipe2(out, O_CLOEXEC), 0);
	ck_assert_int_eq(fcntl(out[0], F_SETFL, O_NONBLOCK), 0);
	path_of(path, "bin", "");
	ck_assert_int_eq(mkdir(path, 0755), 0);
	path_of(path, "etc", "");
	ck_assert_int_eq(mkdir(path, 0755), 0);
	snprintf(from, sizeof(from), "%s/tests/fake/notify_daemon", build_dir);
	for (size_t i = 0; i < 3; i++) {
		path_of(path, "bin/", names[i]);
		copy_program(from, path);
		world_daemon_conf(names[i], "");
	}
	world_keeper_conf("");
}

void world_replace_program(const char *name, const char *program)
{
	char path[PATH_MAX], fresh[PATH_MAX], from[PATH_MAX + 32];

	snprintf(from, sizeof(from), "%s/tests/fake/notify_daemon", build_dir);
	path_of(path, "bin/", name);
	path_of(fresh, "bin/", "fresh");
	copy_program(program ? program : from, fresh);
	ck_assert_int_eq(rename(fresh, path), 0);
}

const char *world_path(void)
{
	return root;
}

void world_keeper_conf(const char *rows)
{
	char path[PATH_MAX], content[4096];

	path_of(path, "etc/keeper.conf", "");
	snprintf(content, sizeof(content),
		"daemons = {\"authd\", \"mediad\", \"sbc\"}\n"
		"runtime_dir = \"%s/run\"\nstate_dir = \"%s/state\"\n"
		"daemon_dir = \"%s/bin\"\nconf_dir = \"%s/etc\"\n%s",
		root, root, root, root, rows);
	ck_assert_int_eq(put_file(path, content, 0600), 0);
}

void world_daemon_conf(const char *name, const char *rows)
{
	char path[PATH_MAX], content[4096];

	path_of(path, "etc/", name);
	strcat(path, ".conf");
	snprintf(content, sizeof(content), "socket %s/run/keeper.sock\n%s",
		root, rows);
	ck_assert_int_eq(put_file(path, content, 0644), 0);
}

static _Noreturn void keeper_exec(const char *notify_socket, const int *fds,
	int n_fds, const char *fd_names)
{
	char program[PATH_MAX + 32], conf[PATH_MAX], number[16];

	snprintf(program, sizeof(program), "%s/keeper/keeper", build_dir);
	path_of(conf, "etc/keeper.conf", "");
	if (dup2(out[1], STDERR_FILENO) < 0)
		_exit(92);
	for (int i = 0; i < n_fds; i++) {
		/* High first: the targets may be among the sources. */
		if (fcntl(fds[i], F_DUPFD_CLOEXEC, 200 + i) != 200 + i)
			_exit(90);
	}
	for (int i = 0; i < n_fds; i++) {
		if (dup2(200 + i, 3 + i) != 3 + i)
			_exit(91);
	}
	setenv("SECRET_OF_ROOT", "1", 1);
	if (notify_socket)
		setenv("NOTIFY_SOCKET", notify_socket, 1);
	if (n_fds) {
		snprintf(number, sizeof(number), "%d", n_fds);
		setenv("LISTEN_FDS", number, 1);
		snprintf(number, sizeof(number), "%d", (int)getpid());
		setenv("LISTEN_PID", number, 1);
		setenv("LISTEN_FDNAMES", fd_names, 1);
	}
	execl(program, "keeper", "-c", conf, (char *)NULL);
	_exit(93);
}

struct world_keeper world_start(const char *notify_socket, const int *fds,
	int n_fds, const char *fd_names)
{
	struct world_keeper k;

	k.pid = fork();
	ck_assert_int_ge(k.pid, 0);
	if (k.pid == 0)
		keeper_exec(notify_socket, fds, n_fds, fd_names);
	k.pidfd = pidfd_open(k.pid, 0);
	ck_assert_int_ge(k.pidfd, 0);
	return k;
}

static void log_read(int timeout_ms)
{
	struct pollfd p = {.fd = out[0], .events = POLLIN};
	ssize_t n;

	if (poll(&p, 1, timeout_ms) <= 0)
		return;
	while ((n = read(out[0], text + len, LOG_SIZE - 1 - len)) > 0)
		len += (size_t)n;
}

static void fail_with_log(const char *what)
{
	fprintf(stderr, "%s", text);
	ck_abort_msg("%s", what);
}

void world_gone(int pidfd)
{
	struct pollfd p = {.fd = pidfd, .events = POLLIN};
	const uint64_t end = world_now_us() + BOUND_MS * 1000ull;

	/* The pipe must not fill up meanwhile. */
	while (poll(&p, 1, 20) == 0) {
		log_read(0);
		if (world_now_us() > end)
			fail_with_log("a process did not end");
	}
	log_read(0);
}

int world_wait(struct world_keeper *k)
{
	int status = -1;

	world_gone(k->pidfd);
	close(k->pidfd);
	ck_assert_int_eq(waitpid(k->pid, &status, 0), k->pid);
	k->pid = 0;
	return status;
}

void world_signal(const struct world_keeper *k, int signal)
{
	ck_assert_int_eq(pidfd_send_signal(k->pidfd, signal, NULL, 0), 0);
}

/* The next line from *from on that has all words; *from moves behind it. */
static const char *find(size_t *from, const char *word, va_list rest)
{
	static char line[2048];
	const char *words[8] = {word};
	size_t n_words = 1;

	while (n_words < 8 && (words[n_words] = va_arg(rest, const char *)))
		n_words++;
	while (true) {
		const char *eol = memchr(text + *from, '\n', len - *from);
		size_t n, i = 0;

		if (!eol)
			return NULL;
		n = (size_t)(eol - text) - *from;
		snprintf(line, sizeof(line), "%.*s", (int)n, text + *from);
		*from += n + 1;
		while (i < n_words && strstr(line, words[i]))
			i++;
		if (i == n_words)
			return line;
	}
}

const char *world_expect(const char *word, ...)
{
	const uint64_t end = world_now_us() + BOUND_MS * 1000ull;
	const char *line = NULL;
	va_list ap;

	while (!line) {
		size_t from = place;

		log_read(0);
		va_start(ap, word);
		line = find(&from, word, ap);
		va_end(ap);
		if (line) {
			place = from;
			break;
		}
		if (world_now_us() > end)
			fail_with_log(word);
		log_read(50);
	}
	return line;
}

bool world_seen(const char *word, ...)
{
	size_t from = place;
	const char *line;
	va_list ap;

	log_read(0);
	va_start(ap, word);
	line = find(&from, word, ap);
	va_end(ap);
	return line;
}

void world_rewind(void)
{
	place = 0;
}

pid_t world_pid(const char *line)
{
	const char *p = strstr(line, "fake ");
	int pid = 0;

	if (p)
		sscanf(p, "fake %*s %d", &pid);
	else if ((p = strstr(line, " pid=")))
		sscanf(p, " pid=%d", &pid);
	ck_assert_msg(pid > 1, "%s", line);
	return pid;
}

void world_done(void)
{
	char command[128];

	/* What still runs ends with the namespace. */
	snprintf(command, sizeof(command), "rm -rf %s", root);
	ck_assert_int_eq(system(command), 0);
	close(out[0]);
	close(out[1]);
	free(text);
	text = NULL;
}
