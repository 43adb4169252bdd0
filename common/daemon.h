/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one life of every process. Each main() reads as the same list:
 *
 *	daemon_options	command line: -c FILE, -t, -f, -V, -h
 *	daemon_config	the file; -t ends here
 *	daemon_begin	log, loop, signals, link to keeper
 *	(own sockets and state)
 *	daemon_sandbox	rights away
 *	(peers and hello)
 *	daemon_run	READY once the process says so; the loop; drain; stop
 *	daemon_end	everything freed in reverse
 *
 * SIGTERM and SIGINT stop, SIGHUP reloads where a process has something to
 * reload. SIGPIPE is ignored everywhere.
 *
 * Live state and SIGTERM: whoever stops with work in progress (calls that are
 * up) leaves it to the next process (store_close()), as after a kill, so that
 * an upgrade is a restart; without any, it leaves nothing (store_end()). Who
 * wants the calls to end drains first: sbc ends them, and mediad's sessions end
 * with them. When keeper ends, what it held is gone.
 */
#ifndef COMMON_DAEMON_H
#define COMMON_DAEMON_H

#include <stdbool.h>
#include <stddef.h>

#include "common/conf.h"
#include "common/err.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/notify.h"
#include "common/process.h"
#include "common/sandbox.h"

/** Settings that every daemon's file has; first member of its own struct. */
struct daemon_settings {
	char *log_level;
	char *runtime_dir; /* sockets of all processes live here */
	uint64_t orphan_timeout_s;
};

/** Rows for a daemon's option table. type = its settings struct, whose first
 * member is `struct daemon_settings common`. */
#define DAEMON_OPTIONS(type)                                                   \
	{"log_level", CONF_STRING, offsetof(type, common.log_level), "info",   \
		0, 16, "", "err, warning, notice, info or debug"},             \
		{"runtime_dir", CONF_STRING,                                   \
			offsetof(type, common.runtime_dir), RUNTIME_DIR, 0,    \
			80, "", "folder of the processes' sockets"},           \
	{                                                                      \
		"orphan_timeout", CONF_UINT,                                   \
			offsetof(type, common.orphan_timeout_s), "60", 1,      \
			3600, "s",                                             \
			"a daemon ends when no keeper has come for so long"    \
	}

struct daemon {
	/* Set by the process before daemon_options(). */
	enum process self;
	const char *summary; /* one line for -h */
	const struct conf_option *options;
	size_t n_options;
	void *settings; /* zeroed; starts with struct daemon_settings */
	/* Checks that rows cannot express; NULL if none.
	 * @return 0, or ERR_INVALID with problem written. */
	int (*check)(void *settings, char *problem);
	/* Makes the loop; NULL = daemon_default_loop(). */
	int (*make_loop)(struct daemon *d, struct loop **loop_out);
	/* All but on_up may be NULL; the whole may be NULL for keeper, which
	 * has no keeper. An orphan stops unless on_orphan says otherwise. */
	const struct notify_events *keeper_events;
	void (*on_stop)(void *ctx);   /* NULL: the loop stops at once */
	void (*on_reload)(void *ctx); /* SIGHUP; NULL: ignored */
	void *ctx;                    /* for all callbacks above */

	/* Filled by the functions below. */
	struct loop *loop;
	struct notify *keeper;
	struct process_users users;
	unsigned sandbox_level;
	const char *config_path;
	bool by_hand; /* -f: no keeper, own user, log to the terminal */
	bool only_check;
	bool stopping;
	int signal_fd; /* 0: none */
	struct loop_fd *signal_watch;
};

/** loop_event_new() in libcommon_event, ERR_STATE in libcommon alone. */
GH_MUST_CHECK int daemon_default_loop(struct loop **loop_out);

/** @return 0 to go on; 1 to exit with success (-h, -V); ERR_INVALID after a
 * line on standard error. */
GH_MUST_CHECK int daemon_options(struct daemon *d, int argc, char **argv);
/** @return 0; 1 if -t and all is well; ERR_INVALID after a line on stderr. */
GH_MUST_CHECK int daemon_config(struct daemon *d);
GH_MUST_CHECK int daemon_begin(struct daemon *d);
GH_MUST_CHECK int daemon_sandbox(
	struct daemon *d, const struct sandbox_profile *profile);
/** Says READY to keeper; call when the process can serve. */
void daemon_ready(struct daemon *d);
/** Runs until daemon_stop(). */
GH_MUST_CHECK int daemon_run(struct daemon *d);
void daemon_stop(struct daemon *d);
/** Safe at any point of the list above. */
void daemon_end(struct daemon *d);

/** Writes "<runtime_dir>/<process>.sock" for a process's IPC socket.
 * @return 0, or ERR_TOO_BIG. */
GH_MUST_CHECK int daemon_socket_path(
	const struct daemon *d, enum process p, char *path, size_t size);

#endif
