/* SPDX-License-Identifier: Apache-2.0 */
/* The real keeper over small daemons: order, rights, restart, sockets and
 * descriptors that come back, hanging, stopping, a new keeper. */
#include "config.h"

#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/notify.h"
#include "tests/unit/keeper_world.h"

#define ALLOW                                                                  \
	"listen_allow = {\"udp 127.0.0.0/8 5060-5069\", "                      \
	"\"tcp 127.0.0.1 5060\", \"udp ::1 5060\"}\n"
#define RESTART_BOUND_US (5ull * 1000 * 1000)

static struct world_keeper keeper;

static void start(void)
{
	keeper = world_start(NULL, NULL, 0, NULL);
}

static void stop(void)
{
	world_signal(&keeper, SIGTERM);
	ck_assert_int_eq(world_wait(&keeper), 0);
}

/* "ready" of keeper itself: all daemons are. */
static void expect_all_ready(void)
{
	world_expect(" keeper ready ", NULL);
}

static pid_t pid_of(const char *name)
{
	char words[32];

	snprintf(words, sizeof(words), "fake %s ", name);
	return world_pid(world_expect(words, " begin ", NULL));
}

static int open_pid(pid_t pid)
{
	int fd = pidfd_open(pid, 0);

	ck_assert_int_ge(fd, 0);
	return fd;
}

static void kill_and_wait(pid_t pid, int signal)
{
	int fd = open_pid(pid);

	ck_assert_int_eq(pidfd_send_signal(fd, signal, NULL, 0), 0);
	world_gone(fd);
	close(fd);
}

START_TEST(order_and_rights)
{
	static const char *const names[] = {"authd", "mediad", "sbc"};
	struct stat st;
	char path[128], words[64];

	start();
	for (int i = 0; i < 3; i++) {
		const char *line;

		snprintf(words, sizeof(words), "fake %s ", names[i]);
		line = world_expect(words, " begin ", NULL);
		snprintf(words, sizeof(words), " uid=%d gid=%d groups=1 ",
			WORLD_UID_AUTHD + i, WORLD_GID);
		ck_assert_msg(strstr(line, words), "%s", line);
		snprintf(words, sizeof(words), "/etc/%s.conf ", names[i]);
		ck_assert_msg(strstr(line, words), "%s", line);
		ck_assert_msg(strstr(line, " args=3 "), "%s", line);
		ck_assert_msg(
			strstr(line,
				" sid=1 files=1 core=0 "
				"term_blocked=0 pipe_ignored=0 fds=0,1,2, "),
			"%s", line);
		ck_assert_msg(strstr(line, "CapInh=0,CapPrm=0,CapEff=0,"
					   "CapBnd=0,CapAmb=0,NoNewPrivs=1,"),
			"%s", line);
		ck_assert_msg(!strstr(line, "SECRET_OF_ROOT"), "%s", line);
		/* The next one begins only after this line. */
		snprintf(words, sizeof(words), "daemon=%s ", names[i]);
		world_expect("daemon_ready", words, NULL);
	}
	expect_all_ready();
	snprintf(path, sizeof(path), "%s/run", world_path());
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_uint_eq(st.st_mode & 07777, 01770);
	ck_assert_uint_eq(st.st_gid, WORLD_GID);
	snprintf(path, sizeof(path), "%s/state/authd", world_path());
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_uint_eq(st.st_mode & 07777, 0700);
	ck_assert_uint_eq(st.st_uid, WORLD_UID_AUTHD);
	stop();
}
END_TEST

START_TEST(keeper_rights)
{
	char path[64], line[128], all[512] = "";
	FILE *f;

	start();
	expect_all_ready();
	snprintf(path, sizeof(path), "/proc/%d/status", (int)keeper.pid);
	f = fopen(path, "re");
	ck_assert_ptr_nonnull(f);
	while (fgets(line, sizeof(line), f)) {
		if (!strncmp(line, "Cap", 3) || !strncmp(line, "NoNew", 5) ||
			!strncmp(line, "Seccomp:", 8))
			strncat(all, line, sizeof(all) - strlen(all) - 1);
	}
	fclose(f);
	/* KILL 5, SETGID 6, SETUID 7, SETPCAP 8, NET_BIND_SERVICE 10,
	 * NET_ADMIN 12, NET_RAW 13 */
	ck_assert_msg(strstr(all, "CapInh:\t0000000000000000\n"), "%s", all);
	ck_assert_msg(strstr(all, "CapPrm:\t00000000000035e0\n"), "%s", all);
	ck_assert_msg(strstr(all, "CapEff:\t00000000000035e0\n"), "%s", all);
	ck_assert_msg(strstr(all, "CapBnd:\t00000000000035e0\n"), "%s", all);
	ck_assert_msg(strstr(all, "NoNewPrivs:\t1\n"), "%s", all);
	ck_assert_msg(strstr(all, "Seccomp:\t2\n"), "%s", all);
	stop();
}
END_TEST

/* A connected peer: it would see a closed port as an error. */
static int peer_of(uint16_t port)
{
	struct sockaddr_in sa = {.sin_family = AF_INET,
		.sin_port = htons(port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	ck_assert_int_eq(connect(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	return fd;
}

static void say_to(int fd, const char *text)
{
	char byte;

	ck_assert_int_eq(
		send(fd, text, strlen(text), 0), (ssize_t)strlen(text));
	ck_assert_int_eq(recv(fd, &byte, 1, MSG_DONTWAIT), -1);
	ck_assert_int_eq(errno, EAGAIN);
}

static unsigned long inode_in(const char *line)
{
	const char *p = strstr(line, "inode=");

	ck_assert_msg(p, "%s", line);
	return strtoul(p + 6, NULL, 10);
}

START_TEST(restart_gives_back)
{
	unsigned long udp, tcp, udp6;
	uint64_t begin, spent;
	pid_t old, new;
	int peer, fd;

	world_keeper_conf(ALLOW);
	world_daemon_conf("sbc",
		"store calls some dialogs\n"
		"store nonce:key another\nlisten udp 127.0.0.1:5060\n"
		"listen tcp 127.0.0.1:5060\nlisten udp [::1]:5060\n");
	start();
	old = pid_of("sbc");
	udp = inode_in(world_expect("listen 127.0.0.1:5060", "inode", NULL));
	tcp = inode_in(world_expect("listen 127.0.0.1:5060", "inode", NULL));
	udp6 = inode_in(world_expect("listen [::1]:5060", "inode", NULL));
	expect_all_ready();
	peer = peer_of(5060);
	say_to(peer, "before");
	world_expect("datagram before", NULL);
	fd = open_pid(old);
	begin = world_now_us();
	ck_assert_int_eq(pidfd_send_signal(fd, SIGKILL, NULL, 0), 0);
	say_to(peer, "during-1");
	world_gone(fd);
	say_to(peer, "during-2");
	new = pid_of("sbc");
	spent = world_now_us() - begin;
	ck_assert_int_ne(old, new);
	world_expect("fd calls some dialogs", NULL);
	world_expect("fd nonce:key another", NULL);
	world_expect(" up", NULL);
	ck_assert_uint_eq(
		inode_in(world_expect("listen 127.0.0.1:5060", NULL)), udp);
	ck_assert_uint_eq(
		inode_in(world_expect("listen 127.0.0.1:5060", NULL)), tcp);
	ck_assert_uint_eq(
		inode_in(world_expect("listen [::1]:5060", NULL)), udp6);
	world_expect("daemon_ready", "daemon=sbc", NULL);
	printf("keeper: killed to running again %.1f ms, to ready %.1f ms\n",
		(double)spent / 1000, (double)(world_now_us() - begin) / 1000);
	ck_assert_uint_lt(world_now_us() - begin, RESTART_BOUND_US);
	say_to(peer, "after");
	world_rewind();
	/* Order of datagrams and log lines is free; none may be missing. */
	world_expect("datagram during-2", NULL);
	world_expect("datagram after", NULL);
	close(peer);
	close(fd);
	stop();
}
END_TEST

START_TEST(listen_refused)
{
	struct sockaddr_in sa = {.sin_family = AF_INET,
		.sin_port = htons(5061),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	ck_assert_int_eq(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	world_keeper_conf(ALLOW);
	world_daemon_conf("sbc",
		"listen udp 127.0.0.1:5070\n"
		"listen udp 127.0.0.1:5061\nlisten udp 127.1.1.1:5062\n");
	start();
	world_expect("fake sbc",
		"listen 127.0.0.1:5070 problem: udp "
		"127.0.0.1:5070: not allowed by listen_allow",
		NULL);
	world_expect("fake sbc",
		"listen 127.0.0.1:5061 problem: udp "
		"127.0.0.1:5061: address already in use",
		NULL);
	world_expect("fake sbc", "listen 127.1.1.1:5062 inode=", NULL);
	world_rewind();
	world_expect("listen_refused", "127.0.0.1:5070", NULL);
	world_expect(
		"listen_failed", "udp 127.0.0.1:5061: address already", NULL);
	close(fd);
	stop();
}
END_TEST

START_TEST(words_refused)
{
	/* Each is said by a daemon; keeper closes that link and lives on. */
	static const struct {
		const char *daemon, *raw, *reason;
	} rows[] = {
		{"authd", "raw READY=1|\n", "ipc_not_permitted"},
		{"authd", "raw NAME=sbc|\n", "ipc_peer"},
		{"authd", "raw NAME=keeper|READY=1|\n", "ipc_peer"},
		{"authd", "raw hello\n", "ipc_malformed"},
		{"authd", "raw NAME=authd|LISTEN=udp 127.0.0.1:5060|\n",
			"ipc_not_permitted"},
		{"sbc", "raw NAME=sbc|LISTEN=udp 127.0.0.1|\n",
			"ipc_malformed"},
		{"sbc", "raw NAME=sbc|FDSTORE=1|\n", "ipc_malformed"},
		{"sbc", "raw NAME=sbc|FDSTOREREMOVE=1|FDNAME=|\n", NULL},
		{"authd", "raw NAME=authd|UNLISTEN=udp 127.0.0.1:5060|\n",
			"ipc_not_permitted"},
		{"sbc", "raw NAME=sbc|UNLISTEN=udp 127.0.0.1|\n",
			"ipc_malformed"},
		/* None of its own: nothing happens. */
		{"sbc", "raw NAME=sbc|UNLISTEN=udp 127.0.0.1:5060|\n", NULL},
		{"sbc", "raw NAME=sbc|RETIRE=1|\n", "ipc_not_permitted"},
	};

	world_keeper_conf(ALLOW);
	world_daemon_conf(rows[_i].daemon, rows[_i].raw);
	start();
	if (rows[_i].reason)
		world_expect("link_refused", rows[_i].reason, NULL);
	expect_all_ready();
	stop();
}
END_TEST

/* A connection of ours to keeper, as this user. */
static int keeper_connect(uid_t uid)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	snprintf(sa.sun_path, sizeof(sa.sun_path), "%s/run/keeper.sock",
		world_path());
	ck_assert_int_eq(setegid(WORLD_GID), 0);
	ck_assert_int_eq(seteuid(uid), 0);
	ck_assert_int_eq(connect(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	ck_assert_int_eq(seteuid(0), 0);
	ck_assert_int_eq(setegid(0), 0);
	return fd;
}

static void expect_closed(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	char byte;

	ck_assert_int_eq(poll(&p, 1, 20000), 1);
	ck_assert_int_le(recv(fd, &byte, 1, 0), 0);
	close(fd);
}

START_TEST(stranger_refused)
{
	int fd;

	start();
	expect_all_ready();
	expect_closed(keeper_connect(WORLD_UID_SBC));
	world_expect("link_refused", "ipc_peer", "uid=4103", NULL);
	/* Root's tool may only ask for what it is there for. */
	fd = keeper_connect(0);
	ck_assert_int_eq(
		notify_send_fds(fd, "NAME=sbc\nREADY=1\n", NULL, 0), 0);
	expect_closed(fd);
	stop();
}
END_TEST

/* ---------------------------------------------------------------- upgrade */

static void upgrade_ask(int fd, const char *name)
{
	char text[64];

	snprintf(text, sizeof(text), "UPGRADE=%s\n", name);
	ck_assert_int_eq(notify_send_fds(fd, text, NULL, 0), 0);
}

static void upgrade_expect(int fd, const char *state)
{
	const uint64_t end = world_now_us() + 20000000;
	struct pollfd p = {.fd = fd, .events = POLLIN};
	char text[NOTIFY_TEXT_MAX + 1], got[32];
	int fds[NOTIFY_FDS_MAX], n;
	size_t n_fds;

	while (poll(&p, 1, 50) == 0) {
		(void)world_seen("x", NULL); /* keeps the log pipe empty */
		ck_assert_msg(world_now_us() < end, "no answer");
	}
	n = notify_recv_fds(fd, text, fds, &n_fds);
	ck_assert_int_gt(n, 0);
	ck_assert_int_eq(
		notify_word(text, (size_t)n, "STATE", got, sizeof(got)), 0);
	ck_assert_str_eq(got, state);
}

/* A file that was replaced counts from the upgrade on, and not before. */
START_TEST(upgrade)
{
	pid_t first, second;
	int fd;

	world_daemon_conf("mediad", "store calls some dialogs\n");
	start();
	first = pid_of("mediad");
	expect_all_ready();
	world_replace_program("mediad", "/bin/false");
	kill_and_wait(first, SIGKILL);
	second = pid_of("mediad"); /* still the old program */
	ck_assert_int_ne(second, first);
	world_expect("fd calls some dialogs", NULL);
	world_expect("daemon_ready", "daemon=mediad", NULL);

	world_replace_program("mediad", NULL);
	fd = keeper_connect(0);
	upgrade_ask(fd, "mediad");
	world_expect("daemon_renew", "daemon=mediad", NULL);
	ck_assert_int_ne(pid_of("mediad"), second);
	world_expect("fd calls some dialogs", NULL);
	upgrade_expect(fd, "renewed");
	upgrade_ask(fd, "flowd"); /* not one of this keeper's */
	upgrade_expect(fd, "refused");
	upgrade_ask(fd, "keeper"); /* nobody would start it again */
	upgrade_expect(fd, "alone");
	close(fd);
	stop();
}
END_TEST

static const char *const bad_programs[] = {"/bin/false", "/dev/null"};

START_TEST(upgrade_rolled_back)
{
	pid_t before;
	int fd;

	world_daemon_conf("sbc", "store calls some dialogs\n");
	start();
	before = pid_of("sbc");
	expect_all_ready();
	world_replace_program("sbc", bad_programs[_i]);
	fd = keeper_connect(0);
	upgrade_ask(fd, "sbc");
	world_expect("upgrade_rolled_back", "daemon=sbc", NULL);
	ck_assert_int_ne(pid_of("sbc"), before);
	world_expect("fd calls some dialogs", NULL);
	upgrade_expect(fd, "rolled_back");
	close(fd);
	/* A new keeper finds the old program running, and keeps to it. */
	world_signal(&keeper, SIGKILL);
	world_wait(&keeper);
	start();
	world_expect("daemon_adopted", "daemon=sbc", NULL);
	expect_all_ready();
	world_rewind();
	(void)pid_of("sbc");
	before = pid_of("sbc");
	kill_and_wait(before, SIGKILL);
	ck_assert_int_ne(pid_of("sbc"), before);
	world_expect("daemon_ready", "daemon=sbc", NULL);
	stop();
}
END_TEST

/* It starts, but does not become ready. */
START_TEST(upgrade_too_slow)
{
	int fd;

	world_keeper_conf("renew_timeout = 1\n");
	start();
	expect_all_ready();
	fd = keeper_connect(0);
	world_daemon_conf("sbc", "noready\n");
	upgrade_ask(fd, "sbc");
	world_expect("daemon_renew", "daemon=sbc", NULL);
	(void)pid_of("sbc");
	world_daemon_conf("sbc", "");
	world_expect("upgrade_rolled_back", "daemon=sbc", NULL);
	upgrade_expect(fd, "rolled_back");
	close(fd);
	stop();
}
END_TEST

START_TEST(backoff)
{
	uint64_t third, fourth;
	pid_t pid;

	start();
	pid = pid_of("mediad");
	expect_all_ready();
	world_daemon_conf("mediad", "die\n");
	kill_and_wait(pid, SIGKILL);
	world_expect("daemon_died", "signal 9", "restart_in_ms=0", NULL);
	world_expect("daemon_died", "exit 3", "restart_in_ms=0", NULL);
	world_expect("daemon_died", "exit 3", "restart_in_ms=1000", NULL);
	third = world_now_us();
	world_expect("daemon_died", "exit 3", "restart_in_ms=2000", NULL);
	fourth = world_now_us();
	ck_assert_uint_ge(fourth - third, 900000);
	world_daemon_conf("mediad", "");
	world_expect("daemon_ready", "daemon=mediad", NULL);
	ck_assert_uint_ge(world_now_us() - fourth, 1900000);
	stop();
}
END_TEST

START_TEST(hang)
{
	pid_t pid;
	int fd;

	start();
	pid = pid_of("mediad");
	expect_all_ready();
	fd = open_pid(pid);
	ck_assert_int_eq(pidfd_send_signal(fd, SIGSTOP, NULL, 0), 0);
	world_expect("daemon_hangs", "daemon=mediad", NULL);
	world_gone(fd);
	ck_assert_int_ne(pid_of("mediad"), pid);
	world_expect("daemon_ready", "daemon=mediad", NULL);
	close(fd);
	stop();
}
END_TEST

START_TEST(not_ready)
{
	pid_t pid;

	world_keeper_conf("ready_timeout = 1\n");
	world_daemon_conf("mediad", "noready\n");
	start();
	pid = pid_of("mediad");
	world_expect("daemon_not_ready", "daemon=mediad", NULL);
	ck_assert(!world_seen("fake sbc", NULL));
	world_daemon_conf("mediad", "");
	ck_assert_int_ne(pid_of("mediad"), pid);
	expect_all_ready();
	stop();
}
END_TEST

START_TEST(stop_order)
{
	world_keeper_conf("stop_timeout = 1\n");
	world_daemon_conf("mediad", "deaf\n");
	start();
	expect_all_ready();
	world_signal(&keeper, SIGTERM);
	world_expect("fake sbc", "signal 15", NULL);
	world_expect("daemon_stopped", "daemon=sbc", "exit 0", NULL);
	world_expect("fake mediad", "signal 15", NULL);
	world_expect("daemon_stop_timeout", "daemon=mediad", NULL);
	world_expect("daemon_stopped", "daemon=mediad", "signal 9", NULL);
	world_expect("fake authd", "signal 15", NULL);
	world_expect("daemon_stopped", "daemon=authd", "exit 0", NULL);
	ck_assert_int_eq(world_wait(&keeper), 0);
}
END_TEST

START_TEST(stop_at_once)
{
	world_daemon_conf("sbc", "deaf\n");
	start();
	expect_all_ready();
	world_signal(&keeper, SIGTERM);
	world_expect("fake sbc", "signal 15", NULL);
	world_signal(&keeper, SIGTERM);
	ck_assert_int_eq(world_wait(&keeper), 0);
	/* Nobody is left: a new one finds nothing to adopt. */
	start();
	world_expect("fake authd", " begin ", NULL);
	world_expect("fake mediad", " begin ", NULL);
	world_expect("fake sbc", " begin ", NULL);
	stop();
}
END_TEST

START_TEST(reload)
{
	static const char *const names[] = {
		"fake authd", "fake mediad", "fake sbc"};

	start();
	expect_all_ready();
	world_signal(&keeper, SIGHUP);
	for (int i = 0; i < 3; i++) {
		world_expect(names[i], "signal 1", NULL);
		world_rewind(); /* they write in any order */
	}
	stop();
}
END_TEST

START_TEST(reload_allows_more)
{
	start();
	expect_all_ready();
	world_keeper_conf("listen_allow = {\"udp 5060\"}\n");
	world_signal(&keeper, SIGHUP);
	world_expect("reload_refused", "udp 5060", NULL);
	world_keeper_conf(ALLOW);
	world_signal(&keeper, SIGHUP);
	world_expect(" keeper reload", NULL);
	world_daemon_conf("sbc", "listen udp 127.0.0.1:5060\n");
	world_rewind();
	kill_and_wait(pid_of("sbc"), SIGKILL);
	world_expect("fake sbc", "listen 127.0.0.1:5060 inode=", NULL);
	stop();
}
END_TEST

START_TEST(adopt)
{
	unsigned long udp;
	pid_t authd, mediad, sbc;

	world_keeper_conf(ALLOW);
	world_daemon_conf("sbc", "store calls some dialogs\n"
				 "listen udp 127.0.0.1:5060\n");
	start();
	authd = pid_of("authd");
	mediad = pid_of("mediad");
	sbc = pid_of("sbc");
	udp = inode_in(world_expect("listen 127.0.0.1:5060", "inode", NULL));
	expect_all_ready();
	world_signal(&keeper, SIGKILL);
	world_wait(&keeper);
	world_expect("fake sbc", "down", NULL);
	start();
	world_expect("daemon_found", "daemon=authd", NULL);
	world_expect("daemon_found", "daemon=mediad", NULL);
	world_expect("daemon_found", "daemon=sbc", NULL);
	expect_all_ready();
	world_rewind();
	ck_assert_int_eq(pid_of("authd"), authd);
	ck_assert_int_eq(pid_of("mediad"), mediad);
	ck_assert_int_eq(pid_of("sbc"), sbc);
	world_expect("daemon_adopted", "daemon=", NULL);
	ck_assert(!world_seen(" begin ", NULL));
	/* It holds again what they hold, and starts them when they die. */
	world_expect("fake sbc", "deposited", NULL);
	kill_and_wait(sbc, SIGKILL);
	ck_assert_int_ne(pid_of("sbc"), sbc);
	world_expect("fd calls some dialogs", NULL);
	ck_assert_uint_eq(
		inode_in(world_expect("listen 127.0.0.1:5060", NULL)), udp);
	world_expect("daemon_ready", "daemon=sbc", NULL);
	stop();
}
END_TEST

START_TEST(adopt_some)
{
	pid_t authd, mediad, sbc;
	int fd;

	world_keeper_conf("adopt_timeout = 1\n");
	start();
	authd = pid_of("authd");
	mediad = pid_of("mediad");
	sbc = pid_of("sbc");
	expect_all_ready();
	/* While there is no keeper, sbc dies and mediad begins to hang. */
	world_signal(&keeper, SIGKILL);
	world_wait(&keeper);
	kill_and_wait(sbc, SIGKILL);
	fd = open_pid(mediad);
	ck_assert_int_eq(pidfd_send_signal(fd, SIGSTOP, NULL, 0), 0);
	start();
	world_expect("daemon_adopted", "daemon=authd", NULL);
	world_expect("daemon_not_ready", "daemon=mediad", NULL);
	world_gone(fd);
	ck_assert_int_ne(pid_of("mediad"), mediad);
	ck_assert_int_ne(pid_of("sbc"), sbc);
	expect_all_ready();
	ck_assert(!world_seen("fake authd", " begin ", NULL));
	close(fd);
	fd = open_pid(authd); /* the first one still */
	close(fd);
	stop();
}
END_TEST

START_TEST(second_keeper)
{
	struct world_keeper second;

	start();
	expect_all_ready();
	second = world_start(NULL, NULL, 0, NULL);
	world_expect("keeper_runs", NULL);
	ck_assert_int_ne(world_wait(&second), 0);
	/* The first one serves on. */
	ck_assert(!world_seen("daemon_died", NULL));
	stop();
}
END_TEST

static int notify_socket_open(char path[108])
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	snprintf(path, 108, "%s/notify", world_path());
	memcpy(sa.sun_path, path, sizeof(sa.sun_path));
	unlink(path);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	return fd;
}

/* Reads what keeper tells systemd until a packet has this word and value.
 * @return the descriptor beside it, or -1. */
static int systemd_hears(int socket, const char *key, const char *value)
{
	const uint64_t end = world_now_us() + 20000000;

	while (world_now_us() < end) {
		struct pollfd p = {.fd = socket, .events = POLLIN};
		char text[NOTIFY_TEXT_MAX + 1], got[256];
		int fds[NOTIFY_FDS_MAX], n;
		size_t n_fds;

		(void)world_seen("x", NULL); /* keeps the log pipe empty */
		if (poll(&p, 1, 50) <= 0)
			continue;
		n = notify_recv_fds(socket, text, fds, &n_fds);
		ck_assert_int_gt(n, 0);
		if (notify_word(text, (size_t)n, key, got, sizeof(got)) == 0 &&
			!strcmp(got, value))
			return n_fds ? fds[0] : -1;
		for (size_t i = 0; i < n_fds; i++)
			close(fds[i]);
	}
	ck_abort_msg("systemd never heard %s=%s", key, value);
}

START_TEST(systemd_holds)
{
	unsigned long udp;
	char path[108];
	pid_t pids[3];
	int socket, fds[3], extra = memfd_create("extra", MFD_CLOEXEC);

	world_keeper_conf(ALLOW);
	world_daemon_conf("sbc", "store nonce:key some bytes\n"
				 "listen udp 127.0.0.1:5060\n");
	socket = notify_socket_open(path);
	keeper = world_start(path, NULL, 0, NULL);
	pids[0] = pid_of("authd");
	pids[1] = pid_of("mediad");
	pids[2] = pid_of("sbc");
	udp = inode_in(world_expect("listen 127.0.0.1:5060", "inode", NULL));
	/* Everything dies as soon as somebody has a socket; only systemd is
	 * left, and has it since before. */
	world_signal(&keeper, SIGKILL);
	world_wait(&keeper);
	for (int i = 0; i < 3; i++)
		kill_and_wait(pids[i], SIGKILL);
	fds[0] = systemd_hears(socket, "FDNAME", "sbc/nonce key");
	fds[1] = systemd_hears(socket, "FDNAME", "listen/udp/127.0.0.1 5060");
	fds[2] = extra; /* something that is not ours */
	ck_assert_int_ge(fds[0], 0);
	ck_assert_int_ge(fds[1], 0);
	keeper = world_start(path, fds, 3,
		"sbc/nonce key:listen/udp/127.0.0.1 5060:who knows");
	world_expect("systemd_fd", "who:knows", NULL);
	ck_assert_int_ne(pid_of("sbc"), pids[2]);
	world_expect("fd nonce:key some bytes", NULL);
	ck_assert_uint_eq(
		inode_in(world_expect("listen 127.0.0.1:5060", NULL)), udp);
	ck_assert_int_eq(systemd_hears(socket, "READY", "1"), -1);
	expect_all_ready();
	world_signal(&keeper, SIGTERM);
	ck_assert_int_eq(systemd_hears(socket, "STOPPING", "1"), -1);
	ck_assert_int_eq(world_wait(&keeper), 0);
	close(socket);
}
END_TEST

/* Runs "keeper -t" on these rows. @return its exit status. */
static int check_conf(const char *rows, char *said, size_t size)
{
	char command[512];
	FILE *f;
	size_t n;

	world_keeper_conf(rows);
	snprintf(command, sizeof(command),
		"keeper/keeper -t -c %s/etc/keeper.conf 2>&1", world_path());
	f = popen(command, "re");
	ck_assert_ptr_nonnull(f);
	n = fread(said, 1, size - 1, f);
	said[n] = '\0';
	return WEXITSTATUS(pclose(f));
}

START_TEST(check_only)
{
	static const struct {
		const char *rows, *said;
	} bad[] = {
		{"listen_allow = {\"udp 5060\"}\n", "\"udp 5060\" is not"},
		{"daemons = {\"authd\", \"authd\"}\n", "daemons"},
		{"stop_timeout = 0\n", "stop_timeout"},
		{"no_such_option = 1\n", "no_such_option"},
	};
	char said[1024];

	ck_assert_int_eq(check_conf(ALLOW, said, sizeof(said)), 0);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		ck_assert_msg(check_conf(bad[i].rows, said, sizeof(said)) == 1,
			"%s: %s", bad[i].rows, said);
		ck_assert_msg(strstr(said, bad[i].said), "%s", said);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("keeper live");
	TCase *c = tcase_create("live");
	SRunner *runner;
	int n_failed, rc = world_enter();

	if (rc)
		return rc;
	tcase_set_timeout(c, 90);
	tcase_add_checked_fixture(c, world_init, world_done);
	tcase_add_test(c, order_and_rights);
	tcase_add_test(c, keeper_rights);
	tcase_add_test(c, restart_gives_back);
	tcase_add_test(c, listen_refused);
	tcase_add_loop_test(c, words_refused, 0, 12);
	tcase_add_test(c, stranger_refused);
	tcase_add_test(c, upgrade);
	tcase_add_loop_test(c, upgrade_rolled_back, 0, 2);
	tcase_add_test(c, upgrade_too_slow);
	tcase_add_test(c, backoff);
	tcase_add_test(c, hang);
	tcase_add_test(c, not_ready);
	tcase_add_test(c, stop_order);
	tcase_add_test(c, stop_at_once);
	tcase_add_test(c, reload);
	tcase_add_test(c, reload_allows_more);
	tcase_add_test(c, adopt);
	tcase_add_test(c, adopt_some);
	tcase_add_test(c, second_keeper);
	tcase_add_test(c, systemd_holds);
	tcase_add_test(c, check_only);
	suite_add_tcase(suite, c);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	n_failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return n_failed ? 1 : 0;
}
