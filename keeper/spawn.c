/* SPDX-License-Identifier: Apache-2.0 */
#include "keeper/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/log.h"
#include "keeper/rights.h"

/* All that a daemon sees of keeper's environment; the sanitizers' settings do
 * nothing in a normal build. */
static const char *const kept_env[] = {
	"TZ", "ASAN_OPTIONS", "UBSAN_OPTIONS", "LSAN_OPTIONS"};
#define N_KEPT_ENV (sizeof(kept_env) / sizeof(kept_env[0]))

static void env_make(char text[N_KEPT_ENV][512], char *env[N_KEPT_ENV + 3])
{
	static char path[] = "PATH=/usr/sbin:/usr/bin:/sbin:/bin";
	static char lang[] = "LC_ALL=C.UTF-8";
	size_t n = 0;

	env[n++] = path;
	env[n++] = lang;
	for (size_t i = 0; i < N_KEPT_ENV; i++) {
		const char *value = getenv(kept_env[i]);

		if (!value || snprintf(text[i], sizeof(text[i]), "%s=%s",
				      kept_env[i], value) >= 512)
			continue;
		env[n++] = text[i];
	}
	env[n] = NULL;
}

static void signals_reset(void)
{
	sigset_t none;

	/* Ignored and blocked signals are inherited over exec. */
	for (int s = 1; s < NSIG; s++)
		signal(s, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

static int limits_set(void)
{
	struct rlimit files, core = {0, 0};

	if (getrlimit(RLIMIT_NOFILE, &files))
		return ERR_SYSTEM;
	files.rlim_cur = files.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &files) || setrlimit(RLIMIT_CORE, &core))
		return ERR_SYSTEM;
	return 0;
}

static int files_set(void)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	/* Standard error is keeper's: that is where log lines go. */
	if (null < 0 || dup2(null, STDIN_FILENO) < 0 ||
		dup2(STDERR_FILENO, STDOUT_FILENO) < 0 ||
		close_range(3, ~0u, CLOSE_RANGE_CLOEXEC))
		return ERR_SYSTEM;
	return 0;
}

/* Ctrl-C on keeper's terminal is for keeper alone: daemons are stopped in
 * order. */
static int session_set(void)
{
	umask(S_IRWXO);
	return setsid() < 0 || chdir("/") ? ERR_SYSTEM : 0;
}

static int user_set(const struct child_plan *plan)
{
	if (prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0) || setgroups(1, &plan->gid) ||
		setresgid(plan->gid, plan->gid, plan->gid))
		return ERR_SYSTEM;
	rights_bounding_clear();
	if (setresuid(plan->uid, plan->uid, plan->uid))
		return ERR_SYSTEM;
	if (rights_set(0) || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return ERR_SYSTEM;
	return 0;
}

static _Noreturn void child_main(
	const struct child_plan *plan, int program, int gate)
{
	char conf_flag[] = "-c", exe[PATH_MAX], conf[PATH_MAX];
	char env_text[N_KEPT_ENV][512], *env[N_KEPT_ENV + 3];
	char *const argv[] = {exe, conf_flag, conf, NULL};
	const char *step = "wait";
	char go;

	if (read(gate, &go, 1) != 1)
		_exit(125); /* keeper died: its follower starts us */
	env_make(env_text, env);
	snprintf(exe, sizeof(exe), "%s", plan->exe);
	snprintf(conf, sizeof(conf), "%s", plan->conf);
	signals_reset();
	if ((step = "session", session_set()) == 0 &&
		(step = "limits", limits_set()) == 0 &&
		(step = "files", files_set()) == 0 &&
		(step = "user", user_set(plan)) == 0) {
		step = "exec";
		fexecve(program, argv, env);
	}
	log_err("daemon_exec", LOG_STR("daemon", process_name(plan->process)),
		LOG_STR("step", step), LOG_STR("path", plan->exe),
		LOG_ERRNO(errno));
	_exit(127);
}

int spawn(const struct child_plan *plan, int program, pid_t *pid_out,
	int *pidfd_out, int *gate_out)
{
	int gate[2], pidfd, saved;
	pid_t pid;

	if (pipe2(gate, O_CLOEXEC))
		return ERR_SYSTEM;
	pid = fork();
	if (pid == 0) {
		close(gate[1]);
		child_main(plan, program, gate[0]);
	}
	saved = errno;
	close(gate[0]);
	if (pid < 0)
		goto fail;
	pidfd = pidfd_open(pid, 0);
	if (pidfd < 0) {
		saved = errno;
		goto fail; /* the closed gate ends it */
	}
	*pid_out = pid;
	*pidfd_out = pidfd;
	*gate_out = gate[1];
	return 0;
fail:
	close(gate[1]);
	errno = saved;
	return ERR_SYSTEM;
}

void spawn_go(int gate)
{
	const char go = 1;

	/* The other end can only be gone with the process: its pidfd tells. */
	if (write(gate, &go, 1) != 1)
		log_warning("daemon_gate", LOG_ERRNO(errno));
	close(gate);
}
