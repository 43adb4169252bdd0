/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/flowd_child.h"

#include <check.h>
#include <ftw.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "ctl/pki.h"

#define PATH_SIZE 256

static void make_cert(const char *dir, const char *name, const char *host)
{
	char ca_crt[PATH_SIZE], ca_key[PATH_SIZE];
	char crt[PATH_SIZE], key[PATH_SIZE], problem[PKI_PROBLEM_SIZE];
	struct pki_order ca = {.kind = PKI_CA,
		.subject = "ca",
		.crt = ca_crt,
		.key = ca_key,
		.not_before_s = time(NULL) - 60,
		.not_after_s = time(NULL) + 86400};
	struct pki_order own = {.kind = PKI_SERVER,
		.subject = name,
		.names = &host,
		.n_names = 1,
		.ca_crt = ca_crt,
		.ca_key = ca_key,
		.crt = crt,
		.key = key,
		.not_before_s = time(NULL) - 60,
		.not_after_s = time(NULL) + 86400};

	snprintf(ca_crt, PATH_SIZE, "%s/ca/ca.crt", dir);
	snprintf(ca_key, PATH_SIZE, "%s/ca/ca.key", dir);
	snprintf(crt, PATH_SIZE, "%s/tls/%s.crt", dir, name);
	snprintf(key, PATH_SIZE, "%s/tls/%s.key", dir, name);
	ck_assert_int_eq(pki_make(&ca, problem), 0);
	ck_assert_int_eq(pki_make(&own, problem), 0);
}

void flowd_child_prepare(const char *dir, const char *name, const char *host)
{
	char path[PATH_SIZE];
	FILE *f;

	snprintf(path, PATH_SIZE, "%s/tls", dir);
	ck_assert_int_eq(mkdir(path, 0700), 0);
	snprintf(path, PATH_SIZE, "%s/ca", dir);
	ck_assert_int_eq(mkdir(path, 0700), 0);
	make_cert(dir, name, host);
	snprintf(path, PATH_SIZE, "%s/flowd.conf", dir);
	f = fopen(path, "w");
	ck_assert_ptr_nonnull(f);
	fprintf(f,
		"runtime_dir = \"%s\"\ntls_dir = \"%s/tls\"\n"
		"ca_dir = \"%s/ca\"\nlog_level = \"%s\"\n",
		dir, dir, dir,
		getenv("FLOWD_LOG") ? getenv("FLOWD_LOG") : "err");
	fclose(f);
}

pid_t flowd_child_start(const char *dir)
{
	char exe[PATH_MAX], conf[PATH_SIZE], *slash;
	ssize_t n = readlink("/proc/self/exe", exe, sizeof(exe) - 32);
	pid_t pid;

	/* <build>/tests/unit/<test>: flowd is beside tests. */
	ck_assert_int_gt(n, 0);
	exe[n] = '\0';
	for (unsigned i = 0; i < 3; i++) {
		slash = strrchr(exe, '/');
		ck_assert_ptr_nonnull(slash);
		*slash = '\0';
	}
	strcat(exe, "/flowd/flowd");
	snprintf(conf, PATH_SIZE, "%s/flowd.conf", dir);
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		execl(exe, "flowd", "-f", "-c", conf, NULL);
		_exit(127);
	}
	return pid;
}

void flowd_child_kill(pid_t pid)
{
	int status = 0;

	ck_assert_int_eq(kill(pid, SIGKILL), 0);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_msg(WIFSIGNALED(status), "flowd had ended by itself: %d",
		WEXITSTATUS(status));
}

static int remove_one(
	const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	return ftw->level == 0 ? 0 : remove(path);
}

void flowd_child_clean(const char *dir)
{
	(void)nftw(dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}
