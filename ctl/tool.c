/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sbcctl's command line. It knows which daemon answers which command and how
 * to print; what a command does is the daemon's. --json prints one object per
 * line, an interface (doc/ipc.md).
 *
 * A command for several daemons goes on when one of them is away: the others'
 * answers are what an administrator needs then. The exit status is the worst.
 *
 * Exit codes: 0 done, 1 no such thing, 2 wrong usage, 3 daemon not reachable,
 * 4 refused.
 */
#include "config.h"

#include "ctl/tool.h"

#include <getopt.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "common/control.h"
#include "ctl/ask.h"
#include "ctl/cert.h"
#include "ctl/show.h"
#include "ctl/upgrade.h"

struct command {
	const char *name;
	unsigned processes; /* PROCESS_BIT()s of those that are asked */
	size_t min_args, max_args;
	const char *args;
	const char *help;
	bool old_too; /* also of a process that has made room for another */
};

#define AUTHD   PROCESS_BIT(PROCESS_AUTHD)
#define MEDIAD  PROCESS_BIT(PROCESS_MEDIAD)
#define FLOWD   PROCESS_BIT(PROCESS_FLOWD)
#define SBC     PROCESS_BIT(PROCESS_SBC)
#define DAEMONS (AUTHD | MEDIAD | FLOWD | SBC)

static const struct command commands[] = {
	{"status", DAEMONS, 0, 0, "", "what each daemon is doing", true},
	{"counters", DAEMONS, 0, 0, "", "every counter of each daemon", true},
	{"calls", SBC, 0, 0, "", "calls in progress"},
	{"registrations", SBC, 0, 0, "", "registered phones"},
	{"subscriptions", SBC, 0, 0, "", "event subscriptions of phones"},
	{"trunks", SBC, 0, 0, "", "trunks and their state"},
	{"sessions", MEDIAD, 0, 0, "", "media sessions"},
	{"session", MEDIAD, 1, 1, "CALL", "one media session"},
	{"capacity", MEDIAD, 0, 0, "", "media sessions open and possible"},
	{"bans", AUTHD, 0, 0, "", "sources that are banned"},
	{"ban-lift", AUTHD, 1, 1, "ADDRESS", "lift a ban"},
	{"data", AUTHD, 0, 0, "", "database, settings and what waits on disk"},
	{"flows", FLOWD, 0, 0, "", "connections", true},
	{"flow-close", FLOWD, 1, 1, "FLOW", "end one connection"},
	{"listeners", FLOWD, 0, 0, "", "where connections are taken"},
	{"certificates", FLOWD, 0, 0, "",
		"certificates in use, and when they end"},
	{"reload", FLOWD, 0, 0, "", "read certificates anew"},
	{"retire", FLOWD, 0, 0, "",
		"start the next flowd; the old one serves its connections"},
	{"route-test", SBC, 2, 3, "FROM TO [CALLER]",
		"where a call would go, without calling"},
	{"drain", SBC, 0, 1, "[wait|off]", "take no new calls, or again"},
	{"log-level", DAEMONS, 0, 1, "[LEVEL]",
		"show or set err, warning, notice, info or debug"},
};

#define N_COMMANDS (sizeof(commands) / sizeof(commands[0]))

static void usage(FILE *out)
{
	fprintf(out,
		"usage: sbcctl [--json] [--runtime-dir DIR] COMMAND [ARG ...]\n"
		"\n");
	for (size_t i = 0; i < N_COMMANDS; i++)
		fprintf(out, "  %-14s %-10s %s\n", commands[i].name,
			commands[i].args, commands[i].help);
	fprintf(out, "  %-14s %-10s %s\n", "upgrade", "[NAME ...]",
		"replace processes by their new programs, with calls up");
	fprintf(out, "  %-14s %-10s %s\n", "cert", "WHAT ...",
		"make certificates: sbcctl cert --help");
}

/* What one run needs beyond its command. */
struct run {
	const struct tool *tool;
	const char *runtime_dir;
	struct process_users users;
	bool json;
	bool several;
	bool unreadable; /* an answer could not be shown */
};

static void on_answer(void *ctx, enum process process, const char *json)
{
	struct run *run = ctx;
	FILE *out = run->tool->out;

	if (run->json) {
		fprintf(out, "%s\n", json);
		(void)fflush(out); /* more may come later */
		return;
	}
	if (run->several)
		fprintf(out, "--- %s\n", process_name(process));
	if (show_answer(out, json)) {
		run->unreadable = true;
		fprintf(run->tool->err,
			"sbcctl: %s sent an answer that is no JSON\n",
			process_name(process));
	}
}

/* suffix: of the socket's name; an old process that has just ended is no
 * fault. */
static enum control_exit ask_one(struct run *run, enum process p,
	const char *suffix, const struct command *command, char **args,
	size_t n_args)
{
	struct ask ask = {run->runtime_dir, &run->users, p, suffix,
		command->name, args, n_args, on_answer, run};
	enum control_exit code = CONTROL_OK;
	int err = ask_daemon(&ask, &code);

	if (!err)
		return code;
	if (suffix[0])
		return CONTROL_OK;
	fprintf(run->tool->err,
		"sbcctl: %s does not answer at %s/%s.sock: %s\n",
		process_name(p), run->runtime_dir, process_name(p),
		err_text(err));
	return CONTROL_AWAY;
}

static bool has_old(const struct run *run, enum process p, const char *suffix)
{
	char path[128];
	int n = snprintf(path, sizeof(path), "%s/%s%s.sock", run->runtime_dir,
		process_name(p), suffix);

	return n > 0 && (size_t)n < sizeof(path) && access(path, F_OK) == 0;
}

static int run_command(struct run *run, const struct command *command,
	char **args, size_t n_args)
{
	int exit_code = CONTROL_OK;

	run->several = (command->processes & (command->processes - 1)) != 0;
	for (int p = 0; p < PROCESS_COUNT; p++) {
		enum control_exit code;

		if (!(command->processes & PROCESS_BIT(p)))
			continue;
		code = ask_one(run, p, "", command, args, n_args);
		if ((int)code > exit_code)
			exit_code = (int)code;
		/* What is only looked at is looked at in all. */
		for (unsigned n = 1;
			n_args == 0 && command->old_too && n <= PROCESS_OLD_MAX;
			n++) {
			const char *suffix = process_old_suffix(n);

			if (has_old(run, p, suffix))
				(void)ask_one(
					run, p, suffix, command, args, n_args);
		}
	}
	/* A full disk or a closed pipe under --json must not look well. */
	if ((fflush(run->tool->out) || run->unreadable) &&
		exit_code == CONTROL_OK)
		exit_code = CONTROL_REFUSED;
	return exit_code;
}

static int load_users(struct run *run)
{
	const char *missing = NULL;

	if (run->tool->users) {
		run->users = *run->tool->users;
		return 0;
	}
	if (process_users_load(&run->users, &missing) == 0)
		return 0;
	fprintf(run->tool->err, "sbcctl: there is no system user %s\n",
		missing);
	return ERR_NOT_FOUND;
}

static int run_upgrade(struct run *run, char **names, size_t n_names)
{
	struct upgrade_order o = {.runtime_dir = run->runtime_dir,
		.users = &run->users,
		.json = run->json,
		.out = run->tool->out,
		.err = run->tool->err,
		.names = names,
		.n_names = n_names};

	return load_users(run) ? CONTROL_AWAY : upgrade_run(&o);
}

static int find_and_run(struct run *run, int argc, char **argv)
{
	size_t n_args = (size_t)argc - 1;

	/* The one that asks nobody, and the one that asks keeper. */
	if (strcmp(argv[0], "cert") == 0)
		return cert_command(argc, argv);
	if (strcmp(argv[0], "upgrade") == 0)
		return run_upgrade(run, argv + 1, n_args);
	for (size_t i = 0; i < N_COMMANDS; i++) {
		if (strcmp(argv[0], commands[i].name) != 0)
			continue;
		if (n_args < commands[i].min_args ||
			n_args > commands[i].max_args) {
			fprintf(run->tool->err, "usage: sbcctl %s %s\n",
				commands[i].name, commands[i].args);
			return CONTROL_USAGE;
		}
		return load_users(run) ? CONTROL_AWAY
				       : run_command(run, &commands[i],
						 argv + 1, n_args);
	}
	fprintf(run->tool->err,
		"sbcctl: no command \"%s\"; try sbcctl --help\n", argv[0]);
	return CONTROL_USAGE;
}

int tool_run(const struct tool *tool, int argc, char **argv)
{
	static const struct option options[] = {
		{"json", no_argument, NULL, 'j'},
		{"runtime-dir", required_argument, NULL, 'r'},
		{"help", no_argument, NULL, 'h'},
		{"version", no_argument, NULL, 'V'},
		{0},
	};
	struct run run = {.tool = tool, .runtime_dir = RUNTIME_DIR};
	int c;

	optind = 0; /* begins anew each time */
	while ((c = getopt_long(argc, argv, "+jr:hV", options, NULL)) != -1) {
		switch (c) {
		case 'j':
			run.json = true;
			break;
		case 'r':
			run.runtime_dir = optarg;
			break;
		case 'h':
			usage(tool->out);
			return CONTROL_OK;
		case 'V':
			fprintf(tool->out, "sbcctl %s\n", PACKAGE_VERSION);
			return CONTROL_OK;
		default:
			usage(tool->err);
			return CONTROL_USAGE;
		}
	}
	if (optind == argc) {
		usage(tool->err);
		return CONTROL_USAGE;
	}
	return find_and_run(&run, argc - optind, argv + optind);
}
