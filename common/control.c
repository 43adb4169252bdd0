/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "common/control.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/reason.h"
#include "common/stat.h"

static void control_begin(struct json *j)
{
	json_begin(j);
	json_uint(j, "format", 1);
}

static void control_answer(const struct control_request *request,
	enum control_exit code, bool done, struct json *j)
{
	Gh__CtlAnswer answer = GH__CTL_ANSWER__INIT;
	char failure[96], *text = NULL;
	int err = json_end(j, &text);

	if (err) /* an answer of its own, or the asker would take it for all */
		snprintf(failure, sizeof(failure),
			"{\"format\":1,\"error\":\"%s\"}", err_text(err));
	answer.id = request->id;
	answer.done = done;
	answer.exit_code = err ? CONTROL_REFUSED : (uint32_t)code;
	answer.json = err ? failure : text;
	IPC_MSG(msg, CTL_ANSWER, ctl_answer, &answer);
	/* An administrator's tool that does not read is its own fault. */
	err = ipc_send(request->link, &msg);
	if (err)
		log_debug("control_answer_lost", LOG_ERR(err));
	free(text);
}

void control_send(const struct control_request *request, struct json *j)
{
	control_answer(request, CONTROL_OK, false, j);
	control_begin(j);
}

void control_finish(const struct control_request *request,
	enum control_exit code, struct json *j)
{
	control_answer(request, code, true, j);
}

static int control_status(struct control *c, struct json *j)
{
	char level[SANDBOX_LEVEL_TEXT_SIZE];

	json_str(j, "process", process_name(c->daemon->self));
	json_str(j, "version", PACKAGE_VERSION);
	json_int(j, "pid", getpid());
	json_uint(j, "uptime_s",
		(clock_now_us() - c->started_us) / CLOCK_US_PER_S);
	json_str(j, "sandbox",
		sandbox_level_text(
			c->daemon->sandbox_level, level, sizeof(level)));
	json_bool(j, "sandbox_full", c->daemon->sandbox_level == SANDBOX_FULL);
	json_str(j, "log_level", log_level_name(log_level()));
	for (int s = 0; s < STAT_COUNT; s++)
		if (stat_kind(s) == STAT_GAUGE && stat_get(s))
			json_uint(j, stat_name(s), stat_get(s));
	return CONTROL_OK;
}

static int control_counters(const struct control *c, struct json *j)
{
	json_str(j, "process", process_name(c->daemon->self));
	json_open_object(j, "stats");
	for (int s = 0; s < STAT_COUNT; s++)
		json_uint(j, stat_name(s), stat_get(s));
	json_close_object(j);
	json_open_object(j, "reasons");
	for (int r = 0; r < REASON_COUNT; r++)
		if (reason_counted(r))
			json_uint(j, reason_text(r), reason_counted(r));
	json_close_object(j);
	return CONTROL_OK;
}

static int control_log_level(char **args, size_t n_args, struct json *j)
{
	enum log_level level;

	if (n_args > 1)
		return CONTROL_USAGE;
	if (n_args == 1) {
		if (log_level_parse(args[0], &level))
			return CONTROL_USAGE;
		log_set_level(level);
	}
	json_str(j, "log_level", log_level_name(log_level()));
	return CONTROL_OK;
}

static int control_run(struct control *c, const struct control_request *request,
	const Gh__CtlRequest *r, struct json *j)
{
	if (strcmp(r->command, "status") == 0)
		return control_status(c, j);
	if (strcmp(r->command, "counters") == 0)
		return control_counters(c, j);
	if (strcmp(r->command, "log-level") == 0)
		return control_log_level(r->args, r->n_args, j);
	for (size_t i = 0; i < c->n_commands; i++) {
		const struct control_command *command = &c->commands[i];

		if (strcmp(r->command, command->name) != 0)
			continue;
		if (r->n_args < command->min_args ||
			r->n_args > command->max_args) {
			json_str(j, "usage", command->args);
			return CONTROL_USAGE;
		}
		return command->handler(c->ctx, request, r->args, r->n_args, j);
	}
	json_str(j, "error", "no such command");
	return CONTROL_USAGE;
}

void control_init(struct control *c, struct daemon *daemon,
	const struct control_command *commands, size_t n_commands, void *ctx)
{
	c->daemon = daemon;
	c->commands = commands;
	c->n_commands = n_commands;
	c->ctx = ctx;
	c->started_us = clock_now_us();
}

void control_on_request(
	struct control *c, struct ipc_link *link, const Gh__CtlRequest *r)
{
	struct control_request request = {.link = link, .id = r->id};
	struct json j;
	int code;

	control_begin(&j);
	code = control_run(c, &request, r, &j);
	if (code == CONTROL_LATER) {
		free(j.text);
		return;
	}
	control_finish(&request, code, &j);
}
