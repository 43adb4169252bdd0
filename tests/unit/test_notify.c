/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A daemon's link to keeper, with a keeper played by this test over a real
 * socket on the fake loop; and the packet functions of both ends.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/notify.h"
#include "tests/unit/fake_loop.h"
#include "tests/unit/suite.h"

static struct loop *loop;
static struct notify *link_;
static char dir[32], path[64];
static int listen_fd = -1, keeper_fd = -1;
static char text[NOTIFY_TEXT_MAX + 1];
static int fds[NOTIFY_FDS_MAX];
static size_t n_fds;

static struct {
	unsigned n_fd, n_up, n_down, n_orphan, n_listen;
	char name[NOTIFY_FDNAME_MAX];
	char problem[NOTIFY_LINE_MAX];
	int listen_fd;
	bool free_in_up, free_in_fd, free_in_listen;
} seen;

static void on_fd(void *ctx, const char *name, int fd)
{
	(void)ctx;
	seen.n_fd++;
	(void)snprintf(seen.name, sizeof(seen.name), "%s", name);
	(void)close(fd);
	if (seen.free_in_fd)
		notify_free(&link_);
}

static void on_up(void *ctx)
{
	(void)ctx;
	seen.n_up++;
	if (seen.free_in_up)
		notify_free(&link_);
}

static void on_down(void *ctx)
{
	(void)ctx;
	seen.n_down++;
}

static void on_orphan(void *ctx)
{
	(void)ctx;
	seen.n_orphan++;
}

static void on_listen(void *ctx, enum notify_kind kind,
	const struct addr *local, int fd, const char *problem)
{
	(void)ctx;
	(void)kind;
	(void)local;
	seen.n_listen++;
	seen.listen_fd = fd;
	(void)snprintf(seen.problem, sizeof(seen.problem), "%s",
		problem ? problem : "");
	if (fd >= 0)
		(void)close(fd);
	if (seen.free_in_listen)
		notify_free(&link_);
}

static const struct notify_events events = {on_fd, on_up, on_down, on_orphan};

static void keeper_listen(void)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};

	memcpy(sa.sun_path, path, strlen(path));
	(void)unlink(path);
	listen_fd = socket(
		AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	ck_assert_int_ge(listen_fd, 0);
	ck_assert_int_eq(
		bind(listen_fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	ck_assert_int_eq(listen(listen_fd, 5), 0);
}

static void keeper_gone(void)
{
	if (keeper_fd >= 0)
		(void)close(keeper_fd);
	if (listen_fd >= 0)
		(void)close(listen_fd);
	keeper_fd = listen_fd = -1;
}

/* The next packet that the daemon sent; "" if there is none. */
static const char *keeper_reads(void)
{
	int len = notify_recv_fds(keeper_fd, text, fds, &n_fds);

	return len > 0 ? text : "";
}

static void keeper_says(const char *words, const int *with, size_t n)
{
	ck_assert_int_eq(notify_send_fds(keeper_fd, words, with, n), 0);
}

static unsigned count_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned n = 0;

	ck_assert_ptr_nonnull(d);
	while (readdir(d))
		n++;
	(void)closedir(d);
	return n;
}

static void begin(void)
{
	log_open("test", LOG_LEVEL_ERR);
	memset(&seen, 0, sizeof(seen));
	(void)snprintf(dir, sizeof(dir), "/tmp/gh-ntf-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	(void)snprintf(path, sizeof(path), "%s/keeper.sock", dir);
	ck_assert_int_eq(fake_loop_new(&loop), 0);
	keeper_listen();
	ck_assert_int_eq(
		notify_new(loop, path, PROCESS_SBC, &events, NULL, &link_), 0);
}

static void keeper_accepts(void)
{
	fake_loop_pass(loop, 2 * CLOCK_US_PER_S);
	keeper_fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC);
	ck_assert_int_ge(keeper_fd, 0);
	ck_assert_str_eq(keeper_reads(), "NAME=sbc\n");
}

static void end(void)
{
	notify_free(&link_);
	loop_free(&loop);
	keeper_gone();
	(void)unlink(path);
	ck_assert_int_eq(rmdir(dir), 0);
}

START_TEST(test_word)
{
	static const struct {
		const char *text, *key;
		int rc;
		const char *value;
	} rows[] = {
		{"A=1\nB=2\n", "A", 0, "1"},
		{"A=1\nB=2\n", "B", 0, "2"},
		{"A=1\nB=2", "B", 0, "2"},
		{"A=1=2\n", "A", 0, "1=2"},
		{"A=\n", "A", 0, ""},
		{"AB=1\n", "A", ERR_NOT_FOUND, NULL},
		{"BA=1\n", "A", ERR_NOT_FOUND, NULL},
		{"A\n", "A", ERR_NOT_FOUND, NULL},
		{"A", "A", ERR_NOT_FOUND, NULL},
		{"\n\nA=x\n", "A", 0, "x"},
		{"", "A", ERR_NOT_FOUND, NULL},
		{"A=1234567\n", "A", 0, "1234567"},
		{"A=12345678\n", "A", ERR_TOO_BIG, NULL},
		{"A=a\tb\n", "A", ERR_INVALID, NULL},
		{"A=\x7f\n", "A", ERR_INVALID, NULL},
	};
	char value[8];
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		ck_assert_msg(notify_word(rows[i].text, strlen(rows[i].text),
				      rows[i].key, value,
				      sizeof(value)) == rows[i].rc,
			"row %zu", i);
		if (!rows[i].rc)
			ck_assert_str_eq(value, rows[i].value);
	}
	ck_assert_int_eq(notify_word("A=a\0b\n", 6, "A", value, sizeof(value)),
		ERR_INVALID);
}
END_TEST

START_TEST(test_packets)
{
	static char longest[NOTIFY_TEXT_MAX + 2];
	int pair[2], many[NOTIFY_FDS_MAX + 1], fd = open("/dev/null", O_RDONLY);
	unsigned before = count_fds() + 2;
	size_t i;

	for (i = 0; i <= NOTIFY_FDS_MAX; i++)
		many[i] = fd;
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
	ck_assert_int_eq(
		notify_recv_fds(pair[1], text, fds, &n_fds), ERR_AGAIN);
	ck_assert_int_eq(
		notify_send_fds(pair[0], "A=1\n", many, NOTIFY_FDS_MAX), 0);
	ck_assert_int_eq(notify_recv_fds(pair[1], text, fds, &n_fds), 4);
	ck_assert_uint_eq(n_fds, NOTIFY_FDS_MAX);
	ck_assert_str_eq(text, "A=1\n");
	for (i = 0; i < n_fds; i++) {
		ck_assert_int_ne(fcntl(fds[i], F_GETFD, 0) & FD_CLOEXEC, 0);
		(void)close(fds[i]);
	}
	ck_assert_int_eq(
		notify_send_fds(pair[0], "A=1\n", many, NOTIFY_FDS_MAX + 1),
		ERR_TOO_BIG);
	ck_assert_int_eq(notify_send_fds(pair[0], "", NULL, 0), ERR_TOO_BIG);
	memset(longest, 'a', NOTIFY_TEXT_MAX);
	ck_assert_int_eq(notify_send_fds(pair[0], longest, NULL, 0), 0);
	ck_assert_int_eq(
		notify_recv_fds(pair[1], text, fds, &n_fds), NOTIFY_TEXT_MAX);
	longest[NOTIFY_TEXT_MAX] = 'a';
	ck_assert_int_eq(
		notify_send_fds(pair[0], longest, NULL, 0), ERR_TOO_BIG);
	ck_assert_int_eq(send(pair[0], longest, sizeof(longest) - 1, 0),
		(ssize_t)sizeof(longest) - 1);
	ck_assert_int_eq(
		notify_recv_fds(pair[1], text, fds, &n_fds), ERR_TOO_BIG);
	ck_assert_uint_eq(count_fds(), before);
	(void)close(pair[0]);
	ck_assert_int_eq(
		notify_recv_fds(pair[1], text, fds, &n_fds), ERR_CLOSED);
	ck_assert_int_eq(
		notify_send_fds(pair[1], "A=1\n", NULL, 0), ERR_CLOSED);
	(void)close(pair[1]);
	(void)close(fd);
}
END_TEST

/* A sender with more descriptors than a packet takes: none is left open. */
START_TEST(test_surplus)
{
	union {
		char bytes[CMSG_SPACE(200 * sizeof(int))];
		struct cmsghdr align;
	} control = {{0}};
	char word[] = "A=1\n";
	struct iovec iov = {.iov_base = word, .iov_len = 4};
	struct msghdr msg = {.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control)};
	int pair[2], i, all[200];
	unsigned before;

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
	before = count_fds();
	control.align.cmsg_level = SOL_SOCKET;
	control.align.cmsg_type = SCM_RIGHTS;
	control.align.cmsg_len = CMSG_LEN(sizeof(all));
	for (i = 0; i < 200; i++)
		all[i] = pair[0];
	memcpy(CMSG_DATA(&control.align), all, sizeof(all));
	ck_assert_int_eq(sendmsg(pair[0], &msg, 0), 4);
	ck_assert_int_eq(notify_recv_fds(pair[1], text, fds, &n_fds), 4);
	ck_assert_uint_le(n_fds, NOTIFY_FDS_MAX);
	for (i = 0; i < (int)n_fds; i++)
		(void)close(fds[i]);
	ck_assert_uint_eq(count_fds(), before);
	(void)close(pair[0]);
	(void)close(pair[1]);
}
END_TEST

START_TEST(test_start)
{
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC), with[2] = {fd, fd};
	unsigned before;

	begin();
	keeper_accepts();
	before = count_fds();
	keeper_says("FDNAME=calls\n", with, 1);
	keeper_says("FDNAME=bindings\n", with, 2);
	fake_loop_pass(loop, 0);
	ck_assert_uint_eq(seen.n_fd, 3);
	ck_assert_str_eq(seen.name, "bindings");
	ck_assert_uint_eq(seen.n_up, 0);
	keeper_says("FDSDONE=1\n", NULL, 0);
	fake_loop_pass(loop, 0);
	ck_assert_uint_eq(seen.n_up, 1);
	/* Nonsense, with descriptors, is dropped whole. */
	keeper_says("WHAT=ever\n", with, 2);
	keeper_says("FDNAME\n", with, 2);
	keeper_says("LISTEN=udp\n", with, 1);
	keeper_says("LISTEN=udp 192.0.2.1:5060\n", with, 1);
	keeper_says("LISTEN=sctp 192.0.2.1:5060\n", with, 1);
	keeper_says("LISTEN=udp localhost\n", with, 1);
	fake_loop_pass(loop, 0);
	ck_assert_uint_eq(count_fds(), before);
	ck_assert_uint_eq(seen.n_fd, 3);
	ck_assert_uint_eq(seen.n_down, 0);
	(void)close(fd);
	end();
}
END_TEST

START_TEST(test_words_out)
{
	begin();
	notify_ready(link_); /* before keeper is there */
	keeper_accepts();
	ck_assert_str_eq(keeper_reads(), "READY=1\n");
	notify_ready(link_);
	while (*keeper_reads())
		ck_assert_str_eq(text, "WATCHDOG=1\n");
	fake_loop_pass(loop, NOTIFY_WATCHDOG_US / 2);
	ck_assert_str_eq(keeper_reads(), "WATCHDOG=1\n");
	ck_assert_str_eq(keeper_reads(), "");
	notify_status(link_, "5 calls\nREADY=1\x01");
	ck_assert_str_eq(keeper_reads(), "STATUS=5 calls READY=1 \n");
	notify_stopping(link_);
	ck_assert_str_eq(keeper_reads(), "STOPPING=1\n");
	end();
}
END_TEST

START_TEST(test_store)
{
	static const char *const bad[] = {"", "a b", "a\nb", "\x80"};
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	char longest[NOTIFY_FDNAME_MAX + 1];
	size_t i;

	begin();
	ck_assert_int_eq(notify_store(link_, "a", &fd, 1), ERR_AWAY);
	keeper_accepts();
	ck_assert_int_eq(notify_store(link_, "media-1", &fd, 1), 0);
	ck_assert_str_eq(keeper_reads(), "FDSTORE=1\nFDNAME=media-1\n");
	ck_assert_uint_eq(n_fds, 1);
	(void)close(fds[0]);
	notify_unstore(link_, "media-1");
	ck_assert_str_eq(keeper_reads(), "FDSTOREREMOVE=1\nFDNAME=media-1\n");
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		ck_assert_int_eq(
			notify_store(link_, bad[i], &fd, 1), ERR_INVALID);
		notify_unstore(link_, bad[i]);
	}
	memset(longest, 'n', sizeof(longest));
	longest[NOTIFY_FDNAME_MAX] = '\0';
	ck_assert_int_eq(notify_store(link_, longest, &fd, 1), ERR_INVALID);
	longest[NOTIFY_FDNAME_MAX - 1] = '\0';
	ck_assert_int_eq(notify_store(link_, longest, &fd, 1), 0);
	ck_assert_int_eq(notify_store(link_, "a", &fd, 0), ERR_INVALID);
	ck_assert_int_eq(
		notify_store(link_, "a", &fd, NOTIFY_FDS_MAX + 1), ERR_INVALID);
	(void)close(fd);
	end();
}
END_TEST

/* keeper does not read: deposits wait in order with copies of their own, up to
 * a cap, and arrive when it reads again. */
START_TEST(test_store_queue)
{
	unsigned before, sent = 0, i;
	char name[32], expected[64];
	struct stat want, got;
	int rc, fd;

	begin();
	keeper_accepts();
	before = count_fds();
	for (;;) {
		fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
		ck_assert_int_ge(fd, 0);
		ck_assert_int_eq(fstat(fd, &want), 0);
		(void)snprintf(name, sizeof(name), "fd-%u", sent);
		rc = notify_store(link_, name, &fd, 1);
		(void)close(fd); /* the caller's own copy goes at once */
		if (rc)
			break;
		ck_assert_uint_lt(++sent, 100000);
	}
	ck_assert_int_eq(rc, ERR_FULL);
	for (i = 0; i < sent; i++) {
		while (!*keeper_reads())
			fake_loop_pass(loop, 10000);
		(void)snprintf(expected, sizeof(expected),
			"FDSTORE=1\nFDNAME=fd-%u\n", i);
		ck_assert_str_eq(text, expected);
		ck_assert_uint_eq(n_fds, 1);
		ck_assert_int_eq(fstat(fds[0], &got), 0);
		ck_assert_uint_eq(want.st_rdev, got.st_rdev);
		(void)close(fds[0]);
	}
	fake_loop_pass(loop, 10000);
	ck_assert_uint_eq(count_fds(), before);
	/* What waits is closed with the link. */
	do
		rc = notify_store(link_, "x", &listen_fd, 1);
	while (!rc);
	ck_assert_uint_gt(count_fds(), before);
	notify_free(&link_);
	ck_assert_uint_eq(count_fds(), before - 1);
	end();
}
END_TEST

START_TEST(test_listen)
{
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	struct addr udp, tcp;

	begin();
	ck_assert_int_eq(addr_parse("192.0.2.1:5060", &udp), 0);
	ck_assert_int_eq(addr_parse("[2001:db8::1]:5061", &tcp), 0);
	ck_assert_int_eq(
		notify_listen(link_, NOTIFY_UDP, &udp, "", on_listen, NULL), 0);
	keeper_accepts();
	ck_assert_str_eq(keeper_reads(), "LISTEN=udp 192.0.2.1:5060\n");
	ck_assert_int_eq(
		notify_listen(link_, NOTIFY_TCP, &tcp, "", on_listen, NULL), 0);
	ck_assert_str_eq(keeper_reads(), "LISTEN=tcp [2001:db8::1]:5061\n");
	keeper_says("LISTEN=udp 192.0.2.1:5060\n", &fd, 1);
	fake_loop_pass(loop, 0);
	ck_assert_uint_eq(seen.n_listen, 1);
	ck_assert_int_ge(seen.listen_fd, 0);
	/* An answer to nothing. */
	keeper_says("LISTEN=udp 192.0.2.1:5060\n", &fd, 1);
	fake_loop_pass(loop, 0);
	ck_assert_uint_eq(seen.n_listen, 1);
	/* keeper dies before the answer: the question is asked again. */
	keeper_gone();
	fake_loop_pass(loop, 0);
	keeper_listen();
	keeper_accepts();
	ck_assert_str_eq(keeper_reads(), "LISTEN=tcp [2001:db8::1]:5061\n");
	keeper_says(
		"LISTEN=tcp [2001:db8::1]:5061\nERROR=not allowed\n", NULL, 0);
	fake_loop_pass(loop, 0);
	ck_assert_uint_eq(seen.n_listen, 2);
	ck_assert_int_eq(seen.listen_fd, -1);
	ck_assert_str_eq(seen.problem, "not allowed");
	/* Neither descriptor nor problem. */
	ck_assert_int_eq(
		notify_listen(link_, NOTIFY_UDP, &udp, "", on_listen, NULL), 0);
	keeper_says("LISTEN=udp 192.0.2.1:5060\n", NULL, 0);
	fake_loop_pass(loop, 0);
	ck_assert_int_eq(seen.listen_fd, -1);
	ck_assert_str_eq(seen.problem, "no descriptor came");
	(void)close(fd);
	end();
}
END_TEST

START_TEST(test_orphan)
{
	begin();
	keeper_accepts();
	keeper_says("FDSDONE=1\n", NULL, 0);
	fake_loop_pass(loop, 0);
	notify_ready(link_);
	keeper_gone();
	fake_loop_pass(loop, NOTIFY_ORPHAN_US - CLOCK_US_PER_S);
	ck_assert_uint_eq(seen.n_down, 1);
	ck_assert_uint_eq(seen.n_orphan, 0);
	fake_loop_pass(loop, 3 * CLOCK_US_PER_S);
	ck_assert_uint_eq(seen.n_orphan, 1);
	fake_loop_pass(loop, 10 * NOTIFY_ORPHAN_US);
	ck_assert_uint_eq(seen.n_orphan, 1);
	/* A new one adopts the daemon, which says that it still serves. */
	keeper_listen();
	keeper_accepts();
	ck_assert_str_eq(keeper_reads(), "READY=1\n");
	keeper_says("FDSDONE=1\n", NULL, 0);
	fake_loop_pass(loop, 0);
	ck_assert_uint_eq(seen.n_up, 2);
	end();
}
END_TEST

START_TEST(test_free_in_callbacks)
{
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC), with[3];
	struct addr local;
	unsigned what;

	with[0] = with[1] = with[2] = fd;
	ck_assert_int_eq(addr_parse("192.0.2.1:5060", &local), 0);
	for (what = 0; what < 3; what++) {
		unsigned before;

		begin();
		ck_assert_int_eq(notify_listen(link_, NOTIFY_UDP, &local, "",
					 on_listen, NULL),
			0);
		keeper_accepts();
		before = count_fds();
		seen.free_in_up = what == 0;
		seen.free_in_fd = what == 1;
		seen.free_in_listen = what == 2;
		keeper_says(what == 0   ? "FDSDONE=1\n"
			    : what == 1 ? "FDNAME=a\n"
					: "LISTEN=udp 192.0.2.1:5060\n",
			with, what ? 3 : 0);
		keeper_says("FDSDONE=1\n", NULL, 0);
		fake_loop_pass(loop, CLOCK_US_PER_S);
		ck_assert_ptr_null(link_);
		ck_assert_uint_eq(count_fds(), before - 1);
		end();
	}
	(void)close(fd);
}
END_TEST

START_TEST(test_by_hand)
{
	struct addr local, taken = {0};
	struct sockaddr_storage sa;
	socklen_t len = sizeof(sa);
	int fd;

	log_open("test", LOG_LEVEL_ERR);
	memset(&seen, 0, sizeof(seen));
	ck_assert_int_eq(fake_loop_new(&loop), 0);
	ck_assert_int_eq(
		notify_new(loop, NULL, PROCESS_SBC, &events, NULL, &link_), 0);
	ck_assert_uint_eq(seen.n_up, 0);
	fake_loop_pass(loop, 0);
	ck_assert_uint_eq(seen.n_up, 1);
	notify_ready(link_);
	notify_status(link_, "x");
	fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	ck_assert_int_eq(notify_store(link_, "a", &fd, 1), ERR_AWAY);
	(void)close(fd);
	ck_assert_int_eq(addr_parse("127.0.0.1", &local), 0);
	ck_assert_int_eq(
		notify_listen(link_, NOTIFY_TCP, &local, "", on_listen, NULL),
		0);
	ck_assert_uint_eq(seen.n_listen, 0);
	fake_loop_pass(loop, 0);
	ck_assert_uint_eq(seen.n_listen, 1);
	ck_assert_int_ge(seen.listen_fd, 0);
	/* A port that is taken is a problem with words. */
	ck_assert_int_eq(
		notify_open_socket(NOTIFY_UDP, &local, "", false, &fd), 0);
	ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&sa, &len), 0);
	ck_assert_int_eq(
		addr_from_sockaddr((struct sockaddr *)&sa, len, &taken), 0);
	ck_assert_int_eq(
		notify_listen(link_, NOTIFY_UDP, &taken, "", on_listen, NULL),
		0);
	fake_loop_pass(loop, 10 * NOTIFY_ORPHAN_US);
	ck_assert_int_eq(seen.listen_fd, -1);
	ck_assert_str_eq(seen.problem, strerror(EADDRINUSE));
	ck_assert_uint_eq(seen.n_orphan + seen.n_down, 0);
	(void)close(fd);
	ck_assert_int_eq(notify_open_socket(
				 NOTIFY_UDP, &(struct addr){0}, "", false, &fd),
		ERR_INVALID);
	notify_free(&link_);
	loop_free(&loop);
}
END_TEST

START_TEST(test_kinds)
{
	enum notify_kind k, back;

	for (k = 0; k < NOTIFY_KIND_COUNT; k++) {
		ck_assert_int_eq(
			notify_kind_parse(notify_kind_name(k), &back), 0);
		ck_assert_int_eq(k, back);
	}
	ck_assert_int_eq(notify_kind_parse("sctp", &back), ERR_NOT_FOUND);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("notify");

	suite_add(s, "word", test_word);
	suite_add(s, "packets", test_packets);
	suite_add(s, "surplus", test_surplus);
	suite_add(s, "start", test_start);
	suite_add(s, "words_out", test_words_out);
	suite_add(s, "store", test_store);
	suite_add(s, "store_queue", test_store_queue);
	suite_add(s, "listen", test_listen);
	suite_add(s, "orphan", test_orphan);
	suite_add(s, "free_in_callbacks", test_free_in_callbacks);
	suite_add(s, "by_hand", test_by_hand);
	suite_add(s, "kinds", test_kinds);
	return suite_run(s);
}
