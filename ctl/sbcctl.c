/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sbcctl: the administrator's tool. It knows which daemon answers which
 * command and how to print; what a command does is the daemon's. --json prints
 * one object per line, an interface (doc/ipc.md).
 *
 * Exit codes: 0 done, 1 no such thing, 2 wrong usage, 3 daemon not reachable,
 * 4 refused.
 */
#include "config.h"

#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "common/control.h"
#include "common/log.h"
#include "ctl/ask.h"
#include "ctl/cert.h"
#include "ctl/show.h"

struct command {
	const char *name;
	unsigned processes; /* PROCESS_BIT()s of those that are asked */
	size_t min_args, max_args;
	const char *args;
	const char *help;
};

#define DAEMONS                                                                \
	(PROCESS_BIT(PROCESS_AUTHD) | PROCESS_BIT(PROCESS_MEDIAD) |            \
		PROCESS_BIT(PROCESS_SBC))

static const struct command commands[] = {
	{"status", DAEMONS, 0, 0, "", "what each daemon is doing"},
	{"counters", DAEMONS, 0, 0, "", "every counter of each daemon"},
	{"calls", PROCESS_BIT(PROCESS_SBC), 0, 0, "", "calls in progress"},
	{"registrations", PROCESS_BIT(PROCESS_SBC), 0, 0, "",
		"registered phones"},
	{"trunks", PROCESS_BIT(PROCESS_SBC), 0, 0, "",
		"trunks and their state"},
	{"sessions", PROCESS_BIT(PROCESS_MEDIAD), 0, 0, "", "media sessions"},
	{"flows", PROCESS_BIT(PROCESS_FLOWD), 0, 0, "", "connections"},
	{"flow-close", PROCESS_BIT(PROCESS_FLOWD), 1, 1, "FLOW",
		"end one connection"},
	{"listeners", PROCESS_BIT(PROCESS_FLOWD), 0, 0, "",
		"where connections are taken"},
	{"certificates", PROCESS_BIT(PROCESS_FLOWD), 0, 0, "",
		"certificates in use, and when they end"},
	{"reload", PROCESS_BIT(PROCESS_FLOWD), 0, 0, "",
		"read certificates anew"},
	{"route-test", PROCESS_BIT(PROCESS_SBC), 2, 2, "FROM TO",
		"where a call would go, without calling"},
	{"drain", PROCESS_BIT(PROCESS_SBC), 0, 1, "[off]",
		"take no new calls, or again"},
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
	fprintf(out, "  %-14s %-10s %s\n", "cert", "WHAT ...",
		"make certificates: sbcctl cert --help");
}

struct output {
	bool json;
	bool several;
};

static void on_answer(void *ctx, enum process process, const char *json)
{
	const struct output *output = ctx;

	if (output->json) {
		printf("%s\n", json);
		return;
	}
	if (output->several)
		printf("--- %s\n", process_name(process));
	if (show_answer(stdout, json))
		fprintf(stderr, "sbcctl: %s sent an answer that is no JSON\n",
			process_name(process));
}

static int run(const struct command *command, const char *runtime_dir,
	bool json, char **args, size_t n_args)
{
	struct output output = {
		.json = json,
		.several = (command->processes & (command->processes - 1)) != 0,
	};
	int exit_code = CONTROL_OK;

	for (int p = 0; p < PROCESS_COUNT; p++) {
		struct ask ask = {runtime_dir, p, command->name, args, n_args,
			on_answer, &output};
		uint32_t code = 0;
		int err;

		if (!(command->processes & PROCESS_BIT(p)))
			continue;
		err = ask_daemon(&ask, &code);
		if (err) {
			fprintf(stderr,
				"sbcctl: %s does not answer at %s/%s.sock: "
				"%s\n",
				process_name(p), runtime_dir, process_name(p),
				err_text(err));
			code = CONTROL_AWAY;
		}
		if ((int)code > exit_code)
			exit_code = (int)code;
	}
	return exit_code;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{"json", no_argument, NULL, 'j'},
		{"runtime-dir", required_argument, NULL, 'r'},
		{"help", no_argument, NULL, 'h'},
		{"version", no_argument, NULL, 'V'},
		{0},
	};
	const char *runtime_dir = RUNTIME_DIR;
	bool json = false;
	size_t n_args;
	int c;

	log_open("sbcctl", LOG_LEVEL_ERR);
	while ((c = getopt_long(argc, argv, "+jr:hV", options, NULL)) != -1) {
		switch (c) {
		case 'j':
			json = true;
			break;
		case 'r':
			runtime_dir = optarg;
			break;
		case 'h':
			usage(stdout);
			return CONTROL_OK;
		case 'V':
			printf("sbcctl %s\n", PACKAGE_VERSION);
			return CONTROL_OK;
		default:
			usage(stderr);
			return CONTROL_USAGE;
		}
	}
	if (optind == argc) {
		usage(stderr);
		return CONTROL_USAGE;
	}
	if (strcmp(argv[optind], "cert") == 0)
		return cert_command(argc - optind, argv + optind);
	n_args = (size_t)(argc - optind - 1);
	for (size_t i = 0; i < N_COMMANDS; i++) {
		if (strcmp(argv[optind], commands[i].name) != 0)
			continue;
		if (n_args < commands[i].min_args ||
			n_args > commands[i].max_args) {
			fprintf(stderr, "usage: sbcctl %s %s\n",
				commands[i].name, commands[i].args);
			return CONTROL_USAGE;
		}
		return run(&commands[i], runtime_dir, json, argv + optind + 1,
			n_args);
	}
	fprintf(stderr, "sbcctl: no command \"%s\"; try sbcctl --help\n",
		argv[optind]);
	return CONTROL_USAGE;
}
