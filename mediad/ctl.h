/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mediad's server for the other processes: sbc says what it wants and hears
 * what happened; sbcctl asks. Control thread only.
 */
#ifndef MEDIAD_CTL_H
#define MEDIAD_CTL_H

#include <stddef.h>

#include "common/daemon.h"
#include "common/err.h"
#include "common/ipc.h"
#include "mediad/session.h"

struct ctl;

struct ctl_config {
	struct daemon *daemon; /* its loop and users are set */
	unsigned n_workers;
	size_t capacity;
};

/** Makes sessions and the server's tables; listens nowhere yet. */
GH_MUST_CHECK int ctl_new(
	const struct ctl_config *config, struct ctl **ctl_out);
void ctl_free(struct ctl **ctl);

/** From keeper (struct notify_events). */
void ctl_on_keeper_fd(struct ctl *ctl, const char *name, int fd);
void ctl_on_keeper_up(struct ctl *ctl, struct notify *keeper);
/** Goes on with the sessions of an earlier process, once keeper has given all.
 * Before ctl_listen(), so that sbc hears of them. */
GH_MUST_CHECK int ctl_resume(struct ctl *ctl);

/** Listens at path. */
GH_MUST_CHECK int ctl_listen(struct ctl *ctl, const char *path);
/** For tests: serves one end of a socket pair; fd is taken. */
GH_MUST_CHECK int ctl_adopt(struct ctl *ctl, int fd);
/** Starts the packet threads: after the sandbox is in force. */
GH_MUST_CHECK int ctl_start(struct ctl *ctl);

struct sessions *ctl_sessions(struct ctl *ctl);

#endif
