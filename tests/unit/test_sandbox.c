/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sandbox, seen from inside: each row runs in a child of its own, because
 * nothing takes a sandbox off again.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/netlink.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/notify.h"
#include "common/sandbox.h"
#include "common/sandbox_extra.h"
#include "common/secret.h"
#include "tests/unit/suite.h"

static char dir[64], readable[96], writable[96], outside[96];

static void make_file(const char *folder, const char *name)
{
	char path[160];
	int fd;

	(void)snprintf(path, sizeof(path), "%s/%s", folder, name);
	fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, "x", 1), 1);
	(void)close(fd);
}

static void begin(void)
{
	log_open("test", LOG_LEVEL_ERR);
	(void)snprintf(dir, sizeof(dir), "/tmp/gh-box-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	(void)snprintf(readable, sizeof(readable), "%s/readable", dir);
	(void)snprintf(writable, sizeof(writable), "%s/writable", dir);
	(void)snprintf(outside, sizeof(outside), "%s/outside", dir);
	ck_assert_int_eq(mkdir(readable, 0700), 0);
	ck_assert_int_eq(mkdir(writable, 0700), 0);
	ck_assert_int_eq(mkdir(outside, 0700), 0);
	make_file(readable, "file");
	make_file(writable, "file");
	make_file(outside, "file");
}

static void end(void)
{
	char command[96];

	(void)snprintf(command, sizeof(command), "rm -r %s", dir);
	ck_assert_int_eq(system(command), 0);
}

static unsigned enter(struct sandbox_profile *profile)
{
	const struct sandbox_path paths[] = {{readable, SANDBOX_READ},
		{writable, SANDBOX_READ | SANDBOX_WRITE},
		{"/nonexistent/folder", SANDBOX_READ}};
	unsigned level;

	profile->paths = paths;
	profile->n_paths = 3;
	if (sandbox_enter(profile, &level))
		_exit(99);
	return level;
}

/* Runs fn in a child. @return its wait status. */
static int in_child(void (*fn)(int arg), int arg)
{
	pid_t pid = fork();
	int status;

	ck_assert_int_ge(pid, 0);
	if (!pid) {
		fn(arg);
		_exit(0);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	return status;
}

/* In a child: says which expectation failed by its exit status. */
#define EXPECT(what)                                                           \
	do {                                                                   \
		if (!(what)) {                                                 \
			fprintf(stderr, "line %d: %s (errno %d)\n", __LINE__,  \
				#what, errno);                                 \
			_exit(1);                                              \
		}                                                              \
	} while (0)

#define ck_assert_exited(status, code)                                         \
	do {                                                                   \
		int status_ = (status);                                        \
		ck_assert_msg(                                                 \
			WIFEXITED(status_) && WEXITSTATUS(status_) == (code),  \
			"status %#x", (unsigned)status_);                      \
	} while (0)

/* ---------------------------------------------------------------- levels */

static void check_level(int arg)
{
	struct sandbox_profile profile = {0};
	unsigned possible = sandbox_possible();
	char text[SANDBOX_LEVEL_TEXT_SIZE];

	(void)arg;
	EXPECT(enter(&profile) == possible);
	(void)sandbox_level_text(possible, text, sizeof(text));
	EXPECT(strstr(text, "no_new_privs") != NULL);
	EXPECT(strstr(text, "seccomp") != NULL);
}

START_TEST(test_level)
{
	char text[SANDBOX_LEVEL_TEXT_SIZE];
	long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, 1);
	unsigned full = SANDBOX_FULL;

	begin();
	if (abi < 4)
		full &= ~(unsigned)SANDBOX_LANDLOCK_NET;
	if (abi < 1)
		full &= ~(unsigned)SANDBOX_LANDLOCK_FS;
	if (sandbox_extra_dumpable)
		full &= ~(unsigned)SANDBOX_NO_DUMP;
	ck_assert_uint_eq(sandbox_possible(), full);
	ck_assert_exited(in_child(check_level, 0), 0);
	ck_assert_str_eq(sandbox_level_text(SANDBOX_FULL, text, sizeof(text)),
		"no_dump,no_new_privs,no_caps,landlock_fs,landlock_net,"
		"seccomp");
	ck_assert_str_eq(sandbox_level_text(0, text, sizeof(text)), "");
	ck_assert_str_eq(sandbox_level_text(SANDBOX_FULL, text, 3), "no");
	end();
}
END_TEST

/* ---------------------------------------------------------- system calls */

static const struct {
	const char *name;
	long nr;
} forbidden[] = {
	{"execve", SYS_execve},
	{"execveat", SYS_execveat},
	{"fork", SYS_fork},
	{"vfork", SYS_vfork},
	{"mount", SYS_mount},
	{"umount2", SYS_umount2},
	{"chroot", SYS_chroot},
	{"unshare", SYS_unshare},
	{"setns", SYS_setns},
	{"setuid", SYS_setuid},
	{"setgid", SYS_setgid},
	{"setgroups", SYS_setgroups},
	{"capset", SYS_capset},
	{"bpf", SYS_bpf},
	{"keyctl", SYS_keyctl},
	{"io_uring_setup", SYS_io_uring_setup},
	{"userfaultfd", SYS_userfaultfd},
	{"perf_event_open", SYS_perf_event_open},
	{"process_vm_writev", SYS_process_vm_writev},
	{"init_module", SYS_init_module},
	{"kexec_load", SYS_kexec_load},
	{"reboot", SYS_reboot},
	{"settimeofday", SYS_settimeofday},
	{"clock_settime", SYS_clock_settime},
	{"chown", SYS_chown},
	{"link", SYS_link},
	{"symlink", SYS_symlink},
	{"mknod", SYS_mknod},
	{"pidfd_getfd", 438},
	{"landlock_create_ruleset", SYS_landlock_create_ruleset},
	{"personality", SYS_personality},
	{"ptrace", SYS_ptrace},
	{"kill", SYS_kill},
	{"x32 getpid", 0x40000000 + SYS_getpid},
};

static void call_forbidden(int row)
{
	struct sandbox_profile profile = {0};

	(void)enter(&profile);
	(void)syscall(forbidden[row].nr, 0, 0, 0, 0, 0, 0);
}

static bool is_extra(const char *name)
{
	size_t i;

	for (i = 0; i < sandbox_n_extra_syscalls; i++) {
		if (!strcmp(sandbox_extra_syscalls[i], name))
			return true;
	}
	return false;
}

START_TEST(test_forbidden)
{
	int row;

	begin();
	for (row = 0; row < (int)(sizeof(forbidden) / sizeof(forbidden[0]));
		row++) {
		int status;

		if (is_extra(forbidden[row].name))
			continue;
		status = in_child(call_forbidden, row);
		ck_assert_msg(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS,
			"%s: status %#x", forbidden[row].name,
			(unsigned)status);
	}
	end();
}
END_TEST

static void call_named(int arg)
{
	const char *const names[] = {"setpriority"};
	struct sandbox_profile profile = {
		.syscalls = names, .n_syscalls = (size_t)arg};

	(void)enter(&profile);
	(void)setpriority(PRIO_PROCESS, 0, 0);
}

static void call_unknown(int arg)
{
	const char *const names[] = {"no_such_call"};
	struct sandbox_profile profile = {.syscalls = names, .n_syscalls = 1};
	unsigned level;

	(void)arg;
	log_open("test", LOG_LEVEL_ERR);
	EXPECT(sandbox_enter(&profile, &level) == ERR_SYSTEM);
}

/* A profile adds exactly what it names; a misspelt name is no silence. */
START_TEST(test_profile_calls)
{
	int status;

	begin();
	ck_assert_exited(in_child(call_named, 1), 0);
	status = in_child(call_named, 0);
	ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS);
	ck_assert_exited(in_child(call_unknown, 0), 0);
	end();
}
END_TEST

/* ----------------------------------------------------------------- files */

static int try_open(const char *folder, const char *name, int flags)
{
	char path[160];
	int fd;

	(void)snprintf(path, sizeof(path), "%s/%s", folder, name);
	fd = open(path, flags | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	(void)close(fd);
	return 0;
}

static void check_files(int arg)
{
	struct sandbox_profile profile = {0};
	char from[160], to[160];

	(void)arg;
	(void)enter(&profile);
	EXPECT(try_open(readable, "file", O_RDONLY) == 0);
	EXPECT(try_open(readable, "file", O_WRONLY) == -EACCES);
	EXPECT(try_open(readable, "new", O_WRONLY | O_CREAT) == -EACCES);
	EXPECT(try_open(readable, "../outside/file", O_RDONLY) == -EACCES);
	EXPECT(try_open(writable, "file", O_RDWR | O_TRUNC) == 0);
	EXPECT(try_open(writable, "new", O_WRONLY | O_CREAT | O_EXCL) == 0);
	EXPECT(try_open(outside, "file", O_RDONLY) == -EACCES);
	EXPECT(try_open(outside, "file", O_WRONLY) == -EACCES);
	EXPECT(try_open("/etc", "passwd", O_RDONLY) == -EACCES);
	EXPECT(try_open("/", ".", O_RDONLY | O_DIRECTORY) == -EACCES);
	/* Writing safely: a new file that takes the old one's name. */
	(void)snprintf(from, sizeof(from), "%s/new", writable);
	(void)snprintf(to, sizeof(to), "%s/file", writable);
	EXPECT(rename(from, to) == 0);
	EXPECT(unlink(to) == 0);
	(void)snprintf(to, sizeof(to), "%s/file", outside);
	EXPECT(unlink(to) < 0 && errno == EACCES);
}

START_TEST(test_files)
{
	begin();
	if (sandbox_possible() & SANDBOX_LANDLOCK_FS)
		ck_assert_exited(in_child(check_files, 0), 0);
	end();
}
END_TEST

/* --------------------------------------------------------------- sockets */

static int try_socket(int family, int type, int protocol)
{
	int fd = socket(family, type | SOCK_CLOEXEC, protocol);

	if (fd < 0)
		return -errno;
	(void)close(fd);
	return 0;
}

static void check_sockets(int arg)
{
	struct sandbox_profile profile = {0};

	(void)arg;
	(void)enter(&profile);
	EXPECT(try_socket(AF_UNIX, SOCK_SEQPACKET, 0) == 0);
	EXPECT(try_socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0) == 0);
	EXPECT(try_socket(AF_INET6, SOCK_DGRAM, 0) == 0);
	EXPECT(try_socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE) == 0);
	EXPECT(try_socket(AF_INET, SOCK_STREAM, 0) == -EAFNOSUPPORT);
	EXPECT(try_socket(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK, 0) ==
		-EAFNOSUPPORT);
	EXPECT(try_socket(AF_PACKET, SOCK_RAW, 0) == -EAFNOSUPPORT);
	EXPECT(try_socket(AF_VSOCK, SOCK_STREAM, 0) == -EAFNOSUPPORT);
	EXPECT(try_socket(AF_ALG, SOCK_SEQPACKET, 0) == -EAFNOSUPPORT);
}

static void check_no_ip(int arg)
{
	struct sandbox_profile profile = {.no_ip = true};

	(void)arg;
	(void)enter(&profile);
	EXPECT(try_socket(AF_UNIX, SOCK_STREAM, 0) == 0);
	EXPECT(try_socket(AF_INET, SOCK_DGRAM, 0) == -EAFNOSUPPORT);
	EXPECT(try_socket(AF_INET6, SOCK_STREAM, 0) == -EAFNOSUPPORT);
}

static void raw_socket(int family)
{
	struct sandbox_profile profile = {0};

	(void)enter(&profile);
	(void)try_socket(family, SOCK_RAW, NETLINK_AUDIT);
}

/* TCP is a matter of the profile: connect without bind, or nothing. */
static void check_tcp(int arg)
{
	struct sandbox_profile profile = {.may_tcp_connect = true};
	struct sockaddr_in in = {.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
		.sin_port = htons((uint16_t)arg)};
	int fd;

	(void)enter(&profile);
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	EXPECT(fd >= 0);
	EXPECT(connect(fd, (struct sockaddr *)&in, sizeof(in)) == 0);
	(void)close(fd);
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	EXPECT(fd >= 0);
	in.sin_port = 0;
	EXPECT(bind(fd, (struct sockaddr *)&in, sizeof(in)) < 0 &&
		errno == EACCES);
}

START_TEST(test_sockets)
{
	struct sockaddr_in in = {.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(in);
	int status, fd;

	begin();
	ck_assert_exited(in_child(check_sockets, 0), 0);
	ck_assert_exited(in_child(check_no_ip, 0), 0);
	status = in_child(raw_socket, AF_INET);
	ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS);
	status = in_child(raw_socket, AF_NETLINK);
	ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS);
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&in, sizeof(in)), 0);
	ck_assert_int_eq(listen(fd, 5), 0);
	ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&in, &len), 0);
	if (sandbox_possible() & SANDBOX_LANDLOCK_NET)
		ck_assert_exited(in_child(check_tcp, ntohs(in.sin_port)), 0);
	(void)close(fd);
	end();
}
END_TEST

/* ---------------------------------------------------------- memory, rights */

static void *thread(void *arg)
{
	return arg;
}

static void check_memory(int arg)
{
	struct sandbox_profile profile = {0};
	pthread_t t;
	void *p, *result = NULL;

	(void)arg;
	(void)enter(&profile);
	EXPECT(mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED &&
		errno == EPERM);
	p = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	EXPECT(p != MAP_FAILED);
	EXPECT(mprotect(p, 4096, PROT_READ | PROT_EXEC) < 0 && errno == EPERM);
	EXPECT(mprotect(p, 4096, PROT_READ) == 0);
	/* Threads may come later. */
	EXPECT(pthread_create(&t, NULL, thread, p) == 0);
	EXPECT(pthread_join(t, &result) == 0 && result == p);
}

static void check_rights(int arg)
{
	const char *const names[] = {"capget"};
	struct sandbox_profile profile = {.syscalls = names, .n_syscalls = 1};
	struct __user_cap_header_struct head = {
		.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct now[2];
	struct rlimit core;

	(void)arg;
	(void)enter(&profile);
	EXPECT(syscall(SYS_capget, &head, now) == 0);
	EXPECT(!now[0].effective && !now[0].permitted && !now[0].inheritable);
	EXPECT(!now[1].effective && !now[1].permitted && !now[1].inheritable);
	EXPECT(getrlimit(RLIMIT_CORE, &core) == 0 && core.rlim_max == 0);
}

static pthread_mutex_t hold = PTHREAD_MUTEX_INITIALIZER;

static void *wait_for_lock(void *arg)
{
	(void)pthread_mutex_lock(&hold);
	return arg;
}

static void check_threaded(int arg)
{
	struct sandbox_profile profile = {0};
	unsigned level;
	pthread_t t;

	(void)arg;
	(void)pthread_mutex_lock(&hold);
	EXPECT(pthread_create(&t, NULL, wait_for_lock, NULL) == 0);
	EXPECT(sandbox_enter(&profile, &level) == ERR_STATE);
}

START_TEST(test_memory)
{
	begin();
	ck_assert_exited(in_child(check_memory, 0), 0);
	ck_assert_exited(in_child(check_rights, 0), 0);
	ck_assert_exited(in_child(check_threaded, 0), 0);
	end();
}
END_TEST

/* -------------------------------------------------------- ordinary life */

static void on_timer(void *arg)
{
	loop_stop(*(struct loop **)arg);
}

/* What every daemon does after it has entered. */
static void check_life(int arg)
{
	struct sandbox_profile profile = {0};
	char text[NOTIFY_TEXT_MAX + 1];
	int fds[NOTIFY_FDS_MAX], pair[2], memory;
	struct secret s = {0};
	struct loop_timer *t;
	struct loop *loop;
	struct addr local;
	size_t n_fds;

	(void)enter(&profile);
	log_set_level(LOG_LEVEL_DEBUG);
	log_debug("inside", LOG_ERRNO(ENOENT));
	EXPECT(loop_event_new(&loop) == 0);
	EXPECT(loop_timer_new(loop, on_timer, &loop, &t) == 0);
	loop_timer_set(loop, t, 2000);
	EXPECT(loop_run(loop) == 0);
	loop_timer_free(loop, &t);
	loop_free(&loop);
	EXPECT(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair) == 0);
	memory = memfd_create("state", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	EXPECT(memory >= 0 && ftruncate(memory, 8192) == 0);
	EXPECT(fcntl(memory, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) == 0);
	EXPECT(notify_send_fds(pair[0], "FDSTORE=1\n", &memory, 1) == 0);
	EXPECT(notify_recv_fds(pair[1], text, fds, &n_fds) > 0 && n_fds == 1);
	EXPECT(addr_parse("127.0.0.1", &local) == 0);
	EXPECT(notify_open_socket(NOTIFY_UDP, &local, "", false, &fds[1]) == 0);
	EXPECT(secret_random(&s, 32) == 0);
	secret_done(&s);
	EXPECT(clock_now_us() > 0 && clock_wall_us() > 0);
	/* With the sanitizers, the leak checker runs at the end. */
	if (arg)
		exit(7);
}

START_TEST(test_life)
{
	begin();
	ck_assert_exited(in_child(check_life, 0), 0);
	ck_assert_exited(in_child(check_life, 1), 7);
	end();
}
END_TEST

int main(void)
{
	Suite *s = suite_create("sandbox");

	suite_add(s, "level", test_level);
	suite_add(s, "forbidden", test_forbidden);
	suite_add(s, "profile_calls", test_profile_calls);
	suite_add(s, "files", test_files);
	suite_add(s, "sockets", test_sockets);
	suite_add(s, "memory", test_memory);
	suite_add(s, "life", test_life);
	return suite_run(s);
}
