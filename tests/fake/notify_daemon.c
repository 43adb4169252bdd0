/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A daemon for the tests of keeper: it does what its settings say and writes
 * each event as one line "fake <name> <pid> <event> ..." to standard error,
 * which is how a test sees it. Its name is that of its file. Settings (-c), one
 * per line:
 *
 *	socket PATH		keeper's socket
 *	store NAME TEXT		deposit a memory file with TEXT, unless it came
 *				back
 *	listen udp ADDR:PORT	ask for a socket; "datagram TEXT" for each
 *				that arrives
 *	die			end with status 3 at once
 *	noready			never say READY
 *	deaf			do not end on SIGTERM
 *	raw TEXT		send this packet to keeper once, "|" for newline
 */
#include "config.h"

#include <dirent.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/log.h"
#include "common/loop.h"
#include "common/notify.h"

#define ITEMS_MAX 16

struct item {
	char name[64];
	char text[128];
	enum notify_kind kind;
	struct addr local;
	int fd; /* memory file, or socket */
};

static struct fake {
	const char *name;
	enum process process;
	char socket[108];
	struct item stores[ITEMS_MAX], listens[ITEMS_MAX];
	size_t n_stores, n_listens, n_answers;
	bool die, noready, deaf, was_up;
	char raw[256];
	struct loop *loop;
	struct notify *notify;
} fake;

static void GH_PRINTF(1, 2) say(const char *format, ...)
{
	char line[1024];
	int head = snprintf(
		line, sizeof(line), "fake %s %d ", fake.name, (int)getpid());
	va_list ap;

	va_start(ap, format);
	vsnprintf(line + head, sizeof(line) - (size_t)head - 1, format, ap);
	va_end(ap);
	strcat(line, "\n");
	if (write(STDERR_FILENO, line, strlen(line)) < 0)
		_exit(9);
}

static void read_line(char *line)
{
	struct fake *f = &fake;
	char word[16] = "", a[64] = "", b[128] = "";

	line[strcspn(line, "\n")] = '\0';
	sscanf(line, "%15s %63s %127[^\n]", word, a, b);
	if (!strcmp(word, "socket"))
		snprintf(f->socket, sizeof(f->socket), "%.107s", line + 7);
	else if (!strcmp(word, "store") && f->n_stores < ITEMS_MAX) {
		struct item *i = &f->stores[f->n_stores++];

		memcpy(i->name, a, sizeof(i->name));
		memcpy(i->text, b, sizeof(i->text));
		i->fd = -1;
	} else if (!strcmp(word, "listen") && f->n_listens < ITEMS_MAX) {
		struct item *i = &f->listens[f->n_listens++];

		i->kind = strcmp(a, "tcp") ? NOTIFY_UDP : NOTIFY_TCP;
		i->fd = -1;
		if (addr_parse(b, &i->local))
			exit(8);
	} else if (!strcmp(word, "raw"))
		snprintf(f->raw, sizeof(f->raw), "%.255s", line + 4);
	f->die |= !strcmp(word, "die");
	f->noready |= !strcmp(word, "noready");
	f->deaf |= !strcmp(word, "deaf");
}

static void read_settings(const char *path)
{
	char line[512];
	FILE *file = fopen(path, "re");

	if (!file)
		exit(7);
	while (fgets(line, sizeof(line), file))
		read_line(line);
	fclose(file);
}

/* Everything that keeper should have taken away or given. */
static void say_begin(int argc, char **argv, char **env)
{
	char fds[256] = "", names[256] = "", line[256], caps[128] = "";
	struct rlimit files, core;
	DIR *dir = opendir("/proc/self/fd");
	struct dirent *e;
	FILE *status;
	sigset_t blocked;

	while (dir && (e = readdir(dir))) {
		int fd = atoi(e->d_name);

		if (e->d_name[0] != '.' && fd != dirfd(dir))
			snprintf(fds + strlen(fds), sizeof(fds) - strlen(fds),
				"%d,", fd);
	}
	if (dir)
		closedir(dir);
	for (; *env; env++)
		snprintf(names + strlen(names), sizeof(names) - strlen(names),
			"%.*s,", (int)strcspn(*env, "="), *env);
	status = fopen("/proc/self/status", "re");
	while (status && fgets(line, sizeof(line), status)) {
		unsigned long long bits;
		char key[16];

		if (sscanf(line, "%15[A-Za-z]: %llx", key, &bits) == 2 &&
			(!strncmp(key, "Cap", 3) || !strcmp(key, "NoNewPrivs")))
			snprintf(caps + strlen(caps),
				sizeof(caps) - strlen(caps), "%s=%llx,", key,
				bits);
	}
	if (status)
		fclose(status);
	getrlimit(RLIMIT_NOFILE, &files);
	getrlimit(RLIMIT_CORE, &core);
	sigprocmask(SIG_SETMASK, NULL, &blocked);
	say("begin args=%d conf=%s uid=%d gid=%d groups=%d sid=%d files=%d "
	    "core=%d term_blocked=%d pipe_ignored=%d fds=%s env=%s %s",
		argc, argc > 2 ? argv[2] : "-", (int)getuid(), (int)getgid(),
		getgroups(0, NULL), getsid(0) == getpid(),
		files.rlim_cur == files.rlim_max, (int)core.rlim_max,
		sigismember(&blocked, SIGTERM),
		signal(SIGPIPE, SIG_DFL) == SIG_IGN, fds, names, caps);
}

static void on_datagram(void *arg, int fd, unsigned events)
{
	char text[128];
	ssize_t len = recv(fd, text, sizeof(text) - 1, MSG_DONTWAIT);

	(void)arg;
	(void)events;
	if (len < 0)
		return;
	text[len] = '\0';
	say("datagram %s", text);
}

static void become_ready(void)
{
	if (fake.noready || fake.n_answers < fake.n_listens)
		return;
	notify_ready(fake.notify);
	say("ready");
}

static void on_listen(void *ctx, enum notify_kind kind,
	const struct addr *local, int fd, const char *problem)
{
	struct item *i = ctx;
	char text[ADDR_TEXT_SIZE];
	struct loop_fd *watch;
	struct stat st;

	fake.n_answers++;
	addr_format(local, text);
	if (fd < 0)
		say("listen %s problem: %s", text, problem);
	else if (fstat(fd, &st) == 0)
		say("listen %s inode=%lu", text, (unsigned long)st.st_ino);
	i->fd = fd;
	if (fd >= 0 && kind == NOTIFY_UDP &&
		loop_fd_add(fake.loop, fd, LOOP_READ, on_datagram, i, &watch))
		exit(6);
	become_ready();
}

static void on_fd(void *ctx, const char *name, int fd)
{
	char text[128] = "";

	(void)ctx;
	if (pread(fd, text, sizeof(text) - 1, 0) < 0)
		text[0] = '\0';
	say("fd %s %s", name, text);
	for (size_t i = 0; i < fake.n_stores; i++) {
		struct item *item = &fake.stores[i];

		if (strcmp(item->name, name) || item->fd >= 0)
			continue;
		item->fd = fd;
		return;
	}
	close(fd);
}

static void deposit_all(void)
{
	int sockets[ITEMS_MAX];
	size_t n_sockets = 0;

	for (size_t i = 0; i < fake.n_stores; i++) {
		struct item *item = &fake.stores[i];

		if (item->fd < 0) {
			item->fd = memfd_create(
				item->name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
			if (item->fd < 0 || write(item->fd, item->text,
						    strlen(item->text)) < 0)
				exit(5);
		}
		if (notify_store(fake.notify, item->name, &item->fd, 1))
			say("store %s failed", item->name);
	}
	for (size_t i = 0; i < fake.n_listens; i++) {
		if (fake.listens[i].fd >= 0)
			sockets[n_sockets++] = fake.listens[i].fd;
	}
	if (n_sockets &&
		notify_store(fake.notify, "listen", sockets, n_sockets))
		say("store listen failed");
}

static void on_up(void *ctx)
{
	(void)ctx;
	say("up");
	deposit_all();
	say("deposited");
	if (fake.was_up)
		return;
	fake.was_up = true;
	for (size_t i = 0; i < fake.n_listens; i++) {
		if (notify_listen(fake.notify, fake.listens[i].kind,
			    &fake.listens[i].local, "", on_listen,
			    &fake.listens[i]))
			exit(4);
	}
	become_ready();
}

static void on_down(void *ctx)
{
	(void)ctx;
	say("down");
}

static void on_orphan(void *ctx)
{
	(void)ctx;
	say("orphan");
	loop_stop(fake.loop);
}

static void on_signal(void *arg, int fd, unsigned events)
{
	struct signalfd_siginfo info;

	(void)arg;
	(void)events;
	if (read(fd, &info, sizeof(info)) != (ssize_t)sizeof(info))
		return;
	say("signal %u", info.ssi_signo);
	if (info.ssi_signo != SIGTERM || fake.deaf)
		return;
	notify_stopping(fake.notify);
	loop_stop(fake.loop);
}

/* Words that common/notify.c would never send. */
static void send_raw(void)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	char answer[256] = "";
	ssize_t len;

	for (char *p = fake.raw; *p; p++)
		*p = *p == '|' ? '\n' : *p;
	memcpy(sa.sun_path, fake.socket, sizeof(sa.sun_path));
	if (fd < 0 || connect(fd, (struct sockaddr *)&sa, sizeof(sa)) ||
		send(fd, fake.raw, strlen(fake.raw), MSG_NOSIGNAL) < 0)
		exit(3);
	len = recv(fd, answer, sizeof(answer) - 1, 0);
	say("raw answer %d", len > 0 ? 1 : 0);
	close(fd);
}

int main(int argc, char **argv, char **env)
{
	static const struct notify_events events = {
		on_fd, on_up, on_down, on_orphan};
	struct loop_fd *watch = NULL;
	sigset_t set;
	int fd;

	fake.name = strrchr(argv[0], '/') ? strrchr(argv[0], '/') + 1 : argv[0];
	if (argc != 3 || process_from_name(fake.name, &fake.process))
		return 2;
	/* Who has seen it begin may change its file for the next one. */
	read_settings(argv[2]);
	say_begin(argc, argv, env);
	if (fake.die)
		return 3;
	log_open(fake.name, LOG_LEVEL_ERR);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (fake.raw[0])
		send_raw();
	if (fd < 0 || loop_event_new(&fake.loop) ||
		loop_fd_add(
			fake.loop, fd, LOOP_READ, on_signal, NULL, &watch) ||
		notify_new(fake.loop, fake.socket, fake.process, &events, NULL,
			&fake.notify))
		return 2;
	if (loop_run(fake.loop))
		return 2;
	say("end");
	_exit(0); /* what it holds is for keeper to give back */
}
