/* SPDX-License-Identifier: Apache-2.0 */
/* What ctl.c, command.c and retire.c share. */
#ifndef FLOWD_CTL_INNER_H
#define FLOWD_CTL_INNER_H

#include <sys/un.h>

#include "common/control.h"
#include "common/ipc.h"
#include "flowd/ctl.h"
#include "flowd/flow.h"
#include "flowd/listen.h"
#include "flowd/source.h"

/* Refused connections are told in sums: this many kinds at once. */
#define REFUSED_MAX 16u

/* Refused connections that have not been told. */
struct refused {
	enum reason why;
	struct addr peer; /* the first */
	struct addr listen;
	char detail[FLOW_DETAIL_SIZE];
	uint32_t times;
};

struct ctl {
	struct daemon *daemon;
	struct control control;
	struct ipc_config ipc;
	struct ipc_server *server;
	struct ipc_link *adopted;
	struct ipc_link *sbc; /* NULL: away */
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
	struct sources sources;
	struct flows *flows;
	struct listeners *listeners;
	struct ctl_config config;
	struct refused refused[REFUSED_MAX];
	size_t n_refused;
	bool refused_told; /* one was told just now: the next ones wait */
	size_t n_ended;    /* since memory was given back */
	struct loop_timer *refused_timer;
	struct loop_timer *tidy_timer;
	struct loop_timer *stop_timer;
	bool stopping;
	struct loop_timer *retire_timer;
	bool retired;
	uint64_t sbc_away_us; /* retired: since when; 0 = it is there */
	uint64_t retired_until_us;
	unsigned long path_inode; /* of our socket, under whatever name */
};

/* ctl.c */
/** Ends the daemon if it ends anyway and no flow is left. */
void ctl_check_over(struct ctl *c);
void ctl_send_to_sbc(struct ctl *c, const Gh__Msg *msg);

/* command.c */
extern const struct control_command ctl_commands[];
extern const size_t ctl_n_commands;

/* retire.c */
/** Makes room for the next flowd. @return 0; ERR_STATE: it has already;
 * ERR_AWAY: keeper is not there, nothing has changed; ERR_SYSTEM. */
GH_MUST_CHECK int ctl_retire(struct ctl *c);
void ctl_retire_on_sbc(struct ctl *c, bool there);
void ctl_on_retire_timer(void *arg);
/** The socket goes with a retired one, unless another took its name. */
void ctl_retire_done(struct ctl *c);

#endif
