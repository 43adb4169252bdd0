/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One question to one daemon: connects, asks, hands on the answers until the
 * last. A loop of its own for each question; nothing outlives it.
 */
#include "ctl/ask.h"

#include <stdbool.h>
#include <stdio.h>

#include "common/ipc.h"
#include "common/loop.h"

struct asking {
	const struct ask *ask;
	struct loop *loop;
	struct loop_timer *deadline;
	struct ipc_link *link;
	bool sent;
	bool done;
	int err;
	enum control_exit exit_code;
};

static void asking_end(struct asking *a, int err)
{
	a->err = err;
	loop_stop(a->loop);
}

static void asking_on_up(void *ctx, struct ipc_link *link)
{
	struct asking *a = ctx;
	Gh__CtlRequest request = GH__CTL_REQUEST__INIT;
	int err;

	/* A command is sent once: a daemon that restarts half-way must not
	 * carry it out again. */
	if (a->sent)
		return;
	a->sent = true;
	request.id = 1;
	request.command = (char *)(uintptr_t)a->ask->command;
	request.args = a->ask->args;
	request.n_args = a->ask->n_args;
	IPC_MSG(msg, CTL_REQUEST, ctl_request, &request);
	err = ipc_send(link, &msg);
	if (err)
		asking_end(a, err);
}

static void asking_on_down(void *ctx, struct ipc_link *link, enum reason why)
{
	struct asking *a = ctx;

	(void)link;
	(void)why;
	if (!a->done)
		asking_end(a, ERR_AWAY);
}

static void asking_on_answer(
	void *ctx, struct ipc_link *link, const Gh__Msg *msg)
{
	struct asking *a = ctx;
	const Gh__CtlAnswer *answer = msg->ctl_answer;

	(void)link;
	loop_timer_set(a->loop, a->deadline, ASK_TIMEOUT_US);
	a->ask->on_answer(a->ask->ctx, a->ask->process, answer->json);
	if (!answer->done)
		return;
	a->exit_code = answer->exit_code <= CONTROL_REFUSED
			       ? (enum control_exit)answer->exit_code
			       : CONTROL_REFUSED;
	a->done = true;
	asking_end(a, 0);
}

static void asking_on_deadline(void *ctx)
{
	struct asking *a = ctx;

	asking_end(a, a->sent ? ERR_TIMEOUT : ERR_AWAY);
}

int ask_daemon(const struct ask *ask, enum control_exit *exit_out)
{
	static const struct ipc_permit permits[] = {
		{GH__MSG__BODY_CTL_ANSWER,
			PROCESS_BIT(PROCESS_SBC) | PROCESS_BIT(PROCESS_AUTHD) |
				PROCESS_BIT(PROCESS_MEDIAD) |
				PROCESS_BIT(PROCESS_FLOWD) |
				PROCESS_BIT(PROCESS_KEEPER),
			asking_on_answer},
	};
	struct asking a = {.ask = ask};
	struct ipc_config config = {
		.self = PROCESS_CTL,
		.users = ask->users,
		.permits = permits,
		.n_permits = sizeof(permits) / sizeof(permits[0]),
		.events = {asking_on_up, asking_on_down},
		.ctx = &a,
	};
	char path[108];
	int n, err;

	n = snprintf(path, sizeof(path), "%s/%s%s.sock", ask->runtime_dir,
		process_name(ask->process), ask->suffix);
	if (n < 0 || (size_t)n >= sizeof(path))
		return ERR_TOO_BIG;
	err = loop_event_new(&a.loop);
	if (err)
		return err;
	config.loop = a.loop;
	err = loop_timer_new(a.loop, asking_on_deadline, &a, &a.deadline);
	if (err)
		goto out;
	err = ipc_connect(&config, path, ask->process, &a.link);
	if (err)
		goto out;
	loop_timer_set(a.loop, a.deadline, ASK_TIMEOUT_US / 3);
	err = loop_run(a.loop);
	if (!err)
		err = a.err;
	if (!err)
		*exit_out = a.exit_code;
out:
	ipc_link_free(&a.link);
	loop_timer_free(a.loop, &a.deadline);
	loop_free(&a.loop);
	return err;
}
