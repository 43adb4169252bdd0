/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Gives up every right that a daemon does not need (sandbox.h), in this order:
 * dumps, capabilities, new privileges, file system and TCP (landlock), system
 * calls (seccomp). Landlock is spoken by raw system calls because Debian 12 has
 * neither wrappers nor the later constants; each kernel gets all rules that its
 * version of landlock knows.
 *
 * A system call outside the list kills the process. Three things fail softly
 * instead, because correct libraries try them and go on: clone3 (glibc then
 * uses clone), executable mappings (loading a library), and sockets of families
 * that the profile does not have.
 */
#include "common/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/netlink.h>
#include <sched.h>
#include <seccomp.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/log.h"
#include "common/sandbox_extra.h"

/* ------------------------------------------------------------- landlock */

/* linux/landlock.h of newer kernels, by value: the ABI probe decides what is
 * used. */
#define LL_CREATE_RULESET_VERSION 1u
#define LL_RULE_PATH_BENEATH      1
#define LL_FS_WRITE_FILE          (1ULL << 1)
#define LL_FS_READ_FILE           (1ULL << 2)
#define LL_FS_READ_DIR            (1ULL << 3)
#define LL_FS_REMOVE_DIR          (1ULL << 4)
#define LL_FS_REMOVE_FILE         (1ULL << 5)
#define LL_FS_MAKE_DIR            (1ULL << 7)
#define LL_FS_MAKE_REG            (1ULL << 8)
#define LL_FS_MAKE_SOCK           (1ULL << 9)
#define LL_FS_REFER               (1ULL << 13) /* ABI 2 */
#define LL_FS_TRUNCATE            (1ULL << 14) /* ABI 3 */
#define LL_RULE_NET_PORT          2
#define LL_NET_BIND_TCP           1ULL         /* ABI 4 */
#define LL_NET_CONNECT_TCP        2ULL
#define LL_SCOPE_ALL              3ULL /* ABI 6: abstract sockets, signals */

struct ll_ruleset {
	uint64_t handled_fs;
	uint64_t handled_net;
	uint64_t scoped;
};

struct ll_path_beneath {
	uint64_t allowed;
	int32_t parent_fd;
} __attribute__((packed));

struct ll_net_port {
	uint64_t allowed;
	uint64_t port;
};

static int ll_abi(void)
{
	long abi = syscall(SYS_landlock_create_ruleset, NULL, (size_t)0,
		LL_CREATE_RULESET_VERSION);

	return abi > 0 ? (int)abi : 0;
}

/* All file system rights that an ABI knows: bit 13 came with ABI 2, 14 with 3,
 * 15 (ioctl on devices) with 5. */
static uint64_t ll_fs_all(int abi)
{
	unsigned n = abi >= 5 ? 16 : abi >= 3 ? 15 : abi >= 2 ? 14 : 13;

	return (1ULL << n) - 1;
}

/* Opens one path of the profile in the ruleset. */
static int ll_allow(int ruleset, int abi, const struct sandbox_path *p)
{
	struct ll_path_beneath rule = {0};
	struct stat st;
	int rc = 0;

	if (p->access & SANDBOX_READ)
		rule.allowed |= LL_FS_READ_FILE | LL_FS_READ_DIR;
	if (p->access & SANDBOX_WRITE)
		rule.allowed |= LL_FS_WRITE_FILE | LL_FS_TRUNCATE |
				LL_FS_REMOVE_FILE | LL_FS_REMOVE_DIR |
				LL_FS_MAKE_DIR | LL_FS_MAKE_REG |
				LL_FS_MAKE_SOCK | LL_FS_REFER;
	rule.parent_fd = open(p->path, O_PATH | O_CLOEXEC);
	if (rule.parent_fd < 0)
		return errno == ENOENT ? 0 : ERR_SYSTEM;
	if (fstat(rule.parent_fd, &st))
		rc = ERR_SYSTEM;
	else if (!S_ISDIR(st.st_mode))
		rule.allowed &=
			LL_FS_READ_FILE | LL_FS_WRITE_FILE | LL_FS_TRUNCATE;
	rule.allowed &= ll_fs_all(abi);
	if (!rc && rule.allowed &&
		syscall(SYS_landlock_add_rule, ruleset, LL_RULE_PATH_BENEATH,
			&rule, 0u))
		rc = ERR_SYSTEM;
	(void)close(rule.parent_fd);
	return rc;
}

static int ll_allow_all(
	int ruleset, int abi, const struct sandbox_path *paths, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++) {
		if (ll_allow(ruleset, abi, &paths[i])) {
			log_err("sandbox_path_failed",
				LOG_STR("path", paths[i].path),
				LOG_ERRNO(errno));
			return ERR_SYSTEM;
		}
	}
	return 0;
}

/* Port 0 is "any free one": the kernel knows it as a rule of its own. */
static int ll_allow_any_port(int ruleset)
{
	struct ll_net_port rule = {.allowed = LL_NET_BIND_TCP, .port = 0};

	return syscall(SYS_landlock_add_rule, ruleset, LL_RULE_NET_PORT, &rule,
		       0u)
		       ? ERR_SYSTEM
		       : 0;
}

static int enter_landlock(const struct sandbox_profile *profile, int abi)
{
	struct ll_ruleset attr = {.handled_fs = ll_fs_all(abi)};
	/* The kernel refuses a struct with bits that it does not know, and
	 * takes a shorter one. */
	size_t size = sizeof(attr.handled_fs);
	int ruleset, rc;

	if (abi >= 4) {
		if (!profile->may_tcp_bind)
			attr.handled_net |= LL_NET_BIND_TCP;
		if (!profile->may_tcp_connect)
			attr.handled_net |= LL_NET_CONNECT_TCP;
		size += sizeof(attr.handled_net);
	}
	if (abi >= 6) {
		attr.scoped = LL_SCOPE_ALL;
		size += sizeof(attr.scoped);
	}
	ruleset = (int)syscall(SYS_landlock_create_ruleset, &attr, size, 0u);
	if (ruleset < 0)
		return ERR_SYSTEM;
	rc = ll_allow_all(ruleset, abi, profile->paths, profile->n_paths);
	if (!rc)
		rc = ll_allow_all(ruleset, abi, sandbox_extra_paths,
			sandbox_n_extra_paths);
	if (!rc && (attr.handled_net & LL_NET_BIND_TCP) &&
		profile->may_tcp_bind_any)
		rc = ll_allow_any_port(ruleset);
	if (!rc && syscall(SYS_landlock_restrict_self, ruleset, 0u))
		rc = ERR_SYSTEM;
	(void)close(ruleset);
	return rc;
}

/* -------------------------------------------------------------- seccomp */

/* What libc, libevent, OpenSSL and our own modules need in every daemon. */
static const char *const common_syscalls[] = {
	/* descriptors and files; which files is landlock's matter */
	"read", "readv", "pread64", "preadv", "write", "writev", "pwrite64",
	"pwritev", "close", "close_range", "open", "openat", "fstat", "stat",
	"lstat", "newfstatat", "statx", "fstatfs", "statfs", "access",
	"faccessat", "faccessat2", "lseek", "fsync", "fdatasync", "ftruncate",
	"fallocate", "rename", "renameat", "renameat2", "unlink", "unlinkat",
	"mkdir", "mkdirat", "readlink", "readlinkat", "getdents64", "getcwd",
	"fcntl", "flock", "dup", "dup2", "dup3", "fchmod", "umask", "pipe2",
	/* events and time */
	"epoll_create1", "epoll_ctl", "epoll_wait", "epoll_pwait",
	"epoll_pwait2", "poll", "ppoll", "select", "pselect6", "eventfd2",
	"timerfd_create", "timerfd_settime", "timerfd_gettime", "signalfd4",
	"clock_gettime", "clock_getres", "clock_nanosleep", "nanosleep",
	"gettimeofday", "time", "times",
	/* sockets; socket() itself has rules of its own */
	"bind", "connect", "listen", "accept", "accept4", "getsockname",
	"getpeername", "getsockopt", "setsockopt", "sendto", "sendmsg",
	"sendmmsg", "recvfrom", "recvmsg", "recvmmsg", "shutdown",
	/* memory; mmap and mprotect have rules of their own */
	"brk", "munmap", "mremap", "madvise", "mlock", "mlock2", "munlock",
	"memfd_create", "msync", "mincore",
	/* the process itself */
	"getpid", "gettid", "getppid", "getuid", "geteuid", "getgid", "getegid",
	"getrandom", "getrusage", "uname", "sysinfo", "getcpu", "futex",
	"sched_yield", "sched_getaffinity", "rt_sigaction", "rt_sigprocmask",
	"rt_sigreturn", "rt_sigpending", "sigaltstack", "restart_syscall",
	"set_robust_list", "rseq", "membarrier", "tgkill", "exit",
	"exit_group"};

static bool is_named(const char *const *names, size_t n, const char *name)
{
	size_t i;

	for (i = 0; i < n; i++) {
		if (!strcmp(names[i], name))
			return true;
	}
	return false;
}

/* Whether profile or build allow a call without conditions. */
static bool is_free(const struct sandbox_profile *p, const char *name)
{
	return is_named(p->syscalls, p->n_syscalls, name) ||
	       is_named(sandbox_extra_syscalls, sandbox_n_extra_syscalls, name);
}

static int allow_names(scmp_filter_ctx ctx, const char *const *names, size_t n,
	bool must_exist)
{
	size_t i;

	for (i = 0; i < n; i++) {
		int nr = seccomp_syscall_resolve_name(names[i]);
		int rc;

		/* Another architecture's call, or one younger than the
		 * library. */
		if (nr == __NR_SCMP_ERROR && must_exist) {
			log_err("sandbox_unknown_syscall",
				LOG_STR("name", names[i]));
			return ERR_SYSTEM;
		}
		if (nr < 0)
			continue;
		rc = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, nr, 0);
		if (rc && rc != -EEXIST)
			return ERR_SYSTEM;
	}
	return 0;
}

static const int ip_families[] = {AF_INET, AF_INET6};

/* socket()'s type without its flags. */
static const scmp_datum_t socket_type_mask =
	~(scmp_datum_t)(SOCK_NONBLOCK | SOCK_CLOEXEC) & 0xffffffffU;

static bool may_tcp(const struct sandbox_profile *profile)
{
	return profile->may_tcp_bind || profile->may_tcp_bind_any ||
	       profile->may_tcp_connect;
}

static int allow_sockets(
	scmp_filter_ctx ctx, const struct sandbox_profile *profile)
{
	int nr = SCMP_SYS(socket), rc = 0;
	size_t i;

	if (is_free(profile, "socket"))
		return 0;
	rc |= seccomp_rule_add(
		ctx, SCMP_ACT_ALLOW, nr, 1, SCMP_A0(SCMP_CMP_EQ, AF_UNIX));
	rc |= seccomp_rule_add(ctx, SCMP_ACT_ALLOW, nr, 2,
		SCMP_A0(SCMP_CMP_EQ, AF_NETLINK),
		SCMP_A2(SCMP_CMP_EQ, NETLINK_ROUTE));
	for (i = 0; i < 2 && !profile->no_ip; i++) {
		rc |= seccomp_rule_add(ctx, SCMP_ACT_ALLOW, nr, 2,
			SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)ip_families[i]),
			SCMP_A1(SCMP_CMP_MASKED_EQ, socket_type_mask,
				SOCK_DGRAM));
		if (may_tcp(profile))
			rc |= seccomp_rule_add(ctx, SCMP_ACT_ALLOW, nr, 2,
				SCMP_A0(SCMP_CMP_EQ,
					(scmp_datum_t)ip_families[i]),
				SCMP_A1(SCMP_CMP_MASKED_EQ, socket_type_mask,
					SOCK_STREAM));
	}
	return rc ? ERR_SYSTEM : 0;
}

/* Calls that are allowed with certain arguments only. */
static int allow_conditional(
	scmp_filter_ctx ctx, const struct sandbox_profile *profile)
{
	const scmp_datum_t ioctls[] = {FIONREAD, FIONBIO, TCGETS};
	const int maps[] = {SCMP_SYS(mmap), SCMP_SYS(mprotect)};
	int rc = 0;
	size_t i;

	for (i = 0; i < 2; i++) {
		if (is_free(profile, i ? "mprotect" : "mmap"))
			continue;
		rc |= seccomp_rule_add(ctx, SCMP_ACT_ALLOW, maps[i], 1,
			SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
		rc |= seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), maps[i], 1,
			SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, PROT_EXEC));
	}
	for (i = 0; i < 3 && !is_free(profile, "ioctl"); i++)
		rc |= seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), 1,
			SCMP_A1(SCMP_CMP_MASKED_EQ, 0xffffffffU, ioctls[i]));
	if (!is_free(profile, "prctl"))
		rc |= seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(prctl), 1,
			SCMP_A0(SCMP_CMP_EQ, PR_SET_NAME));
	/* Threads, but no processes. */
	if (!is_free(profile, "clone"))
		rc |= seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1,
			SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD,
				CLONE_THREAD));
	rc |= seccomp_rule_add(
		ctx, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
	/* Own limits, nobody else's. */
	if (!is_free(profile, "prlimit64"))
		rc |= seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(prlimit64),
			1, SCMP_A0(SCMP_CMP_EQ, 0));
	return rc ? ERR_SYSTEM : 0;
}

static int build_filter(
	scmp_filter_ctx ctx, const struct sandbox_profile *profile)
{
	if (seccomp_attr_set(
		    ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS) ||
		seccomp_attr_set(ctx, SCMP_FLTATR_CTL_NNP, 1))
		return ERR_SYSTEM;
	/* A tree instead of a list: mediad's calls are many. */
	(void)seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	if (allow_names(ctx, common_syscalls,
		    sizeof(common_syscalls) / sizeof(common_syscalls[0]),
		    false) ||
		allow_names(ctx, sandbox_extra_syscalls,
			sandbox_n_extra_syscalls, false) ||
		allow_names(ctx, profile->syscalls, profile->n_syscalls, true))
		return ERR_SYSTEM;
	if (!is_free(profile, "socketpair") &&
		seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(socketpair), 1,
			SCMP_A0(SCMP_CMP_EQ, AF_UNIX)))
		return ERR_SYSTEM;
	if (allow_sockets(ctx, profile) || allow_conditional(ctx, profile))
		return ERR_SYSTEM;
	return 0;
}

/* Families that the profile does not have: libraries ask and go on. */
static int refuse_sockets(
	scmp_filter_ctx ctx, const struct sandbox_profile *profile)
{
	int nr = SCMP_SYS(socket), rc = 0;
	size_t i;

	if (is_free(profile, "socket"))
		return 0;
	rc |= seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EAFNOSUPPORT), nr, 1,
		SCMP_A0(SCMP_CMP_GT, AF_NETLINK));
	for (i = 0; i < 2; i++) {
		struct scmp_arg_cmp family =
			SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)ip_families[i]);

		if (profile->no_ip)
			rc |= seccomp_rule_add(ctx,
				SCMP_ACT_ERRNO(EAFNOSUPPORT), nr, 1, family);
		else if (!may_tcp(profile))
			/* c-ares wants TCP where an answer is too long. */
			rc |= seccomp_rule_add(ctx,
				SCMP_ACT_ERRNO(EAFNOSUPPORT), nr, 2, family,
				SCMP_A1(SCMP_CMP_MASKED_EQ, socket_type_mask,
					SOCK_STREAM));
	}
	return rc ? ERR_SYSTEM : 0;
}

static int enter_seccomp(const struct sandbox_profile *profile)
{
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_KILL_PROCESS);
	int rc;

	if (!ctx)
		return ERR_SYSTEM;
	rc = build_filter(ctx, profile);
	if (!rc)
		rc = refuse_sockets(ctx, profile);
	if (!rc && seccomp_load(ctx))
		rc = ERR_SYSTEM;
	seccomp_release(ctx);
	return rc;
}

static bool have_seccomp(void)
{
	/* EFAULT: the kernel knows filters and missed ours. */
	return prctl(PR_GET_SECCOMP, 0, 0, 0, 0) >= 0 &&
	       syscall(SYS_seccomp, 1u, 0u, NULL) < 0 && errno == EFAULT;
}

/* --------------------------------------------------------- capabilities */

static int drop_capabilities(void)
{
	struct __user_cap_header_struct head = {
		.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct none[2] = {{0}}, now[2];
	unsigned long cap;

	/* The bounding set needs a right that an unprivileged user does not
	 * have and no_new_privs makes it moot; drop what can be dropped. */
	for (cap = 0; cap < 64; cap++)
		(void)prctl(PR_CAPBSET_DROP, cap, 0, 0, 0);
	(void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	if (syscall(SYS_capset, &head, none) || syscall(SYS_capget, &head, now))
		return ERR_SYSTEM;
	if (memcmp(now, none, sizeof(none)))
		return ERR_SYSTEM;
	return 0;
}

static int forbid_dumps(void)
{
	const struct rlimit none = {0, 0};

	if (setrlimit(RLIMIT_CORE, &none))
		return ERR_SYSTEM;
	if (sandbox_extra_dumpable)
		return 0;
	return prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) ? ERR_SYSTEM : 0;
}

/* Each thread is a folder below /proc/self/task, which counts as a link. */
static bool is_threaded(void)
{
	struct stat st;

	return !stat("/proc/self/task", &st) && st.st_nlink > 3;
}

unsigned sandbox_possible(void)
{
	unsigned level = SANDBOX_NO_NEW_PRIVS | SANDBOX_NO_CAPS;
	int abi = ll_abi();

	if (!sandbox_extra_dumpable)
		level |= SANDBOX_NO_DUMP;
	if (abi >= 1)
		level |= SANDBOX_LANDLOCK_FS;
	if (abi >= 4)
		level |= SANDBOX_LANDLOCK_NET;
	if (have_seccomp())
		level |= SANDBOX_SECCOMP;
	return level;
}

int sandbox_enter(const struct sandbox_profile *profile, unsigned *level_out)
{
	unsigned level = sandbox_possible();
	const char *step;

	if (is_threaded()) {
		log_err("sandbox_threads");
		return ERR_STATE;
	}
	step = "dump";
	if (forbid_dumps())
		goto fail;
	step = "capabilities";
	if (drop_capabilities())
		goto fail;
	step = "no_new_privs";
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		goto fail;
	step = "landlock";
	if ((level & SANDBOX_LANDLOCK_FS) && enter_landlock(profile, ll_abi()))
		goto fail;
	step = "seccomp";
	if ((level & SANDBOX_SECCOMP) && enter_seccomp(profile))
		goto fail;
	*level_out = level;
	return 0;
fail:
	log_err("sandbox_failed", LOG_STR("step", step), LOG_ERRNO(errno));
	return ERR_SYSTEM;
}

const char *sandbox_level_text(unsigned level, char *text, size_t size)
{
	static const char *const names[] = {"no_dump", "no_new_privs",
		"no_caps", "landlock_fs", "landlock_net", "seccomp"};
	size_t i, len = 0;

	if (!size)
		return text;
	text[0] = '\0';
	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		int n;

		if (!(level & 1u << i))
			continue;
		n = snprintf(text + len, size - len, "%s%s", len ? "," : "",
			names[i]);
		if (n < 0 || (size_t)n >= size - len)
			break;
		len += (size_t)n;
	}
	return text;
}
