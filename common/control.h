/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The daemon's end of sbcctl: a command is one CtlRequest, answered by one or
 * more CtlAnswer objects {"format":1,...}. Every daemon has status, counters
 * and log-level from here; it adds its own commands as rows. Only root may ask
 * (the permit table lets PROCESS_CTL through, whose user is root).
 *
 * A handler fills one JSON object and returns an exit code of sbcctl; it may
 * send more objects before with control_send(). A handler that can answer only
 * later returns CONTROL_LATER and ends with control_finish().
 */
#ifndef COMMON_CONTROL_H
#define COMMON_CONTROL_H

#include <stddef.h>

#include "common/daemon.h"
#include "common/ipc.h"
#include "common/json.h"

/* sbcctl's exit codes; an interface. */
enum control_exit {
	CONTROL_OK = 0,
	CONTROL_NO_SUCH = 1,
	CONTROL_USAGE = 2,
	CONTROL_AWAY = 3,
	CONTROL_REFUSED = 4,
	CONTROL_LATER = -1, /* never leaves the daemon */
};

struct control {
	struct daemon *daemon;
	const struct control_command *commands;
	size_t n_commands;
	void *ctx;
	uint64_t started_us;
};

/** One request under way; valid until it is answered or the link goes. */
struct control_request {
	struct ipc_link *link;
	uint64_t id;
};

struct control_command {
	const char *name;
	const char *args; /* for usage texts */
	const char *help;
	size_t min_args, max_args;
	int (*handler)(void *ctx, const struct control_request *request,
		char **args, size_t n_args, struct json *answer);
};

/** commands are borrowed for the life of c. */
void control_init(struct control *c, struct daemon *daemon,
	const struct control_command *commands, size_t n_commands, void *ctx);
/** Handler for the permit row of CtlRequest. */
void control_on_request(struct control *c, struct ipc_link *link,
	const Gh__CtlRequest *request);
/** Sends the object in j as one answer that is not the last; begins j anew. */
void control_send(const struct control_request *request, struct json *j);
/** Sends the last answer of a CONTROL_LATER request. */
void control_finish(const struct control_request *request,
	enum control_exit code, struct json *j);

#endif
